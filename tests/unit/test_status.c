/* Errors carry words for people, and never a line break. */
#include "base/status.h"

#include "support/check.h"

#include <errno.h>

static void a_failure_says_who_and_what(void) {
    tmk_error err;

    CHECK_EQ(TMK_EAUTH,
             tmk_fail(&err, TMK_EAUTH, "amqp:unauthorized-access", "no %s\nclaim", "Listen"));
    CHECK_EQ(TMK_EAUTH, err.status);
    CHECK_STR("amqp:unauthorized-access", err.origin);
    CHECK_STR("no Listen claim", err.text);
    CHECK(!err.retryable);
}

static void a_long_text_is_cut_not_overrun(void) {
    tmk_error err;
    char text[1000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)tmk_fail_retry(&err, TMK_EIO, text, "%s", text);
    CHECK_EQ(sizeof err.text - 1, strlen(err.text));
    CHECK_EQ(sizeof err.origin - 1, strlen(err.origin));
    CHECK(err.retryable);
}

static void a_text_is_one_line(void) {
    tmk_error err;

    (void)tmk_fail(&err, TMK_EIO, "x", "a\nb\rc\r\nd");
    CHECK_STR("a b c  d", err.text);
    tmk_error_clear(&err);
    CHECK_EQ(TMK_OK, err.status);
    tmk_error_clear(NULL);
}

static void a_status_of_a_later_version_has_words_too(void) {
    CHECK_STR("?", tmk_status_name((tmk_status)-12345));
    CHECK_STR("unknown status", tmk_status_text((tmk_status)-12345));
}

static void no_error_struct_is_fine(void) {
    CHECK_EQ(TMK_ENOMEM, tmk_fail_errno(NULL, ENOMEM, "open", "x"));
}

static void every_status_has_a_name(void) {
    CHECK_STR("CONFLICT", tmk_status_name(TMK_CONFLICT));
    CHECK_STR("?", tmk_status_name((tmk_status)77));
}

int main(void) {
    return RUN(TEST(a_failure_says_who_and_what), TEST(a_long_text_is_cut_not_overrun),
               TEST(no_error_struct_is_fine), TEST(a_text_is_one_line),
               TEST(a_status_of_a_later_version_has_words_too), TEST(every_status_has_a_name));
}
