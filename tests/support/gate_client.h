/*
 * A small client of Proton behind the gate: opens a session with a receiver and
 * one with a sender, takes what comes, sends what it is told to. What the
 * server says is given to it as bytes; what it says is collected.
 */
#ifndef TMK_TESTS_GATE_CLIENT_H
#define TMK_TESTS_GATE_CLIENT_H

#include <proton/connection_driver.h>
#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/event.h>
#include <proton/link.h>
#include <proton/sasl.h>
#include <proton/session.h>
#include <proton/terminus.h>
#include <proton/transport.h>

#include <stdio.h>
#include <stdlib.h>

#include "amqp/gate.h"
#include "support/server_frames.h"

enum { GATE_CLIENT_FRAME_MAX = 65536, GATE_CLIENT_CREDIT = 10, GATE_CLIENT_LANES = 32 };

typedef struct gate_client {
    pn_connection_driver_t driver;
    tmk_gate *gate;
    pn_link_t *receiver, *sender; /* NULL once freed */
    tmk_str sent;                 /* what the server would have received */
    tmk_str waiting;              /* received, and not yet taken by the gate */
    tmk_status status;
    tmk_error err;
    unsigned links_made;
    /* What the application saw. */
    unsigned deliveries, accepted, remote_opens, remote_closes, strangers;
    size_t bytes;
    bool laned; /* receivers have data lanes */
    tmk_data_lane lanes[GATE_CLIENT_LANES];
    tmk_data_lane *lane; /* the receiver's */
    size_t out_limit;    /* how much of Proton's buffer the gate is shown at once; 0: all */
} gate_client;

static inline pn_session_t *gate_client_session(gate_client *c) {
    pn_session_t *s = pn_session(c->driver.connection);

    pn_session_open(s);
    return s;
}

static inline void gate_client_on_frame(void *user, tmk_slice payload, tmk_lane_part part) {
    gate_client *c = user;

    c->bytes += payload.size;
    c->deliveries += part == TMK_LANE_LAST;
}

static inline void gate_client_receive(gate_client *c) {
    const tmk_slice asks[] = {TMK_LIT("com.microsoft:georeplication"), TMK_LIT("second")};
    char name[32];

    (void)snprintf(name, sizeof name, "r%u", c->links_made);
    if (c->laned) {
        c->lane = &c->lanes[c->links_made % GATE_CLIENT_LANES];
        *c->lane = (tmk_data_lane){.frame = gate_client_on_frame, .user = c};
    }
    c->links_made++;
    c->status = tmk_gate_ask(c->gate, tmk_slice_str(name), asks, 2, c->lane, &c->err);
    c->receiver = pn_receiver(gate_client_session(c), name);
    pn_terminus_set_address(pn_link_source(c->receiver), "hub/ConsumerGroups/g/Partitions/0");
    pn_link_open(c->receiver);
    if (c->laned) {
        tmk_lane_grant(c->lane, GATE_CLIENT_CREDIT);
    } else {
        pn_link_flow(c->receiver, GATE_CLIENT_CREDIT);
    }
}

/* The link is not the receiver any more, whatever becomes of it. */
static inline void gate_client_let_go(gate_client *c) {
    if (c->lane != NULL) {
        tmk_lane_close(c->lane);
    }
    c->lane = NULL;
    c->receiver = NULL;
}

static inline void gate_client_sender(gate_client *c) {
    char name[32];

    (void)snprintf(name, sizeof name, "s%u", c->links_made++);
    c->sender = pn_sender(gate_client_session(c), name);
    pn_terminus_set_address(pn_link_target(c->sender), "hub");
    pn_link_open(c->sender);
}

