/*
 * Lives random fleets and tells whether a rule was broken.
 *
 *   sim_fleet [--seed N] [--lives N] [--kind faults|planned|hostile|forever|all]
 *             [--verbose] [--trace FILE] [--marks]
 *
 * A life that fails prints the line that lives it again. Exit code 1 then.
 */
#include "lives.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct arguments {
    uint64_t seed, lives;
    int kind; /* SIM_KINDS: all in turn */
    bool verbose, marks;
    const char *trace;
} arguments;

typedef struct totals {
    uint64_t lives, failed, steps, handed, claims, evictions, evicted, fences, repeats, requests;
    tmk_time lived, slowest;
    double quiet;
} totals;

static int kind_of(const char *name) {
    for (int i = 0; i < SIM_KINDS; i++) {
        if (strcmp(name, sim_kind_names[i]) == 0) {
            return i;
        }
    }
    return strcmp(name, "all") == 0 ? SIM_KINDS : -1;
}

static bool parse(int argc, char **argv, arguments *a) {
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"lives", required_argument, NULL, 'l'},
                                            {"kind", required_argument, NULL, 'k'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"trace", required_argument, NULL, 't'},
                                            {"marks", no_argument, NULL, 'm'},
                                            {NULL, 0, NULL, 0}};
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
        case 'v':
            a->verbose = true;
            break;
        case 't':
            a->trace = optarg;
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

static void add(totals *t, const sim_verdict *v) {
    t->lives++;
    t->failed += v->failed;
    t->steps += v->steps;
    t->lived += v->lived;
    t->handed += v->figures.handed;
    t->claims += v->figures.claims;
    t->evictions += v->figures.evictions;
    t->evicted += v->figures.evicted;
    t->fences += v->figures.fences;
    t->repeats += v->figures.repeats;
    t->requests += v->figures.requests;
    t->slowest = v->figures.balanced_after > t->slowest ? v->figures.balanced_after : t->slowest;
    t->quiet = v->figures.quiet_requests > t->quiet ? v->figures.quiet_requests : t->quiet;
}

static void report(const char *name, const totals *t, double took) {
    printf("# %-8s %" PRIu64 " lives, %" PRIu64 " failed, %.1f h lived in %.1f s (%.0f x), "
           "in order after at most %.1f s, %" PRIu64 " handoffs, %" PRIu64 " claims, %" PRIu64
           " evictions, %" PRIu64 " fences, %.2f requests/s at rest\n",
           name, t->lives, t->failed, (double)(t->lived / TMK_MS) / 3.6e6, took,
           (double)(t->lived / TMK_MS) / 1000 / (took > 0 ? took : 1),
           (double)(t->slowest / TMK_MS) / 1000, t->handed, t->claims, t->evictions, t->fences,
           t->quiet);
}

static double cpu_seconds(void) {
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void live(const arguments *a, sim_kind kind, uint64_t seed, FILE *trace, totals *t) {
    sim_verdict v;

    sim_live(kind, seed, trace, a->verbose, &v);
    add(&t[kind], &v);
    if (v.failed) {
        printf("not ok - %s: %s\n#   again: sim_fleet --kind %s --seed %" PRIu64
               " --lives 1 --trace -\n",
               v.rule, v.what, sim_kind_names[kind], seed);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    arguments a = {.seed = 1, .lives = 100, .kind = SIM_KINDS};
    totals t[SIM_KINDS] = {0};
    double took[SIM_KINDS] = {0};
    uint64_t failed = 0;
    FILE *trace = NULL;

    if (!parse(argc, argv, &a)) {
        fprintf(stderr, "usage: sim_fleet [--seed N] [--lives N] [--kind faults|planned|hostile|"
                        "forever|all] [--verbose] [--trace FILE|-] [--marks]\n");
        return 2;
    }
    if (a.trace != NULL) {
        trace = strcmp(a.trace, "-") == 0 ? stdout : fopen(a.trace, "w");
    }
    for (uint64_t n = 0; n < a.lives; n++) {
        sim_kind kind = a.kind == SIM_KINDS ? (sim_kind)(n % SIM_KINDS) : (sim_kind)a.kind;
        double before = cpu_seconds();

        live(&a, kind, a.seed + n, trace, t);
        took[kind] += cpu_seconds() - before;
    }
    for (int kind = 0; kind < SIM_KINDS; kind++) {
        if (t[kind].lives > 0) {
            report(sim_kind_names[kind], &t[kind], took[kind]);
            failed += t[kind].failed;
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
