/*
 * Snapshots as Prometheus text. Every metric is a row of a table below; a
 * metric's series stand together, its name, type and help are said once. Names,
 * labels and meanings are a contract: docs/STATISTICS.md, which a test compares
 * with these tables.
 *
 * OpenTelemetry's messaging conventions name what they know of
 * (messaging_client_..., messaging_process_...), with their attributes as
 * labels; the rest is called tidemark_...
 */
#include "run/stats.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "base/str.h"

#include <tidemark/version.h>

typedef struct writer {
    const tmk_stats *const *stats;
    size_t count;
    tmk_stats_write_fn write;
    void *self;
    tmk_str line;
    bool failed;
} writer;

static void flush(writer *w) {
    if (!tmk_str_ok(&w->line)) {
        w->failed = true;
    } else if (w->line.size > 0) {
        w->write(w->self, w->line.text, w->line.size);
    }
    tmk_str_reset(&w->line);
}

static void begin(writer *w, const char *name, const char *type, const char *help) {
    tmk_str_addf(&w->line, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    flush(w);
}

/* ---- labels ---- */

static void label(writer *w, const char *name, const char *value) {
    tmk_str_addf(&w->line, "%s=\"", name);
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\\' || *c == '"') {
            tmk_str_add_char(&w->line, '\\');
        }
        if (*c == '\n') {
            tmk_str_add(&w->line, "\\n");
        } else {
            tmk_str_add_char(&w->line, *c);
        }
    }
    tmk_str_add(&w->line, "\",");
}

/* How many snapshots before this one have the same hub and group. */
static size_t twins(const writer *w, size_t index) {
    const tmk_stats_about *own = &w->stats[index]->about;
    size_t count = 0;

    for (size_t i = 0; i < index; i++) {
        const tmk_stats_about *other = &w->stats[i]->about;
        count += strcmp(own->hub, other->hub) == 0 && strcmp(own->group, other->group) == 0 &&
                 strcmp(own->host, other->host) == 0;
    }
    return count;
}

static void common_labels(writer *w, size_t index, bool messaging) {
    const tmk_stats_about *a = &w->stats[index]->about;
    size_t twin = twins(w, index);

    if (messaging) {
        label(w, "messaging_system", "eventhubs");
        label(w, "messaging_destination_name", a->hub);
        label(w, "messaging_consumer_group_name", a->group);
    } else {
        label(w, "hub", a->hub);
        label(w, "group", a->group);
    }
    if (twin > 0) {
        char number[24];
        (void)snprintf(number, sizeof number, "%zu", twin);
        label(w, "processor", number);
    }
}

static void open_series(writer *w, const char *name, const char *suffix, size_t index) {
    tmk_str_addf(&w->line, "%s%s{", name, suffix);
    common_labels(w, index, strncmp(name, "messaging_", 10) == 0);
}

static void close_series(writer *w, double value) {
    if (w->line.size > 0 && w->line.text[w->line.size - 1] == ',') {
        w->line.size--; /* the comma behind the last label */
    }
    tmk_str_addf(&w->line, "} %.15g\n", value);
    flush(w);
}

/* ---- of the processor as a whole ---- */

typedef enum number { U64, U32, I64_MS, BOOL } number;

typedef struct total {
    const char *name, *type, *help;
    const char *label, *value; /* one more label, or NULL */
    number number;
    bool client; /* a number of the client */
    size_t offset;
} total;

#define OF(field) offsetof(tmk_processor_stats, field)
#define CLIENT(field) offsetof(tmk_client_stats, field)

