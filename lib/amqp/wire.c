/*
 * Reading AMQP values out of bytes that anybody may have written. See wire.h.
 *
 * Pure and without state. Nothing here recurses and no loop runs longer than
 * there are bytes (arrays of items that take no bytes are limited for this).
 */
#include "amqp/wire.h"

#include <tidemark/event.h>

#include "amqp/bytes.h"
#include "base/assert.h"

enum {
    DESCRIPTORS_MAX = 4,  /* how many a value that we look at may have, nested ones counted */
    EMPTY_ITEMS_MAX = 256 /* items in an array whose items take no bytes */
};

/*
 * The high half of a format code says how the size of a value is found. A code
 * that no standard knows can be skipped for that reason.
 */
static bool value_size(uint8_t code, tmk_slice after, size_t *size) {
    static const uint8_t fixed[16] = {0, 0, 0, 0, 0, 1, 2, 4, 8, 16};
    uint8_t category = code >> 4;

    if (category >= 4 && category <= 9) {
        *size = fixed[category];
    } else if (category >= 10 && (category & 1) == 0) {
        if (after.size < 1) {
            return false;
        }
        *size = (size_t)1 + after.bytes[0];
    } else if (category >= 10) {
        if (after.size < 4) {
            return false;
        }
        *size = (size_t)4 + tmk_load32(after.bytes);
    } else {
        return false;
    }
    return *size <= after.size;
}

/* What one descriptor more means for the number of values still to pass: two in place of one. */
bool tmk_wire_skip(tmk_slice *in) {
    tmk_slice rest = *in;
    size_t pending = 1;

    while (pending > 0) {
        uint8_t code;
        size_t size = 0;

        if (rest.size < 1) {
            return false;
        }
        code = rest.bytes[0];
        rest = tmk_slice_of(rest.bytes + 1, rest.size - 1);
        if (code == 0) {
            pending++;
            continue;
        }
        if (!value_size(code, rest, &size)) {
            return false;
        }
        rest = tmk_slice_of(rest.bytes + size, rest.size - size);
        pending--;
    }
    *in = rest;
    return true;
}

/* A byte as a signed number. */
static int64_t sign8(uint8_t byte) {
    return byte < 0x80 ? byte : (int64_t)byte - 0x100;
}

/* What is neither truth nor a whole number. */
static bool take_other(uint8_t code, const uint8_t *at, tmk_value *v) {
    union {
        uint32_t bits;
        float value;
    } f32;
    union {
        uint64_t bits;
        double value;
    } f64;

    switch (code) {
    case 0x72:
        f32.bits = tmk_load32(at);
        v->kind = TMK_VALUE_FLOAT;
        v->width = 4;
        v->f64 = (double)f32.value;
        return true;
    case 0x82:
        f64.bits = tmk_load64(at);
        v->kind = TMK_VALUE_FLOAT;
        v->width = 8;
        v->f64 = f64.value;
        return true;
    case 0x73:
        v->kind = TMK_VALUE_CHAR;
        v->width = 4;
        v->u64 = tmk_load32(at);
        return true;
    case 0x83:
        v->kind = TMK_VALUE_TIME;
        v->width = 8;
        v->i64 = (int64_t)tmk_load64(at);
        return true;
    default:
        return false;
    }
}

static bool take_number(uint8_t code, const uint8_t *at, tmk_value *v) {
    switch (code) {
    case 0x40: /* null */
        return true;
    case 0x41:
    case 0x42:
        v->kind = TMK_VALUE_BOOL;
        v->b = code == 0x41;
        return true;
    case 0x56:
        v->kind = TMK_VALUE_BOOL;
        v->b = at[0] != 0;
        return at[0] <= 1;
    case 0x43: /* uint */
    case 0x52:
    case 0x70:
        v->kind = TMK_VALUE_UINT;
        v->width = 4;
        v->u64 = code == 0x43 ? 0 : code == 0x52 ? at[0] : tmk_load32(at);
        return true;
    case 0x44: /* ulong */
    case 0x53:
    case 0x80:
        v->kind = TMK_VALUE_UINT;
        v->width = 8;
        v->u64 = code == 0x44 ? 0 : code == 0x53 ? at[0] : tmk_load64(at);
        return true;
    case 0x50:
        v->kind = TMK_VALUE_UINT;
        v->width = 1;
        v->u64 = at[0];
        return true;
    case 0x60:
        v->kind = TMK_VALUE_UINT;
        v->width = 2;
        v->u64 = tmk_load16(at);
        return true;
    case 0x51:
        v->kind = TMK_VALUE_INT;
        v->width = 1;
        v->i64 = sign8(at[0]);
        return true;
    case 0x61:
        v->kind = TMK_VALUE_INT;
        v->width = 2;
        v->i64 = (int16_t)tmk_load16(at);
        return true;
    case 0x54: /* int */
    case 0x71:
        v->kind = TMK_VALUE_INT;
        v->width = 4;
        v->i64 = code == 0x54 ? sign8(at[0]) : (int32_t)tmk_load32(at);
        return true;
    case 0x55: /* long */
    case 0x81:
        v->kind = TMK_VALUE_INT;
        v->width = 8;
        v->i64 = code == 0x55 ? sign8(at[0]) : (int64_t)tmk_load64(at);
        return true;
    default:
        return take_other(code, at, v);
    }
}

