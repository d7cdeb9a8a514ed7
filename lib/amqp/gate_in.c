/*
 * From the server to Proton: every frame is judged, whole, before Proton sees
 * it. Each rule names what would happen without it; see docs/internals/gate.md.
 */
#include "amqp/gate_inner.h"

#include <stdarg.h>
#include <stdio.h>

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
    TAG_SIZE_MAX = 32,
    PATIENCE_A_DELIVERY = 16,
    DISPOSITION_WORK_MAX = 4 * 1024 * 1024 /* bytes of state, times deliveries */
};

typedef enum verdict {
    PASS = 0,
    DROP,   /* Proton must not see it, and need not */
    REWRITE /* pass in_own instead */
} verdict;

/* Fails for good. Another connection may fare better. */
TMK_PRINTF(2, 3)
static tmk_status refuse(tmk_gate *g, const char *format, ...) {
    char text[sizeof g->why.text];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return tmk_fail_retry(&g->why, TMK_EPROTO, "gate", "%s", text);
}

static tmk_status no_memory(tmk_gate *g) {
    return tmk_fail(&g->why, TMK_ENOMEM, "gate", "no memory for a connection");
}

static bool absent(const tmk_value *v) {
    return v->kind == TMK_VALUE_NONE;
}

/* a is not before b, counting in a circle. */
static bool reached(uint32_t a, uint32_t b) {
    return (int32_t)(a - b) >= 0;
}

/* ---- connection ---- */

/*
 * The open, with the frame size lowered: Proton fills frames to the last byte,
 * and we may have to add some.
 */
static tmk_status rewrite_open(tmk_gate *g, const tmk_frame *f, uint32_t frame_max) {
    tmk_slice rest = f->performative.bytes;
    tmk_frame_mark m;

    tmk_str_reset(&g->in_own);
    m = tmk_frame_begin(&g->in_own, 0, 0, TMK_AMQP_OPEN);
    for (uint32_t i = 0; i < f->performative.count || i < 3; i++) {
        tmk_slice field = rest;

        if (i < f->performative.count) {
            (void)tmk_wire_skip(&rest); /* it was found sound */
        }
        field.size -= rest.size;
        if (i == 2) {
            tmk_wire_put_uint(&g->in_own, frame_max);
        } else if (field.size == 0) {
            tmk_wire_null(&g->in_own);
        } else {
            tmk_str_add_slice(&g->in_own, field);
        }
    }
    tmk_frame_end_fields(&g->in_own, m, f->performative.count < 3 ? 3 : f->performative.count);
    tmk_frame_end(&g->in_own, m);
    return tmk_str_ok(&g->in_own) ? TMK_OK : no_memory(g);
}

static tmk_status on_open(tmk_gate *g, const tmk_frame *f, const tmk_value *fields, verdict *v) {
    uint64_t frame_max = tmk_wire_uint(&fields[2], FRAME_MAX_MOST);
    uint64_t channel_max = tmk_wire_uint(&fields[3], GATE_CHANNEL_MAX);
    uint64_t idle_ms = tmk_wire_uint(&fields[4], 0);

    if (f->channel != 0 || g->in_phase != GATE_OPEN) {
        return refuse(g, "an open that is not the first frame, or not on channel 0");
    }
    if (frame_max < FRAME_MAX_LEAST) {
        return refuse(g, "the server takes frames of %u bytes only", (unsigned)frame_max);
    }
    if (idle_ms > 0 && idle_ms < IDLE_LEAST_MS) {
        return refuse(g, "the server wants a sign of life each %u ms", (unsigned)idle_ms);
    }
    g->channel_max = channel_max < GATE_CHANNEL_MAX ? (uint16_t)channel_max : GATE_CHANNEL_MAX;
    g->in_phase = GATE_AMQP;
    frame_max = frame_max < FRAME_MAX_MOST ? frame_max : FRAME_MAX_MOST;
    *v = REWRITE;
    return rewrite_open(g, f, (uint32_t)frame_max - FRAME_SLACK);
}

