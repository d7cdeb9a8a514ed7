/* Counting, then taking. */
#include "core/share.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/map.h"
#include "core/mutants.h"

/* An owner other than ourselves. */
typedef struct group {
    size_t count;
    const char *owner;
    bool gives;
    bool closed; /* nothing more is to be had from it in this round */
} group;

typedef struct counting {
    tmk_share_partition *parts;
    size_t part_count;
    const tmk_share_terms *terms;
    group *groups;
    size_t group_count;
    tmk_map by_owner;
    size_t mine, free_count;
    size_t low;   /* floor(P/N) */
    size_t limit; /* of ours */
    bool stolen;  /* one in this round */
} counting;

bool tmk_share_gives(const char *owner) {
    const char *tilde = strrchr(owner, '~');

    return tilde != NULL && strspn(tilde + 1, "0123456789abcdef") == 8 && tilde[9] == '\0';
}

static tmk_status add_owner(counting *c, tmk_share_partition *p) {
    tmk_slice key = tmk_slice_str(p->owner);
    group *g = tmk_map_get(&c->by_owner, key);

    if (g == NULL) {
        g = &c->groups[c->group_count];
        *g = (group){.owner = p->owner, .gives = tmk_share_gives(p->owner)};
        if (tmk_map_put(&c->by_owner, key, g, NULL) < 0) {
            return TMK_ENOMEM;
        }
        c->group_count++;
    }
    p->group = (size_t)(g - c->groups);
    g->count++;
    return TMK_OK;
}

static tmk_status count_all(counting *c) {
    tmk_status st = TMK_OK;

    for (size_t i = 0; st == TMK_OK && i < c->part_count; i++) {
        tmk_share_partition *p = &c->parts[i];

        p->want = TMK_SHARE_NOTHING;
        if (p->ours) {
            c->mine++;
        } else if (p->owner[0] == '\0') {
            c->free_count++;
        } else {
            st = add_owner(c, p);
        }
    }
    return st;
}

/* How many of the others have at least so many. */
static size_t with_at_least(const counting *c, size_t count) {
    size_t n = 0;

    for (size_t g = 0; g < c->group_count; g++) {
        n += c->groups[g].count >= count;
    }
    return n;
}

static void set_limit(counting *c) {
    size_t n = c->group_count + 1, rest = c->part_count % n;

    c->low = c->part_count / n;
    c->limit = c->low + (with_at_least(c, c->low + 1) < rest);
    if (TMK_MUTANT(ONE_MORE_FOR_ALL)) {
        c->limit = c->low + (rest > 0);
    }
    if (c->limit > c->terms->most) {
        c->limit = c->terms->most;
    }
}

/* --- what is free --- */

static tmk_share_partition *nth_free(counting *c, size_t n) {
    for (size_t i = 0; i < c->part_count; i++) {
        tmk_share_partition *p = &c->parts[i];

        if (!p->ours && p->owner[0] == '\0' && n-- == 0) {
            return p;
        }
    }
    return NULL;
}

/* Where we begin among the free ones, so that those who see the same do not want the same. */
static size_t own_place(const counting *c) {
    size_t before = 0;

    for (size_t g = 0; g < c->group_count; g++) {
        before += strcmp(c->groups[g].owner, c->terms->self) < 0;
    }
    return c->free_count * before / (c->group_count + 1);
}

static void want(counting *c, tmk_share_partition *p, tmk_share_want what) {
    tmk_assert(p != NULL);
    p->want = what;
    c->mine++;
}

static void take_free(counting *c) {
    size_t from = own_place(c);

    if (c->terms->announce && c->mine == 0 && c->free_count > 0 && c->terms->most > 0) {
        want(c, nth_free(c, tmk_rng_below(c->terms->rng, c->free_count)), TMK_SHARE_CLAIM);
        return;
    }
    if (c->terms->announce) {
        return;
    }
    for (size_t i = 0; i < c->free_count; i++) {
        tmk_share_partition *p = nth_free(c, (from + i) % c->free_count);

        if (c->mine < c->limit || (p->left && c->mine < c->terms->most)) {
            want(c, p, TMK_SHARE_CLAIM);
        }
    }
}

