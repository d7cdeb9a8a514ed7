/*
 * See link.h.
 *
 * The hot path: room() -> message() for each event, turn() once a read of the
 * socket. Bytes go from the engine into the burst and stay there. A message
 * that is not complete at the end of a read moves to a new burst, so that what
 * is complete can go.
 */
#include "eventhubs/link.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str.h"
#include "eventhubs/names.h"

/* ---- callbacks may end the link: whoever goes on after one holds its memory ---- */

static void hold(tmk_link *l) {
    l->holds++;
}

/* false: the link is over; it may not be touched any more. */
static bool release(tmk_link *l) {
    bool over = l->over;

    if (--l->holds == 0 && l->freed) {
        tmk_free(l);
    }
    return !over;
}

/* ---- receiving ---- */

static uint8_t *on_room(void *user, size_t kept, size_t more) {
    tmk_link *l = user;
    uint8_t *at = NULL;

    if (l->burst == NULL) {
        l->burst = tmk_burst_take(l->source->pool, l->rider.partition);
    }
    if (l->burst == NULL || tmk_burst_reserve(l->burst, kept + more, &at) < 0) {
        return NULL;
    }
    l->tail = kept + more;
    return at + kept;
}

/* Takes the last event back out of the burst. */
static void take_back(tmk_burst *b) {
    b->count--;
    b->size -= b->events[b->count].message_size;
}

/* A number that was due before: the event does not stay. */
__attribute__((cold, noinline)) static tmk_status refuse_event(tmk_link *l, tmk_seen seen,
                                                               tmk_error *err) {
    tmk_burst *b = l->burst;
    tmk_status st = TMK_OK;

    if (seen == TMK_SEEN_REPEAT) {
        tmk_core_count(&tmk_core_stats(l->source->core)->events_repeated, 1);
    } else {
        st = tmk_fail(err, TMK_EPOSITION, "tidemark:recreated",
                      "event %" PRId64 " of partition '%s' is newer than event %" PRId64
                      ": the hub was made anew, choose a new position",
                      b->events[b->count - 1].sequence, l->rider.partition, l->position.sequence);
    }
    take_back(b);
    return st;
}

static tmk_status on_message(void *user, size_t size, tmk_error *err) {
    tmk_link *l = user;
    const tmk_event *e;
    int64_t missing = 0;
    tmk_seen seen;
    tmk_status st;

    l->tail = 0;
    if (size == 0) {
        return tmk_fail_retry(err, TMK_EPROTO, "amqp:decode-error",
                              "the service sent an empty event");
    }
    st = tmk_burst_add(l->burst, size, err);
    if (st < 0) {
        return st;
    }
    e = &l->burst->events[l->burst->count - 1];
    seen = tmk_position_on_event(&l->position, e->sequence, e->enqueued_ms, &missing);
    if (seen == TMK_SEEN_REPEAT || seen == TMK_SEEN_BACK) {
        return refuse_event(l, seen, err);
    }
    l->missing += missing;
    l->allowed -= l->allowed > 0;
    return TMK_OK;
}

/* How much the service may send is kept near what the owner allows, without a frame each time. */
static void refill(tmk_link *l) {
    uint32_t granted = l->amqp == NULL ? 0 : tmk_amqp_link_granted(l->amqp);
    uint32_t owed = l->allowed > granted ? l->allowed - granted : 0;

    if (l->amqp != NULL && owed > 0 && (granted == 0 || owed >= l->allowed / 4)) {
        tmk_amqp_link_grant(l->amqp, owed);
    }
    l->rider.mend.hungry = l->allowed > 0;
}

static void tell_gap(tmk_link *l) {
    tmk_error err;
    tmk_trouble t = {.error = &err,
                     .operation = "receive",
                     .partition = l->rider.partition,
                     .reaction = "reading goes on"};

    (void)tmk_fail(&err, TMK_EPOSITION, "tidemark:gap",
                   "%" PRId64 " events before event %" PRId64
                   " never came: removed by retention or compaction, or lost",
                   l->missing, l->position.sequence);
    tmk_core_count(&tmk_core_stats(l->source->core)->events_missing, (uint64_t)l->missing);
    l->missing = 0;
    l->events->trouble(l->user, &err, t.reaction);
    tmk_core_report(l->source->core, &t);
}

