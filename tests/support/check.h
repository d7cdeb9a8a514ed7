/*
 * Checks for unit tests, on top of cmocka: they say both values.
 *
 *   static void a_sentence_that_must_hold(void) { CHECK_EQ(4, 2 + 2); }
 *   int main(void) { return RUN(TEST(a_sentence_that_must_hold)); }
 *
 * Prints TAP, so that meson counts each test.
 */
#ifndef TMK_TESTS_CHECK_H
#define TMK_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            fail_msg("%s:%d: %s does not hold", __FILE__, __LINE__, #condition); \
        }                                                                        \
    } while (0)

#define CHECK_EQ(expected, actual)                                                                \
    do {                                                                                          \
        int64_t expected_ = (int64_t)(expected), actual_ = (int64_t)(actual);                     \
        if (expected_ != actual_) {                                                               \
            fail_msg("%s:%d: %s: expected %" PRId64 ", is %" PRId64, __FILE__, __LINE__, #actual, \
                     expected_, actual_);                                                         \
        }                                                                                         \
    } while (0)

#define CHECK_STR(expected, actual)                                                               \
    do {                                                                                          \
        const char *expected_ = (expected), *actual_ = (actual);                                  \
        if (actual_ == NULL || strcmp(expected_, actual_) != 0) {                                 \
            fail_msg("%s:%d: %s: expected '%s', is '%s'", __FILE__, __LINE__, #actual, expected_, \
                     actual_ == NULL ? "(null)" : actual_);                                       \
        }                                                                                         \
    } while (0)

#define CHECK_SLICE(expected, actual)                                                    \
    do {                                                                                 \
        const char *expected_ = (expected);                                              \
        tmk_slice actual_ = (actual);                                                    \
        if (actual_.size != strlen(expected_) ||                                         \
            (actual_.size > 0 && memcmp(expected_, actual_.bytes, actual_.size) != 0)) { \
            fail_msg("%s:%d: %s: expected '%s', is '%.*s'", __FILE__, __LINE__, #actual, \
                     expected_, (int)actual_.size, (const char *)actual_.bytes);         \
        }                                                                                \
    } while (0)

#define TEST(function) \
    { #function, check_run_, NULL, NULL, (void *)(uintptr_t)(function) }

__attribute__((unused)) static void check_run_(void **state) {
    ((void (*)(void))(uintptr_t)*state)();
}

#define RUN(...)                                              \
    (cmocka_set_message_output(CM_OUTPUT_TAP),                \
     check_run_all_((const struct CMUnitTest[]){__VA_ARGS__}, \
                    sizeof((const struct CMUnitTest[]){__VA_ARGS__}) / sizeof(struct CMUnitTest)))

__attribute__((unused)) static int check_run_all_(const struct CMUnitTest *tests, size_t count) {
    return _cmocka_run_group_tests("tidemark", tests, count, NULL, NULL);
}

#endif
