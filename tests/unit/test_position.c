/* What a reader passes on and where it goes on, whatever the service sends. */
#include "eventhubs/position.h"

#include "base/rng.h"
#include "support/check.h"

static tmk_position at(tmk_start start) {
    tmk_position p;

    tmk_position_init(&p, &start);
    return p;
}

static tmk_start resumed(const tmk_position *p) {
    tmk_start s = {.sequence = -77};

    tmk_position_resume(p, &s);
    return s;
}

static tmk_partition_facts facts_of(int64_t last, bool empty) {
    tmk_partition_facts f = {.last_sequence = last, .empty = empty, .last_enqueued_ms = 5000};

    return f;
}

static void before_the_first_event_the_start_is_asked_for_again(void) {
    tmk_position p = at(tmk_start_time(1234));

    CHECK_EQ(TMK_START_TIME, resumed(&p).kind);
    CHECK_EQ(1234, resumed(&p).unix_ms);
}

static void after_an_event_the_offset_behind_it_is_asked_for(void) {
    tmk_position p = at(tmk_start_earliest());
    int64_t missing = 0;

    CHECK_EQ(TMK_SEEN_NEXT, tmk_position_on_event(&p, 17, 1, &missing));
    tmk_position_on_offset(&p, TMK_LIT("4096"));
    CHECK_EQ(TMK_START_OFFSET, resumed(&p).kind);
    CHECK_STR("4096", resumed(&p).offset);
    CHECK(!resumed(&p).inclusive);
}

/* An offset that does not fit into a filter must not be cut: another place would be meant. */
static void without_a_usable_offset_the_sequence_number_serves(void) {
    tmk_position p = at(tmk_start_earliest());
    int64_t missing = 0;

    CHECK_EQ(TMK_SEEN_NEXT, tmk_position_on_event(&p, 17, 1, &missing));
    tmk_position_on_offset(&p, TMK_LIT("it's"));
    CHECK_EQ(TMK_START_SEQUENCE, resumed(&p).kind);
    CHECK_EQ(17, resumed(&p).sequence);
    CHECK(!resumed(&p).inclusive);
}

/* The offset belongs to one event; a later event without one must not be resumed at it. */
static void an_old_offset_is_never_used_for_a_newer_event(void) {
    tmk_position p = at(tmk_start_earliest());
    int64_t missing = 0;

    CHECK_EQ(TMK_SEEN_NEXT, tmk_position_on_event(&p, 1, 1, &missing));
    tmk_position_on_offset(&p, TMK_LIT("100"));
    CHECK_EQ(TMK_SEEN_NEXT, tmk_position_on_event(&p, 2, 1, &missing));
    CHECK_EQ(TMK_START_SEQUENCE, resumed(&p).kind);
    CHECK_EQ(2, resumed(&p).sequence);
}

static void what_is_sent_again_is_dropped_and_counted(void) {
    tmk_position p = at(tmk_start_sequence(5, true));
    int64_t missing = 0;

    CHECK_EQ(TMK_SEEN_REPEAT, tmk_position_on_event(&p, 4, 10, &missing)); /* below the start */
    CHECK_EQ(TMK_SEEN_NEXT, tmk_position_on_event(&p, 5, 10, &missing));
    CHECK_EQ(TMK_SEEN_NEXT, tmk_position_on_event(&p, 6, 11, &missing));
    CHECK_EQ(TMK_SEEN_REPEAT, tmk_position_on_event(&p, 5, 10, &missing));
    CHECK_EQ(TMK_SEEN_REPEAT, tmk_position_on_event(&p, 6, 11, &missing));
    CHECK_EQ(TMK_SEEN_NEXT, tmk_position_on_event(&p, 7, 11, &missing));
    CHECK_EQ(3, p.repeated);
    CHECK_EQ(0, p.missing);
}

static void a_gap_is_told_with_its_size(void) {
    tmk_position p = at(tmk_start_sequence(5, false));
    int64_t missing = 0;

    CHECK_EQ(TMK_SEEN_GAP, tmk_position_on_event(&p, 9, 1, &missing));
    CHECK_EQ(3, missing);
    CHECK_EQ(TMK_SEEN_GAP, tmk_position_on_event(&p, 11, 1, &missing));
    CHECK_EQ(1, missing);
    CHECK_EQ(4, p.missing);
}

/* A hub deleted and made again counts from 0: its events are newer and must not pass for repeats.
 */
static void a_stream_that_begins_anew_is_noticed(void) {
    tmk_position p = at(tmk_start_earliest());
    int64_t missing = 0;

    CHECK_EQ(TMK_SEEN_NEXT, tmk_position_on_event(&p, 100, 1000, &missing));
    CHECK_EQ(TMK_SEEN_REPEAT, tmk_position_on_event(&p, 0, 999, &missing));
    CHECK_EQ(TMK_SEEN_BACK, tmk_position_on_event(&p, 0, 2000, &missing));
}

