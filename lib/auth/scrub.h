/*
 * Takes a known secret out of a text that came from outside: an authority that
 * is broken, or an enemy, may answer with what it was sent.
 *
 * Pure. Threads: any.
 */
#ifndef TMK_AUTH_SCRUB_H
#define TMK_AUTH_SCRUB_H

#include "base/secret.h"

/*
 * Every occurrence of the secret becomes "***", plain and percent-encoded, also where the text
 * was cut in the middle of it. Secrets of less than 4 bytes are left. NULL is fine.
 */
void tmk_scrub(char *text, const tmk_secret *secret);

#endif
