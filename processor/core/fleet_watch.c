/*
 * Looking at the others.
 *
 * A round lists the partition records first and the members after: an instance
 * registers before it claims, so only an owner missing in a list of members
 * that was asked for after its record had been seen can be gone. Even then the
 * store is asked for its record before anything of it is taken.
 *
 * Dead is whose lease has ended by the store's clock, in a list that we asked
 * for after our own heartbeats had been granted, without a pause, for a whole
 * expiry: then the store was there for the other as well. A store that knows that
 * a process has ended spares the wait. Only an eviction that succeeded counts; what
 * we merely think of somebody changes nothing.
 *
 * At rest we look at our own bell with each heartbeat and list the members now
 * and then. While something is going on we look often, and more often while we
 * wait for partitions that others have to give: nobody reads them between the
 * ring of their bell and our look. When it has come to
 * rest we look once more, and call those who still have something to do: their
 * bell may have been lost.
 */
#include "core/fleet_inside.h"

#include <string.h>

/* Evictions, and calls, under way at once. */
#define AT_ONCE 4
/* More members than this watch each other less often. */
#define MANY 32
/* While something is going on, a full round this often; and when it goes on for long. */
#define BUSY_ROUND (2 * TMK_SEC)
#define SURE (500 * TMK_MS)
#define LONG_AFTER (15 * TMK_SEC)
#define LONG_LOOK (2 * TMK_SEC)
#define LONG_ROUND (5 * TMK_SEC)

static const tmk_backoff list_pause = {200 * TMK_MS, 5 * TMK_SEC, 2.0, 0.5};

static tmk_time jittered(tmk_fleet *f, tmk_time interval) {
    return tmk_rng_between(&f->rng, interval * 4 / 5, interval * 6 / 5);
}

void tmk_watch_start(tmk_fleet *f, tmk_time now) {
    f->look = f->records = (tmk_errand){0};
    f->members = (tmk_errand){.wanted = true};
    f->rings = f->evictions = f->removals = 0;
    for (size_t i = 0; i < f->view.count; i++) {
        f->view.members[i].asking = f->view.members[i].ringing = false;
        f->view.members[i].condemned = false;
    }
    f->stranger[0] = '\0';
    f->stranger_asked = false;
    f->bell[0] = '\0';
    f->after_dust = false;
    f->was_busy = true;
    f->dust_at = TMK_NEVER;
    f->dust_rounds = 0;
    f->look_at = now;
    f->round_at = tmk_time_after(now, BUSY_ROUND);
    f->half_at = TMK_NEVER;
    f->records_at = now;
    f->try_again_at = now;
    f->stirred_at = now;
    f->gather_from = f->gather_until = TMK_NEVER;
    f->gather_hash = 0;
}

void tmk_watch_round(tmk_fleet *f) {
    f->records.wanted = true;
    f->records_again = f->records.ticket != 0;
    f->members.wanted = true;
}

/*
 * At rest each heartbeat brings a look at our bell, and half a beat later a list of the members: so
 * nothing goes unnoticed for longer than that. (A round that is left from a busy time, and comes
 * right after the heartbeat, does not stand for that list.) Alone there is nobody to watch, and a
 * large fleet has many eyes: then every second beat is enough.
 */
void tmk_watch_heartbeat(tmk_fleet *f, tmk_time now) {
    bool few = f->view.count > 1 && f->view.count <= MANY;
    tmk_time half = tmk_rng_between(&f->rng, f->opts.heartbeat * 2 / 5, f->opts.heartbeat * 3 / 5);

    f->look.wanted = true;
    if (few || f->listed_at + f->opts.members_every <= tmk_time_after(now, f->opts.heartbeat)) {
        f->half_at = tmk_time_after(now, half);
    }
}

/* --- whom to call --- */

void tmk_watch_ring(tmk_fleet *f, const char *id) {
    tmk_view_member *m = tmk_view_find(&f->view, id);

    if (m != NULL && !m->evicted && !tmk_life_is_self(f, id) && !TMK_MUTANT(LOOK_ONCE_MORE_NOT)) {
        m->ring = true;
    }
}

