/*
 * The blob store against a server that plays a script: what Azurite never
 * does. Each step names what the request must hold and what is answered, or
 * how the answer gets lost.
 */
#include "checkpoint/blob.h"

#include "base/call.h"
#include "base/log.h"

#include "support/check.h"
#include "support/net_server.h"

#define TOKEN_A "11111111-1111-4111-8111-111111111111"
#define TOKEN_B "22222222-2222-4222-8222-222222222222"
#define KEY "c2VjcmV0LWtleS1vZi10aGUtdGVzdA=="
#define DATE "Date: Fri, 20 Nov 2026 21:10:00 GMT\r\n"

/* Answers that are none. */
static const char lost[] = "the connection is reset instead of an answer";
static const char silent[] = "nothing is answered at all";

typedef struct step {
    const char *expected[5]; /* what the request's head must hold */
    const char *answer;
} step;

static struct {
    const step *steps;
    size_t count;
    size_t next;
    bool renewed;     /* a renewal of a lease has come */
    char wrong[2048]; /* the first request that was not as expected */
    tmk_mutex lock;   /* rank 950; guards next and wrong */
    net_server server;
    char connection_string[256];
    char log[65536];
    size_t log_size;
} world;

static const step *take_step(const char *head) {
    const step *s = NULL;

    tmk_mutex_lock(&world.lock);
    world.renewed = world.renewed || strstr(head, "x-ms-lease-action: renew") != NULL;
    if (world.next < world.count) {
        s = &world.steps[world.next++];
        for (size_t i = 0; i < 5 && s->expected[i] != NULL; i++) {
            if (strstr(head, s->expected[i]) == NULL && world.wrong[0] == '\0') {
                (void)snprintf(world.wrong, sizeof world.wrong, "step %zu: no '%s' in %.1500s",
                               world.next, s->expected[i], head);
            }
        }
    } else if (world.wrong[0] == '\0') {
        (void)snprintf(world.wrong, sizeof world.wrong, "one request too many: %.1500s", head);
    }
    tmk_mutex_unlock(&world.lock);
    return s;
}

static void serve(net_connection *c) {
    tmk_str head = TMK_STR_INIT, body = TMK_STR_INIT;

    while (net_read_request(c, &head, &body)) {
        const step *s = take_step(tmk_str_text(&head));
        if (s == NULL || s->answer == lost) {
            net_reset(c);
            break;
        }
        if (s->answer == silent) {
            (void)net_wait_end(c);
            break;
        }
        if (!net_send_text(c, s->answer)) {
            break;
        }
    }
    tmk_str_clear(&head);
    tmk_str_clear(&body);
}

static void keep_log(void *self, tmk_log_level level, const char *event, const char *fields) {
    int size;

    (void)self;
    (void)level;
    tmk_mutex_lock(&world.lock);
    size = snprintf(world.log + world.log_size, sizeof world.log - world.log_size, "%s %s\n", event,
                    fields);
    if (size > 0 && (size_t)size < sizeof world.log - world.log_size) {
        world.log_size += (size_t)size;
    }
    tmk_mutex_unlock(&world.lock);
}

static tmk_store_blob_options options(void) {
    tmk_store_blob_options o;

    tmk_store_blob_options_init(&o);
    o.connection_string = world.connection_string;
    o.container = "box";
    o.host = "ns";
    o.hub = "hub";
    o.group = "g";
    o.log = (tmk_log){keep_log, NULL, TMK_LOG_TRACE};
    return o;
}

static tmk_store begin_with(const step *steps, size_t count, tmk_store_blob_options o) {
    tmk_store store;
    tmk_error err = {0};

    world.steps = steps;
    world.count = count;
    if (tmk_store_blob_new(&o, &store, &err) != TMK_OK) {
        fail_msg("%s", err.text);
    }
    return store;
}

static void prepare(void) {
    memset(&world, 0, sizeof world);
    CHECK_EQ(TMK_OK, tmk_mutex_init(&world.lock, 950, NULL));
    net_server_start(&world.server, serve, NULL);
    (void)snprintf(world.connection_string, sizeof world.connection_string,
                   "AccountName=acct;AccountKey=" KEY ";BlobEndpoint=http://127.0.0.1:%d",
                   world.server.port);
}

static void end(tmk_store store) {
    tmk_store_free(store);
    net_server_stop(&world.server);
    if (world.wrong[0] != '\0') {
        fail_msg("%s", world.wrong);
    }
    CHECK_EQ(world.count, world.next);
    CHECK(strstr(world.log, KEY) == NULL && strstr(world.log, "SharedKey") == NULL);
    tmk_mutex_clear(&world.lock);
}

#define SCRIPT(...)                            \
    static const step steps[] = {__VA_ARGS__}; \
    tmk_store store = (prepare(), begin_with(steps, sizeof steps / sizeof *steps, options()))

static tmk_store begin_shared(const step *steps, size_t count) {
    tmk_store_blob_options o;

    prepare();
    o = options();
    o.claims = TMK_CLAIMS_SHARED;
    return begin_with(steps, count, o);
}

#define SCRIPT_SHARED(...)                     \
    static const step steps[] = {__VA_ARGS__}; \
    tmk_store store = begin_shared(steps, sizeof steps / sizeof *steps)

/* ---- what is asked ---- */

typedef struct answer {
    tmk_status status;
    tmk_error error;
    int64_t retry_after_ms;
    char version[160];
    size_t count;
    int64_t sequence, age_ms;
    bool held;
} answer;

static answer ask(tmk_store store, const tmk_store_op *op) {
    tmk_store_result *r = NULL;
    tmk_error err = {0};
    answer a = {.status = tmk_store_ask(store, op, &r, &err)};

    CHECK(r != NULL);
    a.error = r->error;
    a.retry_after_ms = r->retry_after_ms;
    a.count = r->partition_count + r->member_count;
    (void)snprintf(a.version, sizeof a.version, "%s", r->version);
    if (r->partition_count > 0) {
        a.sequence = r->partitions[0].checkpoint.sequence;
        a.age_ms = r->partitions[0].age_ms;
        a.held = r->partitions[0].held;
    }
    r = tmk_store_result_free(r);
    return a;
}

