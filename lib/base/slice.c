/* Views of bytes: comparing, cutting, numbers, UTF-8. Pure, allocates only in tmk_slice_dup(). */
#include "base/slice.h"

#include "base/alloc.h"

bool tmk_slice_eq(tmk_slice a, tmk_slice b) {
    if (a.size != b.size) {
        return false;
    }
    return a.size == 0 || a.bytes == b.bytes ||
           (a.bytes != NULL && b.bytes != NULL && memcmp(a.bytes, b.bytes, a.size) == 0);
}

static uint8_t lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

bool tmk_slice_eq_nocase(tmk_slice a, tmk_slice b) {
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (lower(a.bytes[i]) != lower(b.bytes[i])) {
            return false;
        }
    }
    return true;
}

bool tmk_slice_starts(tmk_slice s, tmk_slice prefix) {
    return s.size >= prefix.size && tmk_slice_eq(tmk_slice_of(s.bytes, prefix.size), prefix);
}

bool tmk_slice_ends(tmk_slice s, tmk_slice suffix) {
    return s.size >= suffix.size && tmk_slice_eq(tmk_slice_from(s, s.size - suffix.size), suffix);
}

static bool is_blank(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

tmk_slice tmk_slice_trim(tmk_slice s) {
    while (s.size > 0 && is_blank(s.bytes[0])) {
        s = tmk_slice_from(s, 1);
    }
    while (s.size > 0 && is_blank(s.bytes[s.size - 1])) {
        s.size--;
    }
    return s;
}

tmk_slice tmk_slice_cut(tmk_slice *rest, char separator, bool *found) {
    tmk_slice before = *rest;
    const uint8_t *at = rest->size == 0 ? NULL : memchr(rest->bytes, separator, rest->size);

    if (at == NULL) {
        *rest = tmk_slice_from(*rest, rest->size);
    } else {
        before.size = (size_t)(at - rest->bytes);
        *rest = tmk_slice_from(*rest, before.size + 1);
    }
    if (found != NULL) {
        *found = at != NULL;
    }
    return before;
}

bool tmk_slice_uint64(tmk_slice s, uint64_t *out) {
    uint64_t value = 0;

    if (s.size > 0 && s.bytes[0] == '+') {
        s = tmk_slice_from(s, 1);
    }
    if (s.size == 0) {
        return false;
    }
    for (size_t i = 0; i < s.size; i++) {
        uint8_t c = s.bytes[i];

        if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

bool tmk_slice_int64(tmk_slice s, int64_t *out) {
    const uint64_t lowest = (uint64_t)INT64_MAX + 1; /* its magnitude */
    uint64_t value = 0;

    if (s.size > 1 && s.bytes[0] == '-' && s.bytes[1] != '+') {
        if (!tmk_slice_uint64(tmk_slice_from(s, 1), &value) || value > lowest) {
            return false;
        }
        *out = value == lowest ? INT64_MIN : -(int64_t)value;
        return true;
    }
    if (!tmk_slice_uint64(s, &value) || value > INT64_MAX) {
        return false;
    }
    *out = (int64_t)value;
    return true;
}

char *tmk_slice_dup(tmk_slice s) {
    char *copy = NULL;

    if (s.size == SIZE_MAX) {
        return NULL;
    }
    copy = tmk_alloc(s.size + 1);
    if (copy != NULL) {
        if (s.size > 0) {
            memcpy(copy, s.bytes, s.size);
        }
        copy[s.size] = '\0';
    }
    return copy;
}

/* The lowest and highest second byte that may follow a first byte: no overlong forms, no
 * surrogates, nothing above U+10FFFF. */
static void second_byte_range(uint8_t first, uint8_t *low, uint8_t *high) {
    *low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    *high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
}

size_t tmk_utf8_size(tmk_slice s) {
    uint8_t first = s.size == 0 ? 0xff : s.bytes[0];
    size_t size = first < 0x80                     ? 1
                  : first >= 0xc2 && first <= 0xdf ? 2
                  : first >= 0xe0 && first <= 0xef ? 3
                  : first >= 0xf0 && first <= 0xf4 ? 4
                                                   : 0;
    uint8_t low = 0;
    uint8_t high = 0;

    if (size > s.size) {
        return 0;
    }
    second_byte_range(first, &low, &high);
    for (size_t i = 1; i < size; i++) {
        if (s.bytes[i] < low || s.bytes[i] > high) {
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return size;
}

bool tmk_slice_is_utf8(tmk_slice s) {
    while (s.size > 0) {
        size_t size = tmk_utf8_size(s);

        if (size == 0) {
            return false;
        }
        s = tmk_slice_from(s, size);
    }
    return true;
}
