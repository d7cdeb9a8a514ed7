/* Taking snapshots. See tidemark/stats.h and stats.h. */
#include "run/stats.h"

#include <string.h>

#include "base/alloc.h"
#include "base/call.h"
#include "base/status.h"

static const double handler_bounds[TMK_DISPATCHER_BUCKETS - 1] = {
#define US(n) ((double)(INT64_C(1) << (n)) / 1e6)
    US(0),  US(1),  US(2),  US(3),  US(4),  US(5),  US(6),  US(7),  US(8),  US(9),
    US(10), US(11), US(12), US(13), US(14), US(15), US(16), US(17), US(18), US(19),
    US(20), US(21), US(22), US(23), US(24), US(25), US(26), US(27)
#undef US
};

void tmk_stats_fill(tmk_processor *p, tmk_processor_stats *out) {
    tmk_client_stats client = {.size = sizeof client};
    tmk_dispatcher_stats handlers;

    memset(out, 0, sizeof *out);
    out->store_silent_ms = -1;
    if (p->control != NULL) {
        tmk_control_stats(p->control, out);
    }
    tmk_client_stats_get(p->client, &client);
    tmk_dispatcher_stats_get(p->dispatcher, &handlers);
    out->link_recoveries = client.links_lost;
    out->hub_throttled = client.busy;
    out->batches = handlers.callbacks;
    out->handler_seconds_us = (uint64_t)(handlers.busy / TMK_US);
    out->handlers_busy = handlers.running;
    out->handler_longest_ms = handlers.longest / TMK_MS;
    out->uptime_ms = p->started_at == TMK_NEVER ? 0 : (tmk_now(&p->clock) - p->started_at) / TMK_MS;
    out->size = sizeof *out;
}

/* ---- one block ---- */

typedef struct layout {
    size_t partitions, problems, text;
} layout;

static size_t size_of(const char *text) {
    return strlen(text) + 1;
}

static char *put(char *at, const char *text, const char **out) {
    size_t size = size_of(text);

    memcpy(at, text, size);
    *out = at;
    return at + size;
}

static layout measure(tmk_processor *p) {
    layout l = {0, 0, 0};

    l.text = size_of(tmk_client_host(p->client)) + size_of(tmk_client_hub(p->client)) +
             size_of(p->group) + size_of(p->owner_id);
    if (p->control == NULL) {
        return l;
    }
    l.partitions = tmk_control_partition_count(p->control);
    l.problems = tmk_control_meters(p->control)->problem_count;
    for (size_t i = 0; i < l.partitions; i++) {
        tmk_partition_state s;

        tmk_control_partition_at(p->control, i, &s);
        l.text += size_of(s.partition) + size_of(s.owner);
    }
    return l;
}

static char *fill_about(tmk_stats *s, tmk_processor *p, char *text) {
    int64_t now_ms = tmk_wall_now(&p->clock).us / 1000;

    s->about.taken_ms = now_ms;
    s->about.started_ms = p->started_at == TMK_NEVER ? 0 : now_ms - s->processor.uptime_ms;
    s->about.retention_ms = p->options.retention_ms;
    text = put(text, tmk_client_host(p->client), &s->about.host);
    text = put(text, tmk_client_hub(p->client), &s->about.hub);
    text = put(text, p->group, &s->about.group);
    return put(text, p->owner_id, &s->about.owner_id);
}

static void fill_partitions(tmk_stats *s, tmk_processor *p, char *text) {
    for (size_t i = 0; i < s->partition_count; i++) {
        tmk_partition_state *state = &s->partitions[i];

        tmk_control_partition_at(p->control, i, state);
        text = put(text, state->partition, &state->partition);
        text = put(text, state->owner, &state->owner);
        state->lag.partition = state->partition;
    }
}

static void fill_problems(tmk_stats *s, const tmk_meters *m) {
    for (size_t i = 0; i < s->problem_count; i++) {
        tmk_meter_problem *text = &s->texts[i];

        *text = m->problems[i];
        s->problems[i] = (tmk_stats_problem){.partition = text->partition,
                                             .operation = text->operation,
                                             .condition = text->condition,
                                             .reaction = text->reaction,
                                             .count = text->count};
    }
}

