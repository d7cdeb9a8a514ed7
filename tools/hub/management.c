/* $management: the properties of a hub and of a partition. See conn.h. */
#include "hub/conn.h"

#include <stdio.h>

#include "base/alloc.h"

enum { OK = 200, BAD_REQUEST = 400, UNAUTHORIZED = 401, NOT_FOUND = 404, FAULT = 500 };

typedef struct question {
    tmk_slice operation, type, name, partition, token;
} question;

static tmk_slice text_property(const tmk_hub_request *r, const char *name) {
    tmk_value v = tmk_wire_map_get(&r->properties, name);

    return tmk_wire_text(&v);
}

static void put_key(tmk_str *out, const char *name) {
    tmk_wire_put_string(out, tmk_slice_str(name));
}

static void put_text(tmk_str *out, const char *name, tmk_slice value) {
    put_key(out, name);
    tmk_wire_put_string(out, value);
}

/* ---- answers ---- */

static void put_hub(tmk_str *out, const tmk_hub_entity *e) {
    tmk_slice *ids = tmk_alloc_zero(e->part_count, sizeof *ids);
    tmk_wire_mark map;

    if (ids == NULL) {
        out->failed = true;
        return;
    }
    for (uint32_t i = 0; i < e->part_count; i++) {
        ids[i] = tmk_slice_str(e->parts[i].id);
    }
    tmk_wire_put_descriptor(out, TMK_SECTION_VALUE);
    map = tmk_wire_begin_map(out);
    put_text(out, "name", tmk_slice_str(e->name));
    put_text(out, "type", TMK_LIT("com.microsoft:eventhub"));
    put_key(out, "created_at");
    tmk_wire_put_time(out, e->created_ms);
    put_key(out, "partition_count");
    tmk_wire_put_int(out, (int32_t)e->part_count);
    put_key(out, "partition_ids");
    tmk_wire_put_strings(out, ids, e->part_count);
    put_key(out, "georeplication_factor");
    tmk_wire_put_int(out, e->geo ? 2 : 1);
    tmk_wire_end_map(out, map, 12);
    tmk_free(ids);
}

static void put_long(tmk_str *out, const char *name, int64_t value) {
    put_key(out, name);
    tmk_wire_put_long(out, value);
}

static void put_partition(tmk_str *out, const tmk_hub_part *p) {
    tmk_hub_offset offset = tmk_hub_part_last_offset(p);
    tmk_wire_mark map;

    tmk_wire_put_descriptor(out, TMK_SECTION_VALUE);
    map = tmk_wire_begin_map(out);
    put_text(out, "name", tmk_slice_str(p->entity->name));
    put_text(out, "type", TMK_LIT("com.microsoft:partition"));
    put_text(out, "partition", tmk_slice_str(p->id));
    put_long(out, "begin_sequence_number", p->log.begin);
    put_long(out, "last_enqueued_sequence_number", tmk_hub_part_last_sequence(p));
    put_text(out, "last_enqueued_offset", tmk_slice_str(offset.text));
    put_key(out, "last_enqueued_time_utc");
    tmk_wire_put_time(out, p->log.last_ms);
    put_key(out, "is_partition_empty");
    tmk_wire_put_bool(out, p->log.begin == p->log.visible);
    put_key(out, "begin_sequence_number_epoch");
    tmk_wire_put_int(out, -1);
    put_key(out, "last_enqueued_sequence_number_epoch");
    tmk_wire_put_int(out, -1);
    tmk_wire_end_map(out, map, 20);
}

/* ---- checks ---- */

/* The token in the request speaks for the hub, beside those put on the connection. */
static bool token_ok(tmk_hub_conn *c, const question *q, tmk_hub_fail *fail) {
    tmk_hub_server *s = c->server;
    tmk_hub_grant grant = {TMK_STR_INIT, 0, 0};
    bool sas = tmk_slice_starts(q->token, TMK_LIT("SharedAccessSignature"));
    bool ok;

    if (c->trusted && q->token.size == 0) {
        return true;
    }
    ok = tmk_hub_token_check(&s->keys,
                             sas ? TMK_LIT("servicebus.windows.net:sastoken") : TMK_LIT("jwt"),
                             q->token, q->name, s->wall_ms / 1000, &grant, fail);
    tmk_str_clear(&grant.path);
    return ok;
}

