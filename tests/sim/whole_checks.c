/* What must hold at each handing, write, attach and answer. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "core/done_map.h"
#include "core/fleet.h"
#include "whole.h"

/* ---- handing ---- */

/* The first event of a key that is not final. */
static int64_t key_low(whole *w, size_t partition, int key) {
    whole_partition *p = &w->partitions[partition];
    int64_t *low = &p->key_low[key + 1];

    while (*low < p->count && (p->final[*low] || whole_key(w, partition, *low) != key)) {
        (*low)++;
    }
    return *low;
}

static void check_order(whole_worker *k) {
    whole *w = k->instance->world;
    int key = whole_key(w, k->partition, k->sequence);
    int64_t low = w->partitions[k->partition].low;

    if (w->options.order == TMK_ORDER_NONE || (key < 0 && w->options.keyless_free)) {
        return;
    }
    if (w->options.order == TMK_ORDER_KEY) {
        low = key_low(w, k->partition, key);
    }
    if (k->sequence > low) {
        sim_violation(&w->kernel, "I2",
                      "%s is handed %" PRId64 " of %zu, and %" PRId64 " is not final",
                      k->instance->name, k->sequence, k->partition, low);
    }
}

static bool has_lease(const whole_instance *i) {
    return sim_store_member_alive(i->world->store, tmk_fleet_id(tmk_control_fleet(i->control)));
}

static void check_owner(whole_worker *k, const whole_reader *r) {
    whole_instance *i = k->instance;
    sim_kernel *kernel = &i->world->kernel;
    const char *what = NULL;

    if (!r->open || r->generation != k->turn.delivery.generation) {
        what = "not open";
    } else if (r->lost) {
        what = "stolen";
    } else if (r->down && !has_lease(i)) {
        what = "read over a link that is down, without a lease";
    } else if (i->abandoned) {
        what = "abandoned";
    } else if (r->suspect) {
        what = "perhaps another's since it slept";
    } else if (r->paused) {
        what = "paused";
    } else if (r->halted) {
        what = "halted";
    } else if (i->process.frozen || i->process.dead) {
        what = "of a process that does not run";
    }
    if (what != NULL) {
        sim_violation(kernel, "I5", "%s is handed %" PRId64 " of %zu, which is %s", i->name,
                      k->sequence, k->partition, what);
    }
}

/* Once, and again only when its verdict said so and its pause is over. */
static void check_again(whole_worker *k, const whole_place *e) {
    whole_instance *i = k->instance;
    sim_kernel *kernel = &i->world->kernel;
    const char *what = NULL;

    if (e == NULL) {
        what = "it has not come, or the store had it as final";
    } else if (e->stage != STAGE_QUEUED && e->stage != STAGE_AGAIN && e->stage != STAGE_STOPPED) {
        what = "it is under way, or final";
    } else if (e->stage == STAGE_AGAIN &&
               kernel->now - e->since < i->user.retry_delay_ms * TMK_MS * 3 / 4) {
        what = "its pause is not over";
    } else if (e->retries >= i->user.retry_attempts ||
               k->turn.delivery.attempt != e->retries + 1U) {
        what = "as another attempt than it is";
    }
    if (what != NULL) {
        sim_violation(kernel, "I5", "%s is handed %" PRId64 " of %zu, but %s (attempt %u)", i->name,
                      k->sequence, k->partition, what, k->turn.delivery.attempt);
    }
}

static void check_repeat(whole_worker *k) {
    whole *w = k->instance->world;

    if (!w->partitions[k->partition].final[k->sequence]) {
        return;
    }
    w->figures.repeats++;
    if (w->options.planned_only) {
        sim_violation(&w->kernel, "I4", "%s is handed %" PRId64 " of %zu, which was final",
                      k->instance->name, k->sequence, k->partition);
    }
}

/* After TMK_STOP one event is tried from time to time, until it is answered otherwise. */
static void check_breaker(whole_worker *k) {
    whole_instance *i = k->instance;
    tmk_time since = i->world->kernel.now - i->stopped_at;

    if (i->stopped_at != 0 && ++i->handed_since > 2 * WHOLE_WORKERS + since / (TMK_SEC / 2)) {
        sim_violation(&i->world->kernel, "I8",
                      "%s has handed out %u events in %" PRId64 " ms since TMK_STOP", i->name,
                      i->handed_since, since / TMK_MS);
    }
}

