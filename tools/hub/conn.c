/* One connection: headers, frames, open and close, and what is due. See engine.h. */
#include "hub/conn.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/log.h"

enum { PROTOCOL_SASL = 3, PROTOCOL_AMQP = 0, OPEN_WAIT_S = 60, CLOSE_WAIT_S = 5 };

/* ---- life ---- */

tmk_hub_conn *tmk_hub_conn_new(tmk_hub_server *s, void *owner) {
    tmk_hub_conn *c = tmk_new(tmk_hub_conn);

    if (c == NULL) {
        return NULL;
    }
    c->server = s;
    c->owner = owner;
    c->id = ++s->next_conn;
    c->frame_max = 512;
    c->peer_idle = c->wake_at = c->claims_due = c->close_by = c->idle_check = TMK_NEVER;
    c->since = c->last_in = c->last_out = s->now;
    tmk_list_init(&c->claims);
    tmk_list_init(&c->sending);
    tmk_list_init(&c->delayed);
    tmk_list_push_back(&s->conns, &c->node);
    s->stats.connections++;
    return c;
}

tmk_hub_conn *tmk_hub_conn_free(tmk_hub_conn *c) {
    if (c == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < c->session_room; i++) {
        tmk_hub_session_free(c->sessions[i]);
    }
    tmk_free(c->sessions);
    tmk_hub_claims_clear(c);
    tmk_str_clear(&c->in);
    tmk_str_clear(&c->out);
    tmk_list_remove(&c->node);
    tmk_list_remove(&c->ready_node);
    tmk_free(c);
    return NULL;
}

void *tmk_hub_conn_owner(const tmk_hub_conn *c) {
    return c->owner;
}

void tmk_hub_conn_ready(tmk_hub_conn *c) {
    if (!tmk_list_linked(&c->ready_node)) {
        tmk_list_push_back(&c->server->ready, &c->ready_node);
    }
}

tmk_hub_subject tmk_hub_conn_subject(const tmk_hub_conn *c, tmk_hub_what what) {
    tmk_hub_subject s = {{0}, {0}, {0}, TMK_HUB_ROLE_ANY, what, c->id};

    return s;
}

/* ---- open and close ---- */

/* Outcomes that sessions have gathered. */
static void tell(tmk_hub_conn *c) {
    for (size_t i = 0; c->telling && i < c->session_room; i++) {
        if (c->sessions[i] != NULL) {
            tmk_hub_session_tell(c->sessions[i]);
        }
    }
    c->telling = false;
}

static void put_close(tmk_hub_conn *c, const tmk_hub_fail *why) {
    tmk_frame_mark m;

    tell(c); /* nothing follows a close */
    m = tmk_frame_begin(&c->out, 0, 0, TMK_AMQP_CLOSE);
    tmk_hub_put_fail(c, why, "connection");
    tmk_frame_end_fields(&c->out, m, 1);
    tmk_frame_end(&c->out, m);
}

static void put_open(tmk_hub_conn *c) {
    tmk_frame_mark m = tmk_frame_begin(&c->out, 0, 0, TMK_AMQP_OPEN);

    tmk_wire_put_string(&c->out, tmk_slice_str(c->container));
    tmk_wire_null(&c->out);
    tmk_wire_put_uint(&c->out, TMK_HUB_FRAME_MAX);
    tmk_wire_put_ushort(&c->out, c->server->channel_max);
    tmk_wire_put_uint(&c->out, (uint32_t)c->server->idle.announced_ms);
    tmk_hub_put_nulls(&c->out, 5);
    tmk_frame_end_fields(&c->out, m, 10);
    tmk_frame_end(&c->out, m);
}

void tmk_hub_conn_close(tmk_hub_conn *c, const tmk_hub_fail *why) {
    if (c->phase >= TMK_HUB_PHASE_CLOSING) {
        return;
    }
    if (c->phase == TMK_HUB_PHASE_OPEN) {
        put_open(c); /* a close may only follow an open */
    }
    if (c->phase == TMK_HUB_PHASE_UP || c->phase == TMK_HUB_PHASE_OPEN) {
        put_close(c, why);
        c->phase = TMK_HUB_PHASE_CLOSING;
        c->close_by = c->server->now + CLOSE_WAIT_S * TMK_SEC;
    } else {
        c->broken = true;
    }
    tmk_hub_conn_ready(c);
}

