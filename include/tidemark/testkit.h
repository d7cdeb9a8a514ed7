/*
 * The test kit: your handler with a real processor, in a simulated world. An
 * event hub, a checkpoint store, the network, a whole fleet of instances and
 * the time are simulated in your test's one thread; nothing is stubbed but
 * those. "Storage fails for 90 s during a handoff" takes milliseconds, and the
 * same seed gives the same world, event by event.
 *
 *     tmk_kit_new(NULL, &kit, &err);                        // 4 partitions, seed 1
 *     tmk_kit_append_many(kit, 1000, 10, &err);             // events of ten keys
 *     tmk_kit_join(kit, "a", &a, &err);                     // a process
 *     tmk_processor_new(tmk_kit_client(a), tmk_kit_store(a), &options, &p, &err);
 *     tmk_processor_start(p, &err);                         // your options, your callbacks
 *     tmk_kit_run(kit, 5000, &err);                         // five seconds pass
 *     tmk_kit_fault(kit, TMK_KIT_STORE_DOWN, NULL, NULL, 90000, &err);
 *     st = tmk_kit_settle(kit, 300000, &err);               // all handled, all written
 *     tmk_kit_counts_get(kit, &counts);                     // lost 0, repeated 0
 *     tmk_processor_stop(p, 30000, NULL, &err);             // takes virtual time, too
 *     p = tmk_processor_free(p);
 *     kit = tmk_kit_free(kit);
 *
 * A library of its own, which holds all of Tidemark besides: a test links with
 * pkg-config tidemark-testkit INSTEAD of tidemark. docs/TESTKIT.md has more.
 *
 * Time passes only inside tmk_kit_run(), tmk_kit_run_until(), tmk_kit_settle()
 * and where a call waits (tmk_processor_stop(), tmk_processor_free(),
 * tmk_processor_poll()). A callback takes no time unless it says so, by
 * tmk_kit_takes(): it runs at one moment, and what it answered counts so much
 * later. Up to `threads` of the processor's options are under way at once.
 *
 * Threads: none. All functions, and all callbacks, on one thread; several kits
 *          may live side by side. The kit has no socket and reads no clock.
 * In callbacks: all functions but those that let time pass (ESTATE) and
 *          tmk_kit_free().
 * Memory:  what cannot be had is ENOMEM. When it was missing in the middle of a run the
 *          world has ended: time does not pass any more (ENOMEM each time), and all can be freed.
 */
#ifndef TIDEMARK_TESTKIT_H
#define TIDEMARK_TESTKIT_H

#include <tidemark/message.h>
#include <tidemark/processor.h>

TMK_BEGIN_C

typedef struct tmk_kit tmk_kit;
/** One simulated process: its network, its clock, its processor. Lives as long as the kit. */
typedef struct tmk_kit_instance tmk_kit_instance;

typedef struct tmk_kit_options {
    size_t size;          /* set by _init, leave alone */
    uint64_t seed;        /* of all that is left to chance: times, orders, where faults hit. 0
                             (default): TIDEMARK_KIT_SEED of the environment, else 1 */
    uint32_t partitions;  /* 1 .. 256, with the ids "0", "1" ...; default 4 */
    int64_t retention_ms; /* older events go; 0: never; default one day */
    int64_t begin_ms;     /* the time of day when it begins, in milliseconds since 1970; default 1
                             January 2026 */
    int64_t store_ms;     /* how long the store takes to answer, about; default 8 */
    int64_t handler_us;   /* how long a callback takes that does not say; default 200 */
    /** One JSON object a line for all that happens in the world; ends with the call. */
    void (*on_trace)(void *user, const char *line, size_t size);
    void *user;
} tmk_kit_options;

/** Fills *options with the defaults of this version of the library. */
#define tmk_kit_options_init(options) tmk_kit_options_fill((options), sizeof *(options))
TMK_API void tmk_kit_options_fill(tmk_kit_options *options, size_t size);

/** Makes a world: a hub without events, a store without records. options NULL: all defaults. */
TMK_API TMK_CHECKED tmk_status tmk_kit_new(const tmk_kit_options *options, tmk_kit **out,
                                           tmk_error *err);

/**
 * Frees a kit, after its processors, with its clients and stores. NULL is fine; returns NULL. A
 * processor that is left keeps it alive until it is freed itself.
 */
