/*
 * From the server to Proton: every frame is judged, whole, before Proton sees
 * it. Each rule names what would happen without it; see docs/internals/gate.md.
 */
#include "amqp/gate_inner.h"

#include "amqp/bytes.h"
#include "amqp/shape.h"
#include "base/status.h"

enum {
    HEADER_SIZE = 8,
    SASL_FRAME_MAX = 4096,
    FRAME_MAX_LEAST = 1024, /* smaller ones of the server leave no room for a transfer's head */
    FRAME_MAX_MOST = 65536, /* of ours, whatever the server would take */
    FRAME_SLACK = 64,       /* what we may add to a frame that Proton has filled */
    IDLE_LEAST_MS = 1000,
    DISPOSITION_WORK_MAX = 4 * 1024 * 1024 /* bytes of state, times deliveries */
};

static bool absent(const tmk_value *v) {
    return v->kind == TMK_VALUE_NONE;
}

/* ---- connection ---- */

/*
 * The open, with the frame size lowered: Proton fills frames to the last byte,
 * and we may have to add some.
 */
static tmk_status rewrite_open(tmk_gate *g, const tmk_frame *f, uint32_t frame_max) {
    tmk_str value = TMK_STR_INIT;

    tmk_wire_put_uint(&value, frame_max);
    tmk_gate_replace_field(f, 2, tmk_str_slice(&value), &g->in_own);
    g->in_own.failed = g->in_own.failed || value.failed;
    tmk_str_clear(&value);
    return tmk_str_ok(&g->in_own) ? TMK_OK : GATE_NO_MEMORY(g);
}

static tmk_status on_open(tmk_gate *g, const tmk_frame *f, const tmk_value *fields,
                          gate_verdict *v) {
    uint64_t frame_max = tmk_wire_uint(&fields[2], FRAME_MAX_MOST);
    uint64_t channel_max = tmk_wire_uint(&fields[3], GATE_CHANNEL_MAX);
    uint64_t idle_ms = tmk_wire_uint(&fields[4], 0);

    if (f->channel != 0 || g->in_phase != GATE_OPEN) {
        return GATE_REFUSE(g, "an open that is not the first frame, or not on channel 0");
    }
    if (frame_max < FRAME_MAX_LEAST) {
        return GATE_REFUSE(g, "the server takes frames of %u bytes only", (unsigned)frame_max);
    }
    if (idle_ms > 0 && idle_ms < IDLE_LEAST_MS) {
        return GATE_REFUSE(g, "the server wants a sign of life each %u ms", (unsigned)idle_ms);
    }
    g->channel_max = channel_max < GATE_CHANNEL_MAX ? (uint16_t)channel_max : GATE_CHANNEL_MAX;
    g->in_phase = GATE_AMQP;
    frame_max = frame_max < FRAME_MAX_MOST ? frame_max : FRAME_MAX_MOST;
    *v = GATE_REWRITE;
    return rewrite_open(g, f, (uint32_t)frame_max - FRAME_SLACK);
}

static tmk_status on_begin(tmk_gate *g, const tmk_frame *f, const tmk_value *fields,
                           gate_verdict *v) {
    gate_session *s;

    if (absent(&fields[0])) {
        return GATE_REFUSE(g, "the server began a session of its own");
    }
    if (f->channel > g->channel_max || tmk_gate_remote(g, f->channel) != NULL) {
        return GATE_REFUSE(g, "a begin on channel %u, which is in use or too high", f->channel);
    }
    s = tmk_gate_unanswered(g, (uint16_t)fields[0].u64);
    if (s == NULL) {
        return GATE_REFUSE(g, "a begin for our channel %u, where none is waited for",
                           (unsigned)fields[0].u64);
    }
    if (tmk_gate_map_remote(g, s, f->channel) < 0) {
        return GATE_NO_MEMORY(g);
    }
    if (s->local_ended) { /* Proton has forgotten it, and may use its channel for another */
        s->hidden = true;
        *v = GATE_DROP;
    }
    s->transfers = (uint32_t)tmk_wire_uint(&fields[1], 0);
    s->handle_max = (uint32_t)tmk_wire_uint(&fields[4], UINT32_MAX);
    return tmk_gate_check_handles(g, s);
}

/* ---- links ---- */

static void keep_symbols(tmk_str *place, const tmk_value *v) {
    if (!absent(v) && v->bytes.size <= GATE_CAPABILITIES_MAX) {
        tmk_wire_put_value(place, v);
    }
}

