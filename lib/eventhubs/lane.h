/*
 * A lane: one sender link of a producer, to one partition or to the hub as a
 * whole, with what waits for it and what is under way. A rider of the core.
 *
 * Every send that was pushed is given back exactly once, with its fate. Sends
 * go out in the order they were pushed; one that is tried again goes out when
 * its pause is over, before those that wait then. When the service is busy,
 * the whole lane is quiet for as long as it wants.
 *
 * Threads: the loop's.
 */
#ifndef TMK_EVENTHUBS_LANE_H
#define TMK_EVENTHUBS_LANE_H

#include <tidemark/producer.h>

#include "base/str.h"
#include "eventhubs/core.h"

typedef struct tmk_lane tmk_lane;

/* One event or batch on its way. */
typedef struct tmk_send {
    tmk_list node;  /* in its lane */
    tmk_list order; /* among all of the producer */
    uint64_t number;
    tmk_str message; /* encoded */
    bool batch;
    size_t events;
    char *partition; /* NULL: the hub */
    tmk_fate_fn fate;
    void *user;

    uint32_t tries;
    bool unknown;      /* some try may have been stored */
    bool flying;       /* on the wire, without an answer */
    tmk_time due;      /* paused: when it is tried again */
    tmk_time deadline; /* of this try */
    tmk_error error;   /* of the last try */
} tmk_send;

typedef struct tmk_lane_options {
    const char *partition; /* outlives the lane; NULL: the hub */
    const char *name;
    tmk_retry_options retry;
    bool resend_unknown;
    /* The send is the owner's again. why NULL: stored. None of the three may push or free. */
    void (*done)(void *user, tmk_send *send, const tmk_error *why);
    /* The link stands, and takes messages up to limit; or it is over (why), and the lane with it:
     * to be freed by the owner, soon but not from inside this call. */
    void (*stands)(void *user, tmk_lane *lane, uint64_t limit);
    void (*over)(void *user, tmk_lane *lane, const tmk_error *why);
    void *user;
} tmk_lane_options;

tmk_status tmk_lane_new(tmk_core *core, const tmk_lane_options *options, tmk_lane **out,
                        tmk_error *err);
/* What is left is given back as ECANCELED. NULL is fine. Returns NULL. */
tmk_lane *tmk_lane_free(tmk_lane *lane);

void tmk_lane_push(tmk_lane *lane, tmk_send *send);
/* Opens the link although nothing is to be sent; for whoever asks for the limit. */
void tmk_lane_open(tmk_lane *lane);
bool tmk_lane_is_over(const tmk_lane *lane);
uint64_t tmk_lane_limit(const tmk_lane *lane); /* 0: not known yet */

#endif
