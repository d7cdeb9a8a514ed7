/*
 * Requests to $cbs and $management, and how their answers find back: by the
 * target address of the link for answers, by its name, or because there is
 * but one. See conn.h.
 */
#include "hub/conn.h"

#include "base/alloc.h"
#include "base/assert.h"

enum { REPLIES_MAX = 1000 };

typedef struct tmk_hub_reply {
    tmk_list node;
    tmk_str bytes;
    tmk_time due;
} tmk_hub_reply;

/* ---- reading ---- */

static bool read_properties(const tmk_value *list, tmk_hub_request *r) {
    tmk_wire_list fields;
    tmk_value reply_to = {0};

    if (!tmk_wire_list_open(list, &fields) || !tmk_wire_list_field(&fields, 0, &r->id) ||
        !tmk_wire_list_field(&fields, 4, &reply_to)) {
        return false;
    }
    r->reply_to = tmk_wire_text(&reply_to);
    return true;
}

static bool read_request(tmk_slice bytes, tmk_hub_request *r) {
    tmk_slice in = bytes;

    while (in.size > 0) {
        tmk_value section = {0};
        if (!tmk_wire_take(&in, &section)) {
            return false;
        }
        switch (tmk_wire_descriptor(&section)) {
        case TMK_SECTION_PROPERTIES:
            if (!read_properties(&section, r)) {
                return false;
            }
            break;
        case TMK_SECTION_APPLICATION_PROPERTIES:
            r->properties = section;
            break;
        case TMK_SECTION_VALUE:
            r->body = section;
            break;
        default:
            break;
        }
    }
    return true;
}

/* ---- the way back ---- */

static bool is_way_back(const tmk_hub_link *l, const tmk_hub_link *request) {
    return l != NULL && !l->closing && l->kind == TMK_HUB_LINK_REPLIES && l->node == request->node;
}

static tmk_hub_link *way_back(tmk_hub_link *request, tmk_slice reply_to) {
    tmk_hub_conn *c = request->session->conn;
    tmk_hub_link *named = NULL, *only = NULL;
    unsigned count = 0;

    for (size_t i = 0; i < c->session_room; i++) {
        for (unsigned h = 0; c->sessions[i] != NULL && h <= TMK_HUB_HANDLE_MAX; h++) {
            tmk_hub_link *l = c->sessions[i]->links[h];
            if (!is_way_back(l, request)) {
                continue;
            }
            if (reply_to.size > 0 && tmk_slice_eq(tmk_str_slice(&l->reply_to), reply_to)) {
                return l;
            }
            named = tmk_slice_eq(tmk_str_slice(&l->name), reply_to) ? l : named;
            only = l;
            count++;
        }
    }
    return named != NULL ? named : count == 1 ? only : NULL;
}

void tmk_hub_put_status(tmk_str *out, int32_t status, const char *description,
                        const char *condition) {
    tmk_wire_mark map;

    tmk_wire_put_descriptor(out, TMK_SECTION_APPLICATION_PROPERTIES);
    map = tmk_wire_begin_map(out);
    tmk_wire_put_string(out, TMK_LIT("status-code"));
    tmk_wire_put_int(out, status);
    tmk_wire_put_string(out, TMK_LIT("status-description"));
    tmk_wire_put_string(out, tmk_slice_str(description));
    if (condition != NULL) {
        tmk_wire_put_string(out, TMK_LIT("error-condition"));
        tmk_wire_put_symbol(out, tmk_slice_str(condition));
    }
    tmk_wire_end_map(out, map, condition == NULL ? 4 : 6);
}

static void put_properties(tmk_str *out, const tmk_hub_request *r) {
    tmk_wire_mark list;

    tmk_wire_put_descriptor(out, TMK_SECTION_PROPERTIES);
    list = tmk_wire_begin_list(out);
    for (int i = 0; i < 5; i++) {
        tmk_wire_null(out);
    }
    tmk_wire_put_value(out, &r->id);
    tmk_wire_end_list(out, list, 6);
}

