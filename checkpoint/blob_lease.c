/*
 * Partitions in the way "lease": the official checkpoint blob under a lease
 * without end, whose id is the holder's token.
 *
 *   claim     create --> acquire                          (there was none)
 *             [break -->] acquire [--> look] --> write    (there was one)
 *   write     write with the lease's id and the ETag
 *   pass      change the lease's id
 *   release   look --> write --> release
 *
 * Every break, acquire and write names the ETag it was decided on, so that none
 * that is late, or decided on a stale picture, has an effect. No operation on a
 * lease changes the ETag.
 *
 * Whether a lease is ours is asked by a HEAD with its id: 412 when it is not.
 */
#include "checkpoint/blob_flow.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

enum { RECORDS_MAX = 20000, OFFICIAL_ALIVE_MS = 120000 };

static const tmk_blob_kind kind = TMK_BLOB_CHECKPOINT;

static const tmk_store_op *op_of(const tmk_blob_flow *f) {
    return &f->request->op;
}

/* False: the operation has ended, there was no memory. */
static bool read_partition(tmk_blob_flow *f, const tmk_blob_meta *meta, tmk_blob_partition *out) {
    *out = (tmk_blob_partition){0};
    if (tmk_blob_partition_read(out, meta) == TMK_OK) {
        return true;
    }
    tmk_blob_partition_clear(out);
    (void)tmk_fail_retry(&f->reply.error, TMK_ENOMEM, "blob", "no memory for a partition");
    tmk_blob_end_error(f);
    return false;
}

/* f->meta becomes what stands in the blob, under another owner: its checkpoint stays. */
static bool put_owner(tmk_blob_flow *f, const tmk_blob_meta *stored, const char *owner,
                      const char *successor) {
    tmk_blob_partition p;

    if (!read_partition(f, stored, &p)) {
        return false;
    }
    p.record.owner = owner;
    p.record.successor = successor;
    p.record.generation = op_of(f)->record->generation;
    tmk_blob_partition_write(&f->meta, &p.record, p.done_mark, NULL);
    tmk_blob_partition_clear(&p);
    return true;
}

/* ---- what was read ---- */

/*
 * A claim mostly follows a read, and names the ETag that it saw; so what stands in the blob is
 * known, and need not be looked at once more. Kept until the claim.
 */
typedef struct seen {
    char etag[TMK_BLOB_ETAG_ROOM];
    tmk_blob_meta meta;
} seen;

static void free_seen(void *value) {
    seen *s = value;

    if (s != NULL) {
        tmk_blob_meta_clear(&s->meta);
        tmk_free(s);
    }
}

void tmk_blob_lease_forget(tmk_blob_group *group) {
    tmk_map_clear(&group->seen, free_seen);
}

/* Without memory the claim looks for itself. */
static void remember(tmk_blob_flow *f, const tmk_blob_answer *a) {
    seen *s = strlen(a->etag) < TMK_BLOB_ETAG_ROOM ? tmk_new(seen) : NULL;
    void *old = NULL;

    if (s == NULL) {
        return;
    }
    memcpy(s->etag, a->etag, strlen(a->etag) + 1);
    tmk_str_add_slice(&s->meta.text, tmk_str_slice(&a->meta->text));
    if (s->meta.text.failed ||
        tmk_map_put(&f->group->seen, tmk_slice_str(op_of(f)->id), s, &old) < 0) {
        old = s;
    }
    free_seen(old);
}

/* What was read of the partition, where it had f->etag then; the caller's. */
static seen *recall(tmk_blob_flow *f) {
    seen *s = tmk_map_remove(&f->group->seen, tmk_slice_str(op_of(f)->id));

    if (s != NULL && strcmp(s->etag, f->etag) != 0) {
        free_seen(s);
        s = NULL;
    }
    return s;
}

/* ---- claim ---- */

static void on_acquired(tmk_blob_flow *f, const tmk_blob_answer *a);

static void acquire(tmk_blob_flow *f) {
    tmk_blob_acquire(f, kind, op_of(f)->token, -1, f->etag, on_acquired);
}

/*
 * The lease is not ours. One way is left in which the claim may go on: the blob was made by a try
 * of ours whose answer was lost; then it holds our token, and nobody holds it.
 */
