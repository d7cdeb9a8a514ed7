/*
 * Lives whole processors and tells whether a rule was broken.
 *
 *   sim_whole [--seed N] [--lives N | --hours H] [--kind faults|planned|hostile|forever|tight|all]
 *             [--trace FILE|-] [--twice] [--marks]
 *
 * A life that fails prints the line that lives it again. --hours goes on for so long by the clock
 * of the machine. --twice lives each life twice and compares what has happened, by a hash of its
 * trace. Exit code 1 when a life failed or differed.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "whole_lives.h"

typedef struct totals {
    uint64_t lives, failed;
    tmk_time lived;
    whole_figures figures;
    uint64_t struck[WHOLE_FATES];
    double took;
} totals;

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static void add(totals *t, const whole_verdict *v) {
    const whole_figures *f = &v->figures;
    whole_figures *all = &t->figures;

    t->lives++;
    t->lived += v->lived;
    t->failed += v->failed;
    all->events += f->events;
    all->handed += f->handed;
    all->repeats += f->repeats;
    all->retries += f->retries;
    all->probes += f->probes;
    all->letters += f->letters;
    all->checkpoints += f->checkpoints;
    all->opens += f->opens;
    all->requests_max = most(all->requests_max, f->requests_max);
    all->held_max = most(all->held_max, f->held_max);
    all->settled = f->settled > all->settled ? f->settled : all->settled;
    all->farewell = f->farewell > all->farewell ? f->farewell : all->farewell;
    for (size_t i = 0; i < WHOLE_FATES; i++) {
        t->struck[i] += v->struck[i];
    }
}

/* ---- a trace that is only hashed ---- */

static ssize_t hash_write(void *cookie, const char *text, size_t size) {
    uint64_t *hash = cookie;

    for (size_t i = 0; i < size; i++) {
        *hash = (*hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    }
    return (ssize_t)size;
}

static uint64_t hash_of(whole_kind kind, uint64_t seed, whole_verdict *v) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    FILE *f = fopencookie(&hash, "w", (cookie_io_functions_t){.write = hash_write});

    if (f == NULL) {
        abort();
    }
    whole_live(kind, seed, f, v);
    fclose(f);
    return hash;
}

/* ---- the program ---- */

typedef struct arguments {
    uint64_t seed, lives;
    double hours;
    int kind; /* WHOLE_KINDS: all in turn */
    bool marks, twice;
    const char *trace;
} arguments;

static int kind_of(const char *name) {
    for (int i = 0; i < WHOLE_KINDS; i++) {
        if (strcmp(name, whole_kind_names[i]) == 0) {
            return i;
        }
    }
    return strcmp(name, "all") == 0 ? WHOLE_KINDS : -1;
}

static bool parse(int argc, char **argv, arguments *a) {
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},  {"lives", required_argument, NULL, 'l'},
        {"kind", required_argument, NULL, 'k'},  {"trace", required_argument, NULL, 't'},
        {"hours", required_argument, NULL, 'h'}, {"marks", no_argument, NULL, 'm'},
        {"twice", no_argument, NULL, '2'},       {NULL, 0, NULL, 0}};
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
            a->trace = optarg;
            break;
        case 'h':
            a->hours = strtod(optarg, NULL);
            a->lives = UINT64_MAX;
            break;
        case 'm':
            a->marks = true;
            break;
        case '2':
            a->twice = true;
            break;
        default:
            return false;
        }
    }
    return a->kind >= 0 && optind == argc;
}

