/*
 * The memory store's shell: a queue in front of the table, and a thread that
 * empties it. Only that thread (or, in manual mode, the caller of step)
 * touches the table, so there is no lock around it.
 */
#include "checkpoint/memory.h"

#include "base/alloc.h"
#include "base/status.h"
#include "base/thread.h"
#include "checkpoint/memory_table.h"

typedef struct memory_store {
    tmk_clock clock;
    tmk_memory_table table; /* the thread's */
    tmk_thread thread;
    bool manual;

    tmk_mutex lock; /* rank 60; guards what follows */
    tmk_cond wake;
    tmk_list queue;
    tmk_store_call *refused; /* no memory to remember their operations */
    unsigned references;
    bool stopping;
} memory_store;

static void answer(memory_store *s, tmk_request *r) {
    tmk_time now = tmk_now(&s->clock);
    tmk_reply reply;

    if (now >= r->deadline) {
        tmk_reply_fail(r->call, TMK_ETIMEOUT, "store", "the memory store came to it too late",
                       true);
        return;
    }
    tmk_reply_init(&reply);
    tmk_memory_table_apply(&s->table, &r->op, now, &reply);
    tmk_reply_send(&reply, r->call);
    tmk_reply_clear(&reply);
}

static void refuse(tmk_store_call *call) {
    tmk_reply_fail(call, TMK_ENOMEM, "store", "no memory for a store operation", true);
}

/* Answers what waits now, not what the answers ask in turn; how many. */
static size_t serve(memory_store *s) {
    tmk_store_call *refused;
    tmk_list taken;
    tmk_list *node;
    size_t count = 0;

    tmk_list_init(&taken);
    tmk_mutex_lock(&s->lock);
    while ((node = tmk_list_pop_front(&s->queue)) != NULL) {
        tmk_list_push_back(&taken, node);
    }
    refused = s->refused;
    s->refused = NULL;
    tmk_mutex_unlock(&s->lock);

    for (tmk_store_call *next; refused != NULL; refused = next, count++) {
        next = refused->link;
        refuse(refused);
    }
    for (; (node = tmk_list_pop_front(&taken)) != NULL; count++) {
        tmk_request *r = tmk_container_of(node, tmk_request, node);
        answer(s, r);
        (void)tmk_request_free(r);
    }
    return count;
}

static void *run(void *arg) {
    memory_store *s = arg;
    bool stop;

    do {
        (void)serve(s);
        tmk_mutex_lock(&s->lock);
        while (tmk_list_empty(&s->queue) && s->refused == NULL && !s->stopping) {
            tmk_cond_wait(&s->wake, &s->lock);
        }
        stop = s->stopping;
        tmk_mutex_unlock(&s->lock);
    } while (!stop);
    return NULL;
}

size_t tmk_store_memory_step(tmk_store store) {
    return serve(store.self);
}

static void submit(void *self, const tmk_store_op *op, tmk_store_call *call) {
    memory_store *s = self;
    tmk_request *r = tmk_request_new(op, call, tmk_now(&s->clock));

    tmk_mutex_lock(&s->lock);
    if (r == NULL) {
        call->link = s->refused;
        s->refused = call;
    } else {
        tmk_list_push_back(&s->queue, &r->node);
    }
    tmk_cond_signal(&s->wake);
    tmk_mutex_unlock(&s->lock);
}

static unsigned claims(void *self) {
    (void)self;
    return 1U << TMK_CLAIMS_LEASE | 1U << TMK_CLAIMS_SHARED;
}

static void free_store(void *self) {
    memory_store *s = self;
    bool last;

    tmk_mutex_lock(&s->lock);
    last = --s->references == 0;
    s->stopping = last;
    tmk_cond_signal(&s->wake);
    tmk_mutex_unlock(&s->lock);
    if (!last) {
        return;
    }
    tmk_thread_join(&s->thread);
    tmk_memory_table_clear(&s->table);
    tmk_cond_clear(&s->wake);
    tmk_mutex_clear(&s->lock);
    tmk_free(s);
}

static const tmk_store_ops ops = {
    .size = sizeof ops, .submit = submit, .claims = claims, .free = free_store};

tmk_status tmk_store_memory_new_with(const tmk_memory_setup *setup, tmk_store *out,
                                     tmk_error *err) {
    memory_store *s = tmk_new(memory_store);
    tmk_status st;

    if (s == NULL) {
        return tmk_fail_retry(err, TMK_ENOMEM, "store", "no memory for a memory store");
    }
    s->clock = setup->clock;
    s->manual = setup->manual;
    s->references = 1;
    tmk_list_init(&s->queue);
    tmk_memory_table_init(&s->table);
    st = tmk_mutex_init(&s->lock, 60, err);
    if (st < 0) {
        goto no_lock;
    }
    st = tmk_cond_init(&s->wake, err);
    if (st < 0) {
        goto no_cond;
    }
    if (!s->manual) {
        st = tmk_thread_start(&s->thread, "tmk-memory", run, s, err);
        if (st < 0) {
            goto no_thread;
        }
    }
    *out = (tmk_store){&ops, s};
    return TMK_OK;

no_thread:
    tmk_cond_clear(&s->wake);
no_cond:
    tmk_mutex_clear(&s->lock);
no_lock:
    tmk_free(s);
    return st;
}

tmk_status tmk_store_memory_new(tmk_store *out, tmk_error *err) {
    tmk_memory_setup setup = {.clock = tmk_clock_system()};

    return tmk_store_memory_new_with(&setup, out, err);
}

tmk_store tmk_store_memory_ref(tmk_store store) {
    memory_store *s = store.self;

    tmk_mutex_lock(&s->lock);
    s->references++;
    tmk_mutex_unlock(&s->lock);
    return store;
}
