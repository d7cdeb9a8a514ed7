/* Writing frames into a connection's output. See conn.h. */
#include "hub/conn.h"

#include <stdio.h>

#include "base/alloc.h"

#include "hub/bytes.h"

uint8_t *tmk_hub_out_room(tmk_hub_conn *c, size_t size) {
    tmk_str *out = &c->out;
    size_t room = out->room < 4096 ? 4096 : out->room;
    char *text = NULL;

    if (out->size + size + 1 <= out->room) {
        return (uint8_t *)out->text + out->size;
    }
    while (room < out->size + size + 1) {
        room *= 2;
    }
    text = tmk_resize(out->text, room, 1);
    if (text == NULL) {
        c->broken = true;
        return NULL;
    }
    out->text = text;
    out->room = room;
    return (uint8_t *)out->text + out->size;
}

/* The end of every error text of the service: what its people look it up by. */
static void add_tracking(tmk_hub_conn *c, tmk_str *text, const char *where) {
    char id[37];

    tmk_rng_uuid(&c->server->rng, id);
    tmk_str_addf(text, " TrackingId:%s_G0, SystemTracker:%s, Timestamp:", id, where);
    tmk_str_add_iso_time(text, c->server->wall_ms);
}

void tmk_hub_put_nulls(tmk_str *out, unsigned count) {
    while (count-- > 0) {
        tmk_wire_null(out);
    }
}

void tmk_hub_put_fail(tmk_hub_conn *c, const tmk_hub_fail *why, const char *where) {
    tmk_str *out = &c->out;
    tmk_str text = TMK_STR_INIT;
    tmk_wire_mark list;

    if (why == NULL) {
        tmk_wire_null(out);
        return;
    }
    tmk_str_add(&text, why->text);
    add_tracking(c, &text, where);
    tmk_wire_put_descriptor(out, TMK_AMQP_ERROR);
    list = tmk_wire_begin_list(out);
    tmk_wire_put_symbol(out, tmk_slice_str(why->condition));
    tmk_wire_put_string(out, tmk_str_slice(&text));
    tmk_wire_null(out);
    tmk_wire_end_list(out, list, 3);
    tmk_str_clear(&text);
}

void tmk_hub_put_begin(tmk_hub_session *s) {
    tmk_str *out = &s->conn->out;
    tmk_frame_mark m = tmk_frame_begin(out, 0, s->channel, TMK_AMQP_BEGIN);

    tmk_wire_put_ushort(out, s->channel);
    tmk_wire_put_uint(out, s->next_out);
    tmk_wire_put_uint(out, s->window_in);
    tmk_wire_put_uint(out, s->window_in);
    tmk_wire_put_uint(out, s->conn->server->handle_max);
    tmk_hub_put_nulls(out, 3);
    tmk_frame_end_fields(out, m, 8);
    tmk_frame_end(out, m);
}

void tmk_hub_put_end(tmk_hub_session *s, const tmk_hub_fail *why) {
    tmk_str *out = &s->conn->out;
    tmk_frame_mark m = tmk_frame_begin(out, 0, s->channel, TMK_AMQP_END);

    tmk_hub_put_fail(s->conn, why, "session");
    tmk_frame_end_fields(out, m, 1);
    tmk_frame_end(out, m);
}

void tmk_hub_put_detach(tmk_hub_link *l, bool closed, const tmk_hub_fail *why) {
    tmk_hub_conn *c = l->session->conn;
    tmk_str *out = &c->out;
    tmk_frame_mark m = tmk_frame_begin(out, 0, l->session->channel, TMK_AMQP_DETACH);

    tmk_wire_put_uint(out, l->handle);
    tmk_wire_put_bool(out, closed);
    tmk_hub_put_fail(c, why, tmk_str_text(&l->path));
    tmk_frame_end_fields(out, m, 3);
    tmk_frame_end(out, m);
}

