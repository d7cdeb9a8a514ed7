/* The table of members. */
#include "core/view.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* So many departed ids are remembered; about one forgotten too early the store is asked again. */
#define DEPARTED_MAX 2048

void tmk_view_init(tmk_view *v) {
    *v = (tmk_view){.asked = -1};
}

void tmk_view_clear(tmk_view *v) {
    tmk_free(v->members);
    tmk_free(v->spare);
    tmk_map_clear(&v->departed, NULL);
    tmk_view_init(v);
}

static int by_id(const void *a, const void *b) {
    return strcmp(((const tmk_view_member *)a)->id, ((const tmk_view_member *)b)->id);
}

static tmk_status reserve_spare(tmk_view *v, size_t count) {
    tmk_view_member *spare = NULL;

    if (count <= v->spare_room) {
        return TMK_OK;
    }
    spare = tmk_resize(v->spare, count + 4, sizeof *spare);
    if (spare == NULL) {
        return TMK_ENOMEM;
    }
    v->spare = spare;
    v->spare_room = count + 4;
    return TMK_OK;
}

/* False where the record cannot be one of ours. */
static bool read_member(const tmk_member_record *record, tmk_view_member *out) {
    size_t size = record->id == NULL ? 0 : strlen(record->id);

    if (size == 0 || size >= TMK_FLEET_ID_ROOM) {
        return false;
    }
    memset(out, 0, sizeof *out);
    memcpy(out->id, record->id, size + 1);
    tmk_member_text_read(record->body, &out->text);
    out->age_ms = record->age_ms;
    out->alive = record->alive;
    out->evicted = record->evicted;
    out->gone = record->gone && !record->alive;
    return true;
}

static size_t read_members(tmk_view *v, const tmk_member_record *members, size_t count) {
    size_t used = 0, kept = 0;
    bool sorted = true;

    for (size_t i = 0; i < count; i++) {
        if (read_member(&members[i], &v->spare[used])) {
            sorted = sorted && (used == 0 || by_id(&v->spare[used - 1], &v->spare[used]) < 0);
            used++;
        }
    }
    if (sorted) {
        return used;
    }
    qsort(v->spare, used, sizeof *v->spare, by_id);
    for (size_t i = 0; i < used; i++) {
        if (kept == 0 || by_id(&v->spare[kept - 1], &v->spare[i]) != 0) {
            v->spare[kept++] = v->spare[i];
        }
    }
    return kept;
}

static void remember(tmk_view_member *now, const tmk_view_member *before) {
    now->planned = before->planned;
    now->condemned = before->condemned;
    now->asking = before->asking;
    now->ring = before->ring;
    now->ringing = before->ringing;
    now->evicted = now->evicted || before->evicted;
}

tmk_status tmk_view_take(tmk_view *v, const tmk_member_record *members, size_t count,
                         tmk_time asked) {
    tmk_view_member *old = v->members;
    size_t old_count = v->count, old_room = v->room, before = 0;

    if (count > TMK_VIEW_MEMBERS_MAX) {
        return TMK_ELIMIT;
    }
    if (reserve_spare(v, count) < 0) {
        return TMK_ENOMEM;
    }
    v->count = read_members(v, members, count);
    v->members = v->spare;
    v->room = v->spare_room;
    v->spare = old;
    v->spare_room = old_room;
    v->asked = asked;

    for (size_t i = 0; i < v->count; i++) {
        tmk_view_member *m = &v->members[i];

        while (before < old_count && by_id(&old[before], m) < 0) {
            before++;
        }
        if (before < old_count && by_id(&old[before], m) == 0) {
            remember(m, &old[before]);
        }
        m->evicted = m->evicted || tmk_view_departed(v, m->id);
    }
    return TMK_OK;
}

tmk_view_member *tmk_view_find(const tmk_view *v, const char *id) {
    size_t low = 0, high = v->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(v->members[middle].id, id);

        if (order == 0) {
            return &v->members[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

void tmk_view_depart(tmk_view *v, const char *id) {
    static char departed; /* any address that is not NULL */
    tmk_view_member *m = tmk_view_find(v, id);
    size_t oldest = 0;

    if (m != NULL) {
        m->evicted = true;
        m->condemned = false;
    }
    if (v->departed.count >= DEPARTED_MAX) {
        tmk_map_entry *e = tmk_map_next(&v->departed, &oldest);

        (void)tmk_map_remove(&v->departed, tmk_slice_str(e->key));
    }
    (void)tmk_map_put(&v->departed, tmk_slice_str(id), &departed, NULL);
}

bool tmk_view_departed(const tmk_view *v, const char *id) {
    const tmk_view_member *m = NULL;

    if (id[0] == '\0') {
        return true;
    }
    m = tmk_view_find(v, id);
    return (m != NULL && m->evicted) || tmk_map_get(&v->departed, tmk_slice_str(id)) != NULL;
}
