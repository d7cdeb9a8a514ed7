/* What must hold as time goes by: at each step, and every quarter of a second. */
#include <inttypes.h>
#include <string.h>

#include "whole.h"

#define EVERY (250 * TMK_MS)
enum { LOOK_BACK = 300 };
#define WINDOW (10 * TMK_SEC)
enum { REQUESTS_MAX = 300 }; /* of one instance in a window: 30 a second, in whatever trouble */

/* ---- each step ---- */

/* What is held, counted by what has come and what became final, not by what the product says. */
static void check_held(whole_instance *i) {
    whole *w = i->world;
    uint64_t held = 0, readers = 0;
    tmk_processor_stats s = {.size = sizeof s};

    for (size_t p = 0; p < w->options.partitions; p++) {
        held += i->readers[p].open ? i->readers[p].held : 0;
        readers += i->readers[p].open;
    }
    w->figures.held_max = held > w->figures.held_max ? held : w->figures.held_max;
    tmk_control_stats(i->control, &s);
    if (held > i->user.events_max + readers ||
        s.held_events > i->user.events_max + w->options.partitions ||
        s.held_bytes > i->user.bytes_max) {
        sim_violation(&w->kernel, "I11", "%s holds %" PRIu64 " events (says %u, %" PRIu64 " bytes)",
                      i->name, held, s.held_events, s.held_bytes);
    }
}

/* More only where the interval of all its checkpoints needs more, and that twice over. */
static uint64_t requests_max(const whole *w) {
    uint64_t needed = 2 * w->options.partitions * (uint64_t)(WINDOW / TMK_MS) /
                      (uint64_t)w->options.checkpoint_ms;

    return REQUESTS_MAX > needed + REQUESTS_MAX / 2 ? REQUESTS_MAX : needed + REQUESTS_MAX / 2;
}

static void check_requests(whole_instance *i) {
    whole *w = i->world;
    uint64_t all = sim_store_requests(i->store), made = all - i->window_requests;

    w->figures.requests_max = made > w->figures.requests_max ? made : w->figures.requests_max;
    if (made > requests_max(w)) {
        sim_violation(&w->kernel, "I10", "%s has made %" PRIu64 " requests in %" PRId64 " s",
                      i->name, made, WINDOW / TMK_SEC);
    }
    if (w->kernel.now - i->window_at >= WINDOW) {
        i->window_at = w->kernel.now;
        i->window_requests = all;
    }
}

void whole_check_step(whole_instance *i) {
    check_held(i);
    check_requests(i);
}

/* ---- as time goes by ---- */

static bool any_idle(const whole_instance *i) {
    for (size_t n = 0; n < WHOLE_WORKERS; n++) {
        if (i->workers[n].event == NULL) {
            return true;
        }
    }
    return false;
}

/* For so long there has always been one. */
static bool idle_for(const whole_instance *i, tmk_time span) {
    return i->idle_since != 0 && i->world->kernel.now - i->idle_since > span;
}

static void told(whole_instance *i, size_t partition, tmk_time *since, const char *what) {
    sim_kernel *k = &i->world->kernel;

    if (*since != 0 && k->now - *since > 2 * TMK_SEC) {
        sim_violation(k, "I13", "%s of %s, partition %zu, is told to nobody", what, i->name,
                      partition);
    }
}

static int64_t not_stored(const whole *w, size_t partition, int64_t low) {
    const whole_partition *p = &w->partitions[partition];
    int64_t count = 0;

    for (int64_t s = p->written + 1; s < low; s++) {
        count += !whole_missing(w, partition, s) && !tmk_ranges_has(&p->mapped, s);
    }
    return count;
}

static bool well_here(const whole_instance *i, const whole_reader *r, tmk_time span) {
    return whole_well(i, span) && i->world->kernel.now - r->opened_at > span;
}

/* What is final goes to the store: by the interval, or by the count, whichever comes first. */
static void check_late(whole_instance *i, size_t partition) {
    whole *w = i->world;
    whole_reader *r = &i->readers[partition];
    int64_t behind = r->low - 1;
    tmk_time now = w->kernel.now;
    /* While it drains there is nothing that would keep the write waiting. */
    tmk_time late = w->options.checkpoint_ms * TMK_MS + (r->closing ? 5 : 10) * TMK_SEC;

    while (behind > w->partitions[partition].written &&
           (whole_missing(w, partition, behind) || behind < w->partitions[partition].begin)) {
        behind--; /* that nothing is there shows only when something comes behind it */
    }
    behind -= w->partitions[partition].written;
    if (r->written_seen != w->partitions[partition].written) {
        r->written_seen = w->partitions[partition].written;
        r->behind_since = r->over_since = 0;
    }
    r->behind_since = behind <= 0 ? 0 : r->behind_since == 0 ? now : r->behind_since;
    if (behind > w->options.checkpoint_events) {
        behind = not_stored(w, partition, r->low); /* without what is not there, or in the map */
    }
    r->over_since = behind <= w->options.checkpoint_events ? 0
                    : r->over_since == 0                   ? now
                                                           : r->over_since;
    if (r->unstored_since != 0 && !r->lost && now - r->unstored_since > late &&
        well_here(i, r, late)) {
        sim_violation(&w->kernel, "I4",
                      "%s has final events of %zu that the store has not, for %" PRId64 " s",
                      i->name, partition, (now - r->unstored_since) / TMK_SEC);
    }
    if ((r->behind_since != 0 && now - r->behind_since > late && well_here(i, r, late)) ||
        (r->over_since != 0 && now - r->over_since > 10 * TMK_SEC &&
         well_here(i, r, 20 * TMK_SEC))) {
        sim_violation(&w->kernel, "I4",
                      "%s has %" PRId64 " final of %zu, the store %" PRId64 ", for %" PRId64 " s",
                      i->name, r->low - 1, partition, w->partitions[partition].written,
                      (now - (r->behind_since != 0 ? r->behind_since : r->over_since)) / TMK_SEC);
    }
}

