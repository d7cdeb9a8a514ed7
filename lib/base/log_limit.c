/* Lines pass while their name has room. See log_limit.h. */
#include "base/log_limit.h"

#include <string.h>

/* With the lock. NULL: more names than there are in the library; their lines pass. */
static tmk_log_bucket *bucket_of(tmk_log_limiter *l, const char *event, tmk_time now) {
    for (size_t i = 0; i < TMK_LOG_NAMES; i++) {
        tmk_log_bucket *b = &l->buckets[i];

        if (b->event == NULL) {
            *b = (tmk_log_bucket){.event = event, .at = now, .room = TMK_LOG_BURST};
            return b;
        }
        if (b->event == event || strcmp(b->event, event) == 0) {
            return b;
        }
    }
    return NULL;
}

static void refill(tmk_log_bucket *b, tmk_time now) {
    tmk_time each = TMK_SEC / TMK_LOG_RATE;
    tmk_time fresh = now > b->at ? (now - b->at) / each : 0;

    if (fresh >= TMK_LOG_BURST - b->room) {
        b->room = TMK_LOG_BURST;
        b->at = now;
    } else {
        b->room += (uint32_t)fresh;
        b->at += fresh * each;
    }
}

static void on_line(void *self, tmk_log_level level, const char *event, const char *fields) {
    tmk_log_limiter *l = self;
    tmk_time now = tmk_now(&l->clock);
    uint64_t dropped = 0;
    bool passes = true;

    if (level <= TMK_LOG_INFO) {
        tmk_mutex_lock(&l->lock);
        tmk_log_bucket *b = bucket_of(l, event, now);
        if (b != NULL) {
            refill(b, now);
            passes = b->room > 0;
            b->room -= passes;
            dropped = passes ? b->dropped : 0;
            b->dropped = passes ? 0 : b->dropped + 1;
        }
        tmk_mutex_unlock(&l->lock);
    }
    if (dropped > 0) {
        tmk_warn(&l->inner, "log.suppressed", "event='%s' lines=%" PRIu64, event, dropped);
    }
    if (passes) {
        l->inner.write(l->inner.self, level, event, fields);
    }
}

tmk_status tmk_log_limit(tmk_log_limiter *l, const tmk_clock *clock, tmk_log *log, tmk_error *err) {
    tmk_status st;

    if (log->write == NULL) {
        return TMK_OK;
    }
    memset(l->buckets, 0, sizeof l->buckets);
    l->inner = *log;
    l->clock = *clock;
    st = tmk_mutex_init(&l->lock, TMK_RANK_LOG, err);
    if (st < 0) {
        l->inner.write = NULL;
        return st;
    }
    *log = (tmk_log){.write = on_line, .self = l, .level = l->inner.level};
    return TMK_OK;
}

void tmk_log_unlimit(tmk_log_limiter *l) {
    if (l->inner.write != NULL) {
        tmk_mutex_clear(&l->lock);
        l->inner.write = NULL;
    }
}
