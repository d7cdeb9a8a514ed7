/*
 * The processor: shares the partitions of a hub with the other instances of its
 * consumer group, reads those that are its own, hands each event to your
 * function, and writes checkpoints behind what your function has finished.
 *
 *   static tmk_verdict handle(void *user, const tmk_event *event, tmk_delivery *delivery) {
 *       return store_it(tmk_event_body(event)) ? TMK_DONE : TMK_RETRY;
 *   }
 *   ...
 *   tmk_processor_options o;
 *   tmk_processor_options_init(&o);
 *   o.on_event = handle;
 *   st = tmk_processor_new(client, store, &o, &processor, &err);
 *   st = tmk_processor_start(processor, &err);
 *   ...
 *   st = tmk_processor_stop(processor, 30000, &report, &err);
 *   processor = tmk_processor_free(processor);
 *
 * Promises: nothing is
 * lost; events come in order, per partition or per key; a checkpoint never
 * passes an event that is not final and never goes back; planned moves between
 * instances repeat nothing; memory is bounded; nothing fails silently.
 *
 * Threads: on_event and on_batch run on the processor's handler threads, as
 *          many at once as `threads` says, one at a time per partition or key.
 *          All other callbacks run on the control thread and must not block.
 *          With caller_driven the library has no threads: everything runs
 *          inside tmk_processor_poll(), which must be called often enough: a
 *          processor that is not polled for expiry_ms has lost its partitions.
 *          Functions of this header may be called from any thread and from any
 *          callback, unless they say otherwise. Called from another thread
 *          than the control thread (with caller_driven: than the one that
 *          polls) they are carried out there and waited for.
 *
 * Fork:    a child must not touch a processor of its parent; exec at once, or
 *          make an own one.
 */
#ifndef TIDEMARK_PROCESSOR_H
#define TIDEMARK_PROCESSOR_H

#include <tidemark/client.h>
#include <tidemark/event.h>
#include <tidemark/start.h>
#include <tidemark/store.h>
#include <tidemark/trace.h>

TMK_BEGIN_C

typedef struct tmk_processor tmk_processor;
typedef struct tmk_stats tmk_stats; /* see tidemark/stats.h */

/* ---- what a handler is given and what it answers ---- */

typedef enum tmk_verdict {
    TMK_DONE = 0,        /* final: a checkpoint may pass it */
    TMK_RETRY = 1,       /* once more, after delivery->retry_ms or the policy's pause */
    TMK_DEAD_LETTER = 2, /* hand it to the dead-letter sink; final when that has it */
    TMK_SKIP = 3,        /* final, counted as skipped */
    TMK_LATER = 4,       /* tmk_processor_complete() will tell, from any thread */
    TMK_STOP = 5         /* not the event but what lies behind the handler is broken: intake
                            pauses, this event is tried again from time to time as a probe */
} tmk_verdict;

/** Names a delivery whose verdict comes later. 0 is none. Copy it freely. */
typedef uint64_t tmk_handle;

typedef struct tmk_delivery {
    tmk_processor *processor;
    const char *partition;
    int64_t generation; /* of this ownership: a fence for sinks of your own */
    uint32_t attempt;   /* 1 at first */
    tmk_handle handle;  /* for TMK_LATER */
    int64_t retry_ms;   /* in: -1; set it before TMK_RETRY to choose the pause */
} tmk_delivery;

/**
 * Handles one event. The event lives until the call returns; with TMK_LATER
 * until it is completed.
 *
 * Threads: a handler thread; side by side for different partitions (or keys).
 * May:     take as long as it needs; call anything of this header but
 *          tmk_processor_free() and the waiting stop.
 */
typedef tmk_verdict (*tmk_on_event_fn)(void *user, const tmk_event *event, tmk_delivery *delivery);

/**
 * Handles several events of one partition (or of one key's lane), in order.
 * verdicts[i] is TMK_DONE when it is called; change those that are not.
 * delivery->handle + i is the handle of the i-th event.
 */
typedef void (*tmk_on_batch_fn)(void *user, const tmk_event *const *events, size_t count,
                                tmk_verdict *verdicts, tmk_delivery *delivery);

/* ---- options ---- */

typedef enum tmk_order {
    TMK_ORDER_PARTITION = 0, /* one event at a time per partition, in sequence order */
    TMK_ORDER_KEY = 1,       /* the same per key; different keys side by side */
    TMK_ORDER_NONE = 2       /* no order */
} tmk_order;

