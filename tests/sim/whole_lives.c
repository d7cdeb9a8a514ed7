/* See whole_lives.h. */
#include "whole_lives.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const whole_kind_names[WHOLE_KINDS] = {"faults", "planned", "hostile", "forever",
                                                   "tight"};

const char *const whole_fate_names[WHOLE_FATES] = {
#define X(name, text) text,
    WHOLE_FATE_MAP(X)
#undef X
};

typedef struct plot {
    whole w;
    whole_kind kind;
    bool enabled[WHOLE_FATES];
    uint64_t struck[WHOLE_FATES];
    tmk_time from, to, end; /* pauses between blows; the last of them */
    size_t instances_max;
    sim_event blow, mend_store;
} plot;

static tmk_time seconds(plot *p, int64_t low, int64_t high) {
    return tmk_rng_between(&p->w.rng, low * 1000, high * 1000) * TMK_MS;
}

/* ---- blows ---- */

static whole_instance *any_running(plot *p) {
    size_t n = whole_count(&p->w), pick = n == 0 ? 0 : tmk_rng_below(&p->w.rng, n);

    for (size_t i = 0; i < p->w.instance_count; i++) {
        if (whole_runs(p->w.instances[i]) && pick-- == 0) {
            return p->w.instances[i];
        }
    }
    return NULL;
}

static void mend_network(whole_instance *i) {
    if (i->control != NULL && (i->store_cut || i->hub_cut)) {
        i->store_cut = i->hub_cut = false;
        i->trouble_at = i->world->kernel.now;
        sim_store_cut(i->store, false);
        sim_hub_cut(i->hub, false);
    }
}

static void run_mend(whole_post *post) {
    mend_network(post->instance);
}

static void cut(plot *p, whole_instance *i, bool store, bool hub) {
    i->store_cut = i->store_cut || store;
    i->hub_cut = i->hub_cut || hub;
    sim_store_cut(i->store, i->store_cut);
    sim_hub_cut(i->hub, i->hub_cut);
    whole_post_send(whole_post_new(i, run_mend), seconds(p, 1, 45));
}

static void run_resume(whole_post *post) {
    whole_instance *i = post->instance;

    i->readers[post->partition].paused = i->readers[post->partition].halted = false;
    i->readers[post->partition].resumed_at = i->world->kernel.now;
    whole_cure(&i->readers[post->partition]);
    i->trouble_at = i->world->kernel.now;
    (void)tmk_control_pause(i->control, sim_hub_id(i->world->hub, post->partition), false);
}

static void pause_partition(plot *p, whole_instance *i) {
    whole_post *post = NULL;
    size_t partition = tmk_rng_below(&p->w.rng, p->w.options.partitions);

    if (!i->readers[partition].paused &&
        tmk_control_pause(i->control, sim_hub_id(p->w.hub, partition), true) == TMK_OK) {
        SIM_MARK("whole: paused");
        i->readers[partition].paused = true;
        post = whole_post_new(i, run_resume);
        post->partition = partition;
        whole_post_send(post, seconds(p, 1, 20));
    }
}

static void mend_store(plot *p) {
    sim_store_trouble *t = sim_store_trouble_of(p->w.store);

    p->w.trouble_at = p->w.kernel.now;
    t->outage = false;
    t->slow = t->lose_answer = t->lose_request = t->busy = t->late_list = 0;
    t->median = 8 * TMK_MS;
}

static void on_mend_store(sim_event *e) {
    mend_store(sim_event_of(e, plot, mend_store));
}

static void strike_store(plot *p, whole_fate what) {
    sim_store_trouble *t = sim_store_trouble_of(p->w.store);

    p->w.trouble_at = TMK_NEVER;
    if (what == WHOLE_FATE_OUTAGE) {
        t->outage = true;
    } else if (what == WHOLE_FATE_SLOW_STORE) {
        t->slow = 0.05;
        t->slow_from = 5 * TMK_SEC;
        t->slow_to = 30 * TMK_SEC;
        t->median = seconds(p, 0, 1) / 4 + 8 * TMK_MS;
    } else if (what == WHOLE_FATE_LOSE_ANSWERS) {
        t->lose_answer = tmk_rng_unit(&p->w.rng) * 0.3;
        t->lose_request = tmk_rng_unit(&p->w.rng) * 0.1;
    } else if (what == WHOLE_FATE_LATE_LISTS) {
        t->late_list = 0.2 + tmk_rng_unit(&p->w.rng) * 0.6;
    } else {
        t->busy = tmk_rng_unit(&p->w.rng) * 0.7;
    }
    sim_at(&p->w.kernel, &p->mend_store, p->w.kernel.now + seconds(p, 1, 60));
}

