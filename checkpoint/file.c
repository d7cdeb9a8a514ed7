/*
 * The file store's shell: a bounded queue, a worker that does the I/O, and a
 * clerk that answers what the worker does not come to in time, since a disk
 * can hold an fsync for as long as it likes.
 *
 *   submit --> queue --> worker --> answer
 *                 \---- clerk ----> ETIMEOUT, EBUSY, ENOMEM
 */
#include "checkpoint/file.h"

#include "base/alloc.h"
#include "base/status.h"
#include "base/thread.h"
#include "checkpoint/file_table.h"

#include <string.h>

enum { QUEUE_MAX = 1024, FREE_PATIENCE_MS = 2000 };

typedef struct file_store {
    tmk_file_table table; /* the worker's */
    tmk_clock clock;      /* the system's, for deadlines */
    tmk_thread worker, clerk;

    tmk_mutex lock; /* rank 60; guards what follows */
    tmk_cond work;  /* wakes the worker */
    tmk_cond watch; /* wakes the clerk, and who waits for the worker's end */
    tmk_list queue;
    size_t queued;
    tmk_request *running; /* the worker's; answered by it unless `abandoned` */
    bool abandoned;
    tmk_store_call *no_memory, *no_room; /* to be refused by the clerk */
    tmk_time clerk_due;                  /* when the clerk wakes by itself */
    bool stopping, worker_gone;
    bool orphaned; /* whoever made the store is gone: the worker frees it */
} file_store;

static void destroy(file_store *s) {
    tmk_file_table_clear(&s->table);
    tmk_cond_clear(&s->watch);
    tmk_cond_clear(&s->work);
    tmk_mutex_clear(&s->lock);
    tmk_free(s);
}

/* ---- worker ---- */

static void run_one(file_store *s, tmk_request *r) {
    tmk_reply reply;
    bool abandoned;

    tmk_reply_init(&reply);
    tmk_file_table_apply(&s->table, &r->op, &reply);
    tmk_mutex_lock(&s->lock);
    abandoned = s->abandoned;
    s->running = NULL;
    tmk_mutex_unlock(&s->lock);
    if (!abandoned) {
        tmk_reply_send(&reply, r->call);
    }
    tmk_reply_clear(&reply);
    (void)tmk_request_free(r);
}

static tmk_request *next_request(file_store *s) {
    tmk_list *node;

    tmk_mutex_lock(&s->lock);
    while (tmk_list_empty(&s->queue) && !s->stopping) {
        tmk_cond_wait(&s->work, &s->lock);
    }
    node = tmk_list_pop_front(&s->queue);
    if (node != NULL) {
        s->queued--;
        s->running = tmk_container_of(node, tmk_request, node);
        s->abandoned = false;
    }
    tmk_mutex_unlock(&s->lock);
    return node == NULL ? NULL : tmk_container_of(node, tmk_request, node);
}

static void *work(void *arg) {
    file_store *s = arg;
    tmk_request *r;
    bool orphaned;

    while ((r = next_request(s)) != NULL) {
        run_one(s, r);
    }
    tmk_mutex_lock(&s->lock);
    s->worker_gone = true;
    orphaned = s->orphaned;
    tmk_cond_broadcast(&s->watch);
    tmk_mutex_unlock(&s->lock);
    if (orphaned) {
        destroy(s);
    }
    return NULL;
}

/* The worker's pause while a record is locked; ends early with the store. */
static bool pause_worker(void *self, tmk_time until) {
    file_store *s = self;
    bool stopping;

    tmk_mutex_lock(&s->lock);
    if (!s->stopping) {
        (void)tmk_cond_wait_until(&s->work, &s->lock, until);
    }
    stopping = s->stopping;
    tmk_mutex_unlock(&s->lock);
    return !stopping;
}

/* ---- clerk ---- */

typedef struct overdue {
    tmk_list requests; /* taken out of the queue */
    tmk_store_call *running, *no_memory, *no_room;
} overdue;

