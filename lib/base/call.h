/*
 * The asking side of tidemark/store.h: a question embeds this struct; the
 * answer arrives through `answered`, on whichever thread the store answered.
 */
#ifndef TMK_BASE_CALL_H
#define TMK_BASE_CALL_H

#include <tidemark/store.h>

struct tmk_store_call {
    void (*answered)(tmk_store_call *call, const tmk_store_result *result);
    tmk_store_call *link; /* the store's until it answers: so that refusing needs no memory */
};

/* A copy in one block; NULL: out of memory. Freed by tmk_store_result_free(). */
tmk_store_result *tmk_store_result_copy(const tmk_store_result *from);

/* "member_join", "partition_claim" ...: for journals and metrics. */
const char *tmk_store_op_name(tmk_store_op_kind kind);

#endif