static tmk_hub_reply *reply_new(tmk_hub_link *request, const tmk_hub_request *r) {
    tmk_hub_conn *c = request->session->conn;
    tmk_hub_reply *reply = tmk_new(tmk_hub_reply);

    if (reply == NULL) {
        c->broken = true;
        return NULL;
    }
    put_properties(&reply->bytes, r);
    if (request->node == TMK_HUB_PLACE_CBS) {
        tmk_hub_cbs_answer(c, r, &reply->bytes);
    } else {
        tmk_hub_management_answer(c, r, &reply->bytes);
    }
    if (!tmk_str_ok(&reply->bytes)) {
        c->broken = true;
        tmk_str_clear(&reply->bytes);
        tmk_free(reply);
        return NULL;
    }
    return reply;
}

void tmk_hub_requests_message(tmk_hub_link *l, tmk_slice bytes) {
    tmk_hub_server *s = l->session->conn->server;
    tmk_hub_what what = l->node == TMK_HUB_PLACE_CBS ? TMK_HUB_WHAT_CBS : TMK_HUB_WHAT_MANAGEMENT;
    tmk_hub_subject where = tmk_hub_link_subject(l, what);
    tmk_hub_request r = {0};
    tmk_hub_link *back = NULL;
    tmk_hub_reply *reply = NULL;
    tmk_hub_rule rule;

    if (!l->presettled) {
        tmk_hub_session_accept(l->session, l->delivery_id);
    }
    if (!read_request(bytes, &r) ||
        tmk_hub_rules_hit(&s->rules, TMK_HUB_RULE_MUTE, &where, s->now, &s->rng, &rule)) {
        return;
    }
    back = way_back(l, r.reply_to);
    if (back == NULL || back->reply_count >= REPLIES_MAX) {
        return;
    }
    reply = reply_new(l, &r);
    if (reply == NULL) {
        return;
    }
    if (tmk_hub_rules_hit(&s->rules, TMK_HUB_RULE_DELAY, &where, s->now, &s->rng, &rule)) {
        reply->due = s->now + rule.ms * TMK_MS;
    }
    tmk_list_push_back(&back->replies, &reply->node);
    back->reply_count++;
    tmk_hub_link_consider(back);
}

/* ---- sending ---- */

static tmk_hub_reply *first_reply(const tmk_hub_link *l) {
    tmk_list *node = tmk_list_first(&l->replies);

    return node == NULL ? NULL : tmk_container_of(node, tmk_hub_reply, node);
}

static void reply_drop(tmk_hub_link *l, tmk_hub_reply *reply) {
    tmk_list_remove(&reply->node);
    l->reply_count--;
    tmk_str_clear(&reply->bytes);
    tmk_free(reply);
}

void tmk_hub_replies_clear(tmk_hub_link *l) {
    tmk_hub_reply *reply;

    while ((reply = first_reply(l)) != NULL) {
        reply_drop(l, reply);
    }
}

bool tmk_hub_replies_wants(tmk_hub_link *l) {
    tmk_hub_conn *c = l->session->conn;
    tmk_hub_reply *reply = first_reply(l);

    if (l->partial.size > 0) {
        return true;
    }
    if (reply != NULL && reply->due > c->server->now) {
        c->wake_at = tmk_time_min(c->wake_at, reply->due);
        return false;
    }
    return reply != NULL;
}

/* The next answer becomes the message under way. */
static void begin_reply(tmk_hub_link *l) {
    tmk_hub_reply *reply = first_reply(l);

    tmk_assert(reply != NULL);
    tmk_str_clear(&l->partial);
    l->partial = reply->bytes;
    reply->bytes = (tmk_str)TMK_STR_INIT;
    reply_drop(l, reply);
    l->settled = true;
}

void tmk_hub_replies_pump(tmk_hub_link *l) {
    while (l->partial.size > 0 || (l->credit > 0 && tmk_hub_replies_wants(l))) {
        if (l->partial.size == 0) {
            begin_reply(l);
        }
        if (!tmk_hub_put_message(l)) {
            return;
        }
    }
}
