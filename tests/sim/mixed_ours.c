/* Tidemark's fleets in the mixed world. */
#include "mixed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/call.h"

typedef struct question {
    tmk_store_call call; /* first: the store frees it by this when the process ends */
    mixed_actor *actor;
    uint64_t ticket;
} question;

static tmk_time now_of(const mixed_actor *a) {
    return a->world->kernel.now;
}

static const char *part(const mixed_reader *r) {
    return sim_hub_id(r->actor->world->hub, r->partition);
}

/* --- what the links tell --- */

static void on_opened(void *user) {
    mixed_reader *r = user;
    mixed_actor *a = r->actor;

    if (r->state != MIXED_OPENING) {
        return;
    }
    r->state = MIXED_RUNS;
    r->since = r->attached_at = now_of(a);
    sim_at(&a->world->kernel, &r->save, now_of(a) + a->save_every);
    tmk_fleet_on_opened(a->fleet, now_of(a), part(r));
    ours_run(a);
}

static void on_ended(void *user) {
    mixed_reader *r = user;

    mixed_advance(r);
    r->lost = true;
    if (r->state == MIXED_NOT || r->state == MIXED_STOPS) {
        return;
    }
    sim_trace(&r->actor->world->kernel, "fault",
              ",\"owner\":\"%s\",\"partition\":\"%zu\",\"what\":\"stolen\"", r->actor->id,
              r->partition);
    tmk_fleet_on_stolen(r->actor->fleet, now_of(r->actor), part(r));
    ours_run(r->actor);
}

static void on_trouble(void *user, bool up) {
    mixed_reader *r = user;

    mixed_advance(r);
    if (up) {
        r->attached_at = now_of(r->actor);
    }
    tmk_fleet_on_link(r->actor->fleet, now_of(r->actor), part(r), up);
    ours_run(r->actor);
}

static const sim_link_events link_events = {on_opened, on_ended, on_trouble};

static tmk_checkpoint checkpoint_of(const mixed_reader *r, char offset[24]) {
    (void)snprintf(offset, 24, "%" PRId64, r->final * 64);
    return (tmk_checkpoint){
        .present = r->final >= 0, .sequence_known = true, .sequence = r->final, .offset = offset};
}

static void on_save(sim_event *e) {
    mixed_reader *r = sim_event_of(e, mixed_reader, save);
    mixed_actor *a = r->actor;
    char offset[24];

    if (a->fleet == NULL || r->state != MIXED_RUNS) {
        return;
    }
    sim_at(&a->world->kernel, e, now_of(a) + a->save_every);
    mixed_advance(r);
    if (!a->frozen && r->final >= 0) {
        tmk_checkpoint c = checkpoint_of(r, offset);

        if (tmk_fleet_checkpoint(a->fleet, now_of(a), part(r), &c) < 0) {
            abort();
        }
        ours_run(a);
    }
}

static void on_finish(sim_event *e) {
    mixed_reader *r = sim_event_of(e, mixed_reader, finish);
    mixed_actor *a = r->actor;
    mixed_reading state = r->state;
    char offset[24];
    tmk_checkpoint c;

    if (a->frozen) {
        sim_at(&a->world->kernel, e, now_of(a) + 100 * TMK_MS);
        return;
    }
    if (state == MIXED_DRAINS) {
        mixed_final(r, r->dispatched);
    }
    c = checkpoint_of(r, offset);
    mixed_close(r);
    if (state == MIXED_DRAINS) {
        if (tmk_fleet_on_drained(a->fleet, now_of(a), part(r), &c) < 0) {
            abort();
        }
    } else {
        tmk_fleet_on_stopped(a->fleet, now_of(a), part(r));
    }
    ours_run(a);
}

/* --- carrying out --- */

static void answered(tmk_store_call *call, const tmk_store_result *result) {
    question *q = (question *)call;
    mixed_actor *a = q->actor;
    uint64_t ticket = q->ticket;

    tmk_free(q);
    tmk_fleet_on_answer(a->fleet, now_of(a), ticket, result);
    ours_run(a);
}

static void submit(mixed_actor *a, const tmk_fleet_act *act) {
    tmk_store store = sim_blobs_store(a->store);
    question *q = tmk_new(question);

    if (q == NULL) {
        abort();
    }
    q->call.answered = answered;
    q->actor = a;
    q->ticket = act->ticket;
    store.ops->submit(store.self, act->op, &q->call);
}

static void open_reader(mixed_actor *a, mixed_reader *r, const tmk_fleet_act *act) {
    mixed *m = a->world;
    const char *owner = mixed_owner(m, r->partition);

    if (strcmp(owner, tmk_fleet_id(a->fleet)) != 0 &&
        now_of(a) - m->truth[r->partition].changed_at > 10 * TMK_SEC) {
        sim_violation(&m->kernel, "M3", "%s opens %zu, which is '%s''s", a->id, r->partition,
                      owner);
    }
    if (r->state != MIXED_NOT || act->owner_level > 1) {
        sim_violation(&m->kernel, "M3", "%s opens %zu twice", a->id, r->partition);
        return;
    }
    mixed_open(r, act->checkpoint->present ? act->checkpoint->sequence : -1, act->owner_level,
               &link_events);
}

