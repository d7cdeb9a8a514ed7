/*
 * What handlers are promised: order, batches, verdicts, attempts, handles that
 * are completed later, threads of their own; through the public interface.
 */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include "shell/worker.h"

static tmk_error err;
static tmk_hub *hub;
static tmk_client *client;
static tmk_store store;
static worker w;

static void begin(uint32_t partitions) {
    hub = hub_begin(partitions);
    client = client_of(hub, false);
    store = memory_begin();
    worker_init(&w, client);
}

static void end(void) {
    worker_end(&w);
    client = tmk_client_free(client);
    tmk_store_free(store);
    hub = tmk_hub_stop(hub);
}

/* ---- threads ---- */

static atomic_uint hooks, hook_mask, named, blocked;
static _Thread_local bool hooked;

static void on_thread(void *user, uint32_t index) {
    char name[16] = "", want[16];
    sigset_t mask;

    (void)user;
    (void)prctl(PR_GET_NAME, name);
    (void)snprintf(want, sizeof want, "tmk-work-%u", index);
    named += strcmp(name, want) == 0;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    blocked += sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGUSR1) == 1;
    hook_mask |= 1U << index;
    hooks++;
    hooked = true;
}

static tmk_verdict needs_hook(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self, (void)event, (void)delivery;
    return hooked ? TMK_DONE : TMK_STOP;
}

static void each_handler_thread_has_a_name_a_hook_and_no_signals(void) {
    begin(4);
    hooks = hook_mask = named = blocked = 0;
    w.options.on_thread = on_thread;
    w.options.threads = 3;
    w.handle = needs_hook;
    worker_start(&w, store);
    hub_put(hub, NULL, NULL, 100);
    UNTIL(&w, worker_distinct(&w) == 100);
    UNTIL(&w, hooks == 3);
    CHECK_EQ(7, hook_mask);
    CHECK_EQ(3, named);
    CHECK_EQ(3, blocked);
    CHECK_EQ(100, w.handled); /* no handler ran before its thread's hook */
    end();
}

/* A handler that waits until as many run at once as it is told. */
static atomic_uint together, want_together;

static tmk_verdict meet(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self, (void)event, (void)delivery;
    together++;
    for (int i = 0; i < 10000 && together < want_together; i++) {
        (void)poll(NULL, 0, 1);
    }
    return TMK_DONE;
}

static void as_many_handlers_run_at_once_as_there_are_threads(void) {
    begin(8);
    together = 0;
    want_together = 4;
    w.options.threads = 4;
    w.handle = meet;
    for (unsigned i = 0; i < 8; i++) {
        hub_put(hub, i % 2 == 0 ? "1" : i == 1 ? "3" : i == 3 ? "4" : i == 5 ? "5" : "6", NULL, 1);
    }
    worker_start(&w, store);
    UNTIL(&w, worker_distinct(&w) == 8);
    CHECK_EQ(4, w.running_max);
    end();
}

/* ---- order ---- */

static atomic_uint per_lane[16], overlaps, wrong_order;
static atomic_llong lane_last[16];

static int lane_of(const tmk_event *event) {
    tmk_slice key = tmk_event_key(event);

    return key.size == 0 ? 15 : key.bytes[key.size - 1] - '0';
}

static tmk_verdict watch_lane(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    int lane = lane_of(event);

    (void)self, (void)delivery;
    overlaps += atomic_fetch_add(&per_lane[lane], 1) > 0;
    wrong_order +=
        atomic_exchange(&lane_last[lane], tmk_event_sequence(event)) > tmk_event_sequence(event);
    if (tmk_event_sequence(event) % 50 == 0) {
        (void)poll(NULL, 0, 2);
    }
    atomic_fetch_sub(&per_lane[lane], 1);
    return TMK_DONE;
}

static void put_keyed(unsigned count) {
    char key[8];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "k%u", i % 8);
        tmk_hub_event e = {.body = "e", .body_size = 1, .partition = "0", .key = key};
        OK(tmk_hub_put(hub, "hub", &e, NULL, &err));
    }
}

static void clear_lanes(void) {
    for (int i = 0; i < 16; i++) {
        per_lane[i] = 0;
        lane_last[i] = -1;
    }
    overlaps = wrong_order = 0;
}

static void by_key_each_key_is_in_order_and_keys_run_side_by_side(void) {
    begin(1);
    clear_lanes();
    w.options.order = TMK_ORDER_KEY;
    w.options.threads = 4;
    w.handle = watch_lane;
    put_keyed(1200);
    worker_start(&w, store);
    UNTIL(&w, worker_distinct(&w) == 1200);
    CHECK_EQ(0, overlaps);
    CHECK_EQ(0, wrong_order);
    CHECK(w.running_max > 1);
    end();
}

