/*
 * The tracker alone: bursts of 64 events are admitted, and become final in runs
 * of 8, those of four bursts at a time and the newest first, so that there are
 * gaps below what is final. The same in every run. For tools/counts.py:
 *   valgrind --tool=callgrind --toggle-collect=measured bench_tracker EVENTS
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/tracker.h"
#include "support/bursts.h"

enum { EVENTS = 64, BURSTS = 4, RUN = 8, ROUND = BURSTS * EVENTS };

void measured(tmk_tracker *t, tmk_burst **bursts);

/* One round: four bursts in, all of their events final. */
__attribute__((noinline)) void measured(tmk_tracker *t, tmk_burst **bursts) {
    uint64_t first = t->high, ordinal = 0;

    for (uint32_t i = 0; i < BURSTS; i++) {
        tmk_burst_ref(bursts[i]);
        if (tmk_tracker_admit(t, bursts[i], 0, EVENTS, 1, 0, &ordinal) < 0) {
            exit(1);
        }
    }
    for (uint32_t at = ROUND; at > 0; at -= RUN) {
        tmk_tracker_finish(t, first + at - RUN, RUN);
    }
}

int main(int argc, char **argv) {
    static const tmk_position start = {.sequence = -1, .enqueued_ms = -1};
    uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000, done = 0;
    tmk_burst *bursts[BURSTS];
    tmk_burst_pool *pool = NULL;
    tmk_tracker t;

    if (tmk_burst_pool_new(1 << 20, &pool, NULL) < 0) {
        return 1;
    }
    for (uint32_t i = 0; i < BURSTS; i++) {
        bursts[i] = bursts_make(pool, 0, EVENTS, 1, 1);
    }
    tmk_tracker_init(&t, &start, NULL);
    for (; done < events; done += ROUND) {
        for (uint32_t i = 0; i < ROUND; i++) {
            bursts[i / EVENTS]->events[i % EVENTS].sequence = (int64_t)(done + i);
        }
        measured(&t, bursts);
    }
    (void)printf("measured.events\t%llu\tevents\n", (unsigned long long)done);
    (void)printf("tracker: all final up to %lld\n", (long long)tmk_tracker_water_sequence(&t));
    done = t.low == done ? 0 : 1;
    tmk_tracker_clear(&t);
    for (uint32_t i = 0; i < BURSTS; i++) {
        tmk_burst_drop(bursts[i]);
    }
    (void)tmk_burst_pool_free(pool);
    return (int)done;
}
