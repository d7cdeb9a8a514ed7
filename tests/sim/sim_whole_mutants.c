/*
 * Plants each bug of TMK_MUTANT_WHOLE_MAP (core/mutants.h) in turn and lives whole lives until one
 * of them notices. A bug that nobody notices is a rule that no test keeps.
 *
 *   sim_whole_mutants [--lives N] [--seed N] [--only NAME]
 *
 * Each bug lives in a process of its own: one that runs into an assertion of the product, or into a
 * loop without end, is noticed as well. Prints TAP: a line for each bug, with the lives it took.
 */
#include "core/mutants.h"
#include "whole_lives.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOP_S = 120 }; /* a life takes milliseconds */

static const struct {
    tmk_mutant mutant;
    const char *name, *what;
} mutants[] = {
#define X(name, what) {TMK_MUTANT_##name, #name, what},
    TMK_MUTANT_WHOLE_MAP(X)
#undef X
};

enum { MUTANTS = sizeof mutants / sizeof *mutants };

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
    alarm(LOOP_S);
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

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--lives") == 0) {
            lives = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[i + 1], NULL, 10);
        } else {
            only = argv[i + 1];
        }
    }
    printf("1..%d\n", only == NULL ? MUTANTS : 1);
    for (size_t i = 0; i < MUTANTS; i++) {
        if (only != NULL && strcmp(only, mutants[i].name) != 0) {
            continue;
        }
        result r = try_one(mutants[i].mutant, seed, lives);
        took[tried++] = r.lives;
        missed += !r.caught;
        printf("%sok %zu - %s: %s # %" PRIu64 " lives %s %s\n", r.caught ? "" : "not ", tried,
               mutants[i].name, mutants[i].what, r.lives, r.kind, r.rule);
        fflush(stdout);
    }
    qsort(took, tried, sizeof *took, by_number);
    printf("# %zu of %zu caught, median %" PRIu64 " lives, most %" PRIu64 "\n", tried - missed,
           tried, tried == 0 ? 0 : took[tried / 2], tried == 0 ? 0 : took[tried - 1]);
    return missed > 0;
}
