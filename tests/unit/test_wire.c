/* AMQP values: what is written can be read, and no bytes at all can do harm. */
#include "amqp/wire.h"

#include "base/status.h"
#include "support/check.h"

static tmk_slice whole(const tmk_str *s) {
    CHECK(tmk_str_ok(s));
    return tmk_str_slice(s);
}

/* Reads the one value in s, which must be all there is. */
static tmk_value take_all(const tmk_str *s) {
    tmk_slice in = whole(s);
    tmk_value v;

    CHECK(tmk_wire_take(&in, &v));
    CHECK_EQ(0, in.size);
    return v;
}

/* What was read is written back byte for byte (s holds what our own writers made). */
static void check_rewrite(const tmk_str *s) {
    tmk_value v = take_all(s);
    tmk_str again = TMK_STR_INIT;

    tmk_wire_put_value(&again, &v);
    CHECK_EQ(s->size, again.size);
    CHECK(memcmp(s->text, again.text, s->size) == 0);
    tmk_str_clear(&again);
}

static void check_int(tmk_str *s, int64_t expected, unsigned width, size_t size) {
    tmk_value v = take_all(s);

    CHECK_EQ(TMK_VALUE_INT, v.kind);
    CHECK_EQ(expected, v.i64);
    CHECK_EQ(width, v.width);
    CHECK_EQ(size, s->size);
    check_rewrite(s);
    tmk_str_clear(s);
}

static void check_uint(tmk_str *s, uint64_t expected, unsigned width, size_t size) {
    tmk_value v = take_all(s);

    CHECK_EQ(TMK_VALUE_UINT, v.kind);
    CHECK(v.u64 == expected);
    CHECK_EQ(width, v.width);
    CHECK_EQ(size, s->size);
    check_rewrite(s);
    tmk_str_clear(s);
}

static void signed_numbers_keep_their_width(void) {
    tmk_str s = TMK_STR_INIT;

    tmk_wire_put_byte(&s, -128);
    check_int(&s, -128, 1, 2);
    tmk_wire_put_short(&s, -32768);
    check_int(&s, -32768, 2, 3);
    tmk_wire_put_int(&s, -128);
    check_int(&s, -128, 4, 2);
    tmk_wire_put_int(&s, -129);
    check_int(&s, -129, 4, 5);
    tmk_wire_put_int(&s, INT32_MIN);
    check_int(&s, INT32_MIN, 4, 5);
    tmk_wire_put_long(&s, 127);
    check_int(&s, 127, 8, 2);
    tmk_wire_put_long(&s, 128);
    check_int(&s, 128, 8, 9);
    tmk_wire_put_long(&s, INT64_MIN);
    check_int(&s, INT64_MIN, 8, 9);
}

static void unsigned_numbers_keep_their_width(void) {
    tmk_str s = TMK_STR_INIT;

    tmk_wire_put_ubyte(&s, 255);
    check_uint(&s, 255, 1, 2);
    tmk_wire_put_ushort(&s, 65535);
    check_uint(&s, 65535, 2, 3);
    tmk_wire_put_uint(&s, 0);
    check_uint(&s, 0, 4, 1);
    tmk_wire_put_uint(&s, 255);
    check_uint(&s, 255, 4, 2);
    tmk_wire_put_uint(&s, UINT32_MAX);
    check_uint(&s, UINT32_MAX, 4, 5);
    tmk_wire_put_ulong(&s, 0);
    check_uint(&s, 0, 8, 1);
    tmk_wire_put_ulong(&s, 255);
    check_uint(&s, 255, 8, 2);
    tmk_wire_put_ulong(&s, UINT64_MAX);
    check_uint(&s, UINT64_MAX, 8, 9);
}

