/* Sessions: windows, flow, dispositions. See conn.h. */
#include "hub/conn.h"

#include "base/alloc.h"
#include "base/assert.h"

enum { WINDOW = 5000, FIRST_OUT = 1 };

/* ---- life ---- */

static tmk_status make_room(tmk_hub_conn *c, size_t channel) {
    size_t room = c->session_room == 0 ? 8 : c->session_room;
    tmk_hub_session **sessions = NULL;

    while (room <= channel) {
        room *= 2;
    }
    if (room == c->session_room) {
        return TMK_OK;
    }
    sessions = tmk_resize(c->sessions, room, sizeof *sessions);
    if (sessions == NULL) {
        return TMK_ENOMEM;
    }
    memset(sessions + c->session_room, 0, (room - c->session_room) * sizeof(tmk_hub_session *));
    c->sessions = sessions;
    c->session_room = room;
    return TMK_OK;
}

static bool read_begin(const tmk_frame *f, tmk_hub_session *s) {
    tmk_wire_list fields;
    tmk_value next_out = {0}, window = {0};

    if (!tmk_wire_list_open(&f->performative, &fields) ||
        !tmk_wire_list_field(&fields, 1, &next_out) || !tmk_wire_list_field(&fields, 2, &window)) {
        return false;
    }
    s->next_in = (uint32_t)tmk_wire_uint(&next_out, 0);
    s->window_out = (uint32_t)tmk_wire_uint(&window, 0);
    return true;
}

void tmk_hub_session_begin(tmk_hub_conn *c, const tmk_frame *f) {
    tmk_hub_subject where = tmk_hub_conn_subject(c, TMK_HUB_WHAT_BEGIN);
    tmk_hub_session *s = NULL;
    tmk_hub_rule rule;

    if (f->channel > c->server->channel_max) {
        tmk_hub_conn_fail(c, "amqp:connection:framing-error", "The channel is beyond channel-max.");
        return;
    }
    if (f->channel < c->session_room && c->sessions[f->channel] != NULL) {
        tmk_hub_conn_fail(c, "amqp:not-allowed", "A session begins on a channel that has one.");
        return;
    }
    if (c->server->session_count >= c->server->sessions_max) {
        tmk_hub_conn_fail(c, TMK_HUB_RESOURCE_LIMIT, "The hub has too many sessions.");
        return;
    }
    s = make_room(c, f->channel) < 0 ? NULL : tmk_new(tmk_hub_session);
    if (s == NULL) {
        c->broken = true;
        return;
    }
    c->server->session_count++;
    s->conn = c;
    s->channel = f->channel;
    s->next_out = FIRST_OUT;
    s->window_in = WINDOW;
    tmk_list_init(&s->outcomes);
    c->sessions[f->channel] = s;
    if (!read_begin(f, s)) {
        tmk_hub_conn_fail(c, TMK_HUB_DECODE, "A begin cannot be read.");
        return;
    }
    if (!tmk_hub_rules_hit(&c->server->rules, TMK_HUB_RULE_MUTE, &where, c->server->now,
                           &c->server->rng, &rule)) {
        tmk_hub_put_begin(s);
    }
}

/* What is in it; the session itself stays. */
static void empty(tmk_hub_session *s) {
    tmk_list *node;

    for (unsigned h = 0; h <= TMK_HUB_HANDLE_MAX; h++) {
        tmk_hub_link_free(s->links[h]);
    }
    while ((node = tmk_list_first(&s->outcomes)) != NULL) {
        tmk_hub_outcome_free(tmk_container_of(node, tmk_hub_outcome, session_node));
    }
}

tmk_hub_session *tmk_hub_session_free(tmk_hub_session *s) {
    if (s == NULL) {
        return NULL;
    }
    empty(s);
    s->conn->sessions[s->channel] = NULL;
    s->conn->server->session_count--;
    tmk_free(s);
    return NULL;
}

void tmk_hub_session_ended(tmk_hub_session *s) {
    if (!s->ending) {
        tmk_hub_session_tell(s);
        tmk_hub_put_end(s, NULL);
    }
    tmk_hub_session_free(s);
}

void tmk_hub_session_close(tmk_hub_session *s, const tmk_hub_fail *why) {
    if (s->ending) {
        return;
    }
    tmk_hub_session_tell(s);
    empty(s);
    tmk_hub_put_end(s, why);
    s->ending = true;
    tmk_hub_conn_ready(s->conn);
}

void tmk_hub_session_fail(tmk_hub_session *s, const char *condition, const char *text) {
    tmk_hub_fail why = {"", ""};

    tmk_hub_fail_set(&why, condition, "%s", text);
    tmk_hub_session_close(s, &why);
}

/* ---- flow ---- */

typedef struct flow {
    uint32_t next_in, window_in;
    bool next_in_given, of_link, credit_given, drain, echo;
    uint32_t handle, delivery_count, credit;
    bool delivery_count_given;
} flow;

static bool read_flow(const tmk_frame *f, flow *out) {
    tmk_wire_list l;
    tmk_value v[10];

    memset(v, 0, sizeof v);
    if (!tmk_wire_list_open(&f->performative, &l)) {
        return false;
    }
    for (uint32_t i = 0; i < 10; i++) {
        if (!tmk_wire_list_field(&l, i, &v[i])) {
            return false;
        }
    }
    out->next_in_given = v[0].kind == TMK_VALUE_UINT;
    out->next_in = (uint32_t)tmk_wire_uint(&v[0], 0);
    out->window_in = (uint32_t)tmk_wire_uint(&v[1], 0);
    out->of_link = v[4].kind == TMK_VALUE_UINT;
    out->handle = (uint32_t)tmk_wire_uint(&v[4], 0);
    out->delivery_count_given = v[5].kind == TMK_VALUE_UINT;
    out->delivery_count = (uint32_t)tmk_wire_uint(&v[5], 0);
    out->credit_given = v[6].kind == TMK_VALUE_UINT;
    out->credit = (uint32_t)tmk_wire_uint(&v[6], 0);
    out->drain = tmk_wire_bool(&v[8], false);
    out->echo = tmk_wire_bool(&v[9], false);
    return true;
}

