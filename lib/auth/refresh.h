/*
 * When a token is good enough, when the next one is asked for, and when after
 * a failure. One of these stands behind every token that is kept.
 *
 * Pure: no I/O, no clock, no thread, no allocation.
 *
 *   token at hand:  arrives ---- refresh_at ---------- expires_at
 *                   | handed out | handed out, and     | gone
 *                   |            | the next is asked for
 *
 * Promise: the next token is asked for 15 minutes before the end of one that
 * lives an hour, so an authority that is away for less than that is not
 * noticed; a failure never takes away a token that still lives.
 */
#ifndef TMK_AUTH_REFRESH_H
#define TMK_AUTH_REFRESH_H

#include "base/rng.h"
#include "base/time.h"

typedef struct tmk_refresh {
    tmk_time expires_at; /* of the token at hand; 0: there is none */
    tmk_time refresh_at; /* when its successor is due */
    tmk_time retry_at;   /* after a failure: not before; else 0 */
    tmk_time arrived_at; /* of the token at hand or the one that was refused */
    unsigned failures;   /* in a row */
    unsigned refusals;   /* by the service, each soon after a token had come */
    bool asking;         /* a question is under way */
} tmk_refresh;

typedef enum tmk_refresh_act {
    TMK_REFRESH_USE,  /* hand out the token at hand */
    TMK_REFRESH_ASK,  /* ask for one, and wait for it */
    TMK_REFRESH_BOTH, /* hand out the token at hand, and ask for the next */
    TMK_REFRESH_WAIT, /* wait for what is under way */
    TMK_REFRESH_FAIL  /* answer the last failure; nothing new before deadline() */
} tmk_refresh_act;

/* Somebody wants a token; fresh: one whose refresh_at lies ahead, else the old one will do. */
tmk_refresh_act tmk_refresh_step(tmk_refresh *r, tmk_time now, bool fresh);
void tmk_refresh_on_token(tmk_refresh *r, tmk_time now, tmk_time expires_at, tmk_time refresh_at);
/* retry_after: what the other side asked for, 0 for nothing; honoured up to ten minutes. */
void tmk_refresh_on_failure(tmk_refresh *r, tmk_time now, tmk_time retry_after, tmk_rng *rng);
/*
 * The service has refused the token at hand: it is gone. The first time the next one may be asked
 * for at once; when that is refused soon as well, after a growing pause.
 */
void tmk_refresh_on_refused(tmk_refresh *r, tmk_time now, tmk_rng *rng);
/* Whether the token at hand lives at `now`. */
bool tmk_refresh_alive(const tmk_refresh *r, tmk_time now);
/* From when on step() would ask: refresh_at, or retry_at when that is later; now or earlier: at
 * once. */
tmk_time tmk_refresh_deadline(const tmk_refresh *r);

/*
 * The plan for a token that has just come and lives for `life`: at refresh_in where the issuer
 * said it (0: not), else at half of a life above two hours, else 15 minutes before the end, else,
 * below half an hour, at half. Up to a tenth earlier by chance, so that a fleet does not ask as
 * one. rng may be NULL: no chance.
 */
tmk_time tmk_refresh_plan(tmk_time now, tmk_time life, tmk_time refresh_in, tmk_rng *rng);

#endif
