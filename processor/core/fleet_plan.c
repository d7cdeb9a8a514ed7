/*
 * Whom the plan counts in, and what follows from it.
 *
 * A join is followed when no further one has come for a moment (0.8 s, 4 s at
 * most), so that a fleet that starts plans once; an instance that finds nobody
 * else starts at once. Who has left or was evicted is counted out at once.
 *
 * The hash of those who are counted in (and of the number of partitions) is
 * published in our record. An owner gives a partition to its next owner only
 * when that one has published the same hash: it knows what is coming, and there
 * is nobody in between who thinks otherwise.
 */
#include "core/fleet_inside.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

tmk_status tmk_plan_reserve(tmk_fleet *f, size_t members, size_t partitions) {
    size_t room = members + 1; /* ourselves, where a list does not show us yet */
    tmk_plan_member *plan_members = NULL;
    int32_t *places = NULL, *owners = NULL;

    if (room > f->plan_room) {
        plan_members = tmk_resize(f->plan_members, room + 4, sizeof *plan_members);
        if (plan_members == NULL) {
            return TMK_ENOMEM;
        }
        f->plan_members = plan_members;
        places = tmk_resize(f->plan_places, room + 4, sizeof *places);
        if (places == NULL) {
            return TMK_ENOMEM;
        }
        f->plan_places = places;
        f->plan_room = room + 4;
    }
    if (partitions > f->owners_room) {
        owners = tmk_resize(f->owners, partitions, sizeof *owners);
        if (owners == NULL) {
            return TMK_ENOMEM;
        }
        f->owners = owners;
        f->owners_room = partitions;
    }
    return tmk_weigh_reserve(f, room, partitions);
}

/* --- owners --- */

const char *tmk_plan_owner(const tmk_fleet *f, const tmk_holding *h) {
    const tmk_record *r = &h->record;

    if (h->state == TMK_HOLDING_HELD || h->state == TMK_HOLDING_RELEASING) {
        return f->life.id;
    }
    if (h->state == TMK_HOLDING_NAMING || h->state == TMK_HOLDING_PASSING) {
        return h->to;
    }
    if (!tmk_view_departed(&f->view, r->successor)) {
        return r->successor;
    }
    return tmk_view_departed(&f->view, r->owner) ? "" : r->owner;
}

/* --- the plan --- */

/* Places in plan_places: at least 0 is one in the view, SELF is ourselves where unlisted. */
#define SELF INT32_MAX

static void count_in(tmk_fleet *f, int32_t place, uint32_t weight, uint32_t most) {
    tmk_assert(f->plan_count < f->plan_room);
    f->plan_places[f->plan_count] = place;
    f->plan_members[f->plan_count++] = (tmk_plan_member){.weight = weight, .most = most};
}

const tmk_view_member *tmk_plan_seen(const tmk_fleet *f, size_t planned) {
    int32_t place = f->plan_places[planned];

    return place == SELF ? tmk_view_find(&f->view, f->life.id) : &f->view.members[place];
}

bool tmk_plan_is_self(const tmk_fleet *f, int32_t planned) {
    return planned != TMK_PLAN_NOBODY && f->plan_places[planned] == SELF;
}

/* Whether all who are counted in ask for balance by load. Those who have told their loads keep what
 * they have then, whatever its number; new ones get a share. */
static void choose_balance(tmk_fleet *f) {
    bool before = f->weigh.on;

    f->weigh.on = f->opts.weighted;
    for (size_t i = 0; i < f->plan_count; i++) {
        int32_t place = f->plan_places[i];

        f->weigh.on = f->weigh.on && (place == SELF || f->view.members[place].text.weighted ||
                                      TMK_MUTANT(WEIGHED_UNASKED));
    }
    if (f->opts.weighted && (f->weigh.on != before || f->view_hash == 0)) {
        tmk_info(&f->opts.log, "fleet.balance", "by=%s", f->weigh.on ? "load" : "count");
    }
    for (size_t i = 0; f->weigh.on && i < f->plan_count; i++) {
        const tmk_view_member *m = tmk_plan_seen(f, i);

        f->plan_members[i].keeps = m != NULL && m->told && !TMK_MUTANT(KEEPERS_LEVELLED);
    }
}

/* Fills in plan_members, by id. Ourselves are counted by what we know, not by what a list says. */
static void gather_members(tmk_fleet *f) {
    bool self = !f->life.active;

    f->plan_count = 0;
    for (size_t i = 0; i < f->view.count; i++) {
        const tmk_view_member *m = &f->view.members[i];
        bool is_self = tmk_life_is_self(f, m->id);

        if (!self && (is_self || strcmp(m->id, f->life.id) > 0)) {
            count_in(f, SELF, f->opts.weight, f->opts.partitions_max);
            self = true;
        }
        if (m->planned && !is_self) {
            count_in(f, (int32_t)i, m->text.weight, m->text.most);
        }
    }
    if (!self) {
        count_in(f, SELF, f->opts.weight, f->opts.partitions_max);
    }
}

