/* One partition's link, checkpoint and questions. See slot.h. */
#include "run/slot.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "core/mutants.h"

tmk_slot *tmk_slot_new(tmk_control *c, const char *id) {
    tmk_slot *s = tmk_new(tmk_slot);

    if (s == NULL) {
        return NULL;
    }
    s->control = c;
    s->id = tmk_copy_str(id);
    s->last.sequence = -1;
    s->last.offset = "";
    if (s->id == NULL || tmk_heap_reserve(&c->due, c->by_id.count + 1) < 0) {
        return tmk_slot_free(s);
    }
    return s;
}

tmk_slot *tmk_slot_free(tmk_slot *s) {
    if (s == NULL) {
        return NULL;
    }
    tmk_pump_free(s->pump);
    tmk_heap_remove(&s->control->due, &s->due);
    tmk_free(s->last_offset);
    tmk_free(s->last_map);
    tmk_free(s->id);
    tmk_free(s);
    return NULL;
}

tmk_status tmk_slot_keep(tmk_slot *s, const tmk_checkpoint *checkpoint) {
    char *offset = tmk_copy_str(checkpoint->offset == NULL ? "" : checkpoint->offset);
    uint8_t *map = NULL;

    if (checkpoint->done_map.size > 0) {
        map = tmk_copy(checkpoint->done_map.bytes, checkpoint->done_map.size);
    }
    if (offset == NULL || (map == NULL && checkpoint->done_map.size > 0)) {
        tmk_free(offset);
        tmk_free(map);
        return TMK_ENOMEM;
    }
    tmk_checkpoint copy = *checkpoint;
    tmk_free(s->last_offset);
    tmk_free(s->last_map);
    s->last_offset = offset;
    s->last_map = map;
    copy.offset = offset;
    copy.done_map.bytes = map;
    s->last = copy;
    return TMK_OK;
}

void tmk_slot_open_at(tmk_slot *s, tmk_time at) {
    if (at == TMK_NEVER) {
        tmk_heap_remove(&s->control->due, &s->due);
    } else {
        tmk_status st = tmk_heap_push(&s->control->due, &s->due, at);
        tmk_assert(st == TMK_OK); /* its place was reserved */
    }
}

void tmk_slot_apply_quiet(tmk_slot *s, tmk_time now, unsigned before) {
    unsigned changed = s->quiet ^ before;

    if (s->pump == NULL) {
        return;
    }
    if ((changed & TMK_QUIET_USER) != 0) {
        ((s->quiet & TMK_QUIET_USER) != 0 ? tmk_pump_pause : tmk_pump_resume)(s->pump, now);
    }
    if ((changed & TMK_QUIET_HOLD) != 0) {
        tmk_pump_hold(s->pump, now, (s->quiet & TMK_QUIET_HOLD) != 0);
    }
    if ((changed & TMK_QUIET_FENCE) != 0) {
        tmk_pump_fence(s->pump, now, (s->quiet & TMK_QUIET_FENCE) != 0);
    }
}

void tmk_slot_quiet(tmk_slot *s, tmk_time now, tmk_quiet why, bool quiet) {
    unsigned before = s->quiet;

    s->quiet = quiet ? before | why : before & ~(unsigned)why;
    if (why == TMK_QUIET_USER && !quiet && s->pump != NULL) {
        tmk_pump_resume(s->pump, now); /* also where it had halted by itself */
        before &= ~(unsigned)TMK_QUIET_USER;
    }
    tmk_slot_apply_quiet(s, now, before);
}

/* ---- the link ---- */

static void wake(const tmk_slot *s) {
    s->control->ports.wake(s->control->ports.self);
}

/* Nothing stands any more that could vouch for us. When the fleet itself has asked for the end, it
 * knows. */
static void unlinked(const tmk_slot *s, tmk_time now) {
    if (s->owed == TMK_OWED_NOTHING && !TMK_MUTANT(ENDED_LINK_VOUCHES)) {
        tmk_fleet_on_link(s->control->fleet, now, s->id, false);
    }
}

static void on_opened(void *user) {
    tmk_slot *s = ((tmk_reading *)user)->slot;
    tmk_time now = tmk_now(&s->control->ports.clock);

    tmk_pump_on_opened(s->pump, now);
    tmk_fleet_on_opened(s->control->fleet, now, s->id);
    wake(s);
}

static void on_burst(void *user, tmk_burst *burst) {
    tmk_slot *s = ((tmk_reading *)user)->slot;

    tmk_pump_on_burst(s->pump, tmk_now(&s->control->ports.clock), burst);
    wake(s);
}

void tmk_reading_free(tmk_reading *r) {
    tmk_list_remove(&r->node);
    tmk_free(r);
}

