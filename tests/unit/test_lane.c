/* Links whose messages go past the engine: what is handed on, what is said to the server. */
#include "amqp/lane.h"

#include "support/failing_alloc.h"
#include "support/gate_pair.h"

/* A receiver "r" on channel 0 with a lane, a sender "s" on channel 1; as in gate_pair.h, the
 * server's channels are 10 and 11, and its handles 5. */
typedef struct rig {
    pair pair;
    tmk_data_lane lane;
    tmk_str got; /* "first|second|(third" ... */
    unsigned messages, aborted;
    unsigned close_at; /* closes the lane inside the call for this message; 0: never */
} rig;

static void on_frame(void *user, tmk_slice payload, tmk_lane_part part) {
    rig *r = user;

    tmk_str_add_slice(&r->got, payload);
    if (part == TMK_LANE_ABORTED) {
        r->aborted++;
        tmk_str_add(&r->got, "!");
    } else if (part == TMK_LANE_LAST) {
        r->messages++;
        tmk_str_add(&r->got, "|");
        if (r->messages == r->close_at) {
            tmk_lane_close(&r->lane);
        }
    }
}

static tmk_status ask(rig *r, tmk_error *err) {
    r->lane = (tmk_data_lane){.frame = on_frame, .user = r};
    return tmk_gate_ask(r->pair.gate, TMK_LIT("r"), NULL, 0, &r->lane, err);
}

static void begin_opened(rig *r) {
    memset(r, 0, sizeof *r);
    start_open(&r->pair);
    CHECK_EQ(TMK_OK, ask(r, NULL));
}

static void client_links(tmk_str *s) {
    client_begin(s, 0);
    client_begin(s, 1);
    client_attach(s, 0, "r", 0, true);
    client_attach(s, 1, "s", 0, false);
}

static void server_links(tmk_str *s) {
    server_begin(s, 10, 0);
    server_begin(s, 11, 1);
    server_attach(s, 10, "r", 5, false, NULL);
    server_attach(s, 11, "s", 5, true, NULL);
    server_flow(s, 11, 5, 0, 100);
}

static void begin_with_credit(rig *r, uint32_t credit) {
    tmk_str s = TMK_STR_INIT;

    begin_opened(r);
    client_links(&s);
    out(&r->pair, &s);
    tmk_lane_grant(&r->lane, credit);
    out(&r->pair, &s);
    server_links(&s);
    CHECK_EQ(TMK_OK, in(&r->pair, &s));
    tmk_str_reset(&r->pair.sent);
    tmk_str_reset(&r->pair.passed);
}

static void end(rig *r) {
    tmk_lane_close(&r->lane);
    done(&r->pair);
    tmk_str_clear(&r->got);
}

static void speak_rest(rig *r) {
    tmk_str none = TMK_STR_INIT;

    out(&r->pair, &none);
}

/* Everything that the gate itself has to say. */
static void speak(rig *r) {
    tmk_str_reset(&r->pair.sent);
    speak_rest(r);
}

static bool frame_at(const tmk_str *s, unsigned index, tmk_frame *f) {
    tmk_slice rest = tmk_str_slice(s);
    size_t size = 0;

    while (tmk_frame_take(rest, FRAME_MAX, &size, f, NULL) == TMK_OK) {
        if (index-- == 0) {
            return true;
        }
        rest = tmk_slice_from(rest, size);
    }
    CHECK_EQ(0, rest.size);
    return false;
}

static tmk_value field(const tmk_frame *f, uint32_t index) {
    tmk_wire_list l;
    tmk_value v;

    CHECK(tmk_wire_list_open(&f->performative, &l));
    CHECK(tmk_wire_list_field(&l, index, &v));
    return v;
}

/* The index-th frame of ours is a flow with this in it. */
static void check_flow(const rig *r, unsigned index, uint32_t next_in, uint32_t count,
                       uint32_t credit) {
    tmk_frame f;

    CHECK(frame_at(&r->pair.sent, index, &f));
    CHECK_EQ(TMK_AMQP_FLOW, f.code);
    CHECK_EQ(0, f.channel);
    CHECK_EQ(next_in, field(&f, 0).u64);
    CHECK_EQ(INT32_MAX, field(&f, 1).u64);
    CHECK_EQ(0, field(&f, 2).u64);
    CHECK_EQ(INT32_MAX, field(&f, 3).u64);
    CHECK_EQ(0, field(&f, 4).u64);
    CHECK_EQ(count, field(&f, 5).u64);
    CHECK_EQ(credit, field(&f, 6).u64);
}