void tmk_hub_conn_fail(tmk_hub_conn *c, const char *condition, const char *text) {
    tmk_hub_fail why = {"", ""};

    tmk_debug(&c->server->log, "hub.protocol", "connection=%" PRIu64 " condition=%s text='%s'",
              c->id, condition, text);
    tmk_hub_fail_set(&why, condition, "%s", text);
    tmk_hub_conn_close(c, &why);
}

static void make_container(tmk_hub_conn *c) {
    uint8_t id[16];
    tmk_str text = TMK_STR_INIT;

    tmk_rng_bytes(&c->server->rng, id, sizeof id);
    tmk_str_add_hex(&text, tmk_slice_of(id, sizeof id));
    tmk_str_add(&text, "_G0");
    if (text.size < sizeof c->container) {
        memcpy(c->container, tmk_str_text(&text), text.size + 1);
    }
    tmk_str_clear(&text);
}

static void take_open(tmk_hub_conn *c, const tmk_frame *f) {
    tmk_hub_server *s = c->server;
    tmk_hub_subject where = tmk_hub_conn_subject(c, TMK_HUB_WHAT_OPEN);
    tmk_wire_list l;
    tmk_value frame_max = {0}, idle = {0};
    tmk_hub_rule rule;
    uint64_t size, idle_ms;

    make_container(c);
    if (f->code != TMK_AMQP_OPEN || !tmk_wire_list_open(&f->performative, &l) ||
        !tmk_wire_list_field(&l, 2, &frame_max) || !tmk_wire_list_field(&l, 4, &idle)) {
        tmk_hub_conn_fail(c, TMK_HUB_DECODE, "The first frame is no open.");
        return;
    }
    size = tmk_wire_uint(&frame_max, TMK_HUB_FRAME_MAX);
    size = size > TMK_HUB_FRAME_MAX ? TMK_HUB_FRAME_MAX : size;
    c->frame_max = size < 512 ? 512 : (uint32_t)size;
    idle_ms = tmk_wire_uint(&idle, 0);
    c->peer_idle = idle_ms == 0 || idle_ms > UINT32_MAX ? TMK_NEVER : (tmk_time)idle_ms * TMK_MS;
    c->phase = TMK_HUB_PHASE_UP;
    c->since = s->now;
    c->idle_check = s->now;
    if (!tmk_hub_rules_hit(&s->rules, TMK_HUB_RULE_MUTE, &where, s->now, &s->rng, &rule)) {
        put_open(c);
    }
}

static void take_close(tmk_hub_conn *c) {
    if (c->phase == TMK_HUB_PHASE_UP) {
        put_close(c, NULL);
    }
    c->phase = TMK_HUB_PHASE_OVER;
}

/* ---- frames ---- */

static tmk_hub_session *session_of(const tmk_hub_conn *c, uint16_t channel) {
    return channel < c->session_room ? c->sessions[channel] : NULL;
}

static tmk_hub_link *link_of(const tmk_hub_session *s, const tmk_frame *f) {
    tmk_wire_list l;
    tmk_value handle = {0};
    uint64_t h;

    if (!tmk_wire_list_open(&f->performative, &l) || !tmk_wire_list_field(&l, 0, &handle)) {
        return NULL;
    }
    h = tmk_wire_uint(&handle, UINT32_MAX);
    return h <= TMK_HUB_HANDLE_MAX ? s->links[h] : NULL;
}

static void take_session_frame(tmk_hub_conn *c, const tmk_frame *f) {
    tmk_hub_session *s = session_of(c, f->channel);
    tmk_hub_link *l;

    if (s == NULL) {
        tmk_hub_conn_fail(c, TMK_HUB_NOT_ALLOWED, "A frame for a session that does not exist.");
        return;
    }
    if (f->code == TMK_AMQP_END) {
        tmk_hub_session_ended(s);
        return;
    }
    if (s->ending) {
        return;
    }
    switch (f->code) {
    case TMK_AMQP_ATTACH:
        tmk_hub_link_attach(s, f);
        break;
    case TMK_AMQP_FLOW:
        tmk_hub_session_flow(s, f);
        break;
    case TMK_AMQP_TRANSFER:
        tmk_hub_sender_transfer(s, f);
        break;
    case TMK_AMQP_DISPOSITION:
        tmk_hub_session_disposition(s, f);
        break;
    default:
        l = link_of(s, f);
        if (l != NULL) {
            tmk_hub_link_detached(l, f);
        }
    }
}

