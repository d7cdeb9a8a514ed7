/*
 * The inside of a fleet, shared by the files that make it up:
 *
 *   fleet.c          composition: options, next(), answers, what can be seen
 *   fleet_life.c     this instance's own membership: join, heartbeat, fence, leave
 *   fleet_host.c     crash loops: probation, the life before ours
 *   fleet_watch.c    looking at the others: lists, bells, deadness, evictions
 *   fleet_plan.c     whom the plan counts in, the plan, duties that follow from it
 *   fleet_weigh.c    what partitions cost, and which move for it
 *   fleet_holding.c  one partition: claim, open, write, drain, pass on, release
 *   fleet_record.c   one partition: what the store answered about it
 *   fleet_shared.c   one partition, beside the official processors
 *   fleet_count.c    whose share it is there
 */
#ifndef TMK_CORE_FLEET_INSIDE_H
#define TMK_CORE_FLEET_INSIDE_H

#include "base/backoff.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/ring.h"
#include "core/asking.h"
#include "core/fleet.h"
#include "core/fleet_shared.h"
#include "core/kept.h"
#include "core/member_text.h"
#include "core/mutants.h"
#include "core/plan.h"
#include "core/view.h"
#include "core/weigh.h"

/* Something to ask the store, once at a time, again when it failed. */
typedef struct tmk_errand {
    bool wanted;
    uint64_t ticket;     /* under way; 0: not */
    tmk_time not_before; /* after a failure */
    unsigned failures;   /* in a row */
} tmk_errand;

typedef enum tmk_life_phase {
    TMK_LIFE_OUT = 0,    /* no life yet, or the former one was ended */
    TMK_LIFE_FIRST_LOOK, /* the members are listed, to learn about probation */
    TMK_LIFE_JOINING,
    TMK_LIFE_IN,
    TMK_LIFE_LEAVING,
    TMK_LIFE_ENDING, /* MEMBER_LEAVE is under way */
    TMK_LIFE_GONE
} tmk_life_phase;

typedef struct tmk_life {
    tmk_life_phase phase;
    uint32_t number; /* counts lives; answers to former ones do not count */
    char id[TMK_FLEET_NAME_MAX + 12];
    char token[37];
    bool active; /* the plan counts us in */

    tmk_errand join, renew, write, leave;
    tmk_time renew_at;
    tmk_time
        accepted_sent;    /* when the newest granted renewal was sent; the lease lasts from there */
    tmk_time accepted_at; /* and when it was answered */
    tmk_time streak_from; /* since then our heartbeats were granted, at most two intervals apart */
    tmk_time joined_at;
    tmk_time probation_until;
    unsigned evictions_seen; /* of this host, for which we are on probation already */
    unsigned evictions;      /* of our own lives, remembered for probation */
    tmk_time evicted_at;

    char written[TMK_MEMBER_TEXT_ROOM]; /* our record, as far as we know */
    char writing[TMK_MEMBER_TEXT_ROOM]; /* the one under way */
    tmk_time written_at;
    uint64_t view_written, pair_written;
    uint32_t load, load_shown;
    tmk_time load_at;

    bool fenced;
    tmk_time fenced_at;
    bool lease_over; /* the fence of links that are down has been looked after */
    bool stopping;
    tmk_time leaving_at; /* our record says so since; TMK_NEVER: it does not */
    tmk_time leave_at;   /* until then a leaving instance waits for successors to be ready */
} tmk_life;

/* What is known about a partition's record. */
typedef struct tmk_record {
    bool known;  /* it was listed or read */
    bool absent; /* and there was none */
    bool held;
    int64_t generation;
    int64_t sequence;
    char owner[TMK_FLEET_ID_ROOM];
    char successor[TMK_FLEET_ID_ROOM];
    char version[TMK_FLEET_VERSION_ROOM];
    int64_t age_ms;
    tmk_time read_at; /* when it was last read or listed */
    tmk_time seen_at; /* when we first saw this owner and successor */
} tmk_record;

typedef enum tmk_holding_state {
    TMK_HOLDING_NONE = 0,
    TMK_HOLDING_TAKING,   /* reading the record, then claiming or accepting */
    TMK_HOLDING_HELD,     /* ours by the store */
    TMK_HOLDING_NAMING,   /* drained: the final checkpoint and the successor's name are written */
    TMK_HOLDING_PASSING,  /* the claim goes to the successor */
    TMK_HOLDING_RELEASING /* drained: given up without a successor */
} tmk_holding_state;

