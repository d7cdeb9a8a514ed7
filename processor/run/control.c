/*
 * Carrying out what the fleet and the pumps ask for. See control.h.
 *
 * A slot is one partition of the hub. What the fleet asked for last and has not
 * been told the end of is its `owed`; whatever way the pump comes to its end,
 * the debt is paid then, once.
 */
#include "run/control.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/call.h"
#include "base/status.h"
#include "run/slot.h"
#include "core/mutants.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    REOPEN_AFTER_S = 5,
    ASKED_MAX = 256 /* questions whose time is taken; there are never nearly as many */
};

/* ---- telling people ---- */

void tmk_control_tell(tmk_control *c, const tmk_problem *problem) {
    const char *partition = problem->partition == NULL ? "" : problem->partition;

    tmk_meters_problem(&c->meters, problem->partition, problem->operation, problem->error,
                       problem->reaction);
    tmk_journal_write(&c->journal, "fault", "partition", 's', problem->partition, "operation", 's',
                      problem->operation, "condition", 's', problem->error->origin, "text", 's',
                      problem->error->text, "reaction", 's', problem->reaction, NULL);
    tmk_warn(&c->log, "processor.problem",
             "partition='%s' operation=%s origin='%s' text='%s' reaction='%s'", partition,
             problem->operation, problem->error->origin, problem->error->text, problem->reaction);
    if (c->user->on_error != NULL) {
        c->user->on_error(c->user->user, problem);
    }
}

static void tell(tmk_control *c, const char *partition, const char *operation, const tmk_error *err,
                 const char *reaction) {
    tmk_problem problem = {.error = err,
                           .partition = partition,
                           .operation = operation,
                           .reaction = reaction,
                           .sequence = -1};

    tmk_control_tell(c, &problem);
}

/* ---- slots ---- */

static tmk_slot *slot_of(tmk_control *c, const char *partition) {
    return tmk_map_get(&c->by_id, tmk_slice_str(partition));
}

tmk_slot *tmk_control_slot(tmk_control *c, const char *partition) {
    tmk_slot *s = slot_of(c, partition);

    if (s != NULL) {
        return s;
    }
    s = tmk_slot_new(c, partition);
    if (s == NULL || tmk_map_put(&c->by_id, tmk_slice_str(partition), s, NULL) < 0) {
        return tmk_slot_free(s);
    }
    return s;
}

/* A pump's checkpoints grow, unless its position went back on purpose: the hub was made anew, or
 * on_open chose to. */
static bool goes_back(const tmk_slot *s, const tmk_checkpoint *c) {
    return s->last.present && s->last.sequence_known && c->sequence < s->last.sequence;
}

/* ---- the pump's end ---- */

/* Tells the fleet what it waits for, now that nothing of the partition runs any more. */
static void pay(tmk_control *c, tmk_slot *s, tmk_time now) {
    tmk_slot_owed owed = s->owed;

    s->owed = TMK_OWED_NOTHING;
    tmk_slot_open_at(s, TMK_NEVER);
    if (owed == TMK_OWED_STOPPED) {
        tmk_fleet_on_stopped(c->fleet, now, s->id);
    } else if (owed == TMK_OWED_DRAINED &&
               tmk_fleet_on_drained(c->fleet, now, s->id, &s->last) == TMK_ENOMEM) {
        s->owed = owed; /* told again with the next step */
        c->unpaid = true;
    }
}

static void tell_close(const tmk_control *c, const tmk_slot *s, tmk_close_reason reason) {
    if (c->user->on_close != NULL) {
        c->user->on_close(c->user->user, s->id, s->generation, reason, s->last.sequence);
    }
}

