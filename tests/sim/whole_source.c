/* What an instance reads: the simulated hub's links, with the events of the life and its checkers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/wire.h"
#include "whole.h"

enum { REPEATS_MAX = 40 };

/* ---- events ---- */

static void put_text(tmk_str *s, const char *name, const char *text) {
    tmk_wire_put_symbol(s, tmk_slice_str(name));
    tmk_wire_put_string(s, tmk_slice_str(text));
}

static bool put_event(void *self, size_t partition, int64_t sequence, tmk_str *s) {
    const whole *w = ((const whole_instance *)self)->world;
    int key = whole_key(w, partition, sequence);
    char text[32];
    tmk_wire_mark m;

    if (whole_missing(w, partition, sequence)) {
        return false;
    }
    tmk_wire_put_descriptor(s, TMK_SECTION_MESSAGE_ANNOTATIONS);
    m = tmk_wire_begin_map(s);
    tmk_wire_put_symbol(s, tmk_slice_str("x-opt-sequence-number"));
    tmk_wire_put_long(s, sequence);
    (void)snprintf(text, sizeof text, "%" PRId64, sequence * 10);
    put_text(s, "x-opt-offset", text);
    tmk_wire_put_symbol(s, tmk_slice_str("x-opt-enqueued-time"));
    tmk_wire_put_time(s, whole_enqueued_ms(w, partition, sequence));
    if (key >= 0) {
        (void)snprintf(text, sizeof text, "key %d", key);
        put_text(s, "x-opt-partition-key", text);
    }
    tmk_wire_end_map(s, m, key >= 0 ? 8 : 6);
    tmk_wire_put_descriptor(s, TMK_SECTION_DATA);
    tmk_wire_put_binary(s, tmk_slice_str("an event"));
    return true;
}

static int64_t begin_of(void *self, size_t partition) {
    return ((const whole_instance *)self)->world->partitions[partition].begin;
}

static int64_t since(void *self, size_t partition, int64_t unix_ms) {
    return unix_ms - whole_enqueued_ms(((const whole_instance *)self)->world, partition, 0);
}

static int64_t enqueued_ms(void *self, size_t partition, int64_t sequence) {
    return whole_enqueued_ms(((const whole_instance *)self)->world, partition, sequence);
}

/* ---- what the checkers see ---- */

static void opening(void *self, size_t partition, const tmk_start *start, int64_t first) {
    (void)first;
    ((whole_instance *)self)->readers[partition].closing = false;
    whole_check_open(self, partition, start);
}

static void delivered(void *self, size_t partition, int64_t sequence) {
    whole_check_delivered(self, partition, sequence);
}

static void standing(void *self, size_t partition, bool up) {
    whole_instance *i = self;
    whole_reader *r = &i->readers[partition];

    r->down = !up;
    r->up_since = up ? i->world->kernel.now : 0;
}

static void credited(void *self, size_t partition, uint64_t credit) {
    ((whole_instance *)self)->readers[partition].credit = credit;
}

static void attached(void *self, size_t partition, bool is) {
    whole_reader *r = &((whole_instance *)self)->readers[partition];

    r->attached = is;
    r->closing = !is;
    credited(self, partition, 0);
    standing(self, partition, is);
}

static void ending(void *self, size_t partition, const tmk_error *why) {
    whole_instance *i = self;
    whole_reader *r = &i->readers[partition];

    sim_trace(&i->world->kernel, "fault",
              ",\"owner\":\"%s\",\"partition\":\"%zu\",\"condition\":\"%s\"", i->name, partition,
              why->origin);
    if (why->status != TMK_ELOST) {
        i->world->partitions[partition].level = -1; /* nobody has it: any level may */
    }
    attached(i, partition, false);
    r->closing = false;
    r->owed_at = i->trouble_at = i->world->kernel.now;
}

static void ended(void *self, size_t partition, tmk_status why) {
    whole_instance *i = self;
    whole_reader *r = &i->readers[partition];

    r->lost = r->lost || why == TMK_ELOST;
    if (why == TMK_ENOTFOUND) {
        whole_step_soon(i);
    }
}

tmk_source whole_source_of(whole_instance *i) {
    static const sim_events events = {put_event, begin_of, since,  enqueued_ms, opening, delivered,
                                      attached,  standing, ending, ended,       credited};
    const sim_source_options o = {.hub = i->world->hub,
                                  .client = i->hub,
                                  .process = &i->process,
                                  .rng = &i->rng,
                                  .events = &events,
                                  .self = i,
                                  .keep_bytes = 1 << 20};

    i->source = sim_source_new(&i->world->kernel, &o);
    if (i->source == NULL) {
        abort();
    }
    return sim_source_of(i->source);
}

void whole_source_end(whole_instance *i) {
    for (size_t p = 0; p < i->world->options.partitions; p++) {
        i->world->partitions[p].level = i->readers[p].attached ? -1 : i->world->partitions[p].level;
    }
    i->source = sim_source_free(i->source);
}

/* ---- what may happen ---- */

void whole_detach_links(whole_instance *i, tmk_status why, const char *origin) {
    sim_source_detach(i->source, SIZE_MAX, 0.7, why, origin);
    whole_step_soon(i);
}

void whole_shake_links(whole_instance *i) {
    sim_source_break(i->source, SIZE_MAX, 100 * TMK_MS, 3 * TMK_SEC, TMK_EIO,
                     "amqp:link:detach-forced");
}

void whole_refuse_token(whole_instance *i) {
    tmk_time until = i->token_bad_until - i->world->kernel.now;

    sim_source_break(i->source, SIZE_MAX, until, until + 5 * TMK_SEC, TMK_EAUTH,
                     "amqp:unauthorized-access");
}

void whole_silence_links(whole_instance *i) {
    i->trouble_at = i->world->kernel.now;
    sim_source_silence(i->source, SIZE_MAX, 0.5);
}

static int64_t back(void *self, size_t partition, int64_t next) {
    whole_instance *i = self;
    int64_t base = i->readers[partition].linked ? i->readers[partition].base : next;
    int64_t to = next - tmk_rng_between(&i->rng, 0, REPEATS_MAX);

    return next < base ? next : to < base ? base : to;
}

void whole_repeat_events(whole_instance *i) {
    sim_source_repeat(i->source, SIZE_MAX, back);
}

/* Links of the hub that is no more end; its numbers begin again. */
void whole_make_anew(whole *w, size_t partition, tmk_time pause) {
    whole_partition *p = &w->partitions[partition];

    sim_hub_make_anew(w->hub, partition, w->kernel.now + pause);
    p->stale = p->stale || p->written >= 0;
    p->made_anew = true;
    tmk_ranges_clear(&p->mapped);
    p->hub++;
    p->count = p->low = p->begin = 0;
    p->written = -1;
    memset(p->key_low, 0, sizeof p->key_low);
    for (size_t n = 0; n < w->instance_count; n++) {
        whole_instance *i = w->instances[n];
        whole_reader *r = &i->readers[partition];

        if (r->open) {
            whole_reader old = *r;
            whole_reader_clear(r);
            *r = (whole_reader){.open = true,
                                .lost = old.lost,
                                .paused = old.paused,
                                .opening = ++w->openings,
                                .generation = old.generation,
                                .told = old.told,
                                .down = old.down,
                                .closing = old.closing,
                                .credit = old.credit,
                                .base = INT64_MAX,
                                .opened_at = w->kernel.now};
        }
        if (i->control != NULL) {
            sim_source_gone(i->source, partition);
        }
    }
}
