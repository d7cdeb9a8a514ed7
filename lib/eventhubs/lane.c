/* See lane.h. */
#include "eventhubs/lane.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "eventhubs/names.h"
#include "eventhubs/resend.h"

enum { LIMIT_UNKNOWN = 1024 * 1024 }; /* where the service names no limit */

struct tmk_lane {
    tmk_rider rider;
    tmk_core *core;
    tmk_lane_options options;
    tmk_amqp_link *amqp; /* NULL: not attached and not attaching */
    uint64_t limit;      /* 0: not known */
    bool asked;          /* somebody wants it open although nothing waits */
    bool over;
    bool busy;            /* inside work() */
    tmk_list waiting;     /* to be sent, in the order of their numbers */
    tmk_list paused;      /* to be tried again later */
    tmk_list flying;      /* on the wire */
    tmk_time quiet_until; /* the service is busy: nothing is sent before */
    tmk_timer timer;
    tmk_time armed; /* when the timer fires, or earlier than anything is due */
    tmk_rng rng;
};

static void work(tmk_lane *lane);

static tmk_time now_of(const tmk_lane *lane) {
    return tmk_loop_now(tmk_core_loop(lane->core));
}

static tmk_send *first_of(const tmk_list *list) {
    tmk_list *node = tmk_list_first(list);

    return node == NULL ? NULL : tmk_container_of(node, tmk_send, node);
}

/* ---- the end of a send ---- */

static void finish(tmk_lane *lane, tmk_send *s, const tmk_error *why) {
    tmk_client_stats *stats = tmk_core_stats(lane->core);

    tmk_list_remove(&s->node);
    s->flying = false;
    if (why == NULL) {
        tmk_core_count(&stats->events_sent, s->events);
    } else {
        tmk_core_count(&stats->events_failed, s->events);
    }
    lane->options.done(lane->options.user, s, why);
}

static void finish_all(tmk_lane *lane, const tmk_error *why) {
    tmk_send *s;

    while ((s = first_of(&lane->flying)) != NULL) {
        s->unknown = true;
        finish(lane, s, why);
    }
    while ((s = first_of(&lane->waiting)) != NULL || (s = first_of(&lane->paused)) != NULL) {
        finish(lane, s, why);
    }
}

/* ---- time: the lists are long, so they are looked through only when the timer fires ---- */

static void arm(tmk_lane *lane, tmk_time at) {
    if (at < lane->armed) {
        lane->armed = at;
        tmk_timer_set(tmk_core_loop(lane->core), &lane->timer, at);
    }
}

/* ---- tries ---- */

static void begin_try(tmk_lane *lane, tmk_send *s, tmk_time now) {
    s->tries++;
    s->deadline = now + lane->options.retry.try_timeout_ms * TMK_MS;
    if (lane->quiet_until > now) {
        s->deadline += lane->quiet_until - now;
    }
    arm(lane, s->deadline);
}

static void report(tmk_lane *lane, const tmk_send *s, const char *reaction, tmk_time delay) {
    tmk_trouble t = {.error = &s->error,
                     .operation = "send",
                     .partition = lane->options.partition,
                     .reaction = reaction,
                     .delay_ms = delay / TMK_MS,
                     .attempt = s->tries};

    tmk_core_report(lane->core, &t);
}

/* Puts a send back in front of those that came after it. */
static void put_back(tmk_lane *lane, tmk_send *s) {
    tmk_list *at = tmk_list_first(&lane->waiting);

    while (at != NULL && tmk_container_of(at, tmk_send, node)->number < s->number) {
        at = tmk_list_next(&lane->waiting, at);
    }
    if (at == NULL) {
        tmk_list_push_back(&lane->waiting, &s->node);
    } else {
        tmk_list_push_back(at, &s->node); /* before `at` */
    }
}

