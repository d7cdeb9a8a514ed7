/*
 * The inside of connection.h, shared by connection.c (events, time), pipe.c
 * (bytes) and link.c (links and sessions). The only place that knows Proton.
 *
 * Life of a link: open -> attached -> (closing) -> gone. A closing link belongs
 * to the connection alone: ops is NULL, and it waits for the peer's detach,
 * then for the end of its session, each with a deadline.
 */
#ifndef TMK_AMQP_ENGINE_H
#define TMK_AMQP_ENGINE_H

#include <proton/connection_driver.h>
#include <proton/engine.h>

#include "amqp/connection.h"
#include "amqp/gate.h"
#include "base/list.h"
#include "base/rng.h"

typedef struct tmk_amqp_session {
    tmk_list node;
    pn_session_t *pn;
    unsigned links;
    bool vital;
    tmk_time deadline; /* of its end; TMK_NEVER: it is open */
} tmk_amqp_session;

struct tmk_amqp_link {
    tmk_list node;
    tmk_list turned; /* linked: has messages to tell the end of */
    tmk_amqp *amqp;
    tmk_amqp_session *session;
    pn_link_t *pn;
    const tmk_amqp_link_ops *ops; /* NULL: closing */
    void *user;
    bool sender, attached;
    bool laned;           /* a receiver that the engine sees no messages of */
    tmk_data_lane lane;   /* then: */
    uint32_t granted;     /* receivers: messages that may still come */
    size_t gathered;      /* bytes of the message under way */
    uint64_t message_max; /* 0: none */
    tmk_time deadline;    /* closing: of the peer's detach */
    void (*closed)(void *user);
    void *closed_user;
};

enum { TMK_AMQP_FRAME_MAX = 65536 };

struct tmk_amqp {
    tmk_loop *loop;
    tmk_stream *stream;
    pn_connection_driver_t driver;
    bool driver_made;
    tmk_gate *gate;
    uint8_t *in; /* received and not yet through the gate: less than a frame */
    size_t in_size;
    tmk_str out; /* through the gate and not yet taken by the stream */
    size_t out_at;
    const tmk_amqp_ops *ops;
    void *user;
    const tmk_log *log;
    tmk_rng rng;
    tmk_bell bell;   /* there is something to do outside of a callback */
    tmk_timer timer; /* the engine's tick, and what is closing */
    tmk_list links, sessions, turned;
    size_t session_count, vital_count; /* those that end count, too */
    uint64_t tag;
    int64_t tick_ms;        /* when the engine wants its next tick; 0: never */
    tmk_time close_at;      /* closing: no longer than this */
    bool lanes;             /* receivers alone in their session have a data lane */
    bool unheard;           /* bytes came that the engine was shown nothing of */
    tmk_time sign_at;       /* when it may be given a sign of life for them */
    bool stream_open;       /* bytes may flow */
    bool readable;          /* the stream may have bytes */
    bool busy;              /* inside pump() */
    bool broken;            /* nothing can be written any more */
    bool freed, over, told; /* over: nothing works any more, `why`; told: the user knows */
    bool closing;
    tmk_fault why;
};

/* The first reason counts. */
void tmk_amqp_over(tmk_amqp *a, const tmk_error *why);
void tmk_amqp_over_fault(tmk_amqp *a, const tmk_fault *why);
/* Something is to be written or looked at: in this turn when inside pump(), else soon. */
void tmk_amqp_stir(tmk_amqp *a);
/* What the peer says; `silent` is the text when it gives no reason. */
void tmk_amqp_judge(tmk_condition_at at, pn_condition_t *said, const char *silent, tmk_fault *out);

void tmk_amqp_handle_events(tmk_amqp *a);

tmk_status tmk_amqp_pipe_init(tmk_amqp *a, tmk_error *err);
void tmk_amqp_pipe_clear(tmk_amqp *a);
void tmk_amqp_pipe_read(tmk_amqp *a);
void tmk_amqp_pipe_write(tmk_amqp *a);
/* Before the engine's tick: it would take a peer for dead whose bytes all go past it. */
void tmk_amqp_pipe_sign(tmk_amqp *a, tmk_time now);

void tmk_amqp_link_on_event(tmk_amqp *a, pn_event_t *event, pn_event_type_t type);
void tmk_amqp_links_turn(tmk_amqp *a);
void tmk_amqp_links_expire(tmk_amqp *a, tmk_time now);
tmk_time tmk_amqp_links_deadline(const tmk_amqp *a);
void tmk_amqp_links_clear(tmk_amqp *a);

#endif
