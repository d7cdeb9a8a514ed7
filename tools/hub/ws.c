/* WebSocket on the server's side: the upgrade, and bytes in frames. See pipe.h. */
#include "hub/pipe.h"

#include "base/alloc.h"
#include "net/ws_codec.h"

enum { OUT_ROOM = 64 << 10 };

struct tmk_hub_ws {
    tmk_str head; /* of the upgrade, as far as it has come */
    bool open;    /* the upgrade is done */
    bool ending;  /* a close or a refusal is the last thing that goes out */
    tmk_ws_reader reader;
    tmk_str out; /* frames, from out_at on */
    size_t out_at;
};

tmk_hub_ws *tmk_hub_ws_new(void) {
    tmk_hub_ws *w = tmk_new(tmk_hub_ws);

    if (w != NULL) {
        tmk_ws_reader_init(&w->reader, TMK_WS_SERVER);
    }
    return w;
}

tmk_hub_ws *tmk_hub_ws_free(tmk_hub_ws *w) {
    if (w != NULL) {
        tmk_str_clear(&w->head);
        tmk_str_clear(&w->out);
        tmk_free(w);
    }
    return NULL;
}

/* ---- out ---- */

tmk_status tmk_hub_ws_flush(tmk_hub_pipe *p) {
    tmk_hub_ws *w = p->ws;

    while (w->out_at < w->out.size) {
        size_t taken = 0;
        tmk_status st = tmk_hub_lower_write(p, (const uint8_t *)w->out.text + w->out_at,
                                            w->out.size - w->out_at, &taken);
        if (st != TMK_OK) {
            return st;
        }
        w->out_at += taken;
    }
    w->out_at = 0;
    tmk_str_reset(&w->out);
    return w->ending ? TMK_EIO : TMK_OK;
}

static tmk_status put_frame(tmk_hub_ws *w, tmk_ws_opcode opcode, tmk_slice payload) {
    uint8_t head[TMK_WS_FRAME_HEAD_MAX];
    size_t size = tmk_ws_frame_head(head, opcode, payload.size, NULL);

    tmk_str_add_slice(&w->out, tmk_slice_of(head, size));
    tmk_str_add_slice(&w->out, payload);
    return tmk_str_ok(&w->out) ? TMK_OK : TMK_ENOMEM;
}

tmk_status tmk_hub_ws_write(tmk_hub_pipe *p, const uint8_t *from, size_t size, size_t *taken) {
    tmk_hub_ws *w = p->ws;
    tmk_status st = tmk_hub_ws_flush(p);

    if (st != TMK_OK) {
        return st;
    }
    if (!w->open) {
        return TMK_AGAIN; /* nobody speaks before the upgrade */
    }
    size = size < OUT_ROOM ? size : OUT_ROOM;
    st = put_frame(w, TMK_WS_BINARY, tmk_slice_of(from, size));
    if (st < 0) {
        return st;
    }
    *taken = size;
    st = tmk_hub_ws_flush(p);
    return st < 0 ? st : TMK_OK; /* what is left goes with the next flush */
}

/* ---- the upgrade ---- */

static bool is_ours(tmk_slice path) {
    tmk_slice plain = tmk_slice_cut(&path, '?', NULL);

    return tmk_slice_eq(plain, TMK_LIT("/$servicebus/websocket")) ||
           tmk_slice_eq(plain, TMK_LIT("/$servicebus/websocket/"));
}

static void answer(tmk_hub_ws *w, tmk_slice head) {
    tmk_ws_request r;

    if (tmk_ws_request_parse(head, &r, NULL) < 0) {
        tmk_ws_refusal_write(&w->out, 400, "Bad Request");
    } else if (!is_ours(r.path)) {
        tmk_ws_refusal_write(&w->out, 404, "Not Found");
    } else if (r.protocol == NULL) {
        tmk_ws_refusal_write(&w->out, 400, "Subprotocol Must Be AMQPWSB10");
    } else {
        tmk_ws_response_write(&w->out, r.key, r.protocol);
        w->open = true;
    }
    w->ending = !w->open;
}

/* Takes the upgrade's head from what was read; what is behind it is moved to the front. */
static tmk_status upgrade(tmk_hub_ws *w, uint8_t *bytes, size_t *size) {
    size_t before = w->head.size, head_size, used;

    tmk_str_add_slice(&w->head, tmk_slice_of(bytes, *size));
    if (!tmk_str_ok(&w->head)) {
        return TMK_ENOMEM;
    }
    head_size = tmk_ws_head_size(tmk_str_slice(&w->head));
    if (head_size == 0) {
        *size = 0;
        return w->head.size > TMK_WS_HEAD_MAX ? TMK_EIO : TMK_AGAIN;
    }
    answer(w, tmk_slice_of(w->head.text, head_size));
    used = head_size - before;
    *size -= used;
    memmove(bytes, bytes + used, *size);
    tmk_str_clear(&w->head);
    return TMK_OK;
}

/* ---- in ---- */

/* Unpacks frames in place: the payload is moved together at the front; *size is its size then. */
static tmk_status unpack(tmk_hub_ws *w, uint8_t *bytes, size_t *size) {
    size_t place = 0, payload = 0;
    tmk_status st = TMK_OK;

    while (st == TMK_OK && !w->ending) {
        tmk_ws_event e;
        size_t used = 0;
        st = tmk_ws_read(&w->reader, bytes + place, *size - place, &used, &e, NULL);
        if (st < 0 || e.kind == TMK_WS_EVENT_NONE) {
            break;
        }
        place += used;
        if (e.kind == TMK_WS_EVENT_DATA) {
            memmove(bytes + payload, e.payload.bytes, e.payload.size);
            payload += e.payload.size;
        } else if (e.kind == TMK_WS_EVENT_PING) {
            st = put_frame(w, TMK_WS_PONG, e.payload);
        } else if (e.kind == TMK_WS_EVENT_CLOSE) {
            st = put_frame(w, TMK_WS_CLOSE, tmk_slice_of("\x03\xe8", 2)); /* 1000 */
            w->ending = true;
        }
    }
    *size = payload;
    return st;
}

tmk_status tmk_hub_ws_read(tmk_hub_pipe *p, uint8_t *into, size_t room, size_t *got) {
    tmk_hub_ws *w = p->ws;
    size_t size = 0;
    tmk_status st;

    if (w->out.size > OUT_ROOM + TMK_HUB_PIPE_ROOM) {
        return TMK_EIO; /* it pings and does not read */
    }
    st = tmk_hub_lower_read(p, into, room, &size);
    if (st == TMK_OK && !w->open) {
        st = upgrade(w, into, &size);
    }
    if (st == TMK_OK && w->open) {
        st = unpack(w, into, &size);
    }
    if (st == TMK_OK || st == TMK_AGAIN) {
        tmk_status flushed = tmk_hub_ws_flush(p);
        st = flushed < 0 ? flushed : st;
    }
    if (st == TMK_OK && size == 0) {
        return TMK_AGAIN;
    }
    *got = size;
    return st;
}
