/*
 * The file store where things go wrong: damaged files, full disks, disks that
 * hang, processes that are killed at any moment.
 */
#include "checkpoint/file.h"
#include "checkpoint/file_folder.h"

#include "base/call.h"
#include "base/file.h"
#include "base/thread.h"

#include "support/check.h"
#include "support/failing.h"
#include "support/temp_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TOKEN_A "11111111-1111-4111-8111-111111111111"
#define TOKEN_B "22222222-2222-4222-8222-222222222222"
#define PARTS "/ns.servicebus.windows.net/hub/%24default/"

static temp_folder folder;

static const char *path_in(const char *name) {
    static char path[512];

    (void)snprintf(path, sizeof path, "%s%s%s", folder.path, PARTS, name);
    return path;
}

/* ---- asking ---- */

typedef struct question {
    tmk_store_call call;
    tmk_mutex lock;
    tmk_cond wake;
    int answers;
    tmk_status status;
    tmk_error error;
    char version[160];
    size_t count;
    int64_t sequence;
} question;

static void answered(tmk_store_call *call, const tmk_store_result *result) {
    question *q = (question *)(void *)call;

    tmk_mutex_lock(&q->lock);
    q->answers++;
    q->status = result->status;
    q->error = result->error;
    q->count = result->partition_count + result->member_count;
    q->sequence = result->partition_count > 0 ? result->partitions[0].checkpoint.sequence : -1;
    (void)snprintf(q->version, sizeof q->version, "%s",
                   result->partition_count > 0 ? result->partitions[0].version : result->version);
    tmk_cond_signal(&q->wake);
    tmk_mutex_unlock(&q->lock);
}

static void begin(tmk_store store, const tmk_store_op *op, question *q) {
    memset(q, 0, sizeof *q);
    q->call.answered = answered;
    CHECK_EQ(TMK_OK, tmk_mutex_init(&q->lock, 90, NULL));
    CHECK_EQ(TMK_OK, tmk_cond_init(&q->wake, NULL));
    store.ops->submit(store.self, op, &q->call);
}

static tmk_status end(question *q) {
    tmk_mutex_lock(&q->lock);
    while (q->answers == 0) {
        tmk_cond_wait(&q->wake, &q->lock);
    }
    tmk_mutex_unlock(&q->lock);
    tmk_cond_clear(&q->wake);
    tmk_mutex_clear(&q->lock);
    return q->status;
}

static question ask(tmk_store store, const tmk_store_op *op) {
    question q;

    begin(store, op, &q);
    (void)end(&q);
    return q;
}

static tmk_store open_store(void) {
    tmk_store_file_options o;
    tmk_store store;
    tmk_error err;

    tmk_store_file_options_init(&o);
    o.folder = folder.path;
    o.host = "ns.servicebus.windows.net";
    o.hub = "hub";
    if (tmk_store_file_new(&o, &store, &err) != TMK_OK) {
        fail_msg("%s", err.text);
    }
    return store;
}

static question claim(tmk_store store, const char *token, const char *version, bool take_over) {
    tmk_partition_record r = {.owner = token, .generation = 1};
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_CLAIM,
                       .id = "0",
                       .token = token,
                       .version = version,
                       .record = &r,
                       .take_over = take_over};
    return ask(store, &op);
}

static question write_at(tmk_store store, int64_t sequence, const char *version,
                         int64_t timeout_ms) {
    tmk_partition_record r = {
        .owner = TOKEN_A, .generation = 1, .checkpoint = {true, true, sequence, "1", {NULL, 0}}};
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_WRITE,
                       .id = "0",
                       .token = TOKEN_A,
                       .version = version,
                       .record = &r,
                       .timeout_ms = timeout_ms};
    return ask(store, &op);
}

static question simple(tmk_store store, tmk_store_op_kind kind, const char *id) {
    tmk_store_op op = {
        .kind = kind, .id = id, .token = TOKEN_A, .body = "", .lease_ms = 20000, .version = ""};

    return ask(store, &op);
}

static void put_file(const char *part, const char *text) {
    FILE *f;

    f = fopen(path_in(part), "w");
    CHECK(f != NULL);
    CHECK(fputs(text, f) >= 0);
    CHECK_EQ(0, fclose(f));
}

/* ---- damage ---- */

