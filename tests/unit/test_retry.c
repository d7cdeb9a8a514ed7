/* What follows a verdict, and the breaker. */
#include "core/retry.h"

#include "support/check.h"

static tmk_rng rng;

static tmk_retry_rules rules(void) {
    tmk_rng_seed(&rng, 3);
    return (tmk_retry_rules){.attempts_max = 3,
                             .backoff = {.delay = 200 * TMK_MS, .delay_max = TMK_SEC, .factor = 2},
                             .exhausted = TMK_EXHAUSTED_DEAD_LETTER,
                             .sink = true};
}

static void pauses_grow_up_to_their_bound(void) {
    tmk_retry_rules r = rules();
    tmk_retry_decision d;

    r.attempts_max = 0;
    d = tmk_retry_decide(&r, TMK_RETRY, 1, -1, &rng);
    CHECK_EQ(TMK_RETRY_AGAIN, d.next);
    CHECK_EQ(200 * TMK_MS, d.pause);
    CHECK_EQ(400 * TMK_MS, tmk_retry_decide(&r, TMK_RETRY, 2, -1, &rng).pause);
    CHECK_EQ(TMK_SEC, tmk_retry_decide(&r, TMK_RETRY, 4000, -1, &rng).pause);
}

static void the_handler_may_choose_its_pause(void) {
    tmk_retry_rules r = rules();

    CHECK_EQ(0, tmk_retry_decide(&r, TMK_RETRY, 1, 0, &rng).pause);
    CHECK_EQ(5 * TMK_MIN, tmk_retry_decide(&r, TMK_RETRY, 1, 300000, &rng).pause);
    CHECK(tmk_retry_decide(&r, TMK_RETRY, 1, INT64_MAX, &rng).pause < TMK_NEVER);
}

static void the_declared_choice_follows_the_last_attempt(void) {
    tmk_retry_rules r = rules();
    tmk_retry_decision d;

    CHECK_EQ(TMK_RETRY_AGAIN, tmk_retry_decide(&r, TMK_RETRY, 2, -1, &rng).next);
    d = tmk_retry_decide(&r, TMK_RETRY, 3, 10, &rng);
    CHECK_EQ(TMK_RETRY_DEAD_LETTER, d.next);
    CHECK_STR("attempts", d.reason);
    r.exhausted = TMK_EXHAUSTED_SKIP;
    CHECK_EQ(TMK_RETRY_SKIP, tmk_retry_decide(&r, TMK_RETRY, 3, -1, &rng).next);
    r.exhausted = TMK_EXHAUSTED_STOP;
    CHECK_EQ(TMK_RETRY_STOP, tmk_retry_decide(&r, TMK_RETRY, 3, -1, &rng).next);
}

static void a_dead_letter_without_a_sink_stops_the_partition(void) {
    tmk_retry_rules r = rules();

    CHECK_EQ(TMK_RETRY_DEAD_LETTER, tmk_retry_decide(&r, TMK_DEAD_LETTER, 1, -1, &rng).next);
    CHECK_STR("handler", tmk_retry_decide(&r, TMK_DEAD_LETTER, 1, -1, &rng).reason);
    r.sink = false;
    CHECK_EQ(TMK_RETRY_STOP, tmk_retry_decide(&r, TMK_DEAD_LETTER, 1, -1, &rng).next);
    CHECK_EQ(TMK_RETRY_STOP, tmk_retry_decide(&r, TMK_RETRY, 3, -1, &rng).next);
}

/* ---- the breaker ---- */

static tmk_breaker breaker(void) {
    const tmk_backoff pause = {.delay = TMK_SEC, .delay_max = 30 * TMK_SEC, .factor = 2};
    tmk_breaker b;

    tmk_rng_seed(&rng, 3);
    tmk_breaker_init(&b, &pause);
    return b;
}

static void stop_opens_it_once(void) {
    tmk_breaker b = breaker();

    CHECK_EQ(TMK_NEVER, tmk_breaker_deadline(&b));
    CHECK(!tmk_breaker_on_verdict(&b, 0, TMK_DONE, false, &rng));
    CHECK(tmk_breaker_on_verdict(&b, 5, TMK_STOP, false, &rng));
    CHECK_EQ(TMK_BREAKER_OPEN, b.state);
    CHECK(!tmk_breaker_on_verdict(&b, 6, TMK_STOP, false, &rng)); /* the other threads' */
    CHECK_EQ(5 + TMK_SEC, tmk_breaker_deadline(&b));
}

static void what_was_running_does_not_close_it(void) {
    tmk_breaker b = breaker();

    (void)tmk_breaker_on_verdict(&b, 0, TMK_STOP, false, &rng);
    CHECK(!tmk_breaker_on_verdict(&b, 1, TMK_DONE, false, &rng));
    CHECK(tmk_breaker_step(&b, TMK_SEC, &rng));
    CHECK(!tmk_breaker_on_verdict(&b, TMK_SEC, TMK_DONE, false, &rng));
    CHECK_EQ(TMK_BREAKER_PROBING, b.state);
}

static void probes_come_after_growing_pauses_until_one_gets_through(void) {
    tmk_breaker b = breaker();

    (void)tmk_breaker_on_verdict(&b, 0, TMK_STOP, false, &rng);
    CHECK(!tmk_breaker_step(&b, TMK_SEC - 1, &rng));
    CHECK(tmk_breaker_step(&b, TMK_SEC, &rng));
    CHECK(tmk_breaker_on_verdict(&b, TMK_SEC, TMK_STOP, true, &rng));
    CHECK_EQ(3 * TMK_SEC, tmk_breaker_deadline(&b));
    CHECK(tmk_breaker_step(&b, 3 * TMK_SEC, &rng));
    CHECK(tmk_breaker_on_verdict(&b, 4 * TMK_SEC, TMK_RETRY, true, &rng));
    CHECK_EQ(TMK_BREAKER_CLOSED, b.state);
    CHECK_EQ(TMK_NEVER, tmk_breaker_deadline(&b));
    CHECK(tmk_breaker_on_verdict(&b, 9 * TMK_SEC, TMK_STOP, false, &rng));
    CHECK_EQ(10 * TMK_SEC, tmk_breaker_deadline(&b)); /* from the start again */
}

static void a_probe_that_is_never_heard_of_is_followed_by_another(void) {
    tmk_breaker b = breaker();

    (void)tmk_breaker_on_verdict(&b, 0, TMK_STOP, false, &rng);
    CHECK(tmk_breaker_step(&b, TMK_SEC, &rng));
    CHECK_EQ(2 * TMK_SEC, tmk_breaker_deadline(&b));
    CHECK(tmk_breaker_step(&b, 2 * TMK_SEC, &rng));
    CHECK_EQ(TMK_BREAKER_PROBING, b.state);
}

int main(void) {
    return RUN(TEST(pauses_grow_up_to_their_bound), TEST(the_handler_may_choose_its_pause),
               TEST(the_declared_choice_follows_the_last_attempt),
               TEST(a_dead_letter_without_a_sink_stops_the_partition), TEST(stop_opens_it_once),
               TEST(what_was_running_does_not_close_it),
               TEST(probes_come_after_growing_pauses_until_one_gets_through),
               TEST(a_probe_that_is_never_heard_of_is_followed_by_another));
}
