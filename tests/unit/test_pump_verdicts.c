/* What becomes of events that are not simply done; and how a partition ends. */
#include "support/failing_alloc.h"
#include "support/pump_world.h"

static world w;
static tmk_verdict answers[32]; /* by sequence, for the first tries */

static tmk_verdict from_table(struct world *from, world_partition *p, world_event *e) {
    (void)from;
    (void)p;
    return e->sequence < 32 ? answers[e->sequence] : TMK_DONE;
}

static tmk_verdict retry_once(struct world *from, world_partition *p, world_event *e) {
    (void)from;
    (void)p;
    return e->sequence == 3 && e->tries == 1 ? TMK_RETRY : TMK_DONE;
}

static tmk_verdict later_all(struct world *from, world_partition *p, world_event *e) {
    (void)from;
    (void)p;
    (void)e;
    return TMK_LATER;
}

static world_partition *begin(uint32_t events) {
    memset(answers, 0, sizeof answers);
    world_begin(&w, 1, 1);
    w.answer = from_table;
    w.options.retry.backoff.jitter = 0;
    w.options.probe.jitter = 0;
    w.options.retry.sink_backoff.jitter = 0;
    world_add_events(&w, &w.partitions[0], events, 1);
    return &w.partitions[0];
}

static void start(world_partition *p) {
    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_rounds(&w, 6, TMK_MS);
}

/* ---- verdicts ---- */

static void a_retried_event_comes_again_after_its_pause_and_the_rest_waits(void) {
    world_partition *p = begin(10);

    w.answer = retry_once;
    start(p);
    CHECK_EQ(1, p->events[3].tries);
    CHECK_EQ(0, p->events[4].tries);
    CHECK_EQ(2, world_facts_of(p).final_sequence);
    world_rounds(&w, 9, 20 * TMK_MS);
    CHECK_EQ(1, p->events[3].tries);
    world_rounds(&w, 4, 20 * TMK_MS);
    CHECK_EQ(2, p->events[3].tries);
    CHECK(world_all_final(&w));
    world_end(&w);
}

static void after_the_last_try_it_is_put_aside_and_final_when_the_sink_has_it(void) {
    world_partition *p = begin(10);
    tmk_engine_stats s;

    w.options.retry.attempts_max = 2;
    w.options.retry.sink = true;
    w.options.retry.exhausted = TMK_EXHAUSTED_DEAD_LETTER;
    answers[3] = TMK_RETRY;
    start(p);
    w.now += TMK_SEC;
    for (int i = 0; i < 20 && p->letter_count == 0; i++) {
        world_drive(&w);
        (void)world_work(&w, &w.workers[0]);
    }
    CHECK_EQ(1, p->letter_count);
    CHECK_EQ(3, p->letters[0].sequence);
    CHECK_EQ(1, p->reports[TMK_PUMP_EXHAUSTED]);
    CHECK_EQ(2, world_facts_of(p).final_sequence); /* not before the sink has it */
    world_letter_ends(&w, p, TMK_EIO);
    world_drive(&w);
    CHECK_EQ(1, p->reports[TMK_PUMP_LETTER_FAILED]);
    CHECK_EQ(2, world_facts_of(p).final_sequence);
    CHECK_EQ(0, p->letter_count);
    w.now += TMK_SEC;
    world_drive(&w);
    CHECK_EQ(1, p->letter_count);
    world_letter_ends(&w, p, TMK_OK);
    world_rounds(&w, 3, TMK_MS);
    CHECK(world_all_final(&w));
    tmk_engine_stats_get(w.engine, &s);
    CHECK_EQ(1, s.dead_lettered);
    CHECK_EQ(1, s.retries);
    CHECK_EQ(9, s.done);
    CHECK_EQ(0, s.letters_out);
    world_end(&w);
}

static void without_a_sink_the_partition_halts_until_it_is_resumed(void) {
    world_partition *p = begin(10);

    answers[3] = TMK_DEAD_LETTER;
    start(p);
    CHECK_EQ(1, p->reports[TMK_PUMP_HALTED]);
    CHECK(world_facts_of(p).halted);
    CHECK_EQ(TMK_PROGRESS_STOPPED, world_facts_of(p).progress);
    CHECK_EQ(0, p->events[4].handed);
    world_rounds(&w, 10, TMK_MIN);
    CHECK_EQ(2, p->store.sequence);
    answers[3] = TMK_DONE; /* somebody has mended it */
    tmk_pump_resume(p->pump, w.now);
    world_rounds(&w, 4, TMK_MS);
    CHECK(world_all_final(&w));
    CHECK(!world_facts_of(p).halted);
    world_end(&w);
}

