/* The fates of fleets. */
#include "lives.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/weigh.h"

const char *const sim_kind_names[SIM_KINDS] = {"faults", "planned", "hostile", "forever"};

typedef enum fate {
    FATE_JOIN,
    FATE_LEAVE,
    FATE_KILL,
    FATE_KILL_AND_RESTART,
    FATE_FREEZE,
    FATE_OUTAGE,
    FATE_CUT_STORE,
    FATE_CUT_HUB,
    FATE_CUT_BOTH,
    FATE_STEAL,
    FATE_SLOW_STORE,
    FATE_LOSE_ANSWERS,
    FATE_BUSY_STORE,
    FATE_LATE_LISTS,
    FATE_KILL_ALL,
    FATE_NAP,
    FATE_UNLOCK,
    FATE_REMOVE,
    FATES
} fate;

/* What a life is made of. */
typedef struct plot {
    sim_world w;
    sim_kind kind;
    bool enabled[FATES];
    size_t instances_max;
    tmk_time from, to; /* between two blows */
    tmk_time end;
    sim_event blow;
    sim_event mend[4]; /* ends of outage, slowness, ... */
} plot;

enum { MEND_OUTAGE, MEND_SLOW, MEND_ANSWERS, MEND_BUSY };

static sim_instance *any_running(plot *p) {
    size_t n = sim_count_alive(&p->w), pick = 0;

    if (n == 0) {
        return NULL;
    }
    pick = tmk_rng_below(&p->w.rng, n);
    for (size_t i = 0; i < p->w.instance_count; i++) {
        if (sim_alive(p->w.instances[i]) && pick-- == 0) {
            return p->w.instances[i];
        }
    }
    return NULL;
}

static tmk_time seconds(plot *p, int64_t from, int64_t to) {
    return tmk_rng_between(&p->w.rng, from * 1000, to * 1000) * TMK_MS;
}

/* --- blows and their ends --- */

static void on_mend_outage(sim_event *e) {
    plot *p = sim_event_of(e, plot, mend[MEND_OUTAGE]);

    sim_outage(&p->w, false);
}

static void on_mend_slow(sim_event *e) {
    plot *p = sim_event_of(e, plot, mend[MEND_SLOW]);
    sim_store_trouble *t = sim_store_trouble_of(p->w.store);

    t->slow = 0;
    t->median = 8 * TMK_MS;
    t->late_list = 0;
    sim_fault_until(&p->w, p->w.kernel.now + 20 * TMK_SEC);
    p->w.trouble_until = t->outage ? TMK_NEVER : p->w.kernel.now;
}

static void on_mend_answers(sim_event *e) {
    plot *p = sim_event_of(e, plot, mend[MEND_ANSWERS]);
    sim_store_trouble *t = sim_store_trouble_of(p->w.store);

    t->lose_answer = t->lose_request = 0;
    sim_fault_until(&p->w, p->w.kernel.now + 20 * TMK_SEC);
}

static void on_mend_busy(sim_event *e) {
    plot *p = sim_event_of(e, plot, mend[MEND_BUSY]);

    sim_store_trouble_of(p->w.store)->busy = 0;
    p->w.wall_from = -1;
    p->w.trouble_until = p->w.trouble_until == TMK_NEVER ? TMK_NEVER : p->w.kernel.now;
    sim_fault_until(&p->w, p->w.kernel.now + 20 * TMK_SEC);
}

typedef struct reunion {
    sim_event event;
    sim_instance *instance;
} reunion;

static void on_reunion(sim_event *e) {
    reunion *r = sim_event_of(e, reunion, event);

    if (r->instance->fleet != NULL) {
        sim_cut_store(r->instance, false);
        sim_cut_hub(r->instance, false);
    }
    free(r);
}

static void cut(plot *p, sim_instance *i, bool store, bool hub) {
    reunion *r = NULL;

    if (i == NULL || i->store_cut || i->hub_cut) {
        return;
    }
    r = calloc(1, sizeof *r);
    if (r == NULL) {
        abort();
    }
    r->instance = i;
    r->event.fire = on_reunion;
    if (store) {
        sim_cut_store(i, true);
    }
    if (hub) {
        sim_cut_hub(i, true);
    }
    sim_at(&p->w.kernel, &r->event, p->w.kernel.now + seconds(p, 1, 45));
}

