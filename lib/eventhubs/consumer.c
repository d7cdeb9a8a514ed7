/*
 * The public consumer: see tidemark/consumer.h. On the wire it is one link of a
 * source of its own (link.h); here are the hand-over to the program and the
 * window of what is fetched ahead.
 *
 * The struct lives as long as the program's handle, the link, or any run of
 * events that the program still holds.
 */
#include <tidemark/consumer.h>

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "eventhubs/burst.h"
#include "eventhubs/client_parts.h"
#include "eventhubs/source_amqp.h"
#include "eventhubs/window.h"

enum { PREFETCH_MAX = 5000, NAME_MAX_SIZE = 64, RETRY_MS = 100 };

struct tmk_received {
    tmk_consumer *consumer;
    tmk_burst *burst;
    uint32_t first, count;
    uint64_t bytes;
    struct tmk_received *next; /* in the consumer's spares */
};

struct tmk_consumer {
    tmk_client *client;
    char *group, *partition, *name;
    tmk_consumer_options options;

    /* the loop's thread only */
    tmk_source source;
    tmk_link *link;
    tmk_window window;
    tmk_timer timer; /* hands over what no memory was there for */
    bool told_end;
    void (*closed)(void *user);
    void *closed_user;
    tmk_bell bell; /* something was given back, or the pause has ended; rung from any thread */

    tmk_mutex lock; /* guards what follows */
    tmk_cond changed;
    int references;  /* the handle, the link, each tmk_received */
    tmk_list bursts; /* come and not handed over */
    uint32_t at;     /* events of the first one that were */
    uint32_t back_count;
    uint64_t back_bytes; /* given back and not granted anew */
    tmk_received *spares;
    tmk_last last;
    bool opened, ended, paused, freed, pushing;
    tmk_error why;
};

static void on_bell(tmk_bell *bell);
static void on_timer(tmk_timer *timer);

/* ---- options ---- */

void tmk_consumer_options_fill(tmk_consumer_options *opts, size_t size) {
    const tmk_consumer_options defaults = {
        .size = size,
        .group = "$Default",
        .start.kind = TMK_START_LATEST,
        .owner_level = -1,
        .prefetch = 1000,
        .prefetch_bytes = UINT64_C(16) * 1024 * 1024,
    };

    tmk_options_merge(opts, size, &defaults, sizeof defaults);
}

static tmk_status check(const tmk_consumer_options *o, tmk_error *err) {
    tmk_start start;

    if (o->partition == NULL || o->partition[0] == '\0' || strpbrk(o->partition, "/?#") != NULL) {
        return tmk_fail(err, TMK_EINVAL, "consumer", "the id of a partition is missing or wrong");
    }
    if (o->group == NULL || o->group[0] == '\0' || strpbrk(o->group, "/?#") != NULL) {
        return tmk_fail(err, TMK_EINVAL, "consumer", "the consumer group is missing or wrong");
    }
    if (o->prefetch < 1 || o->prefetch > PREFETCH_MAX || o->prefetch_bytes < 1) {
        return tmk_fail(err, TMK_EINVAL, "consumer",
                        "prefetch is 1 to %d events, and prefetch_bytes at least 1", PREFETCH_MAX);
    }
    if (o->name != NULL && strlen(o->name) > NAME_MAX_SIZE) {
        return tmk_fail(err, TMK_EINVAL, "consumer", "a reader's name has at most %d bytes",
                        NAME_MAX_SIZE);
    }
    if ((unsigned)o->start.kind > TMK_START_TIME) {
        return tmk_fail(err, TMK_EINVAL, "consumer", "start.kind %d is none", (int)o->start.kind);
    }
    if (o->start.kind == TMK_START_OFFSET) {
        tmk_slice offset =
            tmk_slice_of(o->start.offset, strnlen(o->start.offset, sizeof o->start.offset));

        return tmk_start_offset(offset, o->start.inclusive, &start, err);
    }
    return TMK_OK;
}

/* ---- life ---- */

static void destroy(tmk_consumer *c) {
    tmk_received *r;
    tmk_list *node;

    while ((node = tmk_list_pop_front(&c->bursts)) != NULL) {
        tmk_burst_drop(tmk_container_of(node, tmk_burst, node));
    }
    while ((r = c->spares) != NULL) {
        c->spares = r->next;
        tmk_free(r);
    }
    tmk_cond_clear(&c->changed);
    tmk_mutex_clear(&c->lock);
    tmk_free(c->group);
    tmk_free(c->partition);
    tmk_free(c->name);
    tmk_free(c);
}

