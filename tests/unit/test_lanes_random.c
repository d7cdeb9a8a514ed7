/*
 * Lanes under random schedules, in one thread: bursts, turns, verdicts, handles,
 * pauses and gates in any order. Before each callback the order is checked
 * against a plain record of every event; in the end every event has become
 * final, once.
 */
#include "core/lanes.h"

#include "base/rng.h"
#include "core/tracker.h"
#include "support/bursts.h"
#include "support/check.h"
#include "support/failing_alloc.h"

enum { EVENTS = 600, WORKERS = 4, PARTITIONS = 2, KEYS = 7, LANES = 4 };

typedef enum state {
    NOWHERE, /* not pushed */
    QUEUED,
    RUNNING, /* its callback runs */
    DECIDED, /* has a verdict that the control thread has not seen */
    HELD,    /* the control thread decides */
    OUT,     /* LATER */
    FINAL
} state;

typedef struct event_record {
    state state;
    uint16_t lane;
    uint32_t tries;
    tmk_handle handle;
    tmk_handle voided; /* of a callback that answered otherwise */
    bool passed;       /* was put off without holding its lane: others may have passed it */
} event_record;

typedef struct partition {
    tmk_lanes *lanes;
    tmk_tracker tracker;
    event_record events[EVENTS]; /* by ordinal */
    uint32_t pushed;
    bool paused;
} partition;

typedef struct worker {
    tmk_turn turn;
    uint32_t running; /* events of the callback under way; 0: none */
    const tmk_event *const *events;
    tmk_verdict *verdicts;
    const tmk_event *event; /* without batches */
    tmk_verdict verdict;
} worker;

typedef struct world {
    tmk_rng rng;
    tmk_yard *yard;
    tmk_yard_options yard_options;
    tmk_lanes_options options;
    partition partitions[PARTITIONS];
    worker workers[WORKERS];
    tmk_burst_pool *pool;
    tmk_time now;
    unsigned gate;
    bool calm; /* the end: everything is DONE */
} world;

static world w;

static bool lane_is_open(uint16_t lane) {
    return w.options.order == TMK_ORDER_NONE ||
           (w.options.order == TMK_ORDER_KEY && w.options.keyless_free && lane == 0);
}

static partition *partition_of(const tmk_turn *t) {
    return &w.partitions[t->delivery.partition[0] - '0'];
}

/* ---- the control thread's part ---- */

static void push_some(partition *p) {
    uint32_t count = (uint32_t)tmk_rng_between(&w.rng, 1, 40);
    tmk_burst *b = NULL;
    uint16_t lanes[EVENTS];
    uint64_t first = 0;

    count = count < EVENTS - p->pushed ? count : EVENTS - p->pushed;
    if (count == 0) {
        return;
    }
    b = bursts_make(w.pool, p->pushed, count, 1, tmk_rng_chance(&w.rng, 0.8) ? KEYS : 0);
    CHECK(b != NULL);
    for (uint32_t i = 0; i < count; i++) {
        lanes[i] = w.options.order == TMK_ORDER_KEY
                       ? tmk_lane_of_key(p->lanes, tmk_event_key(&b->events[i]))
                       : 0;
        p->events[p->pushed + i] = (event_record){.state = QUEUED, .lane = lanes[i]};
    }
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&p->tracker, b, 0, count, 1, w.now, &first));
    CHECK_EQ(p->pushed, first);
    CHECK_EQ(TMK_OK, tmk_lanes_push(p->lanes, w.now, b->events, count, first, p->tracker.low,
                                    w.options.order == TMK_ORDER_KEY ? lanes : NULL));
    p->pushed += count;
}

static void on_finished(partition *p, const tmk_finished *f) {
    for (uint32_t i = 0; i < f->count; i++) {
        event_record *e = &p->events[f->ordinal + i];

        CHECK_EQ(DECIDED, e->state);
        CHECK(f->verdict == TMK_DONE || f->attempt == e->tries);
        e->state = f->verdict == TMK_DONE || f->verdict == TMK_SKIP ? FINAL : HELD;
    }
    if (f->verdict == TMK_DONE || f->verdict == TMK_SKIP) {
        tmk_tracker_finish(&p->tracker, f->ordinal, f->count);
    } else {
        CHECK(f->verdict == TMK_RETRY || f->retry_ms == -1);
    }
}