static const char *any_partition(plot *p) {
    return sim_hub_id(p->w.hub, tmk_rng_below(&p->w.rng, p->w.options.partitions));
}

static sim_instance *any_moving(plot *p) {
    for (size_t i = 0; i < p->w.instance_count; i++) {
        if (sim_alive(p->w.instances[i]) && sim_moving(p->w.instances[i])) {
            return p->w.instances[i];
        }
    }
    return NULL;
}

/* At any moment, or at one of the worst. */
static void freeze(plot *p, sim_instance *i) {
    tmk_time length = seconds(p, 1, tmk_rng_chance(&p->w.rng, 0.3) ? 100 : 30);
    uint64_t dice = tmk_rng_below(&p->w.rng, 3);
    sim_instance *moving = dice == 1 ? any_moving(p) : NULL;

    if (dice == 2) {
        sim_freeze_with_heartbeat(i, length);
    } else {
        sim_freeze(moving == NULL ? i : moving, length);
    }
}

/* Sleeps until about when its lease ends: the others and it come to the store at the same time. */
static void nap(plot *p, sim_instance *i) {
    const tmk_member_entry *m = NULL;
    tmk_time left = 0;

    if (i == NULL || (m = sim_store_member(p->w.store, tmk_fleet_id(i->fleet))) == NULL) {
        return;
    }
    left =
        m->lease_end - sim_store_now(p->w.store) + tmk_rng_between(&p->w.rng, -500, 4000) * TMK_MS;
    if (left > 0) {
        sim_freeze(i, left);
    }
}

/* With the record go its generations: whoever comes next starts anew. */
static void remove_record(plot *p, size_t partition) {
    sim_store_remove(p->w.store, sim_hub_id(p->w.hub, partition));
    p->w.truth[partition].removed = true;
}

static void kill_and_restart(plot *p, bool restart) {
    sim_instance *i = any_running(p);
    int host = 0;

    if (i == NULL) {
        return;
    }
    host = (int)strtol(i->host + 1, NULL, 10);
    sim_kill(i);
    if (restart && p->w.instance_count + 2 < SIM_LIVES_MAX) {
        (void)sim_start(&p->w, host);
    }
}

static void kill_all(plot *p) {
    size_t n = 0;

    for (size_t i = 0; i < p->w.instance_count; i++) {
        if (p->w.instances[i]->fleet != NULL) {
            sim_kill(p->w.instances[i]);
            n++;
        }
    }
    for (; n > 0 && p->w.instance_count + 2 < SIM_LIVES_MAX; n--) {
        (void)sim_start(&p->w, -1);
    }
}

static void slow_store(plot *p) {
    sim_store_trouble *t = sim_store_trouble_of(p->w.store);

    t->slow = p->kind == SIM_FAULTS ? 0.01 : 0.05;
    p->w.late_writes = true;
    t->slow_from = 5 * TMK_SEC;
    t->slow_to = 30 * TMK_SEC;
    t->median = seconds(p, 0, 1) / 4 + 8 * TMK_MS;
    sim_at(&p->w.kernel, &p->mend[MEND_SLOW], p->w.kernel.now + seconds(p, 5, 40));
}

static void strike_store(plot *p, fate what) {
    sim_store_trouble *t = sim_store_trouble_of(p->w.store);

    switch (what) {
    case FATE_OUTAGE:
        sim_outage(&p->w, true);
        sim_at(&p->w.kernel, &p->mend[MEND_OUTAGE], p->w.kernel.now + seconds(p, 1, 100));
        break;
    case FATE_SLOW_STORE:
        slow_store(p);
        break;
    case FATE_LOSE_ANSWERS:
        t->lose_answer = tmk_rng_unit(&p->w.rng) * 0.3;
        t->lose_request = tmk_rng_unit(&p->w.rng) * 0.1;
        sim_at(&p->w.kernel, &p->mend[MEND_ANSWERS], p->w.kernel.now + seconds(p, 5, 40));
        break;
    case FATE_BUSY_STORE:
        t->busy = tmk_rng_chance(&p->w.rng, 0.3) ? 1 : tmk_rng_unit(&p->w.rng) * 0.7;
        p->w.wall_from = t->busy >= 1 ? p->w.kernel.now : -1;
        sim_at(&p->w.kernel, &p->mend[MEND_BUSY], p->w.kernel.now + seconds(p, 5, 30));
        break;
    default:
        t->late_list = 0.5;
        sim_at(&p->w.kernel, &p->mend[MEND_SLOW], p->w.kernel.now + seconds(p, 5, 40));
        break;
    }
    sim_fault_until(&p->w, p->w.kernel.now);
}

