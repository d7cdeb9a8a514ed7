/* What the pumps of a processor share: whose turn it is, the breaker, letters. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "core/pump_inside.h"

/* Handles of dead letters: above them what no worker's number can be (lanes.h). */
#define LETTER_MARK (UINT64_C(0xffff) << 48)

enum { LETTERS_MIN = 16, LETTERS_MAX = 1 << 20 };

void tmk_engine_options_fill(tmk_engine_options *o) {
    static const tmk_backoff second = {
        .delay = TMK_SEC, .delay_max = 30 * TMK_SEC, .factor = 2, .jitter = 0.2};

    *o = (tmk_engine_options){
        .checkpoint = {.events = 10000, .interval = 10 * TMK_SEC, .retry = second},
        .retry = {.attempts_max = 10,
                  .backoff = {.delay = 200 * TMK_MS,
                              .delay_max = 30 * TMK_SEC,
                              .factor = 2,
                              .jitter = 0.2},
                  .sink_backoff = second,
                  .exhausted = TMK_EXHAUSTED_STOP},
        .probe = second,
        .reopen = {.delay = 10 * TMK_SEC, .delay_max = 5 * TMK_MIN, .factor = 2, .jitter = 0.2},
        .bytes_max = 64 << 20,
        .events_max = 20000,
        .prefetch_max = 1000,
        .event_bytes_max = (1 << 20) + (64 << 10),
        .span_max = 1 << 16,
        .lane_count = 1024,
        .fallback = {.kind = TMK_START_EARLIEST},
        .silence = 30 * TMK_SEC,
        .progress_window = 30 * TMK_SEC,
        .later_warn = 10 * TMK_MIN};
}

tmk_status tmk_engine_new(const tmk_engine_options *options, tmk_yard *yard, tmk_rng *rng,
                          tmk_time now, tmk_engine **out, tmk_error *err) {
    tmk_engine *e = tmk_new(tmk_engine);

    if (e == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "engine", "no memory for the pumps of a processor");
    }
    e->options = *options;
    e->yard = yard;
    e->rng = rng;
    tmk_flow_init(&e->flow, options->bytes_max, options->events_max, options->prefetch_max,
                  options->event_bytes_max);
    tmk_budget_init(&e->budget, options->store_rate, options->store_burst, now);
    tmk_breaker_init(&e->breaker, &options->probe);
    tmk_list_init(&e->touched);
    tmk_list_init(&e->stuck);
    tmk_ring_init(&e->reports, sizeof(tmk_pump_report));
    e->later_look = TMK_NEVER;
    *out = e;
    return TMK_OK;
}

tmk_engine *tmk_engine_free(tmk_engine *e) {
    if (e == NULL) {
        return NULL;
    }
    tmk_assert(e->pump_count == 0);
    tmk_heap_clear(&e->due);
    tmk_ring_clear(&e->reports);
    tmk_free(e->letters);
    tmk_free(e->lanes);
    tmk_free(e);
    return NULL;
}

/* ---- how often checkpoints are written ---- */

/* So much that each pump can keep its interval twice over, and no more than a store takes well
 * where they are few: counting events alone would flood it whenever much is caught up. */
void tmk_engine_pace(tmk_engine *e) {
    double interval = (double)e->options.checkpoint.interval / (double)TMK_SEC;
    double needed = interval > 0 ? 2 * (double)e->pump_count / interval : 0;

    if (e->options.store_rate > 0) {
        e->budget.rate = needed > e->options.store_rate ? needed : e->options.store_rate;
    }
}

/* ---- whose turn it is ---- */

void tmk_pump_touch(tmk_pump *p) {
    if (!tmk_list_linked(&p->touched)) {
        tmk_list_push_back(&p->engine->touched, &p->touched);
    }
}

tmk_pump *tmk_engine_next_touched(tmk_engine *e) {
    tmk_list *node = tmk_list_first(&e->touched);

    /* It leaves the list when its step() says WAIT: until then there is something to do. */
    return node == NULL ? NULL : tmk_container_of(node, tmk_pump, touched);
}

static void touch_due(tmk_engine *e, tmk_time now) {
    tmk_heap_node *node = NULL;

    while ((node = tmk_heap_first(&e->due)) != NULL && node->due <= now) {
        tmk_heap_remove(&e->due, node);
        tmk_pump_touch(tmk_container_of(node, tmk_pump, due));
    }
}

/* Finished events of all pumps, unless one of them has no memory for its own. */
static void collect(tmk_engine *e, tmk_time now) {
    tmk_lanes *l = NULL;
    tmk_list *node = NULL;

    while ((node = tmk_list_first(&e->stuck)) != NULL) {
        tmk_pump *p = tmk_container_of(node, tmk_pump, stuck);

        tmk_pump_read_finished(p, now);
        if (tmk_list_linked(&p->stuck)) {
            return;
        }
    }
    while (tmk_list_empty(&e->stuck) && (l = tmk_yard_collect(e->yard)) != NULL) {
        tmk_pump *p = tmk_lanes_owner(l);

        tmk_pump_read_finished(p, now);
        tmk_pump_touch(p);
    }
}

