/*
 * The records of a memory store: what the rules say, over maps.
 *
 * Pure: no I/O, no clock, no thread. The simulation drives it directly and
 * chooses itself when an operation is applied and when it is answered.
 */
#ifndef TMK_CHECKPOINT_MEMORY_TABLE_H
#define TMK_CHECKPOINT_MEMORY_TABLE_H

#include "checkpoint/reply.h"
#include "base/map.h"

typedef struct tmk_memory_table {
    tmk_map members, calls, partitions;
    uint64_t births;
} tmk_memory_table;

void tmk_memory_table_init(tmk_memory_table *t);
void tmk_memory_table_clear(tmk_memory_table *t);

/* Carries one operation out and fills *reply, which is empty before. Any op, good or bad. */
void tmk_memory_table_apply(tmk_memory_table *t, const tmk_store_op *op, tmk_time now,
                            tmk_reply *reply);

#endif
