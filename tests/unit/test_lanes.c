/* Lanes rule by rule: batches, linger, fairness, pauses, the gate, handles. */
#include "core/lanes.h"

#include "core/tracker.h"
#include "support/bursts.h"
#include "support/check.h"
#include "support/failing.h"

enum { WORKERS = 2 };

typedef struct rig {
    tmk_yard *yard;
    tmk_lanes *lanes;
    tmk_tracker tracker;
    tmk_burst_pool *pool;
    tmk_turn turns[WORKERS];
} rig;

static rig r;

static void begin(tmk_yard_options y, tmk_order order, bool keyless_free) {
    static const tmk_position start = {.sequence = -1, .enqueued_ms = -1};
    tmk_lanes_options l = {.order = order,
                           .lane_count = 64,
                           .keyless_free = keyless_free,
                           .partition = "7",
                           .generation = 3,
                           .owner = &r};

    memset(&r, 0, sizeof r);
    y.workers = WORKERS;
    CHECK_EQ(TMK_OK, tmk_burst_pool_new(1 << 20, &r.pool, NULL));
    CHECK_EQ(TMK_OK, tmk_yard_new(&y, &r.yard, NULL));
    CHECK_EQ(TMK_OK, tmk_lanes_new(r.yard, &l, &r.lanes, NULL));
    for (uint32_t i = 0; i < WORKERS; i++) {
        CHECK_EQ(TMK_OK, tmk_turn_init(&r.turns[i], r.yard, i, NULL));
    }
    tmk_tracker_init(&r.tracker, &start, NULL);
}

static void end(void) {
    tmk_list bursts;

    tmk_list_init(&bursts);
    tmk_tracker_detach(&r.tracker, &bursts);
    (void)tmk_lanes_free(r.lanes, &bursts);
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (r.turns[i].active) {
            tmk_turn_end(&r.turns[i], 0);
        }
        tmk_turn_clear(&r.turns[i]);
    }
    (void)tmk_yard_free(r.yard);
    (void)tmk_burst_pool_free(r.pool);
}

/* keys: one of so many in turn; 0: none. */
static void push_keys(tmk_time now, uint32_t count, int keys) {
    tmk_burst *b = bursts_make(r.pool, (int64_t)r.tracker.high, count, 1, keys);
    uint16_t lanes[300];
    uint64_t first = 0;

    for (uint32_t i = 0; i < count; i++) {
        lanes[i] = tmk_lane_of_key(r.lanes, tmk_event_key(&b->events[i]));
    }
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&r.tracker, b, 0, count, 1, now, &first));
    CHECK_EQ(TMK_OK, tmk_lanes_push(r.lanes, now, b->events, count, first, r.tracker.low,
                                    keys < 0 ? NULL : lanes));
}

static void push(tmk_time now, uint32_t count) {
    push_keys(now, count, -1);
}

/* The sequence of the next event of a turn, answered so; -1: the turn is over, and ended. */
static int64_t run_one(tmk_turn *t, tmk_verdict v) {
    const tmk_event *e = tmk_turn_event(t);

    if (e == NULL) {
        tmk_turn_end(t, 0);
        return -1;
    }
    tmk_turn_answer(t, v);
    return e->sequence;
}

static uint32_t run_all(tmk_turn *t) {
    uint32_t count = 0;

    while (run_one(t, TMK_DONE) >= 0) {
        count++;
    }
    return count;
}

static tmk_finished next_finished(void) {
    tmk_finished f = {0};

    CHECK(tmk_yard_collect(r.yard) == r.lanes);
    CHECK(tmk_lanes_next_finished(r.lanes, &f));
    return f;
}

static void collect_all(void) {
    tmk_finished f;

    while (tmk_yard_collect(r.yard) != NULL) {
        while (tmk_lanes_next_finished(r.lanes, &f)) {
            tmk_tracker_finish(&r.tracker, f.ordinal, f.count);
        }
    }
}

/* ---- order and turns ---- */

