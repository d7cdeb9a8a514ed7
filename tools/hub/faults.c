/* See faults.h. */
#include "hub/faults.h"

#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "base/log.h"
#include "base/status.h"

/* A fault as it was read; the fields that its kind has no use for are refused. */
typedef struct fault {
    tmk_hub_rule rule;
    int64_t before;      /* -1: all there is */
    int64_t duration_ms; /* -1: no limit */
    int64_t link_ms, connection_ms, no_link_ms;
    bool on, strict;
} fault;

typedef struct kind {
    const char *name;
    int rule; /* tmk_hub_rule_kind; -1: done at once, by `act` */
    unsigned (*act)(tmk_hub_server *s, const fault *f);
    const char *fields; /* that it understands, beside where and how often */
    const char *condition;
    const char *text;
} kind;

/* ---- what is done at once ---- */

static tmk_hub_fail fail_of(const fault *f) {
    tmk_hub_fail why = {"", ""};

    tmk_hub_fail_set(&why, f->rule.condition, "%s", f->rule.text);
    return why;
}

static unsigned drop_connections(tmk_hub_server *s, const fault *f) {
    return tmk_hub_server_drop(s, &f->rule.match);
}

static unsigned close_connections(tmk_hub_server *s, const fault *f) {
    tmk_hub_fail why = fail_of(f);

    return tmk_hub_server_close(s, &f->rule.match, &why);
}

static unsigned end_sessions(tmk_hub_server *s, const fault *f) {
    tmk_hub_fail why = fail_of(f);

    return tmk_hub_server_end(s, &f->rule.match, &why);
}

static unsigned detach(tmk_hub_server *s, const fault *f) {
    tmk_hub_fail why = fail_of(f);

    return tmk_hub_server_detach(s, &f->rule.match, &why, f->rule.left);
}

static unsigned expire_tokens(tmk_hub_server *s, const fault *f) {
    return tmk_hub_server_expire(s, &f->rule.match);
}

/* Calls on every partition that is meant. */
static unsigned each_part(tmk_hub_server *s, const fault *f,
                          void (*act)(tmk_hub_server *s, tmk_hub_part *p, const fault *f)) {
    unsigned count = 0;

    for (tmk_list *n = tmk_list_first(&s->core.entities); n != NULL;
         n = tmk_list_next(&s->core.entities, n)) {
        tmk_hub_entity *e = tmk_container_of(n, tmk_hub_entity, node);
        for (uint32_t i = 0; i < e->part_count; i++) {
            tmk_hub_subject where = {.hub = tmk_slice_str(e->name),
                                     .partition = tmk_slice_str(e->parts[i].id)};
            if (tmk_hub_match_is(&f->rule.match, &where)) {
                act(s, &e->parts[i], f);
                count++;
            }
        }
    }
    return count;
}

static void truncate_part(tmk_hub_server *s, tmk_hub_part *p, const fault *f) {
    tmk_hub_log_cut(&p->log, f->before < 0 ? p->log.visible : f->before);
    if (s->keeper.cut != NULL) {
        s->keeper.cut(s->keeper.self, p);
    }
}

static unsigned truncate_log(tmk_hub_server *s, const fault *f) {
    return each_part(s, f, truncate_part);
}

/* Calls on every hub that is meant. */
static unsigned each_hub(tmk_hub_server *s, const fault *f,
                         void (*act)(tmk_hub_server *s, tmk_hub_entity *e, const fault *f)) {
    unsigned count = 0;

    for (tmk_list *n = tmk_list_first(&s->core.entities); n != NULL;
         n = tmk_list_next(&s->core.entities, n)) {
        tmk_hub_entity *e = tmk_container_of(n, tmk_hub_entity, node);
        tmk_hub_subject where = {.hub = tmk_slice_str(e->name)};
        if (tmk_hub_match_is(&f->rule.match, &where)) {
            act(s, e, f);
            count++;
        }
    }
    return count;
}

static void recreate_hub(tmk_hub_server *s, tmk_hub_entity *e, const fault *f) {
    tmk_hub_fail why = {"", ""};
    tmk_hub_match its = {.connection = 0};

    (void)f;
    tmk_hub_fail_set(&why, TMK_HUB_NOT_FOUND,
                     "The messaging entity 'sb://hub/%s' could not be found.", e->name);
    (void)snprintf(its.hub, sizeof its.hub, "%s", e->name);
    tmk_hub_server_detach(s, &its, &why, -1);
    for (uint32_t i = 0; i < e->part_count; i++) {
        tmk_hub_part_lost(s, &e->parts[i], &why);
    }
    tmk_hub_entity_recreate(e, s->wall_ms);
    if (s->keeper.restart != NULL) {
        s->keeper.restart(s->keeper.self, e);
    }
}

