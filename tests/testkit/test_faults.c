/* Each fault of the kit does what it says, and ends. Through the public headers alone. */
#include "testkit/rig.h"

/* A worker in a world in which events flow, settled for a while. */
static rig_worker *flowing(rig *r, uint32_t per_second) {
    rig_worker *w = NULL;

    rig_begin(r);
    CHECK_EQ(TMK_OK, tmk_kit_flow(r->kit, per_second, 0, &r->err));
    w = rig_start(r, "a");
    rig_run(r, 15000);
    CHECK_EQ(0, w->problems);
    return w;
}

static void dry_and_settled(rig *r) {
    CHECK_EQ(TMK_OK, tmk_kit_flow(r->kit, 0, 0, &r->err));
    rig_settle(r, 300000);
    tmk_kit_counts c = rig_counts(r);
    CHECK_EQ(c.appended, c.handled);
    CHECK_EQ(0, c.lost);
}

static void a_store_that_is_down_holds_checkpoints_back_not_events(void) {
    rig r;

    rig_init(&r);
    rig_worker *w = flowing(&r, 100);
    rig_fault(&r, TMK_KIT_STORE_DOWN, NULL, NULL, 60000);
    rig_run(&r, 1000);
    uint64_t written = rig_counts(&r).checkpoints, events = w->events;
    rig_run(&r, 58000);
    CHECK_EQ(written, rig_counts(&r).checkpoints);
    CHECK(w->events >= events + 5000);
    CHECK(w->problems > 0 && rig_stats(w).store_failures > 0);
    rig_run(&r, 30000);
    CHECK(rig_counts(&r).checkpoints > written);
    dry_and_settled(&r);
    CHECK_EQ(0, rig_counts(&r).repeated);
    rig_end(&r);
}

static void one_who_does_not_reach_the_store_is_replaced(void) {
    rig r;

    rig_init(&r);
    rig_worker *a = flowing(&r, 40);
    rig_start(&r, "b");
    rig_run(&r, 30000);
    CHECK_EQ(2, rig_owned(&r, "b"));
    rig_fault(&r, TMK_KIT_STORE_DOWN, a, NULL, 120000);
    rig_run(&r, 60000);
    CHECK_EQ(4, rig_owned(&r, "b"));
    rig_run(&r, 120000);
    CHECK_EQ(2, rig_owned(&r, "a"));
    dry_and_settled(&r);
    rig_end(&r);
}

static void a_store_in_trouble_is_told_apart(void) {
    static const tmk_kit_fault_kind kinds[] = {TMK_KIT_STORE_SLOW, TMK_KIT_STORE_LOSES_ANSWERS,
                                               TMK_KIT_STORE_THROTTLES, TMK_KIT_STORE_LISTS_LATE};

    for (size_t n = 0; n < sizeof kinds / sizeof kinds[0]; n++) {
        rig r;

        rig_init(&r);
        rig_worker *w = flowing(&r, 40);
        uint64_t failures = rig_stats(w).store_failures;
        rig_fault(&r, kinds[n], NULL, NULL, 120000);
        rig_run(&r, 60000);
        CHECK_EQ(kinds[n] == TMK_KIT_STORE_THROTTLES, rig_stats(w).store_throttled > 0);
        CHECK_EQ(kinds[n] != TMK_KIT_STORE_LISTS_LATE, rig_stats(w).store_failures > failures);
        rig_run(&r, 100000);
        failures = rig_stats(w).store_failures;
        rig_run(&r, 60000);
        CHECK_EQ(failures, rig_stats(w).store_failures); /* it has ended */
        dry_and_settled(&r);
        CHECK_EQ(0, rig_counts(&r).repeated);
        rig_end(&r);
    }
}

static void over_a_hub_that_is_down_nothing_comes(void) {
    rig r;

    rig_init(&r);
    rig_worker *w = flowing(&r, 40);
    rig_fault(&r, TMK_KIT_HUB_DOWN, NULL, NULL, 30000);
    rig_run(&r, 2000);
    uint64_t events = w->events;
    rig_run(&r, 27000);
    CHECK_EQ(events, w->events);
    CHECK(w->problems > 0);
    rig_run(&r, 20000);
    CHECK(w->events > events + 1000);
    dry_and_settled(&r);
    CHECK_EQ(0, rig_counts(&r).repeated);
    rig_end(&r);
}

static void one_who_comes_while_the_hub_is_down_waits_too(void) {
    rig r;

    rig_init(&r);
    rig_begin(&r);
    rig_append(&r, 20);
    rig_fault(&r, TMK_KIT_HUB_DOWN, NULL, NULL, 30000);
    rig_worker *w = rig_start(&r, "a");
    rig_run(&r, 29000);
    CHECK_EQ(0, w->events);
    dry_and_settled(&r);
    rig_end(&r);
}

static void a_refused_token_takes_links_down_for_its_time(void) {
    rig r;

    rig_init(&r);
    rig_worker *w = flowing(&r, 40);
    rig_fault(&r, TMK_KIT_TOKEN_REFUSED, w, NULL, 20000);
    CHECK_STR("amqp:unauthorized-access", w->condition);
    uint64_t events = w->events;
    rig_run(&r, 19000);
    CHECK(w->events < events + 10);
    rig_run(&r, 10000);
    CHECK(w->events > events + 800);
    dry_and_settled(&r);
    CHECK_EQ(0, rig_counts(&r).repeated);
    rig_end(&r);
}

static void one_who_sleeps_shortly_goes_on_where_it_was(void) {
    rig r;

    rig_init(&r);
    rig_worker *w = flowing(&r, 40);
    uint64_t events = w->events;
    rig_fault(&r, TMK_KIT_FROZEN, w, NULL, 8000);
    rig_run(&r, 7999);
    CHECK_EQ(events, w->events);
    rig_run(&r, 10000);
    CHECK(w->events > events + 500);
    dry_and_settled(&r);
    CHECK_EQ(0, rig_counts(&r).repeated);
    rig_end(&r);
}

