/*
 * This instance's own membership.
 *
 *   OUT -> FIRST_LOOK -> JOINING -> IN -> LEAVING -> ENDING -> GONE
 *    ^                              |
 *    +------------ evicted ---------+
 *
 * A heartbeat is a renewal of our lease. It counts from when it was sent: the
 * store dates it from some later moment, so we never believe in a lease that
 * has ended. Each try has two seconds, for a renewal that waits behind a slow
 * request is no better than none.
 *
 * The fence: whoever is stepped late, and finds its lease run out meanwhile,
 * may have been evicted in its sleep. It dispatches nothing before a renewal
 * that was sent after the wake-up is granted: then nobody has evicted it. An
 * outage of the store is no sleep: there we are stepped in time, and go on while
 * the links live.
 */
#include "core/fleet_inside.h"

#include <stdio.h>
#include <string.h>

/* Later than promised by so much, somebody was asleep. */
#define LATE TMK_SEC
/* The load in our record follows at most this often. */
#define LOAD_EVERY TMK_MIN

static const tmk_backoff renew_pause = {200 * TMK_MS, TMK_SEC, 2.0, 0.5};
static const tmk_backoff write_pause = {200 * TMK_MS, 5 * TMK_SEC, 2.0, 0.5};

void tmk_life_init(tmk_fleet *f) {
    f->life = (tmk_life){.phase = TMK_LIFE_OUT, .evicted_at = -1, .lease_over = true};
    f->life.leave_at = TMK_NEVER;
}

bool tmk_life_in(const tmk_fleet *f) {
    return f->life.phase == TMK_LIFE_IN || f->life.phase == TMK_LIFE_LEAVING;
}

bool tmk_life_is_self(const tmk_fleet *f, const char *id) {
    return f->life.number > 0 && strcmp(id, f->life.id) == 0;
}

tmk_time tmk_life_lease_end(const tmk_fleet *f) {
    return tmk_time_after(f->life.accepted_sent, f->opts.expiry);
}

bool tmk_life_healthy(const tmk_fleet *f, tmk_time now) {
    return tmk_life_in(f) && !f->life.fenced && now - f->life.accepted_at <= 2 * f->opts.heartbeat;
}

bool tmk_life_may_judge(const tmk_fleet *f, tmk_time now, tmk_time asked) {
    if (TMK_MUTANT(STREAK_IGNORED)) {
        return tmk_life_in(f);
    }
    if (TMK_MUTANT(STREAK_NEEDS_ALL) && (f->life.renew.failures > 0 || f->members.failures > 0 ||
                                         f->counts.failed + f->counts.throttled > 0)) {
        return false;
    }
    return tmk_life_healthy(f, now) && asked - f->life.streak_from >= f->opts.expiry;
}

/* --- beginning and end of lives --- */

static void begin(tmk_fleet *f, tmk_time now) {
    tmk_life *l = &f->life;

    l->number++;
    (void)snprintf(l->id, sizeof l->id, "%s~%08x", f->instance, (unsigned)tmk_rng_next(&f->rng));
    tmk_member_token(l->id, "", 0, l->token);
    l->phase = TMK_LIFE_FIRST_LOOK;
    l->join = l->renew = l->write = l->leave = (tmk_errand){0};
    l->written[0] = '\0';
    l->view_written = l->pair_written = 0;
    tmk_weigh_begin(f);
    l->probation_until = 0;
    l->evictions_seen = 0;
    l->leaving_at = TMK_NEVER;
    tmk_watch_start(f, now);
}

static void end(tmk_fleet *f, tmk_time now) {
    tmk_life *l = &f->life;
    bool remembered = l->evicted_at >= 0 && now - l->evicted_at <= f->opts.eviction_memory;

    tmk_fleet_news_note(f, TMK_FLEET_WAS_EVICTED, NULL, 0, l->id);
    f->counts.evicted++;
    l->evictions = remembered ? l->evictions + 1 : 1;
    l->evicted_at = now;
    tmk_view_depart(&f->view, l->id);
    for (size_t i = 0; i < f->holding_count; i++) {
        tmk_holding_lose(f, f->holdings[i], TMK_FLEET_BECAUSE_EVICTED, "");
    }
    l->phase = TMK_LIFE_OUT;
    l->active = false;
    l->lease_over = true;
    tmk_plan_changed(f, now);
}

