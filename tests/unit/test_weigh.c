/* Loads: measured and smoothed, told in a record that anybody may have written, levelled in rounds.
 */
#include "core/member_text.h"
#include "core/weigh.h"

#include "base/rng.h"

#include "support/check.h"

enum { MANY = 1024 };

/* ---- measuring ---- */

/* 100 units: 60 ms of handlers and 160 KiB a second. */
static void feed(tmk_gauge *g, tmk_time from, tmk_time to, double share) {
    static uint64_t bytes = 0;
    static tmk_time busy = 0;

    for (tmk_time t = from + 5 * TMK_SEC; t <= to; t += 5 * TMK_SEC) {
        bytes += (uint64_t)(5 * 40 * 4096 * share);
        busy += (tmk_time)(5 * 60 * share * (double)TMK_MS);
        tmk_gauge_take(g, t, bytes, busy);
    }
}

static void handlers_and_bytes_count_together(void) {
    tmk_gauge g = {0};

    tmk_gauge_take(&g, 0, 1000, 7);
    CHECK_EQ(0, tmk_gauge_load(&g)); /* nothing is known yet */
    tmk_gauge_take(&g, 10 * TMK_SEC, 1000 + 10 * 40 * 4096, 7 + 10 * 60 * TMK_MS);
    CHECK_EQ(100, tmk_gauge_load(&g));
}

/* A minute of ten times the load shows as less than seven times as much, and a moment of it hardly;
 * after four minutes it is what is measured. */
static void a_load_is_smoothed_over_a_minute(void) {
    tmk_gauge g = {0};

    feed(&g, 0, 600 * TMK_SEC, 1);
    CHECK_EQ(100, tmk_gauge_load(&g));
    feed(&g, 600 * TMK_SEC, 605 * TMK_SEC, 10);
    CHECK(tmk_gauge_load(&g) < 180);
    feed(&g, 605 * TMK_SEC, 660 * TMK_SEC, 10);
    CHECK(tmk_gauge_load(&g) > 600 && tmk_gauge_load(&g) < 700);
    feed(&g, 660 * TMK_SEC, 900 * TMK_SEC, 10);
    CHECK(tmk_gauge_load(&g) > 980 && tmk_gauge_load(&g) <= 1000);
}

/* Counters that went back are those of another life; a clock that stands still divides by nothing.
 */
static void a_gauge_begins_anew_with_its_counters(void) {
    tmk_gauge g = {0};

    tmk_gauge_take(&g, TMK_SEC, 1 << 20, TMK_SEC);
    tmk_gauge_take(&g, 2 * TMK_SEC, 2 << 20, 2 * TMK_SEC);
    CHECK_EQ(1256, tmk_gauge_load(&g));
    tmk_gauge_take(&g, 2 * TMK_SEC, 3 << 20, 3 * TMK_SEC);
    CHECK_EQ(1256, tmk_gauge_load(&g));
    tmk_gauge_take(&g, 3 * TMK_SEC, 0, 0);
    CHECK_EQ(0, tmk_gauge_load(&g));
    CHECK_EQ(3 * TMK_SEC, g.from);
    tmk_gauge_take(&g, 3 * TMK_SEC + 1, UINT64_MAX, TMK_NEVER);
    CHECK_EQ(TMK_LOAD_MAX, tmk_gauge_load(&g));
}

/* ---- telling ---- */

static void a_load_is_told_to_within_a_hundredth(void) {
    for (uint64_t load = 0; load <= TMK_LOAD_MAX; load += load / 1000 + 1) {
        uint32_t told = tmk_load_rounded((uint32_t)load);

        CHECK(told <= load && (load - told) * 100 <= load);
        CHECK_EQ(told, tmk_load_rounded(told));
    }
    CHECK_EQ(TMK_LOAD_MAX, tmk_load_rounded(UINT32_MAX));
}

static void check_table(const uint32_t *loads, size_t count) {
    char text[TMK_LOADS_ROOM];
    uint32_t back[MANY];

    CHECK(tmk_loads_write(loads, count, text));
    CHECK(strlen(text) < TMK_LOADS_ROOM);
    CHECK(tmk_loads_read(tmk_slice_str(text), back, count));
    for (size_t p = 0; p < count; p++) {
        CHECK_EQ(loads[p] == TMK_LOAD_NONE ? TMK_LOAD_NONE : tmk_load_rounded(loads[p]), back[p]);
    }
    CHECK(!tmk_loads_read(tmk_slice_str(text), back, count + 1));
}

