/*
 * The yard and its partitions: queueing, pausing, the finished lists, the gate.
 * Turns are in turn.c, handles in later.c.
 */
#include "core/lanes.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/slice.h"
#include "base/status.h"
#include "core/lanes_inside.h"
#include "core/mutants.h"

enum { SLOTS_MIN = 64, SLOTS_KEEP = 8192, WORKERS_MAX = 4095 };

/* ---- the yard ---- */

tmk_status tmk_yard_new(const tmk_yard_options *options, tmk_yard **out, tmk_error *err) {
    tmk_yard *y = NULL;

    if (options->workers == 0 || options->workers > WORKERS_MAX) {
        return tmk_fail(err, TMK_EINVAL, "yard", "%u workers; 1 to %d are possible",
                        options->workers, WORKERS_MAX);
    }
    y = tmk_new(tmk_yard);
    if (y != NULL) {
        y->turns = tmk_alloc_zero(options->workers, sizeof(tmk_turn *));
    }
    if (y == NULL || y->turns == NULL) {
        tmk_free(y);
        return tmk_fail(err, TMK_ENOMEM, "yard", "no memory for the lanes of handlers");
    }
    y->options = *options;
    y->trust = TMK_NEVER;
    tmk_list_init(&y->lanes);
    tmk_list_init(&y->ready);
    tmk_list_init(&y->lingering);
    tmk_list_init(&y->finished);
    tmk_list_init(&y->outs);
    *out = y;
    return TMK_OK;
}

tmk_yard *tmk_yard_free(tmk_yard *y) {
    tmk_list *node = NULL;

    if (y == NULL) {
        return NULL;
    }
    while ((node = tmk_list_first(&y->lanes)) != NULL) {
        (void)tmk_lanes_free(tmk_container_of(node, tmk_lanes, node), NULL);
    }
    tmk_later_clear(y);
    tmk_free(y->turns);
    tmk_free(y);
    return NULL;
}

/* ---- lanes ready and not ---- */

/* All lanes of a partition, the stream last; NULL behind that. */
static tmk_lane *nth_lane(tmk_lanes *l, uint32_t n) {
    return n < l->table_size ? &l->table[n] : n == l->table_size ? &l->stream : NULL;
}

static void make_idle(tmk_lane *lane) {
    if (lane->ready || lane->lingering) {
        tmk_list_remove(&lane->node);
        lane->lanes->yard->ready_count -= lane->ready;
        lane->lanes->waiting--;
        lane->ready = false;
        lane->lingering = false;
    }
}

static void make_ready(tmk_lane *lane, bool front) {
    tmk_yard *y = lane->lanes->yard;

    if (lane->ready) {
        return;
    }
    make_idle(lane);
    lane->ready = true;
    lane->lanes->waiting++;
    y->ready_count++;
    if (front) {
        tmk_list_push_front(&y->ready, &lane->node);
    } else {
        tmk_list_push_back(&y->ready, &lane->node);
    }
}

static bool wants_more(const tmk_lane *lane) {
    const tmk_yard_options *o = &lane->lanes->yard->options;

    return o->linger > 0 && lane->count < o->batch_events &&
           (o->batch_bytes == 0 || lane->bytes < o->batch_bytes) &&
           tmk_slot_of(lane->lanes, lane->head)->attempt <= 1;
}

void tmk_lane_settle(tmk_lane *lane, tmk_time now) {
    tmk_lanes *l = lane->lanes;

    if (lane->taker != 0 || lane->held > 0 || lane->count == 0 || l->paused) {
        make_idle(lane);
    } else if (!wants_more(lane)) {
        make_ready(lane, false);
    } else if (!lane->ready && !lane->lingering) {
        lane->lingering = true;
        l->waiting++;
        lane->linger_until = tmk_time_after(now, l->yard->options.linger);
        tmk_list_push_back(&l->yard->lingering, &lane->node);
    }
}

