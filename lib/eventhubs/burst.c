/*
 * Bursts and their pool. See burst.h.
 *
 * A burst owns its two blocks (bytes, events) and keeps them while it waits in
 * the pool, so a warm pool needs no memory. The pool counts the bursts that
 * are out; after tmk_burst_pool_free() the last one that comes back takes the
 * pool with it.
 */
#include "eventhubs/burst.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "base/thread.h"

enum { LOCK_RANK = 90, BYTES_MIN = 16 * 1024, EVENTS_MIN = 64 };

struct tmk_burst_pool {
    tmk_mutex lock; /* guards what follows */
    tmk_list free;  /* the last one back is the first to go out again: its memory is warm */
    size_t free_bytes, keep_bytes;
    size_t out;
    bool closed;
    /* The thread that fills: what bursts have come to lately. One that must grow grows to that at
     * once: what is moved while it grows is a good part of the work for it. */
    size_t usual_bytes;
    uint32_t usual_events;
};

/* What a burst holds on to while it is free. */
static size_t weight(const tmk_burst *b) {
    return sizeof *b + b->room + b->event_room * sizeof *b->events;
}

static void burst_free(tmk_burst *b) {
    tmk_free(b->bytes);
    tmk_free(b->events);
    tmk_free(b);
}

tmk_status tmk_burst_pool_new(size_t keep_bytes, tmk_burst_pool **out, tmk_error *err) {
    tmk_burst_pool *pool = tmk_new(tmk_burst_pool);
    tmk_status st;

    if (pool == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "burst", "no memory for a pool of events");
    }
    st = tmk_mutex_init(&pool->lock, LOCK_RANK, err);
    if (st < 0) {
        tmk_free(pool);
        return st;
    }
    tmk_list_init(&pool->free);
    pool->keep_bytes = keep_bytes;
    *out = pool;
    return TMK_OK;
}

static void pool_destroy(tmk_burst_pool *pool) {
    tmk_list *node;

    while ((node = tmk_list_pop_front(&pool->free)) != NULL) {
        burst_free(tmk_container_of(node, tmk_burst, node));
    }
    tmk_mutex_clear(&pool->lock);
    tmk_free(pool);
}

tmk_burst_pool *tmk_burst_pool_free(tmk_burst_pool *pool) {
    bool last;

    if (pool == NULL) {
        return NULL;
    }
    tmk_mutex_lock(&pool->lock);
    tmk_assert(!pool->closed);
    pool->closed = true;
    last = pool->out == 0;
    tmk_mutex_unlock(&pool->lock);
    if (last) {
        pool_destroy(pool);
    }
    return NULL;
}

tmk_burst *tmk_burst_take(tmk_burst_pool *pool, const char *partition) {
    tmk_burst *b = NULL;
    tmk_list *node;

    tmk_mutex_lock(&pool->lock);
    tmk_assert(!pool->closed);
    node = tmk_list_pop_front(&pool->free);
    if (node != NULL) {
        b = tmk_container_of(node, tmk_burst, node);
        pool->free_bytes -= weight(b);
    }
    pool->out++;
    tmk_mutex_unlock(&pool->lock);

    if (b == NULL && (b = tmk_new(tmk_burst)) == NULL) {
        tmk_mutex_lock(&pool->lock);
        pool->out--;
        tmk_mutex_unlock(&pool->lock);
        return NULL;
    }
    b->pool = pool;
    b->references = 1;
    b->partition = partition;
    return b;
}

/* Empties it, keeping its blocks. */
static void reset(tmk_burst *b) {
    b->count = 0;
    b->size = 0;
    b->partition = NULL;
    memset(&b->last, 0, sizeof b->last);
}

static void give_back(tmk_burst *b) {
    tmk_burst_pool *pool = b->pool;
    size_t bytes;
    bool keep, last;

    reset(b);
    bytes = weight(b);
    tmk_mutex_lock(&pool->lock);
    keep = !pool->closed && pool->free_bytes + bytes <= pool->keep_bytes;
    if (keep) {
        pool->free_bytes += bytes;
        tmk_list_push_front(&pool->free, &b->node);
    }
    pool->out--;
    last = pool->closed && pool->out == 0;
    tmk_mutex_unlock(&pool->lock);
    if (!keep) {
        burst_free(b);
    }
    if (last) {
        pool_destroy(pool);
    }
}

void tmk_burst_ref(tmk_burst *b) {
    tmk_assert(__atomic_fetch_add(&b->references, 1, __ATOMIC_RELAXED) > 0);
}

void tmk_burst_drop(tmk_burst *b) {
    int before;

    if (b == NULL) {
        return;
    }
    before = __atomic_fetch_sub(&b->references, 1, __ATOMIC_ACQ_REL);
    tmk_assert(before > 0);
    if (before == 1) {
        give_back(b);
    }
}

