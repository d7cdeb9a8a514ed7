/*
 * Receiving: what an event costs in the client, beside a bare drain by Proton
 * (its driver over a blocking socket, nothing looked at) and a raw read of as
 * many bytes. All in one run, in turns, each on a thread of its own CPU clock;
 * trust the ratios, not the times of a busy machine.
 *
 *   bench_receive [events [body bytes [only]]]   default: 400000 of 100, 150000 of 1024;
 *                                                only: raw, proton or tidemark, for a profiler
 *
 * Instructions are counted where the kernel allows it, else see
 *   valgrind --tool=callgrind --toggle-collect=drain_tidemark bench_receive 50000 100
 */
#include <tidemark/consumer.h>
#include <tidemark/hub.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <proton/connection.h>
#include <proton/connection_driver.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/session.h>
#include <proton/terminus.h>
#include <proton/transport.h>

#include "amqp/wire.h"
#include "support/failing_alloc.h"

#define KEY "c29tZS1zZWNyZXQta2V5"

enum { CREDIT = 1000, ROUNDS = 5 };

/* ---- measuring ---- */

typedef struct cost {
    double seconds, cpu;
    int64_t instructions; /* -1: not known */
    uint64_t events, bytes;
    size_t allocations; /* after the first tenth */
} cost;

static int counter = -1;

static void open_counter(void) {
    struct perf_event_attr a = {.type = PERF_TYPE_HARDWARE,
                                .size = sizeof a,
                                .config = PERF_COUNT_HW_INSTRUCTIONS,
                                .exclude_kernel = 1,
                                .exclude_hv = 1};

    counter = (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
}

static double seconds_of(clockid_t id) {
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int64_t instructions(void) {
    int64_t value = -1;

    return counter >= 0 && read(counter, &value, sizeof value) == (ssize_t)sizeof value ? value
                                                                                        : -1;
}

static void begin(cost *c) {
    memset(c, 0, sizeof *c);
    c->instructions = instructions();
    c->seconds = seconds_of(CLOCK_MONOTONIC);
    c->cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

static void finish(cost *c) {
    c->cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID) - c->cpu;
    c->seconds = seconds_of(CLOCK_MONOTONIC) - c->seconds;
    if (c->instructions >= 0) {
        c->instructions = instructions() - c->instructions;
    }
}

static void die(const char *what, const char *why) {
    (void)fprintf(stderr, "bench_receive: %s: %s\n", what, why);
    exit(1);
}

/* ---- raw ---- */

typedef struct feeder {
    int fd;
    uint64_t bytes;
} feeder;

static void *feed(void *arg) {
    static char block[65536];
    feeder *f = arg;

    while (f->bytes > 0) {
        size_t n = f->bytes < sizeof block ? (size_t)f->bytes : sizeof block;
        ssize_t sent = send(f->fd, block, n, MSG_NOSIGNAL);

        if (sent <= 0) {
            break;
        }
        f->bytes -= (uint64_t)sent;
    }
    (void)close(f->fd);
    return NULL;
}

static cost drain_raw(uint64_t events, uint64_t bytes) {
    static char block[65536];
    pthread_t thread;
    feeder f;
    int fds[2];
    ssize_t got;
    cost c;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) {
        die("socketpair", strerror(errno));
    }
    f.fd = fds[0];
    f.bytes = bytes;
    if (pthread_create(&thread, NULL, feed, &f) != 0) {
        die("thread", "cannot be started");
    }
    begin(&c);
    while ((got = read(fds[1], block, sizeof block)) > 0) {
        c.bytes += (uint64_t)got;
    }
    c.events = events;
    finish(&c);
    (void)pthread_join(thread, NULL);
    (void)close(fds[1]);
    return c;
}

/* ---- bare Proton ---- */

static int dial(uint16_t port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        die("connect", strerror(errno));
    }
    return fd;
}

/* SASL by hand: the packaged engine offers no PLAIN, and a bare drain has no use for $cbs. */
static void authenticate(int fd) {
    static const char response[] = "\0RootManageSharedAccessKey\0" KEY;
    static const char header[] = "AMQP\x03\x01";
    tmk_str s = TMK_STR_INIT;
    tmk_frame_mark mark;
    uint8_t in[4096];
    tmk_slice rest;
    tmk_frame frame = {0};
    size_t have = 0, size = 0;

    tmk_str_add_slice(&s, tmk_slice_of(header, 8));
    mark = tmk_frame_begin(&s, 1, 0, TMK_SASL_INIT);
    tmk_wire_put_symbol(&s, TMK_LIT("PLAIN"));
    tmk_wire_put_binary(&s, tmk_slice_of(response, sizeof response - 1));
    tmk_frame_end_fields(&s, mark, 2);
    tmk_frame_end(&s, mark);
    if (send(fd, s.text, s.size, MSG_NOSIGNAL) != (ssize_t)s.size) {
        die("send", strerror(errno));
    }
    tmk_str_clear(&s);
    while (frame.code != TMK_SASL_OUTCOME) {
        ssize_t n = recv(fd, in + have, sizeof in - have, 0);

        if (n <= 0) {
            die("sasl", "the hub closed the connection");
        }
        have += (size_t)n;
        rest = tmk_slice_from(tmk_slice_of(in, have), 8);
        while (tmk_frame_take(rest, sizeof in, &size, &frame, NULL) == TMK_OK) {
            rest = tmk_slice_from(rest, size);
        }
    }
}