static void a_burst_in_order_is_one_record(void) {
    tmk_finished f;

    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 60);
    push(0, 40);
    CHECK(tmk_turn_take(&r.turns[0], 100));
    CHECK(!tmk_turn_take(&r.turns[1], 100)); /* the lane has its worker */
    CHECK_STR("7", (tmk_turn_event(&r.turns[0]), r.turns[0].delivery.partition));
    CHECK_EQ(3, r.turns[0].delivery.generation);
    CHECK_EQ(1, r.turns[0].delivery.attempt);
    CHECK_EQ(100, run_all(&r.turns[0]));
    CHECK(tmk_yard_rings(r.yard));
    CHECK(!tmk_yard_rings(r.yard));
    f = next_finished();
    CHECK_EQ(0, f.ordinal);
    CHECK_EQ(100, f.count);
    CHECK(!tmk_lanes_next_finished(r.lanes, &f));
    CHECK(tmk_lanes_owner(r.lanes) == &r);
    end();
}

static void what_a_turn_did_not_reach_comes_next(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 10);
    CHECK(tmk_turn_take(&r.turns[0], 8));
    CHECK_EQ(0, run_one(&r.turns[0], TMK_DONE));
    CHECK_EQ(1, run_one(&r.turns[0], TMK_DONE));
    tmk_turn_end(&r.turns[0], 0);
    CHECK(tmk_turn_take(&r.turns[1], 8));
    CHECK_EQ(2, run_one(&r.turns[1], TMK_DONE));
    tmk_turn_end(&r.turns[1], 0);
    end();
}

static void a_retry_ends_the_run_and_holds_its_lane_alone(void) {
    tmk_finished f;

    begin((tmk_yard_options){0}, TMK_ORDER_KEY, false);
    push_keys(0, 6, 2); /* keys 0 and 1 in turn */
    CHECK(tmk_turn_take(&r.turns[0], 1));
    CHECK_EQ(0, tmk_turn_event(&r.turns[0])->sequence);
    r.turns[0].delivery.retry_ms = 77;
    tmk_turn_answer(&r.turns[0], TMK_RETRY);
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE));
    f = next_finished();
    CHECK_EQ(TMK_RETRY, f.verdict);
    CHECK_EQ(77, f.retry_ms);
    CHECK_EQ(1, f.attempt);
    CHECK(tmk_turn_take(&r.turns[0], 10));
    CHECK_EQ(1, run_one(&r.turns[0], TMK_DONE)); /* the other key goes on */
    CHECK_EQ(3, run_one(&r.turns[0], TMK_DONE));
    CHECK_EQ(5, run_one(&r.turns[0], TMK_DONE));
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE));
    CHECK(!tmk_turn_take(&r.turns[0], 10));
    tmk_lanes_again(r.lanes, 0, 0, tmk_tracker_event(&r.tracker, 0), 2);
    CHECK(tmk_turn_take(&r.turns[0], 10));
    CHECK_EQ(0, tmk_turn_event(&r.turns[0])->sequence);
    CHECK_EQ(2, r.turns[0].delivery.attempt);
    tmk_turn_answer(&r.turns[0], TMK_DONE);
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE)); /* it came alone */
    CHECK(tmk_turn_take(&r.turns[0], 10));
    CHECK_EQ(2, run_one(&r.turns[0], TMK_DONE));
    tmk_turn_end(&r.turns[0], 0);
    end();
}

static void a_released_event_lets_its_lane_go_on(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 3);
    CHECK(tmk_turn_take(&r.turns[0], 3));
    CHECK_EQ(0, run_one(&r.turns[0], TMK_DEAD_LETTER));
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE));
    CHECK(!tmk_turn_take(&r.turns[0], 3));
    tmk_lanes_release(r.lanes, 0, 0);
    CHECK(tmk_turn_take(&r.turns[0], 3));
    CHECK_EQ(1, run_one(&r.turns[0], TMK_DONE));
    tmk_turn_end(&r.turns[0], 0);
    end();
}

static void a_verdict_that_is_none_counts_as_a_failure(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 1);
    CHECK(tmk_turn_take(&r.turns[0], 1));
    CHECK_EQ(0, run_one(&r.turns[0], (tmk_verdict)99));
    tmk_turn_end(&r.turns[0], 0);
    CHECK_EQ(TMK_RETRY, next_finished().verdict);
    end();
}

