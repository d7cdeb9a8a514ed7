/* Where a partition is read from: who decides, and what exists. */
#include "core/start.h"

#include "support/check.h"

static tmk_partition_facts facts(int64_t begin, int64_t last) {
    return (tmk_partition_facts){.begin_sequence = begin,
                                 .last_sequence = last,
                                 .last_enqueued_ms = 9000,
                                 .last_offset = "90",
                                 .empty = begin > last};
}

static tmk_checkpoint at(int64_t sequence, const char *offset) {
    return (tmk_checkpoint){
        .present = true, .sequence_known = true, .sequence = sequence, .offset = offset};
}

static tmk_start_wish wish_for(const tmk_checkpoint *c) {
    return (tmk_start_wish){
        .checkpoint = c, .enqueued_ms = -1, .fallback = {.kind = TMK_START_EARLIEST}};
}

static tmk_start_answer resolve(const tmk_start_wish *w, tmk_partition_facts f,
                                tmk_status expected) {
    tmk_start_answer a;
    tmk_error err;

    CHECK_EQ(expected, tmk_start_resolve(w, &f, &a, &err));
    CHECK(expected == TMK_OK || err.text[0] != '\0');
    return a;
}

static void earliest_is_below_the_oldest_event(void) {
    tmk_start_wish w = wish_for(NULL);
    tmk_start_answer a = resolve(&w, facts(40, 99), TMK_OK);

    CHECK_EQ(TMK_START_EARLIEST, a.start.kind);
    CHECK(a.resolved && !a.from_checkpoint);
    CHECK_EQ(39, a.position.sequence);
    CHECK_EQ(-1, resolve(&w, facts(0, -1), TMK_OK).position.sequence);   /* never used */
    CHECK_EQ(99, resolve(&w, facts(100, 99), TMK_OK).position.sequence); /* all removed */
}

static void latest_is_behind_the_newest_of_this_moment(void) {
    tmk_start_wish w = wish_for(NULL);
    tmk_start_answer a;

    w.fallback.kind = TMK_START_LATEST;
    a = resolve(&w, facts(40, 99), TMK_OK);
    CHECK_EQ(TMK_START_SEQUENCE, a.start.kind);
    CHECK_EQ(99, a.start.sequence);
    CHECK(!a.start.inclusive);
    CHECK_STR("90", a.position.offset);
    CHECK_EQ(9000, a.position.enqueued_ms);
    a = resolve(&w, facts(0, -1), TMK_OK);
    CHECK_EQ(TMK_START_EARLIEST, a.start.kind); /* what will come first */
    CHECK_EQ(-1, a.position.sequence);
}

static void a_checkpoint_counts_with_its_offset_and_its_map(void) {
    tmk_checkpoint c = at(70, "700");
    tmk_start_wish w = wish_for(&c);
    tmk_start_answer a;

    w.enqueued_ms = 1234;
    a = resolve(&w, facts(40, 99), TMK_OK);
    CHECK(a.from_checkpoint && a.resolved);
    CHECK_EQ(70, a.start.sequence);
    CHECK_EQ(70, a.position.sequence);
    CHECK_EQ(1234, a.position.enqueued_ms);
    CHECK_STR("700", a.position.offset);
}

static void a_checkpoint_by_offset_alone_is_known_with_the_first_event(void) {
    tmk_checkpoint c = {.present = true, .offset = "700"};
    tmk_start_wish w = wish_for(&c);
    tmk_start_answer a = resolve(&w, facts(40, 99), TMK_OK);

    CHECK_EQ(TMK_START_OFFSET, a.start.kind);
    CHECK_STR("700", a.start.offset);
    CHECK(!a.resolved && a.from_checkpoint);
    c.offset = "";
    CHECK_EQ(TMK_START_EARLIEST, resolve(&w, facts(40, 99), TMK_OK).start.kind); /* says nothing */
    c.present = false;
    CHECK(!resolve(&w, facts(40, 99), TMK_OK).from_checkpoint);
}

static void the_programs_choice_goes_first(void) {
    tmk_checkpoint c = at(70, "700");
    tmk_start_wish w = wish_for(&c);
    tmk_start chosen = {.kind = TMK_START_SEQUENCE, .sequence = 80, .inclusive = true};

    w.chosen = &chosen;
    CHECK_EQ(79, resolve(&w, facts(40, 99), TMK_OK).position.sequence);
    chosen.inclusive = false;
    CHECK_EQ(80, resolve(&w, facts(40, 99), TMK_OK).position.sequence);
    chosen.sequence = -1; /* from the beginning, whatever that is */
    CHECK_EQ(39, resolve(&w, facts(40, 99), TMK_OK).position.sequence);
    chosen = (tmk_start){.kind = TMK_START_TIME, .unix_ms = 5};
    CHECK(!resolve(&w, facts(40, 99), TMK_OK).resolved);
    chosen = (tmk_start){.kind = TMK_START_SEQUENCE, .sequence = INT64_MIN, .inclusive = true};
    CHECK_EQ(39, resolve(&w, facts(40, 99), TMK_OK).position.sequence);
}

