/* The last words of a process whose promise did not hold. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void tmk_assert_failed(const char *promise, const char *file, int line, const char *function) {
    (void)fprintf(stderr, "tidemark: %s:%d: %s: promise '%s' does not hold\n", file, line, function,
                  promise);
    abort();
}
