/*
 * Plants each bug of core/mutants.h in turn and lives lives until one of them
 * notices. A bug that nobody notices is a rule that no test keeps.
 *
 *   sim_mutants [--lives N] [--seed N] [--only NAME]
 *
 * Prints TAP: one line for each bug, with the number of lives that it took.
 */
#include "core/mutants.h"
#include "lives.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    tmk_mutant mutant;
    const char *name, *what;
} mutants[] = {
#define X(name, what) {TMK_MUTANT_##name, #name, what},
    TMK_MUTANT_MAP(X)
#undef X
};

/* Lives until one fails; 0: none did. */
static uint64_t caught(uint64_t seed, uint64_t lives, char *rule, char *kind) {
    for (uint64_t n = 0; n < lives; n++) {
        sim_kind k = (sim_kind)(n % SIM_KINDS);
        sim_verdict v;

        sim_live(k, seed + n, NULL, false, &v);
        if (v.failed) {
            (void)snprintf(rule, 16, "%s", v.rule);
            (void)snprintf(kind, 16, "%s", sim_kind_names[k]);
            return n + 1;
        }
    }
    return 0;
}

static int by_number(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

int main(int argc, char **argv) {
    uint64_t lives = 2000, seed = 1, took[TMK_MUTANT_COUNT];
    const char *only = NULL;
    size_t count = sizeof mutants / sizeof *mutants, missed = 0, tried = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--lives") == 0) {
            lives = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[i + 1], NULL, 10);
        } else {
            only = argv[i + 1];
        }
    }
    printf("1..%zu\n", only == NULL ? count : 1);
    for (size_t i = 0; i < count; i++) {
        char rule[16] = "", kind[16] = "";

        if (only != NULL && strcmp(only, mutants[i].name) != 0) {
            continue;
        }
        tmk_mutant_on = mutants[i].mutant;
        took[tried] = caught(seed, lives, rule, kind);
        missed += took[tried] == 0;
        printf("%sok %zu - %s: %s # %" PRIu64 " lives %s %s\n", took[tried] == 0 ? "not " : "",
               tried + 1, mutants[i].name, mutants[i].what, took[tried], kind, rule);
        fflush(stdout);
        tried++;
    }
    qsort(took, tried, sizeof *took, by_number);
    printf("# %zu of %zu caught, median %" PRIu64 " lives, most %" PRIu64 "\n", tried - missed,
           tried, took[tried / 2], took[tried - 1]);
    return missed > 0;
}
