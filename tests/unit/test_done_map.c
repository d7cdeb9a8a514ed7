/* A done-map says the truth or less, and whatever is not a map is refused. */
#include "core/done_map.h"

#include "base/rng.h"
#include "support/check.h"
#include "support/failing_alloc.h"

static tmk_slice write_map(uint8_t *out, size_t room, int64_t base, int64_t enqueued_ms,
                           const tmk_range *ranges, size_t count, size_t *fitted) {
    tmk_done_map_writer w;
    size_t i = 0;

    tmk_done_map_begin(&w, base, enqueued_ms, out, room);
    while (i < count && tmk_done_map_add(&w, ranges[i].from, ranges[i].to)) {
        i++;
    }
    if (fitted != NULL) {
        *fitted = i;
    }
    return tmk_done_map_end(&w);
}

static void check_reads_as(tmk_slice bytes, int64_t base, int64_t enqueued_ms,
                           const tmk_range *ranges, size_t count) {
    tmk_done_map m = {0};

    CHECK_EQ(TMK_OK, tmk_done_map_read(bytes, &m, NULL));
    CHECK_EQ(base, m.base);
    CHECK_EQ(enqueued_ms, m.enqueued_ms);
    CHECK_EQ(count, m.ranges.count);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(ranges[i].from, m.ranges.items[i].from);
        CHECK_EQ(ranges[i].to, m.ranges.items[i].to);
    }
    tmk_done_map_clear(&m);
}

static void what_is_written_is_read_again(void) {
    const tmk_range ranges[] = {{12, 12}, {14, 20}, {1000, 1001}, {INT64_MAX - 1, INT64_MAX}};
    uint8_t bytes[TMK_DONE_MAP_ROOM];

    check_reads_as(write_map(bytes, sizeof bytes, 10, 1700000000000, ranges, 4, NULL), 10,
                   1700000000000, ranges, 4);
    check_reads_as(write_map(bytes, sizeof bytes, -1, -1, ranges, 0, NULL), -1, -1, ranges, 0);
    check_reads_as(write_map(bytes, TMK_DONE_MAP_EMPTY, INT64_MAX, INT64_MAX, ranges, 0, NULL),
                   INT64_MAX, INT64_MAX, ranges, 0);
}

static void ranges_that_touch_become_one(void) {
    const tmk_range pieces[] = {{5, 5}, {6, 9}, {10, 300}, {302, 302}};
    const tmk_range whole[] = {{5, 300}, {302, 302}};
    uint8_t bytes[TMK_DONE_MAP_ROOM];

    check_reads_as(write_map(bytes, sizeof bytes, 3, -1, pieces, 4, NULL), 3, -1, whole, 2);
}

/* When not all fits, those nearest to the base are kept, in every size of room. */
static void what_does_not_fit_is_left_out_at_the_far_end(void) {
    tmk_range ranges[100];
    uint8_t bytes[TMK_DONE_MAP_ROOM];

    for (int i = 0; i < 100; i++) {
        ranges[i] = (tmk_range){10 + 1000 * i, 10 + 1000 * i + 9 * i};
    }
    for (size_t room = TMK_DONE_MAP_EMPTY; room < 500; room++) {
        size_t fitted = 0;
        tmk_slice map = write_map(bytes, room, 0, 7, ranges, 100, &fitted);

        CHECK(map.size <= room);
        CHECK(fitted == 100 || map.size + 8 > room);
        check_reads_as(map, 0, 7, ranges, fitted);
    }
}

static void a_full_map_takes_nothing_more(void) {
    uint8_t bytes[TMK_DONE_MAP_EMPTY];
    tmk_done_map_writer w;
    int64_t at = 1;

    tmk_done_map_begin(&w, -1, -1, bytes, sizeof bytes);
    while (tmk_done_map_add(&w, at, at)) {
        at += 2;
    }
    CHECK(w.full);
    CHECK(!tmk_done_map_add(&w, at + 1, at + 1));
    CHECK(tmk_done_map_end(&w).size <= sizeof bytes);
}