static tmk_status on_attach(tmk_gate *g, gate_session *s, const tmk_value *fields,
                            gate_verdict *v) {
    bool sender = fields[2].b; /* the server's role is receiver: ours is sender */
    gate_link *l = tmk_gate_link_unanswered(s, fields[0].bytes, sender);
    uint32_t handle = (uint32_t)fields[1].u64;

    if (l == NULL) {
        return GATE_REFUSE(g, "an attach of '%.*s', which is not waited for",
                           (int)(fields[0].bytes.size < 64 ? fields[0].bytes.size : 64),
                           (const char *)fields[0].bytes.bytes);
    }
    if (handle > INT32_MAX || tmk_gate_link_remote(s, handle) != NULL) {
        return GATE_REFUSE(g, "an attach with handle %u, which is in use or too high", handle);
    }
    if (tmk_wire_uint(&fields[3], 0) > 2 || tmk_wire_uint(&fields[4], 0) > 1) {
        return GATE_REFUSE(g, "an attach with an unknown settle mode");
    }
    l->remote_attached = true;
    l->remote_handle = handle;
    l->hidden = l->local_detached || s->local_ended;
    if (!sender) {
        l->delivery_count = (uint32_t)tmk_wire_uint(&fields[9], 0);
        l->limit = l->delivery_count + (l->limit_known ? l->limit : 0);
        l->limit_known = true;
    }
    if (s->laned && l->delivery_count != 0) {
        tmk_lane_flow_due(l); /* the credit that was given counted from 0 */
    }
    keep_symbols(&l->offered, &fields[11]);
    keep_symbols(&l->desired, &fields[12]);
    if (!tmk_str_ok(&l->offered) || !tmk_str_ok(&l->desired)) {
        return GATE_NO_MEMORY(g);
    }
    *v = l->hidden ? GATE_DROP : GATE_PASS;
    return TMK_OK;
}

/* Nothing that concerns Proton; but we may be asked how we stand. */
static void on_lane_flow(gate_session *s, const tmk_value *fields, gate_verdict *v) {
    tmk_list *first = tmk_list_first(&s->links);

    *v = GATE_DROP;
    if (first != NULL && tmk_wire_bool(&fields[9], false)) {
        tmk_lane_flow_due(tmk_container_of(first, gate_link, node));
    }
}

static tmk_status on_flow(tmk_gate *g, gate_session *s, const tmk_value *fields, gate_verdict *v) {
    gate_link *l;
    uint32_t count;

    if (s->local_ended) {
        *v = GATE_DROP;
        return TMK_OK;
    }
    if (s->laned) {
        on_lane_flow(s, fields, v);
    }
    if (absent(&fields[4])) {
        return TMK_OK;
    }
    l = tmk_gate_link_remote(s, (uint32_t)fields[4].u64);
    if (l == NULL) {
        return GATE_REFUSE(g, "a flow for handle %u, which is not attached",
                           (unsigned)fields[4].u64);
    }
    if (tmk_wire_uint(&fields[6], 0) > INT32_MAX) {
        return GATE_REFUSE(g, "a flow with a credit of %u", (unsigned)fields[6].u64);
    }
    if (l->hidden) {
        *v = GATE_DROP;
        return TMK_OK;
    }
    if (l->sender) {
        return TMK_OK;
    }
    /* Proton subtracts without looking: a count that goes back, or past the credit, ruins it. */
    count = (uint32_t)tmk_wire_uint(&fields[5], 0);
    if (!absent(&fields[5]) && l->partial && count + 1 == l->delivery_count) {
        *v = GATE_DROP; /* the delivery under way is not counted yet: old news */
        return TMK_OK;
    }
    if (absent(&fields[5]) || !gate_reached(count, l->delivery_count) ||
        !gate_reached(l->limit, count)) {
        return GATE_REFUSE(g, "a flow with a delivery-count that cannot be");
    }
    l->delivery_count = count;
    return TMK_OK;
}

static tmk_status on_detach(tmk_gate *g, gate_session *s, const tmk_value *fields,
                            gate_verdict *v) {
    gate_link *l = tmk_gate_link_remote(s, (uint32_t)fields[0].u64);

    if (l == NULL) {
        return GATE_REFUSE(g, "a detach of handle %u, which is not attached",
                           (unsigned)fields[0].u64);
    }
    *v = l->hidden || s->local_ended ? GATE_DROP : GATE_PASS;
    tmk_gate_detach_remote(l);
    return TMK_OK;
}

static tmk_status on_end(tmk_gate *g, gate_session *s, gate_verdict *v) {
    *v = s->hidden ? GATE_DROP : GATE_PASS;
    tmk_gate_end_remote(g, s);
    return TMK_OK;
}

/* ---- dispositions ---- */

/*
 * Proton looks at every delivery of the range, and copies the state to each:
 * ids must have been used, and the server may not ask for more work than there
 * were deliveries to work on.
 */
