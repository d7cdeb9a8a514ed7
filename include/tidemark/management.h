/*
 * Facts about a hub and its partitions, read from the service.
 *
 * Each call is tried again as the client's retry options say; the service
 * allows about fifty of them a second for a hub.
 */
#ifndef TIDEMARK_MANAGEMENT_H
#define TIDEMARK_MANAGEMENT_H

#include <tidemark/client.h>

TMK_BEGIN_C

typedef struct tmk_hub_facts {
    const char *name;
    int64_t created_ms; /* milliseconds since 1970 */
    bool georeplicated; /* offsets are then no numbers, and older ones are refused */
    size_t partition_count;
    const char *const *partitions; /* their ids, in the service's order, then NULL */
} tmk_hub_facts;

typedef struct tmk_partition_facts {
    int64_t begin_sequence;   /* the oldest event that is still there, unless empty */
    int64_t last_sequence;    /* the newest ever taken; -1: there never was one */
    int64_t last_enqueued_ms; /* when that was */
    char last_offset[128];    /* its offset; "" where none */
    bool empty;               /* nothing is left, or nothing ever came */
} tmk_partition_facts;

/**
 * Comes exactly once. Exactly one of err and facts is NULL; both end with the
 * call. ECANCELED: the client was freed first.
 */
typedef void (*tmk_hub_facts_fn)(void *user, const tmk_error *err, const tmk_hub_facts *facts);
typedef void (*tmk_partition_facts_fn)(void *user, const tmk_error *err,
                                       const tmk_partition_facts *facts);

/** Asks; the answer comes later. Returns a failure, with no answer to come, only for lack of
 * memory. */
TMK_API TMK_CHECKED tmk_status tmk_client_hub_facts(tmk_client *client, tmk_hub_facts_fn answer,
                                                    void *user, tmk_error *err);
/** EINVAL: `partition` is empty or too long. ENOTFOUND arrives in the answer. */
TMK_API TMK_CHECKED tmk_status tmk_client_partition_facts(tmk_client *client, const char *partition,
                                                          tmk_partition_facts_fn answer, void *user,
                                                          tmk_error *err);

/**
 * The same, waiting for the answer up to timeout_ms.
 * Owns:    *out is the caller's: tmk_hub_facts_free().
 * Returns: ETIMEOUT, or what the service said.
 */
TMK_API TMK_CHECKED tmk_status tmk_client_hub_facts_wait(tmk_client *client, int64_t timeout_ms,
                                                         tmk_hub_facts **out, tmk_error *err);
TMK_API tmk_hub_facts *tmk_hub_facts_free(tmk_hub_facts *facts); /* NULL is fine; returns NULL */
TMK_API TMK_CHECKED tmk_status tmk_client_partition_facts_wait(tmk_client *client,
                                                               const char *partition,
                                                               int64_t timeout_ms,
                                                               tmk_partition_facts *out,
                                                               tmk_error *err);

TMK_END_C

#endif
