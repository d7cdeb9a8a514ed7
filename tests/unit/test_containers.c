/* List, heap, ring, map: each against a plain model where that pays. */
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/ring.h"

#include "base/rng.h"
#include "support/check.h"
#include "support/failing_alloc.h"

typedef struct item {
    int number;
    tmk_list link;
} item;

static void a_list_keeps_order_and_forgives_removal(void) {
    item items[3] = {{0, {NULL, NULL}}, {1, {NULL, NULL}}, {2, {NULL, NULL}}};
    tmk_list head;
    tmk_list *at = NULL;

    tmk_list_init(&head);
    CHECK(tmk_list_empty(&head) && tmk_list_first(&head) == NULL &&
          tmk_list_pop_front(&head) == NULL);
    tmk_list_push_back(&head, &items[1].link);
    tmk_list_push_back(&head, &items[2].link);
    tmk_list_push_front(&head, &items[0].link);
    at = tmk_list_first(&head);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(i, tmk_container_of(at, item, link)->number);
        at = tmk_list_next(&head, at);
    }
    CHECK(at == NULL);
    tmk_list_remove(&items[1].link);
    tmk_list_remove(&items[1].link);
    CHECK(!tmk_list_linked(&items[1].link));
    CHECK(tmk_list_pop_front(&head) == &items[0].link);
    CHECK(tmk_list_pop_front(&head) == &items[2].link);
    CHECK(tmk_list_empty(&head));
}

static void equal_times_come_out_in_the_order_they_went_in(void) {
    tmk_heap_node nodes[50] = {0};
    tmk_heap h = {0};

    for (size_t i = 0; i < 50; i++) {
        CHECK_EQ(TMK_OK, tmk_heap_push(&h, &nodes[i], 7));
    }
    for (size_t i = 0; i < 50; i++) {
        CHECK(tmk_heap_first(&h) == &nodes[i]);
        tmk_heap_remove(&h, &nodes[i]);
        tmk_heap_remove(&h, &nodes[i]);
    }
    CHECK(tmk_heap_first(&h) == NULL);
    tmk_heap_clear(&h);
}

/* Random pushes, moves and removals; the first is always the least of those inside. */
static void a_heap_agrees_with_a_plain_search(void) {
    enum { NODES = 40 };
    tmk_heap_node nodes[NODES] = {0};
    tmk_heap h = {0};
    tmk_rng r;

    tmk_rng_seed(&r, 5);
    for (int step = 0; step < 5000; step++) {
        tmk_heap_node *n = &nodes[tmk_rng_below(&r, NODES)];
        tmk_heap_node *least = NULL;

        if (tmk_rng_chance(&r, 0.6)) {
            CHECK_EQ(TMK_OK, tmk_heap_push(&h, n, tmk_rng_between(&r, -20, 20)));
        } else {
            tmk_heap_remove(&h, n);
        }
        for (size_t i = 0; i < NODES; i++) {
            if (nodes[i].index != 0 &&
                (least == NULL || nodes[i].due < least->due ||
                 (nodes[i].due == least->due && nodes[i].order < least->order))) {
                least = &nodes[i];
            }
        }
        CHECK(tmk_heap_first(&h) == least);
    }
    tmk_heap_clear(&h);
    CHECK_EQ(0, nodes[0].index);
}

static void a_heap_survives_without_memory(void) {
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_heap_node nodes[40] = {0};
        tmk_heap h = {0};
        size_t count = 0;

        for (size_t i = 0; i < 40; i++) {
            count += tmk_heap_push(&h, &nodes[i], -(tmk_time)i) == TMK_OK;
        }
        CHECK_EQ(failing_hit() ? 39 : 40, count);
        CHECK_EQ(count, h.count);
        tmk_heap_clear(&h);
        CHECK_EQ(0, failing_live());
    }
}

