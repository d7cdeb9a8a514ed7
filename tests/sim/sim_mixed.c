/*
 * Lives groups in which Tidemark's fleets and the official processors work
 * together, and tells whether a rule was broken (mixed.h).
 *
 *   sim_mixed [--seed N] [--lives N] [--kind ours|mixed|faults|all] [--trace FILE|-] [--marks]
 *
 * A life that fails prints the line that lives it again. Exit code 1 then.
 */
#include "mixed_lives.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    uint64_t seed, lives;
    int kind; /* MIXED_LIFE_KINDS: all in turn */
    bool marks;
    FILE *trace;
} arguments;

typedef struct totals {
    uint64_t lives, failed, moves, repeats;
    tmk_time lived, slowest;
} totals;

static void live(mixed_life_kind kind, uint64_t seed, FILE *trace, totals *t) {
    mixed_verdict v;

    mixed_live(kind, seed, trace, &v);
    t->lives++;
    t->lived += v.lived;
    t->slowest = v.slowest > t->slowest ? v.slowest : t->slowest;
    t->moves += v.moves;
    t->repeats += v.repeats;
    if (v.failed) {
        t->failed++;
        printf("not ok - %s: %s\n#   again: sim_mixed --kind %s --seed %" PRIu64
               " --lives 1 --trace -\n",
               v.rule, v.what, mixed_life_names[kind], seed);
        fflush(stdout);
    }
}

static int kind_of(const char *name) {
    for (int i = 0; i < MIXED_LIFE_KINDS; i++) {
        if (strcmp(name, mixed_life_names[i]) == 0) {
            return i;
        }
    }
    return strcmp(name, "all") == 0 ? MIXED_LIFE_KINDS : -1;
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
    arguments a = {.seed = 1, .lives = 100, .kind = MIXED_LIFE_KINDS};
    totals t[MIXED_LIFE_KINDS] = {0};
    uint64_t failed = 0;

    if (!parse(argc, argv, &a)) {
        fprintf(stderr, "usage: sim_mixed [--seed N] [--lives N] [--kind ours|mixed|faults|all] "
                        "[--trace FILE|-] [--marks]\n");
        return 2;
    }
    for (uint64_t n = 0; n < a.lives; n++) {
        int kind = a.kind == MIXED_LIFE_KINDS ? (int)(n % MIXED_LIFE_KINDS) : a.kind;

        live((mixed_life_kind)kind, a.seed + n, a.trace, &t[kind]);
    }
    for (int kind = 0; kind < MIXED_LIFE_KINDS; kind++) {
        if (t[kind].lives > 0) {
            printf("# %-7s %" PRIu64 " lives, %" PRIu64 " failed, %" PRId64
                   " h lived, in order after at most %" PRId64 " s, %" PRIu64
                   " changes of hands, %" PRIu64 " events repeated\n",
                   mixed_life_names[kind], t[kind].lives, t[kind].failed,
                   t[kind].lived / (3600 * TMK_SEC), t[kind].slowest / TMK_SEC, t[kind].moves,
                   t[kind].repeats);
            failed += t[kind].failed;
        }
    }
    if (a.marks) {
        sim_marks_print(stdout);
    }
    return failed > 0 ? 1 : 0;
}
