/*
 * The members of the fleet as the store listed them last, and what this
 * instance remembers about each beyond that: whether the plan counts it in,
 * whether it is to be evicted or called.
 *
 * Pure. Members are sorted by id; places change with each list.
 */
#ifndef TMK_CORE_VIEW_H
#define TMK_CORE_VIEW_H

#include "base/map.h"
#include "core/asking.h"
#include "core/member_text.h"

/* A list with more members than this is refused as a whole. */
#define TMK_VIEW_MEMBERS_MAX 4096

typedef struct tmk_view_member {
    char id[TMK_FLEET_ID_ROOM];
    tmk_member_text text;
    int64_t age_ms;
    bool alive;     /* its lease had not ended */
    bool evicted;   /* by somebody; never comes back */
    bool gone;      /* dead, and the store knows that its process has ended */
    bool planned;   /* the plan that we follow counts it in */
    bool condemned; /* to be evicted by us */
    bool asking;    /* an eviction or a removal is under way */
    bool ring;      /* to be called */
    bool ringing;   /* a call is under way */
    bool remove;    /* its evicted record is old */
    /* Of its table in this list: */
    bool told; /* it has one, of as many partitions as we know */
    uint32_t told_count;
    uint64_t told_load;
} tmk_view_member;

typedef struct tmk_view {
    tmk_view_member *members;
    size_t count, room;
    tmk_view_member *spare; /* the other half of the double buffer */
    size_t spare_room;
    tmk_time asked;   /* when the list was asked for; -1: there was none yet */
    tmk_map departed; /* ids known to be evicted or gone, whatever a list says */
} tmk_view;

void tmk_view_init(tmk_view *v);
void tmk_view_clear(tmk_view *v);

/*
 * Takes a new list; keeps what is remembered about those who are still there.
 * ENOMEM, ELIMIT: the view is as it was.
 */
TMK_CHECKED tmk_status tmk_view_take(tmk_view *v, const tmk_member_record *members, size_t count,
                                     tmk_time asked);

tmk_view_member *tmk_view_find(const tmk_view *v, const char *id); /* NULL: not listed */

/* This id is evicted or gone for good. When memory is short it is asked about again later. */
void tmk_view_depart(tmk_view *v, const char *id);
/* Known for sure: it cannot hold anything any more. "" is nobody and has departed. */
bool tmk_view_departed(const tmk_view *v, const char *id);

#endif
