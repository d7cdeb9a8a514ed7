/* The test kit: its life, its time, what is read back. See tidemark/testkit.h and kit.h. */
#include "kit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

/* ---- options ---- */

void tmk_kit_options_fill(tmk_kit_options *options, size_t size) {
    const tmk_kit_options defaults = {
        .size = size,
        .partitions = 4,
        .retention_ms = INT64_C(86400000),
        .begin_ms = INT64_C(1767225600000),
        .store_ms = 8,
        .handler_us = 200,
    };

    tmk_options_merge(options, size, &defaults, sizeof defaults);
}

static tmk_status check_number(const char *name, int64_t value, int64_t low, int64_t high,
                               tmk_error *err) {
    return value >= low && value <= high
               ? TMK_OK
               : tmk_fail(err, TMK_EINVAL, "testkit",
                          "%s must be between %" PRId64 " and %" PRId64 ", not %" PRId64, name, low,
                          high, value);
}

static tmk_status check_options(const tmk_kit_options *o, tmk_error *err) {
    tmk_status st = check_number("partitions", o->partitions, 1, KIT_PARTITIONS_MAX, err);

    if (st == TMK_OK) {
        st = check_number("retention_ms", o->retention_ms, 0, INT64_MAX, err);
    }
    if (st == TMK_OK) {
        st = check_number("begin_ms", o->begin_ms, 0, INT64_C(4102444800000), err);
    }
    if (st == TMK_OK) {
        st = check_number("store_ms", o->store_ms, 1, 10000, err);
    }
    return st == TMK_OK ? check_number("handler_us", o->handler_us, 0, INT64_C(3600000000), err)
                        : st;
}

static uint64_t seed_of_environment(void) {
    const char *text = getenv("TIDEMARK_KIT_SEED");
    uint64_t seed = text == NULL ? 0 : strtoull(text, NULL, 10);

    return seed == 0 ? 1 : seed;
}

/* ---- life ---- */

static void on_applied(void *user, const sim_applied *a) {
    tmk_kit *k = user;
    size_t place = 0;

    if (a->status != TMK_OK || a->after == NULL || !a->after->record.checkpoint.present ||
        !a->after->record.checkpoint.sequence_known || kit_find(k, a->op->id, &place, NULL) < 0) {
        return;
    }
    int64_t sequence = a->after->record.checkpoint.sequence;
    if (sequence != a->sequence_before) {
        k->checkpoints++;
        sim_trace(&k->kernel, "checkpoint", ",\"partition\":\"%s\",\"sequence\":%" PRId64,
                  a->op->id, sequence);
        kit_cover(k, place, sequence);
    }
}

static tmk_status fill(tmk_kit *k, tmk_error *err) {
    tmk_rng rng = sim_rng(&k->kernel, "store clock", 0);

    k->store = sim_store_new(&k->kernel, tmk_rng_between(&rng, 0, 100000) * TMK_SEC);
    k->hub = sim_hub_new(&k->kernel, k->o.partitions);
    k->partitions = tmk_alloc_zero(k->o.partitions, sizeof *k->partitions);
    if (k->store == NULL || k->hub == NULL || k->partitions == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "testkit", "no memory for a test kit");
    }
    for (size_t n = 0; n < k->o.partitions; n++) {
        k->partitions[n].from = INT64_MAX;
        k->partitions[n].covered = -1;
    }
    sim_store_trouble_of(k->store)->median = k->o.store_ms * TMK_MS;
    sim_store_watch_with(k->store, on_applied, k);
    sim_hub_feed(k->hub, kit_last, k);
    kit_fault_init(k);
    k->flow.fire = kit_on_flow;
    return TMK_OK;
}

