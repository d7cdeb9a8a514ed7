/*
 * Whole lives: the real control of a processor (fleet, pumps, lanes) with
 * single events, in one thread on virtual time. Around it: the simulated store
 * and hub, workers that are slow, fail and hang, a dead-letter sink, and the
 * checkers, which look at each handing, each write and each step.
 *
 * The rules are those of docs/internals: I1 nothing lost, I2 order, I3 stored
 * checkpoints grow, I4 planned moves repeat nothing, I5 who has lost a link or
 * a partition hands out nothing, I7 generations grow, I8 all is handled in
 * time, I11 what is held stays within the budget, I12 a stop ends in time.
 */
#ifndef TMK_SIM_WHOLE_H
#define TMK_SIM_WHOLE_H

#include "eventhubs/burst.h"
#include "kernel.h"
#include "run/control.h"
#include "sim_hub.h"
#include "sim_store.h"

enum { WHOLE_PARTITIONS_MAX = 16, WHOLE_INSTANCES_MAX = 40, WHOLE_WORKERS = 4, WHOLE_KEYS = 12 };

typedef struct whole whole;
typedef struct whole_instance whole_instance;

/* What an event went through in the opening that had it last. */
typedef enum whole_stage {
    STAGE_NEW = 0,
    STAGE_RUNS,
    STAGE_OUT,
    STAGE_AGAIN,
    STAGE_FINAL
} whole_stage;

/* What is true of one event, whoever knows it. */
typedef struct whole_event {
    uint32_t opening; /* which had it last */
    uint8_t stage;    /* in there */
    bool final;       /* some handler, or the sink, has said so */
} whole_event;

typedef struct whole_partition {
    whole_event *events;
    int64_t count; /* looked at so far */
    int64_t room;
    int64_t low;                 /* the first that is not final */
    int64_t key_low[WHOLE_KEYS]; /* the same, of one key */
    int64_t level;               /* highest owner level that attached */
    int64_t generation;
} whole_partition;

/* Something that reaches an instance at a time; frozen ones get it later, dead ones never. */
typedef struct whole_post {
    sim_event event;
    sim_delivery delivery;
    tmk_list node; /* in instance->posts */
    whole_instance *instance;
    void (*run)(struct whole_post *p);
    /* What it is about, as run() needs it: */
    size_t partition;
    int64_t sequence;
    uint32_t opening;
    tmk_handle handle;
    tmk_verdict verdict;
    void (*closed)(void *user);
    void (*ids)(void *user, const tmk_error *err, const char *const *ids, size_t count);
    void (*facts)(void *user, const tmk_error *err, const tmk_partition_facts *facts);
    void *user;
} whole_post;

/* Between on_open and on_close. */
typedef struct whole_reader {
    bool open, lost, down, linked; /* linked: a link was opened, so the position is its own since */
    uint32_t opening;
    int64_t generation;
} whole_reader;

typedef struct whole_worker {
    whole_instance *instance;
    tmk_turn turn;
    const tmk_event *event; /* its callback runs */
    size_t partition;
    int64_t sequence;
    uint32_t opening;
    bool waits; /* the callback has ended, and the process is frozen */
    bool hung;
    sim_event end;
} whole_worker;

struct whole_instance {
    whole *world;
    size_t number;
    char name[24], host[24];
    tmk_control *control; /* NULL: ended */
    tmk_yard *yard;
    tmk_burst_pool *pool;
    tmk_processor_options user;
    sim_process process;
    sim_store_client *store;
    sim_hub_client *hub;
    sim_event step, wake, deadline;
    tmk_list posts, questions, links;
    whole_reader readers[WHOLE_PARTITIONS_MAX];
    whole_worker workers[WHOLE_WORKERS];
    tmk_rng rng;           /* of handlers, sink and network */
    tmk_time offset;       /* of its clock */
    tmk_time broken_until; /* handlers answer STOP */
    tmk_time stop_asked, stop_deadline;
    bool stopping, abandoned, store_cut, hub_cut;
    bool slept_out; /* for longer than its lease, and it was not confirmed since */
    tmk_time slept_from, slept_until;
    tmk_time spin_at;
    unsigned spins;
};

typedef struct whole_options {
    uint64_t seed;
    size_t partitions;
    int64_t rate; /* events a second and partition */
    tmk_order order;
    bool planned_only, bad_for_ever;
    double fail, poison, later, slow, hang, sink_fails;
    uint32_t events_max, prefetch;
    uint32_t checkpoint_events;
    int64_t checkpoint_ms;
    tmk_time handler; /* how long one usually takes */
    FILE *trace;
} whole_options;

typedef struct whole_figures {
    uint64_t events, handed, repeats, retries, letters, checkpoints, opens, stops, kills, freezes;
    tmk_time settled; /* the longest from the last fault until all was handled */
} whole_figures;

struct whole {
    sim_kernel kernel;
    whole_options options;
    sim_store *store;
    sim_hub *hub;
    whole_partition partitions[WHOLE_PARTITIONS_MAX];
    whole_instance *instances[WHOLE_INSTANCES_MAX];
    size_t instance_count;
    uint32_t openings;
    tmk_rng rng; /* of the faults */
    whole_figures figures;
};

void whole_init(whole *w, const whole_options *options);
void whole_clear(whole *w);

whole_instance *whole_start(whole *w);
void whole_stop(whole_instance *i, tmk_time deadline);
void whole_kill(whole_instance *i);
void whole_freeze(whole_instance *i, tmk_time length);
bool whole_runs(const whole_instance *i); /* started, neither stopping nor ended nor frozen */
size_t whole_count(const whole *w);       /* of those that run */
void whole_step_soon(whole_instance *i);

/* Posts: made for an instance, given to it after `delay`. */
whole_post *whole_post_new(whole_instance *i, void (*run)(whole_post *p));
void whole_post_send(whole_post *p, tmk_time delay);

/* The source of an instance: its links on the hub. */
tmk_source whole_source_of(whole_instance *i);
void whole_source_end(whole_instance *i);

/* The workers. */
void whole_make_workers(whole_instance *i);
void whole_work(whole_instance *i); /* those that are idle look for something to do */
void whole_wake_workers(whole_instance *i);
void whole_on_letter(void *user, const tmk_dead_letter *letter, tmk_handle handle);

/* What an event is like: by the life's seed. */
int whole_key(const whole *w, size_t partition, int64_t sequence); /* -1: none */
bool whole_poison(const whole *w, size_t partition, int64_t sequence);

/* The checkers. */
size_t whole_partition_of(const char *id);
void whole_check_open(whole_instance *i, size_t partition, const tmk_start *start);
void whole_check_handing(whole_worker *k);
void whole_check_step(whole_instance *i);
void whole_note_sleep(whole_instance *i); /* it has just woken */
void whole_check_applied(void *user, const sim_applied *applied);
void whole_check_attach(void *user, size_t partition, int64_t level, void *link_user);
whole_event *whole_event_at(whole *w, size_t partition, int64_t sequence);
void whole_set_stage(whole *w, size_t partition, int64_t sequence, uint32_t opening,
                     whole_stage stage);
void whole_set_final(whole *w, size_t partition, int64_t sequence);
bool whole_all_final(whole *w, char *why, size_t room);

#endif
