/*
 * Balance by measured load, where all who are counted in ask for it.
 *
 * Each tells in its record what its partitions cost: a table. So everybody knows
 * the same about all, and computes the same rounds: members are ranked by the
 * sums of their tables, the first gives to the last, the second to the last but
 * one, and so on; each of these pairs moves a few partitions, if that spares the
 * heavier enough (core/weigh.h); if not, the next one gives to the last. Nobody
 * is in two pairs.
 *
 * A round is made from the two tables alone, so it stays the same while it is
 * carried out, in any order. It counts only as long as what the two own is what
 * the tables say, or what the round makes of it: so nothing moves by tables of
 * before the last move. The receiver publishes a hash of the round, and
 * the giver waits for that, as it does for the view.
 *
 * That is also what damps it. A table is told again only when what it says has
 * changed by more than a tenth, or other partitions are ours; at most once a
 * minute, and only when the same partitions have been ours for a minute: the
 * loads are those of what we have now. Nothing else is remembered.
 *
 * Joins, leaves and deaths go before: while the plan moves anything because of
 * them, nothing moves for its load. In that plan those who have told a table
 * keep what they have (tmk_plan_member.keeps), so that what was levelled is not
 * undone; new ones get a share by count and are levelled later.
 */
#include "core/fleet_inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* A partition that is in no table, or in two. */
#define NOBODY (-1)
#define DISPUTED (-2)
/* A round that does not come to its end keeps us from telling no longer than so many times. */
#define PATIENCE 4
/* What a table must differ by to be told again: a tenth of all, and so many units. */
#define NEWS_UNITS 20

void tmk_weigh_begin(tmk_fleet *f) {
    f->weigh.told_at = -1;
    f->weigh.set_since = f->now;
    f->weigh.pair = 0;
    f->weigh.receives = false;
}

void tmk_weigh_clear(tmk_fleet *f) {
    tmk_weigh *w = &f->weigh;

    tmk_free(w->tellers);
    tmk_free(w->loads);
    tmk_free(w->own);
    tmk_free(w->scratch);
    tmk_free(w->ranks);
    memset(w, 0, sizeof *w);
}

static void forget_tellers(tmk_fleet *f) {
    for (size_t p = 0; p < f->weigh.room; p++) {
        f->weigh.tellers[p] = NOBODY;
    }
}

void tmk_weigh_forget(tmk_fleet *f) {
    forget_tellers(f);
    for (size_t p = 0; p < f->weigh.room; p++) {
        f->weigh.own[p] = TMK_LOAD_NONE;
    }
    for (size_t i = 0; i < f->view.count; i++) {
        f->view.members[i].told = false;
    }
}

static bool grow(void *array, size_t room, size_t size) {
    void **at = array;
    void *grown = tmk_resize(*at, room, size);

    if (grown == NULL) {
        return false;
    }
    *at = grown;
    return true;
}

tmk_status tmk_weigh_reserve(tmk_fleet *f, size_t members, size_t partitions) {
    tmk_weigh *w = &f->weigh;

    if (!f->opts.weighted) {
        return TMK_OK;
    }
    if (members > w->rank_room) {
        if (!grow(&w->ranks, members + 4, sizeof *w->ranks)) {
            return TMK_ENOMEM;
        }
        w->rank_room = members + 4;
    }
    if (partitions > w->room) {
        if (!grow(&w->tellers, partitions, sizeof *w->tellers) ||
            !grow(&w->loads, partitions, sizeof *w->loads) ||
            !grow(&w->own, partitions, sizeof *w->own) ||
            !grow(&w->scratch, partitions, sizeof *w->scratch)) {
            return TMK_ENOMEM;
        }
        w->room = partitions;
        tmk_weigh_forget(f);
    }
    return TMK_OK;
}

bool tmk_fleet_weighs(const tmk_fleet *f) {
    return f->weigh.on && f->planned;
}

/* --- our own table --- */

void tmk_weigh_hands(tmk_fleet *f, tmk_holding *h) {
    h->gauge = (tmk_gauge){0};
    f->weigh.set_since = f->now;
}

void tmk_fleet_measured(tmk_fleet *f, tmk_time now, const char *partition, uint64_t bytes,
                        tmk_time busy) {
    tmk_holding *h = tmk_map_get(&f->by_id, tmk_slice_str(partition));

    if (h != NULL && h->state == TMK_HOLDING_HELD) {
        tmk_gauge_take(&h->gauge, now, bytes, busy);
    }
}

/* False: not all of what is ours has been measured for long enough. */
static bool make_table(tmk_fleet *f, tmk_time now) {
    for (size_t p = 0; p < f->holding_count; p++) {
        const tmk_holding *h = f->holdings[p];
        tmk_time age = h->gauge.begun ? now - h->gauge.from : 0;

        f->weigh.scratch[p] = TMK_LOAD_NONE;
        if (h->state == TMK_HOLDING_HELD) {
            if (age < f->opts.weigh_every / 2 && !TMK_MUTANT(WEIGH_RESTLESS)) {
                return false;
            }
            f->weigh.scratch[p] = tmk_load_rounded(tmk_gauge_load(&h->gauge));
        }
    }
    return true;
}

