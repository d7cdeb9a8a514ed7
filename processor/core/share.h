/*
 * What one instance takes, in a group in which other processors decide by
 * counting: those of .NET, Java, Go, Python and JavaScript, and Tidemark's that
 * share with them.
 *
 *   fair      at rest each owner has floor(P/N) partitions or one more.
 *   quiet     what is fair is left alone: nobody takes from an owner that has no
 *             more than its share, by whichever of the six algorithms.
 *   gentle    of an owner that understands it a partition is asked for, and is
 *             given drained; of the others one is taken a round.
 *
 * Pure. The rules are the common denominator of the official algorithms: below
 * the floor take from whoever has more than the floor, at the floor only from
 * whoever has two more, and only when nobody is below.
 */
#ifndef TMK_CORE_SHARE_H
#define TMK_CORE_SHARE_H

#include <tidemark/status.h>

#include "base/rng.h"

typedef enum tmk_share_want {
    TMK_SHARE_NOTHING = 0,
    TMK_SHARE_CLAIM, /* it is free */
    TMK_SHARE_ASK,   /* its owner gives it when asked */
    TMK_SHARE_STEAL  /* its owner has too many */
} tmk_share_want;

typedef struct tmk_share_partition {
    const char *owner; /* "": nobody's, or its owner's time is over */
    bool ours;         /* or about to be */
    bool asked;        /* its owner was asked for it by us */
    bool overdue;      /* and did not give it in time */
    bool left;         /* free, and for so long that those who are below their share are no help */
    tmk_share_want want; /* the answer */
    size_t group;        /* scratch */
} tmk_share_partition;

typedef struct tmk_share_terms {
    const char *self;
    size_t most;   /* never more than this */
    bool announce; /* others may be starting too: take one, so that they see us */
    tmk_rng *rng;  /* which of several */
} tmk_share_terms;

typedef struct tmk_share_result {
    size_t owners;  /* with us */
    size_t missing; /* what we are short of, taken or not */
    size_t wanted;  /* answers that are not NOTHING */
} tmk_share_result;

/* ENOMEM: nothing is wanted this time. */
TMK_CHECKED tmk_status tmk_share(tmk_share_partition *parts, size_t count,
                                 const tmk_share_terms *terms, tmk_share_result *out);

/* Whether an owner of that name gives when asked: it is one of Tidemark's lives. */
bool tmk_share_gives(const char *owner);

#endif
