/*
 * Processes of a kit. Each has a real client on a loop of its own, whose clock
 * is the kernel's, and at most one processor, whose handlers are called here.
 *
 * A callback runs at one moment; what it answered is given back when its time
 * is over, if its process still lives.
 */
#include "kit.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "eventhubs/source_amqp.h"

static const char nowhere[] =
    "Endpoint=sb://localhost;SharedAccessKeyName=testkit;SharedAccessKey=dGVzdGtpdA==;"
    "EntityPath=hub;UseDevelopmentEmulator=true";

/* ---- clocks ---- */

static tmk_time now_of(void *self) {
    const tmk_kit_instance *i = self;

    return i->kit->kernel.now + i->offset;
}

static tmk_wall wall_of(void *self) {
    const tmk_kit *k = ((const tmk_kit_instance *)self)->kit;

    return (tmk_wall){k->o.begin_ms * 1000 + (k->kernel.now - k->begin) / TMK_US};
}

/* ---- handlers ---- */

static void end_callback(kit_worker *w) {
    tmk_kit_instance *i = w->instance;

    w->busy = w->waits = false;
    kit_note_answered(i, &w->handing);
    i->hands.end(i->hands.self, w->index);
}

/* Calls a handler; true: it is busy now. */
static bool begin_callback(kit_worker *w) {
    tmk_kit_instance *i = w->instance;
    tmk_kit *k = i->kit;
    tmk_time takes = k->o.handler_us * TMK_US;
    bool called = false;

    kit_enter(k, i);
    k->taking = &takes;
    called = i->hands.begin(i->hands.self, w->index, &w->handing);
    k->taking = NULL;
    kit_leave(k, i);
    if (!called) {
        return false;
    }
    w->busy = true;
    kit_note_handed(i, &w->handing);
    if (takes == 0) {
        end_callback(w);
    } else {
        sim_at(&k->kernel, &w->end, tmk_time_after(k->kernel.now, takes));
    }
    return true;
}

/* Idle workers look for something to do. */
static void work(tmk_kit_instance *i) {
    for (uint32_t n = 0; n < i->hands.count && i->workers != NULL; n++) {
        while (!i->dead && !i->process.frozen && !i->workers[n].busy &&
               begin_callback(&i->workers[n])) {
        }
    }
}

static void on_end(sim_event *e) {
    kit_worker *w = sim_event_of(e, kit_worker, end);

    if (w->instance->process.frozen) {
        w->waits = true;
        return;
    }
    end_callback(w);
    work(w->instance);
}

/* ---- turns of its loop ---- */

static void take_turn(tmk_kit_instance *i) {
    kit_enter(i->kit, i);
    if (tmk_client_turn(i->client, NULL) < 0) {
        sim_violation(&i->kit->kernel, "loop", "an event loop failed");
    }
    kit_leave(i->kit, i);
    i->turned = true;
    work(i);
}

static void on_turn(sim_event *e) {
    tmk_kit_instance *i = sim_event_of(e, tmk_kit_instance, turn);

    if (!i->dead && !i->process.frozen) {
        take_turn(i);
    }
}

void kit_plan(tmk_kit_instance *i) {
    sim_kernel *k = &i->kit->kernel;
    tmk_time due = TMK_NEVER;

    if (i->dead || i->process.frozen) {
        return;
    }
    due = tmk_loop_deadline(tmk_client_loop(i->client));
    if (due == TMK_NEVER) {
        sim_cancel(k, &i->turn);
        return;
    }
    due = due - i->offset < k->now ? k->now : due - i->offset;
    if (i->turn.node.index == 0 || i->turn.node.due != due) {
        sim_at(k, &i->turn, due);
    }
}

void kit_wake(tmk_kit_instance *i) {
    if (i->dead || !i->process.frozen) {
        return;
    }
    sim_trace(&i->kit->kernel, "state", ",\"owner\":\"%s\",\"what\":\"woken\"", i->name);
    sim_cancel(&i->kit->kernel, &i->wake);
    if (tmk_rng_chance(&i->rng, 0.5)) {
        i->process.frozen = false;
        take_turn(i); /* its timers come before what has arrived */
    }
    sim_process_wake(&i->process);
    for (uint32_t n = 0; n < i->hands.count; n++) {
        if (i->workers[n].waits) {
            end_callback(&i->workers[n]);
        }
    }
    work(i);
}

static void on_wake(sim_event *e) {
    kit_wake(sim_event_of(e, tmk_kit_instance, wake));
}

/* ---- the world, as its client sees it ---- */

static bool has_turned(void *user) {
    return ((tmk_kit_instance *)user)->turned;
}

/* It is over: what is still asked is answered, so that all can be freed. */
static void finish_questions(tmk_kit_instance *i) {
    sim_store_forget(i->store);
    (void)tmk_client_turn(i->client, NULL);
}

