/*
 * What lanes.c, turn.c and later.c share: the structures behind lanes.h and the
 * small steps that all of them take. Everything here is with the guard entered,
 * unless it says otherwise.
 */
#ifndef TMK_CORE_LANES_INSIDE_H
#define TMK_CORE_LANES_INSIDE_H

#include "core/lanes.h"
#include "eventhubs/burst.h"

/*
 * One event, addressed by its ordinal. Queued: event and next (in its lane).
 * Finished: count or retry_ms, and next (in the finished list).
 */
typedef struct tmk_slot {
    union {
        const tmk_event *event;
        uint64_t count;   /* finished, DONE: a row of so many */
        int64_t retry_ms; /* finished, otherwise */
    };
    uint32_t next; /* low half of an ordinal */
    uint32_t lane : 13;
    uint32_t attempt : 12; /* of the try that comes, or was */
    uint32_t verdict : 3;
    uint32_t probe : 1;
    uint32_t again : 1; /* callbacks have had it before */
} tmk_slot;

struct tmk_lane {
    uint32_t count; /* queue through the slots; head and tail only with count > 0 */
    uint32_t held;  /* events whose fate the control thread decides */
    uint32_t taker; /* whose turn has it: number of the worker, plus one; 0: nobody's. Not for open
                       ones */
    uint32_t head, tail;
    uint32_t again; /* of what is queued: that comes again */
    tmk_lanes *lanes;
    tmk_list node;         /* in yard->ready or yard->lingering, or in none */
    uint64_t bytes;        /* of what is queued; counted for batches only */
    tmk_time linger_until; /* while lingering */
    bool open;             /* no order: several turns at once, never held */
    bool ready, lingering;
};
/* The taker is a turn that has the lane as a run of its own: its events are joined by no others. */
enum { TMK_TAKEN_WHOLE = UINT16_MAX };

struct tmk_lanes {
    tmk_yard *yard;
    tmk_list node;     /* in yard->lanes */
    tmk_list finished; /* in yard->finished */
    tmk_lanes_options options;
    tmk_slot *slots; /* ring; grown by the control thread alone, read by it without the guard */
    uint32_t slot_room;
    uint64_t low, high; /* ordinals that have slots */
    tmk_lane *table;    /* by lane number; made with the first event: many partitions stay idle */
    uint32_t table_size;
    /*
     * By key, where callbacks get one event: what came last, in its order, an open lane by itself.
     * A turn takes from it as it stands, and with an event the lane of its key. An event whose lane
     * has something before it moves to the end of that lane's queue. So of each lane, what is
     * queued there is older than what stands in the stream, and that younger than what turns have.
     */
    bool streams;
    tmk_lane stream;
    uint64_t queued; /* in lanes */
    uint64_t again;  /* of these: callbacks have had them before */
    uint64_t taken;  /* in turns */
    uint64_t cut;    /* nothing is queued from this ordinal on */
    uint32_t running, waiting, out;
    tmk_time busy;                             /* of callbacks, in turns that have ended */
    bool paused;                               /* atomic: workers look at it without the guard */
    bool closed;                               /* freed, but turns still run */
    uint32_t done_head, done_tail, done_count; /* finished list, by records */
    uint64_t done_end;                         /* the ordinal that would extend its last row */
    uint32_t read_at, read_left;               /* control thread: what it collected */
    tmk_list orphans;                          /* closed: bursts */
};

typedef struct tmk_later {
    tmk_list node; /* in yard->outs, oldest first */
    struct tmk_later *chain;
    tmk_handle handle;
    tmk_lanes *lanes; /* NULL: its partition is gone; the burst is held here */
    const tmk_event *event;
    const char *partition;
    tmk_time since;
    uint64_t ordinal;
    uint32_t attempt;
    uint16_t lane;
    bool probe;
} tmk_later;

struct tmk_yard {
    tmk_yard_options options;
    tmk_list lanes; /* all partitions */
    tmk_list ready; /* lanes, in the order in which they became ready */
    uint32_t ready_count;
    uint64_t queued;    /* events, of all partitions */
    tmk_list lingering; /* lanes, in the order in which their linger ends */
    tmk_list finished;  /* partitions with finished events */
    bool rings;
    unsigned gate;    /* atomic: workers look at it without the guard */
    tmk_time trust;   /* atomic: what is known holds until then */
    bool probe;       /* one event may pass */
    tmk_turn **turns; /* by slot */
    tmk_list outs;
    tmk_later **buckets;
    size_t bucket_count, out_count;
};

static inline void tmk_yard_enter(tmk_yard *y) {
    if (y->options.guard.enter != NULL) {
        y->options.guard.enter(y->options.guard.self);
    }
}
static inline void tmk_yard_leave(tmk_yard *y) {
    if (y->options.guard.leave != NULL) {
        y->options.guard.leave(y->options.guard.self);
    }
}

static inline tmk_slot *tmk_slot_of(const tmk_lanes *l, uint64_t ordinal) {
    return &l->slots[ordinal & (l->slot_room - 1)];
}
/* The whole ordinal of its low half: less than 2^32 above base. */
static inline uint64_t tmk_whole_ordinal(uint64_t base, uint32_t half) {
    return base + (uint32_t)(half - (uint32_t)base);
}
/* A handle is the worker's number, plus one, above so many bits of a number that grows. */
enum { TMK_SERIAL_BITS = 48 };
static inline bool tmk_verdict_holds(tmk_verdict v) {
    return v == TMK_RETRY || v == TMK_DEAD_LETTER || v == TMK_STOP;
}

static inline void tmk_lanes_count_queued(tmk_lanes *l, int64_t change) {
    l->queued += (uint64_t)change;
    l->yard->queued += (uint64_t)change;
}
static inline void tmk_lane_count_again(tmk_lane *lane, int change) {
    lane->again += (uint32_t)change;
    lane->lanes->again += (uint64_t)change;
}

static inline void tmk_lane_append(tmk_lane *lane, uint32_t ordinal) {
    if (lane->count++ == 0) {
        lane->head = ordinal;
    } else {
        tmk_slot_of(lane->lanes, lane->tail)->next = ordinal;
    }
    lane->tail = ordinal;
}

/* lanes.c */
void tmk_lane_cut(tmk_lane *lane);                  /* forgets what is at l->cut and above */
void tmk_lane_settle(tmk_lane *lane, tmk_time now); /* ready, lingering or waiting */
void tmk_lane_back(tmk_lane *lane, uint32_t first, uint32_t last, uint32_t count); /* in front */
void tmk_lanes_tell(tmk_lanes *l); /* the control thread shall look, finished events or not */
void tmk_lanes_end(tmk_lanes *l);  /* closed, and nothing of it runs: destroys it */

/* What finished: a row of DONE; and one event by any verdict but LATER. `held`: the lane is held
 * for it already (later_holds). */
void tmk_finish_row(tmk_lanes *l, uint64_t first, uint32_t count);
void tmk_finish_one(tmk_lanes *l, tmk_lane *lane, const tmk_finished *f, bool held);

/* later.c: an event was answered LATER; or its handle was completed before that. False: no memory.
 */
bool tmk_later_begin(tmk_turn *t, const tmk_turn_run *run, uint32_t index, tmk_time now);
void tmk_later_orphan(tmk_lanes *l); /* its partition goes: each keeps its burst */
void tmk_later_clear(tmk_yard *y);

/* States of an event in a turn: nothing is known, it was answered LATER, it was completed by that
 * verdict before the turn has ended. */
enum { TMK_STATE_NONE = 0, TMK_STATE_LATER = 1, TMK_STATE_EARLY = 2 };

#endif
