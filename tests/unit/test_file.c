/* Files on a disk that may be full, slow or broken. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/status.h"
#include "support/check.h"
#include "support/failing_alloc.h"

static char folder[64];

static char *in_folder(const char *name) {
    static char path[512];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static size_t files_in_folder(void) {
    DIR *d = opendir(folder);
    size_t count = 0;

    CHECK(d != NULL);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        count += e->d_name[0] != '.';
    }
    (void)closedir(d);
    return count;
}

static void check_content(const char *name, const char *expected) {
    tmk_str s = TMK_STR_INIT;

    CHECK_EQ(TMK_OK, tmk_file_read(in_folder(name), 1000, &s, NULL));
    CHECK_STR(expected, tmk_str_text(&s));
    tmk_str_clear(&s);
}

static void what_was_replaced_is_read(void) {
    CHECK_EQ(TMK_OK, tmk_file_replace(in_folder("a"), TMK_LIT("one"), NULL));
    check_content("a", "one");
    CHECK_EQ(TMK_OK, tmk_file_replace(in_folder("a"), TMK_LIT("two"), NULL));
    check_content("a", "two");
    CHECK_EQ(TMK_OK, tmk_file_replace(in_folder("a"), tmk_slice_of(NULL, 0), NULL));
    check_content("a", "");
    CHECK_EQ(1, files_in_folder());
    CHECK_EQ(0, unlink(in_folder("a")));
}

static void reading_has_limits_and_clear_refusals(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_error err;

    tmk_str_add(&s, "kept");
    CHECK_EQ(TMK_ABSENT, tmk_file_read(in_folder("none"), 10, &s, &err));
    CHECK_EQ(TMK_OK, tmk_file_replace(in_folder("b"), TMK_LIT("0123456789"), NULL));
    CHECK_EQ(TMK_ELIMIT, tmk_file_read(in_folder("b"), 9, &s, &err));
    CHECK_EQ(TMK_EINVAL, tmk_file_read(folder, 9, &s, &err));
    CHECK_EQ(0, mkfifo(in_folder("pipe"), 0600));
    CHECK_EQ(TMK_EINVAL, tmk_file_read(in_folder("pipe"), 9, &s, &err)); /* does not wait */
    CHECK_STR("kept", tmk_str_text(&s));
    CHECK_EQ(TMK_OK, tmk_file_read(in_folder("b"), 10, &s, &err));
    CHECK_STR("0123456789", tmk_str_text(&s));
    tmk_str_clear(&s);
    CHECK_EQ(0, unlink(in_folder("pipe")));
    CHECK_EQ(0, unlink(in_folder("b")));
}

static tmk_file_calls real;
static int calls_left; /* until one fails */
static int failed_with;

static bool fails(void) {
    if (calls_left-- != 0) {
        return false;
    }
    errno = failed_with;
    return true;
}
static int bad_open(const char *path, int flags, unsigned mode) {
    return fails() ? -1 : real.open(path, flags, mode);
}
static long bad_write(int fd, const void *bytes, size_t size) {
    return fails() ? -1 : real.write(fd, bytes, size > 1 ? size / 2 : size); /* short writes */
}
static int bad_fsync(int fd) {
    return fails() ? -1 : real.fsync(fd);
}
static int bad_rename(const char *from, const char *to) {
    return fails() ? -1 : real.rename(from, to);
}

/* Whichever call fails, the file is the old or the new one, and no temporary file stays. */
static void a_name_without_a_folder_is_in_this_one(void) {
    char here[512];

    CHECK(getcwd(here, sizeof here) != NULL && chdir(folder) == 0);
    CHECK_EQ(TMK_OK, tmk_file_replace("bare", TMK_LIT("content"), NULL));
    CHECK_EQ(0, chdir(here));
    check_content("bare", "content");
    CHECK_EQ(1, files_in_folder());
    CHECK_EQ(0, unlink(in_folder("bare")));
}