void whole_check_handing(whole_worker *k) {
    whole_instance *i = k->instance;
    whole *w = i->world;
    whole_reader *r = NULL;

    k->partition = whole_partition_of(k->turn.delivery.partition);
    k->sequence = tmk_event_sequence(k->event);
    k->hub = whole_hub_of(tmk_event_enqueued_ms(k->event));
    r = &i->readers[k->partition];
    k->opening = r->opening;
    w->figures.handed++;
    k->begun_at = w->kernel.now;
    i->busy_at = w->kernel.now;
    check_owner(k, r);
    check_breaker(k);
    if (sim_tracing(&w->kernel)) {
        sim_trace(&w->kernel, "event",
                  ",\"owner\":\"%s\",\"partition\":\"%zu\",\"sequence\":%" PRId64 ",\"attempt\":%u",
                  i->name, k->partition, k->sequence, k->turn.delivery.attempt);
    }
    if (k->hub != w->partitions[k->partition].hub) {
        k->opening = 0; /* of a hub that is no more: nobody minds */
        return;
    }
    check_again(k, whole_place_of(r, k->sequence));
    check_repeat(k);
    check_order(k);
    whole_set_stage(r, k->sequence, w->kernel.now, STAGE_RUNS);
}

/* ---- verdicts ---- */

/* What follows from a verdict, as it is documented; independent of the product's reckoning. */
static whole_stage stage_after(const whole_instance *i, whole_place *e, tmk_verdict v) {
    switch (v) {
    case TMK_DONE:
    case TMK_SKIP:
        return STAGE_FINAL;
    case TMK_LATER:
        return STAGE_OUT;
    case TMK_STOP:
        return STAGE_STOPPED;
    case TMK_DEAD_LETTER:
        return STAGE_LETTER;
    case TMK_RETRY:
        break;
    }
    if (++e->retries < i->user.retry_attempts) {
        return STAGE_AGAIN;
    }
    return i->world->options.exhausted == TMK_EXHAUSTED_SKIP   ? STAGE_FINAL
           : i->world->options.exhausted == TMK_EXHAUSTED_STOP ? STAGE_HALTED
                                                               : STAGE_LETTER;
}

void whole_check_verdict(whole_worker *k, tmk_verdict v) {
    whole_instance *i = k->instance;
    whole *w = i->world;
    whole_reader *r = whole_reader_of(i, k->partition, k->opening);
    whole_place *e = r == NULL ? NULL : whole_place_of(r, k->sequence);

    if (sim_tracing(&w->kernel)) {
        sim_trace(&w->kernel, "verdict",
                  ",\"owner\":\"%s\",\"partition\":\"%zu\",\"sequence\":%" PRId64 ",\"verdict\":%d",
                  i->name, k->partition, k->sequence, (int)v);
    }
    i->busy_at = w->kernel.now;
    w->figures.retries += v == TMK_RETRY;
    w->figures.probes += v == TMK_STOP;
    if (v == TMK_STOP && i->stopped_at == 0) {
        i->stopped_at = w->kernel.now;
        i->handed_since = 0;
    } else if (v != TMK_STOP && (k->begun_at == 0 || k->begun_at > i->stopped_at)) {
        i->stopped_at = 0; /* those that ran already when it was said prove nothing */
    }
    if (k->hub != w->partitions[k->partition].hub) {
        return;
    }
    whole_stage stage = e == NULL ? STAGE_OUT : stage_after(i, e, v);
    if (stage == STAGE_FINAL || v == TMK_DONE || v == TMK_SKIP) {
        whole_set_final(w, k->partition, k->sequence);
    }
    whole_set_stage(r, k->sequence, w->kernel.now, stage);
}

/* ---- opening ---- */

static void keep_map(whole_reader *r, const tmk_checkpoint *c) {
    tmk_done_map m = {0};

    if (c->done_map.size > 0 && tmk_done_map_read(c->done_map, &m, NULL) == TMK_OK &&
        m.base == c->sequence) {
        r->known = m.ranges;
        m.ranges = (tmk_ranges){0};
    }
    tmk_done_map_clear(&m);
}

/* A successor starts right behind what the store has: lower repeats, higher loses. */
static void check_start(whole_instance *i, size_t partition, int64_t first) {
    whole *w = i->world;
    whole_partition *p = &w->partitions[partition];
    const tmk_partition_entry *e = sim_store_partition(w->store, sim_hub_id(w->hub, partition));
    const tmk_checkpoint *c = e == NULL ? NULL : &e->record.checkpoint;
    int64_t after = c != NULL && c->present && c->sequence_known ? c->sequence + 1 : 0;

    after = after < p->begin ? p->begin : after;
    if (first > p->low) {
        sim_violation(&w->kernel, "I1", "%s opens %zu at %" PRId64 ", not final is %" PRId64,
                      i->name, partition, first, p->low);
    } else if (first < after && !p->made_anew &&
               e->record.generation == i->readers[partition].generation) {
        sim_violation(&w->kernel, "I4",
                      "%s opens %zu at %" PRId64 ", the store has it up to %" PRId64, i->name,
                      partition, first, after - 1);
    }
    if (c != NULL && !p->made_anew) {
        keep_map(&i->readers[partition], c);
    }
}

