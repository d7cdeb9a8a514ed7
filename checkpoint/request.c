/* Copies of operations, and what every store refuses before it looks at its records. */
#include "checkpoint/request.h"

#include "checkpoint/record.h"

#include "base/alloc.h"
#include "base/status.h"

#include <string.h>

enum { LEASE_MAX_MS = 24 * 3600 * 1000 };

enum {
    NEEDS_ID = 1,
    NEEDS_TOKEN = 2,
    NEEDS_NEXT = 4,
    NEEDS_BODY = 8,
    NEEDS_LEASE = 16,
    NEEDS_RECORD = 32
};

static const unsigned needs_of[] = {
    [TMK_STORE_MEMBER_JOIN] = NEEDS_ID | NEEDS_TOKEN | NEEDS_BODY | NEEDS_LEASE,
    [TMK_STORE_MEMBER_RENEW] = NEEDS_ID | NEEDS_TOKEN | NEEDS_LEASE,
    [TMK_STORE_MEMBER_WRITE] = NEEDS_ID | NEEDS_TOKEN | NEEDS_BODY,
    [TMK_STORE_MEMBER_LIST] = 0,
    [TMK_STORE_MEMBER_EVICT] = NEEDS_ID | NEEDS_TOKEN,
    [TMK_STORE_MEMBER_LEAVE] = NEEDS_ID | NEEDS_TOKEN,
    [TMK_STORE_MEMBER_REMOVE] = NEEDS_ID,
    [TMK_STORE_CALL_RING] = NEEDS_ID,
    [TMK_STORE_CALL_LOOK] = NEEDS_ID,
    [TMK_STORE_PARTITION_LIST] = 0,
    [TMK_STORE_PARTITION_READ] = NEEDS_ID,
    [TMK_STORE_PARTITION_CLAIM] = NEEDS_ID | NEEDS_TOKEN | NEEDS_RECORD,
    [TMK_STORE_PARTITION_WRITE] = NEEDS_ID | NEEDS_TOKEN | NEEDS_RECORD,
    [TMK_STORE_PARTITION_PASS] = NEEDS_ID | NEEDS_TOKEN | NEEDS_NEXT,
    [TMK_STORE_PARTITION_RENEW] = NEEDS_ID | NEEDS_TOKEN | NEEDS_RECORD,
    [TMK_STORE_PARTITION_RELEASE] = NEEDS_ID | NEEDS_TOKEN | NEEDS_RECORD,
    [TMK_STORE_PARTITION_DELETE] = NEEDS_ID,
};

static bool is_known(tmk_store_op_kind kind) {
    return kind >= TMK_STORE_MEMBER_JOIN && (size_t)kind < sizeof needs_of / sizeof *needs_of;
}

tmk_request *tmk_request_new(const tmk_store_op *op, tmk_store_call *call, tmk_time now) {
    int64_t timeout_ms = op->timeout_ms > 0 ? op->timeout_ms : TMK_STORE_TIMEOUT_DEFAULT_MS;
    size_t size = tmk_text_size(op->id) + tmk_text_size(op->token) + tmk_text_size(op->token_next) +
                  tmk_text_size(op->version) + tmk_text_size(op->body) +
                  (op->record == NULL ? 0 : tmk_record_size(op->record));
    tmk_request *r = tmk_alloc(sizeof *r + size);
    char *at;

    if (r == NULL) {
        return NULL;
    }
    at = (char *)(r + 1);
    memset(r, 0, sizeof *r);
    r->call = call;
    r->deadline =
        timeout_ms > INT64_MAX / TMK_MS ? TMK_NEVER : tmk_time_after(now, timeout_ms * TMK_MS);
    r->op = *op;
    r->op.id = tmk_text_put(&at, op->id);
    r->op.token = tmk_text_put(&at, op->token);
    r->op.token_next = tmk_text_put(&at, op->token_next);
    r->op.version = tmk_text_put(&at, op->version);
    r->op.body = tmk_text_put(&at, op->body);
    if (op->record != NULL) {
        tmk_record_put(&r->record, &at, op->record);
        r->op.record = &r->record;
    }
    return r;
}

