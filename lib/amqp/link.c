/*
 * Links and sessions: see connection.h.
 *
 * The receive path: the gate hands over each frame of a message by the link's
 * data lane. Links without one get theirs from the engine: each PN_DELIVERY has
 * its bytes taken at once, partial or not, so that the engine keeps nothing; a
 * complete message is settled before the next one, so that the engine merges the
 * dispositions of one write.
 */
#include "amqp/engine.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/status.h"

#define FILTER_NAME "apache.org:selector-filter:string"
#define FILTER_CODE UINT64_C(0x0000468C00000004)

enum {
    DETACH_MS = 5000,
    END_MS = 5000,
    VITAL_SESSIONS = 2, /* $cbs, $management */
    /* What may wait in the engine for the socket; each message is copied there. */
    OUTGOING_MAX = 4 * 1024 * 1024
};

static tmk_time soon(const tmk_amqp *a, int64_t ms) {
    return tmk_loop_now(a->loop) + ms * TMK_MS;
}

/* ---- sessions ---- */

/*
 * The engine falls silent when it has more sessions than the service allows. Two are kept for $cbs
 * and $management, without which no link lives; where there are so few, one link has to do.
 */
static bool has_channel(const tmk_amqp *a, bool vital) {
    size_t most = (size_t)tmk_gate_channel_max(a->gate) + 1;
    size_t most_links = most > VITAL_SESSIONS ? most - VITAL_SESSIONS : 1;

    return a->session_count < most && (vital || a->session_count - a->vital_count < most_links);
}

static tmk_status no_channel(const tmk_amqp *a, tmk_error *err) {
    for (tmk_list *n = tmk_list_first(&a->sessions); n != NULL;
         n = tmk_list_next(&a->sessions, n)) {
        if (tmk_container_of(n, tmk_amqp_session, node)->deadline != TMK_NEVER) {
            return tmk_fail_retry(err, TMK_ELIMIT, "amqp:channel-max",
                                  "all sessions that the service allows are in use; one is ending");
        }
    }
    return tmk_fail(err, TMK_ELIMIT, "amqp:channel-max",
                    "the service allows %u sessions on a connection, and all are in use: close "
                    "readers or senders, or share them among several clients",
                    (unsigned)tmk_gate_channel_max(a->gate) + 1);
}

static tmk_status session_new(tmk_amqp *a, bool vital, tmk_amqp_session **out, tmk_error *err) {
    tmk_amqp_session *s;

    if (!has_channel(a, vital)) {
        return no_channel(a, err);
    }
    s = tmk_new(tmk_amqp_session);
    if (s == NULL || (s->pn = pn_session(a->driver.connection)) == NULL) {
        tmk_free(s);
        return tmk_fail(err, TMK_ENOMEM, "amqp:link", "no memory for a session");
    }
    s->vital = vital;
    s->deadline = TMK_NEVER;
    pn_session_set_context(s->pn, s);
    pn_session_open(s->pn);
    tmk_list_push_back(&a->sessions, &s->node);
    a->session_count++;
    a->vital_count += vital;
    *out = s;
    return TMK_OK;
}

/* The last link has gone: the session ends too. */
static void session_leave(tmk_amqp *a, tmk_amqp_session *s) {
    if (--s->links > 0) {
        return;
    }
    pn_session_close(s->pn);
    s->deadline = soon(a, END_MS);
    if ((pn_session_state(s->pn) & PN_REMOTE_CLOSED) != 0) {
        s->deadline = 0; /* nothing to wait for: freed with the next turn */
    }
}

static void session_free(tmk_amqp *a, tmk_amqp_session *s) {
    a->session_count--;
    a->vital_count -= s->vital;
    tmk_list_remove(&s->node);
    pn_session_set_context(s->pn, NULL);
    pn_session_free(s->pn);
    tmk_free(s);
}

/* ---- opening ---- */

