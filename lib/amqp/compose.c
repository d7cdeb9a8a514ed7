/*
 * Outgoing messages. Each part is encoded when it is set, so that sending is a
 * row of copies. See tidemark/message.h and compose.h.
 *
 * The sections have the very bytes that the JavaScript SDK sends (the 32-bit
 * forms, an empty properties list): what the service is known to take.
 */
#include "amqp/compose.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"

#define STANDARD_COUNT (TMK_REPLY_TO_GROUP_ID + 1)

/* A name and an encoded value. */
typedef struct named {
    tmk_str name, value;
} named;

typedef struct named_list {
    named *items;
    size_t count;      /* in use */
    size_t made, room; /* initialised, and there is memory for */
} named_list;

struct tmk_message {
    tmk_str key;
    tmk_str standard[STANDARD_COUNT]; /* encoded values; empty: absent */
    named_list properties, annotations;
    tmk_str body; /* encoded sections */
};

static tmk_status no_memory(tmk_error *err) {
    return tmk_fail(err, TMK_ENOMEM, "message", "no memory for a message");
}

/* ---- names and values ---- */

static void list_clear(named_list *l) {
    for (size_t i = 0; i < l->made; i++) {
        tmk_str_clear(&l->items[i].name);
        tmk_str_clear(&l->items[i].value);
    }
    tmk_free(l->items);
}

static named *list_find(named_list *l, tmk_slice name) {
    for (size_t i = 0; i < l->count; i++) {
        if (tmk_slice_eq(tmk_str_slice(&l->items[i].name), name)) {
            return &l->items[i];
        }
    }
    return NULL;
}

/* The place for one more, not yet counted; NULL when there is no memory. */
static named *list_spare(named_list *l) {
    if (l->count == l->room) {
        size_t room = l->room == 0 ? 4 : 2 * l->room;
        named *items = tmk_resize(l->items, room, sizeof *items);

        if (items == NULL) {
            return NULL;
        }
        l->items = items;
        l->room = room;
    }
    tmk_assert(l->items != NULL && l->count < l->room);
    if (l->count == l->made) {
        memset(&l->items[l->made++], 0, sizeof *l->items);
    }
    return &l->items[l->count];
}

static tmk_status list_add(named_list *l, tmk_slice name, tmk_slice value, tmk_error *err) {
    named *item = list_spare(l);

    if (item == NULL) {
        return no_memory(err);
    }
    tmk_str_reset(&item->name);
    tmk_str_reset(&item->value);
    tmk_str_add_slice(&item->name, name);
    tmk_str_add_slice(&item->value, value);
    if (!tmk_str_ok(&item->name) || !tmk_str_ok(&item->value)) {
        return no_memory(err);
    }
    l->count++;
    return TMK_OK;
}

/* The value that `name` has from now on; unchanged when there is no memory. */
static tmk_status list_set(named_list *l, tmk_slice name, tmk_slice value, tmk_error *err) {
    named *item = list_find(l, name);
    tmk_str copy = TMK_STR_INIT;

    if (item == NULL) {
        return list_add(l, name, value, err);
    }
    tmk_str_add_slice(&copy, value);
    if (!tmk_str_ok(&copy)) {
        return no_memory(err);
    }
    tmk_str_clear(&item->value);
    item->value = copy;
    return TMK_OK;
}

static bool is_ascii(tmk_slice s) {
    for (size_t i = 0; i < s.size; i++) {
        if (s.bytes[i] > 0x7f) {
            return false;
        }
    }
    return true;
}

/* The number fits its width; 0 stands for the widest. */
static bool number_ok(const tmk_value *v) {
    unsigned bits = v->width == 0 ? 64 : 8U * v->width;

    if (v->width > 8 || (v->width & (v->width - 1)) != 0) {
        return v->kind == TMK_VALUE_UUID || v->kind == TMK_VALUE_DECIMAL;
    }
    switch (v->kind) {
    case TMK_VALUE_INT:
        return bits == 64 || (bits <= 32 && v->i64 >= -(INT64_C(1) << (bits - 1)) &&
                              v->i64 < INT64_C(1) << (bits - 1));
    case TMK_VALUE_UINT:
        return bits == 64 || (bits <= 32 && v->u64 < UINT64_C(1) << bits);
    case TMK_VALUE_FLOAT:
        return v->width == 0 || v->width == 4 || v->width == 8;
    case TMK_VALUE_CHAR:
        return v->u64 <= 0x10ffff;
    default:
        return true;
    }
}

