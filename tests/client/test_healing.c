/*
 * What goes wrong while reading, and how it is healed: each fault that the hub
 * can play, with the client's own words about it, in virtual time. The reader
 * checks that every event came once and in order.
 */
#include "support/check.h"
#include "support/pond.h"

static pond p;
static pond_reader r;

static void begin(void) {
    pond_options o = {.seed = 11};

    pond_begin(&p, &o);
    pond_put(&p, "0", 100, 50);
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    CHECK(pond_until_count(&p, &r.count, 100, 5000));
    pond_run(&p, 6000); /* stable: the next failure is the first in a row */
}

/* Everything that was put has come, once, and the program was told of `origin`. */
static void end(const char *origin) {
    uint64_t all = (uint64_t)pond_last(&p, "0") + 1;

    CHECK(pond_until_count(&p, &r.count, all, 60000));
    pond_run(&p, 500);
    CHECK_EQ(all, r.count);
    CHECK_EQ(0, r.holes + r.out_of_order + r.wrong);
    CHECK(!r.ended);
    if (origin != NULL && pond_find_trouble(&p, origin, NULL) == NULL) {
        fail_msg("no trouble '%s' was told; the last was '%s'", origin,
                 p.trouble_count == 0 ? "none" : p.troubles[p.trouble_count - 1].origin);
    }
    pond_read_end(&r);
    pond_end(&p);
}

static void expect_back_within(int64_t ms) {
    uint64_t before = r.count;

    pond_put(&p, "0", 10, 50);
    CHECK(pond_until_count(&p, &r.count, before + 10, ms));
}

/* ---- connections ---- */

static void a_reset_is_healed_within_two_seconds(void) {
    begin();
    pond_cut_streams(&p, true);
    expect_back_within(2000);
    CHECK_EQ(2, p.connects);
    end("errno:104");
}

static void an_end_without_a_word_is_healed_within_two_seconds(void) {
    begin();
    pond_cut_streams(&p, false);
    expect_back_within(2000);
    end("amqp");
}

static void a_forced_close_is_healed_at_once(void) {
    tmk_hub_match m = pond_match(NULL, TMK_HUB_ROLE_ANY);
    tmk_hub_fail why;

    begin();
    tmk_hub_fail_set(&why, "amqp:connection:forced", "the service restarts");
    CHECK(tmk_hub_server_close(&p.hub, &m, &why) > 0);
    expect_back_within(2000);
    end("amqp:connection:forced");
}

/* Some services tell the end of a connection link by link. */
static void a_forced_connection_told_on_a_link_makes_a_new_connection(void) {
    begin();
    pond_detach(&p, "0", "amqp:connection:forced", "the service restarts");
    expect_back_within(2000);
    CHECK_EQ(2, p.connects);
    end("amqp:connection:forced");
}

static void ended_sessions_are_healed(void) {
    tmk_hub_match m = pond_match(NULL, TMK_HUB_ROLE_ANY);
    tmk_hub_fail why;

    begin();
    tmk_hub_fail_set(&why, "amqp:internal-error", "the session broke");
    CHECK(tmk_hub_server_end(&p.hub, &m, &why) > 0);
    expect_back_within(2000);
    end("amqp:internal-error");
}

/* Half an outage: the hub cannot be reached for a minute. */
static void an_outage_is_outlived_with_growing_pauses(void) {
    unsigned before;

    begin();
    p.peer = POND_REFUSES;
    before = p.connects;
    pond_cut_streams(&p, true);
    pond_run(&p, 60000);
    CHECK(p.connects - before >= 7 && p.connects - before <= 12);
    p.peer = POND_HUB_PEER;
    expect_back_within(40000);
    end("errno:111");
}

/* The heartbeats of the other side stop: two of its periods. The reader has no credit, so that it
 * has nothing to ask the management about. */
static void a_black_hole_ends_by_the_idle_timeout(void) {
    begin();
    r.keep = true;
    pond_put(&p, "0", 1000, 50);
    CHECK(pond_until_count(&p, &r.count, 1100, 5000));
    p.black_hole = true;
    CHECK(pond_until_trouble(&p, "amqp:resource-limit-exceeded", 65000));
    p.black_hole = false;
    r.keep = false;
    while (r.kept_count > 0) {
        r.kept_count--;
        r.kept[r.kept_count] = tmk_received_free(r.kept[r.kept_count]);
    }
    expect_back_within(5000);
    CHECK_EQ(TMK_ETIMEOUT,
             pond_find_trouble(&p, "amqp:resource-limit-exceeded", "new connection")->status);
    end(NULL);
}

