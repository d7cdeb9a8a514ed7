/* tidemark status: who owns what, and how far behind; for people, alarms and scripts. */
#include "commands.h"
#include "format.h"
#include "records.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct settings {
    cli_common common;
    int64_t max_lag, min_to_loss_ms, retention_ms, every_ms;
    bool json, watch;
} settings;

/* clang-format off */
static const cli_option options[] = {
    {CLI_HEADING, NULL, 0, NULL, NULL, "output and alarms", 0, 0},
    {CLI_FLAG, "json", offsetof(settings, json), NULL, NULL, "one JSON object", 0, 0},
    {CLI_FLAG, "watch", offsetof(settings, watch), NULL, NULL, "again and again, until interrupted", 0, 0},
    {CLI_DURATION, "every", offsetof(settings, every_ms), "D", NULL, "with --watch: how often (2s)", 100, 86400000},
    {CLI_INT, "max-lag", offsetof(settings, max_lag), "N", NULL, "exit code 1 when a partition is further behind", 0, INT64_MAX},
    {CLI_DURATION, "min-time-to-loss", offsetof(settings, min_to_loss_ms), "D", NULL, "exit code 1 when data is lost sooner; with --retention", 1, INT64_MAX},
    {CLI_DURATION, "retention", offsetof(settings, retention_ms), "D", NULL, "of the hub", 1, INT64_MAX},
    CLI_STORE_OPTIONS(settings, common),
    CLI_CONNECTION_OPTIONS(settings, common),
    {CLI_END, NULL, 0, NULL, NULL, NULL, 0, 0},
};
/* clang-format on */

static const char *owner_of(const cli_row *row) {
    return row->record == NULL || row->record->owner[0] == '\0' ? "-" : row->record->owner;
}

static bool has_checkpoint(const cli_row *row) {
    return row->record != NULL && row->record->checkpoint.present;
}

/* "3.2 s", "4 min", "2 h"; "-" where it is not known. */
static const char *span(int64_t ms, char *out, size_t room) {
    if (ms < 0) {
        (void)snprintf(out, room, "-");
    } else if (ms < 120000) {
        (void)snprintf(out, room, "%.1f s", (double)ms / 1e3);
    } else if (ms < 7200000) {
        (void)snprintf(out, room, "%" PRId64 " min", ms / 60000);
    } else {
        (void)snprintf(out, room, "%.1f h", (double)ms / 3600e3);
    }
    return out;
}

static void number(char *out, size_t room, bool known, int64_t value) {
    (void)snprintf(out, room, known ? "%" PRId64 : "-", value);
}

static void print_table(const cli_records *r) {
    int64_t behind = 0;

    printf("%-9s  %-24s %9s %12s %12s %10s %10s %12s\n", "partition", "owner", "since",
           "checkpoint", "last", "lag", "lag time", "time to loss");
    for (size_t i = 0; i < r->hub->partition_count; i++) {
        const cli_row *row = &r->rows[i];
        char since[24], checkpoint[24], last[24], lag[24], loss[24];
        span(row->record == NULL ? -1 : row->record->age_ms, since, sizeof since);
        number(checkpoint, sizeof checkpoint, has_checkpoint(row),
               has_checkpoint(row) ? row->record->checkpoint.sequence : 0);
        number(last, sizeof last, row->facts.last_sequence >= 0, row->facts.last_sequence);
        span(row->lag_ms, lag, sizeof lag);
        span(row->to_loss_ms, loss, sizeof loss);
        printf("%-9s  %-24s %9s %12s %12s %10" PRId64 " %10s %12s\n", row->partition, owner_of(row),
               since, checkpoint, last, row->lag_events, lag, loss);
        if (row->lost > 0) {
            printf("           %" PRId64
                   " events were removed by retention before they were read\n",
                   row->lost);
        }
        behind += row->lag_events;
    }
    printf("%zu partitions, %" PRId64 " events behind\n", r->hub->partition_count, behind);
}

static void add_optional(cli_buffer *b, const char *name, bool known, int64_t value) {
    if (known) {
        cli_addf(b, ",\"%s\":%" PRId64, name, value);
    } else {
        cli_addf(b, ",\"%s\":null", name);
    }
}