static void check_refused(tmk_str *s) {
    rig r;

    begin_with_credit(&r, 3);
    CHECK_EQ(TMK_EPROTO, in(&r.pair, s));
    end(&r);
}

/* ---- handing on ---- */

static void put_stream(tmk_str *s) {
    server_transfer(s, 10, 5, 7, false, TMK_LIT("first"));
    tmk_frame_put_empty(s);
    server_transfer(s, 10, 5, 8, true, TMK_LIT("sec"));
    server_flow(s, 11, 5, 0, 100);
    server_more(s, 10, 5, true, TMK_LIT(""));
    server_more(s, 10, 5, false, TMK_LIT("ond"));
    server_transfer(s, 10, 5, 9, false, TMK_LIT(""));
}

static void messages_are_handed_on_wherever_the_bytes_are_cut(void) {
    tmk_str s = TMK_STR_INIT;

    put_stream(&s);
    for (size_t cut = 0; cut <= s.size; cut++) {
        rig r;
        tmk_frame f;
        size_t whole = 0, size = 0;
        tmk_slice head = tmk_slice_of(s.text, cut);

        begin_with_credit(&r, 10);
        CHECK(in_slice(&r.pair, head) >= 0);
        while (tmk_frame_take(tmk_slice_from(head, whole), FRAME_MAX, &size, &f, NULL) == TMK_OK) {
            whole += size;
        }
        CHECK_EQ(TMK_OK, in_slice(&r.pair, tmk_slice_from(tmk_str_slice(&s), whole)));
        CHECK_STR("first|second||", tmk_str_text(&r.got));
        CHECK_EQ(3, r.messages);
        end(&r);
    }
    tmk_str_clear(&s);
}

static void the_engine_sees_all_but_the_messages(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_frame f;
    rig r;

    begin_with_credit(&r, 10);
    put_stream(&s);
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    CHECK(frame_at(&r.pair.passed, 0, &f));
    CHECK_EQ(0, f.code);
    CHECK(frame_at(&r.pair.passed, 1, &f));
    CHECK_EQ(TMK_AMQP_FLOW, f.code);
    CHECK_EQ(11, f.channel);
    CHECK(!frame_at(&r.pair.passed, 2, &f));
    server_detach(&s, 10, 5, "amqp:link:stolen");
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    CHECK(frame_at(&r.pair.passed, 2, &f));
    CHECK_EQ(TMK_AMQP_DETACH, f.code);
    end(&r);
}

static void an_aborted_message_is_void(void) {
    tmk_str s = TMK_STR_INIT;
    rig r;

    begin_with_credit(&r, 2);
    server_transfer(&s, 10, 5, 0, true, TMK_LIT("half"));
    server_frame(&s, 0, 10, TMK_AMQP_TRANSFER,
                 TMK_LIT("\x52\x05\x40\x40\x40\x40\x42\x40\x40\x40\x41"), 10, TMK_LIT("rest"));
    server_transfer(&s, 10, 5, 1, false, TMK_LIT("whole"));
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    CHECK_EQ(1, r.aborted);
    CHECK_EQ(1, r.messages);
    speak(&r);
    CHECK_EQ(0, r.pair.sent.size); /* settled: there is nothing to say */
    end(&r);
}

/* ---- what is said ---- */

static void credit_is_told_once_a_write(void) {
    tmk_frame f;
    rig r;

    begin_with_credit(&r, 5);
    tmk_lane_grant(&r.lane, 2);
    tmk_lane_grant(&r.lane, 3);
    speak(&r);
    check_flow(&r, 0, 1, 0, 10);
    CHECK(!frame_at(&r.pair.sent, 1, &f));
    speak(&r);
    CHECK_EQ(0, r.pair.sent.size);
    end(&r);
}

/* Frames count for the session, deliveries for the link. */
static void flows_count_what_came(void) {
    tmk_str s = TMK_STR_INIT;
    rig r;

    begin_with_credit(&r, 5);
    put_stream(&s);
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    tmk_lane_grant(&r.lane, 4);
    speak(&r);
    check_flow(&r, 0, 1 + 5, 3, 6);
    end(&r);
}

