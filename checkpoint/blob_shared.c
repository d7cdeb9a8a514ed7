/*
 * Partitions in the way "shared": the official SDKs' two blobs, ownership and
 * checkpoint, under ETag conditions and without leases, because a lease on
 * either would end some of their processors.
 *
 *   claim     [look -->] write ownership --> look at checkpoint --> touch it
 *   write     write checkpoint with its ETag
 *   renew     write ownership with its ETag
 *   release   look --> untouch checkpoint --> write ownership, no owner
 *
 * The fence: whoever claims touches the checkpoint, which changes its ETag and
 * puts its own token there. A former owner's next checkpoint names the old ETag,
 * is refused, looks, and finds another's token. Official processors write
 * without conditions and drop our keys; then the ownership blob decides.
 *
 * A version is both ETags, "<ownership>,<checkpoint>,<tag>", each empty where
 * there is no such blob. The tag is that of the token beside the checkpoint: a
 * write with a version that another has made looks before it is sent.
 */
#include "checkpoint/blob_flow.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "checkpoint/blob_mutants.h"

enum { RECORDS_MAX = 20000 };

static const tmk_store_op *op_of(const tmk_blob_flow *f) {
    return &f->request->op;
}

static void copy_part(char *to, size_t room, tmk_slice part) {
    (void)snprintf(to, room, "%.*s", (int)part.size, (const char *)part.bytes);
}

/* f->etag is the ownership's ETag, f->other_etag the checkpoint's. */
static void split_version(tmk_blob_flow *f) {
    tmk_slice rest = tmk_slice_str(op_of(f)->version);
    bool found;

    copy_part(f->etag, sizeof f->etag, tmk_slice_cut(&rest, ',', &found));
    copy_part(f->other_etag, sizeof f->other_etag, tmk_slice_cut(&rest, ',', &found));
    copy_part(f->tag, sizeof f->tag, rest);
}

static void make_tag(char out[8], const char *token) {
    uint32_t hash = 2166136261U;

    out[0] = '\0';
    for (const char *c = token; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * 16777619U;
    }
    if (token[0] != '\0') {
        (void)snprintf(out, 8, "%04x", (hash >> 16 ^ hash) & 0xffff);
    }
}

enum { VERSION_ROOM = TMK_STORE_VERSION_MAX + 1 };

static void join_version(char out[VERSION_ROOM], const char *etag, const char *other_etag,
                         const char *tag) {
    (void)snprintf(out, VERSION_ROOM, "%.60s,%.60s,%.4s", etag, other_etag, tag);
}

static void end_versions(tmk_blob_flow *f) {
    char version[VERSION_ROOM];

    join_version(version, f->etag, f->other_etag, f->tag);
    tmk_blob_end_version(f, version);
}

/* The checkpoint as it is now: its ETag, and whose token stands there; "" and "" where it is not.
 */
static void keep_checkpoint(tmk_blob_flow *f, const tmk_blob_answer *a, const char *token) {
    (void)snprintf(f->other_etag, sizeof f->other_etag, "%s", a->code == 404 ? "" : a->etag);
    make_tag(f->tag, a->code == 404 ? "" : token);
}

static void end_no_memory(tmk_blob_flow *f) {
    (void)tmk_fail_retry(&f->reply.error, TMK_ENOMEM, "blob", "no memory for a partition");
    tmk_blob_end_error(f);
}

/* What an answer says of an ownership; false: the operation has ended. */
typedef struct ownership {
    bool present, ours, free;
    bool official; /* owned, and an official processor wrote it last: no token */
    bool same;     /* it names whom the operation would name */
} ownership;

static bool is_text(const tmk_str *s, const char *text) {
    return strcmp(tmk_str_text(s), text == NULL ? "" : text) == 0;
}

