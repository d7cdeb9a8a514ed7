/*
 * Where a partition is read from, decided once per ownership.
 *
 * Pure. A position kept by the program (on_open) goes before the checkpoint,
 * the checkpoint before the default. Then the position is held against what
 * the partition has: one that no longer exists is never silently replaced.
 */
#ifndef TMK_CORE_START_H
#define TMK_CORE_START_H

#include <tidemark/processor.h>

#include "core/tracker.h"
#include "eventhubs/source.h"

typedef enum tmk_start_trouble {
    TMK_START_FINE = 0,
    TMK_START_EXPIRED,  /* retention has removed events that were not read */
    TMK_START_BEYOND,   /* past the end: facts may be old; the service decides */
    TMK_START_RECREATED /* far past the end: this is another hub of the same name */
} tmk_start_trouble;

enum { TMK_STALE_FACTS = 10000 }; /* facts may lag behind by as many events, as KEDA assumes */

typedef struct tmk_start_wish {
    const tmk_checkpoint *checkpoint; /* present, or not */
    int64_t enqueued_ms;     /* of the checkpoint's event, from its done-map; -1: not known */
    const tmk_start *chosen; /* by on_open; NULL: not */
    tmk_start fallback;      /* for a partition without a checkpoint */
    tmk_lost_position lost;
    bool refused; /* the service has refused this position (EPOSITION) */
} tmk_start_wish;

typedef struct tmk_start_answer {
    tmk_start start;       /* for the link */
    bool from_checkpoint;  /* its done-map counts */
    bool resolved;         /* position is known; else the first event tells */
    tmk_position position; /* everything up to it is final, or none of our business */
    tmk_start_trouble trouble;
    int64_t lost; /* events that are gone unread; 0 where not known */
} tmk_start_answer;

/* EPOSITION: the position is gone and the policy says fail; *out tells trouble and loss all the
 * same. */
tmk_status tmk_start_resolve(const tmk_start_wish *wish, const tmk_partition_facts *facts,
                             tmk_start_answer *out, tmk_error *err);

/* Do both name the same place? (After 4 is from 5 on.) */
bool tmk_start_same(const tmk_start *a, const tmk_start *b);

#endif
