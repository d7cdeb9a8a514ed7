/* The life of a pump, rule by rule. */
#include "support/pump_world.h"

static world w;

static world_partition *begin(uint32_t events) {
    world_begin(&w, 1, 1);
    world_add_events(&w, &w.partitions[0], events, 1);
    return &w.partitions[0];
}

static void start(world_partition *p) {
    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_rounds(&w, 6, TMK_MS);
}

/* ---- where it starts ---- */

static void a_new_partition_is_read_from_its_default_and_that_is_written_first(void) {
    world_partition *p = begin(0);

    world_add_events(&w, p, 10, 1);
    p->trimmed = 4;
    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_drive(&w);
    CHECK(p->facts_wanted);
    world_facts_come(&w, p);
    world_drive(&w);
    CHECK(p->write_wanted);
    CHECK_EQ(3, p->writing.sequence);
    CHECK_EQ(1, p->reports[TMK_PUMP_STARTED]);
    world_rounds(&w, 5, TMK_MS);
    CHECK_EQ(9, world_facts_of(p).final_sequence);
    CHECK(world_all_final(&w));
    world_end(&w);
}

static void latest_means_behind_what_is_there_when_it_is_opened(void) {
    world_partition *p = begin(10);

    w.options.fallback = (tmk_start){.kind = TMK_START_LATEST};
    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_drive(&w);
    world_facts_come(&w, p);
    world_add_events(&w, p, 3, 1); /* between the look and the link */
    p->trimmed = 10;               /* (the checker: those before are none of ours) */
    world_rounds(&w, 6, TMK_MS);
    CHECK_EQ(9, p->writing.sequence < 9 ? -1 : 9);
    CHECK_EQ(1, p->events[10].handed);
    CHECK_EQ(0, p->events[9].handed);
    CHECK_EQ(12, world_facts_of(p).final_sequence);
    world_end(&w);
}

static void a_checkpoint_goes_before_the_default_and_the_program_before_both(void) {
    world_partition *p = begin(20);
    tmk_start chosen = {.kind = TMK_START_SEQUENCE, .sequence = 15, .inclusive = true};

    p->store = (world_store){.present = true, .sequence = 7, .offset = "70"};
    p->trimmed = 0;
    for (int i = 0; i < 8; i++) {
        p->events[i].final = true;
    }
    start(p);
    CHECK_EQ(0, p->events[7].handed);
    CHECK_EQ(1, p->events[8].handed);
    world_end_engine(&w);
    for (int i = 0; i < 20; i++) {
        p->events[i].final = i < 15;
        p->events[i].handed = 0;
    }
    world_begin_engine(&w);
    world_open(&w, p, &chosen);
    world_rounds(&w, 6, TMK_MS);
    CHECK_EQ(0, p->events[14].handed);
    CHECK_EQ(1, p->events[15].handed);
    world_end(&w);
}

static void a_start_by_time_is_known_with_the_first_event(void) {
    world_partition *p = begin(20);
    tmk_start chosen = {.kind = TMK_START_TIME, .unix_ms = 1012, .inclusive = true};

    p->trimmed = 12;
    world_begin_engine(&w);
    world_open(&w, p, &chosen);
    world_drive(&w);
    world_facts_come(&w, p);
    world_drive(&w);
    CHECK(!p->write_wanted);
    CHECK_EQ(-1, world_facts_of(p).received_sequence);
    world_link_opens(&w, p);
    world_drive(&w);
    world_deliver(&w, p, 5);
    world_drive(&w);
    CHECK(p->write_wanted);
    CHECK_EQ(11, p->writing.sequence);
    world_end(&w);
}

