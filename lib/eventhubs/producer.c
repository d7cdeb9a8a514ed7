/*
 * The public producer: see tidemark/producer.h. Sends are encoded on the
 * program's thread, queued, and handed to the lane of their place (lane.h) on
 * the loop's.
 */
#include <tidemark/producer.h>

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/map.h"
#include "base/status.h"
#include "eventhubs/batch.h"
#include "eventhubs/client_parts.h"
#include "eventhubs/lane.h"
#include "eventhubs/resend.h"
#include "eventhubs/source_amqp.h"
#include "eventhubs/trace.h"

enum { PARTITION_MAX = 64, NAME_MAX_SIZE = 64 };

/* Somebody waits until what was sent before has had its fate. */
typedef struct flush {
    tmk_list node;
    uint64_t number; /* the last send that it waits for */
    void (*done)(void *user);
    void *user;
} flush;

/* Somebody wants to know a lane's limit. */
typedef struct limit_wait {
    tmk_wait base;
    tmk_list node;
    char *partition;
    uint64_t limit;
} limit_wait;

struct tmk_producer {
    tmk_client *client;
    char *name;
    tmk_producer_options options;
    tmk_bell bell; /* sends have been queued; rung from any thread */

    /* the loop's thread only */
    tmk_map lanes; /* by partition; "": the hub */
    tmk_list limit_waits;

    tmk_mutex lock; /* guards what follows */
    tmk_list queue; /* sends that no lane has yet */
    tmk_list all;   /* sends without a fate, in order */
    tmk_list flushes;
    uint64_t number, pending, pending_bytes;
    uint64_t limit; /* the smallest that any lane knows; 0: none */
    bool closed;    /* takes nothing more */
    bool gone;      /* the handle is freed */
};

static void on_bell(tmk_bell *bell);

/* ---- options ---- */

void tmk_producer_options_fill(tmk_producer_options *opts, size_t size) {
    const tmk_producer_options defaults = {
        .size = size,
        .resend_unknown = true,
        .pending_max = 10000,
        .pending_bytes_max = UINT64_C(64) * 1024 * 1024,
    };

    tmk_options_merge(opts, size, &defaults, sizeof defaults);
}

static tmk_status check(const tmk_producer_options *o, tmk_error *err) {
    if (o->name != NULL && strlen(o->name) > NAME_MAX_SIZE) {
        return tmk_fail(err, TMK_EINVAL, "producer", "a producer's name has at most %d bytes",
                        NAME_MAX_SIZE);
    }
    if (o->pending_max < 1 || o->pending_bytes_max < 1) {
        return tmk_fail(err, TMK_EINVAL, "producer",
                        "pending_max and pending_bytes_max are at least 1");
    }
    return tmk_retry_options_check(&o->retry, err);
}

/* ---- fates ---- */

static void send_free(tmk_send *s) {
    if (s != NULL) {
        tmk_str_clear(&s->message);
        tmk_free(s->partition);
        tmk_free(s);
    }
}

/* With the lock held: the first flush whose sends have all had their fate, taken out. */
static flush *ready_flush(tmk_producer *p) {
    tmk_list *oldest = tmk_list_first(&p->all), *node = tmk_list_first(&p->flushes);
    flush *f = node == NULL ? NULL : tmk_container_of(node, flush, node);

    if (f == NULL ||
        (oldest != NULL && tmk_container_of(oldest, tmk_send, order)->number <= f->number)) {
        return NULL;
    }
    tmk_list_remove(node);
    return f;
}

static void tell_flushes(tmk_producer *p) {
    flush *f;

    do {
        tmk_mutex_lock(&p->lock);
        f = ready_flush(p);
        tmk_mutex_unlock(&p->lock);
        if (f != NULL) {
            f->done(f->user);
            tmk_free(f);
        }
    } while (f != NULL);
}

/* The loop's thread. */
static void on_done(void *user, tmk_send *s, const tmk_error *why) {
    tmk_producer *p = user;
    const tmk_fate fate = {.status = why == NULL ? TMK_OK : why->status,
                           .error = why,
                           .events = s->events,
                           .attempts = s->tries,
                           .maybe_twice = why == NULL && s->unknown,
                           .maybe_stored = why != NULL && s->unknown};

    tmk_mutex_lock(&p->lock);
    tmk_list_remove(&s->order);
    p->pending--;
    p->pending_bytes -= s->message.size;
    tmk_mutex_unlock(&p->lock);
    if (s->fate != NULL) {
        s->fate(s->user, &fate);
    }
    send_free(s);
    tell_flushes(p);
}

