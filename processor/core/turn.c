/*
 * Turns: what a worker takes, runs and gives back. take() and end() move events
 * between the lanes and the turn's own arrays; in between nothing of the yard is
 * touched but its two flags that say halt.
 */
#include "core/lanes.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "core/lanes_inside.h"

tmk_status tmk_turn_init(tmk_turn *t, tmk_yard *y, uint32_t slot, tmk_error *err) {
    uint32_t batch = y->options.batch_events;

    *t = (tmk_turn){.yard = y, .slot = slot};
    t->room = batch > TMK_TURN_EVENTS_MAX ? batch : TMK_TURN_EVENTS_MAX;
    t->events = tmk_alloc_zero(t->room, sizeof(tmk_event *));
    t->ordinals = tmk_alloc_zero(t->room, sizeof *t->ordinals);
    t->verdicts = tmk_alloc_zero(t->room, sizeof *t->verdicts);
    t->retry_ms = tmk_alloc_zero(t->room, sizeof *t->retry_ms);
    t->early_ms = tmk_alloc_zero(t->room, sizeof *t->early_ms);
    t->states = tmk_alloc_zero(t->room, sizeof *t->states);
    if (t->events == NULL || t->ordinals == NULL || t->verdicts == NULL || t->retry_ms == NULL ||
        t->early_ms == NULL || t->states == NULL) {
        tmk_turn_clear(t);
        return tmk_fail(err, TMK_ENOMEM, "turn", "no memory for a worker of %u events", t->room);
    }
    tmk_yard_enter(y);
    tmk_assert(slot < y->options.workers && y->turns[slot] == NULL);
    y->turns[slot] = t;
    tmk_yard_leave(y);
    return TMK_OK;
}

void tmk_turn_clear(tmk_turn *t) {
    if (t->yard != NULL) {
        tmk_yard_enter(t->yard);
        tmk_assert(!t->active);
        if (t->yard->turns[t->slot] == t) {
            t->yard->turns[t->slot] = NULL;
        }
        tmk_yard_leave(t->yard);
    }
    tmk_free(t->events);
    tmk_free(t->ordinals);
    tmk_free(t->verdicts);
    tmk_free(t->retry_ms);
    tmk_free(t->early_ms);
    tmk_free(t->states);
    *t = (tmk_turn){0};
}

/* ---- taking ---- */

/* Moves up to `most` events from the front of a lane into the turn. One that comes again comes
 * alone: a bad event must not take others with it. */
static void take_events(tmk_turn *t, tmk_turn_run *run, uint32_t most) {
    tmk_lane *lane = run->lane;
    tmk_lanes *l = lane->lanes;
    bool batches = t->yard->options.batch_events > 0;
    uint32_t at = lane->head;
    uint32_t i = run->from;

    run->attempt = tmk_slot_of(l, at)->attempt;
    most = run->attempt > 1 ? 1 : most;
    most = most < lane->count ? most : lane->count;
    for (; i < run->from + most; i++) {
        const tmk_slot *s = tmk_slot_of(l, at);

        if (s->attempt > 1 && i > run->from) {
            break;
        }
        t->events[i] = s->event;
        t->ordinals[i] = at;
        run->row = run->row && (i == run->from || at == t->ordinals[i - 1] + 1);
        lane->bytes -= batches ? s->event->message_size : 0;
        at = s->next;
    }
    lane->head = at;
    lane->count -= i - run->from;
    run->to = i;
    t->count = i;
    l->queued -= i - run->from;
}

static void take_lane(tmk_turn *t, uint32_t most) {
    tmk_yard *y = t->yard;
    tmk_lane *lane = tmk_container_of(tmk_list_pop_front(&y->ready), tmk_lane, node);
    tmk_turn_run *run = &t->runs[t->run_count++];

    y->ready_count--;
    lane->ready = false;
    *run = (tmk_turn_run){.lane = lane, .from = t->count, .ran = t->count, .row = true};
    take_events(t, run, most);
    lane->lanes->running++;
    if (!lane->open) {
        lane->running = true;
    } else if (lane->count > 0) {
        lane->ready = true;
        y->ready_count++;
        tmk_list_push_back(&y->ready, &lane->node);
    }
}

