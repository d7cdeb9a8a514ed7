/* What is true of the events of a life, and what each reader of them has. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "whole.h"

#define ENQUEUED_FROM_MS INT64_C(1700000000000)
#define HUB_MS                                                                        \
    INT64_C(10000000000) /* so that each hub's events are newer than the one's before \
                          */

size_t whole_partition_of(const char *id) {
    return (size_t)strtoul(id, NULL, 10);
}

/* ---- what an event is like ---- */

static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t dice(const whole *w, size_t partition, int64_t sequence, uint64_t salt) {
    return mix(mix(w->kernel.seed + salt) + ((uint64_t)partition << 48) + (uint64_t)sequence);
}

int whole_key(const whole *w, size_t partition, int64_t sequence) {
    return (int)(dice(w, partition, sequence, 1) % WHOLE_KEYS) - 1;
}

bool whole_poison(const whole *w, size_t partition, int64_t sequence) {
    return (double)(dice(w, partition, sequence, 2) % 100000) < w->options.poison * 100000;
}

bool whole_missing(const whole *w, size_t partition, int64_t sequence) {
    return (double)(dice(w, partition, sequence, 3) % 100000) < w->options.missing * 100000;
}

int64_t whole_enqueued_ms(const whole *w, size_t partition, int64_t sequence) {
    return ENQUEUED_FROM_MS + w->partitions[partition].hub * HUB_MS + sequence;
}

uint32_t whole_hub_of(int64_t enqueued_ms) {
    return (uint32_t)((enqueued_ms - ENQUEUED_FROM_MS) / HUB_MS);
}

/* ---- the truth ---- */

static void grow(whole_partition *p, int64_t room) {
    bool *final = tmk_resize(p->final, (size_t)room, sizeof *final);

    if (final == NULL) {
        abort();
    }
    memset(final + p->room, 0, (size_t)(room - p->room) * sizeof *final);
    p->final = final;
    p->room = room;
}

static void advance(whole_partition *p) {
    while (p->low < p->count && p->final[p->low]) {
        p->low++;
    }
}

void whole_look_at(whole *w, size_t partition, int64_t sequence) {
    whole_partition *p = &w->partitions[partition];

    if (sequence >= p->room) {
        grow(p, sequence * 2 + 1024);
    }
    for (; p->count <= sequence; p->count++) {
        p->final[p->count] = p->count < p->begin || whole_missing(w, partition, p->count);
    }
    advance(p);
}

void whole_set_final(whole *w, size_t partition, int64_t sequence) {
    whole_partition *p = &w->partitions[partition];

    whole_look_at(w, partition, sequence);
    if (!p->final[sequence]) {
        w->figures.events++;
        p->moved_at = w->kernel.now;
    }
    p->final[sequence] = true;
    advance(p);
}

void whole_expire(whole *w, size_t partition, int64_t begin) {
    whole_partition *p = &w->partitions[partition];

    if (begin <= p->begin) {
        return;
    }
    p->begin = begin;
    whole_look_at(w, partition, begin - 1);
    memset(p->final, true, (size_t)begin * sizeof *p->final);
    advance(p);
}

bool whole_all_final(whole *w, char *why, size_t room) {
    for (size_t n = 0; n < w->options.partitions; n++) {
        whole_partition *p = &w->partitions[n];
        int64_t last = sim_hub_last(w->hub, n, w->kernel.now);

        if (last >= 0) {
            whole_look_at(w, n, last);
            advance(p);
        }
        if (p->low <= last) {
            (void)snprintf(why, room, "event %lld of partition %zu, which has %lld",
                           (long long)p->low, n, (long long)last + 1);
            return false;
        }
    }
    return true;
}

/* ---- readers ---- */

whole_reader *whole_reader_of(whole_instance *i, size_t partition, uint32_t opening) {
    whole_reader *r = &i->readers[partition];

    return r->open && r->opening == opening ? r : NULL;
}

void whole_reader_clear(whole_reader *r) {
    tmk_free(r->places);
    tmk_ranges_clear(&r->known);
    *r = (whole_reader){0};
}

whole_place *whole_place_of(whole_reader *r, int64_t sequence) {
    return sequence >= r->base && sequence <= r->delivered ? &r->places[sequence - r->base] : NULL;
}

static void place(whole_reader *r, int64_t sequence, tmk_time now, whole_stage stage) {
    int64_t at = sequence - r->base;

    if (at >= r->room) {
        int64_t room = at * 2 + 256;
        whole_place *places = tmk_resize(r->places, (size_t)room, sizeof *places);

        if (places == NULL) {
            abort();
        }
        r->places = places;
        r->room = room;
    }
    r->places[at] = (whole_place){.stage = (uint8_t)stage, .since = now};
    r->delivered = sequence;
}

static void pass(whole_reader *r) {
    while (r->low <= r->delivered && r->places[r->low - r->base].stage == STAGE_FINAL) {
        r->low++;
    }
}

void whole_check_delivered(whole_instance *i, size_t partition, int64_t sequence) {
    whole_reader *r = &i->readers[partition];
    tmk_time now = i->world->kernel.now;

    if (!r->open || sequence <= r->delivered) {
        return; /* once more */
    }
    whole_look_at(i->world, partition, sequence);
    while (r->delivered + 1 < sequence) {
        place(r, r->delivered + 1, now, STAGE_FINAL); /* left out: it is not there */
    }
    bool known = tmk_ranges_has(&r->known, sequence);
    place(r, sequence, now, known ? STAGE_FINAL : STAGE_QUEUED);
    r->held += !known;
    r->delivered_at = now;
    pass(r);
}

void whole_cure(whole_reader *r) {
    for (int64_t s = r->low; r->linked && s <= r->delivered; s++) {
        whole_place *e = &r->places[s - r->base];

        if (e->stage == STAGE_HALTED) {
            *e = (whole_place){.stage = STAGE_AGAIN, .cured = true}; /* its tries begin anew */
        }
    }
}

void whole_recount(whole *w, size_t partition, whole_reader *r) {
    const whole_partition *p = &w->partitions[partition];

    r->unstored_since = 0;
    for (int64_t s = p->written < r->base ? r->base : p->written + 1; s <= r->delivered; s++) {
        const whole_place *e = &r->places[s - r->base];

        if (e->stage == STAGE_FINAL && s >= p->begin && !tmk_ranges_has(&r->known, s) &&
            !whole_missing(w, partition, s) && !tmk_ranges_has(&p->mapped, s) &&
            (r->unstored_since == 0 || e->since < r->unstored_since)) {
            r->unstored_since = e->since;
        }
    }
}

void whole_set_stage(whole_reader *r, int64_t sequence, tmk_time now, whole_stage stage) {
    whole_place *e = r == NULL ? NULL : whole_place_of(r, sequence);

    if (e == NULL || e->stage == STAGE_FINAL) {
        return;
    }
    r->held -= stage == STAGE_FINAL;
    e->stage = (uint8_t)stage;
    e->since = now;
    if (stage == STAGE_FINAL && r->unstored_since == 0) {
        r->unstored_since = now;
    }
    pass(r);
}
