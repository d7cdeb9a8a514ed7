/*
 * A small world for pumps, in one thread on virtual time: partitions with
 * events, links that deliver them, a store, workers and a sink. What happens is
 * decided by the test; this file keeps the books and checks, at every callback
 * and every checkpoint, what must always hold:
 *
 *   - an event that is final is never handed out again in the same life
 *   - in partition and key order nothing of the lane that comes before is open
 *   - a checkpoint and its done-map cover final events alone
 */
#ifndef TMK_TESTS_PUMP_WORLD_H
#define TMK_TESTS_PUMP_WORLD_H

#include "base/rng.h"
#include "base/status.h"
#include "core/pump.h"
#include "support/bursts.h"
#include "support/check.h"

enum { WORLD_PARTITIONS = 3, WORLD_EVENTS = 2000, WORLD_WORKERS = 4, WORLD_KEYS = 40 };

typedef struct world_event {
    int64_t sequence;
    int key;
    bool final;      /* for good: a verdict that counts */
    bool in_map;     /* was final in a former life, and the checkpoint of that said so */
    bool running;    /* a callback has it */
    bool out;        /* answered LATER */
    bool again;      /* passed by others: was put off without holding its lane */
    uint32_t tries;  /* in this life */
    uint32_t handed; /* in all lives */
    tmk_handle handle;
} world_event;

typedef struct world_store {
    bool present;
    int64_t sequence;
    char offset[TMK_OFFSET_ROOM];
    uint8_t map[TMK_DONE_MAP_ROOM];
    size_t map_size;
} world_store;

typedef struct world_partition {
    char name[8];
    world_event events[WORLD_EVENTS];
    uint32_t count;   /* that are there already */
    uint32_t trimmed; /* that retention has removed */
    tmk_pump *pump;
    bool link, opening, closing, facts_wanted;
    uint32_t next; /* index of the next event to deliver */
    uint64_t credit;
    world_store store, writing;
    bool write_wanted;
    struct {
        tmk_handle handle;
        int64_t sequence;
    } letters[WORLD_EVENTS];
    uint32_t letter_count;
    tmk_pump_act closed; /* kind CLOSED once it was told */
    world_store final;
    uint64_t reports[TMK_PUMP_NO_MEMORY + 1];
    tmk_error last_error;
} world_partition;

typedef struct world_worker {
    tmk_turn turn;
    const tmk_event *event; /* its callback runs */
    world_partition *partition;
    tmk_time until;
} world_worker;

typedef struct world {
    tmk_time now;
    tmk_rng rng;
    tmk_burst_pool *pool;
    tmk_engine_options options;
    bool later_holds;
    bool forgetful; /* there may be no memory for what is answered LATER: it comes again */
    tmk_yard *yard;
    tmk_engine *engine;
    world_partition partitions[WORLD_PARTITIONS];
    uint32_t partition_count;
    world_worker workers[WORLD_WORKERS];
    uint64_t engine_reports[TMK_PUMP_NO_MEMORY + 1];
    /* What handlers answer; NULL: DONE. */
    tmk_verdict (*answer)(struct world *w, world_partition *p, world_event *e);
} world;

static inline world_event *world_event_of(world_partition *p, int64_t sequence) {
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->events[i].sequence == sequence) {
            return &p->events[i];
        }
    }
    fail_msg("there is no sequence %" PRId64, sequence);
    return NULL;
}

static inline void world_add_events(world *w, world_partition *p, uint32_t count, int64_t step) {
    for (uint32_t i = 0; i < count && p->count < WORLD_EVENTS; i++) {
        int64_t last = p->count == 0 ? -1 : p->events[p->count - 1].sequence;

        p->events[p->count++] = (world_event){
            .sequence = last + 1 + (step > 1 ? tmk_rng_between(&w->rng, 0, step - 1) : 0),
            .key = (int)tmk_rng_below(&w->rng, WORLD_KEYS)};
    }
}

static inline tmk_partition_facts world_facts(const world_partition *p) {
    tmk_partition_facts f = {.last_sequence = -1, .last_enqueued_ms = -1, .empty = true};

    if (p->count > 0) {
        f.last_sequence = p->events[p->count - 1].sequence;
        f.last_enqueued_ms = 1000 + f.last_sequence;
        (void)snprintf(f.last_offset, sizeof f.last_offset, "%" PRId64, 10 * f.last_sequence);
    }
    f.empty = p->trimmed == p->count;
    f.begin_sequence = f.empty ? f.last_sequence + 1 : p->events[p->trimmed].sequence;
    return f;
}

/* ---- life ---- */

