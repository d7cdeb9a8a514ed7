/* The test kit does what its header says, faults apart. Through the public headers alone. */
#include "testkit/rig.h"

static tmk_slice text(const char *t) {
    return (tmk_slice){(const uint8_t *)t, strlen(t)};
}

/* ---- events and handlers ---- */

static void one_processor_handles_all_that_is_appended_in_order(void) {
    rig r;

    rig_init(&r);
    rig_begin(&r);
    rig_append(&r, 1000);
    rig_worker *w = rig_start(&r, "a");
    rig_settle(&r, 60000);
    tmk_kit_counts c = rig_counts(&r);
    CHECK_EQ(1000, w->events);
    CHECK_EQ(1000, c.appended);
    CHECK_EQ(1000, c.handed);
    CHECK_EQ(1000, c.handled);
    CHECK_EQ(0, c.lost + c.repeated + c.expired + r.out_of_order);
    CHECK(c.checkpoints >= 4 && c.requests > 10);
    CHECK_EQ(249, rig_partition(&r, "0").checkpoint_sequence);
    CHECK_EQ(249, rig_partition(&r, "0").last_sequence);
    CHECK_STR("a", rig_partition(&r, "3").owner);
    CHECK_EQ(0, w->problems);
    CHECK_EQ(1000, rig_stats(w).events);
    CHECK_EQ(1000, rig_stats(w).batches);
    rig_end(&r);
}

static tmk_verdict look_at_message(rig_worker *w, const tmk_event *e, tmk_delivery *d) {
    tmk_value unit = tmk_event_property(e, "unit");

    (void)w;
    CHECK_SLICE("21.5", tmk_event_body(e));
    CHECK_SLICE("device-42", tmk_event_key(e));
    CHECK_EQ(TMK_VALUE_STRING, unit.kind);
    CHECK_SLICE("celsius", unit.bytes);
    CHECK_STR("2", d->partition);
    CHECK_EQ(INT64_C(1767225600000) + 1500, tmk_event_enqueued_ms(e));
    return TMK_DONE;
}

static void a_message_keeps_its_key_and_properties(void) {
    tmk_message *m = NULL;
    int64_t sequence = -1;
    rig r;

    rig_init(&r);
    r.verdict = look_at_message;
    rig_begin(&r);
    rig_run(&r, 1500);
    CHECK_EQ(TMK_OK, tmk_message_new(text("21.5"), &m, &r.err));
    CHECK_EQ(TMK_OK, tmk_message_set_key(m, "device-42", &r.err));
    CHECK_EQ(TMK_OK, tmk_message_set_text(m, "unit", "celsius", &r.err));
    CHECK_EQ(TMK_OK, tmk_kit_append_message(r.kit, "2", m, NULL, &r.err));
    CHECK_EQ(TMK_OK, tmk_kit_append_message(r.kit, "2", m, &sequence, &r.err));
    CHECK_EQ(1, sequence);
    m = tmk_message_free(m);
    rig_worker *w = rig_start(&r, "a");
    rig_settle(&r, 60000);
    CHECK_EQ(2, w->events);
    rig_end(&r);
}

static void events_of_a_key_go_to_one_partition(void) {
    rig r;

    rig_init(&r);
    rig_begin(&r);
    for (int n = 0; n < 20; n++) {
        CHECK_EQ(TMK_OK, tmk_kit_append(r.kit, NULL, "same", text("x"), NULL, &r.err));
    }
    uint32_t with = 0;
    for (int n = 0; n < 4; n++) {
        char id[2] = {(char)('0' + n), '\0'};
        int64_t last = rig_partition(&r, id).last_sequence;
        CHECK(last == -1 || last == 19);
        with += last == 19;
    }
    CHECK_EQ(1, with);
    rig_end(&r);
}

