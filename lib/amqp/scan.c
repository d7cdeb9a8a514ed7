/*
 * The walk over a received event. This and what it calls in wire.c is all that
 * is run for every event between the socket and the handler, so it looks at
 * the common encodings first.
 */
#include "amqp/scan.h"

#include "amqp/bytes.h"

/*
 * A walk through encoded values. The place stands in two pointers, which the compiler keeps in
 * registers: this is done for every event that is received.
 */
typedef struct walk {
    const uint8_t *at, *end;
} walk;

static inline walk walk_of(tmk_slice s) {
    return (walk){s.bytes, s.size == 0 ? s.bytes : s.bytes + s.size};
}

static inline tmk_slice rest_of(const walk *w) {
    return tmk_slice_of(w->at, (size_t)(w->end - w->at));
}

/* What is not encoded as the service does it goes the general way; NULL: it is broken. */
__attribute__((noinline)) static const uint8_t *take_slowly(walk w, tmk_value *out) {
    tmk_slice rest = rest_of(&w);

    return tmk_wire_take(&rest, out) ? rest.bytes : NULL;
}

__attribute__((noinline)) static const uint8_t *skip_slowly(walk w) {
    tmk_slice rest = rest_of(&w);

    return tmk_wire_skip(&rest) ? rest.bytes : NULL;
}

/* In line for what messages are made of: text and bytes, containers with a size in front. */
static inline bool skip(walk *w) {
    size_t left = (size_t)(w->end - w->at), size;

    if (__builtin_expect(left < 5 || w->at[0] < 0xa0, 0)) {
        if (left >= 2 && w->at[0] >> 4 == 5) { /* a number in one byte */
            w->at += 2;
            return true;
        }
        w->at = skip_slowly(*w);
        return w->at != NULL;
    }
    size = (w->at[0] & 0x10) == 0 ? (size_t)2 + w->at[1] : (size_t)5 + tmk_load32(w->at + 1);
    if (size > left) {
        return false;
    }
    w->at += size;
    return true;
}

/* A descriptor that is no smallulong: an ulong in full, or a symbol. NULL: it is none. */
__attribute__((noinline)) static const uint8_t *take_long_descriptor(walk w, uint64_t *code) {
    tmk_value section = {.kind = TMK_VALUE_NONE};

    if (w.at == w.end || *w.at != 0) {
        return NULL;
    }
    w.at++;
    section.descriptor = rest_of(&w);
    w.at = skip_slowly(w);
    if (w.at != NULL) {
        section.descriptor.size -= (size_t)(w.end - w.at);
        *code = tmk_wire_descriptor(&section);
    }
    return w.at;
}

static inline bool take_section(walk *w, uint8_t *code, tmk_slice *value) {
    uint64_t long_code = 0;

    if (w->end - w->at > 3 && w->at[0] == 0 && w->at[1] == 0x53) {
        long_code = w->at[2];
        w->at += 3;
    } else if ((w->at = take_long_descriptor(*w, &long_code)) == NULL) {
        return false;
    }
    value->bytes = w->at;
    if (!skip(w)) {
        return false;
    }
    value->size = (size_t)(w->at - value->bytes);
    *code =
        long_code >= TMK_SECTION_HEADER && long_code <= TMK_SECTION_FOOTER ? (uint8_t)long_code : 0;
    return true;
}

bool tmk_scan_section(tmk_slice *in, uint8_t *code, tmk_slice *value) {
    walk w = walk_of(*in);

    if (!take_section(&w, code, value)) {
        return false;
    }
    *in = rest_of(&w);
    return true;
}

static void keep_first(tmk_slice *place, tmk_slice value) {
    if (place->bytes == NULL) {
        *place = value;
    }
}

/* The content of a data section; false when it holds anything but bytes. */
static bool data_content(tmk_slice value, tmk_slice *out) {
    size_t prefix = value.bytes[0] == 0xa0 ? 2 : value.bytes[0] == 0xb0 ? 5 : 0;

    if (prefix == 0) {
        return false;
    }
    *out = tmk_slice_of(value.bytes + prefix, value.size - prefix);
    return true;
}

