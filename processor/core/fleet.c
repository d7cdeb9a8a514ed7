/* Composition of a fleet: what comes first, whose answer it is. */
#include "core/fleet_inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"

/* News that nobody fetches is dropped beyond this, the oldest first. */
#define NEWS_MAX 256
/* A row of failing requests is reported at its first and then this often. */
#define REPORT_EVERY (30 * TMK_SEC)

/* --- options --- */

void tmk_fleet_options_init(tmk_fleet_options *opts, tmk_claims claims) {
    bool shared = claims == TMK_CLAIMS_SHARED;

    *opts = (tmk_fleet_options){
        .claims = claims,
        .heartbeat = shared ? 10 * TMK_SEC : 5 * TMK_SEC,
        .expiry = shared ? 60 * TMK_SEC : 20 * TMK_SEC,
        .heartbeat_try = 2 * TMK_SEC,
        .request_try = 5 * TMK_SEC,
        .members_every = 10 * TMK_SEC,
        .partitions_every = 60 * TMK_SEC,
        .look_every = 500 * TMK_MS,
        .gather = 800 * TMK_MS,
        .gather_max = 4 * TMK_SEC,
        .probation = 30 * TMK_SEC,
        .probation_max = 300 * TMK_SEC,
        .eviction_memory = 600 * TMK_SEC,
        .settle_look = 5 * TMK_SEC,
        .leave_wait = TMK_SEC,
        .lanes = TMK_FLEET_LANES_MAX,
        .weight = 100,
        .weigh_every = TMK_MIN,
        .weigh_moves = 4,
        .replay_max = 100000,
    };
}

static bool is_word(const char *text) {
    size_t size = 0;

    for (; text[size] != '\0'; size++) {
        if (text[size] <= ' ' || text[size] > '~' || size >= TMK_FLEET_NAME_MAX) {
            return false;
        }
    }
    return true;
}

static tmk_status check_texts(const tmk_fleet_options *o, tmk_error *err) {
    if (o->instance == NULL || o->instance[0] == '\0' || !is_word(o->instance)) {
        return tmk_fail(err, TMK_EINVAL, "fleet",
                        "an instance's name is 1 to %d printable ASCII characters without blanks",
                        TMK_FLEET_NAME_MAX);
    }
    if (o->host != NULL && !is_word(o->host)) {
        return tmk_fail(err, TMK_EINVAL, "fleet",
                        "a host's name is at most %d printable ASCII characters without blanks",
                        TMK_FLEET_NAME_MAX);
    }
    return TMK_OK;
}

static tmk_status check_times(const tmk_fleet_options *o, tmk_error *err) {
    const tmk_time positive[] = {
        o->heartbeat,     o->expiry,        o->heartbeat_try,   o->request_try,      o->gather,
        o->members_every, o->look_every,    o->gather_max,      o->partitions_every, o->probation,
        o->settle_look,   o->probation_max, o->eviction_memory, o->weigh_every};

    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++) {
        if (positive[i] < TMK_MS || positive[i] > (int64_t)24 * 60 * TMK_MIN) {
            return tmk_fail(err, TMK_EINVAL, "fleet",
                            "each interval must be between 1 ms and a day");
        }
    }
    if (o->heartbeat >= o->expiry / 3) {
        return tmk_fail(err, TMK_EINVAL, "fleet",
                        "a heartbeat of %" PRId64 " ms is too seldom for an expiry of %" PRId64
                        " ms: use less than a third",
                        o->heartbeat / TMK_MS, o->expiry / TMK_MS);
    }
    if (o->gather > o->gather_max || o->leave_wait < 0) {
        return tmk_fail(err, TMK_EINVAL, "fleet",
                        "gather must not be longer than gather_max, nor leave_wait negative");
    }
    return TMK_OK;
}