static void on_pump_closed(tmk_control *c, tmk_slot *s, tmk_time now, const tmk_pump_act *act) {
    static const char *const reasons[] = {"moved", "stopped", "lost", "failed"};
    tmk_close_reason reason = act->reason;
    bool back = act->checkpoint.present && goes_back(s, &act->checkpoint);

    if (act->checkpoint.present && reason != TMK_CLOSE_LOST && !TMK_MUTANT(LAST_CHECKPOINT_LOST) &&
        (tmk_slot_keep(s, &act->checkpoint) < 0 ||
         (back && tmk_fleet_rewind(c->fleet, now, s->id, &s->last) < 0))) {
        tmk_error err;
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "run",
                             "no memory for the last checkpoint of partition '%s'", s->id);
        tell(c, s->id, "checkpoint", &err, "what is final since the one before is repeated");
    }
    tmk_slot_drop_pump(s);
    c->open_count--;
    c->doubt_events += c->stopping ? act->in_doubt : 0;
    tmk_journal_write(&c->journal, "close", "partition", 's', s->id, "generation", 'i',
                      s->generation, "reason", 's', reasons[reason], "position", 'i',
                      s->last.sequence, NULL);
    tmk_info(&c->log, "partition.closed",
             "partition='%s' generation=%" PRId64 " reason=%s position=%" PRId64, s->id,
             s->generation, reasons[reason], s->last.sequence);
    tell_close(c, s, reason);
    if (s->owed != TMK_OWED_NOTHING) {
        pay(c, s, now);
    }
}

/* ---- opening ---- */

static void put_off(tmk_control *c, tmk_slot *s, tmk_time now, const tmk_error *err) {
    tmk_slot_open_at(s, tmk_time_after(now, REOPEN_AFTER_S * TMK_SEC));
    tell(c, s->id, "open", err, "opened again in 5 s");
}

/* Where it would start if nobody chose otherwise: what on_open is shown. */
static tmk_start start_of(const tmk_control *c, const tmk_slot *s) {
    const tmk_checkpoint *k = &s->last;
    tmk_start start = c->user->start;

    if (k->present && k->sequence_known) {
        start = tmk_start_sequence(k->sequence, false);
    } else if (k->present && tmk_start_offset(tmk_slice_str(k->offset), false, &start, NULL) < 0) {
        start =
            c->user
                ->start; /* no position that can be shown; the pump tells what is wrong with it */
    }
    return start;
}

static void open_slot(tmk_control *c, tmk_slot *s, tmk_time now) {
    const tmk_start before = start_of(c, s);
    tmk_start chosen = before;
    tmk_status st = TMK_OK;
    bool asked = false; /* on_open has agreed: on_close must come */
    tmk_error err;

    tmk_slot_open_at(s, TMK_NEVER);
    tmk_error_clear(&err);
    if (c->user->on_open != NULL) {
        st = c->user->on_open(c->user->user, s->id, s->generation, s->last.present, &chosen);
        if (st < 0) {
            (void)tmk_fail_retry(&err, st, "user", "on_open has refused to open the partition");
        }
        asked = st >= 0;
    }
    bool moved = !tmk_start_same(&before, &chosen);
    if (st >= 0) {
        st = tmk_pump_new(c->engine, s->id, s->generation, &s->last, moved ? &chosen : NULL, s, now,
                          &s->pump, &err);
    }
    if (st < 0) {
        if (asked) {
            tell_close(c, s, TMK_CLOSE_FAILED);
        }
        put_off(c, s, now, &err);
        return;
    }
    c->open_count++;
    tmk_behind_on_open(c, now);
    tmk_slot_apply_quiet(s, now, 0);
    tmk_journal_write(&c->journal, "open", "partition", 's', s->id, "generation", 'i',
                      s->generation, "position", 'i',
                      s->last.present ? s->last.sequence : INT64_C(-1), NULL);
    tmk_info(&c->log, "partition.opened", "partition='%s' generation=%" PRId64, s->id,
             s->generation);
}

/* ---- what the fleet asks for ---- */

static void on_open(tmk_control *c, tmk_time now, const tmk_fleet_act *act) {
    tmk_slot *s = tmk_control_slot(c, act->partition);
    tmk_error err;

    if (s == NULL || tmk_slot_keep(s, act->checkpoint) < 0) {
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "run", "no memory to open partition '%s'",
                             act->partition);
        tell(c, act->partition, "open", &err, "given up until memory is there");
        tmk_fleet_on_stolen(c->fleet, now, act->partition); /* asks for STOP, then looks again */
        return;
    }
    tmk_assert(s->pump == NULL);
    s->generation = act->generation;
    s->owner_level = act->owner_level;
    s->owed = TMK_OWED_NOTHING;
    /* What the fleet said of an earlier reading is over. */
    s->quiet &= TMK_MUTANT(QUIET_INHERITED) ? ~0U : TMK_QUIET_USER;
    open_slot(c, s, now);
}

