/* The connection's life in virtual time: what is done when, and what each way of failing leads to.
 */
#include "amqp/line.h"

#include "base/status.h"
#include "support/check.h"

static tmk_error lost, refused;

static void fill_errors(void) {
    (void)tmk_fail_retry(&lost, TMK_EIO, "errno:104", "the connection was reset");
    (void)tmk_fail(&refused, TMK_EAUTH, "amqp:unauthorized-access", "the key is wrong");
}

static void start(tmk_line *l) {
    fill_errors();
    tmk_line_init(l, 7);
    tmk_line_want(l, 0, true);
}

/* From OFF or the end of a pause to UP; returns nothing but checks the order. */
static void bring_up(tmk_line *l, tmk_time now) {
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(l, now));
    tmk_line_on_token(l, now);
    CHECK_EQ(TMK_LINE_OPEN, tmk_line_step(l, now));
    tmk_line_on_opened(l, now);
    CHECK_EQ(TMK_LINE_PUT, tmk_line_step(l, now));
    tmk_line_on_put(l, now, now + 3600 * TMK_SEC);
    CHECK_EQ(TMK_LINE_STANDS, tmk_line_step(l, now));
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(l, now));
    CHECK_EQ(TMK_LINE_UP, l->state);
}

static void nothing_is_done_before_somebody_wants_it(void) {
    tmk_line l;

    tmk_line_init(&l, 1);
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, 0));
    CHECK_EQ(TMK_NEVER, tmk_line_deadline(&l));
    tmk_line_want(&l, 5, true);
    CHECK_EQ(0, tmk_line_deadline(&l));
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, 5));
}

/* The service drops connections that show no token within 20 s, and a token may take a minute. */
static void the_token_comes_before_the_connection(void) {
    tmk_line l;

    start(&l);
    bring_up(&l, 0);
    CHECK_EQ(3600 * TMK_SEC, tmk_line_deadline(&l));
}

static void each_step_that_gets_no_answer_ends(void) {
    tmk_line l;
    tmk_time now = 0;

    start(&l);
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, now));
    now = tmk_line_deadline(&l);
    CHECK_EQ(65 * TMK_SEC, now);
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, now));
    CHECK_EQ(TMK_LINE_PAUSED, l.state);
    CHECK_EQ(TMK_ETIMEOUT, l.why.status);

    now = tmk_line_deadline(&l);
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, now));
    tmk_line_on_token(&l, now);
    CHECK_EQ(TMK_LINE_OPEN, tmk_line_step(&l, now));
    CHECK_EQ(now + 30 * TMK_SEC, tmk_line_deadline(&l));
    now = tmk_line_deadline(&l);
    CHECK_EQ(TMK_LINE_DROP, tmk_line_step(&l, now));
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, now));

    now = tmk_line_deadline(&l);
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, now));
    tmk_line_on_token(&l, now);
    CHECK_EQ(TMK_LINE_OPEN, tmk_line_step(&l, now));
    tmk_line_on_opened(&l, now);
    CHECK_EQ(TMK_LINE_PUT, tmk_line_step(&l, now));
    CHECK_EQ(now + 30 * TMK_SEC, tmk_line_deadline(&l));
    now = tmk_line_deadline(&l);
    CHECK_EQ(TMK_LINE_DROP, tmk_line_step(&l, now));
    CHECK_EQ(3, l.failures);
}

/* 0.1 s at first, then doubling; a server that lets us in and throws us out at once costs no more
 * than an attempt each 30 s (less the jitter) in the long run. */
static void a_hostile_server_is_tried_ever_more_rarely(void) {
    tmk_line l;
    tmk_time now = 0, pause = 0;

    start(&l);
    for (int i = 0; i < 20; i++) {
        bring_up(&l, now);
        tmk_line_on_lost(&l, now, &lost, 0);
        CHECK_EQ(TMK_LINE_DROP, tmk_line_step(&l, now));
        CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, now));
        pause = tmk_line_deadline(&l) - now;
        if (i == 0) {
            CHECK(pause >= 80 * TMK_MS && pause <= 120 * TMK_MS);
        }
        now += pause;
    }
    CHECK(pause >= 24 * TMK_SEC && pause <= 30 * TMK_SEC);
}