static void accept(tmk_fleet *f, tmk_time now, tmk_time sent) {
    tmk_life *l = &f->life;

    l->accepted_sent = sent > l->accepted_sent ? sent : l->accepted_sent;
    if (now - sent > f->opts.heartbeat_try + TMK_SEC) {
        l->renew_at = now; /* an answer from before a sleep says nothing about now */
        return;
    }
    if (now - l->accepted_at > 2 * f->opts.heartbeat) {
        l->streak_from = now;
        tmk_fleet_wake_all(f); /* what waited for us to be sure of ourselves */
    }
    l->accepted_at = now;
    l->renew_at = tmk_time_after(
        sent, tmk_rng_between(&f->rng, f->opts.heartbeat * 9 / 10, f->opts.heartbeat * 6 / 5));
}

static void unfence(tmk_fleet *f) {
    if (f->life.fenced) {
        f->life.fenced = false;
        f->unfence_act = true;
        tmk_fleet_wake_all(f);
    }
    for (size_t i = 0; i < f->holding_count; i++) {
        tmk_holding *h = f->holdings[i];

        if (h->fenced) {
            h->fenced = false;
            h->acts = (h->acts & ~(unsigned)TMK_ACT_FENCE) | TMK_ACT_UNFENCE;
            tmk_fleet_wake(f, h);
        }
    }
}

static void on_join(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                    const tmk_store_result *result) {
    tmk_life *l = &f->life;

    if (l->phase != TMK_LIFE_JOINING) {
        return;
    }
    if (result->status < 0) {
        tmk_fleet_errand_failed(f, &l->join, now, &renew_pause);
        return;
    }
    if (result->status != TMK_OK) {
        l->phase =
            TMK_LIFE_OUT; /* our id was evicted before we heard of it; the next life has another */
        return;
    }
    l->phase = l->stopping ? TMK_LIFE_LEAVING : TMK_LIFE_IN;
    l->accepted_sent = asked->sent;
    l->accepted_at = now;
    l->streak_from = now;
    accept(f, now, asked->sent);
    l->lease_over = false;
    unfence(f);
    memcpy(l->written, l->writing, sizeof l->written);
    l->joined_at = now;
    tmk_fleet_news_note(f, TMK_FLEET_JOINED, NULL, 0, l->id);
    tmk_host_call(f);
    tmk_watch_round(f);
    tmk_fleet_stir(f, now);
}

/* --- fence --- */

void tmk_life_wake_up(tmk_fleet *f, tmk_time now) {
    tmk_life *l = &f->life;

    if (f->due == TMK_NEVER || now <= tmk_time_after(f->due, LATE)) {
        return;
    }
    f->due = now;
    if (!tmk_life_in(f) || now < tmk_life_lease_end(f) || TMK_MUTANT(FENCE_FORGOTTEN)) {
        return;
    }
    if (!l->fenced) {
        f->counts.fences++;
        f->fence_act = true;
        f->unfence_act = false;
        tmk_warn(&f->opts.log, "fleet.fenced", "late_ms=%" PRId64,
                 (now - tmk_life_lease_end(f)) / TMK_MS);
    }
    l->fenced = true;
    l->fenced_at = now;
    l->renew.wanted = true;
    l->renew.ticket = TMK_MUTANT(FENCE_ENDS_EARLY) ? l->renew.ticket : 0;
    l->renew.not_before = now;
}

/* A link that is down cannot vouch for us; once the lease is over as well, nothing does. */
static void fence_dead_links(tmk_fleet *f) {
    f->life.lease_over = true;
    for (size_t i = 0; i < f->holding_count; i++) {
        tmk_holding *h = f->holdings[i];

        if (h->link_down && !h->fenced &&
            (h->link == TMK_LINK_OPEN || h->link == TMK_LINK_OPENING)) {
            h->fenced = true;
            h->acts = (h->acts & ~(unsigned)TMK_ACT_UNFENCE) | TMK_ACT_FENCE;
            f->counts.fences++;
            tmk_fleet_wake(f, h);
        }
    }
}

