/*
 * The tokens of one credential on one loop: see token.h.
 *
 * A call is always in at most one list: that of its entry while a question is
 * under way for it, or `ready` when its answer is settled; the bell hands out
 * what is ready, so that got() never comes from inside a call of ours.
 */
#include "auth/token.h"

#include "auth/fetch.h"
#include "auth/sas.h"
#include "auth/refresh.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/map.h"
#include "base/status.h"
#include "base/str.h"

enum { entries_max = 1024 };

static const int64_t signature_life_s = 3600;

/* One kept token, and who waits for it. */
typedef struct tmk_token_entry {
    tmk_tokens *tokens;
    char *scope, *audience;
    tmk_refresh refresh;
    tmk_token token;  /* the one at hand; no secret: none */
    tmk_error why;    /* the last failure */
    tmk_fetch *fetch; /* under way */
    size_t link;      /* of a chain: which is asked */
    tmk_str reasons;  /* of a chain: why those before were passed over */
    tmk_list waiting; /* calls */
} tmk_token_entry;

struct tmk_tokens {
    tmk_credential *credential;
    tmk_fetch_host host;
    tmk_map entries; /* by scope, or by audience where a token opens only that */
    tmk_list ready;  /* calls whose answer is settled */
    tmk_bell bell;
    bool *gone;  /* set while answers are handed out: tells that we were freed meanwhile */
    size_t kept; /* of a chain: the link that worked, plus one; 0: none yet */
};

/* ---- tokens ---- */

void tmk_token_set(tmk_token *t, const tmk_token *from) {
    tmk_token copy = *from;

    copy.secret = tmk_secret_ref(copy.secret);
    tmk_secret_free(t->secret);
    *t = copy;
}

void tmk_token_clear(tmk_token *t) {
    tmk_secret_free(t->secret);
    *t = (tmk_token)TMK_TOKEN_INIT;
}

const char *tmk_token_type(const tmk_token *t) {
    return t->kind == TMK_TOKEN_SAS ? "servicebus.windows.net:sastoken" : "jwt";
}

static tmk_time now_of(const tmk_tokens *t) {
    return tmk_loop_now(t->host.loop);
}

static tmk_wall wall_of(const tmk_tokens *t) {
    return tmk_wall_now(tmk_loop_clock(t->host.loop));
}

static tmk_token token_of(const tmk_tokens *t, tmk_token_kind kind, tmk_secret *secret,
                          tmk_time life) {
    return (tmk_token){.kind = kind,
                       .secret = secret,
                       .expires = {wall_of(t).us + life / TMK_US},
                       .expires_at = tmk_time_after(now_of(t), life),
                       .refresh_at = TMK_NEVER};
}

/* ---- answers ---- */

static void make_ready(tmk_tokens *t, tmk_token_call *call) {
    tmk_list_remove(&call->node);
    call->entry = NULL;
    tmk_list_push_back(&t->ready, &call->node);
    tmk_bell_ring(&t->bell);
}

static void answer_token(tmk_tokens *t, tmk_token_call *call, const tmk_token *token) {
    tmk_token_set(&call->token, token);
    make_ready(t, call);
}

static void answer_failure(tmk_tokens *t, tmk_token_call *call, const tmk_error *why,
                           tmk_time retry_at) {
    tmk_token_clear(&call->token);
    call->why = *why;
    call->retry_at = retry_at;
    make_ready(t, call);
}

static void hand_out(tmk_token_call *call) {
    tmk_token token = call->token;

    call->token = (tmk_token)TMK_TOKEN_INIT;
    if (token.secret != NULL) {
        call->got(call, &token, NULL, 0);
    } else {
        tmk_error why = call->why;

        call->got(call, NULL, &why, call->retry_at);
    }
    tmk_token_clear(&token);
}

static size_t count_of(const tmk_list *head) {
    size_t count = 0;

    for (const tmk_list *n = tmk_list_first(head); n != NULL; n = tmk_list_next(head, n)) {
        count++;
    }
    return count;
}

/* Those that are ready now; what got() adds has rung the bell for the next turn. */
static void on_bell(tmk_bell *bell) {
    tmk_tokens *t = tmk_container_of(bell, tmk_tokens, bell);
    bool gone = false;

    t->gone = &gone;
    for (size_t left = count_of(&t->ready); left > 0; left--) {
        tmk_list *node = tmk_list_pop_front(&t->ready);

        if (node == NULL) {
            break;
        }
        hand_out(tmk_container_of(node, tmk_token_call, node));
        if (gone) {
            return;
        }
    }
    t->gone = NULL;
}

/* ---- signatures: made here, kept nowhere ---- */

