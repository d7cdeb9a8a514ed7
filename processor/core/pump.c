/*
 * The life of a pump: what it wants next, and what it is told. Its events are in
 * intake.c and verdicts.c.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "core/pump_inside.h"
#include "core/mutants.h"

/* ---- coming and going ---- */

static void take_map(tmk_pump *p, const tmk_checkpoint *c) {
    tmk_error err;
    tmk_status st = TMK_OK;

    if (c->done_map.size == 0 || TMK_MUTANT(MAP_UNREAD)) {
        return;
    }
    st = tmk_done_map_read(c->done_map, &p->before, &err);
    if (st == TMK_OK && (!c->sequence_known || p->before.base != c->sequence)) {
        st = tmk_fail(&err, TMK_ESTATE, "done_map",
                      "it belongs to sequence %" PRId64 ", the checkpoint was moved since",
                      p->before.base);
    }
    if (st < 0) {
        tmk_done_map_clear(&p->before);
        tmk_pump_tell(p, TMK_PUMP_CHECKPOINT_BAD, c->sequence, 0, &err,
                      "the done-map is left aside: some events may come again");
    }
}

static tmk_status take_checkpoint(tmk_pump *p, const tmk_checkpoint *c) {
    p->before.base = -1;
    p->before.enqueued_ms = -1;
    if (c == NULL || !c->present) {
        return TMK_OK;
    }
    p->checkpoint_offset = tmk_copy_str(c->offset == NULL ? "" : c->offset);
    if (p->checkpoint_offset == NULL) {
        return TMK_ENOMEM;
    }
    p->checkpoint = *c;
    p->checkpoint.offset = p->checkpoint_offset;
    p->checkpoint.done_map = (tmk_slice){0};
    p->saved.sequence = c->sequence_known ? c->sequence : -1;
    take_map(p, c);
    return TMK_OK;
}

static tmk_status make_lanes(tmk_pump *p, tmk_error *err) {
    const tmk_engine_options *o = &p->engine->options;
    tmk_lanes_options l = {.order = o->order,
                           .lane_count = o->lane_count,
                           .keyless_free = o->keyless_free,
                           .owner = p,
                           .processor = o->processor,
                           .partition = p->partition,
                           .generation = p->generation};

    return tmk_lanes_new(p->engine->yard, &l, &p->lanes, err);
}

static void init(tmk_pump *p, tmk_engine *e, tmk_time now) {
    static const tmk_position nowhere = {.sequence = -1, .enqueued_ms = -1};

    p->engine = e;
    tmk_ring_init(&p->reports, sizeof(tmk_pump_report));
    tmk_list_init(&p->pending);
    tmk_list_init(&p->cases);
    tmk_tracker_init(&p->tracker, &nowhere, NULL);
    tmk_policy_init(&p->policy, &e->options.checkpoint, &e->budget);
    tmk_progress_init(&p->meter, e->options.progress_window, now);
    tmk_flow_join(&e->flow, &p->share);
    p->seek_at = now;
    p->reopen_at = now;
    p->admit_at = TMK_NEVER;
    p->behind_since = TMK_NEVER;
    p->drain_until = TMK_NEVER;
    p->enqueued_max = -1;
    p->saved.sequence = -1;
    e->pump_count++;
    tmk_engine_pace(e);
}

tmk_status tmk_pump_new(tmk_engine *e, const char *partition, int64_t generation,
                        const tmk_checkpoint *checkpoint, const tmk_start *chosen, void *user,
                        tmk_time now, tmk_pump **out, tmk_error *err) {
    tmk_pump *p = tmk_new(tmk_pump);

    if (p == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "pump", "no memory for partition '%s'", partition);
    }
    init(p, e, now);
    p->partition = partition;
    p->generation = generation;
    p->user = user;
    p->chosen_set = chosen != NULL;
    if (chosen != NULL) {
        p->chosen = *chosen;
    }
    if (take_checkpoint(p, checkpoint) < 0 || make_lanes(p, err) < 0 ||
        tmk_heap_reserve(&e->due, e->pump_count) < 0) {
        (void)tmk_pump_free(p);
        return tmk_fail(err, TMK_ENOMEM, "pump", "no memory for partition '%s'", partition);
    }
    tmk_pump_touch(p);
    *out = p;
    return TMK_OK;
}

