/*
 * How long the plan takes: everything moves from one half of the members to all of them, and
 * nothing moves.
 *
 *   bench_plan PARTITIONS INSTANCES [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/measure.h"
#include "core/plan.h"

static double milliseconds(void) {
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
    size_t partitions = argc > 2 ? strtoull(argv[1], NULL, 10) : 2000;
    size_t instances = argc > 2 ? strtoull(argv[2], NULL, 10) : 500;
    int rounds = argc > 3 ? atoi(argv[3]) : 20;
    tmk_plan_member *members = calloc(instances, sizeof *members);
    int32_t *owners = calloc(partitions, sizeof *owners);
    int32_t *targets = calloc(partitions, sizeof *targets);
    double worst_moving = 0, worst_resting = 0;

    if (members == NULL || owners == NULL || targets == NULL || instances == 0) {
        die("arguments", "PARTITIONS INSTANCES [ROUNDS]");
    }
    for (int round = 0; round < rounds; round++) {
        double begin;

        for (size_t m = 0; m < instances; m++) {
            members[m] = (tmk_plan_member){.weight = 1};
        }
        for (size_t p = 0; p < partitions; p++) {
            owners[p] = (int32_t)((p * 7 + (size_t)round) % ((instances + 1) / 2));
        }
        begin = milliseconds();
        tmk_plan(members, instances, owners, targets, partitions);
        begin = milliseconds() - begin;
        worst_moving = begin > worst_moving ? begin : worst_moving;
        begin = milliseconds();
        tmk_plan(members, instances, targets, owners, partitions);
        begin = milliseconds() - begin;
        worst_resting = begin > worst_resting ? begin : worst_resting;
    }
    tell("moving", worst_moving, "ms");
    tell("resting", worst_resting, "ms");
    free(members);
    free(owners);
    free(targets);
    return 0;
}