static inline void gate_client_start_as(gate_client *c, bool laned) {
    const tmk_gate_options opts = {
        .sasl = true, .frame_max = GATE_CLIENT_FRAME_MAX, .message_max = 1 << 20};

    memset(c, 0, sizeof *c);
    c->laned = laned;
    if (pn_connection_driver_init(&c->driver, NULL, NULL) != 0 ||
        tmk_gate_new(&opts, &c->gate, &c->err) < 0) {
        abort();
    }
    pn_connection_set_container(c->driver.connection, "client");
    pn_connection_set_hostname(c->driver.connection, "ns.example");
    pn_sasl_allowed_mechs(pn_sasl(c->driver.transport), "ANONYMOUS");
    pn_transport_set_max_frame(c->driver.transport, GATE_CLIENT_FRAME_MAX);
    pn_transport_set_idle_timeout(c->driver.transport, 60000);
    pn_connection_open(c->driver.connection);
    gate_client_receive(c);
    gate_client_sender(c);
}

static inline void gate_client_start(gate_client *c) {
    gate_client_start_as(c, false);
}

static inline void gate_client_send(gate_client *c, tmk_slice message, const char *tag) {
    if (c->sender != NULL && (pn_link_state(c->sender) & PN_LOCAL_ACTIVE) != 0) {
        pn_delivery(c->sender, pn_dtag(tag, strlen(tag)));
        pn_link_send(c->sender, (const char *)message.bytes, message.size);
        pn_link_advance(c->sender);
    }
}

/* Frees a session and its links, once: events about them may still come. */
static inline void gate_client_drop(gate_client *c, pn_session_t *session) {
    if (c->receiver != NULL && pn_link_session(c->receiver) == session) {
        gate_client_let_go(c);
    }
    if (c->sender != NULL && pn_link_session(c->sender) == session) {
        c->sender = NULL;
    }
    if (pn_session_get_context(session) == NULL) {
        pn_session_set_context(session, c);
        pn_session_close(session);
        pn_session_free(session);
    }
}

static inline void gate_client_delivery(gate_client *c, pn_delivery_t *d) {
    pn_link_t *link = pn_delivery_link(d);
    char bytes[4096];
    ssize_t n;

    if (pn_link_is_sender(link)) {
        if (pn_delivery_updated(d) && pn_delivery_settled(d)) {
            c->accepted += pn_delivery_remote_state(d) == PN_ACCEPTED;
            pn_delivery_settle(d);
        }
        return;
    }
    while (pn_delivery_readable(d) && (n = pn_link_recv(link, bytes, sizeof bytes)) > 0) {
        c->bytes += (size_t)n;
    }
    if (!pn_delivery_partial(d) && pn_delivery_readable(d)) {
        c->deliveries += !pn_delivery_aborted(d);
        pn_link_advance(link);
        pn_delivery_update(d, PN_ACCEPTED);
        pn_delivery_settle(d);
    }
}

static inline void gate_client_events(gate_client *c) {
    pn_event_t *e;

    while ((e = pn_connection_driver_next_event(&c->driver)) != NULL) {
        switch (pn_event_type(e)) {
        case PN_DELIVERY:
            gate_client_delivery(c, pn_event_delivery(e));
            break;
        case PN_LINK_REMOTE_OPEN:
            c->remote_opens++;
            c->strangers += pn_event_link(e) != c->receiver && pn_event_link(e) != c->sender;
            break;
        case PN_LINK_REMOTE_CLOSE:
        case PN_LINK_REMOTE_DETACH:
            c->remote_closes++;
            if (pn_session_get_context(pn_event_session(e)) == NULL) {
                pn_link_close(pn_event_link(e));
            }
            break;
        case PN_SESSION_REMOTE_OPEN:
            c->strangers += (pn_session_state(pn_event_session(e)) & PN_LOCAL_UNINIT) != 0;
            break;
        case PN_SESSION_REMOTE_CLOSE:
            gate_client_drop(c, pn_event_session(e));
            break;
        case PN_CONNECTION_REMOTE_CLOSE:
            pn_connection_close(pn_event_connection(e));
            break;
        default:
            break;
        }
    }
}