/* `start` is where the section's descriptor begins. */
static bool add_body(tmk_sections *s, uint8_t code, const uint8_t *start, tmk_slice value) {
    tmk_slice content = {NULL, 0};

    if (code == TMK_SECTION_DATA && !data_content(value, &content)) {
        return false;
    }
    if (s->body_count == 0) {
        s->body.bytes = start;
        s->body_kind = code == TMK_SECTION_DATA    ? TMK_BODY_DATA
                       : code == TMK_SECTION_VALUE ? TMK_BODY_VALUE
                                                   : TMK_BODY_SEQUENCE;
        s->data = content;
    } else {
        s->data = tmk_slice_of(NULL, 0);
    }
    s->body_count++;
    s->body.size = (size_t)(value.bytes + value.size - s->body.bytes);
    return true;
}

bool tmk_scan_message(tmk_slice message, tmk_sections *out) {
    tmk_sections s;
    walk w = walk_of(message);

    memset(&s, 0, sizeof s);
    while (w.at < w.end) {
        const uint8_t *start = w.at;
        tmk_slice value;
        uint8_t code;

        if (!take_section(&w, &code, &value)) {
            return false;
        }
        switch (code) {
        case TMK_SECTION_HEADER:
            keep_first(&s.header, value);
            break;
        case TMK_SECTION_DELIVERY_ANNOTATIONS:
            keep_first(&s.delivery_annotations, value);
            break;
        case TMK_SECTION_MESSAGE_ANNOTATIONS:
            keep_first(&s.message_annotations, value);
            break;
        case TMK_SECTION_PROPERTIES:
            keep_first(&s.properties, value);
            break;
        case TMK_SECTION_APPLICATION_PROPERTIES:
            keep_first(&s.application_properties, value);
            break;
        case TMK_SECTION_DATA:
        case TMK_SECTION_SEQUENCE:
        case TMK_SECTION_VALUE:
            if (!add_body(&s, code, start, value)) {
                return false;
            }
            break;
        case TMK_SECTION_FOOTER:
            keep_first(&s.footer, value);
            break;
        default:
            break;
        }
    }
    *out = s;
    return true;
}

/* ---- annotations ---- */

/*
 * The map that `encoded` is: its items and how many. Another type, a broken
 * count: false. Nothing at all is an empty map.
 */
static inline bool open_map(tmk_slice encoded, tmk_slice *items, uint32_t *count) {
    tmk_value map = {.kind = TMK_VALUE_MAP};

    if (encoded.size >= 9 && encoded.bytes[0] == 0xd1) {
        *count = tmk_load32(encoded.bytes + 5);
        *items = tmk_slice_of(encoded.bytes + 9, encoded.size - 9);
        return *count <= items->size && *count % 2 == 0;
    }
    if (encoded.size > 0 && !tmk_wire_take(&encoded, &map)) {
        return false;
    }
    *items = map.bytes;
    *count = map.count;
    return map.kind == TMK_VALUE_MAP;
}

/* A value with its size in one byte in front; false: another encoding, or more than there is. */
static inline bool take_short(walk *w, uint8_t code, tmk_slice *out) {
    size_t left = (size_t)(w->end - w->at);

    if (left < 2 || w->at[0] != code || left - 2 < w->at[1]) {
        return false;
    }
    *out = tmk_slice_of(w->at + 2, w->at[1]);
    w->at = out->bytes + out->size;
    return true;
}

/* Takes a key; *out is empty where it is no text of at most 255 bytes: we look for no such key. */
static inline bool take_key(walk *w, tmk_slice *out) {
    if (!take_short(w, 0xa3, out) && !take_short(w, 0xa1, out)) {
        *out = tmk_slice_of(NULL, 0);
        return skip(w);
    }
    return true;
}

static inline bool is_key(tmk_slice key, const char *name, size_t size) {
    return key.size == size && memcmp(key.bytes, name, size) == 0;
}
#define IS_KEY(key, literal) is_key(key, literal, sizeof(literal) - 1)

/* A number, -1 for anything else; first the encodings that the service uses. */
static inline bool take_number(walk *w, int64_t *out) {
    tmk_value v;

    if (w->end - w->at >= 9 && (w->at[0] == 0x81 || w->at[0] == 0x83)) {
        *out = (int64_t)tmk_load64(w->at + 1);
        w->at += 9;
        return true;
    }
    w->at = take_slowly(*w, &v);
    if (w->at != NULL) {
        *out = v.kind == TMK_VALUE_TIME ? v.i64 : tmk_wire_int(&v, -1);
    }
    return w->at != NULL;
}