static bool bytes_ok(const tmk_value *v) {
    switch (v->kind) {
    case TMK_VALUE_STRING:
        return tmk_slice_is_utf8(v->bytes);
    case TMK_VALUE_SYMBOL:
        return is_ascii(v->bytes);
    case TMK_VALUE_UUID:
        return v->bytes.size == 16;
    case TMK_VALUE_DECIMAL:
        return v->bytes.size == 4 || v->bytes.size == 8 || v->bytes.size == 16;
    default:
        return true;
    }
}

/* Encoded items and descriptors are the caller's bytes: what was written must be read again. */
static bool rereads(tmk_slice encoded) {
    tmk_value v, item;

    if (!tmk_wire_take(&encoded, &v) || encoded.size > 0) {
        return false;
    }
    while (tmk_value_next(&v, &item)) {
    }
    return v.count == 0 ||
           (v.kind != TMK_VALUE_LIST && v.kind != TMK_VALUE_MAP && v.kind != TMK_VALUE_ARRAY);
}

static tmk_status encode_value(const tmk_value *v, tmk_str *out, const char *name, tmk_error *err) {
    if ((unsigned)v->kind > TMK_VALUE_DECIMAL || !number_ok(v) || !bytes_ok(v)) {
        return tmk_fail(err, TMK_EINVAL, "message",
                        "the value of '%.60s' does not fit its kind: check kind, width and bytes",
                        name);
    }
    tmk_wire_put_value(out, v);
    if (!tmk_str_ok(out)) {
        return no_memory(err);
    }
    if (!rereads(tmk_str_slice(out))) {
        return tmk_fail(err, TMK_EINVAL, "message",
                        "the encoded items or the descriptor of '%.60s' are broken", name);
    }
    return TMK_OK;
}

static tmk_status set_named(named_list *l, const char *name, const tmk_value *value,
                            tmk_error *err) {
    tmk_str encoded = TMK_STR_INIT;
    tmk_status st = encode_value(value, &encoded, name, err);

    if (st == TMK_OK) {
        st = list_set(l, tmk_slice_str(name), tmk_str_slice(&encoded), err);
    }
    tmk_str_clear(&encoded);
    return st;
}

/* ---- life ---- */

tmk_status tmk_message_new(tmk_slice body, tmk_message **out, tmk_error *err) {
    tmk_message *m = tmk_new(tmk_message);
    tmk_status st;

    if (m == NULL) {
        return no_memory(err);
    }
    st = tmk_message_reset(m, body, err);
    if (st < 0) {
        (void)tmk_message_free(m);
        return st;
    }
    *out = m;
    return TMK_OK;
}

tmk_message *tmk_message_free(tmk_message *m) {
    if (m == NULL) {
        return NULL;
    }
    tmk_str_clear(&m->key);
    tmk_str_clear(&m->body);
    for (size_t i = 0; i < STANDARD_COUNT; i++) {
        tmk_str_clear(&m->standard[i]);
    }
    list_clear(&m->properties);
    list_clear(&m->annotations);
    tmk_free(m);
    return NULL;
}

static tmk_status body_set(tmk_message *m, tmk_error *err) {
    return tmk_str_ok(&m->body) ? TMK_OK : no_memory(err);
}

tmk_status tmk_message_reset(tmk_message *m, tmk_slice body, tmk_error *err) {
    tmk_str_reset(&m->key);
    for (size_t i = 0; i < STANDARD_COUNT; i++) {
        tmk_str_reset(&m->standard[i]);
    }
    m->properties.count = 0;
    m->annotations.count = 0;
    tmk_str_reset(&m->body);
    tmk_wire_put_descriptor(&m->body, TMK_SECTION_DATA);
    tmk_wire_put_binary(&m->body, body);
    return body_set(m, err);
}

