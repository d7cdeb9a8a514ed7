/*
 * A whole processor as a process of its own, for what is measured from outside or beside the
 * official SDKs: start, memory, latency, slow handlers, drains. The hub is elsewhere:
 * EVENTHUB_CONNECTION_STRING, and AZURE_STORAGE_CONNECTION_STRING for blob:.
 *
 *   bench_worker STORE [NAME=NUMBER ...] [ca=FILE]      STORE: memory, file:FOLDER, blob:CONTAINER
 *
 *   partitions=4  of the hub      events=0  to handle, then it ends; 0: it ends with its input
 *   warm=0        of these, those before the measuring begins
 *   batch=0       on_batch with so many; 0: on_event      threads=8   key=0  order by key
 *   handler_us=0  what a handler sleeps     checkpoint=1000  events between two checkpoints
 *   bytes_max=0 prefetch=0  0: the default               latency=0  bodies begin with a time
 *
 * Prints `first` with the first event, `owned` when it owns all partitions, `all` when each of
 * them has brought an event; then, between the event `warm` and the last, what was used.
 * tests/interop/js_bench.mjs prints the same lines.
 */
#include <tidemark/processor.h>
#include <tidemark/store_blob.h>
#include <tidemark/store_file.h>
#include <tidemark/store_memory.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/measure.h"

enum { PARTITIONS_MAX = 1024, LOOK_MS = 2, STOP_MS = 30000 };

typedef struct settings {
    const char *store, *ca;
    uint64_t partitions, events, warm, batch, threads, key, handler_us, checkpoint, bytes_max,
        prefetch, latency;
} settings;

typedef struct instant {
    int64_t wall_ns, cpu_ns;
} instant;

typedef struct work {
    settings s;
    uint64_t handled, brought; /* brought: partitions that had an event */
    uint64_t handler_ns;       /* asleep in handlers, between begin and end */
    bool seen[PARTITIONS_MAX];
    instant begin, end;
    bool ended;
    uint64_t *late_ns; /* of each event, by its place in the row of handled ones */
} work;

