/*
 * Threads and ranked locks. Each thread keeps the ranks it holds, lowest first;
 * a lock that is not above the last of them is a promise broken.
 */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "base/assert.h"
#include "base/status.h"

enum { HELD_MAX = 16 };

static _Thread_local struct {
    int ranks[HELD_MAX];
    int count;
} held;

static void hold(int rank) {
    tmk_assert(held.count < HELD_MAX);
    tmk_assert(held.count == 0 || held.ranks[held.count - 1] < rank);
    held.ranks[held.count++] = rank;
}

static void let_go(int rank) {
    int place = held.count - 1;

    while (place >= 0 && held.ranks[place] != rank) {
        place--;
    }
    tmk_assert(place >= 0);
    for (held.count--; place < held.count; place++) {
        held.ranks[place] = held.ranks[place + 1];
    }
}

tmk_status tmk_mutex_init(tmk_mutex *m, int rank, tmk_error *err) {
    int problem = pthread_mutex_init(&m->os, NULL);

    if (problem != 0) {
        return tmk_fail_errno(err, problem, "create", "a lock");
    }
    m->rank = rank;
    return TMK_OK;
}

void tmk_mutex_clear(tmk_mutex *m) {
    tmk_assert(pthread_mutex_destroy(&m->os) == 0);
}

void tmk_mutex_lock(tmk_mutex *m) {
    hold(m->rank); /* before waiting: the check must not itself deadlock */
    tmk_assert(pthread_mutex_lock(&m->os) == 0);
}

void tmk_mutex_unlock(tmk_mutex *m) {
    let_go(m->rank);
    tmk_assert(pthread_mutex_unlock(&m->os) == 0);
}

tmk_status tmk_cond_init(tmk_cond *c, tmk_error *err) {
    pthread_condattr_t monotonic;
    int problem = pthread_condattr_init(&monotonic);

    if (problem == 0) {
        problem = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        if (problem == 0) {
            problem = pthread_cond_init(&c->os, &monotonic);
        }
        (void)pthread_condattr_destroy(&monotonic);
    }
    return problem == 0 ? TMK_OK : tmk_fail_errno(err, problem, "create", "a condition");
}

void tmk_cond_clear(tmk_cond *c) {
    tmk_assert(pthread_cond_destroy(&c->os) == 0);
}

void tmk_cond_wait(tmk_cond *c, tmk_mutex *m) {
    tmk_assert(pthread_cond_wait(&c->os, &m->os) == 0);
}

/* The moment on CLOCK_MONOTONIC, which conditions know, of one on the system clock. */
static struct timespec monotonic_of(tmk_time deadline) {
    tmk_clock clock = tmk_clock_system();
    tmk_time now = tmk_now(&clock);
    tmk_time left = deadline > now ? deadline - now : 0;
    struct timespec when = {0};
    tmk_time at = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &when);
    at = tmk_time_after((tmk_time)when.tv_sec * TMK_SEC + when.tv_nsec, left);
    when.tv_sec = (time_t)(at / TMK_SEC);
    when.tv_nsec = (long)(at % TMK_SEC);
    return when;
}

bool tmk_cond_wait_until(tmk_cond *c, tmk_mutex *m, tmk_time deadline) {
    struct timespec when = {0};
    int result = 0;

    if (deadline == TMK_NEVER) {
        tmk_cond_wait(c, m);
        return true;
    }
    when = monotonic_of(deadline);
    result = pthread_cond_timedwait(&c->os, &m->os, &when);
    tmk_assert(result == 0 || result == ETIMEDOUT);
    return result == 0;
}

void tmk_cond_signal(tmk_cond *c) {
    (void)pthread_cond_signal(&c->os);
}

void tmk_cond_broadcast(tmk_cond *c) {
    (void)pthread_cond_broadcast(&c->os);
}

/* Users' handlers run on our threads: no less than a mebibyte, where the C library gives less (musl
 * 128 KiB). */
static int with_room(pthread_attr_t *attr) {
    enum { STACK_LEAST = 1 << 20 };
    size_t size = 0;
    int problem = pthread_attr_init(attr);

    if (problem == 0 && pthread_attr_getstacksize(attr, &size) == 0 && size < STACK_LEAST) {
        problem = pthread_attr_setstacksize(attr, STACK_LEAST);
    }
    return problem;
}

tmk_status tmk_thread_start(tmk_thread *t, const char *name, void *(*run)(void *arg), void *arg,
                            tmk_error *err) {
    sigset_t all;
    sigset_t before;
    pthread_attr_t attr;
    int problem = with_room(&attr);

    if (problem != 0) {
        return tmk_fail_errno(err, problem, "start a thread", name);
    }

    /* The new thread inherits the mask: no moment in which it could take a host's signal. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    problem = pthread_create(&t->os, &attr, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (problem != 0) {
        return tmk_fail_errno(err, problem, "start a thread", name);
    }
    (void)pthread_setname_np(t->os, name);
    t->running = true;
    return TMK_OK;
}

void tmk_thread_join(tmk_thread *t) {
    if (t->running) {
        tmk_assert(pthread_join(t->os, NULL) == 0);
        t->running = false;
    }
}

bool tmk_thread_is_self(const tmk_thread *t) {
    return t->running && pthread_equal(t->os, pthread_self()) != 0;
}