static bool read_ownership(tmk_blob_flow *f, const tmk_blob_answer *a, ownership *out) {
    const tmk_store_op *op = op_of(f);
    tmk_blob_ownership o = {0};

    *out = (ownership){.present = tmk_blob_is_done(a)};
    if (tmk_blob_ownership_read(&o, a->meta) < 0) {
        tmk_blob_ownership_clear(&o);
        end_no_memory(f);
        return false;
    }
    out->free = out->present && tmk_str_text(&o.owner)[0] == '\0';
    out->official = out->present && !out->free && o.token[0] == '\0';
    out->ours = out->present && strcmp(o.token, op->token) == 0 && op->token[0] != '\0';
    if (out->official && op->record != NULL && op->record->owner != NULL) {
        out->ours = strcmp(tmk_str_text(&o.owner), op->record->owner) == 0;
    }
    if (out->present && op->record != NULL) {
        out->same =
            is_text(&o.owner, op->record->owner) && is_text(&o.successor, op->record->successor);
    }
    tmk_blob_ownership_clear(&o);
    return true;
}

/* ---- the touch ---- */

static void touch(tmk_blob_flow *f);

static void on_touched(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        keep_checkpoint(f, a, op_of(f)->token);
        end_versions(f);
    } else { /* the owner before has written meanwhile: once more, on what stands there now */
        touch(f);
    }
}

/* Puts the claimant's token beside the checkpoint, which stays. */
static void on_touch_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    const tmk_partition_record *r = op_of(f)->record;
    tmk_blob_partition p = {0};
    bool ours;

    if (a->code == 404) {
        keep_checkpoint(f, a, "");
        end_versions(f);
        return;
    }
    if (tmk_blob_partition_read(&p, a->meta) < 0) {
        tmk_blob_partition_clear(&p);
        end_no_memory(f);
        return;
    }
    keep_checkpoint(f, a, p.token);
    ours = strcmp(p.token, op_of(f)->token) == 0;
    p.record.owner = r->owner;
    p.record.successor = r->successor;
    p.record.generation = r->generation;
    tmk_blob_partition_write(&f->meta, &p.record, p.done_mark, op_of(f)->token);
    tmk_blob_partition_clear(&p);
    if (ours || TMK_BLOB_MUTANT(TOUCH_FORGOTTEN)) {
        end_versions(f); /* touched before: a repeated claim changes nothing */
    } else {
        tmk_blob_set_meta(f, TMK_BLOB_CHECKPOINT, f->other_etag, NULL, on_touched);
    }
}

static void touch(tmk_blob_flow *f) {
    tmk_blob_head(f, TMK_BLOB_CHECKPOINT, NULL, on_touch_looked);
}

/* ---- claim ---- */

static void on_claim_seen(tmk_blob_flow *f, const tmk_blob_answer *a) {
    ownership o;

    if (!read_ownership(f, a, &o)) {
        return;
    }
    if (o.ours) {
        tmk_blob_keep_etag(f, a);
        touch(f);
    } else {
        tmk_blob_end_conflict(f, "the record has changed since it was read");
    }
}

static void on_claimed(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_keep_etag(f, a);
        touch(f);
    } else { /* perhaps an earlier try of ours was carried out */
        tmk_blob_head(f, TMK_BLOB_OWNERSHIP, NULL, on_claim_seen);
    }
}

static void write_ownership(tmk_blob_flow *f, tmk_blob_next next) {
    tmk_blob_ownership_write(&f->meta, op_of(f)->record, op_of(f)->token);
    if (f->etag[0] == '\0') {
        tmk_blob_create(f, TMK_BLOB_OWNERSHIP, (tmk_slice){NULL, 0}, next);
    } else {
        tmk_blob_set_meta(f, TMK_BLOB_OWNERSHIP, f->etag, NULL, next);
    }
}

/* Without leave to take over: is it free? That it then still is, the ETag tells. */
static void on_claim_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    ownership o;

    if (!read_ownership(f, a, &o)) {
        return;
    }
    if (o.present && !o.free && !o.ours) {
        tmk_blob_end_conflict(f, "another holds the partition");
    } else {
        write_ownership(f, on_claimed);
    }
}

