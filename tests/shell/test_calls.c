/*
 * Calls of the public interface from several threads at once, legal and not, at
 * moments that a seed chooses, while events flow: nothing hangs, no event is lost,
 * and each call answers with a status that its header names. The sanitizers look at
 * the rest. test_shell_calls [SEED]
 */
#include <stdlib.h>

#include <tidemark/stats.h>

#include "base/rng.h"
#include "shell/worker.h"

enum { CALLERS = 3, CALLS = 400, EVENTS = 300, PARTITIONS = 4 };

typedef struct caller {
    tmk_rng rng;
    pthread_t thread;
    atomic_uint undefined; /* answers that no header names */
} caller;

static tmk_error err;
static uint64_t seed = 1;
static struct worker w;
static _Atomic(tmk_handle) handles[8]; /* of deliveries, done ones too */
static atomic_uint handle_count;

static tmk_verdict handle(struct worker *of, const tmk_event *event, tmk_delivery *delivery) {
    (void)of;
    (void)event;
    atomic_store(&handles[atomic_fetch_add(&handle_count, 1) % 8], delivery->handle);
    return TMK_DONE;
}

static bool is_one_of(tmk_status st, const tmk_status *named, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (st == named[i]) {
            return true;
        }
    }
    return false;
}

#define NAMED(...)                     \
    (const tmk_status[]){__VA_ARGS__}, \
        sizeof((const tmk_status[]){__VA_ARGS__}) / sizeof(tmk_status)

static bool look(void) {
    tmk_partition_state *states = NULL;
    tmk_processor_stats stats;
    size_t count = 0;
    tmk_status st;

    tmk_processor_stats_get(w.processor, &stats);
    st = tmk_processor_partitions(w.processor, &states, &count, NULL);
    for (size_t i = 0; st == TMK_OK && i < count; i++) {
        st = states[i].partition[0] == '\0' ? TMK_EINTERNAL : st;
    }
    states = tmk_partition_states_free(states);
    return st == TMK_OK || st == TMK_ESTATE;
}

/* One call; false: an answer that it must not give. */
static bool call(caller *c) {
    static const char *const partitions[] = {"0", "1", "2", "3", "17", ""};
    const char *partition = partitions[tmk_rng_below(&c->rng, 6)];
    tmk_handle old = atomic_load(&handles[tmk_rng_below(&c->rng, 8)]);

    switch (tmk_rng_below(&c->rng, 8)) {
    case 0:
        return is_one_of(tmk_processor_pause(w.processor, partition),
                         NAMED(TMK_OK, TMK_ABSENT, TMK_ESTATE, TMK_EINVAL));
    case 1:
    case 2:
        return is_one_of(tmk_processor_resume(w.processor, partition),
                         NAMED(TMK_OK, TMK_ABSENT, TMK_ESTATE, TMK_EINVAL));
    case 3:
        return is_one_of(tmk_processor_checkpoint(w.processor, partition),
                         NAMED(TMK_OK, TMK_ABSENT, TMK_ESTATE, TMK_EINVAL));
    case 4: /* done long ago, or never given out */
        return is_one_of(tmk_processor_complete(w.processor, old, TMK_DONE, 0),
                         NAMED(TMK_ABSENT, TMK_ESTATE, TMK_EINVAL));
    case 5:
        return is_one_of(tmk_processor_dead_letter_done(w.processor, old, TMK_OK, NULL),
                         NAMED(TMK_ABSENT, TMK_ESTATE, TMK_EINVAL));
    case 6:
        return tmk_processor_start(w.processor, NULL) == TMK_ESTATE;
    default:
        return look();
    }
}

static void *run_caller(void *arg) {
    caller *c = arg;

    for (int i = 0; i < CALLS; i++) {
        if (!call(c)) {
            atomic_fetch_add(&c->undefined, 1);
        }
    }
    return NULL;
}

static void begin_callers(caller *callers) {
    for (uint64_t i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.undefined = 0};
        tmk_rng_seed(&callers[i].rng, seed * CALLERS + i);
        CHECK_EQ(0, pthread_create(&callers[i].thread, NULL, run_caller, &callers[i]));
    }
}

static void end_callers(caller *callers) {
    for (int i = 0; i < CALLERS; i++) {
        CHECK_EQ(0, pthread_join(callers[i].thread, NULL));
        CHECK_EQ(0, atomic_load(&callers[i].undefined));
    }
}

static void put_everywhere(tmk_hub *hub) {
    static const char *const names[PARTITIONS] = {"0", "1", "2", "3"};

    for (int i = 0; i < PARTITIONS; i++) {
        hub_put(hub, names[i], NULL, EVENTS / PARTITIONS);
    }
}

static void resume_all(void) {
    static const char *const names[PARTITIONS] = {"0", "1", "2", "3"};

    for (int i = 0; i < PARTITIONS; i++) {
        (void)tmk_processor_resume(w.processor, names[i]);
    }
}

static void calls_in_any_order_lose_nothing(void) {
    tmk_hub *hub = hub_begin(PARTITIONS);
    tmk_client *client = client_of(hub, false);
    tmk_store store = memory_begin();
    caller callers[CALLERS];

    worker_init(&w, client);
    w.handle = handle;
    worker_start(&w, store);
    begin_callers(callers);
    put_everywhere(hub);
    end_callers(callers);
    resume_all();
    UNTIL(&w, worker_distinct(&w) == EVENTS);
    CHECK_EQ(0, worker_repeats(&w));
    CHECK(worker_in_order(&w));
    worker_end(&w);
    client = tmk_client_free(client);
    tmk_store_free(store);
    hub = tmk_hub_stop(hub);
}

/* The processor ends under the callers' hands; their calls are refused, and it still ends in time.
 */
static void calls_while_it_stops_are_answered(void) {
    tmk_hub *hub = hub_begin(PARTITIONS);
    tmk_client *client = client_of(hub, false);
    tmk_store store = memory_begin();
    caller callers[CALLERS];
    tmk_stop_report report;

    worker_init(&w, client);
    w.handle = handle;
    worker_start(&w, store);
    put_everywhere(hub);
    UNTIL(&w, atomic_load(&handle_count) > 0);
    begin_callers(callers);
    tmk_processor_request_stop(w.processor);
    OK(tmk_processor_stop(w.processor, 10000, &report, &err));
    end_callers(callers);
    CHECK_EQ(TMK_ABSENT, tmk_processor_pause(w.processor, "0")); /* nothing is ours any more */
    CHECK_EQ(TMK_ESTATE, tmk_processor_start(w.processor, &err));
    CHECK_EQ(TMK_OK, tmk_processor_stop(w.processor, 1000, NULL, &err)); /* once more */
    CHECK_EQ(0, worker_repeats(&w));
    worker_end(&w);
    client = tmk_client_free(client);
    tmk_store_free(store);
    hub = tmk_hub_stop(hub);
}

int main(int argc, char **argv) {
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : seed;
    return RUN(TEST(calls_in_any_order_lose_nothing), TEST(calls_while_it_stops_are_answered));
}