/* What we send vanishes, what the hub sends arrives, heartbeats too: only the missing answers tell.
 */
static void a_path_that_is_cut_one_way_is_healed_within_70_seconds(void) {
    begin();
    p.deaf = true;
    CHECK(pond_until_trouble(&p, "amqp:silent", 70000));
    p.deaf = false;
    expect_back_within(5000);
    end(NULL);
}

/* ---- links ---- */

static void detach(const char *condition, int64_t within_ms) {
    begin();
    pond_detach(&p, "0", condition, "because");
    expect_back_within(within_ms);
    end(condition);
}

static void being_sent_away_costs_at_most_a_second(void) {
    detach("amqp:link:detach-forced", 1200);
    CHECK_EQ(1, p.connects);
}

static void an_internal_error_costs_little(void) {
    detach("amqp:internal-error", 1000);
}

static void a_busy_hub_gets_four_seconds(void) {
    begin();
    pond_detach(&p, "0", "com.microsoft:server-busy", "wait");
    pond_put(&p, "0", 1, 50);
    pond_run(&p, 3900);
    CHECK_EQ(100, r.count);
    expect_back_within(2000);
    end("com.microsoft:server-busy");
}

static void timeouts_of_the_service_are_healed(void) {
    detach("com.microsoft:timeout", 4000);
}

static void cancelled_operations_are_healed(void) {
    detach("com.microsoft:operation-cancelled", 1000);
}

static void a_closing_container_is_left_for_another(void) {
    detach("com.microsoft:container-close", 6000);
    CHECK_EQ(2, p.connects);
}

static void an_unknown_reason_makes_a_new_connection(void) {
    detach("com.example:never-heard-of", 2000);
    CHECK_EQ(2, p.connects);
}

static void no_reason_at_all_is_healed(void) {
    begin();
    pond_detach(&p, "0", "", "");
    expect_back_within(2000);
    end(NULL);
}

static void a_link_that_is_refused_again_and_again_gets_a_new_connection(void) {
    tmk_hub_rule refuse = {.kind = TMK_HUB_RULE_REFUSE_ATTACH,
                           .match = pond_match("0", TMK_HUB_ROLE_RECEIVER),
                           .left = 5,
                           .condition = "amqp:internal-error",
                           .text = "not now"};

    begin();
    (void)pond_rule(&p, &refuse);
    pond_detach(&p, "0", "amqp:internal-error", "because");
    expect_back_within(20000);
    CHECK(p.connects >= 2);
    CHECK(pond_find_trouble(&p, "amqp:internal-error", "new connection") != NULL);
    end("amqp:internal-error");
}

/* The hub takes the attach and says nothing: the link is left, then the connection. */
static void an_attach_without_an_answer_is_healed(void) {
    tmk_hub_rule mute = {.kind = TMK_HUB_RULE_MUTE,
                         .match = {.what = TMK_HUB_WHAT_ATTACH, .role = TMK_HUB_ROLE_RECEIVER},
                         .left = 3};

    begin();
    (void)pond_rule(&p, &mute);
    pond_detach(&p, "0", "amqp:link:detach-forced", "because");
    expect_back_within(130000);
    CHECK(pond_find_trouble(&p, "amqp:link", "new link") != NULL);
    CHECK(pond_find_trouble(&p, "amqp:link", "new connection") != NULL);
    end("amqp:link:detach-forced");
}

/* The link stands, has credit, and nothing comes. */
static void a_stalled_link_is_noticed_within_thirty_seconds(void) {
    tmk_hub_rule stall = {.kind = TMK_HUB_RULE_STALL, .match = pond_match("0", TMK_HUB_ROLE_ANY)};
    uint64_t id;
    tmk_client_stats stats = {.size = sizeof stats};
    tmk_time before;

    begin();
    id = pond_rule(&p, &stall);
    pond_put(&p, "0", 10, 50);
    before = p.now;
    CHECK(pond_until_trouble(&p, "amqp:link", 60000));
    CHECK(p.now - before <= 31 * TMK_SEC);
    pond_unrule(&p, id);
    CHECK(pond_until_count(&p, &r.count, 110, 5000));
    tmk_client_stats_get(p.client, &stats);
    CHECK_EQ(1, stats.stalls_healed);
    end("amqp:link");
}

