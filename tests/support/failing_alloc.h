/*
 * An allocator that counts, and fails when told to. To run something once with
 * each of its allocations failing in turn:
 *
 *   for (failing_begin(FAILING_ONCE); failing_next();) {
 *       tmk_status st = thing_new(&thing);
 *       CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
 *       thing = thing_free(thing);
 *       CHECK_EQ(0, failing_live());
 *   }
 *
 * The last round is the one in which nothing failed. Threads: any may allocate;
 * the functions here are for one.
 */
#ifndef TMK_TESTS_FAILING_ALLOC_H
#define TMK_TESTS_FAILING_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

typedef enum failing_mode {
    FAILING_ONCE, /* the nth allocation fails, later ones succeed */
    FAILING_FROM  /* the nth and all later ones fail */
} failing_mode;

void failing_begin(failing_mode mode); /* installs the allocator; no round has run yet */
bool failing_next(void); /* the next round; false, allocator removed, after one without a failure */
bool failing_hit(void);  /* an allocation of this round has failed */

void failing_count(void);                                /* installs it so that it only counts */
void failing_after(failing_mode mode, size_t successes); /* from now on; installs it too */
void failing_spare(bool on); /* while on: allocations succeed and do not count as calls */
size_t failing_live(void);   /* blocks not freed yet */
size_t failing_calls(void);  /* allocations since the last install or round */
void failing_end(void);      /* the default allocator again */

#endif