/* Its checkpoint cannot be made again: nobody may take it for a partition that never was. */
static void a_damaged_partition_is_an_error_not_an_absence(void) {
    tmk_store store = open_store();
    question q;

    put_file("partitions/0.json", "{\"kind\":\"partition\",");
    put_file("partitions/1.json", "");
    q = claim(store, TOKEN_A, "", false);
    CHECK_EQ(TMK_EPROTO, q.status);
    CHECK(strstr(q.error.text, "/partitions/0.json' is damaged") != NULL);
    CHECK_EQ(TMK_EPROTO, simple(store, TMK_STORE_PARTITION_READ, "1").status);
    q = simple(store, TMK_STORE_PARTITION_LIST, "");
    CHECK_EQ(TMK_OK, q.status);
    CHECK_EQ(0, q.count);
    CHECK_EQ(TMK_OK, simple(store, TMK_STORE_PARTITION_DELETE, "0").status);
    CHECK_EQ(TMK_OK, claim(store, TOKEN_A, "", false).status);
    tmk_store_free(store);
}

static void a_damaged_member_is_gone(void) {
    tmk_store store = open_store();

    CHECK_EQ(TMK_OK, simple(store, TMK_STORE_MEMBER_JOIN, "m").status);
    put_file("members/m.json", "\xff\xfe garbage");
    CHECK_EQ(0, simple(store, TMK_STORE_MEMBER_LIST, "").count);
    CHECK_EQ(TMK_CONFLICT, simple(store, TMK_STORE_MEMBER_RENEW, "m").status);
    CHECK_EQ(TMK_OK, simple(store, TMK_STORE_MEMBER_JOIN, "m").status);
    CHECK_EQ(1, simple(store, TMK_STORE_MEMBER_LIST, "").count);
    tmk_store_free(store);
}

static void what_is_no_file_is_no_record(void) {
    tmk_store store = open_store();

    CHECK_EQ(0, mkdir(path_in("partitions/0.json"), 0700));
    CHECK_EQ(TMK_EPROTO, claim(store, TOKEN_A, "", false).status);
    CHECK_EQ(0, mkfifo(path_in("partitions/1.json"), 0600));
    CHECK_EQ(TMK_EPROTO, simple(store, TMK_STORE_PARTITION_READ, "1").status);
    CHECK_EQ(TMK_OK, simple(store, TMK_STORE_PARTITION_LIST, "").status);
    tmk_store_free(store);
}

/* ---- disks that fail ---- */

static _Atomic int failing_write, failing_sync, failing_rename;
static tmk_file_calls os;

static long write_or_fail(int fd, const void *bytes, size_t size) {
    errno = failing_write;
    return failing_write != 0 ? -1 : os.write(fd, bytes, size);
}
static int sync_or_fail(int fd) {
    errno = failing_sync;
    return failing_sync != 0 ? -1 : os.fsync(fd);
}
static int rename_or_fail(const char *from, const char *to) {
    errno = failing_rename;
    return failing_rename != 0 ? -1 : os.rename(from, to);
}

static size_t files_in(const char *part) {
    size_t count = 0;
    DIR *dir;

    dir = opendir(path_in(part));
    CHECK(dir != NULL);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        count += e->d_name[0] != '.';
    }
    (void)closedir(dir);
    return count;
}

static void expect_failed_write(tmk_store store, _Atomic int *fails, int with) {
    question q;

    *fails = with;
    q = write_at(store, 99, "", 0);
    *fails = 0;
    CHECK_EQ(TMK_EIO, q.status);
    CHECK(strstr(q.error.origin, "errno:") != NULL);
    CHECK_EQ(10, simple(store, TMK_STORE_PARTITION_READ, "0").sequence);
    CHECK_EQ(1, files_in("partitions"));
}

static void a_disk_that_fails_is_reported_and_keeps_the_record(void) {
    tmk_store store = open_store();

    CHECK_EQ(TMK_OK, claim(store, TOKEN_A, "", false).status);
    CHECK_EQ(TMK_OK, write_at(store, 10, "", 0).status);
    expect_failed_write(store, &failing_write, ENOSPC);
    expect_failed_write(store, &failing_write, EIO);
    expect_failed_write(store, &failing_sync, EIO);
    expect_failed_write(store, &failing_rename, EROFS);
    CHECK_EQ(TMK_OK, write_at(store, 11, "", 0).status);
    tmk_store_free(store);
}

