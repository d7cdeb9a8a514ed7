/* The events of a kit's partitions: appended whole, as a reader gets them. */
#include "kit.h"

#include <inttypes.h>
#include <stdio.h>

#include "amqp/compose.h"
#include "amqp/wire.h"
#include "base/alloc.h"
#include "base/status.h"
#include "hub/event.h"
#include "hub/names.h"

enum { OFFSET_STEP = 10, RATE_MAX = 1000000, KEYS_MAX = 1000000 };

static int64_t unix_ms(const tmk_kit *k, tmk_time at) {
    return k->o.begin_ms + (at - k->begin) / TMK_MS;
}

/* ---- appending ---- */

static tmk_status no_memory(tmk_error *err) {
    return tmk_fail(err, TMK_ENOMEM, "testkit", "no memory for an event");
}

static tmk_status make_room(kit_partition *p) {
    int64_t room = p->room * 2 + 64;
    kit_event *events = NULL;

    if (p->count < p->room) {
        return TMK_OK;
    }
    events = tmk_resize(p->events, (size_t)room, sizeof *events);
    if (events == NULL) {
        return TMK_ENOMEM;
    }
    p->events = events;
    p->room = room;
    return TMK_OK;
}

/* What the sender wrote, with what the service adds. */
static tmk_status add_event(tmk_kit *k, size_t partition, tmk_slice sent, int64_t *sequence,
                            tmk_error *err) {
    kit_partition *p = &k->partitions[partition];
    tmk_hub_message message;
    char offset[24];
    tmk_str text = {0};

    if (make_room(p) < 0) {
        return no_memory(err);
    }
    if (!tmk_hub_message_parse(sent, &message)) {
        return tmk_fail(err, TMK_EINVAL, "testkit", "the message cannot be read");
    }
    (void)snprintf(offset, sizeof offset, "%" PRId64, p->count * OFFSET_STEP);
    const tmk_hub_mark mark = {.sequence = p->count,
                               .enqueued_ms = unix_ms(k, k->kernel.now),
                               .offset = tmk_slice_str(offset)};
    (void)tmk_hub_event_add(&text, &message, &mark);
    const tmk_slice whole = tmk_str_slice(&text);
    uint8_t *bytes = tmk_str_ok(&text) ? tmk_copy(whole.bytes, whole.size) : NULL;
    tmk_str_clear(&text);
    if (bytes == NULL) {
        return no_memory(err);
    }
    if (sequence != NULL) {
        *sequence = p->count;
    }
    p->events[p->count++] =
        (kit_event){.bytes = bytes, .size = (uint32_t)whole.size, .at = k->kernel.now};
    k->appended++;
    return TMK_OK;
}

static tmk_status place_of(tmk_kit *k, const char *partition, tmk_slice key, size_t *out,
                           tmk_error *err) {
    if (partition != NULL) {
        return kit_find(k, partition, out, err);
    }
    *out = key.size > 0 ? tmk_hub_key_partition(key, k->o.partitions) : k->next++ % k->o.partitions;
    return TMK_OK;
}

tmk_status tmk_kit_append_message(tmk_kit *k, const char *partition, const tmk_message *message,
                                  int64_t *sequence, tmk_error *err) {
    tmk_slice key = tmk_message_key(message);
    tmk_str text = {0};
    size_t place = 0;
    tmk_status st = place_of(k, partition, key, &place, err);

    if (st == TMK_OK) {
        st = tmk_message_encode(message, key, &text, err);
    }
    if (st == TMK_OK) {
        st = add_event(k, place, tmk_str_slice(&text), sequence, err);
    }
    tmk_str_clear(&text);
    return st;
}

tmk_status tmk_kit_append(tmk_kit *k, const char *partition, const char *key, tmk_slice body,
                          int64_t *sequence, tmk_error *err) {
    tmk_message *message = NULL;
    tmk_status st = tmk_message_new(body, &message, err);

    if (st == TMK_OK && key != NULL) {
        st = tmk_message_set_key(message, key, err);
    }
    if (st == TMK_OK) {
        st = tmk_kit_append_message(k, partition, message, sequence, err);
    }
    (void)tmk_message_free(message);
    return st;
}

static tmk_status append_next(tmk_kit *k, uint32_t keys, tmk_error *err) {
    char body[40], key[24];

    (void)snprintf(body, sizeof body, "event %" PRIu64, k->serial);
    (void)snprintf(key, sizeof key, "key-%u", keys == 0 ? 0 : (uint32_t)(k->serial % keys));
    k->serial++;
    return tmk_kit_append(k, NULL, keys == 0 ? NULL : key, tmk_slice_str(body), NULL, err);
}