/* Every byte of a key counts, in keys of each length; and equal keys are equal. */
static void keys_of_any_length_spread_over_the_lanes(void) {
    const tmk_yard_options y = {.workers = 1};

    begin(y, TMK_ORDER_KEY, false);
    for (size_t size = 1; size <= 40; size++) {
        char key[40];
        unsigned changes = 0;
        uint16_t lane;

        memset(key, 'k', sizeof key);
        lane = tmk_lane_of_key(r.lanes, tmk_slice_of(key, size));
        CHECK(lane > 0);
        CHECK_EQ(lane, tmk_lane_of_key(r.lanes, tmk_slice_of(key, size)));
        for (size_t i = 0; i < size; i++) {
            for (char c = 'a'; c <= 'h'; c++) {
                key[i] = c;
                changes += tmk_lane_of_key(r.lanes, tmk_slice_of(key, size)) != lane;
            }
            key[i] = 'k';
            CHECK(changes > 0); /* no byte is passed over */
            changes = 0;
        }
    }
    end();
}

static void events_without_a_key_have_a_lane_of_their_own_or_none(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_KEY, false);
    push_keys(0, 4, 0);
    CHECK(tmk_turn_take(&r.turns[0], 1));
    CHECK(!tmk_turn_take(&r.turns[1], 1));
    end();
    begin((tmk_yard_options){0}, TMK_ORDER_KEY, true);
    push_keys(0, 4, 0);
    CHECK(tmk_turn_take(&r.turns[0], 1));
    CHECK(tmk_turn_take(&r.turns[1], 1));
    end();
}

static void without_order_a_retry_holds_nobody(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_NONE, false);
    push(0, 4);
    CHECK(tmk_turn_take(&r.turns[0], 2));
    CHECK(tmk_turn_take(&r.turns[1], 2));
    CHECK_EQ(0, run_one(&r.turns[0], TMK_RETRY));
    CHECK_EQ(1, run_one(&r.turns[0], TMK_DONE));
    CHECK_EQ(2, run_one(&r.turns[1], TMK_DONE));
    end();
}

/* What lies behind the handler is broken: the rest of the turn would meet the same. */
static void a_stop_ends_the_turn_in_any_order(void) {
    for (int order = TMK_ORDER_PARTITION; order <= TMK_ORDER_NONE; order++) {
        begin((tmk_yard_options){0}, (tmk_order)order, false);
        if (order == TMK_ORDER_KEY) {
            push_keys(0, 4, 4);
        } else {
            push(0, 4);
        }
        CHECK(tmk_turn_take(&r.turns[0], 4));
        CHECK_EQ(0, run_one(&r.turns[0], TMK_STOP));
        CHECK(tmk_turn_event(&r.turns[0]) == NULL);
        end();
    }
}

/* Two workers, many lanes: neither takes all of them while there is enough for both. */
static void slow_work_is_shared_fast_work_is_not_split(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_KEY, false);
    push_keys(0, 200, 200);
    CHECK(tmk_turn_take(&r.turns[0], 1)); /* a slow handler: one event a turn */
    CHECK_EQ(1, r.turns[0].count);
    CHECK(tmk_turn_take(&r.turns[1], 256)); /* a fast one: a quarter of a turn at least */
    CHECK(r.turns[1].count >= 64);
    CHECK(tmk_yard_useful(r.yard, 1) > 0);
    end();
}

static void as_many_workers_are_useful_as_there_is_work_for(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_KEY, false);
    CHECK_EQ(0, tmk_yard_useful(r.yard, 1));
    push_keys(0, 100, 20);
    CHECK(tmk_yard_useful(r.yard, 1) > 2);
    CHECK_EQ(2, tmk_yard_useful(r.yard, 50));
    CHECK_EQ(1, tmk_yard_useful(r.yard, 1000));
    end();
}

/* ---- batches ---- */

static uint32_t batch(tmk_turn *t, tmk_verdict **verdicts) {
    const tmk_event *const *events = NULL;

    return tmk_turn_batch(t, &events, verdicts);
}

static void batches_are_bounded_by_count_and_by_bytes(void) {
    tmk_verdict *v = NULL;

    begin((tmk_yard_options){.batch_events = 4}, TMK_ORDER_PARTITION, false);
    push(0, 10);
    CHECK(tmk_turn_take(&r.turns[0], 256));
    CHECK_EQ(4, batch(&r.turns[0], &v));
    tmk_turn_answer_batch(&r.turns[0]);
    CHECK_EQ(4, batch(&r.turns[0], &v));
    tmk_turn_answer_batch(&r.turns[0]);
    CHECK_EQ(2, batch(&r.turns[0], &v));
    tmk_turn_answer_batch(&r.turns[0]);
    CHECK_EQ(0, batch(&r.turns[0], &v));
    tmk_turn_end(&r.turns[0], 0);
    CHECK_EQ(10, next_finished().count);
    end();
    /* Each message has its offset's one or two digits: "0", "10", "20" ... */
    begin((tmk_yard_options){.batch_events = 100, .batch_bytes = 5}, TMK_ORDER_PARTITION, false);
    push(0, 10);
    CHECK(tmk_turn_take(&r.turns[0], 256));
    CHECK_EQ(3, batch(&r.turns[0], &v));
    tmk_turn_answer_batch(&r.turns[0]);
    CHECK_EQ(2, batch(&r.turns[0], &v));
    end();
}

