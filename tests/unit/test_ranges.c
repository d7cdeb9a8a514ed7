/* Sets of numbers against a bitmap, and at the ends of int64. */
#include "base/ranges.h"

#include "base/rng.h"
#include "support/check.h"
#include "support/failing_alloc.h"

static void neighbours_are_joined(void) {
    tmk_ranges r = {0};

    CHECK_EQ(TMK_OK, tmk_ranges_add(&r, 1, 3));
    CHECK_EQ(TMK_OK, tmk_ranges_add(&r, 5, 7));
    CHECK_EQ(2, r.count);
    CHECK_EQ(TMK_OK, tmk_ranges_add(&r, 4, 4));
    CHECK_EQ(1, r.count);
    CHECK_EQ(1, r.items[0].from);
    CHECK_EQ(7, r.items[0].to);
    CHECK_EQ(8, tmk_ranges_gap(&r, 1));
    CHECK_EQ(0, tmk_ranges_gap(&r, 0));
    CHECK_EQ(TMK_EINVAL, tmk_ranges_add(&r, 2, 1));
    tmk_ranges_clear(&r);
}

static void the_ends_of_the_numbers_do_not_wrap(void) {
    tmk_ranges r = {0};

    CHECK_EQ(TMK_OK, tmk_ranges_add(&r, INT64_MAX, INT64_MAX));
    CHECK_EQ(TMK_OK, tmk_ranges_add(&r, INT64_MIN, INT64_MIN));
    CHECK_EQ(2, r.count);
    CHECK_EQ(INT64_MAX, tmk_ranges_gap(&r, INT64_MAX));
    CHECK_EQ(INT64_MIN + 1, tmk_ranges_gap(&r, INT64_MIN));
    CHECK(tmk_ranges_has(&r, INT64_MAX) && tmk_ranges_has(&r, INT64_MIN) && !tmk_ranges_has(&r, 0));
    CHECK_EQ(TMK_OK, tmk_ranges_add(&r, INT64_MIN, INT64_MAX));
    CHECK_EQ(1, r.count);
    tmk_ranges_cut_below(&r, INT64_MAX);
    CHECK_EQ(INT64_MAX, r.items[0].from);
    tmk_ranges_clear(&r);
}

enum { SPACE = 64 };

static void check_against(const tmk_ranges *r, const bool *bits) {
    int64_t gap = SPACE;

    for (int64_t n = SPACE - 1; n >= 0; n--) {
        gap = bits[n] ? gap : n;
        CHECK_EQ(bits[n], tmk_ranges_has(r, n));
        CHECK_EQ(gap, tmk_ranges_gap(r, n));
    }
    for (size_t i = 0; i < r->count; i++) {
        CHECK(r->items[i].from <= r->items[i].to);
        CHECK(i == 0 || r->items[i - 1].to + 1 < r->items[i].from);
    }
}

static void ranges_agree_with_a_bitmap(void) {
    tmk_rng rng;

    tmk_rng_seed(&rng, 77);
    for (int life = 0; life < 200; life++) {
        tmk_ranges r = {0};
        bool bits[SPACE] = {false};

        for (int step = 0; step < 30; step++) {
            int64_t from = tmk_rng_between(&rng, 0, SPACE - 1);
            int64_t to = tmk_rng_between(&rng, from, from + 4 < SPACE ? from + 4 : SPACE - 1);

            if (tmk_rng_chance(&rng, 0.9)) {
                CHECK_EQ(TMK_OK, tmk_ranges_add(&r, from, to));
                memset(bits + from, true, (size_t)(to - from + 1));
            } else {
                tmk_ranges_cut_below(&r, from / 4);
                memset(bits, false, (size_t)(from / 4));
            }
            check_against(&r, bits);
        }
        tmk_ranges_clear(&r);
    }
}

static void a_failed_add_changes_nothing(void) {
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_ranges r = {0};
        size_t added = 0;

        for (int64_t i = 0; i < 20; i++) {
            added += tmk_ranges_add(&r, i * 2, i * 2) == TMK_OK;
        }
        CHECK_EQ(failing_hit() ? 19 : 20, added);
        CHECK_EQ(added, r.count);
        tmk_ranges_clear(&r);
        CHECK_EQ(0, failing_live());
    }
}

int main(void) {
    return RUN(TEST(neighbours_are_joined), TEST(the_ends_of_the_numbers_do_not_wrap),
               TEST(ranges_agree_with_a_bitmap), TEST(a_failed_add_changes_nothing));
}
