/*
 * tidemark consume: runs a processor and writes its events to standard output,
 * a file or child processes.
 *
 * Threads: handlers run on the processor's threads and write whole lines under
 *          one lock; the main thread waits for signals and for the end.
 */
#include "commands.h"
#include "common.h"
#include "exec.h"
#include "format.h"
#include "http.h"
#include "lines.h"
#include "live.h"
#include "seen.h"
#include "sinks.h"
#include "summary.h"

#include <tidemark/management.h>
#include <tidemark/processor.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct settings {
    cli_common common;
    const char *start, *order, *owner_id, *lost_position;
    const char *format, *output, *exec, *journal, *summary, *dead_letter, *http;
    int64_t threads, checkpoint_events, checkpoint_interval_ms, prefetch, in_flight, bytes_max;
    int64_t ride_through, retry, events_max, stop_ms, work_ms, retention_ms, expiry_ms,
        heartbeat_ms, partitions_max;
    int64_t max_lag, min_to_loss_ms, handler_limit_ms;
    bool until_end, plain;
} settings;

/* clang-format off */
static const cli_option options[] = {
    {CLI_HEADING, NULL, 0, NULL, NULL, "what to read, and in which order", 0, 0},
    {CLI_TEXT, "start", offsetof(settings, start), "earliest|latest|sequence:N|offset:O|time:T", NULL, "where a partition without a checkpoint starts (earliest)", 0, 0},
    {CLI_CHOICE, "lost-position", offsetof(settings, lost_position), "fail|earliest|latest|time", NULL, "what to do where a checkpoint's position is gone (fail)", 0, 0},
    {CLI_CHOICE, "order", offsetof(settings, order), "partition|key|none", NULL, "which events wait for each other (partition)", 0, 0},
    {CLI_INT, "threads", offsetof(settings, threads), "N", NULL, "handlers at once (8)", 1, 1024},
    {CLI_INT, "max-events", offsetof(settings, events_max), "N", NULL, "stop after so many", 1, INT64_MAX},
    {CLI_FLAG, "until-end", offsetof(settings, until_end), NULL, NULL, "stop when all that was there at the start is final", 0, 0},
    {CLI_HEADING, NULL, 0, NULL, NULL, "what to do with events", 0, 0},
    {CLI_CHOICE, "format", offsetof(settings, format), "json|raw|none", NULL, "how events are written (json)", 0, 0},
    {CLI_TEXT, "output", offsetof(settings, output), "FILE", NULL, "append to a file instead of standard output", 0, 0},
    {CLI_TEXT, "exec", offsetof(settings, exec), "CMD", NULL, "hand events to a child, a line each; it answers done, retry [MS], dead_letter, skip or stop", 0, 0},
    {CLI_DURATION, "work", offsetof(settings, work_ms), "D", NULL, "sleep this long in the handler, for trials", 0, 86400000},
    {CLI_INT, "retry", offsetof(settings, retry), "N", NULL, "attempts of an event, 0: for ever (10)", 0, UINT32_MAX},
    {CLI_TEXT, "dead-letter", offsetof(settings, dead_letter), "file:PATH|hub:NAME", NULL, "where events go that fail for good", 0, 0},
    {CLI_HEADING, NULL, 0, NULL, NULL, "checkpoints, instances and bounds", 0, 0},
    {CLI_INT, "checkpoint-events", offsetof(settings, checkpoint_events), "N", NULL, "write a checkpoint after so many events (10000)", 0, UINT32_MAX},
    {CLI_DURATION, "checkpoint-interval", offsetof(settings, checkpoint_interval_ms), "D", NULL, "or after this time (10s)", 0, 86400000},
    {CLI_TEXT, "owner-id", offsetof(settings, owner_id), "ID", NULL, "name of this instance (host and process)", 0, 0},
    {CLI_INT, "max-partitions", offsetof(settings, partitions_max), "N", NULL, "never own more", 0, UINT32_MAX},
    {CLI_DURATION, "heartbeat", offsetof(settings, heartbeat_ms), "D", NULL, "how often to say that we live (5s; shared 10s)", 0, 60000},
    {CLI_DURATION, "expiry", offsetof(settings, expiry_ms), "D", NULL, "when a silent instance counts as dead, 15s to 60s (20s; shared 60s)", 0, 600000},
    {CLI_INT, "ride-through", offsetof(settings, ride_through), "N", NULL, "while the store is away, handle so many events beyond the checkpoint, 0: no limit (1000000)", 0, INT64_MAX},
    {CLI_INT, "prefetch", offsetof(settings, prefetch), "N", NULL, "events fetched ahead, per partition (1000)", 1, 5000},
    {CLI_INT, "max-in-flight", offsetof(settings, in_flight), "N", NULL, "events held at most (20000)", 1, UINT32_MAX},
    {CLI_SIZE, "max-bytes", offsetof(settings, bytes_max), "SIZE", NULL, "bytes held at most (64MiB)", 1, INT64_MAX},
    {CLI_DURATION, "retention", offsetof(settings, retention_ms), "D", NULL, "of the hub, to foresee losses", 0, INT64_MAX},
    {CLI_DURATION, "stop-deadline", offsetof(settings, stop_ms), "D", NULL, "a stop takes no longer (30s)", 1, 86400000},
    {CLI_HEADING, NULL, 0, NULL, NULL, "what happened", 0, 0},
    {CLI_FLAG, "plain", offsetof(settings, plain), NULL, NULL, "lines also on a terminal, where a live view is shown otherwise", 0, 0},
    {CLI_TEXT, "http", offsetof(settings, http), "ADDR:PORT", "TIDEMARK_HTTP", "serve metrics, health and a page there; port 0 picks one", 0, 0},
    {CLI_DURATION, "handler-limit", offsetof(settings, handler_limit_ms), "D", NULL, "a longer call fails /healthz", 1, 86400000},
    {CLI_INT, "max-lag", offsetof(settings, max_lag), "N", NULL, "warn when a partition is further behind", 0, INT64_MAX},
    {CLI_DURATION, "min-time-to-loss", offsetof(settings, min_to_loss_ms), "D", NULL, "warn when data is lost sooner (half of --retention)", 1, INT64_MAX},
    {CLI_TEXT, "summary", offsetof(settings, summary), "FILE", NULL, "write a JSON summary at the end", 0, 0},
    {CLI_TEXT, "journal", offsetof(settings, journal), "FILE", NULL, "write a JSON line for all that happens", 0, 0},
    CLI_STORE_OPTIONS(settings, common),
    CLI_CONNECTION_OPTIONS(settings, common),
    {CLI_END, NULL, 0, NULL, NULL, NULL, 0, 0},
};
/* clang-format on */

