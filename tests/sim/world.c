/* Instances and their reading. */
#include "world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/call.h"

/* How much faster than it comes in a partition can be read. */
#define CATCH_UP 20

/* A question of a fleet to the store. */
typedef struct question {
    tmk_store_call call;
    sim_instance *instance;
    uint64_t ticket;
    tmk_store_op_kind kind;
    tmk_time sent;
} question;

static void run(sim_instance *i);

/* --- clocks --- */

static tmk_time local(const sim_instance *i) {
    tmk_time t = i->world->kernel.now;

    return t + i->clock_offset + t / 1000000 * i->clock_ppm;
}

static void schedule(sim_instance *i) {
    tmk_time due = tmk_fleet_deadline(i->fleet), now = local(i);

    if (due == TMK_NEVER) {
        return;
    }
    if (due <= now) {
        sim_violation(&i->world->kernel, "spin", "%s has nothing to do, and is due", i->name);
        return;
    }
    sim_at(&i->world->kernel, &i->step,
           i->world->kernel.now + (due - now) + (due - now) / 100000 + 2000);
}

/* --- reading --- */

static bool runs(const sim_reader *r) {
    return r->state == SIM_READING_RUNS && r->opened && !r->fenced && !r->held && !r->lost &&
           !r->instance->fenced && !r->instance->process.frozen &&
           local(r->instance) <= r->instance->trust;
}

/* Events that a handler has in hand. */
static int64_t in_hand(const sim_reader *r) {
    return 1 + r->instance->world->options.rate * (r->instance->handler / TMK_MS) / 1000;
}

static void make_final(sim_reader *r, int64_t final) {
    sim_truth *t = &r->instance->world->truth[r->partition];

    if (final > r->final) {
        r->final = final;
    }
    if (r->final > t->done) {
        t->done = r->final;
    }
}

static void advance(sim_reader *r) {
    sim_world *w = r->instance->world;
    sim_truth *t = &w->truth[r->partition];
    tmk_time now = w->kernel.now;
    int64_t can = 0, readable = 0;

    if (!runs(r)) {
        r->since = now;
        return;
    }
    readable = sim_link_readable(r->link);
    can = r->dispatched + 1 + w->options.rate * CATCH_UP * ((now - r->since) / TMK_MS) / 1000;
    can = can < readable ? can : readable;
    if (can > r->dispatched) {
        sim_check_dispatch(r, r->dispatched + 1, can);
        r->dispatched = can;
        t->dispatched = can > t->dispatched ? can : t->dispatched;
        r->since = now;
        make_final(r, r->dispatched - in_hand(r));
    }
}

static void set_unread(sim_reader *r, bool planned) {
    sim_truth *t = &r->instance->world->truth[r->partition];

    if (t->readers > 0 && --t->readers == 0) {
        t->unread_since = r->instance->world->kernel.now;
        t->planned_gap = planned;
    }
}

static void add_gap(sim_world *w, tmk_time gap, bool planned) {
    sim_figures *f = &w->figures;

    if (planned && f->gap_count < SIM_GAPS_MAX) {
        f->gaps[f->gap_count++] = gap;
    } else if (!planned && f->crash_gap_count < SIM_GAPS_MAX) {
        f->crash_gaps[f->crash_gap_count++] = gap;
    }
}

static void set_read(sim_reader *r) {
    sim_world *w = r->instance->world;
    sim_truth *t = &w->truth[r->partition];

    if (t->readers++ == 0 && t->unread_since >= 0) {
        add_gap(w, w->kernel.now - t->unread_since, t->planned_gap);
    }
    t->unread_since = -1;
}

static void on_opened(void *user) {
    sim_reader *r = user;
    sim_instance *i = r->instance;

    if (r->state != SIM_READING_OPENING) {
        return;
    }
    r->state = SIM_READING_RUNS;
    r->opened = true;
    r->since = i->world->kernel.now;
    set_read(r);
    sim_at(&i->world->kernel, &r->save,
           i->world->kernel.now + tmk_rng_between(&i->rng, i->save_every / 4, i->save_every));
    tmk_fleet_on_opened(i->fleet, local(i), sim_hub_id(i->world->hub, r->partition));
    run(i);
}

static void on_ended(void *user) {
    sim_reader *r = user;
    sim_instance *i = r->instance;

    SIM_MARK("link stolen");
    advance(r);
    r->lost = true;
    if (r->state == SIM_READING_NOT || r->state == SIM_READING_STOPS) {
        return;
    }
    r->lost_generation = r->opened_generation;
    r->lost_at = i->world->kernel.now;
    r->asked_since = false;
    sim_trace(&i->world->kernel, "fault",
              ",\"owner\":\"%s\",\"partition\":\"%zu\",\"condition\":\"amqp:link:stolen\"",
              tmk_fleet_id(i->fleet), r->partition);
    tmk_fleet_on_stolen(i->fleet, local(i), sim_hub_id(i->world->hub, r->partition));
    run(i);
}

static void on_trouble(void *user, bool up) {
    sim_reader *r = user;
    sim_instance *i = r->instance;

    tmk_fleet_on_link(i->fleet, local(i), sim_hub_id(i->world->hub, r->partition), up);
    run(i);
}

