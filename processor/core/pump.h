/*
 * The life of an owned partition: where to start, reading, what became of its
 * events, checkpoints, healing, draining, the end.
 *
 * Pure; control thread. A pump composes tracker, policy, retry, flow, lanes,
 * start and progress; the engine is what the pumps of a processor share. The
 * shell tells what happened (on_...), and does what it is asked for:
 *
 *     tmk_engine_step(e, now)                 at the bell, at deadline(), and after anything told
 *     while ((p = tmk_engine_next_touched(e)) != NULL)
 *         for (tmk_pump_step(p, now, &act); act.kind != TMK_PUMP_WAIT; tmk_pump_step(...))
 *             carry act out
 *     while (tmk_engine_next_report(e, &report)) tell
 *     wait until tmk_engine_deadline(e), or something to tell it
 *
 * Carrying out is asynchronous: nothing may be told from inside step().
 *
 *              facts, position                        drain
 *   STARTING -------------------> RUNNING ------------------------> DRAINING
 *      ^  ^                         |  |                               |
 *      |  +-- the link is refused --+  |   link stolen, claim lost     |
 *      +----- hub recreated -----------+------------> CLOSED <---------+
 *                                        everything in hand is final, or the
 *                                        deadline of the drain is over
 *
 * Promises: what it hands out lies above the start position, each event once
 * (and again only by verdict); a checkpoint covers final events alone; whatever
 * hangs, it is closed at the deadline of its drain; after TMK_PUMP_CLOSED it
 * asks for nothing more. A position that does not exist is never replaced but
 * as declared, and never silently: until then the partition is not read, looked
 * at again now and then, and reported each time.
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
typedef struct tmk_engine tmk_engine;

/* ---- what happens, for people ---- */

/* Name for logs and journals, problem (for on_error) or not, operation. */
#define TMK_PUMP_EVENT_MAP(X)                                                                      \
    X(STARTED, "started", false, "position") /* behind `sequence` */                               \
    X(REPEATS, "repeats", false, "receive")  /* `count` events came again; dropped */              \
    X(GAP, "gap", false, "receive")          /* `count` numbers after `sequence` missing */        \
    X(EXPIRED, "expired", true, "position")  /* `count` events removed unread */                   \
    X(POSITION_GONE, "position_gone", true, "position") /* reaction: what was chosen */            \
    X(RECREATED, "recreated", true, "position")         /* another hub of the same name */         \
    X(NO_FACTS, "no_facts", true, "position")           /* the partition cannot be looked at */    \
    X(LINK_ENDED, "link_ended", true, "receive")        /* opened again later, or lost */          \
    X(SILENT, "silent", true, "receive")                /* events wait and none comes: reopened */ \
    X(RETRY_STILL, "retry_still", true, "handler")      /* `count` tries failed; no end is set */  \
    X(EXHAUSTED, "exhausted", true, "handler")          /* the last of `count` tries failed */     \
    X(LETTER_FAILED, "letter_failed", true, "dead_letter") /* tried again */                       \
    X(HALTED, "halted", true, "handler")             /* stops at `sequence` until resume() */      \
    X(BREAKER_OPEN, "breaker_open", true, "handler") /* TMK_STOP: intake pauses everywhere */      \
    X(BREAKER_CLOSED, "breaker_closed", false, "handler")                                          \
    X(LATER_OLD, "later_old", true, "handler") /* a handle is out for `count` ms */                \
    X(WRITE_FAILED, "write_failed", true, "checkpoint")                                            \
    X(CHECKPOINT_BAD, "checkpoint_bad", true, "checkpoint") /* cannot be used in full */           \
    X(IN_DOUBT, "in_doubt", true, "drain")     /* closed, `count` handed out, not final */         \
    X(NO_MEMORY, "no_memory", true, "receive") /* events wait for memory */

typedef enum tmk_pump_event {
#define X(name, text, problem, operation) TMK_PUMP_##name,
    TMK_PUMP_EVENT_MAP(X)
#undef X
} tmk_pump_event;

const char *tmk_pump_event_name(tmk_pump_event e);

typedef struct tmk_pump_report {
    tmk_pump_event event;
    bool problem;          /* for on_error; else for log and journal alone */
    tmk_error error;       /* of a problem */
    const char *partition; /* NULL: of the processor */
    const char *operation;
    char reaction[80];
    int64_t sequence; /* -1: none in particular */
    uint64_t count;
} tmk_pump_report;

