/* Statistics as JSON. See status_json.h. */
#include "status_json.h"

#include <inttypes.h>
#include <string.h>

#include <tidemark/version.h>

const char *cli_progress_name(tmk_progress progress) {
    static const char *const names[] = {"starting", "ok", "slow", "stalled", "stopped", "rewound"};

    return (unsigned)progress < sizeof names / sizeof names[0] ? names[progress] : "?";
}

static void text(cli_buffer *b, const char *name, const char *value) {
    cli_addf(b, "\"%s\":", name);
    cli_add_json(b, (tmk_slice){(const uint8_t *)value, strlen(value)});
    cli_add_text(b, ",");
}

static void number(cli_buffer *b, const char *name, int64_t value) {
    cli_addf(b, "\"%s\":%" PRId64 ",", name, value);
}

/* null where it is below 0: not known. */
static void known(cli_buffer *b, const char *name, int64_t value) {
    if (value < 0) {
        cli_addf(b, "\"%s\":null,", name);
    } else {
        number(b, name, value);
    }
}

static void flag(cli_buffer *b, const char *name, bool value) {
    cli_addf(b, "\"%s\":%s,", name, value ? "true" : "false");
}

/* Ends an object or a list: the comma behind the last item goes. */
static void end(cli_buffer *b, const char *close) {
    if (!b->failed && b->size > 0 && b->text[b->size - 1] == ',') {
        b->size--;
    }
    cli_add_text(b, close);
}

static void add_about(cli_buffer *b, const tmk_stats *s) {
    const tmk_stats_about *a = tmk_stats_about_get(s);
    const tmk_processor_stats *p = tmk_stats_processor(s);

    text(b, "version", tmk_version());
    text(b, "host", a->host);
    text(b, "hub", a->hub);
    text(b, "group", a->group);
    text(b, "owner", a->owner_id);
    number(b, "taken_ms", a->taken_ms);
    number(b, "started_ms", a->started_ms);
    known(b, "retention_ms", a->retention_ms == 0 ? -1 : a->retention_ms);
    number(b, "uptime_ms", p->uptime_ms);
    flag(b, "ready", p->started);
    flag(b, "stopping", p->stopping);
    flag(b, "breaker", p->breaker);
    flag(b, "fenced", p->fenced);
}

static void add_totals(cli_buffer *b, const tmk_stats *s) {
    const tmk_processor_stats *p = tmk_stats_processor(s);
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"events", p->events},
                  {"bytes", p->bytes},
                  {"done", p->done},
                  {"skipped", p->skipped},
                  {"dead_lettered", p->dead_lettered},
                  {"retries", p->retries},
                  {"redelivered", p->redelivered},
                  {"lost", p->lost},
                  {"missing", p->missing},
                  {"checkpoints_written", p->checkpoints_written},
                  {"checkpoints_refused", p->checkpoints_refused},
                  {"claims", p->claims},
                  {"moves_in", p->moves_in},
                  {"moves_out", p->moves_out},
                  {"evictions", p->evictions},
                  {"store_requests", p->store_requests},
                  {"store_failures", p->store_failures},
                  {"link_recoveries", p->link_recoveries},
                  {"problems", p->problems},
                  {"owned", p->owned},
                  {"members", p->members},
                  {"held_events", p->held_events},
                  {"held_bytes", p->held_bytes},
                  {"handlers_busy", p->handlers_busy}};

    cli_add_text(b, "\"totals\":{");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        cli_addf(b, "\"%s\":%" PRIu64 ",", counts[i].name, counts[i].value);
    }
    number(b, "handler_longest_ms", p->handler_longest_ms);
    known(b, "store_silent_ms", p->store_silent_ms);
    end(b, "},");
}

static void add_alarms(cli_buffer *b, unsigned alarms) {
    static const char *const names[] = {"lag_events", "lag_time", "to_loss", "lost"};

    cli_add_text(b, "\"alarms\":[");
    for (unsigned i = 0; i < 4; i++) {
        if ((alarms >> i & 1) != 0) {
            cli_addf(b, "\"%s\",", names[i]);
        }
    }
    end(b, "],");
}

static void add_partition(cli_buffer *b, const tmk_partition_state *p) {
    cli_add_text(b, "{");
    text(b, "partition", p->partition);
    text(b, "owner", p->owner);
    flag(b, "own", p->own);
    number(b, "generation", p->generation);
    text(b, "progress", p->own ? cli_progress_name(p->progress) : "");
    flag(b, "paused", p->paused);
    known(b, "received", p->received_sequence);
    known(b, "final", p->final_sequence);
    known(b, "checkpoint", p->checkpoint_sequence);
    known(b, "last", p->lag.last_sequence);
    known(b, "lag_events", p->lag.events);
    known(b, "lag_ms", p->lag.age_ms);
    known(b, "to_loss_ms", p->lag.to_loss_ms);
    number(b, "lost", p->lag.lost);
    number(b, "held_events", p->held_events);
    number(b, "held_bytes", p->held_bytes);
    number(b, "in_flight", p->in_flight);
    number(b, "credit", p->credit);
    number(b, "replay_events", p->replay_events);
    number(b, "oldest_ms", p->oldest_ms);
    number(b, "events", (int64_t)p->total_events);
    number(b, "bytes", (int64_t)p->total_bytes);
    add_alarms(b, p->alarms);
    end(b, "},");
}

static void add_problems(cli_buffer *b, const tmk_stats *s) {
    cli_add_text(b, "\"problems\":[");
    for (size_t i = 0; i < tmk_stats_problem_count(s); i++) {
        const tmk_stats_problem *p = tmk_stats_problem_at(s, i);

        cli_add_text(b, "{");
        text(b, "partition", p->partition);
        text(b, "operation", p->operation);
        text(b, "condition", p->condition);
        text(b, "reaction", p->reaction);
        number(b, "count", (int64_t)p->count);
        end(b, "},");
    }
    end(b, "],");
}

static void add_recent(cli_buffer *b, const cli_recent *recent, size_t count) {
    static const char *const levels[] = {"none", "error", "warn", "info", "debug", "trace"};

    cli_add_text(b, "\"recent\":[");
    for (size_t i = 0; i < count; i++) {
        cli_add_text(b, "{");
        number(b, "t_ms", recent[i].t_ms);
        text(b, "level", levels[recent[i].level]);
        text(b, "event", recent[i].event);
        text(b, "fields", recent[i].fields);
        end(b, "},");
    }
    end(b, "],");
}

void cli_status_json(const tmk_stats *stats, const cli_recent *recent, size_t recent_count,
                     cli_buffer *out) {
    cli_add_text(out, "{");
    add_about(out, stats);
    add_totals(out, stats);
    cli_add_text(out, "\"partitions\":[");
    for (size_t i = 0; i < tmk_stats_partition_count(stats); i++) {
        add_partition(out, tmk_stats_partition(stats, i));
    }
    end(out, "],");
    add_problems(out, stats);
    add_recent(out, recent, recent_count);
    end(out, "}\n");
}