tmk_pump *tmk_pump_free(tmk_pump *p) {
    tmk_list bursts;

    if (p == NULL) {
        return NULL;
    }
    tmk_pump_cases_clear(p);
    tmk_pump_drop_pending(p);
    tmk_list_init(&bursts);
    tmk_tracker_detach(&p->tracker, &bursts);
    p->lanes = tmk_lanes_free(p->lanes, &bursts);
    while (!tmk_list_empty(&bursts)) { /* there never were lanes */
        tmk_burst_drop(tmk_container_of(tmk_list_pop_front(&bursts), tmk_burst, node));
    }
    tmk_flow_leave(&p->share);
    tmk_list_remove(&p->touched);
    tmk_list_remove(&p->stuck);
    tmk_heap_remove(&p->engine->due, &p->due);
    p->engine->pump_count--;
    tmk_engine_pace(p->engine);
    tmk_heap_clear(&p->timers);
    tmk_ring_clear(&p->reports);
    tmk_done_map_clear(&p->before);
    tmk_free(p->checkpoint_offset);
    tmk_free(p);
    return NULL;
}

void *tmk_pump_user(const tmk_pump *p) {
    return p->user;
}

/* Another hub: everything of the old one is final, nothing of it runs. */
static tmk_status begin_anew(tmk_pump *p, tmk_time now) {
    tmk_lanes *old = p->lanes;

    if (make_lanes(p, NULL) < 0) {
        p->lanes = old;
        p->admit_at = tmk_time_after(now, TMK_PUMP_AGAIN);
        return TMK_ENOMEM;
    }
    (void)tmk_lanes_free(old, NULL);
    tmk_pump_apply_pause(p, now);
    tmk_pump_seek_from_own(p, now);
    tmk_tracker_clear(&p->tracker);
    p->resolved = false;
    p->restart = false;
    p->state = TMK_PUMP_STATE_STARTING;
    p->saved = (tmk_saved){.sequence = -1};
    p->flying = p->saved;
    tmk_done_map_clear(&p->before);
    return TMK_OK;
}

/* ---- what it is told ---- */

void tmk_pump_on_facts(tmk_pump *p, tmk_time now, const tmk_partition_facts *facts,
                       const tmk_error *err) {
    tmk_pump_touch(p);
    if (facts != NULL) {
        tmk_pump_learn(p, now, facts);
    }
    if (p->seek == TMK_SEEK_ASKED) {
        p->seek = TMK_SEEK_DONE;
        if (p->state < TMK_PUMP_STATE_DRAINING) {
            tmk_pump_on_sought(p, now, facts, err);
        }
    }
}

void tmk_pump_on_opened(tmk_pump *p, tmk_time now) {
    tmk_pump_touch(p);
    if (p->link == TMK_LINK_OPENING) {
        p->link = TMK_LINK_OPEN;
        p->opened_at = now;
    }
}

void tmk_pump_on_burst(tmk_pump *p, tmk_time now, tmk_burst *burst) {
    tmk_pump_touch(p);
    if (p->link == TMK_LINK_OPENING) {
        p->link = TMK_LINK_OPEN; /* it stands, who else would have sent it */
        p->opened_at = now;
    }
    if (p->state != TMK_PUMP_STATE_RUNNING || p->link != TMK_LINK_OPEN || p->restart ||
        burst->count == 0) {
        tmk_burst_drop(burst);
        return;
    }
    tmk_pump_take(p, now, burst);
}

