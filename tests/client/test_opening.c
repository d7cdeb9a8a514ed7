/*
 * Beginnings that go wrong: each ends in a clear word within bounded time; and
 * the rules of owner levels. In virtual time.
 */
#include "support/check.h"
#include "support/pond.h"

static pond p;
static pond_reader r;

static void end(void) {
    pond_read_end(&r);
    pond_end(&p);
}

static void expect_end(tmk_status status, int64_t within_ms) {
    CHECK(pond_until(&p, &r.ended, within_ms));
    if (r.why.status != status) {
        fail_msg("ended by %s '%s': %s", tmk_status_name(r.why.status), r.why.origin, r.why.text);
    }
    CHECK(r.why.text[0] != '\0');
    CHECK(p.trouble_count > 0);
    CHECK_EQ(0, r.count);
}

/* ---- refusals ---- */

static void a_wrong_key_is_told_within_seconds(void) {
    pond_options o = {.key = "d3Jvbmc="};

    pond_begin(&p, &o);
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    expect_end(TMK_EAUTH, 5000);
    end();
}

static void an_unknown_hub_is_told_within_seconds(void) {
    pond_options o = {.hub = "nothere"};

    pond_begin(&p, &o);
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    CHECK(pond_until(&p, &r.ended, 10000));
    CHECK(r.why.status == TMK_ENOTFOUND || r.why.status == TMK_EAUTH);
    end();
}

static void an_unknown_group_is_told_within_seconds(void) {
    tmk_consumer_options o;

    pond_begin(&p, NULL);
    tmk_consumer_options_init(&o);
    o.group = "nobody";
    o.start = tmk_start_earliest();
    pond_read(&p, &r, "0", &o);
    expect_end(TMK_ENOTFOUND, 5000);
    end();
}

static void an_unknown_partition_is_told_within_seconds(void) {
    pond_begin(&p, NULL);
    pond_read_from(&p, &r, "99", tmk_start_earliest());
    expect_end(TMK_ENOTFOUND, 5000);
    pond_read_end(&r);
    pond_read_from(&p, &r, "99", tmk_start_latest()); /* asks the management first */
    expect_end(TMK_ENOTFOUND, 20000);
    end();
}

static void a_position_beyond_the_end_is_told_at_once(void) {
    pond_begin(&p, NULL);
    pond_put(&p, "0", 5, 50);
    pond_read_from(&p, &r, "0", tmk_start_sequence(1000, false));
    expect_end(TMK_EPOSITION, 2000);
    end();
}

static void a_numeric_offset_on_a_geo_replicated_hub_is_told_at_once(void) {
    tmk_start start;

    pond_begin(&p, NULL);
    pond_put(&p, "0", 5, 50);
    CHECK_EQ(TMK_OK,
             tmk_hub_entity_set_geo(tmk_hub_core_find(&p.hub.core, TMK_LIT(POND_HUB)), true));
    CHECK_EQ(TMK_OK, tmk_start_offset(TMK_LIT("100"), false, &start, NULL));
    pond_read_from(&p, &r, "0", start);
    expect_end(TMK_EPOSITION, 2000);
    CHECK_STR("com.microsoft:georeplication:invalid-offset", r.why.origin);
    end();
}

/* There offsets are texts; reading goes on behind one after a loss. */
static void opaque_offsets_are_resumed_at(void) {
    pond_begin(&p, NULL);
    CHECK_EQ(TMK_OK,
             tmk_hub_entity_set_geo(tmk_hub_core_find(&p.hub.core, TMK_LIT(POND_HUB)), true));
    pond_put(&p, "0", 50, 50);
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    CHECK(pond_until_count(&p, &r.count, 50, 5000));
    pond_cut_streams(&p, true);
    pond_put(&p, "0", 50, 50);
    CHECK(pond_until_count(&p, &r.count, 100, 5000));
    CHECK_EQ(0, r.holes + r.out_of_order + r.wrong);
    end();
}