static void a_batch_waits_for_more_until_it_is_full_or_its_time_is_over(void) {
    tmk_verdict *v = NULL;

    begin((tmk_yard_options){.batch_events = 4, .linger = 10 * TMK_MS}, TMK_ORDER_PARTITION, false);
    push(TMK_MS, 2);
    CHECK(!tmk_turn_take(&r.turns[0], 4));
    CHECK_EQ(11 * TMK_MS, tmk_yard_deadline(r.yard));
    tmk_yard_step(r.yard, 11 * TMK_MS - 1);
    CHECK(!tmk_turn_take(&r.turns[0], 4));
    push(5 * TMK_MS, 3); /* five: full */
    CHECK_EQ(TMK_NEVER, tmk_yard_deadline(r.yard));
    CHECK(tmk_turn_take(&r.turns[0], 4));
    CHECK_EQ(4, batch(&r.turns[0], &v));
    tmk_turn_answer_batch(&r.turns[0]);
    tmk_turn_end(&r.turns[0], 20 * TMK_MS); /* the fifth waits from now on */
    CHECK(!tmk_turn_take(&r.turns[0], 4));
    tmk_yard_step(r.yard, 30 * TMK_MS);
    CHECK(tmk_turn_take(&r.turns[0], 4));
    CHECK_EQ(1, batch(&r.turns[0], &v));
    end();
}

/* One bad event in a batch comes again alone; the others of the batch are what they were said. */
static void a_batch_has_a_verdict_for_each(void) {
    tmk_verdict *v = NULL;
    tmk_finished f;

    begin((tmk_yard_options){.batch_events = 6}, TMK_ORDER_PARTITION, false);
    push(0, 6);
    CHECK(tmk_turn_take(&r.turns[0], 6));
    CHECK_EQ(6, batch(&r.turns[0], &v));
    v[2] = TMK_RETRY;
    v[4] = TMK_SKIP;
    tmk_turn_answer_batch(&r.turns[0]);
    tmk_turn_end(&r.turns[0], 0);
    f = next_finished();
    CHECK_EQ(2, f.count);
    CHECK(tmk_lanes_next_finished(r.lanes, &f));
    CHECK_EQ(TMK_RETRY, f.verdict);
    CHECK(tmk_lanes_next_finished(r.lanes, &f));
    CHECK_EQ(3, f.ordinal);
    CHECK_EQ(1, f.count);
    CHECK(tmk_lanes_next_finished(r.lanes, &f));
    CHECK_EQ(TMK_SKIP, f.verdict);
    CHECK(tmk_lanes_next_finished(r.lanes, &f));
    CHECK_EQ(5, f.ordinal);
    push(0, 3);
    tmk_lanes_again(r.lanes, 0, 2, tmk_tracker_event(&r.tracker, 2), 2);
    CHECK(tmk_turn_take(&r.turns[0], 6));
    CHECK_EQ(1, batch(&r.turns[0], &v));
    CHECK_EQ(2, r.turns[0].delivery.attempt);
    end();
}

/* ---- pause, cut, gate ---- */

static void a_pause_lets_the_present_callback_end_and_no_other_begin(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 5);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    CHECK_EQ(0, run_one(&r.turns[0], TMK_DONE));
    tmk_lanes_pause(r.lanes, 0, true);
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE));
    CHECK(!tmk_turn_take(&r.turns[0], 5));
    CHECK_EQ(4, tmk_lanes_facts_get(r.lanes).queued);
    tmk_lanes_pause(r.lanes, 0, false);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    CHECK_EQ(1, run_one(&r.turns[0], TMK_DONE));
    end();
}

