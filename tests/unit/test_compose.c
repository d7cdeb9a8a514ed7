/* Outgoing messages: what is encoded can be read back, byte for byte where bytes are known. */
#include "amqp/compose.h"

#include "amqp/scan.h"
#include "base/status.h"
#include "support/check.h"
#include "support/failing_alloc.h"

static tmk_message *message(const char *body) {
    tmk_message *m = NULL;

    CHECK_EQ(TMK_OK, tmk_message_new(tmk_slice_str(body), &m, NULL));
    return m;
}

static tmk_sections encoded(const tmk_message *m, tmk_str *out) {
    tmk_sections s;

    CHECK_EQ(TMK_OK, tmk_message_encode(m, tmk_message_key(m), out, NULL));
    CHECK(tmk_scan_message(tmk_str_slice(out), &s));
    return s;
}

static tmk_value take(tmk_slice bytes) {
    tmk_value v;

    CHECK(tmk_wire_take(&bytes, &v));
    CHECK_EQ(0, bytes.size);
    return v;
}

/* The bytes of the JavaScript SDK: key "pk", property x = 1, body "a". */
static void a_keyed_event_has_the_bytes_of_the_official_sdk(void) {
    static const char expected[] =
        "\x00\x53\x70\xd0\x00\x00\x00\x05\x00\x00\x00\x01\x41"
        "\x00\x53\x72\xd1\x00\x00\x00\x1d\x00\x00\x00\x02"
        "\xa3\x13x-opt-partition-key\xa1\x02pk"
        "\x00\x53\x73\x45"
        "\x00\x53\x74\xd1\x00\x00\x00\x09\x00\x00\x00\x02\xa1\x01x\x54\x01"
        "\x00\x53\x75\xa0\x01"
        "a";
    tmk_value one = {.kind = TMK_VALUE_INT, .width = 4, .i64 = 1};
    tmk_message *m = message("a");
    tmk_str s = TMK_STR_INIT;

    CHECK_EQ(TMK_OK, tmk_message_set_key(m, "pk", NULL));
    CHECK_EQ(TMK_OK, tmk_message_set_property(m, "x", &one, NULL));
    (void)encoded(m, &s);
    CHECK_EQ(sizeof expected - 1, s.size);
    CHECK(memcmp(expected, s.text, s.size) == 0);
    tmk_str_clear(&s);
    m = tmk_message_free(m);
    CHECK(m == NULL);
}

static void a_plain_event_is_a_body_and_little_else(void) {
    tmk_message *m = message("a");
    tmk_str s = TMK_STR_INIT;
    tmk_sections parts = encoded(m, &s);

    CHECK_SLICE("a", parts.data);
    CHECK_EQ(0, parts.header.size);
    CHECK_EQ(0, parts.message_annotations.size);
    CHECK_EQ(4 + 6, s.size);
    tmk_str_clear(&s);
    (void)tmk_message_free(m);
}