void tmk_hub_put_flow(tmk_hub_session *s, const tmk_hub_link *l) {
    tmk_str *out = &s->conn->out;
    tmk_frame_mark m = tmk_frame_begin(out, 0, s->channel, TMK_AMQP_FLOW);

    tmk_wire_put_uint(out, s->next_in);
    tmk_wire_put_uint(out, s->window_in);
    tmk_wire_put_uint(out, s->next_out);
    tmk_wire_put_uint(out, 5000);
    if (l != NULL) {
        tmk_wire_put_uint(out, l->handle);
        tmk_wire_put_uint(out, l->delivery_count);
        tmk_wire_put_uint(out, l->credit);
        tmk_wire_put_uint(out, 0);
        tmk_wire_put_bool(out, l->drain);
    }
    tmk_hub_put_nulls(out, l == NULL ? 7 : 2);
    tmk_frame_end_fields(out, m, 11);
    tmk_frame_end(out, m);
}

void tmk_hub_put_outcome(tmk_hub_session *s, uint32_t first, uint32_t last,
                         const tmk_hub_fail *why) {
    tmk_hub_conn *c = s->conn;
    tmk_str *out = &c->out;
    tmk_frame_mark m = tmk_frame_begin(out, 0, s->channel, TMK_AMQP_DISPOSITION);
    tmk_wire_mark list;

    tmk_wire_put_bool(out, true); /* we are the receiver */
    tmk_wire_put_uint(out, first);
    tmk_wire_put_uint(out, last);
    tmk_wire_put_bool(out, true);
    tmk_wire_put_descriptor(out, why == NULL ? TMK_AMQP_ACCEPTED : TMK_AMQP_REJECTED);
    list = tmk_wire_begin_list(out);
    if (why != NULL) {
        tmk_hub_put_fail(c, why, "send");
    }
    tmk_wire_end_list(out, list, why != NULL);
    tmk_wire_null(out);
    tmk_frame_end_fields(out, m, 6);
    tmk_frame_end(out, m);
}

/* One frame of the message in l->partial; `more` follow. */
static void put_part(tmk_hub_link *l, bool first, bool more, tmk_slice payload) {
    tmk_hub_session *s = l->session;
    tmk_str *out = &s->conn->out;
    tmk_frame_mark m = tmk_frame_begin(out, 0, s->channel, TMK_AMQP_TRANSFER);
    uint8_t tag[4];

    tmk_wire_put_uint(out, l->handle);
    if (first) {
        tmk_hub_store32(tag, l->partial_id);
        tmk_wire_put_uint(out, l->partial_id);
        tmk_wire_put_binary(out, tmk_slice_of(tag, sizeof tag));
        tmk_wire_put_uint(out, 0);
        tmk_wire_put_bool(out, l->settled);
    } else {
        tmk_wire_null(out);
        tmk_wire_null(out);
        tmk_wire_null(out);
        tmk_wire_null(out);
    }
    tmk_wire_put_bool(out, more);
    tmk_hub_put_nulls(out, 5);
    tmk_frame_end_fields(out, m, 11);
    tmk_str_add_slice(out, payload);
    tmk_frame_end(out, m);
}

enum { TRANSFER_OVERHEAD = 64 }; /* more than the frame header and performative take */

bool tmk_hub_put_message(tmk_hub_link *l) {
    tmk_hub_session *s = l->session;
    tmk_slice message = tmk_str_slice(&l->partial);
    size_t piece = s->conn->frame_max - TRANSFER_OVERHEAD;

    while (l->partial_at < message.size) {
        tmk_slice rest = tmk_slice_from(message, l->partial_at);
        bool first = l->partial_at == 0;
        if (s->window_out == 0 || tmk_hub_out_pending(s->conn) > TMK_HUB_OUT_MAX) {
            return false;
        }
        if (first) {
            l->partial_id = s->next_delivery++;
        }
        rest.size = rest.size < piece ? rest.size : piece;
        l->partial_at += rest.size;
        put_part(l, first, l->partial_at < message.size, rest);
        s->next_out++;
        s->window_out--;
    }
    tmk_str_reset(&l->partial);
    l->partial_at = 0;
    l->delivery_count++;
    l->credit -= l->credit > 0; /* it may have been taken back meanwhile */
    return true;
}
