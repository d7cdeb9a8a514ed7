/* Percent-encoding, JSON text, base64, hex: appended to growable text. */
#include "base/str.h"

static const char hex_upper[] = "0123456789ABCDEF";
static const char hex_lower[] = "0123456789abcdef";

static bool is_alphanumeric(uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_unreserved(uint8_t c) {
    return is_alphanumeric(c) || (c != '\0' && strchr("-_.!~*'()", c) != NULL);
}

void tmk_str_add_percent(tmk_str *s, tmk_slice bytes) {
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.bytes[i];

        if (is_unreserved(c)) {
            tmk_str_add_char(s, (char)c);
        } else {
            const char escape[3] = {'%', hex_upper[c >> 4], hex_upper[c & 15]};

            tmk_str_add_slice(s, tmk_slice_of(escape, sizeof escape));
        }
    }
}

static int hex_value(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What was appended since `size` is taken back: a refused text leaves nothing behind. */
static bool take_back(tmk_str *s, size_t size) {
    s->size = size;
    if (s->text != NULL) {
        s->text[size] = '\0';
    }
    return false;
}

bool tmk_str_add_unpercent(tmk_str *s, tmk_slice text) {
    size_t before = s->size;

    for (size_t i = 0; i < text.size; i++) {
        int high = 0;
        int low = 0;

        if (text.bytes[i] != '%') {
            tmk_str_add_char(s, (char)text.bytes[i]);
            continue;
        }
        if (text.size - i < 3) {
            return take_back(s, before);
        }
        high = hex_value(text.bytes[i + 1]);
        low = hex_value(text.bytes[i + 2]);
        if (high < 0 || low < 0) {
            return take_back(s, before);
        }
        tmk_str_add_char(s, (char)(high * 16 + low));
        i += 2;
    }
    return tmk_str_ok(s);
}

static void add_json_control(tmk_str *s, uint8_t c) {
    static const char names[] = "\b\f\n\r\t";
    static const char letters[] = "bfnrt";
    const char *name = c == '\0' ? NULL : strchr(names, c);

    if (name != NULL) {
        tmk_str_add_char(s, '\\');
        tmk_str_add_char(s, letters[name - names]);
    } else {
        tmk_str_addf(s, "\\u%04x", c);
    }
}

void tmk_str_add_json(tmk_str *s, tmk_slice utf8) {
    tmk_str_add_char(s, '"');
    while (utf8.size > 0) {
        uint8_t c = utf8.bytes[0];
        size_t size = tmk_utf8_size(utf8);

        if (size == 0) {
            tmk_str_add(s, "\xef\xbf\xbd");
            size = 1;
        } else if (c < 0x20) {
            add_json_control(s, c);
        } else {
            if (c == '"' || c == '\\') {
                tmk_str_add_char(s, '\\');
            }
            tmk_str_add_slice(s, tmk_slice_of(utf8.bytes, size));
        }
        utf8 = tmk_slice_from(utf8, size);
    }
    tmk_str_add_char(s, '"');
}

static void add_base64(tmk_str *s, tmk_slice bytes, const char *alphabet, bool padded) {
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t bits = (uint32_t)bytes.bytes[i] << 16;
        char group[4] = {0};

        bits |= left > 1 ? (uint32_t)bytes.bytes[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)bytes.bytes[i + 2] : 0;
        group[0] = alphabet[bits >> 18];
        group[1] = alphabet[(bits >> 12) & 63];
        group[2] = left > 1 ? alphabet[(bits >> 6) & 63] : '=';
        group[3] = left > 2 ? alphabet[bits & 63] : '=';
        tmk_str_add_slice(s, tmk_slice_of(group, padded || left > 2 ? 4 : left + 1));
    }
}

void tmk_str_add_base64(tmk_str *s, tmk_slice bytes) {
    add_base64(s, bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true);
}

void tmk_str_add_base64url(tmk_str *s, tmk_slice bytes) {
    add_base64(s, bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false);
}

static int base64_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Padding is optional, but where it is given it must be complete. */
static bool strip_padding(tmk_slice *text) {
    size_t padding = 0;

    while (padding < 2 && text->size > 0 && text->bytes[text->size - 1] == '=') {
        text->size--;
        padding++;
    }
    return text->size % 4 != 1 && (padding == 0 || (text->size + padding) % 4 == 0);
}

bool tmk_str_add_unbase64(tmk_str *s, tmk_slice text) {
    size_t before = s->size;
    uint32_t bits = 0;

    if (!strip_padding(&text)) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        int value = base64_value(text.bytes[i]);

        if (value < 0) {
            return take_back(s, before);
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0) {
            tmk_str_add_char(s, (char)(uint8_t)(bits >> (6 - 2 * (i % 4))));
        }
    }
    return tmk_str_ok(s);
}

void tmk_str_add_hex(tmk_str *s, tmk_slice bytes) {
    for (size_t i = 0; i < bytes.size; i++) {
        tmk_str_add_char(s, hex_lower[bytes.bytes[i] >> 4]);
        tmk_str_add_char(s, hex_lower[bytes.bytes[i] & 15]);
    }
}
