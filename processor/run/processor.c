/*
 * The public processor: puts a control on a client's loop, a store behind it,
 * and threads beside it.
 *
 * Threads: the control runs on the client's loop. What the public functions do
 *          to it is posted there and waited for (on_control), so the control
 *          needs no lock. The fields below `lock` are guarded by it; its rank is
 *          below the yard's, and nothing is called with it held.
 */
#include "run/processor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "eventhubs/source_amqp.h"
#include "run/options.h"
#include "run/stats.h"

/* ---- steps, on the control thread ---- */

static void plan_step(tmk_processor *p, tmk_time due) {
    if (due == TMK_NEVER) {
        tmk_timer_stop(p->loop, &p->timer);
    } else {
        tmk_timer_set(p->loop, &p->timer, due);
    }
}

static void tell_slow(void *self, const tmk_slow *slow) {
    tmk_processor *p = self;
    char reaction[80];
    tmk_error err;

    (void)tmk_fail(&err, TMK_ETIMEOUT, "handler", "a handler has been running for %" PRId64 " ms",
                   slow->age / TMK_MS);
    (void)snprintf(reaction, sizeof reaction, "waiting; its events hold back their lane");
    tmk_problem problem = {.error = &err,
                           .partition = slow->partition,
                           .operation = "handler",
                           .reaction = reaction,
                           .sequence = slow->sequence};
    tmk_control_tell(p->control, &problem);
}

/* Hands statistics to the user when it is time. */
static void tell_stats(tmk_processor *p, tmk_time now) {
    tmk_stats *stats;

    if (now < p->stats_at) {
        return;
    }
    p->stats_at = tmk_time_after(now, p->options.stats_interval_ms * TMK_MS);
    stats = tmk_stats_make(p);
    if (stats != NULL) { /* else the next time */
        p->options.on_stats(p->options.user, stats);
    }
    (void)tmk_stats_free(stats);
}

static void step(tmk_processor *p) {
    tmk_time now = tmk_now(&p->clock);

    if (p->control == NULL || p->ended) {
        return;
    }
    tmk_dispatcher_step(p->dispatcher, now, tell_slow, p);
    tmk_control_step(p->control);
    tell_stats(p, now);
    plan_step(p, tmk_time_min(p->stats_at, tmk_time_min(tmk_control_deadline(p->control),
                                                        tmk_dispatcher_deadline(
                                                            p->dispatcher, tmk_now(&p->clock)))));
    if (tmk_control_left(p->control)) {
        tmk_mutex_lock(&p->lock);
        p->left = true;
        tmk_cond_broadcast(&p->changed);
        tmk_mutex_unlock(&p->lock);
    }
}

static void on_timer(tmk_timer *t) {
    step(tmk_container_of(t, tmk_processor, timer));
}

static void on_bell(tmk_bell *b) {
    step(tmk_container_of(b, tmk_processor, bell));
}

static void ring_bell(void *self) {
    tmk_bell_ring(&((tmk_processor *)self)->bell);
}

static void on_answer(void *self, uint64_t ticket, const tmk_store_result *result) {
    tmk_processor *p = self;

    if (p->control != NULL && !p->ended) {
        tmk_control_on_answer(p->control, ticket, result);
        step(p);
    }
}

static void submit(void *self, uint64_t ticket, const tmk_store_op *op, tmk_fleet_class channel) {
    (void)channel; /* stores keep heartbeats apart by their operation */
    tmk_asker_submit(((tmk_processor *)self)->asker, ticket, op);
}

static void wake(void *self) {
    tmk_processor *p = self;

    tmk_timer_set(p->loop, &p->timer, tmk_loop_now(p->loop));
}

/* ---- calls from other threads, carried to the control thread and waited for ---- */

typedef struct errand {
    tmk_task task;
    tmk_processor *p;
    void (*run)(tmk_processor *p, void *arg);
    void *arg;
    bool done; /* p->lock */
} errand;

static void run_errand(tmk_task *task) {
    errand *e = tmk_container_of(task, errand, task);
    tmk_processor *p = e->p;

    e->run(p, e->arg);
    tmk_mutex_lock(&p->lock);
    e->done = true; /* its memory may go when the lock does */
    tmk_cond_broadcast(&p->changed);
    tmk_mutex_unlock(&p->lock);
}

/* Is the caller the control thread? Without threads that is whoever polls; before the start and
 * after the stop nobody need. */
static bool is_control(tmk_processor *p) {
    bool at_rest;

    if (tmk_loop_is_mine(p->loop) || !p->options.caller_driven) {
        return tmk_loop_is_mine(p->loop);
    }
    tmk_mutex_lock(&p->lock);
    at_rest = p->phase == PHASE_NEW || p->phase == PHASE_STOPPED;
    tmk_mutex_unlock(&p->lock);
    return at_rest;
}

