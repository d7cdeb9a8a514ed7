/*
 * Lives whole processors and tells whether a rule was broken.
 *
 *   sim_whole [--seed N] [--lives N] [--kind faults|planned|hostile|forever|all]
 *             [--trace FILE|-] [--marks]
 *
 * A life that fails prints the line that lives it again. Exit code 1 then.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "whole.h"

typedef enum life_kind { FAULTS = 0, PLANNED, HOSTILE, FOR_EVER, KINDS } life_kind;

static const char *const kind_names[KINDS] = {"faults", "planned", "hostile", "forever"};

typedef enum fate {
    FATE_JOIN,
    FATE_LEAVE,
    FATE_KILL,
    FATE_FREEZE,
    FATE_CUT_STORE,
    FATE_CUT_HUB,
    FATE_STEAL,
    FATE_BROKEN,
    FATE_PAUSE,
    FATE_OUTAGE,
    FATE_SLOW_STORE,
    FATE_LOSE_ANSWERS,
    FATE_BUSY_STORE,
    FATES
} fate;

typedef struct plot {
    whole w;
    life_kind kind;
    bool enabled[FATES];
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
    (void)tmk_control_pause(post->instance->control,
                            sim_hub_id(post->instance->world->hub, post->partition), false);
}

static void pause_partition(plot *p, whole_instance *i) {
    whole_post *post = NULL;
    size_t partition = tmk_rng_below(&p->w.rng, p->w.options.partitions);

    if (tmk_control_pause(i->control, sim_hub_id(p->w.hub, partition), true) == TMK_OK) {
        SIM_MARK("whole: paused");
        post = whole_post_new(i, run_resume);
        post->partition = partition;
        whole_post_send(post, seconds(p, 1, 20));
    }
}

static void mend_store(plot *p) {
    sim_store_trouble *t = sim_store_trouble_of(p->w.store);

    t->outage = false;
    t->slow = t->lose_answer = t->lose_request = t->busy = t->late_list = 0;
    t->median = 8 * TMK_MS;
}

static void on_mend_store(sim_event *e) {
    mend_store(sim_event_of(e, plot, mend_store));
}

static void strike_store(plot *p, fate what) {
    sim_store_trouble *t = sim_store_trouble_of(p->w.store);

    if (what == FATE_OUTAGE) {
        t->outage = true;
    } else if (what == FATE_SLOW_STORE) {
        t->slow = 0.05;
        t->slow_from = 5 * TMK_SEC;
        t->slow_to = 30 * TMK_SEC;
        t->median = seconds(p, 0, 1) / 4 + 8 * TMK_MS;
    } else if (what == FATE_LOSE_ANSWERS) {
        t->lose_answer = tmk_rng_unit(&p->w.rng) * 0.3;
        t->lose_request = tmk_rng_unit(&p->w.rng) * 0.1;
    } else {
        t->busy = tmk_rng_unit(&p->w.rng) * 0.7;
    }
    sim_at(&p->w.kernel, &p->mend_store, p->w.kernel.now + seconds(p, 1, 60));
}

static void strike(plot *p, fate what) {
    whole_instance *i = any_running(p);

    if (what == FATE_JOIN) {
        if (whole_count(&p->w) < p->instances_max &&
            p->w.instance_count + 2 < WHOLE_INSTANCES_MAX) {
            (void)whole_start(&p->w);
        }
    } else if (what >= FATE_OUTAGE) {
        strike_store(p, what);
    } else if (what == FATE_STEAL) {
        sim_hub_steal(p->w.hub, tmk_rng_below(&p->w.rng, p->w.options.partitions));
    } else if (i == NULL) {
        return;
    } else if (what == FATE_LEAVE && whole_count(&p->w) > 1) {
        whole_stop(i, p->kind == PLANNED ? 30 * TMK_SEC : seconds(p, 1, 30));
    } else if (what == FATE_KILL &&
               (whole_count(&p->w) > 1 || p->w.instance_count + 2 < WHOLE_INSTANCES_MAX)) {
        whole_kill(i);
    } else if (what == FATE_FREEZE) {
        whole_freeze(i, seconds(p, 1, tmk_rng_chance(&p->w.rng, 0.3) ? 100 : 30));
    } else if (what == FATE_CUT_STORE || what == FATE_CUT_HUB) {
        bool both = tmk_rng_chance(&p->w.rng, 0.3);

        cut(p, i, both || what == FATE_CUT_STORE, both || what == FATE_CUT_HUB);
    } else if (what == FATE_BROKEN) {
        i->broken_until = p->w.kernel.now + seconds(p, 1, 20);
    } else if (what == FATE_PAUSE) {
        pause_partition(p, i);
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
    if (whole_count(&p->w) == 0 && p->w.instance_count + 2 < WHOLE_INSTANCES_MAX) {
        (void)whole_start(&p->w);
    }
    sim_at(&p->w.kernel, e, p->w.kernel.now + tmk_rng_between(&p->w.rng, p->from, p->to));
}

/* ---- plots ---- */

