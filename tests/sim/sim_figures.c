/*
 * Measures what a fleet costs and how quick it is, in virtual time.
 *
 *   sim_figures [--seeds N] [--only PART OF A NAME] [--trace FILE]
 *
 * Prints a table, and fails where a figure is beyond what is promised.
 */
#include "world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct sample {
    double *values;
    size_t count, room;
} sample;

static void add(sample *s, double value) {
    if (s->count == s->room) {
        s->room = s->room == 0 ? 256 : s->room * 2;
        s->values = realloc(s->values, s->room * sizeof *s->values);
        if (s->values == NULL) {
            abort();
        }
    }
    s->values[s->count++] = value;
}

static int by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double mean(const sample *s) {
    double sum = 0;

    for (size_t i = 0; i < s->count; i++) {
        sum += s->values[i];
    }
    return s->count == 0 ? 0 : sum / (double)s->count;
}

static double rank(sample *s, double share) {
    size_t place = (size_t)(share * (double)s->count);

    if (s->count == 0) {
        return 0;
    }
    qsort(s->values, s->count, sizeof *s->values, by_value);
    return s->values[place < s->count ? place : s->count - 1];
}

static void clear(sample *s) {
    free(s->values);
    *s = (sample){0};
}

/* What a scenario measures, over all seeds. */
typedef struct measured {
    const char *name;
    sample seconds, gaps, moves_over, requests, before, after, moves;
    uint64_t repeats, failed;
    char why[400];
} measured;

typedef struct setting {
    size_t partitions, instances, more;
    double weighted; /* so many ask for balance by load */
    tmk_time spread;
    tmk_time from; /* when what is measured began */
    uint64_t moved;
    double requests_most; /* an hour and instance, at rest; 0: not bounded */
} setting;

static double seconds_of(tmk_time t) {
    return (double)(t / TMK_US) / 1e6;
}

static FILE *trace;
static bool any_failed;

static void open_world(sim_world *w, const setting *s, uint64_t seed, bool planned) {
    sim_world_options o = {.seed = seed,
                           .partitions = s->partitions,
                           .claims = TMK_CLAIMS_LEASE,
                           .trace = trace,
                           .planned_only = planned,
                           .rate = 100,
                           .save_every = 10 * TMK_SEC,
                           .weighted = s->weighted,
                           .noise = 0.1};

    sim_world_init(w, &o);
}

static void start_some(sim_world *w, size_t count, tmk_time spread) {
    tmk_time start = w->kernel.now;

    for (size_t i = 0; i < count; i++) {
        (void)sim_start(w, -1);
        sim_run(&w->kernel, start + spread * (tmk_time)(i + 1) / (tmk_time)count);
    }
}

static bool all_members(const sim_world *w) {
    for (size_t i = 0; i < w->instance_count; i++) {
        if (sim_alive(w->instances[i]) &&
            tmk_fleet_state_now(w->instances[i]->fleet) != TMK_FLEET_MEMBER) {
            return false;
        }
    }
    return true;
}

/* Until it is in order, at most so long; false: it never was. */
static bool await_order(sim_world *w, tmk_time limit) {
    char why[100];
    tmk_time end = w->kernel.now + limit;

    while (!w->kernel.failed && (!all_members(w) || !sim_balanced(w, why, sizeof why))) {
        if (w->kernel.now > end) {
            sim_violation(&w->kernel, "I8", "%s", why);
            return false;
        }
        sim_run(&w->kernel, w->kernel.now + 50 * TMK_MS);
    }
    return !w->kernel.failed;
}

static uint64_t moved(sim_world *w) {
    uint64_t n = w->figures.handed + w->figures.takeovers;

    for (size_t i = 0; i < w->instance_count; i++) {
        if (w->instances[i]->fleet != NULL) {
            const tmk_fleet_counts *c = tmk_fleet_counted(w->instances[i]->fleet);

            n += c->handed + c->takeovers;
        }
    }
    return n;
}

static void take_gaps(sim_world *w, measured *m) {
    for (size_t i = 0; i < w->figures.gap_count; i++) {
        add(&m->gaps, seconds_of(w->figures.gaps[i]));
    }
}

static void close_world(sim_world *w, measured *m) {
    m->repeats += w->figures.repeats;
    if (w->kernel.failed) {
        m->failed++;
        (void)snprintf(m->why, sizeof m->why, "seed %" PRIu64 ": %s: %s", w->options.seed,
                       w->kernel.rule, w->kernel.what);
    }
    sim_world_clear(w);
}

/* --- scenarios --- */

static void cold(sim_world *w, setting *s, measured *m, uint64_t seed) {
    open_world(w, s, seed, true);
    start_some(w, s->instances, s->spread);
    (void)await_order(w, 60 * TMK_SEC);
    add(&m->seconds, seconds_of(w->kernel.now - 1000 * TMK_SEC - s->spread));
    close_world(w, m);
}