static answer partition(tmk_store store, tmk_store_op_kind kind, const char *version) {
    tmk_partition_record r = {
        .owner = "w", .generation = 2, .checkpoint = {true, true, 42, "4096", {NULL, 0}}};
    tmk_store_op op = {.kind = kind,
                       .id = "0",
                       .token = TOKEN_A,
                       .token_next = TOKEN_B,
                       .version = version,
                       .record = &r,
                       .timeout_ms = 5000};
    return ask(store, &op);
}

static answer member(tmk_store store, tmk_store_op_kind kind, int64_t timeout_ms) {
    tmk_store_op op = {.kind = kind,
                       .id = "m",
                       .token = TOKEN_A,
                       .version = "",
                       .body = "b",
                       .lease_ms = 20000,
                       .timeout_ms = timeout_ms};
    return ask(store, &op);
}

#define CHECKPOINT "/box/ns/hub/g/checkpoint/0"
#define OK(code, etag) "HTTP/1.1 " code " X\r\nETag: \"" etag "\"\r\nContent-Length: 0\r\n\r\n"
#define NO(code, name) \
    "HTTP/1.1 " code " X\r\nx-ms-error-code: " name "\r\nContent-Length: 0\r\n\r\n"
#define META "x-ms-meta-"

/* ---- answers that got lost ---- */

/* The first try made the blob, its answer was lost; the second is refused by the first one's work.
 */
static void a_claim_recognises_its_own_first_try(void) {
    SCRIPT({{"PUT " CHECKPOINT, "If-None-Match: *", "x-ms-blob-type: BlockBlob",
             "x-ms-meta-tidemarktoken: " TOKEN_A},
            lost},
           {{"PUT " CHECKPOINT, "If-None-Match: *"}, NO("409", "BlobAlreadyExists")},
           {{"HEAD " CHECKPOINT, "x-ms-lease-id: " TOKEN_A},
            NO("412", "LeaseNotPresentWithBlobOperation")},
           {{"HEAD " CHECKPOINT},
            "HTTP/1.1 200 X\r\nETag: \"0x1\"\r\nx-ms-lease-state: available\r\n" META
            "tidemarktoken: " TOKEN_A "\r\nContent-Length: 0\r\n\r\n"},
           {{"PUT " CHECKPOINT "?comp=lease", "x-ms-lease-action: acquire",
             "x-ms-lease-duration: -1", "x-ms-proposed-lease-id: " TOKEN_A, "If-Match: \"0x1\""},
            OK("201", "0x1")});
    answer a = partition(store, TMK_STORE_PARTITION_CLAIM, "");

    CHECK_EQ(TMK_OK, a.status);
    CHECK_STR("0x1", a.version);
    end(store);
}

#define STORED(etag)                                                                  \
    "HTTP/1.1 200 X\r\nETag: \"" etag "\"\r\nx-ms-lease-state: available\r\n" META    \
    "sequencenumber: 41\r\n" META "offset: 4000\r\n" META "tidemarkgeneration: 1\r\n" \
    "Content-Length: 0\r\n\r\n"

/* The claim is refused where the ETag is another one; so what was read stands there. */
static void a_claim_writes_upon_what_was_read_without_another_look(void) {
    SCRIPT({{"GET " CHECKPOINT}, STORED("0x1")},
           {{"PUT " CHECKPOINT "?comp=lease", "x-ms-lease-action: acquire", "If-Match: \"0x1\""},
            OK("201", "0x1")},
           {{"PUT " CHECKPOINT "?comp=metadata", "If-Match: \"0x1\"", META "sequencenumber: 41\r\n",
             META "tidemarkgeneration: 2\r\n", META "tidemarkowner: w\r\n"},
            OK("200", "0x2")});
    CHECK_EQ(TMK_OK, partition(store, TMK_STORE_PARTITION_READ, "").status);
    CHECK_STR("0x2", partition(store, TMK_STORE_PARTITION_CLAIM, "0x1").version);
    end(store);
}

/* The list has shown a newer one than the read: what was read before says nothing about it. */
static void a_claim_of_another_version_than_was_read_looks(void) {
    SCRIPT({{"GET " CHECKPOINT}, STORED("0x1")},
           {{"PUT " CHECKPOINT "?comp=lease", "If-Match: \"0x5\""}, OK("201", "0x5")},
           {{"HEAD " CHECKPOINT, "x-ms-lease-id: " TOKEN_A}, STORED("0x5")},
           {{"PUT " CHECKPOINT "?comp=metadata", "If-Match: \"0x5\""}, OK("200", "0x6")});
    CHECK_EQ(TMK_OK, partition(store, TMK_STORE_PARTITION_READ, "").status);
    CHECK_STR("0x6", partition(store, TMK_STORE_PARTITION_CLAIM, "0x5").version);
    end(store);
}

/* Broken between its lease and its write: the write is refused, and who holds it is looked up. */
static void a_claim_that_was_broken_before_its_write_is_a_conflict(void) {
    SCRIPT({{"GET " CHECKPOINT}, STORED("0x1")},
           {{"PUT " CHECKPOINT "?comp=lease", "If-Match: \"0x1\""}, OK("201", "0x1")},
           {{"PUT " CHECKPOINT "?comp=metadata"}, NO("412", "LeaseIdMismatchWithBlobOperation")},
           {{"HEAD " CHECKPOINT, "x-ms-lease-id: " TOKEN_A},
            NO("412", "LeaseIdMismatchWithBlobOperation")},
           {{"HEAD " CHECKPOINT},
            "HTTP/1.1 200 X\r\nETag: \"0x7\"\r\nx-ms-lease-state: leased\r\n" META
            "tidemarktoken: " TOKEN_B "\r\nContent-Length: 0\r\n\r\n"});
    CHECK_EQ(TMK_OK, partition(store, TMK_STORE_PARTITION_READ, "").status);
    CHECK_EQ(TMK_CONFLICT, partition(store, TMK_STORE_PARTITION_CLAIM, "0x1").status);
    end(store);
}

