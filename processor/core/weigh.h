/*
 * Balancing by measured load: what a partition costs, how a member tells it,
 * and which partitions change hands for it.
 *
 *   unit     one millisecond of handler time a second, or 4 KiB a second. So a
 *            handler that keeps one thread busy weighs 1000, as 4 MiB/s do.
 *   gauge    a partition's load, measured where it is read and smoothed over a
 *            minute.
 *   table    a member's gauges as text in its record: two characters a
 *            partition, to within a hundredth.
 *   round    one step of levelling between two members: a few partitions go from
 *            the one to the other, each for a gain that is worth it.
 *
 * Pure, and without memory of its own.
 */
#ifndef TMK_CORE_WEIGH_H
#define TMK_CORE_WEIGH_H

#include "base/slice.h"
#include "base/time.h"

/* ---- measuring ---- */

#define TMK_GAUGE_WINDOW TMK_MIN

typedef struct tmk_gauge {
    bool begun;
    tmk_time from, at; /* measured since, and up to */
    uint64_t bytes;
    tmk_time busy;
    double load;
} tmk_gauge;

/* Counters that only grow, of what was handled and how long handlers took for it. */
void tmk_gauge_take(tmk_gauge *g, tmk_time now, uint64_t bytes, tmk_time busy);
uint32_t tmk_gauge_load(const tmk_gauge *g);

/* ---- telling ---- */

/* A load of a partition that a member does not have. */
#define TMK_LOAD_NONE UINT32_MAX
#define TMK_LOAD_MAX (UINT32_C(255) << 24)
/* Room for the table of a thousand partitions, whatever the pattern. */
#define TMK_LOADS_ROOM 2600

/* The value that is told for a load: at most a hundredth off. */
uint32_t tmk_load_rounded(uint32_t load);
/* loads[p]: of each partition of the hub, NONE for those of others. False: there is no room. */
bool tmk_loads_write(const uint32_t *loads, size_t count, char out[TMK_LOADS_ROOM]);
/*
 * Takes any text; whoever can write to the store may have written it. False: it is no table of
 * `count` partitions, loads says nothing then.
 */
bool tmk_loads_read(tmk_slice text, uint32_t *loads, size_t count);

/* ---- levelling ---- */

/* More partitions never change hands between two members in one round. */
#define TMK_WEIGH_MOVES_MAX 32

typedef struct tmk_weigh_pair {
    int32_t giver, receiver; /* as `tellers` has them */
    uint64_t giver_load, receiver_load;
    uint64_t mean;       /* load of a member, of all */
    uint32_t moves_most; /* in this round */
} tmk_weigh_pair;

/*
 * Which partitions the giver should pass to the receiver now, those first that help most; 0: it is
 * not worth it. This and further rounds must be able to spare the heavier of the two 15 % of the
 * mean load, and 20 units.
 */
size_t tmk_weigh_round(const tmk_weigh_pair *pair, const int32_t *tellers, const uint32_t *loads,
                       size_t count, size_t moves[TMK_WEIGH_MOVES_MAX]);

#endif