static void put_filter(pn_link_t *link, const char *selector) {
    pn_data_t *filter = pn_terminus_filter(pn_link_source(link));

    pn_data_put_map(filter);
    pn_data_enter(filter);
    pn_data_put_symbol(filter, pn_bytes(strlen(FILTER_NAME), FILTER_NAME));
    pn_data_put_described(filter);
    pn_data_enter(filter);
    pn_data_put_ulong(filter, FILTER_CODE);
    pn_data_put_string(filter, pn_bytes(strlen(selector), selector));
    pn_data_exit(filter);
    pn_data_exit(filter);
}

static void put_link_properties(pn_link_t *link, const tmk_amqp_link_options *o) {
    static const char epoch[] = "com.microsoft:epoch", name[] = "com.microsoft:receiver-name";
    pn_data_t *map = pn_link_properties(link);

    if (o->owner_level < 0 && o->receiver_name == NULL) {
        return;
    }
    pn_data_put_map(map);
    pn_data_enter(map);
    if (o->owner_level >= 0) {
        pn_data_put_symbol(map, pn_bytes(sizeof epoch - 1, epoch));
        pn_data_put_long(map, o->owner_level);
    }
    if (o->receiver_name != NULL) {
        pn_data_put_symbol(map, pn_bytes(sizeof name - 1, name));
        pn_data_put_string(map, pn_bytes(strlen(o->receiver_name), o->receiver_name));
    }
    pn_data_exit(map);
}

static void set_address(pn_terminus_t *terminus, const char *address) {
    if (address != NULL) {
        pn_terminus_set_address(terminus, address);
    }
}

static void set_up(tmk_amqp_link *l, const tmk_amqp_link_options *o) {
    set_address(pn_link_source(l->pn), o->source);
    set_address(pn_link_target(l->pn), o->target);
    if (o->filter != NULL) {
        put_filter(l->pn, o->filter);
    }
    put_link_properties(l->pn, o);
    pn_link_set_context(l->pn, l);
    pn_link_open(l->pn);
}

static void on_lane_frame(void *user, tmk_slice payload, tmk_lane_part part);

static tmk_status ask_gate(tmk_amqp_link *l, const char *name, const char *const *capabilities,
                           tmk_error *err) {
    tmk_data_lane *lane = l->laned ? &l->lane : NULL;
    tmk_slice list[4];
    size_t count = 0;

    while (capabilities != NULL && capabilities[count] != NULL) {
        tmk_assert(count < sizeof list / sizeof *list);
        list[count] = tmk_slice_str(capabilities[count]);
        count++;
    }
    l->lane.frame = on_lane_frame;
    l->lane.user = l;
    return count == 0 && lane == NULL
               ? TMK_OK
               : tmk_gate_ask(l->amqp->gate, tmk_slice_str(name), list, count, lane, err);
}

tmk_status tmk_amqp_link_open(tmk_amqp *a, const tmk_amqp_link_options *options,
                              const tmk_amqp_link_ops *ops, void *user, tmk_amqp_link **out,
                              tmk_error *err) {
    char name[37];
    tmk_amqp_link *l = NULL;
    tmk_amqp_session *s = options->beside == NULL ? NULL : options->beside->session;
    tmk_status st = TMK_OK;

    tmk_assert(!a->freed);
    if (s == NULL) {
        st = session_new(a, options->vital, &s, err);
    }
    if (s == NULL) {
        return st;
    }
    if ((l = tmk_new(tmk_amqp_link)) == NULL) {
        goto no_memory;
    }
    l->amqp = a;
    l->laned = a->lanes && !options->sender && options->beside == NULL;
    tmk_rng_uuid(&a->rng, name);
    if (ask_gate(l, name, options->capabilities, err) < 0) {
        goto no_memory;
    }
    l->pn = options->sender ? pn_sender(s->pn, name) : pn_receiver(s->pn, name);
    if (l->pn == NULL) {
        goto no_memory;
    }
    l->session = s;
    l->sender = options->sender;
    l->message_max = options->message_max;
    l->ops = ops;
    l->user = user;
    l->deadline = TMK_NEVER;
    s->links++;
    tmk_list_push_back(&a->links, &l->node);
    set_up(l, options);
    tmk_amqp_stir(a);
    *out = l;
    return TMK_OK;

no_memory:
    if (l != NULL) {
        tmk_lane_close(&l->lane);
    }
    tmk_free(l);
    if (s->links == 0) {
        s->links = 1;
        session_leave(a, s);
    }
    return tmk_fail(err, TMK_ENOMEM, "amqp:link", "no memory for a link");
}

