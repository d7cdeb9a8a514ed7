/* Many at once: one wins, nothing is lost in between. */
#include "contract/suite.h"

#include <stdio.h>
#include <string.h>

/* All claim under the same version; returns who has won, or -1. */
static int race_for(suite *s, const char *id, const char *version, int64_t generation,
                    bool take_over) {
    tmk_partition_record r = record_of("", generation, 0, NULL);
    tmk_store_op ops[SUITE_RACERS_MAX];
    tmk_partition_record records[SUITE_RACERS_MAX];
    char owners[SUITE_RACERS_MAX][32];
    const tmk_store_result *replies[SUITE_RACERS_MAX];
    size_t winners = 0;
    int winner = -1;

    for (size_t i = 0; i < s->c.racers; i++) {
        (void)snprintf(owners[i], sizeof owners[i], "racer-%zu", i);
        records[i] = r;
        records[i].owner = owners[i];
        ops[i] = partition_op(s, TMK_STORE_PARTITION_CLAIM, id, i, version, &records[i]);
        ops[i].take_over = take_over;
    }
    suite_race(s, ops, s->c.racers, replies);
    for (size_t i = 0; i < s->c.racers; i++) {
        if (replies[i]->status == TMK_OK) {
            winners++;
            winner = (int)i;
        } else {
            (void)expect_status(s, TMK_CONFLICT, replies[i], "a racing claim that lost");
        }
    }
    (void)expect(s, winners == 1, "of %u racing claims %zu were granted", s->c.racers, winners);
    if (winner >= 0) {
        const tmk_partition_record *p = seen_partition(s, id);
        (void)expect(s, strcmp(p->owner, owners[winner]) == 0 && p->held,
                     "'%s' was granted the claim, the record names '%s'", owners[winner], p->owner);
    }
    return winner;
}

static void expect_only_writer(suite *s, const char *id, int winner, int64_t generation) {
    for (size_t i = 0; winner >= 0 && i < s->c.racers; i += i == 0 ? 1 : i) {
        bool won = (int)i == winner;
        (void)expect_status(s, won ? TMK_OK : TMK_CONFLICT,
                            write_at(s, id, i, "", generation, 100 + (int64_t)i),
                            won ? "the winner writes" : "a loser writes");
    }
}

static void of_racing_first_claims_one_wins(suite *s) {
    for (int64_t round = 0; round < 3; round++) {
        char id[16];
        (void)snprintf(id, sizeof id, "%lld", (long long)round);
        expect_only_writer(s, id, race_for(s, id, "", 1, false), 1);
    }
}

static void of_racing_claims_on_the_free_one_wins(suite *s) {
    (void)expect_status(s, TMK_OK, claim(s, "0", SUITE_RACERS_MAX, "", 1, false), "claiming");
    (void)expect_status(s, TMK_OK, write_at(s, "0", SUITE_RACERS_MAX, "", 1, 10), "writing");
    (void)expect_status(s, TMK_OK, release(s, "0", SUITE_RACERS_MAX), "releasing");
    expect_only_writer(s, "0", race_for(s, "0", seen_partition(s, "0")->version, 2, false), 2);
}

static void of_racing_take_overs_one_wins(suite *s) {
    (void)expect_status(s, TMK_OK, claim(s, "0", SUITE_RACERS_MAX, "", 1, false), "claiming");
    (void)expect_status(s, TMK_OK, write_at(s, "0", SUITE_RACERS_MAX, "", 1, 10), "writing");
    expect_only_writer(s, "0", race_for(s, "0", seen_partition(s, "0")->version, 2, true), 2);
    (void)expect_status(s, TMK_CONFLICT, write_at(s, "0", SUITE_RACERS_MAX, "", 1, 11),
                        "who held it before writes");
}