static void a_claim_that_another_has_won_is_a_conflict(void) {
    SCRIPT({{"PUT " CHECKPOINT}, NO("409", "BlobAlreadyExists")},
           {{"HEAD " CHECKPOINT, "x-ms-lease-id: "}, NO("412", "LeaseIdMismatchWithBlobOperation")},
           {{"HEAD " CHECKPOINT},
            "HTTP/1.1 200 X\r\nETag: \"0x1\"\r\nx-ms-lease-state: leased\r\n" META
            "tidemarktoken: " TOKEN_B "\r\nContent-Length: 0\r\n\r\n"});
    answer a = partition(store, TMK_STORE_PARTITION_CLAIM, "");

    CHECK_EQ(TMK_CONFLICT, a.status);
    CHECK(strstr(a.error.text, "another token") != NULL);
    end(store);
}

#define OURS                                                                                    \
    META "sequencenumber: 42\r\n" META "offset: 4096\r\n" META "tidemarkgeneration: 2\r\n" META \
         "clientidentifier: w\r\n" META "tidemarkowner: w\r\n"

static void a_checkpoint_recognises_its_own_first_try(void) {
    SCRIPT(
        {{"PUT " CHECKPOINT "?comp=metadata", "If-Match: \"0x1\"", "x-ms-lease-id: " TOKEN_A,
          "x-ms-meta-sequencenumber: 42", "Content-Length: 0"},
         lost},
        {{"PUT " CHECKPOINT "?comp=metadata", "If-Match: \"0x1\""}, NO("412", "ConditionNotMet")},
        {{"HEAD " CHECKPOINT, "x-ms-lease-id: " TOKEN_A},
         "HTTP/1.1 200 X\r\nETag: \"0x2\"\r\n" OURS "Content-Length: 0\r\n\r\n"});
    answer a = partition(store, TMK_STORE_PARTITION_WRITE, "0x1");

    CHECK_EQ(TMK_OK, a.status);
    CHECK_STR("0x2", a.version);
    end(store);
}

static void a_checkpoint_that_is_not_ours_is_a_conflict(void) {
    SCRIPT({{"PUT " CHECKPOINT "?comp=metadata"}, NO("412", "ConditionNotMet")},
           {{"HEAD " CHECKPOINT},
            "HTTP/1.1 200 X\r\nETag: \"0x2\"\r\n" META "sequencenumber: 43\r\n"
            "Content-Length: 0\r\n\r\n"});
    answer a = partition(store, TMK_STORE_PARTITION_WRITE, "0x1");

    CHECK_EQ(TMK_CONFLICT, a.status);
    end(store);
}

/* The service's own codes for refusals differ from Azurite's: the status and a look decide. */
static void a_pass_that_was_done_before_is_done(void) {
    SCRIPT({{"PUT " CHECKPOINT "?comp=lease", "x-ms-lease-action: change",
             "x-ms-lease-id: " TOKEN_A, "x-ms-proposed-lease-id: " TOKEN_B},
            lost},
           {{"x-ms-lease-action: change"}, NO("409", "LeaseIdMismatchWithLeaseOperation")},
           {{"HEAD " CHECKPOINT, "x-ms-lease-id: " TOKEN_B}, OK("200", "0x3")});
    answer a = partition(store, TMK_STORE_PARTITION_PASS, "");

    CHECK_EQ(TMK_OK, a.status);
    CHECK_STR("0x3", a.version);
    end(store);
}

static void a_lease_lost_by_any_code_is_revived_before_a_late_write(void) {
    SCRIPT({{"HEAD /box/ns/hub/g/tidemark/members/m", "x-ms-lease-id: " TOKEN_A},
            NO("412", "LeaseLost")},
           {{"PUT /box/ns/hub/g/tidemark/members/m?comp=lease", "x-ms-lease-action: renew"},
            OK("200", "0x1")},
           {{"HEAD /box/ns/hub/g/tidemark/members/m"}, OK("200", "0x1")},
           {{"PUT /box/ns/hub/g/tidemark/members/m?comp=metadata", "If-Match: \"0x1\"",
             "x-ms-meta-tidemarkbody: b"},
            OK("200", "0x2")});

    CHECK_EQ(TMK_OK, member(store, TMK_STORE_MEMBER_WRITE, 5000).status);
    end(store);
}

/* ---- a service in trouble ---- */

static void a_busy_service_is_given_the_time_it_asks_for(void) {
    SCRIPT({{"GET " CHECKPOINT},
            "HTTP/1.1 503 Busy\r\nretry-after-ms: 400\r\nContent-Length: 0\r\n\r\n"},
           {{"GET " CHECKPOINT}, "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"},
           {{"GET " CHECKPOINT}, lost}, {{"GET " CHECKPOINT}, NO("404", "BlobNotFound")});
    tmk_clock clock = tmk_clock_system();
    tmk_time begin = tmk_now(&clock);

    CHECK_EQ(TMK_ABSENT, partition(store, TMK_STORE_PARTITION_READ, "").status);
    CHECK(tmk_now(&clock) - begin >= 400 * TMK_MS);
    end(store);
}

static void a_pause_may_be_given_as_a_date(void) {
    SCRIPT({{"PUT "},
            "HTTP/1.1 503 Busy\r\n" DATE
            "Retry-After: Fri, 20 Nov 2026 21:11:00 GMT\r\nContent-Length: 0\r\n\r\n"},
           {{"PUT "},
            "HTTP/1.1 503 Busy\r\n" DATE
            "Retry-After: Fri, 20 Nov 2026 21:09:00 GMT\r\nContent-Length: 0\r\n\r\n"},
           {{"PUT "}, "HTTP/1.1 200 OK\r\n" DATE "ETag: \"0x1\"\r\nContent-Length: 0\r\n\r\n"},
           {{"PUT "}, "HTTP/1.1 503 Busy\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n"});
    answer a = member(store, TMK_STORE_MEMBER_RENEW, 5000);

    CHECK_EQ(TMK_EBUSY, a.status);
    CHECK_EQ(60000, a.retry_after_ms);
    CHECK_EQ(TMK_OK, member(store, TMK_STORE_MEMBER_RENEW, 5000).status); /* a date that has gone */
    CHECK_EQ(3600000, member(store, TMK_STORE_MEMBER_RENEW, 5000).retry_after_ms);
    end(store);
}