static tmk_status on_begin(tmk_gate *g, const tmk_frame *f, const tmk_value *fields, verdict *v) {
    gate_session *s;

    if (absent(&fields[0])) {
        return refuse(g, "the server began a session of its own");
    }
    if (f->channel > g->channel_max || tmk_gate_remote(g, f->channel) != NULL) {
        return refuse(g, "a begin on channel %u, which is in use or too high", f->channel);
    }
    s = tmk_gate_unanswered(g, (uint16_t)fields[0].u64);
    if (s == NULL) {
        return refuse(g, "a begin for our channel %u, where none is waited for",
                      (unsigned)fields[0].u64);
    }
    if (tmk_gate_map_remote(g, s, f->channel) < 0) {
        return no_memory(g);
    }
    if (s->local_ended) { /* Proton has forgotten it, and may use its channel for another */
        s->hidden = true;
        *v = DROP;
    }
    return TMK_OK;
}

/* ---- links ---- */

static void keep_symbols(tmk_str *place, const tmk_value *v) {
    if (!absent(v) && v->bytes.size <= GATE_CAPABILITIES_MAX) {
        tmk_wire_put_value(place, v);
    }
}

static tmk_status on_attach(tmk_gate *g, gate_session *s, const tmk_value *fields, verdict *v) {
    bool sender = fields[2].b; /* the server's role is receiver: ours is sender */
    gate_link *l = tmk_gate_link_unanswered(s, fields[0].bytes, sender);
    uint32_t handle = (uint32_t)fields[1].u64;

    if (l == NULL) {
        return refuse(g, "an attach of '%.*s', which is not waited for",
                      (int)(fields[0].bytes.size < 64 ? fields[0].bytes.size : 64),
                      (const char *)fields[0].bytes.bytes);
    }
    if (handle > INT32_MAX || tmk_gate_link_remote(s, handle) != NULL) {
        return refuse(g, "an attach with handle %u, which is in use or too high", handle);
    }
    if (tmk_wire_uint(&fields[3], 0) > 2 || tmk_wire_uint(&fields[4], 0) > 1) {
        return refuse(g, "an attach with an unknown settle mode");
    }
    l->remote_attached = true;
    l->remote_handle = handle;
    l->hidden = l->local_detached || s->local_ended;
    if (!sender) {
        l->delivery_count = (uint32_t)tmk_wire_uint(&fields[9], 0);
        l->limit = l->delivery_count + (l->limit_known ? l->limit : 0);
        l->limit_known = true;
    }
    keep_symbols(&l->offered, &fields[11]);
    keep_symbols(&l->desired, &fields[12]);
    if (!tmk_str_ok(&l->offered) || !tmk_str_ok(&l->desired)) {
        return no_memory(g);
    }
    *v = l->hidden ? DROP : PASS;
    return TMK_OK;
}

static tmk_status on_flow(tmk_gate *g, gate_session *s, const tmk_value *fields, verdict *v) {
    gate_link *l;
    uint32_t count;

    if (s->local_ended) {
        *v = DROP;
        return TMK_OK;
    }
    if (absent(&fields[4])) {
        return TMK_OK;
    }
    l = tmk_gate_link_remote(s, (uint32_t)fields[4].u64);
    if (l == NULL) {
        return refuse(g, "a flow for handle %u, which is not attached", (unsigned)fields[4].u64);
    }
    if (tmk_wire_uint(&fields[6], 0) > INT32_MAX) {
        return refuse(g, "a flow with a credit of %u", (unsigned)fields[6].u64);
    }
    if (l->hidden) {
        *v = DROP;
        return TMK_OK;
    }
    if (l->sender) {
        return TMK_OK;
    }
    /* Proton subtracts without looking: a count that goes back, or past the credit, ruins it. */
    count = (uint32_t)tmk_wire_uint(&fields[5], 0);
    if (!absent(&fields[5]) && l->partial && count + 1 == l->delivery_count) {
        *v = DROP; /* the delivery under way is not counted yet: old news */
        return TMK_OK;
    }
    if (absent(&fields[5]) || !reached(count, l->delivery_count) || !reached(l->limit, count)) {
        return refuse(g, "a flow with a delivery-count that cannot be");
    }
    l->delivery_count = count;
    return TMK_OK;
}

