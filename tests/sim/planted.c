/* A child for each bug; it says which life it begins, and what came of it. */
#include "planted.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOP_S = 120 }; /* of CPU, for all lives of one bug: a life takes milliseconds */

static void tell(int to, const planted_result *r) {
    if (write(to, r, sizeof *r) != (ssize_t)sizeof *r) {
        _exit(3);
    }
}

static void live_all(planted_life live, uint64_t lives, int to) {
    const struct rlimit limit = {LOOP_S, LOOP_S};

    (void)setrlimit(RLIMIT_CPU, &limit);
    for (uint64_t n = 0; n < lives; n++) {
        planted_result r = {.lives = n + 1};

        tell(to, &r);
        live(n, &r);
        tell(to, &r);
        if (r.caught) {
            return;
        }
    }
}

planted_result planted_try(void (*plant)(int which), int which, planted_life live, uint64_t lives) {
    planted_result r = {0}, next;
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
        plant(which);
        live_all(live, lives, ends[1]);
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