tmk_status tmk_message_set_value(tmk_message *m, const tmk_value *value, tmk_error *err) {
    tmk_str encoded = TMK_STR_INIT;
    tmk_status st = encode_value(value, &encoded, "the body", err);

    if (st == TMK_OK) {
        tmk_str_reset(&m->body);
        tmk_wire_put_descriptor(&m->body, TMK_SECTION_VALUE);
        tmk_str_add_slice(&m->body, tmk_str_slice(&encoded));
        st = body_set(m, err);
    }
    tmk_str_clear(&encoded);
    return st;
}

/* ---- key ---- */

tmk_status tmk_message_set_key(tmk_message *m, const char *key, tmk_error *err) {
    tmk_status st = tmk_compose_check_key(tmk_slice_str(key), err);

    return st < 0 ? st : tmk_message_put_key(m, tmk_slice_str(key), err);
}

tmk_slice tmk_message_key(const tmk_message *m) {
    return tmk_str_slice(&m->key);
}

tmk_status tmk_compose_check_key(tmk_slice key, tmk_error *err) {
    size_t characters = 0;

    for (size_t i = 0; i < key.size; i++) {
        characters += (key.bytes[i] & 0xc0) != 0x80;
    }
    if (!tmk_slice_is_utf8(key)) {
        return tmk_fail(err, TMK_EINVAL, "message", "the partition key is no UTF-8 text");
    }
    if (characters > TMK_KEY_CHARACTERS_MAX) {
        return tmk_fail(err, TMK_EINVAL, "message",
                        "the partition key has %zu characters, the service takes %d", characters,
                        TMK_KEY_CHARACTERS_MAX);
    }
    return TMK_OK;
}

/* ---- properties ---- */

static tmk_status check_name(const char *name, tmk_error *err) {
    if (name == NULL || *name == '\0' || !tmk_slice_is_utf8(tmk_slice_str(name))) {
        return tmk_fail(err, TMK_EINVAL, "message",
                        "the name of a property must be UTF-8 text and not empty");
    }
    return TMK_OK;
}

tmk_status tmk_message_set_property(tmk_message *m, const char *name, const tmk_value *value,
                                    tmk_error *err) {
    tmk_status st = check_name(name, err);

    return st < 0 ? st : set_named(&m->properties, name, value, err);
}

tmk_status tmk_message_set_text(tmk_message *m, const char *name, const char *utf8,
                                tmk_error *err) {
    tmk_value v = {.kind = TMK_VALUE_STRING, .bytes = tmk_slice_str(utf8)};

    return tmk_message_set_property(m, name, &v, err);
}

tmk_status tmk_message_set_int(tmk_message *m, const char *name, int64_t value, tmk_error *err) {
    tmk_value v = {.kind = TMK_VALUE_INT, .width = 8, .i64 = value};

    return tmk_message_set_property(m, name, &v, err);
}

tmk_status tmk_message_set_double(tmk_message *m, const char *name, double value, tmk_error *err) {
    tmk_value v = {.kind = TMK_VALUE_FLOAT, .width = 8, .f64 = value};

    return tmk_message_set_property(m, name, &v, err);
}

tmk_status tmk_message_set_bool(tmk_message *m, const char *name, bool value, tmk_error *err) {
    tmk_value v = {.kind = TMK_VALUE_BOOL, .b = value};

    return tmk_message_set_property(m, name, &v, err);
}

tmk_status tmk_message_set_annotation(tmk_message *m, const char *name, const tmk_value *value,
                                      tmk_error *err) {
    tmk_status st = check_name(name, err);

    if (st < 0) {
        return st;
    }
    if (!is_ascii(tmk_slice_str(name)) ||
        tmk_slice_starts(tmk_slice_str(name), TMK_LIT("x-opt-"))) {
        return tmk_fail(err, TMK_EINVAL, "message",
                        "the annotation '%.60s' is refused: names must be ASCII, and x-opt- is the "
                        "service's",
                        name);
    }
    return set_named(&m->annotations, name, value, err);
}

