/* tidemark status: who owns what, and how far behind; for people, alarms and scripts. */
#include "commands.h"
#include "format.h"
#include "records.h"
#include "seen.h"
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct settings {
    cli_common common;
    int64_t max_lag, max_lag_ms, min_to_loss_ms, retention_ms, every_ms;
    bool json, watch;
} settings;

/* clang-format off */
static const cli_option options[] = {
    {CLI_HEADING, NULL, 0, NULL, NULL, "output and alarms", 0, 0},
    {CLI_FLAG, "json", offsetof(settings, json), NULL, NULL, "one JSON object", 0, 0},
    {CLI_FLAG, "watch", offsetof(settings, watch), NULL, NULL, "again and again, until interrupted; a live view on a terminal", 0, 0},
    {CLI_DURATION, "every", offsetof(settings, every_ms), "D", NULL, "with --watch: how often (2s)", 100, 86400000},
    {CLI_INT, "max-lag", offsetof(settings, max_lag), "N", NULL, "exit code 1 when a partition is further behind", 0, INT64_MAX},
    {CLI_DURATION, "max-lag-time", offsetof(settings, max_lag_ms), "D", NULL, "exit code 1 when a partition's oldest event that is not final is older", 1, INT64_MAX},
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

static void number(char *out, size_t room, bool known, int64_t value) {
    (void)snprintf(out, room, known ? "%" PRId64 : "-", value);
}

/* "21:15:39Z" of the last day, else "2026-11-20"; "-" where it is not known. */
static const char *moment(int64_t ms, int64_t age_ms, char *out, size_t room) {
    time_t at = (time_t)(ms / 1000);
    struct tm t = {0};

    (void)snprintf(out, room, "-");
    if (ms >= 0 && gmtime_r(&at, &t) != NULL) {
        (void)strftime(out, room, age_ms < 86400000 ? "%H:%M:%SZ" : "%Y-%m-%d", &t);
    }
    return out;
}

static bool is_late(const settings *s, const cli_row *row) {
    return (s->max_lag >= 0 && row->lag_events > s->max_lag) ||
           (s->max_lag_ms > 0 && row->lag_ms > s->max_lag_ms);
}

static bool is_endangered(const settings *s, const cli_row *row) {
    return s->min_to_loss_ms > 0 && row->to_loss_ms >= 0 && row->to_loss_ms < s->min_to_loss_ms;
}

/* How a table is written: in a narrow window what is least wanted is left out. */
typedef struct style {
    bool colours, narrow;
} style;

static void add_row(const settings *s, const cli_row *row, style how, cli_buffer *b) {
    char since[24], checkpoint[24], last[24], lag[24], oldest[24], loss[24];
    bool alarm = is_late(s, row) || is_endangered(s, row) || row->lost > 0;

    number(checkpoint, sizeof checkpoint, has_checkpoint(row),
           has_checkpoint(row) ? row->record->checkpoint.sequence : 0);
    number(last, sizeof last, row->facts.last_sequence >= 0, row->facts.last_sequence);
    cli_add_text(b, how.colours && alarm ? "\x1b[31m" : "");
    cli_view_cell(b, row->partition, 9);
    cli_add_text(b, "  ");
    cli_view_cell(b, owner_of(row), how.narrow ? 20 : 24);
    if (!how.narrow) {
        cli_addf(b, " %9s %12s",
                 cli_span(row->record == NULL ? -1 : row->record->age_ms, since, sizeof since),
                 checkpoint);
    }
    cli_addf(b, " %12s %10" PRId64 " %10s", last, row->lag_events,
             cli_span(row->lag_ms, lag, sizeof lag));
    if (!how.narrow) {
        cli_addf(b, " %11s", moment(row->oldest_ms, row->lag_ms, oldest, sizeof oldest));
    }
    cli_addf(b, " %12s\n", cli_span(row->to_loss_ms, loss, sizeof loss));
    if (row->lost > 0) {
        cli_addf(b,
                 "           %" PRId64 " events were removed by retention before they were read\n",
                 row->lost);
    }
    cli_add_text(b, how.colours ? "\x1b[0m" : "");
}

static void add_table(const settings *s, const cli_records *r, style how, cli_buffer *b) {
    int64_t behind = 0;

    cli_add_text(b, how.colours ? "\x1b[2m" : "");
    cli_addf(b, "%-9s  %-*s", "partition", how.narrow ? 20 : 24, "owner");
    if (!how.narrow) {
        cli_addf(b, " %9s %12s", "since", "checkpoint");
    }
    cli_addf(b, " %12s %10s %10s", "last", "lag", "lag time");
    if (!how.narrow) {
        cli_addf(b, " %11s", "oldest");
    }
    cli_addf(b, " %12s%s\n", "time to loss", how.colours ? "\x1b[0m" : "");
    for (size_t i = 0; i < r->hub->partition_count; i++) {
        add_row(s, &r->rows[i], how, b);
        behind += r->rows[i].lag_events;
    }
    cli_addf(b, "%zu partitions, %" PRId64 " events behind\n", r->hub->partition_count, behind);
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

    cli_add_text(&b, "{\"hub\":");
    cli_add_json(&b, (tmk_slice){(const uint8_t *)r->hub->name, strlen(r->hub->name)});
    cli_add_text(&b, ",\"group\":");
    cli_add_json(&b, (tmk_slice){(const uint8_t *)r->group, strlen(r->group)});
    cli_add_text(&b, ",\"partitions\":[");
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
        add_optional(&b, "oldest_enqueued_ms", row->oldest_ms >= 0, row->oldest_ms);
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

/* Which alarm goes off; each is said on standard error, unless the view shows it. */
static int alarms(const settings *s, const cli_records *r, bool quiet) {
    int code = 0;

    for (size_t i = 0; i < r->hub->partition_count; i++) {
        const cli_row *row = &r->rows[i];
        char lag[24];
        if (is_late(s, row)) {
            code = quiet
                       ? 1
                       : cli_failed("partition %s is %" PRId64
                                    " events behind, the oldest waits for %s: more than is allowed",
                                    row->partition, row->lag_events,
                                    cli_span(row->lag_ms, lag, sizeof lag));
        }
        if (is_endangered(s, row)) {
            code = quiet ? 1
                         : cli_failed("partition %s loses data in %" PRId64 " s", row->partition,
                                      row->to_loss_ms / 1000);
        }
    }
    return code;
}

/* ---- showing, once or again and again ---- */

static int wake_pipe[2] = {-1, -1};

static void on_signal(int number) {
    int saved = errno;

    (void)number;
    if (write(wake_pipe[1], "s", 1) < 0) {
        _exit(1); /* it has been asked to end often enough */
    }
    errno = saved;
}

static int watch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        return cli_failed("cannot make a pipe: %s", strerror(errno));
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    return 0;
}

static void draw(const settings *s, const cli_records *r) {
    cli_window window = cli_view_window();
    cli_buffer picture = {NULL, 0, 0, false};
    time_t now = time(NULL);
    struct tm t = {0};
    char clock[16] = "";

    if (localtime_r(&now, &t) != NULL) {
        (void)strftime(clock, sizeof clock, "%H:%M:%S", &t);
    }
    cli_add_text(&picture, "\x1b[1mtidemark status\x1b[0m  ");
    cli_view_text(&picture, r->hub->name, 60);
    cli_add_text(&picture, " · ");
    cli_view_text(&picture, r->group, 60);
    cli_addf(&picture, "  \x1b[2m%s, every %.3g s\x1b[0m\n\n", clock, (double)s->every_ms / 1e3);
    add_table(s, r, (style){true, window.columns < 118}, &picture);
    if (!picture.failed) {
        cli_view_draw(&picture, window);
    }
    cli_free(&picture);
}

static void print(const settings *s, const cli_records *r) {
    cli_buffer table = {NULL, 0, 0, false};

    if (s->json) {
        print_json(r);
        return;
    }
    add_table(s, r, (style){false, false}, &table);
    if (!cli_put(&table, stdout)) {
        (void)cli_failed("cannot write to standard output");
    }
    cli_free(&table);
}

/* One look. In the view a failure is no end: the next look may work. */
static int look(const settings *s, cli_records *r, bool view, bool *good) {
    int code = cli_records_read(r, s->retention_ms);

    *good = code == 0;
    if (code != 0) {
        return code;
    }
    (view ? draw : print)(s, r);
    return alarms(s, r, view);
}

/* Until the next look; false: it is the end. */
static bool pause_for(const settings *s, const cli_records *r, bool view, bool good) {
    int64_t until_ms = cli_monotonic_ms() + s->every_ms, left_ms;

    while ((left_ms = until_ms - cli_monotonic_ms()) > 0) {
        struct pollfd p = {.fd = wake_pipe[0], .events = POLLIN};
        char letters[16];
        ssize_t size = poll(&p, 1, (int)left_ms) > 0 ? read(p.fd, letters, sizeof letters) : 0;

        for (ssize_t i = 0; i < size; i++) {
            if (letters[i] == 's') {
                return false;
            }
        }
        if (size > 0 && view && good) {
            draw(s, r); /* the window has another size */
        }
    }
    return true;
}

static int show(const settings *s, cli_records *r) {
    bool view = s->watch && !s->json && cli_view_possible();
    int code = s->watch ? watch_signals() : 0;
    bool good = false;

    if (code != 0) {
        return code;
    }
    if (view) {
        cli_view_begin(wake_pipe[1]);
    }
    do {
        code = look(s, r, view, &good);
    } while (s->watch && (view || good) && pause_for(s, r, view, good));
    cli_view_restore();
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
