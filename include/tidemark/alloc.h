/*
 * Memory. The library allocates through one table of functions, which a host
 * may replace once, before its first other call into the library. This table
 * and nothing else is shared by all objects of a process.
 */
#ifndef TIDEMARK_ALLOC_H
#define TIDEMARK_ALLOC_H

#include <tidemark/status.h>

TMK_BEGIN_C

typedef struct tmk_allocator {
    void *(*alloc)(void *self, size_t size);             /* NULL when there is none */
    void *(*resize)(void *self, void *old, size_t size); /* as realloc(); old may be NULL */
    void (*release)(void *self, void *old);              /* old is never NULL */
    void *self;
} tmk_allocator;

/**
 * Replaces malloc, realloc and free for this library (not for curl, OpenSSL
 * and Proton, which have hooks of their own). NULL restores the default.
 *
 * Threads: before any other call; not while an object of the library lives.
 */
TMK_API void tmk_allocator_set(const tmk_allocator *allocator);

TMK_END_C

#endif
