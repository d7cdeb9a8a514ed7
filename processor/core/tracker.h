/*
 * Which events of a partition are final.
 *
 * Pure; control thread. Events are numbered by the tracker as they arrive: 0,
 * 1, 2 ... ("ordinals", dense, while sequence numbers may have gaps). What
 * becomes final is told by ordinals; the tracker answers with sequence numbers.
 *
 * Promises: the low water never passes an event that is not final. A burst is
 * held (one reference) until all of its events are final, and no longer.
 * Admitting and finishing in order costs a few instructions a burst, finishing
 * out of order a search among the bursts; nothing is allocated once warm.
 *
 *   low                     high
 *    |  0 0 1 1 1 0 0 1      |        bits by ordinal: final; all below low are
 *    [ burst ][ burst ][burst]        entries: ordinals -> events; oldest first
 */
#ifndef TMK_CORE_TRACKER_H
#define TMK_CORE_TRACKER_H

#include "base/time.h"
#include "core/done_map.h"
#include "eventhubs/burst.h"

enum { TMK_OFFSET_ROOM = 64 }; /* a longer offset is kept as "": the sequence says the same */

/* A place in a partition. */
typedef struct tmk_position {
    int64_t sequence;             /* -1: before the first event */
    int64_t enqueued_ms;          /* -1: not known */
    char offset[TMK_OFFSET_ROOM]; /* "": not known */
} tmk_position;

/* Events of one burst that were admitted together. */
typedef struct tmk_tracker_entry {
    tmk_burst *burst; /* NULL once all are final */
    uint64_t first;   /* ordinal */
    uint32_t index;   /* in the burst */
    uint32_t count, unfinished;
    int64_t first_sequence;
    tmk_position last;
    tmk_time arrived;
    uint64_t held_bytes, message_bytes;
} tmk_tracker_entry;

typedef struct tmk_tracker {
    tmk_tracker_entry *entries;                   /* ring */
    uint32_t entry_room, entry_head, entry_count; /* room: a power of two, or 0 */
    uint32_t hint;       /* entry that was finished last, counted from the head */
    uint64_t *bits;      /* ring; those outside [low, high) are 0 */
    uint64_t bit_room;   /* a power of two, or 0 */
    uint64_t low, high;  /* ordinals: all below low are final; high is the next one */
    uint64_t above;      /* final ones in [low, high) */
    tmk_position popped; /* the last event of the newest entry that is gone */
    int64_t newest;      /* sequence of the newest event admitted */
    int64_t newest_enqueued_ms;
    tmk_ranges before;    /* final already when this run began */
    uint64_t held_bytes;  /* memory of the bursts held */
    uint64_t final_bytes; /* of messages in entries that are all final */
} tmk_tracker;

/*
 * Begins at a position: what comes is above it. `before` (NULL is fine) holds what is final above
 * it already; the ranges become the tracker's.
 */
void tmk_tracker_init(tmk_tracker *t, const tmk_position *start, tmk_ranges *before);
void tmk_tracker_clear(tmk_tracker *t);                    /* drops all bursts */
void tmk_tracker_detach(tmk_tracker *t, tmk_list *bursts); /* the same, but gives the bursts away */

/*
 * Takes events [index, index + count) of a burst, all above `newest` and rising; one reference of
 * the burst is the tracker's from now on. held_bytes: memory that is to be counted as held until
 * all of them are final. *first is the ordinal of the first. ENOMEM: nothing has changed; not after
 * reserve() for as many.
 */
tmk_status tmk_tracker_reserve(tmk_tracker *t, uint32_t count);
tmk_status tmk_tracker_admit(tmk_tracker *t, tmk_burst *burst, uint32_t index, uint32_t count,
                             uint64_t held_bytes, tmk_time now, uint64_t *first);

/* Memory that a burst takes while it is held. */
static inline uint64_t tmk_tracker_cost(const tmk_burst *b) {
    return sizeof *b + b->room + (uint64_t)b->event_room * sizeof *b->events;
}

/* Was this event final already when the run began? (Then whoever admits it finishes it.) */
bool tmk_tracker_known(const tmk_tracker *t, int64_t sequence);

/* These became final; none of them was. */
void tmk_tracker_finish(tmk_tracker *t, uint64_t first, uint32_t count);

/* An event whose burst is still held: one that is not final. */
const tmk_event *tmk_tracker_event(const tmk_tracker *t, uint64_t ordinal);
bool tmk_tracker_is_final(const tmk_tracker *t, uint64_t ordinal);

/* The low water: everything up to it is final. */
void tmk_tracker_water(const tmk_tracker *t, tmk_position *out);
int64_t tmk_tracker_water_sequence(const tmk_tracker *t);

/* One above the newest final event's ordinal; low where none above the low water is final. */
uint64_t tmk_tracker_last_final(const tmk_tracker *t);

static inline uint64_t tmk_tracker_unfinished(const tmk_tracker *t) {
    return t->high - t->low - t->above;
}
/* When the burst of the oldest unfinished event arrived; TMK_NEVER when there is none. */
tmk_time tmk_tracker_oldest(const tmk_tracker *t);
/* When the service took the oldest unfinished event; -1 where there is none. */
int64_t tmk_tracker_oldest_enqueued_ms(const tmk_tracker *t);

/*
 * The done-map of the present state: what this run finished above the water, and what it inherited
 * and has not seen again yet. *events (NULL is fine): how many of this run's it covers. False: not
 * all of it fitted in `room`, which is TMK_DONE_MAP_EMPTY or more.
 */
bool tmk_tracker_map(const tmk_tracker *t, uint8_t *out, size_t room, tmk_slice *map,
                     uint64_t *events);

#endif
