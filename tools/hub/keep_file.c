/* Writing one partition's files. See keep_file.h; reading them is in keep_recover.c. */
#include "hub/keep_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"

void tmk_hub_file_init(tmk_hub_file *f) {
    memset(f, 0, sizeof *f);
    f->fd = -1;
    f->last_offset = -1;
}

void tmk_hub_file_clear(tmk_hub_file *f) {
    f->fd = tmk_fd_close(f->fd);
    tmk_free(f->firsts);
    tmk_free(f->folder);
    tmk_hub_file_init(f);
}

static char *segment_path(const tmk_hub_file *f, int64_t first) {
    return tmk_str_format("%s/%020" PRId64 ".seg", f->folder, first);
}

static tmk_status write_all(int fd, tmk_slice bytes, const char *what, tmk_error *err) {
    while (bytes.size > 0) {
        long n = tmk_file_os.write(fd, bytes.bytes, bytes.size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return tmk_fail_errno(err, n == 0 ? ENOSPC : errno, "write to", what);
        }
        bytes = tmk_slice_from(bytes, (size_t)n);
    }
    return TMK_OK;
}

/* ---- segments ---- */

static tmk_status note_segment(tmk_hub_file *f, int64_t first) {
    if (f->count == f->room) {
        size_t room = f->room == 0 ? 16 : 2 * f->room;
        int64_t *firsts = tmk_resize(f->firsts, room, sizeof *firsts);
        if (firsts == NULL) {
            return TMK_ENOMEM;
        }
        f->firsts = firsts;
        f->room = room;
    }
    f->firsts[f->count++] = first;
    return TMK_OK;
}

static tmk_status write_head(tmk_hub_file *f, int fd, const tmk_hub_record *next, tmk_error *err) {
    tmk_hub_segment head = {next->sequence, next->offset, f->last_offset, f->last_ms,
                            f->created_ms};
    tmk_str bytes = TMK_STR_INIT;
    tmk_status st;

    tmk_hub_segment_add(&bytes, &head);
    st = tmk_str_ok(&bytes) ? write_all(fd, tmk_str_slice(&bytes), f->folder, err)
                            : tmk_fail(err, TMK_ENOMEM, "hub", "no memory for a log file");
    tmk_str_clear(&bytes);
    return st;
}

/* Begins a segment whose first record is `next`. A file of that name is what a failure left. */
static tmk_status begin_segment(tmk_hub_file *f, const tmk_hub_record *next, tmk_error *err) {
    char *path = segment_path(f, next->sequence);
    int fd = -1;
    tmk_status st = TMK_OK;

    if (path == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for a file name");
    }
    fd = tmk_file_os.open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        st = tmk_fail_errno(err, errno, "create", path);
        goto done;
    }
    st = write_head(f, fd, next, err);
    if (st == TMK_OK && note_segment(f, next->sequence) < 0) {
        st = tmk_fail(err, TMK_ENOMEM, "hub", "no memory for one more log file");
    }
    if (st < 0) {
        (void)unlink(path);
        goto done;
    }
    tmk_fd_close(f->fd);
    f->fd = fd;
    fd = -1;
    f->size = 0;
    f->written = TMK_HUB_SEGMENT_HEAD;
    f->begun = true;
done:
    tmk_fd_close(fd);
    tmk_free(path);
    return st;
}

/* ---- events ---- */

tmk_status tmk_hub_file_write(tmk_hub_file *f, tmk_slice records, tmk_error *err) {
    tmk_slice rest = records;
    tmk_hub_record first;
    tmk_status st = TMK_OK;

    if (f->fd < 0 || (uint64_t)f->written >= f->segment_bytes) {
        /* What the full one holds must be safe before the next one exists: a gap between the two
         * could not be told from a lost event. */
        if (f->fd >= 0 && tmk_file_os.fsync(f->fd) != 0) {
            return tmk_fail_errno(err, errno, "sync", f->folder);
        }
        if (!tmk_hub_record_take(&rest, &first)) {
            return tmk_fail(err, TMK_EINTERNAL, "hub", "what is to be stored is no record");
        }
        st = begin_segment(f, &first, err);
    }
    if (st == TMK_OK) {
        st = write_all(f->fd, records, f->folder, err);
    }
    if (st == TMK_OK) {
        f->written += (int64_t)records.size;
    }
    return st;
}

