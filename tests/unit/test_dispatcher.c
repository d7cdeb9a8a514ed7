/* Handlers on threads: everything once, in order, side by side where it may be; and how it ends. */
#include "run/dispatcher.h"

#include "core/tracker.h"
#include "support/bursts.h"
#include "support/check.h"
#include "support/failing.h"

enum { EVENTS = 6000, BURST = 50, KEYS = 30, LANES = 16, THREADS = 4 };

/* One partition under a dispatcher; the test is the control thread. */
typedef struct rig {
    tmk_order order;
    tmk_dispatcher *dispatcher;
    tmk_lanes *lanes;
    tmk_tracker tracker;
    tmk_burst_pool *pool;
    tmk_clock clock;
    tmk_mutex lock; /* guards what follows */
    tmk_cond changed;
    bool bell;
    uint32_t inside, inside_max; /* callbacks that run; at most at once */
    bool release;                /* blocked handlers may go on */
    uint64_t handled, slow_reports;
    tmk_slow slow;
    uint32_t threads_seen;
    int64_t last_of_key[KEYS];
    bool disorder, twice;
    bool seen[EVENTS];
    tmk_handle handles[EVENTS];
    uint32_t handle_count;
    int64_t hang_from; /* the first event from here on hangs; 0: none */
    const tmk_event *hung;
    tmk_status inner; /* what a call from inside a callback returned */
} rig;

static rig r;

/* ---- handlers ---- */

static void note(const tmk_event *e) {
    int key = (int)(e->sequence % KEYS);

    tmk_mutex_lock(&r.lock);
    r.disorder = r.disorder || e->sequence < r.last_of_key[key];
    r.twice = r.twice || r.seen[e->sequence];
    r.last_of_key[key] = e->sequence;
    r.seen[e->sequence] = true;
    r.handled++;
    tmk_mutex_unlock(&r.lock);
}

static tmk_verdict plain(void *user, const tmk_event *e, tmk_delivery *d) {
    (void)user;
    (void)d;
    note(e);
    return TMK_DONE;
}

static void plain_batch(void *user, const tmk_event *const *events, size_t count,
                        tmk_verdict *verdicts, tmk_delivery *d) {
    (void)user;
    (void)d;
    for (size_t i = 0; i < count; i++) {
        note(events[i]);
        CHECK_EQ(TMK_DONE, verdicts[i]);
    }
}

/* Puts off each third event; another thread completes it. */
static tmk_verdict later(void *user, const tmk_event *e, tmk_delivery *d) {
    (void)user;
    note(e);
    if (e->sequence % 3 != 0) {
        return TMK_DONE;
    }
    tmk_mutex_lock(&r.lock);
    r.handles[r.handle_count++] = d->handle;
    tmk_cond_broadcast(&r.changed);
    tmk_mutex_unlock(&r.lock);
    return TMK_LATER;
}

/* Stays until it is let go. */
static tmk_verdict blocked(void *user, const tmk_event *e, tmk_delivery *d) {
    (void)user;
    (void)e;
    (void)d;
    tmk_mutex_lock(&r.lock);
    r.inside++;
    r.inside_max = r.inside > r.inside_max ? r.inside : r.inside_max;
    r.handled++;
    tmk_cond_broadcast(&r.changed);
    while (!r.release) {
        tmk_cond_wait(&r.changed, &r.lock);
    }
    r.inside--;
    tmk_mutex_unlock(&r.lock);
    return TMK_DONE;
}

static tmk_verdict stops_from_inside(void *user, const tmk_event *e, tmk_delivery *d) {
    (void)user;
    (void)d;
    note(e);
    r.inner = tmk_dispatcher_stop(r.dispatcher, TMK_NEVER);
    return TMK_DONE;
}

static tmk_verdict polls_from_inside(void *user, const tmk_event *e, tmk_delivery *d) {
    (void)user;
    (void)d;
    note(e);
    CHECK_EQ(0, tmk_dispatcher_poll(r.dispatcher, 10));
    return TMK_DONE;
}

/* Time passes, for all that is known: as when the process is stopped and goes on. */
static tmk_verdict oversleeps(void *user, const tmk_event *e, tmk_delivery *d) {
    (void)user;
    (void)d;
    note(e);
    if (e->sequence == 2) {
        tmk_yard_trust(tmk_dispatcher_yard(r.dispatcher), tmk_now(&r.clock));
    }
    return TMK_DONE;
}

