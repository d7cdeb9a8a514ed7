/*
 * Making log lines: tmk_warn(log, "lease.lost", "partition='%s' held_ms=%" PRId64, p, ms);
 * The line is not formatted when the level is off. Everything is redacted before it leaves.
 */
#ifndef TMK_BASE_LOG_H
#define TMK_BASE_LOG_H

#include <tidemark/log.h>

#include <inttypes.h>

#include "base/str.h"

#define tmk_log_on(log, lvl) ((log) != NULL && (log)->write != NULL && (log)->level >= (lvl))
#define tmk_log_at(log, lvl, event, ...) \
    (tmk_log_on(log, lvl) ? tmk_log_line(log, lvl, event, __VA_ARGS__) : (void)0)
#define tmk_log_error(log, event, ...) tmk_log_at(log, TMK_LOG_ERROR, event, __VA_ARGS__)
#define tmk_warn(log, event, ...) tmk_log_at(log, TMK_LOG_WARN, event, __VA_ARGS__)
#define tmk_info(log, event, ...) tmk_log_at(log, TMK_LOG_INFO, event, __VA_ARGS__)
#define tmk_debug(log, event, ...) tmk_log_at(log, TMK_LOG_DEBUG, event, __VA_ARGS__)
#define tmk_trace(log, event, ...) tmk_log_at(log, TMK_LOG_TRACE, event, __VA_ARGS__)

/* Appends fields as JSON members, each with a comma before it: "a='x' b=2" -> ,"a":"x","b":2. */
void tmk_log_fields_json(const char *fields, tmk_str *out);

TMK_PRINTF(4, 5)
void tmk_log_line(const tmk_log *log, tmk_log_level level, const char *event, const char *format,
                  ...);

#endif
