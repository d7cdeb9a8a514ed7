/* Start positions: see tidemark/start.h. Pure, but for the age that tmk_start_parse reads. */
#include <tidemark/start.h>

#include <string.h>

#include "base/slice.h"
#include "base/status.h"
#include "base/time.h"

#define ORIGIN "start"

tmk_start tmk_start_earliest(void) {
    tmk_start s = {.kind = TMK_START_EARLIEST};

    return s;
}

tmk_start tmk_start_latest(void) {
    tmk_start s = {.kind = TMK_START_LATEST};

    return s;
}

tmk_start tmk_start_sequence(int64_t sequence, bool inclusive) {
    tmk_start s = {.kind = TMK_START_SEQUENCE, .inclusive = inclusive, .sequence = sequence};

    return s;
}

tmk_start tmk_start_time(int64_t unix_ms) {
    tmk_start s = {.kind = TMK_START_TIME, .inclusive = true, .unix_ms = unix_ms};

    return s;
}

/* The offset goes between quotes into a filter that knows no escapes. */
static bool offset_is_safe(tmk_slice offset) {
    for (size_t i = 0; i < offset.size; i++) {
        if (offset.bytes[i] < 0x20 || offset.bytes[i] == 0x7f || offset.bytes[i] == '\'') {
            return false;
        }
    }
    return tmk_slice_is_utf8(offset);
}

tmk_status tmk_start_offset(tmk_slice offset, bool inclusive, tmk_start *out, tmk_error *err) {
    tmk_start s = {.kind = TMK_START_OFFSET, .inclusive = inclusive};

    if (offset.size == 0 || offset.size >= sizeof s.offset) {
        return tmk_fail(err, TMK_EINVAL, ORIGIN, "an offset has 1 to %zu bytes, not %zu",
                        sizeof s.offset - 1, offset.size);
    }
    if (!offset_is_safe(offset)) {
        return tmk_fail(err, TMK_EINVAL, ORIGIN,
                        "an offset holds no quote, no control character and no broken UTF-8");
    }
    memcpy(s.offset, offset.bytes, offset.size);
    *out = s;
    return TMK_OK;
}

/* "2026-11-20T21:15:39Z", milliseconds since 1970, or an age such as "6h". */
static tmk_status parse_time(tmk_slice text, tmk_start *out, tmk_error *err) {
    tmk_clock clock = tmk_clock_system();
    int64_t unix_ms = 0;
    tmk_time age = 0;
    tmk_wall wall = {0};

    if (tmk_slice_int64(text, &unix_ms)) {
        *out = tmk_start_time(unix_ms);
        return TMK_OK;
    }
    if (tmk_duration_parse(text, &age, NULL) == TMK_OK) {
        *out = tmk_start_time(tmk_wall_now(&clock).us / 1000 - age / TMK_MS);
        return TMK_OK;
    }
    if (tmk_iso_parse(text, &wall, NULL) == TMK_OK) {
        *out = tmk_start_time(wall.us / 1000);
        return TMK_OK;
    }
    return tmk_fail(err, TMK_EINVAL, ORIGIN,
                    "the time '%.*s' is not understood: give 2026-11-20T21:15:39Z, Unix "
                    "milliseconds, or an age such as 6h",
                    (int)(text.size > 60 ? 60 : text.size), (const char *)text.bytes);
}

tmk_status tmk_start_parse(const char *text, tmk_start *out, tmk_error *err) {
    tmk_slice rest = tmk_slice_trim(tmk_slice_str(text));
    bool colon = false;
    tmk_slice word = tmk_slice_cut(&rest, ':', &colon);
    int64_t sequence = 0;

    if (!colon && tmk_slice_eq(word, TMK_LIT("earliest"))) {
        *out = tmk_start_earliest();
        return TMK_OK;
    }
    if (!colon && tmk_slice_eq(word, TMK_LIT("latest"))) {
        *out = tmk_start_latest();
        return TMK_OK;
    }
    if (colon && tmk_slice_eq(word, TMK_LIT("sequence")) && tmk_slice_int64(rest, &sequence) &&
        sequence >= 0) {
        *out = tmk_start_sequence(sequence, true);
        return TMK_OK;
    }
    if (colon && tmk_slice_eq(word, TMK_LIT("offset"))) {
        return tmk_start_offset(rest, true, out, err);
    }
    if (colon && tmk_slice_eq(word, TMK_LIT("time"))) {
        return parse_time(rest, out, err);
    }
    return tmk_fail(err, TMK_EINVAL, ORIGIN,
                    "'%.60s' is no start: give earliest, latest, sequence:N, offset:TEXT or time:T",
                    text == NULL ? "" : text);
}
