/*
 * A kit with a few workers in it, each a processor of the rig's options, whose
 * handlers note what they are given. Public headers alone.
 */
#ifndef TMK_TESTS_TESTKIT_RIG_H
#define TMK_TESTS_TESTKIT_RIG_H

#include <tidemark/management.h>
#include <tidemark/stats.h>
#include <tidemark/testkit.h>

#include "support/check.h"

enum { RIG_WORKERS = 6, RIG_PARTITIONS = 8 };

typedef struct rig rig;

typedef struct rig_worker {
    rig *rig;
    tmk_kit_instance *instance;
    tmk_processor *processor;
    uint64_t events;
    uint32_t opens, closes, problems;
    char condition[48]; /* of the first problem */
} rig_worker;

struct rig {
    tmk_kit_options kit_options;
    tmk_processor_options options; /* of the workers to come */
    tmk_kit *kit;
    rig_worker workers[RIG_WORKERS];
    uint32_t worker_count;
    int64_t takes_ms; /* what a handler says */
    tmk_verdict (*verdict)(rig_worker *w, const tmk_event *e, tmk_delivery *d); /* NULL: DONE */
    int64_t newest[RIG_PARTITIONS]; /* sequence handled last */
    uint32_t out_of_order;
    uint64_t hash; /* of the trace */
    uint32_t lines;
    tmk_error err;
};

void rig_init(rig *r);  /* options alone: change them, then */
void rig_begin(rig *r); /* makes the kit */
void rig_end(rig *r);   /* frees all */

rig_worker *rig_start(rig *r, const char *name);
void rig_stop(rig_worker *w, int64_t deadline_ms, tmk_status expected);
void rig_run(rig *r, int64_t ms);
void rig_append(rig *r, uint32_t count);
void rig_settle(rig *r, int64_t within_ms);
void rig_fault(rig *r, tmk_kit_fault_kind kind, rig_worker *w, const char *partition, int64_t ms);
tmk_kit_counts rig_counts(rig *r);
tmk_kit_partition rig_partition(rig *r, const char *partition);
uint32_t rig_owned(rig *r, const char *name); /* partitions that the store says it has */
tmk_processor_stats rig_stats(rig_worker *w);

#endif