/* ---- closing ---- */

/* Nothing more comes of this link; its memory goes. */
static void gone(tmk_amqp_link *l) {
    void (*closed)(void *user) = l->closed;
    void *user = l->closed_user;

    tmk_lane_close(&l->lane);
    tmk_list_remove(&l->node);
    tmk_list_remove(&l->turned);
    pn_link_set_context(l->pn, NULL);
    session_leave(l->amqp, l->session);
    tmk_free(l);
    if (closed != NULL) {
        closed(user);
    }
}

/* From here on it is the connection's. */
static void orphan(tmk_amqp_link *l) {
    l->ops = NULL;
    l->user = NULL;
    l->deadline = soon(l->amqp, DETACH_MS);
    tmk_lane_close(&l->lane);
    tmk_list_remove(&l->turned);
}

void tmk_amqp_link_close(tmk_amqp_link *l, void (*closed)(void *user), void *user) {
    tmk_assert(l->ops != NULL);
    l->closed = closed;
    l->closed_user = user;
    orphan(l);
    pn_link_close(l->pn);
    if ((pn_link_state(l->pn) & PN_REMOTE_UNINIT) != 0) {
        l->deadline = 0; /* the gate keeps the answer from us: over with the next turn */
    }
    tmk_amqp_stir(l->amqp);
}

/* The peer has misbehaved, or we cannot go on: the link is closed, its user told. */
static void break_link(tmk_amqp_link *l, const tmk_error *why, const char *condition) {
    const tmk_amqp_link_ops *ops = l->ops;
    void *user = l->user;
    tmk_fault fault = {.error = *why};

    fault.reaction = why->status == TMK_EPOSITION ? TMK_REACTION_POSITION : TMK_REACTION_LINK;
    pn_condition_set_name(pn_link_condition(l->pn), condition);
    pn_condition_set_description(pn_link_condition(l->pn), why->text);
    orphan(l);
    pn_link_close(l->pn);
    ops->ended(user, &fault);
}

void tmk_amqp_links_clear(tmk_amqp *a) {
    tmk_list *node;

    while ((node = tmk_list_first(&a->links)) != NULL) {
        gone(tmk_container_of(node, tmk_amqp_link, node));
    }
    while ((node = tmk_list_first(&a->sessions)) != NULL) {
        tmk_list_remove(node);
        tmk_free(tmk_container_of(node, tmk_amqp_session, node));
    }
}

/* ---- time ---- */

tmk_time tmk_amqp_links_deadline(const tmk_amqp *a) {
    tmk_time at = TMK_NEVER;

    for (tmk_list *n = tmk_list_first(&a->links); n != NULL; n = tmk_list_next(&a->links, n)) {
        at = tmk_time_min(at, tmk_container_of(n, tmk_amqp_link, node)->deadline);
    }
    for (tmk_list *n = tmk_list_first(&a->sessions); n != NULL;
         n = tmk_list_next(&a->sessions, n)) {
        at = tmk_time_min(at, tmk_container_of(n, tmk_amqp_session, node)->deadline);
    }
    return at;
}

/*
 * The ladder of a silent peer: a link whose detach is not answered takes its
 * session with it; a session whose end is not answered, the connection.
 */
void tmk_amqp_links_expire(tmk_amqp *a, tmk_time now) {
    tmk_list *next;
    tmk_error err;

    for (tmk_list *n = tmk_list_first(&a->links); n != NULL; n = next) {
        tmk_amqp_link *l = tmk_container_of(n, tmk_amqp_link, node);

        next = tmk_list_next(&a->links, n);
        if (now >= l->deadline) {
            tmk_warn(a->log, "amqp.link.stuck", "name='%s' next='end of session'",
                     pn_link_name(l->pn));
            gone(l);
        }
    }
    for (tmk_list *n = tmk_list_first(&a->sessions); n != NULL; n = next) {
        tmk_amqp_session *s = tmk_container_of(n, tmk_amqp_session, node);

        next = tmk_list_next(&a->sessions, n);
        if (now < s->deadline) {
            continue;
        }
        if ((pn_session_state(s->pn) & PN_REMOTE_CLOSED) != 0) {
            session_free(a, s);
        } else {
            (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "amqp",
                                 "the service does not answer the end of a link and its session");
            tmk_amqp_over(a, &err);
        }
    }
}

