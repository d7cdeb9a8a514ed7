/* The gate between a real Proton client and a server played from a script. */
#include "support/gate_client.h"

#include "support/check.h"

static void start(gate_client *c, size_t step) {
    gate_client_open(c, step, 0);
    gate_client_link(c, step);
    CHECK_EQ(TMK_OK, c->status);
    CHECK_EQ(2, c->remote_opens);
}

static void hear(gate_client *c, tmk_str *s) {
    gate_client_hear_str(c, s, 0);
}

/* The n-th frame with this performative that the client sent. */
static bool find_sent(const gate_client *c, uint8_t code, unsigned n, tmk_frame *out) {
    tmk_slice rest = tmk_str_slice(&c->sent);

    while (rest.size > 0) {
        size_t size = 8;

        if (memcmp(rest.bytes, "AMQP", 4) != 0) {
            CHECK_EQ(TMK_OK, tmk_frame_take(rest, 65536, &size, out, NULL));
            if (out->code == code && n-- == 0) {
                return true;
            }
        }
        rest = tmk_slice_from(rest, size);
    }
    return false;
}

static tmk_value field(const tmk_frame *f, uint32_t index) {
    tmk_wire_list l;
    tmk_value v;

    CHECK(tmk_wire_list_open(&f->performative, &l));
    CHECK(tmk_wire_list_field(&l, index, &v));
    return v;
}

static void events_come_through_however_the_bytes_are_cut(void) {
    for (size_t step = 1; step < 40; step++) {
        gate_client c;
        tmk_str s = TMK_STR_INIT;

        start(&c, step);
        server_transfer(&s, 0, 0, 7, false, TMK_LIT("first"));
        server_transfer(&s, 0, 0, 8, true, TMK_LIT("sec"));
        server_more(&s, 0, 0, false, TMK_LIT("ond"));
        gate_client_hear_str(&c, &s, step);
        CHECK_EQ(TMK_OK, c.status);
        CHECK_EQ(2, c.deliveries);
        CHECK_EQ(11, c.bytes);
        gate_client_end(&c);
    }
}

static void the_attach_asks_for_what_was_registered(void) {
    for (size_t limit = 0; limit < 60; limit++) { /* however Proton's output is cut */
        gate_client c;
        tmk_frame f;
        tmk_value v, item;

        gate_client_open(&c, 0, limit);
        gate_client_link(&c, 0);
        CHECK(find_sent(&c, TMK_AMQP_ATTACH, 0, &f));
        CHECK_SLICE("r0", field(&f, 0).bytes);
        v = field(&f, 12);
        CHECK_EQ(TMK_VALUE_ARRAY, v.kind);
        CHECK_EQ(2, v.count);
        CHECK(tmk_value_next(&v, &item));
        CHECK_SLICE("com.microsoft:georeplication", item.bytes);
        CHECK(tmk_value_next(&v, &item));
        CHECK_SLICE("second", item.bytes);
        CHECK(find_sent(&c, TMK_AMQP_ATTACH, 1, &f)); /* the sender asked for nothing */
        CHECK_SLICE("s1", field(&f, 0).bytes);
        CHECK_EQ(TMK_VALUE_NONE, field(&f, 12).kind);
        CHECK(find_sent(&c, TMK_AMQP_FLOW, 0, &f));
        gate_client_end(&c);
    }
}

static void what_the_server_offers_can_be_asked(void) {
    gate_client c;

    start(&c, 1000);
    CHECK(tmk_gate_is_offered(c.gate, TMK_LIT("r0"), "com.microsoft:georeplication"));
    CHECK(!tmk_gate_is_offered(c.gate, TMK_LIT("r0"), "com.microsoft"));
    CHECK(!tmk_gate_is_desired(c.gate, TMK_LIT("r0"), "com.microsoft:georeplication"));
    CHECK(!tmk_gate_is_offered(c.gate, TMK_LIT("s1"), "com.microsoft:georeplication"));
    CHECK(!tmk_gate_is_offered(c.gate, TMK_LIT("no such link"), "x"));
    CHECK_EQ(4999, tmk_gate_channel_max(c.gate));
    gate_client_end(&c);
}

