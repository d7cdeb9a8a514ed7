/*
 * epoll for descriptors, one timerfd for the first timer, one eventfd for work
 * from other threads. Both are in the epoll set, so that the set alone tells a
 * caller's loop when a turn is worth while.
 *
 * Posted tasks go onto an atomic stack; the loop takes it whole, turns it
 * around and appends it to `pending`, which is its own. The poster who finds
 * the stack empty writes to the eventfd, nobody else: one wake-up a turn.
 */
#include "net/loop.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/file.h"
#include "base/status.h"
#include "base/thread.h"

enum { EVENTS_PER_TURN = 64 };

struct tmk_loop {
    tmk_clock clock;
    int epoll_fd, wake_fd, timer_fd;
    tmk_thread thread;
    atomic_bool stopping;
    _Atomic(pthread_t) owner;
    atomic_bool turning;

    /* the loop's thread only */
    tmk_time now;
    tmk_heap timers;
    size_t timers_known;
    tmk_time armed; /* when the timerfd will fire; TMK_NEVER: it will not */
    struct epoll_event events[EVENTS_PER_TURN];
    int event_place, event_count; /* of the turn under way */
    tmk_task *pending, **pending_end;
    size_t pending_count; /* those to be run in the turn under way */

    _Atomic(tmk_task *) posted; /* any thread; the newest first */
};

static tmk_status add_fd(tmk_loop *loop, int fd, void *what, tmk_error *err) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};

    if (fd < 0 || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0) {
        return tmk_fail_errno(err, errno, "create", "an event loop");
    }
    return TMK_OK;
}

tmk_status tmk_loop_new(tmk_clock clock, tmk_loop **out, tmk_error *err) {
    tmk_status st = TMK_OK;
    tmk_loop *loop = tmk_new(tmk_loop);

    if (loop == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "net", "no memory for an event loop");
    }
    loop->clock = clock;
    loop->armed = TMK_NEVER;
    loop->pending_end = &loop->pending;
    atomic_init(&loop->owner, pthread_self());
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = loop->epoll_fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->timer_fd =
        loop->wake_fd < 0 ? -1 : timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    /* The addresses only tell the two apart from watches. */
    st = add_fd(loop, loop->timer_fd, &loop->timer_fd, err);
    if (st == TMK_OK) {
        st = add_fd(loop, loop->wake_fd, &loop->wake_fd, err);
    }
    if (st < 0) {
        (void)tmk_loop_free(loop);
        return st;
    }
    *out = loop;
    return TMK_OK;
}

tmk_loop *tmk_loop_free(tmk_loop *loop) {
    if (loop != NULL) {
        tmk_loop_stop(loop);
        loop->timer_fd = tmk_fd_close(loop->timer_fd);
        loop->wake_fd = tmk_fd_close(loop->wake_fd);
        loop->epoll_fd = tmk_fd_close(loop->epoll_fd);
        tmk_heap_clear(&loop->timers);
        tmk_free(loop);
    }
    return NULL;
}

bool tmk_loop_is_mine(const tmk_loop *loop) {
    return pthread_equal(atomic_load(&loop->owner), pthread_self()) != 0;
}

int tmk_loop_fd(tmk_loop *loop) {
    return loop->epoll_fd;
}

const tmk_clock *tmk_loop_clock(const tmk_loop *loop) {
    return &loop->clock;
}

tmk_time tmk_loop_now(const tmk_loop *loop) {
    tmk_assert(tmk_loop_is_mine(loop));
    return atomic_load(&loop->turning) ? loop->now : tmk_now(&loop->clock);
}

/* ---- descriptors ---- */

static struct epoll_event epoll_event_of(tmk_watch *w) {
    struct epoll_event e = {.data.ptr = w};

    e.events = ((w->wanted & TMK_LOOP_READ) != 0 ? EPOLLIN : 0U) |
               ((w->wanted & TMK_LOOP_WRITE) != 0 ? EPOLLOUT : 0U);
    return e;
}

