/* One text, one name. */
#include "checkpoint/names.h"

void tmk_name_add(tmk_str *out, tmk_slice text) {
    bool first = text.size > 0 && text.bytes[0] == '.';
    bool last = text.size > 1 && text.bytes[text.size - 1] == '.';

    if (first) {
        tmk_str_add(out, "%2E");
        text = tmk_slice_from(text, 1);
    }
    if (last) {
        text.size--;
    }
    tmk_str_add_percent(out, text);
    if (last) {
        tmk_str_add(out, "%2E");
    }
}

bool tmk_name_text(tmk_slice name, tmk_str *text) {
    tmk_str again = TMK_STR_INIT;
    bool same;

    tmk_str_reset(text);
    if (name.size == 0 || !tmk_str_add_unpercent(text, name)) {
        return false;
    }
    tmk_name_add(&again, tmk_str_slice(text));
    same = tmk_str_ok(&again) && tmk_slice_eq(tmk_str_slice(&again), name);
    text->failed = text->failed || again.failed;
    tmk_str_clear(&again);
    return same && memchr(text->text, '\0', text->size) == NULL;
}

void tmk_lower_add(tmk_str *out, tmk_slice text) {
    for (size_t i = 0; i < text.size; i++) {
        char c = (char)text.bytes[i];
        tmk_str_add_char(out, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
}
