/* Links on the simulated hub, and the events that come over them. See sim_source.h. */
#include "sim_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

#define LOOK_EVERY (40 * TMK_MS)
enum { BURST_EVENTS = 60, OFFSET_STEP = 10 };

/* Something that reaches the process at a time: an answer. */
typedef struct post {
    sim_event event;
    sim_delivery delivery;
    tmk_list node; /* in source->posts */
    sim_source *source;
    void (*run)(struct post *p);
    size_t partition;
    void (*closed)(void *user);
    void (*ids)(void *user, const tmk_error *err, const char *const *ids, size_t count);
    void (*facts)(void *user, const tmk_error *err, const tmk_partition_facts *facts);
    void *user;
} post;

struct sim_source {
    sim_kernel *kernel;
    sim_source_options o;
    tmk_burst_pool *pool;
    tmk_list links, posts;
    const char **ids;
};

struct tmk_link {
    tmk_list node; /* in source->links */
    sim_source *source;
    size_t partition;
    sim_link *link;
    const tmk_link_events *events;
    void *user;
    bool opened;
    bool gone;           /* its hub was deleted, and it has not been told */
    bool refused;        /* there is no such position */
    bool silent;         /* nothing comes any more */
    tmk_time down_until; /* it is broken, and heals by itself then */
    int64_t next;        /* sequence of the next event */
    uint64_t credit;
    sim_event flow;
    post *farewell; /* made with the link, so that closing it needs no memory */
};

/* ---- posts ---- */

static void post_free(post *p) {
    sim_cancel(p->source->kernel, &p->event);
    tmk_list_remove(&p->delivery.node);
    tmk_list_remove(&p->node);
    tmk_free(p);
}

static void on_post(sim_event *e) {
    post *p = sim_event_of(e, post, event);

    sim_process_deliver(p->source->o.process, &p->delivery);
}

static void arrive(sim_delivery *d) {
    post *p = sim_event_of(d, post, delivery);

    p->run(p);
    post_free(p);
}

static void lost(sim_delivery *d) {
    (void)d; /* freed with its source */
}

static post *post_new(sim_source *s, void (*run)(post *p)) {
    post *p = tmk_new(post);

    if (p == NULL) {
        return NULL;
    }
    p->source = s;
    p->run = run;
    p->event.fire = on_post;
    p->delivery.arrive = arrive;
    p->delivery.lost = lost;
    tmk_list_push_back(&s->posts, &p->node);
    return p;
}

static void post_send(post *p, tmk_time delay) {
    sim_at(p->source->kernel, &p->event, p->source->kernel->now + delay);
}

/* ---- events ---- */

static tmk_status put_event(tmk_link *l, tmk_burst *b, tmk_str *text, int64_t sequence) {
    const sim_source_options *o = &l->source->o;
    uint8_t *at = NULL;
    tmk_error err;
    tmk_status st = TMK_OK;

    tmk_str_reset(text);
    if (!o->events->put(o->self, l->partition, sequence, text)) {
        return TMK_ABSENT;
    }
    const tmk_slice bytes = tmk_str_slice(text);
    st = text->failed ? TMK_ENOMEM : tmk_burst_reserve(b, bytes.size, &at);
    if (st < 0) {
        return st;
    }
    memcpy(at, bytes.bytes, bytes.size);
    return tmk_burst_add(b, bytes.size, &err);
}

static void tell_delivered(const tmk_link *l, const tmk_burst *b) {
    const sim_source_options *o = &l->source->o;

    for (uint32_t n = 0; o->events->delivered != NULL && n < b->count; n++) {
        o->events->delivered(o->self, l->partition, b->events[n].sequence);
    }
}

/* NULL: out of memory; it is tried again with the next look. */
static tmk_burst *make_burst(tmk_link *l, int64_t count) {
    tmk_burst *b = tmk_burst_take(l->source->pool, sim_hub_id(l->source->o.hub, l->partition));
    tmk_status st = TMK_OK;
    tmk_str text = {0};

    for (int64_t n = 0; b != NULL && st >= 0 && n < count; n++) {
        st = put_event(l, b, &text, l->next + n);
    }
    tmk_str_clear(&text);
    if (b != NULL && st < 0) {
        tmk_burst_drop(b);
        return NULL;
    }
    if (b != NULL) {
        tmk_burst_seal(b);
        tell_delivered(l, b);
    }
    return b;
}

