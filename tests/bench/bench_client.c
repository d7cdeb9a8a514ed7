/*
 * The whole way of an event through a consumer, in virtual time: the hub's
 * engine and the client in one thread, joined in memory, so that every run does
 * the same. For tools/counts.py, which counts what happens within
 *   tmk_gate_in              gate, lane, link, position, scanner, burst
 *   tmk_amqp_handle_events   hand-over to the program, credit
 */
#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"
#include "support/pond.h"

static uint64_t got;

static void on_events(void *user, tmk_received *r) {
    (void)user;
    got += tmk_received_count(r);
    (void)tmk_received_free(r);
}

int main(int argc, char **argv) {
    static pond p;
    unsigned events = argc > 1 ? (unsigned)atoi(argv[1]) : 20000;
    pond_options po = {.seed = 5};
    tmk_consumer_options o;
    tmk_consumer *consumer = NULL;
    tmk_error err;

    pond_begin(&p, &po);
    pond_put(&p, "0", events, 100);
    tmk_consumer_options_init(&o);
    o.partition = "0";
    o.start = tmk_start_earliest();
    o.on_events = on_events;
    if (tmk_consumer_new(p.client, &o, &consumer, &err) < 0 ||
        !pond_until_count(&p, &got, events, 600000)) {
        (void)fprintf(stderr, "bench: %llu of %u events came\n", (unsigned long long)got, events);
        return 1;
    }
    (void)printf("measured.events\t%u\tevents\n", events);
    (void)tmk_consumer_free(consumer);
    pond_end(&p);
    return 0;
}