static void the_done_map_is_not_repeated_and_stays_in_what_is_written(void) {
    world_partition *p = begin(30);
    tmk_done_map_writer map;
    tmk_slice bytes;

    p->store = (world_store){.present = true, .sequence = 4};
    tmk_done_map_begin(&map, 4, -1, p->store.map, sizeof p->store.map);
    CHECK(tmk_done_map_add(&map, 7, 9));
    CHECK(tmk_done_map_add(&map, 28, 28));
    bytes = tmk_done_map_end(&map);
    p->store.map_size = bytes.size;
    for (int i = 0; i < 30; i++) {
        p->events[i].final = i <= 4 || (i >= 7 && i <= 9) || i == 28;
    }
    start(p);
    CHECK(world_all_final(&w));
    CHECK_EQ(0, p->events[8].handed);
    CHECK_EQ(0, p->events[28].handed);
    CHECK_EQ(29, world_facts_of(p).final_sequence);
    world_end(&w);
}

static void a_done_map_of_another_checkpoint_is_left_aside_and_told(void) {
    world_partition *p = begin(10);
    tmk_done_map_writer map;

    p->store = (world_store){.present = true, .sequence = 2};
    tmk_done_map_begin(&map, 1, -1, p->store.map, sizeof p->store.map);
    CHECK(tmk_done_map_add(&map, 5, 6));
    p->store.map_size = tmk_done_map_end(&map).size;
    p->events[0].final = p->events[1].final = p->events[2].final = true;
    start(p);
    CHECK_EQ(1, p->reports[TMK_PUMP_CHECKPOINT_BAD]);
    CHECK_EQ(1, p->events[5].handed);
    world_end(&w);
}

static void a_position_that_was_removed_is_not_replaced_unless_declared(void) {
    world_partition *p = begin(20);

    p->store = (world_store){.present = true, .sequence = 4};
    p->trimmed = 10;
    start(p);
    CHECK_EQ(1, p->reports[TMK_PUMP_POSITION_GONE]);
    CHECK_EQ(0, p->events[10].handed);
    CHECK_EQ(TMK_PROGRESS_STOPPED, world_facts_of(p).progress);
    CHECK_EQ(TMK_EPOSITION, p->last_error.status);
    world_rounds(&w, 20, TMK_SEC); /* looked at, and told, again */
    CHECK_EQ(2, p->reports[TMK_PUMP_POSITION_GONE]);
    world_end_engine(&w);

    w.options.lost_position = TMK_POSITION_EARLIEST;
    memset(p->reports, 0, sizeof p->reports);
    start(p);
    CHECK_EQ(1, p->events[10].handed);
    CHECK_EQ(1, p->reports[TMK_PUMP_EXPIRED]);
    CHECK_EQ(5, world_facts_of(p).lost);
    CHECK_EQ(0, p->reports[TMK_PUMP_GAP]);
    world_end(&w);
}

static void a_checkpoint_far_past_the_end_means_another_hub(void) {
    world_partition *p = begin(20);

    p->store = (world_store){.present = true, .sequence = 50000};
    start(p);
    CHECK_EQ(1, p->reports[TMK_PUMP_RECREATED]);
    CHECK_EQ(0, p->events[0].handed);
    world_end_engine(&w);
    w.options.lost_position = TMK_POSITION_EARLIEST;
    start(p);
    CHECK_EQ(19, world_facts_of(p).final_sequence);
    world_end(&w);
}

static void a_checkpoint_a_little_past_the_end_waits_for_events(void) {
    world_partition *p = begin(20);

    p->store = (world_store){.present = true, .sequence = 25};
    for (int i = 0; i < 20; i++) {
        p->events[i].final = true;
    }
    start(p);
    CHECK(p->link);
    CHECK_EQ(0, p->reports[TMK_PUMP_POSITION_GONE]);
    world_end(&w);
}

/* ---- reading ---- */

static void repeats_are_dropped_and_counted(void) {
    world_partition *p = begin(20);

    start(p);
    p->credit = 100;
    p->next = 5; /* the service sends them once more */
    world_rounds(&w, 2, TMK_MS);
    CHECK_EQ(1, p->events[7].handed);
    CHECK_EQ(1, p->reports[TMK_PUMP_REPEATS]);
    world_end(&w);
}

