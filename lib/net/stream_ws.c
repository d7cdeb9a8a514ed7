/*
 * AMQP over WebSocket, on top of any stream: the upgrade, then binary frames.
 *
 * Reading needs no buffer of its own: bytes go straight into the caller's, and
 * are moved together where frame heads are taken out. Only what comes in one
 * piece with the answer to the upgrade is kept, until it is read.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/secret.h"
#include "base/status.h"
#include "base/str.h"
#include "net/stream_internal.h"
#include "net/ws_codec.h"

enum {
    CONTROL_ROOM = TMK_WS_FRAME_HEAD_MAX + TMK_WS_CONTROL_MAX,
    OUT_ROOM = TMK_STREAM_STAGE + TMK_WS_FRAME_HEAD_MAX + CONTROL_ROOM,
    HEAD_STEP = 1024
};

typedef struct ws_stream {
    tmk_stream base;
    tmk_stream *inner; /* owned */
    tmk_loop *loop;
    tmk_timer deadline; /* of opening, all layers together */
    tmk_timer soon;     /* tells the user next turn that there are bytes */
    int64_t timeout_ms;
    tmk_rng rng;
    tmk_ws_reader reader;
    char key[TMK_WS_KEY_SIZE];

    enum { OPENING, UPGRADING, OPENED, CLOSED } state;
    tmk_error end;  /* CLOSED: why; status EOF for a normal end */
    tmk_str head;   /* UPGRADING: the request, then the answer's head; OPENED: what followed it */
    size_t head_at; /* of it: bytes sent, or read */
    bool asked;     /* the request is sent, `head` is for the answer */

    uint8_t out[OUT_ROOM]; /* framed and not yet sent: [out_at, out_end) */
    size_t out_at, out_end;
    uint8_t pong[TMK_WS_CONTROL_MAX]; /* of the latest ping that is not answered yet */
    size_t pong_size;
    bool pong_due;

    char peer[300];
} ws_stream;

static ws_stream *of(tmk_stream *s) {
    return tmk_container_of(s, ws_stream, base);
}

/* From here on nothing is read or written any more. */
static void close_with(ws_stream *w, const tmk_error *why) {
    if (w->state != CLOSED) {
        w->state = CLOSED;
        w->end = *why;
        tmk_timer_stop(w->loop, &w->soon);
    }
}

/* ---- writing ---- */

static void frame(ws_stream *w, tmk_ws_opcode opcode, const uint8_t *payload, size_t size) {
    uint8_t mask[4];
    uint8_t *to = w->out + w->out_end;
    size_t head = 0;

    tmk_rng_bytes(&w->rng, mask, sizeof mask);
    head = tmk_ws_frame_head(to, opcode, size, mask);
    tmk_assert(w->out_end + head + size <= sizeof w->out);
    if (size > 0) {
        memcpy(to + head, payload, size);
    }
    tmk_ws_mask(to + head, size, mask, 0);
    w->out_end += head + size;
}

/* OK: all is sent. AGAIN: not yet. */
static tmk_status flush(ws_stream *w, tmk_error *err) {
    for (;;) {
        size_t taken = 0;
        tmk_status st = TMK_OK;

        if (w->out_at == w->out_end) {
            w->out_at = w->out_end = 0;
            if (!w->pong_due) {
                return TMK_OK;
            }
            frame(w, TMK_WS_PONG, w->pong, w->pong_size);
            w->pong_due = false;
        }
        st = tmk_stream_write(w->inner, w->out + w->out_at, w->out_end - w->out_at, &taken, err);
        if (st != TMK_OK) {
            return st;
        }
        w->out_at += taken;
    }
}

static tmk_status ended(const ws_stream *w, tmk_error *err) {
    if (err != NULL) {
        *err = w->end;
    }
    return w->end.status;
}