static void a_disabled_hub_is_told(void) {
    tmk_hub_rule refuse = {.kind = TMK_HUB_RULE_REFUSE_ATTACH,
                           .match = pond_match("0", TMK_HUB_ROLE_RECEIVER),
                           .condition = "com.microsoft:entity-disabled",
                           .text = "disabled"};

    pond_begin(&p, NULL);
    (void)pond_rule(&p, &refuse);
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    expect_end(TMK_EREMOTE, 2000);
    end();
}

/* ---- peers that are no service ---- */

/* The program is told each time, and the pauses grow; when the service is there, all is well. */
static void outlive(pond_peer peer, size_t bytes, int64_t ms, unsigned tries_min,
                    unsigned tries_max) {
    pond_begin(&p, NULL);
    pond_put(&p, "0", 5, 50);
    p.peer = peer;
    p.peer_bytes = bytes;
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    pond_run(&p, ms);
    CHECK(!r.ended);
    if (p.connects < tries_min || p.connects > tries_max) {
        fail_msg("%u connections within %d ms", p.connects, (int)ms);
    }
    CHECK(p.trouble_count >= tries_min - 1);
    p.peer = POND_HUB_PEER;
    CHECK(pond_until_count(&p, &r.count, 5, 70000));
    end();
}

static void a_refused_connection_is_told_and_tried_again(void) {
    outlive(POND_REFUSES, 0, 60000, 7, 12);
}

static void a_connection_that_never_opens_is_given_thirty_seconds(void) {
    outlive(POND_NEVER_OPENS, 0, 100000, 4, 5);
}

static void a_server_that_says_nothing_is_given_thirty_seconds(void) {
    outlive(POND_SILENT, 0, 100000, 4, 5);
}

static void a_server_that_talks_garbage_is_left_at_once(void) {
    outlive(POND_GARBAGE, 0, 60000, 7, 12);
}

/* Closing at any moment of the beginning: SASL, open, begin, attach, token, receiver. */
static void a_server_that_closes_at_any_stage_is_outlived(void) {
    bool through = false;

    for (size_t bytes = 1; !through; bytes += 61) {
        pond_begin(&p, NULL);
        pond_put(&p, "0", 5, 50);
        p.peer = POND_CLOSES;
        p.peer_bytes = bytes;
        pond_read_from(&p, &r, "0", tmk_start_earliest());
        pond_run(&p, 3000);
        through = p.connects == 1;
        CHECK(!r.ended);
        CHECK(through || p.trouble_count > 0);
        p.peer = POND_HUB_PEER;
        CHECK(pond_until_count(&p, &r.count, 5, 70000));
        end();
    }
}

static void silence_at_any_stage_is_outlived(void) {
    static const tmk_hub_what stages[] = {TMK_HUB_WHAT_OPEN, TMK_HUB_WHAT_BEGIN,
                                          TMK_HUB_WHAT_ATTACH, TMK_HUB_WHAT_CBS};

    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        tmk_hub_rule mute = {.kind = TMK_HUB_RULE_MUTE, .match = {.what = stages[i]}, .left = 1};

        pond_begin(&p, NULL);
        pond_put(&p, "0", 5, 50);
        (void)pond_rule(&p, &mute);
        pond_read_from(&p, &r, "0", tmk_start_earliest());
        CHECK(pond_until_count(&p, &r.count, 5, 35000));
        CHECK(p.trouble_count > 0);
        end();
    }
}

/* Random bytes in an otherwise good stream: whatever breaks, the client lives and heals. */
static void flipped_bytes_are_outlived(void) {
    for (uint64_t seed = 1; seed <= 30; seed++) {
        pond_options o = {.seed = seed};

        pond_begin(&p, &o);
        p.flip = 0.0002;
        pond_put(&p, "0", 300, 200);
        pond_read_from(&p, &r, "0", tmk_start_earliest());
        pond_run(&p, 20000);
        p.flip = 0;
        pond_cut_streams(&p, true);
        if (!r.ended) { /* a flip may say "not found" or the like, too */
            pond_put(&p, "0", 1, 200);
            pond_run(&p, 70000);
        }
        end();
    }
}

