/* The shapes of performatives. See shape.h. */
#include "amqp/shape.h"

#include "base/status.h"

typedef enum kind {
    ANY = 0,
    BOOL,
    UBYTE,
    USHORT,
    UINT,
    ULONG,
    BINARY,
    STRING,
    SYMBOL,
    SYMBOLS, /* one, or an array of them */
    MAP,
    STATE, /* a described list: a delivery state */
    SOURCE,
    TARGET,
    ERROR,
    NEEDED = 0x80 /* added to one of the others: null is not allowed */
} kind;

enum { COORDINATOR = 0x30, ERROR_FIELDS_MAX = 3, TERMINUS_FIELDS_MAX = 11 };

typedef struct shape {
    uint8_t code;
    uint8_t count;
    uint8_t kinds[TMK_SHAPE_FIELDS];
} shape;

static const shape shapes[] = {
    {TMK_AMQP_OPEN,
     10,
     {NEEDED | STRING, STRING, UINT, USHORT, UINT, SYMBOLS, SYMBOLS, SYMBOLS, SYMBOLS, MAP}},
    {TMK_AMQP_BEGIN,
     8,
     {USHORT, NEEDED | UINT, NEEDED | UINT, NEEDED | UINT, UINT, SYMBOLS, SYMBOLS, MAP}},
    {TMK_AMQP_ATTACH,
     14,
     {NEEDED | STRING, NEEDED | UINT, NEEDED | BOOL, UBYTE, UBYTE, SOURCE, TARGET, MAP, BOOL, UINT,
      ULONG, SYMBOLS, SYMBOLS, MAP}},
    {TMK_AMQP_FLOW,
     11,
     {UINT, NEEDED | UINT, NEEDED | UINT, NEEDED | UINT, UINT, UINT, UINT, UINT, BOOL, BOOL, MAP}},
    {TMK_AMQP_TRANSFER,
     11,
     {NEEDED | UINT, UINT, BINARY, UINT, BOOL, BOOL, UBYTE, STATE, BOOL, BOOL, BOOL}},
    {TMK_AMQP_DISPOSITION, 6, {NEEDED | BOOL, NEEDED | UINT, UINT, BOOL, STATE, BOOL}},
    {TMK_AMQP_DETACH, 3, {NEEDED | UINT, BOOL, ERROR}},
    {TMK_AMQP_END, 1, {ERROR}},
    {TMK_AMQP_CLOSE, 1, {ERROR}},
    {TMK_SASL_MECHANISMS, 1, {NEEDED | SYMBOLS}},
    {TMK_SASL_INIT, 3, {NEEDED | SYMBOL, BINARY, STRING}},
    {TMK_SASL_CHALLENGE, 1, {NEEDED | BINARY}},
    {TMK_SASL_RESPONSE, 1, {NEEDED | BINARY}},
    {TMK_SASL_OUTCOME, 2, {NEEDED | UBYTE, BINARY}},
};

static const shape source_shape = {
    TMK_AMQP_SOURCE,
    TERMINUS_FIELDS_MAX,
    {ANY, UINT, SYMBOL, UINT, BOOL, MAP, SYMBOL, MAP, STATE, SYMBOLS, SYMBOLS}};
static const shape target_shape = {
    TMK_AMQP_TARGET, 7, {ANY, UINT, SYMBOL, UINT, BOOL, MAP, SYMBOLS}};
static const shape error_shape = {TMK_AMQP_ERROR, ERROR_FIELDS_MAX, {NEEDED | SYMBOL, STRING, MAP}};

/* ---- soundness: all values, down to the leaves ---- */

/* A descriptor is one plain number or symbol; nothing that a decoder could recurse into. */
static bool descriptor_ok(const tmk_value *v) {
    tmk_slice rest = v->descriptor;
    tmk_value d;

    return rest.size == 0 ||
           (tmk_wire_take(&rest, &d) && rest.size == 0 && d.descriptor.size == 0 &&
            ((d.kind == TMK_VALUE_UINT && d.width == 8) || d.kind == TMK_VALUE_SYMBOL));
}

static bool is_container(const tmk_value *v) {
    return v->kind == TMK_VALUE_LIST || v->kind == TMK_VALUE_MAP || v->kind == TMK_VALUE_ARRAY;
}

/* How many bytes the constructor of an array takes. */
static size_t constructor_size(const tmk_value *array) {
    tmk_slice rest = array->bytes;

    if (rest.bytes[0] == 0) {
        rest = tmk_slice_of(rest.bytes + 1, rest.size - 1);
        (void)tmk_wire_skip(&rest); /* it was whole when the array was taken */
    }
    return array->bytes.size - rest.size + 1;
}

/* Every item was taken, and no byte is left over. */
static bool walked(const tmk_value *v) {
    size_t seen = 0;

    if (v->kind == TMK_VALUE_ARRAY) {
        seen = v->u64 > 0 ? v->u64 : constructor_size(v);
    }
    return v->count == 0 && v->bytes.size == seen;
}

