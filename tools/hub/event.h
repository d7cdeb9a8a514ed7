/*
 * From the message a sender sent to the bytes a receiver is given.
 *
 * An event is brought into its delivered form once, when it is stored: the
 * service's annotations merged with the sender's, all other sections exactly
 * as they came. Delivering it is copying.
 *
 * Pure. Every length of the hostile input is checked; nothing recurses.
 */
#ifndef TMK_HUB_EVENT_H
#define TMK_HUB_EVENT_H

#include "base/str.h"

enum { TMK_HUB_BATCH_FORMAT = (int)0x80013700u, TMK_HUB_KEY_MAX = 128 };

/* A message cut at its seams. Each slice is a view; empty where the section is absent. */
typedef struct tmk_hub_message {
    tmk_slice header;          /* the whole section */
    tmk_slice annotations;     /* items of the message annotations map: key, value, key ... */
    uint32_t annotation_count; /* keys and values */
    tmk_slice rest;            /* properties to footer, whole sections */
    tmk_slice key;             /* x-opt-partition-key, where it is text */
    bool keyed;
} tmk_hub_message;

/* false: these bytes are no message (sections broken, out of order, or no body). */
bool tmk_hub_message_parse(tmk_slice bytes, tmk_hub_message *out);

/*
 * Takes the next event of a batch: `rest` starts as the envelope's rest and
 * shrinks. false at the end, and with *broken set where it is no batch.
 */
bool tmk_hub_batch_next(tmk_slice *rest, tmk_slice *event, bool *broken);

/* What the service adds. */
typedef struct tmk_hub_mark {
    int64_t sequence;
    int64_t enqueued_ms;
    tmk_slice offset; /* at most 255 bytes */
    tmk_slice key;    /* of the envelope, for an event that has none of its own */
    bool keyed;
} tmk_hub_mark;

/* Appends the delivered form to *out; returns the size of the header section in front of it. */
size_t tmk_hub_event_add(tmk_str *out, const tmk_hub_message *m, const tmk_hub_mark *mark);

/* Where, in a delivered form without its header section, the offset's text is. */
tmk_slice tmk_hub_event_offset(tmk_slice annotated);

/* Appends the delivery annotations of the last-enqueued metrics, a whole section. */
typedef struct tmk_hub_last {
    int64_t sequence, enqueued_ms, now_ms;
    tmk_slice offset;
} tmk_hub_last;
void tmk_hub_last_add(tmk_str *out, const tmk_hub_last *last);

/* Appends a message of one data section, with a partition key where `keyed`. */
void tmk_hub_plain_message_add(tmk_str *out, tmk_slice body, tmk_slice key, bool keyed);

#endif
