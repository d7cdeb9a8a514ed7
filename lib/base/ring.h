/* Growable FIFO of fixed-size items. */
#ifndef TMK_BASE_RING_H
#define TMK_BASE_RING_H

#include <tidemark/status.h>

typedef struct tmk_ring {
    uint8_t *items;
    size_t item_size, count, room, head;
} tmk_ring;

void tmk_ring_init(tmk_ring *r, size_t item_size);
void tmk_ring_clear(tmk_ring *r);
tmk_status tmk_ring_reserve(tmk_ring *r, size_t count); /* room for count items in all */
tmk_status tmk_ring_push(tmk_ring *r, const void *item);
bool tmk_ring_pop(tmk_ring *r, void *item);         /* false when empty; item may be NULL */
void *tmk_ring_at(const tmk_ring *r, size_t index); /* 0 is the oldest */

#endif