static void floats_chars_times_and_truth_come_back(void) {
    static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    tmk_str s = TMK_STR_INIT;
    tmk_slice in;
    tmk_value v;

    tmk_wire_null(&s);
    tmk_wire_put_bool(&s, true);
    tmk_wire_put_bool(&s, false);
    tmk_wire_put_float(&s, 1.5f);
    tmk_wire_put_double(&s, -0.1);
    tmk_wire_put_char(&s, 0x1F680);
    tmk_wire_put_time(&s, -1);
    tmk_wire_put_uuid(&s, uuid);
    in = whole(&s);
    CHECK(tmk_wire_take(&in, &v) && v.kind == TMK_VALUE_NONE);
    CHECK(tmk_wire_take(&in, &v) && v.kind == TMK_VALUE_BOOL && v.b);
    CHECK(tmk_wire_take(&in, &v) && v.kind == TMK_VALUE_BOOL && !v.b);
    CHECK(tmk_wire_take(&in, &v) && v.kind == TMK_VALUE_FLOAT && v.width == 4 && v.f64 == 1.5);
    CHECK(tmk_wire_take(&in, &v) && v.kind == TMK_VALUE_FLOAT && v.width == 8 && v.f64 == -0.1);
    CHECK(tmk_wire_take(&in, &v) && v.kind == TMK_VALUE_CHAR && v.u64 == 0x1F680);
    CHECK(tmk_wire_take(&in, &v) && v.kind == TMK_VALUE_TIME && v.i64 == -1);
    CHECK(tmk_wire_take(&in, &v) && v.kind == TMK_VALUE_UUID && v.bytes.size == 16);
    CHECK(memcmp(uuid, v.bytes.bytes, 16) == 0);
    CHECK_EQ(0, in.size);
    tmk_str_clear(&s);
}

static void every_scalar_is_written_back_as_it_was_read(void) {
    /* One of each kind that has no shorter form than this. */
    static const char *const values[] = {
        "\x40",
        "\x41",
        "\x42",
        "\x50\x07",
        "\x60\x01\x02",
        "\x70\x01\x02\x03\x04",
        "\x80\x01\x02\x03\x04\x05\x06\x07\x08",
        "\x51\xff",
        "\x61\x80\x01",
        "\x71\x80\x02\x03\x04",
        "\x81\x80\x02\x03\x04\x05\x06\x07\x08",
        "\x72\x3f\xc0\x01\x02",
        "\x82\x3f\xc0\x01\x02\x03\x04\x05\x06",
        "\x73\x01\x01\xf6\x80",
        "\x74\x01\x02\x03\x04",
        "\x83\x01\x02\x03\x04\x05\x06\x07\x08",
        "\x84\x01\x02\x03\x04\x05\x06\x07\x08",
        "\x94\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08",
        "\x98\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08",
        "\xa0\x03xyz",
        "\xa1\x03xyz",
        "\xa3\x03xyz"};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        tmk_str s = TMK_STR_INIT;

        tmk_str_add(&s, values[i]);
        check_rewrite(&s);
        tmk_str_clear(&s);
    }
}

static void texts_take_the_long_form_only_when_they_must(void) {
    char text[256];
    tmk_str s = TMK_STR_INIT;

    memset(text, 'x', sizeof text);
    for (size_t size = 255; size <= 256; size++) {
        tmk_value v;

        tmk_wire_put_binary(&s, tmk_slice_of(text, size));
        v = take_all(&s);
        CHECK_EQ(TMK_VALUE_BINARY, v.kind);
        CHECK_EQ(size, v.bytes.size);
        CHECK_EQ(size + (size == 255 ? 2 : 5), s.size);
        check_rewrite(&s);
        tmk_str_clear(&s);
        tmk_wire_put_string(&s, tmk_slice_of(text, size));
        CHECK_EQ(TMK_VALUE_STRING, take_all(&s).kind);
        check_rewrite(&s);
        tmk_str_clear(&s);
        tmk_wire_put_symbol(&s, tmk_slice_of(text, size));
        CHECK_EQ(TMK_VALUE_SYMBOL, take_all(&s).kind);
        check_rewrite(&s);
        tmk_str_clear(&s);
    }
}