tmk_request *tmk_request_free(tmk_request *r) {
    tmk_free(r);
    return NULL;
}

bool tmk_store_text_is_uuid(const char *text) {
    size_t i;

    for (i = 0; text != NULL && i < 36 && text[i] != '\0'; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : strchr("0123456789abcdefABCDEF", text[i]) == NULL) {
            return false;
        }
    }
    return i == 36 && text[36] == '\0';
}

bool tmk_store_text_is_printable(const char *text, size_t size_max) {
    size_t i;

    for (i = 0; text != NULL && text[i] != '\0'; i++) {
        if (i >= size_max || text[i] < 0x20 || text[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static bool is_id(const char *id) {
    return id != NULL && id[0] != '\0' && tmk_store_text_is_printable(id, TMK_STORE_ID_MAX);
}

static tmk_status check_record(const tmk_partition_record *r, tmk_error *err) {
    if (r == NULL) {
        return tmk_fail(err, TMK_EINVAL, "store", "the operation needs a partition record");
    }
    if (!tmk_store_text_is_printable(r->owner, TMK_STORE_ID_MAX) ||
        !tmk_store_text_is_printable(r->successor, TMK_STORE_ID_MAX)) {
        return tmk_fail(err, TMK_EINVAL, "store",
                        "owner and successor must be printable ASCII of at most %d characters",
                        TMK_STORE_ID_MAX);
    }
    if (!tmk_store_text_is_printable(r->checkpoint.offset, TMK_STORE_OFFSET_MAX)) {
        return tmk_fail(err, TMK_EINVAL, "store",
                        "an offset must be printable ASCII of at most %d characters",
                        TMK_STORE_OFFSET_MAX);
    }
    if (r->checkpoint.done_map.size > TMK_STORE_DONE_MAP_MAX) {
        return tmk_fail(err, TMK_ELIMIT, "store", "a done-map of %zu bytes is too large",
                        r->checkpoint.done_map.size);
    }
    if (r->generation < 0 || (r->checkpoint.sequence_known && r->checkpoint.sequence < -1)) {
        return tmk_fail(err, TMK_EINVAL, "store", "generation and sequence must not be negative");
    }
    return TMK_OK;
}

tmk_status tmk_store_op_check(const tmk_store_op *op, tmk_error *err) {
    unsigned needs;

    if (!is_known(op->kind)) {
        return tmk_fail(err, TMK_EINVAL, "store", "%d is no store operation", (int)op->kind);
    }
    needs = needs_of[op->kind];
    if ((needs & NEEDS_ID) != 0 && !is_id(op->id)) {
        return tmk_fail(err, TMK_EINVAL, "store",
                        "%s needs an id of 1 to %d printable ASCII characters",
                        tmk_store_op_name(op->kind), TMK_STORE_ID_MAX);
    }
    if (((needs & NEEDS_TOKEN) != 0 && !tmk_store_text_is_uuid(op->token)) ||
        ((needs & NEEDS_NEXT) != 0 && !tmk_store_text_is_uuid(op->token_next))) {
        return tmk_fail(err, TMK_EINVAL, "store", "%s needs a token that is a UUID",
                        tmk_store_op_name(op->kind));
    }
    if ((needs & NEEDS_BODY) != 0 && !tmk_store_text_is_printable(op->body, TMK_STORE_BODY_MAX)) {
        return tmk_fail(err, TMK_EINVAL, "store",
                        "a member's body must be printable ASCII of at most %d characters",
                        TMK_STORE_BODY_MAX);
    }
    if ((needs & NEEDS_LEASE) != 0 && (op->lease_ms < 1 || op->lease_ms > LEASE_MAX_MS)) {
        return tmk_fail(err, TMK_EINVAL, "store", "a lease must last between 1 ms and a day");
    }
    if (op->version != NULL && strlen(op->version) > TMK_STORE_VERSION_MAX) {
        return tmk_fail(err, TMK_EINVAL, "store", "a version longer than any that was given out");
    }
    return (needs & NEEDS_RECORD) != 0 ? check_record(op->record, err) : TMK_OK;
}
