/* Links: attaching, refusing, detaching. See conn.h. */
#include "hub/conn.h"

#include "base/alloc.h"

/* ---- life ---- */

tmk_hub_subject tmk_hub_link_subject(const tmk_hub_link *l, tmk_hub_what what) {
    static const tmk_hub_role roles[] = {TMK_HUB_ROLE_RECEIVER, TMK_HUB_ROLE_CBS,
                                         TMK_HUB_ROLE_SENDER, TMK_HUB_ROLE_CBS};
    tmk_hub_subject s = tmk_hub_conn_subject(l->session->conn, what);

    s.role = l->node == TMK_HUB_PLACE_MANAGEMENT ? TMK_HUB_ROLE_MANAGEMENT : roles[l->kind];
    if (l->entity != NULL) {
        s.hub = tmk_slice_str(l->entity->name);
    }
    if (l->part != NULL) {
        s.partition = tmk_slice_str(l->part->id);
    }
    s.group = tmk_str_slice(&l->group);
    return s;
}

static tmk_hub_link *link_new(tmk_hub_session *s, const tmk_hub_attach *a) {
    tmk_hub_link *l = tmk_new(tmk_hub_link);

    if (l == NULL) {
        return NULL;
    }
    l->session = s;
    l->handle = a->handle;
    l->active_at = s->conn->server->now;
    tmk_list_init(&l->replies);
    tmk_str_add_slice(&l->name, a->name);
    s->links[a->handle] = l;
    s->conn->link_count++;
    s->conn->had_links = true;
    return l;
}

tmk_hub_link *tmk_hub_link_free(tmk_hub_link *l) {
    tmk_hub_conn *c;

    if (l == NULL) {
        return NULL;
    }
    c = l->session->conn;
    tmk_hub_reader_close(l);
    tmk_hub_replies_clear(l);
    tmk_list_remove(&l->ready_node);
    c->cbs_in = c->cbs_in == l ? NULL : c->cbs_in;
    c->cbs_out = c->cbs_out == l ? NULL : c->cbs_out;
    tmk_str_clear(&l->name);
    tmk_str_clear(&l->path);
    tmk_str_clear(&l->group);
    tmk_str_clear(&l->partial);
    tmk_str_clear(&l->reply_to);
    tmk_str_clear(&l->message);
    l->session->links[l->handle] = NULL;
    if (--c->link_count == 0) {
        c->since = c->server->now;
    }
    tmk_free(l);
    return NULL;
}

/* From here on it is deaf; it lies in its place until the peer has detached too. */
static void go_deaf(tmk_hub_link *l) {
    tmk_hub_conn *c = l->session->conn;

    l->closing = true;
    tmk_hub_reader_close(l);
    tmk_hub_replies_clear(l);
    tmk_list_remove(&l->ready_node);
    c->cbs_in = c->cbs_in == l ? NULL : c->cbs_in;
    c->cbs_out = c->cbs_out == l ? NULL : c->cbs_out;
}

void tmk_hub_link_close(tmk_hub_link *l, const tmk_hub_fail *why) {
    if (l->closing) {
        return;
    }
    tmk_hub_session_tell(l->session);
    go_deaf(l);
    tmk_hub_put_detach(l, true, why);
    tmk_hub_conn_ready(l->session->conn);
}

void tmk_hub_link_detached(tmk_hub_link *l, const tmk_frame *f) {
    tmk_hub_subject where = tmk_hub_link_subject(l, TMK_HUB_WHAT_DETACH);
    tmk_hub_server *server = l->session->conn->server;
    tmk_wire_list fields;
    tmk_value closed = {0};
    tmk_hub_rule rule;

    if (tmk_wire_list_open(&f->performative, &fields)) {
        (void)tmk_wire_list_field(&fields, 1, &closed);
    }
    if (!l->closing && !tmk_hub_rules_hit(&server->rules, TMK_HUB_RULE_MUTE, &where, server->now,
                                          &server->rng, &rule)) {
        tmk_hub_session_tell(l->session);
        tmk_hub_put_detach(l, tmk_wire_bool(&closed, false), NULL);
    }
    tmk_hub_link_free(l);
}

/* There is nothing more to send now: a receiver that asked to drain gets its credit back. */
static void drained(tmk_hub_link *l) {
    if (l->drain) {
        l->delivery_count += l->credit;
        l->credit = 0;
        tmk_hub_put_flow(l->session, l);
        l->drain = false;
        tmk_hub_conn_ready(l->session->conn);
    }
}

