/* See event.h. */
#include "hub/event.h"

#include "amqp/wire.h"
#include "base/assert.h"

#include "hub/bytes.h"

static const char key_name[] = "x-opt-partition-key";

/* ---- reading what was sent ---- */

/* Takes one section: its code, its value, and all of its bytes. */
static bool take_section(tmk_slice *in, uint64_t *code, tmk_value *value, tmk_slice *whole) {
    tmk_slice before = *in;

    if (in->size == 0 || in->bytes[0] != 0 || !tmk_wire_take(in, value)) {
        return false;
    }
    *code = tmk_wire_descriptor(value);
    *whole = tmk_slice_of(before.bytes, before.size - in->size);
    return true;
}

static bool take_annotations(tmk_hub_message *m, const tmk_value *map) {
    tmk_slice items = map->bytes;
    uint32_t count = 0;

    if (map->kind == TMK_VALUE_NONE) {
        return true;
    }
    if (map->kind != TMK_VALUE_MAP || map->count % 2 != 0) {
        return false;
    }
    while (count < map->count) {
        tmk_value key = {0}, value = {0};
        if (!tmk_wire_take(&items, &key) || !tmk_wire_take(&items, &value)) {
            return false;
        }
        if (tmk_slice_eq(tmk_wire_text(&key), TMK_LIT("x-opt-partition-key")) &&
            (value.kind == TMK_VALUE_STRING || value.kind == TMK_VALUE_SYMBOL)) {
            m->key = value.bytes;
            m->keyed = true;
        }
        count += 2;
    }
    m->annotations = tmk_slice_of(map->bytes.bytes, map->bytes.size - items.size);
    m->annotation_count = map->count;
    return true;
}

bool tmk_hub_message_parse(tmk_slice bytes, tmk_hub_message *out) {
    tmk_hub_message m = {0};
    tmk_slice in = bytes;
    uint64_t last = 0;
    bool body = false;

    while (in.size > 0) {
        tmk_value value = {0};
        tmk_slice whole = {0};
        uint64_t code = 0;
        if (!take_section(&in, &code, &value, &whole) || code < TMK_SECTION_HEADER ||
            code > TMK_SECTION_FOOTER || code < last) {
            return false;
        }
        if (code == last && code != TMK_SECTION_DATA && code != TMK_SECTION_SEQUENCE) {
            return false;
        }
        last = code;
        if (code == TMK_SECTION_HEADER) {
            m.header = whole;
        } else if (code == TMK_SECTION_MESSAGE_ANNOTATIONS) {
            if (!take_annotations(&m, &value)) {
                return false;
            }
        } else if (code != TMK_SECTION_DELIVERY_ANNOTATIONS) {
            m.rest =
                m.rest.size == 0 ? whole : tmk_slice_of(m.rest.bytes, m.rest.size + whole.size);
            body = body || (code >= TMK_SECTION_DATA && code <= TMK_SECTION_VALUE);
        }
    }
    if (body) {
        *out = m;
    }
    return body;
}

bool tmk_hub_batch_next(tmk_slice *rest, tmk_slice *event, bool *broken) {
    while (rest->size > 0) {
        tmk_value value = {0};
        tmk_slice whole = {0};
        uint64_t code = 0;
        if (!take_section(rest, &code, &value, &whole)) {
            *broken = true;
            return false;
        }
        if (code == TMK_SECTION_DATA) {
            *broken = value.kind != TMK_VALUE_BINARY;
            *event = value.bytes;
            return !*broken;
        }
        if (code == TMK_SECTION_SEQUENCE || code == TMK_SECTION_VALUE) {
            *broken = true;
            return false;
        }
    }
    return false;
}

/* ---- writing what is delivered ---- */

/* Annotations that the service makes; a sender's own of these names are dropped. */
static bool is_ours(tmk_slice name) {
    return tmk_slice_eq(name, TMK_LIT("x-opt-sequence-number")) ||
           tmk_slice_eq(name, TMK_LIT("x-opt-offset")) ||
           tmk_slice_eq(name, TMK_LIT("x-opt-enqueued-time")) ||
           tmk_slice_eq(name, TMK_LIT("x-opt-sequence-number-epoch"));
}

static void add_symbol(tmk_str *out, const char *name) {
    tmk_wire_put_symbol(out, tmk_slice_str(name));
}

/* The sender's annotations, byte for byte, without those that are ours; returns how many items. */
static uint32_t add_theirs(tmk_str *out, const tmk_hub_message *m) {
    tmk_slice items = m->annotations;
    uint32_t added = 0;

    for (uint32_t i = 0; i + 1 < m->annotation_count; i += 2) {
        tmk_slice before = items;
        tmk_value key = {0};
        bool ok = tmk_wire_take(&items, &key) && tmk_wire_skip(&items);
        if (!ok) {
            break; /* cannot be: take_annotations() walked the same bytes */
        }
        if (!is_ours(tmk_wire_text(&key))) {
            tmk_str_add_slice(out, tmk_slice_of(before.bytes, before.size - items.size));
            added += 2;
        }
    }
    return added;
}