static int64_t nanoseconds(clockid_t id) {
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static instant instant_now(void) {
    return (instant){nanoseconds(CLOCK_MONOTONIC), nanoseconds(CLOCK_PROCESS_CPUTIME_ID)};
}

/* ---- handling ---- */

static void note_partition(work *w, const char *partition) {
    unsigned long p = strtoul(partition, NULL, 10);

    if (p < PARTITIONS_MAX && !__atomic_load_n(&w->seen[p], __ATOMIC_RELAXED) &&
        !__atomic_exchange_n(&w->seen[p], true, __ATOMIC_RELAXED) &&
        __atomic_add_fetch(&w->brought, 1, __ATOMIC_RELAXED) == w->s.partitions) {
        tell("all", 1, "");
    }
}

static void note_latency(work *w, uint64_t place, const tmk_event *event) {
    tmk_slice body = tmk_event_body(event);
    int64_t sent;

    if (place < w->s.events && body.size >= sizeof sent) {
        memcpy(&sent, body.bytes, sizeof sent);
        w->late_ns[place] = (uint64_t)(nanoseconds(CLOCK_MONOTONIC) - sent);
    }
}

static void take(work *w, const tmk_event *const *events, size_t count, const char *partition) {
    uint64_t before = __atomic_fetch_add(&w->handled, count, __ATOMIC_ACQ_REL);
    uint64_t after = before + count;

    if (before == 0) {
        tell("first", 1, "");
    }
    note_partition(w, partition);
    if (before <= w->s.warm && after > w->s.warm) {
        w->begin = instant_now();
    }
    for (size_t i = 0; w->s.latency && i < count; i++) {
        note_latency(w, before + i, events[i]);
    }
    if (before < w->s.events && after >= w->s.events) {
        w->end = instant_now();
        __atomic_store_n(&w->ended, true, __ATOMIC_RELEASE);
    }
}

static void sleep_in_handler(work *w) {
    const struct timespec pause = {(time_t)(w->s.handler_us / 1000000),
                                   (long)(w->s.handler_us % 1000000) * 1000};
    int64_t begin = nanoseconds(CLOCK_MONOTONIC);

    (void)nanosleep(&pause, NULL);
    if (__atomic_load_n(&w->handled, __ATOMIC_RELAXED) > w->s.warm &&
        !__atomic_load_n(&w->ended, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&w->handler_ns, (uint64_t)(nanoseconds(CLOCK_MONOTONIC) - begin),
                           __ATOMIC_RELAXED);
    }
}

static tmk_verdict on_event(void *user, const tmk_event *event, tmk_delivery *delivery) {
    work *w = user;

    take(w, &event, 1, delivery->partition);
    if (w->s.handler_us > 0) {
        sleep_in_handler(w);
    }
    return TMK_DONE;
}

static void on_batch(void *user, const tmk_event *const *events, size_t count,
                     tmk_verdict *verdicts, tmk_delivery *delivery) {
    work *w = user;

    (void)verdicts;
    take(w, events, count, delivery->partition);
    if (w->s.handler_us > 0) {
        sleep_in_handler(w);
    }
}

/* ---- making ---- */

static void read_settings(settings *s, int argc, char **argv) {
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"partitions", &s->partitions},
                   {"events", &s->events},
                   {"warm", &s->warm},
                   {"batch", &s->batch},
                   {"threads", &s->threads},
                   {"key", &s->key},
                   {"handler_us", &s->handler_us},
                   {"checkpoint", &s->checkpoint},
                   {"bytes_max", &s->bytes_max},
                   {"prefetch", &s->prefetch},
                   {"latency", &s->latency}};

    for (int i = 2; i < argc; i++) {
        size_t size = strcspn(argv[i], "="), n = 0;

        while (n < sizeof numbers / sizeof *numbers &&
               (strlen(numbers[n].name) != size || strncmp(numbers[n].name, argv[i], size) != 0)) {
            n++;
        }
        if (strncmp(argv[i], "ca=", 3) == 0) {
            s->ca = argv[i] + 3;
        } else if (n == sizeof numbers / sizeof *numbers || argv[i][size] == '\0') {
            die(argv[i], "is no setting");
        } else {
            *numbers[n].value = strtoull(argv[i] + size + 1, NULL, 10);
        }
    }
}

static tmk_store make_store(const char *text, const tmk_client *client) {
    tmk_store_blob_options blob;
    tmk_store_file_options file;
    tmk_store store;
    tmk_error err;
    tmk_status st;

    tmk_store_blob_options_init(&blob);
    tmk_store_file_options_init(&file);
    blob.connection_string = getenv("AZURE_STORAGE_CONNECTION_STRING");
    blob.create_container = true;
    blob.host = file.host = tmk_client_host(client);
    blob.hub = file.hub = tmk_client_hub(client);
    if (strncmp(text, "blob:", 5) == 0) {
        blob.container = text + 5;
        st = tmk_store_blob_new(&blob, &store, &err);
    } else if (strncmp(text, "file:", 5) == 0) {
        file.folder = text + 5;
        st = tmk_store_file_new(&file, &store, &err);
    } else {
        st = tmk_store_memory_new(&store, &err);
    }
    if (st < 0) {
        die("store", err.text);
    }
    return store;
}

static tmk_client *make_client(const settings *s) {
    tmk_client_options o;
    tmk_client *client = NULL;
    tmk_error err;

    tmk_client_options_init(&o);
    o.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    o.hub = "hub";
    o.tls_ca_file = s->ca;
    if (tmk_client_new(&o, &client, &err) < 0) {
        die("client", err.text);
    }
    return client;
}

static void on_error(void *user, const tmk_problem *problem) {
    (void)user;
    (void)fprintf(stderr, "bench: %s: %s\n", problem->operation, problem->error->text);
}