/* clang-format off */
static const total totals[] = {
    {"tidemark_uptime_seconds", "gauge", "Seconds since the processor was started.", NULL, NULL, I64_MS, false, OF(uptime_ms)},
    {"tidemark_ready", "gauge", "1 when the first balance is done.", NULL, NULL, BOOL, false, OF(started)},
    {"tidemark_stopping", "gauge", "1 while the processor stops.", NULL, NULL, BOOL, false, OF(stopping)},
    {"tidemark_partitions_owned", "gauge", "Partitions that this instance reads.", NULL, NULL, U32, false, OF(owned)},
    {"tidemark_members", "gauge", "Instances of the group, as this one knows them.", NULL, NULL, U32, false, OF(members)},
    {"tidemark_skipped_events_total", "counter", "Events that are final without success: verdict skip.", NULL, NULL, U64, false, OF(skipped)},
    {"tidemark_dead_letters_total", "counter", "Events that the dead-letter sink has taken.", NULL, NULL, U64, false, OF(dead_lettered)},
    {"tidemark_dead_letters_waiting", "gauge", "Events that the dead-letter sink has not answered yet.", NULL, NULL, U64, false, OF(letters_waiting)},
    {"tidemark_retries_total", "counter", "Verdicts retry.", NULL, NULL, U64, false, OF(retries)},
    {"tidemark_handler_stops_total", "counter", "Verdicts stop: what lies behind the handler is broken.", NULL, NULL, U64, false, OF(handler_stops)},
    {"tidemark_redelivered_events_total", "counter", "Events that came again and were dropped.", NULL, NULL, U64, false, OF(redelivered)},
    {"tidemark_missing_events_total", "counter", "Sequence numbers that were skipped: retention, compaction or loss.", NULL, NULL, U64, false, OF(missing)},
    {"tidemark_lost_events_total", "counter", "Events that retention removed before they were read.", NULL, NULL, U64, false, OF(lost)},
    {"tidemark_handlers_busy", "gauge", "Handler threads that run a callback.", NULL, NULL, U32, false, OF(handlers_busy)},
    {"tidemark_handler_longest_seconds", "gauge", "Age of the callback that has run longest by now.", NULL, NULL, I64_MS, false, OF(handler_longest_ms)},
    {"tidemark_breaker_open", "gauge", "1 while intake pauses after a verdict stop.", NULL, NULL, BOOL, false, OF(breaker)},
    {"tidemark_fenced", "gauge", "1 while nothing is handed out until the store has confirmed this instance.", NULL, NULL, BOOL, false, OF(fenced)},
    {"tidemark_claims_total", "counter", "Partitions claimed that nobody held.", NULL, NULL, U64, false, OF(claims)},
    {"tidemark_takeovers_total", "counter", "Of these, from an instance that had died.", NULL, NULL, U64, false, OF(takeovers)},
    {"tidemark_moves_total", "counter", "Partitions moved by handoff.", "direction", "in", U64, false, OF(moves_in)},
    {"tidemark_moves_total", "counter", "", "direction", "out", U64, false, OF(moves_out)},
    {"tidemark_releases_total", "counter", "Partitions given up to nobody in particular.", NULL, NULL, U64, false, OF(released)},
    {"tidemark_partitions_lost_total", "counter", "Partitions lost to another instance or reader.", NULL, NULL, U64, false, OF(partitions_lost)},
    {"tidemark_evictions_total", "counter", "Dead instances put out.", "whose", "other", U64, false, OF(evictions)},
    {"tidemark_evictions_total", "counter", "", "whose", "own", U64, false, OF(own_evictions)},
    {"tidemark_fences_total", "counter", "Times that nothing was handed out until the store had confirmed this instance.", NULL, NULL, U64, false, OF(fences)},
    {"tidemark_checkpoints_total", "counter", "Checkpoints, by what the store said.", "result", "written", U64, false, OF(checkpoints_written)},
    {"tidemark_checkpoints_total", "counter", "", "result", "refused", U64, false, OF(checkpoints_refused)},
    {"tidemark_store_failures_total", "counter", "Requests to the store that failed or were throttled.", NULL, NULL, U64, false, OF(store_failures)},
    {"tidemark_store_silent_seconds", "gauge", "Seconds since the store last answered.", NULL, NULL, I64_MS, false, OF(store_silent_ms)},
    {"tidemark_throttles_total", "counter", "Answers \"busy\", by who said it.", "service", "store", U64, false, OF(store_throttled)},
    {"tidemark_throttles_total", "counter", "", "service", "hub", U64, false, OF(hub_throttled)},
    {"tidemark_connections_opened_total", "counter", "Connections to the hub.", NULL, NULL, U64, true, CLIENT(connections_opened)},
    {"tidemark_connections_lost_total", "counter", "Connections to the hub that broke.", NULL, NULL, U64, true, CLIENT(connections_lost)},
    {"tidemark_connects_failed_total", "counter", "Connections to the hub that could not be made.", NULL, NULL, U64, true, CLIENT(connects_failed)},
    {"tidemark_links_opened_total", "counter", "Links to partitions that were opened.", NULL, NULL, U64, true, CLIENT(links_opened)},
    {"tidemark_links_lost_total", "counter", "Links that broke and were mended or opened anew.", NULL, NULL, U64, true, CLIENT(links_lost)},
    {"tidemark_stalls_healed_total", "counter", "Links that had gone silent while events waited.", NULL, NULL, U64, true, CLIENT(stalls_healed)},
    {"tidemark_tokens_total", "counter", "Tokens given to the hub.", "result", "taken", U64, true, CLIENT(tokens_put)},
    {"tidemark_tokens_total", "counter", "", "result", "refused", U64, true, CLIENT(tokens_failed)},
    {"tidemark_received_events_total", "counter", "Events that the client received.", NULL, NULL, U64, true, CLIENT(events_received)},
    {"tidemark_received_bytes_total", "counter", "Bytes of these events.", NULL, NULL, U64, true, CLIENT(bytes_received)},
    {"messaging_client_sent_messages_total", "counter", "Events that the client's producers sent.", NULL, NULL, U64, true, CLIENT(events_sent)},
    {"tidemark_sends_failed_total", "counter", "Events that could not be sent.", NULL, NULL, U64, true, CLIENT(events_failed)},
    {"tidemark_sends_retried_total", "counter", "Sends that were tried again.", NULL, NULL, U64, true, CLIENT(sends_retried)},
};
/* clang-format on */

