/* Instances: a control each, its workers, its ports and its process. */
#include "whole.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/call.h"
#include "run/options.h"

#define WALL_FROM_US INT64_C(1700000000000000)
#define FAREWELL (12 * TMK_SEC)
enum { SPINS_MAX = 200 };

/* A question of a control to the store. */
typedef struct question {
    tmk_store_call call;
    tmk_list node; /* in instance->questions */
    whole_instance *instance;
    uint64_t ticket;
    tmk_store_op_kind kind;
    tmk_time sent;
} question;

static tmk_time local(const whole_instance *i) {
    return i->world->kernel.now + i->offset;
}

static tmk_time now_of(void *self) {
    return local(self);
}

static tmk_wall wall_of(void *self) {
    const whole_instance *i = self;

    return (tmk_wall){WALL_FROM_US + (i->world->kernel.now + i->wall_offset) / TMK_US};
}

/* ---- posts ---- */

static void post_free(whole_post *p) {
    sim_cancel(&p->instance->world->kernel, &p->event);
    tmk_list_remove(&p->delivery.node);
    tmk_list_remove(&p->node);
    tmk_free(p);
}

static void on_post(sim_event *e) {
    whole_post *p = sim_event_of(e, whole_post, event);

    sim_process_deliver(&p->instance->process, &p->delivery);
}

static void arrive(sim_delivery *d) {
    whole_post *p = sim_event_of(d, whole_post, delivery);

    p->run(p);
    post_free(p);
}

static void lost(sim_delivery *d) {
    (void)d; /* freed with its instance */
}

whole_post *whole_post_new(whole_instance *i, void (*run)(whole_post *p)) {
    whole_post *p = tmk_new(whole_post);

    if (p == NULL) {
        abort();
    }
    p->instance = i;
    p->run = run;
    p->event.fire = on_post;
    p->delivery.arrive = arrive;
    p->delivery.lost = lost;
    tmk_list_push_back(&i->posts, &p->node);
    return p;
}

void whole_post_send(whole_post *p, tmk_time delay) {
    sim_at(&p->instance->world->kernel, &p->event, p->instance->world->kernel.now + delay);
}

/* ---- steps ---- */

void whole_step_soon(whole_instance *i) {
    if (i->control != NULL) {
        sim_at(&i->world->kernel, &i->step, i->world->kernel.now);
    }
}

static void end_instance(whole_instance *i);

/* The next step: later than now, or it spins. */
static void plan(whole_instance *i) {
    sim_kernel *k = &i->world->kernel;
    tmk_time due = tmk_control_deadline(i->control);

    i->spins = k->now == i->spin_at ? i->spins + 1 : 0;
    i->spin_at = k->now;
    if (i->spins > SPINS_MAX) {
        sim_violation(k, "spin", "%s steps and steps", i->name);
    }
    if (due != TMK_NEVER) {
        sim_at(k, &i->step, due - i->offset);
    }
}

/* A stop is over soon after the last handler, where nothing else is wrong. */
static void check_left(whole_instance *i) {
    sim_kernel *k = &i->world->kernel;
    tmk_time took = k->now - (i->busy_at > i->stop_asked ? i->busy_at : i->stop_asked);

    if (i->world->options.planned_only) {
        whole_figures *f = &i->world->figures;
        f->farewell = took > f->farewell ? took : f->farewell;
        if (took > FAREWELL) {
            sim_violation(k, "I12", "%s has nothing to do and takes %" PRId64 " s to stop", i->name,
                          took / TMK_SEC);
        }
    }
    sim_trace(k, "stop", ",\"owner\":\"%s\",\"seconds\":%.3f", i->name,
              (double)(k->now - i->stop_asked) / 1e9);
    end_instance(i);
}