static const sim_link_events link_events = {on_opened, on_ended, on_trouble};

static void close_link(sim_reader *r) {
    if (r->link != NULL) {
        sim_hub_close(r->link);
        r->link = NULL;
    }
}

/* What is handed to the fleet as a checkpoint; some carry a done-map, which must come back whole.
 */
static tmk_checkpoint checkpoint_of(sim_reader *r, char offset[24], int64_t *tag) {
    tmk_checkpoint c = {
        .present = r->final >= 0, .sequence_known = true, .sequence = r->final, .offset = offset};

    (void)snprintf(offset, 24, "%" PRId64, r->final * 64);
    *tag = r->final ^ INT64_C(0x5bd1e995);
    if (r->final % 3 == 0) {
        c.done_map = tmk_slice_of(tag, sizeof *tag);
    }
    return c;
}

static void on_save(sim_event *e) {
    sim_reader *r = sim_event_of(e, sim_reader, save);
    sim_instance *i = r->instance;
    char offset[24];
    int64_t tag = 0;

    if (r->state != SIM_READING_RUNS || i->fleet == NULL) {
        return;
    }
    sim_at(&i->world->kernel, e,
           i->world->kernel.now +
               tmk_rng_between(&i->rng, i->save_every * 4 / 5, i->save_every * 6 / 5));
    if (i->process.frozen) {
        return;
    }
    advance(r);
    if (r->final >= 0) {
        tmk_checkpoint c = checkpoint_of(r, offset, &tag);

        if (tmk_fleet_checkpoint(i->fleet, local(i), sim_hub_id(i->world->hub, r->partition), &c) <
            0) {
            abort();
        }
        if (r->final > 60 && tmk_rng_chance(&i->rng, 0.05)) { /* told late, and no news */
            c.sequence -= tmk_rng_between(&i->rng, 1, 50);
            c.done_map.size = 0;
            if (tmk_fleet_checkpoint(i->fleet, local(i), sim_hub_id(i->world->hub, r->partition),
                                     &c) < 0) {
                abort();
            }
        }
        run(i);
    }
}

/* The handlers have returned: after a drain all that was dispatched is final. */
static void on_finish(sim_event *e) {
    sim_reader *r = sim_event_of(e, sim_reader, finish);
    sim_instance *i = r->instance;
    const char *id = sim_hub_id(i->world->hub, r->partition);
    sim_reading state = r->state;
    char offset[24];
    int64_t tag = 0;

    if (i->fleet == NULL) {
        return;
    }
    if (i->process.frozen) {
        sim_at(&i->world->kernel, e, i->world->kernel.now + 100 * TMK_MS);
        return;
    }
    r->state = SIM_READING_NOT;
    close_link(r);
    if (state == SIM_READING_DRAINS) {
        tmk_checkpoint c;

        make_final(r, r->dispatched);
        r->drained = !r->lost;
        c = checkpoint_of(r, offset, &tag);
        if (tmk_fleet_on_drained(i->fleet, local(i), id, &c) < 0) {
            abort();
        }
    } else {
        tmk_fleet_on_stopped(i->fleet, local(i), id);
    }
    run(i);
}

/* --- carrying out --- */

static sim_reader *reader_of(sim_instance *i, const char *partition) {
    return &i->readers[strtoul(partition, NULL, 10)];
}

static void answered(tmk_store_call *call, const tmk_store_result *result) {
    question *q = (question *)call;
    sim_instance *i = q->instance;
    uint64_t ticket = q->ticket;

    if (i->lease_ran_out && q->sent < i->slept_at && result->status == TMK_OK) {
        if (q->kind == TMK_STORE_MEMBER_RENEW) {
            SIM_MARK("heartbeat from before a sleep");
        } else if (q->kind == TMK_STORE_PARTITION_CLAIM) {
            SIM_MARK("claim from before a sleep");
        }
    }
    tmk_free(q);
    tmk_fleet_on_answer(i->fleet, local(i), ticket, result);
    run(i);
}

static void submit(sim_instance *i, const tmk_fleet_act *act) {
    tmk_store store = sim_store_of(i->store);
    question *q = tmk_new(question);

    if (q == NULL) {
        abort();
    }
    q->call.answered = answered;
    q->instance = i;
    q->ticket = act->ticket;
    q->kind = act->op->kind;
    q->sent = i->world->kernel.now;
    sim_check_submit(i, act->op);
    if (act->op->kind == TMK_STORE_MEMBER_RENEW && i->freeze_with_heartbeat > 0) {
        sim_at(&i->world->kernel, &i->freeze, i->world->kernel.now);
    }
    store.ops->submit(store.self, act->op, &q->call);
}