static void claim(tmk_blob_flow *f) {
    split_version(f);
    if (f->etag[0] == '\0' || op_of(f)->take_over) {
        write_ownership(f, on_claimed);
    } else {
        tmk_blob_head(f, TMK_BLOB_OWNERSHIP, NULL, on_claim_looked);
    }
}

/* ---- write ---- */

static void on_write_looked(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_written(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        keep_checkpoint(f, a, op_of(f)->token);
        end_versions(f);
    } else {
        tmk_blob_head(f, TMK_BLOB_CHECKPOINT, NULL, on_write_looked);
    }
}

static void send_write(tmk_blob_flow *f) {
    tmk_slice map = op_of(f)->record->checkpoint.done_map;

    if (f->other_etag[0] == '\0') {
        tmk_blob_create(f, TMK_BLOB_CHECKPOINT, map, on_written);
    } else if (map.size > 0) {
        tmk_blob_put(f, TMK_BLOB_CHECKPOINT, f->other_etag, NULL, map, on_written);
    } else {
        tmk_blob_set_meta(f, TMK_BLOB_CHECKPOINT,
                          TMK_BLOB_MUTANT(WRITE_UNCONDITIONAL) ? NULL : f->other_etag, NULL,
                          on_written);
    }
}

/* The checkpoint does not say whose it is: there is none, or an official processor wrote it. */
static void on_write_owner(tmk_blob_flow *f, const tmk_blob_answer *a) {
    ownership o;

    if (!read_ownership(f, a, &o)) {
        return;
    }
    if (!o.ours) {
        tmk_blob_end_conflict(f, "the token does not hold the partition");
    } else if (f->ahead) {
        end_versions(f); /* it stands further on than what we would write: it must not go back */
    } else {
        send_write(f);
    }
}

static void on_write_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    const tmk_checkpoint *c = &op_of(f)->record->checkpoint;
    tmk_blob_partition p = {0};
    bool ours, others;

    if (tmk_blob_partition_read(&p, a->meta) < 0) {
        tmk_blob_partition_clear(&p);
        end_no_memory(f);
        return;
    }
    ours = tmk_blob_is_done(a) && strcmp(p.token, op_of(f)->token) == 0;
    others = tmk_blob_is_done(a) && !ours && p.token[0] != '\0';
    f->ahead = tmk_blob_is_done(a) && p.record.checkpoint.sequence_known && c->sequence_known &&
               p.record.checkpoint.sequence > c->sequence;
    keep_checkpoint(f, a, p.token);
    tmk_blob_partition_clear(&p);
    if (ours && f->tried && tmk_blob_meta_equal(a->meta, &f->meta)) {
        end_versions(f); /* an earlier try was carried out */
    } else if (ours) {
        send_write(f);
    } else if (others) {
        tmk_blob_end_conflict(f, "the token does not hold the partition");
    } else if (a->lease.held) {
        (void)tmk_fail(&f->reply.error, TMK_ESTATE, "blob:mixed",
                       "the checkpoint of partition %s is under a lease: this group is run in the "
                       "way 'lease'; choose one",
                       op_of(f)->id);
        tmk_blob_end_error(f);
    } else {
        tmk_blob_head(f, TMK_BLOB_OWNERSHIP, NULL, on_write_owner);
    }
}

static void write_record(tmk_blob_flow *f) {
    const tmk_store_op *op = op_of(f);
    char mark[TMK_BLOB_MARK_ROOM];
    char tag[8];

    split_version(f);
    tmk_blob_done_mark(op->record->checkpoint.done_map, mark);
    tmk_blob_partition_write(&f->meta, op->record, mark, op->token);
    make_tag(tag, op->token);
    if (f->other_etag[0] == '\0' || strcmp(f->tag, tag) != 0) {
        tmk_blob_head(f, TMK_BLOB_CHECKPOINT, NULL, on_write_looked);
    } else {
        send_write(f);
    }
}

/* ---- renew ---- */