static tmk_slice always_one_key(void *user, const tmk_event *event) {
    (void)user, (void)event;
    return (tmk_slice){(const uint8_t *)"same", 4};
}

static void a_key_function_of_ones_own_says_what_keeps_order(void) {
    begin(1);
    w.options.order = TMK_ORDER_KEY;
    w.options.key_of = always_one_key;
    w.options.threads = 4;
    put_keyed(800);
    worker_start(&w, store);
    UNTIL(&w, worker_distinct(&w) == 800);
    CHECK_EQ(1, w.running_max);
    CHECK(worker_in_order(&w));
    end();
}

static void events_without_a_key_keep_order_unless_set_free(void) {
    for (int free_ones = 0; free_ones < 2; free_ones++) {
        begin(1);
        together = 0;
        want_together = free_ones == 1 ? 2 : 1;
        w.options.order = TMK_ORDER_KEY;
        w.options.keyless_free = free_ones == 1;
        w.options.threads = 4;
        w.handle = meet;
        hub_put(hub, "0", NULL, 300);
        worker_start(&w, store);
        UNTIL(&w, worker_distinct(&w) == 300);
        CHECK_EQ(free_ones == 1, w.running_max > 1);
        end();
    }
}

/* ---- batches ---- */

static atomic_uint batches, batch_max, batch_events, batch_wrong, batch_bytes_max;

static void on_batch(void *user, const tmk_event *const *events, size_t count,
                     tmk_verdict *verdicts, tmk_delivery *delivery) {
    worker *self = user;
    unsigned bytes = 0;

    batches++;
    batch_events += (unsigned)count;
    for (size_t i = 0; i < count; i++) {
        bytes += (unsigned)tmk_event_encoded(events[i]).size;
        batch_wrong += verdicts[i] != TMK_DONE ||
                       strcmp(tmk_event_partition(events[i]), delivery->partition) != 0;
        batch_wrong += i > 0 && tmk_event_sequence(events[i]) <= tmk_event_sequence(events[i - 1]);
        if (tmk_event_sequence(events[i]) == 33 && delivery->attempt == 1) {
            verdicts[i] = TMK_SKIP;
        }
        if (tmk_event_sequence(events[i]) == 44 && delivery->attempt < 3) {
            verdicts[i] = TMK_RETRY;
        }
        if (tmk_event_sequence(events[i]) == 55) {
            verdicts[i] = TMK_LATER;
            atomic_store(&self->handle_seen, delivery->handle + i);
        }
    }
    batch_max = count > batch_max ? (unsigned)count : batch_max;
    batch_bytes_max = bytes > batch_bytes_max ? bytes : batch_bytes_max;
}

static void begin_batches(void) {
    begin(1);
    batches = batch_max = batch_events = batch_wrong = batch_bytes_max = 0;
    w.options.on_event = NULL;
    w.options.on_batch = on_batch;
}

static void batches_are_bounded_by_count_and_take_each_verdict_by_itself(void) {
    begin_batches();
    w.options.batch_events = 16;
    hub_put(hub, "0", NULL, 200);
    worker_start(&w, store);
    UNTIL(&w, worker_state(&w, "0").final_sequence == 54);
    CHECK_EQ(TMK_OK, tmk_processor_complete(w.processor, w.handle_seen, TMK_DONE, -1));
    UNTIL(&w, worker_stats(&w).events == 200);
    CHECK_EQ(1, worker_stats(&w).skipped);
    CHECK_EQ(2, worker_stats(&w).retries);
    CHECK_EQ(199, worker_stats(&w).done);
    CHECK_EQ(0, batch_wrong);
    CHECK(batch_max <= 16 && batch_max > 1);
    CHECK_EQ(batches, worker_stats(&w).batches);
    end();
}