static inline bool take_text(walk *w, tmk_slice *out) {
    tmk_value v;

    if (take_short(w, 0xa1, out)) {
        return true;
    }
    w->at = take_slowly(*w, &v);
    if (w->at != NULL) {
        *out = tmk_wire_text(&v);
    }
    return w->at != NULL;
}

/* One mark: the value behind `key`, if that is the name of one. */
static inline bool take_mark(walk *w, tmk_slice key, tmk_event_marks *m) {
    switch (key.size) { /* the names of most sizes are those of one */
    case 12:
        if (IS_KEY(key, "x-opt-offset")) {
            return take_text(w, &m->offset);
        }
        break;
    case 19:
        if (IS_KEY(key, "x-opt-enqueued-time")) {
            return take_number(w, &m->enqueued_ms);
        }
        if (IS_KEY(key, "x-opt-partition-key")) {
            return take_text(w, &m->key);
        }
        break;
    case 21:
        if (IS_KEY(key, "x-opt-sequence-number")) {
            return take_number(w, &m->sequence);
        }
        break;
    default:
        break;
    }
    return skip(w);
}

static inline bool take_marks(tmk_slice message_annotations, tmk_event_marks *m) {
    tmk_slice items, key;
    uint32_t count = 0;
    walk w;

    if (!open_map(message_annotations, &items, &count)) {
        return false;
    }
    w = walk_of(items);
    for (; count > 0; count -= 2) {
        if (!take_key(&w, &key) || !take_mark(&w, key, m)) {
            return false;
        }
    }
    return true;
}

bool tmk_scan_marks(tmk_slice message_annotations, tmk_event_marks *out) {
    tmk_event_marks m = {.sequence = -1};

    if (!take_marks(message_annotations, &m)) {
        return false;
    }
    *out = m;
    return true;
}

bool tmk_scan_event(tmk_slice message, tmk_event_parts *out) {
    tmk_slice annotations = {NULL, 0}, delivery_annotations = {NULL, 0}, data = {NULL, 0}, value;
    uint32_t bodies = 0;
    walk w = walk_of(message);
    uint8_t code;

    while (w.at < w.end) {
        if (!take_section(&w, &code, &value)) {
            return false;
        }
        if (code == TMK_SECTION_DATA) {
            if (!data_content(value, &data)) {
                return false;
            }
            bodies++;
        } else if (code == TMK_SECTION_MESSAGE_ANNOTATIONS) {
            keep_first(&annotations, value);
        } else if (code == TMK_SECTION_DELIVERY_ANNOTATIONS) {
            keep_first(&delivery_annotations, value);
        } else {
            bodies += code == TMK_SECTION_SEQUENCE || code == TMK_SECTION_VALUE ? 2 : 0;
        }
    }
    out->marks = (tmk_event_marks){.sequence = -1};
    out->delivery_annotations = delivery_annotations;
    out->data = bodies == 1 ? data : tmk_slice_of(NULL, 0);
    return take_marks(annotations, &out->marks);
}

bool tmk_scan_last_enqueued(tmk_slice delivery_annotations, tmk_last_enqueued *out) {
    tmk_last_enqueued l;
    tmk_slice items, key;
    uint32_t count = 0;
    walk w;

    memset(&l, 0, sizeof l);
    if (!open_map(delivery_annotations, &items, &count)) {
        return false;
    }
    w = walk_of(items);
    for (uint32_t i = 0; i < count; i += 2) {
        bool ok = take_key(&w, &key);

        if (!ok) {
            return false;
        }
        if (IS_KEY(key, "last_enqueued_sequence_number")) {
            l.present = true;
            ok = take_number(&w, &l.sequence);
        } else if (IS_KEY(key, "last_enqueued_offset")) {
            ok = take_text(&w, &l.offset);
        } else if (IS_KEY(key, "last_enqueued_time_utc")) {
            ok = take_number(&w, &l.enqueued_ms);
        } else if (IS_KEY(key, "runtime_info_retrieval_time_utc")) {
            ok = take_number(&w, &l.retrieved_ms);
        } else {
            ok = skip(&w);
        }
        if (!ok) {
            return false;
        }
    }
    *out = l;
    return true;
}
