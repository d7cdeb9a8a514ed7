/*
 * Senders: deliveries put together from transfers, stored as events, answered
 * by an outcome, which waits for the disk where there is one. See conn.h.
 */
#include "hub/conn.h"

#include "base/alloc.h"

enum { CREDIT = 1000, REQUEST_MAX = 256 << 10, REQUEST_CREDIT = 100 };

/* ---- attaching ---- */

bool tmk_hub_sender_open(tmk_hub_link *l, const tmk_hub_place *place, tmk_hub_fail *fail) {
    tmk_hub_conn *c = l->session->conn;

    if (!tmk_hub_claims_allow(c, tmk_str_slice(&l->path), TMK_HUB_SEND)) {
        tmk_hub_fail_set(fail, TMK_HUB_UNAUTHORIZED,
                         "Unauthorized access. 'Send' claim(s) are required to perform this "
                         "operation. Resource: 'sb://hub/%s'.",
                         tmk_str_text(&l->path));
        return false;
    }
    l->right = TMK_HUB_SEND;
    l->entity = tmk_hub_core_find(&c->server->core, place->hub);
    if (l->entity == NULL) {
        tmk_hub_fail_set(fail, TMK_HUB_NOT_FOUND,
                         "The messaging entity 'sb://hub/%s' could not be found. To know more "
                         "visit https://aka.ms/sbResourceMgrExceptions.",
                         tmk_str_text(&l->path));
        return false;
    }
    if (place->kind != TMK_HUB_PLACE_PARTITION) {
        return true;
    }
    l->part = tmk_hub_entity_part(l->entity, place->partition);
    if (l->part == NULL) {
        tmk_hub_fail_set(fail, TMK_HUB_OUT_OF_RANGE,
                         "The specified partition is invalid for an EventHub partition sender or "
                         "receiver. It should be between 0 and %u.",
                         l->entity->part_count - 1);
    }
    return l->part != NULL;
}

void tmk_hub_sender_grant(tmk_hub_link *l) {
    uint32_t full = l->kind == TMK_HUB_LINK_SENDER ? CREDIT : REQUEST_CREDIT;

    if (!l->closing && l->credit <= full / 2) {
        l->credit = full;
        tmk_hub_put_flow(l->session, l);
    }
}

/* ---- transfers ---- */

typedef struct transfer {
    uint32_t handle, delivery_id, format;
    bool id_given, format_given, settled, more, aborted;
} transfer;

static bool read_transfer(const tmk_frame *f, transfer *t) {
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
    t->handle = (uint32_t)tmk_wire_uint(&v[0], UINT32_MAX);
    t->id_given = v[1].kind == TMK_VALUE_UINT;
    t->delivery_id = (uint32_t)tmk_wire_uint(&v[1], 0);
    t->format_given = v[3].kind == TMK_VALUE_UINT;
    t->format = (uint32_t)tmk_wire_uint(&v[3], 0);
    t->settled = tmk_wire_bool(&v[4], false);
    t->more = tmk_wire_bool(&v[5], false);
    t->aborted = tmk_wire_bool(&v[9], false);
    return true;
}

static size_t size_max(const tmk_hub_link *l) {
    return l->kind == TMK_HUB_LINK_SENDER ? l->session->conn->server->core.message_max
                                          : REQUEST_MAX;
}

static void end_delivery(tmk_hub_link *l) {
    l->under_way = false;
    l->too_large = false;
    if (l->message.room > (128 << 10)) {
        tmk_str_clear(&l->message); /* a large one is rare; do not keep its memory */
    } else {
        tmk_str_reset(&l->message);
    }
    l->delivery_count++;
    l->credit -= l->credit > 0;
    tmk_hub_sender_grant(l);
}

static void deliver(tmk_hub_link *l, tmk_slice bytes) {
    tmk_hub_fail why = {"", ""};

    if (l->too_large) {
        tmk_hub_fail_set(&why, TMK_HUB_TOO_LARGE,
                         "The received message (delivery-id:%u) exceeds the limit (%zu bytes) "
                         "currently allowed on the link.",
                         l->delivery_id, size_max(l));
        if (!l->presettled) {
            tmk_hub_session_reject(l->session, l->delivery_id, &why);
        }
    } else if (l->kind == TMK_HUB_LINK_SENDER) {
        tmk_hub_sender_message(l, bytes);
    } else {
        tmk_hub_requests_message(l, bytes);
    }
}