void tmk_hub_link_consider(tmk_hub_link *l) {
    tmk_hub_conn *c = l->session->conn;
    bool wants;

    if (l->closing) {
        return;
    }
    if (l->credit == 0 && l->partial.size == 0) {
        drained(l);
        return;
    }
    wants = l->kind == TMK_HUB_LINK_READER ? tmk_hub_reader_wants(l) : tmk_hub_replies_wants(l);
    if (wants && l->session->window_out > 0) {
        if (!tmk_list_linked(&l->ready_node)) {
            tmk_list_push_back(&c->sending, &l->ready_node);
        }
        tmk_hub_conn_ready(c);
    } else if (!wants) {
        drained(l);
    }
}

/* ---- attaching ---- */

static bool read_address(const tmk_value *terminus, tmk_slice *out) {
    tmk_wire_list fields;
    tmk_value address = {0};

    *out = (tmk_slice){0};
    if (terminus->kind == TMK_VALUE_NONE) {
        return true;
    }
    if (!tmk_wire_list_open(terminus, &fields) || !tmk_wire_list_field(&fields, 0, &address)) {
        return false;
    }
    *out = tmk_wire_text(&address);
    return true;
}

static bool read_attach(const tmk_frame *f, tmk_hub_attach *a) {
    tmk_wire_list l;
    tmk_value v[14];

    memset(v, 0, sizeof v);
    if (!tmk_wire_list_open(&f->performative, &l)) {
        return false;
    }
    for (uint32_t i = 0; i < 14; i++) {
        if (!tmk_wire_list_field(&l, i, &v[i])) {
            return false;
        }
    }
    a->name = tmk_wire_text(&v[0]);
    a->handle = (uint32_t)tmk_wire_uint(&v[1], UINT32_MAX);
    a->receiver = tmk_wire_bool(&v[2], false);
    a->snd_mode = (uint8_t)tmk_wire_uint(&v[3], 2);
    a->rcv_mode = (uint8_t)tmk_wire_uint(&v[4], 0);
    a->source = v[5];
    a->target = v[6];
    a->message_max = tmk_wire_uint(&v[10], 0);
    a->capabilities = v[12];
    a->properties = v[13];
    return read_address(a->receiver ? &a->source : &a->target, &a->address);
}

static void put_attach(tmk_hub_link *l, const tmk_hub_attach *a, bool refused) {
    tmk_hub_server *server = l->session->conn->server;
    tmk_str *out = &l->session->conn->out;
    tmk_frame_mark m = tmk_frame_begin(out, 0, l->session->channel, TMK_AMQP_ATTACH);
    uint64_t max = server->core.message_max;
    static const tmk_value none;

    tmk_wire_put_string(out, tmk_str_slice(&l->name));
    tmk_wire_put_uint(out, l->handle);
    tmk_wire_put_bool(out, !a->receiver);
    tmk_wire_put_ubyte(out, a->receiver && !refused ? (l->settled ? 1 : 0) : a->snd_mode);
    tmk_wire_put_ubyte(out, a->rcv_mode);
    tmk_wire_put_value(out, refused && a->receiver ? &none : &a->source);
    tmk_wire_put_value(out, refused && !a->receiver ? &none : &a->target);
    tmk_wire_null(out);
    tmk_wire_null(out);
    if (a->receiver) {
        tmk_wire_put_uint(out, 0);
    } else {
        tmk_wire_null(out);
    }
    tmk_wire_put_ulong(out, a->message_max > 0 && a->message_max < max ? a->message_max : max);
    tmk_hub_put_nulls(out, 3);
    tmk_frame_end_fields(out, m, 14);
    tmk_frame_end(out, m);
}

/* $cbs: one pair to a connection, and no claim is needed. */
static bool open_cbs(tmk_hub_link *l, const tmk_hub_attach *a, tmk_hub_fail *fail) {
    tmk_hub_conn *c = l->session->conn;
    tmk_hub_link **place = a->receiver ? &c->cbs_out : &c->cbs_in;

    if (*place != NULL) {
        tmk_hub_fail_set(fail, TMK_HUB_NOT_ALLOWED,
                         "A link to the node '$cbs' has already been opened on this connection.");
        return false;
    }
    *place = l;
    return true;
}