tmk_status tmk_loop_watch(tmk_loop *loop, tmk_watch *w, int fd, unsigned wanted, tmk_error *err) {
    struct epoll_event e;

    tmk_assert(tmk_loop_is_mine(loop) && !w->added);
    w->fd = fd;
    w->wanted = wanted;
    e = epoll_event_of(w);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0) {
        return tmk_fail_errno(err, errno, "watch", "a descriptor");
    }
    w->added = true;
    return TMK_OK;
}

tmk_status tmk_loop_rewatch(tmk_loop *loop, tmk_watch *w, unsigned wanted, tmk_error *err) {
    struct epoll_event e;

    tmk_assert(tmk_loop_is_mine(loop) && w->added);
    if (w->wanted == wanted) {
        return TMK_OK;
    }
    w->wanted = wanted;
    e = epoll_event_of(w);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &e) != 0) {
        return tmk_fail_errno(err, errno, "watch", "a descriptor");
    }
    return TMK_OK;
}

void tmk_loop_unwatch(tmk_loop *loop, tmk_watch *w) {
    if (!w->added) {
        return;
    }
    tmk_assert(tmk_loop_is_mine(loop));
    /* May fail when the descriptor was closed before: then it has left the set already. */
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    w->added = false;
    for (int i = loop->event_place; i < loop->event_count; i++) {
        if (loop->events[i].data.ptr == w) {
            loop->events[i].data.ptr = NULL;
        }
    }
}

static void read_counter(int fd) {
    uint64_t count = 0;

    /* Empty is fine: somebody may have reset the timer since. */
    (void)!read(fd, &count, sizeof count);
}

static void handle_event(tmk_loop *loop, const struct epoll_event *e) {
    tmk_watch *w = e->data.ptr;

    if (e->data.ptr == &loop->wake_fd) {
        read_counter(loop->wake_fd);
    } else if (e->data.ptr == &loop->timer_fd) {
        read_counter(loop->timer_fd);
        loop->armed = TMK_NEVER;
    } else if (w != NULL) {
        w->ready(w, ((e->events & EPOLLIN) != 0 ? TMK_LOOP_READ : 0U) |
                        ((e->events & EPOLLOUT) != 0 ? TMK_LOOP_WRITE : 0U) |
                        ((e->events & (EPOLLERR | EPOLLHUP)) != 0 ? TMK_LOOP_HANGUP : 0U));
    }
}

static void handle_events(tmk_loop *loop) {
    for (loop->event_place = 0; loop->event_place < loop->event_count;) {
        handle_event(loop, &loop->events[loop->event_place++]);
    }
    loop->event_count = 0;
}

/* ---- timers ---- */

tmk_status tmk_timer_init(tmk_loop *loop, tmk_timer *t, void (*fire)(tmk_timer *t)) {
    tmk_assert(tmk_loop_is_mine(loop));
    *t = (tmk_timer){.fire = fire};
    if (tmk_heap_reserve(&loop->timers, loop->timers_known + 1) < 0) {
        return TMK_ENOMEM;
    }
    loop->timers_known++;
    t->known = true;
    return TMK_OK;
}

/*
 * Makes the timerfd fire when the first timer is due. A later moment than the one it is set to
 * needs no call: it fires once in vain, which is cheaper than a call for each timer put off.
 */
static void arm(tmk_loop *loop, tmk_time now) {
    const tmk_heap_node *first = tmk_heap_first(&loop->timers);
    struct itimerspec when = {0};
    tmk_time left = 0;

    if (first == NULL || first->due >= loop->armed) {
        return;
    }
    loop->armed = first->due;
    left = first->due > now ? first->due - now : 1; /* 0 would disarm it */
    when.it_value.tv_sec = (time_t)(left / TMK_SEC);
    when.it_value.tv_nsec = (long)(left % TMK_SEC);
    tmk_assert(timerfd_settime(loop->timer_fd, 0, &when, NULL) == 0);
}

