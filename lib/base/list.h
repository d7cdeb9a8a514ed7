/* Intrusive doubly linked list: O(1) push, pop, remove; nothing is allocated. In line: queues are
 * moved for every event. */
#ifndef TMK_BASE_LIST_H
#define TMK_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tmk_list {
    struct tmk_list *prev, *next; /* a head points to itself when empty; a free node holds NULLs */
} tmk_list;

#define tmk_container_of(node, type, member) \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void tmk_list_init(tmk_list *head) {
    head->prev = head;
    head->next = head;
}

static inline bool tmk_list_empty(const tmk_list *head) {
    return head->next == head;
}

static inline bool tmk_list_linked(const tmk_list *node) {
    return node->next != NULL;
}

static inline void tmk_list_insert(tmk_list *prev, tmk_list *node, tmk_list *next) {
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void tmk_list_push_back(tmk_list *head, tmk_list *node) {
    tmk_list_insert(head->prev, node, head);
}

static inline void tmk_list_push_front(tmk_list *head, tmk_list *node) {
    tmk_list_insert(head, node, head->next);
}

/* Does nothing when not linked. */
static inline void tmk_list_remove(tmk_list *node) {
    if (node->next != NULL) {
        node->prev->next = node->next;
        node->next->prev = node->prev;
        node->prev = NULL;
        node->next = NULL;
    }
}

/* NULL when empty. */
static inline tmk_list *tmk_list_first(const tmk_list *head) {
    return head->next == head ? NULL : head->next;
}

/* NULL after the last. */
static inline tmk_list *tmk_list_next(const tmk_list *head, const tmk_list *node) {
    return node->next == head ? NULL : node->next;
}

/* NULL when empty. */
static inline tmk_list *tmk_list_pop_front(tmk_list *head) {
    tmk_list *node = tmk_list_first(head);

    if (node != NULL) {
        tmk_list_remove(node);
    }
    return node;
}

#endif
