/*
 * Lanes: which events may be handled next, in which order, by whom.
 *
 * Pure: no lock, clock or thread of its own. All that is shared by the handlers
 * stands in one yard; the caller brings the lock as a guard. Functions marked
 * [G] enter and leave the guard themselves; those marked [L] are called with it
 * entered. In the simulation the guard is empty and everything runs in one
 * thread on virtual time.
 *
 *   yard       one per processor: the lanes that are ready, fair (first come,
 *              first served, over all partitions); handles of what comes later;
 *              the gate, which a breaker or a fence shuts
 *   lanes      one per owned partition: `partition`: one lane; `key`: a bounded
 *              number of lanes by the hash of the key, in front of which events stand in
 *              one stream as they came; `none`: one open lane, for all workers
 *   turn       what one worker has taken, whole, and gives back whole: one entry
 *              of the guard a turn, not one an event
 *
 * An event in here is its ordinal (core/tracker.h) and a 16-byte slot; the event
 * itself belongs to the tracker's burst, which lives until the event is final.
 * Nothing is allocated per event once warm, and nothing at all when a turn ends.
 *
 * Life of an event:  push -> queued in its lane -> taken by a turn -> callback
 *    -> DONE, SKIP: on the finished list, for the control thread
 *    -> RETRY, DEAD_LETTER, STOP: on the finished list too; its lane is HELD
 *       (not in `none`) until tmk_lanes_again() or tmk_lanes_release()
 *    -> LATER: out, until tmk_yard_complete() gives one of the above
 *    -> not reached (halt, slow turn): back to where it was in its lane
 */
#ifndef TMK_CORE_LANES_H
#define TMK_CORE_LANES_H

#include <tidemark/processor.h>

#include "base/list.h"
#include "base/ring.h"
#include "base/time.h"

typedef struct tmk_yard tmk_yard;
typedef struct tmk_lanes tmk_lanes;
typedef struct tmk_lane tmk_lane;

/* The lock, and what must happen after it is let go. All NULL: nobody else is there. */
typedef struct tmk_guard {
    void (*enter)(void *self);
    void (*leave)(void *self); /* wakes workers and rings the bell as the yard says */
    void *self;
    /* A barrier in all threads at once: what this one has stored is seen by every load of another
     * that begins after it, and the reverse. False: there is no such thing here. NULL: the same. */
    bool (*fence)(void *self);
} tmk_guard;

typedef struct tmk_yard_options {
    tmk_guard guard;
    uint32_t workers;      /* turns that can be under way at once, at most 4095 */
    uint32_t batch_events; /* 0: one event a callback; else batches of at most this many */
    uint64_t batch_bytes;  /* 0: no bound; one event always fits */
    tmk_time linger;       /* how long a batch waits for more */
    bool later_holds;      /* an event answered LATER holds its lane until it is completed */
} tmk_yard_options;

enum {
    TMK_TURN_EVENTS_MAX = 256, /* events of a turn, where no batch is larger */
    TMK_TURN_RUNS_MAX = 64,    /* lanes of a turn */
    TMK_LANES_MAX = 4096,      /* lanes of a partition */
    TMK_ATTEMPTS_ROOM = 4000   /* counting of tries ends here */
};

tmk_status tmk_yard_new(const tmk_yard_options *options, tmk_yard **out, tmk_error *err);
tmk_yard *
tmk_yard_free(tmk_yard *y); /* no turn is under way; lanes and handles that are left go too */

/* ---- partitions: control thread ---- */

typedef struct tmk_lanes_options {
    tmk_order order;
    uint32_t lane_count; /* TMK_ORDER_KEY: 1 .. TMK_LANES_MAX */
    bool keyless_free;   /* TMK_ORDER_KEY: events without a key keep no order */
    void *owner;         /* the pump, for whoever collects */
    /* What callbacks are told: */
    tmk_processor *processor;
    const char *partition; /* outlives the lanes, and every handle */
    int64_t generation;
} tmk_lanes_options;

tmk_status tmk_lanes_new(tmk_yard *y, const tmk_lanes_options *options, tmk_lanes **out,
                         tmk_error *err);
void *tmk_lanes_owner(const tmk_lanes *l);

/* [G] Frees. Turns of it that still run (a handler that hangs) and handles that are still out keep
 * what they need: `bursts` (tmk_burst.node, emptied) are dropped when the last of them has ended.
 */
tmk_lanes *tmk_lanes_free(tmk_lanes *l, tmk_list *bursts);

/* Which lane: 0 for an empty key, else by its hash. */
uint16_t tmk_lane_of_key(const tmk_lanes *l, tmk_slice key);

/*
 * [G] Queues events that lie side by side, of ordinals first .. first + count - 1; nothing below
 * `low` is unfinished any more. lane: one number an event, NULL where the order is not by key.
 * ENOMEM: nothing has changed.
 */
tmk_status tmk_lanes_push(tmk_lanes *l, tmk_time now, const tmk_event *events, uint32_t count,
                          uint64_t first, uint64_t low, const uint16_t *lane);

