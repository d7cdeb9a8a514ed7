/* WebSocket frames: reading them as a stream, writing their heads. Pure. See ws_codec.h. */
#include "net/ws_codec.h"

#include "base/assert.h"
#include "base/status.h"

enum { FIN = 0x80, RESERVED = 0x70, OPCODE = 0x0f, MASKED = 0x80, SIZE = 0x7f, NO_CODE = 1005 };

void tmk_ws_reader_init(tmk_ws_reader *r, tmk_ws_side side) {
    *r = (tmk_ws_reader){.side = side};
}

static tmk_status broken(tmk_error *err, const char *what) {
    return tmk_fail(err, TMK_EPROTO, "websocket", "the other side broke the WebSocket protocol: %s",
                    what);
}

static bool is_control(const tmk_ws_reader *r) {
    return (r->head[0] & 0x08) != 0;
}

static size_t size_field(const tmk_ws_reader *r) {
    uint8_t size = r->head[1] & SIZE;

    return size == 127 ? 8 : size == 126 ? 2 : 0;
}

/* How many bytes the head has, as far as those seen so far tell. */
static size_t head_wanted(const tmk_ws_reader *r) {
    return r->head_size < 2 ? 2 : 2 + size_field(r) + ((r->head[1] & MASKED) != 0 ? 4U : 0U);
}

/* What the first two bytes allow to be judged. */
static tmk_status check_head(const tmk_ws_reader *r, tmk_error *err) {
    uint8_t opcode = r->head[0] & OPCODE;
    bool masked = (r->head[1] & MASKED) != 0;

    if ((r->head[0] & RESERVED) != 0) {
        return broken(err, "reserved bits are set");
    }
    if (masked != (r->side == TMK_WS_SERVER)) {
        return broken(err,
                      masked ? "a server masks its frames" : "a client does not mask its frames");
    }
    if (is_control(r)) {
        if (opcode > TMK_WS_PONG) {
            return broken(err, "an unknown kind of frame");
        }
        if ((r->head[0] & FIN) == 0 || (r->head[1] & SIZE) > TMK_WS_CONTROL_MAX) {
            return broken(err, "a control frame is fragmented or too large");
        }
        return TMK_OK;
    }
    if (opcode != TMK_WS_CONTINUATION && opcode != TMK_WS_BINARY) {
        return broken(err, "a frame is not binary");
    }
    if ((opcode == TMK_WS_CONTINUATION) != r->in_message) {
        return broken(err, "fragments of a message are out of order");
    }
    return TMK_OK;
}

/* The head is complete: the size of the payload, and what follows from it. */
static tmk_status begin_payload(tmk_ws_reader *r, tmk_error *err) {
    size_t field = size_field(r);
    uint64_t size = 0;

    for (size_t i = 0; i < field; i++) {
        size = size << 8 | r->head[2 + i];
    }
    size = field == 0 ? r->head[1] & SIZE : size;
    if ((field == 2 && size < 126) || (field == 8 && (size <= UINT16_MAX || size > INT64_MAX))) {
        return broken(err, "the size of a frame is badly written");
    }
    if (!is_control(r)) {
        r->in_message = (r->head[0] & FIN) == 0;
    }
    r->in_payload = true;
    r->left = size;
    r->done = 0;
    return TMK_OK;
}

static tmk_status read_head(tmk_ws_reader *r, const uint8_t *bytes, size_t size, size_t *used,
                            tmk_error *err) {
    while (r->head_size < head_wanted(r)) {
        if (*used == size) {
            return TMK_OK;
        }
        r->head[r->head_size++] = bytes[(*used)++];
        if (r->head_size == 2 && check_head(r, err) < 0) {
            return TMK_EPROTO;
        }
    }
    return begin_payload(r, err);
}

void tmk_ws_mask(uint8_t *bytes, size_t size, const uint8_t mask[4], uint64_t place) {
    uint8_t turned[8];
    uint64_t eight = 0;
    size_t i = 0;

    for (size_t k = 0; k < sizeof turned; k++) {
        turned[k] = mask[(place + k) % 4];
    }
    memcpy(&eight, turned, sizeof eight);
    for (; i + sizeof eight <= size; i += sizeof eight) {
        uint64_t part = 0;

        memcpy(&part, bytes + i, sizeof part);
        part ^= eight;
        memcpy(bytes + i, &part, sizeof part);
    }
    for (; i < size; i++) {
        bytes[i] ^= turned[i % 8];
    }
}

