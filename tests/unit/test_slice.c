/* Views of bytes, with empty, hostile and overlong ones. */
#include "base/slice.h"

#include "base/alloc.h"
#include "support/check.h"
#include "support/failing_alloc.h"

static const tmk_slice nothing = {NULL, 0};

static void equality_knows_empty_and_case(void) {
    CHECK(tmk_slice_eq(nothing, TMK_LIT("")));
    CHECK(!tmk_slice_eq(nothing, TMK_LIT("a")));
    CHECK(tmk_slice_eq_nocase(TMK_LIT("ETag-1"), TMK_LIT("etAG-1")));
    CHECK(!tmk_slice_eq_nocase(TMK_LIT("@"), TMK_LIT("`"))); /* differ by the case bit only */
    CHECK(!tmk_slice_eq_nocase(TMK_LIT("abc"), TMK_LIT("abcd")));
}

static void starts_and_ends(void) {
    CHECK(tmk_slice_starts(TMK_LIT("abc"), TMK_LIT("ab")));
    CHECK(tmk_slice_starts(TMK_LIT("abc"), nothing));
    CHECK(!tmk_slice_starts(TMK_LIT("a"), TMK_LIT("ab")));
    CHECK(tmk_slice_ends(TMK_LIT("abc"), TMK_LIT("bc")));
    CHECK(tmk_slice_ends(nothing, nothing));
    CHECK(!tmk_slice_ends(TMK_LIT("abc"), TMK_LIT("ab")));
}

static void trims_blanks_on_both_sides(void) {
    CHECK_SLICE("a b", tmk_slice_trim(TMK_LIT(" \t\r\n a b\n ")));
    CHECK_SLICE("", tmk_slice_trim(TMK_LIT(" \t ")));
    CHECK_EQ(0, tmk_slice_trim(nothing).size);
}

static void an_offset_past_the_end_is_empty(void) {
    CHECK_SLICE("", tmk_slice_from(TMK_LIT("ab"), 9));
    CHECK_SLICE("b", tmk_slice_from(TMK_LIT("ab"), 1));
    CHECK_EQ(0, tmk_slice_from(nothing, 1).size);
}

static void cutting_walks_all_parts(void) {
    tmk_slice rest = TMK_LIT("a;;b;");
    bool found = false;

    CHECK_SLICE("a", tmk_slice_cut(&rest, ';', &found));
    CHECK(found);
    CHECK_SLICE("", tmk_slice_cut(&rest, ';', NULL));
    CHECK_SLICE("b", tmk_slice_cut(&rest, ';', &found));
    CHECK(found);
    CHECK_SLICE("", tmk_slice_cut(&rest, ';', &found));
    CHECK(!found);
    rest = nothing;
    CHECK_EQ(0, tmk_slice_cut(&rest, ';', &found).size);
    CHECK(!found);
}

static void numbers_up_to_their_limits(void) {
    int64_t i = 7;
    uint64_t u = 7;

    CHECK(tmk_slice_int64(TMK_LIT("-9223372036854775808"), &i));
    CHECK_EQ(INT64_MIN, i);
    CHECK(tmk_slice_int64(TMK_LIT("9223372036854775807"), &i));
    CHECK_EQ(INT64_MAX, i);
    CHECK(tmk_slice_int64(TMK_LIT("+5"), &i));
    CHECK_EQ(5, i);
    CHECK(tmk_slice_int64(TMK_LIT("-0"), &i));
    CHECK_EQ(0, i);
    CHECK(tmk_slice_uint64(TMK_LIT("18446744073709551615"), &u));
    CHECK(u == UINT64_MAX);
}

static void what_is_no_number_leaves_the_output_alone(void) {
    static const char *const bad[] = {"",
                                      "-",
                                      "+",
                                      "--1",
                                      "-+1",
                                      "+-1",
                                      "1 ",
                                      " 1",
                                      "0x1",
                                      "1e3",
                                      "1,",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999999"};
    int64_t i = 7;
    uint64_t u = 7;

    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK(!tmk_slice_int64(tmk_slice_str(bad[n]), &i));
    }
    CHECK(!tmk_slice_uint64(TMK_LIT("-1"), &u));
    CHECK(!tmk_slice_uint64(TMK_LIT("18446744073709551616"), &u));
    CHECK(!tmk_slice_int64(TMK_LIT("1\0"), &i));
    CHECK_EQ(7, i);
    CHECK_EQ(7, u);
}

static void a_copy_ends_with_nul(void) {
    char *copy = tmk_slice_dup(tmk_slice_of("abcdef", 3));

    CHECK_STR("abc", copy);
    tmk_free(copy);
    copy = tmk_slice_dup(nothing);
    CHECK_STR("", copy);
    tmk_free(copy);
    failing_after(FAILING_ONCE, 0);
    CHECK(tmk_slice_dup(TMK_LIT("a")) == NULL);
    failing_end();
}

static void a_size_that_leaves_no_room_for_the_nul_is_refused(void) {
    CHECK(tmk_slice_dup(tmk_slice_of("", SIZE_MAX)) == NULL);
}

static void utf8_is_judged_strictly(void) {
    static const char *const good[] = {"",
                                       "plain",
                                       "\xc3\xa4",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x8c\x8a",
                                       "\xed\x9f\xbf",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xef\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xe0\x80\x80",
                                      "\xed\xa0\x80", /* a surrogate */
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "a\xe2\x82",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xe2\x82\xe2"};

    for (size_t n = 0; n < sizeof good / sizeof good[0]; n++) {
        CHECK(tmk_slice_is_utf8(tmk_slice_str(good[n])));
    }
    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK(!tmk_slice_is_utf8(tmk_slice_str(bad[n])));
    }
    CHECK(tmk_slice_is_utf8(nothing));
    CHECK_EQ(0, tmk_utf8_size(nothing));
}

int main(void) {
    return RUN(TEST(equality_knows_empty_and_case), TEST(starts_and_ends),
               TEST(trims_blanks_on_both_sides), TEST(an_offset_past_the_end_is_empty),
               TEST(cutting_walks_all_parts), TEST(numbers_up_to_their_limits),
               TEST(what_is_no_number_leaves_the_output_alone), TEST(a_copy_ends_with_nul),
               TEST(a_size_that_leaves_no_room_for_the_nul_is_refused),
               TEST(utf8_is_judged_strictly));
}