static void one_who_sleeps_long_has_lost_its_partitions(void) {
    rig r;

    rig_init(&r);
    r.takes_ms = 20;
    rig_worker *a = flowing(&r, 40);
    rig_start(&r, "b");
    rig_run(&r, 30000);
    rig_fault(&r, TMK_KIT_FROZEN, a, NULL, 90000);
    rig_run(&r, 60000);
    CHECK_EQ(4, rig_owned(&r, "b"));
    tmk_kit_mend(r.kit);
    rig_run(&r, 60000);
    CHECK_EQ(2, rig_owned(&r, "a"));
    dry_and_settled(&r);
    rig_end(&r);
}

static void a_stuck_partition_holds_back_its_own_events_alone(void) {
    rig r;

    rig_init(&r);
    rig_worker *w = flowing(&r, 40);
    rig_fault(&r, TMK_KIT_PARTITION_STUCK, NULL, "2", 30000);
    rig_run(&r, 20000);
    CHECK(rig_partition(&r, "1").handled >= 340);
    CHECK(rig_partition(&r, "2").handled <= 151);
    rig_run(&r, 20000);
    CHECK(rig_partition(&r, "2").handled >= 500);
    CHECK_EQ(0, w->problems);
    dry_and_settled(&r);
    CHECK_EQ(0, rig_counts(&r).repeated);
    rig_end(&r);
}

static void what_happens_to_links_is_told_and_mended(void) {
    static const struct {
        tmk_kit_fault_kind kind;
        const char *condition;
    } faults[] = {{TMK_KIT_CONNECTION_LOST, "amqp:connection:forced"},
                  {TMK_KIT_LINK_ENDED, "amqp:internal-error"},
                  {TMK_KIT_LINK_STOLEN, "amqp:link:stolen"}};

    for (size_t n = 0; n < sizeof faults / sizeof faults[0]; n++) {
        rig r;

        rig_init(&r);
        rig_worker *w = flowing(&r, 40);
        uint64_t before = rig_partition(&r, "0").handled;
        rig_fault(&r, faults[n].kind, NULL, "1", 0);
        rig_run(&r, 500);
        CHECK(w->problems > 0);
        CHECK_STR(faults[n].condition, w->condition);
        rig_run(&r, 60000);
        CHECK(rig_partition(&r, "0").handled >= before + 600);
        CHECK(rig_partition(&r, "1").handled >= before + 500);
        dry_and_settled(&r);
        rig_end(&r);
    }
}

static void a_silent_link_is_noticed_and_opened_anew(void) {
    rig r;

    rig_init(&r);
    rig_worker *w = flowing(&r, 40);
    uint64_t before = rig_partition(&r, "3").handled;
    rig_fault(&r, TMK_KIT_LINK_SILENT, w, "3", 0);
    rig_run(&r, 10000);
    CHECK(rig_partition(&r, "3").handled <= before + 2);
    rig_run(&r, 120000);
    CHECK(rig_partition(&r, "3").handled >= before + 1000);
    CHECK(w->problems > 0);
    dry_and_settled(&r);
    CHECK_EQ(0, rig_counts(&r).repeated);
    rig_end(&r);
}

static void events_that_are_sent_again_do_not_reach_the_handler_again(void) {
    rig r;

    rig_init(&r);
    rig_worker *w = flowing(&r, 40);
    rig_fault(&r, TMK_KIT_EVENTS_REPEATED, NULL, NULL, 0);
    rig_run(&r, 5000);
    CHECK_EQ(80, rig_stats(w).redelivered);
    dry_and_settled(&r);
    CHECK_EQ(0, rig_counts(&r).repeated);
    rig_end(&r);
}

static void all_that_lasts_can_be_mended(void) {
    rig r;

    rig_init(&r);
    rig_worker *w = flowing(&r, 40);
    rig_fault(&r, TMK_KIT_STORE_DOWN, NULL, NULL, 3600000);
    rig_fault(&r, TMK_KIT_STORE_DOWN, w, NULL, 3600000);
    rig_fault(&r, TMK_KIT_HUB_DOWN, NULL, NULL, 3600000);
    rig_fault(&r, TMK_KIT_PARTITION_STUCK, NULL, NULL, 3600000);
    rig_fault(&r, TMK_KIT_TOKEN_REFUSED, NULL, NULL, 3600000);
    rig_run(&r, 5000);
    rig_fault(&r, TMK_KIT_FROZEN, NULL, NULL, 3600000);
    rig_run(&r, 5000);
    tmk_kit_mend(r.kit);
    dry_and_settled(&r);
    rig_end(&r);
}

int main(void) {
    return RUN(TEST(a_store_that_is_down_holds_checkpoints_back_not_events),
               TEST(one_who_does_not_reach_the_store_is_replaced),
               TEST(a_store_in_trouble_is_told_apart), TEST(over_a_hub_that_is_down_nothing_comes),
               TEST(one_who_comes_while_the_hub_is_down_waits_too),
               TEST(a_refused_token_takes_links_down_for_its_time),
               TEST(one_who_sleeps_shortly_goes_on_where_it_was),
               TEST(one_who_sleeps_long_has_lost_its_partitions),
               TEST(a_stuck_partition_holds_back_its_own_events_alone),
               TEST(what_happens_to_links_is_told_and_mended),
               TEST(a_silent_link_is_noticed_and_opened_anew),
               TEST(events_that_are_sent_again_do_not_reach_the_handler_again),
               TEST(all_that_lasts_can_be_mended));
}
