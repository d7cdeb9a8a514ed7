/* See rpc.h. */
#include "amqp/rpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "amqp/scan.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"

enum {
    CREDIT = 50,
    REPLY_MAX = 256 * 1024,
    CORRELATION_ID = 5,
    TEXT_MAX = 200,
    CONDITION_MAX = 48
};

struct tmk_rpc {
    tmk_loop *loop;
    tmk_amqp_link *sender, *receiver;
    bool sender_up, receiver_up;
    char reply_to[40];
    uint64_t id;
    tmk_list waiting; /* to be sent */
    tmk_list asked;   /* to be answered */
    tmk_str reply;    /* the one under way */
    tmk_timer timer;
    void (*broken)(void *user, const tmk_error *why);
    void *user;
};

/* ---- calls ---- */

static void forget(tmk_rpc_call *call) {
    tmk_list_remove(&call->node);
    tmk_str_wipe(&call->message);
    call->rpc = NULL;
}

void tmk_rpc_cancel(tmk_rpc_call *call) {
    if (call->rpc != NULL) {
        forget(call);
    }
}

static void fail_call(tmk_rpc_call *call, const tmk_error *why) {
    forget(call);
    call->answered(call, NULL, why);
}

/* An answer may cancel or ask others, or free the rpc: `list` belongs to the caller here. */
static void fail_all(tmk_list *list, const tmk_error *why) {
    tmk_list *node;

    while ((node = tmk_list_first(list)) != NULL) {
        fail_call(tmk_container_of(node, tmk_rpc_call, node), why);
    }
}

static void move_all(tmk_list *from, tmk_list *to) {
    tmk_list *node;

    while ((node = tmk_list_pop_front(from)) != NULL) {
        tmk_list_push_back(to, node);
    }
}

/* The first of `list` that is due, or NULL; *first becomes the next deadline. */
static tmk_rpc_call *overdue(const tmk_list *list, tmk_time now, tmk_time *first) {
    for (tmk_list *n = tmk_list_first(list); n != NULL; n = tmk_list_next(list, n)) {
        tmk_rpc_call *call = tmk_container_of(n, tmk_rpc_call, node);

        if (now >= call->deadline) {
            return call;
        }
        *first = tmk_time_min(*first, call->deadline);
    }
    return NULL;
}

/* One call a turn: its answer may do anything. */
static void on_timer(tmk_timer *timer) {
    tmk_rpc *r = tmk_container_of(timer, tmk_rpc, timer);
    tmk_time now = tmk_loop_now(r->loop), first = TMK_NEVER;
    tmk_rpc_call *call = overdue(&r->waiting, now, &first);
    tmk_error err;

    if (call == NULL) {
        call = overdue(&r->asked, now, &first);
    }
    tmk_timer_set(r->loop, &r->timer, call == NULL ? first : now);
    if (call != NULL) {
        (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "amqp:rpc", "the service does not answer");
        fail_call(call, &err);
    }
}

/* ---- sending ---- */

static void send_waiting(tmk_rpc *r) {
    tmk_list *node;
    tmk_error err;

    while (r->sender_up && r->receiver_up && tmk_amqp_link_ready(r->sender) > 0 &&
           (node = tmk_list_pop_front(&r->waiting)) != NULL) {
        tmk_rpc_call *call = tmk_container_of(node, tmk_rpc_call, node);

        tmk_list_push_back(&r->asked, &call->node);
        if (tmk_amqp_link_send(r->sender, tmk_str_slice(&call->message), false, NULL, &err) < 0) {
            call->deadline = 0; /* told from the timer */
            tmk_timer_set(r->loop, &r->timer, 0);
        }
        tmk_str_wipe(&call->message);
    }
}

static void put_properties(tmk_str *m, const tmk_rpc *r, uint64_t id) {
    char text[24];
    tmk_wire_mark list;

    (void)snprintf(text, sizeof text, "%" PRIu64, id);
    tmk_wire_put_descriptor(m, TMK_SECTION_PROPERTIES);
    list = tmk_wire_begin_list(m);
    tmk_wire_put_string(m, tmk_slice_str(text)); /* message-id */
    tmk_wire_null(m);                            /* user-id */
    tmk_wire_null(m);                            /* to */
    tmk_wire_null(m);                            /* subject */
    tmk_wire_put_string(m, tmk_slice_str(r->reply_to));
    tmk_wire_end_list(m, list, 5);
}

static void put_application_properties(tmk_str *m, const tmk_rpc_property *properties,
                                       size_t count) {
    tmk_wire_mark map;

    tmk_wire_put_descriptor(m, TMK_SECTION_APPLICATION_PROPERTIES);
    map = tmk_wire_begin_map(m);
    for (size_t i = 0; i < count; i++) {
        tmk_wire_put_string(m, tmk_slice_str(properties[i].name));
        tmk_wire_put_string(m, properties[i].text);
    }
    tmk_wire_end_map(m, map, (uint32_t)(2 * count));
}