/* Some more of the payload, unmasked where it lies. */
static tmk_slice take_payload(tmk_ws_reader *r, uint8_t *bytes, size_t size, size_t *used) {
    size_t part = size - *used;
    uint8_t *from = bytes + *used;

    part = part < r->left ? part : (size_t)r->left;
    if (part > 0 && r->side == TMK_WS_SERVER) {
        tmk_ws_mask(from, part, r->head + 2 + size_field(r), r->done);
    }
    *used += part;
    r->done += part;
    r->left -= part;
    return tmk_slice_of(from, part);
}

static bool is_close_code(unsigned code) {
    return (code >= 1000 && code <= 1014 && code != 1004 && code != NO_CODE && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static tmk_status read_close(tmk_ws_reader *r, tmk_ws_event *event, tmk_error *err) {
    unsigned code = (unsigned)r->control[0] << 8 | r->control[1];

    event->kind = TMK_WS_EVENT_CLOSE;
    event->code = NO_CODE;
    if (event->payload.size > 0) {
        if (event->payload.size < 2 || !is_close_code(code) ||
            !tmk_slice_is_utf8(tmk_slice_from(event->payload, 2))) {
            return broken(err, "a close frame is badly written");
        }
        event->code = (uint16_t)code;
        event->payload = tmk_slice_from(event->payload, 2);
    }
    r->closed = true;
    return TMK_OK;
}

static tmk_status finish_control(tmk_ws_reader *r, tmk_ws_event *event, tmk_error *err) {
    event->payload = tmk_slice_of(r->control, (size_t)r->done);
    switch (r->head[0] & OPCODE) {
    case TMK_WS_PING:
        event->kind = TMK_WS_EVENT_PING;
        return TMK_OK;
    case TMK_WS_PONG:
        event->kind = TMK_WS_EVENT_PONG;
        return TMK_OK;
    default:
        return read_close(r, event, err);
    }
}

/* One step inside a payload; sets the kind when there is something to tell. */
static tmk_status read_payload(tmk_ws_reader *r, uint8_t *bytes, size_t size, size_t *used,
                               tmk_ws_event *event, tmk_error *err) {
    size_t place = (size_t)r->done;
    tmk_slice part = take_payload(r, bytes, size, used);

    if (r->left == 0) {
        r->in_payload = false;
        r->head_size = 0;
    }
    if (!is_control(r)) {
        event->kind = part.size > 0 ? TMK_WS_EVENT_DATA : TMK_WS_EVENT_NONE;
        event->payload = part;
        return TMK_OK;
    }
    tmk_assert(place + part.size <= sizeof r->control);
    if (part.size > 0) {
        memcpy(r->control + place, part.bytes, part.size);
    }
    return r->left == 0 ? finish_control(r, event, err) : TMK_OK;
}

tmk_status tmk_ws_read(tmk_ws_reader *r, uint8_t *bytes, size_t size, size_t *used,
                       tmk_ws_event *event, tmk_error *err) {
    tmk_ws_event found = {.kind = TMK_WS_EVENT_NONE};
    tmk_status st = TMK_OK;
    size_t taken = 0;

    if (r->closed) {
        taken = size; /* what comes after a close is to be ignored */
    }
    while (st == TMK_OK && found.kind == TMK_WS_EVENT_NONE && taken < size) {
        if (!r->in_payload) {
            st = read_head(r, bytes, size, &taken, err);
        }
        if (st == TMK_OK && r->in_payload) {
            st = read_payload(r, bytes, size, &taken, &found, err);
        }
    }
    if (st < 0) {
        return st;
    }
    *used = taken;
    *event = found;
    return TMK_OK;
}

size_t tmk_ws_frame_head(uint8_t out[TMK_WS_FRAME_HEAD_MAX], tmk_ws_opcode opcode, uint64_t size,
                         const uint8_t mask[4]) {
    size_t field = size > UINT16_MAX ? 8 : size > TMK_WS_CONTROL_MAX ? 2 : 0;
    uint8_t short_size = (uint8_t)(field == 8 ? 127 : field == 2 ? 126 : size);

    out[0] = (uint8_t)(FIN | opcode);
    out[1] = (uint8_t)(short_size | (mask == NULL ? 0 : MASKED));
    for (size_t i = 0; i < field; i++) {
        out[2 + i] = (uint8_t)(size >> 8 * (field - 1 - i));
    }
    if (mask != NULL) {
        memcpy(out + 2 + field, mask, 4);
    }
    return 2 + field + (mask == NULL ? 0 : 4);
}
