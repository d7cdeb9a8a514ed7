/*
 * The fleet, seen by one instance of it: who else is there, who should own
 * what, and everything this instance says to the store: its membership, its
 * claims, its checkpoints, its calls to others, its leave.
 *
 * Pure: no I/O, no clock, no thread. The caller says what time it is, what the
 * store answered and what became of the links; the fleet says what to do next:
 *
 *     for (;;) {
 *         while (tmk_fleet_next(f, now, &act)) { carry act out }
 *         wait until tmk_fleet_deadline(f), or something to tell it
 *     }
 *
 * Carrying out is asynchronous: SUBMIT is answered by tmk_fleet_on_answer(),
 * OPEN by on_opened() or on_stolen(), DRAIN by on_drained(), STOP by
 * on_stopped(). Nothing may be told from inside tmk_fleet_next().
 *
 * Owns:     itself; all it is given is copied. What an action points at lives
 *           until the next call of any function on the same fleet, partition
 *           ids excepted, which live as long as the fleet.
 * Threads:  one at a time (the control thread).
 * Memory:   a few hundred bytes a partition and a member; ENOMEM leaves all as
 *           it was and is tried again.
 *
 * `now` is monotonic and counts while the machine sleeps (CLOCK_BOOTTIME): the
 * fence after a late wake-up depends on it.
 *
 * The promises, each with a test in tests/unit/test_fleet*.c and a planted bug
 * in tests/sim.
 */
#ifndef TMK_CORE_FLEET_H
#define TMK_CORE_FLEET_H

#include <tidemark/store.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/time.h"

typedef struct tmk_fleet tmk_fleet;

/* Bounds that options may not pass. */
#define TMK_FLEET_LANES_MAX 16
#define TMK_FLEET_NAME_MAX 100 /* bytes of an instance's or a host's name */
#define TMK_FLEET_WEIGHT_MAX 1000000

typedef struct tmk_fleet_options {
    /*
     * The instance's name, for people; printable ASCII without blanks. Each life (a start, a new
     * start after an eviction) gets an id of its own: the name, "~" and eight hex digits.
     */
    const char *instance;
    /*
     * Where it runs: survives a crash and a restart (the machine, the pod's slot). Probation after
     * an eviction goes by it. NULL or "": no probation.
     */
    const char *host;
    tmk_claims claims; /* TMK_CLAIMS_LEASE */

    tmk_time heartbeat;        /* 5 s; jittered by a fifth. < expiry / 3 */
    tmk_time expiry;           /* 20 s: a member's lease. In shared mode: 60 s, a record's age */
    tmk_time heartbeat_try;    /* 2 s: deadline of one try */
    tmk_time request_try;      /* 5 s: deadline of any other request's try */
    tmk_time members_every;    /* 10 s at rest; less where fewer instances watch. See watch.c */
    tmk_time partitions_every; /* 60 s at rest */
    tmk_time look_every;       /* 500 ms: own bell and lists while something is going on */
    tmk_time gather;           /* 800 ms without a further join before the plan follows joins */
    tmk_time gather_max;       /* 4 s: then it follows anyway */
    tmk_time probation;        /* 30 s, doubled with each eviction of this host remembered */
    tmk_time probation_max;    /* 300 s */
    tmk_time eviction_memory;  /* 600 s: how long an evicted record is kept and counts */
    tmk_time settle_look;      /* 5 s after the dust has settled: look once more */
    tmk_time leave_wait; /* 1 s: how long a leaving instance reads on while successors get ready */

    unsigned lanes;          /* 16 requests at once, heartbeats apart */
    unsigned weight;         /* 100: this instance's share in relation to the others' */
    unsigned partitions_max; /* 0: no limit; never owns more */

    /*
     * Balance by measured load: where all who are counted in ask for it. See fleet_weigh.c. Not in
     * shared mode: the official processors do not tell their loads.
     */
    bool weighted;
    tmk_time weigh_every; /* 60 s: a table of loads is told, and says how it is since, so often */
    unsigned weigh_moves; /* 4, 1 to 32: partitions that a round moves between two members */

    /*
     * Replay bound: when the store cannot be written, a partition is held (HOLD) once this many
     * sequence numbers of it are final but not in the store. 100 000. 0: no bound.
     */
    int64_t replay_max;

    tmk_log log;
} tmk_fleet_options;

