/*
 * A client of the hub's engine for tests: it writes frames by hand, and tells
 * what it was answered as a line of text for each frame. No socket, no clock.
 *
 *   hub_client c;  hub_client_init(&c, &server);
 *   say_hello(&c); say_begin(&c, 0, 100); ...
 *   CHECK_STR("begin 0\n", hear(&c));
 */
#ifndef TMK_TESTS_HUB_CLIENT_H
#define TMK_TESTS_HUB_CLIENT_H

#include "amqp/wire.h"
#include "hub/engine.h"

typedef struct hub_client {
    tmk_hub_server *server;
    tmk_hub_conn *conn;
    tmk_str said;  /* not sent yet */
    tmk_str heard; /* raw, not told yet */
    tmk_str told;  /* what hear() returned last */
    size_t piece;  /* bytes fed at a time; 0: all at once */
    uint32_t frame_max;
} hub_client;

/* A server with the hub "hub" of 4 partitions, the group "g", and the key "all"/"secret" (others:
 * "listen", "send" with just that right). The time is 1000 s, 1700000000 in the world. */
void hub_server_init(tmk_hub_server *s);
void hub_server_add_events(tmk_hub_server *s, const char *partition, int count, size_t size);
void hub_server_pass(tmk_hub_server *s,
                     tmk_time passed); /* time goes on; connections are stepped */

void hub_client_init(hub_client *c, tmk_hub_server *s);
void hub_client_clear(hub_client *c);

void say(hub_client *c, const void *bytes, size_t size);
void say_header(hub_client *c, int protocol); /* 0 AMQP, 3 SASL */
void say_init(hub_client *c, const char *mechanism, tmk_slice response);
void say_open(hub_client *c, uint32_t frame_max, uint32_t idle_ms);
void say_hello(hub_client *c); /* all until and with open, by SASL ANONYMOUS */
void say_begin(hub_client *c, uint16_t channel, uint32_t window);
void say_end(hub_client *c, uint16_t channel);
void say_close(hub_client *c);
void say_detach(hub_client *c, uint16_t channel, uint32_t handle);

typedef struct say_link {
    uint16_t channel;
    uint32_t handle;
    const char *address;
    const char *selector; /* receivers; NULL: no filter */
    int64_t level;        /* -1: none */
    bool metrics;
    const char *reply_to; /* target of a receiver */
} say_link;
void say_receiver(hub_client *c, const say_link *l);
void say_sender(hub_client *c, uint16_t channel, uint32_t handle, const char *address);

void say_flow(hub_client *c, uint16_t channel, uint32_t next_in, uint32_t window, int handle,
              uint32_t count, uint32_t credit, bool drain);
typedef struct say_delivery {
    uint16_t channel;
    uint32_t handle, id, format;
    bool more, settled, aborted, next; /* next: not the first transfer of the delivery */
    tmk_slice payload;
} say_delivery;
void say_transfer(hub_client *c, const say_delivery *d);
/* A message with one data section, as a delivery. */
void say_event(hub_client *c, uint16_t channel, uint32_t handle, uint32_t id, const char *body);

/* $cbs on channel 0, handles 0 and 1, with credit; then put_token() as often as wanted. */
void say_cbs(hub_client *c);
/* A good token of this key for the audience that lives for `life_s`. */
void say_token(hub_client *c, uint32_t id, const char *key_name, const char *audience,
               int64_t life_s);
tmk_str make_sas(const char *key_name, const char *audience, int64_t expires_s);

/* Sends all that was said, pumps, and tells what came back. Valid until the next call. */
const char *hear(hub_client *c);
/* The same without telling: the raw bytes are in c->heard. */
void exchange(hub_client *c);

#endif
