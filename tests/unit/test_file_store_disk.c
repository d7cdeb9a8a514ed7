/*
 * The file store with each opening, write, sync and rename failing in turn, once and from then on:
 * what was answered with OK is there, what was refused left the record as it was or as it was to
 * be, whole; and when the disk works again, so does everything.
 */
#include <tidemark/store_file.h>

#include <dirent.h>
#include <pthread.h>

#include "base/call.h"
#include "base/file.h"

#include "support/check.h"
#include "support/failing_io.h"
#include "support/temp_folder.h"

#define TOKEN_A "11111111-1111-4111-8111-111111111111"
#define TOKEN_B "22222222-2222-4222-8222-222222222222"
#define PARTITIONS "/ns.servicebus.windows.net/hub/%24default/partitions"

static temp_folder folder;
static tmk_store store, witness; /* the witness looks when nothing fails */

/* ---- asking ---- */

typedef struct question {
    tmk_store_call call;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool answered;
    tmk_status status;
    int64_t sequence, generation;
} question;

static void answered(tmk_store_call *call, const tmk_store_result *result) {
    question *q = (question *)(void *)call;

    (void)pthread_mutex_lock(&q->lock);
    q->status = result->status;
    q->sequence = -1;
    if (result->partition_count > 0) {
        const tmk_partition_record *r = &result->partitions[0];

        q->sequence = r->checkpoint.present ? r->checkpoint.sequence : -1;
        q->generation = r->generation;
    }
    q->answered = true;
    (void)pthread_cond_signal(&q->wake);
    (void)pthread_mutex_unlock(&q->lock);
}

static question ask(tmk_store s, const tmk_store_op *op) {
    question q = {.call.answered = answered};

    (void)pthread_mutex_init(&q.lock, NULL);
    (void)pthread_cond_init(&q.wake, NULL);
    s.ops->submit(s.self, op, &q.call);
    (void)pthread_mutex_lock(&q.lock);
    while (!q.answered) {
        (void)pthread_cond_wait(&q.wake, &q.lock);
    }
    (void)pthread_mutex_unlock(&q.lock);
    (void)pthread_cond_destroy(&q.wake);
    (void)pthread_mutex_destroy(&q.lock);
    return q;
}

static tmk_status open_store(tmk_store *out) {
    tmk_store_file_options o;
    tmk_error err;

    tmk_store_file_options_init(&o);
    o.folder = folder.path;
    o.host = "ns.servicebus.windows.net";
    o.hub = "hub";
    return tmk_store_file_new(&o, out, &err);
}

/* ---- a life of partition 0 ---- */

typedef struct step {
    tmk_store_op_kind kind;
    const char *token, *token_next;
    const char *owner, *successor;
    int64_t generation, sequence;
} step;

/* Claimed, written twice, passed on in the order that a handoff has, written, released. */
static const step steps[] = {
    {TMK_STORE_PARTITION_CLAIM, TOKEN_A, NULL, "a", "", 1, -1},
    {TMK_STORE_PARTITION_WRITE, TOKEN_A, NULL, "a", "", 1, 10},
    {TMK_STORE_PARTITION_WRITE, TOKEN_A, NULL, "a", "", 1, 20},
    {TMK_STORE_PARTITION_WRITE, TOKEN_A, NULL, "a", "b", 2, 30},
    {TMK_STORE_PARTITION_PASS, TOKEN_A, TOKEN_B, "a", "b", 2, 30},
    {TMK_STORE_PARTITION_WRITE, TOKEN_B, NULL, "b", "", 2, 40},
    {TMK_STORE_PARTITION_RELEASE, TOKEN_B, NULL, "", "", 2, 40},
};
enum { STEPS = sizeof steps / sizeof *steps };

static tmk_status take_step(const step *s) {
    tmk_partition_record r = {.owner = s->owner,
                              .successor = s->successor,
                              .generation = s->generation,
                              .checkpoint = {s->sequence >= 0, true, s->sequence, "1", {NULL, 0}}};
    tmk_store_op op = {.kind = s->kind,
                       .id = "0",
                       .token = s->token,
                       .token_next = s->token_next,
                       .version = "",
                       .record = &r};

    return ask(store, &op).status;
}

static question look(void) {
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_READ, .id = "0", .version = ""};
    question q;

    failing_io_spare(true);
    q = ask(witness, &op);
    failing_io_spare(false);
    return q;
}

static bool is_as_after(const question *q, const step *s) {
    if (s == NULL) {
        return q->status == TMK_ABSENT;
    }
    return q->status == TMK_OK && q->sequence == s->sequence && q->generation == s->generation;
}

