/*
 * Lives groups in which Tidemark's fleets and the official processors work
 * together, and tells whether a rule was broken (mixed.h).
 *
 *   sim_mixed [--seed N] [--lives N] [--kind ours|mixed|faults|all] [--trace FILE|-] [--marks]
 *
 * A life that fails prints the line that lives it again. Exit code 1 then.
 */
#include "mixed.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OURS, MIXED, FAULTS, KINDS };
static const char *const kinds[KINDS] = {"ours", "mixed", "faults"};

typedef struct arguments {
    uint64_t seed, lives;
    int kind; /* KINDS: all in turn */
    bool marks;
    FILE *trace;
} arguments;

typedef struct totals {
    uint64_t lives, failed, moves, repeats;
    tmk_time lived, slowest;
} totals;

static tmk_time seconds(mixed *m, int64_t from, int64_t to) {
    return tmk_rng_between(&m->rng, from * 1000, to * 1000) * TMK_MS;
}

static mixed_actor *any(mixed *m) {
    size_t pick = tmk_rng_below(&m->rng, mixed_alive(m));

    for (size_t i = 0; i < m->actor_count; i++) {
        mixed_actor *a = m->actors[i];

        if (a->alive && !a->stopping && pick-- == 0) {
            return a;
        }
    }
    return NULL;
}

static mixed_kind some_kind(mixed *m, int kind) {
    bool ours = kind == OURS || tmk_rng_chance(&m->rng, 0.4);

    return ours ? MIXED_TIDEMARK : (mixed_kind)tmk_rng_between(&m->rng, 1, MIXED_KINDS - 1);
}

static void make_trouble(mixed *m) {
    sim_blobs_trouble *t = sim_blobs_trouble_of(m->blobs);
    mixed_actor *a = any(m);

    switch (tmk_rng_below(&m->rng, 6)) {
    case 0:
        t->lose_answer = 0.2;
        t->lose_request = 0.1;
        break;
    case 1:
        t->slow = 0.2;
        break;
    case 2:
        t->outage = !t->outage;
        break;
    case 3:
        mixed_cut_hub(a, true);
        break;
    case 4:
        if (!a->frozen) {
            mixed_freeze(a, seconds(m, 1, 200));
        }
        break;
    default:
        if (a->store != NULL) {
            sim_blobs_cut(a->store, true);
        }
        break;
    }
}

static void mend(mixed *m) {
    *sim_blobs_trouble_of(m->blobs) = (sim_blobs_trouble){0};
    for (size_t i = 0; i < m->actor_count; i++) {
        mixed_actor *a = m->actors[i];

        if (a->alive) {
            mixed_cut_hub(a, false);
        }
        if (a->alive && a->store != NULL) {
            sim_blobs_cut(a->store, false);
        }
        if (a->alive && a->frozen) {
            sim_at(&m->kernel, &a->wake, m->kernel.now);
        }
    }
}

static void blow(mixed *m, int kind) {
    uint64_t what = tmk_rng_below(&m->rng, kind == FAULTS ? 6 : kind == MIXED ? 4 : 3);
    size_t alive = mixed_alive(m);

    if (what == 0 && m->actor_count < MIXED_ACTORS_MAX - 2) {
        (void)mixed_start(m, some_kind(m, kind));
    } else if (what == 1 && alive > 1) {
        mixed_actor *a = any(m);

        if (!a->frozen) {
            mixed_stop(a);
        }
    } else if (what == 3 && alive > 1) {
        mixed_kill(any(m));
    } else if (what > 3) {
        make_trouble(m);
    }
    if (kind == FAULTS && tmk_rng_chance(&m->rng, 0.2)) {
        mend(m);
    }
}

/* Everybody's expiry, and one step of the slowest for each partition. */
static void await_order(mixed *m, tmk_time *took) {
    tmk_time from = m->kernel.now,
             patience = 600 * TMK_SEC + (tmk_time)m->partitions * 60 * TMK_SEC;
    char why[160] = "";

    while (!m->kernel.failed && !mixed_in_order(m, why, sizeof why)) {
        if (m->kernel.now - from > patience) {
            sim_violation(&m->kernel, "M5", "not in order after %" PRId64 " s: %s",
                          patience / TMK_SEC, why);
            return;
        }
        sim_run(&m->kernel, m->kernel.now + TMK_SEC);
    }
    *took = m->kernel.now - from > *took ? m->kernel.now - from : *took;
}

