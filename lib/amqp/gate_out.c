/*
 * From Proton to the server: notes what we open and allow, and mends the two
 * things that Proton cannot write. Whole frames are sent from where they lie; a
 * frame that the end of Proton's buffer cuts is gathered first.
 */
#include "amqp/gate_inner.h"

#include "amqp/bytes.h"
#include "base/status.h"

enum {
    HEADER_SIZE = 8,
    ATTACH_DESIRED = 12, /* the field of an attach that holds the desired capabilities */
    TRANSFER_TAG = 2,
    TRANSFER_FORMAT = 3
};

/* ---- one frame ---- */

/* A field of a frame that Proton wrote. */
static tmk_value field(const tmk_frame *f, uint32_t index) {
    tmk_value v = {.kind = TMK_VALUE_NONE};
    tmk_wire_list l;

    if (tmk_wire_list_open(&f->performative, &l)) {
        (void)tmk_wire_list_field(&l, index, &v);
    }
    return v;
}

static uint32_t number(const tmk_frame *f, uint32_t index) {
    tmk_value v = field(f, index);

    return (uint32_t)tmk_wire_uint(&v, 0);
}

static bool truth(const tmk_frame *f, uint32_t index) {
    tmk_value v = field(f, index);

    return tmk_wire_bool(&v, false);
}

static tmk_status on_begin(tmk_gate *g, const tmk_frame *f) {
    gate_session *s;

    if (tmk_gate_begin(g, f->channel) < 0) {
        return GATE_NO_MEMORY(g);
    }
    s = tmk_gate_local(g, f->channel);
    s->patience = GATE_PATIENCE_FIRST;
    s->out_transfers = number(f, 1);
    s->window = s->window_left = number(f, 2);
    s->out_window = number(f, 3);
    return TMK_OK;
}

static tmk_status replace(tmk_gate *g, const tmk_frame *f, uint32_t index, const tmk_str *value) {
    tmk_gate_replace_field(f, index, tmk_str_slice(value), &g->out_own);
    return tmk_str_ok(value) && tmk_str_ok(&g->out_own) ? TMK_OK : GATE_NO_MEMORY(g);
}

/* *changed: the frame to send is in out_own. */
static tmk_status on_attach(tmk_gate *g, gate_session *s, const tmk_frame *f, bool *changed) {
    tmk_value name = field(f, 0);
    gate_ask *ask = tmk_gate_find_ask(g, name.bytes);
    gate_link *l = NULL;
    tmk_status st;

    if (tmk_gate_attach(s, name.bytes, !truth(f, 2), number(f, 1), &l) < 0) {
        return GATE_NO_MEMORY(g);
    }
    st = tmk_gate_check_handles(g, s);
    if (st < 0 || ask == NULL) {
        return st;
    }
    if (ask->laned) {
        tmk_lane_attach(s, l, ask->lane);
        ask->lane = NULL;
    }
    if (ask->symbols.size > 0) {
        st = replace(g, f, ATTACH_DESIRED, &ask->symbols);
        *changed = true;
    }
    tmk_gate_drop_ask(ask);
    return st;
}

/*
 * A receiver's credit counts from the delivery-count beside it. What was once
 * allowed stays allowed: deliveries may be under way.
 */
static void on_flow(gate_session *s, const tmk_frame *f) {
    tmk_value handle = field(f, 4), count = field(f, 5);
    gate_link *l =
        handle.kind == TMK_VALUE_UINT ? tmk_gate_link_local(s, (uint32_t)handle.u64) : NULL;
    uint32_t limit;

    if (l == NULL || l->sender) {
        return;
    }
    limit = (uint32_t)tmk_wire_uint(&count, l->delivery_count) + number(f, 6);
    if (!l->limit_known || (int32_t)(limit - l->limit) > 0) {
        l->limit = limit;
        l->limit_known = true;
    }
}

static tmk_status on_transfer(tmk_gate *g, gate_session *s, const tmk_frame *f, bool *changed) {
    tmk_value tag = field(f, TRANSFER_TAG);
    uint32_t id = number(f, 1);
    tmk_str format = TMK_STR_INIT;
    tmk_status st = TMK_OK;

    if (!s->out_any || id == s->out_next) {
        s->out_any = true;
        s->out_next = id + 1;
        s->patience += GATE_PATIENCE_A_DELIVERY;
    }
    if (tag.bytes.size > 0 && tag.bytes.bytes[0] == TMK_GATE_BATCH_TAG) {
        tmk_wire_put_uint(&format, TMK_GATE_BATCH_FORMAT);
        st = replace(g, f, TRANSFER_FORMAT, &format);
        *changed = true;
    }
    tmk_str_clear(&format);
    return st;
}

static void on_detach(gate_session *s, const tmk_frame *f) {
    gate_link *l = tmk_gate_link_local(s, number(f, 0));

    if (l != NULL) {
        tmk_gate_detach_local(l);
    }
}