static void credit_given_early_is_told_with_the_attach(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_frame f;
    rig r;

    begin_opened(&r);
    tmk_lane_grant(&r.lane, 7);
    speak(&r);
    CHECK_EQ(0, r.pair.sent.size);
    client_links(&s);
    out(&r.pair, &s);
    tmk_lane_grant(&r.lane, 1);
    tmk_str_reset(&r.pair.sent);
    out(&r.pair, &s);
    CHECK(frame_at(&r.pair.sent, 0, &f));
    CHECK_EQ(TMK_VALUE_NONE, field(&f, 0).kind); /* the session was not answered yet */
    CHECK_EQ(0, field(&f, 5).u64);
    CHECK_EQ(8, field(&f, 6).u64);
    server_links(&s);
    for (uint32_t i = 0; i < 8; i++) {
        server_transfer(&s, 10, 5, i, false, TMK_LIT("x"));
    }
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    CHECK_EQ(8, r.messages);
    end(&r);
}

static void credit_given_before_anything_is_opened_is_told(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_frame f;
    rig r;

    begin_opened(&r);
    tmk_lane_grant(&r.lane, 7);
    client_links(&s);
    tmk_str_reset(&r.pair.sent);
    out(&r.pair, &s);
    CHECK(frame_at(&r.pair.sent, 4, &f));
    CHECK_EQ(TMK_AMQP_FLOW, f.code);
    CHECK_EQ(7, field(&f, 6).u64);
    end(&r);
}

/* A server may begin to count anywhere; what it was told before counted from 0. */
static void credit_is_told_again_where_the_server_counts_from_elsewhere(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_str fields = TMK_STR_INIT;
    rig r;

    begin_opened(&r);
    client_links(&s);
    out(&r.pair, &s);
    tmk_lane_grant(&r.lane, 3);
    speak(&r);
    server_begin(&s, 10, 0);
    tmk_wire_put_string(&fields, TMK_LIT("r"));
    tmk_wire_put_uint(&fields, 5);
    tmk_wire_put_bool(&fields, false);
    for (int i = 0; i < 6; i++) {
        tmk_wire_null(&fields);
    }
    tmk_wire_put_uint(&fields, 1000);
    server_frame(&s, 0, 10, TMK_AMQP_ATTACH, tmk_str_slice(&fields), 10, TMK_LIT(""));
    tmk_str_clear(&fields);
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    speak(&r);
    check_flow(&r, 0, 1, 1000, 3);
    end(&r);
}

/* Proton's buffer ends anywhere; what the lane says stands between two of its frames. */
static void nothing_is_said_inside_a_frame_of_the_engine(void) {
    for (size_t step = 1; step < 60; step++) {
        tmk_str ours = TMK_STR_INIT;
        unsigned flows = 0, others = 0;
        tmk_frame f;
        rig r;

        begin_with_credit(&r, 1);
        for (int i = 0; i < 5; i++) {
            server_transfer(&ours, 1, 0, (uint32_t)i, false, TMK_LIT("a message of ours"));
        }
        for (size_t at = 0; at < ours.size;) {
            tmk_slice send;
            size_t left = ours.size - at, taken = 0;

            tmk_lane_grant(&r.lane, 1);
            do {
                CHECK_EQ(TMK_OK,
                         tmk_gate_out(r.pair.gate,
                                      tmk_slice_of(ours.text + at, left < step ? left : step),
                                      &taken, &send, NULL));
                tmk_str_add_slice(&r.pair.sent, send);
            } while (taken == 0 && send.size > 0);
            at += taken;
        }
        speak_rest(&r);
        for (unsigned i = 0; frame_at(&r.pair.sent, i, &f); i++) {
            flows += f.code == TMK_AMQP_FLOW;
            others += f.code == TMK_AMQP_TRANSFER;
        }
        CHECK_EQ(5, others);
        CHECK(flows > 0);
        tmk_str_clear(&ours);
        end(&r);
    }
}