static void containers_nest_and_walk(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_wire_mark list = tmk_wire_begin_list(&s), map, empty;
    tmk_value v, item;

    tmk_wire_put_uint(&s, 7);
    map = tmk_wire_begin_map(&s);
    tmk_wire_put_symbol(&s, TMK_LIT("a"));
    tmk_wire_put_long(&s, 1000);
    tmk_wire_put_string(&s, TMK_LIT("b"));
    tmk_wire_put_bool(&s, true);
    tmk_wire_end_map(&s, map, 4);
    empty = tmk_wire_begin_list(&s);
    tmk_wire_end_list(&s, empty, 0);
    tmk_wire_end_list(&s, list, 3);
    check_rewrite(&s);

    v = take_all(&s);
    CHECK_EQ(TMK_VALUE_LIST, v.kind);
    CHECK_EQ(3, v.count);
    CHECK(tmk_value_next(&v, &item));
    CHECK(item.u64 == 7);
    CHECK(tmk_value_next(&v, &item));
    CHECK_EQ(TMK_VALUE_MAP, item.kind);
    CHECK_EQ(4, item.count);
    CHECK_EQ(1000, tmk_wire_map_get(&item, "a").i64);
    CHECK_EQ(TMK_VALUE_BOOL, tmk_wire_map_get(&item, "b").kind);
    CHECK_EQ(TMK_VALUE_NONE, tmk_wire_map_get(&item, "c").kind);
    CHECK_EQ(TMK_VALUE_NONE, tmk_wire_map_get(&v, "a").kind);
    CHECK(tmk_value_next(&v, &item));
    CHECK_EQ(TMK_VALUE_LIST, item.kind);
    CHECK_EQ(0, item.count);
    CHECK(!tmk_value_next(&item, &item));
    CHECK(!tmk_value_next(&v, &item));
    tmk_str_clear(&s);
}

static void arrays_of_texts_come_back(void) {
    char text[300];
    tmk_slice items[] = {TMK_LIT("com.microsoft:georeplication"), TMK_LIT(""), {0}};
    tmk_str s = TMK_STR_INIT;
    tmk_value v, item;

    memset(text, 'x', sizeof text);
    for (size_t size = 255; size <= 300; size += 45) {
        items[2] = tmk_slice_of(text, size);
        tmk_wire_put_symbols(&s, items, 3);
        check_rewrite(&s);
        v = take_all(&s);
        CHECK_EQ(TMK_VALUE_ARRAY, v.kind);
        CHECK_EQ(3, v.count);
        for (size_t i = 0; i < 3; i++) {
            CHECK(tmk_value_next(&v, &item));
            CHECK_EQ(TMK_VALUE_SYMBOL, item.kind);
            CHECK(tmk_slice_eq(items[i], item.bytes));
        }
        CHECK(!tmk_value_next(&v, &item));
        tmk_str_reset(&s);
    }
    tmk_wire_put_strings(&s, items, 1);
    v = take_all(&s);
    CHECK(tmk_value_next(&v, &item));
    CHECK_EQ(TMK_VALUE_STRING, item.kind);
    tmk_str_reset(&s);
    tmk_wire_put_strings(&s, NULL, 0);
    v = take_all(&s);
    CHECK_EQ(0, v.count);
    CHECK(!tmk_value_next(&v, &item));
    tmk_str_clear(&s);
}

static tmk_value take_lit(const char *bytes, size_t size) {
    tmk_slice in = tmk_slice_of(bytes, size);
    tmk_value v;

    CHECK(tmk_wire_take(&in, &v));
    CHECK_EQ(0, in.size);
    return v;
}

static bool takes(const char *bytes, size_t size) {
    tmk_slice in = tmk_slice_of(bytes, size);
    tmk_value v;
    bool ok = tmk_wire_take(&in, &v);

    CHECK(ok || (in.bytes == (const uint8_t *)bytes && in.size == size));
    return ok;
}
#define TAKE(literal) take_lit("" literal, sizeof(literal) - 1)
#define TAKES(literal) takes("" literal, sizeof(literal) - 1)