static void strike(plot *p, fate what) {
    sim_instance *i = any_running(p);

    switch (what) {
    case FATE_JOIN:
        if (sim_count_alive(&p->w) < p->instances_max && p->w.instance_count + 2 < SIM_LIVES_MAX) {
            (void)sim_start(&p->w, -1);
        }
        break;
    case FATE_LEAVE:
        if (i != NULL && sim_count_alive(&p->w) > 1) {
            sim_stop(i);
        }
        break;
    case FATE_KILL:
    case FATE_KILL_AND_RESTART:
        if (sim_count_alive(&p->w) > 1 || what == FATE_KILL_AND_RESTART) {
            kill_and_restart(p, what == FATE_KILL_AND_RESTART);
        }
        break;
    case FATE_FREEZE:
        if (i != NULL) {
            freeze(p, i);
        }
        break;
    case FATE_CUT_STORE:
    case FATE_CUT_HUB:
    case FATE_CUT_BOTH:
        cut(p, i, what != FATE_CUT_HUB, what != FATE_CUT_STORE);
        break;
    case FATE_STEAL:
        sim_hub_steal(p->w.hub, tmk_rng_below(&p->w.rng, p->w.options.partitions));
        sim_fault_until(&p->w, p->w.kernel.now + 30 * TMK_SEC);
        break;
    case FATE_NAP:
        nap(p, i);
        break;
    case FATE_UNLOCK:
        sim_store_unlock(p->w.store, any_partition(p));
        sim_fault_until(&p->w, p->w.kernel.now + 2 * p->w.options.save_every);
        break;
    case FATE_REMOVE:
        remove_record(p, tmk_rng_below(&p->w.rng, p->w.options.partitions));
        sim_fault_until(&p->w, p->w.kernel.now + 2 * p->w.options.save_every);
        break;
    case FATE_KILL_ALL:
        kill_all(p);
        break;
    default:
        strike_store(p, what);
        break;
    }
}

static void on_blow(sim_event *e) {
    plot *p = sim_event_of(e, plot, blow);
    size_t enabled = 0, pick = 0;

    if (p->w.kernel.now >= p->end) {
        return;
    }
    for (size_t i = 0; i < FATES; i++) {
        enabled += p->enabled[i];
    }
    pick = enabled == 0 ? 0 : tmk_rng_below(&p->w.rng, enabled);
    for (size_t i = 0; i < FATES; i++) {
        if (p->enabled[i] && pick-- == 0) {
            strike(p, (fate)i);
            break;
        }
    }
    sim_at(&p->w.kernel, e, p->w.kernel.now + tmk_rng_between(&p->w.rng, p->from, p->to));
}

/* --- plots --- */

static void choose_fates(plot *p) {
    static const bool rare[FATES] = {
        [FATE_KILL_ALL] = true, [FATE_STEAL] = true, [FATE_UNLOCK] = true, [FATE_REMOVE] = true};

    for (size_t i = 0; i < FATES; i++) {
        p->enabled[i] = tmk_rng_chance(&p->w.rng, rare[i] ? 0.15 : 0.5);
    }
    if (p->kind == SIM_PLANNED) {
        memset(p->enabled, 0, sizeof p->enabled);
    }
    if (p->kind == SIM_FOR_EVER) {
        p->enabled[FATE_OUTAGE] = p->enabled[FATE_SLOW_STORE] = p->enabled[FATE_BUSY_STORE] =
            p->enabled[FATE_LOSE_ANSWERS] = p->enabled[FATE_LATE_LISTS] = false;
    }
    if (p->kind == SIM_PLANNED || tmk_rng_chance(&p->w.rng, 0.7)) {
        p->enabled[FATE_JOIN] = p->enabled[FATE_LEAVE] = true;
    }
}