static bool ring_one(tmk_fleet *f, const char *id, bool needed) {
    tmk_view_member *m = tmk_view_find(&f->view, id);

    if (m == NULL || m->evicted || !m->alive || tmk_life_is_self(f, id) ||
        (!needed && m->text.view == f->view_hash)) {
        return false;
    }
    tmk_watch_ring(f, id);
    return true;
}

/* Those who, by the plan that we follow, have to give or to take something. */
void tmk_watch_ring_concerned(tmk_fleet *f, bool all) {
    if (!f->planned) {
        return;
    }
    for (size_t i = 0; i < f->holding_count; i++) {
        const tmk_holding *h = f->holdings[i];
        const char *owner = tmk_plan_owner(f, h), *target = tmk_plan_target(f, h);

        if (strcmp(owner, target) != 0) {
            (void)ring_one(f, owner, all || tmk_plan_for_self(f, h));
            (void)ring_one(f, target, all);
        }
    }
}

static void after_dust(tmk_fleet *f, tmk_time now) {
    f->after_dust = false;
    f->recount = true;
    tmk_plan_tick(f, now);
    if (f->others_work == 0) {
        return;
    }
    tmk_watch_ring_concerned(f, true);
    f->dust_at =
        tmk_time_after(now, f->opts.settle_look << (f->dust_rounds < 4 ? f->dust_rounds : 4));
    f->dust_rounds++;
}

/* --- judging --- */

static void judge(tmk_fleet *f, tmk_time now) {
    bool may = tmk_life_may_judge(f, now, f->view.asked);

    f->suspects = false;
    for (size_t i = 0; i < f->view.count; i++) {
        tmk_view_member *m = &f->view.members[i];

        if (m->alive || m->evicted || tmk_life_is_self(f, m->id)) {
            m->condemned = false;
        } else if ((may || m->gone) &&
                   !(TMK_MUTANT(PROBATION_FOR_EVER) && m->text.state != TMK_FLEET_MEMBER)) {
            m->condemned = true;
            if (TMK_MUTANT(EVICTION_SKIPPED)) {
                tmk_view_depart(&f->view, m->id);
            }
        } else {
            f->suspects = true;
        }
    }
}

/* Records of the evicted are kept for a while, as they tell of crash loops; the first member by id
 * clears them away. */
static void mark_old(tmk_fleet *f) {
    const tmk_view_member *first = NULL;

    for (size_t i = 0; i < f->view.count && first == NULL; i++) {
        const tmk_view_member *m = &f->view.members[i];

        first = m->alive && !m->evicted && m->text.state == TMK_FLEET_MEMBER ? m : NULL;
    }
    for (size_t i = 0; i < f->view.count; i++) {
        tmk_view_member *m = &f->view.members[i];

        m->remove = m->evicted && ((first != NULL && tmk_life_is_self(f, first->id) &&
                                    m->age_ms > f->opts.eviction_memory / TMK_MS) ||
                                   tmk_host_forgiven(f, m));
    }
}

/* An owner or a successor whom no list of members shows, of a partition that is ours by the plan or
 * was passed to us, or was ours and has not arrived. */
static void find_stranger(tmk_fleet *f) {
    if (f->stranger_asked) {
        return;
    }
    f->stranger[0] = '\0';
    for (size_t i = 0; i < f->holding_count && f->stranger[0] == '\0'; i++) {
        const tmk_holding *h = f->holdings[i];
        const char *const names[] = {h->record.owner, h->record.successor};

        if (h->state >= TMK_HOLDING_HELD ||
            (h->record.seen_at > f->view.asked && !TMK_MUTANT(ABSENT_IS_GONE)) ||
            (!tmk_plan_for_self(f, h) && !tmk_life_is_self(f, h->record.owner) &&
             !tmk_life_is_self(f, h->record.successor))) {
            continue;
        }
        for (size_t n = 0; n < 2 && f->stranger[0] == '\0'; n++) {
            if (names[n][0] != '\0' && tmk_view_find(&f->view, names[n]) == NULL &&
                !tmk_view_departed(&f->view, names[n])) {
                memcpy(f->stranger, names[n], strlen(names[n]) + 1);
            }
        }
    }
    if (TMK_MUTANT(ABSENT_IS_GONE) && f->stranger[0] != '\0') {
        tmk_view_depart(&f->view, f->stranger);
        f->stranger[0] = '\0';
    }
}