void tmk_lane_back(tmk_lane *lane, uint32_t first, uint32_t last, uint32_t count) {
    tmk_lanes *l = lane->lanes;
    uint32_t *link = &lane->head;
    uint32_t left = lane->count;

    /* Events that come again may have been put in front meanwhile. */
    while (!lane->open && left > 0 && ((int32_t)(*link - first) < 0 || TMK_MUTANT(AGAIN_BEHIND))) {
        link = &tmk_slot_of(l, *link)->next;
        left--;
    }
    if (left == 0) {
        lane->tail = last;
    } else {
        tmk_slot_of(l, last)->next = *link;
    }
    *link = first;
    lane->count += count;
}

/* ---- partitions ---- */

tmk_status tmk_lanes_new(tmk_yard *y, const tmk_lanes_options *options, tmk_lanes **out,
                         tmk_error *err) {
    tmk_lanes *l = tmk_new(tmk_lanes);

    tmk_assert(options->order != TMK_ORDER_KEY ||
               (options->lane_count > 0 && options->lane_count <= TMK_LANES_MAX));
    if (l == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "lanes", "no memory for the lanes of a partition");
    }
    l->yard = y;
    l->options = *options;
    l->cut = UINT64_MAX;
    tmk_list_init(&l->orphans);
    l->streams = options->order == TMK_ORDER_KEY && y->options.batch_events == 0;
    l->stream = (tmk_lane){.lanes = l, .open = true};
    tmk_yard_enter(y);
    tmk_list_push_back(&y->lanes, &l->node);
    tmk_yard_leave(y);
    *out = l;
    return TMK_OK;
}

void *tmk_lanes_owner(const tmk_lanes *l) {
    return l->options.owner;
}

static void make_all_idle(tmk_lanes *l) {
    tmk_lane *lane = NULL;

    for (uint32_t n = 0; (lane = nth_lane(l, n)) != NULL; n++) {
        make_idle(lane);
    }
}

void tmk_lanes_end(tmk_lanes *l) {
    tmk_list *node = NULL;

    make_all_idle(l);
    while ((node = tmk_list_pop_front(&l->orphans)) != NULL) {
        tmk_burst_drop(tmk_container_of(node, tmk_burst, node));
    }
    tmk_list_remove(&l->finished);
    tmk_list_remove(&l->node);
    tmk_free(l->table);
    tmk_free(l->slots);
    tmk_free(l);
}

tmk_lanes *tmk_lanes_free(tmk_lanes *l, tmk_list *bursts) {
    tmk_yard *y = NULL;
    tmk_list *node = NULL;

    if (l == NULL) {
        return NULL;
    }
    y = l->yard;
    tmk_yard_enter(y);
    __atomic_store_n(&l->paused, true, __ATOMIC_RELAXED);
    l->closed = true;
    tmk_lanes_count_queued(l, -(int64_t)l->queued);
    tmk_later_orphan(l);
    tmk_list_remove(&l->finished);
    while (bursts != NULL && (node = tmk_list_pop_front(bursts)) != NULL) {
        tmk_list_push_back(&l->orphans, node);
    }
    make_all_idle(l);
    if (l->running == 0) {
        tmk_lanes_end(l);
    }
    tmk_yard_leave(y);
    return NULL;
}

static uint64_t read_eight(const uint8_t *bytes) {
    uint64_t part = 0;

    memcpy(&part, bytes, sizeof part);
    return part;
}

/* Up to seven bytes, without a loop: the halves overlap. */
static uint64_t read_few(const uint8_t *bytes, size_t size) {
    uint32_t head = 0;
    uint32_t tail = 0;

    if (size >= 4) {
        memcpy(&head, bytes, sizeof head);
        memcpy(&tail, bytes + size - 4, sizeof tail);
        return (uint64_t)head << 32 | tail;
    }
    return (uint64_t)bytes[0] << 16 | (uint64_t)bytes[size / 2] << 8 | bytes[size - 1];
}

/* Eight bytes at a time, mixed by multiplication: keys are short, and nobody gains by collisions
 * but slower lanes of his own. */
