/* See log.h. Chunks hold about a megabyte each, and go as a whole when they are cut off. */
#include "hub/log.h"

#include "base/alloc.h"
#include "base/assert.h"

enum { CHUNK_MIN = 16 << 10, CHUNK_MAX = 1 << 20, OFFSET_STEP = 8 };

static tmk_hub_chunk *chunk_free(tmk_hub_chunk *c) {
    if (c != NULL) {
        tmk_free(c->entries);
        tmk_free(c->bytes);
        tmk_free(c);
    }
    return NULL;
}

void tmk_hub_log_init(tmk_hub_log *log) {
    memset(log, 0, sizeof *log);
    log->last_offset = -1;
}

void tmk_hub_log_clear(tmk_hub_log *log) {
    for (size_t i = 0; i < log->chunk_count; i++) {
        log->chunks[i] = chunk_free(log->chunks[i]);
    }
    tmk_free(log->chunks);
    tmk_hub_log_init(log);
}

void tmk_hub_log_restart(tmk_hub_log *log, int64_t sequence, int64_t offset, int64_t last_offset,
                         int64_t last_ms) {
    tmk_hub_log_clear(log);
    log->begin = log->visible = log->end = sequence;
    log->offset_next = offset;
    log->last_offset = last_offset;
    log->last_ms = last_ms;
}

/* ---- appending ---- */

static tmk_status new_chunk(tmk_hub_log *log, size_t size) {
    tmk_hub_chunk *c = NULL;

    if (log->chunk_count == log->chunk_room) {
        size_t room = log->chunk_room == 0 ? 8 : 2 * log->chunk_room;
        tmk_hub_chunk **chunks = tmk_resize(log->chunks, room, sizeof *chunks);
        if (chunks == NULL) {
            return TMK_ENOMEM;
        }
        log->chunks = chunks;
        log->chunk_room = room;
    }
    c = tmk_new(tmk_hub_chunk);
    if (c == NULL) {
        return TMK_ENOMEM;
    }
    c->bytes_room = (uint32_t)(size > CHUNK_MIN ? size : CHUNK_MIN);
    c->bytes = tmk_alloc(c->bytes_room);
    if (c->bytes == NULL) {
        chunk_free(c);
        return TMK_ENOMEM;
    }
    c->first = log->end;
    log->chunks[log->chunk_count++] = c;
    return TMK_OK;
}

static tmk_status grow_bytes(tmk_hub_chunk *c, size_t size) {
    size_t room = c->bytes_room;
    uint8_t *bytes;

    while (room - c->size < size) {
        room *= 2;
    }
    if (room != c->bytes_room) {
        bytes = tmk_resize(c->bytes, room, 1);
        if (bytes == NULL) {
            return TMK_ENOMEM;
        }
        c->bytes = bytes;
        c->bytes_room = (uint32_t)room;
    }
    return TMK_OK;
}

static tmk_status grow_entries(tmk_hub_chunk *c) {
    uint32_t room = c->room == 0 ? 32 : 2 * c->room;
    tmk_hub_entry *entries;

    if (c->count < c->room) {
        return TMK_OK;
    }
    entries = tmk_resize(c->entries, room, sizeof *entries);
    if (entries == NULL) {
        return TMK_ENOMEM;
    }
    c->entries = entries;
    c->room = room;
    return TMK_OK;
}

/* A chunk at the end with room for one more event of this size. */
static tmk_hub_chunk *chunk_for(tmk_hub_log *log, size_t size) {
    tmk_hub_chunk *c = log->chunk_count == 0 ? NULL : log->chunks[log->chunk_count - 1];

    if (c == NULL || c->size + size > CHUNK_MAX) {
        if (new_chunk(log, size) < 0) {
            return NULL;
        }
        c = log->chunks[log->chunk_count - 1];
    }
    return grow_bytes(c, size) < 0 || grow_entries(c) < 0 ? NULL : c;
}

tmk_status tmk_hub_log_append(tmk_hub_log *log, tmk_slice event, size_t header_size,
                              int64_t enqueued_ms) {
    tmk_hub_chunk *c = NULL;
    tmk_hub_entry *e = NULL;

    tmk_assert(event.size > 0 && event.size < UINT32_MAX / 4 && header_size <= event.size);
    c = chunk_for(log, event.size);
    if (c == NULL) {
        return TMK_ENOMEM;
    }
    e = &c->entries[c->count++];
    e->offset = log->offset_next;
    e->enqueued_ms = enqueued_ms;
    e->at = c->size;
    e->size = (uint32_t)event.size;
    e->header_size = (uint32_t)header_size;
    memcpy(c->bytes + c->size, event.bytes, event.size);
    c->size += (uint32_t)event.size;
    log->end++;
    log->bytes += event.size;
    log->offset_next += (int64_t)((event.size + OFFSET_STEP - 1) / OFFSET_STEP * OFFSET_STEP);
    return TMK_OK;
}

