/*
 * Writing AMQP values. See wire.h.
 *
 * Every number and text takes its shortest encoding; containers always take
 * the 32-bit forms, so that nothing moves when their size is known.
 */
#include "amqp/wire.h"

#include "amqp/bytes.h"

/* Format code, then `size` bytes. */
static void put(tmk_str *s, uint8_t code, const void *bytes, size_t size) {
    tmk_str_add_char(s, (char)code);
    tmk_str_add_slice(s, tmk_slice_of(bytes, size));
}

static void put8(tmk_str *s, uint8_t code, uint8_t v) {
    put(s, code, &v, 1);
}

static void put16(tmk_str *s, uint8_t code, uint16_t v) {
    uint8_t bytes[2];

    tmk_store16(bytes, v);
    put(s, code, bytes, sizeof bytes);
}

static void put32(tmk_str *s, uint8_t code, uint32_t v) {
    uint8_t bytes[4];

    tmk_store32(bytes, v);
    put(s, code, bytes, sizeof bytes);
}

static void put64(tmk_str *s, uint8_t code, uint64_t v) {
    uint8_t bytes[8];

    tmk_store64(bytes, v);
    put(s, code, bytes, sizeof bytes);
}

void tmk_wire_null(tmk_str *s) {
    put(s, 0x40, NULL, 0);
}

void tmk_wire_put_bool(tmk_str *s, bool b) {
    put(s, b ? 0x41 : 0x42, NULL, 0);
}

void tmk_wire_put_ubyte(tmk_str *s, uint8_t v) {
    put8(s, 0x50, v);
}

void tmk_wire_put_ushort(tmk_str *s, uint16_t v) {
    put16(s, 0x60, v);
}

void tmk_wire_put_uint(tmk_str *s, uint32_t v) {
    if (v == 0) {
        put(s, 0x43, NULL, 0);
    } else if (v <= UINT8_MAX) {
        put8(s, 0x52, (uint8_t)v);
    } else {
        put32(s, 0x70, v);
    }
}

void tmk_wire_put_ulong(tmk_str *s, uint64_t v) {
    if (v == 0) {
        put(s, 0x44, NULL, 0);
    } else if (v <= UINT8_MAX) {
        put8(s, 0x53, (uint8_t)v);
    } else {
        put64(s, 0x80, v);
    }
}

void tmk_wire_put_byte(tmk_str *s, int8_t v) {
    put8(s, 0x51, (uint8_t)v);
}

void tmk_wire_put_short(tmk_str *s, int16_t v) {
    put16(s, 0x61, (uint16_t)v);
}

void tmk_wire_put_int(tmk_str *s, int32_t v) {
    if (v >= INT8_MIN && v <= INT8_MAX) {
        put8(s, 0x54, (uint8_t)v);
    } else {
        put32(s, 0x71, (uint32_t)v);
    }
}

void tmk_wire_put_long(tmk_str *s, int64_t v) {
    if (v >= INT8_MIN && v <= INT8_MAX) {
        put8(s, 0x55, (uint8_t)v);
    } else {
        put64(s, 0x81, (uint64_t)v);
    }
}

void tmk_wire_put_float(tmk_str *s, float v) {
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    put32(s, 0x72, bits);
}

void tmk_wire_put_double(tmk_str *s, double v) {
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    put64(s, 0x82, bits);
}

void tmk_wire_put_char(tmk_str *s, uint32_t v) {
    put32(s, 0x73, v);
}

void tmk_wire_put_time(tmk_str *s, int64_t unix_ms) {
    put64(s, 0x83, (uint64_t)unix_ms);
}

void tmk_wire_put_uuid(tmk_str *s, const uint8_t uuid[16]) {
    put(s, 0x98, uuid, 16);
}

/* code8 is the form with a one-byte size; the one with four is 0x10 more. */
static void put_sized(tmk_str *s, uint8_t code8, tmk_slice bytes) {
    if (bytes.size <= UINT8_MAX) {
        put8(s, code8, (uint8_t)bytes.size);
    } else if (bytes.size <= UINT32_MAX) {
        put32(s, (uint8_t)(code8 + 0x10), (uint32_t)bytes.size);
    } else {
        s->failed = true;
    }
    tmk_str_add_slice(s, bytes);
}

void tmk_wire_put_binary(tmk_str *s, tmk_slice bytes) {
    put_sized(s, 0xa0, bytes);
}

void tmk_wire_put_string(tmk_str *s, tmk_slice utf8) {
    put_sized(s, 0xa1, utf8);
}

void tmk_wire_put_symbol(tmk_str *s, tmk_slice ascii) {
    put_sized(s, 0xa3, ascii);
}

void tmk_wire_put_descriptor(tmk_str *s, uint64_t code) {
    tmk_str_add_char(s, 0);
    tmk_wire_put_ulong(s, code);
}

/* ---- containers ---- */

static tmk_wire_mark begin(tmk_str *s, uint8_t code) {
    static const uint8_t size_and_count[8];
    tmk_wire_mark m = {s->size};

    put(s, code, size_and_count, sizeof size_and_count);
    return m;
}

static void end(tmk_str *s, tmk_wire_mark m, uint32_t count) {
    size_t size;

    if (!tmk_str_ok(s)) {
        return;
    }
    size = s->size - m.at - 5; /* the code and the size itself are not counted */
    if (size > UINT32_MAX) {
        s->failed = true;
        return;
    }
    tmk_store32(s->text + m.at + 1, (uint32_t)size);
    tmk_store32(s->text + m.at + 5, count);
}

