/*
 * Receivers: where they start, and the way of an event from the log to the
 * wire. An event that fits one frame is a prepared front and a copy.
 */
#include "hub/conn.h"

#include <stdio.h>

#include "base/assert.h"

#include "hub/bytes.h"

/* ---- attaching ---- */

enum {
    SOURCE_FILTER = 7,
    TURN_BYTES = 64 << 10, /* of one link, before the next one has its turn */
    TRANSFER_OVERHEAD = 64
};

static bool is_selector(const tmk_value *v) {
    tmk_slice rest = v->descriptor;
    tmk_value d = {0};

    if (v->kind != TMK_VALUE_STRING || !tmk_wire_take(&rest, &d)) {
        return false;
    }
    return tmk_wire_uint(&d, 0) == UINT64_C(0x0000468C00000004) ||
           tmk_wire_uint(&d, 0) == UINT64_C(0x000000137000000A) ||
           tmk_slice_eq(tmk_wire_text(&d), TMK_LIT("apache.org:selector-filter:string"));
}

static bool read_start(const tmk_value *source, tmk_hub_from *start, tmk_hub_fail *fail) {
    tmk_wire_list fields;
    tmk_value filters = {0}, key = {0}, value = {0};

    memset(start, 0, sizeof *start);
    if (!tmk_wire_list_open(source, &fields) ||
        !tmk_wire_list_field(&fields, SOURCE_FILTER, &filters)) {
        tmk_hub_fail_set(fail, TMK_HUB_DECODE, "The source cannot be read.");
        return false;
    }
    while (filters.kind == TMK_VALUE_MAP && tmk_value_next(&filters, &key) &&
           tmk_value_next(&filters, &value)) {
        if (!is_selector(&value)) {
            tmk_hub_fail_set(fail, TMK_HUB_NOT_ALLOWED,
                             "Invalid filter type. Only JMS selector filters and Apache selector "
                             "filters are supported.");
            return false;
        }
        if (!tmk_hub_from_parse(value.bytes, start)) {
            tmk_hub_fail_set(fail, TMK_HUB_NOT_ALLOWED,
                             "The filter's expression is not supported: '%.*s'.",
                             (int)(value.bytes.size < 100 ? value.bytes.size : 100),
                             (const char *)value.bytes.bytes);
            return false;
        }
    }
    return true;
}

static bool asks_for(tmk_value capabilities, const char *name) {
    tmk_value one = {0};

    if (capabilities.kind != TMK_VALUE_ARRAY) {
        return tmk_slice_eq(tmk_wire_text(&capabilities), tmk_slice_str(name));
    }
    while (tmk_value_next(&capabilities, &one)) {
        if (tmk_slice_eq(tmk_wire_text(&one), tmk_slice_str(name))) {
            return true;
        }
    }
    return false;
}

static void read_level(tmk_hub_reader *r, const tmk_value *properties) {
    tmk_value level = tmk_wire_map_get(properties, "com.microsoft:epoch");
    tmk_value name = tmk_wire_map_get(properties, "com.microsoft:receiver-name");
    tmk_slice text = tmk_wire_text(&name);

    r->leveled = level.kind == TMK_VALUE_INT || level.kind == TMK_VALUE_UINT;
    r->level = tmk_wire_int(&level, 0);
    if (text.size == 0) {
        text = TMK_LIT("nil");
    }
    (void)snprintf(r->name, sizeof r->name, "%.*s",
                   (int)(text.size < sizeof r->name ? text.size : sizeof r->name - 1),
                   (const char *)text.bytes);
}

