/* The plan, checked on all small inputs: every assignment of up to 6 partitions to up to 4 members.
 */
#include "core/plan.h"

#include "base/rng.h"

#include "support/check.h"

#include <time.h>

enum { MEMBERS = 4, PARTITIONS = 6 };

static unsigned keepers; /* a bit each */

static void plan_equal(size_t member_count, const int32_t *owners, int32_t *targets, size_t count) {
    tmk_plan_member members[MEMBERS] = {{.weight = 1}, {.weight = 1}, {.weight = 1}, {.weight = 1}};

    for (unsigned m = 0; m < MEMBERS; m++) {
        members[m].keeps = keepers >> m & 1;
    }
    tmk_plan(members, member_count, owners, targets, count);
}

static size_t moves(const int32_t *owners, const int32_t *targets, size_t count) {
    size_t n = 0;

    for (size_t p = 0; p < count; p++) {
        n += owners[p] != targets[p];
    }
    return n;
}

/* The fewest moves to any spread of at most one: each member keeps at most its quota, and the
 * larger quotas belong to those who have most. */
static size_t fewest_moves(size_t member_count, const int32_t *owners, size_t count) {
    size_t has[MEMBERS] = {0}, keeps = 0, low = count / member_count, larger = count % member_count;

    for (size_t p = 0; p < count; p++) {
        if (owners[p] >= 0) {
            has[owners[p]]++;
        }
    }
    for (size_t m = 0; m < member_count; m++) {
        keeps += has[m] < low ? has[m] : low;
    }
    for (size_t m = 0; m < member_count && larger > 0; m++) {
        if (has[m] > low) {
            keeps++;
            larger--;
        }
    }
    return count - keeps;
}

static void check_balanced(size_t member_count, const int32_t *targets, size_t count) {
    size_t has[MEMBERS] = {0}, low = SIZE_MAX, high = 0;

    for (size_t p = 0; p < count; p++) {
        CHECK(targets[p] >= 0 && (size_t)targets[p] < member_count);
        has[targets[p]]++;
    }
    for (size_t m = 0; m < member_count; m++) {
        low = has[m] < low ? has[m] : low;
        high = has[m] > high ? has[m] : high;
    }
    CHECK(high - low <= 1);
}

/* Any subset of the moves, thus any order of carrying them out, leaves the plan as it is. */
static void check_steady(size_t member_count, const int32_t *owners, const int32_t *targets,
                         size_t count) {
    for (unsigned done = 0; done < 1U << count; done++) {
        int32_t partly[PARTITIONS], again[PARTITIONS];

        for (size_t p = 0; p < count; p++) {
            partly[p] = done >> p & 1 ? targets[p] : owners[p];
        }
        plan_equal(member_count, partly, again, count);
        CHECK(memcmp(again, targets, count * sizeof *again) == 0);
    }
}

/* The next assignment of partitions to members or nobody; false after the last. */
static bool next_assignment(size_t member_count, int32_t *owners, size_t count) {
    for (size_t p = 0; p < count; p++) {
        if (++owners[p] < (int32_t)member_count) {
            return true;
        }
        owners[p] = TMK_PLAN_NOBODY;
    }
    return false;
}

static void every_small_plan_is_balanced_sticky_and_steady(void) {
    for (size_t m = 1; m <= MEMBERS; m++) {
        for (size_t count = 0; count <= PARTITIONS; count++) {
            int32_t owners[PARTITIONS] = {-1, -1, -1, -1, -1, -1}, targets[PARTITIONS];

            do {
                plan_equal(m, owners, targets, count);
                check_balanced(m, targets, count);
                CHECK_EQ(fewest_moves(m, owners, count), moves(owners, targets, count));
                check_steady(m, owners, targets, count);
            } while (next_assignment(m, owners, count));
        }
    }
}

/* Keepers lose no more than others must have, and get no more than nobody has; of these as few
 * change their count as can be. */
static void check_kept(size_t member_count, const int32_t *owners, const int32_t *targets,
                       size_t count) {
    size_t before[MEMBERS] = {0}, after[MEMBERS] = {0}, low = count / member_count, others = 0;
    size_t fell = 0, rose = 0, least = SIZE_MAX, most = 0;

    for (size_t p = 0; p < count; p++) {
        CHECK(targets[p] >= 0 && (size_t)targets[p] < member_count);
        after[targets[p]]++;
        if (owners[p] >= 0) {
            before[owners[p]]++;
        }
    }
    for (size_t m = 0; m < member_count; m++) {
        if (!(keepers >> m & 1)) {
            others++;
            CHECK_EQ(low, after[m]);
            continue;
        }
        fell += after[m] < before[m];
        rose += after[m] > before[m];
        least = after[m] < least ? after[m] : least;
        most = after[m] > most ? after[m] : most;
    }
    CHECK(others > 0 || fell == 0);
    CHECK(fell == 0 || rose == 0);
    for (size_t m = 0; m < member_count; m++) {
        if (keepers >> m & 1) { /* only those who have most fall, those who have least rise */
            CHECK(after[m] >= before[m] || after[m] + 1 >= most);
            CHECK(after[m] <= before[m] || after[m] <= least + 1);
        }
    }
}

