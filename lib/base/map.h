/* Map from text to a pointer. Iteration is in the order of insertion, never of hashes. */
#ifndef TMK_BASE_MAP_H
#define TMK_BASE_MAP_H

#include "base/slice.h"

typedef struct tmk_map_entry {
    char *key; /* owned by the map; NULL: removed */
    void *value;
} tmk_map_entry;

typedef struct tmk_map {
    tmk_map_entry *entries; /* with holes where something was removed */
    size_t used, room, count;
    uint32_t *buckets;
    size_t bucket_count;
} tmk_map;

void tmk_map_clear(tmk_map *m, void (*free_value)(void *value)); /* free_value may be NULL */
void *tmk_map_get(const tmk_map *m, tmk_slice key);              /* NULL: absent */
/* value not NULL; *old (may be NULL) is what it replaced, or NULL. EINVAL: a NUL in the key. */
tmk_status tmk_map_put(tmk_map *m, tmk_slice key, void *value, void **old);
void *tmk_map_remove(tmk_map *m, tmk_slice key); /* the value, or NULL */
/* for (size_t i = 0; (e = tmk_map_next(m, &i)) != NULL;) */
tmk_map_entry *tmk_map_next(const tmk_map *m, size_t *place);

#endif
