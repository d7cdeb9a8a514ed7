/* Times, durations and sizes, as people and services write them. */
#include "base/time.h"

#include "base/status.h"
#include "support/check.h"

static void the_sum_of_times_stops_at_never(void) {
    CHECK_EQ(30, tmk_time_after(10, 20));
    CHECK_EQ(TMK_NEVER, tmk_time_after(TMK_NEVER, -5));
    CHECK_EQ(TMK_NEVER, tmk_time_after(5, TMK_NEVER));
    CHECK_EQ(TMK_NEVER, tmk_time_after(TMK_NEVER - 5, 6));
    CHECK_EQ(INT64_MIN, tmk_time_after(INT64_MIN + 1, -5));
    CHECK_EQ(5, tmk_time_after(10, -5));
}

static void the_system_clock_moves_forward(void) {
    tmk_clock c = tmk_clock_system();
    tmk_time a = tmk_now(&c);

    CHECK(a > 0 && tmk_now(&c) >= a);
    CHECK(tmk_wall_now(&c).us > INT64_C(1600000000000000));
}

static void durations_have_units(void) {
    static const struct {
        const char *text;
        tmk_time expected;
    } rows[] = {{"250ms", 250 * TMK_MS},
                {"10s", 10 * TMK_SEC},
                {"5m", 5 * TMK_MIN},
                {"2h", 120 * TMK_MIN},
                {"7d", 7 * 1440 * TMK_MIN},
                {"1.5s", 1500 * TMK_MS},
                {"0s", 0},
                {"0.25ms", 250 * TMK_US},
                {"1.0000000001s", TMK_SEC},
                {"0.5d", 720 * TMK_MIN},
                {"9223372036s", 9223372036 * TMK_SEC}};

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        tmk_time out = -1;

        CHECK_EQ(TMK_OK, tmk_duration_parse(tmk_slice_str(rows[n].text), &out, NULL));
        CHECK_EQ(rows[n].expected, out);
    }
}

static void bad_durations_are_refused_with_an_example(void) {
    static const char *const bad[] = {"",
                                      "10",
                                      "s",
                                      "-5s",
                                      "1.s",
                                      ".5s",
                                      "5 s",
                                      "5S",
                                      "1sm",
                                      "1e3s",
                                      "5s\n",
                                      "9223372037s",
                                      "99999999999999999999d"};
    tmk_time out = 7;
    tmk_error err;

    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK_EQ(TMK_EINVAL, tmk_duration_parse(tmk_slice_str(bad[n]), &out, &err));
        CHECK(err.text[0] != '\0');
    }
    CHECK_EQ(7, out);
    CHECK_EQ(TMK_EINVAL, tmk_duration_parse(TMK_LIT("10"), &out, &err));
    CHECK_STR("'10' is no duration; write it as 250ms, 10s, 5m, 2h or 7d", err.text);
}

static void sizes_in_both_kinds_of_units(void) {
    static const struct {
        const char *text;
        uint64_t expected;
    } rows[] = {
        {"512", 512},      {"0", 0},  {"64KiB", 65536}, {"10MB", 10000000},
        {"1GiB", 1 << 30}, {"5B", 5}, {"1kb", 1000},    {"16777215TiB", UINT64_C(16777215) << 40}};
    static const char *const bad[] = {"",     "KiB", "-1",          "1.5MB",
                                      "1 MB", "1K",  "16777216TiB", "18446744073709551616"};
    uint64_t out = 7;

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        CHECK_EQ(TMK_OK, tmk_size_parse(tmk_slice_str(rows[n].text), &out, NULL));
        CHECK(rows[n].expected == out);
    }
    out = 7;
    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK_EQ(TMK_EINVAL, tmk_size_parse(tmk_slice_str(bad[n]), &out, NULL));
    }
    CHECK_EQ(7, out);
}

