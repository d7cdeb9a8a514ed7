/*
 * An operation that a store keeps until it is answered: a copy in one block.
 *
 * Owns: the request owns its copy; the call belongs to whoever asked.
 */
#ifndef TMK_CHECKPOINT_REQUEST_H
#define TMK_CHECKPOINT_REQUEST_H

#include "base/call.h"
#include "base/list.h"
#include "base/time.h"

enum { TMK_STORE_TIMEOUT_DEFAULT_MS = 30000 };

typedef struct tmk_request {
    tmk_list node; /* free for whoever holds the request */
    tmk_store_call *call;
    tmk_store_op op; /* all of its pointers lead into this request; texts are never NULL */
    tmk_partition_record record;
    tmk_time deadline;
} tmk_request;

/* NULL: out of memory. Takes any op; tmk_store_op_check() says whether it makes sense. */
tmk_request *tmk_request_new(const tmk_store_op *op, tmk_store_call *call, tmk_time now);
tmk_request *tmk_request_free(tmk_request *r); /* NULL is fine; returns NULL */

bool tmk_store_text_is_printable(const char *text, size_t size_max); /* NULL is "" */
bool tmk_store_text_is_uuid(const char *text);

#endif
