/*
 * Workers around a yard. Everything that is decided stands in core/turn.c and
 * core/lanes.c; here are the lock, the sleeping and the waking.
 *
 * `idle` workers wait on `work`; `waking` of them have been signalled and have
 * not come back yet. Whoever lets go of the lock signals as many more as lanes
 * are ready for, so that a lane never waits while a worker sleeps.
 */
#include "run/dispatcher.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "eventhubs/burst.h"

enum { NAME_ROOM = 16, BLIND_MAX = 16 };
#define RELIEVE_AFTER (50 * TMK_MS)
/* Callbacks that take longer are each preceded by a look at the clock; of others as many follow
 * each other as fit in. */
#define BLIND_SPAN (2 * TMK_US)

typedef struct tmk_worker {
    tmk_dispatcher *dispatcher;
    tmk_thread thread;
    tmk_turn turn;
    uint32_t index;
    tmk_time event_time;        /* what an event takes, moving; 0: not known */
    uint32_t events, callbacks; /* of the present turn */
    tmk_time begun_at;          /* hands: when the callback began whose answer is kept */
    tmk_verdict answer;
    /* The watch, with the lock: */
    uint64_t seen;      /* number of the event that a callback had when it was last looked */
    tmk_time seen_at;   /* since when; TMK_NEVER: none */
    tmk_time report_at; /* age at which it is reported (again) */
} tmk_worker;

struct tmk_dispatcher {
    tmk_dispatcher_options options;
    char name[NAME_ROOM];
    tmk_mutex lock; /* rank TMK_RANK_YARD; guards the yard and what follows */
    tmk_cond work;  /* a lane is ready, or it is time to end */
    tmk_cond ended; /* a worker has ended */
    tmk_yard *yard;
    tmk_worker *workers;
    uint32_t worker_count, idle, waking;
    uint32_t share;   /* events that are worth a waking: a quarter of a turn */
    uint32_t threads; /* that have not ended */
    tmk_time relieve_after;
    bool stopping;
    bool polling;     /* atomic: handlers run on the thread that polls, */
    pthread_t poller; /* atomic: which is this */
    tmk_time watch_at;
    tmk_dispatcher_stats stats;
};

/* ---- the guard ---- */

static void enter(void *self) {
    tmk_mutex_lock(&((tmk_dispatcher *)self)->lock);
}

/* Of membarrier(2): PRIVATE_EXPEDITED, and its registration. */
enum { BARRIER = 1 << 3, BARRIER_REGISTER = 1 << 4 };

/* Refused in some sandboxes; then a hanging handler holds back what its thread has taken with it.
 */
static bool fence(void *self) {
    (void)self;
    return syscall(SYS_membarrier, BARRIER, 0, 0) == 0;
}

static uint32_t to_wake(const tmk_dispatcher *d) {
    uint32_t useful = tmk_yard_useful(d->yard, d->share);

    useful = useful < d->idle ? useful : d->idle;
    return useful > d->waking ? useful - d->waking : 0;
}

static void leave(void *self) {
    tmk_dispatcher *d = self;
    uint32_t wake = to_wake(d);
    bool rings = tmk_yard_rings(d->yard);

    d->waking += wake;
    d->stats.wakes += wake;
    tmk_mutex_unlock(&d->lock);
    for (; wake > 0; wake--) {
        tmk_cond_signal(&d->work);
    }
    if (rings) {
        d->options.bell(d->options.bell_self);
    }
}

/* ---- a turn ---- */

/* How many events a turn should have. */
static uint32_t turn_size(const tmk_worker *w) {
    tmk_time fit = w->event_time <= 0 ? 1 : TMK_TURN_SPAN / w->event_time;

    return fit < 1 ? 1 : fit > TMK_TURN_EVENTS_MAX ? TMK_TURN_EVENTS_MAX : (uint32_t)fit;
}