static void count_thread(void *user, uint32_t index) {
    (void)user;
    tmk_mutex_lock(&r.lock);
    r.threads_seen |= 1U << index;
    tmk_cond_broadcast(&r.changed);
    tmk_mutex_unlock(&r.lock);
}

static void ring(void *self) {
    (void)self;
    tmk_mutex_lock(&r.lock);
    r.bell = true;
    tmk_cond_broadcast(&r.changed);
    tmk_mutex_unlock(&r.lock);
}

static void note_slow(void *self, const tmk_slow *slow) {
    (void)self;
    r.slow = *slow;
    r.slow_reports++;
}

/* ---- the rig ---- */

static void begin(tmk_dispatcher_options o, tmk_order order) {
    static const tmk_position start = {.sequence = -1, .enqueued_ms = -1};
    tmk_lanes_options l = {.order = order, .lane_count = LANES, .partition = "0"};

    memset(&r, 0, sizeof r);
    memset(r.last_of_key, 0xff, sizeof r.last_of_key);
    r.order = order;
    r.clock = o.clock.now == NULL ? tmk_clock_system() : o.clock;
    o.clock = r.clock;
    o.bell = ring;
    CHECK_EQ(TMK_OK, tmk_mutex_init(&r.lock, 60, NULL));
    CHECK_EQ(TMK_OK, tmk_cond_init(&r.changed, NULL));
    CHECK_EQ(TMK_OK, tmk_burst_pool_new(1 << 20, &r.pool, NULL));
    CHECK_EQ(TMK_OK, tmk_dispatcher_new(&o, &r.dispatcher, NULL));
    CHECK_EQ(TMK_OK, tmk_lanes_new(tmk_dispatcher_yard(r.dispatcher), &l, &r.lanes, NULL));
    tmk_tracker_init(&r.tracker, &start, NULL);
    CHECK_EQ(TMK_OK, tmk_dispatcher_start(r.dispatcher, NULL));
}

static void end(void) {
    tmk_list bursts;

    tmk_list_init(&bursts);
    tmk_tracker_detach(&r.tracker, &bursts);
    (void)tmk_lanes_free(r.lanes, &bursts);
    (void)tmk_dispatcher_free(r.dispatcher);
    (void)tmk_burst_pool_free(r.pool);
    tmk_cond_clear(&r.changed);
    tmk_mutex_clear(&r.lock);
}

static void push(uint32_t count) {
    tmk_burst *b = bursts_make(r.pool, (int64_t)r.tracker.high, count, 1, KEYS);
    uint16_t lanes[BURST];
    uint64_t first = 0;

    CHECK(b != NULL && count <= BURST);
    for (uint32_t i = 0; i < count; i++) {
        lanes[i] = tmk_lane_of_key(r.lanes, tmk_event_key(&b->events[i]));
    }
    CHECK_EQ(TMK_OK, tmk_tracker_admit(&r.tracker, b, 0, count, 1, 0, &first));
    CHECK_EQ(TMK_OK, tmk_lanes_push(r.lanes, 0, b->events, count, first, r.tracker.low,
                                    r.order == TMK_ORDER_KEY ? lanes : NULL));
}

static void collect(void) {
    tmk_lanes *l = NULL;
    tmk_finished f;

    while ((l = tmk_yard_collect(tmk_dispatcher_yard(r.dispatcher))) != NULL) {
        while (tmk_lanes_next_finished(l, &f)) {
            CHECK_EQ(TMK_DONE, f.verdict);
            tmk_tracker_finish(&r.tracker, f.ordinal, f.count);
        }
    }
}

/* Waits for the bell; fails after a minute, as nothing else may. */
static void wait_for_bell(void) {
    tmk_time deadline = tmk_now(&r.clock) + TMK_MIN;

    tmk_mutex_lock(&r.lock);
    while (!r.bell) {
        CHECK(tmk_cond_wait_until(&r.changed, &r.lock, deadline) || r.bell);
    }
    r.bell = false;
    tmk_mutex_unlock(&r.lock);
}