/* What the service answers instead of events. */
static void refuse_links(plot *p, whole_instance *i) {
    static const struct {
        tmk_status status;
        const char *origin;
    } whys[] = {{TMK_EBUSY, "com.microsoft:server-busy"},
                {TMK_ELIMIT, "amqp:resource-limit-exceeded"},
                {TMK_ENOTFOUND, "com.microsoft:entity-disabled"},
                {TMK_EPROTO, "amqp:decode-error"},
                {TMK_EIO, "amqp:internal-error"}};
    size_t n = tmk_rng_below(&p->w.rng, sizeof whys / sizeof *whys);

    whole_detach_links(i, whys[n].status, whys[n].origin);
}

static void restart_hub(plot *p) {
    for (size_t n = 0; n < p->w.instance_count; n++) {
        if (p->w.instances[n]->control != NULL) {
            whole_shake_links(p->w.instances[n]);
        }
    }
}

/* Retention removes what is there, whether it was read or not. */
static void expire(plot *p) {
    size_t n = tmk_rng_below(&p->w.rng, p->w.options.partitions);
    int64_t last = sim_hub_last(p->w.hub, n, p->w.kernel.now);

    if (last > 0) {
        whole_expire(&p->w, n, tmk_rng_between(&p->w.rng, 0, last));
    }
}

static void strike_network(plot *p, whole_fate what, whole_instance *i) {
    tmk_time now = p->w.kernel.now;

    if (what <= WHOLE_FATE_CUT_BOTH) {
        i->trouble_at = now;
        cut(p, i, what != WHOLE_FATE_CUT_HUB, what != WHOLE_FATE_CUT_STORE);
    } else if (what == WHOLE_FATE_DETACH) {
        whole_shake_links(i);
    } else if (what == WHOLE_FATE_LINK_ERROR) {
        refuse_links(p, i);
    } else if (what == WHOLE_FATE_TOKEN) {
        i->token_bad_until = now + seconds(p, 1, 40);
        whole_refuse_token(i);
    } else if (what == WHOLE_FATE_SILENCE) {
        whole_silence_links(i);
    } else {
        whole_repeat_events(i);
    }
}

static void strike_program(plot *p, whole_fate what, whole_instance *i) {
    if (what == WHOLE_FATE_BROKEN) {
        i->broken_until = p->w.kernel.now + seconds(p, 1, 20);
    } else if (what == WHOLE_FATE_PAUSE) {
        pause_partition(p, i);
    } else if (what == WHOLE_FATE_ASK) {
        (void)tmk_control_checkpoint(i->control, NULL);
    } else {
        i->wall_offset = tmk_rng_between(&p->w.rng, -86400, 86400) * TMK_SEC;
    }
}

static void strike_process(plot *p, whole_fate what, whole_instance *i) {
    if (what == WHOLE_FATE_LEAVE && whole_count(&p->w) > 1) {
        whole_stop(i, p->kind == WHOLE_PLANNED ? 30 * TMK_SEC : seconds(p, 1, 30));
    } else if (what == WHOLE_FATE_KILL &&
               (whole_count(&p->w) > 1 || p->w.instance_count + 2 < WHOLE_INSTANCES_MAX)) {
        whole_kill(i);
    } else if (what == WHOLE_FATE_FREEZE) {
        whole_freeze(i, seconds(p, 1, tmk_rng_chance(&p->w.rng, 0.3) ? 100 : 30));
    }
}

static void strike_service(plot *p, whole_fate what) {
    size_t n = tmk_rng_below(&p->w.rng, p->w.options.partitions);

    if (what == WHOLE_FATE_STEAL) {
        sim_hub_steal(p->w.hub, n);
        p->w.partitions[n].level = -1;
    } else if (what == WHOLE_FATE_HUB_RESTART) {
        restart_hub(p);
    } else if (what == WHOLE_FATE_RETENTION) {
        expire(p);
    } else {
        whole_make_anew(&p->w, n, seconds(p, 20, 60));
    }
}