static void grow(sim_world *w, setting *s, measured *m, uint64_t seed) {
    uint64_t before = 0, fewest = 0;

    open_world(w, s, seed, true);
    start_some(w, s->instances, s->spread);
    (void)await_order(w, 60 * TMK_SEC);
    sim_run(&w->kernel, w->kernel.now + 40 * TMK_SEC);
    w->figures.gap_count = 0;
    before = moved(w);
    s->from = w->kernel.now;
    start_some(w, s->more, s->spread);
    (void)await_order(w, 60 * TMK_SEC);
    add(&m->seconds, seconds_of(w->kernel.now - s->from));
    sim_run(&w->kernel, w->kernel.now + 20 * TMK_SEC);
    fewest = s->partitions * s->more / (s->instances + s->more);
    add(&m->moves_over, (double)(moved(w) - before) - (double)fewest);
    take_gaps(w, m);
    close_world(w, m);
}

static void crash(sim_world *w, setting *s, measured *m, uint64_t seed) {
    open_world(w, s, seed, false);
    start_some(w, s->instances, s->spread);
    (void)await_order(w, 60 * TMK_SEC);
    sim_run(&w->kernel, w->kernel.now + 40 * TMK_SEC + tmk_rng_between(&w->rng, 0, 10000) * TMK_MS);
    s->from = w->kernel.now;
    sim_kill(w->instances[tmk_rng_below(&w->rng, s->instances)]);
    (void)await_order(w, 90 * TMK_SEC);
    add(&m->seconds, seconds_of(w->kernel.now - s->from));
    close_world(w, m);
}

static void roll(sim_world *w, setting *s, measured *m, uint64_t seed) {
    open_world(w, s, seed, true);
    start_some(w, s->instances, s->spread);
    (void)await_order(w, 60 * TMK_SEC);
    sim_run(&w->kernel, w->kernel.now + 40 * TMK_SEC);
    w->figures.gap_count = 0;
    for (size_t i = 0; i < s->instances && !w->kernel.failed; i++) {
        sim_instance *old = w->instances[i], *young = NULL;
        tmk_time from = w->kernel.now;

        sim_stop(old);
        while (!w->kernel.failed && old->life != SIM_ENDED) {
            sim_run(&w->kernel, w->kernel.now + 50 * TMK_MS);
        }
        add(&m->seconds, seconds_of(w->kernel.now - from));
        young = sim_start(w, (int)i);
        while (!w->kernel.failed && !young->ready) {
            sim_run(&w->kernel, w->kernel.now + 100 * TMK_MS);
        }
    }
    (void)await_order(w, 60 * TMK_SEC);
    take_gaps(w, m);
    close_world(w, m);
}

static void pause_one(sim_world *w, setting *s, measured *m, uint64_t seed) {
    uint64_t before = 0;

    open_world(w, s, seed, false);
    start_some(w, s->instances, s->spread);
    (void)await_order(w, 60 * TMK_SEC);
    sim_run(&w->kernel, w->kernel.now + 40 * TMK_SEC);
    before = moved(w);
    sim_freeze(w->instances[0], 90 * TMK_SEC);
    sim_run(&w->kernel, w->kernel.now + 100 * TMK_SEC);
    (void)await_order(w, 60 * TMK_SEC);
    add(&m->moves_over, (double)(moved(w) - before) - (double)s->partitions / (double)s->instances);
    close_world(w, m);
}

static void outage(sim_world *w, setting *s, measured *m, uint64_t seed) {
    uint64_t before = 0;

    open_world(w, s, seed, false);
    start_some(w, s->instances, s->spread);
    (void)await_order(w, 60 * TMK_SEC);
    sim_run(&w->kernel, w->kernel.now + 40 * TMK_SEC);
    before = moved(w);
    sim_outage(w, true);
    sim_run(&w->kernel, w->kernel.now + 90 * TMK_SEC);
    sim_outage(w, false);
    sim_run(&w->kernel, w->kernel.now + 60 * TMK_SEC);
    (void)await_order(w, 1);
    add(&m->moves_over, (double)(moved(w) - before));
    close_world(w, m);
}

static void rest(sim_world *w, setting *s, measured *m, uint64_t seed) {
    open_world(w, s, seed, true);
    start_some(w, s->instances, s->spread);
    (void)await_order(w, 60 * TMK_SEC);
    sim_run(&w->kernel, w->kernel.now + 60 * TMK_SEC);
    sim_rest(w, 600 * TMK_SEC);
    add(&m->requests, w->figures.quiet_requests * 3600);
    if (s->requests_most > 0 && w->figures.quiet_requests * 3600 > s->requests_most) {
        sim_violation(&w->kernel, "I10", "%.0f requests an hour at rest",
                      w->figures.quiet_requests * 3600);
    }
    close_world(w, m);
}

