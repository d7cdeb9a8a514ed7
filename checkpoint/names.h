/* Texts as one part of a path: no id leaves its place, and each has one name only. Pure. */
#ifndef TMK_CHECKPOINT_NAMES_H
#define TMK_CHECKPOINT_NAMES_H

#include "base/str.h"

/*
 * Appends the text percent-encoded; a dot at either end too, which means something to file systems
 * and is cut off by some of the services.
 */
void tmk_name_add(tmk_str *out, tmk_slice text);
/* The text of such a name; false: it is none, or not the one that tmk_name_add() makes. */
bool tmk_name_text(tmk_slice name, tmk_str *text);

void tmk_lower_add(tmk_str *out, tmk_slice text); /* ASCII letters in lower case */

#endif