/** What follows the last attempt of an event that is always answered TMK_RETRY. */
typedef enum tmk_exhausted {
    TMK_EXHAUSTED_DEAD_LETTER = 0, /* default where a sink is set */
    TMK_EXHAUSTED_STOP = 1, /* default without a sink: the partition stops at it and says so */
    TMK_EXHAUSTED_SKIP = 2  /* it is final without having succeeded; counted and reported */
} tmk_exhausted;

/** What to do where a position no longer exists: before the tail, past the end, recreated hub. */
typedef enum tmk_lost_position {
    TMK_POSITION_FAIL = 0,     /* the partition is not read; reported until somebody decides */
    TMK_POSITION_EARLIEST = 1, /* the oldest event there is; the loss is counted and reported */
    TMK_POSITION_LATEST = 2,   /* the end */
    TMK_POSITION_TIME = 3      /* the enqueued time of the last event that was final */
} tmk_lost_position;

typedef enum tmk_close_reason {
    TMK_CLOSE_MOVED = 0,   /* drained and handed to another instance, nothing is repeated */
    TMK_CLOSE_STOPPED = 1, /* this processor stops */
    TMK_CLOSE_LOST = 2,    /* another instance holds it: what was in hand is repeated there */
    TMK_CLOSE_FAILED = 3   /* it cannot be read; on_error has said why */
} tmk_close_reason;

/** One thing that went wrong, and what happens next. */
typedef struct tmk_problem {
    const tmk_error *error;
    const char *partition; /* NULL: the processor as a whole */
    const char *operation; /* "receive", "claim", "checkpoint", "handler", "dead_letter" ... */
    const char *reaction;  /* "retry in 400 ms", "partition stopped" ... */
    int64_t sequence;      /* of the event that is concerned, or -1 */
} tmk_problem;

/** An event that is to be put aside; lives until tmk_processor_dead_letter_done(). */
typedef struct tmk_dead_letter {
    const tmk_event *event;
    const char *partition;
    uint32_t attempts;
    const char *reason; /* "handler", "attempts" */
} tmk_dead_letter;

/** How far a partition is behind. -1: not known. */
typedef struct tmk_lag {
    const char *partition;
    int64_t last_sequence;  /* newest event in the partition */
    int64_t final_sequence; /* everything up to it is final */
    int64_t events;         /* that are not final yet */
    int64_t age_ms;         /* since the oldest of them was enqueued; 0: none */
    int64_t to_loss_ms;     /* until retention removes it, at today's pace */
    int64_t lost;           /* events that retention removed before they were read */
} tmk_lag;

/** What a lag has passed; several at once. */
typedef enum tmk_alarm {
    TMK_ALARM_LAG_EVENTS = 1, /* more events than alarm_lag_events */
    TMK_ALARM_LAG_TIME = 2,   /* older than alarm_lag_ms */
    TMK_ALARM_TO_LOSS = 4,    /* less than alarm_to_loss_ms is left */
    TMK_ALARM_LOST = 8        /* retention has removed events unread, since the last look */
} tmk_alarm;