/* ---- finding ---- */

static size_t chunk_of(const tmk_hub_log *log, int64_t sequence) {
    size_t low = 0, high = log->chunk_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->chunks[middle]->first <= sequence) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static const tmk_hub_entry *entry_of(const tmk_hub_log *log, int64_t sequence) {
    const tmk_hub_chunk *c = log->chunks[chunk_of(log, sequence)];

    return &c->entries[sequence - c->first];
}

const tmk_hub_chunk *tmk_hub_log_find(const tmk_hub_log *log, int64_t sequence,
                                      const tmk_hub_entry **out, uint32_t *count) {
    const tmk_hub_chunk *c = NULL;
    int64_t stop;

    if (sequence < log->begin || sequence >= log->visible) {
        return NULL;
    }
    c = log->chunks[chunk_of(log, sequence)];
    stop = c->first + c->count < log->visible ? c->first + c->count : log->visible;
    *out = &c->entries[sequence - c->first];
    *count = (uint32_t)(stop - sequence);
    return c;
}

const uint8_t *tmk_hub_log_event(const tmk_hub_log *log, int64_t sequence,
                                 const tmk_hub_entry **out) {
    const tmk_hub_chunk *c = log->chunks[chunk_of(log, sequence)];

    tmk_assert(sequence >= log->begin && sequence < log->end);
    *out = &c->entries[sequence - c->first];
    return c->bytes + (*out)->at;
}

/* The first visible event for which the number at `field` is beyond `bound`. */
static int64_t seek(const tmk_hub_log *log, int64_t bound, bool inclusive, size_t field) {
    int64_t low = log->begin, high = log->visible;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int64_t is = 0;
        memcpy(&is, (const char *)entry_of(log, middle) + field, sizeof is);
        if (is > bound || (inclusive && is == bound)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

int64_t tmk_hub_log_seek_offset(const tmk_hub_log *log, int64_t offset, bool inclusive) {
    return seek(log, offset, inclusive, offsetof(tmk_hub_entry, offset));
}

int64_t tmk_hub_log_seek_time(const tmk_hub_log *log, int64_t ms, bool inclusive) {
    return seek(log, ms, inclusive, offsetof(tmk_hub_entry, enqueued_ms));
}

/* ---- showing, forgetting ---- */

void tmk_hub_log_show(tmk_hub_log *log, int64_t end) {
    if (end > log->visible) {
        const tmk_hub_entry *last;
        tmk_assert(end <= log->end);
        last = entry_of(log, end - 1);
        log->visible = end;
        log->last_offset = last->offset;
        log->last_ms = last->enqueued_ms;
    }
}

void tmk_hub_log_drop_from(tmk_hub_log *log, int64_t from) {
    tmk_assert(from >= log->visible);
    while (log->end > from) {
        tmk_hub_chunk *c = log->chunks[log->chunk_count - 1];
        if (c->count == 0) {
            log->chunks[--log->chunk_count] = chunk_free(c);
            continue;
        }
        c->count--;
        log->end--;
        c->size = c->entries[c->count].at;
        log->offset_next = c->entries[c->count].offset;
        log->bytes -= c->entries[c->count].size;
    }
}

void tmk_hub_log_cut(tmk_hub_log *log, int64_t begin) {
    size_t gone = 0;

    begin = begin < log->visible ? begin : log->visible;
    for (int64_t s = log->begin; s < begin; s++) {
        log->bytes -= entry_of(log, s)->size;
    }
    if (begin > log->begin) {
        log->begin = begin;
    }
    while (gone < log->chunk_count &&
           log->chunks[gone]->first + log->chunks[gone]->count <= log->begin) {
        chunk_free(log->chunks[gone++]);
    }
    if (gone > 0) {
        log->chunk_count -= gone;
        memmove(log->chunks, log->chunks + gone, log->chunk_count * sizeof(tmk_hub_chunk *));
    }
}

int64_t tmk_hub_log_retain(tmk_hub_log *log, int64_t oldest_ms, uint64_t bytes_max) {
    int64_t before = log->begin;
    int64_t begin = tmk_hub_log_seek_time(log, oldest_ms, true);
    uint64_t bytes = log->bytes;

    for (int64_t s = log->begin; s < log->visible && (s < begin || bytes > bytes_max); s++) {
        bytes -= entry_of(log, s)->size;
        begin = s + 1 > begin ? s + 1 : begin;
    }
    tmk_hub_log_cut(log, begin);
    return log->begin - before;
}