static tmk_status check_options(const tmk_fleet_options *o, tmk_error *err) {
    tmk_status st = check_texts(o, err);

    if (st == TMK_OK) {
        st = check_times(o, err);
    }
    if (st == TMK_OK && (o->lanes < 1 || o->lanes > TMK_FLEET_LANES_MAX)) {
        st = tmk_fail(err, TMK_EINVAL, "fleet", "lanes must be 1 to %d", TMK_FLEET_LANES_MAX);
    }
    if (st == TMK_OK && (o->weight < 1 || o->weight > TMK_FLEET_WEIGHT_MAX)) {
        st = tmk_fail(err, TMK_EINVAL, "fleet", "the weight must be 1 to %d", TMK_FLEET_WEIGHT_MAX);
    }
    if (st == TMK_OK && (o->weigh_moves < 1 || o->weigh_moves > TMK_WEIGH_MOVES_MAX)) {
        st = tmk_fail(err, TMK_EINVAL, "fleet", "weigh_moves must be 1 to %d", TMK_WEIGH_MOVES_MAX);
    }
    if (st == TMK_OK && o->weighted && o->claims == TMK_CLAIMS_SHARED) {
        st = tmk_fail(err, TMK_EINVAL, "fleet",
                      "balance by load needs claims by lease: official processors tell no loads");
    }
    if (st == TMK_OK && o->replay_max < 0) {
        st = tmk_fail(err, TMK_EINVAL, "fleet", "the replay bound must not be negative");
    }
    return st;
}

/* --- life of the object --- */

tmk_status tmk_fleet_new(const tmk_fleet_options *opts, const tmk_rng *seed, tmk_fleet **out,
                         tmk_error *err) {
    tmk_status st = check_options(opts, err);
    tmk_fleet *f = NULL;

    if (st < 0) {
        return st;
    }
    f = tmk_new(tmk_fleet);
    if (f == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "fleet", "no memory for a fleet");
    }
    f->opts = *opts;
    memcpy(f->instance, opts->instance, strlen(opts->instance) + 1);
    if (opts->host != NULL) {
        memcpy(f->host, opts->host, strlen(opts->host) + 1);
    }
    f->opts.instance = f->instance;
    f->opts.host = f->host;
    f->rng = *seed;
    f->answered_at = -1;
    f->reported_at = -1;
    f->now = INT64_MIN;
    f->due = TMK_NEVER;
    tmk_asking_init(&f->asking, opts->lanes);
    tmk_view_init(&f->view);
    tmk_ring_init(&f->news, sizeof(tmk_fleet_news));
    tmk_list_init(&f->ready);
    tmk_list_init(&f->waiting);
    tmk_life_init(f);
    tmk_watch_start(f, 0);
    f->shared = (tmk_shared){.listed_at = -1, .settle_until = -1, .owners = 1};
    *out = f;
    return TMK_OK;
}

tmk_fleet *tmk_fleet_free(tmk_fleet *f) {
    if (f == NULL) {
        return NULL;
    }
    tmk_heap_clear(&f->timers);
    for (size_t i = 0; i < f->holding_count; i++) {
        tmk_holding_free(f->holdings[i]);
    }
    tmk_free(f->holdings);
    tmk_free(f->owners);
    tmk_free(f->plan_members);
    tmk_free(f->plan_places);
    tmk_free(f->shared.parts);
    tmk_weigh_clear(f);
    tmk_map_clear(&f->by_id, NULL);
    tmk_view_clear(&f->view);
    tmk_ring_clear(&f->news);
    tmk_free(f);
    return NULL;
}

/* --- partitions --- */

/* "2" before "10": all instances must sort alike, and people expect this. */
static int by_number(const void *a, const void *b) {
    const char *left = (*(tmk_holding *const *)a)->id;
    const char *right = (*(tmk_holding *const *)b)->id;
    size_t left_size = strlen(left), right_size = strlen(right);

    if (left_size != right_size) {
        return left_size < right_size ? -1 : 1;
    }
    return strcmp(left, right);
}