/* So many lanes that others find some too. */
static uint32_t fair_runs(const tmk_yard *y) {
    uint32_t fair = y->ready_count / (2 * y->options.workers);

    return fair == 0 ? 1 : fair < TMK_TURN_RUNS_MAX ? fair : TMK_TURN_RUNS_MAX;
}

bool tmk_turn_take(tmk_turn *t, uint32_t events) {
    tmk_yard *y = t->yard;
    uint32_t runs = fair_runs(y);

    tmk_assert(!t->active && events > 0);
    if (tmk_yard_ready(y) == 0) {
        return false;
    }
    t->probe = y->gate != 0;
    y->probe = false;
    events = events < y->options.batch_events ? y->options.batch_events : events;
    events = t->probe ? 1 : events < t->room ? events : t->room;
    runs = t->probe ? 1 : runs;
    t->serial += t->count;
    t->count = 0;
    t->run_count = 0;
    while (t->run_count < runs && t->count < events && y->ready_count > 0) {
        take_lane(t, events - t->count);
    }
    memset(t->states, TMK_STATE_NONE, t->count);
    t->run = 0;
    t->given = 0;
    t->active = true;
    __atomic_store_n(&t->at, t->count, __ATOMIC_RELAXED);
    return true;
}

/* ---- running ---- */

static bool halted(const tmk_turn *t, const tmk_turn_run *run) {
    return (__atomic_load_n(&t->yard->gate, __ATOMIC_RELAXED) != 0 && !t->probe) ||
           __atomic_load_n(&run->lane->lanes->paused, __ATOMIC_RELAXED);
}

/* How many of a run's events go into one callback. */
static uint32_t batch_of(const tmk_turn *t, const tmk_turn_run *run) {
    const tmk_yard_options *o = &t->yard->options;
    uint64_t bytes = 0;
    uint32_t i = run->ran;

    for (; i < run->to && i - run->ran < o->batch_events; i++) {
        bytes += t->events[i]->message_size;
        if (o->batch_bytes > 0 && bytes > o->batch_bytes && i > run->ran) {
            break;
        }
    }
    return i - run->ran;
}

static void introduce(tmk_turn *t, const tmk_turn_run *run) {
    const tmk_lanes_options *o = &run->lane->lanes->options;

    t->delivery.processor = o->processor;
    t->delivery.partition = o->partition;
    t->delivery.generation = o->generation;
    t->delivery.attempt = run->attempt;
}

/* The run that has something to give; NULL: the turn is over. */
static tmk_turn_run *present_run(tmk_turn *t) {
    for (; t->run < t->run_count; t->run++) {
        tmk_turn_run *run = &t->runs[t->run];

        if (run->ran < run->to && !run->stopped && !halted(t, run)) {
            return run;
        }
    }
    return NULL;
}

bool tmk_turn_next(tmk_turn *t, const tmk_event *const **events, uint32_t *count,
                   tmk_verdict **verdicts) {
    tmk_turn_run *run = present_run(t);
    uint32_t at = 0;

    if (run == NULL) {
        __atomic_store_n(&t->at, t->count, __ATOMIC_RELAXED);
        return false;
    }
    at = run->ran;
    if (at == run->from) {
        introduce(t, run);
    }
    t->given = t->yard->options.batch_events > 0 ? batch_of(t, run) : 1;
    for (uint32_t i = at; i < at + t->given; i++) {
        t->verdicts[i] = TMK_DONE;
        __atomic_store_n(&t->states[i], TMK_STATE_HANDED, __ATOMIC_RELAXED);
    }
    t->delivery.retry_ms = -1;
    t->delivery.handle = tmk_handle_of(t, at);
    __atomic_store_n(&t->at, at, __ATOMIC_RELAXED);
    *events = t->events + at;
    *count = t->given;
    *verdicts = t->verdicts + at;
    return true;
}

/* A verdict other than DONE. Numbers that are none count as a failure of the handler. */
static void note_odd(tmk_turn *t, tmk_turn_run *run, uint32_t i) {
    tmk_verdict *v = &t->verdicts[i];

    if ((unsigned)*v > TMK_STOP) {
        *v = TMK_RETRY;
    }
    t->retry_ms[i] = *v == TMK_RETRY ? t->delivery.retry_ms : -1;
    run->odd = true;
    if (tmk_verdict_holds(*v) || (*v == TMK_LATER && t->yard->options.later_holds)) {
        run->stopped = !run->lane->open;
    }
}

