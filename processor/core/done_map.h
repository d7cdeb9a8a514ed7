/*
 * The done-map: what is final above a checkpoint, in few bytes, so that a
 * restart need not repeat it. It travels with the checkpoint as an opaque
 * slice (tidemark/store.h).
 *
 * Pure. Written maps are bounded: when all ranges do not fit, the ones nearest
 * to the checkpoint are kept. So a map is always a subset of the truth, and an
 * event that is not in it is merely repeated.
 *
 * Bytes: version 1, then LEB128 numbers: zigzag of the base (the checkpoint's
 * sequence), zigzag of the enqueued time at the base, number of ranges, and for
 * each range (numbers left out since the previous one) - 1 and (numbers in it)
 * - 1; then CRC-32 of all that, little endian. A map that was kept while the
 * checkpoint was moved by somebody else no longer has its base and is ignored.
 */
#ifndef TMK_CORE_DONE_MAP_H
#define TMK_CORE_DONE_MAP_H

#include "base/ranges.h"
#include "base/slice.h"

enum {
    TMK_DONE_MAP_ROOM = 2048, /* bytes of a written map, at most */
    TMK_DONE_MAP_EMPTY = 64   /* a map without ranges fits in this */
};

typedef struct tmk_done_map {
    int64_t base;        /* the sequence of the checkpoint it belongs to */
    int64_t enqueued_ms; /* of the event at the base; -1: not known */
    tmk_ranges ranges;   /* all above the base */
} tmk_done_map;

void tmk_done_map_clear(tmk_done_map *m); /* frees, and is empty again */

/* Writing: begin, add ranges in rising order until one does not fit, end. */
typedef struct tmk_done_map_writer {
    uint8_t *out;
    size_t room, size;
    int64_t base, enqueued_ms, last;
    uint64_t count;
    bool full; /* a range was left out */
} tmk_done_map_writer;

/* room: at least TMK_DONE_MAP_EMPTY. */
void tmk_done_map_begin(tmk_done_map_writer *w, int64_t base, int64_t enqueued_ms, uint8_t *out,
                        size_t room);
/* from must lie above the base and above all that was added. False: it did not fit, w is full. A
 * range that touches the one before it is welcome. */
bool tmk_done_map_add(tmk_done_map_writer *w, int64_t from, int64_t to);
/* The written bytes, in `out`. */
tmk_slice tmk_done_map_end(tmk_done_map_writer *w);

/* Everything at once; *size tells the bytes used; false when some ranges did not fit. */
bool tmk_done_map_write(const tmk_done_map *m, uint8_t *out, size_t room, size_t *size);

/*
 * Reads a map into *out, which is empty or cleared before. EPROTO: these are
 * not the bytes of a map (any change of any byte is noticed); ENOMEM. *out is
 * untouched when it fails. Never takes more memory than 16 times the bytes.
 */
tmk_status tmk_done_map_read(tmk_slice bytes, tmk_done_map *out, tmk_error *err);

#endif