static unsigned recreate(tmk_hub_server *s, const fault *f) {
    return each_hub(s, f, recreate_hub);
}

static void set_geo(tmk_hub_server *s, tmk_hub_entity *e, const fault *f) {
    e->geo_strict = f->on && f->strict;
    if (tmk_hub_entity_set_geo(e, f->on) < 0) {
        tmk_log_error(&s->log, "hub.memory", "hub='%s' what='rewriting offsets'", e->name);
    }
}

static unsigned geo(tmk_hub_server *s, const fault *f) {
    return each_hub(s, f, set_geo);
}

static unsigned set_idle(tmk_hub_server *s, const fault *f) {
    s->idle.link_ms = f->link_ms > 0 ? f->link_ms : s->idle.link_ms;
    s->idle.connection_ms = f->connection_ms > 0 ? f->connection_ms : s->idle.connection_ms;
    s->idle.no_link_ms = f->no_link_ms > 0 ? f->no_link_ms : s->idle.no_link_ms;
    return 1;
}

static unsigned unsettled(tmk_hub_server *s, const fault *f) {
    s->unsettled = f->on;
    return 1;
}

/* ---- kinds ---- */

static const kind kinds[] = {
    {"reject_sends", TMK_HUB_RULE_REJECT_SENDS, NULL, "condition description", TMK_HUB_BUSY,
     "The request was terminated because the entity is being throttled. Error code : 50002. Please "
     "wait 4 seconds and try again."},
    {"refuse_attach", TMK_HUB_RULE_REFUSE_ATTACH, NULL, "condition description", TMK_HUB_INTERNAL,
     "The service was unable to process the request."},
    {"refuse_tokens", TMK_HUB_RULE_REFUSE_TOKENS, NULL, "condition description status",
     TMK_HUB_UNAUTHORIZED, "InvalidSignature: The token has an invalid signature."},
    {"refuse_reads", TMK_HUB_RULE_REFUSE_READS, NULL, "condition description status",
     TMK_HUB_INTERNAL, "The service was unable to process the request."},
    {"refuse_connections", TMK_HUB_RULE_REFUSE_CONNECTIONS, NULL, "", "", ""},
    {"delay", TMK_HUB_RULE_DELAY, NULL, "what ms", "", ""},
    {"mute", TMK_HUB_RULE_MUTE, NULL, "what", "", ""},
    {"stall", TMK_HUB_RULE_STALL, NULL, "", "", ""},
    {"repeat", TMK_HUB_RULE_REPEAT, NULL, "events", "", ""},
    {"skip", TMK_HUB_RULE_SKIP, NULL, "events", "", ""},
    {"freeze", TMK_HUB_RULE_FREEZE, NULL, "", "", ""},
    {"drip", TMK_HUB_RULE_DRIP, NULL, "bytes ms", "", ""},
    {"drop_connections", -1, drop_connections, "", "", ""},
    {"close_connections", -1, close_connections, "condition description", TMK_HUB_CONNECTION_FORCED,
     "The connection was closed by the service, which is being upgraded."},
    {"end_sessions", -1, end_sessions, "condition description", TMK_HUB_INTERNAL,
     "The service was unable to process the request."},
    {"detach", -1, detach, "condition description", TMK_HUB_DETACH_FORCED,
     "The link is force detached by the service, which is being upgraded."},
    {"expire_tokens", -1, expire_tokens, "", "", ""},
    {"truncate", -1, truncate_log, "before", "", ""},
    {"recreate", -1, recreate, "", "", ""},
    {"geo", -1, geo, "on strict", "", ""},
    {"idle", -1, set_idle, "link_ms connection_ms no_link_ms", "", ""},
    {"unsettled", -1, unsettled, "on", "", ""},
};

const char *tmk_hub_fault_name(size_t index) {
    return index < sizeof kinds / sizeof *kinds ? kinds[index].name : NULL;
}

/* ---- reading ---- */

static tmk_status wrong(tmk_error *err, const char *name, const char *what) {
    return tmk_fail(err, TMK_EINVAL, "hub", "a fault's \"%s\" %s", name, what);
}

static tmk_status take_text(json_t *v, const char *name, char *out, size_t room, tmk_error *err) {
    const char *text = json_string_value(v);

    if (text == NULL || strlen(text) >= room) {
        return wrong(err, name, "is no text, or a longer one than can be");
    }
    memcpy(out, text, strlen(text) + 1);
    return TMK_OK;
}

static tmk_status take_number(json_t *v, const char *name, int64_t *out, tmk_error *err) {
    if (!json_is_integer(v) || json_integer_value(v) < 0) {
        return wrong(err, name, "is no whole number of 0 or more");
    }
    *out = json_integer_value(v);
    return TMK_OK;
}

