/* Checkpoints are written when due, one at a time, always the newest state. */
#include "core/policy.h"

#include "support/check.h"

static const tmk_policy_options every_100 = {
    .events = 100,
    .bytes = 1000,
    .interval = 10 * TMK_SEC,
    .retry = {.delay = TMK_SEC, .delay_max = 8 * TMK_SEC, .factor = 2}};

static tmk_rng rng;

static void begin(tmk_policy *p) {
    tmk_rng_seed(&rng, 1);
    tmk_policy_init(p, &every_100, NULL);
}

static void nothing_new_is_never_written(void) {
    tmk_policy p;

    begin(&p);
    CHECK(!tmk_policy_step(&p, 1000 * TMK_SEC));
    CHECK_EQ(TMK_NEVER, tmk_policy_deadline(&p, 0));
    CHECK(tmk_policy_settled(&p));
}

static void the_first_of_three_bounds_decides(void) {
    tmk_policy p;

    begin(&p);
    tmk_policy_on_progress(&p, 5 * TMK_SEC, 99, 999);
    CHECK(!tmk_policy_step(&p, 14 * TMK_SEC));
    CHECK_EQ(15 * TMK_SEC, tmk_policy_deadline(&p, 14 * TMK_SEC));
    CHECK(tmk_policy_step(&p, 15 * TMK_SEC)); /* time */

    begin(&p);
    tmk_policy_on_progress(&p, 0, 99, 0);
    tmk_policy_on_progress(&p, 1, 1, 0);
    CHECK_EQ(1, tmk_policy_deadline(&p, 1));
    CHECK(tmk_policy_step(&p, 1)); /* events */

    begin(&p);
    tmk_policy_on_progress(&p, 0, 1, 1000);
    CHECK(tmk_policy_step(&p, 0)); /* bytes */
}

static void one_write_at_a_time_and_then_the_newest_state(void) {
    tmk_policy p;

    begin(&p);
    tmk_policy_on_progress(&p, 0, 100, 0);
    CHECK(tmk_policy_step(&p, 0));
    tmk_policy_on_progress(&p, TMK_SEC, 250, 0); /* due twice over, while it is written */
    CHECK(!tmk_policy_step(&p, TMK_SEC));
    CHECK_EQ(TMK_NEVER, tmk_policy_deadline(&p, TMK_SEC));
    tmk_policy_on_written(&p, 2 * TMK_SEC, TMK_OK, 0, &rng);
    CHECK_EQ(250, p.events);
    CHECK(tmk_policy_step(&p, 2 * TMK_SEC));
    tmk_policy_on_written(&p, 2 * TMK_SEC, TMK_OK, 0, &rng);
    CHECK(tmk_policy_settled(&p));
}

static void the_interval_counts_from_the_first_event_that_is_not_covered(void) {
    tmk_policy p;

    begin(&p);
    tmk_policy_on_progress(&p, 0, 100, 0);
    CHECK(tmk_policy_step(&p, 0));
    tmk_policy_on_progress(&p, 3 * TMK_SEC, 1, 0);
    tmk_policy_on_written(&p, 9 * TMK_SEC, TMK_OK, 0, &rng);
    CHECK_EQ(13 * TMK_SEC, tmk_policy_deadline(&p, 9 * TMK_SEC));
}

static void a_request_writes_at_once_even_with_nothing_new(void) {
    tmk_policy p;

    begin(&p);
    tmk_policy_ask(&p);
    CHECK_EQ(7, tmk_policy_deadline(&p, 7));
    CHECK(tmk_policy_step(&p, 7));
    tmk_policy_ask(&p); /* while it is written: once more afterwards */
    CHECK(!tmk_policy_step(&p, 8));
    tmk_policy_on_written(&p, 9, TMK_OK, 0, &rng);
    CHECK(tmk_policy_step(&p, 9));
    tmk_policy_on_written(&p, 9, TMK_OK, 0, &rng);
    CHECK(!tmk_policy_step(&p, 9));
}

static void a_failed_write_is_tried_again_with_growing_pauses(void) {
    tmk_policy p;

    begin(&p);
    tmk_policy_on_progress(&p, 0, 100, 0);
    CHECK(tmk_policy_step(&p, 0));
    tmk_policy_on_written(&p, 0, TMK_EIO, 0, &rng);
    CHECK_EQ(TMK_SEC, tmk_policy_deadline(&p, 0));
    CHECK(!tmk_policy_step(&p, TMK_SEC - 1));
    CHECK(tmk_policy_step(&p, TMK_SEC));
    tmk_policy_on_written(&p, TMK_SEC, TMK_EIO, 0, &rng);
    CHECK_EQ(3 * TMK_SEC, tmk_policy_deadline(&p, TMK_SEC));
    CHECK(tmk_policy_step(&p, 3 * TMK_SEC));
    tmk_policy_on_written(&p, 3 * TMK_SEC, TMK_OK, 0, &rng);
    CHECK_EQ(0, p.events);
    CHECK(tmk_policy_settled(&p));
}

