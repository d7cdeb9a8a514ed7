/*
 * Receiving: what an event costs from the socket to the callback, in a consumer
 * and in a whole processor, beside three bare readers of the same stream: one
 * that reads, one that finds sections and marks too, one on Proton. All in one
 * run, in turns; trust the ratios, not the times of a busy machine.
 *
 *   bench_receive SUBJECT|all [EVENTS [BODY [PARTITIONS [ROUNDS [SLOWNESS]]]]]
 *
 * Default: 200000 events with 100 bytes of body, 4 partitions, 5 rounds. The middle half of the
 * stream is measured: a processor holds 20000 events, which are received before and handled
 * within, or the reverse. For the instructions of one subject:
 *
 *   valgrind --tool=callgrind --toggle-collect=measured bench_receive consumer 80000 100 4 1 50
 *
 * divided by `measured.events`. SLOWNESS: how much slower than it is the tool makes the program,
 * about; a processor's turns have as many events as their handlers are quick (slow_clock.h).
 */
#include <tidemark/consumer.h>
#include <tidemark/processor.h>
#include <tidemark/store_memory.h>

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/feed.h"
#include "bench/slow_clock.h"

typedef struct subject {
    const char *name;
    cost (*run)(const feed *f);
    cost best;
} subject;

/* ---- the bare readers ---- */

static uint64_t stream_bytes; /* as the scanning drain counts them */

static cost run_scan(const feed *f) {
    return drain_scan(f, &stream_bytes);
}

static cost run_raw(const feed *f) {
    if (stream_bytes == 0) {
        (void)run_scan(f);
    }
    return drain_raw(f, stream_bytes);
}

/* ---- the library ---- */

typedef struct reading {
    tmk_client *client;
    tmk_processor *processor;
    uint64_t events, bytes;
    uint64_t warm, total; /* handler threads post when there were so many */
    sem_t reached;
} reading;

static unsigned slowness = 1;

/* The clock lags from the first event on: what comes before would take too long by it. */
static void lag(const reading *r) {
    static bool lags;

    if (slowness > 1 && !lags && r->events > 0) {
        lags = true;
        slow_clock(slowness);
    }
}

static tmk_client *make_client(const feed *f, bool caller_driven) {
    tmk_client_options o;
    tmk_client *client = NULL;
    tmk_error err;

    tmk_client_options_init(&o);
    o.connection_string = f->connection_string;
    o.hub = "hub";
    o.caller_driven = caller_driven;
    if (tmk_client_new(&o, &client, &err) < 0) {
        die("client", err.text);
    }
    return client;
}

static void on_events(void *user, tmk_received *got) {
    reading *r = user;
    size_t count = tmk_received_count(got);

    for (size_t i = 0; i < count; i++) {
        r->bytes += tmk_event_body(tmk_received_event(got, i)).size;
    }
    r->events += count;
    (void)tmk_received_free(got);
}

static void on_ended(void *user, const tmk_error *why) {
    (void)user;
    die("consumer", why->text);
}

static void poll_client(void *self) {
    reading *r = self;

    if (tmk_client_poll(r->client, 1000, NULL) < 0) {
        die("client", "poll");
    }
}

static cost run_consumer(const feed *f) {
    reading r = {.client = make_client(f, true)};
    const drain d = {poll_client, &r, &r.events};
    tmk_consumer *all[PARTITIONS_MAX];
    tmk_error err;
    cost c;

    for (uint32_t p = 0; p < f->partitions; p++) {
        tmk_consumer_options o;
        char id[12];

        (void)snprintf(id, sizeof id, "%u", p);
        tmk_consumer_options_init(&o);
        o.partition = id;
        o.start = tmk_start_earliest();
        o.prefetch = CREDIT;
        o.on_events = on_events;
        o.on_ended = on_ended;
        o.user = &r;
        if (tmk_consumer_new(r.client, &o, &all[p], &err) < 0) {
            die("consumer", err.text);
        }
    }
    c = measure(&d, f->events / 4, f->events / 4 * 3);
    for (uint32_t p = 0; p < f->partitions; p++) {
        (void)tmk_consumer_free(all[p]);
    }
    (void)tmk_client_free(r.client);
    return c;
}

/* Of counts that grow, one handler passes each mark. */
static void count(reading *r, uint64_t events, uint64_t bytes) {
    uint64_t before = __atomic_fetch_add(&r->events, events, __ATOMIC_RELAXED);
    uint64_t now = before + events;

    __atomic_fetch_add(&r->bytes, bytes, __ATOMIC_RELAXED);
    if ((before < r->warm && now >= r->warm) || (before < r->total && now >= r->total)) {
        (void)sem_post(&r->reached);
    }
}

static tmk_verdict on_event(void *user, const tmk_event *event, tmk_delivery *delivery) {
    (void)delivery;
    count(user, 1, tmk_event_body(event).size);
    return TMK_DONE;
}

