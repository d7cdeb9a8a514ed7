/* Handlers on virtual time: slow, failing, hanging, answering later and out of order; and a sink.
 */
#include <stdlib.h>

#include "base/status.h"
#include "whole.h"

#define RELIEVE_AFTER (100 * TMK_MS)

static void advance(whole_worker *k);

static bool strikes(whole_instance *i, double chance) {
    return chance > 0 && tmk_rng_chance(&i->rng, chance);
}

/* ---- what comes later ---- */

/* A verdict or an answer of the sink, of an event that is not in a turn any more. */
static void settle(whole_post *p, tmk_verdict verdict) {
    whole_worker as = {.instance = p->instance,
                       .partition = p->partition,
                       .sequence = p->sequence,
                       .opening = p->opening,
                       .hub = p->hub};

    whole_check_verdict(&as, verdict);
}

static void run_later(whole_post *p) {
    whole_instance *i = p->instance;

    settle(p, p->verdict);
    (void)tmk_yard_complete(i->yard, i->world->kernel.now + i->offset, p->handle, p->verdict, -1);
    whole_step_soon(i);
}

/* Somebody has looked at it, and said that the partition may go on. */
static bool cured(const whole_worker *k) {
    whole_reader *r = whole_reader_of(k->instance, k->partition, k->opening);
    const whole_place *e = r == NULL ? NULL : whole_place_of(r, k->sequence);

    return e != NULL && e->cured;
}

/* All that a handle may be completed with. */
static tmk_verdict later_verdict(whole_worker *k) {
    whole_instance *i = k->instance;

    if ((whole_poison(i->world, k->partition, k->sequence) && !cured(k)) ||
        strikes(i, i->world->options.fail)) {
        return TMK_RETRY;
    }
    if (i->world->kernel.now < i->broken_until) {
        return TMK_STOP;
    }
    return strikes(i, 0.02) ? TMK_SKIP : TMK_DONE;
}

static void answer_later(whole_worker *k) {
    whole_instance *i = k->instance;
    whole_post *p = whole_post_new(i, run_later);

    p->partition = k->partition;
    p->sequence = k->sequence;
    p->opening = k->opening;
    p->hub = k->hub;
    p->handle = k->turn.delivery.handle;
    p->verdict = later_verdict(k);
    whole_post_send(p, tmk_rng_between(&i->rng, 0, 40 * (i->world->options.handler / TMK_US)) *
                           TMK_US);
}

static void letter_kept(whole_post *p) {
    whole_instance *i = p->instance;
    whole *w = i->world;

    i->busy_at = w->kernel.now;
    if (p->hub == w->partitions[p->partition].hub) {
        whole_set_final(w, p->partition, p->sequence);
        whole_set_stage(whole_reader_of(i, p->partition, p->opening), p->sequence, w->kernel.now,
                        STAGE_FINAL);
    }
}

static void run_letter(whole_post *p) {
    whole_instance *i = p->instance;
    tmk_error err;

    if (p->verdict == TMK_DONE) {
        i->world->figures.letters++;
        letter_kept(p);
        (void)tmk_control_letter_done(i->control, p->handle, TMK_OK, NULL);
    } else {
        SIM_MARK("whole: sink fails");
        (void)tmk_fail_retry(&err, TMK_EIO, "sink", "the sink is down");
        if (tmk_control_letter_done(i->control, p->handle, TMK_EIO, &err) == TMK_OK) {
            i->letter_owed_at = i->world->kernel.now;
        }
    }
    whole_step_soon(i);
}

/* Only what was answered so, or has been tried as often as it should, is put aside. */
static void check_letter(whole_instance *i, const whole_post *p) {
    whole_reader *r = whole_reader_of(i, p->partition, p->opening);
    const whole_place *e = r == NULL ? NULL : whole_place_of(r, p->sequence);

    if (p->hub == i->world->partitions[p->partition].hub &&
        (e == NULL || e->stage != STAGE_LETTER)) {
        sim_violation(&i->world->kernel, "I1", "%s puts event %lld of %zu aside, at stage %d",
                      i->name, (long long)p->sequence, p->partition, e == NULL ? -1 : e->stage);
    }
}

void whole_on_letter(void *user, const tmk_dead_letter *letter, tmk_handle handle) {
    whole_instance *i = user;
    whole_post *p = whole_post_new(i, run_letter);

    if (i->abandoned) {
        sim_violation(&i->world->kernel, "I12", "%s: a dead letter after the end", i->name);
    }
    p->partition = whole_partition_of(letter->partition);
    p->sequence = tmk_event_sequence(letter->event);
    p->hub = whole_hub_of(tmk_event_enqueued_ms(letter->event));
    p->opening = i->readers[p->partition].opening;
    check_letter(i, p);
    p->handle = handle;
    p->verdict = strikes(i, i->world->options.sink_fails) ? TMK_RETRY : TMK_DONE;
    whole_post_send(p, strikes(i, i->world->options.sink_slow)
                           ? tmk_rng_between(&i->rng, 5, 25) * TMK_SEC
                           : tmk_rng_between(&i->rng, 1, 2000) * TMK_MS);
}