/* The burst without what has begun behind it; NULL: nothing to hand over, or no memory to. */
static tmk_burst *cut_burst(tmk_link *l) {
    tmk_burst *full = l->burst, *rest = NULL;
    uint8_t *to = NULL;

    if (full == NULL || full->count == 0) {
        return NULL;
    }
    if (l->tail > 0) {
        rest = tmk_burst_take(l->source->pool, l->rider.partition);
        if (rest == NULL || tmk_burst_reserve(rest, l->tail, &to) < 0) {
            tmk_burst_drop(rest);
            return NULL; /* the next read brings the rest of the message, or its own failure */
        }
        memcpy(to, full->bytes + full->size, l->tail);
    }
    l->burst = rest;
    tmk_burst_seal(full);
    return full;
}

static void on_turn(void *user) {
    tmk_link *l = user;
    tmk_client_stats *stats = tmk_core_stats(l->source->core);
    tmk_burst *b = cut_burst(l);
    const tmk_event *last;

    refill(l);
    tmk_rider_heard(&l->rider);
    if (b == NULL) {
        return;
    }
    last = &b->events[b->count - 1];
    tmk_position_on_offset(&l->position,
                           tmk_slice_of(last->message + last->offset_at, last->offset_size));
    tmk_core_count(&stats->events_received, b->count);
    tmk_core_count(&stats->bytes_received, b->size);
    if (l->missing > 0) {
        hold(l);
        tell_gap(l);
        if (!release(l)) {
            tmk_burst_drop(b);
            return;
        }
    }
    l->events->burst(l->user, b);
}

/* ---- the amqp link ---- */

static void tell_standing(tmk_link *l, bool up) {
    if (l->opened && l->up != up && !l->over) {
        l->up = up;
        if (l->events->standing != NULL) {
            l->events->standing(l->user, up);
        }
    }
}

static void on_attached(void *user, uint64_t message_max) {
    tmk_link *l = user;
    bool first = !l->opened;

    (void)message_max;
    l->opened = true;
    l->seen_facts = false;
    refill(l);
    hold(l);
    tmk_rider_attached(&l->rider);
    if (!release(l)) {
        return;
    }
    if (first) {
        l->up = true;
        l->events->opened(l->user);
    } else {
        tell_standing(l, true);
    }
}

static void forget_burst(tmk_link *l) {
    tmk_burst_drop(l->burst);
    l->burst = NULL;
    l->tail = 0;
}

/* What came complete before the end is handed over first. */
static void on_link_ended(void *user, const tmk_fault *fault) {
    tmk_link *l = user;
    tmk_fault copy = *fault;

    l->amqp = NULL;
    l->tail = 0;
    hold(l);
    if (l->burst != NULL && l->burst->count > 0) {
        on_turn(l);
    }
    if (!release(l)) {
        return;
    }
    forget_burst(l);
    tell_standing(l, false);
    tmk_rider_failed(&l->rider, &copy);
}

static const tmk_amqp_link_ops link_ops = {
    .attached = on_attached,
    .ended = on_link_ended,
    .room = on_room,
    .message = on_message,
    .turn = on_turn,
};

/* ---- the rider ---- */

static tmk_status attach(tmk_rider *r, tmk_amqp *a, tmk_error *err) {
    static const char *const plain[] = {"com.microsoft:georeplication", NULL};
    static const char *const tracking[] = {"com.microsoft:georeplication",
                                           "com.microsoft:enable-receiver-runtime-metric", NULL};
    tmk_link *l = tmk_container_of(r, tmk_link, rider);
    tmk_str source = TMK_STR_INIT, filter = TMK_STR_INIT;
    tmk_amqp_link_options o = {.owner_level = l->owner_level,
                               .receiver_name = l->source->name,
                               .target = l->source->name,
                               .capabilities = l->source->track_last ? tracking : plain,
                               .message_max = l->source->message_max};
    tmk_start start;
    tmk_status st;

    tmk_position_resume(&l->position, &start);
    tmk_names_receiver(tmk_core_hub(l->source->core), l->source->group, r->partition, &source);
    tmk_names_filter(&start, &filter);
    if (!tmk_str_ok(&source) || !tmk_str_ok(&filter)) {
        st = tmk_fail_retry(err, TMK_ENOMEM, "client", "no memory for a link");
    } else {
        o.source = tmk_str_text(&source);
        o.filter = tmk_str_text(&filter);
        tmk_debug(tmk_core_log(l->source->core), "link.attach", "partition='%s' filter=\"%s\"",
                  r->partition, o.filter);
        st = tmk_amqp_link_open(a, &o, &link_ops, l, &l->amqp, err);
    }
    tmk_str_clear(&source);
    tmk_str_clear(&filter);
    return st;
}

static void let_go(tmk_rider *r, bool line_gone) {
    tmk_link *l = tmk_container_of(r, tmk_link, rider);

    if (l->amqp != NULL && !line_gone) {
        tmk_amqp_link_close(l->amqp, NULL, NULL);
    }
    l->amqp = NULL;
    forget_burst(l);
    tell_standing(l, false);
}

