/*
 * Which events of a partition are final.
 *
 * Pure; control thread. Events are numbered by the tracker as they arrive: 0,
 * 1, 2 ... ("ordinals", dense, while sequence numbers may have gaps). What
 * becomes final is told by ordinals; the tracker answers with sequence numbers.
 *
 * Promises: the low water never passes an event that is not final. A burst is
 * held (one reference) until all of its events are final, and no longer.
 * Admitting and finishing in order costs a few instructions a burst and
 * allocates nothing once warm.
 *
 *   low                     high
 *    |  1 0 0 1 1 1 0 0 1    |        bits by ordinal; those below low are final
 *    [ burst ][ burst ][burst]        entries: place -> events; oldest first
 */
#ifndef TMK_CORE_TRACKER_H
#define TMK_CORE_TRACKER_H

#include "base/ring.h"
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

typedef struct tmk_tracker {
    tmk_ring entries;   /* of tracker_entry, by rising ordinal */
    uint64_t *bits;     /* ring of done bits for [low, high), others are 0 */
    uint64_t bit_room;  /* power of two, or 0 */
    uint64_t low, high; /* ordinals: all below low are final; high is the next one */
    uint64_t above;     /* final ones in [low, high) */
    size_t hint;        /* entry that was finished last */
    tmk_position water; /* the newest event below low */
    int64_t newest;     /* sequence of the newest event admitted */
    int64_t newest_enqueued_ms;
    tmk_done_map before;  /* inherited from the checkpoint this run began with */
    uint64_t held_bytes;  /* memory of the bursts held */
    uint64_t final_bytes; /* message bytes of bursts that are all final, since init */
} tmk_tracker;

/*
 * Begins at a position: what comes is above it. `before` (NULL is fine) is what is final above it
 * already; its ranges move to the tracker.
 */
void tmk_tracker_init(tmk_tracker *t, const tmk_position *start, tmk_done_map *before);
void tmk_tracker_clear(tmk_tracker *t); /* drops all bursts */

/*
 * Takes events [index, index + count) of a burst, all above `newest` and rising; one reference of
 * the burst is the tracker's from now on. *first is the ordinal of the first. ENOMEM: nothing has
 * changed. Events that `before` has are NOT final by themselves: see tmk_tracker_known().
 */
tmk_status tmk_tracker_admit(tmk_tracker *t, tmk_burst *burst, uint32_t index, uint32_t count,
                             tmk_time now, uint64_t *first);

/* Was this event final already when the run began? */
bool tmk_tracker_known(const tmk_tracker *t, int64_t sequence);

/* These became final; none of them was. */
void tmk_tracker_finish(tmk_tracker *t, uint64_t first, uint32_t count);

/* An event that is not final yet, by its ordinal. */
const tmk_event *tmk_tracker_event(const tmk_tracker *t, uint64_t ordinal);
bool tmk_tracker_is_final(const tmk_tracker *t, uint64_t ordinal);

static inline uint64_t tmk_tracker_unfinished(const tmk_tracker *t) {
    return t->high - t->low - t->above;
}
/* When the burst of the oldest unfinished event arrived; TMK_NEVER when there is none. */
tmk_time tmk_tracker_oldest(const tmk_tracker *t);

/*
 * Writes what is final above the water into a done-map: this run's ranges and what was inherited
 * and has not come again yet. Returns false when not all of it fitted.
 */
bool tmk_tracker_map(const tmk_tracker *t, uint8_t *out, size_t room, tmk_slice *map);
/* Ranges of unfinished events below the highest final one: what a map has to leave out. */
uint32_t tmk_tracker_holes(const tmk_tracker *t, uint32_t most);

#endif