/* A large hub: from the first start until all is in order, then at rest. */
static void scale(sim_world *w, setting *s, measured *m, uint64_t seed) {
    open_world(w, s, seed, true);
    start_some(w, s->instances, s->spread);
    (void)await_order(w, 600 * TMK_SEC);
    add(&m->seconds, seconds_of(w->kernel.now - 1000 * TMK_SEC - s->spread));
    sim_run(&w->kernel, w->kernel.now + 60 * TMK_SEC);
    sim_rest(w, 60 * TMK_SEC);
    add(&m->requests, w->figures.quiet_requests * 3600);
    close_world(w, m);
}

/* Skewed: by Zipf's law, the heaviest keeps a thread busy, in random order. */
static void set_costs(sim_world *w) {
    size_t count = w->options.partitions;

    for (size_t p = 0; p < count; p++) {
        w->truth[p].cost = 1000.0 / (double)(p + 1);
    }
    for (size_t p = count; p > 1; p--) {
        size_t other = tmk_rng_below(&w->rng, p);
        double cost = w->truth[other].cost;

        w->truth[other].cost = w->truth[p - 1].cost;
        w->truth[p - 1].cost = cost;
    }
}

static double spread_of(const sim_world *w) {
    double spread = 0;
    char why[100];

    (void)sim_level(w, 1, &spread, why, sizeof why);
    return spread;
}

/* How much more than the mean the heaviest has, at the start and half an hour later; when the last
 * partition moved; and that nothing moves afterwards. */
static void skewed(sim_world *w, setting *s, measured *m, uint64_t seed) {
    uint64_t before = 0;

    open_world(w, s, seed, true);
    set_costs(w);
    start_some(w, s->instances, s->spread);
    (void)await_order(w, 60 * TMK_SEC);
    sim_run(&w->kernel, w->kernel.now + 10 * TMK_SEC);
    w->figures.gap_count = 0;
    before = moved(w);
    s->from = w->moved_at = w->kernel.now;
    w->levelling = true;
    add(&m->before, spread_of(w));
    sim_run(&w->kernel, w->kernel.now + 30 * TMK_MIN);
    w->levelling = false;
    add(&m->after, spread_of(w));
    add(&m->moves, (double)(moved(w) - before));
    add(&m->seconds, seconds_of(w->moved_at - s->from));
    take_gaps(w, m);
    sim_rest(w, 30 * TMK_MIN);
    close_world(w, m);
}

/* A host whose process dies again and again must not drag partitions to and fro. */
static void crash_loop(sim_world *w, setting *s, measured *m, uint64_t seed) {
    uint64_t before = 0;

    open_world(w, s, seed, false);
    start_some(w, s->instances, s->spread);
    (void)await_order(w, 60 * TMK_SEC);
    sim_run(&w->kernel, w->kernel.now + 40 * TMK_SEC);
    before = moved(w);
    for (int life = 0; life < 12 && !w->kernel.failed; life++) {
        sim_kill(w->instances[life == 0 ? 0 : w->instance_count - 1]);
        sim_run(&w->kernel, w->kernel.now + TMK_SEC);
        (void)sim_start(w, 0);
        sim_run(&w->kernel, w->kernel.now + tmk_rng_between(&w->rng, 3, 30) * TMK_SEC);
    }
    add(&m->moves_over, (double)(moved(w) - before) * (double)s->instances / (double)s->partitions);
    close_world(w, m);
}

/* --- all --- */

static const char *only;

typedef void (*scenario)(sim_world *w, setting *s, measured *m, uint64_t seed);

