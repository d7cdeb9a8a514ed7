/*
 * Management calls: facts about the hub and its partitions. See core.h.
 *
 * A call waits for the connection, is asked, and is tried again as the retry
 * options say; each try, waiting included, has its limit, so that a call is
 * answered in bounded time whatever the service does.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "eventhubs/core_parts.h"
#include "eventhubs/resend.h"

enum { SINGLE_TRY_MS = 10000, PARTITIONS_MAX = 4096 };

/* ---- deadlines ---- */

static tmk_time next_of(const tmk_core_call *call) {
    return call->due == TMK_NEVER ? call->deadline : call->due;
}

static void set_timer(tmk_core *c) {
    tmk_time at = TMK_NEVER;

    for (tmk_list *n = tmk_list_first(&c->calls); n != NULL; n = tmk_list_next(&c->calls, n)) {
        at = tmk_time_min(at, next_of(tmk_container_of(n, tmk_core_call, node)));
    }
    tmk_timer_set(c->loop, &c->calls_timer, at);
}

static void begin_try(tmk_core_call *call) {
    int64_t limit = call->core->options.retry.try_timeout_ms;

    if (call->tries_max == 1 && limit > SINGLE_TRY_MS) {
        limit = SINGLE_TRY_MS;
    }
    call->tries++;
    call->asked = false;
    call->due = TMK_NEVER;
    call->deadline = tmk_loop_now(call->core->loop) + limit * TMK_MS;
}

/* ---- answers ---- */

static void finish(tmk_core_call *call, const tmk_error *why) {
    tmk_core *c = call->core;
    tmk_error copy;

    if (why != NULL) {
        copy = *why;
        why = &copy;
    }
    tmk_core_cancel(call);
    call->answered(call, why); /* the call may be gone now */
    tmk_core_review(c);
}

static void fail_try(tmk_core_call *call, const tmk_error *why) {
    tmk_core *c = call->core;
    tmk_error told = *why;
    tmk_time now = tmk_loop_now(c->loop), delay = 0;
    tmk_trouble trouble = {
        .error = &told, .operation = "read", .partition = call->partition, .reaction = "retry"};

    tmk_rpc_cancel(&call->rpc);
    call->asked = false;
    if (told.status == TMK_EAUTH && call->tries < call->tries_max && !call->token_asked) {
        call->token_asked = true;
        (void)tmk_line_need_token(&c->line, now, call->began);
        delay = TMK_SEC;
        trouble.reaction = "new token";
    } else if (call->tries >= call->tries_max ||
               !tmk_resend_after(&c->options.retry, call->tries, &told, &c->rng, &delay)) {
        finish(call, &told);
        return;
    }
    call->due = now + delay;
    call->deadline = TMK_NEVER;
    set_timer(c);
    trouble.delay_ms = delay / TMK_MS;
    trouble.attempt = call->tries;
    tmk_core_report(c, &trouble);
    tmk_core_review(c);
}

static int64_t map_int(const tmk_value *map, const char *key, int64_t fallback) {
    tmk_value v = tmk_wire_map_get(map, key);

    return v.kind == TMK_VALUE_TIME ? v.i64 : tmk_wire_int(&v, fallback);
}

static void read_partition(const tmk_value *map, tmk_partition_facts *out) {
    tmk_value offset = tmk_wire_map_get(map, "last_enqueued_offset");
    tmk_value empty = tmk_wire_map_get(map, "is_partition_empty");
    tmk_slice text = tmk_wire_text(&offset);

    memset(out, 0, sizeof *out);
    out->begin_sequence = map_int(map, "begin_sequence_number", 0);
    out->last_sequence = map_int(map, "last_enqueued_sequence_number", -1);
    out->last_enqueued_ms = map_int(map, "last_enqueued_time_utc", 0);
    out->empty = tmk_wire_bool(&empty, out->last_sequence < 0);
    if (text.size < sizeof out->last_offset) { /* one that is cut would be another */
        memcpy(out->last_offset, text.bytes == NULL ? (const uint8_t *)"" : text.bytes, text.size);
    }
}

static void answer_partition(tmk_core_call *call, const tmk_value *map) {
    tmk_value last = tmk_wire_map_get(map, "last_enqueued_sequence_number");
    tmk_error err;

    if (last.kind != TMK_VALUE_INT) {
        (void)tmk_fail_retry(&err, TMK_EPROTO, "management",
                             "the answer about partition '%.40s' has no last sequence number",
                             call->partition);
        fail_try(call, &err);
        return;
    }
    read_partition(map, &call->facts);
    finish(call, NULL);
}

/* Copies of the ids behind an array of pointers to them, NULL-terminated; one block. */
static const char **copy_ids(tmk_value list, size_t *count) {
    size_t bytes = 0, n = 0;
    tmk_value walk = list, id;
    const char **ids;
    char *text;

    while (n < PARTITIONS_MAX && tmk_value_next(&walk, &id)) {
        bytes += id.bytes.size + 1;
        n++;
    }
    ids = tmk_alloc((n + 1) * sizeof *ids + bytes);
    if (ids == NULL) {
        return NULL;
    }
    text = (char *)(ids + n + 1);
    for (size_t i = 0; i < n && tmk_value_next(&list, &id); i++) {
        tmk_slice from = tmk_wire_text(&id);

        ids[i] = text;
        memcpy(text, from.bytes == NULL ? (const uint8_t *)"" : from.bytes, from.size);
        text += from.size;
        *text++ = '\0';
    }
    ids[n] = NULL;
    *count = n;
    return ids;
}

