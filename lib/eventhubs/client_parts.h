/*
 * The inside of a tmk_client: the loop and the core, and how calls from other
 * threads reach them. Shared by client.c, consumer.c, producer.c, management.c.
 */
#ifndef TMK_EVENTHUBS_CLIENT_PARTS_H
#define TMK_EVENTHUBS_CLIENT_PARTS_H

#include <tidemark/processor.h>

#include "base/thread.h"
#include "eventhubs/core.h"
#include "eventhubs/source.h"

/* Ranks of locks, below those of the burst pool and the log. */
enum { TMK_RANK_CLIENT = 40, TMK_RANK_CONSUMER = 42, TMK_RANK_PRODUCER = 42, TMK_RANK_WAIT = 44 };

/* Whoever runs callbacks for a processor on simulated time: each worker's callback begins at one
 * moment and is known to have ended at another. */
typedef struct tmk_handing {
    const char *partition;
    const tmk_event *const *events;
    const tmk_verdict *verdicts; /* as answered; one each */
    uint32_t count;
} tmk_handing;
typedef struct tmk_hands {
    void *self;
    uint32_t count;
    /* True: a callback was called; *out lives until end(). */
    bool (*begin)(void *self, uint32_t worker, tmk_handing *out);
    void (*end)(void *self, uint32_t worker); /* its answer counts from now on */
    void (*crash)(void *self); /* the process is killed: no callback comes, nobody is told */
} tmk_hands;

/* A simulated world around a caller-driven client, instead of the network; `self` is the seams'.
 * tools/testkit has one. */
typedef struct tmk_client_world {
    /* Lets time pass until this client has had something to do, at most until `deadline`. */
    tmk_status (*turn)(void *self, tmk_time deadline, tmk_error *err);
    tmk_status (*source)(void *self, const char *group, tmk_source *out, tmk_error *err);
    void (*source_free)(void *self, tmk_source source);
    /* After source(), before source_free(). */
    tmk_status (*employ)(void *self, const tmk_hands *hands, tmk_error *err);
    const char *(*name)(void *self); /* of the instance, where its options give none */
    uint64_t (*seed)(void *self);
} tmk_client_world;

/* What tests put in place of the system: time, streams, luck. Only for caller-driven clients. */
typedef struct tmk_client_seams {
    const tmk_client_world *world; /* NULL: the real one */
    tmk_clock clock;
    uint64_t seed;
    tmk_status (*open_stream)(void *self, tmk_loop *loop, const tmk_stream_options *options,
                              tmk_stream **out, tmk_error *err);
    void *self;
} tmk_client_seams;
tmk_status tmk_client_make(const tmk_client_options *opts, const tmk_client_seams *seams,
                           tmk_client **out, tmk_error *err);

/* NULL: it is a client of the real world. */
const tmk_client_world *tmk_client_world_of(const tmk_client *client, void **self);
/* One turn of a simulated client's loop, for what is due now. */
tmk_status tmk_client_turn(tmk_client *client, tmk_error *err);
/* What a processor of it reads from; freed by the second. An empty source is fine there. */
tmk_status tmk_client_source(tmk_client *client, const char *group, const char *name,
                             tmk_source *out, tmk_error *err);
void tmk_client_source_free(tmk_client *client, tmk_source source);

/* Consumers and producers keep the client's inside alive. Threads: any. */
void tmk_client_ref(tmk_client *client);
void tmk_client_unref(tmk_client *client);

/*
 * Runs work(arg) on the loop and returns when it has run; at once when this is
 * the loop's thread. So no callback of the client runs when it returns, unless
 * it was called from one.
 */
void tmk_client_do(tmk_client *client, void (*work)(void *arg), void *arg);

const tmk_retry_options *tmk_client_retry(const tmk_client *client);

/*
 * Waiting for something that happens on the loop. Made by the waiting thread,
 * freed by the last of the two that drops it, so that a waiter may give up.
 */
typedef struct tmk_wait {
    tmk_mutex lock; /* guards what follows */
    tmk_cond changed;
    int references;
    bool done;
    tmk_status status;
    tmk_error error;
    void (*clear)(struct tmk_wait *w); /* of what derives from it; may be NULL */
} tmk_wait;

/* ESTATE inside a callback, where waiting would be for ever. Two references: waiter and loop. */
tmk_status tmk_wait_new(tmk_client *client, size_t size, tmk_wait **out, tmk_error *err);
tmk_wait *tmk_wait_drop(tmk_wait *w); /* returns NULL */
/* The loop's side: it has happened. why NULL: well. Drops the loop's reference. */
void tmk_wait_done(tmk_wait *w, const tmk_error *why);
/* The waiter's side: what done() told, or ETIMEOUT. */
tmk_status tmk_wait_for(tmk_client *client, tmk_wait *w, int64_t timeout_ms, tmk_error *err);

/* What management calls are under way; the loop's thread. */
tmk_list *tmk_client_questions(tmk_client *client);
void tmk_client_cancel_questions(tmk_client *client);
bool tmk_client_is_silent(const tmk_client *client); /* the user has freed it */

/* true inside a callback (or inside tmk_client_poll). */
bool tmk_client_is_inside(const tmk_client *client);

/* One turn of a caller-driven client's loop, up to `deadline`; for waiting calls. */
tmk_status tmk_client_turn_until(tmk_client *client, tmk_time deadline, tmk_error *err);
bool tmk_client_is_driven(const tmk_client *client); /* by its caller */

/* Copies `size` bytes of the caller's struct over `defaults`; an old program's is shorter. */
void tmk_options_merge(void *defaults, size_t defaults_size, const void *given, size_t given_size);

#endif