/* ---- what the pumps of a processor share ---- */

typedef struct tmk_engine_options {
    tmk_policy_options checkpoint;
    /* Checkpoint writes a second, of all pumps, or twice as many as their intervals need where that
     * is more; 0: no bound. */
    double store_rate, store_burst;
    tmk_retry_rules retry;
    tmk_backoff probe;  /* of the breaker */
    tmk_backoff reopen; /* of links that ended, of positions that are gone */
    uint64_t bytes_max, events_max;
    uint32_t prefetch_max;
    uint64_t event_bytes_max; /* largest event of the service */
    uint32_t span_max;        /* events between the low water and the newest, a partition */
    tmk_order order;
    uint32_t lane_count; /* of a partition, TMK_ORDER_KEY */
    bool keyless_free;
    tmk_slice (*key_of)(void *user, const tmk_event *event); /* NULL: the partition key */
    void *user;                                              /* of key_of */
    tmk_processor *processor;                                /* for tmk_delivery */
    tmk_start fallback; /* of partitions without a checkpoint */
    tmk_lost_position lost_position;
    tmk_time silence;         /* events wait in the hub, credit is out, none comes: reopen */
    tmk_time progress_window; /* for tmk_progress */
    tmk_time later_warn;      /* a handle that is out longer is reported */
} tmk_engine_options;

/* Sensible values for all but processor, user and key_of. */
void tmk_engine_options_fill(tmk_engine_options *o);

/* yard and rng are borrowed. */
tmk_status tmk_engine_new(const tmk_engine_options *options, tmk_yard *yard, tmk_rng *rng,
                          tmk_time now, tmk_engine **out, tmk_error *err);
tmk_engine *tmk_engine_free(tmk_engine *e); /* no pump is left */

void tmk_engine_step(tmk_engine *e, tmk_time now);
tmk_time tmk_engine_deadline(const tmk_engine *e);
/* Pumps that want a step(): something happened to them, or their time has come. NULL: none. */
tmk_pump *tmk_engine_next_touched(tmk_engine *e);
/* Reports that concern no single pump. */
bool tmk_engine_next_report(tmk_engine *e, tmk_pump_report *out);

/* The answer to TMK_PUMP_DEAD_LETTER. ABSENT: unknown, answered before, or its partition is gone.
 */
tmk_status tmk_engine_on_letter(tmk_engine *e, tmk_time now, tmk_handle handle, tmk_status status,
                                const tmk_error *err);

typedef struct tmk_engine_stats {
    uint64_t done, skipped, dead_lettered, retries, stops; /* verdicts, as they took effect */
    uint64_t events, bytes;                                /* final */
    uint64_t repeats, gaps, lost;
    uint64_t held_events, held_bytes, credit;
    uint64_t letters_out, reports_dropped;
    bool breaker; /* open, or probing */
} tmk_engine_stats;
void tmk_engine_stats_get(const tmk_engine *e, tmk_engine_stats *out);

/* ---- one partition ---- */

typedef enum tmk_pump_act_kind {
    TMK_PUMP_WAIT = 0,
    TMK_PUMP_GET_FACTS,   /* then on_facts() */
    TMK_PUMP_OPEN_LINK,   /* at .start; then on_opened(), on_burst() ..., on_ended() */
    TMK_PUMP_CREDIT,      /* grant .credit */
    TMK_PUMP_CLOSE_LINK,  /* then on_closed(); no on_burst() or on_ended() after it */
    TMK_PUMP_CHECKPOINT,  /* write .checkpoint; then on_written() */
    TMK_PUMP_DEAD_LETTER, /* give .letter to the sink under .handle; then tmk_engine_on_letter() */
    TMK_PUMP_REPORT,      /* tell people .report */
    TMK_PUMP_CLOSED       /* over, told once: .reason, .in_doubt, and .checkpoint, which is what is
                             final and has not been asked to be written: the drain's last. Free it */
} tmk_pump_act_kind;

/* Everything it points to lives until the next call for this pump or engine. */
typedef struct tmk_pump_act {
    tmk_pump_act_kind kind;
    tmk_start start;
    uint32_t credit;
    tmk_checkpoint checkpoint;
    tmk_dead_letter letter;
    tmk_handle handle;
    tmk_pump_report report;
    tmk_close_reason reason;
    uint64_t in_doubt; /* events that callbacks, handles or the sink still have */
} tmk_pump_act;