/* A receiver says how much it takes. */
static void flow_out(tmk_hub_link *l, const flow *w) {
    uint32_t under_way = l->delivery_count - (w->delivery_count_given ? w->delivery_count : 0);

    if (w->credit_given) {
        l->credit = w->credit > under_way ? w->credit - under_way : 0;
    }
    l->drain = w->drain;
    l->active_at = l->session->conn->server->now;
    if (w->echo && !l->drain) {
        tmk_hub_put_flow(l->session, l);
    }
    tmk_hub_link_consider(l);
}

/* A sender tells where it stands. */
static void flow_in(tmk_hub_link *l, const flow *w) {
    if (w->delivery_count_given && !l->under_way) {
        uint32_t skipped = w->delivery_count - l->delivery_count;
        if (skipped <= l->credit) {
            l->credit -= skipped;
            l->delivery_count = w->delivery_count;
        }
    }
    tmk_hub_sender_grant(l);
    if (w->echo) {
        tmk_hub_put_flow(l->session, l);
    }
}

static void windows_opened(tmk_hub_session *s) {
    for (unsigned h = 0; h <= TMK_HUB_HANDLE_MAX; h++) {
        tmk_hub_link *l = s->links[h];
        if (l != NULL && (l->kind == TMK_HUB_LINK_READER || l->kind == TMK_HUB_LINK_REPLIES)) {
            tmk_hub_link_consider(l);
        }
    }
}

void tmk_hub_session_flow(tmk_hub_session *s, const tmk_frame *f) {
    flow w = {0};
    tmk_hub_link *l = NULL;
    bool was_closed = s->window_out == 0;
    uint32_t under_way;

    if (!read_flow(f, &w)) {
        tmk_hub_conn_fail(s->conn, TMK_HUB_DECODE, "A flow cannot be read.");
        return;
    }
    under_way = s->next_out - (w.next_in_given ? w.next_in : FIRST_OUT);
    s->window_out = w.window_in > under_way ? w.window_in - under_way : 0;
    if (was_closed && s->window_out > 0) {
        windows_opened(s);
    }
    if (!w.of_link) {
        if (w.echo) {
            tmk_hub_put_flow(s, NULL);
        }
        return;
    }
    l = w.handle <= TMK_HUB_HANDLE_MAX ? s->links[w.handle] : NULL;
    if (l == NULL || l->closing) {
        return; /* of a link that is going: it may be under way for a while */
    }
    if (l->kind == TMK_HUB_LINK_READER || l->kind == TMK_HUB_LINK_REPLIES) {
        flow_out(l, &w);
    } else {
        flow_in(l, &w);
    }
}

/* ---- dispositions ---- */

/*
 * A receiver's opinion changes nothing on Event Hubs. But where it waits for us to settle, we
 * settle.
 */
void tmk_hub_session_disposition(tmk_hub_session *s, const tmk_frame *f) {
    tmk_wire_list l;
    tmk_value v[5];
    tmk_str *out = &s->conn->out;
    tmk_frame_mark m;

    memset(v, 0, sizeof v);
    if (!tmk_wire_list_open(&f->performative, &l)) {
        tmk_hub_conn_fail(s->conn, TMK_HUB_DECODE, "A disposition cannot be read.");
        return;
    }
    for (uint32_t i = 0; i < 5; i++) {
        if (!tmk_wire_list_field(&l, i, &v[i])) {
            tmk_hub_conn_fail(s->conn, TMK_HUB_DECODE, "A disposition cannot be read.");
            return;
        }
    }
    if (!tmk_wire_bool(&v[0], false) || tmk_wire_bool(&v[3], false) || v[4].descriptor.size == 0) {
        return;
    }
    m = tmk_frame_begin(out, 0, s->channel, TMK_AMQP_DISPOSITION);
    tmk_wire_put_bool(out, false);
    tmk_wire_put_value(out, &v[1]);
    tmk_wire_put_value(out, &v[2]);
    tmk_wire_put_bool(out, true);
    tmk_wire_put_value(out, &v[4]);
    tmk_wire_null(out);
    tmk_frame_end_fields(out, m, 6);
    tmk_frame_end(out, m);
}

void tmk_hub_session_tell(tmk_hub_session *s) {
    if (s->accepting) {
        s->accepting = false;
        tmk_hub_put_outcome(s, s->accept_first, s->accept_last, NULL);
    }
}

void tmk_hub_session_accept(tmk_hub_session *s, uint32_t delivery_id) {
    if (s->accepting && delivery_id == s->accept_last + 1) {
        s->accept_last = delivery_id;
        return;
    }
    tmk_hub_session_tell(s);
    s->accepting = s->conn->telling = true;
    s->accept_first = s->accept_last = delivery_id;
    tmk_hub_conn_ready(s->conn);
}

void tmk_hub_session_reject(tmk_hub_session *s, uint32_t delivery_id, const tmk_hub_fail *why) {
    tmk_hub_session_tell(s);
    tmk_hub_put_outcome(s, delivery_id, delivery_id, why);
    tmk_hub_conn_ready(s->conn);
}