static void strike(plot *p, whole_fate what) {
    whole_instance *i = any_running(p);

    p->struck[what]++;
    if (what == WHOLE_FATE_JOIN) {
        if (whole_count(&p->w) < p->instances_max &&
            p->w.instance_count + 2 < WHOLE_INSTANCES_MAX) {
            (void)whole_start(&p->w);
        }
    } else if (what >= WHOLE_FATE_OUTAGE) {
        strike_store(p, what);
    } else if (what == WHOLE_FATE_STEAL || what == WHOLE_FATE_HUB_RESTART ||
               what == WHOLE_FATE_RETENTION || what == WHOLE_FATE_MADE_ANEW) {
        strike_service(p, what);
    } else if (i == NULL) {
        p->struck[what]--; /* there is nobody */
    } else if (what <= WHOLE_FATE_FREEZE) {
        strike_process(p, what, i);
    } else if (what <= WHOLE_FATE_REPEAT) {
        strike_network(p, what, i);
    } else {
        strike_program(p, what, i);
    }
}

static void on_blow(sim_event *e) {
    plot *p = sim_event_of(e, plot, blow);
    size_t enabled = 0, pick = 0;

    if (p->w.kernel.now >= p->end) {
        return;
    }
    for (size_t i = 0; i < WHOLE_FATES; i++) {
        enabled += p->enabled[i];
    }
    pick = enabled == 0 ? 0 : tmk_rng_below(&p->w.rng, enabled);
    for (size_t i = 0; i < WHOLE_FATES; i++) {
        if (p->enabled[i] && pick-- == 0) {
            strike(p, (whole_fate)i);
            break;
        }
    }
    if (whole_count(&p->w) == 0 && p->w.instance_count + 2 < WHOLE_INSTANCES_MAX) {
        (void)whole_start(&p->w);
    }
    sim_at(&p->w.kernel, e, p->w.kernel.now + tmk_rng_between(&p->w.rng, p->from, p->to));
}

/* ---- plots ---- */

/* From a generator of its own. */
static void choose_rare(whole_kind kind, const sim_kernel *k, whole_options *o) {
    tmk_rng r = sim_rng(k, "options", 1);
    bool tight = kind == WHOLE_TIGHT;

    if (tight || tmk_rng_chance(&r, 0.2)) {
        o->checkpoint_events = (uint32_t)tmk_rng_between(&r, 1, 40);
    }
    if (tmk_rng_chance(&r, 0.25)) {
        o->checkpoint_ms = tmk_rng_between(&r, 20, 60) * 1000;
    }
    if (tmk_rng_chance(&r, tight ? 0.5 : 0.2)) {
        o->open_fails = 0.3;
    }
    if (kind != WHOLE_PLANNED && tmk_rng_chance(&r, tight ? 0.5 : 0.15)) {
        o->sink_slow = 0.4;
    }
    if (kind != WHOLE_PLANNED && tmk_rng_chance(&r, tight ? 0.7 : 0.1)) {
        o->slow_first = 0.3;
    }
    if (tight) {
        o->events_max = (uint32_t)((int64_t)o->partitions * tmk_rng_between(&r, 10, 30));
        o->bytes_max = UINT64_C(8) << 30;
        o->poison = o->poison * 2;
        o->checkpoint_ms =
            tmk_rng_chance(&r, 0.5) ? tmk_rng_between(&r, 1000, 3000) : o->checkpoint_ms;
    }
}