static void any_changed_byte_and_any_cut_is_noticed(void) {
    const tmk_range ranges[] = {{12, 12}, {14, 20}, {1000, 100100}};
    uint8_t bytes[TMK_DONE_MAP_ROOM];
    tmk_slice map = write_map(bytes, sizeof bytes, 10, 99, ranges, 3, NULL);
    tmk_done_map m = {0};

    for (size_t i = 0; i < map.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1 << bit);
            CHECK_EQ(TMK_EPROTO, tmk_done_map_read(map, &m, NULL));
            bytes[i] ^= (uint8_t)(1 << bit);
        }
        CHECK_EQ(TMK_EPROTO, tmk_done_map_read(tmk_slice_of(bytes, i), &m, NULL));
    }
    CHECK_EQ(0, m.ranges.count);
}

/* A checksum proves no good will: these have a right one. */
static void hostile_numbers_are_refused(void) {
    static const struct {
        const char *what;
        uint8_t bytes[24];
        size_t size;
    } cases[] = {
        {"nothing inside", {1}, 1},
        {"base missing its end", {1, 0x80}, 2},
        {"base beyond all sequences",
         {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0},
         12},
        {"number longer than needed", {1, 0x81, 0x00, 0}, 4},
        {"number too long", {1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2, 0}, 12},
        {"range cut in two", {1, 1, 0, 5}, 4},
        {"second range touches the first", {1, 1, 0, 5, 0, 0, 0}, 7},
        {"range past the end",
         {1, 1, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
         13},
        {"gap past the end",
         {1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0},
         14},
        {"version of the future", {2, 1, 0}, 3},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[64];
        tmk_done_map m = {0};
        tmk_done_map_writer w = {.out = bytes, .room = sizeof bytes, .size = cases[i].size};
        tmk_slice map;

        memcpy(bytes, cases[i].bytes, cases[i].size);
        map = tmk_done_map_end(&w);
        if (tmk_done_map_read(map, &m, NULL) != TMK_EPROTO) {
            fail_msg("%s was taken", cases[i].what);
        }
    }
}

static void random_sets_come_back_whole(void) {
    uint8_t bytes[TMK_DONE_MAP_ROOM];
    tmk_rng rng;

    tmk_rng_seed(&rng, 7);
    for (int round = 0; round < 2000; round++) {
        tmk_range ranges[40];
        size_t count = (size_t)tmk_rng_below(&rng, 40);
        int64_t base = tmk_rng_between(&rng, -1, 1000000);
        int64_t at = base;

        for (size_t i = 0; i < count; i++) {
            ranges[i].from = at + tmk_rng_between(&rng, i == 0 ? 1 : 2, 200);
            ranges[i].to = ranges[i].from + tmk_rng_between(&rng, 0, 20000);
            at = ranges[i].to;
        }
        check_reads_as(write_map(bytes, sizeof bytes, base, round, ranges, count, NULL), base,
                       round, ranges, count);
    }
}

static void without_memory_nothing_is_read_and_nothing_leaks(void) {
    const tmk_range ranges[] = {{1, 1}, {3, 3}, {5, 5}};
    uint8_t bytes[TMK_DONE_MAP_ROOM];
    tmk_slice map = write_map(bytes, sizeof bytes, -1, -1, ranges, 3, NULL);

    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_done_map m = {0};
        tmk_status st = tmk_done_map_read(map, &m, NULL);

        CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
        tmk_done_map_clear(&m);
        CHECK_EQ(0, failing_live());
    }
}

int main(void) {
    return RUN(TEST(what_is_written_is_read_again), TEST(ranges_that_touch_become_one),
               TEST(what_does_not_fit_is_left_out_at_the_far_end),
               TEST(a_full_map_takes_nothing_more), TEST(any_changed_byte_and_any_cut_is_noticed),
               TEST(hostile_numbers_are_refused), TEST(random_sets_come_back_whole),
               TEST(without_memory_nothing_is_read_and_nothing_leaks));
}
