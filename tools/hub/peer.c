/*
 * One AMQP connection's socket: reads into the engine, writes what the engine
 * has, wakes it at its deadline. See shell.h.
 */
#include "hub/shell.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

enum { READ_SIZE = 64 << 10, READS_PER_TURN = 4, WRITES_PER_TURN = 8 };

struct tmk_hub_peer {
    tmk_list node;
    tmk_hub *hub;
    tmk_watch watch;
    tmk_timer timer;
    tmk_hub_conn *conn;
    bool ended; /* nothing more comes from there */
};

tmk_hub_peer *tmk_hub_peer_free(tmk_hub_peer *p) {
    if (p != NULL) {
        tmk_loop_unwatch(p->hub->loop, &p->watch);
        tmk_timer_clear(p->hub->loop, &p->timer);
        tmk_hub_conn_free(p->conn);
        tmk_fd_close(p->watch.fd);
        tmk_list_remove(&p->node);
        tmk_free(p);
    }
    return NULL;
}

void tmk_hub_peers_clear(tmk_hub *h) {
    tmk_list *node;

    while ((node = tmk_list_first(&h->peers)) != NULL) {
        tmk_hub_peer_free(tmk_container_of(node, tmk_hub_peer, node));
    }
}

/* ---- in ---- */

static void read_in(tmk_hub_peer *p) {
    static _Thread_local uint8_t buffer[READ_SIZE];

    for (int i = 0; i < READS_PER_TURN && tmk_hub_conn_reads(p->conn); i++) {
        ssize_t got = recv(p->watch.fd, buffer, sizeof buffer, 0);
        if (got > 0) {
            tmk_hub_conn_input(p->conn, tmk_slice_of(buffer, (size_t)got));
        }
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            p->ended = true;
        }
        if (got < (ssize_t)sizeof buffer) {
            break;
        }
    }
}

/* ---- out ---- */

static bool write_out(tmk_hub_peer *p) {
    tmk_slice out = tmk_hub_conn_output(p->conn);
    ssize_t sent;

    if (out.size == 0) {
        return false;
    }
    sent = send(p->watch.fd, out.bytes, out.size, MSG_NOSIGNAL);
    if (sent > 0) {
        tmk_hub_conn_sent(p->conn, (size_t)sent);
        return (size_t)sent == out.size;
    }
    p->ended = p->ended || (errno != EAGAIN && errno != EINTR);
    return false;
}

void tmk_hub_peer_flush(tmk_hub_peer *p) {
    unsigned wanted;

    for (int i = 0; i < WRITES_PER_TURN; i++) {
        tmk_hub_conn_pump(p->conn);
        if (!write_out(p)) {
            break;
        }
    }
    if (p->ended || tmk_hub_conn_over(p->conn)) {
        tmk_hub_peer_free(p);
        return;
    }
    wanted = (tmk_hub_conn_reads(p->conn) ? TMK_LOOP_READ : 0U) |
             (tmk_hub_conn_has_more(p->conn) ? TMK_LOOP_WRITE : 0U);
    (void)tmk_loop_rewatch(p->hub->loop, &p->watch, wanted, NULL);
    tmk_timer_set(p->hub->loop, &p->timer, tmk_hub_conn_deadline(p->conn));
}

static void ready(tmk_watch *w, unsigned events) {
    tmk_hub_peer *p = tmk_container_of(w, tmk_hub_peer, watch);
    tmk_hub *h = p->hub;

    tmk_hub_tick(h);
    if ((events & TMK_LOOP_READ) != 0) {
        read_in(p);
    }
    if ((events & TMK_LOOP_HANGUP) != 0 && (events & TMK_LOOP_READ) == 0) {
        p->ended = true;
    }
    tmk_hub_conn_ready(p->conn);
    tmk_hub_settle(h);
}

static void fire(tmk_timer *t) {
    tmk_hub_peer *p = tmk_container_of(t, tmk_hub_peer, timer);
    tmk_hub *h = p->hub;

    tmk_hub_tick(h);
    tmk_hub_conn_step(p->conn);
    tmk_hub_settle(h);
}

void tmk_hub_peer_accept(tmk_hub *h, int fd, tmk_hub_door door) {
    tmk_hub_peer *p = tmk_new(tmk_hub_peer);

    (void)door;
    if (p == NULL) {
        tmk_fd_close(fd);
        return;
    }
    p->hub = h;
    p->watch.fd = fd;
    p->watch.ready = ready;
    tmk_list_push_back(&h->peers, &p->node);
    p->conn = tmk_hub_conn_new(&h->server, p);
    if (p->conn == NULL || tmk_timer_init(h->loop, &p->timer, fire) < 0 ||
        tmk_loop_watch(h->loop, &p->watch, fd, TMK_LOOP_READ, NULL) < 0) {
        tmk_hub_peer_free(p);
        return;
    }
    tmk_timer_set(h->loop, &p->timer, tmk_hub_conn_deadline(p->conn));
}
