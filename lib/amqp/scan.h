/*
 * Finds the sections of an encoded message without decoding them.
 *
 * Pure, iterative, allocates nothing: a few hundred instructions for a plain
 * event. Every length is checked; unknown sections are skipped.
 */
#ifndef TMK_AMQP_SCAN_H
#define TMK_AMQP_SCAN_H

#include "amqp/wire.h"

typedef struct tmk_sections {
    /* Each is the encoded value that follows the section's descriptor; empty where absent. Of two
     * of a kind the first counts. */
    tmk_slice header, delivery_annotations, message_annotations, properties, application_properties;
    tmk_slice footer;
    tmk_slice body;          /* from the first body section to the last, descriptors included */
    tmk_slice data;          /* content of the one data section; NULL bytes: several or none */
    uint32_t body_count;     /* body sections */
    tmk_body_kind body_kind; /* of the first */
} tmk_sections;

/* false: the bytes are no row of whole sections. */
bool tmk_scan_message(tmk_slice message, tmk_sections *out);

/*
 * Takes one section from the front of *in: *code 0x70..0x78, or 0 for one that
 * nobody knows; *value is what follows the descriptor, encoded.
 */
bool tmk_scan_section(tmk_slice *in, uint8_t *code, tmk_slice *value);

/* What every received event carries in its message annotations. */
typedef struct tmk_event_marks {
    int64_t sequence; /* -1: absent */
    int64_t enqueued_ms;
    tmk_slice offset, key;
} tmk_event_marks;
/* Empty annotations are fine: all is absent. false: they are no whole map. */
bool tmk_scan_marks(tmk_slice message_annotations, tmk_event_marks *out);

/* What is kept of every received event, in one walk. */
typedef struct tmk_event_parts {
    tmk_event_marks marks;
    tmk_slice delivery_annotations; /* as in tmk_sections */
    tmk_slice data;                 /* as in tmk_sections */
} tmk_event_parts;
/* What tmk_scan_message() and tmk_scan_marks() tell; false where either does, with *out void. */
bool tmk_scan_event(tmk_slice message, tmk_event_parts *out);

/* Last-enqueued information in the delivery annotations. */
typedef struct tmk_last_enqueued {
    bool present;
    int64_t sequence, enqueued_ms, retrieved_ms;
    tmk_slice offset;
} tmk_last_enqueued;
bool tmk_scan_last_enqueued(tmk_slice delivery_annotations, tmk_last_enqueued *out);

#endif