static inline void world_begin_engine(world *w) {
    tmk_yard_options y = {.workers = WORLD_WORKERS, .later_holds = w->later_holds};

    CHECK_EQ(TMK_OK, tmk_yard_new(&y, &w->yard, NULL));
    CHECK_EQ(TMK_OK, tmk_engine_new(&w->options, w->yard, &w->rng, w->now, &w->engine, NULL));
    for (uint32_t i = 0; i < WORLD_WORKERS; i++) {
        CHECK_EQ(TMK_OK, tmk_turn_init(&w->workers[i].turn, w->yard, i, NULL));
    }
}

static inline void world_begin(world *w, uint64_t seed, uint32_t partitions) {
    memset(w, 0, sizeof *w);
    w->now = TMK_SEC;
    w->partition_count = partitions;
    tmk_rng_seed(&w->rng, seed);
    tmk_engine_options_fill(&w->options);
    CHECK_EQ(TMK_OK, tmk_burst_pool_new(1 << 20, &w->pool, NULL));
    for (uint32_t i = 0; i < partitions; i++) {
        (void)snprintf(w->partitions[i].name, sizeof w->partitions[i].name, "%u", i);
    }
}

static inline void world_open(world *w, world_partition *p, const tmk_start *chosen) {
    tmk_checkpoint c = {.present = p->store.present,
                        .sequence_known = true,
                        .sequence = p->store.sequence,
                        .offset = p->store.offset,
                        .done_map = tmk_slice_of(p->store.map, p->store.map_size)};

    CHECK(p->pump == NULL);
    p->closed = (tmk_pump_act){0};
    p->link = p->opening = p->closing = p->facts_wanted = p->write_wanted = false;
    p->credit = 0;
    p->letter_count = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        p->events[i].tries = 0;
        p->events[i].running = p->events[i].out = p->events[i].again = false;
    }
    CHECK_EQ(TMK_OK, tmk_pump_new(w->engine, p->name, 1, &c, chosen, p, w->now, &p->pump, NULL));
}

/* As kill -9 ends it: nothing is written, everything of the process is gone. */
static inline void world_end_engine(world *w) {
    for (uint32_t i = 0; i < w->partition_count; i++) {
        w->partitions[i].pump = tmk_pump_free(w->partitions[i].pump);
    }
    for (uint32_t i = 0; i < WORLD_WORKERS; i++) {
        if (w->workers[i].turn.active) {
            if (w->workers[i].event != NULL) {
                tmk_turn_answer(&w->workers[i].turn, TMK_DONE);
            }
            tmk_turn_end(&w->workers[i].turn, w->now);
        }
        w->workers[i].event = NULL;
        tmk_turn_clear(&w->workers[i].turn);
    }
    w->engine = tmk_engine_free(w->engine);
    w->yard = tmk_yard_free(w->yard);
}

static inline void world_end(world *w) {
    world_end_engine(w);
    w->pool = tmk_burst_pool_free(w->pool);
}

/* ---- what pumps ask for ---- */

static inline void world_check_checkpoint(world_partition *p, const tmk_checkpoint *c) {
    tmk_done_map m = {0};

    CHECK(c->present && c->sequence_known);
    if (c->done_map.size > 0) {
        CHECK_EQ(TMK_OK, tmk_done_map_read(c->done_map, &m, NULL));
        CHECK_EQ(c->sequence, m.base);
    }
    for (uint32_t i = 0; i < p->count; i++) {
        const world_event *e = &p->events[i];

        if (e->sequence <= c->sequence && i >= p->trimmed) {
            CHECK(e->final);
        } else if (tmk_ranges_has(&m.ranges, e->sequence)) {
            CHECK(e->final);
        }
    }
    tmk_done_map_clear(&m);
}

static inline void world_copy_checkpoint(world_store *s, const tmk_checkpoint *c) {
    s->present = c->present;
    s->sequence = c->sequence;
    (void)snprintf(s->offset, sizeof s->offset, "%s", c->offset);
    s->map_size = c->done_map.size;
    memcpy(s->map, c->done_map.bytes, s->map_size);
}

static inline void world_open_link(world_partition *p, const tmk_start *s) {
    int64_t after = s->kind == TMK_START_SEQUENCE ? s->sequence : -1;

    CHECK(!p->link && !p->opening);
    p->opening = true;
    p->next = p->trimmed;
    if (s->kind == TMK_START_OFFSET) {
        after = strtoll(s->offset, NULL, 10) / 10;
    } else if (s->kind == TMK_START_TIME) {
        after = s->unix_ms - 1000 - 1;
    }
    while (p->next < p->count && p->events[p->next].sequence <= after) {
        p->next++;
    }
}

