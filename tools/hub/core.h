/*
 * What a namespace is: hubs, their partitions and groups, who reads what, how
 * much may pass.
 *
 * Pure: no I/O, no clock, no thread. Times are handed in: `now` is monotonic,
 * `ms` is milliseconds since 1970. Whoever refuses does it by a tmk_hub_fail
 * with the condition and the words that the service uses.
 */
#ifndef TMK_HUB_CORE_H
#define TMK_HUB_CORE_H

#include "base/list.h"
#include "base/time.h"

#include "hub/event.h"
#include "hub/fail.h"
#include "hub/log.h"
#include "hub/names.h"

enum { TMK_HUB_PARTITIONS_MAX = 1024, TMK_HUB_READERS_MAX = 5, TMK_HUB_OFFSET_MAX = 48 };

/* ---- throttling ---- */

/*
 * A quota of events and bytes a second, with one second of burst. What is let
 * through may exceed what is left (a batch is one piece); the debt is paid
 * before anything else passes.
 */
typedef struct tmk_hub_quota {
    int64_t events_per_s, bytes_per_s; /* 0: no limit at all */
    int64_t events_nano, bytes_nano;   /* left, in billionths */
    tmk_time at;
} tmk_hub_quota;

void tmk_hub_quota_init(tmk_hub_quota *q, int64_t events_per_s, int64_t bytes_per_s, tmk_time now);
/* Is anything left? */
bool tmk_hub_quota_open(tmk_hub_quota *q, tmk_time now);
void tmk_hub_quota_take(tmk_hub_quota *q, int64_t events, int64_t bytes);
tmk_time tmk_hub_quota_opens(const tmk_hub_quota *q); /* when it is open again; call after _open */

/* ---- namespace ---- */

typedef struct tmk_hub_entity tmk_hub_entity;

typedef struct tmk_hub_part {
    tmk_hub_entity *entity;
    uint32_t index;
    char id[12];
    tmk_hub_log log;
    tmk_list readers; /* tmk_hub_reader.node, of all groups */
    tmk_list waiting; /* for the engine: links that have credit and nothing to send */
    tmk_list pending; /* for the engine: outcomes of events that are not visible yet */
    tmk_hub_quota ingress;
    void *kept; /* for the keeper */
    uint64_t received, delivered;
} tmk_hub_part;

struct tmk_hub_entity {
    tmk_list node;
    char *name;
    int64_t created_ms;
    tmk_hub_part *parts;
    uint32_t part_count;
    char **groups; /* lower case; $default first */
    size_t group_count;
    uint32_t turn;   /* of the next event without a key */
    bool geo;        /* offsets are opaque */
    bool geo_strict; /* and readers must say that they can handle that */
};

typedef struct tmk_hub_core {
    tmk_list entities; /* tmk_hub_entity.node */
    int64_t retention_ms;
    uint64_t retention_bytes;  /* of one partition */
    uint32_t throughput_units; /* 0: no throttling */
    uint32_t message_max;
    tmk_hub_quota ingress, egress;
} tmk_hub_core;

void tmk_hub_core_init(tmk_hub_core *c, uint32_t throughput_units, tmk_time now);
void tmk_hub_core_clear(tmk_hub_core *c);
/* EINVAL: the name is wrong or taken, or the count of partitions is. */
tmk_status tmk_hub_core_add(tmk_hub_core *c, const char *name, uint32_t partitions,
                            const char *const *groups, size_t group_count, bool geo, int64_t ms,
                            tmk_time now, tmk_error *err);
tmk_hub_entity *tmk_hub_core_find(const tmk_hub_core *c, tmk_slice name); /* NULL: there is none */
tmk_hub_part *tmk_hub_entity_part(const tmk_hub_entity *e, tmk_slice id); /* NULL: there is none */
bool tmk_hub_entity_has_group(const tmk_hub_entity *e, tmk_slice group);

/* ---- appending ---- */

/*
 * Where an event goes: by the id that the address names, by its key, or to the next partition in
 * turn.
 */
tmk_hub_part *tmk_hub_entity_route(tmk_hub_entity *e, tmk_hub_part *named,
                                   const tmk_hub_message *m);

/*
 * May `count` events of `bytes` go into the partition now? false: *fail says why; and
 * nothing was taken from the quotas.
 */
bool tmk_hub_core_admit(tmk_hub_core *c, tmk_hub_part *p, int64_t count, int64_t bytes,
                        tmk_time now, tmk_hub_fail *fail);

/* Stores one event, not yet visible, in its delivered form; `scratch` is overwritten. */
tmk_status tmk_hub_part_append(tmk_hub_part *p, const tmk_hub_message *m, tmk_slice key, bool keyed,
                               int64_t ms, tmk_str *scratch);

/* Applies retention; returns how many events went. */
int64_t tmk_hub_core_retain(tmk_hub_core *c, tmk_hub_part *p, int64_t ms);

/* Forgets all events; numbers start at 0 again. */
void tmk_hub_entity_recreate(tmk_hub_entity *e, int64_t ms);
/* Turns opaque offsets on or off; rewrites the events there are. ENOMEM: some are as they were. */
tmk_status tmk_hub_entity_set_geo(tmk_hub_entity *e, bool geo);
/* After recovery: rewrites events whose offset is told in the other form. */
tmk_status tmk_hub_entity_renew(tmk_hub_entity *e);

/* ---- reading ---- */

/* The text of an offset. */
typedef struct tmk_hub_offset {
    char text[TMK_HUB_OFFSET_MAX];
} tmk_hub_offset;
tmk_hub_offset tmk_hub_offset_text(const tmk_hub_entity *e, int64_t offset);
tmk_hub_offset tmk_hub_part_last_offset(const tmk_hub_part *p); /* "-1" when there was none */
int64_t tmk_hub_part_last_sequence(const tmk_hub_part *p);      /* -1 when there was none */

/* The first event a reader gets who starts there. false: refused, *fail says why. */
bool tmk_hub_part_position(const tmk_hub_part *p, const tmk_hub_from *start, int64_t *sequence,
                           tmk_hub_fail *fail);

/* One attached receiver. Lives in the engine's link. */
typedef struct tmk_hub_reader {
    tmk_list node;
    tmk_slice group; /* as long as it is attached */
    bool leveled;    /* has an owner level */
    int64_t level;
    char name[80]; /* as texts show it; "nil" without one */
    bool displaced;
    tmk_hub_fail why; /* of a displaced one */
} tmk_hub_reader;

/*
 * The rules of owner levels and of the five readers. true: it is in the list now, and those whom it
 * displaces are marked and out of the list; they are linked in *displaced. false: *fail.
 */
bool tmk_hub_part_admit_reader(tmk_hub_part *p, tmk_hub_reader *r, tmk_list *displaced,
                               tmk_hub_fail *fail);
void tmk_hub_part_remove_reader(tmk_hub_reader *r);

#endif
