/* One link's healing in virtual time: each way of failing, and what follows. */
#include "amqp/mend.h"

#include "base/status.h"
#include "support/check.h"

static tmk_error err_of(tmk_status status, const char *origin, bool retryable) {
    tmk_error err;

    if (retryable) {
        (void)tmk_fail_retry(&err, status, origin, "because");
    } else {
        (void)tmk_fail(&err, status, origin, "because");
    }
    return err;
}

static void bring_up(tmk_mend *m, tmk_time now) {
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(m, now));
    tmk_mend_on_attached(m, now);
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(m, now));
    CHECK_EQ(TMK_MEND_UP, m->state);
}

static void start(tmk_mend *m) {
    tmk_mend_init(m, 3);
    tmk_mend_on_line(m, 0, true);
}

static void it_attaches_when_the_connection_stands(void) {
    tmk_mend m;

    tmk_mend_init(&m, 3);
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, 0));
    CHECK_EQ(TMK_NEVER, tmk_mend_deadline(&m));
    tmk_mend_on_line(&m, 5, true);
    CHECK_EQ(0, tmk_mend_deadline(&m));
    bring_up(&m, 5);
    CHECK_EQ(TMK_NEVER, tmk_mend_deadline(&m));
}

static void a_link_that_is_not_wanted_rests(void) {
    tmk_mend m;

    start(&m);
    tmk_mend_want(&m, false);
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, 0));
    CHECK_EQ(TMK_NEVER, tmk_mend_deadline(&m));
    tmk_mend_want(&m, true);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, 1));
}

/* Upgrades send all links of a service away at the same moment. */
static void being_sent_away_is_answered_by_a_return_within_a_second(void) {
    tmk_error gone = err_of(TMK_EIO, "amqp:link:detach-forced", true);
    bool spread = false;
    tmk_time first = -1;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        tmk_mend m;

        tmk_mend_init(&m, seed);
        tmk_mend_on_line(&m, 0, true);
        bring_up(&m, 0);
        tmk_mend_on_failed(&m, TMK_MIN, &gone, TMK_REACTION_LINK, 0);
        CHECK(m.delay >= 0 && m.delay <= TMK_SEC);
        CHECK_STR("new link", m.reaction);
        spread = spread || (first >= 0 && m.delay != first);
        first = m.delay;
        CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, TMK_MIN + m.delay));
    }
    CHECK(spread);
}

static void the_third_failure_in_a_row_asks_for_a_new_connection(void) {
    tmk_error fault = err_of(TMK_EREMOTE, "amqp:internal-error", true);
    tmk_mend m;
    tmk_time now = 0;

    start(&m);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, now));
        tmk_mend_on_failed(&m, now, &fault, TMK_REACTION_LINK, 0);
        CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, now));
        now = tmk_mend_deadline(&m);
    }
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, now));
    tmk_mend_on_failed(&m, now, &fault, TMK_REACTION_LINK, 0);
    CHECK_STR("new connection", m.reaction);
    CHECK_EQ(TMK_MEND_DROP_LINE, tmk_mend_step(&m, now));
    CHECK_EQ(TMK_MEND_DOWN, m.state);
}

static void an_attach_without_an_answer_climbs_the_ladder(void) {
    tmk_mend m;
    tmk_time now = 0;

    start(&m);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, now));
    CHECK_EQ(30 * TMK_SEC, tmk_mend_deadline(&m));
    now = 30 * TMK_SEC;
    CHECK_EQ(TMK_MEND_LET_GO, tmk_mend_step(&m, now));
    CHECK_EQ(TMK_ETIMEOUT, m.why.status);
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, now));
    now = tmk_mend_deadline(&m);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, now));
    now += 30 * TMK_SEC;
    CHECK_EQ(TMK_MEND_LET_GO, tmk_mend_step(&m, now));
    CHECK_EQ(TMK_MEND_DROP_LINE, tmk_mend_step(&m, now));
}

static void a_lost_partition_is_never_fought_for(void) {
    tmk_error stolen = err_of(TMK_ELOST, "amqp:link:stolen", false);
    tmk_mend m;

    start(&m);
    bring_up(&m, 0);
    tmk_mend_on_failed(&m, 1, &stolen, TMK_REACTION_GIVE_UP, 0);
    CHECK_EQ(TMK_MEND_END, tmk_mend_step(&m, 1));
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, 1));
    tmk_mend_on_line(&m, 2, false);
    tmk_mend_on_line(&m, 3, true);
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, 3));
    CHECK_EQ(TMK_NEVER, tmk_mend_deadline(&m));
}