static void what_came_unsettled_is_accepted_in_one_go(void) {
    static const char unsettled[] = "\x52\x05\x52\x00\xa0\x01t\x43\x42\x42";
    tmk_str s = TMK_STR_INIT;
    char fields[sizeof unsettled];
    tmk_frame f;
    rig r;

    memcpy(fields, unsettled, sizeof fields);
    begin_with_credit(&r, 10);
    for (char id = 4; id < 8; id++) {
        fields[3] = id;
        server_frame(&s, 0, 10, TMK_AMQP_TRANSFER, tmk_slice_of(fields, sizeof fields - 1), 6,
                     TMK_LIT("x"));
    }
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    speak(&r);
    CHECK(frame_at(&r.pair.sent, 0, &f));
    CHECK_EQ(TMK_AMQP_DISPOSITION, f.code);
    CHECK(field(&f, 0).b);
    CHECK_EQ(4, field(&f, 1).u64);
    CHECK_EQ(7, field(&f, 2).u64);
    CHECK(field(&f, 3).b);
    CHECK_EQ(0x24, tmk_wire_descriptor(&(tmk_value){.descriptor = field(&f, 4).descriptor}));
    CHECK(!frame_at(&r.pair.sent, 1, &f));
    fields[3] = 8;
    server_frame(&s, 0, 10, TMK_AMQP_TRANSFER, tmk_slice_of(fields, sizeof fields - 1), 6,
                 TMK_LIT("x"));
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    speak(&r);
    CHECK(frame_at(&r.pair.sent, 0, &f));
    CHECK_EQ(8, field(&f, 1).u64);
    CHECK_EQ(8, field(&f, 2).u64);
    end(&r);
}

/* A flow that wants one in answer. */
static void put_question(tmk_str *s) {
    tmk_str fields = TMK_STR_INIT;

    for (int i = 0; i < 4; i++) {
        tmk_wire_put_uint(&fields, 1);
    }
    for (int i = 0; i < 5; i++) {
        tmk_wire_null(&fields);
    }
    tmk_wire_put_bool(&fields, true);
    server_frame(s, 0, 10, TMK_AMQP_FLOW, tmk_str_slice(&fields), 10, TMK_LIT(""));
    tmk_str_clear(&fields);
}

/* Its flows and dispositions concern nobody; only where it asks it is answered. */
static void a_server_that_asks_how_we_stand_is_told(void) {
    tmk_str s = TMK_STR_INIT;
    rig r;

    begin_with_credit(&r, 9);
    server_transfer(&s, 10, 5, 0, false, TMK_LIT("x"));
    server_flow(&s, 10, 5, 1, 0);
    server_accept(&s, 10, 0, 0);
    CHECK_EQ(TMK_EPROTO, in(&r.pair, &s)); /* of what we never sent */
    end(&r);

    begin_with_credit(&r, 9);
    server_transfer(&s, 10, 5, 0, false, TMK_LIT("x"));
    server_flow(&s, 10, 5, 1, 0);
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    CHECK_EQ(0, r.pair.passed.size);
    speak(&r);
    CHECK_EQ(0, r.pair.sent.size);
    put_question(&s);
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    speak(&r);
    check_flow(&r, 0, 2, 1, 8);
    end(&r);
}

/* ---- the end ---- */

static void a_closed_lane_is_handed_nothing(void) {
    tmk_str s = TMK_STR_INIT;
    rig r;

    begin_with_credit(&r, 10);
    r.close_at = 2;
    put_stream(&s);
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    CHECK_STR("first|second|", tmk_str_text(&r.got));
    tmk_lane_grant(&r.lane, 100); /* without effect */
    speak(&r);
    CHECK_EQ(0, r.pair.sent.size);
    end(&r);
}

static void a_lane_may_be_closed_before_its_link_is_attached(void) {
    tmk_str s = TMK_STR_INIT;
    rig r;

    begin_opened(&r);
    tmk_lane_close(&r.lane);
    client_links(&s);
    out(&r.pair, &s);
    server_links(&s);
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    server_transfer(&s, 10, 5, 0, false, TMK_LIT("x"));
    CHECK_EQ(TMK_EPROTO, in(&r.pair, &s)); /* no credit was given */
    end(&r);
}