static void choose_world(life_kind kind, uint64_t seed, whole_options *o) {
    sim_kernel k;
    tmk_rng r;

    sim_kernel_init(&k, seed, NULL);
    r = sim_rng(&k, "options", 0);
    o->partitions = (size_t)tmk_rng_between(&r, 1, WHOLE_PARTITIONS_MAX);
    o->rate = tmk_rng_between(&r, 2, 30);
    o->order = (tmk_order)tmk_rng_below(&r, 3);
    o->planned_only = kind == PLANNED;
    o->bad_for_ever = kind == FOR_EVER;
    o->fail = tmk_rng_chance(&r, 0.5) ? tmk_rng_unit(&r) * 0.05 : 0;
    o->poison = tmk_rng_chance(&r, 0.5) ? tmk_rng_unit(&r) * 0.004 : 0;
    o->later = tmk_rng_chance(&r, 0.4) ? tmk_rng_unit(&r) * 0.3 : 0;
    o->slow = tmk_rng_chance(&r, 0.3) ? 0.0003 : 0;
    o->hang = kind != PLANNED && tmk_rng_chance(&r, 0.2) ? 0.0001 : 0;
    o->sink_fails = tmk_rng_chance(&r, 0.3) && kind != PLANNED ? 0.5 : 0;
    o->events_max = (uint32_t)tmk_rng_between(&r, 200, 4000);
    o->prefetch = (uint32_t)tmk_rng_between(&r, 10, 500);
    o->checkpoint_events = (uint32_t)tmk_rng_between(&r, 10, 1000);
    o->checkpoint_ms = tmk_rng_between(&r, 1000, 10000);
    o->handler = tmk_rng_between(&r, 200, 4000) * TMK_US;
}

static void choose_fates(plot *p) {
    for (size_t i = 0; i < FATES; i++) {
        p->enabled[i] =
            p->kind != PLANNED && tmk_rng_chance(&p->w.rng, i == FATE_STEAL ? 0.15 : 0.5);
    }
    if (p->kind == FOR_EVER) {
        for (size_t i = FATE_OUTAGE; i < FATES; i++) {
            p->enabled[i] = false;
        }
    }
    if (p->kind == PLANNED || tmk_rng_chance(&p->w.rng, 0.7)) {
        p->enabled[FATE_JOIN] = p->enabled[FATE_LEAVE] = true;
    }
    p->from = TMK_SEC / 2;
    p->to = p->kind == HOSTILE ? 6 * TMK_SEC : seconds(p, 5, 25);
}

