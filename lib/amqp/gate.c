/* The gate's life, and the questions it answers. The frames are in gate_in.c and gate_out.c. */
#include "amqp/gate_inner.h"

#include "base/alloc.h"
#include "base/status.h"

tmk_status tmk_gate_new(const tmk_gate_options *opts, tmk_gate **out, tmk_error *err) {
    tmk_gate *g = tmk_new(tmk_gate);

    if (g == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "gate", "no memory for a connection");
    }
    g->opts = *opts;
    g->channel_max = GATE_CHANNEL_MAX;
    tmk_list_init(&g->sessions);
    tmk_list_init(&g->asks);
    tmk_list_init(&g->due);
    *out = g;
    return TMK_OK;
}

void tmk_gate_drop_ask(gate_ask *a) {
    tmk_list_remove(&a->node);
    if (a->lane != NULL) {
        a->lane->ask = NULL;
    }
    tmk_str_clear(&a->name);
    tmk_str_clear(&a->symbols);
    tmk_free(a);
}

tmk_gate *tmk_gate_free(tmk_gate *g) {
    tmk_list *n;

    if (g == NULL) {
        return NULL;
    }
    while ((n = tmk_list_first(&g->asks)) != NULL) {
        tmk_gate_drop_ask(tmk_container_of(n, gate_ask, node));
    }
    tmk_gate_clear(g);
    tmk_str_clear(&g->in_own);
    tmk_str_clear(&g->out_own);
    tmk_str_clear(&g->lane_out);
    tmk_free(g);
    return NULL;
}

tmk_status tmk_gate_ask(tmk_gate *g, tmk_slice link_name, const tmk_slice *capabilities,
                        size_t count, tmk_data_lane *lane, tmk_error *err) {
    gate_ask *a = tmk_new(gate_ask);

    if (a != NULL) {
        tmk_list_push_back(&g->asks, &a->node);
        tmk_str_add_slice(&a->name, link_name);
        if (count > 0) {
            tmk_wire_put_symbols(&a->symbols, capabilities, count);
        }
        if (tmk_str_ok(&a->name) && tmk_str_ok(&a->symbols)) {
            a->laned = lane != NULL;
            a->lane = lane;
            if (lane != NULL) {
                lane->ask = a;
            }
            return TMK_OK;
        }
        tmk_gate_drop_ask(a);
    }
    return tmk_fail(err, TMK_ENOMEM, "gate", "no memory for a link");
}

gate_ask *tmk_gate_find_ask(tmk_gate *g, tmk_slice link_name) {
    for (tmk_list *n = tmk_list_first(&g->asks); n != NULL; n = tmk_list_next(&g->asks, n)) {
        gate_ask *a = tmk_container_of(n, gate_ask, node);

        if (tmk_slice_eq(tmk_str_slice(&a->name), link_name)) {
            return a;
        }
    }
    return NULL;
}

void tmk_gate_replace_field(const tmk_frame *f, uint32_t index, tmk_slice value, tmk_str *out) {
    tmk_slice rest = f->performative.bytes;
    uint32_t count = f->performative.count;
    tmk_frame_mark m;

    tmk_str_reset(out);
    m = tmk_frame_begin(out, f->type, f->channel, f->code);
    for (uint32_t i = 0; i < count || i <= index; i++) {
        tmk_slice field = rest;

        if (i < count && !tmk_wire_skip(&rest)) {
            out->failed = true; /* cannot be: whoever wrote or checked it counted the fields */
            return;
        }
        field.size -= rest.size;
        if (i == index) {
            tmk_str_add_slice(out, value);
        } else if (i < count) {
            tmk_str_add_slice(out, field);
        } else {
            tmk_wire_null(out);
        }
    }
    tmk_frame_end_fields(out, m, count > index ? count : index + 1);
    tmk_str_add_slice(out, f->payload);
    tmk_frame_end(out, m);
}

/* Whether an encoded symbol, or array of them, holds this one. */
static bool has_symbol(const tmk_str *encoded, const char *wanted) {
    tmk_slice in = tmk_str_slice(encoded), text = tmk_slice_str(wanted);
    tmk_value v, item;

    if (!tmk_wire_take(&in, &v)) {
        return false;
    }
    if (v.kind == TMK_VALUE_SYMBOL) {
        return tmk_slice_eq(v.bytes, text);
    }
    while (tmk_value_next(&v, &item)) {
        if (item.kind == TMK_VALUE_SYMBOL && tmk_slice_eq(item.bytes, text)) {
            return true;
        }
    }
    return false;
}

bool tmk_gate_is_offered(const tmk_gate *g, tmk_slice link_name, const char *capability) {
    const gate_link *l = tmk_gate_link_named(g, link_name);

    return l != NULL && has_symbol(&l->offered, capability);
}

bool tmk_gate_is_desired(const tmk_gate *g, tmk_slice link_name, const char *capability) {
    const gate_link *l = tmk_gate_link_named(g, link_name);

    return l != NULL && has_symbol(&l->desired, capability);
}

uint32_t tmk_gate_format(const tmk_gate *g, tmk_slice link_name) {
    const gate_link *l = tmk_gate_link_named(g, link_name);

    return l == NULL ? 0 : l->format;
}

uint16_t tmk_gate_channel_max(const tmk_gate *g) {
    return g->channel_max;
}