static void reopen_later(tmk_pump *p, tmk_time now, const tmk_error *why) {
    tmk_engine *e = p->engine;
    tmk_time pause = 0;
    char reaction[80];

    if (p->link_stood && now - p->opened_at > TMK_LINK_GOOD) {
        p->link_failures = 0;
    }
    pause = tmk_backoff_delay(&e->options.reopen, ++p->link_failures, e->rng);
    p->reopen_at = TMK_MUTANT(LINK_NOT_REOPENED) ? TMK_NEVER : tmk_time_after(now, pause);
    if (TMK_MUTANT(LINK_END_SILENT)) {
        return;
    }
    (void)snprintf(reaction, sizeof reaction, "opened again in %" PRId64 " ms", pause / TMK_MS);
    tmk_pump_tell(p, TMK_PUMP_LINK_ENDED, p->tracker.newest, p->link_failures, why, reaction);
}

static void link_is_gone(tmk_pump *p) {
    p->link = TMK_LINK_NONE;
    p->close_link = false;
    p->behind_since = TMK_NEVER;
    tmk_flow_on_link_closed(&p->share);
}

void tmk_pump_on_ended(tmk_pump *p, tmk_time now, const tmk_error *why) {
    tmk_pump_touch(p);
    p->link_stood = p->link == TMK_LINK_OPEN;
    link_is_gone(p);
    if (p->state != TMK_PUMP_STATE_RUNNING) {
        return;
    }
    if (why->status == TMK_ELOST) {
        tmk_pump_tell(p, TMK_PUMP_LINK_ENDED, p->tracker.newest, 0, why,
                      "nothing more is handed out; the store is asked who owns it");
        tmk_pump_drain(p, now, TMK_CLOSE_LOST, TMK_NEVER);
    } else if (why->status == TMK_EPOSITION) {
        tmk_pump_tell(p, TMK_PUMP_LINK_ENDED, p->tracker.newest, 0, why,
                      "the position is looked for anew");
        tmk_pump_seek_from_own(p, now);
    } else {
        reopen_later(p, now, why);
    }
}

void tmk_pump_on_closed(tmk_pump *p, tmk_time now) {
    (void)now;
    tmk_pump_touch(p);
    if (p->link == TMK_LINK_CLOSING) {
        link_is_gone(p);
    }
}

void tmk_pump_on_written(tmk_pump *p, tmk_time now, tmk_status status, int64_t retry_after_ms,
                         const tmk_error *err) {
    tmk_engine *e = p->engine;

    tmk_pump_touch(p);
    if (!p->policy.writing) {
        return; /* asked by nobody: an answer from before a restart */
    }
    if (status == TMK_OK) {
        p->saved = p->flying;
    }
    if (status == TMK_CONFLICT) {
        tmk_policy_on_written(&p->policy, now, TMK_OK, 0, e->rng); /* nothing to try again */
        tmk_pump_drain(p, now, TMK_CLOSE_LOST, TMK_NEVER);
        return;
    }
    tmk_policy_on_written(&p->policy, now, status, retry_after_ms * TMK_MS, e->rng);
    if (status < 0) {
        tmk_pump_tell(p, TMK_PUMP_WRITE_FAILED, p->flying.sequence, p->policy.failures, err,
                      "the newest state is written later");
    }
}

/* ---- what it is asked ---- */

/* Nothing more is handed out, what is queued is forgotten. */
static void cut(tmk_pump *p, tmk_time now) {
    p->cut = true;
    if (TMK_MUTANT(STOLEN_GOES_ON)) {
        return;
    }
    tmk_pump_apply_pause(p, now);
    tmk_lanes_cut(p->lanes, now, 0);
}

/* Whether all that is final above the water can be kept with the last checkpoint, and a little
 * more: what runs will be final too. */
static bool map_fits(tmk_pump *p) {
    tmk_slice map;

    return tmk_tracker_map(&p->tracker, p->engine->map, (size_t)TMK_DONE_MAP_ROOM / 4 * 3, &map,
                           NULL);
}