/* [G] The verdict was RETRY, DEAD_LETTER or STOP, and now: once more, as the attempt-th try (0: as
 * before), in its place in the lane; ... */
void tmk_lanes_again(tmk_lanes *l, tmk_time now, uint64_t ordinal, const tmk_event *event,
                     uint32_t attempt);
/* ... or: it is final (or will not be), its lane goes on without it. */
void tmk_lanes_release(tmk_lanes *l, tmk_time now, uint64_t ordinal);

/* [G] Hands out nothing of this partition, and lets running turns end after their present callback;
 * and goes on. */
void tmk_lanes_pause(tmk_lanes *l, tmk_time now, bool pause);
/* [G] Forgets what is queued at `from` and above, and what turns give back of it, for good. */
void tmk_lanes_cut(tmk_lanes *l, tmk_time now, uint64_t from);

typedef struct tmk_lanes_facts {
    uint64_t queued;  /* never handed out */
    uint64_t again;   /* queued once more */
    uint64_t taken;   /* in turns */
    uint32_t running; /* turns that have events of it */
    uint32_t waiting; /* lanes that are ready, or linger */
    uint32_t out;     /* answered LATER and not completed */
    tmk_time busy;    /* what callbacks took, of turns that have ended */
    bool unread;      /* something has finished that was not collected */
} tmk_lanes_facts;
tmk_lanes_facts tmk_lanes_facts_get(tmk_lanes *l); /* [G] */

/* ---- what has finished: control thread ---- */

typedef struct tmk_finished {
    uint64_t ordinal;
    uint32_t count;      /* more than one only for TMK_DONE */
    tmk_verdict verdict; /* never TMK_LATER */
    uint32_t attempt;
    int64_t retry_ms; /* the handler's choice, or -1 */
    bool probe;       /* it was let through to see whether the sink is back */
} tmk_finished;

/* [G] A partition of which something has finished, or that was paused or cut and of which nothing
 * runs any more; takes all that has finished. NULL: there is none. All that was taken from it
 * before must have been read. Then, without the guard, one by one: */
tmk_lanes *tmk_yard_collect(tmk_yard *y);
bool tmk_lanes_next_finished(tmk_lanes *l, tmk_finished *out);

/* ---- the gate: control thread ---- */

typedef enum tmk_gate {
    TMK_GATE_BREAKER = 1, /* TMK_STOP was answered */
    TMK_GATE_FENCE = 2,   /* nobody has confirmed that we still live */
    TMK_GATE_STOP = 4,    /* the processor stops */
    TMK_GATE_LATE = 8     /* a worker found what is known too old: see tmk_turn_late() */
} tmk_gate;

/* [G] While any bit is set no event is handed out, and running turns end after their present
 * callback. */
void tmk_yard_shut(tmk_yard *y, tmk_gate why);
void tmk_yard_open(tmk_yard *y, tmk_gate why);
/* [G] Lets one event through a gate that only the breaker has shut. */
void tmk_yard_probe(tmk_yard *y);
/* What is known holds until then; said with each step. TMK_NEVER until it is said first. [G] where
 * a worker was late. */
void tmk_yard_trust(tmk_yard *y, tmk_time until);

/* [G] Moves lanes whose linger has ended to the ready ones; and when that is to be done next. */
void tmk_yard_step(tmk_yard *y, tmk_time now);
tmk_time tmk_yard_deadline(tmk_yard *y);

/* ---- handles: any thread ---- */

/*
 * [G] Completes an event that was, or is about to be, answered TMK_LATER; exactly once. Any verdict
 * but LATER (EINVAL). ABSENT: unknown, completed before, answered otherwise, or its partition is
 * gone.
 */
tmk_status tmk_yard_complete(tmk_yard *y, tmk_time now, tmk_handle handle, tmk_verdict verdict,
                             int64_t retry_ms);

typedef struct tmk_out {
    const char *partition;
    int64_t sequence;
    tmk_handle handle;
    tmk_time since;
} tmk_out;
/* [G] The handle that has been out longest; false: none is out. */
bool tmk_yard_oldest_out(tmk_yard *y, tmk_out *out);

/* ---- turns: workers ---- */

/* Consecutive events of one lane; or of the stream, each with its own lane. */
typedef struct tmk_turn_run {
    tmk_lane *lane;
    uint32_t from, to; /* in the turn's arrays */
    uint32_t ran;      /* callbacks were given [from, ran); set when the run is over */
    uint32_t attempt;
    tmk_time busy; /* what callbacks took; see tmk_turn_spent() */
    bool again;    /* a single event that callbacks have had before */
    bool keyed;    /* of the stream: keys[] says whose lanes go with it */
    bool row;      /* ordinals without a gap */
    bool odd;      /* not all verdicts are DONE */
    bool over;     /* with the guard: ended ahead of the turn */
} tmk_turn_run;

/*
 * A worker's own, reused for each take; walked without the guard. What others
 * look at meanwhile says so.
 */
