/*
 * The life of an owned partition: where to start, reading, what became of its
 * events, checkpoints, healing, draining, the end.
 *
 * Pure; control thread. Composes tracker, policy, retry, flow, lanes, start and
 * progress. The shell tells it what happened (on_...), and does what it asks
 * for: after each on_... and at deadline(), step() until TMK_PUMP_WAIT.
 *
 *              facts, position                        drain
 *   STARTING -------------------> RUNNING ------------------------> DRAINING
 *      ^  |                         |  |                               |
 *      |  +-- position gone: fail --|--|-----------> CLOSED <----------+
 *      +------- hub recreated ------+  |                ^   everything in hand is final
 *                                      +----------------+   or the deadline is over
 *                                   link stolen, claim lost
 *
 * Promises: what it hands out lies above the start position, each event once
 * (and again only by verdict); a checkpoint covers final events alone; after
 * TMK_PUMP_CLOSED it asks for nothing more; whatever hangs, it is closed at the
 * deadline of the drain. The checkpoint that a drain ends with is the last one.
 */
#ifndef TMK_CORE_PUMP_H
#define TMK_CORE_PUMP_H

#include "core/flow.h"
#include "core/lanes.h"
#include "core/policy.h"
#include "core/progress.h"
#include "core/retry.h"
#include "core/start.h"
#include "core/tracker.h"

typedef struct tmk_pump tmk_pump;

/* ---- what the pumps of a processor share ---- */

typedef struct tmk_engine_options {
    tmk_policy_options checkpoint;
    tmk_retry_rules retry;
    tmk_backoff probe;              /* of the breaker */
    tmk_backoff reopen;             /* of links that ended with a failure */
    double store_rate, store_burst; /* checkpoint writes a second for all; 0: no bound */
    uint64_t bytes_max, events_max;
    uint32_t prefetch_max;
    uint64_t event_bytes_max; /* largest event of the service; default 1 MiB + 64 KiB */
    uint32_t span_max;        /* events between the low water and the newest, a partition */
    uint64_t unsaved_max;     /* events that no written checkpoint covers, a partition; 0: no
                                 bound */
    tmk_order order;
    uint32_t lane_count;
    bool keyless_free;
    tmk_slice (*key_of)(void *user, const tmk_event *event); /* NULL: the partition key */
    void *user;                                              /* of key_of */
    tmk_processor *processor;                                /* for tmk_delivery */
    tmk_start fallback;
    tmk_lost_position lost_position;
    tmk_time silence;         /* events wait in the hub, credit is out, none comes: reopen;
                                 default 30 s */
    tmk_time progress_window; /* default 30 s */
    tmk_time later_warn;      /* a handle that is out longer is reported; default 10 min */
} tmk_engine_options;

/* Sensible values for everything but order and processor. */
void tmk_engine_options_fill(tmk_engine_options *o);

typedef struct tmk_engine tmk_engine;
/* yard and rng are borrowed. */
tmk_status tmk_engine_new(const tmk_engine_options *options, tmk_yard *yard, tmk_rng *rng,
                          tmk_time now, tmk_engine **out, tmk_error *err);
tmk_engine *tmk_engine_free(tmk_engine *e); /* no pump is left */

/* Collects what workers finished, for all pumps; then step the pumps that are touched(). Also does
 * what the yard and the breaker have to do now. Call it at the bell and at deadline(). */
void tmk_engine_step(tmk_engine *e, tmk_time now);
tmk_time tmk_engine_deadline(const tmk_engine *e);
/* Pumps that something happened to, and that want a step(); each once. NULL: none. */
tmk_pump *tmk_engine_next_touched(tmk_engine *e);

/* The answer to TMK_PUMP_DEAD_LETTER. ABSENT: unknown, answered before, or its partition is gone.
 */
tmk_status tmk_engine_on_letter(tmk_engine *e, tmk_time now, tmk_handle handle, tmk_status status,
                                const tmk_error *err);

