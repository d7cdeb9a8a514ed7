/*
 * Keeping events in a folder.
 *
 *   DIR/lock                              held while a hub uses the folder
 *   DIR/<hub>/facts                       when it was created, how many partitions
 *   DIR/<hub>/<partition>/<sequence>.seg  records from that sequence number on; see segment.h
 *   DIR/<hub>/<partition>/begin           the oldest event that is still to be told
 *
 * Promise: what was told to be stored is there after a crash of the process or
 * the machine; what is there was sent, once, in this order. A failing disk
 * makes sends fail, never lie.
 *
 * Events are gathered while the disk is busy and then written and synced
 * together (group commit), by a thread of its own. The engine's thread calls
 * the keeper's functions and tmk_hub_keep_collect(); `ring` is called on the
 * log's thread whenever there is something to collect.
 */
#ifndef TMK_HUB_KEEP_H
#define TMK_HUB_KEEP_H

#include "hub/engine.h"

typedef struct tmk_hub_keep tmk_hub_keep;

typedef struct tmk_hub_keep_options {
    const char *folder;
    uint64_t segment_bytes; /* a new file is begun beyond this */
    void (*ring)(void *self);
    void *self;
} tmk_hub_keep_options;

/* Recovers the hubs that the server has, and becomes its keeper. */
tmk_status tmk_hub_keep_open(const tmk_hub_keep_options *o, tmk_hub_server *s, tmk_hub_keep **out,
                             tmk_error *err);
/* Writes what is gathered, and ends. NULL is fine; returns NULL. */
tmk_hub_keep *tmk_hub_keep_close(tmk_hub_keep *k);
/* Tells the engine what became of events. The engine's thread. */
void tmk_hub_keep_collect(tmk_hub_keep *k);

#endif