/* ---- callbacks ---- */

static tmk_verdict verdict_of(whole_worker *k) {
    whole_instance *i = k->instance;
    const whole *w = i->world;

    if (w->kernel.now < i->broken_until) {
        SIM_MARK("whole: stop");
        return TMK_STOP;
    }
    if (whole_poison(w, k->partition, k->sequence) && !cured(k)) {
        return tmk_rng_chance(&i->rng, 0.3) ? TMK_DEAD_LETTER : TMK_RETRY;
    }
    if (strikes(i, w->options.fail)) {
        return TMK_RETRY;
    }
    if (strikes(i, w->options.later)) {
        return TMK_LATER;
    }
    return strikes(i, 0.01) ? TMK_SKIP : TMK_DONE;
}

static void finish(whole_worker *k) {
    tmk_verdict v = verdict_of(k);

    whole_check_verdict(k, v);
    if (v == TMK_LATER) {
        answer_later(k);
    }
    k->event = NULL;
    sim_cancel(&k->instance->world->kernel, &k->relief);
    tmk_turn_answer(&k->turn, v);
}

static void on_end(sim_event *e) {
    whole_worker *k = sim_event_of(e, whole_worker, end);

    if (k->instance->process.frozen) {
        k->waits = true;
        return;
    }
    finish(k);
    advance(k);
}

/* A callback takes long: what else is in its turn does not wait for it. */
static void on_relief(sim_event *e) {
    whole_worker *k = sim_event_of(e, whole_worker, relief);
    whole_instance *i = k->instance;
    tmk_time now = i->world->kernel.now;

    if (i->process.frozen) {
        sim_at(&i->world->kernel, e, now + RELIEVE_AFTER);
    } else if (tmk_turn_relieve(&k->turn, now + i->offset)) {
        whole_step_soon(i);
    }
}

static void begin(whole_worker *k) {
    whole_instance *i = k->instance;
    const whole_options *o = &i->world->options;
    tmk_time takes = sim_latency(&i->rng, o->handler);

    whole_check_handing(k);
    sim_at(&i->world->kernel, &k->relief, i->world->kernel.now + RELIEVE_AFTER);
    if (strikes(i, o->hang)) {
        SIM_MARK("whole: hang");
        k->hung = true;
        return;
    }
    whole_reader *r = whole_reader_of(i, k->partition, k->opening);
    bool first = r != NULL && !r->slow_once && strikes(i, o->slow_first);

    if (r != NULL) {
        r->slow_once = true;
    }
    if (first) {
        SIM_MARK("whole: the first takes long");
        takes = tmk_rng_between(&i->rng, 5, 40) * TMK_SEC;
    } else if (strikes(i, o->slow)) {
        takes = tmk_rng_between(&i->rng, 1, 12) * TMK_SEC;
    }
    sim_at(&i->world->kernel, &k->end, i->world->kernel.now + takes);
}

/* Goes on with its turn, or takes another; until a callback runs or nothing is ready. */
static void advance(whole_worker *k) {
    whole_instance *i = k->instance;
    tmk_time now = i->world->kernel.now + i->offset;

    for (;;) {
        if (!k->turn.active &&
            !tmk_turn_take(&k->turn, (uint32_t)tmk_rng_between(&i->rng, 1, 20))) {
            return;
        }
        k->event = tmk_turn_late(&k->turn, now) ? NULL : tmk_turn_event(&k->turn);
        if (k->event != NULL) {
            begin(k);
            return;
        }
        tmk_turn_end(&k->turn, now);
        whole_step_soon(i);
    }
}

void whole_make_workers(whole_instance *i) {
    for (size_t n = 0; n < WHOLE_WORKERS; n++) {
        i->workers[n].instance = i;
        i->workers[n].end.fire = on_end;
        i->workers[n].relief.fire = on_relief;
    }
}

void whole_work(whole_instance *i) {
    for (size_t n = 0; n < WHOLE_WORKERS && !i->abandoned; n++) {
        if (i->workers[n].event == NULL) {
            advance(&i->workers[n]);
        }
    }
}

void whole_wake_workers(whole_instance *i) {
    for (size_t n = 0; n < WHOLE_WORKERS; n++) {
        whole_worker *k = &i->workers[n];

        if (k->waits) {
            k->waits = false;
            finish(k);
            advance(k);
        }
    }
}
