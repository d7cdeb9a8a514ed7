/*
 * Whole lives: the real control of a processor (fleet, pumps, lanes) with
 * single events, in one thread on virtual time. Around it: the simulated store
 * and hub, workers that are slow, fail and hang, a dead-letter sink, and the
 * checkers, which look at each handing, each write and each step.
 *
 * The rules are those of docs/TESTING.md: I1 nothing lost, I2 order, I3 stored
 * checkpoints grow, I4 what is repeated, I5 one owner, I7 generations grow, I8
 * all is handled in time, I9 rest, I10 store requests, I11 what is held stays
 * within the budget, I12 a stop ends in time, I13 what goes wrong is told.
 */
#ifndef TMK_SIM_WHOLE_H
#define TMK_SIM_WHOLE_H

#include "base/ranges.h"
#include "eventhubs/burst.h"
#include "kernel.h"
#include "run/control.h"
#include "sim_hub.h"
#include "sim_source.h"
#include "sim_store.h"

enum { WHOLE_PARTITIONS_MAX = 16, WHOLE_INSTANCES_MAX = 40, WHOLE_WORKERS = 4, WHOLE_KEYS = 12 };

typedef struct whole whole;
typedef struct whole_instance whole_instance;

/* What an event went through since its partition was opened by somebody. */
typedef enum whole_stage {
    STAGE_QUEUED = 0, /* it has come and was not handed out yet */
    STAGE_RUNS,
    STAGE_OUT,     /* answered LATER */
    STAGE_AGAIN,   /* to come again after a pause */
    STAGE_STOPPED, /* answered STOP: to come again as a probe, or when the breaker has closed */
    STAGE_LETTER,  /* put aside; the sink has not kept it yet */
    STAGE_HALTED,  /* its partition stops at it */
    STAGE_FINAL
} whole_stage;

/* What is true of a partition, whoever knows it. */
typedef struct whole_partition {
    bool *final;   /* some handler, or the sink, has said so; or it is not there (any more) */
    int64_t count; /* looked at so far */
    int64_t room;
    int64_t low;                 /* the first that is not final */
    int64_t key_low[WHOLE_KEYS]; /* the same, of one key */
    int64_t level;               /* highest owner level that attached */
    int64_t generation;
    int64_t begin;     /* the oldest that retention has left */
    int64_t written;   /* the stored checkpoint; -1: none */
    uint32_t hub;      /* how often it was made anew: its numbers began again then */
    bool made_anew;    /* and no checkpoint was written since */
    bool stale;        /* what the store has is of the hub before */
    tmk_ranges mapped; /* the done-map in the store */
    tmk_time moved_at; /* last progress: something became final that was not */
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
    uint32_t opening, hub;
    tmk_handle handle;
    tmk_verdict verdict;
} whole_post;

/* One event, as one opening of its partition has it. */
typedef struct whole_place {
    uint8_t stage;
    uint8_t retries; /* answers that were RETRY */
    bool cured;      /* its partition has stopped at it, and somebody said that it may go on */
    tmk_time since;  /* in this stage */
} whole_place;

/* Between on_open and on_close. */
typedef struct whole_reader {
    bool open, lost, linked; /* linked: a link was opened, so the position is its own since */
    bool attached;           /* a link stands */
    bool closing;            /* its owner has closed it */
    bool down;               /* it is broken, or has ended */
    bool paused, halted;
    tmk_time resumed_at; /* neither since */
    bool suspect;        /* its instance slept past its lease, and nobody has confirmed it since */
    uint32_t opening;
    int64_t generation;
    int64_t base; /* its first event */
    whole_place *places;
    int64_t room;
    int64_t delivered; /* newest that has come; base - 1: none */
    int64_t low;       /* first that is not final here */
    uint64_t held;     /* have come and are not final */
    tmk_ranges known;  /* final above the checkpoint it was opened with */
    tmk_time delivered_at, opened_at;
    tmk_time behind_since; /* something final is not in the store; 0: not so */
    int64_t written_seen;
    tmk_time over_since; /* more than checkpoint_events of it */
    tmk_time owed_at;    /* its link has ended, and nobody was told; 0: not so */
    tmk_time up_since;   /* its link stands; 0: not so */
    tmk_time room_since; /* room in the budget, nothing comes for it; 0: not so */
    tmk_time stale_since;
    tmk_time unstored_since; /* of the first final event that the store has not; 0: none */
    int64_t told;            /* the highest generation that the store has named since */
    uint64_t credit;         /* that is out on its link */
    bool slow_once;          /* its first handling has begun */
} whole_reader;

typedef struct whole_worker {
    whole_instance *instance;
    tmk_turn turn;
    const tmk_event *event; /* its callback runs */
    size_t partition;
    int64_t sequence;
    uint32_t opening, hub;
    tmk_time begun_at;
    bool waits; /* the callback has ended, and the process is frozen */
    bool hung;
    sim_event end, relief; /* of the callback; and when it has taken too long */
} whole_worker;

struct whole_instance {
    whole *world;
    size_t number;
    char name[24], host[24];
    tmk_control *control; /* NULL: ended */
    tmk_yard *yard;
    sim_source *source;
    tmk_processor_options user;
    sim_process process;
    sim_store_client *store;
    sim_hub_client *hub;
    sim_event step, wake, deadline;
    tmk_list posts, questions;
    whole_reader readers[WHOLE_PARTITIONS_MAX];
    whole_worker workers[WHOLE_WORKERS];
    tmk_rng rng;           /* of handlers, sink and network */
    tmk_time offset;       /* of its clock */
    tmk_time wall_offset;  /* of what it takes for the time of day */
    tmk_time broken_until; /* handlers answer STOP */
    tmk_time token_bad_until;
    tmk_time stop_asked, stop_deadline;
    tmk_time busy_at; /* last time that a handler or a sink of it had something */
    bool stopping, abandoned, store_cut, hub_cut;
    tmk_time trouble_at; /* last time that it was frozen, cut off or refused */
    tmk_time slept_at, suspect_at;
    tmk_time idle_since; /* some worker has been idle at each look; 0: not so */
    tmk_time stopped_at; /* a handler answered STOP, and none has answered otherwise since */
    unsigned handed_since;
    tmk_time letter_owed_at;
    tmk_time window_at;
    uint64_t window_requests;
    tmk_time spin_at;
    unsigned spins;
};

