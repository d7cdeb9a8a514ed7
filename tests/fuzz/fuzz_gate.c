/*
 * A hostile server against the gate with a real Proton behind it. The first
 * byte says how far the connection has come before the attack, and whether receivers have data
 * lanes; then follow steps: raw bytes, frames with any fields, good frames in any order, and what
 * the client does meanwhile. Oracles: Proton does not abort, makes no session or
 * link that we did not open, and is given no more deliveries than it allowed.
 */
#include "support/gate_client.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

typedef struct attack {
    gate_client client;
    const uint8_t *at, *end;
    uint32_t next_id[256]; /* of deliveries, by channel */
    unsigned receivers;
    int64_t now_ms;
    size_t step;
} attack;

static uint8_t byte(attack *a) {
    return a->at < a->end ? *a->at++ : 0;
}

static tmk_slice bytes(attack *a, size_t size) {
    size_t left = (size_t)(a->end - a->at);
    tmk_slice s = tmk_slice_of(a->at, size < left ? size : left);

    a->at += s.size;
    return s;
}

static void any_frame(attack *a, tmk_str *s) {
    static const uint8_t codes[] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
                                    0x18, 0x14, 0x13, 0x40, 0x43, 0x44, 0x19, 0x00};
    uint8_t code = codes[byte(a) % sizeof codes];
    uint8_t channel = byte(a);
    uint8_t count = byte(a);
    tmk_slice fields = bytes(a, byte(a));

    server_frame(s, code >= 0x40, channel, code, fields, count, bytes(a, byte(a) % 64));
}

static void good_frame(attack *a, tmk_str *s) {
    uint8_t kind = byte(a), channel = byte(a), number = byte(a);
    char name[8];

    (void)snprintf(name, sizeof name, "%c%u", (number & 1) != 0 ? 's' : 'r', number % 8U);
    switch (kind % 12) {
    case 0:
        server_begin(s, channel, number);
        break;
    case 1:
        server_attach(s, channel, name, number / 16U, (number & 1) != 0, "x");
        break;
    case 2:
    case 3:
        server_transfer(s, channel, number / 16U, a->next_id[channel]++, kind >= 128,
                        TMK_LIT("\x00\x53\x75\xa0\x03"
                                "abc"));
        break;
    case 4:
        server_more(s, channel, number, kind >= 128, TMK_LIT("more"));
        break;
    case 5:
        server_flow(s, channel, number / 16U, number % 16U, kind);
        break;
    case 6:
        server_accept(s, channel, number / 16U, number % 16U);
        break;
    case 7:
        server_detach(s, channel, number, kind >= 128 ? "amqp:link:stolen" : NULL);
        break;
    case 8:
        server_end(s, channel);
        break;
    case 9:
        server_close(s, kind >= 128 ? "amqp:connection:forced" : NULL);
        break;
    case 10:
        tmk_frame_put_empty(s);
        break;
    default:
        server_outcome(s, number % 3);
    }
}

static void act(attack *a) {
    gate_client *c = &a->client;
    uint8_t what = byte(a);

    switch (what % 8) {
    case 0:
        if (c->receiver != NULL) {
            pn_link_close(c->receiver);
        }
        break;
    case 1: /* lets go of it at once */
        if (c->receiver != NULL) {
            gate_client_drop(c, pn_link_session(c->receiver));
        }
        break;
    case 2:
        if (a->receivers < 20 && c->receiver == NULL) {
            gate_client_receive(c);
            a->receivers++;
        }
        break;
    case 3:
        gate_client_send(c, TMK_LIT("message"), (what & 8) != 0 ? "B" : "e");
        break;
    case 4:
        pn_connection_close(c->driver.connection);
        break;
    case 5:
        if (c->sender != NULL) {
            pn_link_close(c->sender);
        }
        break;
    case 6:
        a->now_ms += what * 100;
        (void)pn_transport_tick(c->driver.transport, a->now_ms);
        break;
    default:
        if (c->receiver != NULL && !c->laned) {
            pn_link_drain(c->receiver, 0);
        }
    }
    gate_client_turn(c);
}

static void step(attack *a) {
    tmk_str s = TMK_STR_INIT;

    switch (byte(a) % 8) {
    case 0:
        act(a);
        break;
    case 1:
    case 2:
        tmk_str_add_slice(&s, bytes(a, byte(a)));
        break;
    case 3:
    case 4:
        any_frame(a, &s);
        break;
    default:
        good_frame(a, &s);
    }
    gate_client_hear_str(&a->client, &s, a->step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    attack a = {.at = data, .end = data + size, .receivers = 1, .now_ms = 1};
    uint8_t mode = byte(&a);
    bool laned;

    laned = (mode & 4) != 0;
    a.step = (mode & 0x10) != 0 ? 1 + mode / 32U : 0;
    if (mode % 4 == 0) {
        gate_client_start_as(&a.client, laned);
        gate_client_turn(&a.client);
    } else {
        gate_client_open_as(&a.client, laned, 0, (mode & 8) != 0 ? 7 : 0);
    }
    if (mode % 4 >= 2) {
        gate_client_link(&a.client, 0);
    }
    while (a.at < a.end && a.client.status == TMK_OK) {
        step(&a);
    }
    tmk_assert(a.client.status == TMK_OK || a.client.status == TMK_EPROTO);
    tmk_assert(a.client.strangers == 0);
    tmk_assert(a.client.deliveries <= a.receivers * GATE_CLIENT_CREDIT);
    gate_client_end(&a.client);
    return 0;
}