/* --- answers --- */

static void on_members(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                       const tmk_store_result *result) {
    if (result->status == TMK_OK &&
        tmk_plan_reserve(f, result->member_count, f->holding_count) == TMK_OK &&
        tmk_view_take(&f->view, result->members, result->member_count, asked->sent) == TMK_OK) {
        f->members.failures = 0;
        f->listed_at = now;
        tmk_weigh_listed(f, result->members, result->member_count);
        tmk_life_listed(f, now);
        judge(f, now);
        mark_old(f);
        tmk_plan_listed(f, now);
        find_stranger(f);
        if (f->after_dust && !f->records.wanted && f->records.ticket == 0) {
            after_dust(f, now);
        }
    } else {
        tmk_fleet_errand_failed(f, &f->members, now, &list_pause);
    }
}

static void on_records(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                       const tmk_store_result *result) {
    if (result->status != TMK_OK) {
        tmk_fleet_errand_failed(f, &f->records, now, &list_pause);
        return;
    }
    f->records.failures = 0;
    f->records.wanted = f->records_again;
    f->records_again = false;
    f->records_asked = asked->sent;
    f->records_at = tmk_time_after(now, jittered(f, f->opts.partitions_every));
    tmk_records_take(f, now, asked->sent, result->partitions, result->partition_count);
    f->members.wanted = true;
}

static void on_look(tmk_fleet *f, tmk_time now, const tmk_store_result *result) {
    size_t size = result->version == NULL ? 0 : strlen(result->version);

    if (result->status != TMK_OK || size >= sizeof f->bell) {
        return; /* nothing new, or looked at again with the next heartbeat */
    }
    memcpy(f->bell, size == 0 ? "" : result->version, size + 1);
    tmk_watch_round(f);
    tmk_fleet_stir(f, now);
}

static void departed(tmk_fleet *f, tmk_time now, const char *id) {
    tmk_view_depart(&f->view, id);
    tmk_host_probation(f, now); /* it may have been the life before ours */
    tmk_plan_changed(f, now);
    tmk_fleet_stir(f, now);
}

static void on_evict(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                     const tmk_store_result *result) {
    tmk_view_member *m = tmk_view_find(&f->view, asked->member);

    f->evictions -= f->evictions > 0;
    if (m != NULL) {
        m->asking = false;
    }
    if (result->status == TMK_OK || (result->status > 0 && TMK_MUTANT(EVICTION_REFUSED_IS_OK))) {
        if (m == NULL || !m->evicted) {
            f->counts.evictions++;
            tmk_fleet_news_note(f, TMK_FLEET_EVICTED, NULL, 0, asked->member);
        }
        departed(f, now, asked->member);
    } else if (result->status > 0) {
        if (m != NULL) {
            m->condemned = false; /* its late heartbeat won: it lives, and keeps what it has */
        }
        f->members.wanted = true;
    } else {
        f->try_again_at = tmk_time_after(now, jittered(f, 500 * TMK_MS));
    }
}

/* Of an old evicted record: tried again after the next list. Of a stranger: there is none, so it
 * has gone; or there is one after all, and then it is listed next time. */
static void on_remove(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                      const tmk_store_result *result) {
    if (!f->stranger_asked || strcmp(f->stranger, asked->member) != 0) {
        f->removals -= f->removals > 0;
        return;
    }
    f->stranger_asked = false;
    f->stranger[0] = '\0';
    if (result->status == TMK_OK || result->status == TMK_ABSENT) {
        departed(f, now, asked->member);
    }
    f->members.wanted = true;
}

static void on_ring(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                    const tmk_store_result *result) {
    tmk_view_member *m = tmk_view_find(&f->view, asked->member);

    f->rings -= f->rings > 0;
    if (m != NULL) {
        m->ringing = false;
    }
    if (result->status < 0) {
        tmk_watch_ring(f, asked->member);
        f->try_again_at = tmk_time_after(now, jittered(f, 500 * TMK_MS));
    }
}

