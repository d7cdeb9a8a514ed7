/* What happens when in a mixed life, and what must be true in the end. */
#include "mixed_lives.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const mixed_life_names[MIXED_LIFE_KINDS] = {"ours", "mixed", "faults"};

static tmk_time seconds(mixed *m, int64_t from, int64_t to) {
    return tmk_rng_between(&m->rng, from * 1000, to * 1000) * TMK_MS;
}

static mixed_actor *any(mixed *m) {
    size_t pick = tmk_rng_below(&m->rng, mixed_alive(m));

    for (size_t i = 0; i < m->actor_count; i++) {
        mixed_actor *a = m->actors[i];

        if (a->alive && !a->stopping && pick-- == 0) {
            return a;
        }
    }
    return NULL;
}

static mixed_kind some_kind(mixed *m, mixed_life_kind kind) {
    bool ours = kind == MIXED_OURS || tmk_rng_chance(&m->rng, 0.4);

    return ours ? MIXED_TIDEMARK : (mixed_kind)tmk_rng_between(&m->rng, 1, MIXED_KINDS - 1);
}

static void make_trouble(mixed *m) {
    sim_blobs_trouble *t = sim_blobs_trouble_of(m->blobs);
    mixed_actor *a = any(m);

    switch (tmk_rng_below(&m->rng, 7)) {
    case 0:
        m->clear_since = TMK_NEVER;
        t->lose_answer = 0.2;
        t->lose_request = 0.1;
        break;
    case 1:
        m->clear_since = TMK_NEVER;
        t->slow = 0.2;
        break;
    case 2:
        m->clear_since = TMK_NEVER;
        t->outage = !t->outage;
        break;
    case 3:
        mixed_cut_hub(a, true);
        break;
    case 4:
        if (!a->frozen) {
            mixed_freeze(a, seconds(m, 1, 200));
        }
        break;
    case 5: /* both; the hub may be back before the store is */
        mixed_cut_hub(a, true);
        __attribute__((fallthrough));
    default:
        if (a->store != NULL) {
            m->clear_since = TMK_NEVER;
            sim_blobs_cut(a->store, true);
        }
        break;
    }
}

static void mend_hubs(mixed *m) {
    for (size_t i = 0; i < m->actor_count; i++) {
        if (m->actors[i]->alive) {
            mixed_cut_hub(m->actors[i], false);
        }
    }
}

static void mend(mixed *m) {
    m->clear_since = m->kernel.now;
    mend_hubs(m);
    *sim_blobs_trouble_of(m->blobs) = (sim_blobs_trouble){0};
    for (size_t i = 0; i < m->actor_count; i++) {
        mixed_actor *a = m->actors[i];

        if (a->alive && a->store != NULL) {
            sim_blobs_cut(a->store, false);
        }
        if (a->alive && a->frozen) {
            sim_at(&m->kernel, &a->wake, m->kernel.now);
        }
    }
}

static void blow(mixed *m, mixed_life_kind kind) {
    uint64_t what = tmk_rng_below(&m->rng, kind == MIXED_FAULTS ? 6 : kind == MIXED_BESIDE ? 4 : 3);
    size_t alive = mixed_alive(m);

    if (what == 0 && m->actor_count < MIXED_ACTORS_MAX - 2) {
        (void)mixed_start(m, some_kind(m, kind));
    } else if (what == 1 && alive > 1) {
        mixed_actor *a = any(m);

        if (!a->frozen) {
            mixed_stop(a);
        }
    } else if (what == 3 && alive > 1) {
        mixed_kill(any(m));
    } else if (what > 3) {
        make_trouble(m);
    }
    if (kind == MIXED_FAULTS && tmk_rng_chance(&m->rng, 0.2)) {
        mend_hubs(m);
    }
    if (kind == MIXED_FAULTS && tmk_rng_chance(&m->rng, 0.2)) {
        mend(m);
    }
}

/* Everybody's expiry, and one step of the slowest for each partition. */
static void await_order(mixed *m, tmk_time *took) {
    tmk_time from = m->kernel.now,
             patience = 600 * TMK_SEC + (tmk_time)m->partitions * 60 * TMK_SEC;
    char why[160] = "";

    while (!m->kernel.failed && !mixed_in_order(m, why, sizeof why)) {
        if (m->kernel.now - from > patience) {
            sim_violation(&m->kernel, "M5", "not in order after %" PRId64 " s: %s",
                          patience / TMK_SEC, why);
            return;
        }
        sim_run(&m->kernel, m->kernel.now + TMK_SEC);
    }
    *took = m->kernel.now - from > *took ? m->kernel.now - from : *took;
}

/* Official ones fight with each other for links; what is theirs may change hands by that. */
static void end_zombies(mixed *m) {
    for (size_t i = 0; i < m->actor_count; i++) {
        if (m->actors[i]->alive && m->actors[i]->kind != MIXED_TIDEMARK) {
            official_end_zombies(m->actors[i]);
        }
    }
}

/* Five minutes in which nothing changes hands. */
static void check_rest(mixed *m) {
    char why[160] = "";

    for (int expiry = 0; expiry < 3; expiry++) {
        end_zombies(m);
        sim_run(&m->kernel, m->kernel.now + 200 * TMK_SEC); /* what they have let lie expires */
    }
    end_zombies(m);
    if (m->kernel.failed || !mixed_in_order(m, why, sizeof why)) {
        sim_violation(&m->kernel, "M6", "out of order again: %s", why);
        return;
    }
    m->at_rest = true;
    sim_run(&m->kernel, m->kernel.now + 300 * TMK_SEC);
    if (m->planned_only) { /* nor does it when nobody could renew for a while */
        sim_blobs_trouble_of(m->blobs)->outage = true;
        sim_run(&m->kernel, m->kernel.now + seconds(m, 60, 200));
        sim_blobs_trouble_of(m->blobs)->outage = false;
        sim_run(&m->kernel, m->kernel.now + 120 * TMK_SEC);
    }
    if (!mixed_in_order(m, why, sizeof why)) {
        sim_violation(&m->kernel, "M6", "out of order at rest: %s", why);
    }
    m->at_rest = false;
}

void mixed_live(mixed_life_kind kind, uint64_t seed, FILE *trace, mixed_verdict *out) {
    mixed *m = calloc(1, sizeof *m);
    tmk_time end = 0;
    size_t first = 0;
    tmk_rng rng;

    if (m == NULL) {
        abort();
    }
    *out = (mixed_verdict){0};
    tmk_rng_seed(&rng, seed);
    mixed_init(m, seed, 1 + tmk_rng_below(&rng, 24), trace);
    m->planned_only = kind == MIXED_OURS;
    first = 1 + tmk_rng_below(&m->rng, 5);
    (void)mixed_start(m, MIXED_TIDEMARK);
    for (size_t i = 1; i < first; i++) {
        sim_run(&m->kernel, m->kernel.now + seconds(m, 0, 5));
        (void)mixed_start(m, some_kind(m, kind));
    }
    end = m->kernel.now + seconds(m, 60, 600);
    while (m->kernel.now < end && !m->kernel.failed) {
        sim_run(&m->kernel, m->kernel.now + seconds(m, 0, 60));
        blow(m, kind);
    }
    mend(m);
    await_order(m, &out->slowest);
    check_rest(m);
    out->failed = m->kernel.failed;
    (void)snprintf(out->rule, sizeof out->rule, "%s", m->kernel.rule);
    (void)snprintf(out->what, sizeof out->what, "%s", m->kernel.what);
    out->lived = m->kernel.now;
    out->moves = m->moves;
    out->repeats = m->repeats;
    mixed_clear(m);
    free(m);
}