static tmk_status add_partition(tmk_fleet *f, const char *id) {
    tmk_holding *h = tmk_holding_new(id);

    if (h == NULL || tmk_map_put(&f->by_id, tmk_slice_str(id), h, NULL) < 0) {
        tmk_holding_free(h);
        return TMK_ENOMEM;
    }
    f->holdings[f->holding_count++] = h;
    return TMK_OK;
}

static tmk_status reserve_partitions(tmk_fleet *f, size_t count) {
    tmk_holding **holdings = tmk_resize(f->holdings, count, sizeof *holdings);

    if (holdings == NULL) {
        return TMK_ENOMEM;
    }
    f->holdings = holdings;
    if (tmk_heap_reserve(&f->timers, count) < 0) {
        return TMK_ENOMEM;
    }
    return tmk_plan_reserve(f, f->view.count, count);
}

tmk_status tmk_fleet_partitions(tmk_fleet *f, tmk_time now, const char *const *ids, size_t count,
                                tmk_error *err) {
    size_t before = f->holding_count;
    tmk_status st = TMK_OK;

    for (size_t i = 0; i < count; i++) {
        if (ids[i][0] == '\0' || strlen(ids[i]) >= TMK_FLEET_ID_ROOM) {
            return tmk_fail(err, TMK_EINVAL, "fleet", "'%.40s' cannot be a partition's id", ids[i]);
        }
    }
    st = reserve_partitions(f, before + count);
    for (size_t i = 0; st == TMK_OK && i < count; i++) {
        if (tmk_map_get(&f->by_id, tmk_slice_str(ids[i])) == NULL) {
            st = add_partition(f, ids[i]);
        }
    }
    while (st < 0 && f->holding_count > before) {
        tmk_holding *h = f->holdings[--f->holding_count];

        (void)tmk_map_remove(&f->by_id, tmk_slice_str(h->id));
        tmk_holding_free(h);
    }
    if (st < 0) {
        return tmk_fail(err, st, "fleet", "no memory for %zu partitions", count);
    }
    if (f->holding_count == before) {
        return TMK_OK;
    }
    qsort(f->holdings, f->holding_count, sizeof *f->holdings, by_number);
    for (size_t i = 0; i < f->holding_count; i++) {
        f->holdings[i]->place = i;
    }
    f->records_asked = -1;
    f->planned = false;
    tmk_weigh_forget(f);
    tmk_plan_changed(f, now);
    tmk_watch_round(f);
    return TMK_OK;
}

static tmk_holding *find(tmk_fleet *f, const char *partition) {
    return tmk_map_get(&f->by_id, tmk_slice_str(partition));
}

/* --- news --- */

static void push_news(tmk_fleet *f, const tmk_fleet_news *news) {
    if (f->news.count >= NEWS_MAX) {
        (void)tmk_ring_pop(&f->news, NULL);
    }
    (void)tmk_ring_push(&f->news,
                        news); /* without memory it is lost, and so is the journal's line */
}

void tmk_fleet_news_note(tmk_fleet *f, tmk_fleet_note note, const tmk_holding *h,
                         int64_t generation, const char *member) {
    tmk_fleet_news news = {.kind = TMK_FLEET_NOTE,
                           .note = note,
                           .partition = h == NULL ? NULL : h->id,
                           .generation = generation};

    memcpy(news.member, member, strlen(member) + 1);
    push_news(f, &news);
}

void tmk_fleet_news_report(tmk_fleet *f, const tmk_holding *h, const tmk_error *err,
                           const char *next) {
    tmk_fleet_news news = {.kind = TMK_FLEET_REPORT,
                           .partition = h == NULL ? NULL : h->id,
                           .error = *err,
                           .next = next};

    push_news(f, &news);
    tmk_debug(&f->opts.log, "fleet.trouble", "partition='%s' origin='%s' error='%s' next='%s'",
              h == NULL ? "" : h->id, err->origin, err->text, next);
}

