/*
 * The done-map: what is final above a checkpoint, in few bytes, so that a
 * restart need not repeat it. It travels with the checkpoint as an opaque
 * slice (tidemark/store.h).
 *
 * Pure. Written maps are bounded: when all ranges do not fit, the ones nearest
 * to the checkpoint are kept. So a map is always a subset of the truth, and an
 * event that is not in it is merely repeated.
 *
 * Bytes: version 1; then unsigned LEB128 numbers: base + 1 (the checkpoint's
 * sequence), enqueued time at the base + 1, and for each range the numbers left
 * out before it and the numbers in it less one; then the CRC-32 of all that,
 * little endian. There is one way to write a map. One that was kept while
 * somebody else moved the checkpoint no longer has its base, and is ignored.
 */
#ifndef TMK_CORE_DONE_MAP_H
#define TMK_CORE_DONE_MAP_H

#include "base/ranges.h"
#include "base/slice.h"

enum {
    TMK_DONE_MAP_ROOM = 2048, /* bytes of a map, at most */
    TMK_DONE_MAP_EMPTY = 32   /* a map without ranges fits in this */
};

typedef struct tmk_done_map {
    int64_t base;        /* the sequence of the checkpoint it belongs to; -1: before the first */
    int64_t enqueued_ms; /* of the event at the base; -1: not known */
    tmk_ranges ranges;   /* all above the base */
} tmk_done_map;

void tmk_done_map_clear(tmk_done_map *m); /* frees, and is empty again */

/* Writing: begin, add ranges in rising order, end. */
typedef struct tmk_done_map_writer {
    uint8_t *out;
    size_t room, size;
    int64_t before;   /* last number of the range before the last, or the base */
    int64_t from, to; /* the last range */
    size_t last_at;   /* where it stands; 0: there is none yet */
    bool full;        /* something was left out */
} tmk_done_map_writer;

/* room: TMK_DONE_MAP_EMPTY or more. */
void tmk_done_map_begin(tmk_done_map_writer *w, int64_t base, int64_t enqueued_ms, uint8_t *out,
                        size_t room);
/* from lies above the base and above all that was added; touching the last range is welcome. False:
 * this range, or one before it, did not fit: w is full and takes nothing more. */
bool tmk_done_map_add(tmk_done_map_writer *w, int64_t from, int64_t to);
/* The written bytes, in `out`. */
tmk_slice tmk_done_map_end(tmk_done_map_writer *w);

/*
 * Reads a map into *out, which owns its ranges. EPROTO: these are not the
 * bytes of a map; ENOMEM. *out is untouched when it fails. Takes at most 16
 * times the bytes in memory.
 */
tmk_status tmk_done_map_read(tmk_slice bytes, tmk_done_map *out, tmk_error *err);

#endif