tmk_status tmk_kit_new(const tmk_kit_options *options, tmk_kit **out, tmk_error *err) {
    tmk_kit_options o;
    tmk_kit *k = NULL;
    tmk_status st = TMK_OK;

    tmk_kit_options_init(&o);
    if (options != NULL) {
        tmk_options_merge(&o, sizeof o, options, options->size);
    }
    o.size = sizeof o;
    st = check_options(&o, err);
    if (st < 0) {
        return st;
    }
    k = tmk_new(tmk_kit);
    if (k == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "testkit", "no memory for a test kit");
    }
    k->o = o;
    tmk_list_init(&k->calls);
    sim_kernel_init(&k->kernel, o.seed == 0 ? seed_of_environment() : o.seed, NULL);
    k->kernel.line = o.on_trace;
    k->kernel.line_self = o.user;
    k->begin = k->kernel.zero = k->kernel.now;
    st = fill(k, err);
    if (st < 0) {
        (void)tmk_kit_free(k);
        return st;
    }
    *out = k;
    return TMK_OK;
}

static bool is_used(const tmk_kit *k) {
    for (size_t n = 0; n < k->instance_count; n++) {
        if (k->instances[n]->source != NULL) {
            return true;
        }
    }
    return false;
}

static void free_events(tmk_kit *k) {
    for (size_t n = 0; k->partitions != NULL && n < k->o.partitions; n++) {
        for (int64_t s = 0; s < k->partitions[n].count; s++) {
            tmk_free(k->partitions[n].events[s].bytes);
        }
        tmk_free(k->partitions[n].events);
    }
    tmk_free(k->partitions);
}

tmk_kit *tmk_kit_free(tmk_kit *k) {
    if (k == NULL || is_used(k)) {
        return NULL;
    }
    k->ending = true;
    k->kernel.line = NULL;
    for (size_t n = 0; n < k->instance_count; n++) {
        k->instances[n] = kit_instance_free(k->instances[n]);
    }
    for (tmk_list *n = NULL; (n = tmk_list_pop_front(&k->calls)) != NULL;) {
        tmk_free(tmk_container_of(n, kit_call, node));
    }
    k->hub = sim_hub_free(k->hub);
    k->store = sim_store_free(k->store);
    sim_kernel_clear(&k->kernel);
    free_events(k);
    tmk_free(k->group);
    tmk_free(k);
    return NULL;
}

/* ---- time ---- */

void kit_enter(tmk_kit *k, tmk_kit_instance *i) {
    k->inside++;
    if (i != NULL) {
        i->inside++;
    }
}

void kit_leave(tmk_kit *k, tmk_kit_instance *i) {
    k->inside--;
    if (i != NULL) {
        i->inside--;
    }
}

int64_t tmk_kit_now_ms(const tmk_kit *k) {
    return (k->kernel.now - k->begin) / TMK_MS;
}

const char *tmk_kit_replay(tmk_kit *k) {
    int64_t ms = tmk_kit_now_ms(k);
    char how[64] = "";

    if (k->o.seed == 0) {
        (void)snprintf(how, sizeof how, "; TIDEMARK_KIT_SEED=%" PRIu64 " replays it",
                       k->kernel.seed);
    }
    (void)snprintf(k->replay, sizeof k->replay, "seed %" PRIu64 ", at %" PRId64 ".%03d s%s",
                   k->kernel.seed, ms / 1000, (int)(ms % 1000), how);
    return k->replay;
}

tmk_time kit_after_ms(const tmk_kit *k, int64_t ms) {
    return ms >= INT64_MAX / TMK_MS ? TMK_NEVER : tmk_time_after(k->kernel.now, ms * TMK_MS);
}

static tmk_status ended(tmk_kit *k, tmk_error *err) {
    bool memory = strcmp(k->kernel.rule, "memory") == 0;

    return tmk_fail(err, memory ? TMK_ENOMEM : TMK_EINTERNAL, "testkit",
                    "the world has ended: %.100s (%s)", k->kernel.what, tmk_kit_replay(k));
}

