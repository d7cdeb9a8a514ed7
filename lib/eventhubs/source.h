/*
 * What the processor needs of the outside, apart from a store: links that
 * deliver events. The AMQP client stands behind it in production, the
 * simulation's hub in simulated lives.
 *
 * Threads: the control thread's. Answers come later, never from inside a call.
 */
#ifndef TMK_EVENTHUBS_SOURCE_H
#define TMK_EVENTHUBS_SOURCE_H

#include <tidemark/management.h>
#include <tidemark/start.h>

#include "base/call.h"
#include "base/time.h"
#include "eventhubs/burst.h"

typedef struct tmk_link tmk_link;

/* What a link tells its owner. `user` is what open() was given. */
typedef struct tmk_link_events {
    /* The link stands (OK), once; events may follow. Failures come through ended(). */
    void (*opened)(void *user);
    /* Events in sequence order, each once. The burst is now the receiver's. */
    void (*burst)(void *user, tmk_burst *burst);
    /* The link is gone for good, exactly once unless closed first: ELOST (stolen), EPOSITION,
     * EAUTH, ENOTFOUND, ELIMIT ... It is not to be closed any more. What can be healed is healed
     * below this interface and reported through trouble(). */
    void (*ended)(void *user, const tmk_error *why);
    /* Something failed, and `reaction` follows; or (origin "gap") events are missing. */
    void (*trouble)(void *user, const tmk_error *what, const char *reaction);
    /* Once opened: the link is down and is being healed (false), or was granted anew, at the same
     * owner level (true). Nothing is to be called from inside. NULL: not of interest. */
    void (*standing)(void *user, bool up);
} tmk_link_events;

typedef struct tmk_source_ops {
    /* Starts to open a link on a partition; NULL: out of memory. owner_level < 0: none. The text
     * of the partition outlives the link and its bursts, which show it as theirs. */
    tmk_link *(*open)(void *self, const char *partition, int64_t owner_level,
                      const tmk_start *start, const tmk_link_events *events, void *user);
    /* Lets `count` more events come, on top of what was granted before. */
    void (*credit)(void *self, tmk_link *link, uint32_t count);
    /* Closes; closed(user) comes once the service has agreed (5 s at most), never from inside this
     * call. No other callback of this link comes after the call. */
    void (*close)(void *self, tmk_link *link, void (*closed)(void *user));
    /* Partition ids of the hub, in the service's order; and facts about one partition. */
    void (*list)(void *self,
                 void (*answer)(void *user, const tmk_error *err, const char *const *ids,
                                size_t count),
                 void *user);
    void (*facts)(void *self, const char *partition,
                  void (*answer)(void *user, const tmk_error *err,
                                 const tmk_partition_facts *facts),
                  void *user);
} tmk_source_ops;

typedef struct tmk_source {
    const tmk_source_ops *ops;
    void *self;
} tmk_source;

#endif
