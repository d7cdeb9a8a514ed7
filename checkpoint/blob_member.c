/*
 * Members and bells as blobs.
 *
 * A member's blob is under a real lease of finite length, whose id is the
 * member's token: renewing it is the heartbeat, acquiring the lease of a dead
 * one is its eviction. The token also stands in the metadata, so that a lost
 * answer can be told from another's record.
 *
 *   join   create --> acquire                    evict  look --> acquire --> mark --> release
 */
#include "checkpoint/blob_flow.h"

#include <string.h>

#include "base/status.h"

enum {
    LEASE_MIN_S = 15, /* the service's bounds */
    LEASE_MAX_S = 60,
    FRESH_MS = 10000, /* a record without a lease may be one whose lease is on its way */
    MEMBERS_MAX = 20000
};

static const char *token_of(const tmk_blob_flow *f) {
    return f->request->op.token;
}

static bool read_member(tmk_blob_flow *f, const tmk_blob_meta *meta, tmk_blob_member *out) {
    *out = (tmk_blob_member){0};
    if (tmk_blob_member_read(out, meta) == TMK_OK) {
        return true;
    }
    tmk_blob_member_clear(out);
    (void)tmk_fail_retry(&f->reply.error, TMK_ENOMEM, "blob", "no memory for a member");
    tmk_blob_end_error(f);
    return false;
}

static bool put_member(tmk_blob_flow *f, const char *body, bool evicted) {
    if (tmk_blob_member_write(&f->meta, token_of(f), body, evicted, &f->reply.error) == TMK_OK) {
        return true;
    }
    tmk_blob_end_error(f);
    return false;
}

static bool is_alive(const tmk_blob_member *m, tmk_blob_lease lease, int64_t age_ms) {
    return !m->evicted && (lease.held || (lease.fresh && age_ms < FRESH_MS));
}

/* ---- join ---- */

static void on_join_acquired(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_join_compared(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a) && tmk_blob_meta_equal(a->meta, &f->meta)) {
        tmk_blob_end(f, TMK_OK); /* an earlier try was carried out */
    } else {
        tmk_blob_end_conflict(f, "the record has changed meanwhile");
    }
}

static void on_join_rewritten(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_end(f, TMK_OK);
    } else {
        tmk_blob_head(f, TMK_BLOB_MEMBER, token_of(f), on_join_compared);
    }
}

/* There is a record. Ours, when its token says so: then this is a second try, or a repeated join.
 */
static void on_join_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    int64_t seconds = (f->request->op.lease_ms + 999) / 1000;
    tmk_blob_member m;
    bool ours;

    if (!read_member(f, a->meta, &m)) {
        return;
    }
    ours = tmk_blob_is_done(a) && !m.evicted && strcmp(m.token, token_of(f)) == 0;
    tmk_blob_member_clear(&m);
    if (!ours || f->once) {
        tmk_blob_end_conflict(f, ours ? "its lease is in other hands" : "the id has a record");
        return;
    }
    f->once = true;
    tmk_blob_keep_etag(f, a);
    tmk_blob_acquire(f, TMK_BLOB_MEMBER, token_of(f), seconds, f->etag, on_join_acquired);
}

static void on_join_acquired(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (!tmk_blob_is_done(a)) {
        tmk_blob_head(f, TMK_BLOB_MEMBER, NULL, on_join_looked);
    } else if (f->once) { /* a repeated join brings a new body */
        tmk_blob_set_meta(f, TMK_BLOB_MEMBER, f->etag, token_of(f), on_join_rewritten);
    } else {
        tmk_blob_end(f, TMK_OK);
    }
}

static void on_join_created(tmk_blob_flow *f, const tmk_blob_answer *a) {
    int64_t seconds = (f->request->op.lease_ms + 999) / 1000;

    if (!tmk_blob_is_done(a)) {
        tmk_blob_head(f, TMK_BLOB_MEMBER, NULL, on_join_looked);
        return;
    }
    tmk_blob_keep_etag(f, a);
    tmk_blob_acquire(f, TMK_BLOB_MEMBER, token_of(f), seconds, f->etag, on_join_acquired);
}

static void join(tmk_blob_flow *f) {
    int64_t seconds = (f->request->op.lease_ms + 999) / 1000;

    if (seconds < LEASE_MIN_S || seconds > LEASE_MAX_S) {
        (void)tmk_fail(&f->reply.error, TMK_EINVAL, "blob",
                       "leases of the Blob service last %d to %d seconds, not %lld ms", LEASE_MIN_S,
                       LEASE_MAX_S, (long long)f->request->op.lease_ms);
        tmk_blob_end_error(f);
        return;
    }
    if (put_member(f, f->request->op.body, false)) {
        tmk_blob_create(f, TMK_BLOB_MEMBER, (tmk_slice){NULL, 0}, on_join_created);
    }
}