static void short_container_forms_are_read(void) {
    tmk_value v = TAKE("\xc0\x03\x01\x52\x09"), item;

    CHECK(v.kind == TMK_VALUE_LIST && v.count == 1);
    CHECK(tmk_value_next(&v, &item) && item.u64 == 9);
    v = TAKE("\xc1\x05\x02\xa1\x01k\x41");
    CHECK(tmk_wire_map_get(&v, "k").b);
    v = TAKE("\xe0\x04\x02\x50\x08\x09");
    CHECK(tmk_value_next(&v, &item) && item.u64 == 8);
    CHECK(tmk_value_next(&v, &item) && item.u64 == 9);
    CHECK(!tmk_value_next(&v, &item));
    CHECK_EQ(0, TAKE("\xc0\x01\x00").count);
    CHECK(TAKE("\x56\x01").b);
}

static void arrays_of_described_items_carry_the_descriptor_to_each(void) {
    tmk_value v = TAKE("\xe0\x07\x02\x00\x53\x24\xc0\x01\x00"), item;

    CHECK_EQ(2, v.count);
    CHECK(tmk_value_next(&v, &item));
    CHECK_EQ(TMK_VALUE_LIST, item.kind);
    CHECK_EQ(0x24, tmk_wire_descriptor(&item));
    /* The second item is missing: the walk ends there. */
    CHECK(!tmk_value_next(&v, &item));
}

static void arrays_of_items_without_bytes_are_limited(void) {
    tmk_value v = TAKE("\xf0\x00\x00\x00\x05\x00\x00\x01\x00\x41"), item;
    size_t seen = 0;

    while (tmk_value_next(&v, &item)) {
        CHECK(item.b);
        seen++;
    }
    CHECK_EQ(256, seen);
    CHECK(!TAKES("\xf0\x00\x00\x00\x05\x00\x00\x01\x01\x41"));
    CHECK(!TAKES("\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40"));
}

static void a_count_larger_than_the_bytes_is_refused(void) {
    CHECK(!TAKES("\xc0\x02\x02\x40"));
    CHECK(!TAKES("\xd0\x00\x00\x00\x05\xff\xff\xff\xff\x40"));
    CHECK(!TAKES("\xc1\x03\x04\x40\x40"));
    CHECK(!TAKES("\xc1\x02\x01\x40")); /* a key without a value */
    CHECK(!TAKES("\xe0\x04\x03\x50\x01\x02"));
    CHECK(!TAKES("\xe0\x01\x00"));         /* no constructor */
    CHECK(!TAKES("\xe0\x03\x01\x00\x53")); /* half a constructor */
    CHECK(!TAKES("\xe0\x03\x01\x10\x53")); /* no constructor at all */
}

static void a_size_larger_than_the_bytes_is_refused(void) {
    CHECK(!TAKES("\xa1\x04xyz"));
    CHECK(!TAKES("\xb0\xff\xff\xff\xff"
                 "x"));
    CHECK(!TAKES("\xc0\x00")); /* no place for the count */
    CHECK(!TAKES("\xd0\x00\x00\x00\x03\x00\x00\x00"));
    CHECK(!TAKES("\x56\x02")); /* neither true nor false */
    CHECK(!TAKES(""));
}

static void unknown_codes_are_skipped_by_their_size_but_not_taken(void) {
    static const uint8_t sizes[][2] = {{0x4f, 0}, {0x5f, 1}, {0x6f, 2},
                                       {0x7f, 4}, {0x8f, 8}, {0x9f, 16}};
    uint8_t bytes[32] = {0};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        tmk_slice in = tmk_slice_of(bytes, sizeof bytes);

        bytes[0] = sizes[i][0];
        CHECK(tmk_wire_skip(&in));
        CHECK_EQ(sizeof bytes - 1 - sizes[i][1], in.size);
        CHECK(!takes((const char *)bytes, sizeof bytes));
    }
    for (unsigned code = 1; code < 0x40; code++) {
        tmk_slice in = tmk_slice_of(bytes, sizeof bytes);

        bytes[0] = (uint8_t)code;
        CHECK(!tmk_wire_skip(&in));
        CHECK_EQ(sizeof bytes, in.size);
    }
}

