/* Files, each changed by its record's rule. */
#include "checkpoint/file_table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "checkpoint/file_folder.h"
#include "checkpoint/file_format.h"

enum { NAME_MAX_BYTES = 220, RECORDS_MAX = 20000, LOCK_PATIENCE_MS = 250, TRIES_MAX = 50 };

static const char *const kinds[] = {"members", "calls", "partitions"};
enum kind { MEMBER, CALL, PARTITION };

typedef union entry {
    tmk_member_entry member;
    tmk_call_entry call;
    tmk_partition_entry partition;
} entry;

/* One change under way. */
typedef struct change {
    tmk_file_table *t;
    const tmk_store_op *op;
    enum kind kind;
    tmk_file_moment at;
    char *path;
    tmk_str before; /* the file's text as the rule has seen it */
    bool existed;
    entry e;
    tmk_reply *reply;
} change;

/* ---- the folder ---- */

static char *part_of(const tmk_file_table *t, enum kind kind) {
    return tmk_str_format("%s/%s", t->folder, kinds[kind]);
}

static tmk_status no_memory(tmk_error *err) {
    return tmk_fail_retry(err, TMK_ENOMEM, "store", "no memory for a store operation");
}

static tmk_status make_parts(tmk_file_table *t, tmk_error *err) {
    tmk_status st = TMK_OK;

    for (int kind = MEMBER; st == TMK_OK && kind <= PARTITION; kind++) {
        char *part = part_of(t, (enum kind)kind);
        st = part == NULL ? no_memory(err) : tmk_dir_make(part, err);
        if (st == TMK_OK) {
            tmk_file_folder_sweep(part);
        }
        tmk_free(part);
    }
    return st;
}

static tmk_status open_lock(tmk_file_table *t, tmk_error *err) {
    char *path = tmk_str_join(t->folder, "/lock");

    if (path == NULL) {
        return no_memory(err);
    }
    t->lock_fd = tmk_file_os.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (t->lock_fd < 0) {
        (void)tmk_fail_errno(err, errno, "open", path);
    }
    tmk_free(path);
    return t->lock_fd < 0 ? TMK_EIO : TMK_OK;
}

tmk_status tmk_file_table_init(tmk_file_table *t, const char *folder, const char *host,
                               const char *hub, const char *group, tmk_error *err) {
    tmk_str path = TMK_STR_INIT;
    tmk_status st;

    memset(t, 0, sizeof *t);
    t->lock_fd = -1;
    t->clock = tmk_clock_system();
    tmk_rng_seed_system(&t->rng);
    tmk_str_add(&path, folder);
    for (int i = 0; i < 3; i++) {
        tmk_str_add_char(&path, '/');
        tmk_file_folder_add(&path, i == 0 ? host : i == 1 ? hub : group);
    }
    t->folder = tmk_str_take(&path);
    st = t->folder == NULL ? no_memory(err) : make_parts(t, err);
    if (st == TMK_OK) {
        st = tmk_file_folder_is_local(t->folder, err);
    }
    if (st == TMK_OK) {
        st = tmk_file_boot_id(t->boot, err);
        tmk_file_process_self(t->process);
    }
    return st == TMK_OK ? open_lock(t, err) : st;
}

void tmk_file_table_clear(tmk_file_table *t) {
    t->lock_fd = tmk_fd_close(t->lock_fd);
    tmk_free(t->folder);
    t->folder = NULL;
}

/* ---- one record ---- */

static tmk_status path_of(change *c, tmk_error *err) {
    tmk_str path = TMK_STR_INIT;
    size_t folder_size;

    tmk_str_addf(&path, "%s/%s/", c->t->folder, kinds[c->kind]);
    folder_size = path.size;
    tmk_file_name_add(&path, c->op->id);
    if (tmk_str_ok(&path) && path.size - folder_size > NAME_MAX_BYTES) {
        tmk_str_clear(&path);
        return tmk_fail(err, TMK_EINVAL, "file",
                        "an id makes a file name of more than %d bytes: use shorter ids",
                        NAME_MAX_BYTES);
    }
    c->path = tmk_str_take(&path);
    return c->path == NULL ? no_memory(err) : TMK_OK;
}