static void a_connection_that_stood_for_a_while_is_back_soon(void) {
    tmk_line l;

    start(&l);
    l.failures = 9;
    bring_up(&l, 0);
    tmk_line_on_lost(&l, 6 * TMK_SEC, &lost, 0);
    CHECK_EQ(TMK_LINE_DROP, tmk_line_step(&l, 6 * TMK_SEC));
    CHECK(tmk_line_deadline(&l) <= 6 * TMK_SEC + 120 * TMK_MS);
    CHECK_EQ(1, l.failures);
}

static void a_service_that_wants_us_to_wait_is_given_the_time(void) {
    tmk_line l;

    start(&l);
    bring_up(&l, 0);
    tmk_line_on_lost(&l, TMK_SEC, &lost, 4 * TMK_SEC);
    CHECK_EQ(TMK_LINE_DROP, tmk_line_step(&l, TMK_SEC));
    CHECK_EQ(5 * TMK_SEC, tmk_line_deadline(&l));
}

static void a_refused_token_is_replaced_once_on_the_same_connection(void) {
    tmk_line l;

    start(&l);
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, 0));
    CHECK(!l.fresh && !l.refused);
    tmk_line_on_token(&l, 0);
    CHECK_EQ(TMK_LINE_OPEN, tmk_line_step(&l, 0));
    tmk_line_on_opened(&l, 0);
    CHECK_EQ(TMK_LINE_PUT, tmk_line_step(&l, 0));
    tmk_line_on_put_failed(&l, 0, &refused);
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, 0));
    CHECK(l.fresh && l.refused);
    tmk_line_on_token(&l, 0);
    CHECK_EQ(TMK_LINE_PUT, tmk_line_step(&l, 0));
    tmk_line_on_put_failed(&l, 0, &refused);
    CHECK_EQ(TMK_LINE_DROP, tmk_line_step(&l, 0));
    CHECK_EQ(TMK_EAUTH, l.why.status);
    CHECK(tmk_line_deadline(&l) >= 8 * TMK_SEC);
}

static void who_is_not_let_in_asks_rarely(void) {
    tmk_line l;
    tmk_time now = 0, pause = 0;

    start(&l);
    for (int i = 0; i < 12; i++) {
        CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, now));
        tmk_line_on_token_failed(&l, now, &refused, 0);
        CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, now));
        pause = tmk_line_deadline(&l) - now;
        now += pause;
    }
    CHECK(pause >= 240 * TMK_SEC && pause <= 300 * TMK_SEC);
}

static void the_token_is_renewed_in_time_without_disturbing_anything(void) {
    tmk_line l;
    tmk_time at = 3600 * TMK_SEC;

    start(&l);
    bring_up(&l, 0);
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, at - 1));
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, at));
    CHECK(l.fresh && !l.refused);
    tmk_line_on_token(&l, at);
    CHECK_EQ(TMK_LINE_PUT, tmk_line_step(&l, at));
    tmk_line_on_put(&l, at, 2 * at);
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, at));
    CHECK_EQ(2 * at, tmk_line_deadline(&l));
    CHECK_EQ(TMK_LINE_UP, l.state);
}

