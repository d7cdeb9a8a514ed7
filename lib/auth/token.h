/*
 * Tokens for one credential on one loop: asked for, kept, renewed.
 *
 * Whoever needs a token makes a call and is answered later, on the loop. A
 * token from Entra is kept by scope and shared: however many ask, one request
 * is under way. Signatures are made per audience, on the spot. Failures are
 * answered with the moment from which asking again makes sense; a call before
 * that moment gets the last failure without troubling the authority.
 *
 * The caller's cycle: get; use the token; at refresh_at get again with `fresh`;
 * when that fails, go on with the old token and get again at retry_at. When the
 * service refuses a token, tell tmk_tokens_refused() before getting again.
 *
 * Threads: the loop's.
 */
#ifndef TMK_AUTH_TOKEN_H
#define TMK_AUTH_TOKEN_H

#include <tidemark/credential.h>
#include <tidemark/log.h>

#include "base/list.h"
#include "base/secret.h"
#include "base/time.h"
#include "net/loop.h"

#define TMK_SCOPE_EVENTHUBS "https://eventhubs.azure.net/.default"
#define TMK_SCOPE_STORAGE "https://storage.azure.com/.default"

/* A token at hand. A copy holds one reference of the secret. */
typedef struct tmk_token {
    tmk_token_kind kind;
    tmk_secret *secret;  /* the text of the token */
    tmk_wall expires;    /* when it ends, as the issuer or the wall clock says; for people */
    tmk_time expires_at; /* the same by the monotonic clock; this decides */
    tmk_time refresh_at; /* ask for the next one then; TMK_NEVER: it cannot be renewed */
} tmk_token;

#define TMK_TOKEN_INIT \
    { 0, NULL, {0}, 0, 0 }

void tmk_token_set(tmk_token *t, const tmk_token *from); /* t is cleared first; from may be t */
void tmk_token_clear(tmk_token *t);
/* What put-token calls it: "jwt" or "servicebus.windows.net:sastoken". */
const char *tmk_token_type(const tmk_token *t);

typedef struct tmk_tokens tmk_tokens;

/* A question: zeroed memory of the caller's, until `got` has been called or it was cancelled. */
typedef struct tmk_token_call {
    /*
     * The answer: exactly once unless cancelled, never from inside tmk_tokens_get(). Either a
     * token, which lives until the function returns (copy it by tmk_token_set()), or NULL and why
     * not; then asking again before retry_at is useless (TMK_NEVER: until something is changed by
     * hand). The call may be used again at once.
     */
    void (*got)(struct tmk_token_call *call, const tmk_token *token, const tmk_error *why,
                tmk_time retry_at);
    void *user;

    tmk_list node; /* of tmk_tokens from here on */
    struct tmk_token_entry *entry;
    tmk_token token;
    tmk_error why;
    tmk_time retry_at;
    bool fresh;
} tmk_token_call;

typedef struct tmk_token_target {
    const char *scope;    /* NULL: TMK_SCOPE_EVENTHUBS */
    const char *audience; /* "sb://ns.servicebus.windows.net/hub"; what a signature is made for */
    bool fresh;           /* one whose refresh_at lies ahead; else any that lives a minute more */
} tmk_token_target;

typedef struct tmk_tokens_options {
    tmk_log log;
    uint64_t seed; /* of the jitter; 0: from the system */
} tmk_tokens_options;

/* The credential is referenced; the loop is borrowed. options: NULL for the defaults. */
tmk_status tmk_tokens_new(tmk_loop *loop, tmk_credential *credential,
                          const tmk_tokens_options *options, tmk_tokens **out, tmk_error *err);
/* Ends what is under way; calls that wait are dropped without an answer. NULL is fine. Returns
 * NULL. */
tmk_tokens *tmk_tokens_free(tmk_tokens *t);

/* Asks. Texts of target are copied. A failure of any kind comes through got(). */
void tmk_tokens_get(tmk_tokens *t, const tmk_token_target *target, tmk_token_call *call);
/* got() will not come. Does nothing when the call is not under way. */
void tmk_tokens_cancel(tmk_tokens *t, tmk_token_call *call);
/* The service has refused this token: it is not handed out again. When a second one is refused
 * soon after, the next waits; signatures are made by ourselves, so there the caller must pause. */
void tmk_tokens_refused(tmk_tokens *t, const tmk_token_target *target, const tmk_token *token);

#endif