static tmk_status on_detach(tmk_gate *g, gate_session *s, const tmk_value *fields, verdict *v) {
    gate_link *l = tmk_gate_link_remote(s, (uint32_t)fields[0].u64);

    if (l == NULL) {
        return refuse(g, "a detach of handle %u, which is not attached", (unsigned)fields[0].u64);
    }
    *v = l->hidden || s->local_ended ? DROP : PASS;
    tmk_gate_detach_remote(l);
    return TMK_OK;
}

static tmk_status on_end(tmk_gate *g, gate_session *s, verdict *v) {
    *v = s->hidden ? DROP : PASS;
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
                                 verdict *v) {
    bool ours = fields[0].b; /* the server is the receiver of what we sent */
    uint32_t first = (uint32_t)fields[1].u64;
    uint32_t last = (uint32_t)tmk_wire_uint(&fields[2], first);
    uint32_t next = ours ? s->out_next : s->in_next;
    uint64_t count = (uint64_t)(uint32_t)(last - first) + 1;

    if (s->local_ended) {
        *v = DROP;
        return TMK_OK;
    }
    if (!(ours ? s->out_any : s->in_any) || !reached(last, first) || reached(last, next)) {
        return refuse(g, "a disposition of deliveries %u to %u, which were not sent", first, last);
    }
    if (count > s->patience || count * fields[4].bytes.size > DISPOSITION_WORK_MAX) {
        return refuse(g, "dispositions beyond measure: %llu deliveries at once",
                      (unsigned long long)count);
    }
    s->patience -= count;
    return TMK_OK;
}

/* ---- transfers ---- */

typedef struct transfer {
    uint32_t handle, id, format;
    bool has_id, has_format, settled, has_settled, more, aborted;
    size_t tag_size; /* SIZE_MAX: no tag */
} transfer;

typedef struct cursor {
    const uint8_t *at, *end;
    uint32_t left; /* fields */
} cursor;

static inline bool next_uint(cursor *c, uint32_t *out, bool *set) {
    size_t left = (size_t)(c->end - c->at), size = 1;

    *set = false;
    *out = 0;
    if (c->left == 0) {
        return true;
    }
    c->left--;
    if (left >= 5 && c->at[0] == 0x70) {
        *out = tmk_load32(c->at + 1);
        size = 5;
    } else if (left >= 2 && c->at[0] == 0x52) {
        *out = c->at[1];
        size = 2;
    } else if (left == 0 || (c->at[0] != 0x43 && c->at[0] != 0x40)) {
        return false;
    }
    *set = c->at[0] != 0x40;
    c->at += size;
    return true;
}

/* null, true or false in a byte; the rare form with two is left to the general way. */
static inline bool next_bool(cursor *c, bool *out, bool *set) {
    uint8_t code;

    *set = false;
    *out = false;
    if (c->left == 0) {
        return true;
    }
    c->left--;
    if (c->at == c->end || (code = *c->at++) < 0x40 || code > 0x42) {
        return false;
    }
    *set = code != 0x40;
    *out = code == 0x41;
    return true;
}

static inline bool next_tag(cursor *c, size_t *size) {
    *size = SIZE_MAX;
    if (c->left == 0) {
        return true;
    }
    c->left--;
    if (c->end - c->at >= 2 && c->at[0] == 0xa0 && c->end - c->at - 2 >= c->at[1]) {
        *size = c->at[1];
        c->at += 2 + *size;
        return true;
    }
    return c->at != c->end && *c->at++ == 0x40;
}

