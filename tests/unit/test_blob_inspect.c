/*
 * The inspection of a storage account against a server that answers by a list of
 * rules: what the account is, what it refuses, who else is there.
 */
#include <tidemark/store_blob_inspect.h>

#include "base/log.h"

#include "support/check.h"
#include "support/net_server.h"

typedef struct rule {
    const char *asked[3]; /* all of them in the request's head; the first rule that fits answers */
    const char *answer;
} rule;

static struct {
    const rule *rules;
    size_t count;
    net_server server;
    tmk_mutex lock; /* rank 950; guards what follows */
    int requests, deletions;
} world;

static bool fits(const rule *r, const char *head) {
    for (size_t i = 0; i < 3 && r->asked[i] != NULL; i++) {
        if (strstr(head, r->asked[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static const char *answer_to(const char *head) {
    tmk_mutex_lock(&world.lock);
    world.requests++;
    world.deletions += strncmp(head, "DELETE", 6) == 0;
    tmk_mutex_unlock(&world.lock);
    for (size_t i = 0; i < world.count; i++) {
        if (fits(&world.rules[i], head)) {
            return world.rules[i].answer;
        }
    }
    return "HTTP/1.1 200 X\r\nETag: \"0x1\"\r\nContent-Length: 0\r\n\r\n";
}

static void serve(net_connection *c) {
    tmk_str head = TMK_STR_INIT, body = TMK_STR_INIT;
    bool open = true;

    while (open && net_read_request(c, &head, &body)) {
        const char *answer = answer_to(tmk_str_text(&head));
        open = net_send_text(c, answer) && strstr(answer, "Connection: close") == NULL;
    }
    tmk_str_clear(&head);
    tmk_str_clear(&body);
}

static tmk_status inspect(const rule *rules, size_t count, const char *group, bool write,
                          tmk_blob_report **out, tmk_error *err) {
    tmk_store_blob_options o;
    char text[128];
    tmk_status st;

    memset(&world, 0, sizeof world);
    world.rules = rules;
    world.count = count;
    CHECK_EQ(TMK_OK, tmk_mutex_init(&world.lock, 950, NULL));
    net_server_start(&world.server, serve, NULL);
    (void)snprintf(text, sizeof text,
                   "AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:%d",
                   world.server.port);
    tmk_store_blob_options_init(&o);
    o.connection_string = text;
    o.container = "box";
    o.create_container = write;
    o.host = "ns";
    o.hub = "Hub";
    o.group = group;
    st = tmk_store_blob_inspect(&o, write, 2000, out, err);
    net_server_stop(&world.server);
    tmk_mutex_clear(&world.lock);
    return st;
}

#define INSPECT(group, write, ...)             \
    static const rule rules[] = {__VA_ARGS__}; \
    tmk_blob_report *r = NULL;                 \
    tmk_error err = {.text = ""};              \
    CHECK_EQ(TMK_OK, inspect(rules, sizeof rules / sizeof *rules, group, write, &r, &err))

#define XML(text)                                                                        \
    "HTTP/1.1 200 X\r\nDate: Fri, 20 Nov 2026 21:10:00 GMT\r\nConnection: close\r\n\r\n" \
    "<EnumerationResults><Blobs>" text "</Blobs></EnumerationResults>"
#define NAME(text) "<BlobPrefix><Name>" text "</Name></BlobPrefix>"
#define BLOB(name, properties, meta)                                                     \
    "<Blob><Name>" name "</Name><Properties><Etag>0x1</Etag>" properties "</Properties>" \
    "<Metadata>" meta "</Metadata></Blob>"
#define AT(time) "<Last-Modified>Fri, 20 Nov 2026 " time " GMT</Last-Modified>"
#define NO(code, name) \
    "HTTP/1.1 " code " X\r\nx-ms-error-code: " name "\r\nContent-Length: 0\r\n\r\n"
#define NAMES                                                                        \
    {{"delimiter=", "prefix=&"}, XML(NAME("other/") NAME("ns/"))},                   \
        {{"delimiter=", "prefix=ns%2F&"}, XML(NAME("ns/Hub/") NAME("ns/hub/") "x")}, \
        {{"delimiter=", "prefix=ns%2FHub%2F&"}, XML(NAME("ns/Hub/$Default/"))}, {    \
        {"delimiter=", "prefix=ns%2Fhub%2F&"},                                       \
            XML(NAME("ns/hub/$default/") BLOB("ns/hub/x", "", ""))                   \
    }

static const tmk_blob_fleet *fleet(const tmk_blob_report *r, bool lower) {
    for (size_t i = 0; i < r->fleet_count; i++) {
        if (r->fleets[i].lower == lower) {
            return &r->fleets[i];
        }
    }
    fail_msg("no such fleet");
    return NULL;
}

static void both_spellings_of_a_group_are_counted(void) {
    INSPECT(
        "$DEFAULT", false, NAMES,
        {{"prefix=ns%2Fhub%2F%24default%2Fownership%2F"},
         XML(BLOB("ns/hub/$default/ownership/0", AT("21:09:30"), "<ownerid>slow</ownerid>")
                 BLOB("ns/hub/$default/ownership/1", AT("21:09:50"), "<OwnerId>net</OwnerId>")
                     BLOB("ns/hub/$default/ownership/2", AT("20:00:00"), "<ownerid>dead</ownerid>")
                         BLOB("ns/hub/$default/ownership/3", AT("21:09:59"), "<ownerid/>")
                             BLOB("ns/hub/$default/ownership/x/4", "", "<ownerid>no</ownerid>"))},
        {{"prefix=ns%2Fhub%2F%24default%2Fcheckpoint%2F"},
         XML(BLOB("ns/hub/$default/checkpoint/0",
                  "<LeaseState>leased</LeaseState><LeaseDuration>infinite</LeaseDuration>", "")
                 BLOB("ns/hub/$default/checkpoint/1", "", ""))},
        {{"prefix=ns%2Fhub%2F%24default%2Ftidemark%2Fmembers%2F"},
         XML(BLOB("ns/hub/$default/tidemark/members/a",
                  "<LeaseState>leased</LeaseState><LeaseDuration>fixed</LeaseDuration>", "")
                 BLOB("ns/hub/$default/tidemark/members/b", "<LeaseState>expired</LeaseState>",
                      ""))},
        {{"prefix=ns%2FHub%2F%24Default%2Fcheckpoint%2F"},
         XML(BLOB("ns/Hub/$Default/checkpoint/0", "", ""))},
        {{"comp=list"}, XML("")});
    const tmk_blob_fleet *own = fleet(r, true), *other = fleet(r, false);

    CHECK_EQ(TMK_OK, r->list.status);
    CHECK_EQ(2, r->fleet_count);
    CHECK_STR("ns/hub/$default/", own->prefix);
    CHECK_STR("ns", own->host);
    CHECK_STR("hub", own->hub);
    CHECK_STR("$default", own->group);
    CHECK_EQ(4, own->ownerships);
    CHECK_EQ(3, own->owned);
    CHECK_EQ(2, own->owned_fresh);
    CHECK_STR("net", own->owner);
    CHECK_EQ(10000, own->owner_age_ms);
    CHECK_EQ(30000, own->slowest_age_ms);
    CHECK_EQ(2, own->checkpoints);
    CHECK_EQ(1, own->leased);
    CHECK_EQ(2, own->members);
    CHECK_EQ(1, own->members_alive);
    CHECK_STR("$Default", other->group);
    CHECK_EQ(1, other->checkpoints);
    CHECK_EQ(-1, other->owner_age_ms);
    CHECK(!r->write_tried && !r->cut && r->date_known);
    r = tmk_blob_report_free(r);
}

#define ACCOUNT(hns)                                                              \
    "HTTP/1.1 200 X\r\nx-ms-account-kind: StorageV2\r\nx-ms-is-hns-enabled: " hns \
    "\r\nContent-Length: 0\r\n\r\n"
#define SERVICE(text)                                                            \
    "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n<StorageServiceProperties>" text \
    "</StorageServiceProperties>"

static void the_account_is_told_as_far_as_it_shows(void) {
    INSPECT(
        "g", true, {{"restype=account"}, ACCOUNT("true")},
        {{"GET /?restype=service"},
         SERVICE("<DeleteRetentionPolicy><Enabled>true</Enabled><Days>7</Days>"
                 "</DeleteRetentionPolicy>")},
        {{"HEAD /box?restype=container"},
         "HTTP/1.1 200 X\r\nx-ms-has-immutability-policy: false\r\nx-ms-has-legal-hold: true\r\n"
         "ETag: \"1\"\r\nContent-Length: 0\r\n\r\n"},
        {{"PUT /box?restype=container"}, NO("409", "ContainerAlreadyExists")},
        {{"x-ms-blob-type: BlockBlob"},
         "HTTP/1.1 201 X\r\nETag: \"0x1\"\r\nx-ms-version-id: 1\r\nContent-Length: 0\r\n\r\n"},
        {{"comp=list"}, XML("")});

    CHECK_STR("StorageV2", r->account_kind);
    CHECK_EQ(TMK_BLOB_YES, r->hierarchical);
    CHECK_EQ(TMK_BLOB_YES, r->soft_delete);
    CHECK_EQ(TMK_BLOB_YES, r->immutable);
    CHECK_EQ(TMK_BLOB_YES, r->versioning);
    CHECK(r->write_tried && r->write.status == TMK_OK);
    CHECK_EQ(1, world.deletions);
    r = tmk_blob_report_free(r);
}

static void what_is_not_shown_is_not_known(void) {
    INSPECT("g", false, {{"restype=account"}, NO("403", "AuthorizationFailure")},
            {{"restype=service"}, SERVICE("<DeleteRetentionPolicy><Enabled>true</Enabled>")},
            {{"restype=container", "HEAD"}, NO("404", "ContainerNotFound")},
            {{"comp=list"}, XML("")});

    CHECK_STR("", r->account_kind);
    CHECK_EQ(TMK_BLOB_UNKNOWN, r->hierarchical);
    CHECK_EQ(TMK_BLOB_UNKNOWN, r->soft_delete);
    CHECK_EQ(TMK_BLOB_UNKNOWN, r->immutable);
    CHECK_EQ(TMK_BLOB_UNKNOWN, r->versioning);
    CHECK_EQ(TMK_OK, r->list.status);
    r = tmk_blob_report_free(r);
}

static void no_is_an_answer_too(void) {
    INSPECT("g", true, {{"restype=account"}, ACCOUNT("false")},
            {{"restype=service"},
             SERVICE("<DeleteRetentionPolicy><Enabled>false</Enabled></DeleteRetentionPolicy>")},
            {{"HEAD /box?restype=container"},
             "HTTP/1.1 200 X\r\nx-ms-has-immutability-policy: false\r\nETag: \"1\"\r\n"
             "Content-Length: 0\r\n\r\n"},
            {{"comp=list"}, XML("")});

    CHECK_EQ(TMK_BLOB_NO, r->hierarchical);
    CHECK_EQ(TMK_BLOB_NO, r->soft_delete);
    CHECK_EQ(TMK_BLOB_NO, r->immutable);
    CHECK_EQ(TMK_BLOB_NO, r->versioning);
    r = tmk_blob_report_free(r);
}

/* The clock shows in a refusal as well: it is the likeliest reason for it. */
static void a_refusal_ends_it_and_tells_the_time(void) {
    INSPECT("g", true,
            {{"comp=list"},
             "HTTP/1.1 403 X\r\nDate: Fri, 20 Nov 2026 21:10:00 GMT\r\nx-ms-error-code: "
             "AuthenticationFailed\r\nContent-Length: 0\r\n\r\n"});

    CHECK_EQ(TMK_EAUTH, r->list.status);
    CHECK(strstr(r->list.origin, "AuthenticationFailed") != NULL);
    CHECK(r->date_known && !r->write_tried && r->fleet_count == 0);
    r = tmk_blob_report_free(r);
}

static void a_trial_that_fails_half_way_cleans_up_and_says_where(void) {
    INSPECT("g", true, {{"comp=lease"}, NO("403", "AuthorizationPermissionMismatch")},
            {{"comp=list"}, XML("")});

    CHECK(r->write_tried);
    CHECK_EQ(TMK_EAUTH, r->write.status);
    CHECK_EQ(1, world.deletions);
    r = tmk_blob_report_free(r);
}

static void a_blob_that_cannot_be_made_is_not_deleted(void) {
    INSPECT("g", true, {{"x-ms-blob-type: BlockBlob"}, NO("412", "LeaseIdMissing")},
            {{"comp=list"}, XML("")});

    CHECK_EQ(TMK_EREMOTE, r->write.status);
    CHECK(strstr(r->write.origin, "LeaseIdMissing") != NULL);
    CHECK_EQ(0, world.deletions);
    r = tmk_blob_report_free(r);
}

static void a_torn_list_is_a_failure_of_the_list(void) {
    INSPECT("g", false,
            {{"comp=list"}, "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n<EnumerationResults><Blo"});

    CHECK_EQ(TMK_EPROTO, r->list.status);
    CHECK_EQ(0, r->fleet_count);
    r = tmk_blob_report_free(r);
}

static void a_list_without_end_is_cut(void) {
    INSPECT("g", false,
            {{"comp=list"},
             "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n<EnumerationResults><Blobs/>"
             "<NextMarker>m</NextMarker></EnumerationResults>"});

    CHECK_EQ(TMK_OK, r->list.status);
    CHECK(r->cut && world.requests < 40);
    r = tmk_blob_report_free(r);
}

static void wrong_settings_are_named(void) {
    tmk_store_blob_options o;
    tmk_blob_report *r = NULL;
    tmk_error err = {.text = ""};

    tmk_store_blob_options_init(&o);
    o.host = "ns";
    o.group = "g";
    CHECK_EQ(TMK_EINVAL, tmk_store_blob_inspect(&o, false, 1000, &r, &err));
    CHECK(strstr(err.text, "'hub'") != NULL);
    o.hub = "h";
    CHECK_EQ(TMK_EINVAL, tmk_store_blob_inspect(&o, false, 1000, &r, &err));
    CHECK(strstr(err.text, "connection string") != NULL);
    CHECK(r == NULL);
    CHECK(tmk_blob_report_free(NULL) == NULL);
}

int main(void) {
    return RUN(TEST(both_spellings_of_a_group_are_counted),
               TEST(the_account_is_told_as_far_as_it_shows), TEST(what_is_not_shown_is_not_known),
               TEST(no_is_an_answer_too), TEST(a_refusal_ends_it_and_tells_the_time),
               TEST(a_trial_that_fails_half_way_cleans_up_and_says_where),
               TEST(a_blob_that_cannot_be_made_is_not_deleted),
               TEST(a_torn_list_is_a_failure_of_the_list), TEST(a_list_without_end_is_cut),
               TEST(wrong_settings_are_named));
}
