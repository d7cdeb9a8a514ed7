/* What can be seen of a control: counters and the state of partitions. See control.h. */
#include "run/slot.h"

#include <string.h>

void tmk_control_stats(tmk_control *c, tmk_processor_stats *out) {
    const tmk_fleet_counts *f = tmk_fleet_counted(c->fleet);
    tmk_engine_stats e;

    tmk_engine_stats_get(c->engine, &e);
    out->events = e.events;
    out->bytes = e.bytes;
    out->done = e.done;
    out->skipped = e.skipped;
    out->dead_lettered = e.dead_lettered;
    out->retries = e.retries;
    out->redelivered = e.repeats;
    out->checkpoints_written = f->written;
    out->checkpoints_refused = f->write_refused;
    out->claims = f->claims;
    out->moves_in = f->accepted;
    out->moves_out = f->handed;
    out->evictions = f->evictions;
    out->partitions_lost = f->lost;
    out->store_failures = f->failed + f->throttled;
    out->store_requests = 0;
    for (size_t i = 0; i < sizeof f->requests / sizeof f->requests[0]; i++) {
        out->store_requests += f->requests[i];
    }
    out->owned = c->open_count;
    out->members = (uint32_t)tmk_fleet_member_count(c->fleet);
    out->held_events = (uint32_t)e.held_events;
    out->held_bytes = e.held_bytes;
    out->started = c->ready;
    out->breaker = e.breaker;
    out->fenced = c->fenced;
    out->handler_stops = e.stops;
    out->missing = e.gaps;
    out->lost = e.lost;
    out->takeovers = f->takeovers;
    out->released = f->released;
    out->fences = f->fences;
    out->own_evictions = f->evicted;
    out->store_throttled = f->throttled;
    out->problems = c->meters.problems_total;
    out->credit = e.credit;
    out->letters_waiting = e.letters_out;
    out->store_silent_ms = c->meters.answered_at == TMK_NEVER
                               ? -1
                               : (tmk_now(&c->ports.clock) - c->meters.answered_at) / TMK_MS;
    out->stopping = c->stopping;
}

size_t tmk_control_partition_count(const tmk_control *c) {
    return tmk_fleet_partition_count(c->fleet);
}

void tmk_control_partition_at(tmk_control *c, size_t index, tmk_partition_state *out) {
    tmk_fleet_partition_info info;
    tmk_pump_facts f;
    tmk_slot *s;

    tmk_fleet_partition_at(c->fleet, index, &info);
    s = tmk_map_get(&c->by_id, tmk_slice_str(info.id));
    *out = (tmk_partition_state){.partition = info.id,
                                 .owner = info.owner,
                                 .generation = info.generation,
                                 .received_sequence = -1,
                                 .final_sequence = info.sequence,
                                 .checkpoint_sequence = info.sequence,
                                 .replay_events = 0};
    out->lag = (tmk_lag){info.id, -1, info.sequence, -1, -1, -1, 0};
    if (s == NULL) {
        return;
    }
    out->alarms = s->alarms;
    out->total_events = s->past_events;
    out->total_bytes = s->past_bytes;
    tmk_behind_lag(s, info.sequence, &out->lag);
    out->lag.partition = info.id;
    if (s->pump == NULL) {
        return;
    }
    tmk_pump_facts_get(s->pump, &f);
    out->own = true;
    out->progress = f.progress;
    out->received_sequence = f.received_sequence;
    out->final_sequence = f.final_sequence;
    out->checkpoint_sequence = f.checkpoint_sequence;
    out->held_events = (int64_t)f.held_events;
    out->held_bytes = (int64_t)f.held_bytes;
    out->replay_events = (int64_t)f.replay_events;
    out->oldest_ms = f.oldest == TMK_NEVER ? 0 : (tmk_now(&c->ports.clock) - f.oldest) / TMK_MS;
    out->events = f.events;
    out->bytes = f.bytes;
    out->total_events += f.events;
    out->total_bytes += f.bytes;
    out->paused = f.paused;
    out->credit = (int64_t)f.credit;
    out->in_flight = (int64_t)(f.held_events - f.queued_events);
}

void tmk_control_report(tmk_control *c, tmk_stop_report *out) {
    tmk_map_entry *entry;
    tmk_pump_facts f;

    out->partitions_open = 0;
    out->events_in_doubt = c->doubt_events;
    out->left = c->left;
    out->partitions_moved =
        (uint32_t)(tmk_fleet_counted(c->fleet)->handed + tmk_fleet_counted(c->fleet)->released);
    for (size_t i = 0; (entry = tmk_map_next(&c->by_id, &i)) != NULL;) {
        tmk_slot *s = entry->value;
        if (s->pump != NULL) {
            tmk_pump_facts_get(s->pump, &f);
            out->partitions_open++;
            out->events_in_doubt += f.held_events - f.queued_events;
        }
    }
}
