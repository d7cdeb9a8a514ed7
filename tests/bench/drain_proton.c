/* The bare drain by Proton: its driver over a blocking socket. See feed.h. */
#include "bench/feed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <proton/connection.h>
#include <proton/connection_driver.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/session.h>
#include <proton/terminus.h>
#include <proton/transport.h>

typedef struct reader {
    pn_connection_driver_t driver;
    pn_link_t *links[PARTITIONS_MAX];
    uint32_t partitions;
    int fd;
    uint64_t events;
} reader;

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

static pn_link_t *open_link(pn_connection_t *connection, uint32_t partition) {
    pn_session_t *session = pn_session(connection);
    char address[80], name[24];
    pn_link_t *link;

    (void)snprintf(address, sizeof address, "hub/ConsumerGroups/$Default/Partitions/%u", partition);
    (void)snprintf(name, sizeof name, "bench-%u", partition);
    pn_session_open(session);
    link = pn_receiver(session, name);
    pn_terminus_set_address(pn_link_source(link), address);
    put_filter(link);
    pn_link_open(link);
    pn_link_flow(link, CREDIT);
    return link;
}

static void open_reader(reader *r, const feed *f) {
    memset(r, 0, sizeof *r);
    r->partitions = f->partitions;
    r->fd = feed_dial(f);
    if (pn_connection_driver_init(&r->driver, NULL, NULL) != 0) {
        die("proton", "no driver");
    }
    pn_transport_set_max_frame(r->driver.transport, READ_SIZE);
    pn_connection_set_container(r->driver.connection, "bench");
    pn_connection_set_hostname(r->driver.connection, "localhost");
    pn_connection_open(r->driver.connection);
    for (uint32_t p = 0; p < f->partitions; p++) {
        r->links[p] = open_link(r->driver.connection, p);
    }
}

static void on_delivery(reader *r, pn_delivery_t *d) {
    static char scratch[READ_SIZE];
    pn_link_t *link = pn_delivery_link(d);

    (void)pn_link_recv(link, scratch, sizeof scratch);
    if (!pn_delivery_partial(d)) {
        if (!pn_delivery_settled(d)) {
            pn_delivery_update(d, PN_ACCEPTED);
        }
        pn_link_advance(link);
        pn_delivery_settle(d);
        r->events++;
    }
}

static void handle_events(reader *r) {
    pn_event_t *e;

    while ((e = pn_connection_driver_next_event(&r->driver)) != NULL) {
        if (pn_event_type(e) == PN_DELIVERY) {
            on_delivery(r, pn_event_delivery(e));
        } else if (pn_event_type(e) == PN_TRANSPORT_CLOSED) {
            die("proton", "the hub closed the connection");
        }
    }
    for (uint32_t p = 0; p < r->partitions; p++) {
        if (pn_link_credit(r->links[p]) < CREDIT * 3 / 4) {
            pn_link_flow(r->links[p], CREDIT - pn_link_credit(r->links[p]));
        }
    }
}

static void write_all(reader *r) {
    pn_bytes_t out;

    while ((out = pn_connection_driver_write_buffer(&r->driver)).size > 0) {
        ssize_t n = send(r->fd, out.start, out.size, MSG_NOSIGNAL);

        if (n <= 0) {
            die("send", strerror(errno));
        }
        pn_connection_driver_write_done(&r->driver, (size_t)n);
    }
}

static void read_once(reader *r) {
    pn_rwbytes_t room = pn_connection_driver_read_buffer_sized(&r->driver, READ_SIZE);
    ssize_t n;

    if (room.size == 0) {
        room = pn_connection_driver_read_buffer(&r->driver);
    }
    n = recv(r->fd, room.start, room.size, 0);
    if (n <= 0) {
        die("recv", n == 0 ? "closed" : strerror(errno));
    }
    pn_connection_driver_read_done(&r->driver, (size_t)n);
}

static void turn(void *self) {
    reader *r = self;

    write_all(r);
    read_once(r);
    handle_events(r);
}

cost drain_proton(const feed *f) {
    static reader r;
    const drain d = {turn, &r, &r.events};
    cost c;

    open_reader(&r, f);
    c = measure(&d, f->events / 4, f->events / 4 * 3);
    (void)close(r.fd);
    pn_connection_driver_destroy(&r.driver);
    return c;
}