static void open_reader(sim_instance *i, const tmk_fleet_act *act) {
    sim_world *w = i->world;
    sim_reader *r = reader_of(i, act->partition);

    if (r->state != SIM_READING_NOT) {
        sim_violation(&w->kernel, "I5", "%s opens %s twice", i->name, act->partition);
        return;
    }
    r->state = SIM_READING_OPENING;
    r->opened = r->fenced = r->held = r->lost = r->drained = false;
    r->generation = act->generation;
    sim_check_open(r, act);
    r->opened_generation = act->generation;
    (void)snprintf(r->opened_id, sizeof r->opened_id, "%s", tmk_fleet_id(i->fleet));
    r->dispatched = r->final = act->checkpoint->present ? act->checkpoint->sequence : -1;
    r->link = sim_hub_open(i->hub, r->partition, act->owner_level, &link_events, r);
    sim_trace(&w->kernel, "open",
              ",\"owner\":\"%s\",\"partition\":\"%s\",\"generation\":%" PRId64
              ",\"position\":%" PRId64,
              tmk_fleet_id(i->fleet), act->partition, act->generation, r->dispatched);
}

static void end_reading(sim_instance *i, const tmk_fleet_act *act, sim_reading how) {
    sim_world *w = i->world;
    sim_reader *r = reader_of(i, act->partition);
    tmk_time longest = how == SIM_READING_DRAINS ? i->drain_max : 50 * TMK_MS;

    if (r->state == SIM_READING_NOT || r->state == how) {
        sim_violation(&w->kernel, "I5", "%s ends the reading of %s, which it does not read",
                      i->name, act->partition);
        return;
    }
    advance(r);
    if (r->state == SIM_READING_RUNS) {
        set_unread(r, how == SIM_READING_DRAINS);
    }
    r->state = how;
    sim_cancel(&w->kernel, &r->save);
    sim_at(&w->kernel, &r->finish, w->kernel.now + tmk_rng_between(&i->rng, TMK_MS, longest));
    sim_trace(&w->kernel, "close",
              ",\"owner\":\"%s\",\"partition\":\"%s\",\"generation\":%" PRId64
              ",\"reason\":\"%s\",\"position\":%" PRId64,
              tmk_fleet_id(i->fleet), act->partition, r->generation,
              how == SIM_READING_DRAINS ? "moved" : "lost", r->dispatched);
}

static void advance_all(sim_instance *i) {
    for (size_t p = 0; p < i->world->options.partitions; p++) {
        if (i->readers[p].state == SIM_READING_RUNS) {
            advance(&i->readers[p]);
        }
    }
}

static void set_fence(sim_instance *i, const tmk_fleet_act *act, bool on) {
    sim_reader *r = act->partition == NULL ? NULL : reader_of(i, act->partition);

    SIM_MARK("fence");
    if (r == NULL) {
        if (!on) {
            advance_all(i); /* up to now it was fenced: nothing moves */
        }
        i->fenced = on;
        return;
    }
    advance(r);
    r->fenced = on;
    r->since = i->world->kernel.now;
}

static const char *const notes[] = {[TMK_FLEET_JOINED] = "joined",
                                    [TMK_FLEET_VIEW] = "view",
                                    [TMK_FLEET_CLAIMED] = "claimed",
                                    [TMK_FLEET_ACCEPTED] = "accepted",
                                    [TMK_FLEET_HANDED] = "handed",
                                    [TMK_FLEET_RELEASED] = "released",
                                    [TMK_FLEET_LOST] = "lost",
                                    [TMK_FLEET_EVICTED] = "evicted",
                                    [TMK_FLEET_WAS_EVICTED] = "was_evicted",
                                    [TMK_FLEET_CLAIM_REFUSED] = "refused"};

static const char *event_of(tmk_fleet_note note) {
    switch (note) {
    case TMK_FLEET_CLAIMED:
    case TMK_FLEET_CLAIM_REFUSED:
    case TMK_FLEET_LOST:
        return "claim";
    case TMK_FLEET_ACCEPTED:
    case TMK_FLEET_HANDED:
    case TMK_FLEET_RELEASED:
        return "handoff";
    case TMK_FLEET_EVICTED:
    case TMK_FLEET_WAS_EVICTED:
        return "evict";
    default:
        return "state";
    }
}

/* While loads alone move partitions: a few at a time, and none to and fro. */
static void note_level(sim_instance *i, size_t partition) {
    sim_world *w = i->world;
    tmk_time every = w->options.weigh_every == 0 ? TMK_MIN : w->options.weigh_every;

    w->moved_at = w->kernel.now;
    if (!w->levelling) {
        return;
    }
    w->moves_allowed++;
    if (++w->truth[partition].levelled > 3) {
        sim_violation(&w->kernel, "weigh", "partition %zu goes to and fro for its load", partition);
    }
    if (w->kernel.now - i->level_from > every * 4 / 5) {
        i->level_from = w->kernel.now;
        i->level_moves = 0;
    }
    if (++i->level_moves > 4) {
        sim_violation(&w->kernel, "weigh", "%s gives away %u partitions in one round", i->name,
                      i->level_moves);
    }
}