/* A value that holds some of everything. */
static void put_all_sorts(tmk_str *s) {
    tmk_slice texts[] = {TMK_LIT("one"), TMK_LIT("two")};
    tmk_wire_mark list, map;

    tmk_wire_put_descriptor(s, UINT64_C(0x0000468C00000004));
    list = tmk_wire_begin_list(s);
    tmk_wire_put_string(s, TMK_LIT("some text"));
    tmk_wire_put_long(s, INT64_MAX);
    map = tmk_wire_begin_map(s);
    tmk_wire_put_symbol(s, TMK_LIT("key"));
    tmk_wire_put_symbols(s, texts, 2);
    tmk_wire_end_map(s, map, 2);
    tmk_wire_put_descriptor(s, 5);
    tmk_wire_put_double(s, 0.25);
    tmk_wire_end_list(s, list, 4);
}

static void what_is_cut_at_any_byte_is_refused(void) {
    tmk_str s = TMK_STR_INIT;

    put_all_sorts(&s);
    for (size_t size = 0; size < s.size; size++) {
        char *cut = malloc(size + 1); /* so that the sanitizer sees a read past the end */
        tmk_slice in;
        tmk_value v;

        CHECK(cut != NULL);
        memcpy(cut, s.text, size);
        cut = realloc(cut, size == 0 ? 1 : size);
        in = tmk_slice_of(cut, size);
        CHECK(!tmk_wire_take(&in, &v));
        CHECK(!tmk_wire_skip(&in));
        CHECK_EQ(size, in.size);
        free(cut);
    }
    check_rewrite(&s);
    tmk_str_clear(&s);
}

/* Recursion would overflow the stack here. */
static void two_megabytes_of_nesting_are_skipped_in_one_loop(void) {
    enum { SIZE = 2 * 1024 * 1024 };
    uint8_t *bytes = calloc(1, SIZE);
    tmk_slice in;
    tmk_value v;

    CHECK(bytes != NULL);
    in = tmk_slice_of(bytes, SIZE);
    CHECK(!tmk_wire_skip(&in)); /* descriptors of descriptors, and no end */
    CHECK(!tmk_wire_take(&in, &v));
    memset(bytes + SIZE / 2, 0x40, SIZE / 2);
    CHECK(!tmk_wire_skip(&in)); /* one null too few */
    in = tmk_slice_of(bytes + 2, SIZE - 2);
    CHECK(tmk_wire_skip(&in));
    CHECK_EQ(1, in.size);
    for (size_t i = 0; i + 2 < SIZE; i += 3) { /* a value described a million times */
        memcpy(bytes + i, "\x00\x53\x01", 3);
    }
    bytes[SIZE - 2] = 0x40;
    in = tmk_slice_of(bytes, SIZE - 1);
    CHECK(tmk_wire_skip(&in));
    CHECK_EQ(0, in.size);
    CHECK(!takes((const char *)bytes, SIZE - 1));
    free(bytes);
}

static void described_values_tell_their_descriptor(void) {
    tmk_value v = TAKE("\x00\x53\x75\xa0\x02hi");
    tmk_str s = TMK_STR_INIT;

    CHECK_EQ(0x75, tmk_wire_descriptor(&v));
    CHECK_SLICE("hi", v.bytes);
    CHECK_EQ(0x75,
             tmk_wire_descriptor(&(tmk_value){.descriptor = TMK_LIT("\x80\0\0\0\0\0\0\0\x75")}));
    tmk_str_add_slice(&s, TMK_LIT("\x00\x53\x75\xa0\x02hi"));
    check_rewrite(&s);
    tmk_str_clear(&s);

    v = TAKE("\x00\xa3\x0e"
             "amqp:open:list\x45");
    CHECK_EQ(TMK_AMQP_OPEN, tmk_wire_descriptor(&v));
    v = TAKE("\x00\xa3\x0c"
             "amqp:open:xx\x45");
    CHECK_EQ(0, tmk_wire_descriptor(&v));
    v = TAKE("\x00\xa1\x0e"
             "amqp:open:list\x45"); /* a string is no symbol */
    CHECK_EQ(0, tmk_wire_descriptor(&v));
    v = TAKE("\x00\x52\x10\x45"); /* an uint is no ulong */
    CHECK_EQ(0, tmk_wire_descriptor(&v));
    v = TAKE("\x45");
    CHECK_EQ(0, tmk_wire_descriptor(&v));
}

