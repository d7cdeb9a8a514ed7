/* The world, its truth, and reading. */
#include "mixed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* How much faster than it comes in a partition can be read. */
#define CATCH_UP 20

/* Two renewals and a half. */
#define KNOWN_BY (25 * TMK_SEC)

/* Each insisting is an opening or two, and there may be more than one to insist against. */
#define FIGHT 12

const char *const mixed_names[MIXED_KINDS] = {
    "tidemark",  "net-balanced", "net-greedy", "java-balanced", "java-greedy", "go-balanced",
    "go-greedy", "py-balanced",  "py-greedy",  "js-balanced",   "js-greedy"};

void mixed_name(char out[64], const char *folder, size_t partition) {
    (void)snprintf(out, 64, "ns/hub/g/%s/%zu", folder, partition);
}

int64_t mixed_meta_number(const tmk_blob_meta *meta, const char *name) {
    const char *text = meta == NULL ? NULL : tmk_blob_meta_get(meta, name);

    return text == NULL || text[0] == '\0' ? -1 : strtoll(text, NULL, 10);
}

const char *mixed_owner(const mixed *m, size_t partition) {
    const sim_blob *blob = NULL;
    const char *owner = NULL;
    char name[64];

    mixed_name(name, "ownership", partition);
    blob = sim_blobs_find(m->blobs, name);
    owner = blob == NULL ? NULL : tmk_blob_meta_get(&blob->meta, "ownerid");
    return owner == NULL ? "" : owner;
}

int64_t mixed_checkpoint(const mixed *m, size_t partition) {
    const sim_blob *blob = NULL;
    char name[64];

    mixed_name(name, "checkpoint", partition);
    blob = sim_blobs_find(m->blobs, name);
    return blob == NULL ? -1 : mixed_meta_number(&blob->meta, "sequencenumber");
}

/* --- what is written (M1, M2, M6) --- */

static bool has_left(const mixed *m, const char *id) {
    for (size_t i = 0; i < m->actor_count; i++) {
        if (!m->actors[i]->alive && strcmp(m->actors[i]->id, id) == 0) {
            return true;
        }
    }
    return false;
}

static void check_ownership(mixed *m, size_t p, const sim_blob *before,
                            const tmk_blob_meta *after) {
    const char *was = before == NULL ? NULL : tmk_blob_meta_get(&before->meta, "ownerid");
    const char *is = tmk_blob_meta_get(after, "ownerid");

    was = was == NULL ? "" : was;
    is = is == NULL ? "" : is;
    if (strcmp(was, is) == 0) {
        return;
    }
    m->moves++;
    m->truth[p].changed_at = m->kernel.now;
    if (m->planned_only && has_left(m, is)) {
        sim_violation(&m->kernel, "M7", "partition %zu is passed to '%s', which has left", p, is);
    }
    sim_trace(&m->kernel, "claim", ",\"partition\":\"%zu\",\"from\":\"%s\",\"owner\":\"%s\"", p,
              was, is);
    /* An official owner whose link was taken by another lets its record lie until it expires. */
    if (m->at_rest && (before == NULL || was[0] == '\0' ||
                       sim_blobs_date(m->blobs).us - before->modified.us < 55 * 1000000)) {
        sim_violation(&m->kernel, "M6", "partition %zu goes from '%s' to '%s' at rest", p, was, is);
    }
}

static void check_checkpoint(mixed *m, bool ours, size_t p, const sim_blob *before,
                             const tmk_blob_meta *after) {
    int64_t was = before == NULL ? -1 : mixed_meta_number(&before->meta, "sequencenumber");
    int64_t is = mixed_meta_number(after, "sequencenumber");

    sim_trace(&m->kernel, "checkpoint", ",\"partition\":\"%zu\",\"sequence\":%" PRId64, p, is);
    if (is > m->truth[p].done) {
        sim_violation(&m->kernel, "M1", "checkpoint %" PRId64 " of %zu, final is %" PRId64, is, p,
                      m->truth[p].done);
    }
    if (ours && is < was) {
        sim_violation(&m->kernel, "M2", "the checkpoint of %zu goes from %" PRId64 " to %" PRId64,
                      p, was, is);
    }
}

