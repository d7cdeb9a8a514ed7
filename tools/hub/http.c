/*
 * The control door: a small HTTP/1.1 server, one request a connection.
 *
 *   GET /healthz, /state, /metrics; POST /faults; DELETE /faults[/ID]
 *
 * Requests are bounded in size and time. See shell.h.
 */
#include "hub/shell.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/file.h"

#include "hub/faults.h"

enum { REQUEST_MAX = 256 << 10, TIME_S = 30 };

typedef struct visitor {
    tmk_list node;
    tmk_hub *hub;
    tmk_watch watch;
    tmk_timer timer;
    tmk_str in, out;
    size_t out_at;
    bool answered;
} visitor;

static void visitor_free(visitor *v) {
    tmk_loop_unwatch(v->hub->loop, &v->watch);
    tmk_timer_clear(v->hub->loop, &v->timer);
    tmk_fd_close(v->watch.fd);
    tmk_str_clear(&v->in);
    tmk_str_clear(&v->out);
    tmk_list_remove(&v->node);
    tmk_free(v);
}

void tmk_hub_visitors_clear(tmk_hub *h) {
    tmk_list *node;

    while ((node = tmk_list_first(&h->visitors)) != NULL) {
        visitor_free(tmk_container_of(node, visitor, node));
    }
}

/* ---- requests ---- */

typedef struct request {
    tmk_slice method, path, body;
} request;

static size_t head_size(tmk_slice in) {
    const uint8_t *end = memmem(in.bytes, in.size, "\r\n\r\n", 4);

    return end == NULL ? 0 : (size_t)(end - in.bytes) + 4;
}

/* false: no number. Absent: 0. */
static bool content_length(tmk_slice head, uint64_t *out) {
    bool more = true;

    *out = 0;
    while (more) {
        tmk_slice line = tmk_slice_trim(tmk_slice_cut(&head, '\n', &more));
        tmk_slice name = tmk_slice_cut(&line, ':', NULL);
        if (tmk_slice_eq_nocase(name, TMK_LIT("content-length"))) {
            return tmk_slice_uint64(tmk_slice_trim(line), out);
        }
    }
    return true;
}

/* AGAIN: it is not all there yet. EPROTO: it never will be. */
static tmk_status read_request(tmk_slice in, request *r) {
    size_t size = head_size(in);
    tmk_slice head = tmk_slice_of(in.bytes, size), line;
    uint64_t body = 0;

    if (size == 0) {
        return in.size > REQUEST_MAX ? TMK_EPROTO : TMK_AGAIN;
    }
    line = tmk_slice_trim(tmk_slice_cut(&head, '\n', NULL));
    if (!content_length(head, &body) || body > REQUEST_MAX) {
        return TMK_EPROTO;
    }
    if (in.size - size < body) {
        return TMK_AGAIN;
    }
    r->method = tmk_slice_cut(&line, ' ', NULL);
    r->path = tmk_slice_cut(&line, ' ', NULL);
    r->path = tmk_slice_cut(&r->path, '?', NULL);
    r->body = tmk_slice_of(in.bytes + size, body);
    return r->path.size == 0 ? TMK_EPROTO : TMK_OK;
}

/* ---- answers ---- */

static void answer(visitor *v, const char *status, const char *type, const tmk_str *body) {
    tmk_str_addf(&v->out,
                 "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                 "Connection: close\r\n\r\n",
                 status, type, body->size);
    tmk_str_add_slice(&v->out, tmk_str_slice(body));
}

static void answer_error(visitor *v, const char *status, const char *text) {
    tmk_str body = TMK_STR_INIT;

    tmk_str_add(&body, "{\"error\":");
    tmk_str_add_json(&body, tmk_slice_str(text));
    tmk_str_add(&body, "}\n");
    answer(v, status, "application/json", &body);
    tmk_str_clear(&body);
}

static void post_fault(visitor *v, tmk_slice json) {
    tmk_str body = TMK_STR_INIT;
    uint64_t id = 0, met = 0;
    tmk_error err;

    if (tmk_hub_fault_do(&v->hub->server, json, &id, &met, &err) < 0) {
        answer_error(v, "400 Bad Request", err.text);
        return;
    }
    tmk_str_addf(&body, "{\"id\":%" PRIu64 ",\"met\":%" PRIu64 "}\n", id, met);
    answer(v, "200 OK", "application/json", &body);
    tmk_str_clear(&body);
}

static void delete_fault(visitor *v, tmk_slice path) {
    tmk_str body = TMK_STR_INIT;
    uint64_t id = 0;

    if (path.size > 0 && !tmk_slice_uint64(tmk_slice_from(path, 1), &id)) {
        answer_error(v, "404 Not Found", "faults have numbers: DELETE /faults/7");
        return;
    }
    tmk_str_addf(&body, "{\"removed\":%u}\n", tmk_hub_fault_undo(&v->hub->server, id));
    answer(v, "200 OK", "application/json", &body);
    tmk_str_clear(&body);
}

