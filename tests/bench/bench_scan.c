/*
 * What our own work for a received event costs: scan, marks, and its place in
 * a burst. Counted exactly with
 *   valgrind --tool=callgrind --toggle-collect='events_take*' build/tests/bench_scan 10000
 * Target: at most 500 instructions an event in tmk_scan_event().
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "eventhubs/burst.h"
#include "support/events.h"

enum { BURST_EVENTS = 64 };

/* The part that is measured. */
__attribute__((noinline)) static int events_take(tmk_burst *b, tmk_slice message, int count) {
    uint8_t *at;

    for (int i = 0; i < count; i++) {
        if (tmk_burst_reserve(b, message.size, &at) < 0) {
            return 1;
        }
        memcpy(at, message.bytes, message.size);
        if (tmk_burst_add(b, message.size, NULL) < 0) {
            return 1;
        }
    }
    tmk_burst_seal(b);
    return 0;
}

int main(int argc, char **argv) {
    int64_t total = argc > 1 ? strtoll(argv[1], NULL, 10) : 1000000;
    event_text text = {.sequence = 123456789, .enqueued_ms = 1700000000123, .offset = "4294967296"};
    tmk_clock clock = tmk_clock_system();
    tmk_burst_pool *pool = NULL;
    tmk_str message = TMK_STR_INIT;
    char body[101] = {0};
    tmk_time begin;
    int64_t done = 0;

    memset(body, 'x', 100);
    text.body = body;
    event_put(&message, &text);
    if (!tmk_str_ok(&message) || tmk_burst_pool_new(1 << 20, &pool, NULL) < 0) {
        return 1;
    }
    begin = tmk_now(&clock);
    for (; done < total; done += BURST_EVENTS) {
        tmk_burst *b = tmk_burst_take(pool, "0");

        if (b == NULL || events_take(b, tmk_str_slice(&message), BURST_EVENTS) != 0) {
            return 1;
        }
        tmk_burst_drop(b);
    }
    printf("measured.events\t%lld\tevents\n", (long long)done);
    printf("scan: %lld events of %zu bytes, %.1f ns each\n", (long long)done, message.size,
           (double)(tmk_now(&clock) - begin) / (double)done);
    (void)tmk_burst_pool_free(pool);
    tmk_str_clear(&message);
    return 0;
}
