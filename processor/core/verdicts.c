/*
 * What became of a pump's events: final ones go to the tracker and the policy;
 * the others become cases, until they are final too or the pump ends.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "core/pump_inside.h"
#include "core/mutants.h"

/* ---- final ---- */

uint64_t tmk_pump_finish_known(tmk_pump *p, tmk_time now, uint64_t first, uint32_t count) {
    uint64_t held = p->tracker.held_bytes;
    uint64_t bytes = p->tracker.final_bytes;

    tmk_tracker_finish(&p->tracker, first, count);
    held -= p->tracker.held_bytes;
    bytes = p->tracker.final_bytes - bytes;
    tmk_flow_on_gone(&p->share, count, held);
    tmk_policy_on_progress(&p->policy, now, count, bytes);
    return bytes;
}

void tmk_pump_finish(tmk_pump *p, tmk_time now, uint64_t first, uint32_t count) {
    uint64_t bytes = tmk_pump_finish_known(p, now, first, count);

    p->events += count;
    p->bytes += bytes;
    p->engine->stats.events += count;
    p->engine->stats.bytes += bytes;
}

/* ---- cases ---- */

static tmk_case *case_new(tmk_pump *p, const tmk_finished *f) {
    tmk_case *c = NULL;

    if (tmk_heap_reserve(&p->timers, p->case_count + 1) < 0 || (c = tmk_new(tmk_case)) == NULL) {
        return NULL;
    }
    c->pump = p;
    c->ordinal = f->ordinal;
    c->attempt = f->attempt;
    tmk_list_push_back(&p->cases, &c->node);
    p->case_count++;
    return c;
}

static void case_free(tmk_case *c) {
    if (c->state == TMK_CASE_LETTER_OUT && c->handle != 0) {
        tmk_engine_letter_gone(c->pump->engine, c);
    }
    tmk_heap_remove(&c->pump->timers, &c->timer);
    tmk_list_remove(&c->node);
    c->pump->case_count--;
    tmk_free(c);
}

void tmk_pump_cases_clear(tmk_pump *p) {
    tmk_list *node = NULL;

    while ((node = tmk_list_first(&p->cases)) != NULL) {
        case_free(tmk_container_of(node, tmk_case, node));
    }
}

static void pause_case(tmk_case *c, tmk_case_state state, tmk_time until) {
    c->state = state;
    tmk_assert(tmk_heap_push(&c->pump->timers, &c->timer, until) == TMK_OK); /* reserved */
}

static int64_t sequence_of(const tmk_case *c) {
    return tmk_tracker_event(&c->pump->tracker, c->ordinal)->sequence;
}

/* Final without the handler's consent, or put aside. */
static void close_case(tmk_case *c, tmk_time now) {
    tmk_pump *p = c->pump;

    tmk_pump_finish(p, now, c->ordinal, 1);
    tmk_lanes_release(p->lanes, now, c->ordinal);
    case_free(c);
}

static void halt_at(tmk_case *c, tmk_time now, const char *reason) {
    tmk_pump *p = c->pump;
    tmk_error err;

    c->state = TMK_CASE_HALTED;
    p->halted = !TMK_MUTANT(HALT_FORGOTTEN);
    tmk_pump_apply_pause(p, now);
    (void)tmk_fail(&err, TMK_ESTATE, "handler",
                   "the event at sequence %" PRId64 " cannot be handled (%s, %" PRIu32 " tries)",
                   sequence_of(c), reason, c->attempt);
    tmk_pump_tell(p, TMK_PUMP_HALTED, sequence_of(c), c->attempt, &err,
                  "the partition stops here until it is resumed");
}

static void tell_exhausted(const tmk_case *c, const char *reaction) {
    tmk_error err;

    (void)tmk_fail(&err, TMK_ELIMIT, "handler",
                   "the event at sequence %" PRId64 " was answered TMK_RETRY %" PRIu32 " times",
                   sequence_of(c), c->attempt);
    tmk_pump_tell(c->pump, TMK_PUMP_EXHAUSTED, sequence_of(c), c->attempt, &err, reaction);
}

/* Tries without an end are told: nothing goes on for ever in silence. */
static void tell_still(const tmk_case *c, tmk_time pause) {
    tmk_error err;
    char reaction[80];

    if (c->pump->engine->options.retry.attempts_max != 0) {
        return;
    }
    (void)tmk_fail_retry(&err, TMK_EBUSY, "handler",
                         "the event at sequence %" PRId64 " was answered TMK_RETRY %" PRIu32
                         " times, and no end is set",
                         sequence_of(c), c->attempt);
    (void)snprintf(reaction, sizeof reaction, "retry in %" PRId64 " ms", pause / TMK_MS);
    tmk_pump_tell(c->pump, TMK_PUMP_RETRY_STILL, sequence_of(c), c->attempt, &err, reaction);
}