static void after_our_detach_nothing_is_said_and_what_comes_is_dropped(void) {
    tmk_str s = TMK_STR_INIT;
    rig r;

    begin_with_credit(&r, 10);
    server_transfer(&s, 10, 5, 0, true, TMK_LIT("half"));
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    tmk_lane_grant(&r.lane, 1);
    client_detach(&s, 0, 0);
    out(&r.pair, &s);
    speak(&r);
    CHECK_EQ(0, r.pair.sent.size);
    server_more(&s, 10, 5, false, TMK_LIT("rest"));
    server_transfer(&s, 10, 5, 1, false, TMK_LIT("more"));
    put_question(&s);
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    speak(&r);
    CHECK_EQ(0, r.pair.sent.size);
    CHECK_EQ(0, r.pair.passed.size);
    CHECK_EQ(0, r.messages);
    server_detach(&s, 10, 5, NULL);
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    server_transfer(&s, 10, 5, 2, false, TMK_LIT("more"));
    CHECK_EQ(TMK_EPROTO, in(&r.pair, &s));
    end(&r);
}

static void the_servers_detach_or_end_in_mid_message_is_the_end(void) {
    for (int end_all = 0; end_all < 2; end_all++) {
        tmk_str s = TMK_STR_INIT;
        rig r;

        begin_with_credit(&r, 10);
        server_transfer(&s, 10, 5, 0, true, TMK_LIT("half"));
        if (end_all) {
            server_end(&s, 10);
        } else {
            server_detach(&s, 10, 5, "amqp:link:detach-forced");
        }
        CHECK_EQ(TMK_OK, in(&r.pair, &s));
        tmk_lane_grant(&r.lane, 1);
        if (end_all) {
            server_frame(&s, 0, 0, TMK_AMQP_END, TMK_LIT(""), 0, TMK_LIT(""));
        } else {
            client_detach(&s, 0, 0);
        }
        out(&r.pair, &s);
        tmk_lane_grant(&r.lane, 1); /* the gate has forgotten the link */
        speak(&r);
        CHECK_EQ(0, r.pair.sent.size);
        CHECK_EQ(0, r.messages);
        end(&r);
    }
}

static void the_gate_may_go_before_the_lane(void) {
    rig r;

    begin_with_credit(&r, 10);
    tmk_lane_grant(&r.lane, 1);
    done(&r.pair);
    tmk_lane_grant(&r.lane, 1);
    tmk_lane_close(&r.lane);
    tmk_lane_close(&r.lane);
}

/* ---- hostile servers ---- */

static void more_than_the_credit_is_refused(void) {
    tmk_str s = TMK_STR_INIT;

    for (uint32_t i = 0; i < 4; i++) {
        server_transfer(&s, 10, 5, i, false, TMK_LIT("x"));
    }
    check_refused(&s);
}

static void transfers_out_of_order_are_refused(void) {
    tmk_str s = TMK_STR_INIT;

    server_transfer(&s, 10, 5, 4, false, TMK_LIT("x"));
    server_transfer(&s, 10, 5, 6, false, TMK_LIT("x"));
    check_refused(&s);
    server_transfer(&s, 10, 6, 0, false, TMK_LIT("x")); /* a handle that is not attached */
    check_refused(&s);
    server_transfer(&s, 12, 5, 0, false, TMK_LIT("x")); /* nor is a session */
    check_refused(&s);
    server_more(&s, 10, 5, false, TMK_LIT("x")); /* no delivery is under way */
    check_refused(&s);
    server_transfer(&s, 10, 5, 4, true, TMK_LIT("x"));
    server_transfer(&s, 10, 5, 5, false, TMK_LIT("x")); /* one in the midst of another */
    check_refused(&s);
}

static void a_message_without_end_is_refused(void) {
    tmk_str s = TMK_STR_INIT;
    char block[10000];

    memset(block, 'x', sizeof block);
    server_transfer(&s, 10, 5, 0, true, TMK_LIT(""));
    for (size_t sum = 0; sum <= MESSAGE_MAX; sum += sizeof block) {
        server_more(&s, 10, 5, true, tmk_slice_of(block, sizeof block));
    }
    check_refused(&s);
}