/* While the claim is passed on, nobody else gets in, not for a moment. */
static void a_pass_leaves_no_gap(suite *s) {
    enum { PASSES = 4, COUNT = 16 };
    tmk_store_op ops[COUNT];
    tmk_partition_record intruder = record_of("intruder", 9, 0, NULL);
    const tmk_store_result *replies[COUNT];

    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    for (size_t n = 1; n <= PASSES; n++) {
        const char *version = seen_partition(s, "0")->version;

        for (size_t i = 0; i < COUNT; i++) {
            ops[i] = partition_op(s, TMK_STORE_PARTITION_CLAIM, "0", 40 + i, version, &intruder);
        }
        ops[COUNT / 2] = partition_op(s, TMK_STORE_PARTITION_PASS, "0", n, "", NULL);
        ops[COUNT / 2].token_next = token(s, n + 1);
        suite_race(s, ops, COUNT, replies);
        for (size_t i = 0; i < COUNT; i++) {
            (void)expect_status(s, i == COUNT / 2 ? TMK_OK : TMK_CONFLICT, replies[i],
                                i == COUNT / 2 ? "the pass" : "a claim during a pass");
        }
    }
    (void)expect_status(s, TMK_OK, write_at(s, "0", PASSES + 1, "", 2, 5), "the last one writes");
}

/* One claims by force while the holder writes: whatever the order, a version is used once. */
static void a_version_is_used_once(suite *s) {
    enum { COUNT = 8 };
    tmk_partition_record holder[COUNT];
    tmk_partition_record thief = record_of("owner-2", 2, 0, NULL);
    tmk_store_op ops[COUNT];
    const tmk_store_result *replies[COUNT];
    size_t granted = 0;

    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    for (int round = 0; round < 5; round++) {
        const char *version = seen_partition(s, "0")->version;

        granted = 0;
        for (size_t i = 0; i < COUNT; i++) {
            holder[i] = record_of("owner-1", 1, round * COUNT + (int64_t)i, "4096");
            ops[i] = partition_op(s, TMK_STORE_PARTITION_WRITE, "0", 1, version, &holder[i]);
        }
        ops[COUNT - 1] = partition_op(s, TMK_STORE_PARTITION_CLAIM, "0", 2, version, &thief);
        ops[COUNT - 1].take_over = true;
        suite_race(s, ops, COUNT, replies);
        for (size_t i = 0; i < COUNT; i++) {
            granted += replies[i]->status == TMK_OK;
        }
        (void)expect(s, granted == 1, "under one version %zu operations were granted", granted);
        if (replies[COUNT - 1]->status == TMK_OK) {
            break;
        }
    }
}

/* The other way round: writers without a version beside a take-over, none after it. */
static void a_take_over_ends_all_writes(suite *s) {
    enum { COUNT = 8 };
    tmk_partition_record holder = record_of("owner-1", 1, 11, "4096");
    tmk_store_op ops[COUNT];
    const tmk_store_result *replies[COUNT];
    tmk_status taken = TMK_CONFLICT;

    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    for (size_t i = 0; i < COUNT; i++) {
        ops[i] = partition_op(s, TMK_STORE_PARTITION_WRITE, "0", 1, "", &holder);
    }
    suite_race(s, ops, COUNT, replies);
    for (size_t i = 0; i < COUNT; i++) {
        (void)expect_status(s, TMK_OK, replies[i], "the holder writes");
    }
    taken = claim(s, "0", 2, seen_partition(s, "0")->version, 2, true)->status;
    (void)expect(s, taken == TMK_OK, "taking over: %s", tmk_status_name(taken));
    suite_race(s, ops, COUNT, replies);
    for (size_t i = 0; i < COUNT; i++) {
        (void)expect_status(s, TMK_CONFLICT, replies[i], "the former holder writes");
    }
    (void)expect(s, strcmp(seen_partition(s, "0")->owner, "owner-2") == 0,
                 "a late write put the former owner back");
}

const suite_check suite_checks_race[] = {
    {"of racing first claims one wins", of_racing_first_claims_one_wins, true, true},
    {"of racing claims on the free one wins", of_racing_claims_on_the_free_one_wins, true, true},
    {"of racing take-overs one wins", of_racing_take_overs_one_wins, true, true},
    {"a pass leaves no gap", a_pass_leaves_no_gap, true, false},
    {"a version is used once", a_version_is_used_once, true, false},
    {"a take-over ends all writes", a_take_over_ends_all_writes, true, true},
    {NULL, NULL, false, false}};
