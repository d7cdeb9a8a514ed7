/*
 * Inside of the engine: what a connection, a session and a link are, and how
 * the files of the engine call each other. Only they include this.
 */
#ifndef TMK_HUB_CONN_H
#define TMK_HUB_CONN_H

#include "amqp/wire.h"

#include "hub/engine.h"

typedef enum tmk_hub_phase {
    TMK_HUB_PHASE_HEADER, /* waits for a protocol header */
    TMK_HUB_PHASE_SASL,   /* waits for sasl-init */
    TMK_HUB_PHASE_AMQP,   /* SASL is done: waits for the second header */
    TMK_HUB_PHASE_OPEN,   /* waits for open */
    TMK_HUB_PHASE_UP,
    TMK_HUB_PHASE_CLOSING, /* our close is sent, theirs is awaited; nothing else counts */
    TMK_HUB_PHASE_OVER     /* send what is in `out`, then end */
} tmk_hub_phase;

typedef struct tmk_hub_claim {
    tmk_list node;
    tmk_hub_grant grant;
} tmk_hub_claim;

struct tmk_hub_conn {
    tmk_list node, ready_node;
    tmk_hub_server *server;
    void *owner;
    uint64_t id;
    tmk_hub_phase phase;
    tmk_str in;  /* the front part of a frame */
    tmk_str out; /* to be sent, from out_at on */
    size_t out_at;
    bool broken;  /* drop without a word */
    bool telling; /* a session has outcomes to tell */
    bool had_links;
    bool let_in;      /* the frame in front has been held back already */
    tmk_time hold_in; /* nothing is handled before; 0: no delay */
    bool trusted;     /* SASL PLAIN has proved a key: needs no claims */
    unsigned trusted_rights;
    uint32_t frame_max;                /* of what we send */
    tmk_time peer_idle;                /* TMK_NEVER: the peer has none */
    tmk_time last_in, last_out, since; /* since: accepted, opened, or the last link went */
    tmk_time close_by, idle_check;
    tmk_hub_session **sessions; /* by channel; holes are NULL */
    size_t session_room;
    unsigned link_count;
    tmk_list claims; /* tmk_hub_claim.node */
    unsigned claim_count;
    tmk_time claims_due; /* when the first of them expires */
    tmk_list sending;    /* tmk_hub_link.ready_node: links with something to send */
    tmk_list delayed;    /* tmk_hub_outcome.conn_node: outcomes that wait for their time */
    tmk_hub_link *cbs_in, *cbs_out;
    char container[80];
    tmk_time wake_at; /* of links that hold back; TMK_NEVER: none */
};

struct tmk_hub_session {
    tmk_hub_conn *conn;
    uint16_t channel;
    uint32_t next_in, window_in;   /* what the peer may still send */
    uint32_t next_out, window_out; /* what we may still send */
    uint32_t next_delivery;
    tmk_hub_link *links[TMK_HUB_HANDLE_MAX + 1];
    tmk_list outcomes;                  /* tmk_hub_outcome.session_node */
    uint32_t accept_first, accept_last; /* deliveries accepted and not told yet */
    bool accepting;
    bool ending; /* our end is sent */
};

typedef enum tmk_hub_link_kind {
    TMK_HUB_LINK_READER = 0, /* we send events */
    TMK_HUB_LINK_REPLIES,    /* we send answers of $cbs or $management */
    TMK_HUB_LINK_SENDER,     /* we receive events */
    TMK_HUB_LINK_REQUESTS    /* we receive requests to $cbs or $management */
} tmk_hub_link_kind;

struct tmk_hub_link {
    tmk_hub_session *session;
    uint32_t handle;
    tmk_hub_link_kind kind;
    bool closing;            /* our detach is sent, theirs is awaited */
    tmk_hub_place_kind node; /* what it is attached to */
    tmk_str name;
    tmk_str path;       /* as claims name it */
    unsigned right;     /* what it needs */
    tmk_hub_part *part; /* NULL: a whole hub, or no hub at all */
    tmk_hub_entity *entity;
    tmk_str group;
    tmk_time active_at;
    uint32_t credit, delivery_count;