static void on_write(void *watch_user, void *user, const char *name, const sim_blob *before,
                     const tmk_blob_meta *after) {
    mixed *m = watch_user;
    size_t p = strtoul(strrchr(name, '/') + 1, NULL, 10);

    if (strstr(name, "/ownership/") != NULL) {
        check_ownership(m, p, before, after);
    } else {
        check_checkpoint(m, user != NULL, p, before, after);
    }
}

/* --- reading --- */

static bool runs(const mixed_reader *r) {
    const mixed_actor *a = r->actor;

    return r->state == MIXED_RUNS && !r->fenced && !r->held && !r->lost && !a->fenced &&
           !a->frozen && (a->fleet == NULL || a->world->kernel.now <= a->trust);
}

int64_t mixed_in_hand(const mixed_reader *r) {
    return 1 + r->actor->world->rate * (r->actor->handler / TMK_MS) / 1000;
}

void mixed_final(mixed_reader *r, int64_t final) {
    mixed_truth *t = &r->actor->world->truth[r->partition];

    r->final = final > r->final ? final : r->final;
    t->done = r->final > t->done ? r->final : t->done;
}

static void check_known(const mixed_reader *r) {
    mixed *m = r->actor->world;
    tmk_time since = m->truth[r->partition].changed_at;
    const char *owner = mixed_owner(m, r->partition);
    bool before = since < r->attached_at;

    if (r->actor->fleet == NULL || (m->clear_since == TMK_NEVER && !before) ||
        strcmp(owner, r->actor->id) == 0) {
        return;
    }
    since = since > m->clear_since || before ? since : m->clear_since;
    if (m->kernel.now - since > KNOWN_BY) {
        sim_violation(&m->kernel, "M8", "%s goes on with %zu, which is '%s''s", r->actor->id,
                      r->partition, owner);
    }
}

void mixed_advance(mixed_reader *r) {
    mixed *m = r->actor->world;
    mixed_truth *t = &m->truth[r->partition];
    tmk_time now = m->kernel.now;
    int64_t can = 0, readable = 0;

    if (!runs(r)) {
        r->since = now;
        return;
    }
    readable = sim_link_readable(r->link);
    can = r->dispatched + 1 + m->rate * CATCH_UP * ((now - r->since) / TMK_MS) / 1000;
    can = can < readable ? can : readable;
    if (can > r->dispatched) {
        check_known(r);
        r->dispatched = can;
        t->dispatched = can > t->dispatched ? can : t->dispatched;
        r->since = now;
        mixed_final(r, r->dispatched - mixed_in_hand(r));
    }
}

static void check_fight(mixed_reader *r) {
    mixed *m = r->actor->world;

    r->opens = r->opened_at < m->truth[r->partition].changed_at ? 1 : r->opens + 1;
    r->opened_at = m->kernel.now;
    if (r->actor->fleet != NULL && r->opens > FIGHT) {
        sim_violation(&m->kernel, "M9", "%s has opened %zu %d times while it was its own",
                      r->actor->id, r->partition, FIGHT + 1);
    }
}

void mixed_open(mixed_reader *r, int64_t start, int64_t level, const sim_link_events *events) {
    mixed_actor *a = r->actor;
    mixed *m = a->world;
    mixed_truth *t = &m->truth[r->partition];

    if (start > t->done) {
        sim_violation(&m->kernel, "M1", "%s opens %zu after %" PRId64 ", final is %" PRId64, a->id,
                      r->partition, start, t->done);
    }
    if (start < t->dispatched) {
        m->repeats += (uint64_t)(t->dispatched - start);
        if (m->planned_only) {
            sim_violation(&m->kernel, "M4", "%s opens %zu after %" PRId64 ", handled was %" PRId64,
                          a->id, r->partition, start, t->dispatched);
        }
    }
    check_fight(r);
    r->state = MIXED_OPENING;
    r->fenced = r->held = r->lost = false;
    r->dispatched = r->final = r->saved = start;
    r->since = m->kernel.now;
    r->link = sim_hub_open(a->hub, r->partition, level, events, r);
    sim_trace(&m->kernel, "open", ",\"owner\":\"%s\",\"partition\":\"%zu\",\"position\":%" PRId64,
              a->id, r->partition, start);
}