/* The token endpoint is down: the old token serves to its end, and it is asked again. */
static void a_renewal_that_fails_is_tried_again_while_the_connection_goes_on(void) {
    tmk_line l;
    tmk_time at = 3600 * TMK_SEC;
    tmk_error down;

    start(&l);
    bring_up(&l, 0);
    (void)tmk_fail_retry(&down, TMK_EIO, "http:503", "the token endpoint is down");
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, at));
    tmk_line_on_token_failed(&l, at, &down, at + 7 * TMK_SEC);
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, at));
    CHECK_EQ(at + 7 * TMK_SEC, tmk_line_deadline(&l));
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, at + 7 * TMK_SEC));
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, at + 320 * TMK_SEC)); /* no answer at all */
    CHECK_EQ(TMK_LINE_UP, l.state);
    CHECK_EQ(2, l.renewals_failed);
}

static void a_service_that_does_not_answer_a_renewal_is_left(void) {
    tmk_line l;
    tmk_time at = 3600 * TMK_SEC;

    start(&l);
    bring_up(&l, 0);
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, at));
    tmk_line_on_token(&l, at);
    CHECK_EQ(TMK_LINE_PUT, tmk_line_step(&l, at));
    CHECK_EQ(TMK_LINE_DROP, tmk_line_step(&l, at + 30 * TMK_SEC));
}

static void a_link_that_needs_a_token_gets_a_newer_one_but_not_two(void) {
    tmk_line l;
    tmk_time now = 60 * TMK_SEC;

    start(&l);
    bring_up(&l, 0);
    CHECK(!tmk_line_need_token(&l, now, -1)); /* attached before the token was put: try again */
    CHECK(tmk_line_need_token(&l, now, 1));
    CHECK(tmk_line_need_token(&l, now, 1));
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, now));
    CHECK(l.refused);
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, now));
}

static void it_is_closed_five_minutes_after_the_last_user_left(void) {
    tmk_line l;

    start(&l);
    bring_up(&l, 0);
    tmk_line_want(&l, 10 * TMK_SEC, false);
    CHECK_EQ(310 * TMK_SEC, tmk_line_deadline(&l));
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, 310 * TMK_SEC - 1));
    CHECK_EQ(TMK_LINE_CLOSE, tmk_line_step(&l, 310 * TMK_SEC));
    CHECK_EQ(TMK_LINE_WAIT, tmk_line_step(&l, 310 * TMK_SEC));
    CHECK_EQ(TMK_NEVER, tmk_line_deadline(&l));
    tmk_line_want(&l, 320 * TMK_SEC, true);
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, 320 * TMK_SEC));
}

static void answers_that_come_too_late_change_nothing(void) {
    tmk_line l;

    start(&l);
    CHECK_EQ(TMK_LINE_FETCH, tmk_line_step(&l, 0));
    tmk_line_on_token_failed(&l, 0, &lost, 0);
    tmk_line_on_token(&l, 1);
    tmk_line_on_opened(&l, 1);
    tmk_line_on_put(&l, 1, 100);
    tmk_line_on_put_failed(&l, 1, &refused);
    tmk_line_on_lost(&l, 1, &lost, 0);
    CHECK_EQ(TMK_LINE_PAUSED, l.state);
    CHECK_EQ(1, l.failures);
}

int main(void) {
    return RUN(
        TEST(nothing_is_done_before_somebody_wants_it), TEST(the_token_comes_before_the_connection),
        TEST(each_step_that_gets_no_answer_ends), TEST(a_hostile_server_is_tried_ever_more_rarely),
        TEST(a_connection_that_stood_for_a_while_is_back_soon),
        TEST(a_service_that_wants_us_to_wait_is_given_the_time),
        TEST(a_refused_token_is_replaced_once_on_the_same_connection),
        TEST(who_is_not_let_in_asks_rarely),
        TEST(the_token_is_renewed_in_time_without_disturbing_anything),
        TEST(a_renewal_that_fails_is_tried_again_while_the_connection_goes_on),
        TEST(a_service_that_does_not_answer_a_renewal_is_left),
        TEST(a_link_that_needs_a_token_gets_a_newer_one_but_not_two),
        TEST(it_is_closed_five_minutes_after_the_last_user_left),
        TEST(answers_that_come_too_late_change_nothing));
}