static void properties_of_every_kind_come_back(void) {
    static const uint8_t sixteen[16] = {9};
    const tmk_value values[] = {
        {.kind = TMK_VALUE_NONE},
        {.kind = TMK_VALUE_BOOL, .b = true},
        {.kind = TMK_VALUE_INT, .width = 1, .i64 = -128},
        {.kind = TMK_VALUE_INT, .width = 2, .i64 = 32767},
        {.kind = TMK_VALUE_INT, .width = 4, .i64 = INT32_MIN},
        {.kind = TMK_VALUE_INT, .width = 8, .i64 = INT64_MAX},
        {.kind = TMK_VALUE_INT, .width = 0, .i64 = INT64_MIN},
        {.kind = TMK_VALUE_UINT, .width = 1, .u64 = 255},
        {.kind = TMK_VALUE_UINT, .width = 2, .u64 = 65535},
        {.kind = TMK_VALUE_UINT, .width = 4, .u64 = UINT32_MAX},
        {.kind = TMK_VALUE_UINT, .width = 8, .u64 = UINT64_MAX},
        {.kind = TMK_VALUE_FLOAT, .width = 4, .f64 = 0.5},
        {.kind = TMK_VALUE_FLOAT, .width = 0, .f64 = 0.1},
        {.kind = TMK_VALUE_CHAR, .u64 = 0x10ffff},
        {.kind = TMK_VALUE_TIME, .i64 = 1700000000123},
        {.kind = TMK_VALUE_UUID, .bytes = {sixteen, 16}},
        {.kind = TMK_VALUE_BINARY, .bytes = {sixteen, 3}},
        {.kind = TMK_VALUE_STRING, .bytes = TMK_LIT("k\xc3\xb6ln")},
        {.kind = TMK_VALUE_SYMBOL, .bytes = TMK_LIT("sym")},
        {.kind = TMK_VALUE_DECIMAL, .bytes = {sixteen, 8}},
        {.kind = TMK_VALUE_LIST, .count = 2, .bytes = TMK_LIT("\x41\xa1\x01x")},
        {.kind = TMK_VALUE_MAP, .count = 2, .bytes = TMK_LIT("\x41\xa1\x01x")},
        {.kind = TMK_VALUE_ARRAY, .count = 2, .bytes = TMK_LIT("\x50\x01\x02")},
        {.kind = TMK_VALUE_INT,
         .width = 8,
         .i64 = 5,
         .descriptor = TMK_LIT("\xa3\x16"
                               "com.microsoft:timespan")},
    };
    const size_t count = sizeof values / sizeof *values;
    tmk_message *m = message("");
    tmk_str s = TMK_STR_INIT;
    tmk_value map;
    char name[8];

    for (size_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "p%zu", i);
        CHECK_EQ(TMK_OK, tmk_message_set_property(m, name, &values[i], NULL));
    }
    map = take(encoded(m, &s).application_properties);
    CHECK_EQ(2 * count, map.count);
    for (size_t i = 0; i < count; i++) {
        tmk_value v;

        (void)snprintf(name, sizeof name, "p%zu", i);
        v = tmk_wire_map_get(&map, name);
        CHECK_EQ(values[i].kind, v.kind);
        CHECK(tmk_slice_eq(values[i].bytes, v.bytes));
        CHECK(tmk_slice_eq(values[i].descriptor, v.descriptor));
        CHECK_EQ(values[i].count, v.count);
        CHECK(v.kind == TMK_VALUE_BOOL || v.kind >= TMK_VALUE_UUID || values[i].u64 == v.u64);
    }
    tmk_str_clear(&s);
    (void)tmk_message_free(m);
}

static void check_refused(const char *name, tmk_value v) {
    tmk_message *m = message("x");
    tmk_str s = TMK_STR_INIT;
    tmk_error err;

    tmk_error_clear(&err);
    CHECK_EQ(TMK_EINVAL, tmk_message_set_property(m, name, &v, &err));
    CHECK(strlen(err.text) > 0);
    CHECK_EQ(0, encoded(m, &s).application_properties.size);
    tmk_str_clear(&s);
    (void)tmk_message_free(m);
}

static void values_that_do_not_fit_are_refused(void) {
    check_refused("", (tmk_value){.kind = TMK_VALUE_BOOL});
    check_refused(NULL, (tmk_value){.kind = TMK_VALUE_BOOL});
    check_refused("\xff", (tmk_value){.kind = TMK_VALUE_BOOL});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_INT, .width = 1, .i64 = 128});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_INT, .width = 4, .i64 = INT64_MIN});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_INT, .width = 3, .i64 = 0});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_INT, .width = 16, .i64 = 0});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_UINT, .width = 2, .u64 = 65536});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_FLOAT, .width = 2});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_CHAR, .u64 = 0x110000});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_STRING, .bytes = TMK_LIT("\xc3")});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_SYMBOL, .bytes = TMK_LIT("\xc3\xb6")});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_UUID, .bytes = TMK_LIT("short")});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_DECIMAL, .bytes = TMK_LIT("x")});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_LIST, .count = 3, .bytes = TMK_LIT("\x41")});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_MAP, .count = 1, .bytes = TMK_LIT("\x41")});
    check_refused("p",
                  (tmk_value){.kind = TMK_VALUE_MAP, .count = 2, .bytes = TMK_LIT("\x41\xa1\x09")});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_ARRAY, .count = 1, .bytes = TMK_LIT("\x01")});
    check_refused("p", (tmk_value){.kind = TMK_VALUE_BOOL, .descriptor = TMK_LIT("\xa3\x09x")});
    check_refused("p", (tmk_value){.kind = (tmk_value_kind)99});
}

static void a_property_set_again_is_replaced(void) {
    tmk_message *m = message("x");
    tmk_str s = TMK_STR_INIT;
    tmk_value map;

    CHECK_EQ(TMK_OK, tmk_message_set_text(m, "a", "first", NULL));
    CHECK_EQ(TMK_OK, tmk_message_set_int(m, "b", 1, NULL));
    CHECK_EQ(TMK_OK, tmk_message_set_double(m, "a", 2.5, NULL));
    CHECK_EQ(TMK_OK, tmk_message_set_bool(m, "c", true, NULL));
    map = take(encoded(m, &s).application_properties);
    CHECK_EQ(6, map.count);
    CHECK(tmk_wire_map_get(&map, "a").f64 == 2.5);
    CHECK_EQ(1, tmk_wire_map_get(&map, "b").i64);
    CHECK(tmk_wire_map_get(&map, "c").b);
    tmk_str_clear(&s);
    (void)tmk_message_free(m);
}

