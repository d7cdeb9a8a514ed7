/*
 * The thin outside of the hub: sockets, timers and threads round the engine.
 * One loop thread owns everything in here; other threads only post tasks.
 */
#ifndef TMK_HUB_SHELL_H
#define TMK_HUB_SHELL_H

#include <tidemark/hub.h>

#include "net/loop.h"

#include "hub/engine.h"
#include "hub/keep.h"
#include "hub/pipe.h"

typedef struct tmk_hub_listener {
    tmk_watch watch;
    tmk_hub *hub;
    tmk_hub_door door;
    char address[80]; /* "127.0.0.1:41873"; "" when it does not listen */
    uint16_t port;
} tmk_hub_listener;

typedef struct tmk_hub_peer tmk_hub_peer;

struct tmk_hub {
    tmk_loop *loop;
    tmk_hub_server server;
    tmk_hub_listener doors[3];
    tmk_list peers;     /* tmk_hub_peer.node */
    tmk_list visitors;  /* connections to the control door; http.c */
    tmk_timer minder;   /* retention, rules that end */
    tmk_hub_keep *keep; /* NULL: events are in memory alone */
    tmk_bell stored;    /* rung by the log's thread */
    char *connection_string;
    tmk_hub_tls *tls;                  /* NULL: none */
    uint8_t buffer[TMK_HUB_PIPE_ROOM]; /* what is being read */
};

/* Puts the time of this turn into the server; at the start of whatever the loop calls. */
void tmk_hub_tick(tmk_hub *h);
/* Pumps and flushes every connection with something to send; at the end of it. */
void tmk_hub_settle(tmk_hub *h);

/* ---- listen.c ---- */
tmk_status tmk_hub_listen(tmk_hub_listener *l, const char *address, tmk_error *err);
void tmk_hub_listen_again(tmk_hub_listener *l); /* it may have stopped for want of descriptors */
void tmk_hub_unlisten(tmk_hub_listener *l);

/* ---- peer.c: an AMQP connection's socket ---- */
void tmk_hub_peer_accept(tmk_hub *h, int fd, tmk_hub_door door); /* owns fd */
tmk_hub_peer *tmk_hub_peer_free(tmk_hub_peer *p);
void tmk_hub_peer_flush(tmk_hub_peer *p); /* may free it */
void tmk_hub_peers_clear(tmk_hub *h);

/* ---- http.c: a connection to the control door ---- */
void tmk_hub_visitor_accept(tmk_hub *h, int fd); /* owns fd */
void tmk_hub_visitors_clear(tmk_hub *h);

#endif