static bool find_part(tmk_hub_link *l, const tmk_hub_place *place, tmk_hub_fail *fail) {
    tmk_hub_conn *c = l->session->conn;

    if (!tmk_hub_claims_allow(c, tmk_str_slice(&l->path), TMK_HUB_LISTEN)) {
        tmk_hub_fail_set(fail, TMK_HUB_UNAUTHORIZED,
                         "Unauthorized access. 'Listen' claim(s) are required to perform this "
                         "operation. Resource: 'sb://hub/%s'.",
                         tmk_str_text(&l->path));
        return false;
    }
    l->entity = tmk_hub_core_find(&c->server->core, place->hub);
    if (l->entity == NULL || !tmk_hub_entity_has_group(l->entity, place->group)) {
        tmk_hub_fail_set(fail, TMK_HUB_NOT_FOUND,
                         "The messaging entity 'hub:eventhub:%.*s~32766|%.*s' could not be found. "
                         "To know more visit https://aka.ms/sbResourceMgrExceptions.",
                         (int)(place->hub.size < 100 ? place->hub.size : 100),
                         (const char *)place->hub.bytes,
                         (int)(place->group.size < 100 ? place->group.size : 100),
                         (const char *)place->group.bytes);
        return false;
    }
    l->part = tmk_hub_entity_part(l->entity, place->partition);
    if (l->part == NULL) {
        tmk_hub_fail_set(fail, TMK_HUB_OUT_OF_RANGE,
                         "The specified partition is invalid for an EventHub partition sender or "
                         "receiver. It should be between 0 and %u.",
                         l->entity->part_count - 1);
        return false;
    }
    return true;
}

/* The front of a transfer that fits one frame; size, id and tag are filled in each time. */
static void make_front(tmk_hub_link *l) {
    tmk_str s = TMK_STR_INIT;
    uint8_t list_size;

    tmk_wire_put_uint(&s, l->handle);
    list_size = (uint8_t)(1 + s.size + 5 + 6 + 1 + 1 + 6);
    tmk_str_clear(&s);

    tmk_str_add_slice(&s, tmk_slice_of("\0\0\0\0\2\0", 6));
    tmk_str_add_char(&s, (char)(l->session->channel >> 8));
    tmk_str_add_char(&s, (char)(l->session->channel & 0xff));
    tmk_wire_put_descriptor(&s, TMK_AMQP_TRANSFER);
    tmk_str_add_char(&s, (char)0xc0);
    tmk_str_add_char(&s, (char)list_size);
    tmk_str_add_char(&s, 11);
    tmk_wire_put_uint(&s, l->handle);
    l->id_at = (uint32_t)s.size + 1;
    tmk_str_add_slice(&s, tmk_slice_of("\x70\0\0\0\0", 5));
    l->tag_at = (uint32_t)s.size + 2;
    tmk_str_add_slice(&s, tmk_slice_of("\xa0\4\0\0\0\0", 6));
    tmk_wire_put_uint(&s, 0);
    tmk_wire_put_bool(&s, l->settled);
    tmk_hub_put_nulls(&s, 6);
    if (!tmk_str_ok(&s)) {
        l->session->conn->broken = true;
    } else {
        tmk_assert(s.size <= sizeof l->front);
        memcpy(l->front, s.text, s.size);
        l->front_size = (uint32_t)s.size;
    }
    tmk_str_clear(&s);
}

static void close_displaced(tmk_list *displaced) {
    tmk_list *node;

    while ((node = tmk_list_pop_front(displaced)) != NULL) {
        tmk_hub_link *old = tmk_container_of(node, tmk_hub_link, reader.node);
        tmk_hub_fail why = old->reader.why;
        tmk_hub_link_close(old, &why);
    }
}

/* Old clients take an offset for a number; whether the service serves them is not known. */
static bool can_read(const tmk_hub_link *l, const tmk_hub_attach *a, tmk_hub_fail *fail) {
    if (!l->entity->geo_strict || asks_for(a->capabilities, "com.microsoft:georeplication")) {
        return true;
    }
    tmk_hub_fail_set(fail, TMK_HUB_NOT_ALLOWED,
                     "The namespace is geo-replicated: a receiver needs the capability "
                     "com.microsoft:georeplication.");
    return false;
}

bool tmk_hub_reader_open(tmk_hub_link *l, const tmk_hub_attach *a, const tmk_hub_place *place,
                         tmk_hub_fail *fail) {
    tmk_hub_from start;
    tmk_list displaced;

    tmk_list_init(&displaced);
    if (!find_part(l, place, fail) || !can_read(l, a, fail) ||
        !read_start(&a->source, &start, fail) ||
        !tmk_hub_part_position(l->part, &start, &l->next, fail)) {
        return false;
    }
    l->right = TMK_HUB_LISTEN;
    tmk_str_add_slice(&l->group, place->group);
    l->reader.group = tmk_str_slice(&l->group);
    read_level(&l->reader, &a->properties);
    l->metrics = asks_for(a->capabilities, "com.microsoft:enable-receiver-runtime-metric");
    make_front(l);
    if (!tmk_str_ok(&l->group) ||
        !tmk_hub_part_admit_reader(l->part, &l->reader, &displaced, fail)) {
        return false;
    }
    close_displaced(&displaced);
    return true;
}

