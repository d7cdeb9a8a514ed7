/*
 * The log's thread and what it shares with the engine's. See keep.h.
 *
 * The engine's thread puts records into a partition's `gathered`; the log's
 * thread takes them all at once, for all partitions, writes, syncs, and leaves
 * a result behind. After a failure the partition takes nothing more until the
 * engine has collected the result and the file is repaired.
 */
#include "hub/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"

#include "hub/keep_file.h"

enum { KEEP_RANK = 30, GATHERED_MAX = 64 << 20 };

typedef struct place {
    tmk_hub_part *part;
    tmk_hub_file file; /* the log's thread */

    /* guarded by keep.lock */
    tmk_str gathered;
    int64_t end, last_offset, last_ms; /* of what is gathered */
    int64_t begin;                     /* to be cut to; -1: nothing to cut */
    bool restart;                      /* forget all files first */
    int64_t created_ms;                /* of the hub made anew */
    bool failed; /* takes nothing until the engine knows and the file is repaired */
    bool repair; /* the engine knows */
    unsigned generation;
    bool told;      /* there is a result to collect */
    int64_t stored; /* events below this are safe; -1: no news */
    bool lost;
    tmk_error why; /* of what is lost */

    /* one round of the log's thread */
    tmk_str bytes;
    int64_t bytes_end, bytes_last_offset, bytes_last_ms;
    int64_t cut_to;
    bool restarting, repairing, working;
    unsigned working_generation;
    tmk_status st;
    tmk_error error;
} place;

struct tmk_hub_keep {
    tmk_hub_keep_options options;
    tmk_hub_server *server;
    int lock_fd;
    place *places;
    size_t count;
    tmk_thread thread;
    tmk_mutex lock;
    tmk_cond work;
    bool has_work, stopping; /* guarded by lock */
    size_t gathered;         /* bytes in all places; guarded by lock */
};

/* ---- the log's thread ---- */

/* Takes what there is to do at a place. With the lock. */
static bool take_work(tmk_hub_keep *k, place *p) {
    p->restarting = p->restart;
    p->repairing = p->repair;
    p->cut_to = p->begin;
    p->working_generation = p->generation;
    p->st = TMK_OK;
    tmk_str_reset(&p->bytes);
    if (!p->failed || p->restart) {
        tmk_str empty = p->bytes;
        p->bytes = p->gathered;
        p->gathered = empty;
        k->gathered -= p->bytes.size;
    }
    p->bytes_end = p->end;
    p->bytes_last_offset = p->last_offset;
    p->bytes_last_ms = p->last_ms;
    p->restart = p->repair = false;
    p->begin = -1;
    p->working = p->restarting || p->repairing || p->cut_to >= 0 || p->bytes.size > 0;
    return p->working;
}

static void write_one(place *p) {
    if (p->restarting) {
        tmk_hub_file_restart(&p->file, p->created_ms);
    } else if (p->repairing) {
        p->st = tmk_hub_file_repair(&p->file, &p->error);
    }
    if (p->cut_to >= 0) {
        tmk_hub_file_cut(&p->file, p->cut_to);
    }
    if (p->st == TMK_OK && p->bytes.size > 0) {
        p->st = tmk_hub_file_write(&p->file, tmk_str_slice(&p->bytes), &p->error);
    }
}

static void sync_one(place *p) {
    if (p->st == TMK_OK && p->bytes.size > 0) {
        p->st = tmk_hub_file_sync(&p->file, p->bytes_last_offset, p->bytes_last_ms, &p->error);
    }
}

/* Leaves the result for the engine. With the lock. */
static void leave_result(tmk_hub_keep *k, place *p) {
    p->working = false;
    if (p->working_generation != p->generation) {
        return; /* the hub was made anew meanwhile: nobody waits for this */
    }
    if (p->st < 0 && p->repairing) {
        return; /* still failed; the next send asks for another attempt */
    }
    if (p->st < 0) {
        p->failed = p->told = p->lost = true;
        p->why = p->error;
        k->gathered -= p->gathered.size;
        tmk_str_reset(&p->gathered);
        return;
    }
    if (p->repairing || p->restarting) {
        p->failed = false;
    }
    if (p->bytes.size > 0) {
        p->stored = p->bytes_end;
        p->told = true;
    }
}

