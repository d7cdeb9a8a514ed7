/* Requests on their way to the records and back. */
#include "sim_store.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/call.h"
#include "base/status.h"

struct sim_store {
    sim_kernel *kernel;
    tmk_time clock_offset;
    tmk_memory_table table;
    sim_store_trouble trouble;
    sim_store_watch watch;
    void *watch_user;
};

struct sim_store_client {
    sim_store *store;
    sim_process *process;
    void *user;
    tmk_rng rng;
    bool cut;
    bool closed;
    tmk_list journeys;       /* under way */
    tmk_store_call *refused; /* no memory to remember their operations */
    sim_event refuse;
    uint64_t requests;
};

/* One request. It lives until it was applied (or will not be) and answered. */
typedef struct journey {
    tmk_list node;
    sim_store_client *client;
    tmk_request *request; /* its call is NULL once answered */
    tmk_time sent;
    tmk_reply reply;
    sim_event apply, answer;
    sim_delivery delivery;
    bool apply_done, answer_done;
    bool answer_lost;
} journey;

sim_store *sim_store_new(sim_kernel *k, tmk_time clock_offset) {
    sim_store *s = tmk_new(sim_store);

    if (s == NULL) {
        return NULL;
    }
    s->kernel = k;
    s->clock_offset = clock_offset;
    s->trouble.median = 8 * TMK_MS;
    tmk_memory_table_init(&s->table);
    return s;
}

sim_store *sim_store_free(sim_store *s) {
    if (s != NULL) {
        tmk_memory_table_clear(&s->table);
        tmk_free(s);
    }
    return NULL;
}

sim_store_trouble *sim_store_trouble_of(sim_store *s) {
    return &s->trouble;
}

void sim_store_watch_with(sim_store *s, sim_store_watch watch, void *user) {
    s->watch = watch;
    s->watch_user = user;
}

tmk_time sim_store_now(const sim_store *s) {
    return s->kernel->now + s->clock_offset;
}

const tmk_partition_entry *sim_store_partition(const sim_store *s, const char *id) {
    return tmk_map_get(&s->table.partitions, tmk_slice_str(id));
}

const tmk_member_entry *sim_store_member(const sim_store *s, const char *id) {
    return tmk_map_get(&s->table.members, tmk_slice_str(id));
}

bool sim_store_member_alive(const sim_store *s, const char *id) {
    const tmk_member_entry *e = sim_store_member(s, id);

    return e != NULL && !e->evicted && !e->gone && sim_store_now(s) < e->lease_end;
}

void sim_store_unlock(sim_store *s, const char *partition) {
    tmk_partition_entry *e = tmk_map_get(&s->table.partitions, tmk_slice_str(partition));

    if (e != NULL) {
        e->token[0] = '\0';
    }
}

void sim_store_gone(sim_store *s, const char *member) {
    tmk_member_entry *e = tmk_map_get(&s->table.members, tmk_slice_str(member));

    if (e != NULL) {
        e->gone = true;
    }
}

void sim_store_remove(sim_store *s, const char *partition) {
    tmk_store_op op = {
        .kind = TMK_STORE_PARTITION_DELETE, .id = partition, .token = "", .version = ""};
    tmk_reply reply;

    tmk_reply_init(&reply);
    tmk_memory_table_apply(&s->table, &op, sim_store_now(s), &reply);
    tmk_reply_clear(&reply);
}

/* --- applying --- */

static bool about_partition(const tmk_store_op *op) {
    return op->kind > TMK_STORE_PARTITION_LIST;
}

static bool about_member(const tmk_store_op *op) {
    return op->kind < TMK_STORE_CALL_RING && op->kind != TMK_STORE_MEMBER_LIST;
}

static void note_before(const sim_store *s, const tmk_store_op *op, sim_applied *a) {
    const tmk_partition_entry *p = about_partition(op) ? sim_store_partition(s, op->id) : NULL;
    const tmk_member_entry *m = about_member(op) ? sim_store_member(s, op->id) : NULL;

    a->existed = p != NULL || m != NULL;
    a->sequence_before = -1;
    if (p != NULL) {
        a->generation_before = p->record.generation;
        a->sequence_before = p->record.checkpoint.present && p->record.checkpoint.sequence_known
                                 ? p->record.checkpoint.sequence
                                 : -1;
        (void)snprintf(a->owner_before, sizeof a->owner_before, "%s", p->record.owner);
        (void)snprintf(a->token_before, sizeof a->token_before, "%s", p->token);
    }
    if (m != NULL) {
        a->lease_before = m->lease_end;
        a->evicted_before = m->evicted;
    }
}

