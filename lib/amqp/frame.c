/* Frames: the eight bytes in front, and the performative behind them. See wire.h. */
#include "amqp/wire.h"

#include "amqp/bytes.h"
#include "base/status.h"

enum { HEADER_SIZE = 8 };

static bool is_performative(uint8_t type, uint64_t code) {
    return type == 0 ? code >= TMK_AMQP_OPEN && code <= TMK_AMQP_CLOSE
                     : code >= TMK_SASL_MECHANISMS && code <= TMK_SASL_OUTCOME;
}

static tmk_status take_body(tmk_slice body, tmk_frame *f, tmk_error *err) {
    uint64_t code;

    if (body.size == 0) {
        return TMK_OK;
    }
    if (!tmk_wire_take(&body, &f->performative) || f->performative.kind != TMK_VALUE_LIST) {
        return tmk_fail(err, TMK_EPROTO, "amqp", "a frame holds no performative");
    }
    code = tmk_wire_descriptor(&f->performative);
    if (!is_performative(f->type, code)) {
        return tmk_fail(err, TMK_EPROTO, "amqp", "a frame holds the unknown performative 0x%llx",
                        (unsigned long long)code);
    }
    f->code = (uint8_t)code;
    f->payload = body;
    return TMK_OK;
}

tmk_status tmk_frame_take(tmk_slice bytes, uint32_t limit, size_t *size, tmk_frame *out,
                          tmk_error *err) {
    tmk_frame f;
    uint32_t whole;
    size_t offset;
    tmk_status st;

    if (bytes.size < 4) {
        *size = 0;
        return TMK_AGAIN;
    }
    whole = tmk_load32(bytes.bytes);
    if (whole < HEADER_SIZE || whole > limit) {
        return tmk_fail(err, TMK_EPROTO, "amqp", "a frame of %u bytes, where %d to %u are allowed",
                        whole, HEADER_SIZE, limit);
    }
    if (bytes.size < whole) {
        *size = whole;
        return TMK_AGAIN;
    }
    memset(&f, 0, sizeof f);
    offset = (size_t)bytes.bytes[4] * 4;
    f.type = bytes.bytes[5];
    f.channel = tmk_load16(bytes.bytes + 6);
    if (offset < HEADER_SIZE || offset > whole) {
        return tmk_fail(err, TMK_EPROTO, "amqp", "a frame of %u bytes says it begins at byte %zu",
                        whole, offset);
    }
    if (f.type > 1) {
        return tmk_fail(err, TMK_EPROTO, "amqp", "a frame of the unknown type %u", f.type);
    }
    st = take_body(tmk_slice_of(bytes.bytes + offset, whole - offset), &f, err);
    if (st == TMK_OK) {
        *size = whole;
        *out = f;
    }
    return st;
}

static void put_header(tmk_str *s, uint8_t type, uint16_t channel) {
    uint8_t header[HEADER_SIZE] = {0, 0, 0, HEADER_SIZE, HEADER_SIZE / 4, type};

    tmk_store16(header + 6, channel);
    tmk_str_add_slice(s, tmk_slice_of(header, sizeof header));
}

void tmk_frame_put_empty(tmk_str *s) {
    put_header(s, 0, 0);
}

tmk_frame_mark tmk_frame_begin(tmk_str *s, uint8_t type, uint16_t channel, uint8_t code) {
    tmk_frame_mark m = {s->size, {0}};

    put_header(s, type, channel);
    tmk_wire_put_descriptor(s, code);
    m.fields = tmk_wire_begin_list(s);
    return m;
}

void tmk_frame_end_fields(tmk_str *s, tmk_frame_mark m, uint32_t count) {
    tmk_wire_end_list(s, m.fields, count);
}

void tmk_frame_end(tmk_str *s, tmk_frame_mark m) {
    if (!tmk_str_ok(s)) {
        return;
    }
    if (s->size - m.at > UINT32_MAX) {
        s->failed = true;
        return;
    }
    tmk_store32(s->text + m.at, (uint32_t)(s->size - m.at));
}
