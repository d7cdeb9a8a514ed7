/* From the link to the lanes: repeats dropped, gaps told, another hub noticed, known events left
 * out. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "core/pump_inside.h"
#include "core/mutants.h"

/* ---- what is there ---- */

/* Whether the newest event that the partition has is below one that we had from it. */
static bool recreated_by(const tmk_pump *p, const tmk_partition_facts *f) {
    return p->resolved && p->tracker.high > 0 &&
           p->tracker.newest - TMK_STALE_FACTS > f->last_sequence;
}

static void another_hub(tmk_pump *p, int64_t sequence) {
    tmk_error err;

    if (p->restart) {
        return;
    }
    (void)tmk_fail(&err, TMK_EPOSITION, "position",
                   "sequence numbers went back from %" PRId64 " to %" PRId64
                   ": this is another hub of the same name",
                   p->tracker.newest, sequence);
    tmk_pump_tell(p, TMK_PUMP_RECREATED, sequence, 0, &err,
                  "what is in hand is finished, then the position is looked for anew");
    p->restart = true;
    p->close_link = true;
    tmk_pump_drop_pending(p);
}

/* Numbers were missing: retention has removed those that lie below the oldest event there is. */
static void settle_gap(tmk_pump *p) {
    int64_t below = p->facts.begin_sequence - p->gap_first;
    uint64_t lost = below <= 0                       ? 0
                    : (uint64_t)below < p->gap_count ? (uint64_t)below
                                                     : p->gap_count;
    tmk_error err;

    if (lost > 0) {
        (void)tmk_fail(&err, TMK_EPOSITION, "position",
                       "retention has removed %" PRIu64 " events that were not read", lost);
        tmk_pump_tell(p, TMK_PUMP_EXPIRED, p->gap_first, lost, &err, "lost; goes on behind them");
        p->lost += lost;
        p->engine->stats.lost += lost;
    }
    p->gap_count = 0;
}

void tmk_pump_learn(tmk_pump *p, tmk_time now, const tmk_partition_facts *facts) {
    p->facts = *facts;
    p->last_known = true;
    if (p->gap_count > 0) {
        settle_gap(p);
    }
    if (p->state != TMK_PUMP_STATE_RUNNING) {
        return;
    }
    if (recreated_by(p, facts)) {
        another_hub(p, facts->last_sequence);
    }
    if (!p->resolved || facts->last_sequence <= p->tracker.newest) {
        p->behind_since = TMK_NEVER;
    } else if (p->behind_since == TMK_NEVER) {
        p->behind_since = now;
    }
}

static void learn_from_burst(tmk_pump *p, const tmk_burst *b) {
    if (b->last.present && (!p->last_known || b->last.sequence > p->facts.last_sequence)) {
        p->facts.last_sequence = b->last.sequence;
        p->facts.last_enqueued_ms = b->last.enqueued_ms;
        p->facts.empty = false;
        p->last_known = true;
    }
}

/* ---- the lanes' pause ---- */

void tmk_pump_apply_pause(tmk_pump *p, tmk_time now) {
    tmk_lanes_pause(p->lanes, now,
                    (p->paused && !TMK_MUTANT(PAUSE_UNHEARD)) || p->halted || p->fenced || p->cut);
}

/* ---- credit ---- */

uint32_t tmk_pump_credit(tmk_pump *p) {
    uint64_t span = p->tracker.high - p->tracker.low + p->share.out;

    if (p->link != TMK_LINK_OPEN || p->close_link || p->restart || p->paused || p->halted ||
        p->held || !tmk_list_empty(&p->pending) || span >= p->engine->options.span_max) {
        return 0;
    }
    return tmk_flow_grant(&p->share);
}

/* ---- admission ---- */

static tmk_slice key_of(const tmk_engine *e, const tmk_event *event) {
    if (e->options.key_of != NULL) {
        return e->options.key_of(e->options.user, event);
    }
    return tmk_slice_of(event->message + event->key_at, event->key_size);
}