static void answer_hub(tmk_core_call *call, const tmk_value *map) {
    tmk_value list = tmk_wire_map_get(map, "partition_ids");
    const char **ids;
    size_t count = 0;
    tmk_error err;

    if (list.kind != TMK_VALUE_ARRAY && list.kind != TMK_VALUE_LIST) {
        (void)tmk_fail_retry(&err, TMK_EPROTO, "management",
                             "the answer about the hub names no partitions");
        fail_try(call, &err);
        return;
    }
    ids = copy_ids(list, &count);
    if (ids == NULL) {
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "management", "no memory for the partitions' names");
        fail_try(call, &err);
        return;
    }
    call->hub = (tmk_hub_facts){.name = call->core->options.hub,
                                .created_ms = map_int(map, "created_at", 0),
                                .georeplicated = map_int(map, "georeplication_factor", 1) > 1,
                                .partition_count = count,
                                .partitions = ids};
    finish(call, NULL);
    tmk_free((void *)ids);
}

static void on_reply(tmk_rpc_call *rpc, const tmk_rpc_reply *reply, const tmk_error *why) {
    tmk_core_call *call = tmk_container_of(rpc, tmk_core_call, rpc);
    tmk_error err;

    if (reply == NULL) {
        fail_try(call, why);
    } else if (tmk_rpc_judge(reply, &err) < 0) {
        fail_try(call, &err);
    } else if (reply->body.kind != TMK_VALUE_MAP) {
        (void)tmk_fail_retry(&err, TMK_EPROTO, "management", "the answer has no map in it");
        fail_try(call, &err);
    } else if (call->partition != NULL) {
        answer_partition(call, &reply->body);
    } else {
        answer_hub(call, &reply->body);
    }
}

/* ---- asking ---- */

/* Calls have been answered one by one; the next one opens a new pair. */
static void on_broken(void *user, const tmk_error *why) {
    tmk_trunk *t = user;

    (void)why;
    t->management = tmk_rpc_free(t->management, false);
}

static void ask(tmk_core_call *call) {
    tmk_core *c = call->core;
    tmk_trunk *t = c->trunk;
    tmk_rpc_property properties[] = {
        {"operation", TMK_LIT("READ")},
        {"type", call->partition == NULL ? TMK_LIT("com.microsoft:eventhub")
                                         : TMK_LIT("com.microsoft:partition")},
        {"name", tmk_slice_str(c->options.hub)},
        {"security_token", tmk_secret_bytes(c->token.secret)},
        {"partition", tmk_slice_str(call->partition)},
    };
    tmk_status st = TMK_OK;
    tmk_error err;

    call->asked = true;
    call->began = tmk_loop_now(c->loop);
    call->rpc.answered = on_reply;
    if (t->management == NULL) {
        st = tmk_rpc_new(c->loop, t->amqp, "$management", on_broken, t, &t->management, &err);
    }
    if (st == TMK_OK) {
        /* The call's own deadline is the earlier one; this is for the order of things only. */
        st = tmk_rpc_ask(t->management, &call->rpc, properties, call->partition == NULL ? 4 : 5,
                         tmk_slice_of(NULL, 0), TMK_NEVER, &err);
    }
    if (st < 0) {
        err.retryable = true;
        fail_try(call, &err);
    }
}

/* The first call that something is to be done about, or NULL. */
static tmk_core_call *first_ready(tmk_core *c, tmk_time now) {
    for (tmk_list *n = tmk_list_first(&c->calls); n != NULL; n = tmk_list_next(&c->calls, n)) {
        tmk_core_call *call = tmk_container_of(n, tmk_core_call, node);

        if (now >= next_of(call) ||
            (!call->asked && call->due == TMK_NEVER && tmk_core_stands(c))) {
            return call;
        }
    }
    return NULL;
}

void tmk_calls_run(tmk_core *c) {
    tmk_time now = tmk_loop_now(c->loop);
    tmk_core_call *call;
    tmk_error err;

    while ((call = first_ready(c, now)) != NULL) {
        if (call->due != TMK_NEVER) {
            begin_try(call);
        } else if (now >= call->deadline) {
            (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "management",
                                 tmk_core_stands(c) ? "the service does not answer"
                                                    : "there was no connection in time");
            fail_try(call, &err);
        } else {
            ask(call);
        }
    }
    set_timer(c);
}

void tmk_calls_on_timer(tmk_timer *timer) {
    tmk_calls_run(tmk_container_of(timer, tmk_core, calls_timer));
}

void tmk_calls_on_line(tmk_core *c, bool up, const tmk_error *barred) {
    tmk_list *next = NULL;

    for (tmk_list *n = tmk_list_first(&c->calls); n != NULL && !up;
         n = tmk_list_next(&c->calls, n)) {
        tmk_core_call *call = tmk_container_of(n, tmk_core_call, node);

        tmk_rpc_cancel(&call->rpc);
        call->asked = false;
    }
    while (barred != NULL && (next = tmk_list_first(&c->calls)) != NULL) {
        finish(tmk_container_of(next, tmk_core_call, node), barred);
    }
    if (up) {
        tmk_calls_run(c);
    }
}

void tmk_core_ask(tmk_core *c, tmk_core_call *call, const char *partition, uint32_t tries) {
    tmk_assert(call->core == NULL);
    call->core = c;
    call->partition = partition;
    call->tries = 0;
    call->token_asked = false;
    call->tries_max = tries == 0 ? c->options.retry.attempts : tries;
    tmk_list_push_back(&c->calls, &call->node);
    begin_try(call);
    tmk_timer_set(c->loop, &c->calls_timer,
                  0); /* asked from the loop: no answer from inside this */
    tmk_core_review(c);
}

void tmk_core_cancel(tmk_core_call *call) {
    if (call->core != NULL) {
        tmk_rpc_cancel(&call->rpc);
        tmk_list_remove(&call->node);
        call->core = NULL;
    }
}
