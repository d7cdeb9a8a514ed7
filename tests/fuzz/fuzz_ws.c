/*
 * WebSocket: the first byte chooses client or server and where the rest is cut;
 * then an upgrade head is judged and frames are read. Oracle: cutting changes
 * nothing of what is told, and a server's view of what a client wrote is what
 * went in.
 */
#include "net/ws_codec.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

typedef struct told {
    tmk_str text; /* all events, data runs joined */
    bool in_data;
    tmk_status status;
} told;

static void tell(told *t, const tmk_ws_event *e) {
    if (e->kind == TMK_WS_EVENT_DATA) {
        if (!t->in_data) {
            tmk_str_add_char(&t->text, 'D');
        }
        t->in_data = true;
    } else {
        t->in_data = false;
        tmk_str_addf(&t->text, "<%d %u>", (int)e->kind, e->code);
    }
    tmk_str_add_slice(&t->text, e->payload);
}

static void feed(tmk_ws_reader *r, const uint8_t *bytes, size_t size, told *t) {
    uint8_t *copy = tmk_copy(bytes, size);
    size_t at = 0;

    tmk_assert(copy != NULL);
    while (t->status == TMK_OK) {
        tmk_ws_event e;
        size_t used = 0;

        t->status = tmk_ws_read(r, copy + at, size - at, &used, &e, NULL);
        if (t->status < 0 || e.kind == TMK_WS_EVENT_NONE) {
            break;
        }
        at += used;
        tell(t, &e);
    }
    tmk_free(copy);
}

static void check_cutting(tmk_ws_side side, tmk_slice bytes, size_t step) {
    told whole = {.text = TMK_STR_INIT};
    told cut = {.text = TMK_STR_INIT};
    tmk_ws_reader r;

    tmk_ws_reader_init(&r, side);
    feed(&r, bytes.bytes, bytes.size, &whole);
    tmk_ws_reader_init(&r, side);
    for (size_t at = 0; at < bytes.size; at += step) {
        feed(&r, bytes.bytes + at, step < bytes.size - at ? step : bytes.size - at, &cut);
    }
    tmk_assert(whole.status == cut.status);
    tmk_assert(tmk_slice_eq(tmk_str_slice(&whole.text), tmk_str_slice(&cut.text)));
    tmk_str_clear(&whole.text);
    tmk_str_clear(&cut.text);
}

static void check_round_trip(tmk_slice payload) {
    const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t head[TMK_WS_FRAME_HEAD_MAX];
    size_t size = tmk_ws_frame_head(head, TMK_WS_BINARY, payload.size, mask);
    told t = {.text = TMK_STR_INIT};
    uint8_t *masked = tmk_copy(payload.bytes, payload.size);
    tmk_ws_reader r;

    tmk_assert(masked != NULL);
    tmk_ws_mask(masked, payload.size, mask, 0);
    tmk_ws_reader_init(&r, TMK_WS_SERVER);
    feed(&r, head, size, &t);
    feed(&r, masked, payload.size, &t);
    tmk_assert(t.status == TMK_OK && t.text.size == payload.size + (payload.size > 0));
    tmk_assert(tmk_slice_eq(payload, tmk_slice_from(tmk_str_slice(&t.text), 1)));
    tmk_free(masked);
    tmk_str_clear(&t.text);
}

static void judge_heads(tmk_slice bytes) {
    tmk_ws_request request;
    tmk_str answer = TMK_STR_INIT;

    (void)tmk_ws_head_size(bytes);
    (void)tmk_ws_response_check(bytes, "dGhlIHNhbXBsZSBub25jZQ==", NULL);
    if (tmk_ws_request_parse(bytes, &request, NULL) == TMK_OK) {
        char key[TMK_WS_KEY_SIZE] = {0};

        tmk_assert(request.key.size == sizeof key - 1);
        memcpy(key, request.key.bytes, request.key.size);
        tmk_ws_response_write(&answer, request.key, TMK_WS_AMQP);
        tmk_assert(tmk_ws_response_check(tmk_str_slice(&answer), key, NULL) == TMK_OK);
    }
    tmk_str_clear(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tmk_slice bytes = tmk_slice_from(tmk_slice_of(data, size), 1);
    uint8_t choice = size == 0 ? 0 : data[0];

    check_cutting((choice & 1) != 0 ? TMK_WS_SERVER : TMK_WS_CLIENT, bytes,
                  1U + (choice >> 1) % 16);
    check_round_trip(bytes);
    judge_heads(bytes);
    return 0;
}
