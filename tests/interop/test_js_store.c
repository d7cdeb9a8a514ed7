/*
 * Our blob store and the official JavaScript one on the same blobs, in Azurite:
 * each reads what the other wrote, and takes over from the other.
 */
#include <tidemark/store_blob.h>

#include <jansson.h>

#include "support/azurite.h"
#include "support/check.h"

#include <sys/wait.h>
#include <unistd.h>

#define TOKEN_A "11111111-1111-4111-8111-111111111111"

static azurite service;
static FILE *js_in, *js_out;
static pid_t js_pid;

/* ---- theirs ---- */

static bool start_js(const char *sources, const char **why) {
    char script[1024];
    int in[2], out[2];

    (void)snprintf(script, sizeof script,
                   "%s/interop/node_modules/@azure/eventhubs-checkpointstore-blob", sources);
    if (access(script, R_OK) != 0) {
        *why = "the official JavaScript SDK is not installed; './run setup' does it";
        return false;
    }
    (void)snprintf(script, sizeof script, "%s/interop/js_store.mjs", sources);
    if (pipe(in) != 0 || pipe(out) != 0) {
        *why = "no pipes";
        return false;
    }
    js_pid = fork();
    if (js_pid == 0) {
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)close(in[0]);
        (void)close(in[1]);
        (void)close(out[0]);
        (void)close(out[1]);
        execlp("node", "node", script, service.connection_string, "checkpoints", (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    js_in = fdopen(in[1], "w");
    js_out = fdopen(out[0], "r");
    return js_pid > 0 && js_in != NULL && js_out != NULL;
}

static void stop_js(void) {
    if (js_pid > 0) {
        (void)fclose(js_in); /* the end of its input ends it */
        (void)waitpid(js_pid, NULL, 0);
        (void)fclose(js_out);
    }
}

/* The answer as text: what stands behind "ok" or "error". */
__attribute__((format(printf, 1, 2))) static const char *js(const char *format, ...) {
    static char text[4096];
    char line[4096];
    va_list args;
    json_t *answer;

    va_start(args, format);
    (void)vfprintf(js_in, format, args);
    va_end(args);
    (void)fputs("\n", js_in);
    (void)fflush(js_in);
    CHECK(fgets(line, sizeof line, js_out) != NULL);
    answer = json_loads(line, 0, NULL);
    CHECK(answer != NULL);
    text[json_dumpb(json_object_get(answer, "ok") != NULL ? json_object_get(answer, "ok")
                                                          : json_object_get(answer, "error"),
                    text, sizeof text - 1, JSON_ENCODE_ANY | JSON_COMPACT)] = '\0';
    json_decref(answer);
    return text;
}

/* ---- ours ---- */

static tmk_store open_store(tmk_claims claims) {
    tmk_store_blob_options o;
    tmk_store store;
    tmk_error err;

    tmk_store_blob_options_init(&o);
    o.connection_string = service.connection_string;
    o.container = "checkpoints";
    o.create_container = true;
    o.host = "NS.servicebus.windows.net";
    o.hub = "Hub";
    o.group = "Group";
    o.claims = claims;
    if (tmk_store_blob_new(&o, &store, &err) != TMK_OK) {
        fail_msg("%s", err.text);
    }
    return store;
}

typedef struct seen {
    tmk_status status;
    char version[160], owner[64], offset[64];
    int64_t sequence;
    bool held, present, sequence_known;
    size_t done_map;
} seen;

static seen ask(tmk_store store, const char *id, const char *token, tmk_store_op_kind kind,
                const char *version, int64_t sequence) {
    tmk_partition_record r = {.owner = token[0] == '1' ? "ours-1" : "ours-2",
                              .generation = 1,
                              .checkpoint = {sequence >= 0,
                                             true,
                                             sequence,
                                             "o:4096",
                                             {(const uint8_t *)"map", sequence >= 0 ? 3 : 0}}};
    tmk_store_op op = {.kind = kind,
                       .id = id,
                       .token = token,
                       .version = version,
                       .record = &r,
                       .take_over = true,
                       .timeout_ms = 10000};
    tmk_store_result *result = NULL;
    tmk_error err;
    seen s = {.status = tmk_store_ask(store, &op, &result, &err)};

    CHECK(result != NULL);
    (void)snprintf(s.version, sizeof s.version, "%s", result->version);
    if (result->partition_count == 1) {
        const tmk_partition_record *p = &result->partitions[0];
        (void)snprintf(s.version, sizeof s.version, "%s", p->version);
        (void)snprintf(s.owner, sizeof s.owner, "%s", p->owner);
        (void)snprintf(s.offset, sizeof s.offset, "%s", p->checkpoint.offset);
        s.sequence = p->checkpoint.sequence;
        s.sequence_known = p->checkpoint.sequence_known;
        s.present = p->checkpoint.present;
        s.held = p->held;
        s.done_map = p->checkpoint.done_map.size;
    }
    result = tmk_store_result_free(result);
    return s;
}

static seen read_it(tmk_store store, const char *id) {
    return ask(store, id, TOKEN_A, TMK_STORE_PARTITION_READ, "", -1);
}

static tmk_status drop(tmk_store store, const char *id) {
    return ask(store, id, TOKEN_A, TMK_STORE_PARTITION_DELETE, "", -1).status;
}

/* ---- in the way "lease" ---- */

static void they_read_our_checkpoints(void) {
    tmk_store store = open_store(TMK_CLAIMS_LEASE);

    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_CLAIM, "", -1).status);
    CHECK_STR("[[\"0\",-1,\"-1\"]]", js("[\"checkpoints\"]")); /* a claim does not break them */
    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_WRITE, "", 42).status);
    CHECK_STR("[[\"0\",42,\"o:4096\"]]", js("[\"checkpoints\"]"));
    CHECK_STR("[]", js("[\"ownerships\"]"));
    CHECK_EQ(TMK_OK, drop(store, "0"));
    tmk_store_free(store);
}

