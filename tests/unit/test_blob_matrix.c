/*
 * Each answer of the Blob service in tests/contract/status_matrix.txt, given to
 * the store's operation that can meet it, in both ways of claiming: what the
 * store makes of it, and that what it asks is what may be asked. A line that
 * nobody knows fails. test_blob_matrix TABLE
 *
 * The server gives the line's answer to the first request that it is meant for,
 * and then goes on as a service would whose record is as the case says.
 */
#include <tidemark/store_blob.h>

#include "base/call.h"

#include "support/check.h"
#include "support/net_server.h"

#define OURS "11111111-1111-4111-8111-111111111111"
#define THEIRS "22222222-2222-4222-8222-222222222222"

/* What a look finds. */
typedef enum view {
    NOTHING,    /* 404 */
    FREE,       /* a record, nobody's */
    HELD_BY_US, /* our token holds it, or stands there */
    HELD_BY_OTHERS
} view;

typedef struct expectation {
    const char *situation;
    tmk_store_op_kind
        kind; /* 0: never asked by the store, which the server checks of all requests */
    const char *meant_for; /* what the first such request's head begins with */
    const char *version;
    view after;
    tmk_status status;
    const char *words; /* in the error; NULL: none looked for */
    bool always;       /* the answer comes to each try, not to the first alone */
} expectation;

#define CLAIM TMK_STORE_PARTITION_CLAIM
#define WRITE TMK_STORE_PARTITION_WRITE
#define READ TMK_STORE_PARTITION_READ