static bool take_news(tmk_fleet *f, tmk_fleet_act *out) {
    tmk_fleet_news *n = &f->news_out;

    if (!tmk_ring_pop(&f->news, n)) {
        return false;
    }
    out->kind = n->kind;
    out->note = n->note;
    out->partition = n->partition;
    out->generation = n->generation;
    out->member = n->member;
    out->error = &n->error;
    out->next = n->next;
    return true;
}

/* --- asking --- */

bool tmk_fleet_submit(tmk_fleet *f, tmk_time now, tmk_holding *h, tmk_time try_, uint64_t *ticket,
                      tmk_fleet_act *out) {
    tmk_asked *asked = tmk_asking_take(&f->asking, f->op.kind, h, now, try_);

    if (asked == NULL) {
        return false;
    }
    asked->life = f->life.number;
    f->op.timeout_ms = try_ / TMK_MS;
    f->counts.requests[f->op.kind]++;
    *ticket = asked->ticket;
    out->kind = TMK_FLEET_SUBMIT;
    out->ticket = asked->ticket;
    out->op = &f->op;
    out->channel = f->op.kind == TMK_STORE_MEMBER_RENEW || f->op.kind == TMK_STORE_MEMBER_JOIN ||
                           f->op.kind == TMK_STORE_PARTITION_RENEW
                       ? TMK_FLEET_HEARTBEAT
                       : TMK_FLEET_BULK;
    out->partition = h == NULL ? NULL : h->id;
    return true;
}

tmk_time tmk_fleet_try(const tmk_fleet *f, unsigned failures) {
    return tmk_time_min(f->opts.request_try,
                        f->opts.heartbeat_try << (failures < 8 ? failures : 8));
}

void tmk_fleet_errand_failed(tmk_fleet *f, tmk_errand *e, tmk_time now, const tmk_backoff *pause) {
    e->wanted = true;
    e->failures++;
    e->not_before = tmk_time_after(now, tmk_backoff_delay(pause, e->failures, &f->rng));
}

static void report_failure(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                           const tmk_store_result *result) {
    tmk_error err = result->error;

    if (result->status == TMK_EBUSY) {
        f->counts.throttled++;
    } else {
        f->counts.failed++;
    }
    if (f->reported_at >= 0 && f->reported_at >= f->answered_at &&
        now - f->reported_at < REPORT_EVERY) {
        return; /* of the same row of failures */
    }
    if (err.status == TMK_OK) {
        (void)tmk_fail(&err, result->status, "store", "the store did not answer in time");
    }
    f->reported_at = now;
    tmk_fleet_news_report(f, asked->holding, &err, "the request is repeated");
}

static void dispatch(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                     const tmk_store_result *result) {
    switch (asked->kind) {
    case TMK_STORE_MEMBER_JOIN:
    case TMK_STORE_MEMBER_RENEW:
    case TMK_STORE_MEMBER_WRITE:
    case TMK_STORE_MEMBER_LEAVE:
        tmk_life_answered(f, now, asked, result);
        break;
    case TMK_STORE_MEMBER_LIST:
    case TMK_STORE_MEMBER_EVICT:
    case TMK_STORE_MEMBER_REMOVE:
    case TMK_STORE_CALL_RING:
    case TMK_STORE_CALL_LOOK:
    case TMK_STORE_PARTITION_LIST:
        tmk_watch_answered(f, now, asked, result);
        break;
    default:
        tmk_holding_answered(f, now, asked, result);
        break;
    }
}

static void answered(tmk_fleet *f, tmk_time now, tmk_asked *slot, const tmk_store_result *result) {
    tmk_asked asked = *slot;

    tmk_asking_answered(&f->asking, slot, now, result->status, result->retry_after_ms, &f->rng);
    if (asked.life != f->life.number) {
        return; /* what the former life asked for is none of ours */
    }
    if (result->status < 0) {
        report_failure(f, now, &asked, result);
    } else {
        f->answered_at = now;
    }
    dispatch(f, now, &asked, result);
}

