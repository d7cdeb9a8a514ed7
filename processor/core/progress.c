/* How a partition gets on; see progress.h. */
#include "core/progress.h"

#include "base/assert.h"

void tmk_progress_init(tmk_progress_meter *m, tmk_time window, tmk_time now) {
    *m = (tmk_progress_meter){.every = window / (TMK_PROGRESS_SAMPLES - 1), .next = now};
    tmk_assert(m->every > 0);
}

void tmk_progress_step(tmk_progress_meter *m, tmk_time now, const tmk_progress_sample *sample) {
    if (now < m->next) {
        return;
    }
    m->samples[(m->head + m->count) % TMK_PROGRESS_SAMPLES] = *sample;
    if (m->count < TMK_PROGRESS_SAMPLES) {
        m->count++;
    } else {
        m->head = (m->head + 1) % TMK_PROGRESS_SAMPLES;
    }
    m->next = tmk_time_after(now, m->every);
}

tmk_time tmk_progress_deadline(const tmk_progress_meter *m) {
    return m->next;
}

static const tmk_progress_sample *sample_at(const tmk_progress_meter *m, uint32_t i) {
    return &m->samples[(m->head + i) % TMK_PROGRESS_SAMPLES];
}

static bool went_back(const tmk_progress_meter *m) {
    for (uint32_t i = 1; i < m->count; i++) {
        if (sample_at(m, i)->final_sequence < sample_at(m, i - 1)->final_sequence) {
            return true;
        }
    }
    return false;
}

/* Events waited all the time, and none became final. */
static bool stalled(const tmk_progress_meter *m) {
    for (uint32_t i = 0; i < m->count; i++) {
        if (sample_at(m, i)->lag <= 0 || sample_at(m, i)->finished != sample_at(m, 0)->finished) {
            return false;
        }
    }
    return true;
}

static bool falls_behind(const tmk_progress_meter *m) {
    for (uint32_t i = 1; i < m->count; i++) {
        if (sample_at(m, i)->lag <= sample_at(m, i - 1)->lag || sample_at(m, i - 1)->lag < 0) {
            return false;
        }
    }
    return true;
}

tmk_progress tmk_progress_tell(const tmk_progress_meter *m, bool starting, bool stopped) {
    bool full = m->count == TMK_PROGRESS_SAMPLES;

    if (stopped) {
        return TMK_PROGRESS_STOPPED;
    }
    if (starting) {
        return TMK_PROGRESS_STARTING;
    }
    if (went_back(m)) {
        return TMK_PROGRESS_REWOUND;
    }
    if (full && stalled(m)) {
        return TMK_PROGRESS_STALLED;
    }
    return full && falls_behind(m) ? TMK_PROGRESS_SLOW : TMK_PROGRESS_OK;
}

const char *tmk_progress_name(tmk_progress progress) {
    static const char *const names[] = {"starting", "ok", "slow", "stalled", "stopped", "rewound"};

    return (unsigned)progress <= TMK_PROGRESS_REWOUND ? names[progress] : "?";
}