tmk_time tmk_fleet_trust(const tmk_fleet *f) {
    tmk_time stepped = tmk_time_after(f->due == TMK_NEVER ? f->now : f->due, LATE);
    tmk_time lease = tmk_life_lease_end(f);

    if (TMK_MUTANT(FENCE_FORGOTTEN)) {
        return TMK_NEVER;
    }
    return tmk_life_in(f) && lease > stepped ? lease : stepped;
}

/* --- heartbeat --- */

static void on_renew(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                     const tmk_store_result *result) {
    tmk_life *l = &f->life;

    if (!tmk_life_in(f)) {
        return;
    }
    if (result->status < 0) {
        tmk_fleet_errand_failed(f, &l->renew, now, &renew_pause);
        if (result->status == TMK_ETIMEOUT) {
            l->renew.not_before = now;
        }
        return;
    }
    if (result->status != TMK_OK) {
        end(f, now);
        return;
    }
    l->renew.failures = 0;
    l->renew.wanted = false;
    accept(f, now, asked->sent);
    if (now < tmk_life_lease_end(f)) {
        l->lease_over = false;
    }
    if (!l->fenced || asked->sent >= l->fenced_at || TMK_MUTANT(FENCE_ENDS_EARLY)) {
        unfence(f);
    } else {
        l->renew.wanted = true;
    }
}

/* --- our record --- */

static tmk_fleet_state state_to_show(const tmk_fleet *f, tmk_time now) {
    return f->life.stopping                ? TMK_FLEET_LEAVING
           : f->life.active                ? TMK_FLEET_MEMBER
           : now < f->life.probation_until ? TMK_FLEET_PROBATION
                                           : TMK_FLEET_STARTING;
}

static void compose(tmk_fleet *f, tmk_time now, char out[TMK_MEMBER_TEXT_ROOM]) {
    tmk_life *l = &f->life;
    tmk_member_text text = {.state = state_to_show(f, now),
                            .weight = f->opts.weight,
                            .most = f->opts.partitions_max,
                            .view = l->active || l->stopping ? f->view_hash : 0,
                            .weighted = f->opts.weighted,
                            .pair = f->weigh.receives ? f->weigh.pair : 0,
                            .loads = f->weigh.told_at < 0 ? NULL : f->weigh.table};

    if (now >= l->load_at) {
        l->load_shown = l->load;
        l->load_at = tmk_time_after(now, LOAD_EVERY);
    }
    text.load = l->load_shown;
    memcpy(text.host, f->host, sizeof text.host);
    tmk_member_text_write(&text, out);
}

/* The text is made when it is sent, never before: a repeated write must not bring back what was. */
static bool step_write(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    tmk_life *l = &f->life;
    bool again = TMK_MUTANT(STATE_RETRY_OLD) && l->write.failures > 0;

    if (l->write.ticket != 0 || now < l->write.not_before || !tmk_life_in(f)) {
        return false;
    }
    if (l->write.wanted || now >= l->load_at) {
        if (!again) {
            compose(f, now, l->writing);
        }
        l->write.wanted = strcmp(l->writing, l->written) != 0;
    }
    if (!l->write.wanted) {
        return false;
    }
    f->op = (tmk_store_op){.kind = TMK_STORE_MEMBER_WRITE,
                           .id = l->id,
                           .token = l->token,
                           .version = "",
                           .body = l->writing};
    return tmk_fleet_submit(f, now, NULL, tmk_fleet_try(f, l->write.failures), &l->write.ticket,
                            out);
}

static void on_write(tmk_fleet *f, tmk_time now, const tmk_store_result *result) {
    tmk_life *l = &f->life;
    tmk_member_text text;

    if (result->status < 0) {
        tmk_fleet_errand_failed(f, &l->write, now, &write_pause);
        return;
    }
    if (result->status != TMK_OK) {
        l->renew.wanted = true; /* it looks as if we were evicted: the heartbeat will tell */
        l->renew.not_before = now;
        tmk_fleet_errand_failed(f, &l->write, now, &write_pause);
        return;
    }
    l->write = (tmk_errand){.wanted = true}; /* compared once more: it may have changed since */
    memcpy(l->written, l->writing, sizeof l->written);
    if (TMK_MUTANT(STATE_RETRY_OLD)) {
        compose(f, now, l->written); /* and takes it for what it would write now */
    }
    l->written_at = now;
    tmk_member_text_read(l->written, &text);
    if (text.state == TMK_FLEET_LEAVING && l->leaving_at == TMK_NEVER) {
        l->leaving_at = now;
        tmk_fleet_wake_all(f);
    }
    if (text.view != l->view_written || text.pair != l->pair_written) {
        l->view_written = text.view;
        l->pair_written = text.pair;
        tmk_watch_ring_concerned(f, false);
    }
}