/*
 * A partition that is now ours. checkpoint: as the store has it; chosen: by on_open, or NULL. Both
 * are copied; `partition` is borrowed for as long as the yard lives.
 */
tmk_status tmk_pump_new(tmk_engine *e, const char *partition, int64_t generation,
                        const tmk_checkpoint *checkpoint, const tmk_start *chosen, void *user,
                        tmk_time now, tmk_pump **out, tmk_error *err);
void *tmk_pump_user(const tmk_pump *p);
/* At any time; also with handlers of it still running, or handles out: what they need stays. */
tmk_pump *tmk_pump_free(tmk_pump *p);

void tmk_pump_step(tmk_pump *p, tmk_time now, tmk_pump_act *act);

/* Exactly one of facts and err. Also when nobody asked: the shell's own looks at the lag. */
void tmk_pump_on_facts(tmk_pump *p, tmk_time now, const tmk_partition_facts *facts,
                       const tmk_error *err);
void tmk_pump_on_opened(tmk_pump *p, tmk_time now);
void tmk_pump_on_burst(tmk_pump *p, tmk_time now, tmk_burst *burst); /* the burst is the pump's */
/* ELOST: nothing more is handed out, what is in hand is dropped; CLOSED (LOST) follows. EPOSITION:
 * as declared. Anything else: it is opened again. */
void tmk_pump_on_ended(tmk_pump *p, tmk_time now, const tmk_error *why);
void tmk_pump_on_closed(tmk_pump *p, tmk_time now);
/* OK; CONFLICT: the claim is not ours any more, as by drain(LOST); or a failure: tried again. */
void tmk_pump_on_written(tmk_pump *p, tmk_time now, tmk_status status, int64_t retry_after_ms,
                         const tmk_error *err);

/*
 * Ends it. MOVED, STOPPED: takes nothing new, lets callbacks, handles and dead letters come to
 * their end until `deadline`. LOST: hands out nothing more and waits for running callbacks alone,
 * until `deadline`. A second call can only make it harder: LOST, or a nearer deadline.
 */
void tmk_pump_drain(tmk_pump *p, tmk_time now, tmk_close_reason reason, tmk_time deadline);

/* By the user: link and claim are kept, nothing is taken or handed out. */
void tmk_pump_pause(tmk_pump *p, tmk_time now);
void tmk_pump_resume(tmk_pump *p, tmk_time now); /* also after TMK_PUMP_HALTED: tries again */
/* By the fleet: take no more events, go on with what is in hand; hand out nothing. */
void tmk_pump_hold(tmk_pump *p, tmk_time now, bool hold);
void tmk_pump_fence(tmk_pump *p, tmk_time now, bool fence);
void tmk_pump_checkpoint(tmk_pump *p); /* write now */

typedef enum tmk_pump_state {
    TMK_PUMP_STATE_STARTING,
    TMK_PUMP_STATE_RUNNING,
    TMK_PUMP_STATE_DRAINING,
    TMK_PUMP_STATE_CLOSED
} tmk_pump_state;

typedef struct tmk_pump_facts {
    tmk_pump_state state;
    tmk_progress progress;
    bool paused, halted, held, fenced, link_open;
    int64_t received_sequence, final_sequence, checkpoint_sequence; /* -1: none */
    int64_t final_enqueued_ms;  /* of the event at final_sequence; -1: not known */
    int64_t oldest_enqueued_ms; /* of the oldest unfinished event in hand; -1: none */
    bool last_known;            /* what the partition has was heard: */
    int64_t begin_sequence, last_sequence, last_enqueued_ms;
    uint64_t held_events, held_bytes; /* received and not final; memory of their bursts */
    uint64_t queued_events;           /* of these: not handed out */
    uint32_t running, out;            /* turns with events of it; handles */
    uint64_t replay_events;           /* would be repeated if the process died now, at most */
    tmk_time oldest;                  /* arrival of the oldest unfinished event; TMK_NEVER: none */
    uint64_t events, bytes;           /* final since it was opened */
    uint64_t lost;                    /* removed by retention before they were read */
    uint64_t credit;                  /* out on the link */
    tmk_time busy;                    /* of callbacks that have returned */
} tmk_pump_facts;
void tmk_pump_facts_get(tmk_pump *p, tmk_pump_facts *out);

#endif
