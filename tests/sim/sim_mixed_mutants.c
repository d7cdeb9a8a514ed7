/*
 * Plants each bug of TMK_MUTANT_SHARED_MAP (core/mutants.h) and of checkpoint/blob_mutants.h in
 * turn and lives mixed lives until one of them notices. A bug that nobody notices is a rule that no
 * test keeps.
 *
 *   sim_mixed_mutants [--lives N] [--seed N] [--only NAME] [--easy 1]
 *
 * --easy leaves out those that take more than a few lives; the long run has them all. Prints TAP: a
 * line for each bug, with the lives it took.
 */
#include "checkpoint/blob_mutants.h"
#include "core/mutants.h"
#include "mixed_lives.h"
#include "planted.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

tmk_blob_mutant tmk_blob_mutant_on = TMK_BLOB_MUTANT_NONE;

static const struct {
    tmk_mutant core;
    tmk_blob_mutant blob;
    const char *name, *what;
} mutants[] = {
#define X(name, what) {TMK_MUTANT_##name, TMK_BLOB_MUTANT_NONE, #name, what},
    TMK_MUTANT_SHARED_MAP(X)
#undef X
#define X(name, what) {TMK_MUTANT_NONE, TMK_BLOB_MUTANT_##name, #name, what},
        TMK_BLOB_MUTANT_MAP(X)
#undef X
};

enum { MUTANTS = sizeof mutants / sizeof *mutants };

/* Rules that only rare lives touch. */
static const char *const rare[] = {"INSIST_NEVER"};

static bool is_rare(const char *name) {
    for (size_t i = 0; i < sizeof rare / sizeof *rare; i++) {
        if (strcmp(rare[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static uint64_t first_seed = 1;

static void plant(int which) {
    tmk_mutant_on = mutants[which].core;
    tmk_blob_mutant_on = mutants[which].blob;
}

static void live(uint64_t n, planted_result *out) {
    mixed_life_kind kind = (mixed_life_kind)(n % MIXED_LIFE_KINDS);
    mixed_verdict v;

    (void)snprintf(out->kind, sizeof out->kind, "%s", mixed_life_names[kind]);
    mixed_live(kind, first_seed + n, NULL, &v);
    out->caught = v.failed;
    (void)snprintf(out->rule, sizeof out->rule, "%s", v.rule);
}

static int by_number(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

int main(int argc, char **argv) {
    uint64_t lives = 300, took[MUTANTS];
    const char *only = NULL;
    size_t tried = 0, missed = 0;
    bool easy = false;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--lives") == 0) {
            lives = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            first_seed = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--easy") == 0) {
            easy = true;
        } else {
            only = argv[i + 1];
        }
    }
    for (int i = 0; i < MUTANTS; i++) {
        if ((only != NULL && strcmp(only, mutants[i].name) != 0) ||
            (easy && is_rare(mutants[i].name))) {
            continue;
        }
        planted_result r = planted_try(plant, i, live, lives);
        took[tried++] = r.lives;
        missed += !r.caught;
        printf("%sok %zu - %s: %s # %" PRIu64 " lives %s %s\n", r.caught ? "" : "not ", tried,
               mutants[i].name, mutants[i].what, r.lives, r.kind, r.rule);
        fflush(stdout);
    }
    printf("1..%zu\n", tried);
    qsort(took, tried, sizeof *took, by_number);
    printf("# %zu of %zu caught, median %" PRIu64 " lives, most %" PRIu64 "\n", tried - missed,
           tried, tried == 0 ? 0 : took[tried / 2], tried == 0 ? 0 : took[tried - 1]);
    return missed > 0;
}