static void choose_pace(plot *p) {
    bool thick = p->kind == SIM_HOSTILE || tmk_rng_chance(&p->w.rng, 0.2);

    p->from = thick ? TMK_SEC / 2 : TMK_SEC;
    p->to = thick ? 6 * TMK_SEC : seconds(p, 5, 30);
}

static void choose_world(sim_kind kind, uint64_t seed, sim_world_options *o) {
    sim_kernel k;
    tmk_rng rng;

    sim_kernel_init(&k, seed, NULL);
    rng = sim_rng(&k, "options", 0);
    o->partitions = (size_t)1 << tmk_rng_below(&rng, 7);
    o->partitions =
        (size_t)tmk_rng_between(&rng, (int64_t)(o->partitions + 1) / 2, (int64_t)o->partitions);
    o->rate = tmk_rng_between(&rng, 5, 200);
    o->save_every = tmk_rng_between(&rng, 5, 30) * TMK_SEC;
    o->planned_only = kind == SIM_PLANNED;
    o->bad_for_ever = kind == SIM_FOR_EVER;
    o->store_knows = tmk_rng_chance(&rng, 0.3);
}

/* In some lives partitions weigh differently: a few are heavy, or one, or most weigh nothing. */
static void choose_weights(sim_world *w, uint64_t seed) {
    sim_kernel k;
    tmk_rng rng;

    sim_kernel_init(&k, seed, NULL);
    rng = sim_rng(&k, "weights", 1);
    for (size_t p = 0; p < w->options.partitions && w->options.weighted > 0; p++) {
        double place = 1 + (double)tmk_rng_below(&rng, w->options.partitions);

        w->truth[p].cost = (double)tmk_rng_between(&rng, 10, 2000) / place;
    }
    sim_kernel_clear(&k);
}

static void choose_balance(uint64_t seed, sim_world_options *o) {
    sim_kernel k;
    tmk_rng rng;

    sim_kernel_init(&k, seed, NULL);
    rng = sim_rng(&k, "weights", 0);
    if (tmk_rng_chance(&rng, 0.3)) {
        o->weighted = tmk_rng_chance(&rng, 0.2) ? 0.8 : 1;
        o->weigh_every = tmk_rng_chance(&rng, 0.5) ? 10 * TMK_SEC : 0;
        o->noise = tmk_rng_unit(&rng) * 0.15;
    }
    sim_kernel_clear(&k);
}

static void bad_for_ever(plot *p) {
    sim_store_trouble *t = sim_store_trouble_of(p->w.store);

    p->w.late_writes = true;
    t->lose_answer = 0.1;
    t->slow = 0.05;
    t->slow_from = 5 * TMK_SEC;
    t->slow_to = 30 * TMK_SEC;
    t->median = tmk_rng_between(&p->w.rng, 8, 100) * TMK_MS;
}

static void mend_all(plot *p) {
    for (size_t i = 0; i < sizeof p->mend / sizeof *p->mend; i++) {
        if (p->mend[i].node.index != 0) {
            sim_cancel(&p->w.kernel, &p->mend[i]);
            p->mend[i].fire(&p->mend[i]);
        }
    }
    for (size_t i = 0; i < p->w.instance_count; i++) {
        sim_instance *it = p->w.instances[i];

        it->freeze_with_heartbeat = 0;
        if (it->fleet != NULL && it->life == SIM_FROZEN) {
            sim_at(&p->w.kernel, &it->wake, p->w.kernel.now);
            sim_fault_until(&p->w, p->w.kernel.now);
        }
        if (it->fleet != NULL && (it->store_cut || it->hub_cut)) {
            sim_cut_store(it, false);
            sim_cut_hub(it, false);
        }
    }
}

/* Somebody waits for its partitions. */
static bool on_probation(const sim_world *w) {
    for (size_t i = 0; i < w->instance_count; i++) {
        const sim_instance *it = w->instances[i];

        if (sim_alive(it) && tmk_fleet_state_now(it->fleet) != TMK_FLEET_MEMBER) {
            return true;
        }
    }
    return false;
}