/* Whether the new table says something that the one that we have told does not. */
static bool is_news(const tmk_fleet *f) {
    uint64_t off = 0, sum = 0;

    if (f->weigh.told_at < 0 || TMK_MUTANT(WEIGH_RESTLESS)) {
        return true;
    }
    for (size_t p = 0; p < f->holding_count; p++) {
        uint32_t before = f->weigh.own[p], now = f->weigh.scratch[p];

        if ((before == TMK_LOAD_NONE) != (now == TMK_LOAD_NONE)) {
            return true;
        }
        if (now != TMK_LOAD_NONE) {
            off += now > before ? now - before : before - now;
            sum += before;
        }
    }
    return off > NEWS_UNITS && off > sum / 10;
}

static bool may_tell(const tmk_fleet *f, tmk_time now) {
    const tmk_weigh *w = &f->weigh;
    tmk_time age = w->told_at < 0 ? TMK_NEVER : now - w->told_at;
    bool patient = age < PATIENCE * f->opts.weigh_every;

    if (!w->on || !f->planned || !f->life.active || f->life.phase != TMK_LIFE_IN) {
        return false;
    }
    if (TMK_MUTANT(WEIGH_RESTLESS)) {
        return true;
    }
    return f->moving == 0 && (!patient || f->expecting + f->owing == 0) &&
           now - w->set_since >= f->opts.weigh_every && age >= f->opts.weigh_every;
}

void tmk_fleet_weigh(tmk_fleet *f, tmk_time now) {
    tmk_weigh *w = &f->weigh;
    char table[TMK_LOADS_ROOM];

    if (!may_tell(f, now) || !make_table(f, now) || !is_news(f) ||
        !tmk_loads_write(w->scratch, f->holding_count, table)) {
        return;
    }
    memcpy(w->table, table, strlen(table) + 1);
    memcpy(w->own, w->scratch, f->holding_count * sizeof *w->own);
    w->told_at = now;
    f->life.write.wanted = true;
}

/* --- what the others tell --- */

static void take_table(tmk_fleet *f, size_t place, tmk_slice text) {
    tmk_weigh *w = &f->weigh;
    tmk_view_member *m = &f->view.members[place];

    m->told = text.bytes != NULL && tmk_loads_read(text, w->scratch, f->holding_count);
    for (size_t p = 0; m->told && p < f->holding_count; p++) {
        if (w->scratch[p] != TMK_LOAD_NONE) {
            w->tellers[p] = w->tellers[p] == NOBODY ? (int32_t)place : DISPUTED;
            w->loads[p] = w->scratch[p];
            m->told_count++;
            m->told_load += w->scratch[p];
        }
    }
}

/* Those of the evicted and the leaving do not count: what they had is dealt out already. */
void tmk_weigh_listed(tmk_fleet *f, const tmk_member_record *members, size_t count) {
    if (!f->opts.weighted) {
        return;
    }
    forget_tellers(f);
    for (size_t i = 0; i < count; i++) {
        tmk_view_member *m = members[i].id == NULL ? NULL : tmk_view_find(&f->view, members[i].id);

        if (m != NULL && !m->told && !m->evicted && m->text.weighted &&
            m->text.state == TMK_FLEET_MEMBER) {
            take_table(f, (size_t)(m - f->view.members), tmk_member_text_loads(members[i].body));
        }
    }
}

/* --- a round --- */

static int by_load(const void *a, const void *b) {
    const tmk_rank *left = a, *right = b;

    if (left->load != right->load) {
        return left->load > right->load ? -1 : 1;
    }
    return left->member < right->member ? -1 : 1;
}

/* Those who have told a table, the heaviest first. */
static size_t rank(tmk_fleet *f, uint64_t *mean) {
    size_t count = 0;
    uint64_t sum = 0;

    for (size_t i = 0; i < f->plan_count; i++) {
        const tmk_view_member *m = tmk_plan_seen(f, i);

        if (m != NULL && m->told) {
            f->weigh.ranks[count++] = (tmk_rank){.member = (int32_t)i,
                                                 .place = (int32_t)(m - f->view.members),
                                                 .load = m->told_load};
            sum += m->told_load;
        }
    }
    qsort(f->weigh.ranks, count, sizeof *f->weigh.ranks, by_load);
    *mean = count == 0 ? 0 : sum / count;
    return count;
}

/* What the two own is what their tables say, or what the round makes of it. */
static bool still_holds(const tmk_fleet *f, const tmk_rank *giver, const tmk_rank *receiver) {
    size_t told = 0, owned = 0;

    if (TMK_MUTANT(WEIGH_BY_OLD_TABLES)) {
        return true;
    }
    for (size_t p = 0; p < f->holding_count; p++) {
        int32_t teller = f->weigh.tellers[p], owner = f->holdings[p]->owner_place;
        bool given = teller == giver->place && owner == receiver->member && f->holdings[p]->weighed;

        owned += owner == giver->member || owner == receiver->member;
        if (teller != giver->place && teller != receiver->place) {
            continue;
        }
        told++;
        if (owner != (teller == giver->place ? giver->member : receiver->member) && !given) {
            return false;
        }
    }
    return told == owned && told == f->view.members[giver->place].told_count +
                                        f->view.members[receiver->place].told_count;
}