    /* what we send */
    tmk_list ready_node; /* conn.sending */
    tmk_list wait_node;  /* part.waiting */
    bool drain, settled, metrics;
    tmk_hub_reader reader;
    int64_t next; /* sequence number of the next event */
    tmk_time hold_until;
    tmk_str partial; /* a large message under way, from partial_at on */
    size_t partial_at;
    uint32_t partial_id;
    uint8_t front[40]; /* of a transfer that fits one frame */
    uint32_t front_size, id_at, tag_at;
    tmk_str reply_to; /* the address that requests name */
    tmk_list replies; /* tmk_hub_reply.node */
    unsigned reply_count;

    /* what we receive */
    tmk_str message; /* the delivery under way */
    uint32_t format, delivery_id;
    bool under_way, presettled, too_large;
};

/* An outcome that has to wait: for the disk, or for its time. */
typedef struct tmk_hub_outcome {
    tmk_list session_node;
    tmk_list part_node; /* pending of the partition: in server order */
    tmk_list conn_node; /* conn.delayed */
    tmk_hub_session *session;
    tmk_hub_part *part;
    int64_t end;  /* safe when the partition shows events below this */
    tmk_time due; /* 0: not delayed */
    uint32_t delivery_id;
    bool rejected;
    tmk_hub_fail why;
} tmk_hub_outcome;

/* ---- conn.c ---- */
/* Closes with an error; nothing more is handled. */
void tmk_hub_conn_fail(tmk_hub_conn *c, const char *condition, const char *text);
void tmk_hub_conn_close(tmk_hub_conn *c, const tmk_hub_fail *why);
tmk_hub_subject tmk_hub_conn_subject(const tmk_hub_conn *c, tmk_hub_what what);

/* ---- sasl.c ---- */
void tmk_hub_sasl_offer(tmk_hub_conn *c);
void tmk_hub_sasl_init(tmk_hub_conn *c, const tmk_frame *f);

/* ---- out.c: frames ---- */
static inline size_t tmk_hub_out_pending(const tmk_hub_conn *c) {
    return c->out.size - c->out_at;
}
uint8_t *tmk_hub_out_room(tmk_hub_conn *c, size_t size); /* NULL: the connection is broken now */
/*
 * Lists are written in full, as the service does: the Python SDK reads fields by their number
 * without asking how many there are.
 */
void tmk_hub_put_nulls(tmk_str *out, unsigned count);
void tmk_hub_put_fail(tmk_hub_conn *c, const tmk_hub_fail *why, const char *where);
void tmk_hub_put_begin(tmk_hub_session *s);
void tmk_hub_put_end(tmk_hub_session *s, const tmk_hub_fail *why); /* NULL: no error */
void tmk_hub_put_detach(tmk_hub_link *l, bool closed, const tmk_hub_fail *why);
void tmk_hub_put_flow(tmk_hub_session *s, const tmk_hub_link *l); /* NULL: the session's alone */
void tmk_hub_put_outcome(tmk_hub_session *s, uint32_t first, uint32_t last,
                         const tmk_hub_fail *why); /* NULL: accepted */
/* A message in one or more transfers; returns false when the window closed before its end. */
bool tmk_hub_put_message(tmk_hub_link *l);

/* ---- session.c ---- */
void tmk_hub_session_begin(tmk_hub_conn *c, const tmk_frame *f);
void tmk_hub_session_flow(tmk_hub_session *s, const tmk_frame *f);
void tmk_hub_session_disposition(tmk_hub_session *s, const tmk_frame *f);
void tmk_hub_session_ended(tmk_hub_session *s); /* the peer's end has come */
void tmk_hub_session_fail(tmk_hub_session *s, const char *condition, const char *text);
void tmk_hub_session_close(tmk_hub_session *s, const tmk_hub_fail *why);
tmk_hub_session *tmk_hub_session_free(tmk_hub_session *s);
/* A delivery's fate; it is told at the end of the turn, together with its neighbours. */
void tmk_hub_session_accept(tmk_hub_session *s, uint32_t delivery_id);
void tmk_hub_session_reject(tmk_hub_session *s, uint32_t delivery_id, const tmk_hub_fail *why);
void tmk_hub_session_tell(tmk_hub_session *s); /* what has been accepted so far */