void mixed_close(mixed_reader *r) {
    sim_kernel *k = &r->actor->world->kernel;

    if (r->link != NULL) {
        sim_hub_close(r->link);
        r->link = NULL;
        sim_trace(k, "close", ",\"owner\":\"%s\",\"partition\":\"%zu\",\"position\":%" PRId64,
                  r->actor->id, r->partition, r->dispatched);
    }
    r->state = MIXED_NOT;
    sim_cancel(k, &r->save);
    sim_cancel(k, &r->finish);
    sim_cancel(k, &r->start);
}

/* --- actors --- */

static void on_wake(sim_event *e) {
    mixed_actor *a = sim_event_of(e, mixed_actor, wake);

    a->frozen = false;
    sim_process_wake(&a->process);
    if (a->fleet != NULL) {
        ours_run(a);
    } else {
        sim_at(&a->world->kernel, &a->step, a->world->kernel.now);
    }
}

mixed_actor *mixed_start(mixed *m, mixed_kind kind) {
    mixed_actor *a = tmk_new(mixed_actor);

    if (a == NULL || m->actor_count >= MIXED_ACTORS_MAX) {
        abort();
    }
    a->world = m;
    a->number = m->actor_count;
    a->kind = kind;
    a->alive = true;
    a->rng = sim_rng(&m->kernel, "actor", a->number);
    a->handler = tmk_rng_between(&a->rng, 1, 100) * TMK_MS;
    a->save_every = tmk_rng_between(&a->rng, 500, 10000) * TMK_MS;
    a->wake.fire = on_wake;
    for (size_t p = 0; p < m->partitions; p++) {
        a->readers[p].actor = a;
        a->readers[p].partition = p;
    }
    m->actors[m->actor_count++] = a;
    sim_process_init(&a->process, &m->kernel, a->number);
    a->hub = sim_hub_connect(m->hub, &a->process, a->number);
    if (kind == MIXED_TIDEMARK) {
        ours_start(a);
    } else {
        official_start(a);
    }
    return a;
}

void mixed_stop(mixed_actor *a) {
    sim_trace(&a->world->kernel, "state", ",\"owner\":\"%s\",\"what\":\"stopping\"", a->id);
    a->stopping = true;
    if (a->kind == MIXED_TIDEMARK) {
        ours_stop(a);
    } else {
        official_stop(a);
    }
}

void mixed_kill(mixed_actor *a) {
    sim_kernel *k = &a->world->kernel;

    sim_trace(k, "state", ",\"owner\":\"%s\",\"what\":\"killed\"", a->id);
    for (size_t p = 0; p < a->world->partitions; p++) {
        mixed_advance(&a->readers[p]);
        a->readers[p].link = NULL; /* it ends with its client */
        mixed_close(&a->readers[p]);
    }
    a->alive = false;
    sim_cancel(k, &a->step);
    sim_cancel(k, &a->wake);
    sim_process_kill(&a->process);
    sim_hub_disconnect(a->hub);
    if (a->fleet != NULL) {
        ours_end(a);
    }
}

void mixed_freeze(mixed_actor *a, tmk_time length) {
    sim_kernel *k = &a->world->kernel;

    for (size_t p = 0; p < a->world->partitions; p++) {
        mixed_advance(&a->readers[p]);
    }
    sim_trace(k, "state", ",\"owner\":\"%s\",\"what\":\"frozen\"", a->id);
    a->frozen = true;
    sim_process_freeze(&a->process);
    sim_cancel(k, &a->step);
    sim_at(k, &a->wake, k->now + length);
}