static bool get(visitor *v, tmk_slice path) {
    tmk_str body = TMK_STR_INIT;
    const char *type = "application/json";

    if (tmk_slice_eq(path, TMK_LIT("/state"))) {
        tmk_hub_server_state(&v->hub->server, &body);
    } else if (tmk_slice_eq(path, TMK_LIT("/metrics"))) {
        type = "text/plain; version=0.0.4";
        tmk_hub_server_metrics(&v->hub->server, &body);
    } else if (tmk_slice_eq(path, TMK_LIT("/healthz"))) {
        type = "text/plain";
        tmk_str_add(&body, "ok\n");
    } else {
        return false;
    }
    answer(v, tmk_str_ok(&body) ? "200 OK" : "500 Out Of Memory", type, &body);
    tmk_str_clear(&body);
    return true;
}

static void handle(visitor *v, const request *r) {
    static const char faults[] = "/faults";
    bool is_faults = tmk_slice_starts(r->path, TMK_LIT("/faults"));
    tmk_slice behind = tmk_slice_from(r->path, sizeof faults - 1);

    if (tmk_slice_eq(r->method, TMK_LIT("GET")) && get(v, r->path)) {
        return;
    }
    if (is_faults && behind.size == 0 && tmk_slice_eq(r->method, TMK_LIT("POST"))) {
        post_fault(v, r->body);
    } else if (is_faults && (behind.size == 0 || behind.bytes[0] == '/') &&
               tmk_slice_eq(r->method, TMK_LIT("DELETE"))) {
        delete_fault(v, behind);
    } else {
        answer_error(v, "404 Not Found",
                     "there are GET /healthz, /state, /metrics, POST /faults, DELETE /faults[/ID]");
    }
}

/* ---- the socket ---- */

/* false: it is over. */
static bool send_answer(visitor *v) {
    while (v->out_at < v->out.size) {
        ssize_t n =
            send(v->watch.fd, v->out.text + v->out_at, v->out.size - v->out_at, MSG_NOSIGNAL);
        if (n < 0) {
            (void)tmk_loop_rewatch(v->hub->loop, &v->watch, TMK_LOOP_WRITE, NULL);
            return errno == EAGAIN || errno == EINTR;
        }
        v->out_at += (size_t)n;
    }
    return false;
}

/* false: it is over. */
static bool receive(visitor *v) {
    request r = {{0}, {0}, {0}};
    ssize_t n = recv(v->watch.fd, v->hub->buffer, sizeof v->hub->buffer, 0);
    tmk_status st;

    if (n <= 0) {
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    tmk_str_add_slice(&v->in, tmk_slice_of(v->hub->buffer, (size_t)n));
    st = tmk_str_ok(&v->in) ? read_request(tmk_str_slice(&v->in), &r) : TMK_EPROTO;
    if (st == TMK_AGAIN) {
        return true;
    }
    if (st == TMK_OK) {
        handle(v, &r);
    } else {
        answer_error(v, "400 Bad Request", "this is no request that can be understood");
    }
    v->answered = true;
    return tmk_str_ok(&v->out) && send_answer(v);
}

static void ready(tmk_watch *w, unsigned events) {
    visitor *v = tmk_container_of(w, visitor, watch);
    tmk_hub *h = v->hub;
    bool alive;

    tmk_hub_tick(h);
    if ((events & (TMK_LOOP_READ | TMK_LOOP_WRITE)) == 0) {
        alive = false;
    } else {
        alive = v->answered ? send_answer(v) : receive(v);
    }
    if (!alive) {
        visitor_free(v);
    }
    tmk_hub_settle(h);
}

static void fire(tmk_timer *t) {
    visitor_free(tmk_container_of(t, visitor, timer));
}

void tmk_hub_visitor_accept(tmk_hub *h, int fd) {
    visitor *v = tmk_new(visitor);

    if (v == NULL) {
        tmk_fd_close(fd);
        return;
    }
    v->hub = h;
    v->watch.fd = fd;
    v->watch.ready = ready;
    tmk_list_push_back(&h->visitors, &v->node);
    if (tmk_timer_init(h->loop, &v->timer, fire) < 0 ||
        tmk_loop_watch(h->loop, &v->watch, fd, TMK_LOOP_READ, NULL) < 0) {
        visitor_free(v);
        return;
    }
    tmk_timer_set(h->loop, &v->timer, h->server.now + TIME_S * TMK_SEC);
}
