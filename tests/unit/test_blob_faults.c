/*
 * Every operation on the blob store, with every request of it in turn lost
 * before it was carried out, lost after, refused as busy, or carried out late:
 * what is answered, and what is left in the container, is what a run without
 * faults leaves. test_blob_faults lease|shared
 *
 * A retry costs its pause, so the operations are tried side by side, each with a
 * service of its own.
 */
#include <tidemark/store_blob.h>

#include "base/call.h"

#include "support/blob_service.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#define GROUP "ns/hub/g/"
#define JOIN TMK_STORE_MEMBER_JOIN
#define CLAIM TMK_STORE_PARTITION_CLAIM
#define WRITE TMK_STORE_PARTITION_WRITE

static const char *const tokens[] = {"", "11111111-1111-4111-8111-111111111111",
                                     "22222222-2222-4222-8222-222222222222"};

/* What is asked. `by` and `to` are numbers of tokens. */
typedef struct question {
    tmk_store_op_kind kind;
    int by;
    const char *version; /* "now": of the record as it stands when it is asked */
    bool take_over;
    const char *map;
    int to;
    int64_t sequence;
} question;

typedef struct scene {
    const char *name;
    question before[4];         /* must succeed; kind 0 ends them */
    int64_t pass_ms;            /* then so much time passes */
    const char *put, *put_meta; /* then somebody else writes this blob */
    question asked;
    tmk_status expected;
} scene;

