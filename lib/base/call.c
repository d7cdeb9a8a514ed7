/* How a store answers the library: straight to whoever asked. */
#include "base/call.h"

#include "base/assert.h"

void tmk_store_answer(tmk_store_call *call, const tmk_store_result *result) {
    tmk_assert(call != NULL && result != NULL);
    call->answered(call, result);
}

void tmk_store_free(tmk_store store) {
    if (store.ops != NULL && store.ops->free != NULL) {
        store.ops->free(store.self);
    }
}

const char *tmk_store_op_name(tmk_store_op_kind kind) {
    static const char *const names[] = {
        [TMK_STORE_MEMBER_JOIN] = "member_join",
        [TMK_STORE_MEMBER_RENEW] = "member_renew",
        [TMK_STORE_MEMBER_WRITE] = "member_write",
        [TMK_STORE_MEMBER_LIST] = "member_list",
        [TMK_STORE_MEMBER_EVICT] = "member_evict",
        [TMK_STORE_MEMBER_LEAVE] = "member_leave",
        [TMK_STORE_MEMBER_REMOVE] = "member_remove",
        [TMK_STORE_CALL_RING] = "call_ring",
        [TMK_STORE_CALL_LOOK] = "call_look",
        [TMK_STORE_PARTITION_LIST] = "partition_list",
        [TMK_STORE_PARTITION_READ] = "partition_read",
        [TMK_STORE_PARTITION_CLAIM] = "partition_claim",
        [TMK_STORE_PARTITION_WRITE] = "partition_write",
        [TMK_STORE_PARTITION_PASS] = "partition_pass",
        [TMK_STORE_PARTITION_RENEW] = "partition_renew",
        [TMK_STORE_PARTITION_RELEASE] = "partition_release",
        [TMK_STORE_PARTITION_DELETE] = "partition_delete",
    };

    return (size_t)kind < sizeof names / sizeof names[0] && names[kind] != NULL ? names[kind] : "?";
}