static void take_note(sim_instance *i, const tmk_fleet_act *act) {
    sim_world *w = i->world;

    if (w->at_rest && !w->options.bad_for_ever &&
        (act->note == TMK_FLEET_HANDED || act->note == TMK_FLEET_CLAIMED ||
         act->note == TMK_FLEET_LOST || act->note == TMK_FLEET_EVICTED)) {
        sim_violation(&w->kernel, "I9", "%s: %s of %s at rest", i->name, notes[act->note],
                      act->partition == NULL ? act->member : act->partition);
    }
    if (act->note == TMK_FLEET_JOINED) {
        i->joined_at = w->kernel.now;
    }
    if (act->note == TMK_FLEET_HANDED) {
        w->truth[strtoul(act->partition, NULL, 10)].handed++;
        note_level(i, strtoul(act->partition, NULL, 10));
    }
    if (act->note == TMK_FLEET_LOST) {
        i->readers[strtoul(act->partition, NULL, 10)].drained = false;
    }
    if (act->note == TMK_FLEET_WAS_EVICTED) {
        i->bad_until = w->kernel.now;
    }
    if (sim_tracing(&w->kernel)) {
        sim_trace(&w->kernel, event_of(act->note),
                  ",\"owner\":\"%s\",\"what\":\"%s\",\"partition\":\"%s\",\"generation\":%" PRId64
                  ",\"member\":\"%s\"",
                  tmk_fleet_id(i->fleet), notes[act->note],
                  act->partition == NULL ? "" : act->partition, act->generation, act->member);
    }
}

static void end_instance(sim_instance *i) {
    i->life = SIM_ENDED;
    sim_cancel(&i->world->kernel, &i->step);
    sim_cancel(&i->world->kernel, &i->wake);
    sim_cancel(&i->world->kernel, &i->freeze);
    sim_cancel(&i->world->kernel, &i->measure);
    for (size_t p = 0; p < i->world->options.partitions; p++) {
        sim_reader *r = &i->readers[p];

        if (r->state == SIM_READING_RUNS) {
            set_unread(r, false);
        }
        r->state = SIM_READING_NOT;
        r->link = NULL;
        sim_cancel(&i->world->kernel, &r->finish);
        sim_cancel(&i->world->kernel, &r->save);
    }
    sim_process_kill(&i->process);
    sim_store_disconnect(i->store);
    sim_hub_disconnect(i->hub);
    i->fleet = tmk_fleet_free(i->fleet);
}

static void add_counts(sim_instance *i) {
    const tmk_fleet_counts *c = tmk_fleet_counted(i->fleet);
    sim_figures *f = &i->world->figures;

    f->handed += c->handed;
    f->released += c->released;
    f->claims += c->claims;
    f->takeovers += c->takeovers;
    f->evictions += c->evictions;
    f->evicted += c->evicted;
    f->refused += c->refused;
    f->fences += c->fences;
    f->written += c->written;
    f->requests += sim_store_requests(i->store);
}

static void carry_out(sim_instance *i, const tmk_fleet_act *act) {
    sim_world *w = i->world;

    switch (act->kind) {
    case TMK_FLEET_SUBMIT:
        submit(i, act);
        break;
    case TMK_FLEET_OPEN:
        open_reader(i, act);
        break;
    case TMK_FLEET_DRAIN:
        sim_check_drain(i, act);
        end_reading(i, act, SIM_READING_DRAINS);
        break;
    case TMK_FLEET_STOP:
        end_reading(i, act, SIM_READING_STOPS);
        break;
    case TMK_FLEET_FENCE:
    case TMK_FLEET_UNFENCE:
        set_fence(i, act, act->kind == TMK_FLEET_FENCE);
        break;
    case TMK_FLEET_HOLD:
    case TMK_FLEET_RESUME:
        SIM_MARK("hold");
        advance(reader_of(i, act->partition));
        reader_of(i, act->partition)->held = act->kind == TMK_FLEET_HOLD;
        break;
    case TMK_FLEET_CHECKPOINTED:
        sim_trace(&w->kernel, "checkpoint",
                  ",\"owner\":\"%s\",\"partition\":\"%s\",\"sequence\":%" PRId64
                  ",\"result\":\"%s\"",
                  tmk_fleet_id(i->fleet), act->partition, act->sequence,
                  act->written ? "written" : "refused");
        break;
    case TMK_FLEET_READY:
        i->ready = true;
        i->ready_at = w->kernel.now;
        sim_trace(&w->kernel, "state", ",\"owner\":\"%s\",\"what\":\"ready\"",
                  tmk_fleet_id(i->fleet));
        break;
    case TMK_FLEET_LEFT:
        sim_trace(&w->kernel, "stop", ",\"owner\":\"%s\",\"in_doubt\":0", tmk_fleet_id(i->fleet));
        break;
    case TMK_FLEET_NOTE:
        take_note(i, act);
        break;
    case TMK_FLEET_REPORT:
        sim_trace(&w->kernel, "fault",
                  ",\"owner\":\"%s\",\"condition\":\"%s\",\"text\":\"%s\",\"reaction\":\"%s\"",
                  tmk_fleet_id(i->fleet), act->error->origin, act->error->text, act->next);
        break;
    }
}

