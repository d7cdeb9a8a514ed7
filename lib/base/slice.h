/* A view of bytes that somebody else owns. */
#ifndef TMK_BASE_SLICE_H
#define TMK_BASE_SLICE_H

#include <tidemark/event.h>

#include <string.h>

/* tmk_slice itself is public: see tidemark/event.h. */

static inline tmk_slice tmk_slice_of(const void *bytes, size_t size) {
    tmk_slice s = {(const uint8_t *)bytes, size};
    return s;
}

static inline tmk_slice tmk_slice_str(const char *text) {
    return tmk_slice_of(text, text == NULL ? 0 : strlen(text));
}

/* Empty past the end. */
static inline tmk_slice tmk_slice_from(tmk_slice s, size_t offset) {
    if (s.size == 0) {
        return s; /* it may have no bytes to point into */
    }
    if (offset > s.size) {
        offset = s.size;
    }
    return tmk_slice_of(s.bytes + offset, s.size - offset);
}

#define TMK_LIT(literal) tmk_slice_of("" literal, sizeof(literal) - 1)

bool tmk_slice_eq(tmk_slice a, tmk_slice b);
bool tmk_slice_eq_nocase(tmk_slice a, tmk_slice b); /* ASCII */
bool tmk_slice_starts(tmk_slice s, tmk_slice prefix);
bool tmk_slice_ends(tmk_slice s, tmk_slice suffix);
tmk_slice tmk_slice_trim(tmk_slice s); /* blanks, tabs, line ends */
/* Cuts *rest at the first separator: returns what is before, *rest is what is after. */
tmk_slice tmk_slice_cut(tmk_slice *rest, char separator, bool *found);
/* Decimal with optional sign, whole slice, no blanks; false on overflow or anything else. */
bool tmk_slice_int64(tmk_slice s, int64_t *out);
bool tmk_slice_uint64(tmk_slice s, uint64_t *out);
char *tmk_slice_dup(tmk_slice s); /* NUL-terminated copy; NULL when out of memory */
bool tmk_slice_is_utf8(tmk_slice s);
size_t tmk_utf8_size(tmk_slice s); /* of the first character; 0: not UTF-8, or there is none */

#endif
