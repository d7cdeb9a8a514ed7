/*
 * All that lib/base reads of text from outside. Oracles: what is written is
 * read back the same; no error repeats a URL's password; nothing that follows
 * "sig=" survives a redaction; a time or date that was read is written as one
 * that reads the same.
 */
#include "fuzz/fuzz.h"

#include "base/assert.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "base/uri.h"

static const char canary[] = "CANARY";

static void check_round_trip(tmk_slice bytes, void (*write)(tmk_str *s, tmk_slice bytes),
                             bool (*read)(tmk_str *s, tmk_slice text)) {
    tmk_str text = TMK_STR_INIT;
    tmk_str back = TMK_STR_INIT;

    write(&text, bytes);
    tmk_assert(read(&back, tmk_str_slice(&text)));
    tmk_assert(tmk_slice_eq(bytes, tmk_str_slice(&back)));
    tmk_str_clear(&text);
    tmk_str_clear(&back);
}

/* Reading first: what comes out, written and read again, is the same. */
static void check_reader(tmk_slice text, void (*write)(tmk_str *s, tmk_slice bytes),
                         bool (*read)(tmk_str *s, tmk_slice text)) {
    tmk_str bytes = TMK_STR_INIT;

    if (read(&bytes, text)) {
        check_round_trip(tmk_str_slice(&bytes), write, read);
    } else {
        tmk_assert(bytes.size == 0);
    }
    tmk_str_clear(&bytes);
}

static void check_json(tmk_slice text) {
    tmk_str json = TMK_STR_INIT;

    tmk_str_add_json(&json, text);
    tmk_assert(json.size >= 2 && tmk_slice_is_utf8(tmk_str_slice(&json)));
    for (size_t i = 1; i < json.size - 1; i++) {
        unsigned char c = (unsigned char)json.text[i];

        tmk_assert(c >= ' ' && c != '"');
        i += c == '\\';
    }
    tmk_str_clear(&json);
}

static void check_times(tmk_slice text) {
    tmk_str again = TMK_STR_INIT;
    tmk_wall wall = {0};
    tmk_wall back = {0};
    tmk_time duration = 0;
    uint64_t size = 0;
    char date[32];

    if (tmk_iso_parse(text, &wall, NULL) == TMK_OK && wall.us >= INT64_C(-62135596800000000) &&
        wall.us < INT64_C(253402300800000000)) {
        int64_t ms = (wall.us - ((wall.us % 1000) + 1000) % 1000) / 1000;

        tmk_str_add_iso_time(&again, ms);
        tmk_assert(tmk_iso_parse(tmk_str_slice(&again), &back, NULL) == TMK_OK &&
                   back.us == ms * 1000);
        tmk_str_clear(&again);
    }
    if (tmk_http_date_parse(text, &wall, NULL) == TMK_OK && wall.us < INT64_C(253402300800000000)) {
        tmk_http_date_format(wall, date);
        tmk_assert(tmk_http_date_parse(tmk_slice_str(date), &back, NULL) == TMK_OK &&
                   back.us == wall.us);
    }
    tmk_assert(tmk_duration_parse(text, &duration, NULL) < 0 || duration >= 0);
    (void)tmk_size_parse(text, &size, NULL);
}

static void check_uri(tmk_slice text) {
    tmk_str url = TMK_STR_INIT;
    tmk_error err = {0};
    tmk_uri u;
    uint16_t port = 0;
    tmk_slice host;

    if (tmk_uri_parse(text, &u, &err) == TMK_OK) {
        tmk_assert(u.host.size > 0 && u.host.bytes >= text.bytes &&
                   u.host.bytes + u.host.size <= text.bytes + text.size);
        tmk_assert(u.query.size == 0 || u.query.bytes + u.query.size <= text.bytes + text.size);
    }
    (void)tmk_host_port_parse(text, &host, &port, NULL);
    tmk_str_addf(&url, "http://u:%s@", canary);
    tmk_str_add_slice(&url, text);
    if (tmk_uri_parse(tmk_str_slice(&url), &u, &err) < 0) {
        tmk_assert(strstr(err.text, canary) == NULL);
    }
    tmk_str_clear(&url);
}

static void check_redaction(tmk_slice text) {
    tmk_str line = TMK_STR_INIT;
    size_t before = 0;

    tmk_str_add_slice(&line, text);
    tmk_str_addf(&line, " sig=%s", canary);
    before = strlen(tmk_str_text(&line));
    tmk_redact(line.text);
    tmk_assert(strlen(tmk_str_text(&line)) <= before);
    /* Only where the text has no NUL and holds no canary of its own does the line end with ours. */
    if (text.size == 0 || (memchr(text.bytes, '\0', text.size) == NULL &&
                           memmem(text.bytes, text.size, canary, sizeof canary - 1) == NULL)) {
        tmk_assert(strstr(tmk_str_text(&line), canary) == NULL);
    }
    tmk_str_clear(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tmk_slice text = tmk_slice_of(data, size);
    int64_t number = 0;

    check_round_trip(text, tmk_str_add_percent, tmk_str_add_unpercent);
    check_round_trip(text, tmk_str_add_base64, tmk_str_add_unbase64);
    check_round_trip(text, tmk_str_add_base64url, tmk_str_add_unbase64);
    check_reader(text, tmk_str_add_percent, tmk_str_add_unpercent);
    check_reader(text, tmk_str_add_base64, tmk_str_add_unbase64);
    check_json(text);
    check_times(text);
    check_uri(text);
    check_redaction(text);
    (void)tmk_slice_int64(tmk_slice_trim(text), &number);
    return 0;
}