static void give_up_overdue(tmk_fleet *f, tmk_time now) {
    static const tmk_store_result none = {.status = TMK_ETIMEOUT, .version = ""};
    tmk_asked *asked = NULL;

    while ((asked = tmk_asking_overdue(&f->asking, now)) != NULL) {
        answered(f, now, asked, &none);
    }
}

/* Time never goes back here, and whoever slept learns it before anything else. */
static tmk_time enter(tmk_fleet *f, tmk_time now) {
    f->now = now > f->now ? now : f->now;
    tmk_life_wake_up(f, f->now);
    return f->now;
}

/* --- stepping --- */

void tmk_fleet_wake(tmk_fleet *f, tmk_holding *h) {
    tmk_list_remove(&h->node);
    tmk_list_push_back(&f->ready, &h->node);
}

void tmk_fleet_wake_all(tmk_fleet *f) {
    for (size_t i = 0; i < f->holding_count; i++) {
        if (!tmk_list_linked(&f->holdings[i]->node)) {
            tmk_list_push_back(&f->ready, &f->holdings[i]->node);
        }
    }
}

void tmk_fleet_stir(tmk_fleet *f, tmk_time now) {
    f->stirred_at = now;
    f->recount = true;
}

static void wake_due(tmk_fleet *f, tmk_time now) {
    tmk_heap_node *first = NULL;

    while ((first = tmk_heap_first(&f->timers)) != NULL && first->due <= now) {
        tmk_heap_remove(&f->timers, first);
        tmk_fleet_wake(f, tmk_container_of(first, tmk_holding, timer));
    }
}

static bool step_holdings(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    tmk_list *node = NULL;

    for (;;) {
        if (tmk_list_empty(&f->ready) && tmk_asking_lane_free(&f->asking, now) &&
            (node = tmk_list_pop_front(&f->waiting)) != NULL) {
            tmk_list_push_back(&f->ready, node);
        }
        node = tmk_list_pop_front(&f->ready);
        if (node == NULL) {
            return false;
        }
        tmk_holding *h = tmk_container_of(node, tmk_holding, node);

        if (tmk_holding_step(f, h, now, out)) {
            if (!tmk_list_linked(&h->node)) {
                tmk_list_push_front(&f->ready, &h->node); /* it may have more to do */
            }
            return true;
        }
    }
}

static bool take_flag(bool *flag, tmk_fleet_act_kind kind, tmk_fleet_act *out) {
    if (!*flag) {
        return false;
    }
    *flag = false;
    out->kind = kind;
    return true;
}

static bool is_left(const tmk_fleet *f) {
    if (f->life.phase != TMK_LIFE_GONE || f->left_said || f->news.count > 0) {
        return false;
    }
    for (size_t i = 0; i < f->holding_count; i++) {
        if (f->holdings[i]->link != TMK_LINK_CLOSED) {
            return false;
        }
    }
    return true;
}

static bool is_ready(const tmk_fleet *f) {
    if (f->ready_said || !f->life.active || !f->planned || f->expecting > 0 || f->recount) {
        return false;
    }
    for (size_t i = 0; i < f->holding_count; i++) {
        if (f->holdings[i]->state == TMK_HOLDING_HELD && f->holdings[i]->link != TMK_LINK_OPEN) {
            return false;
        }
    }
    return true;
}

static bool take_milestone(tmk_fleet *f, tmk_fleet_act *out) {
    if (is_ready(f)) {
        f->ready_said = true;
        out->kind = TMK_FLEET_READY;
        return true;
    }
    if (is_left(f)) {
        f->left_said = true;
        out->kind = TMK_FLEET_LEFT;
        return true;
    }
    return false;
}

static bool step(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    return take_flag(&f->fence_act, TMK_FLEET_FENCE, out) || tmk_life_step(f, now, out) ||
           take_news(f, out) || step_holdings(f, now, out) ||
           take_flag(&f->unfence_act, TMK_FLEET_UNFENCE, out) || tmk_watch_step(f, now, out);
}