static void begin(plot *p) {
    size_t first = 1 + tmk_rng_below(&p->w.rng, p->instances_max);

    for (size_t i = 0; i < first; i++) {
        (void)whole_start(&p->w);
        sim_run(&p->w.kernel, p->w.kernel.now + tmk_rng_between(&p->w.rng, 0, 400) * TMK_MS);
    }
    if (p->kind == FOR_EVER) {
        strike_store(p, FATE_SLOW_STORE);
        strike_store(p, FATE_LOSE_ANSWERS);
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
    p->w.options.sink_fails = 0;
    if (p->kind != FOR_EVER) {
        mend_store(p);
    }
    sim_cancel(&p->w.kernel, &p->mend_store);
    p->w.options.hang = 0;
    p->w.options.sink_fails = 0; /* a sink that goes on failing is no last fault */
    for (size_t n = 0; n < p->w.instance_count; n++) {
        whole_instance *i = p->w.instances[n];

        if (i->control == NULL) {
            continue;
        }
        mend_network(i);
        i->broken_until = 0;
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
    tmk_time from = w->kernel.now, patience = (p->kind == FOR_EVER ? 600 : 240) * TMK_SEC;
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

/* The first partition whose checkpoint in the store is not its last event's. */
static bool all_written(const whole *w, size_t *which, int64_t *sequence) {
    for (size_t n = 0; n < w->options.partitions; n++) {
        const tmk_partition_entry *e = sim_store_partition(w->store, sim_hub_id(w->hub, n));

        *which = n;
        *sequence = e == NULL || !e->record.checkpoint.present ? -1 : e->record.checkpoint.sequence;
        if (*sequence != sim_hub_last(w->hub, n, w->kernel.now)) {
            return false;
        }
    }
    return true;
}

/* The dead are evicted, what they left is read once more, and then the store has it all. */
static void check_written(plot *p) {
    whole *w = &p->w;
    tmk_time until = w->kernel.now + (p->kind == FOR_EVER ? 600 : 120) * TMK_SEC;
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

typedef struct totals {
    uint64_t lives, failed;
    tmk_time lived;
    whole_figures figures;
    double took;
} totals;

static void add(totals *t, const whole_figures *f) {
    t->figures.events += f->events;
    t->figures.handed += f->handed;
    t->figures.repeats += f->repeats;
    t->figures.letters += f->letters;
    t->figures.checkpoints += f->checkpoints;
    t->figures.opens += f->opens;
    t->figures.stops += f->stops;
    t->figures.kills += f->kills;
    t->figures.freezes += f->freezes;
    t->figures.settled = f->settled > t->figures.settled ? f->settled : t->figures.settled;
}

static void live(life_kind kind, uint64_t seed, FILE *trace, totals *t) {
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
    check_goodbye(p);
    t->lives++;
    t->lived += p->w.kernel.now - start;
    add(t, &p->w.figures);
    if (p->w.kernel.failed) {
        t->failed++;
        printf("not ok - %s: %s\n#   again: sim_whole --kind %s --seed %" PRIu64
               " --lives 1 --trace -\n",
               p->w.kernel.rule, p->w.kernel.what, kind_names[kind], seed);
        fflush(stdout);
    }
    whole_clear(&p->w);
    free(p);
}

/* ---- the program ---- */

typedef struct arguments {
    uint64_t seed, lives;
    int kind; /* KINDS: all in turn */
    bool marks;
    const char *trace;
} arguments;

static int kind_of(const char *name) {
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(name, kind_names[i]) == 0) {
            return i;
        }
    }
    return strcmp(name, "all") == 0 ? KINDS : -1;
}

static bool parse(int argc, char **argv, arguments *a) {
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'}, {"lives", required_argument, NULL, 'l'},
        {"kind", required_argument, NULL, 'k'}, {"trace", required_argument, NULL, 't'},
        {"marks", no_argument, NULL, 'm'},      {NULL, 0, NULL, 0}};
    int c = 0;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's') {
            a->seed = strtoull(optarg, NULL, 10);
        } else if (c == 'l') {
            a->lives = strtoull(optarg, NULL, 10);
        } else if (c == 'k') {
            a->kind = kind_of(optarg);
        } else if (c == 't') {
            a->trace = optarg;
        } else if (c == 'm') {
            a->marks = true;
        } else {
            return false;
        }
    }
    return a->kind >= 0 && optind == argc;
}

static void report(const char *name, const totals *t) {
    const whole_figures *f = &t->figures;

    printf("# %-8s %" PRIu64 " lives, %" PRIu64 " failed, %.1f h lived in %.1f s (%.0f x), %" PRIu64
           " events, %" PRIu64 " handings, %" PRIu64 " repeats, %" PRIu64 " letters, %" PRIu64
           " checkpoints, %" PRIu64 " openings, %" PRIu64 " stops, %" PRIu64 " kills, %" PRIu64
           " freezes, settled after at most %.1f s\n",
           name, t->lives, t->failed, (double)(t->lived / TMK_MS) / 3.6e6, t->took,
           (double)(t->lived / TMK_MS) / 1000 / (t->took > 0 ? t->took : 1), f->events, f->handed,
           f->repeats, f->letters, f->checkpoints, f->opens, f->stops, f->kills, f->freezes,
           (double)(f->settled / TMK_MS) / 1000);
}

static double cpu_seconds(void) {
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    arguments a = {.seed = 1, .lives = 100, .kind = KINDS};
    totals t[KINDS] = {0};
    uint64_t failed = 0;
    FILE *trace = NULL;

    if (!parse(argc, argv, &a)) {
        fprintf(
            stderr,
            "usage: sim_whole [--seed N] [--lives N] [--kind faults|planned|hostile|forever|all] "
            "[--trace FILE|-] [--marks]\n");
        return 2;
    }
    if (a.trace != NULL) {
        trace = strcmp(a.trace, "-") == 0 ? stdout : fopen(a.trace, "w");
    }
    for (uint64_t n = 0; n < a.lives; n++) {
        life_kind k = a.kind == KINDS ? (life_kind)(n % KINDS) : (life_kind)a.kind;
        double before = cpu_seconds();

        live(k, a.seed + n, trace, &t[k]);
        t[k].took += cpu_seconds() - before;
    }
    for (int k = 0; k < KINDS; k++) {
        if (t[k].lives > 0) {
            report(kind_names[k], &t[k]);
            failed += t[k].failed;
        }
    }
    if (a.marks) {
        sim_marks_print(stdout);
    }
    if (trace != NULL && trace != stdout) {
        fclose(trace);
    }
    return failed > 0 ? 1 : 0;
}