void tmk_pump_drain(tmk_pump *p, tmk_time now, tmk_close_reason reason, tmk_time deadline) {
    bool harder = reason == TMK_CLOSE_LOST;

    tmk_pump_touch(p);
    if (p->state == TMK_PUMP_STATE_CLOSED) {
        return;
    }
    if (p->state == TMK_PUMP_STATE_DRAINING) {
        p->reason = harder ? reason : p->reason;
        p->drain_until = tmk_time_min(p->drain_until, deadline);
    } else {
        p->state = TMK_PUMP_STATE_DRAINING;
        p->reason = reason;
        p->drain_until = deadline;
        tmk_pump_drop_pending(p);
    }
    if (harder && !p->cut) {
        cut(p, now);
    } else if (!p->cut) {
        /* Events below the newest final one are handed out still, should they be too many holes. */
        tmk_lanes_cut(p->lanes, now, tmk_tracker_last_final(&p->tracker));
    }
}

void tmk_pump_pause(tmk_pump *p, tmk_time now) {
    p->paused = true;
    tmk_pump_apply_pause(p, now);
    tmk_pump_touch(p);
}

void tmk_pump_resume(tmk_pump *p, tmk_time now) {
    p->paused = false;
    if (p->halted && p->state == TMK_PUMP_STATE_RUNNING) {
        p->halted = false;
        tmk_pump_cases_again(p, now);
    }
    tmk_pump_apply_pause(p, now);
    tmk_pump_touch(p);
}

void tmk_pump_hold(tmk_pump *p, tmk_time now, bool hold) {
    (void)now;
    p->held = hold;
    tmk_pump_touch(p);
}

void tmk_pump_fence(tmk_pump *p, tmk_time now, bool fence) {
    p->fenced = fence;
    tmk_pump_apply_pause(p, now);
    tmk_pump_touch(p);
}

void tmk_pump_checkpoint(tmk_pump *p) {
    tmk_policy_ask(&p->policy);
    tmk_pump_touch(p);
}

static bool next_report(tmk_pump *p, tmk_pump_act *act) {
    if (!tmk_ring_pop(&p->reports, &act->report)) {
        return false;
    }
    act->kind = TMK_PUMP_REPORT;
    return true;
}

/* ---- what it wants: one thing at a time, each returns true when it has filled in *act ---- */

static void fill_checkpoint(tmk_pump *p, tmk_pump_act *act) {
    tmk_slice map = {0};

    tmk_tracker_water(&p->tracker, &p->water);
    (void)tmk_tracker_map(&p->tracker, p->engine->map, TMK_DONE_MAP_ROOM, &map, &p->flying.mapped);
    p->flying.sequence = p->water.sequence;
    p->flying.low = p->tracker.low;
    act->checkpoint = (tmk_checkpoint){
        .present = true,
        .sequence_known = true,
        .sequence = TMK_MUTANT(CHECKPOINT_BEFORE_SUCCESS) ? p->tracker.newest : p->water.sequence,
        .offset = p->water.offset,
        .done_map = map};
}

static bool want_close(tmk_pump *p, tmk_pump_act *act) {
    bool wanted = p->close_link || p->state == TMK_PUMP_STATE_DRAINING;

    if (!wanted || (p->link != TMK_LINK_OPEN && p->link != TMK_LINK_OPENING)) {
        return false;
    }
    p->link = TMK_LINK_CLOSING;
    act->kind = TMK_PUMP_CLOSE_LINK;
    return true;
}

static bool want_facts(tmk_pump *p, tmk_time now, tmk_pump_act *act) {
    if (p->seek != TMK_SEEK_WANTED || now < p->seek_at) {
        return false;
    }
    p->seek = TMK_SEEK_ASKED;
    act->kind = TMK_PUMP_GET_FACTS;
    return true;
}