static inline void world_carry_out(world *w, world_partition *p, const tmk_pump_act *act) {
    (void)w;
    switch (act->kind) {
    case TMK_PUMP_WAIT:
        break;
    case TMK_PUMP_GET_FACTS:
        p->facts_wanted = true;
        break;
    case TMK_PUMP_OPEN_LINK:
        world_open_link(p, &act->start);
        break;
    case TMK_PUMP_CREDIT:
        CHECK(p->link);
        p->credit += act->credit;
        break;
    case TMK_PUMP_CLOSE_LINK:
        CHECK(p->link || p->opening);
        p->link = p->opening = false;
        p->closing = true;
        p->credit = 0;
        break;
    case TMK_PUMP_CHECKPOINT:
        CHECK(!p->write_wanted);
        world_check_checkpoint(p, &act->checkpoint);
        world_copy_checkpoint(&p->writing, &act->checkpoint);
        p->write_wanted = true;
        break;
    case TMK_PUMP_DEAD_LETTER:
        CHECK(act->handle != 0 && p->letter_count < WORLD_EVENTS);
        p->letters[p->letter_count].handle = act->handle;
        p->letters[p->letter_count++].sequence = act->letter.event->sequence;
        break;
    case TMK_PUMP_REPORT:
        CHECK(!act->report.problem || act->report.error.text[0] != '\0');
        p->reports[act->report.event]++;
        p->last_error = act->report.error;
        break;
    case TMK_PUMP_CLOSED:
        CHECK_EQ(TMK_PUMP_WAIT, p->closed.kind);
        p->closed = *act;
        if (act->checkpoint.present) {
            world_check_checkpoint(p, &act->checkpoint);
            world_copy_checkpoint(&p->final, &act->checkpoint);
        }
        break;
    }
}

/* Does all that is to be done now. */
static inline void world_drive(world *w) {
    tmk_pump *pump = NULL;
    tmk_pump_report report;

    tmk_engine_step(w->engine, w->now);
    while ((pump = tmk_engine_next_touched(w->engine)) != NULL) {
        tmk_pump_act act = {0};

        do {
            tmk_pump_step(pump, w->now, &act);
            world_carry_out(w, tmk_pump_user(pump), &act);
        } while (act.kind != TMK_PUMP_WAIT);
    }
    while (tmk_engine_next_report(w->engine, &report)) {
        w->engine_reports[report.event]++;
    }
}

/* ---- what happens to it ---- */

static inline void world_link_opens(world *w, world_partition *p) {
    if (p->opening) {
        p->opening = false;
        p->link = true;
        tmk_pump_on_opened(p->pump, w->now);
    }
}

static inline void world_link_closes(world *w, world_partition *p) {
    if (p->closing) {
        p->closing = false;
        tmk_pump_on_closed(p->pump, w->now);
    }
}

static inline void world_link_ends(world *w, world_partition *p, tmk_status why) {
    tmk_error err;

    if (p->link || p->opening) {
        p->link = p->opening = false;
        p->credit = 0;
        (void)tmk_fail(&err, why, "test", "the link is gone");
        tmk_pump_on_ended(p->pump, w->now, &err);
    }
}

static inline void world_facts_come(world *w, world_partition *p) {
    tmk_partition_facts f = world_facts(p);

    if (p->facts_wanted) {
        p->facts_wanted = false;
        tmk_pump_on_facts(p->pump, w->now, &f, NULL);
    }
}

static inline void world_write_ends(world *w, world_partition *p, tmk_status st) {
    tmk_error err;

    if (p->write_wanted) {
        p->write_wanted = false;
        if (st == TMK_OK) {
            p->store = p->writing;
        }
        (void)tmk_fail(&err, st, "test", "the store says no");
        tmk_pump_on_written(p->pump, w->now, st, 0, &err);
    }
}

static inline void world_deliver(world *w, world_partition *p, uint32_t most) {
    tmk_burst *b = NULL;
    uint64_t count = p->count - p->next;

    count = count < p->credit ? count : p->credit;
    count = count < most ? count : most;
    if (!p->link || count == 0) {
        return;
    }
    b = bursts_begin(w->pool, (uint32_t)count);
    CHECK(b != NULL);
    for (uint64_t i = 0; i < count; i++) {
        bursts_add(b, p->events[p->next].sequence, p->events[p->next].key);
        p->next++;
    }
    b->partition = p->name;
    p->credit -= count;
    tmk_pump_on_burst(p->pump, w->now, b);
}

