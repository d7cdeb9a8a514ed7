/* Maps of records, each changed by its rule. */
#include "checkpoint/memory_table.h"

#include "base/alloc.h"
#include "base/status.h"
#include "checkpoint/rules.h"

#include <string.h>

void tmk_memory_table_init(tmk_memory_table *t) {
    memset(t, 0, sizeof *t);
}

static void free_member(void *value) {
    tmk_member_entry_clear(value);
    tmk_free(value);
}

static void free_partition(void *value) {
    tmk_partition_entry_clear(value);
    tmk_free(value);
}

void tmk_memory_table_clear(tmk_memory_table *t) {
    tmk_map_clear(&t->members, free_member);
    tmk_map_clear(&t->calls, tmk_free);
    tmk_map_clear(&t->partitions, free_partition);
    tmk_memory_table_init(t);
}

/* The entry of an id, made empty where there is none; NULL: no memory. */
static void *entry_of(tmk_map *m, const char *id, size_t size) {
    void *e = tmk_map_get(m, tmk_slice_str(id));

    if (e != NULL) {
        return e;
    }
    e = tmk_alloc_zero(1, size);
    if (e != NULL && tmk_map_put(m, tmk_slice_str(id), e, NULL) != TMK_OK) {
        tmk_free(e);
        return NULL;
    }
    return e;
}

/* Entries that hold no record, because the rule refused to make one or removed it, do not stay. */
static void drop_if_absent(tmk_map *m, const char *id, void *e, bool present) {
    if (!present) {
        (void)tmk_map_remove(m, tmk_slice_str(id));
        tmk_free(e);
    }
}

static tmk_status apply_member(tmk_memory_table *t, const tmk_store_op *op, tmk_stamp stamp,
                               tmk_error *err) {
    tmk_member_entry *e = entry_of(&t->members, op->id, sizeof *e);
    tmk_status st;
    bool changed;

    if (e == NULL) {
        return tmk_fail_retry(err, TMK_ENOMEM, "store", "no memory for a member");
    }
    st = tmk_member_rule(e, op, stamp, &changed, err);
    if (changed && !e->present) {
        tmk_free(tmk_map_remove(&t->calls, tmk_slice_str(op->id))); /* its bell goes with it */
    }
    drop_if_absent(&t->members, op->id, e, e->present);
    return st;
}

static tmk_status apply_call(tmk_memory_table *t, const tmk_store_op *op, tmk_stamp stamp,
                             tmk_reply *reply) {
    tmk_call_entry *e = entry_of(&t->calls, op->id, sizeof *e);
    tmk_status st;
    bool changed;

    if (e == NULL) {
        return tmk_fail_retry(&reply->error, TMK_ENOMEM, "store", "no memory for a call");
    }
    st = tmk_call_rule(e, op, stamp, &changed);
    if (e->present) {
        tmk_entry_version_text(e->version, reply->version);
    }
    drop_if_absent(&t->calls, op->id, e, e->present);
    return st;
}

static tmk_status apply_partition(tmk_memory_table *t, const tmk_store_op *op, tmk_stamp stamp,
                                  tmk_reply *reply) {
    tmk_partition_entry *e = entry_of(&t->partitions, op->id, sizeof *e);
    char version[TMK_ENTRY_VERSION_ROOM] = "";
    tmk_partition_record view;
    tmk_status st;
    bool changed;

    if (e == NULL) {
        return tmk_fail_retry(&reply->error, TMK_ENOMEM, "store", "no memory for a partition");
    }
    st = tmk_partition_rule(e, op, stamp, &changed, &reply->error);
    if (e->present) {
        tmk_entry_version_text(e->version, version);
    }
    if (st == TMK_OK && op->kind == TMK_STORE_PARTITION_READ) {
        view = tmk_partition_entry_view(e, op->id, version, stamp.now, true);
        st = tmk_reply_add_partition(reply, &view);
    } else if (st == TMK_OK) {
        tmk_reply_version(reply, version);
    }
    drop_if_absent(&t->partitions, op->id, e, e->present);
    return st;
}

static tmk_status list_members(const tmk_memory_table *t, tmk_time now, tmk_reply *reply) {
    tmk_status st = TMK_OK;
    tmk_map_entry *at;

    for (size_t i = 0; st == TMK_OK && (at = tmk_map_next(&t->members, &i)) != NULL;) {
        tmk_member_record view = tmk_member_entry_view(at->value, at->key, now);
        st = tmk_reply_add_member(reply, &view);
    }
    return st;
}

static tmk_status list_partitions(const tmk_memory_table *t, tmk_time now, tmk_reply *reply) {
    tmk_status st = TMK_OK;
    tmk_map_entry *at;

    for (size_t i = 0; st == TMK_OK && (at = tmk_map_next(&t->partitions, &i)) != NULL;) {
        const tmk_partition_entry *e = at->value;
        char version[TMK_ENTRY_VERSION_ROOM];
        tmk_partition_record view;

        tmk_entry_version_text(e->version, version);
        view = tmk_partition_entry_view(e, at->key, version, now, false);
        st = tmk_reply_add_partition(reply, &view);
    }
    return st;
}

static tmk_status apply(tmk_memory_table *t, const tmk_store_op *op, tmk_stamp stamp,
                        tmk_reply *reply) {
    switch ((int)op->kind) {
    case TMK_STORE_MEMBER_LIST:
        return list_members(t, stamp.now, reply);
    case TMK_STORE_PARTITION_LIST:
        return list_partitions(t, stamp.now, reply);
    case TMK_STORE_CALL_RING:
    case TMK_STORE_CALL_LOOK:
        return apply_call(t, op, stamp, reply);
    default:
        return op->kind < TMK_STORE_CALL_RING ? apply_member(t, op, stamp, &reply->error)
                                              : apply_partition(t, op, stamp, reply);
    }
}

void tmk_memory_table_apply(tmk_memory_table *t, const tmk_store_op *op, tmk_time now,
                            tmk_reply *reply) {
    tmk_stamp stamp = {.now = now, .birth = ++t->births};
    tmk_status st = tmk_store_op_check(op, &reply->error);

    if (st == TMK_OK) {
        st = apply(t, op, stamp, reply);
    }
    if (st == TMK_ENOMEM) {
        tmk_reply_clear(reply); /* no half lists */
        (void)tmk_fail_retry(&reply->error, st, "store", "no memory for an answer");
    }
    reply->status = st;
}