static void what_is_cut_never_comes_back(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 10);
    CHECK(tmk_turn_take(&r.turns[0], 6));
    CHECK_EQ(0, run_one(&r.turns[0], TMK_DONE));
    tmk_lanes_cut(r.lanes, 0, 4);
    tmk_turn_end(&r.turns[0], 0); /* gives back 1 to 5 */
    CHECK_EQ(3, tmk_lanes_facts_get(r.lanes).queued);
    CHECK(tmk_turn_take(&r.turns[0], 10));
    CHECK_EQ(3, run_all(&r.turns[0]));
    end();
}

/* Nothing has finished, but somebody may wait for the last turn's end. */
static void the_end_of_the_last_turn_of_a_paused_partition_is_told(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 5);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    tmk_lanes_pause(r.lanes, 0, true);
    tmk_turn_end(&r.turns[0], 0);
    CHECK(tmk_yard_rings(r.yard));
    CHECK(tmk_yard_collect(r.yard) == r.lanes);
    end();
}

static void a_shut_gate_stops_everything_but_a_probe(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 5);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    CHECK_EQ(0, run_one(&r.turns[0], TMK_DONE));
    tmk_yard_shut(r.yard, TMK_GATE_BREAKER);
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE));
    CHECK(!tmk_turn_take(&r.turns[0], 5));
    tmk_yard_probe(r.yard);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    CHECK_EQ(1, run_one(&r.turns[0], TMK_DONE));
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE));
    CHECK(!tmk_turn_take(&r.turns[0], 5)); /* one */
    tmk_yard_open(r.yard, TMK_GATE_BREAKER);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    end();
}

static void the_probe_says_that_it_is_one_and_is_not_lost(void) {
    tmk_finished f;

    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 5);
    tmk_yard_shut(r.yard, TMK_GATE_BREAKER);
    tmk_yard_probe(r.yard);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    tmk_turn_end(&r.turns[0], 0); /* did not come to it */
    CHECK(tmk_turn_take(&r.turns[0], 5));
    CHECK_EQ(0, run_one(&r.turns[0], TMK_STOP));
    tmk_turn_end(&r.turns[0], 0);
    f = next_finished();
    CHECK(f.probe);
    CHECK_EQ(TMK_STOP, f.verdict);
    end();
}

static void a_fence_lets_no_probe_through(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 5);
    tmk_yard_shut(r.yard, TMK_GATE_BREAKER);
    tmk_yard_shut(r.yard, TMK_GATE_FENCE);
    tmk_yard_probe(r.yard);
    CHECK(!tmk_turn_take(&r.turns[0], 5));
    tmk_yard_open(r.yard, TMK_GATE_FENCE);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    end();
}

static void what_is_known_too_long_ago_is_not_acted_upon(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 5);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    CHECK(!tmk_turn_late(&r.turns[0], TMK_NEVER - 1)); /* nobody has said anything yet */
    tmk_yard_trust(r.yard, 1000);
    CHECK(!tmk_turn_late(&r.turns[0], 999));
    CHECK_EQ(0, run_one(&r.turns[0], TMK_DONE));
    CHECK(tmk_turn_late(&r.turns[0], 1000));
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE));
    CHECK(!tmk_turn_take(&r.turns[0], 5)); /* nor does anybody else get some */
    tmk_yard_trust(r.yard, 2000);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    CHECK(!tmk_turn_late(&r.turns[0], 1500));
    CHECK_EQ(1, run_one(&r.turns[0], TMK_DONE));
    end();
}

static void a_probe_that_is_late_is_not_made(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 5);
    tmk_yard_trust(r.yard, 1000);
    tmk_yard_shut(r.yard, TMK_GATE_BREAKER);
    tmk_yard_probe(r.yard);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    CHECK(tmk_turn_late(&r.turns[0], 1000));
    tmk_turn_end(&r.turns[0], 1000);
    CHECK(!tmk_turn_take(&r.turns[0], 5));
    tmk_yard_trust(r.yard, 2000);
    CHECK(tmk_turn_take(&r.turns[0], 5));
    CHECK_EQ(0, run_one(&r.turns[0], TMK_DONE));
    end();
}

/* ---- handles ---- */

/* Runs one event and answers LATER; returns its handle. */
static tmk_handle put_off(tmk_turn *t) {
    tmk_handle handle = 0;

    CHECK(tmk_turn_event(t) != NULL);
    handle = t->delivery.handle;
    tmk_turn_answer(t, TMK_LATER);
    return handle;
}