typedef struct whole_options {
    uint64_t seed;
    size_t partitions;
    int64_t rate; /* events a second and partition */
    tmk_order order;
    bool planned_only, bad_for_ever;
    double fail, poison, later, slow, hang, sink_fails, missing;
    double slow_first; /* the first event of an opening takes long */
    double sink_slow;  /* so does a dead letter */
    double open_fails; /* on_open refuses */
    tmk_exhausted exhausted;
    bool keyless_free;
    uint32_t events_max, prefetch;
    uint64_t bytes_max; /* 0: as usual */
    uint32_t checkpoint_events;
    int64_t checkpoint_ms;
    tmk_time handler; /* how long one usually takes */
    FILE *trace;
} whole_options;

typedef struct whole_figures {
    uint64_t events, handed, repeats, retries, letters, checkpoints, opens, stops, kills, freezes;
    uint64_t probes;       /* TMK_STOP */
    uint64_t requests_max; /* of one instance, in any ten seconds */
    uint64_t held_max;     /* events of one instance */
    tmk_time settled;      /* the longest from the last fault until all was handled */
    tmk_time farewell;     /* the longest stop, from the end of its last handler */
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
    tmk_rng rng;         /* of the faults */
    tmk_time trouble_at; /* last time that the store was in trouble; TMK_NEVER: it is */
    tmk_time changed_at; /* last time that something was written */
    tmk_time mended_at;  /* when the faults were over; 0: not yet */
    sim_event tick;
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
bool whole_well(const whole_instance *i, tmk_time span); /* nothing was wrong for so long */
void whole_step_soon(whole_instance *i);

/* Posts: made for an instance, given to it after `delay`. */
whole_post *whole_post_new(whole_instance *i, void (*run)(whole_post *p));
void whole_post_send(whole_post *p, tmk_time delay);

/* The source of an instance: its links on the hub. */
tmk_source whole_source_of(whole_instance *i);
void whole_source_end(whole_instance *i);
/* What may happen to them. */
void whole_detach_links(whole_instance *i, tmk_status why, const char *origin); /* they end */
void whole_shake_links(whole_instance *i);  /* they break, and are attached again by themselves */
void whole_refuse_token(whole_instance *i); /* the same, until its token is good again */
void whole_silence_links(
    whole_instance *i); /* nothing comes any more, until they are opened anew */
void whole_repeat_events(whole_instance *i);                  /* the newest ones come once more */
void whole_expire(whole *w, size_t partition, int64_t begin); /* retention removes what is below */
/* The hub is deleted and created; the first event comes after `pause`, and after the checkpoint of
 * the old hub was replaced: were there as many events as before, nobody could tell them apart. */
void whole_make_anew(whole *w, size_t partition, tmk_time pause);

/* The workers. */
void whole_make_workers(whole_instance *i);
void whole_work(whole_instance *i); /* those that are idle look for something to do */
void whole_wake_workers(whole_instance *i);
void whole_on_letter(void *user, const tmk_dead_letter *letter, tmk_handle handle);

/* What an event is like: by the life's seed. */
int whole_key(const whole *w, size_t partition, int64_t sequence); /* -1: none */
bool whole_poison(const whole *w, size_t partition, int64_t sequence);
bool whole_missing(const whole *w, size_t partition, int64_t sequence); /* compacted away */
int64_t whole_enqueued_ms(const whole *w, size_t partition, int64_t sequence);
uint32_t whole_hub_of(int64_t enqueued_ms);

/* The truth. */
size_t whole_partition_of(const char *id);
void whole_look_at(whole *w, size_t partition, int64_t sequence); /* it exists */
void whole_set_final(whole *w, size_t partition, int64_t sequence);
bool whole_all_final(whole *w, char *why, size_t room);

/* What a reader has. NULL: that opening is over. */
whole_reader *whole_reader_of(whole_instance *i, size_t partition, uint32_t opening);
void whole_reader_clear(whole_reader *r);
/* The store has another checkpoint, or another map. */
void whole_recount(whole *w, size_t partition, whole_reader *r);
void whole_set_stage(whole_reader *r, int64_t sequence, tmk_time now, whole_stage stage);
void whole_cure(whole_reader *r); /* what it has halted at is tried again, and succeeds */
whole_place *whole_place_of(whole_reader *r, int64_t sequence); /* NULL: it has not come */

/* The checkers. */
void whole_check_open(whole_instance *i, size_t partition, const tmk_start *start);
void whole_check_delivered(whole_instance *i, size_t partition, int64_t sequence);
void whole_check_handing(whole_worker *k);
void whole_check_verdict(whole_worker *k, tmk_verdict verdict);
void whole_check_step(whole_instance *i);
void whole_check_tick(whole *w); /* every quarter of a second */
void whole_check_wake(whole_instance *i);
void whole_check_answer(whole_instance *i, tmk_store_op_kind kind, tmk_time sent,
                        const tmk_store_result *result);
void whole_check_error(whole_instance *i, const tmk_problem *p);
void whole_check_applied(void *user, const sim_applied *applied);
void whole_check_attach(void *user, size_t partition, int64_t level, void *link_user);

#endif
