/* Seeded randomness: repeatable, in range, and delays that obey their limits. */
#include "base/rng.h"

#include "base/backoff.h"
#include "support/check.h"

static void the_same_seed_gives_the_same_row(void) {
    tmk_rng a;
    tmk_rng b;

    tmk_rng_seed(&a, 42);
    tmk_rng_seed(&b, 42);
    for (int i = 0; i < 100; i++) {
        CHECK(tmk_rng_next(&a) == tmk_rng_next(&b));
    }
    tmk_rng_seed(&b, 43);
    CHECK(tmk_rng_next(&a) != tmk_rng_next(&b));
}

/* The generator is part of what makes a seed replay: its numbers may never change. */
static void the_row_of_a_seed_never_changes(void) {
    tmk_rng r = {{1, 2, 3, 4}};

    CHECK(tmk_rng_next(&r) == UINT64_C(11520));
    CHECK(tmk_rng_next(&r) == UINT64_C(0));
    CHECK(tmk_rng_next(&r) == UINT64_C(1509978240));
    CHECK(tmk_rng_next(&r) == UINT64_C(1215971899390074240));
}

static void numbers_stay_in_their_bounds(void) {
    tmk_rng r;
    int seen[3] = {0};

    tmk_rng_seed(&r, 1);
    for (int i = 0; i < 1000; i++) {
        double unit = tmk_rng_unit(&r);

        seen[tmk_rng_below(&r, 3)]++;
        CHECK(unit >= 0.0 && unit < 1.0);
        CHECK_EQ(0, tmk_rng_below(&r, 1));
        CHECK_EQ(-5, tmk_rng_between(&r, -5, -5));
        (void)tmk_rng_between(&r, INT64_MIN, INT64_MAX);
        CHECK(tmk_rng_between(&r, INT64_MIN, INT64_MIN + 1) <= INT64_MIN + 1);
    }
    CHECK(seen[0] > 250 && seen[1] > 250 && seen[2] > 250);
    CHECK(!tmk_rng_chance(&r, 0.0) && tmk_rng_chance(&r, 1.0));
}

static void seeds_of_the_system_differ(void) {
    tmk_rng a;
    tmk_rng b;

    tmk_rng_seed_system(&a);
    tmk_rng_seed_system(&b);
    CHECK(tmk_rng_next(&a) != tmk_rng_next(&b));
}

static void a_uuid_has_its_shape(void) {
    tmk_rng r;
    char uuid[37];

    tmk_rng_seed(&r, 9);
    for (int i = 0; i < 100; i++) {
        tmk_rng_uuid(&r, uuid);
        CHECK_EQ(36, strlen(uuid));
        CHECK(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-');
        CHECK_EQ('4', uuid[14]);
        CHECK(strchr("89ab", uuid[19]) != NULL);
        CHECK_EQ(36, strspn(uuid, "0123456789abcdef-"));
    }
}

static void bytes_fill_exactly(void) {
    tmk_rng r;
    uint8_t bytes[12] = {0};
    uint8_t sum = 0;

    tmk_rng_seed(&r, 3);
    tmk_rng_bytes(&r, bytes, 11);
    for (size_t i = 0; i < 11; i++) {
        sum |= bytes[i];
    }
    CHECK(sum != 0);
    CHECK_EQ(0, bytes[11]);
    tmk_rng_bytes(&r, NULL, 0);
}

static void delays_double_up_to_the_limit(void) {
    const tmk_backoff b = {100 * TMK_MS, 30 * TMK_SEC, 2.0, 0.0};
    tmk_rng r;

    tmk_rng_seed(&r, 1);
    CHECK_EQ(100 * TMK_MS, tmk_backoff_delay(&b, 0, &r));
    CHECK_EQ(100 * TMK_MS, tmk_backoff_delay(&b, 1, &r));
    CHECK_EQ(200 * TMK_MS, tmk_backoff_delay(&b, 2, &r));
    CHECK_EQ(25600 * TMK_MS, tmk_backoff_delay(&b, 9, &r));
    CHECK_EQ(30 * TMK_SEC, tmk_backoff_delay(&b, 10, &r));
    CHECK_EQ(30 * TMK_SEC, tmk_backoff_delay(&b, UINT32_MAX, &r));
}

static void fixed_delays_stay_fixed(void) {
    const tmk_backoff b = {TMK_SEC, TMK_NEVER, 1.0, 0.0};
    const tmk_backoff none = {0, TMK_SEC, 2.0, 0.5};
    tmk_rng r;

    tmk_rng_seed(&r, 1);
    CHECK_EQ(TMK_SEC, tmk_backoff_delay(&b, UINT32_MAX, &r));
    CHECK_EQ(0, tmk_backoff_delay(&none, UINT32_MAX, &r));
}

static void jitter_spreads_and_never_passes_the_limit(void) {
    const tmk_backoff b = {TMK_SEC, 4 * TMK_SEC, 2.0, 0.2};
    tmk_time least = TMK_NEVER;
    tmk_time most = 0;
    tmk_rng r;

    tmk_rng_seed(&r, 1);
    for (int i = 0; i < 1000; i++) {
        tmk_time delay = tmk_backoff_delay(&b, 2, &r);

        least = tmk_time_min(least, delay);
        most = delay > most ? delay : most;
        CHECK(tmk_backoff_delay(&b, 50, &r) <= 4 * TMK_SEC);
    }
    CHECK(least >= 1600 * TMK_MS && least < 1650 * TMK_MS);
    CHECK(most <= 2400 * TMK_MS && most > 2350 * TMK_MS);
}

int main(void) {
    return RUN(TEST(the_same_seed_gives_the_same_row), TEST(the_row_of_a_seed_never_changes),
               TEST(numbers_stay_in_their_bounds), TEST(seeds_of_the_system_differ),
               TEST(a_uuid_has_its_shape), TEST(bytes_fill_exactly),
               TEST(delays_double_up_to_the_limit), TEST(fixed_delays_stay_fixed),
               TEST(jitter_spreads_and_never_passes_the_limit));
}
