/*
 * The kernel of a simulated life: virtual time, a heap of what is to happen,
 * randomness, processes that can be frozen and killed, a trace, and the first
 * violation found.
 *
 * One thread. The same seed gives the same life, byte for byte: nothing here
 * depends on addresses, hashes or the clock of the machine. Each actor has its
 * own generator, so that a new fault does not change everybody's luck, and the
 * code under test draws from others than the faults.
 */
#ifndef TMK_SIM_KERNEL_H
#define TMK_SIM_KERNEL_H

#include <stdio.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/time.h"

typedef struct sim_kernel {
    tmk_heap heap;
    tmk_time now;
    tmk_time zero; /* of the trace */
    uint64_t seed;
    uint64_t steps;
    FILE *trace;                                             /* NULL: none */
    void (*line)(void *self, const char *text, size_t size); /* the trace, too; NULL: none */
    void *line_self;
    bool failed;    /* a violation was found, or there is no memory: the life ends */
    char rule[16];  /* which, "I3" say */
    char what[320]; /* and how */
} sim_kernel;

/* Something that is to happen; embed it. fire() may arm it again, or free what it is in. */
typedef struct sim_event sim_event;
struct sim_event {
    tmk_heap_node node;
    void (*fire)(sim_event *e);
};
#define sim_event_of(event, type, member) tmk_container_of(event, type, member)

void sim_kernel_init(sim_kernel *k, uint64_t seed, FILE *trace);
void sim_kernel_clear(sim_kernel *k);
void sim_at(sim_kernel *k, sim_event *e, tmk_time when); /* moves it when it is armed */
tmk_time sim_next(const sim_kernel *k); /* when something is to happen; TMK_NEVER: nothing is */
void sim_cancel(sim_kernel *k, sim_event *e);
/* Runs until that time, until nothing is left, or until a violation. */
void sim_run(sim_kernel *k, tmk_time until);
/* Runs the one thing that comes next; false: nothing is to happen until then. */
bool sim_run_one(sim_kernel *k, tmk_time until);

/* The generator of an actor: by the life's seed, what it is and which of them. */
tmk_rng sim_rng(const sim_kernel *k, const char *what, uint64_t number);
/* Around `median`, with a tail: one in a hundred takes ten times as long, and more. */
tmk_time sim_latency(tmk_rng *rng, tmk_time median);

/* One line of the journal: {"t":..,"ev":"<ev>", and what the format says}. */
TMK_PRINTF(3, 4) void sim_trace(sim_kernel *k, const char *ev, const char *format, ...);
#define sim_tracing(k) ((k)->trace != NULL || (k)->line != NULL)

/* A rule was broken. The first one counts. */
TMK_PRINTF(3, 4) void sim_violation(sim_kernel *k, const char *rule, const char *format, ...);
/* The life cannot go on as it would have: rule "memory". */
void sim_no_memory(sim_kernel *k);

/* --- processes: what reaches one that is frozen waits; what reaches a dead one is lost --- */

typedef struct sim_process {
    sim_kernel *kernel;
    bool frozen, dead;
    tmk_list inbox;
    size_t inbox_count;
    sim_event unpack; /* after a sleep the inbox is handed over piece by piece, in any order */
    tmk_rng rng;
    tmk_time woken_at;
} sim_process;

/* Something that reaches a process; embed it. Exactly one of the two is called, once. */
typedef struct sim_delivery sim_delivery;
struct sim_delivery {
    tmk_list node;
    void (*arrive)(sim_delivery *d);
    void (*lost)(sim_delivery *d); /* free what it is in, tell nobody */
};

void sim_process_init(sim_process *p, sim_kernel *k, uint64_t number);
void sim_process_deliver(sim_process *p, sim_delivery *d);
void sim_process_freeze(sim_process *p);
void sim_process_wake(sim_process *p); /* hands over what has come meanwhile */
void sim_process_kill(sim_process *p);

/* --- marks: which rare branches the lives have reached --- */

#define SIM_MARK(name)                             \
    do {                                           \
        static sim_mark mark_ = {(name), 0, NULL}; \
        sim_mark_hit(&mark_);                      \
    } while (0)

typedef struct sim_mark {
    const char *name;
    uint64_t hits;
    struct sim_mark *next;
} sim_mark;

void sim_mark_hit(sim_mark *mark);
void sim_marks_print(FILE *to);

#endif