/* With the lock held; gives it up. */
static void unref_unlock(tmk_consumer *c) {
    bool last = --c->references == 0;

    tmk_mutex_unlock(&c->lock);
    if (last) {
        destroy(c);
    }
}

/* ---- the window ---- */

/* The loop's thread. */
static void grant(tmk_consumer *c) {
    uint32_t count, back;
    uint64_t bytes;

    tmk_mutex_lock(&c->lock);
    back = c->back_count;
    bytes = c->back_bytes;
    c->back_count = 0;
    c->back_bytes = 0;
    tmk_mutex_unlock(&c->lock);
    tmk_window_on_back(&c->window, back, bytes);
    if (c->link != NULL) {
        count = tmk_window_grant(&c->window);
        if (count > 0) {
            c->source.ops->credit(c->source.self, c->link, count);
        }
    }
}

/* ---- handing over ---- */

size_t tmk_received_count(const tmk_received *r) {
    return r == NULL ? 0 : r->count;
}

const tmk_event *tmk_received_event(const tmk_received *r, size_t index) {
    return r == NULL || index >= r->count ? NULL : &r->burst->events[r->first + index];
}

tmk_received *tmk_received_free(tmk_received *r) {
    tmk_consumer *c;
    tmk_burst *burst;

    if (r == NULL) {
        return NULL;
    }
    c = r->consumer;
    burst = r->burst;
    tmk_burst_drop(burst);
    tmk_mutex_lock(&c->lock);
    c->back_count += r->count;
    c->back_bytes += r->bytes;
    r->next = c->spares;
    c->spares = r;
    /* Under the lock: afterwards the bell may be gone. Who pushes looks by himself. */
    if (!c->freed && !(c->pushing && tmk_loop_is_mine(c->bell.loop))) {
        tmk_bell_ring(&c->bell);
    }
    unref_unlock(c);
    return NULL;
}

/* With the lock held. NULL: nothing is there, or no memory. */
static tmk_received *take(tmk_consumer *c, size_t max) {
    tmk_list *node = tmk_list_first(&c->bursts);
    tmk_received *r = c->spares;
    tmk_burst *b;

    if (node == NULL) {
        return NULL;
    }
    if (r != NULL) {
        c->spares = r->next;
    } else if ((r = tmk_new(tmk_received)) == NULL) {
        return NULL;
    }
    b = tmk_container_of(node, tmk_burst, node);
    r->consumer = c;
    r->burst = b;
    r->first = c->at;
    r->count = b->count - c->at;
    r->bytes = 0;
    if (r->count > max) {
        r->count = (uint32_t)max;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        r->bytes += b->events[r->first + i].message_size;
    }
    c->at += r->count;
    c->references++;
    if (c->at == b->count) {
        c->at = 0;
        tmk_list_remove(node);
    } else {
        tmk_burst_ref(b);
    }
    return r;
}

/* Push style, the loop's thread: hands over what is there. */
static void push(tmk_consumer *c) {
    tmk_received *r = NULL;
    bool more = true, end = false;
    tmk_error why;

    if (c->options.on_events == NULL) {
        return;
    }
    do {
        tmk_mutex_lock(&c->lock);
        r = c->paused || c->freed ? NULL : take(c, SIZE_MAX);
        more = !c->paused && !c->freed && !tmk_list_empty(&c->bursts);
        end = c->ended && !c->freed && !c->told_end && tmk_list_empty(&c->bursts);
        why = c->why;
        tmk_mutex_unlock(&c->lock);
        if (r != NULL) {
            c->options.on_events(c->options.user, r);
        }
    } while (r != NULL);
    if (more) {
        tmk_timer_set(tmk_client_loop(c->client), &c->timer,
                      tmk_loop_now(tmk_client_loop(c->client)) + RETRY_MS * TMK_MS);
    }
    if (end && c->options.on_ended != NULL) {
        c->told_end = true;
        c->options.on_ended(c->options.user, &why);
    }
}

static void push_and_grant(tmk_consumer *c) {
    tmk_mutex_lock(&c->lock);
    c->references++; /* a callback may free the consumer */
    c->pushing = true;
    tmk_mutex_unlock(&c->lock);
    push(c);
    grant(c);
    tmk_mutex_lock(&c->lock);
    c->pushing = false;
    unref_unlock(c);
}

