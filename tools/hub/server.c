/* What all connections share, and the faults that are done to them at once. See engine.h. */
#include "hub/conn.h"
#include "hub/faults.h"

#include "base/alloc.h"

static tmk_hub_conn *conn_of(tmk_list *node) {
    return node == NULL ? NULL : tmk_container_of(node, tmk_hub_conn, node);
}

void tmk_hub_server_init(tmk_hub_server *s, uint64_t seed, uint32_t throughput_units,
                         tmk_time now) {
    memset(s, 0, sizeof *s);
    tmk_hub_core_init(&s->core, throughput_units, now);
    tmk_hub_rules_init(&s->rules);
    tmk_list_init(&s->conns);
    tmk_list_init(&s->ready);
    s->idle = (tmk_hub_idle){60000, 30 * 60000, 5 * 60000, 240000};
    s->sessions_max = 50000; /* about 100 MB */
    s->channel_max = TMK_HUB_SESSIONS_MAX - 1;
    s->handle_max = TMK_HUB_HANDLE_MAX;
    s->now = now;
    if (seed == 0) {
        tmk_rng_seed_system(&s->rng);
    } else {
        tmk_rng_seed(&s->rng, seed);
    }
}

void tmk_hub_server_clear(tmk_hub_server *s) {
    tmk_hub_rules_clear(&s->rules);
    tmk_hub_core_clear(&s->core);
    tmk_hub_keyring_clear(&s->keys);
    tmk_str_clear(&s->scratch);
}

tmk_hub_conn *tmk_hub_server_next(tmk_hub_server *s) {
    tmk_list *node = tmk_list_pop_front(&s->ready);

    return node == NULL ? NULL : tmk_container_of(node, tmk_hub_conn, ready_node);
}

void tmk_hub_part_wake(tmk_hub_part *p) {
    tmk_list woken, *node;

    tmk_list_init(&woken);
    while ((node = tmk_list_pop_front(&p->waiting)) != NULL) {
        tmk_list_push_back(&woken, node);
    }
    while ((node = tmk_list_pop_front(&woken)) != NULL) {
        tmk_hub_link_consider(tmk_container_of(node, tmk_hub_link, wait_node));
    }
}

void tmk_hub_server_retain(tmk_hub_server *s) {
    for (tmk_list *n = tmk_list_first(&s->core.entities); n != NULL;
         n = tmk_list_next(&s->core.entities, n)) {
        tmk_hub_entity *e = tmk_container_of(n, tmk_hub_entity, node);
        for (uint32_t i = 0; i < e->part_count; i++) {
            if (tmk_hub_core_retain(&s->core, &e->parts[i], s->wall_ms) > 0 &&
                s->keeper.cut != NULL) {
                s->keeper.cut(s->keeper.self, &e->parts[i]);
            }
        }
    }
}

/* ---- faults ---- */

static bool conn_matches(const tmk_hub_conn *c, const tmk_hub_match *m) {
    return m->connection == 0 || m->connection == c->id;
}

static bool matches(const tmk_hub_link *l, const tmk_hub_match *m) {
    tmk_hub_subject where;

    if (l == NULL || l->closing) {
        return false;
    }
    where = tmk_hub_link_subject(l, TMK_HUB_WHAT_ANY);
    return tmk_hub_match_is(m, &where);
}

/* Does the match speak of links at all, or of whole connections? */
static bool is_about_links(const tmk_hub_match *m) {
    return m->hub[0] != '\0' || m->partition[0] != '\0' || m->group[0] != '\0' ||
           m->role != TMK_HUB_ROLE_ANY;
}

static bool session_matches(const tmk_hub_session *s, const tmk_hub_match *m) {
    if (!is_about_links(m)) {
        return conn_matches(s->conn, m);
    }
    for (unsigned h = 0; h <= TMK_HUB_HANDLE_MAX; h++) {
        if (matches(s->links[h], m)) {
            return true;
        }
    }
    return false;
}

/* A connection is meant when it has a link that is. */
static bool conn_is_meant(const tmk_hub_conn *c, const tmk_hub_match *m) {
    if (!is_about_links(m)) {
        return conn_matches(c, m);
    }
    for (size_t i = 0; i < c->session_room; i++) {
        if (c->sessions[i] != NULL && session_matches(c->sessions[i], m)) {
            return true;
        }
    }
    return false;
}