static bool take_bytes(uint8_t code, tmk_slice whole, tmk_value *v) {
    size_t prefix = 0;

    switch (code) {
    case 0x98:
        v->kind = TMK_VALUE_UUID;
        break;
    case 0x74:
    case 0x84:
    case 0x94:
        v->kind = TMK_VALUE_DECIMAL;
        break;
    case 0xa0:
    case 0xb0:
        v->kind = TMK_VALUE_BINARY;
        break;
    case 0xa1:
    case 0xb1:
        v->kind = TMK_VALUE_STRING;
        break;
    case 0xa3:
    case 0xb3:
        v->kind = TMK_VALUE_SYMBOL;
        break;
    default:
        return false;
    }
    if (code >= 0xa0) {
        prefix = code >= 0xb0 ? 4 : 1;
    }
    v->bytes = tmk_slice_from(whole, prefix);
    v->width = code < 0xa0 ? (uint8_t)whole.size : 0;
    return true;
}

/* An array is taken only if its constructor is whole and its items can be counted cheaply. */
static bool array_ok(const tmk_value *v) {
    tmk_slice rest = v->bytes;
    uint8_t code;

    for (unsigned i = 0; rest.size > 0 && rest.bytes[0] == 0; i++) {
        rest = tmk_slice_of(rest.bytes + 1, rest.size - 1);
        if (i == DESCRIPTORS_MAX || !tmk_wire_skip(&rest)) {
            return false;
        }
    }
    if (rest.size < 1) {
        return false;
    }
    code = rest.bytes[0];
    return code >> 4 == 4 ? v->count <= EMPTY_ITEMS_MAX : code >> 4 > 4 && v->count < rest.size;
}

static bool take_container(uint8_t code, tmk_slice whole, tmk_value *v) {
    size_t width = (code & 0x10) != 0 ? 4 : 1; /* of the size and of the count */

    if (code == 0x45) {
        v->kind = TMK_VALUE_LIST;
        return true;
    }
    if (whole.size < 2 * width) {
        return false;
    }
    v->bytes = tmk_slice_from(whole, 2 * width);
    v->count = width == 4 ? tmk_load32(whole.bytes + 4) : whole.bytes[1];
    switch (code) {
    case 0xc0:
    case 0xd0:
        v->kind = TMK_VALUE_LIST;
        return v->count <= v->bytes.size;
    case 0xc1:
    case 0xd1:
        v->kind = TMK_VALUE_MAP;
        return v->count <= v->bytes.size && v->count % 2 == 0;
    case 0xe0:
    case 0xf0:
        v->kind = TMK_VALUE_ARRAY;
        return array_ok(v);
    default:
        return false;
    }
}

/* The value that follows a format code. */
static bool take_coded(uint8_t code, tmk_slice *in, tmk_value *v) {
    size_t size = 0;
    tmk_slice whole;
    bool ok;

    if (!value_size(code, *in, &size)) {
        return false;
    }
    whole = tmk_slice_of(in->bytes, size);
    if (code >= 0xc0 || code == 0x45) {
        ok = take_container(code, whole, v);
    } else if (code >= 0xa0 || code == 0x98 || code == 0x94 || code == 0x84 || code == 0x74) {
        ok = take_bytes(code, whole, v);
    } else {
        ok = take_number(code, whole.bytes, v);
    }
    if (ok) {
        *in = tmk_slice_of(in->bytes + size, in->size - size);
    }
    return ok;
}