typedef struct tmk_processor_options {
    size_t size; /* set by _init, leave alone */

    const char *group;    /* default "$Default" */
    const char *owner_id; /* name of this instance, for people and for finding its partitions again
                             after a restart; 1 to 100 printable characters without blanks; default:
                             host name, process id and four digits */
    tmk_claims claims;    /* default TMK_CLAIMS_LEASE: the group is Tidemark's alone; SHARED: the
                             official processors may work in it too. All of a group claim alike */

    /* The handler: exactly one of the two. */
    tmk_on_event_fn on_event;
    tmk_on_batch_fn on_batch;
    uint32_t batch_events; /* on_batch: at most this many; default 100 */
    uint64_t batch_bytes;  /* on_batch: and this many bytes; default 1 MiB; one event always fits */
    int64_t
        batch_linger_ms; /* on_batch: how long to wait for more; default 0: take what is there */
    void *user;          /* first argument of all callbacks */

    tmk_order order;  /* default TMK_ORDER_PARTITION */
    uint32_t threads; /* handler threads, 1 .. 1024; default 8 */
    /* TMK_ORDER_KEY: what the key is; NULL: the partition key. An empty slice: no key. Threads: the
     * control thread; must be quick. */
    tmk_slice (*key_of)(void *user, const tmk_event *event);
    bool keyless_free; /* TMK_ORDER_KEY: events without a key keep no order among themselves */
    void (*on_thread)(void *user, uint32_t index); /* runs first on each handler thread */
    bool caller_driven;                            /* no threads: see tmk_processor_poll() */

    /* Where a partition without a checkpoint starts, and what to do when a position is gone. */
    tmk_start start; /* default earliest */
    tmk_lost_position lost_position;

    /* When checkpoints are written: whichever comes first. 0: not by this one. */
    uint32_t checkpoint_events;     /* default 10000 */
    uint64_t checkpoint_bytes;      /* default 0 */
    int64_t checkpoint_interval_ms; /* default 10000 */

    /* Retries of a handler's TMK_RETRY. */
    uint32_t retry_attempts;    /* tries in all; 0: for ever, reported each time; default 10 */
    int64_t retry_delay_ms;     /* default 200, then doubling with jitter */
    int64_t retry_delay_max_ms; /* default 30000 */
    tmk_exhausted exhausted;
    int64_t probe_ms; /* after TMK_STOP: pause between probes; default 1000, doubling to 30 s */
    int64_t
        handler_warn_ms; /* a handler that runs longer is reported with its event; default 60000 */
    int64_t later_warn_ms; /* a TMK_LATER that is not completed is reported with its age after this,
                              and again and again; default 600000; 0: never */

    /*
     * The dead-letter sink. It keeps the event whole and then calls
     * tmk_processor_dead_letter_done(), from any thread, once; until then the event is not final.
     * Threads: the control thread; must not block.
     */
    void (*on_dead_letter)(void *user, const tmk_dead_letter *letter, tmk_handle handle);

    /* Bounds of what is held: for the whole process. */
    uint32_t events_max; /* default 20000 */
    uint64_t bytes_max;  /* default 64 MiB; at least one event a partition always fits */
    uint32_t prefetch;   /* and per partition: default 1000 */

    /*
     * A partition is about to be read, from *start: after its checkpoint, or where there is none
     * (checkpointed false) from the default. on_open may change that, to a position that it keeps
     * itself, say; a changed start goes before the checkpoint. A failure puts the opening off.
     */
    tmk_status (*on_open)(void *user, const char *partition, int64_t generation, bool checkpointed,
                          tmk_start *start);
    /** A partition is not read any more. Comes once for each on_open that agreed; no handler of it
     * runs, but for those that hang past the deadline of a stop or a move. */
    void (*on_close)(void *user, const char *partition, int64_t generation, tmk_close_reason reason,
                     int64_t final_sequence);
    /** Everything that goes wrong. The struct ends with the call. */
    void (*on_error)(void *user, const tmk_problem *problem);
    /**
     * Now and then (lag_interval_ms) for each own partition, and for those that nobody owns: of
     * these, each is looked after by one of the instances, as far as they know of one another.
     */
    void (*on_lag)(void *user, const tmk_lag *lag);
    int64_t lag_interval_ms; /* default 10000, longer with more than 250 partitions; 0: never */
    int64_t retention_ms;    /* of the hub, to foresee losses; 0: not known */

    /*
     * One JSON object a line for all that happens; see docs/JOURNAL.md. Threads: any of the
     * library; lines come whole, with their newline.
     */
    void (*on_journal)(void *user, const char *line, size_t size);

    /*
     * Balancing. Shorter times find dead instances sooner and ask the store more often. With claims
     * shared these are the interval at which ownership is renewed and listed, and the age at which
     * a record counts as free: all processors of the group should have the same.
     */
    int64_t heartbeat_ms; /* 0: 5000, shared 10000 */
    int64_t expiry_ms;    /* 0: 20000 (15000 .. 60000), shared 60000; more than three heartbeats */
    /*
     * Balance by measured load instead of by count: by what handlers take and by bytes, smoothed.
     * In effect while all instances of the group ask for it; refused with claims shared. See
     * docs/SCALING.md.
     */
    bool weighted;
    uint32_t partitions_max; /* never own more; 0: no limit */
    /* A store that cannot be reached: events that may be handled without a checkpoint before intake
     * pauses. 0: no limit. default 1000000 */
    uint64_t ride_through_events;

    tmk_log log;   /* copied; silent by default */
    uint64_t seed; /* of all random choices; 0: from the system */

    /**
     * A partition's lag has passed a threshold, or is back: `alarms` are those that it passes now,
     * `before` those of the last call (tmk_alarm). A log line says it, too.
     */
    void (*on_alarm)(void *user, const tmk_lag *lag, unsigned alarms, unsigned before);
    int64_t alarm_lag_events; /* 0 (default): none */
    int64_t alarm_lag_ms;     /* 0 (default): none */
    int64_t alarm_to_loss_ms; /* 0 (default): half of retention_ms; -1: none */

    /** Statistics, every stats_interval_ms. They end with the call, unless tmk_stats_keep() is
     * called. */
    void (*on_stats)(void *user, const tmk_stats *stats);
    int64_t stats_interval_ms; /* default 10000 */

    /**
     * Around each call of on_event, on its thread: begin is given the trace context that the event
     * came with (NULL: none), and what it returns is given to end. For on_batch there are none:
     * read tmk_event_trace() there.
     */
    void *(*on_span_begin)(void *user, const tmk_event *event, const tmk_delivery *delivery,
                           const tmk_trace *parent);
    void (*on_span_end)(void *user, void *span, tmk_verdict verdict);
} tmk_processor_options;