static const scene lease_scenes[] = {
    {"a member joins", {{0}}, 0, NULL, NULL, {JOIN, 1}, TMK_OK},
    {"a member joins again", {{JOIN, 1}}, 0, NULL, NULL, {JOIN, 1}, TMK_OK},
    {"one joins under another's name", {{JOIN, 2}}, 0, NULL, NULL, {JOIN, 1}, TMK_CONFLICT},
    {"a member renews", {{JOIN, 1}}, 0, NULL, NULL, {TMK_STORE_MEMBER_RENEW, 1}, TMK_OK},
    {"a member renews late", {{JOIN, 1}}, 20000, NULL, NULL, {TMK_STORE_MEMBER_RENEW, 1}, TMK_OK},
    {"a member writes", {{JOIN, 1}}, 0, NULL, NULL, {TMK_STORE_MEMBER_WRITE, 1}, TMK_OK},
    {"a member writes late", {{JOIN, 1}}, 20000, NULL, NULL, {TMK_STORE_MEMBER_WRITE, 1}, TMK_OK},
    {"nobody writes", {{0}}, 0, NULL, NULL, {TMK_STORE_MEMBER_WRITE, 1}, TMK_CONFLICT},
    {"the dead is evicted", {{JOIN, 1}}, 20000, NULL, NULL, {TMK_STORE_MEMBER_EVICT, 2}, TMK_OK},
    {"a member leaves", {{JOIN, 1}}, 0, NULL, NULL, {TMK_STORE_MEMBER_LEAVE, 1}, TMK_OK},
    {"a member leaves, and its bell with it",
     {{JOIN, 1}, {TMK_STORE_CALL_RING, 0}},
     0,
     NULL,
     NULL,
     {TMK_STORE_MEMBER_LEAVE, 1},
     TMK_OK},
    {"a member leaves late", {{JOIN, 1}}, 20000, NULL, NULL, {TMK_STORE_MEMBER_LEAVE, 1}, TMK_OK},
    {"one leaves for another",
     {{JOIN, 2}},
     0,
     NULL,
     NULL,
     {TMK_STORE_MEMBER_LEAVE, 1},
     TMK_CONFLICT},
    {"the living is to be evicted",
     {{JOIN, 1}},
     0,
     NULL,
     NULL,
     {TMK_STORE_MEMBER_EVICT, 2},
     TMK_CONFLICT},
    {"nobody is to be evicted", {{0}}, 0, NULL, NULL, {TMK_STORE_MEMBER_EVICT, 2}, TMK_OK},
    {"the evicted is to be evicted",
     {{0}},
     0,
     GROUP "tidemark/members/0",
     "tidemarktoken:x\ntidemarkevicted:1\n",
     {TMK_STORE_MEMBER_EVICT, 2},
     TMK_OK},
    {"the evicted is removed",
     {{0}},
     0,
     GROUP "tidemark/members/0",
     "tidemarktoken:x\ntidemarkevicted:1\n",
     {TMK_STORE_MEMBER_REMOVE, 2},
     TMK_OK},
    {"the evicted is removed while its lease is held",
     {{JOIN, 1}},
     0,
     GROUP "tidemark/members/0",
     "tidemarktoken:x\ntidemarkevicted:1\n",
     {TMK_STORE_MEMBER_REMOVE, 2},
     TMK_OK},
    {"the living is to be removed",
     {{JOIN, 1}},
     0,
     NULL,
     NULL,
     {TMK_STORE_MEMBER_REMOVE, 2},
     TMK_CONFLICT},
    {"a bell rings for the first time", {{0}}, 0, NULL, NULL, {TMK_STORE_CALL_RING, 0}, TMK_OK},
    {"a bell rings", {{TMK_STORE_CALL_RING, 0}}, 0, NULL, NULL, {TMK_STORE_CALL_RING, 0}, TMK_OK},
    {"nobody has rung", {{0}}, 0, NULL, NULL, {TMK_STORE_CALL_LOOK, 0}, TMK_UNCHANGED},
    {"members are listed", {{JOIN, 1}}, 0, NULL, NULL, {TMK_STORE_MEMBER_LIST, 0}, TMK_OK},
    {"the first claim", {{0}}, 0, NULL, NULL, {CLAIM, 1}, TMK_OK},
    {"the first claim, with a done-map",
     {{0}},
     0,
     NULL,
     NULL,
     {CLAIM, 1, "", false, "map"},
     TMK_OK},
    {"a first claim where there is a record",
     {{CLAIM, 2}},
     0,
     NULL,
     NULL,
     {CLAIM, 1},
     TMK_CONFLICT},
    {"a claim on what is free",
     {{CLAIM, 2}, {TMK_STORE_PARTITION_RELEASE, 2}},
     0,
     NULL,
     NULL,
     {CLAIM, 1, "now"},
     TMK_OK},
    {"a claim on what is held", {{CLAIM, 2}}, 0, NULL, NULL, {CLAIM, 1, "now"}, TMK_CONFLICT},
    {"a claim by force", {{CLAIM, 2}}, 0, NULL, NULL, {CLAIM, 1, "now", true}, TMK_OK},
    {"a claim by force on what is free",
     {{CLAIM, 2}, {TMK_STORE_PARTITION_RELEASE, 2}},
     0,
     NULL,
     NULL,
     {CLAIM, 1, "now", true},
     TMK_OK},
    {"a claim by force on an older picture",
     {{CLAIM, 2}},
     0,
     NULL,
     NULL,
     {CLAIM, 1, "0xOLD", true},
     TMK_CONFLICT},
    {"a claim on what an official processor wrote",
     {{0}},
     0,
     GROUP "checkpoint/0",
     "sequencenumber:7\noffset:70\n",
     {CLAIM, 1, "now"},
     TMK_OK},
    {"a claim on what was passed on",
     {{CLAIM, 2}, {TMK_STORE_PARTITION_PASS, 2, "", false, NULL, 1}},
     0,
     NULL,
     NULL,
     {CLAIM, 1, "now"},
     TMK_OK},
    {"a checkpoint", {{CLAIM, 1}}, 0, NULL, NULL, {WRITE, 1, "now"}, TMK_OK},
    {"a checkpoint without a version", {{CLAIM, 1}}, 0, NULL, NULL, {WRITE, 1, ""}, TMK_OK},
    {"a checkpoint with a done-map",
     {{CLAIM, 1}},
     0,
     NULL,
     NULL,
     {WRITE, 1, "now", false, "map"},
     TMK_OK},
    {"a checkpoint on an older picture",
     {{CLAIM, 1}},
     0,
     NULL,
     NULL,
     {WRITE, 1, "0xOLD"},
     TMK_CONFLICT},
    {"a checkpoint of who does not hold it",
     {{CLAIM, 2}},
     0,
     NULL,
     NULL,
     {WRITE, 1, "now"},
     TMK_CONFLICT},
    {"a checkpoint of nothing", {{0}}, 0, NULL, NULL, {WRITE, 1, ""}, TMK_CONFLICT},
    {"a pass",
     {{CLAIM, 1}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_PASS, 1, "", false, NULL, 2},
     TMK_OK},
    {"a pass of who does not hold it",
     {{CLAIM, 2}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_PASS, 1, "", false, NULL, 1},
     TMK_CONFLICT},
    {"a pass of nothing",
     {{0}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_PASS, 1, "", false, NULL, 2},
     TMK_CONFLICT},
    {"a release", {{CLAIM, 1}}, 0, NULL, NULL, {TMK_STORE_PARTITION_RELEASE, 1, ""}, TMK_OK},
    {"a release with a version",
     {{CLAIM, 1}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_RELEASE, 1, "now"},
     TMK_OK},
    {"a release on an older picture",
     {{CLAIM, 1}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_RELEASE, 1, "0xOLD"},
     TMK_CONFLICT},
    {"a release of who does not hold it",
     {{CLAIM, 2}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_RELEASE, 1, ""},
     TMK_CONFLICT},
    {"a deletion",
     {{CLAIM, 1}, {TMK_STORE_PARTITION_RELEASE, 1}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_DELETE, 0},
     TMK_OK},
    {"a deletion of what is held",
     {{CLAIM, 1}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_DELETE, 0},
     TMK_OK},
    {"a deletion of nothing", {{0}}, 0, NULL, NULL, {TMK_STORE_PARTITION_DELETE, 0}, TMK_ABSENT},
    {"partitions are listed", {{CLAIM, 1}}, 0, NULL, NULL, {TMK_STORE_PARTITION_LIST, 0}, TMK_OK},
    {"a partition is read", {{CLAIM, 1}}, 0, NULL, NULL, {TMK_STORE_PARTITION_READ, 0}, TMK_OK},
    {"nothing is read", {{0}}, 0, NULL, NULL, {TMK_STORE_PARTITION_READ, 0}, TMK_ABSENT},
};

