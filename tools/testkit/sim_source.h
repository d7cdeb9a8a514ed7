/*
 * What a processor reads from (eventhubs/source.h), over the links of the
 * simulated hub: single events, in bursts, as far as there is credit; positions
 * that are gone; and all that can happen to a link.
 *
 * The events themselves are somebody else's, who is asked for each.
 *
 * Runs on virtual time; what is to reach a process that is frozen waits.
 */
#ifndef TMK_SIM_SOURCE_H
#define TMK_SIM_SOURCE_H

#include "base/str.h"
#include "eventhubs/source.h"
#include "sim_hub.h"

typedef struct sim_source sim_source;

/* The events of all partitions, and who wants to see what becomes of links. */
typedef struct sim_events {
    /* Appends the encoded event; false: there is none of this number. */
    bool (*put)(void *self, size_t partition, int64_t sequence, tmk_str *to);
    int64_t (*begin)(void *self, size_t partition);                  /* the oldest that is left */
    int64_t (*since)(void *self, size_t partition, int64_t unix_ms); /* the first from then on */
    int64_t (*enqueued_ms)(void *self, size_t partition, int64_t sequence);
    /* For checkers; each may be NULL. */
    void (*opening)(void *self, size_t partition, const tmk_start *start, int64_t first);
    void (*delivered)(void *self, size_t partition, int64_t sequence);
    void (*attached)(void *self, size_t partition, bool attached);
    void (*standing)(void *self, size_t partition, bool up);
    /* Before and after the reader was told that its link has ended. */
    void (*ending)(void *self, size_t partition, const tmk_error *why);
    void (*ended)(void *self, size_t partition, tmk_status why);
    /* So much credit is out on its link now. */
    void (*credited)(void *self, size_t partition, uint64_t credit);
} sim_events;

typedef struct sim_source_options {
    sim_hub *hub;
    sim_hub_client *client;
    sim_process *process;
    tmk_rng *rng; /* of the network; the caller's */
    const sim_events *events;
    void *self;
    size_t keep_bytes; /* of bursts to come */
} sim_source_options;

/* NULL: out of memory. */
sim_source *sim_source_new(sim_kernel *k, const sim_source_options *options);
/* Ends all links; nothing is called any more. Bursts that are out stay valid. NULL is fine. */
sim_source *sim_source_free(sim_source *s);
tmk_source sim_source_of(sim_source *s);
/* options.self of the source of a link, as the hub's watch is given it. */
void *sim_source_self(const void *link_user);

/* ---- what may happen to the links; SIZE_MAX: of all partitions ---- */

/* The service ends them: with some of them, each by that chance. */
void sim_source_detach(sim_source *s, size_t partition, double chance, tmk_status why,
                       const char *origin);
/* They break, and are attached again by themselves after low .. high. */
void sim_source_break(sim_source *s, size_t partition, tmk_time low, tmk_time high, tmk_status why,
                      const char *origin);
/* Nothing comes any more, until they are opened anew; each by that chance. */
void sim_source_silence(sim_source *s, size_t partition, double chance);
/* Links that are broken are attached again with the next look. */
void sim_source_mend(sim_source *s);
/* The newest ones come once more: from `back(self, partition, next)` on. */
void sim_source_repeat(sim_source *s, size_t partition,
                       int64_t (*back)(void *self, size_t partition, int64_t next));
/* The hub they read was deleted; they hear of it with the next look. */
void sim_source_gone(sim_source *s, size_t partition);

#endif