static void on_claim_seen(tmk_blob_flow *f, const tmk_blob_answer *a) {
    tmk_blob_partition p;
    bool ours;

    if (!read_partition(f, a->meta, &p)) {
        return;
    }
    ours = tmk_blob_is_done(a) && !a->lease.held && op_of(f)->version[0] == '\0' &&
           strcmp(p.token, op_of(f)->token) == 0;
    tmk_blob_partition_clear(&p);
    if (ours) {
        f->made = true; /* made by us */
        tmk_blob_keep_etag(f, a);
        acquire(f);
    } else {
        tmk_blob_end_conflict(f, a->lease.held ? "another token holds the partition"
                                               : "the record has changed since it was read");
    }
}

/* The lease is ours: by an earlier try, or because it was passed to us. Then the record still names
 * the giver, and what it wrote last was not seen yet. */
static void on_claim_refused(tmk_blob_flow *f, const tmk_blob_answer *a) {
    const tmk_partition_record *r = op_of(f)->record;
    tmk_blob_partition p;
    bool ours;

    if (!tmk_blob_is_done(a)) {
        tmk_blob_head(f, kind, NULL, on_claim_seen);
        return;
    }
    if (!read_partition(f, a->meta, &p)) {
        return;
    }
    ours = p.record.generation == r->generation && strcmp(p.record.owner, r->owner) == 0;
    tmk_blob_partition_clear(&p);
    if (ours) {
        tmk_blob_end_version(f, a->etag);
    } else {
        tmk_blob_end_conflict(f, "the record has changed since it was read");
    }
}

/* Refused: perhaps because an earlier try of ours was carried out. */
static void look_at_claim(tmk_blob_flow *f) {
    tmk_blob_head(f, kind, op_of(f)->token, on_claim_refused);
}

static void on_claim_written(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_end_version(f, a->etag);
    } else {
        look_at_claim(f);
    }
}

/* We hold it; what it says now cannot change under us. */
static void write_claim(tmk_blob_flow *f, const tmk_blob_meta *stored) {
    const tmk_partition_record *r = op_of(f)->record;

    if (put_owner(f, stored, r->owner, r->successor)) {
        tmk_blob_set_meta(f, kind, f->etag, op_of(f)->token, on_claim_written);
    }
}

static void on_claim_held(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (!tmk_blob_is_done(a)) {
        tmk_blob_end_conflict(f, "the claim was broken at once");
    } else {
        write_claim(f, a->meta);
    }
}

static void on_acquired(tmk_blob_flow *f, const tmk_blob_answer *a) {
    seen *s;

    if (!tmk_blob_is_done(a)) {
        look_at_claim(f);
        return;
    }
    if (f->made) {
        tmk_blob_end_version(f, f->etag); /* the record was made with the blob */
        return;
    }
    s = recall(f);
    if (s != NULL) {
        write_claim(f, &s->meta);
    } else {
        tmk_blob_head(f, kind, op_of(f)->token, on_claim_held);
    }
    free_seen(s);
}

static void on_broken(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a) || a->code == 409) { /* 409: there was no lease to break */
        acquire(f);
    } else {
        look_at_claim(f);
    }
}

static void on_created(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (!tmk_blob_is_done(a)) {
        look_at_claim(f);
        return;
    }
    f->made = true;
    tmk_blob_keep_etag(f, a);
    acquire(f);
}

static void claim(tmk_blob_flow *f) {
    const tmk_store_op *op = op_of(f);
    tmk_slice map = op->record->checkpoint.done_map;
    char mark[TMK_BLOB_MARK_ROOM];

    (void)snprintf(f->etag, sizeof f->etag, "%s", op->version);
    if (op->version[0] == '\0') {
        tmk_blob_done_mark(map, mark);
        tmk_blob_partition_write(&f->meta, op->record, mark, op->token);
        tmk_blob_create(f, kind, map, on_created);
    } else if (op->take_over) {
        tmk_blob_break(f, kind, f->etag, on_broken);
    } else {
        acquire(f);
    }
}

/* ---- write ---- */

static void on_write_looked(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_written(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_end_version(f, a->etag);
    } else {
        tmk_blob_head(f, kind, op_of(f)->token, on_write_looked);
    }
}