static void run(whole_instance *i) {
    if (i->control == NULL || i->process.frozen || i->world->kernel.failed) {
        return;
    }
    sim_cancel(&i->world->kernel, &i->step);
    tmk_control_step(i->control);
    whole_check_step(i);
    whole_work(i);
    if (i->world->kernel.failed) {
        return;
    }
    if (i->step.node.index == 0) {
        plan(i);
    }
    if (i->stopping && tmk_control_left(i->control)) {
        check_left(i);
    }
}

static void on_step(sim_event *e) {
    run(sim_event_of(e, whole_instance, step));
}

/* ---- ports ---- */

static void answered(tmk_store_call *call, const tmk_store_result *result) {
    question *q = (question *)call;
    whole_instance *i = q->instance;
    uint64_t ticket = q->ticket;

    tmk_list_remove(&q->node);
    whole_check_answer(i, q->kind, q->sent, result);
    tmk_free(q);
    tmk_control_on_answer(i->control, ticket, result);
    whole_step_soon(i);
}

static void submit(void *self, uint64_t ticket, const tmk_store_op *op, tmk_fleet_class channel) {
    whole_instance *i = self;
    tmk_store store = sim_store_of(i->store);
    question *q = tmk_new(question);

    (void)channel;
    if (q == NULL) {
        abort();
    }
    q->call.answered = answered;
    q->instance = i;
    q->ticket = ticket;
    q->kind = op->kind;
    q->sent = i->world->kernel.now;
    tmk_list_push_back(&i->questions, &q->node);
    store.ops->submit(store.self, op, &q->call);
}

static void wake(void *self) {
    whole_step_soon(self);
}

/* ---- what the control tells ---- */

static tmk_status on_open(void *user, const char *partition, int64_t generation, bool checkpointed,
                          tmk_start *start) {
    whole_instance *i = user;
    whole_reader *r = &i->readers[whole_partition_of(partition)];

    (void)checkpointed;
    (void)start;
    i->world->changed_at = i->world->kernel.now; /* whoever opens has not come to rest */
    if (tmk_rng_chance(&i->rng, i->world->options.open_fails)) {
        SIM_MARK("whole: on_open refuses");
        return TMK_EBUSY;
    }
    if (r->open) {
        sim_violation(&i->world->kernel, "I5", "%s opens %s twice", i->name, partition);
    }
    bool paused = r->paused; /* by its user: that lasts longer than an opening */

    whole_reader_clear(r);
    *r = (whole_reader){.open = true,
                        .paused = paused,
                        .opening = ++i->world->openings,
                        .generation = generation,
                        .base = INT64_MAX,
                        .told = generation,
                        .opened_at = i->world->kernel.now};
    sim_trace(&i->world->kernel, "open",
              ",\"owner\":\"%s\",\"partition\":\"%s\",\"generation\":%" PRId64, i->name, partition,
              generation);
    return TMK_OK;
}

static void on_close(void *user, const char *partition, int64_t generation, tmk_close_reason reason,
                     int64_t final_sequence) {
    whole_instance *i = user;
    whole_reader *r = &i->readers[whole_partition_of(partition)];

    if (!r->open || r->generation != generation) {
        sim_violation(&i->world->kernel, "I5", "%s closes %s, which is not open", i->name,
                      partition);
    }
    bool paused = r->paused;

    whole_reader_clear(r);
    r->paused = paused;
    sim_trace(&i->world->kernel, "close",
              ",\"owner\":\"%s\",\"partition\":\"%s\",\"generation\":%" PRId64
              ",\"reason\":%d,\"position\":%" PRId64,
              i->name, partition, generation, (int)reason, final_sequence);
}

static void run_resume(whole_post *p) {
    whole_reader *r = &p->instance->readers[p->partition];
    const char *id = sim_hub_id(p->instance->world->hub, p->partition);

    if (r->open && r->opening == p->opening) {
        r->halted = r->paused = false; /* it goes on, whyever it had stopped */
        r->resumed_at = p->instance->world->kernel.now;
        whole_cure(r);
        (void)tmk_control_pause(p->instance->control, id, false);
    }
}

