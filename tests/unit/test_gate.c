/* The gate's rules, one trick of a hostile server at a time. */
#include "amqp/gate.h"

#include "amqp/gate_inner.h"
#include "base/rng.h"
#include "support/failing_alloc.h"
#include "support/gate_pair.h"

/* After the links stand, these frames must be refused. */
static void check_refused(tmk_str *s) {
    pair p;

    start_linked(&p);
    CHECK_EQ(TMK_EPROTO, in(&p, s));
    done(&p);
}

static void check_taken(tmk_str *s) {
    pair p;

    start_linked(&p);
    CHECK_EQ(TMK_OK, in(&p, s));
    done(&p);
}

static void put(tmk_str *s, uint8_t code, uint16_t channel, const char *fields, size_t size,
                uint32_t count) {
    server_frame(s, 0, channel, code, tmk_slice_of(fields, size), count, TMK_LIT(""));
}
#define PUT(s, code, channel, fields, count) \
    put(s, code, channel, "" fields, sizeof(fields) - 1, count)

/* ---- bytes ---- */

static void good_frames_pass_from_where_they_lie(void) {
    pair p;
    tmk_str s = TMK_STR_INIT;
    tmk_slice pass;
    size_t taken;

    start_linked(&p);
    for (uint32_t id = 0; id < 3; id++) {
        server_transfer(&s, 10, 5, id, false, TMK_LIT("payload"));
    }
    tmk_str_add(&s, "\x01"); /* and the beginning of another */
    CHECK_EQ(TMK_OK, tmk_gate_in(p.gate, tmk_str_slice(&s), &taken, &pass, NULL));
    CHECK_EQ(s.size - 1, taken);
    CHECK_EQ(s.size - 1, pass.size);
    CHECK(pass.bytes == (const uint8_t *)s.text);
    CHECK_EQ(TMK_AGAIN,
             tmk_gate_in(p.gate, tmk_slice_from(tmk_str_slice(&s), taken), &taken, &pass, NULL));
    tmk_str_clear(&s);
    done(&p);
}

/* However the bytes are cut, the same is passed. */
static void cutting_changes_nothing(void) {
    tmk_str s = TMK_STR_INIT, expected = TMK_STR_INIT;

    for (size_t step = 0; step < 70; step++) {
        pair p;
        tmk_str waiting = TMK_STR_INIT;

        start_linked(&p);
        tmk_str_reset(&p.passed);
        tmk_str_reset(&s);
        server_transfer(&s, 10, 5, 0, true, TMK_LIT("some"));
        server_more(&s, 10, 5, true, TMK_LIT("thing"));
        server_flow(&s, 11, 5, 0, 200);
        server_more(&s, 10, 5, false, TMK_LIT(" else"));
        tmk_frame_put_empty(&s);
        server_detach(&s, 10, 5, "amqp:link:detach-forced");
        server_close(&s, NULL);
        for (size_t at = 0; at < s.size;) {
            size_t size = step == 0 || s.size - at < step ? s.size - at : step;
            tmk_slice pass;
            size_t taken;

            tmk_str_add_slice(&waiting, tmk_slice_of(s.text + at, size));
            at += size;
            while (tmk_gate_in(p.gate, tmk_str_slice(&waiting), &taken, &pass, NULL) == TMK_OK) {
                tmk_str_add_slice(&p.passed, pass);
                memmove(waiting.text, waiting.text + taken, waiting.size - taken);
                waiting.size -= taken;
            }
        }
        CHECK_EQ(0, waiting.size);
        if (step == 0) {
            tmk_str_add_slice(&expected, tmk_str_slice(&s));
        }
        CHECK(tmk_slice_eq(tmk_str_slice(&expected), tmk_str_slice(&p.passed)));
        tmk_str_clear(&waiting);
        done(&p);
    }
    tmk_str_clear(&s);
    tmk_str_clear(&expected);
}

static void outgoing_bytes_are_the_same_however_they_are_cut(void) {
    tmk_str s = TMK_STR_INIT, expected = TMK_STR_INIT;

    for (size_t step = 0; step < 70; step++) {
        pair p;

        start_linked(&p);
        tmk_str_reset(&p.sent);
        tmk_str_reset(&s);
        server_transfer(&s, 1, 0, 0, false, TMK_LIT("one"));
        server_transfer(&s, 1, 0, 1, false, TMK_LIT("two"));
        tmk_frame_put_empty(&s);
        for (size_t at = 0; at < s.size;) {
            size_t size = step == 0 || s.size - at < step ? s.size - at : step;
            tmk_str piece = TMK_STR_INIT;

            tmk_str_add_slice(&piece, tmk_slice_of(s.text + at, size));
            out(&p, &piece);
            at += size;
        }
        CHECK(tmk_slice_eq(tmk_str_slice(&s), tmk_str_slice(&p.sent)));
        done(&p);
    }
    tmk_str_clear(&s);
    tmk_str_clear(&expected);
}

static void what_is_no_amqp_is_refused_at_the_first_byte(void) {
    static const char *const answers[] = {
        "H", "HTTP/1.1 400 Bad Request", "AMQQ", "A\n", "\x16\x03\x01", "AMQP\x03\x02"};
    pair p;

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        start(&p, true);
        CHECK_EQ(TMK_EPROTO, in_slice(&p, tmk_slice_str(answers[i])));
        CHECK(p.err.retryable);
        done(&p);
    }
    start(&p, true);
    CHECK_EQ(TMK_EPROTO, in_slice(&p, TMK_LIT("AMQP\0\1\0\0"))); /* another layer than ours */
    done(&p);
    start(&p, false);
    CHECK_EQ(TMK_EPROTO, in_slice(&p, TMK_LIT("AMQP\3\1\0\0")));
    done(&p);
}