static void latest_becomes_a_place_before_the_first_attach(void) {
    tmk_position p = at(tmk_start_latest());
    tmk_partition_facts f = facts_of(41, false);
    int64_t missing = 0;

    CHECK(tmk_position_needs_facts(&p));
    tmk_position_on_facts(&p, &f);
    CHECK(!tmk_position_needs_facts(&p));
    CHECK_EQ(TMK_START_SEQUENCE, resumed(&p).kind);
    CHECK_EQ(41, resumed(&p).sequence);
    CHECK_EQ(TMK_SEEN_NEXT, tmk_position_on_event(&p, 42, 1, &missing));
}

/* "sequence > -1" is refused by a hub that never had an event. */
static void latest_of_an_unused_partition_is_its_beginning(void) {
    tmk_position p = at(tmk_start_latest());
    tmk_partition_facts f = facts_of(-1, true);
    tmk_start any = tmk_start_sequence(-1, false);

    tmk_position_on_facts(&p, &f);
    CHECK_EQ(TMK_START_EARLIEST, resumed(&p).kind);
    p = at(any);
    CHECK_EQ(TMK_START_EARLIEST, resumed(&p).kind);
}

static void facts_that_come_late_change_nothing(void) {
    tmk_position p = at(tmk_start_latest());
    tmk_partition_facts f = facts_of(41, false);
    int64_t missing = 0;

    CHECK_EQ(TMK_SEEN_NEXT, tmk_position_on_event(&p, 50, 1, &missing));
    CHECK(!tmk_position_needs_facts(&p));
    tmk_position_on_facts(&p, &f);
    CHECK_EQ(50, resumed(&p).sequence);
}

static void whether_events_wait_is_judged_by_what_is_known(void) {
    tmk_partition_facts none = facts_of(-1, true), gone = facts_of(9, true),
                        last9 = facts_of(9, false);
    tmk_partition_facts last8 = facts_of(8, false);
    tmk_position p = at(tmk_start_earliest());
    tmk_start start;
    int64_t missing = 0;

    CHECK(!tmk_position_is_behind(&p, &none, NULL));
    CHECK(!tmk_position_is_behind(&p, &gone, NULL));
    CHECK(tmk_position_is_behind(&p, &last9, NULL));
    (void)tmk_position_on_event(&p, 9, 1, &missing);
    CHECK(!tmk_position_is_behind(&p, &last9, NULL));
    p = at(tmk_start_sequence(10, true));
    CHECK(!tmk_position_is_behind(&p, &last9, NULL));
    p = at(tmk_start_time(6000));
    CHECK(!tmk_position_is_behind(&p, &last9, NULL));
    p = at(tmk_start_time(4000));
    CHECK(tmk_position_is_behind(&p, &last9, NULL));
    /* Where an offset lies nobody can tell; but what comes after the attach lies behind it. */
    CHECK_EQ(TMK_OK, tmk_start_offset(TMK_LIT("77"), false, &start, NULL));
    p = at(start);
    CHECK(!tmk_position_is_behind(&p, &last9, NULL));
    CHECK(!tmk_position_is_behind(&p, &last9, &last9));
    CHECK(tmk_position_is_behind(&p, &last9, &last8));
}

/* Whatever a service does with repeats and cuts: what is passed on is 0, 1, 2 ... without a hole.
 */
static void any_mixture_of_cuts_and_repeats_yields_each_event_once(void) {
    for (uint64_t seed = 1; seed <= 200; seed++) {
        tmk_position p = at(tmk_start_earliest());
        int64_t next = 0, expected = 0, missing = 0;
        tmk_rng rng;

        tmk_rng_seed(&rng, seed);
        while (expected < 300) {
            if (tmk_rng_chance(&rng, 0.05)) { /* a new link, which may begin too early */
                tmk_start s = resumed(&p);

                next = s.kind == TMK_START_EARLIEST ? 0 : s.sequence + 1;
                next -= tmk_rng_between(&rng, 0, next < 5 ? next : 5);
            }
            if (tmk_position_on_event(&p, next, 1000 + next, &missing) == TMK_SEEN_NEXT) {
                CHECK_EQ(expected, next);
                expected++;
            }
            next++;
        }
        CHECK_EQ(0, p.missing);
    }
}

int main(void) {
    return RUN(TEST(before_the_first_event_the_start_is_asked_for_again),
               TEST(after_an_event_the_offset_behind_it_is_asked_for),
               TEST(without_a_usable_offset_the_sequence_number_serves),
               TEST(an_old_offset_is_never_used_for_a_newer_event),
               TEST(what_is_sent_again_is_dropped_and_counted), TEST(a_gap_is_told_with_its_size),
               TEST(a_stream_that_begins_anew_is_noticed),
               TEST(latest_becomes_a_place_before_the_first_attach),
               TEST(latest_of_an_unused_partition_is_its_beginning),
               TEST(facts_that_come_late_change_nothing),
               TEST(whether_events_wait_is_judged_by_what_is_known),
               TEST(any_mixture_of_cuts_and_repeats_yields_each_event_once));
}
