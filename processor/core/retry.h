/*
 * What follows a verdict that is not final, and when the sink is down.
 *
 * Pure. retry: an event was answered TMK_RETRY for the n-th time: again after a
 * pause, or the declared choice after the last attempt. breaker: TMK_STOP says
 * that what lies behind the handler is broken: nothing more is handed out but,
 * after a growing pause, one event as a probe; a probe that ends otherwise than
 * by TMK_STOP closes the breaker.
 *
 *              STOP                 pause over
 *    CLOSED ---------> OPEN -------------------> PROBING
 *      ^                ^          STOP             |
 *      |                +---------------------------+
 *      +--------------------------------------------+  anything else
 */
#ifndef TMK_CORE_RETRY_H
#define TMK_CORE_RETRY_H

#include <tidemark/processor.h>

#include "base/backoff.h"

typedef struct tmk_retry_rules {
    uint32_t attempts_max; /* tries in all, at most TMK_ATTEMPTS_ROOM; 0: for ever */
    tmk_backoff backoff;
    tmk_exhausted exhausted;
    bool sink;                /* a dead-letter sink is set */
    tmk_backoff sink_backoff; /* after a dead letter that could not be kept */
} tmk_retry_rules;

typedef enum tmk_retry_next {
    TMK_RETRY_AGAIN,       /* after .pause */
    TMK_RETRY_DEAD_LETTER, /* put it aside */
    TMK_RETRY_SKIP,        /* count it as final, without success */
    TMK_RETRY_STOP         /* the partition stops at it */
} tmk_retry_next;

typedef struct tmk_retry_decision {
    tmk_retry_next next;
    tmk_time pause;
    const char *reason; /* of a dead letter or a stop: "handler", "attempts", "no sink" */
} tmk_retry_decision;

/* verdict: TMK_RETRY or TMK_DEAD_LETTER, given on the attempt-th try. retry_ms: the handler's
 * choice of the pause, < 0 for none. */
tmk_retry_decision tmk_retry_decide(const tmk_retry_rules *o, tmk_verdict verdict, uint32_t attempt,
                                    int64_t retry_ms, tmk_rng *rng);

typedef enum tmk_breaker_state {
    TMK_BREAKER_CLOSED,
    TMK_BREAKER_OPEN,
    TMK_BREAKER_PROBING
} tmk_breaker_state;

typedef struct tmk_breaker {
    tmk_breaker_state state;
    tmk_backoff pause;
    unsigned stops; /* in a row, over all probes */
    tmk_time probe_at;
    tmk_time opened_at;
} tmk_breaker;

void tmk_breaker_init(tmk_breaker *b, const tmk_backoff *pause);

/* A verdict was given. True when the state changed: apply it to the yard, and say so. What was
 * running when the breaker opened tells nothing new: only TMK_STOP and a probe's answer count. */
bool tmk_breaker_on_verdict(tmk_breaker *b, tmk_time now, tmk_verdict verdict, bool probe,
                            tmk_rng *rng);
/* True when it is time to let one event through; again after a while where that one is not heard of
 * (its partition was lost, say). */
bool tmk_breaker_step(tmk_breaker *b, tmk_time now, tmk_rng *rng);
tmk_time tmk_breaker_deadline(const tmk_breaker *b);

#endif
