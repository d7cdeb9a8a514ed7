/* Threads, ranked locks, broken promises. */
#include "base/thread.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/call.h"
#include "support/check.h"

typedef struct room {
    tmk_mutex lock;
    tmk_cond changed;
    int value;
    bool signals_blocked;
    char name[16];
    tmk_thread thread;
    bool was_self;
} room;

static void *count_up(void *arg) {
    room *r = arg;
    sigset_t mask;

    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    tmk_mutex_lock(&r->lock);
    r->signals_blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1;
    (void)pthread_getname_np(pthread_self(), r->name, sizeof r->name);
    r->value++;
    tmk_cond_broadcast(&r->changed);
    tmk_mutex_unlock(&r->lock);
    return NULL;
}

static void a_thread_runs_with_signals_blocked_and_is_joined(void) {
    room r = {0};
    sigset_t mask;

    CHECK_EQ(TMK_OK, tmk_mutex_init(&r.lock, 10, NULL));
    CHECK_EQ(TMK_OK, tmk_cond_init(&r.changed, NULL));
    tmk_thread_join(&r.thread); /* not running: nothing happens */
    CHECK_EQ(TMK_OK, tmk_thread_start(&r.thread, "tmk-test", count_up, &r, NULL));
    CHECK(!tmk_thread_is_self(&r.thread));
    tmk_mutex_lock(&r.lock);
    while (r.value == 0) {
        tmk_cond_wait(&r.changed, &r.lock);
    }
    tmk_mutex_unlock(&r.lock);
    tmk_thread_join(&r.thread);
    tmk_thread_join(&r.thread);
    CHECK(r.signals_blocked);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK_EQ(0, sigismember(&mask, SIGTERM));
    tmk_cond_clear(&r.changed);
    tmk_mutex_clear(&r.lock);
}

static void *measure_stack(void *arg) {
    pthread_attr_t attr;

    CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
    CHECK(pthread_attr_getstacksize(&attr, arg) == 0);
    CHECK(pthread_attr_destroy(&attr) == 0);
    return NULL;
}

/* As musl would have it, which gives threads 128 KiB. */
static void a_thread_has_a_mebibyte_of_stack_where_the_default_is_less(void) {
    tmk_thread t = {0};
    pthread_attr_t usual, small;
    size_t size = 0;

    CHECK(pthread_getattr_default_np(&usual) == 0 && pthread_getattr_default_np(&small) == 0);
    CHECK(pthread_attr_setstacksize(&small, 128 << 10) == 0 &&
          pthread_setattr_default_np(&small) == 0);
    CHECK(tmk_thread_start(&t, "small", measure_stack, &size, NULL) == TMK_OK);
    tmk_thread_join(&t);
    CHECK(size >= 1 << 20);
    CHECK(pthread_setattr_default_np(&usual) == 0);
    CHECK(pthread_attr_destroy(&usual) == 0 && pthread_attr_destroy(&small) == 0);
}

static void a_wait_ends_at_its_deadline(void) {
    tmk_clock clock = tmk_clock_system();
    tmk_time due = tmk_now(&clock) + 5 * TMK_MS;
    tmk_mutex m;
    tmk_cond c;

    CHECK_EQ(TMK_OK, tmk_mutex_init(&m, 1, NULL));
    CHECK_EQ(TMK_OK, tmk_cond_init(&c, NULL));
    tmk_mutex_lock(&m);
    while (tmk_cond_wait_until(&c, &m, due)) {
        CHECK(tmk_now(&clock) < due + TMK_SEC); /* a spurious wake-up is allowed */
    }
    CHECK(tmk_now(&clock) >= due);
    CHECK(!tmk_cond_wait_until(&c, &m, INT64_MIN / 2)); /* long ago */
    tmk_mutex_unlock(&m);
    tmk_cond_clear(&c);
    tmk_mutex_clear(&m);
}

static void ranks_may_grow_and_be_released_in_any_order(void) {
    tmk_mutex low;
    tmk_mutex high;

    CHECK_EQ(TMK_OK, tmk_mutex_init(&low, 10, NULL));
    CHECK_EQ(TMK_OK, tmk_mutex_init(&high, 20, NULL));
    for (int i = 0; i < 100; i++) {
        tmk_mutex_lock(&low);
        tmk_mutex_lock(&high);
        tmk_mutex_unlock(&low);
        tmk_mutex_unlock(&high);
    }
    tmk_mutex_clear(&low);
    tmk_mutex_clear(&high);
}

/* Runs something that must end the process by abort(); its last words are kept away. */
static bool aborts(void (*run)(void)) {
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        (void)close(STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        run();
        _exit(0);
    }
    CHECK_EQ(child, waitpid(child, &status, 0));
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void lock_downwards(void) {
    tmk_mutex low;
    tmk_mutex high;

    (void)tmk_mutex_init(&low, 10, NULL);
    (void)tmk_mutex_init(&high, 20, NULL);
    tmk_mutex_lock(&high);
    tmk_mutex_lock(&low);
}

static void lock_twice(void) {
    tmk_mutex m;

    (void)tmk_mutex_init(&m, 10, NULL);
    tmk_mutex_lock(&m);
    tmk_mutex_lock(&m);
}

static void break_a_promise(void) {
    tmk_assert(1 + 1 == 3);
}

static void broken_promises_end_the_process(void) {
    CHECK(aborts(break_a_promise));
    CHECK(aborts(lock_downwards));
    CHECK(aborts(lock_twice));
    tmk_assert(1 + 1 == 2);
}

typedef struct question {
    tmk_store_call call;
    tmk_status answer;
} question;

static void keep_answer(tmk_store_call *call, const tmk_store_result *result) {
    tmk_container_of(call, question, call)->answer = result->status;
}

static void count_free(void *self) {
    ++*(int *)self;
}

static void an_answer_reaches_the_question(void) {
    const tmk_store_result result = {.status = TMK_CONFLICT};
    const tmk_store_ops with_free = {.size = sizeof(tmk_store_ops), .free = count_free};
    const tmk_store_ops without = {.size = sizeof(tmk_store_ops)};
    question q = {{keep_answer}, TMK_OK};
    int freed = 0;

    tmk_store_answer(&q.call, &result);
    CHECK_EQ(TMK_CONFLICT, q.answer);
    tmk_store_free((tmk_store){&with_free, &freed});
    tmk_store_free((tmk_store){&without, &freed});
    tmk_store_free((tmk_store){NULL, NULL});
    CHECK_EQ(1, freed);
}

int main(void) {
    return RUN(TEST(a_thread_runs_with_signals_blocked_and_is_joined),
               TEST(a_thread_has_a_mebibyte_of_stack_where_the_default_is_less),
               TEST(a_wait_ends_at_its_deadline), TEST(ranks_may_grow_and_be_released_in_any_order),
               TEST(broken_promises_end_the_process), TEST(an_answer_reaches_the_question));
}