static void a_quiet_partition_is_left_in_peace_for_an_hour(void) {
    begin();
    p.hub.idle.link_ms = INT64_C(86400000);
    p.tick = 500 * TMK_MS;
    pond_run(&p, 3600 * 1000);
    CHECK_EQ(0, p.trouble_count);
    CHECK_EQ(1, p.connects);
    p.tick = 10 * TMK_MS;
    expect_back_within(1000);
    end(NULL);
}

/* The service ends links that were idle for half an hour; nothing is lost over it. */
static void an_idle_link_is_attached_again(void) {
    begin();
    p.hub.idle.link_ms = 60000;
    p.tick = 100 * TMK_MS;
    pond_cut_streams(&p, true); /* the new limits are for new connections */
    pond_run(&p, 200000);
    p.tick = 10 * TMK_MS;
    expect_back_within(2000);
    end("amqp:link:detach-forced");
}

/* ---- what the hub delivers ---- */

static void repeated_events_are_dropped_and_counted(void) {
    tmk_hub_rule repeat = {.kind = TMK_HUB_RULE_REPEAT,
                           .match = pond_match("0", TMK_HUB_ROLE_ANY),
                           .left = 1,
                           .events = 7};
    tmk_client_stats stats = {.size = sizeof stats};

    begin();
    (void)pond_rule(&p, &repeat);
    expect_back_within(2000);
    tmk_client_stats_get(p.client, &stats);
    CHECK(stats.events_repeated > 0);
    end(NULL);
}

static void a_hole_is_reported_with_its_size(void) {
    tmk_hub_rule skip = {.kind = TMK_HUB_RULE_SKIP,
                         .match = pond_match("0", TMK_HUB_ROLE_ANY),
                         .left = 1,
                         .events = 3};
    tmk_client_stats stats = {.size = sizeof stats};

    begin();
    (void)pond_rule(&p, &skip);
    pond_put(&p, "0", 10, 50);
    CHECK(pond_until_count(&p, &r.count, 107, 5000));
    CHECK_EQ(1, r.holes);
    CHECK(pond_find_trouble(&p, "tidemark:gap", NULL) != NULL);
    tmk_client_stats_get(p.client, &stats);
    CHECK_EQ(3, stats.events_missing);
    pond_read_end(&r);
    pond_end(&p);
}

/* Sequence numbers begin anew: the old position means nothing any more. */
static void a_hub_made_anew_ends_the_reader_with_a_word(void) {
    tmk_hub_match m = pond_match(NULL, TMK_HUB_ROLE_ANY);

    begin();
    tmk_hub_entity_recreate(tmk_hub_core_find(&p.hub.core, TMK_LIT(POND_HUB)), p.hub.wall_ms);
    (void)tmk_hub_server_drop(&p.hub, &m);
    pond_put(&p, "0", 10, 50);
    CHECK(pond_until(&p, &r.ended, 10000));
    CHECK_EQ(TMK_EPOSITION, r.why.status);
    pond_read_end(&r);
    pond_end(&p);
}

/* ---- tokens ---- */

static void a_token_that_ends_is_renewed_without_a_break(void) {
    begin();
    p.tick = 200 * TMK_MS;
    p.hub.idle.link_ms = INT64_C(86400000);
    p.hub.idle.connection_ms = INT64_C(86400000);
    for (int i = 0; i < 40; i++) {
        pond_run(&p, 5 * 60 * 1000);
        pond_put(&p, "0", 1, 50);
    }
    CHECK_EQ(0, p.trouble_count);
    CHECK_EQ(1, p.connects);
    p.tick = 10 * TMK_MS;
    end(NULL);
}

static void a_token_that_the_service_forgets_is_put_again(void) {
    tmk_hub_match m = pond_match(NULL, TMK_HUB_ROLE_ANY);

    begin();
    CHECK(tmk_hub_server_expire(&p.hub, &m) > 0);
    expect_back_within(5000);
    end("amqp:unauthorized-access");
}

static void tokens_refused_for_a_while_stop_nothing_for_good(void) {
    tmk_hub_rule refuse = {.kind = TMK_HUB_RULE_REFUSE_TOKENS, .status = 401};
    uint64_t id;

    begin();
    id = pond_rule(&p, &refuse);
    pond_cut_streams(&p, true);
    pond_run(&p, 60000);
    CHECK(pond_find_trouble(&p, "amqp:unauthorized-access", NULL) != NULL);
    CHECK(!r.ended);
    pond_unrule(&p, id);
    expect_back_within(330000);
    end(NULL);
}

