/* Writing and reading done-maps; see done_map.h for the bytes. */
#include "core/done_map.h"

#include "base/assert.h"
#include "base/status.h"

enum { VERSION = 1, NUMBER_MAX = 10, SUM_SIZE = 4 };

/* CRC-32 (IEEE), four bits at a time: maps are small and rarely written. */
static uint32_t checksum(const uint8_t *bytes, size_t size) {
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t sum = ~UINT32_C(0);

    for (size_t i = 0; i < size; i++) {
        sum ^= bytes[i];
        sum = table[sum & 15] ^ (sum >> 4);
        sum = table[sum & 15] ^ (sum >> 4);
    }
    return ~sum;
}

static size_t put_number(uint8_t out[NUMBER_MAX], uint64_t number) {
    size_t size = 0;

    while (number >= 0x80) {
        out[size++] = (uint8_t)(number | 0x80);
        number >>= 7;
    }
    out[size++] = (uint8_t)number;
    return size;
}

/* ---- writing ---- */

void tmk_done_map_clear(tmk_done_map *m) {
    tmk_ranges_clear(&m->ranges);
    m->base = -1;
    m->enqueued_ms = -1;
}

void tmk_done_map_begin(tmk_done_map_writer *w, int64_t base, int64_t enqueued_ms, uint8_t *out,
                        size_t room) {
    tmk_assert(room >= TMK_DONE_MAP_EMPTY && base >= -1 && enqueued_ms >= -1);
    *w = (tmk_done_map_writer){.out = out, .room = room - SUM_SIZE, .before = base};
    w->out[w->size++] = VERSION;
    w->size += put_number(w->out + w->size, (uint64_t)base + 1);
    w->size += put_number(w->out + w->size, (uint64_t)enqueued_ms + 1);
}

/* Writes the range in place of what stands at `at` and behind it. */
static bool put_range(tmk_done_map_writer *w, size_t at, int64_t from, int64_t to) {
    uint8_t bytes[2 * NUMBER_MAX];
    size_t size = put_number(bytes, (uint64_t)from - (uint64_t)w->before - 1);

    size += put_number(bytes + size, (uint64_t)to - (uint64_t)from);
    if (size > w->room - at) {
        w->full = true;
        return false;
    }
    memcpy(w->out + at, bytes, size);
    w->size = at + size;
    w->last_at = at;
    w->from = from;
    w->to = to;
    return true;
}

bool tmk_done_map_add(tmk_done_map_writer *w, int64_t from, int64_t to) {
    int64_t before = w->before;

    tmk_assert(from <= to && from > (w->last_at == 0 ? w->before : w->to));
    if (w->full) {
        return false;
    }
    if (w->last_at != 0 && from == w->to + 1) {
        return put_range(w, w->last_at, w->from, to);
    }
    if (w->last_at != 0) {
        w->before = w->to;
    }
    if (!put_range(w, w->size, from, to)) {
        w->before = before;
        return false;
    }
    return true;
}

tmk_slice tmk_done_map_end(tmk_done_map_writer *w) {
    uint32_t sum = checksum(w->out, w->size);

    for (int i = 0; i < SUM_SIZE; i++) {
        w->out[w->size++] = (uint8_t)(sum >> (8 * i));
    }
    return tmk_slice_of(w->out, w->size);
}

/* ---- reading ---- */

/* One number in its shortest form; false at anything else. */
static bool take_number(tmk_slice *rest, uint64_t *out) {
    uint64_t number = 0;

    for (unsigned i = 0; i < rest->size && i < NUMBER_MAX; i++) {
        uint8_t byte = rest->bytes[i];

        if ((i == NUMBER_MAX - 1 && byte > 1) || (i > 0 && byte == 0)) {
            return false;
        }
        number |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *rest = tmk_slice_from(*rest, i + 1);
            *out = number;
            return true;
        }
    }
    return false;
}

/* A sequence or a time, kept plus one. */
static bool take_plus_one(tmk_slice *rest, int64_t *out) {
    uint64_t number = 0;

    if (!take_number(rest, &number) || number > (uint64_t)INT64_MAX + 1) {
        return false;
    }
    *out = (int64_t)(number - 1);
    return true;
}

/* The next range, above `before`; only the first may touch what is below it. */
static bool take_range(tmk_slice *rest, int64_t before, bool first, tmk_range *out) {
    uint64_t gap = 0;
    uint64_t more = 0;

    if (!take_number(rest, &gap) || !take_number(rest, &more) || (gap == 0 && !first)) {
        return false;
    }
    if (before == INT64_MAX || gap > (uint64_t)INT64_MAX - (uint64_t)(before + 1)) {
        return false;
    }
    out->from = before + 1 + (int64_t)gap;
    if (more > (uint64_t)INT64_MAX - (uint64_t)out->from) {
        return false;
    }
    out->to = out->from + (int64_t)more;
    return true;
}

static tmk_status take_ranges(tmk_slice rest, tmk_done_map *m) {
    int64_t before = m->base;
    tmk_range next = {0};
    tmk_status st = TMK_OK;

    while (rest.size > 0 && st == TMK_OK) {
        if (!take_range(&rest, before, m->ranges.count == 0, &next)) {
            return TMK_EPROTO;
        }
        st = tmk_ranges_add(&m->ranges, next.from, next.to);
        before = next.to;
    }
    return st;
}

/* What is between version and checksum, once both are right. */
static bool unwrap(tmk_slice bytes, tmk_slice *inside) {
    uint32_t sum = 0;

    if (bytes.size < 1 + SUM_SIZE || bytes.size > TMK_DONE_MAP_ROOM || bytes.bytes[0] != VERSION) {
        return false;
    }
    *inside = tmk_slice_of(bytes.bytes + 1, bytes.size - 1 - SUM_SIZE);
    for (int i = 0; i < SUM_SIZE; i++) {
        sum |= (uint32_t)bytes.bytes[bytes.size - SUM_SIZE + (size_t)i] << (8 * i);
    }
    return sum == checksum(bytes.bytes, bytes.size - SUM_SIZE);
}

tmk_status tmk_done_map_read(tmk_slice bytes, tmk_done_map *out, tmk_error *err) {
    tmk_done_map m = {0};
    tmk_slice rest = {0};
    tmk_status st = TMK_EPROTO;

    if (unwrap(bytes, &rest) && take_plus_one(&rest, &m.base) &&
        take_plus_one(&rest, &m.enqueued_ms)) {
        st = take_ranges(rest, &m);
    }
    if (st < 0) {
        tmk_done_map_clear(&m);
        return tmk_fail(err, st, "done_map",
                        st == TMK_ENOMEM ? "no memory for a done-map of %zu bytes"
                                         : "%zu bytes that are no done-map of this version",
                        bytes.size);
    }
    *out = m;
    return TMK_OK;
}