static void end_reader(mixed_actor *a, mixed_reader *r, mixed_reading how) {
    if (r->state == MIXED_NOT || r->state == how) {
        sim_violation(&a->world->kernel, "M3", "%s ends the reading of %zu, which it does not read",
                      a->id, r->partition);
        return;
    }
    mixed_advance(r);
    r->state = how;
    sim_at(&a->world->kernel, &r->finish,
           now_of(a) +
               tmk_rng_between(&a->rng, TMK_MS, how == MIXED_DRAINS ? TMK_SEC : 50 * TMK_MS));
}

static void check_left(mixed_actor *a) {
    for (size_t p = 0; p < a->world->partitions; p++) {
        if (strcmp(mixed_owner(a->world, p), a->id) == 0) {
            sim_violation(&a->world->kernel, "M7", "%s has left, and owns %zu", a->id, p);
        }
    }
}

static void set_fence(mixed_actor *a, mixed_reader *r, bool on) {
    for (size_t p = 0; p < a->world->partitions; p++) {
        mixed_advance(&a->readers[p]);
    }
    *(r == NULL ? &a->fenced : &r->fenced) = on;
}

static void carry_out(mixed_actor *a, const tmk_fleet_act *act) {
    mixed_reader *r =
        act->partition == NULL ? NULL : &a->readers[strtoul(act->partition, NULL, 10)];

    switch (act->kind) {
    case TMK_FLEET_SUBMIT:
        submit(a, act);
        break;
    case TMK_FLEET_OPEN:
        open_reader(a, r, act);
        break;
    case TMK_FLEET_DRAIN:
        end_reader(a, r, MIXED_DRAINS);
        break;
    case TMK_FLEET_STOP:
        end_reader(a, r, MIXED_STOPS);
        break;
    case TMK_FLEET_FENCE:
    case TMK_FLEET_UNFENCE:
        set_fence(a, r, act->kind == TMK_FLEET_FENCE);
        break;
    case TMK_FLEET_HOLD:
    case TMK_FLEET_RESUME:
        mixed_advance(r);
        r->held = act->kind == TMK_FLEET_HOLD;
        break;
    case TMK_FLEET_LEFT:
        check_left(a);
        a->stopping = true;
        break;
    default:
        break;
    }
}

void ours_run(mixed_actor *a) {
    mixed *m = a->world;
    tmk_fleet_act act;
    tmk_time due = 0;

    if (a->frozen || a->fleet == NULL) {
        return;
    }
    while (tmk_fleet_next(a->fleet, now_of(a), &act)) {
        bool left = act.kind == TMK_FLEET_LEFT;

        (void)snprintf(a->id, sizeof a->id, "%s", tmk_fleet_id(a->fleet));
        carry_out(a, &act);
        if (left) {
            mixed_kill(a);
            return;
        }
    }
    a->trust = tmk_fleet_trust(a->fleet);
    due = tmk_fleet_deadline(a->fleet);
    if (due <= now_of(a)) {
        sim_violation(&m->kernel, "spin", "%s has nothing to do, and is due", a->id);
    } else if (due != TMK_NEVER) {
        sim_at(&m->kernel, &a->step, due);
    }
}

static void on_step(sim_event *e) {
    ours_run(sim_event_of(e, mixed_actor, step));
}

void ours_start(mixed_actor *a) {
    mixed *m = a->world;
    const char *ids[MIXED_PARTITIONS_MAX];
    tmk_fleet_options o;
    char name[16];
    tmk_rng seed = sim_rng(&m->kernel, "fleet", a->number);

    (void)snprintf(name, sizeof name, "t%zu", a->number);
    for (size_t p = 0; p < m->partitions; p++) {
        ids[p] = sim_hub_id(m->hub, p);
        a->readers[p].save.fire = on_save;
        a->readers[p].finish.fire = on_finish;
    }
    a->step.fire = on_step;
    a->store = sim_blobs_connect(m->blobs, &a->process, a->number, a);
    tmk_fleet_options_init(&o, TMK_CLAIMS_SHARED);
    o.instance = name;
    if (tmk_fleet_new(&o, &seed, &a->fleet, NULL) < 0 ||
        tmk_fleet_partitions(a->fleet, now_of(a), ids, m->partitions, NULL) < 0) {
        abort();
    }
    ours_run(a);
}

void ours_stop(mixed_actor *a) {
    tmk_fleet_stop(a->fleet, now_of(a));
    ours_run(a);
}

void ours_end(mixed_actor *a) {
    sim_blobs_disconnect(a->store);
    a->fleet = tmk_fleet_free(a->fleet);
}