static void they_cannot_move_a_checkpoint_that_we_hold(void) {
    tmk_store store = open_store(TMK_CLAIMS_LEASE);

    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_CLAIM, "", -1).status);
    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_WRITE, "", 42).status);
    CHECK_STR("\"LeaseIdMissing\"", js("[\"checkpoint\",\"0\",7,\"7\"]"));
    CHECK_EQ(42, read_it(store, "0").sequence);
    CHECK_EQ(TMK_OK, drop(store, "0"));
    tmk_store_free(store);
}

/* A group that official processors have worked in before is taken over as it is. */
static void we_take_their_checkpoints_over(void) {
    tmk_store store = open_store(TMK_CLAIMS_LEASE);
    seen s;

    CHECK_STR("true", js("[\"checkpoint\",\"0\",1000,\"4:x\"]"));
    s = read_it(store, "0");
    CHECK_EQ(TMK_OK, s.status);
    CHECK(s.present && s.sequence_known && !s.held && s.done_map == 0);
    CHECK_EQ(1000, s.sequence);
    CHECK_STR("4:x", s.offset);
    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_CLAIM, s.version, -1).status);
    CHECK_EQ(1000, read_it(store, "0").sequence);
    CHECK_STR("[[\"0\",1000,\"4:x\"]]", js("[\"checkpoints\"]"));
    CHECK_EQ(TMK_OK, drop(store, "0"));
    tmk_store_free(store);
}

static void what_they_write_makes_our_done_map_void(void) {
    tmk_store store = open_store(TMK_CLAIMS_LEASE);
    seen s;

    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_CLAIM, "", -1).status);
    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_WRITE, "", 42).status);
    CHECK_EQ(3, read_it(store, "0").done_map);
    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_RELEASE, "", -1).status);
    CHECK_EQ(3, read_it(store, "0").done_map);
    CHECK_STR("true", js("[\"checkpoint\",\"0\",43,\"43\"]"));
    s = read_it(store, "0");
    CHECK_EQ(43, s.sequence);
    CHECK_EQ(0, s.done_map);
    CHECK_EQ(TMK_OK, drop(store, "0"));
    tmk_store_free(store);
}

static void their_living_processors_are_seen(void) {
    tmk_store store = open_store(TMK_CLAIMS_LEASE);
    tmk_store shared = open_store(TMK_CLAIMS_SHARED);

    CHECK(strcmp("null", js("[\"claim\",\"0\",\"theirs\",\"\"]")) != 0);
    CHECK_EQ(TMK_ESTATE, ask(store, "", TOKEN_A, TMK_STORE_PARTITION_LIST, "", -1).status);
    azurite_advance(&service, 180000);
    CHECK_EQ(TMK_OK, ask(store, "", TOKEN_A, TMK_STORE_PARTITION_LIST, "", -1).status);
    CHECK_EQ(TMK_OK, drop(shared, "0"));
    tmk_store_free(shared);
    tmk_store_free(store);
}

/* ---- in the way "shared" ---- */

