/* Asking the store. See asker.h. */
#include "run/asker.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/call.h"
#include "base/status.h"
#include "base/str.h"

/*
 * Lives until it is closed and the last question is answered: a late answer of
 * the store still finds it.
 */
struct tmk_asker {
    tmk_loop *loop;
    tmk_store store;
    tmk_asker_fn answered;
    void *user;
    void (*idle)(void *user); /* set by close */
    bool closed;
    unsigned pending;
    tmk_list spare; /* questions to be used again */
};

typedef struct question {
    tmk_store_call call;
    tmk_task task;
    tmk_list node;
    tmk_asker *asker;
    uint64_t ticket;
    tmk_store_result *result; /* a copy; NULL: there was no memory, and `none` is the answer */
    tmk_store_result none;
} question;

static void copy_result(question *q, const tmk_store_result *from) {
    q->result = tmk_store_result_copy(from);
    if (q->result == NULL) {
        q->none.version = "";
        q->none.status =
            tmk_fail_retry(&q->none.error, TMK_ENOMEM, "run", "no memory for the store's answer");
    }
}

/* ---- asking ---- */

static void end_if_idle(tmk_asker *a) {
    void (*idle)(void *user) = a->idle;
    void *user = a->user;

    if (!a->closed || a->pending > 0) {
        return;
    }
    while (!tmk_list_empty(&a->spare)) {
        tmk_free(tmk_container_of(tmk_list_pop_front(&a->spare), question, node));
    }
    tmk_free(a);
    idle(user);
}

static void deliver(tmk_task *task) {
    question *q = tmk_container_of(task, question, task);
    tmk_asker *a = q->asker;
    tmk_store_result *result = q->result;
    tmk_store_result none = q->none;
    uint64_t ticket = q->ticket;

    q->result = NULL;
    a->pending--;
    tmk_list_push_back(&a->spare, &q->node);
    if (!a->closed) {
        a->answered(a->user, ticket, result == NULL ? &none : result);
    }
    tmk_store_result_free(result);
    end_if_idle(a);
}

static void answered(tmk_store_call *call, const tmk_store_result *result) {
    question *q = tmk_container_of(call, question, call);

    copy_result(q, result);
    tmk_loop_post(q->asker->loop, &q->task);
}

static question *take_question(tmk_asker *a) {
    question *q = NULL;

    if (!tmk_list_empty(&a->spare)) {
        return tmk_container_of(tmk_list_pop_front(&a->spare), question, node);
    }
    q = tmk_new(question);
    if (q != NULL) {
        q->call.answered = answered;
        q->task.run = deliver;
        q->asker = a;
    }
    return q;
}

void tmk_asker_submit(tmk_asker *a, uint64_t ticket, const tmk_store_op *op) {
    question *q = take_question(a);

    tmk_assert(!a->closed);
    if (q == NULL) {
        return;
    }
    q->ticket = ticket;
    a->pending++;
    a->store.ops->submit(a->store.self, op, &q->call);
}

tmk_status tmk_asker_new(tmk_loop *loop, tmk_store store, tmk_asker_fn answered_fn, void *user,
                         tmk_asker **out, tmk_error *err) {
    tmk_asker *a = tmk_new(tmk_asker);

    if (a == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "run", "no memory for the store's questions");
    }
    a->loop = loop;
    a->store = store;
    a->answered = answered_fn;
    a->user = user;
    tmk_list_init(&a->spare);
    *out = a;
    return TMK_OK;
}

void tmk_asker_close(tmk_asker *a, void (*idle)(void *user)) {
    a->closed = true;
    a->idle = idle;
    end_if_idle(a);
}
