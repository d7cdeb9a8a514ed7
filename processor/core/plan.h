/*
 * The plan: who should own which partition. Every instance computes the same
 * one from the same members and owners, without a word between them.
 *
 *   balanced   each member's count differs from its share by less than one; with
 *              equal weights the spread is at most one. (Not of keepers.)
 *   sticky     no assignment with these counts moves fewer partitions.
 *   steady     while parts of it are carried out, in any order, the rest stays
 *              as it is: plan(owners after some of the moves) == plan(owners).
 *              So nobody needs to know how far the others have come.
 *
 * Pure and without memory of its own; the order of members (by id) and of
 * partitions is part of the input.
 */
#ifndef TMK_CORE_PLAN_H
#define TMK_CORE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TMK_PLAN_NOBODY (-1)

typedef struct tmk_plan_member {
    uint32_t weight; /* share in relation to the others' weights; 0: gets nothing */
    uint32_t most;   /* never more partitions than this; 0: no limit */
    /*
     * It keeps what it has, as far as there is enough for the others: their shares are of all, what
     * is left is dealt to the keepers so that the counts of as few as possible change. For members
     * whose counts differ because their loads do not.
     */
    bool keeps;

    /* Filled in by tmk_plan(): */
    uint32_t has, quota;
} tmk_plan_member;

/*
 * owners[p] is a place in members, or TMK_PLAN_NOBODY; so is targets[p] afterwards, NOBODY only
 * where the members' limits leave no room. owners and targets may be the same array.
 */
void tmk_plan(tmk_plan_member *members, size_t member_count, const int32_t *owners,
              int32_t *targets, size_t partition_count);

#endif
