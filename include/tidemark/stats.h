/*
 * Statistics: one look at a processor, taken whole and then unchanging, to be
 * read at leisure, written as Prometheus text or shown on a page.
 *
 *   tmk_stats_take(processor, &stats, &err);
 *   printf("%zu partitions\n", tmk_stats_partition_count(stats));
 *   tmk_stats_write_prometheus(&stats, 1, write, file, &err);
 *   stats = tmk_stats_free(stats);
 *
 * What is counted is counted beside the events, without a lock or an allocation
 * for it; a look costs a few microseconds and memory in proportion to the
 * partitions. Structs only grow at their end, and each is reached by a pointer,
 * so that programs built with an older header keep working.
 *
 * docs/STATISTICS.md lists every number.
 *
 * Threads: any; also several at once on the same snapshot.
 */
#ifndef TIDEMARK_STATS_H
#define TIDEMARK_STATS_H

#include <tidemark/processor.h>

TMK_BEGIN_C

/**
 * Takes a snapshot. Waits for the control thread, which answers within
 * milliseconds unless a callback blocks it; on_stats of the options brings
 * snapshots without anybody waiting.
 */
TMK_API TMK_CHECKED tmk_status tmk_stats_take(tmk_processor *p, tmk_stats **out, tmk_error *err);
/** One more holder; returns the same. */
TMK_API tmk_stats *tmk_stats_keep(const tmk_stats *s);
/** One holder less; the last one frees. NULL is fine; returns NULL. */
TMK_API tmk_stats *tmk_stats_free(tmk_stats *s);

/** Whose snapshot it is, and of when. */
typedef struct tmk_stats_about {
    const char *host, *hub, *group, *owner_id;
    int64_t taken_ms;     /* milliseconds since 1970 */
    int64_t started_ms;   /* the same; 0: it was not started */
    int64_t retention_ms; /* 0: not known */
} tmk_stats_about;
TMK_API const tmk_stats_about *tmk_stats_about_get(const tmk_stats *s);

TMK_API const tmk_processor_stats *tmk_stats_processor(const tmk_stats *s);
/** Of the client, which may serve several processors. */
TMK_API const tmk_client_stats *tmk_stats_client(const tmk_stats *s);

TMK_API size_t tmk_stats_partition_count(const tmk_stats *s);
/** NULL behind the last. */
TMK_API const tmk_partition_state *tmk_stats_partition(const tmk_stats *s, size_t index);

/** What went wrong, how often; at most 128 rows, the last of which may be "other". */
typedef struct tmk_stats_problem {
    const char *partition; /* "": the processor as a whole */
    const char *operation; /* as in tmk_problem */
    const char *condition; /* as in tmk_error.origin */
    const char *reaction;  /* what followed the last time */
    uint64_t count;
} tmk_stats_problem;
TMK_API size_t tmk_stats_problem_count(const tmk_stats *s);
TMK_API const tmk_stats_problem *tmk_stats_problem_at(const tmk_stats *s, size_t index);

/** How long things took. */
typedef struct tmk_histogram {
    const char *name;       /* "handler", or an operation of the store: "partition_write" ... */
    const double *bounds;   /* upper ends in seconds, rising */
    const uint64_t *counts; /* one for each bound and one above the last; not added up */
    size_t bound_count;
    uint64_t count; /* sum of counts */
    double seconds; /* of all together */
} tmk_histogram;
/**
 * The handler's first, then the store's operations that were used. Handlers are timed by the turn,
 * a row of short calls: each call of a turn counts with their mean.
 */
TMK_API size_t tmk_stats_histogram_count(const tmk_stats *s);
TMK_API const tmk_histogram *tmk_stats_histogram(const tmk_stats *s, size_t index);

/** Takes a piece of text. */
typedef void (*tmk_stats_write_fn)(void *self, const char *text, size_t size);

/**
 * Writes Prometheus text, version 0.0.4, of one snapshot or of several (a metric's series must
 * stand together, so the texts of two processors cannot simply follow one another). Snapshots with
 * the same hub and group are told apart by a label `processor`. ENOMEM: what was written is not
 * whole.
 */
TMK_API tmk_status tmk_stats_write_prometheus(const tmk_stats *const *stats, size_t count,
                                              tmk_stats_write_fn write, void *self, tmk_error *err);

TMK_END_C

#endif