static void a_value_described_twice_is_none_of_the_known_types(void) {
    tmk_value v = TAKE("\x00\x53\x75\x00\x53\x10\xa0\x02hi");
    tmk_str s = TMK_STR_INIT;

    CHECK_EQ(0, tmk_wire_descriptor(&v));
    CHECK_SLICE("hi", v.bytes);
    tmk_str_add_slice(&s, TMK_LIT("\x00\x53\x75\x00\x53\x10\xa0\x02hi"));
    check_rewrite(&s);
    tmk_str_clear(&s);
    v = TAKE("\x00\x00\x53\x10\x53\x75\x41"); /* a descriptor that is itself described */
    CHECK_EQ(0, tmk_wire_descriptor(&v));
    CHECK(TAKES("\x00\x40\x00\x40\x00\x40\x00\x40\x41"));
    CHECK(!TAKES("\x00\x40\x00\x40\x00\x40\x00\x40\x00\x40\x41"));
}

static void fields_past_the_end_are_absent(void) {
    tmk_value v = TAKE("\xc0\x05\x03\x40\x43\x52\x05"), f;
    tmk_wire_list l;

    CHECK(tmk_wire_list_open(&v, &l));
    CHECK(tmk_wire_list_field(&l, 0, &f) && f.kind == TMK_VALUE_NONE);
    CHECK(tmk_wire_list_field(&l, 2, &f) && f.u64 == 5);
    CHECK(tmk_wire_list_field(&l, 9, &f) && f.kind == TMK_VALUE_NONE);
    v = TAKE("\xc0\x03\x02\x40\xa1"); /* the second field is cut */
    CHECK(tmk_wire_list_open(&v, &l));
    CHECK(tmk_wire_list_field(&l, 0, &f));
    CHECK(!tmk_wire_list_field(&l, 1, &f));
    v = TAKE("\xc1\x01\x00");
    CHECK(!tmk_wire_list_open(&v, &l));
}

static void a_broken_map_holds_nothing(void) {
    tmk_value v = TAKE("\xc1\x07\x02\xa1\x01k\xa1\x09x");

    CHECK_EQ(TMK_VALUE_NONE, tmk_wire_map_get(&v, "k").kind);
    CHECK_EQ(TMK_VALUE_NONE, tmk_wire_map_get(&v, "x").kind);
}

static void numbers_of_any_kind_are_read_when_they_fit(void) {
    tmk_value big = TAKE("\x80\xff\xff\xff\xff\xff\xff\xff\xff"), minus = TAKE("\x54\xff");
    tmk_value text = TAKE("\xa1\x01"
                          "5");

    CHECK_EQ(-7, tmk_wire_int(&big, -7));
    CHECK(tmk_wire_uint(&big, 0) == UINT64_MAX);
    CHECK_EQ(-1, tmk_wire_int(&minus, 7));
    CHECK(tmk_wire_uint(&minus, 7) == 7);
    CHECK_EQ(7, tmk_wire_int(&text, 7));
    CHECK(tmk_wire_bool(&text, true));
    CHECK_SLICE("5", tmk_wire_text(&text));
    CHECK_SLICE("", tmk_wire_text(&big));
}

static void a_negative_number_is_no_unsigned_one(void) {
    const tmk_value v = {.kind = TMK_VALUE_INT, .i64 = -1};
    const tmk_value large = {.kind = TMK_VALUE_UINT, .u64 = UINT64_MAX};

    CHECK_EQ(7, tmk_wire_uint(&v, 7));
    CHECK_EQ(7, tmk_wire_int(&large, 7));
}