static void run(sim_instance *i) {
    tmk_fleet_act act;

    if (i->process.frozen || i->process.dead) {
        return;
    }
    while (!i->world->kernel.failed && tmk_fleet_next(i->fleet, local(i), &act)) {
        carry_out(i, &act);
        if (act.kind == TMK_FLEET_LEFT) {
            add_counts(i);
            end_instance(i);
            return;
        }
    }
    if (!i->world->kernel.failed) {
        i->trust = tmk_fleet_trust(i->fleet);
        schedule(i);
    }
}

static void on_step(sim_event *e) {
    run(sim_event_of(e, sim_instance, step));
}

/* --- what happens to instances --- */

static void on_freeze(sim_event *e);

static void on_wake(sim_event *e) {
    sim_instance *i = sim_event_of(e, sim_instance, wake);
    bool alive = sim_store_member_alive(i->world->store, tmk_fleet_id(i->fleet));

    i->life = tmk_fleet_state_now(i->fleet) == TMK_FLEET_LEAVING ? SIM_STOPPING : SIM_RUNNING;
    i->slept = true;
    /* In an outage it goes on without a lease; a nap between two steps then changes nothing. */
    i->lease_ran_out = !alive && i->world->kernel.now - i->frozen_at > 4 * TMK_SEC;
    i->slept_at = i->world->kernel.now;
    if (sim_count_alive(i->world) <= 1) { /* alone with the dead, it has to watch them anew */
        sim_fault_until(i->world, i->world->kernel.now + 20 * TMK_SEC);
    }
    i->bad_until = i->world->kernel.now;
    for (size_t p = 0; p < i->world->options.partitions; p++) {
        sim_reader *r = &i->readers[p];

        if (r->state == SIM_READING_RUNS) {
            r->since = i->world->kernel.now;
        }
    }
    sim_trace(&i->world->kernel, "state", ",\"owner\":\"%s\",\"what\":\"woken\"",
              tmk_fleet_id(i->fleet));
    sim_process_wake(&i->process);
    if (tmk_rng_chance(&i->rng, 0.5)) {
        run(i); /* its own timers come before what has arrived */
    } else {
        sim_at(&i->world->kernel, &i->step,
               i->world->kernel.now + tmk_rng_between(&i->rng, 0, 50) * TMK_MS);
    }
}

/* What its readers have cost is told every five seconds. */
static void on_measure(sim_event *e) {
    sim_instance *i = sim_event_of(e, sim_instance, measure);
    sim_world *w = i->world;

    sim_at(&w->kernel, e, w->kernel.now + 5 * TMK_SEC);
    if (i->process.frozen) {
        return;
    }
    for (size_t p = 0; p < w->options.partitions; p++) {
        sim_reader *r = &i->readers[p];
        double odd = 1 + (2 * tmk_rng_unit(&i->rng) - 1) * w->options.noise;

        if (runs(r)) {
            r->busy_ms += w->truth[p].cost * 0.75 * odd * 5;
            r->bytes += w->truth[p].cost * 0.25 * odd * 5 * 4096;
            tmk_fleet_measured(i->fleet, local(i), sim_hub_id(w->hub, p), (uint64_t)r->bytes,
                               (tmk_time)(r->busy_ms * 1e6));
        }
    }
    tmk_fleet_weigh(i->fleet, local(i));
    run(i);
}

static void init_readers(sim_instance *i) {
    i->readers = tmk_alloc_zero(i->world->options.partitions, sizeof *i->readers);
    if (i->readers == NULL) {
        abort();
    }
    for (size_t p = 0; p < i->world->options.partitions; p++) {
        i->readers[p].instance = i;
        i->readers[p].partition = p;
        i->readers[p].finish.fire = on_finish;
        i->readers[p].save.fire = on_save;
    }
}

static void make_fleet(sim_instance *i) {
    sim_world *w = i->world;
    const char *ids[SIM_PARTITIONS_MAX];
    tmk_rng seed = sim_rng(&w->kernel, "fleet", i->number);
    tmk_fleet_options opts;
    tmk_error err;

    tmk_fleet_options_init(&opts, w->options.claims);
    opts.instance = i->name;
    opts.host = i->host;
    opts.weighted = i->weighted;
    if (w->options.weigh_every > 0) {
        opts.weigh_every = w->options.weigh_every;
    }
    if (w->options.verbose_log) {
        opts.log = tmk_log_stderr(TMK_LOG_DEBUG);
    }
    if (tmk_fleet_new(&opts, &seed, &i->fleet, &err) < 0) {
        abort();
    }
    for (size_t p = 0; p < w->options.partitions; p++) {
        ids[p] = sim_hub_id(w->hub, p);
    }
    if (tmk_fleet_partitions(i->fleet, local(i), ids, w->options.partitions, &err) < 0) {
        abort();
    }
}