static const char *plan_id(const tmk_fleet *f, size_t planned) {
    int32_t place = f->plan_places[planned];

    return place == SELF ? f->life.id : f->view.members[place].id;
}

static uint64_t hash_number(uint64_t h, uint64_t number) {
    return tmk_stir(h ^ number);
}

static uint64_t hash_members(const tmk_fleet *f) {
    uint64_t h = TMK_HASH_START;

    for (size_t i = 0; i < f->plan_count; i++) {
        h = tmk_hash_text(h, plan_id(f, i));
        h = hash_number(h, f->plan_members[i].weight);
        h = hash_number(h, f->plan_members[i].most);
    }
    h = hash_number(h, f->holding_count);
    if (f->weigh.on) { /* in a fleet that balances by count all versions have the same hash */
        h = hash_number(h, 1);
    }
    return h == 0 ? 1 : h;
}

/* The place in the plan of an id; NOBODY where it is not counted in. */
static int32_t plan_place(const tmk_fleet *f, const char *id) {
    size_t low = 0, high = f->plan_count;

    while (id[0] != '\0' && low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(plan_id(f, middle), id);

        if (order == 0) {
            return (int32_t)middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return TMK_PLAN_NOBODY;
}

static void set_targets(tmk_fleet *f) {
    for (size_t p = 0; p < f->holding_count; p++) {
        f->owners[p] = TMK_MUTANT(PLAN_NOT_STICKY)
                           ? TMK_PLAN_NOBODY
                           : plan_place(f, tmk_plan_owner(f, f->holdings[p]));
        f->holdings[p]->owner_place = f->owners[p];
    }
    tmk_plan(f->plan_members, f->plan_count, f->owners, f->owners, f->holding_count);
    for (size_t p = 0; p < f->holding_count; p++) {
        f->holdings[p]->target = f->owners[p];
    }
    tmk_weigh_plan(f);
}

static void drop_plan(tmk_fleet *f) {
    f->planned = false;
    f->weigh.pair = 0;
    for (size_t p = 0; p < f->holding_count; p++) {
        f->holdings[p]->target = TMK_PLAN_NOBODY;
        f->holdings[p]->weighed = false;
    }
}

void tmk_plan_changed(tmk_fleet *f, tmk_time now) {
    uint64_t before = f->view_hash;
    bool possible =
        f->holding_count > 0 && f->records_asked >= 0 && f->view.asked >= 0 && tmk_life_in(f);

    for (size_t i = 0; i < f->view.count; i++) {
        tmk_view_member *m = &f->view.members[i];

        if (m->evicted || m->text.state != TMK_FLEET_MEMBER) {
            m->planned = false;
        }
    }
    f->recount = true;
    if (!possible || tmk_plan_reserve(f, f->view.count, f->holding_count) < 0) {
        drop_plan(f);
        return;
    }
    gather_members(f);
    choose_balance(f);
    f->view_hash = hash_members(f);
    set_targets(f);
    f->planned = true;
    if (f->view_hash != before) {
        f->life.write.wanted = true;
        tmk_fleet_stir(f, now);
        tmk_fleet_news_note(f, TMK_FLEET_VIEW, NULL, (int64_t)f->plan_count, "");
    }
    tmk_fleet_wake_all(f);
}

const char *tmk_plan_target(const tmk_fleet *f, const tmk_holding *h) {
    return h->target == TMK_PLAN_NOBODY ? "" : plan_id(f, (size_t)h->target);
}

bool tmk_plan_for_self(const tmk_fleet *f, const tmk_holding *h) {
    return tmk_plan_is_self(f, h->target);
}

bool tmk_plan_target_ready(const tmk_fleet *f, const tmk_holding *h) {
    const tmk_view_member *m = NULL;

    if (h->target == TMK_PLAN_NOBODY || f->plan_places[h->target] == SELF) {
        return false;
    }
    m = &f->view.members[f->plan_places[h->target]];
    return m->planned && m->alive &&
           (m->text.view == f->view_hash || TMK_MUTANT(NO_VIEW_AWAITED)) &&
           (!h->weighed || m->text.pair == f->weigh.pair || TMK_MUTANT(NO_PAIR_AWAITED));
}

/* --- joins --- */

static bool is_new(const tmk_fleet *f, const tmk_view_member *m) {
    return m->text.state == TMK_FLEET_MEMBER && !m->evicted && !m->planned &&
           !tmk_life_is_self(f, m->id);
}

/* A fleet that is being started: others who are alive and will be, or are, counted in. */
static bool is_alone(const tmk_fleet *f) {
    for (size_t i = 0; i < f->view.count; i++) {
        const tmk_view_member *m = &f->view.members[i];

        if (!tmk_life_is_self(f, m->id) && m->alive && !m->evicted &&
            (m->text.state == TMK_FLEET_MEMBER || m->text.state == TMK_FLEET_STARTING)) {
            return false;
        }
    }
    return true;
}

static bool self_is_new(const tmk_fleet *f, tmk_time now) {
    return !f->life.active && f->life.phase == TMK_LIFE_IN && !f->life.stopping &&
           now >= f->life.probation_until && f->view.asked >= f->life.probation_until &&
           f->holding_count > 0 && f->records_asked >= 0 && !tmk_host_has_predecessor(f, now);
}

/* A hash of those who are new; 0: nobody. */
static uint64_t hash_new(const tmk_fleet *f, tmk_time now) {
    uint64_t h = self_is_new(f, now) ? tmk_hash_text(TMK_HASH_START, f->life.id) : 0;

    for (size_t i = 0; i < f->view.count; i++) {
        if (is_new(f, &f->view.members[i])) {
            h = tmk_hash_text(h == 0 ? TMK_HASH_START : h, f->view.members[i].id);
        }
    }
    return h;
}

static void follow_joins(tmk_fleet *f, tmk_time now) {
    f->gather_from = f->gather_until = TMK_NEVER;
    f->gather_hash = 0;
    if (self_is_new(f, now)) {
        f->life.active = true;
        f->life.write.wanted = true;
    }
    for (size_t i = 0; i < f->view.count; i++) {
        tmk_view_member *m = &f->view.members[i];

        m->planned = m->planned || is_new(f, m);
    }
    tmk_plan_changed(f, now);
}

static void gather(tmk_fleet *f, tmk_time now) {
    uint64_t hash = hash_new(f, now);

    if (hash == 0) {
        f->gather_from = f->gather_until = TMK_NEVER;
        f->gather_hash = 0;
        return;
    }
    if (TMK_MUTANT(NO_GATHERING) || (self_is_new(f, now) && is_alone(f))) {
        follow_joins(f, now);
        return;
    }
    if (hash != f->gather_hash) {
        f->gather_hash = hash;
        f->gather_from = tmk_time_min(f->gather_from, now);
        f->gather_until = tmk_time_min(tmk_time_after(now, f->opts.gather),
                                       tmk_time_after(f->gather_from, f->opts.gather_max));
        tmk_fleet_stir(f, now);
    }
}

void tmk_plan_listed(tmk_fleet *f, tmk_time now) {
    tmk_plan_changed(f, now);
    gather(f, now);
}

/* --- what is left to do --- */

static void recount(tmk_fleet *f, tmk_time now) {
    f->recount = false;
    f->expecting = f->owing = f->moving = f->others_work = 0;
    for (size_t i = 0; i < f->holding_count; i++) {
        const tmk_holding *h = f->holdings[i];
        bool ours = h->state == TMK_HOLDING_HELD;

        f->moving += tmk_holding_busy(h);
        if (!f->planned) {
            continue;
        }
        f->expecting += !ours && tmk_plan_for_self(f, h);
        f->owing += ours && h->target != TMK_PLAN_NOBODY && !tmk_plan_for_self(f, h);
        f->others_work += !ours && !tmk_plan_for_self(f, h) && !tmk_holding_busy(h) &&
                          strcmp(tmk_plan_owner(f, h), tmk_plan_target(f, h)) != 0;
    }
    if (f->expecting > 0 || f->owing > 0 || f->moving > 0) {
        f->was_busy = true;
        f->dust_at = TMK_NEVER;
        f->dust_rounds = 0;
    } else if (f->was_busy && f->planned) {
        f->was_busy = false;
        f->dust_at =
            TMK_MUTANT(LOOK_ONCE_MORE_NOT) ? TMK_NEVER : tmk_time_after(now, f->opts.settle_look);
    }
}

void tmk_plan_tick(tmk_fleet *f, tmk_time now) {
    if (now >= f->gather_until) {
        follow_joins(f, now);
    } else if (f->life.phase == TMK_LIFE_IN && !f->life.active && now >= f->life.probation_until &&
               f->view.asked < f->life.probation_until && !f->members.wanted &&
               f->members.ticket == 0) {
        tmk_watch_round(f); /* probation is over, unless there was another eviction meanwhile */
    }
    if (f->recount) {
        recount(f, now);
    }
}

tmk_time tmk_plan_deadline(const tmk_fleet *f) {
    tmk_time due = f->gather_until;

    if (f->life.phase == TMK_LIFE_IN && !f->life.active && f->life.probation_until > f->now) {
        due = tmk_time_min(due, f->life.probation_until);
    }
    return due;
}