static void a_refusal_for_want_of_a_token_is_answered_by_a_fresh_one_once(void) {
    tmk_error refused = err_of(TMK_EAUTH, "amqp:unauthorized-access", false);
    tmk_mend m;

    start(&m);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, 0));
    tmk_mend_on_failed(&m, 0, &refused, TMK_REACTION_TOKEN, 0);
    CHECK_EQ(TMK_MEND_ASK_TOKEN, tmk_mend_step(&m, 0));
    tmk_mend_on_token(&m, 0, NULL);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, 0));
    tmk_mend_on_failed(&m, 0, &refused, TMK_REACTION_TOKEN, 0);
    CHECK_EQ(TMK_MEND_END, tmk_mend_step(&m, 0));
    CHECK_EQ(TMK_EAUTH, m.why.status);
}

/* Rights taken away from a worker that runs may come back: it keeps trying, rarely. */
static void a_link_that_has_stood_waits_for_its_rights(void) {
    tmk_error refused = err_of(TMK_EAUTH, "amqp:unauthorized-access", false);
    tmk_mend m;
    tmk_time now = TMK_MIN;

    start(&m);
    bring_up(&m, 0);
    tmk_mend_on_failed(&m, now, &refused, TMK_REACTION_TOKEN, 0);
    CHECK_EQ(TMK_MEND_ASK_TOKEN, tmk_mend_step(&m, now));
    tmk_mend_on_token(&m, now, &refused);
    CHECK_EQ(TMK_MEND_PAUSED, m.state);
    CHECK(m.delay >= 8 * TMK_SEC);
    now += m.delay;
    CHECK_EQ(TMK_MEND_ASK_TOKEN, tmk_mend_step(&m, now));
    tmk_mend_on_token(&m, now, NULL);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, now));
    tmk_mend_on_failed(&m, now, &refused, TMK_REACTION_TOKEN, 0);
    CHECK_EQ(TMK_MEND_PAUSED, m.state);
    CHECK(m.delay >= 16 * TMK_SEC && m.delay <= 24 * TMK_SEC);
}

static void a_hub_that_is_not_there_is_asked_for_twice(void) {
    tmk_error absent = err_of(TMK_ENOTFOUND, "amqp:not-found", false);
    tmk_mend m;

    start(&m);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, 0));
    tmk_mend_on_failed(&m, 0, &absent, TMK_REACTION_FATAL, 0);
    CHECK_EQ(TMK_SEC, tmk_mend_deadline(&m));
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, TMK_SEC));
    tmk_mend_on_failed(&m, TMK_SEC, &absent, TMK_REACTION_FATAL, 0);
    CHECK_EQ(TMK_MEND_END, tmk_mend_step(&m, TMK_SEC));
}

static void a_busy_service_is_given_the_time_it_wants(void) {
    tmk_error busy = err_of(TMK_EBUSY, "com.microsoft:server-busy", true);
    tmk_mend m;

    start(&m);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, 0));
    tmk_mend_on_failed(&m, 0, &busy, TMK_REACTION_LINK, 4 * TMK_SEC);
    CHECK_EQ(4 * TMK_SEC, tmk_mend_deadline(&m));
}

static void with_latest_the_end_is_asked_for_before_the_first_attach(void) {
    tmk_error timeout = err_of(TMK_ETIMEOUT, "amqp", true);
    tmk_mend m;
    tmk_time now = 0;

    start(&m);
    m.needs_facts = true;
    CHECK_EQ(TMK_MEND_ASK_FACTS, tmk_mend_step(&m, now));
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, now));
    tmk_mend_on_facts(&m, now, &timeout);
    now = tmk_mend_deadline(&m);
    CHECK_EQ(TMK_MEND_ASK_FACTS, tmk_mend_step(&m, now));
    tmk_mend_on_facts(&m, now, NULL);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, now));
    CHECK(!m.needs_facts);
}

/* Reading from now on is better than not reading because the management is down. */
static void after_two_failures_the_link_attaches_without_facts(void) {
    tmk_error timeout = err_of(TMK_ETIMEOUT, "amqp", true);
    tmk_mend m;
    tmk_time now = 0;

    start(&m);
    m.needs_facts = true;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(TMK_MEND_ASK_FACTS, tmk_mend_step(&m, now));
        tmk_mend_on_facts(&m, now, &timeout);
        now = tmk_mend_deadline(&m);
    }
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, now));
}

/* The link stands, has credit, and delivers nothing although there is something: found within half
 * a minute, and not mistaken for an event that was under way. */
