/* Starting, moving and ending Azurite. */
#include "support/azurite.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_azurite(const azurite *a, const char *program, const char *clock, const int in[2],
                        const int out[2]) {
    static const char *const common[] = {"--blobHost",         "127.0.0.1",
                                         "--blobPort",         "0",
                                         "--silent",           "--inMemoryPersistence",
                                         "--disableTelemetry", "--skipApiVersionCheck"};
    const char *argv[24] = {"node", "--require", clock, program};
    size_t count = 4;

    for (size_t i = 0; i < sizeof common / sizeof *common; i++) {
        argv[count++] = common[i];
    }
    if (a->certificate != NULL) {
        argv[count++] = "--oauth";
        argv[count++] = "basic";
        argv[count++] = "--cert";
        argv[count++] = a->certificate;
        argv[count++] = "--key";
        argv[count++] = a->key;
    }
    (void)dup2(in[0], STDIN_FILENO);
    (void)dup2(out[1], STDOUT_FILENO);
    (void)close(in[0]);
    (void)close(in[1]);
    (void)close(out[0]);
    (void)close(out[1]);
    (void)setenv("AZURITE_ACCOUNTS", AZURITE_ACCOUNT ":" AZURITE_KEY, 1);
    (void)execvp("node", (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Waits for the line that tells the port; false: it ended before. */
static bool read_port(azurite *a) {
    static const char before[] = "://127.0.0.1:";
    char line[512];

    while (fgets(line, sizeof line, a->out) != NULL) {
        const char *at = strstr(line, before);
        if (at != NULL && strstr(line, "successfully listens") != NULL) {
            a->port = (int)strtol(at + sizeof before - 1, NULL, 10);
            return true;
        }
    }
    return false;
}

static bool start(azurite *a, const char *sources, const char **why) {
    const char *protocol = a->certificate == NULL ? "http" : "https";
    char folder[PATH_MAX], program[PATH_MAX + 64], clock[PATH_MAX + 64];
    int in[2], out[2];

    /* Node looks for a relative one among its modules. */
    if (realpath(sources, folder) == NULL) {
        *why = "there is no such folder of tests";
        return false;
    }
    (void)snprintf(program, sizeof program, "%s/interop/node_modules/azurite/dist/src/blob/main.js",
                   folder);
    (void)snprintf(clock, sizeof clock, "%s/support/azurite_clock.cjs", folder);
    if (access(program, R_OK) != 0) {
        *why = "Azurite is not installed; './run setup' does it";
        return false;
    }
    if (pipe(in) != 0 || pipe(out) != 0) {
        *why = "no pipes";
        return false;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    a->pid = fork();
    if (a->pid == 0) {
        run_azurite(a, program, clock, in, out);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    a->in = fdopen(in[1], "w");
    a->out = fdopen(out[0], "r");
    if (a->pid < 0 || a->in == NULL || a->out == NULL || !read_port(a)) {
        azurite_stop(a);
        *why = "Azurite did not start: is there a node of version 20 or newer?";
        return false;
    }
    (void)snprintf(a->connection_string, sizeof a->connection_string,
                   "DefaultEndpointsProtocol=%s;AccountName=" AZURITE_ACCOUNT
                   ";AccountKey=" AZURITE_KEY ";BlobEndpoint=%s://127.0.0.1:%d/" AZURITE_ACCOUNT,
                   protocol, protocol, a->port);
    return true;
}

bool azurite_start(azurite *a, const char *sources, const char **why) {
    memset(a, 0, sizeof *a);
    return start(a, sources, why);
}

bool azurite_start_tls(azurite *a, const char *sources, const char *certificate, const char *key,
                       const char **why) {
    memset(a, 0, sizeof *a);
    a->certificate = certificate;
    a->key = key;
    return start(a, sources, why);
}

void azurite_advance(azurite *a, int64_t ms) {
    char line[512];

    (void)fprintf(a->in, "advance %lld\n", (long long)ms);
    (void)fflush(a->in);
    while (fgets(line, sizeof line, a->out) != NULL && strcmp(line, "advanced\n") != 0) {
    }
}

void azurite_stop(azurite *a) {
    if (a->in != NULL) {
        (void)fclose(a->in);
    }
    if (a->pid > 0) {
        (void)kill(a->pid, SIGTERM);
        (void)waitpid(a->pid, NULL, 0);
    }
    if (a->out != NULL) {
        (void)fclose(a->out);
    }
    memset(a, 0, sizeof *a);
}