static void each_system_call_may_fail(void) {
    tmk_status st = TMK_EIO;

    real = tmk_file_os;
    tmk_file_os = (tmk_file_calls){bad_open, bad_write, bad_fsync, bad_rename};
    for (int n = 0; st < 0; n++) {
        tmk_str s = TMK_STR_INIT;
        tmk_error err = {0};

        calls_left = -1;
        CHECK_EQ(TMK_OK, tmk_file_replace(in_folder("c"), TMK_LIT("old"), NULL));
        calls_left = n;
        failed_with = ENOSPC;
        st = tmk_file_replace(in_folder("c"), TMK_LIT("new"), &err);
        CHECK(st == TMK_OK || (st == TMK_EIO && strcmp(err.origin, "errno:28") == 0));
        calls_left = -1;
        CHECK_EQ(TMK_OK, tmk_file_read(in_folder("c"), 10, &s, NULL));
        CHECK(strcmp(tmk_str_text(&s), "new") == 0 || st < 0);
        CHECK(strcmp(tmk_str_text(&s), "new") == 0 || strcmp(tmk_str_text(&s), "old") == 0);
        CHECK_EQ(1, files_in_folder());
        tmk_str_clear(&s);
        CHECK(n < 20);
    }
    tmk_file_os = real;
    CHECK_EQ(0, unlink(in_folder("c")));
}

static void an_interrupted_write_goes_on(void) {
    real = tmk_file_os;
    tmk_file_os = (tmk_file_calls){real.open, bad_write, real.fsync, real.rename};
    calls_left = 1;
    failed_with = EINTR;
    CHECK_EQ(TMK_OK, tmk_file_replace(in_folder("d"), TMK_LIT("interrupted"), NULL));
    tmk_file_os = real;
    check_content("d", "interrupted");
    CHECK_EQ(0, unlink(in_folder("d")));
}

static void memory_may_run_out(void) {
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_status st = tmk_file_replace(in_folder("e"), TMK_LIT("body"), NULL);
        tmk_str s = TMK_STR_INIT;

        if (st == TMK_OK) {
            st = tmk_file_read(in_folder("e"), 10, &s, NULL);
        }
        if (st == TMK_OK) {
            st = tmk_dir_make(in_folder("sub"), NULL);
        }
        CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
        tmk_str_clear(&s);
        CHECK_EQ(0, failing_live());
    }
    CHECK_EQ(0, rmdir(in_folder("sub")));
    CHECK_EQ(0, unlink(in_folder("e")));
}

static void folders_are_made_with_their_parents(void) {
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_dir_make(in_folder("x/y//z/"), NULL));
    CHECK_EQ(TMK_OK, tmk_dir_make(in_folder("x/y/z"), NULL));
    CHECK_EQ(TMK_OK, tmk_file_replace(in_folder("x/y/z/f"), TMK_LIT("1"), NULL));
    CHECK_EQ(TMK_EIO, tmk_dir_make(in_folder("x/y/z/f"), &err));
    CHECK_EQ(TMK_EIO, tmk_dir_make(in_folder("x/y/z/f/g"), &err));
    CHECK_EQ(TMK_EIO, tmk_file_replace(in_folder("nowhere/f"), TMK_LIT("1"), &err));
    CHECK_EQ(0, unlink(in_folder("x/y/z/f")));
    CHECK_EQ(0, rmdir(in_folder("x/y/z")));
    CHECK_EQ(0, rmdir(in_folder("x/y")));
    CHECK_EQ(0, rmdir(in_folder("x")));
}

static void closing_nothing_is_fine(void) {
    CHECK_EQ(-1, tmk_fd_close(-1));
}

int main(void) {
    int failed = 0;

    (void)snprintf(folder, sizeof folder, "%s", "/tmp/tmk-file-XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    failed = RUN(TEST(what_was_replaced_is_read), TEST(reading_has_limits_and_clear_refusals),
                 TEST(each_system_call_may_fail), TEST(an_interrupted_write_goes_on),
                 TEST(memory_may_run_out), TEST(folders_are_made_with_their_parents),
                 TEST(a_name_without_a_folder_is_in_this_one), TEST(closing_nothing_is_fine));
    return rmdir(folder) != 0 || failed != 0;
}