static void collect(void) {
    tmk_lanes *l = NULL;

    while ((l = tmk_yard_collect(w.yard)) != NULL) {
        tmk_finished f;
        partition *p = tmk_lanes_owner(l);

        while (tmk_lanes_next_finished(l, &f)) {
            on_finished(p, &f);
        }
    }
}

/* Again, or final. */
static void decide(partition *p, uint32_t ordinal) {
    event_record *e = &p->events[ordinal];

    if (e->state != HELD) {
        return;
    }
    if (w.calm || tmk_rng_chance(&w.rng, 0.3)) {
        tmk_lanes_release(p->lanes, w.now, ordinal);
        tmk_tracker_finish(&p->tracker, ordinal, 1);
        e->state = FINAL;
    } else {
        tmk_lanes_again(p->lanes, w.now, ordinal, tmk_tracker_event(&p->tracker, ordinal),
                        e->tries + 1);
        e->state = QUEUED;
    }
}

static tmk_verdict any_final_or_held(void) {
    static const tmk_verdict all[] = {TMK_DONE,  TMK_DONE,        TMK_SKIP,
                                      TMK_RETRY, TMK_DEAD_LETTER, TMK_STOP};
    return w.calm ? TMK_DONE : all[tmk_rng_below(&w.rng, 6)];
}

static void complete(partition *p, uint32_t ordinal) {
    event_record *e = &p->events[ordinal];

    if (e->voided != 0) {
        CHECK_EQ(TMK_ABSENT, tmk_yard_complete(w.yard, w.now, e->voided, TMK_DONE, -1));
        e->voided = 0;
    }
    if (e->state == OUT) {
        CHECK_EQ(TMK_OK, tmk_yard_complete(w.yard, w.now, e->handle, any_final_or_held(), -1));
        CHECK_EQ(TMK_ABSENT, tmk_yard_complete(w.yard, w.now, e->handle, TMK_DONE, -1));
        e->state = DECIDED;
    }
}

/* ---- the workers' part ---- */

/* What G2 says: nothing of its lane that comes before it is open, but what was put off. */
static void check_order(const partition *p, uint32_t ordinal) {
    uint16_t lane = p->events[ordinal].lane;

    CHECK_EQ(QUEUED, p->events[ordinal].state);
    for (uint32_t i = 0; i < p->pushed && !lane_is_open(lane); i++) {
        const event_record *e = &p->events[i];

        if (e->lane != lane || i == ordinal) {
            continue;
        }
        if (e->state == RUNNING) {
            CHECK(w.yard_options.batch_events > 0); /* the same callback's */
            continue;
        }
        if (i < ordinal) {
            CHECK(e->state == FINAL || e->state == DECIDED || e->passed);
        }
    }
}

static uint32_t next_callback(worker *k) {
    if (w.yard_options.batch_events > 0) {
        return tmk_turn_batch(&k->turn, &k->events, &k->verdicts);
    }
    k->event = tmk_turn_event(&k->turn);
    k->events = &k->event;
    k->verdict = TMK_DONE;
    k->verdicts = &k->verdict;
    return k->event != NULL;
}

static void begin_callback(worker *k) {
    uint32_t count = next_callback(k);
    partition *p = NULL;

    if (count == 0) {
        tmk_turn_end(&k->turn, w.now);
        return;
    }
    p = partition_of(&k->turn);
    CHECK(count > 0 &&
          count <= (w.yard_options.batch_events == 0 ? 1 : w.yard_options.batch_events));
    for (uint32_t i = 0; i < count; i++) {
        check_order(p, (uint32_t)k->events[i]->sequence);
        p->events[k->events[i]->sequence].state = RUNNING;
        p->events[k->events[i]->sequence].tries++;
        CHECK_EQ(TMK_DONE, k->verdicts[i]);
    }
    CHECK_EQ(p->events[k->events[0]->sequence].tries, k->turn.delivery.attempt);
    CHECK(k->turn.delivery.attempt == 1 || count == 1);
    k->running = count;
}