static void take_frame(tmk_hub_conn *c, const tmk_frame *f) {
    if (c->phase == TMK_HUB_PHASE_SASL) {
        tmk_hub_sasl_init(c, f);
    } else if (f->type != 0) {
        tmk_hub_conn_fail(c, "amqp:connection:framing-error", "A SASL frame after SASL.");
    } else if (f->code == 0) {
        /* a heartbeat */
    } else if (f->code == TMK_AMQP_CLOSE) {
        take_close(c);
    } else if (c->phase == TMK_HUB_PHASE_OPEN) {
        take_open(c, f);
    } else if (c->phase != TMK_HUB_PHASE_UP) {
        /* closing: only the close counts */
    } else if (f->code == TMK_AMQP_OPEN) {
        tmk_hub_conn_fail(c, TMK_HUB_NOT_ALLOWED, "A second open.");
    } else if (f->code == TMK_AMQP_BEGIN) {
        tmk_hub_session_begin(c, f);
    } else {
        take_session_frame(c, f);
    }
}

static tmk_hub_what what_of(const tmk_frame *f) {
    switch (f->code) {
    case TMK_AMQP_OPEN:
        return TMK_HUB_WHAT_OPEN;
    case TMK_AMQP_BEGIN:
        return TMK_HUB_WHAT_BEGIN;
    case TMK_AMQP_ATTACH:
        return TMK_HUB_WHAT_ATTACH;
    case TMK_AMQP_DETACH:
        return TMK_HUB_WHAT_DETACH;
    default:
        return TMK_HUB_WHAT_ANY;
    }
}

/* A fault that makes the hub slow: this frame, and all behind it, wait. */
static bool held_back(tmk_hub_conn *c, const tmk_frame *f) {
    tmk_hub_server *s = c->server;
    tmk_hub_subject where = tmk_hub_conn_subject(c, what_of(f));
    tmk_hub_rule rule;

    if (c->let_in || where.what == TMK_HUB_WHAT_ANY) {
        c->let_in = false;
        return false;
    }
    if (!tmk_hub_rules_hit(&s->rules, TMK_HUB_RULE_DELAY, &where, s->now, &s->rng, &rule)) {
        return false;
    }
    c->hold_in = s->now + rule.ms * TMK_MS;
    c->let_in = true;
    return true;
}

static void take_header(tmk_hub_conn *c, const uint8_t *h) {
    static const char amqp[] = "AMQP\0\1\0\0";
    bool sasl = h[4] == PROTOCOL_SASL && c->phase == TMK_HUB_PHASE_HEADER;
    bool ours = memcmp(h, amqp, 4) == 0 && h[5] == 1 && h[6] == 0 && h[7] == 0;

    if (!ours || (!sasl && h[4] != PROTOCOL_AMQP)) {
        tmk_str_add_slice(&c->out, tmk_slice_of(amqp, 8));
        c->phase = TMK_HUB_PHASE_OVER;
        return;
    }
    tmk_str_add_slice(&c->out, tmk_slice_of(h, 8));
    if (sasl) {
        tmk_hub_sasl_offer(c);
    }
    c->phase = sasl ? TMK_HUB_PHASE_SASL : TMK_HUB_PHASE_OPEN;
}

/* Takes one thing from the front: its size; 0: there is no whole one, or not now. */
static size_t take_one(tmk_hub_conn *c, tmk_slice bytes) {
    tmk_frame f;
    tmk_error err;
    size_t size = 0;
    tmk_status st;

    if (c->phase == TMK_HUB_PHASE_HEADER || c->phase == TMK_HUB_PHASE_AMQP) {
        if (bytes.size < 8) {
            return 0;
        }
        take_header(c, bytes.bytes);
        return 8;
    }
    st = tmk_frame_take(bytes, TMK_HUB_FRAME_MAX, &size, &f, &err);
    if (st == TMK_AGAIN) {
        return 0;
    }
    if (st < 0) {
        tmk_hub_conn_fail(c, "amqp:connection:framing-error", err.text);
        return bytes.size;
    }
    if (held_back(c, &f)) {
        return 0;
    }
    take_frame(c, &f);
    return size;
}

