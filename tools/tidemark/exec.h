/*
 * consume --exec: events go to a child process, a JSON line each, and it
 * answers each with a line: done, retry [MILLISECONDS], dead_letter, skip or
 * stop. One child per lane: per partition, or per share of the keys. A child
 * that ends is started again; the event it had is retried.
 */
#ifndef TIDEMARK_TOOL_EXEC_H
#define TIDEMARK_TOOL_EXEC_H

#include "format.h"

#include <tidemark/processor.h>

typedef struct cli_exec cli_exec;

/* children: how many lanes there are at most. NULL: out of memory. */
cli_exec *cli_exec_new(const char *command, size_t children);
cli_exec *cli_exec_free(cli_exec *x); /* closes their stdin and waits for them; returns NULL */

/* Threads: any; one exchange at a time per lane. */
tmk_verdict cli_exec_handle(cli_exec *x, size_t lane, const cli_buffer *line, int64_t *retry_ms);

#endif