/* ---- receiving ---- */

void tmk_amqp_link_grant(tmk_amqp_link *l, uint32_t count) {
    tmk_assert(!l->sender && l->ops != NULL);
    l->granted += count;
    if (l->laned) {
        tmk_lane_grant(&l->lane, count);
    } else {
        pn_link_flow(l->pn, (int)count);
    }
    tmk_amqp_stir(l->amqp);
}

uint32_t tmk_amqp_link_granted(const tmk_amqp_link *l) {
    return l->granted;
}

/* A link that nobody listens to: its bytes are thrown away, so that they do not pile up. */
static void discard(pn_link_t *pn, pn_delivery_t *d) {
    char bytes[4096];

    while (pn_delivery_pending(d) > 0 && pn_link_recv(pn, bytes, sizeof bytes) > 0) {
    }
    if (!pn_delivery_partial(d) || pn_delivery_aborted(d)) {
        pn_link_advance(pn);
        pn_delivery_settle(d);
    }
}

/* What ends a link stands apart: the way of a message that is in order is short. */
__attribute__((cold, noinline)) static void refuse_size(tmk_amqp_link *l) {
    tmk_error err;

    (void)tmk_fail(&err, TMK_ELIMIT, "amqp:link:message-size-exceeded",
                   "the service sends a message of more than %" PRIu64 " bytes", l->message_max);
    break_link(l, &err, "amqp:link:message-size-exceeded");
}

__attribute__((cold, noinline)) static void refuse_memory(tmk_amqp_link *l, size_t more) {
    tmk_error err;

    (void)tmk_fail_retry(&err, TMK_ENOMEM, "amqp:link", "no memory for %zu bytes of events", more);
    break_link(l, &err, "amqp:resource-limit-exceeded");
}

__attribute__((cold, noinline)) static void refuse_transfer(tmk_amqp_link *l) {
    tmk_error err;

    (void)tmk_fail_retry(&err, TMK_EPROTO, "amqp:link:transfer-limit-exceeded",
                         "the service sends more messages than it was allowed");
    break_link(l, &err, "amqp:link:transfer-limit-exceeded");
}

/* Memory for what comes next of a message; NULL: the link was broken. */
static inline uint8_t *make_room(tmk_amqp_link *l, size_t more) {
    uint8_t *room = NULL;

    if (l->message_max > 0 && l->gathered + more > l->message_max) {
        refuse_size(l);
        return NULL;
    }
    room = l->ops->room(l->user, l->gathered, more);
    if (room == NULL) {
        refuse_memory(l, more);
    }
    return room;
}

static void complete(tmk_amqp_link *l) {
    size_t size = l->gathered;
    tmk_error err;

    l->gathered = 0;
    if (l->granted == 0) {
        refuse_transfer(l);
        return;
    }
    l->granted--;
    if (!tmk_list_linked(&l->turned)) {
        tmk_list_push_back(&l->amqp->turned, &l->turned);
    }
    if (l->ops->message(l->user, size, &err) < 0) {
        break_link(l, &err, "amqp:decode-error");
    }
}

/* By the gate. The end of a link closes its lane, that of the connection comes when it can. */
static void on_lane_frame(void *user, tmk_slice payload, tmk_lane_part part) {
    tmk_amqp_link *l = user;

    if (l->amqp->freed) {
        return;
    }
    if (part == TMK_LANE_ABORTED) {
        l->gathered = 0;
        return;
    }
    if (payload.size > 0) {
        uint8_t *room = make_room(l, payload.size);

        if (room == NULL) {
            return;
        }
        memcpy(room, payload.bytes, payload.size);
        l->gathered += payload.size;
    }
    if (part == TMK_LANE_LAST) {
        complete(l);
    }
}