void whole_check_open(whole_instance *i, size_t partition, const tmk_start *start) {
    whole *w = i->world;
    whole_reader *r = &i->readers[partition];
    int64_t first =
        start->kind == TMK_START_SEQUENCE ? start->sequence + (start->inclusive ? 0 : 1) : 0;
    int64_t last = sim_hub_last(w->hub, partition, w->kernel.now);

    if (r->linked || first > last + 1) {
        return; /* goes on where it was; or will be told that there is no such place */
    }
    r->linked = true;
    w->figures.opens++;
    if (start->kind != TMK_START_SEQUENCE && start->kind != TMK_START_EARLIEST) {
        sim_violation(&w->kernel, "I1", "%s opens %zu by a position of kind %d", i->name, partition,
                      (int)start->kind);
    }
    first = first < w->partitions[partition].begin ? w->partitions[partition].begin : first;
    r->base = r->low = first;
    r->delivered = first - 1;
    r->delivered_at = r->opened_at = w->kernel.now;
    check_start(i, partition, first);
}

void whole_check_attach(void *user, size_t partition, int64_t level, void *link_user) {
    whole *w = user;
    whole_partition *p = &w->partitions[partition];

    const whole_instance *i = sim_source_self(link_user);

    /* Whoever was cut off and has not heard yet may ask for it once more: the hub lets it in only
     * while nobody of a higher level is there. */
    if (level < p->level && (whole_well(i, 30 * TMK_SEC) || i->readers[partition].told > level)) {
        sim_violation(&w->kernel, "I7", "%s attaches to %zu with level %" PRId64 " after %" PRId64,
                      i->name, partition, level, p->level);
    }
    p->level = level;
}

/* ---- writes ---- */

/* What the map before had is in this one still, but for what is below or not there any more; a map
 * that is nearly full may have left something out. */
static void check_kept(whole *w, const char *by, size_t partition, const tmk_checkpoint *c,
                       const tmk_ranges *now) {
    whole_partition *p = &w->partitions[partition];

    for (size_t n = 0; n < p->mapped.count && c->done_map.size < TMK_DONE_MAP_ROOM / 4 * 3; n++) {
        for (int64_t s = p->mapped.items[n].from; s <= p->mapped.items[n].to; s++) {
            if (s > c->sequence && s >= p->begin && !whole_missing(w, partition, s) &&
                !tmk_ranges_has(now, s)) {
                sim_violation(&w->kernel, "I4",
                              "%s writes a map of %zu without %" PRId64 ", which it had", by,
                              partition, s);
                return;
            }
        }
    }
}

static void keep_mapped(whole *w, const char *by, size_t partition, const tmk_checkpoint *c,
                        tmk_ranges *now) {
    whole_partition *p = &w->partitions[partition];

    check_kept(w, by, partition, c, now);
    tmk_ranges_clear(&p->mapped);
    p->mapped = *now;
    *now = (tmk_ranges){0};
}

static void check_map(whole *w, const char *by, size_t partition, const tmk_checkpoint *c) {
    whole_partition *p = &w->partitions[partition];
    tmk_done_map m = {0};

    if (c->done_map.size == 0) {
        keep_mapped(w, by, partition, c, &m.ranges);
        return;
    }
    if (tmk_done_map_read(c->done_map, &m, NULL) < 0) {
        sim_violation(&w->kernel, "I1", "%s writes a map of %zu that cannot be read", by,
                      partition);
        return;
    }
    for (int64_t s = c->sequence + 1; s < p->count && m.ranges.count > 0; s++) {
        if (!p->final[s] && tmk_ranges_has(&m.ranges, s)) {
            sim_violation(&w->kernel, "I1",
                          "%s writes a map of %zu with %" PRId64 ", which is not final", by,
                          partition, s);
        }
    }
    if (m.ranges.count > 0 && m.ranges.items[m.ranges.count - 1].to >= p->count) {
        sim_violation(&w->kernel, "I1", "%s writes a map of %zu with events that are not there", by,
                      partition);
    }
    keep_mapped(w, by, partition, c, &m.ranges);
    tmk_done_map_clear(&m);
}

/* A checkpoint of the hub that is no more may still come; that of the new one says that nothing was
 * handled, as nothing is there yet. */
static bool of_this_hub(whole_partition *p, const tmk_checkpoint *c) {
    tmk_done_map m = {0};

    if (p->made_anew && (!c->present || !c->sequence_known || c->sequence < 0) &&
        (c->done_map.size == 0 ||
         (tmk_done_map_read(c->done_map, &m, NULL) == TMK_OK && m.ranges.count == 0))) {
        p->made_anew = p->stale = false;
    }
    tmk_done_map_clear(&m);
    return !p->made_anew;
}