/* Without a done-map the metadata alone is written: where deleted blobs are kept, an overwritten
 * body would leave one behind with each checkpoint. */
static void send_write(tmk_blob_flow *f) {
    tmk_slice map = op_of(f)->record->checkpoint.done_map;

    if (map.size > 0) {
        tmk_blob_put(f, kind, f->etag, op_of(f)->token, map, on_written);
    } else {
        tmk_blob_set_meta(f, kind, f->etag, op_of(f)->token, on_written);
    }
}

static void on_write_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (!tmk_blob_is_done(a)) {
        tmk_blob_end_conflict(f, a->code == 404 ? "there is no record"
                                                : "the token does not hold the partition");
    } else if (f->tried && tmk_blob_meta_equal(a->meta, &f->meta)) {
        tmk_blob_end_version(f, a->etag); /* an earlier try was carried out */
    } else if (op_of(f)->version[0] == '\0') {
        tmk_blob_keep_etag(f, a);
        send_write(f);
    } else {
        tmk_blob_end_conflict(f, "the record has changed since it was read");
    }
}

static void write_record(tmk_blob_flow *f) {
    const tmk_store_op *op = op_of(f);
    char mark[TMK_BLOB_MARK_ROOM];

    tmk_blob_done_mark(op->record->checkpoint.done_map, mark);
    tmk_blob_partition_write(&f->meta, op->record, mark, NULL);
    (void)snprintf(f->etag, sizeof f->etag, "%s", op->version);
    if (op->version[0] == '\0') {
        tmk_blob_head(f, kind, op->token, on_write_looked);
    } else {
        send_write(f);
    }
}

/* ---- pass ---- */

static void on_pass_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_end_version(f, a->etag); /* it was passed before */
    } else {
        tmk_blob_end_conflict(f, a->code == 404 ? "there is no record"
                                                : "the token does not hold the partition");
    }
}

static void on_passed(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_end_version(f, a->etag);
    } else {
        tmk_blob_head(f, kind, op_of(f)->token_next, on_pass_looked);
    }
}

/* ---- release ---- */

static void on_release_held(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_released(tmk_blob_flow *f, const tmk_blob_answer *a) {
    (void)a; /* refused: it is not ours any more, which is what was wanted */
    tmk_blob_end_version(f, f->etag);
}

static void on_release_written(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_keep_etag(f, a);
        tmk_blob_lease_action(f, kind, "release", op_of(f)->token, NULL, on_released);
    } else {
        tmk_blob_head(f, kind, op_of(f)->token, on_release_held);
    }
}

static void on_release_seen(tmk_blob_flow *f, const tmk_blob_answer *a) {
    tmk_blob_partition p;
    bool free;

    if (!read_partition(f, a->meta, &p)) {
        return;
    }
    free = tmk_blob_is_done(a) && !a->lease.held && p.record.owner[0] == '\0';
    tmk_blob_partition_clear(&p);
    if (free) {
        tmk_blob_end_version(f, a->etag); /* it was released before */
    } else {
        tmk_blob_end_conflict(f, "the token does not hold the partition");
    }
}

static void on_release_held(tmk_blob_flow *f, const tmk_blob_answer *a) {
    const char *version = op_of(f)->version;

    if (!tmk_blob_is_done(a)) {
        tmk_blob_head(f, kind, NULL, on_release_seen);
    } else if (version[0] != '\0' && !f->tried && strcmp(version, a->etag) != 0) {
        tmk_blob_end_conflict(f, "the record has changed since it was read");
    } else if (put_owner(f, a->meta, "", "")) {
        tmk_blob_keep_etag(f, a);
        tmk_blob_set_meta(f, kind, f->etag, op_of(f)->token, on_release_written);
    }
}

/* ---- delete ---- */

static void on_deleted(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_delete_broken(tmk_blob_flow *f, const tmk_blob_answer *a) {
    (void)a;
    tmk_blob_delete(f, kind, NULL, NULL, on_deleted);
}

static void on_deleted(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_end(f, TMK_OK);
    } else if (a->code == 404) {
        tmk_blob_end(f, f->exchange.attempt > 1 ? TMK_OK : TMK_ABSENT);
    } else {
        tmk_blob_break(f, kind, NULL, on_delete_broken);
    }
}

