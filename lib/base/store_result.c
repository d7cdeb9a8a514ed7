/*
 * Copies of a store's answer, and asking a store from a thread that may wait.
 * A copy is one block: it is counted first, then filled.
 */
#include "base/alloc.h"
#include "base/call.h"
#include "base/status.h"
#include "base/thread.h"

#include <string.h>

typedef struct packer {
    char *at; /* NULL while counting */
    size_t size;
} packer;

static void *pack(packer *p, const void *bytes, size_t size, size_t align) {
    void *place = NULL;

    p->size = (p->size + align - 1) / align * align;
    if (p->at != NULL) {
        place = p->at + p->size;
        if (size > 0) {
            memcpy(place, bytes, size);
        }
    }
    p->size += size;
    return place;
}

static const char *pack_text(packer *p, const char *text) {
    return text == NULL ? "" : pack(p, text, strlen(text) + 1, 1);
}

static void pack_partitions(packer *p, const tmk_store_result *from, tmk_store_result *to) {
    tmk_partition_record *records =
        pack(p, from->partitions, from->partition_count * sizeof *records, sizeof(void *));

    for (size_t i = 0; i < from->partition_count; i++) {
        tmk_partition_record copy = from->partitions[i];
        copy.id = pack_text(p, copy.id);
        copy.owner = pack_text(p, copy.owner);
        copy.successor = pack_text(p, copy.successor);
        copy.version = pack_text(p, copy.version);
        copy.checkpoint.offset = pack_text(p, copy.checkpoint.offset);
        copy.checkpoint.done_map.bytes =
            pack(p, copy.checkpoint.done_map.bytes, copy.checkpoint.done_map.size, 1);
        if (records != NULL) {
            records[i] = copy;
        }
    }
    to->partitions = records;
}

static void pack_members(packer *p, const tmk_store_result *from, tmk_store_result *to) {
    tmk_member_record *records =
        pack(p, from->members, from->member_count * sizeof *records, sizeof(void *));

    for (size_t i = 0; i < from->member_count; i++) {
        tmk_member_record copy = from->members[i];
        copy.id = pack_text(p, copy.id);
        copy.body = pack_text(p, copy.body);
        if (records != NULL) {
            records[i] = copy;
        }
    }
    to->members = records;
}

static void pack_result(packer *p, const tmk_store_result *from, tmk_store_result *to) {
    *to = *from;
    to->version = pack_text(p, from->version);
    pack_partitions(p, from, to);
    pack_members(p, from, to);
}

tmk_store_result *tmk_store_result_copy(const tmk_store_result *from) {
    packer count = {NULL, sizeof(tmk_store_result)};
    tmk_store_result scratch, *to = NULL;

    pack_result(&count, from, &scratch);
    to = tmk_alloc(count.size);
    if (to != NULL) {
        packer fill = {(char *)to, sizeof *to};
        pack_result(&fill, from, to);
    }
    return to;
}

tmk_store_result *tmk_store_result_free(tmk_store_result *result) {
    tmk_free(result);
    return NULL;
}

/* ---- asking and waiting ---- */

enum { RANK_ASK = 90 };

typedef struct ask {
    tmk_store_call call;
    tmk_mutex lock;
    tmk_cond answered;
    bool done;                /* lock */
    tmk_store_result *result; /* lock; NULL once done: there was no memory for it */
} ask;

static void on_answer(tmk_store_call *call, const tmk_store_result *result) {
    ask *a = tmk_container_of(call, ask, call);
    tmk_store_result *copy = tmk_store_result_copy(result);

    tmk_mutex_lock(&a->lock);
    a->result = copy;
    a->done = true;
    tmk_cond_signal(&a->answered);
    tmk_mutex_unlock(&a->lock);
}

tmk_status tmk_store_ask(tmk_store store, const tmk_store_op *op, tmk_store_result **out,
                         tmk_error *err) {
    ask a = {.call.answered = on_answer};
    tmk_status st = tmk_mutex_init(&a.lock, RANK_ASK, err);

    if (st < 0) {
        return st;
    }
    st = tmk_cond_init(&a.answered, err);
    if (st < 0) {
        tmk_mutex_clear(&a.lock);
        return st;
    }
    store.ops->submit(store.self, op, &a.call);
    tmk_mutex_lock(&a.lock);
    while (!a.done) {
        tmk_cond_wait(&a.answered, &a.lock);
    }
    tmk_mutex_unlock(&a.lock);
    tmk_cond_clear(&a.answered);
    tmk_mutex_clear(&a.lock);
    if (a.result == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "store", "no memory for the store's answer");
    }
    if (err != NULL && a.result->status != TMK_OK) {
        *err = a.result->error;
    }
    *out = a.result;
    return a.result->status;
}