static void begin_delivery(tmk_hub_link *l, const transfer *t) {
    l->under_way = true;
    l->delivery_id = t->delivery_id;
    l->format = t->format;
    l->presettled = false;
    l->too_large = false;
    tmk_str_reset(&l->message);
}

static void take_payload(tmk_hub_link *l, const transfer *t, tmk_slice payload) {
    bool alone = l->message.size == 0 && !t->more; /* the usual case: nothing is copied */

    if (l->message.size + payload.size > size_max(l)) {
        l->too_large = true;
    }
    if (!alone && !l->too_large) {
        tmk_str_add_slice(&l->message, payload);
    }
    if (!tmk_str_ok(&l->message)) {
        l->session->conn->broken = true;
    } else if (!t->more) {
        deliver(l, alone ? payload : tmk_str_slice(&l->message));
        if (!l->closing) {
            end_delivery(l);
        }
    }
}

static void count_window(tmk_hub_session *s) {
    s->next_in++;
    if (s->window_in > 0) {
        s->window_in--;
    }
    if (s->window_in <= 2500) {
        s->window_in = 5000;
        tmk_hub_put_flow(s, NULL);
    }
}

void tmk_hub_sender_transfer(tmk_hub_session *s, const tmk_frame *f) {
    transfer t = {0};
    tmk_hub_link *l = NULL;

    if (!read_transfer(f, &t)) {
        tmk_hub_conn_fail(s->conn, TMK_HUB_DECODE, "A transfer cannot be read.");
        return;
    }
    count_window(s);
    l = t.handle <= TMK_HUB_HANDLE_MAX ? s->links[t.handle] : NULL;
    if (l == NULL || l->closing) {
        return; /* it was on its way when the link went */
    }
    if (l->kind != TMK_HUB_LINK_SENDER && l->kind != TMK_HUB_LINK_REQUESTS) {
        tmk_hub_session_fail(s, "amqp:session:errant-link",
                             "A transfer on a link that we send on.");
        return;
    }
    l->active_at = s->conn->server->now;
    if (!l->under_way) {
        if (!t.id_given) {
            tmk_hub_session_fail(s, "amqp:invalid-field", "The first transfer has no delivery-id.");
            return;
        }
        begin_delivery(l, &t);
    }
    l->presettled = l->presettled || t.settled;
    if (t.aborted) {
        end_delivery(l);
        return;
    }
    take_payload(l, &t, f->payload);
}

/* ---- storing ---- */

typedef struct batch {
    tmk_hub_part *part;
    tmk_slice key;
    bool keyed;
    int64_t count, bytes;
} batch;

static bool bad(tmk_hub_fail *fail, const char *text) {
    tmk_hub_fail_set(fail, TMK_HUB_DECODE, "%s", text);
    return false;
}

static bool check_batch(tmk_slice rest, batch *b, tmk_hub_fail *fail) {
    tmk_slice event = {0};
    tmk_hub_message m;
    bool broken = false;

    while (tmk_hub_batch_next(&rest, &event, &broken)) {
        if (!tmk_hub_message_parse(event, &m)) {
            return bad(fail, "An event of the batch is no AMQP message.");
        }
        b->count++;
        b->bytes += (int64_t)event.size;
    }
    return !broken || bad(fail, "The batch has a body that is not made of data sections.");
}

static tmk_status append_batch(tmk_hub_server *s, const batch *b, tmk_slice rest) {
    tmk_slice event = {0};
    tmk_hub_message m;
    bool broken = false;
    tmk_status st = TMK_OK;

    while (st == TMK_OK && tmk_hub_batch_next(&rest, &event, &broken)) {
        (void)tmk_hub_message_parse(event, &m); /* check_batch() has seen that it is one */
        st = tmk_hub_part_append(b->part, &m, b->key, b->keyed, s->wall_ms, &s->scratch);
    }
    return st;
}

