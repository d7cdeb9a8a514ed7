/*
 * Received events: scan, burst, everything that a user may ask of an event, and
 * passing it on. Oracles: all that is found lies within the message; what is
 * passed on is a whole message with the same body.
 */
#include "amqp/scan.h"

#include "amqp/compose.h"
#include "base/assert.h"
#include "eventhubs/batch.h"
#include "eventhubs/burst.h"
#include "fuzz/fuzz.h"

static void check_within(tmk_slice part, tmk_slice whole) {
    tmk_assert(part.size == 0 ||
               (part.bytes >= whole.bytes && part.bytes + part.size <= whole.bytes + whole.size));
}

static void check_event(const tmk_event *e) {
    tmk_slice whole = tmk_event_encoded(e), name;
    tmk_value v;
    size_t at = 0, before = 0;

    check_within(tmk_event_offset(e), whole);
    check_within(tmk_event_key(e), whole);
    check_within(tmk_event_body(e), whole);
    while (tmk_event_body_next(e, &at, &v)) {
        tmk_assert(at > before && at <= whole.size);
        check_within(v.bytes, whole);
        before = at;
    }
    tmk_assert((tmk_event_body_kind(e) == TMK_BODY_NONE) == (before == 0) || before == 0);
    for (at = before = 0; tmk_event_property_next(e, &at, &name, &v); before = at) {
        tmk_assert(at > before && at <= whole.size);
        check_within(name, whole);
        check_within(v.bytes, whole);
    }
    for (at = before = 0; tmk_event_annotation_next(e, &at, &name, &v); before = at) {
        tmk_assert(at > before && at <= whole.size);
    }
    for (int i = 0; i <= TMK_REPLY_TO_GROUP_ID; i++) {
        v = tmk_event_standard(e, (tmk_standard)i);
        check_within(v.bytes, whole);
    }
    (void)tmk_event_property(e, "p0");
}

static void check_forward(const tmk_event *e) {
    tmk_message *m = NULL;
    tmk_batch *b = NULL;
    tmk_str s = TMK_STR_INIT;
    tmk_sections parts;
    tmk_slice body = tmk_event_body(e);

    tmk_assert(tmk_message_from_event(e, &m, NULL) == TMK_OK);
    tmk_assert(tmk_message_encode(m, tmk_message_key(m), &s, NULL) == TMK_OK);
    tmk_assert(tmk_scan_message(tmk_str_slice(&s), &parts));
    tmk_assert(parts.body_count > 0);
    tmk_assert(body.size == 0 || parts.body_kind != TMK_BODY_DATA ||
               tmk_slice_eq(body, parts.data));
    tmk_assert(tmk_batch_new(1 << 20, NULL, &b, NULL) == TMK_OK);
    if (tmk_message_key(m).size == 0 && s.size < (1 << 20) - 16) {
        tmk_assert(tmk_batch_try_add(b, m, NULL) == TMK_OK);
        tmk_assert(tmk_scan_message(tmk_batch_encoded(b), &parts) && parts.body_count == 1);
    }
    b = tmk_batch_free(b);
    m = tmk_message_free(m);
    tmk_str_clear(&s);
}

static void check_burst(tmk_slice message) {
    tmk_burst_pool *pool = NULL;
    tmk_burst *b;
    uint8_t *at;
    tmk_status st = TMK_OK;

    tmk_assert(tmk_burst_pool_new(0, &pool, NULL) == TMK_OK);
    b = tmk_burst_take(pool, "0");
    tmk_assert(b != NULL);
    for (int i = 0; i < 2 && st == TMK_OK; i++) {
        tmk_assert(tmk_burst_reserve(b, message.size, &at) == TMK_OK);
        memcpy(at, message.bytes, message.size);
        st = tmk_burst_add(b, message.size, NULL);
    }
    tmk_burst_seal(b);
    check_within(b->last.offset, tmk_slice_of(b->bytes, b->size));
    for (uint32_t i = 0; i < b->count; i++) {
        check_event(&b->events[i]);
        check_forward(&b->events[i]);
    }
    tmk_burst_drop(b);
    pool = tmk_burst_pool_free(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tmk_slice message = tmk_slice_of(data, size);
    tmk_sections s;
    tmk_event_marks m;
    tmk_last_enqueued l;
    tmk_event_parts parts;

    tmk_assert(tmk_scan_event(message, &parts) ==
               (tmk_scan_message(message, &s) && tmk_scan_marks(s.message_annotations, &m)));
    if (size > 0 && tmk_scan_message(message, &s)) {
        check_within(s.body, message);
        check_within(s.data, message);
        check_within(s.properties, message);
        (void)tmk_scan_marks(s.message_annotations, &m);
        (void)tmk_scan_last_enqueued(s.delivery_annotations, &l);
        check_burst(message);
    }
    (void)tmk_scan_marks(message, &m);
    (void)tmk_scan_last_enqueued(message, &l);
    return 0;
}