#define OFFICIAL "ownerid:dotnet\n"

static const scene shared_scenes[] = {
    {"the first claim", {{0}}, 0, NULL, NULL, {CLAIM, 1}, TMK_OK},
    {"a first claim where there is a record",
     {{CLAIM, 2}},
     0,
     NULL,
     NULL,
     {CLAIM, 1},
     TMK_CONFLICT},
    {"a claim on what is free",
     {{CLAIM, 2}, {TMK_STORE_PARTITION_RELEASE, 2}},
     0,
     NULL,
     NULL,
     {CLAIM, 1, "now"},
     TMK_OK},
    {"a claim by force", {{CLAIM, 2}}, 0, NULL, NULL, {CLAIM, 1, "now", true}, TMK_OK},
    {"a claim by force on a checkpoint",
     {{CLAIM, 2}, {WRITE, 2, "now"}},
     0,
     NULL,
     NULL,
     {CLAIM, 1, "now", true},
     TMK_OK},
    {"a claim on an older picture",
     {{CLAIM, 2}},
     0,
     NULL,
     NULL,
     {CLAIM, 1, "0xOLD,,", true},
     TMK_CONFLICT},
    {"a claim on what an official processor owns",
     {{0}},
     0,
     GROUP "ownership/0",
     OFFICIAL,
     {CLAIM, 1, "now", true},
     TMK_OK},
    {"the first checkpoint", {{CLAIM, 1}}, 0, NULL, NULL, {WRITE, 1, "now"}, TMK_OK},
    {"the next checkpoint",
     {{CLAIM, 1}, {WRITE, 1, "now"}},
     0,
     NULL,
     NULL,
     {WRITE, 1, "now", false, NULL, 0, 50},
     TMK_OK},
    {"the next checkpoint, with a done-map",
     {{CLAIM, 1}, {WRITE, 1, "now"}},
     0,
     NULL,
     NULL,
     {WRITE, 1, "now", false, "map", 0, 50},
     TMK_OK},
    {"a checkpoint without a version",
     {{CLAIM, 1}, {WRITE, 1, "now"}},
     0,
     NULL,
     NULL,
     {WRITE, 1, "", false, NULL, 0, 50},
     TMK_OK},
    {"a checkpoint on an older picture",
     {{CLAIM, 1}, {WRITE, 1, "now"}},
     0,
     NULL,
     NULL,
     {WRITE, 1, "0xOLD,0xOLD,0000", false, NULL, 0, 50},
     TMK_OK},
    {"a checkpoint of who does not hold it",
     {{CLAIM, 2}, {WRITE, 2, "now"}},
     0,
     NULL,
     NULL,
     {WRITE, 1, "", false, NULL, 0, 50},
     TMK_CONFLICT},
    {"a checkpoint of who was stolen from",
     {{CLAIM, 1}},
     0,
     GROUP "ownership/0",
     OFFICIAL,
     {WRITE, 1, ""},
     TMK_CONFLICT},
    {"a renewal", {{CLAIM, 1}}, 0, NULL, NULL, {TMK_STORE_PARTITION_RENEW, 1, "now"}, TMK_OK},
    {"a renewal without a version",
     {{CLAIM, 1}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_RENEW, 1, ""},
     TMK_OK},
    {"a renewal of what has gone",
     {{CLAIM, 1}},
     0,
     GROUP "ownership/0",
     OFFICIAL,
     {TMK_STORE_PARTITION_RENEW, 1, "0xOLD,,"},
     TMK_CONFLICT},
    {"a release", {{CLAIM, 1}}, 0, NULL, NULL, {TMK_STORE_PARTITION_RELEASE, 1, ""}, TMK_OK},
    {"a release after a checkpoint",
     {{CLAIM, 1}, {WRITE, 1, "now"}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_RELEASE, 1, ""},
     TMK_OK},
    {"a release of what is free",
     {{CLAIM, 2}, {TMK_STORE_PARTITION_RELEASE, 2}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_RELEASE, 1, ""},
     TMK_OK},
    {"a release of who does not hold it",
     {{CLAIM, 2}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_RELEASE, 1, ""},
     TMK_CONFLICT},
    {"a deletion",
     {{CLAIM, 1}, {WRITE, 1, "now"}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_DELETE, 0},
     TMK_OK},
    {"a deletion of an ownership alone",
     {{CLAIM, 1}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_DELETE, 0},
     TMK_OK},
    {"a deletion of a checkpoint alone",
     {{0}},
     0,
     GROUP "checkpoint/0",
     "sequencenumber:7\n",
     {TMK_STORE_PARTITION_DELETE, 0},
     TMK_OK},
    {"a deletion of nothing", {{0}}, 0, NULL, NULL, {TMK_STORE_PARTITION_DELETE, 0}, TMK_ABSENT},
    {"partitions are listed",
     {{CLAIM, 1}, {WRITE, 1, "now"}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_LIST, 0},
     TMK_OK},
    {"a partition is read",
     {{CLAIM, 1}, {WRITE, 1, "now"}},
     0,
     NULL,
     NULL,
     {TMK_STORE_PARTITION_READ, 0},
     TMK_OK},
    {"a bell rings for the first time", {{0}}, 0, NULL, NULL, {TMK_STORE_CALL_RING, 0}, TMK_OK},
    {"what a member would do", {{0}}, 0, NULL, NULL, {JOIN, 1}, TMK_EUNSUPPORTED},
};

