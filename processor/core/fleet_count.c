/*
 * Beside the official processors: who owns what, and whose share it is.
 *
 * The records are listed each interval, and more often while we wait for
 * something. A record's age is the store's (its date less the record's), so no
 * clock of ours enters. After an outage that we have seen ourselves the others
 * get half an expiry to renew what is theirs: they could not either.
 *
 * Whoever finds a group without any owner takes one partition and waits a
 * moment for others who start at the same time: nobody can see them before.
 */
#include "core/fleet_inside.h"

#include <string.h>

#include "base/alloc.h"

/* A steal, or asking again, after this many intervals without an answer to what was asked. */
#define PATIENCE 4
/* An owner that has not renewed for so many intervals is not asked: it may be dead. */
#define LIVELY 3

/* What we have too many is released when nothing has changed hands for so many intervals. */
#define STUCK 9

static const tmk_backoff list_pause = {200 * TMK_MS, 5 * TMK_SEC, 2.0, 0.5};

static tmk_time jittered(tmk_fleet *f, tmk_time interval) {
    return tmk_rng_between(&f->rng, interval * 4 / 5, interval * 6 / 5);
}

void tmk_shared_list_soon(tmk_fleet *f, tmk_time now) {
    tmk_time soon = tmk_time_after(now, jittered(f, f->opts.look_every));

    f->shared.list_at = tmk_time_min(f->shared.list_at, soon);
}

void tmk_shared_lease(tmk_fleet *f, tmk_time now) {
    tmk_time oldest = now;

    for (size_t i = 0; i < f->holding_count; i++) {
        const tmk_holding *h = f->holdings[i];

        if (h->state >= TMK_HOLDING_HELD) {
            oldest = tmk_time_min(oldest, h->shared.granted);
        }
    }
    f->life.accepted_sent = oldest;
    f->life.accepted_at = now;
}

/* --- what a list says --- */

static void take_listed(tmk_fleet *f, tmk_holding *h, tmk_time now, tmk_time asked,
                        const tmk_partition_record *record) {
    if (asked <= h->touched_at) {
        return; /* our own change is younger */
    }
    if (h->state == TMK_HOLDING_NONE) {
        (void)tmk_record_take(h, now, record);
    } else if (h->state >= TMK_HOLDING_HELD && h->ticket == 0 &&
               strcmp(record->owner, f->life.id) != 0 && h->state != TMK_HOLDING_PASSING) {
        h->look = true; /* somebody may have taken it: see for ourselves */
        tmk_fleet_wake(f, h);
    }
}

static void take_list(tmk_fleet *f, tmk_time now, tmk_time asked, const tmk_store_result *result) {
    for (size_t i = 0; i < f->holding_count; i++) {
        f->holdings[i]->listed = false;
    }
    for (size_t i = 0; i < result->partition_count; i++) {
        const tmk_partition_record *r = &result->partitions[i];
        tmk_holding *h = r->id == NULL ? NULL : tmk_map_get(&f->by_id, tmk_slice_str(r->id));

        if (h != NULL && !h->listed && r->owner != NULL) {
            h->listed = true;
            take_listed(f, h, now, asked, r);
        }
    }
    for (size_t i = 0; i < f->holding_count; i++) {
        tmk_holding *h = f->holdings[i];

        if (!h->listed && h->state == TMK_HOLDING_NONE && asked > h->touched_at) {
            tmk_record_take_absence(h, now);
        }
    }
}

/* --- counting --- */

static bool reserve(tmk_shared *s, size_t count) {
    tmk_share_partition *parts = NULL;

    if (count <= s->room) {
        return true;
    }
    parts = tmk_resize(s->parts, count, sizeof *parts);
    if (parts == NULL) {
        return false;
    }
    s->parts = parts;
    s->room = count;
    return true;
}

/* Who owns it as far as counting goes; "" for nobody, or for one whose time is over. */
static const char *owner_of(const tmk_fleet *f, const tmk_holding *h, tmk_time now) {
    const tmk_record *r = &h->record;

    if (h->state == TMK_HOLDING_PASSING || h->shared.giving) {
        return h->to;
    }
    if (!r->known || r->absent || r->owner[0] == '\0') {
        return "";
    }
    if (TMK_MUTANT(SILENT_TOO_SOON) && r->age_ms >= f->opts.heartbeat / TMK_MS) {
        return "";
    }
    return r->age_ms < f->opts.expiry / TMK_MS || now < f->shared.grace_until ? r->owner : "";
}