static void on_ended(void *user, const tmk_error *why) {
    tmk_reading *r = user;
    tmk_slot *s = r->slot;
    tmk_time now = tmk_now(&s->control->ports.clock);

    tmk_assert(s->reading == r);
    s->link = NULL;
    s->reading = NULL;
    tmk_reading_free(r);
    tmk_pump_on_ended(s->pump, now, why);
    unlinked(s, now);
    if (why->status == TMK_ELOST && s->owed == TMK_OWED_NOTHING) {
        tmk_fleet_on_stolen(s->control->fleet, now, s->id);
    }
    wake(s);
}

static void on_trouble(void *user, const tmk_error *what, const char *reaction) {
    tmk_slot *s = ((tmk_reading *)user)->slot;
    tmk_problem problem = {.error = what,
                           .partition = s->id,
                           .operation = "receive",
                           .reaction = reaction,
                           .sequence = -1};

    tmk_control_tell(s->control, &problem);
}

static void on_standing(void *user, bool up) {
    tmk_slot *s = ((tmk_reading *)user)->slot;

    tmk_fleet_on_link(s->control->fleet, tmk_now(&s->control->ports.clock), s->id, up);
    wake(s);
}

static void on_closed(void *user) {
    tmk_reading *r = user;
    tmk_slot *s = r->slot;
    bool known = s->reading == r;

    tmk_reading_free(r);
    if (known) {
        s->reading = NULL;
        tmk_pump_on_closed(s->pump, tmk_now(&s->control->ports.clock));
        wake(s);
    }
}

void tmk_slot_open_link(tmk_slot *s, tmk_time now, const tmk_start *start) {
    static const tmk_link_events events = {on_opened, on_burst, on_ended, on_trouble, on_standing};
    const tmk_source *source = &s->control->ports.source;
    tmk_reading *r = tmk_new(tmk_reading);
    tmk_error err;

    tmk_assert(s->link == NULL && s->reading == NULL);
    if (r != NULL) {
        r->slot = s;
        s->link = source->ops->open(source->self, s->id, s->owner_level, start, &events, r);
    }
    if (s->link == NULL) {
        tmk_free(r);
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "run", "no memory for a link");
        tmk_pump_on_ended(s->pump, now, &err);
        return;
    }
    tmk_list_push_back(&s->control->readings, &r->node);
    s->reading = r;
}

void tmk_slot_close_link(tmk_slot *s) {
    const tmk_source *source = &s->control->ports.source;
    tmk_link *link = s->link;

    s->link = NULL;
    tmk_assert(link != NULL);
    unlinked(s, tmk_now(&s->control->ports.clock));
    source->ops->close(source->self, link, on_closed);
}

void tmk_slot_drop_pump(tmk_slot *s) {
    tmk_pump_facts f;

    tmk_pump_facts_get(s->pump, &f);
    s->past_events += f.events;
    s->past_bytes += f.bytes;
    s->past_busy += f.busy;
    if (s->link != NULL) {
        tmk_slot_close_link(s);
    }
    s->reading = NULL;
    s->writing = false;
    s->looked = false;
    s->seen_known = false; /* from now on others know better */
    s->pump = tmk_pump_free(s->pump);
}

/* ---- questions to the source ---- */

tmk_query *tmk_query_new(tmk_control *c, tmk_slot *s) {
    tmk_query *q = tmk_new(tmk_query);

    if (q != NULL) {
        q->control = c;
        q->slot = s;
        tmk_list_push_back(&c->queries, &q->node);
    }
    return q;
}

void tmk_query_free(tmk_query *q) {
    tmk_list_remove(&q->node);
    tmk_free(q);
}

static void on_facts(void *user, const tmk_error *err, const tmk_partition_facts *facts) {
    tmk_query *q = user;
    tmk_slot *s = q->slot;
    tmk_control *c = q->control;

    tmk_query_free(q);
    s->asking_facts = false;
    if (s->pump != NULL) {
        tmk_pump_on_facts(s->pump, tmk_now(&c->ports.clock), facts, err);
    }
    if (facts != NULL) {
        tmk_behind_on_facts(s, facts);
    }
    s->tell_lag = false;
    wake(s);
}

void tmk_slot_ask_facts(tmk_slot *s) {
    const tmk_source *source = &s->control->ports.source;
    tmk_query *q = NULL;
    tmk_error err;

    if (s->asking_facts) {
        return;
    }
    q = tmk_query_new(s->control, s);
    if (q == NULL) {
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "run", "no memory for a question");
        if (s->pump != NULL) {
            tmk_pump_on_facts(s->pump, tmk_now(&s->control->ports.clock), NULL, &err);
        }
        return;
    }
    s->asking_facts = true;
    source->ops->facts(source->self, s->id, on_facts, q);
}
