/*
 * A clock that lags behind: for counting instructions of a program that does
 * other things when it is slow. A tool like valgrind makes it some fifty times
 * as slow as it is; by this clock everything is as quick as without the tool.
 *
 * slow_clock.c stands in front of the C library's clock_gettime(), so that the
 * library under test reads it too. What waits in the kernel waits real time.
 * One thread.
 */
#ifndef TMK_BENCH_SLOW_CLOCK_H
#define TMK_BENCH_SLOW_CLOCK_H

/* From now on a second takes `times` seconds; 1: one. The clocks never jump. */
void slow_clock(unsigned times);

#endif