/* A proxy may weaken tags; conditions need the strong one. Ages are told by Last-Modified. */
static void a_weak_tag_is_used_as_a_strong_one(void) {
    SCRIPT(
        {{"GET " CHECKPOINT},
         "HTTP/1.1 200 OK\r\n" DATE "Last-Modified: Fri, 20 Nov 2026 21:09:30 GMT\r\n"
         "ETag: W/\"0x8D\"\r\nx-ms-meta-sequencenumber: 5\r\nContent-Length: 0\r\n\r\n"},
        {{"HEAD " CHECKPOINT}, "HTTP/1.1 200 OK\r\nETag: W/\"0x8D\"\r\nContent-Length: 0\r\n\r\n"},
        {{"PUT " CHECKPOINT, "If-Match: \"0x8D\"\r\n"},
         "HTTP/1.1 200 OK\r\nETag: \"0x8E\"\r\nContent-Length: 0\r\n\r\n"});
    answer a = partition(store, TMK_STORE_PARTITION_READ, "");

    CHECK_EQ(TMK_OK, a.status);
    CHECK_EQ(30000, a.age_ms);
    CHECK_EQ(5, a.sequence);
    a = partition(store, TMK_STORE_PARTITION_WRITE, "");
    CHECK_EQ(TMK_OK, a.status);
    CHECK_STR("0x8E", a.version);
    end(store);
}

/* Waiting would outlast the operation: it is told at once, and for how long. */
static void a_long_pause_is_told_instead_of_waited(void) {
    SCRIPT({{"PUT "}, "HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"});
    tmk_clock clock = tmk_clock_system();
    tmk_time begin = tmk_now(&clock);
    answer a = member(store, TMK_STORE_MEMBER_RENEW, 5000);

    CHECK_EQ(TMK_EBUSY, a.status);
    CHECK(a.error.retryable);
    CHECK_EQ(60000, a.retry_after_ms);
    CHECK(tmk_now(&clock) - begin < 4 * TMK_SEC);
    end(store);
}

static void a_silent_service_does_not_hold_the_answer(void) {
    SCRIPT({{"PUT "}, silent});
    tmk_clock clock = tmk_clock_system();
    tmk_time begin = tmk_now(&clock);

    CHECK_EQ(TMK_ETIMEOUT, member(store, TMK_STORE_MEMBER_RENEW, 100).status);
    CHECK(tmk_now(&clock) - begin < 3 * TMK_SEC);
    end(store);
}

typedef struct question {
    tmk_store_call call;
    tmk_mutex lock;
    tmk_cond wake;
    int answers;
    tmk_status status;
} question;

static void answered(tmk_store_call *call, const tmk_store_result *result) {
    question *q = tmk_container_of(call, question, call);

    tmk_mutex_lock(&q->lock);
    q->answers++;
    q->status = result->status;
    tmk_cond_signal(&q->wake);
    tmk_mutex_unlock(&q->lock);
}

/* Seventeen reads hang on the sixteen connections there are; the heartbeat has its own. */
static void a_heartbeat_does_not_queue_behind_checkpoints(void) {
    enum { COUNT = 17 };
    static step steps[COUNT + 1];
    static question questions[COUNT];
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_READ, .id = "0", .timeout_ms = 500};
    tmk_store store;

    for (size_t i = 0; i <= COUNT; i++) {
        steps[i] = (step){{NULL}, silent};
    }
    prepare();
    store = begin_with(steps, COUNT + 1, options());
    for (size_t i = 0; i < COUNT; i++) {
        questions[i] = (question){.call = {.answered = answered}};
        CHECK_EQ(TMK_OK, tmk_mutex_init(&questions[i].lock, 940, NULL));
        CHECK_EQ(TMK_OK, tmk_cond_init(&questions[i].wake, NULL));
        store.ops->submit(store.self, &op, &questions[i].call);
    }
    CHECK_EQ(TMK_ETIMEOUT, member(store, TMK_STORE_MEMBER_RENEW, 200).status);
    for (size_t i = 0; i < COUNT; i++) {
        tmk_mutex_lock(&questions[i].lock);
        while (questions[i].answers == 0) {
            tmk_cond_wait(&questions[i].wake, &questions[i].lock);
        }
        CHECK_EQ(TMK_ETIMEOUT, questions[i].status);
        tmk_mutex_unlock(&questions[i].lock);
        tmk_cond_clear(&questions[i].wake);
        tmk_mutex_clear(&questions[i].lock);
    }
    tmk_store_free(store);
    net_server_stop(&world.server);
    CHECK(world.renewed);
    CHECK_STR("", world.wrong);
    tmk_mutex_clear(&world.lock);
}

/* Who waits for the container to be made waits no longer than he said. */
static void waiting_for_the_container_has_its_own_end(void) {
    static const step steps[] = {{{"PUT /box?restype=container "}, silent}};
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_READ, .id = "0", .timeout_ms = 1000};
    question patient = {.call = {.answered = answered}};
    tmk_clock clock = tmk_clock_system();
    tmk_time begin = tmk_now(&clock);
    tmk_store_blob_options o;
    tmk_store store;

    CHECK_EQ(TMK_OK, tmk_mutex_init(&patient.lock, 940, NULL));
    CHECK_EQ(TMK_OK, tmk_cond_init(&patient.wake, NULL));
    prepare();
    o = options();
    o.create_container = true;
    store = begin_with(steps, 1, o);
    store.ops->submit(store.self, &op, &patient.call);
    op.timeout_ms = 100;
    CHECK_EQ(TMK_ETIMEOUT, ask(store, &op).status);
    CHECK(tmk_now(&clock) - begin < 900 * TMK_MS);
    tmk_mutex_lock(&patient.lock);
    while (patient.answers == 0) {
        tmk_cond_wait(&patient.wake, &patient.lock);
    }
    tmk_mutex_unlock(&patient.lock);
    CHECK_EQ(1, patient.answers);
    CHECK(patient.status < 0);
    end(store);
    tmk_cond_clear(&patient.wake);
    tmk_mutex_clear(&patient.lock);
}

/* A record that somebody changes without end, always just before us, is given up. */
static void a_record_that_never_stands_still_is_given_up(void) {
    enum { STEPS = 400 };
    static step steps[STEPS];
    tmk_store store;
    answer a;

    for (size_t i = 0; i < STEPS; i += 2) {
        steps[i] = (step){{"HEAD "}, OK("200", "0x1")};
        steps[i + 1] = (step){{"PUT "}, NO("412", "ConditionNotMet")};
    }
    prepare();
    store = begin_with(steps, STEPS, options());
    a = member(store, TMK_STORE_MEMBER_WRITE, 20000);
    CHECK_EQ(TMK_EBUSY, a.status);
    CHECK(a.error.retryable && strstr(a.error.text, "changes too fast") != NULL);
    end(store);
}