/* Fills in all defaults for a way of claiming; instance stays NULL and must be set. */
void tmk_fleet_options_init(tmk_fleet_options *opts, tmk_claims claims);

/*
 * Makes a fleet's instance; nothing happens before the first tmk_fleet_next().
 * `seed` is copied: jitter and the lives' ids come from it.
 *
 * EINVAL: an option is out of range, or two contradict each other; err says which and what would
 * do.
 */
TMK_CHECKED tmk_status tmk_fleet_new(const tmk_fleet_options *opts, const tmk_rng *seed,
                                     tmk_fleet **out, tmk_error *err);
tmk_fleet *tmk_fleet_free(tmk_fleet *f); /* NULL is fine; returns NULL */

/*
 * The hub's partition ids, in any order; may be called again when there are more. Ids that are
 * missing later are kept. Nothing is claimed before the first call.
 */
TMK_CHECKED tmk_status tmk_fleet_partitions(tmk_fleet *f, tmk_time now, const char *const *ids,
                                            size_t count, tmk_error *err);

typedef enum tmk_fleet_act_kind {
    TMK_FLEET_SUBMIT = 1, /* hand op to the store; answer with on_answer(ticket) */
    TMK_FLEET_OPEN, /* start reading: partition, generation, owner_level, checkpoint; whatever FENCE
                       or HOLD there was of it is over */
    TMK_FLEET_DRAIN,   /* stop intake, finish what runs, close the link; then on_drained() */
    TMK_FLEET_STOP,    /* dispatch nothing more, drop what is not dispatched, close the link;
                          then on_stopped(). reason says why. May follow a DRAIN */
    TMK_FLEET_FENCE,   /* dispatch nothing until UNFENCE; partition NULL: of all of them */
    TMK_FLEET_UNFENCE, /* the store has confirmed us (all), or the hub (of partition) */
    TMK_FLEET_HOLD,   /* take no more events of partition (replay bound); what is in hand goes on */
    TMK_FLEET_RESUME, /* the end of HOLD */
    TMK_FLEET_CHECKPOINTED, /* of partition: sequence is in the store (written), or was refused */
    TMK_FLEET_READY,        /* the first balance is done; once */
    TMK_FLEET_LEFT,         /* tmk_fleet_stop() has come to its end; nothing follows */
    TMK_FLEET_NOTE,         /* for the journal: note, partition, member, generation */
    TMK_FLEET_REPORT        /* for on_error: error, partition or NULL, next: what happens now */
} tmk_fleet_act_kind;

typedef enum tmk_fleet_class {
    TMK_FLEET_BULK = 0,
    TMK_FLEET_HEARTBEAT = 1 /* has its own connection and never waits behind the others */
} tmk_fleet_class;

typedef enum tmk_fleet_reason {
    TMK_FLEET_BECAUSE_NONE = 0,
    TMK_FLEET_BECAUSE_EVICTED, /* this instance's life was ended by the others */
    TMK_FLEET_BECAUSE_TAKEN,   /* the store says that the partition is somebody else's */
    TMK_FLEET_BECAUSE_STOLEN,  /* the hub has given the link to somebody else */
    TMK_FLEET_BECAUSE_MOVED,   /* (DRAIN) the plan gives it to another */
    TMK_FLEET_BECAUSE_LEAVING  /* (DRAIN) this instance stops */
} tmk_fleet_reason;

typedef enum tmk_fleet_note {
    TMK_FLEET_JOINED = 1,   /* member: our id */
    TMK_FLEET_VIEW,         /* a new plan is followed; generation: members in it */
    TMK_FLEET_CLAIMED,      /* partition, generation; member: the former owner, "" for none */
    TMK_FLEET_ACCEPTED,     /* the same by handoff */
    TMK_FLEET_HANDED,       /* partition, generation; member: the successor */
    TMK_FLEET_RELEASED,     /* partition, generation */
    TMK_FLEET_LOST,         /* partition, generation, member: the present owner where known */
    TMK_FLEET_EVICTED,      /* member: whom we have evicted */
    TMK_FLEET_WAS_EVICTED,  /* member: our own former id */
    TMK_FLEET_CLAIM_REFUSED /* partition: somebody else was first */
} tmk_fleet_note;