TMK_API tmk_kit *tmk_kit_free(tmk_kit *kit);

/** Virtual milliseconds since it was made. */
TMK_API int64_t tmk_kit_now_ms(const tmk_kit *kit);

/** "seed 7, at 93.250 s; TIDEMARK_KIT_SEED=7 replays it": for a test that fails. Lives until it is
 * asked for again. */
TMK_API const char *tmk_kit_replay(tmk_kit *kit);

/* ---- events ---- */

/**
 * Appends one event now. partition NULL: where the key says, without a key in turn. key NULL: none.
 * *sequence (NULL is fine) is the number that it got. ENOTFOUND: there is no such partition.
 */
TMK_API TMK_CHECKED tmk_status tmk_kit_append(tmk_kit *kit, const char *partition, const char *key,
                                              tmk_slice body, int64_t *sequence, tmk_error *err);

/** The same with all that a message can have: properties, body of any kind. It is copied. */
TMK_API TMK_CHECKED tmk_status tmk_kit_append_message(tmk_kit *kit, const char *partition,
                                                      const tmk_message *message, int64_t *sequence,
                                                      tmk_error *err);

/** Appends `count` events with the bodies "event 0", "event 1" ... and, where keys > 0, the keys
 * "key-0" .. in turn. Numbers go on from call to call. */
TMK_API TMK_CHECKED tmk_status tmk_kit_append_many(tmk_kit *kit, uint32_t count, uint32_t keys,
                                                   tmk_error *err);

/** From now on the same, so many a second, until it is called again; 0: none. At most 1000000. */
TMK_API TMK_CHECKED tmk_status tmk_kit_flow(tmk_kit *kit, uint32_t per_second, uint32_t keys,
                                            tmk_error *err);

/* ---- instances ---- */

/**
 * Starts a process, in which your code makes its processor as it always does, by
 * tmk_processor_new(), with the client and the store of the instance. One processor an instance at
 * a time, all of a kit in the same group. What the options leave open is the kit's: the seed, and
 * owner_id is the name. Its threads are simulated; with caller_driven there is one.
 *
 * name:    NULL: "i0", "i1" ...; as an owner_id.
 * Returns: 0; EINVAL for a name that is none or taken; ELIMIT beyond 64 in a kit's life.
 */
TMK_API TMK_CHECKED tmk_status tmk_kit_join(tmk_kit *kit, const char *name, tmk_kit_instance **out,
                                            tmk_error *err);

/** Its client; the kit's. It reaches no network: consumers and producers of it get none. */
TMK_API tmk_client *tmk_kit_client(tmk_kit_instance *instance);
/** Its way to the simulated store; the kit's. */
TMK_API tmk_store tmk_kit_store(tmk_kit_instance *instance);

/**
 * The process ends at once, as by SIGKILL: nobody is told, no callback of it comes any more, and
 * what callbacks under way have answered is not heard. Its processor is still to be freed; that
 * takes no time. From a callback of its own: when that has returned.
 */
TMK_API void tmk_kit_kill(tmk_kit_instance *instance);

/* ---- time ---- */

/**
 * Lets so many milliseconds pass.
 *
 * Returns: 0; ESTATE in a callback; ENOMEM; EINTERNAL: the world turned on the spot without end.
 */
TMK_API TMK_CHECKED tmk_status tmk_kit_run(tmk_kit *kit, int64_t ms, tmk_error *err);

/** Lets time pass until done(user) is true, which is asked after each thing that happens.
 * ETIMEOUT: it is not after within_ms. */
TMK_API TMK_CHECKED tmk_status tmk_kit_run_until(tmk_kit *kit, bool (*done)(void *user), void *user,
                                                 int64_t within_ms, tmk_error *err);

/** Lets time pass until checkpoints cover all events and no callback is under way. ETIMEOUT: they
 * do not after within_ms; err says which partition lacks how many. */
TMK_API TMK_CHECKED tmk_status tmk_kit_settle(tmk_kit *kit, int64_t within_ms, tmk_error *err);

/** Inside a handler: this call takes so long. What it answers counts then; several add up.
 * Elsewhere it has no effect. */
TMK_API void tmk_kit_takes(tmk_kit *kit, int64_t ms);

/** Calls call(user) when so many milliseconds have passed: to complete a TMK_LATER, to answer a
 * dead letter, to begin a fault. Not when the kit is freed before. */
