/* See resend.h. */
#include "eventhubs/resend.h"

#include <inttypes.h>

#include "base/backoff.h"
#include "base/status.h"

#define BUSY_EXTRA (4 * TMK_SEC)

static const int64_t day_ms = INT64_C(24) * 3600 * 1000;

tmk_status tmk_retry_options_check(const tmk_retry_options *o, tmk_error *err) {
    if (o->attempts < 1 || o->attempts > 100) {
        return tmk_fail(err, TMK_EINVAL, "client", "retry.attempts is 1 to 100, not %u",
                        o->attempts);
    }
    if (o->mode != TMK_RETRY_EXPONENTIAL && o->mode != TMK_RETRY_FIXED) {
        return tmk_fail(err, TMK_EINVAL, "client", "retry.mode %d is none", (int)o->mode);
    }
    if (o->delay_ms < 0 || o->delay_ms > o->delay_max_ms || o->delay_max_ms > day_ms) {
        return tmk_fail(err, TMK_EINVAL, "client",
                        "retry.delay_ms (%" PRId64 ") is 0 to delay_max_ms (%" PRId64
                        "), and that is a day at most",
                        o->delay_ms, o->delay_max_ms);
    }
    if (o->try_timeout_ms < 1 || o->try_timeout_ms > day_ms) {
        return tmk_fail(err, TMK_EINVAL, "client",
                        "retry.try_timeout_ms is 1 to %" PRId64 ", not %" PRId64, day_ms,
                        o->try_timeout_ms);
    }
    if (!(o->jitter >= 0.0 && o->jitter <= 1.0)) {
        return tmk_fail(err, TMK_EINVAL, "client", "retry.jitter is 0 to 1, not %g", o->jitter);
    }
    return TMK_OK;
}

bool tmk_resend_after(const tmk_retry_options *o, uint32_t tries, const tmk_error *why,
                      tmk_rng *rng, tmk_time *delay) {
    tmk_backoff b = {.delay = o->delay_ms * TMK_MS,
                     .delay_max = o->delay_max_ms * TMK_MS,
                     .factor = o->mode == TMK_RETRY_FIXED ? 1.0 : 2.0,
                     .jitter = o->jitter};

    if (!why->retryable || tries >= o->attempts) {
        return false;
    }
    *delay = tmk_backoff_delay(&b, tries, rng);
    if (why->status == TMK_EBUSY) {
        *delay += BUSY_EXTRA;
    }
    return true;
}
