/*
 * The bytes of a log file: a head, then records, each with a checksum over all
 * of it. Big-endian.
 *
 *   head    "TMKHUB1\0", sequence and offset of the first record to come, offset and time of the
 *           last event before it, when the hub was created; checksum
 *   record  size of the event, checksum, sequence, offset, time, size of its header section; event
 *
 * Pure. Reading hostile bytes gives a row of whole records and says where it
 * ends; it never gives one that was not written.
 */
#ifndef TMK_HUB_SEGMENT_H
#define TMK_HUB_SEGMENT_H

#include "base/str.h"

enum { TMK_HUB_SEGMENT_HEAD = 52, TMK_HUB_RECORD_HEAD = 36 };

typedef struct tmk_hub_segment {
    int64_t sequence, offset;
    int64_t last_offset, last_ms; /* of the event before; -1, 0: there was none */
    int64_t created_ms;           /* of the hub */
} tmk_hub_segment;

void tmk_hub_segment_add(tmk_str *out, const tmk_hub_segment *head);
/* Takes the head from the front; false: there is none. */
bool tmk_hub_segment_take(tmk_slice *in, tmk_hub_segment *out);

typedef struct tmk_hub_record {
    int64_t sequence, offset, enqueued_ms;
    uint32_t header_size; /* at most the size of the event */
    tmk_slice event;      /* in its delivered form; not empty */
} tmk_hub_record;

void tmk_hub_record_add(tmk_str *out, const tmk_hub_record *r);
/* Takes a record from the front; false, and *in untouched, where there is no whole and sound one.
 */
bool tmk_hub_record_take(tmk_slice *in, tmk_hub_record *out);

/* CRC-32C, Castagnoli's; `seed` is 0 or what came of the bytes before. */
uint32_t tmk_hub_crc(uint32_t seed, tmk_slice bytes);

#endif
