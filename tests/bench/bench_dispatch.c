/*
 * What an event costs between the link and the handler, and back to the low
 * water: tracker, lanes and dispatcher, without network. The handler counts.
 *
 *   bench_dispatch [events] [threads] [burst] [partition|key|none] [steady]
 *
 * Without arguments: a table of all. threads 0 is the caller's own thread, where
 * the instructions of an event can be counted exactly:
 *
 *   valgrind --tool=callgrind --toggle-collect=measured --callgrind-out-file=/dev/null \
 *       build/tests/bench_dispatch 64000 0 64 partition steady
 *
 * "steady" is a clock for that, by which handlers are as quick as they are without valgrind: turns
 * are sized by what handlers take. Of the instructions about 20 an event are the benchmark's own
 * (new numbers for old bursts, and the handler), and with keys the hash of each. Target: at most 50
 * ns and 100 instructions an event at bursts of 64, 150 ns at bursts of 16, and no allocation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <tidemark/alloc.h>

#include "base/thread.h"
#include "core/tracker.h"
#include "run/dispatcher.h"
#include "support/bursts.h"

enum { IN_FLIGHT = 4096, KEYS = 997, LANES = 1024 };

typedef struct bench {
    uint64_t events;
    uint32_t threads, burst;
    tmk_order order;
    tmk_dispatcher *dispatcher;
    tmk_lanes *lanes;
    tmk_tracker tracker;
    tmk_burst_pool *pool;
    tmk_burst **bursts; /* used again and again, in turn */
    uint32_t burst_count;
    uint16_t *lane; /* of each event of a burst */
    tmk_mutex lock;
    tmk_cond rung;
    bool bell, steady;
} bench;

static uint64_t allocations;
static uint64_t handled;

static void *counted_alloc(void *self, size_t size) {
    (void)self;
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    return malloc(size);
}
static void *counted_resize(void *self, void *old, size_t size) {
    (void)self;
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    return realloc(old, size);
}
static void counted_release(void *self, void *old) {
    (void)self;
    free(old);
}

static tmk_verdict handle(void *user, const tmk_event *event, tmk_delivery *delivery) {
    (void)user;
    (void)delivery;
    __atomic_store_n(&handled, (uint64_t)event->sequence, __ATOMIC_RELAXED);
    return TMK_DONE;
}

static void ring(void *self) {
    bench *b = self;

    tmk_mutex_lock(&b->lock);
    b->bell = true;
    tmk_cond_signal(&b->rung);
    tmk_mutex_unlock(&b->lock);
}

static void wait_for_bell(bench *b) {
    tmk_mutex_lock(&b->lock);
    while (!b->bell) {
        tmk_cond_wait(&b->rung, &b->lock);
    }
    b->bell = false;
    tmk_mutex_unlock(&b->lock);
}

static void collect(bench *b) {
    tmk_lanes *l = tmk_yard_collect(tmk_dispatcher_yard(b->dispatcher));
    tmk_finished f;

    while (l != NULL && tmk_lanes_next_finished(l, &f)) {
        tmk_tracker_finish(&b->tracker, f.ordinal, f.count);
    }
}

/* A burst that was finished long ago comes again, with new numbers. */
static void push(bench *b, uint64_t number) {
    tmk_burst *burst = b->bursts[number % b->burst_count];
    bool keyed = b->order == TMK_ORDER_KEY;
    uint64_t first = 0;

    for (uint32_t i = 0; i < burst->count; i++) {
        burst->events[i].sequence = (int64_t)b->tracker.high + i;
        if (keyed) {
            tmk_slice key = tmk_slice_of(burst->events[i].message + burst->events[i].key_at,
                                         burst->events[i].key_size);

            b->lane[i] = tmk_lane_of_key(b->lanes, key);
        }
    }
    tmk_burst_ref(burst);
    if (tmk_tracker_admit(&b->tracker, burst, 0, burst->count, 1, 0, &first) < 0 ||
        tmk_lanes_push(b->lanes, 0, burst->events, burst->count, first, b->tracker.low,
                       keyed ? b->lane : NULL) < 0) {
        exit(1);
    }
}

__attribute__((noinline)) static void handle_events(bench *b, uint64_t events) {
    uint64_t end = b->tracker.high + events;
    uint64_t number = b->tracker.high / b->burst;

    while (b->tracker.low < end) {
        while (b->tracker.high < end && b->tracker.high - b->tracker.low + b->burst <= IN_FLIGHT) {
            push(b, number++);
            if (b->threads == 0) {
                break; /* the smallest delay: each burst is handled when it has come */
            }
        }
        if (b->threads == 0) {
            (void)tmk_dispatcher_poll(b->dispatcher, 0);
        } else {
            wait_for_bell(b);
        }
        collect(b);
    }
}

