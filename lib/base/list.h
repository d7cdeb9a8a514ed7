/* Intrusive doubly linked list: O(1) push, pop, remove; nothing is allocated. */
#ifndef TMK_BASE_LIST_H
#define TMK_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tmk_list {
    struct tmk_list *prev, *next; /* a head points to itself when empty; a free node holds NULLs */
} tmk_list;

#define tmk_container_of(node, type, member) \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

void tmk_list_init(tmk_list *head);
bool tmk_list_empty(const tmk_list *head);
bool tmk_list_linked(const tmk_list *node);
void tmk_list_push_back(tmk_list *head, tmk_list *node);
void tmk_list_push_front(tmk_list *head, tmk_list *node);
void tmk_list_remove(tmk_list *node);           /* does nothing when not linked */
tmk_list *tmk_list_pop_front(tmk_list *head);   /* NULL when empty */
tmk_list *tmk_list_first(const tmk_list *head); /* NULL when empty */
tmk_list *tmk_list_next(const tmk_list *head, const tmk_list *node); /* NULL after the last */

#endif
