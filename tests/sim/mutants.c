/* Which planted bug is switched on; only in this build of the core. */
#include "core/mutants.h"

tmk_mutant tmk_mutant_on = TMK_MUTANT_NONE;