static void on_batch(void *user, const tmk_event *const *events, size_t event_count,
                     tmk_verdict *verdicts, tmk_delivery *delivery) {
    uint64_t bytes = 0;

    (void)verdicts;
    (void)delivery;
    for (size_t i = 0; i < event_count; i++) {
        bytes += tmk_event_body(events[i]).size;
    }
    count(user, event_count, bytes);
}

static void poll_processor(void *self) {
    reading *r = self;

    lag(r);
    if (tmk_processor_poll(r->processor, 1000, 0, NULL) < 0) {
        die("processor", "poll");
    }
}

static void wait_for_handlers(void *self) {
    reading *r = self;

    while (sem_wait(&r->reached) < 0 && errno == EINTR) {
    }
}

/* threads 0: everything on the caller's thread. */
static cost run_processor(const feed *f, bool batch, uint32_t threads) {
    reading r = {
        .client = make_client(f, threads == 0), .warm = f->events / 4, .total = f->events / 4 * 3};
    const drain d = {threads == 0 ? poll_processor : wait_for_handlers, &r, &r.events};
    tmk_processor_options o;
    tmk_store store = {NULL, NULL};
    tmk_error err;
    cost c;

    tmk_processor_options_init(&o);
    o.on_event = batch ? NULL : on_event;
    o.on_batch = batch ? on_batch : NULL;
    o.batch_events = 1000;
    o.user = &r;
    o.prefetch = CREDIT;
    o.caller_driven = threads == 0;
    o.threads = threads == 0 ? 1 : threads;
    if (sem_init(&r.reached, 0, 0) < 0 || tmk_store_memory_new(&store, &err) < 0 ||
        tmk_processor_new(r.client, store, &o, &r.processor, &err) < 0 ||
        tmk_processor_start(r.processor, &err) < 0) {
        die("processor", err.text);
    }
    c = measure(&d, r.warm, r.total);
    (void)tmk_processor_free(r.processor);
    (void)tmk_client_free(r.client);
    (void)sem_destroy(&r.reached);
    tmk_store_free(store);
    return c;
}

static cost run_events(const feed *f) {
    return run_processor(f, false, 0);
}
static cost run_batches(const feed *f) {
    return run_processor(f, true, 0);
}
static cost run_threads(const feed *f) {
    return run_processor(f, false, 2);
}

/* ---- */

static subject subjects[] = {
    {.name = "scan", .run = run_scan},
    {.name = "raw", .run = run_raw},
    {.name = "proton", .run = drain_proton},
    {.name = "consumer", .run = run_consumer},
    {.name = "processor", .run = run_events},
    {.name = "processor_batch", .run = run_batches},
    {.name = "processor_threads", .run = run_threads},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

/* measured.events: of the last subject, for those who count its instructions from outside. */
static void tell_all(void) {
    char name[64];
    uint64_t events = 0;

    for (int i = 0; i < SUBJECTS; i++) {
        const cost *c = &subjects[i].best;

        if (c->events == 0) {
            continue;
        }
        (void)snprintf(name, sizeof name, "%s.cpu", subjects[i].name);
        tell(name, c->cpu * 1e9 / (double)c->events, "ns/event");
        (void)snprintf(name, sizeof name, "%s.rate", subjects[i].name);
        tell(name, (double)c->events / c->seconds, "events/s");
        (void)snprintf(name, sizeof name, "%s.allocations", subjects[i].name);
        tell(name, (double)c->allocations / (double)c->events, "1/event");
        events = c->events;
    }
    (void)printf("measured.events\t%llu\tevents\n", (unsigned long long)events);
}

static uint64_t argument(int argc, char **argv, int index, uint64_t fallback) {
    return argc > index ? strtoull(argv[index], NULL, 10) : fallback;
}

int main(int argc, char **argv) {
    const char *only = argc > 1 ? argv[1] : "all";
    feed f = {.events = argument(argc, argv, 2, 200000),
              .body_size = (uint32_t)argument(argc, argv, 3, 100),
              .partitions = (uint32_t)argument(argc, argv, 4, 4)};
    uint64_t rounds = argument(argc, argv, 5, 5);

    slowness = (unsigned)argument(argc, argv, 6, 1);

    if (f.partitions < 1 || f.partitions > PARTITIONS_MAX) {
        die("arguments", "1 to 64 partitions");
    }
    f.events -= f.events % f.partitions;
    feed_start(&f);
    for (uint64_t i = 0; i < rounds; i++) {
        for (int k = 0; k < SUBJECTS; k++) {
            if (strcmp(only, "all") == 0 || strcmp(only, subjects[k].name) == 0) {
                cost c = subjects[k].run(&f);

                keep_best(&subjects[k].best, &c);
            }
        }
    }
    tell_all();
    feed_stop(&f);
    return 0;
}