static void a_folder_that_cannot_be_made_is_said_at_once(void) {
    tmk_store_file_options o;
    tmk_store store;
    tmk_error err = {0};

    tmk_store_file_options_init(&o);
    CHECK_EQ(TMK_EINVAL, tmk_store_file_new(&o, &store, &err));
    CHECK(strstr(err.text, "folder") != NULL);
    o.folder = "/dev/null/x";
    o.host = "h";
    o.hub = "h";
    CHECK_EQ(TMK_EIO, tmk_store_file_new(&o, &store, &err));
    CHECK(strstr(err.text, "/dev/null") != NULL);
}

/* ---- disks that hang ---- */

static tmk_mutex gate;
static tmk_cond gate_moved;
static bool gate_shut, at_gate;

static int sync_at_gate(int fd) {
    (void)fd;
    tmk_mutex_lock(&gate);
    at_gate = gate_shut;
    tmk_cond_broadcast(&gate_moved);
    while (gate_shut) {
        tmk_cond_wait(&gate_moved, &gate);
    }
    at_gate = false;
    tmk_mutex_unlock(&gate);
    return 0;
}

static void set_gate(bool shut) {
    tmk_mutex_lock(&gate);
    gate_shut = shut;
    tmk_cond_broadcast(&gate_moved);
    tmk_mutex_unlock(&gate);
}

static void await_gate(void) {
    tmk_mutex_lock(&gate);
    while (!at_gate) {
        tmk_cond_wait(&gate_moved, &gate);
    }
    tmk_mutex_unlock(&gate);
}

/* The operation under way and those behind it are answered all the same. */
static void a_disk_that_hangs_does_not_hold_the_answers(void) {
    tmk_store store = open_store();
    tmk_partition_record r = {.owner = TOKEN_A, .generation = 1};
    tmk_store_op hung = {.kind = TMK_STORE_PARTITION_WRITE,
                         .id = "0",
                         .token = TOKEN_A,
                         .record = &r,
                         .timeout_ms = 60};
    tmk_store_op behind = {.kind = TMK_STORE_PARTITION_LIST, .timeout_ms = 40};
    question first, second;

    CHECK_EQ(TMK_OK, claim(store, TOKEN_A, "", false).status);
    set_gate(true);
    tmk_file_os.fsync = sync_at_gate;
    begin(store, &hung, &first);
    begin(store, &behind, &second);
    CHECK_EQ(TMK_ETIMEOUT, end(&second));
    CHECK_EQ(TMK_ETIMEOUT, end(&first));
    CHECK(first.error.retryable);
    set_gate(false);
    CHECK_EQ(TMK_OK, write_at(store, 12, "", 0).status);
    tmk_file_os.fsync = sync_or_fail;
    tmk_store_free(store);
}

static void too_many_questions_are_refused_not_kept(void) {
    enum { COUNT = 1100 };
    tmk_store store = open_store();
    tmk_store_op list = {.kind = TMK_STORE_PARTITION_LIST, .timeout_ms = 20000};
    tmk_partition_record r = {.owner = TOKEN_A, .generation = 1};
    tmk_store_op hung = {.kind = TMK_STORE_PARTITION_CLAIM,
                         .id = "0",
                         .token = TOKEN_A,
                         .version = "",
                         .record = &r};
    question first, *questions = calloc(COUNT, sizeof *questions);
    size_t busy = 0;

    CHECK(questions != NULL);
    set_gate(true);
    tmk_file_os.fsync = sync_at_gate;
    begin(store, &hung, &first);
    await_gate();
    for (size_t i = 0; i < COUNT; i++) {
        begin(store, &list, &questions[i]);
    }
    for (size_t i = 1024; i < COUNT; i++) { /* those above the bound are answered meanwhile */
        busy += end(&questions[i]) == TMK_EBUSY;
    }
    CHECK_EQ(COUNT - 1024, busy);
    set_gate(false);
    CHECK_EQ(TMK_OK, end(&first));
    for (size_t i = 0; i < 1024; i++) {
        CHECK_EQ(TMK_OK, end(&questions[i]));
    }
    tmk_file_os.fsync = sync_or_fail;
    free(questions);
    tmk_store_free(store);
}

/* ---- other processes ---- */