/* ---- owner levels ---- */

static void read_with_level(pond_reader *to, int64_t level, const char *name) {
    tmk_consumer_options o;

    tmk_consumer_options_init(&o);
    o.start = tmk_start_earliest();
    o.owner_level = level;
    o.name = name;
    pond_read(&p, to, "0", &o);
}

static void an_equal_or_higher_level_takes_the_partition_over(void) {
    pond_reader next;

    for (int64_t level = 5; level <= 6; level++) {
        pond_begin(&p, NULL);
        pond_put(&p, "0", 5, 50);
        read_with_level(&r, 5, "old-reader");
        CHECK(pond_until_count(&p, &r.count, 5, 5000));
        read_with_level(&next, level, "new-reader");
        CHECK(pond_until_count(&p, &next.count, 5, 5000));
        CHECK(r.ended);
        CHECK_EQ(TMK_ELOST, r.why.status);
        CHECK_STR("amqp:link:stolen", r.why.origin);
        CHECK(strstr(r.why.text, "new-reader") != NULL);
        pond_run(&p, 60000);
        CHECK(!next.ended); /* nobody fights back */
        pond_read_end(&next);
        end();
    }
}

static void a_lower_level_and_no_level_are_refused(void) {
    pond_reader high;

    for (int64_t level = -1; level <= 4; level += 5) {
        pond_begin(&p, NULL);
        pond_put(&p, "0", 5, 50);
        read_with_level(&high, 5, NULL);
        CHECK(pond_until_count(&p, &high.count, 5, 5000));
        read_with_level(&r, level, NULL);
        expect_end(TMK_ELOST, 2000);
        CHECK(!high.ended);
        pond_read_end(&high);
        end();
    }
}

static void the_sixth_reader_is_told(void) {
    pond_reader five[5];

    pond_begin(&p, NULL);
    pond_put(&p, "0", 5, 50);
    for (int i = 0; i < 5; i++) {
        read_with_level(&five[i], -1, NULL);
        CHECK(pond_until_count(&p, &five[i].count, 5, 5000));
    }
    read_with_level(&r, -1, NULL);
    expect_end(TMK_ELIMIT, 5000);
    for (int i = 0; i < 5; i++) {
        pond_read_end(&five[i]);
    }
    end();
}

/* The place of a reader that has closed is free at once. */
static void a_reader_that_ends_leaves_its_place(void) {
    pond_begin(&p, NULL);
    pond_put(&p, "0", 5, 50);
    for (int i = 0; i < 30; i++) {
        read_with_level(&r, -1, NULL);
        CHECK(pond_until_count(&p, &r.count, 5, 5000));
        pond_read_end(&r);
        pond_run(&p, 50);
    }
    CHECK_EQ(0, p.trouble_count);
    CHECK_EQ(1, p.connects);
    pond_end(&p);
}

/* ---- what a connection has room for ---- */

/* Of four sessions two are kept for tokens and questions. Without a count of ours the engine would
 * fall silent instead. */
static void more_readers_than_sessions_are_told(void) {
    pond_options o = {.partitions = 8};
    pond_reader others[2];

    pond_begin(&p, &o);
    p.hub.channel_max = 3;
    for (int i = 0; i < 2; i++) {
        static const char *const ids[] = {"0", "1"};

        pond_put(&p, ids[i], 5, 50);
        pond_read_from(&p, &others[i], ids[i], tmk_start_earliest());
        CHECK(pond_until_count(&p, &others[i].count, 5, 5000));
    }
    pond_read_from(&p, &r, "2", tmk_start_earliest());
    expect_end(TMK_ELIMIT, 1000);
    CHECK_STR("amqp:channel-max", r.why.origin);
    CHECK(strstr(r.why.text, "4 sessions") != NULL);
    pond_read_end(&r);
    pond_put(&p, "0", 5, 50);
    CHECK(pond_until_count(&p, &others[0].count, 10, 5000));
    CHECK_EQ(1, p.connects);

    pond_put(&p, "3", 5, 50);
    pond_read_end(&others[1]); /* its session is still ending when the next one asks for it */
    pond_read_from(&p, &r, "3", tmk_start_latest());
    pond_run(&p, 3000);
    pond_put(&p, "3", 5, 50);
    CHECK(pond_until_count(&p, &r.count, 5, 5000));
    CHECK_EQ(1, p.connects);
    pond_read_end(&others[0]);
    end();
}