/* Empty frames are no message, but they count: for the window of the session. */
static void a_session_has_a_window_of_frames(void) {
    static const char narrow[] = "\x40\x43\x52\x0a\x52\x0a"; /* ten frames */
    tmk_str s = TMK_STR_INIT;
    tmk_frame f;
    rig r;

    begin_opened(&r);
    tmk_lane_grant(&r.lane, 100);
    server_frame(&s, 0, 0, TMK_AMQP_BEGIN, tmk_slice_of(narrow, sizeof narrow - 1), 4, TMK_LIT(""));
    client_attach(&s, 0, "r", 0, true);
    out(&r.pair, &s);
    server_begin(&s, 10, 0);
    server_attach(&s, 10, "r", 5, false, NULL);
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    speak(&r);
    server_transfer(&s, 10, 5, 0, true, TMK_LIT(""));
    for (int i = 1; i < 5; i++) {
        server_more(&s, 10, 5, true, TMK_LIT(""));
    }
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    speak(&r); /* half of it is used up: it is opened again */
    CHECK(frame_at(&r.pair.sent, 0, &f));
    CHECK_EQ(1 + 5, field(&f, 0).u64);
    CHECK_EQ(10, field(&f, 1).u64);
    for (int i = 0; i < 10; i++) {
        server_more(&s, 10, 5, true, TMK_LIT(""));
    }
    CHECK_EQ(TMK_OK, in(&r.pair, &s));
    server_more(&s, 10, 5, true, TMK_LIT(""));
    CHECK_EQ(TMK_EPROTO, in(&r.pair, &s));
    end(&r);
}

static void credit_has_a_largest_number(void) {
    rig r;

    begin_with_credit(&r, 10);
    tmk_lane_grant(&r.lane, UINT32_MAX);
    tmk_lane_grant(&r.lane, UINT32_MAX);
    speak(&r);
    check_flow(&r, 0, 1, 0, INT32_MAX);
    end(&r);
}

static void no_memory_is_told_and_nothing_leaks(void) {
    tmk_str ours = TMK_STR_INIT, its = TMK_STR_INIT;

    client_links(&ours);
    server_links(&its);
    put_stream(&its);
    for (failing_begin(FAILING_ONCE); failing_next();) {
        const tmk_gate_options opts = {.frame_max = FRAME_MAX, .message_max = MESSAGE_MAX};
        tmk_data_lane lane = {.frame = on_frame};
        tmk_slice rest = tmk_str_slice(&ours), send;
        rig r = {.lane = {.frame = NULL}};
        tmk_gate *g = NULL;
        size_t taken = 0;
        tmk_status st = tmk_gate_new(&opts, &g, NULL);

        lane.user = &r;
        if (st == TMK_OK) {
            st = tmk_gate_ask(g, TMK_LIT("r"), NULL, 0, &lane, NULL);
        }
        tmk_lane_grant(&lane, 10);
        do {
            st = st < 0 ? st : tmk_gate_out(g, rest, &taken, &send, NULL);
            rest = tmk_slice_from(rest, st == TMK_OK ? taken : 0);
        } while (st == TMK_OK && (taken > 0 || send.size > 0));
        CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
        tmk_lane_close(&lane);
        g = tmk_gate_free(g);
        tmk_str_clear(&r.got);
        CHECK_EQ(0, failing_live());
    }
    tmk_str_clear(&ours);
    tmk_str_clear(&its);
}

int main(void) {
    return RUN(TEST(messages_are_handed_on_wherever_the_bytes_are_cut),
               TEST(the_engine_sees_all_but_the_messages), TEST(an_aborted_message_is_void),
               TEST(credit_is_told_once_a_write), TEST(flows_count_what_came),
               TEST(credit_given_early_is_told_with_the_attach),
               TEST(credit_given_before_anything_is_opened_is_told),
               TEST(credit_is_told_again_where_the_server_counts_from_elsewhere),
               TEST(nothing_is_said_inside_a_frame_of_the_engine),
               TEST(what_came_unsettled_is_accepted_in_one_go),
               TEST(a_server_that_asks_how_we_stand_is_told), TEST(a_closed_lane_is_handed_nothing),
               TEST(a_lane_may_be_closed_before_its_link_is_attached),
               TEST(after_our_detach_nothing_is_said_and_what_comes_is_dropped),
               TEST(the_servers_detach_or_end_in_mid_message_is_the_end),
               TEST(the_gate_may_go_before_the_lane), TEST(more_than_the_credit_is_refused),
               TEST(transfers_out_of_order_are_refused), TEST(a_message_without_end_is_refused),
               TEST(a_session_has_a_window_of_frames), TEST(credit_has_a_largest_number),
               TEST(no_memory_is_told_and_nothing_leaks));
}