static void frames_have_their_limits(void) {
    tmk_str s = TMK_STR_INIT;
    char *large = calloc(1, FRAME_MAX);

    CHECK(large != NULL);
    tmk_str_add_slice(&s, TMK_LIT("\x00\x01\x00\x01\x02\x00\x00\x0a")); /* 65537 */
    check_refused(&s);
    tmk_str_add_slice(&s, TMK_LIT("\x00\x00\x00\x07"));
    check_refused(&s);
    tmk_str_add_slice(&s, TMK_LIT("\x00\x00\x00\x08\x01\x00\x00\x0a"));
    check_refused(&s);
    tmk_str_add_slice(&s, TMK_LIT("\x00\x00\x00\x08\x02\x02\x00\x0a"));
    check_refused(&s);
    tmk_str_add_slice(&s, TMK_LIT("\x00\x00\x00\x0c\x02\x01\x00\x00\x00\x53\x44\x45")); /* SASL */
    check_refused(&s);
    server_frame(&s, 0, 10, 0x19, TMK_LIT(""), 0, TMK_LIT(""));
    check_refused(&s);
    server_transfer(&s, 10, 5, 0, false, tmk_slice_of(large, FRAME_MAX - 100));
    check_taken(&s);
    tmk_frame_put_empty(&s);
    check_taken(&s);
    free(large);
}

/* ---- SASL ---- */

static void sasl_goes_in_its_order_only(void) {
    pair p;
    tmk_str s = TMK_STR_INIT;

    start(&p, true);
    server_mechanisms(&s);
    server_outcome(&s, 0); /* before our init */
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
    start(&p, true);
    server_mechanisms(&s);
    server_mechanisms(&s); /* a header again */
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
    for (uint8_t code = TMK_SASL_MECHANISMS; code <= TMK_SASL_RESPONSE; code++) {
        start(&p, true);
        server_mechanisms(&s);
        CHECK_EQ(TMK_OK, in(&p, &s));
        server_frame(&s, 1, 0, code,
                     TMK_LIT("\xa3\x09"
                             "ANONYMOUS"),
                     1, TMK_LIT(""));
        CHECK_EQ(TMK_EPROTO, in(&p, &s));
        done(&p);
    }
    start(&p, true);
    server_header(&s, 3);
    server_open(&s, 65536, 10, 0); /* AMQP within SASL */
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
}

static void sasl_frames_are_small(void) {
    char *symbol = malloc(5000);
    tmk_slice mechanisms[2] = {TMK_LIT("ANONYMOUS"), {0}};
    pair p;
    tmk_str s = TMK_STR_INIT;
    tmk_frame_mark m;

    CHECK(symbol != NULL);
    memset(symbol, 'x', 5000);
    mechanisms[1] = tmk_slice_of(symbol, 5000);
    start(&p, true);
    server_header(&s, 3);
    m = tmk_frame_begin(&s, 1, 0, TMK_SASL_MECHANISMS);
    tmk_wire_put_symbols(&s, mechanisms, 2);
    tmk_frame_end_fields(&s, m, 1);
    tmk_frame_end(&s, m);
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
    free(symbol);
}

/* ---- open ---- */

static void the_open_comes_first_and_once(void) {
    pair p;
    tmk_str s = TMK_STR_INIT;

    start(&p, false);
    server_header(&s, 0);
    server_begin(&s, 0, 0);
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
    server_open(&s, 65536, 10, 0);
    check_refused(&s);
    start(&p, false);
    server_header(&s, 0);
    server_frame(&s, 0, 1, TMK_AMQP_OPEN, TMK_LIT("\xa1\x01x"), 1, TMK_LIT("")); /* channel 1 */
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
    start(&p, false);
    server_header(&s, 0);
    tmk_frame_put_empty(&s);
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
}

/* Proton would spin on a millisecond, and read past its buffer for tiny frames. */
static void unusable_settings_are_refused(void) {
    static const struct {
        uint32_t frame_max, idle_ms;
        tmk_status expected;
    } cases[] = {{512, 0, TMK_EPROTO},   {0, 0, TMK_EPROTO},
                 {1023, 0, TMK_EPROTO},  {1024, 0, TMK_OK},
                 {65536, 1, TMK_EPROTO}, {65536, 999, TMK_EPROTO},
                 {65536, 1000, TMK_OK},  {UINT32_MAX, UINT32_MAX, TMK_OK}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pair p;
        tmk_str s = TMK_STR_INIT;

        start(&p, false);
        server_header(&s, 0);
        server_open(&s, cases[i].frame_max, 10, cases[i].idle_ms);
        CHECK_EQ(cases[i].expected, in(&p, &s));
        done(&p);
    }
}