static void a_batch_ends_at_its_bytes_and_one_event_always_fits(void) {
    static char body[5000];
    tmk_hub_event e = {.body = body, .body_size = sizeof body, .partition = "0"};
    tmk_hub_event big = {.body = body, .body_size = sizeof body, .partition = "0"};

    begin_batches();
    w.options.batch_bytes = 11000; /* two and a bit */
    for (int i = 0; i < 20; i++) {
        OK(tmk_hub_put(hub, "hub", &e, NULL, &err));
    }
    worker_start(&w, store);
    UNTIL(&w, worker_stats(&w).events == 20);
    CHECK_EQ(2, batch_max);
    CHECK(batch_bytes_max <= 11000);
    worker_end(&w);
    tmk_store_free(store);
    store = memory_begin();
    worker_init(&w, client);
    batch_max = 0;
    w.options.on_event = NULL;
    w.options.on_batch = on_batch;
    w.options.batch_bytes = 100;
    OK(tmk_hub_put(hub, "hub", &big, NULL, &err));
    worker_start(&w, store);
    UNTIL(&w, worker_stats(&w).events == 21);
    CHECK_EQ(1, batch_max);
    end();
}

/* Without linger the first event would go alone: here it waits for company until the batch is full,
 * and the last ones until the time is over. */
static void a_lingering_batch_waits_for_more_and_not_for_ever(void) {
    begin_batches();
    w.options.batch_events = 10;
    w.options.batch_linger_ms = 300;
    worker_start(&w, store);
    UNTIL(&w, worker_state(&w, "0").own);
    hub_put(hub, "0", NULL, 10);
    UNTIL(&w, worker_stats(&w).events == 10);
    CHECK_EQ(1, batches);
    hub_put(hub, "0", NULL, 3);
    UNTIL(&w, worker_stats(&w).events == 13);
    CHECK_EQ(2, batches);
    end();
}

/* ---- verdicts ---- */

static tmk_verdict by_sequence(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self;
    CHECK(delivery->processor != NULL && delivery->generation > 0 && delivery->handle != 0);
    CHECK_EQ(-1, delivery->retry_ms);
    switch (tmk_event_sequence(event)) {
    case 3:
        return delivery->attempt < 4 ? TMK_RETRY : TMK_DONE;
    case 4:
        return TMK_SKIP;
    case 5:
        delivery->retry_ms = 0;
        return delivery->attempt < 3 ? TMK_RETRY : TMK_DONE;
    case 6:
        return (tmk_verdict)77; /* no verdict at all: a failure of the handler, tried again */
    default:
        return TMK_DONE;
    }
}

static void retries_and_skips_are_counted_and_hold_the_order(void) {
    begin(1);
    w.handle = by_sequence;
    w.options.retry_attempts = 5;
    w.options.exhausted = TMK_EXHAUSTED_SKIP;
    hub_put(hub, "0", NULL, 10);
    worker_start(&w, store);
    UNTIL(&w, worker_stats(&w).events == 10);
    CHECK_EQ(4, worker_times(&w, "0", 3));
    CHECK_EQ(1, worker_times(&w, "0", 4));
    CHECK_EQ(3, worker_times(&w, "0", 5));
    CHECK_EQ(5, worker_times(&w, "0", 6));
    CHECK_EQ(2, worker_stats(&w).skipped); /* 4 by verdict, 6 as declared */
    CHECK(worker_in_order(&w));
    CHECK(worker_told(&w, "handler", "skipped", NULL));
    end();
}

static tmk_verdict always_retry(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self, (void)delivery;
    return tmk_event_sequence(event) == 2 ? TMK_RETRY : TMK_DONE;
}

static void by_default_a_partition_stops_at_what_cannot_be_handled(void) {
    worker_problem problem;

    begin(2);
    w.handle = always_retry;
    w.options.retry_attempts = 3;
    hub_put(hub, "0", NULL, 5);
    hub_put(hub, "1", NULL, 2);
    worker_start(&w, store);
    UNTIL(&w, worker_told(&w, "handler", "until it is resumed", &problem));
    CHECK_EQ(2, problem.sequence);
    CHECK_STR("0", problem.partition);
    UNTIL(&w, worker_state(&w, "0").progress == TMK_PROGRESS_STOPPED);
    UNTIL(&w, worker_state(&w, "1").final_sequence == 1);
    CHECK_EQ(1, worker_state(&w, "0").final_sequence);
    CHECK_EQ(3, worker_times(&w, "0", 2));
    w.handle = NULL; /* repaired */
    OK(tmk_processor_resume(w.processor, "0"));
    UNTIL(&w, worker_state(&w, "0").final_sequence == 4);
    end();
}

static void tries_without_an_end_are_reported_each_time(void) {
    begin(1);
    w.handle = always_retry;
    w.options.retry_attempts = 0;
    hub_put(hub, "0", NULL, 3);
    worker_start(&w, store);
    UNTIL(&w, worker_tellings(&w, "handler", "no end is set") >= 12);
    CHECK(worker_times(&w, "0", 2) >= 12);
    end();
}

/* ---- dead letters ---- */