void tmk_timer_set(tmk_loop *loop, tmk_timer *t, tmk_time due) {
    tmk_time now = tmk_loop_now(loop);

    tmk_assert(t->known);
    if (due == TMK_NEVER) {
        tmk_timer_stop(loop, t);
        return;
    }
    /* Not before now: a timer that sets itself must not stand in the way of those that are due. */
    tmk_assert(tmk_heap_push(&loop->timers, &t->node, due > now ? due : now) == TMK_OK);
    if (!atomic_load(&loop->turning)) {
        arm(loop, now);
    }
}

void tmk_timer_stop(tmk_loop *loop, tmk_timer *t) {
    tmk_assert(tmk_loop_is_mine(loop));
    if (t->known) {
        tmk_heap_remove(&loop->timers, &t->node);
    }
}

void tmk_timer_clear(tmk_loop *loop, tmk_timer *t) {
    if (t->known) {
        tmk_timer_stop(loop, t);
        loop->timers_known--;
        t->known = false;
    }
}

/* Those set from inside have a higher order than any that is there now: they wait for a turn. */
static void fire_timers(tmk_loop *loop) {
    uint64_t end = loop->timers.order;
    tmk_heap_node *n = tmk_heap_first(&loop->timers);

    while (n != NULL && n->due <= loop->now && n->order < end) {
        tmk_timer *t = tmk_container_of(n, tmk_timer, node);

        tmk_heap_remove(&loop->timers, n);
        t->fire(t);
        n = tmk_heap_first(&loop->timers);
    }
}

/* ---- posted work ---- */

static void wake(tmk_loop *loop) {
    const uint64_t one = 1;

    /* Can only fail when the counter is full, and then the loop is awake. */
    (void)!write(loop->wake_fd, &one, sizeof one);
}

void tmk_loop_post(tmk_loop *loop, tmk_task *task) {
    tmk_task *head = atomic_load(&loop->posted);

    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak(&loop->posted, &head, task));
    if (head == NULL) {
        wake(loop);
    }
}

