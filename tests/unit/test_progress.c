/* How a partition gets on, from a window of samples. */
#include "core/progress.h"

#include "support/check.h"

static tmk_progress_meter m;
static tmk_time now;

static void begin(void) {
    now = 0;
    tmk_progress_init(&m, 9 * TMK_SEC, now);
}

static void sample(int64_t final, uint64_t finished, int64_t lag) {
    tmk_progress_sample s = {.final_sequence = final, .finished = finished, .lag = lag};

    CHECK_EQ(now, tmk_progress_deadline(&m));
    tmk_progress_step(&m, now, &s);
    now += TMK_SEC;
}

static tmk_progress tell(void) {
    return tmk_progress_tell(&m, false, false);
}

static void a_large_lag_alone_is_fine(void) {
    begin();
    for (int i = 0; i < 15; i++) {
        sample(100 * i, 100 * (uint64_t)i, 1000000 - i);
        CHECK_EQ(TMK_PROGRESS_OK, tell());
    }
}

static void it_falls_behind_when_the_lag_only_grows(void) {
    begin();
    for (int i = 0; i < 9; i++) {
        sample(10 * i, 10 * (uint64_t)i, 100 + i);
        CHECK_EQ(TMK_PROGRESS_OK, tell()); /* not a whole window yet */
    }
    sample(100, 100, 200);
    CHECK_EQ(TMK_PROGRESS_SLOW, tell());
    sample(110, 110, 200); /* one sample in which it does not */
    CHECK_EQ(TMK_PROGRESS_OK, tell());
}

static void it_stalls_when_events_wait_and_none_becomes_final(void) {
    begin();
    for (int i = 0; i < 10; i++) {
        sample(50, 50, 3);
    }
    CHECK_EQ(TMK_PROGRESS_STALLED, tell());
    sample(50, 51, 3); /* above a gap: it moves */
    CHECK_EQ(TMK_PROGRESS_OK, tell());
}

static void without_a_lag_rest_is_fine(void) {
    begin();
    for (int i = 0; i < 20; i++) {
        sample(50, 50, 0);
    }
    CHECK_EQ(TMK_PROGRESS_OK, tell());
}

static void going_back_is_told_as_long_as_it_is_in_the_window(void) {
    begin();
    sample(50, 50, 0);
    sample(3, 51, 0);
    CHECK_EQ(TMK_PROGRESS_REWOUND, tell());
    for (int i = 0; i < 9; i++) {
        sample(4 + i, 52 + (uint64_t)i, 0);
    }
    CHECK_EQ(TMK_PROGRESS_OK, tell());
}

static void what_somebody_stopped_is_stopped_and_what_begins_is_starting(void) {
    begin();
    CHECK_EQ(TMK_PROGRESS_STARTING, tmk_progress_tell(&m, true, false));
    CHECK_EQ(TMK_PROGRESS_STOPPED, tmk_progress_tell(&m, true, true));
    CHECK_STR("stalled", tmk_progress_name(TMK_PROGRESS_STALLED));
    CHECK_STR("?", tmk_progress_name((tmk_progress)77));
}

static void samples_between_times_are_not_taken(void) {
    tmk_progress_sample s = {.final_sequence = 5, .lag = 1};

    begin();
    tmk_progress_step(&m, 0, &s);
    tmk_progress_step(&m, TMK_SEC - 1, &s);
    CHECK_EQ(1, m.count);
}

int main(void) {
    return RUN(TEST(a_large_lag_alone_is_fine), TEST(it_falls_behind_when_the_lag_only_grows),
               TEST(it_stalls_when_events_wait_and_none_becomes_final),
               TEST(without_a_lag_rest_is_fine),
               TEST(going_back_is_told_as_long_as_it_is_in_the_window),
               TEST(what_somebody_stopped_is_stopped_and_what_begins_is_starting),
               TEST(samples_between_times_are_not_taken));
}
