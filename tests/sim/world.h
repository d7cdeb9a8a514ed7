/*
 * A world of fleets: instances (a real fleet machine each, a model of the
 * reading behind it), one simulated store and one simulated hub; and the
 * checkers, which look at each write, attach and dispatch.
 *
 * The rules are those of the reliability document: I1 nothing lost, I3 stored
 * checkpoints only grow and never run ahead, I4 planned moves repeat nothing,
 * I5 one owner, I6 only the dead are evicted, I7 generations grow, I8 balanced
 * again in time, I9 at rest nothing moves, I10 requests.
 */
#ifndef TMK_SIM_WORLD_H
#define TMK_SIM_WORLD_H

#include "core/fleet.h"
#include "kernel.h"
#include "sim_hub.h"
#include "sim_store.h"

enum {
    SIM_INSTANCES_MAX = 512,
    SIM_LIVES_MAX = 64,
    SIM_PARTITIONS_MAX = 2048,
    SIM_GAPS_MAX = 20000
};

typedef enum sim_life {
    SIM_ABSENT = 0,
    SIM_RUNNING,
    SIM_STOPPING,
    SIM_FROZEN,
    SIM_ENDED /* left or killed; the place is not used again */
} sim_life;

typedef enum sim_reading {
    SIM_READING_NOT = 0,
    SIM_READING_OPENING,
    SIM_READING_RUNS,
    SIM_READING_DRAINS,
    SIM_READING_STOPS
} sim_reading;

typedef struct sim_world sim_world;
typedef struct sim_instance sim_instance;

/* How one instance reads one partition. */
typedef struct sim_reader {
    sim_instance *instance;
    size_t partition;
    sim_reading state;
    sim_link *link;
    bool drained;                    /* the last reading ended with all of it final */
    bool opened, fenced, held, lost; /* lost: the hub said so; nothing is dispatched any more */
    int64_t dispatched, final;       /* the newest event handed to a handler, and that is final */
    int64_t generation;
    int64_t opened_generation; /* of the last time it was read; 0: never */
    int64_t lost_generation;   /* the hub took the link of it */
    tmk_time lost_at;
    bool asked_since;                     /* and the record was read afterwards */
    char opened_id[TMK_STORE_ID_MAX + 1]; /* by which life */
    tmk_time since;                       /* advanced up to */
    sim_event finish;                     /* of a drain or a stop */
    sim_event save;                       /* the next checkpoint */
    double busy_ms, bytes;                /* what it has cost */
} sim_reader;

struct sim_instance {
    sim_world *world;
    size_t number;
    char name[32], host[32];
    sim_life life;
    tmk_fleet *fleet;
    sim_process process;
    sim_store_client *store;
    sim_hub_client *hub;
    sim_event step, wake, freeze, measure;
    sim_reader *readers;
    tmk_rng rng;
    tmk_time clock_offset;
    int64_t clock_ppm;
    bool fenced, ready, store_cut, hub_cut;
    tmk_time freeze_with_heartbeat; /* so long, as soon as the next one is under way; 0: no */
    bool slept;                     /* woke from a sleep and was not confirmed since */
    bool lease_ran_out;             /* while it slept */
    tmk_time slept_at, frozen_at;
    tmk_time trust; /* by its own clock: nothing is dispatched later */
    tmk_time joined_at, ready_at;
    tmk_time bad_until;  /* it could not reach the store, or did not run, until then */
    tmk_time renewed[8]; /* when its last renewals were applied */
    uint64_t renewals;
    uint64_t window_requests,
        window_own; /* since the window began; of these checkpoints and moves */
    tmk_time window_from;
    uint64_t wall_requests;
    tmk_time save_every, handler, drain_max;
    tmk_fleet_counts counts_rest; /* when the rest began */
    bool weighted;                /* it asks for balance by load */
    tmk_time level_from;          /* while levelling: a round's time begins, */
    unsigned level_moves;         /* and so many it has given since */
};

/* What the world knows of a partition. */
typedef struct sim_truth {
    int64_t done;       /* all up to here are final */
    int64_t dispatched; /* the newest ever handed to a handler */
    int64_t level;      /* highest owner level that attached */
    char level_owner[TMK_STORE_ID_MAX + 1];
    tmk_time unread_since; /* -1: somebody reads it */
    bool planned_gap;
    size_t readers;
    unsigned handed;   /* times */
    double cost;       /* milliseconds of handlers a second, or 4 KiB: what its reader is told */
    unsigned levelled; /* times handed while nothing but loads moved it */
    bool removed;      /* an operator took its record away, and the generations with it */
} sim_truth;

