/*
 * What takes minutes, in virtual time: a sink that is down, handles that are lost, how a
 * partition's progress is told. Hub, store and processor in one thread under a clock that is a
 * number; through the public interface.
 */
#include "checkpoint/memory.h"
#include "eventhubs/client_parts.h"
#include "eventhubs/source_amqp.h"
#include "net/loop.h"
#include "shell/worker.h"
#include "support/pond.h"

static tmk_error err;
static pond p;
static tmk_store store;
static worker w;

static void begin(void) {
    tmk_memory_setup setup = {.manual = true};

    pond_begin(&p, NULL);
    p.tick = 50 * TMK_MS;
    setup.clock = *tmk_loop_clock(tmk_client_loop(p.client));
    OK(tmk_store_memory_new_with(&setup, &store, &err));
    worker_init(&w, p.client);
    w.options.caller_driven = true;
    w.options.seed = 1;
    w.options.lag_interval_ms = 1000;
}

static void turn(void) {
    for (int i = 0; i < 3; i++) {
        (void)tmk_store_memory_step(store);
        OK(tmk_processor_poll(w.processor, 0, 0, &err));
        pond_run(&p, 0);
    }
}

static void pass(int64_t ms) {
    for (tmk_time until = p.now + ms * TMK_MS; p.now < until;) {
        pond_run(&p, p.tick / TMK_MS);
        turn();
    }
}