/* What was appended is made safe, or taken back whole: a batch is one piece. */
static bool commit(tmk_hub_server *s, tmk_hub_part *p, int64_t first, tmk_status st,
                   tmk_hub_fail *fail) {
    if (st == TMK_OK && s->keeper.store != NULL) {
        st = s->keeper.store(s->keeper.self, p, first, p->log.end);
    }
    if (st < 0) {
        tmk_hub_log_drop_from(&p->log, first);
        tmk_hub_fail_set(fail, st == TMK_EBUSY ? TMK_HUB_BUSY : TMK_HUB_INTERNAL,
                         "The hub cannot store the event: %s.", tmk_status_text(st));
        return false;
    }
    if (s->keeper.store == NULL) {
        tmk_hub_part_stored(p, p->log.end);
    }
    if (p->log.bytes > s->core.retention_bytes + s->core.retention_bytes / 4) {
        tmk_hub_server_retain(s); /* the next look at the clock may be too late */
    }
    return true;
}

/* A fault that rejects a send, before anything is stored. */
static bool rejected_by_rule(tmk_hub_link *l, const tmk_hub_part *p, tmk_hub_fail *fail) {
    tmk_hub_server *s = l->session->conn->server;
    tmk_hub_subject where = tmk_hub_link_subject(l, TMK_HUB_WHAT_SEND);
    tmk_hub_rule rule;

    where.partition = tmk_slice_str(p->id);
    if (!tmk_hub_rules_hit(&s->rules, TMK_HUB_RULE_REJECT_SENDS, &where, s->now, &s->rng, &rule)) {
        return false;
    }
    tmk_hub_fail_set(fail, rule.condition, "%s", rule.text);
    return true;
}

static bool store(tmk_hub_link *l, tmk_slice bytes, batch *b, tmk_hub_fail *fail) {
    tmk_hub_server *s = l->session->conn->server;
    tmk_hub_message m;
    bool many = l->format == (uint32_t)TMK_HUB_BATCH_FORMAT;
    tmk_status st;
    int64_t first;

    if (!tmk_hub_message_parse(bytes, &m)) {
        return bad(fail, "The delivery is no AMQP message.");
    }
    b->part = tmk_hub_entity_route(l->entity, l->part, &m);
    b->key = m.key;
    b->keyed = m.keyed;
    b->count = many ? 0 : 1;
    b->bytes = many ? 0 : (int64_t)bytes.size;
    if (many && !check_batch(m.rest, b, fail)) {
        return false;
    }
    if (rejected_by_rule(l, b->part, fail)) {
        return false;
    }
    if (!tmk_hub_core_admit(&s->core, b->part, b->count, b->bytes, s->now, fail)) {
        s->stats.throttled++;
        return false;
    }
    first = b->part->log.end;
    st = many ? append_batch(s, b, m.rest)
              : tmk_hub_part_append(b->part, &m, m.key, m.keyed, s->wall_ms, &s->scratch);
    return commit(s, b->part, first, st, fail);
}

/* ---- outcomes ---- */

tmk_hub_outcome *tmk_hub_outcome_free(tmk_hub_outcome *o) {
    if (o != NULL) {
        tmk_list_remove(&o->session_node);
        tmk_list_remove(&o->part_node);
        tmk_list_remove(&o->conn_node);
        tmk_free(o);
    }
    return NULL;
}

static tmk_hub_outcome *outcome_new(tmk_hub_link *l) {
    tmk_hub_outcome *o = tmk_new(tmk_hub_outcome);

    if (o == NULL) {
        l->session->conn->broken = true; /* better no answer than a wrong one */
        return NULL;
    }
    o->session = l->session;
    o->delivery_id = l->delivery_id;
    tmk_list_push_back(&l->session->outcomes, &o->session_node);
    return o;
}

/* Tells an outcome, and forgets it. */
static void tell(tmk_hub_outcome *o) {
    if (o->rejected) {
        tmk_hub_session_reject(o->session, o->delivery_id, &o->why);
    } else {
        tmk_hub_session_accept(o->session, o->delivery_id);
    }
    tmk_hub_outcome_free(o);
}

