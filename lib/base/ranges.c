/* A set of numbers as an array of ranges; all looks are binary searches. */
#include "base/ranges.h"

#include <string.h>

#include "base/alloc.h"

void tmk_ranges_clear(tmk_ranges *r) {
    tmk_free(r->items);
    *r = (tmk_ranges){0};
}

tmk_status tmk_ranges_reserve(tmk_ranges *r, size_t count) {
    size_t room = r->room < 8 ? 8 : r->room;
    tmk_range *items = NULL;

    if (count <= r->room) {
        return TMK_OK;
    }
    while (room < count) {
        if (room > SIZE_MAX / 2) {
            return TMK_ENOMEM;
        }
        room *= 2;
    }
    items = tmk_resize(r->items, room, sizeof *items);
    if (items == NULL) {
        return TMK_ENOMEM;
    }
    r->items = items;
    r->room = room;
    return TMK_OK;
}

/* The first range that ends at or after number; count where there is none. */
static size_t seek(const tmk_ranges *r, int64_t number) {
    size_t low = 0;
    size_t high = r->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (r->items[middle].to < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Replaces the ranges [first, end) by one; needs room for one more when the span is empty. */
static void splice(tmk_ranges *r, size_t first, size_t end, tmk_range by) {
    if (end < r->count || first == end) {
        memmove(r->items + first + 1, r->items + end, (r->count - end) * sizeof *r->items);
    }
    r->items[first] = by;
    r->count = r->count - (end - first) + 1;
}

tmk_status tmk_ranges_add(tmk_ranges *r, int64_t from, int64_t to) {
    tmk_range sum = {from, to};
    size_t first = 0;
    size_t end = 0;

    if (from > to) {
        return TMK_EINVAL;
    }
    /* One that ends right before `from` touches and is joined too. */
    first = seek(r, from == INT64_MIN ? from : from - 1);
    for (end = first; end < r->count; end++) {
        const tmk_range *next = &r->items[end];

        if (to != INT64_MAX && next->from > to + 1) {
            break;
        }
        sum.from = next->from < sum.from ? next->from : sum.from;
        sum.to = next->to > sum.to ? next->to : sum.to;
    }
    if (first == end && tmk_ranges_reserve(r, r->count + 1) < 0) {
        return TMK_ENOMEM;
    }
    splice(r, first, end, sum);
    return TMK_OK;
}

void tmk_ranges_cut_below(tmk_ranges *r, int64_t first) {
    size_t keep = seek(r, first);

    if (keep > 0) {
        memmove(r->items, r->items + keep, (r->count - keep) * sizeof *r->items);
        r->count -= keep;
    }
    if (r->count > 0 && r->items[0].from < first) {
        r->items[0].from = first;
    }
}

bool tmk_ranges_has(const tmk_ranges *r, int64_t number) {
    size_t place = seek(r, number);

    return place < r->count && r->items[place].from <= number;
}

int64_t tmk_ranges_gap(const tmk_ranges *r, int64_t from) {
    size_t place = seek(r, from);

    if (place == r->count || r->items[place].from > from) {
        return from;
    }
    return r->items[place].to == INT64_MAX ? INT64_MAX : r->items[place].to + 1;
}
