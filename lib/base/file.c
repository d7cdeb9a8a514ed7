/*
 * Files. A replaced file is either the old or the new one after any crash: the
 * new one is complete on disk before it takes the name, and the name is on
 * disk before the call returns.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/status.h"

static int os_open(const char *path, int flags, unsigned mode) {
    return open(path, flags, mode);
}

static long os_write(int fd, const void *bytes, size_t size) {
    return write(fd, bytes, size);
}

tmk_file_calls tmk_file_os = {os_open, os_write, fsync, rename};

int tmk_fd_close(int fd) {
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

static tmk_status open_regular(const char *path, int *out, tmk_error *err) {
    /* Without O_NONBLOCK a named pipe would hold us here. */
    int fd = tmk_file_os.open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
    struct stat facts = {0};

    if (fd < 0) {
        return errno == ENOENT ? TMK_ABSENT : tmk_fail_errno(err, errno, "open", path);
    }
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        (void)tmk_fd_close(fd);
        return tmk_fail(err, TMK_EINVAL, "base", "'%s' is not a regular file", path);
    }
    *out = fd;
    return TMK_OK;
}

tmk_status tmk_file_read(const char *path, size_t limit, tmk_str *out, tmk_error *err) {
    tmk_status st = TMK_OK;
    tmk_str content = TMK_STR_INIT;
    char part[4096];
    int fd = -1;

    st = open_regular(path, &fd, err);
    if (st != TMK_OK) {
        goto done;
    }
    for (;;) {
        ssize_t got = read(fd, part, sizeof part);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            st = tmk_fail_errno(err, errno, "read", path);
            goto done;
        }
        if (got == 0) {
            break;
        }
        if ((size_t)got > limit - content.size) {
            st = tmk_fail(err, TMK_ELIMIT, "base", "'%s' is larger than %zu bytes", path, limit);
            goto done;
        }
        tmk_str_add_slice(&content, tmk_slice_of(part, (size_t)got));
    }
    if (!tmk_str_ok(&content)) {
        st = tmk_fail(err, TMK_ENOMEM, "base", "no memory to read '%s'", path);
        goto done;
    }
    tmk_str_clear(out);
    *out = content;
    content = (tmk_str)TMK_STR_INIT;

done:
    fd = tmk_fd_close(fd);
    tmk_wipe(part, sizeof part); /* it may have been a token */
    tmk_str_wipe(&content);
    return st;
}

static tmk_status write_all(int fd, tmk_slice body, const char *path, tmk_error *err) {
    while (body.size > 0) {
        long wrote = tmk_file_os.write(fd, body.bytes, body.size);

        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            return tmk_fail_errno(err, wrote == 0 ? ENOSPC : errno, "write", path);
        }
        body = tmk_slice_from(body, (size_t)wrote);
    }
    return TMK_OK;
}

/* A name beside the file that nobody else uses at this moment. */
static char *temp_name(const char *path) {
    tmk_rng rng;

    tmk_rng_seed_system(&rng);
    return tmk_str_format("%s.%016llx.tmp", path, (unsigned long long)tmk_rng_next(&rng));
}

/* The folder part of a path, "." where it has none. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        return tmk_copy_str(".");
    }
    return tmk_slice_dup(tmk_slice_of(path, slash == path ? 1 : (size_t)(slash - path)));
}

tmk_status tmk_file_sync_folder(const char *path, tmk_error *err) {
    tmk_status st = TMK_OK;
    char *folder = folder_of(path);
    int fd = -1;

    if (folder == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "base", "no memory for a file name");
    }
    fd = tmk_file_os.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0 || tmk_file_os.fsync(fd) != 0) {
        st = tmk_fail_errno(err, errno, "sync", folder);
    }
    (void)tmk_fd_close(fd);
    tmk_free(folder);
    return st;
}

static tmk_status write_temp(const char *temp, tmk_slice body, bool durable, tmk_error *err) {
    tmk_status st = TMK_OK;
    int fd = tmk_file_os.open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        return tmk_fail_errno(err, errno, "create", temp);
    }
    st = write_all(fd, body, temp, err);
    if (st == TMK_OK && durable && tmk_file_os.fsync(fd) != 0) {
        st = tmk_fail_errno(err, errno, "sync", temp);
    }
    (void)tmk_fd_close(fd);
    return st;
}

tmk_status tmk_file_stage(const char *path, tmk_slice body, bool durable, char **temp,
                          tmk_error *err) {
    tmk_status st = TMK_OK;
    char *name = temp_name(path);

    if (name == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "base", "no memory for a file name");
    }
    st = write_temp(name, body, durable, err);
    if (st < 0) {
        (void)unlink(name);
        tmk_free(name);
        return st;
    }
    *temp = name;
    return TMK_OK;
}

tmk_status tmk_file_replace(const char *path, tmk_slice body, tmk_error *err) {
    char *temp = NULL;
    tmk_status st = tmk_file_stage(path, body, true, &temp, err);

    if (temp == NULL) {
        return st;
    }
    if (tmk_file_os.rename(temp, path) != 0) {
        st = tmk_fail_errno(err, errno, "replace", path);
        (void)unlink(temp);
    } else {
        st = tmk_file_sync_folder(path, err);
    }
    tmk_free(temp);
    return st;
}

static tmk_status make_one(const char *path, tmk_error *err) {
    struct stat facts = {0};

    if (mkdir(path, 0777) == 0) {
        return TMK_OK;
    }
    if (errno == EEXIST && stat(path, &facts) == 0 && S_ISDIR(facts.st_mode)) {
        return TMK_OK;
    }
    return tmk_fail_errno(err, errno, "make the folder", path);
}

tmk_status tmk_dir_make(const char *path, tmk_error *err) {
    tmk_status st = TMK_OK;
    char *copy = tmk_copy_str(path);

    if (copy == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "base", "no memory for a file name");
    }
    for (char *c = copy; *c != '\0' && st == TMK_OK; c++) {
        if (*c == '/' && c != copy) {
            *c = '\0';
            st = make_one(copy, err);
            *c = '/';
        }
    }
    if (st == TMK_OK) {
        st = make_one(copy, err);
    }
    tmk_free(copy);
    return st;
}
