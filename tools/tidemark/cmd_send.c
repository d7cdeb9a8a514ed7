/*
 * tidemark send: lines from standard input, or made-up events, to the hub.
 *
 * Events gather in batches, one for each key, until --batch-size of them wait
 * or the input pauses; every event's fate is counted.
 */
#include "commands.h"
#include "common.h"

#include <tidemark/batch.h>
#include <tidemark/producer.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BUCKETS = 1024, LANES_MAX = 8192, LINGER_MS = 50 };

typedef struct settings {
    cli_common common;
    const char *key_separator, *key, *partition;
    int64_t batch_size, count, size, timeout_ms;
    double rate;
    bool json;
} settings;

/* clang-format off */
static const cli_option options[] = {
    {CLI_HEADING, NULL, 0, NULL, NULL, "what to send (without --count: the lines of standard input)", 0, 0},
    {CLI_INT, "count", offsetof(settings, count), "N", NULL, "make so many events instead of reading lines", 1, INT64_MAX},
    {CLI_SIZE, "size", offsetof(settings, size), "B", NULL, "with --count: bytes of each (100)", 1, 64 << 20},
    {CLI_TEXT, "key-separator", offsetof(settings, key_separator), "C", NULL, "a line is KEY C BODY", 0, 0},
    {CLI_TEXT, "key", offsetof(settings, key), "K", NULL, "partition key of all events", 0, 0},
    {CLI_TEXT, "partition", offsetof(settings, partition), "N", NULL, "send to this partition", 0, 0},
    {CLI_INT, "batch-size", offsetof(settings, batch_size), "N", NULL, "events that gather before they are sent (100)", 1, 100000},
    {CLI_RATE, "rate", offsetof(settings, rate), "N/s", NULL, "no faster than this", 0, 0},
    {CLI_DURATION, "timeout", offsetof(settings, timeout_ms), "D", NULL, "how long to wait for the connection, and at the end for the last fates (60s)", 1, 86400000},
    {CLI_FLAG, "json", offsetof(settings, json), NULL, NULL, "the result as one JSON line", 0, 0},
    CLI_CONNECTION_OPTIONS(settings, common),
    {CLI_END, NULL, 0, NULL, NULL, NULL, 0, 0},
};
/* clang-format on */

/* One key's events that have not been sent yet. */
typedef struct lane {
    struct lane *next;
    char *key;
    tmk_batch *batch;
} lane;

typedef struct sender {
    const settings *s;
    tmk_producer *producer;
    tmk_message *message;
    uint64_t limit;
    lane *buckets[BUCKETS];
    size_t lanes;
    int64_t held, taken; /* in lanes; ever */
    double begin, shown;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t acknowledged, failed, maybe_twice; /* lock */
    tmk_error first_error;                     /* lock */
} sender;

