/* See lines.h. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether it may be read is another question: then it is taken for whole. */
static bool ends_torn(int fd, const char *path) {
    struct stat facts;
    char last = '\n';
    int reading = -1;

    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size == 0) {
        return false;
    }
    reading = open(path, O_RDONLY | O_CLOEXEC);
    if (reading < 0) {
        return false;
    }
    (void)!pread(reading, &last, 1, facts.st_size - 1);
    (void)close(reading);
    return last != '\n';
}

bool cli_lines_open(cli_lines *l, const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    if (fd < 0) {
        return false;
    }
    *l = (cli_lines){.fd = fd, .torn = ends_torn(fd, path)};
    return true;
}

static bool write_all(cli_lines *l, const char *text, size_t size) {
    while (size > 0) {
        ssize_t wrote = write(l->fd, text, size);

        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            errno = wrote == 0 ? ENOSPC : errno;
            return false;
        }
        text += wrote;
        size -= (size_t)wrote;
        l->torn = text[-1] != '\n';
    }
    return true;
}

bool cli_lines_put(cli_lines *l, const char *line, size_t size, bool synced) {
    if (l->torn && !write_all(l, "\n", 1)) {
        return false;
    }
    /* Where a pipe or a device cannot be synced, there is nothing to sync. */
    return write_all(l, line, size) &&
           (!synced || fsync(l->fd) == 0 || errno == EINVAL || errno == EROFS);
}

void cli_lines_close(cli_lines *l) {
    if (l->fd >= 0) {
        (void)close(l->fd);
    }
    l->fd = -1;
}