void tmk_hub_reader_close(tmk_hub_link *l) {
    tmk_hub_part_remove_reader(&l->reader);
    tmk_list_remove(&l->wait_node);
}

/* ---- delivering ---- */

static void hold(tmk_hub_link *l, tmk_time until) {
    tmk_hub_conn *c = l->session->conn;

    l->hold_until = until;
    c->wake_at = tmk_time_min(c->wake_at, until);
}

/* Does a fault keep the next event back? */
static bool held_back(tmk_hub_link *l) {
    tmk_hub_server *server = l->session->conn->server;
    tmk_hub_subject where = tmk_hub_link_subject(l, TMK_HUB_WHAT_DELIVERY);
    const tmk_hub_entry *e = NULL;
    uint32_t count = 0;
    tmk_hub_rule rule;

    if (tmk_hub_rules_holds(&server->rules, TMK_HUB_RULE_STALL, &where, server->now, &rule)) {
        return true; /* tmk_hub_server_recheck() wakes it */
    }
    if (tmk_hub_rules_holds(&server->rules, TMK_HUB_RULE_DELAY, &where, server->now, &rule) &&
        rule.match.what == TMK_HUB_WHAT_DELIVERY &&
        tmk_hub_log_find(&l->part->log, l->next, &e, &count) != NULL &&
        e->enqueued_ms + rule.ms > server->wall_ms) {
        hold(l, server->now + (e->enqueued_ms + rule.ms - server->wall_ms) * TMK_MS);
        return true;
    }
    return false;
}

static bool faulty(const tmk_hub_server *s) {
    return tmk_hub_rules_any(&s->rules, TMK_HUB_RULE_STALL) ||
           tmk_hub_rules_any(&s->rules, TMK_HUB_RULE_DELAY);
}

bool tmk_hub_reader_wants(tmk_hub_link *l) {
    tmk_hub_server *server = l->session->conn->server;
    const tmk_hub_log *log = &l->part->log;

    if (l->partial.size > 0) {
        return true;
    }
    l->next = l->next < log->begin ? log->begin : l->next;
    if (l->next >= log->visible) {
        if (!tmk_list_linked(&l->wait_node)) {
            tmk_list_push_back(&l->part->waiting, &l->wait_node);
        }
        return false;
    }
    if (l->hold_until > server->now || (faulty(server) && held_back(l))) {
        return false;
    }
    if (!tmk_hub_quota_open(&server->core.egress, server->now)) {
        hold(l, tmk_hub_quota_opens(&server->core.egress));
        return false;
    }
    return true;
}

/* An event too large for one frame. Copied: it may take several turns to send, and retention may
 * have taken it by then. */
static void send_slowly(tmk_hub_link *l, tmk_slice metrics, const uint8_t *bytes,
                        const tmk_hub_entry *e) {
    tmk_str_add_slice(&l->partial, tmk_slice_of(bytes, e->header_size));
    tmk_str_add_slice(&l->partial, metrics);
    tmk_str_add_slice(&l->partial, tmk_slice_of(bytes + e->header_size, e->size - e->header_size));
    if (!tmk_str_ok(&l->partial)) {
        l->session->conn->broken = true;
        return;
    }
    (void)tmk_hub_put_message(l);
}

static void send_quickly(tmk_hub_link *l, tmk_slice metrics, const uint8_t *bytes,
                         const tmk_hub_entry *e) {
    tmk_hub_session *s = l->session;
    tmk_hub_conn *c = s->conn;
    size_t whole = (size_t)l->front_size + metrics.size + e->size;
    uint8_t *at = tmk_hub_out_room(c, whole + sizeof l->front);
    uint32_t id;

    if (at == NULL) {
        return;
    }
    id = s->next_delivery++;
    memcpy(at, l->front, sizeof l->front); /* a bit too much: of constant size */
    tmk_hub_store32(at, (uint32_t)whole);
    tmk_hub_store32(at + l->id_at, id);
    tmk_hub_store32(at + l->tag_at, id);
    at += l->front_size;
    if (metrics.size > 0) {
        memcpy(at, bytes, e->header_size);
        memcpy(at + e->header_size, metrics.bytes, metrics.size);
        memcpy(at + e->header_size + metrics.size, bytes + e->header_size,
               e->size - e->header_size);
    } else {
        memcpy(at, bytes, e->size);
    }
    c->out.size += whole;
    s->next_out++;
    s->window_out--;
    l->delivery_count++;
    l->credit--;
}