/* ---- renew, write, leave: the member itself ---- */

static void on_renewed(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_end(f, TMK_OK);
    } else {
        tmk_blob_end_conflict(f, a->code == 404 ? "there is no such member"
                                                : "its lease is in other hands");
    }
}

/* The service forgets a lease that has ended, but lets it be renewed as long as nobody else came:
 * who writes or leaves late renews first. */
static void revive(tmk_blob_flow *f, tmk_blob_next again) {
    if (f->once) {
        tmk_blob_end_conflict(f, "its lease is in other hands");
        return;
    }
    f->once = true;
    tmk_blob_lease_action(f, TMK_BLOB_MEMBER, "renew", token_of(f), NULL, again);
}

static void on_write_looked(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_write_revived(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_head(f, TMK_BLOB_MEMBER, token_of(f), on_write_looked);
    } else {
        on_renewed(f, a);
    }
}

static void on_written(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_end(f, TMK_OK);
    } else { /* an own write that was given up has come after all, or the lease has ended */
        tmk_blob_head(f, TMK_BLOB_MEMBER, token_of(f), on_write_looked);
    }
}

/* Each write names the ETag that it replaces, so that none that was given up can come later and
 * undo a newer one. */
static void on_write_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (a->code == 404) {
        tmk_blob_end_conflict(f, "there is no such member");
    } else if (!tmk_blob_is_done(a)) {
        revive(f, on_write_revived);
    } else {
        tmk_blob_keep_etag(f, a);
        tmk_blob_set_meta(f, TMK_BLOB_MEMBER, f->etag, token_of(f), on_written);
    }
}

/* The bell goes with its member; whether it was there does not matter. */
static void on_bell_gone(tmk_blob_flow *f, const tmk_blob_answer *a) {
    (void)a;
    tmk_blob_end(f, TMK_OK);
}

static void on_left(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_leave_revived(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_delete(f, TMK_BLOB_MEMBER, NULL, token_of(f), on_left);
    } else {
        on_renewed(f, a);
    }
}

static void on_left(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a) || a->code == 404) { /* 404: perhaps by an earlier try */
        tmk_blob_delete(f, TMK_BLOB_CALL, NULL, NULL, on_bell_gone);
    } else {
        revive(f, on_leave_revived);
    }
}

/* ---- evict, remove: others ---- */

static void on_evict_looked(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_evict_released(tmk_blob_flow *f, const tmk_blob_answer *a) {
    (void)a; /* it would have ended by itself */
    tmk_blob_end(f, TMK_OK);
}

static void release_evicted(tmk_blob_flow *f) {
    tmk_blob_lease_action(f, TMK_BLOB_MEMBER, "release", token_of(f), NULL, on_evict_released);
}

static void on_marked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        release_evicted(f);
    } else {
        tmk_blob_head(f, TMK_BLOB_MEMBER, NULL, on_evict_looked);
    }
}

/* The lease is ours: whatever the dead one sends now is refused. Its body stays. */
static void on_evict_acquired(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        f->tried = true;
        tmk_blob_set_meta(f, TMK_BLOB_MEMBER, f->etag, token_of(f), on_marked);
    } else {
        tmk_blob_head(f, TMK_BLOB_MEMBER, NULL, on_evict_looked);
    }
}

static void on_evict_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    tmk_blob_member m;
    bool written;

    if (a->code == 404) {
        tmk_blob_end(f, TMK_OK);
        return;
    }
    if (!read_member(f, a->meta, &m)) {
        return;
    }
    if (m.evicted) {
        bool by_us = f->tried && strcmp(m.token, token_of(f)) == 0;

        tmk_blob_member_clear(&m);
        if (by_us) { /* by an earlier try */
            release_evicted(f);
        } else {
            tmk_blob_end(f, TMK_OK);
        }
        return;
    }
    if (is_alive(&m, a->lease, tmk_blob_age_ms(a->last_modified, a->date))) {
        tmk_blob_member_clear(&m);
        tmk_blob_end_conflict(f, "the member's lease has not ended");
        return;
    }
    written = put_member(f, tmk_str_text(&m.body), true);
    tmk_blob_member_clear(&m);
    if (written) {
        tmk_blob_keep_etag(f, a);
        tmk_blob_acquire(f, TMK_BLOB_MEMBER, token_of(f), LEASE_MIN_S, f->etag, on_evict_acquired);
    }
}

static void on_remove_looked(tmk_blob_flow *f, const tmk_blob_answer *a);

static void on_remove_broken(tmk_blob_flow *f, const tmk_blob_answer *a) {
    (void)a;
    tmk_blob_head(f, TMK_BLOB_MEMBER, NULL, on_remove_looked);
}