static void standard_properties_stand_in_their_places(void) {
    tmk_message *m = message("x");
    tmk_str s = TMK_STR_INIT;
    tmk_value list, v;
    tmk_wire_list fields;
    tmk_value when = {.kind = TMK_VALUE_TIME, .i64 = 99};
    tmk_value number = {.kind = TMK_VALUE_UINT, .u64 = 7};

    CHECK_EQ(TMK_OK, tmk_message_set_standard(m, TMK_MESSAGE_ID, &number, NULL));
    CHECK_EQ(TMK_OK, tmk_message_set_standard_text(m, TMK_CONTENT_TYPE, "application/json", NULL));
    CHECK_EQ(TMK_OK, tmk_message_set_standard(m, TMK_CREATION_TIME, &when, NULL));
    CHECK_EQ(TMK_OK, tmk_message_set_standard(m, TMK_GROUP_SEQUENCE, &number, NULL));
    list = take(encoded(m, &s).properties);
    CHECK_EQ(TMK_GROUP_SEQUENCE + 1, list.count);
    CHECK(tmk_wire_list_open(&list, &fields));
    CHECK(tmk_wire_list_field(&fields, TMK_MESSAGE_ID, &v) && v.u64 == 7 && v.width == 8);
    CHECK(tmk_wire_list_field(&fields, TMK_SUBJECT, &v) && v.kind == TMK_VALUE_NONE);
    CHECK(tmk_wire_list_field(&fields, TMK_CONTENT_TYPE, &v));
    CHECK_EQ(TMK_VALUE_SYMBOL, v.kind);
    CHECK_SLICE("application/json", v.bytes);
    CHECK(tmk_wire_list_field(&fields, TMK_CREATION_TIME, &v) && v.i64 == 99);
    CHECK(tmk_wire_list_field(&fields, TMK_GROUP_SEQUENCE, &v) && v.u64 == 7 && v.width == 4);
    tmk_str_reset(&s);
    number.kind = TMK_VALUE_NONE;
    CHECK_EQ(TMK_OK, tmk_message_set_standard(m, TMK_GROUP_SEQUENCE, &number, NULL));
    CHECK_EQ(TMK_CREATION_TIME + 1, take(encoded(m, &s).properties).count);
    tmk_str_clear(&s);
    (void)tmk_message_free(m);
}