/* The service is busy: all that wait on this link wait longer, without losing their turn. */
static void be_quiet(tmk_lane *lane, tmk_time until) {
    tmk_time now = now_of(lane), more = until - (lane->quiet_until > now ? lane->quiet_until : now);

    if (more <= 0) {
        return;
    }
    lane->quiet_until = until;
    arm(lane, until);
    for (tmk_list *n = tmk_list_first(&lane->waiting); n != NULL;
         n = tmk_list_next(&lane->waiting, n)) {
        tmk_container_of(n, tmk_send, node)->deadline += more;
    }
}

/* A try has failed: another one, or that was it. */
static void fail_try(tmk_lane *lane, tmk_send *s, const tmk_error *why) {
    bool may = !s->unknown || lane->options.resend_unknown;
    tmk_time delay = 0;

    tmk_list_remove(&s->node);
    s->flying = false;
    s->error = *why;
    if (!may || !tmk_resend_after(&lane->options.retry, s->tries, &s->error, &lane->rng, &delay)) {
        tmk_error copy = s->error;

        report(lane, s, "gave up", 0);
        finish(lane, s, &copy);
        return;
    }
    tmk_core_count(&tmk_core_stats(lane->core)->sends_retried, 1);
    s->due = now_of(lane) + delay;
    tmk_list_push_back(&lane->paused, &s->node);
    arm(lane, s->due);
    if (s->error.status == TMK_EBUSY) {
        be_quiet(lane, s->due);
    }
    report(lane, s, s->unknown ? "resend, may be stored twice" : "retry", delay);
}

/* Nobody knows what became of what was on the wire when the link went. */
static void lose_flying(tmk_lane *lane, const tmk_error *why) {
    tmk_error err = *why;
    tmk_send *s;

    err.retryable = true;
    while ((s = first_of(&lane->flying)) != NULL) {
        s->unknown = true;
        tmk_core_count(&tmk_core_stats(lane->core)->sends_unknown, 1);
        fail_try(lane, s, &err);
    }
}

/* ---- what the timer brings ---- */

static void expire_waiting(tmk_lane *lane, tmk_time now, tmk_time *first) {
    tmk_list *next = NULL;
    tmk_error err;

    for (tmk_list *n = tmk_list_first(&lane->waiting); n != NULL; n = next) {
        tmk_send *s = tmk_container_of(n, tmk_send, node);

        next = tmk_list_next(&lane->waiting, n);
        if (now >= s->deadline) {
            (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "send",
                                 "the link took no event within %" PRId64 " ms",
                                 lane->options.retry.try_timeout_ms);
            fail_try(lane, s, &err);
        } else {
            *first = tmk_time_min(*first, s->deadline);
        }
    }
}

static void wake_paused(tmk_lane *lane, tmk_time now, tmk_time *first) {
    tmk_list *next = NULL;

    for (tmk_list *n = tmk_list_first(&lane->paused); n != NULL; n = next) {
        tmk_send *s = tmk_container_of(n, tmk_send, node);

        next = tmk_list_next(&lane->paused, n);
        if (now >= s->due) {
            tmk_list_remove(n);
            begin_try(lane, s, now);
            put_back(lane, s);
        } else {
            *first = tmk_time_min(*first, s->due);
        }
    }
}

/* An answer that is overdue: the link is left, since a late answer could not be told from another.
 */
static void expire_flying(tmk_lane *lane, tmk_time now, tmk_time *first) {
    tmk_time due = TMK_NEVER;

    for (tmk_list *n = tmk_list_first(&lane->flying); n != NULL;
         n = tmk_list_next(&lane->flying, n)) {
        due = tmk_time_min(due, tmk_container_of(n, tmk_send, node)->deadline);
    }
    if (now >= due) {
        tmk_rider_silent(&lane->rider, "the service does not say what became of what was sent");
    } else {
        *first = tmk_time_min(*first, due);
    }
}

static void on_timer(tmk_timer *timer) {
    tmk_lane *lane = tmk_container_of(timer, tmk_lane, timer);
    tmk_time now = now_of(lane), first = lane->quiet_until > now ? lane->quiet_until : TMK_NEVER;

    lane->armed = TMK_NEVER;
    expire_flying(lane, now, &first);
    expire_waiting(lane, now, &first);
    wake_paused(lane, now, &first);
    if (!lane->over) {
        arm(lane, first);
        work(lane);
    }
}

