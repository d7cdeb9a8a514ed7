/* The budget holds, and nobody starves. */
#include "core/flow.h"

#include "base/rng.h"
#include "support/check.h"

enum { MIB = 1024 * 1024 };

/* Before anything is known of a partition's events they may be as large as the service allows. */
static void credit_starts_for_the_largest_events_and_grows(void) {
    tmk_flow f;
    tmk_flow_share s;
    uint32_t before = 0;

    tmk_flow_init(&f, 64 * MIB, 100000, 1000, MIB);
    tmk_flow_join(&f, &s);
    CHECK_EQ(64, tmk_flow_grant(&s));
    CHECK_EQ(0, tmk_flow_grant(&s));
    for (int i = 0; i < 8; i++) {
        uint32_t all = (uint32_t)s.out;

        CHECK(all > before);
        before = all;
        tmk_flow_on_come(&s, all, all * 200);
        tmk_flow_on_gone(&s, all, all * 200);
        (void)tmk_flow_grant(&s);
        if (s.out == 1000) {
            break;
        }
    }
    CHECK_EQ(1000, s.out); /* the prefetch */
    tmk_flow_leave(&s);
    CHECK_EQ(0, f.out_bytes);
}

static void shares_are_equal(void) {
    tmk_flow f;
    tmk_flow_share s[4];

    tmk_flow_init(&f, 64 * MIB, 100000, 1000, MIB);
    for (int i = 0; i < 4; i++) {
        tmk_flow_join(&f, &s[i]);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(16, tmk_flow_grant(&s[i]));
    }
    CHECK_EQ(64, f.out_events);
}

static void a_stalled_partition_gets_nothing_until_it_drains(void) {
    tmk_flow f;
    tmk_flow_share s;

    tmk_flow_init(&f, 10 * MIB, 100000, 1000, MIB);
    tmk_flow_join(&f, &s);
    CHECK_EQ(10, tmk_flow_grant(&s));
    tmk_flow_on_come(&s, 10, 10 * MIB);
    CHECK_EQ(0, tmk_flow_grant(&s));
    tmk_flow_on_gone(&s, 2, 2 * MIB);
    CHECK_EQ(0, tmk_flow_grant(&s)); /* small change */
    tmk_flow_on_gone(&s, 1, MIB);
    CHECK_EQ(3, tmk_flow_grant(&s));
}

static void credit_is_refilled_in_quarters(void) {
    tmk_flow f;
    tmk_flow_share s;

    tmk_flow_init(&f, 1000 * MIB, 100000, 100, 1000);
    tmk_flow_join(&f, &s);
    CHECK_EQ(100, tmk_flow_grant(&s));
    tmk_flow_on_come(&s, 24, 2400);
    CHECK_EQ(0, tmk_flow_grant(&s));
    tmk_flow_on_come(&s, 1, 100);
    CHECK_EQ(25, tmk_flow_grant(&s));
}

static void the_count_is_a_budget_too(void) {
    tmk_flow f;
    tmk_flow_share s;

    tmk_flow_init(&f, 1000 * MIB, 50, 1000, 100);
    tmk_flow_join(&f, &s);
    CHECK_EQ(50, tmk_flow_grant(&s));
    tmk_flow_on_come(&s, 50, 500);
    CHECK_EQ(0, tmk_flow_grant(&s));
}

static void one_event_always_fits(void) {
    tmk_flow f;
    tmk_flow_share s[3];

    tmk_flow_init(&f, 1000, 1, 10, MIB);
    for (int i = 0; i < 3; i++) {
        tmk_flow_join(&f, &s[i]);
        CHECK_EQ(1, tmk_flow_grant(&s[i]));
        CHECK_EQ(0, tmk_flow_grant(&s[i]));
    }
    tmk_flow_on_come(&s[0], 1, MIB);
    CHECK_EQ(0, tmk_flow_grant(&s[0]));
    tmk_flow_on_gone(&s[0], 1, MIB);
    CHECK_EQ(1, tmk_flow_grant(&s[0]));
}

static void a_closed_link_takes_its_credit_with_it(void) {
    tmk_flow f;
    tmk_flow_share s;

    tmk_flow_init(&f, 64 * MIB, 1000, 1000, MIB);
    tmk_flow_join(&f, &s);
    (void)tmk_flow_grant(&s);
    tmk_flow_on_link_closed(&s);
    CHECK_EQ(0, f.out_bytes);
    CHECK_EQ(0, s.out);
    CHECK_EQ(64, tmk_flow_grant(&s));
}

