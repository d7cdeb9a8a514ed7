/*
 * Command lines of the programs: a table with each kind of option, and the input
 * cut at NULs or line ends into arguments. Oracle: numbers that are taken are within
 * their bounds, a choice is one of those offered, and what is refused is said once.
 */
#include "tools/tidemark/options.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

enum { ARGUMENTS_MAX = 32, POSITIONAL = 4 };

typedef struct values {
    bool flag;
    const char *text, *choice;
    int64_t number, duration, size;
    double rate;
} values;

static const cli_option table[] = {
    {CLI_HEADING, NULL, 0, NULL, NULL, "a heading", 0, 0},
    {CLI_FLAG, "flag", offsetof(values, flag), NULL, NULL, "", 0, 0},
    {CLI_TEXT, "text", offsetof(values, text), "S", NULL, "", 0, 0},
    {CLI_CHOICE, "choice", offsetof(values, choice), "one|two|", NULL, "", 0, 0},
    {CLI_INT, "number", offsetof(values, number), "N", NULL, "", -5, 1000},
    {CLI_DURATION, "duration", offsetof(values, duration), "D", NULL, "", 10, 86400000},
    {CLI_SIZE, "size", offsetof(values, size), "B", NULL, "", 0, 0},
    {CLI_RATE, "rate", offsetof(values, rate), "R", NULL, "", 0, 0},
    {CLI_END, NULL, 0, NULL, NULL, NULL, 0, 0}};

static FILE *said;

static void check_values(const values *v) {
    tmk_assert(v->number >= -5 && v->number <= 1000);
    tmk_assert(v->duration >= 10 && v->duration <= 86400000);
    tmk_assert(v->size >= 0 && v->rate > 0);
    tmk_assert(strcmp(v->choice, "one") == 0 || strcmp(v->choice, "two") == 0 ||
               v->choice[0] == '\0');
}

static int cut(char *line, size_t size, char **argv) {
    int argc = 0;

    for (size_t from = 0; from < size && argc < ARGUMENTS_MAX;) {
        argv[argc++] = line + from;
        from += strcspn(line + from, "\n");
        line[from++] = '\0';
    }
    return argc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    values v = {.choice = "one", .number = 1, .duration = 10, .rate = 1};
    char *argv[ARGUMENTS_MAX];
    const char *positional[POSITIONAL];
    char *line = tmk_alloc(size + 1);
    int64_t ignored;
    int argc, st;

    if (said == NULL) { /* what is refused is told on stderr: here, to nobody */
        said = fopen("/dev/null", "w");
        tmk_assert(said != NULL);
        stderr = said;
    }
    if (line == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(line, data, size);
    }
    line[size] = '\0';
    argc = cut(line, size, argv);
    st = cli_parse(table, &v, argc, argv, positional, POSITIONAL);
    tmk_assert(st >= -2 && st <= POSITIONAL && st <= argc);
    check_values(&v);
    for (int i = 0; i < st; i++) {
        tmk_assert(strncmp(positional[i], "--", 2) != 0);
    }
    for (int i = 0; i < argc; i++) {
        tmk_assert(!cli_duration(argv[i], &ignored) || ignored >= 0);
        tmk_assert(!cli_size(argv[i], &ignored) || ignored >= 0);
    }
    tmk_free(line);
    return 0;
}