typedef struct tmk_engine_stats {
    uint64_t done, skipped, dead_lettered, retries, stops; /* verdicts */
    uint64_t events, bytes;                                /* final */
    uint64_t repeats_dropped, gaps, lost;
    uint64_t held_events, held_bytes, credit_out;
    uint64_t letters_out;
    bool breaker; /* open or probing */
} tmk_engine_stats;
void tmk_engine_stats_get(const tmk_engine *e, tmk_engine_stats *out);

/* ---- one partition ---- */

typedef enum tmk_pump_act_kind {
    TMK_PUMP_WAIT = 0,    /* nothing to do before deadline() */
    TMK_PUMP_GET_FACTS,   /* then on_facts() */
    TMK_PUMP_OPEN_LINK,   /* at .start; then on_opened(), on_burst() ..., on_ended() */
    TMK_PUMP_CREDIT,      /* grant .credit */
    TMK_PUMP_CLOSE_LINK,  /* then on_closed(); no on_burst() or on_ended() after it */
    TMK_PUMP_CHECKPOINT,  /* write .checkpoint; then on_written() */
    TMK_PUMP_DEAD_LETTER, /* give .letter to the sink under .handle; then tmk_engine_on_letter() */
    TMK_PUMP_REPORT,      /* tell people .report */
    TMK_PUMP_CLOSED       /* over, .reason and .final_sequence say how; told once; free it */
} tmk_pump_act_kind;

typedef enum tmk_pump_event {
    TMK_PUMP_STARTED, /* at `sequence`, the position below the first event */
    TMK_PUMP_REPEATS, /* `count` events at or below the position came again, and were dropped */
    TMK_PUMP_GAP,     /* `count` numbers after `sequence` are missing: compaction, or a loss */
    TMK_PUMP_EXPIRED, /* `count` events were removed by retention before they were read */
    TMK_PUMP_POSITION_GONE,  /* the position does not exist; reaction says what was chosen */
    TMK_PUMP_RECREATED,      /* sequence numbers begin anew: another hub of the same name */
    TMK_PUMP_LINK_ENDED,     /* error says why; reopened later, or lost */
    TMK_PUMP_SILENT,         /* events wait, credit is out, none comes: the link is opened anew */
    TMK_PUMP_RETRY_STILL,    /* `count` tries of the event at `sequence` have failed */
    TMK_PUMP_EXHAUSTED,      /* the last try has failed; reaction says what follows */
    TMK_PUMP_LETTER_FAILED,  /* the sink refused; tried again */
    TMK_PUMP_HALTED,         /* the partition stops at `sequence` until resume() */
    TMK_PUMP_BREAKER,        /* TMK_STOP: intake of all partitions pauses */
    TMK_PUMP_BREAKER_CLOSED, /* the sink is back */
    TMK_PUMP_LATER_OLD,      /* a handle has been out for `count` milliseconds */
    TMK_PUMP_UNSAVED,        /* too much is not covered by a checkpoint: intake pauses */
    TMK_PUMP_WRITE_FAILED,   /* of a checkpoint; tried again */
    TMK_PUMP_CHECKPOINT_BAD, /* what the store had cannot be used in full (done-map, sequence) */
    TMK_PUMP_IN_DOUBT,       /* closed with `count` events handed out and not final */
    TMK_PUMP_NO_MEMORY       /* a burst waits for memory */
} tmk_pump_event;

/* "started", "repeats" ...; stable, for logs and journals. */
const char *tmk_pump_event_name(tmk_pump_event e);

typedef struct tmk_pump_report {
    tmk_pump_event event;
    bool problem; /* for on_error; else for the log and the journal alone */
    tmk_error error;
    const char *operation; /* "receive", "handler", "checkpoint", "dead_letter", "position" */
    char reaction[80];
    int64_t sequence; /* -1: none in particular */
    uint64_t count;
} tmk_pump_report;