/* The delivery annotations of a link that asked for them: the same for a run of events. */
static tmk_slice metrics_of(const tmk_hub_link *l) {
    tmk_hub_server *s = l->session->conn->server;
    const tmk_hub_part *p = l->part;
    tmk_hub_offset offset;
    tmk_hub_last last;

    tmk_str_reset(&s->scratch);
    if (l->metrics) {
        offset = tmk_hub_part_last_offset(p);
        last = (tmk_hub_last){tmk_hub_part_last_sequence(p), p->log.last_ms, s->wall_ms,
                              tmk_slice_str(offset.text)};
        tmk_hub_last_add(&s->scratch, &last);
    }
    if (!tmk_str_ok(&s->scratch)) {
        tmk_str_clear(&s->scratch);
        l->session->conn->broken = true;
    }
    return tmk_str_slice(&s->scratch);
}

/* The run of events that lie together from l->next on, as far as credit, window and room go. */
static void send_run(tmk_hub_link *l, size_t until) {
    tmk_hub_conn *c = l->session->conn;
    const tmk_hub_entry *e = NULL;
    uint32_t count = 0, sent = 0;
    uint64_t bytes = 0;
    tmk_slice metrics = metrics_of(l);
    const tmk_hub_chunk *chunk = tmk_hub_log_find(&l->part->log, l->next, &e, &count);

    if (faulty(c->server)) {
        count = 1; /* whether the next one may go is asked each time */
    }
    while (sent < count && l->credit > 0 && l->session->window_out > 0 && c->out.size < until &&
           !c->broken) {
        const uint8_t *at = chunk->bytes + e[sent].at;
        if (e[sent].size + metrics.size + TRANSFER_OVERHEAD > c->frame_max) {
            send_slowly(l, metrics, at, &e[sent]);
        } else {
            send_quickly(l, metrics, at, &e[sent]);
        }
        bytes += e[sent].size;
        sent++;
        if (l->partial.size > 0) {
            break;
        }
    }
    l->next += sent;
    l->part->delivered += sent;
    c->server->stats.events_out += sent;
    c->server->stats.bytes_out += bytes;
    tmk_hub_quota_take(&c->server->core.egress, sent, (int64_t)bytes);
}

/* Faults that change what comes next. */
static void misplace(tmk_hub_link *l) {
    tmk_hub_server *server = l->session->conn->server;
    tmk_hub_subject where = tmk_hub_link_subject(l, TMK_HUB_WHAT_DELIVERY);
    tmk_hub_rule rule;

    if (l->delivery_count > 0 && tmk_hub_rules_hit(&server->rules, TMK_HUB_RULE_REPEAT, &where,
                                                   server->now, &server->rng, &rule)) {
        l->next -= rule.events < l->delivery_count ? rule.events : l->delivery_count;
    }
    if (tmk_hub_rules_hit(&server->rules, TMK_HUB_RULE_SKIP, &where, server->now, &server->rng,
                          &rule)) {
        l->next += rule.events;
    }
}

void tmk_hub_reader_pump(tmk_hub_link *l) {
    tmk_hub_conn *c = l->session->conn;
    size_t until = c->out.size + TURN_BYTES;

    l->active_at = c->server->now;
    if (l->partial.size > 0 && !tmk_hub_put_message(l)) {
        return;
    }
    if (tmk_hub_rules_any(&c->server->rules, TMK_HUB_RULE_REPEAT) ||
        tmk_hub_rules_any(&c->server->rules, TMK_HUB_RULE_SKIP)) {
        misplace(l);
    }
    if (l->credit > 0 && tmk_hub_reader_wants(l)) {
        send_run(l, until);
    }
}