static void gaps_are_told_but_not_before_the_first_event(void) {
    world_partition *p = begin(0);

    p->events[0].sequence = 100;
    p->events[1].sequence = 101;
    p->events[2].sequence = 105;
    p->count = 3;
    start(p);
    CHECK_EQ(1, p->reports[TMK_PUMP_GAP]);
    CHECK_EQ(105, world_facts_of(p).final_sequence);
    world_end(&w);
}

static void numbers_that_go_back_with_newer_times_mean_another_hub(void) {
    world_partition *p = begin(50);
    tmk_burst *b = NULL;

    w.options.lost_position = TMK_POSITION_EARLIEST;
    start(p);
    b = bursts_make(w.pool, 0, 3, 1, 0);
    for (uint32_t i = 0; i < 3; i++) {
        b->events[i].enqueued_ms += 1000000;
    }
    p->credit += 3;
    tmk_pump_on_burst(p->pump, w.now, b);
    world_drive(&w);
    CHECK_EQ(1, p->reports[TMK_PUMP_RECREATED]);
    CHECK(p->closing);
    p->count = 3; /* the new hub */
    for (int i = 0; i < 3; i++) {
        p->events[i] = (world_event){.sequence = i};
    }
    world_rounds(&w, 8, TMK_MS);
    CHECK_EQ(1, p->events[2].handed);
    CHECK_EQ(2, world_facts_of(p).final_sequence);
    CHECK_EQ(2, p->store.sequence < 2 ? 2 : p->store.sequence);
    world_end(&w);
}

static void a_link_that_fails_is_opened_again_behind_what_was_read(void) {
    world_partition *p = begin(200);

    start(p);
    world_link_ends(&w, p, TMK_EAUTH);
    world_drive(&w);
    CHECK_EQ(1, p->reports[TMK_PUMP_LINK_ENDED]);
    CHECK(!p->opening);
    world_rounds(&w, 20, TMK_SEC);
    CHECK(p->link);
    CHECK(world_all_final(&w));
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(1, p->events[i].handed);
    }
    world_end(&w);
}

/* What stood for an hour has not failed "again". */
static void a_link_that_stood_long_is_opened_soon_again(void) {
    world_partition *p = begin(5);
    tmk_time longest = 0;

    w.options.reopen.jitter = 0;
    w.options.checkpoint.interval = 0; /* so that nothing else has a deadline */
    w.options.later_warn = 0;
    start(p);
    for (int i = 0; i < 5; i++) { /* it fails at once, again and again */
        world_link_ends(&w, p, TMK_ELIMIT);
        world_drive(&w);
        CHECK_EQ(TMK_PROGRESS_STOPPED, world_facts_of(p).progress);
        longest = tmk_engine_deadline(w.engine) - w.now;
        w.now = tmk_engine_deadline(w.engine);
        world_drive(&w);
        world_link_opens(&w, p);
        world_drive(&w);
    }
    CHECK_EQ(TMK_PROGRESS_OK, world_facts_of(p).progress);
    w.now += 2 * TMK_MIN;
    world_link_ends(&w, p, TMK_ELIMIT);
    world_drive(&w);
    CHECK(longest > 100 * TMK_SEC);
    CHECK_EQ(10 * TMK_SEC, tmk_engine_deadline(w.engine) - w.now);
    world_end(&w);
}

static void a_stolen_link_ends_it_and_nothing_more_is_handed_out(void) {
    world_partition *p = begin(50);

    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_drive(&w);
    world_facts_come(&w, p);
    world_drive(&w);
    world_link_opens(&w, p);
    world_drive(&w);
    world_deliver(&w, p, 20);
    CHECK(world_work(&w, &w.workers[0])); /* takes some, begins one */
    world_link_ends(&w, p, TMK_ELOST);
    world_drive(&w);
    CHECK_EQ(TMK_PUMP_WAIT, p->closed.kind); /* a callback runs */
    CHECK(world_work(&w, &w.workers[0]));
    CHECK(world_work(&w, &w.workers[0])); /* the turn ends: no second callback */
    CHECK(!w.workers[0].turn.active);
    CHECK(!world_work(&w, &w.workers[1]));
    world_drive(&w);
    CHECK_EQ(TMK_PUMP_CLOSED, p->closed.kind);
    CHECK_EQ(TMK_CLOSE_LOST, p->closed.reason);
    CHECK_EQ(0, p->closed.in_doubt);
    world_end(&w);
}