/* A map without room leaves something out: then nobody can say what should be in it. */
static void recount(whole *w, size_t partition, const tmk_checkpoint *c) {
    for (size_t n = 0; n < w->instance_count; n++) {
        whole_reader *r = &w->instances[n]->readers[partition];

        if (r->open && r->linked) {
            whole_recount(w, partition, r);
            if (c->done_map.size >= TMK_DONE_MAP_ROOM / 4 * 3) {
                r->unstored_since = 0;
            }
        }
    }
}

static void check_record(whole *w, const sim_applied *a, size_t partition) {
    const whole_instance *by = sim_store_client_user(a->client);
    const tmk_checkpoint *c = &a->after->record.checkpoint;
    int64_t sequence = c->present && c->sequence_known ? c->sequence : -1;
    whole_partition *p = &w->partitions[partition];

    if (a->after->record.generation < p->generation) {
        sim_violation(&w->kernel, "I7",
                      "the generation of %zu goes back from %" PRId64 " to %" PRId64, partition,
                      p->generation, a->after->record.generation);
    }
    p->generation = a->after->record.generation;
    w->figures.checkpoints += a->op->kind == TMK_STORE_PARTITION_WRITE;
    bool anew = p->made_anew;
    if (!of_this_hub(p, c)) {
        return;
    }
    p->written = sequence;
    if (sequence < a->sequence_before && !anew) {
        sim_violation(&w->kernel, "I3", "%s takes %zu back from %" PRId64 " to %" PRId64, by->name,
                      partition, a->sequence_before, sequence);
    }
    if (sequence >= p->low) {
        sim_violation(&w->kernel, "I1", "%s writes %" PRId64 " of %zu, not final is %" PRId64,
                      by->name, sequence, partition, p->low);
    }
    check_map(w, by->name, partition, c);
    recount(w, partition, c);
}

void whole_check_applied(void *user, const sim_applied *a) {
    whole *w = user;

    if (sim_tracing(&w->kernel)) {
        const whole_instance *by = sim_store_client_user(a->client);

        sim_trace(&w->kernel, "request",
                  ",\"owner\":\"%s\",\"operation\":\"%s\",\"id\":\"%s\",\"status\":\"%s\","
                  "\"sequence\":%" PRId64,
                  by->name, tmk_store_op_name(a->op->kind), a->op->id == NULL ? "" : a->op->id,
                  tmk_status_name(a->status),
                  a->after == NULL ? -1 : a->after->record.checkpoint.sequence);
    }
    if (a->op->kind != TMK_STORE_MEMBER_RENEW && a->op->kind != TMK_STORE_MEMBER_LIST &&
        a->op->kind != TMK_STORE_CALL_LOOK && a->op->kind != TMK_STORE_PARTITION_LIST) {
        w->changed_at = w->kernel.now;
    }
    if (a->op->kind > TMK_STORE_PARTITION_LIST && a->op->kind != TMK_STORE_PARTITION_READ &&
        a->status == TMK_OK && a->after != NULL) {
        check_record(w, a, whole_partition_of(a->op->id));
    }
}

/* ---- sleep ---- */

/* Woken after its lease has ended: whatever it holds may be another's. By the store's own record,
 * not by what the instance reckons. */
void whole_check_wake(whole_instance *i) {
    whole *w = i->world;
    const tmk_member_entry *m =
        sim_store_member(w->store, tmk_fleet_id(tmk_control_fleet(i->control)));

    if (w->kernel.now - i->slept_at < 4 * TMK_SEC ||
        (m != NULL && !m->evicted && m->lease_end > sim_store_now(w->store))) {
        return;
    }
    SIM_MARK("whole: slept past its lease");
    i->suspect_at = w->kernel.now;
    for (size_t p = 0; p < w->options.partitions; p++) {
        i->readers[p].suspect = i->readers[p].open;
    }
}

/* The store has confirmed it, to a question asked since. */
void whole_check_answer(whole_instance *i, tmk_store_op_kind kind, tmk_time sent,
                        const tmk_store_result *result) {
    /* What it had asked before it slept, it need not believe. */
    bool evicted = kind == TMK_STORE_MEMBER_RENEW && result->status > 0 && sent >= i->slept_at;

    for (size_t n = 0; kind == TMK_STORE_PARTITION_READ && n < result->partition_count; n++) {
        whole_reader *r = &i->readers[whole_partition_of(result->partitions[n].id)];
        int64_t generation = result->partitions[n].generation;

        r->told = generation > r->told ? generation : r->told;
    }
    for (size_t p = 0; evicted && p < i->world->options.partitions; p++) {
        i->readers[p].told = INT64_MAX;
    }
    if (kind != TMK_STORE_MEMBER_RENEW || result->status != TMK_OK || sent < i->suspect_at) {
        return;
    }
    for (size_t p = 0; p < i->world->options.partitions; p++) {
        i->readers[p].suspect = false;
    }
}
