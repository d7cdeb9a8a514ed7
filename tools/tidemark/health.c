/* Health from progress. See health.h. */
#include "health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LOOP_SILENT_MS = 30000, STORE_SILENT_MS = 120000 };

typedef struct report {
    cli_buffer *out;
    bool good;
    const char *separator;
} report;

__attribute__((format(printf, 4, 5))) static void add(report *r, const char *check, bool ok,
                                                      const char *format, ...) {
    char reason[200];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    cli_addf(r->out, "%s{\"check\":\"%s\",\"ok\":%s,\"reason\":", r->separator, check,
             ok ? "true" : "false");
    cli_add_json(r->out, (tmk_slice){(const uint8_t *)reason, strlen(reason)});
    cli_add_text(r->out, "}");
    r->separator = ",";
    r->good = r->good && ok;
}

static void check_loop(report *r, const cli_health_input *in) {
    add(r, "loop", in->age_ms <= LOOP_SILENT_MS, "the event loop turned %.1f s ago%s",
        (double)in->age_ms / 1e3,
        in->age_ms <= LOOP_SILENT_MS ? "" : "; a callback blocks it, or the process has no CPU");
}

static void check_handlers(report *r, const cli_health_input *in) {
    int64_t longest_ms = in->stats == NULL ? 0 : tmk_stats_processor(in->stats)->handler_longest_ms;

    if (in->handler_limit_ms <= 0) {
        add(r, "handlers", true,
            "the longest call runs for %.1f s; no limit is set (--handler-limit)",
            (double)longest_ms / 1e3);
    } else {
        add(r, "handlers", longest_ms <= in->handler_limit_ms,
            "the longest call runs for %.1f s; the limit is %.1f s", (double)longest_ms / 1e3,
            (double)in->handler_limit_ms / 1e3);
    }
}

static void check_started(report *r, const cli_health_input *in) {
    bool started = in->stats != NULL && tmk_stats_processor(in->stats)->started;

    add(r, "balance", started, "%s",
        started ? "the first balance is done"
                : "the first balance is not done: the store or the hub has not answered yet");
}

static void check_store(report *r, const cli_health_input *in) {
    int64_t silent_ms = in->stats == NULL ? -1 : tmk_stats_processor(in->stats)->store_silent_ms;

    if (silent_ms < 0) {
        add(r, "store", false, "the store has never answered");
    } else {
        add(r, "store", silent_ms <= STORE_SILENT_MS, "the store answered %.1f s ago",
            (double)silent_ms / 1e3);
    }
}

static void check_hub(report *r, const cli_health_input *in) {
    bool connected = in->stats != NULL && tmk_stats_client(in->stats)->connections_opened > 0 &&
                     tmk_stats_client(in->stats)->tokens_put > 0;

    add(r, "hub", connected, "%s",
        connected ? "the hub has accepted us" : "the hub has not accepted us yet");
}

static void check_progress(report *r, const cli_health_input *in) {
    size_t stalled = 0, own = 0;
    const char *which = "";

    for (size_t i = 0; in->stats != NULL && i < tmk_stats_partition_count(in->stats); i++) {
        const tmk_partition_state *p = tmk_stats_partition(in->stats, i);

        own += p->own;
        if (p->own && p->progress == TMK_PROGRESS_STALLED) {
            stalled++;
            which = p->partition;
        }
    }
    if (stalled > 0) {
        add(r, "progress", false,
            "%zu of %zu partitions stand still: events wait and none becomes final (partition %s)",
            stalled, own, which);
    } else {
        add(r, "progress", true, "%zu partitions, none stands still", own);
    }
}

static void check_running(report *r, const cli_health_input *in) {
    bool fenced = in->stats != NULL && tmk_stats_processor(in->stats)->fenced;

    add(r, "stopping", !in->stopping, "%s",
        in->stopping ? "a stop has begun" : "no stop was asked for");
    add(r, "fence", !fenced, "%s",
        fenced ? "nothing is handed out until the store has confirmed this instance"
               : "this instance is known to live");
}

bool cli_health(cli_health_kind kind, const cli_health_input *in, cli_buffer *out) {
    report r = {.out = out, .good = true, .separator = ""};
    cli_buffer checks = {NULL, 0, 0, false};

    r.out = &checks;
    if (kind == CLI_ALIVE) {
        check_loop(&r, in);
        check_handlers(&r, in);
    } else {
        check_started(&r, in);
    }
    if (kind == CLI_READY) {
        check_hub(&r, in);
        check_store(&r, in);
        check_progress(&r, in);
        check_running(&r, in);
    }
    cli_addf(out, "{\"status\":\"%s\",\"checks\":[", r.good ? "ok" : "failed");
    cli_add(out, checks.text, checks.size);
    cli_add_text(out, "]}");
    out->failed = out->failed || checks.failed;
    cli_free(&checks);
    return r.good;
}
