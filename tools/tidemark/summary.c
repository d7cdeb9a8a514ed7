/* The summary of a run. See summary.h. */
#include "summary.h"

#include "format.h"
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void cli_summary_begin(cli_summary *s) {
    clock_gettime(CLOCK_MONOTONIC, &s->begin);
}

/* Out of memory: one name less in the summary. */
static void count(cli_summary_count **items, size_t *used, const char *name) {
    cli_summary_count *more;
    char *copy;

    for (size_t i = 0; i < *used; i++) {
        if (strcmp((*items)[i].name, name) == 0) {
            (*items)[i].count++;
            return;
        }
    }
    copy = strdup(name);
    more = copy == NULL ? NULL : realloc(*items, (*used + 1) * sizeof **items);
    if (more == NULL) {
        free(copy);
        return;
    }
    *items = more;
    more[(*used)++] = (cli_summary_count){copy, 1};
}

void cli_summary_opened(cli_summary *s, const char *partition) {
    count(&s->partitions, &s->partition_count, partition);
}

void cli_summary_problem(cli_summary *s, const tmk_error *err) {
    count(&s->problems, &s->problem_count,
          err->origin[0] == '\0' ? tmk_status_name(err->status) : err->origin);
}

int cli_summary_write(const cli_summary *s, const tmk_processor_stats *stats, const char *path) {
    cli_buffer b = {NULL, 0, 0, false};
    struct timespec now;
    FILE *f;
    bool good;

    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds =
        (double)(now.tv_sec - s->begin.tv_sec) + (double)(now.tv_nsec - s->begin.tv_nsec) / 1e9;
    cli_addf(&b,
             "{\"events\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"partitions\":%zu,\"seconds\":%.3f,",
             stats->events, stats->bytes, s->partition_count, seconds);
    cli_addf(&b,
             "\"events_per_second\":%.1f,\"checkpoints_written\":%" PRIu64
             ",\"checkpoints_refused\":%" PRIu64 ",",
             seconds > 0 ? (double)stats->events / seconds : 0, stats->checkpoints_written,
             stats->checkpoints_refused);
    cli_addf(&b,
             "\"claims\":%" PRIu64 ",\"moves\":%" PRIu64 ",\"evictions\":%" PRIu64
             ",\"retries\":%" PRIu64 ",",
             stats->claims, stats->moves_in + stats->moves_out, stats->evictions, stats->retries);
    cli_addf(&b,
             "\"skipped\":%" PRIu64 ",\"dead_letters\":%" PRIu64 ",\"store_requests\":%" PRIu64
             ",\"errors\":{",
             stats->skipped, stats->dead_lettered, stats->store_requests);
    for (size_t i = 0; i < s->problem_count; i++) {
        cli_add_text(&b, i == 0 ? "" : ",");
        cli_add_json(
            &b, (tmk_slice){(const uint8_t *)s->problems[i].name, strlen(s->problems[i].name)});
        cli_addf(&b, ":%" PRIu64, s->problems[i].count);
    }
    cli_add_text(&b, "}}\n");

    f = fopen(path, "we");
    good = f != NULL && cli_put(&b, f);
    good = f != NULL && fclose(f) == 0 && good;
    cli_free(&b);
    return good ? 0 : cli_failed("cannot write the summary '%s': %s", path, strerror(errno));
}

static void clear(cli_summary_count *items, size_t used) {
    for (size_t i = 0; i < used; i++) {
        free(items[i].name);
    }
    free(items);
}

void cli_summary_clear(cli_summary *s) {
    clear(s->partitions, s->partition_count);
    clear(s->problems, s->problem_count);
}