static void on_end(tmk_control *c, tmk_time now, const tmk_fleet_act *act) {
    bool drain = act->kind == TMK_FLEET_DRAIN;
    tmk_slot *s = slot_of(c, act->partition);
    tmk_close_reason reason = !drain                                     ? TMK_CLOSE_LOST
                              : act->reason == TMK_FLEET_BECAUSE_LEAVING ? TMK_CLOSE_STOPPED
                                                                         : TMK_CLOSE_MOVED;
    tmk_time until = tmk_time_min(tmk_time_after(now, c->drain_max), c->drain_until);

    until = TMK_MUTANT(STOP_DRAINS_NOTHING) ? now : until;

    if (s == NULL) {
        tmk_fleet_on_stopped(c->fleet, now, act->partition);
        return;
    }
    s->owed = drain ? TMK_OWED_DRAINED : TMK_OWED_STOPPED;
    if (s->pump == NULL) {
        if (!TMK_MUTANT(DEBT_UNPAID)) {
            pay(c, s, now);
        }
        return;
    }
    tmk_pump_drain(s->pump, now, reason, until);
}

static void set_fence(tmk_control *c, tmk_time now, const char *partition, bool fence) {
    tmk_slot *s = partition == NULL ? NULL : slot_of(c, partition);

    if (partition == NULL) {
        if (TMK_MUTANT(FENCE_UNHEARD)) {
            return;
        }
        c->fenced = fence;
        (fence ? tmk_yard_shut : tmk_yard_open)(c->yard, TMK_GATE_FENCE);
        tmk_warn(&c->log, fence ? "fleet.fenced" : "fleet.unfenced", "instance='%s'",
                 tmk_fleet_id(c->fleet));
    } else if (s != NULL) {
        tmk_slot_quiet(s, now, TMK_QUIET_FENCE, fence);
    }
}

static void on_checkpointed(tmk_control *c, tmk_time now, const tmk_fleet_act *act) {
    tmk_slot *s = slot_of(c, act->partition);

    tmk_journal_write(&c->journal, "checkpoint", "partition", 's', act->partition, "sequence", 'i',
                      act->sequence, "result", 's', act->written ? "written" : "refused", NULL);
    if (s == NULL || s->pump == NULL || !s->writing) {
        return;
    }
    tmk_error err;
    tmk_error_clear(&err);
    if (!act->written) {
        (void)tmk_fail(&err, TMK_CONFLICT, "store",
                       "the store has refused the checkpoint: the partition has "
                       "another owner");
    }
    s->writing = false;
    tmk_pump_on_written(s->pump, now, act->written ? TMK_OK : TMK_CONFLICT, 0,
                        act->written ? NULL : &err);
}

static void on_note(tmk_control *c, const tmk_fleet_act *act) {
    static const struct {
        const char *ev, *what;
    } notes[] = {
        [TMK_FLEET_JOINED] = {"state", "joined"},
        [TMK_FLEET_VIEW] = {"state", "view"},
        [TMK_FLEET_CLAIMED] = {"claim", "claimed"},
        [TMK_FLEET_ACCEPTED] = {"handoff", "accepted"},
        [TMK_FLEET_HANDED] = {"handoff", "handed"},
        [TMK_FLEET_RELEASED] = {"handoff", "released"},
        [TMK_FLEET_LOST] = {"claim", "lost"},
        [TMK_FLEET_EVICTED] = {"evict", "evicted"},
        [TMK_FLEET_WAS_EVICTED] = {"evict", "was_evicted"},
        [TMK_FLEET_CLAIM_REFUSED] = {"claim", "refused"},
    };
    const char *ev = notes[act->note].ev, *what = notes[act->note].what;

    tmk_journal_write(&c->journal, ev, "what", 's', what, "partition", 's', act->partition,
                      "generation", 'i', act->generation, "member", 's', act->member, NULL);
    tmk_info(&c->log, "fleet.note", "what=%s partition='%s' generation=%" PRId64 " member='%s'",
             what, act->partition == NULL ? "" : act->partition, act->generation,
             act->member == NULL ? "" : act->member);
}