/* ---- lanes; the loop's thread ---- */

static void tell_limit(tmk_producer *p, const char *partition, uint64_t limit,
                       const tmk_error *why) {
    tmk_list *next = NULL;

    for (tmk_list *n = tmk_list_first(&p->limit_waits); n != NULL; n = next) {
        limit_wait *w = tmk_container_of(n, limit_wait, node);

        next = tmk_list_next(&p->limit_waits, n);
        if (strcmp(w->partition, partition) == 0) {
            tmk_list_remove(n);
            w->limit = limit;
            tmk_wait_done(&w->base, why);
        }
    }
}

/* A lane's key in the map, and its partition. */
static const char *key_of(const char *partition) {
    return partition == NULL ? "" : partition;
}

typedef struct owned_lane {
    tmk_producer *producer;
    tmk_lane *lane;
    char *partition; /* NULL: the hub */
} owned_lane;

static void on_stands(void *user, tmk_lane *lane, uint64_t limit) {
    owned_lane *own = user;
    tmk_producer *p = own->producer;

    (void)lane;
    tmk_mutex_lock(&p->lock);
    if (p->limit == 0 || limit < p->limit) {
        p->limit = limit;
    }
    tmk_mutex_unlock(&p->lock);
    tell_limit(p, key_of(own->partition), limit, NULL);
}

static void on_over(void *user, tmk_lane *lane, const tmk_error *why) {
    owned_lane *own = user;

    (void)lane;
    tell_limit(own->producer, key_of(own->partition), 0, why);
    tmk_bell_ring(&own->producer->bell); /* sweeps it */
}

static void on_lane_done(void *user, tmk_send *s, const tmk_error *why) {
    on_done(((owned_lane *)user)->producer, s, why);
}

static void owned_free(owned_lane *own) {
    own->lane = tmk_lane_free(own->lane);
    tmk_free(own->partition);
    tmk_free(own);
}

static owned_lane *make_lane(tmk_producer *p, const char *partition, tmk_error *err) {
    owned_lane *own = tmk_new(owned_lane);
    tmk_lane_options o = {.name = p->name,
                          .retry = p->options.retry,
                          .resend_unknown = p->options.resend_unknown,
                          .done = on_lane_done,
                          .stands = on_stands,
                          .over = on_over,
                          .user = own};

    if (own == NULL || (partition != NULL && (own->partition = tmk_copy_str(partition)) == NULL)) {
        tmk_free(own);
        (void)tmk_fail_retry(err, TMK_ENOMEM, "producer", "no memory for a link");
        return NULL;
    }
    own->producer = p;
    o.partition = own->partition;
    if (tmk_lane_new(tmk_client_core(p->client), &o, &own->lane, err) < 0) {
        owned_free(own);
        return NULL;
    }
    if (tmk_map_put(&p->lanes, tmk_slice_str(key_of(partition)), own, NULL) < 0) {
        owned_free(own);
        (void)tmk_fail_retry(err, TMK_ENOMEM, "producer", "no memory for a link");
        return NULL;
    }
    return own;
}

/* The lane to a place, made anew when the last one is over. */
static tmk_lane *lane_for(tmk_producer *p, const char *partition, tmk_error *err) {
    tmk_slice key = tmk_slice_str(key_of(partition));
    owned_lane *own = tmk_map_get(&p->lanes, key);

    if (own != NULL && tmk_lane_is_over(own->lane)) {
        (void)tmk_map_remove(&p->lanes, key);
        owned_free(own);
        own = NULL;
    }
    if (own == NULL) {
        own = make_lane(p, partition, err);
    }
    return own == NULL ? NULL : own->lane;
}

static void sweep(tmk_producer *p) {
    tmk_map_entry *e;

    for (size_t i = 0; (e = tmk_map_next(&p->lanes, &i)) != NULL;) {
        owned_lane *own = e->value;

        if (tmk_lane_is_over(own->lane)) {
            (void)tmk_map_remove(&p->lanes, tmk_slice_str(key_of(own->partition)));
            owned_free(own);
        }
    }
}