static void retries_without_end_are_told(void) {
    world_partition *p = begin(5);

    w.options.retry.attempts_max = 0;
    answers[0] = TMK_RETRY;
    start(p);
    world_rounds(&w, 60, 30 * TMK_SEC);
    CHECK(p->events[0].tries >= 40);
    CHECK(p->reports[TMK_PUMP_RETRY_STILL] >= 4);
    world_end(&w);
}

static void skipping_after_the_last_try_is_told_and_final(void) {
    world_partition *p = begin(5);

    w.options.retry.attempts_max = 1;
    w.options.retry.exhausted = TMK_EXHAUSTED_SKIP;
    answers[1] = TMK_RETRY;
    start(p);
    world_rounds(&w, 4, TMK_MS);
    CHECK_EQ(1, p->reports[TMK_PUMP_EXHAUSTED]);
    CHECK_EQ(4, world_facts_of(p).final_sequence);
    world_end(&w);
}

/* ---- the breaker ---- */

static void a_broken_sink_stops_all_handing_out_until_a_probe_gets_through(void) {
    world_partition *p = begin(10);
    tmk_engine_stats s;
    uint32_t tries = 0;

    answers[3] = TMK_STOP;
    start(p);
    CHECK_EQ(1, w.engine_reports[TMK_PUMP_BREAKER_OPEN]);
    CHECK_EQ(1, p->events[3].tries);
    tmk_engine_stats_get(w.engine, &s);
    CHECK(s.breaker);
    CHECK_EQ(TMK_PROGRESS_STOPPED, world_facts_of(p).progress);
    world_rounds(&w, 10, 50 * TMK_MS);
    CHECK_EQ(1, p->events[3].tries);
    world_rounds(&w, 100, TMK_SEC); /* 1, 2, 4, 8, 16, 30, 30 s */
    tries = p->events[3].tries;
    CHECK(tries >= 6 && tries <= 9);
    CHECK_EQ(0, p->events[4].handed);
    answers[3] = TMK_DONE;
    world_rounds(&w, 40, TMK_SEC);
    CHECK_EQ(1, w.engine_reports[TMK_PUMP_BREAKER_CLOSED]);
    CHECK(world_all_final(&w));
    world_end(&w);
}

/* ---- handles ---- */

static void a_handle_that_is_out_for_long_is_told(void) {
    world_partition *p = begin(5);

    answers[2] = TMK_LATER;
    start(p);
    CHECK_EQ(1, world_facts_of(p).out);
    CHECK_EQ(1, world_facts_of(p).final_sequence);
    world_rounds(&w, 12, TMK_MIN);
    CHECK_EQ(1, w.engine_reports[TMK_PUMP_LATER_OLD]);
    world_complete(&w, &p->events[2], TMK_DONE);
    world_rounds(&w, 2, TMK_MS);
    CHECK_EQ(4, world_facts_of(p).final_sequence);
    world_end(&w);
}

/* ---- bounds ---- */

static void a_stuck_event_stops_intake_at_the_span(void) {
    world_partition *p = begin(1000);

    w.options.order = TMK_ORDER_NONE;
    w.options.span_max = 100;
    w.options.prefetch_max = 20;
    answers[0] = TMK_LATER;
    start(p);
    world_rounds(&w, 100, TMK_MS);
    CHECK(world_facts_of(p).received_sequence < 130);
    CHECK(world_facts_of(p).received_sequence >= 99);
    CHECK_EQ(1, world_facts_of(p).held_events); /* the others are final, and their memory is free */
    world_complete(&w, &p->events[0], TMK_DONE);
    world_rounds(&w, 200, TMK_MS);
    CHECK(world_all_final(&w));
    world_end(&w);
}

static void a_hold_stops_intake_and_not_the_handing_out(void) {
    world_partition *p = begin(1000);

    w.options.prefetch_max = 50;
    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_drive(&w);
    world_facts_come(&w, p);
    world_drive(&w);
    world_link_opens(&w, p);
    world_drive(&w);
    tmk_pump_hold(p->pump, w.now, true);
    world_rounds(&w, 10, TMK_MS);
    CHECK(world_facts_of(p).received_sequence < 50);
    CHECK_EQ(world_facts_of(p).received_sequence, world_facts_of(p).final_sequence);
    tmk_pump_hold(p->pump, w.now, false);
    world_rounds(&w, 200, TMK_MS);
    CHECK(world_all_final(&w));
    world_end(&w);
}