static bool standard_ok(tmk_standard which, const tmk_value *v) {
    switch (which) {
    case TMK_MESSAGE_ID:
    case TMK_CORRELATION_ID:
        return v->kind == TMK_VALUE_STRING || v->kind == TMK_VALUE_UUID ||
               v->kind == TMK_VALUE_BINARY ||
               (v->kind == TMK_VALUE_UINT && (v->width == 0 || v->width == 8));
    case TMK_USER_ID:
        return v->kind == TMK_VALUE_BINARY;
    case TMK_CONTENT_TYPE:
    case TMK_CONTENT_ENCODING:
        return v->kind == TMK_VALUE_SYMBOL;
    case TMK_ABSOLUTE_EXPIRY:
    case TMK_CREATION_TIME:
        return v->kind == TMK_VALUE_TIME;
    case TMK_GROUP_SEQUENCE:
        return v->kind == TMK_VALUE_UINT && v->u64 <= UINT32_MAX;
    default:
        return v->kind == TMK_VALUE_STRING;
    }
}

tmk_status tmk_message_set_standard(tmk_message *m, tmk_standard which, const tmk_value *value,
                                    tmk_error *err) {
    tmk_str encoded = TMK_STR_INIT;
    tmk_value v = *value;
    tmk_status st;

    if ((unsigned)which >= STANDARD_COUNT) {
        return tmk_fail(err, TMK_EINVAL, "message", "there is no standard property %d", which);
    }
    if (v.kind == TMK_VALUE_NONE) {
        tmk_str_reset(&m->standard[which]);
        return TMK_OK;
    }
    if ((which == TMK_CONTENT_TYPE || which == TMK_CONTENT_ENCODING) &&
        v.kind == TMK_VALUE_STRING) {
        v.kind = TMK_VALUE_SYMBOL;
    }
    if (!standard_ok(which, &v) || v.descriptor.size > 0) {
        return tmk_fail(err, TMK_EINVAL, "message",
                        "the standard property %d cannot be a value of kind %d", which, v.kind);
    }
    if (which == TMK_GROUP_SEQUENCE) {
        v.width = 4;
    }
    st = encode_value(&v, &encoded, "a standard property", err);
    if (st < 0) {
        tmk_str_clear(&encoded);
        return st;
    }
    tmk_str_clear(&m->standard[which]);
    m->standard[which] = encoded;
    return TMK_OK;
}

tmk_status tmk_message_set_standard_text(tmk_message *m, tmk_standard which, const char *utf8,
                                         tmk_error *err) {
    tmk_value v = {.kind = TMK_VALUE_STRING, .bytes = tmk_slice_str(utf8)};

    return tmk_message_set_standard(m, which, &v, err);
}

/* ---- parts as they were received ---- */

static tmk_status replace(tmk_str *place, tmk_slice bytes, tmk_error *err) {
    tmk_str copy = TMK_STR_INIT;

    tmk_str_add_slice(&copy, bytes);
    if (!tmk_str_ok(&copy)) {
        return no_memory(err);
    }
    tmk_str_clear(place);
    *place = copy;
    return TMK_OK;
}

tmk_status tmk_message_put_key(tmk_message *m, tmk_slice key, tmk_error *err) {
    return replace(&m->key, key, err);
}

tmk_status tmk_message_put_sections(tmk_message *m, tmk_slice body, tmk_error *err) {
    return replace(&m->body, body, err);
}

tmk_status tmk_message_put_standard(tmk_message *m, tmk_standard which, tmk_slice value,
                                    tmk_error *err) {
    tmk_assert((unsigned)which < STANDARD_COUNT);
    return replace(&m->standard[which], value, err);
}

tmk_status tmk_message_put_property(tmk_message *m, tmk_slice name, tmk_slice value,
                                    tmk_error *err) {
    return list_add(&m->properties, name, value, err);
}

tmk_status tmk_message_put_annotation(tmk_message *m, tmk_slice name, tmk_slice value,
                                      tmk_error *err) {
    return list_add(&m->annotations, name, value, err);
}