/*
 * The first event that could be handed out at once, and waits since before `since`. -1: none. What
 * was final before may come again, or not: whoever had it so may know of it from a checkpoint of
 * his that the store has only since.
 */
static int64_t waiting(const whole *w, size_t partition, const whole_reader *r, tmk_time since) {
    bool taken[WHOLE_KEYS] = {false};
    tmk_time freed[WHOLE_KEYS] = {0}; /* when the event before it was through */
    int64_t from = r->low - LOOK_BACK > r->base ? r->low - LOOK_BACK : r->base;

    for (int64_t s = from; s <= r->delivered; s++) {
        const whole_place *e = &r->places[s - r->base];
        int key = whole_key(w, partition, s) + 1;
        bool free = w->options.order == TMK_ORDER_NONE || (key == 0 && w->options.keyless_free);

        key = w->options.order == TMK_ORDER_PARTITION ? 0 : key;
        if (e->stage == STAGE_FINAL) {
            freed[key] = e->since > freed[key] && !free ? e->since : freed[key];
            continue;
        }
        if (e->stage == STAGE_QUEUED && w->partitions[partition].final[s]) {
            continue; /* somebody has done it: whoever knows need not do it again */
        }
        if ((e->stage == STAGE_QUEUED && e->since < since && freed[key] < since &&
             (free || !taken[key])) ||
            (e->stage == STAGE_AGAIN && e->since < since - 4 * TMK_SEC) ||
            (e->stage == STAGE_LETTER && e->since < since - 60 * TMK_SEC &&
             w->options.sink_fails <= 0 && w->mended_at < since - 60 * TMK_SEC)) {
            return s;
        }
        taken[key] = !free;
        if (w->options.order == TMK_ORDER_PARTITION) {
            break;
        }
    }
    return -1;
}

/* An event waits, a worker is idle, and nothing forbids to hand it out. */
static void check_stuck(whole_instance *i, size_t partition) {
    whole *w = i->world;
    const whole_reader *r = &i->readers[partition];
    int64_t sequence = -1;

    if (r->paused || r->halted || r->closing || i->stopped_at != 0 || !idle_for(i, 2 * TMK_SEC) ||
        !whole_well(i, 45 * TMK_SEC)) {
        return;
    }
    sequence = waiting(w, partition, r, w->kernel.now - 15 * TMK_SEC);
    if (sequence >= 0) {
        sim_violation(&w->kernel, "I8",
                      "%s lets event %" PRId64 " of %zu wait (stage %d), and workers are idle",
                      i->name, sequence, partition, r->places[sequence - r->base].stage);
    }
}

/* Events are there, nothing is in hand, and none comes. */
static void check_starved(whole_instance *i, size_t partition) {
    whole *w = i->world;
    const whole_reader *r = &i->readers[partition];
    int64_t last = sim_hub_last(w->hub, partition, w->kernel.now - 60 * TMK_SEC);

    while (last > r->delivered && whole_missing(w, partition, last)) {
        last--;
    }
    if (r->paused || r->halted || i->stopped_at != 0 || !r->attached || r->held > 0 ||
        r->delivered >= last || w->kernel.now - r->delivered_at < 75 * TMK_SEC ||
        !whole_well(i, 75 * TMK_SEC)) {
        return;
    }
    sim_violation(
        &w->kernel, "I8",
        "%s has had nothing of %zu for %" PRId64 " s, %" PRId64 " to %" PRId64 " are there",
        i->name, partition, (w->kernel.now - r->delivered_at) / TMK_SEC, r->delivered + 1, last);
}

/* Credit and events that are not final, all partitions of an instance. */
static uint64_t in_use(const whole_instance *i) {
    uint64_t used = 0;

    for (size_t p = 0; p < i->world->options.partitions; p++) {
        used += i->readers[p].open ? i->readers[p].held + i->readers[p].credit : 0;
    }
    return used;
}

/* All that is held of it is being handled, more is there, and the budget has room for it: then it
 * is asked for, whatever takes long. */
