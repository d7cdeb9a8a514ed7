/*
 * Keys and tokens. A secret lives in one allocation, which is kept out of core
 * dumps, locked where allowed, and wiped when freed. It has no printf format.
 */
#ifndef TMK_BASE_SECRET_H
#define TMK_BASE_SECRET_H

#include "base/slice.h"

typedef struct tmk_secret tmk_secret; /* immutable, counted */

tmk_secret *tmk_secret_new(tmk_slice bytes); /* copies; NULL when out of memory */
tmk_secret *tmk_secret_ref(tmk_secret *s);
tmk_secret *tmk_secret_free(tmk_secret *s); /* drops one reference; NULL is fine; returns NULL */
tmk_slice tmk_secret_bytes(const tmk_secret *s); /* NUL follows the bytes */
void tmk_wipe(void *bytes, size_t size);         /* not removed by the optimiser */

/* Replaces what looks like a secret (sig=, SharedAccessKey=, AccountKey=, Authorization:, a JWT)
 * by "***", in place; the last step before any text leaves the library. */
void tmk_redact(char *text);

#endif
