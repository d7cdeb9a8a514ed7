/*
 * An AMQP connection to the service over a byte stream, and its links.
 *
 * The only header through which the rest of the library sees the AMQP engine.
 * Mechanism only: when to open, to give up and to try again is decided above
 * (line.h, mend.h). Every link has a session of its own unless it is put beside
 * another; names of links are made up and never used twice.
 *
 * Message bytes go straight from the engine into the memory that the link's
 * user offers; nothing is decoded, nothing is queued.
 *
 * Threads: the loop's. Callbacks come from the loop, never from inside a call
 *          of this header but tmk_amqp_free(); every call of this header may be
 *          made from them.
 */
#ifndef TMK_AMQP_CONNECTION_H
#define TMK_AMQP_CONNECTION_H

#include <tidemark/log.h>

#include "amqp/condition.h"
#include "net/stream.h"

typedef struct tmk_amqp tmk_amqp;
typedef struct tmk_amqp_link tmk_amqp_link;

/* What went wrong, and what that asks for. */
typedef struct tmk_fault {
    tmk_error error;
    tmk_reaction reaction;
    tmk_time wait; /* not before that */
} tmk_fault;

typedef struct tmk_amqp_options {
    const char *host;      /* open.hostname: the namespace, whatever was dialled */
    const char *container; /* how the service's logs call this connection */
    const char *user_agent;
    int64_t idle_ms;    /* a peer that is silent for so long is dead */
    uint64_t seed;      /* of names */
    bool lanes;         /* receivers' messages go past the engine (lane.h): a third of the work */
    const tmk_log *log; /* outlives the connection */
} tmk_amqp_options;

typedef struct tmk_amqp_ops {
    void (*opened)(void *user); /* once: links may be opened */
    /* Once: the connection is gone, with all its links, which are not told one by one. Free it, now
     * or later. status OK: it was closed as asked. */
    void (*ended)(void *user, const tmk_fault *fault);
} tmk_amqp_ops;

/* The stream, which may still be opening, is the connection's in any case, also on failure. */
tmk_status tmk_amqp_new(tmk_loop *loop, tmk_stream *stream, const tmk_amqp_options *options,
                        const tmk_amqp_ops *ops, void *user, tmk_amqp **out, tmk_error *err);
/* Says good-bye; ended() comes when the service has answered, or at `deadline`. */
void tmk_amqp_close(tmk_amqp *a, tmk_time deadline);
/* Ends at once. No callback comes any more, but closed() of links that are closing, from inside
 * this call. NULL is fine. Returns NULL. */
tmk_amqp *tmk_amqp_free(tmk_amqp *a);

typedef enum tmk_outcome {
    TMK_OUTCOME_ACCEPTED = 0,
    TMK_OUTCOME_REJECTED, /* not stored, and why */
    TMK_OUTCOME_RELEASED, /* not stored */
    TMK_OUTCOME_UNKNOWN   /* settled without a word */
} tmk_outcome;

/* What a link tells its user. Entries that cannot come may be NULL. */
typedef struct tmk_amqp_link_ops {
    /* The service has agreed. message_max: its limit; 0: none. */
    void (*attached)(void *user, uint64_t message_max);
    /* The link was refused or has been detached, by the peer or for a fault of its; it is gone. */
    void (*ended)(void *user, const tmk_fault *fault);

    /* Receivers. room: memory for `more` bytes behind the `kept` first bytes of the message under
     * way, which stay (0: a message begins, what was there is dropped); NULL: there is none.
     * message: it is complete; a failure ends the link. turn: all that one read of the socket
     * brought has been told. */
    uint8_t *(*room)(void *user, size_t kept, size_t more);
    tmk_status (*message)(void *user, size_t size, tmk_error *err);
    void (*turn)(void *user);

    /* Senders. credit: there is some. outcome: what became of a message, by its cookie. */
    void (*credit)(void *user);
    void (*outcome)(void *user, void *cookie, tmk_outcome outcome, const tmk_error *why);
} tmk_amqp_link_ops;

typedef struct tmk_amqp_link_options {
    bool sender;
    const char *source, *target;     /* addresses; NULL: empty */
    const char *filter;              /* receivers: a selector; NULL: none */
    int64_t owner_level;             /* < 0: none */
    const char *receiver_name;       /* NULL: none */
    const char *const *capabilities; /* that are desired; NULL-terminated; NULL: none */
    uint64_t message_max;            /* receivers: a larger message ends the link */
    tmk_amqp_link *beside;           /* share this one's session; NULL: a new one */
    bool vital; /* may take the sessions that are kept free for requests, two at most */
} tmk_amqp_link_options;

/*
 * Attaches. Options are copied. The answer is attached() or ended(), or never comes. ELIMIT: the
 * service allows no more sessions on a connection; retryable while some are ending.
 */
tmk_status tmk_amqp_link_open(tmk_amqp *a, const tmk_amqp_link_options *options,
                              const tmk_amqp_link_ops *ops, void *user, tmk_amqp_link **out,
                              tmk_error *err);

/*
 * Detaches. The link is not the caller's any more and tells nothing but
 * closed(user), once: when the service has agreed, has not answered for 5 s, or
 * the connection has gone. closed may be NULL. A service that answers neither
 * the end of the link nor that of its session loses the connection after 10 s.
 */
void tmk_amqp_link_close(tmk_amqp_link *l, void (*closed)(void *user), void *user);

/* Receivers: lets `count` more messages come. More than was granted end the link. */
void tmk_amqp_link_grant(tmk_amqp_link *l, uint32_t count);
uint32_t tmk_amqp_link_granted(const tmk_amqp_link *l); /* and not used yet */

/* Senders. ready: how many messages may be sent now; 0 also while much waits for the socket. */
uint32_t tmk_amqp_link_ready(tmk_amqp_link *l);
/* The bytes are copied. batch: they are of the batch format. ESTATE: not ready. */
tmk_status tmk_amqp_link_send(tmk_amqp_link *l, tmk_slice message, bool batch, void *cookie,
                              tmk_error *err);

#endif