/* Under the lock. Takes what must be answered now; *due is when to look again. */
static bool collect(file_store *s, tmk_time now, overdue *out, tmk_time *due) {
    tmk_list *node = tmk_list_first(&s->queue);

    *out = (overdue){.no_memory = s->no_memory, .no_room = s->no_room};
    tmk_list_init(&out->requests);
    s->no_memory = NULL;
    s->no_room = NULL;
    *due = TMK_NEVER;
    if (s->running != NULL && !s->abandoned) {
        if (now >= s->running->deadline) {
            s->abandoned = true;
            out->running = s->running->call;
        } else {
            *due = s->running->deadline;
        }
    }
    while (node != NULL) {
        tmk_request *r = tmk_container_of(node, tmk_request, node);
        node = tmk_list_next(&s->queue, node);
        if (now >= r->deadline) {
            tmk_list_remove(&r->node);
            tmk_list_push_back(&out->requests, &r->node);
            s->queued--;
        } else {
            *due = tmk_time_min(*due, r->deadline);
        }
    }
    return out->running != NULL || out->no_memory != NULL || out->no_room != NULL ||
           !tmk_list_empty(&out->requests);
}

static void refuse_all(tmk_store_call *first, tmk_status status, const char *text) {
    while (first != NULL) {
        tmk_store_call *next = first->link;
        tmk_reply_fail(first, status, "file", text, true);
        first = next;
    }
}

static void refuse(overdue *o) {
    static const char too_late[] = "the disk did not answer in time";
    tmk_list *node;

    if (o->running != NULL) {
        tmk_reply_fail(o->running, TMK_ETIMEOUT, "file", too_late, true);
    }
    while ((node = tmk_list_pop_front(&o->requests)) != NULL) {
        tmk_request *r = tmk_container_of(node, tmk_request, node);
        tmk_reply_fail(r->call, TMK_ETIMEOUT, "file", too_late, true);
        (void)tmk_request_free(r);
    }
    refuse_all(o->no_memory, TMK_ENOMEM, "no memory for a store operation");
    refuse_all(o->no_room, TMK_EBUSY, "too many operations wait for the disk");
}

