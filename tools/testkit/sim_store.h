/*
 * A simulated store: the semantics of tidemark/store.h by the rules that the
 * memory store uses too, behind a network that is slow, loses answers, delivers
 * writes late, throttles and fails.
 *
 * A request has two moments, applied and answered. Whoever is killed sends no
 * more, but what is under way still arrives; so does what was given up.
 * The store's clock is its own: leases and ages go by it.
 *
 * Each client is a tmk_store, for a machine that is driven directly and for a
 * whole processor alike.
 */
#ifndef TMK_SIM_STORE_H
#define TMK_SIM_STORE_H

#include "checkpoint/memory_table.h"
#include "checkpoint/rules.h"
#include "kernel.h"

/* What is wrong with the store at present; each client has a network of its own besides. */
typedef struct sim_store_trouble {
    bool outage;        /* requests fail or hang */
    double lose_answer; /* applied, never answered */
    double lose_request;
    double slow; /* takes slow_from .. slow_to */
    tmk_time slow_from, slow_to;
    double busy;      /* answered EBUSY */
    tmk_time median;  /* latency; 8 ms */
    double late_list; /* a list shows what was, and comes late */
} sim_store_trouble;

typedef struct sim_store sim_store;
typedef struct sim_store_client sim_store_client;

/* What a client did, as it is applied; the checkers' view. */
typedef struct sim_applied {
    sim_store_client *client;
    const tmk_store_op *op;
    tmk_status status;
    tmk_time sent;
    /* Partition operations: before and after. */
    bool existed;
    int64_t generation_before, sequence_before;
    char owner_before[TMK_STORE_ID_MAX + 1], token_before[40];
    const tmk_partition_entry *after; /* NULL: none */
    /* Member operations. */
    tmk_time lease_before;
    bool evicted_before;
} sim_applied;

typedef void (*sim_store_watch)(void *user, const sim_applied *applied);

sim_store *sim_store_new(sim_kernel *k, tmk_time clock_offset); /* NULL: out of memory */
sim_store *sim_store_free(sim_store *s);                        /* after all clients */
sim_store_trouble *sim_store_trouble_of(sim_store *s);
void sim_store_watch_with(sim_store *s, sim_store_watch watch, void *user);
tmk_time sim_store_now(const sim_store *s); /* by its own clock */

/* Direct looks at the records, for checkers. NULL: none. */
const tmk_partition_entry *sim_store_partition(const sim_store *s, const char *id);
const tmk_member_entry *sim_store_member(const sim_store *s, const char *id);
bool sim_store_member_alive(const sim_store *s, const char *id);

/* What an operator may do: break a claim (the record stays), or remove the record. */
void sim_store_unlock(sim_store *s, const char *partition);
void sim_store_remove(sim_store *s, const char *partition);

/* Its process has ended, and the store is one that knows. */
void sim_store_gone(sim_store *s, const char *member);

/* A way to the store for a process. `user` is for the checkers. NULL: out of memory. */
sim_store_client *sim_store_connect(sim_store *s, sim_process *process, uint64_t number,
                                    void *user);
/* No more is sent or answered; requests under way still arrive. The client frees itself. */
void sim_store_disconnect(sim_store_client *c);
/* All that is asked and not answered yet is answered ECANCELED, at once. What is under way still
 * arrives. */
void sim_store_forget(sim_store_client *c);
/* The end of the world: nothing arrives any more. Frees. NULL is fine. */
void sim_store_drop(sim_store_client *c);
tmk_store sim_store_of(sim_store_client *c);
void *sim_store_client_user(const sim_store_client *c);
void sim_store_cut(sim_store_client *c, bool cut); /* its network to the store */
uint64_t sim_store_requests(const sim_store_client *c);

#endif