static bool open_node(tmk_hub_link *l, const tmk_hub_attach *a, const tmk_hub_place *place,
                      tmk_hub_fail *fail) {
    tmk_slice target = {0};

    if (place->kind == TMK_HUB_PLACE_CBS || place->kind == TMK_HUB_PLACE_MANAGEMENT) {
        if (a->receiver && read_address(&a->target, &target)) {
            tmk_str_add_slice(&l->reply_to, target);
        }
        /* The Java SDK attaches to $management before it puts a token: each question is checked. */
        return place->kind != TMK_HUB_PLACE_CBS || open_cbs(l, a, fail);
    }
    if (a->receiver && place->kind == TMK_HUB_PLACE_READER) {
        return tmk_hub_reader_open(l, a, place, fail);
    }
    if (!a->receiver &&
        (place->kind == TMK_HUB_PLACE_HUB || place->kind == TMK_HUB_PLACE_PARTITION ||
         place->kind == TMK_HUB_PLACE_PUBLISHER)) {
        return tmk_hub_sender_open(l, place, fail);
    }
    tmk_hub_fail_set(fail, TMK_HUB_NOT_FOUND,
                     "The messaging entity 'sb://hub/%s' could not be found. To know more visit "
                     "https://aka.ms/sbResourceMgrExceptions.",
                     tmk_str_text(&l->path));
    return false;
}

static tmk_hub_link_kind kind_of(const tmk_hub_attach *a, tmk_hub_place_kind place) {
    if (place == TMK_HUB_PLACE_CBS || place == TMK_HUB_PLACE_MANAGEMENT) {
        return a->receiver ? TMK_HUB_LINK_REPLIES : TMK_HUB_LINK_REQUESTS;
    }
    return a->receiver ? TMK_HUB_LINK_READER : TMK_HUB_LINK_SENDER;
}

/* Where an attach points, whether there is such a place or not. */
static tmk_hub_subject subject_of(const tmk_hub_link *l, const tmk_hub_place *place) {
    tmk_hub_subject s = tmk_hub_link_subject(l, TMK_HUB_WHAT_ATTACH);

    s.hub = place->hub;
    s.partition = place->partition;
    s.group = place->group;
    return s;
}

static void refuse(tmk_hub_link *l, const tmk_hub_attach *a, const tmk_hub_fail *fail) {
    tmk_hub_server *server = l->session->conn->server;

    server->stats.links_refused++;
    put_attach(l, a, true);
    tmk_hub_link_close(l, fail);
}

static void open_link(tmk_hub_link *l, const tmk_hub_attach *a) {
    tmk_hub_server *server = l->session->conn->server;
    tmk_hub_place place = tmk_hub_place_parse(a->address);
    tmk_hub_subject where;
    tmk_hub_fail fail = {"", ""};
    tmk_hub_rule rule;

    l->node = place.kind;
    l->kind = kind_of(a, place.kind);
    l->settled = !server->unsettled || a->snd_mode == 1;
    tmk_hub_audience_add(&l->path, place.path);
    where = subject_of(l, &place);
    if (tmk_hub_rules_hit(&server->rules, TMK_HUB_RULE_MUTE, &where, server->now, &server->rng,
                          &rule)) {
        go_deaf(l);
        return;
    }
    if (tmk_hub_rules_hit(&server->rules, TMK_HUB_RULE_REFUSE_ATTACH, &where, server->now,
                          &server->rng, &rule)) {
        tmk_hub_fail_set(&fail, rule.condition, "%s", rule.text);
        refuse(l, a, &fail);
        return;
    }
    if (!open_node(l, a, &place, &fail)) {
        refuse(l, a, &fail);
        return;
    }
    server->stats.links_attached++;
    put_attach(l, a, false);
    if (l->kind == TMK_HUB_LINK_SENDER || l->kind == TMK_HUB_LINK_REQUESTS) {
        tmk_hub_sender_grant(l);
    }
}

void tmk_hub_link_attach(tmk_hub_session *s, const tmk_frame *f) {
    tmk_hub_attach a = {0};
    tmk_hub_link *l = NULL;

    if (!read_attach(f, &a)) {
        tmk_hub_conn_fail(s->conn, TMK_HUB_DECODE, "An attach cannot be read.");
        return;
    }
    if (a.handle > s->conn->server->handle_max) {
        tmk_hub_conn_fail(s->conn, "amqp:connection:framing-error",
                          "The handle is beyond handle-max.");
        return;
    }
    if (s->links[a.handle] != NULL) {
        tmk_hub_session_fail(s, "amqp:session:handle-in-use", "A link has this handle already.");
        return;
    }
    l = link_new(s, &a);
    if (l == NULL) {
        s->conn->broken = true;
        return;
    }
    open_link(l, &a);
}