/* After a reconnect the service may allow less: what has stood is tried again, rarely. */
static void a_reader_that_has_lost_its_session_comes_back_when_there_is_one(void) {
    pond_options o = {.partitions = 8};
    pond_reader other;

    pond_begin(&p, &o);
    pond_put(&p, "0", 5, 50);
    pond_put(&p, "1", 5, 50);
    pond_read_from(&p, &other, "0", tmk_start_earliest());
    pond_read_from(&p, &r, "1", tmk_start_earliest());
    CHECK(pond_until_count(&p, &r.count, 5, 5000));
    CHECK(pond_until_count(&p, &other.count, 5, 5000));
    p.hub.channel_max = 2;
    pond_cut_streams(&p, true);
    CHECK(pond_until_trouble(&p, "amqp:channel-max", 5000));
    CHECK(!r.ended && !other.ended);
    p.hub.channel_max = 10;
    pond_cut_streams(&p, true);
    pond_put(&p, "0", 5, 50);
    pond_put(&p, "1", 5, 50);
    CHECK(pond_until_count(&p, &r.count, 10, 30000));
    CHECK(pond_until_count(&p, &other.count, 10, 30000));
    CHECK_EQ(0, r.holes + r.out_of_order + other.holes + other.out_of_order);
    pond_read_end(&other);
    end();
}

static void too_few_sessions_for_anything_are_told(void) {
    for (uint16_t most = 0; most < 3; most++) {
        pond_begin(&p, NULL);
        p.hub.channel_max = most;
        pond_put(&p, "0", 5, 50);
        pond_read_from(&p, &r, "0", tmk_start_earliest());
        if (most == 0) {
            expect_end(TMK_ELIMIT, 1000);
        } else {
            CHECK(pond_until_count(&p, &r.count, 5, 5000));
        }
        end();
    }
}

/* Requests need two links in a session. */
static void too_few_links_in_a_session_are_told(void) {
    pond_begin(&p, NULL);
    p.hub.handle_max = 0;
    pond_put(&p, "0", 5, 50);
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    CHECK(pond_until_trouble(&p, "gate", 1000));
    CHECK(strstr(pond_find_trouble(&p, "gate", NULL)->text, "1 links in a session") != NULL);
    pond_run(&p, 60000);
    CHECK(p.connects < 12); /* the pauses grow */
    p.hub.handle_max = 1;
    CHECK(pond_until_count(&p, &r.count, 5, 70000));
    end();
}

/* ---- facts ---- */

typedef struct answers {
    uint64_t count, hubs, partitions;
    tmk_error err;
    tmk_partition_facts partition;
    size_t ids;
    char last_id[16];
} answers;

static void on_hub(void *user, const tmk_error *err, const tmk_hub_facts *facts) {
    answers *a = user;

    CHECK((err == NULL) != (facts == NULL));
    a->count++;
    if (err != NULL) {
        a->err = *err;
        return;
    }
    a->hubs++;
    a->ids = facts->partition_count;
    (void)snprintf(a->last_id, sizeof a->last_id, "%s",
                   facts->partitions[facts->partition_count - 1]);
    CHECK(facts->partitions[facts->partition_count] == NULL);
    CHECK_STR(POND_HUB, facts->name);
    CHECK(facts->created_ms > 0);
}