typedef struct worker {
    const settings *s;
    tmk_client *client;
    tmk_processor *processor;
    cli_exec *exec;
    cli_sink *dead_letters;
    cli_summary summary;

    pthread_mutex_t lock; /* guards writing of lines, and `line` */
    FILE *output;         /* NULL: events are not written */
    cli_buffer line;
    bool output_failed;

    pthread_mutex_t journal_lock;
    cli_lines journal; /* fd -1: none */
    bool journal_failed;

    atomic_llong handled;
    bool keyed;

    cli_seen seen;
    cli_http *http;
    cli_live *live;           /* NULL: no live view */
    bool wants_view, in_tail; /* a live view is wanted; events are shown in it alone */
    bool quiet;               /* the view has the terminal: nothing else is written there */
} worker;

/* Signals and the end write a letter here; the main thread reads. */
static int wake_pipe[2] = {-1, -1};

static void wake(char letter) {
    int saved = errno;
    ssize_t ignored = write(wake_pipe[1], &letter, 1);

    (void)ignored;
    errno = saved;
}

static void on_signal(int number) {
    static volatile sig_atomic_t count;

    (void)number;
    if (++count > 1) {
        cli_view_restore();
        _exit(1); /* a second signal: at once, as documented */
    }
    wake('s');
}

static size_t lane_of(const worker *w, const tmk_event *e) {
    tmk_slice key = tmk_event_key(e);
    uint64_t hash = 1469598103934665603u;
    const char *partition = tmk_event_partition(e);

    if (!w->keyed || key.size == 0) {
        key = (tmk_slice){(const uint8_t *)partition, strlen(partition)};
    }
    for (size_t i = 0; i < key.size; i++) {
        hash = (hash ^ key.bytes[i]) * 1099511628211u;
    }
    return (size_t)hash;
}

