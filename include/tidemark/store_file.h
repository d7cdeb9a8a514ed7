/*
 * A store in a folder, for several processes on one machine: development,
 * tests, and single machines that need no cloud. docs/STORES.md has the layout.
 *
 * A record is one readable JSON file that is replaced as a whole, so that
 * neither a killed process nor a power cut leaves half of one; a checkpoint is
 * on disk before its write is answered. Locks end with the process that holds
 * them. Leases are timed by the machine's clock since boot, which all processes
 * share and nobody can set.
 */
#ifndef TIDEMARK_STORE_FILE_H
#define TIDEMARK_STORE_FILE_H

#include <tidemark/log.h>
#include <tidemark/store.h>

TMK_BEGIN_C

typedef struct tmk_store_file_options {
    size_t size;        /* set by _init, leave alone */
    const char *folder; /* made with its parents where it is missing; on a local disk */
    const char *host;   /* of the namespace, "myns.servicebus.windows.net" */
    const char *hub;
    const char *group; /* default "$Default" */
    tmk_log log;       /* damaged files are told here; silent by default */
} tmk_store_file_options;

/** Fills *opts with the defaults of this version of the library. */
#define tmk_store_file_options_init(opts) tmk_store_file_options_fill((opts), sizeof *(opts))
TMK_API void tmk_store_file_options_fill(tmk_store_file_options *opts, size_t size);

/**
 * Opens the records of one consumer group; it supports both ways of claiming.
 *
 * Owns:    opts is copied; *out is freed by tmk_store_free().
 * Threads: answers come from two threads of the store's own, one of which does all the I/O.
 * Returns: 0 with *out set; EINVAL for a missing setting or a network file system, EIO where the
 *          folder cannot be made or written.
 */
TMK_API TMK_CHECKED tmk_status tmk_store_file_new(const tmk_store_file_options *opts,
                                                  tmk_store *out, tmk_error *err);

TMK_END_C

#endif