static void choose_world(whole_kind kind, uint64_t seed, whole_options *o) {
    sim_kernel k;
    tmk_rng r;

    sim_kernel_init(&k, seed, NULL);
    r = sim_rng(&k, "options", 0);
    o->partitions = (size_t)tmk_rng_between(&r, 1, WHOLE_PARTITIONS_MAX);
    o->rate = tmk_rng_between(&r, 2, 30);
    o->order = (tmk_order)tmk_rng_below(&r, 3);
    o->planned_only = kind == WHOLE_PLANNED;
    o->bad_for_ever = kind == WHOLE_FOR_EVER;
    o->fail = tmk_rng_chance(&r, 0.5) ? tmk_rng_unit(&r) * 0.05 : 0;
    o->poison = tmk_rng_chance(&r, 0.5) ? tmk_rng_unit(&r) * 0.004 : 0;
    o->later = tmk_rng_chance(&r, 0.4) ? tmk_rng_unit(&r) * 0.3 : 0;
    o->slow = tmk_rng_chance(&r, 0.3) ? 0.0003 : 0;
    o->hang = kind != WHOLE_PLANNED && tmk_rng_chance(&r, 0.2) ? 0.0001 : 0;
    o->sink_fails = tmk_rng_chance(&r, 0.3) && kind != WHOLE_PLANNED ? 0.5 : 0;
    o->missing = tmk_rng_chance(&r, 0.3) ? tmk_rng_unit(&r) * 0.1 : 0;
    o->keyless_free = tmk_rng_chance(&r, 0.3);
    o->exhausted = tmk_rng_chance(&r, 0.3) ? (tmk_exhausted)(1 + tmk_rng_below(&r, 2))
                                           : TMK_EXHAUSTED_DEAD_LETTER;
    o->events_max = (uint32_t)tmk_rng_between(&r, 200, 4000);
    o->prefetch = (uint32_t)tmk_rng_between(&r, 10, 500);
    o->checkpoint_events = (uint32_t)tmk_rng_between(&r, 10, 1000);
    o->checkpoint_ms = tmk_rng_between(&r, 1000, 10000);
    o->handler = tmk_rng_between(&r, 200, 4000) * TMK_US;
    choose_rare(kind, &k, o);
}

/* How likely a life knows it. Some change so much that most lives are better without. */
static double likely(whole_fate f) {
    return f == WHOLE_FATE_STEAL                                    ? 0.15
           : f == WHOLE_FATE_RETENTION || f == WHOLE_FATE_MADE_ANEW ? 0.1
           : f >= WHOLE_FATE_DETACH && f <= WHOLE_FATE_HUB_RESTART  ? 0.25
                                                                    : 0.45;
}

static void choose_fates(plot *p) {
    for (size_t i = 0; i < WHOLE_FATES; i++) {
        p->enabled[i] =
            p->kind != WHOLE_PLANNED && tmk_rng_chance(&p->w.rng, likely((whole_fate)i));
    }
    for (size_t i = WHOLE_FATE_OUTAGE; p->kind == WHOLE_FOR_EVER && i < WHOLE_FATES; i++) {
        p->enabled[i] = false;
    }
    if (p->kind == WHOLE_PLANNED || tmk_rng_chance(&p->w.rng, 0.7)) {
        p->enabled[WHOLE_FATE_JOIN] = p->enabled[WHOLE_FATE_LEAVE] = true;
    }
    for (size_t i = WHOLE_FATE_OUTAGE; p->kind == WHOLE_TIGHT && i < WHOLE_FATES; i++) {
        p->enabled[i] = false;
    }
    if (p->kind == WHOLE_TIGHT) {
        p->enabled[WHOLE_FATE_JOIN] = p->enabled[WHOLE_FATE_LEAVE] = p->enabled[WHOLE_FATE_REPEAT] =
            true;
    }
    if (p->kind == WHOLE_PLANNED) {
        p->enabled[WHOLE_FATE_ASK] = p->enabled[WHOLE_FATE_CLOCK] = true;
    }
    p->from = TMK_SEC / 2;
    p->to = p->kind == WHOLE_HOSTILE ? 6 * TMK_SEC : seconds(p, 5, 25);
}

static void begin(plot *p) {
    size_t first = 1 + tmk_rng_below(&p->w.rng, p->instances_max);

    for (size_t i = 0; i < first; i++) {
        (void)whole_start(&p->w);
        sim_run(&p->w.kernel, p->w.kernel.now + tmk_rng_between(&p->w.rng, 0, 400) * TMK_MS);
    }
    if (p->kind == WHOLE_FOR_EVER) {
        strike_store(p, WHOLE_FATE_SLOW_STORE);
        strike_store(p, WHOLE_FATE_LOSE_ANSWERS);
        sim_cancel(&p->w.kernel, &p->mend_store);
    }
    p->end = p->w.kernel.now + seconds(p, 30, 100);
    sim_at(&p->w.kernel, &p->blow, p->w.kernel.now + tmk_rng_between(&p->w.rng, 0, p->to));
    sim_run(&p->w.kernel, p->end);
}

