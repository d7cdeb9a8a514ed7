/*
 * When a checkpoint is written: after so many events, so much time or so many
 * bytes, whichever comes first; one write in flight; always the newest state;
 * at once when asked for. Failed writes are tried again with a growing pause.
 *
 * Pure; control thread. One per owned partition, and one budget of store
 * requests for the process: writes that only the policy wants wait for it,
 * writes that were asked for do not.
 */
#ifndef TMK_CORE_POLICY_H
#define TMK_CORE_POLICY_H

#include "base/backoff.h"
#include "base/time.h"

/* Token bucket for the writes of all partitions. */
typedef struct tmk_budget {
    double rate;  /* a second; 0: no limit */
    double burst; /* saved up at most */
    double tokens;
    tmk_time at;
} tmk_budget;

void tmk_budget_init(tmk_budget *b, double rate, double burst, tmk_time now);
/* Takes the next one that there will be: when that is. First come, first served. */
tmk_time tmk_budget_reserve(tmk_budget *b, tmk_time now);
void tmk_budget_charge(tmk_budget *b, tmk_time now); /* takes one even where none is left */

typedef struct tmk_policy_options {
    uint64_t events;   /* 0: not by this one */
    uint64_t bytes;    /* 0: not by this one */
    tmk_time interval; /* 0: not by this one */
    tmk_backoff retry; /* of failed writes */
} tmk_policy_options;

typedef struct tmk_policy {
    const tmk_policy_options *options; /* borrowed */
    tmk_budget *budget;                /* borrowed; NULL: none */
    uint64_t events, bytes;            /* final since the state of the last write that succeeded */
    uint64_t flying_events, flying_bytes; /* the part of them that the write in flight covers */
    tmk_time since;      /* of the first that no write covers; TMK_NEVER: there is none */
    tmk_time turn_at;    /* what the budget has promised; TMK_NEVER: nothing */
    tmk_time not_before; /* pause after a failure */
    unsigned failures;   /* in a row */
    bool writing;
    bool asked; /* write, whatever the counts say */
} tmk_policy;

void tmk_policy_init(tmk_policy *p, const tmk_policy_options *options, tmk_budget *budget);

/* So much more is final (anywhere, not only below the low water). */
void tmk_policy_on_progress(tmk_policy *p, tmk_time now, uint64_t events, uint64_t bytes);
/* Write at once, even when nothing is new: on drain, on request, for a resolved start. */
void tmk_policy_ask(tmk_policy *p);

/* True: write the newest state now, and tell what came of it. */
bool tmk_policy_step(tmk_policy *p, tmk_time now);
/* OK, or a failure: EBUSY may say how long the store wants us to wait (0: not said). */
void tmk_policy_on_written(tmk_policy *p, tmk_time now, tmk_status status, tmk_time retry_after,
                           tmk_rng *rng);
tmk_time tmk_policy_deadline(const tmk_policy *p, tmk_time now);

/* Nothing is new, asked for or in flight. */
bool tmk_policy_settled(const tmk_policy *p);

#endif
