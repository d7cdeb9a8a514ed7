/* See measure.h. */
#include "bench/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- allocations ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *old, size_t size);

static uint64_t allocations;

void *malloc(size_t size) {
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    return __libc_realloc(old, size);
}

uint64_t measure_allocations(void) {
    return __atomic_load_n(&allocations, __ATOMIC_RELAXED);
}

/* ---- time ---- */

static double seconds_of(clockid_t id) {
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void measured(const drain *d, uint64_t total);

__attribute__((noinline)) void measured(const drain *d, uint64_t total) {
    while (*d->events < total) {
        d->turn(d->self);
    }
}

cost measure(const drain *d, uint64_t warm, uint64_t total) {
    cost c;

    while (*d->events < warm) {
        d->turn(d->self);
    }
    c.events = *d->events;
    c.allocations = measure_allocations();
    c.seconds = seconds_of(CLOCK_MONOTONIC);
    c.cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    measured(d, total);
    c.cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - c.cpu;
    c.seconds = seconds_of(CLOCK_MONOTONIC) - c.seconds;
    c.allocations = measure_allocations() - c.allocations;
    c.events = *d->events - c.events;
    return c;
}

void keep_best(cost *best, const cost *c) {
    if (best->events == 0 || c->cpu / (double)c->events < best->cpu / (double)best->events) {
        *best = *c;
    }
}

void tell(const char *name, double value, const char *unit) {
    (void)printf("%s\t%.6g\t%s\n", name, value, unit);
    (void)fflush(stdout);
}

void die(const char *what, const char *why) {
    (void)fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}
