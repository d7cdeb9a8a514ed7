/*
 * Models of the official processors: their counting, their writes, and what
 * they do when they are stolen from, each with its defaults.
 */
#include "mixed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_TAKES (20 * TMK_MS)

/* What one of them sees in a list. */
typedef struct counts {
    size_t free[MIXED_PARTITIONS_MAX], free_count;
    const char *owner[MIXED_PARTITIONS_MAX]; /* "": free */
    size_t of[MIXED_PARTITIONS_MAX];         /* how many its owner has */
    const char *owners[MIXED_ACTORS_MAX];
    size_t has[MIXED_ACTORS_MAX], owner_count; /* with ourselves, at 0 */
    size_t mine, low, rest;
} counts;

static bool is_js(const mixed_actor *a) {
    return a->kind == MIXED_JS_BALANCED || a->kind == MIXED_JS_GREEDY;
}

static bool is_greedy(const mixed_actor *a) {
    return (a->kind - MIXED_NET_BALANCED) % 2 == 1;
}

/* These renew only what they read: what they own and have stopped reading is left to expire. */
static bool renews_what_it_reads(const mixed_actor *a) {
    return is_js(a) || a->kind == MIXED_JAVA_BALANCED || a->kind == MIXED_JAVA_GREEDY;
}

/* These end the reading of what they find lost; the others read on until their link is taken. */
static bool stops_when_lost(const mixed_actor *a) {
    return a->kind <= MIXED_NET_GREEDY || a->kind == MIXED_PYTHON_BALANCED ||
           a->kind == MIXED_PYTHON_GREEDY;
}

static tmk_time now_of(const mixed_actor *a) {
    return a->world->kernel.now;
}

/* --- reading --- */

static void on_opened(void *user) {
    mixed_reader *r = user;
    mixed_actor *a = r->actor;

    if (r->state == MIXED_OPENING) {
        r->state = MIXED_RUNS;
        r->since = now_of(a);
        sim_at(&a->world->kernel, &r->save, now_of(a) + a->save_every);
    }
}

/*
 * Stolen, or refused. The JavaScript processor misses the former when its handler runs at that
 * moment, which may be always, and attaches again; all others stop.
 */
static void on_ended(void *user) {
    mixed_reader *r = user;
    mixed_actor *a = r->actor;
    bool missed = is_js(a) && r->state == MIXED_RUNS && tmk_rng_chance(&a->rng, a->busy);

    mixed_advance(r);
    mixed_close(r);
    sim_trace(&a->world->kernel, "fault", ",\"owner\":\"%s\",\"partition\":\"%zu\"", a->id,
              r->partition);
    r->lost = missed;
    if (missed) {
        sim_at(&a->world->kernel, &r->start,
               now_of(a) + tmk_rng_between(&a->rng, 10, 400) * TMK_MS);
    }
}

static void on_trouble(void *user, bool up) {
    (void)user;
    (void)up;
}

static const sim_link_events link_events = {on_opened, on_ended, on_trouble};

static void write_checkpoint(mixed_reader *r) {
    sim_blob_write w = {0};
    tmk_blob_meta meta = {0};
    char name[64], number[24], etag[24];

    (void)snprintf(number, sizeof number, "%" PRId64, r->final);
    mixed_name(name, "checkpoint", r->partition);
    tmk_blob_meta_add(&meta, TMK_LIT("sequencenumber"), tmk_slice_str(number));
    tmk_blob_meta_add(&meta, TMK_LIT("offset"), tmk_slice_str(number));
    w.name = name;
    w.meta = &meta;
    if (sim_blobs_write(r->actor->world->blobs, NULL, &w, etag) == 404) {
        w.put = true;
        (void)sim_blobs_write(r->actor->world->blobs, NULL, &w, etag);
    }
    r->saved = r->final;
    tmk_blob_meta_clear(&meta);
}

static void on_save(sim_event *e) {
    mixed_reader *r = sim_event_of(e, mixed_reader, save);

    if (r->state != MIXED_RUNS) {
        return;
    }
    sim_at(&r->actor->world->kernel, e, now_of(r->actor) + r->actor->save_every);
    mixed_advance(r);
    if (!r->actor->frozen && r->final > r->saved) {
        write_checkpoint(r);
    }
}

