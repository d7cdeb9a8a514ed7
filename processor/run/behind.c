/*
 * How far partitions are behind: asked of the hub now and then, told by on_lag
 * and on_alarm, seen in the statistics.
 *
 * Each instance asks about its own partitions. One that nobody owns is asked
 * about by one instance: every instance ranks those that live by a hash of
 * their id and the partition's, and the first one asks. So a fleet asks about
 * each partition once an interval, whatever its size; and the interval grows
 * with the partitions, as the service allows some fifty questions a second.
 */
#include "run/slot.h"

#include <string.h>

enum { ASKED_A_SECOND = 25 };

/* ---- who asks ---- */

static uint64_t rank(const char *member, const char *partition) {
    uint64_t h = UINT64_C(14695981039346656037);

    for (const char *at = member; *at != '\0'; at++) {
        h = (h ^ (uint8_t)*at) * UINT64_C(1099511628211);
    }
    for (const char *at = partition; *at != '\0'; at++) {
        h = (h ^ (uint8_t)*at) * UINT64_C(1099511628211);
    }
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    return h ^ h >> 33;
}

/* A partition that nobody alive owns is ours to look at when nobody ranks above us. */
static bool is_ours_to_watch(const tmk_control *c, const tmk_fleet_partition_info *p) {
    uint64_t own = rank(tmk_fleet_id(c->fleet), p->id);

    for (size_t i = 0; i < tmk_fleet_member_count(c->fleet); i++) {
        tmk_fleet_member_info m;

        tmk_fleet_member_at(c->fleet, i, &m);
        if (!m.alive || m.evicted || m.self) {
            continue;
        }
        if (strcmp(m.id, p->owner) == 0 || rank(m.id, p->id) > own) {
            return false;
        }
    }
    return true;
}

static void ask(tmk_slot *s) {
    s->looked = true;
    s->tell_lag = true;
    tmk_slot_ask_facts(s);
}

static void ask_about(tmk_control *c, size_t index) {
    tmk_fleet_partition_info p;
    tmk_slot *s;

    tmk_fleet_partition_at(c->fleet, index, &p);
    s = tmk_map_get(&c->by_id, tmk_slice_str(p.id));
    if (s != NULL && s->pump != NULL) {
        ask(s);
    } else if (p.holding == TMK_FLEET_NOT_OURS && is_ours_to_watch(c, &p)) {
        s = tmk_control_slot(c, p.id);
        if (s != NULL) {
            ask(s);
        }
    } else if (s != NULL) {
        s->seen_known = false; /* somebody else knows better by now */
        s->alarms = 0;
    }
}

static tmk_time interval(const tmk_control *c) {
    tmk_time wanted = c->user->lag_interval_ms * TMK_MS;
    tmk_time least = (tmk_time)tmk_fleet_partition_count(c->fleet) * TMK_SEC / ASKED_A_SECOND;

    return wanted > least ? wanted : least;
}

/* Partitions that were opened since: how far they are behind is wanted soon. */
static void look_first(tmk_control *c) {
    tmk_map_entry *entry;

    for (size_t i = 0; (entry = tmk_map_next(&c->by_id, &i)) != NULL;) {
        tmk_slot *s = entry->value;
        if (s->pump != NULL && !s->looked) {
            ask(s);
        }
    }
}

void tmk_behind_on_open(tmk_control *c, tmk_time now) {
    if (c->user->lag_interval_ms > 0) {
        c->first_look_at = tmk_time_min(c->first_look_at, tmk_time_after(now, TMK_SEC));
    }
}

tmk_time tmk_behind_deadline(const tmk_control *c) {
    return tmk_time_min(c->lag_at, c->first_look_at);
}

void tmk_behind_step(tmk_control *c, tmk_time now) {
    size_t count = tmk_fleet_partition_count(c->fleet);

    if (now >= c->first_look_at) {
        c->first_look_at = TMK_NEVER;
        look_first(c);
    }
    if (now < c->lag_at) {
        return;
    }
    c->lag_at = c->user->lag_interval_ms <= 0 ? TMK_NEVER : tmk_time_after(now, interval(c));
    for (size_t i = 0; i < count && !c->stopping; i++) {
        ask_about(c, i);
    }
}

/* ---- what is known ---- */

static int64_t least(int64_t value) {
    return value > 0 ? value : 0;
}

/* Events above `done` that are there; those that are gone are counted as lost. */
static void count_events(tmk_lag *out, int64_t done, int64_t begin, int64_t last) {
    int64_t below = done < begin - 1 ? begin - 1 : done;

    out->last_sequence = last;
    out->events = last > below ? last - below : 0;
}

static void foresee(const tmk_control *c, tmk_lag *out) {
    int64_t retention_ms = c->user->retention_ms;

    if (retention_ms > 0 && out->age_ms >= 0) {
        out->to_loss_ms = least(retention_ms - out->age_ms);
    }
}

