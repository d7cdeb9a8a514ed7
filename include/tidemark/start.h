/*
 * Where reading of a partition starts.
 */
#ifndef TIDEMARK_START_H
#define TIDEMARK_START_H

#include <tidemark/event.h>

TMK_BEGIN_C

typedef enum tmk_start_kind {
    TMK_START_EARLIEST, /* the oldest event that the service still has */
    TMK_START_LATEST,   /* events that arrive from now on */
    TMK_START_SEQUENCE, /* after `sequence`; from it on when inclusive */
    TMK_START_OFFSET,   /* after `offset`; from it on when inclusive */
    TMK_START_TIME      /* enqueued after `unix_ms`; at or after it when inclusive */
} tmk_start_kind;

/** One position; only the member that `kind` names is looked at. No pointers: copy it as you like.
 */
typedef struct tmk_start {
    tmk_start_kind kind;
    bool inclusive;
    int64_t sequence;
    int64_t unix_ms;
    char offset[128]; /* opaque text of the service: never a number to count with */
} tmk_start;

TMK_API tmk_start tmk_start_earliest(void);
TMK_API tmk_start tmk_start_latest(void);
TMK_API tmk_start tmk_start_sequence(int64_t sequence, bool inclusive);
TMK_API tmk_start tmk_start_time(int64_t unix_ms);
/** EINVAL: the text is empty, longer than 127 bytes, or holds a quote or a control character. */
TMK_API TMK_CHECKED tmk_status tmk_start_offset(tmk_slice offset, bool inclusive, tmk_start *out,
                                                tmk_error *err);

/**
 * Reads "earliest", "latest", "sequence:N", "offset:TEXT" or "time:T", where T
 * is ISO 8601 ("2026-11-20T21:15:39Z"), Unix milliseconds, or an age ("90s",
 * "6h" ago). sequence and offset mean from there on, that event included.
 * Returns: EINVAL with *out untouched for anything else.
 */
TMK_API TMK_CHECKED tmk_status tmk_start_parse(const char *text, tmk_start *out, tmk_error *err);

TMK_END_C

#endif