/* --- what others have too much of --- */

/* The one with the most that we may take from; NULL: none. */
static group *richest(counting *c) {
    group *best = NULL;

    for (size_t g = 0; g < c->group_count; g++) {
        group *it = &c->groups[g];

        if (!it->closed && (best == NULL || it->count > best->count)) {
            best = it;
        }
    }
    if (TMK_MUTANT(ONE_MORE_FOR_ALL) && best != NULL && best->count > c->low) {
        return best;
    }
    if (best == NULL || best->count > c->low + 1 || (c->mine < c->low && best->count > c->low)) {
        return best;
    }
    return NULL;
}

/* One of its partitions, any of them; of those that are overdue first. */
static tmk_share_partition *pick(counting *c, const group *from, bool asked) {
    tmk_share_partition *chosen = NULL;
    uint64_t seen = 0;

    for (size_t i = 0; i < c->part_count; i++) {
        tmk_share_partition *p = &c->parts[i];
        bool owned = !p->ours && p->owner[0] != '\0' && &c->groups[p->group] == from;

        if (owned && p->want == TMK_SHARE_NOTHING && p->asked == asked &&
            tmk_rng_below(c->terms->rng, ++seen) == 0) {
            chosen = p;
        }
    }
    return chosen;
}

static void take_one(counting *c, group *from) {
    tmk_share_partition *p = pick(c, from, false);
    bool steal = !from->gives || TMK_MUTANT(OURS_ARE_STOLEN_FROM);

    if (p == NULL || (steal && c->stolen)) {
        from->closed = true;
        return;
    }
    c->stolen = c->stolen || steal;
    from->count--;
    want(c, p, steal ? TMK_SHARE_STEAL : TMK_SHARE_ASK);
}

/* What was asked for counts as ours while it may still come; too late, it is taken. */
static void count_asked(counting *c) {
    for (size_t i = 0; i < c->part_count; i++) {
        tmk_share_partition *p = &c->parts[i];
        group *from = &c->groups[p->group];

        if (p->ours || p->owner[0] == '\0' || !p->asked) {
            continue;
        }
        if (!p->overdue) {
            from->count--;
            c->mine++;
        } else if (!c->stolen && richest(c) != NULL && c->mine < c->limit) {
            c->stolen = true;
            from->count--;
            want(c, p, TMK_SHARE_STEAL);
        }
    }
}

static bool anybody_poorer(const counting *c) {
    for (size_t g = 0; g < c->group_count; g++) {
        if (c->groups[g].count < c->low) {
            return true;
        }
    }
    return false;
}

static void take_from_others(counting *c) {
    group *from = NULL;

    while (c->mine < c->limit && (c->mine < c->low || !anybody_poorer(c)) &&
           (from = richest(c)) != NULL) {
        take_one(c, from);
    }
}

tmk_status tmk_share(tmk_share_partition *parts, size_t count, const tmk_share_terms *terms,
                     tmk_share_result *out) {
    counting c = {.parts = parts, .part_count = count, .terms = terms};
    tmk_status st = TMK_OK;

    *out = (tmk_share_result){.owners = 1};
    c.groups = tmk_alloc_zero(count + 1, sizeof *c.groups);
    st = c.groups == NULL ? TMK_ENOMEM : count_all(&c);
    if (st == TMK_OK) {
        size_t had = c.mine;

        set_limit(&c);
        out->owners = c.group_count + 1;
        out->missing = c.limit > had ? c.limit - had : 0;
        take_free(&c);
        count_asked(&c);
        if (c.free_count == 0) {
            take_from_others(&c);
        }
        for (size_t i = 0; i < count; i++) {
            out->wanted += parts[i].want != TMK_SHARE_NOTHING;
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            parts[i].want = TMK_SHARE_NOTHING;
        }
    }
    tmk_map_clear(&c.by_owner, NULL);
    tmk_free(c.groups);
    return st;
}
