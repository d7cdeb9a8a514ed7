/*
 * Tokens that the program gives. An ask lives until both sides are done with
 * it: the program has answered, and the question has ended. Its lock guards
 * the short moment in which an answer from another thread meets the end.
 */
#include "auth/fetch_parts.h"

#include "base/alloc.h"
#include "base/status.h"
#include "base/thread.h"

enum { rank_ask = 80, token_max = 64 * 1024 };

static const int64_t life_max_ms = INT64_C(30) * 24 * 3600 * 1000;

typedef struct program_fetch program_fetch;

struct tmk_token_ask {
    char *scope, *audience;
    tmk_clock clock;
    program_fetch *fetch; /* loop only */

    tmk_mutex lock; /* rank 80; guards what follows */
    bool abandoned; /* nobody waits for the answer; the fetch is gone */
    bool answered;
    tmk_bell bell; /* rung while it is not abandoned */
    tmk_token_answer answer;
    tmk_error why; /* where answer has no token */
};

struct program_fetch {
    tmk_fetch base;
    tmk_token_ask *ask;
};

static program_fetch *of(tmk_fetch *f) {
    return tmk_container_of(f, program_fetch, base);
}

static void ask_free(tmk_token_ask *a) {
    tmk_mutex_clear(&a->lock);
    tmk_secret_free(a->answer.token);
    tmk_free(a->scope);
    tmk_free(a->audience);
    tmk_free(a);
}

/* ---- the program's side, any thread ---- */

const char *tmk_token_ask_scope(const tmk_token_ask *ask) {
    return ask->scope;
}

const char *tmk_token_ask_audience(const tmk_token_ask *ask) {
    return ask->audience;
}

/* Takes the token's reference. The ask may be gone when it returns. */
static void settle(tmk_token_ask *a, const tmk_token_answer *answer, const tmk_error *why) {
    bool abandoned;

    tmk_mutex_lock(&a->lock);
    abandoned = a->abandoned;
    a->answered = true;
    a->answer = *answer;
    a->why = *why;
    if (!abandoned) {
        tmk_bell_ring(&a->bell);
    }
    tmk_mutex_unlock(&a->lock);
    if (abandoned) {
        ask_free(a);
    }
}

static int64_t lives_ms(const tmk_token_ask *a, const tmk_token_reply *reply) {
    int64_t ms = reply->lives_ms;

    if (reply->expires_unix_ms < 0) {
        return 0;
    }
    if (reply->expires_unix_ms > 0) {
        ms = reply->expires_unix_ms - tmk_wall_now(&a->clock).us / 1000;
    }
    return ms < life_max_ms ? ms : life_max_ms;
}

static bool is_token(const char *token, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (token[i] < ' ' || token[i] > '~') {
            return false;
        }
    }
    return size > 0 && size <= token_max;
}

static tmk_status read_reply(const tmk_token_ask *a, const tmk_token_reply *reply,
                             tmk_token_answer *out, tmk_error *err) {
    size_t size = reply->token == NULL ? 0 : strnlen(reply->token, token_max + 1);

    if (reply->size < sizeof *reply || !is_token(reply->token, size)) {
        return tmk_fail(err, TMK_EINVAL, "program", "the program's answer holds no usable token");
    }
    if (lives_ms(a, reply) <= 0) {
        return tmk_fail(err, TMK_EINVAL, "program", "the program's token has already ended");
    }
    out->life = lives_ms(a, reply) * TMK_MS;
    out->token = tmk_secret_new(tmk_slice_of(reply->token, size));
    return out->token != NULL ? TMK_OK
                              : tmk_fail(err, TMK_ENOMEM, "program", "no memory for a token");
}

tmk_status tmk_token_ask_answer(tmk_token_ask *ask, const tmk_token_reply *reply, tmk_error *err) {
    tmk_token_answer answer = {NULL};
    tmk_error why = {0};
    tmk_status st = read_reply(ask, reply, &answer, &why);

    settle(ask, &answer, &why);
    if (st != TMK_OK && err != NULL) {
        *err = why;
    }
    return st;
}

void tmk_token_ask_fail(tmk_token_ask *ask, bool retryable, const char *why) {
    tmk_token_answer none = {NULL};
    tmk_error words;

    (void)tmk_fail(&words, TMK_EAUTH, "program", "%s",
                   why != NULL && why[0] != '\0' ? why : "the program gives no token");
    tmk_redact(words.text);
    words.retryable = retryable;
    settle(ask, &none, &words);
}

/* ---- our side, the loop ---- */

static void on_settled(tmk_bell *bell) {
    tmk_token_ask *a = tmk_container_of(bell, tmk_token_ask, bell);
    program_fetch *p = a->fetch;
    tmk_token_answer answer;
    tmk_error why;

    tmk_mutex_lock(&a->lock); /* until settle() has let go */
    answer = a->answer;
    a->answer.token = NULL;
    why = a->why;
    tmk_mutex_unlock(&a->lock);
    if (answer.token != NULL) {
        tmk_fetch_got(&p->base, &answer);
    } else {
        tmk_fetch_failed(&p->base, TMK_FETCH_FAILED, &why, 0);
    }
}

static void stop(tmk_fetch *f) {
    tmk_token_ask *a = of(f)->ask;
    bool answered;

    if (a == NULL) {
        return;
    }
    of(f)->ask = NULL;
    tmk_mutex_lock(&a->lock);
    a->abandoned = true;
    answered = a->answered;
    tmk_mutex_unlock(&a->lock);
    if (answered) {
        tmk_bell_clear(&a->bell);
        ask_free(a);
    }
}

static tmk_token_ask *ask_make(program_fetch *p) {
    tmk_token_ask *a = tmk_new(tmk_token_ask);

    if (a == NULL || tmk_mutex_init(&a->lock, rank_ask, NULL) != TMK_OK) {
        tmk_free(a);
        return NULL;
    }
    a->scope = tmk_copy_str(p->base.scope);
    a->audience = tmk_copy_str(p->base.audience);
    if (a->scope == NULL || a->audience == NULL) {
        ask_free(a);
        return NULL;
    }
    a->clock = *tmk_loop_clock(p->base.host->loop);
    a->fetch = p;
    tmk_bell_init(&a->bell, p->base.host->loop, on_settled);
    return a;
}

static void begin(program_fetch *p) {
    const tmk_credential *c = p->base.credential;
    tmk_error why;

    p->ask = ask_make(p);
    if (p->ask == NULL) {
        (void)tmk_fail_retry(&why, TMK_ENOMEM, "program", "no memory to ask for a token");
        tmk_fetch_failed(&p->base, TMK_FETCH_FAILED, &why, 0);
        return;
    }
    tmk_fetch_wait(&p->base, c->timeout);
    c->ask(c->self, p->ask);
}

static void fire(tmk_fetch *f) {
    program_fetch *p = of(f);
    tmk_error why;

    if (p->ask == NULL) {
        begin(p);
        return;
    }
    (void)tmk_fail_retry(&why, TMK_ETIMEOUT, "program",
                         "the program has given no token within %lld s",
                         (long long)(f->credential->timeout / TMK_SEC));
    tmk_fetch_failed(f, TMK_FETCH_FAILED, &why, 0);
}

const tmk_fetch_ops tmk_fetch_by_program = {sizeof(program_fetch), fire, stop};
