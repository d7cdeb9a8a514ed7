/*
 * The local hub's AMQP engine. The first byte chooses how far a connection has
 * come before the rest is fed to it, and how that is cut. Oracle: however it is
 * cut, the hub says the same, byte for byte; what it says are whole frames; and
 * a faulty peer does no harm to another connection.
 */
#include "support/hub_client.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

enum { AT_START = 0, AFTER_OPEN = 1, WITH_TOKEN = 2, WITH_LINKS = 3 };

static void prepare(hub_client *c, unsigned stage) {
    if (stage == AT_START) {
        return;
    }
    say_header(c, 3);
    say_init(c, "PLAIN",
             stage == AFTER_OPEN ? TMK_LIT("\0send\0secret") : TMK_LIT("\0all\0secret"));
    say_header(c, 0);
    say_open(c, 512, 60000);
    say_cbs(c);
    say_begin(c, 1, 100);
    if (stage == WITH_LINKS) {
        say_sender(c, 1, 0, "hub/Partitions/0");
        say_receiver(c, &(say_link){1, 1, "hub/ConsumerGroups/$Default/Partitions/0",
                                    "amqp.annotation.x-opt-offset > '-1'", 1, true, NULL});
        say_flow(c, 1, 1, 100, 1, 0, 100, false);
        say_sender(c, 1, 2, "$management");
        say_receiver(c, &(say_link){1, 3, "$management", NULL, -1, false, "answers"});
        say_flow(c, 1, 1, 100, 3, 0, 100, false);
    }
}

static void check_frames(tmk_slice out) {
    while (out.size > 0) {
        tmk_frame f;
        size_t size = 8;

        if (out.size < 8 || memcmp(out.bytes, "AMQP", 4) != 0) {
            tmk_assert(tmk_frame_take(out, 65536, &size, &f, NULL) == TMK_OK);
        }
        out = tmk_slice_from(out, size);
    }
}

/* What the hub says to these bytes. */
static tmk_str answer(unsigned stage, tmk_slice bytes, size_t piece) {
    tmk_hub_server server;
    hub_client c, witness;
    tmk_str out;

    hub_server_init(&server);
    hub_server_add_events(&server, "0", 3, 100);
    hub_client_init(&c, &server);
    hub_client_init(&witness, &server);
    say_hello(&witness);
    exchange(&witness);
    prepare(&c, stage);
    exchange(&c);
    tmk_str_reset(&c.heard);
    c.piece = piece;
    say(&c, bytes.bytes, bytes.size);
    exchange(&c);
    tmk_assert(!tmk_hub_conn_broken(witness.conn));
    hub_server_pass(&server, TMK_SEC);
    out = c.heard;
    c.heard = (tmk_str)TMK_STR_INIT;
    hub_client_clear(&c);
    hub_client_clear(&witness);
    tmk_hub_server_clear(&server);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tmk_slice bytes = tmk_slice_from(tmk_slice_of(data, size), 1);
    uint8_t choice = size == 0 ? 0 : data[0];
    tmk_str whole = answer(choice & 3, bytes, 0);
    tmk_str cut = answer(choice & 3, bytes, 1U + (choice >> 2));

    tmk_assert(tmk_slice_eq(tmk_str_slice(&whole), tmk_str_slice(&cut)));
    check_frames(tmk_str_slice(&whole));
    tmk_str_clear(&whole);
    tmk_str_clear(&cut);
    return 0;
}