static const expectation expectations[] = {
    {"put if-none-match *, exists", CLAIM, "PUT", "", HELD_BY_OTHERS, TMK_CONFLICT, "refused"},
    {"put if-none-match *, absent", CLAIM, "PUT", "", HELD_BY_US, TMK_OK, NULL},
    {"32 puts if-none-match * at once", CLAIM, "PUT", "", HELD_BY_OTHERS, TMK_CONFLICT, "refused"},
    {"set if-match stale", WRITE, "PUT", "0x1", HELD_BY_OTHERS, TMK_CONFLICT, "refused"},
    {"32 sets of one if-match at once", WRITE, "PUT", "0x1", HELD_BY_OTHERS, TMK_CONFLICT,
     "refused"},
    {"set if-match, blob absent", WRITE, "PUT", "0x1", NOTHING, TMK_CONFLICT, "refused"},
    {"set without condition, blob absent", 0, NULL, NULL, NOTHING, TMK_OK, NULL},
    {"set if-none-match *, exists", 0, NULL, NULL, NOTHING, TMK_OK, NULL},
    {"put if-match *, absent", 0, NULL, NULL, NOTHING, TMK_OK, NULL},
    {"set if-match weak", 0, NULL, NULL, NOTHING, TMK_OK, NULL},
    {"set if-match unquoted", 0, NULL, NULL, NOTHING, TMK_OK, NULL},
    {"if-match of two tags", 0, NULL, NULL, NOTHING, TMK_OK, NULL},
    {"container absent", READ, "GET", "", NOTHING, TMK_ENOTFOUND, "create_container"},
    {"container being deleted", READ, "GET", "", NOTHING, TMK_EBUSY, "being deleted", true},
    {"put without blob type", CLAIM, "PUT", "", NOTHING, TMK_EPROTO, "refused a request"},
    {"lease held, write without id", WRITE, "PUT", "0x1", HELD_BY_OTHERS, TMK_CONFLICT, "refused"},
    {"lease held, write with another id", WRITE, "PUT", "0x1", HELD_BY_OTHERS, TMK_CONFLICT,
     "refused"},
    {"no lease, write with an id", WRITE, "PUT", "0x1", HELD_BY_OTHERS, TMK_CONFLICT, "refused"},
    {"lease ended, write with its id", WRITE, "PUT", "0x1", HELD_BY_OTHERS, TMK_CONFLICT,
     "refused"},
    {"acquire, another holds it", TMK_STORE_MEMBER_JOIN, "PUT /box/ns/hub/g/tidemark/members/0?",
     "", HELD_BY_OTHERS, TMK_CONFLICT, "refused"},
    {"acquire again with the same id", TMK_STORE_MEMBER_JOIN,
     "PUT /box/ns/hub/g/tidemark/members/0?", "", HELD_BY_US, TMK_OK, NULL},
    {"renew with another id", TMK_STORE_MEMBER_RENEW, "PUT", "", HELD_BY_OTHERS, TMK_CONFLICT,
     "refused"},
    {"change with another id", TMK_STORE_PARTITION_PASS, "PUT", "", HELD_BY_OTHERS, TMK_CONFLICT,
     "refused"},
    {"change done before", TMK_STORE_PARTITION_PASS, "PUT", "", HELD_BY_US, TMK_OK, NULL},
    {"break, no lease", TMK_STORE_PARTITION_DELETE, "PUT", "", NOTHING, TMK_OK, NULL},
    {"stale if-match and no lease id", WRITE, "PUT", "0x1", HELD_BY_OTHERS, TMK_CONFLICT,
     "refused"},
    {"head, absent", WRITE, "HEAD", "", NOTHING, TMK_CONFLICT, "refused"},
    {"get if-none-match current", TMK_STORE_CALL_LOOK, "HEAD", "0x1", NOTHING, TMK_UNCHANGED, NULL},
    {"delete", TMK_STORE_PARTITION_DELETE, "DELETE", "", NOTHING, TMK_OK, NULL},
    {"delete again", TMK_STORE_PARTITION_DELETE, "DELETE", "", NOTHING, TMK_ABSENT, NULL, true},
    {"list, maxresults 0", TMK_STORE_PARTITION_LIST, "GET", "", NOTHING, TMK_EPROTO, "refused"},
    {"list, maxresults above 5000", 0, NULL, NULL, NOTHING, TMK_OK, NULL},
    {"container name too short", READ, "GET", "", NOTHING, TMK_EPROTO, "refused a request"},
    {"no right", WRITE, "PUT", "0x1", HELD_BY_US, TMK_EAUTH, "role"},
    {"bad signature", READ, "GET", "", NOTHING, TMK_EAUTH, "key or role"},
    {"immutable", WRITE, "PUT", "0x1", HELD_BY_US, TMK_EREMOTE, "policy"},
    {"archived", WRITE, "PUT", "0x1", HELD_BY_US, TMK_EREMOTE, "policy"},
    {"no length", WRITE, "PUT", "0x1", HELD_BY_US, TMK_EPROTO, "refused a request"},
    {"too large", WRITE, "PUT", "0x1", HELD_BY_US, TMK_EPROTO, "refused a request"},
    {"metadata too large", WRITE, "PUT", "0x1", HELD_BY_US, TMK_EPROTO, "refused a request"},
    {"metadata name invalid", WRITE, "PUT", "0x1", HELD_BY_US, TMK_EPROTO, "refused a request"},
    /* Once in trouble, then well: the operation succeeds by another try. */
    {"request timeout", WRITE, "PUT", "0x1", HELD_BY_US, TMK_OK, NULL},
    {"too many requests", WRITE, "PUT", "0x1", HELD_BY_US, TMK_OK, NULL},
    {"busy", WRITE, "PUT", "0x1", HELD_BY_US, TMK_OK, NULL},
    {"operation timed out", WRITE, "PUT", "0x1", HELD_BY_US, TMK_OK, NULL},
    {"internal error", WRITE, "PUT", "0x1", HELD_BY_US, TMK_OK, NULL},
    {"bad gateway", WRITE, "PUT", "0x1", HELD_BY_US, TMK_OK, NULL},
    {"gateway timeout", WRITE, "PUT", "0x1", HELD_BY_US, TMK_OK, NULL},
};

