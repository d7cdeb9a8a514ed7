/* A received event made ready to be sent on. See tidemark/message.h. */
#include <tidemark/message.h>

#include "amqp/compose.h"
#include "base/status.h"
#include "eventhubs/burst.h"

typedef tmk_status put_fn(tmk_message *m, tmk_slice name, tmk_slice value, tmk_error *err);

static bool any_name(tmk_slice name) {
    (void)name;
    return true;
}

static bool senders_name(tmk_slice name) {
    return !tmk_slice_starts(name, TMK_LIT("x-opt-"));
}

/* Copies the items of an encoded map whose keys are text. */
static tmk_status copy_map(tmk_message *m, tmk_slice encoded, bool (*wanted)(tmk_slice name),
                           put_fn *put, tmk_error *err) {
    tmk_value map, key;
    tmk_status st = TMK_OK;

    if (encoded.size == 0 || !tmk_wire_take(&encoded, &map) || map.kind != TMK_VALUE_MAP) {
        return TMK_OK;
    }
    while (st == TMK_OK && tmk_value_next(&map, &key)) {
        tmk_slice value = map.bytes;

        if (!tmk_wire_skip(&map.bytes)) {
            break;
        }
        map.count--;
        value.size -= map.bytes.size;
        if ((key.kind == TMK_VALUE_STRING || key.kind == TMK_VALUE_SYMBOL) && wanted(key.bytes)) {
            st = put(m, key.bytes, value, err);
        }
    }
    return st;
}

static tmk_status copy_standard(tmk_message *m, tmk_slice encoded, tmk_error *err) {
    tmk_value list;
    tmk_status st = TMK_OK;

    if (encoded.size == 0 || !tmk_wire_take(&encoded, &list) || list.kind != TMK_VALUE_LIST) {
        return TMK_OK;
    }
    for (int i = 0; st == TMK_OK && list.count > 0 && i <= TMK_REPLY_TO_GROUP_ID; i++) {
        tmk_slice value = list.bytes;

        if (!tmk_wire_skip(&list.bytes)) {
            break;
        }
        list.count--;
        value.size -= list.bytes.size;
        if (value.bytes[0] != 0x40) {
            st = tmk_message_put_standard(m, (tmk_standard)i, value, err);
        }
    }
    return st;
}

static tmk_status copy_body(tmk_message *m, tmk_slice sections, tmk_error *err) {
    tmk_str body = TMK_STR_INIT;
    tmk_status st = TMK_OK;
    tmk_slice value;
    uint8_t code;

    while (tmk_scan_section(&sections, &code, &value)) {
        if (code >= TMK_SECTION_DATA && code <= TMK_SECTION_VALUE) {
            tmk_wire_put_descriptor(&body, code);
            tmk_str_add_slice(&body, value);
        }
    }
    if (!tmk_str_ok(&body)) {
        st = tmk_fail(err, TMK_ENOMEM, "message", "no memory for a message");
    } else if (body.size > 0) {
        st = tmk_message_put_sections(m, tmk_str_slice(&body), err);
    }
    tmk_str_clear(&body);
    return st;
}

tmk_status tmk_message_from_event(const tmk_event *event, tmk_message **out, tmk_error *err) {
    tmk_slice nothing = {NULL, 0};
    tmk_message *m = NULL;
    tmk_sections s;
    tmk_status st;

    if (!tmk_scan_message(tmk_event_encoded(event), &s)) {
        return tmk_fail(err, TMK_EPROTO, "message", "the event is no encoded message");
    }
    st = tmk_message_new(nothing, &m, err);
    if (st == TMK_OK) {
        st = tmk_message_put_key(m, tmk_event_key(event), err);
    }
    if (st == TMK_OK) {
        st = copy_map(m, s.message_annotations, senders_name, tmk_message_put_annotation, err);
    }
    if (st == TMK_OK) {
        st = copy_standard(m, s.properties, err);
    }
    if (st == TMK_OK) {
        st = copy_map(m, s.application_properties, any_name, tmk_message_put_property, err);
    }
    if (st == TMK_OK) {
        st = copy_body(m, s.body, err);
    }
    if (st == TMK_OK) {
        *out = m;
        m = NULL;
    }
    (void)tmk_message_free(m);
    return st;
}