static tmk_status sign(tmk_tokens *t, const char *audience, tmk_token *out, tmk_error *err) {
    tmk_time life = signature_life_s * TMK_SEC;
    tmk_secret *secret = NULL;
    tmk_status st =
        tmk_sas_make(t->credential->name, t->credential->secret, tmk_slice_str(audience),
                     wall_of(t).us / 1000000 + signature_life_s, &secret, err);

    if (st == TMK_OK) {
        *out = token_of(t, TMK_TOKEN_SAS, secret, life);
        out->refresh_at = tmk_refresh_plan(now_of(t), life, 0, &t->host.rng);
    }
    return st;
}

/* One made by others: good as it is, until its end. */
static tmk_status take_signature(tmk_tokens *t, tmk_token *out, tmk_error *err) {
    tmk_sas sas;
    int64_t left;
    tmk_status st = tmk_sas_parse(tmk_secret_bytes(t->credential->secret), &sas, err);

    if (st != TMK_OK) {
        return st;
    }
    left = sas.expires - wall_of(t).us / 1000000;
    if (left <= 0) {
        return tmk_fail(err, TMK_EAUTH, "sas",
                        "the shared access signature has ended by this machine's clock: make a "
                        "new one, or use a key or an Entra credential");
    }
    *out = token_of(t, TMK_TOKEN_SAS, tmk_secret_ref(t->credential->secret),
                    left < INT64_MAX / TMK_SEC ? left * TMK_SEC : TMK_NEVER);
    return TMK_OK;
}

static void get_signature(tmk_tokens *t, const tmk_token_target *target, tmk_token_call *call) {
    tmk_token token = TMK_TOKEN_INIT;
    tmk_error why = {0};
    bool own = t->credential->kind == TMK_CREDENTIAL_KEY;
    tmk_status st = own ? sign(t, target->audience, &token, &why) : take_signature(t, &token, &why);

    if (st == TMK_OK) {
        answer_token(t, call, &token);
    } else {
        answer_failure(t, call, &why, st == TMK_ENOMEM ? now_of(t) + TMK_SEC : TMK_NEVER);
    }
    tmk_token_clear(&token);
}

/* ---- questions ---- */

static void ask(tmk_token_entry *e);

static void settle_failure(tmk_token_entry *e, const tmk_error *why, tmk_time retry_after) {
    tmk_tokens *t = e->tokens;
    tmk_time now = now_of(t);
    tmk_list *node;

    e->why = *why;
    tmk_refresh_on_failure(&e->refresh, now, retry_after, &t->host.rng);
    while ((node = tmk_list_pop_front(&e->waiting)) != NULL) {
        tmk_token_call *call = tmk_container_of(node, tmk_token_call, node);

        if (!call->fresh && tmk_refresh_alive(&e->refresh, now)) {
            answer_token(t, call, &e->token);
        } else {
            answer_failure(t, call, why, tmk_refresh_deadline(&e->refresh));
        }
    }
}

static void settle_token(tmk_token_entry *e, const tmk_token_answer *answer) {
    tmk_tokens *t = e->tokens;
    tmk_time now = now_of(t);
    tmk_token token = token_of(t, TMK_TOKEN_JWT, answer->token, answer->life);
    tmk_list *node;

    if (t->credential->kind == TMK_CREDENTIAL_CALLBACK) {
        token.kind = t->credential->gives;
    }
    token.refresh_at = tmk_refresh_plan(now, answer->life, answer->refresh_in, &t->host.rng);
    tmk_token_set(&e->token, &token);
    tmk_refresh_on_token(&e->refresh, now, token.expires_at, token.refresh_at);
    tmk_debug(&t->host.log, "auth.token", "scope='%s' lives_s=%" PRId64 " refresh_s=%" PRId64,
              e->scope, answer->life / TMK_SEC, (token.refresh_at - now) / TMK_SEC);
    while ((node = tmk_list_pop_front(&e->waiting)) != NULL) {
        answer_token(t, tmk_container_of(node, tmk_token_call, node), &e->token);
    }
}

static tmk_credential *link_of(const tmk_token_entry *e) {
    tmk_credential *c = e->tokens->credential;

    return c->kind == TMK_CREDENTIAL_CHAIN ? c->links[e->link] : c;
}

/* Goes to the link to ask after this one was passed over; false: there is none. */
static bool take_next_link(tmk_token_entry *e) {
    const tmk_credential *c = e->tokens->credential;
    size_t kept = e->tokens->kept;
    size_t next = kept != 0 ? kept - 1 : e->link + 1;

    if (c->kind != TMK_CREDENTIAL_CHAIN || next == e->link || next >= c->link_count) {
        return false;
    }
    e->link = next;
    return true;
}