static void wait_for_inside(uint32_t count) {
    tmk_time deadline = tmk_now(&r.clock) + TMK_MIN;

    tmk_mutex_lock(&r.lock);
    while (r.inside < count) {
        CHECK(tmk_cond_wait_until(&r.changed, &r.lock, deadline) || r.inside >= count);
    }
    tmk_mutex_unlock(&r.lock);
}

static void let_go(void) {
    tmk_mutex_lock(&r.lock);
    r.release = true;
    tmk_cond_broadcast(&r.changed);
    tmk_mutex_unlock(&r.lock);
}

static void push_all(void) {
    while (r.tracker.high < EVENTS) {
        push(BURST);
        collect();
    }
}

static void finish_all(void) {
    while (r.tracker.low < r.tracker.high) {
        wait_for_bell();
        collect();
    }
    CHECK(!r.twice);
}

/* ---- tests ---- */

static void every_event_is_handled_once_by_threads_in_each_order(void) {
    for (int order = 0; order < 3; order++) {
        tmk_dispatcher_options o = {.threads = THREADS, .on_event = plain};

        begin(o, (tmk_order)order);
        push_all();
        finish_all();
        CHECK_EQ(EVENTS, r.handled);
        CHECK(order == TMK_ORDER_NONE || !r.disorder);
        end();
    }
}

static void batches_keep_the_order_too(void) {
    for (int order = 0; order < 2; order++) {
        tmk_dispatcher_options o = {
            .threads = THREADS, .on_batch = plain_batch, .batch_events = 20};

        begin(o, (tmk_order)order);
        push_all();
        finish_all();
        CHECK_EQ(EVENTS, r.handled);
        CHECK(!r.disorder);
        end();
    }
}

static void *complete_all(void *arg) {
    uint32_t done = 0;

    (void)arg;
    while (done < EVENTS / 3) {
        tmk_handle handle = 0;

        tmk_mutex_lock(&r.lock);
        while (r.handle_count == done) {
            tmk_cond_wait(&r.changed, &r.lock);
        }
        handle = r.handles[done++];
        tmk_mutex_unlock(&r.lock);
        r.inner = tmk_yard_complete(tmk_dispatcher_yard(r.dispatcher), 0, handle, TMK_DONE, -1);
        if (r.inner != TMK_OK || tmk_yard_complete(tmk_dispatcher_yard(r.dispatcher), 0, handle,
                                                   TMK_DONE, -1) != TMK_ABSENT) {
            break;
        }
    }
    r.inner = done == EVENTS / 3 ? TMK_OK : TMK_EINTERNAL;
    return NULL;
}

static void handles_are_completed_by_another_thread_exactly_once(void) {
    tmk_dispatcher_options o = {.threads = 2, .on_event = later};
    tmk_thread other = {0};

    begin(o, TMK_ORDER_KEY);
    CHECK_EQ(TMK_OK, tmk_thread_start(&other, "completer", complete_all, NULL, NULL));
    push_all();
    finish_all();
    tmk_thread_join(&other);
    CHECK_EQ(TMK_OK, r.inner);
    CHECK(!r.disorder);
    end();
}

static void slow_handlers_of_different_keys_run_side_by_side(void) {
    tmk_dispatcher_options o = {.threads = THREADS, .on_event = blocked};

    begin(o, TMK_ORDER_KEY);
    push(BURST);
    wait_for_inside(THREADS);
    CHECK_EQ(THREADS, r.inside_max);
    let_go();
    finish_all();
    CHECK_EQ(BURST, r.handled);
    end();
}

static void without_order_one_partition_keeps_all_threads_busy(void) {
    tmk_dispatcher_options o = {.threads = THREADS, .on_event = blocked};

    begin(o, TMK_ORDER_NONE);
    push(THREADS);
    wait_for_inside(THREADS);
    let_go();
    finish_all();
    end();
}

static void in_partition_order_one_runs_at_a_time(void) {
    tmk_dispatcher_options o = {.threads = THREADS, .on_event = blocked};
    tmk_dispatcher_stats s;

    begin(o, TMK_ORDER_PARTITION);
    push(BURST);
    wait_for_inside(1);
    push(BURST); /* the lane has its worker: nobody is woken for it */
    tmk_dispatcher_stats_get(r.dispatcher, &s);
    CHECK(s.wakes <= 1);
    CHECK_EQ(1, s.running);
    let_go();
    finish_all();
    CHECK_EQ(1, r.inside_max);
    end();
}

