/*
 * Done-maps: the first byte chooses. Odd: the rest are the bytes of a map, as
 * they are and with a right checksum; what is read must be written again byte
 * for byte. Even: the rest are lengths, from which ranges are made, written into
 * a room of hostile size and read; the map must be a prefix of them.
 */
#include "core/done_map.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

static void check_same_again(tmk_slice bytes) {
    tmk_done_map m = {0};
    tmk_done_map_writer w;
    uint8_t out[TMK_DONE_MAP_ROOM];
    tmk_slice again;

    if (tmk_done_map_read(bytes, &m, NULL) != TMK_OK) {
        return;
    }
    tmk_assert(m.ranges.room * sizeof(tmk_range) <= 16 * bytes.size);
    tmk_done_map_begin(&w, m.base, m.enqueued_ms, out, sizeof out);
    for (size_t i = 0; i < m.ranges.count; i++) {
        tmk_assert(tmk_done_map_add(&w, m.ranges.items[i].from, m.ranges.items[i].to));
    }
    again = tmk_done_map_end(&w);
    tmk_assert(tmk_slice_eq(bytes, again));
    tmk_done_map_clear(&m);
}

static void read_bytes(const uint8_t *data, size_t size) {
    uint8_t bytes[TMK_DONE_MAP_ROOM + 8];
    tmk_done_map_writer w = {.out = bytes, .room = sizeof bytes};

    check_same_again(tmk_slice_of(data, size));
    w.size = size < TMK_DONE_MAP_ROOM ? size : TMK_DONE_MAP_ROOM;
    memcpy(bytes, data, w.size);
    check_same_again(tmk_done_map_end(&w));
}

static void write_ranges(const uint8_t *data, size_t size) {
    tmk_range ranges[512];
    uint8_t out[TMK_DONE_MAP_ROOM];
    size_t room = TMK_DONE_MAP_EMPTY + (size > 0 ? data[0] : 0U) * 4U;
    int64_t base = size > 1 ? (int64_t)data[1] - 1 : -1;
    int64_t at = base;
    size_t count = 0, fitted = 0;
    tmk_done_map_writer w;
    tmk_done_map m = {0};

    for (size_t i = 2; i + 1 < size && count < 512; i += 2, count++) {
        ranges[count].from = at + 2 + data[i];
        ranges[count].to = ranges[count].from + (INT64_C(1) << (data[i + 1] % 40)) - 1;
        at = ranges[count].to;
    }
    tmk_done_map_begin(&w, base, -1, out, room);
    while (fitted < count && tmk_done_map_add(&w, ranges[fitted].from, ranges[fitted].to)) {
        fitted++;
    }
    if (tmk_done_map_read(tmk_done_map_end(&w), &m, NULL) == TMK_ENOMEM) {
        return;
    }
    tmk_assert(w.size <= room && m.base == base && m.ranges.count == fitted);
    tmk_assert(fitted == 0 || memcmp(m.ranges.items, ranges, fitted * sizeof *ranges) == 0);
    tmk_done_map_clear(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 != 0) {
        read_bytes(data + 1, size - 1);
    } else {
        write_ranges(data + 1, size - 1);
    }
    return 0;
}
