/* Statistics as one JSON object: /status of consume --http, which the page reads. */
#ifndef TIDEMARK_TOOL_STATUS_JSON_H
#define TIDEMARK_TOOL_STATUS_JSON_H

#include "format.h"
#include "seen.h"

/* Appends the object; numbers that are not known are null. */
void cli_status_json(const tmk_stats *stats, const cli_recent *recent, size_t recent_count,
                     cli_buffer *out);

const char *cli_progress_name(tmk_progress progress);

#endif