static void put_filter(pn_link_t *link) {
    static const char name[] = "apache.org:selector-filter:string";
    static const char text[] = "amqp.annotation.x-opt-offset > '-1'";
    pn_data_t *d = pn_terminus_filter(pn_link_source(link));

    pn_data_put_map(d);
    pn_data_enter(d);
    pn_data_put_symbol(d, pn_bytes(sizeof name - 1, name));
    pn_data_put_described(d);
    pn_data_enter(d);
    pn_data_put_ulong(d, UINT64_C(0x0000468C00000004));
    pn_data_put_string(d, pn_bytes(sizeof text - 1, text));
    pn_data_exit(d);
    pn_data_exit(d);
}

static pn_link_t *open_proton(pn_connection_driver_t *d) {
    pn_session_t *session;
    pn_link_t *link;

    if (pn_connection_driver_init(d, NULL, NULL) != 0) {
        die("proton", "no driver");
    }
    pn_transport_set_max_frame(d->transport, 65536);
    pn_connection_set_container(d->connection, "bench");
    pn_connection_set_hostname(d->connection, "localhost");
    pn_connection_open(d->connection);
    session = pn_session(d->connection);
    pn_session_open(session);
    link = pn_receiver(session, "bench");
    pn_terminus_set_address(pn_link_source(link), "hub/ConsumerGroups/$Default/Partitions/0");
    put_filter(link);
    pn_link_open(link);
    pn_link_flow(link, CREDIT);
    return link;
}

static void on_delivery(cost *c, pn_link_t *link, pn_delivery_t *d) {
    static char scratch[65536];
    ssize_t got = pn_link_recv(link, scratch, sizeof scratch);

    c->bytes += got > 0 ? (uint64_t)got : 0;
    if (!pn_delivery_partial(d)) {
        if (!pn_delivery_settled(d)) {
            pn_delivery_update(d, PN_ACCEPTED);
        }
        pn_link_advance(link);
        pn_delivery_settle(d);
        c->events++;
    }
}

static void proton_events(pn_connection_driver_t *d, pn_link_t *link, cost *c) {
    pn_event_t *e;

    while ((e = pn_connection_driver_next_event(d)) != NULL) {
        if (pn_event_type(e) == PN_DELIVERY) {
            on_delivery(c, link, pn_event_delivery(e));
        } else if (pn_event_type(e) == PN_TRANSPORT_CLOSED) {
            die("proton", "the hub closed the connection");
        }
    }
    if (pn_link_credit(link) < CREDIT * 3 / 4) {
        pn_link_flow(link, CREDIT - pn_link_credit(link));
    }
}

static void proton_write(pn_connection_driver_t *d, int fd) {
    pn_bytes_t out;

    while ((out = pn_connection_driver_write_buffer(d)).size > 0) {
        ssize_t n = send(fd, out.start, out.size, MSG_NOSIGNAL);

        if (n <= 0) {
            die("send", strerror(errno));
        }
        pn_connection_driver_write_done(d, (size_t)n);
    }
}

static void proton_read(pn_connection_driver_t *d, int fd) {
    pn_rwbytes_t room = pn_connection_driver_read_buffer_sized(d, 65536);
    ssize_t n;

    if (room.size == 0) {
        room = pn_connection_driver_read_buffer(d);
    }
    n = recv(fd, room.start, room.size, 0);
    if (n <= 0) {
        die("recv", n == 0 ? "closed" : strerror(errno));
    }
    pn_connection_driver_read_done(d, (size_t)n);
}

static cost drain_proton(uint16_t port, uint64_t events) {
    pn_connection_driver_t d;
    pn_link_t *link = open_proton(&d);
    int fd = dial(port);
    cost c;

    authenticate(fd);
    begin(&c);
    while (c.events < events) {
        proton_write(&d, fd);
        proton_read(&d, fd);
        proton_events(&d, link, &c);
    }
    finish(&c);
    (void)close(fd);
    pn_connection_driver_destroy(&d);
    return c;
}

/* ---- the client ---- */

static void on_events(void *user, tmk_received *got) {
    cost *c = user;
    size_t count = tmk_received_count(got);

    for (size_t i = 0; i < count; i++) {
        c->bytes += tmk_event_body(tmk_received_event(got, i)).size;
    }
    c->events += count;
    got = tmk_received_free(got);
}