static void each_thread_says_hello_first(void) {
    tmk_dispatcher_options o = {.threads = 3, .on_event = plain, .on_thread = count_thread};
    tmk_time deadline = 0;

    begin(o, TMK_ORDER_PARTITION);
    deadline = tmk_now(&r.clock) + TMK_MIN;
    tmk_mutex_lock(&r.lock);
    while (r.threads_seen != 7) {
        CHECK(tmk_cond_wait_until(&r.changed, &r.lock, deadline));
    }
    tmk_mutex_unlock(&r.lock);
    end();
}

/* The watch is given times of its own: nothing here waits for a real minute. */
static void a_handler_that_runs_too_long_is_reported_with_its_event(void) {
    tmk_dispatcher_options o = {
        .threads = 2, .on_event = blocked, .slow_after = TMK_MIN, .relieve_after = 60 * TMK_MIN};

    begin(o, TMK_ORDER_PARTITION);
    CHECK_EQ(TMK_NEVER, tmk_dispatcher_deadline(r.dispatcher, 0));
    push(3);
    wait_for_inside(1);
    CHECK_EQ(15 * TMK_SEC, tmk_dispatcher_deadline(r.dispatcher, 0));
    tmk_dispatcher_step(r.dispatcher, 15 * TMK_SEC, note_slow, NULL);
    CHECK_EQ(0, r.slow_reports);
    for (tmk_time now = 30 * TMK_SEC; now <= 90 * TMK_SEC; now += 15 * TMK_SEC) {
        CHECK_EQ(now, tmk_dispatcher_deadline(r.dispatcher, now - 15 * TMK_SEC));
        tmk_dispatcher_step(r.dispatcher, now, note_slow, NULL);
    }
    CHECK_EQ(1, r.slow_reports);
    CHECK_EQ(0, r.slow.sequence);
    CHECK_EQ(TMK_MIN, r.slow.age);
    CHECK_STR("0", r.slow.partition);
    (void)tmk_dispatcher_deadline(r.dispatcher, 90 * TMK_SEC);
    tmk_dispatcher_step(r.dispatcher, 135 * TMK_SEC, note_slow, NULL);
    CHECK_EQ(2, r.slow_reports); /* its age has doubled */
    let_go();
    finish_all();
    (void)tmk_dispatcher_deadline(r.dispatcher, 135 * TMK_SEC);
    tmk_dispatcher_step(r.dispatcher, 300 * TMK_SEC, note_slow, NULL);
    CHECK_EQ(2, r.slow_reports);
    end();
}

/* Quick but for one event, which stays until it is let go. */
static tmk_verdict hangs_once(void *user, const tmk_event *e, tmk_delivery *d) {
    (void)user;
    (void)d;
    note(e);
    tmk_mutex_lock(&r.lock);
    if (r.hang_from > 0 && e->sequence >= r.hang_from) {
        r.hang_from = 0;
        r.hung = e;
        r.inside++;
        tmk_cond_broadcast(&r.changed);
        while (!r.release) {
            tmk_cond_wait(&r.changed, &r.lock);
        }
    }
    tmk_mutex_unlock(&r.lock);
    return TMK_DONE;
}

static void hangs_once_in_batch(void *user, const tmk_event *const *events, size_t count,
                                tmk_verdict *verdicts, tmk_delivery *d) {
    (void)verdicts;
    for (size_t i = 0; i < count; i++) {
        (void)hangs_once(user, events[i], d);
    }
}

/* Looks twice, so far apart that what still runs is known to hang. */
static void watch(tmk_time now) {
    for (int i = 0; i < 3; i++) {
        now = tmk_dispatcher_deadline(r.dispatcher, now);
        CHECK(now != TMK_NEVER);
        tmk_dispatcher_step(r.dispatcher, now, note_slow, NULL);
    }
}

static uint32_t lane_mates(const tmk_event *of, uint64_t from) {
    uint16_t lane = tmk_lane_of_key(r.lanes, tmk_event_key(of));
    uint32_t mates = 0;

    for (uint64_t i = from; i < r.tracker.high; i++) {
        mates += tmk_lane_of_key(r.lanes, tmk_event_key(tmk_tracker_event(&r.tracker, i))) == lane;
    }
    return mates;
}

