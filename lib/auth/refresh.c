/* When to renew: see the header. */
#include "auth/refresh.h"

#include "base/assert.h"
#include "base/backoff.h"

static const tmk_time minute = TMK_MIN;
static const tmk_time ahead = 15 * TMK_MIN;
static const tmk_time refused_soon = 10 * TMK_MIN;
static const tmk_time retry_after_max = 10 * TMK_MIN;

static const tmk_backoff after_failure = {
    .delay = 10 * TMK_SEC, .delay_max = 5 * TMK_MIN, .factor = 2, .jitter = 0.1};

bool tmk_refresh_alive(const tmk_refresh *r, tmk_time now) {
    return r->expires_at != 0 && now < r->expires_at;
}

/*
 * Alive for long enough that a request made with it arrives in time. A token that lives less than
 * that in all is good until its successor is due.
 */
static bool is_usable(const tmk_refresh *r, tmk_time now) {
    return tmk_refresh_alive(r, now) && (r->expires_at - now >= minute || now < r->refresh_at);
}

static tmk_refresh_act ask(tmk_refresh *r, tmk_refresh_act act) {
    r->asking = true;
    return act;
}

tmk_refresh_act tmk_refresh_step(tmk_refresh *r, tmk_time now, bool fresh) {
    bool usable = is_usable(r, now);
    bool due = !usable || now >= r->refresh_at;

    if (!due) {
        return TMK_REFRESH_USE;
    }
    if (usable && !fresh) {
        return r->asking || now < r->retry_at ? TMK_REFRESH_USE : ask(r, TMK_REFRESH_BOTH);
    }
    if (r->asking) {
        return TMK_REFRESH_WAIT;
    }
    if (now < r->retry_at) {
        return !fresh && tmk_refresh_alive(r, now) ? TMK_REFRESH_USE : TMK_REFRESH_FAIL;
    }
    return ask(r, TMK_REFRESH_ASK);
}

void tmk_refresh_on_token(tmk_refresh *r, tmk_time now, tmk_time expires_at, tmk_time refresh_at) {
    tmk_assert(r->asking);
    r->arrived_at = now;
    r->asking = false;
    r->failures = 0;
    r->retry_at = 0;
    r->expires_at = expires_at;
    r->refresh_at = refresh_at;
}

void tmk_refresh_on_failure(tmk_refresh *r, tmk_time now, tmk_time retry_after, tmk_rng *rng) {
    tmk_time wait;

    tmk_assert(r->asking);
    r->asking = false;
    r->failures++;
    wait = tmk_backoff_delay(&after_failure, r->failures, rng);
    if (wait < retry_after) {
        wait = tmk_time_min(retry_after, retry_after_max);
    }
    r->retry_at = tmk_time_after(now, wait);
}

void tmk_refresh_on_refused(tmk_refresh *r, tmk_time now, tmk_rng *rng) {
    bool soon = now - r->arrived_at < refused_soon;

    r->expires_at = 0;
    r->refresh_at = 0;
    r->refusals = soon ? r->refusals + 1 : 0;
    if (r->refusals > 1) {
        r->retry_at = tmk_time_after(now, tmk_backoff_delay(&after_failure, r->refusals - 1, rng));
    }
}

tmk_time tmk_refresh_deadline(const tmk_refresh *r) {
    tmk_time due = r->expires_at == 0 ? 0 : r->refresh_at;

    return due > r->retry_at ? due : r->retry_at;
}

tmk_time tmk_refresh_plan(tmk_time now, tmk_time life, tmk_time refresh_in, tmk_rng *rng) {
    tmk_time wait;

    if (refresh_in > 0 && refresh_in < life) {
        wait = refresh_in;
    } else if (life > 120 * TMK_MIN || life < 2 * ahead) {
        wait = life / 2;
    } else {
        wait = life - ahead;
    }
    if (rng != NULL && wait >= 10) {
        wait -= (tmk_time)tmk_rng_below(rng, (uint64_t)(wait / 10));
    }
    return tmk_time_after(now, wait);
}