enum { WORKERS = 24, SCENES_MAX = 64 };

typedef struct worker {
    blob_service service;
    tmk_thread thread;
} worker;

static struct {
    const scene *scenes;
    unsigned count;
    tmk_claims claims;
    atomic_uint next;
    char failure[SCENES_MAX][1024]; /* "": it went well */
    unsigned runs[SCENES_MAX];
    worker workers[WORKERS];
} world;

static tmk_status ask(worker *w, const question *q, char version[TMK_STORE_VERSION_MAX + 1]);

/* ---- one question ---- */

static void now_version(worker *w, char version[TMK_STORE_VERSION_MAX + 1]) {
    const question read = {.kind = TMK_STORE_PARTITION_READ};

    if (ask(w, &read, version) != TMK_OK) {
        version[0] = '\0';
    }
}

static tmk_store open_store(worker *w) {
    tmk_store_blob_options o;
    tmk_store store = {NULL, NULL};

    tmk_store_blob_options_init(&o);
    o.connection_string = w->service.connection_string;
    o.container = "box";
    o.host = "ns";
    o.hub = "hub";
    o.group = "g";
    o.claims = world.claims;
    (void)!tmk_store_blob_new(&o, &store, NULL);
    return store;
}

static tmk_status send_to(worker *w, const question *q, char *version) {
    static const char *const owners[] = {"", "one", "other"};
    tmk_partition_record r = {.owner = owners[q->by],
                              .successor = "",
                              .generation = q->by,
                              .checkpoint = {true, true, q->sequence == 0 ? 42 : q->sequence,
                                             "4096", tmk_slice_str(q->map)}};
    tmk_store_op op = {.kind = q->kind,
                       .id = "0",
                       .token = tokens[q->by == 0 ? 1 : q->by],
                       .token_next = tokens[q->to == 0 ? 1 : q->to],
                       .version = version,
                       .body = "body",
                       .record = &r,
                       .lease_ms = 15000,
                       .take_over = q->take_over,
                       .timeout_ms = 20000};
    tmk_store store = open_store(w);
    tmk_store_result *result = NULL;
    tmk_status st = tmk_store_ask(store, &op, &result, NULL);

    if (st == TMK_OK && q->kind == TMK_STORE_PARTITION_READ) {
        (void)snprintf(version, TMK_STORE_VERSION_MAX + 1, "%s", result->partitions[0].version);
    }
    result = tmk_store_result_free(result);
    tmk_store_free(store);
    return st;
}