static void a_fence_stops_the_handing_out(void) {
    world_partition *p = begin(100);

    world_begin_engine(&w);
    world_open(&w, p, NULL);
    tmk_pump_fence(p->pump, w.now, true);
    world_rounds(&w, 10, TMK_MS);
    CHECK(world_facts_of(p).received_sequence >= 0);
    CHECK_EQ(0, p->events[0].handed);
    tmk_pump_fence(p->pump, w.now, false);
    world_rounds(&w, 10, TMK_MS);
    CHECK(world_all_final(&w));
    world_end(&w);
}

/* The first had the whole budget, being alone; the second has one event that is put off, and asked
 * for more in vain. */
static void who_was_refused_is_asked_again_when_others_drain(void) {
    world_partition *a = begin(0);
    world_partition *b = &w.partitions[1];

    w.partition_count = 2;
    (void)snprintf(b->name, sizeof b->name, "1");
    w.options.order = TMK_ORDER_NONE;
    w.options.events_max = 50;
    world_add_events(&w, a, 40, 1);
    world_add_events(&w, b, 40, 1);
    w.answer = later_all;
    world_begin_engine(&w);
    world_open(&w, a, NULL);
    world_rounds(&w, 30, TMK_MS);
    CHECK_EQ(40, world_facts_of(a).held_events);
    world_open(&w, b, NULL);
    world_rounds(&w, 30, TMK_MS);
    CHECK(world_facts_of(b).held_events <= 11);
    for (int i = 0; i < 40; i++) {
        world_complete(&w, &a->events[i], TMK_DONE);
    }
    world_rounds(&w, 30, TMK_MS);
    CHECK(world_facts_of(b).held_events >= 25);
    world_end(&w);
}

/* ---- checkpoints ---- */

static void a_write_that_fails_is_tried_again_with_the_newest_state(void) {
    world_partition *p = begin(20);

    w.options.checkpoint.events = 5;
    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_drive(&w);
    world_facts_come(&w, p);
    world_drive(&w);
    CHECK(p->write_wanted); /* the start position */
    world_write_ends(&w, p, TMK_EIO);
    world_drive(&w);
    CHECK_EQ(1, p->reports[TMK_PUMP_WRITE_FAILED]);
    CHECK(!p->write_wanted);
    world_rounds(&w, 5, TMK_MS);
    CHECK(!p->store.present);
    CHECK_EQ(20, world_facts_of(p).replay_events);
    world_rounds(&w, 5, TMK_SEC);
    CHECK_EQ(19, p->store.sequence);
    CHECK_EQ(0, world_facts_of(p).replay_events);
    world_end(&w);
}

static void a_refused_write_means_that_the_claim_is_lost(void) {
    world_partition *p = begin(20);

    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_drive(&w);
    world_facts_come(&w, p);
    world_drive(&w);
    world_write_ends(&w, p, TMK_CONFLICT);
    for (int i = 0; i < 4; i++) {
        world_drive(&w);
        world_link_closes(&w, p);
    }
    CHECK_EQ(TMK_PUMP_CLOSED, p->closed.kind);
    CHECK_EQ(TMK_CLOSE_LOST, p->closed.reason);
    world_end(&w);
}

/* ---- the end ---- */

/* Delivers, and begins one callback on worker 0. */
static world_partition *with_one_running(uint32_t events) {
    world_partition *p = begin(events);

    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_drive(&w);
    world_facts_come(&w, p);
    world_drive(&w);
    world_link_opens(&w, p);
    world_drive(&w);
    world_deliver(&w, p, 10);
    CHECK(world_work(&w, &w.workers[0]));
    return p;
}

static void a_drain_waits_for_what_runs_and_forgets_what_does_not(void) {
    world_partition *p = with_one_running(10);

    tmk_pump_drain(p->pump, w.now, TMK_CLOSE_MOVED, w.now + TMK_MIN);
    world_drive(&w);
    CHECK(p->closing);
    world_link_closes(&w, p);
    world_drive(&w);
    CHECK_EQ(TMK_PUMP_WAIT, p->closed.kind);
    while (world_work(&w, &w.workers[0])) {
    }
    world_drive(&w);
    CHECK_EQ(TMK_PUMP_CLOSED, p->closed.kind);
    CHECK_EQ(TMK_CLOSE_MOVED, p->closed.reason);
    CHECK_EQ(0, p->closed.in_doubt);
    CHECK_EQ(0, p->final.sequence); /* the one that ran */
    CHECK_EQ(0, p->events[1].handed);
    world_end(&w);
}

