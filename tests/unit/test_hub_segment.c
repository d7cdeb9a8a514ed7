/* Log files as bytes: whatever is cut off or changed, what is read was written, from the beginning.
 */
#include "hub/segment.h"

#include "base/alloc.h"
#include "support/check.h"

static void the_checksum_is_castagnolis(void) {
    CHECK_EQ(0xE3069283u, tmk_hub_crc(0, TMK_LIT("123456789")));
    CHECK_EQ(0xE3069283u, tmk_hub_crc(tmk_hub_crc(0, TMK_LIT("1234")), TMK_LIT("56789")));
    CHECK_EQ(0, tmk_hub_crc(0, TMK_LIT("")));
}

enum { RECORDS = 5 };

/* A head and five records of different sizes. ends[i]: where the i-th record ends. */
static tmk_str make(size_t ends[RECORDS]) {
    tmk_str s = TMK_STR_INIT;
    const tmk_hub_segment head = {100, 4096, 4000, 1700000000000, 1600000000000};

    tmk_hub_segment_add(&s, &head);
    for (int i = 0; i < RECORDS; i++) {
        const tmk_hub_record r = {100 + i, 4096 + 200 * i, 1700000000001 + i, (uint32_t)i,
                                  tmk_slice_of("events of different sizes", (size_t)(10 + 3 * i))};
        tmk_hub_record_add(&s, &r);
        ends[i] = s.size;
    }
    CHECK(tmk_str_ok(&s));
    return s;
}

/* How many records there are; each must be one that make() wrote, in order. -1: no head. */
static int read_all(tmk_slice bytes) {
    tmk_hub_segment head;
    tmk_hub_record r;
    int count = 0;

    if (!tmk_hub_segment_take(&bytes, &head)) {
        return -1;
    }
    CHECK_EQ(100, head.sequence);
    CHECK_EQ(4096, head.offset);
    CHECK_EQ(4000, head.last_offset);
    CHECK_EQ(1700000000000, head.last_ms);
    CHECK_EQ(1600000000000, head.created_ms);
    while (tmk_hub_record_take(&bytes, &r)) {
        CHECK_EQ(100 + count, r.sequence);
        CHECK_EQ(4096 + 200 * count, r.offset);
        CHECK_EQ(1700000000001 + count, r.enqueued_ms);
        CHECK_EQ(count, r.header_size);
        CHECK_EQ(10 + 3 * count, r.event.size);
        CHECK_EQ(0, memcmp(r.event.bytes, "events of different sizes", r.event.size));
        count++;
    }
    return count;
}

static void a_file_cut_anywhere_gives_the_records_before_the_cut(void) {
    size_t ends[RECORDS];
    tmk_str s = make(ends);

    for (size_t size = 0; size <= s.size; size++) {
        uint8_t *exact = tmk_copy(s.text, size);
        int expected = size < TMK_HUB_SEGMENT_HEAD ? -1 : 0;
        for (int i = 0; i < RECORDS; i++) {
            expected += size >= ends[i];
        }
        CHECK_EQ(expected, read_all(tmk_slice_of(exact, size)));
        tmk_free(exact);
    }
    tmk_str_clear(&s);
}

static void a_changed_byte_ends_the_file_there(void) {
    size_t ends[RECORDS];
    tmk_str s = make(ends);

    for (size_t at = 0; at < s.size; at++) {
        int expected = at < TMK_HUB_SEGMENT_HEAD ? -1 : 0;
        for (int i = 0; i < RECORDS; i++) {
            expected += at >= ends[i];
        }
        for (int bit = 0; bit < 8; bit++) {
            s.text[at] = (char)(s.text[at] ^ (1 << bit));
            CHECK_EQ(expected, read_all(tmk_str_slice(&s)));
            s.text[at] = (char)(s.text[at] ^ (1 << bit));
        }
    }
    tmk_str_clear(&s);
}

/* What a file system may leave behind a crash. */
static void zeros_are_no_records(void) {
    size_t ends[RECORDS];
    tmk_str s = make(ends);

    for (int i = 0; i < 4096; i++) {
        tmk_str_add_char(&s, '\0');
    }
    CHECK_EQ(RECORDS, read_all(tmk_str_slice(&s)));
    tmk_str_clear(&s);
}

int main(void) {
    return RUN(TEST(the_checksum_is_castagnolis),
               TEST(a_file_cut_anywhere_gives_the_records_before_the_cut),
               TEST(a_changed_byte_ends_the_file_there), TEST(zeros_are_no_records));
}
