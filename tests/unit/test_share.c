/* The share that an instance takes beside processors that count. */
#include "core/share.h"

#include "support/check.h"
#include "support/failing.h"

enum { MOST = 64 };

typedef struct table {
    tmk_share_partition parts[MOST];
    const char *owners[MOST];
    size_t count;
    tmk_rng rng;
    tmk_share_terms terms;
    tmk_share_result result;
} table;

/* "aab.." : each letter is an owner, "." nobody, "s" ourselves. Capitals give when asked. */
static const char *name_of(char letter) {
    static char names[128][16];
    char *name = names[(int)letter];

    if (letter == '.' || letter == 's') {
        return "";
    }
    (void)snprintf(name, 16, letter >= 'A' && letter <= 'Z' ? "%c~00c0ffee" : "%c", letter);
    return name;
}

static void set(table *t, const char *owners) {
    memset(t, 0, sizeof *t);
    t->count = strlen(owners);
    tmk_rng_seed(&t->rng, 7);
    for (size_t i = 0; i < t->count; i++) {
        t->parts[i] = (tmk_share_partition){.owner = name_of(owners[i]), .ours = owners[i] == 's'};
    }
    t->terms = (tmk_share_terms){.self = "s~00c0ffee", .most = SIZE_MAX, .rng = &t->rng};
}

static size_t wants(table *t, tmk_share_want what) {
    size_t n = 0;

    for (size_t i = 0; i < t->count; i++) {
        n += t->parts[i].want == what;
    }
    return n;
}

static void share(table *t) {
    CHECK_EQ(TMK_OK, tmk_share(t->parts, t->count, &t->terms, &t->result));
    CHECK_EQ(t->result.wanted, t->count - wants(t, TMK_SHARE_NOTHING));
}

static void expect(const char *owners, size_t claims, size_t asks, size_t steals) {
    table t;

    set(&t, owners);
    share(&t);
    if (wants(&t, TMK_SHARE_CLAIM) != claims || wants(&t, TMK_SHARE_ASK) != asks ||
        wants(&t, TMK_SHARE_STEAL) != steals) {
        fail_msg("%s: %zu claims, %zu asked, %zu stolen", owners, wants(&t, TMK_SHARE_CLAIM),
                 wants(&t, TMK_SHARE_ASK), wants(&t, TMK_SHARE_STEAL));
    }
}

static void what_is_free_is_taken_up_to_the_share(void) {
    expect("........", 8, 0, 0);
    expect("a.......", 4, 0, 0);
    expect("aabb....", 3, 0, 0); /* 8 by 3: two have three, and nobody has yet */
    expect("aaabbb..", 2, 0, 0);
    expect("aaa.bbbs", 1, 0, 0);
    expect("ss.aabb", 1, 0, 0);
    expect("sss.aabb", 0, 0, 0); /* it belongs to those who have two */
}

static void what_is_fair_is_left_alone(void) {
    expect("aabbss", 0, 0, 0);
    expect("aaabbbss", 0, 0, 0);
    expect("aaabbsss", 0, 0, 0);
    expect("abs", 0, 0, 0);
    expect("abc", 0, 0, 0); /* three partitions, four owners: somebody has none */
    expect("AABBss", 0, 0, 0);
}

static void one_is_stolen_a_round_and_only_from_whoever_has_more(void) {
    expect("aaaaaaaa", 0, 0, 1);
    expect("aaaabb", 0, 0, 1);
    expect("aaaass", 0, 0, 1);
    expect("aaaabbss", 0, 0, 1); /* at the floor: from whoever has two more */
    expect("aaaabss", 0, 0, 0);  /* b is below its share: it comes first */
}

static void those_who_give_are_asked_for_all_that_is_missing(void) {
    expect("AAAAAAAA", 0, 4, 0);
    expect("AAAABBBB", 0, 2, 0);
    expect("AAAAAbbbbb", 0, 2, 1); /* and the others are not spared for it */
    expect("AAAAAAs", 0, 2, 0);
}

static void what_was_asked_for_counts_until_it_is_overdue(void) {
    table t;

    set(&t, "AAAAAAAA");
    t.parts[0].asked = t.parts[1].asked = true;
    share(&t);
    CHECK_EQ(2, wants(&t, TMK_SHARE_ASK));
    CHECK_EQ(TMK_SHARE_NOTHING, t.parts[0].want);

    set(&t, "AAAAAAAA");
    t.parts[3].asked = t.parts[3].overdue = true;
    share(&t);
    CHECK_EQ(TMK_SHARE_STEAL, t.parts[3].want);
    CHECK_EQ(1, wants(&t, TMK_SHARE_STEAL));
    CHECK_EQ(3, wants(&t, TMK_SHARE_ASK));
}

static void whoever_finds_nobody_takes_one_first(void) {
    table t;

    set(&t, "........");
    t.terms.announce = true;
    share(&t);
    CHECK_EQ(1, wants(&t, TMK_SHARE_CLAIM));
    set(&t, "...s....");
    t.terms.announce = true;
    share(&t);
    CHECK_EQ(0, t.result.wanted);
}