static void tell_credit(const tmk_link *l) {
    const sim_source_options *o = &l->source->o;

    if (o->events->credited != NULL) {
        o->events->credited(o->self, l->partition, l->credit);
    }
}

static void stand(tmk_link *l, bool up) {
    const sim_source_options *o = &l->source->o;

    if (o->events->standing != NULL) {
        o->events->standing(o->self, l->partition, up);
    }
    if (l->events->standing != NULL) {
        l->events->standing(l->user, up);
    }
}

static void end_gone(tmk_link *l);

static void on_flow(sim_event *e) {
    tmk_link *l = sim_event_of(e, tmk_link, flow);
    sim_kernel *k = l->source->kernel;
    bool frozen = l->source->o.process->frozen;
    int64_t ready = sim_link_readable(l->link) - l->next + 1;

    sim_at(k, e, k->now + LOOK_EVERY);
    if (l->gone && !frozen && !sim_hub_is_cut(l->source->o.client)) {
        end_gone(l);
        return;
    }
    if (l->down_until != 0 && k->now >= l->down_until && !sim_hub_is_cut(l->source->o.client) &&
        !frozen) {
        l->down_until = 0;
        stand(l, true);
    }
    ready = ready < (int64_t)l->credit ? ready : (int64_t)l->credit;
    ready = ready < BURST_EVENTS ? ready : BURST_EVENTS;
    if (ready <= 0 || frozen || l->silent || k->now < l->down_until) {
        return;
    }
    tmk_burst *b = make_burst(l, ready);
    if (b == NULL) {
        return;
    }
    l->next += ready;
    if (b->count == 0) {
        tmk_burst_drop(b); /* none of them is there */
        return;
    }
    l->credit -= b->count;
    tell_credit(l);
    l->events->burst(l->user, b);
}

/* ---- links ---- */

static void link_free(tmk_link *l) {
    sim_cancel(l->source->kernel, &l->flow);
    if (l->link != NULL) {
        sim_hub_close(l->link);
    }
    if (l->farewell != NULL) {
        post_free(l->farewell);
    }
    tmk_list_remove(&l->node);
    tmk_free(l);
}

/* The service ends a link. Whoever read it has to be told. */
static void end_link(tmk_link *l, tmk_status status, const char *origin, const char *text) {
    const sim_source_options o = l->source->o;
    const tmk_link_events *events = l->events;
    size_t partition = l->partition;
    void *to = l->user;
    tmk_error err;

    link_free(l);
    (void)tmk_fail(&err, status, origin, "%s", text);
    if (o.events->ending != NULL) {
        o.events->ending(o.self, partition, &err);
    }
    events->ended(to, &err);
    if (o.events->ended != NULL) {
        o.events->ended(o.self, partition, status);
    }
}

static void end_gone(tmk_link *l) {
    end_link(l, TMK_ENOTFOUND, "amqp:not-found", "the hub was deleted");
}

static void tell_attached(const tmk_link *l, bool attached) {
    const sim_source_options *o = &l->source->o;

    if (o->events->attached != NULL) {
        o->events->attached(o->self, l->partition, attached);
    }
}

static void on_opened(void *user) {
    tmk_link *l = user;
    sim_kernel *k = l->source->kernel;

    if (l->gone) {
        end_gone(l);
        return;
    }
    if (l->refused) {
        SIM_MARK("source: no such position");
        end_link(l, TMK_EPOSITION, "com.microsoft:argument-out-of-range", "there is no such event");
        return;
    }
    l->opened = true;
    tell_attached(l, true);
    sim_at(k, &l->flow, k->now + LOOK_EVERY / 4);
    l->events->opened(l->user);
}

static void on_ended(void *user) {
    SIM_MARK("source: link stolen");
    end_link(user, TMK_ELOST, "amqp:link:stolen", "another reader has the partition");
}

static void on_trouble(void *user, bool up) {
    tmk_link *l = user;
    tmk_error err;

    if (!up) {
        SIM_MARK("source: link down");
        (void)tmk_fail_retry(&err, TMK_EIO, "amqp:connection:forced", "the connection is gone");
        l->events->trouble(l->user, &err, "attached again");
    }
    stand(l, up);
}

static const sim_link_events hub_events = {on_opened, on_ended, on_trouble};

static size_t partition_of(const char *id) {
    return (size_t)strtoul(id, NULL, 10);
}