typedef struct tmk_fleet_act {
    tmk_fleet_act_kind kind;

    uint64_t ticket;         /* SUBMIT */
    const tmk_store_op *op;  /* SUBMIT */
    tmk_fleet_class channel; /* SUBMIT */

    const char *partition;
    int64_t generation;
    int64_t owner_level;              /* OPEN: the generation; 0 or 1 in shared mode */
    const tmk_checkpoint *checkpoint; /* OPEN: where to start; present == false: nowhere yet */
    tmk_fleet_reason reason;          /* STOP, DRAIN */
    int64_t sequence;                 /* CHECKPOINTED */
    bool written;                     /* CHECKPOINTED; false: refused */
    tmk_fleet_note note;              /* NOTE */
    const char *member;               /* NOTE */
    const tmk_error *error;           /* REPORT */
    const char *next;                 /* REPORT: a sentence */
} tmk_fleet_act;

/* Takes the next action. false: nothing to do before tmk_fleet_deadline(). */
bool tmk_fleet_next(tmk_fleet *f, tmk_time now, tmk_fleet_act *out);

/* When next() must be called again at the latest; TMK_NEVER after LEFT. */
tmk_time tmk_fleet_deadline(const tmk_fleet *f);

/*
 * The store has answered a SUBMIT. Answers may come late, twice or for a life that is over: each
 * ticket counts once, and only for the life that asked. A request whose answer is overdue (by its
 * try, plus a second) is taken for ETIMEOUT; its late answer is then ignored.
 */
void tmk_fleet_on_answer(tmk_fleet *f, tmk_time now, uint64_t ticket,
                         const tmk_store_result *result);

/*
 * Whoever dispatches events checks the clock against this, each time: later than this, nothing may
 * be dispatched before next() was called again. It is in the future while the fleet is stepped in
 * time; after a sleep it is not, and the fence would come too late for what was in hand.
 */
tmk_time tmk_fleet_trust(const tmk_fleet *f);

/* The link stands. */
void tmk_fleet_on_opened(tmk_fleet *f, tmk_time now, const char *partition);
/*
 * After DRAIN: nothing of the partition runs any more, its link is closed, and this is its last
 * checkpoint (present == false: nothing was ever final). ENOMEM: tell again later.
 */
TMK_CHECKED tmk_status tmk_fleet_on_drained(tmk_fleet *f, tmk_time now, const char *partition,
                                            const tmk_checkpoint *final);
/* After STOP: nothing of the partition runs any more and its link is closed. */
void tmk_fleet_on_stopped(tmk_fleet *f, tmk_time now, const char *partition);
/*
 * The hub has ended the link in favour of another reader. The caller has stopped dispatching by
 * itself already; STOP follows, then the store is asked. The link is opened again only when the
 * store says that the partition is ours, and not at once.
 */
void tmk_fleet_on_stolen(tmk_fleet *f, tmk_time now, const char *partition);
/*
 * The link went down or stands again, by itself. Down and without a lease is fenced: neither the
 * hub nor the store vouches for us. The hub does once it has granted the link anew.
 */
void tmk_fleet_on_link(tmk_fleet *f, tmk_time now, const char *partition, bool up);

/*
 * What has become final in a partition that is open. The newest wins; one write is under way per
 * partition, and a retry carries the newest state. CHECKPOINTED follows, once for the newest that
 * was written or when it is refused for good, not for those passed over. Without effect where the
 * partition is not ours. ENOMEM: not taken, tell again with the next one.
 */
TMK_CHECKED tmk_status tmk_fleet_checkpoint(tmk_fleet *f, tmk_time now, const char *partition,
                                            const tmk_checkpoint *checkpoint);

/*
 * The same for a position that went back on purpose (the hub was made anew, say): replaces what is
 * there whatever its number. Only while the partition is open.
 */
TMK_CHECKED tmk_status tmk_fleet_rewind(tmk_fleet *f, tmk_time now, const char *partition,
                                        const tmk_checkpoint *checkpoint);