typedef enum tmk_link_state {
    TMK_LINK_CLOSED = 0,
    TMK_LINK_OPENING,
    TMK_LINK_OPEN,
    TMK_LINK_DRAINING, /* on_drained() will come */
    TMK_LINK_STOPPING  /* on_stopped() will come */
} tmk_link_state;

/* Actions that wait to be taken. */
enum {
    TMK_ACT_STOP = 1U << 0,
    TMK_ACT_FENCE = 1U << 1,
    TMK_ACT_UNFENCE = 1U << 2,
    TMK_ACT_OPEN = 1U << 3,
    TMK_ACT_DRAIN = 1U << 4,
    TMK_ACT_HOLD = 1U << 5,
    TMK_ACT_RESUME = 1U << 6,
    TMK_ACT_WRITTEN = 1U << 7,
    TMK_ACT_REFUSED = 1U << 8
};

/* What is asked about a partition. */
typedef enum tmk_holding_ask {
    TMK_ASK_NOTHING = 0,
    TMK_ASK_READ,
    TMK_ASK_CLAIM,
    TMK_ASK_ACCEPT, /* a write under our own token, which succeeds once the claim was passed to us
                     */
    TMK_ASK_WRITE,
    TMK_ASK_NAME, /* a write that names the successor */
    TMK_ASK_PASS,
    TMK_ASK_RELEASE,
    TMK_ASK_RENEW,  /* shared: our ownership */
    TMK_ASK_REQUEST /* shared: names us in another's ownership */
} tmk_holding_ask;

typedef struct tmk_holding {
    tmk_heap_node timer; /* in fleet.timers, until not_before */
    tmk_list node;       /* in fleet.ready, or in fleet.waiting for a lane */
    char *id;
    size_t place;
    bool listed; /* in the list that is being taken */

    tmk_record record;
    int64_t generation_known; /* the highest ever seen; never goes back */
    tmk_time touched_at;      /* our own last change: lists asked for earlier do not count */
    int32_t target;           /* place in the plan's members, or TMK_PLAN_NOBODY */
    int32_t owner_place;      /* the same, of its owner when the plan was made */
    bool weighed;             /* it moves, or has moved, for its load */
    tmk_gauge gauge;          /* while it is ours */

    tmk_holding_state state;
    tmk_link_state link;
    int64_t generation;       /* ours */
    int64_t token_generation; /* of the token that holds it: older once a handoff was called off */
    bool fresh;               /* TAKING: the record was read since */
    bool denied;              /* a write was refused */
    unsigned denials;         /* in a row */
    bool look;                /* a write's fate is unknown, or was refused: read before the next */
    bool doubt;               /* the hub took the link */
    bool tried;               /* TAKING: a claim or an acceptance may have succeeded unheard */
    bool tried_accept;        /* it was an acceptance */
    bool anew;                /* our record had gone, and may have been made anew unheard */
    int64_t tried_generation;
    unsigned refusals;            /* acceptances refused in a row: not passed to us yet */
    char to[TMK_FLEET_ID_ROOM];   /* the successor of a handoff */
    char from[TMK_FLEET_ID_ROOM]; /* TAKING: the owner before us */
    bool drained_for_to;          /* it was ready when the drain began */
    bool taken_late;              /* when we were leaving already */
    bool passed;                  /* the claim may have been passed to it, unheard */

    uint64_t ticket; /* of the question under way */
    tmk_holding_ask ask;
    unsigned failures;
    tmk_time not_before;
    unsigned stolen; /* times in a row */
    tmk_time stolen_at;

    tmk_kept final;                         /* the newest final state; where reading starts */
    uint64_t final_no, saved_no, saving_no; /* numbers of states: newest, in the store, under way */
    int64_t saved_sequence, base_sequence;
    int64_t saving_sequence;
    tmk_kept saving_old; /* (planted bug) */

    bool link_down, fenced, held_back;
    tmk_shared_holding shared;

    unsigned acts;
    tmk_fleet_reason reason;
    int64_t reported_sequence;
} tmk_holding;

typedef struct tmk_fleet_news {
    tmk_fleet_act_kind kind; /* NOTE or REPORT */
    tmk_fleet_note note;
    const char *partition;
    int64_t generation;
    char member[TMK_FLEET_ID_ROOM];
    tmk_error error;
    const char *next;
} tmk_fleet_news;

/* A member by its load. */
typedef struct tmk_rank {
    int32_t member; /* place in plan_members */
    int32_t place;  /* in the view */
    uint64_t load;
    bool paired;
} tmk_rank;

