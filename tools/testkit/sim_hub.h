/*
 * A simulated hub: partitions into which events flow at a steady rate, and
 * links on them with owner levels. The last to attach wins, unless the one who
 * is there has a higher level; who loses is told when its network lets it be.
 *
 * Events are fluid here: a link knows how far it could have read by now, not
 * each event. What delivers events one by one stands on top of it.
 */
#ifndef TMK_SIM_HUB_H
#define TMK_SIM_HUB_H

#include "kernel.h"

typedef struct sim_hub sim_hub;
typedef struct sim_hub_client sim_hub_client;
typedef struct sim_link sim_link;

typedef struct sim_link_events {
    void (*opened)(void *user);
    void (*ended)(void *user);            /* another reader has it; nothing follows */
    void (*trouble)(void *user, bool up); /* the network is gone, or the link stands again */
} sim_link_events;

typedef void (*sim_hub_watch)(void *user, size_t partition, int64_t level, void *link_user);

sim_hub *sim_hub_new(sim_kernel *k, size_t partitions); /* NULL: out of memory */
sim_hub *sim_hub_free(sim_hub *h);
size_t sim_hub_partitions(const sim_hub *h);
const char *sim_hub_id(const sim_hub *h, size_t partition); /* lives as long as the hub */
void sim_hub_rate(sim_hub *h, size_t partition, int64_t events_per_second);
/* Events do not flow but are somebody's, who says which was the newest at a time; -1: none. */
void sim_hub_feed(sim_hub *h, int64_t (*last)(void *self, size_t partition, tmk_time when),
                  void *self);
/* The newest event at that time; -1: none. */
int64_t sim_hub_last(const sim_hub *h, size_t partition, tmk_time when);
/* It is another hub of the same name: its numbers begin at 0, the first event comes then. */
void sim_hub_make_anew(sim_hub *h, size_t partition, tmk_time from);
/* Called when a link takes a partition. */
void sim_hub_watch_with(sim_hub *h, sim_hub_watch watch, void *user);
/* Somebody from outside takes the partition: whoever reads it is told that it was stolen. */
void sim_hub_steal(sim_hub *h, size_t partition);

/* NULL: out of memory. */
sim_hub_client *sim_hub_connect(sim_hub *h, sim_process *process, uint64_t number);
/* All links are gone, nobody is told. The client and its links live as long as the hub. */
void sim_hub_disconnect(sim_hub_client *c);
void sim_hub_cut(sim_hub_client *c, bool cut);
bool sim_hub_is_cut(const sim_hub_client *c);

/* Attaches, and again after each cut; callbacks come later, on the client's process. NULL: out of
 * memory. */
sim_link *sim_hub_open(sim_hub_client *c, size_t partition, int64_t level,
                       const sim_link_events *events, void *user);
void sim_hub_close(sim_link *l); /* no callback follows; the link is not the caller's any more */
/* The newest event that can have reached the client by now; -1: none. */
int64_t sim_link_readable(const sim_link *l);
bool sim_link_attached(const sim_link *l); /* as the hub sees it */

#endif