static void a_reserved_heap_cannot_fail(void) {
    tmk_heap_node nodes[100] = {0};
    tmk_heap h = {0};

    CHECK_EQ(TMK_OK, tmk_heap_reserve(&h, 100));
    failing_after(FAILING_FROM, 0);
    for (size_t i = 0; i < 100; i++) {
        CHECK_EQ(TMK_OK, tmk_heap_push(&h, &nodes[i], 0));
    }
    CHECK_EQ(TMK_ENOMEM, tmk_heap_reserve(&h, SIZE_MAX));
    failing_end();
    tmk_heap_clear(&h);
}

static void a_ring_is_first_in_first_out_across_growth(void) {
    tmk_ring r;
    uint32_t in = 0;
    uint32_t out = 0;
    uint32_t got = 0;

    tmk_ring_init(&r, sizeof in);
    CHECK(!tmk_ring_pop(&r, &got));
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 7; i++, in++) {
            CHECK_EQ(TMK_OK, tmk_ring_push(&r, &in));
        }
        for (int i = 0; i < 5; i++, out++) {
            CHECK_EQ(out, *(uint32_t *)tmk_ring_at(&r, 0));
            CHECK(tmk_ring_pop(&r, round % 2 == 0 ? &got : NULL));
            CHECK(round % 2 != 0 || got == out);
        }
        CHECK_EQ(in - 1, *(uint32_t *)tmk_ring_at(&r, r.count - 1));
    }
    CHECK_EQ(400, r.count);
    tmk_ring_clear(&r);
    CHECK_EQ(0, r.count);
    CHECK_EQ(sizeof in, r.item_size);
}

static void what_no_memory_can_hold_is_refused(void) {
    tmk_ring r;
    tmk_heap h = {0};
    uint64_t seven = 7;

    tmk_ring_init(&r, sizeof seven);
    CHECK_EQ(TMK_OK, tmk_ring_push(&r, &seven));
    CHECK_EQ(TMK_OK, tmk_ring_reserve(&r, 1)); /* there is room */
    CHECK_EQ(TMK_ENOMEM, tmk_ring_reserve(&r, SIZE_MAX));
    CHECK_EQ(TMK_ENOMEM, tmk_ring_reserve(&r, SIZE_MAX / 4)); /* times eight */
    CHECK_EQ(7, *(uint64_t *)tmk_ring_at(&r, 0));
    tmk_ring_clear(&r);
    CHECK_EQ(TMK_ENOMEM, tmk_heap_reserve(&h, SIZE_MAX));
    CHECK(h.nodes == NULL);
}

static void a_ring_without_memory_is_unchanged(void) {
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_ring r;
        size_t pushed = 0;

        tmk_ring_init(&r, 8);
        for (uint64_t i = 0; i < 20; i++) {
            pushed += tmk_ring_push(&r, &i) == TMK_OK;
        }
        CHECK_EQ(failing_hit() ? 19 : 20, pushed);
        CHECK_EQ(pushed, r.count);
        tmk_ring_clear(&r);
        CHECK_EQ(0, failing_live());
    }
}

static int freed;
static void count_free(void *value) {
    (void)value;
    freed++;
}

static void a_map_finds_replaces_and_forgets(void) {
    tmk_map m = {0};
    int one = 1;
    int two = 2;
    void *old = &one;

    CHECK(tmk_map_get(&m, TMK_LIT("a")) == NULL && tmk_map_remove(&m, TMK_LIT("a")) == NULL);
    CHECK_EQ(TMK_OK, tmk_map_put(&m, TMK_LIT("a"), &one, &old));
    CHECK(old == NULL);
    CHECK_EQ(TMK_OK, tmk_map_put(&m, TMK_LIT("a"), &two, &old));
    CHECK(old == &one && m.count == 1);
    CHECK_EQ(TMK_OK, tmk_map_put(&m, TMK_LIT(""), &one, NULL));
    CHECK(tmk_map_get(&m, tmk_slice_of(NULL, 0)) == &one);
    CHECK(tmk_map_get(&m, tmk_slice_of("ab", 1)) == &two);
    CHECK_EQ(TMK_EINVAL, tmk_map_put(&m, TMK_LIT("a\0b"), &one, NULL));
    CHECK(tmk_map_remove(&m, TMK_LIT("a")) == &two);
    CHECK(tmk_map_get(&m, TMK_LIT("a")) == NULL);
    freed = 0;
    tmk_map_clear(&m, count_free);
    CHECK_EQ(1, freed);
}