static tmk_send *next_queued(tmk_producer *p) {
    tmk_list *node;

    tmk_mutex_lock(&p->lock);
    node = tmk_list_pop_front(&p->queue);
    tmk_mutex_unlock(&p->lock);
    return node == NULL ? NULL : tmk_container_of(node, tmk_send, node);
}

static void cancel(tmk_producer *p, tmk_send *s) {
    tmk_error err;

    (void)tmk_fail(&err, TMK_ECANCELED, "producer", "the producer was closed before it was sent");
    on_done(p, s, &err);
}

/* The loop's thread. */
static void hand_out(tmk_producer *p) {
    tmk_send *s;
    tmk_error err;

    while ((s = next_queued(p)) != NULL) {
        tmk_lane *lane = lane_for(p, s->partition, &err);

        if (lane == NULL) {
            on_done(p, s, &err);
        } else {
            tmk_lane_push(lane, s);
        }
    }
}

static void shut(tmk_producer *p);

static void on_bell(tmk_bell *bell) {
    tmk_producer *p = tmk_container_of(bell, tmk_producer, bell);
    bool gone;

    tmk_mutex_lock(&p->lock);
    gone = p->gone;
    tmk_mutex_unlock(&p->lock);
    if (gone) {
        shut(p);
        return;
    }
    sweep(p);
    hand_out(p);
    tell_flushes(p);
}

/* ---- life ---- */

static void destroy(tmk_producer *p) {
    tmk_map_clear(&p->lanes, NULL);
    tmk_mutex_clear(&p->lock);
    tmk_free(p->name);
    tmk_free(p);
}

/* The loop's thread: everything that is left gets its fate, and the producer goes. */
static void shut(tmk_producer *p) {
    tmk_client *client = p->client;
    tmk_map_entry *e;
    tmk_send *s;
    tmk_error err;

    while ((s = next_queued(p)) != NULL) {
        cancel(p, s);
    }
    for (size_t i = 0; (e = tmk_map_next(&p->lanes, &i)) != NULL;) {
        owned_free(e->value);
    }
    (void)tmk_fail(&err, TMK_ECANCELED, "producer", "the producer was freed");
    for (tmk_list *n; (n = tmk_list_pop_front(&p->limit_waits)) != NULL;) {
        tmk_wait_done(&tmk_container_of(n, limit_wait, node)->base, &err);
    }
    tell_flushes(p);
    tmk_bell_clear(&p->bell);
    destroy(p);
    tmk_client_unref(client);
}

static void shut_on_loop(void *arg) {
    shut(arg);
}

tmk_status tmk_producer_new(tmk_client *client, const tmk_producer_options *opts,
                            tmk_producer **out, tmk_error *err) {
    tmk_producer_options o;
    tmk_producer *p;
    tmk_status st;

    if (client == NULL) {
        return tmk_fail(err, TMK_EINVAL, "producer", "a producer needs a client");
    }
    tmk_producer_options_init(&o);
    if (opts != NULL) {
        tmk_options_merge(&o, sizeof o, opts, opts->size);
    }
    if (o.retry.attempts == 0) {
        o.retry = *tmk_client_retry(client);
    }
    st = check(&o, err);
    if (st < 0) {
        return st;
    }
    p = tmk_new(tmk_producer);
    if (p == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "producer", "no memory for a producer");
    }
    st = tmk_mutex_init(&p->lock, TMK_RANK_PRODUCER, err);
    if (st < 0) {
        tmk_free(p);
        return st;
    }
    tmk_list_init(&p->queue);
    tmk_list_init(&p->all);
    tmk_list_init(&p->flushes);
    tmk_list_init(&p->limit_waits);
    p->client = client;
    p->options = o;
    p->options.name = NULL;
    p->name = tmk_copy_str(o.name);
    if (p->name == NULL && o.name != NULL) {
        destroy(p);
        return tmk_fail(err, TMK_ENOMEM, "producer", "no memory for a producer");
    }
    tmk_bell_init(&p->bell, tmk_client_loop(client), on_bell);
    tmk_client_ref(client);
    *out = p;
    return TMK_OK;
}