/* Balance by load. */
typedef struct tmk_weigh {
    bool on;            /* all who are counted in ask for it */
    tmk_time set_since; /* what we own is the same since */
    tmk_time told_at;   /* our table is from then; -1: there is none in this life */
    char table[TMK_LOADS_ROOM];
    uint64_t pair; /* the round that we are in; 0: none */
    bool receives; /* in it */
    /* By partition: */
    int32_t *tellers; /* whose table has it: place in the view, or one of those below */
    uint32_t *loads;  /* by that table */
    uint32_t *own;    /* our table */
    uint32_t *scratch;
    size_t room;
    /* By member: */
    tmk_rank *ranks;
    size_t rank_room;
} tmk_weigh;

struct tmk_fleet {
    tmk_fleet_options opts; /* its texts are the two below */
    char instance[TMK_FLEET_NAME_MAX + 1];
    char host[TMK_FLEET_NAME_MAX + 1];
    tmk_rng rng;
    tmk_fleet_counts counts;
    tmk_asking asking;
    tmk_life life;
    tmk_view view;
    tmk_shared shared;
    tmk_weigh weigh;

    /* Looking. */
    tmk_errand look, records, members;
    unsigned rings, evictions, removals; /* under way */
    char stranger[TMK_FLEET_ID_ROOM];    /* an owner whom nobody lists; "": none */
    bool stranger_asked;
    bool records_again; /* wanted once more while under way */
    bool was_busy;
    bool suspects;              /* dead by the newest list, and not judged yet */
    bool after_dust;            /* the round that is wanted looks for work that others have left */
    tmk_time look_at, round_at; /* round_at TMK_NEVER: nothing is going on */
    tmk_time half_at;           /* half a beat after a heartbeat */
    tmk_time listed_at;
    tmk_time records_at;    /* the next list of records at rest */
    tmk_time records_asked; /* of the newest list taken; -1: none yet */
    tmk_time dust_at;
    unsigned dust_rounds;
    tmk_time stirred_at; /* when something last changed */
    char bell[TMK_FLEET_VERSION_ROOM];
    tmk_time try_again_at; /* evictions and rings that failed */

    /* The plan. */
    tmk_time gather_from, gather_until; /* TMK_NEVER: nobody is waited for */
    uint64_t gather_hash;
    uint64_t view_hash; /* of what we follow; 0: nothing yet */
    bool planned;
    tmk_plan_member *plan_members;
    int32_t *plan_places; /* of plan_members, in the view; INT32_MAX: ourselves */
    size_t plan_room, plan_count;
    int32_t *owners; /* scratch, by partition */
    size_t owners_room;
    size_t expecting, owing, moving, others_work; /* partitions; see recount() */
    bool recount, ready_said, left_said;

    /* Partitions. */
    tmk_map by_id;
    tmk_holding **holdings; /* sorted by id */
    size_t holding_count;
    tmk_heap timers;
    tmk_list ready, waiting;

    /* What next() hands out. */
    tmk_ring news;
    tmk_fleet_news news_out;
    bool fence_act, unfence_act;
    tmk_store_op op;
    tmk_partition_record op_record;
    tmk_checkpoint checkpoint_out;
    char token[37], token_next[37], to_out[TMK_FLEET_ID_ROOM];
    tmk_time due; /* what deadline() said when next() last had nothing */
    tmk_time now;
    tmk_time answered_at; /* the store last said anything but a failure; -1: never */
    tmk_time reported_at;
};

static inline bool tmk_errand_due(const tmk_errand *e, tmk_time now) {
    return e->wanted && e->ticket == 0 && now >= e->not_before;
}
static inline tmk_time tmk_errand_deadline(const tmk_errand *e) {
    return e->wanted && e->ticket == 0 ? e->not_before : TMK_NEVER;
}

/* --- fleet.c --- */
/* Makes *out a SUBMIT of f->op; false when too many questions are under way. */
bool tmk_fleet_submit(tmk_fleet *f, tmk_time now, tmk_holding *h, tmk_time try_, uint64_t *ticket,
                      tmk_fleet_act *out);
/* How long one try may take: short at first, for a lost answer costs that much. */
tmk_time tmk_fleet_try(const tmk_fleet *f, unsigned failures);
void tmk_fleet_errand_failed(tmk_fleet *f, tmk_errand *e, tmk_time now, const tmk_backoff *pause);
void tmk_fleet_news_note(tmk_fleet *f, tmk_fleet_note note, const tmk_holding *h,
                         int64_t generation, const char *member);