/* Room for all of it from the start: growing would leave copies of a token behind. */
static bool encode(tmk_rpc_call *call, const tmk_rpc_property *properties, size_t count,
                   tmk_slice body) {
    size_t size = 256 + body.size;
    tmk_str *m = &call->message;

    for (size_t i = 0; i < count; i++) {
        size += 32 + strlen(properties[i].name) + properties[i].text.size;
    }
    *m = (tmk_str)TMK_STR_INIT;
    if (!tmk_str_reserve(m, size)) {
        return false;
    }
    size = m->room;
    put_properties(m, call->rpc, call->id);
    put_application_properties(m, properties, count);
    tmk_wire_put_descriptor(m, TMK_SECTION_VALUE);
    if (body.bytes == NULL) {
        tmk_wire_null(m);
    } else {
        tmk_wire_put_string(m, body);
    }
    tmk_assert(m->room == size);
    return tmk_str_ok(m);
}

tmk_status tmk_rpc_ask(tmk_rpc *r, tmk_rpc_call *call, const tmk_rpc_property *properties,
                       size_t count, tmk_slice body, tmk_time deadline, tmk_error *err) {
    tmk_assert(call->rpc == NULL);
    call->rpc = r;
    call->id = ++r->id;
    call->deadline = deadline;
    if (!encode(call, properties, count, body)) {
        forget(call);
        return tmk_fail(err, TMK_ENOMEM, "amqp:rpc", "no memory for a request");
    }
    tmk_list_push_back(&r->waiting, &call->node);
    if (r->timer.node.index == 0 || deadline < r->timer.node.due) {
        tmk_timer_set(r->loop, &r->timer, deadline);
    }
    send_waiting(r);
    return TMK_OK;
}

/* ---- answers ---- */

static uint8_t *on_room(void *user, size_t kept, size_t more) {
    tmk_rpc *r = user;

    if (kept + more > r->reply.room) {
        char *text = tmk_resize(r->reply.text, kept + more, 1);

        if (text == NULL) {
            return NULL;
        }
        r->reply.text = text;
        r->reply.room = kept + more;
    }
    return (uint8_t *)r->reply.text + kept;
}

static tmk_rpc_call *find(const tmk_rpc *r, const tmk_value *id) {
    uint64_t number = 0;

    if (id->kind == TMK_VALUE_STRING ? !tmk_slice_uint64(id->bytes, &number)
                                     : (number = tmk_wire_uint(id, 0)) == 0) {
        return NULL;
    }
    for (tmk_list *n = tmk_list_first(&r->asked); n != NULL; n = tmk_list_next(&r->asked, n)) {
        tmk_rpc_call *call = tmk_container_of(n, tmk_rpc_call, node);

        if (call->id == number) {
            return call;
        }
    }
    return NULL;
}

/* Service and emulator spell these two ways. */
static tmk_value either(const tmk_value *map, const char *a, const char *b) {
    tmk_value v = tmk_wire_map_get(map, a);

    return v.kind == TMK_VALUE_NONE ? tmk_wire_map_get(map, b) : v;
}

static bool read_reply(const tmk_sections *s, tmk_value *id, tmk_rpc_reply *out) {
    tmk_slice in = s->properties;
    tmk_value list, map, v;
    tmk_wire_list fields;
    uint8_t code = 0;
    tmk_slice body = s->body, value;

    memset(out, 0, sizeof *out);
    if (!tmk_wire_take(&in, &list) || !tmk_wire_list_open(&list, &fields) ||
        !tmk_wire_list_field(&fields, CORRELATION_ID, id)) {
        return false;
    }
    in = s->application_properties;
    if (!tmk_wire_take(&in, &map) || map.kind != TMK_VALUE_MAP) {
        return false;
    }
    v = either(&map, "status-code", "statusCode");
    out->status = tmk_wire_int(&v, -1);
    v = either(&map, "status-description", "statusDescription");
    out->description = tmk_wire_text(&v);
    v = either(&map, "error-condition", "errorCondition");
    out->condition = tmk_wire_text(&v);
    if (s->body_kind == TMK_BODY_VALUE && tmk_scan_section(&body, &code, &value)) {
        (void)tmk_wire_take(&value, &out->body);
    }
    return true;
}

/* Answers that nobody waits for any more, or that nobody understands, are passed over: the call
 * then ends by its deadline. */
static tmk_status on_message(void *user, size_t size, tmk_error *err) {
    tmk_rpc *r = user;
    tmk_rpc_call *call;
    tmk_rpc_reply reply;
    tmk_sections s;
    tmk_value id;

    (void)err;
    tmk_amqp_link_grant(r->receiver, 1);
    if (!tmk_scan_message(tmk_slice_of(r->reply.text, size), &s) || !read_reply(&s, &id, &reply)) {
        return TMK_OK;
    }
    call = find(r, &id);
    if (call != NULL) {
        forget(call);
        call->answered(call, &reply, NULL);
    }
    return TMK_OK;
}

static void on_outcome(void *user, void *cookie, tmk_outcome outcome, const tmk_error *why) {
    (void)user;
    (void)cookie;
    (void)outcome;
    (void)why;
}

/* ---- links ---- */