static void clear_entry(change *c) {
    if (c->kind == MEMBER) {
        tmk_member_entry_clear(&c->e.member);
    } else if (c->kind == PARTITION) {
        tmk_partition_entry_clear(&c->e.partition);
    }
    memset(&c->e, 0, sizeof c->e);
}

static tmk_status parse(change *c, const char *id, tmk_slice text, tmk_error *err) {
    switch (c->kind) {
    case MEMBER:
        return tmk_file_read_member(text, id, &c->at, &c->e.member, err);
    case CALL:
        return tmk_file_read_call(text, id, &c->e.call, err);
    default:
        return tmk_file_read_partition(text, id, &c->at, &c->e.partition, err);
    }
}

/* Too large, or no regular file: not what this store writes. */
static bool is_no_record(tmk_status st) {
    return st == TMK_ELIMIT || st == TMK_EINVAL;
}

/*
 * Reads the record into c->e. A damaged member or bell is as good as none: its owner finds out and
 * makes a new one. A damaged partition is an error, because its checkpoint cannot be made again.
 */
static tmk_status load(change *c, const char *id, tmk_error *err) {
    tmk_status st;

    clear_entry(c);
    tmk_str_reset(&c->before);
    st = tmk_file_read(c->path, TMK_FILE_RECORD_MAX, &c->before, err);
    c->existed = st != TMK_ABSENT;
    if (st == TMK_ABSENT) {
        return TMK_OK;
    }
    if (st == TMK_OK) {
        st = parse(c, id, tmk_str_slice(&c->before), err);
    }
    if (st == TMK_EPROTO || is_no_record(st)) {
        tmk_warn(&c->t->log, "store.damaged", "file='%s'", c->path);
        if (c->kind != PARTITION || c->op->kind == TMK_STORE_PARTITION_DELETE) {
            return TMK_OK;
        }
        st =
            tmk_fail(err, TMK_EPROTO, "file:damaged",
                     "'%s' is damaged; put a good copy there, or delete the partition's checkpoint",
                     c->path);
    }
    return st;
}

static tmk_status decide(change *c, bool *changed) {
    tmk_stamp stamp = {.now = c->at.now, .birth = tmk_rng_next(&c->t->rng)};
    tmk_error *err = &c->reply->error;

    switch (c->kind) {
    case MEMBER:
        return tmk_member_rule(&c->e.member, c->op, stamp, changed, err);
    case CALL:
        return tmk_call_rule(&c->e.call, c->op, stamp, changed);
    default:
        return tmk_partition_rule(&c->e.partition, c->op, stamp, changed, err);
    }
}

static bool is_present(const change *c) {
    return c->kind == MEMBER ? c->e.member.present
           : c->kind == CALL ? c->e.call.present
                             : c->e.partition.present;
}

/* The version that the answer tells, and for a read the record. */
static tmk_status describe(change *c) {
    char version[TMK_ENTRY_VERSION_ROOM] = "";
    tmk_partition_record view;

    if (c->kind == MEMBER || !is_present(c)) {
        return TMK_OK;
    }
    tmk_entry_version_text(c->kind == CALL ? c->e.call.version : c->e.partition.version, version);
    if (c->op->kind == TMK_STORE_PARTITION_READ) {
        view = tmk_partition_entry_view(&c->e.partition, c->op->id, version, c->at.now, true);
        return tmk_reply_add_partition(c->reply, &view);
    }
    tmk_reply_version(c->reply, version);
    return TMK_OK;
}

static tmk_status format(change *c, tmk_str *out) {
    switch (c->kind) {
    case MEMBER:
        return tmk_file_write_member(&c->e.member, c->op->id, &c->at, out);
    case CALL:
        return tmk_file_write_call(&c->e.call, c->op->id, out);
    default:
        return tmk_file_write_partition(&c->e.partition, c->op->id, &c->at, out);
    }
}