/* No half-written file stays behind. */
static void check_no_litter(void) {
    char path[512];
    unsigned count = 0;
    DIR *dir = NULL;

    (void)snprintf(path, sizeof path, "%s%s", folder.path, PARTITIONS);
    dir = opendir(path);
    for (const struct dirent *e = NULL; dir != NULL && (e = readdir(dir)) != NULL;) {
        count += e->d_name[0] != '.';
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    CHECK(count <= 1);
}

/* Says OK only of what is there; else the record is as it was, or as it was to be. */
static void check_step(size_t n) {
    const step *before = n == 0 ? NULL : &steps[n - 1];
    bool had_failed = failing_io_hit();
    tmk_status st = take_step(&steps[n]);
    question q = look();

    if (st == TMK_OK) {
        CHECK(had_failed || !failing_io_hit()); /* not done without what was to be done */
        CHECK(is_as_after(&q, &steps[n]));
    } else {
        CHECK(failing_io_hit());
        CHECK(st < 0 || st == TMK_CONFLICT);
        CHECK(is_as_after(&q, before) || is_as_after(&q, &steps[n]));
        failing_io_spare(true);
        st = take_step(&steps[n]);
        failing_io_spare(false);
        q = look();
        /* Done now, or done then, which its owner sees when it looks. */
        CHECK(st == TMK_OK || st == TMK_CONFLICT || st == TMK_ABSENT);
        CHECK(is_as_after(&q, &steps[n]));
    }
    check_no_litter();
}

static void live_in(failing_mode mode) {
    size_t rounds = 0;

    for (failing_io_begin(mode); failing_io_next(); rounds++) {
        temp_folder_make(&folder);
        failing_io_spare(true);
        CHECK_EQ(TMK_OK, open_store(&witness));
        failing_io_spare(false);
        if (open_store(&store) < 0) {
            CHECK(failing_io_hit());
            failing_io_spare(true);
            CHECK_EQ(TMK_OK, open_store(&store));
            failing_io_spare(false);
        }
        for (size_t n = 0; n < STEPS; n++) {
            check_step(n);
        }
        tmk_store_free(store);
        tmk_store_free(witness);
        temp_folder_remove(&folder);
    }
    CHECK(rounds > 20);
}

static void a_failure_of_the_disk_anywhere_is_said_and_outlived(void) {
    live_in(FAILING_ONCE);
}

static void a_disk_that_stays_broken_is_said_each_time(void) {
    live_in(FAILING_FROM);
}

/* ---- members ---- */

static tmk_status member(tmk_store_op_kind kind, const char *body) {
    tmk_store_op op = {
        .kind = kind, .id = "m", .token = TOKEN_A, .body = body, .version = "", .lease_ms = 20000};

    return ask(store, &op).status;
}

/* A renewal that was answered with OK keeps the member alive: it may be believed. */
static void check_member(tmk_store_op_kind kind, bool alive) {
    tmk_store_op list = {.kind = TMK_STORE_MEMBER_LIST, .version = ""};
    tmk_status st = member(kind, "state");

    if (st != TMK_OK) {
        CHECK(failing_io_hit());
        failing_io_spare(true);
        st = member(kind, "state");
        failing_io_spare(false);
        CHECK(st == TMK_OK || st == TMK_CONFLICT || st == TMK_ABSENT);
    }
    failing_io_spare(true);
    CHECK_EQ(TMK_OK, ask(witness, &list).status);
    CHECK_EQ(alive ? TMK_OK : TMK_CONFLICT, member(TMK_STORE_MEMBER_RENEW, NULL));
    failing_io_spare(false);
}

static void members_join_renew_write_and_leave_over_a_disk_that_fails(void) {
    size_t rounds = 0;

    for (failing_io_begin(FAILING_ONCE); failing_io_next(); rounds++) {
        temp_folder_make(&folder);
        failing_io_spare(true);
        CHECK_EQ(TMK_OK, open_store(&witness));
        CHECK_EQ(TMK_OK, open_store(&store));
        failing_io_spare(false);
        check_member(TMK_STORE_MEMBER_JOIN, true);
        check_member(TMK_STORE_MEMBER_RENEW, true);
        check_member(TMK_STORE_MEMBER_WRITE, true);
        check_member(TMK_STORE_MEMBER_LEAVE, false);
        tmk_store_free(store);
        tmk_store_free(witness);
        temp_folder_remove(&folder);
    }
    CHECK(rounds > 5);
}

int main(void) {
    return RUN(TEST(a_failure_of_the_disk_anywhere_is_said_and_outlived),
               TEST(a_disk_that_stays_broken_is_said_each_time),
               TEST(members_join_renew_write_and_leave_over_a_disk_that_fails));
}
