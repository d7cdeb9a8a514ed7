/*
 * Files of lines on a disk that fails: each write and each sync in turn, once and from then on,
 * with half of what was to be written. Whoever was told that a line is there finds it, whole.
 */
#include "tools/tidemark/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "support/check.h"
#include "support/temp_folder.h"

/* ---- the calls that fail ---- */

static int fails_at = -1, calls;
static bool from_then_on, full;

static bool fails(void) {
    int n = calls++;

    return fails_at >= 0 && (n == fails_at || (from_then_on && n > fails_at));
}

ssize_t write(int fd, const void *bytes, size_t size) {
    bool now = full;

    full = false;
    if (now || (fails() && size < 2)) {
        errno = ENOSPC;
        return -1;
    }
    if (calls - 1 == fails_at || (from_then_on && fails_at >= 0 && calls > fails_at)) {
        full = true; /* as a disk does: it takes a part, and then nothing */
        return (ssize_t)syscall(SYS_write, fd, bytes, size / 2);
    }
    /* Now and then only a part is taken. */
    return (ssize_t)syscall(SYS_write, fd, bytes, calls % 3 == 0 && size > 1 ? size / 2 : size);
}

int fsync(int fd) {
    if (fails()) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

/* ---- reading back ---- */

static temp_folder folder;
static char path[300], content[8192];

static void read_back(void) {
    FILE *f = fopen(path, "r");
    size_t got = f == NULL ? 0 : fread(content, 1, sizeof content - 1, f);

    content[got] = '\0';
    if (f != NULL) {
        (void)fclose(f);
    }
}

/* How often it stands there, on a line of its own. */
static int times(const char *line) {
    size_t size = strlen(line);
    int count = 0;

    for (const char *at = content; (at = strstr(at, line)) != NULL; at += size) {
        count += at == content || at[-1] == '\n';
    }
    return count;
}

/* ---- lives ---- */

enum { LINES = 5 };

static const char *line_of(int n) {
    static char line[64];

    (void)snprintf(line, sizeof line, "{\"number\":%d,\"text\":\"letter %d\"}\n", n, n);
    return line;
}

/* false: nothing failed. */
static bool live_once(int at, bool from, bool reopened) {
    bool kept[LINES] = {false};
    cli_lines l;
    int n = 0;

    temp_folder_make(&folder);
    (void)snprintf(path, sizeof path, "%s/letters", folder.path);
    CHECK(cli_lines_open(&l, path));
    fails_at = at;
    from_then_on = from;
    calls = 0;
    full = false;
    for (; n < LINES; n++) {
        kept[n] = cli_lines_put(&l, line_of(n), strlen(line_of(n)), true);
    }
    bool failed = calls > at;
    fails_at = -1; /* the disk works again */
    full = false;
    if (reopened) {
        cli_lines_close(&l);
        CHECK(cli_lines_open(&l, path));
    }
    for (n = 0; n < LINES; n++) {
        CHECK(kept[n] || failed);
        CHECK(kept[n] || cli_lines_put(&l, line_of(n), strlen(line_of(n)), true));
    }
    cli_lines_close(&l);
    read_back();
    for (n = 0; n < LINES; n++) {
        CHECK(times(line_of(n)) >= 1);
        CHECK(times(line_of(n)) == 1 || failed);
    }
    temp_folder_remove(&folder);
    return failed;
}

static void every_write_and_sync_may_fail(void) {
    int rounds = 0;

    for (int way = 0; way < 4; way++) {
        for (int at = 0; live_once(at, (way & 1) != 0, (way & 2) != 0); at++) {
            rounds++;
        }
    }
    CHECK(rounds > 4 * 2 * LINES);
}

static void what_a_crash_has_left_is_not_continued(void) {
    cli_lines l;
    FILE *f = NULL;

    temp_folder_make(&folder);
    (void)snprintf(path, sizeof path, "%s/letters", folder.path);
    f = fopen(path, "w");
    CHECK(f != NULL && fputs("{\"whole\":1}\n{\"to", f) >= 0 && fclose(f) == 0);
    CHECK(cli_lines_open(&l, path));
    CHECK(cli_lines_put(&l, line_of(0), strlen(line_of(0)), true));
    cli_lines_close(&l);
    read_back();
    CHECK_EQ(1, times("{\"whole\":1}\n"));
    CHECK_EQ(1, times("{\"to\n"));
    CHECK_EQ(1, times(line_of(0)));
    temp_folder_remove(&folder);
}

static void what_cannot_be_opened_is_said(void) {
    cli_lines l;

    CHECK(!cli_lines_open(&l, "/dev/null/x"));
    CHECK_EQ(ENOTDIR, errno);
}

int main(void) {
    return RUN(TEST(every_write_and_sync_may_fail), TEST(what_a_crash_has_left_is_not_continued),
               TEST(what_cannot_be_opened_is_said));
}