static void limits_are_kept_and_what_nobody_wants_is_taken_in_the_end(void) {
    table t;

    set(&t, "........");
    t.terms.most = 3;
    share(&t);
    CHECK_EQ(3, wants(&t, TMK_SHARE_CLAIM));

    set(&t, "aaabb.sss");
    share(&t);
    CHECK_EQ(0, t.result.wanted);
    t.parts[5].left = true;
    share(&t);
    CHECK_EQ(TMK_SHARE_CLAIM, t.parts[5].want);
}

static void those_who_see_the_same_do_not_want_the_same(void) {
    static const char *const selves[] = {"A~00c0ffee", "B~00c0ffee", "C~00c0ffee"};
    size_t wanted[12] = {0};

    for (size_t me = 0; me < 3; me++) {
        table t;

        set(&t, "ABC.........");
        t.parts[me].ours = true;
        t.parts[me].owner = "";
        t.terms.self = selves[me];
        share(&t);
        CHECK_EQ(3, wants(&t, TMK_SHARE_CLAIM));
        for (size_t i = 0; i < 12; i++) {
            wanted[i] += t.parts[i].want == TMK_SHARE_CLAIM;
        }
    }
    for (size_t i = 3; i < 12; i++) {
        CHECK_EQ(1, wanted[i]);
    }
}

/* Rounds in any order by instances that all follow the rules end fair, and then nothing moves. */
static void any_beginning_ends_fair_and_stays_so(void) {
    tmk_rng rng;

    tmk_rng_seed(&rng, 11);
    for (int life = 0; life < 2000; life++) {
        size_t owners = 1 + tmk_rng_below(&rng, 7), count = 1 + tmk_rng_below(&rng, 24), idle = 0;
        char state[MOST + 1] = "";

        for (size_t i = 0; i < count; i++) {
            size_t who = tmk_rng_below(&rng, owners + 1);
            state[i] = who == owners ? '.' : (char)((who % 2 == 0 ? 'a' : 'A') + who);
        }
        for (int round = 0; round < 4000 && idle < 200; round++) {
            size_t me = tmk_rng_below(&rng, owners);
            char letter = (char)((me % 2 == 0 ? 'a' : 'A') + me);
            table t;

            set(&t, state);
            t.terms.self = name_of(letter);
            t.rng = rng;
            for (size_t i = 0; i < count; i++) {
                t.parts[i].ours = state[i] == letter;
            }
            share(&t);
            rng = t.rng;
            for (size_t i = 0; i < count; i++) {
                state[i] = t.parts[i].want == TMK_SHARE_NOTHING ? state[i] : letter;
            }
            idle = t.result.wanted == 0 ? idle + 1 : 0;
        }
        CHECK_EQ(200, idle);
        size_t low = SIZE_MAX, high = 0;
        for (size_t o = 0; o < owners; o++) {
            size_t n = 0;
            for (size_t i = 0; i < count; i++) {
                n += state[i] == (char)((o % 2 == 0 ? 'a' : 'A') + o);
            }
            low = n < low ? n : low;
            high = n > high ? n : high;
        }
        CHECK(strchr(state, '.') == NULL);
        CHECK(high - low <= 1);
    }
}

static void the_names_of_lives_are_told_from_those_of_others(void) {
    CHECK(tmk_share_gives("worker-1~8ece10c5"));
    CHECK(tmk_share_gives("a~b~00000000"));
    CHECK(!tmk_share_gives("36aff191-697a-4f83-b657-d11535dd268d"));
    CHECK(!tmk_share_gives("worker~1234567"));
    CHECK(!tmk_share_gives("worker~123456789"));
    CHECK(!tmk_share_gives("worker~1234567G"));
    CHECK(!tmk_share_gives(""));
}

static bool scenario(void) {
    table t;
    bool good;

    set(&t, "aaBBBBcc..");
    good = tmk_share(t.parts, t.count, &t.terms, &t.result) == TMK_OK;
    CHECK(good || wants(&t, TMK_SHARE_NOTHING) == t.count);
    return good;
}

static void without_memory_nothing_is_wanted(void) {
    failing_each(scenario);
}

int main(void) {
    return RUN(TEST(what_is_free_is_taken_up_to_the_share), TEST(what_is_fair_is_left_alone),
               TEST(one_is_stolen_a_round_and_only_from_whoever_has_more),
               TEST(those_who_give_are_asked_for_all_that_is_missing),
               TEST(what_was_asked_for_counts_until_it_is_overdue),
               TEST(whoever_finds_nobody_takes_one_first),
               TEST(limits_are_kept_and_what_nobody_wants_is_taken_in_the_end),
               TEST(those_who_see_the_same_do_not_want_the_same),
               TEST(any_beginning_ends_fair_and_stays_so),
               TEST(the_names_of_lives_are_told_from_those_of_others),
               TEST(without_memory_nothing_is_wanted));
}
