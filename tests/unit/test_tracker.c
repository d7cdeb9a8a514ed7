/* The tracker against an oracle that keeps one flag an event. */
#include "core/tracker.h"

#include "base/rng.h"
#include "support/bursts.h"
#include "support/check.h"
#include "support/failing.h"

enum { EVENTS_MAX = 4096 };

static const tmk_position beginning = {.sequence = -1, .enqueued_ms = -1};

/* What must be true, kept as simply as can be. */
typedef struct oracle {
    int64_t start;
    int64_t sequence[EVENTS_MAX]; /* by ordinal */
    uint32_t burst[EVENTS_MAX];
    bool final[EVENTS_MAX];
    uint32_t count, bursts;
} oracle;

static void oracle_admit(oracle *o, const tmk_burst *b) {
    for (uint32_t i = 0; i < b->count; i++) {
        o->sequence[o->count] = b->events[i].sequence;
        o->burst[o->count] = o->bursts;
        o->final[o->count++] = false;
    }
    o->bursts++;
}

static uint32_t oracle_low(const oracle *o) {
    uint32_t low = 0;

    while (low < o->count && o->final[low]) {
        low++;
    }
    return low;
}

static uint32_t oracle_bursts_held(const oracle *o) {
    uint32_t held = 0;

    for (uint32_t i = 0; i < o->count;) {
        uint32_t burst = o->burst[i];
        bool open = false;

        for (; i < o->count && o->burst[i] == burst; i++) {
            open = open || !o->final[i];
        }
        held += open;
    }
    return held;
}

static void check_water(const tmk_tracker *t, const oracle *o) {
    uint32_t low = oracle_low(o);
    int64_t sequence = low == 0 ? o->start : o->sequence[low - 1];
    tmk_position water;
    char offset[32];

    tmk_tracker_water(t, &water);
    CHECK_EQ(sequence, water.sequence);
    CHECK_EQ(sequence, tmk_tracker_water_sequence(t));
    if (low > 0) {
        (void)snprintf(offset, sizeof offset, "%" PRId64, 10 * sequence);
        CHECK_STR(offset, water.offset);
        CHECK_EQ(1000 + sequence, water.enqueued_ms);
    }
}

/* Every final event above the water is in the map, no unfinished one is, nor one that never came.
 */
static void check_map(const tmk_tracker *t, const oracle *o) {
    uint8_t bytes[TMK_DONE_MAP_ROOM * 8];
    tmk_done_map m = {0};
    tmk_slice map;
    uint64_t events = 0, expected = 0;

    CHECK(tmk_tracker_map(t, bytes, TMK_DONE_MAP_ROOM, &map, &events));
    CHECK_EQ(TMK_OK, tmk_done_map_read(map, &m, NULL));
    CHECK_EQ(tmk_tracker_water_sequence(t), m.base);
    for (uint32_t i = oracle_low(o); i < o->count; i++) {
        CHECK_EQ(o->final[i], tmk_ranges_has(&m.ranges, o->sequence[i]));
        expected += o->final[i];
    }
    CHECK_EQ(expected, events);
    CHECK(m.ranges.count == 0 ||
          m.ranges.items[m.ranges.count - 1].to <= o->sequence[o->count - 1]);
    tmk_done_map_clear(&m);
}

static void check_all(const tmk_tracker *t, const oracle *o) {
    uint64_t unfinished = 0;

    for (uint32_t i = 0; i < o->count; i++) {
        unfinished += !o->final[i];
        CHECK_EQ(o->final[i], tmk_tracker_is_final(t, i));
        if (!o->final[i]) {
            CHECK_EQ(o->sequence[i], tmk_tracker_event(t, i)->sequence);
        }
    }
    CHECK_EQ(unfinished, tmk_tracker_unfinished(t));
    CHECK_EQ(unfinished == 0, tmk_tracker_oldest(t) == TMK_NEVER);
    CHECK_EQ(oracle_bursts_held(o) == 0, t->held_bytes == 0);
    check_water(t, o);
    check_map(t, o);
}

