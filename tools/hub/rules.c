/* See rules.h. */
#include "hub/rules.h"

#include "base/alloc.h"

void tmk_hub_rules_init(tmk_hub_rules *r) {
    memset(r, 0, sizeof *r);
    tmk_list_init(&r->items);
    r->next_id = 1;
}

static tmk_hub_rule *rule_of(tmk_list *node) {
    return node == NULL ? NULL : tmk_container_of(node, tmk_hub_rule, node);
}

static void drop(tmk_hub_rules *r, tmk_hub_rule *rule) {
    tmk_list_remove(&rule->node);
    r->count[rule->kind]--;
    tmk_free(rule);
}

void tmk_hub_rules_clear(tmk_hub_rules *r) {
    tmk_hub_rule *rule;

    while ((rule = rule_of(tmk_list_first(&r->items))) != NULL) {
        drop(r, rule);
    }
}

tmk_status tmk_hub_rules_add(tmk_hub_rules *r, const tmk_hub_rule *rule, uint64_t *id) {
    tmk_hub_rule *copy = tmk_copy(rule, sizeof *rule);

    if (copy == NULL) {
        return TMK_ENOMEM;
    }
    memset(&copy->node, 0, sizeof copy->node);
    copy->id = r->next_id++;
    tmk_list_push_back(&r->items, &copy->node);
    r->count[copy->kind]++;
    *id = copy->id;
    return TMK_OK;
}

bool tmk_hub_rules_remove(tmk_hub_rules *r, uint64_t id) {
    for (tmk_list *n = tmk_list_first(&r->items); n != NULL; n = tmk_list_next(&r->items, n)) {
        if (rule_of(n)->id == id) {
            drop(r, rule_of(n));
            return true;
        }
    }
    return false;
}

static bool names(const char *wanted, tmk_slice is) {
    return wanted[0] == '\0' || tmk_slice_eq_nocase(tmk_slice_str(wanted), is);
}

bool tmk_hub_match_is(const tmk_hub_match *m, const tmk_hub_subject *s) {
    return (m->role == TMK_HUB_ROLE_ANY || m->role == s->role) &&
           (m->what == TMK_HUB_WHAT_ANY || m->what == s->what) &&
           (m->connection == 0 || m->connection == s->connection) && names(m->hub, s->hub) &&
           names(m->partition, s->partition) && names(m->group, s->group);
}

static tmk_hub_rule *find(const tmk_hub_rules *r, tmk_hub_rule_kind kind, const tmk_hub_subject *s,
                          tmk_time now) {
    if (r->count[kind] == 0) {
        return NULL;
    }
    for (tmk_list *n = tmk_list_first(&r->items); n != NULL; n = tmk_list_next(&r->items, n)) {
        tmk_hub_rule *rule = rule_of(n);
        if (rule->kind == kind && now < rule->until && tmk_hub_match_is(&rule->match, s)) {
            return rule;
        }
    }
    return NULL;
}

bool tmk_hub_rules_hit(tmk_hub_rules *r, tmk_hub_rule_kind kind, const tmk_hub_subject *s,
                       tmk_time now, tmk_rng *rng, tmk_hub_rule *out) {
    tmk_hub_rule *rule = find(r, kind, s, now);

    if (rule == NULL || (rule->probability < 1 && !tmk_rng_chance(rng, rule->probability))) {
        return false;
    }
    rule->fired++;
    *out = *rule;
    if (rule->left > 0 && --rule->left == 0) {
        drop(r, rule);
    }
    return true;
}

bool tmk_hub_rules_holds(const tmk_hub_rules *r, tmk_hub_rule_kind kind, const tmk_hub_subject *s,
                         tmk_time now, tmk_hub_rule *out) {
    tmk_hub_rule *rule = find(r, kind, s, now);

    if (rule != NULL) {
        *out = *rule;
    }
    return rule != NULL;
}

bool tmk_hub_rules_expire(tmk_hub_rules *r, tmk_time now) {
    tmk_list *next = NULL;
    bool any = false;

    for (tmk_list *n = tmk_list_first(&r->items); n != NULL; n = next) {
        next = tmk_list_next(&r->items, n);
        if (rule_of(n)->until <= now) {
            drop(r, rule_of(n));
            any = true;
        }
    }
    return any;
}

tmk_time tmk_hub_rules_deadline(const tmk_hub_rules *r) {
    tmk_time due = TMK_NEVER;

    for (tmk_list *n = tmk_list_first(&r->items); n != NULL; n = tmk_list_next(&r->items, n)) {
        due = tmk_time_min(due, rule_of(n)->until);
    }
    return due;
}
