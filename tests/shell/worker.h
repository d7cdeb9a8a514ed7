/*
 * A processor under test and what it has done: every event that was handed out,
 * every callback, every problem. Its handler answers as the test says.
 *
 * Threads: what is recorded may be looked at from any; see the functions.
 */
#ifndef TMK_TESTS_SHELL_WORKER_H
#define TMK_TESTS_SHELL_WORKER_H

#include <tidemark/hub.h>
#include <tidemark/processor.h>
#include <tidemark/store_memory.h>

#include <pthread.h>
#include <stdatomic.h>

#include "support/check.h"

#define OK(call)                                                                           \
    do {                                                                                   \
        tmk_status ok_ = (call);                                                           \
        if (ok_ != TMK_OK) {                                                               \
            fail_msg("%s:%d: %s: %s: %s", __FILE__, __LINE__, #call, tmk_status_name(ok_), \
                     err.text);                                                            \
        }                                                                                  \
    } while (0)

/* Lets things happen until the condition holds; fails after 20 s. `w` is the worker that is driven
 * where it has no threads. */
#define UNTIL(w, condition)                                                                \
    do {                                                                                   \
        int until_ = 0;                                                                    \
        while (!(condition) && until_++ < 20000) {                                         \
            worker_wait_a_little(w);                                                       \
        }                                                                                  \
        if (!(condition)) {                                                                \
            fail_msg("%s:%d: %s does not come true; last problem: %s", __FILE__, __LINE__, \
                     #condition, worker_last_problem(w));                                  \
        }                                                                                  \
    } while (0)

enum { WORKER_PARTITIONS = 8, WORKER_EVENTS = 4096, WORKER_PROBLEMS = 512 };

typedef struct worker_problem {
    char operation[24], partition[16], origin[48], text[208], reaction[128];
    int64_t sequence;
} worker_problem;

typedef struct worker worker;
typedef tmk_verdict (*worker_fn)(worker *w, const tmk_event *event, tmk_delivery *delivery);

struct worker {
    tmk_client *client;
    tmk_processor_options options; /* change them between init and start */
    tmk_processor *processor;
    worker_fn handle; /* NULL: TMK_DONE */
    void *user;       /* the test's */
    tmk_status (*choose)(worker *w, const char *partition, bool checkpointed, tmk_start *start);

    atomic_uint handled; /* handler calls */
    atomic_uint running, running_max;
    atomic_uint opened, closed, lags, lines;
    _Atomic(tmk_handle) handle_seen; /* of the last event */

    pthread_mutex_t lock;                             /* guards what follows */
    uint16_t times[WORKER_PARTITIONS][WORKER_EVENTS]; /* handed out, by sequence */
    int64_t last[WORKER_PARTITIONS];                  /* newest first try; order is checked */
    unsigned out_of_order;
    worker_problem problems[WORKER_PROBLEMS];
    unsigned problem_count;
    tmk_close_reason close_reason;
    int64_t close_sequence;
    char close_partition[16];
    tmk_lag lag;
    char last_line[512];
};

/* Defaults, with short times; the store and the client are borrowed. */
void worker_init(worker *w, tmk_client *client);
void worker_start(worker *w, tmk_store store);
/* Stops where that was not done, and frees the processor. */
void worker_end(worker *w);
void worker_wait_a_little(worker *w);

unsigned worker_times(worker *w, const char *partition, int64_t sequence);
/* How many different events were handed out, and how many calls that were not the first of their
 * event. */
unsigned worker_distinct(worker *w);
unsigned worker_repeats(worker *w);
bool worker_in_order(worker *w);

/* A problem of this operation (NULL: any) that has this word in text or reaction (NULL: any). */
bool worker_told(worker *w, const char *operation, const char *word, worker_problem *out);
unsigned worker_tellings(worker *w, const char *operation, const char *word);
const char *worker_last_problem(worker *w);

/* State of one partition; own is false where it is not known. */
tmk_partition_state worker_state(worker *w, const char *partition);
tmk_processor_stats worker_stats(worker *w);

/* A hub and a client for it, in this process, with real sockets. */
tmk_hub *hub_begin(uint32_t partitions);
tmk_client *client_of(tmk_hub *hub, bool caller_driven);
void hub_put(tmk_hub *hub, const char *partition, const char *key, unsigned count);
tmk_store memory_begin(void);

#endif
