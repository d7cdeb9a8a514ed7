/*
 * Tokens of one credential on a loop that the test turns, with a clock that it
 * can put forward, and a log at trace level in which no secret may appear: put
 * RIG_CANARY wherever a secret is.
 */
#ifndef TMK_TESTS_TOKEN_RIG_H
#define TMK_TESTS_TOKEN_RIG_H

#include "auth/token.h"

#include "support/check.h"

#define RIG_CANARY "c4n4ryS3cr3t"

enum { rig_calls = 50 };

typedef struct rig_call {
    tmk_token_call call;
    int answers;
    tmk_token token;
    tmk_error why;
    tmk_time retry_at;
} rig_call;

typedef struct token_rig {
    tmk_time ahead; /* of the system's clock */
    tmk_loop *loop;
    tmk_tokens *tokens;
    rig_call calls[rig_calls];
    rig_call *first; /* calls[0] */
    int pauses;      /* that an authority has asked for, as the log tells */
} token_rig;

static tmk_time rig_now_(void *self) {
    tmk_clock c = tmk_clock_system();

    return tmk_now(&c) + ((token_rig *)self)->ahead;
}

static tmk_wall rig_wall_(void *self) {
    tmk_clock c = tmk_clock_system();

    return (tmk_wall){tmk_wall_now(&c).us + ((token_rig *)self)->ahead / TMK_US};
}

static void rig_log_(void *self, tmk_log_level level, const char *event, const char *fields) {
    (void)level;
    ((token_rig *)self)->pauses += strcmp(event, "auth.retry") == 0;
    if (strstr(fields, RIG_CANARY) != NULL) {
        fprintf(stderr, "a secret in the log: %s %s\n", event, fields);
        abort();
    }
}

static void rig_got_(tmk_token_call *call, const tmk_token *token, const tmk_error *why,
                     tmk_time retry_at) {
    rig_call *c = call->user;

    c->answers++;
    tmk_token_clear(&c->token);
    if (token != NULL) {
        tmk_token_set(&c->token, token);
    } else {
        c->why = *why;
        CHECK(strstr(why->text, RIG_CANARY) == NULL);
    }
    c->retry_at = retry_at;
}

/* Takes the reference of the credential. false: out of memory. */
static bool rig_open(token_rig *r, tmk_credential *credential) {
    tmk_clock clock = {rig_now_, rig_wall_, r};
    tmk_tokens_options o = {.log = {rig_log_, r, TMK_LOG_TRACE}, .seed = 11};
    tmk_error err;

    memset(r, 0, sizeof *r);
    r->first = &r->calls[0];
    for (int i = 0; i < rig_calls; i++) {
        r->calls[i].call = (tmk_token_call){.got = rig_got_, .user = &r->calls[i]};
    }
    if (tmk_loop_new(clock, &r->loop, &err) == TMK_OK) {
        (void)tmk_tokens_new(r->loop, credential, &o, &r->tokens, &err);
    }
    tmk_credential_free(credential);
    return r->tokens != NULL;
}

static void rig_close(token_rig *r) {
    r->tokens = tmk_tokens_free(r->tokens);
    r->loop = tmk_loop_free(r->loop);
    for (int i = 0; i < rig_calls; i++) {
        tmk_token_clear(&r->calls[i].token);
    }
}

static void rig_turn(token_rig *r) {
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_loop_turn(r->loop, 2 * TMK_MS, &err));
}

/* Asks and does not wait. */
static void rig_ask(token_rig *r, rig_call *c, const char *audience, bool fresh) {
    tmk_token_target target = {.scope = NULL, .audience = audience, .fresh = fresh};

    c->answers = 0;
    tmk_tokens_get(r->tokens, &target, &c->call);
    CHECK_EQ(0, c->answers); /* never from inside */
}

static bool rig_wait_for(token_rig *r, rig_call *c, tmk_time limit) {
    tmk_clock clock = tmk_clock_system();
    tmk_time end = tmk_now(&clock) + limit;

    while (c->answers == 0 && tmk_now(&clock) < end) {
        rig_turn(r);
    }
    return c->answers == 1;
}

/* Asks and waits for the answer: whether it is a token. */
__attribute__((unused)) static bool rig_get(token_rig *r, bool fresh) {
    rig_ask(r, r->first, "sb://ns/hub", fresh);
    CHECK(rig_wait_for(r, r->first, 10 * TMK_SEC));
    return r->first->token.secret != NULL;
}

/* The moment from which asking again makes sense, counted from now. */
__attribute__((unused)) static tmk_time rig_pause(const token_rig *r) {
    return r->first->retry_at - tmk_loop_now(r->loop);
}

#endif
