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

#define AZURITE_ACCOUNT "tidemark"
#define AZURITE_KEY "dGlkZW1hcmsgdGVzdHMgb25seSwgbm90IGEgc2VjcmV0IQ=="

typedef struct azurite {
    pid_t pid;
    FILE *in, *out;
    int port;
    const char *certificate, *key; /* NULL: plain HTTP */
    char connection_string[512];
} azurite;

/*
 * Starts it; `sources` is the folder tests/. False: there is no node, or Azurite is not installed;
 * *why says which, for a test that is skipped.
 */
bool azurite_start(azurite *a, const char *sources, const char **why);
/* The same over TLS, with these PEM files, taking tokens of Entra ID too (it reads, but does not
 * verify them). */
bool azurite_start_tls(azurite *a, const char *sources, const char *certificate, const char *key,
                       const char **why);
void azurite_advance(azurite *a, int64_t ms);
void azurite_stop(azurite *a);

#endif
