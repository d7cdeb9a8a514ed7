/* Memory: NULL means failure and nothing else; sizes cannot wrap. */
#include "base/alloc.h"

#include "support/check.h"
#include "support/failing_alloc.h"

static void nothing_is_still_a_block(void) {
    void *a = tmk_alloc(0);
    void *b = tmk_alloc_zero(0, 8);
    void *c = tmk_copy("", 0);

    CHECK(a != NULL && b != NULL && c != NULL);
    tmk_free(a);
    tmk_free(b);
    tmk_free(c);
    tmk_free(NULL);
}

static void a_product_that_wraps_is_refused(void) {
    char *block = tmk_alloc(4);

    CHECK(tmk_alloc_zero(SIZE_MAX / 2, 3) == NULL);
    CHECK(tmk_resize(block, SIZE_MAX / 2, 3) == NULL);
    memcpy(block, "old", 4); /* still ours */
    CHECK_STR("old", block);
    tmk_free(block);
}

static void copies_are_equal_and_separate(void) {
    char text[] = "text";
    char *copy = tmk_copy_str(text);

    text[0] = 'T';
    CHECK_STR("text", copy);
    CHECK(tmk_copy_str(NULL) == NULL);
    tmk_free(copy);
}

static void zeroed_memory_is_zero(void) {
    uint8_t *block = tmk_alloc_zero(16, 16);

    for (size_t i = 0; i < 256; i++) {
        CHECK_EQ(0, block[i]);
    }
    tmk_free(block);
}

static void the_host_may_bring_its_own_and_make_it_fail(void) {
    void *a = NULL;
    void *b = NULL;

    failing_count();
    a = tmk_alloc(1);
    a = tmk_resize(a, 10, 10);
    CHECK_EQ(1, failing_live());
    CHECK_EQ(2, failing_calls());
    failing_after(FAILING_ONCE, 1);
    b = tmk_alloc(1);
    CHECK(b != NULL && tmk_alloc(1) == NULL && failing_hit());
    tmk_free(b);
    failing_after(FAILING_FROM, 0);
    CHECK(tmk_alloc(1) == NULL && tmk_resize(a, 1, 1) == NULL);
    tmk_free(a);
    CHECK_EQ(0, failing_live());
    failing_end();
}

static void each_allocation_fails_in_turn(void) {
    int rounds = 0;

    for (failing_begin(FAILING_ONCE); failing_next();) {
        void *a = tmk_alloc(1);
        void *b = tmk_alloc(1);

        rounds++;
        CHECK_EQ(rounds != 1, a != NULL);
        CHECK_EQ(rounds != 2, b != NULL);
        tmk_free(a);
        tmk_free(b);
        CHECK_EQ(0, failing_live());
    }
    CHECK_EQ(3, rounds);
}

int main(void) {
    return RUN(TEST(nothing_is_still_a_block), TEST(a_product_that_wraps_is_refused),
               TEST(copies_are_equal_and_separate), TEST(zeroed_memory_is_zero),
               TEST(the_host_may_bring_its_own_and_make_it_fail),
               TEST(each_allocation_fails_in_turn));
}