static size_t take_all(tmk_hub_conn *c, tmk_slice bytes) {
    size_t taken = 0;

    while (taken < bytes.size && !c->broken && c->hold_in == 0 && c->phase != TMK_HUB_PHASE_OVER) {
        size_t size = take_one(c, tmk_slice_from(bytes, taken));
        if (size == 0) {
            break;
        }
        taken += size;
    }
    return taken;
}

/* Keeps what is behind the first `taken` bytes of what waits in `in`. */
static void shift(tmk_hub_conn *c, size_t taken) {
    if (taken > 0) {
        c->in.size -= taken;
        memmove(c->in.text, c->in.text + taken, c->in.size);
    }
}

void tmk_hub_conn_input(tmk_hub_conn *c, tmk_slice bytes) {
    size_t taken;

    c->last_in = c->server->now;
    if (c->in.size > 0 || c->hold_in != 0) {
        tmk_str_add_slice(&c->in, bytes);
        shift(c, take_all(c, tmk_str_slice(&c->in)));
    } else {
        taken = take_all(c, bytes);
        tmk_str_add_slice(&c->in, tmk_slice_from(bytes, taken));
    }
    c->broken = c->broken || !tmk_str_ok(&c->in) || !tmk_str_ok(&c->out);
    tmk_hub_conn_ready(c);
}

/* ---- output ---- */

void tmk_hub_conn_pump(tmk_hub_conn *c) {
    tmk_list *node;

    if (c->phase == TMK_HUB_PHASE_UP) {
        tell(c);
    }
    while (c->phase == TMK_HUB_PHASE_UP && !c->broken &&
           tmk_hub_out_pending(c) < TMK_HUB_OUT_HIGH &&
           (node = tmk_list_pop_front(&c->sending)) != NULL) {
        tmk_hub_link *l = tmk_container_of(node, tmk_hub_link, ready_node);
        if (l->kind == TMK_HUB_LINK_READER) {
            tmk_hub_reader_pump(l);
        } else {
            tmk_hub_replies_pump(l);
        }
        tmk_hub_link_consider(l);
    }
    c->broken = c->broken || !tmk_str_ok(&c->out);
    tmk_list_remove(&c->ready_node); /* what is left waits for room in `out` */
}

bool tmk_hub_conn_has_more(const tmk_hub_conn *c) {
    return tmk_hub_out_pending(c) > 0 ||
           (c->phase == TMK_HUB_PHASE_UP && !tmk_list_empty(&c->sending));
}

tmk_slice tmk_hub_conn_output(const tmk_hub_conn *c) {
    return tmk_slice_from(tmk_str_slice(&c->out), c->out_at);
}

void tmk_hub_conn_sent(tmk_hub_conn *c, size_t size) {
    c->last_out = c->server->now;
    c->out_at += size;
    if (c->out_at == c->out.size) {
        c->out_at = 0;
        tmk_str_reset(&c->out);
    } else if (c->out_at > TMK_HUB_OUT_HIGH) {
        c->out.size -= c->out_at;
        memmove(c->out.text, c->out.text + c->out_at, c->out.size);
        c->out_at = 0;
    }
}

bool tmk_hub_conn_reads(const tmk_hub_conn *c) {
    return c->hold_in == 0 && c->phase != TMK_HUB_PHASE_OVER &&
           tmk_hub_out_pending(c) <= TMK_HUB_OUT_MAX;
}

bool tmk_hub_conn_broken(const tmk_hub_conn *c) {
    return c->broken;
}

void tmk_hub_conn_rest(tmk_hub_conn *c) {
    tmk_list_remove(&c->ready_node);
}

bool tmk_hub_conn_over(const tmk_hub_conn *c) {
    return c->broken || (c->phase == TMK_HUB_PHASE_OVER && tmk_hub_out_pending(c) == 0);
}

/* ---- what is due ---- */

/* Not while something waits to be sent: that is a sign of life too, once the peer reads. */
static tmk_time heartbeat_due(const tmk_hub_conn *c) {
    bool idle = c->phase == TMK_HUB_PHASE_UP && tmk_hub_out_pending(c) == 0;

    return idle ? tmk_time_after(c->last_out,
                                 c->peer_idle == TMK_NEVER ? TMK_NEVER : c->peer_idle / 2)
                : TMK_NEVER;
}

static tmk_time silence_due(const tmk_hub_conn *c) {
    return c->last_in + 2 * c->server->idle.announced_ms * TMK_MS;
}

