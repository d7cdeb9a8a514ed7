/*
 * Tokens of whoever is logged in to the Azure CLI: runs
 * "az account get-access-token" without a shell, in a process group of its
 * own, with a limit of time and of output. The loop watches its pipes and its
 * end; nothing waits for it but the moment after it has been killed.
 */
#include "auth/fetch_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/token_request.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str.h"

enum { complaint_max = 1024 };

static const tmk_time time_limit = 13 * TMK_SEC;

typedef struct cli_fetch {
    tmk_fetch base;
    pid_t pid; /* 0: not running */
    tmk_watch out, complaint, end;
    tmk_str text;                   /* of standard output: the token among it */
    char complaints[complaint_max]; /* the beginning of standard error */
    size_t complaint_size;
} cli_fetch;

static cli_fetch *of(tmk_fetch *f) {
    return tmk_container_of(f, cli_fetch, base);
}

static void close_watch(cli_fetch *c, tmk_watch *w) {
    tmk_loop_unwatch(c->base.host->loop, w);
    w->fd = tmk_fd_close(w->fd);
}

/* Ends what still runs, its children too, and takes its exit status so that no zombie stays. */
static void reap(cli_fetch *c) {
    if (c->pid > 0) {
        (void)kill(-c->pid, SIGKILL);
        while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        c->pid = 0;
    }
}

static void stop(tmk_fetch *f) {
    cli_fetch *c = of(f);

    if (c->out.ready != NULL) { /* it has begun */
        close_watch(c, &c->out);
        close_watch(c, &c->complaint);
        close_watch(c, &c->end);
    }
    reap(c);
    tmk_str_wipe(&c->text);
}

static void fail(cli_fetch *c, tmk_fetch_outcome outcome, const tmk_error *why) {
    tmk_fetch_failed(&c->base, outcome, why, 0);
}

/* ---- its end ---- */

static bool complains_of_login(const cli_fetch *c) {
    return strstr(c->complaints, "az login") != NULL || strstr(c->complaints, "az account") != NULL;
}

static void on_complaint(cli_fetch *c) {
    tmk_error why;
    char *line_end = strpbrk(c->complaints, "\r\n");

    if (complains_of_login(c)) {
        (void)tmk_fail(&why, TMK_EAUTH, "az", "Azure CLI: nobody is logged in: run 'az login'");
        fail(c, TMK_FETCH_UNAVAILABLE, &why);
        return;
    }
    if (line_end != NULL) {
        *line_end = '\0';
    }
    tmk_redact(c->complaints);
    (void)tmk_fail_retry(&why, TMK_EAUTH, "az", "Azure CLI gave no token: %s", c->complaints);
    fail(c, TMK_FETCH_FAILED, &why);
}

static void judge(cli_fetch *c, bool succeeded) {
    tmk_token_answer answer = {NULL};
    tmk_error why = {0};

    if (!succeeded) {
        on_complaint(c);
    } else if (tmk_cli_answer_parse(tmk_str_slice(&c->text),
                                    tmk_wall_now(tmk_loop_clock(c->base.host->loop)), &answer,
                                    &why) == TMK_OK) {
        tmk_fetch_got(&c->base, &answer);
    } else {
        fail(c, TMK_FETCH_FAILED, &why);
    }
}

/* ---- its output ---- */

static tmk_status take_output(cli_fetch *c, tmk_error *err) {
    char part[4096];
    ssize_t got = 0;
    tmk_status st = TMK_OK;

    while (st == TMK_OK && (got = read(c->out.fd, part, sizeof part)) > 0) {
        if (c->text.size + (size_t)got > tmk_answer_max) {
            st = tmk_fail(err, TMK_ELIMIT, "az", "Azure CLI printed more than a token");
        } else {
            tmk_str_add_slice(&c->text, tmk_slice_of(part, (size_t)got));
        }
    }
    tmk_wipe(part, sizeof part);
    if (got == 0) {
        tmk_loop_unwatch(c->base.host->loop, &c->out);
    }
    return st;
}