static void a_service_that_does_not_answer_tokens_is_left(void) {
    tmk_hub_rule mute = {.kind = TMK_HUB_RULE_MUTE, .match = {.what = TMK_HUB_WHAT_CBS}, .left = 1};

    begin();
    (void)pond_rule(&p, &mute);
    pond_cut_streams(&p, true);
    expect_back_within(40000);
    end(NULL);
}

/* ---- many at once ---- */

/* A thousand seconds of trouble of all kinds, seeded: whatever comes, every event comes once. */
static void anything_at_all_is_outlived(void) {
    static const char *const conditions[] = {"amqp:link:detach-forced",   "amqp:internal-error",
                                             "amqp:connection:forced",    "com.microsoft:timeout",
                                             "com.microsoft:server-busy", ""};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        pond_options o = {.seed = seed, .cut = seed % 3 == 0 ? 3000 : 0};
        tmk_hub_match any = pond_match(NULL, TMK_HUB_ROLE_ANY);
        tmk_hub_fail why;
        tmk_rng rng;

        tmk_rng_seed(&rng, seed);
        pond_begin(&p, &o);
        pond_read_from(&p, &r, "0", tmk_start_earliest());
        for (int i = 0; i < 60; i++) {
            pond_put(&p, "0", (unsigned)tmk_rng_below(&rng, 40), 20 + tmk_rng_below(&rng, 3000));
            pond_run(&p, tmk_rng_between(&rng, 0, 3000));
            tmk_hub_fail_set(&why, conditions[tmk_rng_below(&rng, 6)], "trouble %d", i);
            switch (tmk_rng_below(&rng, 6)) {
            case 0:
                pond_cut_streams(&p, tmk_rng_chance(&rng, 0.5));
                break;
            case 1:
                (void)tmk_hub_server_detach(&p.hub, &any, &why, -1);
                break;
            case 2:
                (void)tmk_hub_server_close(&p.hub, &any, &why);
                break;
            case 3:
                (void)tmk_hub_server_end(&p.hub, &any, &why);
                break;
            case 4:
                (void)tmk_hub_server_expire(&p.hub, &any);
                break;
            default:
                break;
            }
        }
        CHECK(pond_until_count(&p, &r.count, (uint64_t)pond_last(&p, "0") + 1, 120000));
        CHECK_EQ(0, r.holes + r.out_of_order + r.wrong);
        CHECK(!r.ended);
        pond_read_end(&r);
        pond_end(&p);
    }
}

int main(void) {
    return RUN(
        TEST(a_reset_is_healed_within_two_seconds),
        TEST(an_end_without_a_word_is_healed_within_two_seconds),
        TEST(a_forced_close_is_healed_at_once),
        TEST(a_forced_connection_told_on_a_link_makes_a_new_connection),
        TEST(ended_sessions_are_healed), TEST(an_outage_is_outlived_with_growing_pauses),
        TEST(a_black_hole_ends_by_the_idle_timeout),
        TEST(a_path_that_is_cut_one_way_is_healed_within_70_seconds),
        TEST(being_sent_away_costs_at_most_a_second), TEST(an_internal_error_costs_little),
        TEST(a_busy_hub_gets_four_seconds), TEST(timeouts_of_the_service_are_healed),
        TEST(cancelled_operations_are_healed), TEST(a_closing_container_is_left_for_another),
        TEST(an_unknown_reason_makes_a_new_connection), TEST(no_reason_at_all_is_healed),
        TEST(a_link_that_is_refused_again_and_again_gets_a_new_connection),
        TEST(an_attach_without_an_answer_is_healed),
        TEST(a_stalled_link_is_noticed_within_thirty_seconds),
        TEST(a_quiet_partition_is_left_in_peace_for_an_hour), TEST(an_idle_link_is_attached_again),
        TEST(repeated_events_are_dropped_and_counted), TEST(a_hole_is_reported_with_its_size),
        TEST(a_hub_made_anew_ends_the_reader_with_a_word),
        TEST(a_token_that_ends_is_renewed_without_a_break),
        TEST(a_token_that_the_service_forgets_is_put_again),
        TEST(tokens_refused_for_a_while_stop_nothing_for_good),
        TEST(a_service_that_does_not_answer_tokens_is_left), TEST(anything_at_all_is_outlived));
}