/* The fields that hardly anybody sends: receiver's settle mode, state, resume, aborted, batchable.
 */
static bool rare_fields(cursor *c, transfer *t) {
    bool value, set;

    for (unsigned i = 0; i < 2 && c->left > 0; i++) {
        c->left--;
        if (c->at == c->end || *c->at++ != 0x40) {
            return false;
        }
    }
    return next_bool(c, &value, &set) && next_bool(c, &t->aborted, &set) &&
           next_bool(c, &value, &set);
}

/*
 * The usual transfer, in line: `performative` begins with its descriptor. false
 * for anything unusual, which is not wrong for that. *size: of the performative.
 */
static bool take_transfer(tmk_slice performative, transfer *t, size_t *size) {
    const uint8_t *p = performative.bytes;
    size_t fields_at, end;
    cursor c;
    bool set;

    if (performative.size < 12 || memcmp(p, "\x00\x53\x14", 3) != 0) {
        return false;
    }
    if (p[3] == 0xc0) {
        fields_at = 6;
        end = (size_t)5 + p[4];
    } else if (p[3] == 0xd0) {
        fields_at = 12;
        end = (size_t)8 + tmk_load32(p + 4);
    } else {
        return false;
    }
    if (end < fields_at || end > performative.size) {
        return false;
    }
    c = (cursor){p + fields_at, p + end, p[3] == 0xc0 ? p[5] : tmk_load32(p + 8)};
    t->aborted = false;
    if (!next_uint(&c, &t->handle, &set) || !set || !next_uint(&c, &t->id, &t->has_id) ||
        !next_tag(&c, &t->tag_size) || !next_uint(&c, &t->format, &t->has_format) ||
        !next_bool(&c, &t->settled, &t->has_settled) || !next_bool(&c, &t->more, &set) ||
        (c.left > 0 && !rare_fields(&c, t))) {
        return false;
    }
    *size = end;
    return c.left == 0 && c.at == c.end;
}

static void transfer_of(const tmk_value *fields, transfer *t) {
    *t = (transfer){
        .handle = (uint32_t)fields[0].u64,
        .id = (uint32_t)tmk_wire_uint(&fields[1], 0),
        .has_id = !absent(&fields[1]),
        .tag_size = absent(&fields[2]) ? SIZE_MAX : fields[2].bytes.size,
        .format = (uint32_t)tmk_wire_uint(&fields[3], 0),
        .has_format = !absent(&fields[3]),
        .settled = tmk_wire_bool(&fields[4], false),
        .has_settled = !absent(&fields[4]),
        .more = tmk_wire_bool(&fields[5], false),
        .aborted = tmk_wire_bool(&fields[9], false),
    };
}

/* The first frame of a delivery. Proton asserts the id, and counts credit down without looking. */
static tmk_status on_delivery(tmk_gate *g, gate_session *s, gate_link *l, const transfer *t) {
    if (!t->has_id || t->tag_size == SIZE_MAX || t->tag_size > TAG_SIZE_MAX) {
        return refuse(g, "a delivery without an id, or without a tag of at most %d bytes",
                      TAG_SIZE_MAX);
    }
    if (s->in_any && t->id != s->in_next) {
        return refuse(g, "delivery %u where %u was due", t->id, s->in_next);
    }
    if (!l->limit_known || reached(l->delivery_count, l->limit)) {
        return refuse(g, "a delivery beyond the credit of link '%.64s'", tmk_str_text(&l->name));
    }
    s->in_any = true;
    s->in_next = t->id + 1;
    s->patience += PATIENCE_A_DELIVERY;
    l->delivery_count++;
    l->id = t->id;
    l->size = 0;
    l->settled = false;
    l->format = t->format;
    return TMK_OK;
}

