/*
 * A file of lines that only grows: dead letters, the journal. A line is there
 * whole, or it was said that it is not. What a full disk or a crash has left of
 * one stands on a line of its own, so that the next is whole again.
 *
 * Threads: one at a time.
 */
#ifndef TIDEMARK_LINES_H
#define TIDEMARK_LINES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cli_lines {
    int fd;
    bool torn; /* it does not end with a line end */
} cli_lines;

/* Opens or makes it, to append. false: errno says why. */
bool cli_lines_open(cli_lines *l, const char *path);
/* Appends a line, which ends with a line end; synced: it is on the disk then. false: it is not
 * there, or nobody knows; errno says why. It may be put again. */
bool cli_lines_put(cli_lines *l, const char *line, size_t size, bool synced);
void cli_lines_close(cli_lines *l);

#endif