static void on_start(sim_event *e) {
    mixed_reader *r = sim_event_of(e, mixed_reader, start);

    if (r->actor->frozen || r->state != MIXED_NOT || !r->actor->alive) {
        return;
    }
    if (r->lost) { /* goes on from where it was, as if nothing had happened */
        SIM_MARK("attached again");
        r->lost = false;
        r->state = MIXED_OPENING;
        r->link = sim_hub_open(r->actor->hub, r->partition, 0, &link_events, r);
        return;
    }
    mixed_open(r, mixed_checkpoint(r->actor->world, r->partition), 0, &link_events);
}

static void start_reading(mixed_reader *r) {
    if (r->state == MIXED_NOT && r->start.node.index == 0) {
        sim_at(&r->actor->world->kernel, &r->start,
               now_of(r->actor) + tmk_rng_between(&r->actor->rng, 5, 50) * TMK_MS);
    }
}

static void stop_reading(mixed_reader *r) {
    mixed_advance(r);
    mixed_close(r);
}

/* --- writes --- */

static int write_owner(mixed_reader *r, const char *owner, const char *if_match,
                       const char *if_none_match, bool put) {
    sim_blob_write w = {.if_match = if_match, .if_none_match = if_none_match, .put = put};
    tmk_blob_meta meta = {0};
    char name[64], etag[24] = "";
    int code = 0;

    mixed_name(name, "ownership", r->partition);
    tmk_blob_meta_add(&meta, TMK_LIT("ownerid"), tmk_slice_str(owner));
    w.name = name;
    w.meta = &meta;
    code = sim_blobs_write(r->actor->world->blobs, NULL, &w, etag);
    if (code < 300) {
        memcpy(r->etag, etag, sizeof r->etag);
    }
    tmk_blob_meta_clear(&meta);
    return code;
}

static bool claim(mixed_reader *r) {
    mixed_actor *a = r->actor;
    int code = 0;

    if (r->listed[0] != '\0') {
        code = write_owner(r, a->id, r->mine ? r->etag : r->listed, NULL, false);
    } else if (is_js(a)) { /* without a condition: two can win */
        code = write_owner(r, a->id, NULL, NULL, false);
        code = code == 404 ? write_owner(r, a->id, NULL, NULL, true) : code;
    } else {
        code = write_owner(r, a->id, NULL, "*", true);
    }
    return code < 300;
}

/* One of the row: renewals and new claims alike. */
static void claim_next(mixed_actor *a) {
    mixed_reader *r = &a->readers[a->queue[a->queue_at++]];
    bool had = r->mine;

    r->mine = claim(r);
    if (r->mine) {
        start_reading(r);
    } else {
        r->etag[0] = '\0';
        if (had && stops_when_lost(a)) {
            stop_reading(r);
        }
    }
}

/* --- counting --- */

static void count_owner(counts *c, size_t p, const char *owner) {
    size_t o = 0;

    c->owner[p] = owner;
    for (o = 0; o < c->owner_count && strcmp(c->owners[o], owner) != 0; o++) {
    }
    if (o == c->owner_count) {
        c->owners[c->owner_count++] = owner;
    }
    c->has[o]++;
}

static void look(mixed_actor *a, counts *c) {
    mixed *m = a->world;

    memset(c, 0, sizeof *c);
    c->owners[c->owner_count++] = a->id;
    for (size_t p = 0; p < m->partitions; p++) {
        const sim_blob *blob = NULL;
        const char *owner = mixed_owner(m, p);
        char name[64];

        mixed_name(name, "ownership", p);
        blob = sim_blobs_find(m->blobs, name);
        a->readers[p].listed[0] = '\0';
        if (blob != NULL) {
            memcpy(a->readers[p].listed, blob->etag, sizeof blob->etag);
        }
        if (owner[0] == '\0' ||
            (sim_blobs_date(m->blobs).us - blob->modified.us) * TMK_US >= a->expiry) {
            c->owner[p] = "";
            c->free[c->free_count++] = p;
        } else {
            count_owner(c, p, owner);
        }
    }
    for (size_t p = 0; p < m->partitions; p++) {
        for (size_t o = 0; o < c->owner_count; o++) {
            c->of[p] = strcmp(c->owner[p], c->owners[o]) == 0 ? c->has[o] : c->of[p];
        }
    }
    c->mine = c->has[0];
    c->low = m->partitions / c->owner_count;
    c->rest = m->partitions % c->owner_count;
}

static size_t with_at_least(const counts *c, size_t count, bool others) {
    size_t n = 0;

    for (size_t o = others; o < c->owner_count; o++) {
        n += c->has[o] >= count;
    }
    return n;
}

static bool any_below(const counts *c, size_t count) {
    return with_at_least(c, count, false) < c->owner_count;
}

