/*
 * Positions that do not exist: before the oldest event, past the newest, of another hub of the same
 * name. What is declared happens, and never without a word; through the public interface.
 */
#include "shell/worker.h"

static tmk_error err;
static tmk_hub *hub;
static tmk_client *client;
static tmk_store store;
static worker w;

static void fault(const char *json) {
    OK(tmk_hub_fault(hub, json, NULL, &err));
}

/* Ten events of partition 0 were handled and checkpointed; nobody reads it now. */
static void begin(void) {
    hub = hub_begin(2);
    client = client_of(hub, false);
    store = memory_begin();
    worker_init(&w, client);
    hub_put(hub, "0", NULL, 10);
    worker_start(&w, store);
    UNTIL(&w, worker_state(&w, "0").final_sequence == 9);
    worker_end(&w);
    worker_init(&w, client);
}

static void end(void) {
    worker_end(&w);
    client = tmk_client_free(client);
    tmk_store_free(store);
    hub = tmk_hub_stop(hub);
}

/* Events 10 .. 19 are gone unread, 20 .. 29 are there. */
static void lose_ten(void) {
    hub_put(hub, "0", NULL, 20);
    fault("{\"fault\":\"truncate\",\"partition\":\"0\",\"before\":20}");
}

static void by_default_a_position_before_the_tail_is_not_read_and_reported(void) {
    worker_problem problem;

    begin();
    lose_ten();
    hub_put(hub, "1", NULL, 3);
    worker_start(&w, store);
    UNTIL(&w, worker_told(&w, "position", NULL, &problem));
    CHECK_STR("0", problem.partition);
    UNTIL(&w, worker_state(&w, "0").progress == TMK_PROGRESS_STOPPED);
    UNTIL(&w, worker_distinct(&w) == 3); /* the other partition alone */
    CHECK(worker_state(&w, "0").own);
    end();
}

static void with_earliest_it_goes_on_behind_the_loss_and_counts_it(void) {
    worker_problem problem;

    begin();
    lose_ten();
    w.options.lost_position = TMK_POSITION_EARLIEST;
    worker_start(&w, store);
    UNTIL(&w, worker_state(&w, "0").final_sequence == 29);
    CHECK_EQ(10, worker_distinct(&w));
    CHECK_EQ(1, worker_times(&w, "0", 20));
    CHECK(worker_told(&w, "position", "removed 10 events", &problem));
    CHECK_EQ(10, worker_state(&w, "0").lag.lost);
    end();
}

static void with_latest_only_what_comes_from_then_on_is_read(void) {
    begin();
    lose_ten();
    w.options.lost_position = TMK_POSITION_LATEST;
    worker_start(&w, store);
    UNTIL(&w, worker_told(&w, "position", NULL, NULL));
    UNTIL(&w, worker_state(&w, "0").received_sequence == 29);
    hub_put(hub, "0", NULL, 4);
    UNTIL(&w, worker_state(&w, "0").final_sequence == 33);
    CHECK_EQ(4, worker_distinct(&w));
    end();
}

static void by_time_it_goes_on_behind_the_last_event_that_was_final(void) {
    begin();
    lose_ten();
    w.options.lost_position = TMK_POSITION_TIME;
    worker_start(&w, store);
    UNTIL(&w, worker_told(&w, "position", NULL, NULL));
    UNTIL(&w, worker_state(&w, "0").final_sequence == 29);
    CHECK_EQ(10, worker_distinct(&w));
    end();
}

/* ---- another hub of the same name ---- */

static void a_recreated_hub_is_noticed_and_by_default_not_read(void) {
    begin();
    hub_put(hub, "0", NULL, 50);
    fault("{\"fault\":\"recreate\"}");
    hub_put(hub, "0", NULL, 3);
    worker_start(&w, store);
    UNTIL(&w, worker_told(&w, "position", NULL, NULL));
    UNTIL(&w, worker_state(&w, "0").progress == TMK_PROGRESS_STOPPED);
    CHECK_EQ(0, worker_distinct(&w));
    end();
}