/*
 * Leaves: partitions are drained and passed to those whom the plan names, or released; then the
 * membership ends; then LEFT. The caller has a deadline of its own and may free the fleet earlier:
 * what was not handed over is then taken by the others after the expiry.
 */
void tmk_fleet_stop(tmk_fleet *f, tmk_time now);

/*
 * What a partition that is open has cost since counting began: bytes handled, time of handlers.
 * Told every few seconds for each; then tmk_fleet_weigh(), which may tell the others.
 */
void tmk_fleet_measured(tmk_fleet *f, tmk_time now, const char *partition, uint64_t bytes,
                        tmk_time busy);
void tmk_fleet_weigh(tmk_fleet *f, tmk_time now);
/* All who are counted in ask for it: partitions move by their loads. */
bool tmk_fleet_weighs(const tmk_fleet *f);

/* This instance's load, 0..1000, for others to see. Published now and then, never more than once a
 * minute. */
void tmk_fleet_load(tmk_fleet *f, unsigned load);

/* --- what can be seen, for status, metrics and tests --- */

typedef enum tmk_fleet_state {
    TMK_FLEET_STARTING = 0, /* not yet a member */
    TMK_FLEET_PROBATION,    /* a member that gets no partitions yet */
    TMK_FLEET_MEMBER,
    TMK_FLEET_LEAVING,
    TMK_FLEET_GONE
} tmk_fleet_state;

typedef struct tmk_fleet_counts {
    uint64_t claims;    /* partitions taken that nobody held */
    uint64_t takeovers; /* of these, from an evicted owner */
    uint64_t accepted;  /* partitions received by handoff */
    uint64_t handed;    /* partitions given by handoff */
    uint64_t released;
    uint64_t lost;          /* to others, or to the hub */
    uint64_t evictions;     /* of others, by us */
    uint64_t evicted;       /* of our own lives */
    uint64_t refused;       /* claims */
    uint64_t written;       /* checkpoints */
    uint64_t write_refused; /* checkpoints */
    uint64_t fences;
    uint64_t throttled;                                /* answers EBUSY */
    uint64_t failed;                                   /* requests that failed otherwise */
    uint64_t requests[TMK_STORE_PARTITION_DELETE + 1]; /* by tmk_store_op_kind */
} tmk_fleet_counts;

typedef struct tmk_fleet_member_info {
    const char *id, *host;
    tmk_fleet_state state;
    bool self, alive, evicted;
    bool same_view;  /* has published the plan that we follow */
    bool same_round; /* and the round of moves by load that we are in */
    unsigned weight, load;
} tmk_fleet_member_info;

typedef enum tmk_fleet_holding {
    TMK_FLEET_NOT_OURS = 0,
    TMK_FLEET_CLAIMING,
    TMK_FLEET_HELD, /* ours; its link is open, opening, or about to be */
    TMK_FLEET_HANDING_OVER,
    TMK_FLEET_IN_DOUBT
} tmk_fleet_holding;

typedef struct tmk_fleet_partition_info {
    const char *id;
    tmk_fleet_holding holding;
    const char *owner;   /* by the newest record known, "" for none */
    const char *planned; /* by the plan that we follow, "" while there is none */
    int64_t generation;
    bool link_open;
    bool by_load;     /* it is planned to move, or has moved, for its load */
    int64_t sequence; /* in the store, -1 for none */
} tmk_fleet_partition_info;

const char *tmk_fleet_id(const tmk_fleet *f); /* of the present life */
tmk_fleet_state tmk_fleet_state_now(const tmk_fleet *f);
bool tmk_fleet_fenced(const tmk_fleet *f);
bool tmk_fleet_store_reachable(
    const tmk_fleet *f); /* a request was answered within two heartbeats */
const tmk_fleet_counts *tmk_fleet_counted(const tmk_fleet *f);
size_t tmk_fleet_member_count(const tmk_fleet *f);
void tmk_fleet_member_at(const tmk_fleet *f, size_t index, tmk_fleet_member_info *out);
size_t tmk_fleet_partition_count(const tmk_fleet *f);
void tmk_fleet_partition_at(const tmk_fleet *f, size_t index, tmk_fleet_partition_info *out);

#endif
