/* Which sessions and links exist, and how far each side is with them. See gate_inner.h. */
#include "amqp/gate_inner.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"

/* ---- links ---- */

tmk_status tmk_gate_attach(gate_session *s, tmk_slice name, bool sender, uint32_t handle,
                           gate_link **out) {
    gate_link *l = tmk_new(gate_link);

    tmk_assert(!s->laned);
    if (l == NULL) {
        return TMK_ENOMEM;
    }
    tmk_str_add_slice(&l->name, name);
    if (!tmk_str_ok(&l->name)) {
        tmk_free(l);
        return TMK_ENOMEM;
    }
    l->session = s;
    l->sender = sender;
    l->local_handle = handle;
    s->handle_most = handle > s->handle_most ? handle : s->handle_most;
    tmk_list_push_back(&s->links, &l->node);
    *out = l;
    return TMK_OK;
}

tmk_status tmk_gate_check_handles(tmk_gate *g, const gate_session *s) {
    if (s->handle_most <= s->handle_max) {
        return TMK_OK;
    }
    return GATE_REFUSE(g, "the server allows %u links in a session, and more are needed",
                       (unsigned)s->handle_max + 1);
}

static void link_free(gate_link *l) {
    tmk_lane_detach(l);
    tmk_list_remove(&l->node);
    tmk_str_clear(&l->name);
    tmk_str_clear(&l->offered);
    tmk_str_clear(&l->desired);
    tmk_free(l);
}

#define EACH_LINK(s, l)                                                     \
    for (tmk_list *n_ = tmk_list_first(&(s)->links);                        \
         n_ != NULL && ((l) = tmk_container_of(n_, gate_link, node), true); \
         n_ = tmk_list_next(&(s)->links, n_))

gate_link *tmk_gate_link_local(const gate_session *s, uint32_t handle) {
    gate_link *l;

    EACH_LINK(s, l) {
        if (!l->local_detached && l->local_handle == handle) {
            return l;
        }
    }
    return NULL;
}

gate_link *tmk_gate_link_remote(const gate_session *s, uint32_t handle) {
    gate_link *l;

    EACH_LINK(s, l) {
        if (l->remote_attached && !l->remote_detached && l->remote_handle == handle) {
            return l;
        }
    }
    return NULL;
}

gate_link *tmk_gate_link_unanswered(const gate_session *s, tmk_slice name, bool sender) {
    gate_link *l;

    EACH_LINK(s, l) {
        if (!l->remote_attached && l->sender == sender &&
            tmk_slice_eq(tmk_str_slice(&l->name), name)) {
            return l;
        }
    }
    return NULL;
}

gate_link *tmk_gate_link_named(const tmk_gate *g, tmk_slice name) {
    for (tmk_list *n = tmk_list_first(&g->sessions); n != NULL;
         n = tmk_list_next(&g->sessions, n)) {
        gate_session *s = tmk_container_of(n, gate_session, node);
        gate_link *l;

        EACH_LINK(s, l) {
            if (l->remote_attached && !l->local_detached &&
                tmk_slice_eq(tmk_str_slice(&l->name), name)) {
                return l;
            }
        }
    }
    return NULL;
}

void tmk_gate_detach_local(gate_link *l) {
    tmk_lane_detach(l);
    l->local_detached = true;
    if (l->remote_detached) {
        link_free(l);
    }
}

void tmk_gate_detach_remote(gate_link *l) {
    l->remote_detached = true;
    if (l->local_detached) {
        link_free(l);
    }
}

/* ---- sessions ---- */

static gate_session *table_get(const gate_table *t, uint16_t channel) {
    return channel < t->room ? t->slots[channel].session : NULL;
}

static tmk_status table_put(gate_table *t, uint16_t channel, gate_session *s) {
    if (channel >= t->room) {
        size_t room = t->room == 0 ? 16 : t->room;
        gate_slot *slots;

        while (room <= channel) {
            room *= 2;
        }
        slots = tmk_resize(t->slots, room, sizeof *slots);
        if (slots == NULL) {
            return TMK_ENOMEM;
        }
        memset(slots + t->room, 0, (room - t->room) * sizeof *slots);
        t->slots = slots;
        t->room = room;
    }
    t->slots[channel].session = s;
    return TMK_OK;
}

tmk_status tmk_gate_begin(tmk_gate *g, uint16_t local_channel) {
    gate_session *s = tmk_new(gate_session);

    if (s == NULL || table_put(&g->local, local_channel, s) < 0) {
        tmk_free(s);
        return TMK_ENOMEM;
    }
    s->gate = g;
    s->local_channel = local_channel;
    s->handle_max = UINT32_MAX;
    tmk_list_init(&s->links);
    tmk_list_push_back(&g->sessions, &s->node);
    return TMK_OK;
}

tmk_status tmk_gate_map_remote(tmk_gate *g, gate_session *s, uint16_t remote_channel) {
    tmk_status st = table_put(&g->remote, remote_channel, s);

    if (st == TMK_OK) {
        s->remote_begun = true;
        s->remote_channel = remote_channel;
    }
    return st;
}

gate_session *tmk_gate_local(const tmk_gate *g, uint16_t channel) {
    return table_get(&g->local, channel);
}

gate_session *tmk_gate_remote(const tmk_gate *g, uint16_t channel) {
    return table_get(&g->remote, channel);
}

gate_session *tmk_gate_unanswered(const tmk_gate *g, uint16_t local_channel) {
    for (tmk_list *n = tmk_list_first(&g->sessions); n != NULL;
         n = tmk_list_next(&g->sessions, n)) {
        gate_session *s = tmk_container_of(n, gate_session, node);

        if (!s->remote_begun && s->local_channel == local_channel) {
            return s;
        }
    }
    return NULL;
}

static void session_free(gate_session *s) {
    tmk_list *n;

    while ((n = tmk_list_first(&s->links)) != NULL) {
        link_free(tmk_container_of(n, gate_link, node));
    }
    tmk_list_remove(&s->node);
    tmk_free(s);
}

/* Our channel may be used again at once; the server's numbers stay until it ends the session, too.
 */
void tmk_gate_end_local(tmk_gate *g, gate_session *s) {
    gate_link *l;

    tmk_assert(!s->local_ended);
    s->local_ended = true;
    EACH_LINK(s, l) {
        tmk_lane_detach(l);
    }
    g->local.slots[s->local_channel].session = NULL;
    if (s->remote_ended) {
        session_free(s);
    }
}

void tmk_gate_end_remote(tmk_gate *g, gate_session *s) {
    tmk_assert(s->remote_begun && !s->remote_ended);
    s->remote_ended = true;
    g->remote.slots[s->remote_channel].session = NULL;
    if (s->local_ended) {
        session_free(s);
    }
}

void tmk_gate_clear(tmk_gate *g) {
    tmk_list *n;

    while ((n = tmk_list_first(&g->sessions)) != NULL) {
        session_free(tmk_container_of(n, gate_session, node));
    }
    tmk_free(g->local.slots);
    tmk_free(g->remote.slots);
}