static void on_renew_looked(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_renewed(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_keep_etag(f, a);
        end_versions(f);
    } else {
        tmk_blob_head(f, TMK_BLOB_OWNERSHIP, NULL, on_renew_looked);
    }
}

static void on_renew_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    ownership o;

    if (!read_ownership(f, a, &o)) {
        return;
    }
    if (TMK_BLOB_MUTANT(RENEWAL_TAKES_BACK)) {
        o = (ownership){.ours = true, .same = true};
    }
    if (!o.ours) {
        tmk_blob_end_conflict(f, "another holds the partition");
    } else if (op_of(f)->version[0] != '\0' && !o.same) {
        tmk_blob_end_conflict(f, "the record has changed since it was read"); /* asked for */
    } else {
        tmk_blob_keep_etag(f, a);
        write_ownership(f, on_renewed);
    }
}

static void renew(tmk_blob_flow *f) {
    split_version(f);
    if (f->etag[0] == '\0') {
        tmk_blob_head(f, TMK_BLOB_OWNERSHIP, NULL, on_renew_looked);
    } else {
        write_ownership(f, on_renewed);
    }
}

/* ---- release ---- */

static void on_release_looked(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_released(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_keep_etag(f, a);
        end_versions(f);
    } else {
        tmk_blob_head(f, TMK_BLOB_OWNERSHIP, NULL, on_release_looked);
    }
}

static void release_ownership(tmk_blob_flow *f) {
    tmk_partition_record r = *op_of(f)->record;

    r.owner = "";
    r.successor = "";
    tmk_blob_ownership_write(&f->meta, &r, "");
    tmk_blob_set_meta(f, TMK_BLOB_OWNERSHIP, f->etag, NULL, on_released);
}

static void on_untouch_looked(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_untouched(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        keep_checkpoint(f, a, "");
        release_ownership(f);
    } else {
        tmk_blob_head(f, TMK_BLOB_CHECKPOINT, NULL, on_untouch_looked);
    }
}

/* Takes our token away, so that a checkpoint of ours that comes late is refused too. */
static void on_untouch_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    tmk_blob_partition p = {0};
    bool ours;

    if (tmk_blob_partition_read(&p, a->meta) < 0) {
        tmk_blob_partition_clear(&p);
        end_no_memory(f);
        return;
    }
    keep_checkpoint(f, a, p.token);
    ours = tmk_blob_is_done(a) && strcmp(p.token, op_of(f)->token) == 0;
    p.record.owner = "";
    p.record.successor = "";
    tmk_blob_partition_write(&f->meta, &p.record, p.done_mark, NULL);
    tmk_blob_partition_clear(&p);
    if (ours) {
        tmk_blob_set_meta(f, TMK_BLOB_CHECKPOINT, f->other_etag, NULL, on_untouched);
    } else {
        release_ownership(f);
    }
}

static void on_release_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    ownership o;

    if (!read_ownership(f, a, &o)) {
        return;
    }
    tmk_blob_keep_etag(f, a);
    if (o.ours) {
        tmk_blob_head(f, TMK_BLOB_CHECKPOINT, NULL, on_untouch_looked);
    } else if (o.free) {
        end_versions(f); /* it was released before */
    } else {
        tmk_blob_end_conflict(f, "the token does not hold the partition");
    }
}

/* ---- delete ---- */

static void on_checkpoint_deleted(tmk_blob_flow *f, const tmk_blob_answer *a);

static void delete_checkpoint(tmk_blob_flow *f, const tmk_blob_answer *a) {
    (void)a;
    tmk_blob_delete(f, TMK_BLOB_CHECKPOINT, NULL, NULL, on_checkpoint_deleted);
}

static void on_checkpoint_deleted(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_refused(a)) { /* a lease of the other way */
        tmk_blob_break(f, TMK_BLOB_CHECKPOINT, NULL, delete_checkpoint);
    } else {
        tmk_blob_end(f, f->found || tmk_blob_is_done(a) ? TMK_OK : TMK_ABSENT);
    }
}