static void a_drain_ends_at_its_deadline_and_says_what_is_in_doubt(void) {
    world_partition *p = with_one_running(10);

    tmk_pump_drain(p->pump, w.now, TMK_CLOSE_STOPPED, w.now + TMK_MIN);
    world_drive(&w);
    world_link_closes(&w, p);
    world_drive(&w);
    CHECK_EQ(w.now + TMK_MIN, tmk_engine_deadline(w.engine));
    tmk_pump_drain(p->pump, w.now, TMK_CLOSE_STOPPED, w.now + TMK_SEC); /* nearer */
    world_drive(&w);
    w.now += TMK_SEC;
    world_drive(&w);
    CHECK_EQ(TMK_PUMP_CLOSED, p->closed.kind);
    CHECK(p->closed.in_doubt > 0);
    CHECK_EQ(1, p->reports[TMK_PUMP_IN_DOUBT]);
    CHECK_EQ(-1, p->final.sequence);
    p->pump = tmk_pump_free(p->pump);
    CHECK_EQ(0, w.workers[0].event->sequence); /* the handler that hangs still has its event */
    world_end(&w);
}

/* A sink that is down may take as long as the drain: were the process killed meanwhile, what is
 * final by then must not all come again. */
static void a_drain_that_takes_long_writes_what_is_final_meanwhile(void) {
    world_partition *p = begin(10);

    answers[5] = TMK_LATER;
    w.options.checkpoint = (tmk_policy_options){.interval = TMK_SEC};
    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_drive(&w);
    world_facts_come(&w, p);
    world_drive(&w);
    world_link_opens(&w, p);
    world_drive(&w);
    if (p->write_wanted) {
        world_write_ends(&w, p, TMK_OK);
        world_drive(&w);
    }
    world_deliver(&w, p, 10);
    for (int i = 0; i < 40; i++) {
        (void)world_work(&w, &w.workers[0]);
    }
    tmk_pump_drain(p->pump, w.now, TMK_CLOSE_MOVED, w.now + TMK_MIN);
    world_drive(&w);
    world_link_closes(&w, p);
    world_drive(&w);
    CHECK_EQ(TMK_PUMP_WAIT, p->closed.kind);
    CHECK(!p->write_wanted);
    w.now += 2 * TMK_SEC;
    world_drive(&w);
    CHECK(p->write_wanted);
    CHECK_EQ(4, p->writing.sequence);
    world_end(&w);
}

static void a_drain_waits_for_handles_and_letters_a_loss_does_not(void) {
    for (int lost = 0; lost < 2; lost++) {
        world_partition *p = begin(10);

        answers[0] = TMK_LATER;
        answers[1] = TMK_DEAD_LETTER;
        w.options.order = TMK_ORDER_NONE;
        w.options.retry.sink = true;
        world_begin_engine(&w);
        world_open(&w, p, NULL);
        world_drive(&w);
        world_facts_come(&w, p);
        world_drive(&w);
        world_link_opens(&w, p);
        world_drive(&w);
        world_deliver(&w, p, 10);
        for (int i = 0; i < 40; i++) {
            (void)world_work(&w, &w.workers[0]);
        }
        world_drive(&w);
        CHECK_EQ(1, p->letter_count);
        tmk_pump_drain(p->pump, w.now, lost ? TMK_CLOSE_LOST : TMK_CLOSE_MOVED, w.now + TMK_MIN);
        world_drive(&w);
        world_link_closes(&w, p);
        world_drive(&w);
        CHECK_EQ(lost ? TMK_PUMP_CLOSED : TMK_PUMP_WAIT, p->closed.kind);
        if (!lost) {
            world_letter_ends(&w, p, TMK_OK);
            world_drive(&w);
            CHECK_EQ(TMK_PUMP_WAIT, p->closed.kind);
            world_complete(&w, &p->events[0], TMK_DONE);
            world_drive(&w);
            CHECK_EQ(TMK_PUMP_CLOSED, p->closed.kind);
            CHECK_EQ(9, p->final.sequence);
        } else {
            CHECK_EQ(2, p->closed.in_doubt);
            p->pump = tmk_pump_free(p->pump);
            CHECK_EQ(TMK_ABSENT,
                     tmk_engine_on_letter(w.engine, w.now, p->letters[0].handle, TMK_OK, NULL));
        }
        world_end(&w);
    }
}