static void a_refusal_of_access_says_what_to_do(void) {
    SCRIPT({{"GET ", "Authorization: SharedKey acct:"}, NO("403", "AuthenticationFailed")});
    answer a = partition(store, TMK_STORE_PARTITION_READ, "");

    CHECK_EQ(TMK_EAUTH, a.status);
    CHECK(strstr(a.error.text, "Storage Blob Data Contributor") != NULL);
    CHECK_STR("http:403:AuthenticationFailed", a.error.origin);
    CHECK(strstr(a.error.text, KEY) == NULL);
    end(store);
}

static void a_missing_container_is_named(void) {
    SCRIPT({{"GET "}, NO("404", "ContainerNotFound")});
    answer a = partition(store, TMK_STORE_PARTITION_READ, "");

    CHECK_EQ(TMK_ENOTFOUND, a.status);
    CHECK(strstr(a.error.text, "'box'") != NULL);
    CHECK(strstr(a.error.text, "create_container") != NULL);
    end(store);
}

static void a_container_is_made_once_and_on_request_only(void) {
    static const step steps[] = {
        {{"PUT /box?restype=container "}, NO("409", "ContainerAlreadyExists")},
        {{"GET "}, NO("404", "BlobNotFound")},
        {{"GET "}, NO("404", "BlobNotFound")}};
    tmk_store_blob_options o;
    tmk_store store;

    prepare();
    o = options();
    o.create_container = true;
    store = begin_with(steps, 3, o);
    CHECK_EQ(TMK_ABSENT, partition(store, TMK_STORE_PARTITION_READ, "").status);
    CHECK_EQ(TMK_ABSENT, partition(store, TMK_STORE_PARTITION_READ, "").status);
    end(store);
}

static void a_container_that_cannot_be_made_is_tried_again_later(void) {
    static const step steps[] = {
        {{"PUT /box?restype=container "}, NO("403", "AuthorizationFailure")},
        {{"PUT /box?restype=container "}, OK("201", "x")},
        {{"GET "}, NO("404", "BlobNotFound")}};
    tmk_store_blob_options o;
    tmk_store store;

    prepare();
    o = options();
    o.create_container = true;
    store = begin_with(steps, 3, o);
    CHECK_EQ(TMK_EAUTH, partition(store, TMK_STORE_PARTITION_READ, "").status);
    CHECK_EQ(TMK_ABSENT, partition(store, TMK_STORE_PARTITION_READ, "").status);
    end(store);
}

static void odd_answers_are_refused_as_a_whole(void) {
    SCRIPT(
        {{"GET "}, "HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"},
        {{"GET "}, "HTTP/1.1 400 X\r\nContent-Length: 3\r\n\r\nbad"},
        {{"GET "}, "HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n"}, /* without an ETag */
        {{"GET "},
         "HTTP/1.1 200 X\r\nETag: "
         "\"0123456789012345678901234567890123456789012345678901234567890123456789\"\r\n"
         "Content-Length: 0\r\n\r\n"});

    for (int i = 0; i < 4; i++) {
        answer a = partition(store, TMK_STORE_PARTITION_READ, "");
        if (a.status != TMK_EPROTO) {
            fail_msg("answer %d: %s", i, a.error.text);
        }
        CHECK(a.error.text[0] != '\0');
    }
    end(store);
}

/* ---- lists ---- */

#define BLOBS(blobs, marker)                                          \
    "<EnumerationResults><Blobs>" blobs "</Blobs><NextMarker>" marker \
    "</NextMarker></EnumerationResults>"
#define BLOB(name, properties, meta)                                              \
    "<Blob><Name>ns/hub/g/" name "</Name><Properties><Etag>0x9</Etag>" properties \
    "</Properties><Metadata>" meta "</Metadata></Blob>"

/* Chunks of one size, so that the scripts need not count. */
static char chunked_room[8][4096];
static const char *chunked(int place, const char *xml) {
    (void)snprintf(chunked_room[place], sizeof chunked_room[place],
                   "HTTP/1.1 200 X\r\n" DATE "Transfer-Encoding: chunked\r\n\r\n"
                   "%zx\r\n%s\r\n0\r\n\r\n",
                   strlen(xml), xml);
    return chunked_room[place];
}

static void a_list_goes_on_over_empty_pages(void) {
    step steps[] = {{{"GET /box?restype=container&comp=list", "prefix=ns%2Fhub%2Fg%2Fownership%2F"},
                     chunked(0, "\xef\xbb\xbf" BLOBS("", ""))},
                    {{"prefix=ns%2Fhub%2Fg%2Fcheckpoint%2F"}, chunked(1, BLOBS("", "a/b+c"))},
                    {{"&marker=a%2Fb%2Bc"},
                     chunked(2, BLOBS(BLOB("checkpoint/0",
                                           "<Last-Modified>Fri, 20 Nov 2026 21:09:00 GMT"
                                           "</Last-Modified><LeaseState>leased</LeaseState>",
                                           "<SequenceNumber>7</SequenceNumber><offset>1</offset>")
                                          BLOB("checkpoint/x/0", "", ""),
                                      ""))}};
    tmk_store store = (prepare(), begin_with(steps, 3, options()));
    answer a = partition(store, TMK_STORE_PARTITION_LIST, "");

    CHECK_EQ(TMK_OK, a.status);
    CHECK_EQ(1, a.count);
    CHECK_EQ(7, a.sequence);
    CHECK_EQ(60000, a.age_ms); /* by the service's clock alone */
    CHECK(a.held);
    end(store);
}

