/* Counting, in bounds. See meters.h. */
#include "run/meters.h"

#include <stdio.h>
#include <string.h>

const double tmk_meter_bounds[TMK_METER_BOUNDS] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                   0.25,  0.5,   1,    2.5,   10};

void tmk_meters_init(tmk_meters *m) {
    memset(m, 0, sizeof *m);
    m->answered_at = TMK_NEVER;
}

static bool is(const tmk_meter_problem *row, const tmk_meter_problem *wanted) {
    return strcmp(row->condition, wanted->condition) == 0 &&
           strcmp(row->operation, wanted->operation) == 0 &&
           strcmp(row->partition, wanted->partition) == 0;
}

/* The last row is kept for what finds no other. */
static tmk_meter_problem *row_of(tmk_meters *m, const tmk_meter_problem *wanted) {
    for (uint32_t i = 0; i < m->problem_count; i++) {
        if (is(&m->problems[i], wanted)) {
            return &m->problems[i];
        }
    }
    if (m->problem_count < TMK_METER_PROBLEMS - 1) {
        m->problems[m->problem_count] = *wanted;
        return &m->problems[m->problem_count++];
    }
    m->problem_count = TMK_METER_PROBLEMS;
    (void)snprintf(m->problems[TMK_METER_PROBLEMS - 1].operation, sizeof m->problems[0].operation,
                   "other");
    (void)snprintf(m->problems[TMK_METER_PROBLEMS - 1].condition, sizeof m->problems[0].condition,
                   "other");
    return &m->problems[TMK_METER_PROBLEMS - 1];
}

void tmk_meters_problem(tmk_meters *m, const char *partition, const char *operation,
                        const tmk_error *error, const char *reaction) {
    tmk_meter_problem wanted = {.count = 0}, *row;

    (void)snprintf(wanted.partition, sizeof wanted.partition, "%s",
                   partition == NULL ? "" : partition);
    (void)snprintf(wanted.operation, sizeof wanted.operation, "%s", operation);
    (void)snprintf(wanted.condition, sizeof wanted.condition, "%s",
                   error->origin[0] == '\0' ? tmk_status_name(error->status) : error->origin);
    row = row_of(m, &wanted);
    (void)snprintf(row->reaction, sizeof row->reaction, "%s", reaction == NULL ? "" : reaction);
    row->count++;
    m->problems_total++;
}

void tmk_meters_request(tmk_meters *m, tmk_store_op_kind kind, tmk_time took) {
    tmk_meter_times *t;
    int i = 0;

    if ((unsigned)kind >= TMK_METER_OPS) {
        return;
    }
    t = &m->requests[kind];
    while (i < TMK_METER_BOUNDS && (double)took / 1e9 > tmk_meter_bounds[i]) {
        i++;
    }
    t->counts[i]++;
    t->sum += took > 0 ? took : 0;
}

uint64_t tmk_meter_times_count(const tmk_meter_times *t) {
    uint64_t count = 0;

    for (int i = 0; i <= TMK_METER_BOUNDS; i++) {
        count += t->counts[i];
    }
    return count;
}
