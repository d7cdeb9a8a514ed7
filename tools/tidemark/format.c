/* Events as lines. See format.h. */
#include "format.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void cli_free(cli_buffer *b) {
    free(b->text);
    memset(b, 0, sizeof *b);
}

static bool reserve(cli_buffer *b, size_t more) {
    size_t room = b->room == 0 ? 1024 : b->room;
    char *text;

    while (room - b->size < more + 1) {
        room *= 2;
    }
    if (room != b->room) {
        text = realloc(b->text, room);
        if (text == NULL) {
            b->failed = true;
            return false;
        }
        b->text = text;
        b->room = room;
    }
    return true;
}

void cli_add(cli_buffer *b, const void *bytes, size_t size) {
    if (size > 0 && reserve(b, size)) {
        memcpy(b->text + b->size, bytes, size);
        b->size += size;
    }
}

void cli_add_text(cli_buffer *b, const char *text) {
    cli_add(b, text, strlen(text));
}

bool cli_put(const cli_buffer *b, FILE *to) {
    return !b->failed && (b->size == 0 || fwrite(b->text, 1, b->size, to) == b->size);
}

void cli_addf(cli_buffer *b, const char *format, ...) {
    char line[512];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof line) {
        b->failed = true;
        return;
    }
    cli_add(b, line, (size_t)size);
}

/* How many bytes the UTF-8 character at `at` has; 0: it is none. */
static size_t character(const uint8_t *at, size_t left) {
    size_t size = at[0] < 0x80                    ? 1
                  : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                  : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                  : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                  : 0;

    if (size == 0 || size > left) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90)) {
        return 0; /* overlong, a surrogate, or past the last character */
    }
    return size;
}

static bool is_utf8(tmk_slice s) {
    for (size_t i = 0; i < s.size;) {
        size_t size = character(s.bytes + i, s.size - i);
        if (size == 0) {
            return false;
        }
        i += size;
    }
    return true;
}

static void add_escaped(cli_buffer *b, uint8_t c) {
    switch (c) {
    case '"':
        cli_add(b, "\\\"", 2);
        break;
    case '\\':
        cli_add(b, "\\\\", 2);
        break;
    case '\n':
        cli_add(b, "\\n", 2);
        break;
    case '\r':
        cli_add(b, "\\r", 2);
        break;
    case '\t':
        cli_add(b, "\\t", 2);
        break;
    default:
        cli_addf(b, "\\u%04x", c);
    }
}

void cli_add_json(cli_buffer *b, tmk_slice utf8) {
    size_t plain = 0;

    cli_add(b, "\"", 1);
    for (size_t i = 0; i < utf8.size;) {
        size_t size = character(utf8.bytes + i, utf8.size - i);
        uint8_t c = utf8.bytes[i];
        if (size >= 1 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            i += size;
            continue;
        }
        cli_add(b, utf8.bytes + plain, i - plain);
        if (size == 0) {
            cli_add_text(b, "\\ufffd");
        } else {
            add_escaped(b, c);
        }
        plain = ++i;
    }
    cli_add(b, utf8.bytes + plain, utf8.size - plain);
    cli_add(b, "\"", 1);
}

static void add_base64(cli_buffer *b, tmk_slice s) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    cli_add(b, "\"", 1);
    for (size_t i = 0; i < s.size; i += 3) {
        size_t left = s.size - i;
        uint32_t three = (uint32_t)s.bytes[i] << 16 |
                         (left > 1 ? (uint32_t)s.bytes[i + 1] << 8 : 0) |
                         (left > 2 ? s.bytes[i + 2] : 0);
        char four[4] = {digits[three >> 18], digits[three >> 12 & 63],
                        left > 1 ? digits[three >> 6 & 63] : '=',
                        left > 2 ? digits[three & 63] : '='};
        cli_add(b, four, 4);
    }
    cli_add(b, "\"", 1);
}