/* The partition stops at an event until somebody says that it may go on. */
static void on_halted(whole_instance *i, size_t partition) {
    whole_reader *r = &i->readers[partition];
    whole_post *p = whole_post_new(i, run_resume);

    SIM_MARK("whole: halted");
    r->halted = true;
    p->partition = partition;
    p->opening = r->opening;
    whole_post_send(p, tmk_rng_between(&i->rng, 500, 5000) * TMK_MS);
}

static void on_error(void *user, const tmk_problem *p) {
    whole_instance *i = user;

    whole_check_error(i, p);
    if (strstr(p->reaction, "until it is resumed") != NULL) {
        on_halted(i, whole_partition_of(p->partition));
    }
    sim_trace(&i->world->kernel, "fault",
              ",\"owner\":\"%s\",\"partition\":\"%s\",\"operation\":\"%s\",\"condition\":\"%s\","
              "\"text\":\"%s\","
              "\"reaction\":\"%s\"",
              i->name, p->partition == NULL ? "" : p->partition, p->operation, p->error->origin,
              p->error->text, p->reaction);
}

/* ---- life ---- */

static tmk_verdict never(void *user, const tmk_event *event, tmk_delivery *delivery) {
    (void)user;
    (void)event;
    (void)delivery;
    return TMK_DONE; /* the workers below stand for the handler */
}

static void fill_options(whole_instance *i) {
    const whole_options *o = &i->world->options;
    tmk_processor_options *u = &i->user;

    tmk_processor_options_init(u);
    u->on_event = never;
    u->owner_id = i->name;
    u->order = o->order;
    u->user = i;
    u->checkpoint_events = o->checkpoint_events;
    u->checkpoint_interval_ms = o->checkpoint_ms;
    u->exhausted = o->exhausted;
    u->keyless_free = o->keyless_free;
    u->lost_position = TMK_POSITION_EARLIEST;
    u->retry_attempts = 4;
    u->retry_delay_ms = 50;
    u->retry_delay_max_ms = 1000;
    u->on_dead_letter = whole_on_letter;
    u->events_max = o->events_max;
    u->prefetch = o->prefetch;
    u->bytes_max = o->bytes_max == 0 ? u->bytes_max : o->bytes_max;
    u->on_open = on_open;
    u->on_close = on_close;
    u->on_error = on_error;
    u->seed = sim_rng(&i->world->kernel, "control", i->number).s[0] | 1;
}

/* One thread: all stores of all workers are seen. */
static bool fence(void *self) {
    (void)self;
    return true;
}

static void make_control(whole_instance *i) {
    const tmk_yard_options y = {.workers = WHOLE_WORKERS,
                                .guard = {.fence = fence},
                                .later_holds = i->world->options.order != TMK_ORDER_NONE};
    tmk_control_ports ports = {
        .submit = submit, .wake = wake, .self = i, .clock = {now_of, wall_of, i}};
    tmk_control_options o;
    tmk_error err;

    fill_options(i);
    tmk_processor_options_control(&i->user, i->name, NULL, &o);
    ports.source = whole_source_of(i);
    if (tmk_yard_new(&y, &i->yard, &err) < 0 ||
        tmk_control_new(&o, &ports, i->yard, &i->control, &err) < 0) {
        abort();
    }
    for (uint32_t n = 0; n < WHOLE_WORKERS; n++) {
        if (tmk_turn_init(&i->workers[n].turn, i->yard, n, &err) < 0) {
            abort();
        }
    }
    whole_make_workers(i);
}

static void on_wake(sim_event *e) {
    whole_instance *i = sim_event_of(e, whole_instance, wake);

    sim_trace(&i->world->kernel, "state", ",\"owner\":\"%s\",\"what\":\"woken\"", i->name);
    i->trouble_at = i->world->kernel.now;
    whole_check_wake(i);
    if (tmk_rng_chance(&i->rng, 0.5)) {
        i->process.frozen = false;
        run(i); /* its timers come before what has arrived */
    }
    if (i->control != NULL) {
        sim_process_wake(&i->process);
        whole_wake_workers(i);
        whole_step_soon(i);
    }
}

