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

static const char *const level_names[] = {"none", "error", "warn", "info", "debug", "trace"};

static size_t put_time(char *line, size_t room) {
    struct timespec now = {0};
    struct tm t = {0};
    size_t used = 0;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &t);
    used = strftime(line, room, "%Y-%m-%dT%H:%M:%S", &t);
    return used + (size_t)snprintf(line + used, room - used, ".%06ldZ", now.tv_nsec / 1000);
}

/* One call, so that lines of several threads do not mix. */
static void write_whole(const char *line, size_t size) {
    if (write(STDERR_FILENO, line, size) < 0) {
        return; /* there is nowhere left to say so */
    }
}

static void write_stderr(void *self, tmk_log_level level, const char *event, const char *fields) {
    char line[LINE_MAX_BYTES + 256];
    size_t used = put_time(line, sizeof line);
    int size = snprintf(line + used, sizeof line - used, " %-5s %s %s\n", level_names[level], event,
                        fields);

    (void)self;
    if (size > 0) {
        used += (size_t)size < sizeof line - used ? (size_t)size : sizeof line - used - 1;
        write_whole(line, used);
    }
}

static void write_stderr_json(void *self, tmk_log_level level, const char *event,
                              const char *fields) {
    tmk_str line = TMK_STR_INIT;
    char when[40];

    (void)self;
    (void)put_time(when, sizeof when);
    tmk_str_addf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":", when, level_names[level]);
    tmk_str_add_json(&line, tmk_slice_str(event));
    tmk_log_fields_json(fields, &line);
    tmk_str_add(&line, "}\n");
    if (tmk_str_ok(&line)) {
        write_whole(line.text, line.size);
    }
    tmk_str_clear(&line);
}

tmk_log tmk_log_stderr(tmk_log_level level) {
    return (tmk_log){write_stderr, NULL, level};
}

tmk_log tmk_log_stderr_json(tmk_log_level level) {
    return (tmk_log){write_stderr_json, NULL, level};
}

/* ---- fields as JSON ---- */

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* The length of "name=" at `at`; 0: there is none. */
static size_t name_size(const char *at) {
    size_t size = 0;

    while (is_name(at[size])) {
        size++;
    }
    return size > 0 && at[size] == '=' ? size : 0;
}

/* The end of a quoted value: the quote that the next field, or the end of the line, follows. What
 * stands inside may hold quotes itself. */
static const char *quoted_end(const char *at, char quote) {
    for (; *at != '\0'; at++) {
        if (*at == quote && (at[1] == '\0' || (at[1] == ' ' && name_size(at + 2) > 0))) {
            return at;
        }
    }
    return at;
}

static bool is_number(tmk_slice s) {
    size_t i = s.size > 1 && s.bytes[0] == '-';
    size_t digits = i;

    while (digits < s.size && s.bytes[digits] >= '0' && s.bytes[digits] <= '9') {
        digits++;
    }
    return digits == s.size && digits > i && digits - i < 16 &&
           (s.bytes[i] != '0' || digits - i == 1);
}

void tmk_log_fields_json(const char *fields, tmk_str *out) {
    const char *at = fields;

    while (*at != '\0') {
        size_t size = name_size(at);
        const char *value = at + size + 1, *end;
        bool quoted = size > 0 && (*value == '\'' || *value == '"');

        if (size == 0) {
            at++; /* no field begins here */
            continue;
        }
        value += quoted;
        end = quoted ? quoted_end(value, value[-1]) : value + strcspn(value, " ");
        tmk_slice text = tmk_slice_of((const uint8_t *)value, (size_t)(end - value));
        tmk_str_addf(out, ",\"%.*s\":", (int)size, at);
        if (!quoted && is_number(text)) {
            tmk_str_add_slice(out, text);
        } else {
            tmk_str_add_json(out, text);
        }
        at = *end == '\0' ? end : end + 1;
    }
}