static void a_list_that_is_torn_or_circles_is_an_error(void) {
    step steps[] = {{{"ownership"}, chunked(0, BLOBS("", ""))},
                    {{"checkpoint"}, chunked(1, "<EnumerationResults><Blobs>")},
                    {{"checkpoint"}, chunked(2, "<html>proxy</html>")},
                    {{"checkpoint"}, chunked(3, BLOBS("", "m"))},
                    {{"marker=m"}, chunked(4, BLOBS("", "m"))}};
    tmk_store store = (prepare(), begin_with(steps, 5, options()));

    for (int i = 0; i < 3; i++) {
        answer a = partition(store, TMK_STORE_PARTITION_LIST, "");
        CHECK_EQ(TMK_EPROTO, a.status);
        CHECK(a.error.retryable);
        CHECK_EQ(0, a.count);
    }
    end(store);
}

/* ---- groups that are run the other way ---- */

static void living_official_processors_are_told_of(void) {
    step steps[] = {
        {{"ownership"},
         chunked(0, BLOBS(BLOB("ownership/3",
                               "<Last-Modified>Fri, 20 Nov 2026 21:09:30 GMT</Last-Modified>",
                               "<ownerid>theirs</ownerid>"),
                          ""))},
        {{"ownership"},
         chunked(1, BLOBS(BLOB("ownership/3",
                               "<Last-Modified>Fri, 20 Nov 2026 21:00:00 GMT</Last-Modified>",
                               "<ownerid>long gone</ownerid>")
                              BLOB("ownership/4",
                                   "<Last-Modified>Fri, 20 Nov 2026 21:09:59 GMT</Last-Modified>",
                                   "<ownerid/>"),
                          ""))},
        {{"checkpoint"}, chunked(2, BLOBS("", ""))},
        {{"checkpoint"}, chunked(3, BLOBS("", ""))}};
    tmk_store store = (prepare(), begin_with(steps, 4, options()));
    answer a = partition(store, TMK_STORE_PARTITION_LIST, "");

    CHECK_EQ(TMK_ESTATE, a.status);
    CHECK(strstr(a.error.text, "partition 3") != NULL && strstr(a.error.text, "shared") != NULL);
    CHECK_EQ(TMK_OK, partition(store, TMK_STORE_PARTITION_LIST, "").status);
    CHECK_EQ(TMK_OK, partition(store, TMK_STORE_PARTITION_LIST, "").status); /* not asked again */
    end(store);
}

static void a_fleet_with_leases_is_told_of(void) {
    step steps[] = {{{"checkpoint"},
                     chunked(0, BLOBS(BLOB("checkpoint/3",
                                           "<LeaseState>leased</LeaseState>"
                                           "<LeaseDuration>infinite</LeaseDuration>",
                                           ""),
                                      ""))}};
    tmk_store store = begin_shared(steps, 1);
    answer a = partition(store, TMK_STORE_PARTITION_LIST, "");

    CHECK_EQ(TMK_ESTATE, a.status);
    CHECK(strstr(a.error.text, "'lease'") != NULL);
    end(store);
}

static void each_way_refuses_the_operations_of_the_other(void) {
    tmk_store store = begin_shared(NULL, 0);

    CHECK_EQ(TMK_EUNSUPPORTED, partition(store, TMK_STORE_PARTITION_PASS, "").status);
    CHECK_EQ(TMK_EUNSUPPORTED, member(store, TMK_STORE_MEMBER_JOIN, 1000).status);
    CHECK_EQ(2, (int64_t)store.ops->claims(store.self));
    end(store);
}

/* ---- official processors in the same group ---- */

#define OWNERSHIP "/box/ns/hub/g/ownership/0"

/* One of them wrote the checkpoint without a condition, while the partition is still ours. */
static void a_foreign_checkpoint_is_taken_over_while_the_partition_is_ours(void) {
    SCRIPT_SHARED({{"HEAD " CHECKPOINT},
                   "HTTP/1.1 200 X\r\nETag: \"0x5\"\r\n" META "sequencenumber: 40\r\n"
                   "Content-Length: 0\r\n\r\n"},
                  {{"HEAD " OWNERSHIP},
                   "HTTP/1.1 200 X\r\nETag: \"0x6\"\r\n" META "ownerid: w\r\n"
                   "Content-Length: 0\r\n\r\n"},
                  {{"PUT " CHECKPOINT "?comp=metadata", "If-Match: \"0x5\"",
                    "x-ms-meta-sequencenumber: 42", "x-ms-meta-tidemarktoken: " TOKEN_A},
                   OK("200", "0x7")});

    CHECK_EQ(TMK_OK, partition(store, TMK_STORE_PARTITION_WRITE, "").status);
    end(store);
}

static void a_foreign_checkpoint_further_on_is_not_undone(void) {
    SCRIPT_SHARED({{"HEAD " CHECKPOINT},
                   "HTTP/1.1 200 X\r\nETag: \"0x5\"\r\n" META "sequencenumber: 50\r\n"
                   "Content-Length: 0\r\n\r\n"},
                  {{"HEAD " OWNERSHIP},
                   "HTTP/1.1 200 X\r\nETag: \"0x6\"\r\n" META "ownerid: w\r\n"
                   "Content-Length: 0\r\n\r\n"});

    CHECK_EQ(TMK_OK, partition(store, TMK_STORE_PARTITION_WRITE, "").status);
    end(store);
}

static void who_was_stolen_from_learns_it_with_its_checkpoint(void) {
    SCRIPT_SHARED({{"HEAD " CHECKPOINT},
                   "HTTP/1.1 200 X\r\nETag: \"0x5\"\r\n" META "sequencenumber: 40\r\n"
                   "Content-Length: 0\r\n\r\n"},
                  {{"HEAD " OWNERSHIP},
                   "HTTP/1.1 200 X\r\nETag: \"0x6\"\r\n" META "ownerid: another\r\n"
                   "Content-Length: 0\r\n\r\n"});

    CHECK_EQ(TMK_CONFLICT, partition(store, TMK_STORE_PARTITION_WRITE, "").status);
    end(store);
}

/* The service says 404 where Azurite says 412: a condition on a blob that has gone. */
static void a_renewal_of_what_has_gone_is_a_conflict(void) {
    SCRIPT_SHARED({{"PUT " OWNERSHIP "?comp=metadata", "If-Match: \"0x1\"", "x-ms-meta-ownerid: w"},
                   NO("404", "BlobNotFound")},
                  {{"HEAD " OWNERSHIP}, NO("404", "BlobNotFound")});

    CHECK_EQ(TMK_CONFLICT, partition(store, TMK_STORE_PARTITION_RENEW, "0x1,,").status);
    end(store);
}

