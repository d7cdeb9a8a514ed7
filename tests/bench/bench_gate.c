/*
 * What the frame gate costs for a message of 100 bytes that is received: handed
 * on by a data lane, or passed on to the engine. For tools/counts.py:
 *   valgrind --tool=callgrind --toggle-collect=tmk_gate_in bench_gate EVENTS lane|pass
 */
#include "amqp/gate.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/measure.h"
#include "support/events.h"
#include "support/gate_pair.h"

enum { FRAMES = 200 }; /* what a read of the socket may bring */

static uint64_t bytes_taken;

static void on_frame(void *user, tmk_slice payload, tmk_lane_part part) {
    (void)user;
    (void)part;
    bytes_taken += payload.size;
}

static void put_frames(tmk_str *s, uint32_t first) {
    event_text text = {.sequence = 123456789, .enqueued_ms = 1700000000123, .offset = "4294967296"};
    tmk_str message = TMK_STR_INIT;
    char body[101] = {0};

    memset(body, 'x', 100);
    text.body = body;
    event_put(&message, &text);
    for (uint32_t i = 0; i < FRAMES; i++) {
        server_transfer(s, 10, 5, first + i, false, tmk_str_slice(&message));
    }
    tmk_str_clear(&message);
}

static void open_link(pair *p, tmk_data_lane *lane) {
    tmk_str s = TMK_STR_INIT;

    start_open(p);
    if (lane->frame != NULL && tmk_gate_ask(p->gate, TMK_LIT("r"), NULL, 0, lane, NULL) < 0) {
        die("gate", "no memory");
    }
    client_begin(&s, 0);
    client_attach(&s, 0, "r", 0, true);
    if (lane->frame == NULL) {
        client_credit(&s, 0, 0, 0, INT32_MAX);
    } else {
        tmk_lane_grant(lane, INT32_MAX);
    }
    out(p, &s);
    server_begin(&s, 10, 0);
    server_attach(&s, 10, "r", 5, false, NULL);
    if (in(p, &s) != TMK_OK) {
        die("gate", p->err.text);
    }
}

int main(int argc, char **argv) {
    uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000, done_events = 0;
    tmk_data_lane lane = {.frame = argc > 2 && argv[2][0] == 'p' ? NULL : on_frame};
    pair p;

    open_link(&p, &lane);
    for (; done_events < events; done_events += FRAMES) {
        tmk_str s = TMK_STR_INIT;
        tmk_slice rest, pass;
        size_t taken = 0;

        put_frames(&s, (uint32_t)done_events);
        rest = tmk_str_slice(&s);
        while (tmk_gate_in(p.gate, rest, &taken, &pass, &p.err) == TMK_OK) {
            bytes_taken += pass.size;
            rest = tmk_slice_from(rest, taken);
        }
        if (rest.size > 0) {
            die("gate", p.err.text);
        }
        tmk_str_clear(&s);
    }
    (void)printf("measured.events\t%llu\tevents\n", (unsigned long long)done_events);
    tmk_lane_close(&lane);
    done(&p);
    return bytes_taken > events * 100 ? 0 : 1;
}