static void a_refused_position_is_looked_for_anew_and_nothing_in_hand_is_lost(void) {
    world_partition *p = begin(100);

    w.options.lost_position = TMK_POSITION_EARLIEST;
    w.options.prefetch_max = 10;
    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_drive(&w);
    world_facts_come(&w, p);
    world_drive(&w);
    world_link_opens(&w, p);
    world_drive(&w);
    world_deliver(&w, p, 10);
    p->trimmed = 40;
    world_link_ends(&w, p, TMK_EPOSITION);
    world_drive(&w);
    CHECK(p->facts_wanted);
    world_rounds(&w, 100, TMK_MS);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(1, p->events[i].handed);
    }
    CHECK_EQ(1, p->events[99].handed);
    CHECK_EQ(30, world_facts_of(p).lost);
    world_end(&w);
}

static void a_silent_link_is_opened_anew(void) {
    world_partition *p = begin(10);
    tmk_partition_facts f;

    start(p);
    world_add_events(&w, p, 5, 1);
    f = world_facts(p);
    tmk_pump_on_facts(p->pump, w.now, &f, NULL);
    world_drive(&w);
    CHECK(tmk_engine_deadline(w.engine) <= w.now + 30 * TMK_SEC);
    w.now += 30 * TMK_SEC - 1;
    world_drive(&w);
    CHECK_EQ(0, p->reports[TMK_PUMP_SILENT]);
    w.now += 1;
    world_drive(&w);
    CHECK_EQ(1, p->reports[TMK_PUMP_SILENT]);
    CHECK(p->closing);
    world_rounds(&w, 5, TMK_MS);
    CHECK(world_all_final(&w));
    world_end(&w);
}

static void an_idle_partition_has_no_deadline(void) {
    world_partition *p = begin(10);

    w.options.later_warn = 0;
    start(p);
    world_rounds(&w, 5, 20 * TMK_SEC);
    CHECK_EQ(9, p->store.sequence);
    CHECK_EQ(TMK_NEVER, tmk_engine_deadline(w.engine));
    world_end(&w);
}

int main(void) {
    return RUN(TEST(a_new_partition_is_read_from_its_default_and_that_is_written_first),
               TEST(latest_means_behind_what_is_there_when_it_is_opened),
               TEST(a_checkpoint_goes_before_the_default_and_the_program_before_both),
               TEST(a_start_by_time_is_known_with_the_first_event),
               TEST(the_done_map_is_not_repeated_and_stays_in_what_is_written),
               TEST(a_done_map_of_another_checkpoint_is_left_aside_and_told),
               TEST(a_position_that_was_removed_is_not_replaced_unless_declared),
               TEST(a_checkpoint_far_past_the_end_means_another_hub),
               TEST(a_checkpoint_a_little_past_the_end_waits_for_events),
               TEST(repeats_are_dropped_and_counted),
               TEST(gaps_are_told_but_not_before_the_first_event),
               TEST(numbers_that_go_back_with_newer_times_mean_another_hub),
               TEST(a_link_that_fails_is_opened_again_behind_what_was_read),
               TEST(a_link_that_stood_long_is_opened_soon_again),
               TEST(a_stolen_link_ends_it_and_nothing_more_is_handed_out),
               TEST(a_refused_position_is_looked_for_anew_and_nothing_in_hand_is_lost),
               TEST(a_silent_link_is_opened_anew), TEST(an_idle_partition_has_no_deadline));
}
