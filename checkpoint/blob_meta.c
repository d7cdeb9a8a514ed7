/* Names and values, one behind the other. */
#include "checkpoint/blob_meta.h"

#include "checkpoint/names.h"

void tmk_blob_meta_clear(tmk_blob_meta *m) {
    tmk_str_clear(&m->text);
}

void tmk_blob_meta_reset(tmk_blob_meta *m) {
    tmk_str_reset(&m->text);
}

static tmk_slice before_nul(tmk_slice s) {
    bool found;

    return tmk_slice_cut(&s, '\0', &found);
}

void tmk_blob_meta_add(tmk_blob_meta *m, tmk_slice name, tmk_slice value) {
    tmk_lower_add(&m->text, before_nul(name));
    tmk_str_add_char(&m->text, '\0');
    tmk_str_add_slice(&m->text, before_nul(value));
    tmk_str_add_char(&m->text, '\0');
}

bool tmk_blob_meta_next(const tmk_blob_meta *m, size_t *place, const char **name,
                        const char **value) {
    if (m->text.failed || *place >= m->text.size) {
        return false;
    }
    *name = m->text.text + *place;
    *place += strlen(*name) + 1;
    *value = m->text.text + *place;
    *place += strlen(*value) + 1;
    return true;
}

const char *tmk_blob_meta_get(const tmk_blob_meta *m, const char *name) {
    const char *at, *value;

    for (size_t i = 0; tmk_blob_meta_next(m, &i, &at, &value);) {
        if (strcmp(at, name) == 0) {
            return value;
        }
    }
    return NULL;
}

static bool has_all(const tmk_blob_meta *a, const tmk_blob_meta *b) {
    const char *name, *value;

    for (size_t i = 0; tmk_blob_meta_next(b, &i, &name, &value);) {
        const char *other = tmk_blob_meta_get(a, name);
        if (other == NULL || strcmp(other, value) != 0) {
            return false;
        }
    }
    return true;
}

bool tmk_blob_meta_equal(const tmk_blob_meta *a, const tmk_blob_meta *b) {
    return has_all(a, b) && has_all(b, a);
}
