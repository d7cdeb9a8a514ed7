/*
 * Disks that fail: opening, writing, syncing and renaming (base/file.h) are
 * counted, and the nth fails, as full and broken disks do: half of what was to
 * be written is written. To run something once with each of them failing:
 *
 *   for (failing_io_begin(FAILING_ONCE); failing_io_next();) {
 *       tmk_status st = thing_save(&thing);
 *       CHECK(st == TMK_OK || failing_io_hit());
 *   }
 *
 * The last round is the one in which nothing failed. Threads: any may do what
 * is counted; the functions here are for one.
 */
#ifndef TMK_TESTS_FAILING_IO_H
#define TMK_TESTS_FAILING_IO_H

#include "support/failing_alloc.h"

void failing_io_begin(failing_mode mode);
bool failing_io_next(void);        /* the next round; false after one without a failure */
bool failing_io_hit(void);         /* one of this round has failed */
size_t failing_io_round(void);     /* which of them it is that fails, from 0 on */
void failing_io_spare(bool on);    /* while on: nothing fails, nothing counts */
const char *failing_io_what(void); /* "write", say: what has failed first; "" nothing */

#endif
