/*
 * Dead-letter sinks. See sinks.h.
 *
 * A file is synced for every letter, so that is done by a thread of its own:
 * letters wait for it in a list.
 */
#include "sinks.h"

#include "format.h"
#include "lines.h"

#include <tidemark/message.h>
#include <tidemark/producer.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct parcel {
    struct parcel *next;
    cli_sink *sink;
    tmk_processor *processor;
    tmk_handle handle;
    cli_buffer line; /* file */
} parcel;

struct cli_sink {
    cli_lines file;
    pthread_t thread;
    bool threaded;
    pthread_mutex_t lock;
    pthread_cond_t more;
    parcel *first, **last; /* lock */
    bool ending;           /* lock */

    tmk_client *client; /* hub */
    tmk_producer *producer;
};

static void report(const parcel *p, tmk_status status, const tmk_error *err) {
    (void)tmk_processor_dead_letter_done(p->processor, p->handle, status, err);
}

/* ---- a file ---- */

static void keep(cli_sink *s, parcel *p) {
    tmk_error err = {.status = TMK_EIO, .retryable = true};
    bool good = !p->line.failed && cli_lines_put(&s->file, p->line.text, p->line.size, true);

    if (!good) {
        (void)snprintf(err.origin, sizeof err.origin, "errno:%d", errno);
        (void)snprintf(err.text, sizeof err.text, "cannot write the dead-letter file: %s",
                       strerror(errno));
    }
    report(p, good ? TMK_OK : TMK_EIO, good ? NULL : &err);
    cli_free(&p->line);
    free(p);
}

static void *run_file(void *arg) {
    cli_sink *s = arg;

    pthread_mutex_lock(&s->lock);
    for (;;) {
        parcel *p = s->first;
        if (p == NULL) {
            if (s->ending) {
                break;
            }
            pthread_cond_wait(&s->more, &s->lock);
            continue;
        }
        s->first = p->next;
        if (s->first == NULL) {
            s->last = &s->first;
        }
        pthread_mutex_unlock(&s->lock);
        keep(s, p);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void put_in_file(cli_sink *s, parcel *p, const tmk_dead_letter *letter) {
    cli_addf(&p->line, "{\"attempts\":%u,\"reason\":\"%s\",\"event\":", letter->attempts,
             letter->reason);
    cli_format_json(&p->line, letter->event);
    if (p->line.size > 0) {
        p->line.size--; /* the line end */
    }
    cli_add_text(&p->line, "}\n");
    pthread_mutex_lock(&s->lock);
    *s->last = p;
    s->last = &p->next;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
}

/* ---- a hub ---- */

static void on_fate(void *user, const tmk_fate *fate) {
    parcel *p = user;

    report(p, fate->status, fate->error);
    free(p);
}

static void put_in_hub(cli_sink *s, parcel *p, const tmk_dead_letter *letter) {
    tmk_message *m = NULL;
    tmk_error err;
    tmk_status st = tmk_message_from_event(letter->event, &m, &err);

    if (st >= 0) {
        st =
            tmk_message_set_int(m, "dead-letter-sequence", tmk_event_sequence(letter->event), &err);
    }
    if (st >= 0) {
        st = tmk_message_set_text(m, "dead-letter-partition", letter->partition, &err);
    }
    if (st >= 0) {
        st = tmk_message_set_text(m, "dead-letter-reason", letter->reason, &err);
    }
    if (st >= 0) {
        st = tmk_message_set_int(m, "dead-letter-attempts", letter->attempts, &err);
    }
    if (st >= 0) {
        st = tmk_producer_send(s->producer, m, NULL, on_fate, p, &err);
    }
    tmk_message_free(m);
    if (st < 0) {
        report(p, st, &err);
        free(p);
    }
}

void cli_sink_put(cli_sink *s, tmk_processor *p, const tmk_dead_letter *letter, tmk_handle handle) {
    parcel *one = calloc(1, sizeof *one);
    tmk_error err = {
        .status = TMK_ENOMEM, .retryable = true, .text = "no memory for a dead letter"};

    if (one == NULL) {
        (void)tmk_processor_dead_letter_done(p, handle, TMK_ENOMEM, &err);
        return;
    }
    one->sink = s;
    one->processor = p;
    one->handle = handle;
    if (s->file.fd >= 0) {
        put_in_file(s, one, letter);
    } else {
        put_in_hub(s, one, letter);
    }
}

/* ---- life ---- */

static int open_file(cli_sink *s, const char *path) {
    if (!cli_lines_open(&s->file, path)) {
        return cli_failed("cannot open the dead-letter file '%s': %s", path, strerror(errno));
    }
    s->threaded = pthread_create(&s->thread, NULL, run_file, s) == 0;
    return s->threaded ? 0 : cli_failed("cannot start a thread for the dead-letter file");
}

static int open_hub(cli_sink *s, const char *name, const cli_common *common) {
    cli_common other = *common;
    tmk_error err;
    int code;

    other.hub = name;
    code = cli_client(&other, NULL, NULL, &s->client);
    if (code == 0 && tmk_producer_new(s->client, NULL, &s->producer, &err) < 0) {
        code = cli_error("cannot send to the dead-letter hub", &err);
    }
    return code;
}

int cli_sink_new(const char *what, const cli_common *common, cli_sink **out) {
    cli_sink *s = calloc(1, sizeof *s);
    int code;

    if (s == NULL) {
        return cli_failed("out of memory");
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, NULL);
    s->last = &s->first;
    s->file.fd = -1;
    if (strncmp(what, "file:", 5) == 0 && what[5] != '\0') {
        code = open_file(s, what + 5);
    } else if (strncmp(what, "hub:", 4) == 0 && what[4] != '\0') {
        code = open_hub(s, what + 4, common);
    } else {
        code = cli_usage("--dead-letter takes file:PATH or hub:NAME, not '%s'", what);
    }
    if (code != 0) {
        cli_sink_free(s);
        return code;
    }
    *out = s;
    return 0;
}

cli_sink *cli_sink_free(cli_sink *s) {
    if (s == NULL) {
        return NULL;
    }
    if (s->threaded) {
        pthread_mutex_lock(&s->lock);
        s->ending = true;
        pthread_cond_signal(&s->more);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    cli_lines_close(&s->file);
    tmk_producer_free(s->producer);
    tmk_client_free(s->client);
    pthread_cond_destroy(&s->more);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}