static void a_renewal_recognises_its_own_first_try(void) {
    SCRIPT_SHARED({{"PUT " OWNERSHIP}, lost},
                  {{"PUT " OWNERSHIP, "If-Match: \"0x1\""}, NO("412", "ConditionNotMet")},
                  {{"HEAD " OWNERSHIP},
                   "HTTP/1.1 200 X\r\nETag: \"0x2\"\r\n" META "ownerid: w\r\n" META
                   "tidemarktoken: " TOKEN_A "\r\nContent-Length: 0\r\n\r\n"},
                  {{"PUT " OWNERSHIP, "If-Match: \"0x2\""}, OK("200", "0x3")});
    answer a = partition(store, TMK_STORE_PARTITION_RENEW, "0x1,0x9,");

    CHECK_EQ(TMK_OK, a.status);
    CHECK_STR("0x3,0x9,", a.version);
    end(store);
}

/* Who asks for a partition puts its name there: a renewal must not wipe it out. */
static void a_renewal_keeps_the_name_of_whoever_asks(void) {
    SCRIPT_SHARED({{"PUT " OWNERSHIP, "If-Match: \"0x1\""}, NO("412", "ConditionNotMet")},
                  {{"HEAD " OWNERSHIP},
                   "HTTP/1.1 200 X\r\nETag: \"0x2\"\r\n" META "ownerid: w\r\n" META
                   "tidemarksuccessor: other\r\n" META "tidemarktoken: " TOKEN_A
                   "\r\nContent-Length: 0\r\n\r\n"});

    CHECK_EQ(TMK_CONFLICT, partition(store, TMK_STORE_PARTITION_RENEW, "0x1,0x9,").status);
    end(store);
}

/* ---- on a loop that the caller turns ---- */

static void on_a_given_loop_the_callers_thread_does_the_work(void) {
    static const step steps[] = {{{"GET "}, NO("404", "BlobNotFound")}};
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_READ, .id = "0", .timeout_ms = 5000};
    tmk_store_blob_options o;
    tmk_loop *loop = NULL;
    tmk_store store;
    question q = {.call = {.answered = answered}};

    prepare();
    world.steps = steps;
    world.count = 1;
    o = options();
    CHECK_EQ(TMK_OK, tmk_mutex_init(&q.lock, 940, NULL));
    CHECK_EQ(TMK_OK, tmk_cond_init(&q.wake, NULL));
    CHECK_EQ(TMK_OK, tmk_loop_new(tmk_clock_system(), &loop, NULL));
    CHECK_EQ(TMK_OK, tmk_store_blob_new_on(loop, &o, &store, NULL));
    store.ops->submit(store.self, &op, &q.call);
    CHECK_EQ(0, q.answers);
    while (q.answers == 0) {
        CHECK_EQ(TMK_OK, tmk_loop_turn(loop, TMK_SEC, NULL));
    }
    CHECK_EQ(TMK_ABSENT, q.status);
    tmk_cond_clear(&q.wake);
    tmk_mutex_clear(&q.lock);
    end(store);
    loop = tmk_loop_free(loop);
}

/* ---- who we are ---- */

static void a_signature_goes_with_the_address_and_nowhere_else(void) {
    static const step steps[] = {
        {{"GET " CHECKPOINT "?sv=2021-12-02&sig=c2VjcmV0%3D HTTP", "x-ms-version: 2019-07-07"},
         NO("403", "AuthorizationFailure")}};
    tmk_store_blob_options o;
    tmk_store store;
    answer a;

    prepare();
    (void)snprintf(world.connection_string, sizeof world.connection_string,
                   "BlobEndpoint=http://127.0.0.1:%d;SharedAccessSignature=sv=2021-12-02&sig="
                   "c2VjcmV0%%3D",
                   world.server.port);
    o = options();
    o.api_version = "2019-07-07";
    store = begin_with(steps, 1, o);
    a = partition(store, TMK_STORE_PARTITION_READ, "");
    CHECK_EQ(TMK_EAUTH, a.status);
    CHECK(strstr(a.error.text, "c2VjcmV0") == NULL);
    end(store);
    CHECK(strstr(world.log, "c2VjcmV0") == NULL);
}

/* Credentials in place of a connection string: a key signs, a signature goes with the address. */
static void keys_and_signatures_come_as_credentials_too(void) {
    static const step steps[] = {
        {{"GET " CHECKPOINT " HTTP", "Authorization: SharedKey acct:"}, NO("404", "BlobNotFound")},
        {{"GET " CHECKPOINT "?sv=1&sig=x HTTP"}, NO("404", "BlobNotFound")},
        {{"GET " CHECKPOINT "?sv=1&sig=x HTTP"}, NO("404", "BlobNotFound")}};
    tmk_credential *credentials[3] = {NULL};
    char url[64];

    CHECK_EQ(TMK_OK, tmk_credential_shared_key("acct", KEY, &credentials[0], NULL));
    CHECK_EQ(TMK_OK, tmk_credential_sas("sv=1&sig=x", &credentials[1], NULL));
    CHECK_EQ(TMK_OK, tmk_credential_sas("?sv=1&sig=x", &credentials[2], NULL));
    for (size_t i = 0; i < 3; i++) {
        tmk_store_blob_options o;
        tmk_store store;

        prepare();
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", world.server.port);
        o = options();
        o.connection_string = NULL;
        o.account_url = url;
        o.credential = credentials[i];
        store = begin_with(&steps[i], 1, o);
        CHECK_EQ(TMK_ABSENT, partition(store, TMK_STORE_PARTITION_READ, "").status);
        credentials[i] = tmk_credential_free(credentials[i]);
        end(store);
    }
}

static int tokens_asked;
static void give_token(void *self, tmk_token_ask *asked) {
    char text[32];
    tmk_token_reply reply = {.size = sizeof reply, .token = text, .lives_ms = 3600000};

    (void)self;
    (void)snprintf(text, sizeof text, "token-%d", ++tokens_asked);
    (void)tmk_token_ask_answer(asked, &reply, NULL);
}