static void keepers_keep_what_the_others_need_not_have(void) {
    for (size_t m = 1; m <= MEMBERS; m++) {
        for (keepers = 1; keepers < 1U << m; keepers++) {
            for (size_t count = 0; count <= PARTITIONS; count++) {
                int32_t owners[PARTITIONS] = {-1, -1, -1, -1, -1, -1}, targets[PARTITIONS];

                do {
                    plan_equal(m, owners, targets, count);
                    check_kept(m, owners, targets, count);
                    if (count < PARTITIONS || m < MEMBERS) { /* else it takes a second */
                        check_steady(m, owners, targets, count);
                    }
                } while (next_assignment(m, owners, count));
            }
        }
    }
    keepers = 0;
}

/* Random weights and limits: nobody passes its limit, everybody is within one of its share, and
 * steps in random order never change the rest. */
static void weighted_plans_hold_too(void) {
    tmk_rng rng;

    tmk_rng_seed(&rng, 1);
    for (int life = 0; life < 20000; life++) {
        tmk_plan_member members[MEMBERS] = {0}, copy[MEMBERS];
        int32_t owners[PARTITIONS * 4], targets[PARTITIONS * 4], again[PARTITIONS * 4];
        size_t m = 1 + tmk_rng_below(&rng, MEMBERS),
               count = tmk_rng_below(&rng, PARTITIONS * 4 + 1);
        uint64_t weight = 0;
        bool limited = tmk_rng_chance(&rng, 0.5), keeping = tmk_rng_chance(&rng, 0.5);

        for (size_t i = 0; i < m; i++) {
            members[i].weight = (uint32_t)tmk_rng_below(&rng, 4) * 50;
            members[i].most = limited ? (uint32_t)tmk_rng_below(&rng, 8) : 0;
            members[i].keeps = keeping && tmk_rng_chance(&rng, 0.5);
            weight += members[i].weight;
        }
        for (size_t p = 0; p < count; p++) {
            owners[p] = (int32_t)tmk_rng_below(&rng, m + 1) - 1;
        }
        memcpy(copy, members, sizeof copy);
        tmk_plan(members, m, owners, targets, count);
        for (size_t i = 0; i < m; i++) {
            CHECK(members[i].has <= members[i].quota);
            CHECK(members[i].weight > 0 || members[i].quota == 0);
            CHECK(members[i].most == 0 || members[i].quota <= members[i].most);
            if (!limited && !keeping && weight > 0) {
                int64_t off =
                    (int64_t)(members[i].quota * weight) - (int64_t)(count * members[i].weight);
                CHECK(off < (int64_t)weight && -off < (int64_t)weight);
                CHECK_EQ(members[i].quota, members[i].has);
            }
        }
        for (int step = 0; step < 8; step++) {
            for (size_t p = 0; p < count; p++) {
                owners[p] = tmk_rng_chance(&rng, 0.2) ? targets[p] : owners[p];
            }
            memcpy(members, copy, sizeof copy);
            tmk_plan(members, m, owners, again, count);
            CHECK(memcmp(again, targets, count * sizeof *again) == 0);
        }
    }
}

static void nobody_gets_what_there_is_no_room_for(void) {
    tmk_plan_member members[2] = {{.weight = 100, .most = 2}, {.weight = 100, .most = 1}};
    int32_t owners[5] = {-1, -1, -1, -1, -1}, targets[5];

    tmk_plan(members, 2, owners, targets, 5);
    CHECK_EQ(0, targets[0]);
    CHECK_EQ(0, targets[1]);
    CHECK_EQ(1, targets[2]);
    CHECK_EQ(TMK_PLAN_NOBODY, targets[3]);
    CHECK_EQ(TMK_PLAN_NOBODY, targets[4]);
}

static void without_members_there_is_no_plan(void) {
    int32_t owners[2] = {-1, -1}, targets[2] = {7, 7};

    tmk_plan(NULL, 0, owners, targets, 2);
    CHECK_EQ(TMK_PLAN_NOBODY, targets[0]);
    CHECK_EQ(TMK_PLAN_NOBODY, targets[1]);
}

static int64_t now_us(void) {
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The bound is 5 ms; ten times that, so that a sanitizer or a busy machine does not fail it. */
static void a_large_plan_is_quick(void) {
    enum { LARGE = 2000, MANY = 500 };
    static tmk_plan_member members[MANY];
    static int32_t owners[LARGE], targets[LARGE];
    int64_t start = 0, took = 0;

    for (size_t m = 0; m < MANY; m++) {
        members[m] = (tmk_plan_member){.weight = 100, .most = m % 3 == 0 ? 3 : 0};
    }
    for (size_t p = 0; p < LARGE; p++) {
        owners[p] = (int32_t)(p % 7) - 1;
    }
    start = now_us();
    tmk_plan(members, MANY, owners, targets, LARGE);
    took = now_us() - start;
    print_message("# 2000 partitions, 500 members: %" PRId64 " us\n", took);
    CHECK(took < 50000);
}

int main(void) {
    return RUN(TEST(every_small_plan_is_balanced_sticky_and_steady), TEST(weighted_plans_hold_too),
               TEST(keepers_keep_what_the_others_need_not_have),
               TEST(nobody_gets_what_there_is_no_room_for), TEST(without_members_there_is_no_plan),
               TEST(a_large_plan_is_quick));
}