static uint64_t hash(tmk_slice key) {
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t sum = key.size * factor;

    for (; key.size > 8; key = tmk_slice_of(key.bytes + 8, key.size - 8)) {
        sum = (sum ^ read_eight(key.bytes)) * factor;
        sum ^= sum >> 32;
    }
    sum ^= key.size == 8 ? read_eight(key.bytes) : read_few(key.bytes, key.size);
    sum *= factor;
    return sum ^ sum >> 32;
}

uint16_t tmk_lane_of_key(const tmk_lanes *l, tmk_slice key) {
    if (key.size == 0) {
        return 0;
    }
    return (uint16_t)(1 +
                      (uint64_t)(uint32_t)hash(key) * l->options.lane_count / (UINT64_C(1) << 32));
}

/* ---- queueing ---- */

static tmk_status reserve_slots(tmk_lanes *l, uint64_t low, uint64_t high) {
    bool shrink = low == l->high && l->slot_room > SLOTS_KEEP;
    uint64_t room = l->slot_room == 0 || shrink ? SLOTS_MIN : l->slot_room;
    tmk_slot *slots = NULL;

    while (room < high - low) {
        room *= 2;
    }
    if (room == l->slot_room) {
        return TMK_OK;
    }
    slots = room > UINT32_MAX / 2 ? NULL : tmk_alloc_zero(room, sizeof *slots);
    if (slots == NULL) {
        return shrink && l->slot_room >= high - low ? TMK_OK : TMK_ENOMEM;
    }
    for (uint64_t at = low; at < l->high; at++) {
        slots[at & (room - 1)] = *tmk_slot_of(l, at);
    }
    tmk_free(l->slots);
    l->slots = slots;
    l->slot_room = (uint32_t)room;
    return TMK_OK;
}

static tmk_status reserve_table(tmk_lanes *l) {
    uint32_t size = l->options.order == TMK_ORDER_KEY ? l->options.lane_count + 1 : 1;
    tmk_lane *table = NULL;

    if (l->table != NULL) {
        return TMK_OK;
    }
    table = tmk_alloc_zero(size, sizeof *table);
    if (table == NULL) {
        return TMK_ENOMEM;
    }
    for (uint32_t i = 0; i < size; i++) {
        table[i].lanes = l;
    }
    table[0].open = l->options.order == TMK_ORDER_NONE ||
                    (l->options.order == TMK_ORDER_KEY && l->options.keyless_free);
    l->table = table;
    l->table_size = size;
    return TMK_OK;
}

/* A whole row into one lane, or into the stream: then `keys` says which lane each is of. */
static void push_row(tmk_lane *lane, const tmk_event *events, uint32_t count, uint64_t first,
                     const uint16_t *keys) {
    tmk_lanes *l = lane->lanes;
    tmk_slot *slots = l->slots;
    uint32_t mask = l->slot_room - 1;

    tmk_lane_append(lane, (uint32_t)first);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t ordinal = (uint32_t)first + i;
        uint32_t key = keys == NULL ? 0 : keys[i];

        slots[ordinal & mask] = (tmk_slot){{&events[i]}, ordinal + 1, key & 0x1fffU, 1, 0, 0, 0};
    }
    for (uint32_t i = 0; l->yard->options.batch_events > 0 && i < count; i++) {
        lane->bytes += events[i].message_size;
    }
    lane->tail = (uint32_t)(first + count - 1);
    lane->count += count - 1;
}

/* Each into its lane: a batch is of one key. */
static void push_by_lane(tmk_lanes *l, tmk_time now, const tmk_event *events, uint32_t count,
                         uint64_t first, const uint16_t *keys) {
    for (uint32_t i = 0; i < count; i++) {
        tmk_slot *s = tmk_slot_of(l, first + i);
        tmk_lane *lane = &l->table[keys[i]];

        *s = (tmk_slot){{&events[i]}, 0, keys[i] & 0x1fffU, 1, 0, 0, 0};
        tmk_lane_append(lane, (uint32_t)(first + i));
        lane->bytes += events[i].message_size;
        if (!lane->ready && lane->taker == 0) {
            tmk_lane_settle(lane, now);
        }
    }
}