/* Proton fills each frame of a large message to the last byte; the format must fit in, too. */
static void batches_carry_their_format_and_no_frame_is_too_large(void) {
    enum { SIZE = 200000 };
    gate_client c;
    tmk_frame f;
    tmk_str s = TMK_STR_INIT;
    char *message = malloc(SIZE);
    size_t got = 0;

    CHECK(message != NULL);
    memset(message, 'm', SIZE);
    start(&c, 1000);
    gate_client_send(&c, tmk_slice_of(message, SIZE), "B1");
    gate_client_send(&c, TMK_LIT("single"), "e2");
    gate_client_turn(&c);
    CHECK_EQ(TMK_OK, c.status);
    for (unsigned i = 0; got < SIZE; i++) {
        CHECK(find_sent(&c, TMK_AMQP_TRANSFER, i, &f));
        CHECK(field(&f, 3).u64 == TMK_GATE_BATCH_FORMAT);
        CHECK_EQ(0, field(&f, 1).u64);
        got += f.payload.size;
        if (got == SIZE) {
            CHECK(find_sent(&c, TMK_AMQP_TRANSFER, i + 1, &f));
            CHECK_EQ(0, field(&f, 3).u64);
            CHECK_SLICE("single", f.payload);
        }
    }
    server_accept(&s, 1, 0, 1);
    hear(&c, &s);
    CHECK_EQ(2, c.accepted);
    gate_client_end(&c);
    free(message);
}

static void a_received_format_can_be_asked(void) {
    gate_client c;
    tmk_str s = TMK_STR_INIT;

    start(&c, 1000);
    server_frame(&s, 0, 0, TMK_AMQP_TRANSFER, TMK_LIT("\x43\x43\xa0\x01t\x70\x80\x01\x37\x00\x41"),
                 5, TMK_LIT("x"));
    hear(&c, &s);
    CHECK_EQ(1, c.deliveries);
    CHECK_EQ(TMK_GATE_BATCH_FORMAT, tmk_gate_format(c.gate, TMK_LIT("r0")));
    gate_client_end(&c);
}

/* The service's way of refusing: attach without a source, then detach. */
static void a_refused_link_is_told(void) {
    gate_client c;
    tmk_str s = TMK_STR_INIT;

    gate_client_open(&c, 0, 0);
    server_begin(&s, 0, 0);
    server_frame(&s, 0, 0, TMK_AMQP_ATTACH, TMK_LIT("\xa1\x02r0\x43\x42"), 3, TMK_LIT(""));
    server_detach(&s, 0, 0, "amqp:not-found");
    hear(&c, &s);
    CHECK_EQ(TMK_OK, c.status);
    CHECK_EQ(1, c.remote_closes);
    gate_client_end(&c);
}

/*
 * A session that we end before the server answered its begin: the answer comes
 * late, when Proton has given the channel to another one already. Without the
 * gate the two would be mixed up.
 */
static void a_late_answer_is_not_taken_for_another_session(void) {
    gate_client c;
    tmk_str s = TMK_STR_INIT;

    gate_client_open(&c, 0, 0);
    gate_client_drop(&c, pn_link_session(c.receiver));
    gate_client_turn(&c);    /* end of channel 0 */
    gate_client_receive(&c); /* begin on channel 0 again */
    gate_client_turn(&c);
    server_begin(&s, 5, 0); /* the answer to the first */
    server_attach(&s, 5, "r0", 3, false, NULL);
    server_transfer(&s, 5, 3, 0, false, TMK_LIT("lost"));
    server_detach(&s, 5, 3, NULL);
    server_end(&s, 5);
    server_begin(&s, 5, 0); /* and to the second */
    server_attach(&s, 5, "r2", 3, false, NULL);
    server_transfer(&s, 5, 3, 0, false, TMK_LIT("event"));
    hear(&c, &s);
    CHECK_EQ(TMK_OK, c.status);
    CHECK_EQ(1, c.remote_opens);
    CHECK_EQ(0, c.strangers);
    CHECK_EQ(1, c.deliveries);
    CHECK_EQ(5, c.bytes);
    gate_client_end(&c);
}

