/*
 * A log in bounds: lines at info and above pass at most so many a second of one
 * event name; how many did not is said in a line `log.suppressed` when they pass
 * again. Debug and trace lines pass: whoever asks for them wants all.
 *
 * Threads: any. Its lock has the highest rank and is not held while lines are
 * written.
 */
#ifndef TMK_BASE_LOG_LIMIT_H
#define TMK_BASE_LOG_LIMIT_H

#include "base/log.h"
#include "base/thread.h"

enum { TMK_LOG_BURST = 200, TMK_LOG_RATE = 20, TMK_LOG_NAMES = 64, TMK_RANK_LOG = 99 };

typedef struct tmk_log_bucket {
    const char *event; /* as it was given: names are literals */
    tmk_time at;       /* when `room` was right */
    uint32_t room;     /* lines that may pass */
    uint64_t dropped;
} tmk_log_bucket;

typedef struct tmk_log_limiter {
    tmk_log inner;
    tmk_clock clock;
    tmk_mutex lock; /* guards what follows */
    tmk_log_bucket buckets[TMK_LOG_NAMES];
} tmk_log_limiter;

/* Puts a limiter before *log, which becomes its front; the limiter must stay where it is. */
tmk_status tmk_log_limit(tmk_log_limiter *l, const tmk_clock *clock, tmk_log *log, tmk_error *err);
void tmk_log_unlimit(tmk_log_limiter *l); /* also of one that was never set up, all zero */

#endif
