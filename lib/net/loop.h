/*
 * One thread's event loop: descriptors, timers, and work posted by others.
 *
 * It runs either on a thread of its own (tmk_loop_start) or on the caller's
 * (tmk_loop_turn, tmk_loop_fd): all sockets, the AMQP engine, HTTP and the
 * processor's control run on it and need no lock between them.
 *
 * Threads: tmk_loop_post, tmk_bell_ring, tmk_loop_is_mine and tmk_loop_clock from any; everything
 *          else on the loop's thread, which is asserted. That is its own one while it runs, else
 *          whichever made it, stopped it or turned it last.
 */
#ifndef TMK_NET_LOOP_H
#define TMK_NET_LOOP_H

#include "base/heap.h"
#include "base/list.h"
#include "base/time.h"

typedef struct tmk_loop tmk_loop;

enum { TMK_LOOP_READ = 1, TMK_LOOP_WRITE = 2, TMK_LOOP_HANGUP = 4 };

tmk_status tmk_loop_new(tmk_clock clock, tmk_loop **out, tmk_error *err);
tmk_loop *tmk_loop_free(tmk_loop *loop); /* stops its thread; NULL is fine; returns NULL */

/* A thread of its own, all signals blocked. From then on the loop is that thread's. */
tmk_status tmk_loop_start(tmk_loop *loop, const char *name, tmk_error *err);
/* Waits for the thread, which ends after its present turn; then turns on the caller's thread work:
 * what was posted and not yet run waits for them. From any thread but the loop's. */
void tmk_loop_stop(tmk_loop *loop);

/* Or the caller's thread: waits up to `wait` (0: not at all), then handles what is due. */
tmk_status tmk_loop_turn(tmk_loop *loop, tmk_time wait, tmk_error *err);
int tmk_loop_fd(tmk_loop *loop); /* readable when a turn has something to do, timers included */
/* When a turn has something to do, descriptors apart; TMK_NEVER: nothing by itself. */
tmk_time tmk_loop_deadline(tmk_loop *loop);
bool tmk_loop_is_mine(const tmk_loop *loop);
tmk_time tmk_loop_now(const tmk_loop *loop); /* read once a turn; between turns afresh */
const tmk_clock *tmk_loop_clock(const tmk_loop *loop);

/* Descriptors. The watch is the owner's memory; remove it before it goes. HANGUP (an error, or both
 * sides closed) is told whatever is wanted, and again each turn until the watch is removed. */
typedef struct tmk_watch {
    void (*ready)(struct tmk_watch *w, unsigned events);
    int fd;
    unsigned wanted;
    bool added;
} tmk_watch;
tmk_status tmk_loop_watch(tmk_loop *loop, tmk_watch *w, int fd, unsigned wanted, tmk_error *err);
tmk_status tmk_loop_rewatch(tmk_loop *loop, tmk_watch *w, unsigned wanted, tmk_error *err);
void tmk_loop_unwatch(tmk_loop *loop, tmk_watch *w);

/* Timers: fire once; set again from inside as wanted. Setting cannot fail. */
typedef struct tmk_timer {
    tmk_heap_node node;
    void (*fire)(struct tmk_timer *t);
    bool known; /* counted by the loop */
} tmk_timer;
/* Reserves its place: ENOMEM is the only failure. */
tmk_status tmk_timer_init(tmk_loop *loop, tmk_timer *t, void (*fire)(tmk_timer *t));
void tmk_timer_set(tmk_loop *loop, tmk_timer *t, tmk_time due);
void tmk_timer_stop(tmk_loop *loop, tmk_timer *t);
void tmk_timer_clear(tmk_loop *loop, tmk_timer *t); /* gives its place back */

/* Work from any thread: run(task) is called once on the loop, in the order of posting. The task
 * is the poster's memory until then. One wake-up for any number of tasks between two turns. */
typedef struct tmk_task {
    struct tmk_task *next;
    void (*run)(struct tmk_task *task);
} tmk_task;
void tmk_loop_post(tmk_loop *loop, tmk_task *task);
/* Loop's thread: it will not run. Harmless when it is not posted. */
void tmk_loop_unpost(tmk_loop *loop, tmk_task *task);

/* A bell that can be rung any number of times from any thread, and runs once a turn. */
typedef struct tmk_bell {
    tmk_task task;
    int rung; /* atomic */
    tmk_loop *loop;
    void (*ring)(struct tmk_bell *b);
} tmk_bell;
void tmk_bell_init(tmk_bell *b, tmk_loop *loop, void (*ring)(tmk_bell *b));
void tmk_bell_ring(tmk_bell *b);
/* Loop's thread, when nobody can ring any more: it will not run. */
void tmk_bell_clear(tmk_bell *b);

#endif
