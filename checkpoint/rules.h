/*
 * What a store grants and what it refuses, for stores that keep the records
 * themselves (memory, file). The Blob service enforces the same by leases and
 * conditions.
 *
 * Pure: no I/O, no clock, no thread. A rule looks at one record and one
 * operation, and changes the record or leaves it wholly as it was.
 *
 * Owns: an entry owns its texts; clear it when it goes.
 */
#ifndef TMK_CHECKPOINT_RULES_H
#define TMK_CHECKPOINT_RULES_H

#include "checkpoint/request.h"

/* A version is "<birth>.<count>": birth is unlike that of any other record that ever was. */
typedef struct tmk_entry_version {
    uint64_t birth, count;
} tmk_entry_version;

typedef struct tmk_member_entry {
    bool present;
    bool evicted;
    bool gone;   /* its process has ended for certain */
    char *token; /* who holds the lease, or who evicted */
    char *body;
    tmk_time lease_end;
    tmk_time written; /* the body */
} tmk_member_entry;

typedef struct tmk_call_entry {
    bool present;
    tmk_entry_version version;
} tmk_call_entry;

typedef struct tmk_partition_entry {
    bool present;
    char *token; /* the holder's; "" for none */
    tmk_entry_version version;
    tmk_time written;
    char *texts;                 /* the block behind record */
    tmk_partition_record record; /* without id, held, age and version */
} tmk_partition_entry;

/* What time it is in the store, and a number never used before as a birth. */
typedef struct tmk_stamp {
    tmk_time now;
    uint64_t birth;
} tmk_stamp;

void tmk_member_entry_clear(tmk_member_entry *e);
void tmk_partition_entry_clear(tmk_partition_entry *e);

/*
 * Each decides one operation of its family, other than the lists: OK, CONFLICT, ABSENT, UNCHANGED
 * or ENOMEM. *changed tells whether the record must be kept anew (or, no longer present, removed).
 */
tmk_status tmk_member_rule(tmk_member_entry *e, const tmk_store_op *op, tmk_stamp stamp,
                           bool *changed, tmk_error *err);
tmk_status tmk_call_rule(tmk_call_entry *e, const tmk_store_op *op, tmk_stamp stamp, bool *changed);
tmk_status tmk_partition_rule(tmk_partition_entry *e, const tmk_store_op *op, tmk_stamp stamp,
                              bool *changed, tmk_error *err);

/* The record as lists and reads show it; points into e, id and version. */
enum { TMK_ENTRY_VERSION_ROOM = 44 };
void tmk_entry_version_text(tmk_entry_version v, char out[TMK_ENTRY_VERSION_ROOM]);
tmk_member_record tmk_member_entry_view(const tmk_member_entry *e, const char *id, tmk_time now);
tmk_partition_record tmk_partition_entry_view(const tmk_partition_entry *e, const char *id,
                                              const char *version, tmk_time now, bool done_map);

/* Replaces the texts and numbers of an entry; unchanged on ENOMEM. */
tmk_status tmk_partition_entry_set(tmk_partition_entry *e, const char *token,
                                   const tmk_partition_record *record);
tmk_status tmk_member_entry_set(tmk_member_entry *e, const char *token, const char *body);

#endif
