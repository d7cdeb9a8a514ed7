/*
 * Where one reader stands in its partition: what it has handed on, and what to
 * ask for when its link has to be made anew.
 *
 * Pure: no I/O, no clock, no allocation.
 *
 * Promise: every event is passed on once and in order, whatever the service
 * sends; what is skipped is counted; a new link asks for exactly what comes
 * after the last event passed on.
 */
#ifndef TMK_EVENTHUBS_POSITION_H
#define TMK_EVENTHUBS_POSITION_H

#include <tidemark/management.h>
#include <tidemark/start.h>

#include "base/slice.h"

typedef struct tmk_position {
    tmk_start start;     /* what was asked for, or what stands for it since facts are known */
    bool any;            /* something was passed on; then: */
    int64_t sequence;    /* of the last event passed on */
    int64_t enqueued_ms; /* of the same */
    char offset[128];    /* of the same; "" when it is too long or unfit for a filter */
    int64_t expected;    /* the first sequence number that may come; -1: unknown */
    uint64_t repeated, missing;
} tmk_position;

typedef enum tmk_seen {
    TMK_SEEN_NEXT = 0, /* the next one */
    TMK_SEEN_GAP,      /* pass it on; `missing` numbers before it never came */
    TMK_SEEN_REPEAT,   /* drop it */
    TMK_SEEN_BACK      /* the stream has begun anew: a hub of this name was made again */
} tmk_seen;

void tmk_position_init(tmk_position *p, const tmk_start *start);

/* An event has arrived. *missing (for GAP) is how many numbers were skipped. */
tmk_seen tmk_position_on_event(tmk_position *p, int64_t sequence, int64_t enqueued_ms,
                               int64_t *missing);
/* The offset of the last event passed on; once a burst is enough. */
void tmk_position_on_offset(tmk_position *p, tmk_slice offset);

/*
 * Whether the end of the partition must be asked for before the first attach:
 * with `latest` and nothing received yet, a second attach would skip what was
 * sent in between.
 */
bool tmk_position_needs_facts(const tmk_position *p);
void tmk_position_on_facts(tmk_position *p, const tmk_partition_facts *facts);

/* What to ask for now. */
void tmk_position_resume(const tmk_position *p, tmk_start *out);

/*
 * Whether the partition holds events that this reader should have had, going
 * by what the management answers; `before` are the facts of an earlier look
 * since the link opened, or NULL.
 */
bool tmk_position_is_behind(const tmk_position *p, const tmk_partition_facts *facts,
                            const tmk_partition_facts *before);

#endif
