/* Reports wait in a queue until the shell takes them. Bounded: what is too much is counted. */
#include "core/pump_inside.h"

#include <stdio.h>

enum { REPORTS_MAX = 64 };

static const struct {
    const char *name, *operation;
    bool problem;
} kinds[] = {
#define X(name, text, problem, operation) {text, operation, problem},
    TMK_PUMP_EVENT_MAP(X)
#undef X
};

const char *tmk_pump_event_name(tmk_pump_event e) {
    return (size_t)e < sizeof kinds / sizeof *kinds ? kinds[e].name : "?";
}

static void push(tmk_engine *e, tmk_ring *reports, tmk_pump_report *r, const tmk_error *error,
                 const char *reaction) {
    r->problem = kinds[r->event].problem;
    r->operation = kinds[r->event].operation;
    if (error != NULL) {
        r->error = *error;
    }
    (void)snprintf(r->reaction, sizeof r->reaction, "%s", reaction == NULL ? "" : reaction);
    if (reports->count >= REPORTS_MAX || tmk_ring_push(reports, r) < 0) {
        e->stats.reports_dropped++;
    }
}

/* One that says the same and has not been taken yet, of those that come in numbers. */
static tmk_pump_report *same(tmk_pump *p, tmk_pump_event event) {
    for (size_t i = 0; i < p->reports.count; i++) {
        tmk_pump_report *r = tmk_ring_at(&p->reports, i);

        if (r->event == event && (event == TMK_PUMP_REPEATS || event == TMK_PUMP_GAP)) {
            return r;
        }
    }
    return NULL;
}

void tmk_pump_tell(tmk_pump *p, tmk_pump_event event, int64_t sequence, uint64_t count,
                   const tmk_error *error, const char *reaction) {
    tmk_pump_report r = {
        .event = event, .partition = p->partition, .sequence = sequence, .count = count};
    tmk_pump_report *earlier = same(p, event);

    if (earlier != NULL) {
        earlier->count += count;
    } else {
        push(p->engine, &p->reports, &r, error, reaction);
        tmk_pump_touch(p);
    }
}

void tmk_engine_tell(tmk_engine *e, tmk_pump_event event, const char *partition, int64_t sequence,
                     uint64_t count, const tmk_error *error, const char *reaction) {
    tmk_pump_report r = {
        .event = event, .partition = partition, .sequence = sequence, .count = count};

    push(e, &e->reports, &r, error, reaction);
}