static void iso_times_with_every_zone_and_fraction(void) {
    static const struct {
        const char *text;
        int64_t us;
    } rows[] = {{"1970-01-01T00:00:00Z", 0},
                {"1970-01-01T00:00:00.000001Z", 1},
                {"1970-01-01T00:00:00.1234567890123Z", 123456},
                {"2026-11-20T21:15:39.123Z", INT64_C(1795209339123000)},
                {"2026-11-20T22:15:39+01:00", INT64_C(1795209339000000)},
                {"2026-11-20T16:45:39-0430", INT64_C(1795209339000000)},
                {"2026-11-20T20:15:39-01", INT64_C(1795209339000000)},
                {"2024-02-29t12:00:00z", INT64_C(1709208000000000)},
                {"2016-12-31T23:59:60Z", INT64_C(1483228800000000)}, /* a leap second */
                {"1969-12-31T23:59:59Z", -1000000},
                {"0001-01-01T00:00:00Z", INT64_C(-62135596800000000)},
                {"9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999)}};

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        tmk_wall out = {7};

        CHECK_EQ(TMK_OK, tmk_iso_parse(tmk_slice_str(rows[n].text), &out, NULL));
        CHECK_EQ(rows[n].us, out.us);
    }
}

static void bad_iso_times_are_refused(void) {
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-11-20",
                                      "2026-11-20T21:15Z",
                                      "2026-11-20T21:15:39",
                                      "2026-11-20 21:15:39Z",
                                      "2026-02-29T00:00:00Z",
                                      "2026-00-10T00:00:00Z",
                                      "2026-13-10T00:00:00Z",
                                      "2026-01-00T00:00:00Z",
                                      "2026-04-31T00:00:00Z",
                                      "2026-01-01T24:00:00Z",
                                      "2026-01-01T00:60:00Z",
                                      "2026-01-01T00:00:61Z",
                                      "2026-01-01T00:00:00.Z",
                                      "2026-01-01T00:00:00+1",
                                      "2026-01-01T00:00:00+24:00",
                                      "2026-01-01T00:00:00+01:60",
                                      "2026-01-01T00:00:00ZZ",
                                      "+026-01-01T00:00:00Z",
                                      "-026-01-01T00:00:00Z",
                                      "0000-01-01T00:00:00Z",
                                      "2026-1-01T00:00:00Z",
                                      "1900-02-29T00:00:00Z"};
    tmk_wall out = {7};

    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK_EQ(TMK_EINVAL, tmk_iso_parse(tmk_slice_str(bad[n]), &out, NULL));
    }
    CHECK_EQ(7, out.us);
}

static void http_dates_both_ways(void) {
    static const char *const bad[] = {"",
                                      "Fri, 20 Nov 2026 21:00:00",
                                      "Fri, 20 Nov 2026 21:00:00 CET",
                                      "Fry, 20 Nov 2026 21:00:00 GMT",
                                      "Fri, 20 Now 2026 21:00:00 GMT",
                                      "Fri, 31 Nov 2026 21:00:00 GMT",
                                      "Fri,20 Nov 2026 21:00:00 GMT",
                                      "Friday, 20-Nov-26 21:00:00 GMT",
                                      "Fri, 20 Nov 2026 21:00:00 GMTx"};
    tmk_wall wall = {7};
    char text[32];

    CHECK_EQ(TMK_OK, tmk_http_date_parse(TMK_LIT("Fri, 20 Nov 2026 21:00:00 GMT"), &wall, NULL));
    CHECK_EQ(INT64_C(1795208400000000), wall.us);
    tmk_http_date_format(wall, text);
    CHECK_STR("Fri, 20 Nov 2026 21:00:00 GMT", text);
    tmk_http_date_format((tmk_wall){-1}, text);
    CHECK_STR("Wed, 31 Dec 1969 23:59:59 GMT", text);
    tmk_http_date_format((tmk_wall){INT64_MAX}, text); /* must fit all the same */
    CHECK(strlen(text) < sizeof text);
    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK_EQ(TMK_EPROTO, tmk_http_date_parse(tmk_slice_str(bad[n]), &wall, NULL));
    }
    CHECK_EQ(INT64_C(1795208400000000), wall.us);
}

int main(void) {
    return RUN(TEST(the_sum_of_times_stops_at_never), TEST(the_system_clock_moves_forward),
               TEST(durations_have_units), TEST(bad_durations_are_refused_with_an_example),
               TEST(sizes_in_both_kinds_of_units), TEST(iso_times_with_every_zone_and_fraction),
               TEST(bad_iso_times_are_refused), TEST(http_dates_both_ways));
}