/* What a waiting stop does when its time is over. */
static void on_deadline(sim_event *e) {
    whole_instance *i = sim_event_of(e, whole_instance, deadline);
    tmk_stop_report report = {0};

    if (i->process.frozen) {
        sim_at(&i->world->kernel, e, i->world->kernel.now + 100 * TMK_MS);
        return;
    }
    SIM_MARK("whole: stop at its deadline");
    tmk_control_report(i->control, &report);
    if (i->world->options.planned_only) {
        sim_violation(&i->world->kernel, "I12",
                      "%s is not through by its deadline: %u open, %" PRIu64 " in doubt", i->name,
                      report.partitions_open, report.events_in_doubt);
    }
    tmk_control_abandon(i->control);
    i->abandoned = true;
    tmk_control_step(i->control);
    end_instance(i);
}

whole_instance *whole_start(whole *w) {
    whole_instance *i = tmk_new(whole_instance);

    if (i == NULL || w->instance_count == WHOLE_INSTANCES_MAX) {
        abort();
    }
    i->world = w;
    i->number = w->instance_count;
    w->instances[w->instance_count++] = i;
    i->rng = sim_rng(&w->kernel, "instance", i->number);
    (void)snprintf(i->name, sizeof i->name, "i%zu", i->number);
    i->offset = tmk_rng_between(&i->rng, 0, 86400) * TMK_SEC;
    i->step.fire = on_step;
    i->wake.fire = on_wake;
    i->deadline.fire = on_deadline;
    tmk_list_init(&i->posts);
    tmk_list_init(&i->questions);
    sim_process_init(&i->process, &w->kernel, i->number);
    i->store = sim_store_connect(w->store, &i->process, i->number, i);
    i->hub = sim_hub_connect(w->hub, &i->process, i->number);
    make_control(i);
    sim_trace(&w->kernel, "start", ",\"owner\":\"%s\"", i->name);
    whole_step_soon(i);
    return i;
}

static void end_workers(whole_instance *i) {
    for (uint32_t n = 0; n < WHOLE_WORKERS; n++) {
        whole_worker *k = &i->workers[n];

        sim_cancel(&i->world->kernel, &k->end);
        sim_cancel(&i->world->kernel, &k->relief);
        if (k->turn.active) {
            if (k->event != NULL) {
                tmk_turn_answer(&k->turn, TMK_RETRY);
            }
            tmk_turn_end(&k->turn, local(i));
        }
        tmk_turn_clear(&k->turn);
    }
}

static void end_instance(whole_instance *i) {
    sim_kernel *k = &i->world->kernel;

    sim_cancel(k, &i->step);
    sim_cancel(k, &i->wake);
    sim_cancel(k, &i->deadline);
    sim_process_kill(&i->process);
    sim_store_disconnect(i->store);
    whole_source_end(i);
    sim_hub_disconnect(i->hub);
    i->control = tmk_control_free(i->control);
    end_workers(i);
    i->yard = tmk_yard_free(i->yard);
    while (!tmk_list_empty(&i->posts)) {
        post_free(tmk_container_of(tmk_list_first(&i->posts), whole_post, node));
    }
    while (!tmk_list_empty(&i->questions)) {
        tmk_free(tmk_container_of(tmk_list_pop_front(&i->questions), question, node));
    }
    for (size_t p = 0; p < WHOLE_PARTITIONS_MAX; p++) {
        whole_reader_clear(&i->readers[p]);
    }
}

