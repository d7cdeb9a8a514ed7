/* Command-line options as tables. See options.h. */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct unit {
    const char *name;
    double factor;
} unit;

int cli_usage(const char *format, ...) {
    va_list args;

    va_start(args, format);
    fputs("tidemark: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 2;
}

int cli_failed(const char *format, ...) {
    va_list args;

    va_start(args, format);
    fputs("tidemark: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 1;
}

/* A number and a unit. `bare` is the factor of a number without one; 0: refused. */
static bool with_unit(const char *text, const unit *units, double bare, int64_t *out) {
    char *end = NULL;
    double number, factor = bare;

    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    number = strtod(text, &end);
    if (errno != 0 || !isfinite(number)) {
        return false;
    }
    if (*end != '\0') {
        factor = 0;
        for (; units->name != NULL; units++) {
            if (strcmp(units->name, end) == 0) {
                factor = units->factor;
            }
        }
    }
    if (factor <= 0 || number * factor > 9.0e18) {
        return false;
    }
    *out = (int64_t)llround(number * factor);
    return true;
}

bool cli_duration(const char *text, int64_t *ms) {
    static const unit units[] = {{"ms", 1},     {"s", 1e3},     {"m", 60e3}, {"min", 60e3},
                                 {"h", 3600e3}, {"d", 86400e3}, {NULL, 0}};

    return with_unit(text, units, 0, ms);
}

bool cli_size(const char *text, int64_t *bytes) {
    static const unit units[] = {{"B", 1},           {"kB", 1e3},           {"KB", 1e3},
                                 {"MB", 1e6},        {"GB", 1e9},           {"KiB", 1024.0},
                                 {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {NULL, 0}};

    return with_unit(text, units, 1, bytes);
}

static bool parse_rate(const char *text, double *per_second) {
    char *end = NULL;
    double number;

    errno = 0;
    number = strtod(text, &end);
    if (errno != 0 || end == text || !isfinite(number) || number <= 0 ||
        (*end != '\0' && strcmp(end, "/s") != 0)) {
        return false;
    }
    *per_second = number;
    return true;
}

static bool is_choice(const char *choices, const char *text) {
    size_t size = strlen(text);

    for (const char *at = choices; *at != '\0';) {
        size_t length = strcspn(at, "|");
        if (length == size && memcmp(at, text, size) == 0) {
            return true;
        }
        at += length + (at[length] == '|' ? 1 : 0);
    }
    return false;
}

static bool parse_int(const char *text, int64_t *out) {
    char *end = NULL;

    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

/* Numbers of the three kinds; `from` names the option or the variable in the error. */
static bool set_number(const cli_option *o, void *place, const char *from, const char *text) {
    int64_t number = 0;
    bool good = o->kind == CLI_INT        ? parse_int(text, &number)
                : o->kind == CLI_DURATION ? cli_duration(text, &number)
                                          : cli_size(text, &number);

    if (!good) {
        (void)cli_usage("%s takes %s, not '%s'", from,
                        o->kind == CLI_INT        ? "a whole number"
                        : o->kind == CLI_DURATION ? "a duration like 250ms, 10s, 5m, 2h or 7d"
                                                  : "a size like 512, 64KiB or 10MB",
                        text);
        return false;
    }
    if ((o->min != 0 || o->max != 0) && (number < o->min || number > o->max)) {
        (void)cli_usage("%s must be between %" PRId64 " and %" PRId64 "%s, not '%s'", from, o->min,
                        o->max, o->kind == CLI_DURATION ? " milliseconds" : "", text);
        return false;
    }
    memcpy(place, &number, sizeof number);
    return true;
}

static bool set(const cli_option *o, void *values, const char *from, const char *text) {
    void *place = (char *)values + o->offset;

    if (o->kind == CLI_CHOICE && !is_choice(o->value, text)) {
        (void)cli_usage("%s takes one of %s, not '%s'", from, o->value, text);
        return false;
    }
    if (o->kind == CLI_RATE) {
        if (!parse_rate(text, (double *)place)) {
            (void)cli_usage("%s takes a rate like 500 or 500/s, not '%s'", from, text);
            return false;
        }
        return true;
    }
    if (o->kind == CLI_TEXT || o->kind == CLI_CHOICE) {
        memcpy(place, &text, sizeof text);
        return true;
    }
    return set_number(o, place, from, text);
}

static bool from_environment(const cli_option *options, void *values) {
    for (const cli_option *o = options; o->kind != CLI_END; o++) {
        const char *text = o->env == NULL ? NULL : getenv(o->env);
        if (text != NULL && text[0] != '\0' && !set(o, values, o->env, text)) {
            return false;
        }
    }
    return true;
}

static const cli_option *find(const cli_option *options, const char *name, size_t size) {
    for (const cli_option *o = options; o->kind != CLI_END; o++) {
        if (o->kind != CLI_HEADING && strlen(o->name) == size && memcmp(o->name, name, size) == 0) {
            return o;
        }
    }
    return NULL;
}

/* One "--name", "--name=value" or "--name value" at argv[*at]. */
static bool take(const cli_option *options, void *values, int argc, char **argv, int *at) {
    const char *name = argv[*at] + 2;
    size_t size = strcspn(name, "=");
    const char *text = name[size] == '=' ? name + size + 1 : NULL;
    const cli_option *o = find(options, name, size);
    char from[64];

    if (o == NULL) {
        (void)cli_usage("there is no option --%.*s; --help lists them", (int)size, name);
        return false;
    }
    (void)snprintf(from, sizeof from, "--%s", o->name);
    if (o->kind == CLI_FLAG) {
        if (text != NULL) {
            (void)cli_usage("%s takes no value", from);
            return false;
        }
        *(bool *)((char *)values + o->offset) = true;
        return true;
    }
    if (text == NULL) {
        if (*at + 1 >= argc) {
            (void)cli_usage("%s needs a value (%s)", from, o->value);
            return false;
        }
        text = argv[++*at];
    }
    return set(o, values, from, text);
}

int cli_parse(const cli_option *options, void *values, int argc, char **argv,
              const char **positional, int positional_room) {
    int count = 0;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return -1;
        }
    }
    if (!from_environment(options, values)) {
        return -2;
    }
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            if (!take(options, values, argc, argv, &i)) {
                return -2;
            }
        } else if (count < positional_room) {
            positional[count++] = argv[i];
        } else {
            (void)cli_usage("'%s' is not expected here; options begin with --", argv[i]);
            return -2;
        }
    }
    return count;
}

void cli_help(const cli_option *options) {
    for (const cli_option *o = options; o->kind != CLI_END; o++) {
        char left[80];

        if (o->kind == CLI_HEADING) {
            printf("\n%s\n", o->help);
            continue;
        }
        (void)snprintf(left, sizeof left, "--%s%s%s", o->name, o->kind == CLI_FLAG ? "" : " ",
                       o->kind == CLI_FLAG ? "" : o->value);
        if (strlen(left) > 30) {
            printf("  %s\n  %-30s %s", left, "", o->help);
        } else {
            printf("  %-30s %s", left, o->help);
        }
        if (o->env != NULL) {
            printf(" [%s]", o->env);
        }
        putchar('\n');
    }
}