static tmk_verdict run_child(worker *w, const tmk_event *e, tmk_delivery *d) {
    cli_buffer line = {NULL, 0, 0, false};
    tmk_verdict verdict;

    cli_format_json(&line, e);
    verdict =
        line.failed ? TMK_RETRY : cli_exec_handle(w->exec, lane_of(w, e), &line, &d->retry_ms);
    cli_free(&line);
    return verdict;
}

static bool write_line(worker *w, const tmk_event *e) {
    bool raw = w->s->format != NULL && strcmp(w->s->format, "raw") == 0;
    bool good;

    pthread_mutex_lock(&w->lock);
    w->line.size = 0;
    w->line.failed = false;
    (raw ? cli_format_raw : cli_format_json)(&w->line, e);
    good = !w->line.failed && fwrite(w->line.text, 1, w->line.size, w->output) == w->line.size &&
           fflush(w->output) == 0;
    if (!good && !w->output_failed) {
        fprintf(stderr, "tidemark: cannot write events: %s; reading pauses until it works again\n",
                strerror(errno));
    }
    w->output_failed = !good;
    if (!good) {
        clearerr(w->output);
    }
    pthread_mutex_unlock(&w->lock);
    return good;
}

/* In the live view alone: the last ones, cut. */
static void show_line(worker *w, const tmk_event *e) {
    pthread_mutex_lock(&w->lock);
    w->line.size = 0;
    w->line.failed = false;
    cli_format_json(&w->line, e);
    if (!w->line.failed) {
        cli_live_event(w->live, w->line.text, w->line.size);
    }
    pthread_mutex_unlock(&w->lock);
}

