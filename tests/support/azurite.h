/*
 * Azurite, the emulator of the Blob service, as a child of a test: on a port of
 * its own, in memory, with an account of its own and a clock that the test
 * moves. It ends with its standard input, so it never outlives the test.
 */
#ifndef TMK_TESTS_AZURITE_H
#define TMK_TESTS_AZURITE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct azurite {
    pid_t pid;
    FILE *in, *out;
    int port;
    char connection_string[512];
} azurite;

/*
 * Starts it; `sources` is the folder tests/. False: there is no node, or Azurite is not installed;
 * *why says which, for a test that is skipped.
 */
bool azurite_start(azurite *a, const char *sources, const char **why);
void azurite_advance(azurite *a, int64_t ms);
void azurite_stop(azurite *a);

#endif