static void admit(tmk_tracker *t, oracle *o, tmk_burst *b) {
    uint64_t first = 0;

    CHECK(b != NULL);
    CHECK_EQ(TMK_OK, tmk_tracker_admit(t, b, 0, b->count, 1, 5, &first));
    CHECK_EQ(o->count, first);
    oracle_admit(o, b);
}

static void finish(tmk_tracker *t, oracle *o, uint32_t first, uint32_t count) {
    tmk_tracker_finish(t, first, count);
    for (uint32_t i = first; i < first + count; i++) {
        o->final[i] = true;
    }
}

/* ---- all small cases ---- */

enum { SMALL = 6 };

/* Bit i of `cuts`: a new burst begins behind event i. */
static void run_small(tmk_burst_pool *pool, unsigned cuts, const uint32_t *order, int64_t step) {
    static oracle o;
    tmk_tracker t;
    uint32_t from = 0;

    o = (oracle){.start = -1};
    tmk_tracker_init(&t, &beginning, NULL);
    for (uint32_t i = 0; i < SMALL; i++) {
        if (i == SMALL - 1 || (cuts >> i & 1) != 0) {
            admit(&t, &o, bursts_make(pool, from * step, i + 1 - from, step, 0));
            from = i + 1;
        }
    }
    for (uint32_t i = 0; i < SMALL; i++) {
        finish(&t, &o, order[i], 1);
        check_all(&t, &o);
    }
    CHECK_EQ(SMALL, t.low);
    tmk_tracker_clear(&t);
}

static void permute(tmk_burst_pool *pool, unsigned cuts, uint32_t *order, uint32_t at) {
    if (at == SMALL) {
        run_small(pool, cuts, order, 1 + (int64_t)(cuts % 3));
        return;
    }
    for (uint32_t i = at; i < SMALL; i++) {
        uint32_t kept = order[at];

        order[at] = order[i];
        order[i] = kept;
        permute(pool, cuts, order, at + 1);
        order[i] = order[at];
        order[at] = kept;
    }
}

static void every_order_of_six_events_in_every_cutting(void) {
    tmk_burst_pool *pool = NULL;
    uint32_t order[SMALL] = {0, 1, 2, 3, 4, 5};

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(1 << 20, &pool, NULL));
    for (unsigned cuts = 0; cuts < 1U << (SMALL - 1); cuts++) {
        permute(pool, cuts, order, 0);
    }
    pool = tmk_burst_pool_free(pool);
}

/* ---- random ones ---- */

static void admit_some(tmk_tracker *t, oracle *o, tmk_burst_pool *pool, tmk_rng *rng) {
    uint32_t count = (uint32_t)tmk_rng_between(rng, 1, 70);
    int64_t last = o->count == 0 ? o->start : o->sequence[o->count - 1];

    if (o->count + count <= EVENTS_MAX) {
        admit(t, o,
              bursts_make(pool, last + tmk_rng_between(rng, 1, 3), count,
                          tmk_rng_between(rng, 1, 3), 0));
    }
}

/* A row of unfinished events somewhere, near the low end more often than not. */
static void finish_some(tmk_tracker *t, oracle *o, tmk_rng *rng) {
    uint32_t low = oracle_low(o);
    uint32_t first = low;
    uint32_t count = 0;
    uint32_t most = (uint32_t)tmk_rng_between(rng, 1, 100);

    if (low == o->count) {
        return;
    }
    if (tmk_rng_chance(rng, 0.7)) {
        first += (uint32_t)tmk_rng_below(rng, o->count - low);
    }
    while (first + count < o->count && count < most && !o->final[first + count]) {
        count++;
    }
    if (count > 0) {
        finish(t, o, first, count);
    }
}