/** Fills *opts with the defaults of this version of the library. */
#define tmk_processor_options_init(opts) tmk_processor_options_fill((opts), sizeof *(opts))
TMK_API void tmk_processor_options_fill(tmk_processor_options *opts, size_t size);

/* ---- life ---- */

/**
 * Makes a processor; nothing runs before tmk_processor_start().
 *
 * Owns:    opts is copied; the client and the store are borrowed until tmk_processor_free().
 * Several processors may share a client, and a store. With caller_driven the client must be
 *          caller-driven too.
 * Returns: 0 with *out set; EINVAL names the option that is wrong.
 */
TMK_API TMK_CHECKED tmk_status tmk_processor_new(tmk_client *client, tmk_store store,
                                                 const tmk_processor_options *opts,
                                                 tmk_processor **out, tmk_error *err);

/** Starts to take part. Returns at once; trouble on the way is reported by on_error and retried. */
TMK_API TMK_CHECKED tmk_status tmk_processor_start(tmk_processor *p, tmk_error *err);

/** What a stop left in doubt. */
typedef struct tmk_stop_report {
    uint32_t partitions_open;  /* not drained in time: their instance after us repeats */
    uint32_t partitions_moved; /* handed over or released with everything final */
    uint64_t events_in_doubt;  /* handed to handlers and not final */
    uint32_t handlers_running; /* that had not returned */
    bool left;                 /* the others know that we have gone */
} tmk_stop_report;

/**
 * Takes no more events, waits for running handlers, writes checkpoints, hands partitions over.
 * Returns within deadline_ms whatever hangs; report (NULL is fine) tells what was in doubt. After
 * it no callback comes, except from handlers that are still running.
 *
 * Threads:  any but handlers and callbacks (ESTATE there: use tmk_processor_request_stop). With
 *           caller_driven nobody else may poll meanwhile.
 * Returns:  0 when everything was drained, ETIMEOUT when not.
 */
TMK_API tmk_status tmk_processor_stop(tmk_processor *p, int64_t deadline_ms,
                                      tmk_stop_report *report, tmk_error *err);

/** Begins to stop and returns at once; tmk_processor_stop() still waits for it. From anywhere. */
TMK_API void tmk_processor_request_stop(tmk_processor *p);

/** Stops with a deadline of 30 s where that was not done, waits for handlers, frees. NULL is fine.
 * Returns NULL. */
TMK_API tmk_processor *tmk_processor_free(tmk_processor *p);

/** caller_driven: a descriptor that is readable when tmk_processor_poll() has something to do, for
 * poll(), select() or epoll. It is the client's: the same for all of its processors, and each of
 * them is to be polled. */
TMK_API int tmk_processor_fd(tmk_processor *p);
/**
 * caller_driven: waits up to wait_ms (0: not at all), does what is due and runs handlers, at most
 * `events` of them (0: for about 0.2 ms, or one that takes longer), so that neither network nor
 * handlers starve.
 *
 * Threads: one at a time; not from handlers and callbacks (ESTATE).
 */
TMK_API tmk_status tmk_processor_poll(tmk_processor *p, int64_t wait_ms, uint32_t events,
                                      tmk_error *err);

/* ---- while it runs ---- */

/**
 * The verdict of a delivery that was answered TMK_LATER; all verdicts but TMK_LATER itself.
 * retry_ms: -1 for the policy's pause. Exactly once a handle.
 * Returns:  0. ABSENT: the handle is unknown, was completed before, or its partition is gone.
 */
TMK_API tmk_status tmk_processor_complete(tmk_processor *p, tmk_handle handle, tmk_verdict verdict,
                                          int64_t retry_ms);

/** What became of a dead letter: OK makes its event final; a failure is tried again with a pause.
 */