static tmk_status take_word(json_t *v, const char *name, const char *const *words, size_t count,
                            unsigned *out, tmk_error *err) {
    const char *text = json_string_value(v);

    for (size_t i = 0; text != NULL && i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = (unsigned)i;
            return TMK_OK;
        }
    }
    return wrong(err, name, "is none of the words that it can be; see docs/HUB.md");
}

static tmk_status take_role(json_t *v, fault *f, tmk_error *err) {
    static const char *const words[] = {"any", "receiver", "sender", "cbs", "management"};
    unsigned word = 0;
    tmk_status st = take_word(v, "role", words, 5, &word, err);

    f->rule.match.role = (tmk_hub_role)word;
    return st;
}

static tmk_status take_what(json_t *v, fault *f, tmk_error *err) {
    static const char *const words[] = {"open", "begin",      "attach", "detach",
                                        "cbs",  "management", "send",   "delivery"};
    unsigned word = 0;
    tmk_status st = take_word(v, "what", words, 8, &word, err);

    f->rule.match.what = (tmk_hub_what)(word + 1);
    return st;
}

static tmk_status take_bool(json_t *v, const char *name, bool *out, tmk_error *err) {
    if (!json_is_boolean(v)) {
        return wrong(err, name, "is neither true nor false");
    }
    *out = json_is_true(v);
    return TMK_OK;
}

static tmk_status take_probability(json_t *v, fault *f, tmk_error *err) {
    f->rule.probability = json_number_value(v);
    if (!json_is_number(v) || f->rule.probability < 0 || f->rule.probability > 1) {
        return wrong(err, "probability", "is no number from 0 to 1");
    }
    return TMK_OK;
}

/* An id may be written as a number too. */
static tmk_status take_partition(json_t *v, fault *f, tmk_error *err) {
    if (json_is_integer(v)) {
        (void)snprintf(f->rule.match.partition, sizeof f->rule.match.partition,
                       "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return TMK_OK;
    }
    return take_text(v, "partition", f->rule.match.partition, sizeof f->rule.match.partition, err);
}

static tmk_status take_count(json_t *v, fault *f, tmk_error *err) {
    tmk_status st = take_number(v, "count", &f->rule.left, err);

    if (st == TMK_OK && f->rule.left == 0) {
        return wrong(err, "count", "is 0: it would never happen");
    }
    return st;
}

/* Fields that every fault has; ABSENT: it is none of them. */
static tmk_status take_common(const char *name, json_t *v, fault *f, tmk_error *err) {
    tmk_hub_match *m = &f->rule.match;
    int64_t number = 0;
    tmk_status st;

    if (strcmp(name, "fault") == 0) {
        return TMK_OK;
    }
    if (strcmp(name, "hub") == 0) {
        return take_text(v, name, m->hub, sizeof m->hub, err);
    }
    if (strcmp(name, "partition") == 0) {
        return take_partition(v, f, err);
    }
    if (strcmp(name, "group") == 0) {
        return take_text(v, name, m->group, sizeof m->group, err);
    }
    if (strcmp(name, "role") == 0) {
        return take_role(v, f, err);
    }
    if (strcmp(name, "connection") == 0) {
        st = take_number(v, name, &number, err);
        m->connection = (uint64_t)number;
        return st;
    }
    if (strcmp(name, "count") == 0) {
        return take_count(v, f, err);
    }
    if (strcmp(name, "duration_ms") == 0) {
        return take_number(v, name, &f->duration_ms, err);
    }
    if (strcmp(name, "probability") == 0) {
        return take_probability(v, f, err);
    }
    return TMK_ABSENT;
}

static tmk_status take_own(const char *name, json_t *v, fault *f, tmk_error *err) {
    const struct {
        const char *name;
        int64_t *out;
    } numbers[] = {
        {"ms", &f->rule.ms},
        {"events", &f->rule.events},
        {"bytes", &f->rule.bytes},
        {"status", &f->rule.status},
        {"before", &f->before},
        {"link_ms", &f->link_ms},
        {"no_link_ms", &f->no_link_ms},
        {"connection_ms", &f->connection_ms},
    };

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return take_number(v, name, numbers[i].out, err);
        }
    }
    if (strcmp(name, "what") == 0) {
        return take_what(v, f, err);
    }
    if (strcmp(name, "on") == 0) {
        return take_bool(v, name, &f->on, err);
    }
    if (strcmp(name, "strict") == 0) {
        return take_bool(v, name, &f->strict, err);
    }
    if (strcmp(name, "condition") == 0) {
        return take_text(v, name, f->rule.condition, sizeof f->rule.condition, err);
    }
    /* "description": the only one left */
    return take_text(v, name, f->rule.text, sizeof f->rule.text, err);
}