/* From a callback it may be one of a lane's, which must not go under it: then the bell does it. */
tmk_producer *tmk_producer_free(tmk_producer *p) {
    if (p == NULL) {
        return NULL;
    }
    bool inside = tmk_client_is_inside(p->client);

    tmk_mutex_lock(&p->lock);
    p->closed = true;
    p->gone = inside; /* else a bell that was rung before would shut it first, and then once more */
    tmk_mutex_unlock(&p->lock);
    if (inside) {
        tmk_bell_ring(&p->bell);
    } else {
        tmk_client_do(p->client, shut_on_loop, p);
    }
    return NULL;
}

/* ---- sending ---- */

static tmk_status check_place(tmk_slice key, const char *partition, tmk_error *err) {
    if (partition == NULL) {
        return TMK_OK;
    }
    if (partition[0] == '\0' || strlen(partition) > PARTITION_MAX ||
        strpbrk(partition, "/?#") != NULL) {
        return tmk_fail(err, TMK_EINVAL, "producer", "that is no id of a partition");
    }
    if (key.size > 0) {
        return tmk_fail(err, TMK_EINVAL, "producer",
                        "an event has a partition key or goes to a partition, not both");
    }
    return TMK_OK;
}

/* With the lock held. */
static tmk_status admit(tmk_producer *p, const tmk_send *s, tmk_error *err) {
    if (p->closed) {
        return tmk_fail(err, TMK_ESTATE, "producer", "the producer is closed");
    }
    if (p->limit != 0 && s->message.size > p->limit) {
        return tmk_fail(err, TMK_ELIMIT, "amqp:link:message-size-exceeded",
                        "%zu bytes are more than the %" PRIu64 " that the service takes at once",
                        s->message.size, p->limit);
    }
    if (p->pending >= p->options.pending_max ||
        (p->pending > 0 && p->pending_bytes + s->message.size > p->options.pending_bytes_max)) {
        return tmk_fail_retry(err, TMK_ELIMIT, "producer",
                              "%" PRIu64 " sends of %" PRIu64
                              " bytes wait for their answers: wait for a fate",
                              p->pending, p->pending_bytes);
    }
    return TMK_OK;
}

static tmk_status enqueue(tmk_producer *p, tmk_send *s, tmk_error *err) {
    tmk_status st;

    tmk_mutex_lock(&p->lock);
    st = admit(p, s, err);
    if (st == TMK_OK) {
        s->number = ++p->number;
        p->pending++;
        p->pending_bytes += s->message.size;
        tmk_list_push_back(&p->all, &s->order);
        tmk_list_push_back(&p->queue, &s->node);
        tmk_bell_ring(&p->bell);
    }
    tmk_mutex_unlock(&p->lock);
    return st;
}

static tmk_send *send_new(const char *partition, tmk_fate_fn fate, void *user, tmk_error *err) {
    tmk_send *s = tmk_new(tmk_send);

    if (s == NULL || (partition != NULL && (s->partition = tmk_copy_str(partition)) == NULL)) {
        tmk_free(s);
        (void)tmk_fail(err, TMK_ENOMEM, "producer", "no memory for an event");
        return NULL;
    }
    s->fate = fate;
    s->user = user;
    return s;
}

/* With its trace context, where that is asked for and the event has none of its own. */
static tmk_status encode(tmk_producer *p, const tmk_message *event, tmk_slice key, tmk_str *out,
                         tmk_error *err) {
    tmk_compose_extra extras[3];
    tmk_trace trace;
    size_t count = 0;

    if (p->options.on_trace != NULL && !tmk_message_has(event, "traceparent") &&
        !tmk_message_has(event, "Diagnostic-Id") && !tmk_message_has(event, "tracestate")) {
        trace.parent[0] = trace.state[0] = '\0';
        p->options.on_trace(p->options.user, event, &trace);
        count = tmk_trace_extras(&trace, extras);
    }
    return tmk_message_encode_with(event, key, extras, count, out, err);
}

tmk_status tmk_producer_send(tmk_producer *p, const tmk_message *event, const char *partition,
                             tmk_fate_fn fate, void *user, tmk_error *err) {
    tmk_slice key = tmk_message_key(event);
    tmk_status st = check_place(key, partition, err);
    tmk_send *s;

    if (st < 0) {
        return st;
    }
    s = send_new(partition, fate, user, err);
    if (s == NULL) {
        return TMK_ENOMEM;
    }
    s->events = 1;
    st = encode(p, event, key, &s->message, err);
    if (st == TMK_OK) {
        st = enqueue(p, s, err);
    }
    if (st < 0) {
        send_free(s);
    }
    return st;
}

