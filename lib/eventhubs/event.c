/*
 * Looking at a received event. What is asked for often (sequence, offset, key,
 * body) was found when it arrived; for the rest the message is walked again.
 *
 * Threads: an event does not change, so any number may look at once.
 */
#include <tidemark/event.h>

#include "eventhubs/burst.h"

int64_t tmk_event_sequence(const tmk_event *e) {
    return e->sequence;
}

tmk_slice tmk_event_offset(const tmk_event *e) {
    return tmk_slice_of(e->message + e->offset_at, e->offset_size);
}

int64_t tmk_event_enqueued_ms(const tmk_event *e) {
    return e->enqueued_ms;
}

tmk_slice tmk_event_key(const tmk_event *e) {
    return tmk_slice_of(e->message + e->key_at, e->key_size);
}

const char *tmk_event_partition(const tmk_event *e) {
    return e->burst->partition;
}

tmk_slice tmk_event_encoded(const tmk_event *e) {
    return tmk_slice_of(e->message, e->message_size);
}

/* ---- body ---- */

tmk_body_kind tmk_event_body_kind(const tmk_event *e) {
    tmk_sections s;

    if (e->data_size != UINT32_MAX) {
        return TMK_BODY_DATA;
    }
    return tmk_scan_message(tmk_event_encoded(e), &s) ? s.body_kind : TMK_BODY_NONE;
}

static bool is_bytes(const tmk_value *v) {
    return v->kind == TMK_VALUE_BINARY || v->kind == TMK_VALUE_STRING ||
           v->kind == TMK_VALUE_SYMBOL;
}

tmk_slice tmk_event_body(const tmk_event *e) {
    static const tmk_slice none;
    tmk_sections s;
    tmk_value part;
    size_t at = 0;

    if (e->data_size != UINT32_MAX) {
        return tmk_slice_of(e->message + e->data_at, e->data_size);
    }
    if (!tmk_scan_message(tmk_event_encoded(e), &s) || s.body_count != 1 ||
        !tmk_event_body_next(e, &at, &part) || !is_bytes(&part)) {
        return none;
    }
    return part.bytes;
}

bool tmk_event_body_next(const tmk_event *e, size_t *place, tmk_value *part) {
    tmk_slice rest = tmk_slice_from(tmk_event_encoded(e), *place), value;
    tmk_value v;
    uint8_t code;

    while (tmk_scan_section(&rest, &code, &value)) {
        if (code < TMK_SECTION_DATA || code > TMK_SECTION_VALUE) {
            continue;
        }
        if (!tmk_wire_take(&value, &v)) {
            return false;
        }
        *place = (size_t)(rest.bytes - e->message);
        *part = v;
        return true;
    }
    return false;
}

/* ---- properties and annotations ---- */

static bool take_map(tmk_slice encoded, tmk_value *map) {
    return encoded.size > 0 && tmk_wire_take(&encoded, map) && map->kind == TMK_VALUE_MAP;
}

tmk_value tmk_event_property(const tmk_event *e, const char *name) {
    static const tmk_value none;
    tmk_sections s;
    tmk_value map;

    if (!tmk_scan_message(tmk_event_encoded(e), &s) || !take_map(s.application_properties, &map)) {
        return none;
    }
    return tmk_wire_map_get(&map, name);
}

/*
 * Walks a map whose items begin at the place in the message where *place says,
 * 0 for the first. Items with keys that are no text are passed over.
 */
static bool map_next(const tmk_event *e, tmk_slice encoded, size_t *place, tmk_slice *name,
                     tmk_value *value) {
    const uint8_t *end = encoded.bytes + encoded.size;
    tmk_slice rest;
    tmk_value map, k, v;

    if (!take_map(encoded, &map)) {
        return false;
    }
    rest = *place == 0 ? map.bytes
                       : tmk_slice_of(e->message + *place, (size_t)(end - e->message) - *place);
    while (tmk_wire_take(&rest, &k) && tmk_wire_take(&rest, &v)) {
        if (k.kind == TMK_VALUE_STRING || k.kind == TMK_VALUE_SYMBOL) {
            *place = (size_t)(rest.bytes - e->message);
            *name = k.bytes;
            *value = v;
            return true;
        }
    }
    return false;
}

bool tmk_event_property_next(const tmk_event *e, size_t *place, tmk_slice *name, tmk_value *value) {
    tmk_sections s;

    return tmk_scan_message(tmk_event_encoded(e), &s) &&
           map_next(e, s.application_properties, place, name, value);
}

bool tmk_event_annotation_next(const tmk_event *e, size_t *place, tmk_slice *name,
                               tmk_value *value) {
    tmk_sections s;

    return tmk_scan_message(tmk_event_encoded(e), &s) &&
           map_next(e, s.message_annotations, place, name, value);
}

tmk_value tmk_event_standard(const tmk_event *e, tmk_standard which) {
    static const tmk_value none;
    tmk_sections s;
    tmk_value list, v;
    tmk_wire_list fields;

    if ((unsigned)which > TMK_REPLY_TO_GROUP_ID || !tmk_scan_message(tmk_event_encoded(e), &s) ||
        !tmk_wire_take(&s.properties, &list) || !tmk_wire_list_open(&list, &fields) ||
        !tmk_wire_list_field(&fields, (uint32_t)which, &v)) {
        return none;
    }
    return v;
}
