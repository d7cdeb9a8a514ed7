/*
 * Metadata of a blob: short texts under names, as headers and as elements of a
 * list. Names are kept in lower case, since other SDKs and proxies change it.
 * Pure.
 */
#ifndef TMK_CHECKPOINT_BLOB_META_H
#define TMK_CHECKPOINT_BLOB_META_H

#include "base/str.h"

typedef struct tmk_blob_meta {
    tmk_str text; /* name, NUL, value, NUL, again and again */
} tmk_blob_meta;

void tmk_blob_meta_clear(tmk_blob_meta *m);
void tmk_blob_meta_reset(tmk_blob_meta *m);
/* Sticky failure, as that of tmk_str; a value with a NUL ends there. */
void tmk_blob_meta_add(tmk_blob_meta *m, tmk_slice name, tmk_slice value);
const char *tmk_blob_meta_get(const tmk_blob_meta *m, const char *name); /* NULL: none */
bool tmk_blob_meta_next(const tmk_blob_meta *m, size_t *place, const char **name,
                        const char **value);

bool tmk_blob_meta_equal(const tmk_blob_meta *a, const tmk_blob_meta *b); /* in any order */

#endif