static void events_flow_at_their_rate(void) {
    rig r;

    rig_init(&r);
    rig_begin(&r);
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 100, 7, &r.err));
    rig_run(&r, 10000);
    CHECK_EQ(1000, rig_counts(&r).appended);
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 0, 0, &r.err));
    rig_run(&r, 10000);
    CHECK_EQ(1000, rig_counts(&r).appended);
    CHECK_EQ(20000, tmk_kit_now_ms(r.kit));
    rig_end(&r);
}

typedef struct batches {
    uint32_t calls, events, largest;
} batches;

static void on_batch(void *user, const tmk_event *const *events, size_t count,
                     tmk_verdict *verdicts, tmk_delivery *delivery) {
    batches *b = user;

    (void)delivery;
    b->calls++;
    b->events += (uint32_t)count;
    b->largest = count > b->largest ? (uint32_t)count : b->largest;
    if (b->calls == 1) {
        verdicts[0] = TMK_RETRY;
    }
    CHECK(tmk_event_sequence(events[count - 1]) >= tmk_event_sequence(events[0]));
}

static void a_batch_handler_gets_batches(void) {
    tmk_processor *p = NULL;
    tmk_kit_instance *i = NULL;
    batches b = {0};
    rig r;

    rig_init(&r);
    rig_begin(&r);
    rig_append(&r, 400);
    r.options = (tmk_processor_options){0};
    tmk_processor_options_init(&r.options);
    r.options.on_batch = on_batch;
    r.options.batch_events = 20;
    r.options.user = &b;
    CHECK_EQ(TMK_OK, tmk_kit_join(r.kit, NULL, &i, &r.err));
    CHECK_EQ(TMK_OK,
             tmk_processor_new(tmk_kit_client(i), tmk_kit_store(i), &r.options, &p, &r.err));
    CHECK_STR("i0", tmk_processor_owner_id(p));
    CHECK_EQ(TMK_OK, tmk_processor_start(p, &r.err));
    rig_settle(&r, 60000);
    CHECK_EQ(401, b.events);
    CHECK(b.largest == 20 && b.calls < 60);
    CHECK_EQ(401, rig_counts(&r).handed);
    CHECK_EQ(0, rig_counts(&r).repeated);
    p = tmk_processor_free(p);
    rig_end(&r);
}

/* ---- verdicts ---- */

typedef struct promise {
    rig *r;
    tmk_processor *p;
    tmk_handle handle;
    bool letter;
    tmk_status st;
} promise;
static promise promises[8];
static uint32_t promise_count;
static int64_t retried_ms[3];

static void keep_promise(void *user) {
    promise *m = user;

    m->st = m->letter ? tmk_processor_dead_letter_done(m->p, m->handle, TMK_OK, NULL)
                      : tmk_processor_complete(m->p, m->handle, TMK_DONE, -1);
}

static void promise_for(rig *r, tmk_processor *p, tmk_handle handle, bool letter, int64_t ms) {
    promise *m = &promises[promise_count++];

    *m = (promise){.r = r, .p = p, .handle = handle, .letter = letter, .st = TMK_EINTERNAL};
    CHECK_EQ(TMK_OK, tmk_kit_after(r->kit, ms, keep_promise, m, &r->err));
}

static void on_dead_letter(void *user, const tmk_dead_letter *letter, tmk_handle handle) {
    rig_worker *w = user;

    CHECK_EQ(3, tmk_event_sequence(letter->event));
    promise_for(w->rig, w->processor, handle, true, 7000);
}

static tmk_verdict all_verdicts(rig_worker *w, const tmk_event *e, tmk_delivery *d) {
    switch (tmk_event_sequence(e)) {
    case 0:
        retried_ms[d->attempt - 1] = tmk_kit_now_ms(w->rig->kit);
        d->retry_ms = 2000;
        return d->attempt < 3 ? TMK_RETRY : TMK_DONE;
    case 1:
        promise_for(w->rig, d->processor, d->handle, false, 5000);
        return TMK_LATER;
    case 2:
        return TMK_SKIP;
    case 3:
        return TMK_DEAD_LETTER;
    default:
        return TMK_DONE;
    }
}