static tmk_status check_keys(uint32_t keys, tmk_error *err) {
    return keys <= KEYS_MAX ? TMK_OK
                            : tmk_fail(err, TMK_EINVAL, "testkit", "keys must be 0 to %d, not %u",
                                       KEYS_MAX, keys);
}

tmk_status tmk_kit_append_many(tmk_kit *k, uint32_t count, uint32_t keys, tmk_error *err) {
    tmk_status st = check_keys(keys, err);

    for (; st == TMK_OK && count > 0; count--) {
        st = append_next(k, keys, err);
    }
    return st;
}

void kit_on_flow(sim_event *e) {
    tmk_kit *k = sim_event_of(e, tmk_kit, flow);

    if (k->flow_rate == 0) {
        return;
    }
    if (append_next(k, k->flow_keys, NULL) < 0) {
        sim_no_memory(&k->kernel);
    }
    sim_at(&k->kernel, e, k->kernel.now + TMK_SEC / k->flow_rate);
}

tmk_status tmk_kit_flow(tmk_kit *k, uint32_t per_second, uint32_t keys, tmk_error *err) {
    tmk_status st = check_keys(keys, err);

    if (st == TMK_OK && per_second > RATE_MAX) {
        st = tmk_fail(err, TMK_EINVAL, "testkit", "at most %d events a second, not %u", RATE_MAX,
                      per_second);
    }
    if (st < 0) {
        return st;
    }
    k->flow_rate = per_second;
    k->flow_keys = keys;
    if (per_second > 0) {
        sim_at(&k->kernel, &k->flow, k->kernel.now + TMK_SEC / per_second);
    } else {
        sim_cancel(&k->kernel, &k->flow);
    }
    return TMK_OK;
}

/* ---- retention ---- */

static void expire_to(tmk_kit *k, kit_partition *p, int64_t begin) {
    for (; p->begin < begin; p->begin++) {
        kit_event *e = &p->events[p->begin];

        tmk_free(e->bytes);
        e->bytes = NULL;
        k->expired++;
    }
}