/* After the last blow it must be in order within 15 s, and again when all probations are over. */
static void check_recovery(plot *p, tmk_time patience) {
    sim_world *w = &p->w;
    char why[100] = "";
    tmk_time from = w->last_fault > w->kernel.now ? w->last_fault : w->kernel.now;

    while (!w->kernel.failed && !sim_balanced(w, why, sizeof why)) {
        from = w->last_fault > from ? w->last_fault : from; /* something may have come late */
        if (w->kernel.now > from + patience) {
            sim_dump(w, strtoul(strpbrk(why, "0123456789"), NULL, 10));
            sim_violation(&w->kernel, "I8", "not in order %" PRId64 " s after the last fault: %s",
                          (w->kernel.now - from) / TMK_SEC, why);
            return;
        }
        sim_run(&w->kernel, w->kernel.now + 250 * TMK_MS);
    }
    if (w->kernel.now - from > w->figures.balanced_after) {
        w->figures.balanced_after = w->kernel.now - from;
    }
}

static void await_recovery(plot *p) {
    sim_world *w = &p->w;
    tmk_time patience = w->options.bad_for_ever ? 60 * TMK_SEC : 15 * TMK_SEC;

    if (sim_count_alive(w) == 0) {
        (void)sim_start(w, -1);
    }
    check_recovery(p, patience);
    sim_run(&w->kernel,
            w->kernel.now + 10 * TMK_SEC); /* some learn only now that they were evicted */
    while (on_probation(w) && !w->kernel.failed) {
        sim_run(&w->kernel, w->kernel.now + TMK_SEC);
        sim_fault_until(w, w->kernel.now);
    }
    sim_run(&w->kernel, w->kernel.now + 2 * TMK_SEC);
    check_recovery(p, patience);
}

/* Loads are as they are, and nothing else happens: it comes to rest, and then they are level. */
static void check_level(plot *p) {
    sim_world *w = &p->w;
    tmk_time limit = w->kernel.now + 60 * TMK_MIN;
    tmk_time every = w->options.weigh_every == 0 ? TMK_MIN : w->options.weigh_every;
    double spread = 0;
    char why[100] = "";

    w->levelling = true;
    w->moved_at = w->kernel.now;
    while (!w->kernel.failed && w->kernel.now - w->moved_at < 4 * (every + TMK_GAUGE_WINDOW)) {
        sim_run(&w->kernel, w->kernel.now + TMK_SEC);
        if (w->kernel.now > limit) {
            sim_violation(&w->kernel, "weigh", "partitions move for their loads without end");
        }
    }
    if (!w->kernel.failed && sim_weighs(w) && !sim_level(w, 0.25, &spread, why, sizeof why)) {
        sim_violation(&w->kernel, "weigh", "not level: %s", why);
    }
    w->levelling = false;
}

static void check_rest(plot *p) {
    sim_world *w = &p->w;
    char why[100] = "";

    /* Wait until what follows from the last look has been done too. */
    sim_run(&w->kernel, w->kernel.now + 30 * TMK_SEC);
    if (w->options.bad_for_ever || w->kernel.failed) {
        return;
    }
    if (w->options.weighted > 0) {
        check_level(p);
    }
    sim_rest(w, (w->options.weighted > 0 ? 600 : 60) * TMK_SEC);
    if (!w->kernel.failed && !sim_balanced(w, why, sizeof why)) {
        sim_violation(&w->kernel, "I9", "out of order at rest: %s", why);
    }
    if (!w->kernel.failed && w->figures.quiet_requests > 0.6 * 1.25) {
        sim_violation(&w->kernel, "I10", "%.2f requests a second at rest",
                      w->figures.quiet_requests);
    }
}

/* Joins are gathered, and the plan moves no more than it must. */
static void check_moves(plot *p) {
    sim_world *w = &p->w;
    uint64_t moves = 0;

    if (!w->options.planned_only || w->kernel.failed) {
        return;
    }
    sim_collect(w);
    moves = w->figures.handed + w->figures.released;
    if (moves > w->moves_allowed) {
        sim_violation(&w->kernel, "moves", "%" PRIu64 " partitions were moved, %zu would do", moves,
                      w->moves_allowed);
    }
}

