/*
 * A store in the memory of the process, for tests and for programs that need
 * no checkpoint after their end. Instances meet in it when they are given the
 * same store, or references to it.
 */
#ifndef TIDEMARK_STORE_MEMORY_H
#define TIDEMARK_STORE_MEMORY_H

#include <tidemark/store.h>

TMK_BEGIN_C

/**
 * Makes an empty store for one consumer group; it supports both ways of claiming.
 *
 * Owns:    *out is freed by tmk_store_free().
 * Threads: answers come from a thread of the store's own, which makes no other call into the
 *          program.
 * Returns: 0 with *out set; ENOMEM, or EIO when there can be no further thread.
 */
TMK_API TMK_CHECKED tmk_status tmk_store_memory_new(tmk_store *out, tmk_error *err);

/** The same records once more, for another owner: each reference is freed by tmk_store_free(). */
TMK_API tmk_store tmk_store_memory_ref(tmk_store store);

TMK_END_C

#endif