static void a_handle_is_good_once(void) {
    tmk_handle handle = 0;

    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 2);
    CHECK(tmk_turn_take(&r.turns[1], 2));
    handle = put_off(&r.turns[1]);
    CHECK_EQ(1, run_one(&r.turns[1], TMK_DONE)); /* its lane went on */
    tmk_turn_end(&r.turns[1], 5);
    CHECK_EQ(1, tmk_lanes_facts_get(r.lanes).out);
    CHECK_EQ(TMK_EINVAL, tmk_yard_complete(r.yard, 9, handle, TMK_LATER, -1));
    CHECK_EQ(TMK_ABSENT, tmk_yard_complete(r.yard, 9, handle + 1, TMK_DONE, -1));
    CHECK_EQ(TMK_ABSENT, tmk_yard_complete(r.yard, 9, 0, TMK_DONE, -1));
    CHECK_EQ(TMK_ABSENT, tmk_yard_complete(r.yard, 9, UINT64_MAX, TMK_DONE, -1));
    CHECK_EQ(TMK_OK, tmk_yard_complete(r.yard, 9, handle, TMK_DONE, -1));
    CHECK_EQ(TMK_ABSENT, tmk_yard_complete(r.yard, 9, handle, TMK_DONE, -1));
    collect_all();
    CHECK_EQ(2, r.tracker.low);
    end();
}

static void a_handle_may_be_completed_before_its_callback_returns(void) {
    tmk_handle handle = 0;

    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 3);
    CHECK(tmk_turn_take(&r.turns[0], 3));
    (void)tmk_turn_event(&r.turns[0]);
    handle = r.turns[0].delivery.handle;
    CHECK_EQ(TMK_OK, tmk_yard_complete(r.yard, 0, handle, TMK_SKIP, -1));
    CHECK_EQ(TMK_ABSENT, tmk_yard_complete(r.yard, 0, handle, TMK_SKIP, -1));
    tmk_turn_answer(&r.turns[0], TMK_LATER);
    handle = put_off(&r.turns[0]); /* or after it, with its turn under way */
    CHECK_EQ(TMK_OK, tmk_yard_complete(r.yard, 0, handle, TMK_RETRY, 5));
    tmk_turn_end(&r.turns[0], 0);
    CHECK_EQ(TMK_SKIP, next_finished().verdict);
    end();
}

static void a_handle_of_an_event_that_was_answered_otherwise_is_void(void) {
    tmk_handle handle = 0;

    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 2);
    CHECK(tmk_turn_take(&r.turns[0], 2));
    (void)tmk_turn_event(&r.turns[0]);
    handle = r.turns[0].delivery.handle;
    tmk_turn_answer(&r.turns[0], TMK_DONE);
    (void)tmk_turn_event(&r.turns[0]);
    CHECK_EQ(TMK_ABSENT, tmk_yard_complete(r.yard, 0, handle, TMK_DONE, -1));
    tmk_turn_answer(&r.turns[0], TMK_DONE);
    tmk_turn_end(&r.turns[0], 0);
    CHECK_EQ(TMK_ABSENT, tmk_yard_complete(r.yard, 0, handle, TMK_DONE, -1));
    end();
}

static void later_may_hold_its_lane(void) {
    tmk_handle handle = 0;

    begin((tmk_yard_options){.later_holds = true}, TMK_ORDER_PARTITION, false);
    push(0, 3);
    CHECK(tmk_turn_take(&r.turns[0], 3));
    handle = put_off(&r.turns[0]);
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE));
    CHECK(!tmk_turn_take(&r.turns[0], 3));
    CHECK_EQ(TMK_OK, tmk_yard_complete(r.yard, 0, handle, TMK_DONE, -1));
    CHECK(tmk_turn_take(&r.turns[0], 3));
    CHECK_EQ(1, run_one(&r.turns[0], TMK_DONE));
    end();
}

/* The program may look at the event until it completes it, whoever owns the partition by then. */
static void an_event_outlives_its_partition_until_it_is_completed(void) {
    const tmk_event *e = NULL;
    tmk_handle handle = 0;
    tmk_list bursts;
    tmk_out out;

    begin((tmk_yard_options){0}, TMK_ORDER_PARTITION, false);
    push(0, 2);
    CHECK(tmk_turn_take(&r.turns[0], 2));
    e = tmk_turn_event(&r.turns[0]);
    handle = put_off(&r.turns[0]);
    tmk_turn_end(&r.turns[0], 44);
    tmk_list_init(&bursts);
    tmk_tracker_detach(&r.tracker, &bursts);
    r.lanes = tmk_lanes_free(r.lanes, &bursts);
    CHECK_EQ(0, e->sequence);
    CHECK(tmk_yard_oldest_out(r.yard, &out));
    CHECK_EQ(44, out.since);
    CHECK_EQ(0, out.sequence);
    CHECK_STR("7", out.partition);
    CHECK_EQ(TMK_ABSENT, tmk_yard_complete(r.yard, 0, handle, TMK_DONE, -1));
    CHECK(!tmk_yard_oldest_out(r.yard, &out));
    end();
}

