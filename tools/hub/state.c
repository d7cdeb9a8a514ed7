/* What can be looked at from outside: the state as JSON, numbers as Prometheus text. */
#include "hub/faults.h"

#include <inttypes.h>

#include "hub/conn.h"

/* ---- JSON ---- */

static void add_name(tmk_str *out, const char *name) {
    tmk_str_addf(out, "\"%s\":", name);
}

static void add_number(tmk_str *out, const char *name, int64_t value) {
    tmk_str_addf(out, "\"%s\":%" PRId64 ",", name, value);
}

static void add_text(tmk_str *out, const char *name, tmk_slice value) {
    add_name(out, name);
    tmk_str_add_json(out, value);
    tmk_str_add_char(out, ',');
}

/* Ends an object or a list: the comma behind the last item goes. */
static void end(tmk_str *out, char close) {
    if (tmk_str_ok(out) && out->size > 0 && out->text[out->size - 1] == ',') {
        out->size--;
    }
    tmk_str_add_char(out, close);
    tmk_str_add_char(out, ',');
}

static void add_reader(tmk_str *out, const tmk_hub_link *l) {
    tmk_str_add_char(out, '{');
    add_text(out, "group", tmk_str_slice(&l->group));
    add_text(out, "name", tmk_slice_str(l->reader.name));
    if (l->reader.leveled) {
        add_number(out, "owner_level", l->reader.level);
    }
    add_number(out, "connection", (int64_t)l->session->conn->id);
    add_number(out, "next", l->next);
    add_number(out, "credit", l->credit);
    end(out, '}');
}

static void add_part(tmk_str *out, const tmk_hub_part *p) {
    tmk_hub_offset offset = tmk_hub_part_last_offset(p);

    tmk_str_add_char(out, '{');
    add_text(out, "id", tmk_slice_str(p->id));
    add_number(out, "begin_sequence", p->log.begin);
    add_number(out, "last_sequence", tmk_hub_part_last_sequence(p));
    add_text(out, "last_offset", tmk_slice_str(offset.text));
    add_number(out, "last_enqueued_ms", p->log.last_ms);
    add_number(out, "bytes", (int64_t)p->log.bytes);
    add_number(out, "received", (int64_t)p->received);
    add_number(out, "delivered", (int64_t)p->delivered);
    add_name(out, "readers");
    tmk_str_add_char(out, '[');
    for (tmk_list *n = tmk_list_first(&p->readers); n != NULL; n = tmk_list_next(&p->readers, n)) {
        add_reader(out, tmk_container_of(n, tmk_hub_link, reader.node));
    }
    end(out, ']');
    end(out, '}');
}

static void add_hub(tmk_str *out, const tmk_hub_entity *e) {
    tmk_str_add_char(out, '{');
    add_text(out, "name", tmk_slice_str(e->name));
    add_number(out, "created_ms", e->created_ms);
    tmk_str_addf(out, "\"geo\":%s,", e->geo ? "true" : "false");
    add_name(out, "groups");
    tmk_str_add_char(out, '[');
    for (size_t i = 0; i < e->group_count; i++) {
        tmk_str_add_json(out, tmk_slice_str(e->groups[i]));
        tmk_str_add_char(out, ',');
    }
    end(out, ']');
    add_name(out, "partitions");
    tmk_str_add_char(out, '[');
    for (uint32_t i = 0; i < e->part_count; i++) {
        add_part(out, &e->parts[i]);
    }
    end(out, ']');
    end(out, '}');
}

static void add_conn(tmk_str *out, const tmk_hub_conn *c) {
    tmk_str_add_char(out, '{');
    add_number(out, "id", (int64_t)c->id);
    add_text(out, "container", tmk_slice_str(c->container));
    add_number(out, "links", c->link_count);
    add_number(out, "tokens", c->claim_count);
    add_number(out, "unsent_bytes", (int64_t)tmk_hub_out_pending(c));
    end(out, '}');
}

static void add_rule(tmk_str *out, const tmk_hub_rule *r, tmk_time now) {
    tmk_str_add_char(out, '{');
    add_number(out, "id", (int64_t)r->id);
    add_text(out, "fault", tmk_slice_str(r->name));
    add_number(out, "fired", (int64_t)r->fired);
    if (r->left >= 0) {
        add_number(out, "left", r->left);
    }
    if (r->until != TMK_NEVER) {
        add_number(out, "left_ms", r->until > now ? (r->until - now) / TMK_MS : 0);
    }
    end(out, '}');
}

static void add_stats(tmk_str *out, const tmk_hub_stats *st) {
    add_name(out, "totals");
    tmk_str_add_char(out, '{');
    add_number(out, "connections", (int64_t)st->connections);
    add_number(out, "links_attached", (int64_t)st->links_attached);
    add_number(out, "links_refused", (int64_t)st->links_refused);
    add_number(out, "events_in", (int64_t)st->events_in);
    add_number(out, "events_out", (int64_t)st->events_out);
    add_number(out, "bytes_in", (int64_t)st->bytes_in);
    add_number(out, "bytes_out", (int64_t)st->bytes_out);
    add_number(out, "sends_rejected", (int64_t)st->sends_rejected);
    add_number(out, "throttled", (int64_t)st->throttled);
    add_number(out, "tokens_put", (int64_t)st->tokens_put);
    add_number(out, "tokens_refused", (int64_t)st->tokens_refused);
    add_number(out, "faults", (int64_t)st->faults_fired);
    end(out, '}');
}