static void on_removed(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a) || (a->code == 404 && f->tried)) {
        tmk_blob_delete(f, TMK_BLOB_CALL, NULL, NULL, on_bell_gone);
    } else { /* changed meanwhile, or its evictor still holds the lease */
        tmk_blob_head(f, TMK_BLOB_MEMBER, NULL, on_remove_looked);
    }
}

static void on_remove_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    tmk_blob_member m;
    bool evicted;

    if (a->code == 404) {
        tmk_blob_end(f, f->tried ? TMK_OK : TMK_ABSENT);
        return;
    }
    if (!read_member(f, a->meta, &m)) {
        return;
    }
    evicted = m.evicted;
    tmk_blob_member_clear(&m);
    if (!evicted) {
        tmk_blob_end_conflict(f, "the member was not evicted");
    } else if (a->lease.held) {
        tmk_blob_keep_etag(f, a);
        tmk_blob_break(f, TMK_BLOB_MEMBER, f->etag, on_remove_broken);
    } else {
        f->tried = true;
        tmk_blob_keep_etag(f, a);
        tmk_blob_delete(f, TMK_BLOB_MEMBER, f->etag, NULL, on_removed);
    }
}

/* ---- list ---- */

static tmk_status take_member(tmk_blob_flow *f, const tmk_blob_item *item, const char *id,
                              tmk_wall date) {
    int64_t age_ms = tmk_blob_age_ms(item->last_modified, date);
    tmk_member_record r = {.id = id, .age_ms = age_ms};
    tmk_blob_member m = {0};
    tmk_status st = tmk_blob_member_read(&m, &item->meta);

    if (st == TMK_OK) {
        r.alive = is_alive(&m, item->lease, age_ms);
        r.evicted = m.evicted;
        r.body = tmk_str_text(&m.body);
        st = f->reply.member_count < MEMBERS_MAX ? tmk_reply_add_member(&f->reply, &r)
                                                 : tmk_fail(&f->reply.error, TMK_ELIMIT, "blob",
                                                            "more than %d members", MEMBERS_MAX);
    }
    tmk_blob_member_clear(&m);
    return st;
}

static void end_list(tmk_blob_flow *f) {
    tmk_blob_end(f, TMK_OK);
}

/* ---- bells ---- */

static void on_rung(tmk_blob_flow *f, const tmk_blob_answer *a) {
    if (tmk_blob_is_done(a)) {
        tmk_blob_end_version(f, a->etag);
    } else { /* there is no bell yet */
        tmk_blob_put(f, TMK_BLOB_CALL, NULL, NULL, (tmk_slice){NULL, 0}, on_rung);
    }
}

static void on_call_looked(tmk_blob_flow *f, const tmk_blob_answer *a) {
    const char *version = f->request->op.version;

    if (a->code == 304 || (a->code == 404 && version[0] == '\0')) {
        tmk_blob_end(f, TMK_UNCHANGED);
    } else {
        tmk_blob_end_version(f, a->code == 404 ? "" : a->etag);
    }
}

bool tmk_blob_member_start(tmk_blob_flow *f) {
    const tmk_store_op *op = &f->request->op;

    if (f->group->claims != TMK_CLAIMS_LEASE && op->kind < TMK_STORE_CALL_RING) {
        return false;
    }
    switch ((int)op->kind) {
    case TMK_STORE_MEMBER_JOIN:
        join(f);
        return true;
    case TMK_STORE_MEMBER_RENEW:
        tmk_blob_lease_action(f, TMK_BLOB_MEMBER, "renew", token_of(f), NULL, on_renewed);
        return true;
    case TMK_STORE_MEMBER_WRITE:
        if (put_member(f, op->body, false)) {
            tmk_blob_head(f, TMK_BLOB_MEMBER, token_of(f), on_write_looked);
        }
        return true;
    case TMK_STORE_MEMBER_LEAVE:
        tmk_blob_delete(f, TMK_BLOB_MEMBER, NULL, token_of(f), on_left);
        return true;
    case TMK_STORE_MEMBER_EVICT:
        tmk_blob_head(f, TMK_BLOB_MEMBER, NULL, on_evict_looked);
        return true;
    case TMK_STORE_MEMBER_REMOVE:
        tmk_blob_head(f, TMK_BLOB_MEMBER, NULL, on_remove_looked);
        return true;
    case TMK_STORE_MEMBER_LIST:
        tmk_blob_list(f, TMK_BLOB_MEMBER, take_member, end_list);
        return true;
    case TMK_STORE_CALL_RING:
        tmk_blob_set_meta(f, TMK_BLOB_CALL, NULL, NULL, on_rung);
        return true;
    case TMK_STORE_CALL_LOOK:
        tmk_blob_head_unless(f, TMK_BLOB_CALL, op->version[0] == '\0' ? NULL : op->version,
                             on_call_looked);
        return true;
    default:
        return false;
    }
}
