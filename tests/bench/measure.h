/*
 * Measuring: what a row of equal turns costs once it is warm.
 *
 * Processor time is that of the whole process, threads and kernel included, so
 * whatever feeds it must be another process. Allocations are all of the process,
 * those of libraries too: measure.c stands in front of the C library's malloc.
 *
 * Instructions are counted from outside, over the part that is measured alone:
 *   valgrind --tool=callgrind --toggle-collect=measured ...
 */
#ifndef TMK_BENCH_MEASURE_H
#define TMK_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cost {
    double seconds, cpu;
    uint64_t events, allocations;
} cost;

typedef struct drain {
    void (*turn)(void *self);
    void *self;
    const uint64_t *events; /* so many were had until now */
} drain;

/* Turns until there were `warm` events, then measures until there were `total`. */
cost measure(const drain *d, uint64_t warm, uint64_t total);
/* Those of the process until now. */
uint64_t measure_allocations(void);
/* Keeps the one that took less processor time for an event. */
void keep_best(cost *best, const cost *c);

/* One figure, as tools/bench.py reads it: name, value and unit, divided by tabs. */
void tell(const char *name, double value, const char *unit);

void die(const char *what, const char *why);

#endif
