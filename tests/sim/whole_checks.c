/* What must hold at each handing, write, attach and step. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "core/done_map.h"
#include "whole.h"

size_t whole_partition_of(const char *id) {
    return (size_t)strtoul(id, NULL, 10);
}

/* ---- events ---- */

static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t dice(const whole *w, size_t partition, int64_t sequence, uint64_t salt) {
    return mix(mix(w->kernel.seed + salt) + ((uint64_t)partition << 48) + (uint64_t)sequence);
}

int whole_key(const whole *w, size_t partition, int64_t sequence) {
    return (int)(dice(w, partition, sequence, 1) % WHOLE_KEYS) - 1;
}

bool whole_poison(const whole *w, size_t partition, int64_t sequence) {
    return (double)(dice(w, partition, sequence, 2) % 100000) < w->options.poison * 100000;
}

whole_event *whole_event_at(whole *w, size_t partition, int64_t sequence) {
    whole_partition *p = &w->partitions[partition];

    if (sequence >= p->room) {
        int64_t room = sequence * 2 + 1024;
        whole_event *events = tmk_resize(p->events, (size_t)room, sizeof *events);

        if (events == NULL) {
            abort();
        }
        memset(events + p->room, 0, (size_t)(room - p->room) * sizeof *events);
        p->events = events;
        p->room = room;
    }
    p->count = sequence >= p->count ? sequence + 1 : p->count;
    return &p->events[sequence];
}

void whole_set_stage(whole *w, size_t partition, int64_t sequence, uint32_t opening,
                     whole_stage stage) {
    whole_event *e = whole_event_at(w, partition, sequence);

    if (e->opening == opening) {
        e->stage = (uint8_t)stage;
    }
}

void whole_set_final(whole *w, size_t partition, int64_t sequence) {
    whole_partition *p = &w->partitions[partition];
    whole_event *e = whole_event_at(w, partition, sequence);

    w->figures.events += !e->final;
    e->final = true;
    while (p->low < p->count && p->events[p->low].final) {
        p->low++;
    }
}

/* The first event of a key that is not final. */
static int64_t key_low(whole *w, size_t partition, int key) {
    whole_partition *p = &w->partitions[partition];
    int64_t *low = &p->key_low[key + 1];

    while (*low < p->count && (p->events[*low].final || whole_key(w, partition, *low) != key)) {
        (*low)++;
    }
    return *low;
}

/* ---- handing ---- */