/* Up to so many callbacks; false: the turn is over. */
static bool call_events(tmk_worker *w, uint32_t most) {
    tmk_on_event_fn on_event = w->dispatcher->options.on_event;
    void *user = w->dispatcher->options.user;
    tmk_turn *t = &w->turn;
    const tmk_event *event = NULL;
    uint32_t called = 0;

    while (called < most && (event = tmk_turn_event(t)) != NULL) {
        tmk_turn_answer(t, on_event(user, event, &t->delivery));
        called++;
    }
    w->events += called;
    w->callbacks += called;
    return called == most;
}

static bool call_batches(tmk_worker *w, uint32_t most) {
    const tmk_dispatcher_options *o = &w->dispatcher->options;
    const tmk_event *const *events = NULL;
    tmk_verdict *verdicts = NULL;
    uint32_t count = 1;

    for (; most > 0 && count > 0; most--) {
        count = tmk_turn_batch(&w->turn, &events, &verdicts);
        if (count > 0) {
            o->on_batch(o->user, events, count, verdicts, &w->turn.delivery);
            tmk_turn_answer_batch(&w->turn);
            w->events += count;
            w->callbacks++;
        }
    }
    return count > 0;
}

/* How many callbacks may follow each other without a look at the clock. */
static uint32_t blind_size(const tmk_worker *w) {
    tmk_time fit = w->event_time <= 0 ? 1 : BLIND_SPAN / w->event_time;

    return fit < 1 ? 1 : fit > BLIND_MAX ? BLIND_MAX : (uint32_t)fit;
}

/*
 * Runs the callbacks of a turn, without the lock; returns when it is over. The
 * clock is read before the first, and then so often that it costs little and
 * that few callbacks can follow a sleep: only those of the last microseconds
 * before it. Should they take much longer than expected, the rest goes back for
 * others.
 */
static tmk_time run_turn(tmk_worker *w, tmk_time begin) {
    const tmk_clock *clock = &w->dispatcher->options.clock;
    bool single = w->dispatcher->options.on_event != NULL;
    uint32_t most = 1, blind = single ? blind_size(w) : 1;
    bool more = true;
    tmk_time now = begin;

    w->events = 0;
    w->callbacks = 0;
    while (more && now - begin <= 4 * TMK_TURN_SPAN && !tmk_turn_late(&w->turn, now)) {
        tmk_time before = now;

        more = single ? call_events(w, most) : call_batches(w, most);
        now = tmk_now(clock);
        tmk_turn_spent(&w->turn, now - before);
        most = 4 * most < blind ? 4 * most : blind;
    }
    return now;
}

static void count_turn(tmk_dispatcher *d, tmk_worker *w, tmk_time took) {
    tmk_time each = w->callbacks == 0 ? 0 : (took / w->callbacks + TMK_US - 1) / TMK_US;
    int bucket = 0;

    if (w->events > 0) {
        tmk_time event_time = took / w->events + 1;

        w->event_time = w->event_time == 0 ? event_time : (3 * w->event_time + event_time) / 4;
        d->share = turn_size(w) / 4 + 1;
    }
    while (each > INT64_C(1) << bucket && bucket < TMK_DISPATCHER_BUCKETS - 1) {
        bucket++;
    }
    d->stats.histogram[bucket] += w->callbacks;
    d->stats.events += w->events;
    d->stats.callbacks += w->callbacks;
    d->stats.turns++;
    d->stats.busy += took;
}

/* With the lock: takes a turn of up to `most` events, runs it without the lock, ends it. False:
 * nothing was ready. */
static bool do_turn(tmk_dispatcher *d, tmk_worker *w, uint32_t most) {
    tmk_time begin = 0;
    tmk_time end = 0;

    if (!tmk_turn_take(&w->turn, most)) {
        return false;
    }
    w->seen_at = TMK_NEVER;
    d->stats.running++;
    leave(d);
    begin = tmk_now(&d->options.clock);
    end = run_turn(w, begin);
    enter(d);
    d->stats.running--;
    count_turn(d, w, end - begin);
    tmk_turn_end(&w->turn, end);
    return true;
}