static void on_partition(void *user, const tmk_error *err, const tmk_partition_facts *facts) {
    answers *a = user;

    a->count++;
    if (err != NULL) {
        a->err = *err;
    } else {
        a->partitions++;
        a->partition = *facts;
    }
}

static void facts_are_read(void) {
    answers a = {0};
    pond_options o = {.partitions = 300};

    pond_begin(&p, &o);
    pond_put(&p, "7", 5, 50);
    CHECK_EQ(TMK_OK, tmk_client_hub_facts(p.client, on_hub, &a, NULL));
    CHECK_EQ(TMK_OK, tmk_client_partition_facts(p.client, "7", on_partition, &a, NULL));
    CHECK_EQ(0, a.count);
    CHECK(pond_until_count(&p, &a.count, 2, 5000));
    CHECK_EQ(1, a.hubs);
    CHECK_EQ(300, a.ids);
    CHECK_STR("299", a.last_id);
    CHECK_EQ(0, a.partition.begin_sequence);
    CHECK_EQ(4, a.partition.last_sequence);
    CHECK(!a.partition.empty);
    CHECK(a.partition.last_offset[0] != '\0');
    CHECK_EQ(TMK_OK, tmk_client_partition_facts(p.client, "8", on_partition, &a, NULL));
    CHECK(pond_until_count(&p, &a.count, 3, 5000));
    CHECK(a.partition.empty);
    CHECK_EQ(-1, a.partition.last_sequence);
    CHECK_EQ(0, p.trouble_count);
    pond_end(&p);
}