enum { EXPECTATIONS = sizeof expectations / sizeof *expectations };

static const char *table;

static struct {
    tmk_mutex lock; /* rank 950; guards what follows */
    const expectation *e;
    tmk_claims claims;
    char answer[128]; /* of the line: "409 BlobAlreadyExists" */
    bool given;       /* the line's answer */
    char wrong[1024]; /* the first request that may not be asked */
    net_server server;
    int failures;
} world;

/* ---- what may be asked ---- */

static const char *header(const char *head, const char *name, char *out, size_t room) {
    const char *at = strstr(head, name);

    out[0] = '\0';
    if (at != NULL) {
        at += strlen(name);
        (void)snprintf(out, room, "%.*s", (int)strcspn(at, "\r"), at);
    }
    return out;
}

static const char *rule_broken(const char *head) {
    bool set = strstr(head, "comp=metadata") != NULL;
    bool put = strstr(head, "x-ms-blob-type: BlockBlob") != NULL;
    char match[128], none[128], lease[128];

    header(head, "If-Match: ", match, sizeof match);
    header(head, "If-None-Match: ", none, sizeof none);
    header(head, "x-ms-lease-id: ", lease, sizeof lease);
    if (strstr(head, "x-ms-version: 2021-12-02\r\n") == NULL ||
        strstr(head, "x-ms-client-request-id: ") == NULL || strstr(head, "x-ms-date: ") == NULL) {
        return "a header is missing";
    }
    if (match[0] != '\0' && (match[0] != '"' || match[strlen(match) - 1] != '"' ||
                             strchr(match, ',') != NULL || strlen(match) < 3)) {
        return "If-Match is not one strong tag";
    }
    if (set && match[0] == '\0') {
        return "metadata are set without a condition";
    }
    if (put && match[0] == '\0' && strcmp(none, "*") != 0) {
        return "a blob is put without a condition";
    }
    if (strncmp(head, "PUT", 3) == 0 && !set && !put && strstr(head, "comp=lease") == NULL) {
        return "a put of an unknown kind";
    }
    if (world.claims == TMK_CLAIMS_SHARED && strstr(head, "tidemark/") == NULL &&
        (lease[0] != '\0' || strstr(head, "x-ms-lease-action: acquire") != NULL)) {
        return "a lease on an official blob in a shared group";
    }
    return strstr(head, "Expect:") != NULL ? "Expect" : NULL;
}

/* ---- answers ---- */

static void make_answer(tmk_str *out, const char *status) {
    char code[64] = "";
    const char *name = strchr(status, ' ');

    (void)snprintf(code, sizeof code, "%.3s", status);
    tmk_str_addf(out, "HTTP/1.1 %s Words\r\nDate: Fri, 20 Nov 2026 21:10:00 GMT\r\n", code);
    if (name != NULL) {
        tmk_str_addf(out, "x-ms-error-code: %s\r\n", name + 1);
    }
    tmk_str_addf(out, "%sContent-Length: 0\r\n\r\n", code[0] == '2' ? "ETag: \"0x2\"\r\n" : "");
}

/* The record, as the case has it; a look with the id of another's lease is refused. */
static void make_view(tmk_str *out, const char *head, view v) {
    const char *holder = v == HELD_BY_US ? OURS : v == HELD_BY_OTHERS ? THEIRS : "";
    char lease[128];

    header(head, "x-ms-lease-id: ", lease, sizeof lease);
    if (v == NOTHING) {
        make_answer(out, "404 BlobNotFound");
    } else if (lease[0] != '\0' && v == HELD_BY_OTHERS) {
        make_answer(out, "412 LeaseIdMismatchWithBlobOperation");
    } else {
        tmk_str_addf(out,
                     "HTTP/1.1 200 Words\r\nETag: \"0x7\"\r\nx-ms-lease-state: %s\r\n"
                     "x-ms-meta-tidemarktoken: %s\r\nx-ms-meta-ownerid: %s\r\n"
                     "x-ms-meta-sequencenumber: 1\r\nx-ms-meta-offset: 9\r\n"
                     "Content-Length: 0\r\n\r\n",
                     v == FREE || world.claims == TMK_CLAIMS_SHARED ? "available" : "leased",
                     holder,
                     v == FREE         ? ""
                     : v == HELD_BY_US ? "w"
                                       : "other");
    }
}

