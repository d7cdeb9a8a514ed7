/*
 * What engine.c, pump.c, intake.c and verdicts.c share.
 */
#ifndef TMK_CORE_PUMP_INSIDE_H
#define TMK_CORE_PUMP_INSIDE_H

#include "base/heap.h"
#include "base/ring.h"
#include "core/pump.h"

#define TMK_PUMP_AGAIN (100 * TMK_MS) /* when there was no memory */
#define TMK_LINK_GOOD TMK_MIN         /* a link that stood so long makes up for failures before */

/* What becomes of an event whose verdict was not final. */
typedef enum tmk_case_state {
    TMK_CASE_WAITING,    /* tried again when its pause is over */
    TMK_CASE_LETTER_DUE, /* to be given to the sink, when its pause is over */
    TMK_CASE_LETTER_OUT, /* the sink has it */
    TMK_CASE_HALTED      /* the partition stops at it */
} tmk_case_state;

typedef struct tmk_case {
    tmk_list node;       /* in pump->cases */
    tmk_heap_node timer; /* in pump->timers, while it pauses */
    tmk_pump *pump;
    tmk_case_state state;
    uint64_t ordinal;
    uint32_t attempt;  /* tries so far */
    uint32_t refusals; /* by the sink */
    const char *reason;
    tmk_handle handle; /* LETTER_OUT */
} tmk_case;

typedef enum tmk_link_state {
    TMK_LINK_NONE,
    TMK_LINK_OPENING,
    TMK_LINK_OPEN,
    TMK_LINK_CLOSING
} tmk_link_state;

/* Looking for a position: facts are wanted, asked for, or not needed. */
typedef enum tmk_seek { TMK_SEEK_WANTED, TMK_SEEK_ASKED, TMK_SEEK_DONE } tmk_seek;

/* A state that was given out to be written, or that was written. */
typedef struct tmk_saved {
    int64_t sequence;
    uint64_t low;    /* ordinals below it are covered */
    uint64_t mapped; /* and so many above it */
} tmk_saved;

struct tmk_engine {
    tmk_engine_options options;
    tmk_yard *yard;
    tmk_rng *rng;
    tmk_flow flow;
    tmk_budget budget;
    tmk_breaker breaker;
    tmk_list touched; /* pumps that want a step */
    tmk_heap due;     /* pumps, by deadline */
    size_t pump_count;
    tmk_list stuck; /* pumps whose finished events wait for memory */
    tmk_ring reports;
    tmk_case **letters; /* by index; NULL: free */
    uint32_t letter_room, letter_next;
    uint32_t letter_serial;
    uint8_t map[TMK_DONE_MAP_ROOM]; /* of the checkpoint that was last given out */
    uint16_t *lanes;                /* scratch: lane of each event of a burst */
    uint32_t lane_room;
    tmk_time later_look;
    tmk_engine_stats stats;
};

struct tmk_pump {
    tmk_engine *engine;
    void *user;
    const char *partition;
    int64_t generation;
    tmk_list touched;
    tmk_list stuck; /* in engine->stuck */
    tmk_heap_node due;
    tmk_pump_state state;
    bool told_closed;
    tmk_ring reports;

    /* Where to start. */
    tmk_checkpoint checkpoint; /* the store's; offset in the field below, map in `before` */
    char *checkpoint_offset;
    tmk_done_map before;
    tmk_start chosen;
    bool chosen_set;
    bool own_set; /* start behind what this run has read, not at checkpoint or choice */
    int64_t own_sequence, own_enqueued_ms;
    bool refused; /* there is no such position, as the service says */
    tmk_seek seek;
    tmk_time seek_at;  /* TMK_SEEK_WANTED: when to ask */
    unsigned troubles; /* in a row: positions that are gone, facts that could not be had */
    tmk_start start;   /* of the next link ... */
    bool started;      /* ... unless an event has come: then behind the newest */
    bool resolved;     /* the tracker's position is a real one */