static void apply_now(journey *j) {
    sim_store *s = j->client->store;
    const tmk_store_op *op = &j->request->op;
    sim_applied a = {.client = j->client, .op = op, .sent = j->sent};

    if (s->watch != NULL) {
        note_before(s, op, &a);
    }
    tmk_memory_table_apply(&s->table, op, sim_store_now(s), &j->reply);
    if (s->watch != NULL) {
        a.status = j->reply.status;
        a.after = about_partition(op) ? sim_store_partition(s, op->id) : NULL;
        s->watch(s->watch_user, &a);
    }
}

/* --- the ways there and back --- */

static void free_if_over(sim_store_client *c) {
    if (c->closed && tmk_list_empty(&c->journeys)) {
        tmk_free(c);
    }
}

static void finish(journey *j) {
    sim_store_client *c = j->client;

    if (!j->apply_done || !j->answer_done) {
        return;
    }
    tmk_reply_clear(&j->reply);
    j->request = tmk_request_free(j->request);
    tmk_list_remove(&j->node);
    tmk_free(j);
    free_if_over(c);
}

static void on_apply(sim_event *e) {
    journey *j = sim_event_of(e, journey, apply);

    if (!j->client->cut) {
        apply_now(j);
    } else {
        j->answer_lost = true; /* it never got there */
    }
    j->apply_done = true;
    finish(j);
}

static void arrive(sim_delivery *d) {
    journey *j = sim_event_of(d, journey, delivery);
    tmk_store_call *call = j->request->call;

    j->answer_done = true;
    if (call != NULL && !j->client->closed) {
        j->request->call = NULL;
        if (j->answer_lost) {
            tmk_reply_fail(call, TMK_ETIMEOUT, "store", "no answer in time", true);
        } else {
            tmk_reply_send(&j->reply, call);
        }
    }
    finish(j);
}

static void lost(sim_delivery *d) {
    journey *j = sim_event_of(d, journey, delivery);

    j->answer_done = true;
    finish(j);
}

static void on_answer(sim_event *e) {
    journey *j = sim_event_of(e, journey, answer);

    if (!j->apply_done || j->client->cut) {
        j->answer_lost = true; /* this is the moment at which it is given up */
    }
    sim_process_deliver(j->client->process, &j->delivery);
}

static bool is_list(const tmk_store_op *op) {
    return op->kind == TMK_STORE_MEMBER_LIST || op->kind == TMK_STORE_PARTITION_LIST;
}

static void fail_at(journey *j, tmk_time when, tmk_status status, const char *origin,
                    int64_t retry_after_ms) {
    j->apply_done = true;
    j->reply.status = status;
    j->reply.retry_after_ms = retry_after_ms;
    (void)tmk_fail_retry(&j->reply.error, status, origin, "the store is in trouble");
    sim_at(j->client->store->kernel, &j->answer, when);
}

/* Decides a request's fate when it is sent. */
static void send(journey *j) {
    sim_store_client *c = j->client;
    sim_kernel *k = c->store->kernel;
    const sim_store_trouble *t = &c->store->trouble;
    tmk_time took = sim_latency(&c->rng, t->median), give_up = j->request->deadline;
    tmk_time applied;

    if (c->cut || t->outage || tmk_rng_chance(&c->rng, t->lose_request)) {
        bool hangs = c->cut || tmk_rng_chance(&c->rng, 0.5);

        j->apply_done = true;
        j->answer_lost = true;
        if (!hangs) {
            j->answer_lost = false;
            fail_at(j, k->now + took, TMK_EIO, "http:503", 0);
            return;
        }
        sim_at(k, &j->answer, give_up);
        return;
    }
    if (tmk_rng_chance(&c->rng, t->busy)) {
        fail_at(j, k->now + took, TMK_EBUSY, "http:503",
                tmk_rng_chance(&c->rng, 0.5) ? tmk_rng_between(&c->rng, 100, 1500) : 0);
        return;
    }
    if (tmk_rng_chance(&c->rng, t->slow)) {
        took = tmk_rng_between(&c->rng, t->slow_from, t->slow_to);
    }
    applied = k->now + (tmk_time)((double)took * tmk_rng_unit(&c->rng));
    if (is_list(&j->request->op) && tmk_rng_chance(&c->rng, t->late_list)) {
        applied = k->now;
        took += tmk_rng_between(&c->rng, 0, 4 * TMK_SEC);
    }
    j->answer_lost = tmk_rng_chance(&c->rng, t->lose_answer);
    sim_at(k, &j->apply, applied);
    sim_at(k, &j->answer, j->answer_lost || k->now + took > give_up ? give_up : k->now + took);
}