static bool want_link(tmk_pump *p, tmk_time now, tmk_pump_act *act) {
    if (p->link != TMK_LINK_NONE || p->seek != TMK_SEEK_DONE || p->restart || now < p->reopen_at) {
        return false;
    }
    p->link = TMK_LINK_OPENING;
    p->close_link = false;
    act->kind = TMK_PUMP_OPEN_LINK;
    act->start = p->start;
    if (p->started) {
        act->start = (tmk_start){.kind = TMK_START_SEQUENCE, .sequence = p->tracker.newest};
        act->start.sequence += TMK_MUTANT(POSITION_ONE_TOO_FAR) ? 1 : 0;
    }
    return true;
}

/* Events wait in the hub, we have asked for them, and none comes. */
static void notice_silence(tmk_pump *p, tmk_time now) {
    tmk_error err;

    if (TMK_MUTANT(SILENCE_UNNOTICED) || p->link != TMK_LINK_OPEN || p->close_link ||
        p->share.out == 0 || p->behind_since == TMK_NEVER ||
        now - p->behind_since < p->engine->options.silence) {
        return;
    }
    (void)tmk_fail_retry(
        &err, TMK_ETIMEOUT, "receive",
        "sequence %" PRId64 " is there, %" PRId64 " was the last to come, for %" PRId64 " s",
        p->facts.last_sequence, p->tracker.newest, (now - p->behind_since) / TMK_SEC);
    tmk_pump_tell(p, TMK_PUMP_SILENT, p->tracker.newest, 0, &err, "the link is opened anew");
    p->close_link = true;
}

static bool want_credit(tmk_pump *p, tmk_pump_act *act) {
    act->credit = tmk_pump_credit(p);
    if (act->credit == 0) {
        return false;
    }
    act->kind = TMK_PUMP_CREDIT;
    return true;
}

static bool want_letter(tmk_pump *p, tmk_time now, tmk_pump_act *act) {
    tmk_case *c = p->reason == TMK_CLOSE_LOST ? NULL : tmk_pump_letter_due(p);

    return c != NULL && tmk_pump_give_letter(p, now, c, act);
}

/* Whether it is ours to write. */
static bool writes(const tmk_pump *p) {
    return p->resolved && (p->state == TMK_PUMP_STATE_RUNNING ||
                           (!TMK_MUTANT(DRAIN_WRITES_NOTHING) &&
                            p->state == TMK_PUMP_STATE_DRAINING && p->reason != TMK_CLOSE_LOST));
}

static bool want_checkpoint(tmk_pump *p, tmk_time now, tmk_pump_act *act) {
    if (!p->resolved || !tmk_policy_step(&p->policy, now)) {
        return false;
    }
    act->kind = TMK_PUMP_CHECKPOINT;
    fill_checkpoint(p, act);
    return true;
}

static bool in_hand(const tmk_pump *p) {
    return tmk_tracker_unfinished(&p->tracker) > 0 || !tmk_list_empty(&p->pending) || p->kept_set;
}

static void sample(tmk_pump *p, tmk_time now) {
    tmk_progress_sample s = {.final_sequence = tmk_tracker_water_sequence(&p->tracker),
                             .finished = p->events,
                             .lag = -1};

    if (p->last_known && p->resolved) {
        s.lag = p->facts.last_sequence > s.final_sequence
                    ? p->facts.last_sequence - s.final_sequence
                    : 0;
    } else if (in_hand(p)) {
        s.lag = (int64_t)tmk_tracker_unfinished(&p->tracker);
    }
    tmk_progress_step(&p->meter, now, &s);
}

static bool run(tmk_pump *p, tmk_time now, tmk_pump_act *act) {
    if (p->admit_at <= now) {
        tmk_pump_admit(p, now);
    }
    tmk_pump_cases_due(p, now);
    if (p->restart && p->link == TMK_LINK_NONE && !in_hand(p)) {
        (void)begin_anew(p, now);
    }
    notice_silence(p, now);
    sample(p, now);
    return want_close(p, act) || want_facts(p, now, act) ||
           (p->state == TMK_PUMP_STATE_RUNNING &&
            (want_link(p, now, act) || want_credit(p, act) || want_letter(p, now, act) ||
             want_checkpoint(p, now, act)));
}