static void answer_to(const char *head, tmk_str *out) {
    const expectation *e = world.e;
    const char *broken = rule_broken(head);

    if (broken != NULL && world.wrong[0] == '\0') {
        (void)snprintf(world.wrong, sizeof world.wrong, "%s: %.800s", broken, head);
    }
    if ((!world.given || e->always) && strncmp(head, e->meant_for, strlen(e->meant_for)) == 0) {
        world.given = true;
        make_answer(out, world.answer);
    } else if (strncmp(head, "HEAD", 4) == 0 || strncmp(head, "GET", 3) == 0) {
        make_view(out, head, e->after);
    } else if (strncmp(head, "DELETE", 6) == 0) {
        make_answer(out, e->kind == TMK_STORE_PARTITION_DELETE && !world.given
                             ? "412 LeaseIdMissing"
                             : "202");
    } else {
        make_answer(out, strstr(head, "BlockBlob") != NULL ? "201" : "200");
    }
}

static void serve(net_connection *c) {
    tmk_str head = TMK_STR_INIT, body = TMK_STR_INIT, out = TMK_STR_INIT;
    bool good = true;

    while (good && net_read_request(c, &head, &body)) {
        tmk_str_reset(&out);
        tmk_mutex_lock(&world.lock);
        answer_to(tmk_str_text(&head), &out);
        tmk_mutex_unlock(&world.lock);
        good = net_send_text(c, tmk_str_text(&out));
    }
    tmk_str_clear(&head);
    tmk_str_clear(&body);
    tmk_str_clear(&out);
}

/* ---- one line ---- */

static const expectation *find(const char *situation) {
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        if (strcmp(expectations[i].situation, situation) == 0) {
            return &expectations[i];
        }
    }
    return NULL;
}

static tmk_store open_store(void) {
    tmk_store_blob_options o;
    char text[128];
    tmk_store store;

    (void)snprintf(text, sizeof text,
                   "AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:%d",
                   world.server.port);
    tmk_store_blob_options_init(&o);
    o.connection_string = text;
    o.container = "box";
    o.host = "ns";
    o.hub = "hub";
    o.group = "g";
    o.claims = world.claims;
    CHECK_EQ(TMK_OK, tmk_store_blob_new(&o, &store, NULL));
    return store;
}

/* What the last part of a version in a shared group says of the token beside the checkpoint. */
static unsigned tag_of(const char *token) {
    uint32_t hash = 2166136261U;

    for (; *token != '\0'; token++) {
        hash = (hash ^ (uint8_t)*token) * 16777619U;
    }
    return (hash >> 16 ^ hash) & 0xffff;
}

static tmk_status ask(const expectation *e, tmk_error *err) {
    tmk_partition_record r = {
        .owner = "w", .generation = 2, .checkpoint = {true, true, 42, "4096", {NULL, 0}}};
    char version[TMK_STORE_VERSION_MAX + 1];
    tmk_store_op op = {.kind = e->kind,
                       .id = "0",
                       .token = OURS,
                       .token_next = THEIRS,
                       .version = e->version,
                       .body = "b",
                       .record = &r,
                       .lease_ms = 20000,
                       .timeout_ms = 3000};
    tmk_store_result *result = NULL;
    tmk_store store = open_store();
    tmk_status st;

    if (world.claims == TMK_CLAIMS_SHARED && e->kind >= TMK_STORE_PARTITION_LIST &&
        e->version[0] != '\0') {
        (void)snprintf(version, sizeof version, "0x1,%s,%04x", e->version, tag_of(OURS));
        op.version = version;
    }
    st = tmk_store_ask(store, &op, &result, err);
    result = tmk_store_result_free(result);
    tmk_store_free(store);
    return st;
}

