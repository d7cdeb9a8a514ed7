/*
 * The store: where instances meet, partitions are claimed and checkpoints are
 * kept. The library brings blob, file and memory stores; a program may bring
 * its own, say to keep checkpoints in the database that takes its results.
 *
 * A store holds three kinds of record for one consumer group:
 *
 *   member     one per instance. Guarded by a lease of finite length that the
 *              store times with its own clock: renewing it is the heartbeat.
 *   call       one per instance, a bell: whoever wants an instance to look
 *              rings it; the instance looks with each heartbeat.
 *   partition  one per partition: who holds it, its generation, its checkpoint.
 *              Guarded by a claim without end: writes by any other than the
 *              holder's token are refused, so a former owner cannot move a
 *              checkpoint back.
 *
 * Everything goes through one function, submit(), one operation a call; the
 * store answers each exactly once, later, by tmk_store_answer(), from whichever
 * thread it likes, never from inside submit(). A store decides nothing: it
 * keeps records and refuses what the conditions forbid.
 *
 * The suite in tests/contract runs against any store and tells what is wrong.
 */
#ifndef TIDEMARK_STORE_H
#define TIDEMARK_STORE_H

#include <tidemark/event.h>

TMK_BEGIN_C

/** How partitions are claimed; a store supports one or both. */
typedef enum tmk_claims {
    TMK_CLAIMS_LEASE = 0, /* members with leases, partitions held without end: Tidemark alone */
    TMK_CLAIMS_SHARED = 1 /* the official SDKs' ownership records, renewed one by one */
} tmk_claims;

typedef enum tmk_store_op_kind {
    /*
     * TMK_CLAIMS_LEASE only.
     *
     * MEMBER_JOIN   makes the record of member `id` with `body` and takes its lease under
     *               `token` for `lease_ms`. Repeating it is OK. CONFLICT: there is a record under
     *               another token, living or dead (evict and remove a dead one first: what it held
     *               is still held by its token), or this one was evicted.
     * MEMBER_RENEW  extends the lease. CONFLICT: it was evicted, or another token holds it. A
     *               renewal that comes late but before any eviction is granted.
     * MEMBER_WRITE  replaces the body; only with the right token, else CONFLICT.
     * MEMBER_LIST   all members, living and dead, with bodies.
     * MEMBER_EVICT  takes the lease of a member whose lease has ended, and marks the record
     *               evicted, in favour of `token`. CONFLICT: it lives. OK also when it is
     *               already evicted or gone.
     * MEMBER_LEAVE  ends the lease and removes the record; only with the right token. OK also
     *               when there is none.
     * MEMBER_REMOVE removes an evicted record of somebody else. ABSENT is fine. CONFLICT: it was
     *               not evicted.
     * CALL_RING     changes the version of instance `id`'s bell, making it when absent.
     * CALL_LOOK     UNCHANGED when the bell's version still is `version`; else OK with the new
     *               version (an absent bell has the version "").
     */
    TMK_STORE_MEMBER_JOIN = 1,
    TMK_STORE_MEMBER_RENEW,
    TMK_STORE_MEMBER_WRITE,
    TMK_STORE_MEMBER_LIST,
    TMK_STORE_MEMBER_EVICT,
    TMK_STORE_MEMBER_LEAVE,
    TMK_STORE_MEMBER_REMOVE,
    TMK_STORE_CALL_RING,
    TMK_STORE_CALL_LOOK,

    /*
     * PARTITION_LIST    all partition records, without done-maps.
     * PARTITION_READ    one record with its done-map. ABSENT: there is none.
     * PARTITION_CLAIM   takes partition `id` for `token` and writes `record` (owner, generation,
     *                   checkpoint as it was). `version` is that of the record read before, ""
     *                   for "there must be none". With `take_over` the present holder's claim is
     *                   broken first, under the same condition; without it, a record held by
     *                   another token is a CONFLICT. In lease mode the claim has no end.
     *                   Repeating it is OK while the token holds the partition and the record names
     *                   that owner and generation. A token that only was passed the claim has not
     *                   claimed: CONFLICT, where `version` is not the present one.
     * PARTITION_WRITE   replaces the record; only while `token` holds the claim and, where
     *                   `version` is not "", the record has that version. CONFLICT else.
     * PARTITION_PASS    hands the claim from `token` to `token_next`, atomically; the record is
     *                   untouched. Repeating a pass that was done is OK. Lease mode only.
     * PARTITION_RENEW   shared mode: rewrites the ownership record under `version`.
     * PARTITION_RELEASE gives the claim up and names no owner; the checkpoint stays. Repeating it
     *               is OK.
     * PARTITION_DELETE  removes the record, held or not. ABSENT is fine. For tools.
     */
    TMK_STORE_PARTITION_LIST,
    TMK_STORE_PARTITION_READ,
    TMK_STORE_PARTITION_CLAIM,
    TMK_STORE_PARTITION_WRITE,
    TMK_STORE_PARTITION_PASS,
    TMK_STORE_PARTITION_RENEW,
    TMK_STORE_PARTITION_RELEASE,
    TMK_STORE_PARTITION_DELETE
} tmk_store_op_kind;