/* Its worker had taken many lanes at once, as handlers were quick. */
static void what_a_hanging_handler_had_taken_besides_goes_to_others(void) {
    for (int batches = 0; batches < 2; batches++) {
        tmk_dispatcher_options o = {.threads = 2, .batch_events = 4};
        uint64_t warm = 0;
        uint32_t mates = 0;

        o.on_event = batches == 0 ? hangs_once : NULL;
        o.on_batch = batches == 0 ? NULL : hangs_once_in_batch;
        begin(o, TMK_ORDER_KEY);
        for (int i = 0; i < 40; i++) {
            push(BURST);
            finish_all();
        }
        warm = r.tracker.high;
        tmk_mutex_lock(&r.lock);
        r.hang_from = (int64_t)warm;
        tmk_mutex_unlock(&r.lock);
        push(BURST);
        wait_for_inside(1);
        mates = lane_mates(r.hung, warm);
        watch(tmk_now(&r.clock));
        while (tmk_tracker_unfinished(&r.tracker) >
               mates) { /* all but its lane becomes final while it hangs */
            wait_for_bell();
            collect();
        }
        CHECK(mates >= 1 && mates < BURST);
        CHECK_EQ(1, tmk_lanes_facts_get(r.lanes).running);
        let_go();
        finish_all();
        CHECK_EQ(warm + BURST, r.handled);
        CHECK(!r.disorder);
        end();
    }
}

/* Turns are cut short at any moment: still everything once and in order. */
static void turns_that_are_cut_short_at_any_moment_lose_and_repeat_nothing(void) {
    for (int order = 0; order < 3; order++) {
        tmk_dispatcher_options o = {.threads = THREADS, .on_event = plain, .relieve_after = 1};

        begin(o, (tmk_order)order);
        while (r.tracker.low < EVENTS) {
            if (r.tracker.high < EVENTS) {
                push(BURST);
            }
            for (int i = 0; i < 3; i++) {
                tmk_time now = tmk_now(&r.clock);

                (void)tmk_dispatcher_deadline(r.dispatcher, now);
                tmk_dispatcher_step(r.dispatcher, now + 10, note_slow, NULL);
            }
            collect();
        }
        CHECK_EQ(EVENTS, r.handled);
        CHECK(!r.twice && (order == TMK_ORDER_NONE || !r.disorder));
        end();
    }
}

static void a_stop_returns_at_its_deadline_whatever_hangs(void) {
    tmk_dispatcher_options o = {.threads = 2, .on_event = blocked};

    begin(o, TMK_ORDER_PARTITION);
    push(5);
    wait_for_inside(1);
    CHECK_EQ(TMK_ETIMEOUT, tmk_dispatcher_stop(r.dispatcher, tmk_now(&r.clock) + 5 * TMK_MS));
    let_go();
    CHECK_EQ(TMK_OK, tmk_dispatcher_stop(r.dispatcher, tmk_now(&r.clock) + TMK_MIN));
    CHECK_EQ(1, r.handled); /* nothing was begun after the stop */
    end();
}

static void a_partition_may_go_while_its_handler_hangs(void) {
    tmk_dispatcher_options o = {.threads = 2, .on_event = blocked};
    tmk_list bursts;

    begin(o, TMK_ORDER_PARTITION);
    push(5);
    wait_for_inside(1);
    tmk_list_init(&bursts);
    tmk_tracker_detach(&r.tracker, &bursts);
    r.lanes = tmk_lanes_free(r.lanes, &bursts);
    CHECK(tmk_list_empty(&bursts));
    let_go();
    end();
    CHECK_EQ(1, r.handled);
}

static void a_callback_may_stop_it(void) {
    tmk_dispatcher_options o = {.threads = 2, .on_event = stops_from_inside};

    begin(o, TMK_ORDER_PARTITION);
    r.inner = TMK_EINTERNAL;
    push(5);
    wait_for_bell();
    CHECK_EQ(TMK_OK, r.inner);
    CHECK_EQ(TMK_OK, tmk_dispatcher_stop(r.dispatcher, tmk_now(&r.clock) + TMK_MIN));
    CHECK_EQ(1, r.handled);
    end();
}