static tmk_status ask(worker *w, const question *q, char version[TMK_STORE_VERSION_MAX + 1]) {
    version[0] = '\0';
    if (q->version != NULL && strcmp(q->version, "now") == 0) {
        now_version(w, version);
    } else if (q->version != NULL) {
        (void)snprintf(version, TMK_STORE_VERSION_MAX + 1, "%s", q->version);
    }
    return send_to(w, q, version);
}

/* ---- one scene ---- */

static bool prepare(worker *w, const scene *s) {
    char version[TMK_STORE_VERSION_MAX + 1];
    bool good = true;

    blob_service_reset(&w->service);
    for (size_t i = 0; i < 4 && s->before[i].kind != 0; i++) {
        good = ask(w, &s->before[i], version) == TMK_OK && good;
    }
    blob_service_advance(&w->service, s->pass_ms);
    if (s->put != NULL) {
        blob_service_put(&w->service, s->put, s->put_meta);
    }
    return good;
}

/* The version is looked up before the count begins. */
static tmk_status play(worker *w, const scene *s, blob_fault fault, unsigned at, tmk_str *left) {
    char version[TMK_STORE_VERSION_MAX + 1] = "";
    question q = s->asked;
    tmk_status st;

    if (!prepare(w, s)) {
        return TMK_EINTERNAL;
    }
    if (q.version != NULL && strcmp(q.version, "now") == 0) {
        now_version(w, version);
    } else if (q.version != NULL) {
        (void)snprintf(version, sizeof version, "%s", q.version);
    }
    blob_service_arm(&w->service, fault, at);
    st = send_to(w, &q, version);
    tmk_str_reset(left);
    blob_service_tell(&w->service, left);
    return st;
}