/* ---- encoding ---- */

/* The service routes by key only what is marked durable. */
static void put_header(tmk_str *out) {
    tmk_wire_mark m;

    tmk_wire_put_descriptor(out, TMK_SECTION_HEADER);
    m = tmk_wire_begin_list(out);
    tmk_wire_put_bool(out, true);
    tmk_wire_end_list(out, m, 1);
}

static void put_annotations(tmk_slice key, const named_list *l, tmk_str *out) {
    uint32_t count = 0;
    tmk_wire_mark m;

    if (key.size == 0 && (l == NULL || l->count == 0)) {
        return;
    }
    tmk_wire_put_descriptor(out, TMK_SECTION_MESSAGE_ANNOTATIONS);
    m = tmk_wire_begin_map(out);
    if (key.size > 0) {
        tmk_wire_put_symbol(out, TMK_LIT("x-opt-partition-key"));
        tmk_wire_put_string(out, key);
        count += 2;
    }
    for (size_t i = 0; l != NULL && i < l->count; i++) {
        tmk_wire_put_symbol(out, tmk_str_slice(&l->items[i].name));
        tmk_str_add_slice(out, tmk_str_slice(&l->items[i].value));
        count += 2;
    }
    tmk_wire_end_map(out, m, count);
}

void tmk_compose_key(tmk_slice key, tmk_str *out) {
    if (key.size > 0) {
        put_header(out);
        put_annotations(key, NULL, out);
    }
}

static void put_standard(const tmk_message *m, tmk_str *out) {
    uint32_t count = STANDARD_COUNT;
    tmk_wire_mark mark;

    while (count > 0 && m->standard[count - 1].size == 0) {
        count--;
    }
    tmk_wire_put_descriptor(out, TMK_SECTION_PROPERTIES);
    mark = tmk_wire_begin_list(out);
    for (uint32_t i = 0; i < count; i++) {
        if (m->standard[i].size == 0) {
            tmk_wire_null(out);
        } else {
            tmk_str_add_slice(out, tmk_str_slice(&m->standard[i]));
        }
    }
    tmk_wire_end_list(out, mark, count);
}

static void put_properties(const named_list *l, const tmk_compose_extra *extras, size_t extra_count,
                           tmk_str *out) {
    tmk_wire_mark m;

    if (l->count + extra_count == 0) {
        return;
    }
    tmk_wire_put_descriptor(out, TMK_SECTION_APPLICATION_PROPERTIES);
    m = tmk_wire_begin_map(out);
    for (size_t i = 0; i < l->count; i++) {
        tmk_wire_put_string(out, tmk_str_slice(&l->items[i].name));
        tmk_str_add_slice(out, tmk_str_slice(&l->items[i].value));
    }
    for (size_t i = 0; i < extra_count; i++) {
        tmk_wire_put_string(out, tmk_slice_str(extras[i].name));
        tmk_wire_put_string(out, tmk_slice_str(extras[i].text));
    }
    tmk_wire_end_map(out, m, (uint32_t)(2 * (l->count + extra_count)));
}

bool tmk_message_has(const tmk_message *m, const char *name) {
    for (size_t i = 0; i < m->properties.count; i++) {
        if (tmk_slice_eq(tmk_str_slice(&m->properties.items[i].name), tmk_slice_str(name))) {
            return true;
        }
    }
    return false;
}

tmk_status tmk_message_encode_with(const tmk_message *m, tmk_slice key,
                                   const tmk_compose_extra *extras, size_t extra_count,
                                   tmk_str *out, tmk_error *err) {
    if (key.size > 0) {
        put_header(out);
    }
    put_annotations(key, &m->annotations, out);
    put_standard(m, out);
    put_properties(&m->properties, extras, extra_count, out);
    tmk_str_add_slice(out, tmk_str_slice(&m->body));
    return tmk_str_ok(out) ? TMK_OK : no_memory(err);
}

tmk_status tmk_message_encode(const tmk_message *m, tmk_slice key, tmk_str *out, tmk_error *err) {
    return tmk_message_encode_with(m, key, NULL, 0, out, err);
}