static uint64_t hash_round(const tmk_fleet *f, const tmk_rank *giver, const tmk_rank *receiver,
                           const size_t *moves, size_t count) {
    uint64_t h = tmk_hash_text(TMK_HASH_START, f->view.members[giver->place].id);

    h = tmk_hash_text(h, f->view.members[receiver->place].id);
    for (size_t i = 0; i < count; i++) {
        h = tmk_hash_text(h, f->holdings[moves[i]]->id);
    }
    h = tmk_stir(h);
    return h == 0 ? 1 : h;
}

/* How many partitions more the receiver may have, as far as a round goes. */
static uint32_t room_of(const tmk_fleet *f, const tmk_rank *receiver) {
    uint32_t has = f->view.members[receiver->place].told_count;
    uint32_t limit = f->plan_members[receiver->member].most;
    uint32_t most = TMK_MUTANT(WEIGH_ALL_AT_ONCE) ? TMK_WEIGH_MOVES_MAX : f->opts.weigh_moves;

    uint32_t room = limit > has ? limit - has : 0;

    return limit == 0 || room > most ? most : room;
}

static size_t make_round(const tmk_fleet *f, const tmk_rank *giver, const tmk_rank *receiver,
                         uint64_t mean, size_t moves[TMK_WEIGH_MOVES_MAX]) {
    const tmk_weigh_pair pair = {.giver = giver->place,
                                 .receiver = receiver->place,
                                 .giver_load = giver->load,
                                 .receiver_load = receiver->load,
                                 .mean = mean,
                                 .moves_most = room_of(f, receiver)};

    return tmk_weigh_round(&pair, f->weigh.tellers, f->weigh.loads, f->holding_count, moves);
}

/* The lightest that is in no pair and has room, below the giver; NULL: none. */
static tmk_rank *lightest(const tmk_fleet *f, size_t giver, size_t count) {
    for (size_t i = count; i > giver + 1; i--) {
        tmk_rank *r = &f->weigh.ranks[i - 1];

        if (!r->paired && room_of(f, r) > 0) {
            return r;
        }
    }
    return NULL;
}

/* The round that we are in, and how many partitions move in it; 0: in none. Whoever has nothing
 * that would help the lightest, a single heavy partition say, leaves it to the next. */
static size_t find_round(const tmk_fleet *f, size_t count, uint64_t mean, const tmk_rank **giver,
                         const tmk_rank **receiver, size_t moves[TMK_WEIGH_MOVES_MAX]) {
    for (size_t i = 0; i < count; i++) {
        tmk_rank *from = &f->weigh.ranks[i], *to = lightest(f, i, count);
        size_t made = 0;

        if (from->paired || to == NULL) {
            continue;
        }
        made = make_round(f, from, to, mean, moves);
        from->paired = to->paired = made > 0;
        if (made > 0 && (tmk_plan_is_self(f, from->member) || tmk_plan_is_self(f, to->member))) {
            *giver = from;
            *receiver = to;
            return made;
        }
    }
    return 0;
}

static bool is_settled(const tmk_fleet *f) {
    for (size_t p = 0; p < f->holding_count; p++) {
        if (f->holdings[p]->target != f->holdings[p]->owner_place) {
            return false;
        }
    }
    return true;
}

static uint64_t plan_round(tmk_fleet *f) {
    const tmk_rank *giver = NULL, *receiver = NULL;
    size_t moves[TMK_WEIGH_MOVES_MAX], count = 0;
    uint64_t mean = 0;

    if (!f->weigh.on || !is_settled(f)) {
        return 0;
    }
    count = rank(f, &mean);
    count = find_round(f, count, mean, &giver, &receiver, moves);
    for (size_t i = 0; i < count; i++) {
        f->holdings[moves[i]]->weighed = true;
    }
    if (count == 0 || !still_holds(f, giver, receiver)) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        f->holdings[moves[i]]->target = receiver->member;
    }
    f->weigh.receives = tmk_plan_is_self(f, receiver->member);
    return hash_round(f, giver, receiver, moves, count);
}

void tmk_weigh_plan(tmk_fleet *f) {
    uint64_t before = f->weigh.pair, told = f->weigh.receives ? before : 0;

    if (!f->opts.weighted) {
        return;
    }
    for (size_t p = 0; p < f->holding_count; p++) {
        f->holdings[p]->weighed = false;
    }
    f->weigh.receives = false;
    f->weigh.pair = plan_round(f);
    for (size_t p = 0; p < f->holding_count && f->weigh.pair == 0; p++) {
        f->holdings[p]->weighed = false;
    }
    if ((f->weigh.receives ? f->weigh.pair : 0) != told) {
        f->life.write.wanted = true; /* the giver waits for our word */
    }
    if (f->weigh.pair != 0 && f->weigh.pair != before) {
        tmk_fleet_stir(f, f->now);
    }
}