void mixed_cut_hub(mixed_actor *a, bool cut) {
    for (size_t p = 0; cut && p < a->world->partitions; p++) {
        mixed_advance(&a->readers[p]);
    }
    sim_hub_cut(a->hub, cut);
}

size_t mixed_alive(const mixed *m) {
    size_t n = 0;

    for (size_t i = 0; i < m->actor_count; i++) {
        n += m->actors[i]->alive && !m->actors[i]->stopping;
    }
    return n;
}

/* --- the whole --- */

void mixed_init(mixed *m, uint64_t seed, size_t partitions, FILE *trace) {
    memset(m, 0, sizeof *m);
    sim_kernel_init(&m->kernel, seed, trace);
    m->rng = sim_rng(&m->kernel, "world", 0);
    m->partitions = partitions;
    m->rate = tmk_rng_between(&m->rng, 5, 100);
    m->blobs = sim_blobs_new(&m->kernel);
    m->hub = sim_hub_new(&m->kernel, partitions);
    sim_blobs_watch_with(m->blobs, on_write, m);
    for (size_t p = 0; p < partitions; p++) {
        m->truth[p] = (mixed_truth){-1, -1, 0};
        sim_hub_rate(m->hub, p, m->rate);
    }
}

void mixed_clear(mixed *m) {
    for (size_t i = 0; i < m->actor_count; i++) {
        if (m->actors[i]->alive) {
            mixed_kill(m->actors[i]);
        }
    }
    m->kernel.failed = false; /* what is under way must come to its end before the rest goes */
    m->kernel.trace = NULL;
    sim_blobs_watch_with(m->blobs, NULL, NULL);
    sim_run(&m->kernel, m->kernel.now + 100 * TMK_SEC);
    m->hub = sim_hub_free(m->hub);
    for (size_t i = 0; i < m->actor_count; i++) {
        tmk_free(m->actors[i]);
    }
    m->blobs = sim_blobs_free(m->blobs);
    sim_kernel_clear(&m->kernel);
}

static const mixed_actor *owner_of(const mixed *m, size_t p) {
    for (size_t i = 0; i < m->actor_count; i++) {
        if (m->actors[i]->alive && strcmp(mixed_owner(m, p), m->actors[i]->id) == 0) {
            return m->actors[i];
        }
    }
    return NULL;
}

/*
 * Read by exactly one, whom the record names. Official owners fight with each other for links, or
 * let what they own lie: that is their affair.
 */
static bool is_read(const mixed *m, size_t p) {
    size_t readers = 0;
    const char *owner = mixed_owner(m, p);
    const mixed_actor *by = owner_of(m, p);

    if (by == NULL || by->kind != MIXED_TIDEMARK) {
        return by != NULL;
    }

    for (size_t i = 0; i < m->actor_count; i++) {
        const mixed_actor *a = m->actors[i];
        const mixed_reader *r = &a->readers[p];

        if (a->alive && r->state == MIXED_RUNS && !r->lost && !r->fenced && !a->fenced &&
            sim_link_attached(r->link)) {
            readers++;
            if (strcmp(owner, a->id) != 0) {
                return false;
            }
        }
    }
    return readers == 1;
}

bool mixed_in_order(const mixed *m, char *why, size_t room) {
    size_t low = SIZE_MAX, high = 0;

    for (size_t p = 0; p < m->partitions; p++) {
        if (!is_read(m, p)) {
            (void)snprintf(why, room, "partition %zu, of '%s', is not read by it alone", p,
                           mixed_owner(m, p));
            return false;
        }
    }
    for (size_t i = 0; i < m->actor_count; i++) {
        size_t n = 0;

        if (!m->actors[i]->alive || m->actors[i]->stopping) {
            continue;
        }
        for (size_t p = 0; p < m->partitions; p++) {
            n += strcmp(mixed_owner(m, p), m->actors[i]->id) == 0;
        }
        low = n < low ? n : low;
        high = n > high ? n : high;
    }
    if (high - low > 1) {
        (void)snprintf(why, room, "counts from %zu to %zu", low, high);
    }
    return high - low <= 1;
}