/* Nothing of it is done or told any more, but closed(). */
static void end(tmk_link *l) {
    l->over = true;
    tmk_rider_remove(&l->rider);
    forget_burst(l);
}

static void link_free(tmk_link *l) {
    end(l);
    tmk_list_remove(&l->node);
    l->freed = true;
    if (l->holds == 0) {
        tmk_free(l);
    }
}

static void on_rider_ended(tmk_rider *r, const tmk_error *why) {
    tmk_link *l = tmk_container_of(r, tmk_link, rider);
    const tmk_link_events *events = l->events;
    void *user = l->user;
    tmk_error copy = *why;

    let_go(r, false);
    link_free(l);
    events->ended(user, &copy);
}

static void on_trouble(tmk_rider *r, const tmk_trouble *t) {
    tmk_link *l = tmk_container_of(r, tmk_link, rider);

    l->events->trouble(l->user, t->error, t->reaction);
}

static void on_facts(tmk_rider *r, const tmk_partition_facts *facts) {
    tmk_position_on_facts(&tmk_container_of(r, tmk_link, rider)->position, facts);
}

static bool is_behind(tmk_rider *r, const tmk_partition_facts *facts) {
    tmk_link *l = tmk_container_of(r, tmk_link, rider);
    bool behind = tmk_position_is_behind(&l->position, facts, l->seen_facts ? &l->facts : NULL);

    if (!l->seen_facts) {
        l->seen_facts = true;
        l->facts = *facts;
    }
    return behind;
}

static const tmk_rider_ops rider_ops = {
    .attach = attach,
    .let_go = let_go,
    .ended = on_rider_ended,
    .trouble = on_trouble,
    .facts = on_facts,
    .behind = is_behind,
};

/* ---- the owner's side ---- */

static void run_task(tmk_task *task) {
    tmk_link *l = tmk_container_of(task, tmk_link, task);

    if (l->closed == NULL) {
        tmk_core_review(l->source->core);
        tmk_rider_run(&l->rider);
    } else {
        void (*closed)(void *user) = l->closed;
        void *user = l->user;

        link_free(l);
        closed(user);
    }
}

tmk_link *tmk_link_open(tmk_source_amqp *s, const char *partition, int64_t owner_level,
                        const tmk_start *start, const tmk_link_events *events, void *user) {
    tmk_link *l = tmk_new(tmk_link);

    if (l == NULL ||
        tmk_rider_add(s->core, &l->rider, &rider_ops, "receive", partition, NULL) < 0) {
        tmk_free(l);
        return NULL;
    }
    l->source = s;
    l->owner_level = owner_level;
    l->events = events;
    l->user = user;
    l->task.run = run_task;
    tmk_position_init(&l->position, start);
    l->rider.mend.needs_facts = tmk_position_needs_facts(&l->position);
    tmk_list_push_back(&s->links, &l->node);
    tmk_loop_post(tmk_core_loop(s->core), &l->task); /* no callback from inside this call */
    return l;
}

void tmk_link_credit(tmk_link *l, uint32_t count) {
    l->allowed = count > UINT32_MAX - l->allowed ? UINT32_MAX : l->allowed + count;
    refill(l);
    if (l->rider.mend.state == TMK_MEND_UP) {
        tmk_rider_run(&l->rider);
    }
}

static void on_link_closed(void *user) {
    tmk_link *l = user;
    void (*closed)(void *user) = l->closed;
    void *closed_user = l->user;

    link_free(l);
    closed(closed_user);
}

void tmk_link_close(tmk_link *l, void (*closed)(void *user)) {
    tmk_amqp_link *amqp = l->amqp;
    tmk_loop *loop = tmk_core_loop(l->source->core);

    end(l);
    l->closed = closed;
    l->amqp = NULL;
    tmk_loop_unpost(loop, &l->task);
    if (amqp != NULL) {
        l->closing = true;
        tmk_amqp_link_close(amqp, on_link_closed, l);
    } else {
        tmk_loop_post(loop, &l->task);
    }
}

static void ignore_closed(void *user) {
    (void)user;
}

void tmk_link_drop(tmk_link *l) {
    tmk_loop_unpost(tmk_core_loop(l->source->core), &l->task);
    if (l->closing) { /* the connection still knows it, and frees it */
        tmk_list_remove(&l->node);
        l->closed = ignore_closed;
        return;
    }
    if (l->amqp != NULL) {
        tmk_amqp_link_close(l->amqp, NULL, NULL);
    }
    link_free(l);
}
