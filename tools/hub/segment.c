/* See segment.h. */
#include "hub/segment.h"

#include "hub/bytes.h"

static const char magic[8] = "TMKHUB1";

/* A table for four bits at a time: small, and made by the compiler. */
static const uint32_t crc_table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t tmk_hub_crc(uint32_t seed, tmk_slice bytes) {
    uint32_t crc = ~seed;

    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.bytes[i];
        crc = (crc >> 4) ^ crc_table[crc & 15];
        crc = (crc >> 4) ^ crc_table[crc & 15];
    }
    return ~crc;
}

/* ---- head ---- */

void tmk_hub_segment_add(tmk_str *out, const tmk_hub_segment *head) {
    uint8_t b[TMK_HUB_SEGMENT_HEAD];

    memcpy(b, magic, sizeof magic);
    tmk_hub_store64(b + 8, (uint64_t)head->sequence);
    tmk_hub_store64(b + 16, (uint64_t)head->offset);
    tmk_hub_store64(b + 24, (uint64_t)head->last_offset);
    tmk_hub_store64(b + 32, (uint64_t)head->last_ms);
    tmk_hub_store64(b + 40, (uint64_t)head->created_ms);
    tmk_hub_store32(b + 48, tmk_hub_crc(0, tmk_slice_of(b, 48)));
    tmk_str_add_slice(out, tmk_slice_of(b, sizeof b));
}

bool tmk_hub_segment_take(tmk_slice *in, tmk_hub_segment *out) {
    const uint8_t *b = in->bytes;

    if (in->size < TMK_HUB_SEGMENT_HEAD || memcmp(b, magic, sizeof magic) != 0 ||
        tmk_hub_load32(b + 48) != tmk_hub_crc(0, tmk_slice_of(b, 48))) {
        return false;
    }
    out->sequence = (int64_t)tmk_hub_load64(b + 8);
    out->offset = (int64_t)tmk_hub_load64(b + 16);
    out->last_offset = (int64_t)tmk_hub_load64(b + 24);
    out->last_ms = (int64_t)tmk_hub_load64(b + 32);
    out->created_ms = (int64_t)tmk_hub_load64(b + 40);
    *in = tmk_slice_from(*in, TMK_HUB_SEGMENT_HEAD);
    return out->sequence >= 0 && out->offset >= 0 && out->last_offset >= -1;
}

/* ---- records ---- */

void tmk_hub_record_add(tmk_str *out, const tmk_hub_record *r) {
    uint8_t b[TMK_HUB_RECORD_HEAD];
    uint32_t crc;

    tmk_hub_store32(b, (uint32_t)r->event.size);
    tmk_hub_store64(b + 8, (uint64_t)r->sequence);
    tmk_hub_store64(b + 16, (uint64_t)r->offset);
    tmk_hub_store64(b + 24, (uint64_t)r->enqueued_ms);
    tmk_hub_store32(b + 32, r->header_size);
    crc = tmk_hub_crc(0, tmk_slice_of(b, 4));
    crc = tmk_hub_crc(crc, tmk_slice_of(b + 8, sizeof b - 8));
    tmk_hub_store32(b + 4, tmk_hub_crc(crc, r->event));
    tmk_str_add_slice(out, tmk_slice_of(b, sizeof b));
    tmk_str_add_slice(out, r->event);
}

bool tmk_hub_record_take(tmk_slice *in, tmk_hub_record *out) {
    const uint8_t *b = in->bytes;
    uint32_t size, crc;

    if (in->size < TMK_HUB_RECORD_HEAD) {
        return false;
    }
    size = tmk_hub_load32(b);
    if (size == 0 || size > in->size - TMK_HUB_RECORD_HEAD || tmk_hub_load32(b + 32) > size) {
        return false;
    }
    crc = tmk_hub_crc(0, tmk_slice_of(b, 4));
    crc = tmk_hub_crc(crc, tmk_slice_of(b + 8, TMK_HUB_RECORD_HEAD - 8 + (size_t)size));
    if (crc != tmk_hub_load32(b + 4)) {
        return false;
    }
    out->sequence = (int64_t)tmk_hub_load64(b + 8);
    out->offset = (int64_t)tmk_hub_load64(b + 16);
    out->enqueued_ms = (int64_t)tmk_hub_load64(b + 24);
    out->header_size = tmk_hub_load32(b + 32);
    out->event = tmk_slice_of(b + TMK_HUB_RECORD_HEAD, size);
    *in = tmk_slice_from(*in, TMK_HUB_RECORD_HEAD + (size_t)size);
    return true;
}