static void silence_while_events_wait_is_healed_within_thirty_seconds(void) {
    tmk_mend m;
    tmk_time now;

    start(&m);
    m.hungry = true;
    bring_up(&m, 0);
    now = tmk_mend_deadline(&m);
    CHECK(now >= 18 * TMK_SEC && now <= 20 * TMK_SEC);
    CHECK_EQ(TMK_MEND_PROBE, tmk_mend_step(&m, now));
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, now));
    tmk_mend_on_probe(&m, now, TMK_PROBE_BEHIND);
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, now));
    now = tmk_mend_deadline(&m);
    CHECK_EQ(TMK_MEND_PROBE, tmk_mend_step(&m, now));
    tmk_mend_on_probe(&m, now, TMK_PROBE_BEHIND);
    CHECK_EQ(TMK_MEND_LET_GO, tmk_mend_step(&m, now));
    CHECK(now <= 30 * TMK_SEC);
    CHECK_STR("new link", m.reaction);
}

static void silence_that_comes_back_takes_the_connection_with_it(void) {
    tmk_mend m;
    tmk_time now = 0;

    start(&m);
    m.hungry = true;
    for (int round = 0; round < 2; round++) {
        bring_up(&m, now);
        for (int i = 0; i < 2; i++) {
            now = tmk_mend_deadline(&m);
            CHECK_EQ(TMK_MEND_PROBE, tmk_mend_step(&m, now));
            tmk_mend_on_probe(&m, now, TMK_PROBE_BEHIND);
        }
        CHECK_EQ(TMK_MEND_LET_GO, tmk_mend_step(&m, now));
        if (round == 0) {
            CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, now));
            now = tmk_mend_deadline(&m);
        }
    }
    CHECK_EQ(TMK_MEND_DROP_LINE, tmk_mend_step(&m, now));
}

static void an_event_between_two_looks_ends_the_doubt(void) {
    tmk_mend m;
    tmk_time now;

    start(&m);
    m.hungry = true;
    bring_up(&m, 0);
    now = tmk_mend_deadline(&m);
    CHECK_EQ(TMK_MEND_PROBE, tmk_mend_step(&m, now));
    tmk_mend_on_probe(&m, now, TMK_PROBE_BEHIND);
    tmk_mend_on_heard(&m, now + TMK_SEC);
    now = tmk_mend_deadline(&m);
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, now));
    CHECK(!m.doubt);
    CHECK_EQ(TMK_MEND_UP, m.state);
}

static void a_quiet_partition_is_left_alone(void) {
    tmk_mend m;
    tmk_time now = 0;

    start(&m);
    m.hungry = true;
    bring_up(&m, 0);
    for (int i = 0; i < 100; i++) {
        now = tmk_mend_deadline(&m);
        CHECK_EQ(TMK_MEND_PROBE, tmk_mend_step(&m, now));
        tmk_mend_on_probe(&m, now, i % 2 == 0 ? TMK_PROBE_QUIET : TMK_PROBE_FAILED);
        CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, now));
    }
    CHECK(now >= 1800 * TMK_SEC);
    CHECK_EQ(TMK_MEND_UP, m.state);
}

static void a_reader_without_credit_is_not_looked_after(void) {
    tmk_mend m;

    start(&m);
    bring_up(&m, 0);
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, 3600 * TMK_SEC));
    CHECK_EQ(TMK_NEVER, tmk_mend_deadline(&m));
}

static void a_probe_without_an_answer_is_given_up(void) {
    tmk_mend m;
    tmk_time now;

    start(&m);
    m.hungry = true;
    bring_up(&m, 0);
    now = tmk_mend_deadline(&m);
    CHECK_EQ(TMK_MEND_PROBE, tmk_mend_step(&m, now));
    now = tmk_mend_deadline(&m);
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, now));
    CHECK(tmk_mend_deadline(&m) > now && tmk_mend_deadline(&m) <= now + 20 * TMK_SEC);
}

/* Bytes that vanish one way: events stop, and the question about them is not answered either. */
static void when_the_management_is_silent_too_the_connection_goes(void) {
    tmk_mend m;
    tmk_time now = 0;

    start(&m);
    m.hungry = true;
    bring_up(&m, 0);
    for (int i = 0; i < 2; i++) {
        now = tmk_mend_deadline(&m);
        CHECK_EQ(TMK_MEND_PROBE, tmk_mend_step(&m, now));
        now += 10 * TMK_SEC;
        tmk_mend_on_probe(&m, now, TMK_PROBE_SILENT);
    }
    CHECK_EQ(TMK_MEND_DROP_LINE, tmk_mend_step(&m, now));
    CHECK(now <= 62 * TMK_SEC);
}