/* Our name in a record that we do not hold: it was passed to us, or a claim half succeeded. */
static bool is_passed(const tmk_fleet *f, const tmk_holding *h) {
    return h->state == TMK_HOLDING_NONE && h->record.known && !h->record.absent &&
           tmk_life_is_self(f, h->record.owner);
}

static void forget_asked(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    bool same = tmk_life_is_self(f, h->record.successor);

    if (h->shared.asked_at >= 0 && !same && h->state == TMK_HOLDING_NONE && h->ticket == 0) {
        h->shared.asked_at = -1;
        if (tmk_share_gives(h->record.owner) && !tmk_life_is_self(f, h->record.owner)) {
            f->shared.ask_at = tmk_time_after(now, f->opts.heartbeat); /* refused */
        }
    }
}

/* One partition, as counting sees it. */
static void describe(tmk_fleet *f, tmk_holding *h, tmk_time now, tmk_share_partition *out) {
    const char *owner = owner_of(f, h, now);
    tmk_time patience = f->opts.heartbeat * PATIENCE;
    bool giving = h->state == TMK_HOLDING_PASSING || h->shared.giving;

    forget_asked(f, h, now);
    *out = (tmk_share_partition){.owner = owner};
    out->ours = is_passed(f, h) || (h->state != TMK_HOLDING_NONE && !giving);
    if (owner[0] != '\0' || out->ours) {
        h->shared.free_since = -1;
    } else if (h->shared.free_since < 0) {
        h->shared.free_since = now;
    }
    out->left = h->shared.free_since >= 0 && now - h->shared.free_since > f->opts.expiry;
    out->asked = h->shared.asked_at >= 0;
    out->overdue = out->asked && now - h->shared.asked_at > patience;
}

/* Whether the owner of h, whom we would ask, shows that it lives. */
static bool is_lively(const tmk_fleet *f, const tmk_holding *h) {
    return h->record.age_ms < LIVELY * f->opts.heartbeat / TMK_MS &&
           h->record.successor[0] == '\0' && h->record.generation > 0;
}

static void follow(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_share_partition *p) {
    tmk_shared *s = &f->shared;

    h->shared.want = is_passed(f, h) ? TMK_SHARE_CLAIM : p->want;
    if (h->shared.want == TMK_SHARE_ASK && (now < s->ask_at || !is_lively(f, h))) {
        h->shared.want = TMK_SHARE_NOTHING;
    }
    if (h->shared.want == TMK_SHARE_STEAL) {
        if (now < s->steal_at) {
            h->shared.want = TMK_SHARE_NOTHING;
            return;
        }
        s->steal_at = tmk_time_after(now, f->opts.heartbeat * 9 / 10);
    }
    if (h->shared.want != TMK_SHARE_NOTHING) {
        tmk_fleet_wake(f, h);
    }
}

/* Nobody else is here, and we are not either. */
static bool is_deserted(const tmk_fleet *f) {
    for (size_t i = 0; i < f->holding_count; i++) {
        if (!f->shared.parts[i].ours && f->shared.parts[i].owner[0] != '\0') {
            return false;
        }
    }
    return true;
}

static bool announces(tmk_fleet *f, tmk_time now) {
    tmk_shared *s = &f->shared;

    if (!is_deserted(f)) {
        s->settle_until = now; /* those who are here can be seen */
    } else if (s->settle_until < 0) {
        s->settle_until = tmk_time_after(now, 2 * f->opts.gather);
    }
    return now < s->settle_until;
}

/* True while something is on its way that a list will show. */
static bool is_waiting(const tmk_fleet *f, const tmk_share_result *r, tmk_time now) {
    if (now < f->shared.settle_until || (r->wanted > 0 && r->missing > 0)) {
        return true;
    }
    for (size_t i = 0; i < f->holding_count; i++) {
        if (f->shared.parts[i].asked && !f->shared.parts[i].overdue) {
            return true;
        }
    }
    return false;
}

static void note_hands(tmk_fleet *f, tmk_time now) {
    tmk_shared *s = &f->shared;
    uint64_t hash = TMK_HASH_START;

    for (size_t i = 0; i < f->holding_count; i++) {
        hash = tmk_hash_text(hash, s->parts[i].ours ? f->life.id : s->parts[i].owner);
    }
    if (hash != s->hands) {
        s->hands = hash;
        s->moved_at = now;
    }
}