void tmk_processor_on_control(tmk_processor *p, void (*run)(tmk_processor *p, void *arg),
                              void *arg) {
    errand e = {.task.run = run_errand, .p = p, .run = run, .arg = arg};

    if (is_control(p)) {
        run(p, arg);
        return;
    }
    tmk_loop_post(p->loop, &e.task);
    tmk_mutex_lock(&p->lock);
    while (!e.done) {
        tmk_cond_wait(&p->changed, &p->lock);
    }
    tmk_mutex_unlock(&p->lock);
}

/* ---- life ---- */

/* Where the world is simulated, so are the threads; its seed decides what is left to chance. */
static void settle_in_world(tmk_processor *p) {
    tmk_processor_options *o = &p->options;
    void *self = NULL;
    const tmk_client_world *world = tmk_client_world_of(p->client, &self);

    if (world == NULL) {
        return;
    }
    p->simulated = true;
    o->threads = o->caller_driven || o->threads == 0 ? 1 : o->threads;
    o->caller_driven = true;
    o->owner_id = o->owner_id == NULL ? world->name(self) : o->owner_id;
    o->seed = o->seed == 0 ? world->seed(self) | 1 : o->seed;
}

static tmk_status copy_options(tmk_processor *p, const tmk_processor_options *opts,
                               tmk_error *err) {
    size_t size = opts->size < sizeof p->options ? opts->size : sizeof p->options;
    tmk_status st;

    tmk_processor_options_init(&p->options);
    memcpy(&p->options, opts, size);
    p->options.size = sizeof p->options;
    st = tmk_processor_options_check(&p->options, err);
    if (st < 0) {
        return st;
    }
    settle_in_world(p);
    if (p->options.owner_id == NULL) {
        tmk_processor_options_own_id(p->owner_id, sizeof p->owner_id);
    } else {
        (void)snprintf(p->owner_id, sizeof p->owner_id, "%s", p->options.owner_id);
    }
    st = tmk_log_limit(&p->log_limiter, &p->clock, &p->options.log, err);
    if (st < 0) {
        return st;
    }
    p->options.owner_id = p->owner_id;
    p->group = tmk_copy_str(p->options.group);
    p->options.group = p->group;
    p->journal =
        (tmk_journal){.write = p->options.on_journal, .user = p->options.user, .clock = p->clock};
    if (p->options.seed == 0) {
        tmk_rng r;
        tmk_rng_seed_system(&r);
        p->options.seed = tmk_rng_next(&r) | 1;
    }
    return p->group == NULL ? tmk_fail(err, TMK_ENOMEM, "run", "no memory for a processor")
                            : TMK_OK;
}

static tmk_status make_dispatcher(tmk_processor *p, tmk_error *err) {
    const tmk_processor_options *o = &p->options;
    tmk_dispatcher_options d = {
        .threads = o->caller_driven ? 0 : o->threads,
        .hands = p->simulated ? o->threads : 0,
        .relieve_after = p->simulated ? o->handler_warn_ms * TMK_MS + TMK_SEC : 0,
        .clock = p->clock,
        .on_event = o->on_event,
        .on_batch = o->on_batch,
        .user = o->user,
        .on_thread = o->on_thread,
        .bell = ring_bell,
        .bell_self = p,
        .slow_after = o->handler_warn_ms * TMK_MS,
        .batch_events = o->on_batch == NULL ? 0 : o->batch_events,
        .batch_bytes = o->batch_bytes,
        .linger = o->batch_linger_ms * TMK_MS,
        .later_holds = o->order != TMK_ORDER_NONE,
    };

    if (tmk_journal_on(&p->journal)) {
        d.on_event = o->on_event == NULL ? NULL : tmk_journaled_event;
        d.on_batch = o->on_batch == NULL ? NULL : tmk_journaled_batch;
        d.on_thread = tmk_journaled_thread;
        d.user = p;
    }
    if (o->on_span_begin != NULL) {
        d.on_event = tmk_traced_event;
        d.on_thread = tmk_journaled_thread;
        d.user = p;
    }
    return tmk_dispatcher_new(&d, &p->dispatcher, err);
}