/* ---- hands ---- */

/* Calls one callback; false: the turn has none, or none any more. */
static bool call_one(tmk_dispatcher *d, tmk_worker *w, tmk_handing *out) {
    const tmk_dispatcher_options *o = &d->options;
    const tmk_event *const *events = NULL;
    const tmk_event *event = NULL;
    tmk_verdict *verdicts = NULL;

    if (tmk_turn_late(&w->turn, w->begun_at)) {
        return false;
    }
    if (o->on_event != NULL && (event = tmk_turn_event(&w->turn)) != NULL) {
        w->events = w->callbacks = 1;
        w->answer = o->on_event(o->user, event, &w->turn.delivery);
    } else if (o->on_batch != NULL) {
        w->events = tmk_turn_batch(&w->turn, &events, &verdicts);
        w->callbacks = w->events > 0;
        if (w->events > 0) {
            o->on_batch(o->user, events, w->events, verdicts, &w->turn.delivery);
        }
    }
    *out = (tmk_handing){.partition = w->turn.delivery.partition,
                         .events = w->turn.events + w->turn.at,
                         .verdicts = o->on_event != NULL ? &w->answer : verdicts,
                         .count = w->events};
    return w->callbacks > 0;
}

/* With the lock. */
static void end_hand(tmk_dispatcher *d, tmk_worker *w) {
    tmk_time now = tmk_now(&d->options.clock);

    d->stats.running--;
    tmk_turn_spent(&w->turn, now - w->begun_at);
    count_turn(d, w, now - w->begun_at);
    tmk_turn_end(&w->turn, now);
}

static void answer_hand(tmk_worker *w) {
    if (w->dispatcher->options.on_event != NULL) {
        tmk_turn_answer(&w->turn, w->answer);
    } else {
        tmk_turn_answer_batch(&w->turn);
    }
}

/* What a callback has answered that never came to its end: nobody will know. */
static void drop_hand(tmk_dispatcher *d, tmk_worker *w) {
    if (!w->turn.active || d->options.hands == 0) {
        return;
    }
    w->answer = TMK_RETRY;
    for (uint32_t i = 0; i < w->turn.given && d->options.on_batch != NULL; i++) {
        w->turn.verdicts[w->turn.at + i] = TMK_RETRY;
    }
    answer_hand(w);
    enter(d);
    end_hand(d, w);
    leave(d);
}

bool tmk_dispatcher_begin(tmk_dispatcher *d, uint32_t worker, tmk_handing *out) {
    tmk_worker *w = &d->workers[worker];
    bool called = false;

    tmk_assert(d->options.hands > 0 && !w->turn.active && !d->polling);
    enter(d);
    while (!called && !d->stopping && tmk_turn_take(&w->turn, 1)) {
        w->events = w->callbacks = 0;
        w->seen_at = TMK_NEVER;
        w->begun_at = tmk_now(&d->options.clock);
        d->stats.running++;
        leave(d);
        __atomic_store_n(&d->poller, pthread_self(), __ATOMIC_RELAXED);
        __atomic_store_n(&d->polling, true, __ATOMIC_RELEASE);
        called = call_one(d, w, out);
        __atomic_store_n(&d->polling, false, __ATOMIC_RELAXED);
        enter(d);
        if (!called) {
            end_hand(d, w);
        }
    }
    leave(d);
    return called;
}

void tmk_dispatcher_end(tmk_dispatcher *d, uint32_t worker) {
    tmk_worker *w = &d->workers[worker];

    answer_hand(w);
    enter(d);
    end_hand(d, w);
    leave(d);
}

/* ---- threads ---- */

/* With the lock: sleeps until something may be ready. */
static void rest(tmk_dispatcher *d) {
    leave(d); /* others may have to be woken first, and the bell rung */
    enter(d);
    if (d->stopping || tmk_yard_useful(d->yard, 1) > 0) {
        return;
    }
    d->idle++;
    tmk_cond_wait(&d->work, &d->lock);
    d->idle--;
    d->waking -= d->waking > 0;
}