/* Room for what the gate adds to full frames. */
static void proton_is_told_of_smaller_frames_than_the_server_takes(void) {
    static const uint32_t said[] = {1024, 65536, 1 << 20}, told[] = {960, 65472, 65472};

    for (size_t i = 0; i < 4; i++) {
        pair p;
        tmk_str s = TMK_STR_INIT;
        tmk_frame f;
        tmk_wire_list l;
        tmk_value v;
        size_t size;

        start(&p, false);
        server_header(&s, 0);
        if (i < 3) {
            server_open(&s, said[i], 10, 60000);
        } else { /* it says nothing at all */
            server_frame(&s, 0, 0, TMK_AMQP_OPEN, TMK_LIT("\xa1\x01x"), 1, TMK_LIT(""));
        }
        CHECK_EQ(TMK_OK, in(&p, &s));
        CHECK_EQ(TMK_OK, tmk_frame_take(tmk_slice_from(tmk_str_slice(&p.passed), 8), 65536, &size,
                                        &f, NULL));
        CHECK(tmk_wire_list_open(&f.performative, &l));
        CHECK(tmk_wire_list_field(&l, 0, &v) && v.bytes.size > 0);
        CHECK(tmk_wire_list_field(&l, 2, &v));
        CHECK_EQ(i < 3 ? told[i] : 65472, v.u64);
        CHECK(tmk_wire_list_field(&l, 4, &v));
        CHECK_EQ(i < 3 ? 60000 : 0, tmk_wire_uint(&v, 0));
        CHECK_EQ(i < 3 ? 10 : 32767, tmk_gate_channel_max(p.gate));
        done(&p);
    }
}

/* ---- sessions and links ---- */

static void sessions_are_ours_to_begin(void) {
    pair p;
    tmk_str s = TMK_STR_INIT;

    PUT(&s, TMK_AMQP_BEGIN, 12, "\x40\x43\x43\x43", 4); /* no remote channel: its own */
    check_refused(&s);
    server_begin(&s, 12, 7); /* none was begun there */
    check_refused(&s);
    server_begin(&s, 12, 0); /* answered already */
    check_refused(&s);
    start_open(&p);
    client_begin(&s, 0);
    client_begin(&s, 1);
    out(&p, &s);
    server_begin(&s, 5000, 0); /* above the 4999 it allows itself */
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
    start_open(&p);
    client_begin(&s, 0);
    client_begin(&s, 1);
    out(&p, &s);
    server_begin(&s, 4999, 0);
    server_begin(&s, 4999, 1); /* two on one channel */
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
    server_end(&s, 12); /* no such session */
    check_refused(&s);
    server_end(&s, 10);
    server_end(&s, 10);
    check_refused(&s);
    server_end(&s, 10);
    server_end(&s, 11);
    check_taken(&s);
}

/* The second link is one too many, whether the answer to the begin comes before it or behind it. */
static void a_session_has_room_for_so_many_links(void) {
    for (int answered = 0; answered < 2; answered++) {
        tmk_str s = TMK_STR_INIT;
        tmk_slice send;
        size_t taken;
        pair p;

        start_open(&p);
        client_begin(&s, 0);
        client_attach(&s, 0, "one", 0, true);
        if (answered == 0) {
            client_attach(&s, 0, "two", 1, true);
        }
        out(&p, &s);
        PUT(&s, TMK_AMQP_BEGIN, 10, "\x60\x00\x00\x43\x52\x01\x52\x01\x43", 5);
        CHECK_EQ(answered == 0 ? TMK_EPROTO : TMK_OK, in(&p, &s));
        client_attach(&s, 0, "two", 1, true);
        CHECK_EQ(TMK_EPROTO, tmk_gate_out(p.gate, tmk_str_slice(&s), &taken, &send, &p.err));
        CHECK(strstr(p.err.text, "1 links in a session") != NULL);
        tmk_str_clear(&s);
        done(&p);
    }
}

static void links_are_ours_to_attach(void) {
    tmk_str s = TMK_STR_INIT;
    pair p;

    server_attach(&s, 10, "mine", 6, false, NULL);
    check_refused(&s);
    server_attach(&s, 10, "r", 6, false, NULL); /* a second time */
    check_refused(&s);
    server_attach(&s, 12, "r", 6, false, NULL); /* no such session */
    check_refused(&s);
    start_open(&p);
    client_begin(&s, 0);
    client_attach(&s, 0, "r", 0, true);
    client_attach(&s, 0, "q", 1, true);
    out(&p, &s);
    server_begin(&s, 0, 0);
    server_attach(&s, 0, "r", 6, true, NULL); /* both would receive */
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
    start_open(&p);
    client_begin(&s, 0);
    client_attach(&s, 0, "r", 0, true);
    client_attach(&s, 0, "q", 1, true);
    out(&p, &s);
    server_begin(&s, 0, 0);
    server_attach(&s, 0, "r", 6, false, NULL);
    server_attach(&s, 0, "q", 6, false, NULL); /* handle in use: Proton's counts would break */
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
}

static void handles_are_small_numbers(void) {
    static const uint32_t handles[] = {0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};

    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++) {
        pair p;
        tmk_str s = TMK_STR_INIT;

        start_open(&p);
        client_begin(&s, 0);
        client_attach(&s, 0, "r", 0, true);
        out(&p, &s);
        server_begin(&s, 0, 0);
        server_attach(&s, 0, "r", handles[i], false, NULL);
        CHECK_EQ(i == 0 ? TMK_OK : TMK_EPROTO, in(&p, &s));
        done(&p);
    }
}

static void a_detached_handle_is_gone(void) {
    tmk_str s = TMK_STR_INIT;

    server_detach(&s, 10, 5, NULL);
    server_transfer(&s, 10, 5, 0, false, TMK_LIT("x"));
    check_refused(&s);
    server_detach(&s, 10, 5, NULL);
    server_detach(&s, 10, 5, NULL);
    check_refused(&s);
    server_detach(&s, 10, 4, NULL);
    check_refused(&s);
}