static void on_credit(void *user) {
    send_waiting(user);
}

static void on_sender_attached(void *user, uint64_t message_max) {
    tmk_rpc *r = user;

    (void)message_max;
    r->sender_up = true;
    send_waiting(r);
}

static void on_receiver_attached(void *user, uint64_t message_max) {
    tmk_rpc *r = user;

    (void)message_max;
    r->receiver_up = true;
    send_waiting(r);
}

static void break_down(tmk_rpc *r, const tmk_error *why) {
    void (*broken)(void *user, const tmk_error *why) = r->broken;
    void *user = r->user;
    tmk_error copy = *why;
    tmk_list calls;

    tmk_list_init(&calls);
    move_all(&r->asked, &calls);
    move_all(&r->waiting, &calls);
    tmk_timer_stop(r->loop, &r->timer);
    broken(user, &copy); /* r may be gone now */
    fail_all(&calls, &copy);
}

static void on_sender_ended(void *user, const tmk_fault *fault) {
    tmk_rpc *r = user;

    r->sender = NULL;
    break_down(r, &fault->error);
}

static void on_receiver_ended(void *user, const tmk_fault *fault) {
    tmk_rpc *r = user;

    r->receiver = NULL;
    break_down(r, &fault->error);
}

static const tmk_amqp_link_ops sender_ops = {
    .attached = on_sender_attached,
    .ended = on_sender_ended,
    .credit = on_credit,
    .outcome = on_outcome,
};

static const tmk_amqp_link_ops receiver_ops = {
    .attached = on_receiver_attached,
    .ended = on_receiver_ended,
    .room = on_room,
    .message = on_message,
};

static tmk_status open_links(tmk_rpc *r, tmk_amqp *a, const char *node, tmk_error *err) {
    tmk_amqp_link_options to = {.sender = true, .target = node, .owner_level = -1, .vital = true};
    tmk_amqp_link_options from = {
        .source = node, .target = r->reply_to, .owner_level = -1, .message_max = REPLY_MAX};
    tmk_status st = tmk_amqp_link_open(a, &to, &sender_ops, r, &r->sender, err);

    if (st == TMK_OK) {
        from.beside = r->sender;
        st = tmk_amqp_link_open(a, &from, &receiver_ops, r, &r->receiver, err);
    }
    if (st == TMK_OK) {
        tmk_amqp_link_grant(r->receiver, CREDIT);
    }
    return st;
}

tmk_status tmk_rpc_new(tmk_loop *loop, tmk_amqp *a, const char *node,
                       void (*broken)(void *user, const tmk_error *why), void *user, tmk_rpc **out,
                       tmk_error *err) {
    tmk_rpc *r = tmk_new(tmk_rpc);
    tmk_status st;

    if (r == NULL || tmk_timer_init(loop, &r->timer, on_timer) < 0) {
        tmk_free(r);
        return tmk_fail(err, TMK_ENOMEM, "amqp:rpc", "no memory for requests");
    }
    r->loop = loop;
    r->broken = broken;
    r->user = user;
    tmk_list_init(&r->waiting);
    tmk_list_init(&r->asked);
    /* Unlike those of other pairs of the connection; the service does not mind others'. */
    (void)snprintf(r->reply_to, sizeof r->reply_to, "tidemark-%s", node + (node[0] == '$'));
    st = open_links(r, a, node, err);
    if (st < 0) {
        (void)tmk_rpc_free(r, false);
        return st;
    }
    *out = r;
    return TMK_OK;
}

tmk_rpc *tmk_rpc_free(tmk_rpc *r, bool line_gone) {
    tmk_list *node;

    if (r == NULL) {
        return NULL;
    }
    while ((node = tmk_list_first(&r->asked)) != NULL ||
           (node = tmk_list_first(&r->waiting)) != NULL) {
        forget(tmk_container_of(node, tmk_rpc_call, node));
    }
    if (!line_gone && r->sender != NULL) {
        tmk_amqp_link_close(r->sender, NULL, NULL);
    }
    if (!line_gone && r->receiver != NULL) {
        tmk_amqp_link_close(r->receiver, NULL, NULL);
    }
    tmk_timer_clear(r->loop, &r->timer);
    tmk_str_clear(&r->reply);
    tmk_free(r);
    return NULL;
}

/* ---- judging ---- */

static void copy_text(char *to, size_t room, tmk_slice from) {
    size_t size = from.size < room ? from.size : room - 1;

    if (size > 0) {
        memcpy(to, from.bytes, size);
    }
    to[size] = '\0';
}

tmk_status tmk_rpc_judge(const tmk_rpc_reply *reply, tmk_error *err) {
    const char *stands_for = tmk_condition_of_code(reply->status);
    char name[CONDITION_MAX], words[TEXT_MAX];

    if (stands_for == NULL) {
        return TMK_OK;
    }
    copy_text(name, sizeof name, reply->condition);
    copy_text(words, sizeof words, reply->description);
    (void)tmk_condition_judge(TMK_AT_CALL, name[0] == '\0' ? stands_for : name, words, err);
    return err->status;
}