static void refuse_all(sim_store_client *c) {
    tmk_store_call *refused = c->refused;

    c->refused = NULL;
    for (tmk_store_call *next = NULL; refused != NULL; refused = next) {
        next = refused->link;
        tmk_reply_fail(refused, TMK_ENOMEM, "store", "no memory for a store operation", true);
    }
}

static void on_refuse(sim_event *e) {
    refuse_all(sim_event_of(e, sim_store_client, refuse));
}

static void submit(void *self, const tmk_store_op *op, tmk_store_call *call) {
    sim_store_client *c = self;
    journey *j = tmk_new(journey);

    tmk_assert(!c->closed);
    if (j != NULL) {
        j->request = tmk_request_new(op, call, c->store->kernel->now);
    }
    if (j == NULL || j->request == NULL) {
        tmk_free(j);
        call->link = c->refused;
        c->refused = call;
        sim_at(c->store->kernel, &c->refuse, c->store->kernel->now);
        return;
    }
    j->client = c;
    j->sent = c->store->kernel->now;
    tmk_reply_init(&j->reply);
    j->apply.fire = on_apply;
    j->answer.fire = on_answer;
    j->delivery.arrive = arrive;
    j->delivery.lost = lost;
    tmk_list_push_back(&c->journeys, &j->node);
    c->requests++;
    send(j);
}

/* --- clients --- */

static unsigned claims(void *self) {
    (void)self;
    return 1U << TMK_CLAIMS_LEASE | 1U << TMK_CLAIMS_SHARED;
}

static const tmk_store_ops ops = {.size = sizeof ops, .submit = submit, .claims = claims};

sim_store_client *sim_store_connect(sim_store *s, sim_process *process, uint64_t number,
                                    void *user) {
    sim_store_client *c = tmk_new(sim_store_client);

    if (c == NULL) {
        return NULL;
    }
    c->store = s;
    tmk_list_init(&c->journeys);
    c->refuse.fire = on_refuse;
    c->process = process;
    c->user = user;
    c->rng = sim_rng(s->kernel, "store client", number);
    return c;
}

void sim_store_disconnect(sim_store_client *c) {
    sim_cancel(c->store->kernel, &c->refuse);
    c->closed = true;
    free_if_over(c);
}

void sim_store_forget(sim_store_client *c) {
    sim_cancel(c->store->kernel, &c->refuse);
    refuse_all(c);
    for (tmk_list *n = tmk_list_first(&c->journeys); n != NULL;
         n = tmk_list_next(&c->journeys, n)) {
        journey *j = tmk_container_of(n, journey, node);
        tmk_store_call *call = j->request->call;

        j->request->call = NULL;
        if (call != NULL) {
            tmk_reply_fail(call, TMK_ECANCELED, "store", "the process has ended", false);
        }
    }
}

void sim_store_drop(sim_store_client *c) {
    if (c == NULL) {
        return;
    }
    sim_store_forget(c);
    for (tmk_list *n = NULL; (n = tmk_list_pop_front(&c->journeys)) != NULL;) {
        journey *j = tmk_container_of(n, journey, node);

        sim_cancel(c->store->kernel, &j->apply);
        sim_cancel(c->store->kernel, &j->answer);
        tmk_list_remove(&j->delivery.node);
        tmk_reply_clear(&j->reply);
        (void)tmk_request_free(j->request);
        tmk_free(j);
    }
    tmk_free(c);
}

tmk_store sim_store_of(sim_store_client *c) {
    return (tmk_store){&ops, c};
}

void *sim_store_client_user(const sim_store_client *c) {
    return c->user;
}

void sim_store_cut(sim_store_client *c, bool cut) {
    c->cut = cut;
}

uint64_t sim_store_requests(const sim_store_client *c) {
    return c->requests;
}