bool tmk_fleet_next(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    *out = (tmk_fleet_act){0};
    if (f->left_said) {
        return false;
    }
    now = enter(f, now);
    give_up_overdue(f, now);
    wake_due(f, now);
    tmk_plan_tick(f, now);
    if (step(f, now, out)) {
        return true;
    }
    if (f->recount) { /* something was finished on the way, and there may be more to do for it */
        tmk_plan_tick(f, now);
        if (step(f, now, out)) {
            return true;
        }
    }
    if (take_milestone(f, out)) {
        return true;
    }
    f->due = tmk_fleet_deadline(f);
    return false;
}

tmk_time tmk_fleet_deadline(const tmk_fleet *f) {
    const tmk_heap_node *first = tmk_heap_first(&f->timers);
    tmk_time due = TMK_NEVER;

    if (f->left_said) {
        return TMK_NEVER;
    }
    if (!tmk_list_empty(&f->ready) || f->news.count > 0 || f->fence_act || f->unfence_act) {
        return f->now;
    }
    if (first != NULL) {
        due = first->due;
    }
    if (!tmk_list_empty(&f->waiting) && f->asking.lanes_used < f->asking.lanes) {
        due = tmk_time_min(due, f->asking.closed_until);
    }
    due = tmk_time_min(due, tmk_asking_deadline(&f->asking));
    due = tmk_time_min(due, tmk_life_deadline(f));
    due = tmk_time_min(due, tmk_watch_deadline(f));
    return tmk_time_min(due, tmk_plan_deadline(f));
}

/* --- what the caller tells --- */

void tmk_fleet_on_answer(tmk_fleet *f, tmk_time now, uint64_t ticket,
                         const tmk_store_result *result) {
    tmk_asked *asked = NULL;

    now = enter(f, now);
    asked = tmk_asking_find(&f->asking, ticket);
    if (asked != NULL) {
        answered(f, now, asked, result);
    }
}

void tmk_fleet_on_opened(tmk_fleet *f, tmk_time now, const char *partition) {
    tmk_holding *h = find(f, partition);

    (void)enter(f, now);
    if (h != NULL && h->link == TMK_LINK_OPENING) {
        h->link = TMK_LINK_OPEN;
        h->link_down = false;
        f->recount = true;
        tmk_fleet_wake(f, h);
    } else if (h != NULL && h->link == TMK_LINK_OPEN && !TMK_MUTANT(REOPENED_LINK_IS_DOWN)) {
        tmk_fleet_on_link(f, now, partition, true); /* in place of one that had ended */
    }
}

tmk_status tmk_fleet_on_drained(tmk_fleet *f, tmk_time now, const char *partition,
                                const tmk_checkpoint *final) {
    tmk_holding *h = find(f, partition);

    (void)enter(f, now);
    if (h == NULL || (h->link != TMK_LINK_DRAINING && h->link != TMK_LINK_STOPPING)) {
        return TMK_OK;
    }
    if (h->link == TMK_LINK_DRAINING && final->present) {
        tmk_status st = tmk_fleet_checkpoint(f, now, partition, final);

        if (st < 0) {
            return st;
        }
    }
    h->link = TMK_LINK_CLOSED;
    tmk_fleet_stir(f, f->now);
    tmk_fleet_wake(f, h);
    return TMK_OK;
}

void tmk_fleet_on_stopped(tmk_fleet *f, tmk_time now, const char *partition) {
    tmk_holding *h = find(f, partition);

    (void)enter(f, now);
    if (h != NULL && h->link == TMK_LINK_STOPPING) {
        h->link = TMK_LINK_CLOSED;
        tmk_fleet_stir(f, f->now);
        tmk_fleet_wake(f, h);
    }
}

