/*
 * Runs a scenario once for every allocation in it with that one failing, and
 * once with all from it on failing; no run may leave memory behind, and the
 * last, in which nothing fails, must succeed.
 *
 *   static bool scenario(void) { ... return st == TMK_OK; }
 *   failing_each(scenario);
 */
#ifndef TMK_TESTS_FAILING_H
#define TMK_TESTS_FAILING_H

#include "support/check.h"
#include "support/failing_alloc.h"

static void failing_each(bool (*scenario)(void)) {
    static const failing_mode modes[] = {FAILING_ONCE, FAILING_FROM};

    for (int i = 0; i < 2; i++) {
        for (failing_begin(modes[i]); failing_next();) {
            bool good = scenario();

            CHECK(good || failing_hit());
            CHECK_EQ(0, failing_live());
        }
    }
}

#endif