static inline void gate_client_write(gate_client *c) {
    while (c->status >= 0) {
        pn_bytes_t out = pn_connection_driver_write_buffer(&c->driver);
        size_t shown = c->out_limit > 0 && c->out_limit < out.size ? c->out_limit : out.size;
        tmk_slice send;
        size_t taken;

        c->status = tmk_gate_out(c->gate, tmk_slice_of(out.start, shown), &taken, &send, &c->err);
        if (c->status < 0 || (taken == 0 && send.size == 0)) {
            return;
        }
        tmk_str_add_slice(&c->sent, send);
        pn_connection_driver_write_done(&c->driver, taken);
    }
}

static inline void gate_client_pass(gate_client *c, tmk_slice bytes) {
    while (bytes.size > 0 && !pn_connection_driver_read_closed(&c->driver)) {
        pn_rwbytes_t room = pn_connection_driver_read_buffer(&c->driver);
        size_t size = room.size < bytes.size ? room.size : bytes.size;

        if (size == 0) {
            return;
        }
        memcpy(room.start, bytes.bytes, size);
        pn_connection_driver_read_done(&c->driver, size);
        bytes = tmk_slice_from(bytes, size);
        gate_client_events(c);
    }
}

/* Lets the client do what it can. */
static inline void gate_client_turn(gate_client *c) {
    gate_client_events(c);
    gate_client_write(c);
    gate_client_events(c);
}

/* The server says this. */
static inline void gate_client_hear(gate_client *c, tmk_slice bytes) {
    size_t at = 0;

    tmk_str_add_slice(&c->waiting, bytes);
    while (c->status >= 0) {
        tmk_slice pass = {NULL, 0};
        size_t taken = 0;

        c->status = tmk_gate_in(c->gate, tmk_slice_from(tmk_str_slice(&c->waiting), at), &taken,
                                &pass, &c->err);
        if (c->status != TMK_OK) {
            break;
        }
        at += taken;
        gate_client_pass(c, pass);
        gate_client_turn(c);
    }
    if (c->status == TMK_AGAIN) {
        c->status = TMK_OK;
    }
    if (at > 0) {
        memmove(c->waiting.text, c->waiting.text + at, c->waiting.size - at);
        c->waiting.size -= at;
    }
}

/* Says it `step` bytes at a time (0: at once), and forgets it. */
static inline void gate_client_hear_str(gate_client *c, tmk_str *s, size_t step) {
    step = step == 0 ? s->size : step;
    for (size_t at = 0; at < s->size; at += step) {
        gate_client_hear(c, tmk_slice_of(s->text + at, s->size - at < step ? s->size - at : step));
    }
    tmk_str_clear(s);
}

/* Starts it and answers until the connection is open; links are not answered. */
static inline void gate_client_open_as(gate_client *c, bool laned, size_t step, size_t out_limit) {
    tmk_str s = TMK_STR_INIT;

    gate_client_start_as(c, laned);
    c->out_limit = out_limit;
    gate_client_turn(c);
    server_mechanisms(&s);
    gate_client_hear_str(c, &s, step);
    server_outcome(&s, 0);
    server_header(&s, 0);
    server_open(&s, 65536, 4999, 240000);
    gate_client_hear_str(c, &s, step);
}

static inline void gate_client_open(gate_client *c, size_t step, size_t out_limit) {
    gate_client_open_as(c, false, step, out_limit);
}

/* And then, until both links stand: the server's handles are 0 on its channels 0 and 1. */
static inline void gate_client_link(gate_client *c, size_t step) {
    tmk_str s = TMK_STR_INIT;

    server_begin(&s, 0, 0);
    server_begin(&s, 1, 1);
    server_attach(&s, 0, "r0", 0, false, "com.microsoft:georeplication");
    server_attach(&s, 1, "s1", 0, true, NULL);
    server_flow(&s, 1, 0, 0, 100);
    gate_client_hear_str(c, &s, step);
}

static inline void gate_client_end(gate_client *c) {
    pn_connection_driver_close(&c->driver);
    gate_client_events(c);
    pn_connection_driver_destroy(&c->driver);
    if (c->lane != NULL) {
        tmk_lane_close(c->lane);
    }
    c->gate = tmk_gate_free(c->gate);
    tmk_str_clear(&c->sent);
    tmk_str_clear(&c->waiting);
}

#endif