static tmk_verdict on_event(void *user, const tmk_event *e, tmk_delivery *d) {
    worker *w = user;
    tmk_verdict verdict = TMK_DONE;

    if (w->s->work_ms > 0) {
        struct timespec pause = {w->s->work_ms / 1000, w->s->work_ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    if (w->exec != NULL) {
        verdict = run_child(w, e, d);
    }
    if (verdict == TMK_DONE && w->output != NULL && !write_line(w, e)) {
        return TMK_STOP;
    }
    if (verdict == TMK_DONE && w->in_tail) {
        show_line(w, e);
    }
    if (verdict == TMK_DONE && atomic_fetch_add(&w->handled, 1) + 1 == w->s->events_max) {
        wake('m');
    }
    return verdict;
}

static void on_problem(void *user, const tmk_problem *p) {
    worker *w = user;

    cli_summary_problem(&w->summary, p->error);
    if (!w->seen.problems_elsewhere || w->quiet) {
        return; /* the log has it */
    }
    fprintf(stderr, "tidemark: %s%s%s: %s%s; %s [%s]\n", p->operation,
            p->partition == NULL ? "" : " of partition ", p->partition == NULL ? "" : p->partition,
            p->error->text, cli_advice(p->error), p->reaction,
            p->error->origin[0] == '\0' ? tmk_status_name(p->error->status) : p->error->origin);
}

static tmk_status on_open(void *user, const char *partition, int64_t generation, bool checkpointed,
                          tmk_start *start) {
    worker *w = user;

    (void)generation, (void)checkpointed, (void)start;
    cli_summary_opened(&w->summary, partition);
    return TMK_OK;
}

static void on_journal(void *user, const char *line, size_t size) {
    worker *w = user;

    pthread_mutex_lock(&w->journal_lock);
    bool good = cli_lines_put(&w->journal, line, size, false);

    if (!good && !w->journal_failed) {
        fprintf(stderr, "tidemark: cannot write the journal: %s; lines are missing from it\n",
                strerror(errno));
    }
    w->journal_failed = !good;
    pthread_mutex_unlock(&w->journal_lock);
}

static void on_dead_letter(void *user, const tmk_dead_letter *letter, tmk_handle handle) {
    worker *w = user;

    cli_sink_put(w->dead_letters, w->processor, letter, handle);
}

static void on_stats(void *user, const tmk_stats *stats) {
    cli_seen_put(&((worker *)user)->seen, stats);
}

static int choice(const char *choices, const char *value) {
    int index = 0;

    for (const char *at = choices; value != NULL && *at != '\0'; index++) {
        size_t size = strcspn(at, "|");
        if (size == strlen(value) && memcmp(at, value, size) == 0) {
            return index;
        }
        at += size + (at[size] == '|' ? 1 : 0);
    }
    return 0;
}

static int fill_options(worker *w, tmk_processor_options *o) {
    const settings *s = w->s;
    tmk_error err;

    tmk_processor_options_init(o);
    if (tmk_start_parse(s->start, &o->start, &err) < 0) {
        return cli_error("--start", &err);
    }
    if (s->common.group != NULL) {
        o->group = s->common.group;
    }
    o->owner_id = s->owner_id;
    o->claims = cli_claims(&s->common);
    o->order = (tmk_order)choice("partition|key|none", s->order);
    o->lost_position = (tmk_lost_position)choice("fail|earliest|latest|time", s->lost_position);
    o->threads = (uint32_t)s->threads;
    o->checkpoint_events = (uint32_t)s->checkpoint_events;
    o->checkpoint_interval_ms = s->checkpoint_interval_ms;
    o->prefetch = (uint32_t)s->prefetch;
    o->events_max = (uint32_t)s->in_flight;
    o->bytes_max = (uint64_t)s->bytes_max;
    o->retry_attempts = (uint32_t)s->retry;
    o->retention_ms = s->retention_ms;
    o->partitions_max = (uint32_t)s->partitions_max;
    o->heartbeat_ms = s->heartbeat_ms;
    o->expiry_ms = s->expiry_ms;
    o->ride_through_events = (uint64_t)s->ride_through;
    o->on_event = on_event;
    o->on_error = on_problem;
    o->on_open = on_open;
    o->on_journal = w->journal.fd < 0 ? NULL : on_journal;
    o->on_dead_letter = w->dead_letters == NULL ? NULL : on_dead_letter;
    o->user = w;
    o->log = cli_seen_log(&w->seen);
    o->alarm_lag_events = s->max_lag;
    o->alarm_to_loss_ms = s->min_to_loss_ms;
    if (s->http != NULL || w->wants_view) {
        o->on_stats = on_stats;
        o->stats_interval_ms = 1000;
        o->lag_interval_ms = 5000;
    }
    w->keyed = o->order == TMK_ORDER_KEY;
    return 0;
}

static FILE *open_append(const char *path, int *code) {
    FILE *f = fopen(path, "ae");

    if (f == NULL) {
        *code = cli_failed("cannot open '%s': %s", path, strerror(errno));
    }
    return f;
}

static int open_outputs(worker *w) {
    const settings *s = w->s;
    int code = 0;

    if (s->output != NULL) {
        w->output = open_append(s->output, &code);
    } else if (s->exec == NULL && (s->format == NULL || strcmp(s->format, "none") != 0)) {
        w->in_tail = w->wants_view;
        w->output = w->in_tail ? NULL : stdout;
    }
    if (code == 0 && s->journal != NULL) {
        code = cli_lines_open(&w->journal, s->journal)
                   ? 0
                   : cli_failed("cannot open '%s': %s", s->journal, strerror(errno));
    }
    if (code == 0 && s->exec != NULL &&
        (w->exec = cli_exec_new(s->exec, (size_t)s->threads)) == NULL) {
        code = cli_failed("out of memory");
    }
    if (code == 0 && s->dead_letter != NULL) {
        code = cli_sink_new(s->dead_letter, &s->common, &w->dead_letters);
    }
    return code;
}

/* What was in the hub at the start: the end that --until-end means. */
typedef struct ends {
    tmk_hub_facts *hub;
    int64_t *last;
} ends;

static int read_ends(tmk_client *client, ends *e) {
    tmk_partition_facts facts;
    tmk_error err;

    if (tmk_client_hub_facts_wait(client, 60000, &e->hub, &err) < 0 || e->hub == NULL) {
        return cli_error("cannot read the hub's properties", &err);
    }
    e->last = calloc(e->hub->partition_count + 1, sizeof *e->last);
    if (e->last == NULL) {
        (void)cli_failed("out of memory");
        return 1;
    }
    for (size_t i = 0; i < e->hub->partition_count; i++) {
        if (tmk_client_partition_facts_wait(client, e->hub->partitions[i], 60000, &facts, &err) <
            0) {
            return cli_error("cannot read a partition's properties", &err);
        }
        e->last[i] = facts.empty ? -1 : facts.last_sequence;
    }
    return 0;
}

/* Everything that was there is final in what is ours, and what is not ours is somebody's. */
static bool reached(const worker *w, const ends *e) {
    tmk_processor_stats stats = {.size = sizeof stats};
    tmk_partition_state *states = NULL;
    size_t count = 0;
    bool all;

    tmk_processor_stats_get(w->processor, &stats);
    if (!stats.started || tmk_processor_partitions(w->processor, &states, &count, NULL) < 0) {
        return false;
    }
    all = count >= e->hub->partition_count;
    for (size_t i = 0; i < e->hub->partition_count && all; i++) {
        for (size_t k = 0; k < count; k++) {
            if (strcmp(states[k].partition, e->hub->partitions[i]) == 0) {
                all = states[k].own ? states[k].final_sequence >= e->last[i]
                                    : states[k].owner[0] != '\0';
            }
        }
    }
    tmk_partition_states_free(states);
    return all;
}

/* Reads what woke us; true: it is the end. */
static bool heard_end(worker *w) {
    char letters[64];
    ssize_t size = read(wake_pipe[0], letters, sizeof letters);

    for (ssize_t i = 0; i < size; i++) {
        if (letters[i] != 'r') {
            return true;
        }
    }
    if (size > 0 && w->live != NULL) {
        (void)cli_live_draw(w->live, true); /* the window has another size */
    }
    return false;
}

/* Waits for a signal, --max-events or --until-end; draws meanwhile. */
static void wait_for_end(worker *w, const ends *e) {
    struct pollfd p = {.fd = wake_pipe[0], .events = POLLIN};

    for (;;) {
        int64_t wait_ms = e->last != NULL ? 100 : -1;
        int64_t draw_ms = w->live == NULL ? -1 : cli_live_draw(w->live, false);

        if (draw_ms >= 0 && (wait_ms < 0 || draw_ms < wait_ms)) {
            wait_ms = draw_ms;
        }
        if (poll(&p, 1, (int)wait_ms) > 0 && heard_end(w)) {
            return;
        }
        if (e->last != NULL && reached(w, e)) {
            return;
        }
    }
}

static int write_summary(const worker *w) {
    tmk_processor_stats stats = {.size = sizeof stats};

    tmk_processor_stats_get(w->processor, &stats);
    return w->s->summary == NULL ? 0 : cli_summary_write(&w->summary, &stats, w->s->summary);
}

/* Handlers that hang keep the process from ending in good order: it ends all the same. */
static int stop(worker *w) {
    tmk_stop_report report = {0};
    tmk_error err;
    int code = 0;

    cli_seen_stopping(&w->seen);
    if (w->live != NULL) {
        (void)cli_live_draw(w->live, true);
    }
    if (tmk_processor_stop(w->processor, w->s->stop_ms, &report, &err) < 0) {
        code = 1;
        fprintf(stderr,
                "tidemark: stopped at the deadline: %u partitions not drained, %" PRIu64
                " events in doubt, %u handlers still running; those events come again\n",
                report.partitions_open, report.events_in_doubt, report.handlers_running);
    }
    if (write_summary(w) != 0) {
        code = 1;
    }
    if (report.handlers_running > 0) {
        cli_view_restore();
        _exit(1);
    }
    return code;
}

/* A group that is run in the other way is refused at once; any other trouble is the processor's. */
static int check_group(const tmk_store *store) {
    tmk_store_op list = {.kind = TMK_STORE_PARTITION_LIST, .id = "", .timeout_ms = 10000};
    tmk_store_result *result = NULL;
    tmk_error err;
    tmk_status st = tmk_store_ask(*store, &list, &result, &err);

    tmk_store_result_free(result);
    return st == TMK_ESTATE ? cli_error("cannot join the group", &err) : 0;
}

/* The terminal is as it was, with one line about what was done. */
static void end_view(worker *w) {
    tmk_processor_stats stats = {.size = sizeof stats};

    if (w->live == NULL) {
        return;
    }
    tmk_processor_stats_get(w->processor, &stats);
    cli_view_restore();
    printf("%" PRIu64 " events final, %" PRIu64 " checkpoints, %" PRIu64 " problems\n",
           stats.events, stats.checkpoints_written, stats.problems);
}

static int run(worker *w) {
    tmk_processor_options o;
    tmk_store store = {NULL, NULL};
    ends e = {NULL, NULL};
    tmk_error err;
    int code = fill_options(w, &o);

    if (code == 0) {
        code = cli_store(&w->s->common, tmk_client_host(w->client), tmk_client_hub(w->client),
                         o.group, &store);
    }
    if (code == 0) {
        code = check_group(&store);
    }
    if (code == 0 && w->s->http != NULL) {
        code = cli_http_new(w->s->http, &w->seen, w->s->handler_limit_ms, &w->http);
    }
    if (code == 0 && w->s->until_end) {
        code = read_ends(w->client, &e);
    }
    if (code == 0 && w->wants_view && (w->live = cli_live_begin(&w->seen, wake_pipe[1])) == NULL) {
        code = cli_failed("out of memory");
    }
    if (code == 0 && (tmk_processor_new(w->client, store, &o, &w->processor, &err) < 0 ||
                      tmk_processor_start(w->processor, &err) < 0)) {
        w->live = cli_live_end(w->live);
        code = cli_error("cannot start", &err);
    }
    if (code == 0) {
        cli_summary_begin(&w->summary);
        wait_for_end(w, &e);
        code = stop(w);
    }
    w->http = cli_http_free(w->http);
    end_view(w);
    w->dead_letters = cli_sink_free(w->dead_letters); /* it reports to the processor */
    w->processor = tmk_processor_free(w->processor);
    w->live = cli_live_end(w->live);
    tmk_store_free(store);
    tmk_hub_facts_free(e.hub);
    free(e.last);
    return code;
}

static void close_outputs(worker *w) {
    cli_exec_free(w->exec);
    cli_sink_free(w->dead_letters);
    if (w->output != NULL && w->output != stdout) {
        fclose(w->output);
    }
    cli_lines_close(&w->journal);
    cli_free(&w->line);
    cli_seen_clear(&w->seen);
    cli_summary_clear(&w->summary);
}

static int catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        return cli_failed("cannot make a pipe: %s", strerror(errno));
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed output is an error of its write */
    return 0;
}

int cmd_consume(int argc, char **argv) {
    settings s = {.start = "earliest",
                  .threads = 8,
                  .checkpoint_events = 10000,
                  .checkpoint_interval_ms = 10000,
                  .prefetch = 1000,
                  .in_flight = 20000,
                  .bytes_max = 64 << 20,
                  .retry = 10,
                  .ride_through = 1000000,
                  .stop_ms = 30000};
    worker w = {.s = &s,
                .lock = PTHREAD_MUTEX_INITIALIZER,
                .journal_lock = PTHREAD_MUTEX_INITIALIZER,
                .journal.fd = -1};
    int count = cli_parse(options, &s, argc, argv, NULL, 0);
    tmk_log log;
    int code;

    if (count == -1) {
        puts("usage: tidemark consume [OPTIONS]\n\nRuns a processor: shares the hub's partitions "
             "with the other "
             "instances of the group,\nhands each event on, and keeps checkpoints. SIGTERM and "
             "SIGINT stop in good "
             "order,\na second one at once.");
        cli_help(options);
        return 0;
    }
    if (count < 0) {
        return 2;
    }
    if (s.min_to_loss_ms > 0 && s.retention_ms == 0) {
        return cli_usage("--min-time-to-loss needs --retention: the service does not tell it");
    }
    w.wants_view =
        !s.plain && (s.format == NULL || strcmp(s.format, "none") == 0) && cli_view_possible();
    w.quiet = w.wants_view && isatty(STDERR_FILENO);
    if (w.quiet) {
        s.common.log_level = "none"; /* what matters stands in the view */
    }
    log = cli_log(&s.common);
    cli_seen_init(&w.seen, &log);
    w.seen.problems_elsewhere = !cli_log_is_json(&s.common);
    code = catch_signals();
    if (code == 0) {
        code = open_outputs(&w);
    }
    if (code == 0) {
        code = cli_client(&s.common, NULL, NULL, &w.client);
    }
    if (code == 0) {
        code = run(&w);
    }
    close_outputs(&w);
    tmk_client_free(w.client);
    return code;
}