static void add_histogram(tmk_stats *s, const char *name, const double *bounds, size_t bound_count,
                          const uint64_t *counts, tmk_time sum) {
    size_t at = s->histogram_count++;
    tmk_histogram *h = &s->histograms[at];

    memcpy(s->times[at].counts, counts, (bound_count + 1) * sizeof *counts);
    *h = (tmk_histogram){.name = name,
                         .bounds = bounds,
                         .counts = s->times[at].counts,
                         .bound_count = bound_count,
                         .seconds = (double)sum / 1e9};
    for (size_t i = 0; i <= bound_count; i++) {
        h->count += counts[i];
    }
}

static void fill_histograms(tmk_stats *s, tmk_processor *p, const tmk_meters *m) {
    tmk_dispatcher_stats handlers;

    tmk_dispatcher_stats_get(p->dispatcher, &handlers);
    add_histogram(s, "handler", handler_bounds, TMK_DISPATCHER_BUCKETS - 1, handlers.histogram,
                  handlers.busy);
    for (size_t i = 1; m != NULL && i < TMK_METER_OPS; i++) {
        if (tmk_meter_times_count(&m->requests[i]) > 0) {
            add_histogram(s, tmk_store_op_name((tmk_store_op_kind)i), tmk_meter_bounds,
                          TMK_METER_BOUNDS, m->requests[i].counts, m->requests[i].sum);
        }
    }
}

tmk_stats *tmk_stats_make(tmk_processor *p) {
    const tmk_meters *meters = p->control == NULL ? NULL : tmk_control_meters(p->control);
    layout l = measure(p);
    tmk_stats *s = tmk_alloc(sizeof *s + l.partitions * sizeof *s->partitions +
                             l.problems * (sizeof *s->problems + sizeof *s->texts) + l.text);

    if (s == NULL) {
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->holders = 1;
    s->partition_count = l.partitions;
    s->problem_count = l.problems;
    s->partitions = (tmk_partition_state *)(s + 1);
    s->problems = (tmk_stats_problem *)(s->partitions + l.partitions);
    s->texts = (tmk_meter_problem *)(s->problems + l.problems);
    tmk_stats_fill(p, &s->processor);
    s->client.size = sizeof s->client;
    tmk_client_stats_get(p->client, &s->client);
    fill_partitions(s, p, fill_about(s, p, (char *)(s->texts + l.problems)));
    if (meters != NULL) {
        fill_problems(s, meters);
    }
    fill_histograms(s, p, meters);
    return s;
}

/* ---- the public side ---- */

static void run_take(tmk_processor *p, void *arg) {
    *(tmk_stats **)arg = tmk_stats_make(p);
}

tmk_status tmk_stats_take(tmk_processor *p, tmk_stats **out, tmk_error *err) {
    tmk_stats *s = NULL;

    tmk_processor_on_control(p, run_take, &s);
    if (s == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "run", "no memory for statistics");
    }
    *out = s;
    return TMK_OK;
}

tmk_stats *tmk_stats_keep(const tmk_stats *s) {
    tmk_stats *kept;

    memcpy(&kept, &s, sizeof kept); /* its count of holders is all that ever changes */
    (void)__atomic_add_fetch(&kept->holders, 1, __ATOMIC_RELAXED);
    return kept;
}

tmk_stats *tmk_stats_free(tmk_stats *s) {
    if (s != NULL && __atomic_sub_fetch(&s->holders, 1, __ATOMIC_ACQ_REL) == 0) {
        tmk_free(s);
    }
    return NULL;
}

const tmk_stats_about *tmk_stats_about_get(const tmk_stats *s) {
    return &s->about;
}

const tmk_processor_stats *tmk_stats_processor(const tmk_stats *s) {
    return &s->processor;
}

const tmk_client_stats *tmk_stats_client(const tmk_stats *s) {
    return &s->client;
}

size_t tmk_stats_partition_count(const tmk_stats *s) {
    return s->partition_count;
}

const tmk_partition_state *tmk_stats_partition(const tmk_stats *s, size_t index) {
    return index < s->partition_count ? &s->partitions[index] : NULL;
}

size_t tmk_stats_problem_count(const tmk_stats *s) {
    return s->problem_count;
}

const tmk_stats_problem *tmk_stats_problem_at(const tmk_stats *s, size_t index) {
    return index < s->problem_count ? &s->problems[index] : NULL;
}

size_t tmk_stats_histogram_count(const tmk_stats *s) {
    return s->histogram_count;
}

const tmk_histogram *tmk_stats_histogram(const tmk_stats *s, size_t index) {
    return index < s->histogram_count ? &s->histograms[index] : NULL;
}