/* ---- the end ---- */

/* Nothing of it runs, and nothing is waited for. */
static bool quiet(const tmk_pump *p, const tmk_lanes_facts *f) {
    if (p->link != TMK_LINK_NONE || (f->taken > 0 && !TMK_MUTANT(DRAIN_DOES_NOT_WAIT)) ||
        f->unread || p->kept_set || tmk_list_linked(&p->stuck)) {
        return false;
    }
    return p->reason == TMK_CLOSE_LOST || TMK_MUTANT(DRAIN_FORGETS_HANDLES) ||
           (f->out == 0 && tmk_pump_letters_open(p) == 0);
}

static void tell_doubt(tmk_pump *p, uint64_t count) {
    tmk_error err;

    (void)tmk_fail(&err, TMK_ETIMEOUT, "drain",
                   "%" PRIu64 " events were handed out and have no verdict yet", count);
    tmk_pump_tell(p, TMK_PUMP_IN_DOUBT, tmk_tracker_water_sequence(&p->tracker), count, &err,
                  "no checkpoint covers them: they come again");
}

static bool tell_closed(tmk_pump *p, tmk_pump_act *act) {
    if (p->told_closed) {
        return false;
    }
    p->told_closed = true;
    act->kind = TMK_PUMP_CLOSED;
    act->reason = p->reason;
    act->in_doubt = p->in_doubt;
    if (p->resolved) {
        fill_checkpoint(p, act);
    }
    return true;
}

static bool want_closed(tmk_pump *p, tmk_time now, tmk_pump_act *act) {
    tmk_lanes_facts f = tmk_lanes_facts_get(p->lanes);

    /* What is held back keeps the rest from moving: there is no use in waiting for holes. */
    if (!p->cut && (map_fits(p) || (f.taken == 0 && f.waiting == 0))) {
        cut(p, now);
    }
    if (!(p->cut && quiet(p, &f)) && now < p->drain_until) {
        return false;
    }
    if (!p->cut) {
        cut(p, now);
    }
    p->state = TMK_PUMP_STATE_CLOSED;
    /* What waits for its next try, or has stopped the partition, is not final but not in doubt. */
    p->in_doubt = f.taken + f.out + tmk_pump_letters_open(p);
    if (p->in_doubt > 0) {
        tell_doubt(p, p->in_doubt);
    }
    return next_report(p, act) || tell_closed(p, act);
}

/* It may take as long as a dead letter needs: what is final meanwhile goes to the store as ever. */
static bool drain(tmk_pump *p, tmk_time now, tmk_pump_act *act) {
    tmk_pump_cases_due(p, now);
    return want_close(p, act) || want_letter(p, now, act) || want_closed(p, now, act) ||
           (writes(p) && want_checkpoint(p, now, act));
}

/* ---- the step ---- */

static tmk_time next_step(const tmk_pump *p, tmk_time now) {
    const tmk_heap_node *timer = tmk_heap_first(&p->timers);
    tmk_time at = timer == NULL ? TMK_NEVER : timer->due;

    if (p->state == TMK_PUMP_STATE_CLOSED) {
        return TMK_NEVER;
    }
    if (writes(p)) {
        at = tmk_time_min(at, tmk_policy_deadline(&p->policy, now));
    }
    if (p->state == TMK_PUMP_STATE_DRAINING) {
        return tmk_time_min(at, p->drain_until);
    }
    at = tmk_time_min(at, p->admit_at);
    if (p->seek == TMK_SEEK_WANTED) {
        at = tmk_time_min(at, p->seek_at);
    } else if (p->link == TMK_LINK_NONE && !p->restart && p->seek == TMK_SEEK_DONE) {
        at = tmk_time_min(at, p->reopen_at);
    }
    if (p->link == TMK_LINK_OPEN && p->behind_since != TMK_NEVER && p->share.out > 0) {
        at = tmk_time_min(at, p->behind_since + p->engine->options.silence);
    }
    /* Where nothing waits there is nothing to sample: an idle partition costs nothing. */
    return in_hand(p) ? tmk_time_min(at, tmk_progress_deadline(&p->meter)) : at;
}