static void add_time(cli_buffer *b, int64_t unix_ms) {
    int64_t ms = unix_ms % 1000 < 0 ? unix_ms % 1000 + 1000 : unix_ms % 1000;
    time_t seconds = (time_t)((unix_ms - ms) / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL) {
        cli_add_text(b, "null");
        return;
    }
    cli_addf(b, "\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)ms);
}

static void add_scalar(cli_buffer *b, const tmk_value *v);

/* Containers nest; deeper than this they are cut, so that hostile data costs no stack. */
enum { DEPTH_MAX = 8 };

static void add_value(cli_buffer *b, tmk_value *v, int depth) {
    bool map = v->kind == TMK_VALUE_MAP;
    tmk_value item;
    bool first = true;

    if (v->kind != TMK_VALUE_LIST && v->kind != TMK_VALUE_ARRAY && !map) {
        add_scalar(b, v);
        return;
    }
    if (depth == DEPTH_MAX) {
        cli_add_text(b, "null");
        return;
    }
    cli_add_text(b, map ? "{" : "[");
    while (tmk_value_next(v, &item)) {
        if (!first) {
            cli_add(b, ",", 1);
        }
        first = false;
        if (map) {
            cli_add_json(b, item.kind == TMK_VALUE_STRING || item.kind == TMK_VALUE_SYMBOL
                                ? item.bytes
                                : (tmk_slice){NULL, 0});
            cli_add(b, ":", 1);
            if (!tmk_value_next(v, &item)) {
                cli_add_text(b, "null");
                break;
            }
        }
        add_value(b, &item, depth + 1);
    }
    cli_add_text(b, map ? "}" : "]");
}

static void add_scalar(cli_buffer *b, const tmk_value *v) {
    switch (v->kind) {
    case TMK_VALUE_BOOL:
        cli_add_text(b, v->b ? "true" : "false");
        break;
    case TMK_VALUE_INT:
        cli_addf(b, "%" PRId64, v->i64);
        break;
    case TMK_VALUE_UINT:
    case TMK_VALUE_CHAR:
        cli_addf(b, "%" PRIu64, v->u64);
        break;
    case TMK_VALUE_FLOAT:
        if (isfinite(v->f64)) {
            cli_addf(b, "%.17g", v->f64);
        } else {
            cli_add_text(b, "null");
        }
        break;
    case TMK_VALUE_TIME:
        add_time(b, v->i64);
        break;
    case TMK_VALUE_STRING:
    case TMK_VALUE_SYMBOL:
        cli_add_json(b, v->bytes);
        break;
    case TMK_VALUE_UUID:
        cli_add(b, "\"", 1);
        for (size_t i = 0; i < v->bytes.size; i++) {
            cli_addf(b, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
                     v->bytes.bytes[i]);
        }
        cli_add(b, "\"", 1);
        break;
    case TMK_VALUE_BINARY:
    case TMK_VALUE_DECIMAL:
        add_base64(b, v->bytes);
        break;
    default:
        cli_add_text(b, "null");
    }
}

/* One run of bytes, perhaps an empty one. */
static bool is_plain(const tmk_event *e) {
    tmk_value part;
    size_t place = 0;

    return tmk_event_body_kind(e) == TMK_BODY_NONE || tmk_event_body(e).size > 0 ||
           (tmk_event_body_kind(e) == TMK_BODY_DATA &&
            (!tmk_event_body_next(e, &place, &part) ||
             (part.bytes.size == 0 && !tmk_event_body_next(e, &place, &part))));
}

static void add_body(cli_buffer *b, const tmk_event *e) {
    tmk_slice body = tmk_event_body(e);
    tmk_body_kind kind = tmk_event_body_kind(e);
    tmk_value part;
    size_t place = 0;

    if (is_plain(e)) {
        bool text = is_utf8(body);

        cli_add_text(b, text ? ",\"body\":" : ",\"body_base64\":");
        (text ? cli_add_json : add_base64)(b, body);
        return;
    }
    cli_add_text(b, kind == TMK_BODY_VALUE ? ",\"body\":" : ",\"body\":[");
    for (bool first = true; tmk_event_body_next(e, &place, &part); first = false) {
        if (!first) {
            cli_add(b, ",", 1);
        }
        if (part.kind == TMK_VALUE_BINARY && is_utf8(part.bytes)) {
            cli_add_json(b, part.bytes);
        } else {
            add_value(b, &part, 0);
        }
    }
    if (kind != TMK_BODY_VALUE) {
        cli_add(b, "]", 1);
    }
}

void cli_format_json(cli_buffer *b, const tmk_event *e) {
    tmk_slice offset = tmk_event_offset(e), key = tmk_event_key(e), name;
    tmk_value value;
    size_t place = 0;
    bool any = false;

    cli_addf(b,
             "{\"partition\":\"%s\",\"sequence\":%" PRId64 ",\"offset\":", tmk_event_partition(e),
             tmk_event_sequence(e));
    cli_add_json(b, offset);
    cli_add_text(b, ",\"enqueued\":");
    add_time(b, tmk_event_enqueued_ms(e));
    if (key.size > 0) {
        cli_add_text(b, ",\"key\":");
        cli_add_json(b, key);
    }
    add_body(b, e);
    while (tmk_event_property_next(e, &place, &name, &value)) {
        cli_add_text(b, any ? "," : ",\"properties\":{");
        any = true;
        cli_add_json(b, name);
        cli_add(b, ":", 1);
        add_value(b, &value, 0);
    }
    cli_add_text(b, any ? "}}\n" : "}\n");
}

void cli_format_raw(cli_buffer *b, const tmk_event *e) {
    tmk_slice body = tmk_event_body(e);

    cli_add(b, body.bytes, body.size);
    cli_add(b, "\n", 1);
}