static void every_verdict_has_its_effect_in_virtual_time(void) {
    rig r;

    promise_count = 0;
    rig_init(&r);
    r.kit_options.partitions = 1;
    r.verdict = all_verdicts;
    r.options.on_dead_letter = on_dead_letter;
    rig_begin(&r);
    rig_append(&r, 6);
    rig_worker *w = rig_start(&r, "a");
    rig_settle(&r, 60000);
    CHECK(retried_ms[1] - retried_ms[0] >= 2000 && retried_ms[1] - retried_ms[0] < 2100);
    CHECK(retried_ms[2] - retried_ms[1] >= 2000 && retried_ms[2] - retried_ms[1] < 2100);
    CHECK_EQ(2, promise_count);
    CHECK_EQ(TMK_OK, promises[0].st);
    CHECK_EQ(TMK_OK, promises[1].st);
    CHECK_EQ(1, rig_stats(w).skipped);
    CHECK_EQ(1, rig_stats(w).dead_lettered);
    CHECK_EQ(2, rig_stats(w).retries);
    CHECK_EQ(8, rig_counts(&r).handed);
    CHECK_EQ(6, rig_counts(&r).handled);
    CHECK_EQ(0, rig_counts(&r).repeated + rig_counts(&r).lost);
    CHECK(tmk_kit_now_ms(r.kit) >= 2 * 2000 + 5000 + 7000); /* one lane: one after the other */
    rig_end(&r);
}

/* ---- time ---- */

static bool all_are_final(void *user) {
    return rig_stats(user).events == 40;
}

static int64_t ms_for_forty(tmk_order order, uint32_t threads) {
    rig r;
    int64_t ms = 0;

    rig_init(&r);
    r.kit_options.partitions = 1;
    r.takes_ms = 1000;
    r.options.order = order;
    r.options.threads = threads;
    rig_begin(&r);
    rig_append(&r, 40);
    rig_worker *w = rig_start(&r, "a");
    CHECK_EQ(TMK_OK, tmk_kit_run_until(r.kit, all_are_final, w, 100000, &r.err));
    ms = tmk_kit_now_ms(r.kit);
    rig_end(&r);
    return ms;
}

static void handlers_take_the_time_they_say_side_by_side(void) {
    int64_t ms = ms_for_forty(TMK_ORDER_PARTITION, 8);
    CHECK(ms >= 40000 && ms < 42000);
    ms = ms_for_forty(TMK_ORDER_NONE, 8);
    CHECK(ms >= 5000 && ms < 7000);
    ms = ms_for_forty(TMK_ORDER_NONE, 2);
    CHECK(ms >= 20000 && ms < 22000);
}

static void a_stop_ends_at_its_deadline_in_virtual_time(void) {
    rig r;

    rig_init(&r);
    r.takes_ms = 3600000;
    rig_begin(&r);
    rig_append(&r, 10);
    rig_worker *w = rig_start(&r, "a");
    rig_run(&r, 5000);
    CHECK_EQ(4, w->events);
    int64_t before = tmk_kit_now_ms(r.kit);
    rig_stop(w, 8000, TMK_ETIMEOUT);
    CHECK(tmk_kit_now_ms(r.kit) - before >= 6000 && tmk_kit_now_ms(r.kit) - before <= 8000);
    CHECK_EQ(w->opens, w->closes);
    rig_end(&r);
}

static void a_hanging_handler_is_reported(void) {
    rig r;

    rig_init(&r);
    r.takes_ms = 600000;
    r.options.handler_warn_ms = 20000;
    rig_begin(&r);
    rig_append(&r, 1);
    rig_worker *w = rig_start(&r, "a");
    rig_run(&r, 60000);
    CHECK_EQ(1, w->events);
    CHECK(w->problems > 0);
    CHECK_STR("handler", w->condition);
    rig_end(&r);
}

static bool never(void *user) {
    (void)user;
    return false;
}

