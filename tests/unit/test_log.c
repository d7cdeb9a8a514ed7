/* Log lines: fields as JSON, and what comes in masses is cut down and counted. */
#include "support/check.h"

#include <unistd.h>

#include "base/log_limit.h"

/* ---- fields as JSON ---- */

static void expect_json(const char *fields, const char *json) {
    tmk_str out = TMK_STR_INIT;

    tmk_log_fields_json(fields, &out);
    CHECK_STR(json, tmk_str_text(&out));
    tmk_str_clear(&out);
}

static void fields_become_members(void) {
    expect_json("", "");
    expect_json(
        "partition='3' held_ms=120 delay=-5 what=claimed member=''",
        ",\"partition\":\"3\",\"held_ms\":120,\"delay\":-5,\"what\":\"claimed\",\"member\":\"\"");
    expect_json("filter=\"a > '5'\" n=1", ",\"filter\":\"a > '5'\",\"n\":1");
}

static void quotes_inside_a_text_stay(void) {
    expect_json("text='the hub 't' is gone' code=404",
                ",\"text\":\"the hub 't' is gone\",\"code\":404");
    expect_json("text='it is \"so\" \\ fine'", ",\"text\":\"it is \\\"so\\\" \\\\ fine\"");
}

static void what_is_no_number_is_text(void) {
    expect_json("a=007 b=- c=12345678901234567890 d=0 e=1e5 f=nan",
                ",\"a\":\"007\",\"b\":\"-\",\"c\":\"12345678901234567890\",\"d\":0,\"e\":\"1e5\","
                "\"f\":\"nan\"");
}

static void broken_fields_do_no_harm(void) {
    expect_json("no field here", "");
    expect_json("a='never ends", ",\"a\":\"never ends\"");
    expect_json("a= b=2", ",\"a\":\"\",\"b\":2");
    expect_json("'= =x a=1", ",\"a\":1");
}

/* ---- lines on standard error ---- */

/* What the log writes there, up to one pipe's worth. */
static void written_by(tmk_log log, const char *text, char *out, size_t room) {
    int ends[2], kept = dup(STDERR_FILENO);
    ssize_t got;

    CHECK(kept >= 0 && pipe(ends) == 0);
    CHECK(dup2(ends[1], STDERR_FILENO) >= 0);
    tmk_warn(&log, "thing.happened", "text='%s' n=%d", text, 7);
    tmk_debug(&log, "thing.ignored", "n=%d", 1);
    CHECK(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    (void)close(ends[1]);
    got = read(ends[0], out, room - 1);
    (void)close(ends[0]);
    CHECK(got > 0);
    out[got] = '\0';
}

static void a_line_is_one_line_as_text_and_as_json(void) {
    char text[8192], *end;

    written_by(tmk_log_stderr(TMK_LOG_INFO), "a\nb\x7f", text, sizeof text);
    CHECK(strstr(text, " warn  thing.happened text='a b ' n=7\n") != NULL);
    CHECK(text[4] == '-' && strchr(text, '\n') == text + strlen(text) - 1);
    written_by(tmk_log_stderr_json(TMK_LOG_INFO), "say \"so\"", text, sizeof text);
    end = strstr(text, "\"level\":\"warn\",\"event\":\"thing.happened\",\"text\":\"say "
                       "\\\"so\\\"\",\"n\":7}\n");
    CHECK(strncmp(text, "{\"time\":\"2", 10) == 0 && end != NULL);
    CHECK(strchr(text, '\n') == text + strlen(text) - 1);
}

static void a_line_of_any_length_ends(void) {
    char long_text[9000], text[16384];

    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    written_by(tmk_log_stderr(TMK_LOG_INFO), long_text, text, sizeof text);
    CHECK(strlen(text) < sizeof long_text + 256);
    written_by(tmk_log_stderr_json(TMK_LOG_INFO), long_text, text, sizeof text);
    CHECK_STR("}\n", text + strlen(text) - 2);
}

/* ---- limits ---- */

static struct {
    uint64_t lines, suppressed;
    char last[200];
} seen;
static tmk_time now;

static void take(void *self, tmk_log_level level, const char *event, const char *fields) {
    (void)self, (void)level;
    if (strcmp(event, "log.suppressed") == 0) {
        (void)snprintf(seen.last, sizeof seen.last, "%s", fields);
        seen.suppressed++;
    } else {
        seen.lines++;
    }
}

static tmk_time tell_now(void *self) {
    (void)self;
    return now;
}

static tmk_log_limiter limiter;
static tmk_log lines_log;

static void begin(void) {
    const tmk_clock clock = {.now = tell_now};

    memset(&seen, 0, sizeof seen);
    now = TMK_SEC;
    lines_log = (tmk_log){take, NULL, TMK_LOG_DEBUG};
    CHECK_EQ(TMK_OK, tmk_log_limit(&limiter, &clock, &lines_log, NULL));
}

static void write_lines(int count) {
    for (int i = 0; i < count; i++) {
        tmk_warn(&lines_log, "a.flood", "i=%d", i);
    }
}

static void a_burst_passes_and_a_flood_is_cut(void) {
    begin();
    write_lines(TMK_LOG_BURST + 1000);
    CHECK_EQ(TMK_LOG_BURST, seen.lines);
    CHECK_EQ(0, seen.suppressed);
    tmk_warn(&lines_log, "another.event", "x=1"); /* others pass */
    CHECK_EQ(TMK_LOG_BURST + 1, seen.lines);
    now += TMK_SEC;
    write_lines(100);
    CHECK_EQ(TMK_LOG_BURST + 1 + TMK_LOG_RATE, seen.lines);
    CHECK_EQ(1, seen.suppressed);
    CHECK_STR("event='a.flood' lines=1000", seen.last);
    now += 3600 * TMK_SEC;
    write_lines(TMK_LOG_BURST + 5);
    CHECK_EQ(2 * TMK_LOG_BURST + 1 + TMK_LOG_RATE, seen.lines);
    CHECK_STR("event='a.flood' lines=80", seen.last);
    tmk_log_unlimit(&limiter);
}

static void debug_lines_are_not_cut(void) {
    begin();
    for (int i = 0; i < 1000; i++) {
        tmk_debug(&lines_log, "a.detail", "i=%d", i);
    }
    CHECK_EQ(1000, seen.lines);
    tmk_log_unlimit(&limiter);
}

static void a_slow_stream_is_not_cut(void) {
    begin();
    for (int i = 0; i < 1000; i++) {
        now += TMK_SEC / TMK_LOG_RATE;
        write_lines(1);
    }
    CHECK_EQ(1000, seen.lines);
    tmk_log_unlimit(&limiter);
}

static void a_silent_log_stays_silent(void) {
    const tmk_clock clock = {.now = tell_now};
    tmk_log silent = {NULL, NULL, TMK_LOG_DEBUG};

    memset(&limiter, 0, sizeof limiter);
    CHECK_EQ(TMK_OK, tmk_log_limit(&limiter, &clock, &silent, NULL));
    CHECK(silent.write == NULL);
    tmk_log_unlimit(&limiter);
}

int main(void) {
    return RUN(TEST(fields_become_members), TEST(quotes_inside_a_text_stay),
               TEST(what_is_no_number_is_text), TEST(broken_fields_do_no_harm),
               TEST(a_burst_passes_and_a_flood_is_cut), TEST(debug_lines_are_not_cut),
               TEST(a_slow_stream_is_not_cut), TEST(a_line_is_one_line_as_text_and_as_json),
               TEST(a_line_of_any_length_ends), TEST(a_silent_log_stays_silent));
}
