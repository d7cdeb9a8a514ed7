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
enum { BURST_EVENTS = 60, REPEATS_MAX = 40 };

struct tmk_link {
    tmk_list node; /* in instance->links */
    whole_instance *instance;
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
};

/* ---- events ---- */

static void put_text(tmk_str *s, const char *name, const char *text) {
    tmk_wire_put_symbol(s, tmk_slice_str(name));
    tmk_wire_put_string(s, tmk_slice_str(text));
}

static void put_message(tmk_str *s, const whole *w, size_t partition, int64_t sequence) {
    int key = whole_key(w, partition, sequence);
    char text[32];
    tmk_wire_mark m;

    tmk_wire_put_descriptor(s, TMK_SECTION_MESSAGE_ANNOTATIONS);
    m = tmk_wire_begin_map(s);
    tmk_wire_put_symbol(s, tmk_slice_str("x-opt-sequence-number"));
    tmk_wire_put_long(s, sequence);
    (void)snprintf(text, sizeof text, "%" PRId64, sequence * 10);
    put_text(s, "x-opt-offset", text);
    tmk_wire_put_symbol(s, tmk_slice_str("x-opt-enqueued-time"));
    tmk_wire_put_time(s, whole_enqueued_ms(w, partition, sequence));
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

        if (whole_missing(w, l->partition, l->next + n)) {
            continue;
        }
        tmk_str_reset(&s);
        put_message(&s, w, l->partition, l->next + n);
        const tmk_slice text = tmk_str_slice(&s);
        if (tmk_burst_reserve(b, text.size, &at) < 0) {
            abort();
        }
        memcpy(at, text.bytes, text.size);
        if (tmk_burst_add(b, text.size, &err) < 0) {
            abort();
        }
        whole_check_delivered(l->instance, l->partition, l->next + n);
    }
    tmk_str_clear(&s);
    if (b == NULL) {
        abort();
    }
    tmk_burst_seal(b);
    return b;
}

static void stand(tmk_link *l, bool up) {
    l->instance->readers[l->partition].down = !up;
    l->events->standing(l->user, up);
}

static void end_gone(tmk_link *l);

static void on_flow(sim_event *e) {
    tmk_link *l = sim_event_of(e, tmk_link, flow);
    whole *w = l->instance->world;
    int64_t ready = sim_link_readable(l->link) - l->next + 1;

    sim_at(&w->kernel, e, w->kernel.now + LOOK_EVERY);
    if (l->gone && !l->instance->process.frozen) {
        end_gone(l);
        return;
    }
    if (l->down_until != 0 && w->kernel.now >= l->down_until && !l->instance->hub_cut &&
        !l->instance->process.frozen) {
        l->down_until = 0;
        stand(l, true);
    }
    ready = ready < (int64_t)l->credit ? ready : (int64_t)l->credit;
    ready = ready < BURST_EVENTS ? ready : BURST_EVENTS;
    if (ready <= 0 || l->instance->process.frozen || l->silent || w->kernel.now < l->down_until) {
        return;
    }
    tmk_burst *b = make_burst(l, ready);
    l->next += ready;
    if (b->count == 0) {
        tmk_burst_drop(b); /* none of them is there */
        return;
    }
    l->credit -= b->count;
    l->events->burst(l->user, b);
}

/* ---- links ---- */

static void link_free(tmk_link *l) {
    sim_cancel(&l->instance->world->kernel, &l->flow);
    sim_hub_close(l->link);
    tmk_list_remove(&l->node);
    tmk_free(l);
}

/* The service ends a link. Whoever read it has to be told. */
static void end_link(tmk_link *l, tmk_status status, const char *origin, const char *text) {
    whole_instance *i = l->instance;
    whole_reader *r = &i->readers[l->partition];
    const tmk_link_events *events = l->events;
    size_t partition = l->partition;
    void *to = l->user;
    tmk_error err;

    sim_trace(&i->world->kernel, "fault",
              ",\"owner\":\"%s\",\"partition\":\"%zu\",\"condition\":\"%s\"", i->name, partition,
              origin);
    link_free(l);
    if (status != TMK_ELOST) {
        i->world->partitions[partition].level = -1; /* nobody has it: any level may */
    }
    r->attached = r->down = false;
    (void)tmk_fail(&err, status, origin, "%s", text);
    r->owed_at = i->world->kernel.now;
    i->trouble_at = i->world->kernel.now;
    events->ended(to, &err);
    r->lost = r->lost || status == TMK_ELOST;
}

static void end_gone(tmk_link *l) {
    whole_instance *i = l->instance;

    end_link(l, TMK_ENOTFOUND, "amqp:not-found", "the hub was deleted");
    whole_step_soon(i);
}

static void on_opened(void *user) {
    tmk_link *l = user;
    whole *w = l->instance->world;

    if (l->gone) {
        end_gone(l);
        return;
    }
    if (l->refused) {
        SIM_MARK("whole: no such position");
        end_link(l, TMK_EPOSITION, "com.microsoft:argument-out-of-range", "there is no such event");
        return;
    }
    l->opened = true;
    l->instance->readers[l->partition].attached = true;
    sim_at(&w->kernel, &l->flow, w->kernel.now + LOOK_EVERY / 4);
    l->events->opened(l->user);
}

static void on_ended(void *user) {
    SIM_MARK("whole: link stolen");
    end_link(user, TMK_ELOST, "amqp:link:stolen", "another reader has the partition");
}

