/* Loads: measured, told, levelled. */
#include "core/weigh.h"

#include <stdio.h>
#include <string.h>

#include "core/mutants.h"

/* Bytes that weigh as much as a millisecond of a handler. */
#define UNIT_BYTES 4096.0

/* ---- measuring ---- */

void tmk_gauge_take(tmk_gauge *g, tmk_time now, uint64_t bytes, tmk_time busy) {
    double seconds = 0, load = 0, age = 0;

    if (!g->begun || bytes < g->bytes || busy < g->busy) {
        *g = (tmk_gauge){.begun = true, .from = now, .at = now, .bytes = bytes, .busy = busy};
        return;
    }
    if (now <= g->at) {
        return;
    }
    seconds = (double)(now - g->at) / 1e9;
    load = ((double)(busy - g->busy) / 1e6 + (double)(bytes - g->bytes) / UNIT_BYTES) / seconds;
    /* The mean of all at first, then one that forgets. */
    age = (double)tmk_time_min(now - g->from, TMK_GAUGE_WINDOW) / 1e9;
    g->load += TMK_MUTANT(LOAD_UNDAMPED) ? load - g->load : (load - g->load) * seconds / age;
    g->at = now;
    g->bytes = bytes;
    g->busy = busy;
}

uint32_t tmk_gauge_load(const tmk_gauge *g) {
    return g->load >= (double)TMK_LOAD_MAX ? TMK_LOAD_MAX : (uint32_t)(g->load + 0.5);
}

/* ---- telling ---- */

/* A load as twelve bits: up to 127 itself, above that seven bits of it and how far they are
 * shifted. */
static unsigned code_of(uint32_t load) {
    unsigned shift = 0;

    load = load > TMK_LOAD_MAX ? TMK_LOAD_MAX : load;
    if (load < 128) {
        return load;
    }
    while (load >> shift > 255) {
        shift++;
    }
    return (shift + 1) << 7 | (load >> shift & 127);
}

static uint32_t load_of(unsigned code) {
    return code < 128 ? code : (128 | (code & 127)) << ((code >> 7) - 1);
}

uint32_t tmk_load_rounded(uint32_t load) {
    return load_of(code_of(load));
}

/* No character of it has to be escaped in metadata. */
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.";
static const char other[] = "--"; /* a partition of somebody else, within a row */
/* So many of others within a row are no longer than the beginning of the next row. */
#define GAP_MAX 3

static size_t gap_at(const uint32_t *loads, size_t count, size_t at) {
    size_t gap = 0;

    while (at + gap < count && loads[at + gap] == TMK_LOAD_NONE) {
        gap++;
    }
    return at + gap == count ? SIZE_MAX : gap;
}

/* "<partitions>:" and rows: "<place of the first>-<two characters each>", with commas between. */
bool tmk_loads_write(const uint32_t *loads, size_t count, char out[TMK_LOADS_ROOM]) {
    size_t size = (size_t)snprintf(out, TMK_LOADS_ROOM, "%zu:", count), at = 0, gap = 0;
    bool row = false;

    while ((gap = gap_at(loads, count, at)) != SIZE_MAX) {
        at += gap;
        if (size + 24 > TMK_LOADS_ROOM) {
            return false;
        }
        if (!row || gap > GAP_MAX) {
            size += (size_t)snprintf(out + size, TMK_LOADS_ROOM - size, row ? ",%zu-" : "%zu-", at);
            gap = 0;
        }
        for (; gap > 0; gap--) {
            memcpy(out + size, other, 2);
            size += 2;
        }
        row = true;
        out[size++] = digits[code_of(loads[at]) >> 6];
        out[size++] = digits[code_of(loads[at]) & 63];
        at++;
    }
    out[size] = '\0';
    return true;
}