TMK_API tmk_status tmk_processor_dead_letter_done(tmk_processor *p, tmk_handle handle,
                                                  tmk_status status, const tmk_error *err);

/** Stops taking events of a partition, keeping it; and goes on. ABSENT: not ours. */
TMK_API tmk_status tmk_processor_pause(tmk_processor *p, const char *partition);
TMK_API tmk_status tmk_processor_resume(tmk_processor *p, const char *partition);

/** Writes checkpoints now: of one partition, or of all (NULL). */
TMK_API tmk_status tmk_processor_checkpoint(tmk_processor *p, const char *partition);

/* ---- seeing ---- */

typedef enum tmk_progress {
    TMK_PROGRESS_STARTING = 0,
    TMK_PROGRESS_OK = 1,
    TMK_PROGRESS_SLOW = 2,    /* moves, and the lag grows */
    TMK_PROGRESS_STALLED = 3, /* events wait and nothing becomes final */
    TMK_PROGRESS_STOPPED = 4, /* paused, failed, or held back by its handler's verdict */
    TMK_PROGRESS_REWOUND = 5  /* went back: hub recreated or position chosen anew */
} tmk_progress;

/** One partition of the hub, as this instance sees it. Text lives until the snapshot is freed. */
typedef struct tmk_partition_state {
    const char *partition;
    const char *owner; /* instance, "" for none, as last listed */
    bool own;          /* this instance reads it */
    int64_t generation;
    tmk_progress progress;
    int64_t received_sequence, final_sequence, checkpoint_sequence; /* -1: none */
    int64_t held_events, held_bytes;                                /* received and not final */
    int64_t replay_events;  /* would be repeated if the process died now */
    int64_t oldest_ms;      /* age of the oldest unfinished event here; 0: none */
    uint64_t events, bytes; /* final, since it was opened */
    tmk_lag lag;
    unsigned alarms;                    /* of tmk_alarm */
    bool paused;                        /* by tmk_processor_pause() */
    int64_t credit;                     /* events that the service may send */
    int64_t in_flight;                  /* handed to handlers and not final */
    uint64_t total_events, total_bytes; /* final, in all ownerships of this instance */
} tmk_partition_state;

typedef struct tmk_processor_stats {
    size_t size;
    uint64_t events, bytes, batches; /* final; handler calls */
    uint64_t done, skipped, dead_lettered, retries, redelivered;
    uint64_t checkpoints_written, checkpoints_refused;
    uint64_t claims, moves_in, moves_out, evictions, partitions_lost;
    uint64_t store_requests, store_failures;
    uint64_t link_recoveries, handler_seconds_us;
    uint32_t owned, members, held_events, handlers_busy;
    uint64_t held_bytes;
    bool started; /* the first balance is done */
    bool breaker; /* intake pauses after TMK_STOP */
    bool fenced;  /* dispatches nothing until the store has confirmed that it still lives */

    uint64_t handler_stops;     /* verdicts TMK_STOP */
    uint64_t missing, lost;     /* sequence numbers skipped; events that retention removed unread */
    uint64_t takeovers;         /* of `claims`, from an instance that had died */
    uint64_t released, fences;  /* partitions given to nobody; times that nothing was dispatched */
    uint64_t own_evictions;     /* the others have taken this instance for dead */
    uint64_t store_throttled;   /* of store_failures: "busy" */
    uint64_t hub_throttled;     /* the hub has answered "busy" */
    uint64_t problems;          /* calls of on_error */
    uint64_t credit;            /* events that the service may send */
    uint64_t letters_waiting;   /* dead letters that the sink has not answered */
    int64_t handler_longest_ms; /* the call that has run longest by now */
    int64_t store_silent_ms;    /* since the store last answered; -1: never yet */
    int64_t uptime_ms;          /* since tmk_processor_start() */
    bool stopping;
} tmk_processor_stats;

/** Fills *out up to out->size, which the caller has set. */
TMK_API void tmk_processor_stats_get(tmk_processor *p, tmk_processor_stats *out);

/** A snapshot of all partitions; *count says how many. Free it by tmk_partition_states_free(). */
TMK_API TMK_CHECKED tmk_status tmk_processor_partitions(tmk_processor *p, tmk_partition_state **out,
                                                        size_t *count, tmk_error *err);
TMK_API tmk_partition_state *tmk_partition_states_free(tmk_partition_state *states);

/** The name of this instance. */
TMK_API const char *tmk_processor_owner_id(const tmk_processor *p);

TMK_END_C

#endif