static void random_schedules_agree_with_the_oracle(void) {
    static oracle o;
    tmk_burst_pool *pool = NULL;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(1 << 20, &pool, NULL));
    for (uint64_t seed = 1; seed <= 12; seed++) {
        tmk_tracker t;
        tmk_rng rng;

        tmk_rng_seed(&rng, seed);
        o = (oracle){.start = -1};
        tmk_tracker_init(&t, &beginning, NULL);
        for (int step = 0; step < 400; step++) {
            if (tmk_rng_chance(&rng, 0.3)) {
                admit_some(&t, &o, pool, &rng);
            } else {
                finish_some(&t, &o, &rng);
            }
            check_water(&t, &o);
            if (step % 20 == 0 && o.count > 0) {
                check_all(&t, &o);
            }
        }
        tmk_tracker_clear(&t);
    }
    pool = tmk_burst_pool_free(pool);
}

/* ---- single rules ---- */

static void a_late_start_keeps_its_position_until_something_is_final(void) {
    tmk_position start = {.sequence = 41, .enqueued_ms = 7, .offset = "abc"};
    tmk_burst_pool *pool = NULL;
    tmk_position water;
    tmk_tracker t;
    uint64_t first = 0;
    tmk_burst *b = NULL;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(0, &pool, NULL));
    tmk_tracker_init(&t, &start, NULL);
    b = bursts_make(pool, 50, 3, 1, 0);
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, b, 1, 2, 1, 9, &first)); /* 50 was not for us */
    tmk_tracker_finish(&t, 1, 1);
    tmk_tracker_water(&t, &water);
    CHECK_EQ(41, water.sequence);
    CHECK_STR("abc", water.offset);
    CHECK_EQ(9, tmk_tracker_oldest(&t));
    CHECK_EQ(52, t.newest);
    tmk_tracker_finish(&t, 0, 1);
    CHECK_EQ(52, tmk_tracker_water_sequence(&t));
    tmk_tracker_clear(&t);
    pool = tmk_burst_pool_free(pool);
}

/* After a restart the inherited part stays in the map until it has come again. */
static void what_was_final_before_stays_in_the_map(void) {
    tmk_position start = {.sequence = 10, .enqueued_ms = -1};
    tmk_burst_pool *pool = NULL;
    tmk_ranges before = {0};
    tmk_done_map m = {0};
    uint8_t bytes[TMK_DONE_MAP_ROOM];
    tmk_tracker t;
    tmk_slice map;
    uint64_t first = 0, events = 9;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(0, &pool, NULL));
    CHECK_EQ(TMK_OK, tmk_ranges_add(&before, 5, 5)); /* below the start: no use */
    CHECK_EQ(TMK_OK, tmk_ranges_add(&before, 14, 20));
    CHECK_EQ(TMK_OK, tmk_ranges_add(&before, 30, 31));
    tmk_tracker_init(&t, &start, &before);
    CHECK_EQ(0, before.count);
    CHECK(!tmk_tracker_known(&t, 5));
    CHECK(tmk_tracker_known(&t, 14));
    CHECK(!tmk_tracker_known(&t, 21));
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, bursts_make(pool, 11, 6, 1, 0), 0, 6, 1, 0, &first));
    tmk_tracker_finish(&t, 3, 3); /* 14, 15, 16 come again and are known */
    CHECK(tmk_tracker_map(&t, bytes, sizeof bytes, &map, &events));
    CHECK_EQ(3, events);
    CHECK_EQ(TMK_OK, tmk_done_map_read(map, &m, NULL));
    CHECK_EQ(2, m.ranges.count);
    CHECK_EQ(14, m.ranges.items[0].from);
    CHECK_EQ(20, m.ranges.items[0].to);
    CHECK_EQ(30, m.ranges.items[1].from);
    tmk_done_map_clear(&m);
    tmk_tracker_clear(&t);
    pool = tmk_burst_pool_free(pool);
}

