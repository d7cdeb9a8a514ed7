/*
 * What the receive benchmarks read: a local hub in a process of its own, with
 * prepared events spread over its partitions, and the bare readers that the
 * library is compared with. Each opens a connection, one link a partition, and
 * reads everything once.
 */
#ifndef TMK_BENCH_FEED_H
#define TMK_BENCH_FEED_H

#include "bench/measure.h"

enum { CREDIT = 1000, READ_SIZE = 65536, PARTITIONS_MAX = 64 };

typedef struct feed {
    uint64_t events; /* of all partitions; a multiple of their number */
    uint32_t body_size, partitions;
    bool unsettled;
    uint16_t port;
    char connection_string[512];
    int stop_fd;
    int child;
} feed;

/* Before any thread is started: forks. */
void feed_start(feed *f);
void feed_stop(feed *f);

int feed_dial(const feed *f);

/* Reads and looks at nothing. `bytes`: that the scanning drain has counted. */
cost drain_raw(const feed *f, uint64_t bytes);
/* Finds each event's sections and marks, and keeps nothing. *bytes: of the whole stream. */
cost drain_scan(const feed *f, uint64_t *bytes);
/* Proton's connection driver over a blocking socket; each delivery is taken, nothing looked at. */
cost drain_proton(const feed *f);

#endif