static const char *name_of(const tmk_worker *w, char name[static NAME_ROOM + 12]) {
    (void)snprintf(name, NAME_ROOM + 12, "%.10s-%u", w->dispatcher->name, w->index);
    name[NAME_ROOM - 1] = '\0';
    return name;
}

static void name_thread(const tmk_worker *w) {
    char name[NAME_ROOM + 12];

    (void)pthread_setname_np(pthread_self(), name_of(w, name));
}

static void *work(void *arg) {
    tmk_worker *w = arg;
    tmk_dispatcher *d = w->dispatcher;

    name_thread(w); /* whoever starts us may come to it later than the hook */
    if (d->options.on_thread != NULL) {
        d->options.on_thread(d->options.user, w->index);
    }
    enter(d);
    while (!d->stopping) {
        if (!do_turn(d, w, turn_size(w))) {
            rest(d);
        }
    }
    d->threads--;
    tmk_cond_broadcast(&d->ended);
    leave(d);
    return NULL;
}

/* ---- life ---- */

static tmk_status make_locks(tmk_dispatcher *d, tmk_error *err) {
    tmk_status st = tmk_mutex_init(&d->lock, TMK_RANK_YARD, err);

    if (st < 0) {
        return st;
    }
    st = tmk_cond_init(&d->work, err);
    if (st < 0) {
        tmk_mutex_clear(&d->lock);
        return st;
    }
    st = tmk_cond_init(&d->ended, err);
    if (st < 0) {
        tmk_cond_clear(&d->work);
        tmk_mutex_clear(&d->lock);
    }
    return st;
}

static uint32_t worker_count(const tmk_dispatcher_options *o) {
    return o->threads > 0 ? o->threads : o->hands > 0 ? o->hands : 1;
}

static tmk_status make_workers(tmk_dispatcher *d, tmk_error *err) {
    uint32_t count = worker_count(&d->options);
    tmk_status st = TMK_OK;

    d->workers = tmk_alloc_zero(count, sizeof *d->workers);
    if (d->workers == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "dispatcher", "no memory for %u handler threads", count);
    }
    d->worker_count = count;
    for (uint32_t i = 0; i < d->worker_count && st == TMK_OK; i++) {
        d->workers[i].dispatcher = d;
        d->workers[i].index = i;
        d->workers[i].seen_at = TMK_NEVER;
        st = tmk_turn_init(&d->workers[i].turn, d->yard, i, err);
    }
    return st;
}

static tmk_status make_yard(tmk_dispatcher *d, tmk_error *err) {
    const tmk_dispatcher_options *o = &d->options;
    (void)syscall(SYS_membarrier, BARRIER_REGISTER, 0, 0);
    tmk_yard_options y = {.guard = {enter, leave, d, fence},
                          .workers = worker_count(o),
                          .batch_events = o->on_batch == NULL ? 0 : o->batch_events,
                          .batch_bytes = o->batch_bytes,
                          .linger = o->on_batch == NULL ? 0 : o->linger,
                          .later_holds = o->later_holds};

    if (o->on_batch != NULL && y.batch_events == 0) {
        y.batch_events = TMK_TURN_EVENTS_MAX;
    }
    return tmk_yard_new(&y, &d->yard, err);
}

