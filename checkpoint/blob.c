/*
 * The blob store's shell: operations come from any thread, are carried out on
 * the loop, and are answered there, at the latest when their time is up.
 */
#include "checkpoint/blob.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/thread.h"
#include "checkpoint/blob_flow.h"

typedef struct blob_store {
    tmk_blob_group group;
    tmk_loop *loop;
    bool owns_loop;

    /* The loop's. */
    tmk_list running, waiting; /* of operations; waiting: for the container to be made */
    bool make_container, making;
    tmk_blob_exchange maker;

    tmk_bell bell;  /* rings when there is somebody to refuse */
    tmk_mutex lock; /* rank 60; guards what follows */
    tmk_store_call *refused;
} blob_store;

/* One operation. */
typedef struct operation {
    tmk_task task; /* brings it to the loop */
    tmk_list node;
    tmk_timer timer; /* its time is up */
    blob_store *store;
    tmk_blob_flow flow;
    bool timed, begun;
} operation;

static void free_operation(operation *o) {
    tmk_list_remove(&o->node);
    if (o->timed) {
        tmk_timer_clear(o->store->loop, &o->timer);
    }
    tmk_blob_flow_clear(&o->flow);
    tmk_free(o);
}

/* ---- answers ---- */

static void on_done(tmk_blob_flow *f) {
    operation *o = tmk_container_of(f, operation, flow);
    tmk_reply reply = f->reply;
    tmk_store_call *call = f->request->call;

    tmk_reply_init(&f->reply);
    free_operation(o);
    tmk_reply_send(&reply, call);
    tmk_reply_clear(&reply);
}

static void on_timeout(tmk_timer *t) {
    operation *o = tmk_container_of(t, operation, timer);
    tmk_store_call *call = o->flow.request->call;

    free_operation(o);
    tmk_reply_fail(call, TMK_ETIMEOUT, "blob", "the Blob service did not answer in time", true);
}

static void end_with(operation *o, const tmk_error *err) {
    o->flow.reply.error = *err;
    o->flow.reply.status = err->status;
    on_done(&o->flow);
}

/* ---- operations ---- */

static void begin(operation *o) {
    tmk_error err = {0};

    o->flow.done = on_done;
    if (tmk_blob_flow_init(&o->flow, &o->store->group, o->flow.request) < 0) {
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "blob", "no memory for a store operation");
        end_with(o, &err);
        return;
    }
    tmk_blob_flow_start(&o->flow);
}

/* Those that have come while the container was made. */
static void on_made(tmk_blob_exchange *x, const tmk_blob_answer *a) {
    blob_store *s = tmk_container_of(x, blob_store, maker);
    tmk_error err = a->error;
    tmk_list now;
    tmk_list *node;

    s->making = false;
    if (a->status == TMK_OK && !tmk_blob_is_done(a) && a->code != 409) { /* 409: it exists */
        (void)tmk_fail(&err, TMK_EREMOTE, "blob", "the container cannot be made (%d %s)", a->code,
                       a->error_code);
    }
    s->make_container = err.status < 0;
    tmk_list_init(&now);
    while ((node = tmk_list_pop_front(&s->waiting)) != NULL) {
        tmk_list_push_back(&now, node);
    }
    while ((node = tmk_list_pop_front(&now)) != NULL) {
        operation *o = tmk_container_of(node, operation, node);
        tmk_list_push_back(&s->running, &o->node);
        if (err.status < 0) {
            end_with(o, &err);
        } else {
            begin(o);
        }
    }
}

static void make_container(blob_store *s, tmk_time deadline) {
    static const tmk_blob_ask ask = {.method = "PUT", .query = "restype=container"};

    s->making = true;
    s->maker.answered = on_made;
    tmk_blob_send(&s->maker, &ask, deadline);
}

static void on_posted(tmk_task *task) {
    operation *o = tmk_container_of(task, operation, task);
    blob_store *s = o->store;
    tmk_request *r = o->flow.request;
    tmk_error err = {0};

    tmk_list_push_back(&s->running, &o->node);
    if (tmk_store_op_check(&r->op, &err) < 0) {
        end_with(o, &err);
        return;
    }
    if (r->op.kind >= TMK_STORE_PARTITION_READ &&
        tmk_blob_id_check(TMK_BLOB_CHECKPOINT, r->op.id, &err) < 0) {
        end_with(o, &err);
        return;
    }
    if (tmk_timer_init(s->loop, &o->timer, on_timeout) < 0) {
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "blob", "no memory for a store operation");
        end_with(o, &err);
        return;
    }
    o->timed = true;
    tmk_timer_set(s->loop, &o->timer, r->deadline);
    if (!s->make_container) {
        begin(o);
        return;
    }
    tmk_list_remove(&o->node);
    tmk_list_push_back(&s->waiting, &o->node);
    if (!s->making) {
        make_container(s, r->deadline);
    }
}

static void on_bell(tmk_bell *bell) {
    blob_store *s = tmk_container_of(bell, blob_store, bell);
    tmk_store_call *refused;

    tmk_mutex_lock(&s->lock);
    refused = s->refused;
    s->refused = NULL;
    tmk_mutex_unlock(&s->lock);
    for (tmk_store_call *next; refused != NULL; refused = next) {
        next = refused->link;
        tmk_reply_fail(refused, TMK_ENOMEM, "blob", "no memory for a store operation", true);
    }
}

