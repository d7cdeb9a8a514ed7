/*
 * One partition of the hub, as the control holds it: its pump while it is
 * read, its link, what the fleet waits for, and questions under way. Inside of
 * control.c; nobody else includes it.
 */
#ifndef TMK_RUN_SLOT_H
#define TMK_RUN_SLOT_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "run/control.h"

/* What the fleet asked for and has not been told the end of. */
typedef enum tmk_slot_owed {
    TMK_OWED_NOTHING = 0,
    TMK_OWED_DRAINED,
    TMK_OWED_STOPPED
} tmk_slot_owed;

/* Why a partition hands out nothing, although it is ours. */
typedef enum tmk_quiet { TMK_QUIET_USER = 1, TMK_QUIET_FENCE = 2, TMK_QUIET_HOLD = 4 } tmk_quiet;

/* A link, until the source has said that it is closed or has ended. */
typedef struct tmk_reading {
    tmk_list node; /* in control->readings */
    struct tmk_slot *slot;
} tmk_reading;

typedef struct tmk_slot {
    struct tmk_control *control;
    char *id;
    int64_t generation, owner_level;
    tmk_pump *pump;       /* NULL: not read */
    tmk_link *link;       /* NULL: none, or being closed */
    tmk_reading *reading; /* of the link that the pump knows of */

    tmk_checkpoint
        last; /* newest state that the store has or is to have; its text and map are ours */
    char *last_offset;
    uint8_t *last_map;

    tmk_slot_owed owed;
    unsigned quiet; /* of tmk_quiet */
    bool writing;   /* the pump waits for tmk_pump_on_written() */
    bool asking_facts;
    bool tell_lag;                    /* when the facts come */
    bool looked;                      /* its lag was asked for in this ownership */
    bool seen_known;                  /* nobody's: what the hub said about it ... */
    tmk_partition_facts seen;         /* ... last */
    unsigned alarms;                  /* of tmk_alarm, as last told */
    int64_t lost_told;                /* events lost, when alarms were last looked at */
    uint64_t past_events, past_bytes; /* of earlier ownerships */
    tmk_time past_busy;
    tmk_heap_node due; /* in control->due: to be opened (again) then */
} tmk_slot;

/* A question to the source, under way. */
typedef struct tmk_query {
    tmk_list node;
    struct tmk_control *control;
    tmk_slot *slot;
} tmk_query;

/* A question to the store, remembered for journal and statistics. */
typedef struct tmk_asked {
    tmk_list node;
    uint64_t ticket;
    tmk_store_op_kind kind;
    tmk_time at;
    char id[64]; /* cut */
} tmk_asked;

struct tmk_control {
    tmk_control_ports ports;
    const tmk_processor_options *user;
    tmk_yard *yard; /* borrowed */
    tmk_fleet *fleet;
    tmk_engine *engine;
    tmk_rng rng;
    tmk_journal journal;
    tmk_log log;

    tmk_map by_id; /* of tmk_slot */
    tmk_list asked, queries, readings;
    uint32_t asked_count;
    tmk_meters meters;
    tmk_heap due;
    uint32_t open_count;
    uint64_t doubt_events; /* handed out and not final when their partition closed at the stop */

    tmk_time drain_max, drain_until, ids_every, ids_at, lag_at, first_look_at;
    tmk_time weigh_every, weigh_at; /* what partitions cost is told the fleet; TMK_NEVER: not */
    bool asking_ids, ids_known, ready, left, fenced, stopping, abandoned, unpaid, stepping;
};

tmk_slot *tmk_slot_new(struct tmk_control *c, const char *id);
tmk_slot *tmk_slot_free(tmk_slot *s); /* NULL is fine; returns NULL */

/* Copies a checkpoint into s->last. ENOMEM: nothing has changed. */
tmk_status tmk_slot_keep(tmk_slot *s, const tmk_checkpoint *checkpoint);
void tmk_slot_open_at(tmk_slot *s, tmk_time at); /* TMK_NEVER: not */
/* Sets or takes away a reason to hand out nothing; survives the pump. */
void tmk_slot_quiet(tmk_slot *s, tmk_time now, tmk_quiet why, bool quiet);
void tmk_slot_apply_quiet(tmk_slot *s, tmk_time now,
                          unsigned before); /* tells a pump what differs from before */

void tmk_slot_open_link(tmk_slot *s, tmk_time now, const tmk_start *start);
void tmk_slot_close_link(tmk_slot *s);
void tmk_slot_ask_facts(tmk_slot *s);

/* Of the slot of a partition; there is one for those of others, too, once they are looked at. */
tmk_slot *tmk_control_slot(struct tmk_control *c, const char *partition); /* NULL: no memory */

/* ---- behind.c: how far partitions are behind ---- */

void tmk_behind_step(struct tmk_control *c, tmk_time now);    /* asks when it is time */
void tmk_behind_on_open(struct tmk_control *c, tmk_time now); /* a partition is read from now on */
tmk_time tmk_behind_deadline(const struct tmk_control *c);
/* An answer for a partition that is not read, or read: tells lag and alarms. */
void tmk_behind_on_facts(tmk_slot *s, const tmk_partition_facts *facts);
/* As far as it is known. `sequence`: of the checkpoint in the store, where it is not ours. */
void tmk_behind_lag(tmk_slot *s, int64_t sequence, tmk_lag *out);

tmk_query *tmk_query_new(struct tmk_control *c, tmk_slot *s); /* NULL: no memory */
void tmk_query_free(tmk_query *q);
void tmk_slot_drop_pump(tmk_slot *s); /* frees it; a link that is still being closed is nobody's */
void tmk_reading_free(tmk_reading *r);

#endif