static tmk_status turn(void *self, tmk_time deadline, tmk_error *err) {
    tmk_kit_instance *i = self;
    tmk_kit *k = i->kit;

    if (k->inside > 0) {
        return tmk_fail(err, TMK_ESTATE, "testkit", "time cannot pass inside a callback");
    }
    if (i->dead || k->ending || k->kernel.failed) {
        finish_questions(i);
        return i->dead || k->ending
                   ? tmk_fail(err, TMK_ECANCELED, "testkit", "the process was killed")
                   : kit_pass(k, 0, NULL, NULL, err);
    }
    i->turned = false;
    tmk_status st =
        kit_pass(k, deadline == TMK_NEVER ? TMK_NEVER : deadline - i->offset, has_turned, i, err);
    return st > 0 ? TMK_OK : st;
}

static tmk_status join_group(tmk_kit *k, const char *group, tmk_error *err) {
    if (k->group == NULL) {
        k->group = tmk_copy_str(group);
        return k->group == NULL ? tmk_fail(err, TMK_ENOMEM, "testkit", "no memory for a group")
                                : TMK_OK;
    }
    return strcmp(k->group, group) == 0
               ? TMK_OK
               : tmk_fail(err, TMK_EINVAL, "testkit",
                          "all processors of a kit are in one group: '%.60s', not '%.60s'",
                          k->group, group);
}

static tmk_status make_source(void *self, const char *group, tmk_source *out, tmk_error *err) {
    tmk_kit_instance *i = self;
    const sim_source_options o = {.hub = i->kit->hub,
                                  .client = i->hub,
                                  .process = &i->process,
                                  .rng = &i->rng,
                                  .events = &kit_events,
                                  .self = i,
                                  .keep_bytes = 1 << 20};
    tmk_status st = TMK_OK;

    if (i->dead) {
        return tmk_fail(err, TMK_ESTATE, "testkit", "instance '%s' was killed", i->name);
    }
    if (i->source != NULL) {
        return tmk_fail(err, TMK_EINVAL, "testkit",
                        "instance '%s' has a processor already; join another", i->name);
    }
    st = join_group(i->kit, group, err);
    if (st < 0) {
        return st;
    }
    i->source = sim_source_new(&i->kit->kernel, &o);
    if (i->source == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "testkit", "no memory for the links of an instance");
    }
    *out = sim_source_of(i->source);
    return TMK_OK;
}

static void free_source(void *self, tmk_source source) {
    tmk_kit_instance *i = self;

    (void)source;
    for (uint32_t n = 0; n < i->hands.count; n++) {
        sim_cancel(&i->kit->kernel, &i->workers[n].end);
    }
    tmk_free(i->workers);
    i->workers = NULL;
    i->hands = (tmk_hands){0};
    i->source = sim_source_free(i->source);
}

static tmk_status employ(void *self, const tmk_hands *hands, tmk_error *err) {
    tmk_kit_instance *i = self;

    i->workers = tmk_alloc_zero(hands->count, sizeof *i->workers);
    if (i->workers == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "testkit", "no memory for the handlers of an instance");
    }
    i->hands = *hands;
    for (uint32_t n = 0; n < hands->count; n++) {
        i->workers[n] = (kit_worker){.instance = i, .index = n, .end.fire = on_end};
    }
    return TMK_OK;
}

static const char *name_of(void *self) {
    return ((tmk_kit_instance *)self)->name;
}

static uint64_t seed_of(void *self) {
    return tmk_rng_next(&((tmk_kit_instance *)self)->rng);
}

static const tmk_client_world world = {turn, make_source, free_source, employ, name_of, seed_of};

static tmk_status no_stream(void *self, tmk_loop *loop, const tmk_stream_options *options,
                            tmk_stream **out, tmk_error *err) {
    (void)self;
    (void)loop;
    (void)options;
    (void)out;
    return tmk_fail(err, TMK_EUNSUPPORTED, "testkit",
                    "the test kit has no network: a processor is all that it serves");
}

/* ---- life ---- */

static void kill_now(tmk_kit_instance *i) {
    sim_kernel *k = &i->kit->kernel;

    if (i->dead) {
        return;
    }
    sim_trace(k, "state", ",\"owner\":\"%s\",\"what\":\"killed\"", i->name);
    i->dead = true;
    sim_cancel(k, &i->turn);
    sim_cancel(k, &i->wake);
    sim_cancel(k, &i->doom);
    sim_process_kill(&i->process);
    if (i->hands.self != NULL) {
        i->hands.crash(i->hands.self);
    }
    sim_hub_disconnect(i->hub);
    finish_questions(i);
}