static void on_submit(tmk_control *c, tmk_time now, const tmk_fleet_act *act) {
    tmk_asked *asked = c->asked_count < ASKED_MAX ? tmk_new(tmk_asked) : NULL;

    if (asked != NULL) {
        c->asked_count++;
        asked->ticket = act->ticket;
        asked->kind = act->op->kind;
        asked->at = now;
        (void)snprintf(asked->id, sizeof asked->id, "%s", act->op->id == NULL ? "" : act->op->id);
        tmk_list_push_back(&c->asked, &asked->node);
    }
    c->ports.submit(c->ports.self, act->ticket, act->op, act->channel);
}

static void carry_out(tmk_control *c, tmk_time now, const tmk_fleet_act *act) {
    switch (act->kind) {
    case TMK_FLEET_SUBMIT:
        on_submit(c, now, act);
        break;
    case TMK_FLEET_OPEN:
        on_open(c, now, act);
        break;
    case TMK_FLEET_DRAIN:
    case TMK_FLEET_STOP:
        on_end(c, now, act);
        break;
    case TMK_FLEET_FENCE:
    case TMK_FLEET_UNFENCE:
        set_fence(c, now, act->partition, act->kind == TMK_FLEET_FENCE);
        break;
    case TMK_FLEET_HOLD:
    case TMK_FLEET_RESUME:
        if (slot_of(c, act->partition) != NULL) {
            tmk_slot_quiet(slot_of(c, act->partition), now, TMK_QUIET_HOLD,
                           act->kind == TMK_FLEET_HOLD);
        }
        break;
    case TMK_FLEET_CHECKPOINTED:
        on_checkpointed(c, now, act);
        break;
    case TMK_FLEET_READY:
        c->ready = true;
        tmk_info(&c->log, "fleet.ready", "instance='%s'", tmk_fleet_id(c->fleet));
        break;
    case TMK_FLEET_LEFT:
        c->left = true;
        break;
    case TMK_FLEET_NOTE:
        on_note(c, act);
        break;
    case TMK_FLEET_REPORT:
        tell(c, act->partition, "store", act->error, act->next);
        break;
    }
}

/* ---- what a pump asks for ---- */

static void on_report(tmk_control *c, const tmk_pump_report *r) {
    tmk_problem problem = {.error = &r->error,
                           .partition = r->partition,
                           .operation = r->operation,
                           .reaction = r->reaction,
                           .sequence = r->sequence};

    if (r->problem) {
        tmk_control_tell(c, &problem);
        return;
    }
    tmk_journal_write(&c->journal, "state", "partition", 's', r->partition, "what", 's',
                      tmk_pump_event_name(r->event), "sequence", 'i', r->sequence, "count", 'i',
                      (int64_t)r->count, NULL);
    tmk_info(&c->log, "partition.note",
             "partition='%s' what=%s sequence=%" PRId64 " count=%" PRIu64,
             r->partition == NULL ? "" : r->partition, tmk_pump_event_name(r->event), r->sequence,
             r->count);
}

static void on_checkpoint(tmk_control *c, tmk_slot *s, tmk_time now, const tmk_pump_act *act) {
    bool back = goes_back(s, &act->checkpoint);
    tmk_status st = tmk_slot_keep(s, &act->checkpoint);
    tmk_error err;

    if (st == TMK_OK) {
        st = (back && !TMK_MUTANT(REWIND_FORGOTTEN) ? tmk_fleet_rewind : tmk_fleet_checkpoint)(
            c->fleet, now, s->id, &s->last);
    }
    s->writing = st == TMK_OK;
    if (st < 0) {
        (void)tmk_fail_retry(&err, st, "run", "no memory for a checkpoint");
        tmk_pump_on_written(s->pump, now, st, 0, &err);
    }
}

