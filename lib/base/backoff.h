/* Retry arithmetic, pure: how long to wait before attempt n. */
#ifndef TMK_BASE_BACKOFF_H
#define TMK_BASE_BACKOFF_H

#include "base/rng.h"
#include "base/time.h"

typedef struct tmk_backoff {
    tmk_time delay;     /* before the second attempt */
    tmk_time delay_max; /* never longer, jitter included */
    double factor;      /* 1: fixed; 2: doubling */
    double jitter;      /* 0.2: between 0.8 and 1.2 of it */
} tmk_backoff;

/* attempt counts from 1: the wait after the attempt-th failure. */
tmk_time tmk_backoff_delay(const tmk_backoff *b, unsigned attempt, tmk_rng *rng);

#endif
