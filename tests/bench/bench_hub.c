/*
 * How many events the local hub can push: one partition, a client that reads
 * raw bytes and looks at nothing but their number. Prints the rate, and the
 * processor time of the hub's thread for an event: its inverse is what one
 * core of hub can feed.
 *
 *   bench_hub [EVENTS [BODY_BYTES [METRICS]]]
 */
#include <tidemark/hub.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "support/hub_client.h"

enum { READ_SIZE = 256 << 10, PIECE = 500000 };

static double cpu_s(int who) {
    struct rusage u;

    (void)getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int dial(uint16_t port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd, (struct sockaddr *)&at, sizeof at) == 0 ? fd : -1;
}

static bool send_said(hub_client *c, int fd) {
    bool ok = send(fd, c->said.text, c->said.size, MSG_NOSIGNAL) == (ssize_t)c->said.size;

    tmk_str_reset(&c->said);
    return ok;
}

/* Reads until `count` transfers have come; counts frames by their sizes alone. */
static bool drain(int fd, uint8_t *buffer, int64_t count, uint64_t *bytes) {
    static uint8_t head[4];
    static size_t head_size;
    static uint32_t left; /* of the frame under way, behind its size */
    int64_t seen = 0;

    while (seen < count) {
        ssize_t n = recv(fd, buffer, READ_SIZE, 0);
        size_t at = 0;
        if (n <= 0) {
            return false;
        }
        *bytes += (uint64_t)n;
        while (at < (size_t)n) {
            if (left > 0) {
                size_t step = left < (size_t)n - at ? left : (size_t)n - at;
                left -= (uint32_t)step;
                at += step;
                seen += left == 0;
                continue;
            }
            head[head_size++] = buffer[at++];
            if (head_size == 4) {
                left = ((uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 |
                        head[3]) -
                       4;
                head_size = 0;
            }
        }
    }
    return true;
}

/* The answers to all that comes before events: read by their number of frames. */
static bool attach(hub_client *c, int fd, uint8_t *buffer, bool metrics) {
    uint64_t bytes = 0;
    uint8_t headers[8 + 61];

    say_header(c, 3);
    say_init(c, "PLAIN", TMK_LIT("\0bench\0secret"));
    if (!send_said(c, fd) || recv(fd, headers, 8, MSG_WAITALL) != 8 ||
        !drain(fd, buffer, 2, &bytes)) {
        return false;
    }
    say_header(c, 0);
    if (!send_said(c, fd) || recv(fd, headers, 8, MSG_WAITALL) != 8) {
        return false;
    }
    say_open(c, 65536, 0);
    say_begin(c, 0, INT32_MAX);
    say_receiver(
        c, &(say_link){0, 0, "hub/ConsumerGroups/$Default/Partitions/0", NULL, -1, metrics, NULL});
    return send_said(c, fd) && drain(fd, buffer, 3, &bytes);
}

static int measure(tmk_hub *hub, int64_t events, uint32_t size, bool metrics) {
    tmk_clock clock = tmk_clock_system();
    uint8_t *buffer = malloc(READ_SIZE);
    hub_client c = {.frame_max = 65536};
    int fd = dial(tmk_hub_port(hub, TMK_HUB_DOOR_AMQP));
    uint64_t bytes = 0;
    double hub_before, hub_s, all_s;
    tmk_time begin;

    if (buffer == NULL || fd < 0 || !attach(&c, fd, buffer, metrics)) {
        return 1;
    }
    hub_before = cpu_s(RUSAGE_SELF) - cpu_s(RUSAGE_THREAD);
    begin = tmk_now(&clock);
    for (int64_t done = 0; done < events; done += PIECE) {
        int64_t piece = events - done < PIECE ? events - done : PIECE;
        say_flow(&c, 0, (uint32_t)(1 + done), INT32_MAX, 0, (uint32_t)done, (uint32_t)piece, false);
        if (!send_said(&c, fd) || !drain(fd, buffer, piece, &bytes)) {
            return 1;
        }
    }
    all_s = (double)(tmk_now(&clock) - begin) / 1e9;
    hub_s = cpu_s(RUSAGE_SELF) - cpu_s(RUSAGE_THREAD) - hub_before;
    printf("hub: %lld events of %u bytes%s: %.2f M/s (%.0f MB/s); hub %.0f ns an event, %.1f M/s a "
           "core\n",
           (long long)events, size, metrics ? " with metrics" : "", (double)events / all_s / 1e6,
           (double)bytes / all_s / 1e6, hub_s / (double)events * 1e9, (double)events / hub_s / 1e6);
    tmk_str_clear(&c.said);
    free(buffer);
    (void)close(fd);
    return 0;
}

int main(int argc, char **argv) {
    int64_t events = argc > 1 ? strtoll(argv[1], NULL, 10) : 1000000;
    uint32_t size = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 100;
    const tmk_hub_spec spec = {"hub", 1};
    const tmk_hub_key key = {"bench", "secret", TMK_HUB_ALL};
    tmk_hub_options o;
    tmk_hub *hub = NULL;
    tmk_error err;
    int result;

    tmk_hub_options_init(&o);
    o.hubs = &spec;
    o.keys = &key;
    o.key_count = 1;
    o.retention_bytes = UINT64_C(4) << 30;
    if (tmk_hub_start(&o, &hub, &err) < 0 ||
        tmk_hub_preload(hub, "hub", (uint64_t)events, size, 0, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    result = measure(hub, events, size, argc > 3);
    tmk_hub_stop(hub);
    return result;
}