static int64_t first_of(const sim_source *s, size_t partition, const tmk_start *start) {
    switch (start->kind) {
    case TMK_START_SEQUENCE:
        return start->sequence + (start->inclusive ? 0 : 1);
    case TMK_START_OFFSET:
        return strtoll(start->offset, NULL, 10) / OFFSET_STEP + (start->inclusive ? 0 : 1);
    case TMK_START_TIME:
        return s->o.events->since(s->o.self, partition, start->unix_ms);
    case TMK_START_LATEST:
        return sim_hub_last(s->o.hub, partition, s->kernel->now) + 1;
    default:
        return 0;
    }
}

void *sim_source_self(const void *link_user) {
    return ((const tmk_link *)link_user)->source->o.self;
}

static void run_closed(post *p) {
    p->closed(p->user);
}

static tmk_link *open_link(void *self, const char *partition, int64_t owner_level,
                           const tmk_start *start, const tmk_link_events *events, void *user) {
    sim_source *s = self;
    tmk_link *l = tmk_new(tmk_link);

    if (l == NULL) {
        return NULL;
    }
    l->source = s;
    l->partition = partition_of(partition);
    l->events = events;
    l->user = user;
    l->next = first_of(s, l->partition, start);
    l->farewell = post_new(s, run_closed);
    const int64_t begin = s->o.events->begin(s->o.self, l->partition);
    l->next = l->next < begin ? begin : l->next;
    l->refused = l->next > sim_hub_last(s->o.hub, l->partition, s->kernel->now) + 1;
    l->flow.fire = on_flow;
    tmk_list_push_back(&s->links, &l->node);
    if (s->o.events->opening != NULL) {
        s->o.events->opening(s->o.self, l->partition, start, l->next);
    }
    l->link = sim_hub_open(s->o.client, l->partition, owner_level, &hub_events, l);
    if (l->link == NULL || l->farewell == NULL) {
        link_free(l);
        return NULL;
    }
    return l;
}

static void credit(void *self, tmk_link *l, uint32_t count) {
    (void)self;
    l->credit += count;
    tell_credit(l);
}

static void close_link(void *self, tmk_link *l, void (*closed)(void *user)) {
    sim_source *s = self;
    post *p = l->farewell;

    l->farewell = NULL;
    p->closed = closed;
    p->user = l->user;
    tell_attached(l, false);
    link_free(l);
    post_send(p, sim_hub_is_cut(s->o.client) ? 5 * TMK_SEC
                                             : tmk_rng_between(s->o.rng, 5, 150) * TMK_MS);
}

/* ---- questions ---- */

static bool failed(const post *p, tmk_error *err) {
    if (sim_hub_is_cut(p->source->o.client)) {
        (void)tmk_fail_retry(err, TMK_ETIMEOUT, "amqp", "no answer in time");
        return true;
    }
    return false;
}

static void run_ids(post *p) {
    const sim_source *s = p->source;
    tmk_error err;
    bool bad = failed(p, &err);

    p->ids(p->user, bad ? &err : NULL, bad ? NULL : s->ids, bad ? 0 : sim_hub_partitions(s->o.hub));
}

static void run_facts(post *p) {
    const sim_source *s = p->source;
    int64_t last = sim_hub_last(s->o.hub, p->partition, s->kernel->now);
    int64_t begin = s->o.events->begin(s->o.self, p->partition);
    tmk_partition_facts f = {.begin_sequence = begin, .last_sequence = last, .empty = last < begin};
    tmk_error err;
    bool bad = failed(p, &err);

    if (last >= 0) {
        f.last_enqueued_ms = s->o.events->enqueued_ms(s->o.self, p->partition, last);
        (void)snprintf(f.last_offset, sizeof f.last_offset, "%" PRId64, last * OFFSET_STEP);
    }
    p->facts(p->user, bad ? &err : NULL, bad ? NULL : &f);
}

static void ask(sim_source *s, post *p) {
    if (p == NULL) {
        sim_no_memory(s->kernel);
        return;
    }
    post_send(p, sim_hub_is_cut(s->o.client) ? 10 * TMK_SEC : sim_latency(s->o.rng, 30 * TMK_MS));
}

static void ask_ids(void *self,
                    void (*answer)(void *user, const tmk_error *err, const char *const *ids,
                                   size_t count),
                    void *user) {
    post *p = post_new(self, run_ids);

    if (p != NULL) {
        p->ids = answer;
        p->user = user;
    }
    ask(self, p);
}

