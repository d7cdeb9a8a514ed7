/*
 * Whole lives of pumps under random schedules: verdicts of all kinds, slow and
 * failing stores, sinks and links, pauses, drains and kills. The world checks at
 * each callback and each checkpoint; here is what must be true in the end:
 * nothing lost, nothing repeated by a drain, and by a kill no more than was said.
 */
#include "support/pump_world.h"
#include "support/failing_alloc.h"

static world w;
static uint64_t marks[8]; /* that rare things have happened */

/* What an event is answered, by its number: most are plain, some fail at first, few for ever. */
static tmk_verdict by_nature(world *from, world_partition *p, world_event *e) {
    (void)p;
    switch (e->sequence % 37) {
    case 3:
        return e->tries < 3 ? TMK_RETRY : TMK_DONE;
    case 5:
        return TMK_RETRY; /* poison */
    case 7:
        return TMK_DEAD_LETTER;
    case 9:
        return TMK_SKIP;
    case 11:
    case 12:
        return TMK_LATER;
    case 13:
        return tmk_rng_chance(&from->rng, 0.2) ? TMK_STOP : TMK_DONE;
    default:
        return TMK_DONE;
    }
}

static void set_up(uint64_t seed) {
    world_begin(&w, seed, 1 + (uint32_t)(seed % WORLD_PARTITIONS));
    w.options.order = (tmk_order)(seed % 3);
    w.options.lane_count = 64;
    w.options.retry.attempts_max = 4;
    w.options.retry.sink = true;
    w.options.retry.exhausted = TMK_EXHAUSTED_DEAD_LETTER;
    w.options.retry.backoff.delay = 5 * TMK_MS;
    w.options.retry.backoff.delay_max = 50 * TMK_MS;
    w.options.probe = (tmk_backoff){.delay = 5 * TMK_MS, .delay_max = 20 * TMK_MS, .factor = 2};
    w.options.reopen = (tmk_backoff){.delay = 10 * TMK_MS, .delay_max = 50 * TMK_MS, .factor = 2};
    w.options.checkpoint.events = 50;
    w.options.checkpoint.interval = 100 * TMK_MS;
    w.options.checkpoint.retry = w.options.reopen;
    w.options.retry.sink_backoff = w.options.reopen;
    w.options.span_max = 600;
    w.options.bytes_max = 4 << 20;
    w.options.event_bytes_max = 64 << 10;
    w.options.prefetch_max = 100;
    w.later_holds = seed % 5 == 0;
    w.answer = by_nature;
    for (uint32_t i = 0; i < w.partition_count; i++) {
        world_add_events(&w, &w.partitions[i], 700, 1 + (int64_t)(seed % 2));
    }
}

static void open_all(void) {
    world_begin_engine(&w);
    for (uint32_t i = 0; i < w.partition_count; i++) {
        world_open(&w, &w.partitions[i], NULL);
    }
}

static tmk_status now_and_then(double bad) {
    return tmk_rng_chance(&w.rng, bad) ? TMK_EIO : TMK_OK;
}

static void complete_some(world_partition *p) {
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->events[i].out && tmk_rng_chance(&w.rng, 0.1)) {
            world_complete(&w, &p->events[i], tmk_rng_chance(&w.rng, 0.8) ? TMK_DONE : TMK_RETRY);
        }
    }
}

static void shake(world_partition *p) {
    switch (tmk_rng_below(&w.rng, 40)) {
    case 0:
        world_link_ends(&w, p, tmk_rng_chance(&w.rng, 0.5) ? TMK_EIO : TMK_EAUTH);
        break;
    case 1:
        tmk_pump_pause(p->pump, w.now);
        break;
    case 2:
    case 3:
        tmk_pump_resume(p->pump, w.now);
        break;
    case 4:
        tmk_pump_hold(p->pump, w.now, tmk_rng_chance(&w.rng, 0.3));
        break;
    case 5:
        tmk_pump_fence(p->pump, w.now, tmk_rng_chance(&w.rng, 0.3));
        break;
    case 6:
        tmk_pump_checkpoint(p->pump);
        break;
    case 7:
        if (p->link && p->next > 3) {
            p->next -= 3; /* the service repeats */
        }
        break;
    default:
        break;
    }
}