static void a_refused_token_is_renewed_once(void) {
    static const step steps[] = {
        {{"GET ", "Authorization: Bearer token-1"}, NO("401", "InvalidAuthenticationInfo")},
        {{"GET ", "Authorization: Bearer token-2"}, NO("404", "BlobNotFound")},
        {{"GET ", "Authorization: Bearer token-2"}, NO("401", "InvalidAuthenticationInfo")}};
    tmk_credential *credential = NULL;
    tmk_store_blob_options o;
    char url[64];
    tmk_store store;

    tokens_asked = 0;
    CHECK_EQ(TMK_OK,
             tmk_credential_callback(TMK_TOKEN_JWT, give_token, NULL, NULL, &credential, NULL));
    prepare();
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", world.server.port);
    o = options();
    o.connection_string = NULL;
    o.account_url = url;
    o.credential = credential;
    store = begin_with(steps, 3, o);
    credential = tmk_credential_free(credential); /* the store keeps its own */
    CHECK_EQ(TMK_ABSENT, partition(store, TMK_STORE_PARTITION_READ, "").status);
    CHECK_EQ(TMK_EAUTH, partition(store, TMK_STORE_PARTITION_READ, "").status);
    end(store);
}

static void wrong_settings_are_named(void) {
    static const struct {
        const char *connection_string, *account_url, *container, *hub, *words;
    } wrong[] = {{NULL, NULL, "box", "hub", "connection string"},
                 {"AccountName=a;AccountKey=" KEY, NULL, "Box!", "hub", "'container'"},
                 {"AccountName=a;AccountKey=" KEY, NULL, "box", "a/b", "'hub'"},
                 {"BlobEndpoint=http://example.com;SharedAccessSignature=sig=1", NULL, "box", "hub",
                  "http://"},
                 {NULL, "https://a.blob.core.windows.net", "box", "hub", "credential"},
                 {"AccountName=a;AccountKey=" KEY ";BlobEndpoint=ftp://127.0.0.1", NULL, "box",
                  "hub", "https://"},
                 {"AccountName=a;AccountKey=" KEY ";BlobEndpoint=https://u@127.0.0.1", NULL, "box",
                  "hub", "https://"},
                 {"AccountName=a;AccountKey=" KEY ";BlobEndpoint=https://127.0.0.1/?a=b", NULL,
                  "box", "hub", "https://"},
                 {"AccountName=a;AccountKey=" KEY, NULL, NULL, "hub", "'container'"},
                 {"AccountName=a;AccountKey=" KEY, NULL, "-box", "hub", "'container'"},
                 {"nonsense", NULL, "box", "hub", ""}};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tmk_store_blob_options o;
        tmk_error err = {0};
        tmk_store store;

        tmk_store_blob_options_init(&o);
        o.connection_string = wrong[i].connection_string;
        o.account_url = wrong[i].account_url;
        o.container = wrong[i].container;
        o.host = "ns";
        o.hub = wrong[i].hub;
        CHECK_EQ(TMK_EINVAL, tmk_store_blob_new(&o, &store, &err));
        if (err.text[0] == '\0' || strstr(err.text, wrong[i].words) == NULL) {
            fail_msg("'%s' does not name %s", err.text, wrong[i].words);
        }
        CHECK(strstr(err.text, KEY) == NULL);
    }
}

static void a_way_of_claiming_that_nobody_knows_is_refused(void) {
    tmk_store_blob_options o;
    tmk_error err = {0};
    tmk_store store;

    tmk_store_blob_options_init(&o);
    o.connection_string = "AccountName=a;AccountKey=" KEY;
    o.container = "box";
    o.host = "ns";
    o.hub = "hub";
    o.claims = (tmk_claims)7;
    CHECK_EQ(TMK_EINVAL, tmk_store_blob_new(&o, &store, &err));
    CHECK(strstr(err.text, "claiming 7") != NULL);
}

int main(void) {
    return RUN(
        TEST(a_claim_recognises_its_own_first_try),
        TEST(a_claim_writes_upon_what_was_read_without_another_look),
        TEST(a_claim_of_another_version_than_was_read_looks),
        TEST(a_claim_that_was_broken_before_its_write_is_a_conflict),
        TEST(a_claim_that_another_has_won_is_a_conflict),
        TEST(a_checkpoint_recognises_its_own_first_try),
        TEST(a_checkpoint_that_is_not_ours_is_a_conflict),
        TEST(a_pass_that_was_done_before_is_done),
        TEST(a_lease_lost_by_any_code_is_revived_before_a_late_write),
        TEST(a_busy_service_is_given_the_time_it_asks_for),
        TEST(a_long_pause_is_told_instead_of_waited),
        TEST(a_silent_service_does_not_hold_the_answer),
        TEST(a_heartbeat_does_not_queue_behind_checkpoints),
        TEST(a_refusal_of_access_says_what_to_do), TEST(a_missing_container_is_named),
        TEST(a_container_is_made_once_and_on_request_only),
        TEST(a_container_that_cannot_be_made_is_tried_again_later),
        TEST(odd_answers_are_refused_as_a_whole), TEST(a_list_goes_on_over_empty_pages),
        TEST(a_list_that_is_torn_or_circles_is_an_error),
        TEST(living_official_processors_are_told_of), TEST(a_fleet_with_leases_is_told_of),
        TEST(each_way_refuses_the_operations_of_the_other),
        TEST(a_foreign_checkpoint_is_taken_over_while_the_partition_is_ours),
        TEST(a_foreign_checkpoint_further_on_is_not_undone),
        TEST(who_was_stolen_from_learns_it_with_its_checkpoint),
        TEST(a_renewal_of_what_has_gone_is_a_conflict),
        TEST(a_renewal_recognises_its_own_first_try),
        TEST(a_renewal_keeps_the_name_of_whoever_asks),
        TEST(on_a_given_loop_the_callers_thread_does_the_work),
        TEST(a_signature_goes_with_the_address_and_nowhere_else),
        TEST(a_refused_token_is_renewed_once), TEST(a_pause_may_be_given_as_a_date),
        TEST(a_weak_tag_is_used_as_a_strong_one), TEST(keys_and_signatures_come_as_credentials_too),
        TEST(waiting_for_the_container_has_its_own_end),
        TEST(a_record_that_never_stands_still_is_given_up),
        TEST(a_way_of_claiming_that_nobody_knows_is_refused), TEST(wrong_settings_are_named));
}
