/*
 * Why it is steady. A quota is base or base + 1, and those who have more than
 * base come first for the + 1. Carrying out a move takes from a member above
 * its quota, or gives to one below: a member with the + 1 who has more than
 * base never falls below base + 1, one who is filled up to it joins those who
 * come first, and one without it leaves them. So the same members get the + 1
 * at every moment. A member above its quota gives the last of its partitions,
 * so the ones that it keeps stay the same; and what is to be given is dealt
 * out by position (partitions in order, to receivers in order), from which a
 * pair can be taken away without shifting the others.
 *
 * Keepers: a level is sought to which those who have most come down, or those
 * who have least come up, until they have what the others leave. Whoever is on
 * the way to the level changes nothing about it, and the one that is above it by
 * one is the first of those who have more, or the first that has not more.
 */
#include "core/plan.h"

#include "base/assert.h"

#define UNSET UINT32_MAX

static void count_owned(tmk_plan_member *members, size_t member_count, const int32_t *owners,
                        size_t partition_count) {
    for (size_t m = 0; m < member_count; m++) {
        members[m].has = 0;
        members[m].quota = members[m].weight == 0 ? 0 : UNSET;
    }
    for (size_t p = 0; p < partition_count; p++) {
        if (owners[p] != TMK_PLAN_NOBODY) {
            tmk_assert((size_t)owners[p] < member_count);
            members[owners[p]].has++;
        }
    }
}

/* What is still to be shared out, and among how much weight. */
typedef struct shares {
    uint64_t partitions, weight;
} shares;

/* Members whose share would pass their limit get the limit; the others' shares grow by that. */
static shares fix_limited(tmk_plan_member *members, size_t member_count, uint64_t partitions) {
    shares s = {partitions, 0};
    bool again = true;

    for (size_t m = 0; m < member_count; m++) {
        s.weight += members[m].quota == UNSET ? members[m].weight : 0;
    }
    while (again) {
        again = false;
        for (size_t m = 0; m < member_count; m++) {
            tmk_plan_member *it = &members[m];

            if (it->quota == UNSET && it->most != 0 &&
                s.partitions * it->weight >= (uint64_t)it->most * s.weight) {
                it->quota = it->most;
                s.partitions -= it->most;
                s.weight -= it->weight;
                again = true;
            }
        }
    }
    return s;
}

/* --- keepers --- */

/* What a keeper has at a level: comes down to it, or comes up to it. */
static uint64_t at_level(const tmk_plan_member *it, bool down, uint64_t level) {
    uint64_t most = it->most == 0 ? UINT64_MAX : it->most;
    uint64_t has = it->has < most ? it->has : most;

    return down ? (has < level ? has : level) : has > level ? has : level < most ? level : most;
}

static bool is_keeper(const tmk_plan_member *it) {
    return it->keeps && it->weight > 0;
}

static uint64_t sum_at(const tmk_plan_member *members, size_t member_count, bool down,
                       uint64_t level) {
    uint64_t sum = 0;

    for (size_t m = 0; m < member_count; m++) {
        sum += is_keeper(&members[m]) ? at_level(&members[m], down, level) : 0;
    }
    return sum;
}

/* What those who keep nothing must have: their shares of all, rounded down. */
static uint64_t reserved(const tmk_plan_member *members, size_t member_count, uint64_t partitions) {
    uint64_t weight = 0, sum = 0;

    for (size_t m = 0; m < member_count; m++) {
        weight += members[m].weight;
    }
    for (size_t m = 0; m < member_count; m++) {
        const tmk_plan_member *it = &members[m];
        uint64_t share = weight == 0 || it->keeps ? 0 : partitions * it->weight / weight;

        sum += it->most != 0 && share > it->most ? it->most : share;
    }
    return sum;
}

/* The quotas of keepers; returns their sum. */
static uint64_t level_keepers(tmk_plan_member *members, size_t member_count, uint64_t partitions) {
    uint64_t room = partitions - reserved(members, member_count, partitions);
    bool down = sum_at(members, member_count, false, 0) > room;
    uint64_t low = 0, high = partitions, over = 0, sum = 0;

    while (low < high) { /* the highest level at which they have no more than there is room for */
        uint64_t middle = low + (high - low + 1) / 2;

        if (sum_at(members, member_count, down, middle) <= room) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    over = room - sum_at(members, member_count, down, low);
    for (size_t m = 0; m < member_count; m++) {
        tmk_plan_member *it = &members[m];
        uint64_t quota = 0;

        if (!is_keeper(it)) {
            continue;
        }
        quota = at_level(it, down, low);
        if (over > 0 && at_level(it, down, low + 1) > quota) {
            quota++;
            over--;
        }
        it->quota = (uint32_t)quota;
        sum += quota;
    }
    return sum;
}

/* --- shares --- */

/* Rounds the shares down, and gives what is over to those who have more already, then in order. */
static void share_out(tmk_plan_member *members, size_t member_count, shares s) {
    uint64_t over = s.partitions;

    for (size_t m = 0; m < member_count; m++) {
        if (members[m].quota == UNSET) {
            over -= s.partitions * members[m].weight / s.weight;
        }
    }
    for (int round = 0; round < 2; round++) {
        for (size_t m = 0; m < member_count; m++) {
            tmk_plan_member *it = &members[m];
            uint64_t share = s.partitions * it->weight;
            uint32_t base = s.weight == 0 ? 0 : (uint32_t)(share / s.weight);

            if (it->quota != UNSET) {
                continue;
            }
            if (over > 0 && share % s.weight != 0 && (round == 1 || it->has > base)) {
                it->quota = base + 1;
                over--;
            } else if (round == 1) {
                it->quota = base;
            }
        }
    }
}

void tmk_plan(tmk_plan_member *members, size_t member_count, const int32_t *owners,
              int32_t *targets, size_t partition_count) {
    size_t receiver = 0;
    uint64_t left = 0;

    count_owned(members, member_count, owners, partition_count);
    left = partition_count - level_keepers(members, member_count, partition_count);
    share_out(members, member_count, fix_limited(members, member_count, left));

    for (size_t m = 0; m < member_count; m++) {
        members[m].has = 0; /* from here: how many it keeps or is given */
    }
    for (size_t p = 0; p < partition_count; p++) {
        tmk_plan_member *it = owners[p] == TMK_PLAN_NOBODY ? NULL : &members[owners[p]];
        bool keeps = it != NULL && it->has < it->quota;

        if (keeps) {
            it->has++;
        }
        targets[p] = keeps ? owners[p] : TMK_PLAN_NOBODY;
    }
    for (size_t p = 0; p < partition_count; p++) {
        if (targets[p] != TMK_PLAN_NOBODY) {
            continue;
        }
        while (receiver < member_count && members[receiver].has >= members[receiver].quota) {
            receiver++;
        }
        if (receiver == member_count) {
            break;
        }
        targets[p] = (int32_t)receiver;
        members[receiver].has++;
    }
}