static void more_events_than_were_granted_are_counted_all_the_same(void) {
    tmk_flow f;
    tmk_flow_share s;

    tmk_flow_init(&f, 64 * MIB, 1000, 1000, MIB);
    tmk_flow_join(&f, &s);
    tmk_flow_on_come(&s, 5, 500);
    CHECK_EQ(5, s.held_events);
    CHECK_EQ(0, s.out);
    tmk_flow_leave(&s);
    CHECK_EQ(0, f.held_bytes);
    CHECK_EQ(0, f.shares);
}

static void who_was_refused_is_told_when_there_is_room(void) {
    tmk_flow f;
    tmk_flow_share a, b;

    tmk_flow_init(&f, 10 * MIB, 1000, 1000, MIB);
    tmk_flow_join(&f, &a);
    CHECK_EQ(10, tmk_flow_grant(&a));
    tmk_flow_on_come(&a, 10, 10 * MIB); /* it had all, alone */
    tmk_flow_join(&f, &b);
    CHECK_EQ(1, tmk_flow_grant(&b));
    tmk_flow_on_come(&b, 1, MIB);
    CHECK_EQ(0, tmk_flow_grant(&b));
    CHECK(!tmk_flow_relieved(&f));
    tmk_flow_on_gone(&a, 5, 5 * MIB);
    CHECK(tmk_flow_relieved(&f));
    CHECK(!tmk_flow_relieved(&f));
    CHECK(tmk_flow_grant(&b) > 0);
}

/* A share whose link has all the credit it may have, in a budget that is not used up, asked again
 * and again within one step, and the step had no end. */
static void who_was_refused_is_not_told_before_something_was_given_back(void) {
    tmk_flow f;
    tmk_flow_share a, b;

    tmk_flow_init(&f, 10 * MIB, 1000, 10, 1);
    tmk_flow_join(&f, &a);
    tmk_flow_join(&f, &b);
    tmk_flow_on_come(&a, 700, 700);
    CHECK_EQ(10, tmk_flow_grant(&b));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(0, tmk_flow_grant(&b));
        CHECK(!tmk_flow_relieved(&f));
    }
    tmk_flow_on_gone(&a, 1, 1);
    CHECK(tmk_flow_relieved(&f));
    CHECK_EQ(0, tmk_flow_grant(&b));
    CHECK(!tmk_flow_relieved(&f));
}

/*
 * Random partitions, sizes and speeds. Held bytes may pass the budget only by
 * how much larger events are than was expected when they were asked for, and by
 * the one event that each partition may always have.
 */
static void held_and_asked_for_stay_within_the_budget(void) {
    enum { SHARES = 5 };
    tmk_rng rng;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        tmk_flow f;
        tmk_flow_share s[SHARES];
        uint64_t held[SHARES][64], events[SHARES] = {0};
        uint64_t size = 100, largest = 0;

        tmk_rng_seed(&rng, seed);
        tmk_flow_init(&f, (uint64_t)tmk_rng_between(&rng, 2, 32) * MIB, 64, 1000, MIB);
        for (int i = 0; i < SHARES; i++) {
            tmk_flow_join(&f, &s[i]);
        }
        for (int step = 0; step < 3000; step++) {
            uint64_t i = tmk_rng_below(&rng, SHARES);
            uint32_t granted = tmk_flow_grant(&s[i]);

            if (granted > 1) {
                CHECK(f.held_bytes + f.out_bytes <= f.bytes_max);
                CHECK(f.held_events + f.out_events <= f.events_max);
            }
            if (tmk_rng_chance(&rng, 0.01)) {
                size = (uint64_t)tmk_rng_between(&rng, 100, MIB);
            }
            largest = size > largest ? size : largest;
            if (s[i].out > 0 && tmk_rng_chance(&rng, 0.6)) {
                tmk_flow_on_come(&s[i], 1, size);
                held[i][events[i]++] = size;
            } else if (events[i] > 0) {
                tmk_flow_on_gone(&s[i], 1, held[i][--events[i]]);
            }
            CHECK(f.held_events <= f.events_max + SHARES);
        }
        for (int i = 0; i < SHARES; i++) {
            tmk_flow_leave(&s[i]);
        }
        CHECK_EQ(0, f.held_bytes + f.held_events + f.out_bytes + f.out_events);
    }
}

int main(void) {
    return RUN(TEST(credit_starts_for_the_largest_events_and_grows), TEST(shares_are_equal),
               TEST(a_stalled_partition_gets_nothing_until_it_drains),
               TEST(credit_is_refilled_in_quarters), TEST(the_count_is_a_budget_too),
               TEST(one_event_always_fits), TEST(a_closed_link_takes_its_credit_with_it),
               TEST(more_events_than_were_granted_are_counted_all_the_same),
               TEST(who_was_refused_is_told_when_there_is_room),
               TEST(who_was_refused_is_not_told_before_something_was_given_back),
               TEST(held_and_asked_for_stay_within_the_budget));
}