static void waiting_has_a_bound_and_says_what_lacks(void) {
    rig r;

    rig_init(&r);
    rig_begin(&r);
    CHECK_EQ(TMK_ETIMEOUT, tmk_kit_run_until(r.kit, never, NULL, 1234, &r.err));
    CHECK_EQ(1234, tmk_kit_now_ms(r.kit));
    CHECK_STR("not so within 1234 ms (seed 11, at 1.234 s)", r.err.text);
    CHECK_EQ(TMK_OK, tmk_kit_append(r.kit, "2", NULL, text("x"), NULL, &r.err));
    CHECK_EQ(TMK_ETIMEOUT, tmk_kit_settle(r.kit, 1000, &r.err));
    CHECK_STR(
        "partition '2' has 1 events that no checkpoint covers after 1000 ms (seed 11, at 2.234 s)",
        r.err.text);
    rig_end(&r);
}

static void the_environments_seed_is_named_in_the_line_that_replays(void) {
    tmk_kit *kit = NULL;
    tmk_error err;

    CHECK_EQ(0, setenv("TIDEMARK_KIT_SEED", "77", 1));
    CHECK_EQ(TMK_OK, tmk_kit_new(NULL, &kit, &err));
    CHECK_STR("seed 77, at 0.000 s; TIDEMARK_KIT_SEED=77 replays it", tmk_kit_replay(kit));
    kit = tmk_kit_free(kit);
    CHECK_EQ(0, unsetenv("TIDEMARK_KIT_SEED"));
}

static void a_program_that_polls_lets_time_pass(void) {
    rig r;

    rig_init(&r);
    r.options.caller_driven = true;
    rig_begin(&r);
    rig_append(&r, 10);
    rig_worker *w = rig_start(&r, "a");
    while (w->events < 10 && tmk_kit_now_ms(r.kit) < 60000) {
        CHECK_EQ(TMK_OK, tmk_processor_poll(w->processor, 1000, 0, &r.err));
    }
    CHECK_EQ(10, w->events);
    rig_stop(w, 30000, TMK_OK);
    rig_end(&r);
}

/* ---- fleets ---- */

static void instances_share_the_partitions_and_hand_them_over(void) {
    rig r;

    rig_init(&r);
    r.kit_options.partitions = 8;
    r.takes_ms = 20;
    rig_begin(&r);
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 100, 0, &r.err));
    rig_worker *a = rig_start(&r, "a");
    rig_run(&r, 20000);
    CHECK_EQ(8, rig_owned(&r, "a"));
    rig_start(&r, "b");
    rig_run(&r, 20000);
    CHECK_EQ(4, rig_owned(&r, "a"));
    CHECK_EQ(4, rig_owned(&r, "b"));
    rig_stop(a, 30000, TMK_OK);
    rig_run(&r, 20000);
    CHECK_EQ(8, rig_owned(&r, "b"));
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 0, 0, &r.err));
    rig_settle(&r, 60000);
    tmk_kit_counts c = rig_counts(&r);
    CHECK_EQ(c.appended, c.handled);
    CHECK_EQ(0, c.lost + c.repeated + r.out_of_order);
    CHECK(rig_partition(&r, "0").generation >= 2);
    rig_end(&r);
}

static void a_killed_instance_says_nothing_and_is_replaced(void) {
    rig r;

    rig_init(&r);
    r.takes_ms = 50;
    rig_begin(&r);
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 40, 0, &r.err));
    rig_worker *a = rig_start(&r, "a");
    rig_start(&r, "b");
    rig_run(&r, 33000);
    tmk_kit_kill(a->instance);
    tmk_kit_kill(a->instance);
    rig_worker then = *a;
    CHECK(then.closes < then.opens); /* no goodbye */
    rig_run(&r, 60000);
    CHECK_EQ(then.events, a->events);
    CHECK_EQ(then.closes, a->closes);
    CHECK_EQ(then.problems, a->problems);
    CHECK_EQ(4, rig_owned(&r, "b"));
    CHECK_EQ(TMK_ESTATE, tmk_kit_fault(r.kit, TMK_KIT_FROZEN, a->instance, NULL, 1000, &r.err));
    CHECK_EQ(TMK_ECANCELED, tmk_client_poll(tmk_kit_client(a->instance), 0, &r.err));
    a->processor = tmk_processor_free(a->processor);
    CHECK_EQ(93000, tmk_kit_now_ms(r.kit));
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 0, 0, &r.err));
    rig_settle(&r, 60000);
    tmk_kit_counts c = rig_counts(&r);
    CHECK_EQ(c.appended, c.handled);
    CHECK_EQ(0, c.lost);
    CHECK(c.repeated > 0 && c.repeated <= 20 * 11); /* what no checkpoint covered */
    rig_end(&r);
}