static tmk_status check_neighbours(tmk_processor *p, tmk_error *err) {
    unsigned claims = p->store.ops->claims(p->store.self);

    if (p->options.caller_driven != tmk_client_is_driven(p->client)) {
        return tmk_fail(err, TMK_EINVAL, "options",
                        "caller_driven must be the same for a processor and its client");
    }
    if ((claims & (1u << p->options.claims)) == 0) {
        return tmk_fail(err, TMK_EINVAL, "options", "this store does not support claims '%s'",
                        p->options.claims == TMK_CLAIMS_LEASE ? "lease" : "shared");
    }
    return TMK_OK;
}

tmk_status tmk_processor_new(tmk_client *client, tmk_store store, const tmk_processor_options *opts,
                             tmk_processor **out, tmk_error *err) {
    tmk_processor *p = NULL;
    tmk_status st;

    if (client == NULL || store.ops == NULL || opts == NULL) {
        return tmk_fail(err, TMK_EINVAL, "options",
                        "a processor needs a client, a store and options");
    }
    p = tmk_new(tmk_processor);
    if (p == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "run", "no memory for a processor");
    }
    p->client = client;
    p->store = store;
    p->loop = tmk_client_loop(client);
    p->clock = *tmk_loop_clock(p->loop);
    p->started_at = p->stats_at = TMK_NEVER;
    st = tmk_mutex_init(&p->lock, RANK_PROCESSOR, err);
    if (st < 0) {
        tmk_free(p);
        return st;
    }
    st = tmk_cond_init(&p->changed, err);
    if (st < 0) {
        tmk_mutex_clear(&p->lock);
        tmk_free(p);
        return st;
    }
    tmk_bell_init(&p->bell, p->loop, on_bell);
    st = copy_options(p, opts, err);
    if (st >= 0) {
        st = check_neighbours(p, err);
    }
    if (st >= 0) {
        st = make_dispatcher(p, err);
    }
    if (st < 0) {
        tmk_processor_free(p);
        return st;
    }
    *out = p;
    return TMK_OK;
}

/* ---- in a simulated world ---- */

static void set_phase(tmk_processor *p, phase to) {
    tmk_mutex_lock(&p->lock);
    p->phase = to;
    tmk_mutex_unlock(&p->lock);
}

static bool begin_callback(void *self, uint32_t worker, tmk_handing *out) {
    return tmk_dispatcher_begin(((tmk_processor *)self)->dispatcher, worker, out);
}

static void end_callback(void *self, uint32_t worker) {
    tmk_dispatcher_end(((tmk_processor *)self)->dispatcher, worker);
}

static void end_control(tmk_processor *p, void *arg);
static void close_asker(tmk_processor *p, void *arg);

static void crash(void *self) {
    tmk_processor *p = self;

    p->ended = true;
    end_control(p, NULL);
    close_asker(p, NULL);
    set_phase(p, PHASE_STOPPED);
}

static tmk_status join_world(tmk_processor *p, tmk_error *err) {
    const tmk_hands hands = {p, p->options.threads, begin_callback, end_callback, crash};
    void *self = NULL;
    const tmk_client_world *world = tmk_client_world_of(p->client, &self);

    return world == NULL ? TMK_OK : world->employ(self, &hands, err);
}

typedef struct begin {
    tmk_status status;
    tmk_error *err;
} begin;

static void begin_control(tmk_processor *p, void *arg) {
    begin *b = arg;
    tmk_control_options o;
    tmk_control_ports ports = {.submit = submit, .wake = wake, .self = p, .clock = p->clock};

    b->status = tmk_client_source(p->client, p->group, p->owner_id, &p->source, b->err);
    if (b->status >= 0) {
        b->status = tmk_asker_new(p->loop, p->store, on_answer, p, &p->asker, b->err);
    }
    if (b->status >= 0) {
        b->status = tmk_timer_init(p->loop, &p->timer, on_timer);
        if (b->status < 0) {
            (void)tmk_fail(b->err, b->status, "run", "no memory for a timer");
        }
    }
    if (b->status >= 0) {
        tmk_processor_options_control(&p->options, p->owner_id, p, &o);
        o.journal = p->journal;
        ports.source = p->source;
        b->status =
            tmk_control_new(&o, &ports, tmk_dispatcher_yard(p->dispatcher), &p->control, b->err);
    }
    if (b->status >= 0) {
        b->status = join_world(p, b->err);
    }
    if (b->status >= 0) {
        tmk_journal_write(&p->journal, "start", "owner", 's', p->owner_id, "group", 's', p->group,
                          "hub", 's', tmk_client_hub(p->client), NULL);
        p->started_at = tmk_now(&p->clock);
        p->stats_at = p->options.on_stats == NULL ? TMK_NEVER : p->started_at;
        plan_step(p, tmk_loop_now(p->loop));
    }
}

