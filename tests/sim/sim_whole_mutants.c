/*
 * Plants each bug of TMK_MUTANT_WHOLE_MAP (core/mutants.h) in turn and lives whole lives until one
 * of them notices. A bug that nobody notices is a rule that no test keeps.
 *
 *   sim_whole_mutants [--lives N] [--seed N] [--only NAME] [--easy 1]
 *
 * --easy leaves out those that take more than a few lives; the long run has them all.
 *
 * Each bug lives in a process of its own: one that runs into an assertion of the product, or into a
 * loop without end, is noticed as well. Prints TAP: a line for each bug, with the lives it took.
 */
#include "core/mutants.h"
#include "whole_lives.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOP_S = 60 }; /* of CPU, for all lives of one bug: a life takes milliseconds */

static const struct {
    tmk_mutant mutant;
    const char *name, *what;
} mutants[] = {
#define X(name, what) {TMK_MUTANT_##name, #name, what},
    TMK_MUTANT_WHOLE_MAP(X)
#undef X
};

enum { MUTANTS = sizeof mutants / sizeof *mutants };

/* Rules that only rare lives touch: what was inherited twice, drains with a failing sink ... */
static const tmk_mutant rare[] = {TMK_MUTANT_BUDGET_OF_WRITES,     TMK_MUTANT_CREDIT_LOST_WITH_LINK,
                                  TMK_MUTANT_BUDGET_UNFAIR,        TMK_MUTANT_UNHEARD_BY_NUMBER,
                                  TMK_MUTANT_ENDED_LINK_VOUCHES,   TMK_MUTANT_REOPENED_LINK_IS_DOWN,
                                  TMK_MUTANT_CREDIT_NOT_RETURNED,  TMK_MUTANT_DEBT_UNPAID,
                                  TMK_MUTANT_DRAIN_DOES_NOT_WAIT,  TMK_MUTANT_DRAIN_FORGETS_HANDLES,
                                  TMK_MUTANT_DRAIN_WRITES_NOTHING, TMK_MUTANT_HALT_FORGOTTEN,
                                  TMK_MUTANT_KNOWN_HANDED_OUT,     TMK_MUTANT_LETTER_ONCE,
                                  TMK_MUTANT_MAP_NOT_INHERITED,    TMK_MUTANT_MAP_UNREAD,
                                  TMK_MUTANT_POLICY_BY_TIME_ALONE, TMK_MUTANT_QUIET_INHERITED,
                                  TMK_MUTANT_RELIEF_UNNOTICED,     TMK_MUTANT_REWIND_FORGOTTEN,
                                  TMK_MUTANT_SILENCE_UNNOTICED,    TMK_MUTANT_STOLEN_GOES_ON,
                                  TMK_MUTANT_TRUST_FOR_EVER};

static bool is_rare(tmk_mutant m) {
    for (size_t i = 0; i < sizeof rare / sizeof *rare; i++) {
        if (rare[i] == m) {
            return true;
        }
    }
    return false;
}

typedef struct result {
    uint64_t lives; /* lived so far, the one that noticed included */
    bool caught;
    char rule[16], kind[16];
} result;

static void tell(int to, const result *r) {
    if (write(to, r, sizeof *r) != (ssize_t)sizeof *r) {
        _exit(3);
    }
}

/* In the child: before each life it says which one it is. */
static void live_all(uint64_t seed, uint64_t lives, int to) {
    const struct rlimit limit = {LOOP_S, LOOP_S};

    (void)setrlimit(RLIMIT_CPU, &limit);
    for (uint64_t n = 0; n < lives; n++) {
        whole_kind kind = (whole_kind)(n % WHOLE_KINDS);
        result r = {.lives = n + 1};
        whole_verdict v;

        (void)snprintf(r.kind, sizeof r.kind, "%s", whole_kind_names[kind]);
        tell(to, &r);
        whole_live(kind, seed + n, NULL, &v);
        if (v.failed) {
            (void)snprintf(r.rule, sizeof r.rule, "%s", v.rule);
            r.caught = true;
            tell(to, &r);
            return;
        }
    }
}

static result try_one(tmk_mutant mutant, uint64_t seed, uint64_t lives) {
    result r = {0}, next;
    int ends[2], status = 0;
    pid_t child = 0;

    if (pipe(ends) != 0 || (child = fork()) < 0) {
        abort();
    }
    if (child == 0) {
        close(ends[0]);
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(3);
        }
        tmk_mutant_on = mutant;
        live_all(seed, lives, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    while (read(ends[0], &next, sizeof next) == (ssize_t)sizeof next) {
        r = next;
    }
    close(ends[0]);
    if (waitpid(child, &status, 0) == child && WIFSIGNALED(status)) {
        r.caught = true;
        (void)snprintf(r.rule, sizeof r.rule, "signal %d", WTERMSIG(status));
    }
    return r;
}

static int by_number(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

int main(int argc, char **argv) {
    uint64_t lives = 300, seed = 1, took[MUTANTS];
    const char *only = NULL;
    size_t tried = 0, missed = 0;
    bool easy = false;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--lives") == 0) {
            lives = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--easy") == 0) {
            easy = true;
        } else {
            only = argv[i + 1];
        }
    }
    for (size_t i = 0; i < MUTANTS; i++) {
        if ((only != NULL && strcmp(only, mutants[i].name) != 0) ||
            (easy && is_rare(mutants[i].mutant))) {
            continue;
        }
        result r = try_one(mutants[i].mutant, seed, lives);
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