static void decide(tmk_case *c, tmk_time now, const tmk_finished *f) {
    tmk_pump *p = c->pump;
    tmk_engine *e = p->engine;
    tmk_retry_decision d =
        tmk_retry_decide(&e->options.retry, f->verdict, f->attempt, f->retry_ms, e->rng);

    c->reason = d.reason;
    switch (d.next) {
    case TMK_RETRY_AGAIN:
        c->state = TMK_CASE_WAITING;
        if (p->state == TMK_PUMP_STATE_RUNNING) { /* else it is left to who comes after us */
            e->stats.retries++;
            pause_case(c, TMK_CASE_WAITING, tmk_time_after(now, d.pause));
            tell_still(c, d.pause);
        }
        break;
    case TMK_RETRY_DEAD_LETTER:
        if (TMK_MUTANT(EXHAUSTED_IS_FINAL)) {
            close_case(c, now);
            break;
        }
        if (f->verdict == TMK_RETRY) {
            tell_exhausted(c, "put aside as a dead letter");
        }
        pause_case(c, TMK_CASE_LETTER_DUE, now);
        break;
    case TMK_RETRY_SKIP:
        tell_exhausted(c, "skipped");
        e->stats.skipped++;
        close_case(c, now);
        break;
    case TMK_RETRY_STOP:
        halt_at(c, now, d.reason);
        break;
    }
}

/* ---- what the workers say ---- */

static void tell_breaker(tmk_pump *p, const tmk_finished *f, tmk_time now) {
    tmk_engine *e = p->engine;
    int64_t sequence = tmk_tracker_event(&p->tracker, f->ordinal)->sequence;
    tmk_error err;
    char reaction[80];

    if (e->breaker.state == TMK_BREAKER_CLOSED) {
        if (!TMK_MUTANT(BREAKER_STAYS)) {
            tmk_yard_open(e->yard, TMK_GATE_BREAKER);
        }
        tmk_engine_tell(e, TMK_PUMP_BREAKER_CLOSED, p->partition, sequence, 0, NULL,
                        "handlers go on");
        return;
    }
    if (!TMK_MUTANT(BREAKER_DEAF)) {
        tmk_yard_shut(e->yard, TMK_GATE_BREAKER);
    }
    (void)tmk_fail_retry(&err, TMK_EBUSY, "handler",
                         "what lies behind the handler is broken: TMK_STOP at sequence %" PRId64,
                         sequence);
    (void)snprintf(reaction, sizeof reaction,
                   "all handlers pause; one event is tried in %" PRId64 " ms",
                   (tmk_breaker_deadline(&e->breaker) - now) / TMK_MS);
    tmk_engine_tell(e, TMK_PUMP_BREAKER_OPEN, p->partition, sequence, e->breaker.stops, &err,
                    reaction);
}

/* Not final. False: no memory to keep it in mind. */
static bool open_case(tmk_pump *p, tmk_time now, const tmk_finished *f) {
    tmk_case *c = NULL;

    if (f->verdict == TMK_STOP) {
        p->engine->stats.stops++;
        tmk_lanes_again(p->lanes, now, f->ordinal, tmk_tracker_event(&p->tracker, f->ordinal), 0);
        return true;
    }
    c = case_new(p, f);
    if (c != NULL) {
        decide(c, now, f);
    }
    return c != NULL;
}

static bool take_finished(tmk_pump *p, tmk_time now, const tmk_finished *f) {
    tmk_engine *e = p->engine;

    if (tmk_breaker_on_verdict(&e->breaker, now, f->verdict, f->probe, e->rng)) {
        tell_breaker(p, f, now);
    }
    if (f->verdict != TMK_DONE && f->verdict != TMK_SKIP) {
        return open_case(p, now, f);
    }
    e->stats.done += f->verdict == TMK_DONE ? f->count : 0;
    e->stats.skipped += f->verdict == TMK_SKIP ? 1 : 0;
    tmk_pump_finish(p, now, f->ordinal, f->count);
    return true;
}

void tmk_pump_read_finished(tmk_pump *p, tmk_time now) {
    tmk_list_remove(&p->stuck);
    while (p->kept_set || tmk_lanes_next_finished(p->lanes, &p->kept)) {
        p->kept_set = !take_finished(p, now, &p->kept);
        if (p->kept_set) {
            tmk_list_push_back(&p->engine->stuck, &p->stuck); /* again at the next step */
            return;
        }
    }
}