/* Whatever the pattern of what is ours, a thousand partitions have room. */
static void tables_come_back_as_they_were_told(void) {
    uint32_t loads[MANY];
    tmk_rng rng;

    tmk_rng_seed(&rng, 7);
    for (size_t every = 1; every < 12; every++) {
        for (size_t p = 0; p < 1000; p++) {
            loads[p] = p % every == 0 ? (uint32_t)tmk_rng_below(&rng, TMK_LOAD_MAX) : TMK_LOAD_NONE;
        }
        check_table(loads, 1000);
    }
    for (int n = 0; n < 500; n++) {
        double ours = tmk_rng_unit(&rng);
        size_t count = tmk_rng_below(&rng, 1000) + 1;

        for (size_t p = 0; p < count; p++) {
            loads[p] =
                tmk_rng_chance(&rng, ours) ? (uint32_t)tmk_rng_below(&rng, 5000) : TMK_LOAD_NONE;
        }
        check_table(loads, count);
    }
}

static void a_table_without_room_is_not_told(void) {
    static uint32_t loads[4 * MANY];
    char text[TMK_LOADS_ROOM];

    CHECK(!tmk_loads_write(loads, 4 * MANY, text));
}

static void what_is_no_table_is_refused(void) {
    static const char *const bad[] = {"",
                                      "4",
                                      ":",
                                      "x:",
                                      "5:0-AA",
                                      "4:4-AA",
                                      "4:0-AAAAAAAAAA",
                                      "4:0-A",
                                      "4:0-",
                                      "4:-AA",
                                      "4:0-AA,",
                                      "4:0-AA,0-BB",
                                      "4:0-!!",
                                      "4:0-zz..",
                                      "4:0-..",
                                      "4:99999999999999999999-AA",
                                      "4:18446744073709551615-AA",
                                      "4:0-A-",
                                      "4:0-AA;1-AA"};
    uint32_t loads[4];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (tmk_loads_read(tmk_slice_str(bad[i]), loads, 4)) {
            fail_msg("'%s' is taken for a table", bad[i]);
        }
    }
    CHECK(tmk_loads_read(tmk_slice_str("4:"), loads, 4));
    CHECK_EQ(TMK_LOAD_NONE, loads[0]);
    CHECK(tmk_loads_read(tmk_slice_str("4:0-AB--AC,3-BD"), loads, 4));
    CHECK_EQ(1, loads[0]);
    CHECK_EQ(TMK_LOAD_NONE, loads[1]);
    CHECK_EQ(2, loads[2]);
    CHECK_EQ(67, loads[3]);
}

static void a_record_with_a_table_is_read_also_by_older_instances(void) {
    char loads[TMK_LOADS_ROOM], body[TMK_MEMBER_TEXT_ROOM];
    uint32_t own[MANY];
    tmk_member_text text = {.state = TMK_FLEET_MEMBER,
                            .weight = 100,
                            .view = 7,
                            .weighted = true,
                            .pair = UINT64_MAX,
                            .loads = loads},
                    back;

    for (size_t p = 0; p < MANY; p++) {
        own[p] = (uint32_t)p * 1000;
    }
    CHECK(tmk_loads_write(own, MANY, loads));
    memset(text.host, 'h', TMK_FLEET_NAME_MAX);
    tmk_member_text_write(&text, body);
    CHECK(strlen(body) <= TMK_STORE_BODY_MAX);
    tmk_member_text_read(body, &back);
    CHECK(back.state == TMK_FLEET_MEMBER && back.weighted && back.loads == NULL);
    CHECK(back.view == 7 && back.pair == UINT64_MAX);
    CHECK(tmk_slice_eq(tmk_member_text_loads(body), tmk_slice_str(loads)));
    CHECK_EQ(0, strncmp(body, "tidemark=1 state=member weight=100 most=0 load=0 view=", 54));

    text.weighted = false; /* and where nobody asks the text is what it always was */
    tmk_member_text_write(&text, body);
    CHECK(strstr(body, "weighted") == NULL && strstr(body, "loads") == NULL);
    tmk_member_text_read(body, &back);
    CHECK(!back.weighted && tmk_member_text_loads(body).bytes == NULL);
    tmk_member_text_read("state=member weighted=yes pair=zz loads", &back);
    CHECK(!back.weighted && back.pair == 0);
}

/* ---- levelling ---- */

static size_t moves[TMK_WEIGH_MOVES_MAX];

