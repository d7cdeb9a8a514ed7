/*
 * A server for tests: a thread that accepts on 127.0.0.1 and a thread for each
 * connection, which runs the test's own function on a plain blocking socket.
 * Every read and write gives up after a few seconds, so that a failed test
 * ends.
 */
#ifndef TMK_TESTS_NET_SERVER_H
#define TMK_TESTS_NET_SERVER_H

#include "base/str.h"
#include "base/thread.h"

#include <stdatomic.h>

enum { NET_SERVER_CONNECTIONS = 128 };

typedef struct net_server net_server;

typedef struct net_connection {
    net_server *server;
    int fd;
    int number; /* 0 for the first */
    tmk_thread thread;
} net_connection;

struct net_server {
    void (*serve)(net_connection *c); /* the socket is closed when it returns */
    void *user;
    uint16_t port;
    int fd;
    atomic_int accepted;
    tmk_thread thread;
    net_connection connections[NET_SERVER_CONNECTIONS];
    tmk_mutex lock; /* rank 900; guards the descriptors of connections */
};

void net_server_start(net_server *s, void (*serve)(net_connection *c), void *user);
void net_server_stop(net_server *s); /* cuts what is open, waits for all threads */
/* A port on which nobody listens. */
uint16_t net_closed_port(void);

bool net_send(net_connection *c, tmk_slice bytes);
bool net_send_text(net_connection *c, const char *text);
void net_reset(net_connection *c); /* the close to come sends RST */
/* Reads up to and with `end`, at most 1 MiB; false at the end of the stream. */
bool net_read_until(net_connection *c, const char *end, tmk_str *out);
bool net_read_exactly(net_connection *c, size_t size, tmk_str *out);
bool net_wait_end(net_connection *c); /* reads and drops until the peer closes */
/* A whole HTTP request: head into *head, body (by Content-Length) into *body. */
bool net_read_request(net_connection *c, tmk_str *head, tmk_str *body);

#endif