/* The lanes of a row, in the engine's scratch; NULL where there is nothing to choose. */
static tmk_status choose_lanes(tmk_pump *p, const tmk_event *events, uint32_t count,
                               const uint16_t **out) {
    tmk_engine *e = p->engine;

    *out = NULL;
    if (e->options.order != TMK_ORDER_KEY) {
        return TMK_OK;
    }
    if (count > e->lane_room) {
        uint16_t *lanes = tmk_resize(e->lanes, count, sizeof *lanes);

        if (lanes == NULL) {
            return TMK_ENOMEM;
        }
        e->lanes = lanes;
        e->lane_room = count;
    }
    for (uint32_t i = 0; i < count; i++) {
        e->lanes[i] = tmk_lane_of_key(p->lanes, key_of(e, &events[i]));
        if (TMK_MUTANT(KEYS_MIXED) && events[i].sequence % 7 == 0) {
            e->lanes[i] = 0;
        }
    }
    *out = e->lanes;
    return TMK_OK;
}

/* Events of a burst that go in together. */
typedef struct row {
    uint32_t index, count;
    bool known;       /* final already when this run began */
    uint64_t missing; /* numbers left out */
    int64_t missing_after;
} row;

static tmk_status admit_row(tmk_pump *p, tmk_time now, tmk_burst *b, const row *r) {
    const tmk_event *events = &b->events[r->index];
    const uint16_t *lanes = NULL;
    uint64_t first = p->tracker.high;

    if (tmk_tracker_reserve(&p->tracker, r->count) < 0) {
        return TMK_ENOMEM;
    }
    if (!r->known &&
        (choose_lanes(p, events, r->count, &lanes) < 0 ||
         tmk_lanes_push(p->lanes, now, events, r->count, first, p->tracker.low, lanes) < 0)) {
        return TMK_ENOMEM;
    }
    tmk_burst_ref(b);
    tmk_assert(tmk_tracker_admit(&p->tracker, b, r->index, r->count, p->pending_bytes, now,
                                 &first) == TMK_OK);
    p->pending_bytes = 0; /* counted with the first row */
    if (r->known) {
        p->saved.mapped += r->count;
        p->flying.mapped += r->count;
        (void)tmk_pump_finish_known(p, now, first, r->count);
    }
    if (r->missing > 0) {
        p->gap_first = p->gap_count == 0 ? r->missing_after + 1 : p->gap_first;
        p->gap_count += r->missing; /* until facts tell why */
        p->engine->stats.gaps++;
        tmk_pump_tell(p, TMK_PUMP_GAP, r->missing_after, r->missing, NULL,
                      "compaction, or events that were removed");
    }
    return TMK_OK;
}

/* Where the position was not known before the first event: right below it. */
static void resolve_by(tmk_pump *p, const tmk_event *e) {
    tmk_position at = {.sequence = e->sequence - 1, .enqueued_ms = -1};

    tmk_tracker_water(&p->tracker, &p->water);
    memcpy(at.offset, p->water.offset, sizeof at.offset); /* of a checkpoint by offset alone */
    tmk_tracker_clear(&p->tracker);
    tmk_tracker_init(&p->tracker, &at, NULL);
    p->resolved = true;
    tmk_policy_ask(&p->policy);
    tmk_pump_tell(p, TMK_PUMP_STARTED, at.sequence, 0, NULL, NULL);
}

/* A number that was there already: the same event again, or one of another hub. */
static void drop_repeat(tmk_pump *p, const tmk_event *e) {
    if (p->enqueued_max >= 0 && e->enqueued_ms > p->enqueued_max) {
        another_hub(p, e->sequence);
        return;
    }
    p->engine->stats.repeats++;
    tmk_flow_on_gone(&p->share, TMK_MUTANT(CREDIT_NOT_RETURNED) ? 0 : 1, 0);
    tmk_pump_tell(p, TMK_PUMP_REPEATS, e->sequence, 1, NULL, "dropped");
    p->pending_at++;
}