/* A handle may be used again after both sides have detached, and by another link. */
static void a_link_may_be_made_anew_on_the_old_handle(void) {
    pair p;
    tmk_str s = TMK_STR_INIT;

    start_linked(&p);
    server_detach(&s, 10, 5, "amqp:link:detach-forced");
    CHECK_EQ(TMK_OK, in(&p, &s));
    client_detach(&s, 0, 0);
    client_attach(&s, 0, "r2", 0, true);
    client_credit(&s, 0, 0, 0, 1);
    out(&p, &s);
    server_attach(&s, 10, "r2", 5, false, "cap");
    server_transfer(&s, 10, 5, 0, false, TMK_LIT("x"));
    CHECK_EQ(TMK_OK, in(&p, &s));
    CHECK(tmk_gate_is_offered(p.gate, TMK_LIT("r2"), "cap"));
    done(&p);
}

static void a_thousand_sessions_come_and_go(void) {
    pair p;
    tmk_str s = TMK_STR_INIT;

    start_open(&p);
    for (unsigned i = 0; i < 1000; i++) {
        client_begin(&s, (uint16_t)(i % 7));
        client_attach(&s, (uint16_t)(i % 7), "link", 0, true);
        out(&p, &s);
        server_begin(&s, (uint16_t)(i % 4999), (uint16_t)(i % 7));
        server_attach(&s, (uint16_t)(i % 4999), "link", 0, false, NULL);
        CHECK_EQ(TMK_OK, in(&p, &s));
        if (i % 2 == 0) {
            server_end(&s, (uint16_t)(i % 7));
            out(&p, &s);
            server_end(&s, (uint16_t)(i % 4999));
            CHECK_EQ(TMK_OK, in(&p, &s));
        } else {
            server_end(&s, (uint16_t)(i % 4999));
            CHECK_EQ(TMK_OK, in(&p, &s));
            server_end(&s, (uint16_t)(i % 7));
            out(&p, &s);
        }
    }
    done(&p);
}

/* ---- shapes ---- */

static void performatives_have_the_right_types(void) {
    tmk_str s = TMK_STR_INIT;

    PUT(&s, TMK_AMQP_DETACH, 10, "\x52\x05\x41", 2);
    check_taken(&s);
    PUT(&s, TMK_AMQP_DETACH, 10, "\x53\x05\x41", 2); /* an ulong for an uint */
    check_refused(&s);
    PUT(&s, TMK_AMQP_DETACH, 10, "\x40\x41", 2); /* no handle */
    check_refused(&s);
    PUT(&s, TMK_AMQP_DETACH, 10, "\x52\x05\x41\x40\x40", 4); /* a field too many */
    check_refused(&s);
    PUT(&s, TMK_AMQP_DETACH, 10, "\x52\x05\x41\xa1\x01x", 3); /* text for an error */
    check_refused(&s);
    PUT(&s, TMK_AMQP_DETACH, 10, "\x52\x05\x41\x00\x53\x1d\xc0\x04\x01\xa1\x01x",
        3); /* text, no symbol */
    check_refused(&s);
    PUT(&s, TMK_AMQP_DETACH, 10, "\x52\x05\x41\x00\x53\x1d\xc0\x04\x01\xa3\x01x", 3);
    check_taken(&s);
    PUT(&s, TMK_AMQP_DETACH, 10, "\x52\x05\x41\x00\x53\x1e\xc0\x04\x01\xa3\x01x",
        3); /* another type */
    check_refused(&s);
    PUT(&s, TMK_AMQP_DETACH, 10, "\x52\x05\x41\x45", 2); /* more than was counted */
    check_refused(&s);
    PUT(&s, TMK_AMQP_DETACH, 10, "\x00\x53\x01\x52\x05", 1); /* a described handle */
    check_refused(&s);
    server_frame(&s, 0, 10, TMK_AMQP_DETACH, TMK_LIT("\x52\x05"), 1, TMK_LIT("payload"));
    check_refused(&s);
    tmk_str_add_slice(&s, TMK_LIT("\x00\x00\x00\x1f\x02\x00\x00\x0a\x00\xa3\x10"
                                  "amqp:detach:list\xc0\x03\x01\x52\x05")); /* by name */
    check_refused(&s);
    PUT(&s, TMK_AMQP_END, 10, "\x00\x53\x1d\x45", 1); /* an error without a condition */
    check_refused(&s);
}

/* A map in a map in a map ...: Proton decodes by recursion. */
static void put_nested(tmk_str *s, unsigned depth) {
    tmk_wire_mark marks[64];
    tmk_frame_mark m = tmk_frame_begin(s, 0, 10, TMK_AMQP_FLOW);

    tmk_wire_null(s);
    for (unsigned i = 0; i < 3; i++) {
        tmk_wire_put_uint(s, 1);
    }
    for (unsigned i = 4; i < 10; i++) {
        tmk_wire_null(s);
    }
    for (unsigned i = 0; i < depth; i++) {
        marks[i] = tmk_wire_begin_map(s);
        tmk_wire_put_symbol(s, TMK_LIT("k"));
    }
    tmk_wire_null(s);
    for (unsigned i = depth; i-- > 0;) {
        tmk_wire_end_map(s, marks[i], 2);
    }
    tmk_frame_end_fields(s, m, 11);
    tmk_frame_end(s, m);
}

static void nesting_is_bounded(void) {
    tmk_str s = TMK_STR_INIT;

    put_nested(&s, 7); /* the performative itself is the first container */
    check_taken(&s);
    put_nested(&s, 8);
    check_refused(&s);
    put_nested(&s, 60);
    check_refused(&s);
}