static double now_s(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_fate(void *user, const tmk_fate *fate) {
    sender *w = user;

    pthread_mutex_lock(&w->lock);
    if (fate->status == TMK_OK) {
        w->acknowledged += (int64_t)fate->events;
        w->maybe_twice += fate->maybe_twice ? (int64_t)fate->events : 0;
    } else {
        if (w->failed == 0) {
            w->first_error = *fate->error;
        }
        w->failed += (int64_t)fate->events;
    }
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

/* ---- progress ---- */

static void show(sender *w, bool last) {
    static const char full[] = "##############################",
                      none[] = "..............................";
    double now = now_s();
    int64_t acknowledged;

    if (!isatty(STDERR_FILENO) || w->s->json || (!last && now - w->shown < 0.2)) {
        return;
    }
    w->shown = now;
    pthread_mutex_lock(&w->lock);
    acknowledged = w->acknowledged;
    pthread_mutex_unlock(&w->lock);
    double seconds = now - w->begin, rate = seconds > 0 ? (double)acknowledged / seconds : 0;
    if (w->s->count > 0) {
        int bars = (int)(30 * acknowledged / w->s->count);
        fprintf(stderr, "\r[%.*s%.*s] %3d%%  %" PRId64 " of %" PRId64 " acknowledged, %.0f/s ",
                bars, full, 30 - bars, none, (int)(100 * acknowledged / w->s->count), acknowledged,
                w->s->count, rate);
    } else {
        fprintf(stderr, "\r%" PRId64 " of %" PRId64 " acknowledged, %.0f/s ", acknowledged,
                w->taken, rate);
    }
    if (last) {
        fputc('\n', stderr);
    }
}

/* ---- sending ---- */

/* The producer is full: waits until something has its fate, a second at most. */
static void wait_for_room(sender *w) {
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_mutex_lock(&w->lock);
    pthread_cond_timedwait(&w->changed, &w->lock, &until);
    pthread_mutex_unlock(&w->lock);
    show(w, false);
}

static int send_lane(sender *w, lane *l) {
    tmk_status st;
    tmk_error err;

    if (tmk_batch_count(l->batch) == 0) {
        return 0;
    }
    for (;;) {
        st = tmk_producer_send_batch(w->producer, l->batch, w->s->partition, on_fate, w, &err);
        if (st != TMK_ELIMIT || !err.retryable) {
            break;
        }
        wait_for_room(w);
    }
    if (st < 0) {
        return cli_error("cannot send", &err);
    }
    w->held -= (int64_t)tmk_batch_count(l->batch);
    tmk_batch_reset(l->batch);
    return 0;
}

static int send_all(sender *w) {
    int code = 0;

    for (int i = 0; i < BUCKETS && w->held > 0 && code == 0; i++) {
        for (lane *l = w->buckets[i]; l != NULL && code == 0; l = l->next) {
            code = send_lane(w, l);
        }
    }
    return code;
}

static void free_lanes(sender *w) {
    for (int i = 0; i < BUCKETS; i++) {
        for (lane *l = w->buckets[i], *next; l != NULL; l = next) {
            next = l->next;
            tmk_batch_free(l->batch);
            free(l->key);
            free(l);
        }
        w->buckets[i] = NULL;
    }
    w->lanes = 0;
}

static int lane_for(sender *w, const char *key, lane **out) {
    uint32_t hash = 2166136261u;
    tmk_error err;

    for (const char *c = key; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    }
    for (*out = w->buckets[hash % BUCKETS]; *out != NULL; *out = (*out)->next) {
        if (strcmp((*out)->key, key) == 0) {
            return 0;
        }
    }
    if (w->lanes == LANES_MAX) {
        int code = send_all(w);
        if (code != 0) {
            return code;
        }
        free_lanes(w);
    }
    lane *l = calloc(1, sizeof *l);
    if (l == NULL || (l->key = strdup(key)) == NULL) {
        free(l);
        return cli_failed("out of memory");
    }
    if (tmk_batch_new(w->limit, key, &l->batch, &err) < 0) {
        free(l->key);
        free(l);
        return cli_error("cannot use this key", &err);
    }
    l->next = w->buckets[hash % BUCKETS];
    w->buckets[hash % BUCKETS] = l;
    w->lanes++;
    *out = l;
    return 0;
}

static int take_event(sender *w, const char *key, const char *body, size_t size) {
    lane *l = NULL;
    tmk_error err;
    tmk_status st;
    int code = lane_for(w, key, &l);

    if (code != 0) {
        return code;
    }
    if (tmk_message_reset(w->message, (tmk_slice){(const uint8_t *)body, size}, &err) < 0) {
        return cli_error("cannot make an event", &err);
    }
    st = tmk_batch_try_add(l->batch, w->message, &err);
    if (st == TMK_AGAIN) {
        code = send_lane(w, l);
        st = code == 0 ? tmk_batch_try_add(l->batch, w->message, &err) : TMK_OK;
    }
    if (st != TMK_OK) {
        return cli_error("cannot send this event", &err);
    }
    w->held++;
    w->taken++;
    if (code == 0 && w->held >= w->s->batch_size) {
        code = send_all(w);
    }
    show(w, false);
    return code;
}

/* Waits until the next event is due; what has gathered goes out when that takes long. */
static int keep_rate(sender *w) {
    int code = 0;

    if (w->s->rate <= 0) {
        return 0;
    }
    double wait = w->begin + (double)w->taken / w->s->rate - now_s();
    if (wait > LINGER_MS / 1e3) {
        code = send_all(w);
    }
    if (wait > 0.001) {
        struct timespec pause = {(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)};
        nanosleep(&pause, NULL);
    }
    return code;
}

/* ---- input ---- */

static int send_line(sender *w, char *line, size_t size) {
    const char *key = w->s->key == NULL ? "" : w->s->key, *body = line;

    if (w->s->key_separator != NULL) {
        char *cut = strstr(line, w->s->key_separator);
        if (cut == NULL) {
            return cli_failed("line %" PRId64 " has no '%s' that ends its key", w->taken + 1,
                              w->s->key_separator);
        }
        *cut = '\0';
        key = line;
        body = cut + strlen(w->s->key_separator);
        size -= (size_t)(body - line);
    }
    return take_event(w, key, body, size);
}

/* Nothing more is there for a moment: what has gathered goes out. */
static bool input_waits(void) {
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&p, 1, LINGER_MS) == 0;
}

static int send_lines(sender *w) {
    bool pauses = isatty(STDIN_FILENO) != 0;
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int code = 0;

    if (pauses) {
        setvbuf(stdin, NULL, _IONBF, 0); /* so that poll() sees what has not been read */
    }
    while (code == 0 && (size = getline(&line, &room, stdin)) >= 0) {
        if (size > 0 && line[size - 1] == '\n') {
            line[--size] = '\0';
        }
        code = keep_rate(w);
        if (code == 0) {
            code = send_line(w, line, (size_t)size);
        }
        if (code == 0 && pauses && input_waits()) {
            code = send_all(w);
        }
    }
    if (code == 0 && ferror(stdin)) {
        code = cli_failed("cannot read standard input: %s", strerror(errno));
    }
    free(line);
    return code;
}

static int send_made(sender *w) {
    size_t size = (size_t)w->s->size;
    char *body = malloc(size + 24);
    int code = 0;

    if (body == NULL) {
        return cli_failed("out of memory");
    }
    for (int64_t i = 0; i < w->s->count && code == 0; i++) {
        int digits = snprintf(body, 24, "%" PRId64 " ", i);
        if ((size_t)digits < size) {
            memset(body + digits, 'x', size - (size_t)digits);
        }
        code = keep_rate(w);
        if (code == 0) {
            code = take_event(w, w->s->key == NULL ? "" : w->s->key, body, size);
        }
    }
    free(body);
    return code;
}

/* ---- the run ---- */

static int tell(const sender *w) {
    double seconds = now_s() - w->begin;

    if (w->s->json) {
        printf("{\"acknowledged\":%" PRId64 ",\"failed\":%" PRId64 ",\"maybe_twice\":%" PRId64
               ",\"seconds\":%.3f}\n",
               w->acknowledged, w->failed, w->maybe_twice, seconds);
    } else {
        printf("%" PRId64 " events acknowledged in %.1f s, %" PRId64 " failed\n", w->acknowledged,
               seconds, w->failed);
        if (w->maybe_twice > 0) {
            printf("%" PRId64
                   " of them may be there twice: an answer was lost and they were sent again\n",
                   w->maybe_twice);
        }
    }
    return w->failed > 0 ? cli_error("not all events were stored", &w->first_error) : 0;
}

static int run(sender *w, tmk_client *client) {
    tmk_error err;
    int code = 0;

    if (tmk_message_new((tmk_slice){NULL, 0}, &w->message, &err) < 0 ||
        tmk_producer_new(client, NULL, &w->producer, &err) < 0 ||
        tmk_producer_limit_wait(w->producer, w->s->partition, w->s->timeout_ms, &w->limit, &err) <
            0) {
        return cli_error("cannot send", &err);
    }
    w->begin = now_s();
    code = w->s->count > 0 ? send_made(w) : send_lines(w);
    if (code == 0) {
        code = send_all(w);
    }
    double end = now_s() + (double)w->s->timeout_ms / 1e3;
    while (tmk_producer_flush_wait(w->producer, 200, &err) == TMK_ETIMEOUT && now_s() < end) {
        show(w, false);
    }
    (void)tmk_producer_close(w->producer, 1000, NULL);
    show(w, true);
    int told = tell(w);
    return code != 0 ? code : told;
}

static int check(const settings *s) {
    if (s->key != NULL && s->key_separator != NULL) {
        return cli_usage("--key and --key-separator exclude each other");
    }
    if (s->partition != NULL && (s->key != NULL || s->key_separator != NULL)) {
        return cli_usage("--partition and a key exclude each other: a key chooses the partition");
    }
    if (s->count > 0 && s->key_separator != NULL) {
        return cli_usage("--count makes its own events: --key-separator has no meaning with it");
    }
    if (s->key_separator != NULL && s->key_separator[0] == '\0') {
        return cli_usage("--key-separator must not be empty");
    }
    return 0;
}

int cmd_send(int argc, char **argv) {
    settings s = {.batch_size = 100, .size = 100, .timeout_ms = 60000};
    sender w = {.s = &s, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    int count = cli_parse(options, &s, argc, argv, NULL, 0);
    tmk_client *client = NULL;
    int code;

    if (count == -1) {
        puts("usage: tidemark send [OPTIONS]\n\nSends the lines of standard input, or made-up "
             "events; says at the end "
             "how many were acknowledged.");
        cli_help(options);
        return 0;
    }
    code = count < 0 ? 2 : check(&s);
    if (code == 0) {
        code = cli_client(&s.common, NULL, NULL, &client);
    }
    if (code == 0) {
        code = run(&w, client);
    }
    free_lanes(&w);
    tmk_producer_free(w.producer);
    tmk_message_free(w.message);
    tmk_client_free(client);
    return code;
}
