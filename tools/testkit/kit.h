/*
 * The inside of the test kit (tidemark/testkit.h): a kernel with virtual time,
 * the simulated hub and store, and instances, each a real client on a loop
 * whose clock is the kernel's.
 *
 * kit.c           life, time, what is read back
 * kit_events.c    the events of the partitions
 * kit_instance.c  processes, and the handlers in them
 * kit_fault.c     what goes wrong
 */
#ifndef TMK_TESTKIT_KIT_H
#define TMK_TESTKIT_KIT_H

#include <tidemark/testkit.h>

#include "eventhubs/client_parts.h"
#include "sim_source.h"
#include "sim_store.h"

enum { KIT_INSTANCES_MAX = 64, KIT_PARTITIONS_MAX = 256, KIT_STORE_FAULTS = 5 };

enum { KIT_HANDED = 1, KIT_HANDLED = 2 };

typedef struct kit_event {
    uint8_t *bytes; /* as a reader gets it; NULL: retention has it */
    uint32_t size;
    uint8_t flags;
    tmk_time at;
} kit_event;

typedef struct kit_partition {
    kit_event *events;
    int64_t count, room;
    int64_t begin;                  /* the oldest that is left */
    int64_t from;                   /* where reading began; INT64_MAX: it has not */
    int64_t covered;                /* by a checkpoint */
    tmk_time stuck_at, stuck_until; /* nothing newer comes out */
    uint64_t handled, repeated, lost;
} kit_partition;

typedef struct kit_worker {
    tmk_kit_instance *instance;
    uint32_t index;
    bool busy;
    bool waits; /* its callback has ended while the process was frozen */
    tmk_handing handing;
    sim_event end;
} kit_worker;

struct tmk_kit_instance {
    tmk_kit *kit;
    size_t number;
    char name[101];
    bool dead, turned;
    unsigned inside; /* callbacks of it are running */
    tmk_time offset; /* of its monotonic clock */
    tmk_rng rng;
    tmk_client *client;
    sim_process process;
    sim_store_client *store;
    sim_hub_client *hub;
    sim_source *source; /* NULL: there is no processor */
    tmk_hands hands;
    kit_worker *workers;
    sim_event turn, wake, doom;
    tmk_time wake_at;
    sim_event store_back, hub_back; /* it is reached again */
};

/* One who asked to be called. */
typedef struct kit_call {
    tmk_list node; /* in kit->calls */
    tmk_kit *kit;
    sim_event event;
    void (*call)(void *user);
    void *user;
} kit_call;

typedef struct kit_store_fault {
    sim_event end;
    tmk_kit *kit;
    size_t number;
} kit_store_fault;

struct tmk_kit {
    sim_kernel kernel;
    tmk_kit_options o;
    tmk_time begin; /* the kernel's time when it was made */
    sim_store *store;
    sim_hub *hub;
    char *group; /* of all processors; NULL: none yet */
    kit_partition *partitions;
    tmk_kit_instance *instances[KIT_INSTANCES_MAX];
    size_t instance_count;
    unsigned inside;  /* callbacks are running */
    bool ending;      /* it is being freed */
    tmk_time *taking; /* how long the callback that runs takes; NULL: none runs */
    tmk_list calls;

    uint64_t serial; /* of append_many and flow */
    uint32_t next;   /* partition of an event without a key */
    sim_event flow;
    uint32_t flow_rate, flow_keys;

    kit_store_fault store_faults[KIT_STORE_FAULTS];
    tmk_time hub_down_until;

    uint64_t appended, handed, expired, checkpoints;
    char replay[128];
};

/* A callback of the user's begins, and has ended. NULL: of no instance. */
void kit_enter(tmk_kit *k, tmk_kit_instance *i);
void kit_leave(tmk_kit *k, tmk_kit_instance *i);
/* Lets time pass until done, which may be NULL. ABSENT: it was never so. */
tmk_status kit_pass(tmk_kit *k, tmk_time until, bool (*done)(void *user), void *user,
                    tmk_error *err);
tmk_status kit_find(const tmk_kit *k, const char *partition, size_t *out, tmk_error *err);
tmk_time kit_after_ms(const tmk_kit *k, int64_t ms); /* now and so much; TMK_NEVER at most */

/* Events. */
extern const sim_events kit_events; /* self: the instance */
int64_t kit_last(void *kit, size_t partition, tmk_time when);
int64_t kit_begin(tmk_kit *k, size_t partition);                /* with retention */
void kit_cover(tmk_kit *k, size_t partition, int64_t sequence); /* a checkpoint was written */
void kit_on_flow(sim_event *e);
void kit_note_handed(tmk_kit_instance *i, const tmk_handing *h);
void kit_note_answered(tmk_kit_instance *i, const tmk_handing *h);

/* Instances. */
void kit_plan(tmk_kit_instance *i); /* its next turn, by what its loop has to do */
void kit_wake(tmk_kit_instance *i);
tmk_kit_instance *kit_instance_free(tmk_kit_instance *i);

/* Faults. */
void kit_fault_init(tmk_kit *k);

#endif
