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