static void wait_until(tmk_hub_outcome *o, tmk_time due) {
    tmk_hub_conn *c = o->session->conn;

    o->due = due;
    tmk_list_push_back(&c->delayed, &o->conn_node);
    c->wake_at = tmk_time_min(c->wake_at, due);
}

void tmk_hub_outcomes_due(tmk_hub_conn *c) {
    tmk_list *next = NULL;

    for (tmk_list *n = tmk_list_first(&c->delayed); n != NULL; n = next) {
        tmk_hub_outcome *o = tmk_container_of(n, tmk_hub_outcome, conn_node);
        next = tmk_list_next(&c->delayed, n);
        if (o->due > c->server->now) {
            c->wake_at = tmk_time_min(c->wake_at, o->due);
        } else if (o->part == NULL) {
            tell(o);
        } else {
            o->due = 0; /* the disk has the word */
            tmk_list_remove(&o->conn_node);
        }
    }
}

void tmk_hub_part_stored(tmk_hub_part *p, int64_t end) {
    tmk_list *next = NULL;

    tmk_hub_log_show(&p->log, end);
    for (tmk_list *n = tmk_list_first(&p->pending); n != NULL; n = next) {
        tmk_hub_outcome *o = tmk_container_of(n, tmk_hub_outcome, part_node);
        next = tmk_list_next(&p->pending, n);
        if (o->end > end) {
            break;
        }
        tmk_list_remove(&o->part_node);
        o->part = NULL;
        if (o->due == 0) {
            tell(o);
        }
    }
    tmk_hub_part_wake(p);
}

void tmk_hub_part_lost(tmk_hub_server *s, tmk_hub_part *p, const tmk_hub_fail *why) {
    tmk_list *node;

    tmk_hub_log_drop_from(&p->log, p->log.visible);
    while ((node = tmk_list_pop_front(&p->pending)) != NULL) {
        tmk_hub_outcome *o = tmk_container_of(node, tmk_hub_outcome, part_node);
        o->part = NULL;
        o->rejected = true;
        o->why = *why;
        s->stats.sends_rejected++;
        if (o->due == 0) {
            tell(o);
        }
    }
}

/* What becomes of a delivery that was stored, or was not. */
static void answer(tmk_hub_link *l, const batch *b, const tmk_hub_fail *why) {
    tmk_hub_server *s = l->session->conn->server;
    tmk_hub_subject where = tmk_hub_link_subject(l, TMK_HUB_WHAT_SEND);
    bool late = false, waits = why == NULL && s->keeper.store != NULL;
    tmk_hub_outcome *o = NULL;
    tmk_hub_rule rule;

    if (b->part != NULL) {
        where.partition = tmk_slice_str(b->part->id);
    }
    if (l->presettled ||
        tmk_hub_rules_hit(&s->rules, TMK_HUB_RULE_MUTE, &where, s->now, &s->rng, &rule)) {
        return;
    }
    late = tmk_hub_rules_hit(&s->rules, TMK_HUB_RULE_DELAY, &where, s->now, &s->rng, &rule);
    if (!late && !waits) {
        if (why == NULL) {
            tmk_hub_session_accept(l->session, l->delivery_id);
        } else {
            tmk_hub_session_reject(l->session, l->delivery_id, why);
        }
        return;
    }
    o = outcome_new(l);
    if (o == NULL) {
        return;
    }
    if (why != NULL) {
        o->rejected = true;
        o->why = *why;
    }
    if (waits) {
        o->part = b->part;
        o->end = b->part->log.end;
        tmk_list_push_back(&b->part->pending, &o->part_node);
    }
    if (late) {
        wait_until(o, s->now + rule.ms * TMK_MS);
    }
}

void tmk_hub_sender_message(tmk_hub_link *l, tmk_slice bytes) {
    tmk_hub_server *s = l->session->conn->server;
    batch b = {0};
    tmk_hub_fail fail = {"", ""};
    bool ok = store(l, bytes, &b, &fail);

    if (ok) {
        s->stats.events_in += (uint64_t)b.count;
        s->stats.bytes_in += (uint64_t)b.bytes;
        b.part->received += (uint64_t)b.count;
    } else {
        s->stats.sends_rejected++;
    }
    answer(l, &b, ok ? NULL : &fail);
}