static tmk_status on_continuation(tmk_gate *g, gate_link *l, const transfer *t) {
    if ((t->has_id && t->id != l->id) || (t->has_settled && !t->settled && l->settled) ||
        (t->has_format && t->format != l->format) ||
        (t->tag_size != SIZE_MAX && t->tag_size > TAG_SIZE_MAX)) {
        return refuse(g, "a frame that does not continue delivery %u", l->id);
    }
    return TMK_OK;
}

/*
 * A transfer on a link that we have detached goes on without its content: Proton
 * must count it, but nobody would take the bytes out of it again.
 */
static tmk_status without_payload(tmk_gate *g, tmk_slice frame, size_t payload_size, verdict *v) {
    tmk_slice head = tmk_slice_of(frame.bytes, frame.size - payload_size);

    tmk_str_reset(&g->in_own);
    tmk_str_add_slice(&g->in_own, head);
    if (!tmk_str_ok(&g->in_own)) {
        return no_memory(g);
    }
    tmk_store32(g->in_own.text, (uint32_t)head.size);
    *v = REWRITE;
    return TMK_OK;
}

static tmk_status on_transfer(tmk_gate *g, uint16_t channel, const transfer *t, tmk_slice frame,
                              size_t payload_size, verdict *v) {
    gate_session *s = tmk_gate_remote(g, channel);
    gate_link *l;
    tmk_status st;

    if (s == NULL) {
        return refuse(g, "a transfer on channel %u, where no session is", channel);
    }
    if (s->local_ended) {
        *v = DROP;
        return TMK_OK;
    }
    l = tmk_gate_link_remote(s, t->handle);
    if (l == NULL || l->sender) {
        return refuse(g, "a transfer on handle %u, where no receiver of ours is", t->handle);
    }
    st = l->partial ? on_continuation(g, l, t) : on_delivery(g, s, l, t);
    if (st < 0) {
        return st;
    }
    l->settled = l->settled || t->settled;
    l->partial = t->more && !t->aborted;
    l->size += payload_size;
    if (l->size > g->opts.message_max) {
        return refuse(g, "a message of more than %llu bytes on link '%.64s'",
                      (unsigned long long)g->opts.message_max, tmk_str_text(&l->name));
    }
    if (l->hidden) {
        *v = DROP;
    } else if (l->local_detached && payload_size > 0) {
        return without_payload(g, frame, payload_size, v);
    }
    return TMK_OK;
}

/* ---- SASL ---- */