static tmk_verdict kill_at_ten(rig_worker *w, const tmk_event *e, tmk_delivery *d) {
    (void)e;
    (void)d;
    if (w->events == 10) {
        tmk_kit_kill(w->instance);
    }
    return TMK_DONE;
}

static void a_handler_may_kill_its_own_process(void) {
    rig r;

    rig_init(&r);
    r.verdict = kill_at_ten;
    rig_begin(&r);
    rig_append(&r, 100);
    rig_worker *w = rig_start(&r, "a");
    rig_run(&r, 60000);
    CHECK_EQ(10, w->events);
    rig_end(&r);
}

static void what_a_killed_process_is_told_later_is_harmless(void) {
    rig r;

    promise_count = 0;
    rig_init(&r);
    r.kit_options.partitions = 1;
    r.verdict = all_verdicts;
    rig_begin(&r);
    rig_append(&r, 2);
    rig_worker *w = rig_start(&r, "a");
    rig_run(&r, 6000); /* the second is out */
    CHECK_EQ(1, promise_count);
    tmk_kit_kill(w->instance);
    rig_run(&r, 20000);
    CHECK_EQ(TMK_ABSENT, promises[0].st);
    CHECK_EQ(TMK_ABSENT, tmk_processor_pause(w->processor, "0"));
    rig_end(&r);
}

static void the_official_processors_way_of_claiming_works_too(void) {
    rig r;

    rig_init(&r);
    r.options.claims = TMK_CLAIMS_SHARED;
    rig_begin(&r);
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 40, 0, &r.err));
    rig_start(&r, "a");
    rig_run(&r, 60000);
    CHECK_EQ(4, rig_owned(&r, "a"));
    rig_start(&r, "b");
    rig_run(&r, 120000);
    CHECK_EQ(2, rig_owned(&r, "a"));
    CHECK_EQ(2, rig_owned(&r, "b"));
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 0, 0, &r.err));
    rig_settle(&r, 60000);
    CHECK_EQ(0, rig_counts(&r).lost + rig_counts(&r).repeated + r.out_of_order);
    rig_end(&r);
}

/* Five minutes of anything at all. */
static void live_in_trouble(uint64_t seed) {
    uint64_t dice = seed * UINT64_C(0x9e3779b97f4a7c15);
    rig r;

    rig_init(&r);
    r.kit_options.seed = seed;
    r.takes_ms = (int64_t)(seed % 4) * 15;
    r.options.order = (tmk_order)(seed % 3);
    rig_begin(&r);
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 40, 9, &r.err));
    for (int n = 0; n < 3; n++) {
        rig_start(&r, NULL);
    }
    for (int n = 0; n < 30; n++) {
        dice = (dice ^ (dice >> 29)) * UINT64_C(0xbf58476d1ce4e5b9) + 1;
        tmk_kit_fault_kind kind = (tmk_kit_fault_kind)(1 + (dice >> 40) % TMK_KIT_LINK_STOLEN);
        rig_worker *w = kind <= TMK_KIT_FROZEN ? &r.workers[(dice >> 20) % 3] : NULL;
        int64_t ms = kind < TMK_KIT_CONNECTION_LOST ? 1000 + (int64_t)((dice >> 30) % 40000) : 0;
        tmk_status st =
            tmk_kit_fault(r.kit, kind, w == NULL ? NULL : w->instance, NULL, ms, &r.err);
        CHECK(st == TMK_OK || st == TMK_ESTATE); /* of one that was killed */
        if (n == 15) {
            tmk_kit_kill(r.workers[2].instance);
            rig_start(&r, NULL);
        }
        rig_run(&r, 10000);
    }
    tmk_kit_mend(r.kit);
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 0, 0, &r.err));
    rig_settle(&r, 300000);
    tmk_kit_counts c = rig_counts(&r);
    CHECK_EQ(c.appended, c.handled);
    CHECK_EQ(0, c.lost);
    rig_end(&r);
}