enum { TOTALS = sizeof totals / sizeof totals[0] };

/* false: not known. */
static bool value_of(const total *t, const tmk_stats *s, double *out) {
    const char *base = t->client ? (const char *)&s->client : (const char *)&s->processor;
    const void *at = base + t->offset;
    int64_t ms;

    switch (t->number) {
    case U64:
        *out = (double)*(const uint64_t *)at;
        break;
    case U32:
        *out = *(const uint32_t *)at;
        break;
    case BOOL:
        *out = *(const bool *)at ? 1 : 0;
        break;
    case I64_MS:
        ms = *(const int64_t *)at;
        *out = (double)ms / 1e3;
        return ms >= 0;
    }
    return true;
}

static void write_totals(writer *w) {
    double value = 0;

    for (size_t i = 0; i < TOTALS; i++) {
        const total *t = &totals[i];

        if (i == 0 || strcmp(t->name, totals[i - 1].name) != 0) {
            begin(w, t->name, t->type, t->help);
        }
        for (size_t k = 0; k < w->count; k++) {
            if (!value_of(t, w->stats[k], &value)) {
                continue;
            }
            open_series(w, t->name, "", k);
            if (t->label != NULL) {
                label(w, t->label, t->value);
            }
            close_series(w, value);
        }
    }
}

static void write_info(writer *w) {
    begin(w, "tidemark_instance_info", "gauge", "1; which instance this is.");
    for (size_t k = 0; k < w->count; k++) {
        open_series(w, "tidemark_instance_info", "", k);
        label(w, "host", w->stats[k]->about.host);
        label(w, "owner", w->stats[k]->about.owner_id);
        label(w, "version", tmk_version());
        close_series(w, 1);
    }
}

/* ---- of each partition ---- */

typedef struct partial {
    const char *name, *type, *help;
    bool own; /* of own partitions alone */
    /* NaN-free: false where the number is not known. */
    bool (*get)(const tmk_partition_state *s, const tmk_stats *all, double *out);
} partial;

static bool known(int64_t value, double *out) {
    *out = (double)value;
    return value >= 0;
}

static bool known_ms(int64_t value, double *out) {
    *out = (double)value / 1e3;
    return value >= 0;
}

#define GETTER(name, expression)                                                              \
    static bool get_##name(const tmk_partition_state *s, const tmk_stats *all, double *out) { \
        (void)all;                                                                            \
        return expression;                                                                    \
    }
GETTER(owned, known(s->own ? 1 : 0, out))
GETTER(generation, known(s->generation, out))
GETTER(events, known((int64_t)s->total_events, out))
GETTER(bytes, known((int64_t)s->total_bytes, out))
GETTER(last, known(s->lag.last_sequence, out))
GETTER(final, known(s->final_sequence, out))
GETTER(checkpoint, known(s->checkpoint_sequence, out))
GETTER(held_events, known(s->held_events, out))
GETTER(held_bytes, known(s->held_bytes, out))
GETTER(in_flight, known(s->in_flight, out))
GETTER(credit, known(s->credit, out))
GETTER(replay, known(s->replay_events, out))
GETTER(oldest, known_ms(s->oldest_ms, out))
GETTER(lag_events, known(s->lag.events, out))
GETTER(lag_seconds, known_ms(s->lag.age_ms, out))
GETTER(to_loss, known_ms(s->lag.to_loss_ms, out))
GETTER(lost, known(s->lag.lost, out))
GETTER(paused, known(s->paused ? 1 : 0, out))
GETTER(retention_used,
       all->about.retention_ms > 0 && s->lag.age_ms >= 0 &&
           ((void)(*out = (double)s->lag.age_ms / (double)all->about.retention_ms), true))