tmk_status tmk_producer_send_batch(tmk_producer *p, const tmk_batch *batch, const char *partition,
                                   tmk_fate_fn fate, void *user, tmk_error *err) {
    tmk_status st = check_place(tmk_batch_key(batch), partition, err);
    tmk_send *s;

    if (st == TMK_OK && tmk_batch_count(batch) == 0) {
        st = tmk_fail(err, TMK_EINVAL, "producer", "the batch is empty");
    }
    if (st < 0) {
        return st;
    }
    s = send_new(partition, fate, user, err);
    if (s == NULL) {
        return TMK_ENOMEM;
    }
    s->batch = true;
    s->events = tmk_batch_count(batch);
    tmk_str_add_slice(&s->message, tmk_batch_encoded(batch));
    st = tmk_str_ok(&s->message) ? enqueue(p, s, err)
                                 : tmk_fail(err, TMK_ENOMEM, "producer", "no memory for a batch");
    if (st < 0) {
        send_free(s);
    }
    return st;
}

/* ---- waiting forms ---- */

typedef struct fate_wait {
    tmk_wait base;
    tmk_fate fate;
} fate_wait;

static void on_fate(void *user, const tmk_fate *fate) {
    fate_wait *w = user;

    w->fate = *fate;
    tmk_wait_done(&w->base, fate->error);
}

static tmk_status wait_for_fate(tmk_producer *p, fate_wait *w, tmk_status sent, int64_t timeout_ms,
                                tmk_fate *fate, tmk_error *err) {
    tmk_status st = sent;

    if (sent < 0) {
        (void)tmk_wait_drop(&w->base); /* the loop's */
    } else {
        st = tmk_wait_for(p->client, &w->base, timeout_ms, err);
    }
    /* Without a fate: the wait was over first. */
    if (sent == TMK_OK && fate != NULL && (st == TMK_OK || w->base.done)) {
        *fate = w->fate;
        fate->error = st == TMK_OK ? NULL : err;
    }
    (void)tmk_wait_drop(&w->base);
    return st;
}

static tmk_status fate_wait_new(tmk_producer *p, fate_wait **out, tmk_error *err) {
    tmk_wait *base = NULL;
    tmk_status st = tmk_wait_new(p->client, sizeof(fate_wait), &base, err);

    *out = (fate_wait *)base;
    return st;
}

tmk_status tmk_producer_send_wait(tmk_producer *p, const tmk_message *event, const char *partition,
                                  int64_t timeout_ms, tmk_fate *fate, tmk_error *err) {
    fate_wait *w = NULL;
    tmk_status st = fate_wait_new(p, &w, err);

    if (st < 0) {
        return st;
    }
    st = tmk_producer_send(p, event, partition, on_fate, w, err);
    return wait_for_fate(p, w, st, timeout_ms, fate, err);
}

tmk_status tmk_producer_send_batch_wait(tmk_producer *p, const tmk_batch *batch,
                                        const char *partition, int64_t timeout_ms, tmk_fate *fate,
                                        tmk_error *err) {
    fate_wait *w = NULL;
    tmk_status st = fate_wait_new(p, &w, err);

    if (st < 0) {
        return st;
    }
    st = tmk_producer_send_batch(p, batch, partition, on_fate, w, err);
    return wait_for_fate(p, w, st, timeout_ms, fate, err);
}

/* ---- the limit ---- */

static void clear_limit_wait(tmk_wait *base) {
    tmk_free(((limit_wait *)base)->partition);
}

typedef struct limit_ask {
    tmk_producer *p;
    limit_wait *wait;
    const char *partition;
} limit_ask;

static void ask_limit(void *arg) {
    limit_ask *a = arg;
    tmk_error err;
    tmk_lane *lane = lane_for(a->p, a->partition, &err);

    if (lane == NULL) {
        tmk_wait_done(&a->wait->base, &err);
    } else if (tmk_lane_limit(lane) != 0) {
        a->wait->limit = tmk_lane_limit(lane);
        tmk_wait_done(&a->wait->base, NULL);
    } else {
        tmk_list_push_back(&a->p->limit_waits, &a->wait->node);
        tmk_lane_open(lane);
    }
}

