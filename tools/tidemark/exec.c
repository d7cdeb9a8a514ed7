/* Children that handle events. See exec.h. */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

typedef struct child {
    pthread_mutex_t lock; /* one exchange at a time */
    pid_t pid;            /* 0: not running */
    int to;               /* its standard input */
    FILE *from;           /* its standard output */
} child;

struct cli_exec {
    char *command;
    size_t count;
    child children[];
};

cli_exec *cli_exec_new(const char *command, size_t children) {
    cli_exec *x = calloc(1, sizeof *x + children * sizeof x->children[0]);

    if (x == NULL || (x->command = strdup(command)) == NULL) {
        free(x);
        return NULL;
    }
    x->count = children;
    for (size_t i = 0; i < children; i++) {
        pthread_mutex_init(&x->children[i].lock, NULL);
        x->children[i].to = -1;
    }
    return x;
}

static void end_child(child *c) {
    if (c->pid == 0) {
        return;
    }
    close(c->to);
    fclose(c->from);
    while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    c->pid = 0;
    c->to = -1;
    c->from = NULL;
}

cli_exec *cli_exec_free(cli_exec *x) {
    for (size_t i = 0; x != NULL && i < x->count; i++) {
        end_child(&x->children[i]);
        pthread_mutex_destroy(&x->children[i].lock);
    }
    if (x != NULL) {
        free(x->command);
    }
    free(x);
    return NULL;
}

static bool spawn(posix_spawn_file_actions_t *actions, char *command, pid_t *pid) {
    char shell[] = "/bin/sh", flag[] = "-c";
    char *argv[] = {shell, flag, command, NULL};
    posix_spawnattr_t attributes;
    sigset_t none;
    bool good;

    sigemptyset(&none); /* handler threads block all signals; a child must not inherit that */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    good = posix_spawn(pid, shell, actions, &attributes, argv, environ) == 0;
    posix_spawnattr_destroy(&attributes);
    return good;
}

static bool start_child(cli_exec *x, child *c) {
    posix_spawn_file_actions_t actions;
    int in[2], out[2];
    bool good;

    if (pipe2(in, O_CLOEXEC) < 0) {
        return false;
    }
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return false;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    good = spawn(&actions, x->command, &c->pid);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    c->from = good ? fdopen(out[0], "r") : NULL;
    c->to = in[1];
    if (c->from == NULL) {
        close(in[1]); /* a program that was started sees its input end, and ends */
        close(out[0]);
        if (good) {
            (void)waitpid(c->pid, NULL, 0);
        }
        c->pid = 0;
    }
    return c->from != NULL;
}

static bool write_all(int fd, const char *text, size_t size) {
    while (size > 0) {
        ssize_t took = write(fd, text, size);
        if (took < 0 && errno == EINTR) {
            continue;
        }
        if (took <= 0) {
            return false;
        }
        text += took;
        size -= (size_t)took;
    }
    return true;
}

/* What a child's line says; false: nothing we know. */
static bool verdict_of(const char *line, tmk_verdict *out, int64_t *retry_ms) {
    static const struct {
        const char *word;
        tmk_verdict verdict;
    } words[] = {{"done", TMK_DONE},
                 {"retry", TMK_RETRY},
                 {"dead_letter", TMK_DEAD_LETTER},
                 {"skip", TMK_SKIP},
                 {"stop", TMK_STOP}};
    size_t size = strcspn(line, " \r\n");

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].word) == size && memcmp(words[i].word, line, size) == 0) {
            *out = words[i].verdict;
            *retry_ms = line[size] == ' ' ? strtoll(line + size + 1, NULL, 10) : -1;
            return true;
        }
    }
    return false;
}

static tmk_verdict exchange(cli_exec *x, child *c, const cli_buffer *line, int64_t *retry_ms) {
    tmk_verdict verdict = TMK_RETRY;
    char answer[256];

    if (c->pid == 0 && !start_child(x, c)) {
        fprintf(stderr, "tidemark: cannot start '%s': %s; the event is retried\n", x->command,
                strerror(errno));
        return TMK_RETRY;
    }
    if (!write_all(c->to, line->text, line->size) ||
        fgets(answer, sizeof answer, c->from) == NULL) {
        fprintf(stderr, "tidemark: '%s' has ended without a verdict; the event is retried\n",
                x->command);
        end_child(c);
        return TMK_RETRY;
    }
    if (!verdict_of(answer, &verdict, retry_ms)) {
        fprintf(stderr,
                "tidemark: '%s' answered '%.*s'; a verdict is done, retry [MS], dead_letter, skip "
                "or stop; the event "
                "is retried\n",
                x->command, (int)strcspn(answer, "\r\n"), answer);
    }
    return verdict;
}

tmk_verdict cli_exec_handle(cli_exec *x, size_t lane, const cli_buffer *line, int64_t *retry_ms) {
    child *c = &x->children[lane % x->count];
    tmk_verdict verdict;

    pthread_mutex_lock(&c->lock);
    verdict = exchange(x, c, line, retry_ms);
    pthread_mutex_unlock(&c->lock);
    return verdict;
}