void tmk_fleet_news_report(tmk_fleet *f, const tmk_holding *h, const tmk_error *err,
                           const char *next);
void tmk_fleet_wake(tmk_fleet *f, tmk_holding *h); /* step it soon */
void tmk_fleet_wake_all(tmk_fleet *f);
void tmk_fleet_stir(tmk_fleet *f, tmk_time now); /* something has changed: look often for a while */

/* --- fleet_life.c --- */
void tmk_life_init(tmk_fleet *f);
bool tmk_life_step(tmk_fleet *f, tmk_time now, tmk_fleet_act *out);
tmk_time tmk_life_deadline(const tmk_fleet *f);
void tmk_life_answered(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                       const tmk_store_result *result);
void tmk_life_listed(tmk_fleet *f, tmk_time now);  /* a new list of members was taken */
void tmk_life_wake_up(tmk_fleet *f, tmk_time now); /* called first in everything: did we sleep? */
bool tmk_life_in(const tmk_fleet *f);              /* a member, joining and ending excepted */
bool tmk_life_healthy(const tmk_fleet *f, tmk_time now);
bool tmk_life_may_judge(const tmk_fleet *f, tmk_time now, tmk_time asked);
tmk_time tmk_life_lease_end(const tmk_fleet *f);
bool tmk_life_is_self(const tmk_fleet *f, const char *id);

/* --- fleet_host.c --- */
void tmk_host_probation(tmk_fleet *f,
                        tmk_time now); /* begins, or grows, where evictions tell of it */
/* An evicted record of an earlier life of ours that the good end of this one makes up for. */
bool tmk_host_forgiven(const tmk_fleet *f, const tmk_view_member *m);
bool tmk_host_others_serve(const tmk_fleet *f); /* somebody else has partitions, or may have */
/* Somebody who starts on our host wants to know whether we live. */
bool tmk_host_is_asked(const tmk_fleet *f, const tmk_view_member *self);
bool tmk_host_has_predecessor(const tmk_fleet *f, tmk_time now);
void tmk_host_call(tmk_fleet *f); /* asks those of our host */

/* --- fleet_watch.c --- */
void tmk_watch_start(tmk_fleet *f, tmk_time now); /* a life has begun */
bool tmk_watch_step(tmk_fleet *f, tmk_time now, tmk_fleet_act *out);
tmk_time tmk_watch_deadline(const tmk_fleet *f);
void tmk_watch_answered(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                        const tmk_store_result *result);
void tmk_watch_round(tmk_fleet *f);                    /* list records, then members, soon */
void tmk_watch_ring(tmk_fleet *f, const char *id);     /* call that instance */
void tmk_watch_ring_concerned(tmk_fleet *f, bool all); /* call those who have something to do */
void tmk_watch_heartbeat(tmk_fleet *f,
                         tmk_time now); /* a heartbeat goes out: look at the bell too */

/* --- fleet_plan.c --- */
tmk_status tmk_plan_reserve(tmk_fleet *f, size_t members, size_t partitions);
void tmk_plan_listed(tmk_fleet *f, tmk_time now);  /* a new list of members was taken */
void tmk_plan_changed(tmk_fleet *f, tmk_time now); /* members, owners or our own state changed */
void tmk_plan_tick(tmk_fleet *f, tmk_time now);
tmk_time tmk_plan_deadline(const tmk_fleet *f);
/* Whose the partition is, or will be after a handoff under way; "" when nobody's who lives. */
const char *tmk_plan_owner(const tmk_fleet *f, const tmk_holding *h);
const char *tmk_plan_target(const tmk_fleet *f, const tmk_holding *h); /* "" for nobody */
bool tmk_plan_for_self(const tmk_fleet *f, const tmk_holding *h);
bool tmk_plan_is_self(const tmk_fleet *f, int32_t planned); /* that member of the plan */
/* How the newest list shows a member of the plan; NULL: it does not, and it is ourselves. */
const tmk_view_member *tmk_plan_seen(const tmk_fleet *f, size_t planned);
/* The one whom the plan names lives and follows the same plan: it will take over at once. */
bool tmk_plan_target_ready(const tmk_fleet *f, const tmk_holding *h);