typedef struct tmk_turn {
    /* What the next event needs: */
    uint32_t at;              /* atomic: index of the event(s) that a callback has, or has next */
    uint32_t given;           /* atomic: how many it has */
    uint32_t end;             /* atomic: of what may be run of the present run */
    bool probe;               /* one event, to see whether the sink is back: passes the gate */
    bool active;              /* with the guard: others too */
    const bool *paused;       /* atomic: the present partition's */
    const unsigned *gate;     /* atomic: the yard's, or one that is always open */
    const tmk_event **events; /* with the guard: others too */
    tmk_handle handle;        /* with the guard: others too. Of events[0]; the others count on */
    tmk_delivery delivery;

    tmk_yard *yard;
    uint32_t slot;        /* number of the worker */
    uint32_t room, count; /* with the guard: others too */
    bool relieved;        /* atomic: see tmk_turn_relieve() */
    bool run_open;        /* there is a present run */
    uint32_t run,
        run_count; /* run: atomic; the present one, those below it have come to their end */
    tmk_turn_run runs[TMK_TURN_RUNS_MAX];
    uint32_t *ordinals;
    uint16_t *keys; /* lane numbers, where the run is keyed */
    tmk_verdict *verdicts;
    int64_t *retry_ms; /* where the verdict is RETRY */
    int64_t *early_ms; /* with the guard: of those completed before their callback returned */
    uint8_t *states;   /* atomic: see later.c */
} tmk_turn;

/* slot: 0 .. workers - 1, each once. The turn must not move while the yard lives. */
tmk_status tmk_turn_init(tmk_turn *t, tmk_yard *y, uint32_t slot, tmk_error *err);
void tmk_turn_clear(tmk_turn *t); /* not active */

/* [L] Takes up to `events` events (a batch more where batches are larger), of as many ready lanes
 * as leaves some for the other workers, were there more than a little to do. False: nothing is
 * ready. */
bool tmk_turn_take(tmk_turn *t, uint32_t events);

/* [L] Ends the turn: what finished goes to the control thread, what was not reached goes back. */
void tmk_turn_end(tmk_turn *t, tmk_time now);

/*
 * Workers ask before a callback, at the latest a few microseconds of callbacks after they asked
 * last. True: the control thread has not looked in time, so this process has slept, perhaps for
 * longer than its lease. The turn is over then, and no other begins before the control thread has
 * looked. [G] where it is true.
 */
bool tmk_turn_late(tmk_turn *t, tmk_time now);

/*
 * [L] A callback of the turn, in another thread, has run for long: all else that the turn has taken
 * ends now. What is final is told, what was not reached goes back, for others. Harmless at any
 * moment; false: there was nothing to end, the callback has just returned (then the turn ends), or
 * the guard has no fence.
 */
bool tmk_turn_relieve(tmk_turn *t, tmk_time now);

/* For what is below: the next run that may be run becomes the present one. False: the turn is over.
 */
bool tmk_turn_next_run(tmk_turn *t);
void tmk_turn_odd(tmk_turn *t, uint32_t index, tmk_verdict verdict);

static inline bool tmk_turn_may_go_on(const tmk_turn *t) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* `at` first; see tmk_turn_relieve() */
    return t->at < __atomic_load_n(&t->end, __ATOMIC_RELAXED) &&
           !__atomic_load_n(t->paused, __ATOMIC_RELAXED) &&
           __atomic_load_n(t->gate, __ATOMIC_RELAXED) == 0;
}

/* The next event, with t->delivery filled in; NULL: the turn is over. Then: answer(). */
static inline const tmk_event *tmk_turn_event(tmk_turn *t) {
    if (!tmk_turn_may_go_on(t) && !tmk_turn_next_run(t)) {
        return NULL;
    }
    t->delivery.handle = t->handle + t->at;
    t->delivery.retry_ms = -1;
    return t->events[t->at];
}

static inline void tmk_turn_answer(tmk_turn *t, tmk_verdict verdict) {
    if (verdict != TMK_DONE) {
        tmk_turn_odd(t, t->at, verdict);
    }
    __atomic_store_n(&t->at, t->at + 1, __ATOMIC_RELEASE);
}

/* Callbacks have taken so long since the last call, or since the turn began. It counts for the
 * present run; whoever calls it after each callback that takes long is exact. */
static inline void tmk_turn_spent(tmk_turn *t, tmk_time span) {
    t->runs[t->run < t->run_count ? t->run : t->run_count - 1].busy += span;
}

/* The next batch, and its verdicts, all DONE. 0: the turn is over. Then: answer_batch(). */
uint32_t tmk_turn_batch(tmk_turn *t, const tmk_event *const **events, tmk_verdict **verdicts);
void tmk_turn_answer_batch(tmk_turn *t);

/* ---- for the guard's owner ---- */

/* [L] How many workers would find something to do, each at least `events` events where there are so
 * many. */
uint32_t tmk_yard_useful(const tmk_yard *y, uint32_t events);
bool tmk_yard_rings(tmk_yard *y); /* [L] something finished where nothing had; told once */

#endif