static void lag_of_own(tmk_slot *s, tmk_lag *out) {
    int64_t wall_ms = tmk_wall_now(&s->control->ports.clock).us / 1000;
    tmk_pump_facts f;

    tmk_pump_facts_get(s->pump, &f);
    out->final_sequence = f.final_sequence;
    out->lost = (int64_t)f.lost;
    if (!f.last_known) {
        return;
    }
    count_events(out, f.final_sequence, f.begin_sequence,
                 f.last_sequence > f.received_sequence ? f.last_sequence : f.received_sequence);
    if (out->events == 0) {
        out->age_ms = 0;
    } else if (f.oldest_enqueued_ms >= 0) {
        out->age_ms = least(wall_ms - f.oldest_enqueued_ms);
    } else if (f.final_enqueued_ms >= 0) { /* the next one is not here yet: it is not older */
        out->age_ms = least(wall_ms - f.final_enqueued_ms);
    }
}

/* Nobody's: the age of the newest event is all that the hub tells without being read. */
static void lag_of_nobody(const tmk_slot *s, int64_t sequence, tmk_lag *out) {
    int64_t begin = s->seen.empty ? s->seen.last_sequence + 1 : s->seen.begin_sequence;
    int64_t wall_ms = tmk_wall_now(&s->control->ports.clock).us / 1000;

    out->final_sequence = sequence;
    count_events(out, sequence, begin, s->seen.last_sequence);
    out->lost = sequence < 0 ? 0 : least(begin - sequence - 1);
    if (out->events == 0) {
        out->age_ms = 0;
    } else if (out->events == 1) {
        out->age_ms = least(wall_ms - s->seen.last_enqueued_ms);
    }
}

void tmk_behind_lag(tmk_slot *s, int64_t sequence, tmk_lag *out) {
    *out = (tmk_lag){.partition = s->id,
                     .last_sequence = -1,
                     .final_sequence = sequence,
                     .events = -1,
                     .age_ms = -1,
                     .to_loss_ms = -1};
    if (s->pump != NULL) {
        lag_of_own(s, out);
    } else if (s->seen_known) {
        lag_of_nobody(s, sequence, out);
    }
    foresee(s->control, out);
}

/* ---- telling ---- */

static unsigned alarms_of(const tmk_slot *s, const tmk_lag *lag) {
    const tmk_processor_options *o = s->control->user;
    int64_t to_loss_ms = o->alarm_to_loss_ms == 0 ? o->retention_ms / 2 : o->alarm_to_loss_ms;
    unsigned alarms = 0;

    if (o->alarm_lag_events > 0 && lag->events > o->alarm_lag_events) {
        alarms |= TMK_ALARM_LAG_EVENTS;
    }
    if (o->alarm_lag_ms > 0 && lag->age_ms > o->alarm_lag_ms) {
        alarms |= TMK_ALARM_LAG_TIME;
    }
    if (to_loss_ms > 0 && lag->to_loss_ms >= 0 && lag->to_loss_ms < to_loss_ms) {
        alarms |= TMK_ALARM_TO_LOSS;
    }
    if (lag->lost > s->lost_told) {
        alarms |= TMK_ALARM_LOST;
    }
    return alarms;
}

static void look_for_alarms(tmk_slot *s, const tmk_lag *lag) {
    tmk_control *c = s->control;
    unsigned before = s->alarms;

    s->alarms = alarms_of(s, lag);
    s->lost_told = lag->lost;
    if (s->alarms == before) {
        return;
    }
    tmk_warn(&c->log, "partition.alarm",
             "partition='%s' lag_events=%s lag_time=%s to_loss=%s lost=%s events=%" PRId64
             " age_ms=%" PRId64 " to_loss_ms=%" PRId64 " lost_events=%" PRId64,
             s->id, (s->alarms & TMK_ALARM_LAG_EVENTS) != 0 ? "on" : "off",
             (s->alarms & TMK_ALARM_LAG_TIME) != 0 ? "on" : "off",
             (s->alarms & TMK_ALARM_TO_LOSS) != 0 ? "on" : "off",
             (s->alarms & TMK_ALARM_LOST) != 0 ? "on" : "off", lag->events, lag->age_ms,
             lag->to_loss_ms, lag->lost);
    if (c->user->on_alarm != NULL) {
        c->user->on_alarm(c->user->user, lag, s->alarms, before);
    }
}

static int64_t stored_sequence(const tmk_control *c, const char *partition) {
    tmk_fleet_partition_info p;

    for (size_t i = 0; i < tmk_fleet_partition_count(c->fleet); i++) {
        tmk_fleet_partition_at(c->fleet, i, &p);
        if (strcmp(p.id, partition) == 0) {
            return p.sequence;
        }
    }
    return -1;
}

void tmk_behind_on_facts(tmk_slot *s, const tmk_partition_facts *facts) {
    tmk_control *c = s->control;
    tmk_lag lag;

    s->seen = *facts;
    s->seen_known = true;
    if (!s->tell_lag || c->abandoned) {
        return;
    }
    tmk_behind_lag(s, s->pump == NULL ? stored_sequence(c, s->id) : -1, &lag);
    if (c->user->on_lag != NULL) {
        c->user->on_lag(c->user->user, &lag);
    }
    look_for_alarms(s, &lag);
}