static void whatever_happens_nothing_is_lost(void) {
    for (uint64_t seed = 1; seed <= 12; seed++) {
        live_in_trouble(seed);
    }
}

/* ---- the same once more ---- */

static uint64_t hash_of(uint64_t seed) {
    rig r;

    rig_init(&r);
    r.kit_options.seed = seed;
    r.takes_ms = 30;
    rig_begin(&r);
    CHECK_EQ(TMK_OK, tmk_kit_flow(r.kit, 50, 5, &r.err));
    rig_worker *a = rig_start(&r, "a");
    rig_worker *b = rig_start(&r, "b");
    rig_run(&r, 15000);
    rig_fault(&r, TMK_KIT_STORE_LOSES_ANSWERS, NULL, NULL, 20000);
    rig_fault(&r, TMK_KIT_FROZEN, a, NULL, 9000);
    rig_run(&r, 15000);
    rig_fault(&r, TMK_KIT_CONNECTION_LOST, NULL, NULL, 0);
    rig_start(&r, "c");
    tmk_kit_kill(b->instance);
    rig_run(&r, 60000);
    CHECK(r.lines > 5000);
    rig_end(&r);
    return r.hash;
}

static void the_same_seed_gives_the_same_life_to_the_last_line(void) {
    uint64_t first = hash_of(3);

    CHECK(first == hash_of(3));
    CHECK(first != hash_of(4));
}

/* ---- retention ---- */

static void retention_removes_events_by_age_and_on_demand(void) {
    rig r;

    rig_init(&r);
    r.kit_options.retention_ms = 60000;
    rig_begin(&r);
    rig_append(&r, 40);
    rig_run(&r, 30000);
    rig_append(&r, 40);
    CHECK_EQ(TMK_OK, tmk_kit_expire(r.kit, "1", 15, &r.err));
    CHECK_EQ(15, rig_partition(&r, "1").first_sequence);
    CHECK_EQ(15, rig_counts(&r).expired);
    rig_run(&r, 30001);
    rig_worker *w = rig_start(&r, "a");
    rig_settle(&r, 60000);
    CHECK_EQ(15 + 3 * 10, rig_counts(&r).expired);
    CHECK_EQ(80 - 45, w->events);
    CHECK_EQ(0, rig_counts(&r).lost);
    rig_end(&r);
}

/* ---- bad use ---- */

static tmk_verdict ask_for_time(rig_worker *w, const tmk_event *e, tmk_delivery *d) {
    rig *r = w->rig;
    tmk_error err;

    (void)e;
    (void)d;
    CHECK_EQ(TMK_ESTATE, tmk_kit_run(r->kit, 1, &err));
    CHECK_STR("time cannot pass inside a callback", err.text);
    CHECK_EQ(TMK_ESTATE, tmk_kit_settle(r->kit, 1, &err));
    CHECK_EQ(TMK_ESTATE, tmk_kit_run_until(r->kit, never, NULL, 1, &err));
    CHECK_EQ(TMK_ESTATE, tmk_client_poll(tmk_kit_client(w->instance), 1, &err));
    CHECK_EQ(TMK_ESTATE, tmk_processor_stop(w->processor, 1, NULL, &err));
    return TMK_DONE;
}

static void time_does_not_pass_inside_a_callback(void) {
    rig r;

    rig_init(&r);
    r.verdict = ask_for_time;
    rig_begin(&r);
    rig_append(&r, 1);
    rig_worker *w = rig_start(&r, "a");
    rig_settle(&r, 60000);
    CHECK_EQ(1, w->events);
    tmk_kit_takes(r.kit, 1000); /* no callback runs */
    rig_end(&r);
}

