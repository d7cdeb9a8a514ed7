/* consume --summary: what a run did, as one JSON object. */
#ifndef TIDEMARK_TOOL_SUMMARY_H
#define TIDEMARK_TOOL_SUMMARY_H

#include <tidemark/processor.h>

#include <pthread.h>

typedef struct cli_summary_count {
    char *name;
    uint64_t count;
} cli_summary_count;

typedef struct cli_summary {
    struct timespec begin;
    cli_summary_count *partitions; /* ever opened */
    size_t partition_count;
    cli_summary_count *problems; /* by condition */
    size_t problem_count;
} cli_summary;

void cli_summary_begin(cli_summary *s);
/* Threads: the processor's control thread. */
void cli_summary_opened(cli_summary *s, const char *partition);
void cli_summary_problem(cli_summary *s, const tmk_error *err);
/* After the stop. Returns an exit code. */
int cli_summary_write(const cli_summary *s, const tmk_processor_stats *stats, const char *path);
void cli_summary_clear(cli_summary *s);

#endif
