/*
 * Back-pressure: one budget of events and bytes for the process, in fair shares
 * for its partitions, turned into link credit.
 *
 * Pure; control thread. A share counts what was granted and has not come yet,
 * and what came and is still held. New credit is given when at least a quarter
 * of what a share may have out is free, so that a link is neither starved nor
 * asked for single events; none is given at the bound.
 *
 * Promise: what is held, and what was granted at the size that is expected of
 * an event, stay within the budget. What comes on top is how much larger the
 * events on the wire are than expected. The expectation starts at the largest
 * event there can be and comes down as events are seen. One event a partition
 * always fits, or nothing would ever move.
 */
#ifndef TMK_CORE_FLOW_H
#define TMK_CORE_FLOW_H

#include <tidemark/status.h>

typedef struct tmk_flow {
    uint64_t bytes_max; /* of the process */
    uint64_t events_max;
    uint32_t prefetch_max;            /* credit out on one link */
    uint64_t event_bytes_max;         /* largest event there can be */
    uint32_t shares;                  /* partitions that take part */
    uint64_t held_bytes, held_events; /* of all shares */
    uint64_t out_bytes, out_events;   /* granted and not come, at the expected size */
    bool refused;                     /* somebody was given less because of what others hold */
    bool back;                        /* and since then something was given back */
} tmk_flow;

typedef struct tmk_flow_share {
    tmk_flow *flow; /* NULL: takes no part */
    uint64_t held_bytes, held_events;
    uint64_t out;           /* credit granted and not come */
    uint64_t out_bytes;     /* what it was counted for */
    double mean, deviation; /* of bytes an event, moving */
    uint32_t seen;          /* events, up to SEEN_MAX: how far mean can be trusted */
} tmk_flow_share;

void tmk_flow_init(tmk_flow *f, uint64_t bytes_max, uint64_t events_max, uint32_t prefetch_max,
                   uint64_t event_bytes_max);

void tmk_flow_join(tmk_flow *f, tmk_flow_share *s);
void tmk_flow_leave(tmk_flow_share *s); /* gives back all it had; does nothing when not joined */

/* How much credit to grant now; 0: none. It is counted as granted. */
uint32_t tmk_flow_grant(tmk_flow_share *s);
/* Came: `count` events that take `bytes` of memory together. */
void tmk_flow_on_come(tmk_flow_share *s, uint32_t count, uint64_t bytes);
/* Held no longer. */
void tmk_flow_on_gone(tmk_flow_share *s, uint64_t count, uint64_t bytes);
/* The link is gone, and its credit with it. */
void tmk_flow_on_link_closed(tmk_flow_share *s);
/* Bytes that the next event is expected to take. */
uint64_t tmk_flow_expected(const tmk_flow_share *s);

/* Something was given back since somebody was refused: all shares should ask again. Once. */
bool tmk_flow_relieved(tmk_flow *f);

#endif