static void without_threads_the_caller_runs_callbacks(void) {
    tmk_dispatcher_options o = {.on_event = polls_from_inside};

    begin(o, TMK_ORDER_KEY);
    CHECK(!tmk_dispatcher_has_work(r.dispatcher));
    CHECK_EQ(0, tmk_dispatcher_poll(r.dispatcher, 0));
    push(BURST);
    CHECK(tmk_dispatcher_has_work(r.dispatcher));
    CHECK_EQ(7, tmk_dispatcher_poll(r.dispatcher, 7));
    CHECK_EQ(7, r.handled);
    CHECK_EQ(BURST - 7, tmk_dispatcher_poll(r.dispatcher, 1000));
    collect();
    CHECK_EQ(BURST, r.tracker.low);
    end();
}

static void after_a_sleep_nothing_begins_before_somebody_has_looked(void) {
    for (uint32_t threads = 0; threads <= THREADS; threads += THREADS) {
        tmk_dispatcher_options o = {.threads = threads, .on_event = plain};

        begin(o, TMK_ORDER_KEY);
        tmk_yard_trust(tmk_dispatcher_yard(r.dispatcher), tmk_now(&r.clock));
        push(BURST);
        if (threads == 0) {
            CHECK_EQ(0, tmk_dispatcher_poll(r.dispatcher, BURST));
            tmk_yard_trust(tmk_dispatcher_yard(r.dispatcher), TMK_NEVER);
            CHECK_EQ(BURST, tmk_dispatcher_poll(r.dispatcher, BURST));
            collect();
        } else {
            tmk_yard_trust(tmk_dispatcher_yard(r.dispatcher), TMK_NEVER);
            finish_all();
        }
        CHECK_EQ(BURST, r.handled);
        end();
    }
}

/* Each look takes five microseconds, so that each callback does. */
static tmk_time tick(void *self) {
    tmk_time *now = self;

    *now += 5 * TMK_US;
    return *now;
}

static void a_turn_ends_where_it_overslept(void) {
    tmk_time now = TMK_SEC;
    tmk_dispatcher_options o = {.on_event = oversleeps, .clock = {tick, NULL, &now}};

    begin(o, TMK_ORDER_PARTITION);
    push(BURST);
    CHECK_EQ(3, tmk_dispatcher_poll(r.dispatcher, BURST));
    CHECK(!tmk_dispatcher_has_work(r.dispatcher));
    tmk_yard_trust(tmk_dispatcher_yard(r.dispatcher), TMK_NEVER);
    CHECK(tmk_dispatcher_has_work(r.dispatcher));
    CHECK_EQ(BURST - 3, tmk_dispatcher_poll(r.dispatcher, BURST));
    CHECK(!r.disorder && !r.twice);
    collect();
    end();
}

static bool make_and_free(void) {
    tmk_dispatcher_options o = {.threads = 2, .on_event = plain, .bell = ring};
    tmk_dispatcher *d = NULL;
    tmk_error err;
    tmk_status st = tmk_dispatcher_new(&o, &d, &err);

    CHECK(st == TMK_OK || (st == TMK_ENOMEM && d == NULL && err.text[0] != '\0'));
    d = tmk_dispatcher_free(d);
    return st == TMK_OK;
}

static void without_memory_there_is_none(void) {
    failing_each(make_and_free);
}

int main(void) {
    return RUN(TEST(every_event_is_handled_once_by_threads_in_each_order),
               TEST(batches_keep_the_order_too),
               TEST(handles_are_completed_by_another_thread_exactly_once),
               TEST(slow_handlers_of_different_keys_run_side_by_side),
               TEST(without_order_one_partition_keeps_all_threads_busy),
               TEST(in_partition_order_one_runs_at_a_time), TEST(each_thread_says_hello_first),
               TEST(a_handler_that_runs_too_long_is_reported_with_its_event),
               TEST(what_a_hanging_handler_had_taken_besides_goes_to_others),
               TEST(turns_that_are_cut_short_at_any_moment_lose_and_repeat_nothing),
               TEST(a_stop_returns_at_its_deadline_whatever_hangs),
               TEST(a_partition_may_go_while_its_handler_hangs), TEST(a_callback_may_stop_it),
               TEST(without_threads_the_caller_runs_callbacks),
               TEST(after_a_sleep_nothing_begins_before_somebody_has_looked),
               TEST(a_turn_ends_where_it_overslept), TEST(without_memory_there_is_none));
}
