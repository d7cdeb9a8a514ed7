/*
 * How a partition gets on, told from a sliding window of samples, as Burrow
 * tells it: not from one lag that is large, but from what the lag does.
 *
 *   STARTING  no position yet
 *   STOPPED   somebody stopped it: paused, failed, or held back by a verdict
 *   REWOUND   its position went back within the window
 *   STALLED   events wait, and nothing became final during the whole window
 *   SLOW      it moves, and the lag has only grown over the whole window
 *   OK        else
 *
 * Pure; control thread.
 */
#ifndef TMK_CORE_PROGRESS_H
#define TMK_CORE_PROGRESS_H

#include <tidemark/processor.h>

#include "base/time.h"

enum { TMK_PROGRESS_SAMPLES = 10 };

typedef struct tmk_progress_sample {
    int64_t final_sequence; /* low water */
    uint64_t finished;      /* events that ever became final, in any order */
    int64_t lag;            /* events; -1: not known */
} tmk_progress_sample;

typedef struct tmk_progress_meter {
    tmk_progress_sample samples[TMK_PROGRESS_SAMPLES];
    tmk_time every, next;
    uint32_t count, head;
} tmk_progress_meter;

/* window: from the oldest sample to the newest. */
void tmk_progress_init(tmk_progress_meter *m, tmk_time window, tmk_time now);
/* Takes a sample when it is time for one. */
void tmk_progress_step(tmk_progress_meter *m, tmk_time now, const tmk_progress_sample *sample);
tmk_time tmk_progress_deadline(const tmk_progress_meter *m);
tmk_progress tmk_progress_tell(const tmk_progress_meter *m, bool starting, bool stopped);
const char *tmk_progress_name(tmk_progress progress); /* "ok", "slow" ... */

#endif
