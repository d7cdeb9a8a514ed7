/*
 * The memory store under a clock of the caller's choice, with or without its
 * own thread: for tests and for the simulation.
 */
#ifndef TMK_CHECKPOINT_MEMORY_H
#define TMK_CHECKPOINT_MEMORY_H

#include <tidemark/store_memory.h>

#include "base/time.h"

typedef struct tmk_memory_setup {
    tmk_clock clock;
    bool manual; /* no thread: answers come from inside tmk_store_memory_step() alone */
} tmk_memory_setup;

tmk_status tmk_store_memory_new_with(const tmk_memory_setup *setup, tmk_store *out, tmk_error *err);

/* Carries out and answers what waits, not what the answers ask in turn. How many it answered. */
size_t tmk_store_memory_step(tmk_store store);

#endif
