/*
 * The journal: one JSON object a line for all that happens, for checkers and
 * for whoever must understand a night. docs/JOURNAL.md lists the lines.
 *
 * Threads: any; a line is made on the stack and handed over whole.
 */
#ifndef TMK_RUN_JOURNAL_H
#define TMK_RUN_JOURNAL_H

#include "base/slice.h"
#include "base/time.h"

typedef struct tmk_journal {
    void (*write)(void *user, const char *line, size_t size); /* NULL: off */
    void *user;
    tmk_clock clock;
} tmk_journal;

static inline bool tmk_journal_on(const tmk_journal *j) {
    return j->write != NULL;
}

/*
 * Writes {"t":<seconds>,"ev":"<ev>",...}. The fields are triples of name, kind
 * and value, ended by NULL: kind 's' a const char * (NULL: left out), 'i' an
 * int64_t, 'f' a double (seconds).
 *
 *     tmk_journal_write(j, "close", "partition", 's', id, "position", 'i', sequence, NULL);
 */
void tmk_journal_write(const tmk_journal *j, const char *ev, ...) __attribute__((sentinel));

#endif
