/*
 * What a member says of itself, from a record that anybody may have written.
 * Oracle: what is read stays within its bounds and is one word where it is shown;
 * written and read again it is the same; tokens have the form of tokens.
 */
#include "core/member_text.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check(const tmk_member_text *t) {
    tmk_assert(t->weight <= TMK_FLEET_WEIGHT_MAX && t->load <= 1000);
    tmk_assert(strlen(t->host) <= TMK_FLEET_NAME_MAX && strpbrk(t->host, " \r\n\t") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = tmk_alloc(size + 1);
    char again[TMK_MEMBER_TEXT_ROOM], token[37];
    tmk_member_text t, same;

    if (text == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    tmk_member_text_read(text, &t);
    check(&t);
    tmk_member_text_write(&t, again);
    tmk_assert(strlen(again) < sizeof again - 1);
    tmk_member_text_read(again, &same);
    tmk_assert(same.state == t.state && same.weight == t.weight && same.most == t.most &&
               same.load == t.load && same.view == t.view && strcmp(same.host, t.host) == 0);
    tmk_member_token(text, t.host, (int64_t)size, token);
    tmk_assert(strlen(token) == 36 && strspn(token, "0123456789abcdef-") == 36);
    tmk_free(text);
    return 0;
}