void tmk_fleet_on_stolen(tmk_fleet *f, tmk_time now, const char *partition) {
    tmk_holding *h = find(f, partition);

    now = enter(f, now);
    if (h == NULL || h->link == TMK_LINK_CLOSED || h->link == TMK_LINK_STOPPING) {
        return;
    }
    h->stolen = now - h->stolen_at < 5 * TMK_MIN ? h->stolen + 1 : 1;
    h->stolen_at = now;
    h->doubt = h->look = !TMK_MUTANT(FIGHT);
    h->link = TMK_LINK_STOPPING;
    h->acts = (h->acts & (TMK_ACT_WRITTEN | TMK_ACT_REFUSED)) | TMK_ACT_STOP;
    h->reason = TMK_FLEET_BECAUSE_STOLEN;
    tmk_watch_round(f);
    tmk_fleet_stir(f, now);
    tmk_fleet_wake(f, h);
}

void tmk_fleet_on_link(tmk_fleet *f, tmk_time now, const char *partition, bool up) {
    tmk_holding *h = find(f, partition);

    now = enter(f, now);
    if (h == NULL) {
        return;
    }
    if (tmk_fleet_is_shared(f)) {
        tmk_shared_on_link(f, h, now, up);
        return;
    }
    h->link_down = !up;
    f->life.lease_over = false;
    if (up && h->fenced) {
        h->fenced = false; /* the hub has taken our owner level again */
        h->acts = (h->acts & ~(unsigned)TMK_ACT_FENCE) | TMK_ACT_UNFENCE;
        tmk_fleet_wake(f, h);
    }
}

/* Whether `c` is older than what is known to be final; without numbers nobody can tell. */
static bool goes_back(const tmk_holding *h, const tmk_checkpoint *c) {
    tmk_checkpoint newest = tmk_kept_view(&h->final);

    return tmk_checkpoint_sequence(&newest) > tmk_checkpoint_sequence(c) &&
           !TMK_MUTANT(CHECKPOINT_MAY_GO_BACK);
}

static void hold_back(tmk_fleet *f, tmk_holding *h) {
    int64_t sequence = h->final.sequence_known ? h->final.sequence : -1;
    int64_t saved = h->saved_sequence > h->base_sequence ? h->saved_sequence : h->base_sequence;

    if (!h->held_back && f->opts.replay_max > 0 && sequence - saved > f->opts.replay_max) {
        h->held_back = true;
        h->acts |= TMK_ACT_HOLD;
    }
}

static tmk_status take_final(tmk_fleet *f, tmk_holding *h, const tmk_checkpoint *checkpoint) {
    tmk_status st = tmk_kept_set(&h->final, checkpoint);

    if (st < 0) {
        return st;
    }
    h->final_no++;
    if (h->base_sequence < 0) {
        h->base_sequence = tmk_checkpoint_sequence(checkpoint);
    }
    hold_back(f, h);
    tmk_fleet_wake(f, h);
    return TMK_OK;
}

tmk_status tmk_fleet_checkpoint(tmk_fleet *f, tmk_time now, const char *partition,
                                const tmk_checkpoint *checkpoint) {
    tmk_holding *h = find(f, partition);

    (void)enter(f, now);
    if (h == NULL || !checkpoint->present ||
        (h->state != TMK_HOLDING_HELD && h->state != TMK_HOLDING_RELEASING) ||
        goes_back(h, checkpoint)) {
        return TMK_OK;
    }
    return take_final(f, h, checkpoint);
}

tmk_status tmk_fleet_rewind(tmk_fleet *f, tmk_time now, const char *partition,
                            const tmk_checkpoint *checkpoint) {
    tmk_holding *h = find(f, partition);

    (void)enter(f, now);
    if (h == NULL || !checkpoint->present || h->state != TMK_HOLDING_HELD) {
        return TMK_OK;
    }
    h->base_sequence = -1;
    h->saved_sequence = -1;
    return take_final(f, h, checkpoint);
}