static tmk_status on_frame(tmk_gate *g, const tmk_frame *f, bool *changed) {
    gate_session *s = f->type == 0 ? tmk_gate_local(g, f->channel) : NULL;

    switch (f->code) {
    case TMK_SASL_INIT:
        g->init_sent = true;
        return TMK_OK;
    case TMK_AMQP_BEGIN:
        return on_begin(g, f);
    case TMK_AMQP_CLOSE:
        g->close_sent = true;
        return TMK_OK;
    default:
        break;
    }
    if (s == NULL) {
        return TMK_OK;
    }
    switch (f->code) {
    case TMK_AMQP_ATTACH:
        return on_attach(g, s, f, changed);
    case TMK_AMQP_FLOW:
        on_flow(s, f);
        return TMK_OK;
    case TMK_AMQP_TRANSFER:
        return on_transfer(g, s, f, changed);
    case TMK_AMQP_DETACH:
        on_detach(s, f);
        return TMK_OK;
    case TMK_AMQP_END:
        tmk_gate_end_local(g, s);
        return TMK_OK;
    default:
        return TMK_OK;
    }
}

/* ---- the stream ---- */

/* How long the frame or protocol header is that begins here; 0: cannot be told yet. */
static size_t item_size(tmk_slice bytes) {
    size_t size;

    if (bytes.size < HEADER_SIZE) {
        return 0;
    }
    size = memcmp(bytes.bytes, "AMQP", 4) == 0 ? HEADER_SIZE : tmk_load32(bytes.bytes);
    return size < HEADER_SIZE ? HEADER_SIZE : size; /* a broken one is found out later */
}

static tmk_status on_item(tmk_gate *g, tmk_slice item, bool *changed) {
    tmk_frame f;
    size_t size;

    if (memcmp(item.bytes, "AMQP", 4) == 0) {
        return TMK_OK;
    }
    if (tmk_frame_take(item, UINT32_MAX, &size, &f, NULL) != TMK_OK) {
        return tmk_fail(&g->why, TMK_EINTERNAL, "gate", "a frame of our own is broken");
    }
    return on_frame(g, &f, changed);
}

/* out_own holds a whole frame; it may be written anew into the same place. */
static tmk_status gathered(tmk_gate *g, tmk_slice *send) {
    tmk_str whole = g->out_own;
    bool changed = false;
    tmk_status st;

    memset(&g->out_own, 0, sizeof g->out_own);
    g->out_partial = false;
    st = on_item(g, tmk_str_slice(&whole), &changed);
    if (changed) {
        tmk_str_clear(&whole);
    } else {
        g->out_own = whole;
    }
    *send = tmk_str_slice(&g->out_own);
    return st;
}

/* Adds to the frame that out_own is the beginning of. */
static tmk_status gather(tmk_gate *g, tmk_slice bytes, size_t *taken, tmk_slice *send) {
    size_t wanted;

    while ((wanted = item_size(tmk_str_slice(&g->out_own))) == 0 || g->out_own.size < wanted) {
        size_t more = (wanted == 0 ? HEADER_SIZE : wanted) - g->out_own.size;
        tmk_slice rest = tmk_slice_from(bytes, *taken);

        if (rest.size == 0) {
            return TMK_OK;
        }
        more = more < rest.size ? more : rest.size;
        tmk_str_add_slice(&g->out_own, tmk_slice_of(rest.bytes, more));
        if (!tmk_str_ok(&g->out_own)) {
            return GATE_NO_MEMORY(g);
        }
        *taken += more;
    }
    return gathered(g, send);
}

static tmk_status run(tmk_gate *g, tmk_slice bytes, size_t *taken, tmk_slice *send) {
    size_t at = 0;

    while (at < bytes.size) {
        tmk_slice rest = tmk_slice_from(bytes, at);
        size_t size = item_size(rest);
        bool changed = false;
        tmk_status st;

        if (size == 0 || size > rest.size) {
            break;
        }
        st = on_item(g, tmk_slice_of(rest.bytes, size), &changed);
        if (st < 0) {
            return st;
        }
        if (changed) {
            *send = tmk_slice_of(bytes.bytes, at);
            *taken = at + size;
            g->out_waiting = true;
            return TMK_OK;
        }
        at += size;
    }
    if (at == 0 && bytes.size > 0) {
        tmk_str_reset(&g->out_own);
        g->out_partial = true;
        return gather(g, bytes, taken, send);
    }
    *send = tmk_slice_of(bytes.bytes, at);
    *taken = at;
    return TMK_OK;
}

tmk_status tmk_gate_out(tmk_gate *g, tmk_slice bytes, size_t *taken, tmk_slice *send,
                        tmk_error *err) {
    size_t done = 0;
    tmk_slice out = {NULL, 0};
    tmk_status st = TMK_OK;

    if (g->why.status < 0) {
        st = g->why.status;
    } else if (g->out_waiting) {
        g->out_waiting = false;
        out = tmk_str_slice(&g->out_own);
    } else if (g->out_partial) {
        st = gather(g, bytes, &done, &out);
    } else if (tmk_lane_compose(g, &g->lane_out)) {
        out = tmk_str_slice(&g->lane_out);
        st = tmk_str_ok(&g->lane_out) ? TMK_OK : GATE_NO_MEMORY(g);
    } else {
        st = run(g, bytes, &done, &out);
    }
    if (st < 0) {
        if (err != NULL) {
            *err = g->why;
        }
        return st;
    }
    *taken = done;
    *send = out;
    return TMK_OK;
}
