/* Journal lines. See journal.h. */
#include "run/journal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { LINE_MAX_SIZE = 1024 };

typedef struct line {
    char text[LINE_MAX_SIZE];
    size_t size;
} line;

/* Room is kept for the closing brace; what does not fit is left out, field by field. */
static bool add(line *l, const char *text, size_t size) {
    if (l->size + size + 3 > sizeof l->text) {
        return false;
    }
    memcpy(l->text + l->size, text, size);
    l->size += size;
    return true;
}

static bool add_escaped(line *l, const char *text) {
    bool good = add(l, "\"", 1);

    for (const char *c = text; good && *c != '\0'; c++) {
        char escape[8];
        if (*c == '"' || *c == '\\') {
            escape[0] = '\\';
            escape[1] = *c;
            good = add(l, escape, 2);
        } else if ((unsigned char)*c < 0x20) {
            good = add(l, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*c));
        } else {
            good = add(l, c, 1);
        }
    }
    return good && add(l, "\"", 1);
}

static bool add_name(line *l, const char *name) {
    return add(l, ",\"", 2) && add(l, name, strlen(name)) && add(l, "\":", 2);
}

void tmk_journal_write(const tmk_journal *j, const char *ev, ...) {
    line l = {.size = 0};
    char number[40];
    va_list args;

    if (!tmk_journal_on(j)) {
        return;
    }
    int64_t us = tmk_wall_now(&j->clock).us;
    (void)add(&l, number,
              (size_t)snprintf(number, sizeof number, "{\"t\":%" PRId64 ".%06d,\"ev\":\"",
                               us / 1000000, (int)(us % 1000000)));
    (void)add(&l, ev, strlen(ev));
    (void)add(&l, "\"", 1);

    va_start(args, ev);
    for (const char *name; (name = va_arg(args, const char *)) != NULL;) {
        size_t before = l.size;
        int kind = va_arg(args, int);
        bool good = true;
        if (kind == 's') {
            const char *text = va_arg(args, const char *);
            good = text == NULL || (add_name(&l, name) && add_escaped(&l, text));
        } else if (kind == 'i') {
            int64_t value = va_arg(args, int64_t);
            good = add_name(&l, name) &&
                   add(&l, number, (size_t)snprintf(number, sizeof number, "%" PRId64, value));
        } else {
            double value = va_arg(args, double);
            good = add_name(&l, name) &&
                   add(&l, number, (size_t)snprintf(number, sizeof number, "%.6f", value));
        }
        if (!good) {
            l.size = before;
        }
    }
    va_end(args);
    l.text[l.size++] = '}';
    l.text[l.size++] = '\n';
    j->write(j->user, l.text, l.size);
}
