/*
 * The same frames for two clients, one whose receiver has a data lane and one
 * without: both must see the same messages and refuse the same frames. The
 * first byte says how the bytes are cut; then follow frames of a server that
 * keeps to the rules now and then.
 */
#include "support/gate_client.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

typedef struct input {
    const uint8_t *at, *end;
    uint32_t id; /* of the next delivery */
} input;

static uint8_t byte(input *in) {
    return in->at < in->end ? *in->at++ : 0;
}

/* Any flags and order of a transfer; `wild` bits leave the rules. */
static void put_transfer(input *in, tmk_str *s) {
    static const uint8_t content[300];
    uint8_t flags = byte(in), wild = byte(in);
    bool first = (flags & 1) != 0;
    tmk_frame_mark m = tmk_frame_begin(s, 0, (wild & 0x40) != 0 ? byte(in) : 0, TMK_AMQP_TRANSFER);

    tmk_wire_put_uint(s, (wild & 0x80) != 0 ? byte(in) : 0);
    if (first) {
        tmk_wire_put_uint(s, in->id);
        tmk_wire_put_binary(s, tmk_slice_of(content, 1 + wild % 4U * 11));
        in->id += (wild & 0x20) != 0 ? byte(in) : 1;
    } else {
        tmk_wire_null(s);
        tmk_wire_null(s);
    }
    tmk_wire_null(s);
    if ((flags & 2) != 0) {
        tmk_wire_put_bool(s, (flags & 4) != 0);
    } else {
        tmk_wire_null(s);
    }
    tmk_wire_put_bool(s, (flags & 8) != 0);
    for (int i = 0; i < 3; i++) {
        tmk_wire_null(s);
    }
    tmk_wire_put_bool(s, (flags & 0x30) == 0x30);
    tmk_frame_end_fields(s, m, 10);
    tmk_str_add_slice(s, tmk_slice_of(content, byte(in)));
    tmk_frame_end(s, m);
}

static void put_frame(input *in, tmk_str *s) {
    uint8_t kind = byte(in);

    switch (kind % 16) {
    case 0:
        tmk_frame_put_empty(s);
        break;
    case 1:
        server_flow(s, 0, 0, byte(in), byte(in));
        break;
    case 2:
        server_flow(s, 1, 0, 0, byte(in));
        break;
    case 3:
        server_detach(s, kind / 16U % 2, 0, (kind & 0x80) != 0 ? "amqp:link:stolen" : NULL);
        break;
    case 4:
        server_end(s, kind / 16U % 2);
        break;
    case 5:
        server_accept(s, kind / 16U % 2, byte(in), byte(in));
        break;
    default:
        put_transfer(in, s);
    }
}

static void begin(gate_client *c, bool laned) {
    gate_client_open_as(c, laned, 0, 0);
    gate_client_link(c, 0);
    tmk_assert(c->status == TMK_OK && c->remote_opens == 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static gate_client laned, plain;
    input in = {data, data + size, 0};
    size_t step = byte(&in);

    begin(&laned, true);
    begin(&plain, false);
    while (in.at < in.end && laned.status == TMK_OK) {
        tmk_str s = TMK_STR_INIT, copy = TMK_STR_INIT;

        put_frame(&in, &s);
        tmk_str_add_slice(&copy, tmk_str_slice(&s));
        gate_client_hear_str(&laned, &s, step);
        gate_client_hear_str(&plain, &copy, 0);
        tmk_assert(laned.status == plain.status);
        tmk_assert(laned.deliveries == plain.deliveries);
        tmk_assert(laned.remote_closes == plain.remote_closes);
        tmk_assert(!pn_connection_driver_read_closed(&laned.driver));
        tmk_assert(!pn_connection_driver_read_closed(&plain.driver));
    }
    gate_client_end(&laned);
    gate_client_end(&plain);
    return 0;
}
