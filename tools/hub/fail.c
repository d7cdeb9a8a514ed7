/* See fail.h. */
#include "hub/fail.h"

#include <stdarg.h>
#include <stdio.h>

void tmk_hub_fail_set(tmk_hub_fail *f, const char *condition, const char *format, ...) {
    va_list args;

    (void)snprintf(f->condition, sizeof f->condition, "%s", condition);
    va_start(args, format);
    (void)vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
}
