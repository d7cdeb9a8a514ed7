/*
 * What the machine itself takes for the way of an event, to tell its lateness from ours: a process
 * that sends a hundred bytes at its times, one that passes them on, and a thread of a third that
 * wakes another thread, which looks at the clock. Two TCP connections on the loopback, four
 * wake-ups, and nothing else: the hops of `./run bench latency` without hub, AMQP or library.
 *
 *   bench_chain EVENTS RATE        prints p50, p99 and p99.9 in ms
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "bench/measure.h"

enum { SIZE = 100, EVENTS_MAX = 1000000 };

typedef struct handler {
    sem_t ready;
    uint64_t count;
    int64_t *sent_ns, *late_ns; /* sent_ns: written by the reading thread, before ready */
} handler;

static int64_t now_ns(void) {
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A connection between two processes of ours. */
static void connect_pair(int ends[2]) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(door, (struct sockaddr *)&at, sizeof at) != 0 || listen(door, 1) != 0 ||
        getsockname(door, (struct sockaddr *)&at, &size) != 0 ||
        connect(ends[0], (struct sockaddr *)&at, sizeof at) != 0 ||
        (ends[1] = accept(door, NULL, NULL)) < 0 ||
        setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        die("connection", "could not be made");
    }
    (void)close(door);
}

static void put(int fd, const uint8_t *from, size_t size) {
    if (send(fd, from, size, MSG_NOSIGNAL) != (ssize_t)size) {
        die("send", "the other end has gone");
    }
}

static void send_paced(int fd, uint64_t events, int64_t rate) {
    int64_t next = now_ns();
    uint8_t body[SIZE] = {0};

    for (uint64_t n = 0; n < events; n++, next += 1000000000 / rate) {
        const struct timespec at = {next / 1000000000, next % 1000000000};
        int64_t now;

        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        now = now_ns();
        memcpy(body, &now, sizeof now);
        put(fd, body, sizeof body);
    }
}

static void pass_on(int from, int to) {
    uint8_t buffer[64 * SIZE];
    ssize_t got;

    while ((got = recv(from, buffer, sizeof buffer, 0)) > 0) {
        put(to, buffer, (size_t)got);
    }
}

static void *handle(void *self) {
    handler *h = self;

    for (uint64_t n = 0; n < h->count; n++) {
        while (sem_wait(&h->ready) != 0) {
        }
        h->late_ns[n] = now_ns() - h->sent_ns[n];
    }
    return NULL;
}

static int by_size(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

static void tell_rank(const handler *h, const char *name, double share) {
    tell(name, (double)h->late_ns[(size_t)(share * (double)h->count)] / 1e6, "ms");
}

static void take(int fd, handler *h) {
    tmk_thread thread = {0};
    uint8_t body[SIZE];

    if (tmk_thread_start(&thread, "handler", handle, h, NULL) < 0) {
        die("thread", "could not be started");
    }
    for (uint64_t n = 0; n < h->count; n++) {
        if (recv(fd, body, sizeof body, MSG_WAITALL) != SIZE) {
            die("receive", "the other end has gone");
        }
        memcpy(&h->sent_ns[n], body, sizeof h->sent_ns[n]);
        (void)sem_post(&h->ready);
    }
    tmk_thread_join(&thread);
    qsort(h->late_ns, h->count, sizeof *h->late_ns, by_size);
    tell_rank(h, "p50", 0.5);
    tell_rank(h, "p99", 0.99);
    tell_rank(h, "p99.9", 0.999);
}

int main(int argc, char **argv) {
    uint64_t events = argc > 2 ? strtoull(argv[1], NULL, 10) : 0;
    int64_t rate = argc > 2 ? strtoll(argv[2], NULL, 10) : 0;
    handler h = {.count = events};
    int first[2], second[2];

    if (events == 0 || events > EVENTS_MAX || rate <= 0) {
        die("arguments", "EVENTS RATE");
    }
    (void)prctl(PR_SET_TIMERSLACK, 1); /* as the others have it; inherited */
    h.sent_ns = calloc(events, sizeof *h.sent_ns);
    h.late_ns = calloc(events, sizeof *h.late_ns);
    if (h.sent_ns == NULL || h.late_ns == NULL || sem_init(&h.ready, 0, 0) != 0) {
        die("memory", "there is none");
    }
    connect_pair(first);
    connect_pair(second);
    if (fork() == 0) {
        send_paced(first[0], events, rate);
        _exit(0);
    }
    if (fork() == 0) {
        (void)close(first[0]); /* else its end would never be seen */
        pass_on(first[1], second[0]);
        _exit(0);
    }
    (void)close(first[0]);
    (void)close(second[0]);
    take(second[1], &h);
    (void)wait(NULL);
    (void)wait(NULL);
    return 0;
}
