/* See line.h. */
#include "amqp/line.h"

#include "base/assert.h"
#include "base/status.h"

#include <string.h>

enum {
    FETCH_MS = 65000, /* the token's own limit is 60 s */
    OPEN_MS = 30000,
    PUT_MS = 30000,
    STABLE_MS = 5000,
    IDLE_MS = 300000
};

static const tmk_backoff pause_normal = {100 * TMK_MS, 30 * TMK_SEC, 2.0, 0.2};
static const tmk_backoff pause_barred = {10 * TMK_SEC, 300 * TMK_SEC, 2.0, 0.2};

void tmk_line_init(tmk_line *l, uint64_t seed) {
    memset(l, 0, sizeof *l);
    l->due = l->deadline = l->renew_at = TMK_NEVER;
    tmk_rng_seed(&l->rng, seed);
}

bool tmk_line_is_barred(const tmk_error *why) {
    return why->status == TMK_EAUTH || (!why->retryable && why->status != TMK_ENOMEM);
}

static void enter(tmk_line *l, tmk_time now, tmk_line_state state, int64_t within_ms) {
    l->state = state;
    l->asked = false;
    l->deadline = now + within_ms * TMK_MS;
}

static void begin(tmk_line *l, tmk_time now) {
    l->second = false;
    l->fresh = false;
    enter(l, now, TMK_LINE_FETCHING, FETCH_MS);
}

static void switch_off(tmk_line *l) {
    l->state = TMK_LINE_OFF;
    l->renewal = TMK_RENEWAL_NONE;
    l->due = l->deadline = l->renew_at = TMK_NEVER;
    l->stands = false;
}

/* Ends what there is, and pauses; not before `not_before`. */
static void fail(tmk_line *l, tmk_time now, const tmk_error *why, tmk_time not_before) {
    const tmk_backoff *pause = tmk_line_is_barred(why) ? &pause_barred : &pause_normal;

    if (l->state == TMK_LINE_UP && now - l->up_since >= STABLE_MS * TMK_MS) {
        l->failures = 0;
    }
    l->failures++;
    l->why = *why;
    l->drop = l->connected;
    switch_off(l);
    l->state = TMK_LINE_PAUSED;
    l->due = tmk_time_after(now, tmk_backoff_delay(pause, l->failures, &l->rng));
    if (not_before != TMK_NEVER && not_before > l->due) {
        l->due = tmk_time_min(not_before, now + pause_barred.delay_max);
    }
}

static void fail_timeout(tmk_line *l, tmk_time now) {
    const char *words = l->state == TMK_LINE_FETCHING ? "no token was given in time"
                        : l->state == TMK_LINE_OPENING
                            ? "the service does not answer the opening of the connection"
                            : "the service does not answer the token";
    tmk_error err;

    (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "amqp", "%s", words);
    fail(l, now, &err, TMK_NEVER);
}

/* A renewal did not work; the old token goes on until it ends. */
static void put_off_renewal(tmk_line *l, tmk_time now, const tmk_error *why, tmk_time not_before) {
    l->why = *why;
    l->renewals_failed++;
    l->renewal = TMK_RENEWAL_NONE;
    l->deadline = TMK_NEVER;
    l->renew_at = tmk_time_after(
        now, tmk_backoff_delay(tmk_line_is_barred(why) ? &pause_barred : &pause_normal,
                               l->renewals_failed, &l->rng));
    if (not_before != TMK_NEVER && not_before > l->renew_at) {
        l->renew_at = not_before;
    }
}

static void renew(tmk_line *l, tmk_time now, tmk_line_renewal step, int64_t within_ms) {
    l->renewal = step;
    l->asked = false;
    l->renew_at = TMK_NEVER;
    l->deadline = now + within_ms * TMK_MS;
}

/* What the state asks to be done, once. */
static tmk_line_act ask(tmk_line *l) {
    if (l->asked) {
        return TMK_LINE_WAIT;
    }
    l->asked = true;
    switch (l->state) {
    case TMK_LINE_FETCHING:
        return TMK_LINE_FETCH;
    case TMK_LINE_OPENING:
        l->connected = true;
        return TMK_LINE_OPEN;
    case TMK_LINE_PUTTING:
        return TMK_LINE_PUT;
    case TMK_LINE_UP:
        return l->renewal == TMK_RENEWAL_FETCHING  ? TMK_LINE_FETCH
               : l->renewal == TMK_RENEWAL_PUTTING ? TMK_LINE_PUT
                                                   : TMK_LINE_WAIT;
    case TMK_LINE_OFF:
    case TMK_LINE_PAUSED:
        break;
    }
    return TMK_LINE_WAIT;
}

/* What the time has brought. */
static void turn(tmk_line *l, tmk_time now) {
    tmk_error err;

    if (l->wanted && (l->state == TMK_LINE_OFF || (l->state == TMK_LINE_PAUSED && now >= l->due))) {
        begin(l, now);
    } else if (!l->wanted && (l->state == TMK_LINE_PAUSED || l->state == TMK_LINE_FETCHING)) {
        switch_off(l);
    } else if (!l->wanted && l->state == TMK_LINE_UP && now >= l->idle_since + IDLE_MS * TMK_MS) {
        switch_off(l);
        l->close = true;
    } else if (now >= l->deadline && l->state == TMK_LINE_UP) {
        (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "amqp", "the new token was not %s in time",
                             l->renewal == TMK_RENEWAL_PUTTING ? "acknowledged" : "given");
        if (l->renewal == TMK_RENEWAL_PUTTING) {
            fail(l, now, &err, TMK_NEVER); /* a service that is silent here is silent everywhere */
        } else {
            put_off_renewal(l, now, &err, TMK_NEVER);
        }
    } else if (now >= l->deadline) {
        fail_timeout(l, now);
    } else if (l->state == TMK_LINE_UP && now >= l->renew_at) {
        l->fresh = true;
        l->second = false;
        renew(l, now, TMK_RENEWAL_FETCHING, FETCH_MS);
    }
}