typedef struct sim_figures {
    uint64_t handed, released, claims, takeovers, evictions, evicted, refused, fences, requests,
        written;
    uint64_t repeats, repeats_planned, healthy_evicted;
    tmk_time gaps[SIM_GAPS_MAX]; /* of planned moves */
    size_t gap_count;
    tmk_time crash_gaps[SIM_GAPS_MAX];
    size_t crash_gap_count;
    tmk_time balanced_after; /* the longest time from the last fault */
    double
        quiet_requests; /* highest: requests a second of an instance at rest, checkpoints apart */
} sim_figures;

typedef struct sim_world_options {
    uint64_t seed;
    size_t partitions;
    tmk_claims claims;
    bool store_knows;  /* of a process that has ended, as the file store does */
    bool planned_only; /* joins and leaves alone: nothing may be repeated */
    bool bad_for_ever;
    FILE *trace;
    int64_t rate; /* events a second and partition */
    tmk_time save_every;
    bool verbose_log;
    double weighted;      /* so many of the instances ask for balance by load */
    tmk_time weigh_every; /* 0: as ever */
    double noise;         /* a load is measured within that of what it is */
} sim_world_options;

struct sim_world {
    sim_kernel kernel;
    sim_world_options options;
    sim_store *store;
    sim_hub *hub;
    sim_instance *instances[SIM_INSTANCES_MAX];
    size_t instance_count;
    sim_truth *truth;
    tmk_rng rng; /* of the faults */
    sim_figures figures;
    tmk_time trouble_until; /* the store was in trouble until then; TMK_NEVER: is */
    tmk_time last_fault;    /* when the last thing happened from which the fleet has to recover */
    bool at_rest;
    bool levelling; /* nothing happens but what loads move */
    tmk_time moved_at;
    bool late_writes;     /* the dead may have written long after their end */
    tmk_time started_at;  /* the last one was */
    bool hasty;           /* somebody left while another was still being given its share */
    size_t moves_allowed; /* a fair bound for lives without faults */
    tmk_time wall_from;   /* the store refuses everything since; -1: it does not */
    tmk_time
        host_evicted[SIM_INSTANCES_MAX]; /* when a member of that host was, by number; 0: never */
};

void sim_world_init(sim_world *w, const sim_world_options *options);
void sim_world_clear(sim_world *w);

/* A process starts; host < 0: a host of its own. */
sim_instance *sim_start(sim_world *w, int host);
void sim_stop(sim_instance *i);
void sim_kill(sim_instance *i);
void sim_freeze(sim_instance *i, tmk_time for_);
/* The same, in the moment when its next heartbeat is under way. */
void sim_freeze_with_heartbeat(sim_instance *i, tmk_time for_);
void sim_cut_store(sim_instance *i, bool cut);
void sim_cut_hub(sim_instance *i, bool cut);
void sim_outage(sim_world *w, bool on);

/* The fleet cannot be in order before that time and what it needs to recover. */
void sim_fault_until(sim_world *w, tmk_time until);
/* It is in the middle of taking or giving a partition. */
bool sim_moving(const sim_instance *i);
bool sim_alive(const sim_instance *i); /* runs and is not stopping */
size_t sim_count_alive(const sim_world *w);
/* Every partition is read by the one that holds it, and counts differ by at most one. */
bool sim_balanced(const sim_world *w, char *why, size_t why_size);
/* All who are counted in ask for balance by load. */
bool sim_weighs(const sim_world *w);
/* The loads of those who are counted in: the greatest in relation to the mean. No single move to
 * the lightest would spare whoever makes it more than `most` of the mean. */
bool sim_level(const sim_world *w, double most, double *spread, char *why, size_t why_size);
/* Who thinks what about a partition, into the trace. */
void sim_dump(sim_world *w, size_t partition);
/* From here on nothing may move, and requests are counted; returns after `length`. */
void sim_rest(sim_world *w, tmk_time length);
void sim_collect(sim_world *w); /* adds the instances' counts to the figures */

/* checks.c */
void sim_check_applied(void *user, const sim_applied *applied);
void sim_check_attach(void *user, size_t partition, int64_t level, void *link_user);
void sim_check_open(sim_reader *r, const tmk_fleet_act *act);
void sim_check_drain(sim_instance *i, const tmk_fleet_act *act);
void sim_check_dispatch(sim_reader *r, int64_t from, int64_t to);
void sim_check_submit(sim_instance *i, const tmk_store_op *op);

#endif
