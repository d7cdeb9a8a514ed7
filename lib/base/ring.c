/* FIFO in one array whose size is a power of two times the item. */
#include "base/ring.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

void tmk_ring_init(tmk_ring *r, size_t item_size) {
    tmk_assert(item_size > 0);
    *r = (tmk_ring){0};
    r->item_size = item_size;
}

void tmk_ring_clear(tmk_ring *r) {
    tmk_free(r->items);
    tmk_ring_init(r, r->item_size);
}

static uint8_t *slot(const tmk_ring *r, size_t index) {
    return r->items + (r->head + index) % r->room * r->item_size;
}

tmk_status tmk_ring_reserve(tmk_ring *r, size_t count) {
    size_t room = r->room == 0 ? 8 : r->room;
    size_t first_part = r->room - r->head;
    uint8_t *items = NULL;

    if (count <= r->room) {
        return TMK_OK;
    }
    while (room < count) {
        if (room > SIZE_MAX / 2) {
            return TMK_ENOMEM;
        }
        room *= 2;
    }
    items = tmk_alloc_zero(room, r->item_size);
    if (items == NULL) {
        return TMK_ENOMEM;
    }
    if (r->count > 0) {
        first_part = first_part < r->count ? first_part : r->count;
        memcpy(items, slot(r, 0), first_part * r->item_size);
        memcpy(items + first_part * r->item_size, r->items, (r->count - first_part) * r->item_size);
    }
    tmk_free(r->items);
    r->items = items;
    r->room = room;
    r->head = 0;
    return TMK_OK;
}

tmk_status tmk_ring_push(tmk_ring *r, const void *item) {
    if (r->count == r->room && tmk_ring_reserve(r, r->count + 1) < 0) {
        return TMK_ENOMEM;
    }
    memcpy(slot(r, r->count), item, r->item_size);
    r->count++;
    return TMK_OK;
}

bool tmk_ring_pop(tmk_ring *r, void *item) {
    if (r->count == 0) {
        return false;
    }
    if (item != NULL) {
        memcpy(item, slot(r, 0), r->item_size);
    }
    r->head = (r->head + 1) % r->room;
    r->count--;
    return true;
}

void *tmk_ring_at(const tmk_ring *r, size_t index) {
    tmk_assert(index < r->count);
    return slot(r, index);
}