/* Everything it points to lives until the next call for this pump. */
typedef struct tmk_pump_act {
    tmk_pump_act_kind kind;
    tmk_start start;
    uint32_t credit;
    tmk_checkpoint checkpoint;
    bool final_write; /* checkpoint: the last one of a drain */
    tmk_dead_letter letter;
    tmk_handle handle;
    tmk_pump_report report;
    tmk_close_reason reason;
    int64_t final_sequence;
} tmk_pump_act;

/*
 * A partition that is now ours. checkpoint: as read after the claim; chosen: by on_open, or NULL.
 * Both are copied; `partition` is borrowed for as long as the processor lives.
 */
tmk_status tmk_pump_new(tmk_engine *e, const char *partition, int64_t generation,
                        const tmk_checkpoint *checkpoint, const tmk_start *chosen, void *user,
                        tmk_time now, tmk_pump **out, tmk_error *err);
void *tmk_pump_user(const tmk_pump *p);
/* Any time after TMK_PUMP_CLOSED, also with handlers of it still running: what they need stays. */
tmk_pump *tmk_pump_free(tmk_pump *p);

void tmk_pump_step(tmk_pump *p, tmk_time now, tmk_pump_act *act);
tmk_time tmk_pump_deadline(const tmk_pump *p, tmk_time now);

/* Exactly one of facts and err. Also when nobody asked: the shell's own looks at the lag. */
void tmk_pump_on_facts(tmk_pump *p, tmk_time now, const tmk_partition_facts *facts,
                       const tmk_error *err);
void tmk_pump_on_opened(tmk_pump *p, tmk_time now);
void tmk_pump_on_burst(tmk_pump *p, tmk_time now, tmk_burst *burst); /* the burst is the pump's */
void tmk_pump_on_ended(tmk_pump *p, tmk_time now, const tmk_error *why);
void tmk_pump_on_closed(tmk_pump *p, tmk_time now);
/* OK; CONFLICT: the claim is not ours any more; or a failure. */
void tmk_pump_on_written(tmk_pump *p, tmk_time now, tmk_status status, int64_t retry_after_ms,
                         const tmk_error *err);

/*
 * Ends it. MOVED, STOPPED: takes nothing new, lets callbacks finish until `deadline`, writes the
 * final checkpoint. LOST: the claim is gone: no write, no further callback; waits for running ones
 * until `deadline`. A second call may only make it harder: a nearer deadline, or LOST.
 */
void tmk_pump_drain(tmk_pump *p, tmk_time now, tmk_close_reason reason, tmk_time deadline);

void tmk_pump_pause(tmk_pump *p, tmk_time now);  /* link and claim kept, nothing handed out */
void tmk_pump_resume(tmk_pump *p, tmk_time now); /* also after TMK_PUMP_HALTED: tries again */
void tmk_pump_checkpoint(tmk_pump *p);           /* write now */

typedef enum tmk_pump_state {
    TMK_PUMP_STATE_STARTING,
    TMK_PUMP_STATE_RUNNING,
    TMK_PUMP_STATE_DRAINING,
    TMK_PUMP_STATE_CLOSED
} tmk_pump_state;

typedef struct tmk_pump_facts {
    tmk_pump_state state;
    tmk_progress progress;
    bool paused, halted, link_open;
    int64_t received_sequence, final_sequence, checkpoint_sequence; /* -1: none */
    int64_t final_enqueued_ms;             /* of the event at final_sequence; -1: not known */
    int64_t last_sequence, begin_sequence; /* of the partition, as last heard; -1: not known */
    int64_t last_enqueued_ms;
    uint64_t held_events, held_bytes, queued_events;
    uint32_t running, out;  /* turns with events of it; handles */
    uint64_t replay_events; /* would be repeated if the process died now: at most */
    tmk_time oldest;        /* arrival of the oldest unfinished event; TMK_NEVER: none */
    uint64_t events, bytes; /* final since it was opened */
    uint64_t lost;          /* removed by retention before they were read */
    uint32_t credit;        /* out on the link */
} tmk_pump_facts;
void tmk_pump_facts_get(tmk_pump *p, tmk_pump_facts *out);

#endif