static atomic_uint letters, letter_reason_attempts, letter_bytes;
static _Atomic(tmk_handle) letter;

static void keep_letter(void *user, const tmk_dead_letter *l, tmk_handle handle) {
    (void)user;
    letters++;
    letter_reason_attempts = strcmp(l->reason, "attempts") == 0 ? l->attempts : 0;
    letter_bytes = (unsigned)tmk_event_encoded(l->event).size;
    CHECK_STR("0", l->partition);
    letter = handle;
}

static void a_dead_letter_is_final_when_the_sink_has_it_and_not_before(void) {
    tmk_error why = {.status = TMK_EIO, .origin = "sink", .text = "the disk is full"};

    begin(1);
    letters = 0;
    w.handle = always_retry;
    w.options.retry_attempts = 2;
    w.options.on_dead_letter = keep_letter;
    hub_put(hub, "0", NULL, 5);
    worker_start(&w, store);
    UNTIL(&w, letters == 1);
    CHECK_EQ(2, letter_reason_attempts);
    CHECK(letter_bytes > 0);
    CHECK_EQ(1, worker_state(&w, "0").final_sequence);
    CHECK_EQ(TMK_OK, tmk_processor_dead_letter_done(w.processor, letter, TMK_EIO, &why));
    UNTIL(&w, letters == 2); /* a failure is tried again */
    CHECK(worker_told(&w, "dead_letter", "the disk is full", NULL));
    CHECK_EQ(1, worker_state(&w, "0").final_sequence);
    CHECK_EQ(TMK_OK, tmk_processor_dead_letter_done(w.processor, letter, TMK_OK, NULL));
    CHECK_EQ(TMK_ABSENT, tmk_processor_dead_letter_done(w.processor, letter, TMK_OK, NULL));
    UNTIL(&w, worker_state(&w, "0").final_sequence == 4);
    CHECK_EQ(1, worker_stats(&w).dead_lettered);
    end();
}

/* ---- later ---- */

static tmk_handle handles[64];
static const tmk_event *events_out[64];

static tmk_verdict later(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self;
    handles[tmk_event_sequence(event)] = delivery->handle;
    events_out[tmk_event_sequence(event)] = event;
    return TMK_LATER;
}

static void a_later_verdict_counts_once_and_holds_back_its_lane(void) {
    begin(1);
    w.handle = later;
    hub_put(hub, "0", NULL, 3);
    worker_start(&w, store);
    UNTIL(&w, w.handled == 1);
    CHECK_EQ(TMK_EINVAL, tmk_processor_complete(w.processor, handles[0], TMK_LATER, -1));
    CHECK_EQ(TMK_ABSENT, tmk_processor_complete(w.processor, handles[0] + 1, TMK_DONE, -1));
    CHECK_EQ(TMK_ABSENT, tmk_processor_complete(w.processor, 0, TMK_DONE, -1));
    CHECK_EQ(1, w.handled);                          /* the next of the lane waits for it */
    CHECK_EQ(5, tmk_event_body(events_out[0]).size); /* it lives until it is completed */
    CHECK_EQ(TMK_OK, tmk_processor_complete(w.processor, handles[0], TMK_DONE, -1));
    CHECK_EQ(TMK_ABSENT, tmk_processor_complete(w.processor, handles[0], TMK_DONE, -1));
    UNTIL(&w, w.handled == 2);
    CHECK_EQ(TMK_OK, tmk_processor_complete(w.processor, handles[1], TMK_RETRY, 0));
    UNTIL(&w, w.handled == 3);
    CHECK_EQ(2, worker_times(&w, "0", 1));
    CHECK_EQ(TMK_OK, tmk_processor_complete(w.processor, handles[1], TMK_SKIP, -1));
    UNTIL(&w, w.handled == 4);
    CHECK_EQ(TMK_OK, tmk_processor_complete(w.processor, handles[2], TMK_DONE, -1));
    UNTIL(&w, worker_state(&w, "0").final_sequence == 2);
    end();
}

static void *complete_many(void *arg) {
    unsigned *won = arg;

    for (int i = 0; i < 40; i++) {
        *won += tmk_processor_complete(w.processor, handles[i], TMK_DONE, -1) == TMK_OK;
    }
    return NULL;
}

