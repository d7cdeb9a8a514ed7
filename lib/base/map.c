/*
 * Entries lie in one array in the order of insertion; the buckets hold their
 * place + 1 (0: free), with linear probing. A removed entry keeps its place
 * until the next rebuild, so nobody's iteration is disturbed by a removal.
 */
#include "base/map.h"

#include "base/alloc.h"
#include "base/assert.h"

/* FNV-1a with a last stir, as the low bits choose the bucket. */
static size_t hash(tmk_slice key) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < key.size; i++) {
        h = (h ^ key.bytes[i]) * UINT64_C(0x100000001b3);
    }
    return (size_t)(h ^ (h >> 32));
}

void tmk_map_clear(tmk_map *m, void (*free_value)(void *value)) {
    for (size_t i = 0; i < m->used; i++) {
        if (m->entries[i].key != NULL && free_value != NULL) {
            free_value(m->entries[i].value);
        }
        tmk_free(m->entries[i].key);
    }
    tmk_free(m->entries);
    tmk_free(m->buckets);
    *m = (tmk_map){0};
}

static tmk_map_entry *find(const tmk_map *m, tmk_slice key) {
    if (m->count == 0) {
        return NULL;
    }
    for (size_t b = hash(key);; b++) {
        uint32_t place = m->buckets[b & (m->bucket_count - 1)];
        tmk_map_entry *e = NULL;

        if (place == 0) {
            return NULL;
        }
        e = &m->entries[place - 1];
        if (e->key != NULL && tmk_slice_eq(tmk_slice_str(e->key), key)) {
            return e;
        }
    }
}

static void link_bucket(uint32_t *buckets, size_t bucket_count, tmk_slice key, size_t place) {
    size_t b = hash(key);

    while (buckets[b & (bucket_count - 1)] != 0) {
        b++;
    }
    buckets[b & (bucket_count - 1)] = (uint32_t)(place + 1);
}

/* New arrays for twice what lives now, without the holes. */
static tmk_status rebuild(tmk_map *m) {
    size_t room = m->count < 8 ? 16 : m->count * 2;
    size_t bucket_count = 32;
    size_t used = 0;
    tmk_map_entry *entries = NULL;
    uint32_t *buckets = NULL;

    if (room >= UINT32_MAX) {
        return TMK_ELIMIT;
    }
    while (bucket_count < room * 2) {
        bucket_count *= 2;
    }
    entries = tmk_alloc_zero(room, sizeof *entries);
    buckets = tmk_alloc_zero(bucket_count, sizeof *buckets);
    if (entries == NULL || buckets == NULL) {
        tmk_free(entries);
        tmk_free(buckets);
        return TMK_ENOMEM;
    }
    for (size_t i = 0; i < m->used; i++) {
        if (m->entries[i].key != NULL) {
            entries[used] = m->entries[i];
            link_bucket(buckets, bucket_count, tmk_slice_str(entries[used].key), used);
            used++;
        }
    }
    tmk_free(m->entries);
    tmk_free(m->buckets);
    m->entries = entries;
    m->buckets = buckets;
    m->bucket_count = bucket_count;
    m->room = room;
    m->used = used;
    return TMK_OK;
}

void *tmk_map_get(const tmk_map *m, tmk_slice key) {
    tmk_map_entry *e = find(m, key);

    return e == NULL ? NULL : e->value;
}

tmk_status tmk_map_put(tmk_map *m, tmk_slice key, void *value, void **old) {
    tmk_map_entry *e = find(m, key);
    tmk_status st = TMK_OK;
    char *copy = NULL;

    tmk_assert(value != NULL);
    if (e != NULL) {
        if (old != NULL) {
            *old = e->value;
        }
        e->value = value;
        return TMK_OK;
    }
    if (key.size > 0 && memchr(key.bytes, '\0', key.size) != NULL) {
        return TMK_EINVAL;
    }
    if (m->used == m->room && (st = rebuild(m)) < 0) {
        return st;
    }
    copy = tmk_slice_dup(key);
    if (copy == NULL) {
        return TMK_ENOMEM;
    }
    link_bucket(m->buckets, m->bucket_count, key, m->used);
    m->entries[m->used++] = (tmk_map_entry){copy, value};
    m->count++;
    if (old != NULL) {
        *old = NULL;
    }
    return TMK_OK;
}

void *tmk_map_remove(tmk_map *m, tmk_slice key) {
    tmk_map_entry *e = find(m, key);
    void *value = NULL;

    if (e == NULL) {
        return NULL;
    }
    value = e->value;
    tmk_free(e->key);
    *e = (tmk_map_entry){NULL, NULL};
    m->count--;
    return value;
}

tmk_map_entry *tmk_map_next(const tmk_map *m, size_t *place) {
    while (*place < m->used) {
        tmk_map_entry *e = &m->entries[(*place)++];

        if (e->key != NULL) {
            return e;
        }
    }
    return NULL;
}
