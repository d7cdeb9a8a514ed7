/*
 * Handles of events that are completed later, by anybody.
 *
 * A handle names a worker and a number that this worker never uses again, so
 * that making one costs nothing. While its turn is under way, the turn's states
 * tell whether it may be completed; afterwards a record in the yard's table
 * does. A handle is void as soon as it was completed, or answered otherwise.
 */
#include "core/lanes.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "core/lanes_inside.h"

enum { BUCKETS_MIN = 64 };

static size_t bucket_of(const tmk_yard *y, tmk_handle handle) {
    return (size_t)((handle * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (y->bucket_count - 1);
}

/* More buckets when they are full. Failing is no harm: the chains grow longer. */
static bool reserve_bucket(tmk_yard *y) {
    size_t old_count = y->bucket_count;
    size_t count = old_count == 0 ? BUCKETS_MIN : old_count * 2;
    tmk_later **old = y->buckets;
    tmk_later **buckets = NULL;

    if (y->out_count < old_count) {
        return true;
    }
    buckets = tmk_alloc_zero(count, sizeof(tmk_later *));
    if (buckets == NULL) {
        return old_count > 0;
    }
    y->buckets = buckets;
    y->bucket_count = count;
    for (size_t i = 0; i < old_count; i++) {
        for (tmk_later *later = old[i], *next = NULL; later != NULL; later = next) {
            tmk_later **bucket = &buckets[bucket_of(y, later->handle)];

            next = later->chain;
            later->chain = *bucket;
            *bucket = later;
        }
    }
    tmk_free(old);
    return true;
}

/* The link that leads to a record; to NULL where there is none. */
static tmk_later **find(tmk_yard *y, tmk_handle handle) {
    tmk_later **link = &y->buckets[bucket_of(y, handle)];

    while (*link != NULL && (*link)->handle != handle) {
        link = &(*link)->chain;
    }
    return link;
}

/* Its partition is gone, the event is not: the program may still look at it. */
static void orphan(tmk_later *later) {
    if (later->lanes != NULL) {
        tmk_burst_ref(later->event->burst);
        later->lanes = NULL;
    }
}

bool tmk_later_begin(tmk_turn *t, const tmk_turn_run *run, uint32_t index, tmk_time now) {
    tmk_yard *y = t->yard;
    tmk_lanes *l = run->lane->lanes;
    tmk_later *later = reserve_bucket(y) ? tmk_new(tmk_later) : NULL;
    tmk_later **bucket = NULL;

    if (later == NULL) {
        return false;
    }
    *later = (tmk_later){.handle = t->handle + index,
                         .lanes = l,
                         .event = t->events[index],
                         .partition = l->options.partition,
                         .since = now,
                         .ordinal = tmk_whole_ordinal(l->low, t->ordinals[index]),
                         .attempt = run->attempt,
                         .lane = (uint16_t)tmk_slot_of(l, t->ordinals[index])->lane,
                         .probe = t->probe};
    bucket = &y->buckets[bucket_of(y, later->handle)];
    later->chain = *bucket;
    *bucket = later;
    y->out_count++;
    tmk_list_push_back(&y->outs, &later->node);
    if (l->closed) {
        orphan(later);
    } else {
        l->out++;
    }
    return true;
}

static void later_free(tmk_yard *y, tmk_later **link) {
    tmk_later *later = *link;

    *link = later->chain;
    y->out_count--;
    tmk_list_remove(&later->node);
    if (later->lanes == NULL) {
        tmk_burst_drop(later->event->burst);
    }
    tmk_free(later);
}

void tmk_later_orphan(tmk_lanes *l) {
    tmk_list *head = &l->yard->outs;

    for (tmk_list *node = tmk_list_first(head); node != NULL; node = tmk_list_next(head, node)) {
        tmk_later *later = tmk_container_of(node, tmk_later, node);

        if (later->lanes == l) {
            orphan(later);
        }
    }
    l->out = 0;
}

void tmk_later_clear(tmk_yard *y) {
    tmk_list *node = NULL;

    while ((node = tmk_list_first(&y->outs)) != NULL) {
        later_free(y, find(y, tmk_container_of(node, tmk_later, node)->handle));
    }
    tmk_free(y->buckets);
    y->buckets = NULL;
    y->bucket_count = 0;
}

/* ---- completing ---- */

/*
 * Marks an event of a turn that is under way. Its callback runs (whoever knows
 * the handle has it from there), or it has returned LATER; what is behind the
 * turn's place and has another verdict is void.
 */
static tmk_status complete_early(tmk_yard *y, tmk_handle handle, tmk_verdict verdict,
                                 int64_t retry_ms) {
    uint64_t slot = (handle >> TMK_SERIAL_BITS) - 1; /* 0 - 1: far too large */
    tmk_turn *t = slot < y->options.workers ? y->turns[slot] : NULL;
    uint64_t index = 0;
    uint64_t at = 0;
    uint8_t state = 0;

    if (t == NULL || !t->active || handle - t->handle >= t->count) {
        return TMK_ABSENT;
    }
    index = handle - t->handle;
    at = __atomic_load_n(&t->at, __ATOMIC_ACQUIRE);
    state = index < at ? TMK_STATE_LATER : TMK_STATE_NONE;
    if (index >= at + __atomic_load_n(&t->given, __ATOMIC_ACQUIRE)) {
        return TMK_ABSENT;
    }
    if (index >= at && __atomic_load_n(&t->states[index], __ATOMIC_RELAXED) == TMK_STATE_LATER) {
        state = TMK_STATE_LATER; /* it has just returned */
    }
    if (__atomic_load_n(&t->states[index], __ATOMIC_RELAXED) != state) {
        return TMK_ABSENT;
    }
    t->early_ms[index] = retry_ms; /* end() looks at it with the guard */
    while (!__atomic_compare_exchange_n(&t->states[index], &state,
                                        (uint8_t)(TMK_STATE_EARLY + verdict), false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        /* It returned LATER in between: once more, from that state. */
    }
    return TMK_OK;
}

static tmk_status complete_out(tmk_yard *y, tmk_later **link, tmk_time now, tmk_verdict verdict,
                               int64_t retry_ms) {
    tmk_later *later = *link;
    tmk_lanes *l = later->lanes;
    tmk_lane *lane = NULL;
    tmk_finished f = {.ordinal = later->ordinal,
                      .count = 1,
                      .verdict = verdict,
                      .attempt = later->attempt,
                      .retry_ms = retry_ms,
                      .probe = later->probe};

    if (l == NULL) {
        later_free(y, link);
        return TMK_ABSENT;
    }
    lane = &l->table[later->lane];
    l->out--;
    tmk_finish_one(l, lane, &f, y->options.later_holds && !lane->open);
    tmk_lane_settle(lane, now);
    later_free(y, link);
    return TMK_OK;
}

tmk_status tmk_yard_complete(tmk_yard *y, tmk_time now, tmk_handle handle, tmk_verdict verdict,
                             int64_t retry_ms) {
    tmk_later **link = NULL;
    tmk_status st = TMK_OK;

    if ((unsigned)verdict > TMK_STOP || verdict == TMK_LATER) {
        return TMK_EINVAL;
    }
    tmk_yard_enter(y);
    link = y->bucket_count == 0 ? NULL : find(y, handle);
    if (link != NULL && *link != NULL) {
        st = complete_out(y, link, now, verdict, retry_ms);
    } else {
        st = complete_early(y, handle, verdict, retry_ms);
    }
    tmk_yard_leave(y);
    return st;
}

bool tmk_yard_oldest_out(tmk_yard *y, tmk_out *out) {
    tmk_list *node = NULL;

    tmk_yard_enter(y);
    node = tmk_list_first(&y->outs);
    if (node != NULL) {
        const tmk_later *later = tmk_container_of(node, tmk_later, node);

        *out = (tmk_out){.partition = later->partition,
                         .sequence = later->event->sequence,
                         .handle = later->handle,
                         .since = later->since};
    }
    tmk_yard_leave(y);
    return node != NULL;
}