static void wrong_options_are_named(void) {
    tmk_kit *kit = NULL;
    tmk_kit_options o;
    tmk_error err;

    tmk_kit_options_init(&o);
    o.partitions = 0;
    CHECK_EQ(TMK_EINVAL, tmk_kit_new(&o, &kit, &err));
    CHECK_STR("partitions must be between 1 and 256, not 0", err.text);
    o.partitions = 257;
    CHECK_EQ(TMK_EINVAL, tmk_kit_new(&o, &kit, &err));
    tmk_kit_options_init(&o);
    o.store_ms = 0;
    CHECK_EQ(TMK_EINVAL, tmk_kit_new(&o, &kit, &err));
    o.store_ms = 8;
    o.handler_us = -1;
    CHECK_EQ(TMK_EINVAL, tmk_kit_new(&o, &kit, &err));
    o.handler_us = 0;
    o.retention_ms = -1;
    CHECK_EQ(TMK_EINVAL, tmk_kit_new(&o, &kit, &err));
    CHECK(kit == NULL);
}

static void wrong_use_is_refused_in_words(void) {
    tmk_kit_instance *i = NULL;
    tmk_processor *other = NULL;
    tmk_kit_partition p = {.size = sizeof p};
    rig r;

    rig_init(&r);
    rig_begin(&r);
    CHECK_EQ(TMK_EINVAL, tmk_kit_join(r.kit, "two words", &i, &r.err));
    CHECK_EQ(TMK_EINVAL, tmk_kit_join(r.kit, "", &i, &r.err));
    rig_worker *w = rig_start(&r, "a");
    CHECK_EQ(TMK_EINVAL, tmk_kit_join(r.kit, "a", &i, &r.err));
    CHECK_STR("there is an instance 'a' already", r.err.text);
    CHECK_EQ(TMK_ENOTFOUND, tmk_kit_append(r.kit, "4", NULL, text("x"), NULL, &r.err));
    CHECK_STR("there is no partition '4'; there are 0 to 3", r.err.text);
    CHECK_EQ(TMK_ENOTFOUND, tmk_kit_append(r.kit, "01", NULL, text("x"), NULL, &r.err));
    CHECK_EQ(TMK_ENOTFOUND, tmk_kit_partition_get(r.kit, NULL, &p, &r.err));
    CHECK_EQ(TMK_EINVAL, tmk_kit_expire(r.kit, "0", 5, &r.err));
    CHECK_EQ(TMK_EINVAL, tmk_kit_flow(r.kit, 2000000, 0, &r.err));
    CHECK_EQ(TMK_EINVAL, tmk_kit_run(r.kit, -1, &r.err));
    CHECK_EQ(TMK_OK, tmk_processor_new(tmk_kit_client(w->instance), tmk_kit_store(w->instance),
                                       &r.options, &other, &r.err));
    CHECK_EQ(TMK_EINVAL, tmk_processor_start(other, &r.err));
    CHECK_STR("instance 'a' has a processor already; join another", r.err.text);
    other = tmk_processor_free(other);
    CHECK_EQ(TMK_OK, tmk_kit_join(r.kit, "b", &i, &r.err));
    r.options.group = "another";
    CHECK_EQ(TMK_OK,
             tmk_processor_new(tmk_kit_client(i), tmk_kit_store(i), &r.options, &other, &r.err));
    CHECK_EQ(TMK_EINVAL, tmk_processor_start(other, &r.err));
    CHECK_STR("all processors of a kit are in one group: '$Default', not 'another'", r.err.text);
    other = tmk_processor_free(other);
    rig_end(&r);
}