static tmk_status take_lock(change *c, tmk_slice name, tmk_error *err) {
    tmk_clock system = tmk_clock_system();
    tmk_time patience = tmk_time_after(tmk_now(&system), LOCK_PATIENCE_MS * TMK_MS);
    tmk_status st;

    while ((st = tmk_file_lock(c->t->lock_fd, name, err)) == TMK_AGAIN) {
        tmk_time now = tmk_now(&system);
        if (now >= patience || !c->t->wait(c->t->self, tmk_time_after(now, TMK_MS))) {
            return tmk_fail_retry(err, TMK_EBUSY, "file:locked",
                                  "another process holds the lock of '%s'", c->path);
        }
    }
    return st;
}

/* AGAIN: the file is not what the rule has seen. */
static tmk_status compare(change *c, tmk_error *err) {
    tmk_str now = TMK_STR_INIT;
    tmk_status st = tmk_file_read(c->path, TMK_FILE_RECORD_MAX, &now, err);
    bool same = (st != TMK_ABSENT) == c->existed &&
                tmk_slice_eq(tmk_str_slice(&now), tmk_str_slice(&c->before));

    tmk_str_clear(&now);
    if (st < 0 && !is_no_record(st)) {
        return st;
    }
    return same ? TMK_OK : TMK_AGAIN;
}

/* Gives the staged file the record's name, or removes the record, if nothing has come between. */
static tmk_status replace(change *c, const char *staged, tmk_error *err) {
    tmk_slice name = tmk_slice_from(tmk_slice_str(c->path), strlen(c->t->folder));
    tmk_status st = take_lock(c, name, err);

    if (st != TMK_OK) {
        return st;
    }
    st = compare(c, err);
    if (st == TMK_OK && staged != NULL && tmk_file_os.rename(staged, c->path) != 0) {
        st = tmk_fail_errno(err, errno, "replace", c->path);
    }
    if (st == TMK_OK && staged == NULL && unlink(c->path) != 0 && errno != ENOENT) {
        st = tmk_fail_errno(err, errno, "remove", c->path);
    }
    tmk_file_unlock(c->t->lock_fd, name);
    return st;
}

/*
 * Only partitions must survive a power cut: members and bells of the boot before mean nothing.
 */
static tmk_status save(change *c, tmk_error *err) {
    bool durable = c->kind == PARTITION;
    tmk_str text = TMK_STR_INIT;
    char *staged = NULL;
    tmk_status st = TMK_OK;

    if (is_present(c)) {
        st = format(c, &text) == TMK_OK
                 ? tmk_file_stage(c->path, tmk_str_slice(&text), durable, &staged, err)
                 : no_memory(err);
    }
    if (st == TMK_OK) {
        st = replace(c, staged, err);
        if (st != TMK_OK && staged != NULL) {
            (void)unlink(staged);
        }
    }
    if (st == TMK_OK && durable) {
        st = tmk_file_sync_folder(c->path, err);
    }
    tmk_free(staged);
    tmk_str_clear(&text);
    return st;
}

static tmk_file_moment moment(const tmk_file_table *t) {
    return (tmk_file_moment){t->boot, tmk_now(&t->clock), tmk_wall_now(&t->clock),
                             t->process[0] == '\0' ? NULL : t->process, tmk_file_process_gone};
}

/* A bell goes with its member. One that is rung afterwards stays behind, and harms nobody. */
static void remove_bell(const tmk_file_table *t, const char *id) {
    tmk_str path = TMK_STR_INIT;

    tmk_str_addf(&path, "%s/%s/", t->folder, kinds[CALL]);
    tmk_file_name_add(&path, id);
    if (tmk_str_ok(&path)) {
        (void)unlink(tmk_str_text(&path));
    }
    tmk_str_clear(&path);
}

static tmk_status change_record(change *c) {
    tmk_error *err = &c->reply->error;
    tmk_status decided;
    tmk_status st;
    unsigned tries = 0;
    bool changed;

    do {
        c->at = moment(c->t);
        st = load(c, c->op->id, err);
        if (st < 0) {
            return st;
        }
        changed = false;
        decided = decide(c, &changed);
        if (c->existed && !is_present(c) && c->op->kind == TMK_STORE_PARTITION_DELETE) {
            changed = true; /* a damaged record goes too */
            decided = TMK_OK;
        }
        if (changed) {
            st = save(c, err);
        }
    } while (st == TMK_AGAIN && ++tries < TRIES_MAX);
    if (st == TMK_AGAIN) {
        return tmk_fail_retry(err, TMK_EBUSY, "file", "'%s' changes too fast", c->path);
    }
    if (st == TMK_OK && changed && c->kind == MEMBER && !is_present(c)) {
        remove_bell(c->t, c->op->id);
    }
    if (st == TMK_OK && decided >= 0) {
        st = describe(c);
    }
    return st < 0 ? st : decided;
}