/* More than anybody should have, and for long: one goes. */
static void give_up_surplus(tmk_fleet *f, tmk_time now, size_t owners) {
    size_t mine = 0, most = f->holding_count / owners + 1;
    tmk_holding *one = NULL;

    for (size_t i = 0; i < f->holding_count; i++) {
        tmk_holding *h = f->holdings[i];
        bool stays = h->state == TMK_HOLDING_HELD && !h->shared.giving && !h->shared.surplus;

        mine += stays;
        if (stays && h->link == TMK_LINK_OPEN && tmk_rng_below(&f->rng, mine) == 0) {
            one = h;
        }
    }
    if (mine > most && one != NULL && now - f->shared.moved_at > STUCK * f->opts.heartbeat) {
        one->shared.surplus = true;
        f->shared.moved_at = now;
        tmk_fleet_wake(f, one);
    }
}

static void count(tmk_fleet *f, tmk_time now) {
    tmk_shared *s = &f->shared;
    tmk_share_terms terms = {.self = f->life.id, .most = SIZE_MAX, .rng = &f->rng};
    tmk_share_result r;
    bool waiting = false;

    if (f->life.stopping || f->holding_count == 0 || !reserve(s, f->holding_count)) {
        return;
    }
    for (size_t i = 0; i < f->holding_count; i++) {
        describe(f, f->holdings[i], now, &s->parts[i]);
    }
    terms.most = f->opts.partitions_max > 0 ? f->opts.partitions_max : SIZE_MAX;
    terms.announce = announces(f, now);
    if (tmk_share(s->parts, f->holding_count, &terms, &r) < 0) {
        return; /* without memory, with the next list */
    }
    for (size_t i = 0; i < f->holding_count; i++) {
        follow(f, f->holdings[i], now, &s->parts[i]);
    }
    note_hands(f, now);
    give_up_surplus(f, now, r.owners);
    s->owners = r.owners;
    s->counted = true;
    waiting = is_waiting(f, &r, now);
    f->planned = !waiting;
    f->recount = true;
    if (waiting) {
        tmk_shared_list_soon(f, now);
    }
}

bool tmk_shared_may_give(const tmk_fleet *f, const tmk_holding *h) {
    const char *who = h->record.successor;
    size_t mine = 0, owners = f->shared.owners;
    bool known = false;

    for (size_t i = 0; i < f->holding_count; i++) {
        const tmk_holding *it = f->holdings[i];
        bool giving = it->shared.giving || it->state == TMK_HOLDING_PASSING;

        mine += it->state == TMK_HOLDING_HELD && !giving;
        known = known || (giving ? strcmp(it->to, who) == 0 : strcmp(it->record.owner, who) == 0);
    }
    return mine > f->holding_count / (owners + (known ? 0 : 1));
}

/* --- lists --- */

void tmk_shared_listed(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                       const tmk_store_result *result) {
    tmk_shared *s = &f->shared;

    if (result->status != TMK_OK) {
        tmk_fleet_errand_failed(f, &f->records, now, &list_pause);
        return;
    }
    f->records.failures = 0;
    f->records.wanted = false;
    f->records_asked = asked->sent;
    if (s->listed_at >= 0 && now - s->listed_at > 3 * f->opts.heartbeat && !TMK_MUTANT(NO_GRACE)) {
        s->grace_until = tmk_time_after(now, f->opts.expiry / 2);
    }
    s->listed_at = now;
    s->list_at = tmk_time_after(now, jittered(f, f->opts.heartbeat));
    take_list(f, now, asked->sent, result);
    tmk_shared_lease(f, now);
    count(f, now);
}

bool tmk_shared_watch_step(tmk_fleet *f, tmk_time now, tmk_fleet_act *out) {
    if (!tmk_life_in(f) || f->life.stopping || f->holding_count == 0) {
        return false;
    }
    if (now >= f->shared.list_at && f->records.ticket == 0) {
        f->shared.list_at = TMK_NEVER;
        f->records.wanted = true;
    }
    if (!tmk_errand_due(&f->records, now)) {
        return false;
    }
    f->op = (tmk_store_op){.kind = TMK_STORE_PARTITION_LIST, .id = "", .version = ""};
    if (!tmk_fleet_submit(f, now, NULL, tmk_fleet_try(f, f->records.failures), &f->records.ticket,
                          out)) {
        return false;
    }
    f->records.wanted = false;
    return true;
}

tmk_time tmk_shared_watch_deadline(const tmk_fleet *f) {
    tmk_time due = tmk_errand_deadline(&f->records);

    if (!tmk_life_in(f) || f->life.stopping || f->holding_count == 0) {
        return TMK_NEVER;
    }
    return f->records.ticket == 0 ? tmk_time_min(due, f->shared.list_at) : due;
}