/* clang-format off */
static const partial partials[] = {
    {"messaging_client_consumed_messages_total", "counter", "Events of the partition that became final here.", false, get_events},
    {"tidemark_final_bytes_total", "counter", "Bytes of these events.", false, get_bytes},
    {"tidemark_partition_owned", "gauge", "1 where this instance reads the partition.", false, get_owned},
    {"tidemark_partition_generation", "gauge", "How many times the partition has changed its owner.", false, get_generation},
    {"tidemark_partition_paused", "gauge", "1 while the program has paused the partition.", true, get_paused},
    {"tidemark_last_sequence", "gauge", "Sequence number of the newest event in the partition.", false, get_last},
    {"tidemark_final_sequence", "gauge", "Everything up to this sequence number is final.", true, get_final},
    {"tidemark_checkpoint_sequence", "gauge", "Sequence number of the checkpoint in the store.", false, get_checkpoint},
    {"tidemark_held_events", "gauge", "Events received and not final.", true, get_held_events},
    {"tidemark_held_bytes", "gauge", "Bytes of memory that they take.", true, get_held_bytes},
    {"tidemark_in_flight_events", "gauge", "Events handed to handlers and not final.", true, get_in_flight},
    {"tidemark_credit_events", "gauge", "Events that the service may send.", true, get_credit},
    {"tidemark_replay_events", "gauge", "Events that would be repeated if the process died now.", true, get_replay},
    {"tidemark_oldest_in_hand_seconds", "gauge", "Since the oldest unfinished event arrived here; 0 for none.", true, get_oldest},
    {"tidemark_lag_events", "gauge", "Events in the partition that are not final.", false, get_lag_events},
    {"tidemark_lag_seconds", "gauge", "Since the oldest event that is not final was enqueued; 0 for none.", false, get_lag_seconds},
    {"tidemark_time_to_loss_seconds", "gauge", "Until retention removes that event: retention minus its age.", false, get_to_loss},
    {"tidemark_retention_used_ratio", "gauge", "Age of that event as a share of the retention.", false, get_retention_used},
    {"tidemark_lost_events", "gauge", "Events that retention removed before they were read, in this ownership or, where nobody owns the partition, since the checkpoint.", false, get_lost},
};
/* clang-format on */

static void partition_label(writer *w, const char *name, const char *partition) {
    label(w,
          strncmp(name, "messaging_", 10) == 0 ? "messaging_destination_partition_id" : "partition",
          partition);
}

static void write_partial(writer *w, const partial *p) {
    double value = 0;

    begin(w, p->name, p->type, p->help);
    for (size_t k = 0; k < w->count; k++) {
        const tmk_stats *s = w->stats[k];
        for (size_t i = 0; i < s->partition_count; i++) {
            const tmk_partition_state *state = &s->partitions[i];
            if ((p->own && !state->own) || !p->get(state, s, &value)) {
                continue;
            }
            open_series(w, p->name, "", k);
            partition_label(w, p->name, state->partition);
            close_series(w, value);
        }
    }
}

static void write_progress(writer *w) {
    static const char *const names[] = {"starting", "ok", "slow", "stalled", "stopped", "rewound"};
    static const char name[] = "tidemark_partition_progress";

    begin(w, name, "gauge", "1 for how an own partition gets on, 0 for how it does not.");
    for (size_t k = 0; k < w->count; k++) {
        const tmk_stats *s = w->stats[k];
        for (size_t i = 0; i < s->partition_count * 6; i++) {
            const tmk_partition_state *state = &s->partitions[i / 6];
            if (state->own) {
                open_series(w, name, "", k);
                partition_label(w, name, state->partition);
                label(w, "progress", names[i % 6]);
                close_series(w, (size_t)state->progress == i % 6);
            }
        }
    }
}

/* ---- what went wrong ---- */

