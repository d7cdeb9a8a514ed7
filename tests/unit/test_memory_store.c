/* The memory store's shell: who is answered, when, and on which thread. */
#include "checkpoint/memory.h"

#include "base/alloc.h"
#include "base/call.h"
#include "base/thread.h"

#include "support/check.h"

#define TOKEN_A "11111111-1111-4111-8111-111111111111"

typedef struct question {
    tmk_store_call call;
    tmk_mutex lock;
    tmk_cond wake;
    int answers;
    tmk_status status;
} question;

static void answered(tmk_store_call *call, const tmk_store_result *result) {
    question *q = (question *)(void *)call;

    tmk_mutex_lock(&q->lock);
    q->answers++;
    q->status = result->status;
    tmk_cond_signal(&q->wake);
    tmk_mutex_unlock(&q->lock);
}

static void question_init(question *q) {
    memset(q, 0, sizeof *q);
    q->call.answered = answered;
    CHECK_EQ(TMK_OK, tmk_mutex_init(&q->lock, 90, NULL));
    CHECK_EQ(TMK_OK, tmk_cond_init(&q->wake, NULL));
}

static void question_clear(question *q) {
    tmk_cond_clear(&q->wake);
    tmk_mutex_clear(&q->lock);
}

static int question_wait(question *q) {
    int answers;

    tmk_mutex_lock(&q->lock);
    while (q->answers == 0) {
        tmk_cond_wait(&q->wake, &q->lock);
    }
    answers = q->answers;
    tmk_mutex_unlock(&q->lock);
    return answers;
}

static const tmk_store_op join_op = {.kind = TMK_STORE_MEMBER_JOIN,
                                     .id = "a",
                                     .token = TOKEN_A,
                                     .body = "",
                                     .lease_ms = 20000,
                                     .timeout_ms = 5000};

static tmk_time time_now;
static tmk_time read_time(void *self) {
    (void)self;
    return time_now;
}
static tmk_wall read_wall(void *self) {
    (void)self;
    return (tmk_wall){0};
}

static tmk_store by_hand(void) {
    tmk_memory_setup setup = {.clock = {.now = read_time, .wall = read_wall}, .manual = true};
    tmk_store store;

    time_now = 0;
    CHECK_EQ(TMK_OK, tmk_store_memory_new_with(&setup, &store, NULL));
    return store;
}

static void its_own_thread_answers(void) {
    tmk_store store;
    question q;

    question_init(&q);
    CHECK_EQ(TMK_OK, tmk_store_memory_new(&store, NULL));
    store.ops->submit(store.self, &join_op, &q.call);
    CHECK_EQ(1, question_wait(&q));
    CHECK_EQ(TMK_OK, q.status);
    tmk_store_free(store);
    question_clear(&q);
}

static void driven_by_hand_it_answers_in_a_step_only(void) {
    tmk_store store = by_hand();
    question q;

    question_init(&q);
    store.ops->submit(store.self, &join_op, &q.call);
    CHECK_EQ(0, q.answers);
    CHECK_EQ(1, tmk_store_memory_step(store));
    CHECK_EQ(1, q.answers);
    CHECK_EQ(0, tmk_store_memory_step(store));
    tmk_store_free(store);
    question_clear(&q);
}

/* What was given up must not happen afterwards. */
static void an_operation_past_its_time_is_not_carried_out(void) {
    static const tmk_store_op renew = {
        .kind = TMK_STORE_MEMBER_RENEW, .id = "a", .token = TOKEN_A, .lease_ms = 20000};
    tmk_store store = by_hand();
    question join, later;

    question_init(&join);
    question_init(&later);
    store.ops->submit(store.self, &join_op, &join.call);
    time_now = 5 * TMK_SEC;
    CHECK_EQ(1, tmk_store_memory_step(store));
    CHECK_EQ(TMK_ETIMEOUT, join.status);
    store.ops->submit(store.self, &renew, &later.call);
    CHECK_EQ(1, tmk_store_memory_step(store));
    CHECK_EQ(TMK_CONFLICT, later.status); /* there is no such member */
    tmk_store_free(store);
    question_clear(&join);
    question_clear(&later);
}

static void a_reference_keeps_the_records(void) {
    tmk_store store = by_hand();
    tmk_store other = tmk_store_memory_ref(store);
    tmk_store_op list = {.kind = TMK_STORE_MEMBER_LIST};
    question q;

    tmk_store_free(store);
    question_init(&q);
    other.ops->submit(other.self, &list, &q.call);
    CHECK_EQ(1, tmk_store_memory_step(other));
    CHECK_EQ(TMK_OK, q.status);
    tmk_store_free(other);
    question_clear(&q);
}

/* An allocator whose nth allocation fails, and all after it. */
static int64_t allocations_left;
static void *failing_alloc(void *self, size_t size) {
    (void)self;
    return allocations_left-- > 0 ? malloc(size) : NULL;
}
static void *failing_resize(void *self, void *old, size_t size) {
    (void)self;
    return allocations_left-- > 0 ? realloc(old, size) : NULL;
}
static void release(void *self, void *old) {
    (void)self;
    free(old);
}
static const tmk_allocator failing = {failing_alloc, failing_resize, release, NULL};

/* Every question has its answer, even when there is no memory to remember the question. */
static void without_memory_it_still_answers(void) {
    tmk_allocator_set(&failing);
    for (int n = 0; n < 40; n++) {
        tmk_store_op list = {.kind = TMK_STORE_MEMBER_LIST};
        tmk_store store;
        question join, look;

        allocations_left = 1000;
        store = by_hand();
        question_init(&join);
        question_init(&look);
        allocations_left = n;
        store.ops->submit(store.self, &join_op, &join.call);
        store.ops->submit(store.self, &list, &look.call);
        CHECK_EQ(2, tmk_store_memory_step(store));
        CHECK(join.status == TMK_OK || join.status == TMK_ENOMEM);
        CHECK(look.status == TMK_OK || look.status == TMK_ENOMEM);
        CHECK(n > 0 || join.status == TMK_ENOMEM);
        CHECK(n < 39 || (join.status == TMK_OK && look.status == TMK_OK));
        allocations_left = 1000;
        tmk_store_free(store);
        question_clear(&join);
        question_clear(&look);
    }
    tmk_allocator_set(NULL);
}

int main(void) {
    return RUN(TEST(its_own_thread_answers), TEST(driven_by_hand_it_answers_in_a_step_only),
               TEST(an_operation_past_its_time_is_not_carried_out),
               TEST(a_reference_keeps_the_records), TEST(without_memory_it_still_answers));
}
