/*
 * Two kinds of time that cannot be mixed: tmk_time is monotonic and counts
 * while the machine sleeps; tmk_wall is what calendars and tokens say. Both
 * come from an injected clock, so that the simulation can be both.
 */
#ifndef TMK_BASE_TIME_H
#define TMK_BASE_TIME_H

#include <tidemark/status.h>

#include "base/slice.h"

typedef int64_t tmk_time; /* nanoseconds since some moment */

#define TMK_US INT64_C(1000)
#define TMK_MS INT64_C(1000000)
#define TMK_SEC INT64_C(1000000000)
#define TMK_MIN (60 * TMK_SEC)
#define TMK_NEVER INT64_MAX

typedef struct tmk_wall {
    int64_t us; /* microseconds since 1970 */
} tmk_wall;

typedef struct tmk_clock {
    tmk_time (*now)(void *self);
    tmk_wall (*wall)(void *self);
    void *self;
} tmk_clock;

tmk_clock tmk_clock_system(void); /* CLOCK_BOOTTIME and CLOCK_REALTIME */

static inline tmk_time tmk_now(const tmk_clock *c) {
    return c->now(c->self);
}
static inline tmk_wall tmk_wall_now(const tmk_clock *c) {
    return c->wall(c->self);
}
static inline tmk_time tmk_time_min(tmk_time a, tmk_time b) {
    return a < b ? a : b;
}
/* now + delay; stays TMK_NEVER when either is, or when the sum overflows. */
tmk_time tmk_time_after(tmk_time now, tmk_time delay);

/* "250ms", "10s", "5m", "2h", "7d", "1.5s"; a bare number is refused. */
tmk_status tmk_duration_parse(tmk_slice text, tmk_time *out, tmk_error *err);
/* ISO 8601 with Z or an offset, fractions of any length. */
tmk_status tmk_iso_parse(tmk_slice text, tmk_wall *out, tmk_error *err);
/* RFC 1123, as HTTP headers have it: "Fri, 20 Nov 2026 21:00:00 GMT". */
tmk_status tmk_http_date_parse(tmk_slice text, tmk_wall *out, tmk_error *err);
void tmk_http_date_format(tmk_wall wall, char out[32]);
/* "64KiB", "10MB", "1GiB", "512" -> bytes. */
tmk_status tmk_size_parse(tmk_slice text, uint64_t *out, tmk_error *err);

#endif
