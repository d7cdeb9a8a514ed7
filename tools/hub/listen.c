/* Listening sockets. See shell.h. */
#include "hub/shell.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"

enum { BACKLOG = 512, ACCEPTS_PER_TURN = 64 };

static void accept_ready(tmk_watch *w, unsigned events) {
    tmk_hub_listener *l = tmk_container_of(w, tmk_hub_listener, watch);
    const int on = 1;

    (void)events;
    tmk_hub_tick(l->hub);
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            /* It would be told again and again: tmk_hub_listen_again() tries later. */
            tmk_warn(&l->hub->server.log, "hub.full", "errno=%d", errno);
            (void)tmk_loop_rewatch(l->hub->loop, w, 0, NULL);
        }
        if (fd < 0) {
            break; /* none, or one that has gone already */
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (l->door == TMK_HUB_DOOR_CONTROL) {
            tmk_hub_visitor_accept(l->hub, fd);
        } else {
            tmk_hub_peer_accept(l->hub, fd, l->door);
        }
    }
    tmk_hub_settle(l->hub);
}

/* "ADDR:PORT" or "[v6]:PORT"; port 0 is fine here, and an empty ADDR is every address. */
static bool split(const char *address, tmk_slice *host, const char **port) {
    const char *colon = strrchr(address, ':');
    uint64_t number = 0;

    if (colon == NULL || !tmk_slice_uint64(tmk_slice_str(colon + 1), &number) || number > 65535) {
        return false;
    }
    *host = tmk_slice_of(address, (size_t)(colon - address));
    *port = colon + 1;
    if (host->size >= 2 && host->bytes[0] == '[' && host->bytes[host->size - 1] == ']') {
        *host = tmk_slice_of(host->bytes + 1, host->size - 2);
    }
    return true;
}

static tmk_status lookup(const char *address, struct addrinfo **out, tmk_error *err) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    tmk_slice host = {0};
    const char *port = NULL;
    char *name = NULL;
    int problem;

    if (!split(address, &host, &port)) {
        return tmk_fail(err, TMK_EINVAL, "hub",
                        "cannot listen on '%s': use ADDR:PORT, like 127.0.0.1:5672", address);
    }
    name = tmk_slice_dup(host);
    if (name == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for an address");
    }
    problem = getaddrinfo(name[0] == '\0' ? NULL : name, port, &hints, out);
    tmk_free(name);
    if (problem != 0) {
        return tmk_fail(err, TMK_EINVAL, "hub", "cannot listen on '%s': %s", address,
                        gai_strerror(problem));
    }
    return TMK_OK;
}

static tmk_status open_socket(const struct addrinfo *a, const char *address, int *out,
                              tmk_error *err) {
    const int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return tmk_fail_errno(err, errno, "listen on", address);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        tmk_status st = tmk_fail_errno(err, errno, "listen on", address);
        tmk_fd_close(fd);
        return st;
    }
    *out = fd;
    return TMK_OK;
}

static void note_address(tmk_hub_listener *l, int fd) {
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    char host[64] = "";
    char port[8] = "0";
    bool v6;

    memset(&at, 0, sizeof at);
    (void)getsockname(fd, (struct sockaddr *)&at, &size);
    (void)getnameinfo((struct sockaddr *)&at, size, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV);
    v6 = at.ss_family == AF_INET6;
    l->port = (uint16_t)strtoul(port, NULL, 10);
    (void)snprintf(l->address, sizeof l->address, "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "",
                   port);
}

tmk_status tmk_hub_listen(tmk_hub_listener *l, const char *address, tmk_error *err) {
    struct addrinfo *found = NULL;
    int fd = -1;
    tmk_status st = lookup(address, &found, err);

    if (found != NULL) {
        st = open_socket(found, address, &fd, err);
    }
    if (st == TMK_OK) {
        l->watch.ready = accept_ready;
        st = tmk_loop_watch(l->hub->loop, &l->watch, fd, TMK_LOOP_READ, err);
    }
    if (st == TMK_OK) {
        note_address(l, fd);
    } else {
        tmk_fd_close(fd);
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    return st;
}

void tmk_hub_listen_again(tmk_hub_listener *l) {
    if (l->watch.added) {
        (void)tmk_loop_rewatch(l->hub->loop, &l->watch, TMK_LOOP_READ, NULL);
    }
}

void tmk_hub_unlisten(tmk_hub_listener *l) {
    if (l->watch.added) {
        tmk_loop_unwatch(l->hub->loop, &l->watch);
        l->watch.fd = tmk_fd_close(l->watch.fd);
    }
}
