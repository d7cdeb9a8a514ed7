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
#include "core/mutants.h"

tmk_status tmk_turn_init(tmk_turn *t, tmk_yard *y, uint32_t slot, tmk_error *err) {
    uint32_t batch = y->options.batch_events;

    *t = (tmk_turn){.yard = y, .slot = slot};
    t->handle = (tmk_handle)(slot + 1) << TMK_SERIAL_BITS;
    t->room = batch > TMK_TURN_EVENTS_MAX ? batch : TMK_TURN_EVENTS_MAX;
    t->events = tmk_alloc_zero(t->room, sizeof(tmk_event *));
    t->ordinals = tmk_alloc_zero(t->room, sizeof *t->ordinals);
    t->keys = tmk_alloc_zero(t->room, sizeof *t->keys);
    t->verdicts = tmk_alloc_zero(t->room, sizeof *t->verdicts);
    t->retry_ms = tmk_alloc_zero(t->room, sizeof *t->retry_ms);
    t->early_ms = tmk_alloc_zero(t->room, sizeof *t->early_ms);
    t->states = tmk_alloc_zero(t->room, sizeof *t->states);
    if (t->events == NULL || t->ordinals == NULL || t->keys == NULL || t->verdicts == NULL ||
        t->retry_ms == NULL || t->early_ms == NULL || t->states == NULL) {
        tmk_turn_clear(t);
        return tmk_fail(err, TMK_ENOMEM, "turn", "no memory for a worker of %u events",
                        batch > TMK_TURN_EVENTS_MAX ? batch : TMK_TURN_EVENTS_MAX);
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
    tmk_free(t->keys);
    tmk_free(t->verdicts);
    tmk_free(t->retry_ms);
    tmk_free(t->early_ms);
    tmk_free(t->states);
    *t = (tmk_turn){0};
}

/* ---- taking ---- */

/* How many of a lane's first events a run may have. One that comes again comes alone: a bad event
 * must not take others with it. */
static uint32_t run_size(const tmk_lane *lane, uint32_t most) {
    uint32_t at = lane->head;
    uint32_t count = 0;

    most = most < lane->count ? most : lane->count;
    if (lane->again == 0) {
        return most;
    }
    for (; count < most && tmk_slot_of(lane->lanes, at)->again == 0; count++) {
        at = tmk_slot_of(lane->lanes, at)->next;
    }
    return count == 0 ? 1 : count;
}

/* Copies `count` events from the front of a lane; returns the ordinal behind them. False in *row:
 * their ordinals have gaps. */
static uint32_t copy_events(tmk_turn *t, uint32_t from, const tmk_lane *lane, uint32_t count,
                            bool *row) {
    const tmk_slot *slots = lane->lanes->slots;
    const uint32_t mask = lane->lanes->slot_room - 1;
    const tmk_event **events = t->events + from;
    uint32_t *ordinals = t->ordinals + from;
    uint32_t at = lane->head;
    uint32_t expected = at;
    uint32_t gaps = 0;

    for (uint32_t i = 0; i < count; i++) {
        const tmk_slot *s = &slots[at & mask];

        events[i] = s->event;
        ordinals[i] = at;
        gaps |= at ^ expected++;
        at = s->next;
    }
    *row = gaps == 0;
    return at;
}

/* Moves the first events of a lane into the turn. */
static void take_events(tmk_turn *t, tmk_turn_run *run, uint32_t most) {
    tmk_lane *lane = run->lane;
    tmk_lanes *l = lane->lanes;
    const tmk_slot *first = tmk_slot_of(l, lane->head);
    uint32_t count = run_size(lane, most);

    run->attempt = first->attempt;
    run->again = first->again;
    if (run->again) {
        tmk_lane_count_again(lane, -1);
    }
    lane->head = copy_events(t, run->from, lane, count, &run->row);
    lane->count -= count;
    run->to = run->from + count;
    t->count = run->to;
    l->taken += count;
    tmk_lanes_count_queued(l, -(int64_t)count);
    for (uint32_t i = run->from; t->yard->options.batch_events > 0 && i < run->to; i++) {
        lane->bytes -= t->events[i]->message_size;
    }
}

/* The lane of an event goes with it, unless another turn has it or something waits there. */
static inline bool take_key(tmk_lane *lane, uint32_t me) {
    if ((lane->count | lane->held) != 0 || (lane->taker != 0 && lane->taker != me)) {
        return false;
    }
    lane->taker = lane->open || TMK_MUTANT(LANE_TAKEN_TWICE) ? 0 : me;
    return true;
}

/* Moves the first events of the stream into the turn; what cannot be taken goes to the queues of
 * its lanes. */
static void take_stream(tmk_turn *t, tmk_turn_run *run, uint32_t most) {
    tmk_lane *stream = run->lane;
    tmk_lanes *l = stream->lanes;
    const uint32_t mask = l->slot_room - 1;
    const uint32_t me = t->slot + 1;
    uint32_t at = stream->head, to = run->from, left = stream->count;
    uint32_t gaps = 0, offset = at - to;

    for (most += to; left > 0 && to < most; left--) {
        const tmk_slot *s = &l->slots[at & mask];
        const uint32_t next = s->next;
        tmk_lane *lane = &l->table[s->lane];

        if (take_key(lane, me)) {
            t->events[to] = s->event;
            t->ordinals[to] = at;
            t->keys[to] = (uint16_t)s->lane;
            gaps |= (at - to) ^ offset;
            to++;
        } else {
            tmk_lane_append(lane, at);
            tmk_lane_settle(lane, 0);
        }
        at = next;
    }
    stream->head = at;
    stream->count = left;
    run->attempt = 1;
    run->keyed = true;
    run->row = gaps == 0;
    run->to = to;
    t->count = to;
    l->taken += to - run->from;
    tmk_lanes_count_queued(l, -(int64_t)(to - run->from));
}

/* The stream is ready again only when the turn is complete: a turn has one run of it. */
static void take_of_stream(tmk_turn *t, tmk_turn_run *run, uint32_t most, uint32_t little) {
    uint32_t fair = run->lane->count / (2 * t->yard->options.workers);

    fair = fair > little ? fair : little + 1;
    take_stream(t, run, fair < most ? fair : most);
    if (run->to == run->from) {
        t->run_count--; /* all of it waits for others */
    } else {
        run->lane->lanes->running++;
    }
}

static void take_of_lane(tmk_turn *t, tmk_turn_run *run, uint32_t most) {
    tmk_lane *lane = run->lane;
    tmk_yard *y = t->yard;

    take_events(t, run, most);
    lane->lanes->running++;
    if (!lane->open) {
        lane->taker = TMK_MUTANT(LANE_TAKEN_TWICE) ? 0 : TMK_TAKEN_WHOLE;
    } else if (lane->count > 0) {
        lane->ready = true;
        lane->lanes->waiting++;
        y->ready_count++;
        tmk_list_push_back(&y->ready, &lane->node);
    }
}

static void take_lane(tmk_turn *t, uint32_t most, uint32_t little) {
    tmk_yard *y = t->yard;
    tmk_list *first = tmk_list_pop_front(&y->ready);
    tmk_lane *lane = tmk_container_of(first, tmk_lane, node);
    tmk_turn_run *run = &t->runs[t->run_count++];

    tmk_assert(first != NULL);
    y->ready_count--;
    lane->ready = false;
    lane->lanes->waiting--;
    *run = (tmk_turn_run){.lane = lane, .from = t->count, .to = t->count, .ran = t->count};
    if (lane == &lane->lanes->stream) {
        take_of_stream(t, run, most, little);
    } else {
        take_of_lane(t, run, most);
    }
}

/* So many lanes that others find some too. */
static uint32_t fair_runs(const tmk_yard *y) {
    uint32_t fair = y->ready_count / (2 * y->options.workers);

    return fair == 0 ? 1 : fair;
}

static void take_lanes(tmk_turn *t, uint32_t events) {
    tmk_yard *y = t->yard;
    uint32_t fair = fair_runs(y);
    uint32_t little = events / 4; /* so few are not worth another worker's waking */

    t->count = 0;
    t->run_count = 0;
    do {
        take_lane(t, events - t->count, little);
    } while (y->ready_count > 0 && t->count < events && t->run_count < TMK_TURN_RUNS_MAX &&
             (t->run_count < fair || t->count < little));
    for (uint32_t i = 0; i < t->run_count; i++) {
        if (t->runs[i].keyed) {
            tmk_lane_settle(t->runs[i].lane, 0);
        }
    }
}

bool tmk_turn_take(tmk_turn *t, uint32_t events) {
    static const unsigned open = 0;
    tmk_yard *y = t->yard;

    tmk_assert(!t->active && events > 0);
    if (tmk_yard_useful(y, 1) == 0) {
        return false;
    }
    t->probe = y->gate != 0;
    t->gate = t->probe ? &open : &y->gate;
    events = events < y->options.batch_events ? y->options.batch_events : events;
    events = t->probe ? 1 : events < t->room ? events : t->room;
    t->handle += t->count; /* the numbers of the last turn are used up */
    take_lanes(t, events);
    if (t->count == 0) {
        return false; /* what was ready waits for others, in its lanes */
    }
    y->probe = false;
    memset(t->states, TMK_STATE_NONE, t->count);
    memset(t->verdicts, 0, t->count * sizeof *t->verdicts); /* DONE */
    __atomic_store_n(&t->run, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->end, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->relieved, false, __ATOMIC_RELAXED);
    t->run_open = false;
    __atomic_store_n(&t->at, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->given, 1, __ATOMIC_RELAXED);
    t->active = true;
    return true;
}

/* ---- running ---- */

/* The present run begins: what callbacks are told of it. */
static void introduce(tmk_turn *t, const tmk_turn_run *run) {
    const tmk_lanes *l = run->lane->lanes;

    t->paused = &l->paused;
    t->delivery.processor = l->options.processor;
    t->delivery.partition = l->options.partition;
    t->delivery.generation = l->options.generation;
    t->delivery.attempt = run->attempt;
}

/* The present run is over, wherever it has come to. */
static void close_run(tmk_turn *t) {
    if (t->run_open) {
        t->run_open = false;
        t->runs[t->run].ran = t->at;
        __atomic_store_n(&t->run, t->run + 1, __ATOMIC_RELEASE);
    }
}

/*
 * Against tmk_turn_relieve(), which sets `relieved` and `end` and then looks at `at`: here `at` is
 * set, then they are looked at, each time before an event is begun. Of the two, one sees the other:
 * either this thread goes no further, or that one knows which event this thread has. (`end` is set
 * before `at`, so that it cannot undo what the other has set, unless `relieved` is seen.) The
 * barrier that this takes is all on the other side, the guard's fence: here it costs nothing.
 */
static bool open_run(tmk_turn *t) {
    const tmk_turn_run *run = &t->runs[t->run];

    introduce(t, run);
    __atomic_store_n(&t->end, run->to, __ATOMIC_RELAXED);
    __atomic_store_n(&t->at, run->from, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    t->run_open = !__atomic_load_n(&t->relieved, __ATOMIC_RELAXED) && tmk_turn_may_go_on(t);
    return t->run_open;
}

bool tmk_turn_next_run(tmk_turn *t) {
    close_run(t);
    while (t->run < t->run_count && !__atomic_load_n(&t->relieved, __ATOMIC_RELAXED)) {
        if (open_run(t)) {
            return true;
        }
        __atomic_store_n(&t->run, t->run + 1, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&t->end, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->at, t->count, __ATOMIC_RELEASE);
    return false;
}

/*
 * An event holds its lane: the run goes no further than to the next event of that. Where it has
 * been ended already (tmk_turn_relieve()), that stays.
 */
static void end_before_next(tmk_turn *t, const tmk_turn_run *run, uint32_t index) {
    uint32_t end = __atomic_load_n(&t->end, __ATOMIC_RELAXED);
    uint32_t next = t->at + t->given;

    if (run->keyed) {
        for (next = index + 1; next < end && t->keys[next] != t->keys[index]; next++) {
        }
    }
    if (next < end) {
        (void)__atomic_compare_exchange_n(&t->end, &end, next, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED);
    }
}

static tmk_lane *lane_of(const tmk_turn *t, const tmk_turn_run *run, uint32_t i) {
    return run->keyed ? &run->lane->lanes->table[t->keys[i]] : run->lane;
}

/* A verdict other than DONE. Numbers that are none count as a failure of the handler. */
void tmk_turn_odd(tmk_turn *t, uint32_t index, tmk_verdict verdict) {
    tmk_turn_run *run = &t->runs[t->run];
    uint8_t none = TMK_STATE_NONE;

    static const unsigned shut = TMK_GATE_BREAKER;

    verdict = (unsigned)verdict > TMK_STOP ? TMK_RETRY : verdict;
    if (verdict == TMK_STOP && !TMK_MUTANT(STOP_ENDS_NO_TURN)) {
        t->gate = &shut; /* the rest of the turn would meet the same broken sink */
    }
    t->verdicts[index] = verdict;
    t->retry_ms[index] = verdict == TMK_RETRY ? t->delivery.retry_ms : -1;
    run->odd = true;
    if (verdict == TMK_LATER) {
        (void)__atomic_compare_exchange_n(&t->states[index], &none, TMK_STATE_LATER, false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    if (!lane_of(t, run, index)->open && !TMK_MUTANT(RUN_GOES_ON) &&
        (tmk_verdict_holds(verdict) || (verdict == TMK_LATER && t->yard->options.later_holds))) {
        end_before_next(t, run, index);
    }
}

/* How many of the present run's events go into one callback. */
static uint32_t batch_size(const tmk_turn *t) {
    const tmk_yard_options *o = &t->yard->options;
    uint64_t bytes = 0;
    uint32_t i = t->at;

    for (; i < __atomic_load_n(&t->end, __ATOMIC_RELAXED) && i - t->at < o->batch_events; i++) {
        bytes += t->events[i]->message_size;
        if (o->batch_bytes > 0 && bytes > o->batch_bytes && i > t->at) {
            break;
        }
    }
    return i - t->at;
}

uint32_t tmk_turn_batch(tmk_turn *t, const tmk_event *const **events, tmk_verdict **verdicts) {
    if (tmk_turn_event(t) == NULL) {
        return 0;
    }
    __atomic_store_n(&t->given, batch_size(t), __ATOMIC_RELEASE);
    *events = t->events + t->at;
    *verdicts = t->verdicts + t->at;
    return t->given; /* 0: relieved since */
}

void tmk_turn_answer_batch(tmk_turn *t) {
    for (uint32_t i = t->at; i < t->at + t->given; i++) {
        if (t->verdicts[i] != TMK_DONE) {
            tmk_turn_odd(t, i, t->verdicts[i]);
        }
    }
    __atomic_store_n(&t->at, t->at + t->given, __ATOMIC_RELEASE);
}

bool tmk_turn_late(tmk_turn *t, tmk_time now) {
    tmk_yard *y = t->yard;
    bool late = true;

    if (now < __atomic_load_n(&y->trust, __ATOMIC_ACQUIRE)) {
        return false;
    }
    tmk_yard_enter(y);
    __atomic_store_n(&y->gate, y->gate | TMK_GATE_LATE, __ATOMIC_SEQ_CST);
    late = now >= __atomic_load_n(&y->trust, __ATOMIC_SEQ_CST);
    if (!late) {
        __atomic_store_n(&y->gate, y->gate & ~(unsigned)TMK_GATE_LATE, __ATOMIC_SEQ_CST);
    }
    tmk_yard_leave(y);
    return late;
}

/* ---- giving back ---- */

/* One event that was answered otherwise than DONE, or that was a probe. */
static void end_odd(tmk_turn *t, tmk_turn_run *run, uint32_t i, tmk_time now) {
    tmk_lanes *l = run->lane->lanes;
    tmk_lane *lane = lane_of(t, run, i);
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
            lane->held +=
                t->yard->options.later_holds && !lane->open && !TMK_MUTANT(LATER_DOES_NOT_HOLD);
            return;
        }
        f.verdict = TMK_RETRY; /* no memory to wait with: once more, when there may be some */
        f.retry_ms = -1;
    }
    if (!l->closed) {
        tmk_finish_one(l, lane, &f, false);
    }
}

/* Events of a run that callbacks have had. */
static void end_ran(tmk_turn *t, tmk_turn_run *run, tmk_time now) {
    tmk_lanes *l = run->lane->lanes;
    uint32_t i = run->from;

    while (i < run->ran) {
        uint32_t first = i++;

        if (t->verdicts[first] != TMK_DONE || t->probe) {
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

/* The same, of the stream: behind what its lane waits for, else in front of the stream; the last
 * one first. */
static void end_left_of_stream(tmk_turn *t, const tmk_turn_run *run) {
    tmk_lane *stream = run->lane;
    tmk_lanes *l = stream->lanes;

    for (uint32_t i = run->to; i-- > run->ran;) {
        tmk_lane *lane = &l->table[t->keys[i]];
        uint32_t ordinal = t->ordinals[i];

        if (tmk_whole_ordinal(l->low, ordinal) >= l->cut) {
            continue;
        }
        tmk_lane_back((lane->count | lane->held) != 0 ? lane : stream, ordinal, ordinal, 1);
        tmk_lanes_count_queued(l, 1);
    }
}

/* The turn has their lanes no longer, but for the one of the event at `but`. */
static void release_keys(const tmk_turn *t, const tmk_turn_run *run, uint32_t but, tmk_time now) {
    tmk_lane *table = run->lane->lanes->table;
    const uint32_t me = t->slot + 1;

    for (uint32_t i = run->from; i < run->to; i++) {
        tmk_lane *lane = &table[t->keys[i]];

        if (lane->taker == me && (but == UINT32_MAX || t->keys[i] != t->keys[but])) {
            lane->taker = 0;
            if (lane->count > 0) {
                tmk_lane_settle(lane, now);
            }
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
    if (TMK_MUTANT(GIVEN_BACK_TWICE) && run->ran > run->from && run->row) {
        run->ran--;
        left++;
    }
    if (run->keyed) {
        end_left_of_stream(t, run);
        return;
    }
    tmk_lane_back(lane, t->ordinals[run->ran], t->ordinals[run->to - 1], left);
    tmk_lane_count_again(lane, run->again);
    tmk_lanes_count_queued(lane->lanes, left);
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
    l->taken -= run->to - run->from;
    l->busy += run->busy;
    if (l->closed) {
        if (l->running == 0) {
            tmk_lanes_end(l);
        }
        return;
    }
    if (run->keyed) {
        release_keys(t, run, UINT32_MAX, now);
    } else {
        lane->taker = 0;
    }
    tmk_lane_settle(lane, now);
    if (l->running == 0 && (l->paused || l->cut != UINT64_MAX)) {
        tmk_lanes_tell(
            l); /* somebody waits for it to be quiet, perhaps, and nothing may have finished */
    }
}

void tmk_turn_end(tmk_turn *t, tmk_time now) {
    bool reached = false;

    tmk_assert(t->active);
    close_run(t);
    t->active = false;
    for (uint32_t i = 0; i < t->run_count; i++) {
        reached = reached || t->runs[i].ran > t->runs[i].from;
        if (!t->runs[i].over) {
            end_run(t, &t->runs[i], now);
        }
    }
    if (t->probe && !reached) {
        t->yard->probe = true; /* nobody has asked the sink yet */
    }
}

/* ---- a callback that does not come back ---- */

/* Handles of what has ended are the yard's records now, or void. */
static void forget_states(tmk_turn *t, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        __atomic_store_n(&t->states[i], TMK_STATE_NONE, __ATOMIC_RELAXED);
    }
}

/* Leaves of a run what the callback has: the event at `at`; of batches all from there on. */
static void narrow(tmk_turn *t, tmk_turn_run *run, uint32_t at, tmk_time now) {
    tmk_lanes *l = run->lane->lanes;
    uint32_t end = t->yard->options.batch_events > 0 ? run->to : at + 1;
    tmk_turn_run before = {.lane = run->lane,
                           .from = run->from,
                           .to = at,
                           .ran = at,
                           .attempt = run->attempt,
                           .keyed = run->keyed,
                           .odd = true};
    tmk_turn_run behind = {
        .lane = run->lane, .from = end, .to = run->to, .ran = end, .keyed = run->keyed};

    end_ran(t, &before, now);
    forget_states(t, run->from, at);
    end_left(t, &behind);
    l->taken -= (at - run->from) + (run->to - end);
    if (run->keyed && !l->closed) {
        release_keys(t, run, at, now);
    }
    run->from = at;
    run->to = end;
    if (run->lane->open && !l->closed) {
        tmk_lane_settle(run->lane, now);
    }
}

bool tmk_turn_relieve(tmk_turn *t, tmk_time now) {
    const tmk_guard *guard = &t->yard->options.guard;
    uint32_t at = 0;
    uint32_t present = 0;

    if (!t->active || t->count < 2 || __atomic_load_n(&t->relieved, __ATOMIC_RELAXED) ||
        TMK_MUTANT(TURN_NOT_RELIEVED)) {
        return false;
    }
    if (guard->fence == NULL || !guard->fence(guard->self)) {
        return false;
    }
    __atomic_store_n(&t->relieved, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->end, 0, __ATOMIC_SEQ_CST);
    (void)guard->fence(guard->self);
    at = __atomic_load_n(&t->at, __ATOMIC_SEQ_CST);
    present = __atomic_load_n(&t->run, __ATOMIC_SEQ_CST);
    if (present >= t->run_count || at < t->runs[present].from || at >= t->runs[present].to) {
        return false; /* between two callbacks: it ends by itself */
    }
    for (uint32_t i = 0; i < t->run_count; i++) {
        if (i != present) {
            end_run(t, &t->runs[i], now);
            forget_states(t, t->runs[i].from, t->runs[i].ran);
            t->runs[i].over = true;
        }
    }
    narrow(t, &t->runs[present], at, now);
    return true;
}
