/*
 * The inside of the gate, shared by its files: gate.c (life, questions),
 * gate_in.c, gate_transfer.c and gate_out.c (the two directions), gate_state.c
 * (who is who), lane.c (links that Proton sees no transfers of).
 */
#ifndef TMK_AMQP_GATE_INNER_H
#define TMK_AMQP_GATE_INNER_H

#include "amqp/gate.h"
#include "base/list.h"

enum {
    GATE_CHANNEL_MAX = 32767, /* what Proton announces */
    GATE_CAPABILITIES_MAX = 1024,
    GATE_PATIENCE_FIRST = 1024,
    GATE_PATIENCE_A_DELIVERY = 16
};

/* Both fail for good; a broken rule may be kept on another connection. */
#define GATE_REFUSE(g, ...) tmk_fail_retry(&(g)->why, TMK_EPROTO, "gate", __VA_ARGS__)
#define GATE_NO_MEMORY(g) tmk_fail(&(g)->why, TMK_ENOMEM, "gate", "no memory for a connection")

/* A link that we attached. Ends when both sides have detached, or with its session. */
typedef struct gate_link {
    tmk_list node;
    struct gate_session *session;
    tmk_str name;
    bool sender; /* we send */
    bool local_detached, remote_attached, remote_detached;
    bool hidden; /* Proton was never told that the server attached it */
    uint32_t local_handle, remote_handle;

    /* Receiving: deliveries so far, and up to how many we allowed. */
    uint32_t delivery_count, limit;
    bool limit_known;
    /* The delivery under way, while partial. */
    bool partial, settled;
    uint32_t id;
    uint64_t size;
    uint32_t format; /* of the newest delivery */

    tmk_str offered, desired; /* encoded, as the server sent them */

    /* In a laned session: */
    tmk_data_lane *lane; /* NULL: closed, what comes is dropped */
    tmk_list due;        /* in the gate's list of those that have something to say */
    bool flow_due, accept_due;
    uint32_t accept_first, accept_last; /* deliveries to accept */
} gate_link;

/* A session that we began. */
typedef struct gate_session {
    tmk_list node; /* in the order of our begins */
    tmk_gate *gate;
    tmk_list links;
    uint16_t local_channel, remote_channel;
    bool local_ended, remote_begun, remote_ended;
    bool hidden; /* Proton was never told that the server began it */

    uint32_t handle_max, handle_most; /* what the server allows; the highest that we used */

    bool in_any, out_any;       /* a delivery came, went */
    uint32_t in_next, out_next; /* the next delivery-id of each direction */
    uint64_t patience;          /* work that the server may still cause by dispositions */

    bool laned;                         /* its transfers and flows are not for Proton: see lane.h */
    uint32_t transfers;                 /* the next that comes; frames, not deliveries */
    uint32_t window, window_left;       /* frames: at each flow, and since the last one */
    uint32_t out_transfers, out_window; /* as our begin said: nothing goes out */
} gate_session;

typedef struct gate_slot {
    gate_session *session; /* NULL: free */
} gate_slot;

typedef struct gate_table { /* by channel */
    gate_slot *slots;
    size_t room;
} gate_table;

/* Capabilities and lane for a link that is not attached yet. */
typedef struct gate_ask {
    tmk_list node;
    tmk_str name, symbols; /* symbols: an encoded array; empty: nothing is desired */
    bool laned;
    tmk_data_lane *lane; /* NULL: none, or closed */
} gate_ask;

typedef enum gate_phase {
    GATE_HEADER = 0, /* a protocol header is expected */
    GATE_SASL,
    GATE_OPEN, /* the open is expected */
    GATE_AMQP,
    GATE_OVER /* the server has closed or refused: whatever comes is swallowed */
} gate_phase;

struct tmk_gate {
    tmk_gate_options opts;
    tmk_error why; /* status not OK: failed for good */

    tmk_list sessions, asks;
    gate_table local, remote;
    uint16_t channel_max;

    gate_phase in_phase;
    bool sasl_done, mechanisms_seen;
    tmk_str in_own;  /* a frame to pass that is not as it came */
    bool in_waiting; /* in_own is to be passed next */

    bool init_sent, close_sent;
    tmk_str out_own;  /* an outgoing frame that was cut, or is not as it came */
    bool out_waiting; /* out_own is to be sent next */
    bool out_partial; /* out_own is the beginning of a frame */