static bool claimed(tmk_hub_conn *c, const question *q) {
    tmk_str path = TMK_STR_INIT;
    bool ok;

    tmk_hub_audience_add(&path, q->name);
    ok = tmk_str_ok(&path) && tmk_hub_claims_allow(c, tmk_str_slice(&path), 0);
    tmk_str_add(&path, "/$management");
    ok = ok || (tmk_str_ok(&path) && tmk_hub_claims_allow(c, tmk_str_slice(&path), 0));
    tmk_str_clear(&path);
    return ok;
}

static int check(tmk_hub_conn *c, const question *q, const tmk_hub_entity **e,
                 const tmk_hub_part **p, tmk_hub_fail *fail) {
    bool partition = tmk_slice_eq(q->type, TMK_LIT("com.microsoft:partition"));

    if (!tmk_slice_eq(q->operation, TMK_LIT("READ")) ||
        (!partition && !tmk_slice_eq(q->type, TMK_LIT("com.microsoft:eventhub")))) {
        tmk_hub_fail_set(fail, TMK_HUB_ARGUMENT,
                         "The operation is READ, of com.microsoft:eventhub or "
                         "com.microsoft:partition.");
        return BAD_REQUEST;
    }
    if (q->token.size == 0 && !claimed(c, q)) { /* the Java SDK puts none for its questions */
        tmk_hub_fail_set(fail, TMK_HUB_UNAUTHORIZED,
                         "Unauthorized access. A claim for the hub is required.");
        return UNAUTHORIZED;
    }
    if (!token_ok(c, q, fail)) {
        (void)snprintf(fail->condition, sizeof fail->condition, "%s", TMK_HUB_NOT_ALLOWED);
        return FAULT;
    }
    *e = tmk_hub_core_find(&c->server->core, q->name);
    if (*e == NULL) {
        tmk_hub_fail_set(
            fail, TMK_HUB_NOT_FOUND, "The messaging entity 'sb://hub/%.*s' could not be found.",
            (int)(q->name.size < 100 ? q->name.size : 100), (const char *)q->name.bytes);
        return NOT_FOUND;
    }
    *p = partition ? tmk_hub_entity_part(*e, q->partition) : NULL;
    if (partition && *p == NULL) {
        tmk_hub_fail_set(fail, TMK_HUB_OUT_OF_RANGE, "There is no such partition.");
        return BAD_REQUEST;
    }
    return OK;
}

static bool refused_by_rule(tmk_hub_conn *c, const question *q, tmk_str *out) {
    tmk_hub_server *s = c->server;
    tmk_hub_subject where = tmk_hub_conn_subject(c, TMK_HUB_WHAT_MANAGEMENT);
    tmk_hub_rule rule;

    where.role = TMK_HUB_ROLE_MANAGEMENT;
    where.hub = q->name;
    where.partition = q->partition;
    if (!tmk_hub_rules_hit(&s->rules, TMK_HUB_RULE_REFUSE_READS, &where, s->now, &s->rng, &rule)) {
        return false;
    }
    tmk_hub_put_status(out, (int32_t)rule.status, rule.text, rule.condition);
    return true;
}

static void put_nothing(tmk_str *out) {
    tmk_wire_put_descriptor(out, TMK_SECTION_VALUE);
    tmk_wire_null(out);
}

void tmk_hub_management_answer(tmk_hub_conn *c, const tmk_hub_request *r, tmk_str *out) {
    question q = {text_property(r, "operation"), text_property(r, "type"), text_property(r, "name"),
                  text_property(r, "partition"), text_property(r, "security_token")};
    const tmk_hub_entity *e = NULL;
    const tmk_hub_part *p = NULL;
    tmk_hub_fail fail = {"", ""};
    int status;

    if (refused_by_rule(c, &q, out)) {
        put_nothing(out);
        return;
    }
    status = check(c, &q, &e, &p, &fail);
    if (status != OK) {
        tmk_hub_put_status(out, status, fail.text, fail.condition);
        put_nothing(out);
        return;
    }
    tmk_hub_put_status(out, status, "OK", NULL);
    if (p != NULL) {
        put_partition(out, p);
    } else {
        put_hub(out, e);
    }
}
