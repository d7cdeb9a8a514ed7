/* Growable text: appends, encodings, and memory that runs out. */
#include "base/str.h"

#include "base/alloc.h"
#include "support/check.h"
#include "support/failing_alloc.h"

static void empty_text_is_readable(void) {
    tmk_str s = TMK_STR_INIT;
    char *taken = NULL;

    CHECK_STR("", tmk_str_text(&s));
    CHECK_SLICE("", tmk_str_slice(&s));
    taken = tmk_str_take(&s);
    CHECK_STR("", taken);
    tmk_free(taken);
    tmk_str_clear(&s);
}

static void appends_grow_over_many_sizes(void) {
    tmk_str s = TMK_STR_INIT;

    for (int i = 0; i < 1000; i++) {
        tmk_str_addf(&s, "%d,", i % 10);
    }
    CHECK_EQ(2000, s.size);
    CHECK_EQ(2000, strlen(tmk_str_text(&s)));
    tmk_str_reset(&s);
    CHECK_STR("", tmk_str_text(&s));
    tmk_str_add(&s, "a");
    tmk_str_add_char(&s, '\0');
    tmk_str_add_slice(&s, TMK_LIT("b"));
    CHECK_EQ(3, s.size);
    tmk_str_clear(&s);
}

static void a_failed_append_is_remembered(void) {
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_str s = TMK_STR_INIT;
        char *text = NULL;

        for (int i = 0; i < 20; i++) {
            tmk_str_add(&s, "0123456789");
        }
        tmk_str_addf(&s, "%s", "");
        CHECK_EQ(!failing_hit(), tmk_str_ok(&s));
        text = tmk_str_take(&s);
        CHECK_EQ(!failing_hit(), text != NULL);
        CHECK(tmk_str_ok(&s)); /* taken: empty and usable again */
        tmk_free(text);
        CHECK_EQ(0, failing_live());
    }
}

static void an_impossible_size_fails_quietly(void) {
    tmk_str s = TMK_STR_INIT;

    tmk_str_add_slice(&s, tmk_slice_of("x", SIZE_MAX));
    CHECK(!tmk_str_ok(&s));
    CHECK(tmk_str_take(&s) == NULL);
}

static void join_and_format(void) {
    for (failing_begin(FAILING_FROM); failing_next();) {
        char *a = tmk_str_join("pa", "th.tmp");
        char *b = tmk_str_format("%s-%d", "x", 5);

        if (!failing_hit()) {
            CHECK_STR("path.tmp", a);
            CHECK_STR("x-5", b);
        }
        tmk_free(a);
        tmk_free(b);
        CHECK_EQ(0, failing_live());
    }
}

#define CHECK_ENCODED(expected, call)          \
    do {                                       \
        tmk_str s = TMK_STR_INIT;              \
        call;                                  \
        CHECK_STR(expected, tmk_str_text(&s)); \
        tmk_str_clear(&s);                     \
    } while (0)

static void percent_encoding_is_that_of_encodeuricomponent(void) {
    CHECK_ENCODED("aZ9-_.!~*'()%20%2F%3A%2B%26%3D%C3%A4%00%7F",
                  tmk_str_add_percent(&s, TMK_LIT("aZ9-_.!~*'() /:+&=\xc3\xa4\0\x7f")));
}

static void percent_decoding_refuses_bad_escapes(void) {
    static const char *const bad[] = {"%", "a%2", "%zz", "%2g", "%g2", "%%20"};
    tmk_str s = TMK_STR_INIT;

    tmk_str_add(&s, "kept");
    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK(!tmk_str_add_unpercent(&s, tmk_slice_str(bad[n])));
        CHECK_STR("kept", tmk_str_text(&s));
    }
    CHECK(tmk_str_add_unpercent(&s, TMK_LIT("%20%c3%A4+")));
    CHECK_STR("kept \xc3\xa4+", tmk_str_text(&s));
    tmk_str_clear(&s);
}

static void json_text_is_always_valid(void) {
    CHECK_ENCODED("\"\"", tmk_str_add_json(&s, tmk_slice_of(NULL, 0)));
    CHECK_ENCODED("\"a\\\"b\\\\c\\n\\t\\r\\b\\f\\u0000\\u001f/\"",
                  tmk_str_add_json(&s, TMK_LIT("a\"b\\c\n\t\r\b\f\0\x1f/")));
    CHECK_ENCODED("\"\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbdx\"",
                  tmk_str_add_json(&s, TMK_LIT("\xe2\x82\xac\xff\xc3x")));
}

