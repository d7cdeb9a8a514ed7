/* What follows a verdict; see retry.h. */
#include "core/retry.h"

#include "base/assert.h"
#include "core/mutants.h"

static tmk_retry_decision put_aside(const tmk_retry_rules *o, const char *reason) {
    if (!o->sink) {
        return (tmk_retry_decision){.next = TMK_RETRY_STOP, .reason = "no dead-letter sink"};
    }
    return (tmk_retry_decision){.next = TMK_RETRY_DEAD_LETTER, .reason = reason};
}

static tmk_retry_decision exhausted(const tmk_retry_rules *o) {
    switch (o->exhausted) {
    case TMK_EXHAUSTED_SKIP:
        return (tmk_retry_decision){.next = TMK_RETRY_SKIP, .reason = "attempts"};
    case TMK_EXHAUSTED_DEAD_LETTER:
        return put_aside(o, "attempts");
    case TMK_EXHAUSTED_STOP:
        break;
    }
    return (tmk_retry_decision){.next = TMK_RETRY_STOP, .reason = "attempts"};
}

tmk_retry_decision tmk_retry_decide(const tmk_retry_rules *o, tmk_verdict verdict, uint32_t attempt,
                                    int64_t retry_ms, tmk_rng *rng) {
    tmk_retry_decision again = {.next = TMK_RETRY_AGAIN};

    tmk_assert(verdict == TMK_RETRY || verdict == TMK_DEAD_LETTER);
    if (verdict == TMK_DEAD_LETTER) {
        return put_aside(o, "handler");
    }
    if (o->attempts_max > 0 && attempt >= o->attempts_max && !TMK_MUTANT(RETRY_FOR_EVER)) {
        return exhausted(o);
    }
    if (retry_ms < 0) {
        again.pause = tmk_backoff_delay(&o->backoff, attempt, rng);
        again.pause = TMK_MUTANT(RETRY_AT_ONCE) ? 0 : again.pause;
    } else {
        again.pause = retry_ms > INT64_MAX / TMK_MS ? TMK_NEVER - 1 : retry_ms * TMK_MS;
    }
    return again;
}

/* ---- the breaker ---- */

void tmk_breaker_init(tmk_breaker *b, const tmk_backoff *pause) {
    *b = (tmk_breaker){.state = TMK_BREAKER_CLOSED, .pause = *pause, .probe_at = TMK_NEVER};
}

static bool open_up(tmk_breaker *b, tmk_time now, tmk_rng *rng) {
    bool changed = b->state != TMK_BREAKER_OPEN;

    if (b->state == TMK_BREAKER_CLOSED) {
        b->opened_at = now;
    }
    b->stops += b->stops < UINT8_MAX ? 1 : 0;
    b->state = TMK_BREAKER_OPEN;
    b->probe_at = tmk_time_after(now, tmk_backoff_delay(&b->pause, b->stops, rng));
    return changed;
}

bool tmk_breaker_on_verdict(tmk_breaker *b, tmk_time now, tmk_verdict verdict, bool probe,
                            tmk_rng *rng) {
    if (verdict == TMK_STOP) {
        /* Those that were running when it opened add nothing to what is known. */
        return b->state == TMK_BREAKER_OPEN ? false : open_up(b, now, rng);
    }
    if (b->state != TMK_BREAKER_PROBING || !probe) {
        return false;
    }
    b->state = TMK_BREAKER_CLOSED;
    b->stops = 0;
    b->probe_at = TMK_NEVER;
    return true;
}

bool tmk_breaker_step(tmk_breaker *b, tmk_time now, tmk_rng *rng) {
    if (b->state == TMK_BREAKER_CLOSED || now < b->probe_at) {
        return false;
    }
    b->state = TMK_BREAKER_PROBING;
    b->probe_at = tmk_time_after(now, tmk_backoff_delay(&b->pause, b->stops, rng));
    return true;
}

tmk_time tmk_breaker_deadline(const tmk_breaker *b) {
    return b->probe_at;
}