static void what_retention_removed_is_counted(void) {
    tmk_checkpoint c = at(10, "");
    tmk_start_wish w = wish_for(&c);
    tmk_start_answer a = resolve(&w, facts(40, 99), TMK_EPOSITION);

    CHECK_EQ(TMK_START_EXPIRED, a.trouble);
    CHECK_EQ(29, a.lost); /* 11 to 39 */
    w.lost = TMK_POSITION_EARLIEST;
    a = resolve(&w, facts(40, 99), TMK_OK);
    CHECK_EQ(39, a.position.sequence);
    CHECK_EQ(29, a.lost);
    CHECK(a.from_checkpoint); /* its done-map is still true */
    w.lost = TMK_POSITION_LATEST;
    a = resolve(&w, facts(40, 99), TMK_OK);
    CHECK_EQ(99, a.position.sequence);
    CHECK(!a.from_checkpoint);
    c.sequence = -1; /* nothing was read, and the first events have gone */
    CHECK_EQ(40, resolve(&w, facts(40, 99), TMK_OK).lost);
    c.sequence = 39; /* exactly at the tail: nothing is lost */
    CHECK_EQ(TMK_START_FINE, resolve(&w, facts(40, 99), TMK_OK).trouble);
    c.sequence = 50;
    CHECK_EQ(49, resolve(&w, facts(100, 99), TMK_OK).lost); /* all are gone */
}

static void time_needs_to_be_known(void) {
    tmk_checkpoint c = at(10, "");
    tmk_start_wish w = wish_for(&c);
    tmk_start_answer a;

    w.lost = TMK_POSITION_TIME;
    (void)resolve(&w, facts(40, 99), TMK_EPOSITION);
    w.enqueued_ms = 777;
    a = resolve(&w, facts(40, 99), TMK_OK);
    CHECK_EQ(TMK_START_TIME, a.start.kind);
    CHECK_EQ(777, a.start.unix_ms);
    CHECK(!a.resolved);
}

static void a_little_past_the_end_may_be_old_facts_far_past_is_another_hub(void) {
    tmk_checkpoint c = at(99 + TMK_STALE_FACTS, "");
    tmk_start_wish w = wish_for(&c);
    tmk_start_answer a = resolve(&w, facts(40, 99), TMK_OK);

    CHECK_EQ(TMK_START_BEYOND, a.trouble);
    CHECK_EQ(99 + TMK_STALE_FACTS, a.start.sequence);
    c.sequence++;
    CHECK_EQ(TMK_START_RECREATED, resolve(&w, facts(40, 99), TMK_EPOSITION).trouble);
    CHECK_EQ(TMK_START_RECREATED, resolve(&w, facts(0, -1), TMK_EPOSITION).trouble);
    w.lost = TMK_POSITION_EARLIEST;
    a = resolve(&w, facts(0, 5), TMK_OK);
    CHECK_EQ(-1, a.position.sequence);
    CHECK(!a.from_checkpoint); /* the map was of the other hub */
    c.sequence = INT64_MAX;
    CHECK_EQ(TMK_START_RECREATED, resolve(&w, facts(0, -1), TMK_OK).trouble);
}

/* When the service itself says that there is no such position, old facts are no excuse. */
static void positions_are_compared_by_what_they_mean(void) {
    tmk_start a = {.kind = TMK_START_SEQUENCE, .sequence = 5};
    tmk_start b = {.kind = TMK_START_SEQUENCE, .sequence = 6, .inclusive = true};

    CHECK(tmk_start_same(&a, &b)); /* behind 5 is at 6 */
    b.sequence = 7;
    CHECK(!tmk_start_same(&a, &b));
    a = b = (tmk_start){.kind = TMK_START_OFFSET, .offset = "40"};
    CHECK(tmk_start_same(&a, &b));
    b.inclusive = true;
    CHECK(!tmk_start_same(&a, &b));
    b = (tmk_start){.kind = TMK_START_OFFSET, .offset = "41"};
    CHECK(!tmk_start_same(&a, &b));
    a = b = (tmk_start){.kind = TMK_START_TIME, .unix_ms = 1000};
    CHECK(tmk_start_same(&a, &b));
    b.unix_ms = 1001;
    CHECK(!tmk_start_same(&a, &b));
    b = (tmk_start){.kind = TMK_START_TIME, .unix_ms = 1000, .inclusive = true};
    CHECK(!tmk_start_same(&a, &b));
    a.kind = TMK_START_LATEST;
    CHECK(!tmk_start_same(&a, &b));
    b = (tmk_start){.kind = TMK_START_LATEST, .sequence = 9};
    CHECK(tmk_start_same(&a, &b));
}

static void a_refused_position_is_gone(void) {
    tmk_checkpoint c = at(105, "");
    tmk_start_wish w = wish_for(&c);

    w.refused = true;
    CHECK_EQ(TMK_START_BEYOND, resolve(&w, facts(40, 99), TMK_EPOSITION).trouble);
    c.sequence = 70;
    CHECK_EQ(TMK_START_EXPIRED, resolve(&w, facts(40, 99), TMK_EPOSITION).trouble);
    c = (tmk_checkpoint){.present = true, .offset = "7"};
    CHECK_EQ(TMK_START_EXPIRED, resolve(&w, facts(40, 99), TMK_EPOSITION).trouble);
    w.lost = TMK_POSITION_EARLIEST;
    CHECK_EQ(39, resolve(&w, facts(40, 99), TMK_OK).position.sequence);
}

int main(void) {
    return RUN(TEST(earliest_is_below_the_oldest_event),
               TEST(latest_is_behind_the_newest_of_this_moment),
               TEST(a_checkpoint_counts_with_its_offset_and_its_map),
               TEST(a_checkpoint_by_offset_alone_is_known_with_the_first_event),
               TEST(the_programs_choice_goes_first), TEST(what_retention_removed_is_counted),
               TEST(time_needs_to_be_known),
               TEST(a_little_past_the_end_may_be_old_facts_far_past_is_another_hub),
               TEST(positions_are_compared_by_what_they_mean), TEST(a_refused_position_is_gone));
}