static void unknown_partitions_are_told(void) {
    answers a = {0};

    pond_begin(&p, NULL);
    CHECK_EQ(TMK_OK, tmk_client_partition_facts(p.client, "99", on_partition, &a, NULL));
    CHECK(pond_until_count(&p, &a.count, 1, 5000));
    CHECK_EQ(TMK_ENOTFOUND, a.err.status);
    CHECK_EQ(TMK_EINVAL, tmk_client_partition_facts(p.client, "", on_partition, &a, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_client_partition_facts(p.client, NULL, on_partition, &a, NULL));
    pond_end(&p);
}

static void a_management_that_fails_is_asked_again(void) {
    tmk_hub_rule refuse = {.kind = TMK_HUB_RULE_REFUSE_READS,
                           .left = 2,
                           .status = 500,
                           .condition = "amqp:internal-error"};
    answers a = {0};

    pond_begin(&p, NULL);
    (void)pond_rule(&p, &refuse);
    CHECK_EQ(TMK_OK, tmk_client_hub_facts(p.client, on_hub, &a, NULL));
    CHECK(pond_until_count(&p, &a.count, 1, 5000));
    CHECK_EQ(1, a.hubs);
    CHECK_EQ(2, p.trouble_count);
    pond_end(&p);
}

static void a_management_that_says_nothing_is_told_in_bounded_time(void) {
    tmk_hub_rule mute = {.kind = TMK_HUB_RULE_MUTE, .match = {.what = TMK_HUB_WHAT_MANAGEMENT}};
    pond_options o = {.retry = {.attempts = 2,
                                .delay_ms = 100,
                                .delay_max_ms = 1000,
                                .try_timeout_ms = 5000,
                                .jitter = 0}};
    answers a = {0};
    tmk_time before;

    pond_begin(&p, &o);
    (void)pond_rule(&p, &mute);
    before = p.now;
    CHECK_EQ(TMK_OK, tmk_client_hub_facts(p.client, on_hub, &a, NULL));
    CHECK(pond_until_count(&p, &a.count, 1, 20000));
    CHECK_EQ(TMK_ETIMEOUT, a.err.status);
    CHECK(p.now - before >= 10 * TMK_SEC && p.now - before <= 11 * TMK_SEC);
    pond_end(&p);
}

static void questions_survive_a_lost_connection(void) {
    tmk_hub_rule mute = {
        .kind = TMK_HUB_RULE_MUTE, .match = {.what = TMK_HUB_WHAT_MANAGEMENT}, .left = 1};
    answers a = {0};

    pond_begin(&p, NULL);
    (void)pond_rule(&p, &mute);
    CHECK_EQ(TMK_OK, tmk_client_hub_facts(p.client, on_hub, &a, NULL));
    pond_run(&p, 1000);
    CHECK_EQ(0, a.count);
    pond_cut_streams(&p, true);
    CHECK(pond_until_count(&p, &a.count, 1, 5000));
    CHECK_EQ(1, a.hubs);
    pond_end(&p);
}

static void questions_end_with_the_client(void) {
    answers a = {0};

    pond_begin(&p, NULL);
    p.peer = POND_NEVER_OPENS;
    CHECK_EQ(TMK_OK, tmk_client_hub_facts(p.client, on_hub, &a, NULL));
    pond_run(&p, 1000);
    CHECK_EQ(TMK_OK, tmk_client_hub_facts(p.client, on_hub, &a, NULL)); /* not begun yet */
    pond_end(&p);
    CHECK_EQ(2, a.count);
    CHECK_EQ(TMK_ECANCELED, a.err.status);
}

/* Nobody needs it: the connection goes, and comes back when somebody does. */
static void a_connection_that_nobody_needs_is_closed(void) {
    answers a = {0};

    pond_begin(&p, NULL);
    CHECK_EQ(TMK_OK, tmk_client_hub_facts(p.client, on_hub, &a, NULL));
    CHECK(pond_until_count(&p, &a.count, 1, 5000));
    pond_run(&p, 10000);
    CHECK_EQ(1, pond_open_streams(&p));
    p.tick = 100 * TMK_MS;
    pond_run(&p, 310000);
    CHECK_EQ(0, pond_open_streams(&p));
    CHECK_EQ(0, p.trouble_count);
    CHECK_EQ(TMK_OK, tmk_client_hub_facts(p.client, on_hub, &a, NULL));
    CHECK(pond_until_count(&p, &a.count, 2, 5000));
    CHECK_EQ(2, a.hubs);
    pond_end(&p);
}

int main(void) {
    return RUN(
        TEST(a_wrong_key_is_told_within_seconds), TEST(an_unknown_hub_is_told_within_seconds),
        TEST(an_unknown_group_is_told_within_seconds),
        TEST(an_unknown_partition_is_told_within_seconds),
        TEST(a_position_beyond_the_end_is_told_at_once),
        TEST(a_numeric_offset_on_a_geo_replicated_hub_is_told_at_once),
        TEST(opaque_offsets_are_resumed_at), TEST(a_disabled_hub_is_told),
        TEST(a_refused_connection_is_told_and_tried_again),
        TEST(a_connection_that_never_opens_is_given_thirty_seconds),
        TEST(a_server_that_says_nothing_is_given_thirty_seconds),
        TEST(a_server_that_talks_garbage_is_left_at_once),
        TEST(a_server_that_closes_at_any_stage_is_outlived), TEST(silence_at_any_stage_is_outlived),
        TEST(flipped_bytes_are_outlived), TEST(an_equal_or_higher_level_takes_the_partition_over),
        TEST(a_lower_level_and_no_level_are_refused), TEST(the_sixth_reader_is_told),
        TEST(a_reader_that_ends_leaves_its_place), TEST(more_readers_than_sessions_are_told),
        TEST(a_reader_that_has_lost_its_session_comes_back_when_there_is_one),
        TEST(too_few_sessions_for_anything_are_told), TEST(too_few_links_in_a_session_are_told),
        TEST(facts_are_read), TEST(unknown_partitions_are_told),
        TEST(a_management_that_fails_is_asked_again),
        TEST(a_management_that_says_nothing_is_told_in_bounded_time),
        TEST(questions_survive_a_lost_connection), TEST(questions_end_with_the_client),
        TEST(a_connection_that_nobody_needs_is_closed));
}