static void run(const char *name, scenario what, setting s, uint64_t seeds) {
    measured m = {.name = name};
    sim_world *w = NULL;

    if (only != NULL && strstr(name, only) == NULL) {
        return;
    }
    w = calloc(1, sizeof *w);
    for (uint64_t seed = 1; w != NULL && seed <= seeds; seed++) {
        what(w, &s, &m, seed);
    }
    printf("%-34s", name);
    if (m.seconds.count > 0) {
        printf("  %5.1f s mean %5.1f p95 %5.1f max", mean(&m.seconds), rank(&m.seconds, 0.95),
               rank(&m.seconds, 1));
    }
    if (m.moves_over.count > 0) {
        printf("  moves +%.2f mean +%.0f max", mean(&m.moves_over), rank(&m.moves_over, 1));
    }
    if (m.gaps.count > 0) {
        printf("  gap %.2f s mean %.2f p99", mean(&m.gaps), rank(&m.gaps, 0.99));
    }
    if (m.before.count > 0) {
        printf(
            "  heaviest %.2f of the mean, %.2f max, then %.2f, %.2f max  moves %.1f mean %.0f max",
            mean(&m.before), rank(&m.before, 1), mean(&m.after), rank(&m.after, 1), mean(&m.moves),
            rank(&m.moves, 1));
    }
    if (m.requests.count > 0) {
        printf("  %.0f requests/h mean %.0f max", mean(&m.requests), rank(&m.requests, 1));
    }
    printf("  repeats %" PRIu64 "  failed %" PRIu64 " %s\n", m.repeats, m.failed, m.why);
    (void)fflush(stdout);
    any_failed = any_failed || m.failed > 0;
    clear(&m.seconds);
    clear(&m.gaps);
    clear(&m.moves_over);
    clear(&m.requests);
    clear(&m.before);
    clear(&m.after);
    clear(&m.moves);
    free(w);
}

int main(int argc, char **argv) {
    uint64_t n = 100;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0) {
            n = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--only") == 0) {
            only = argv[i + 1];
        } else if (strcmp(argv[i], "--trace") == 0) {
            trace = fopen(argv[i + 1], "w");
        }
    }
    run("cold start, 1 x 256", cold, (setting){.partitions = 256, .instances = 1}, n);
    run("cold start, 4 x 32, within 2 s", cold,
        (setting){.partitions = 32, .instances = 4, .spread = 2 * TMK_SEC}, n);
    run("cold start, 10 x 32, at once", cold, (setting){.partitions = 32, .instances = 10}, n);
    run("cold start, 16 x 256, within 1 s", cold,
        (setting){.partitions = 256, .instances = 16, .spread = TMK_SEC}, n / 4 + 1);
    run("1 -> 2, 32 partitions", grow,
        (setting){.partitions = 32, .instances = 1, .more = 1, .spread = 0}, n);
    run("4 -> 16, 64 partitions", grow,
        (setting){.partitions = 64, .instances = 4, .more = 12, .spread = TMK_SEC}, n);
    run("crash, 1 of 2, 32 partitions", crash, (setting){.partitions = 32, .instances = 2}, n);
    run("crash, 1 of 4, 32 partitions", crash, (setting){.partitions = 32, .instances = 4}, n);
    run("crash, 1 of 12, 64 partitions", crash, (setting){.partitions = 64, .instances = 12}, n);
    run("rolling restart of 4 (each stop)", roll, (setting){.partitions = 32, .instances = 4}, n);
    run("pause of 90 s, 1 of 4", pause_one, (setting){.partitions = 32, .instances = 4}, n);
    run("store outage of 90 s, 4", outage, (setting){.partitions = 32, .instances = 4}, n);
    run("crash loop, moves in shares", crash_loop, (setting){.partitions = 32, .instances = 4}, n);
    run("1 -> 2, 64 members quiet", grow,
        (setting){.partitions = 128, .instances = 40, .more = 1, .spread = 0}, n / 20 + 1);
    run("skewed, 2 x 16, by count", skewed, (setting){.partitions = 16, .instances = 2}, n / 4 + 1);
    run("skewed, 2 x 16, weighted", skewed,
        (setting){.partitions = 16, .instances = 2, .weighted = 1}, n / 4 + 1);
    run("skewed, 4 x 32, weighted", skewed,
        (setting){.partitions = 32, .instances = 4, .weighted = 1}, n / 4 + 1);
    run("skewed, 16 x 256, weighted", skewed,
        (setting){.partitions = 256, .instances = 16, .weighted = 1}, n / 20 + 1);
    run("1 -> 2, 32 partitions, weighted", grow,
        (setting){.partitions = 32, .instances = 1, .more = 1, .weighted = 1}, n / 4 + 1);
    run("at rest, 1 instance", rest,
        (setting){.partitions = 32, .instances = 1, .requests_most = 1850}, n / 4 + 1);
    run("at rest, 4 instances", rest,
        (setting){.partitions = 32, .instances = 4, .requests_most = 2250}, n / 4 + 1);
    run("at rest, 4 instances, weighted", rest,
        (setting){.partitions = 32, .instances = 4, .weighted = 1, .requests_most = 2250},
        n / 4 + 1);
    run("at rest, 16 instances", rest,
        (setting){.partitions = 64, .instances = 16, .requests_most = 2250}, n / 4 + 1);
    run("scale, 2000 x 1", scale, (setting){.partitions = 2000, .instances = 1}, 1);
    run("scale, 2000 x 50", scale,
        (setting){.partitions = 2000, .instances = 50, .spread = 10 * TMK_SEC}, 1);
    return any_failed ? 1 : 0;
}
