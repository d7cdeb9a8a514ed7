/* A set of int64 numbers as sorted, disjoint, non-touching ranges [from, to], both included. */
#ifndef TMK_BASE_RANGES_H
#define TMK_BASE_RANGES_H

#include <tidemark/status.h>

typedef struct tmk_range {
    int64_t from, to;
} tmk_range;

typedef struct tmk_ranges {
    tmk_range *items;
    size_t count, room;
} tmk_ranges;

void tmk_ranges_clear(tmk_ranges *r);
tmk_status tmk_ranges_reserve(tmk_ranges *r, size_t count);
/* EINVAL when from > to. Unchanged when it fails. */
tmk_status tmk_ranges_add(tmk_ranges *r, int64_t from, int64_t to);
void tmk_ranges_cut_below(tmk_ranges *r, int64_t first); /* removes all numbers < first */
bool tmk_ranges_has(const tmk_ranges *r, int64_t number);
/* The first number >= from that is not in the set; INT64_MAX where there is none. */
int64_t tmk_ranges_gap(const tmk_ranges *r, int64_t from);

#endif