void tmk_watch_answered(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                        const tmk_store_result *result) {
    switch (asked->kind) {
    case TMK_STORE_PARTITION_LIST:
        f->records.ticket = 0;
        if (tmk_fleet_is_shared(f)) {
            tmk_shared_listed(f, now, asked, result);
            break;
        }
        on_records(f, now, asked, result);
        break;
    case TMK_STORE_MEMBER_LIST:
        f->members.ticket = 0;
        on_members(f, now, asked, result);
        break;
    case TMK_STORE_CALL_LOOK:
        f->look.ticket = 0;
        on_look(f, now, result);
        break;
    case TMK_STORE_MEMBER_EVICT:
        on_evict(f, now, asked, result);
        break;
    case TMK_STORE_CALL_RING:
        on_ring(f, now, asked, result);
        break;
    default:
        on_remove(f, now, asked, result);
        break;
    }
}

/* --- asking --- */

static bool ask_list(tmk_fleet *f, tmk_time now, tmk_errand *e, tmk_store_op_kind kind,
                     tmk_fleet_act *out) {
    f->op = (tmk_store_op){.kind = kind, .id = "", .version = ""};
    if (!tmk_fleet_submit(f, now, NULL, tmk_fleet_try(f, e->failures), &e->ticket, out)) {
        return false;
    }
    e->wanted = false;
    return true;
}

static bool step_lists(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    bool records_open = f->records.ticket != 0 || (f->records.wanted && f->records.failures == 0);

    if (tmk_life_in(f) && tmk_errand_due(&f->records, now)) {
        return ask_list(f, now, &f->records, TMK_STORE_PARTITION_LIST, out);
    }
    if ((tmk_life_in(f) ? !records_open : f->life.phase == TMK_LIFE_FIRST_LOOK) &&
        tmk_errand_due(&f->members, now)) {
        return ask_list(f, now, &f->members, TMK_STORE_MEMBER_LIST, out);
    }
    return false;
}

static bool step_look(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    if (!tmk_errand_due(&f->look, now)) {
        return false;
    }
    f->op = (tmk_store_op){.kind = TMK_STORE_CALL_LOOK, .id = f->life.id, .version = f->bell};
    if (!tmk_fleet_submit(f, now, NULL, tmk_fleet_try(f, 0), &f->look.ticket, out)) {
        return false;
    }
    f->look.wanted = false;
    return true;
}

/* A question about one member: notes down whom. */
static bool ask_about(tmk_fleet *f, tmk_time now, tmk_store_op_kind kind, const char *id,
                      tmk_fleet_act *out) {
    uint64_t ticket = 0;

    f->op = (tmk_store_op){.kind = kind, .id = id, .token = f->life.token, .version = ""};
    if (!tmk_fleet_submit(f, now, NULL, tmk_fleet_try(f, 0), &ticket, out)) {
        return false;
    }
    memcpy(tmk_asking_find(&f->asking, ticket)->member, id, strlen(id) + 1);
    return true;
}

static bool step_evict(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    /* Once more: an outage may have come between the judgement and now. */
    bool may = tmk_life_may_judge(f, now, f->view.asked);

    if (f->evictions >= AT_ONCE || !tmk_life_healthy(f, now)) {
        return false;
    }
    for (size_t i = 0; i < f->view.count; i++) {
        tmk_view_member *m = &f->view.members[i];

        if (m->condemned && (may || m->gone) && !m->asking && !m->evicted &&
            ask_about(f, now, TMK_STORE_MEMBER_EVICT, m->id, out)) {
            m->asking = true;
            f->evictions++;
            return true;
        }
    }
    if (f->stranger[0] != '\0' && !f->stranger_asked &&
        ask_about(f, now, TMK_STORE_MEMBER_REMOVE, f->stranger, out)) {
        f->stranger_asked = true;
        return true;
    }
    return false;
}

static bool step_ring(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    for (size_t i = 0; f->rings < AT_ONCE && i < f->view.count; i++) {
        tmk_view_member *m = &f->view.members[i];

        if (m->ring && !m->ringing && ask_about(f, now, TMK_STORE_CALL_RING, m->id, out)) {
            m->ring = false;
            m->ringing = true;
            f->rings++;
            return true;
        }
    }
    return false;
}

static bool step_remove(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    for (size_t i = 0; f->removals == 0 && i < f->view.count; i++) {
        tmk_view_member *m = &f->view.members[i];

        if (m->remove && ask_about(f, now, TMK_STORE_MEMBER_REMOVE, m->id, out)) {
            m->remove = false;
            f->removals++;
            return true;
        }
    }
    return false;
}