bool tmk_shape_is_sound(tmk_slice encoded) {
    tmk_value stack[TMK_SHAPE_DEPTH_MAX], v;
    size_t depth = 0, values = 0;

    if (!tmk_wire_take(&encoded, &v) || encoded.size > 0) {
        return false;
    }
    for (;;) {
        if (!descriptor_ok(&v) || ++values > TMK_SHAPE_VALUES_MAX) {
            return false;
        }
        if (is_container(&v)) {
            if (depth == TMK_SHAPE_DEPTH_MAX) {
                return false;
            }
            stack[depth++] = v;
        }
        while (depth > 0 && stack[depth - 1].count == 0) {
            if (!walked(&stack[--depth])) {
                return false;
            }
        }
        if (depth == 0) {
            return true;
        }
        if (!tmk_value_next(&stack[depth - 1], &v)) {
            return false;
        }
    }
}

/* ---- kinds ---- */

static bool is_number(const tmk_value *v, tmk_value_kind wanted, unsigned width) {
    return v->kind == wanted && v->width == width;
}

static bool symbols_ok(const tmk_value *v) {
    tmk_value walk = *v, item;

    if (v->kind == TMK_VALUE_SYMBOL) {
        return true;
    }
    if (v->kind != TMK_VALUE_ARRAY) {
        return false;
    }
    while (tmk_value_next(&walk, &item)) {
        if (item.kind != TMK_VALUE_SYMBOL) {
            return false;
        }
    }
    return walk.count == 0;
}

static bool plain_ok(uint8_t wanted, const tmk_value *v) {
    switch (wanted) {
    case ANY:
        return true;
    case BOOL:
        return v->kind == TMK_VALUE_BOOL;
    case UBYTE:
        return is_number(v, TMK_VALUE_UINT, 1);
    case USHORT:
        return is_number(v, TMK_VALUE_UINT, 2);
    case UINT:
        return is_number(v, TMK_VALUE_UINT, 4);
    case ULONG:
        return is_number(v, TMK_VALUE_UINT, 8);
    case BINARY:
        return v->kind == TMK_VALUE_BINARY;
    case STRING:
        return v->kind == TMK_VALUE_STRING;
    case SYMBOL:
        return v->kind == TMK_VALUE_SYMBOL;
    case SYMBOLS:
        return symbols_ok(v);
    case MAP:
        return v->kind == TMK_VALUE_MAP;
    default:
        return v->kind == TMK_VALUE_LIST && v->descriptor.size > 0;
    }
}

/* Takes the fields of a list apart; the number of the first that is wrong, or -1. */
static int check_fields(const shape *s, const tmk_value *list, tmk_value *fields) {
    tmk_wire_list l;

    if (!tmk_wire_list_open(list, &l) || list->count > s->count) {
        return s->count;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        uint8_t wanted = s->kinds[i] & (uint8_t)~NEEDED;
        bool ok = tmk_wire_list_field(&l, i, &fields[i]);

        if (ok && fields[i].kind == TMK_VALUE_NONE) {
            ok = (s->kinds[i] & NEEDED) == 0 && fields[i].descriptor.size == 0;
        } else if (ok) {
            ok = plain_ok(wanted, &fields[i]) &&
                 (wanted == ANY || wanted >= STATE || fields[i].descriptor.size == 0);
        }
        if (!ok) {
            return (int)i;
        }
    }
    return -1;
}

/* A source, a target or an error inside of a performative. */
static bool nested_ok(uint8_t wanted, const tmk_value *v) {
    const shape *s = wanted == SOURCE   ? &source_shape
                     : wanted == TARGET ? &target_shape
                                        : &error_shape;
    tmk_value fields[TERMINUS_FIELDS_MAX];
    uint64_t code;

    if (v->kind == TMK_VALUE_NONE || wanted < SOURCE) {
        return true;
    }
    code = tmk_wire_descriptor(v);
    if (wanted == TARGET && code == COORDINATOR) {
        return true; /* nobody asked for one; it does no harm */
    }
    return code == s->code && check_fields(s, v, fields) < 0;
}

static const shape *shape_of(uint8_t code) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (shapes[i].code == code) {
            return &shapes[i];
        }
    }
    return NULL;
}

/* The performative and nothing else, with its descriptor: what stands between header and payload.
 */
static tmk_slice whole(const tmk_frame *f) {
    const uint8_t *start = f->performative.descriptor.bytes - 1;
    const uint8_t *end = f->payload.bytes;

    return tmk_slice_of(start, (size_t)(end - start));
}

tmk_status tmk_shape_check(const tmk_frame *f, tmk_value fields[TMK_SHAPE_FIELDS], tmk_error *err) {
    const shape *s = shape_of(f->code);
    int wrong;

    if (s == NULL) {
        return tmk_fail(err, TMK_EPROTO, "amqp", "a frame holds no performative");
    }
    memset(fields, 0, TMK_SHAPE_FIELDS * sizeof *fields);
    if (!tmk_shape_is_sound(whole(f))) {
        return tmk_fail(err, TMK_EPROTO, "amqp",
                        "performative 0x%02x is broken, too deep or too long", f->code);
    }
    wrong = check_fields(s, &f->performative, fields);
    for (int i = 0; wrong < 0 && i < s->count; i++) {
        if (!nested_ok(s->kinds[i] & (uint8_t)~NEEDED, &fields[i])) {
            wrong = i;
        }
    }
    if (wrong >= 0) {
        return tmk_fail(err, TMK_EPROTO, "amqp",
                        "field %d of performative 0x%02x is missing or has a wrong type", wrong,
                        f->code);
    }
    if (f->payload.size > 0 && f->code != TMK_AMQP_TRANSFER) {
        return tmk_fail(err, TMK_EPROTO, "amqp", "performative 0x%02x has a payload", f->code);
    }
    return TMK_OK;
}