/* ---- read, list ---- */

static void on_read(tmk_blob_flow *f, const tmk_blob_answer *a) {
    tmk_blob_partition p;
    tmk_status st;

    if (a->code == 404) {
        tmk_blob_end(f, TMK_ABSENT);
        return;
    }
    if (!read_partition(f, a->meta, &p)) {
        return;
    }
    p.record.id = op_of(f)->id;
    p.record.held = a->lease.held;
    p.record.age_ms = tmk_blob_age_ms(a->last_modified, a->date);
    p.record.version = a->etag;
    p.record.checkpoint.done_map = tmk_blob_done_map(&p, a);
    st = tmk_reply_add_partition(&f->reply, &p.record);
    tmk_blob_partition_clear(&p);
    if (st < 0) {
        (void)tmk_fail_retry(&f->reply.error, st, "blob", "no memory for a partition");
        tmk_blob_end_error(f);
    } else {
        remember(f, a);
        tmk_blob_end(f, TMK_OK);
    }
}

static tmk_status take_partition(tmk_blob_flow *f, const tmk_blob_item *item, const char *id,
                                 tmk_wall date) {
    tmk_blob_partition p = {0};
    tmk_status st = tmk_blob_partition_read(&p, &item->meta);

    p.record.id = id;
    p.record.held = item->lease.held;
    p.record.age_ms = tmk_blob_age_ms(item->last_modified, date);
    p.record.version = item->etag;
    if (st == TMK_OK) {
        st = f->reply.partition_count < RECORDS_MAX
                 ? tmk_reply_add_partition(&f->reply, &p.record)
                 : tmk_fail(&f->reply.error, TMK_ELIMIT, "blob", "more than %d partition records",
                            RECORDS_MAX);
    }
    tmk_blob_partition_clear(&p);
    return st;
}

/* Somebody works in this group in the other way. */
static tmk_status take_official(tmk_blob_flow *f, const tmk_blob_item *item, const char *id,
                                tmk_wall date) {
    const char *owner = tmk_blob_meta_get(&item->meta, "ownerid");
    int64_t age_ms = tmk_blob_age_ms(item->last_modified, date);

    if (owner == NULL || owner[0] == '\0' || age_ms >= OFFICIAL_ALIVE_MS) {
        return TMK_OK;
    }
    return tmk_fail(&f->reply.error, TMK_ESTATE, "blob:mixed",
                    "partition %s is claimed by '%.40s' in the official SDKs' way: claim by shared "
                    "(tidemark --claims shared), or end their processors and wait two minutes",
                    id, owner);
}

static void end_list(tmk_blob_flow *f) {
    tmk_blob_end(f, TMK_OK);
}

static void end_official(tmk_blob_flow *f) {
    f->group->mixed_checked = true;
    tmk_blob_list(f, kind, take_partition, end_list);
}

static void list(tmk_blob_flow *f) {
    if (f->group->mixed_checked) {
        tmk_blob_list(f, kind, take_partition, end_list);
    } else {
        tmk_blob_list(f, TMK_BLOB_OWNERSHIP, take_official, end_official);
    }
}

bool tmk_blob_lease_start(tmk_blob_flow *f) {
    const tmk_store_op *op = op_of(f);

    switch ((int)op->kind) {
    case TMK_STORE_PARTITION_LIST:
        list(f);
        return true;
    case TMK_STORE_PARTITION_READ:
        tmk_blob_get(f, kind, on_read);
        return true;
    case TMK_STORE_PARTITION_CLAIM:
        claim(f);
        return true;
    case TMK_STORE_PARTITION_WRITE:
        write_record(f);
        return true;
    case TMK_STORE_PARTITION_PASS:
        tmk_blob_lease_action(f, kind, "change", op->token, op->token_next, on_passed);
        return true;
    case TMK_STORE_PARTITION_RELEASE:
        tmk_blob_head(f, kind, op->token, on_release_held);
        return true;
    case TMK_STORE_PARTITION_DELETE:
        tmk_blob_delete(f, kind, NULL, NULL, on_deleted);
        return true;
    default:
        return false;
    }
}