static double seconds_of(clockid_t clock) {
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void tell_failed(whole_kind kind, uint64_t seed, const whole_verdict *v) {
    printf("not ok - %s: %s\n#   again: sim_whole --kind %s --seed %" PRIu64
           " --lives 1 --trace -\n",
           v->rule, v->what, whole_kind_names[kind], seed);
    fflush(stdout);
}

static void live(const arguments *a, whole_kind kind, uint64_t seed, FILE *trace, totals *t) {
    double before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    whole_verdict v, again;

    if (!a->twice) {
        whole_live(kind, seed, trace, &v);
    } else if (hash_of(kind, seed, &v) != hash_of(kind, seed, &again)) {
        v.failed = true;
        (void)snprintf(v.rule, sizeof v.rule, "replay");
        (void)snprintf(v.what, sizeof v.what, "lived twice, it is not the same life");
    }
    t->took += seconds_of(CLOCK_PROCESS_CPUTIME_ID) - before;
    add(t, &v);
    if (v.failed) {
        tell_failed(kind, seed, &v);
    }
}

static void report(const char *name, const totals *t) {
    const whole_figures *f = &t->figures;

    printf("# %-8s %" PRIu64 " lives, %" PRIu64 " failed, %.1f h lived in %.1f s (%.0f x), %" PRIu64
           " events, %" PRIu64 " handings, %" PRIu64 " repeats, %" PRIu64 " retries, %" PRIu64
           " letters, %" PRIu64 " checkpoints, %" PRIu64
           " openings; at most: settled after %.1f s, stop %.1f s after the last handler, %" PRIu64
           " requests of one instance in 10 s, %" PRIu64 " events held by one\n",
           name, t->lives, t->failed, (double)(t->lived / TMK_MS) / 3.6e6, t->took,
           (double)(t->lived / TMK_MS) / 1000 / (t->took > 0 ? t->took : 1), f->events, f->handed,
           f->repeats, f->retries, f->letters, f->checkpoints, f->opens,
           (double)(f->settled / TMK_MS) / 1000, (double)(f->farewell / TMK_MS) / 1000,
           f->requests_max, f->held_max);
}

static uint64_t report_all(const totals *t) {
    uint64_t failed = 0, struck[WHOLE_FATES] = {0}, all = 0;

    for (int k = 0; k < WHOLE_KINDS; k++) {
        if (t[k].lives > 0) {
            report(whole_kind_names[k], &t[k]);
        }
        failed += t[k].failed;
        for (int i = 0; i < WHOLE_FATES; i++) {
            struck[i] += t[k].struck[i];
            all += t[k].struck[i];
        }
    }
    printf("# faults   %" PRIu64, all);
    for (int i = 0; i < WHOLE_FATES; i++) {
        printf(", %s %" PRIu64, whole_fate_names[i], struck[i]);
    }
    printf("\n");
    return failed;
}

int main(int argc, char **argv) {
    arguments a = {.seed = 1, .lives = 100, .kind = WHOLE_KINDS};
    totals t[WHOLE_KINDS] = {0};
    double start = seconds_of(CLOCK_MONOTONIC);
    FILE *trace = NULL;
    uint64_t failed = 0;

    if (!parse(argc, argv, &a)) {
        fprintf(stderr,
                "usage: sim_whole [--seed N] [--lives N | --hours H] "
                "[--kind faults|planned|hostile|forever|tight|all] [--trace FILE|-] [--twice] "
                "[--marks]\n");
        return 2;
    }
    if (a.trace != NULL) {
        trace = strcmp(a.trace, "-") == 0 ? stdout : fopen(a.trace, "w");
    }
    for (uint64_t n = 0; n < a.lives; n++) {
        whole_kind k = a.kind == WHOLE_KINDS ? (whole_kind)(n % WHOLE_KINDS) : (whole_kind)a.kind;

        live(&a, k, a.seed + n, trace, &t[k]);
        if (a.hours > 0 && seconds_of(CLOCK_MONOTONIC) - start > a.hours * 3600) {
            break;
        }
    }
    failed = report_all(t);
    if (a.marks) {
        sim_marks_print(stdout);
    }
    if (trace != NULL && trace != stdout) {
        fclose(trace);
    }
    return failed > 0 ? 1 : 0;
}