static tmk_status on_disposition(tmk_gate *g, gate_session *s, const tmk_value *fields,
                                 gate_verdict *v) {
    bool ours = fields[0].b; /* the server is the receiver of what we sent */
    uint32_t first = (uint32_t)fields[1].u64;
    uint32_t last = (uint32_t)tmk_wire_uint(&fields[2], first);
    uint32_t next = ours ? s->out_next : s->in_next;
    uint64_t count = (uint64_t)(uint32_t)(last - first) + 1;

    if (s->local_ended) {
        *v = GATE_DROP;
        return TMK_OK;
    }
    if (!(ours ? s->out_any : s->in_any) || !gate_reached(last, first) ||
        gate_reached(last, next)) {
        return GATE_REFUSE(g, "a disposition of deliveries %u to %u, which were not sent", first,
                           last);
    }
    if (count > s->patience || count * fields[4].bytes.size > DISPOSITION_WORK_MAX) {
        return GATE_REFUSE(g, "dispositions beyond measure: %llu deliveries at once",
                           (unsigned long long)count);
    }
    s->patience -= count;
    *v = s->laned ? GATE_DROP : GATE_PASS;
    return TMK_OK;
}

/* ---- SASL ---- */

static tmk_status on_sasl(tmk_gate *g, const tmk_frame *f, size_t size, const tmk_value *fields) {
    if (size > SASL_FRAME_MAX) {
        return GATE_REFUSE(g, "a SASL frame of %zu bytes", size);
    }
    if (f->code == TMK_SASL_MECHANISMS && !g->mechanisms_seen) {
        g->mechanisms_seen = true;
        return TMK_OK;
    }
    if (f->code == TMK_SASL_OUTCOME && g->init_sent) {
        g->in_phase = fields[0].u64 == 0 ? GATE_HEADER : GATE_OVER;
        g->sasl_done = true;
        return TMK_OK;
    }
    return GATE_REFUSE(g, "SASL frame 0x%02x out of turn", f->code); /* a challenge always is */
}

/* ---- frames ---- */

static tmk_status on_amqp(tmk_gate *g, const tmk_frame *f, const tmk_value *fields,
                          gate_verdict *v) {
    gate_session *s;

    if (f->code == TMK_AMQP_OPEN) {
        return on_open(g, f, fields, v);
    }
    if (f->code == TMK_AMQP_CLOSE) {
        g->in_phase = GATE_OVER;
        return TMK_OK;
    }
    if (g->close_sent) {
        *v = GATE_DROP;
        return TMK_OK;
    }
    if (f->code == TMK_AMQP_BEGIN) {
        return on_begin(g, f, fields, v);
    }
    s = tmk_gate_remote(g, f->channel);
    if (s == NULL) {
        return GATE_REFUSE(g, "performative 0x%02x on channel %u, where no session is", f->code,
                           f->channel);
    }
    switch (f->code) {
    case TMK_AMQP_ATTACH:
        return on_attach(g, s, fields, v);
    case TMK_AMQP_FLOW:
        return on_flow(g, s, fields, v);
    case TMK_AMQP_DISPOSITION:
        return on_disposition(g, s, fields, v);
    case TMK_AMQP_DETACH:
        return on_detach(g, s, fields, v);
    default:
        return on_end(g, s, v);
    }
}

/* Proton knows performatives by number only. */
static bool by_number(const tmk_frame *f) {
    return f->performative.descriptor.size == 2 || f->performative.descriptor.size == 9;
}

static tmk_status on_frame(tmk_gate *g, const tmk_frame *f, tmk_slice frame, gate_verdict *v) {
    tmk_value fields[TMK_SHAPE_FIELDS];
    tmk_error err;
    gate_transfer t;

    if (f->type != (g->in_phase == GATE_SASL)) {
        return GATE_REFUSE(g, "a frame of type %u in the wrong phase", f->type);
    }
    if (f->code == 0) {
        return f->type == 0 && g->in_phase == GATE_AMQP
                   ? TMK_OK
                   : GATE_REFUSE(g, "an empty frame too early");
    }
    if (!by_number(f)) {
        return GATE_REFUSE(g, "a performative without a number");
    }
    if (tmk_shape_check(f, fields, &err) < 0) {
        return GATE_REFUSE(g, "%s", err.text);
    }
    if (f->type == 1) {
        return on_sasl(g, f, frame.size, fields);
    }
    if (g->in_phase == GATE_OPEN && f->code != TMK_AMQP_OPEN) {
        return GATE_REFUSE(g, "performative 0x%02x before the open", f->code);
    }
    if (f->code == TMK_AMQP_TRANSFER) {
        tmk_gate_transfer_of(fields, &t);
        if (g->close_sent) {
            *v = GATE_DROP;
            return TMK_OK;
        }
        return tmk_gate_on_transfer(g, f->channel, &t, frame, f->payload.size, v);
    }
    return on_amqp(g, f, fields, v);
}

