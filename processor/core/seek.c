/*
 * A pump that looks for its position: what the store, the program and the
 * partition say, and what becomes of a position that does not exist.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/status.h"
#include "core/pump_inside.h"

static void look_again(tmk_pump *p, tmk_time now, tmk_pump_event event, const tmk_error *err,
                       uint64_t count) {
    tmk_engine *e = p->engine;
    tmk_time pause = tmk_backoff_delay(&e->options.reopen, ++p->troubles, e->rng);
    char reaction[80];

    (void)snprintf(reaction, sizeof reaction, "it is not read; looked at again in %" PRId64 " s",
                   pause / TMK_SEC);
    tmk_pump_tell(p, event, p->own_set ? p->own_sequence : p->checkpoint.sequence, count, err,
                  reaction);
    p->seek = TMK_SEEK_WANTED;
    p->seek_at = tmk_time_after(now, pause);
}

static tmk_status resolve(tmk_pump *p, const tmk_partition_facts *facts, tmk_start_answer *out,
                          tmk_error *err) {
    tmk_checkpoint own = {
        .present = true, .sequence_known = true, .sequence = p->own_sequence, .offset = ""};
    tmk_start_wish wish = {.checkpoint = p->own_set ? &own : &p->checkpoint,
                           .enqueued_ms = p->own_set ? p->own_enqueued_ms : p->before.enqueued_ms,
                           .chosen = p->chosen_set && !p->own_set ? &p->chosen : NULL,
                           .fallback = p->engine->options.fallback,
                           .lost = p->engine->options.lost_position,
                           .refused = p->refused};

    return tmk_start_resolve(&wish, facts, out, err);
}

/* A loss is told once, when it is gone past. */
static void tell_trouble(tmk_pump *p, const tmk_start_answer *a) {
    static const char *const words[] = {"earliest", "latest", "after a sequence", "after an offset",
                                        "by time"};
    tmk_error err;
    char reaction[80];

    if (a->trouble == TMK_START_FINE || (a->trouble == TMK_START_BEYOND && !p->refused)) {
        return;
    }
    (void)snprintf(reaction, sizeof reaction, "goes on at: %s", words[a->start.kind]);
    (void)tmk_fail(&err, TMK_EPOSITION, "position", "the position does not exist any more");
    tmk_pump_tell(p, TMK_PUMP_POSITION_GONE, p->own_set ? p->own_sequence : p->checkpoint.sequence,
                  0, &err, reaction);
    if (a->lost > 0) {
        (void)tmk_fail(&err, TMK_EPOSITION, "position",
                       "retention has removed %" PRId64 " events that were not read", a->lost);
        tmk_pump_tell(p, TMK_PUMP_EXPIRED, a->position.sequence, (uint64_t)a->lost, &err,
                      "lost; goes on behind them");
        p->lost += (uint64_t)a->lost;
        p->engine->stats.lost += (uint64_t)a->lost;
    }
}

/* The first position of a tracker. */
static void begin_at(tmk_pump *p, const tmk_start_answer *a) {
    tmk_tracker_clear(&p->tracker);
    tmk_tracker_init(&p->tracker, &a->position, a->from_checkpoint ? &p->before.ranges : NULL);
    p->enqueued_max = a->position.enqueued_ms;
    p->resolved = a->resolved;
    p->state = TMK_PUMP_STATE_RUNNING;
    if (a->resolved && !a->from_checkpoint) {
        tmk_policy_ask(&p->policy);
    }
    if (a->resolved) {
        tmk_pump_tell(p, TMK_PUMP_STARTED, a->position.sequence, 0, NULL, NULL);
    }
}

static bool another_hub(const tmk_start_answer *a) {
    return a->trouble == TMK_START_RECREATED || a->trouble == TMK_START_BEYOND;
}

static void found(tmk_pump *p, const tmk_start_answer *a) {
    if (p->state == TMK_PUMP_STATE_STARTING) {
        tell_trouble(p, a);
        begin_at(p, a);
    } else if (another_hub(a) && p->refused) {
        p->restart = true; /* what is in hand first */
    } else {
        tell_trouble(p, a);
    }
    p->start = a->start;
    p->started = false;
    p->seek = TMK_SEEK_DONE;
    p->troubles = 0;
    p->refused = p->restart;
}

void tmk_pump_on_sought(tmk_pump *p, tmk_time now, const tmk_partition_facts *facts,
                        const tmk_error *err) {
    tmk_start_answer a = {0};
    tmk_error why;

    if (facts == NULL) {
        look_again(p, now, TMK_PUMP_NO_FACTS, err, 0);
    } else if (resolve(p, facts, &a, &why) < 0) {
        look_again(p, now,
                   a.trouble == TMK_START_RECREATED ? TMK_PUMP_RECREATED : TMK_PUMP_POSITION_GONE,
                   &why, (uint64_t)(a.lost > 0 ? a.lost : 0));
    } else {
        found(p, &a);
    }
}

/* From now on behind what was read, whatever store and program had said. */
void tmk_pump_seek_from_own(tmk_pump *p, tmk_time now) {
    tmk_position water;

    tmk_tracker_water(&p->tracker, &water);
    p->own_set = p->resolved;
    p->own_sequence = p->tracker.newest;
    p->own_enqueued_ms = water.enqueued_ms;
    p->refused = true;
    p->seek = TMK_SEEK_WANTED;
    p->seek_at = now;
}