/* By the engine: takes the bytes that have arrived; false: the link was broken. */
static bool gather(tmk_amqp_link *l, pn_delivery_t *d) {
    size_t pending = pn_delivery_pending(d);
    uint8_t *room = pending == 0 ? NULL : make_room(l, pending);
    ssize_t got;

    if (room == NULL) {
        return pending == 0;
    }
    got = pn_link_recv(l->pn, (char *)room, pending);
    l->gathered += got > 0 ? (size_t)got : 0;
    return true;
}

static void on_incoming(tmk_amqp_link *l, pn_delivery_t *d) {
    bool aborted = pn_delivery_aborted(d);

    if (aborted) {
        l->gathered = 0;
    } else if (!gather(l, d) || pn_delivery_partial(d)) {
        return;
    } else if (!pn_delivery_settled(d)) {
        pn_delivery_update(d, PN_ACCEPTED);
    }
    pn_link_advance(l->pn);
    pn_delivery_settle(d);
    if (!aborted) {
        complete(l);
    }
}

void tmk_amqp_links_turn(tmk_amqp *a) {
    tmk_list *node;

    while ((node = tmk_list_pop_front(&a->turned)) != NULL) {
        tmk_amqp_link *l = tmk_container_of(node, tmk_amqp_link, turned);

        if (l->ops->turn != NULL) {
            l->ops->turn(l->user);
        }
    }
}

/* ---- sending ---- */

uint32_t tmk_amqp_link_ready(tmk_amqp_link *l) {
    int credit = l->attached ? pn_link_credit(l->pn) : 0;

    return credit > 0 && pn_session_outgoing_bytes(l->session->pn) < OUTGOING_MAX ? (uint32_t)credit
                                                                                  : 0;
}

tmk_status tmk_amqp_link_send(tmk_amqp_link *l, tmk_slice message, bool batch, void *cookie,
                              tmk_error *err) {
    uint64_t number = ++l->amqp->tag;
    char tag[1 + sizeof number];
    pn_delivery_t *d;

    if (tmk_amqp_link_ready(l) == 0) {
        return tmk_fail_retry(err, TMK_ESTATE, "amqp:link", "the link takes no message now");
    }
    tag[0] = batch ? TMK_GATE_BATCH_TAG : 'E';
    memcpy(tag + 1, &number, sizeof number);
    d = pn_delivery(l->pn, pn_dtag(tag, sizeof tag));
    if (d == NULL) {
        return tmk_fail_retry(err, TMK_ENOMEM, "amqp:link", "no memory to send a message");
    }
    pn_delivery_set_context(d, cookie);
    (void)pn_link_send(l->pn, (const char *)message.bytes, message.size);
    pn_link_advance(l->pn);
    tmk_amqp_stir(l->amqp);
    return TMK_OK;
}

static void on_outgoing(tmk_amqp_link *l, pn_delivery_t *d) {
    uint64_t state = pn_delivery_remote_state(d);
    void *cookie = pn_delivery_get_context(d);
    tmk_outcome outcome = TMK_OUTCOME_UNKNOWN;
    tmk_fault fault;

    if (!pn_delivery_updated(d) ||
        (state != PN_ACCEPTED && state != PN_REJECTED && state != PN_RELEASED &&
         state != PN_MODIFIED && !pn_delivery_settled(d))) {
        return;
    }
    tmk_error_clear(&fault.error);
    switch (state) {
    case PN_ACCEPTED:
        outcome = TMK_OUTCOME_ACCEPTED;
        break;
    case PN_REJECTED:
        outcome = TMK_OUTCOME_REJECTED;
        tmk_amqp_judge(TMK_AT_SEND, pn_disposition_condition(pn_delivery_remote(d)),
                       "the service rejected the message without a reason", &fault);
        break;
    case PN_RELEASED:
    case PN_MODIFIED:
        outcome = TMK_OUTCOME_RELEASED;
        (void)tmk_fail_retry(&fault.error, TMK_EREMOTE, "amqp:released",
                             "the service did not take the message");
        break;
    default:
        (void)tmk_fail_retry(&fault.error, TMK_EREMOTE, "amqp:settled",
                             "the service does not say what became of the message");
        break;
    }
    pn_delivery_settle(d);
    l->ops->outcome(l->user, cookie, outcome, &fault.error);
}

