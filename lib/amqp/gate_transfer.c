/*
 * Transfers from the server: the one frame that comes again and again, so that
 * its usual form is read in line. Credit, order and size are counted here.
 */
#include "amqp/gate_inner.h"

#include "amqp/bytes.h"
#include "base/status.h"

enum { TAG_SIZE_MAX = 32 };

static bool absent(const tmk_value *v) {
    return v->kind == TMK_VALUE_NONE;
}

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
static bool rare_fields(cursor *c, gate_transfer *t) {
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
 * The form in which a service writes transfer after transfer: a short list with the first six
 * fields, and behind them nothing but nulls and truths. Enough bytes follow that no field has to be
 * held against the end: that it was met exactly is seen there. false: any other form.
 */
enum { PLAIN_FIELDS_MAX = 6 + 5 + 5 + 2 + 32 + 5 + 1 + 1 + 5 };

static inline bool plain_uint(const uint8_t **at, uint32_t *out) {
    const uint8_t *p = *at;

    if (p[0] == 0x43) {
        *out = 0;
        *at = p + 1;
    } else if (p[0] == 0x52) {
        *out = p[1];
        *at = p + 2;
    } else {
        *out = tmk_load32(p + 1);
        *at = p + 5;
        return p[0] == 0x70;
    }
    return true;
}

static inline bool plain_transfer(const uint8_t *p, gate_transfer *t, size_t *size) {
    const uint8_t *at = p + 6;

    if (!plain_uint(&at, &t->handle) || !plain_uint(&at, &t->id) || at[0] != 0xa0 ||
        at[1] > TAG_SIZE_MAX) {
        return false;
    }
    t->tag_size = at[1];
    at += 2 + t->tag_size;
    if (!plain_uint(&at, &t->format) || at[0] < 0x40 || at[0] > 0x42 || at[1] < 0x40 ||
        at[1] > 0x42) {
        return false;
    }
    t->settled = at[0] == 0x41;
    t->has_settled = at[0] != 0x40;
    t->more = at[1] == 0x41;
    t->has_id = t->has_format = true;
    t->aborted = false;
    *size = (size_t)5 + p[4];
    if (p[5] == 6) {
        return at + 2 == p + *size;
    }
    return p[5] == 11 && at + 7 == p + *size && tmk_load32(at + 2) == 0x40404040U && at[6] == 0x40;
}

/*
 * The usual transfer, in line: `performative` begins with its descriptor. false
 * for anything unusual, which is not wrong for that. *size: of the performative.
 */
bool tmk_gate_take_transfer(tmk_slice performative, gate_transfer *t, size_t *size) {
    const uint8_t *p = performative.bytes;
    size_t fields_at, end;
    cursor c;
    bool set;

    if (performative.size < 12 || memcmp(p, "\x00\x53\x14", 3) != 0) {
        return false;
    }
    if (p[3] == 0xc0 && performative.size >= PLAIN_FIELDS_MAX && plain_transfer(p, t, size)) {
        return true;
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

void tmk_gate_transfer_of(const tmk_value *fields, gate_transfer *t) {
    *t = (gate_transfer){
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
static tmk_status on_delivery(tmk_gate *g, gate_session *s, gate_link *l, const gate_transfer *t) {
    if (!t->has_id || t->tag_size == SIZE_MAX || t->tag_size > TAG_SIZE_MAX) {
        return GATE_REFUSE(g, "a delivery without an id, or without a tag of at most %d bytes",
                           TAG_SIZE_MAX);
    }
    if (s->in_any && t->id != s->in_next) {
        return GATE_REFUSE(g, "delivery %u where %u was due", t->id, s->in_next);
    }
    if (!l->limit_known || gate_reached(l->delivery_count, l->limit)) {
        return GATE_REFUSE(g, "a delivery beyond the credit of link '%.64s'",
                           tmk_str_text(&l->name));
    }
    s->in_any = true;
    s->in_next = t->id + 1;
    s->patience += GATE_PATIENCE_A_DELIVERY;
    l->delivery_count++;
    l->id = t->id;
    l->size = 0;
    l->settled = false;
    l->format = t->format;
    return TMK_OK;
}

static tmk_status on_continuation(tmk_gate *g, gate_link *l, const gate_transfer *t) {
    if ((t->has_id && t->id != l->id) || (t->has_settled && !t->settled && l->settled) ||
        (t->has_format && t->format != l->format) ||
        (t->tag_size != SIZE_MAX && t->tag_size > TAG_SIZE_MAX)) {
        return GATE_REFUSE(g, "a frame that does not continue delivery %u", l->id);
    }
    return TMK_OK;
}

/*
 * A transfer on a link that we have detached goes on without its content: Proton
 * must count it, but nobody would take the bytes out of it again.
 */
static tmk_status without_payload(tmk_gate *g, tmk_slice frame, size_t payload_size,
                                  gate_verdict *v) {
    tmk_slice head = tmk_slice_of(frame.bytes, frame.size - payload_size);

    tmk_str_reset(&g->in_own);
    tmk_str_add_slice(&g->in_own, head);
    if (!tmk_str_ok(&g->in_own)) {
        return GATE_NO_MEMORY(g);
    }
    tmk_store32(g->in_own.text, (uint32_t)head.size);
    *v = GATE_REWRITE;
    return TMK_OK;
}

tmk_status tmk_gate_on_transfer(tmk_gate *g, uint16_t channel, const gate_transfer *t,
                                tmk_slice frame, size_t payload_size, gate_verdict *v) {
    gate_session *s = tmk_gate_remote(g, channel);
    gate_link *l;
    tmk_status st;

    if (s == NULL) {
        return GATE_REFUSE(g, "a transfer on channel %u, where no session is", channel);
    }
    if (s->local_ended) {
        *v = GATE_DROP;
        return TMK_OK;
    }
    l = tmk_gate_link_remote(s, t->handle);
    if (l == NULL || l->sender) {
        return GATE_REFUSE(g, "a transfer on handle %u, where no receiver of ours is", t->handle);
    }
    st = l->partial ? on_continuation(g, l, t) : on_delivery(g, s, l, t);
    if (st < 0) {
        return st;
    }
    l->settled = l->settled || t->settled;
    l->partial = t->more && !t->aborted;
    l->size += payload_size;
    if (l->size > g->opts.message_max) {
        return GATE_REFUSE(g, "a message of more than %llu bytes on link '%.64s'",
                           (unsigned long long)g->opts.message_max, tmk_str_text(&l->name));
    }
    if (s->laned) {
        *v = GATE_DROP;
        return tmk_lane_take(l, tmk_slice_from(frame, frame.size - payload_size), t->more,
                             t->aborted);
    }
    if (l->hidden) {
        *v = GATE_DROP;
    } else if (l->local_detached && payload_size > 0) {
        return without_payload(g, frame, payload_size, v);
    }
    return TMK_OK;
}
