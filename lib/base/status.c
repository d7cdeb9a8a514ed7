/* The words of failures. See tidemark/status.h and base/status.h. */
#include "base/status.h"

#include <tidemark/version.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *tmk_status_name(tmk_status status) {
    switch (status) {
#define X(name, value, sentence) \
    case TMK_##name:             \
        return #name;
        TMK_STATUS_MAP(X)
#undef X
    }
    return "?";
}

const char *tmk_status_text(tmk_status status) {
    switch (status) {
#define X(name, value, sentence) \
    case TMK_##name:             \
        return sentence;
        TMK_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

void tmk_error_clear(tmk_error *err) {
    if (err != NULL) {
        memset(err, 0, sizeof *err);
    }
}

TMK_PRINTF(5, 0)
static void fill(tmk_error *err, tmk_status status, bool retryable, const char *origin,
                 const char *format, va_list args) {
    if (err == NULL) {
        return;
    }
    memset(err, 0, sizeof *err);
    err->status = status;
    err->retryable = retryable;
    (void)snprintf(err->origin, sizeof err->origin, "%s", origin);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    for (char *c = err->text; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\r') {
            *c = ' ';
        }
    }
}

tmk_status tmk_fail(tmk_error *err, tmk_status status, const char *origin, const char *format,
                    ...) {
    va_list args;

    va_start(args, format);
    fill(err, status, false, origin, format, args);
    va_end(args);
    return status;
}

tmk_status tmk_fail_retry(tmk_error *err, tmk_status status, const char *origin, const char *format,
                          ...) {
    va_list args;

    va_start(args, format);
    fill(err, status, true, origin, format, args);
    va_end(args);
    return status;
}

/* GNU's strerror_r returns the words, POSIX's (musl) whether it wrote them. */
static const char *words_of(int error_number, char *room, size_t size) {
#ifdef __GLIBC__
    return strerror_r(error_number, room, size);
#else
    return strerror_r(error_number, room, size) == 0 ? room : "unknown error";
#endif
}

tmk_status tmk_fail_errno(tmk_error *err, int error_number, const char *verb, const char *what) {
    char origin[32];
    char words[96];
    tmk_status status = error_number == ENOMEM ? TMK_ENOMEM : TMK_EIO;

    (void)snprintf(origin, sizeof origin, "errno:%d", error_number);
    return tmk_fail(err, status, origin, "cannot %s '%s': %s", verb, what,
                    words_of(error_number, words, sizeof words));
}

const char *tmk_version(void) {
    return TMK_VERSION_STRING;
}