static void a_map_walks_in_the_order_of_insertion(void) {
    tmk_map m = {0};
    char key[16];
    static int values[500];
    int expected = 0;

    for (int i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        values[i] = i;
        CHECK_EQ(TMK_OK, tmk_map_put(&m, tmk_slice_str(key), &values[i], NULL));
    }
    for (size_t place = 0;;) {
        tmk_map_entry *e = tmk_map_next(&m, &place);

        if (e == NULL) {
            break;
        }
        CHECK_EQ(expected, *(int *)e->value);
        (void)snprintf(key, sizeof key, "key-%d", expected++);
        CHECK_STR(key, e->key);
        /* Removing what one stands on is allowed. */
        CHECK(tmk_map_remove(&m, tmk_slice_str(key)) != NULL);
    }
    CHECK_EQ(500, expected);
    CHECK_EQ(0, m.count);
    tmk_map_clear(&m, NULL);
}

/* Many puts and removes over few keys: the holes must not pile up. */
static void a_map_agrees_with_a_plain_table(void) {
    tmk_map m = {0};
    static int values[64];
    bool inside[64] = {false};
    size_t count = 0;
    tmk_rng r;

    tmk_rng_seed(&r, 11);
    for (int step = 0; step < 20000; step++) {
        size_t i = (size_t)tmk_rng_below(&r, 64);
        char key[8];

        (void)snprintf(key, sizeof key, "%zu", i);
        CHECK((tmk_map_get(&m, tmk_slice_str(key)) == &values[i]) == inside[i]);
        if (tmk_rng_chance(&r, 0.5)) {
            CHECK_EQ(TMK_OK, tmk_map_put(&m, tmk_slice_str(key), &values[i], NULL));
            count += !inside[i];
            inside[i] = true;
        } else {
            CHECK((tmk_map_remove(&m, tmk_slice_str(key)) != NULL) == inside[i]);
            count -= inside[i];
            inside[i] = false;
        }
        CHECK_EQ(count, m.count);
    }
    CHECK(m.room <= 128);
    tmk_map_clear(&m, NULL);
}

static void a_map_without_memory_is_unchanged(void) {
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_map m = {0};
        int value = 0;
        size_t put = 0;
        char key[8];

        for (int i = 0; i < 40; i++) {
            (void)snprintf(key, sizeof key, "%d", i);
            put += tmk_map_put(&m, tmk_slice_str(key), &value, NULL) == TMK_OK;
        }
        CHECK_EQ(failing_hit() ? 39 : 40, put);
        CHECK_EQ(put, m.count);
        tmk_map_clear(&m, NULL);
        CHECK_EQ(0, failing_live());
    }
}

int main(void) {
    return RUN(TEST(a_list_keeps_order_and_forgives_removal),
               TEST(equal_times_come_out_in_the_order_they_went_in),
               TEST(a_heap_agrees_with_a_plain_search), TEST(a_heap_survives_without_memory),
               TEST(a_reserved_heap_cannot_fail), TEST(a_ring_is_first_in_first_out_across_growth),
               TEST(a_ring_without_memory_is_unchanged), TEST(a_map_finds_replaces_and_forgets),
               TEST(a_map_walks_in_the_order_of_insertion), TEST(a_map_agrees_with_a_plain_table),
               TEST(what_no_memory_can_hold_is_refused), TEST(a_map_without_memory_is_unchanged));
}