/* Planned moves are quick: whoever is to have a partition hears of it. What is being passed to one
 * who leaves at that moment waits until it has gone. */
static void check_gaps(plot *p) {
    const sim_figures *f = &p->w.figures;
    tmk_time sum = 0, longest = 0;

    if (!p->w.options.planned_only || f->gap_count < 10 || p->w.hasty) {
        return;
    }
    for (size_t n = 0; n < f->gap_count; n++) {
        sum += f->gaps[n];
        longest = f->gaps[n] > longest ? f->gaps[n] : longest;
    }
    if (sum / (tmk_time)f->gap_count > 1500 * TMK_MS || longest > 7 * TMK_SEC) {
        sim_violation(&p->w.kernel, "gap",
                      "planned moves left partitions unread for %" PRId64 " ms on average, %" PRId64
                      " ms at most",
                      sum / (tmk_time)f->gap_count / TMK_MS, longest / TMK_MS);
    }
}

static void check_start(plot *p) {
    for (size_t n = 0; n < p->w.options.partitions && p->w.options.planned_only; n++) {
        if (p->w.truth[n].handed > 2) {
            sim_violation(&p->w.kernel, "moves",
                          "partition %zu was handed over %u times at the start", n,
                          p->w.truth[n].handed);
        }
    }
}

static void begin(plot *p) {
    size_t first = 1 + tmk_rng_below(&p->w.rng, p->instances_max);

    for (size_t i = 0; i < first && !p->w.kernel.failed; i++) {
        (void)sim_start(&p->w, -1);
        sim_run(&p->w.kernel, p->w.kernel.now + tmk_rng_between(&p->w.rng, 0, 400) * TMK_MS);
    }
    if (p->kind == SIM_PLANNED) {
        sim_run(&p->w.kernel, p->w.kernel.now + 6 * TMK_SEC);
        check_start(p);
    }
    if (p->kind == SIM_FOR_EVER) {
        bad_for_ever(p);
    }
    p->end = p->w.kernel.now + seconds(p, 30, p->kind == SIM_PLANNED ? 90 : 150);
    sim_at(&p->w.kernel, &p->blow, p->w.kernel.now + tmk_rng_between(&p->w.rng, 0, p->to));
    sim_run(&p->w.kernel, p->end);
}

void sim_live(sim_kind kind, uint64_t seed, FILE *trace, bool verbose_log, sim_verdict *out) {
    sim_world_options o = {
        .seed = seed, .claims = TMK_CLAIMS_LEASE, .trace = trace, .verbose_log = verbose_log};
    plot *p = calloc(1, sizeof *p);
    tmk_time start = 0;

    if (p == NULL) {
        abort();
    }
    choose_world(kind, seed, &o);
    choose_balance(seed, &o);
    sim_world_init(&p->w, &o);
    choose_weights(&p->w, seed);
    start = p->w.kernel.now;
    p->kind = kind;
    p->instances_max = 1 + tmk_rng_below(&p->w.rng, 14);
    p->blow.fire = on_blow;
    p->mend[MEND_OUTAGE].fire = on_mend_outage;
    p->mend[MEND_SLOW].fire = on_mend_slow;
    p->mend[MEND_ANSWERS].fire = on_mend_answers;
    p->mend[MEND_BUSY].fire = on_mend_busy;
    choose_fates(p);
    choose_pace(p);
    begin(p);
    mend_all(p);
    await_recovery(p);
    check_rest(p);
    check_moves(p);
    check_gaps(p);
    if (!o.planned_only) {
        sim_collect(&p->w);
    }

    memset(out, 0, sizeof *out);
    out->failed = p->w.kernel.failed;
    memcpy(out->rule, p->w.kernel.rule, sizeof out->rule);
    memcpy(out->what, p->w.kernel.what, sizeof out->what);
    out->lived = p->w.kernel.now - start;
    out->steps = p->w.kernel.steps;
    out->figures = p->w.figures;
    sim_world_clear(&p->w);
    free(p);
}