void tmk_turn_did(tmk_turn *t) {
    tmk_turn_run *run = &t->runs[t->run];
    uint32_t end = run->ran + t->given;

    for (uint32_t i = run->ran; i < end; i++) {
        if (t->verdicts[i] != TMK_DONE) {
            note_odd(t, run, i);
        }
        if (t->verdicts[i] != TMK_LATER) {
            /* Its handle is void, whatever was said about it meanwhile. */
            __atomic_store_n(&t->states[i], TMK_STATE_NONE, __ATOMIC_RELAXED);
        }
    }
    run->ran = end;
}

/* ---- giving back ---- */

/* One event that was answered otherwise than DONE. */
static void end_odd(tmk_turn *t, tmk_turn_run *run, uint32_t i, tmk_time now) {
    tmk_lanes *l = run->lane->lanes;
    tmk_finished f = {.ordinal = tmk_whole_ordinal(l->low, t->ordinals[i]),
                      .count = 1,
                      .verdict = t->verdicts[i],
                      .attempt = run->attempt,
                      .retry_ms = t->retry_ms[i],
                      .probe = t->probe};

    if (f.verdict == TMK_LATER && t->states[i] >= TMK_STATE_EARLY) {
        f.verdict = (tmk_verdict)(t->states[i] - TMK_STATE_EARLY);
        f.retry_ms = t->early_ms[i];
    } else if (f.verdict == TMK_LATER) {
        if (tmk_later_begin(t, run, i, now)) {
            run->lane->held += t->yard->options.later_holds && !run->lane->open;
            return;
        }
        f.verdict = TMK_RETRY; /* no memory to wait with: once more, when there may be some */
        f.retry_ms = -1;
    }
    if (!l->closed) {
        tmk_finish_one(l, run->lane, &f, false);
    }
}

/* Events of a run that callbacks have had. */
static void end_ran(tmk_turn *t, tmk_turn_run *run, tmk_time now) {
    tmk_lanes *l = run->lane->lanes;
    uint32_t i = run->from;

    while (i < run->ran) {
        uint32_t first = i++;

        if (t->verdicts[first] != TMK_DONE) {
            end_odd(t, run, first, now);
            continue;
        }
        if (run->row && !run->odd) {
            i = run->ran;
        }
        while (i < run->ran && t->verdicts[i] == TMK_DONE &&
               t->ordinals[i] == t->ordinals[i - 1] + 1) {
            i++;
        }
        if (!l->closed) {
            tmk_finish_row(l, tmk_whole_ordinal(l->low, t->ordinals[first]), i - first);
        }
    }
}

/* Events that were not reached: back to the front, in their order. */
static void end_left(tmk_turn *t, tmk_turn_run *run) {
    tmk_lane *lane = run->lane;
    uint32_t left = run->to - run->ran;

    if (left == 0 || lane->lanes->closed) {
        return;
    }
    tmk_lane_back(lane, t->ordinals[run->ran], t->ordinals[run->to - 1], left);
    lane->lanes->queued += left;
    for (uint32_t i = run->ran; i < run->to && t->yard->options.batch_events > 0; i++) {
        lane->bytes += t->events[i]->message_size;
    }
    if (lane->lanes->cut != UINT64_MAX) {
        tmk_lane_cut(lane);
    }
}

static void end_run(tmk_turn *t, tmk_turn_run *run, tmk_time now) {
    tmk_lane *lane = run->lane;
    tmk_lanes *l = lane->lanes;

    end_ran(t, run, now);
    end_left(t, run);
    l->running--;
    if (!lane->open) {
        lane->running = false;
    }
    if (!l->closed) {
        tmk_lane_settle(lane, now);
    } else if (l->running == 0) {
        tmk_lanes_end(l);
    }
}

void tmk_turn_end(tmk_turn *t, tmk_time now) {
    bool reached = false;

    tmk_assert(t->active);
    t->active = false;
    for (uint32_t i = 0; i < t->run_count; i++) {
        reached = reached || t->runs[i].ran > t->runs[i].from;
        end_run(t, &t->runs[i], now);
    }
    if (t->probe && !reached) {
        t->yard->probe = true; /* nobody has asked the sink yet */
    }
}