/* ---- events ---- */

static void on_remote_open(tmk_amqp_link *l) {
    pn_terminus_t *theirs = l->sender ? pn_link_remote_target(l->pn) : pn_link_remote_source(l->pn);

    /* Refused: the answer has no terminus, and a detach with the reason follows. */
    if (pn_terminus_get_type(theirs) == PN_UNSPECIFIED || l->ops == NULL || l->attached) {
        return;
    }
    l->attached = true;
    l->ops->attached(l->user, pn_link_remote_max_message_size(l->pn));
}

static void on_remote_close(tmk_amqp_link *l) {
    const tmk_amqp_link_ops *ops = l->ops;
    void *user = l->user;
    tmk_fault fault;

    pn_link_close(l->pn);
    if (ops == NULL) {
        gone(l);
        return;
    }
    tmk_amqp_judge(TMK_AT_LINK, pn_link_remote_condition(l->pn),
                   "the service ended the link without a reason", &fault);
    orphan(l);
    gone(l);
    ops->ended(user, &fault);
}

/* All links of the session end with it. */
static void on_session_closed(tmk_amqp *a, pn_session_t *pn) {
    tmk_amqp_session *s = pn_session_get_context(pn);
    tmk_list *n = s == NULL ? NULL : tmk_list_first(&a->links);
    tmk_fault fault;

    if (s != NULL && s->deadline != TMK_NEVER) {
        s->deadline = 0; /* the end that was waited for */
    }
    tmk_amqp_judge(TMK_AT_SESSION, pn_session_remote_condition(pn),
                   "the service ended the session without a reason", &fault);
    while (n != NULL && !a->freed) {
        tmk_amqp_link *l = tmk_container_of(n, tmk_amqp_link, node);

        n = tmk_list_next(&a->links, n);
        if (l->session == s) {
            const tmk_amqp_link_ops *ops = l->ops;
            void *user = l->user;

            orphan(l);
            gone(l);
            if (ops != NULL) {
                ops->ended(user, &fault);
                n = tmk_list_first(&a->links); /* anything may have happened to the list */
            }
        }
    }
}

static void on_delivery(pn_event_t *event) {
    pn_delivery_t *d = pn_event_delivery(event);
    pn_link_t *pn = pn_delivery_link(d);
    tmk_amqp_link *l = pn_link_get_context(pn);

    if (pn_link_is_receiver(pn)) {
        if (d != pn_link_current(pn)) {
            return;
        }
        if (l == NULL || l->ops == NULL) {
            discard(pn, d);
        } else {
            on_incoming(l, d);
        }
    } else if (l != NULL && l->ops != NULL) {
        on_outgoing(l, d);
    } else if (pn_delivery_updated(d)) {
        pn_delivery_settle(d);
    }
}

void tmk_amqp_link_on_event(tmk_amqp *a, pn_event_t *event, pn_event_type_t type) {
    pn_link_t *pn = type == PN_DELIVERY ? NULL : pn_event_link(event);
    tmk_amqp_link *l = pn == NULL ? NULL : pn_link_get_context(pn);

    switch (type) {
    case PN_DELIVERY:
        on_delivery(event);
        break;
    case PN_LINK_REMOTE_OPEN:
        if (l != NULL) {
            on_remote_open(l);
        }
        break;
    case PN_LINK_REMOTE_CLOSE:
    case PN_LINK_REMOTE_DETACH:
        if (l != NULL) {
            on_remote_close(l);
        }
        break;
    case PN_LINK_FLOW:
        if (l != NULL && l->sender && l->ops != NULL && tmk_amqp_link_ready(l) > 0) {
            l->ops->credit(l->user);
        }
        break;
    case PN_SESSION_REMOTE_CLOSE:
        on_session_closed(a, pn_event_session(event));
        break;
    default:
        break;
    }
}
