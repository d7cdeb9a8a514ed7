/*
 * Sending to a hub elsewhere (EVENTHUB_CONNECTION_STRING).
 *
 *   bench_send batches EVENTS BODY     batches of 100 events, at most 16 unanswered; what it costs
 *   bench_send paced EVENTS RATE [CA]  single events, so many a second, each with its time
 *
 * The same lines as tests/interop/js_bench.mjs prints. A time is of CLOCK_MONOTONIC, in ns.
 */
#include <tidemark/producer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "bench/measure.h"

enum { BATCH = 100, PENDING_MAX = 16, BODY_MAX = 65536, WAIT_MS = 60000 };

static tmk_mutex lock;
static tmk_cond answered;
static uint64_t pending, stored, failed;

static int64_t nanoseconds(clockid_t id) {
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void on_fate(void *user, const tmk_fate *fate) {
    (void)user;
    tmk_mutex_lock(&lock);
    pending--;
    *(fate->status == TMK_OK ? &stored : &failed) += fate->events;
    tmk_cond_signal(&answered);
    tmk_mutex_unlock(&lock);
}

/* Waits for a place among the unanswered, and takes it. */
static void enter(uint64_t most) {
    tmk_mutex_lock(&lock);
    while (pending >= most) {
        tmk_cond_wait(&answered, &lock);
    }
    pending++;
    tmk_mutex_unlock(&lock);
}

static tmk_producer *make_producer(tmk_client **client, const char *ca) {
    tmk_client_options o;
    tmk_producer *p = NULL;
    tmk_error err;

    tmk_client_options_init(&o);
    o.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    o.hub = "hub";
    o.tls_ca_file = ca;
    if (tmk_client_new(&o, client, &err) < 0 || tmk_producer_new(*client, NULL, &p, &err) < 0) {
        die("producer", err.text);
    }
    return p;
}

static void send_batches(tmk_producer *p, uint64_t events, tmk_slice body) {
    tmk_message *message = NULL;
    tmk_batch *batch = NULL;
    tmk_error err;

    if (tmk_batch_new(1 << 20, NULL, &batch, &err) < 0 ||
        tmk_message_new(body, &message, &err) < 0) {
        die("batch", err.text);
    }
    for (uint64_t n = 0; n < events; n += BATCH) {
        tmk_batch_reset(batch);
        for (int i = 0; i < BATCH; i++) {
            if (tmk_message_reset(message, body, &err) < 0 ||
                tmk_batch_try_add(batch, message, &err) != TMK_OK) {
                die("batch", err.text);
            }
        }
        enter(PENDING_MAX);
        if (tmk_producer_send_batch(p, batch, NULL, on_fate, NULL, &err) < 0) {
            die("send", err.text);
        }
    }
    (void)tmk_batch_free(batch);
    (void)tmk_message_free(message);
}

static void send_paced(tmk_producer *p, uint64_t events, uint64_t rate) {
    int64_t next = nanoseconds(CLOCK_MONOTONIC);
    tmk_message *message = NULL;
    uint8_t body[100] = {0};
    tmk_error err;

    if (tmk_message_new((tmk_slice){body, sizeof body}, &message, &err) < 0) {
        die("message", err.text);
    }
    for (uint64_t n = 0; n < events; n++, next += 1000000000 / (int64_t)rate) {
        const struct timespec at = {next / 1000000000, next % 1000000000};
        int64_t now;

        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        enter(UINT64_MAX);
        now = nanoseconds(CLOCK_MONOTONIC);
        memcpy(body, &now, sizeof now);
        if (tmk_message_reset(message, (tmk_slice){body, sizeof body}, &err) < 0 ||
            tmk_producer_send(p, message, NULL, on_fate, NULL, &err) < 0) {
            die("send", err.text);
        }
    }
    (void)tmk_message_free(message);
}

int main(int argc, char **argv) {
    static const uint8_t body[BODY_MAX];
    uint64_t events = argc > 3 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t number = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    int64_t wall, cpu;
    tmk_client *client = NULL;
    tmk_producer *p;
    tmk_error err;
    uint64_t limit;

    if (events == 0 || number == 0 || number > BODY_MAX) {
        die("arguments", "batches EVENTS BODY, or paced EVENTS RATE [CA]");
    }
    if (tmk_mutex_init(&lock, 80, NULL) < 0 || tmk_cond_init(&answered, NULL) < 0) {
        die("lock", "could not be made");
    }
    p = make_producer(&client, argc > 4 ? argv[4] : NULL);
    if (tmk_producer_limit_wait(p, NULL, WAIT_MS, &limit, &err) < 0) {
        die("producer", err.text);
    }
    wall = nanoseconds(CLOCK_MONOTONIC);
    cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    if (strcmp(argv[1], "paced") == 0) {
        send_paced(p, events, number);
    } else {
        send_batches(p, events, (tmk_slice){body, number});
    }
    if (tmk_producer_flush_wait(p, WAIT_MS, &err) < 0) {
        die("flush", err.text);
    }
    tell("events", (double)stored, "events");
    tell("seconds", (double)(nanoseconds(CLOCK_MONOTONIC) - wall) / 1e9, "s");
    tell("cpu", (double)(nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e9, "s");
    tell("failed", (double)failed, "events");
    (void)tmk_producer_free(p);
    (void)tmk_client_free(client);
    return failed > 0;
}
