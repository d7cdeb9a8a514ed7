/*
 * Records as metadata of blobs, and back.
 *
 * The official keys are those of the other SDKs, and are written so that each
 * of them can read them: "ownerid", "sequencenumber", "offset",
 * "clientidentifier". Our own begin with "tidemark"; every other SDK drops them
 * when it writes, and nothing breaks without them.
 *
 * Pure. Reading is tolerant: a value that makes no sense counts as missing.
 */
#ifndef TMK_CHECKPOINT_BLOB_RECORD_H
#define TMK_CHECKPOINT_BLOB_RECORD_H

#include <tidemark/store.h>

#include "base/time.h"
#include "checkpoint/blob_meta.h"

/* What a checkpoint blob says; the record's texts are in the strings beside it, or in the meta. */
typedef struct tmk_blob_partition {
    tmk_partition_record record; /* without id, held, age, version and done-map */
    tmk_str owner, successor;
    const char *done_mark; /* of the done-map in the body; "" for none */
    const char *token;     /* in the way "shared": of the last to claim; "" for none */
} tmk_blob_partition;

/* Points into m, which must live as long. ENOMEM. */
tmk_status tmk_blob_partition_read(tmk_blob_partition *p, const tmk_blob_meta *m);
void tmk_blob_partition_clear(tmk_blob_partition *p);

/* The metadata of a checkpoint blob; token may be NULL. */
void tmk_blob_partition_write(tmk_blob_meta *m, const tmk_partition_record *record,
                              const char *done_mark, const char *token);

/* What ties a done-map to the metadata beside it: its size and a hash. "" for an empty one. */
enum { TMK_BLOB_MARK_ROOM = 40 };
void tmk_blob_done_mark(tmk_slice done_map, char out[TMK_BLOB_MARK_ROOM]);

/* An ownership blob, in the way "shared". */
typedef struct tmk_blob_ownership {
    tmk_str owner; /* as the official SDKs write it; "" for none */
    tmk_str successor;
    const char *token;
    int64_t generation;
} tmk_blob_ownership;
tmk_status tmk_blob_ownership_read(tmk_blob_ownership *o, const tmk_blob_meta *m);
void tmk_blob_ownership_clear(tmk_blob_ownership *o);
void tmk_blob_ownership_write(tmk_blob_meta *m, const tmk_partition_record *record,
                              const char *token);

/* A member. */
typedef struct tmk_blob_member {
    tmk_str body;
    const char *token;
    bool evicted;
} tmk_blob_member;
tmk_status tmk_blob_member_read(tmk_blob_member *b, const tmk_blob_meta *m);
void tmk_blob_member_clear(tmk_blob_member *b);
/* ELIMIT: with its escapes the body is larger than metadata may be. */
tmk_status tmk_blob_member_write(tmk_blob_meta *m, const char *token, const char *body,
                                 bool evicted, tmk_error *err);

/* Milliseconds between the two, by the service's clock; 0 where one is missing. */
int64_t tmk_blob_age_ms(tmk_wall last_modified, tmk_wall date);

#endif