tmk_status tmk_lanes_push(tmk_lanes *l, tmk_time now, const tmk_event *events, uint32_t count,
                          uint64_t first, uint64_t low, const uint16_t *lane) {
    tmk_yard *y = l->yard;
    tmk_status st = TMK_OK;

    tmk_assert(count > 0 && first >= l->high && low >= l->low && low <= first);
    tmk_yard_enter(y);
    if (reserve_slots(l, low, first + count) < 0 || reserve_table(l) < 0) {
        st = TMK_ENOMEM;
    } else {
        l->low = low;
        l->high = first + count;
        tmk_lanes_count_queued(l, count);
        if (lane != NULL && !l->streams) {
            push_by_lane(l, now, events, count, first, lane);
        } else {
            tmk_lane *row = lane != NULL ? &l->stream : &l->table[0];

            push_row(row, events, count, first, lane);
            tmk_lane_settle(row, now);
        }
    }
    tmk_yard_leave(y);
    return st;
}

static tmk_lane *lane_of(const tmk_lanes *l, uint64_t ordinal) {
    tmk_lane *lane = &l->table[tmk_slot_of(l, ordinal)->lane];

    tmk_assert(lane->open || lane->held > 0);
    return lane;
}

void tmk_lanes_again(tmk_lanes *l, tmk_time now, uint64_t ordinal, const tmk_event *event,
                     uint32_t attempt) {
    tmk_slot *s = NULL;
    tmk_lane *lane = NULL;

    tmk_yard_enter(l->yard);
    s = tmk_slot_of(l, ordinal);
    lane = lane_of(l, ordinal);
    s->event = event;
    if (attempt > 0) {
        s->attempt = (attempt < TMK_ATTEMPTS_ROOM ? attempt : TMK_ATTEMPTS_ROOM) & 0xfffU;
    }
    tmk_lane_back(lane, (uint32_t)ordinal, (uint32_t)ordinal, 1);
    lane->bytes += l->yard->options.batch_events > 0 ? event->message_size : 0;
    lane->held -= !lane->open;
    s->again = 1;
    tmk_lane_count_again(lane, 1);
    tmk_lanes_count_queued(l, 1);
    tmk_lane_settle(lane, now);
    if (lane->ready && (l->yard->gate & TMK_GATE_BREAKER) != 0) {
        make_idle(lane);
        make_ready(lane, true); /* the next probe is what found out, before anything else */
    }
    tmk_yard_leave(l->yard);
}

void tmk_lanes_release(tmk_lanes *l, tmk_time now, uint64_t ordinal) {
    tmk_lane *lane = NULL;

    tmk_yard_enter(l->yard);
    lane = lane_of(l, ordinal);
    if (!lane->open) {
        lane->held--;
        if (!TMK_MUTANT(LANE_ASLEEP)) {
            tmk_lane_settle(lane, now);
        }
    }
    tmk_yard_leave(l->yard);
}

void tmk_lanes_pause(tmk_lanes *l, tmk_time now, bool pause) {
    tmk_lane *lane = NULL;

    tmk_yard_enter(l->yard);
    if (l->paused != pause) {
        __atomic_store_n(&l->paused, pause, __ATOMIC_RELAXED);
        for (uint32_t n = 0; (lane = nth_lane(l, n)) != NULL; n++) {
            tmk_lane_settle(lane, now);
        }
    }
    tmk_yard_leave(l->yard);
}

