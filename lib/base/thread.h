/*
 * Threads and ranked locks. A thread may only take a lock
 * of a higher rank than those it holds (checked by an assertion), so locks
 * cannot deadlock.
 */
#ifndef TMK_BASE_THREAD_H
#define TMK_BASE_THREAD_H

#include "base/list.h"
#include "base/time.h"

#include <pthread.h>

typedef struct tmk_mutex {
    pthread_mutex_t os;
    int rank;
} tmk_mutex;

tmk_status tmk_mutex_init(tmk_mutex *m, int rank, tmk_error *err);
void tmk_mutex_clear(tmk_mutex *m);
void tmk_mutex_lock(tmk_mutex *m);
void tmk_mutex_unlock(tmk_mutex *m);

typedef struct tmk_cond {
    pthread_cond_t os;
} tmk_cond;

tmk_status tmk_cond_init(tmk_cond *c, tmk_error *err);
void tmk_cond_clear(tmk_cond *c);
void tmk_cond_wait(tmk_cond *c, tmk_mutex *m);
/* deadline is a moment of tmk_clock_system(); false: timed out. */
bool tmk_cond_wait_until(tmk_cond *c, tmk_mutex *m, tmk_time deadline);
void tmk_cond_signal(tmk_cond *c);
void tmk_cond_broadcast(tmk_cond *c);

typedef struct tmk_thread {
    pthread_t os;
    bool running;
} tmk_thread;

/* All signals are blocked in the new thread. name: at most 15 characters. */
tmk_status tmk_thread_start(tmk_thread *t, const char *name, void *(*run)(void *arg), void *arg,
                            tmk_error *err);
void tmk_thread_join(tmk_thread *t); /* does nothing when not running */
bool tmk_thread_is_self(const tmk_thread *t);

#endif
