/* See failing_io.h. */
#include "support/failing_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "base/file.h"

static tmk_file_calls real;
static failing_mode mode;
static atomic_size_t calls;
static size_t round_number;
static bool begun;
static atomic_bool hit, spared;
static const char *_Atomic what = "";

static bool fails(const char *call) {
    size_t n = 0;

    if (atomic_load(&spared)) {
        return false;
    }
    n = atomic_fetch_add(&calls, 1);
    if (mode == FAILING_ONCE ? n != round_number : n < round_number) {
        return false;
    }
    if (!atomic_exchange(&hit, true)) {
        atomic_store(&what, call);
    }
    return true;
}

static int failing_open(const char *path, int flags, unsigned access) {
    if ((flags & (O_WRONLY | O_RDWR | O_DIRECTORY)) != 0 && fails("open")) {
        errno = EMFILE;
        return -1;
    }
    return real.open(path, flags, access);
}

static long failing_write(int fd, const void *bytes, size_t size) {
    if (fails("write")) {
        long half = real.write(fd, bytes, size / 2);

        (void)half;
        errno = ENOSPC;
        return -1;
    }
    return real.write(fd, bytes, size);
}

static int failing_fsync(int fd) {
    if (fails("fsync")) {
        errno = EIO;
        return -1;
    }
    return real.fsync(fd);
}

static int failing_rename(const char *from, const char *to) {
    if (fails("rename")) {
        errno = EIO;
        return -1;
    }
    return real.rename(from, to);
}

void failing_io_begin(failing_mode m) {
    real = tmk_file_os;
    tmk_file_os = (tmk_file_calls){failing_open, failing_write, failing_fsync, failing_rename};
    mode = m;
    begun = false;
    atomic_store(&spared, false);
}

bool failing_io_next(void) {
    if (begun && !atomic_load(&hit)) {
        tmk_file_os = real;
        return false;
    }
    round_number = begun ? round_number + 1 : 0;
    begun = true;
    atomic_store(&calls, 0);
    atomic_store(&hit, false);
    atomic_store(&what, "");
    return true;
}

bool failing_io_hit(void) {
    return atomic_load(&hit);
}

size_t failing_io_round(void) {
    return round_number;
}

void failing_io_spare(bool on) {
    atomic_store(&spared, on);
}

const char *failing_io_what(void) {
    return atomic_load(&what);
}