static void on_ownership_deleted(tmk_blob_flow *f, const tmk_blob_answer *a) {
    f->found = tmk_blob_is_done(a);
    delete_checkpoint(f, a);
}

/* ---- read, list: two blobs make one record ---- */

/* A side record's version is that of its checkpoint with the tag, "<checkpoint>,<tag>". */
static tmk_status add_record(tmk_blob_flow *f, tmk_partition_record r, const char *etag,
                             const char *checkpoint_version) {
    char version[VERSION_ROOM];

    if (f->reply.partition_count >= RECORDS_MAX) {
        return tmk_fail(&f->reply.error, TMK_ELIMIT, "blob", "more than %d partition records",
                        RECORDS_MAX);
    }
    (void)snprintf(version, sizeof version, "%.60s,%.66s", etag, checkpoint_version);
    r.version = version;
    return tmk_reply_add_partition(&f->reply, &r);
}

/* Puts what the ownership says over a record made of the checkpoint (or of nothing). Generations
 * only grow, and official processors drop them: the newest that either has. */
static tmk_status add_owned(tmk_blob_flow *f, tmk_partition_record r, const tmk_blob_meta *meta,
                            const char *etag, const char *checkpoint_version) {
    tmk_blob_ownership o = {0};
    tmk_status st = tmk_blob_ownership_read(&o, meta);

    if (st == TMK_OK) {
        r.owner = tmk_str_text(&o.owner);
        r.successor = tmk_str_text(&o.successor);
        r.generation = o.generation > r.generation ? o.generation : r.generation;
        r.held = r.owner[0] != '\0';
        st = add_record(f, r, etag, checkpoint_version);
    }
    tmk_blob_ownership_clear(&o);
    return st;
}

static const tmk_partition_record *side_record(const tmk_blob_flow *f, const char *id) {
    for (size_t i = 0; i < f->side.partition_count; i++) {
        if (strcmp(f->side.partitions[i].id, id) == 0) {
            return &f->side.partitions[i];
        }
    }
    return NULL;
}

static tmk_status add_side(tmk_blob_flow *f, const tmk_blob_partition *p, const char *id,
                           const char *etag, int64_t age_ms) {
    tmk_partition_record r = p->record;
    char version[VERSION_ROOM], tag[8];

    if (f->side.partition_count >= RECORDS_MAX) {
        return tmk_fail(&f->reply.error, TMK_ELIMIT, "blob", "more than %d checkpoints",
                        RECORDS_MAX);
    }
    make_tag(tag, p->token);
    (void)snprintf(version, sizeof version, "%.60s,%s", etag, tag);
    r.id = id;
    r.owner = "";
    r.successor = "";
    r.version = version;
    r.age_ms = age_ms;
    return tmk_reply_add_partition(&f->side, &r);
}

static tmk_status take_checkpoint(tmk_blob_flow *f, const tmk_blob_item *item, const char *id,
                                  tmk_wall date) {
    tmk_blob_partition p = {0};
    tmk_status st = TMK_OK;

    if (item->lease.endless) {
        return tmk_fail(&f->reply.error, TMK_ESTATE, "blob:mixed",
                        "partition %s is held by a lease: this group is run in the way 'lease'; "
                        "claim that way, or stop that fleet (tidemark checkpoint unlock frees what "
                        "a dead one has left)",
                        id);
    }
    st = tmk_blob_partition_read(&p, &item->meta);
    if (st == TMK_OK) {
        st = add_side(f, &p, id, item->etag, tmk_blob_age_ms(item->last_modified, date));
    }
    tmk_blob_partition_clear(&p);
    return st;
}

static tmk_status take_ownership(tmk_blob_flow *f, const tmk_blob_item *item, const char *id,
                                 tmk_wall date) {
    const tmk_partition_record *side = side_record(f, id);
    tmk_partition_record r = {.id = id, .checkpoint = {.offset = ""}};

    if (side != NULL) {
        r = *side;
    }
    r.age_ms = tmk_blob_age_ms(item->last_modified, date);
    return add_owned(f, r, &item->meta, item->etag, side == NULL ? "," : side->version);
}