/* Holds every lock there is, tells so, and waits to be ended. */
static pid_t process_that_locks(void) {
    char byte;
    int ready[2];
    pid_t pid;

    CHECK_EQ(0, pipe(ready));
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct flock all = {.l_type = F_WRLCK};
        int fd = open(path_in("lock"), O_RDWR);
        bool fine = fd >= 0 && fcntl(fd, F_OFD_SETLK, &all) == 0 && write(ready[1], "x", 1) == 1;
        while (fine) {
            (void)pause();
        }
        _exit(1);
    }
    CHECK_EQ(1, read(ready[0], &byte, 1));
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

static void a_lock_ends_with_its_process(void) {
    tmk_store store = open_store();
    pid_t pid;

    CHECK_EQ(TMK_OK, claim(store, TOKEN_A, "", false).status);
    tmk_store_free(store);
    pid = process_that_locks();
    store = open_store();
    CHECK_EQ(TMK_EBUSY, write_at(store, 10, "", 0).status);
    CHECK_EQ(TMK_OK, simple(store, TMK_STORE_PARTITION_LIST, "").status); /* readers do not mind */
    CHECK_EQ(0, kill(pid, SIGKILL));
    CHECK_EQ(pid, waitpid(pid, NULL, 0));
    CHECK_EQ(TMK_OK, write_at(store, 11, "", 0).status);
    CHECK_EQ(1, files_in("partitions"));
    tmk_store_free(store);
}

/* Adds one to the sequence again and again, each time under the version it has read. */
static void add_for_ever(void) {
    tmk_store store = open_store();

    for (;;) {
        question seen = simple(store, TMK_STORE_PARTITION_READ, "0");
        question wrote = write_at(store, seen.sequence + 1, seen.version, 0);
        if (seen.status != TMK_OK || (wrote.status != TMK_OK && wrote.status != TMK_CONFLICT)) {
            _exit(1);
        }
    }
}

/* Three processes write one record, and are killed in the middle: no write is lost or torn. */
static void start_adders(pid_t pids[3]) {
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            add_for_ever();
        }
    }
}

static void kill_adders(const pid_t pids[3]) {
    for (int i = 0; i < 3; i++) {
        int how = 0;
        CHECK_EQ(0, kill(pids[i], SIGKILL));
        CHECK_EQ(pids[i], waitpid(pids[i], &how, 0));
        CHECK(WIFSIGNALED(how)); /* none had ended by itself, on an error */
    }
}

static void killed_at_any_moment_the_record_is_whole(void) {
    tmk_store store = open_store();
    int64_t before = 0;
    pid_t pids[3];

    CHECK_EQ(TMK_OK, claim(store, TOKEN_A, "", false).status);
    CHECK_EQ(TMK_OK, write_at(store, 0, "", 0).status);
    for (int round = 0; round < 5; round++) {
        question seen;

        tmk_store_free(store); /* no threads while we fork */
        start_adders(pids);
        store = open_store();
        do {
            seen = simple(store, TMK_STORE_PARTITION_READ, "0");
            CHECK_EQ(TMK_OK, seen.status);
            CHECK(seen.sequence >= before);
        } while (seen.sequence < before + 20);
        kill_adders(pids);
        before = simple(store, TMK_STORE_PARTITION_READ, "0").sequence + 1;
        CHECK_EQ(TMK_OK, write_at(store, before, "", 0).status);
    }
    tmk_store_free(store);
}

static void a_process_that_was_killed_is_gone_and_this_one_is_not(void) {
    char self[TMK_FILE_PROCESS_ROOM], child[TMK_FILE_PROCESS_ROOM] = "";
    int pipes[2], how;
    pid_t pid;

    tmk_file_process_self(self);
    CHECK(!tmk_file_process_gone(self));
    CHECK(!tmk_file_process_gone("nonsense"));
    CHECK(!tmk_file_process_gone("1:1:1")); /* another namespace: nobody knows */
    CHECK_EQ(0, pipe(pipes));
    pid = fork();
    if (pid == 0) {
        tmk_file_process_self(child);
        _exit(write(pipes[1], child, sizeof child) != sizeof child || pause());
    }
    CHECK_EQ(sizeof child, read(pipes[0], child, sizeof child));
    CHECK(!tmk_file_process_gone(child));
    CHECK_EQ(0, kill(pid, SIGKILL));
    CHECK_EQ(pid, waitpid(pid, &how, 0));
    CHECK(tmk_file_process_gone(child));
    CHECK_EQ(0, close(pipes[0]));
    CHECK_EQ(0, close(pipes[1]));
}