    tmk_list due;     /* links with lanes that have something to say */
    tmk_str lane_out; /* what they said last */
};

/* a is not before b, counting in a circle. */
static inline bool gate_reached(uint32_t a, uint32_t b) {
    return (int32_t)(a - b) >= 0;
}

/* ---- gate.c ---- */

/*
 * Writes a frame anew with field `index` of its performative replaced by the
 * encoded `value`; fields that were left out before it become null. The frame's
 * encoding is sound. Check tmk_str_ok(out).
 */
void tmk_gate_replace_field(const tmk_frame *f, uint32_t index, tmk_slice value, tmk_str *out);

/* What was asked for a link; NULL: nothing. */
gate_ask *tmk_gate_find_ask(tmk_gate *g, tmk_slice link_name);
void tmk_gate_drop_ask(gate_ask *a);

/* ---- gate_transfer.c ---- */

/* What becomes of an incoming frame. */
typedef enum gate_verdict {
    GATE_PASS = 0,
    GATE_DROP,   /* Proton must not see it, and need not */
    GATE_REWRITE /* pass in_own instead */
} gate_verdict;

typedef struct gate_transfer {
    uint32_t handle, id, format;
    bool has_id, has_format, settled, has_settled, more, aborted;
    size_t tag_size; /* SIZE_MAX: no tag */
} gate_transfer;

/*
 * Reads the usual transfer; `performative` begins with its descriptor. false for
 * anything unusual, which is not wrong for that. *size: of the performative.
 */
bool tmk_gate_take_transfer(tmk_slice performative, gate_transfer *t, size_t *size);
/* Any transfer whose shape was checked. */
void tmk_gate_transfer_of(const tmk_value *fields, gate_transfer *t);
tmk_status tmk_gate_on_transfer(tmk_gate *g, uint16_t channel, const gate_transfer *t,
                                tmk_slice frame, size_t payload_size, gate_verdict *v);

/* ---- gate_state.c ---- */

tmk_status tmk_gate_begin(tmk_gate *g, uint16_t local_channel);
tmk_status tmk_gate_map_remote(tmk_gate *g, gate_session *s, uint16_t remote_channel);
gate_session *tmk_gate_local(const tmk_gate *g, uint16_t channel);  /* NULL: none */
gate_session *tmk_gate_remote(const tmk_gate *g, uint16_t channel); /* NULL: none */
/* The first session on this channel of ours whose begin was not answered; NULL: none. */
gate_session *tmk_gate_unanswered(const tmk_gate *g, uint16_t local_channel);
void tmk_gate_end_local(tmk_gate *g, gate_session *s);  /* may free s */
void tmk_gate_end_remote(tmk_gate *g, gate_session *s); /* may free s */
void tmk_gate_clear(tmk_gate *g);

tmk_status tmk_gate_attach(gate_session *s, tmk_slice name, bool sender, uint32_t handle,
                           gate_link **out);
/* Whether the server allows as many links in this session as we attach there; said when not. */
tmk_status tmk_gate_check_handles(tmk_gate *g, const gate_session *s);
gate_link *tmk_gate_link_local(const gate_session *s, uint32_t handle);
gate_link *tmk_gate_link_remote(const gate_session *s, uint32_t handle);
gate_link *tmk_gate_link_unanswered(const gate_session *s, tmk_slice name, bool sender);
gate_link *tmk_gate_link_named(const tmk_gate *g, tmk_slice name); /* attached by both sides */
void tmk_gate_detach_local(gate_link *l);                          /* may free l */
void tmk_gate_detach_remote(gate_link *l);                         /* may free l */

/* ---- lane.c ---- */

/* The session's only link gets a lane; NULL: one that is closed already. */
void tmk_lane_attach(gate_session *s, gate_link *l, tmk_data_lane *lane);
void tmk_lane_detach(gate_link *l); /* nothing is handed on or said any more */
void tmk_lane_flow_due(gate_link *l);
/* A transfer that was judged, of a link in a laned session. */
tmk_status tmk_lane_take(gate_link *l, tmk_slice payload, bool more, bool aborted);
/* What lanes have to say, whole frames; false: nothing. Check tmk_str_ok(out). */
bool tmk_lane_compose(tmk_gate *g, tmk_str *out);

#endif