static void the_store_may_ask_for_a_longer_pause(void) {
    tmk_policy p;

    begin(&p);
    tmk_policy_ask(&p);
    CHECK(tmk_policy_step(&p, 0));
    tmk_policy_on_written(&p, 0, TMK_EBUSY, 60 * TMK_SEC, &rng);
    CHECK_EQ(60 * TMK_SEC, tmk_policy_deadline(&p, 0));
    CHECK(tmk_policy_step(&p, 60 * TMK_SEC)); /* a request that failed is not forgotten */
}

static void bounds_that_are_zero_do_not_count(void) {
    static const tmk_policy_options never = {.retry = {.delay = 1, .delay_max = 1, .factor = 1}};
    tmk_policy p;

    tmk_policy_init(&p, &never, NULL);
    tmk_policy_on_progress(&p, 0, 1000000, 1000000);
    CHECK(!tmk_policy_step(&p, INT64_MAX - 1));
    CHECK_EQ(TMK_NEVER, tmk_policy_deadline(&p, 0));
    tmk_policy_ask(&p);
    CHECK(tmk_policy_step(&p, 0));
}

static void all_partitions_share_a_budget_but_requests_pass_it(void) {
    tmk_policy p[3];
    tmk_budget budget;

    tmk_rng_seed(&rng, 1);
    tmk_budget_init(&budget, 2, 1, 0);
    for (int i = 0; i < 3; i++) {
        tmk_policy_init(&p[i], &every_100, &budget);
        tmk_policy_on_progress(&p[i], 0, 100, 0);
    }
    CHECK(tmk_policy_step(&p[0], 0));
    CHECK(!tmk_policy_step(&p[1], 0));
    CHECK(tmk_policy_deadline(&p[1], 0) > 499 * TMK_MS);
    CHECK(tmk_policy_deadline(&p[1], 0) < 501 * TMK_MS);
    CHECK(tmk_policy_step(&p[1], tmk_policy_deadline(&p[1], 0)));
    tmk_policy_ask(&p[2]);
    CHECK(tmk_policy_step(&p[2], TMK_SEC / 2 + 10)); /* asked: now, and in debt for it */
    CHECK(tmk_budget_reserve(&budget, TMK_SEC) > TMK_SEC);
    CHECK_EQ(5 * TMK_SEC, tmk_budget_reserve(&budget, 5 * TMK_SEC));
}

/* Partition 0 is always due again at once and looks first; it took every write that there was. */
static void whoever_has_waited_longest_is_next(void) {
    tmk_policy p[4];
    tmk_budget budget;
    int written[4] = {0};

    tmk_rng_seed(&rng, 1);
    tmk_budget_init(&budget, 2, 1, 0);
    for (int i = 0; i < 4; i++) {
        tmk_policy_init(&p[i], &every_100, &budget);
    }
    for (tmk_time now = 0; now < 20 * TMK_SEC; now += 10 * TMK_MS) {
        for (int i = 0; i < 4; i++) {
            tmk_policy_on_progress(&p[i], now, 100, 0);
            if (tmk_policy_step(&p[i], now)) {
                tmk_policy_on_written(&p[i], now, TMK_OK, 0, &rng);
                written[i]++;
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        CHECK(written[i] >= 9 && written[i] <= 11);
    }
}

static void no_more_writes_than_the_budget_over_a_long_time(void) {
    tmk_policy p[20];
    tmk_budget budget;
    int writes = 0;

    tmk_rng_seed(&rng, 1);
    tmk_budget_init(&budget, 5, 10, 0);
    for (int i = 0; i < 20; i++) {
        tmk_policy_init(&p[i], &every_100, &budget);
    }
    for (tmk_time now = 0; now < 100 * TMK_SEC; now += 100 * TMK_MS) {
        for (int i = 0; i < 20; i++) {
            tmk_policy_on_progress(&p[i], now, 200, 0);
            if (tmk_policy_step(&p[i], now)) {
                tmk_policy_on_written(&p[i], now, TMK_OK, 0, &rng);
                writes++;
            }
        }
    }
    CHECK(writes <= 5 * 100 + 10);
    CHECK(writes >= 5 * 100 - 10);
}

int main(void) {
    return RUN(TEST(nothing_new_is_never_written), TEST(the_first_of_three_bounds_decides),
               TEST(one_write_at_a_time_and_then_the_newest_state),
               TEST(the_interval_counts_from_the_first_event_that_is_not_covered),
               TEST(a_request_writes_at_once_even_with_nothing_new),
               TEST(a_failed_write_is_tried_again_with_growing_pauses),
               TEST(the_store_may_ask_for_a_longer_pause), TEST(bounds_that_are_zero_do_not_count),
               TEST(all_partitions_share_a_budget_but_requests_pass_it),
               TEST(whoever_has_waited_longest_is_next),
               TEST(no_more_writes_than_the_budget_over_a_long_time));
}
