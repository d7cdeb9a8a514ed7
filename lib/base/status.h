/* Failing: fill the caller's tmk_error and return the status in one breath. */
#ifndef TMK_BASE_STATUS_H
#define TMK_BASE_STATUS_H

#include <tidemark/status.h>

/* Fills *err (NULL is fine) and returns status. The text is cut, newlines become blanks. */
TMK_PRINTF(4, 5)
tmk_status tmk_fail(tmk_error *err, tmk_status status, const char *origin, const char *format, ...);

/* The same, and marked as worth trying again unchanged. */
TMK_PRINTF(4, 5)
tmk_status tmk_fail_retry(tmk_error *err, tmk_status status, const char *origin, const char *format,
                          ...);

/* From errno: "cannot <verb> '<what>': <strerror>", origin "errno:N"; EIO, or ENOMEM for ENOMEM. */
tmk_status tmk_fail_errno(tmk_error *err, int error_number, const char *verb, const char *what);

/* No error: status OK, empty words. */
void tmk_error_clear(tmk_error *err);

#endif
