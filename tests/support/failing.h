/*
 * Runs a scenario once for every allocation in it, with that allocation
 * failing, and once with all from it on failing; each run must leave no memory
 * behind. Memory that other libraries take is not counted.
 *
 *   static bool scenario(void) { ... return st == TMK_OK; }
 *   failing_each(scenario);
 */
#ifndef TMK_TESTS_FAILING_H
#define TMK_TESTS_FAILING_H

#include <tidemark/alloc.h>

#include <limits.h>

#include "support/check.h"

static struct { long calls, fail_from, fail_to, living; } failing_;

static bool failing_now_(void) {
    long call = __atomic_add_fetch(&failing_.calls, 1, __ATOMIC_SEQ_CST);

    return call >= failing_.fail_from && call <= failing_.fail_to;
}

static void *failing_alloc_(void *self, size_t size) {
    void *made = failing_now_() ? NULL : malloc(size);

    (void)self;
    __atomic_add_fetch(&failing_.living, made != NULL, __ATOMIC_SEQ_CST);
    return made;
}

static void *failing_resize_(void *self, void *old, size_t size) {
    void *made = failing_now_() ? NULL : realloc(old, size);

    (void)self;
    __atomic_add_fetch(&failing_.living, old == NULL && made != NULL, __ATOMIC_SEQ_CST);
    return made;
}

static void failing_release_(void *self, void *old) {
    (void)self;
    __atomic_sub_fetch(&failing_.living, 1, __ATOMIC_SEQ_CST);
    free(old);
}

/* One run with the allocations from..to failing (counted from 1); whether the scenario succeeded.
 */
static bool failing_run(bool (*scenario)(void), long from, long to) {
    static const tmk_allocator allocator = {failing_alloc_, failing_resize_, failing_release_,
                                            NULL};
    bool good;

    failing_.calls = failing_.living = 0;
    failing_.fail_from = from;
    failing_.fail_to = to;
    tmk_allocator_set(&allocator);
    good = scenario();
    tmk_allocator_set(NULL);
    CHECK_EQ(0, failing_.living);
    return good;
}

static void failing_each(bool (*scenario)(void)) {
    long count;

    CHECK(failing_run(scenario, LONG_MAX, LONG_MAX));
    count = failing_.calls;
    CHECK(count > 0);
    for (long n = 1; n <= count; n++) {
        (void)failing_run(scenario, n, n);
        (void)failing_run(scenario, n, LONG_MAX);
    }
}

#endif