static void compare(unsigned number, blob_fault fault, unsigned at, tmk_status st,
                    const tmk_str *left, const tmk_str *good) {
    static const char *const faults[] = {"none", "request lost", "answer lost", "busy", "late"};
    const scene *s = &world.scenes[number];

    if (s->asked.kind == TMK_STORE_PARTITION_DELETE && fault != BLOB_WELL && st >= 0) {
        st = s->expected;
    }
    if (world.failure[number][0] == '\0' &&
        (st != s->expected || strcmp(tmk_str_text(left), tmk_str_text(good)) != 0)) {
        (void)snprintf(world.failure[number], sizeof world.failure[number],
                       "request %u %s: %s instead of %s; left: %.300s instead of: %.300s", at,
                       faults[fault], tmk_status_name(st), tmk_status_name(s->expected),
                       tmk_str_text(left), tmk_str_text(good));
    }
}

static void play_all(worker *w, unsigned number) {
    static const blob_fault faults[] = {BLOB_LOSES_REQUEST, BLOB_LOSES_ANSWER, BLOB_BUSY,
                                        BLOB_LATE};
    const scene *s = &world.scenes[number];
    tmk_str good = TMK_STR_INIT, left = TMK_STR_INIT;
    tmk_status st = play(w, s, BLOB_WELL, 0, &good);
    unsigned requests = blob_service_requests(&w->service);

    compare(number, BLOB_WELL, 0, st, &good, &good);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        for (unsigned at = 1; at <= requests; at++) {
            st = play(w, s, faults[i], at, &left);
            compare(number, faults[i], at, st, &left, &good);
            world.runs[number]++;
        }
    }
    tmk_str_clear(&good);
    tmk_str_clear(&left);
}

static void *work(void *arg) {
    worker *w = arg;

    for (unsigned n; (n = atomic_fetch_add(&world.next, 1)) < world.count;) {
        play_all(w, n);
    }
    return NULL;
}

int main(int argc, char **argv) {
    bool shared = argc > 1 && strcmp(argv[1], "shared") == 0, good = true;

    world.claims = shared ? TMK_CLAIMS_SHARED : TMK_CLAIMS_LEASE;
    world.scenes = shared ? shared_scenes : lease_scenes;
    world.count = (unsigned)((shared ? sizeof shared_scenes : sizeof lease_scenes) / sizeof(scene));
    for (size_t i = 0; i < WORKERS; i++) {
        blob_service_start(&world.workers[i].service);
        good = tmk_thread_start(&world.workers[i].thread, "tmk-scene", work, &world.workers[i],
                                NULL) == TMK_OK &&
               good;
    }
    for (size_t i = 0; i < WORKERS; i++) {
        tmk_thread_join(&world.workers[i].thread);
        blob_service_stop(&world.workers[i].service);
    }
    printf("1..%u\n", world.count);
    for (unsigned i = 0; i < world.count; i++) {
        bool well =
            world.failure[i][0] == '\0' && (world.runs[i] > 0 || world.scenes[i].expected < 0);

        printf("%s %u - %s, in %u runs\n", well ? "ok" : "not ok", i + 1, world.scenes[i].name,
               world.runs[i]);
        if (!well) {
            printf("# %s\n", world.failure[i]);
        }
        good = good && well;
    }
    return good ? 0 : 1;
}