static tmk_time linkless_due(const tmk_hub_conn *c) {
    const tmk_hub_idle *idle = &c->server->idle;

    if (c->phase < TMK_HUB_PHASE_UP) {
        return c->since + OPEN_WAIT_S * TMK_SEC;
    }
    if (c->phase != TMK_HUB_PHASE_UP || c->link_count > 0) {
        return TMK_NEVER;
    }
    return c->since + (c->had_links ? idle->connection_ms : idle->no_link_ms) * TMK_MS;
}

tmk_time tmk_hub_conn_deadline(const tmk_hub_conn *c) {
    tmk_time due = tmk_time_min(heartbeat_due(c), silence_due(c));

    due = tmk_time_min(due, linkless_due(c));
    due = tmk_time_min(due, c->claims_due);
    due = tmk_time_min(due, c->wake_at);
    due = tmk_time_min(due, c->close_by);
    due = tmk_time_min(due, c->idle_check);
    return c->hold_in != 0 ? tmk_time_min(due, c->hold_in) : due;
}

static void check_idle_link(tmk_hub_link *l) {
    tmk_hub_server *s = l->session->conn->server;
    tmk_hub_fail why = {"", ""};

    if ((l->kind != TMK_HUB_LINK_READER && l->kind != TMK_HUB_LINK_SENDER) || l->closing ||
        l->active_at + s->idle.link_ms * TMK_MS > s->now) {
        return;
    }
    tmk_hub_fail_set(&why, TMK_HUB_DETACH_FORCED,
                     "The link '%s' is force detached. Code: %s. Details: "
                     "AmqpEventHub%s.IdleTimerExpired: Idle timeout: 00:30:00.",
                     tmk_str_text(&l->name),
                     l->kind == TMK_HUB_LINK_READER ? "consumer" : "publisher",
                     l->kind == TMK_HUB_LINK_READER ? "Consumer" : "Publisher");
    tmk_hub_link_close(l, &why);
}

/* Calls on each link. */
static void each_link(tmk_hub_conn *c, void (*visit)(tmk_hub_link *l)) {
    for (size_t i = 0; i < c->session_room; i++) {
        for (unsigned h = 0; c->sessions[i] != NULL && h <= TMK_HUB_HANDLE_MAX; h++) {
            if (c->sessions[i]->links[h] != NULL) {
                visit(c->sessions[i]->links[h]);
            }
        }
    }
}

static void check_idle(tmk_hub_conn *c) {
    tmk_hub_server *s = c->server;
    tmk_hub_fail why = {"", ""};

    if (s->now >= c->idle_check) {
        each_link(c, check_idle_link);
        c->idle_check = s->now + (s->idle.link_ms / 8 + 1) * TMK_MS;
    }
    if (s->now >= linkless_due(c)) {
        tmk_hub_fail_set(&why, TMK_HUB_CONNECTION_FORCED,
                         "The connection was inactive for more than the allowed %" PRId64
                         " milliseconds and is closed by container 'LinkTracker'.",
                         c->had_links ? s->idle.connection_ms : s->idle.no_link_ms);
        tmk_hub_conn_close(c, &why);
    }
}

static void consider_again(tmk_hub_link *l) {
    if (l->kind == TMK_HUB_LINK_READER || l->kind == TMK_HUB_LINK_REPLIES) {
        tmk_hub_link_consider(l);
    }
}

void tmk_hub_conn_step(tmk_hub_conn *c) {
    tmk_time now = c->server->now;

    if (now >= c->close_by || now >= silence_due(c)) {
        c->broken = true;
        tmk_hub_conn_ready(c);
        return;
    }
    if (c->hold_in != 0 && now >= c->hold_in) {
        c->hold_in = 0;
        shift(c, take_all(c, tmk_str_slice(&c->in)));
    }
    if (now >= c->wake_at) {
        c->wake_at = TMK_NEVER;
        tmk_hub_outcomes_due(c);
        each_link(c, consider_again);
    }
    if (now >= c->claims_due) {
        tmk_hub_claims_check(c);
    }
    check_idle(c);
    if (now >= heartbeat_due(c)) {
        tmk_frame_put_empty(&c->out);
    }
    c->broken = c->broken || !tmk_str_ok(&c->out);
    tmk_hub_conn_ready(c);
}
