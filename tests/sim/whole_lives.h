/* Whole lives: what is struck when, and what must be true in the end. */
#ifndef TMK_SIM_WHOLE_LIVES_H
#define TMK_SIM_WHOLE_LIVES_H

#include "whole.h"

typedef enum whole_kind {
    WHOLE_FAULTS = 0, /* some, then all is mended */
    WHOLE_PLANNED,    /* joins and leaves alone: nothing may be repeated */
    WHOLE_HOSTILE,    /* a blow every few seconds */
    WHOLE_FOR_EVER,   /* the store stays bad for ever */
    WHOLE_TIGHT,      /* little room, many moves, and much that takes long */
    WHOLE_KINDS
} whole_kind;

extern const char *const whole_kind_names[WHOLE_KINDS];

#define WHOLE_FATE_MAP(X)                  \
    X(JOIN, "join")                        \
    X(LEAVE, "leave")                      \
    X(KILL, "kill")                        \
    X(FREEZE, "freeze")                    \
    X(CUT_STORE, "cut_store")              \
    X(CUT_HUB, "cut_hub")                  \
    X(CUT_BOTH, "cut_both")                \
    X(STEAL, "steal")                      \
    X(DETACH, "detach")                    \
    X(LINK_ERROR, "link_error")            \
    X(TOKEN, "token")                      \
    X(SILENCE, "silence")                  \
    X(REPEAT, "repeat")                    \
    X(HUB_RESTART, "hub_restart")          \
    X(RETENTION, "retention")              \
    X(MADE_ANEW, "hub_made_anew")          \
    X(BROKEN, "handler_stop")              \
    X(PAUSE, "pause")                      \
    X(ASK, "checkpoint_wish")              \
    X(CLOCK, "clock_jump")                 \
    X(OUTAGE, "store_outage")              \
    X(SLOW_STORE, "store_slow")            \
    X(LOSE_ANSWERS, "store_loses_answers") \
    X(BUSY_STORE, "store_throttles")       \
    X(LATE_LISTS, "store_stale_lists")

typedef enum whole_fate {
#define X(name, text) WHOLE_FATE_##name,
    WHOLE_FATE_MAP(X)
#undef X
        WHOLE_FATES
} whole_fate;

extern const char *const whole_fate_names[WHOLE_FATES];

typedef struct whole_verdict {
    bool failed;
    char rule[16], what[320];
    tmk_time lived;
    whole_figures figures;
    uint64_t struck[WHOLE_FATES];
} whole_verdict;

void whole_live(whole_kind kind, uint64_t seed, FILE *trace, whole_verdict *out);

#endif