void tmk_lane_cut(tmk_lane *lane) {
    tmk_lanes *l = lane->lanes;
    uint32_t left = lane->count;
    uint32_t at = lane->head;

    tmk_lanes_count_queued(l, -(int64_t)lane->count);
    lane->count = 0;
    tmk_lane_count_again(lane, -(int)lane->again);
    lane->bytes = 0;
    for (; left > 0; left--) {
        const tmk_slot *s = tmk_slot_of(l, at);
        uint32_t next = s->next;

        if (tmk_whole_ordinal(l->low, at) < l->cut) {
            tmk_lane_append(lane, at);
            tmk_lane_count_again(lane, s->again);
            lane->bytes += l->yard->options.batch_events > 0 ? s->event->message_size : 0;
        }
        at = next;
    }
    tmk_lanes_count_queued(l, lane->count);
}

void tmk_lanes_cut(tmk_lanes *l, tmk_time now, uint64_t from) {
    tmk_lane *lane = NULL;

    tmk_yard_enter(l->yard);
    l->cut = from;
    for (uint32_t n = 0; (lane = nth_lane(l, n)) != NULL; n++) {
        tmk_lane_cut(lane);
        tmk_lane_settle(lane, now);
    }
    tmk_yard_leave(l->yard);
}

tmk_lanes_facts tmk_lanes_facts_get(tmk_lanes *l) {
    tmk_lanes_facts facts = {0};

    tmk_yard_enter(l->yard);
    facts = (tmk_lanes_facts){.queued = l->queued - l->again,
                              .again = l->again,
                              .taken = l->taken,
                              .running = l->running,
                              .waiting = l->waiting,
                              .out = l->out,
                              .busy = l->busy,
                              .unread = l->done_count > 0};
    tmk_yard_leave(l->yard);
    return facts;
}

/* ---- what has finished ---- */

void tmk_lanes_tell(tmk_lanes *l) {
    tmk_yard *y = l->yard;

    if (!tmk_list_linked(&l->finished)) {
        y->rings = y->rings || tmk_list_empty(&y->finished);
        tmk_list_push_back(&y->finished, &l->finished);
    }
}

static void finish_link(tmk_lanes *l, uint64_t ordinal) {
    if (l->done_count++ == 0) {
        l->done_head = (uint32_t)ordinal;
    } else {
        tmk_slot_of(l, l->done_tail)->next = (uint32_t)ordinal;
    }
    l->done_tail = (uint32_t)ordinal;
    if (!TMK_MUTANT(COMPLETION_UNHEARD) || l->running > 0) {
        tmk_lanes_tell(l);
    }
}

void tmk_finish_row(tmk_lanes *l, uint64_t first, uint32_t count) {
    tmk_slot *s = tmk_slot_of(l, first);

    if (l->done_count > 0 && l->done_end == first) {
        tmk_slot_of(l, l->done_tail)->count += count;
    } else {
        s->count = count;
        s->verdict = TMK_DONE;
        s->probe = 0;
        finish_link(l, first);
    }
    l->done_end = first + count;
}

void tmk_finish_one(tmk_lanes *l, tmk_lane *lane, const tmk_finished *f, bool held) {
    tmk_slot *s = tmk_slot_of(l, f->ordinal);
    bool holds = tmk_verdict_holds(f->verdict);

    if (lane != NULL && !lane->open && holds != held && !TMK_MUTANT(LANE_NOT_HELD)) {
        lane->held += holds ? 1 : UINT32_MAX; /* or one less */
    }
    s->verdict = (uint32_t)f->verdict & 7U;
    s->attempt = f->attempt & 0xfffU;
    s->probe = f->probe;
    if (f->verdict == TMK_DONE) {
        s->count = 1;
    } else {
        s->retry_ms = f->retry_ms;
    }
    finish_link(l, f->ordinal);
    l->done_end = UINT64_MAX; /* what follows is a record of its own */
}

tmk_lanes *tmk_yard_collect(tmk_yard *y) {
    tmk_list *node = NULL;
    tmk_lanes *l = NULL;

    tmk_yard_enter(y);
    node = tmk_list_pop_front(&y->finished);
    if (node != NULL) {
        l = tmk_container_of(node, tmk_lanes, finished);
        tmk_assert(l->read_left == 0);
        l->read_at = l->done_head;
        l->read_left = l->done_count;
        l->done_count = 0;
    }
    tmk_yard_leave(y);
    return l;
}