TMK_API TMK_CHECKED tmk_status tmk_kit_after(tmk_kit *kit, int64_t ms, void (*call)(void *user),
                                             void *user, tmk_error *err);

/* ---- faults ---- */

typedef enum tmk_kit_fault_kind {
    /* For a time. instance: which is concerned; NULL: all. */
    TMK_KIT_STORE_DOWN =
        1,                 /* requests fail or hang; of one instance: it does not reach the store */
    TMK_KIT_HUB_DOWN,      /* the hub is not reached */
    TMK_KIT_TOKEN_REFUSED, /* the hub does not take its token: links are down */
    TMK_KIT_FROZEN,        /* the process sleeps, as by SIGSTOP; what comes meanwhile waits */
    /* For a time, whoever asks. */
    TMK_KIT_STORE_SLOW,          /* every third request takes 5 to 30 s */
    TMK_KIT_STORE_LOSES_ANSWERS, /* every fifth request is carried out, and its answer lost */
    TMK_KIT_STORE_THROTTLES,     /* every other request is answered "busy" */
    TMK_KIT_STORE_LISTS_LATE,    /* half of the lists are seconds old */
    /* For a time. partition: which; NULL: all. */
    TMK_KIT_PARTITION_STUCK, /* nothing newer comes out of it */
    /* At once (ms is 0). instance and partition: whose links; NULL: all. */
    TMK_KIT_CONNECTION_LOST, /* and made anew, within 3 s */
    TMK_KIT_LINK_ENDED,      /* by the service, with an error that lets it be opened again */
    TMK_KIT_LINK_SILENT,     /* nothing comes over it any more; only opening it anew mends that */
    TMK_KIT_EVENTS_REPEATED, /* the service sends the newest 20 once more */
    /* At once. partition: which; NULL: all. */
    TMK_KIT_LINK_STOLEN /* a reader from outside the group takes it away, and leaves */
} tmk_kit_fault_kind;

/**
 * Begins a fault; one that lasts ends after `ms`. The same once more: the longer counts.
 *
 * Returns: 0; EINVAL where the kind has no use for what is given, or lacks something; ENOTFOUND for
 *          a partition that does not exist; ESTATE for an instance that was killed.
 */
TMK_API TMK_CHECKED tmk_status tmk_kit_fault(tmk_kit *kit, tmk_kit_fault_kind kind,
                                             tmk_kit_instance *instance, const char *partition,
                                             int64_t ms, tmk_error *err);

/** Ends all faults that last; who is frozen wakes up. */
TMK_API void tmk_kit_mend(tmk_kit *kit);

/** Retention removes all events below this number, read or not. */
TMK_API TMK_CHECKED tmk_status tmk_kit_expire(tmk_kit *kit, const char *partition,
                                              int64_t first_sequence, tmk_error *err);

/* ---- what has come of it ---- */

typedef struct tmk_kit_counts {
    size_t size;          /* set by the caller: sizeof */
    uint64_t appended;    /* events */
    uint64_t handed;      /* to handlers; once more for each retry */
    uint64_t handled;     /* events that a handler has finished, or that a checkpoint covers */
    uint64_t repeated;    /* handed out although they were handled before */
    uint64_t lost;        /* covered by a checkpoint although no handler was ever handed them; not
                             those before the place where reading began */
    uint64_t expired;     /* removed by retention */
    uint64_t checkpoints; /* written with a new position */
    uint64_t requests;    /* to the store */
} tmk_kit_counts;

/** Fills *out up to out->size. */
TMK_API void tmk_kit_counts_get(const tmk_kit *kit, tmk_kit_counts *out);

typedef struct tmk_kit_partition {
    size_t size;                           /* set by the caller: sizeof */
    int64_t first_sequence, last_sequence; /* of the events that are there; last -1: never any */
    int64_t checkpoint_sequence;           /* as stored; -1: none */
    int64_t generation;                    /* as stored; 0: none */
    char owner[104];                       /* owner_id of who holds it, as stored; "": nobody */
    uint64_t handled, repeated, lost;      /* see above */
} tmk_kit_partition;

/** Fills *out up to out->size. ENOTFOUND: there is no such partition. */
TMK_API TMK_CHECKED tmk_status tmk_kit_partition_get(const tmk_kit *kit, const char *partition,
                                                     tmk_kit_partition *out, tmk_error *err);

TMK_END_C

#endif