static void put_wide(tmk_str *s, uint32_t pairs) {
    tmk_frame_mark m = tmk_frame_begin(s, 0, 0, TMK_AMQP_OPEN);
    tmk_wire_mark map;

    tmk_wire_put_string(s, TMK_LIT("c"));
    for (unsigned i = 1; i < 9; i++) {
        tmk_wire_null(s);
    }
    map = tmk_wire_begin_map(s);
    for (uint32_t i = 0; i < pairs; i++) {
        tmk_wire_put_symbol(s, TMK_LIT("k"));
        tmk_wire_null(s);
    }
    tmk_wire_end_map(s, map, 2 * pairs);
    tmk_frame_end_fields(s, m, 10);
    tmk_frame_end(s, m);
}

static void the_number_of_values_is_bounded(void) {
    for (int i = 0; i < 2; i++) {
        pair p;
        tmk_str s = TMK_STR_INIT;

        start(&p, false);
        server_header(&s, 0);
        put_wide(&s, i == 0 ? 1000 : 1020);
        CHECK_EQ(i == 0 ? TMK_OK : TMK_EPROTO, in(&p, &s));
        done(&p);
    }
}

static void compound_descriptors_are_refused(void) {
    tmk_str s = TMK_STR_INIT;

    /* In the properties of a flow: described by a list; by a described value; twice. */
#define FLOW_WITH(value)                                                              \
    PUT(&s, TMK_AMQP_FLOW, 10, "\x40\x43\x43\x43\x40\x40\x40\x40\x40\x40" value, 11); \
    check_refused(&s)
    FLOW_WITH("\xc1\x07\x02\xa3\x01k\x00\x45\x41");
    FLOW_WITH("\xc1\x0a\x02\xa3\x01k\x00\x00\x53\x01\x53\x02\x41");
    FLOW_WITH("\xc1\x0b\x02\xa3\x01k\x00\x53\x01\x00\x53\x02\x41");
    FLOW_WITH("\xc1\x08\x02\xa3\x01k\xe0\x02\x00\x40\x40"); /* bytes behind an empty array */
    FLOW_WITH("\xc1\x0a\x02\xa3\x01k\xf0\x00\x00\x00\x05\xff");
    PUT(&s, TMK_AMQP_FLOW, 10,
        "\x40\x43\x43\x43\x40\x40\x40\x40\x40\x40\xc1\x08\x02\xa3\x01k\x00\x53\x01\x41", 11);
    check_taken(&s);
}

/* ---- transfers ---- */