static void on_ended(void *user, const tmk_error *why) {
    (void)user;
    die("consumer", why->text);
}

__attribute__((noinline)) static void drain_tidemark(tmk_client *client, cost *c, uint64_t events) {
    bool warm = false;

    begin(c);
    while (c->events < events) {
        if (tmk_client_poll(client, 1000, NULL) < 0) {
            die("client", "poll");
        }
        if (!warm && c->events > events / 10) {
            warm = true;
            failing_after(FAILING_ONCE, SIZE_MAX - 2); /* counts from here */
        }
    }
    c->allocations = failing_calls();
    finish(c);
}

static cost drain_client(const char *string, uint64_t events) {
    tmk_client_options o;
    tmk_consumer_options co;
    tmk_client *client = NULL;
    tmk_consumer *consumer = NULL;
    tmk_error err;
    cost c = {0};

    tmk_client_options_init(&o);
    o.connection_string = string;
    o.hub = "hub";
    o.caller_driven = true;
    tmk_consumer_options_init(&co);
    co.partition = "0";
    co.start = tmk_start_earliest();
    co.prefetch = CREDIT;
    co.on_events = on_events;
    co.on_ended = on_ended;
    co.user = &c;
    if (tmk_client_new(&o, &client, &err) < 0 ||
        tmk_consumer_new(client, &co, &consumer, &err) < 0) {
        die("client", err.text);
    }
    drain_tidemark(client, &c, events);
    consumer = tmk_consumer_free(consumer);
    client = tmk_client_free(client);
    return c;
}

/* ---- telling ---- */

static void keep_best(cost *best, const cost *c) {
    if (best->events == 0 || c->cpu < best->cpu) {
        *best = *c;
    }
}

static void tell(const char *name, const cost *c, const cost *floor_) {
    (void)printf("%-10s %9.0f events/s  %6.3f CPU s per million", name,
                 (double)c->events / c->seconds, c->cpu * 1e6 / (double)c->events);
    if (c->instructions > 0) {
        (void)printf("  %6.0f instructions each", (double)c->instructions / (double)c->events);
    }
    if (floor_ != NULL) {
        (void)printf("  %5.2f x bare",
                     (c->cpu / (double)c->events) / (floor_->cpu / (double)floor_->events));
    }
    (void)printf("\n");
}

static bool wanted(const char *only, const char *name) {
    return only == NULL || strcmp(only, name) == 0;
}

static double bench(uint64_t events, uint32_t body, const char *only) {
    const tmk_hub_spec spec = {"hub", 1};
    tmk_hub_options o;
    tmk_hub *hub = NULL;
    tmk_error err;
    cost raw = {0}, proton = {0}, client = {0};

    tmk_hub_options_init(&o);
    o.hubs = &spec;
    o.hub_count = 1;
    o.key = KEY;
    o.retention_bytes = UINT64_C(4) << 30;
    if (tmk_hub_start(&o, &hub, &err) < 0 ||
        tmk_hub_preload(hub, "hub", events, body, 0, &err) < 0) {
        die("hub", err.text);
    }
    for (int i = 0; i < ROUNDS; i++) {
        cost c;

        if (wanted(only, "proton")) {
            c = drain_proton(tmk_hub_port(hub, TMK_HUB_DOOR_AMQP), events);
            keep_best(&proton, &c);
        }
        if (wanted(only, "tidemark")) {
            c = drain_client(tmk_hub_connection_string(hub), events);
            keep_best(&client, &c);
        }
        if (wanted(only, "raw")) {
            c = drain_raw(events, events * (body + 150));
            keep_best(&raw, &c);
        }
    }
    (void)printf("%llu events with %u bytes of body, credit %d, best of %d\n",
                 (unsigned long long)events, body, CREDIT, ROUNDS);
    tell("raw", &raw, &proton);
    tell("proton", &proton, NULL);
    tell("tidemark", &client, &proton);
    (void)printf("allocations after the first tenth: %zu in %llu events\n", client.allocations,
                 (unsigned long long)(events - events / 10));
    hub = tmk_hub_stop(hub);
    return (client.cpu / (double)client.events) / (proton.cpu / (double)proton.events);
}

int main(int argc, char **argv) {
    double worst;

    failing_count();
    open_counter();
    if (argc > 1) {
        worst = bench(strtoull(argv[1], NULL, 10), argc > 2 ? (uint32_t)atoi(argv[2]) : 100,
                      argc > 3 ? argv[3] : NULL);
    } else {
        double small = bench(400000, 100, NULL), large = bench(150000, 1024, NULL);

        worst = small > large ? small : large;
    }
    (void)printf("worst ratio %.2f (goal 1.25)\n", worst);
    return 0;
}