/* Of two members alone, all partitions of the giver; the receiver has `other`. */
static size_t level(const uint32_t *loads, size_t count, uint64_t other, uint32_t most) {
    static const int32_t tellers[MANY];
    tmk_weigh_pair pair = {.giver = 0, .receiver = 1, .receiver_load = other, .moves_most = most};

    for (size_t p = 0; p < count; p++) {
        pair.giver_load += loads[p];
    }
    pair.mean = (pair.giver_load + other) / 2;
    return tmk_weigh_round(&pair, tellers, loads, count, moves);
}

static void the_heaviest_that_helps_moves_first(void) {
    CHECK_EQ(1, level((uint32_t[]){500, 500, 1}, 3, 0, 4));
    CHECK_EQ(0, moves[0]);
    CHECK_EQ(3,
             level((uint32_t[]){100, 900, 100, 300}, 4, 400, 4)); /* 1400 and 400: level at 900 */
    CHECK_EQ(3, moves[0]);
    CHECK_EQ(0, moves[1]);
    CHECK_EQ(2, moves[2]);
    CHECK_EQ(1, level((uint32_t[]){900, 10, 10, 400}, 4, 400, 4)); /* and the crumbs stay */
    CHECK_EQ(3, moves[0]);
}

static void a_round_moves_no_more_than_it_may(void) {
    uint32_t loads[64];

    for (size_t p = 0; p < 64; p++) {
        loads[p] = 100;
    }
    CHECK_EQ(4, level(loads, 64, 0, 4));
    CHECK_EQ(1, level((uint32_t[]){400, 400, 400, 400}, 4, 0, 1));
    CHECK_EQ(0, level(loads, 64, 0, 0));
}

static void little_is_not_worth_a_move(void) {
    CHECK_EQ(0, level((uint32_t[]){500, 500, 140}, 3, 1000, 4)); /* 70 of 1070 could be won */
    CHECK_EQ(1, level((uint32_t[]){500, 500, 170}, 3, 800, 4));
    CHECK_EQ(0, level((uint32_t[]){9, 9, 9, 9}, 4, 0, 4)); /* nor an idle fleet any */
    CHECK_EQ(0, level((uint32_t[]){5000}, 1, 0, 4));       /* it would only change places */
    CHECK_EQ(0, level((uint32_t[]){100, 100}, 2, 5000, 4));
    CHECK_EQ(0, level((uint32_t[]){0, 0, 0}, 3, 0, 4));
}

/* Nothing that a round has moved moves back in the next one, by the same loads. */
static void rounds_come_to_an_end(void) {
    tmk_rng rng;

    tmk_rng_seed(&rng, 3);
    for (int life = 0; life < 2000; life++) {
        enum { COUNT = 24 };
        uint32_t loads[COUNT];
        int32_t tellers[COUNT];
        uint64_t sums[2] = {0};
        size_t count = 1, rounds = 0;
        bool moved[COUNT] = {false};

        for (size_t p = 0; p < COUNT; p++) {
            loads[p] = (uint32_t)(2000 / (1 + tmk_rng_below(&rng, 40)));
            tellers[p] = (int32_t)tmk_rng_below(&rng, 2);
            sums[tellers[p]] += loads[p];
        }
        for (; count > 0; rounds++) {
            int32_t giver = sums[0] >= sums[1] ? 0 : 1;
            tmk_weigh_pair pair = {.giver = giver,
                                   .receiver = 1 - giver,
                                   .giver_load = sums[giver],
                                   .receiver_load = sums[1 - giver],
                                   .mean = (sums[0] + sums[1]) / 2,
                                   .moves_most = 4};

            CHECK(rounds < 8);
            count = tmk_weigh_round(&pair, tellers, loads, COUNT, moves);
            for (size_t i = 0; i < count; i++) {
                CHECK(tellers[moves[i]] == giver && !moved[moves[i]]);
                moved[moves[i]] = true;
                tellers[moves[i]] = 1 - giver;
                sums[giver] -= loads[moves[i]];
                sums[1 - giver] += loads[moves[i]];
            }
        }
    }
}

int main(void) {
    return RUN(TEST(handlers_and_bytes_count_together), TEST(a_load_is_smoothed_over_a_minute),
               TEST(a_gauge_begins_anew_with_its_counters),
               TEST(a_load_is_told_to_within_a_hundredth), TEST(tables_come_back_as_they_were_told),
               TEST(a_table_without_room_is_not_told), TEST(what_is_no_table_is_refused),
               TEST(a_record_with_a_table_is_read_also_by_older_instances),
               TEST(the_heaviest_that_helps_moves_first), TEST(a_round_moves_no_more_than_it_may),
               TEST(little_is_not_worth_a_move), TEST(rounds_come_to_an_end));
}