static bool is_done(tmk_kit *k, bool (*done)(void *user), void *user) {
    bool is = false;

    if (done != NULL) {
        kit_enter(k, NULL);
        is = done(user);
        kit_leave(k, NULL);
    }
    return is;
}

tmk_status kit_pass(tmk_kit *k, tmk_time until, bool (*done)(void *user), void *user,
                    tmk_error *err) {
    if (k->inside > 0) {
        return tmk_fail(err, TMK_ESTATE, "testkit", "time cannot pass inside a callback");
    }
    k->kernel.steps = 0;
    for (bool any = true; any && !k->kernel.failed;) {
        if (is_done(k, done, user)) {
            return TMK_OK;
        }
        for (size_t n = 0; n < k->instance_count; n++) {
            kit_plan(k->instances[n]);
        }
        any = sim_run_one(&k->kernel, until);
    }
    if (k->kernel.failed) {
        return ended(k, err);
    }
    k->kernel.now = until != TMK_NEVER && until > k->kernel.now ? until : k->kernel.now;
    return done == NULL || is_done(k, done, user) ? TMK_OK : TMK_ABSENT;
}

static tmk_status check_span(int64_t ms, tmk_error *err) {
    return check_number("the time that is to pass", ms, 0, INT64_C(31536000000), err);
}

tmk_status tmk_kit_run(tmk_kit *k, int64_t ms, tmk_error *err) {
    tmk_status st = check_span(ms, err);

    return st < 0 ? st : kit_pass(k, kit_after_ms(k, ms), NULL, NULL, err);
}

tmk_status tmk_kit_run_until(tmk_kit *k, bool (*done)(void *user), void *user, int64_t within_ms,
                             tmk_error *err) {
    tmk_status st = check_span(within_ms, err);

    if (st == TMK_OK) {
        st = kit_pass(k, kit_after_ms(k, within_ms), done, user, err);
    }
    return st == TMK_ABSENT
               ? tmk_fail(err, TMK_ETIMEOUT, "testkit", "not so within %" PRId64 " ms (%s)",
                          within_ms, tmk_kit_replay(k))
               : st;
}

static int64_t stored(const tmk_kit *k, size_t partition) {
    const tmk_partition_entry *e = sim_store_partition(k->store, sim_hub_id(k->hub, partition));

    return e != NULL && e->present && e->record.checkpoint.present &&
                   e->record.checkpoint.sequence_known
               ? e->record.checkpoint.sequence
               : -1;
}

/* Events of it that no checkpoint covers. */
static int64_t open_events(tmk_kit *k, size_t partition) {
    int64_t from = stored(k, partition) + 1, begin = kit_begin(k, partition);

    return k->partitions[partition].count - (from > begin ? from : begin);
}

static bool is_busy(const tmk_kit *k) {
    for (size_t n = 0; n < k->instance_count; n++) {
        const tmk_kit_instance *i = k->instances[n];

        for (uint32_t w = 0; w < i->hands.count; w++) {
            if (i->workers[w].busy) {
                return true;
            }
        }
    }
    return false;
}

static bool is_settled(void *user) {
    tmk_kit *k = user;

    for (size_t n = 0; n < k->o.partitions; n++) {
        if (open_events(k, n) > 0) {
            return false;
        }
    }
    return !is_busy(k);
}

tmk_status tmk_kit_settle(tmk_kit *k, int64_t within_ms, tmk_error *err) {
    tmk_status st = tmk_kit_run_until(k, is_settled, k, within_ms, err);

    for (size_t n = 0; st == TMK_ETIMEOUT && n < k->o.partitions; n++) {
        int64_t open = open_events(k, n);

        if (open > 0) {
            return tmk_fail(err, TMK_ETIMEOUT, "testkit",
                            "partition '%zu' has %" PRId64 " events that no checkpoint covers "
                            "after %" PRId64 " ms (%s)",
                            n, open, within_ms, tmk_kit_replay(k));
        }
    }
    return st;
}