static void on_bell(tmk_bell *bell) {
    push_and_grant(tmk_container_of(bell, tmk_consumer, bell));
}

static void on_timer(tmk_timer *timer) {
    push_and_grant(tmk_container_of(timer, tmk_consumer, timer));
}

/* ---- what the link tells; the loop's thread ---- */

static void on_opened(void *user) {
    tmk_consumer *c = user;

    tmk_mutex_lock(&c->lock);
    c->opened = true;
    tmk_cond_broadcast(&c->changed);
    tmk_mutex_unlock(&c->lock);
}

static void note_last(tmk_consumer *c, const tmk_last_enqueued *last) {
    c->last.sequence = last->sequence;
    c->last.enqueued_ms = last->enqueued_ms;
    c->last.told_ms = last->retrieved_ms;
    memset(c->last.offset, 0, sizeof c->last.offset);
    if (last->offset.size > 0 && last->offset.size < sizeof c->last.offset) {
        memcpy(c->last.offset, last->offset.bytes, last->offset.size);
    }
}

static void on_burst(void *user, tmk_burst *burst) {
    tmk_consumer *c = user;

    tmk_window_on_events(&c->window, burst->count, burst->size);
    tmk_mutex_lock(&c->lock);
    if (burst->last.present) {
        note_last(c, &burst->last);
    }
    tmk_list_push_back(&c->bursts, &burst->node);
    tmk_cond_broadcast(&c->changed);
    tmk_mutex_unlock(&c->lock);
    if (c->options.on_events != NULL) {
        push_and_grant(c);
    }
}

static void on_ended(void *user, const tmk_error *why) {
    tmk_consumer *c = user;

    c->link = NULL;
    tmk_mutex_lock(&c->lock);
    c->ended = true;
    c->why = *why;
    tmk_cond_broadcast(&c->changed);
    tmk_mutex_unlock(&c->lock);
    push_and_grant(c);
}

/* The client's on_error has it already. */
static void on_trouble(void *user, const tmk_error *what, const char *reaction) {
    tmk_consumer *c = user;

    (void)reaction;
    tmk_mutex_lock(&c->lock);
    if (!c->ended) {
        c->why = *what; /* what a waiter is told when its time is over */
    }
    tmk_mutex_unlock(&c->lock);
}

static const tmk_link_events link_events = {on_opened, on_burst, on_ended, on_trouble, NULL};

/* ---- opening ---- */

typedef struct opening {
    tmk_consumer *c;
    tmk_status status;
    tmk_error *err;
} opening;

static void open_on_loop(void *arg) {
    opening *o = arg;
    tmk_consumer *c = o->c;
    tmk_loop *loop = tmk_client_loop(c->client);
    tmk_source_amqp_options source = {.group = c->group,
                                      .name = c->name,
                                      .track_last = c->options.track_last,
                                      .keep_bytes = (size_t)c->options.prefetch_bytes};

    tmk_bell_init(&c->bell, loop, on_bell);
    if (tmk_timer_init(loop, &c->timer, on_timer) < 0) {
        o->status = tmk_fail(o->err, TMK_ENOMEM, "consumer", "no memory for a consumer");
        return;
    }
    o->status = tmk_source_amqp_make(tmk_client_core(c->client), &source, &c->source, o->err);
    if (o->status < 0) {
        return;
    }
    c->link = c->source.ops->open(c->source.self, c->partition, c->options.owner_level,
                                  &c->options.start, &link_events, c);
    if (c->link == NULL) {
        o->status = tmk_fail(o->err, TMK_ENOMEM, "consumer", "no memory for a link");
        return;
    }
    grant(c);
}

/* Nothing comes any more: whoever waits for that is told. */
static void on_link_closed(void *user) {
    tmk_consumer *c = user;
    void (*closed)(void *user) = c->closed;

    if (closed != NULL) {
        c->closed = NULL;
        closed(c->closed_user);
    }
}

/* What only the loop may take down. */
static void shut_on_loop(void *arg) {
    tmk_consumer *c = arg;

    tmk_mutex_lock(&c->lock);
    c->freed = true;
    tmk_mutex_unlock(&c->lock);
    tmk_source_amqp_free(c->source);
    c->source = (tmk_source){NULL, NULL};
    c->link = NULL;
    on_link_closed(c);
    tmk_bell_clear(&c->bell);
    tmk_timer_clear(tmk_client_loop(c->client), &c->timer);
}

