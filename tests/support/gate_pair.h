/*
 * A gate without an engine behind it: what is said to it from both sides, and
 * what it lets through. Receivers and senders are opened by frames as Proton
 * writes them.
 */
#ifndef TMK_TESTS_GATE_PAIR_H
#define TMK_TESTS_GATE_PAIR_H

#include "amqp/gate.h"

#include "support/check.h"
#include "support/server_frames.h"

enum { FRAME_MAX = 65536, MESSAGE_MAX = 100000 };

/* A gate, and what has been said to it. */
typedef struct pair {
    tmk_gate *gate;
    tmk_str passed; /* what Proton would have got */
    tmk_str sent;   /* what the server would have got */
    tmk_error err;
} pair;

static inline void out(pair *p, tmk_str *s) {
    tmk_slice rest = tmk_str_slice(s), send;
    size_t taken;

    do {
        CHECK_EQ(TMK_OK, tmk_gate_out(p->gate, rest, &taken, &send, &p->err));
        tmk_str_add_slice(&p->sent, send);
        rest = tmk_slice_from(rest, taken);
    } while (taken > 0 || send.size > 0);
    CHECK_EQ(0, rest.size);
    tmk_str_clear(s);
}

/* All of it at once; OK when every frame was taken. */
static inline tmk_status in_slice(pair *p, tmk_slice rest) {
    tmk_slice pass;
    size_t taken;
    tmk_status st;

    while ((st = tmk_gate_in(p->gate, rest, &taken, &pass, &p->err)) == TMK_OK) {
        tmk_str_add_slice(&p->passed, pass);
        rest = tmk_slice_from(rest, taken);
    }
    if (st < 0) {
        tmk_status again = tmk_gate_in(p->gate, rest, &taken, &pass, NULL);

        CHECK_EQ(st, again); /* once failed, always failed */
        CHECK(strlen(p->err.text) > 0);
        return st;
    }
    return rest.size == 0 ? TMK_OK : TMK_AGAIN;
}

static inline tmk_status in(pair *p, tmk_str *s) {
    tmk_status st = in_slice(p, tmk_str_slice(s));

    tmk_str_clear(s);
    return st;
}

/* ---- the client's frames, as Proton writes them ---- */

static inline void client_begin(tmk_str *s, uint16_t channel) {
    server_frame(s, 0, channel, TMK_AMQP_BEGIN,
                 TMK_LIT("\x40\x43\x70\x7f\xff\xff\xff\x70\x7f\xff\xff\xff"), 4, TMK_LIT(""));
}

static inline void client_attach(tmk_str *s, uint16_t channel, const char *name, uint32_t handle,
                                 bool receives) {
    server_attach(s, channel, name, handle, receives, NULL);
}

static inline void client_credit(tmk_str *s, uint16_t channel, uint32_t handle, uint32_t count,
                                 uint32_t credit) {
    server_flow(s, channel, handle, count, credit);
}

static inline void client_detach(tmk_str *s, uint16_t channel, uint32_t handle) {
    server_detach(s, channel, handle, NULL);
}

static inline void start(pair *p, bool sasl) {
    const tmk_gate_options opts = {
        .sasl = sasl, .frame_max = FRAME_MAX, .message_max = MESSAGE_MAX};

    memset(p, 0, sizeof *p);
    CHECK_EQ(TMK_OK, tmk_gate_new(&opts, &p->gate, &p->err));
}

/* Past the opens. */
static inline void start_open(pair *p) {
    tmk_str s = TMK_STR_INIT;

    start(p, false);
    server_header(&s, 0);
    server_open(&s, 65536, 4999, 0);
    out(p, &s);
    server_header(&s, 0);
    server_open(&s, 65536, 4999, 240000);
    CHECK_EQ(TMK_OK, in(p, &s));
}

/* A receiver "r" with credit 3 on channel 0, a sender "s" on channel 1; the server's are 10 and 11,
 * and its handles 5. */
static inline void start_linked(pair *p) {
    tmk_str s = TMK_STR_INIT;

    start_open(p);
    client_begin(&s, 0);
    client_begin(&s, 1);
    client_attach(&s, 0, "r", 0, true);
    client_attach(&s, 1, "s", 0, false);
    client_credit(&s, 0, 0, 0, 3);
    out(p, &s);
    server_begin(&s, 10, 0);
    server_begin(&s, 11, 1);
    server_attach(&s, 10, "r", 5, false, NULL);
    server_attach(&s, 11, "s", 5, true, NULL);
    server_flow(&s, 11, 5, 0, 100);
    CHECK_EQ(TMK_OK, in(p, &s));
}

static inline void done(pair *p) {
    p->gate = tmk_gate_free(p->gate);
    tmk_str_clear(&p->passed);
    tmk_str_clear(&p->sent);
}

#endif