/* --- what a list says about us --- */

/* A write that was given up may have arrived late and brought back an older text. */
static void check_own_record(tmk_fleet *f, tmk_time now, const tmk_view_member *self) {
    tmk_member_text text;
    tmk_life *l = &f->life;

    if (self->evicted || !self->alive) {
        l->renew.wanted = true;
        l->renew.not_before = tmk_time_min(l->renew.not_before, now);
        return;
    }
    if (tmk_host_is_asked(f, self)) {
        l->written[0] = '\0';
        l->write.wanted = true;
    }
    tmk_member_text_read(l->written, &text);
    if (f->view.asked > l->written_at && l->write.ticket == 0 &&
        (text.state != self->text.state || text.view != self->text.view ||
         text.pair != self->text.pair) &&
        !TMK_MUTANT(STATE_RETRY_OLD)) {
        l->written[0] = '\0';
        l->write.wanted = true;
    }
}

void tmk_life_listed(tmk_fleet *f, tmk_time now) {
    tmk_life *l = &f->life;
    const tmk_view_member *self = tmk_view_find(&f->view, l->id);

    if (l->phase == TMK_LIFE_FIRST_LOOK) {
        tmk_host_probation(f, now);
        l->phase = TMK_LIFE_JOINING;
        l->join.wanted = true;
    }
    if (l->phase == TMK_LIFE_IN) {
        tmk_host_probation(f, now);
    }
    if (now < l->probation_until && !tmk_host_others_serve(f)) {
        l->probation_until = f->view.asked; /* somebody has to */
    }
    if (self != NULL && tmk_life_in(f)) {
        check_own_record(f, now, self);
    }
}

/* --- stepping --- */

static bool step_join(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    tmk_life *l = &f->life;

    if (!tmk_errand_due(&l->join, now)) {
        return false;
    }
    compose(f, now, l->writing);
    f->op = (tmk_store_op){.kind = TMK_STORE_MEMBER_JOIN,
                           .id = l->id,
                           .token = l->token,
                           .version = "",
                           .body = l->writing,
                           .lease_ms = f->opts.expiry / TMK_MS};
    return tmk_fleet_submit(f, now, NULL, f->opts.heartbeat_try, &l->join.ticket, out);
}

static bool step_renew(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    tmk_life *l = &f->life;
    tmk_time try_ = TMK_MUTANT(HEARTBEAT_TRY_LONG) ? 40 * TMK_SEC : f->opts.heartbeat_try;

    if (!tmk_life_in(f)) {
        return false;
    }
    if (now >= l->renew_at) {
        l->renew.wanted = true;
    }
    if (!tmk_errand_due(&l->renew, now)) {
        return false;
    }
    f->op = (tmk_store_op){.kind = TMK_STORE_MEMBER_RENEW,
                           .id = l->id,
                           .token = l->token,
                           .version = "",
                           .lease_ms = f->opts.expiry / TMK_MS};
    if (!tmk_fleet_submit(f, now, NULL, try_, &l->renew.ticket, out)) {
        return false;
    }
    l->renew_at = TMK_NEVER; /* until it is answered */
    if (l->renew.failures == 0) {
        tmk_watch_heartbeat(f, now);
    }
    return true;
}

/* Everything is handed over, said and written. */
static bool is_done(const tmk_fleet *f) {
    for (size_t i = 0; i < f->holding_count; i++) {
        const tmk_holding *h = f->holdings[i];

        if (h->link != TMK_LINK_CLOSED ||
            (h->state != TMK_HOLDING_NONE && !TMK_MUTANT(LEFT_TOO_EARLY))) {
            return false;
        }
    }
    if (f->rings > 0 || f->life.write.ticket != 0) {
        return false;
    }
    for (size_t i = 0; i < f->view.count; i++) {
        if (f->view.members[i].ring && f->view.members[i].alive) {
            return false;
        }
    }
    return true;
}