/* ---- sending ---- */

static bool is_too_large(tmk_lane *lane, tmk_send *s) {
    tmk_error err;

    if (lane->limit == 0 || s->message.size <= lane->limit) {
        return false;
    }
    (void)tmk_fail(&err, TMK_ELIMIT, "amqp:link:message-size-exceeded",
                   "%zu bytes are more than the %" PRIu64 " that the service takes at once",
                   s->message.size, lane->limit);
    fail_try(lane, s, &err);
    return true;
}

/* false: the link takes no more now. */
static bool send_next(tmk_lane *lane) {
    tmk_send *s = first_of(&lane->waiting);
    tmk_error err;

    if (s == NULL || lane->amqp == NULL || tmk_amqp_link_ready(lane->amqp) == 0) {
        return false;
    }
    if (is_too_large(lane, s)) {
        return true;
    }
    if (tmk_amqp_link_send(lane->amqp, tmk_str_slice(&s->message), s->batch, s, &err) < 0) {
        fail_try(lane, s, &err);
        return true;
    }
    tmk_list_remove(&s->node);
    tmk_list_push_back(&lane->flying, &s->node);
    s->flying = true;
    return true;
}

static bool is_wanted(const tmk_lane *lane) {
    return lane->asked || !tmk_list_empty(&lane->waiting) || !tmk_list_empty(&lane->flying) ||
           !tmk_list_empty(&lane->paused);
}

static void work(tmk_lane *lane) {
    if (lane->busy || lane->over) {
        return;
    }
    lane->busy = true;
    while (!lane->over && now_of(lane) >= lane->quiet_until && send_next(lane)) {
    }
    lane->busy = false;
    if (!lane->over) {
        tmk_rider_want(&lane->rider, is_wanted(lane));
    }
}

/* ---- what the link tells ---- */

static void on_attached(void *user, uint64_t message_max) {
    tmk_lane *lane = user;

    lane->limit = message_max == 0 ? LIMIT_UNKNOWN : message_max;
    lane->asked = false;
    tmk_rider_attached(&lane->rider);
    lane->options.stands(lane->options.user, lane, lane->limit);
    work(lane);
}

static void on_ended(void *user, const tmk_fault *fault) {
    tmk_lane *lane = user;
    tmk_fault copy = *fault;

    lane->amqp = NULL;
    lose_flying(lane, &copy.error);
    tmk_rider_failed(&lane->rider, &copy);
    work(lane);
}

static void on_credit(void *user) {
    work(user);
}

static void on_outcome(void *user, void *cookie, tmk_outcome outcome, const tmk_error *why) {
    tmk_lane *lane = user;
    tmk_send *s = cookie;
    tmk_error told = *why;

    tmk_rider_heard(&lane->rider);
    switch (outcome) {
    case TMK_OUTCOME_ACCEPTED:
        finish(lane, s, NULL);
        break;
    case TMK_OUTCOME_REJECTED:
    case TMK_OUTCOME_RELEASED:
        fail_try(lane, s, &told);
        break;
    case TMK_OUTCOME_UNKNOWN:
        s->unknown = true;
        fail_try(lane, s, &told);
        break;
    }
    work(lane);
}

static const tmk_amqp_link_ops link_ops = {
    .attached = on_attached,
    .ended = on_ended,
    .credit = on_credit,
    .outcome = on_outcome,
};

/* ---- the rider ---- */