sim_instance *sim_start(sim_world *w, int host) {
    sim_instance *i = tmk_new(sim_instance);

    if (i == NULL || w->instance_count == SIM_INSTANCES_MAX) {
        abort();
    }
    i->world = w;
    i->number = w->instance_count;
    w->instances[w->instance_count++] = i;
    i->rng = sim_rng(&w->kernel, "instance", i->number);
    (void)snprintf(i->name, sizeof i->name, "i%zu", i->number);
    (void)snprintf(i->host, sizeof i->host, "h%zu", host < 0 ? i->number : (size_t)host);
    i->life = SIM_RUNNING;
    i->save_every = w->options.save_every;
    i->handler = tmk_rng_between(&i->rng, 1, 50) * TMK_MS;
    i->drain_max = tmk_rng_between(&i->rng, 5, 300) * TMK_MS;
    i->joined_at = i->window_from = w->started_at = w->kernel.now;
    i->ready_at = -1;
    i->bad_until = -1;
    i->step.fire = on_step;
    i->wake.fire = on_wake;
    i->freeze.fire = on_freeze;
    i->measure.fire = on_measure;
    if (!w->options.planned_only) {
        i->clock_offset = tmk_rng_between(&i->rng, 0, 10 * 86400) * TMK_SEC;
        i->clock_ppm = tmk_rng_between(&i->rng, -200, 200);
    }
    sim_process_init(&i->process, &w->kernel, i->number);
    i->store = sim_store_connect(w->store, &i->process, i->number, i);
    i->hub = sim_hub_connect(w->hub, &i->process, i->number);
    init_readers(i);
    if (w->options.weighted > 0) {
        i->weighted = tmk_rng_chance(&i->rng, w->options.weighted);
        sim_at(&w->kernel, &i->measure, w->kernel.now + 5 * TMK_SEC);
    }
    make_fleet(i);
    /* Who finds only the dead has to watch them for a whole expiry. */
    sim_fault_until(w, w->kernel.now + (sim_count_alive(w) == 1 ? 20 * TMK_SEC : 0));
    w->moves_allowed += w->options.partitions / sim_count_alive(w) + 2;
    sim_trace(&w->kernel, "start", ",\"owner\":\"%s\",\"host\":\"%s\"", i->name, i->host);
    run(i);
    return i;
}

void sim_fault_until(sim_world *w, tmk_time until) {
    w->last_fault = until > w->last_fault ? until : w->last_fault;
}

bool sim_alive(const sim_instance *i) {
    return i->life == SIM_RUNNING;
}

size_t sim_count_alive(const sim_world *w) {
    size_t n = 0;

    for (size_t i = 0; i < w->instance_count; i++) {
        n += sim_alive(w->instances[i]);
    }
    return n;
}

void sim_stop(sim_instance *i) {
    sim_fault_until(i->world, i->world->kernel.now);
    i->world->moves_allowed += i->world->options.partitions / sim_count_alive(i->world) + 2;
    i->world->hasty |= i->world->kernel.now - i->world->started_at < 10 * TMK_SEC;
    i->life = SIM_STOPPING;
    sim_trace(&i->world->kernel, "state", ",\"owner\":\"%s\",\"what\":\"stopping\"",
              tmk_fleet_id(i->fleet));
    tmk_fleet_stop(i->fleet, local(i));
    run(i);
}

void sim_kill(sim_instance *i) {
    sim_world *w = i->world;

    advance_all(i);
    add_counts(i);
    sim_trace(&w->kernel, "state", ",\"owner\":\"%s\",\"what\":\"killed\"", tmk_fleet_id(i->fleet));
    if (w->options.store_knows) {
        SIM_MARK("the store knows of a death");
        sim_store_gone(w->store, tmk_fleet_id(i->fleet));
    }
    end_instance(i);
    /* Elsewhere nobody can know before its lease has ended. */
    sim_fault_until(w, w->kernel.now + (w->options.store_knows ? 0 : 20 * TMK_SEC));
}

void sim_freeze(sim_instance *i, tmk_time for_) {
    sim_world *w = i->world;
    tmk_time end = w->kernel.now + for_;

    advance_all(i);
    i->frozen_at = w->kernel.now;
    i->life = SIM_FROZEN;
    sim_process_freeze(&i->process);
    sim_cancel(&w->kernel, &i->step);
    sim_at(&w->kernel, &i->wake, end);
    i->bad_until = end;
    sim_fault_until(w, end);
    sim_trace(&w->kernel, "state", ",\"owner\":\"%s\",\"what\":\"frozen\",\"count\":%" PRId64,
              tmk_fleet_id(i->fleet), for_ / TMK_SEC);
}

static void on_freeze(sim_event *e) {
    sim_instance *i = sim_event_of(e, sim_instance, freeze);
    tmk_time length = i->freeze_with_heartbeat;

    i->freeze_with_heartbeat = 0;
    if (sim_alive(i)) {
        sim_freeze(i, length);
    }
}

void sim_freeze_with_heartbeat(sim_instance *i, tmk_time for_) {
    i->freeze_with_heartbeat = for_;
}

bool sim_moving(const sim_instance *i) {
    tmk_fleet_partition_info info;

    for (size_t p = 0; p < i->world->options.partitions; p++) {
        tmk_fleet_partition_at(i->fleet, p, &info);
        if (info.holding == TMK_FLEET_CLAIMING || info.holding == TMK_FLEET_HANDING_OVER) {
            return true;
        }
    }
    return false;
}