tmk_status tmk_dispatcher_new(const tmk_dispatcher_options *options, tmk_dispatcher **out,
                              tmk_error *err) {
    tmk_dispatcher *d = tmk_new(tmk_dispatcher);
    tmk_status st = TMK_OK;

    tmk_assert((options->on_event != NULL) != (options->on_batch != NULL));
    if (d == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "dispatcher", "no memory for handlers");
    }
    d->options = *options;
    d->watch_at = TMK_NEVER;
    d->relieve_after = options->relieve_after == 0 ? RELIEVE_AFTER : options->relieve_after;
    d->share = 1;
    (void)snprintf(d->name, sizeof d->name, "%s",
                   options->name == NULL ? "tmk-work" : options->name);
    d->options.name = d->name;
    st = make_locks(d, err);
    if (st < 0) {
        tmk_free(d);
        return st;
    }
    st = make_yard(d, err);
    if (st == TMK_OK) {
        st = make_workers(d, err);
    }
    if (st < 0) {
        (void)tmk_dispatcher_free(d);
        return st;
    }
    *out = d;
    return TMK_OK;
}

tmk_yard *tmk_dispatcher_yard(tmk_dispatcher *d) {
    return d->yard;
}

static tmk_status start_thread(tmk_dispatcher *d, tmk_worker *w, tmk_error *err) {
    char name[NAME_ROOM + 12];

    enter(d);
    d->threads++;
    leave(d);
    if (tmk_thread_start(&w->thread, name_of(w, name), work, w, err) < 0) {
        enter(d);
        d->threads--;
        leave(d);
        return TMK_EIO;
    }
    return TMK_OK;
}

tmk_status tmk_dispatcher_start(tmk_dispatcher *d, tmk_error *err) {
    for (uint32_t i = 0; i < d->options.threads; i++) {
        if (start_thread(d, &d->workers[i], err) < 0) {
            (void)tmk_dispatcher_stop(d, TMK_NEVER);
            return TMK_EIO;
        }
    }
    return TMK_OK;
}

bool tmk_dispatcher_is_worker(const tmk_dispatcher *d) {
    if (__atomic_load_n(&d->polling, __ATOMIC_ACQUIRE)) {
        return __atomic_load_n(&d->poller, __ATOMIC_RELAXED) == pthread_self();
    }
    for (uint32_t i = 0; i < d->worker_count; i++) {
        if (tmk_thread_is_self(&d->workers[i].thread)) {
            return true;
        }
    }
    return false;
}

tmk_status tmk_dispatcher_stop(tmk_dispatcher *d, tmk_time deadline) {
    uint32_t own = tmk_dispatcher_is_worker(d) ? 1 : 0;
    tmk_status st = TMK_OK;

    tmk_yard_shut(d->yard, TMK_GATE_STOP);
    enter(d);
    d->stopping = true;
    tmk_cond_broadcast(&d->work);
    while (d->threads > own && st == TMK_OK) {
        if (!tmk_cond_wait_until(&d->ended, &d->lock, deadline) && d->threads > own) {
            st = TMK_ETIMEOUT;
        }
    }
    leave(d);
    return st;
}

tmk_dispatcher *tmk_dispatcher_free(tmk_dispatcher *d) {
    if (d == NULL) {
        return NULL;
    }
    if (d->yard != NULL) {
        tmk_assert(!tmk_dispatcher_is_worker(d));
        (void)tmk_dispatcher_stop(d, TMK_NEVER);
    }
    for (uint32_t i = 0; d->workers != NULL && i < d->worker_count; i++) {
        tmk_thread_join(&d->workers[i].thread);
        drop_hand(d, &d->workers[i]);
        tmk_turn_clear(&d->workers[i].turn);
    }
    tmk_free(d->workers);
    d->yard = tmk_yard_free(d->yard);
    tmk_cond_clear(&d->ended);
    tmk_cond_clear(&d->work);
    tmk_mutex_clear(&d->lock);
    tmk_free(d);
    return NULL;
}

/* ---- the watch ---- */

/* With the lock: how long a worker's callback is known to run; 0: it has not been seen before. */
static tmk_time look_at(const tmk_dispatcher *d, tmk_worker *w, tmk_time now) {
    uint32_t at = __atomic_load_n(&w->turn.at, __ATOMIC_RELAXED);
    uint64_t number = w->turn.handle + at;

    if (!w->turn.active || at >= w->turn.count) {
        w->seen_at = TMK_NEVER;
        return 0;
    }
    if (w->seen_at == TMK_NEVER || w->seen != number) {
        w->seen = number;
        w->seen_at = now;
        w->report_at = d->options.slow_after;
    }
    return now - w->seen_at;
}