/* ---- lists ---- */

static tmk_status list_one(change *c, const char *id) {
    char version[TMK_ENTRY_VERSION_ROOM] = "";
    tmk_partition_record partition;
    tmk_member_record member;
    tmk_status st = load(c, id, &c->reply->error);

    if (st == TMK_EPROTO || (st == TMK_OK && !is_present(c))) {
        return TMK_OK; /* damaged: who claims it is told; or gone meanwhile */
    }
    if (st < 0) {
        return st; /* a list that lacks a living member would be taken for its death */
    }
    if (c->kind == MEMBER) {
        member = tmk_member_entry_view(&c->e.member, id, c->at.now);
        return tmk_reply_add_member(c->reply, &member);
    }
    tmk_entry_version_text(c->e.partition.version, version);
    partition = tmk_partition_entry_view(&c->e.partition, id, version, c->at.now, false);
    return tmk_reply_add_partition(c->reply, &partition);
}

static tmk_status list_entry(change *c, const char *part, const char *name) {
    tmk_str id = TMK_STR_INIT;
    tmk_status st = TMK_OK;

    if (tmk_file_name_id(name, &id)) {
        tmk_free(c->path);
        c->path = tmk_str_format("%s/%s", part, name);
        st = c->path == NULL ? TMK_ENOMEM : list_one(c, tmk_str_text(&id));
    } else if (id.failed) {
        st = TMK_ENOMEM;
    }
    tmk_str_clear(&id);
    return st == TMK_ENOMEM ? no_memory(&c->reply->error) : st;
}

static tmk_status list(change *c) {
    tmk_error *err = &c->reply->error;
    char *part = part_of(c->t, c->kind);
    DIR *dir = part == NULL ? NULL : opendir(part);
    const struct dirent *at;
    tmk_status st = TMK_OK;
    size_t seen = 0;

    if (part == NULL) {
        return no_memory(err);
    }
    if (dir == NULL) {
        st = tmk_fail_errno(err, errno, "list", part);
        goto done;
    }
    c->at = moment(c->t);
    errno = 0;
    while (st == TMK_OK && (at = readdir(dir)) != NULL) {
        st = ++seen > RECORDS_MAX ? tmk_fail(err, TMK_ELIMIT, "file",
                                             "'%s' holds more than %d files", part, RECORDS_MAX)
                                  : list_entry(c, part, at->d_name);
        errno = 0;
    }
    if (st == TMK_OK && errno != 0) {
        st = tmk_fail_errno(err, errno, "list", part);
    }
    (void)closedir(dir);

done:
    tmk_free(part);
    return st;
}

static enum kind kind_of(tmk_store_op_kind op) {
    return op >= TMK_STORE_PARTITION_LIST ? PARTITION : op >= TMK_STORE_CALL_RING ? CALL : MEMBER;
}

void tmk_file_table_apply(tmk_file_table *t, const tmk_store_op *op, tmk_reply *reply) {
    change c = {.t = t, .op = op, .before = TMK_STR_INIT, .reply = reply};
    tmk_status st = tmk_store_op_check(op, &reply->error);

    c.kind = kind_of(op->kind);
    if (st == TMK_OK &&
        (op->kind == TMK_STORE_MEMBER_LIST || op->kind == TMK_STORE_PARTITION_LIST)) {
        st = list(&c);
    } else if (st == TMK_OK) {
        st = path_of(&c, &reply->error);
        st = st == TMK_OK ? change_record(&c) : st;
    }
    if (st < 0) {
        tmk_error why = reply->error;
        tmk_reply_clear(reply); /* no half lists */
        reply->error = why;
    }
    reply->status = st;
    clear_entry(&c);
    tmk_str_clear(&c.before);
    tmk_free(c.path);
}