void tmk_fleet_stop(tmk_fleet *f, tmk_time now) {
    now = enter(f, now);
    if (f->life.stopping) {
        return;
    }
    f->life.stopping = true;
    f->life.active = false;
    f->life.leave_at = tmk_host_others_serve(f) ? tmk_time_after(now, f->opts.leave_wait) : now;
    for (size_t i = 0; i < f->view.count; i++) {
        f->view.members[i].remove =
            f->view.members[i].remove || tmk_host_forgiven(f, &f->view.members[i]);
    }
    tmk_plan_changed(f, now);
    tmk_watch_round(f);
    tmk_fleet_stir(f, now);
    tmk_fleet_wake_all(f);
}

void tmk_fleet_load(tmk_fleet *f, unsigned load) {
    f->life.load = load > 1000 ? 1000 : load;
}

/* --- what can be seen --- */

const char *tmk_fleet_id(const tmk_fleet *f) {
    return f->life.id;
}

tmk_fleet_state tmk_fleet_state_now(const tmk_fleet *f) {
    switch (f->life.phase) {
    case TMK_LIFE_IN:
        return f->life.active                     ? TMK_FLEET_MEMBER
               : f->now < f->life.probation_until ? TMK_FLEET_PROBATION
                                                  : TMK_FLEET_STARTING;
    case TMK_LIFE_LEAVING:
    case TMK_LIFE_ENDING:
        return TMK_FLEET_LEAVING;
    case TMK_LIFE_GONE:
        return TMK_FLEET_GONE;
    default:
        return TMK_FLEET_STARTING;
    }
}

bool tmk_fleet_fenced(const tmk_fleet *f) {
    return f->life.fenced;
}

bool tmk_fleet_store_reachable(const tmk_fleet *f) {
    return f->answered_at >= 0 && f->now - f->answered_at <= 2 * f->opts.heartbeat;
}

const tmk_fleet_counts *tmk_fleet_counted(const tmk_fleet *f) {
    return &f->counts;
}

size_t tmk_fleet_member_count(const tmk_fleet *f) {
    return f->view.count;
}

void tmk_fleet_member_at(const tmk_fleet *f, size_t index, tmk_fleet_member_info *out) {
    const tmk_view_member *m = &f->view.members[index];

    *out =
        (tmk_fleet_member_info){.id = m->id,
                                .host = m->text.host,
                                .state = m->text.state,
                                .self = tmk_life_is_self(f, m->id),
                                .alive = m->alive,
                                .evicted = m->evicted,
                                .same_view = f->view_hash != 0 && m->text.view == f->view_hash,
                                .same_round = f->weigh.pair != 0 && m->text.pair == f->weigh.pair,
                                .weight = m->text.weight,
                                .load = m->text.load};
}

size_t tmk_fleet_partition_count(const tmk_fleet *f) {
    return f->holding_count;
}

static tmk_fleet_holding holding_of(const tmk_holding *h) {
    switch (h->state) {
    case TMK_HOLDING_NONE:
        return TMK_FLEET_NOT_OURS;
    case TMK_HOLDING_TAKING:
        return TMK_FLEET_CLAIMING;
    case TMK_HOLDING_HELD:
        return h->doubt                       ? TMK_FLEET_IN_DOUBT
               : h->link == TMK_LINK_DRAINING ? TMK_FLEET_HANDING_OVER
                                              : TMK_FLEET_HELD;
    default:
        return TMK_FLEET_HANDING_OVER;
    }
}

void tmk_fleet_partition_at(const tmk_fleet *f, size_t index, tmk_fleet_partition_info *out) {
    const tmk_holding *h = f->holdings[index];

    *out = (tmk_fleet_partition_info){
        .id = h->id,
        .holding = holding_of(h),
        .owner = h->state == TMK_HOLDING_HELD ? f->life.id : h->record.owner,
        .planned = tmk_plan_target(f, h),
        .generation = h->state >= TMK_HOLDING_HELD ? h->generation : h->record.generation,
        .link_open = h->link == TMK_LINK_OPEN,
        .by_load = h->weighed,
        .sequence = h->state >= TMK_HOLDING_HELD ? h->saved_sequence : h->record.sequence};
}
