/*
 * tidemark: one program with subcommands. Exit codes: 0 ok, 1 failed, 2 usage.
 */
#include "commands.h"

#include <tidemark/version.h>

#include <stdio.h>
#include <string.h>

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} command;

static const command commands[] = {
#define X(name, what) {#name, cmd_##name, what},
    TIDEMARK_COMMANDS(X)
#undef X
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void help(void) {
    puts("usage: tidemark COMMAND [OPTIONS]     tidemark COMMAND --help\n");
    for (int i = 0; i < COMMANDS; i++) {
        printf("  %-12s %s\n", commands[i].name, commands[i].what);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        help();
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help();
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("tidemark %s\n", tmk_version());
        return 0;
    }
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 2, argv + 2);
        }
    }
    fprintf(stderr, "tidemark: there is no command '%s'; tidemark --help lists them\n", argv[1]);
    return 2;
}
