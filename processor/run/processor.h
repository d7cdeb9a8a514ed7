/*
 * Inside of the public processor: shared by processor.c (life) and calls.c (what
 * is asked of it while it runs).
 */
#ifndef TMK_RUN_PROCESSOR_H
#define TMK_RUN_PROCESSOR_H

#include <tidemark/processor.h>

#include "base/log_limit.h"
#include "base/thread.h"
#include "eventhubs/client_parts.h"
#include "net/loop.h"
#include "run/asker.h"
#include "run/control.h"
#include "run/dispatcher.h"

enum { RANK_PROCESSOR = 10, ID_ROOM = 101 };

typedef enum phase { PHASE_NEW, PHASE_RUNNING, PHASE_STOPPING, PHASE_STOPPED } phase;

struct tmk_processor {
    tmk_processor_options options; /* its text is ours: group, owner id */
    char owner_id[ID_ROOM];
    tmk_journal journal;
    tmk_log_limiter log_limiter;
    char *group;

    tmk_client *client; /* borrowed */
    tmk_loop *loop;     /* the client's */
    tmk_clock clock;
    tmk_store store; /* borrowed */
    tmk_asker *asker;
    tmk_source source;
    tmk_dispatcher *dispatcher;
    bool simulated;       /* its client lives in a simulated world, which runs the handlers too */
    tmk_control *control; /* control thread */
    tmk_timer timer;      /* control thread: the next step */
    tmk_bell bell;        /* handlers have finished something */
    tmk_time started_at;  /* control thread; TMK_NEVER: not yet */
    tmk_time stats_at;    /* control thread: when on_stats is due */
    bool ended;           /* control thread: stopped, no callback may come any more */
    tmk_task stop_task;   /* request_stop */
    int stop_asked;       /* atomic: stop_task was posted */

    tmk_mutex lock;
    tmk_cond changed;
    phase phase;
    bool left; /* the goodbye is said */
    bool idle; /* no question to the store is under way any more */
};

/* Runs run(p, arg) on the control thread and waits for it; on it already: at once. With
 * caller_driven it is the thread that polls. */
void tmk_processor_on_control(tmk_processor *p, void (*run)(tmk_processor *p, void *arg),
                              void *arg);

/* The user's handlers with a journal around them; `user` is the processor. */
tmk_verdict tmk_journaled_event(void *user, const tmk_event *event, tmk_delivery *delivery);
void tmk_journaled_batch(void *user, const tmk_event *const *events, size_t count,
                         tmk_verdict *verdicts, tmk_delivery *delivery);
/* The user's on_event with a span around it, and a journal where that is on. */
tmk_verdict tmk_traced_event(void *user, const tmk_event *event, tmk_delivery *delivery);
void tmk_journaled_thread(void *user, uint32_t index);

#endif