static void standard_properties_of_the_wrong_kind_are_refused(void) {
    tmk_message *m = message("x");
    tmk_value number = {.kind = TMK_VALUE_UINT, .u64 = UINT64_C(1) << 32};
    tmk_value text = {.kind = TMK_VALUE_STRING, .bytes = TMK_LIT("x")};

    CHECK_EQ(TMK_EINVAL, tmk_message_set_standard(m, TMK_GROUP_SEQUENCE, &number, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_message_set_standard(m, TMK_SUBJECT, &number, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_message_set_standard(m, TMK_USER_ID, &text, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_message_set_standard(m, TMK_CREATION_TIME, &text, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_message_set_standard(m, (tmk_standard)13, &text, NULL));
    number.width = 4;
    number.u64 = 1;
    CHECK_EQ(TMK_EINVAL, tmk_message_set_standard(m, TMK_MESSAGE_ID, &number, NULL));
    text.descriptor = TMK_LIT("\x53\x01");
    CHECK_EQ(TMK_EINVAL, tmk_message_set_standard(m, TMK_SUBJECT, &text, NULL));
    (void)tmk_message_free(m);
}

static void a_key_has_at_most_128_characters(void) {
    char key[400] = {0};
    tmk_message *m = message("x");

    for (size_t i = 0; i < 129; i++) {
        memcpy(key + 2 * i, "\xc3\xb6", 2); /* two bytes, one character */
    }
    CHECK_EQ(TMK_EINVAL, tmk_message_set_key(m, key, NULL));
    key[256] = '\0';
    CHECK_EQ(TMK_OK, tmk_message_set_key(m, key, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_message_set_key(m, "\xc3", NULL));
    CHECK_EQ(256, tmk_message_key(m).size);
    CHECK_EQ(TMK_OK, tmk_message_set_key(m, NULL, NULL));
    CHECK_EQ(0, tmk_message_key(m).size);
    (void)tmk_message_free(m);
}

static void annotations_of_the_service_are_not_ours_to_set(void) {
    tmk_message *m = message("x");
    tmk_value v = {.kind = TMK_VALUE_STRING, .bytes = TMK_LIT("v")};
    tmk_str s = TMK_STR_INIT;
    tmk_value map;

    CHECK_EQ(TMK_EINVAL, tmk_message_set_annotation(m, "x-opt-partition-key", &v, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_message_set_annotation(m, "k\xc3\xb6", &v, NULL));
    CHECK_EQ(TMK_OK, tmk_message_set_annotation(m, "iothub-x", &v, NULL));
    CHECK_EQ(TMK_OK, tmk_message_set_key(m, "key", NULL));
    map = take(encoded(m, &s).message_annotations);
    CHECK_EQ(4, map.count);
    CHECK_SLICE("v", tmk_wire_map_get(&map, "iothub-x").bytes);
    CHECK_SLICE("key", tmk_wire_map_get(&map, "x-opt-partition-key").bytes);
    tmk_str_clear(&s);
    (void)tmk_message_free(m);
}

static void a_body_may_be_a_value(void) {
    tmk_message *m = message("x");
    tmk_value v = {.kind = TMK_VALUE_STRING, .bytes = TMK_LIT("token")};
    tmk_value bad = {.kind = TMK_VALUE_STRING, .bytes = TMK_LIT("\xff")};
    tmk_str s = TMK_STR_INIT;
    tmk_sections parts;

    CHECK_EQ(TMK_OK, tmk_message_set_value(m, &v, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_message_set_value(m, &bad, NULL));
    parts = encoded(m, &s);
    CHECK_EQ(TMK_BODY_VALUE, parts.body_kind);
    CHECK_SLICE("\xa1\x05token", tmk_slice_from(parts.body, 3));
    tmk_str_clear(&s);
    (void)tmk_message_free(m);
}

/* Fills a message; used again and again below. */
static tmk_status fill(tmk_message *m) {
    tmk_value v = {.kind = TMK_VALUE_STRING, .bytes = TMK_LIT("v")};
    tmk_status st = tmk_message_set_text(m, "name", "value", NULL);

    st = st < 0 ? st : tmk_message_set_text(m, "name", "another value", NULL);
    st = st < 0 ? st : tmk_message_set_key(m, "key", NULL);
    st = st < 0 ? st : tmk_message_set_annotation(m, "a", &v, NULL);
    st = st < 0 ? st : tmk_message_set_value(m, &v, NULL);
    return st < 0 ? st : tmk_message_set_standard_text(m, TMK_SUBJECT, "subject", NULL);
}

static void a_reset_message_is_as_new(void) {
    tmk_message *m = message("a"), *fresh = message("b");
    tmk_str s = TMK_STR_INIT, expected = TMK_STR_INIT;

    CHECK_EQ(TMK_OK, fill(m));
    CHECK_EQ(TMK_OK, tmk_message_reset(m, TMK_LIT("b"), NULL));
    (void)encoded(m, &s);
    (void)encoded(fresh, &expected);
    CHECK(tmk_slice_eq(tmk_str_slice(&expected), tmk_str_slice(&s)));
    tmk_str_clear(&s);
    tmk_str_clear(&expected);
    (void)tmk_message_free(m);
    (void)tmk_message_free(fresh);
    CHECK(tmk_message_free(NULL) == NULL);
}

static void no_memory_is_told_and_nothing_leaks(void) {
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_message *m = NULL;
        tmk_str s = TMK_STR_INIT;
        tmk_status st;

        st = tmk_message_new(TMK_LIT("body"), &m, NULL);
        if (st == TMK_OK) {
            st = fill(m);
        }
        if (st == TMK_OK) {
            st = tmk_message_encode(m, tmk_message_key(m), &s, NULL);
        }
        tmk_str_clear(&s);
        (void)tmk_message_free(m);
        CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
        CHECK_EQ(0, failing_live());
    }
}

int main(void) {
    return RUN(TEST(a_keyed_event_has_the_bytes_of_the_official_sdk),
               TEST(a_plain_event_is_a_body_and_little_else),
               TEST(properties_of_every_kind_come_back), TEST(values_that_do_not_fit_are_refused),
               TEST(a_property_set_again_is_replaced),
               TEST(standard_properties_stand_in_their_places),
               TEST(standard_properties_of_the_wrong_kind_are_refused),
               TEST(a_key_has_at_most_128_characters),
               TEST(annotations_of_the_service_are_not_ours_to_set), TEST(a_body_may_be_a_value),
               TEST(a_reset_message_is_as_new), TEST(no_memory_is_told_and_nothing_leaks));
}
