/* See failing_alloc.h. The counters are atomic, as other threads may allocate. */
#include "support/failing_alloc.h"

#include <tidemark/alloc.h>

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static atomic_size_t live;
static atomic_size_t calls;
static atomic_size_t fail_at; /* counted from 1; SIZE_MAX: never */
static atomic_bool fail_later_too;
static atomic_bool hit;
static atomic_bool sparing;
static size_t round_number;

static bool must_fail(void) {
    size_t call = atomic_load(&sparing) ? 0 : atomic_fetch_add(&calls, 1) + 1;
    size_t at = atomic_load(&fail_at);
    bool fail = call == at || (call > at && atomic_load(&fail_later_too));

    if (call == 0) {
        return false;
    }
    if (fail) {
        atomic_store(&hit, true);
    }
    return fail;
}

static void *count_alloc(void *self, size_t size) {
    void *block = NULL;

    (void)self;
    block = must_fail() ? NULL : malloc(size);
    if (block != NULL) {
        (void)atomic_fetch_add(&live, 1);
    }
    return block;
}

static void *count_resize(void *self, void *old, size_t size) {
    void *block = NULL;

    (void)self;
    block = must_fail() ? NULL : realloc(old, size);
    if (block != NULL && old == NULL) {
        (void)atomic_fetch_add(&live, 1);
    }
    return block;
}

static void count_release(void *self, void *old) {
    (void)self;
    (void)atomic_fetch_sub(&live, 1);
    free(old);
}

static void install(size_t at, bool later_too) {
    static const tmk_allocator counting = {count_alloc, count_resize, count_release, NULL};

    atomic_store(&calls, 0);
    atomic_store(&fail_at, at);
    atomic_store(&fail_later_too, later_too);
    atomic_store(&hit, false);
    tmk_allocator_set(&counting);
}

void failing_begin(failing_mode mode) {
    round_number = 0;
    atomic_store(&live, 0);
    install(SIZE_MAX, mode == FAILING_FROM);
}

bool failing_next(void) {
    if (round_number > 0 && !atomic_load(&hit)) {
        failing_end();
        return false;
    }
    install(++round_number, atomic_load(&fail_later_too));
    return true;
}

bool failing_hit(void) {
    return atomic_load(&hit);
}

void failing_count(void) {
    atomic_store(&live, 0);
    install(SIZE_MAX, false);
}

void failing_after(failing_mode mode, size_t successes) {
    install(successes + 1, mode == FAILING_FROM);
}

void failing_spare(bool on) {
    atomic_store(&sparing, on);
}

size_t failing_live(void) {
    return atomic_load(&live);
}

size_t failing_calls(void) {
    return atomic_load(&calls);
}

void failing_end(void) {
    tmk_allocator_set(NULL);
}