    /* Reading. */
    tmk_link_state link;
    tmk_time reopen_at, opened_at;
    unsigned link_failures; /* in a row */
    bool link_stood;        /* the last one, before it ended */
    bool close_link;        /* wanted */
    bool restart;           /* another hub: begin anew once nothing runs */
    tmk_flow_share share;
    tmk_list pending;       /* bursts that wait to be admitted */
    uint32_t pending_at;    /* in the first of them */
    uint64_t pending_bytes; /* of the first of them, as far as the tracker does not count them */
    int64_t enqueued_max;   /* newest time of an event that was admitted; -1: none */
    tmk_time admit_at;      /* no memory: again at */
    bool no_memory_told;
    tmk_tracker tracker;
    tmk_lanes *lanes;
    bool paused, halted, held, fenced;

    /* What became of it. */
    tmk_list cases;
    tmk_heap timers; /* of cases */
    size_t case_count;
    tmk_finished kept; /* what there was no memory for */
    bool kept_set;
    tmk_policy policy;
    tmk_saved saved, flying;
    tmk_position water; /* of the checkpoint that was last given out */

    /* The end. */
    tmk_close_reason reason;
    tmk_time drain_until;
    bool cut; /* nothing is handed out any more */
    uint64_t in_doubt;

    /* Seen from outside. */
    tmk_progress_meter meter;
    bool last_known;
    tmk_partition_facts facts;
    tmk_time behind_since; /* events wait in the hub, none comes; TMK_NEVER: not so */
    uint64_t events, bytes, lost;
    int64_t gap_first; /* numbers that were missing since facts came last */
    uint64_t gap_count;
};

/* engine.c */
void tmk_engine_pace(
    tmk_engine *e); /* pumps have come or gone: how often may checkpoints be written */
void tmk_pump_touch(tmk_pump *p);
tmk_handle tmk_engine_letter(tmk_engine *e, tmk_case *c); /* 0: no memory */
void tmk_engine_letter_gone(tmk_engine *e, tmk_case *c);

/* reports.c: never fail; what there is no room for is counted. error: of problems; else NULL. */
void tmk_pump_tell(tmk_pump *p, tmk_pump_event event, int64_t sequence, uint64_t count,
                   const tmk_error *error, const char *reaction);
void tmk_engine_tell(tmk_engine *e, tmk_pump_event event, const char *partition, int64_t sequence,
                     uint64_t count, const tmk_error *error, const char *reaction);

/* seek.c */
void tmk_pump_on_sought(tmk_pump *p, tmk_time now, const tmk_partition_facts *facts,
                        const tmk_error *err);
/* From now on behind what was read, whatever store and program had said: the service refused it. */
void tmk_pump_seek_from_own(tmk_pump *p, tmk_time now);

/* intake.c */
void tmk_pump_take(tmk_pump *p, tmk_time now, tmk_burst *b); /* a burst has come */
void tmk_pump_admit(tmk_pump *p, tmk_time now);              /* what is pending */
void tmk_pump_drop_pending(tmk_pump *p);
void tmk_pump_learn(tmk_pump *p, tmk_time now, const tmk_partition_facts *facts);
uint32_t tmk_pump_credit(tmk_pump *p);
void tmk_pump_apply_pause(tmk_pump *p, tmk_time now); /* lanes, by paused, halted, fenced */

/* verdicts.c */
void tmk_pump_read_finished(tmk_pump *p, tmk_time now);
void tmk_pump_finish(tmk_pump *p, tmk_time now, uint64_t first, uint32_t count);
/* The same for events that were final before this run, which does not count them as its own.
 * Returns their bytes. */
uint64_t tmk_pump_finish_known(tmk_pump *p, tmk_time now, uint64_t first, uint32_t count);
void tmk_pump_cases_due(tmk_pump *p, tmk_time now);
tmk_case *tmk_pump_letter_due(tmk_pump *p); /* whose turn with the sink it is; NULL: none */
bool tmk_pump_give_letter(tmk_pump *p, tmk_time now, tmk_case *c, tmk_pump_act *act);
void tmk_pump_on_letter(tmk_case *c, tmk_time now, tmk_status status, const tmk_error *err);
uint32_t tmk_pump_letters_open(const tmk_pump *p);
void tmk_pump_cases_clear(tmk_pump *p);
void tmk_pump_cases_again(tmk_pump *p, tmk_time now); /* resume(): those that are HALTED */

#endif