static tmk_consumer *consumer_make(tmk_client *client, const tmk_consumer_options *o,
                                   tmk_error *err) {
    tmk_consumer *c = tmk_new(tmk_consumer);

    if (c == NULL) {
        (void)tmk_fail(err, TMK_ENOMEM, "consumer", "no memory for a consumer");
        return NULL;
    }
    if (tmk_mutex_init(&c->lock, TMK_RANK_CONSUMER, err) < 0) {
        tmk_free(c);
        return NULL;
    }
    if (tmk_cond_init(&c->changed, err) < 0) {
        tmk_mutex_clear(&c->lock);
        tmk_free(c);
        return NULL;
    }
    tmk_list_init(&c->bursts);
    tmk_window_init(&c->window, o->prefetch, o->prefetch_bytes);
    c->references = 1;
    c->client = client;
    c->options = *o;
    c->group = tmk_copy_str(o->group);
    c->partition = tmk_copy_str(o->partition);
    c->name = tmk_copy_str(o->name);
    if (c->group == NULL || c->partition == NULL || (c->name == NULL && o->name != NULL)) {
        (void)tmk_fail(err, TMK_ENOMEM, "consumer", "no memory for a consumer");
        destroy(c);
        return NULL;
    }
    return c;
}

tmk_status tmk_consumer_new(tmk_client *client, const tmk_consumer_options *opts,
                            tmk_consumer **out, tmk_error *err) {
    tmk_consumer_options o;
    opening opened = {.err = err};
    tmk_status st;

    tmk_consumer_options_init(&o);
    if (client == NULL || opts == NULL) {
        return tmk_fail(err, TMK_EINVAL, "consumer", "a client and options must be given");
    }
    tmk_options_merge(&o, sizeof o, opts, opts->size);
    st = check(&o, err);
    if (st < 0) {
        return st;
    }
    opened.c = consumer_make(client, &o, err);
    if (opened.c == NULL) {
        return TMK_ENOMEM;
    }
    tmk_client_ref(client);
    tmk_client_do(client, open_on_loop, &opened);
    if (opened.status < 0) {
        (void)tmk_consumer_free(opened.c);
        return opened.status;
    }
    *out = opened.c;
    return TMK_OK;
}

tmk_consumer *tmk_consumer_free(tmk_consumer *c) {
    if (c != NULL) {
        tmk_client *client = c->client;

        tmk_client_do(client, shut_on_loop, c);
        tmk_mutex_lock(&c->lock);
        tmk_cond_broadcast(&c->changed);
        unref_unlock(c);
        tmk_client_unref(client);
    }
    return NULL;
}

/* ---- closing ---- */

static void wait_closed(void *user) {
    tmk_wait_done(user, NULL);
}

typedef struct closing {
    tmk_consumer *c;
    tmk_wait *wait;
} closing;

static void close_on_loop(void *arg) {
    closing *x = arg;
    tmk_consumer *c = x->c;
    tmk_link *link = c->link;

    tmk_mutex_lock(&c->lock);
    if (!c->ended) {
        c->ended = c->told_end = true;
        (void)tmk_fail(&c->why, TMK_ECANCELED, "consumer", "the consumer was closed");
    }
    tmk_cond_broadcast(&c->changed);
    tmk_mutex_unlock(&c->lock);
    c->link = NULL;
    if (link == NULL) {
        tmk_wait_done(x->wait, NULL);
        return;
    }
    c->closed = wait_closed;
    c->closed_user = x->wait;
    c->source.ops->close(c->source.self, link, on_link_closed);
}

tmk_status tmk_consumer_close(tmk_consumer *c, int64_t timeout_ms, tmk_error *err) {
    closing x = {.c = c};
    tmk_status st = tmk_wait_new(c->client, sizeof *x.wait, &x.wait, err);

    if (st < 0) {
        return st;
    }
    tmk_client_do(c->client, close_on_loop, &x);
    st = tmk_wait_for(c->client, x.wait, timeout_ms, err);
    (void)tmk_wait_drop(x.wait);
    return st;
}

/* ---- the program's side ---- */

/* With the lock held: waits for a change, turning a caller-driven loop meanwhile. false: the time
 * is over. */