static void take_complaint(cli_fetch *c) {
    char part[512];
    ssize_t got;

    while ((got = read(c->complaint.fd, part, sizeof part)) > 0) {
        size_t room = complaint_max - 1 - c->complaint_size;
        size_t size = (size_t)got < room ? (size_t)got : room;

        memcpy(c->complaints + c->complaint_size, part, size);
        c->complaint_size += size;
    }
    if (got == 0) {
        tmk_loop_unwatch(c->base.host->loop, &c->complaint);
    }
}

static void on_output(tmk_watch *w, unsigned events) {
    cli_fetch *c = tmk_container_of(w, cli_fetch, out);
    tmk_error why = {0};

    (void)events;
    if (take_output(c, &why) != TMK_OK) {
        fail(c, TMK_FETCH_FAILED, &why);
    }
}

static void on_complaining(tmk_watch *w, unsigned events) {
    (void)events;
    take_complaint(tmk_container_of(w, cli_fetch, complaint));
}

/* It has ended, and nothing is left of it but what lies in the pipes. */
static void on_ended(cli_fetch *c, int status, bool status_known) {
    tmk_error why = {0};

    c->pid = 0;
    take_complaint(c);
    if (take_output(c, &why) != TMK_OK) {
        fail(c, TMK_FETCH_FAILED, &why);
    } else {
        judge(c, status_known ? WIFEXITED(status) && WEXITSTATUS(status) == 0 : c->text.size > 0);
    }
}

static void on_end(tmk_watch *w, unsigned events) {
    cli_fetch *c = tmk_container_of(w, cli_fetch, end);
    int status = 0;
    pid_t got = waitpid(c->pid, &status, WNOHANG);

    (void)events;
    if (got != 0) {
        /* got < 0: the host has taken the exit status for itself, so the output decides. */
        on_ended(c, status, got > 0);
    }
}

/* ---- its start ---- */

typedef struct pipes {
    int out[2], complaint[2];
} pipes;

static tmk_status make_pipes(pipes *p, tmk_error *err) {
    if (pipe2(p->out, O_CLOEXEC) != 0 || pipe2(p->complaint, O_CLOEXEC) != 0 ||
        fcntl(p->out[0], F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(p->complaint[0], F_SETFL, O_NONBLOCK) != 0) {
        return tmk_fail_errno(err, errno, "create", "pipes to the Azure CLI");
    }
    return TMK_OK;
}

static void close_pipes(pipes *p) {
    for (int i = 0; i < 2; i++) {
        p->out[i] = tmk_fd_close(p->out[i]);
        p->complaint[i] = tmk_fd_close(p->complaint[i]);
    }
}

/* In a fixed folder, so that nothing lying about in the present one is picked up. */
static int prepare_files(posix_spawn_file_actions_t *files, const pipes *p) {
    int failed = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);

    failed = failed != 0 ? failed : posix_spawn_file_actions_adddup2(files, p->out[1], 1);
    failed = failed != 0 ? failed : posix_spawn_file_actions_adddup2(files, p->complaint[1], 2);
    return failed != 0 ? failed : posix_spawn_file_actions_addchdir_np(files, "/bin");
}

/* Threads of ours block all signals; the child must not inherit that. */
static int prepare_signals(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    int failed;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    failed = posix_spawnattr_setsigmask(attributes, &none);
    failed = failed != 0 ? failed : posix_spawnattr_setsigdefault(attributes, &all);
    failed = failed != 0 ? failed : posix_spawnattr_setpgroup(attributes, 0);
    return failed != 0 ? failed
                       : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK |
                                                                  POSIX_SPAWN_SETSIGDEF |
                                                                  POSIX_SPAWN_SETPGROUP);
}

static int spawn(const pipes *p, char *const *arguments, pid_t *pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&files);

    if (failed != 0) {
        return failed;
    }
    failed = posix_spawnattr_init(&attributes);
    if (failed == 0) {
        failed = prepare_files(&files, p);
        failed = failed != 0 ? failed : prepare_signals(&attributes);
        failed =
            failed != 0 ? failed : posix_spawnp(pid, "az", &files, &attributes, arguments, environ);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&files);
    return failed;
}

/* Letters, digits and a few signs: nothing that anything between us and the CLI could expand. */
static bool is_plain(tmk_slice text) {
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.bytes[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != 0 && strchr(".-:/_", c) != NULL))) {
            return false;
        }
    }
    return text.size > 0 && text.bytes[0] != '-';
}

