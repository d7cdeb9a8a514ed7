/* An instance's links on the simulated hub, and the events that come over them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/wire.h"
#include "base/alloc.h"
#include "base/status.h"
#include "whole.h"

#define LOOK_EVERY (40 * TMK_MS)
#define ENQUEUED_FROM_MS INT64_C(1700000000000)
enum { BURST_EVENTS = 60 };

struct tmk_link {
    tmk_list node; /* in instance->links */
    whole_instance *instance;
    size_t partition;
    sim_link *link;
    const tmk_link_events *events;
    void *user;
    bool opened;
    int64_t next; /* sequence of the next event */
    uint64_t credit;
    sim_event flow;
};

/* ---- events ---- */

static int64_t enqueued_ms(int64_t sequence) {
    return ENQUEUED_FROM_MS + sequence;
}

static void put_text(tmk_str *s, const char *name, const char *text) {
    tmk_wire_put_symbol(s, tmk_slice_str(name));
    tmk_wire_put_string(s, tmk_slice_str(text));
}

static void put_message(tmk_str *s, int64_t sequence, int key) {
    char text[32];
    tmk_wire_mark m;

    tmk_wire_put_descriptor(s, TMK_SECTION_MESSAGE_ANNOTATIONS);
    m = tmk_wire_begin_map(s);
    tmk_wire_put_symbol(s, tmk_slice_str("x-opt-sequence-number"));
    tmk_wire_put_long(s, sequence);
    (void)snprintf(text, sizeof text, "%" PRId64, sequence * 10);
    put_text(s, "x-opt-offset", text);
    tmk_wire_put_symbol(s, tmk_slice_str("x-opt-enqueued-time"));
    tmk_wire_put_time(s, enqueued_ms(sequence));
    if (key >= 0) {
        (void)snprintf(text, sizeof text, "key %d", key);
        put_text(s, "x-opt-partition-key", text);
    }
    tmk_wire_end_map(s, m, key >= 0 ? 8 : 6);
    tmk_wire_put_descriptor(s, TMK_SECTION_DATA);
    tmk_wire_put_binary(s, tmk_slice_str("an event"));
}

static tmk_burst *make_burst(tmk_link *l, int64_t count) {
    whole *w = l->instance->world;
    tmk_burst *b = tmk_burst_take(l->instance->pool, sim_hub_id(w->hub, l->partition));
    tmk_str s = {0};
    tmk_error err;

    for (int64_t n = 0; b != NULL && n < count; n++) {
        uint8_t *at = NULL;

        tmk_str_reset(&s);
        put_message(&s, l->next + n, whole_key(w, l->partition, l->next + n));
        const tmk_slice text = tmk_str_slice(&s);
        if (tmk_burst_reserve(b, text.size, &at) < 0) {
            abort();
        }
        memcpy(at, text.bytes, text.size);
        if (tmk_burst_add(b, text.size, &err) < 0) {
            abort();
        }
    }
    tmk_str_clear(&s);
    if (b == NULL) {
        abort();
    }
    tmk_burst_seal(b);
    return b;
}

static void on_flow(sim_event *e) {
    tmk_link *l = sim_event_of(e, tmk_link, flow);
    whole *w = l->instance->world;
    int64_t ready = sim_link_readable(l->link) - l->next + 1;

    sim_at(&w->kernel, e, w->kernel.now + LOOK_EVERY);
    ready = ready < (int64_t)l->credit ? ready : (int64_t)l->credit;
    ready = ready < BURST_EVENTS ? ready : BURST_EVENTS;
    if (ready <= 0 || l->instance->process.frozen) {
        return;
    }
    tmk_burst *b = make_burst(l, ready);
    l->next += ready;
    l->credit -= (uint64_t)ready;
    l->events->burst(l->user, b);
}

/* ---- links ---- */

static void link_free(tmk_link *l) {
    sim_cancel(&l->instance->world->kernel, &l->flow);
    sim_hub_close(l->link);
    tmk_list_remove(&l->node);
    tmk_free(l);
}

static void on_opened(void *user) {
    tmk_link *l = user;

    l->opened = true;
    sim_at(&l->instance->world->kernel, &l->flow, l->instance->world->kernel.now + LOOK_EVERY / 4);
    l->events->opened(l->user);
}

static void on_ended(void *user) {
    tmk_link *l = user;
    whole_instance *i = l->instance;
    const tmk_link_events *events = l->events;
    void *to = l->user;
    tmk_error err;

    SIM_MARK("whole: link stolen");
    sim_trace(&i->world->kernel, "fault",
              ",\"owner\":\"%s\",\"partition\":\"%zu\",\"condition\":\"amqp:link:stolen\"", i->name,
              l->partition);
    size_t partition = l->partition;
    link_free(l);
    (void)tmk_fail(&err, TMK_ELOST, "amqp:link:stolen", "another reader has the partition");
    events->ended(to, &err);
    i->readers[partition].lost = true;
}