/* The whole search has found nothing: says why, link by link. */
static void describe_search(tmk_token_entry *e, tmk_error *why) {
    const tmk_credential *c = e->tokens->credential;

    if (c->kind != TMK_CREDENTIAL_CHAIN || e->tokens->kept != 0) {
        return;
    }
    (void)tmk_fail(why, TMK_EAUTH, "credential", "no credential works here: %s%s",
                   c->skipped == NULL ? "" : c->skipped, tmk_str_text(&e->reasons));
}

/* The reasons begin with the link's title; that is enough to know whose they are. */
static void pass_over(tmk_token_entry *e, const tmk_error *why) {
    tmk_info(&e->tokens->host.log, "auth.unavailable", "credential='%s' why='%s'",
             tmk_credential_title(link_of(e)), why->text);
    tmk_str_addf(&e->reasons, "%.70s; ", why->text);
}

static void on_fetched(void *user, const tmk_fetch_result *result) {
    tmk_token_entry *e = user;
    tmk_tokens *t = e->tokens;
    tmk_error why = result->why;

    e->fetch = NULL;
    if (result->outcome == TMK_FETCH_GOT && result->answer.life > 0) {
        t->kept = e->link + 1;
        settle_token(e, &result->answer);
        return;
    }
    if (result->outcome == TMK_FETCH_GOT) {
        (void)tmk_fail_retry(&why, TMK_EPROTO, "token",
                             "the token that came has already ended: check this machine's clock");
    } else if (result->outcome == TMK_FETCH_UNAVAILABLE) {
        pass_over(e, &why);
        if (take_next_link(e)) {
            ask(e);
            return;
        }
        describe_search(e, &why);
    }
    settle_failure(e, &why, result->retry_after);
}

/* Puts the question to the present link. refresh knows that one is under way. */
static void ask(tmk_token_entry *e) {
    tmk_tokens *t = e->tokens;
    tmk_question q = {.credential = link_of(e),
                      .scope = e->scope,
                      .audience = e->audience,
                      .chained = t->credential->kind == TMK_CREDENTIAL_CHAIN,
                      .known = t->kept != 0};
    tmk_error why;

    if (tmk_fetch_start(&t->host, &q, on_fetched, e, &e->fetch, &why) != TMK_OK) {
        settle_failure(e, &why, 0);
    }
}

static void ask_from_start(tmk_token_entry *e) {
    e->link = e->tokens->kept != 0 ? e->tokens->kept - 1 : 0;
    tmk_str_clear(&e->reasons);
    ask(e);
}

/* ---- entries ---- */

static void entry_free(void *value) {
    tmk_token_entry *e = value;

    tmk_fetch_cancel(e->fetch);
    while (tmk_list_pop_front(&e->waiting) != NULL) {
    }
    tmk_token_clear(&e->token);
    tmk_str_clear(&e->reasons);
    tmk_free(e->scope);
    tmk_free(e->audience);
    tmk_free(e);
}

static tmk_token_entry *entry_make(tmk_tokens *t, const tmk_token_target *target) {
    tmk_token_entry *e = tmk_new(tmk_token_entry);

    if (e == NULL) {
        return NULL;
    }
    e->tokens = t;
    tmk_list_init(&e->waiting);
    e->scope = tmk_copy_str(target->scope);
    e->audience = tmk_copy_str(target->audience);
    if (e->scope == NULL || e->audience == NULL) {
        entry_free(e);
        return NULL;
    }
    return e;
}

static bool is_signature(const tmk_credential *c) {
    return c->kind == TMK_CREDENTIAL_KEY || c->kind == TMK_CREDENTIAL_SAS;
}

static tmk_slice key_of(const tmk_tokens *t, const tmk_token_target *target) {
    bool narrow =
        t->credential->kind == TMK_CREDENTIAL_CALLBACK && t->credential->gives == TMK_TOKEN_SAS;

    return tmk_slice_str(narrow ? target->audience : target->scope);
}

/* The entry for this target, made where there is none; NULL: no memory, or too many. */
static tmk_token_entry *entry_for(tmk_tokens *t, const tmk_token_target *target) {
    tmk_slice key = key_of(t, target);
    tmk_token_entry *e = tmk_map_get(&t->entries, key);

    if (e != NULL || t->entries.count >= entries_max) {
        return e;
    }
    e = entry_make(t, target);
    if (e != NULL && tmk_map_put(&t->entries, key, e, NULL) != TMK_OK) {
        entry_free(e);
        e = NULL;
    }
    return e;
}

static tmk_token_target complete(const tmk_tokens *t, const tmk_token_target *target) {
    tmk_token_target full = *target;
    const char *own = NULL;

    full.scope = full.scope != NULL ? full.scope : TMK_SCOPE_EVENTHUBS;
    own = strcmp(full.scope, TMK_SCOPE_STORAGE) == 0 ? t->credential->storage_scope
                                                     : t->credential->hub_scope;
    full.scope = own != NULL ? own : full.scope;
    full.audience = full.audience != NULL ? full.audience : "";
    return full;
}

