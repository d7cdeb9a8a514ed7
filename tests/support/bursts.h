/*
 * Bursts without messages, for tests and benchmarks of what handles events: an
 * event has a sequence, an offset ("<10 * sequence>"), an enqueued time
 * (1000 + sequence) and perhaps a key; its encoded message is those texts.
 */
#ifndef TMK_TESTS_BURSTS_H
#define TMK_TESTS_BURSTS_H

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "eventhubs/burst.h"

enum { BURSTS_TEXT = 32 }; /* bytes of offset and key together */

static inline void bursts_event_(tmk_burst *b, int64_t sequence, int key) {
    tmk_event *e = &b->events[b->count++];
    char text[2 * BURSTS_TEXT];
    int offset_size = snprintf(text, sizeof text, "%" PRId64, 10 * sequence);
    int key_size = key < 0 ? 0 : snprintf(text + offset_size, BURSTS_TEXT, "k%d", key);

    *e = (tmk_event){.burst = b,
                     .sequence = sequence,
                     .enqueued_ms = 1000 + sequence,
                     .message = b->bytes + b->size,
                     .message_size = (uint32_t)(offset_size + key_size),
                     .key_at = (uint32_t)offset_size,
                     .data_size = UINT32_MAX,
                     .offset_size = (uint16_t)offset_size,
                     .key_size = (uint16_t)key_size};
    memcpy(b->bytes + b->size, text, e->message_size);
    b->size += e->message_size;
}

/* An empty burst that has room for `room` events; NULL: no memory. */
static inline tmk_burst *bursts_begin(tmk_burst_pool *pool, uint32_t room) {
    tmk_burst *b = tmk_burst_take(pool, "0");
    uint8_t *at = NULL;

    if (b == NULL || tmk_burst_reserve(b, (size_t)room * 2 * BURSTS_TEXT, &at) < 0) {
        tmk_burst_drop(b);
        return NULL;
    }
    if (b->event_room < room) {
        tmk_event *events = tmk_resize(b->events, room, sizeof *events);

        if (events == NULL) {
            tmk_burst_drop(b);
            return NULL;
        }
        b->events = events;
        b->event_room = room;
    }
    return b;
}

/* key < 0: none. */
static inline void bursts_add(tmk_burst *b, int64_t sequence, int key) {
    tmk_assert(b->count < b->event_room);
    bursts_event_(b, sequence, key);
}

/* `count` events from `first` on, `step` apart; keys from 0 to keys - 1 in turn (0: no keys). */
static inline tmk_burst *bursts_make(tmk_burst_pool *pool, int64_t first, uint32_t count,
                                     int64_t step, int keys) {
    tmk_burst *b = bursts_begin(pool, count);

    for (uint32_t i = 0; b != NULL && i < count; i++) {
        int64_t sequence = first + (int64_t)i * step;

        bursts_add(b, sequence, keys > 0 ? (int)(sequence % keys) : -1);
    }
    return b;
}

#endif