static void end_control(tmk_processor *p, void *arg) {
    (void)arg;
    tmk_client_source_free(p->client, p->source);
    p->control = tmk_control_free(p->control);
    p->source = (tmk_source){NULL, NULL};
    if (p->timer.known) {
        tmk_timer_clear(p->loop, &p->timer);
    }
}

tmk_status tmk_processor_start(tmk_processor *p, tmk_error *err) {
    begin b = {TMK_OK, err};
    tmk_status st = TMK_OK;

    tmk_mutex_lock(&p->lock);
    if (p->phase != PHASE_NEW) {
        st = tmk_fail(err, TMK_ESTATE, "run", "the processor was started before; make a new one");
    } else {
        p->phase = PHASE_RUNNING;
    }
    tmk_mutex_unlock(&p->lock);
    if (st < 0) {
        return st;
    }
    if (!p->options.caller_driven) {
        st = tmk_dispatcher_start(p->dispatcher, err);
    }
    if (st >= 0) {
        tmk_processor_on_control(p, begin_control, &b);
        st = b.status;
    }
    if (st < 0) {
        tmk_processor_on_control(p, end_control, NULL);
        (void)tmk_dispatcher_stop(p->dispatcher, TMK_NEVER); /* they have had nothing to do */
        set_phase(p, PHASE_STOPPED);
    }
    return st;
}

/* ---- stopping ---- */

typedef struct ending {
    tmk_time drain_until;
    tmk_stop_report *report;
} ending;

static void begin_stop(tmk_processor *p, void *arg) {
    if (p->control != NULL) {
        tmk_control_stop(p->control, ((ending *)arg)->drain_until);
        step(p);
    }
}

static void run_stop_task(tmk_task *task) {
    ending e = {.drain_until = TMK_NEVER};

    begin_stop(tmk_container_of(task, tmk_processor, stop_task), &e);
}

void tmk_processor_request_stop(tmk_processor *p) {
    if (__atomic_exchange_n(&p->stop_asked, 1, __ATOMIC_ACQ_REL) == 0) {
        p->stop_task.run = run_stop_task;
        tmk_loop_post(p->loop, &p->stop_task);
    }
}

/* All that can still be said: what is in doubt; then no further callback. */
static void end_stop(tmk_processor *p, void *arg) {
    ending *e = arg;

    if (p->control == NULL) {
        return;
    }
    tmk_control_report(p->control, e->report);
    tmk_control_abandon(p->control);
    p->stats_at = TMK_NEVER;
    step(p);
    p->ended = true;
    plan_step(p, TMK_NEVER);
}

/* caller_driven: the waiting thread does the work itself. */
static void drive_until_left(tmk_processor *p, tmk_time deadline) {
    tmk_time now;

    while (!p->left && (now = tmk_now(&p->clock)) < deadline) {
        int64_t wait_ms = (deadline - now) / TMK_MS + 1;
        bool busy = !p->simulated && tmk_dispatcher_has_work(p->dispatcher);
        if (tmk_processor_poll(p, busy ? 0 : wait_ms < 100 ? wait_ms : 100, 0, NULL) < 0) {
            return;
        }
    }
}

static void wait_until_left(tmk_processor *p, tmk_time deadline) {
    struct timespec ts;

    if (p->options.caller_driven) {
        drive_until_left(p, deadline);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &ts);
    tmk_time monotonic = (tmk_time)ts.tv_sec * TMK_SEC + ts.tv_nsec;
    tmk_time until = monotonic + (deadline - tmk_now(&p->clock));
    tmk_mutex_lock(&p->lock);
    while (!p->left && tmk_cond_wait_until(&p->changed, &p->lock, until)) {
    }
    tmk_mutex_unlock(&p->lock);
}

/* Without threads: whoever stops polls from now on. */
static void become_control(tmk_processor *p) {
    if (p->options.caller_driven && !tmk_loop_is_mine(p->loop)) {
        (void)!tmk_client_poll(p->client, 0, NULL);
    }
}