static tmk_processor *make_processor(work *w, tmk_client *client, tmk_store store) {
    tmk_processor_options o;
    tmk_processor *p = NULL;
    tmk_error err;

    tmk_processor_options_init(&o);
    o.on_event = w->s.batch > 0 ? NULL : on_event;
    o.on_batch = w->s.batch > 0 ? on_batch : NULL;
    o.batch_events = w->s.batch > 0 ? (uint32_t)w->s.batch : o.batch_events;
    o.order = w->s.key ? TMK_ORDER_KEY : TMK_ORDER_PARTITION;
    o.threads = (uint32_t)w->s.threads;
    o.checkpoint_events = (uint32_t)w->s.checkpoint;
    o.on_error = on_error;
    o.user = w;
    if (w->s.prefetch > 0) {
        o.prefetch = (uint32_t)w->s.prefetch;
    }
    if (w->s.bytes_max > 0) {
        o.bytes_max = w->s.bytes_max;
        o.events_max = 1000000;
    }
    if (tmk_processor_new(client, store, &o, &p, &err) < 0 || tmk_processor_start(p, &err) < 0) {
        die("processor", err.text);
    }
    return p;
}

/* ---- waiting and telling ---- */

static bool input_ended(int wait_ms) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;

    return poll(&input, 1, wait_ms) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

/* Until all events are handled, or the input has ended. */
static void await_end(work *w, tmk_processor *p) {
    tmk_processor_stats s = {.size = sizeof s};
    bool owned = false;

    while (!__atomic_load_n(&w->ended, __ATOMIC_ACQUIRE) && !input_ended(LOOK_MS)) {
        if (!owned) {
            tmk_processor_stats_get(p, &s);
            owned = s.owned == w->s.partitions;
            if (owned) {
                tell("owned", 1, "");
            }
        }
    }
}

static int by_size(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static void tell_latency(work *w) {
    static const struct {
        const char *name;
        double share;
    } ranks[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}};
    uint64_t count = w->s.events - w->s.warm, *late = w->late_ns + w->s.warm;

    qsort(late, count, sizeof *late, by_size);
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        tell(ranks[i].name, (double)late[(size_t)(ranks[i].share * (double)count)] / 1e6, "ms");
    }
}

static void tell_all(work *w, tmk_processor *p) {
    tmk_processor_stats s = {.size = sizeof s};

    if (w->ended) {
        tell("events", (double)(w->s.events - w->s.warm), "events");
        tell("warm", (double)w->s.warm, "events");
        tell("seconds", (double)(w->end.wall_ns - w->begin.wall_ns) / 1e9, "s");
        tell("cpu", (double)(w->end.cpu_ns - w->begin.cpu_ns) / 1e9, "s");
        tell("handlers", (double)w->handler_ns / 1e9, "s");
    }
    if (w->ended && w->s.latency) {
        tell_latency(w);
    }
    tmk_processor_stats_get(p, &s);
    tell("checkpoints", (double)s.checkpoints_written, "");
    tell("requests", (double)s.store_requests, "");
    tell("uptime", (double)s.uptime_ms / 1e3, "s");
}

int main(int argc, char **argv) {
    static work w = {.s = {.store = "memory", .partitions = 4, .threads = 8, .checkpoint = 1000}};
    tmk_client *client;
    tmk_processor *processor;
    tmk_store store;

    w.s.store = argc > 1 ? argv[1] : w.s.store;
    read_settings(&w.s, argc, argv);
    (void)prctl(PR_SET_TIMERSLACK, 1); /* handlers sleep as long as they are told; inherited */
    w.late_ns = w.s.latency ? calloc(w.s.events + 1, sizeof *w.late_ns) : NULL;
    if (w.s.latency && (w.late_ns == NULL || w.s.events <= w.s.warm)) {
        die("latency", "needs more events than warm ones, and memory for each");
    }
    client = make_client(&w.s);
    store = make_store(w.s.store, client);
    processor = make_processor(&w, client, store);
    await_end(&w, processor);
    tell_all(&w, processor);
    (void)tmk_processor_stop(processor, STOP_MS, NULL, NULL);
    (void)tmk_processor_free(processor);
    (void)tmk_client_free(client);
    tmk_store_free(store);
    free(w.late_ns);
    return 0;
}