static bool is_listed(const tmk_blob_flow *f, const char *id, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(f->reply.partitions[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

/* Checkpoints without an ownership: nobody has claimed them yet. */
static void end_ownerships(tmk_blob_flow *f) {
    size_t owned = f->reply.partition_count;
    tmk_status st = TMK_OK;

    for (size_t i = 0; st == TMK_OK && i < f->side.partition_count; i++) {
        tmk_partition_record r = f->side.partitions[i];
        if (!is_listed(f, r.id, owned)) {
            st = add_record(f, r, "", r.version);
        }
    }
    if (st == TMK_OK) {
        tmk_blob_end(f, TMK_OK);
    } else if (st == TMK_ENOMEM) {
        end_no_memory(f);
    } else {
        tmk_blob_end_error(f);
    }
}

static void end_checkpoints(tmk_blob_flow *f) {
    tmk_blob_list(f, TMK_BLOB_OWNERSHIP, take_ownership, end_ownerships);
}

static void on_read_owner(tmk_blob_flow *f, const tmk_blob_answer *a) {
    tmk_partition_record r = {.id = op_of(f)->id, .checkpoint = {.offset = ""}};
    const char *checkpoint_version = ",";
    tmk_status st;

    if (f->side.partition_count > 0) {
        r = f->side.partitions[0];
        checkpoint_version = r.version;
    }
    if (tmk_blob_is_done(a)) {
        r.age_ms = tmk_blob_age_ms(a->last_modified, a->date);
        st = add_owned(f, r, a->meta, a->etag, checkpoint_version);
    } else {
        st = f->side.partition_count > 0 ? add_record(f, r, "", checkpoint_version) : TMK_ABSENT;
    }
    if (st < 0) {
        end_no_memory(f);
    } else {
        tmk_blob_end(f, st);
    }
}

static void on_read_checkpoint(tmk_blob_flow *f, const tmk_blob_answer *a) {
    tmk_blob_partition p = {0};
    tmk_status st = TMK_OK;

    if (tmk_blob_is_done(a)) {
        st = tmk_blob_partition_read(&p, a->meta);
        p.record.checkpoint.done_map = tmk_blob_done_map(&p, a);
        if (st == TMK_OK) {
            st = add_side(f, &p, op_of(f)->id, a->etag, tmk_blob_age_ms(a->last_modified, a->date));
        }
        tmk_blob_partition_clear(&p);
    }
    if (st < 0) {
        end_no_memory(f);
    } else {
        tmk_blob_head(f, TMK_BLOB_OWNERSHIP, NULL, on_read_owner);
    }
}

bool tmk_blob_shared_start(tmk_blob_flow *f) {
    switch ((int)op_of(f)->kind) {
    case TMK_STORE_PARTITION_LIST:
        tmk_blob_list(f, TMK_BLOB_CHECKPOINT, take_checkpoint, end_checkpoints);
        return true;
    case TMK_STORE_PARTITION_READ:
        tmk_blob_get(f, TMK_BLOB_CHECKPOINT, on_read_checkpoint);
        return true;
    case TMK_STORE_PARTITION_CLAIM:
        claim(f);
        return true;
    case TMK_STORE_PARTITION_WRITE:
        write_record(f);
        return true;
    case TMK_STORE_PARTITION_RENEW:
        renew(f);
        return true;
    case TMK_STORE_PARTITION_RELEASE:
        tmk_blob_head(f, TMK_BLOB_OWNERSHIP, NULL, on_release_looked);
        return true;
    case TMK_STORE_PARTITION_DELETE:
        tmk_blob_delete(f, TMK_BLOB_OWNERSHIP, NULL, NULL, on_ownership_deleted);
        return true;
    default:
        return false;
    }
}
