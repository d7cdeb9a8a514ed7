/* Random lives of groups in which Tidemark's fleets and the official processors work together. */
#ifndef TMK_SIM_MIXED_LIVES_H
#define TMK_SIM_MIXED_LIVES_H

#include "mixed.h"

typedef enum mixed_life_kind {
    MIXED_OURS = 0, /* Tidemark's alone, joins and leaves alone: nothing may be repeated */
    MIXED_BESIDE,   /* with official ones; some are killed */
    MIXED_FAULTS,   /* and store, hub and processes have troubles */
    MIXED_LIFE_KINDS
} mixed_life_kind;

extern const char *const mixed_life_names[MIXED_LIFE_KINDS];

typedef struct mixed_verdict {
    bool failed;
    char rule[16], what[320];
    tmk_time lived;   /* virtual */
    tmk_time slowest; /* until all was in order */
    uint64_t moves, repeats;
} mixed_verdict;

void mixed_live(mixed_life_kind kind, uint64_t seed, FILE *trace, mixed_verdict *out);

#endif
