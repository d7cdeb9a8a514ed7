/* Events in a folder: what was told to be safe is there again, and nothing else. */
#include "hub/keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "support/check.h"
#include "support/temp_folder.h"

static const int64_t ms0 = INT64_C(1700000000000);

typedef struct world {
    temp_folder folder;
    tmk_hub_server server;
    tmk_hub_keep *keep;
    tmk_mutex lock;
    tmk_cond rung;
    bool has_rung;
} world;

static void ring(void *self) {
    world *w = self;

    tmk_mutex_lock(&w->lock);
    w->has_rung = true;
    tmk_cond_signal(&w->rung);
    tmk_mutex_unlock(&w->lock);
}

static tmk_status try_open(world *w, uint32_t partitions, bool geo, tmk_error *err) {
    tmk_hub_keep_options o = {w->folder.path, 4096, ring, w};
    tmk_status st;

    tmk_hub_server_init(&w->server, 1, 0, 0);
    w->server.wall_ms = ms0;
    CHECK_EQ(TMK_OK,
             tmk_hub_core_add(&w->server.core, "hub", partitions, NULL, 0, geo, ms0, 0, err));
    st = tmk_hub_keep_open(&o, &w->server, &w->keep, err);
    if (st < 0) {
        tmk_hub_server_clear(&w->server);
    }
    return st;
}

