/*
 * Is a worker alive, and is it ready? Computed from its progress; each answer
 * comes with its reasons. Whoever restarts what is not alive must not be told
 * of troubles that a restart does not mend: a hub or a store that cannot be
 * reached makes a worker unready at most.
 *
 * Pure.
 */
#ifndef TIDEMARK_TOOL_HEALTH_H
#define TIDEMARK_TOOL_HEALTH_H

#include "format.h"

#include <tidemark/stats.h>

typedef struct cli_health_input {
    const tmk_stats *stats; /* NULL: none yet */
    int64_t age_ms;         /* of the stats; without them: since the start */
    bool stopping;
    int64_t handler_limit_ms; /* 0: none */
} cli_health_input;

typedef enum cli_health_kind {
    CLI_ALIVE,  /* /healthz, /livez */
    CLI_READY,  /* /readyz */
    CLI_STARTED /* /startupz */
} cli_health_kind;

/*
 * Appends {"status":"ok","checks":[{"check":"loop","ok":true,"reason":"..."}, ...]} and returns
 * whether all is well.
 */
bool cli_health(cli_health_kind kind, const cli_health_input *in, cli_buffer *out);

#endif