static bool is_busy(const tmk_fleet *f, tmk_time now) {
    return f->expecting > 0 || f->owing > 0 || f->moving > 0 || f->gather_until != TMK_NEVER ||
           !f->planned || f->life.stopping || now - f->stirred_at < f->opts.settle_look;
}

static void schedule(tmk_fleet *f, tmk_time now) {
    bool busy = is_busy(f, now), drawn_out = now - f->stirred_at > LONG_AFTER;
    tmk_time pause = drawn_out ? LONG_ROUND : BUSY_ROUND;

    if (f->suspects) { /* when we may judge them, see whether they are still dead */
        tmk_time sure = tmk_time_after(f->life.streak_from, f->opts.expiry + SURE);

        f->round_at = tmk_time_min(f->round_at, sure > now ? sure : tmk_time_after(now, SURE));
    }
    if (busy) {
        f->round_at = tmk_time_min(f->round_at, tmk_time_after(now, pause));
    }
    if (busy && now >= f->look_at) {
        f->look.wanted = true;
        f->look_at = tmk_time_after(now, drawn_out          ? LONG_LOOK
                                         : f->expecting > 0 ? f->opts.look_every * 2 / 5
                                                            : f->opts.look_every);
    }
    if (now >= f->half_at || now >= f->round_at) {
        f->members.wanted = true;
        f->records.wanted = f->records.wanted || busy || now >= f->records_at;
        f->half_at = now >= f->half_at ? TMK_NEVER : f->half_at; /* the heartbeat sets it */
        f->round_at = busy ? tmk_time_after(now, pause) : TMK_NEVER;
    }
    if (now >= f->dust_at) {
        f->dust_at = TMK_NEVER;
        f->after_dust = true;
        tmk_watch_round(f);
    }
}

bool tmk_watch_step(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    if (tmk_fleet_is_shared(f)) {
        return tmk_shared_watch_step(f, now, out);
    }
    if (tmk_life_in(f)) {
        schedule(f, now);
    }
    if (step_lists(f, now, out)) {
        return true;
    }
    if (!tmk_life_in(f) || f->life.fenced) {
        return false;
    }
    return step_look(f, now, out) ||
           (now >= f->try_again_at && (step_evict(f, now, out) || step_ring(f, now, out))) ||
           step_remove(f, now, out);
}

static bool has_calls(const tmk_fleet *f) {
    bool may_evict = f->evictions < AT_ONCE && tmk_life_healthy(f, f->now);
    bool may_judge = may_evict && tmk_life_may_judge(f, f->now, f->view.asked);

    for (size_t i = 0; i < f->view.count; i++) {
        const tmk_view_member *m = &f->view.members[i];

        if ((m->ring && !m->ringing && f->rings < AT_ONCE) ||
            (m->condemned && !m->asking && !m->evicted && (may_judge || (may_evict && m->gone)))) {
            return true;
        }
    }
    return f->stranger[0] != '\0' && !f->stranger_asked && may_evict;
}

tmk_time tmk_watch_deadline(const tmk_fleet *f) {
    tmk_time due = TMK_NEVER;

    if (tmk_fleet_is_shared(f)) {
        return tmk_shared_watch_deadline(f);
    }
    if (f->life.phase == TMK_LIFE_FIRST_LOOK) {
        return tmk_errand_deadline(&f->members);
    }
    if (!tmk_life_in(f)) {
        return due;
    }
    due = tmk_time_min(due, tmk_errand_deadline(&f->records));
    if (f->records.ticket == 0) {
        due = tmk_time_min(due, tmk_errand_deadline(&f->members));
    }
    due = tmk_time_min(due, tmk_time_min(f->half_at, f->round_at));
    due = tmk_time_min(due, f->dust_at);
    if (f->life.fenced) {
        return due;
    }
    due = tmk_time_min(due, tmk_errand_deadline(&f->look));
    if (is_busy(f, f->now)) {
        due = tmk_time_min(due, f->look_at);
    }
    return has_calls(f) ? tmk_time_min(due, f->try_again_at) : due;
}
