/* See net_server.h. */
#include "support/net_server.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"

static int listen_on_any(uint16_t *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    tmk_assert(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 64) == 0);
    tmk_assert(getsockname(fd, (struct sockaddr *)&a, &size) == 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static void *serve_one(void *arg) {
    net_connection *c = arg;
    int fd = -1;

    c->server->serve(c);
    tmk_mutex_lock(&c->server->lock);
    fd = c->fd;
    c->fd = -1;
    (void)tmk_fd_close(fd);
    tmk_mutex_unlock(&c->server->lock);
    return NULL;
}

static void *accept_all(void *arg) {
    const struct timeval patience = {.tv_sec = 5};
    net_server *s = arg;

    for (int number = 0; number < NET_SERVER_CONNECTIONS; number++) {
        net_connection *c = &s->connections[number];
        int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0) {
            break;
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        c->server = s;
        c->number = number;
        tmk_mutex_lock(&s->lock);
        c->fd = fd;
        tmk_mutex_unlock(&s->lock);
        atomic_store(&s->accepted, number + 1);
        tmk_assert(tmk_thread_start(&c->thread, "net-server", serve_one, c, NULL) == TMK_OK);
    }
    return NULL;
}

void net_server_start(net_server *s, void (*serve)(net_connection *c), void *user) {
    memset(s, 0, sizeof *s);
    s->serve = serve;
    s->user = user;
    for (size_t i = 0; i < NET_SERVER_CONNECTIONS; i++) {
        s->connections[i].fd = -1;
    }
    tmk_assert(tmk_mutex_init(&s->lock, 900, NULL) == TMK_OK);
    s->fd = listen_on_any(&s->port);
    tmk_assert(tmk_thread_start(&s->thread, "net-accept", accept_all, s, NULL) == TMK_OK);
}

void net_server_stop(net_server *s) {
    (void)shutdown(s->fd, SHUT_RDWR); /* accept() returns */
    tmk_thread_join(&s->thread);
    s->fd = tmk_fd_close(s->fd);
    tmk_mutex_lock(&s->lock);
    for (size_t i = 0; i < NET_SERVER_CONNECTIONS; i++) {
        if (s->connections[i].fd >= 0) {
            (void)shutdown(s->connections[i].fd, SHUT_RDWR);
        }
    }
    tmk_mutex_unlock(&s->lock);
    for (size_t i = 0; i < NET_SERVER_CONNECTIONS; i++) {
        tmk_thread_join(&s->connections[i].thread);
    }
    tmk_mutex_clear(&s->lock);
}

uint16_t net_closed_port(void) {
    uint16_t port = 0;

    (void)tmk_fd_close(listen_on_any(&port));
    return port;
}

bool net_send(net_connection *c, tmk_slice bytes) {
    while (bytes.size > 0) {
        ssize_t sent = send(c->fd, bytes.bytes, bytes.size, MSG_NOSIGNAL);

        if (sent <= 0) {
            return false;
        }
        bytes = tmk_slice_from(bytes, (size_t)sent);
    }
    return true;
}

bool net_send_text(net_connection *c, const char *text) {
    return net_send(c, tmk_slice_str(text));
}

void net_reset(net_connection *c) {
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

bool net_read_exactly(net_connection *c, size_t size, tmk_str *out) {
    char part[4096];

    while (size > 0) {
        ssize_t got = recv(c->fd, part, size < sizeof part ? size : sizeof part, 0);

        if (got <= 0) {
            return false;
        }
        tmk_str_add_slice(out, tmk_slice_of(part, (size_t)got));
        size -= (size_t)got;
    }
    return true;
}

bool net_read_until(net_connection *c, const char *end, tmk_str *out) {
    while (!tmk_slice_ends(tmk_str_slice(out), tmk_slice_str(end))) {
        if (out->size > 1 << 20 || !net_read_exactly(c, 1, out)) {
            return false;
        }
    }
    return true;
}

bool net_wait_end(net_connection *c) {
    char part[4096];
    ssize_t got = 0;

    do {
        got = recv(c->fd, part, sizeof part, 0);
    } while (got > 0);
    return got == 0;
}

bool net_read_request(net_connection *c, tmk_str *head, tmk_str *body) {
    const char *length = NULL;

    tmk_str_reset(head);
    tmk_str_reset(body);
    if (!net_read_until(c, "\r\n\r\n", head)) {
        return false;
    }
    length = strcasestr(tmk_str_text(head), "\r\nContent-Length:");
    return length == NULL || net_read_exactly(c, strtoul(length + 17, NULL, 10), body);
}
