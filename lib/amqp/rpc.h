/*
 * Questions and answers over a pair of links: $cbs and $management.
 *
 * One pair serves any number of calls at a time; answers find their call by the
 * correlation id. The pair is opened with the first call.
 *
 * Threads: the loop's. Answers come from the loop, never from inside a call.
 */
#ifndef TMK_AMQP_RPC_H
#define TMK_AMQP_RPC_H

#include "amqp/connection.h"
#include "amqp/wire.h"
#include "base/list.h"

typedef struct tmk_rpc tmk_rpc;

typedef struct tmk_rpc_reply {
    int64_t status;        /* as of HTTP: 200, 202, 401 ... */
    tmk_slice description; /* may be empty */
    tmk_slice condition;   /* may be empty */
    tmk_value body;        /* of an amqp-value body; else kind NONE */
} tmk_rpc_reply;

/* A question. The caller's memory until it is answered or cancelled. */
typedef struct tmk_rpc_call {
    /* Once: either a reply, which ends with the call, or NULL and why there is none. */
    void (*answered)(struct tmk_rpc_call *call, const tmk_rpc_reply *reply, const tmk_error *why);

    tmk_list node; /* of tmk_rpc from here on */
    tmk_rpc *rpc;
    uint64_t id;
    tmk_time deadline;
    tmk_str message; /* encoded; empty once it was sent */
} tmk_rpc_call;

typedef struct tmk_rpc_property {
    const char *name;
    tmk_slice text;
} tmk_rpc_property;

/*
 * node: "$cbs", "$management". broken(user): the links are gone, all calls have been answered with
 * why; free it, and make another one when there is something to ask.
 */
tmk_status tmk_rpc_new(tmk_loop *loop, tmk_amqp *a, const char *node,
                       void (*broken)(void *user, const tmk_error *why), void *user, tmk_rpc **out,
                       tmk_error *err);
/* Calls under way are forgotten. NULL is fine. Returns NULL. line_gone: the connection, and so the
 * links, exist no more. */
tmk_rpc *tmk_rpc_free(tmk_rpc *r, bool line_gone);

/*
 * Asks: string properties, and a string as the body (NULL bytes: none). Copies everything; the
 * copies are wiped. The answer is ETIMEOUT after `deadline`.
 */
tmk_status tmk_rpc_ask(tmk_rpc *r, tmk_rpc_call *call, const tmk_rpc_property *properties,
                       size_t count, tmk_slice body, tmk_time deadline, tmk_error *err);
/* No answer comes. Does nothing when it is not under way. */
void tmk_rpc_cancel(tmk_rpc_call *call);

/* What a reply's status means: OK for 2xx, else an error. */
tmk_status tmk_rpc_judge(const tmk_rpc_reply *reply, tmk_error *err);

#endif
