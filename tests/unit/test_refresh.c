/* When a token is renewed, and what a failure may not break. */
#include "auth/refresh.h"

#include "support/check.h"

static const tmk_time start = 1000 * TMK_SEC;

static tmk_rng rng(void) {
    tmk_rng r;

    tmk_rng_seed(&r, 7);
    return r;
}

/* A machine with a token of an hour that came at `start`. */
static tmk_refresh hour(void) {
    tmk_refresh r = {0};

    CHECK_EQ(TMK_REFRESH_ASK, tmk_refresh_step(&r, start, false));
    tmk_refresh_on_token(&r, start, start + 60 * TMK_MIN,
                         tmk_refresh_plan(start, 60 * TMK_MIN, 0, NULL));
    return r;
}

static void one_question_for_all_who_wait(void) {
    tmk_refresh r = {0};

    CHECK_EQ(0, tmk_refresh_deadline(&r));
    CHECK_EQ(TMK_REFRESH_ASK, tmk_refresh_step(&r, start, false));
    CHECK_EQ(TMK_REFRESH_WAIT, tmk_refresh_step(&r, start, false));
    CHECK_EQ(TMK_REFRESH_WAIT, tmk_refresh_step(&r, start, true));
}

static void an_hour_is_renewed_fifteen_minutes_ahead(void) {
    tmk_refresh r = hour();
    tmk_time due = start + 45 * TMK_MIN;

    CHECK_EQ(due, tmk_refresh_deadline(&r));
    CHECK_EQ(TMK_REFRESH_USE, tmk_refresh_step(&r, due - 1, true));
    CHECK_EQ(TMK_REFRESH_BOTH, tmk_refresh_step(&r, due, false));
    CHECK_EQ(TMK_REFRESH_USE, tmk_refresh_step(&r, due, false));
    CHECK_EQ(TMK_REFRESH_WAIT, tmk_refresh_step(&r, due, true));
}

/* An authority that is away for the last fifteen minutes takes nothing away before the end. */
static void the_old_token_serves_to_its_end(void) {
    tmk_refresh r = hour();
    tmk_rng chance = rng();
    tmk_time end = start + 60 * TMK_MIN;
    unsigned questions = 0;

    for (tmk_time now = start + 45 * TMK_MIN; now < end; now += TMK_SEC) {
        tmk_refresh_act act = tmk_refresh_step(&r, now, false);

        CHECK(act == TMK_REFRESH_USE || act == TMK_REFRESH_BOTH || act == TMK_REFRESH_ASK);
        if (act != TMK_REFRESH_USE) {
            questions++;
            tmk_refresh_on_failure(&r, now, 0, &chance);
            CHECK(tmk_refresh_alive(&r, now));
        }
    }
    CHECK(questions >= 6 && questions <= 9);
    CHECK(!tmk_refresh_alive(&r, end));
    CHECK_EQ(TMK_REFRESH_FAIL, tmk_refresh_step(&r, end, false));
    CHECK_EQ(TMK_REFRESH_ASK, tmk_refresh_step(&r, tmk_refresh_deadline(&r), false));
}

static void failures_wait_longer_each_time_up_to_five_minutes(void) {
    static const int seconds[] = {10, 20, 40, 80, 160, 300, 300, 300};
    tmk_refresh r = {0};
    tmk_rng chance = rng();
    tmk_time now = start;

    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        tmk_time wait;

        CHECK_EQ(TMK_REFRESH_ASK, tmk_refresh_step(&r, now, false));
        tmk_refresh_on_failure(&r, now, 0, &chance);
        wait = tmk_refresh_deadline(&r) - now;
        CHECK(wait >= seconds[i] * TMK_SEC * 9 / 10);
        CHECK(wait <= seconds[i] * TMK_SEC * 11 / 10);
        CHECK_EQ(TMK_REFRESH_FAIL, tmk_refresh_step(&r, tmk_refresh_deadline(&r) - 1, true));
        now = tmk_refresh_deadline(&r);
    }
    CHECK_EQ(TMK_REFRESH_ASK, tmk_refresh_step(&r, now, false));
    tmk_refresh_on_token(&r, now, now + TMK_MIN * 60, now + TMK_MIN * 45);
    CHECK_EQ(0, r.failures);
    CHECK_EQ(TMK_REFRESH_USE, tmk_refresh_step(&r, now, true));
}