static int digit_of(uint8_t c) {
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

static bool read_load(tmk_slice text, uint32_t *out) {
    int high = digit_of(text.bytes[0]), low = digit_of(text.bytes[1]);

    if (memcmp(text.bytes, other, 2) == 0) {
        return true;
    }
    if (high < 0 || low < 0 || (unsigned)high << 6 >= 26U << 7 || *out != TMK_LOAD_NONE) {
        return false;
    }
    *out = load_of((unsigned)high << 6 | (unsigned)low);
    return true;
}

static bool read_row(tmk_slice row, uint32_t *loads, size_t count) {
    bool found = false;
    tmk_slice first = tmk_slice_cut(&row, '-', &found);
    uint64_t at = 0;

    if (!found || !tmk_slice_uint64(first, &at) || row.size == 0 || row.size % 2 != 0 ||
        at >= count || row.size / 2 > count - at) {
        return false;
    }
    for (size_t i = 0; i < row.size; i += 2) {
        if (!read_load(tmk_slice_of(row.bytes + i, 2), &loads[at + i / 2])) {
            return false;
        }
    }
    return true;
}

bool tmk_loads_read(tmk_slice text, uint32_t *loads, size_t count) {
    bool found = false;
    tmk_slice partitions = tmk_slice_cut(&text, ':', &found);
    uint64_t of = 0;

    for (size_t i = 0; i < count; i++) {
        loads[i] = TMK_LOAD_NONE;
    }
    if (!found || !tmk_slice_uint64(partitions, &of) || of != count) {
        return false;
    }
    for (found = text.size > 0; found;) {
        if (!read_row(tmk_slice_cut(&text, ',', &found), loads, count)) {
            return false;
        }
    }
    return true;
}

/* ---- levelling ---- */

/* Units that a round, and each of its moves, must win at least. */
#define ROUND_LEAST 20
#define MOVE_LEAST 2

/* What the heavier of two is spared when `load` goes from one to the other. */
static uint64_t gain_of(uint64_t giver, uint64_t receiver, uint64_t load) {
    uint64_t rest = giver - receiver;

    return load >= rest ? 0 : load < rest - load ? load : rest - load;
}

static bool taken(const size_t *moves, size_t count, size_t p) {
    for (size_t i = 0; i < count; i++) {
        if (moves[i] == p) {
            return true;
        }
    }
    return false;
}

/* The best single move that is left, worth at least so much; SIZE_MAX: there is none. */
static size_t best_move(const tmk_weigh_pair *now, const int32_t *tellers, const uint32_t *loads,
                        size_t count, const size_t *moves, size_t made, uint64_t least) {
    uint64_t best = least - 1;
    size_t at = SIZE_MAX;

    for (size_t p = 0; p < count && now->giver_load > now->receiver_load; p++) {
        uint64_t gain = 0;

        if (tellers[p] == now->giver && !taken(moves, made, p)) {
            gain = gain_of(now->giver_load, now->receiver_load, loads[p]);
        }
        if (gain > best) {
            best = gain;
            at = p;
        }
    }
    return at;
}

/* What could be won in further rounds with partitions that are light enough. */
static uint64_t left_to_win(const tmk_weigh_pair *now, const int32_t *tellers,
                            const uint32_t *loads, size_t count, const size_t *moves, size_t made) {
    uint64_t half =
        now->giver_load > now->receiver_load ? (now->giver_load - now->receiver_load) / 2 : 0;
    uint64_t sum = 0;

    for (size_t p = 0; p < count; p++) {
        if (tellers[p] == now->giver && loads[p] >= MOVE_LEAST && loads[p] <= half &&
            !taken(moves, made, p)) {
            sum += loads[p];
        }
    }
    return sum < half ? sum : half;
}

static bool is_worth_it(uint64_t gain, uint64_t mean) {
    return (gain >= ROUND_LEAST && gain >= mean * 15 / 100) || TMK_MUTANT(WEIGH_FOR_NOTHING);
}

size_t tmk_weigh_round(const tmk_weigh_pair *pair, const int32_t *tellers, const uint32_t *loads,
                       size_t count, size_t moves[TMK_WEIGH_MOVES_MAX]) {
    tmk_weigh_pair now = *pair;
    uint64_t gain = 0, least = MOVE_LEAST;
    size_t made = 0, p = 0;

    while (made < TMK_WEIGH_MOVES_MAX && made < pair->moves_most &&
           (p = best_move(&now, tellers, loads, count, moves, made, least)) != SIZE_MAX) {
        uint64_t won = gain_of(now.giver_load, now.receiver_load, loads[p]);

        least = made == 0 && won / 8 > least ? won / 8 : least; /* no crumbs with the loaf */
        gain += won;
        now.giver_load -= loads[p];
        now.receiver_load += loads[p];
        moves[made++] = p;
    }
    gain += left_to_win(&now, tellers, loads, count, moves, made);
    return is_worth_it(gain, pair->mean) ? made : 0;
}
