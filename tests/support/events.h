/* Encoded events as the service delivers them, for tests and benchmarks. */
#ifndef TMK_TESTS_EVENTS_H
#define TMK_TESTS_EVENTS_H

#include "amqp/wire.h"

typedef struct event_text {
    int64_t sequence, enqueued_ms;
    const char *offset, *key; /* NULL: none */
    const char *body;         /* one data section; NULL: none */
    int64_t last;             /* last enqueued sequence in the delivery annotations; 0: none */
    uint32_t properties;      /* application properties "p0", "p1", ... */
} event_text;

static inline void event_mark_(tmk_str *s, const char *name) {
    tmk_wire_put_symbol(s, tmk_slice_str(name));
}

static inline void event_put_last_(tmk_str *s, const event_text *e) {
    tmk_wire_mark m;

    tmk_wire_put_descriptor(s, TMK_SECTION_DELIVERY_ANNOTATIONS);
    m = tmk_wire_begin_map(s);
    event_mark_(s, "last_enqueued_sequence_number");
    tmk_wire_put_long(s, e->last);
    event_mark_(s, "last_enqueued_offset");
    tmk_wire_put_string(s, TMK_LIT("999"));
    event_mark_(s, "last_enqueued_time_utc");
    tmk_wire_put_time(s, e->enqueued_ms + 1);
    event_mark_(s, "runtime_info_retrieval_time_utc");
    tmk_wire_put_time(s, e->enqueued_ms + 2);
    tmk_wire_end_map(s, m, 8);
}

static inline void event_put_marks_(tmk_str *s, const event_text *e) {
    uint32_t count = 4;
    tmk_wire_mark m;

    tmk_wire_put_descriptor(s, TMK_SECTION_MESSAGE_ANNOTATIONS);
    m = tmk_wire_begin_map(s);
    event_mark_(s, "x-opt-sequence-number");
    tmk_wire_put_long(s, e->sequence);
    if (e->offset != NULL) {
        event_mark_(s, "x-opt-offset");
        tmk_wire_put_string(s, tmk_slice_str(e->offset));
        count += 2;
    }
    event_mark_(s, "x-opt-enqueued-time");
    tmk_wire_put_time(s, e->enqueued_ms);
    if (e->key != NULL) {
        event_mark_(s, "x-opt-partition-key");
        tmk_wire_put_string(s, tmk_slice_str(e->key));
        count += 2;
    }
    tmk_wire_end_map(s, m, count);
}

static inline void event_put(tmk_str *s, const event_text *e) {
    if (e->last != 0) {
        event_put_last_(s, e);
    }
    event_put_marks_(s, e);
    if (e->properties > 0) {
        tmk_wire_mark m;

        tmk_wire_put_descriptor(s, TMK_SECTION_APPLICATION_PROPERTIES);
        m = tmk_wire_begin_map(s);
        for (uint32_t i = 0; i < e->properties; i++) {
            char name[16];

            (void)snprintf(name, sizeof name, "p%u", i);
            tmk_wire_put_string(s, tmk_slice_str(name));
            tmk_wire_put_int(s, (int32_t)i);
        }
        tmk_wire_end_map(s, m, 2 * e->properties);
    }
    if (e->body != NULL) {
        tmk_wire_put_descriptor(s, TMK_SECTION_DATA);
        tmk_wire_put_binary(s, tmk_slice_str(e->body));
    }
}

#endif