/* With the lock: what a worker's callback has had for too long. What else it has taken does not
 * wait for it. */
static bool look(const tmk_dispatcher *d, tmk_worker *w, tmk_time now, tmk_slow *out) {
    tmk_time age = look_at(d, w, now);
    uint32_t at = __atomic_load_n(&w->turn.at, __ATOMIC_RELAXED);

    if (age > 0 && age >= d->relieve_after) {
        (void)tmk_turn_relieve(&w->turn, now);
    }
    if (d->options.slow_after == 0 || age == 0 || age < w->report_at || at >= w->turn.count) {
        return false;
    }
    *out = (tmk_slow){.partition = w->turn.events[at]->burst->partition,
                      .sequence = w->turn.events[at]->sequence,
                      .worker = w->index,
                      .age = now - w->seen_at};
    w->report_at = 2 * out->age;
    return true;
}

void tmk_dispatcher_step(tmk_dispatcher *d, tmk_time now,
                         void (*report)(void *self, const tmk_slow *slow), void *self) {
    tmk_slow slow = {0};

    tmk_yard_step(d->yard, now);
    if (now < d->watch_at) {
        return;
    }
    d->watch_at = TMK_NEVER;
    for (uint32_t i = 0; i < d->worker_count; i++) {
        bool is_slow = false;

        enter(d);
        is_slow = look(d, &d->workers[i], now, &slow);
        leave(d);
        if (is_slow) {
            report(self, &slow);
        }
    }
}

static tmk_time watch_every(const tmk_dispatcher *d) {
    tmk_time slow = d->options.slow_after / 4;

    return slow > 0 && slow < d->relieve_after ? slow : d->relieve_after;
}

tmk_time tmk_dispatcher_deadline(tmk_dispatcher *d, tmk_time now) {
    bool busy = false;

    if (d->options.threads + d->options.hands > 0 && d->watch_at == TMK_NEVER) {
        enter(d);
        busy = d->stats.running > 0 || tmk_yard_useful(d->yard, 1) > 0;
        leave(d);
        d->watch_at = busy ? tmk_time_after(now, watch_every(d)) : TMK_NEVER;
    }
    return tmk_time_min(tmk_yard_deadline(d->yard), d->watch_at);
}

/* ---- without threads ---- */

uint32_t tmk_dispatcher_poll(tmk_dispatcher *d, uint32_t events) {
    tmk_worker *w = &d->workers[0];
    uint32_t done = 0;

    tmk_assert(d->options.threads == 0);
    enter(d);
    if (!d->polling) {
        __atomic_store_n(&d->poller, pthread_self(), __ATOMIC_RELAXED);
        __atomic_store_n(&d->polling, true, __ATOMIC_RELEASE);
        do {
            uint32_t most = turn_size(w);

            most = events > 0 && events - done < most ? events - done : most;
            if (!do_turn(d, w, most)) {
                break;
            }
            done += w->events;
        } while (done < events);
        __atomic_store_n(&d->polling, false, __ATOMIC_RELAXED);
    }
    leave(d);
    return done;
}

bool tmk_dispatcher_has_work(tmk_dispatcher *d) {
    bool ready = false;

    enter(d);
    ready = tmk_yard_useful(d->yard, 1) > 0;
    leave(d);
    return ready;
}

void tmk_dispatcher_stats_get(tmk_dispatcher *d, tmk_dispatcher_stats *out) {
    tmk_time now = tmk_now(&d->options.clock);

    enter(d);
    *out = d->stats;
    for (uint32_t i = 0; i < d->worker_count; i++) {
        tmk_time age = look_at(d, &d->workers[i], now);

        out->longest = age > out->longest ? age : out->longest;
    }
    leave(d);
}