static void ask_facts(void *self, const char *partition,
                      void (*answer)(void *user, const tmk_error *err,
                                     const tmk_partition_facts *facts),
                      void *user) {
    post *p = post_new(self, run_facts);

    if (p != NULL) {
        p->partition = partition_of(partition);
        p->facts = answer;
        p->user = user;
    }
    ask(self, p);
}

/* ---- life ---- */

sim_source *sim_source_new(sim_kernel *k, const sim_source_options *options) {
    sim_source *s = tmk_new(sim_source);
    size_t count = sim_hub_partitions(options->hub);

    if (s == NULL) {
        return NULL;
    }
    s->kernel = k;
    s->o = *options;
    tmk_list_init(&s->links);
    tmk_list_init(&s->posts);
    s->ids = tmk_alloc_zero(count, sizeof *s->ids);
    if (s->ids == NULL || tmk_burst_pool_new(options->keep_bytes, &s->pool, NULL) < 0) {
        return sim_source_free(s);
    }
    for (size_t n = 0; n < count; n++) {
        s->ids[n] = sim_hub_id(options->hub, n);
    }
    return s;
}

sim_source *sim_source_free(sim_source *s) {
    if (s == NULL) {
        return NULL;
    }
    while (!tmk_list_empty(&s->links)) {
        link_free(tmk_container_of(tmk_list_first(&s->links), tmk_link, node));
    }
    while (!tmk_list_empty(&s->posts)) {
        post_free(tmk_container_of(tmk_list_first(&s->posts), post, node));
    }
    s->pool = tmk_burst_pool_free(s->pool);
    tmk_free(s->ids);
    tmk_free(s);
    return NULL;
}

tmk_source sim_source_of(sim_source *s) {
    static const tmk_source_ops ops = {open_link, credit, close_link, ask_ids, ask_facts};

    return (tmk_source){&ops, s};
}

/* ---- what may happen ---- */

/* Walks the links of a partition, or all; what is returned may be freed. */
static tmk_link *next_link(sim_source *s, size_t partition, tmk_list **at) {
    while (*at != NULL) {
        tmk_link *l = tmk_container_of(*at, tmk_link, node);

        *at = tmk_list_next(&s->links, *at);
        if (partition == SIZE_MAX || l->partition == partition) {
            return l;
        }
    }
    return NULL;
}

void sim_source_detach(sim_source *s, size_t partition, double chance, tmk_status why,
                       const char *origin) {
    tmk_list *at = tmk_list_first(&s->links);
    tmk_link *l = NULL;

    while ((l = next_link(s, partition, &at)) != NULL) {
        if (l->opened && tmk_rng_chance(s->o.rng, chance)) {
            end_link(l, why, origin, "the service has ended the link");
        }
    }
}

void sim_source_break(sim_source *s, size_t partition, tmk_time low, tmk_time high, tmk_status why,
                      const char *origin) {
    tmk_list *at = tmk_list_first(&s->links);
    tmk_link *l = NULL;
    tmk_error err;

    while ((l = next_link(s, partition, &at)) != NULL) {
        if (l->opened) {
            l->down_until = s->kernel->now + tmk_rng_between(s->o.rng, low, high);
            (void)tmk_fail_retry(&err, why, origin, "the link is down");
            l->events->trouble(l->user, &err, "attached again");
            stand(l, false);
        }
    }
}

void sim_source_mend(sim_source *s) {
    tmk_list *at = tmk_list_first(&s->links);
    tmk_link *l = NULL;

    while ((l = next_link(s, SIZE_MAX, &at)) != NULL) {
        l->down_until = l->down_until == 0 ? 0 : s->kernel->now;
    }
}

void sim_source_silence(sim_source *s, size_t partition, double chance) {
    tmk_list *at = tmk_list_first(&s->links);
    tmk_link *l = NULL;

    while ((l = next_link(s, partition, &at)) != NULL) {
        l->silent = l->silent || tmk_rng_chance(s->o.rng, chance);
    }
}

void sim_source_repeat(sim_source *s, size_t partition,
                       int64_t (*back)(void *self, size_t partition, int64_t next)) {
    tmk_list *at = tmk_list_first(&s->links);
    tmk_link *l = NULL;

    while ((l = next_link(s, partition, &at)) != NULL) {
        l->next = back(s->o.self, l->partition, l->next);
    }
}

void sim_source_gone(sim_source *s, size_t partition) {
    tmk_list *at = tmk_list_first(&s->links);
    tmk_link *l = NULL;

    while ((l = next_link(s, partition, &at)) != NULL) {
        l->gone = true;
    }
}