/* The letter that was given out last. */
static inline void world_letter_ends(world *w, world_partition *p, tmk_status st) {
    if (p->letter_count > 0) {
        tmk_handle handle = p->letters[--p->letter_count].handle;

        if (st == TMK_OK) {
            world_event_of(p, p->letters[p->letter_count].sequence)->final = true;
        }
        CHECK_EQ(TMK_OK, tmk_engine_on_letter(w->engine, w->now, handle, st, NULL));
        CHECK_EQ(TMK_ABSENT, tmk_engine_on_letter(w->engine, w->now, handle, st, NULL));
    }
}

static inline bool world_same_lane(const world *w, const world_event *a, const world_event *b) {
    return w->options.order == TMK_ORDER_PARTITION ||
           (w->options.order == TMK_ORDER_KEY && a->key == b->key);
}

static inline void world_check_handing(const world *w, const world_partition *p,
                                       const world_event *e) {
    CHECK(!e->final && !e->running && (!e->out || w->forgetful));
    for (uint32_t i = 0; i < p->count; i++) {
        const world_event *o = &p->events[i];

        if (o == e || !world_same_lane(w, o, e)) {
            continue;
        }
        CHECK(!o->running);
        if (o->sequence < e->sequence && i >= p->trimmed) {
            CHECK(o->final || o->again);
        }
    }
}

/* Takes a turn, or begins a callback, or ends one with this verdict. False: nothing to do. */
static inline bool world_work(world *w, world_worker *k) {
    if (!k->turn.active && !tmk_turn_take(&k->turn, (uint32_t)tmk_rng_between(&w->rng, 1, 20))) {
        return false;
    }
    if (k->event == NULL) {
        world_event *e = NULL;

        k->event = tmk_turn_event(&k->turn);
        if (k->event == NULL) {
            tmk_turn_end(&k->turn, w->now);
            return true;
        }
        k->partition = &w->partitions[k->turn.delivery.partition[0] - '0'];
        e = world_event_of(k->partition, k->event->sequence);
        world_check_handing(w, k->partition, e);
        e->running = true;
        e->tries++;
        e->handed++;
        e->handle = k->turn.delivery.handle;
    } else {
        world_event *e = world_event_of(k->partition, k->event->sequence);
        tmk_verdict v = w->answer == NULL ? TMK_DONE : w->answer(w, k->partition, e);

        e->running = false;
        e->final = v == TMK_DONE || v == TMK_SKIP ||
                   (v == TMK_RETRY && w->options.retry.exhausted == TMK_EXHAUSTED_SKIP &&
                    e->tries >= w->options.retry.attempts_max);
        e->out = v == TMK_LATER;
        e->again = e->again || (v == TMK_LATER && !w->later_holds);
        k->event = NULL;
        tmk_turn_answer(&k->turn, v);
    }
    return true;
}

static inline void world_complete(world *w, world_event *e, tmk_verdict v) {
    if (e->out) {
        tmk_status st = tmk_yard_complete(w->yard, w->now, e->handle, v, -1);

        CHECK(st == TMK_OK || (st == TMK_ABSENT && w->forgetful));
        e->out = false;
        e->final = st == TMK_OK && (v == TMK_DONE || v == TMK_SKIP);
    }
}

/* Everything goes well, and without delay, for one round. */
static inline void world_round(world *w) {
    world_drive(w);
    for (uint32_t i = 0; i < w->partition_count; i++) {
        world_partition *p = &w->partitions[i];

        if (p->pump != NULL) {
            world_facts_come(w, p);
            world_link_opens(w, p);
            world_link_closes(w, p);
            world_write_ends(w, p, TMK_OK);
            world_letter_ends(w, p, TMK_OK);
            world_deliver(w, p, 64);
        }
    }
    for (uint32_t i = 0; i < WORLD_WORKERS; i++) {
        for (int n = 0; n < 40 && world_work(w, &w->workers[i]); n++) {
        }
    }
    world_drive(w);
}

static inline tmk_pump_facts world_facts_of(const world_partition *p) {
    tmk_pump_facts f;

    tmk_pump_facts_get(p->pump, &f);
    return f;
}

static inline void world_rounds(world *w, int rounds, tmk_time each) {
    for (int i = 0; i < rounds; i++) {
        world_round(w);
        w->now += each;
    }
}

static inline bool world_all_final(const world *w) {
    for (uint32_t i = 0; i < w->partition_count; i++) {
        for (uint32_t j = w->partitions[i].trimmed; j < w->partitions[i].count; j++) {
            if (!w->partitions[i].events[j].final) {
                return false;
            }
        }
    }
    return true;
}

#endif
