/*
 * Where dead letters go: a file of JSON lines, or another hub of the namespace.
 * A letter counts as kept when the file has been synced, or the hub has
 * acknowledged it.
 */
#ifndef TIDEMARK_TOOL_SINKS_H
#define TIDEMARK_TOOL_SINKS_H

#include "common.h"

#include <tidemark/processor.h>

typedef struct cli_sink cli_sink;

/* what: "file:PATH" or "hub:NAME". Returns an exit code, 0 with *out set. */
int cli_sink_new(const char *what, const cli_common *common, cli_sink **out);
cli_sink *cli_sink_free(cli_sink *s); /* NULL is fine; returns NULL */

/* Keeps a letter and reports to the processor. Threads: its control thread. */
void cli_sink_put(cli_sink *s, tmk_processor *p, const tmk_dead_letter *letter, tmk_handle handle);

#endif