void sim_cut_store(sim_instance *i, bool cut) {
    i->store_cut = cut;
    i->bad_until = i->world->kernel.now;
    sim_fault_until(i->world, i->world->kernel.now + 20 * TMK_SEC);
    sim_store_cut(i->store, cut);
    sim_trace(&i->world->kernel, "state", ",\"owner\":\"%s\",\"what\":\"store %s\"",
              tmk_fleet_id(i->fleet), cut ? "cut" : "back");
}

void sim_cut_hub(sim_instance *i, bool cut) {
    if (cut) {
        advance_all(i);
    }
    i->hub_cut = cut;
    sim_fault_until(i->world, i->world->kernel.now);
    sim_hub_cut(i->hub, cut);
    sim_trace(&i->world->kernel, "state", ",\"owner\":\"%s\",\"what\":\"hub %s\"",
              tmk_fleet_id(i->fleet), cut ? "cut" : "back");
}

void sim_outage(sim_world *w, bool on) {
    sim_store_trouble_of(w->store)->outage = on;
    w->trouble_until = on ? TMK_NEVER : w->kernel.now;
    sim_fault_until(w, w->kernel.now + 20 * TMK_SEC); /* all must be heard for an expiry again */
    sim_trace(&w->kernel, "state", ",\"what\":\"outage %s\"", on ? "begins" : "ends");
}

/* --- the world as a whole --- */

void sim_world_init(sim_world *w, const sim_world_options *options) {
    tmk_rng rng;

    memset(w, 0, sizeof *w);
    w->options = *options;
    sim_kernel_init(&w->kernel, options->seed, options->trace);
    w->rng = sim_rng(&w->kernel, "faults", 0);
    rng = sim_rng(&w->kernel, "store clock", 0);
    w->store = sim_store_new(&w->kernel, tmk_rng_between(&rng, 0, 100000) * TMK_SEC);
    w->hub = sim_hub_new(&w->kernel, options->partitions);
    w->truth = tmk_alloc_zero(options->partitions, sizeof *w->truth);
    if (w->truth == NULL) {
        abort();
    }
    for (size_t p = 0; p < options->partitions; p++) {
        w->truth[p].done = w->truth[p].dispatched = w->truth[p].unread_since = -1;
        sim_hub_rate(w->hub, p, options->rate);
    }
    w->trouble_until = -1;
    w->wall_from = -1;
    sim_store_watch_with(w->store, sim_check_applied, w);
    sim_hub_watch_with(w->hub, sim_check_attach, w);
}

void sim_collect(sim_world *w) {
    for (size_t i = 0; i < w->instance_count; i++) {
        if (w->instances[i]->fleet != NULL) {
            add_counts(w->instances[i]);
        }
    }
}

void sim_world_clear(sim_world *w) {
    for (size_t i = 0; i < w->instance_count; i++) {
        if (w->instances[i]->fleet != NULL) {
            end_instance(w->instances[i]);
        }
    }
    /* What is still on its way must come to its end before the store goes. */
    w->kernel.failed = false;
    w->kernel.trace = NULL;
    sim_store_watch_with(w->store, NULL, NULL);
    sim_run(&w->kernel, w->kernel.now + 100 * TMK_SEC);
    for (size_t i = 0; i < w->instance_count; i++) {
        tmk_free(w->instances[i]->readers);
        tmk_free(w->instances[i]);
    }
    w->hub = sim_hub_free(w->hub);
    w->store = sim_store_free(w->store);
    tmk_free(w->truth);
    sim_kernel_clear(&w->kernel);
}

static size_t holds(const sim_instance *i) {
    size_t n = 0;

    for (size_t p = 0; p < i->world->options.partitions; p++) {
        n += i->readers[p].state == SIM_READING_RUNS;
    }
    return n;
}

static bool all_read(const sim_world *w, char *why, size_t why_size, size_t *which) {
    for (size_t p = 0; p < w->options.partitions; p++) {
        size_t readers = 0;

        for (size_t i = 0; i < w->instance_count; i++) {
            const sim_reader *r = &w->instances[i]->readers[p];

            readers += r->state == SIM_READING_RUNS && r->opened && !r->fenced && !r->lost &&
                       !w->instances[i]->fenced && sim_link_attached(r->link);
        }
        if (readers != 1) {
            *which = p;
            (void)snprintf(why, why_size, "partition %zu has %zu readers", p, readers);
            return false;
        }
    }
    return true;
}

bool sim_weighs(const sim_world *w) {
    for (size_t i = 0; i < w->instance_count; i++) {
        const sim_instance *it = w->instances[i];

        if (sim_alive(it) && tmk_fleet_state_now(it->fleet) == TMK_FLEET_MEMBER && !it->weighted) {
            return false;
        }
    }
    return w->options.weighted > 0;
}

static double load_of(const sim_instance *i) {
    double load = 0;

    for (size_t p = 0; p < i->world->options.partitions; p++) {
        load += i->readers[p].state == SIM_READING_RUNS ? i->world->truth[p].cost : 0;
    }
    return load;
}

static bool is_counted(const sim_instance *i) {
    return sim_alive(i) && tmk_fleet_state_now(i->fleet) == TMK_FLEET_MEMBER;
}