__attribute__((noinline)) static void measured(bench *b, uint64_t events) {
    handle_events(b, events);
    __asm__ volatile("" ::: "memory"); /* no tail call: its name is what a tool looks for */
}

static tmk_time steady_now(void *self) {
    tmk_time *now = self;

    return *now += 100;
}

static bool set_up(bench *b) {
    static tmk_time steady;

    static const tmk_position start = {.sequence = -1, .enqueued_ms = -1};
    tmk_dispatcher_options d = {.threads = b->threads,
                                .clock = tmk_clock_system(),
                                .on_event = handle,
                                .bell = ring,
                                .bell_self = b};
    if (b->steady) {
        d.clock.now = steady_now;
        d.clock.self = &steady;
    }
    tmk_lanes_options l = {.order = b->order, .lane_count = LANES, .partition = "0"};

    b->burst_count = 2 * IN_FLIGHT / b->burst;
    b->bursts = calloc(b->burst_count, sizeof(tmk_burst *));
    b->lane = calloc(b->burst, sizeof *b->lane);
    if (b->bursts == NULL || b->lane == NULL || tmk_mutex_init(&b->lock, 10, NULL) < 0 ||
        tmk_cond_init(&b->rung, NULL) < 0 || tmk_burst_pool_new(1 << 20, &b->pool, NULL) < 0 ||
        tmk_dispatcher_new(&d, &b->dispatcher, NULL) < 0 ||
        tmk_lanes_new(tmk_dispatcher_yard(b->dispatcher), &l, &b->lanes, NULL) < 0 ||
        tmk_dispatcher_start(b->dispatcher, NULL) < 0) {
        return false;
    }
    for (uint32_t i = 0; i < b->burst_count; i++) {
        b->bursts[i] = bursts_make(b->pool, (int64_t)i * b->burst, b->burst, 1, KEYS);
        if (b->bursts[i] == NULL) {
            return false;
        }
    }
    tmk_tracker_init(&b->tracker, &start, NULL);
    return true;
}

static void tear_down(bench *b) {
    (void)tmk_lanes_free(b->lanes, NULL);
    (void)tmk_dispatcher_free(b->dispatcher);
    tmk_tracker_clear(&b->tracker);
    for (uint32_t i = 0; i < b->burst_count; i++) {
        tmk_burst_drop(b->bursts[i]);
    }
    free(b->bursts);
    free(b->lane);
    (void)tmk_burst_pool_free(b->pool);
    tmk_cond_clear(&b->rung);
    tmk_mutex_clear(&b->lock);
}

static double seconds(clockid_t clock) {
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run(uint64_t events, uint32_t threads, uint32_t burst, tmk_order order, bool steady) {
    static const char *const names[] = {"partition", "key", "none"};
    bench b = {
        .events = events, .threads = threads, .burst = burst, .order = order, .steady = steady};
    double wall, cpu;
    uint64_t before;

    if (!set_up(&b)) {
        return 1;
    }
    events = events / burst * burst;
    for (uint64_t warm = 0; warm < 4; warm++) {
        handle_events(&b, (uint64_t)IN_FLIGHT / burst * burst);
    }
    before = allocations;
    wall = seconds(CLOCK_MONOTONIC);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    measured(&b, events);
    wall = (seconds(CLOCK_MONOTONIC) - wall) * 1e9 / (double)events;
    cpu = (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e9 / (double)events;
    printf("measured.events\t%llu\tevents\n", (unsigned long long)events);
    printf("dispatch: %-9s threads %u burst %3u: %6.1f ns, %6.1f ns of CPU, %.4f allocations\n",
           names[order], threads, burst, wall, cpu,
           (double)(allocations - before) / (double)events);
    tear_down(&b);
    return 0;
}

static tmk_order order_of(const char *name) {
    return name[0] == 'k' ? TMK_ORDER_KEY : name[0] == 'n' ? TMK_ORDER_NONE : TMK_ORDER_PARTITION;
}

int main(int argc, char **argv) {
    static const uint32_t bursts[] = {1, 16, 64, 256};
    static const uint32_t threads[] = {0, 1, 2, 4};
    static const tmk_allocator counting = {counted_alloc, counted_resize, counted_release, NULL};
    uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    int failed = 0;

    tmk_allocator_set(&counting);
    if (argc > 4) {
        return run(events, (uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]), order_of(argv[4]),
                   argc > 5);
    }
    for (int order = 0; order < 3; order++) {
        for (int t = 0; t < 4; t++) {
            for (int i = 0; i < 4; i++) {
                failed |= run(events / (bursts[i] == 1 ? 4 : 1), threads[t], bursts[i],
                              (tmk_order)order, false);
            }
        }
    }
    return failed;
}