static void base64_as_in_rfc4648(void) {
    static const struct {
        const char *plain, *encoded, *url;
    } rows[] = {{"", "", ""},
                {"f", "Zg==", "Zg"},
                {"fo", "Zm8=", "Zm8"},
                {"foo", "Zm9v", "Zm9v"},
                {"foob", "Zm9vYg==", "Zm9vYg"},
                {"\xfb\xff\xfe", "+//+", "-__-"}};

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        tmk_slice plain = tmk_slice_str(rows[n].plain);

        CHECK_ENCODED(rows[n].encoded, tmk_str_add_base64(&s, plain));
        CHECK_ENCODED(rows[n].url, tmk_str_add_base64url(&s, plain));
        CHECK_ENCODED(rows[n].plain,
                      CHECK(tmk_str_add_unbase64(&s, tmk_slice_str(rows[n].encoded))));
        CHECK_ENCODED(rows[n].plain, CHECK(tmk_str_add_unbase64(&s, tmk_slice_str(rows[n].url))));
    }
}

static void bad_base64_is_refused_whole(void) {
    static const char *const bad[] = {"Z",     "=",    "==",        "Zg=",    "Zg===", "Zm8==",
                                      "Zm9v=", "Z=g=", "Zm9v Zm9v", "Zm9v\n", "Zm9*",  "Zm9vZ"};
    tmk_str s = TMK_STR_INIT;

    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK(!tmk_str_add_unbase64(&s, tmk_slice_str(bad[n])));
        CHECK_EQ(0, s.size);
    }
    tmk_str_clear(&s);
}

static void every_byte_survives_base64_and_hex(void) {
    uint8_t all[256];
    tmk_str text = TMK_STR_INIT;
    tmk_str back = TMK_STR_INIT;

    for (size_t i = 0; i < sizeof all; i++) {
        all[i] = (uint8_t)i;
    }
    for (size_t size = 0; size <= sizeof all; size++) {
        tmk_str_reset(&text);
        tmk_str_reset(&back);
        tmk_str_add_base64(&text, tmk_slice_of(all, size));
        CHECK(tmk_str_add_unbase64(&back, tmk_str_slice(&text)));
        CHECK(tmk_slice_eq(tmk_slice_of(all, size), tmk_str_slice(&back)));
    }
    tmk_str_clear(&text);
    tmk_str_clear(&back);
    CHECK_ENCODED("00ff10", tmk_str_add_hex(&s, TMK_LIT("\x00\xff\x10")));
}

static void times_as_iso_text(void) {
    CHECK_ENCODED("1970-01-01T00:00:00.000Z", tmk_str_add_iso_time(&s, 0));
    CHECK_ENCODED("1969-12-31T23:59:59.999Z", tmk_str_add_iso_time(&s, -1));
    CHECK_ENCODED("2026-11-20T21:15:39.123Z", tmk_str_add_iso_time(&s, INT64_C(1795209339123)));
    CHECK_ENCODED("2024-02-29T12:00:00.000Z", tmk_str_add_iso_time(&s, INT64_C(1709208000000)));
    /* Nonsense from outside must not harm. */
    CHECK_ENCODED("292278994-08-17T07:12:55.807Z", tmk_str_add_iso_time(&s, INT64_MAX));
    CHECK_ENCODED("-292275055-05-16T16:47:04.192Z", tmk_str_add_iso_time(&s, INT64_MIN));
}

int main(void) {
    return RUN(TEST(empty_text_is_readable), TEST(appends_grow_over_many_sizes),
               TEST(a_failed_append_is_remembered), TEST(an_impossible_size_fails_quietly),
               TEST(join_and_format), TEST(percent_encoding_is_that_of_encodeuricomponent),
               TEST(percent_decoding_refuses_bad_escapes), TEST(json_text_is_always_valid),
               TEST(base64_as_in_rfc4648), TEST(bad_base64_is_refused_whole),
               TEST(every_byte_survives_base64_and_hex), TEST(times_as_iso_text));
}