static tmk_status attach(tmk_rider *r, tmk_amqp *a, tmk_error *err) {
    static const char *const capabilities[] = {"com.microsoft:georeplication", NULL};
    tmk_lane *lane = tmk_container_of(r, tmk_lane, rider);
    tmk_str target = TMK_STR_INIT;
    tmk_amqp_link_options o = {.sender = true,
                               .source = lane->options.name,
                               .owner_level = -1,
                               .capabilities = capabilities};
    tmk_status st;

    tmk_names_sender(tmk_core_hub(lane->core), lane->options.partition, &target);
    if (!tmk_str_ok(&target)) {
        st = tmk_fail_retry(err, TMK_ENOMEM, "client", "no memory for a link");
    } else {
        o.target = tmk_str_text(&target);
        st = tmk_amqp_link_open(a, &o, &link_ops, lane, &lane->amqp, err);
    }
    tmk_str_clear(&target);
    return st;
}

static void let_go(tmk_rider *r, bool line_gone) {
    tmk_lane *lane = tmk_container_of(r, tmk_lane, rider);
    tmk_error err;

    if (lane->amqp == NULL) {
        return;
    }
    if (!line_gone) {
        tmk_amqp_link_close(lane->amqp, NULL, NULL);
    }
    lane->amqp = NULL;
    (void)tmk_fail_retry(&err, TMK_EIO, "send", "the link was lost before the answer came");
    lose_flying(lane, &err);
}

static void on_rider_ended(tmk_rider *r, const tmk_error *why) {
    tmk_lane *lane = tmk_container_of(r, tmk_lane, rider);
    tmk_error copy = *why;

    let_go(r, false);
    lane->over = true;
    tmk_timer_stop(tmk_core_loop(lane->core), &lane->timer);
    finish_all(lane, &copy);
    lane->options.over(lane->options.user, lane, &copy);
}

static const tmk_rider_ops rider_ops = {
    .attach = attach,
    .let_go = let_go,
    .ended = on_rider_ended,
};

/* ---- the owner's side ---- */

tmk_status tmk_lane_new(tmk_core *core, const tmk_lane_options *options, tmk_lane **out,
                        tmk_error *err) {
    tmk_lane *lane = tmk_new(tmk_lane);
    tmk_status st;

    if (lane == NULL || tmk_timer_init(tmk_core_loop(core), &lane->timer, on_timer) < 0) {
        tmk_free(lane);
        return tmk_fail(err, TMK_ENOMEM, "producer", "no memory for a link");
    }
    lane->core = core;
    lane->options = *options;
    lane->armed = TMK_NEVER;
    tmk_list_init(&lane->waiting);
    tmk_list_init(&lane->paused);
    tmk_list_init(&lane->flying);
    tmk_rng_seed(&lane->rng, tmk_core_seed(core));
    st = tmk_rider_add(core, &lane->rider, &rider_ops, "send", options->partition, err);
    if (st < 0) {
        tmk_timer_clear(tmk_core_loop(core), &lane->timer);
        tmk_free(lane);
        return st;
    }
    tmk_mend_want(&lane->rider.mend, false);
    *out = lane;
    return TMK_OK;
}

tmk_lane *tmk_lane_free(tmk_lane *lane) {
    tmk_error err;

    if (lane == NULL) {
        return NULL;
    }
    tmk_assert(!lane->busy);
    lane->over = true;
    if (lane->amqp != NULL) {
        tmk_amqp_link_close(lane->amqp, NULL, NULL);
        lane->amqp = NULL;
    }
    (void)tmk_fail(&err, TMK_ECANCELED, "producer",
                   "the producer was closed before the answer came");
    finish_all(lane, &err);
    tmk_rider_remove(&lane->rider);
    tmk_timer_clear(tmk_core_loop(lane->core), &lane->timer);
    tmk_free(lane);
    return NULL;
}

void tmk_lane_push(tmk_lane *lane, tmk_send *send) {
    tmk_assert(!lane->over);
    begin_try(lane, send, now_of(lane));
    tmk_list_push_back(&lane->waiting, &send->node);
    work(lane);
}

void tmk_lane_open(tmk_lane *lane) {
    if (lane->limit != 0 && lane->amqp != NULL) {
        return;
    }
    lane->asked = true;
    work(lane);
}

bool tmk_lane_is_over(const tmk_lane *lane) {
    return lane->over;
}

uint64_t tmk_lane_limit(const tmk_lane *lane) {
    return lane->limit;
}