static void on_trouble(void *user, bool up) {
    tmk_link *l = user;
    tmk_error err;

    if (!up) {
        SIM_MARK("whole: link down");
        (void)tmk_fail_retry(&err, TMK_EIO, "amqp:connection:forced", "the connection is gone");
        l->events->trouble(l->user, &err, "attached again");
    }
    l->instance->readers[l->partition].down = !up;
    l->events->standing(l->user, up);
}

static const sim_link_events hub_events = {on_opened, on_ended, on_trouble};

static int64_t first_of(const whole *w, size_t partition, const tmk_start *s) {
    switch (s->kind) {
    case TMK_START_SEQUENCE:
        return s->sequence + (s->inclusive ? 0 : 1);
    case TMK_START_OFFSET:
        return strtoll(s->offset, NULL, 10) / 10 + (s->inclusive ? 0 : 1);
    case TMK_START_TIME:
        return s->unix_ms - ENQUEUED_FROM_MS;
    case TMK_START_LATEST:
        return sim_hub_last(w->hub, partition, w->kernel.now) + 1;
    default:
        return 0;
    }
}

static tmk_link *open_link(void *self, const char *partition, int64_t owner_level,
                           const tmk_start *start, const tmk_link_events *events, void *user) {
    whole_instance *i = self;
    tmk_link *l = tmk_new(tmk_link);

    if (l == NULL) {
        abort();
    }
    l->instance = i;
    l->partition = whole_partition_of(partition);
    l->events = events;
    l->user = user;
    l->next = first_of(i->world, l->partition, start);
    l->next = l->next < 0 ? 0 : l->next;
    l->flow.fire = on_flow;
    tmk_list_push_back(&i->links, &l->node);
    whole_check_open(i, l->partition, start);
    l->link = sim_hub_open(i->hub, l->partition, owner_level, &hub_events, l);
    return l;
}

static void credit(void *self, tmk_link *l, uint32_t count) {
    (void)self;
    l->credit += count;
}

static void run_closed(whole_post *p) {
    p->closed(p->user);
}

static void close_link(void *self, tmk_link *l, void (*closed)(void *user)) {
    whole_instance *i = self;
    whole_post *p = whole_post_new(i, run_closed);

    p->closed = closed;
    p->user = l->user;
    link_free(l);
    whole_post_send(p, i->hub_cut ? 5 * TMK_SEC : tmk_rng_between(&i->rng, 5, 150) * TMK_MS);
}

/* ---- questions ---- */

static bool failed(whole_post *p, tmk_error *err) {
    if (p->instance->hub_cut) {
        (void)tmk_fail_retry(err, TMK_ETIMEOUT, "amqp", "no answer in time");
        return true;
    }
    return false;
}

static void run_ids(whole_post *p) {
    const whole *w = p->instance->world;
    const char *ids[WHOLE_PARTITIONS_MAX];
    tmk_error err;
    bool bad = failed(p, &err);

    for (size_t n = 0; n < w->options.partitions; n++) {
        ids[n] = sim_hub_id(w->hub, n);
    }
    p->ids(p->user, bad ? &err : NULL, bad ? NULL : ids, bad ? 0 : w->options.partitions);
}

static void run_facts(whole_post *p) {
    const whole *w = p->instance->world;
    int64_t last = sim_hub_last(w->hub, p->partition, w->kernel.now);
    tmk_partition_facts f = {.last_sequence = last, .empty = last < 0};
    tmk_error err;
    bool bad = failed(p, &err);

    if (last >= 0) {
        f.last_enqueued_ms = enqueued_ms(last);
        (void)snprintf(f.last_offset, sizeof f.last_offset, "%" PRId64, last * 10);
    }
    p->facts(p->user, bad ? &err : NULL, bad ? NULL : &f);
}

static tmk_time question_takes(whole_instance *i) {
    return i->hub_cut ? 10 * TMK_SEC : sim_latency(&i->rng, 30 * TMK_MS);
}

static void ask_ids(void *self,
                    void (*answer)(void *user, const tmk_error *err, const char *const *ids,
                                   size_t count),
                    void *user) {
    whole_post *p = whole_post_new(self, run_ids);

    p->ids = answer;
    p->user = user;
    whole_post_send(p, question_takes(self));
}

static void ask_facts(void *self, const char *partition,
                      void (*answer)(void *user, const tmk_error *err,
                                     const tmk_partition_facts *facts),
                      void *user) {
    whole_post *p = whole_post_new(self, run_facts);

    p->partition = whole_partition_of(partition);
    p->facts = answer;
    p->user = user;
    whole_post_send(p, question_takes(self));
}

tmk_source whole_source_of(whole_instance *i) {
    static const tmk_source_ops ops = {open_link, credit, close_link, ask_ids, ask_facts};

    return (tmk_source){&ops, i};
}

void whole_source_end(whole_instance *i) {
    while (!tmk_list_empty(&i->links)) {
        link_free(tmk_container_of(tmk_list_first(&i->links), tmk_link, node));
    }
}