static void what_is_no_container_holds_nothing(void) {
    tmk_value v = {.kind = TMK_VALUE_UINT, .count = 3}, item;

    CHECK(!tmk_value_next(&v, &item));
    v = (tmk_value){.kind = TMK_VALUE_ARRAY, .count = 1};
    CHECK(!tmk_value_next(&v, &item)); /* an array without its constructor */
}

/* The bytes of such a value are never looked at. */
static void what_is_beyond_32_bits_is_not_written(void) {
    const tmk_slice large = tmk_slice_of("", (size_t)UINT32_MAX + 1);
    const tmk_slice items[] = {tmk_slice_of("a", 1), large};
    tmk_str s[5] = {TMK_STR_INIT, TMK_STR_INIT, TMK_STR_INIT, TMK_STR_INIT, TMK_STR_INIT};

    tmk_wire_put_binary(&s[0], large);
    tmk_wire_put_string(&s[1], large);
    tmk_wire_put_symbol(&s[2], large);
    tmk_wire_put_symbols(&s[3], items, 2);
    tmk_wire_put_strings(&s[4], items, 2);
    for (size_t i = 0; i < 5; i++) {
        CHECK(!tmk_str_ok(&s[i]));
        tmk_str_clear(&s[i]);
    }
}

static void a_frame_comes_back(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_frame_mark m = tmk_frame_begin(&s, 0, 258, TMK_AMQP_TRANSFER);
    tmk_frame f;
    tmk_wire_list l;
    tmk_value v;
    size_t size = 0;

    tmk_wire_put_uint(&s, 3);
    tmk_frame_end_fields(&s, m, 1);
    tmk_str_add(&s, "payload");
    tmk_frame_end(&s, m);
    m = tmk_frame_begin(&s, 0, 0, TMK_AMQP_CLOSE);
    tmk_frame_end_fields(&s, m, 0);
    tmk_frame_end(&s, m);
    tmk_frame_put_empty(&s);

    CHECK_EQ(TMK_OK, tmk_frame_take(whole(&s), 65536, &size, &f, NULL));
    CHECK_EQ(0, f.type);
    CHECK_EQ(258, f.channel);
    CHECK_EQ(TMK_AMQP_TRANSFER, f.code);
    CHECK_SLICE("payload", f.payload);
    CHECK(tmk_wire_list_open(&f.performative, &l));
    CHECK(tmk_wire_list_field(&l, 0, &v) && v.u64 == 3);

    CHECK_EQ(TMK_OK, tmk_frame_take(tmk_slice_from(whole(&s), size), 65536, &size, &f, NULL));
    CHECK_EQ(TMK_AMQP_CLOSE, f.code);
    CHECK_EQ(0, f.performative.count);
    CHECK_EQ(8 + 4, size);

    CHECK_EQ(TMK_OK, tmk_frame_take(tmk_slice_from(whole(&s), s.size - 8), 65536, &size, &f, NULL));
    CHECK_EQ(0, f.code);
    CHECK_EQ(8, size);
    tmk_str_clear(&s);
}

static void a_frame_waits_for_its_last_byte(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_frame_mark m = tmk_frame_begin(&s, 1, 0, TMK_SASL_OUTCOME);
    tmk_frame f;
    size_t size = 99;

    tmk_wire_put_ubyte(&s, 0);
    tmk_frame_end_fields(&s, m, 1);
    tmk_frame_end(&s, m);
    for (size_t i = 0; i < s.size; i++) {
        CHECK_EQ(TMK_AGAIN, tmk_frame_take(tmk_slice_of(s.text, i), 512, &size, &f, NULL));
        CHECK_EQ(i < 4 ? 0 : s.size, size);
    }
    CHECK_EQ(TMK_OK, tmk_frame_take(whole(&s), 512, &size, &f, NULL));
    CHECK_EQ(TMK_SASL_OUTCOME, f.code);
    tmk_str_clear(&s);
}

static void check_no_frame(const char *bytes, size_t size) {
    tmk_error err;
    tmk_frame f;
    size_t whole_size = 0;

    tmk_error_clear(&err);
    CHECK_EQ(TMK_EPROTO, tmk_frame_take(tmk_slice_of(bytes, size), 512, &whole_size, &f, &err));
    CHECK(strlen(err.text) > 0);
}
#define NO_FRAME(literal) check_no_frame("" literal, sizeof(literal) - 1)