static void staged_files_of_the_dead_are_swept_away(void) {
    struct timespec long_ago[2] = {{1000000000, 0}, {1000000000, 0}};
    tmk_store store = open_store();

    put_file("partitions/0.json.abc.tmp", "old");
    put_file("partitions/0.json.def.tmp", "young: somebody may be at it");
    CHECK_EQ(0, utimensat(AT_FDCWD, path_in("partitions/0.json.abc.tmp"), long_ago, 0));
    tmk_store_free(store);
    store = open_store();
    CHECK_EQ(1, files_in("partitions"));
    tmk_store_free(store);
}

/* ---- without memory ---- */

static bool ask_ok(tmk_store store, const tmk_store_op *op) {
    tmk_store_result *result = NULL;
    tmk_status st = tmk_store_ask(store, op, &result, NULL);

    result = tmk_store_result_free(result);
    return st == TMK_OK;
}

static bool work_a_little(void) {
    tmk_partition_record r = {.owner = TOKEN_A,
                              .checkpoint = {true, true, 1, "1", {(const uint8_t *)"map", 3}}};
    tmk_store_op ops[] = {{.kind = TMK_STORE_MEMBER_JOIN, .id = "m", .body = "b"},
                          {.kind = TMK_STORE_PARTITION_CLAIM, .id = "0"},
                          {.kind = TMK_STORE_PARTITION_WRITE, .id = "0"},
                          {.kind = TMK_STORE_PARTITION_LIST},
                          {.kind = TMK_STORE_MEMBER_LEAVE, .id = "m"},
                          {.kind = TMK_STORE_PARTITION_DELETE, .id = "0"}};
    tmk_store_file_options o;
    tmk_store store;
    bool good = true;

    tmk_store_file_options_init(&o);
    o.folder = folder.path;
    o.host = "h";
    o.hub = "h";
    if (tmk_store_file_new(&o, &store, NULL) != TMK_OK) {
        return false;
    }
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        ops[i].token = TOKEN_A;
        ops[i].version = "";
        ops[i].record = &r;
        ops[i].lease_ms = 20000;
        good = ask_ok(store, &ops[i]) && good;
    }
    tmk_store_free(store);
    return good;
}

static void without_memory_every_question_is_answered(void) {
    failing_each(work_a_little);
}

static void (*test_run)(void);
static void in_a_folder(void) {
    temp_folder_make(&folder);
    test_run();
    temp_folder_remove(&folder);
}

#define CASE(name)                  \
    static void test_##name(void) { \
        test_run = name;            \
        in_a_folder();              \
    }
CASE(a_damaged_partition_is_an_error_not_an_absence)
CASE(a_damaged_member_is_gone)
CASE(what_is_no_file_is_no_record)
CASE(a_disk_that_fails_is_reported_and_keeps_the_record)
CASE(a_disk_that_hangs_does_not_hold_the_answers)
CASE(too_many_questions_are_refused_not_kept)
CASE(a_lock_ends_with_its_process)
CASE(killed_at_any_moment_the_record_is_whole)
CASE(a_process_that_was_killed_is_gone_and_this_one_is_not)
CASE(staged_files_of_the_dead_are_swept_away)
CASE(without_memory_every_question_is_answered)

int main(void) {
    os = tmk_file_os;
    tmk_file_os.write = write_or_fail;
    tmk_file_os.fsync = sync_or_fail;
    tmk_file_os.rename = rename_or_fail;
    if (tmk_mutex_init(&gate, 80, NULL) != TMK_OK || tmk_cond_init(&gate_moved, NULL) != TMK_OK) {
        return 99;
    }
    return RUN(TEST(test_a_damaged_partition_is_an_error_not_an_absence),
               TEST(test_a_damaged_member_is_gone), TEST(test_what_is_no_file_is_no_record),
               TEST(test_a_disk_that_fails_is_reported_and_keeps_the_record),
               TEST(a_folder_that_cannot_be_made_is_said_at_once),
               TEST(test_a_disk_that_hangs_does_not_hold_the_answers),
               TEST(test_too_many_questions_are_refused_not_kept),
               TEST(test_a_lock_ends_with_its_process),
               TEST(test_killed_at_any_moment_the_record_is_whole),
               TEST(test_a_process_that_was_killed_is_gone_and_this_one_is_not),
               TEST(test_staged_files_of_the_dead_are_swept_away),
               TEST(test_without_memory_every_question_is_answered));
}