static void a_wish_to_wait_is_honoured_within_reason(void) {
    tmk_refresh r = {0};
    tmk_rng chance = rng();

    (void)tmk_refresh_step(&r, start, false);
    tmk_refresh_on_failure(&r, start, 90 * TMK_SEC, &chance);
    CHECK_EQ(start + 90 * TMK_SEC, tmk_refresh_deadline(&r));
    (void)tmk_refresh_step(&r, tmk_refresh_deadline(&r), false);
    tmk_refresh_on_failure(&r, start, TMK_NEVER, &chance);
    CHECK_EQ(start + 10 * TMK_MIN, tmk_refresh_deadline(&r));
}

/* "unauthorized" although we have a token: once anew at once, then with pauses, never in a storm.
 */
static void refused_tokens_are_replaced_once_at_once(void) {
    tmk_refresh r = hour();
    tmk_rng chance = rng();
    tmk_time now = start + TMK_SEC;

    tmk_refresh_on_refused(&r, now, &chance);
    CHECK(!tmk_refresh_alive(&r, now));
    CHECK_EQ(TMK_REFRESH_ASK, tmk_refresh_step(&r, now, false));
    tmk_refresh_on_token(&r, now, now + 60 * TMK_MIN, now + 45 * TMK_MIN);
    tmk_refresh_on_refused(&r, now, &chance);
    CHECK_EQ(TMK_REFRESH_FAIL, tmk_refresh_step(&r, now, true));
    CHECK(tmk_refresh_deadline(&r) >= now + 9 * TMK_SEC);
    now = tmk_refresh_deadline(&r);
    CHECK_EQ(TMK_REFRESH_ASK, tmk_refresh_step(&r, now, false));
    tmk_refresh_on_token(&r, now, now + 60 * TMK_MIN, now + 45 * TMK_MIN);
    now += 20 * TMK_MIN; /* this one was good for long: what comes is a new story */
    tmk_refresh_on_refused(&r, now, &chance);
    CHECK_EQ(TMK_REFRESH_ASK, tmk_refresh_step(&r, now, false));
}

static void the_plan_follows_the_length_of_life(void) {
    CHECK_EQ(start + 45 * TMK_MIN, tmk_refresh_plan(start, 60 * TMK_MIN, 0, NULL));
    CHECK_EQ(start + 720 * TMK_MIN, tmk_refresh_plan(start, 1440 * TMK_MIN, 0, NULL));
    CHECK_EQ(start + 5 * TMK_MIN, tmk_refresh_plan(start, 10 * TMK_MIN, 0, NULL));
    CHECK_EQ(start + 30 * TMK_MIN, tmk_refresh_plan(start, 60 * TMK_MIN, 30 * TMK_MIN, NULL));
    CHECK_EQ(start + 45 * TMK_MIN, tmk_refresh_plan(start, 60 * TMK_MIN, 70 * TMK_MIN, NULL));
    CHECK_EQ(TMK_NEVER, tmk_refresh_plan(start, TMK_NEVER, TMK_NEVER - 1, NULL));
}

static void a_fleet_does_not_ask_as_one(void) {
    tmk_rng chance = rng();
    tmk_time first = tmk_refresh_plan(start, 60 * TMK_MIN, 0, &chance);
    bool differs = false;

    for (int i = 0; i < 100; i++) {
        tmk_time due = tmk_refresh_plan(start, 60 * TMK_MIN, 0, &chance);

        CHECK(due <= start + 45 * TMK_MIN);
        CHECK(due >= start + 45 * TMK_MIN * 9 / 10);
        differs |= due != first;
    }
    CHECK(differs);
}

/* A token of three seconds, as tests have, must not make every call a question. */
static void a_short_life_is_used_for_its_first_half(void) {
    tmk_refresh r = {0};
    tmk_time due = tmk_refresh_plan(start, 3 * TMK_SEC, 0, NULL);

    (void)tmk_refresh_step(&r, start, false);
    tmk_refresh_on_token(&r, start, start + 3 * TMK_SEC, due);
    CHECK_EQ(TMK_REFRESH_USE, tmk_refresh_step(&r, due - 1, false));
    CHECK_EQ(TMK_REFRESH_ASK, tmk_refresh_step(&r, due, false));
}

int main(void) {
    return RUN(TEST(one_question_for_all_who_wait), TEST(an_hour_is_renewed_fifteen_minutes_ahead),
               TEST(the_old_token_serves_to_its_end),
               TEST(failures_wait_longer_each_time_up_to_five_minutes),
               TEST(a_wish_to_wait_is_honoured_within_reason),
               TEST(refused_tokens_are_replaced_once_at_once),
               TEST(the_plan_follows_the_length_of_life), TEST(a_fleet_does_not_ask_as_one),
               TEST(a_short_life_is_used_for_its_first_half));
}