static void check_room(whole_instance *i, size_t partition) {
    whole *w = i->world;
    whole_reader *r = &i->readers[partition];
    tmk_time now = w->kernel.now;
    int64_t last = sim_hub_last(w->hub, partition, now - TMK_SEC);
    bool idle = r->held <= WHOLE_WORKERS && r->credit == 0 && r->delivered < last && r->attached &&
                !r->paused && !r->halted && i->stopped_at == 0 &&
                i->broken_until < now - 45 * TMK_SEC && in_use(i) < i->user.events_max / 3 * 2 &&
                i->user.bytes_max / i->user.events_max > 2 << 20 &&
                i->user.prefetch > WHOLE_WORKERS &&
                i->user.events_max / w->options.partitions > 2 * WHOLE_WORKERS;

    r->room_since = !idle || !whole_well(i, 10 * TMK_SEC) ? 0
                    : r->room_since == 0                  ? now
                                                          : r->room_since;
    if (r->room_since != 0 && now - r->room_since > TMK_SEC) {
        sim_violation(&w->kernel, "I8",
                      "%s asks for no more of %zu since %" PRId64 " s, and there is room: %" PRIu64
                      " of %u in use",
                      i->name, partition, (now - r->room_since) / TMK_SEC, in_use(i),
                      i->user.events_max);
    }
}

/* The store has the checkpoint of a hub that is no more: whoever reads the new one replaces it. */
static void check_stale(whole_instance *i, size_t partition) {
    const whole_partition *p = &i->world->partitions[partition];
    whole_reader *r = &i->readers[partition];
    tmk_time now = i->world->kernel.now;

    r->stale_since = !p->stale || !r->attached || r->paused || r->halted || r->held > 0 ||
                             i->stopped_at != 0 || !whole_well(i, 60 * TMK_SEC)
                         ? 0
                     : r->stale_since == 0 ? now
                                           : r->stale_since;
    if (r->stale_since != 0 && now - r->stale_since > 60 * TMK_SEC) {
        sim_violation(&i->world->kernel, "I3",
                      "%s reads %zu of a hub made anew, and its checkpoint is the old one's",
                      i->name, partition);
    }
}

/* The hub has granted the link: what is in hand is handed out, also while the store is away. */
static void check_vouched(whole_instance *i, size_t partition) {
    const whole *w = i->world;
    const whole_reader *r = &i->readers[partition];
    tmk_time from = w->kernel.now - 8 * TMK_SEC;
    int64_t sequence = -1;

    if (r->up_since == 0 || r->up_since > from || r->paused || r->halted || r->resumed_at > from ||
        i->stopped_at != 0 || i->broken_until > w->kernel.now - 45 * TMK_SEC || r->closing ||
        i->slept_at > from - 100 * TMK_SEC || !idle_for(i, 2 * TMK_SEC)) {
        return;
    }
    sequence = waiting(w, partition, r, from);
    if (sequence >= 0) {
        sim_violation(&i->world->kernel, "I8",
                      "%s lets event %" PRId64 " of %zu wait, its link stands since %" PRId64 " s",
                      i->name, sequence, partition, (w->kernel.now - r->up_since) / TMK_SEC);
    }
}

static void check_reader(whole_instance *i, size_t partition) {
    whole_reader *r = &i->readers[partition];

    if (i->stopping || !r->linked) {
        return;
    }
    told(i, partition, &r->owed_at, "the end of a link");
    check_late(i, partition);
    if (!r->lost) {
        check_stuck(i, partition);
        check_starved(i, partition);
        check_room(i, partition);
        check_stale(i, partition);
        check_vouched(i, partition);
    }
}

static void check_instance(whole_instance *i) {
    whole *w = i->world;

    if (i->control == NULL || i->process.frozen) {
        return;
    }
    i->idle_since = !any_idle(i) ? 0 : i->idle_since == 0 ? w->kernel.now : i->idle_since;
    told(i, 0, &i->letter_owed_at, "a failure of the sink");
    if (i->stopping && w->kernel.now > i->stop_deadline + TMK_SEC) {
        sim_violation(&w->kernel, "I12", "%s runs after its stop's deadline", i->name);
    }
    for (size_t p = 0; p < w->options.partitions; p++) {
        if (i->readers[p].open) {
            check_reader(i, p);
        }
    }
}

void whole_check_tick(whole *w) {
    for (size_t n = 0; n < w->instance_count; n++) {
        check_instance(w->instances[n]);
    }
    for (size_t p = 0; p < w->options.partitions; p++) {
        if (w->partitions[p].made_anew) {
            sim_hub_make_anew(w->hub, p, w->kernel.now + 5 * TMK_SEC);
        }
    }
    sim_at(&w->kernel, &w->tick, w->kernel.now + EVERY);
}

/* ---- errors ---- */

void whole_check_error(whole_instance *i, const tmk_problem *p) {
    whole_reader *r = p->partition == NULL ? NULL : &i->readers[whole_partition_of(p->partition)];

    if (p->reaction == NULL || p->reaction[0] == '\0' || p->error->text[0] == '\0') {
        sim_violation(&i->world->kernel, "I13", "a problem of %s says too little", i->name);
    }
    if (strcmp(p->operation, "dead_letter") == 0) {
        i->letter_owed_at = 0;
    } else if (r != NULL && strcmp(p->operation, "receive") == 0) {
        r->owed_at = 0;
    }
}
