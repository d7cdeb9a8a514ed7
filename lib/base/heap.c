/* Binary heap on (due, order). The index in each node is its place + 1. */
#include "base/heap.h"

#include "base/alloc.h"
#include "base/assert.h"

static bool before(const tmk_heap_node *a, const tmk_heap_node *b) {
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void put(tmk_heap *h, size_t place, tmk_heap_node *n) {
    h->nodes[place] = n;
    n->index = place + 1;
}

static void sift_up(tmk_heap *h, size_t place, tmk_heap_node *n) {
    while (place > 0 && before(n, h->nodes[(place - 1) / 2])) {
        put(h, place, h->nodes[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(h, place, n);
}

static void sift_down(tmk_heap *h, size_t place, tmk_heap_node *n) {
    for (;;) {
        size_t child = 2 * place + 1;

        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && before(h->nodes[child + 1], h->nodes[child])) {
            child++;
        }
        if (before(n, h->nodes[child])) {
            break;
        }
        put(h, place, h->nodes[child]);
        place = child;
    }
    put(h, place, n);
}

static void settle(tmk_heap *h, size_t place, tmk_heap_node *n) {
    sift_up(h, place, n);
    sift_down(h, n->index - 1, n);
}

static bool contains(const tmk_heap *h, const tmk_heap_node *n) {
    return n->index > 0 && n->index <= h->count && h->nodes[n->index - 1] == n;
}

void tmk_heap_clear(tmk_heap *h) {
    for (size_t i = 0; i < h->count; i++) {
        h->nodes[i]->index = 0;
    }
    tmk_free(h->nodes);
    *h = (tmk_heap){0};
}

tmk_status tmk_heap_reserve(tmk_heap *h, size_t count) {
    size_t room = h->room < 16 ? 16 : h->room;
    tmk_heap_node **nodes = NULL;

    if (count <= h->room) {
        return TMK_OK;
    }
    while (room < count) {
        if (room > SIZE_MAX / 2) {
            return TMK_ENOMEM;
        }
        room *= 2;
    }
    nodes = tmk_resize(h->nodes, room,
                       sizeof *nodes); // NOLINT(bugprone-sizeof-expression): an array of pointers
    if (nodes == NULL) {
        return TMK_ENOMEM;
    }
    h->nodes = nodes;
    h->room = room;
    return TMK_OK;
}

tmk_status tmk_heap_push(tmk_heap *h, tmk_heap_node *n, tmk_time due) {
    bool present = contains(h, n);

    tmk_assert(present || n->index == 0); /* in another heap, or never initialised */
    if (!present && tmk_heap_reserve(h, h->count + 1) < 0) {
        return TMK_ENOMEM;
    }
    n->due = due;
    n->order = h->order++;
    if (!present) {
        put(h, h->count++, n);
    }
    settle(h, n->index - 1, n);
    return TMK_OK;
}

void tmk_heap_remove(tmk_heap *h, tmk_heap_node *n) {
    size_t place = n->index - 1;
    tmk_heap_node *last = NULL;

    if (!contains(h, n)) {
        return;
    }
    last = h->nodes[--h->count];
    n->index = 0;
    if (last != n) {
        settle(h, place, last);
    }
}

tmk_heap_node *tmk_heap_first(const tmk_heap *h) {
    return h->count == 0 ? NULL : h->nodes[0];
}
