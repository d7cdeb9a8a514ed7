/* The conditions of tidemark/store.h, one record at a time. */
#include "checkpoint/rules.h"
#include "checkpoint/record.h"

#include "base/alloc.h"
#include "base/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void tmk_member_entry_clear(tmk_member_entry *e) {
    tmk_free(e->token);
    tmk_free(e->body);
    memset(e, 0, sizeof *e);
}

void tmk_partition_entry_clear(tmk_partition_entry *e) {
    tmk_free(e->token);
    tmk_free(e->texts);
    memset(e, 0, sizeof *e);
}

void tmk_entry_version_text(tmk_entry_version v, char out[TMK_ENTRY_VERSION_ROOM]) {
    (void)snprintf(out, TMK_ENTRY_VERSION_ROOM, "%016" PRIx64 ".%" PRIu64, v.birth, v.count);
}

static int64_t age_ms(tmk_time written, tmk_time now) {
    return now <= written ? 0 : (now - written) / TMK_MS;
}

static tmk_status refuse(tmk_error *err, const tmk_store_op *op, const char *why) {
    return tmk_fail(err, TMK_CONFLICT, "store", "%s of '%s' refused: %s",
                    tmk_store_op_name(op->kind), op->id, why);
}

static tmk_status no_memory(tmk_error *err) {
    return tmk_fail_retry(err, TMK_ENOMEM, "store", "no memory for a record");
}

/* ---- members ---- */

tmk_status tmk_member_entry_set(tmk_member_entry *e, const char *token, const char *body) {
    char *token_copy = tmk_copy_str(token);
    char *body_copy = tmk_copy_str(body);

    if (token_copy == NULL || body_copy == NULL) {
        tmk_free(token_copy);
        tmk_free(body_copy);
        return TMK_ENOMEM;
    }
    tmk_free(e->token);
    tmk_free(e->body);
    e->token = token_copy;
    e->body = body_copy;
    return TMK_OK;
}

static bool is_alive(const tmk_member_entry *e, tmk_time now) {
    return !e->evicted && !e->gone && now < e->lease_end;
}

tmk_member_record tmk_member_entry_view(const tmk_member_entry *e, const char *id, tmk_time now) {
    tmk_member_record r = {.id = id,
                           .alive = is_alive(e, now),
                           .evicted = e->evicted,
                           .gone = e->gone,
                           .age_ms = age_ms(e->written, now),
                           .body = e->body};
    return r;
}

/*
 * A dead record stays in the way of a join until it is evicted and removed: the partitions of the
 * incarnation before are still held by its token, and nobody must take them for the new one's.
 */
static tmk_status join(tmk_member_entry *e, const tmk_store_op *op, tmk_time now, tmk_error *err) {
    if (e->present && (e->evicted || strcmp(e->token, op->token) != 0)) {
        return refuse(err, op,
                      e->evicted ? "the record is that of an evicted member"
                                 : "another token holds the id");
    }
    if (tmk_member_entry_set(e, op->token, op->body) != TMK_OK) {
        return no_memory(err);
    }
    e->present = true;
    e->written = now;
    e->lease_end = tmk_time_after(now, op->lease_ms * TMK_MS);
    return TMK_OK;
}

static tmk_status evict(tmk_member_entry *e, const tmk_store_op *op, tmk_time now, bool *changed,
                        tmk_error *err) {
    if (!e->present || e->evicted) {
        return TMK_OK;
    }
    if (is_alive(e, now)) {
        return refuse(err, op, "the member's lease has not ended");
    }
    if (tmk_member_entry_set(e, op->token, e->body) != TMK_OK) {
        return no_memory(err);
    }
    e->evicted = true;
    *changed = true;
    return TMK_OK;
}

static tmk_status remove_evicted(tmk_member_entry *e, const tmk_store_op *op, bool *changed,
                                 tmk_error *err) {
    if (!e->present) {
        return TMK_ABSENT;
    }
    if (!e->evicted) {
        return refuse(err, op, "the member was not evicted");
    }
    tmk_member_entry_clear(e);
    *changed = true;
    return TMK_OK;
}