/* ---- filling ---- */

/* Up with each that is larger, down by and by. */
static size_t follow(size_t usual, size_t now) {
    return now > usual ? now : usual - (usual - now) / 8;
}

tmk_status tmk_burst_reserve(tmk_burst *b, size_t size, uint8_t **at) {
    size_t needed, room;
    uint8_t *bytes;

    if (size > UINT32_MAX || __builtin_add_overflow(b->size, size, &needed)) {
        return TMK_ENOMEM;
    }
    if (needed > b->room) {
        room = b->room + b->room / 2;
        room = room < BYTES_MIN ? BYTES_MIN : room;
        room = room < b->pool->usual_bytes ? b->pool->usual_bytes : room;
        room = room < needed ? needed : room;
        bytes = tmk_resize(b->bytes, room, 1);
        if (bytes == NULL) {
            return TMK_ENOMEM;
        }
        b->bytes = bytes;
        b->room = room;
    }
    *at = b->bytes + b->size;
    return TMK_OK;
}

static tmk_status grow_events(tmk_burst *b, tmk_error *err) {
    uint32_t room = b->event_room + b->event_room / 2;
    tmk_event *events;

    if (b->count < b->event_room) {
        return TMK_OK;
    }
    room = room < EVENTS_MIN ? EVENTS_MIN : room;
    room = room < b->pool->usual_events ? b->pool->usual_events : room;
    events = tmk_resize(b->events, room, sizeof *events);
    if (events == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "burst", "no memory for %u events", room);
    }
    b->events = events;
    b->event_room = room;
    return TMK_OK;
}

static uint32_t place(tmk_slice part, tmk_slice message) {
    return part.size == 0 ? 0 : (uint32_t)(part.bytes - message.bytes);
}

static void note_last(tmk_burst *b, tmk_slice delivery_annotations) {
    tmk_last_enqueued last;

    if (tmk_scan_last_enqueued(delivery_annotations, &last) && last.present) {
        b->last = last;
        b->last_offset_at = last.offset.size == 0 ? 0 : (size_t)(last.offset.bytes - b->bytes);
    }
}

/* Why a message is no event. */
__attribute__((noinline)) static tmk_status refuse(tmk_slice message, tmk_error *err) {
    tmk_sections s;

    if (!tmk_scan_message(message, &s)) {
        return tmk_fail(err, TMK_EPROTO, "amqp", "an event of %zu bytes is no encoded message",
                        message.size);
    }
    return tmk_fail(err, TMK_EPROTO, "amqp",
                    "an event of %zu bytes has no usable sequence number, offset and key",
                    message.size);
}

tmk_status tmk_burst_add(tmk_burst *b, size_t size, tmk_error *err) {
    tmk_slice message;
    tmk_event_parts p;
    tmk_status st;

    tmk_assert(size <= b->room - b->size);
    message = tmk_slice_of(b->bytes + b->size, size);
    if (!tmk_scan_event(message, &p) || p.marks.sequence < 0 || p.marks.offset.size > UINT16_MAX ||
        p.marks.key.size > UINT16_MAX) {
        return refuse(message, err);
    }
    st = grow_events(b, err);
    if (st < 0) {
        return st;
    }
    b->events[b->count++] = (tmk_event){
        .burst = b,
        .sequence = p.marks.sequence,
        .enqueued_ms = p.marks.enqueued_ms,
        .message_size = (uint32_t)size,
        .offset_at = place(p.marks.offset, message),
        .key_at = place(p.marks.key, message),
        .data_at = place(p.data, message),
        .data_size = p.data.bytes == NULL ? UINT32_MAX : (uint32_t)p.data.size,
        .offset_size = (uint16_t)p.marks.offset.size,
        .key_size = (uint16_t)p.marks.key.size,
    };
    if (p.delivery_annotations.size > 0) {
        note_last(b, p.delivery_annotations);
    }
    b->size += size;
    return TMK_OK;
}

/* Messages stand one behind the other from the first byte on. */
void tmk_burst_seal(tmk_burst *b) {
    tmk_burst_pool *pool = b->pool;
    const uint8_t *at = b->bytes;

    pool->usual_bytes = follow(pool->usual_bytes, b->size);
    pool->usual_events = (uint32_t)follow(pool->usual_events, b->count);
    for (uint32_t i = 0; i < b->count; i++) {
        b->events[i].message = at;
        at += b->events[i].message_size;
    }
    if (b->last.offset.size > 0) {
        b->last.offset.bytes = b->bytes + b->last_offset_at;
    }
}
