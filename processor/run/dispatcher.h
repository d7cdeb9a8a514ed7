/*
 * The handlers' threads: take turns from the yard, run callbacks, give back.
 *
 * One lock (rank TMK_RANK_YARD) guards the yard; it is held for a few hundred
 * nanoseconds a turn and never while a callback runs. Workers sleep only when
 * no lane is ready; as many are woken as lanes became ready. What finished is
 * told by one bell, from nothing to something.
 *
 * With threads = 0 there are none: tmk_dispatcher_poll() runs callbacks on the
 * caller's thread.
 *
 * Turns are sized by what handlers take: about TMK_TURN_SPAN a turn; a turn
 * that takes longer than expected gives back the rest, and of one whose callback
 * does not come back the rest is taken away.
 */
#ifndef TMK_RUN_DISPATCHER_H
#define TMK_RUN_DISPATCHER_H

#include "base/log.h"
#include "base/thread.h"
#include "core/lanes.h"
#include "eventhubs/client_parts.h"

typedef struct tmk_dispatcher tmk_dispatcher;

enum { TMK_RANK_YARD = 40, TMK_DISPATCHER_BUCKETS = 29 };
#define TMK_TURN_SPAN (200 * TMK_US)

/* A callback that runs longer than it should. */
typedef struct tmk_slow {
    const char *partition;
    int64_t sequence; /* of its (first) event */
    uint32_t worker;
    tmk_time age; /* at least */
} tmk_slow;

typedef struct tmk_dispatcher_options {
    uint32_t threads; /* 0: none, see tmk_dispatcher_poll() */
    uint32_t hands;   /* threads = 0: instead of poll(), so many workers of begin() and end() */
    const char *name; /* of the threads, with a number; at most 10 characters; default "tmk-work" */
    tmk_clock clock;
    tmk_on_event_fn on_event; /* exactly one of the two */
    tmk_on_batch_fn on_batch;
    void *user;
    void (*on_thread)(void *user, uint32_t index); /* runs first on each; may be NULL */
    void (*bell)(void *self); /* something finished; any thread, no lock held */
    void *bell_self;
    tmk_time slow_after;    /* 0: no watch */
    tmk_time relieve_after; /* a callback that runs longer holds back its own lane alone: what else
                               its thread has taken goes to others; default 50 ms */
    uint32_t batch_events;
    uint64_t batch_bytes;
    tmk_time linger;
    bool later_holds;
} tmk_dispatcher_options;

/* Makes the yard; no thread runs before start(). */
tmk_status tmk_dispatcher_new(const tmk_dispatcher_options *options, tmk_dispatcher **out,
                              tmk_error *err);
tmk_yard *tmk_dispatcher_yard(tmk_dispatcher *d);

/* All threads, or none and a failure. */
tmk_status tmk_dispatcher_start(tmk_dispatcher *d, tmk_error *err);

/*
 * Tells the threads to end after their present callback, and waits for them until `deadline`.
 * ETIMEOUT: some are still in a callback. From a callback's thread: does not wait for itself.
 */
tmk_status tmk_dispatcher_stop(tmk_dispatcher *d, tmk_time deadline);

/* Is the caller one of its threads, that is, inside a callback? */
bool tmk_dispatcher_is_worker(const tmk_dispatcher *d);

/* Stops without end where that was not done, joins, frees the yard too. NULL is fine; returns NULL.
 * Not from a callback. */
tmk_dispatcher *tmk_dispatcher_free(tmk_dispatcher *d);

/* Control thread, at deadline(): lingering batches, and the watch; report() is called without the
 * lock, once for each callback that has become slow and then each time its age has doubled. */
void tmk_dispatcher_step(tmk_dispatcher *d, tmk_time now,
                         void (*report)(void *self, const tmk_slow *slow), void *self);
tmk_time tmk_dispatcher_deadline(tmk_dispatcher *d, tmk_time now);

/* threads = 0: runs up to `events` events (0: a turn's worth) on this thread. Returns how many. Not
 * from a callback (returns 0). */
uint32_t tmk_dispatcher_poll(tmk_dispatcher *d, uint32_t events);
bool tmk_dispatcher_has_work(tmk_dispatcher *d);

/*
 * With hands, on simulated time: begin() calls one callback, if something is ready, and keeps what
 * it answers; end() gives it back. In between the worker counts as busy.
 */
bool tmk_dispatcher_begin(tmk_dispatcher *d, uint32_t worker, tmk_handing *out);
void tmk_dispatcher_end(tmk_dispatcher *d, uint32_t worker);

typedef struct tmk_dispatcher_stats {
    uint64_t callbacks, events, turns, wakes;
    tmk_time busy; /* in callbacks, of all workers together */
    /* Callbacks by their mean time in their turn: up to 1 us, 2 us, 4 us ... 2^27 us, longer. */
    uint64_t histogram[TMK_DISPATCHER_BUCKETS];
    uint32_t running; /* workers in a turn */
    tmk_time longest; /* the callback that has run longest by now, as far as looks can tell */
} tmk_dispatcher_stats;
void tmk_dispatcher_stats_get(tmk_dispatcher *d, tmk_dispatcher_stats *out);

#endif
