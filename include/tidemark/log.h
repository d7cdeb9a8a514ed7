/*
 * Log lines. The library prints nothing by itself: it hands each line to the
 * function it was given. Event names are stable;
 * fields are key=value, quoted where needed, and never hold a secret. docs/LOGS.md
 * lists them. What comes in masses is cut down and counted (log.suppressed).
 */
#ifndef TIDEMARK_LOG_H
#define TIDEMARK_LOG_H

#include <tidemark/api.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

TMK_BEGIN_C

typedef enum tmk_log_level {
    TMK_LOG_NONE = 0,
    TMK_LOG_ERROR = 1,
    TMK_LOG_WARN = 2,
    TMK_LOG_INFO = 3,
    TMK_LOG_DEBUG = 4,
    TMK_LOG_TRACE = 5
} tmk_log_level;

/**
 * Takes one line: event is a stable name ("lease.lost"), fields the text
 * "partition='3' held_ms=120". Both end with the call.
 *
 * Threads:  any thread of the library, also several at once.
 * Must not: call back into the library, or block for long.
 */
typedef void (*tmk_log_fn)(void *self, tmk_log_level level, const char *event, const char *fields);

typedef struct tmk_log {
    tmk_log_fn write; /* NULL: silent */
    void *self;
    tmk_log_level level; /* lines above this level are not made at all */
} tmk_log;

/** A log that writes "time level event fields" lines to standard error. */
TMK_API tmk_log tmk_log_stderr(tmk_log_level level);
/** The same as one JSON object a line: {"time":"...","level":"warn","event":"...",fields}. */
TMK_API tmk_log tmk_log_stderr_json(tmk_log_level level);

TMK_END_C

#endif