static void of_many_threads_that_complete_a_handle_one_wins(void) {
    pthread_t threads[4];
    unsigned won[4] = {0};

    begin(1);
    w.handle = later;
    w.options.order = TMK_ORDER_NONE;
    hub_put(hub, "0", NULL, 40);
    worker_start(&w, store);
    UNTIL(&w, w.handled == 40);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(0, pthread_create(&threads[i], NULL, complete_many, &won[i]));
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(0, pthread_join(threads[i], NULL));
    }
    CHECK_EQ(40, won[0] + won[1] + won[2] + won[3]);
    UNTIL(&w, worker_stats(&w).events == 40);
    end();
}

static void after_the_stop_a_handle_is_void_and_the_stop_has_told_of_it(void) {
    tmk_stop_report report;

    begin(1);
    w.handle = later;
    hub_put(hub, "0", NULL, 1);
    worker_start(&w, store);
    UNTIL(&w, w.handled == 1);
    CHECK_EQ(TMK_ETIMEOUT, tmk_processor_stop(w.processor, 400, &report, &err));
    CHECK_EQ(1, report.events_in_doubt);
    CHECK_EQ(TMK_ABSENT, tmk_processor_complete(w.processor, handles[0], TMK_DONE, -1));
    CHECK_EQ(5, tmk_event_body(events_out[0]).size); /* whoever still works with it may look */
    CHECK_EQ(-1, w.close_sequence);
    end();
}

static void a_lost_handle_is_reported_with_its_age(void) {
    worker_problem problem;

    begin(1);
    w.handle = later;
    w.options.later_warn_ms = 100;
    hub_put(hub, "0", NULL, 1);
    worker_start(&w, store);
    UNTIL(&w, worker_tellings(&w, "handler", "answered TMK_LATER") >= 2);
    CHECK(worker_told(&w, "handler", "answered TMK_LATER", &problem));
    CHECK_EQ(0, problem.sequence);
    CHECK(strstr(problem.text, " ms ago") != NULL);
    CHECK_STR("0", problem.partition);
    CHECK_EQ(TMK_OK, tmk_processor_complete(w.processor, handles[0], TMK_DONE, -1));
    UNTIL(&w, worker_stats(&w).events == 1);
    end();
}

/* ---- the watch ---- */

static atomic_bool let_go;

static tmk_verdict hang_at_one(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self, (void)delivery;
    while (tmk_event_sequence(event) == 1 && !let_go) {
        (void)poll(NULL, 0, 1);
    }
    return TMK_DONE;
}

static void a_handler_that_runs_too_long_is_reported_and_not_killed(void) {
    worker_problem problem;

    begin(2);
    let_go = false;
    w.handle = hang_at_one;
    w.options.handler_warn_ms = 60;
    hub_put(hub, "0", NULL, 3);
    worker_start(&w, store);
    UNTIL(&w,
          worker_tellings(&w, "handler", "has been running") >= 2); /* again, at twice the age */
    CHECK(worker_told(&w, "handler", "has been running", &problem));
    CHECK_STR("0", problem.partition);
    CHECK_EQ(1, problem.sequence);
    CHECK_EQ(1, worker_stats(&w).handlers_busy);
    hub_put(hub, "1", NULL, 1); /* the other partition goes on */
    UNTIL(&w, worker_state(&w, "1").final_sequence == 0);
    let_go = true;
    UNTIL(&w, worker_state(&w, "0").final_sequence == 2);
    CHECK_EQ(0, worker_repeats(&w));
    end();
}

int main(void) {
    return RUN(TEST(each_handler_thread_has_a_name_a_hook_and_no_signals),
               TEST(as_many_handlers_run_at_once_as_there_are_threads),
               TEST(by_key_each_key_is_in_order_and_keys_run_side_by_side),
               TEST(a_key_function_of_ones_own_says_what_keeps_order),
               TEST(events_without_a_key_keep_order_unless_set_free),
               TEST(batches_are_bounded_by_count_and_take_each_verdict_by_itself),
               TEST(a_batch_ends_at_its_bytes_and_one_event_always_fits),
               TEST(a_lingering_batch_waits_for_more_and_not_for_ever),
               TEST(retries_and_skips_are_counted_and_hold_the_order),
               TEST(by_default_a_partition_stops_at_what_cannot_be_handled),
               TEST(tries_without_an_end_are_reported_each_time),
               TEST(a_dead_letter_is_final_when_the_sink_has_it_and_not_before),
               TEST(a_later_verdict_counts_once_and_holds_back_its_lane),
               TEST(of_many_threads_that_complete_a_handle_one_wins),
               TEST(after_the_stop_a_handle_is_void_and_the_stop_has_told_of_it),
               TEST(a_lost_handle_is_reported_with_its_age),
               TEST(a_handler_that_runs_too_long_is_reported_and_not_killed));
}
