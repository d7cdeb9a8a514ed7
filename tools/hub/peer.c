/*
 * One AMQP connection's socket: reads into the engine, writes what the engine
 * has, wakes it at its deadline. Faults of sockets are done here. See shell.h.
 */
#include "hub/shell.h"

#include "base/alloc.h"
#include "base/file.h"

#include "hub/faults.h"
#include "hub/pipe.h"

enum { READS_PER_TURN = 4, WRITES_PER_TURN = 8 };

struct tmk_hub_peer {
    tmk_list node;
    tmk_hub *hub;
    tmk_watch watch;
    tmk_timer timer;
    tmk_hub_pipe pipe;
    tmk_hub_conn *conn;
    bool ended;        /* nothing more comes from there, or goes */
    bool frozen;       /* a fault: the socket is left alone */
    tmk_time write_at; /* a fault: nothing is written before */
};

tmk_hub_peer *tmk_hub_peer_free(tmk_hub_peer *p) {
    if (p != NULL) {
        tmk_loop_unwatch(p->hub->loop, &p->watch);
        tmk_timer_clear(p->hub->loop, &p->timer);
        tmk_hub_conn_free(p->conn);
        tmk_hub_pipe_close(&p->pipe);
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
    uint8_t *buffer = p->hub->buffer;

    for (int i = 0; i < READS_PER_TURN || tmk_hub_pipe_holds(&p->pipe); i++) {
        size_t got = 0;
        tmk_status st;
        if (!tmk_hub_conn_reads(p->conn)) {
            return;
        }
        st = tmk_hub_pipe_read(&p->pipe, buffer, sizeof p->hub->buffer, &got);
        if (st == TMK_OK) {
            tmk_hub_conn_input(p->conn, tmk_slice_of(buffer, got));
        } else {
            p->ended = st != TMK_AGAIN;
            return;
        }
    }
}

/* ---- out ---- */

/* How much may be written now; 0: nothing. */
static size_t allowance(tmk_hub_peer *p, size_t size) {
    tmk_time now = p->hub->server.now;
    tmk_hub_rule rule;

    if (!tmk_hub_conn_ruled(p->conn, TMK_HUB_RULE_DRIP, &rule)) {
        return size;
    }
    if (now < p->write_at) {
        return 0;
    }
    p->write_at = now + rule.ms * TMK_MS;
    return size < (size_t)rule.bytes ? size : (size_t)rule.bytes;
}

/* true: all went, there may be more to pump. */
static bool write_out(tmk_hub_peer *p) {
    tmk_slice out = tmk_hub_conn_output(p->conn);
    size_t taken = 0, size = out.size == 0 ? 0 : allowance(p, out.size);
    tmk_status st;

    if (size == 0) {
        return false;
    }
    st = tmk_hub_pipe_write(&p->pipe, out.bytes, size, &taken);
    if (st == TMK_OK) {
        tmk_hub_conn_sent(p->conn, taken);
        return taken == size;
    }
    p->ended = st < 0;
    return false;
}

/* A frozen one is not even watched: a hang-up would be told again and again. */
static bool freeze(tmk_hub_peer *p) {
    tmk_hub_rule rule;
    bool frozen = tmk_hub_conn_ruled(p->conn, TMK_HUB_RULE_FREEZE, &rule);

    if (frozen) {
        tmk_loop_unwatch(p->hub->loop, &p->watch);
        tmk_timer_stop(p->hub->loop, &p->timer);
        tmk_hub_conn_rest(p->conn);
    } else if (p->frozen) {
        tmk_hub_conn_input(p->conn, (tmk_slice){0}); /* the silence was ours */
        p->ended = tmk_loop_watch(p->hub->loop, &p->watch, p->pipe.fd, TMK_LOOP_READ, NULL) < 0;
    }
    p->frozen = frozen;
    return frozen;
}

static void watch_again(tmk_hub_peer *p, bool left) {
    tmk_time due = tmk_hub_conn_deadline(p->conn);
    bool waits = p->write_at > p->hub->server.now;
    unsigned wanted = tmk_hub_conn_reads(p->conn) ? TMK_LOOP_READ : 0U;

    if (left || (!waits && tmk_hub_conn_has_more(p->conn))) {
        wanted |= TMK_LOOP_WRITE;
    }
    if (waits && tmk_hub_conn_has_more(p->conn)) {
        due = tmk_time_min(due, p->write_at);
    }
    if ((wanted & TMK_LOOP_READ) != 0 && tmk_hub_pipe_holds(&p->pipe)) {
        due = p->hub->server.now;
    }
    (void)tmk_loop_rewatch(p->hub->loop, &p->watch, wanted, NULL);
    tmk_timer_set(p->hub->loop, &p->timer, due);
}

void tmk_hub_peer_flush(tmk_hub_peer *p) {
    tmk_status st = TMK_OK;

    if (freeze(p)) {
        return;
    }
    for (int i = 0; i < WRITES_PER_TURN && st == TMK_OK; i++) {
        tmk_hub_conn_pump(p->conn);
        st = tmk_hub_pipe_flush(&p->pipe);
        if (st != TMK_OK || !write_out(p)) {
            break;
        }
    }
    if (p->ended || st < 0 || (st == TMK_OK && tmk_hub_conn_over(p->conn)) ||
        tmk_hub_conn_broken(p->conn)) {
        tmk_hub_peer_free(p);
        return;
    }
    watch_again(p, st == TMK_AGAIN);
}

static void ready(tmk_watch *w, unsigned events) {
    tmk_hub_peer *p = tmk_container_of(w, tmk_hub_peer, watch);
    tmk_hub *h = p->hub;

    tmk_hub_tick(h);
    if ((events & TMK_LOOP_READ) != 0) {
        read_in(p);
    } else if ((events & TMK_LOOP_HANGUP) != 0) {
        p->ended = true;
    }
    tmk_hub_conn_ready(p->conn);
    tmk_hub_settle(h);
}

static void fire(tmk_timer *t) {
    tmk_hub_peer *p = tmk_container_of(t, tmk_hub_peer, timer);
    tmk_hub *h = p->hub;

    tmk_hub_tick(h);
    if (tmk_hub_pipe_holds(&p->pipe)) {
        read_in(p);
    }
    tmk_hub_conn_step(p->conn);
    tmk_hub_settle(h);
}

static bool refused(tmk_hub *h) {
    tmk_hub_server *s = &h->server;
    tmk_hub_subject anywhere = {.connection = 0};
    tmk_hub_rule rule;

    return tmk_hub_rules_hit(&s->rules, TMK_HUB_RULE_REFUSE_CONNECTIONS, &anywhere, s->now, &s->rng,
                             &rule);
}

void tmk_hub_peer_accept(tmk_hub *h, int fd, tmk_hub_door door) {
    tmk_hub_peer *p = refused(h) ? NULL : tmk_new(tmk_hub_peer);

    if (p == NULL) {
        tmk_fd_close(fd);
        return;
    }
    p->hub = h;
    p->watch.ready = ready;
    tmk_list_push_back(&h->peers, &p->node);
    if (tmk_hub_pipe_open(&p->pipe, fd, h->tls, door == TMK_HUB_DOOR_WEBSOCKET) < 0 ||
        (p->conn = tmk_hub_conn_new(&h->server, p)) == NULL ||
        tmk_timer_init(h->loop, &p->timer, fire) < 0 ||
        tmk_loop_watch(h->loop, &p->watch, fd, TMK_LOOP_READ, NULL) < 0) {
        tmk_hub_peer_free(p);
        return;
    }
    tmk_hub_conn_ready(p->conn);
}
