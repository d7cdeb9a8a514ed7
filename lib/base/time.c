/* The system's clocks, and reading times, durations and sizes that people or services wrote. */
#include "base/time.h"

#include <stdio.h>
#include <time.h>

#include "base/status.h"

static tmk_time system_now(void *self) {
    struct timespec t = {0};

    (void)self;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (tmk_time)t.tv_sec * TMK_SEC + t.tv_nsec;
}

static tmk_wall system_wall(void *self) {
    struct timespec t = {0};

    (void)self;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (tmk_wall){(int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000};
}

tmk_clock tmk_clock_system(void) {
    return (tmk_clock){system_now, system_wall, NULL};
}

tmk_time tmk_time_after(tmk_time now, tmk_time delay) {
    tmk_time sum = 0;

    if (now == TMK_NEVER || delay == TMK_NEVER) {
        return TMK_NEVER;
    }
    if (__builtin_add_overflow(now, delay, &sum)) {
        return delay > 0 ? TMK_NEVER : INT64_MIN;
    }
    return sum;
}

typedef struct unit {
    const char *name;
    uint64_t scale;
} unit;

static const unit *unit_find(const unit *units, tmk_slice name, bool nocase) {
    for (; units->name != NULL; units++) {
        tmk_slice known = tmk_slice_str(units->name);

        if (nocase ? tmk_slice_eq_nocase(known, name) : tmk_slice_eq(known, name)) {
            return units;
        }
    }
    return NULL;
}

/* The leading bytes that are among `wanted`; cut from *text. */
static tmk_slice take_digits(tmk_slice *text) {
    size_t size = 0;
    tmk_slice digits;

    while (size < text->size && text->bytes[size] >= '0' && text->bytes[size] <= '9') {
        size++;
    }
    digits = tmk_slice_of(text->bytes, size);
    *text = tmk_slice_from(*text, size);
    return digits;
}

static bool take_char(tmk_slice *text, char c) {
    if (text->size == 0 || text->bytes[0] != (uint8_t)c) {
        return false;
    }
    *text = tmk_slice_from(*text, 1);
    return true;
}

/* What the digits after a point are worth at this scale; further digits than it can tell are cut.
 */
static int64_t fraction_of(tmk_slice digits, int64_t scale) {
    int64_t sum = 0;

    for (size_t i = 0; i < digits.size && scale > 0; i++) {
        sum += scale * (digits.bytes[i] - '0') / 10;
        scale /= 10;
    }
    return sum;
}

tmk_status tmk_duration_parse(tmk_slice text, tmk_time *out, tmk_error *err) {
    static const unit units[] = {{"ms", TMK_MS},      {"s", TMK_SEC},           {"m", TMK_MIN},
                                 {"h", TMK_MIN * 60}, {"d", TMK_MIN * 60 * 24}, {NULL, 0}};
    tmk_slice rest = text;
    tmk_slice whole = take_digits(&rest);
    bool point = take_char(&rest, '.');
    tmk_slice fraction = point ? take_digits(&rest) : tmk_slice_of(NULL, 0);
    const unit *u = unit_find(units, rest, false);
    int64_t value = 0;

    if (u == NULL || whole.size == 0 || (point && fraction.size == 0)) {
        return tmk_fail(err, TMK_EINVAL, "base",
                        "'%.*s' is no duration; write it as 250ms, 10s, 5m, 2h or 7d",
                        (int)(text.size < 40 ? text.size : 40), (const char *)text.bytes);
    }
    if (!tmk_slice_int64(whole, &value) ||
        __builtin_mul_overflow(value, (int64_t)u->scale, &value) ||
        __builtin_add_overflow(value, fraction_of(fraction, (int64_t)u->scale), &value)) {
        return tmk_fail(err, TMK_EINVAL, "base", "the duration '%.*s' is too long",
                        (int)(text.size < 40 ? text.size : 40), (const char *)text.bytes);
    }
    *out = value;
    return TMK_OK;
}

tmk_status tmk_size_parse(tmk_slice text, uint64_t *out, tmk_error *err) {
    static const unit units[] = {{"", 1},
                                 {"B", 1},
                                 {"KB", 1000},
                                 {"MB", 1000000},
                                 {"GB", 1000000000},
                                 {"TB", UINT64_C(1000000000000)},
                                 {"KiB", UINT64_C(1) << 10},
                                 {"MiB", UINT64_C(1) << 20},
                                 {"GiB", UINT64_C(1) << 30},
                                 {"TiB", UINT64_C(1) << 40},
                                 {NULL, 0}};
    tmk_slice rest = text;
    tmk_slice whole = take_digits(&rest);
    const unit *u = unit_find(units, rest, true);
    uint64_t value = 0;

    if (u == NULL || whole.size == 0) {
        return tmk_fail(err, TMK_EINVAL, "base",
                        "'%.*s' is no size; write it as 512, 64KiB, 10MB or 1GiB",
                        (int)(text.size < 40 ? text.size : 40), (const char *)text.bytes);
    }
    if (!tmk_slice_uint64(whole, &value) || __builtin_mul_overflow(value, u->scale, &value)) {
        return tmk_fail(err, TMK_EINVAL, "base", "the size '%.*s' is too large",
                        (int)(text.size < 40 ? text.size : 40), (const char *)text.bytes);
    }
    *out = value;
    return TMK_OK;
}

/* A moment taken apart. */
typedef struct moment {
    int64_t year, month, day, hour, minute, second, us, offset_minutes;
} moment;

static bool take_number(tmk_slice *text, size_t digits, int64_t *out) {
    tmk_slice head = tmk_slice_of(text->bytes, digits);
    tmk_slice rest = head;

    if (text->size < digits || take_digits(&rest).size != digits) {
        return false;
    }
    *text = tmk_slice_from(*text, digits);
    return tmk_slice_int64(head, out);
}

static int64_t days_in_month(int64_t year, int64_t month) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Days since 1970-01-01 in the Gregorian calendar; years are counted from March. */
static int64_t days_of(int64_t year, int64_t month, int64_t day) {
    int64_t y = month > 2 ? year : year - 1;
    int64_t m = month > 2 ? month - 3 : month + 9;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static bool moment_wall(const moment *m, tmk_wall *out) {
    bool calendar = m->year >= 1 && m->month >= 1 && m->month <= 12 && m->day >= 1 &&
                    m->day <= days_in_month(m->year, m->month);
    /* A leap second is the first one of the next minute. */
    bool clock = m->hour <= 23 && m->minute <= 59 && m->second <= 60;

    if (!calendar || !clock) {
        return false;
    }
    out->us =
        ((days_of(m->year, m->month, m->day) * 24 + m->hour) * 60 + m->minute - m->offset_minutes) *
            60 * 1000000 +
        m->second * 1000000 + m->us;
    return true;
}

/* "Z", "+01:00", "+0100", "+01". */
static bool take_zone(tmk_slice *text, int64_t *offset_minutes) {
    int64_t hours = 0;
    int64_t minutes = 0;
    bool east = false;

    if (take_char(text, 'Z') || take_char(text, 'z')) {
        *offset_minutes = 0;
        return true;
    }
    east = take_char(text, '+');
    if ((!east && !take_char(text, '-')) || !take_number(text, 2, &hours)) {
        return false;
    }
    if (text->size > 0) {
        (void)take_char(text, ':');
        if (!take_number(text, 2, &minutes)) {
            return false;
        }
    }
    *offset_minutes = (east ? 1 : -1) * (hours * 60 + minutes);
    return hours <= 23 && minutes <= 59;
}

static bool take_clock(tmk_slice *text, moment *m) {
    return take_number(text, 2, &m->hour) && take_char(text, ':') &&
           take_number(text, 2, &m->minute) && take_char(text, ':') &&
           take_number(text, 2, &m->second);
}

static bool take_fraction(tmk_slice *text, moment *m) {
    tmk_slice digits;

    if (!take_char(text, '.')) {
        return true;
    }
    digits = take_digits(text);
    m->us = fraction_of(digits, 1000000);
    return digits.size > 0;
}

tmk_status tmk_iso_parse(tmk_slice text, tmk_wall *out, tmk_error *err) {
    tmk_slice rest = text;
    moment m = {0};

    if (take_number(&rest, 4, &m.year) && take_char(&rest, '-') &&
        take_number(&rest, 2, &m.month) && take_char(&rest, '-') && take_number(&rest, 2, &m.day) &&
        (take_char(&rest, 'T') || take_char(&rest, 't')) && take_clock(&rest, &m) &&
        take_fraction(&rest, &m) && take_zone(&rest, &m.offset_minutes) && rest.size == 0 &&
        moment_wall(&m, out)) {
        return TMK_OK;
    }
    return tmk_fail(
        err, TMK_EINVAL, "base",
        "'%.*s' is no time; write it as 2026-11-20T21:15:39Z or with an offset as +01:00",
        (int)(text.size < 40 ? text.size : 40), (const char *)text.bytes);
}

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "SunMonTueWedThuFriSat";

/* The place of a name of three letters, counted from 1; 0 where it is none of them. */
static int64_t take_name(tmk_slice *text, const char *names) {
    int64_t place = 0;

    for (size_t i = 0; names[i] != '\0'; i += 3) {
        if (text->size >= 3 && memcmp(text->bytes, names + i, 3) == 0) {
            place = (int64_t)i / 3 + 1;
        }
    }
    if (place > 0) {
        *text = tmk_slice_from(*text, 3);
    }
    return place;
}

static bool take_month(tmk_slice *text, moment *m) {
    m->month = take_name(text, month_names);
    return m->month > 0;
}

tmk_status tmk_http_date_parse(tmk_slice text, tmk_wall *out, tmk_error *err) {
    tmk_slice rest = text;
    moment m = {0};

    if (take_name(&rest, day_names) > 0 && take_char(&rest, ',') && take_char(&rest, ' ') &&
        take_number(&rest, 2, &m.day) && take_char(&rest, ' ') && take_month(&rest, &m) &&
        take_char(&rest, ' ') && take_number(&rest, 4, &m.year) && take_char(&rest, ' ') &&
        take_clock(&rest, &m) && tmk_slice_eq(rest, TMK_LIT(" GMT")) && moment_wall(&m, out)) {
        return TMK_OK;
    }
    return tmk_fail(err, TMK_EPROTO, "base", "'%.*s' is no date of HTTP",
                    (int)(text.size < 40 ? text.size : 40), (const char *)text.bytes);
}

void tmk_http_date_format(tmk_wall wall, char out[32]) {
    time_t seconds = (time_t)(wall.us / 1000000 - (wall.us % 1000000 < 0 ? 1 : 0));
    struct tm t = {0};

    (void)gmtime_r(&seconds, &t);
    (void)snprintf(out, 32, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
                   day_names + (ptrdiff_t)3 * t.tm_wday, t.tm_mday,
                   month_names + (ptrdiff_t)3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min,
                   t.tm_sec);
}