tmk_status tmk_processor_stop(tmk_processor *p, int64_t deadline_ms, tmk_stop_report *report,
                              tmk_error *err) {
    tmk_time now = tmk_now(&p->clock);
    tmk_time deadline = tmk_time_after(now, deadline_ms * TMK_MS);
    tmk_time reserve =
        tmk_time_min(2 * TMK_SEC, deadline_ms * TMK_MS / 4); /* for the last writes */
    tmk_stop_report own = {0};
    ending e = {.drain_until = deadline - reserve, .report = report == NULL ? &own : report};
    phase before;

    if (tmk_client_is_inside(p->client) || tmk_dispatcher_is_worker(p->dispatcher)) {
        return tmk_fail(err, TMK_ESTATE, "run",
                        "a callback cannot wait for the stop that waits for it; use "
                        "tmk_processor_request_stop()");
    }
    become_control(p);
    memset(e.report, 0, sizeof *e.report);
    tmk_mutex_lock(&p->lock);
    before = p->phase;
    if (before == PHASE_RUNNING) {
        p->phase = PHASE_STOPPING;
    }
    tmk_mutex_unlock(&p->lock);
    if (before != PHASE_RUNNING) {
        return before == PHASE_STOPPING
                   ? tmk_fail(err, TMK_ESTATE, "run", "another thread is stopping it")
                   : TMK_OK;
    }

    tmk_processor_on_control(p, begin_stop, &e);
    wait_until_left(p, deadline - reserve / 4);
    tmk_processor_on_control(p, end_stop, &e);
    tmk_status st = tmk_dispatcher_stop(p->dispatcher, deadline);
    tmk_dispatcher_stats handlers;

    tmk_dispatcher_stats_get(p->dispatcher, &handlers);
    e.report->handlers_running = handlers.running;
    set_phase(p, PHASE_STOPPED);
    tmk_journal_write(&p->journal, "stop", "owner", 's', p->owner_id, "in_doubt", 'i',
                      (int64_t)e.report->events_in_doubt, NULL);
    if (st < 0 || !e.report->left || e.report->partitions_open > 0 ||
        e.report->events_in_doubt > 0) {
        return tmk_fail(err, TMK_ETIMEOUT, "run",
                        "stopped at the deadline with %u partitions open and %" PRIu64
                        " events in doubt",
                        e.report->partitions_open, e.report->events_in_doubt);
    }
    return TMK_OK;
}

/* The store has answered all; the asker is gone. */
static void on_idle(void *self) {
    tmk_processor *p = self;

    tmk_mutex_lock(&p->lock);
    p->idle = true;
    tmk_cond_broadcast(&p->changed);
    tmk_mutex_unlock(&p->lock);
}

static void close_asker(tmk_processor *p, void *arg) {
    tmk_asker *a = p->asker;

    (void)arg;
    p->asker = NULL;
    if (a == NULL) {
        on_idle(p);
    } else {
        tmk_asker_close(a, on_idle);
    }
}

/* A store answers each question in bounded time; until then the loop and this struct must stay. */
static void wait_until_idle(tmk_processor *p) {
    if (p->options.caller_driven) {
        while (!p->idle && tmk_client_poll(p->client, 100, NULL) >= 0) {
        }
        return;
    }
    tmk_mutex_lock(&p->lock);
    while (!p->idle) {
        tmk_cond_wait(&p->changed, &p->lock);
    }
    tmk_mutex_unlock(&p->lock);
}

tmk_processor *tmk_processor_free(tmk_processor *p) {
    if (p == NULL) {
        return NULL;
    }
    if (p->phase == PHASE_RUNNING) {
        (void)tmk_processor_stop(p, 30000, NULL, NULL);
    }
    become_control(p);
    if (p->dispatcher != NULL) {
        (void)tmk_dispatcher_stop(p->dispatcher, TMK_NEVER);
    }
    tmk_processor_on_control(p, end_control, NULL);
    tmk_processor_on_control(p, close_asker, NULL);
    wait_until_idle(p);
    p->dispatcher = tmk_dispatcher_free(p->dispatcher);
    tmk_cond_clear(&p->changed);
    tmk_mutex_clear(&p->lock);
    tmk_log_unlimit(&p->log_limiter);
    tmk_free(p->group);
    tmk_free(p);
    return NULL;
}

int tmk_processor_fd(tmk_processor *p) {
    return tmk_client_fd(p->client);
}

tmk_status tmk_processor_poll(tmk_processor *p, int64_t wait_ms, uint32_t events, tmk_error *err) {
    tmk_status st;

    if (!p->options.caller_driven) {
        return tmk_fail(err, TMK_ESTATE, "run",
                        "tmk_processor_poll() is for caller_driven processors");
    }
    if (tmk_dispatcher_is_worker(p->dispatcher)) {
        return tmk_fail(err, TMK_ESTATE, "run", "a handler must not poll");
    }
    st = tmk_client_poll(
        p->client, !p->simulated && tmk_dispatcher_has_work(p->dispatcher) ? 0 : wait_ms, err);
    if (!p->simulated) {
        (void)tmk_dispatcher_poll(p->dispatcher, events);
        if (tmk_dispatcher_has_work(p->dispatcher)) {
            tmk_bell_ring(&p->bell); /* keeps the descriptor readable */
        }
    }
    return st;
}
