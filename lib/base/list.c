/* Intrusive list. A free node holds NULLs, so that removing twice is harmless. */
#include "base/list.h"

static void insert_between(tmk_list *prev, tmk_list *node, tmk_list *next) {
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

void tmk_list_init(tmk_list *head) {
    head->prev = head;
    head->next = head;
}

bool tmk_list_empty(const tmk_list *head) {
    return head->next == head;
}

bool tmk_list_linked(const tmk_list *node) {
    return node->next != NULL;
}

void tmk_list_push_back(tmk_list *head, tmk_list *node) {
    insert_between(head->prev, node, head);
}

void tmk_list_push_front(tmk_list *head, tmk_list *node) {
    insert_between(head, node, head->next);
}

void tmk_list_remove(tmk_list *node) {
    if (node->next == NULL) {
        return;
    }
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = NULL;
    node->next = NULL;
}

tmk_list *tmk_list_pop_front(tmk_list *head) {
    tmk_list *node = tmk_list_first(head);

    if (node != NULL) {
        tmk_list_remove(node);
    }
    return node;
}

tmk_list *tmk_list_first(const tmk_list *head) {
    return head->next == head ? NULL : head->next;
}

tmk_list *tmk_list_next(const tmk_list *head, const tmk_list *node) {
    return node->next == head ? NULL : node->next;
}