tmk_wire_mark tmk_wire_begin_list(tmk_str *s) {
    return begin(s, 0xd0);
}

void tmk_wire_end_list(tmk_str *s, tmk_wire_mark m, uint32_t count) {
    if (count == 0 && tmk_str_ok(s)) {
        s->size = m.at;
        tmk_str_add_char(s, 0x45);
        return;
    }
    end(s, m, count);
}

tmk_wire_mark tmk_wire_begin_map(tmk_str *s) {
    return begin(s, 0xd1);
}

void tmk_wire_end_map(tmk_str *s, tmk_wire_mark m, uint32_t count) {
    end(s, m, count);
}

/* Items of one array share a format code, and so the width of their sizes. */
static void put_texts(tmk_str *s, uint8_t code8, const tmk_slice *items, size_t count) {
    tmk_wire_mark m = begin(s, 0xf0);
    bool small = true;

    for (size_t i = 0; i < count; i++) {
        small = small && items[i].size <= UINT8_MAX;
        s->failed = s->failed || items[i].size > UINT32_MAX;
    }
    tmk_str_add_char(s, (char)(small ? code8 : code8 + 0x10));
    for (size_t i = 0; i < count; i++) {
        uint8_t size[4];

        tmk_store32(size, (uint32_t)items[i].size);
        tmk_str_add_slice(s, small ? tmk_slice_of(size + 3, 1) : tmk_slice_of(size, 4));
        tmk_str_add_slice(s, items[i]);
    }
    end(s, m, (uint32_t)count);
}

void tmk_wire_put_symbols(tmk_str *s, const tmk_slice *items, size_t count) {
    put_texts(s, 0xa3, items, count);
}

void tmk_wire_put_strings(tmk_str *s, const tmk_slice *items, size_t count) {
    put_texts(s, 0xa1, items, count);
}

/* ---- values as they were read ---- */

static void put_container(tmk_str *s, uint8_t code, const tmk_value *v) {
    tmk_wire_mark m = begin(s, code);

    tmk_str_add_slice(s, v->bytes);
    if (v->kind == TMK_VALUE_LIST) {
        tmk_wire_end_list(s, m, v->count);
    } else {
        end(s, m, v->count);
    }
}

static void put_uint(tmk_str *s, const tmk_value *v) {
    switch (v->width) {
    case 1:
        tmk_wire_put_ubyte(s, (uint8_t)v->u64);
        break;
    case 2:
        tmk_wire_put_ushort(s, (uint16_t)v->u64);
        break;
    case 4:
        tmk_wire_put_uint(s, (uint32_t)v->u64);
        break;
    default:
        tmk_wire_put_ulong(s, v->u64);
    }
}

static void put_int(tmk_str *s, const tmk_value *v) {
    switch (v->width) {
    case 1:
        tmk_wire_put_byte(s, (int8_t)v->i64);
        break;
    case 2:
        tmk_wire_put_short(s, (int16_t)v->i64);
        break;
    case 4:
        tmk_wire_put_int(s, (int32_t)v->i64);
        break;
    default:
        tmk_wire_put_long(s, v->i64);
    }
}

static void put_decimal(tmk_str *s, tmk_slice bytes) {
    put(s, bytes.size == 4 ? 0x74 : bytes.size == 8 ? 0x84 : 0x94, bytes.bytes, bytes.size);
}

void tmk_wire_put_value(tmk_str *s, const tmk_value *v) {
    if (v->descriptor.size > 0) {
        tmk_str_add_char(s, 0);
        tmk_str_add_slice(s, v->descriptor);
    }
    switch (v->kind) {
    case TMK_VALUE_NONE:
        tmk_wire_null(s);
        break;
    case TMK_VALUE_BOOL:
        tmk_wire_put_bool(s, v->b);
        break;
    case TMK_VALUE_INT:
        put_int(s, v);
        break;
    case TMK_VALUE_UINT:
        put_uint(s, v);
        break;
    case TMK_VALUE_FLOAT:
        if (v->width == 4) {
            tmk_wire_put_float(s, (float)v->f64);
        } else {
            tmk_wire_put_double(s, v->f64);
        }
        break;
    case TMK_VALUE_CHAR:
        tmk_wire_put_char(s, (uint32_t)v->u64);
        break;
    case TMK_VALUE_TIME:
        tmk_wire_put_time(s, v->i64);
        break;
    case TMK_VALUE_UUID:
        put(s, 0x98, v->bytes.bytes, v->bytes.size);
        break;
    case TMK_VALUE_BINARY:
        tmk_wire_put_binary(s, v->bytes);
        break;
    case TMK_VALUE_STRING:
        tmk_wire_put_string(s, v->bytes);
        break;
    case TMK_VALUE_SYMBOL:
        tmk_wire_put_symbol(s, v->bytes);
        break;
    case TMK_VALUE_LIST:
        put_container(s, 0xd0, v);
        break;
    case TMK_VALUE_MAP:
        put_container(s, 0xd1, v);
        break;
    case TMK_VALUE_ARRAY:
        put_container(s, 0xf0, v);
        break;
    case TMK_VALUE_DECIMAL:
        put_decimal(s, v->bytes);
        break;
    }
}