/* One round, without the lock but at its ends. */
static bool do_round(tmk_hub_keep *k) {
    bool any = false;

    for (size_t i = 0; i < k->count; i++) {
        any = take_work(k, &k->places[i]) || any;
    }
    k->has_work = false;
    tmk_mutex_unlock(&k->lock);
    for (size_t i = 0; i < k->count; i++) {
        if (k->places[i].working) {
            write_one(&k->places[i]);
        }
    }
    for (size_t i = 0; i < k->count; i++) {
        if (k->places[i].working) {
            sync_one(&k->places[i]);
        }
    }
    tmk_mutex_lock(&k->lock);
    for (size_t i = 0; i < k->count; i++) {
        if (k->places[i].working) {
            leave_result(k, &k->places[i]);
        }
    }
    return any;
}

static void *run(void *arg) {
    tmk_hub_keep *k = arg;
    bool any;

    tmk_mutex_lock(&k->lock);
    while (!k->stopping || k->has_work) {
        if (!k->has_work) {
            tmk_cond_wait(&k->work, &k->lock);
            continue;
        }
        any = do_round(k);
        tmk_mutex_unlock(&k->lock);
        if (any) {
            k->options.ring(k->options.self);
        }
        tmk_mutex_lock(&k->lock);
    }
    tmk_mutex_unlock(&k->lock);
    return NULL;
}

/* ---- the engine's thread ---- */

static void call_thread(tmk_hub_keep *k) {
    k->has_work = true;
    tmk_cond_signal(&k->work);
}

static tmk_status gather(place *p, const tmk_hub_log *log, int64_t first, int64_t end) {
    size_t before = p->gathered.size;

    for (int64_t s = first; s < end; s++) {
        const tmk_hub_entry *e = NULL;
        const uint8_t *bytes = tmk_hub_log_event(log, s, &e);
        tmk_hub_record r = {s, e->offset, e->enqueued_ms, e->header_size,
                            tmk_slice_of(bytes, e->size)};
        tmk_hub_record_add(&p->gathered, &r);
        p->last_offset = e->offset;
        p->last_ms = e->enqueued_ms;
    }
    if (!tmk_str_ok(&p->gathered)) {
        p->gathered.failed = false; /* what was in it before is whole */
        p->gathered.size = before;
        return TMK_ENOMEM;
    }
    p->end = end;
    return TMK_OK;
}

static tmk_status store(void *self, tmk_hub_part *part, int64_t first, int64_t end) {
    tmk_hub_keep *k = self;
    place *p = part->kept;
    tmk_status st = TMK_OK;

    tmk_mutex_lock(&k->lock);
    if (p->failed) {
        st = TMK_EIO;
        p->repair = !p->told; /* once the engine knows */
    } else if (k->gathered > GATHERED_MAX) {
        st = TMK_EBUSY;
    } else {
        size_t before = p->gathered.size;
        st = gather(p, &part->log, first, end);
        k->gathered += p->gathered.size - before;
    }
    call_thread(k);
    tmk_mutex_unlock(&k->lock);
    return st;
}

static void cut(void *self, tmk_hub_part *part) {
    tmk_hub_keep *k = self;
    place *p = part->kept;

    tmk_mutex_lock(&k->lock);
    p->begin = part->log.begin;
    call_thread(k);
    tmk_mutex_unlock(&k->lock);
}

static void restart(void *self, tmk_hub_entity *e) {
    tmk_hub_keep *k = self;

    tmk_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < e->part_count; i++) {
        place *p = e->parts[i].kept;
        p->restart = true;
        p->created_ms = e->created_ms;
        p->generation++;
        p->told = p->lost = p->failed = p->repair = false;
        p->stored = p->begin = -1;
        k->gathered -= p->gathered.size;
        tmk_str_reset(&p->gathered);
    }
    call_thread(k);
    tmk_mutex_unlock(&k->lock);
}