/* Debian's Proton aborts the process. */
static void the_first_frame_of_a_delivery_has_an_id(void) {
    tmk_str s = TMK_STR_INIT;

    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x40\xa0\x01t\x43\x41\x41", 6);
    check_refused(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x40\xa0\x01t\x43\x41\x42", 6);
    check_refused(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x43\xa0\x01t\x43\x41\x41", 6);
    check_taken(&s);
}

static void the_first_frame_of_a_delivery_has_a_short_tag(void) {
    tmk_str s = TMK_STR_INIT;

    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x43\x40\x43\x41", 5);
    check_refused(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10,
        "\x52\x05\x43\xa0\x20"
        "12345678901234567890123456789012\x43\x41",
        5);
    check_taken(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10,
        "\x52\x05\x43\xa0\x21"
        "123456789012345678901234567890123\x43\x41",
        5);
    check_refused(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10,
        "\x52\x05\x43\xb0\x00\x00\x00\x21"
        "123456789012345678901234567890123\x43\x41",
        5);
    check_refused(&s);
}

static void transfers_need_a_receiver_of_ours(void) {
    tmk_str s = TMK_STR_INIT;

    server_transfer(&s, 10, 4, 0, false, TMK_LIT("x")); /* no such handle */
    check_refused(&s);
    server_transfer(&s, 12, 5, 0, false, TMK_LIT("x")); /* no such channel */
    check_refused(&s);
    server_transfer(&s, 11, 5, 0, false, TMK_LIT("x")); /* where we send */
    check_refused(&s);
}

static void delivery_ids_follow_each_other(void) {
    tmk_str s = TMK_STR_INIT;

    server_transfer(&s, 10, 5, 0xffffffff, false,
                    TMK_LIT("x")); /* any first one, round the circle */
    server_transfer(&s, 10, 5, 0, false, TMK_LIT("x"));
    check_taken(&s);
    server_transfer(&s, 10, 5, 0, false, TMK_LIT("x"));
    server_transfer(&s, 10, 5, 2, false, TMK_LIT("x"));
    check_refused(&s);
    server_transfer(&s, 10, 5, 7, false, TMK_LIT("x"));
    server_transfer(&s, 10, 5, 7, false, TMK_LIT("x"));
    check_refused(&s);
}

static void continuations_continue(void) {
    tmk_str s = TMK_STR_INIT;

    server_transfer(&s, 10, 5, 0, true, TMK_LIT("x"));
    server_transfer(&s, 10, 5, 1, false, TMK_LIT("x")); /* a new one within the old */
    check_refused(&s);
    server_transfer(&s, 10, 5, 0, true, TMK_LIT("x"));
    server_transfer(&s, 10, 5, 0, false, TMK_LIT("x")); /* all of it again is allowed */
    check_taken(&s);
    server_transfer(&s, 10, 5, 0, true, TMK_LIT("x"));
    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x40\x40\x40\x42", 5); /* settled, and now not */
    check_refused(&s);
    server_transfer(&s, 10, 5, 0, true, TMK_LIT("x"));
    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x40\x40\x52\x01", 4); /* another format */
    check_refused(&s);
    server_transfer(&s, 10, 5, 0, true, TMK_LIT("x"));
    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x40\x40\x40\x40\x40\x40\x40\x40\x41",
        10); /* aborted */
    server_transfer(&s, 10, 5, 1, false, TMK_LIT("x"));
    check_taken(&s);
}

static void credit_is_kept(void) {
    tmk_str s = TMK_STR_INIT;
    pair p;

    for (uint32_t id = 0; id < 3; id++) {
        server_transfer(&s, 10, 5, id, false, TMK_LIT("x"));
    }
    check_taken(&s);
    for (uint32_t id = 0; id < 4; id++) {
        server_transfer(&s, 10, 5, id, false, TMK_LIT("x"));
    }
    check_refused(&s);
    start_linked(&p);
    for (uint32_t id = 0; id < 3; id++) {
        server_transfer(&s, 10, 5, id, false, TMK_LIT("x"));
    }
    CHECK_EQ(TMK_OK, in(&p, &s));
    client_credit(&s, 0, 0, 3, 2);
    client_credit(&s, 0, 0, 3, 0); /* taken back; but two may be under way */
    out(&p, &s);
    server_transfer(&s, 10, 5, 3, false, TMK_LIT("x"));
    server_transfer(&s, 10, 5, 4, false, TMK_LIT("x"));
    CHECK_EQ(TMK_OK, in(&p, &s));
    server_transfer(&s, 10, 5, 5, false, TMK_LIT("x"));
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
}

/* Credit that we grant before the attach is answered counts from the server's first count. */
static void credit_counts_from_where_the_server_begins(void) {
    pair p;
    tmk_str s = TMK_STR_INIT;

    start_open(&p);
    client_begin(&s, 0);
    client_attach(&s, 0, "r", 0, true);
    client_credit(&s, 0, 0, 0, 1);
    out(&p, &s);
    server_begin(&s, 0, 0);
    PUT(&s, TMK_AMQP_ATTACH, 0, "\xa1\x01r\x43\x42\x40\x40\x40\x40\x40\x40\x52\x64", 10); /* 100 */
    server_transfer(&s, 0, 0, 0, false, TMK_LIT("x"));
    CHECK_EQ(TMK_OK, in(&p, &s));
    server_transfer(&s, 0, 0, 1, false, TMK_LIT("x"));
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
}

static void a_message_has_a_largest_size(void) {
    pair p;
    tmk_str s = TMK_STR_INIT;
    char *piece = calloc(1, 50000);

    CHECK(piece != NULL);
    start_linked(&p);
    server_transfer(&s, 10, 5, 0, true, tmk_slice_of(piece, 50000));
    server_more(&s, 10, 5, true, tmk_slice_of(piece, 50000));
    CHECK_EQ(TMK_OK, in(&p, &s));
    server_more(&s, 10, 5, false, TMK_LIT("x"));
    CHECK_EQ(TMK_EPROTO, in(&p, &s));
    done(&p);
    free(piece);
}

static void unusual_transfers_are_understood_too(void) {
    tmk_str s = TMK_STR_INIT;

    /* A short list, an ulong descriptor in full, a state, a receiver's settle mode, boolean bytes.
     */
    tmk_str_add_slice(&s, TMK_LIT("\x00\x00\x00\x15\x02\x00\x00\x0a\x00\x53\x14\xc0\x09\x05"
                                  "\x52\x05\x43\xa0\x01t\x43\x41"));
    s.text[3] = (char)s.size;
    check_taken(&s);
    tmk_str_add_slice(&s, TMK_LIT("\x00\x00\x00\x22\x02\x00\x00\x0a\x00\x80\x00\x00\x00\x00\x00\x00"
                                  "\x00\x14\xc0\x09\x05\x52\x05\x43\xa0\x01t\x43\x41"));
    s.text[3] = (char)s.size;
    check_taken(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10,
        "\x52\x05\x43\xa0\x01t\x43\x56\x01\x56\x00\x50\x00\x00\x53\x24\x45\x42\x42\x42", 11);
    check_taken(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x43\xa0\x01t\x43\x56\x02",
        5); /* neither true nor false */
    check_refused(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x43\xa0\x01t\x43\x41\x42\x40\x41",
        8); /* no state at all */
    check_refused(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10, "", 0);
    check_refused(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x43\xa0\x09t", 3); /* a tag past the end */
    check_refused(&s);
    PUT(&s, TMK_AMQP_TRANSFER, 10, "\x52\x05\x43\xa0\x01t\x43\x41\x42\x40", 5); /* bytes too many */
    check_refused(&s);
}

/* ---- flow and disposition ---- */

/* Proton subtracts without looking, and its credit would be ruined. */
static void delivery_counts_do_not_go_back_or_past_the_credit(void) {
    tmk_str s = TMK_STR_INIT;
    pair p;

    server_flow(&s, 10, 5, 3, 0); /* drained: all three used up */
    check_taken(&s);
    server_flow(&s, 10, 5, 4, 0);
    check_refused(&s);
    server_transfer(&s, 10, 5, 0, false, TMK_LIT("x"));
    server_flow(&s, 10, 5, 0, 0);
    check_refused(&s);
    PUT(&s, TMK_AMQP_FLOW, 10, "\x43\x43\x43\x43\x52\x05", 5); /* no count at all */
    check_refused(&s);
    PUT(&s, TMK_AMQP_FLOW, 10, "\x43\x43\x43\x43", 4); /* the session's alone */
    check_taken(&s);
    server_flow(&s, 10, 4, 0, 0);
    check_refused(&s);
    start_linked(&p);
    tmk_str_reset(&p.passed);
    server_transfer(&s, 10, 5, 0, true, TMK_LIT("x"));
    server_flow(&s, 10, 5, 0, 0); /* the delivery under way is not counted yet: not passed on */
    server_more(&s, 10, 5, false, TMK_LIT("x"));
    CHECK_EQ(TMK_OK, in_slice(&p, tmk_str_slice(&s)));
    CHECK(p.passed.size < s.size);
    tmk_str_clear(&s);
    done(&p);
}

static void credit_of_the_server_is_a_sane_number(void) {
    tmk_str s = TMK_STR_INIT;

    server_flow(&s, 11, 5, 0, 0x7fffffff);
    check_taken(&s);
    server_flow(&s, 11, 5, 0, 0x80000000);
    check_refused(&s);
}

static void dispositions_are_about_what_was_sent(void) {
    pair p;
    tmk_str s = TMK_STR_INIT;
    static const struct {
        uint32_t first, last;
        tmk_status expected;
    } cases[] = {{10, 12, TMK_OK},
                 {12, 12, TMK_OK},
                 {10, 13, TMK_EPROTO},
                 {13, 13, TMK_EPROTO},
                 {12, 10, TMK_EPROTO},
                 {0, 0xffffffff, TMK_EPROTO},
                 {0x80000010, 12, TMK_EPROTO}};

    server_accept(&s, 11, 0, 0); /* nothing was */
    check_refused(&s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start_linked(&p);
        for (uint32_t id = 10; id < 13; id++) {
            server_transfer(&s, 1, 0, id, false, TMK_LIT("x"));
        }
        out(&p, &s);
        server_accept(&s, 11, cases[i].first, cases[i].last);
        CHECK_EQ(cases[i].expected, in(&p, &s));
        done(&p);
    }
}

/* Each would make Proton look at thousands of deliveries, again and again. */
static void dispositions_run_out(void) {
    pair p;
    tmk_str s = TMK_STR_INIT;
    tmk_status st = TMK_OK;
    unsigned count = 0;

    start_linked(&p);
    for (uint32_t id = 0; id < 1000; id++) {
        server_transfer(&s, 1, 0, id, false, TMK_LIT("x"));
    }
    out(&p, &s);
    while (st == TMK_OK) {
        server_accept(&s, 11, 0, 999);
        st = in(&p, &s);
        count++;
    }
    CHECK_EQ(TMK_EPROTO, st);
    CHECK_EQ(18, count);
    done(&p);
}

/* Proton copies the state to each delivery of the range. */
static void a_large_state_is_not_for_many_deliveries(void) {
    for (uint32_t last = 100; last <= 500; last += 400) {
        pair p;
        tmk_str s = TMK_STR_INIT;
        tmk_frame_mark m;
        tmk_wire_mark state, list;
        char *text = calloc(1, 20000);

        CHECK(text != NULL);
        memset(text, 'x', 19999);
        start_linked(&p);
        for (uint32_t id = 0; id <= last; id++) {
            server_transfer(&s, 1, 0, id, false, TMK_LIT("x"));
        }
        out(&p, &s);
        m = tmk_frame_begin(&s, 0, 11, TMK_AMQP_DISPOSITION);
        tmk_wire_put_bool(&s, true);
        tmk_wire_put_uint(&s, 0);
        tmk_wire_put_uint(&s, last);
        tmk_wire_put_bool(&s, true);
        tmk_wire_put_descriptor(&s, TMK_AMQP_REJECTED);
        state = tmk_wire_begin_list(&s);
        tmk_wire_put_descriptor(&s, TMK_AMQP_ERROR);
        list = tmk_wire_begin_list(&s);
        tmk_wire_put_symbol(&s, TMK_LIT("amqp:internal-error"));
        tmk_wire_put_string(&s, tmk_slice_str(text));
        tmk_wire_end_list(&s, list, 2);
        tmk_wire_end_list(&s, state, 1);
        tmk_frame_end_fields(&s, m, 5);
        tmk_frame_end(&s, m);
        CHECK_EQ(last == 100 ? TMK_OK : TMK_EPROTO, in(&p, &s));
        done(&p);
        free(text);
    }
}

/* ---- memory ---- */

static void no_memory_is_told_and_nothing_leaks(void) {
    const tmk_slice caps[] = {TMK_LIT("a-capability")};
    tmk_str ours = TMK_STR_INIT, its = TMK_STR_INIT;

    client_begin(&ours, 3);
    client_attach(&ours, 3, "r", 0, true);
    server_transfer(&ours, 3, 1, 0, false, TMK_LIT("x")); /* kept whole when cut */
    server_header(&its, 0);
    server_open(&its, 65536, 100, 60000);
    server_begin(&its, 20, 3);
    server_attach(&its, 20, "r", 0, false, "offered");
    for (failing_begin(FAILING_ONCE); failing_next();) {
        const tmk_gate_options opts = {.frame_max = FRAME_MAX, .message_max = MESSAGE_MAX};
        tmk_gate *g = NULL;
        tmk_slice rest = tmk_str_slice(&ours), send, pass;
        size_t taken = 1, step = ours.size - 10;
        tmk_status st = tmk_gate_new(&opts, &g, NULL);

        if (st == TMK_OK) {
            st = tmk_gate_ask(g, TMK_LIT("r"), caps, 1, NULL, NULL);
        }
        while (st == TMK_OK && (taken > 0 || rest.size > 0)) {
            st = tmk_gate_out(g, tmk_slice_of(rest.bytes, rest.size < step ? rest.size : step),
                              &taken, &send, NULL);
            rest = tmk_slice_from(rest, st == TMK_OK ? taken : 0);
        }
        rest = tmk_str_slice(&its);
        while (st == TMK_OK) {
            st = tmk_gate_in(g, rest, &taken, &pass, NULL);
            rest = tmk_slice_from(rest, st == TMK_OK ? taken : 0);
        }
        CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_AGAIN, st);
        g = tmk_gate_free(g);
        CHECK_EQ(0, failing_live());
    }
    tmk_str_clear(&ours);
    tmk_str_clear(&its);
}

static bool same_transfer(const gate_transfer *a, const gate_transfer *b) {
    return a->handle == b->handle && a->has_id == b->has_id && (!a->has_id || a->id == b->id) &&
           a->has_format == b->has_format && (!a->has_format || a->format == b->format) &&
           a->has_settled == b->has_settled && a->settled == b->settled && a->more == b->more &&
           a->aborted == b->aborted && a->tag_size == b->tag_size;
}

/* With a payload behind it a transfer is read in a shorter way, to the same end. */
static void a_payload_changes_nothing_in_how_a_transfer_is_read(void) {
    static const char forms[][32] = {
        "\x00\x53\x14\xc0\x15\x0b\x43\x70\x01\x02\x03\x04\xa0\x04tagsCA@@@@@@",
        "\x00\x53\x14\xc0\x0f\x06R\x07R\x09\xa0\x01xp\x80\x00\x00\x01\x41\x42",
        "\x00\x53\x14\xc0\x07\x06\x43@@@@A", "\x00\x53\x14\xc0\x0c\x0b\x43@@@@A@@BAB"};
    uint8_t bytes[128], alone[64];
    gate_transfer with, without;
    size_t size = 0, end = 0;
    unsigned taken = 0;
    tmk_rng rng;

    tmk_rng_seed(&rng, 7);
    for (unsigned i = 0; i < 200000; i++) {
        const char *form = forms[i % 4];

        memset(bytes, 0x40, sizeof bytes);
        memcpy(bytes, form, 5 + (size_t)form[4]);
        if (i >= 4) {
            bytes[3 + tmk_rng_below(&rng, 28)] = (uint8_t)tmk_rng_next(&rng);
            bytes[3 + tmk_rng_below(&rng, 28)] = (uint8_t)(0x40 + tmk_rng_below(&rng, 4));
        }
        end = bytes[3] == 0xc0 ? (size_t)5 + bytes[4] : 0;
        if (end < 12 || end > 60) {
            continue;
        }
        memcpy(alone, bytes, end);
        if (!tmk_gate_take_transfer(tmk_slice_of(alone, end), &without, &size)) {
            CHECK(i >= 4);
            CHECK(!tmk_gate_take_transfer(tmk_slice_of(bytes, sizeof bytes), &with, &size));
            continue;
        }
        taken++;
        CHECK(tmk_gate_take_transfer(tmk_slice_of(bytes, sizeof bytes), &with, &size));
        CHECK_EQ(end, size);
        CHECK(same_transfer(&with, &without));
    }
    CHECK(taken > 1000);
}

int main(void) {
    return RUN(
        TEST(a_payload_changes_nothing_in_how_a_transfer_is_read),
        TEST(good_frames_pass_from_where_they_lie), TEST(cutting_changes_nothing),
        TEST(outgoing_bytes_are_the_same_however_they_are_cut),
        TEST(what_is_no_amqp_is_refused_at_the_first_byte), TEST(frames_have_their_limits),
        TEST(sasl_goes_in_its_order_only), TEST(sasl_frames_are_small),
        TEST(the_open_comes_first_and_once), TEST(unusable_settings_are_refused),
        TEST(proton_is_told_of_smaller_frames_than_the_server_takes),
        TEST(sessions_are_ours_to_begin), TEST(a_session_has_room_for_so_many_links),
        TEST(links_are_ours_to_attach), TEST(handles_are_small_numbers),
        TEST(a_detached_handle_is_gone), TEST(a_link_may_be_made_anew_on_the_old_handle),
        TEST(a_thousand_sessions_come_and_go), TEST(performatives_have_the_right_types),
        TEST(nesting_is_bounded), TEST(the_number_of_values_is_bounded),
        TEST(compound_descriptors_are_refused), TEST(the_first_frame_of_a_delivery_has_an_id),
        TEST(the_first_frame_of_a_delivery_has_a_short_tag),
        TEST(transfers_need_a_receiver_of_ours), TEST(delivery_ids_follow_each_other),
        TEST(continuations_continue), TEST(credit_is_kept),
        TEST(credit_counts_from_where_the_server_begins), TEST(a_message_has_a_largest_size),
        TEST(unusual_transfers_are_understood_too),
        TEST(delivery_counts_do_not_go_back_or_past_the_credit),
        TEST(credit_of_the_server_is_a_sane_number), TEST(dispositions_are_about_what_was_sent),
        TEST(dispositions_run_out), TEST(a_large_state_is_not_for_many_deliveries),
        TEST(no_memory_is_told_and_nothing_leaks));
}