/*
 * What every event has in front, ready made: the annotations section with sequence number, offset,
 * time and epoch. Its numbers are of fixed width, so that they are put in place, and that
 * tmk_hub_event_offset() finds its way without reading.
 */
static const char front[] = "\0\x53\x72"                    /* the section's descriptor */
                            "\xd1\0\0\0\0\0\0\0\0"          /* a map: size, count */
                            "\xa3\x15x-opt-sequence-number" /* symbol */
                            "\x81\0\0\0\0\0\0\0\0"          /* long */
                            "\xa3\x0cx-opt-offset"          /* symbol */
                            "\xa1";                         /* string: size and text follow */
static const char middle[] = "\xa3\x13x-opt-enqueued-time\x83\0\0\0\0\0\0\0\0" /* timestamp */
                             "\xa3\x1bx-opt-sequence-number-epoch\x54\xff";    /* int -1 */
enum {
    FRONT = sizeof front - 1,
    MIDDLE = sizeof middle - 1,
    MAP_SIZE_AT = 4,
    MAP_COUNT_AT = 8,
    SEQUENCE_AT = 36,
    TIME_AT = 22,
    OFFSET_SIZE_AT = FRONT
};

static void add_front(tmk_str *out, const tmk_hub_mark *mark) {
    char bytes[FRONT + 1 + UINT8_MAX + MIDDLE];
    size_t size = FRONT;

    memcpy(bytes, front, FRONT);
    tmk_hub_store64(bytes + SEQUENCE_AT, (uint64_t)mark->sequence);
    bytes[size++] = (char)(uint8_t)mark->offset.size;
    memcpy(bytes + size, mark->offset.bytes, mark->offset.size);
    size += mark->offset.size;
    memcpy(bytes + size, middle, MIDDLE);
    tmk_hub_store64(bytes + size + TIME_AT, (uint64_t)mark->enqueued_ms);
    tmk_str_add_slice(out, tmk_slice_of(bytes, size + MIDDLE));
}

size_t tmk_hub_event_add(tmk_str *out, const tmk_hub_message *m, const tmk_hub_mark *mark) {
    size_t start;
    uint32_t count = 8;

    tmk_assert(mark->offset.size <= UINT8_MAX);
    tmk_str_add_slice(out, m->header);
    start = out->size;
    add_front(out, mark);
    if (mark->keyed && !m->keyed) {
        add_symbol(out, key_name);
        tmk_wire_put_string(out, mark->key);
        count += 2;
    }
    count += add_theirs(out, m);
    if (tmk_str_ok(out)) {
        tmk_hub_store32(out->text + start + MAP_SIZE_AT,
                        (uint32_t)(out->size - start - MAP_COUNT_AT));
        tmk_hub_store32(out->text + start + MAP_COUNT_AT, count);
    }
    tmk_str_add_slice(out, m->rest);
    return m->header.size;
}

tmk_slice tmk_hub_event_offset(tmk_slice annotated) {
    size_t size;

    if (annotated.size <= OFFSET_SIZE_AT) {
        return (tmk_slice){0};
    }
    size = annotated.bytes[OFFSET_SIZE_AT];
    if (annotated.size - OFFSET_SIZE_AT - 1 < size) {
        return (tmk_slice){0};
    }
    return tmk_slice_of(annotated.bytes + OFFSET_SIZE_AT + 1, size);
}

void tmk_hub_last_add(tmk_str *out, const tmk_hub_last *last) {
    tmk_wire_mark map;

    tmk_wire_put_descriptor(out, TMK_SECTION_DELIVERY_ANNOTATIONS);
    map = tmk_wire_begin_map(out);
    add_symbol(out, "last_enqueued_sequence_number");
    tmk_wire_put_long(out, last->sequence);
    add_symbol(out, "last_enqueued_offset");
    tmk_wire_put_string(out, last->offset);
    add_symbol(out, "last_enqueued_time_utc");
    tmk_wire_put_time(out, last->enqueued_ms);
    add_symbol(out, "runtime_info_retrieval_time_utc");
    tmk_wire_put_time(out, last->now_ms);
    tmk_wire_end_map(out, map, 8);
}

void tmk_hub_plain_message_add(tmk_str *out, tmk_slice body, tmk_slice key, bool keyed) {
    if (keyed) {
        tmk_wire_mark map;
        tmk_wire_put_descriptor(out, TMK_SECTION_MESSAGE_ANNOTATIONS);
        map = tmk_wire_begin_map(out);
        add_symbol(out, key_name);
        tmk_wire_put_string(out, key);
        tmk_wire_end_map(out, map, 2);
    }
    tmk_wire_put_descriptor(out, TMK_SECTION_DATA);
    tmk_wire_put_binary(out, body);
}
