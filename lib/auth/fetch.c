/* The life that all questions have in common: see fetch.h. */
#include "auth/fetch.h"

#include "auth/fetch_parts.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"

static const tmk_fetch_ops *ops_of(const tmk_credential *c) {
    switch (c->kind) {
    case TMK_CREDENTIAL_SECRET:
    case TMK_CREDENTIAL_CERTIFICATE:
    case TMK_CREDENTIAL_WORKLOAD:
    case TMK_CREDENTIAL_MANAGED:
        return &tmk_fetch_over_http;
    case TMK_CREDENTIAL_CLI:
        return &tmk_fetch_by_cli;
    case TMK_CREDENTIAL_CALLBACK:
        return &tmk_fetch_by_program;
    case TMK_CREDENTIAL_KEY:
    case TMK_CREDENTIAL_SAS:
    case TMK_CREDENTIAL_CHAIN:
        break;
    }
    return NULL;
}

static void release(tmk_fetch *f) {
    tmk_timer_clear(f->host->loop, &f->timer);
    tmk_credential_free(f->credential);
    tmk_free(f->scope);
    tmk_free(f->audience);
    tmk_free(f);
}

static void fire(tmk_timer *timer) {
    tmk_fetch *f = tmk_container_of(timer, tmk_fetch, timer);

    f->ops->fire(f);
}

tmk_status tmk_fetch_start(tmk_fetch_host *host, const tmk_question *question, tmk_fetch_done done,
                           void *user, tmk_fetch **out, tmk_error *err) {
    const tmk_fetch_ops *ops = ops_of(question->credential);
    tmk_fetch *f;

    tmk_assert(ops != NULL);
    f = tmk_alloc_zero(1, ops->size);
    if (f == NULL || tmk_timer_init(host->loop, &f->timer, fire) != TMK_OK) {
        tmk_free(f);
        return tmk_fail_retry(err, TMK_ENOMEM, "token", "no memory to ask for a token");
    }
    f->ops = ops;
    f->host = host;
    f->credential = tmk_credential_ref(question->credential);
    f->scope = tmk_copy_str(question->scope);
    f->audience = tmk_copy_str(question->audience);
    f->chained = question->chained;
    f->known = question->known;
    f->done = done;
    f->user = user;
    if (f->scope == NULL || f->audience == NULL) {
        release(f);
        return tmk_fail_retry(err, TMK_ENOMEM, "token", "no memory to ask for a token");
    }
    f->deadline = tmk_time_after(tmk_loop_now(host->loop), f->credential->timeout);
    tmk_fetch_wait(f, 0);
    *out = f;
    return TMK_OK;
}

void tmk_fetch_cancel(tmk_fetch *f) {
    if (f != NULL) {
        f->ops->stop(f);
        release(f);
    }
}

void tmk_fetch_wait(tmk_fetch *f, tmk_time delay) {
    tmk_timer_set(f->host->loop, &f->timer, tmk_time_after(tmk_loop_now(f->host->loop), delay));
}

static void end(tmk_fetch *f, tmk_fetch_result *result) {
    tmk_fetch_done done = f->done;
    void *user = f->user;

    tmk_fetch_cancel(f);
    done(user, result);
    result->answer.token = tmk_secret_free(result->answer.token);
}

void tmk_fetch_got(tmk_fetch *f, const tmk_token_answer *answer) {
    tmk_fetch_result result = {.outcome = TMK_FETCH_GOT, .answer = *answer};

    end(f, &result);
}

void tmk_fetch_failed(tmk_fetch *f, tmk_fetch_outcome outcome, const tmk_error *why,
                      tmk_time retry_after) {
    tmk_fetch_result result = {.outcome = outcome, .why = *why, .retry_after = retry_after};

    end(f, &result);
}