/* Whether a single move from it to the lightest would spare it more than so much. */
static bool could_give(const sim_instance *heavy, const sim_instance *light, double most, char *why,
                       size_t why_size) {
    const sim_world *w = heavy->world;
    double gap = load_of(heavy) - load_of(light);

    for (size_t p = 0; p < w->options.partitions; p++) {
        double cost = w->truth[p].cost, gain = cost < gap - cost ? cost : gap - cost;

        if (heavy->readers[p].state == SIM_READING_RUNS && gain > most && gain > 30) {
            (void)snprintf(why, why_size, "%s has %.0f, %s %.0f, and %zu weighs %.0f", heavy->name,
                           load_of(heavy), light->name, load_of(light), p, cost);
            return true;
        }
    }
    return false;
}

bool sim_level(const sim_world *w, double most, double *spread, char *why, size_t why_size) {
    const sim_instance *light = NULL;
    double sum = 0, heaviest = 0;
    size_t counted = 0;

    for (size_t n = 0; n < w->instance_count; n++) {
        const sim_instance *i = w->instances[n];

        if (is_counted(i)) {
            counted++;
            sum += load_of(i);
            heaviest = load_of(i) > heaviest ? load_of(i) : heaviest;
            light = light == NULL || load_of(i) < load_of(light) ? i : light;
        }
    }
    *spread = sum <= 0 ? 1 : heaviest * (double)counted / sum;
    for (size_t n = 0; n < w->instance_count && sum > 0; n++) {
        if (is_counted(w->instances[n]) &&
            could_give(w->instances[n], light, most * sum / (double)counted, why, why_size)) {
            return false;
        }
    }
    return true;
}

bool sim_balanced(const sim_world *w, char *why, size_t why_size) {
    size_t low = SIZE_MAX, high = 0, counted = 0, which = 0;

    if (!all_read(w, why, why_size, &which)) {
        return false;
    }
    for (size_t i = 0; i < w->instance_count; i++) {
        size_t n = 0;

        if (!sim_alive(w->instances[i]) ||
            tmk_fleet_state_now(w->instances[i]->fleet) != TMK_FLEET_MEMBER) {
            continue;
        }
        counted++;
        n = holds(w->instances[i]);
        low = n < low ? n : low;
        high = n > high ? n : high;
    }
    if (counted > 0 && high - low > 1 && !sim_weighs(w)) {
        (void)snprintf(why, why_size, "counts from %zu to %zu", low, high);
        return false;
    }
    return true;
}

void sim_dump(sim_world *w, size_t partition) {
    const tmk_partition_entry *e = sim_store_partition(w->store, sim_hub_id(w->hub, partition));

    if (!sim_tracing(&w->kernel)) {
        return;
    }
    sim_trace(&w->kernel, "state",
              ",\"what\":\"dump\",\"partition\":\"%zu\",\"owner\":\"%s\",\"successor\":\"%s\"",
              partition, e == NULL ? "" : e->record.owner, e == NULL ? "" : e->record.successor);
    for (size_t i = 0; i < w->instance_count; i++) {
        tmk_fleet_partition_info info;

        if (w->instances[i]->fleet == NULL) {
            continue;
        }
        for (size_t p = 0; p < w->options.partitions; p++) {
            tmk_fleet_partition_at(w->instances[i]->fleet, p, &info);
            if (strcmp(info.id, sim_hub_id(w->hub, partition)) == 0) {
                break;
            }
        }
        sim_trace(&w->kernel, "state",
                  ",\"what\":\"dump\",\"member\":\"%s\",\"count\":%d,\"holding\":%d,"
                  "\"owner\":\"%s\",\"planned\":\"%s\",\"generation\":%" PRId64,
                  tmk_fleet_id(w->instances[i]->fleet),
                  (int)tmk_fleet_state_now(w->instances[i]->fleet), (int)info.holding, info.owner,
                  info.planned, info.generation);
    }
}

void sim_rest(sim_world *w, tmk_time length) {
    uint64_t before[SIM_INSTANCES_MAX];
    double seconds = (double)(length / TMK_MS) / 1000;

    w->at_rest = true;
    for (size_t i = 0; i < w->instance_count; i++) {
        sim_instance *it = w->instances[i];

        if (it->fleet != NULL) {
            before[i] = sim_store_requests(it->store);
            it->counts_rest = *tmk_fleet_counted(it->fleet);
        }
    }
    sim_run(&w->kernel, w->kernel.now + length);
    for (size_t i = 0; i < w->instance_count; i++) {
        sim_instance *it = w->instances[i];
        double each = 0;

        if (it->fleet == NULL || w->kernel.failed) {
            continue;
        }
        each = (double)(sim_store_requests(it->store) - before[i] -
                        (tmk_fleet_counted(it->fleet)->requests[TMK_STORE_PARTITION_WRITE] -
                         it->counts_rest.requests[TMK_STORE_PARTITION_WRITE])) /
               seconds;
        w->figures.quiet_requests =
            each > w->figures.quiet_requests ? each : w->figures.quiet_requests;
    }
    w->at_rest = false;
}
