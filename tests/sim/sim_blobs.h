/*
 * A simulated container of blobs, in place of the Blob service: metadata, ETags
 * and conditions, ages by its own clock of whole seconds. The blob store's own
 * code works on it, in virtual time, behind a network that is slow, loses
 * answers and delivers late; so do models of the official processors, directly.
 */
#ifndef TMK_SIM_BLOBS_H
#define TMK_SIM_BLOBS_H

#include <tidemark/store.h>

#include "checkpoint/blob_meta.h"
#include "kernel.h"

typedef struct sim_blobs sim_blobs;
typedef struct sim_blobs_client sim_blobs_client;

typedef struct sim_blob {
    char name[64];
    char etag[24];
    tmk_wall modified;
    tmk_blob_meta meta;
    tmk_str body;
} sim_blob;

typedef struct sim_blobs_trouble {
    bool outage;
    double lose_answer, lose_request, slow;
} sim_blobs_trouble;

/* Called before a write is applied; `user` is the client's, NULL for a direct write. */
typedef void (*sim_blobs_watch)(void *watch_user, void *user, const char *name,
                                const sim_blob *before, const tmk_blob_meta *after);

sim_blobs *sim_blobs_new(sim_kernel *k);
sim_blobs *sim_blobs_free(sim_blobs *b); /* after all clients, and when nothing is under way */
void sim_blobs_watch_with(sim_blobs *b, sim_blobs_watch watch, void *watch_user);
sim_blobs_trouble *sim_blobs_trouble_of(sim_blobs *b);
const sim_blob *sim_blobs_find(const sim_blobs *b, const char *name); /* NULL: none */
tmk_wall sim_blobs_date(const sim_blobs *b);

/* A write, with the service's code for an answer. Conditions: an ETag, "*", or NULL. */
typedef struct sim_blob_write {
    const char *name, *if_match, *if_none_match;
    const tmk_blob_meta *meta;
    tmk_slice body;
    bool put; /* makes or replaces; else the metadata alone */
} sim_blob_write;
int sim_blobs_write(sim_blobs *b, void *user, const sim_blob_write *w, char etag[24]);

/* The names of group "ns/hub/g/": what a store of this client works on. */
sim_blobs_client *sim_blobs_connect(sim_blobs *b, sim_process *process, uint64_t number,
                                    void *user);
/* No more is sent or answered; what is under way still arrives. The client frees itself. */
void sim_blobs_disconnect(sim_blobs_client *c);
tmk_store sim_blobs_store(sim_blobs_client *c); /* claims "shared" */
void sim_blobs_cut(sim_blobs_client *c, bool cut);
uint64_t sim_blobs_requests(const sim_blobs_client *c);

#endif