/* The first of [low, count) that was appended then or later. */
static int64_t first_since(const kit_partition *p, int64_t low, tmk_time at) {
    int64_t high = p->count;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (p->events[middle].at < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t kit_begin(tmk_kit *k, size_t partition) {
    kit_partition *p = &k->partitions[partition];

    if (k->o.retention_ms > 0 && k->o.retention_ms < INT64_MAX / TMK_MS) {
        expire_to(k, p, first_since(p, p->begin, k->kernel.now - k->o.retention_ms * TMK_MS));
    }
    return p->begin;
}

tmk_status tmk_kit_expire(tmk_kit *k, const char *partition, int64_t first_sequence,
                          tmk_error *err) {
    size_t place = 0;
    tmk_status st = kit_find(k, partition, &place, err);

    if (st == TMK_OK && (first_sequence < 0 || first_sequence > k->partitions[place].count)) {
        st = tmk_fail(err, TMK_EINVAL, "testkit",
                      "partition '%s' has %" PRId64 " events: retention cannot remove those up to "
                      "%" PRId64,
                      partition, k->partitions[place].count, first_sequence);
    }
    if (st == TMK_OK) {
        expire_to(k, &k->partitions[place], first_sequence);
        sim_trace(&k->kernel, "expire", ",\"partition\":\"%s\",\"first\":%" PRId64, partition,
                  first_sequence);
    }
    return st;
}

/* ---- what readers see ---- */

int64_t kit_last(void *kit, size_t partition, tmk_time when) {
    const tmk_kit *k = kit;
    const kit_partition *p = &k->partitions[partition];

    if (k->kernel.now < p->stuck_until && when > p->stuck_at) {
        when = p->stuck_at;
    }
    if (p->count == 0 || p->events[p->count - 1].at <= when) {
        return p->count - 1;
    }
    return first_since(p, 0, when + 1) - 1;
}

static tmk_kit *kit_of(void *instance) {
    return ((tmk_kit_instance *)instance)->kit;
}

static bool put(void *self, size_t partition, int64_t sequence, tmk_str *to) {
    const kit_event *e = &kit_of(self)->partitions[partition].events[sequence];

    if (e->bytes != NULL) {
        tmk_str_add_slice(to, (tmk_slice){e->bytes, e->size});
    }
    return e->bytes != NULL;
}

static int64_t begin_of(void *self, size_t partition) {
    return kit_begin(kit_of(self), partition);
}

static int64_t since(void *self, size_t partition, int64_t from_ms) {
    tmk_kit *k = kit_of(self);
    tmk_time at = from_ms <= k->o.begin_ms
                      ? k->begin
                      : tmk_time_after(k->begin, (from_ms - k->o.begin_ms) * TMK_MS);

    return first_since(&k->partitions[partition], 0, at);
}

static int64_t enqueued_ms(void *self, size_t partition, int64_t sequence) {
    const tmk_kit *k = kit_of(self);

    return unix_ms(k, k->partitions[partition].events[sequence].at);
}

static void opening(void *self, size_t partition, const tmk_start *start, int64_t first) {
    tmk_kit_instance *i = self;
    kit_partition *p = &i->kit->partitions[partition];

    (void)start;
    p->from = first < p->from ? first : p->from;
    sim_trace(&i->kit->kernel, "open", ",\"owner\":\"%s\",\"partition\":\"%zu\",\"first\":%" PRId64,
              i->name, partition, first);
}

static void ending(void *self, size_t partition, const tmk_error *why) {
    tmk_kit_instance *i = self;

    sim_trace(&i->kit->kernel, "fault",
              ",\"owner\":\"%s\",\"partition\":\"%zu\",\"condition\":\"%s\"", i->name, partition,
              why->origin);
}

const sim_events kit_events = {.put = put,
                               .begin = begin_of,
                               .since = since,
                               .enqueued_ms = enqueued_ms,
                               .opening = opening,
                               .ending = ending};

/* ---- what became of them ---- */

static void set_handled(kit_partition *p, kit_event *e) {
    p->handled += (e->flags & KIT_HANDLED) == 0;
    e->flags |= KIT_HANDLED;
}

void kit_note_handed(tmk_kit_instance *i, const tmk_handing *h) {
    tmk_kit *k = i->kit;
    size_t place = 0;

    if (kit_find(k, h->partition, &place, NULL) < 0) {
        return;
    }
    kit_partition *p = &k->partitions[place];
    for (uint32_t n = 0; n < h->count; n++) {
        int64_t sequence = tmk_event_sequence(h->events[n]);
        kit_event *e = &p->events[sequence];

        k->handed++;
        p->repeated += (e->flags & KIT_HANDLED) != 0;
        e->flags |= KIT_HANDED;
        sim_trace(&k->kernel, "event",
                  ",\"owner\":\"%s\",\"partition\":\"%s\",\"sequence\":%" PRId64, i->name,
                  h->partition, sequence);
    }
}

void kit_note_answered(tmk_kit_instance *i, const tmk_handing *h) {
    static const char *const names[] = {"done", "retry", "dead_letter", "skip", "later", "stop"};
    tmk_kit *k = i->kit;
    size_t place = 0;

    if (kit_find(k, h->partition, &place, NULL) < 0) {
        return;
    }
    for (uint32_t n = 0; n < h->count; n++) {
        int64_t sequence = tmk_event_sequence(h->events[n]);
        tmk_verdict v = h->verdicts[n];

        if (v == TMK_DONE || v == TMK_SKIP) {
            set_handled(&k->partitions[place], &k->partitions[place].events[sequence]);
        }
        sim_trace(&k->kernel, "verdict",
                  ",\"owner\":\"%s\",\"partition\":\"%s\",\"sequence\":%" PRId64
                  ",\"verdict\":\"%s\"",
                  i->name, h->partition, sequence, v <= TMK_STOP ? names[v] : "?");
    }
}

void kit_cover(tmk_kit *k, size_t partition, int64_t sequence) {
    kit_partition *p = &k->partitions[partition];

    for (; p->covered < sequence && p->covered + 1 < p->count; p->covered++) {
        kit_event *e = &p->events[p->covered + 1];

        if ((e->flags & KIT_HANDED) == 0 && e->bytes != NULL && p->covered + 1 >= p->from) {
            p->lost++;
            sim_trace(&k->kernel, "fault",
                      ",\"partition\":\"%zu\",\"condition\":\"lost\",\"sequence\":%" PRId64,
                      partition, p->covered + 1);
        } else if ((e->flags & KIT_HANDED) != 0) {
            set_handled(p, e);
        }
    }
}