/* Appends what was posted to `pending`, the oldest first. */
static void gather(tmk_loop *loop) {
    tmk_task *newest = atomic_exchange(&loop->posted, NULL);
    tmk_task *oldest = NULL;
    tmk_task **end = newest == NULL ? loop->pending_end : &newest->next;

    while (newest != NULL) {
        tmk_task *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    *loop->pending_end = oldest;
    loop->pending_end = end;
}

void tmk_loop_unpost(tmk_loop *loop, tmk_task *task) {
    tmk_task **at = &loop->pending;
    size_t place = 0;

    tmk_assert(tmk_loop_is_mine(loop));
    gather(loop);
    while (*at != NULL && *at != task) {
        at = &(*at)->next;
        place++;
    }
    if (*at == NULL) {
        return;
    }
    *at = task->next;
    if (loop->pending_end == &task->next) {
        loop->pending_end = at;
    }
    if (place < loop->pending_count) {
        loop->pending_count--;
    }
}

/* What is posted from inside waits for the next turn. */
static void run_tasks(tmk_loop *loop) {
    gather(loop);
    for (const tmk_task *t = loop->pending; t != NULL; t = t->next) {
        loop->pending_count++;
    }
    while (loop->pending_count > 0) {
        tmk_task *task = loop->pending;

        tmk_assert(task != NULL);
        loop->pending_count--;
        loop->pending = task->next;
        if (loop->pending == NULL) {
            loop->pending_end = &loop->pending;
        }
        task->run(task);
    }
}

static void run_bell(tmk_task *task) {
    tmk_bell *b = tmk_container_of(task, tmk_bell, task);

    __atomic_store_n(&b->rung, 0, __ATOMIC_SEQ_CST);
    b->ring(b);
}

void tmk_bell_init(tmk_bell *b, tmk_loop *loop, void (*ring)(tmk_bell *b)) {
    *b = (tmk_bell){.task = {NULL, run_bell}, .loop = loop, .ring = ring};
}

void tmk_bell_ring(tmk_bell *b) {
    if (__atomic_exchange_n(&b->rung, 1, __ATOMIC_SEQ_CST) == 0) {
        tmk_loop_post(b->loop, &b->task);
    }
}

void tmk_bell_clear(tmk_bell *b) {
    if (b->loop != NULL) {
        tmk_loop_unpost(b->loop, &b->task);
    }
}

/* ---- turning ---- */

static int wait_ms(tmk_loop *loop, tmk_time wait) {
    const tmk_heap_node *first = tmk_heap_first(&loop->timers);

    if (wait <= 0 || loop->pending != NULL || (first != NULL && first->due <= loop->now)) {
        return 0;
    }
    if (wait >= (tmk_time)INT_MAX * TMK_MS) {
        return wait == TMK_NEVER ? -1 : INT_MAX;
    }
    return (int)((wait + TMK_MS - 1) / TMK_MS);
}

static tmk_status turn(tmk_loop *loop, tmk_time wait, tmk_error *err) {
    int count = 0;

    tmk_assert(!atomic_exchange(&loop->turning, true)); /* not from inside, not by two threads */
    loop->now = tmk_now(&loop->clock);
    arm(loop, loop->now);
    count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_TURN, wait_ms(loop, wait));
    if (count < 0 && errno != EINTR) {
        atomic_store(&loop->turning, false);
        return tmk_fail_errno(err, errno, "wait for", "events");
    }
    loop->event_count = count > 0 ? count : 0;
    loop->now = tmk_now(&loop->clock);
    handle_events(loop);
    run_tasks(loop);
    fire_timers(loop);
    if (loop->pending != NULL) {
        wake(loop); /* gathered by an unpost, for the next turn: tell whoever polls us */
    }
    arm(loop, loop->now);
    atomic_store(&loop->turning, false);
    return TMK_OK;
}

tmk_status tmk_loop_turn(tmk_loop *loop, tmk_time wait, tmk_error *err) {
    tmk_assert(!loop->thread.running);
    atomic_store(&loop->owner, pthread_self());
    return turn(loop, wait, err);
}

tmk_time tmk_loop_deadline(tmk_loop *loop) {
    const tmk_heap_node *first = tmk_heap_first(&loop->timers);

    if (loop->pending != NULL || atomic_load(&loop->posted) != NULL) {
        return tmk_now(&loop->clock);
    }
    return first == NULL ? TMK_NEVER : first->due;
}

static void *run(void *arg) {
    tmk_loop *loop = arg;

    atomic_store(&loop->owner, pthread_self());
    while (!atomic_load(&loop->stopping)) {
        tmk_error err;
        tmk_status st = turn(loop, TMK_NEVER, &err);

        tmk_assert(st == TMK_OK); /* epoll_wait fails only on a descriptor that is not ours */
    }
    return NULL;
}

tmk_status tmk_loop_start(tmk_loop *loop, const char *name, tmk_error *err) {
    tmk_status st = TMK_OK;

    tmk_assert(tmk_loop_is_mine(loop) && !loop->thread.running);
    atomic_store(&loop->stopping, false);
    st = tmk_thread_start(&loop->thread, name, run, loop, err);
    if (st == TMK_OK) {
        atomic_store(&loop->owner, loop->thread.os);
    }
    return st;
}

void tmk_loop_stop(tmk_loop *loop) {
    if (!loop->thread.running) {
        return;
    }
    tmk_assert(!tmk_thread_is_self(&loop->thread));
    atomic_store(&loop->stopping, true);
    wake(loop);
    tmk_thread_join(&loop->thread);
    atomic_store(&loop->owner, pthread_self());
}