static void *keep_watch(void *arg) {
    file_store *s = arg;
    overdue o;

    tmk_mutex_lock(&s->lock);
    for (;;) {
        tmk_time due;

        if (collect(s, tmk_now(&s->clock), &o, &due)) {
            tmk_mutex_unlock(&s->lock);
            refuse(&o);
            tmk_mutex_lock(&s->lock);
        } else if (s->stopping) {
            break;
        } else {
            s->clerk_due = due;
            (void)tmk_cond_wait_until(&s->watch, &s->lock, due);
            s->clerk_due = 0; /* awake */
        }
    }
    tmk_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the store ---- */

static void submit(void *self, const tmk_store_op *op, tmk_store_call *call) {
    file_store *s = self;
    tmk_request *r = tmk_request_new(op, call, tmk_now(&s->clock));

    tmk_mutex_lock(&s->lock);
    if (r == NULL) {
        call->link = s->no_memory;
        s->no_memory = call;
    } else if (s->queued >= QUEUE_MAX) {
        call->link = s->no_room;
        s->no_room = call;
        r = tmk_request_free(r);
    } else {
        tmk_list_push_back(&s->queue, &r->node);
        s->queued++;
        tmk_cond_signal(&s->work);
    }
    if (r == NULL || r->deadline < s->clerk_due) {
        tmk_cond_signal(&s->watch);
    }
    tmk_mutex_unlock(&s->lock);
}

static unsigned claims(void *self) {
    (void)self;
    return 1U << TMK_CLAIMS_LEASE | 1U << TMK_CLAIMS_SHARED;
}

/* Waits for the worker, but not for ever: one that the disk holds frees the store when it is let
 * go. */
static bool leave_worker(file_store *s) {
    tmk_time patience = tmk_time_after(tmk_now(&s->clock), FREE_PATIENCE_MS * TMK_MS);
    bool gone;

    tmk_mutex_lock(&s->lock);
    while (!s->worker_gone && tmk_now(&s->clock) < patience) {
        (void)tmk_cond_wait_until(&s->watch, &s->lock, patience);
    }
    gone = s->worker_gone;
    s->orphaned = !gone;
    if (!gone) {
        (void)pthread_detach(s->worker.os);
    }
    tmk_mutex_unlock(&s->lock);
    return gone;
}

static void stop(file_store *s) {
    tmk_mutex_lock(&s->lock);
    s->stopping = true;
    tmk_cond_broadcast(&s->work);
    tmk_cond_broadcast(&s->watch);
    tmk_mutex_unlock(&s->lock);
    tmk_thread_join(&s->clerk);
}

static void free_store(void *self) {
    file_store *s = self;

    stop(s);
    if (leave_worker(s)) {
        tmk_thread_join(&s->worker);
        destroy(s);
    }
}

static const tmk_store_ops ops = {
    .size = sizeof ops, .submit = submit, .claims = claims, .free = free_store};

void tmk_store_file_options_fill(tmk_store_file_options *opts, size_t size) {
    tmk_store_file_options defaults = {.size = size, .group = "$Default"};

    memset(opts, 0, size);
    memcpy(opts, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

static tmk_status check(const tmk_store_file_options *o, tmk_error *err) {
    const char *const settings[] = {o->folder, o->host, o->hub, o->group};
    static const char *const names[] = {"folder", "host", "hub", "group"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (settings[i] == NULL || settings[i][0] == '\0') {
            return tmk_fail(err, TMK_EINVAL, "file", "a file store needs the option '%s'",
                            names[i]);
        }
    }
    return TMK_OK;
}

/* Both threads, or none. */
static tmk_status start(file_store *s, tmk_error *err) {
    tmk_status st = tmk_thread_start(&s->clerk, "tmk-file-clerk", keep_watch, s, err);

    if (st == TMK_OK) {
        st = tmk_thread_start(&s->worker, "tmk-file", work, s, err);
        if (st < 0) {
            stop(s);
        }
    }
    return st;
}

/* NULL: *st says why. */
static file_store *make(tmk_status *st, tmk_error *err) {
    file_store *s = tmk_new(file_store);

    if (s == NULL) {
        *st = tmk_fail_retry(err, TMK_ENOMEM, "file", "no memory for a file store");
        return NULL;
    }
    s->clock = tmk_clock_system();
    s->table.lock_fd = -1;
    tmk_list_init(&s->queue);
    *st = tmk_mutex_init(&s->lock, 60, err);
    if (*st != TMK_OK) {
        goto no_lock;
    }
    *st = tmk_cond_init(&s->work, err);
    if (*st != TMK_OK) {
        goto no_work;
    }
    *st = tmk_cond_init(&s->watch, err);
    if (*st != TMK_OK) {
        goto no_watch;
    }
    return s;

no_watch:
    tmk_cond_clear(&s->work);
no_work:
    tmk_mutex_clear(&s->lock);
no_lock:
    tmk_free(s);
    return NULL;
}

tmk_status tmk_store_file_new_with(const tmk_store_file_options *opts, tmk_clock clock,
                                   tmk_store *out, tmk_error *err) {
    tmk_store_file_options o;
    file_store *s;
    tmk_status st;

    tmk_store_file_options_init(&o);
    memcpy(&o, opts, opts->size < sizeof o ? opts->size : sizeof o);
    st = check(&o, err);
    s = st == TMK_OK ? make(&st, err) : NULL;
    if (s == NULL) {
        return st;
    }
    st = tmk_file_table_init(&s->table, o.folder, o.host, o.hub, o.group, err);
    s->table.clock = clock;
    s->table.log = o.log;
    s->table.wait = pause_worker;
    s->table.self = s;
    if (st == TMK_OK) {
        st = start(s, err);
    }
    if (st != TMK_OK) {
        destroy(s);
        return st;
    }
    *out = (tmk_store){&ops, s};
    return TMK_OK;
}

tmk_status tmk_store_file_new(const tmk_store_file_options *opts, tmk_store *out, tmk_error *err) {
    return tmk_store_file_new_with(opts, tmk_clock_system(), out, err);
}