bool tmk_hub_conn_ruled(const tmk_hub_conn *c, tmk_hub_rule_kind kind, tmk_hub_rule *out) {
    const tmk_hub_server *s = c->server;

    if (!tmk_hub_rules_any(&s->rules, kind)) {
        return false;
    }
    for (tmk_list *n = tmk_list_first(&s->rules.items); n != NULL;
         n = tmk_list_next(&s->rules.items, n)) {
        const tmk_hub_rule *r = tmk_container_of(n, tmk_hub_rule, node);
        if (r->kind == kind && s->now < r->until && conn_is_meant(c, &r->match)) {
            *out = *r;
            return true;
        }
    }
    return false;
}

unsigned tmk_hub_server_drop(tmk_hub_server *s, const tmk_hub_match *m) {
    unsigned count = 0;

    for (tmk_list *n = tmk_list_first(&s->conns); n != NULL; n = tmk_list_next(&s->conns, n)) {
        tmk_hub_conn *c = conn_of(n);
        if (conn_is_meant(c, m)) {
            c->broken = true;
            tmk_hub_conn_ready(c);
            count++;
        }
    }
    return count;
}

unsigned tmk_hub_server_close(tmk_hub_server *s, const tmk_hub_match *m, const tmk_hub_fail *why) {
    unsigned count = 0;

    for (tmk_list *n = tmk_list_first(&s->conns); n != NULL; n = tmk_list_next(&s->conns, n)) {
        tmk_hub_conn *c = conn_of(n);
        if (c->phase == TMK_HUB_PHASE_UP && conn_is_meant(c, m)) {
            tmk_hub_conn_close(c, why);
            count++;
        }
    }
    return count;
}

unsigned tmk_hub_server_end(tmk_hub_server *s, const tmk_hub_match *m, const tmk_hub_fail *why) {
    unsigned count = 0;

    for (tmk_list *n = tmk_list_first(&s->conns); n != NULL; n = tmk_list_next(&s->conns, n)) {
        tmk_hub_conn *c = conn_of(n);
        for (size_t i = 0; i < c->session_room; i++) {
            if (c->sessions[i] != NULL && !c->sessions[i]->ending &&
                session_matches(c->sessions[i], m)) {
                tmk_hub_session_close(c->sessions[i], why);
                count++;
            }
        }
    }
    return count;
}

static unsigned detach_of(tmk_hub_session *s, const tmk_hub_match *m, const tmk_hub_fail *why,
                          int64_t limit) {
    unsigned count = 0;

    for (unsigned h = 0; h <= TMK_HUB_HANDLE_MAX && (limit < 0 || count < limit); h++) {
        if (matches(s->links[h], m)) {
            tmk_hub_link_close(s->links[h], why);
            count++;
        }
    }
    return count;
}

unsigned tmk_hub_server_detach(tmk_hub_server *s, const tmk_hub_match *m, const tmk_hub_fail *why,
                               int64_t limit) {
    unsigned count = 0;

    for (tmk_list *n = tmk_list_first(&s->conns); n != NULL; n = tmk_list_next(&s->conns, n)) {
        tmk_hub_conn *c = conn_of(n);
        for (size_t i = 0; i < c->session_room; i++) {
            if (c->sessions[i] != NULL) {
                count += detach_of(c->sessions[i], m, why, limit < 0 ? -1 : limit - count);
            }
        }
    }
    return count;
}

unsigned tmk_hub_server_expire(tmk_hub_server *s, const tmk_hub_match *m) {
    unsigned count = 0;

    for (tmk_list *n = tmk_list_first(&s->conns); n != NULL; n = tmk_list_next(&s->conns, n)) {
        tmk_hub_conn *c = conn_of(n);
        if (conn_is_meant(c, m)) {
            count += tmk_hub_claims_expire(c, m);
        }
    }
    return count;
}

void tmk_hub_server_recheck(tmk_hub_server *s) {
    for (tmk_list *n = tmk_list_first(&s->conns); n != NULL; n = tmk_list_next(&s->conns, n)) {
        tmk_hub_conn *c = conn_of(n);
        for (size_t i = 0; i < c->session_room; i++) {
            for (unsigned h = 0; c->sessions[i] != NULL && h <= TMK_HUB_HANDLE_MAX; h++) {
                tmk_hub_link *l = c->sessions[i]->links[h];
                if (l != NULL && l->kind == TMK_HUB_LINK_READER) {
                    l->hold_until = 0;
                    tmk_hub_link_consider(l);
                }
            }
        }
        tmk_hub_conn_ready(c);
    }
}