static void open_hub(world *w) {
    tmk_error err;

    if (try_open(w, 2, false, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

static void close_hub(world *w) {
    w->keep = tmk_hub_keep_close(w->keep);
    tmk_hub_server_clear(&w->server);
}

static void world_init(world *w) {
    memset(w, 0, sizeof *w);
    temp_folder_make(&w->folder);
    CHECK_EQ(TMK_OK, tmk_mutex_init(&w->lock, 100, NULL));
    CHECK_EQ(TMK_OK, tmk_cond_init(&w->rung, NULL));
    open_hub(w);
}

static void world_clear(world *w) {
    close_hub(w);
    tmk_cond_clear(&w->rung);
    tmk_mutex_clear(&w->lock);
    temp_folder_remove(&w->folder);
}

static tmk_hub_part *part_of(world *w, uint32_t index) {
    return &tmk_hub_core_find(&w->server.core, TMK_LIT("hub"))->parts[index];
}

/* Appends an event whose body is its sequence number, and asks for it to be stored. */
static tmk_status put(world *w, uint32_t index) {
    tmk_hub_part *p = part_of(w, index);
    tmk_str text = TMK_STR_INIT;
    int64_t first = p->log.end;
    tmk_hub_message m;
    char body[64];
    tmk_status st;

    (void)snprintf(body, sizeof body, "event %" PRId64 " ................................", first);
    tmk_hub_plain_message_add(&text, tmk_slice_str(body), (tmk_slice){0}, false);
    CHECK(tmk_hub_message_parse(tmk_str_slice(&text), &m));
    CHECK_EQ(TMK_OK, tmk_hub_part_append(p, &m, m.key, false, w->server.wall_ms + first,
                                         &w->server.scratch));
    st = w->server.keeper.store(w->keep, p, first, p->log.end);
    if (st < 0) {
        tmk_hub_log_drop_from(&p->log, first);
    }
    tmk_str_clear(&text);
    return st;
}

/* Waits until the log's thread has something to say, and tells the engine. */
static void collect(world *w) {
    tmk_mutex_lock(&w->lock);
    while (!w->has_rung) {
        tmk_cond_wait(&w->rung, &w->lock);
    }
    w->has_rung = false;
    tmk_mutex_unlock(&w->lock);
    tmk_hub_keep_collect(w->keep);
}

static void put_safely(world *w, uint32_t index, int count) {
    for (int i = 0; i < count; i++) {
        CHECK_EQ(TMK_OK, put(w, index));
    }
    while (part_of(w, index)->log.visible < part_of(w, index)->log.end) {
        collect(w);
    }
}

/* Every event from the first kept on is there and is the right one; the number of the next. */
static int64_t check_events(world *w, uint32_t index) {
    const tmk_hub_log *log = &part_of(w, index)->log;

    for (int64_t s = log->begin; s < log->visible; s++) {
        const tmk_hub_entry *e = NULL;
        const uint8_t *bytes = tmk_hub_log_event(log, s, &e);
        char body[32];
        (void)snprintf(body, sizeof body, "event %" PRId64 " .", s);
        CHECK(memmem(bytes, e->size, body, strlen(body)) != NULL);
        CHECK_EQ(ms0 + s, e->enqueued_ms);
    }
    return log->visible;
}

static int files(const world *w, const char *end) {
    char path[300];
    DIR *dir;
    const struct dirent *e;
    int count = 0;

    (void)snprintf(path, sizeof path, "%s/hub/0", w->folder.path);
    dir = opendir(path);
    CHECK(dir != NULL);
    while ((e = readdir(dir)) != NULL) {
        count += tmk_slice_ends(tmk_slice_str(e->d_name), tmk_slice_str(end));
    }
    (void)closedir(dir);
    return count;
}

/* ---- what stays ---- */

static void events_are_visible_when_they_are_safe_and_there_again(void) {
    world w;

    world_init(&w);
    CHECK_EQ(TMK_OK, put(&w, 0));
    CHECK_EQ(0, part_of(&w, 0)->log.visible);
    put_safely(&w, 0, 9);
    put_safely(&w, 1, 3);
    close_hub(&w);
    open_hub(&w);
    CHECK_EQ(10, check_events(&w, 0));
    CHECK_EQ(3, check_events(&w, 1));
    put_safely(&w, 0, 5);
    close_hub(&w);
    open_hub(&w);
    CHECK_EQ(15, check_events(&w, 0));
    world_clear(&w);
}

static void offsets_and_times_go_on_where_they_were(void) {
    world w;
    int64_t offset, next;

    world_init(&w);
    put_safely(&w, 0, 3);
    offset = part_of(&w, 0)->log.last_offset;
    next = part_of(&w, 0)->log.offset_next;
    close_hub(&w);
    open_hub(&w);
    CHECK_EQ(offset, part_of(&w, 0)->log.last_offset);
    CHECK_EQ(next, part_of(&w, 0)->log.offset_next);
    CHECK_EQ(ms0 + 2, part_of(&w, 0)->log.last_ms);
    world_clear(&w);
}

static void what_was_gathered_is_written_at_the_end(void) {
    world w;

    world_init(&w);
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(TMK_OK, put(&w, 0));
    }
    close_hub(&w);
    open_hub(&w);
    CHECK_EQ(50, check_events(&w, 0));
    world_clear(&w);
}

static void full_files_are_followed_by_new_ones_and_cut_away(void) {
    world w;

    world_init(&w);
    for (int i = 0; i < 10; i++) {
        put_safely(&w, 0, 20);
    }
    CHECK(files(&w, ".seg") >= 8);
    close_hub(&w);
    open_hub(&w);
    CHECK_EQ(200, check_events(&w, 0));
    tmk_hub_log_cut(&part_of(&w, 0)->log, 195);
    w.server.keeper.cut(w.keep, part_of(&w, 0));
    collect(&w);
    CHECK_EQ(1, files(&w, ".seg"));
    close_hub(&w);
    open_hub(&w);
    CHECK_EQ(200, check_events(&w, 0));
    CHECK_EQ(195, part_of(&w, 0)->log.begin); /* not only whole files */
    world_clear(&w);
}

static void a_hub_made_anew_stays_so(void) {
    world w;
    tmk_hub_entity *e;

    world_init(&w);
    put_safely(&w, 0, 30);
    e = tmk_hub_core_find(&w.server.core, TMK_LIT("hub"));
    CHECK_EQ(TMK_OK, put(&w, 0)); /* under way */
    tmk_hub_entity_recreate(e, ms0 + 5);
    w.server.keeper.restart(w.keep, e);
    put_safely(&w, 0, 2);
    CHECK_EQ(2, check_events(&w, 0));
    close_hub(&w);
    open_hub(&w);
    CHECK_EQ(2, check_events(&w, 0));
    world_clear(&w);
}

static void stored_events_are_told_with_opaque_offsets_when_asked(void) {
    world w;
    tmk_error err;
    const tmk_hub_entry *e = NULL;
    const uint8_t *bytes;
    tmk_hub_offset wanted;

    world_init(&w);
    put_safely(&w, 0, 3);
    close_hub(&w);
    CHECK_EQ(TMK_OK, try_open(&w, 2, true, &err));
    bytes = tmk_hub_log_event(&part_of(&w, 0)->log, 1, &e);
    wanted = tmk_hub_offset_text(part_of(&w, 0)->entity, e->offset);
    CHECK_SLICE(wanted.text, tmk_hub_event_offset(tmk_slice_of(bytes, e->size)));
    world_clear(&w);
}

/* ---- what must not be ---- */

static void two_hubs_do_not_share_a_folder(void) {
    world w, other;
    tmk_error err;

    world_init(&w);
    memset(&other, 0, sizeof other);
    other.folder = w.folder;
    CHECK_EQ(TMK_EIO, try_open(&other, 2, false, &err));
    CHECK(strstr(err.text, "in use") != NULL);
    world_clear(&w);
}

static void another_count_of_partitions_is_refused(void) {
    world w;
    tmk_error err;

    world_init(&w);
    close_hub(&w);
    CHECK_EQ(TMK_EINVAL, try_open(&w, 3, false, &err));
    CHECK(strstr(err.text, "2 partitions") != NULL);
    open_hub(&w);
    world_clear(&w);
}

/* ---- files that are not as they were ---- */

static void segment_path(const world *w, int64_t first, char out[400]) {
    (void)snprintf(out, 400, "%s/hub/0/%020" PRId64 ".seg", w->folder.path, first);
}

static off_t size_of(const char *path) {
    struct stat s;

    CHECK_EQ(0, stat(path, &s));
    return s.st_size;
}

/* Byte by byte: after each loss the hub starts, has a beginning of the row, and goes on. */
static void a_file_torn_at_any_byte_gives_a_beginning_and_goes_on(void) {
    world w;
    char path[400];
    int64_t before = 5;
    off_t size;

    world_init(&w);
    put_safely(&w, 0, 5);
    close_hub(&w);
    segment_path(&w, 0, path);
    size = size_of(path);
    while (size > 0) {
        int64_t now;
        size--;
        CHECK_EQ(0, truncate(path, size));
        open_hub(&w);
        now = check_events(&w, 0);
        CHECK(now == before || now == before - 1);
        before = now;
        close_hub(&w);
        if (access(path, F_OK) != 0) {
            break; /* not even a head was left */
        }
        size = size_of(path);
    }
    CHECK_EQ(0, before);
    open_hub(&w);
    put_safely(&w, 0, 3);
    close_hub(&w);
    open_hub(&w);
    CHECK_EQ(3, check_events(&w, 0));
    world_clear(&w);
}

static void flip(const char *path, off_t at) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char c = 0;

    CHECK_EQ(1, pread(fd, &c, 1, at));
    c = (char)(c ^ 0x40);
    CHECK_EQ(1, pwrite(fd, &c, 1, at));
    (void)tmk_fd_close(fd);
}

static void files_behind_a_damaged_one_are_set_aside(void) {
    world w;
    char path[400];
    int64_t kept;

    world_init(&w);
    for (int i = 0; i < 5; i++) {
        put_safely(&w, 0, 20);
    }
    close_hub(&w);
    segment_path(&w, 20, path);
    flip(path, size_of(path) - 5);
    open_hub(&w);
    kept = check_events(&w, 0);
    CHECK_EQ(39, kept);
    CHECK(files(&w, ".damaged") >= 3);
    put_safely(&w, 0, 1);
    close_hub(&w);
    open_hub(&w);
    CHECK_EQ(40, check_events(&w, 0));
    world_clear(&w);
}

static void a_first_file_without_a_head_is_not_guessed_at(void) {
    world w;
    char path[400];
    tmk_error err;

    world_init(&w);
    put_safely(&w, 0, 3);
    close_hub(&w);
    segment_path(&w, 0, path);
    flip(path, 10);
    CHECK_EQ(TMK_EIO, try_open(&w, 2, false, &err));
    CHECK(strstr(err.text, "damaged") != NULL);
    flip(path, 10);
    open_hub(&w);
    world_clear(&w);
}

/* ---- a disk that fails ---- */

static tmk_file_calls real;
static atomic_int writes_left = INT32_MAX, syncs_left = INT32_MAX;

static long failing_write(int fd, const void *bytes, size_t size) {
    if (atomic_fetch_sub(&writes_left, 1) <= 0) {
        long half = real.write(fd, bytes, size / 2); /* as a full disk does */
        (void)half;
        errno = ENOSPC;
        return -1;
    }
    return real.write(fd, bytes, size);
}

static int failing_sync(int fd) {
    if (atomic_fetch_sub(&syncs_left, 1) <= 0) {
        errno = EIO;
        return -1;
    }
    return real.fsync(fd);
}

/* Fails at the nth write or sync, mends after a while; what was safe is there, once, in order. */
static void check_failing_disk(atomic_int *left, int n) {
    world w;
    int64_t safe;
    int tries = 0;

    world_init(&w);
    put_safely(&w, 0, 15);
    atomic_store(left, n);
    while (tries++ < 50 && put(&w, 0) == TMK_OK) {
        collect(&w);
    }
    CHECK(tries < 50);
    CHECK(part_of(&w, 0)->log.end == part_of(&w, 0)->log.visible);
    safe = check_events(&w, 0);
    atomic_store(left, INT32_MAX);
    while (put(&w, 0) < 0) {
        collect(&w); /* the failed put has asked for a repair, which rings when it is done */
    }
    while (part_of(&w, 0)->log.visible < part_of(&w, 0)->log.end) {
        collect(&w);
    }
    CHECK_EQ(safe + 1, check_events(&w, 0));
    close_hub(&w);
    open_hub(&w);
    CHECK_EQ(safe + 1, check_events(&w, 0));
    world_clear(&w);
}

static void a_failing_disk_rejects_and_never_lies(void) {
    real = tmk_file_os;
    tmk_file_os.write = failing_write;
    tmk_file_os.fsync = failing_sync;
    for (int n = 0; n < 12; n++) {
        check_failing_disk(&writes_left, n);
        check_failing_disk(&syncs_left, n);
    }
    tmk_file_os = real;
}

int main(void) {
    return RUN(TEST(events_are_visible_when_they_are_safe_and_there_again),
               TEST(offsets_and_times_go_on_where_they_were),
               TEST(what_was_gathered_is_written_at_the_end),
               TEST(full_files_are_followed_by_new_ones_and_cut_away),
               TEST(a_hub_made_anew_stays_so),
               TEST(stored_events_are_told_with_opaque_offsets_when_asked),
               TEST(two_hubs_do_not_share_a_folder), TEST(another_count_of_partitions_is_refused),
               TEST(a_file_torn_at_any_byte_gives_a_beginning_and_goes_on),
               TEST(files_behind_a_damaged_one_are_set_aside),
               TEST(a_first_file_without_a_head_is_not_guessed_at),
               TEST(a_failing_disk_rejects_and_never_lies));
}