/* Their handlers have said what they had to say: nothing of them is in doubt. */
static void a_drain_does_not_wait_for_further_tries(void) {
    for (int halted = 0; halted < 2; halted++) {
        world_partition *p = begin(10);

        w.options.retry.attempts_max = halted ? 1 : 10;
        answers[4] = TMK_RETRY;
        start(p);
        tmk_pump_drain(p->pump, w.now, TMK_CLOSE_STOPPED, w.now + TMK_MIN);
        world_drive(&w);
        world_link_closes(&w, p);
        world_drive(&w);
        CHECK_EQ(TMK_PUMP_CLOSED, p->closed.kind);
        CHECK_EQ(0, p->closed.in_doubt);
        CHECK_EQ(0, p->reports[TMK_PUMP_IN_DOUBT]);
        CHECK_EQ(3, p->final.sequence);
        world_end(&w);
    }
}

static void a_loss_makes_a_drain_harder(void) {
    world_partition *p = with_one_running(10);

    tmk_pump_drain(p->pump, w.now, TMK_CLOSE_MOVED, TMK_NEVER);
    world_drive(&w);
    tmk_pump_drain(p->pump, w.now, TMK_CLOSE_LOST, w.now + TMK_SEC);
    tmk_pump_drain(p->pump, w.now, TMK_CLOSE_MOVED, TMK_NEVER); /* cannot be made easier */
    world_drive(&w);
    w.now += TMK_SEC;
    world_drive(&w);
    CHECK_EQ(TMK_PUMP_CLOSED, p->closed.kind);
    CHECK_EQ(TMK_CLOSE_LOST, p->closed.reason);
    world_end(&w);
}

static void a_drain_before_anything_began_is_over_at_once(void) {
    world_partition *p = begin(10);

    world_begin_engine(&w);
    world_open(&w, p, NULL);
    tmk_pump_drain(p->pump, w.now, TMK_CLOSE_STOPPED, TMK_NEVER);
    world_drive(&w);
    CHECK_EQ(TMK_PUMP_CLOSED, p->closed.kind);
    CHECK(!p->closed.checkpoint.present);
    world_end(&w);
}

/* Each second key's events are done, hundreds of holes: more than a map can say. Then the holes are
 * filled before the end, rather than repeated after it. */
static void a_drain_fills_holes_that_no_map_could_tell(void) {
    world_partition *p = begin(0);
    tmk_turn *keyless = &w.workers[1].turn;
    uint32_t run = 0;

    w.options.order = TMK_ORDER_KEY;
    w.options.lane_count = 4096;
    w.options.bytes_max = 1 << 30;
    w.options.prefetch_max = 5000;
    for (uint32_t i = 0; i < WORLD_EVENTS; i++) {
        p->events[p->count++] = (world_event){.sequence = i, .key = i % 2 == 0 ? (int)i : -1};
    }
    world_begin_engine(&w);
    world_open(&w, p, NULL);
    world_drive(&w);
    world_facts_come(&w, p);
    world_drive(&w);
    world_link_opens(&w, p);
    while (p->next < p->count) {
        world_drive(&w);
        world_deliver(&w, p, WORLD_EVENTS);
    }
    /* Keyless events are one lane: while one worker has the first, others run what has keys. */
    CHECK(tmk_turn_take(keyless, 2));
    while (run < WORLD_EVENTS / 2) {
        tmk_turn *t = run == 0 ? keyless : &w.workers[0].turn;
        const tmk_event *e = NULL;

        CHECK(run == 0 || tmk_turn_take(t, 1));
        e = tmk_turn_event(t);
        CHECK(e != NULL && e->key_size > 0);
        p->events[e->sequence].final = true;
        tmk_turn_answer(t, TMK_DONE);
        if (run++ > 0) {
            tmk_turn_end(t, w.now);
        }
    }
    tmk_turn_end(keyless, w.now);
    world_drive(&w);
    tmk_pump_drain(p->pump, w.now, TMK_CLOSE_MOVED, w.now + TMK_MIN);
    world_drive(&w);
    world_link_closes(&w, p);
    world_drive(&w);
    CHECK_EQ(TMK_PUMP_WAIT, p->closed.kind);
    world_rounds(&w, 100, TMK_MS);
    CHECK_EQ(TMK_PUMP_CLOSED, p->closed.kind);
    for (uint32_t i = 0; i < WORLD_EVENTS; i += 2) {
        uint8_t copy[TMK_DONE_MAP_ROOM];
        tmk_done_map m = {0};

        memcpy(copy, p->final.map, p->final.map_size);
        CHECK_EQ(TMK_OK, tmk_done_map_read(tmk_slice_of(copy, p->final.map_size), &m, NULL));
        CHECK(i <= p->final.sequence || tmk_ranges_has(&m.ranges, i));
        tmk_done_map_clear(&m);
        i += 98;
    }
    world_end(&w);
}