static void they_see_what_we_own_and_what_we_give_up(void) {
    tmk_store store = open_store(TMK_CLAIMS_SHARED);
    const char *all;

    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_CLAIM, "", -1).status);
    all = js("[\"ownerships\"]");
    CHECK(strncmp("[[\"0\",\"ours-1\",", all, strlen("[[\"0\",\"ours-1\",")) == 0);
    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_WRITE, "", 42).status);
    CHECK_STR("[[\"0\",42,\"o:4096\"]]", js("[\"checkpoints\"]"));
    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_RELEASE, "", -1).status);
    all = js("[\"ownerships\"]");
    CHECK(strncmp("[[\"0\",\"\",", all, strlen("[[\"0\",\"\",")) == 0);
    CHECK_EQ(TMK_OK, drop(store, "0"));
    tmk_store_free(store);
}

static void we_steal_from_them_and_they_learn_it(void) {
    tmk_store store = open_store(TMK_CLAIMS_SHARED);
    char etag[128];
    seen s;

    (void)snprintf(etag, sizeof etag, "%s", js("[\"claim\",\"0\",\"theirs\",\"\"]"));
    CHECK_STR("true", js("[\"checkpoint\",\"0\",10,\"10\"]"));
    s = read_it(store, "0");
    CHECK(s.held);
    CHECK_STR("theirs", s.owner);
    CHECK_EQ(10, s.sequence);
    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_CLAIM, s.version, -1).status);
    CHECK_STR("null", js("[\"claim\",\"0\",\"theirs\",%s]", etag)); /* their renewal */
    CHECK_EQ(10, read_it(store, "0").sequence);
    CHECK_EQ(TMK_OK, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_WRITE, "", 42).status);
    CHECK_EQ(TMK_OK, drop(store, "0"));
    tmk_store_free(store);
}

static void they_steal_from_us_and_we_learn_it(void) {
    tmk_store store = open_store(TMK_CLAIMS_SHARED);
    char listed[512], *etag;
    json_t *all;
    seen ours;

    ours = ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_CLAIM, "", -1);
    CHECK_EQ(TMK_OK, ours.status);
    ours = ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_WRITE, ours.version, 42);
    CHECK_EQ(TMK_OK, ours.status);
    (void)snprintf(listed, sizeof listed, "%s", js("[\"ownerships\"]"));
    all = json_loads(listed, 0, NULL);
    etag = json_dumps(json_array_get(json_array_get(all, 0), 2), JSON_ENCODE_ANY);
    CHECK(strcmp("null", js("[\"claim\",\"0\",\"theirs\",%s]", etag)) != 0);
    free(etag);
    json_decref(all);
    CHECK_EQ(TMK_CONFLICT,
             ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_RENEW, ours.version, -1).status);
    CHECK_STR("true", js("[\"checkpoint\",\"0\",50,\"50\"]"));
    CHECK_EQ(TMK_CONFLICT,
             ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_WRITE, ours.version, 45).status);
    CHECK_EQ(50, read_it(store, "0").sequence);
    CHECK_EQ(TMK_OK, drop(store, "0"));
    tmk_store_free(store);
}

/* Theirs claims a missing record without a condition, right over ours. We find out. */
static void their_careless_first_claim_is_noticed(void) {
    tmk_store store = open_store(TMK_CLAIMS_SHARED);
    seen ours = ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_CLAIM, "", -1);

    CHECK_EQ(TMK_OK, ours.status);
    CHECK(strcmp("null", js("[\"claim\",\"0\",\"theirs\",\"\"]")) != 0);
    CHECK_EQ(TMK_CONFLICT,
             ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_RENEW, ours.version, -1).status);
    CHECK_EQ(TMK_CONFLICT, ask(store, "0", TOKEN_A, TMK_STORE_PARTITION_WRITE, "", 42).status);
    CHECK_EQ(TMK_OK, drop(store, "0"));
    tmk_store_free(store);
}

int main(int argc, char **argv) {
    const char *why = "usage: test_js_store SOURCES";
    int failures;

    if (argc < 2 || !azurite_start(&service, argv[1], &why) || !start_js(argv[1], &why)) {
        printf("1..0 # SKIP %s\n", why);
        azurite_stop(&service);
        return 0;
    }
    failures =
        RUN(TEST(they_read_our_checkpoints), TEST(they_cannot_move_a_checkpoint_that_we_hold),
            TEST(we_take_their_checkpoints_over), TEST(what_they_write_makes_our_done_map_void),
            TEST(their_living_processors_are_seen), TEST(they_see_what_we_own_and_what_we_give_up),
            TEST(we_steal_from_them_and_they_learn_it), TEST(they_steal_from_us_and_we_learn_it),
            TEST(their_careless_first_claim_is_noticed));
    stop_js();
    azurite_stop(&service);
    return failures;
}
