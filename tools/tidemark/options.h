/*
 * Command-line options as tables: one row an option says its name, kind, where
 * the value goes, its environment variable and its help. Parsing, checking and
 * the help text all come from the table, so they cannot disagree.
 */
#ifndef TIDEMARK_TOOL_OPTIONS_H
#define TIDEMARK_TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cli_kind {
    CLI_END = 0,
    CLI_HEADING,  /* help only: starts a group of options */
    CLI_FLAG,     /* bool */
    CLI_TEXT,     /* const char * */
    CLI_INT,      /* int64_t */
    CLI_DURATION, /* int64_t milliseconds: "250ms", "10s", "5m", "2h", "7d" */
    CLI_SIZE,     /* int64_t bytes: "512", "64KiB", "10MB" */
    CLI_RATE,     /* double per second: "1000", "1000/s" */
    CLI_CHOICE    /* const char *, one of the choices in `value`, separated by '|' */
} cli_kind;

typedef struct cli_option {
    cli_kind kind;
    const char *name;  /* without the dashes */
    size_t offset;     /* of the value in the struct that is filled */
    const char *value; /* how help calls the value; the choices of a CLI_CHOICE */
    const char *env;   /* environment variable that sets it too, or NULL */
    const char *help;
    int64_t min, max; /* CLI_INT, CLI_SIZE, CLI_DURATION; both 0: not checked */
} cli_option;

/*
 * Fills *values from the environment, then from argv (which wins). Arguments
 * that are no option go to positional, at most positional_room of them.
 * Returns: how many positional ones; -1: help was asked for; -2: a usage error,
 *          printed with the option's name and what is wrong.
 */
int cli_parse(const cli_option *options, void *values, int argc, char **argv,
              const char **positional, int positional_room);

/* Prints the table to standard output. */
void cli_help(const cli_option *options);

/* Prints "tidemark: ..." to standard error and returns 2, the exit code of a usage error. */
__attribute__((format(printf, 1, 2))) int cli_usage(const char *format, ...);

/* The same with 1: it was asked rightly but did not work. */
__attribute__((format(printf, 1, 2))) int cli_failed(const char *format, ...);

bool cli_duration(const char *text, int64_t *ms);
bool cli_size(const char *text, int64_t *bytes);

#endif