void tmk_kit_takes(tmk_kit *k, int64_t ms) {
    static const int64_t most = INT64_C(31536000000);

    if (k->taking != NULL && ms > 0) {
        *k->taking = tmk_time_after(*k->taking, (ms < most ? ms : most) * TMK_MS);
    }
}

static void on_call(sim_event *e) {
    kit_call *c = sim_event_of(e, kit_call, event);
    tmk_kit *k = c->kit;
    void (*call)(void *user) = c->call;
    void *user = c->user;

    tmk_list_remove(&c->node);
    tmk_free(c);
    kit_enter(k, NULL);
    call(user);
    kit_leave(k, NULL);
}

tmk_status tmk_kit_after(tmk_kit *k, int64_t ms, void (*call)(void *user), void *user,
                         tmk_error *err) {
    tmk_status st = check_span(ms, err);
    kit_call *c = st < 0 ? NULL : tmk_new(kit_call);

    if (st < 0) {
        return st;
    }
    if (c == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "testkit", "no memory to remember a call");
    }
    *c = (kit_call){.kit = k, .event.fire = on_call, .call = call, .user = user};
    tmk_list_push_back(&k->calls, &c->node);
    sim_at(&k->kernel, &c->event, kit_after_ms(k, ms));
    return TMK_OK;
}

/* ---- reading back ---- */

tmk_status kit_find(const tmk_kit *k, const char *partition, size_t *out, tmk_error *err) {
    char *end = NULL;
    unsigned long place = partition == NULL ? 0 : strtoul(partition, &end, 10);

    if (partition == NULL || place >= k->o.partitions ||
        strcmp(sim_hub_id(k->hub, place), partition) != 0) {
        return tmk_fail(err, TMK_ENOTFOUND, "testkit",
                        "there is no partition '%.40s'; there are 0 to %u",
                        partition == NULL ? "" : partition, k->o.partitions - 1);
    }
    *out = place;
    return TMK_OK;
}

void tmk_kit_counts_get(const tmk_kit *k, tmk_kit_counts *out) {
    tmk_kit_counts c = {.size = out->size,
                        .appended = k->appended,
                        .handed = k->handed,
                        .expired = k->expired,
                        .checkpoints = k->checkpoints};

    for (size_t n = 0; n < k->o.partitions; n++) {
        c.handled += k->partitions[n].handled;
        c.repeated += k->partitions[n].repeated;
        c.lost += k->partitions[n].lost;
    }
    for (size_t n = 0; n < k->instance_count; n++) {
        c.requests += sim_store_requests(k->instances[n]->store);
    }
    tmk_options_merge(out, out->size, &c, sizeof c);
}

/* Owners are stored with a mark that tells the runs of one name apart: "name~0123abcd". */
static void put_owner(char *out, size_t room, const char *owner) {
    const char *mark = strrchr(owner, '~');
    size_t size = mark == NULL ? strlen(owner) : (size_t)(mark - owner);

    (void)snprintf(out, room, "%.*s", (int)size, owner);
}

tmk_status tmk_kit_partition_get(const tmk_kit *k, const char *partition, tmk_kit_partition *out,
                                 tmk_error *err) {
    size_t place = 0;
    tmk_status st = kit_find(k, partition, &place, err);

    if (st < 0) {
        return st;
    }
    const kit_partition *p = &k->partitions[place];
    const tmk_partition_entry *e = sim_store_partition(k->store, partition);
    tmk_kit_partition r = {.size = out->size,
                           .first_sequence = p->begin,
                           .last_sequence = p->count - 1,
                           .checkpoint_sequence = stored(k, place),
                           .handled = p->handled,
                           .repeated = p->repeated,
                           .lost = p->lost};
    if (e != NULL && e->present) {
        r.generation = e->record.generation;
        put_owner(r.owner, sizeof r.owner, e->record.owner);
    }
    tmk_options_merge(out, out->size, &r, sizeof r);
    return TMK_OK;
}