static tmk_status run(cli_fetch *c, const pipes *p, tmk_error *err) {
    tmk_slice scope = tmk_scope_resource(c->base.scope);
    char *resource = tmk_slice_dup(scope);
    char az[] = "az", account[] = "account", get[] = "get-access-token", output[] = "--output",
         json[] = "json", resource_is[] = "--resource", tenant_is[] = "--tenant";
    char *arguments[] = {az,
                         account,
                         get,
                         output,
                         json,
                         resource_is,
                         resource,
                         c->base.credential->tenant != NULL ? tenant_is : NULL,
                         c->base.credential->tenant,
                         NULL};
    int failed;

    if (resource == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "az", "no memory to run the Azure CLI");
    }
    failed = is_plain(scope) ? spawn(p, arguments, &c->pid) : EINVAL;
    tmk_free(resource);
    if (failed == ENOENT || failed == EACCES || failed == ENOTDIR) {
        (void)tmk_fail(err, TMK_EAUTH, "az", "Azure CLI: there is no program 'az' in PATH");
        return TMK_ABSENT;
    }
    return failed == 0 ? TMK_OK : tmk_fail_errno(err, failed, "run", "az");
}

/* ABSENT: it has ended already, and a host that ignores SIGCHLD has let it go. */
static tmk_status watch(cli_fetch *c, pipes *p, tmk_error *err) {
    tmk_loop *loop = c->base.host->loop;
    tmk_status st;

    c->out.fd = p->out[0];
    c->complaint.fd = p->complaint[0];
    p->out[0] = p->complaint[0] = -1;
    c->end.fd = (int)syscall(SYS_pidfd_open, c->pid, 0); /* musl and older glibc have no function */
    if (c->end.fd < 0) {
        return errno == ESRCH ? TMK_ABSENT : tmk_fail_errno(err, errno, "watch", "az");
    }
    st = tmk_loop_watch(loop, &c->end, c->end.fd, TMK_LOOP_READ, err);
    if (st == TMK_OK) {
        st = tmk_loop_watch(loop, &c->out, c->out.fd, TMK_LOOP_READ, err);
    }
    if (st == TMK_OK) {
        st = tmk_loop_watch(loop, &c->complaint, c->complaint.fd, TMK_LOOP_READ, err);
    }
    return st;
}

static void begin(cli_fetch *c) {
    pipes p = {{-1, -1}, {-1, -1}};
    tmk_error why = {0};
    tmk_status st;

    c->out = (tmk_watch){.ready = on_output, .fd = -1};
    c->complaint = (tmk_watch){.ready = on_complaining, .fd = -1};
    c->end = (tmk_watch){.ready = on_end, .fd = -1};
    st = tmk_str_reserve(&c->text, tmk_answer_max)
             ? make_pipes(&p, &why)
             : tmk_fail(&why, TMK_ENOMEM, "az", "no memory to run the Azure CLI");
    if (st == TMK_OK) {
        st = run(c, &p, &why);
    }
    if (st != TMK_OK) {
        close_pipes(&p);
        fail(c, st == TMK_ABSENT ? TMK_FETCH_UNAVAILABLE : TMK_FETCH_FAILED, &why);
        return;
    }
    st = watch(c, &p, &why);
    close_pipes(&p);
    if (st == TMK_ABSENT) {
        on_ended(c, 0, false);
    } else if (st != TMK_OK) {
        fail(c, TMK_FETCH_FAILED, &why);
    } else {
        tmk_debug(&c->base.host->log, "auth.cli", "pid=%d", (int)c->pid);
        tmk_fetch_wait(&c->base, tmk_time_min(time_limit, c->base.credential->timeout));
    }
}

static void fire(tmk_fetch *f) {
    cli_fetch *c = of(f);
    tmk_error why;

    if (c->pid == 0) {
        begin(c);
        return;
    }
    (void)tmk_fail_retry(&why, TMK_ETIMEOUT, "az", "Azure CLI has not answered in time");
    fail(c, TMK_FETCH_FAILED, &why);
}

const tmk_fetch_ops tmk_fetch_by_cli = {sizeof(cli_fetch), fire, stop};
