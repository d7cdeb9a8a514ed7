/*
 * Calls into a running hub from other threads: each is posted to the loop's
 * thread and waited for. See tidemark/hub.h.
 */
#include <tidemark/hub.h>

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "base/thread.h"

#include "hub/faults.h"
#include "hub/shell.h"

enum { CALL_RANK = 10 };

typedef struct call {
    tmk_task task;
    tmk_hub *hub;
    tmk_status (*run)(struct call *c, tmk_error *err);
    void *what;
    tmk_status status;
    tmk_error error;
    tmk_mutex lock;
    tmk_cond done;
    bool is_done;
} call;

static void run_call(tmk_task *task) {
    call *c = tmk_container_of(task, call, task);

    tmk_hub_tick(c->hub);
    c->status = c->run(c, &c->error);
    tmk_hub_settle(c->hub);
    tmk_mutex_lock(&c->lock);
    c->is_done = true;
    tmk_cond_signal(&c->done);
    tmk_mutex_unlock(&c->lock);
}

static tmk_status do_call(tmk_hub *h, tmk_status (*run)(call *c, tmk_error *err), void *what,
                          tmk_error *err) {
    call c = {.task = {NULL, run_call}, .hub = h, .run = run, .what = what};
    tmk_status st = tmk_mutex_init(&c.lock, CALL_RANK, err);

    tmk_assert(!tmk_loop_is_mine(h->loop)); /* it would wait for itself */
    if (st < 0) {
        return st;
    }
    st = tmk_cond_init(&c.done, err);
    if (st == TMK_OK) {
        tmk_loop_post(h->loop, &c.task);
        tmk_mutex_lock(&c.lock);
        while (!c.is_done) {
            tmk_cond_wait(&c.done, &c.lock);
        }
        tmk_mutex_unlock(&c.lock);
        tmk_cond_clear(&c.done);
        st = c.status;
        if (st != TMK_OK && err != NULL) {
            *err = c.error;
        }
    }
    tmk_mutex_clear(&c.lock);
    return st;
}

static tmk_status find(tmk_hub *h, const char *name, tmk_hub_entity **out, tmk_error *err) {
    *out = tmk_hub_core_find(&h->server.core, tmk_slice_str(name));
    if (*out == NULL) {
        return tmk_fail(err, TMK_ENOTFOUND, "hub", "there is no hub '%s'", name);
    }
    return TMK_OK;
}

static tmk_status find_part(tmk_hub_entity *e, const char *id, tmk_hub_part **out, tmk_error *err) {
    *out = tmk_hub_entity_part(e, tmk_slice_str(id));
    if (*out == NULL) {
        return tmk_fail(err, TMK_ENOTFOUND, "hub", "the hub '%s' has no partition '%s'", e->name,
                        id);
    }
    return TMK_OK;
}

/* ---- putting events ---- */

/* Appends one plain event, and makes it visible where nothing has to be stored first. */
static tmk_status append(tmk_hub_server *s, tmk_hub_part *p, tmk_slice body, tmk_slice key,
                         tmk_str *text, tmk_error *err) {
    tmk_hub_message m;
    int64_t first = p->log.end;
    tmk_status st = TMK_ENOMEM;

    tmk_str_reset(text);
    tmk_hub_plain_message_add(text, body, key, key.bytes != NULL);
    if (tmk_str_ok(text) && tmk_hub_message_parse(tmk_str_slice(text), &m)) {
        st = tmk_hub_part_append(p, &m, key, key.bytes != NULL, s->wall_ms, &s->scratch);
    }
    if (st == TMK_OK && s->keeper.store != NULL) {
        st = s->keeper.store(s->keeper.self, p, first, p->log.end);
    }
    if (st < 0) {
        tmk_hub_log_drop_from(&p->log, first);
        return tmk_fail(err, st, "hub", "the event cannot be stored in partition %s", p->id);
    }
    p->received++;
    return TMK_OK;
}

typedef struct put {
    const char *name;
    const tmk_hub_event *event;
    int64_t sequence;
} put;

static tmk_status run_put(call *c, tmk_error *err) {
    put *w = c->what;
    tmk_hub_server *s = &c->hub->server;
    tmk_hub_message route = {.key = tmk_slice_str(w->event->key), .keyed = w->event->key != NULL};
    tmk_str text = TMK_STR_INIT;
    tmk_hub_entity *e = NULL;
    tmk_hub_part *p = NULL;
    tmk_status st = find(c->hub, w->name, &e, err);

    if (st == TMK_OK && w->event->partition != NULL) {
        st = find_part(e, w->event->partition, &p, err);
    }
    if (st < 0) {
        return st;
    }
    p = tmk_hub_entity_route(e, p, &route);
    w->sequence = p->log.end;
    st = append(s, p, tmk_slice_of(w->event->body, w->event->body_size), route.key, &text, err);
    if (st == TMK_OK && s->keeper.store == NULL) {
        tmk_hub_part_stored(p, p->log.end);
    }
    tmk_str_clear(&text);
    return st;
}

tmk_status tmk_hub_put(tmk_hub *hub, const char *name, const tmk_hub_event *event,
                       int64_t *sequence, tmk_error *err) {
    put w = {name, event, -1};
    tmk_status st = do_call(hub, run_put, &w, err);

    if (st == TMK_OK && sequence != NULL) {
        *sequence = w.sequence;
    }
    return st;
}