/* ---- link.c ---- */
void tmk_hub_link_attach(tmk_hub_session *s, const tmk_frame *f);
void tmk_hub_link_detached(tmk_hub_link *l, const tmk_frame *f);
/* Ends a link with an error; it is awaited that the peer agrees. */
void tmk_hub_link_close(tmk_hub_link *l, const tmk_hub_fail *why);
tmk_hub_link *tmk_hub_link_free(tmk_hub_link *l);
tmk_hub_subject tmk_hub_link_subject(const tmk_hub_link *l, tmk_hub_what what);
/* It may have something to send: credit, events, window have changed. */
void tmk_hub_link_consider(tmk_hub_link *l);

/* An attach as it was read. */
typedef struct tmk_hub_attach {
    tmk_slice name;
    uint32_t handle;
    bool receiver; /* the client receives */
    uint8_t snd_mode, rcv_mode;
    tmk_value source, target, properties, capabilities;
    uint64_t message_max;
    tmk_slice address; /* of ours: source for receivers, else target */
} tmk_hub_attach;

/* ---- reader.c, sender.c, requests.c: what is attached to ---- */
bool tmk_hub_reader_open(tmk_hub_link *l, const tmk_hub_attach *a, const tmk_hub_place *place,
                         tmk_hub_fail *fail);
void tmk_hub_reader_close(tmk_hub_link *l);
bool tmk_hub_reader_wants(tmk_hub_link *l); /* has it an event to send now? else it waits */
void tmk_hub_reader_pump(tmk_hub_link *l);
bool tmk_hub_sender_open(tmk_hub_link *l, const tmk_hub_place *place, tmk_hub_fail *fail);
void tmk_hub_sender_grant(tmk_hub_link *l); /* credit, where half of it is used */
void tmk_hub_sender_transfer(tmk_hub_session *s, const tmk_frame *f);
void tmk_hub_sender_message(tmk_hub_link *l, tmk_slice bytes);
void tmk_hub_requests_message(tmk_hub_link *l, tmk_slice bytes);
void tmk_hub_replies_pump(tmk_hub_link *l);
bool tmk_hub_replies_wants(tmk_hub_link *l);
void tmk_hub_replies_clear(tmk_hub_link *l);
tmk_hub_outcome *tmk_hub_outcome_free(tmk_hub_outcome *o);
void tmk_hub_outcomes_due(tmk_hub_conn *c);

/* ---- claims.c ---- */
bool tmk_hub_claims_allow(const tmk_hub_conn *c, tmk_slice path, unsigned right);
tmk_status tmk_hub_claims_put(tmk_hub_conn *c, tmk_hub_grant *grant); /* takes what is in it */
void tmk_hub_claims_check(tmk_hub_conn *c); /* ends what has expired, and its links */
unsigned tmk_hub_claims_expire(tmk_hub_conn *c, const tmk_hub_match *m); /* before their time */
void tmk_hub_claims_clear(tmk_hub_conn *c);

/* ---- cbs.c, management.c ---- */
typedef struct tmk_hub_request {
    tmk_value id; /* message-id, of whatever type */
    tmk_slice reply_to;
    tmk_value properties; /* application properties, a map */
    tmk_value body;       /* of an amqp-value */
} tmk_hub_request;
/* Each appends the answer's sections after the properties to *out. */
void tmk_hub_cbs_answer(tmk_hub_conn *c, const tmk_hub_request *r, tmk_str *out);
void tmk_hub_management_answer(tmk_hub_conn *c, const tmk_hub_request *r, tmk_str *out);
void tmk_hub_put_status(tmk_str *out, int32_t status, const char *description,
                        const char *condition);

#endif