static void on_dead_letter(tmk_control *c, tmk_time now, const tmk_pump_act *act) {
    tmk_error err;

    if (c->user->on_dead_letter != NULL) {
        c->user->on_dead_letter(c->user->user, &act->letter, act->handle);
        return;
    }
    (void)tmk_fail(&err, TMK_EUNSUPPORTED, "user", "there is no dead-letter sink");
    (void)tmk_engine_on_letter(c->engine, now, act->handle, TMK_EUNSUPPORTED, &err);
}

/* One thing; false: there is nothing to do for it now. */
static bool serve(tmk_control *c, tmk_slot *s, tmk_time now) {
    tmk_pump_act act;

    tmk_pump_step(s->pump, now, &act);
    switch (act.kind) {
    case TMK_PUMP_WAIT:
        return false;
    case TMK_PUMP_GET_FACTS:
        tmk_slot_ask_facts(s);
        break;
    case TMK_PUMP_OPEN_LINK:
        tmk_slot_open_link(s, now, &act.start);
        break;
    case TMK_PUMP_CREDIT:
        c->ports.source.ops->credit(c->ports.source.self, s->link, act.credit);
        break;
    case TMK_PUMP_CLOSE_LINK:
        tmk_slot_close_link(s);
        break;
    case TMK_PUMP_CHECKPOINT:
        on_checkpoint(c, s, now, &act);
        break;
    case TMK_PUMP_DEAD_LETTER:
        on_dead_letter(c, now, &act);
        break;
    case TMK_PUMP_REPORT:
        on_report(c, &act.report);
        break;
    case TMK_PUMP_CLOSED:
        on_pump_closed(c, s, now, &act);
        return false;
    }
    return true;
}

/* ---- steps ---- */

static bool step_fleet(tmk_control *c, tmk_time now) {
    tmk_fleet_act act;
    bool any = false;

    while (!c->abandoned && tmk_fleet_next(c->fleet, now, &act)) {
        any = true;
        carry_out(c, now, &act);
    }
    return any;
}

static bool step_pumps(tmk_control *c, tmk_time now) {
    tmk_pump_report report;
    tmk_pump *touched;
    bool any = false;

    tmk_engine_step(c->engine, now);
    while ((touched = tmk_engine_next_touched(c->engine)) != NULL) {
        tmk_slot *s = tmk_pump_user(touched);
        any = true;
        while (s->pump != NULL && serve(c, s, now)) {
        }
    }
    while (tmk_engine_next_report(c->engine, &report)) {
        on_report(c, &report);
    }
    return any;
}

/* Slots that wait to be opened again, or that still owe. */
static void wake_slots(tmk_control *c, tmk_time now) {
    tmk_heap_node *first;
    tmk_map_entry *entry;

    while ((first = tmk_heap_first(&c->due)) != NULL && first->due <= now) {
        tmk_slot *s = tmk_container_of(first, tmk_slot, due);
        tmk_slot_open_at(s, TMK_NEVER);
        if (s->pump == NULL && s->owed == TMK_OWED_NOTHING && !c->stopping) {
            open_slot(c, s, now);
        }
    }
    for (size_t i = 0; c->unpaid && (entry = tmk_map_next(&c->by_id, &i)) != NULL;) {
        tmk_slot *s = entry->value;
        if (s->owed != TMK_OWED_NOTHING && s->pump == NULL) {
            c->unpaid = false;
            pay(c, s, now);
        }
    }
}

static void on_ids(void *user, const tmk_error *err, const char *const *ids, size_t count) {
    tmk_query *q = user;
    tmk_control *c = q->control;
    tmk_error failure;

    tmk_query_free(q);
    tmk_time now = tmk_now(&c->ports.clock);
    c->asking_ids = false;
    if (err == NULL && tmk_fleet_partitions(c->fleet, now, ids, count, &failure) < 0) {
        err = &failure;
    }
    c->ids_at = tmk_time_after(now, err == NULL    ? c->ids_every
                                    : c->ids_known ? 10 * TMK_SEC
                                                   : TMK_SEC);
    c->ids_known = c->ids_known || err == NULL;
    if (err != NULL) {
        tell(c, NULL, "read", err, c->ids_known ? "asked again in 10 s" : "asked again in 1 s");
    }
    c->ports.wake(c->ports.self);
}

