/* Start positions as people write them. */
#include <tidemark/start.h>

#include "base/slice.h"
#include "support/check.h"

static tmk_start parsed(const char *text) {
    tmk_start s = {0};
    tmk_error err = {0};

    if (tmk_start_parse(text, &s, &err) != TMK_OK) {
        fail_msg("'%s' was refused: %s", text, err.text);
    }
    return s;
}

static void each_kind_is_understood(void) {
    CHECK_EQ(TMK_START_EARLIEST, parsed("earliest").kind);
    CHECK_EQ(TMK_START_LATEST, parsed(" latest ").kind);
    CHECK_EQ(TMK_START_SEQUENCE, parsed("sequence:42").kind);
    CHECK_EQ(42, parsed("sequence:42").sequence);
    CHECK(parsed("sequence:0").inclusive);
    CHECK_STR("a:b", parsed("offset:a:b").offset);
    CHECK_EQ(TMK_START_TIME, parsed("time:1700000000000").kind);
    CHECK_EQ(INT64_C(1700000000000), parsed("time:1700000000000").unix_ms);
    CHECK_EQ(INT64_C(1700000000000), parsed("time:2023-11-14T22:13:20Z").unix_ms);
}

static void an_age_counts_back_from_now(void) {
    int64_t hour = parsed("time:1h").unix_ms, second = parsed("time:1s").unix_ms;

    CHECK(second - hour > 3590000 && second - hour < 3610000);
}

static void anything_else_is_refused_and_changes_nothing(void) {
    static const char *const bad[] = {
        "",        "first",  "earliest:1", "sequence",  "sequence:", "sequence:-1", "sequence:x",
        "offset:", "offset", "time:",      "time:noon", "time:5",    "latest:"};
    tmk_start s = {.kind = TMK_START_TIME, .unix_ms = 7};
    tmk_error err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (strcmp(bad[i], "time:5") == 0) {
            continue; /* five milliseconds after 1970: a time like any other */
        }
        CHECK_EQ(TMK_EINVAL, tmk_start_parse(bad[i], &s, &err));
        CHECK(err.text[0] != '\0');
    }
    CHECK_EQ(TMK_EINVAL, tmk_start_parse(NULL, &s, &err));
    CHECK_EQ(7, s.unix_ms);
}

/* The offset stands between quotes in a filter that has no escapes. */
static void an_offset_that_could_leave_its_quotes_is_refused(void) {
    static const char *const bad[] = {"1' OR '1", "a\nb", "\x7f", "\xff"};
    char long_text[200];
    tmk_start s;
    tmk_error err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(TMK_EINVAL, tmk_start_offset(tmk_slice_str(bad[i]), true, &s, &err));
    }
    memset(long_text, '1', sizeof long_text);
    CHECK_EQ(TMK_EINVAL, tmk_start_offset(tmk_slice_of(long_text, 128), true, &s, &err));
    CHECK_EQ(TMK_OK, tmk_start_offset(tmk_slice_of(long_text, 127), true, &s, &err));
    CHECK_EQ(127, strlen(s.offset));
}

int main(void) {
    return RUN(TEST(each_kind_is_understood), TEST(an_age_counts_back_from_now),
               TEST(anything_else_is_refused_and_changes_nothing),
               TEST(an_offset_that_could_leave_its_quotes_is_refused));
}
