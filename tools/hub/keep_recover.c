/* Reading one partition's files again. See keep_file.h. */
#include "hub/keep_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"

enum { SEGMENT_READ_MAX = 1 << 30 };

/* ---- which files there are ---- */

/* "00000000000000000123.seg" -> 123 */
static bool is_segment(const char *name, int64_t *first) {
    tmk_slice s = tmk_slice_str(name);

    return s.size == 24 && tmk_slice_ends(s, TMK_LIT(".seg")) && s.bytes[0] == '0' &&
           tmk_slice_int64(tmk_slice_of(s.bytes, 20), first) && *first >= 0;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static tmk_status list_segments(tmk_hub_file *f, tmk_error *err) {
    DIR *dir = opendir(f->folder);
    const struct dirent *entry;
    tmk_status st = TMK_OK;

    if (dir == NULL) {
        return tmk_fail_errno(err, errno, "read the folder", f->folder);
    }
    while (st == TMK_OK && (entry = readdir(dir)) != NULL) {
        int64_t first = 0;
        if (!is_segment(entry->d_name, &first)) {
            continue;
        }
        if (f->count == f->room) {
            size_t room = f->room == 0 ? 16 : 2 * f->room;
            int64_t *firsts = tmk_resize(f->firsts, room, sizeof *firsts);
            if (firsts == NULL) {
                st = tmk_fail(err, TMK_ENOMEM, "hub", "no memory to recover '%s'", f->folder);
                break;
            }
            f->firsts = firsts;
            f->room = room;
        }
        f->firsts[f->count++] = first;
    }
    (void)closedir(dir);
    if (f->count > 1) {
        qsort(f->firsts, f->count, sizeof *f->firsts, ascending);
    }
    return st;
}

static char *path_of(const tmk_hub_file *f, int64_t first) {
    return tmk_str_format("%s/%020" PRId64 ".seg", f->folder, first);
}

/* ---- one of them ---- */

/* How far the records go on from where the log is; *log has them then. */
static tmk_status take_records(tmk_hub_log *log, tmk_slice *in, tmk_error *err) {
    tmk_slice before = *in;
    tmk_hub_record r;

    while (tmk_hub_record_take(in, &r)) {
        if (r.sequence != log->end || r.offset < log->offset_next) {
            *in = before;
            return TMK_OK;
        }
        log->offset_next = r.offset;
        if (tmk_hub_log_append(log, r.event, r.header_size, r.enqueued_ms) < 0) {
            return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for the events that are stored");
        }
        before = *in;
    }
    return TMK_OK;
}

typedef struct segment {
    char *path;
    int64_t sound; /* bytes that are; 0: it may go */
    int64_t size;
    bool fits; /* its head goes on where the one before ended */
} segment;

static tmk_status read_segment(tmk_hub_file *f, size_t index, tmk_hub_log *log, segment *out,
                               tmk_error *err) {
    tmk_str bytes = TMK_STR_INIT;
    tmk_hub_segment head;
    tmk_slice in;
    tmk_status st = tmk_file_read(out->path, SEGMENT_READ_MAX, &bytes, err);

    if (st != TMK_OK) {
        return st < 0 ? st : tmk_fail(err, TMK_EIO, "hub", "'%s' has gone", out->path);
    }
    in = tmk_str_slice(&bytes);
    out->size = (int64_t)in.size;
    if (tmk_hub_segment_take(&in, &head) && head.sequence == f->firsts[index]) {
        if (index == 0) {
            tmk_hub_log_restart(log, head.sequence, head.offset, head.last_offset, head.last_ms);
            f->created_ms = head.created_ms;
        }
        out->fits = head.sequence == log->end && head.offset >= log->offset_next;
        if (out->fits) {
            st = take_records(log, &in, err);
            out->sound = out->size - (int64_t)in.size;
        }
    }
    tmk_str_clear(&bytes);
    return st;
}

/* Opens the newest segment for more, without what is torn off its end. */
static tmk_status reopen(tmk_hub_file *f, const segment *s, tmk_error *err) {
    int fd = tmk_file_os.open(s->path, O_RDWR | O_CLOEXEC, 0);

    if (fd < 0) {
        return tmk_fail_errno(err, errno, "open", s->path);
    }
    if (s->sound < s->size && (ftruncate(fd, s->sound) != 0 || tmk_file_os.fsync(fd) != 0)) {
        tmk_status st = tmk_fail_errno(err, errno, "repair", s->path);
        tmk_fd_close(fd);
        return st;
    }
    if (lseek(fd, s->sound, SEEK_SET) < 0) {
        tmk_status st = tmk_fail_errno(err, errno, "seek in", s->path);
        tmk_fd_close(fd);
        return st;
    }
    tmk_fd_close(f->fd);
    f->fd = fd;
    f->size = f->written = s->sound;
    return TMK_OK;
}

/* Everything from this one on cannot be used: it stays there for people to look at. */
static void set_aside(tmk_hub_file *f, size_t from, const tmk_log *to) {
    for (size_t i = from; i < f->count; i++) {
        char *path = path_of(f, f->firsts[i]);
        char *name = path == NULL ? NULL : tmk_str_join(path, ".damaged");
        if (name != NULL) {
            (void)tmk_file_os.rename(path, name);
            tmk_warn(to, "hub.log.damaged", "file='%s' action='set aside'", path);
        }
        tmk_free(name);
        tmk_free(path);
    }
    f->count = from;
}

/* A file of a size that no head fits in is a segment whose beginning was cut short. */
static bool never_began(const segment *s, size_t index, size_t count) {
    return index + 1 == count && s->size < TMK_HUB_SEGMENT_HEAD;
}

/* Reads the index-th; *more: the next one may follow. */
static tmk_status recover_one(tmk_hub_file *f, size_t index, tmk_hub_log *log, const tmk_log *to,
                              bool *more, tmk_error *err) {
    segment s = {path_of(f, f->firsts[index]), 0, 0, false};
    tmk_status st;

    *more = false;
    if (s.path == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for a file name");
    }
    st = read_segment(f, index, log, &s, err);
    if (st < 0) {
        goto done;
    }
    if (never_began(&s, index, f->count)) {
        (void)unlink(s.path);
        f->count = index;
        goto done;
    }
    if (!s.fits && index == 0) {
        st =
            tmk_fail(err, TMK_EIO, "hub",
                     "the log file '%s' is damaged at its beginning; move it and all later ones of "
                     "this folder away to start anew",
                     s.path);
        goto done;
    }
    if (!s.fits) {
        set_aside(f, index, to);
        goto done;
    }
    st = reopen(f, &s, err);
    if (st == TMK_OK && s.sound < s.size) {
        tmk_warn(to, "hub.log.torn", "file='%s' bytes=%" PRId64 " action='cut off'", s.path,
                 s.size - s.sound);
        set_aside(f, index + 1, to);
    }
    *more = st == TMK_OK && s.sound == s.size;
done:
    tmk_free(s.path);
    return st;
}

/* ---- all of them ---- */

static void read_begin(const tmk_hub_file *f, tmk_hub_log *log) {
    char *path = tmk_str_format("%s/begin", f->folder);
    tmk_str text = TMK_STR_INIT;
    int64_t begin = 0;

    if (path != NULL && tmk_file_read(path, 64, &text, NULL) == TMK_OK &&
        tmk_slice_int64(tmk_slice_trim(tmk_str_slice(&text)), &begin)) {
        tmk_hub_log_cut(log, begin);
    }
    tmk_str_clear(&text);
    tmk_free(path);
}

tmk_status tmk_hub_file_recover(tmk_hub_file *f, tmk_hub_log *log, const tmk_log *to,
                                tmk_error *err) {
    tmk_status st = list_segments(f, err);
    bool more = true;

    for (size_t i = 0; st == TMK_OK && more && i < f->count; i++) {
        st = recover_one(f, i, log, to, &more, err);
    }
    if (st < 0) {
        return st;
    }
    tmk_hub_log_show(log, log->end);
    f->last_offset = log->last_offset;
    f->last_ms = log->last_ms;
    read_begin(f, log);
    return TMK_OK;
}
