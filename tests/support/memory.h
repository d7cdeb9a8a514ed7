/*
 * An allocator that counts what is not given back, and fails when asked to:
 *
 *   for (size_t n = 1; ; n++) {
 *       bool failed;
 *       check_memory_begin(n);          (the n-th allocation fails; 0: none does)
 *       ... do it, expecting OK or ENOMEM ...
 *       failed = check_memory_failed();
 *       check_memory_end();             (nothing may be left)
 *       if (!failed) break;
 *   }
 */
#ifndef TMK_TESTS_MEMORY_H
#define TMK_TESTS_MEMORY_H

#include <tidemark/alloc.h>

#include "support/check.h"

static struct { size_t live, calls, fail_at; } check_memory_;

static inline bool check_memory_fails_(void) {
    return __atomic_add_fetch(&check_memory_.calls, 1, __ATOMIC_RELAXED) == check_memory_.fail_at;
}

static inline void *check_memory_alloc_(void *self, size_t size) {
    void *block = check_memory_fails_() ? NULL : malloc(size);

    (void)self;
    if (block != NULL) {
        __atomic_add_fetch(&check_memory_.live, 1, __ATOMIC_RELAXED);
    }
    return block;
}

static inline void *check_memory_resize_(void *self, void *old, size_t size) {
    void *block = check_memory_fails_() ? NULL : realloc(old, size);

    (void)self;
    if (block != NULL && old == NULL) {
        __atomic_add_fetch(&check_memory_.live, 1, __ATOMIC_RELAXED);
    }
    return block;
}

static inline void check_memory_release_(void *self, void *old) {
    (void)self;
    __atomic_sub_fetch(&check_memory_.live, 1, __ATOMIC_RELAXED);
    free(old);
}

static inline void check_memory_begin(size_t fail_at) {
    static const tmk_allocator counting = {check_memory_alloc_, check_memory_resize_,
                                           check_memory_release_, NULL};

    check_memory_.live = 0;
    check_memory_.calls = 0;
    check_memory_.fail_at = fail_at;
    tmk_allocator_set(&counting);
}

/* Allocations tried since begin(). */
static inline size_t check_memory_calls(void) {
    return __atomic_load_n(&check_memory_.calls, __ATOMIC_RELAXED);
}

static inline bool check_memory_failed(void) {
    return check_memory_.fail_at > 0 && check_memory_calls() >= check_memory_.fail_at;
}

static inline void check_memory_end(void) {
    tmk_allocator_set(NULL);
    CHECK_EQ(0, check_memory_.live);
}

#endif