typedef struct news {
    int64_t stored;
    bool lost;
    tmk_error why;
} news;

/* Takes the news of a place, and lets a failed one be repaired; false: there are none. */
static bool take_news(tmk_hub_keep *k, place *p, news *out) {
    bool told;

    tmk_mutex_lock(&k->lock);
    told = p->told;
    if (told) {
        *out = (news){p->stored, p->lost, p->why};
        p->told = p->lost = false;
        p->stored = -1;
        p->repair = p->failed;
        if (p->failed) {
            call_thread(k);
        }
    }
    tmk_mutex_unlock(&k->lock);
    return told;
}

void tmk_hub_keep_collect(tmk_hub_keep *k) {
    for (size_t i = 0; i < k->count; i++) {
        tmk_hub_part *part = k->places[i].part;
        news n;
        tmk_hub_fail why = {"", ""};
        if (!take_news(k, &k->places[i], &n)) {
            continue;
        }
        if (n.stored >= 0) {
            tmk_hub_part_stored(part, n.stored);
        }
        if (n.lost) {
            tmk_log_error(&k->server->log, "hub.log.failed", "hub='%s' partition=%s error='%s'",
                          part->entity->name, part->id, n.why.text);
            tmk_hub_fail_set(&why, TMK_HUB_INTERNAL, "The hub cannot store the event: %s.",
                             n.why.text);
            tmk_hub_part_lost(k->server, part, &why);
        }
    }
}

/* ---- opening ---- */

