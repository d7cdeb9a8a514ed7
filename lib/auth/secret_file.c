/* Files with secrets: see the header. */
#include "auth/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/file.h"
#include "base/status.h"

/* A regular file, so that a pipe or a device put there cannot hold us. */
static tmk_status open_regular(const char *path, bool follow, int *out, tmk_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW));
    struct stat facts;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return TMK_ABSENT;
    }
    if (fd < 0) {
        return tmk_fail_errno(err, errno, "open", path);
    }
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        (void)tmk_fd_close(fd);
        return tmk_fail(err, TMK_EINVAL, "file", "'%s' is not a regular file", path);
    }
    *out = fd;
    return TMK_OK;
}

/* Reads up to room bytes. */
static tmk_status read_all(int fd, const char *path, uint8_t *bytes, size_t room, size_t *got,
                           tmk_error *err) {
    *got = 0;
    while (*got < room) {
        ssize_t part = read(fd, bytes + *got, room - *got);

        if (part < 0 && errno != EINTR) {
            return tmk_fail_errno(err, errno, "read", path);
        }
        if (part == 0) {
            break;
        }
        *got += part > 0 ? (size_t)part : 0;
    }
    return TMK_OK;
}

tmk_status tmk_secret_file_read(const char *path, size_t limit, bool follow, tmk_secret **out,
                                tmk_error *err) {
    uint8_t *bytes = NULL;
    size_t got = 0;
    int fd = -1;
    tmk_status st;

    tmk_assert(limit <= tmk_secret_file_max);
    st = open_regular(path, follow, &fd, err);
    if (st != TMK_OK) {
        return st;
    }
    bytes = tmk_alloc(limit + 1);
    if (bytes == NULL) {
        st = tmk_fail(err, TMK_ENOMEM, "file", "no memory to read '%s'", path);
        goto done;
    }
    st = read_all(fd, path, bytes, limit + 1, &got, err);
    if (st == TMK_OK && got > limit) {
        st = tmk_fail(err, TMK_ELIMIT, "file", "'%s' is larger than %zu bytes", path, limit);
    }
    if (st == TMK_OK) {
        tmk_secret *made = tmk_secret_new(tmk_slice_of(bytes, got));

        if (made == NULL) {
            st = tmk_fail(err, TMK_ENOMEM, "file", "no memory to read '%s'", path);
        } else {
            *out = made;
        }
    }

done:
    if (bytes != NULL) {
        tmk_wipe(bytes, limit + 1);
    }
    tmk_free(bytes);
    fd = tmk_fd_close(fd);
    return st;
}