static tmk_status on_sasl(tmk_gate *g, const tmk_frame *f, size_t size, const tmk_value *fields) {
    if (size > SASL_FRAME_MAX) {
        return refuse(g, "a SASL frame of %zu bytes", size);
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
    return refuse(g, "SASL frame 0x%02x out of turn", f->code); /* a challenge always is */
}

/* ---- frames ---- */

static tmk_status on_amqp(tmk_gate *g, const tmk_frame *f, const tmk_value *fields, verdict *v) {
    gate_session *s;

    if (f->code == TMK_AMQP_OPEN) {
        return on_open(g, f, fields, v);
    }
    if (f->code == TMK_AMQP_CLOSE) {
        g->in_phase = GATE_OVER;
        return TMK_OK;
    }
    if (g->close_sent) {
        *v = DROP;
        return TMK_OK;
    }
    if (f->code == TMK_AMQP_BEGIN) {
        return on_begin(g, f, fields, v);
    }
    s = tmk_gate_remote(g, f->channel);
    if (s == NULL) {
        return refuse(g, "performative 0x%02x on channel %u, where no session is", f->code,
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

static tmk_status on_frame(tmk_gate *g, const tmk_frame *f, tmk_slice frame, verdict *v) {
    tmk_value fields[TMK_SHAPE_FIELDS];
    tmk_error err;
    transfer t;

    if (f->type != (g->in_phase == GATE_SASL)) {
        return refuse(g, "a frame of type %u in the wrong phase", f->type);
    }
    if (f->code == 0) {
        return f->type == 0 && g->in_phase == GATE_AMQP ? TMK_OK
                                                        : refuse(g, "an empty frame too early");
    }
    if (!by_number(f)) {
        return refuse(g, "a performative without a number");
    }
    if (tmk_shape_check(f, fields, &err) < 0) {
        return refuse(g, "%s", err.text);
    }
    if (f->type == 1) {
        return on_sasl(g, f, frame.size, fields);
    }
    if (g->in_phase == GATE_OPEN && f->code != TMK_AMQP_OPEN) {
        return refuse(g, "performative 0x%02x before the open", f->code);
    }
    if (f->code == TMK_AMQP_TRANSFER) {
        transfer_of(fields, &t);
        if (g->close_sent) {
            *v = DROP;
            return TMK_OK;
        }
        return on_transfer(g, f->channel, &t, frame, f->payload.size, v);
    }
    return on_amqp(g, f, fields, v);
}

/* The frame at the front of `bytes`, of which *size are its. */
static tmk_status next_frame(tmk_gate *g, tmk_slice bytes, size_t *size, verdict *v) {
    tmk_frame f;
    transfer t;
    size_t head;
    tmk_error err;
    tmk_status st;

    if (g->in_phase == GATE_AMQP && !g->close_sent && bytes.size > HEADER_SIZE &&
        bytes.bytes[4] == 2 && bytes.bytes[5] == 0) {
        *size = tmk_load32(bytes.bytes);
        if (*size <= bytes.size && *size > HEADER_SIZE && *size <= g->opts.frame_max &&
            take_transfer(tmk_slice_of(bytes.bytes + HEADER_SIZE, *size - HEADER_SIZE), &t,
                          &head)) {
            return on_transfer(g, tmk_load16(bytes.bytes + 6), &t, tmk_slice_of(bytes.bytes, *size),
                               *size - HEADER_SIZE - head, v);
        }
    }
    st = tmk_frame_take(bytes, g->opts.frame_max, size, &f, &err);
    if (st < 0) {
        return refuse(g, "%s", err.text);
    }
    return st == TMK_OK ? on_frame(g, &f, tmk_slice_of(bytes.bytes, *size), v) : st;
}

/* The eight bytes that each layer begins with. */
static tmk_status next_header(tmk_gate *g, tmk_slice bytes, size_t *size) {
    uint8_t wanted[HEADER_SIZE] = {'A', 'M', 'Q', 'P', 0, 1, 0, 0};
    size_t have = bytes.size < HEADER_SIZE ? bytes.size : HEADER_SIZE;

    wanted[4] = g->opts.sasl && !g->sasl_done ? 3 : 0;
    if (memcmp(bytes.bytes, wanted, have) != 0) {
        return refuse(g, have > 4 && memcmp(bytes.bytes, wanted, 4) == 0
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

static tmk_status next_item(tmk_gate *g, tmk_slice bytes, size_t *size, verdict *v) {
    *v = PASS;
    if (bytes.size == 0) {
        return TMK_AGAIN;
    }
    if (g->in_phase == GATE_OVER) {
        *size = bytes.size;
        *v = DROP;
        return TMK_OK;
    }
    return g->in_phase == GATE_HEADER ? next_header(g, bytes, size) : next_frame(g, bytes, size, v);
}

/* As many frames as can be passed on from where they lie. */
static tmk_status run(tmk_gate *g, tmk_slice bytes, size_t *taken, tmk_slice *pass) {
    size_t at = 0, size = 0;
    verdict v = PASS;
    tmk_status st;

    while ((st = next_item(g, tmk_slice_of(bytes.bytes + at, bytes.size - at), &size, &v)) ==
           TMK_OK) {
        if (v != PASS) {
            g->in_waiting = v == REWRITE;
            *pass = tmk_slice_of(bytes.bytes, at);
            *taken = at + size;
            return TMK_OK;
        }
        at += size;
    }
    if (at == 0) {
        return st;
    }
    *pass = tmk_slice_of(bytes.bytes, at); /* a failure is told by the next call */
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
