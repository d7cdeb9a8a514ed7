/*
 * One operation on the blob store: a row of requests, each decided by the
 * answer to the one before.
 *
 * An operation is refused only after a look: a refusal may have been caused by
 * an earlier try of our own whose answer was lost.
 *
 * Threads: the store's loop.
 */
#ifndef TMK_CHECKPOINT_BLOB_FLOW_H
#define TMK_CHECKPOINT_BLOB_FLOW_H

#include "base/map.h"
#include "checkpoint/blob_client.h"
#include "checkpoint/blob_names.h"
#include "checkpoint/blob_record.h"
#include "checkpoint/reply.h"

/* What all operations of a store share. */
typedef struct tmk_blob_group {
    tmk_blob_client *client;
    char *prefix; /* "<host>/<hub>/<group>/" */
    tmk_claims claims;
    bool mixed_checked; /* no official processor was seen alive */
    tmk_map seen;       /* in the way "lease": by partition, what was read and is not yet claimed */
} tmk_blob_group;

enum { TMK_BLOB_ETAG_ROOM = 64 };

typedef struct tmk_blob_flow tmk_blob_flow;
typedef void (*tmk_blob_next)(tmk_blob_flow *f, const tmk_blob_answer *a);
typedef tmk_status (*tmk_blob_take)(tmk_blob_flow *f, const tmk_blob_item *item, const char *id,
                                    tmk_wall date);

struct tmk_blob_flow {
    tmk_blob_group *group;
    tmk_request *request;
    void (*done)(tmk_blob_flow *f); /* f->reply is the answer; exactly once */
    tmk_reply reply;

    tmk_blob_exchange exchange;
    tmk_blob_next next;
    unsigned steps;

    tmk_str name, query; /* of the request under way */
    tmk_blob_meta meta;  /* to be written */
    char duration[16];
    char etag[TMK_BLOB_ETAG_ROOM];       /* of the record, as far as known */
    char other_etag[TMK_BLOB_ETAG_ROOM]; /* in the way "shared": of the other blob */
    char tag[8];                         /* in the way "shared": of the checkpoint's token */
    bool tried;                          /* a write was sent */
    bool once;                           /* what may be tried once was */
    bool made;                           /* claim: the blob, with the record, is our own making */
    bool ahead;                          /* write: what is stored stands further on */
    bool found;                          /* delete: there was something */

    tmk_reply side; /* half of a list */
    tmk_str marker;
    tmk_blob_kind list_kind;
    tmk_blob_take list_take;
    void (*list_end)(tmk_blob_flow *f);
};

tmk_status tmk_blob_flow_init(tmk_blob_flow *f, tmk_blob_group *group, tmk_request *request);
void tmk_blob_flow_clear(tmk_blob_flow *f);
/* Begins. done may come from inside, when no request is needed; the flow is gone then. */
void tmk_blob_flow_start(tmk_blob_flow *f);

/* ---- for the operations ---- */

/* Ends. */
void tmk_blob_end(tmk_blob_flow *f, tmk_status status); /* OK, ABSENT, UNCHANGED */
void tmk_blob_end_version(tmk_blob_flow *f, const char *version);
TMK_PRINTF(2, 3) void tmk_blob_end_conflict(tmk_blob_flow *f, const char *format, ...);
void tmk_blob_end_error(tmk_blob_flow *f); /* f->reply.error says which */

/* Requests; next gets only answers whose status is OK, failures end the operation. */
void tmk_blob_head(tmk_blob_flow *f, tmk_blob_kind kind, const char *lease_id, tmk_blob_next next);
void tmk_blob_get(tmk_blob_flow *f, tmk_blob_kind kind, tmk_blob_next next);
/* HEAD, 304 when the ETag still is this. */
void tmk_blob_head_unless(tmk_blob_flow *f, tmk_blob_kind kind, const char *etag,
                          tmk_blob_next next);
/* Write f->meta. if_match: an ETag, or NULL for none. */
void tmk_blob_set_meta(tmk_blob_flow *f, tmk_blob_kind kind, const char *if_match,
                       const char *lease_id, tmk_blob_next next);
void tmk_blob_put(tmk_blob_flow *f, tmk_blob_kind kind, const char *if_match, const char *lease_id,
                  tmk_slice body, tmk_blob_next next);
void tmk_blob_create(tmk_blob_flow *f, tmk_blob_kind kind, tmk_slice body, tmk_blob_next next);
void tmk_blob_delete(tmk_blob_flow *f, tmk_blob_kind kind, const char *if_match,
                     const char *lease_id, tmk_blob_next next);
/* Leases. seconds: -1 without end. */
void tmk_blob_acquire(tmk_blob_flow *f, tmk_blob_kind kind, const char *id, int64_t seconds,
                      const char *if_match, tmk_blob_next next);
void tmk_blob_lease_action(tmk_blob_flow *f, tmk_blob_kind kind, const char *action, const char *id,
                           const char *proposed_id, tmk_blob_next next);
void tmk_blob_break(tmk_blob_flow *f, tmk_blob_kind kind, const char *if_match, tmk_blob_next next);
/* All pages; take is called for each record that has an id of this kind. end: the last page. */
void tmk_blob_list(tmk_blob_flow *f, tmk_blob_kind kind, tmk_blob_take take,
                   void (*end)(tmk_blob_flow *f));

bool tmk_blob_is_done(const tmk_blob_answer *a);                     /* 2xx */
bool tmk_blob_is_refused(const tmk_blob_answer *a);                  /* 409 or 412 */
void tmk_blob_keep_etag(tmk_blob_flow *f, const tmk_blob_answer *a); /* into f->etag */
/* The done-map in a body, when it is the one that the metadata means. */
tmk_slice tmk_blob_done_map(const tmk_blob_partition *p, const tmk_blob_answer *a);

/* The operations, by way: each returns false for one that is not its own. */
bool tmk_blob_member_start(tmk_blob_flow *f);
bool tmk_blob_lease_start(tmk_blob_flow *f);
bool tmk_blob_shared_start(tmk_blob_flow *f);
/* Forgets what was read. */
void tmk_blob_lease_forget(tmk_blob_group *group);

#endif
