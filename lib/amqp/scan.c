/*
 * The walk over a received event. This and what it calls in wire.c is all that
 * is run for every event between the socket and the handler, so it looks at
 * the common encodings first.
 */
#include "amqp/scan.h"

#include "amqp/bytes.h"

/*
 * tmk_wire_skip() for what messages are made of, in line: text and bytes,
 * containers with a size in front.
 */
static inline bool skip(tmk_slice *in) {
    const uint8_t *at = in->bytes;
    size_t size;

    if (in->size < 5 || at[0] < 0xa0) {
        return tmk_wire_skip(in);
    }
    size = (at[0] & 0x10) == 0 ? (size_t)2 + at[1] : (size_t)5 + tmk_load32(at + 1);
    if (size > in->size) {
        return false;
    }
    *in = tmk_slice_of(at + size, in->size - size);
    return true;
}

/* A descriptor that is no smallulong: an ulong in full, or a symbol. */
static bool take_long_descriptor(tmk_slice *in, uint64_t *code) {
    tmk_slice rest = *in;
    tmk_value section = {.kind = TMK_VALUE_NONE};

    if (rest.size < 1 || rest.bytes[0] != 0) {
        return false;
    }
    rest = tmk_slice_of(rest.bytes + 1, rest.size - 1);
    section.descriptor = rest;
    if (!tmk_wire_skip(&rest)) {
        return false;
    }
    section.descriptor.size -= rest.size;
    *code = tmk_wire_descriptor(&section);
    *in = rest;
    return true;
}

static inline bool take_section(tmk_slice *in, uint8_t *code, tmk_slice *value) {
    tmk_slice rest = *in;
    uint64_t long_code = 0;

    if (rest.size > 3 && rest.bytes[0] == 0 && rest.bytes[1] == 0x53) {
        long_code = rest.bytes[2];
        rest = tmk_slice_of(rest.bytes + 3, rest.size - 3);
    } else if (!take_long_descriptor(&rest, &long_code)) {
        return false;
    }
    *value = rest;
    if (!skip(&rest)) {
        return false;
    }
    value->size -= rest.size;
    *code =
        long_code >= TMK_SECTION_HEADER && long_code <= TMK_SECTION_FOOTER ? (uint8_t)long_code : 0;
    *in = rest;
    return true;
}

bool tmk_scan_section(tmk_slice *in, uint8_t *code, tmk_slice *value) {
    return take_section(in, code, value);
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

    memset(&s, 0, sizeof s);
    while (message.size > 0) {
        const uint8_t *start = message.bytes;
        tmk_slice value;
        uint8_t code;

        if (!take_section(&message, &code, &value)) {
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

/* Takes a key; *out is empty where it is no text of at most 255 bytes: we look for no such key. */
static inline bool take_key(tmk_slice *in, tmk_slice *out) {
    const uint8_t *at = in->bytes;

    if (!skip(in)) {
        return false;
    }
    *out = at[0] == 0xa3 || at[0] == 0xa1 ? tmk_slice_of(at + 2, at[1]) : tmk_slice_of(NULL, 0);
    return true;
}

static inline bool is_key(tmk_slice key, const char *name, size_t size) {
    return key.size == size && memcmp(key.bytes, name, size) == 0;
}
#define IS_KEY(key, literal) is_key(key, literal, sizeof(literal) - 1)

/* A number, -1 for anything else; first the encodings that the service uses. */
static inline bool take_number(tmk_slice *in, int64_t *out) {
    tmk_value v;

    if (in->size >= 9 && (in->bytes[0] == 0x81 || in->bytes[0] == 0x83)) {
        *out = (int64_t)tmk_load64(in->bytes + 1);
        *in = tmk_slice_of(in->bytes + 9, in->size - 9);
        return true;
    }
    if (!tmk_wire_take(in, &v)) {
        return false;
    }
    *out = v.kind == TMK_VALUE_TIME ? v.i64 : tmk_wire_int(&v, -1);
    return true;
}

static inline bool take_text(tmk_slice *in, tmk_slice *out) {
    tmk_value v;

    if (in->size > 0 && in->bytes[0] == 0xa1) {
        return take_key(in, out);
    }
    if (!tmk_wire_take(in, &v)) {
        return false;
    }
    *out = tmk_wire_text(&v);
    return true;
}

bool tmk_scan_marks(tmk_slice message_annotations, tmk_event_marks *out) {
    tmk_event_marks m = {.sequence = -1};
    tmk_slice rest, key;
    uint32_t count = 0;

    if (!open_map(message_annotations, &rest, &count)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i += 2) {
        bool ok = take_key(&rest, &key);

        if (!ok) {
            return false;
        }
        if (IS_KEY(key, "x-opt-sequence-number")) {
            ok = take_number(&rest, &m.sequence);
        } else if (IS_KEY(key, "x-opt-offset")) {
            ok = take_text(&rest, &m.offset);
        } else if (IS_KEY(key, "x-opt-enqueued-time")) {
            ok = take_number(&rest, &m.enqueued_ms);
        } else if (IS_KEY(key, "x-opt-partition-key")) {
            ok = take_text(&rest, &m.key);
        } else {
            ok = skip(&rest);
        }
        if (!ok) {
            return false;
        }
    }
    *out = m;
    return true;
}

bool tmk_scan_last_enqueued(tmk_slice delivery_annotations, tmk_last_enqueued *out) {
    tmk_last_enqueued l;
    tmk_slice rest, key;
    uint32_t count = 0;

    memset(&l, 0, sizeof l);
    if (!open_map(delivery_annotations, &rest, &count)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i += 2) {
        bool ok = take_key(&rest, &key);

        if (!ok) {
            return false;
        }
        if (IS_KEY(key, "last_enqueued_sequence_number")) {
            l.present = true;
            ok = take_number(&rest, &l.sequence);
        } else if (IS_KEY(key, "last_enqueued_offset")) {
            ok = take_text(&rest, &l.offset);
        } else if (IS_KEY(key, "last_enqueued_time_utc")) {
            ok = take_number(&rest, &l.enqueued_ms);
        } else if (IS_KEY(key, "runtime_info_retrieval_time_utc")) {
            ok = take_number(&rest, &l.retrieved_ms);
        } else {
            ok = skip(&rest);
        }
        if (!ok) {
            return false;
        }
    }
    *out = l;
    return true;
}