static void many_handles_are_found_again(void) {
    tmk_handle handles[250];
    uint32_t count = 0;

    begin((tmk_yard_options){0}, TMK_ORDER_NONE, false);
    push(0, 250);
    while (count < 250) {
        CHECK(tmk_turn_take(&r.turns[0], 100));
        while (r.turns[0].at < r.turns[0].count) {
            handles[count++] = put_off(&r.turns[0]);
        }
        tmk_turn_end(&r.turns[0], 0);
    }
    for (uint32_t i = 0; i < 250; i++) {
        uint32_t k = i * 77 % 250;

        CHECK_EQ(TMK_OK, tmk_yard_complete(r.yard, 0, handles[k], TMK_DONE, -1));
    }
    collect_all();
    CHECK_EQ(250, r.tracker.low);
    end();
}

/* ---- memory ---- */

static void a_long_queue_leaves_a_short_ring_behind(void) {
    begin((tmk_yard_options){0}, TMK_ORDER_KEY, false);
    for (int i = 0; i < 100; i++) {
        push_keys(0, 200, 50);
    }
    for (int round = 0; round < 2; round++) {
        while (tmk_turn_take(&r.turns[0], 256)) {
            (void)run_all(&r.turns[0]);
        }
        collect_all();
        CHECK_EQ(r.tracker.high, r.tracker.low);
        push_keys(0, 100, 50); /* in a new, small ring */
    }
    CHECK_EQ(100, tmk_lanes_facts_get(r.lanes).queued);
    end();
}

static bool push_and_run(void) {
    static const tmk_position start = {.sequence = -1, .enqueued_ms = -1};
    tmk_yard_options y = {.workers = 1};
    tmk_lanes_options l = {.order = TMK_ORDER_KEY, .lane_count = 64, .partition = "7"};
    tmk_turn t = {0};
    tmk_tracker tracker;
    bool good = false;

    memset(&r, 0, sizeof r);
    tmk_tracker_init(&tracker, &start, NULL);
    good = tmk_burst_pool_new(1 << 20, &r.pool, NULL) == TMK_OK &&
           tmk_yard_new(&y, &r.yard, NULL) == TMK_OK &&
           tmk_lanes_new(r.yard, &l, &r.lanes, NULL) == TMK_OK &&
           tmk_turn_init(&t, r.yard, 0, NULL) == TMK_OK;
    for (int i = 0; i < 3 && good; i++) {
        tmk_burst *b = bursts_make(r.pool, 100 * i, 100, 1, 30);
        uint16_t lanes[100];
        uint64_t first = 0;

        good = b != NULL && tmk_tracker_admit(&tracker, b, 0, 100, 1, 0, &first) == TMK_OK;
        if (!good) {
            tmk_burst_drop(b);
            break;
        }
        for (uint32_t j = 0; j < 100; j++) {
            lanes[j] = tmk_lane_of_key(r.lanes, tmk_event_key(&b->events[j]));
        }
        good = tmk_lanes_push(r.lanes, 0, b->events, 100, first, 0, lanes) == TMK_OK;
        CHECK_EQ(good ? 100 * (i + 1) : 100 * i, tmk_lanes_facts_get(r.lanes).queued);
    }
    while (good && tmk_turn_take(&t, 50)) {
        while (tmk_turn_event(&t) != NULL) {
            tmk_turn_answer(&t, t.at % 2 == 0 ? TMK_LATER : TMK_DONE);
        }
        tmk_turn_end(&t, 0); /* without memory LATER becomes RETRY */
    }
    r.lanes = tmk_lanes_free(r.lanes, NULL);
    tmk_turn_clear(&t);
    (void)tmk_yard_free(r.yard);
    tmk_tracker_clear(&tracker);
    (void)tmk_burst_pool_free(r.pool);
    return good;
}

static void without_memory_nothing_is_lost(void) {
    failing_each(push_and_run);
}