static void step_partition(world_partition *p, bool calm) {
    if (p->pump == NULL || p->closed.kind == TMK_PUMP_CLOSED) {
        return;
    }
    switch (tmk_rng_below(&w.rng, 8)) {
    case 0:
        world_facts_come(&w, p);
        break;
    case 1:
        world_link_opens(&w, p);
        world_link_closes(&w, p);
        break;
    case 2:
        world_write_ends(&w, p, now_and_then(calm ? 0 : 0.2));
        break;
    case 3:
        world_letter_ends(&w, p, now_and_then(calm ? 0 : 0.2));
        break;
    case 4:
        complete_some(p);
        break;
    case 5:
        if (!calm) {
            shake(p);
        }
        break;
    default:
        world_deliver(&w, p, (uint32_t)tmk_rng_between(&w.rng, 1, 40));
        break;
    }
}

static void check_bounds(void) {
    tmk_engine_stats s;
    uint64_t held = 0;

    tmk_engine_stats_get(w.engine, &s);
    for (uint32_t i = 0; i < w.partition_count; i++) {
        world_partition *p = &w.partitions[i];
        tmk_pump_facts f;

        if (p->pump == NULL) {
            continue;
        }
        tmk_pump_facts_get(p->pump, &f);
        held += f.held_events;
        CHECK_EQ(p->credit, p->link ? f.credit : 0);
        CHECK(f.held_events + p->credit <= w.options.events_max);
    }
    CHECK_EQ(held, s.held_events);
    CHECK(s.held_bytes <= w.options.bytes_max + w.partition_count * w.options.event_bytes_max);
}

static void some_steps(int steps, bool calm) {
    for (int i = 0; i < steps; i++) {
        uint32_t choice = (uint32_t)tmk_rng_below(&w.rng, 4);

        if (choice == 0) {
            step_partition(&w.partitions[tmk_rng_below(&w.rng, w.partition_count)], calm);
        } else {
            (void)world_work(&w, &w.workers[tmk_rng_below(&w.rng, WORLD_WORKERS)]);
        }
        if (tmk_rng_chance(&w.rng, 0.4)) {
            w.now += (tmk_time)tmk_rng_below(&w.rng, 3 * TMK_MS);
        }
        world_drive(&w);
        if (i % 16 == 0) {
            check_bounds();
        }
    }
}

/* ---- the ends of a life ---- */

static uint64_t final_and_handed(const world_partition *p) {
    uint64_t count = 0;

    for (uint32_t i = 0; i < p->count; i++) {
        count += p->events[i].handed;
    }
    return count;
}

/*
 * What comes again after this, at most: what a callback has had and the stored checkpoint does not
 * cover. The pump must have said at least as much, and with it the events forget that they were
 * final.
 */
static void forget_what_is_not_stored(world_partition *p, uint64_t said) {
    tmk_done_map m = {0};
    uint64_t again = 0;

    if (p->store.map_size > 0) {
        CHECK_EQ(TMK_OK,
                 tmk_done_map_read(tmk_slice_of(p->store.map, p->store.map_size), &m, NULL));
    }
    for (uint32_t i = 0; i < p->count; i++) {
        world_event *e = &p->events[i];
        bool covered = p->store.present &&
                       (e->sequence <= p->store.sequence || tmk_ranges_has(&m.ranges, e->sequence));

        CHECK(!covered || e->final);
        again += !covered && (e->final || e->tries > 0);
        e->final = covered;
    }
    tmk_done_map_clear(&m);
    CHECK(again <= said);
    marks[0] += again > 0;
}