static void forget_limit(void *arg) {
    limit_ask *a = arg;

    if (tmk_list_linked(&a->wait->node)) {
        tmk_list_remove(&a->wait->node);
        (void)tmk_wait_drop(&a->wait->base);
    }
}

tmk_status tmk_producer_limit_wait(tmk_producer *p, const char *partition, int64_t timeout_ms,
                                   uint64_t *out, tmk_error *err) {
    limit_ask a = {.p = p, .partition = partition};
    tmk_wait *base = NULL;
    tmk_status st = check_place(tmk_slice_of(NULL, 0), partition, err);

    if (st == TMK_OK) {
        st = tmk_wait_new(p->client, sizeof(limit_wait), &base, err);
    }
    if (base == NULL) {
        return st;
    }
    a.wait = (limit_wait *)base;
    base->clear = clear_limit_wait;
    a.wait->partition = tmk_copy_str(key_of(partition));
    if (a.wait->partition == NULL) {
        (void)tmk_wait_drop(base);
        (void)tmk_wait_drop(base);
        return tmk_fail(err, TMK_ENOMEM, "producer", "no memory to wait");
    }
    tmk_client_do(p->client, ask_limit, &a);
    st = tmk_wait_for(p->client, base, timeout_ms, err);
    tmk_client_do(p->client, forget_limit, &a);
    if (st == TMK_OK) {
        *out = a.wait->limit;
    }
    (void)tmk_wait_drop(base);
    return st;
}

/* ---- flushing and closing ---- */

uint64_t tmk_producer_pending(const tmk_producer *p) {
    tmk_producer *mine = (tmk_producer *)(uintptr_t)p; /* only the lock is written to */
    uint64_t pending;

    tmk_mutex_lock(&mine->lock);
    pending = mine->pending;
    tmk_mutex_unlock(&mine->lock);
    return pending;
}

tmk_status tmk_producer_flush(tmk_producer *p, void (*done)(void *user), void *user,
                              tmk_error *err) {
    flush *f = tmk_new(flush);

    if (f == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "producer", "no memory for a flush");
    }
    f->done = done;
    f->user = user;
    tmk_mutex_lock(&p->lock);
    f->number = p->number;
    tmk_list_push_back(&p->flushes, &f->node);
    tmk_bell_ring(&p->bell);
    tmk_mutex_unlock(&p->lock);
    return TMK_OK;
}

static void wait_flushed(void *user) {
    tmk_wait_done(user, NULL);
}

tmk_status tmk_producer_flush_wait(tmk_producer *p, int64_t timeout_ms, tmk_error *err) {
    tmk_wait *w = NULL;
    tmk_status st = tmk_wait_new(p->client, sizeof *w, &w, err);

    if (st < 0) {
        return st;
    }
    st = tmk_producer_flush(p, wait_flushed, w, err);
    if (st < 0) {
        (void)tmk_wait_drop(w); /* the loop's */
    } else {
        st = tmk_wait_for(p->client, w, timeout_ms, err);
    }
    (void)tmk_wait_drop(w);
    return st;
}

/* The loop's thread: what is pending is canceled; the producer stays, empty. */
static void cancel_on_loop(void *arg) {
    tmk_producer *p = arg;
    tmk_map_entry *e;
    tmk_send *s;

    while ((s = next_queued(p)) != NULL) {
        cancel(p, s);
    }
    for (size_t i = 0; (e = tmk_map_next(&p->lanes, &i)) != NULL;) {
        owned_free(e->value);
    }
    tmk_map_clear(&p->lanes, NULL);
    tell_flushes(p);
}

tmk_status tmk_producer_close(tmk_producer *p, int64_t timeout_ms, tmk_error *err) {
    tmk_status st;

    if (tmk_client_is_inside(p->client)) {
        return tmk_fail(err, TMK_ESTATE, "producer", "a callback must not wait");
    }
    tmk_mutex_lock(&p->lock);
    p->closed = true;
    tmk_mutex_unlock(&p->lock);
    st = tmk_producer_flush_wait(p, timeout_ms, err);
    tmk_client_do(p->client, cancel_on_loop, p);
    return st;
}