bool tmk_lanes_next_finished(tmk_lanes *l, tmk_finished *out) {
    const tmk_slot *s = NULL;

    if (l->read_left == 0) {
        return false;
    }
    s = tmk_slot_of(l, l->read_at);
    *out = (tmk_finished){.ordinal = tmk_whole_ordinal(l->low, l->read_at),
                          .count = s->verdict == TMK_DONE ? (uint32_t)s->count : 1,
                          .verdict = (tmk_verdict)s->verdict,
                          .attempt = s->attempt,
                          .retry_ms = s->verdict == TMK_DONE ? -1 : s->retry_ms,
                          .probe = s->probe};
    l->read_at = s->next;
    l->read_left--;
    return true;
}

/* ---- the gate, and time ---- */

void tmk_yard_shut(tmk_yard *y, tmk_gate why) {
    tmk_yard_enter(y);
    __atomic_store_n(&y->gate, y->gate | why, __ATOMIC_RELAXED);
    y->probe = false;
    tmk_yard_leave(y);
}

void tmk_yard_open(tmk_yard *y, tmk_gate why) {
    tmk_yard_enter(y);
    __atomic_store_n(&y->gate, y->gate & ~(unsigned)why, __ATOMIC_RELAXED);
    tmk_yard_leave(y);
}

void tmk_yard_probe(tmk_yard *y) {
    tmk_yard_enter(y);
    y->probe = true;
    tmk_yard_leave(y);
}

void tmk_yard_trust(tmk_yard *y, tmk_time until) {
    /* Either we see that somebody was late, or it sees the new time: see tmk_turn_late(). */
    __atomic_store_n(&y->trust, until, __ATOMIC_SEQ_CST);
    if ((__atomic_load_n(&y->gate, __ATOMIC_SEQ_CST) & TMK_GATE_LATE) != 0) {
        tmk_yard_open(y, TMK_GATE_LATE);
    }
}

void tmk_yard_step(tmk_yard *y, tmk_time now) {
    tmk_list *node = NULL;

    tmk_yard_enter(y);
    while ((node = tmk_list_first(&y->lingering)) != NULL) {
        tmk_lane *lane = tmk_container_of(node, tmk_lane, node);

        if (lane->linger_until > now) {
            break;
        }
        make_ready(lane, false);
    }
    tmk_yard_leave(y);
}

tmk_time tmk_yard_deadline(tmk_yard *y) {
    tmk_list *node = NULL;
    tmk_time at = TMK_NEVER;

    tmk_yard_enter(y);
    node = tmk_list_first(&y->lingering);
    if (node != NULL) {
        at = tmk_container_of(node, tmk_lane, node)->linger_until;
    }
    tmk_yard_leave(y);
    return at;
}

/* A lane that several may take from is worth as many as there are shares in it. */
static uint64_t ready_shares(const tmk_yard *y, uint32_t events) {
    tmk_list *node = tmk_list_first(&y->ready);
    const tmk_lane *first = node == NULL ? NULL : tmk_container_of(node, tmk_lane, node);

    return y->ready_count + (first != NULL && first->open ? (first->count - 1) / events : 0);
}

uint32_t tmk_yard_useful(const tmk_yard *y, uint32_t events) {
    uint64_t shares = (y->queued + events - 1) / events;

    if (y->gate != 0) {
        return y->gate == TMK_GATE_BREAKER && y->probe && y->ready_count > 0 ? 1 : 0;
    }
    if (shares > y->ready_count) {
        uint64_t ready = ready_shares(y, events);

        return (uint32_t)(shares < ready ? shares : ready);
    }
    return shares == 0 && y->ready_count > 0 ? 1 : (uint32_t)shares;
}

bool tmk_yard_rings(tmk_yard *y) {
    bool rings = y->rings;

    y->rings = false;
    return rings;
}