/* ---- as time goes by ---- */

/* Cases whose pause is over. Letters that are due are given out by step(). */
void tmk_pump_cases_due(tmk_pump *p, tmk_time now) {
    tmk_heap_node *node = NULL;

    while ((node = tmk_heap_first(&p->timers)) != NULL && node->due <= now) {
        tmk_case *c = tmk_container_of(node, tmk_case, timer);

        tmk_heap_remove(&p->timers, node);
        if (c->state == TMK_CASE_WAITING && p->state == TMK_PUMP_STATE_RUNNING) {
            tmk_lanes_again(p->lanes, now, c->ordinal, tmk_tracker_event(&p->tracker, c->ordinal),
                            c->attempt + (TMK_MUTANT(ATTEMPT_KEPT) ? 0 : 1));
            case_free(c);
        }
    }
}

void tmk_pump_cases_again(tmk_pump *p, tmk_time now) {
    tmk_list *node = tmk_list_first(&p->cases);

    while (node != NULL) {
        tmk_case *c = tmk_container_of(node, tmk_case, node);

        node = tmk_list_next(&p->cases, node);
        if (c->state == TMK_CASE_HALTED) {
            tmk_lanes_again(p->lanes, now, c->ordinal, tmk_tracker_event(&p->tracker, c->ordinal),
                            1);
            case_free(c);
        }
    }
}

/* ---- dead letters ---- */

tmk_case *tmk_pump_letter_due(tmk_pump *p) {
    for (tmk_list *node = tmk_list_first(&p->cases); node != NULL;
         node = tmk_list_next(&p->cases, node)) {
        tmk_case *c = tmk_container_of(node, tmk_case, node);

        if (c->state == TMK_CASE_LETTER_DUE && c->timer.index == 0) {
            return c;
        }
    }
    return NULL;
}

uint32_t tmk_pump_letters_open(const tmk_pump *p) {
    uint32_t open = 0;

    for (tmk_list *node = tmk_list_first(&p->cases); node != NULL;
         node = tmk_list_next(&p->cases, node)) {
        const tmk_case *c = tmk_container_of(node, tmk_case, node);

        open += c->state == TMK_CASE_LETTER_DUE || c->state == TMK_CASE_LETTER_OUT;
    }
    return open;
}

bool tmk_pump_give_letter(tmk_pump *p, tmk_time now, tmk_case *c, tmk_pump_act *act) {
    tmk_handle handle = tmk_engine_letter(p->engine, c);

    if (handle == 0) {
        pause_case(c, TMK_CASE_LETTER_DUE, tmk_time_after(now, TMK_PUMP_AGAIN));
        return false;
    }
    if (TMK_MUTANT(LETTER_FINAL_EARLY)) {
        tmk_tracker_finish(&p->tracker, c->ordinal, 1);
    }
    c->state = TMK_CASE_LETTER_OUT;
    act->kind = TMK_PUMP_DEAD_LETTER;
    act->handle = handle;
    act->letter = (tmk_dead_letter){.event = tmk_tracker_event(&p->tracker, c->ordinal),
                                    .partition = p->partition,
                                    .attempts = c->attempt,
                                    .reason = c->reason};
    return true;
}

void tmk_pump_on_letter(tmk_case *c, tmk_time now, tmk_status status, const tmk_error *err) {
    tmk_pump *p = c->pump;
    tmk_engine *e = p->engine;
    tmk_error plain;
    tmk_time pause = 0;
    char reaction[80];

    tmk_pump_touch(p);
    if (status == TMK_OK || TMK_MUTANT(SINK_FAILURE_IS_OK)) {
        e->stats.dead_lettered++;
        close_case(c, now);
        return;
    }
    c->refusals++;
    pause = tmk_backoff_delay(&e->options.retry.sink_backoff, c->refusals, e->rng);
    if (err == NULL) {
        (void)tmk_fail_retry(&plain, status, "dead_letter", "the sink did not keep the event");
        err = &plain;
    }
    (void)snprintf(reaction, sizeof reaction, "retry in %" PRId64 " ms; the event stays open",
                   pause / TMK_MS);
    if (TMK_MUTANT(SINK_FAILURE_SILENT)) {
        pause_case(c, TMK_CASE_LETTER_DUE, tmk_time_after(now, pause));
        return;
    }
    tmk_pump_tell(p, TMK_PUMP_LETTER_FAILED, sequence_of(c), c->refusals, err, reaction);
    pause_case(c, TMK_CASE_LETTER_DUE,
               TMK_MUTANT(LETTER_ONCE) ? TMK_NEVER : tmk_time_after(now, pause));
}