static void write_problems(writer *w) {
    static const char name[] = "tidemark_problems_total";

    begin(w, name, "counter", "What went wrong, by partition, operation and condition.");
    for (size_t k = 0; k < w->count; k++) {
        const tmk_stats *s = w->stats[k];
        for (size_t i = 0; i < s->problem_count; i++) {
            open_series(w, name, "", k);
            label(w, "partition", s->problems[i].partition);
            label(w, "operation", s->problems[i].operation);
            label(w, "condition", s->problems[i].condition);
            close_series(w, (double)s->problems[i].count);
        }
    }
}

static bool is_recovery(const tmk_stats_problem *p) {
    return strcmp(p->operation, "receive") == 0;
}

/* The same of links alone, added up over partitions. */
static void write_recoveries(writer *w) {
    static const char name[] = "tidemark_link_recoveries_total";

    begin(w, name, "counter", "Troubles of links that were mended, by condition.");
    for (size_t k = 0; k < w->count; k++) {
        const tmk_stats *s = w->stats[k];
        for (size_t i = 0; i < s->problem_count; i++) {
            const tmk_stats_problem *p = &s->problems[i];
            uint64_t count = 0;
            bool first = is_recovery(p);
            for (size_t j = 0; first && j < s->problem_count; j++) {
                if (is_recovery(&s->problems[j]) &&
                    strcmp(s->problems[j].condition, p->condition) == 0) {
                    first = j >= i;
                    count += s->problems[j].count;
                }
            }
            if (first) {
                open_series(w, name, "", k);
                label(w, "condition", p->condition);
                close_series(w, (double)count);
            }
        }
    }
}

/* ---- histograms ---- */

static void write_histogram(writer *w, const char *name, size_t index, const char *label_name,
                            const char *value, const tmk_histogram *h) {
    uint64_t sum = 0;

    for (size_t i = 0; i <= h->bound_count; i++) {
        char bound[32] = "+Inf";

        sum += h->counts[i];
        if (i < h->bound_count) {
            (void)snprintf(bound, sizeof bound, "%.9g", h->bounds[i]);
        }
        open_series(w, name, "_bucket", index);
        label(w, label_name, value);
        label(w, "le", bound);
        close_series(w, (double)sum);
    }
    open_series(w, name, "_sum", index);
    label(w, label_name, value);
    close_series(w, h->seconds);
    open_series(w, name, "_count", index);
    label(w, label_name, value);
    close_series(w, (double)h->count);
}

static void write_handler_times(writer *w) {
    static const char name[] = "messaging_process_duration_seconds";

    begin(w, name, "histogram", "How long handlers took.");
    for (size_t k = 0; k < w->count; k++) {
        write_histogram(w, name, k, "messaging_operation_name", "process",
                        &w->stats[k]->histograms[0]);
    }
}

/* A checkpoint is a client's operation in OpenTelemetry's words; the others are ours. */
static void write_store_times(writer *w, const char *name, const char *help, bool checkpoints) {
    begin(w, name, "histogram", help);
    for (size_t k = 0; k < w->count; k++) {
        const tmk_stats *s = w->stats[k];
        for (size_t i = 1; i < s->histogram_count; i++) {
            const tmk_histogram *h = &s->histograms[i];
            if ((strcmp(h->name, "partition_write") == 0) == checkpoints) {
                write_histogram(w, name, k, checkpoints ? "messaging_operation_name" : "operation",
                                checkpoints ? "checkpoint" : h->name, h);
            }
        }
    }
}

tmk_status tmk_stats_write_prometheus(const tmk_stats *const *stats, size_t count,
                                      tmk_stats_write_fn write, void *self, tmk_error *err) {
    writer w = {.stats = stats, .count = count, .write = write, .self = self, .line = TMK_STR_INIT};

    write_info(&w);
    write_totals(&w);
    for (size_t i = 0; i < sizeof partials / sizeof partials[0]; i++) {
        write_partial(&w, &partials[i]);
    }
    write_progress(&w);
    write_problems(&w);
    write_recoveries(&w);
    write_handler_times(&w);
    write_store_times(&w, "messaging_client_operation_duration_seconds",
                      "How long the store took to keep a checkpoint.", true);
    write_store_times(&w, "tidemark_store_request_duration_seconds",
                      "How long the store took for other requests.", false);
    tmk_str_clear(&w.line);
    return w.failed ? tmk_fail(err, TMK_ENOMEM, "run", "no memory for the metrics' text") : TMK_OK;
}