static bool step_leave(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    tmk_life *l = &f->life;

    if (l->phase == TMK_LIFE_LEAVING && is_done(f)) {
        /* A last look at the records since we said that we leave: something may have been passed
         * to us just before. */
        if (f->records_asked < l->leaving_at) {
            f->records.wanted =
                f->records.wanted || (l->leaving_at != TMK_NEVER && f->records.ticket == 0);
            return false;
        }
        l->phase = TMK_LIFE_ENDING;
        l->leave.wanted = true;
    }
    if (!tmk_errand_due(&l->leave, now)) {
        return false;
    }
    f->op = (tmk_store_op){
        .kind = TMK_STORE_MEMBER_LEAVE, .id = l->id, .token = l->token, .version = ""};
    return tmk_fleet_submit(f, now, NULL, tmk_fleet_try(f, l->leave.failures), &l->leave.ticket,
                            out);
}

static void move_on(tmk_fleet *f, tmk_time now) {
    tmk_life *l = &f->life;

    if (!l->stopping && l->phase == TMK_LIFE_OUT) {
        begin(f, now);
    }
    if (l->stopping && l->phase == TMK_LIFE_IN) {
        l->phase = TMK_LIFE_LEAVING;
        l->write.wanted = true;
    }
    if (l->stopping &&
        (l->phase == TMK_LIFE_OUT || l->phase == TMK_LIFE_FIRST_LOOK ||
         (l->phase == TMK_LIFE_JOINING && l->join.ticket == 0 && l->join.failures == 0))) {
        l->phase = TMK_LIFE_GONE;
    }
    if (tmk_life_in(f) && !l->lease_over && now >= tmk_life_lease_end(f)) {
        fence_dead_links(f);
    }
}

bool tmk_life_step(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    if (tmk_fleet_is_shared(f)) {
        tmk_shared_life_step(f, now);
        return false;
    }
    move_on(f, now);
    return step_join(f, now, out) || step_renew(f, now, out) || step_write(f, now, out) ||
           step_leave(f, now, out);
}

tmk_time tmk_life_deadline(const tmk_fleet *f) {
    const tmk_life *l = &f->life;
    tmk_time due = TMK_NEVER;

    if (tmk_fleet_is_shared(f)) {
        return tmk_shared_life_deadline(f);
    }
    if (l->phase == TMK_LIFE_OUT || (l->stopping && l->phase == TMK_LIFE_IN)) {
        return f->now;
    }
    due = tmk_time_min(due, tmk_errand_deadline(&l->join));
    due = tmk_time_min(due, tmk_errand_deadline(&l->leave));
    if (!tmk_life_in(f)) {
        return due;
    }
    due = tmk_time_min(due, tmk_errand_deadline(&l->renew));
    due = tmk_time_min(due, tmk_errand_deadline(&l->write));
    due = tmk_time_min(due, l->renew_at);
    if (l->write.ticket == 0 && l->load != l->load_shown) {
        due = tmk_time_min(due, l->load_at);
    }
    return l->lease_over ? due : tmk_time_min(due, tmk_life_lease_end(f));
}

void tmk_life_answered(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                       const tmk_store_result *result) {
    tmk_life *l = &f->life;
    tmk_errand *e = asked->kind == TMK_STORE_MEMBER_JOIN    ? &l->join
                    : asked->kind == TMK_STORE_MEMBER_RENEW ? &l->renew
                    : asked->kind == TMK_STORE_MEMBER_WRITE ? &l->write
                                                            : &l->leave;

    if (e->ticket == asked->ticket) {
        e->ticket = 0;
    }
    switch (asked->kind) {
    case TMK_STORE_MEMBER_JOIN:
        l->join.wanted = false;
        on_join(f, now, asked, result);
        break;
    case TMK_STORE_MEMBER_RENEW:
        on_renew(f, now, asked, result);
        break;
    case TMK_STORE_MEMBER_WRITE:
        on_write(f, now, result);
        break;
    default:
        if (result->status < 0) {
            tmk_fleet_errand_failed(f, &l->leave, now, &write_pause);
        } else {
            l->leave.wanted = false;
            l->phase = TMK_LIFE_GONE;
        }
        break;
    }
}