/* Leases have no place in a shared group, and its writes look before they are sent. */
static bool belongs(const expectation *e) {
    return world.claims == TMK_CLAIMS_LEASE ||
           ((e->kind >= TMK_STORE_PARTITION_LIST || e->kind == TMK_STORE_CALL_LOOK) &&
            e->kind != TMK_STORE_PARTITION_PASS && strstr(e->situation, "lease") == NULL &&
            strstr(e->situation, "head") == NULL);
}

/* All of a table, not its first wrong line alone. */
static void complain(const char *what, const char *situation, const char *answer,
                     const char *text) {
    fprintf(stderr, "%s: %s (%s): %s\n", situation, what, answer, text);
    world.failures++;
}

static void try_line(const char *situation, const char *answer) {
    const expectation *e = find(situation);
    tmk_error err = {.text = ""};
    tmk_status st;

    if (e == NULL) {
        complain("the store is not tried with it", situation, answer, "");
        return;
    }
    if (e->kind == 0 || !belongs(e)) {
        return;
    }
    tmk_mutex_lock(&world.lock);
    world.e = e;
    world.given = false;
    (void)snprintf(world.answer, sizeof world.answer, "%s", answer);
    tmk_mutex_unlock(&world.lock);
    st = ask(e, &err);
    if (st != e->status) {
        complain(tmk_status_name(st), situation, answer, err.text);
    } else if (!world.given) {
        complain("nobody asked for it", situation, answer, err.text);
    } else if (e->words != NULL && strstr(err.text, e->words) == NULL) {
        complain(e->words, situation, answer, err.text);
    }
}

/* "1 x 201, 31 x 409 BlobAlreadyExists": what the losers see. */
static const char *of_losers(const char *answer) {
    const char *last = strstr(answer, "31 x ");

    return last == NULL ? answer : last + 5;
}

static void walk(tmk_claims claims) {
    FILE *f = fopen(table, "r");
    char line[512];
    size_t lines = 0;

    CHECK(f != NULL);
    world.claims = claims;
    while (fgets(line, sizeof line, f) != NULL) {
        char situation[128], azurite[128], service[128];
        if (line[0] == '#' || line[0] == '\n') {
            continue;
        }
        CHECK_EQ(3, sscanf(line, "%127[^|]| %127[^|\n]| %127[^\n]", situation, azurite, service));
        situation[strlen(situation) - 1] = '\0'; /* the blanks before the bars */
        azurite[strlen(azurite) - 1] = '\0';
        lines++;
        try_line(situation, of_losers(strcmp(service, "same") == 0 ? azurite : service));
    }
    (void)fclose(f);
    if (lines != EXPECTATIONS) {
        complain("the table has another number of lines", "", "", "");
    }
}

static void run_way(tmk_claims claims) {
    memset(&world, 0, sizeof world);
    CHECK_EQ(TMK_OK, tmk_mutex_init(&world.lock, 950, NULL));
    net_server_start(&world.server, serve, NULL);
    walk(claims);
    net_server_stop(&world.server);
    if (world.wrong[0] != '\0') {
        fail_msg("%s", world.wrong);
    }
    tmk_mutex_clear(&world.lock);
    CHECK_EQ(0, world.failures);
}

static void every_answer_has_its_meaning_under_leases(void) {
    run_way(TMK_CLAIMS_LEASE);
}

static void every_answer_has_its_meaning_in_a_shared_group(void) {
    run_way(TMK_CLAIMS_SHARED);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        return 2;
    }
    table = argv[1];
    return RUN(TEST(every_answer_has_its_meaning_under_leases),
               TEST(every_answer_has_its_meaning_in_a_shared_group));
}
