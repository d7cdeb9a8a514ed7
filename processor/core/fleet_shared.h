/*
 * Claims beside the official processors: what a fleet keeps for them.
 *
 * There are no members here, as the official processors know none. An instance
 * exists for the others once it owns a partition; who owns what is read from
 * the ownership records each interval, and the share follows from counting.
 *
 *   claim      of a free partition, or of one whose owner is silent for longer
 *              than the expiry; decided by the record's version.
 *   renew      each partition by itself, each interval, independent of lists.
 *   ask        a Tidemark owner with too many is asked by naming ourselves in
 *              its record: it drains, writes its last checkpoint and makes us
 *              the owner. Nothing is repeated.
 *   steal      from an official owner with too many, one an interval. It learns
 *              of it by its link, and by its next renewal.
 *   release    at a stop: drained, last checkpoint, no owner. Also of one that is
 *              too many and that nobody takes: the Python processor does not.
 *
 * The owner level of the links is 0, as theirs: the last to attach reads. So a
 * link that was down is trusted again only when the store says that the
 * partition is still ours. And a former owner that missed the news that its link
 * was taken (the JavaScript processor does, while its handler runs) attaches
 * again and takes it back, without end. Where the store says that the partition
 * is ours, our link is opened with level 1 then, which ends the other for good,
 * and after a moment anew with 0: a later owner with 0 must be able to take it.
 */
#ifndef TMK_CORE_FLEET_SHARED_H
#define TMK_CORE_FLEET_SHARED_H

#include "core/fleet.h"
#include "core/share.h"

typedef struct tmk_shared_holding {
    tmk_share_want want; /* by the newest count; NOTHING once it is begun */
    tmk_time renew_at;
    tmk_time granted;    /* when the newest granted renewal was sent */
    tmk_time open_at;    /* not opened before */
    bool repair;         /* ours by the record, and a write was refused: claimed once more */
    tmk_time asked_at;   /* when we asked its owner for it; -1: we did not */
    tmk_time free_since; /* nobody has owned it since; -1: somebody does */
    bool starting;       /* its checkpoint is read before its link is opened */
    bool giving;         /* it was asked for: drained, then passed on */
    bool surplus;        /* nobody takes what we have too many: drained, then released */
    bool insist;         /* the link is opened with level 1 */
    tmk_time yield_at;   /* then it is drained and opened with level 0 again */
} tmk_shared_holding;

typedef struct tmk_shared {
    tmk_time list_at;
    tmk_time listed_at;    /* the newest list; -1: none yet */
    tmk_time grace_until;  /* after an outage others get so long to renew what they own */
    tmk_time settle_until; /* others may be starting with us; -1: not begun */
    tmk_time steal_at;     /* not before */
    tmk_time ask_at;       /* not before: somebody has refused */
    size_t owners;         /* by the newest count, with us */
    uint64_t hands;        /* a hash of who owned what then */
    tmk_time moved_at;     /* when that last changed */
    bool counted;
    tmk_share_partition *parts;
    size_t room;
} tmk_shared;

#endif
