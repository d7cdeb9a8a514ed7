/* The hub's process, and the readers without an engine. See feed.h. */
#include "bench/feed.h"

#include <tidemark/hub.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "amqp/bytes.h"
#include "amqp/gate_inner.h"
#include "amqp/scan.h"
#include "support/hub_client.h"

#define KEY "c29tZS1zZWNyZXQta2V5"

/* ---- the hub ---- */

static void serve(const feed *f, int tell_fd, int stop_fd) {
    const tmk_hub_spec spec = {"hub", f->partitions};
    tmk_hub_options o;
    tmk_hub *hub = NULL;
    tmk_error err;
    char end;

    tmk_hub_options_init(&o);
    o.hubs = &spec;
    o.hub_count = 1;
    o.key = KEY;
    o.unsettled = f->unsettled;
    o.retention_bytes = UINT64_C(4) << 30;
    if (tmk_hub_start(&o, &hub, &err) < 0 ||
        tmk_hub_preload(hub, "hub", f->events, f->body_size, 0, &err) < 0) {
        die("hub", err.text);
    }
    (void)dprintf(tell_fd, "%u %s", tmk_hub_port(hub, TMK_HUB_DOOR_AMQP),
                  tmk_hub_connection_string(hub));
    (void)close(tell_fd);
    while (read(stop_fd, &end, 1) < 0 && errno == EINTR) {
    }
    (void)tmk_hub_stop(hub);
    _exit(0);
}

static void hear_hub(feed *f, int fd) {
    char text[600];
    size_t have = 0;
    ssize_t n;
    int at = 0;

    while ((n = read(fd, text + have, sizeof text - 1 - have)) > 0) {
        have += (size_t)n;
    }
    text[have] = '\0';
    if (sscanf(text, "%hu %n", &f->port, &at) != 1 ||
        (size_t)snprintf(f->connection_string, sizeof f->connection_string, "%s", text + at) >=
            sizeof f->connection_string) {
        die("hub", "did not start");
    }
}

void feed_start(feed *f) {
    int said[2], stop[2];

    if (pipe(said) != 0 || pipe(stop) != 0 || (f->child = fork()) < 0) {
        die("fork", strerror(errno));
    }
    if (f->child == 0) {
        (void)close(said[0]);
        (void)close(stop[1]);
        serve(f, said[1], stop[0]);
    }
    (void)close(said[1]);
    (void)close(stop[0]);
    hear_hub(f, said[0]);
    (void)close(said[0]);
    f->stop_fd = stop[1];
}

void feed_stop(feed *f) {
    (void)close(f->stop_fd);
    (void)waitpid(f->child, NULL, 0);
}

static void recv_all(int fd, uint8_t *into, size_t size) {
    if (recv(fd, into, size, MSG_WAITALL) != (ssize_t)size) {
        die("sasl", "the hub closed the connection");
    }
}

/* Mechanisms and outcome, behind the header. */
static void skip_sasl(int fd) {
    uint8_t bytes[4096];

    recv_all(fd, bytes, 8);
    for (int i = 0; i < 2; i++) {
        recv_all(fd, bytes, 4);
        recv_all(fd, bytes + 4, (tmk_load32(bytes) & 4095) - 4);
    }
}

static void send_said(hub_client *say, int fd) {
    if (send(fd, say->said.text, say->said.size, MSG_NOSIGNAL) != (ssize_t)say->said.size) {
        die("send", strerror(errno));
    }
    tmk_str_clear(&say->said);
}

int feed_dial(const feed *f) {
    hub_client say = {.frame_max = READ_SIZE};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(f->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        die("connect", strerror(errno));
    }
    say_header(&say, 3);
    say_init(&say, "PLAIN", TMK_LIT("\0RootManageSharedAccessKey\0" KEY));
    send_said(&say, fd);
    skip_sasl(fd);
    return fd;
}

/* ---- a reader without an engine: opens everything by hand, grants all at once ---- */

typedef struct reader {
    int fd;
    uint8_t in[2 * READ_SIZE];
    size_t have;
    uint64_t events, bytes;
} reader;

static void read_more(reader *r) {
    ssize_t n = recv(r->fd, r->in + r->have, READ_SIZE, 0);

    if (n <= 0) {
        die("recv", n == 0 ? "the hub closed the connection" : strerror(errno));
    }
    r->have += (size_t)n;
    r->bytes += (size_t)n;
}

static void forget(reader *r, size_t count) {
    r->have -= count;
    memmove(r->in, r->in + count, r->have);
}

/* The next answer, whatever it is, of `count` frames; or a protocol header. */
static void skip_header(reader *r) {
    while (r->have < 8) {
        read_more(r);
    }
    forget(r, 8);
}

static void skip_frames(reader *r, uint32_t count) {
    while (count > 0) {
        if (r->have < 4 || r->have < tmk_load32(r->in)) {
            read_more(r);
            continue;
        }
        forget(r, tmk_load32(r->in));
        count--;
    }
}

static void open_reader(reader *r, const feed *f) {
    hub_client say = {.frame_max = READ_SIZE};
    char address[80];

    memset(r, 0, sizeof *r);
    r->fd = feed_dial(f);
    say_header(&say, 0);
    say_open(&say, READ_SIZE, 0);
    for (uint16_t p = 0; p < f->partitions; p++) {
        const say_link l = {p, 0, address, "amqp.annotation.x-opt-offset > '-1'", -1, false, NULL};

        (void)snprintf(address, sizeof address, "hub/ConsumerGroups/$Default/Partitions/%u", p);
        say_begin(&say, p, INT32_MAX);
        say_receiver(&say, &l);
    }
    send_said(&say, r->fd);
    skip_header(r);
    skip_frames(r, 1 + 2 * f->partitions);
    r->bytes = 0;
    for (uint16_t p = 0; p < f->partitions; p++) {
        say_flow(&say, p, 1, INT32_MAX, 0, 0, (uint32_t)(f->events / f->partitions), false);
    }
    send_said(&say, r->fd);
}

static void raw_turn(void *self) {
    reader *r = self;

    r->have = 0;
    read_more(r);
}

cost drain_raw(const feed *f, uint64_t bytes) {
    static reader r;
    const drain d = {raw_turn, &r, &r.bytes};
    cost c;

    open_reader(&r, f);
    c = measure(&d, bytes / 4, bytes / 4 * 3);
    c.events = f->events * c.events / bytes;
    (void)close(r.fd);
    return c;
}

static void scan_frame(reader *r, tmk_slice body) {
    gate_transfer t;
    tmk_event_parts parts;
    size_t head;

    if (!tmk_gate_take_transfer(body, &t, &head) ||
        !tmk_scan_event(tmk_slice_from(body, head), &parts) || parts.marks.sequence < 0) {
        die("scan", "a frame that is no event");
    }
    r->events++;
}

static void scan_turn(void *self) {
    reader *r = self;
    size_t at = 0;

    read_more(r);
    while (r->have - at >= 8 && r->have - at >= tmk_load32(r->in + at)) {
        size_t size = tmk_load32(r->in + at);

        scan_frame(r, tmk_slice_of(r->in + at + 8, size - 8));
        at += size;
    }
    forget(r, at);
}

cost drain_scan(const feed *f, uint64_t *bytes) {
    static reader r;
    const drain d = {scan_turn, &r, &r.events};
    cost c;

    open_reader(&r, f);
    c = measure(&d, f->events / 4, f->events / 4 * 3);
    *bytes = r.bytes;
    (void)close(r.fd);
    return c;
}
