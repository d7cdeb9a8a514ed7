/*
 * AMQP values and frames. Oracles: what can be taken can be skipped, and the
 * same number of bytes; what is written back reads as the same value; walking a
 * sound value ends.
 */
#include "amqp/wire.h"

#include "amqp/shape.h"
#include "base/assert.h"
#include "fuzz/fuzz.h"

enum { WALK_MAX = 100000 };

static void check_same(const tmk_value *a, const tmk_value *b) {
    tmk_assert(a->kind == b->kind && a->width == b->width && a->count == b->count);
    tmk_assert(tmk_slice_eq(a->bytes, b->bytes) && tmk_slice_eq(a->descriptor, b->descriptor));
    switch (a->kind) {
    case TMK_VALUE_BOOL:
        tmk_assert(a->b == b->b);
        break;
    case TMK_VALUE_FLOAT:
        tmk_assert(a->f64 == b->f64 || (a->f64 != a->f64 && b->f64 != b->f64));
        break;
    case TMK_VALUE_INT:
    case TMK_VALUE_UINT:
    case TMK_VALUE_CHAR:
    case TMK_VALUE_TIME:
        tmk_assert(a->u64 == b->u64);
        break;
    default:
        break;
    }
}

static void check_rewrite(const tmk_value *v) {
    tmk_str s = TMK_STR_INIT;
    tmk_slice again;
    tmk_value back;

    tmk_wire_put_value(&s, v);
    again = tmk_str_slice(&s);
    if (v->kind != TMK_VALUE_LIST || v->count > 0) { /* an empty list may have had idle bytes */
        tmk_assert(tmk_str_ok(&s) && tmk_wire_take(&again, &back) && again.size == 0);
        check_same(v, &back);
    }
    tmk_str_clear(&s);
}

static void check_value(tmk_slice in) {
    tmk_slice taken = in, skipped = in;
    tmk_value v, item;
    size_t steps = 0;

    if (!tmk_wire_take(&taken, &v)) {
        return;
    }
    tmk_assert(tmk_wire_skip(&skipped) && skipped.size == taken.size);
    check_rewrite(&v);
    (void)tmk_wire_descriptor(&v);
    (void)tmk_wire_map_get(&v, "x-opt-offset");
    while (steps < WALK_MAX && tmk_value_next(&v, &item)) {
        steps++;
        if (steps < 100) {
            check_rewrite(&item);
        }
    }
    if (tmk_shape_is_sound(tmk_slice_of(in.bytes, in.size - taken.size))) {
        tmk_assert(steps < WALK_MAX);
    }
}

static void check_frame(tmk_slice in) {
    tmk_value fields[TMK_SHAPE_FIELDS];
    tmk_error err;
    tmk_frame f;
    size_t size = 0;

    while (tmk_frame_take(in, 65536, &size, &f, &err) == TMK_OK) {
        tmk_assert(size >= 8 && size <= in.size);
        tmk_assert(f.payload.size < size);
        (void)tmk_shape_check(&f, fields, &err);
        in = tmk_slice_from(in, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_value(tmk_slice_of(data, size));
    check_frame(tmk_slice_of(data, size));
    return 0;
}