/* Passes the descriptors at the front; *out is what stands between the first 00 and the format
 * code. */
static bool take_descriptors(tmk_slice *in, tmk_slice *out) {
    const uint8_t *start = in->bytes + 1;
    tmk_slice rest = *in;
    size_t pending = 1;

    for (unsigned seen = 0; rest.size > 0 && (rest.bytes[0] == 0 || pending > 1);) {
        uint8_t code = rest.bytes[0];
        size_t size = 0;

        rest = tmk_slice_of(rest.bytes + 1, rest.size - 1);
        if (code == 0) {
            if (++seen > DESCRIPTORS_MAX) {
                return false;
            }
            pending++;
            continue;
        }
        if (!value_size(code, rest, &size)) {
            return false;
        }
        rest = tmk_slice_of(rest.bytes + size, rest.size - size);
        pending--;
    }
    if (rest.size == 0) {
        return false;
    }
    *out = tmk_slice_of(start, (size_t)(rest.bytes - start));
    *in = rest;
    return true;
}

bool tmk_wire_take(tmk_slice *in, tmk_value *out) {
    tmk_slice rest = *in;
    tmk_value v;
    uint8_t code;

    if (rest.size < 1) {
        return false;
    }
    memset(&v, 0, sizeof v);
    if (rest.bytes[0] == 0 && !take_descriptors(&rest, &v.descriptor)) {
        return false;
    }
    code = rest.bytes[0];
    rest = tmk_slice_of(rest.bytes + 1, rest.size - 1);
    if (!take_coded(code, &rest, &v)) {
        return false;
    }
    *in = rest;
    *out = v;
    return true;
}

/*
 * An array has its items' constructor once, in front. It stays where it is, so
 * that every item can find it; u64 says how far the walk has come.
 */
static bool array_next(tmk_value *array, tmk_value *item) {
    tmk_slice rest = array->bytes;
    tmk_value v;
    uint8_t code;

    memset(&v, 0, sizeof v);
    if (rest.size < 1 || (rest.bytes[0] == 0 && !take_descriptors(&rest, &v.descriptor))) {
        return false;
    }
    code = rest.bytes[0];
    if (array->u64 == 0) {
        array->u64 = (uint64_t)(rest.bytes + 1 - array->bytes.bytes);
    }
    rest = tmk_slice_from(array->bytes, array->u64);
    if (!take_coded(code, &rest, &v)) {
        return false;
    }
    array->u64 = (uint64_t)(array->bytes.size - rest.size);
    array->count--;
    *item = v;
    return true;
}

bool tmk_value_next(tmk_value *container, tmk_value *item) {
    if (container->count == 0) {
        return false;
    }
    switch (container->kind) {
    case TMK_VALUE_ARRAY:
        return array_next(container, item);
    case TMK_VALUE_LIST:
    case TMK_VALUE_MAP:
        if (!tmk_wire_take(&container->bytes, item)) {
            return false;
        }
        container->count--;
        return true;
    default:
        return false;
    }
}

/* ---- descriptors ---- */

static const struct {
    const char *name; /* between "amqp:" and the kind that follows */
    uint8_t code;
} symbolic[] = {
    {"open:list", TMK_AMQP_OPEN},
    {"begin:list", TMK_AMQP_BEGIN},
    {"attach:list", TMK_AMQP_ATTACH},
    {"flow:list", TMK_AMQP_FLOW},
    {"transfer:list", TMK_AMQP_TRANSFER},
    {"disposition:list", TMK_AMQP_DISPOSITION},
    {"detach:list", TMK_AMQP_DETACH},
    {"end:list", TMK_AMQP_END},
    {"close:list", TMK_AMQP_CLOSE},
    {"error:list", TMK_AMQP_ERROR},
    {"received:list", TMK_AMQP_RECEIVED},
    {"accepted:list", TMK_AMQP_ACCEPTED},
    {"rejected:list", TMK_AMQP_REJECTED},
    {"released:list", TMK_AMQP_RELEASED},
    {"modified:list", TMK_AMQP_MODIFIED},
    {"source:list", TMK_AMQP_SOURCE},
    {"target:list", TMK_AMQP_TARGET},
    {"sasl-mechanisms:list", TMK_SASL_MECHANISMS},
    {"sasl-init:list", TMK_SASL_INIT},
    {"sasl-challenge:list", TMK_SASL_CHALLENGE},
    {"sasl-response:list", TMK_SASL_RESPONSE},
    {"sasl-outcome:list", TMK_SASL_OUTCOME},
    {"header:list", TMK_SECTION_HEADER},
    {"delivery-annotations:map", TMK_SECTION_DELIVERY_ANNOTATIONS},
    {"message-annotations:map", TMK_SECTION_MESSAGE_ANNOTATIONS},
    {"properties:list", TMK_SECTION_PROPERTIES},
    {"application-properties:map", TMK_SECTION_APPLICATION_PROPERTIES},
    {"data:binary", TMK_SECTION_DATA},
    {"amqp-sequence:list", TMK_SECTION_SEQUENCE},
    {"amqp-value:*", TMK_SECTION_VALUE},
    {"footer:map", TMK_SECTION_FOOTER},
};

