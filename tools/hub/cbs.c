/* put-token: a token is checked and grants its audience to the connection. See conn.h. */
#include "hub/conn.h"

#include <stdio.h>

enum { ACCEPTED = 202, BAD_REQUEST = 400, UNAUTHORIZED = 401, FULL = 403 };

static tmk_slice text_property(const tmk_hub_request *r, const char *name) {
    tmk_value v = tmk_wire_map_get(&r->properties, name);

    return tmk_wire_text(&v);
}

static bool refused_by_rule(tmk_hub_conn *c, tmk_slice audience, tmk_str *out) {
    tmk_hub_server *s = c->server;
    tmk_hub_subject where = tmk_hub_conn_subject(c, TMK_HUB_WHAT_CBS);
    tmk_hub_place place = tmk_hub_place_parse(audience);
    tmk_hub_rule rule;

    where.role = TMK_HUB_ROLE_CBS;
    where.hub = place.hub;
    where.partition = place.partition;
    where.group = place.group;
    if (!tmk_hub_rules_hit(&s->rules, TMK_HUB_RULE_REFUSE_TOKENS, &where, s->now, &s->rng, &rule)) {
        return false;
    }
    tmk_hub_put_status(out, (int32_t)rule.status, rule.text, rule.condition);
    return true;
}

static int put_token(tmk_hub_conn *c, const tmk_hub_request *r, tmk_hub_fail *fail) {
    tmk_hub_server *s = c->server;
    tmk_hub_grant grant = {TMK_STR_INIT, 0, 0};
    tmk_slice name = text_property(r, "name");
    tmk_status st;

    if (!tmk_slice_eq(text_property(r, "operation"), TMK_LIT("put-token")) || name.size == 0) {
        tmk_hub_fail_set(fail, TMK_HUB_ARGUMENT,
                         "A request to $cbs needs the operation put-token and a name.");
        return BAD_REQUEST;
    }
    if (!tmk_hub_token_check(&s->keys, text_property(r, "type"), tmk_wire_text(&r->body), name,
                             s->wall_ms / 1000, &grant, fail)) {
        return UNAUTHORIZED;
    }
    st = tmk_hub_claims_put(c, &grant);
    tmk_str_clear(&grant.path);
    if (st < 0) {
        tmk_hub_fail_set(fail, TMK_HUB_RESOURCE_LIMIT, "Too many tokens on one connection.");
        return FULL;
    }
    return ACCEPTED;
}

void tmk_hub_cbs_answer(tmk_hub_conn *c, const tmk_hub_request *r, tmk_str *out) {
    tmk_hub_fail fail = {"", ""};
    int status;

    if (refused_by_rule(c, text_property(r, "name"), out)) {
        c->server->stats.tokens_refused++;
    } else {
        status = put_token(c, r, &fail);
        if (status == ACCEPTED) {
            c->server->stats.tokens_put++;
            tmk_hub_put_status(out, status, "Accepted", NULL);
        } else {
            c->server->stats.tokens_refused++;
            tmk_hub_put_status(out, status, fail.text, fail.condition);
        }
    }
    tmk_wire_put_descriptor(out, TMK_SECTION_VALUE);
    tmk_wire_null(out);
}