/* The three that only the member itself may do. */
static tmk_status act_as_member(tmk_member_entry *e, const tmk_store_op *op, tmk_time now,
                                bool *changed, tmk_error *err) {
    if (!e->present && op->kind == TMK_STORE_MEMBER_LEAVE) {
        return TMK_OK; /* a repeated leave */
    }
    if (!e->present || e->evicted || strcmp(e->token, op->token) != 0) {
        return refuse(err, op,
                      !e->present  ? "there is no such member"
                      : e->evicted ? "the member was evicted"
                                   : "another token holds the id");
    }
    if (op->kind == TMK_STORE_MEMBER_RENEW) {
        e->lease_end = tmk_time_after(now, op->lease_ms * TMK_MS);
    } else if (op->kind == TMK_STORE_MEMBER_LEAVE) {
        tmk_member_entry_clear(e);
    } else if (tmk_member_entry_set(e, op->token, op->body) != TMK_OK) {
        return no_memory(err);
    } else {
        e->written = now;
    }
    *changed = true;
    return TMK_OK;
}

tmk_status tmk_member_rule(tmk_member_entry *e, const tmk_store_op *op, tmk_stamp stamp,
                           bool *changed, tmk_error *err) {
    tmk_status st;

    *changed = false;
    switch ((int)op->kind) {
    case TMK_STORE_MEMBER_JOIN:
        st = join(e, op, stamp.now, err);
        *changed = st == TMK_OK;
        return st;
    case TMK_STORE_MEMBER_EVICT:
        return evict(e, op, stamp.now, changed, err);
    case TMK_STORE_MEMBER_REMOVE:
        return remove_evicted(e, op, changed, err);
    default:
        return act_as_member(e, op, stamp.now, changed, err);
    }
}

/* ---- bells ---- */

tmk_status tmk_call_rule(tmk_call_entry *e, const tmk_store_op *op, tmk_stamp stamp,
                         bool *changed) {
    char version[TMK_ENTRY_VERSION_ROOM] = "";

    *changed = op->kind == TMK_STORE_CALL_RING;
    if (*changed) {
        e->version.birth = e->present ? e->version.birth : stamp.birth;
        e->version.count = e->present ? e->version.count + 1 : 1;
        e->present = true;
        return TMK_OK;
    }
    if (e->present) {
        tmk_entry_version_text(e->version, version);
    }
    return strcmp(version, op->version) == 0 ? TMK_UNCHANGED : TMK_OK;
}

/* ---- partitions ---- */

tmk_partition_record tmk_partition_entry_view(const tmk_partition_entry *e, const char *id,
                                              const char *version, tmk_time now, bool done_map) {
    tmk_partition_record r = e->record;

    r.id = id;
    r.version = version;
    r.held = e->token[0] != '\0';
    r.age_ms = age_ms(e->written, now);
    if (!done_map) {
        r.checkpoint.done_map.size = 0;
    }
    return r;
}

tmk_status tmk_partition_entry_set(tmk_partition_entry *e, const char *token,
                                   const tmk_partition_record *record) {
    char *token_copy = tmk_copy_str(token);
    char *texts = tmk_alloc(tmk_record_size(record));
    char *at = texts;

    if (token_copy == NULL || texts == NULL) {
        tmk_free(token_copy);
        tmk_free(texts);
        return TMK_ENOMEM;
    }
    tmk_record_put(&e->record, &at, record);
    tmk_free(e->token);
    tmk_free(e->texts);
    e->token = token_copy;
    e->texts = texts;
    return TMK_OK;
}

static tmk_status keep(tmk_partition_entry *e, const char *token,
                       const tmk_partition_record *record, tmk_stamp stamp, bool *changed,
                       tmk_error *err) {
    if (tmk_partition_entry_set(e, token, record) != TMK_OK) {
        return no_memory(err);
    }
    e->version.birth = e->present ? e->version.birth : stamp.birth;
    e->version.count = e->present ? e->version.count + 1 : 1;
    e->present = true;
    e->written = stamp.now;
    *changed = true;
    return TMK_OK;
}

static bool has_version(const tmk_partition_entry *e, const char *wanted) {
    char version[TMK_ENTRY_VERSION_ROOM] = "";

    if (e->present) {
        tmk_entry_version_text(e->version, version);
    }
    return strcmp(version, wanted) == 0;
}

static bool holds(const tmk_partition_entry *e, const char *token) {
    return e->present && strcmp(e->token, token) == 0;
}