typedef struct preload {
    const char *name;
    uint64_t count;
    uint32_t size, keys;
} preload;

static tmk_status preload_all(tmk_hub_server *s, tmk_hub_entity *e, const preload *w, uint8_t *body,
                              tmk_error *err) {
    tmk_str text = TMK_STR_INIT;
    tmk_status st = TMK_OK;

    for (uint64_t i = 0; st == TMK_OK && i < w->count; i++) {
        char name[24] = "";
        tmk_hub_message route = {0};
        if (w->keys > 0) {
            (void)snprintf(name, sizeof name, "key-%u", (unsigned)(i % w->keys));
            route.key = tmk_slice_str(name);
            route.keyed = true;
        }
        st = append(s, tmk_hub_entity_route(e, NULL, &route), tmk_slice_of(body, w->size),
                    route.key, &text, err);
    }
    tmk_str_clear(&text);
    for (uint32_t p = 0; s->keeper.store == NULL && p < e->part_count; p++) {
        tmk_hub_part_stored(&e->parts[p], e->parts[p].log.end);
    }
    return st;
}

static tmk_status run_preload(call *c, tmk_error *err) {
    const preload *w = c->what;
    tmk_hub_entity *e = NULL;
    uint8_t *body = NULL;
    tmk_status st = find(c->hub, w->name, &e, err);

    if (st == TMK_OK && c->hub->keep != NULL) {
        st = tmk_fail(err, TMK_EINVAL, "hub", "events to begin with cannot be kept in a folder");
    }
    if (st < 0) {
        return st;
    }
    body = tmk_alloc_zero(1, w->size + 1);
    if (body == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for the events to begin with");
    }
    for (uint32_t i = 0; i < w->size; i++) {
        body[i] = (uint8_t)('a' + i % 26);
    }
    st = preload_all(&c->hub->server, e, w, body, err);
    tmk_free(body);
    return st;
}

tmk_status tmk_hub_preload(tmk_hub *hub, const char *name, uint64_t count, uint32_t size,
                           uint32_t keys, tmk_error *err) {
    preload w = {name, count, size, keys};

    if (size > (1u << 20)) {
        return tmk_fail(err, TMK_EINVAL, "hub", "an event of %u bytes is too large", size);
    }
    return do_call(hub, run_preload, &w, err);
}

/* ---- looking ---- */

typedef struct look {
    const char *name, *partition;
    tmk_hub_partition out;
} look;

static tmk_status run_look(call *c, tmk_error *err) {
    look *w = c->what;
    tmk_hub_entity *e = NULL;
    tmk_hub_part *p = NULL;
    tmk_status st = find(c->hub, w->name, &e, err);

    if (st == TMK_OK) {
        st = find_part(e, w->partition, &p, err);
    }
    if (p == NULL) {
        return st;
    }
    w->out.begin_sequence = p->log.begin;
    w->out.last_sequence = tmk_hub_part_last_sequence(p);
    (void)snprintf(w->out.last_offset, sizeof w->out.last_offset, "%s",
                   tmk_hub_part_last_offset(p).text);
    for (tmk_list *n = tmk_list_first(&p->readers); n != NULL; n = tmk_list_next(&p->readers, n)) {
        w->out.readers++;
    }
    w->out.delivered = p->delivered;
    return TMK_OK;
}

tmk_status tmk_hub_partition_read(tmk_hub *hub, const char *name, const char *partition,
                                  tmk_hub_partition *out, tmk_error *err) {
    look w = {name, partition, {0}};
    tmk_status st = do_call(hub, run_look, &w, err);

    if (st == TMK_OK) {
        *out = w.out;
    }
    return st;
}

static tmk_status run_state(call *c, tmk_error *err) {
    tmk_str *out = c->what;

    (void)err;
    tmk_hub_server_state(&c->hub->server, out);
    return TMK_OK;
}

char *tmk_hub_state(tmk_hub *hub) {
    tmk_str text = TMK_STR_INIT;

    if (do_call(hub, run_state, &text, NULL) < 0) {
        return NULL;
    }
    return tmk_str_take(&text);
}

void tmk_hub_text_free(char *text) {
    tmk_free(text);
}

/* ---- faults ---- */

typedef struct fault_call {
    tmk_slice json;
    uint64_t id, met;
} fault_call;

static tmk_status run_fault(call *c, tmk_error *err) {
    fault_call *w = c->what;

    return tmk_hub_fault_do(&c->hub->server, w->json, &w->id, &w->met, err);
}

tmk_status tmk_hub_fault(tmk_hub *hub, const char *json, uint64_t *id, tmk_error *err) {
    fault_call w = {tmk_slice_str(json), 0, 0};
    tmk_status st = do_call(hub, run_fault, &w, err);

    if (st == TMK_OK && id != NULL) {
        *id = w.id;
    }
    return st;
}

static tmk_status run_fault_clear(call *c, tmk_error *err) {
    const uint64_t *id = c->what;

    (void)err;
    (void)tmk_hub_fault_undo(&c->hub->server, *id);
    return TMK_OK;
}

void tmk_hub_fault_clear(tmk_hub *hub, uint64_t id) {
    (void)do_call(hub, run_fault_clear, &id, NULL);
}