static void ask_ids(tmk_control *c, tmk_time now) {
    tmk_query *q = NULL;

    if (c->asking_ids || c->stopping || now < c->ids_at) {
        return;
    }
    q = tmk_query_new(c, NULL);
    if (q == NULL) {
        c->ids_at = tmk_time_after(now, TMK_SEC);
        return;
    }
    c->asking_ids = true;
    c->ports.source.ops->list(c->ports.source.self, on_ids, q);
}

/* What each partition has cost. */
static void step_weigh(tmk_control *c, tmk_time now) {
    tmk_map_entry *entry;

    if (now < c->weigh_at || c->stopping) {
        return;
    }
    c->weigh_at = tmk_time_after(now, c->weigh_every);
    for (size_t i = 0; (entry = tmk_map_next(&c->by_id, &i)) != NULL;) {
        const tmk_slot *s = entry->value;
        tmk_pump_facts f;

        if (s->pump != NULL) {
            tmk_pump_facts_get(s->pump, &f);
            tmk_fleet_measured(c->fleet, now, s->id, s->past_bytes + f.bytes,
                               s->past_busy + f.busy);
        }
    }
    tmk_fleet_weigh(c->fleet, now);
}

void tmk_control_step(tmk_control *c) {
    tmk_time now = tmk_now(&c->ports.clock);

    tmk_assert(!c->stepping);
    c->stepping = true;
    ask_ids(c, now);
    tmk_behind_step(c, now);
    wake_slots(c, now);
    step_weigh(c, now);
    for (bool any = true; any;) {
        any = step_fleet(c, now);
        any = step_pumps(c, now) || any;
    }
    /* Only now: what a sleep has changed is known, and shut where it must be. */
    tmk_yard_trust(c->yard, TMK_MUTANT(TRUST_FOR_EVER) ? TMK_NEVER : tmk_fleet_trust(c->fleet));
    c->stepping = false;
}

tmk_time tmk_control_deadline(tmk_control *c) {
    tmk_heap_node *first = tmk_heap_first(&c->due);
    tmk_time due = tmk_engine_deadline(c->engine);

    if (!c->abandoned) {
        due = tmk_time_min(due, tmk_fleet_deadline(c->fleet));
    }
    if (!c->stopping) {
        due = tmk_time_min(
            due, tmk_time_min(c->asking_ids ? TMK_NEVER : c->ids_at, tmk_behind_deadline(c)));
        due = tmk_time_min(due, c->weigh_at);
    }
    if (c->unpaid) {
        due = tmk_time_min(due, tmk_time_after(tmk_now(&c->ports.clock), 100 * TMK_MS));
    }
    return first == NULL ? due : tmk_time_min(due, first->due);
}

/* What a question took, for journal and statistics. */
static void count_answer(tmk_control *c, tmk_asked *a, tmk_time now, tmk_status status) {
    tmk_journal_write(&c->journal, "request", "operation", 's', tmk_store_op_name(a->kind), "id",
                      's', a->id, "status", 's', tmk_status_name(status), "seconds", 'f',
                      (double)(now - a->at) / 1e9, NULL);
    tmk_meters_request(&c->meters, a->kind, now - a->at);
    tmk_list_remove(&a->node);
    c->asked_count--;
    tmk_free(a);
}

void tmk_control_on_answer(tmk_control *c, uint64_t ticket, const tmk_store_result *result) {
    tmk_time now = tmk_now(&c->ports.clock);

    for (tmk_list *n = tmk_list_first(&c->asked); n != NULL; n = tmk_list_next(&c->asked, n)) {
        tmk_asked *a = tmk_container_of(n, tmk_asked, node);
        if (a->ticket == ticket) {
            count_answer(c, a, now, result->status);
            break;
        }
    }
    if (result->status >= 0) {
        c->meters.answered_at = now;
    }
    if (!c->abandoned) {
        tmk_fleet_on_answer(c->fleet, now, ticket, result);
    }
}

