/* One line: formatted, stripped of line breaks, redacted, and handed over. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/secret.h"

enum { LINE_MAX_BYTES = 2048 };

void tmk_log_line(const tmk_log *log, tmk_log_level level, const char *event, const char *format,
                  ...) {
    char fields[LINE_MAX_BYTES];
    va_list args;
    int size = 0;

    va_start(args, format);
    size = vsnprintf(fields, sizeof fields, format, args);
    va_end(args);
    if (size < 0) {
        fields[0] = '\0';
    }
    tmk_redact(fields);
    /* After the redaction, which wants to see line ends. Nobody may forge a line of ours. */
    for (char *c = fields; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = ' ';
        }
    }
    log->write(log->self, level, event, fields);
    tmk_wipe(fields, sizeof fields);
}

static void write_stderr(void *self, tmk_log_level level, const char *event, const char *fields) {
    static const char *const names[] = {"none", "error", "warn", "info", "debug", "trace"};
    char line[LINE_MAX_BYTES + 256];
    struct timespec now = {0};
    struct tm t = {0};
    size_t used = 0;
    int size = 0;

    (void)self;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &t);
    used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &t);
    size = snprintf(line + used, sizeof line - used, ".%06ldZ %-5s %s %s\n", now.tv_nsec / 1000,
                    names[level], event, fields);
    if (size > 0) {
        used += (size_t)size < sizeof line - used ? (size_t)size : sizeof line - used - 1;
        /* One call, so that lines of several threads do not mix. */
        if (write(STDERR_FILENO, line, used) < 0) {
            return; /* there is nowhere left to say so */
        }
    }
}

tmk_log tmk_log_stderr(tmk_log_level level) {
    return (tmk_log){write_stderr, NULL, level};
}