/* ---- the store ---- */

static void submit(void *self, const tmk_store_op *op, tmk_store_call *call) {
    blob_store *s = self;
    operation *o = tmk_new(operation);
    tmk_request *r = o == NULL ? NULL : tmk_request_new(op, call, tmk_now(tmk_loop_clock(s->loop)));

    if (r == NULL) {
        tmk_free(o);
        tmk_mutex_lock(&s->lock);
        call->link = s->refused;
        s->refused = call;
        tmk_mutex_unlock(&s->lock);
        tmk_bell_ring(&s->bell);
        return;
    }
    o->store = s;
    o->flow.request = r;
    o->task.run = on_posted;
    tmk_loop_post(s->loop, &o->task);
}

static unsigned claims(void *self) {
    return 1U << ((blob_store *)self)->group.claims;
}

static void destroy(blob_store *s) {
    tmk_blob_exchange_clear(&s->maker);
    s->group.client = tmk_blob_client_free(s->group.client);
    tmk_blob_lease_forget(&s->group);
    tmk_free(s->group.prefix);
    if (s->owns_loop) {
        s->loop = tmk_loop_free(s->loop);
    }
    tmk_mutex_clear(&s->lock);
    tmk_free(s);
}

static void free_store(void *self) {
    blob_store *s = self;

    if (s->owns_loop) {
        tmk_loop_stop(s->loop);
    }
    destroy(s);
}

static const tmk_store_ops ops = {
    .size = sizeof ops, .submit = submit, .claims = claims, .free = free_store};

void tmk_store_blob_options_fill(tmk_store_blob_options *opts, size_t size) {
    tmk_store_blob_options defaults = {.size = size, .group = "$Default"};

    memset(opts, 0, size);
    memcpy(opts, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

static tmk_status set_up(blob_store *s, const tmk_store_blob_options *o, tmk_error *err) {
    tmk_blob_client_options client = {.connection_string = o->connection_string,
                                      .account_url = o->account_url,
                                      .credential = o->credential,
                                      .container = o->container,
                                      .tls_ca_file = o->tls_ca_file,
                                      .proxy = o->proxy,
                                      .api_version = o->api_version,
                                      .log = o->log};
    tmk_status st;

    if (o->claims != TMK_CLAIMS_LEASE && o->claims != TMK_CLAIMS_SHARED) {
        return tmk_fail(err, TMK_EINVAL, "blob", "there is no way of claiming %d", (int)o->claims);
    }
    s->group.claims = o->claims;
    s->make_container = o->create_container;
    st = tmk_blob_group_prefix(o->host, o->hub, o->group, o->keep_case, &s->group.prefix, err);
    if (st == TMK_OK) {
        st = tmk_blob_client_new(s->loop, &client, &s->group.client, err);
    }
    if (st == TMK_OK && tmk_blob_exchange_init(&s->maker, s->group.client) < 0) {
        st = tmk_fail_retry(err, TMK_ENOMEM, "blob", "no memory for a blob store");
    }
    return st;
}

/* NULL: *st says why. */
static blob_store *make(tmk_loop *loop, const tmk_store_blob_options *opts, tmk_status *st,
                        tmk_error *err) {
    blob_store *s = tmk_new(blob_store);
    tmk_store_blob_options o;

    if (s == NULL) {
        *st = tmk_fail_retry(err, TMK_ENOMEM, "blob", "no memory for a blob store");
        return NULL;
    }
    *st = tmk_mutex_init(&s->lock, 60, err);
    if (*st != TMK_OK) {
        tmk_free(s);
        return NULL;
    }
    s->loop = loop;
    tmk_list_init(&s->running);
    tmk_list_init(&s->waiting);
    tmk_bell_init(&s->bell, loop, on_bell);
    tmk_store_blob_options_init(&o);
    memcpy(&o, opts, opts->size < sizeof o ? opts->size : sizeof o);
    *st = set_up(s, &o, err);
    if (*st != TMK_OK) {
        destroy(s);
        return NULL;
    }
    return s;
}

tmk_status tmk_store_blob_new_on(tmk_loop *loop, const tmk_store_blob_options *opts, tmk_store *out,
                                 tmk_error *err) {
    tmk_status st = TMK_OK;
    blob_store *s = make(loop, opts, &st, err);

    if (s != NULL) {
        *out = (tmk_store){&ops, s};
    }
    return st;
}

tmk_status tmk_store_blob_new(const tmk_store_blob_options *opts, tmk_store *out, tmk_error *err) {
    tmk_loop *loop = NULL;
    blob_store *s;
    tmk_status st = tmk_loop_new(tmk_clock_system(), &loop, err);

    if (st != TMK_OK) {
        return st;
    }
    s = make(loop, opts, &st, err);
    if (s == NULL) {
        (void)tmk_loop_free(loop);
        return st;
    }
    s->owns_loop = true;
    st = tmk_loop_start(loop, "tmk-blob", err);
    if (st != TMK_OK) {
        destroy(s);
        return st;
    }
    *out = (tmk_store){&ops, s};
    return TMK_OK;
}