/* Lets time pass until the condition holds, at most so many seconds; how many milliseconds. */
#define PASS_UNTIL(condition, seconds)                                                             \
    do {                                                                                           \
        tmk_time limit_ = p.now + (seconds)*TMK_SEC;                                               \
        while (!(condition) && p.now < limit_) {                                                   \
            pass(50);                                                                              \
        }                                                                                          \
        if (!(condition)) {                                                                        \
            fail_msg("%s:%d: %s does not come true in %d s; last problem: %s", __FILE__, __LINE__, \
                     #condition, (int)(seconds), worker_last_problem(&w));                         \
        }                                                                                          \
    } while (0)

static void end(void) {
    tmk_processor_request_stop(w.processor);
    PASS_UNTIL(atomic_load(&w.closed) == atomic_load(&w.opened), 60);
    pass(3000);
    OK(tmk_processor_stop(w.processor, 1000, NULL, &err));
    w.processor = tmk_processor_free(w.processor);
    worker_end(&w);
    pond_end(&p);
    tmk_store_free(store);
}

/* ---- a sink that is down ---- */

static bool down;
static unsigned stops;

static tmk_verdict into_the_sink(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self, (void)event;
    stops += down;
    CHECK_EQ(1, delivery->attempt); /* it is not the event's fault: no try of it is used up */
    return down ? TMK_STOP : TMK_DONE;
}

static void a_sink_that_is_down_for_a_minute_is_probed_with_growing_pauses(void) {
    unsigned after_a_minute;

    begin();
    w.handle = into_the_sink;
    down = false;
    stops = 0;
    worker_start(&w, store);
    pond_put(&p, "0", 50, 20);
    PASS_UNTIL(worker_distinct(&w) == 50, 20);
    down = true;
    pond_put(&p, "0", 50, 20);
    pond_put(&p, "1", 50, 20);
    PASS_UNTIL(worker_stats(&w).breaker, 5);
    CHECK(worker_told(&w, "handler", "TMK_STOP at sequence", NULL));
    CHECK(worker_told(&w, "handler", "all handlers pause", NULL));
    pass(60 * 1000);
    after_a_minute = stops;
    CHECK(after_a_minute >= 5 && after_a_minute <= 10); /* 1, 2, 4, 8, 16, 30 s ... with jitter */
    CHECK(worker_stats(&w).breaker);
    CHECK_EQ(TMK_PROGRESS_STOPPED, worker_state(&w, "0").progress);
    CHECK(worker_state(&w, "0").own && worker_state(&w, "1").own);    /* claims are kept */
    CHECK(worker_tellings(&w, "handler", "all handlers pause") >= 5); /* each probe is told */
    down = false;
    PASS_UNTIL(worker_distinct(&w) == 150, 40); /* the next probe, and all is well */
    CHECK(!worker_stats(&w).breaker);
    CHECK(worker_in_order(&w));
    PASS_UNTIL(worker_state(&w, "0").checkpoint_sequence == 99, 20);
    CHECK_EQ(150, worker_stats(&w).done);
    print_message("# %u tries in a minute\n", after_a_minute);
    end();
}

/* ---- progress ---- */

static int64_t take_until; /* the handler is patient with what is at or above */
static tmk_handle waiting[64];
static unsigned waiting_count;

static tmk_verdict hold_back(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self;
    if (tmk_event_sequence(event) < take_until) {
        return TMK_DONE;
    }
    waiting[waiting_count++ % 64] = delivery->handle;
    return TMK_LATER;
}

static tmk_status then_nothing_answers(worker *self, const char *partition, bool checkpointed,
                                       tmk_start *start) {
    (void)self, (void)partition, (void)checkpointed, (void)start;
    p.black_hole = true;
    return TMK_OK;
}

static void progress_is_told_as_starting_ok_stalled_and_ok_again(void) {
    begin();
    waiting_count = 0;
    take_until = 10;
    w.handle = hold_back;
    w.choose = then_nothing_answers;
    worker_start(&w, store);
    PASS_UNTIL(worker_state(&w, "0").own, 10);
    CHECK_EQ(TMK_PROGRESS_STARTING, worker_state(&w, "0").progress);
    p.black_hole = false;
    pond_cut_streams(&p, true);
    PASS_UNTIL(worker_state(&w, "0").progress == TMK_PROGRESS_OK, 10);
    pond_put(&p, "0", 15, 20);
    PASS_UNTIL(waiting_count == 1, 10);
    CHECK_EQ(TMK_PROGRESS_OK, worker_state(&w, "0").progress);
    PASS_UNTIL(worker_state(&w, "0").progress == TMK_PROGRESS_STALLED, 60);
    CHECK(worker_state(&w, "0").oldest_ms > 20000);
    CHECK_EQ(TMK_PROGRESS_OK, worker_state(&w, "1").progress);
    take_until = 1000;
    CHECK_EQ(TMK_OK, tmk_processor_complete(w.processor, waiting[0], TMK_DONE, -1));
    PASS_UNTIL(worker_state(&w, "0").final_sequence == 14, 10);
    PASS_UNTIL(worker_state(&w, "0").progress == TMK_PROGRESS_OK, 60);
    end();
}

/* One event a second is handled, five come. */
static void a_partition_whose_lag_grows_although_it_moves_is_slow(void) {
    bool slow = false;

    begin();
    w.handle = hold_back;
    waiting_count = 0;
    take_until = 0;
    worker_start(&w, store);
    PASS_UNTIL(worker_state(&w, "0").own, 10);
    for (int second = 0; second < 90 && !slow; second++) {
        pond_put(&p, "0", 5, 20);
        pass(1000);
        if (waiting_count > 0) {
            (void)tmk_processor_complete(w.processor, waiting[(waiting_count - 1) % 64], TMK_DONE,
                                         -1);
        }
        slow = worker_state(&w, "0").progress == TMK_PROGRESS_SLOW;
    }
    CHECK(slow);
    take_until = 10000;
    (void)tmk_processor_complete(w.processor, waiting[(waiting_count - 1) % 64], TMK_DONE, -1);
    PASS_UNTIL(worker_state(&w, "0").lag.events == 0, 30);
    end();
}

static void an_idle_partition_is_ok_however_long(void) {
    begin();
    worker_start(&w, store);
    pond_put(&p, "0", 5, 20);
    PASS_UNTIL(worker_state(&w, "0").final_sequence == 4, 10);
    pass(10 * 60 * 1000);
    CHECK_EQ(TMK_PROGRESS_OK, worker_state(&w, "0").progress);
    CHECK_EQ(TMK_PROGRESS_OK, worker_state(&w, "1").progress);
    CHECK_EQ(0, worker_tellings(&w, NULL, NULL));
    end();
}

static void a_partition_of_a_recreated_hub_is_told_as_rewound(void) {
    bool rewound = false;

    begin();
    w.options.lost_position = TMK_POSITION_EARLIEST;
    worker_start(&w, store);
    for (int i = 0; i < 40; i++) {
        pond_put(&p, "0", 2, 20);
        pass(1000);
    }
    CHECK_EQ(79, worker_state(&w, "0").final_sequence);
    tmk_hub_entity_recreate(tmk_hub_core_find(&p.hub.core, TMK_LIT(POND_HUB)), p.wall_us / 1000);
    pond_detach(&p, NULL, "amqp:not-found", "The hub was deleted.");
    for (int i = 0; i < 60 && !rewound; i++) {
        pond_put(&p, "0", 1, 20);
        pass(1000);
        rewound = worker_state(&w, "0").progress == TMK_PROGRESS_REWOUND;
    }
    CHECK(rewound);
    CHECK(worker_told(&w, "position", NULL, NULL));
    end();
}

/* ---- handles ---- */

static void a_handle_that_is_out_for_long_is_told_with_its_age_again_and_again(void) {
    worker_problem problem;

    begin();
    waiting_count = 0;
    take_until = 3;
    w.handle = hold_back;
    worker_start(&w, store);
    pond_put(&p, "0", 5, 20);
    PASS_UNTIL(waiting_count == 1, 10);
    pass(9 * 60 * 1000);
    CHECK(!worker_told(&w, "handler", "TMK_LATER", NULL));
    PASS_UNTIL(worker_tellings(&w, "handler", "TMK_LATER") == 3, 40 * 60); /* default: 10 min */
    CHECK(worker_told(&w, "handler", "TMK_LATER", &problem));
    CHECK_EQ(3, problem.sequence);
    CHECK_EQ(2, worker_state(&w, "0").final_sequence);
    CHECK_EQ(TMK_OK, tmk_processor_complete(w.processor, waiting[0], TMK_SKIP, -1));
    PASS_UNTIL(waiting_count == 2, 10);
    CHECK_EQ(TMK_OK, tmk_processor_complete(w.processor, waiting[1], TMK_SKIP, -1));
    end();
}

/* ---- a store that is away ---- */

/* The store hangs: reading goes on, up to what is declared; then intake pauses, and it says so. */
static void a_store_that_hangs_is_ridden_through_up_to_the_declared_bound(void) {
    begin();
    w.options.ride_through_events = 100;
    worker_start(&w, store);
    pond_put(&p, "0", 10, 20);
    PASS_UNTIL(worker_state(&w, "0").checkpoint_sequence == 9, 20);
    for (int i = 0; i < 300 && worker_distinct(&w) < 110; i++) { /* without the store's steps */
        pond_put(&p, "0", 5, 20);
        pond_run(&p, 50);
        OK(tmk_processor_poll(w.processor, 0, 0, &err));
    }
    CHECK(worker_distinct(&w) >= 100 && worker_distinct(&w) <= 1200);
    CHECK(worker_state(&w, "0").own);
    PASS_UNTIL(worker_state(&w, "0").checkpoint_sequence == pond_last(&p, "0"), 120);
    CHECK_EQ(0, worker_repeats(&w));
    end();
}

int main(int argc, char **argv) {
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return RUN(TEST(a_sink_that_is_down_for_a_minute_is_probed_with_growing_pauses),
               TEST(progress_is_told_as_starting_ok_stalled_and_ok_again),
               TEST(a_partition_whose_lag_grows_although_it_moves_is_slow),
               TEST(an_idle_partition_is_ok_however_long),
               TEST(a_partition_of_a_recreated_hub_is_told_as_rewound),
               TEST(a_handle_that_is_out_for_long_is_told_with_its_age_again_and_again),
               TEST(a_store_that_hangs_is_ridden_through_up_to_the_declared_bound));
}
