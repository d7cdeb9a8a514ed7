/*
 * The records of a file store: what the rules say, over files in a folder.
 *
 * A change is prepared without a lock: read the record, let its rule decide,
 * write the new record beside it, complete and on disk. Only then the record is
 * locked, compared with what the rule has seen, and replaced. So a lock is held
 * for microseconds, and a process that is stopped at a bad moment hardly ever
 * holds one. Locks are byte ranges of one file, by record, and end with the
 * process.
 *
 * Threads: one at a time. Blocks on the disk.
 */
#ifndef TMK_CHECKPOINT_FILE_TABLE_H
#define TMK_CHECKPOINT_FILE_TABLE_H

#include <tidemark/log.h>

#include "base/rng.h"
#include "base/str.h"
#include "checkpoint/reply.h"

typedef struct tmk_file_table {
    tmk_clock clock;
    tmk_log log;
    tmk_rng rng;
    char *folder; /* of the group */
    int lock_fd;
    char boot[64];
    char process[96]; /* TMK_FILE_PROCESS_ROOM */
    /* Waits a little for a lock that somebody else holds; false: do not go on. */
    bool (*wait)(void *self, tmk_time until);
    void *self;
} tmk_file_table;

/* Makes the folders. The table may be cleared whether this fails or not. */
tmk_status tmk_file_table_init(tmk_file_table *t, const char *folder, const char *host,
                               const char *hub, const char *group, tmk_error *err);
void tmk_file_table_clear(tmk_file_table *t);

/* Carries one operation out and fills *reply, which is empty before. Any op, good or bad. */
void tmk_file_table_apply(tmk_file_table *t, const tmk_store_op *op, tmk_reply *reply);

#endif
