/*
 * Random lives of fleets. Each enables a random subset of what can go wrong,
 * thick or thin: average lives find average bugs.
 */
#ifndef TMK_SIM_LIVES_H
#define TMK_SIM_LIVES_H

#include "world.h"

typedef enum sim_kind {
    SIM_FAULTS = 0, /* everything, mildly; then it must be in order again */
    SIM_PLANNED,    /* joins and leaves alone: nothing is repeated */
    SIM_HOSTILE,    /* thick, odd speeds, a store at its worst */
    SIM_FOR_EVER,   /* a store that never recovers */
    SIM_KINDS
} sim_kind;

extern const char *const sim_kind_names[SIM_KINDS];

typedef struct sim_verdict {
    bool failed;
    char rule[16];
    char what[320];
    tmk_time lived; /* virtual */
    uint64_t steps;
    sim_figures figures; /* gaps left out */
} sim_verdict;

/* Lives one life. The trace may be NULL. */
void sim_live(sim_kind kind, uint64_t seed, FILE *trace, bool verbose_log, sim_verdict *out);

#endif