/* The frame at the front of `bytes`, of which *size are its. */
static tmk_status next_frame(tmk_gate *g, tmk_slice bytes, size_t *size, gate_verdict *v) {
    tmk_frame f;
    gate_transfer t;
    size_t head;
    tmk_error err;
    tmk_status st;

    if (g->in_phase == GATE_AMQP && !g->close_sent && bytes.size > HEADER_SIZE &&
        bytes.bytes[4] == 2 && bytes.bytes[5] == 0) {
        *size = tmk_load32(bytes.bytes);
        if (*size <= bytes.size && *size > HEADER_SIZE && *size <= g->opts.frame_max &&
            tmk_gate_take_transfer(tmk_slice_of(bytes.bytes + HEADER_SIZE, *size - HEADER_SIZE), &t,
                                   &head)) {
            return tmk_gate_on_transfer(g, tmk_load16(bytes.bytes + 6), &t,
                                        tmk_slice_of(bytes.bytes, *size),
                                        *size - HEADER_SIZE - head, v);
        }
    }
    st = tmk_frame_take(bytes, g->opts.frame_max, size, &f, &err);
    if (st < 0) {
        return GATE_REFUSE(g, "%s", err.text);
    }
    return st == TMK_OK ? on_frame(g, &f, tmk_slice_of(bytes.bytes, *size), v) : st;
}

/* The eight bytes that each layer begins with. */
static tmk_status next_header(tmk_gate *g, tmk_slice bytes, size_t *size) {
    uint8_t wanted[HEADER_SIZE] = {'A', 'M', 'Q', 'P', 0, 1, 0, 0};
    size_t have = bytes.size < HEADER_SIZE ? bytes.size : HEADER_SIZE;

    wanted[4] = g->opts.sasl && !g->sasl_done ? 3 : 0;
    if (memcmp(bytes.bytes, wanted, have) != 0) {
        return GATE_REFUSE(g,
                           have > 4 && memcmp(bytes.bytes, wanted, 4) == 0
                               ? "the server speaks another version of AMQP, or wants another layer"
                               : "what answers does not speak AMQP");
    }
    if (have < HEADER_SIZE) {
        return TMK_AGAIN;
    }
    g->in_phase = wanted[4] == 3 ? GATE_SASL : GATE_OPEN;
    *size = HEADER_SIZE;
    return TMK_OK;
}

static tmk_status next_item(tmk_gate *g, tmk_slice bytes, size_t *size, gate_verdict *v) {
    *v = GATE_PASS;
    if (bytes.size == 0) {
        return TMK_AGAIN;
    }
    if (g->in_phase == GATE_OVER) {
        *size = bytes.size;
        *v = GATE_DROP;
        return TMK_OK;
    }
    return g->in_phase == GATE_HEADER ? next_header(g, bytes, size) : next_frame(g, bytes, size, v);
}

/* As many frames as can be passed on from where they lie, behind those that are dropped. */
static tmk_status run(tmk_gate *g, tmk_slice bytes, size_t *taken, tmk_slice *pass) {
    size_t from = 0, at = 0, size = 0;
    gate_verdict v = GATE_PASS;
    tmk_status st;

    while ((st = next_item(g, tmk_slice_of(bytes.bytes + at, bytes.size - at), &size, &v)) ==
           TMK_OK) {
        if (v == GATE_DROP && from == at) {
            from = at + size;
        } else if (v != GATE_PASS) {
            g->in_waiting = v == GATE_REWRITE;
            *pass = tmk_slice_of(bytes.bytes + from, at - from);
            *taken = at + size;
            return TMK_OK;
        }
        at += size;
    }
    if (at == 0) {
        return st;
    }
    *pass = tmk_slice_of(bytes.bytes + from, at - from); /* a failure is told by the next call */
    *taken = at;
    return TMK_OK;
}

tmk_status tmk_gate_in(tmk_gate *g, tmk_slice bytes, size_t *taken, tmk_slice *pass,
                       tmk_error *err) {
    size_t done = 0;
    tmk_slice in = {NULL, 0};
    tmk_status st = g->why.status;

    if (st == TMK_OK && g->in_waiting) {
        g->in_waiting = false;
        in = tmk_str_slice(&g->in_own);
    } else if (st == TMK_OK) {
        st = run(g, bytes, &done, &in);
    }
    if (st < 0 && err != NULL) {
        *err = g->why;
    }
    if (st == TMK_OK) {
        *taken = done;
        *pass = in;
    }
    return st;
}