static void answer(worker *k, uint32_t i) {
    partition *p = partition_of(&k->turn);
    event_record *e = &p->events[k->events[i]->sequence];
    tmk_handle handle = k->turn.delivery.handle + i;
    bool early = tmk_rng_chance(&w.rng, 0.05);

    k->verdicts[i] = tmk_rng_chance(&w.rng, 0.7) ? TMK_DONE : any_final_or_held();
    if (!w.calm && tmk_rng_chance(&w.rng, 0.1)) {
        k->verdicts[i] = TMK_LATER;
    }
    if (early) { /* somebody completes it before the callback returns */
        CHECK_EQ(TMK_OK, tmk_yard_complete(w.yard, w.now, handle, any_final_or_held(), -1));
        CHECK_EQ(TMK_ABSENT, tmk_yard_complete(w.yard, w.now, handle, TMK_DONE, -1));
    }
    e->state = k->verdicts[i] == TMK_LATER && !early ? OUT : DECIDED;
    e->passed = e->passed || (e->state == OUT && !w.yard_options.later_holds);
    e->handle = handle;
    e->voided = e->state == OUT ? 0 : handle;
}

static void end_callback(worker *k) {
    for (uint32_t i = 0; i < k->running; i++) {
        answer(k, i);
    }
    k->turn.delivery.retry_ms = 5;
    if (w.yard_options.batch_events > 0) {
        tmk_turn_answer_batch(&k->turn);
    } else {
        tmk_turn_answer(&k->turn, k->verdict);
    }
    k->running = 0;
}

static void step_worker(worker *k) {
    if (!k->turn.active) {
        (void)tmk_turn_take(&k->turn, (uint32_t)tmk_rng_between(&w.rng, 1, 20));
    } else if (k->running > 0 && tmk_rng_chance(&w.rng, 0.1)) {
        (void)tmk_turn_relieve(&k->turn, w.now); /* it hangs, for now */
    } else if (k->running > 0) {
        end_callback(k);
    } else if (tmk_rng_chance(&w.rng, 0.1)) {
        tmk_turn_end(&k->turn, w.now); /* it took too long */
    } else {
        begin_callback(k);
    }
}

/* ---- a life ---- */

static void shake_gate(void) {
    tmk_gate gate = tmk_rng_chance(&w.rng, 0.5) ? TMK_GATE_BREAKER : TMK_GATE_FENCE;

    if (tmk_rng_chance(&w.rng, 0.5)) {
        tmk_yard_shut(w.yard, gate);
        w.gate |= gate;
    } else {
        tmk_yard_open(w.yard, gate);
        w.gate &= ~(unsigned)gate;
    }
    if (w.gate == TMK_GATE_BREAKER) {
        tmk_yard_probe(w.yard);
    }
}

static void step_once(void) {
    partition *p = &w.partitions[tmk_rng_below(&w.rng, PARTITIONS)];
    uint32_t some = p->pushed == 0 ? 0 : (uint32_t)tmk_rng_below(&w.rng, p->pushed);

    switch (tmk_rng_below(&w.rng, 16)) {
    case 0:
        push_some(p);
        break;
    case 1:
    case 2:
        collect();
        break;
    case 3:
    case 4:
        decide(p, some);
        complete(p, some);
        break;
    case 5:
        if (tmk_rng_chance(&w.rng, 0.1)) {
            p->paused = !p->paused;
            tmk_lanes_pause(p->lanes, w.now, p->paused);
        }
        break;
    case 6:
        if (tmk_rng_chance(&w.rng, 0.1)) {
            shake_gate();
        }
        w.now += TMK_MS;
        tmk_yard_step(w.yard, w.now);
        break;
    default:
        step_worker(&w.workers[tmk_rng_below(&w.rng, WORKERS)]);
        break;
    }
}

/* Everything is let go and answered DONE; then nothing may be left. */
static void settle_partition(partition *p) {
    tmk_lanes_pause(p->lanes, w.now, false);
    push_some(p);
    for (uint32_t i = 0; i < p->pushed; i++) {
        complete(p, i);
    }
    collect();
    for (uint32_t i = 0; i < p->pushed; i++) {
        decide(p, i);
    }
}

static bool all_final(void) {
    for (int i = 0; i < PARTITIONS; i++) {
        partition *p = &w.partitions[i];

        if (p->pushed < EVENTS || tmk_tracker_unfinished(&p->tracker) > 0) {
            return false;
        }
    }
    return true;
}

static void settle_all(void) {
    w.calm = true;
    tmk_yard_open(w.yard, TMK_GATE_BREAKER);
    tmk_yard_open(w.yard, TMK_GATE_FENCE);
    for (int round = 0; round < 3000 && !all_final(); round++) {
        for (int i = 0; i < PARTITIONS; i++) {
            settle_partition(&w.partitions[i]);
        }
        for (int i = 0; i < WORKERS * 30; i++) {
            step_worker(&w.workers[i % WORKERS]);
        }
        w.now += TMK_SEC;
        tmk_yard_step(w.yard, w.now);
    }
    CHECK(all_final());
}