/* ---- memory ---- */

static tmk_verdict mixed(struct world *from, world_partition *p, world_event *e) {
    (void)from;
    (void)p;
    return e->sequence % 5 == 1 && e->tries == 1   ? TMK_RETRY
           : e->sequence % 7 == 2                  ? TMK_DEAD_LETTER
           : e->sequence % 11 == 3 && e->tries < 2 ? TMK_LATER
                                                   : TMK_DONE;
}

/* Bursts that need no memory when they are taken. */
static void warm_pool(void) {
    tmk_burst *bursts[20];

    for (int i = 0; i < 20; i++) {
        bursts[i] = bursts_begin(w.pool, 64);
        CHECK(bursts[i] != NULL);
    }
    for (int i = 0; i < 20; i++) {
        tmk_burst_drop(bursts[i]);
    }
}

/* From the n-th allocation on, for a while, there is none: everything waits, and goes on. */
static void without_memory_everything_waits_and_nothing_is_lost(void) {
    uint64_t waited = 0;

    for (size_t n = 0; n < 60; n++) {
        world_partition *p = NULL;

        failing_count();
        p = begin(300);
        w.forgetful = true;
        w.answer = mixed;
        w.options.order = TMK_ORDER_KEY;
        w.options.retry.sink = true;
        w.options.prefetch_max = 60;
        warm_pool();
        world_begin_engine(&w);
        world_open(&w, p, NULL);
        for (int round = 0; round < 400 && !world_all_final(&w); round++) {
            world_drive(&w);
            world_facts_come(&w, p);
            world_link_opens(&w, p);
            world_write_ends(&w, p, TMK_OK);
            world_letter_ends(&w, p, TMK_OK);
            if (round >= 2 && round < 5) {
                failing_after(FAILING_FROM, n % 20);
            }
            world_deliver(&w, p, 30);
            world_drive(&w);
            for (int i = 0; i < 60; i++) {
                (void)world_work(&w, &w.workers[i % WORLD_WORKERS]);
            }
            for (int i = 0; i < 300; i++) {
                world_complete(&w, &p->events[i], TMK_DONE);
            }
            world_drive(&w);
            failing_after(FAILING_FROM, SIZE_MAX / 2);
            w.now += 50 * TMK_MS;
        }
        CHECK(world_all_final(&w));
        waited += p->reports[TMK_PUMP_NO_MEMORY];
        world_end(&w);
        CHECK_EQ(0, failing_live());
        failing_end();
    }
    CHECK(waited > 0);
}

int main(void) {
    return RUN(
        TEST(a_retried_event_comes_again_after_its_pause_and_the_rest_waits),
        TEST(after_the_last_try_it_is_put_aside_and_final_when_the_sink_has_it),
        TEST(without_a_sink_the_partition_halts_until_it_is_resumed),
        TEST(retries_without_end_are_told), TEST(skipping_after_the_last_try_is_told_and_final),
        TEST(a_broken_sink_stops_all_handing_out_until_a_probe_gets_through),
        TEST(a_handle_that_is_out_for_long_is_told), TEST(a_stuck_event_stops_intake_at_the_span),
        TEST(a_hold_stops_intake_and_not_the_handing_out), TEST(a_fence_stops_the_handing_out),
        TEST(who_was_refused_is_asked_again_when_others_drain),
        TEST(a_write_that_fails_is_tried_again_with_the_newest_state),
        TEST(a_refused_write_means_that_the_claim_is_lost),
        TEST(a_drain_waits_for_what_runs_and_forgets_what_does_not),
        TEST(a_drain_ends_at_its_deadline_and_says_what_is_in_doubt),
        TEST(a_drain_waits_for_handles_and_letters_a_loss_does_not),
        TEST(a_drain_that_takes_long_writes_what_is_final_meanwhile),
        TEST(a_drain_does_not_wait_for_further_tries), TEST(a_loss_makes_a_drain_harder),
        TEST(a_drain_before_anything_began_is_over_at_once),
        TEST(a_drain_fills_holes_that_no_map_could_tell),
        TEST(without_memory_everything_waits_and_nothing_is_lost));
}