/* ---- stopping ---- */

void tmk_control_stop(tmk_control *c, tmk_time drain_until) {
    c->drain_until = tmk_time_min(c->drain_until, drain_until);
    if (!c->stopping) {
        c->stopping = true;
        tmk_fleet_stop(c->fleet, tmk_now(&c->ports.clock));
    }
}

bool tmk_control_left(const tmk_control *c) {
    return c->left && c->open_count == 0;
}

void tmk_control_abandon(tmk_control *c) {
    tmk_time now = tmk_now(&c->ports.clock);
    tmk_map_entry *entry;

    c->abandoned = c->stopping = true;
    tmk_yard_shut(c->yard, TMK_GATE_STOP);
    for (size_t i = 0; (entry = tmk_map_next(&c->by_id, &i)) != NULL;) {
        tmk_slot *s = entry->value;
        if (s->pump != NULL) {
            s->owed = TMK_OWED_NOTHING;
            tmk_pump_drain(s->pump, now, TMK_CLOSE_LOST, now);
        }
    }
}

/* ---- life ---- */

tmk_status tmk_control_new(const tmk_control_options *o, const tmk_control_ports *ports,
                           tmk_yard *yard, tmk_control **out, tmk_error *err) {
    tmk_control *c = tmk_new(tmk_control);
    tmk_time now = tmk_now(&ports->clock);
    tmk_rng seed;
    tmk_status st = TMK_OK;

    if (c == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "run", "no memory for a processor");
    }
    c->ports = *ports;
    c->yard = yard;
    c->user = o->user;
    c->journal = o->journal;
    c->log = o->log;
    c->drain_max = o->drain_max;
    c->drain_until = c->first_look_at = TMK_NEVER;
    c->ids_every = o->ids_every;
    c->ids_at = now;
    c->lag_at = o->user->lag_interval_ms <= 0
                    ? TMK_NEVER
                    : tmk_time_after(now, o->user->lag_interval_ms * TMK_MS);
    c->weigh_every = o->fleet.heartbeat;
    c->weigh_at = o->fleet.weighted ? tmk_time_after(now, c->weigh_every) : TMK_NEVER;
    tmk_meters_init(&c->meters);
    tmk_list_init(&c->asked);
    tmk_list_init(&c->queries);
    tmk_list_init(&c->readings);
    tmk_rng_seed(&c->rng, o->seed);
    tmk_rng_seed(&seed, tmk_rng_next(&c->rng));
    st = tmk_engine_new(&o->engine, yard, &c->rng, now, &c->engine, err);
    if (st >= 0) {
        st = tmk_fleet_new(&o->fleet, &seed, &c->fleet, err);
    }
    if (st < 0) {
        tmk_control_free(c);
        return st;
    }
    *out = c;
    return TMK_OK;
}

tmk_control *tmk_control_free(tmk_control *c) {
    tmk_map_entry *entry;

    if (c == NULL) {
        return NULL;
    }
    for (size_t i = 0; (entry = tmk_map_next(&c->by_id, &i)) != NULL;) {
        tmk_slot_free(entry->value);
    }
    tmk_map_clear(&c->by_id, NULL);
    while (!tmk_list_empty(&c->readings)) {
        tmk_reading_free(tmk_container_of(tmk_list_first(&c->readings), tmk_reading, node));
    }
    while (!tmk_list_empty(&c->queries)) {
        tmk_query_free(tmk_container_of(tmk_list_first(&c->queries), tmk_query, node));
    }
    while (!tmk_list_empty(&c->asked)) {
        tmk_free(tmk_container_of(tmk_list_pop_front(&c->asked), tmk_asked, node));
    }
    tmk_heap_clear(&c->due);
    tmk_engine_free(c->engine);
    tmk_fleet_free(c->fleet);
    tmk_free(c);
    return NULL;
}

const tmk_meters *tmk_control_meters(const tmk_control *c) {
    return &c->meters;
}

const tmk_fleet *tmk_control_fleet(const tmk_control *c) {
    return c->fleet;
}