static void a_map_that_does_not_fit_keeps_the_nearest(void) {
    tmk_burst_pool *pool = NULL;
    tmk_tracker t;
    uint8_t bytes[TMK_DONE_MAP_ROOM];
    tmk_done_map m = {0};
    tmk_slice map;
    uint64_t first = 0, events = 0;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(0, &pool, NULL));
    tmk_tracker_init(&t, &beginning, NULL);
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, bursts_make(pool, 0, 100, 1, 0), 0, 100, 1, 0, &first));
    for (uint64_t i = 1; i < 100; i += 2) {
        tmk_tracker_finish(&t, i, 1);
    }
    CHECK(!tmk_tracker_map(&t, bytes, 40, &map, &events));
    CHECK_EQ(TMK_OK, tmk_done_map_read(map, &m, NULL));
    CHECK_EQ(events, m.ranges.count);
    CHECK(events > 0 && events < 50);
    CHECK_EQ(1, m.ranges.items[0].from);
    CHECK_EQ(2 * (int64_t)events - 1, m.ranges.items[events - 1].to);
    tmk_done_map_clear(&m);
    tmk_tracker_clear(&t);
    pool = tmk_burst_pool_free(pool);
}

/* What was final before comes behind what is final now, and the first to be left out. */
static void an_inherited_part_that_does_not_fit_is_left_out(void) {
    tmk_burst_pool *pool = NULL;
    tmk_ranges before = {0};
    tmk_tracker t;
    uint8_t bytes[TMK_DONE_MAP_ROOM];
    tmk_done_map m = {0};
    tmk_slice map;
    uint64_t first = 0, events = 0;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(0, &pool, NULL));
    for (int64_t i = 0; i < 100; i++) {
        CHECK_EQ(TMK_OK, tmk_ranges_add(&before, 1000 + 2 * i, 1000 + 2 * i));
    }
    tmk_tracker_init(&t, &beginning, &before);
    CHECK_EQ(-1, tmk_tracker_oldest_enqueued_ms(&t)); /* nothing is open */
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, bursts_make(pool, 0, 4, 1, 0), 0, 4, 1, 0, &first));
    tmk_tracker_finish(&t, 2, 1);
    CHECK(!tmk_tracker_map(&t, bytes, TMK_DONE_MAP_EMPTY + 12, &map, NULL));
    CHECK_EQ(TMK_OK, tmk_done_map_read(map, &m, NULL));
    CHECK(m.ranges.count > 1 && m.ranges.count < 101);
    CHECK_EQ(2, m.ranges.items[0].from);
    CHECK_EQ(1000, m.ranges.items[1].from);
    tmk_done_map_clear(&m);
    CHECK(tmk_tracker_map(&t, bytes, sizeof bytes, &map, &events));
    CHECK_EQ(1, events);
    tmk_tracker_clear(&t);
    pool = tmk_burst_pool_free(pool);
}

static void bursts_that_are_left_can_be_given_away(void) {
    tmk_burst_pool *pool = NULL;
    tmk_tracker t;
    tmk_list bursts;
    uint64_t first = 0;
    tmk_burst *twice = NULL;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(0, &pool, NULL));
    tmk_tracker_init(&t, &beginning, NULL);
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, bursts_make(pool, 0, 4, 1, 0), 0, 4, 1, 0, &first));
    twice = bursts_make(pool, 4, 4, 1, 0);
    tmk_burst_ref(twice);
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, twice, 0, 1, 1, 0, &first));
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, twice, 2, 2, 1, 0, &first));
    tmk_tracker_finish(&t, 0, 4);
    tmk_list_init(&bursts);
    tmk_tracker_detach(&t, &bursts);
    CHECK(tmk_list_pop_front(&bursts) == &twice->node);
    CHECK(tmk_list_empty(&bursts));
    CHECK_EQ(1, twice->references);
    tmk_burst_drop(twice);
    pool = tmk_burst_pool_free(pool);
}

static void a_very_long_offset_is_forgotten(void) {
    tmk_burst_pool *pool = NULL;
    tmk_tracker t;
    tmk_position water;
    uint64_t first = 0;
    tmk_burst *b = NULL;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(0, &pool, NULL));
    tmk_tracker_init(&t, &beginning, NULL);
    b = bursts_make(pool, 0, 64, 1, 0);
    b->events[0].offset_size = TMK_OFFSET_ROOM; /* the texts of the others follow it */
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, b, 0, 64, 1, 0, &first));
    tmk_tracker_finish(&t, 0, 1);
    tmk_tracker_water(&t, &water);
    CHECK_EQ(0, water.sequence);
    CHECK_STR("", water.offset);
    tmk_tracker_clear(&t);
    pool = tmk_burst_pool_free(pool);
}