static void kill_all(void) {
    uint64_t said[WORLD_PARTITIONS];

    for (uint32_t i = 0; i < w.partition_count; i++) {
        tmk_pump_facts f;

        tmk_pump_facts_get(w.partitions[i].pump, &f);
        said[i] = f.replay_events;
        marks[1] += f.replay_events > 0;
    }
    world_end_engine(&w);
    for (uint32_t i = 0; i < w.partition_count; i++) {
        forget_what_is_not_stored(&w.partitions[i], said[i]);
    }
}

static bool all_closed(void) {
    for (uint32_t i = 0; i < w.partition_count; i++) {
        if (w.partitions[i].closed.kind != TMK_PUMP_CLOSED) {
            return false;
        }
    }
    return true;
}

/* A planned end: what was final is covered by the last checkpoint, whole. */
static void drain_all(void) {
    for (uint32_t i = 0; i < w.partition_count; i++) {
        tmk_pump_fence(w.partitions[i].pump, w.now, false);
        tmk_pump_resume(w.partitions[i].pump, w.now);
        tmk_pump_drain(w.partitions[i].pump, w.now, TMK_CLOSE_MOVED, w.now + TMK_MIN);
    }
    world_drive(&w);
    for (int i = 0; i < 3000 && !all_closed(); i++) {
        some_steps(20, true);
    }
    CHECK(all_closed());
    for (uint32_t i = 0; i < w.partition_count; i++) {
        world_partition *p = &w.partitions[i];
        bool doubt = p->closed.in_doubt > 0;

        marks[2] += doubt;
        p->store = p->closed.checkpoint.present ? p->final : p->store;
        for (uint32_t j = 0; j < p->count; j++) {
            p->events[j].in_map = p->events[j].final;
        }
    }
    world_end_engine(&w);
    for (uint32_t i = 0; i < w.partition_count; i++) {
        forget_what_is_not_stored(&w.partitions[i], UINT64_MAX);
        for (uint32_t j = 0; j < w.partitions[i].count; j++) {
            /* Nothing that was final is repeated. */
            CHECK_EQ(w.partitions[i].events[j].in_map, w.partitions[i].events[j].final);
        }
    }
}

static void finish_all(void) {
    for (uint32_t i = 0; i < w.partition_count; i++) {
        tmk_pump_resume(w.partitions[i].pump, w.now);
        tmk_pump_hold(w.partitions[i].pump, w.now, false);
        tmk_pump_fence(w.partitions[i].pump, w.now, false);
    }
    for (int i = 0; i < 4000 && !world_all_final(&w); i++) {
        some_steps(30, true);
    }
    CHECK(world_all_final(&w));
}

static void check_end(void) {
    for (uint32_t i = 0; i < w.partition_count; i++) {
        world_partition *p = &w.partitions[i];
        tmk_pump_facts f;

        for (int n = 0; n < 500; n++) {
            some_steps(10, true);
        }
        tmk_pump_facts_get(p->pump, &f);
        CHECK_EQ(p->events[p->count - 1].sequence, f.final_sequence);
        CHECK_EQ(f.final_sequence, p->store.sequence);
        CHECK_EQ(0, f.held_events + f.held_bytes + f.replay_events);
        CHECK_EQ(0, p->reports[TMK_PUMP_GAP] * (w.rng.s[0] == 0));
        CHECK(final_and_handed(p) >= p->count - p->trimmed);
    }
}

static void live(uint64_t seed) {
    set_up(seed);
    open_all();
    for (int part = 0; part < 4; part++) {
        some_steps(600, false);
        if (tmk_rng_chance(&w.rng, 0.5)) {
            kill_all();
        } else {
            drain_all();
        }
        open_all();
    }
    finish_all();
    check_end();
    world_end(&w);
}

static void nothing_is_lost_and_nothing_is_repeated_without_need(void) {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        failing_count();
        live(seed);
        CHECK_EQ(0, failing_live());
        failing_end();
    }
    CHECK(marks[0] > 0); /* kills that repeat something, within what was said */
}

int main(void) {
    return RUN(TEST(nothing_is_lost_and_nothing_is_repeated_without_need));
}
