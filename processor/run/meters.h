/*
 * Numbers that a control keeps for its statistics: what went wrong, by what it
 * was, and how long the store took. Bounded: one row for each combination that
 * was ever met, up to a limit; what comes after that is counted in a row of its
 * own, so that a sum over all rows is right.
 *
 * Pure; control thread.
 */
#ifndef TMK_RUN_METERS_H
#define TMK_RUN_METERS_H

#include <tidemark/store.h>

#include "base/time.h"

enum {
    TMK_METER_PROBLEMS = 128,
    TMK_METER_BOUNDS = 11,
    TMK_METER_OPS = TMK_STORE_PARTITION_DELETE + 1
};

/* Upper ends of the buckets of a duration, in seconds. */
extern const double tmk_meter_bounds[TMK_METER_BOUNDS];

typedef struct tmk_meter_problem {
    char partition[24]; /* "": the processor as a whole */
    char operation[24]; /* "other", with condition "other": of combinations that found no room */
    char condition[48]; /* who said so: "amqp:link:stolen", "http:412"; or a status' name */
    char reaction[80];  /* what followed the last time */
    uint64_t count;
} tmk_meter_problem;

typedef struct tmk_meter_times {
    uint64_t counts[TMK_METER_BOUNDS + 1]; /* not added up; the last: above all bounds */
    tmk_time sum;
} tmk_meter_times;

typedef struct tmk_meters {
    tmk_meter_problem problems[TMK_METER_PROBLEMS];
    uint32_t problem_count;
    uint64_t problems_total;
    tmk_meter_times requests[TMK_METER_OPS]; /* of the store, by tmk_store_op_kind */
    tmk_time answered_at;                    /* the store last answered; TMK_NEVER: not yet */
} tmk_meters;

void tmk_meters_init(tmk_meters *m);
/* partition NULL: the processor as a whole. Texts that are too long are cut. */
void tmk_meters_problem(tmk_meters *m, const char *partition, const char *operation,
                        const tmk_error *error, const char *reaction);
void tmk_meters_request(tmk_meters *m, tmk_store_op_kind kind, tmk_time took);

uint64_t tmk_meter_times_count(const tmk_meter_times *t);

#endif