static void with_earliest_a_recreated_hub_is_read_from_its_beginning(void) {
    begin();
    fault("{\"fault\":\"recreate\"}");
    hub_put(hub, "0", NULL, 3);
    w.options.lost_position = TMK_POSITION_EARLIEST;
    worker_start(&w, store);
    UNTIL(&w, worker_state(&w, "0").final_sequence == 2);
    CHECK_EQ(3, worker_distinct(&w));
    CHECK(worker_told(&w, "position", NULL, NULL));
    end();
}

static void a_hub_that_is_recreated_under_a_reader_is_told_and_read_anew(void) {
    begin();
    w.options.lost_position = TMK_POSITION_EARLIEST;
    worker_start(&w, store);
    hub_put(hub, "0", NULL, 5);
    UNTIL(&w, worker_state(&w, "0").final_sequence == 14);
    fault("{\"fault\":\"recreate\"}");
    hub_put(hub, "0", NULL, 7);
    UNTIL(&w, worker_state(&w, "0").final_sequence == 6);
    CHECK(worker_told(&w, "position", NULL, NULL));
    CHECK_EQ(1, worker_times(&w, "0", 3));
    UNTIL(&w, worker_state(&w, "0").checkpoint_sequence == 6);
    end();
}

/* ---- past the end ---- */

static tmk_status far_ahead(worker *self, const char *partition, bool checkpointed,
                            tmk_start *start) {
    (void)self, (void)checkpointed;
    if (partition[0] == '0') {
        *start = tmk_start_sequence(5000000, true);
    }
    return TMK_OK;
}

static void a_position_past_the_end_is_reported_and_not_waited_for_in_silence(void) {
    begin();
    w.choose = far_ahead;
    worker_start(&w, store);
    UNTIL(&w, worker_told(&w, "position", NULL, NULL));
    hub_put(hub, "0", NULL, 2);
    hub_put(hub, "1", NULL, 2);
    UNTIL(&w, worker_state(&w, "1").final_sequence == 1);
    CHECK_EQ(0, worker_times(&w, "0", 10));
    CHECK_EQ(TMK_PROGRESS_STOPPED, worker_state(&w, "0").progress);
    end();
}

/* ---- under a reader that is too slow ---- */

static void what_retention_takes_from_under_a_paused_reader_is_told(void) {
    begin();
    w.options.lost_position = TMK_POSITION_EARLIEST;
    w.options.prefetch = 5;
    w.options.lag_interval_ms = 50;
    worker_start(&w, store);
    UNTIL(&w, worker_state(&w, "0").own);
    OK(tmk_processor_pause(w.processor, "0"));
    hub_put(hub, "0", NULL, 100);
    fault("{\"fault\":\"truncate\",\"partition\":\"0\",\"before\":60}");
    OK(tmk_processor_resume(w.processor, "0"));
    UNTIL(&w, worker_state(&w, "0").final_sequence == 109);
    CHECK(worker_distinct(&w) >= 50 && worker_distinct(&w) < 100);
    UNTIL(&w, worker_state(&w, "0").lag.lost == 100 - (int)worker_distinct(&w));
    CHECK(worker_told(&w, "position", "were not read", NULL));
    end();
}

int main(int argc, char **argv) {
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return RUN(TEST(by_default_a_position_before_the_tail_is_not_read_and_reported),
               TEST(with_earliest_it_goes_on_behind_the_loss_and_counts_it),
               TEST(with_latest_only_what_comes_from_then_on_is_read),
               TEST(by_time_it_goes_on_behind_the_last_event_that_was_final),
               TEST(a_recreated_hub_is_noticed_and_by_default_not_read),
               TEST(with_earliest_a_recreated_hub_is_read_from_its_beginning),
               TEST(a_hub_that_is_recreated_under_a_reader_is_told_and_read_anew),
               TEST(a_position_past_the_end_is_reported_and_not_waited_for_in_silence),
               TEST(what_retention_takes_from_under_a_paused_reader_is_told));
}