/* From p->pending_at on: events that rise, and are known or not as the first is. */
static row next_row(tmk_pump *p, const tmk_burst *b) {
    int64_t last = p->tracker.newest;
    bool any_known = p->tracker.before.count > 0;
    row r = {.index = p->pending_at};
    uint32_t i = r.index;

    r.known = any_known && tmk_tracker_known(&p->tracker, b->events[i].sequence);
    if (TMK_MUTANT(REPEATS_HANDED_OUT) && i < b->count && b->events[i].sequence <= last) {
        p->tracker.newest = last = b->events[i].sequence - 1;
    }
    for (; i < b->count && b->events[i].sequence > last; i++) {
        const tmk_event *e = &b->events[i];

        if (any_known && tmk_tracker_known(&p->tracker, e->sequence) != r.known) {
            break;
        }
        if (e->sequence != last + 1) {
            r.missing_after = r.missing == 0 ? last : r.missing_after;
            r.missing += (uint64_t)(e->sequence - last - 1);
        }
        last = e->sequence;
        p->enqueued_max = e->enqueued_ms > p->enqueued_max ? e->enqueued_ms : p->enqueued_max;
    }
    r.count = i - r.index;
    return r;
}

/* From p->pending_at on. ENOMEM: the rest later. When another hub is noticed, the burst is gone. */
static tmk_status admit_burst(tmk_pump *p, tmk_time now, tmk_burst *b) {
    while (!p->restart && p->pending_at < b->count) {
        const tmk_event *e = &b->events[p->pending_at];
        row r = {0};

        if (!p->resolved) {
            resolve_by(p, e);
        }
        r = next_row(p, b);
        if (r.count == 0) {
            drop_repeat(p, e);
        } else if (admit_row(p, now, b, &r) < 0) {
            return TMK_ENOMEM;
        }
        p->pending_at += r.count;
    }
    return TMK_OK;
}

static void tell_no_memory(tmk_pump *p) {
    tmk_error err;

    if (!p->no_memory_told) {
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "receive", "no memory to hand received events out");
        tmk_pump_tell(p, TMK_PUMP_NO_MEMORY, p->tracker.newest, 0, &err,
                      "they wait; no more are taken meanwhile");
    }
    p->no_memory_told = true;
}

/* The first pending burst goes; what of it was not admitted is held no longer. */
static void drop_first(tmk_pump *p) {
    tmk_list *first = tmk_list_pop_front(&p->pending);
    tmk_list *next = tmk_list_first(&p->pending);
    tmk_burst *b = tmk_container_of(first, tmk_burst, node);

    tmk_assert(first != NULL);
    tmk_flow_on_gone(&p->share, b->count - p->pending_at, p->pending_bytes);
    tmk_burst_drop(b);
    p->pending_at = 0;
    p->pending_bytes = next == NULL ? 0 : tmk_tracker_cost(tmk_container_of(next, tmk_burst, node));
}

void tmk_pump_drop_pending(tmk_pump *p) {
    while (!tmk_list_empty(&p->pending)) {
        drop_first(p);
    }
}

void tmk_pump_admit(tmk_pump *p, tmk_time now) {
    tmk_list *node = NULL;

    p->admit_at = TMK_NEVER;
    while ((node = tmk_list_first(&p->pending)) != NULL) {
        if (admit_burst(p, now, tmk_container_of(node, tmk_burst, node)) < 0) {
            tell_no_memory(p);
            p->admit_at = tmk_time_after(now, TMK_PUMP_AGAIN);
            return;
        }
        if (!p->restart) {
            drop_first(p);
        }
    }
    p->no_memory_told = false;
}

void tmk_pump_take(tmk_pump *p, tmk_time now, tmk_burst *b) {
    learn_from_burst(p, b);
    p->behind_since = TMK_NEVER;
    p->link_failures = 0;
    p->started = true;
    tmk_flow_on_come(&p->share, b->count, tmk_tracker_cost(b));
    if (tmk_list_empty(&p->pending)) {
        p->pending_bytes = tmk_tracker_cost(b);
    }
    tmk_list_push_back(&p->pending, &b->node);
    if (p->admit_at == TMK_NEVER) {
        tmk_pump_admit(p, now);
    }
}
