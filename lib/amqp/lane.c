/* See lane.h; and gate_inner.h for what it is part of. */
#include "amqp/lane.h"

#include "amqp/gate_inner.h"
#include "base/assert.h"
#include "base/status.h"

/* A link that we have detached has nothing to say any more. false: that. */
static bool say_later(gate_link *l) {
    if (l->local_detached || l->session->local_ended) {
        return false;
    }
    if (!tmk_list_linked(&l->due)) {
        tmk_list_push_back(&l->session->gate->due, &l->due);
    }
    return true;
}

void tmk_lane_flow_due(gate_link *l) {
    l->flow_due = say_later(l);
}

/* ---- between lane and link ---- */

void tmk_lane_attach(gate_session *s, gate_link *l, tmk_data_lane *lane) {
    tmk_assert(!l->sender && tmk_list_first(&s->links) == &l->node);
    s->laned = true;
    l->limit_known = true;
    if (lane != NULL) {
        lane->ask = NULL;
        lane->link = l;
        l->lane = lane;
        l->limit = lane->early;
        if (l->limit > 0) {
            tmk_lane_flow_due(l);
        }
    }
}

void tmk_lane_detach(gate_link *l) {
    if (l->lane != NULL) {
        l->lane->link = NULL;
        l->lane = NULL;
    }
    tmk_list_remove(&l->due);
}

void tmk_lane_close(tmk_data_lane *lane) {
    if (lane->ask != NULL) {
        lane->ask->lane = NULL;
        lane->ask = NULL;
    }
    if (lane->link != NULL) {
        lane->link->lane = NULL;
        lane->link = NULL;
    }
}

/* ---- outgoing ---- */

void tmk_lane_grant(tmk_data_lane *lane, uint32_t count) {
    gate_link *l = lane->link;
    uint32_t credit = l == NULL ? lane->early : l->limit - l->delivery_count;

    credit = count > INT32_MAX - credit ? INT32_MAX : credit + count;
    if (l == NULL) {
        lane->early = credit;
    } else {
        l->limit = l->delivery_count + credit;
        tmk_lane_flow_due(l);
    }
}

/* Until the server has attached, the count is 0, and with it the first number it will give. */
static void put_flow(tmk_str *out, const gate_link *l) {
    const gate_session *s = l->session;
    tmk_frame_mark m = tmk_frame_begin(out, 0, s->local_channel, TMK_AMQP_FLOW);

    if (s->remote_begun) {
        tmk_wire_put_uint(out, s->transfers);
    } else {
        tmk_wire_null(out);
    }
    tmk_wire_put_uint(out, s->window);
    tmk_wire_put_uint(out, s->out_transfers);
    tmk_wire_put_uint(out, s->out_window);
    tmk_wire_put_uint(out, l->local_handle);
    tmk_wire_put_uint(out, l->delivery_count);
    tmk_wire_put_uint(out, l->limit - l->delivery_count);
    tmk_frame_end_fields(out, m, 7);
    tmk_frame_end(out, m);
}

static void put_accepted(tmk_str *out, const gate_link *l) {
    tmk_frame_mark m = tmk_frame_begin(out, 0, l->session->local_channel, TMK_AMQP_DISPOSITION);

    tmk_wire_put_bool(out, true); /* we are the receiver */
    tmk_wire_put_uint(out, l->accept_first);
    tmk_wire_put_uint(out, l->accept_last);
    tmk_wire_put_bool(out, true); /* settled */
    tmk_wire_put_descriptor(out, TMK_AMQP_ACCEPTED);
    tmk_wire_end_list(out, tmk_wire_begin_list(out), 0);
    tmk_frame_end_fields(out, m, 5);
    tmk_frame_end(out, m);
}

bool tmk_lane_compose(tmk_gate *g, tmk_str *out) {
    tmk_list *n;

    if (tmk_list_empty(&g->due) || g->close_sent) {
        return false;
    }
    tmk_str_reset(out);
    while ((n = tmk_list_pop_front(&g->due)) != NULL) {
        gate_link *l = tmk_container_of(n, gate_link, due);

        if (l->accept_due) {
            put_accepted(out, l);
        }
        if (l->flow_due) {
            put_flow(out, l);
            l->session->window_left = l->session->window;
        }
        l->accept_due = l->flow_due = false;
    }
    return true;
}

/* ---- incoming ---- */

/* Ids follow one another, so those that wait for the next write are one range. */
static void accept_later(gate_link *l) {
    if (!say_later(l)) {
        return;
    }
    if (!l->accept_due) {
        l->accept_due = true;
        l->accept_first = l->id;
    }
    l->accept_last = l->id;
}

tmk_status tmk_lane_take(gate_link *l, tmk_slice payload, bool more, bool aborted) {
    gate_session *s = l->session;

    if (s->window_left == 0) {
        return GATE_REFUSE(s->gate, "more frames than the session's window of %u", s->window);
    }
    s->transfers++;
    if (--s->window_left == s->window / 2) {
        tmk_lane_flow_due(l);
    }
    if (!more && !aborted && !l->settled) {
        accept_later(l);
    }
    if (l->lane != NULL) {
        l->lane->frame(l->lane->user, payload,
                       aborted ? TMK_LANE_ABORTED
                       : more  ? TMK_LANE_MORE
                               : TMK_LANE_LAST);
    }
    return TMK_OK;
}