static void on_doom(sim_event *e) {
    kill_now(sim_event_of(e, tmk_kit_instance, doom));
}

void tmk_kit_kill(tmk_kit_instance *i) {
    if (i->inside > 0) {
        sim_at(&i->kit->kernel, &i->doom, i->kit->kernel.now);
    } else {
        kill_now(i);
    }
}

static void on_store_back(sim_event *e) {
    sim_store_cut(sim_event_of(e, tmk_kit_instance, store_back)->store, false);
}

static void on_hub_back(sim_event *e) {
    sim_hub_cut(sim_event_of(e, tmk_kit_instance, hub_back)->hub, false);
}

static tmk_status check_name(const tmk_kit *k, const char *name, tmk_error *err) {
    size_t size = strlen(name);

    for (size_t n = 0; n < size; n++) {
        if (!isgraph((unsigned char)name[n])) {
            size = 0;
        }
    }
    if (size < 1 || size > 100) {
        return tmk_fail(err, TMK_EINVAL, "testkit",
                        "the name of an instance is 1 to 100 printable characters without blanks");
    }
    for (size_t n = 0; n < k->instance_count; n++) {
        if (strcmp(k->instances[n]->name, name) == 0) {
            return tmk_fail(err, TMK_EINVAL, "testkit", "there is an instance '%s' already", name);
        }
    }
    return TMK_OK;
}

static tmk_status fill_instance(tmk_kit_instance *i, tmk_error *err) {
    const tmk_client_seams seams = {.world = &world,
                                    .clock = {now_of, wall_of, i},
                                    .seed = tmk_rng_next(&i->rng),
                                    .open_stream = no_stream,
                                    .self = i};
    tmk_kit *k = i->kit;
    tmk_client_options o;

    i->turn.fire = on_turn;
    i->wake.fire = on_wake;
    i->doom.fire = on_doom;
    i->store_back.fire = on_store_back;
    i->hub_back.fire = on_hub_back;
    i->store = sim_store_connect(k->store, &i->process, i->number, i);
    i->hub = sim_hub_connect(k->hub, &i->process, i->number);
    if (i->store == NULL || i->hub == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "testkit", "no memory for an instance");
    }
    tmk_client_options_init(&o);
    o.connection_string = nowhere;
    o.caller_driven = true;
    return tmk_client_make(&o, &seams, &i->client, err);
}

tmk_status tmk_kit_join(tmk_kit *k, const char *name, tmk_kit_instance **out, tmk_error *err) {
    tmk_kit_instance *i = NULL;
    tmk_status st = TMK_OK;
    char own[16];

    (void)snprintf(own, sizeof own, "i%zu", k->instance_count);
    name = name == NULL ? own : name;
    if (k->instance_count == KIT_INSTANCES_MAX) {
        return tmk_fail(err, TMK_ELIMIT, "testkit", "a kit has at most %d instances in its life",
                        KIT_INSTANCES_MAX);
    }
    st = check_name(k, name, err);
    if (st < 0) {
        return st;
    }
    i = tmk_new(tmk_kit_instance);
    if (i == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "testkit", "no memory for an instance");
    }
    i->kit = k;
    i->number = k->instance_count;
    (void)snprintf(i->name, sizeof i->name, "%s", name);
    i->rng = sim_rng(&k->kernel, "instance", i->number);
    i->offset = tmk_rng_between(&i->rng, 0, 86400) * TMK_SEC;
    sim_process_init(&i->process, &k->kernel, i->number);
    st = fill_instance(i, err);
    if (st < 0) {
        (void)kit_instance_free(i);
        return st;
    }
    k->instances[k->instance_count++] = i;
    if (k->hub_down_until > k->kernel.now) {
        sim_hub_cut(i->hub, true);
        sim_at(&k->kernel, &i->hub_back, k->hub_down_until);
    }
    sim_trace(&k->kernel, "start", ",\"owner\":\"%s\"", i->name);
    *out = i;
    return TMK_OK;
}

tmk_kit_instance *kit_instance_free(tmk_kit_instance *i) {
    if (i == NULL) {
        return NULL;
    }
    sim_cancel(&i->kit->kernel, &i->turn);
    sim_cancel(&i->kit->kernel, &i->wake);
    sim_cancel(&i->kit->kernel, &i->doom);
    sim_cancel(&i->kit->kernel, &i->store_back);
    sim_cancel(&i->kit->kernel, &i->hub_back);
    sim_process_kill(&i->process);
    i->client = tmk_client_free(i->client);
    sim_store_drop(i->store);
    tmk_free(i);
    return NULL;
}

tmk_client *tmk_kit_client(tmk_kit_instance *i) {
    return i->client;
}

tmk_store tmk_kit_store(tmk_kit_instance *i) {
    return sim_store_of(i->store);
}