static void wrong_faults_are_refused_in_words(void) {
    rig r;

    rig_init(&r);
    rig_begin(&r);
    rig_worker *w = rig_start(&r, "a");
    CHECK_EQ(TMK_EINVAL, tmk_kit_fault(r.kit, (tmk_kit_fault_kind)0, NULL, NULL, 1, &r.err));
    CHECK_EQ(TMK_EINVAL, tmk_kit_fault(r.kit, (tmk_kit_fault_kind)99, NULL, NULL, 1, &r.err));
    CHECK_EQ(TMK_EINVAL, tmk_kit_fault(r.kit, TMK_KIT_STORE_DOWN, NULL, NULL, 0, &r.err));
    CHECK_STR("fault store_down lasts: ms must be above 0", r.err.text);
    CHECK_EQ(TMK_EINVAL, tmk_kit_fault(r.kit, TMK_KIT_LINK_STOLEN, NULL, "0", 5, &r.err));
    CHECK_STR("fault link_stolen comes at once: ms must be 0", r.err.text);
    CHECK_EQ(TMK_EINVAL, tmk_kit_fault(r.kit, TMK_KIT_STORE_SLOW, w->instance, NULL, 5, &r.err));
    CHECK_STR("fault store_slow is not one of an instance: give NULL", r.err.text);
    CHECK_EQ(TMK_EINVAL, tmk_kit_fault(r.kit, TMK_KIT_FROZEN, NULL, "0", 5, &r.err));
    CHECK_EQ(TMK_ENOTFOUND, tmk_kit_fault(r.kit, TMK_KIT_LINK_STOLEN, NULL, "9", 0, &r.err));
    rig_end(&r);
}

static void a_kit_that_still_has_a_processor_is_not_freed(void) {
    rig r;

    rig_init(&r);
    rig_begin(&r);
    rig_start(&r, "a");
    CHECK(tmk_kit_free(r.kit) == NULL);
    rig_run(&r, 1000);
    rig_end(&r);
    CHECK(tmk_kit_free(NULL) == NULL);
}

static void a_client_of_the_kit_has_no_network(void) {
    tmk_kit_instance *i = NULL;
    tmk_partition_facts facts;
    rig r;

    rig_init(&r);
    rig_begin(&r);
    CHECK_EQ(TMK_OK, tmk_kit_join(r.kit, "a", &i, &r.err));
    CHECK(tmk_client_partition_facts_wait(tmk_kit_client(i), "0", 5000, &facts, &r.err) < 0);
    CHECK(tmk_kit_now_ms(r.kit) <= 5000);
    rig_end(&r);
}

int main(void) {
    return RUN(TEST(one_processor_handles_all_that_is_appended_in_order),
               TEST(a_message_keeps_its_key_and_properties),
               TEST(events_of_a_key_go_to_one_partition), TEST(events_flow_at_their_rate),
               TEST(a_batch_handler_gets_batches),
               TEST(every_verdict_has_its_effect_in_virtual_time),
               TEST(handlers_take_the_time_they_say_side_by_side),
               TEST(a_stop_ends_at_its_deadline_in_virtual_time),
               TEST(a_hanging_handler_is_reported), TEST(waiting_has_a_bound_and_says_what_lacks),
               TEST(the_environments_seed_is_named_in_the_line_that_replays),
               TEST(a_program_that_polls_lets_time_pass),
               TEST(instances_share_the_partitions_and_hand_them_over),
               TEST(a_killed_instance_says_nothing_and_is_replaced),
               TEST(a_handler_may_kill_its_own_process),
               TEST(what_a_killed_process_is_told_later_is_harmless),
               TEST(the_official_processors_way_of_claiming_works_too),
               TEST(whatever_happens_nothing_is_lost),
               TEST(the_same_seed_gives_the_same_life_to_the_last_line),
               TEST(retention_removes_events_by_age_and_on_demand),
               TEST(time_does_not_pass_inside_a_callback), TEST(wrong_options_are_named),
               TEST(wrong_use_is_refused_in_words), TEST(wrong_faults_are_refused_in_words),
               TEST(a_kit_that_still_has_a_processor_is_not_freed),
               TEST(a_client_of_the_kit_has_no_network));
}