/* ---- calls ---- */

static void get_kept(tmk_tokens *t, tmk_token_entry *e, tmk_token_call *call) {
    tmk_refresh_act act = tmk_refresh_step(&e->refresh, now_of(t), call->fresh);

    switch (act) {
    case TMK_REFRESH_USE:
    case TMK_REFRESH_BOTH:
        answer_token(t, call, &e->token);
        break;
    case TMK_REFRESH_ASK:
    case TMK_REFRESH_WAIT:
        call->entry = e;
        tmk_list_push_back(&e->waiting, &call->node);
        break;
    case TMK_REFRESH_FAIL:
        answer_failure(t, call, &e->why, tmk_refresh_deadline(&e->refresh));
        break;
    }
    if (act == TMK_REFRESH_ASK || act == TMK_REFRESH_BOTH) {
        ask_from_start(e);
    }
}

void tmk_tokens_get(tmk_tokens *t, const tmk_token_target *target, tmk_token_call *call) {
    tmk_token_target full = complete(t, target);
    tmk_token_entry *e;
    tmk_error why;

    tmk_assert(!tmk_list_linked(&call->node));
    call->fresh = full.fresh;
    call->entry = NULL;
    call->token = (tmk_token)TMK_TOKEN_INIT;
    if (is_signature(t->credential)) {
        get_signature(t, &full, call);
        return;
    }
    e = entry_for(t, &full);
    if (e != NULL) {
        get_kept(t, e, call);
        return;
    }
    (void)tmk_fail_retry(&why, TMK_ENOMEM, "token", "no memory to ask for a token");
    answer_failure(t, call, &why, tmk_time_after(now_of(t), TMK_SEC));
}

void tmk_tokens_cancel(tmk_tokens *t, tmk_token_call *call) {
    (void)t;
    tmk_list_remove(&call->node);
    tmk_token_clear(&call->token);
    call->entry = NULL;
}

void tmk_tokens_refused(tmk_tokens *t, const tmk_token_target *target, const tmk_token *token) {
    tmk_token_target full = complete(t, target);
    tmk_token_entry *e = tmk_map_get(&t->entries, key_of(t, &full));

    if (e == NULL || e->token.secret == NULL || e->token.secret != token->secret) {
        return;
    }
    tmk_refresh_on_refused(&e->refresh, now_of(t), &t->host.rng);
    tmk_token_clear(&e->token);
    (void)tmk_fail(&e->why, TMK_EAUTH, "token",
                   "the service has refused a token that had just been issued: has this identity "
                   "a role here, such as Azure Event Hubs Data Receiver?");
}

/* ---- life ---- */

static tmk_status make_http(tmk_tokens *t, tmk_error *err) {
    tmk_http_options o = {.tls_ca_file = t->credential->tls_ca_file, .proxy = t->credential->proxy};

    return tmk_credential_uses_http(t->credential)
               ? tmk_http_new(t->host.loop, &o, &t->host.http, err)
               : TMK_OK;
}

tmk_status tmk_tokens_new(tmk_loop *loop, tmk_credential *credential,
                          const tmk_tokens_options *options, tmk_tokens **out, tmk_error *err) {
    tmk_tokens *t = tmk_new(tmk_tokens);
    tmk_status st;

    if (t == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "token", "no memory for tokens");
    }
    t->credential = tmk_credential_ref(credential);
    t->host.loop = loop;
    tmk_list_init(&t->ready);
    tmk_bell_init(&t->bell, loop, on_bell);
    if (options != NULL) {
        t->host.log = options->log;
    }
    if (options != NULL && options->seed != 0) {
        tmk_rng_seed(&t->host.rng, options->seed);
    } else {
        tmk_rng_seed_system(&t->host.rng);
    }
    st = make_http(t, err);
    if (st != TMK_OK) {
        (void)tmk_tokens_free(t);
        return st;
    }
    *out = t;
    return TMK_OK;
}

tmk_tokens *tmk_tokens_free(tmk_tokens *t) {
    if (t == NULL) {
        return NULL;
    }
    if (t->gone != NULL) {
        *t->gone = true;
    }
    tmk_map_clear(&t->entries, entry_free);
    while (!tmk_list_empty(&t->ready)) {
        tmk_token_call *call = tmk_container_of(tmk_list_first(&t->ready), tmk_token_call, node);

        tmk_tokens_cancel(t, call);
    }
    tmk_bell_clear(&t->bell);
    t->host.http = tmk_http_free(t->host.http);
    tmk_credential_free(t->credential);
    tmk_free(t);
    return NULL;
}