/* Five minutes in which nothing changes hands. */
static void check_rest(mixed *m) {
    char why[160] = "";

    for (size_t i = 0; i < m->actor_count; i++) {
        if (m->actors[i]->alive && m->actors[i]->kind != MIXED_TIDEMARK) {
            official_end_zombies(m->actors[i]);
        }
    }
    sim_run(&m->kernel, m->kernel.now + 240 * TMK_SEC); /* what they have let lie expires */
    if (m->kernel.failed || !mixed_in_order(m, why, sizeof why)) {
        sim_violation(&m->kernel, "M6", "out of order again: %s", why);
        return;
    }
    m->at_rest = true;
    sim_run(&m->kernel, m->kernel.now + 300 * TMK_SEC);
    if (!mixed_in_order(m, why, sizeof why)) {
        sim_violation(&m->kernel, "M6", "out of order at rest: %s", why);
    }
    m->at_rest = false;
}

static void live(int kind, uint64_t seed, FILE *trace, totals *t) {
    mixed *m = calloc(1, sizeof *m);
    tmk_time end = 0;
    size_t first = 0;

    if (m == NULL) {
        abort();
    }
    tmk_rng rng;
    tmk_rng_seed(&rng, seed);
    mixed_init(m, seed, 1 + tmk_rng_below(&rng, 24), trace);
    m->planned_only = kind == OURS;
    first = 1 + tmk_rng_below(&m->rng, 5);
    (void)mixed_start(m, MIXED_TIDEMARK);
    for (size_t i = 1; i < first; i++) {
        sim_run(&m->kernel, m->kernel.now + seconds(m, 0, 5));
        (void)mixed_start(m, some_kind(m, kind));
    }
    end = m->kernel.now + seconds(m, 60, 600);
    while (m->kernel.now < end && !m->kernel.failed) {
        sim_run(&m->kernel, m->kernel.now + seconds(m, 0, 60));
        blow(m, kind);
    }
    mend(m);
    await_order(m, &t->slowest);
    check_rest(m);
    t->lives++;
    t->lived += m->kernel.now;
    t->moves += m->moves;
    t->repeats += m->repeats;
    if (m->kernel.failed) {
        t->failed++;
        printf("not ok - %s: %s\n#   again: sim_mixed --kind %s --seed %" PRIu64
               " --lives 1 --trace -\n",
               m->kernel.rule, m->kernel.what, kinds[kind], seed);
        fflush(stdout);
    }
    mixed_clear(m);
    free(m);
}

static int kind_of(const char *name) {
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(name, kinds[i]) == 0) {
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
        switch (c) {
        case 's':
            a->seed = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            a->lives = strtoull(optarg, NULL, 10);
            break;
        case 'k':
            a->kind = kind_of(optarg);
            break;
        case 't':
            a->trace = strcmp(optarg, "-") == 0 ? stdout : fopen(optarg, "we");
            break;
        case 'm':
            a->marks = true;
            break;
        default:
            return false;
        }
    }
    return a->kind >= 0 && optind == argc;
}

int main(int argc, char **argv) {
    arguments a = {.seed = 1, .lives = 100, .kind = KINDS};
    totals t[KINDS] = {0};
    uint64_t failed = 0;

    if (!parse(argc, argv, &a)) {
        fprintf(stderr, "usage: sim_mixed [--seed N] [--lives N] [--kind ours|mixed|faults|all] "
                        "[--trace FILE|-] [--marks]\n");
        return 2;
    }
    for (uint64_t n = 0; n < a.lives; n++) {
        int kind = a.kind == KINDS ? (int)(n % KINDS) : a.kind;

        live(kind, a.seed + n, a.trace, &t[kind]);
    }
    for (int kind = 0; kind < KINDS; kind++) {
        if (t[kind].lives > 0) {
            printf("# %-7s %" PRIu64 " lives, %" PRIu64 " failed, %" PRId64
                   " h lived, in order after at most %" PRId64 " s, %" PRIu64
                   " changes of hands, %" PRIu64 " events repeated\n",
                   kinds[kind], t[kind].lives, t[kind].failed, t[kind].lived / (3600 * TMK_SEC),
                   t[kind].slowest / TMK_SEC, t[kind].moves, t[kind].repeats);
            failed += t[kind].failed;
        }
    }
    if (a.marks) {
        sim_marks_print(stdout);
    }
    return failed > 0 ? 1 : 0;
}
