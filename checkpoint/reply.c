/* Answers: built piece by piece, sent, cleared. */
#include "checkpoint/reply.h"

#include "checkpoint/record.h"

#include "base/alloc.h"
#include "base/status.h"

#include <stdio.h>
#include <string.h>

void tmk_reply_init(tmk_reply *r) {
    memset(r, 0, sizeof *r);
}

static void clear_partition(tmk_partition_record *p) {
    tmk_free((void *)(uintptr_t)p->id); /* one block holds all of its texts */
}

static void clear_member(tmk_member_record *m) {
    tmk_free((void *)(uintptr_t)m->id);
}

void tmk_reply_clear(tmk_reply *r) {
    for (size_t i = 0; i < r->partition_count; i++) {
        clear_partition(&r->partitions[i]);
    }
    for (size_t i = 0; i < r->member_count; i++) {
        clear_member(&r->members[i]);
    }
    tmk_free(r->partitions);
    tmk_free(r->members);
    tmk_reply_init(r);
}

tmk_status tmk_reply_add_partition(tmk_reply *r, const tmk_partition_record *record) {
    tmk_partition_record *items =
        tmk_items_grow(r->partitions, r->partition_count, &r->partition_room, sizeof *items);
    char *at;

    if (items == NULL) {
        return TMK_ENOMEM;
    }
    r->partitions = items;
    at = tmk_alloc(tmk_record_size(record));
    if (at == NULL) {
        return TMK_ENOMEM;
    }
    tmk_record_put(&items[r->partition_count++], &at, record);
    return TMK_OK;
}

tmk_status tmk_reply_add_member(tmk_reply *r, const tmk_member_record *record) {
    tmk_member_record *items =
        tmk_items_grow(r->members, r->member_count, &r->member_room, sizeof *items);
    tmk_member_record *to;
    char *at;

    if (items == NULL) {
        return TMK_ENOMEM;
    }
    r->members = items;
    at = tmk_alloc(tmk_text_size(record->id) + tmk_text_size(record->body));
    if (at == NULL) {
        return TMK_ENOMEM;
    }
    to = &items[r->member_count++];
    *to = *record;
    to->id = tmk_text_put(&at, record->id);
    to->body = tmk_text_put(&at, record->body);
    return TMK_OK;
}

void tmk_reply_version(tmk_reply *r, const char *version) {
    bool fits = strlen(version) < sizeof r->version;

    (void)snprintf(r->version, sizeof r->version, "%s", fits ? version : "");
}

void tmk_reply_send(const tmk_reply *r, tmk_store_call *call) {
    tmk_store_result result = {.status = r->status,
                               .error = r->error,
                               .retry_after_ms = r->retry_after_ms,
                               .version = r->version,
                               .partitions = r->partitions,
                               .partition_count = r->partition_count,
                               .members = r->members,
                               .member_count = r->member_count};

    tmk_store_answer(call, &result);
}

void tmk_reply_fail(tmk_store_call *call, tmk_status status, const char *origin, const char *text,
                    bool retryable) {
    tmk_store_result result = {.status = status, .version = ""};

    (void)(retryable ? tmk_fail_retry(&result.error, status, origin, "%s", text)
                     : tmk_fail(&result.error, status, origin, "%s", text));
    tmk_store_answer(call, &result);
}