static tmk_status not_open(const ws_stream *w, tmk_error *err) {
    return w->state == CLOSED ? ended(w, err)
                              : tmk_fail(err, TMK_ESTATE, "websocket",
                                         "the connection to '%s' is not open", w->peer);
}

static tmk_status ws_write(tmk_stream *s, const uint8_t *from, size_t size, size_t *taken,
                           tmk_error *err) {
    ws_stream *w = of(s);
    tmk_status st = TMK_OK;

    if (w->state == CLOSED && w->end.status == TMK_EOF) {
        return tmk_fail_retry(err, TMK_EIO, "websocket", "'%s' has closed the WebSocket", w->peer);
    }
    if (w->state != OPENED) {
        return not_open(w, err);
    }
    st = flush(w, err);
    if (st != TMK_OK) {
        return st;
    }
    size = size < TMK_STREAM_STAGE ? size : TMK_STREAM_STAGE;
    frame(w, TMK_WS_BINARY, from, size);
    st = flush(w, err);
    if (st < 0) {
        return st;
    }
    *taken = size;
    return TMK_OK;
}

/* ---- reading ---- */

static void on_close(ws_stream *w, const tmk_ws_event *e) {
    uint8_t code[2] = {(uint8_t)(e->code >> 8), (uint8_t)e->code};
    char origin[32];
    tmk_error why = {.status = TMK_EOF};

    /* The answer is sent if it can be at once; who closes need not be waited for. */
    frame(w, TMK_WS_CLOSE, code, e->code == 1005 ? 0 : sizeof code);
    (void)flush(w, NULL);
    if (e->code != 1000 && e->code != 1005) {
        (void)snprintf(origin, sizeof origin, "websocket:%u", e->code);
        (void)tmk_fail_retry(&why, TMK_EIO, origin,
                             "'%s' has closed the WebSocket with code %u: %.*s", w->peer, e->code,
                             (int)e->payload.size, (const char *)e->payload.bytes);
        tmk_redact(why.text);
    }
    close_with(w, &why);
}

static void on_ping(ws_stream *w, tmk_slice payload) {
    if (payload.size > 0) {
        memcpy(w->pong, payload.bytes, payload.size);
    }
    w->pong_size = payload.size;
    w->pong_due = true; /* one not yet sent is replaced: the latest is enough */
}

/*
 * Takes the frames out of `bytes`: what is left of them, the payload, is moved to their beginning.
 */
static tmk_status unframe(ws_stream *w, uint8_t *bytes, size_t size, size_t *got, tmk_error *err) {
    size_t at = 0;
    size_t kept = 0;

    while (w->state != CLOSED) {
        tmk_ws_event e;
        size_t used = 0;
        tmk_status st = tmk_ws_read(&w->reader, bytes + at, size - at, &used, &e, err);

        if (st < 0) {
            return st;
        }
        at += used;
        if (e.kind == TMK_WS_EVENT_NONE) {
            break;
        }
        if (e.kind == TMK_WS_EVENT_DATA) {
            memmove(bytes + kept, e.payload.bytes, e.payload.size);
            kept += e.payload.size;
        } else if (e.kind == TMK_WS_EVENT_PING) {
            on_ping(w, e.payload);
        } else if (e.kind == TMK_WS_EVENT_CLOSE) {
            on_close(w, &e);
        }
    }
    *got = kept;
    return TMK_OK;
}

/* Bytes as they come: first those that came with the head, then the inner stream's. */
static tmk_status read_raw(ws_stream *w, uint8_t *into, size_t room, size_t *got, tmk_error *err) {
    size_t left = w->head.size - w->head_at;

    if (left == 0) {
        return tmk_stream_read(w->inner, into, room, got, err);
    }
    left = left < room ? left : room;
    memcpy(into, w->head.text + w->head_at, left);
    w->head_at += left;
    if (w->head_at == w->head.size) {
        tmk_str_clear(&w->head);
        w->head_at = 0;
        tmk_timer_stop(w->loop, &w->soon);
    }
    *got = left;
    return TMK_OK;
}

