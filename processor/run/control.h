/*
 * The control of a processor: brings together the fleet (who owns what), the
 * pumps (what becomes of a partition's events), the store and the links.
 *
 * It starts no thread, opens no socket and reads no clock: everything comes in
 * through the functions below, everything goes out through the ports. So the
 * same code runs in production, under a loop, and in the simulation, thousands
 * of instances in one thread on virtual time.
 *
 *            store answers   links, events    callers' wishes
 *                  |               |                |
 *        +---------v---------------v----------------v---------+
 *        |                     control                        |
 *        |   fleet  <---- slots, one a partition ---->  pumps |---> yard (handlers)
 *        +----------------------------------------------------+
 *                  |               |                |
 *             store requests   open, credit     user's callbacks
 *
 * Threads: one, the control thread.
 */
#ifndef TMK_RUN_CONTROL_H
#define TMK_RUN_CONTROL_H

#include <tidemark/processor.h>

#include "core/fleet.h"
#include "core/pump.h"
#include "eventhubs/source.h"
#include "run/journal.h"
#include "run/meters.h"

typedef struct tmk_control tmk_control;

typedef struct tmk_control_ports {
    /* Asks the store; the answer comes by tmk_control_on_answer(), never from inside the call. */
    void (*submit)(void *self, uint64_t ticket, const tmk_store_op *op, tmk_fleet_class channel);
    /* A step is wanted soon; may be called often, also from inside a step. */
    void (*wake)(void *self);
    void *self;
    tmk_source source;
    tmk_clock clock;
} tmk_control_ports;

typedef struct tmk_control_options {
    tmk_fleet_options fleet;
    tmk_engine_options engine;
    const tmk_processor_options *user; /* callbacks and intervals; borrowed */
    uint64_t seed;
    tmk_time drain_max; /* how long a planned move waits for running handlers */
    tmk_time ids_every; /* the hub is asked for new partitions this often */
    tmk_journal journal;
    tmk_log log;
} tmk_control_options;

/* The yard is borrowed. Nothing happens before the first step. */
tmk_status tmk_control_new(const tmk_control_options *options, const tmk_control_ports *ports,
                           tmk_yard *yard, tmk_control **out, tmk_error *err);
/* The source, and its links with it, must have been freed before. NULL is fine; returns NULL. */
tmk_control *tmk_control_free(tmk_control *c);

/* Does all that is to be done now. Call it after each group of on_... and at the deadline. */
void tmk_control_step(tmk_control *c);
tmk_time tmk_control_deadline(tmk_control *c);

void tmk_control_on_answer(tmk_control *c, uint64_t ticket, const tmk_store_result *result);

/* Leaves: drains until `drain_until`, hands over, says goodbye. */
void tmk_control_stop(tmk_control *c, tmk_time drain_until);
bool tmk_control_left(const tmk_control *c); /* the goodbye is written and nothing is open */
/* Gives up what is not drained: no further callback, links closed. */
void tmk_control_abandon(tmk_control *c);
void tmk_control_report(tmk_control *c, tmk_stop_report *out);

/* Wishes. ABSENT: that partition is not ours now. */
tmk_status tmk_control_pause(tmk_control *c, const char *partition, bool pause);
tmk_status tmk_control_checkpoint(tmk_control *c, const char *partition); /* NULL: of all */
tmk_status tmk_control_letter_done(tmk_control *c, tmk_handle handle, tmk_status status,
                                   const tmk_error *err);

/* Seeing. */
void tmk_control_stats(tmk_control *c, tmk_processor_stats *out);
size_t tmk_control_partition_count(const tmk_control *c);
void tmk_control_partition_at(tmk_control *c, size_t index, tmk_partition_state *out);
const tmk_meters *tmk_control_meters(const tmk_control *c);
const tmk_fleet *tmk_control_fleet(const tmk_control *c);
/* A handler runs too long, or a problem from outside: told to the user like all others. */
void tmk_control_tell(tmk_control *c, const tmk_problem *problem);

#endif
