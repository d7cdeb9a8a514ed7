/* Taking secrets out: see the header. */
#include "auth/scrub.h"

#include "base/str.h"

enum { secret_min = 4 };

static const char stars[] = "***";

/* How much of the needle stands at text: all of it, or what fits before the end of the text. */
static size_t match(const char *text, tmk_slice needle) {
    size_t size = 0;

    while (size < needle.size && text[size] != '\0' && (uint8_t)text[size] == needle.bytes[size]) {
        size++;
    }
    return size == needle.size || (text[size] == '\0' && size >= secret_min) ? size : 0;
}

/* The stars are never longer than what they hide. */
static void scrub(char *text, tmk_slice needle) {
    char *to = text;

    while (*text != '\0') {
        size_t size = match(text, needle);

        if (size == 0) {
            *to++ = *text++;
        } else {
            memmove(to, stars, sizeof stars - 1);
            to += sizeof stars - 1;
            text += size;
        }
    }
    *to = '\0';
}

void tmk_scrub(char *text, const tmk_secret *secret) {
    tmk_slice needle = tmk_secret_bytes(secret);
    tmk_str encoded = TMK_STR_INIT;

    if (needle.size < secret_min) {
        return;
    }
    scrub(text, needle);
    if (!tmk_str_reserve(&encoded, 3 * needle.size)) {
        text[0] = '\0'; /* rather no words than a secret */
        return;
    }
    tmk_str_add_percent(&encoded, needle);
    scrub(text, tmk_str_slice(&encoded));
    tmk_str_wipe(&encoded);
}