static bool hangs(const whole_instance *i) {
    for (size_t n = 0; n < WHOLE_WORKERS; n++) {
        if (i->workers[n].hung) {
            return true;
        }
    }
    return false;
}

/* The last blow was struck: what is broken is mended, whoever hangs is killed, nothing new comes
 * in. */
static void mend_all(plot *p) {
    if (p->kind != WHOLE_FOR_EVER) {
        mend_store(p);
    }
    sim_cancel(&p->w.kernel, &p->mend_store);
    p->w.mended_at = p->w.kernel.now;
    p->w.options.hang = p->w.options.sink_fails = 0;
    for (size_t n = 0; n < p->w.instance_count; n++) {
        whole_instance *i = p->w.instances[n];

        if (i->control == NULL) {
            continue;
        }
        mend_network(i);
        i->broken_until = tmk_time_min(i->broken_until, p->w.kernel.now);
        i->token_bad_until = tmk_time_min(i->token_bad_until, p->w.kernel.now);
        if (i->process.frozen) {
            sim_at(&p->w.kernel, &i->wake, p->w.kernel.now);
        }
        if (hangs(i)) {
            whole_kill(i);
        }
    }
    for (size_t n = 0; n < p->w.options.partitions; n++) {
        sim_hub_rate(p->w.hub, n, 0);
    }
    if (whole_count(&p->w) == 0) {
        (void)whole_start(&p->w);
    }
}

static void check_settles(plot *p) {
    whole *w = &p->w;
    tmk_time from = w->kernel.now, patience = (p->kind >= WHOLE_FOR_EVER ? 300 : 180) * TMK_SEC;
    char why[100] = "";

    while (!w->kernel.failed && !whole_all_final(w, why, sizeof why)) {
        if (w->kernel.now > from + patience) {
            sim_violation(&w->kernel, "I8", "not handled %" PRId64 " s after the last fault: %s",
                          (w->kernel.now - from) / TMK_SEC, why);
            return;
        }
        sim_run(&w->kernel, w->kernel.now + 250 * TMK_MS);
    }
    w->figures.settled =
        w->kernel.now - from > w->figures.settled ? w->kernel.now - from : w->figures.settled;
}

/* The newest event that is there: the last numbers may be missing, or all may be gone. */
static int64_t last_there(const whole *w, size_t partition) {
    int64_t last = sim_hub_last(w->hub, partition, w->kernel.now);

    while (last >= 0 && whole_missing(w, partition, last)) {
        last--;
    }
    return last < w->partitions[partition].begin ? -1 : last;
}

/* The first partition whose checkpoint in the store is not its last event's. */
static bool all_written(const whole *w, size_t *which, int64_t *sequence) {
    for (size_t n = 0; n < w->options.partitions; n++) {
        const tmk_partition_entry *e = sim_store_partition(w->store, sim_hub_id(w->hub, n));

        *which = n;
        *sequence = e == NULL || !e->record.checkpoint.present ? -1 : e->record.checkpoint.sequence;
        if (*sequence < last_there(w, n)) {
            return false;
        }
    }
    return true;
}

/* The dead are evicted, what they left is read once more, and then the store has it all. */
static void check_written(plot *p) {
    whole *w = &p->w;
    tmk_time until = w->kernel.now + (p->kind == WHOLE_FOR_EVER ? 600 : 120) * TMK_SEC;
    size_t which = 0;
    int64_t sequence = 0;

    while (!w->kernel.failed && !all_written(w, &which, &sequence)) {
        if (w->kernel.now > until) {
            sim_violation(&w->kernel, "I8",
                          "all is handled, and the checkpoint of %zu stays at %" PRId64
                          " of %" PRId64,
                          which, sequence, sim_hub_last(w->hub, which, w->kernel.now));
            return;
        }
        sim_run(&w->kernel, w->kernel.now + TMK_SEC);
    }
}

/* What an instance may ask for in so many seconds of rest: a renewal and a look at its bell each
 * heartbeat, the list of members as often where they are few, partitions once a minute; and one of
 * each at the edges. */
static uint64_t rest_requests(tmk_time span) {
    return (uint64_t)(span * 6 / (10 * TMK_SEC) + span / TMK_MIN + 4);
}