/* One thread: what it has stored it sees. */
static bool fence(void *self) {
    (void)self;
    return true;
}

static void begin_world(uint64_t seed) {
    static const tmk_position start = {.sequence = -1, .enqueued_ms = -1};
    static const char *const names[PARTITIONS] = {"0", "1"};

    w = (world){0};
    tmk_rng_seed(&w.rng, seed);
    w.yard_options = (tmk_yard_options){.guard = {.fence = fence},
                                        .workers = WORKERS,
                                        .batch_events = seed % 3 == 0 ? 5 : 0,
                                        .batch_bytes = seed % 2 == 0 ? 20 : 0,
                                        .linger = seed % 6 == 0 ? 10 * TMK_MS : 0,
                                        .later_holds = seed % 5 == 0};
    w.options = (tmk_lanes_options){
        .order = (tmk_order)(seed % 7 % 3), .lane_count = LANES, .keyless_free = seed % 4 == 0};
    CHECK_EQ(TMK_OK, tmk_burst_pool_new(1 << 20, &w.pool, NULL));
    CHECK_EQ(TMK_OK, tmk_yard_new(&w.yard_options, &w.yard, NULL));
    for (uint32_t i = 0; i < WORKERS; i++) {
        CHECK_EQ(TMK_OK, tmk_turn_init(&w.workers[i].turn, w.yard, i, NULL));
    }
    for (int i = 0; i < PARTITIONS; i++) {
        w.options.owner = &w.partitions[i];
        w.options.partition = names[i];
        CHECK_EQ(TMK_OK, tmk_lanes_new(w.yard, &w.options, &w.partitions[i].lanes, NULL));
        tmk_tracker_init(&w.partitions[i].tracker, &start, NULL);
    }
}

/* The partitions go first, with turns under way and handles out, as after a loss. */
static void end_world(void) {
    for (int i = 0; i < PARTITIONS; i++) {
        tmk_list bursts;

        tmk_list_init(&bursts);
        tmk_tracker_detach(&w.partitions[i].tracker, &bursts);
        w.partitions[i].lanes = tmk_lanes_free(w.partitions[i].lanes, &bursts);
        CHECK(tmk_list_empty(&bursts));
    }
    for (int i = 0; i < WORKERS; i++) {
        worker *k = &w.workers[i];

        if (k->running > 0) {
            CHECK(k->events[0]->sequence >= 0); /* still there */
            end_callback(k);
        }
        if (k->turn.active) {
            begin_callback(k);
            CHECK(!k->turn.active);
        }
        tmk_turn_clear(&k->turn);
    }
    CHECK(tmk_yard_collect(w.yard) == NULL);
    for (int i = 0; i < PARTITIONS; i++) {
        for (uint32_t j = 0; j < w.partitions[i].pushed; j += 2) {
            if (w.partitions[i].events[j].state == OUT) {
                CHECK_EQ(TMK_ABSENT,
                         tmk_yard_complete(w.yard, w.now, w.partitions[i].events[j].handle,
                                           TMK_DONE, -1));
            }
        }
    }
    w.yard = tmk_yard_free(w.yard);
    w.pool = tmk_burst_pool_free(w.pool);
}

static void every_event_becomes_final_once_and_in_order(void) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        failing_count();
        begin_world(seed);
        for (int step = 0; step < 6000; step++) {
            step_once();
        }
        settle_all();
        for (int i = 0; i < PARTITIONS; i++) {
            tmk_lanes_facts f = tmk_lanes_facts_get(w.partitions[i].lanes);

            CHECK_EQ(0, f.queued + f.out);
        }
        end_world();
        CHECK_EQ(0, failing_live());
        failing_end();
    }
}

static void partitions_may_go_at_any_moment(void) {
    for (uint64_t seed = 1; seed <= 100; seed++) {
        failing_count();
        begin_world(seed);
        for (int step = 0; step < 40 * (int)seed; step++) {
            step_once();
        }
        end_world();
        CHECK_EQ(0, failing_live());
        failing_end();
    }
}

int main(void) {
    return RUN(TEST(every_event_becomes_final_once_and_in_order),
               TEST(partitions_may_go_at_any_moment));
}
