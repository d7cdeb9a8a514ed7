/*
 * Promises of our own code, checked in release builds too: after a crash
 * events are replayed, after a wrong checkpoint they are lost. Bad input is
 * never an assertion.
 */
#ifndef TMK_BASE_ASSERT_H
#define TMK_BASE_ASSERT_H

#include <tidemark/api.h>

#define tmk_assert(promise) \
    ((promise) ? (void)0 : tmk_assert_failed(#promise, __FILE__, __LINE__, __func__))

__attribute__((noreturn, cold)) void tmk_assert_failed(const char *promise, const char *file,
                                                       int line, const char *function);

#endif
