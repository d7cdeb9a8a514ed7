/*
 * The tracker: a ring of done bits by ordinal, a ring of entries by burst.
 *
 * In order, finishing moves `low` and pops entries; no bit is ever set. Out of
 * order, bits are set above low and taken up when low reaches them.
 */
#include "core/tracker.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "core/mutants.h"

enum { ENTRIES_MIN = 8, ENTRIES_KEEP = 1024, BITS_MIN = 256 };

/* ---- entries ---- */

static tmk_tracker_entry *entry_at(const tmk_tracker *t, uint32_t place) {
    return &t->entries[(t->entry_head + place) & (t->entry_room - 1)];
}

static bool entry_has(const tmk_tracker_entry *e, uint64_t ordinal) {
    return ordinal - e->first < e->count; /* wraps to a large number below first */
}

static uint32_t search(const tmk_tracker *t, uint64_t ordinal) {
    uint32_t low = 0;
    uint32_t high = t->entry_count - 1;

    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;

        if (entry_at(t, middle)->first <= ordinal) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

/* The place of the entry that has the ordinal; there is one. */
static uint32_t find(const tmk_tracker *t, uint64_t ordinal) {
    tmk_assert(t->entry_count > 0 && ordinal < t->high);
    if (entry_has(entry_at(t, 0), ordinal)) {
        return 0;
    }
    if (t->hint < t->entry_count && entry_has(entry_at(t, t->hint), ordinal)) {
        return t->hint;
    }
    return search(t, ordinal);
}

static tmk_status reserve_entry(tmk_tracker *t) {
    uint32_t room = t->entry_room == 0 ? ENTRIES_MIN : t->entry_room * 2;
    tmk_tracker_entry *entries = NULL;

    if (t->entry_count < t->entry_room) {
        return TMK_OK;
    }
    entries = room > UINT32_MAX / 4 ? NULL : tmk_alloc_zero(room, sizeof *entries);
    if (entries == NULL) {
        return TMK_ENOMEM;
    }
    for (uint32_t i = 0; i < t->entry_count; i++) {
        entries[i] = *entry_at(t, i);
    }
    tmk_free(t->entries);
    t->entries = entries;
    t->entry_room = room;
    t->entry_head = 0;
    return TMK_OK;
}

static void keep_position(const tmk_event *e, tmk_position *out) {
    out->sequence = e->sequence;
    out->enqueued_ms = e->enqueued_ms < -1 ? -1 : e->enqueued_ms;
    out->offset[0] = '\0';
    if (e->offset_size < sizeof out->offset) {
        memcpy(out->offset, e->message + e->offset_at, e->offset_size);
        out->offset[e->offset_size] = '\0';
    }
}

/* All events of an entry are final: its burst goes, the position of the last one stays. */
static void release(tmk_tracker *t, tmk_tracker_entry *e) {
    keep_position(&e->burst->events[e->index + e->count - 1], &e->last);
    t->held_bytes -= e->held_bytes;
    t->final_bytes += e->message_bytes;
    tmk_burst_drop(e->burst);
    e->burst = NULL;
}

static void count_down(tmk_tracker *t, uint64_t first, uint64_t count) {
    for (uint32_t place = find(t, first); count > 0; place++) {
        tmk_tracker_entry *e = entry_at(t, place);
        uint64_t part = e->first + e->count - first;

        part = part < count ? part : count;
        tmk_assert(e->unfinished >= part);
        e->unfinished -= (uint32_t)part;
        if (e->unfinished == 0) {
            release(t, e);
        }
        t->hint = place;
        first += part;
        count -= part;
    }
}

static void pop_entries(tmk_tracker *t) {
    const tmk_tracker_entry *last = NULL;

    while (t->entry_count > 0 && entry_at(t, 0)->first + entry_at(t, 0)->count <= t->low) {
        last = entry_at(t, 0);
        tmk_assert(last->burst == NULL);
        t->entry_head = (t->entry_head + 1) & (t->entry_room - 1);
        t->entry_count--;
        t->hint -= t->hint > 0 ? 1 : 0;
    }
    if (last != NULL) {
        t->popped = last->last;
    }
}

/* ---- bits ---- */

static uint64_t *word_of(const tmk_tracker *t, uint64_t ordinal) {
    return &t->bits[(ordinal & (t->bit_room - 1)) / 64];
}

/* So that [low, high) fits, the words at both ends apart. */
static tmk_status reserve_bits(tmk_tracker *t, uint64_t high) {
    uint64_t need = high - (t->low & ~UINT64_C(63));
    uint64_t room = t->bit_room == 0 ? BITS_MIN : t->bit_room;
    uint64_t *bits = NULL;

    if (need <= t->bit_room) {
        return TMK_OK;
    }
    while (room < need) {
        room *= 2;
    }
    bits = tmk_alloc_zero(room / 64, sizeof *bits);
    if (bits == NULL) {
        return TMK_ENOMEM;
    }
    for (uint64_t at = t->low & ~UINT64_C(63); at < t->high; at += 64) {
        bits[(at & (room - 1)) / 64] = *word_of(t, at);
    }
    tmk_free(t->bits);
    t->bits = bits;
    t->bit_room = room;
    return TMK_OK;
}

/* Walks [first, first + count) by words: *mask has the bits of the range in the word returned. */
static uint64_t *next_word(const tmk_tracker *t, uint64_t *first, uint64_t *count, uint64_t *mask) {
    uint64_t shift = *first & 63;
    uint64_t part = 64 - shift < *count ? 64 - shift : *count;
    uint64_t *word = word_of(t, *first);

    *mask = (part == 64 ? ~UINT64_C(0) : (UINT64_C(1) << part) - 1) << shift;
    *first += part;
    *count -= part;
    return word;
}

static void set_bits(tmk_tracker *t, uint64_t first, uint64_t count) {
    uint64_t mask = 0;

    while (count > 0) {
        uint64_t *word = next_word(t, &first, &count, &mask);

        tmk_assert((*word & mask) == 0); /* an event becomes final once */
        *word |= mask;
    }
}

static bool none_set(const tmk_tracker *t, uint64_t first, uint64_t count) {
    uint64_t mask = 0;

    while (count > 0) {
        if ((*next_word(t, &first, &count, &mask) & mask) != 0) {
            return false;
        }
    }
    return true;
}

/* The first ordinal from `from` on whose bit is `value`; high when there is none. */
static uint64_t next_bit(const tmk_tracker *t, uint64_t from, bool value) {
    while (from < t->high) {
        uint64_t word = *word_of(t, from);
        uint64_t rest = (value ? word : ~word) >> (from & 63);

        if (rest != 0) {
            from += (uint64_t)__builtin_ctzll(rest);
            break;
        }
        from = (from | 63) + 1;
    }
    return from < t->high ? from : t->high;
}

/* Low has reached final events: it passes them, and their bits are cleared. */
static void absorb(tmk_tracker *t) {
    uint64_t end = next_bit(t, t->low, false);
    uint64_t count = end - t->low;
    uint64_t mask = 0;

    t->above -= count;
    while (count > 0) {
        uint64_t *word = next_word(t, &t->low, &count, &mask);

        *word &= ~mask;
    }
}

/* ---- the tracker ---- */

void tmk_tracker_init(tmk_tracker *t, const tmk_position *start, tmk_ranges *before) {
    *t = (tmk_tracker){
        .popped = *start, .newest = start->sequence, .newest_enqueued_ms = start->enqueued_ms};
    if (before != NULL) {
        t->before = *before;
        *before = (tmk_ranges){0};
        tmk_ranges_cut_below(&t->before, start->sequence + 1);
    }
}

void tmk_tracker_detach(tmk_tracker *t, tmk_list *bursts) {
    for (uint32_t i = 0; i < t->entry_count; i++) {
        tmk_burst *burst = entry_at(t, i)->burst;

        if (burst != NULL && bursts != NULL && !tmk_list_linked(&burst->node)) {
            tmk_list_push_back(bursts, &burst->node);
        } else {
            tmk_burst_drop(burst); /* NULL, or a further reference to one that is listed */
        }
    }
    tmk_free(t->entries);
    tmk_free(t->bits);
    tmk_ranges_clear(&t->before);
    *t = (tmk_tracker){.newest = -1};
}

void tmk_tracker_clear(tmk_tracker *t) {
    tmk_tracker_detach(t, NULL);
}

/* After a time in which much waited, most of the memory goes. */
static void shrink(tmk_tracker *t) {
    if (t->entry_count == 0 && t->entry_room > ENTRIES_KEEP) {
        tmk_free(t->entries);
        t->entries = NULL;
        t->entry_room = 0;
        t->entry_head = 0;
    }
}

tmk_status tmk_tracker_reserve(tmk_tracker *t, uint32_t count) {
    shrink(t);
    return reserve_entry(t) < 0 || reserve_bits(t, t->high + count) < 0 ? TMK_ENOMEM : TMK_OK;
}

tmk_status tmk_tracker_admit(tmk_tracker *t, tmk_burst *burst, uint32_t index, uint32_t count,
                             uint64_t held_bytes, tmk_time now, uint64_t *first) {
    const tmk_event *events = burst->events + index;

    tmk_assert(count > 0 && count <= burst->count - index && events[0].sequence > t->newest);
    if (tmk_tracker_reserve(t, count) < 0) {
        return TMK_ENOMEM;
    }
    *entry_at(t, t->entry_count++) = (tmk_tracker_entry){
        .burst = burst,
        .first = t->high,
        .index = index,
        .count = count,
        .unfinished = count,
        .first_sequence = events[0].sequence,
        .arrived = now,
        .held_bytes = held_bytes,
        .message_bytes = burst->size * count / burst->count,
    };
    t->held_bytes += held_bytes;
    t->newest = events[count - 1].sequence;
    t->newest_enqueued_ms = events[count - 1].enqueued_ms;
    *first = t->high;
    t->high += count;
    return TMK_OK;
}

bool tmk_tracker_known(const tmk_tracker *t, int64_t sequence) {
    return !TMK_MUTANT(KNOWN_HANDED_OUT) && t->before.count > 0 &&
           tmk_ranges_has(&t->before, sequence);
}

void tmk_tracker_finish(tmk_tracker *t, uint64_t first, uint32_t count) {
    tmk_assert(count > 0 && first >= t->low && first + count <= t->high);
    if (first != t->low) {
        set_bits(t, first, count);
        t->above += count;
        count_down(t, first, count);
        return;
    }
    tmk_assert(t->above == 0 || none_set(t, first, count));
    t->low += count;
    if (t->above > 0) {
        absorb(t);
    }
    count_down(t, first, count);
    pop_entries(t);
}

const tmk_event *tmk_tracker_event(const tmk_tracker *t, uint64_t ordinal) {
    const tmk_tracker_entry *e = entry_at(t, find(t, ordinal));

    tmk_assert(e->burst != NULL && entry_has(e, ordinal));
    return &e->burst->events[e->index + (ordinal - e->first)];
}

bool tmk_tracker_is_final(const tmk_tracker *t, uint64_t ordinal) {
    tmk_assert(ordinal < t->high);
    return ordinal < t->low || (*word_of(t, ordinal) >> (ordinal & 63) & 1) != 0;
}

uint64_t tmk_tracker_last_final(const tmk_tracker *t) {
    uint64_t last = t->low;

    for (uint64_t at = t->low, end = 0; t->above > 0 && at < t->high; at = end) {
        uint64_t one = next_bit(t, at, true);

        end = next_bit(t, one, false);
        last = one < t->high ? end : last;
    }
    return last;
}

/* The event right below low, where its burst is still held; NULL: it is t->popped. */
static const tmk_event *water_event(const tmk_tracker *t) {
    if (t->entry_count == 0 || entry_at(t, 0)->first == t->low) {
        return NULL;
    }
    return tmk_tracker_event(t, t->low - 1);
}

void tmk_tracker_water(const tmk_tracker *t, tmk_position *out) {
    const tmk_event *e = water_event(t);

    if (TMK_MUTANT(WATER_ONE_TOO_FAR) && t->above > 0) {
        e = tmk_tracker_event(t, t->low);
    }
    if (e == NULL) {
        *out = t->popped;
    } else {
        keep_position(e, out);
    }
}

int64_t tmk_tracker_water_sequence(const tmk_tracker *t) {
    const tmk_event *e = water_event(t);

    return e == NULL ? t->popped.sequence : e->sequence;
}

tmk_time tmk_tracker_oldest(const tmk_tracker *t) {
    return t->entry_count == 0 ? TMK_NEVER : entry_at(t, 0)->arrived;
}

int64_t tmk_tracker_oldest_enqueued_ms(const tmk_tracker *t) {
    return t->low == t->high || t->entry_count == 0 ? -1
                                                    : tmk_tracker_event(t, t->low)->enqueued_ms;
}

/* ---- the done-map ---- */

/* Sequence of an event that starts or ends a run of final ones: where its burst is gone, it stands
 * at that end of its entry. */
static int64_t sequence_of(const tmk_tracker *t, uint64_t ordinal) {
    const tmk_tracker_entry *e = entry_at(t, search(t, ordinal));

    if (e->burst != NULL) {
        return e->burst->events[e->index + (ordinal - e->first)].sequence;
    }
    return ordinal == e->first ? e->first_sequence : e->last.sequence;
}

static bool add_own(const tmk_tracker *t, tmk_done_map_writer *w, uint64_t *events) {
    uint64_t at = t->above == 0 ? t->high : next_bit(t, t->low, true);

    while (at < t->high) {
        uint64_t end = next_bit(t, at, false);

        if (!tmk_done_map_add(w, sequence_of(t, at),
                              sequence_of(t, end - 1) +
                                  (TMK_MUTANT(MAP_TOO_WIDE) && end + 1 < t->high ? 1 : 0))) {
            return false;
        }
        *events += end - at;
        at = next_bit(t, end, true);
    }
    return true;
}

static bool add_inherited(const tmk_tracker *t, tmk_done_map_writer *w) {
    for (size_t i = 0; i < t->before.count; i++) {
        tmk_range r = t->before.items[i];

        if (r.to > t->newest && !TMK_MUTANT(MAP_NOT_INHERITED) &&
            !tmk_done_map_add(w, r.from > t->newest ? r.from : t->newest + 1, r.to)) {
            return false;
        }
    }
    return true;
}

bool tmk_tracker_map(const tmk_tracker *t, uint8_t *out, size_t room, tmk_slice *map,
                     uint64_t *events) {
    tmk_done_map_writer w;
    tmk_position water;
    uint64_t own = 0;
    bool whole = false;

    tmk_tracker_water(t, &water);
    tmk_done_map_begin(&w, water.sequence, water.enqueued_ms, out, room);
    whole = add_own(t, &w, &own) && add_inherited(t, &w);
    *map = tmk_done_map_end(&w);
    if (events != NULL) {
        *events = own;
    }
    return whole;
}