static bool admit_and_finish(void) {
    tmk_burst_pool *pool = NULL;
    tmk_tracker t;
    uint64_t first = 0;
    bool good = tmk_burst_pool_new(1 << 20, &pool, NULL) == TMK_OK;

    tmk_tracker_init(&t, &beginning, NULL);
    for (int i = 0; good && i < 20; i++) {
        tmk_burst *b = bursts_make(pool, t.newest + 1, 40, 1, 0);
        uint64_t high = t.high;

        good = b != NULL && tmk_tracker_admit(&t, b, 0, 40, 1, 0, &first) == TMK_OK;
        if (!good) {
            tmk_burst_drop(b);
            CHECK_EQ(high, t.high); /* nothing has changed */
        } else if (i % 3 != 0) {
            tmk_tracker_finish(&t, first, 40);
        }
    }
    tmk_tracker_clear(&t);
    pool = tmk_burst_pool_free(pool);
    return good;
}

static void without_memory_nothing_changes(void) {
    failing_each(admit_and_finish);
}

/* In order, nothing is allocated once warm, however long it goes on. */
static void a_warm_tracker_needs_no_memory(void) {
    tmk_burst_pool *pool = NULL;
    tmk_tracker t;
    uint64_t first = 0;
    size_t calls = 0;

    failing_count();
    CHECK_EQ(TMK_OK, tmk_burst_pool_new(1 << 20, &pool, NULL));
    tmk_tracker_init(&t, &beginning, NULL);
    for (int i = 0; i < 1000; i++) {
        tmk_burst *b = bursts_make(pool, t.newest + 1, 64, 1, 0);

        CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, b, 0, 64, 1, 0, &first));
        tmk_tracker_finish(&t, first + 10, 54);
        tmk_tracker_finish(&t, first, 10);
        calls = i == 10 ? failing_calls() : calls;
    }
    CHECK_EQ(calls, failing_calls());
    tmk_tracker_clear(&t);
    pool = tmk_burst_pool_free(pool);
    CHECK_EQ(0, failing_live());
    failing_end();
}

/* Ten thousand bursts waited for one event; afterwards their memory is not kept for ever. */
static void memory_of_a_bad_time_is_given_back(void) {
    tmk_burst_pool *pool = NULL;
    tmk_tracker t;
    uint64_t first = 0;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(1 << 20, &pool, NULL));
    tmk_tracker_init(&t, &beginning, NULL);
    for (int i = 0; i < 10000; i++) {
        CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, bursts_make(pool, i, 1, 1, 0), 0, 1, 1, 0, &first));
        if (i > 0) {
            tmk_tracker_finish(&t, first, 1);
        }
    }
    CHECK(t.entry_room >= 10000);
    tmk_tracker_finish(&t, 0, 1);
    CHECK_EQ(9999, tmk_tracker_water_sequence(&t));
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&t, bursts_make(pool, 10000, 1, 1, 0), 0, 1, 1, 0, &first));
    CHECK(t.entry_room < 100);
    tmk_tracker_finish(&t, first, 1);
    CHECK_EQ(10000, tmk_tracker_water_sequence(&t));
    tmk_tracker_clear(&t);
    pool = tmk_burst_pool_free(pool);
}

int main(void) {
    return RUN(TEST(every_order_of_six_events_in_every_cutting),
               TEST(random_schedules_agree_with_the_oracle),
               TEST(a_late_start_keeps_its_position_until_something_is_final),
               TEST(what_was_final_before_stays_in_the_map),
               TEST(a_map_that_does_not_fit_keeps_the_nearest),
               TEST(bursts_that_are_left_can_be_given_away), TEST(a_very_long_offset_is_forgotten),
               TEST(without_memory_nothing_changes), TEST(a_warm_tracker_needs_no_memory),
               TEST(an_inherited_part_that_does_not_fit_is_left_out),
               TEST(memory_of_a_bad_time_is_given_back));
}
