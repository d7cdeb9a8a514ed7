/* The one table of allocation functions. See tidemark/alloc.h for when it may change. */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static void *default_alloc(void *self, size_t size) {
    (void)self;
    return malloc(size);
}

static void *default_resize(void *self, void *old, size_t size) {
    (void)self;
    return realloc(old, size);
}

static void default_release(void *self, void *old) {
    (void)self;
    free(old);
}

static const tmk_allocator default_allocator = {default_alloc, default_resize, default_release,
                                                NULL};
static tmk_allocator allocator = {default_alloc, default_resize, default_release, NULL};

void tmk_allocator_set(const tmk_allocator *replacement) {
    allocator = replacement == NULL ? default_allocator : *replacement;
}

/* Asking for nothing gives a block all the same, so that NULL always means failure. */
static size_t at_least_one(size_t size) {
    return size == 0 ? 1 : size;
}

void *tmk_alloc(size_t size) {
    return allocator.alloc(allocator.self, at_least_one(size));
}

void *tmk_alloc_zero(size_t count, size_t size) {
    size_t total = 0;
    void *block = NULL;

    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    block = tmk_alloc(total);
    if (block != NULL) {
        memset(block, 0, total);
    }
    return block;
}

void *tmk_resize(void *old, size_t count, size_t size) {
    size_t total = 0;

    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    return allocator.resize(allocator.self, old, at_least_one(total));
}

void tmk_free(void *old) {
    if (old != NULL) {
        allocator.release(allocator.self, old);
    }
}

void *tmk_copy(const void *bytes, size_t size) {
    void *copy = tmk_alloc(size);

    if (copy != NULL && size > 0) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

char *tmk_copy_str(const char *text) {
    return text == NULL ? NULL : (char *)tmk_copy(text, strlen(text) + 1);
}