tmk_line_act tmk_line_step(tmk_line *l, tmk_time now) {
    if (!l->drop && !l->close) {
        turn(l, now);
    }
    if (l->drop) {
        l->drop = l->connected = false;
        return TMK_LINE_DROP;
    }
    if (l->close) {
        l->close = l->connected = false;
        return TMK_LINE_CLOSE;
    }
    if (l->stands) {
        l->stands = false;
        return TMK_LINE_STANDS;
    }
    return ask(l);
}

static bool has_to_ask(const tmk_line *l) {
    return !l->asked && (l->renewal != TMK_RENEWAL_NONE || l->state == TMK_LINE_FETCHING ||
                         l->state == TMK_LINE_OPENING || l->state == TMK_LINE_PUTTING);
}

tmk_time tmk_line_deadline(const tmk_line *l) {
    tmk_time at = tmk_time_min(l->deadline, l->renew_at);

    if (l->drop || l->close || l->stands || has_to_ask(l) ||
        (l->wanted && l->state == TMK_LINE_OFF)) {
        return 0;
    }
    if (l->state == TMK_LINE_PAUSED) {
        at = tmk_time_min(at, l->wanted ? l->due : 0);
    }
    if (l->state == TMK_LINE_UP && !l->wanted) {
        at = tmk_time_min(at, l->idle_since + IDLE_MS * TMK_MS);
    }
    return at;
}

void tmk_line_want(tmk_line *l, tmk_time now, bool wanted) {
    if (l->wanted && !wanted) {
        l->idle_since = now;
    }
    l->wanted = wanted;
}

void tmk_line_on_token(tmk_line *l, tmk_time now) {
    l->refused = false;
    if (l->state == TMK_LINE_UP && l->renewal == TMK_RENEWAL_FETCHING) {
        renew(l, now, TMK_RENEWAL_PUTTING, PUT_MS);
    } else if (l->state == TMK_LINE_FETCHING) {
        if (l->connected) {
            enter(l, now, TMK_LINE_PUTTING, PUT_MS);
        } else {
            enter(l, now, TMK_LINE_OPENING, OPEN_MS);
        }
    }
}

void tmk_line_on_token_failed(tmk_line *l, tmk_time now, const tmk_error *why, tmk_time retry_at) {
    l->refused = false;
    if (l->state == TMK_LINE_UP && l->renewal == TMK_RENEWAL_FETCHING) {
        put_off_renewal(l, now, why, retry_at);
    } else if (l->state == TMK_LINE_FETCHING) {
        fail(l, now, why, retry_at);
    }
}

void tmk_line_on_opened(tmk_line *l, tmk_time now) {
    if (l->state == TMK_LINE_OPENING) {
        enter(l, now, TMK_LINE_PUTTING, PUT_MS);
    }
}

void tmk_line_on_put(tmk_line *l, tmk_time now, tmk_time renew_at) {
    if (l->state == TMK_LINE_PUTTING) {
        l->state = TMK_LINE_UP;
        l->up_since = now;
        l->idle_since = now;
        l->stands = true;
    } else if (l->state != TMK_LINE_UP || l->renewal != TMK_RENEWAL_PUTTING) {
        return;
    }
    l->renewal = TMK_RENEWAL_NONE;
    l->renewals_failed = 0;
    l->put_at = now;
    l->deadline = TMK_NEVER;
    l->renew_at = renew_at;
}

/* A refused token is replaced once; the second refusal counts. */
static bool try_fresh(tmk_line *l, tmk_time now, const tmk_error *why) {
    if (why->status != TMK_EAUTH || l->second) {
        return false;
    }
    l->second = l->fresh = l->refused = true;
    if (l->state == TMK_LINE_UP) {
        renew(l, now, TMK_RENEWAL_FETCHING, FETCH_MS);
    } else {
        enter(l, now, TMK_LINE_FETCHING, FETCH_MS);
    }
    return true;
}

void tmk_line_on_put_failed(tmk_line *l, tmk_time now, const tmk_error *why) {
    if (l->state != TMK_LINE_PUTTING &&
        (l->state != TMK_LINE_UP || l->renewal != TMK_RENEWAL_PUTTING)) {
        return;
    }
    if (try_fresh(l, now, why)) {
        return;
    }
    if (l->state == TMK_LINE_UP) {
        put_off_renewal(l, now, why, TMK_NEVER);
    } else {
        fail(l, now, why, TMK_NEVER);
    }
}

void tmk_line_on_lost(tmk_line *l, tmk_time now, const tmk_error *why, tmk_time wait) {
    if (l->connected && !l->drop && !l->close) {
        fail(l, now, why, now + wait);
    }
}

bool tmk_line_need_token(tmk_line *l, tmk_time now, tmk_time since) {
    if (l->state != TMK_LINE_UP || l->renewal != TMK_RENEWAL_NONE) {
        return true; /* one is on its way */
    }
    if (l->put_at > since) {
        return false;
    }
    l->fresh = l->refused = l->second = true;
    renew(l, now, TMK_RENEWAL_FETCHING, FETCH_MS);
    return true;
}