static size_t most_of_others(const counts *c) {
    size_t most = 0;

    for (size_t o = 1; o < c->owner_count; o++) {
        most = c->has[o] > most ? c->has[o] : most;
    }
    return most;
}

/* All partitions of others whose owner has so many, from..to. */
static size_t of_owners(const counts *c, const mixed_actor *a, size_t from, size_t to,
                        size_t out[]) {
    size_t n = 0;

    for (size_t p = 0; p < a->world->partitions; p++) {
        if (c->owner[p][0] != '\0' && strcmp(c->owner[p], a->id) != 0 && c->of[p] >= from &&
            c->of[p] <= to) {
            out[n++] = p;
        }
    }
    return n;
}

static void add(mixed_actor *a, size_t p) {
    a->queue[a->queue_count++] = p;
}

static bool add_any(mixed_actor *a, const size_t from[], size_t count) {
    if (count > 0) {
        add(a, from[tmk_rng_below(&a->rng, count)]);
    }
    return count > 0;
}

static bool is_balanced(const counts *c) {
    return c->free_count == 0 && !any_below(c, c->low) &&
           with_at_least(c, c->low + 2, false) == 0 &&
           with_at_least(c, c->low + 1, false) == c->rest;
}

static void decide_net(mixed_actor *a, counts *c) {
    size_t some[MIXED_PARTITIONS_MAX], n = 0;
    bool may = c->mine < c->low || (c->mine == c->low && !any_below(c, c->low));

    if (!may) {
        return;
    }
    a->again = is_greedy(a);
    if (add_any(a, c->free, c->free_count)) {
        return;
    }
    n = of_owners(c, a, c->low + 2, SIZE_MAX, some);
    if (n == 0 && c->mine < c->low) {
        n = of_owners(c, a, c->low + 1, c->low + 1, some);
    }
    a->again = add_any(a, some, n) && a->again;
}

static void decide_java(mixed_actor *a, counts *c) {
    size_t some[MIXED_PARTITIONS_MAX], n = 0;

    if (is_balanced(c) || (c->mine >= c->low && any_below(c, c->mine))) {
        return;
    }
    a->again = is_greedy(a);
    if (!add_any(a, c->free, c->free_count)) {
        n = of_owners(c, a, most_of_others(c), SIZE_MAX, some);
        a->again = add_any(a, some, n) && a->again;
    }
}

static void decide_go(mixed_actor *a, counts *c) {
    size_t some[MIXED_PARTITIONS_MAX], n = 0;
    size_t allowed = c->low + (c->rest > 0 && c->mine >= c->low);

    n = of_owners(c, a, allowed + 1, SIZE_MAX, some);
    if (c->mine >= allowed || (c->rest > 0 && c->mine + 1 == allowed && c->free_count + n == 0)) {
        return;
    }
    if (!is_greedy(a)) {
        (void)(add_any(a, c->free, c->free_count) || add_any(a, some, n));
        return;
    }
    for (size_t i = 0; i < allowed - c->mine && i < c->free_count; i++) {
        add(a, c->free[i]);
    }
    if (c->free_count < allowed - c->mine) {
        (void)add_any(a, some, n);
    }
}

static void decide_python(mixed_actor *a, counts *c) {
    size_t some[MIXED_PARTITIONS_MAX], n = 0, high = c->low + (c->rest > 0);

    if (c->mine < high && c->free_count > 0 && is_greedy(a)) {
        size_t from = tmk_rng_below(&a->rng, c->free_count);

        for (size_t i = 0; i < high - c->mine && i < c->free_count; i++) {
            add(a, c->free[(from + i) % c->free_count]);
        }
    } else if (c->mine < high && c->free_count > 0) {
        (void)add_any(a, c->free, c->free_count);
    } else if (c->mine < c->low) {
        n = of_owners(c, a, most_of_others(c), SIZE_MAX, some);
        (void)add_any(a, some, n);
    }
}