/* The stored record under another owner; its checkpoint stays as it is, done-map included. */
static tmk_partition_record with_owner(const tmk_partition_entry *e, const tmk_store_op *op) {
    tmk_partition_record r = *op->record;

    if (e->present) {
        r.checkpoint = e->record.checkpoint;
    }
    return r;
}

/* The token alone does not tell: a claim that was passed carries that of its successor as well,
 * who has not seen yet what the giver wrote last. */
static bool has_claimed(const tmk_partition_entry *e, const tmk_store_op *op) {
    return holds(e, op->token) && e->record.generation == op->record->generation &&
           strcmp(e->record.owner, op->record->owner) == 0;
}

/*
 * A claim that was made already and is made again, because its answer was lost, is granted and
 * changes nothing: a late copy of it must not undo what the holder has written since.
 */
static tmk_status claim(tmk_partition_entry *e, const tmk_store_op *op, tmk_stamp stamp,
                        bool *changed, tmk_error *err) {
    tmk_partition_record record;

    if (!has_version(e, op->version)) {
        return has_claimed(e, op) ? TMK_OK
                                  : refuse(err, op, "the record has changed since it was read");
    }
    if (e->present && e->token[0] != '\0' && !op->take_over && !holds(e, op->token)) {
        return refuse(err, op, "another token holds the partition");
    }
    record = with_owner(e, op);
    return keep(e, op->token, &record, stamp, changed, err);
}

static tmk_status pass(tmk_partition_entry *e, const tmk_store_op *op, bool *changed,
                       tmk_error *err) {
    char *token;

    if (holds(e, op->token_next)) {
        return TMK_OK; /* it was passed before */
    }
    if (!holds(e, op->token)) {
        return refuse(err, op, "the token does not hold the partition");
    }
    token = tmk_copy_str(op->token_next);
    if (token == NULL) {
        return no_memory(err);
    }
    tmk_free(e->token);
    e->token = token;
    *changed = true;
    return TMK_OK;
}

static tmk_status release(tmk_partition_entry *e, const tmk_store_op *op, tmk_stamp stamp,
                          bool *changed, tmk_error *err) {
    tmk_partition_record record = with_owner(e, op);

    if (e->present && e->token[0] == '\0' && e->record.owner[0] == '\0') {
        return TMK_OK; /* it was released before */
    }
    if (!holds(e, op->token)) {
        return refuse(err, op, "the token does not hold the partition");
    }
    if (op->version[0] != '\0' && !has_version(e, op->version)) {
        return refuse(err, op, "the record has changed since it was read");
    }
    record.owner = "";
    record.successor = "";
    return keep(e, "", &record, stamp, changed, err);
}

static tmk_status write_record(tmk_partition_entry *e, const tmk_store_op *op, tmk_stamp stamp,
                               bool *changed, tmk_error *err) {
    bool renew = op->kind == TMK_STORE_PARTITION_RENEW;
    tmk_partition_record record;

    if (!holds(e, op->token)) {
        return refuse(err, op, "the token does not hold the partition");
    }
    if ((op->version[0] != '\0' || renew) && !has_version(e, op->version)) {
        return refuse(err, op, "the record has changed since it was read");
    }
    record = renew ? with_owner(e, op) : *op->record;
    return keep(e, op->token, &record, stamp, changed, err);
}

tmk_status tmk_partition_rule(tmk_partition_entry *e, const tmk_store_op *op, tmk_stamp stamp,
                              bool *changed, tmk_error *err) {
    *changed = false;
    switch ((int)op->kind) {
    case TMK_STORE_PARTITION_READ:
        return e->present ? TMK_OK : TMK_ABSENT;
    case TMK_STORE_PARTITION_CLAIM:
        return claim(e, op, stamp, changed, err);
    case TMK_STORE_PARTITION_PASS:
        return pass(e, op, changed, err);
    case TMK_STORE_PARTITION_RELEASE:
        return release(e, op, stamp, changed, err);
    case TMK_STORE_PARTITION_DELETE:
        *changed = e->present;
        tmk_partition_entry_clear(e);
        return *changed ? TMK_OK : TMK_ABSENT;
    default:
        return write_record(e, op, stamp, changed, err);
    }
}