static void rest(tmk_pump *p, tmk_time now) {
    tmk_list_remove(&p->touched);
    tmk_assert(tmk_heap_push(&p->engine->due, &p->due, next_step(p, now)) == TMK_OK); /* reserved */
}

static bool act_by_state(tmk_pump *p, tmk_time now, tmk_pump_act *act) {
    switch (p->state) {
    case TMK_PUMP_STATE_STARTING:
    case TMK_PUMP_STATE_RUNNING:
        return run(p, now, act);
    case TMK_PUMP_STATE_DRAINING:
        return drain(p, now, act);
    case TMK_PUMP_STATE_CLOSED:
        return tell_closed(p, act);
    }
    return false;
}

void tmk_pump_step(tmk_pump *p, tmk_time now, tmk_pump_act *act) {
    *act = (tmk_pump_act){.kind = TMK_PUMP_WAIT};
    /* Once more after acting: what was done may have to be told before anything else. */
    if (!next_report(p, act) && !act_by_state(p, now, act) && !next_report(p, act)) {
        rest(p, now);
    }
}

/* ---- what can be seen ---- */

static bool is_stopped(const tmk_pump *p) {
    return p->paused || p->halted || p->troubles > 0 ||
           (p->link_failures > 0 && p->link == TMK_LINK_NONE) ||
           p->state >= TMK_PUMP_STATE_DRAINING || p->engine->breaker.state != TMK_BREAKER_CLOSED;
}

/* Handed out, or final, beyond what the store has. */
static uint64_t replay(const tmk_pump *p, uint64_t queued) {
    uint64_t beyond = p->tracker.high - p->saved.low;
    uint64_t safe = queued + p->saved.mapped;

    return beyond > safe ? beyond - safe : 0;
}

void tmk_pump_facts_get(tmk_pump *p, tmk_pump_facts *out) {
    tmk_lanes_facts f = tmk_lanes_facts_get(p->lanes);
    tmk_position water;

    tmk_tracker_water(&p->tracker, &water);
    *out = (tmk_pump_facts){.state = p->state,
                            .progress = tmk_progress_tell(
                                &p->meter, p->state == TMK_PUMP_STATE_STARTING, is_stopped(p)),
                            .paused = p->paused,
                            .halted = p->halted,
                            .held = p->held,
                            .fenced = p->fenced,
                            .link_open = p->link == TMK_LINK_OPEN,
                            .received_sequence = p->resolved ? p->tracker.newest : -1,
                            .final_sequence = p->resolved ? water.sequence : -1,
                            .checkpoint_sequence = p->saved.sequence,
                            .final_enqueued_ms = water.enqueued_ms,
                            .oldest_enqueued_ms = tmk_tracker_oldest_enqueued_ms(&p->tracker),
                            .last_known = p->last_known,
                            .begin_sequence = p->last_known ? p->facts.begin_sequence : -1,
                            .last_sequence = p->last_known ? p->facts.last_sequence : -1,
                            .last_enqueued_ms = p->last_known ? p->facts.last_enqueued_ms : -1,
                            .held_events = p->share.held_events,
                            .held_bytes = p->share.held_bytes,
                            .queued_events = f.queued,
                            .running = f.running,
                            .out = f.out,
                            .replay_events = replay(p, f.queued),
                            .oldest = tmk_tracker_oldest(&p->tracker),
                            .events = p->events,
                            .bytes = p->bytes,
                            .lost = p->lost,
                            .credit = p->share.out,
                            .busy = f.busy};
}