static void decide_js(mixed_actor *a, counts *c) {
    size_t some[MIXED_PARTITIONS_MAX], n = 0, need = 0;
    size_t share = c->low + (c->rest > 0 && with_at_least(c, c->low + 1, true) < c->rest);

    if (c->free_count == a->world->partitions) { /* nobody is active */
        for (size_t i = 0; i < c->free_count && (is_greedy(a) || i == 0); i++) {
            add(a, c->free[is_greedy(a) ? i : tmk_rng_below(&a->rng, c->free_count)]);
        }
        return;
    }
    need = is_balanced(c) || share <= c->mine ? 0 : share - c->mine;
    for (size_t i = 0; i < need && i < c->free_count && (is_greedy(a) || i == 0); i++) {
        add(a, c->free[i]);
    }
    if (need > c->free_count && (is_greedy(a) || c->free_count == 0)) {
        size_t floor = c->mine < c->low ? c->low + 1 : c->low + 2;

        n = of_owners(c, a, most_of_others(c) > floor ? most_of_others(c) : floor, SIZE_MAX, some);
        (void)add_any(a, some, n);
    }
}

static void decide(mixed_actor *a) {
    static void (*const by_kind[])(mixed_actor * a, counts * c) = {
        NULL,      decide_net,    decide_net,    decide_java, decide_java, decide_go,
        decide_go, decide_python, decide_python, decide_js,   decide_js};
    counts c;

    a->queue_count = a->queue_at = 0;
    a->again = false;
    look(a, &c);
    if (is_js(a)) { /* new ones first */
        decide_js(a, &c);
    }
    for (size_t p = 0; p < a->world->partitions; p++) {
        bool reads = a->readers[p].state != MIXED_NOT || a->readers[p].start.node.index != 0;

        if (a->readers[p].mine && strcmp(mixed_owner(a->world, p), a->id) == 0) {
            if (reads || !renews_what_it_reads(a)) {
                add(a, p);
            }
        } else if (a->readers[p].mine) {
            a->readers[p].mine = false; /* lost since */
            if (stops_when_lost(a)) {
                stop_reading(&a->readers[p]);
            }
        }
    }
    if (!is_js(a)) {
        by_kind[a->kind](a, &c);
    }
}

/* --- rounds --- */

static void on_step(sim_event *e) {
    mixed_actor *a = sim_event_of(e, mixed_actor, step);
    tmk_time jitter = 0;

    if (a->frozen || !a->alive || a->stopping) {
        return;
    }
    if (a->queue_at < a->queue_count) {
        claim_next(a);
        sim_at(&a->world->kernel, e, now_of(a) + WRITE_TAKES);
        return;
    }
    if (a->queue_count > 0 && !a->again) {
        a->queue_count = 0;
        jitter = a->interval / 5;
        sim_at(&a->world->kernel, e,
               now_of(a) + a->interval + tmk_rng_between(&a->rng, -jitter, jitter));
        return;
    }
    decide(a);
    sim_at(&a->world->kernel, e, now_of(a) + (a->queue_count > 0 ? WRITE_TAKES : a->interval));
}

void official_start(mixed_actor *a) {
    static const struct {
        int interval_s, expiry_s;
    } defaults[] = {{0, 0},   {30, 120}, {30, 120}, {30, 120}, {30, 120}, {10, 60},
                    {10, 60}, {30, 180}, {30, 180}, {10, 60},  {10, 60}};

    (void)snprintf(a->id, sizeof a->id, "%08x-%s-%zu", (unsigned)tmk_rng_next(&a->rng),
                   mixed_names[a->kind], a->number);
    a->busy = tmk_rng_chance(&a->rng, 0.3) ? 1 : 0.4;
    a->interval = defaults[a->kind].interval_s * TMK_SEC;
    a->expiry = defaults[a->kind].expiry_s * TMK_SEC;
    for (size_t p = 0; p < a->world->partitions; p++) {
        a->readers[p].save.fire = on_save;
        a->readers[p].start.fire = on_start;
    }
    a->step.fire = on_step;
    sim_at(&a->world->kernel, &a->step, now_of(a) + tmk_rng_between(&a->rng, 1, 2000) * TMK_MS);
    sim_trace(&a->world->kernel, "start", ",\"owner\":\"%s\"", a->id);
}

void official_stop(mixed_actor *a) {
    for (size_t p = 0; p < a->world->partitions; p++) {
        mixed_reader *r = &a->readers[p];

        stop_reading(r);
        if (r->mine) {
            (void)write_owner(r, "", r->etag, NULL, false);
            r->mine = false;
        }
    }
    mixed_kill(a);
}

/* Reading of what is another's by the records ends: that fight is between official processors. */
void official_end_zombies(mixed_actor *a) {
    for (size_t p = 0; p < a->world->partitions; p++) {
        mixed_reader *r = &a->readers[p];

        if (strcmp(mixed_owner(a->world, p), a->id) != 0) {
            r->lost = r->mine = false;
            stop_reading(r);
        }
    }
}