void whole_stop(whole_instance *i, tmk_time deadline) {
    sim_kernel *k = &i->world->kernel;
    tmk_time reserve = tmk_time_min(2 * TMK_SEC, deadline / 4);

    i->world->figures.stops++;
    i->stopping = true;
    i->stop_asked = k->now;
    i->stop_deadline = k->now + deadline;
    sim_trace(k, "state", ",\"owner\":\"%s\",\"what\":\"stops\"", i->name);
    tmk_control_stop(i->control, local(i) + deadline - reserve);
    sim_at(k, &i->deadline, k->now + deadline - reserve / 4);
    whole_step_soon(i);
}

void whole_kill(whole_instance *i) {
    i->world->figures.kills++;
    sim_trace(&i->world->kernel, "state", ",\"owner\":\"%s\",\"what\":\"killed\"", i->name);
    end_instance(i);
}

void whole_freeze(whole_instance *i, tmk_time length) {
    i->world->figures.freezes++;
    sim_trace(&i->world->kernel, "state", ",\"owner\":\"%s\",\"what\":\"frozen\"", i->name);
    i->slept_at = i->trouble_at = i->world->kernel.now;
    sim_process_freeze(&i->process);
    sim_at(&i->world->kernel, &i->wake, i->world->kernel.now + length);
}

bool whole_well(const whole_instance *i, tmk_time span) {
    const whole *w = i->world;
    tmk_time since = w->kernel.now - span;

    return whole_runs(i) && !i->store_cut && !i->hub_cut && i->trouble_at < since &&
           i->token_bad_until < since && i->broken_until < since && w->trouble_at < since;
}

bool whole_runs(const whole_instance *i) {
    return i->control != NULL && !i->stopping && !i->process.frozen;
}

size_t whole_count(const whole *w) {
    size_t n = 0;

    for (size_t k = 0; k < w->instance_count; k++) {
        n += whole_runs(w->instances[k]);
    }
    return n;
}

/* ---- the world ---- */

static void on_tick(sim_event *e) {
    whole_check_tick(sim_event_of(e, whole, tick));
}

void whole_init(whole *w, const whole_options *o) {
    tmk_rng rng;

    memset(w, 0, sizeof *w);
    w->options = *o;
    sim_kernel_init(&w->kernel, o->seed, o->trace);
    w->rng = sim_rng(&w->kernel, "faults", 0);
    rng = sim_rng(&w->kernel, "store clock", 0);
    w->store = sim_store_new(&w->kernel, tmk_rng_between(&rng, 0, 100000) * TMK_SEC);
    w->hub = sim_hub_new(&w->kernel, o->partitions);
    for (size_t p = 0; p < o->partitions; p++) {
        w->partitions[p].level = w->partitions[p].written = -1;
        sim_hub_rate(w->hub, p, o->rate);
    }
    sim_store_watch_with(w->store, whole_check_applied, w);
    sim_hub_watch_with(w->hub, whole_check_attach, w);
    w->tick.fire = on_tick;
    sim_at(&w->kernel, &w->tick, w->kernel.now + TMK_SEC);
}

void whole_clear(whole *w) {
    for (size_t i = 0; i < w->instance_count; i++) {
        if (w->instances[i]->control != NULL) {
            end_instance(w->instances[i]);
        }
    }
    /* What is still on its way must come to its end before the store goes. */
    w->kernel.failed = false;
    w->kernel.trace = NULL;
    sim_store_watch_with(w->store, NULL, NULL);
    sim_cancel(&w->kernel, &w->tick);
    sim_run(&w->kernel, w->kernel.now + 100 * TMK_SEC);
    for (size_t i = 0; i < w->instance_count; i++) {
        tmk_free(w->instances[i]);
    }
    for (size_t p = 0; p < w->options.partitions; p++) {
        tmk_free(w->partitions[p].final);
        tmk_ranges_clear(&w->partitions[p].mapped);
    }
    w->hub = sim_hub_free(w->hub);
    w->store = sim_store_free(w->store);
    sim_kernel_clear(&w->kernel);
}
