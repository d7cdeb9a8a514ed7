/* See rig.h. */
#include "testkit/rig.h"

static tmk_verdict on_event(void *user, const tmk_event *e, tmk_delivery *d) {
    rig_worker *w = user;
    rig *r = w->rig;
    int partition = atoi(tmk_event_partition(e));

    w->events++;
    tmk_kit_takes(r->kit, r->takes_ms);
    r->out_of_order += d->attempt == 1 && tmk_event_sequence(e) < r->newest[partition];
    r->newest[partition] = tmk_event_sequence(e);
    return r->verdict == NULL ? TMK_DONE : r->verdict(w, e, d);
}

static tmk_status on_open(void *user, const char *partition, int64_t generation, bool checkpointed,
                          tmk_start *start) {
    (void)partition;
    (void)generation;
    (void)checkpointed;
    (void)start;
    ((rig_worker *)user)->opens++;
    return TMK_OK;
}

static void on_close(void *user, const char *partition, int64_t generation, tmk_close_reason reason,
                     int64_t final_sequence) {
    (void)partition;
    (void)generation;
    (void)reason;
    (void)final_sequence;
    ((rig_worker *)user)->closes++;
}

static void on_error(void *user, const tmk_problem *p) {
    rig_worker *w = user;

    if (w->problems++ == 0) {
        (void)snprintf(w->condition, sizeof w->condition, "%s", p->error->origin);
    }
}

static void on_trace(void *user, const char *line, size_t size) {
    rig *r = user;

    r->lines++;
    for (size_t n = 0; n < size; n++) {
        r->hash = (r->hash ^ (uint8_t)line[n]) * UINT64_C(0x100000001b3);
    }
}

void rig_init(rig *r) {
    memset(r, 0, sizeof *r);
    tmk_kit_options_init(&r->kit_options);
    r->kit_options.seed = 11;
    r->kit_options.on_trace = on_trace;
    r->kit_options.user = r;
    tmk_processor_options_init(&r->options);
    r->options.on_event = on_event;
    r->options.on_open = on_open;
    r->options.on_close = on_close;
    r->options.on_error = on_error;
}

void rig_begin(rig *r) {
    CHECK_EQ(TMK_OK, tmk_kit_new(&r->kit_options, &r->kit, &r->err));
    for (size_t n = 0; n < RIG_PARTITIONS; n++) {
        r->newest[n] = -1;
    }
}

void rig_end(rig *r) {
    for (uint32_t n = 0; n < r->worker_count; n++) {
        r->workers[n].processor = tmk_processor_free(r->workers[n].processor);
    }
    r->kit = tmk_kit_free(r->kit);
}

rig_worker *rig_start(rig *r, const char *name) {
    rig_worker *w = &r->workers[r->worker_count++];

    w->rig = r;
    r->options.user = w;
    CHECK_EQ(TMK_OK, tmk_kit_join(r->kit, name, &w->instance, &r->err));
    CHECK_EQ(TMK_OK, tmk_processor_new(tmk_kit_client(w->instance), tmk_kit_store(w->instance),
                                       &r->options, &w->processor, &r->err));
    CHECK_EQ(TMK_OK, tmk_processor_start(w->processor, &r->err));
    return w;
}

void rig_stop(rig_worker *w, int64_t deadline_ms, tmk_status expected) {
    CHECK_EQ(expected, tmk_processor_stop(w->processor, deadline_ms, NULL, &w->rig->err));
    w->processor = tmk_processor_free(w->processor);
}

void rig_run(rig *r, int64_t ms) {
    CHECK_EQ(TMK_OK, tmk_kit_run(r->kit, ms, &r->err));
}

void rig_append(rig *r, uint32_t count) {
    CHECK_EQ(TMK_OK, tmk_kit_append_many(r->kit, count, 0, &r->err));
}

void rig_settle(rig *r, int64_t within_ms) {
    if (tmk_kit_settle(r->kit, within_ms, &r->err) != TMK_OK) {
        fail_msg("it does not settle: %s", r->err.text);
    }
}

void rig_fault(rig *r, tmk_kit_fault_kind kind, rig_worker *w, const char *partition, int64_t ms) {
    CHECK_EQ(TMK_OK,
             tmk_kit_fault(r->kit, kind, w == NULL ? NULL : w->instance, partition, ms, &r->err));
}

tmk_kit_counts rig_counts(rig *r) {
    tmk_kit_counts c = {.size = sizeof c};

    tmk_kit_counts_get(r->kit, &c);
    return c;
}

tmk_kit_partition rig_partition(rig *r, const char *partition) {
    tmk_kit_partition p = {.size = sizeof p};

    CHECK_EQ(TMK_OK, tmk_kit_partition_get(r->kit, partition, &p, &r->err));
    return p;
}

uint32_t rig_owned(rig *r, const char *name) {
    uint32_t count = 0;
    char id[12];

    for (uint32_t n = 0; n < r->kit_options.partitions; n++) {
        (void)snprintf(id, sizeof id, "%u", n);
        count += strcmp(rig_partition(r, id).owner, name) == 0;
    }
    return count;
}

tmk_processor_stats rig_stats(rig_worker *w) {
    tmk_processor_stats s = {.size = sizeof s};

    tmk_processor_stats_get(w->processor, &s);
    return s;
}