static void on_trouble(void *user, bool up) {
    tmk_link *l = user;
    tmk_error err;

    if (!up) {
        SIM_MARK("whole: link down");
        (void)tmk_fail_retry(&err, TMK_EIO, "amqp:connection:forced", "the connection is gone");
        l->events->trouble(l->user, &err, "attached again");
    }
    stand(l, up);
}

static const sim_link_events hub_events = {on_opened, on_ended, on_trouble};

static int64_t first_of(const whole *w, size_t partition, const tmk_start *s) {
    switch (s->kind) {
    case TMK_START_SEQUENCE:
        return s->sequence + (s->inclusive ? 0 : 1);
    case TMK_START_OFFSET:
        return strtoll(s->offset, NULL, 10) / 10 + (s->inclusive ? 0 : 1);
    case TMK_START_TIME:
        return s->unix_ms - whole_enqueued_ms(w, partition, 0);
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
    if (l->next < i->world->partitions[l->partition].begin) {
        l->next = i->world->partitions[l->partition].begin; /* the oldest there is */
    }
    l->refused = l->next > sim_hub_last(i->world->hub, l->partition, i->world->kernel.now) + 1;
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
    i->readers[l->partition].attached = false;
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
    int64_t begin = w->partitions[p->partition].begin;
    tmk_partition_facts f = {.begin_sequence = begin, .last_sequence = last, .empty = last < begin};
    tmk_error err;
    bool bad = failed(p, &err);

    if (last >= 0) {
        f.last_enqueued_ms = whole_enqueued_ms(w, p->partition, last);
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
    for (size_t p = 0; p < i->world->options.partitions; p++) {
        i->world->partitions[p].level = i->readers[p].attached ? -1 : i->world->partitions[p].level;
    }
    while (!tmk_list_empty(&i->links)) {
        link_free(tmk_container_of(tmk_list_first(&i->links), tmk_link, node));
    }
}

/* ---- what may happen ---- */

static tmk_link *next_link(whole_instance *i, tmk_list **at) {
    tmk_list *node = *at;

    if (node == NULL) {
        return NULL;
    }
    *at = tmk_list_next(&i->links, node);
    return tmk_container_of(node, tmk_link, node);
}

void whole_detach_links(whole_instance *i, tmk_status why, const char *origin) {
    tmk_list *at = tmk_list_first(&i->links);
    tmk_link *l = NULL;

    while ((l = next_link(i, &at)) != NULL) {
        if (l->opened && tmk_rng_chance(&i->rng, 0.7)) {
            end_link(l, why, origin, "the service has ended the link");
        }
    }
    whole_step_soon(i);
}

/* The client heals it by itself: the pump hears of it, no more. */
static void break_links(whole_instance *i, tmk_time low, tmk_time high, tmk_status why,
                        const char *origin) {
    tmk_list *at = tmk_list_first(&i->links);
    tmk_link *l = NULL;
    tmk_error err;

    while ((l = next_link(i, &at)) != NULL) {
        if (l->opened) {
            l->down_until = i->world->kernel.now + tmk_rng_between(&i->rng, low, high);
            (void)tmk_fail_retry(&err, why, origin, "the link is down");
            l->events->trouble(l->user, &err, "attached again");
            stand(l, false);
        }
    }
}

void whole_shake_links(whole_instance *i) {
    break_links(i, 100 * TMK_MS, 3 * TMK_SEC, TMK_EIO, "amqp:link:detach-forced");
}

void whole_refuse_token(whole_instance *i) {
    tmk_time until = i->token_bad_until - i->world->kernel.now;

    break_links(i, until, until + 5 * TMK_SEC, TMK_EAUTH, "amqp:unauthorized-access");
}

void whole_silence_links(whole_instance *i) {
    tmk_list *at = tmk_list_first(&i->links);
    tmk_link *l = NULL;

    i->trouble_at = i->world->kernel.now;
    while ((l = next_link(i, &at)) != NULL) {
        l->silent = l->silent || tmk_rng_chance(&i->rng, 0.5);
    }
}

void whole_repeat_events(whole_instance *i) {
    tmk_list *at = tmk_list_first(&i->links);
    tmk_link *l = NULL;

    while ((l = next_link(i, &at)) != NULL) {
        int64_t base = i->readers[l->partition].linked ? i->readers[l->partition].base : l->next;
        int64_t back = l->next - tmk_rng_between(&i->rng, 0, REPEATS_MAX);

        l->next = l->next < base ? l->next : back < base ? base : back;
    }
}

/* Links of the hub that is no more end; its numbers begin again. */
void whole_make_anew(whole *w, size_t partition, tmk_time pause) {
    whole_partition *p = &w->partitions[partition];

    sim_hub_make_anew(w->hub, partition, w->kernel.now + pause);
    p->made_anew = true;
    p->hub++;
    p->count = p->low = p->begin = 0;
    p->written = -1;
    memset(p->key_low, 0, sizeof p->key_low);
    for (size_t n = 0; n < w->instance_count; n++) {
        whole_instance *i = w->instances[n];
        whole_reader *r = &i->readers[partition];
        tmk_list *at = tmk_list_first(&i->links);
        tmk_link *l = NULL;

        if (r->open) {
            whole_reader old = *r;
            whole_reader_clear(r);
            *r = (whole_reader){.open = true,
                                .lost = old.lost,
                                .paused = old.paused,
                                .opening = ++w->openings,
                                .generation = old.generation,
                                .base = INT64_MAX,
                                .opened_at = w->kernel.now};
        }
        while (i->control != NULL && (l = next_link(i, &at)) != NULL) {
            l->gone = l->gone || l->partition == partition;
        }
    }
}