static void what_is_no_frame_is_refused(void) {
    NO_FRAME("\x00\x00\x00\x07"); /* shorter than a header */
    NO_FRAME("\x00\x00\x02\x01"); /* longer than allowed: said at once */
    NO_FRAME("HTTP/1.1 400");
    NO_FRAME("\x00\x00\x00\x08\x01\x00\x00\x00");                 /* begins inside the header */
    NO_FRAME("\x00\x00\x00\x08\x03\x00\x00\x00");                 /* begins behind its end */
    NO_FRAME("\x00\x00\x00\x08\x02\x02\x00\x00");                 /* type 2 */
    NO_FRAME("\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x19\x45"); /* unknown performative */
    NO_FRAME("\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x40\x45"); /* SASL in an AMQP frame */
    NO_FRAME("\x00\x00\x00\x0c\x02\x01\x00\x00\x00\x53\x10\x45"); /* and the reverse */
    NO_FRAME("\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x10\x40"); /* no list */
    NO_FRAME("\x00\x00\x00\x09\x02\x00\x00\x00\x45");             /* no descriptor */
    NO_FRAME("\x00\x00\x00\x0b\x02\x00\x00\x00\x00\x53\x10");     /* no value */
}

static void an_extended_header_is_passed_over(void) {
    tmk_frame f;
    size_t size = 0;

    CHECK_EQ(TMK_OK, tmk_frame_take(TMK_LIT("\x00\x00\x00\x10\x03\x00\x00\x01zzzz\x00\x53\x18\x45"),
                                    512, &size, &f, NULL));
    CHECK_EQ(TMK_AMQP_CLOSE, f.code);
    CHECK_EQ(1, f.channel);
}

static void writing_without_memory_is_told_at_the_end(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_frame_mark m;

    s.failed = true; /* as after an append that found no memory */
    m = tmk_frame_begin(&s, 0, 0, TMK_AMQP_OPEN);
    put_all_sorts(&s);
    tmk_frame_end_fields(&s, m, 1);
    tmk_frame_end(&s, m);
    CHECK(!tmk_str_ok(&s));
    CHECK_EQ(0, s.size);
    tmk_str_clear(&s);
}

int main(void) {
    return RUN(TEST(signed_numbers_keep_their_width), TEST(unsigned_numbers_keep_their_width),
               TEST(floats_chars_times_and_truth_come_back),
               TEST(every_scalar_is_written_back_as_it_was_read),
               TEST(texts_take_the_long_form_only_when_they_must), TEST(containers_nest_and_walk),
               TEST(arrays_of_texts_come_back), TEST(short_container_forms_are_read),
               TEST(arrays_of_described_items_carry_the_descriptor_to_each),
               TEST(arrays_of_items_without_bytes_are_limited),
               TEST(a_count_larger_than_the_bytes_is_refused),
               TEST(a_size_larger_than_the_bytes_is_refused),
               TEST(unknown_codes_are_skipped_by_their_size_but_not_taken),
               TEST(what_is_cut_at_any_byte_is_refused),
               TEST(two_megabytes_of_nesting_are_skipped_in_one_loop),
               TEST(described_values_tell_their_descriptor),
               TEST(a_value_described_twice_is_none_of_the_known_types),
               TEST(fields_past_the_end_are_absent), TEST(a_broken_map_holds_nothing),
               TEST(numbers_of_any_kind_are_read_when_they_fit), TEST(a_frame_comes_back),
               TEST(a_frame_waits_for_its_last_byte), TEST(what_is_no_frame_is_refused),
               TEST(an_extended_header_is_passed_over), TEST(a_negative_number_is_no_unsigned_one),
               TEST(what_is_no_container_holds_nothing),
               TEST(what_is_beyond_32_bits_is_not_written),
               TEST(writing_without_memory_is_told_at_the_end));
}