static void check_order(whole_worker *k) {
    whole *w = k->instance->world;
    int64_t low = w->partitions[k->partition].low;

    if (w->options.order == TMK_ORDER_NONE) {
        return;
    }
    if (w->options.order == TMK_ORDER_KEY) {
        low = key_low(w, k->partition, whole_key(w, k->partition, k->sequence));
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

/* In an outage it goes on without a lease; a nap between two steps then changes nothing. */
void whole_note_sleep(whole_instance *i) {
    i->slept_until = i->world->kernel.now;
    i->slept_out = !has_lease(i) && i->slept_until - i->slept_from > 4 * TMK_SEC;
}

static void note_confirmed(const sim_applied *a) {
    whole_instance *i = sim_store_client_user(a->client);

    if ((a->op->kind == TMK_STORE_MEMBER_RENEW || a->op->kind == TMK_STORE_MEMBER_JOIN) &&
        a->status == TMK_OK && a->sent >= i->slept_until) {
        i->slept_out = false;
    }
}

static void check_owner(whole_worker *k, const whole_reader *r) {
    whole_instance *i = k->instance;
    sim_kernel *kernel = &i->world->kernel;
    const char *what = NULL;

    if (!r->open || r->generation != k->turn.delivery.generation) {
        what = "not open";
    } else if (r->lost) {
        what = "stolen";
    } else if (i->slept_out) {
        what = "read by one who slept longer than its lease";
    } else if (r->down && !has_lease(i)) {
        what = "read over a link that is down, without a lease";
    } else if (i->abandoned) {
        what = "abandoned";
    } else if (i->process.frozen || i->process.dead) {
        what = "of a process that does not run";
    }
    if (what != NULL) {
        sim_violation(kernel, "I5", "%s is handed %" PRId64 " of %zu, which is %s", i->name,
                      k->sequence, k->partition, what);
    }
}

static void check_again(whole_worker *k, whole_event *e) {
    whole *w = k->instance->world;

    if (e->opening == k->opening && e->stage != STAGE_AGAIN) {
        sim_violation(&w->kernel, "I5", "%s is handed %" PRId64 " of %zu twice (stage %d)",
                      k->instance->name, k->sequence, k->partition, e->stage);
    } else if (e->opening != k->opening && e->final) {
        w->figures.repeats++;
        if (w->options.planned_only) {
            sim_violation(&w->kernel, "I4", "%s is handed %" PRId64 " of %zu, which was final",
                          k->instance->name, k->sequence, k->partition);
        }
    }
}

void whole_check_handing(whole_worker *k) {
    whole_instance *i = k->instance;
    whole *w = i->world;
    whole_reader *r = NULL;
    whole_event *e = NULL;

    k->partition = whole_partition_of(k->turn.delivery.partition);
    k->sequence = tmk_event_sequence(k->event);
    r = &i->readers[k->partition];
    k->opening = r->opening;
    e = whole_event_at(w, k->partition, k->sequence);
    w->figures.handed++;
    check_owner(k, r);
    check_again(k, e);
    check_order(k);
    e->opening = k->opening;
    e->stage = STAGE_RUNS;
    if (sim_tracing(&w->kernel)) {
        sim_trace(&w->kernel, "dispatch",
                  ",\"owner\":\"%s\",\"partition\":\"%zu\",\"sequence\":%" PRId64 ",\"attempt\":%u",
                  i->name, k->partition, k->sequence, k->turn.delivery.attempt);
    }
}

/* ---- opening ---- */

void whole_check_open(whole_instance *i, size_t partition, const tmk_start *start) {
    whole *w = i->world;
    int64_t first =
        start->kind == TMK_START_SEQUENCE ? start->sequence + (start->inclusive ? 0 : 1) : 0;

    if (i->readers[partition].linked) {
        return; /* goes on where it was */
    }
    i->readers[partition].linked = true;
    w->figures.opens++;
    if (start->kind != TMK_START_SEQUENCE && start->kind != TMK_START_EARLIEST) {
        sim_violation(&w->kernel, "I1", "%s opens %zu by a position of kind %d", i->name, partition,
                      (int)start->kind);
    }
    if (first > w->partitions[partition].low) {
        sim_violation(&w->kernel, "I1", "%s opens %zu at %" PRId64 ", not final is %" PRId64,
                      i->name, partition, first, w->partitions[partition].low);
    }
}

void whole_check_attach(void *user, size_t partition, int64_t level, void *link_user) {
    whole *w = user;
    whole_partition *p = &w->partitions[partition];

    (void)link_user;
    if (level < p->level) {
        sim_violation(&w->kernel, "I7",
                      "somebody attaches to %zu with level %" PRId64 " after %" PRId64, partition,
                      level, p->level);
    }
    p->level = level;
}

/* ---- writes ---- */

static void check_map(whole *w, const char *by, size_t partition, const tmk_checkpoint *c) {
    tmk_done_map m = {0};

    if (c->done_map.size == 0) {
        return;
    }
    if (tmk_done_map_read(c->done_map, &m, NULL) < 0) {
        sim_violation(&w->kernel, "I1", "%s writes a map of %zu that cannot be read", by,
                      partition);
        return;
    }
    for (int64_t s = c->sequence + 1; s < w->partitions[partition].count; s++) {
        if (!w->partitions[partition].events[s].final && tmk_ranges_has(&m.ranges, s)) {
            sim_violation(&w->kernel, "I1",
                          "%s writes a map of %zu with %" PRId64 ", which is not final", by,
                          partition, s);
        }
    }
    tmk_done_map_clear(&m);
}

static void check_record(whole *w, const sim_applied *a, size_t partition) {
    const whole_instance *by = sim_store_client_user(a->client);
    const tmk_checkpoint *c = &a->after->record.checkpoint;
    int64_t sequence = c->present && c->sequence_known ? c->sequence : -1;
    whole_partition *p = &w->partitions[partition];

    if (sequence < a->sequence_before) {
        sim_violation(&w->kernel, "I3", "%s takes %zu back from %" PRId64 " to %" PRId64, by->name,
                      partition, a->sequence_before, sequence);
    }
    if (sequence >= p->low) {
        sim_violation(&w->kernel, "I1", "%s writes %" PRId64 " of %zu, not final is %" PRId64,
                      by->name, sequence, partition, p->low);
    }
    if (a->after->record.generation < p->generation) {
        sim_violation(&w->kernel, "I7",
                      "the generation of %zu goes back from %" PRId64 " to %" PRId64, partition,
                      p->generation, a->after->record.generation);
    }
    p->generation = a->after->record.generation;
    w->figures.checkpoints += a->op->kind == TMK_STORE_PARTITION_WRITE;
    check_map(w, by->name, partition, c);
}

void whole_check_applied(void *user, const sim_applied *a) {
    whole *w = user;

    if (sim_tracing(&w->kernel)) {
        const whole_instance *by = sim_store_client_user(a->client);

        sim_trace(&w->kernel, "request",
                  ",\"owner\":\"%s\",\"operation\":\"%s\",\"id\":\"%s\",\"status\":\"%s\"",
                  by->name, tmk_store_op_name(a->op->kind), a->op->id == NULL ? "" : a->op->id,
                  tmk_status_name(a->status));
    }
    note_confirmed(a);
    if (a->op->kind > TMK_STORE_PARTITION_LIST && a->op->kind != TMK_STORE_PARTITION_READ &&
        a->status == TMK_OK && a->after != NULL) {
        check_record(w, a, whole_partition_of(a->op->id));
    }
}

/* ---- steps ---- */

void whole_check_step(whole_instance *i) {
    const whole_options *o = &i->world->options;
    tmk_processor_stats s = {.size = sizeof s};

    tmk_control_stats(i->control, &s);
    if (s.held_events > o->events_max + o->partitions || s.held_bytes > i->user.bytes_max) {
        sim_violation(&i->world->kernel, "I11", "%s holds %u events, %" PRIu64 " bytes", i->name,
                      s.held_events, s.held_bytes);
    }
}

bool whole_all_final(whole *w, char *why, size_t room) {
    for (size_t p = 0; p < w->options.partitions; p++) {
        int64_t last = sim_hub_last(w->hub, p, w->kernel.now);

        if (last >= 0) {
            (void)whole_event_at(w, p, last);
        }
        if (w->partitions[p].low <= last) {
            (void)snprintf(why, room, "event %" PRId64 " of partition %zu, which has %" PRId64,
                           w->partitions[p].low, p, last + 1);
            return false;
        }
    }
    return true;
}
