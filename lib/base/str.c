/* Growable text: memory and plain appends. The encodings are in str_encode.c. */
#include "base/str.h"

#include "base/alloc.h"
#include "base/secret.h"

#include <stdio.h>
#include <time.h>

static bool reserve(tmk_str *s, size_t more) {
    size_t needed = 0;
    size_t room = s->room < 32 ? 32 : s->room;
    char *text = NULL;

    if (s->failed) {
        return false;
    }
    if (__builtin_add_overflow(s->size, more, &needed) || needed >= SIZE_MAX / 2) {
        s->failed = true;
        return false;
    }
    if (needed + 1 <= s->room) {
        return true;
    }
    while (room < needed + 1) {
        room *= 2;
    }
    text = tmk_resize(s->text, room, 1);
    if (text == NULL) {
        s->failed = true;
        return false;
    }
    s->text = text;
    s->room = room;
    s->text[s->size] = '\0';
    return true;
}

void tmk_str_clear(tmk_str *s) {
    tmk_free(s->text);
    *s = (tmk_str)TMK_STR_INIT;
}

void tmk_str_wipe(tmk_str *s) {
    tmk_wipe(s->text, s->room);
    tmk_str_clear(s);
}

bool tmk_str_reserve(tmk_str *s, size_t size) {
    return reserve(s, size > s->size ? size - s->size : 0);
}

void tmk_str_reset(tmk_str *s) {
    s->size = 0;
    s->failed = false;
    if (s->text != NULL) {
        s->text[0] = '\0';
    }
}

bool tmk_str_ok(const tmk_str *s) {
    return !s->failed;
}

const char *tmk_str_text(const tmk_str *s) {
    return s->text == NULL ? "" : s->text;
}

tmk_slice tmk_str_slice(const tmk_str *s) {
    return tmk_slice_of(tmk_str_text(s), s->size);
}

char *tmk_str_take(tmk_str *s) {
    char *text = NULL;

    if (reserve(s, 0)) {
        text = s->text;
        s->text = NULL;
    }
    tmk_str_clear(s);
    return text;
}

void tmk_str_add(tmk_str *s, const char *text) {
    tmk_str_add_slice(s, tmk_slice_str(text));
}

void tmk_str_add_slice(tmk_str *s, tmk_slice bytes) {
    if (bytes.size > 0 && reserve(s, bytes.size)) {
        memcpy(s->text + s->size, bytes.bytes, bytes.size);
        s->size += bytes.size;
        s->text[s->size] = '\0';
    }
}

void tmk_str_add_char(tmk_str *s, char c) {
    if (reserve(s, 1)) {
        s->text[s->size++] = c;
        s->text[s->size] = '\0';
    }
}

void tmk_str_addf(tmk_str *s, const char *format, ...) {
    va_list args;

    va_start(args, format);
    tmk_str_addfv(s, format, args);
    va_end(args);
}

void tmk_str_addfv(tmk_str *s, const char *format, va_list args) {
    va_list again;
    int size = 0;

    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, args);
    if (size < 0) {
        s->failed = true;
    } else if (reserve(s, (size_t)size)) {
        (void)vsnprintf(s->text + s->size, (size_t)size + 1, format, again);
        s->size += (size_t)size;
    }
    va_end(again);
}

char *tmk_str_join(const char *a, const char *b) {
    tmk_str s = TMK_STR_INIT;

    tmk_str_add(&s, a);
    tmk_str_add(&s, b);
    return tmk_str_take(&s);
}

char *tmk_str_format(const char *format, ...) {
    tmk_str s = TMK_STR_INIT;
    va_list args;

    va_start(args, format);
    tmk_str_addfv(&s, format, args);
    va_end(args);
    return tmk_str_take(&s);
}

void tmk_str_add_iso_time(tmk_str *s, int64_t unix_ms) {
    int64_t ms = unix_ms % 1000;
    struct tm parts = {0};
    time_t seconds = 0;

    if (ms < 0) {
        ms += 1000;
    }
    seconds = (time_t)((unix_ms - ms) / 1000);
    if (unix_ms < INT64_MIN + 1000) {
        seconds = (time_t)(unix_ms / 1000 - 1);
    }
    (void)gmtime_r(&seconds, &parts);
    tmk_str_addf(s, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                 parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, (int)ms);
}