static tmk_status lock_folder(tmk_hub_keep *k, tmk_error *err) {
    char *path = NULL;
    tmk_status st = tmk_dir_make(k->options.folder, err);

    if (st < 0) {
        return st;
    }
    path = tmk_str_join(k->options.folder, "/lock");
    if (path == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for a file name");
    }
    k->lock_fd = tmk_file_os.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (k->lock_fd < 0) {
        st = tmk_fail_errno(err, errno, "open", path);
    } else if (flock(k->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        st = tmk_fail(err, TMK_EIO, "hub", "the folder '%s' is in use by another hub",
                      k->options.folder);
    }
    tmk_free(path);
    return st;
}

/* A hub's facts: "<created, ms> <partitions>\n". */
static tmk_status check_facts(tmk_hub_keep *k, tmk_hub_entity *e, tmk_error *err) {
    char *folder = tmk_str_format("%s/%s", k->options.folder, e->name);
    char *path = folder == NULL ? NULL : tmk_str_join(folder, "/facts");
    tmk_str text = TMK_STR_INIT;
    tmk_slice rest;
    int64_t created = 0;
    uint64_t partitions = 0;
    tmk_status st = TMK_ENOMEM;

    if (path == NULL) {
        (void)tmk_fail(err, TMK_ENOMEM, "hub", "no memory for a file name");
        goto done;
    }
    st = tmk_dir_make(folder, err);
    if (st == TMK_OK) {
        st = tmk_file_read(path, 256, &text, err);
    }
    if (st == TMK_ABSENT) {
        tmk_str_addf(&text, "%" PRId64 " %" PRIu32 "\n", e->created_ms, e->part_count);
        st = tmk_file_replace(path, tmk_str_slice(&text), err);
        goto done;
    }
    if (st < 0) {
        goto done;
    }
    rest = tmk_slice_trim(tmk_str_slice(&text));
    if (!tmk_slice_int64(tmk_slice_cut(&rest, ' ', NULL), &created) ||
        !tmk_slice_uint64(rest, &partitions)) {
        st = tmk_fail(err, TMK_EIO, "hub", "'%s' cannot be understood", path);
    } else if (partitions != e->part_count) {
        st = tmk_fail(err, TMK_EINVAL, "hub",
                      "the hub '%s' is stored with %" PRIu64 " partitions, not %" PRIu32
                      ": name it with as many, or use another folder",
                      e->name, partitions, e->part_count);
    } else {
        e->created_ms = created;
    }
done:
    tmk_str_clear(&text);
    tmk_free(path);
    tmk_free(folder);
    return st;
}

static tmk_status open_place(tmk_hub_keep *k, place *p, tmk_hub_part *part, tmk_error *err) {
    tmk_status st;

    tmk_hub_file_init(&p->file);
    p->part = part;
    part->kept = p;
    p->begin = p->stored = -1;
    p->file.segment_bytes = k->options.segment_bytes;
    p->file.created_ms = part->entity->created_ms;
    p->file.folder = tmk_str_format("%s/%s/%s", k->options.folder, part->entity->name, part->id);
    if (p->file.folder == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for a file name");
    }
    st = tmk_dir_make(p->file.folder, err);
    return st < 0 ? st : tmk_hub_file_recover(&p->file, &part->log, &k->server->log, err);
}

static tmk_status open_places(tmk_hub_keep *k, tmk_error *err) {
    tmk_list *entities = &k->server->core.entities;
    size_t count = 0;
    tmk_status st = TMK_OK;

    for (tmk_list *n = tmk_list_first(entities); n != NULL; n = tmk_list_next(entities, n)) {
        count += tmk_container_of(n, tmk_hub_entity, node)->part_count;
    }
    k->places = tmk_alloc_zero(count, sizeof *k->places);
    if (k->places == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for the log");
    }
    for (tmk_list *n = tmk_list_first(entities); n != NULL && st == TMK_OK;
         n = tmk_list_next(entities, n)) {
        tmk_hub_entity *e = tmk_container_of(n, tmk_hub_entity, node);
        st = check_facts(k, e, err);
        for (uint32_t i = 0; st == TMK_OK && i < e->part_count; i++) {
            st = open_place(k, &k->places[k->count++], &e->parts[i], err);
        }
        if (st == TMK_OK && tmk_hub_entity_renew(e) < 0) {
            st = tmk_fail(err, TMK_ENOMEM, "hub", "no memory for the events that are stored");
        }
    }
    return st;
}

static tmk_status start(tmk_hub_keep *k, tmk_error *err) {
    tmk_status st = tmk_mutex_init(&k->lock, KEEP_RANK, err);

    if (st < 0) {
        return st;
    }
    st = tmk_cond_init(&k->work, err);
    if (st == TMK_OK) {
        st = tmk_thread_start(&k->thread, "hub-log", run, k, err);
        if (st == TMK_OK) {
            return TMK_OK;
        }
        tmk_cond_clear(&k->work);
    }
    tmk_mutex_clear(&k->lock);
    return st;
}

tmk_status tmk_hub_keep_open(const tmk_hub_keep_options *o, tmk_hub_server *s, tmk_hub_keep **out,
                             tmk_error *err) {
    tmk_hub_keep *k = tmk_new(tmk_hub_keep);
    tmk_status st;

    if (k == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for the log");
    }
    k->options = *o;
    k->server = s;
    k->lock_fd = -1;
    st = lock_folder(k, err);
    if (st == TMK_OK) {
        st = open_places(k, err);
    }
    if (st == TMK_OK) {
        st = start(k, err);
    }
    if (st < 0) {
        tmk_hub_keep_close(k);
        return st;
    }
    s->keeper = (tmk_hub_keeper){store, cut, restart, k};
    *out = k;
    return TMK_OK;
}

tmk_hub_keep *tmk_hub_keep_close(tmk_hub_keep *k) {
    if (k == NULL) {
        return NULL;
    }
    if (k->thread.running) {
        tmk_mutex_lock(&k->lock);
        k->stopping = true;
        tmk_cond_signal(&k->work);
        tmk_mutex_unlock(&k->lock);
        tmk_thread_join(&k->thread);
        tmk_cond_clear(&k->work);
        tmk_mutex_clear(&k->lock);
    }
    for (size_t i = 0; i < k->count; i++) {
        tmk_hub_file_clear(&k->places[i].file);
        tmk_str_clear(&k->places[i].gathered);
        tmk_str_clear(&k->places[i].bytes);
    }
    memset(&k->server->keeper, 0, sizeof k->server->keeper);
    tmk_free(k->places);
    tmk_fd_close(k->lock_fd);
    tmk_free(k);
    return NULL;
}