/* --- fleet_weigh.c --- */
void tmk_weigh_begin(tmk_fleet *f); /* a life has begun */
void tmk_weigh_clear(tmk_fleet *f);
tmk_status tmk_weigh_reserve(tmk_fleet *f, size_t members, size_t partitions);
void tmk_weigh_forget(tmk_fleet *f); /* there are more partitions: all tables are of before */
/* A list of members was taken, from these records. */
void tmk_weigh_listed(tmk_fleet *f, const tmk_member_record *members, size_t count);
void tmk_weigh_hands(tmk_fleet *f, tmk_holding *h); /* it has become ours, or is no more */
/* The plan is made; nothing moves by it: what moves for its load? */
void tmk_weigh_plan(tmk_fleet *f);

/* --- fleet_holding.c --- */
tmk_holding *tmk_holding_new(const char *id); /* NULL: out of memory */
void tmk_holding_free(tmk_holding *h);
bool tmk_holding_step(tmk_fleet *f, tmk_holding *h, tmk_time now, tmk_fleet_act *out);
/* Whether the store should be asked for it: it is ours to take, to accept or to take back. */
bool tmk_holding_duty(const tmk_fleet *f, const tmk_holding *h, tmk_time now);
bool tmk_holding_busy(const tmk_holding *h); /* on its way from one state to another */
void tmk_holding_lose(tmk_fleet *f, tmk_holding *h, tmk_fleet_reason reason, const char *owner);
void tmk_holding_taken(tmk_fleet *f, tmk_holding *h, tmk_time now, int64_t generation,
                       bool accepted);
void tmk_holding_wait(tmk_fleet *f, tmk_holding *h, tmk_time until);
bool tmk_holding_dirty(const tmk_holding *h);
/* Whether a write whose answer was lost is what the store has: number and done-map. */
bool tmk_holding_unheard(const tmk_holding *h, const tmk_checkpoint *stored);
void tmk_holding_given(tmk_fleet *f, tmk_holding *h); /* it is somebody else's or nobody's now */
tmk_time tmk_holding_reopen_at(tmk_fleet *f, const tmk_holding *h, tmk_time now);

/* --- fleet_shared.c: in place of the functions of the same kind above --- */
void tmk_shared_life_step(tmk_fleet *f, tmk_time now);
tmk_time tmk_shared_life_deadline(const tmk_fleet *f);
void tmk_shared_on_link(tmk_fleet *f, tmk_holding *h, tmk_time now, bool up);
tmk_holding_ask tmk_shared_next_ask(tmk_fleet *f, tmk_holding *h, tmk_time now);
void tmk_shared_compose(tmk_fleet *f, tmk_holding *h, tmk_holding_ask ask);
void tmk_shared_answered(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_asked *asked,
                         const tmk_store_result *result);

/* --- fleet_count.c --- */
bool tmk_shared_watch_step(tmk_fleet *f, tmk_time now, tmk_fleet_act *out);
tmk_time tmk_shared_watch_deadline(const tmk_fleet *f);
void tmk_shared_listed(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                       const tmk_store_result *result);
void tmk_shared_list_soon(tmk_fleet *f, tmk_time now);
/* Whether we have more than our share, should the one who asks for h have it. */
bool tmk_shared_may_give(const tmk_fleet *f, const tmk_holding *h);
/* How long what was granted holds: the oldest of all counts. */
void tmk_shared_lease(tmk_fleet *f, tmk_time now);

static inline bool tmk_fleet_is_shared(const tmk_fleet *f) {
    return f->opts.claims == TMK_CLAIMS_SHARED;
}

/* --- fleet_record.c --- */
void tmk_holding_answered(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                          const tmk_store_result *result);
/* A list of all records has come, asked for at `asked`. */
void tmk_records_take(tmk_fleet *f, tmk_time now, tmk_time asked,
                      const tmk_partition_record *records, size_t count);
void tmk_record_set_owner(tmk_record *r, const char *owner, const char *successor);
/* False where its texts are longer than any store of ours gives out: it is then not known. */
bool tmk_record_take(tmk_holding *h, tmk_time now, const tmk_partition_record *from);
void tmk_record_take_absence(tmk_holding *h, tmk_time now);
void tmk_holding_failed(tmk_fleet *f, tmk_holding *h, tmk_time now);
void tmk_holding_keep_version(tmk_holding *h, const tmk_store_result *result);
/* The store has taken the write that was under way. */
void tmk_holding_written(tmk_fleet *f, tmk_holding *h, tmk_time now,
                         const tmk_store_result *result);
/* What was under way is in the store. */
void tmk_holding_saved(tmk_fleet *f, tmk_holding *h, uint64_t number, int64_t sequence);
void tmk_holding_released(tmk_fleet *f, tmk_holding *h);
void tmk_holding_handed(tmk_fleet *f, tmk_holding *h);

#endif