static bool lists(const char *fields, const char *name) {
    tmk_slice rest = tmk_slice_str(fields);
    bool more = true;

    while (more) {
        if (tmk_slice_eq(tmk_slice_cut(&rest, ' ', &more), tmk_slice_str(name))) {
            return true;
        }
    }
    return false;
}

static tmk_status take_field(const kind *k, const char *name, json_t *v, fault *f, tmk_error *err) {
    tmk_status st = take_common(name, v, f, err);

    if (st != TMK_ABSENT) {
        return st;
    }
    if (!lists(k->fields, name)) {
        return tmk_fail(err, TMK_EINVAL, "hub", "the fault \"%s\" has no field \"%.60s\"", k->name,
                        name);
    }
    return take_own(name, v, f, err);
}

static tmk_status check(const kind *k, const fault *f, tmk_error *err) {
    if (lists(k->fields, "what") && f->rule.match.what == TMK_HUB_WHAT_ANY) {
        return wrong(err, "what", "is missing");
    }
    if (lists(k->fields, "events") && (f->rule.events < 1 || f->rule.events > INT32_MAX)) {
        return wrong(err, "events", "is missing, or not 1 or more");
    }
    if (lists(k->fields, "bytes") && f->rule.bytes < 1) {
        return wrong(err, "bytes", "is missing, or not 1 or more");
    }
    if (f->rule.ms > INT32_MAX || f->duration_ms > INT32_MAX || f->rule.status > 999) {
        return tmk_fail(err, TMK_EINVAL, "hub", "a number in the fault is too large");
    }
    return TMK_OK;
}

static const kind *find_kind(const char *name) {
    for (size_t i = 0; name != NULL && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

static tmk_status read_fault(json_t *root, const kind **out, fault *f, tmk_error *err) {
    const char *name = json_string_value(json_object_get(root, "fault"));
    const kind *k = find_kind(name);
    const char *field;
    json_t *value;
    tmk_status st;

    if (k == NULL) {
        return tmk_fail(err, TMK_EINVAL, "hub", "there is no fault \"%.60s\"; see docs/HUB.md",
                        name == NULL ? "" : name);
    }
    memset(f, 0, sizeof *f);
    f->rule.left = f->duration_ms = f->before = -1;
    f->rule.probability = 1;
    f->rule.status = k->rule == (int)TMK_HUB_RULE_REFUSE_TOKENS ? 401 : 500;
    f->on = true;
    f->rule.name = k->name;
    f->rule.kind = (tmk_hub_rule_kind)(k->rule < 0 ? 0 : k->rule);
    (void)snprintf(f->rule.condition, sizeof f->rule.condition, "%s", k->condition);
    (void)snprintf(f->rule.text, sizeof f->rule.text, "%s", k->text);
    json_object_foreach(root, field, value) {
        st = take_field(k, field, value, f, err);
        if (st < 0) {
            return st;
        }
    }
    st = check(k, f, err);
    *out = st == TMK_OK ? k : NULL;
    return st;
}

tmk_status tmk_hub_fault_do(tmk_hub_server *s, tmk_slice json, uint64_t *id, uint64_t *met,
                            tmk_error *err) {
    json_error_t problem;
    json_t *root =
        json_loadb((const char *)json.bytes, json.size, JSON_REJECT_DUPLICATES, &problem);
    const kind *k = NULL;
    tmk_status st = TMK_OK;
    fault f;

    *id = *met = 0;
    if (!json_is_object(root)) {
        st = tmk_fail(err, TMK_EINVAL, "hub", "a fault is a JSON object: %s",
                      root == NULL ? problem.text : "this is something else");
        goto done;
    }
    st = read_fault(root, &k, &f, err);
    if (k == NULL) {
        goto done;
    }
    tmk_info(&s->log, "hub.fault", "fault=%s", k->name);
    if (k->rule < 0) {
        *met = k->act(s, &f);
        s->stats.faults_fired++;
        goto done;
    }
    f.rule.until = f.duration_ms < 0 ? TMK_NEVER : tmk_time_after(s->now, f.duration_ms * TMK_MS);
    st = tmk_hub_rules_add(&s->rules, &f.rule, id);
    if (st < 0) {
        st = tmk_fail(err, st, "hub", "no memory for one more fault");
    } else {
        tmk_hub_server_recheck(s);
    }
done:
    json_decref(root);
    return st;
}

unsigned tmk_hub_fault_undo(tmk_hub_server *s, uint64_t id) {
    unsigned count = 0;

    if (id == 0) {
        for (unsigned i = 0; i < TMK_HUB_RULE_KINDS; i++) {
            count += s->rules.count[i];
        }
        tmk_hub_rules_clear(&s->rules);
    } else {
        count = tmk_hub_rules_remove(&s->rules, id);
    }
    tmk_hub_server_recheck(s);
    return count;
}