static bool wait_change(tmk_consumer *c, tmk_time deadline) {
    tmk_clock clock = tmk_clock_system();
    bool in_time = true;

    if (!tmk_client_is_driven(c->client)) {
        return tmk_cond_wait_until(&c->changed, &c->lock, deadline);
    }
    tmk_mutex_unlock(&c->lock);
    in_time = tmk_now(&clock) < deadline && tmk_client_turn_until(c->client, deadline, NULL) >= 0;
    tmk_mutex_lock(&c->lock);
    return in_time;
}

static tmk_time deadline_of(int64_t timeout_ms) {
    tmk_clock clock = tmk_clock_system();

    return tmk_time_after(tmk_now(&clock), (timeout_ms > 0 ? timeout_ms : 0) * TMK_MS);
}

static tmk_status forbid_inside(const tmk_consumer *c, tmk_error *err) {
    return tmk_client_is_inside(c->client)
               ? tmk_fail(err, TMK_ESTATE, "consumer", "a callback must not wait")
               : TMK_OK;
}

tmk_status tmk_consumer_receive(tmk_consumer *c, size_t max, int64_t timeout_ms, tmk_received **out,
                                tmk_error *err) {
    tmk_time deadline = deadline_of(timeout_ms);
    tmk_status st = forbid_inside(c, err);
    tmk_received *r = NULL;
    bool in_time = true;

    if (st < 0) {
        return st;
    }
    if (c->options.on_events != NULL || max == 0) {
        return tmk_fail(err, TMK_EINVAL, "consumer",
                        max == 0 ? "max is 0" : "on_events takes this consumer's events");
    }
    tmk_mutex_lock(&c->lock);
    while ((c->paused || tmk_list_empty(&c->bursts)) && !(c->ended && tmk_list_empty(&c->bursts)) &&
           in_time) {
        in_time = wait_change(c, deadline);
    }
    if (!c->paused && !tmk_list_empty(&c->bursts)) {
        r = take(c, max);
        st = r != NULL ? TMK_OK
                       : tmk_fail_retry(err, TMK_ENOMEM, "consumer", "no memory for events");
    } else if (c->ended && tmk_list_empty(&c->bursts)) {
        st = c->why.status;
        if (err != NULL) {
            *err = c->why;
        }
    } else {
        st = TMK_AGAIN;
    }
    tmk_mutex_unlock(&c->lock);
    if (st >= 0) {
        *out = r;
    }
    return st;
}

tmk_status tmk_consumer_open_wait(tmk_consumer *c, int64_t timeout_ms, tmk_error *err) {
    tmk_time deadline = deadline_of(timeout_ms);
    tmk_status st = forbid_inside(c, err);
    bool in_time = true;

    if (st < 0) {
        return st;
    }
    tmk_mutex_lock(&c->lock);
    while (!c->opened && !c->ended && in_time) {
        in_time = wait_change(c, deadline);
    }
    if (c->opened && !c->ended) {
        st = TMK_OK;
    } else if (c->ended) {
        st = c->why.status;
        if (err != NULL) {
            *err = c->why;
        }
    } else {
        st = tmk_fail_retry(err, TMK_ETIMEOUT, c->why.status < 0 ? c->why.origin : "consumer",
                            "the link does not stand yet: %.160s",
                            c->why.status < 0 ? c->why.text : "the service has not answered");
    }
    tmk_mutex_unlock(&c->lock);
    return st;
}

static void set_paused(tmk_consumer *c, bool paused) {
    tmk_mutex_lock(&c->lock);
    c->paused = paused;
    tmk_cond_broadcast(&c->changed);
    tmk_bell_ring(&c->bell);
    tmk_mutex_unlock(&c->lock);
}

void tmk_consumer_pause(tmk_consumer *c) {
    set_paused(c, true);
}

void tmk_consumer_resume(tmk_consumer *c) {
    set_paused(c, false);
}

bool tmk_consumer_last(const tmk_consumer *c, tmk_last *out) {
    tmk_consumer *mine = (tmk_consumer *)(uintptr_t)c; /* only the lock is written to */
    bool told;

    tmk_mutex_lock(&mine->lock);
    told = mine->last.told_ms != 0;
    if (told) {
        *out = mine->last;
    }
    tmk_mutex_unlock(&mine->lock);
    return told;
}