/** A checkpoint: everything up to and including this sequence number is final. */
typedef struct tmk_checkpoint {
    bool present;
    bool sequence_known; /* old records of other SDKs may hold an offset alone */
    int64_t sequence;    /* -1: nothing yet, start at the beginning */
    const char *offset;  /* opaque text, "" when unknown; kept as received */
    tmk_slice done_map;  /* what is final above the sequence; empty: nothing. See done_map.h */
} tmk_checkpoint;

typedef struct tmk_partition_record {
    const char *id;
    const char *owner;     /* instance that holds it, "" for none */
    const char *successor; /* whom a handoff under way names, "" for none */
    int64_t generation;    /* grows with every change of owner; the owner level on the link */
    bool held;             /* lists and reads: some token holds the claim */
    int64_t age_ms;        /* lists and reads: since the last write, by the store's clock */
    const char *version;   /* lists and reads: opaque; changes with each write */
    tmk_checkpoint checkpoint;
} tmk_partition_record;

typedef struct tmk_member_record {
    const char *id;
    bool alive;     /* its lease has not ended, by the store's clock */
    bool evicted;   /* somebody has taken the lease of this dead member */
    bool gone;      /* not alive, and the store knows that its process has ended: nobody has to wait
                       for it. False where a store cannot know */
    int64_t age_ms; /* since the last write of the body, by the store's clock */
    const char *body; /* the member's own text, ASCII, at most 4 KiB */
} tmk_member_record;

/** What an operation may hold at most, in bytes; more is EINVAL, of a done-map ELIMIT. */
enum {
    TMK_STORE_ID_MAX = 200,      /* ids, owners, successors: printable ASCII */
    TMK_STORE_BODY_MAX = 4096,   /* printable ASCII */
    TMK_STORE_OFFSET_MAX = 1024, /* printable ASCII */
    TMK_STORE_VERSION_MAX = 128, /* of those that a store gives out, too */
    TMK_STORE_DONE_MAP_MAX = 256 * 1024
};

/** One operation. All pointers live until submit() returns; copy what you keep. */
typedef struct tmk_store_op {
    tmk_store_op_kind kind;
    const char *id;         /* member, call or partition */
    const char *token;      /* a UUID; the holder's */
    const char *token_next; /* PARTITION_PASS */
    const char *version;    /* condition; "" see above */
    const char *body;       /* MEMBER_JOIN, MEMBER_WRITE */
    const tmk_partition_record *record;
    int64_t lease_ms;   /* MEMBER_JOIN, MEMBER_RENEW */
    bool take_over;     /* PARTITION_CLAIM */
    int64_t timeout_ms; /* answer ETIMEOUT after this at the latest; the write may have happened */
} tmk_store_op;

/** An answer. All pointers live until tmk_store_answer() returns. */
typedef struct tmk_store_result {
    tmk_status status;      /* OK, CONFLICT, ABSENT, UNCHANGED, or a failure */
    tmk_error error;        /* of a failure or a CONFLICT */
    int64_t retry_after_ms; /* EBUSY: how long the store asks to wait; 0: not said */
    const char *version;    /* after a write or CALL_LOOK: the new version; "" else */
    const tmk_partition_record *partitions; /* PARTITION_LIST: all; PARTITION_READ: one */
    size_t partition_count;
    const tmk_member_record *members;
    size_t member_count;
} tmk_store_result;

/** A question that waits for its answer. */
typedef struct tmk_store_call tmk_store_call;

typedef struct tmk_store_ops {
    size_t size; /* sizeof(tmk_store_ops) */

    /**
     * Starts one operation. Threads: the processor's control thread (or the caller of
     * tmk_processor_poll()). Must not: block, or answer before it returns. The answer must come:
     * exactly once for each call, also after op->timeout_ms, also after stop().
     */
    void (*submit)(void *self, const tmk_store_op *op, tmk_store_call *call);

    /** Which ways of claiming it supports: bit 0 lease, bit 1 shared. */
    unsigned (*claims)(void *self);

    /** Frees the store; no call is under way. May be NULL. */
    void (*free)(void *self);
} tmk_store_ops;

/** A store: a value that is copied freely. */
typedef struct tmk_store {
    const tmk_store_ops *ops;
    void *self;
} tmk_store;

/**
 * For whoever writes a store: refuses an operation that lacks something, or holds what no store
 * could keep, before you look at any record. Answer what it returns. Threads: any.
 */
TMK_API TMK_CHECKED tmk_status tmk_store_op_check(const tmk_store_op *op, tmk_error *err);

/** Answers a call. Copies what it needs. Threads: any. */
TMK_API void tmk_store_answer(tmk_store_call *call, const tmk_store_result *result);

/**
 * Asks a store and waits for the answer. For tools and tests; a processor never waits for one.
 *
 * Owns:    *out, with all it points at, is the caller's: tmk_store_result_free().
 * Returns: what the result's status says; ENOMEM without a result.
 */
TMK_API TMK_CHECKED tmk_status tmk_store_ask(tmk_store store, const tmk_store_op *op,
                                             tmk_store_result **out, tmk_error *err);
/** NULL is fine. Returns NULL. */
TMK_API tmk_store_result *tmk_store_result_free(tmk_store_result *result);

/** Frees a store made by this library, or a user's that has a free function. */
TMK_API void tmk_store_free(tmk_store store);

TMK_END_C

#endif