void tmk_hub_server_state(const tmk_hub_server *s, tmk_str *out) {
    tmk_str_add_char(out, '{');
    add_stats(out, &s->stats);
    add_name(out, "hubs");
    tmk_str_add_char(out, '[');
    for (tmk_list *n = tmk_list_first(&s->core.entities); n != NULL;
         n = tmk_list_next(&s->core.entities, n)) {
        add_hub(out, tmk_container_of(n, tmk_hub_entity, node));
    }
    end(out, ']');
    add_name(out, "connections");
    tmk_str_add_char(out, '[');
    for (tmk_list *n = tmk_list_first(&s->conns); n != NULL; n = tmk_list_next(&s->conns, n)) {
        add_conn(out, tmk_container_of(n, tmk_hub_conn, node));
    }
    end(out, ']');
    add_name(out, "faults");
    tmk_str_add_char(out, '[');
    for (tmk_list *n = tmk_list_first(&s->rules.items); n != NULL;
         n = tmk_list_next(&s->rules.items, n)) {
        add_rule(out, tmk_container_of(n, tmk_hub_rule, node), s->now);
    }
    end(out, ']');
    end(out, '}');
    if (tmk_str_ok(out)) {
        out->size--; /* the comma that end() left */
        tmk_str_add_char(out, '\n');
    }
}

/* ---- Prometheus ---- */

static void metric(tmk_str *out, const char *name, const char *type, const char *help,
                   uint64_t value) {
    tmk_str_addf(out, "# HELP tidemark_hub_%s %s\n# TYPE tidemark_hub_%s %s\n", name, help, name,
                 type);
    tmk_str_addf(out, "tidemark_hub_%s %" PRIu64 "\n", name, value);
}

/* One line per partition. */
static void part_metric(const tmk_hub_server *s, tmk_str *out, const char *name, const char *type,
                        const char *help, int64_t (*value)(const tmk_hub_part *p)) {
    tmk_str_addf(out, "# HELP tidemark_hub_%s %s\n# TYPE tidemark_hub_%s %s\n", name, help, name,
                 type);
    for (tmk_list *n = tmk_list_first(&s->core.entities); n != NULL;
         n = tmk_list_next(&s->core.entities, n)) {
        const tmk_hub_entity *e = tmk_container_of(n, tmk_hub_entity, node);
        for (uint32_t i = 0; i < e->part_count; i++) {
            tmk_str_addf(out, "tidemark_hub_%s{hub=\"%s\",partition=\"%s\"} %" PRId64 "\n", name,
                         e->name, e->parts[i].id, value(&e->parts[i]));
        }
    }
}

static int64_t begin_of(const tmk_hub_part *p) {
    return p->log.begin;
}

static int64_t bytes_of(const tmk_hub_part *p) {
    return (int64_t)p->log.bytes;
}

static uint64_t count(const tmk_list *list) {
    uint64_t n = 0;

    for (const tmk_list *i = tmk_list_first(list); i != NULL; i = tmk_list_next(list, i)) {
        n++;
    }
    return n;
}

void tmk_hub_server_metrics(const tmk_hub_server *s, tmk_str *out) {
    const tmk_hub_stats *st = &s->stats;

    metric(out, "connections_open", "gauge", "Connections now.", count(&s->conns));
    metric(out, "connections_total", "counter", "Connections accepted.", st->connections);
    metric(out, "links_attached_total", "counter", "Links attached.", st->links_attached);
    metric(out, "links_refused_total", "counter", "Links refused.", st->links_refused);
    metric(out, "stored_events_total", "counter", "Events stored.", st->events_in);
    metric(out, "delivered_events_total", "counter", "Events delivered.", st->events_out);
    metric(out, "stored_bytes_total", "counter", "Bytes of events stored.", st->bytes_in);
    metric(out, "delivered_bytes_total", "counter", "Bytes of events delivered.", st->bytes_out);
    metric(out, "sends_rejected_total", "counter", "Sends rejected.", st->sends_rejected);
    metric(out, "throttled_sends_total", "counter", "Sends rejected by throttling.", st->throttled);
    metric(out, "tokens_put_total", "counter", "Tokens accepted.", st->tokens_put);
    metric(out, "tokens_refused_total", "counter", "Tokens refused.", st->tokens_refused);
    metric(out, "faults_total", "counter", "Faults done at once.", st->faults_fired);
    part_metric(s, out, "last_sequence", "gauge", "Number of the newest event, -1 for none.",
                tmk_hub_part_last_sequence);
    part_metric(s, out, "begin_sequence", "gauge", "Number of the oldest event kept.", begin_of);
    part_metric(s, out, "log_bytes", "gauge", "Bytes of the events kept.", bytes_of);
}