static tmk_status ws_read(tmk_stream *s, uint8_t *into, size_t room, size_t *got, tmk_error *err) {
    ws_stream *w = of(s);
    tmk_error why = {0};

    while (w->state == OPENED) {
        size_t size = 0;
        tmk_status st = read_raw(w, into, room, &size, &why);

        if (st == TMK_OK) {
            st = unframe(w, into, size, &size, &why);
        }
        if (st == TMK_EOF) {
            why.status = TMK_EOF;
        }
        if (st == TMK_AGAIN) {
            st = flush(w, &why); /* pongs */
            if (st >= 0) {
                return TMK_AGAIN;
            }
        }
        if (st != TMK_OK) {
            close_with(w, &why);
        } else if (size > 0) {
            if (w->state == OPENED) {
                (void)flush(w, NULL); /* a failure is told by what comes next */
            }
            *got = size;
            return TMK_OK;
        }
    }
    return not_open(w, err);
}

/* ---- opening ---- */

/* The last that happens in opening: the user may free everything. */
static void tell_opened(ws_stream *w, tmk_status st, tmk_error *err) {
    tmk_timer_stop(w->loop, &w->deadline);
    if (st < 0) {
        close_with(w, err);
    } else {
        w->state = OPENED;
        if (w->head.size > w->head_at) {
            tmk_timer_set(w->loop, &w->soon, tmk_loop_now(w->loop));
        }
    }
    w->base.opened(&w->base, st, err);
}

static tmk_status send_request(ws_stream *w, tmk_error *err) {
    while (w->head_at < w->head.size) {
        size_t taken = 0;
        tmk_status st = tmk_stream_write(w->inner, (const uint8_t *)w->head.text + w->head_at,
                                         w->head.size - w->head_at, &taken, err);

        if (st != TMK_OK) {
            return st;
        }
        w->head_at += taken;
    }
    tmk_str_reset(&w->head);
    w->head_at = 0;
    w->asked = true;
    return TMK_OK;
}

static tmk_status read_answer(ws_stream *w, tmk_error *err) {
    while (tmk_ws_head_size(tmk_str_slice(&w->head)) == 0) {
        uint8_t part[HEAD_STEP];
        size_t got = 0;
        tmk_status st = tmk_stream_read(w->inner, part, sizeof part, &got, err);

        if (st == TMK_EOF) {
            return tmk_fail_retry(err, TMK_EIO, "websocket",
                                  "'%s' closed the connection instead of a WebSocket", w->peer);
        }
        if (st != TMK_OK) {
            return st;
        }
        tmk_str_add_slice(&w->head, tmk_slice_of(part, got));
        if (!tmk_str_ok(&w->head)) {
            return tmk_fail(err, TMK_ENOMEM, "websocket", "no memory for a connection");
        }
        if (w->head.size > TMK_WS_HEAD_MAX) {
            return tmk_fail(err, TMK_EPROTO, "websocket",
                            "the answer of '%s' to the WebSocket request is too long", w->peer);
        }
    }
    w->head_at = tmk_ws_head_size(tmk_str_slice(&w->head));
    return tmk_ws_response_check(tmk_slice_of(w->head.text, w->head_at), w->key, err);
}

static void upgrade(ws_stream *w) {
    tmk_error err = {0};
    tmk_status st = w->asked ? TMK_OK : send_request(w, &err);

    if (st == TMK_OK) {
        st = read_answer(w, &err);
    }
    if (st != TMK_AGAIN) {
        tell_opened(w, st, &err);
    }
}

static void on_inner_opened(tmk_stream *inner, tmk_status st, const tmk_error *err) {
    ws_stream *w = inner->user;

    if (w->state != OPENING) {
        return; /* the deadline was first */
    }
    if (st < 0) {
        tmk_error why = *err;

        tell_opened(w, st, &why);
        return;
    }
    w->state = UPGRADING;
    upgrade(w);
}

