/*
 * Questions to the store that are under way: who asked what, when, and for
 * which life; lanes for those about partitions, halved when the store is busy.
 *
 * Pure; no allocation.
 */
#ifndef TMK_CORE_ASKING_H
#define TMK_CORE_ASKING_H

#include "core/fleet.h"

#define TMK_ASKED_MAX (TMK_FLEET_LANES_MAX + 24)
#define TMK_FLEET_ID_ROOM 208      /* a store's ids are at most 200 characters */
#define TMK_FLEET_VERSION_ROOM 132 /* and its versions 128 */

struct tmk_holding;

typedef struct tmk_asked {
    uint64_t ticket; /* 0: free */
    tmk_store_op_kind kind;
    uint32_t life;
    struct tmk_holding *holding; /* of a partition; these take a lane */
    tmk_time sent, overdue;
    char member[TMK_FLEET_ID_ROOM]; /* MEMBER_EVICT, MEMBER_REMOVE, CALL_RING: whom it concerns */
} tmk_asked;

typedef struct tmk_asking {
    tmk_asked slots[TMK_ASKED_MAX];
    uint64_t tickets;
    unsigned lanes_max, lanes, lanes_used;
    unsigned quiet;        /* answers in a row that did not ask us to wait */
    unsigned busy;         /* answers in a row that did */
    tmk_time closed_until; /* lanes take nothing before */
} tmk_asking;

void tmk_asking_init(tmk_asking *a, unsigned lanes_max);

/* Whether a question about a partition may be asked now. */
bool tmk_asking_lane_free(const tmk_asking *a, tmk_time now);

/* Notes a question down and gives it a ticket; NULL when far too many are under way. */
tmk_asked *tmk_asking_take(tmk_asking *a, tmk_store_op_kind kind, struct tmk_holding *holding,
                           tmk_time now, tmk_time try_);

tmk_asked *tmk_asking_find(tmk_asking *a, uint64_t ticket); /* NULL: unknown, or answered before */

/* Strikes it out. For EBUSY the lanes are halved and closed for a while. */
void tmk_asking_answered(tmk_asking *a, tmk_asked *asked, tmk_time now, tmk_status status,
                         int64_t retry_after_ms, tmk_rng *rng);

tmk_asked *tmk_asking_overdue(tmk_asking *a, tmk_time now); /* NULL: none */
tmk_time tmk_asking_deadline(const tmk_asking *a);          /* when the next becomes overdue */

#endif
