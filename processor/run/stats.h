/*
 * Inside of a statistics snapshot: one block of memory with everything in it.
 *
 * Threads: made on the control thread; unchanging afterwards, but for the count
 * of its holders.
 */
#ifndef TMK_RUN_STATS_H
#define TMK_RUN_STATS_H

#include <tidemark/stats.h>

#include "run/processor.h"

enum { TMK_STATS_HISTOGRAMS = 1 + TMK_METER_OPS };

typedef struct tmk_stats_times {
    uint64_t counts[TMK_DISPATCHER_BUCKETS]; /* the longest histogram there is */
} tmk_stats_times;
_Static_assert((int)TMK_DISPATCHER_BUCKETS > (int)TMK_METER_BOUNDS, "room for all histograms");

struct tmk_stats {
    int holders; /* atomic */
    tmk_stats_about about;
    tmk_processor_stats processor;
    tmk_client_stats client;
    size_t partition_count, problem_count, histogram_count;
    tmk_partition_state *partitions;
    tmk_stats_problem *problems;
    tmk_histogram histograms[TMK_STATS_HISTOGRAMS];
    tmk_stats_times times[TMK_STATS_HISTOGRAMS];
    tmk_meter_problem *texts; /* of the problems */
};

/* NULL: no memory. Control thread. */
tmk_stats *tmk_stats_make(tmk_processor *p);
/* Fills the numbers of a processor alone. Control thread. */
void tmk_stats_fill(tmk_processor *p, tmk_processor_stats *out);

#endif
