/*
 * The suite that every store must pass: run it against your own.
 *
 *   static tmk_status open_one(void *self, tmk_store *out, tmk_error *err) { ... }
 *   ...
 *   tmk_store_contract c;
 *   tmk_store_contract_init(&c);
 *   c.open = open_one;
 *   c.reset = drop_all_tables;
 *   c.report = print_it;
 *   failures = tmk_store_contract_run(&c);
 *
 * It asks what the processor asks, and what it must never be granted: late
 * writers, stale versions, racing claims, evictions of the living. It is in the
 * test kit's library (pkg-config tidemark-testkit), not in Tidemark's.
 */
#ifndef TIDEMARK_STORE_CONTRACT_H
#define TIDEMARK_STORE_CONTRACT_H

#include <tidemark/store.h>

TMK_BEGIN_C

typedef struct tmk_store_contract {
    size_t size; /* set by _init, leave alone */
    void *self;  /* handed to the functions below */

    /**
     * Opens one more handle to the same records, as another process would have it.
     * Owns: the suite frees it by tmk_store_free().
     */
    tmk_status (*open)(void *self, tmk_store *out, tmk_error *err);
    /** From here on there are no records. Called before each check, while no handle is open. */
    tmk_status (*reset)(void *self, tmk_error *err);
    /** Lets time pass for the store; NULL: the suite waits. */
    void (*pass_ms)(void *self, int64_t ms);
    /** Lets a store work that has no thread of its own; NULL: it works by itself. Thread: the
     * suite's, which is the caller of run. */
    void (*turn)(void *self);
    /**
     * One check is over; failure is NULL when it passed, else one sentence.
     * Threads: the caller of run.
     */
    void (*report)(void *self, const char *check, const char *failure);

    tmk_claims claims;  /* which way to check, default TMK_CLAIMS_LEASE */
    int64_t lease_ms;   /* a lease that the store takes; short ones save time. default 1000 */
    int64_t timeout_ms; /* of each operation. default 10000 */
    uint32_t racers;    /* threads that claim at once, at most 64. default 32 */
    uint32_t many;      /* partitions for long lists, at most 5000. default 300 */
    const char *only;   /* checks whose name contains this; NULL: all */
} tmk_store_contract;

/** Fills *c with the defaults. */
#define tmk_store_contract_init(c) tmk_store_contract_fill((c), sizeof *(c))
TMK_API void tmk_store_contract_fill(tmk_store_contract *c, size_t size);

/** Runs all checks, one after the other; returns how many failed. */
TMK_API int tmk_store_contract_run(const tmk_store_contract *c);

TMK_END_C

#endif
