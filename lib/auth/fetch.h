/*
 * One question for a token, put to one credential and answered once: over
 * HTTP, by the Azure CLI, or by the program. It tries again where that makes
 * sense, and ends within the credential's timeout.
 *
 * Threads: the loop's.
 */
#ifndef TMK_AUTH_FETCH_H
#define TMK_AUTH_FETCH_H

#include <tidemark/log.h>

#include "auth/answer.h"
#include "auth/credential.h"
#include "base/rng.h"
#include "net/http.h"
#include "net/loop.h"

/* What questions run on. */
typedef struct tmk_fetch_host {
    tmk_loop *loop;
    tmk_http *http; /* NULL where the credential does not use it */
    tmk_log log;
    tmk_rng rng;
} tmk_fetch_host;

typedef struct tmk_question {
    tmk_credential *credential; /* none of those that need no question, no chain */
    const char *scope, *audience;
    bool chained; /* one of several: what may not exist is probed first */
    bool known;   /* it has given a token before */
} tmk_question;

typedef enum tmk_fetch_outcome {
    TMK_FETCH_GOT,
    TMK_FETCH_UNAVAILABLE, /* this kind of credential is not set up here: why says what is missing
                            */
    TMK_FETCH_FAILED
} tmk_fetch_outcome;

typedef struct tmk_fetch_result {
    tmk_fetch_outcome outcome;
    tmk_token_answer answer; /* GOT: take a reference of the token to keep it */
    tmk_error why;           /* else */
    tmk_time retry_after;    /* else: what the other side asks for; 0: nothing */
} tmk_fetch_result;

typedef struct tmk_fetch tmk_fetch;
typedef void (*tmk_fetch_done)(void *user, const tmk_fetch_result *result);

/* done comes exactly once, later, never from inside, unless cancelled; the fetch is gone then. */
tmk_status tmk_fetch_start(tmk_fetch_host *host, const tmk_question *question, tmk_fetch_done done,
                           void *user, tmk_fetch **out, tmk_error *err);
void tmk_fetch_cancel(tmk_fetch *f); /* NULL is fine */

#endif