static void print_json(const cli_records *r) {
    cli_buffer b = {NULL, 0, 0, false};

    cli_addf(&b, "{\"hub\":\"%s\",\"group\":\"%s\",\"partitions\":[", r->hub->name, r->group);
    for (size_t i = 0; i < r->hub->partition_count; i++) {
        const cli_row *row = &r->rows[i];
        const char *owner = row->record == NULL ? "" : row->record->owner;
        cli_addf(&b, "%s{\"partition\":\"%s\",\"owner\":", i == 0 ? "" : ",", row->partition);
        if (owner[0] == '\0') {
            cli_add_text(&b, "null");
        } else {
            cli_add_json(&b, (tmk_slice){(const uint8_t *)owner, strlen(owner)});
        }
        add_optional(&b, "generation", row->record != NULL,
                     row->record == NULL ? 0 : row->record->generation);
        add_optional(&b, "since_ms", row->record != NULL,
                     row->record == NULL ? 0 : row->record->age_ms);
        add_optional(&b, "checkpoint", has_checkpoint(row),
                     has_checkpoint(row) ? row->record->checkpoint.sequence : 0);
        add_optional(&b, "begin", row->facts.last_sequence >= 0, row->facts.begin_sequence);
        add_optional(&b, "last", row->facts.last_sequence >= 0, row->facts.last_sequence);
        add_optional(&b, "lag_events", row->lag_events >= 0, row->lag_events);
        add_optional(&b, "lag_ms", row->lag_ms >= 0, row->lag_ms);
        add_optional(&b, "time_to_loss_ms", row->to_loss_ms >= 0, row->to_loss_ms);
        add_optional(&b, "lost", true, row->lost);
        cli_add_text(&b, "}");
    }
    cli_add_text(&b, "]}\n");
    if (!cli_put(&b, stdout)) {
        (void)cli_failed("cannot write to standard output");
    }
    cli_free(&b);
}

/* Which alarm goes off; each is said on standard error. */
static int alarms(const settings *s, const cli_records *r) {
    int code = 0;

    for (size_t i = 0; i < r->hub->partition_count; i++) {
        const cli_row *row = &r->rows[i];
        if (s->max_lag >= 0 && row->lag_events > s->max_lag) {
            code = cli_failed("partition %s is %" PRId64 " events behind, more than %" PRId64,
                              row->partition, row->lag_events, s->max_lag);
        }
        if (s->min_to_loss_ms > 0 && row->to_loss_ms >= 0 && row->to_loss_ms < s->min_to_loss_ms) {
            code = cli_failed("partition %s loses data in %" PRId64 " s", row->partition,
                              row->to_loss_ms / 1000);
        }
    }
    return code;
}

static int show(const settings *s, cli_records *r) {
    struct timespec pause = {s->every_ms / 1000, s->every_ms % 1000 * 1000000};
    int code;

    do {
        code = cli_records_read(r, s->retention_ms);
        if (code != 0) {
            return code;
        }
        if (s->watch && isatty(STDOUT_FILENO)) {
            fputs("\x1b[H\x1b[2J", stdout);
        }
        (s->json ? print_json : print_table)(r);
        fflush(stdout);
        code = alarms(s, r);
    } while (s->watch && nanosleep(&pause, NULL) == 0);
    return code;
}

int cmd_status(int argc, char **argv) {
    settings s = {.max_lag = -1, .every_ms = 2000};
    cli_records r = {0};
    int count = cli_parse(options, &s, argc, argv, NULL, 0);
    int code;

    if (count == -1) {
        puts("usage: tidemark status [OPTIONS]\n\nWho owns which partition and how far behind it "
             "is; needs no running "
             "instance.");
        cli_help(options);
        return 0;
    }
    if (count < 0) {
        return 2;
    }
    if (s.min_to_loss_ms > 0 && s.retention_ms == 0) {
        return cli_usage("--min-time-to-loss needs --retention: the service does not tell it");
    }
    code = cli_records_open(&r, &s.common);
    if (code == 0) {
        code = show(&s, &r);
    }
    cli_records_close(&r);
    return code;
}
