/*
 * Timer heap: what is due first. Equal times come out in the order they went
 * in. Intrusive: a node knows its place, so removing one is O(log n).
 */
#ifndef TMK_BASE_HEAP_H
#define TMK_BASE_HEAP_H

#include "base/time.h"

typedef struct tmk_heap_node {
    tmk_time due;
    uint64_t order;
    size_t index; /* 0: not in a heap; else place + 1 */
} tmk_heap_node;

typedef struct tmk_heap {
    tmk_heap_node **nodes;
    size_t count, room;
    uint64_t order;
} tmk_heap;

void tmk_heap_clear(tmk_heap *h);                       /* frees the array, not the nodes */
tmk_status tmk_heap_reserve(tmk_heap *h, size_t count); /* so that pushes up to count cannot fail */
tmk_status tmk_heap_push(tmk_heap *h, tmk_heap_node *n, tmk_time due); /* moves n when it is in h */
void tmk_heap_remove(tmk_heap *h, tmk_heap_node *n); /* does nothing when not in h */
tmk_heap_node *tmk_heap_first(const tmk_heap *h);    /* NULL when empty */

#endif