/* It was the management alone: connections are not dropped for it for ever. */
static void a_management_that_stays_silent_costs_ever_fewer_connections(void) {
    tmk_mend m;
    tmk_time now = 0;
    unsigned drops = 0;

    start(&m);
    m.hungry = true;
    bring_up(&m, 0);
    while (now < 3600 * TMK_SEC) {
        now = tmk_mend_deadline(&m);
        CHECK_EQ(TMK_MEND_PROBE, tmk_mend_step(&m, now));
        now += 10 * TMK_SEC;
        tmk_mend_on_probe(&m, now, TMK_PROBE_SILENT);
        if (tmk_mend_step(&m, now) == TMK_MEND_DROP_LINE) {
            drops++;
            tmk_mend_on_line(&m, now, false);
            tmk_mend_on_line(&m, now, true);
            bring_up(&m, now);
        }
    }
    CHECK(drops >= 4 && drops <= 7);
}

/* Each rare try of a link that was refused for want of a token brings a fresh one along. */
static void a_rare_try_begins_with_a_token(void) {
    tmk_error refused = err_of(TMK_EAUTH, "amqp:unauthorized-access", false);
    tmk_mend m;
    tmk_time now = TMK_MIN;

    start(&m);
    bring_up(&m, 0);
    tmk_mend_on_failed(&m, now, &refused, TMK_REACTION_TOKEN, 0);
    CHECK_EQ(TMK_MEND_ASK_TOKEN, tmk_mend_step(&m, now));
    tmk_mend_on_token(&m, now, NULL);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, now));
    tmk_mend_on_failed(&m, now, &refused, TMK_REACTION_TOKEN, 0);
    CHECK_EQ(TMK_MEND_PAUSED, m.state);
    now = tmk_mend_deadline(&m);
    CHECK_EQ(TMK_MEND_ASK_TOKEN, tmk_mend_step(&m, now));
    tmk_mend_on_token(&m, now, NULL);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, now));
}

static void losing_the_connection_forgets_what_was_under_way(void) {
    tmk_mend m;

    start(&m);
    CHECK_EQ(TMK_MEND_ATTACH, tmk_mend_step(&m, 0));
    tmk_mend_on_line(&m, 1, false);
    CHECK_EQ(TMK_MEND_WAIT, tmk_mend_step(&m, 60 * TMK_SEC));
    CHECK_EQ(TMK_NEVER, tmk_mend_deadline(&m));
    tmk_mend_on_attached(&m, 2);
    CHECK_EQ(TMK_MEND_DOWN, m.state);
    tmk_mend_on_line(&m, 70 * TMK_SEC, true);
    bring_up(&m, 70 * TMK_SEC);
}

static void a_connection_that_is_refused_ends_only_who_never_stood(void) {
    tmk_error refused = err_of(TMK_EAUTH, "cbs:401", false);
    tmk_error reset = err_of(TMK_EIO, "errno:104", true);
    tmk_mend fresh, old;

    tmk_mend_init(&fresh, 1);
    CHECK(!tmk_mend_on_line_failed(&fresh, &reset));
    CHECK(tmk_mend_on_line_failed(&fresh, &refused));
    CHECK_EQ(TMK_MEND_END, tmk_mend_step(&fresh, 0));

    start(&old);
    bring_up(&old, 0);
    tmk_mend_on_line(&old, 1, false);
    CHECK(!tmk_mend_on_line_failed(&old, &refused));
    CHECK_EQ(TMK_MEND_DOWN, old.state);
}

int main(void) {
    return RUN(TEST(it_attaches_when_the_connection_stands), TEST(a_link_that_is_not_wanted_rests),
               TEST(being_sent_away_is_answered_by_a_return_within_a_second),
               TEST(the_third_failure_in_a_row_asks_for_a_new_connection),
               TEST(an_attach_without_an_answer_climbs_the_ladder),
               TEST(a_lost_partition_is_never_fought_for),
               TEST(a_refusal_for_want_of_a_token_is_answered_by_a_fresh_one_once),
               TEST(a_link_that_has_stood_waits_for_its_rights),
               TEST(a_hub_that_is_not_there_is_asked_for_twice),
               TEST(a_busy_service_is_given_the_time_it_wants),
               TEST(with_latest_the_end_is_asked_for_before_the_first_attach),
               TEST(after_two_failures_the_link_attaches_without_facts),
               TEST(silence_while_events_wait_is_healed_within_thirty_seconds),
               TEST(silence_that_comes_back_takes_the_connection_with_it),
               TEST(an_event_between_two_looks_ends_the_doubt),
               TEST(a_quiet_partition_is_left_alone),
               TEST(a_reader_without_credit_is_not_looked_after),
               TEST(a_probe_without_an_answer_is_given_up),
               TEST(when_the_management_is_silent_too_the_connection_goes),
               TEST(a_management_that_stays_silent_costs_ever_fewer_connections),
               TEST(a_rare_try_begins_with_a_token),
               TEST(losing_the_connection_forgets_what_was_under_way),
               TEST(a_connection_that_is_refused_ends_only_who_never_stood));
}