static uint64_t symbolic_code(tmk_slice name) {
    static const char prefix[] = "amqp:";

    if (!tmk_slice_starts(name, TMK_LIT("amqp:"))) {
        return 0;
    }
    name = tmk_slice_from(name, sizeof prefix - 1);
    for (size_t i = 0; i < sizeof symbolic / sizeof *symbolic; i++) {
        if (tmk_slice_eq(name, tmk_slice_str(symbolic[i].name))) {
            return symbolic[i].code;
        }
    }
    return 0;
}

uint64_t tmk_wire_descriptor(const tmk_value *v) {
    tmk_slice rest = v->descriptor;
    tmk_value d;

    /* A second descriptor makes it another type than the one that the first names. */
    if (!tmk_wire_take(&rest, &d) || rest.size > 0 || d.descriptor.size > 0) {
        return 0;
    }
    if (d.kind == TMK_VALUE_UINT && d.width == 8) {
        return d.u64;
    }
    return d.kind == TMK_VALUE_SYMBOL ? symbolic_code(d.bytes) : 0;
}

/* ---- lists and maps ---- */

bool tmk_wire_list_open(const tmk_value *list, tmk_wire_list *out) {
    if (list->kind != TMK_VALUE_LIST) {
        return false;
    }
    out->rest = list->bytes;
    out->count = list->count;
    out->next = 0;
    return true;
}

bool tmk_wire_list_field(tmk_wire_list *l, uint32_t index, tmk_value *out) {
    tmk_assert(index >= l->next);
    if (index >= l->count) {
        memset(out, 0, sizeof *out);
        return true;
    }
    for (; l->next < index; l->next++) {
        if (!tmk_wire_skip(&l->rest)) {
            return false;
        }
    }
    if (!tmk_wire_take(&l->rest, out)) {
        return false;
    }
    l->next++;
    return true;
}

tmk_value tmk_wire_map_get(const tmk_value *map, const char *key) {
    static const tmk_value none;
    tmk_slice rest = map->bytes, wanted = tmk_slice_str(key);
    tmk_value k, v;

    if (map->kind != TMK_VALUE_MAP) {
        return none;
    }
    for (uint32_t i = 0; i < map->count / 2; i++) {
        if (!tmk_wire_take(&rest, &k)) {
            return none;
        }
        if ((k.kind == TMK_VALUE_STRING || k.kind == TMK_VALUE_SYMBOL) &&
            tmk_slice_eq(k.bytes, wanted)) {
            return tmk_wire_take(&rest, &v) ? v : none;
        }
        if (!tmk_wire_skip(&rest)) {
            return none;
        }
    }
    return none;
}

/* ---- scalars ---- */

int64_t tmk_wire_int(const tmk_value *v, int64_t fallback) {
    if (v->kind == TMK_VALUE_INT) {
        return v->i64;
    }
    return v->kind == TMK_VALUE_UINT && v->u64 <= INT64_MAX ? (int64_t)v->u64 : fallback;
}

uint64_t tmk_wire_uint(const tmk_value *v, uint64_t fallback) {
    if (v->kind == TMK_VALUE_UINT) {
        return v->u64;
    }
    return v->kind == TMK_VALUE_INT && v->i64 >= 0 ? (uint64_t)v->i64 : fallback;
}

bool tmk_wire_bool(const tmk_value *v, bool fallback) {
    return v->kind == TMK_VALUE_BOOL ? v->b : fallback;
}

tmk_slice tmk_wire_text(const tmk_value *v) {
    static const tmk_slice empty;

    return v->kind == TMK_VALUE_STRING || v->kind == TMK_VALUE_SYMBOL ? v->bytes : empty;
}