static tmk_status sync_folder(tmk_hub_file *f, tmk_error *err) {
    char *path = segment_path(f, 0); /* any name in it */
    tmk_status st;

    if (path == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for a file name");
    }
    st = tmk_file_sync_folder(path, err);
    tmk_free(path);
    return st;
}

tmk_status tmk_hub_file_sync(tmk_hub_file *f, int64_t last_offset, int64_t last_ms,
                             tmk_error *err) {
    tmk_status st = TMK_OK;

    if (tmk_file_os.fsync(f->fd) != 0) {
        return tmk_fail_errno(err, errno, "sync", f->folder);
    }
    if (f->begun) {
        st = sync_folder(f, err);
    }
    if (st == TMK_OK) {
        f->begun = false;
        f->size = f->written;
        f->last_offset = last_offset;
        f->last_ms = last_ms;
    }
    return st;
}

/* Drops a segment that holds nothing safe, and goes back to the one before. */
static tmk_status drop_newest(tmk_hub_file *f, tmk_error *err) {
    char *path = segment_path(f, f->firsts[f->count - 1]);
    tmk_status st = TMK_OK;

    if (path == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for a file name");
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        st = tmk_fail_errno(err, errno, "remove", path);
    }
    tmk_free(path);
    if (st < 0) {
        return st;
    }
    f->fd = tmk_fd_close(f->fd);
    f->count--;
    f->begun = false;
    f->size = f->written = 0;
    return sync_folder(f, err);
}

tmk_status tmk_hub_file_repair(tmk_hub_file *f, tmk_error *err) {
    tmk_status st = TMK_OK;

    if (f->fd >= 0 && f->size == 0) {
        /* The next write begins a segment of its own: the one before is full. */
        st = drop_newest(f, err);
    } else if (f->fd >= 0) {
        if (ftruncate(f->fd, f->size) != 0 || lseek(f->fd, f->size, SEEK_SET) < 0 ||
            tmk_file_os.fsync(f->fd) != 0) {
            st = tmk_fail_errno(err, errno, "repair", f->folder);
        } else {
            f->written = f->size;
        }
    }
    return st;
}

/* ---- forgetting ---- */

static void remove_oldest(tmk_hub_file *f, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char *path = segment_path(f, f->firsts[i]);
        if (path != NULL) {
            (void)unlink(path);
        }
        tmk_free(path);
    }
    f->count -= count;
    memmove(f->firsts, f->firsts + count, f->count * sizeof *f->firsts);
}

void tmk_hub_file_cut(tmk_hub_file *f, int64_t begin) {
    char *path = tmk_str_format("%s/begin", f->folder);
    char *temp = NULL;
    char text[24];
    size_t gone = 0;

    while (gone + 1 < f->count && f->firsts[gone + 1] <= begin) {
        gone++;
    }
    if (gone > 0) {
        remove_oldest(f, gone);
    }
    /* Not synced: an older one only brings back what retention takes again. */
    (void)snprintf(text, sizeof text, "%" PRId64 "\n", begin);
    if (path != NULL && tmk_file_stage(path, tmk_slice_str(text), false, &temp, NULL) == TMK_OK &&
        tmk_file_os.rename(temp, path) != 0) {
        (void)unlink(temp);
    }
    tmk_free(temp);
    tmk_free(path);
}

void tmk_hub_file_restart(tmk_hub_file *f, int64_t created_ms) {
    char *path = tmk_str_format("%s/begin", f->folder);

    f->fd = tmk_fd_close(f->fd);
    if (f->count > 0) {
        remove_oldest(f, f->count);
    }
    if (path != NULL) {
        (void)unlink(path);
    }
    tmk_free(path);
    f->size = f->written = 0;
    f->begun = false;
    f->last_offset = -1;
    f->last_ms = 0;
    f->created_ms = created_ms;
}