static void what_comes_for_a_closed_session_is_swallowed(void) {
    gate_client c;
    tmk_str s = TMK_STR_INIT;
    pn_session_t *session;

    start(&c, 1000);
    session = pn_link_session(c.receiver);
    pn_link_close(c.receiver);
    pn_session_close(session);
    gate_client_turn(&c);
    server_transfer(&s, 0, 0, 0, false, TMK_LIT("late"));
    server_flow(&s, 0, 0, 1, 0);
    server_detach(&s, 0, 0, NULL);
    server_end(&s, 0);
    hear(&c, &s);
    CHECK_EQ(TMK_OK, c.status);
    CHECK_EQ(0, c.deliveries);
    CHECK(c.receiver == NULL);
    gate_client_end(&c);
}

static void what_comes_after_our_close_is_swallowed(void) {
    gate_client c;
    tmk_str s = TMK_STR_INIT;

    start(&c, 1000);
    pn_connection_close(c.driver.connection);
    gate_client_turn(&c);
    server_transfer(&s, 0, 0, 0, false, TMK_LIT("late"));
    server_attach(&s, 3, "what", 9, false, NULL);
    server_close(&s, NULL);
    tmk_str_add(&s, "garbage behind the end");
    hear(&c, &s);
    CHECK_EQ(TMK_OK, c.status);
    CHECK_EQ(0, c.deliveries);
    gate_client_end(&c);
}

/* Proton counts the delivery, but its bytes would stay in its buffers for ever. */
static void a_transfer_on_a_detached_link_loses_its_content(void) {
    gate_client c;
    tmk_str s = TMK_STR_INIT;

    start(&c, 1000);
    pn_link_close(c.receiver);
    gate_client_turn(&c);
    server_transfer(&s, 0, 0, 0, true, TMK_LIT("late"));
    server_more(&s, 0, 0, false, TMK_LIT("later"));
    server_detach(&s, 0, 0, NULL);
    hear(&c, &s);
    CHECK_EQ(TMK_OK, c.status);
    CHECK_EQ(1, c.deliveries);
    CHECK_EQ(0, c.bytes);
    gate_client_end(&c);
}

static void a_failed_authentication_is_told_to_proton(void) {
    gate_client c;
    tmk_str s = TMK_STR_INIT;

    gate_client_start(&c);
    gate_client_turn(&c);
    server_mechanisms(&s);
    hear(&c, &s);
    server_outcome(&s, 1);
    tmk_str_add(&s, "whatever comes then");
    hear(&c, &s);
    CHECK_EQ(TMK_OK, c.status);
    CHECK_STR("amqp:unauthorized-access",
              pn_condition_get_name(pn_transport_condition(c.driver.transport)));
    gate_client_end(&c);
}

int main(void) {
    return RUN(TEST(events_come_through_however_the_bytes_are_cut),
               TEST(the_attach_asks_for_what_was_registered),
               TEST(what_the_server_offers_can_be_asked),
               TEST(batches_carry_their_format_and_no_frame_is_too_large),
               TEST(a_received_format_can_be_asked), TEST(a_refused_link_is_told),
               TEST(a_late_answer_is_not_taken_for_another_session),
               TEST(what_comes_for_a_closed_session_is_swallowed),
               TEST(what_comes_after_our_close_is_swallowed),
               TEST(a_transfer_on_a_detached_link_loses_its_content),
               TEST(a_failed_authentication_is_told_to_proton));
}