/* All is final: nothing is counted against the budget any more. */
static void check_empty(whole_instance *i) {
    tmk_processor_stats s = {.size = sizeof s};
    uint64_t held = 0;

    for (size_t p = 0; p < i->world->options.partitions; p++) {
        held += i->readers[p].open ? i->readers[p].held : 0;
    }
    tmk_control_stats(i->control, &s);
    if (held == 0 && (s.held_events > 0 || s.held_bytes > 0)) {
        sim_violation(&i->world->kernel, "I11",
                      "%s has nothing in hand, and counts %u events, %" PRIu64 " bytes", i->name,
                      s.held_events, s.held_bytes);
    }
}

/* One span in which nobody had to change anything; false: somebody had. */
static bool rests(whole *w, tmk_time span) {
    uint64_t before[WHOLE_INSTANCES_MAX];
    tmk_time from = w->kernel.now;

    for (size_t n = 0; n < w->instance_count; n++) {
        before[n] =
            w->instances[n]->control == NULL ? 0 : sim_store_requests(w->instances[n]->store);
    }
    sim_run(&w->kernel, from + span);
    if (w->changed_at > from - 10 * TMK_SEC) {
        return false;
    }
    for (size_t n = 0; n < w->instance_count; n++) {
        whole_instance *i = w->instances[n];
        uint64_t count = i->control == NULL ? 0 : sim_store_requests(i->store) - before[n];

        if (count > rest_requests(span)) {
            sim_violation(&w->kernel, "I10",
                          "%s asks the store %" PRIu64 " times in %" PRId64 " s of rest", i->name,
                          count, span / TMK_SEC);
        }
        if (i->control != NULL) {
            check_empty(i);
        }
    }
    return true;
}

/* Nothing is to be done: soon nothing moves, and the store is left in peace. */
static void check_rest(plot *p) {
    whole *w = &p->w;
    tmk_time until = w->kernel.now + 600 * TMK_SEC; /* whoever is on probation waits up to 300 s */

    if (p->kind == WHOLE_FOR_EVER) {
        return;
    }
    w->changed_at = w->kernel.now;
    while (!w->kernel.failed && !rests(w, 40 * TMK_SEC)) {
        if (w->kernel.now > until) {
            sim_violation(&w->kernel, "I9", "nothing is to be done, and still something moves");
        }
    }
}

/* All stop at once, in time. */
static void check_goodbye(plot *p) {
    whole *w = &p->w;

    for (size_t n = 0; n < w->instance_count && !w->kernel.failed; n++) {
        if (w->instances[n]->control != NULL && !w->instances[n]->stopping) {
            whole_stop(w->instances[n], 30 * TMK_SEC);
        }
    }
    sim_run(&w->kernel, w->kernel.now + 31 * TMK_SEC);
    for (size_t n = 0; n < w->instance_count && !w->kernel.failed; n++) {
        if (w->instances[n]->control != NULL) {
            sim_violation(&w->kernel, "I12", "%s runs after its stop's deadline",
                          w->instances[n]->name);
        }
    }
}

void whole_live(whole_kind kind, uint64_t seed, FILE *trace, whole_verdict *out) {
    whole_options o = {.seed = seed, .trace = trace};
    plot *p = calloc(1, sizeof *p);
    tmk_time start = 0;

    if (p == NULL) {
        abort();
    }
    choose_world(kind, seed, &o);
    whole_init(&p->w, &o);
    start = p->w.kernel.now;
    p->kind = kind;
    p->instances_max = 1 + tmk_rng_below(&p->w.rng, 6);
    p->blow.fire = on_blow;
    p->mend_store.fire = on_mend_store;
    choose_fates(p);
    begin(p);
    mend_all(p);
    check_settles(p);
    check_written(p);
    check_rest(p);
    check_goodbye(p);
    *out = (whole_verdict){
        .failed = p->w.kernel.failed, .lived = p->w.kernel.now - start, .figures = p->w.figures};
    memcpy(out->struck, p->struck, sizeof out->struck);
    (void)snprintf(out->rule, sizeof out->rule, "%s", p->w.kernel.rule);
    (void)snprintf(out->what, sizeof out->what, "%s", p->w.kernel.what);
    whole_clear(&p->w);
    free(p);
}