static void on_inner_ready(tmk_stream *inner) {
    ws_stream *w = inner->user;

    if (w->state == UPGRADING) {
        upgrade(w);
    } else if (w->state == OPENED) {
        (void)flush(w, NULL); /* a failure is told by the user's next read or write */
        w->base.ready(&w->base);
    } else {
        /* Refused or closed: whatever still comes is dropped, so that it does not come for ever. */
        uint8_t part[HEAD_STEP];
        size_t got = 0;

        (void)tmk_stream_read(inner, part, sizeof part, &got, NULL);
    }
}

static void on_soon(tmk_timer *t) {
    ws_stream *w = tmk_container_of(t, ws_stream, soon);

    tmk_timer_set(w->loop, &w->soon, tmk_loop_now(w->loop)); /* until it is read, or freed */
    w->base.ready(&w->base);
}

static void on_deadline(tmk_timer *t) {
    ws_stream *w = tmk_container_of(t, ws_stream, deadline);
    tmk_error err = {0};

    (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "websocket",
                         "no WebSocket from '%s' within %lld ms; is it the right port?", w->peer,
                         (long long)w->timeout_ms);
    tell_opened(w, TMK_ETIMEOUT, &err);
}

static void ws_free(tmk_stream *s) {
    ws_stream *w = of(s);

    if (w->state == OPENED && w->out_at == w->out_end) {
        const uint8_t normal[2] = {1000 >> 8, 1000 & 0xff};

        w->out_at = w->out_end = 0;
        frame(w, TMK_WS_CLOSE, normal, sizeof normal);
        (void)flush(w, NULL); /* a courtesy; nobody waits for it */
    }
    w->inner = tmk_stream_free(w->inner);
    tmk_timer_clear(w->loop, &w->deadline);
    tmk_timer_clear(w->loop, &w->soon);
    tmk_str_clear(&w->head);
    tmk_free(w);
}

static const tmk_stream_ops ws_ops = {ws_read, ws_write, ws_free};

static void write_request(ws_stream *w, const tmk_stream_options *o) {
    const char *path = o->websocket_path != NULL ? o->websocket_path : "/$servicebus/websocket";
    uint16_t port = tmk_stream_dial_port(o);

    tmk_ws_key_make(&w->rng, w->key);
    tmk_ws_request_write(&w->head, tmk_stream_dial_host(o), port == (o->tls ? 443 : 80) ? 0 : port,
                         path, w->key);
}

tmk_status tmk_stream_ws_open(tmk_loop *loop, tmk_stream *inner, const tmk_stream_options *options,
                              tmk_stream **out, tmk_error *err) {
    ws_stream *w = tmk_new(ws_stream);

    if (w == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "websocket", "no memory for a connection");
    }
    w->base.ops = &ws_ops;
    w->loop = loop;
    w->timeout_ms = tmk_stream_timeout_ms(options);
    (void)snprintf(w->peer, sizeof w->peer, "%s:%u", tmk_stream_dial_host(options),
                   tmk_stream_dial_port(options));
    tmk_rng_seed_system(&w->rng);
    tmk_ws_reader_init(&w->reader, TMK_WS_CLIENT);
    write_request(w, options);
    if (!tmk_str_ok(&w->head) || tmk_timer_init(loop, &w->deadline, on_deadline) < 0 ||
        tmk_timer_init(loop, &w->soon, on_soon) < 0) {
        ws_free(&w->base); /* without the inner stream, which stays the caller's */
        return tmk_fail(err, TMK_ENOMEM, "websocket", "no memory for a connection");
    }
    w->inner = inner;
    inner->user = w;
    inner->opened = on_inner_opened;
    inner->ready = on_inner_ready;
    tmk_timer_set(loop, &w->deadline,
                  tmk_time_after(tmk_loop_now(loop), (w->timeout_ms + 200) * TMK_MS));
    *out = &w->base;
    return TMK_OK;
}
