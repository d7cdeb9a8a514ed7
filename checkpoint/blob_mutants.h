/*
 * Planted bugs of the way "shared" on blobs, in the manner of the core's: false
 * and free in the product; in the build of tests/sim that is made with
 * -DTMK_MUTANTS one of them can be switched on, and the simulation of mixed
 * groups has to notice.
 */
#ifndef TMK_CHECKPOINT_BLOB_MUTANTS_H
#define TMK_CHECKPOINT_BLOB_MUTANTS_H

#include <stdbool.h>

#ifdef TMK_MUTANTS

#define TMK_BLOB_MUTANT_MAP(X)                                                           \
    X(RENEWAL_TAKES_BACK, "a renewal that was refused is written over whoever it names") \
    X(TOUCH_FORGOTTEN, "a claim leaves the checkpoint as it is")                         \
    X(WRITE_UNCONDITIONAL, "a checkpoint is written without its version")

typedef enum tmk_blob_mutant {
    TMK_BLOB_MUTANT_NONE = 0,
#define X(name, what) TMK_BLOB_MUTANT_##name,
    TMK_BLOB_MUTANT_MAP(X)
#undef X
} tmk_blob_mutant;

extern tmk_blob_mutant tmk_blob_mutant_on;
#define TMK_BLOB_MUTANT(name) (tmk_blob_mutant_on == TMK_BLOB_MUTANT_##name)

#else
#define TMK_BLOB_MUTANT(name) false
#endif

#endif
