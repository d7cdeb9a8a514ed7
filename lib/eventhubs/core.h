/*
 * What all links of a client share: one connection, the token on it, the
 * management. It drives the pure parts (line.h for the connection, mend.h for
 * each link) with the loop's time and the service's answers, and reports what
 * they decide.
 *
 * Whoever has a link embeds a rider; the core tells it when to attach, when to
 * let go, and when it is over.
 *
 * Threads: the loop's. A rider may be added and removed from any callback; the
 *          core itself is not freed from one.
 */
#ifndef TMK_EVENTHUBS_CORE_H
#define TMK_EVENTHUBS_CORE_H

#include <tidemark/client.h>
#include <tidemark/management.h>

#include "amqp/connection.h"
#include "amqp/mend.h"
#include "amqp/rpc.h"

typedef struct tmk_core tmk_core;

typedef struct tmk_core_options {
    tmk_stream_options stream; /* .host is the namespace */
    const char *hub;
    const char *container, *user_agent;
    tmk_credential *credential;
    tmk_retry_options retry; /* of management calls */
    int64_t idle_ms;
    bool lanes; /* see amqp/connection.h */
    tmk_log log;
    void (*on_error)(void *user, const tmk_trouble *trouble); /* may be NULL */
    void *user;
    uint64_t seed;
    /* A seam for tests; NULL: tmk_stream_open. */
    tmk_status (*open_stream)(void *self, tmk_loop *loop, const tmk_stream_options *options,
                              tmk_stream **out, tmk_error *err);
    void *self;
} tmk_core_options;

/* All text is copied; the loop is borrowed. */
tmk_status tmk_core_new(tmk_loop *loop, const tmk_core_options *options, tmk_core **out,
                        tmk_error *err);
/* Ends at once: riders and calls that are left are forgotten. NULL is fine. Returns NULL. */
tmk_core *tmk_core_free(tmk_core *c);
/* Ends the connection in good order, then calls closed(user), at the latest at `deadline`. Nothing
 * is opened any more. Then tmk_core_free(). */
void tmk_core_close(tmk_core *c, tmk_time deadline, void (*closed)(void *user), void *user);

tmk_loop *tmk_core_loop(const tmk_core *c);
const char *tmk_core_host(const tmk_core *c);
const char *tmk_core_hub(const tmk_core *c);
const tmk_log *tmk_core_log(const tmk_core *c);
uint64_t tmk_core_seed(tmk_core *c);           /* a new one */
tmk_client_stats *tmk_core_stats(tmk_core *c); /* to count in; read with tmk_core_stats_read() */
void tmk_core_stats_read(const tmk_core *c, tmk_client_stats *out); /* from any thread */
void tmk_core_count(uint64_t *counter, uint64_t by);

/* Whether the connection is needed may have changed. */
void tmk_core_review(tmk_core *c);

/* Tells on_error and the log. */
void tmk_core_report(tmk_core *c, const tmk_trouble *trouble);

/* ---- management ---- */

/* The caller's memory until answered or cancelled. */
typedef struct tmk_core_call {
    /* Once. why NULL: the facts are there. hub.partitions and .name end with the call. */
    void (*answered)(struct tmk_core_call *call, const tmk_error *why);
    tmk_partition_facts facts; /* of a partition */
    tmk_hub_facts hub;         /* or of the hub */

    tmk_core *core; /* the core's from here on; NULL: not under way */
    tmk_list node;
    const char *partition; /* the caller's text; NULL: the hub */
    tmk_rpc_call rpc;
    uint32_t tries, tries_max;
    tmk_time due, deadline; /* of the next try; of the one under way */
    tmk_time began;         /* when it was last asked */
    bool asked, token_asked;
} tmk_core_call;

/* tries 0: as the retry options say. A single try waits for no more than 10 s. */
void tmk_core_ask(tmk_core *c, tmk_core_call *call, const char *partition, uint32_t tries);
void tmk_core_cancel(tmk_core_call *call);

/* ---- riders ---- */

typedef struct tmk_rider tmk_rider;

typedef struct tmk_rider_ops {
    /* Open the link; tell what comes of it by tmk_rider_attached/failed. A failure counts as one of
     * the link. */
    tmk_status (*attach)(tmk_rider *r, tmk_amqp *a, tmk_error *err);
    /* The link is to be closed; or (line_gone) it exists no more. Forget it. */
    void (*let_go)(tmk_rider *r, bool line_gone);
    /* It is over, nothing is tried any more. Comes last; the rider may be removed. */
    void (*ended)(tmk_rider *r, const tmk_error *why);
    /* Trouble of its own was just reported. May be NULL. */
    void (*trouble)(tmk_rider *r, const tmk_trouble *trouble);
    /* Facts that were asked for before the attach; and whether they show that events wait. NULL
     * where needs_facts and hungry are never set. */
    void (*facts)(tmk_rider *r, const tmk_partition_facts *facts);
    bool (*behind)(tmk_rider *r, const tmk_partition_facts *facts);
} tmk_rider_ops;

struct tmk_rider {
    tmk_core *core; /* NULL: not added */
    const tmk_rider_ops *ops;
    const char *operation; /* "receive", "send" */
    const char *partition; /* NULL: none; else outlives the rider */
    tmk_mend mend;
    tmk_list node;
    tmk_timer timer;
    tmk_core_call call;
    bool probing, waits_for_token;
    bool *alive; /* inside tmk_rider_run(): set to false when it is removed */
    bool again;
};

/* mend.needs_facts may be set then; the rider does nothing before tmk_rider_run(). */
tmk_status tmk_rider_add(tmk_core *c, tmk_rider *r, const tmk_rider_ops *ops, const char *operation,
                         const char *partition, tmk_error *err);
void tmk_rider_remove(tmk_rider *r); /* does nothing when not added; its link is its own affair */
/* Does what the machine asks for; after every change of it. May end the rider. */
void tmk_rider_run(tmk_rider *r);

void tmk_rider_attached(tmk_rider *r);
void tmk_rider_failed(tmk_rider *r, const tmk_fault *fault);
void tmk_rider_heard(tmk_rider *r);
/* The peer leaves something unanswered: the link is let go (by ops) and made anew. */
void tmk_rider_silent(tmk_rider *r, const char *what);
void tmk_rider_want(tmk_rider *r, bool wanted);

#endif