/* What a turn has, in this order and no more; then it ends. */
static void check_turn(tmk_turn *t, const int *sequences, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(sequences[i], run_one(t, TMK_DONE));
    }
    CHECK_EQ(-1, run_one(t, TMK_DONE));
}

static void what_comes_for_a_taken_key_waits_and_other_keys_pass_it(void) {
    static const int others[] = {1, 3, 5}, behind[] = {2, 4};

    begin((tmk_yard_options){0}, TMK_ORDER_KEY, false);
    push_keys(0, 6, 2);
    CHECK(tmk_turn_take(&r.turns[0], 1));
    CHECK(tmk_turn_take(&r.turns[1], 10));
    check_turn(&r.turns[1], others, 3);
    CHECK(!tmk_turn_take(&r.turns[1], 10)); /* the rest waits for the first turn */
    CHECK_EQ(0, run_one(&r.turns[0], TMK_DONE));
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE));
    CHECK(tmk_turn_take(&r.turns[1], 10));
    check_turn(&r.turns[1], behind, 2);
    collect_all();
    CHECK_EQ(6, r.tracker.low);
    end();
}

static void behind_a_retry_a_turn_goes_on_up_to_the_next_event_of_that_key(void) {
    static const int others[] = {4, 5}, behind[] = {3};

    begin((tmk_yard_options){0}, TMK_ORDER_KEY, false);
    push_keys(0, 6, 3);
    CHECK(tmk_turn_take(&r.turns[0], 20));
    CHECK_EQ(0, run_one(&r.turns[0], TMK_RETRY));
    CHECK_EQ(1, run_one(&r.turns[0], TMK_DONE));
    CHECK_EQ(2, run_one(&r.turns[0], TMK_DONE));
    CHECK_EQ(-1, run_one(&r.turns[0], TMK_DONE));
    CHECK(tmk_turn_take(&r.turns[0], 20));
    check_turn(&r.turns[0], others, 2);
    CHECK(!tmk_turn_take(&r.turns[0], 20));
    CHECK_EQ(1, tmk_lanes_facts_get(r.lanes).queued);
    tmk_lanes_release(r.lanes, 0, 0);
    CHECK(tmk_turn_take(&r.turns[0], 20));
    check_turn(&r.turns[0], behind, 1);
    end();
}

int main(void) {
    return RUN(
        TEST(what_comes_for_a_taken_key_waits_and_other_keys_pass_it),
        TEST(behind_a_retry_a_turn_goes_on_up_to_the_next_event_of_that_key),

        TEST(a_burst_in_order_is_one_record), TEST(what_a_turn_did_not_reach_comes_next),
        TEST(a_retry_ends_the_run_and_holds_its_lane_alone),
        TEST(a_released_event_lets_its_lane_go_on),
        TEST(a_verdict_that_is_none_counts_as_a_failure),
        TEST(events_without_a_key_have_a_lane_of_their_own_or_none),
        TEST(without_order_a_retry_holds_nobody), TEST(a_stop_ends_the_turn_in_any_order),
        TEST(slow_work_is_shared_fast_work_is_not_split),
        TEST(as_many_workers_are_useful_as_there_is_work_for),
        TEST(batches_are_bounded_by_count_and_by_bytes),
        TEST(a_batch_waits_for_more_until_it_is_full_or_its_time_is_over),
        TEST(a_batch_has_a_verdict_for_each),
        TEST(a_pause_lets_the_present_callback_end_and_no_other_begin),
        TEST(what_is_cut_never_comes_back),
        TEST(the_end_of_the_last_turn_of_a_paused_partition_is_told),
        TEST(a_shut_gate_stops_everything_but_a_probe),
        TEST(the_probe_says_that_it_is_one_and_is_not_lost), TEST(a_fence_lets_no_probe_through),
        TEST(what_is_known_too_long_ago_is_not_acted_upon), TEST(a_probe_that_is_late_is_not_made),
        TEST(a_handle_is_good_once), TEST(a_handle_may_be_completed_before_its_callback_returns),
        TEST(a_handle_of_an_event_that_was_answered_otherwise_is_void),
        TEST(later_may_hold_its_lane), TEST(an_event_outlives_its_partition_until_it_is_completed),
        TEST(many_handles_are_found_again), TEST(a_long_queue_leaves_a_short_ring_behind),
        TEST(keys_of_any_length_spread_over_the_lanes), TEST(without_memory_nothing_is_lost));
}