static void touch_all(tmk_engine *e) {
    for (size_t i = 0; i < e->due.count; i++) {
        tmk_pump_touch(tmk_container_of(e->due.nodes[i], tmk_pump, due));
    }
}

/* ---- handles that are out for long ---- */

static void look_for_old_handles(tmk_engine *e, tmk_time now) {
    tmk_out out = {0};
    tmk_error err;

    if (now < e->later_look || e->options.later_warn == 0) {
        return;
    }
    e->later_look = TMK_NEVER;
    if (!tmk_yard_oldest_out(e->yard, &out)) {
        return;
    }
    if (now - out.since >= e->options.later_warn) {
        (void)tmk_fail(&err, TMK_ETIMEOUT, "handler",
                       "the event at sequence %" PRId64 " was answered TMK_LATER %" PRId64
                       " ms ago and was not completed",
                       out.sequence, (now - out.since) / TMK_MS);
        tmk_engine_tell(e, TMK_PUMP_LATER_OLD, out.partition, out.sequence,
                        (uint64_t)((now - out.since) / TMK_MS), &err,
                        "it is waited for; no checkpoint passes it");
        e->later_look = tmk_time_after(now, e->options.later_warn);
    } else {
        e->later_look = tmk_time_after(out.since, e->options.later_warn);
    }
}

/* ---- the engine ---- */

void tmk_engine_step(tmk_engine *e, tmk_time now) {
    collect(e, now);
    if (tmk_breaker_step(&e->breaker, now, e->rng)) {
        tmk_yard_probe(e->yard);
    }
    tmk_yard_step(e->yard, now);
    if (tmk_flow_relieved(&e->flow)) {
        touch_all(e);
    }
    if (e->later_look == TMK_NEVER) {
        e->later_look = tmk_time_after(now, e->options.later_warn / 4);
    }
    look_for_old_handles(e, now);
    touch_due(e, now);
}

tmk_time tmk_engine_deadline(const tmk_engine *e) {
    tmk_heap_node *first = tmk_heap_first(&e->due);
    tmk_time at = first == NULL ? TMK_NEVER : first->due;

    at = tmk_time_min(at, tmk_breaker_deadline(&e->breaker));
    at = tmk_time_min(at, tmk_yard_deadline(e->yard));
    return e->options.later_warn == 0 ? at : tmk_time_min(at, e->later_look);
}

bool tmk_engine_next_report(tmk_engine *e, tmk_pump_report *out) {
    return tmk_ring_pop(&e->reports, out);
}

void tmk_engine_stats_get(const tmk_engine *e, tmk_engine_stats *out) {
    *out = e->stats;
    out->held_events = e->flow.held_events;
    out->held_bytes = e->flow.held_bytes;
    out->credit = e->flow.out_events;
    out->breaker = e->breaker.state != TMK_BREAKER_CLOSED;
}

/* ---- letters ---- */

/* A free place in the table; letter_room when there is no memory. */
static uint32_t free_place(tmk_engine *e) {
    uint32_t room = e->letter_room == 0 ? LETTERS_MIN : e->letter_room * 2;
    tmk_case **letters = NULL;

    for (uint32_t i = 0; i < e->letter_room && e->stats.letters_out < e->letter_room; i++) {
        uint32_t place = (e->letter_next + i) % e->letter_room;

        if (e->letters[place] == NULL) {
            return place;
        }
    }
    letters = room > LETTERS_MAX ? NULL : tmk_resize(e->letters, room, sizeof(tmk_case *));
    if (letters == NULL) {
        return e->letter_room;
    }
    for (uint32_t i = e->letter_room; i < room; i++) {
        letters[i] = NULL;
    }
    e->letters = letters;
    e->letter_next = e->letter_room;
    e->letter_room = room;
    return e->letter_next;
}

tmk_handle tmk_engine_letter(tmk_engine *e, tmk_case *c) {
    uint32_t place = free_place(e);

    if (place == e->letter_room) {
        return 0;
    }
    e->letters[place] = c;
    e->letter_next = place + 1;
    e->letter_serial = (e->letter_serial + 1) & 0xfffffff;
    e->stats.letters_out++;
    c->handle = LETTER_MARK | (tmk_handle)e->letter_serial << 20 | place;
    return c->handle;
}

void tmk_engine_letter_gone(tmk_engine *e, tmk_case *c) {
    e->letters[c->handle & (LETTERS_MAX - 1)] = NULL;
    e->stats.letters_out--;
    c->handle = 0;
}

tmk_status tmk_engine_on_letter(tmk_engine *e, tmk_time now, tmk_handle handle, tmk_status status,
                                const tmk_error *err) {
    uint64_t place = handle & (LETTERS_MAX - 1);
    tmk_case *c = place < e->letter_room ? e->letters[place] : NULL;

    if (c == NULL || c->handle != handle) {
        return TMK_ABSENT;
    }
    tmk_engine_letter_gone(e, c);
    tmk_pump_on_letter(c, now, status, err);
    return TMK_OK;
}
