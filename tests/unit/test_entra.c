/*
 * Tokens over HTTP against an authority that answers, refuses, throttles,
 * talks nonsense, hangs and lies. Every secret here is the rig's canary, so
 * that one in a log line or an error ends the test.
 */
#include "auth/credential.h"

#include <unistd.h>

#include "support/check.h"
#include "support/fake_authority.h"
#include "support/identity.h"
#include "support/temp_folder.h"
#include "support/token_rig.h"

#include "base/alloc.h"
#include "base/file.h"

static token_rig rig;
static fake_authority fake;

#define GOOD(token)                                                                            \
    "{\"token_type\":\"Bearer\",\"expires_in\":3599,\"ext_expires_in\":3599,\"access_token\":" \
    "\"" RIG_CANARY token "\"}"
#define REFUSAL                                                                                   \
    "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid client secret " \
    "provided.\\r\\nTrace ID: 1\",\"error_codes\":[7000215],\"correlation_id\":\"2\"}"
#define SCRIPT(...)                                \
    fake_script(&fake, (fake_line[]){__VA_ARGS__}, \
                sizeof((fake_line[]){__VA_ARGS__}) / sizeof(fake_line))

static void clean_environment(void) {
    static const char *const names[] = {"AZURE_AUTHORITY_HOST",
                                        "AZURE_TENANT_ID",
                                        "AZURE_CLIENT_ID",
                                        "AZURE_CLIENT_SECRET",
                                        "AZURE_CLIENT_CERTIFICATE_PATH",
                                        "AZURE_FEDERATED_TOKEN_FILE",
                                        "AZURE_TOKEN_CREDENTIALS",
                                        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
                                        "IDENTITY_ENDPOINT",
                                        "IDENTITY_HEADER",
                                        "IDENTITY_SERVER_THUMBPRINT",
                                        "IMDS_ENDPOINT",
                                        "http_proxy"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unsetenv(names[i]);
    }
}

static const char *url_of(uint16_t port, const char *path) {
    static char url[2][128];
    static int turn;

    turn = !turn;
    (void)snprintf(url[turn], sizeof url[turn], "http://127.0.0.1:%u%s", port, path);
    return url[turn];
}

static tmk_entra_options options(void) {
    static char authority[128];
    tmk_entra_options o;

    (void)snprintf(authority, sizeof authority, "%s", url_of(fake.server.port, ""));
    tmk_entra_options_init(&o);
    o.authority = authority;
    o.danger_plain_loopback = true;
    return o;
}

static tmk_credential *secret_credential(void) {
    tmk_entra_options o = options();
    tmk_credential *c = NULL;
    tmk_error err;

    return tmk_credential_client_secret("tenant-1", "client-1", RIG_CANARY "+", &o, &c, &err) ==
                   TMK_OK
               ? c
               : NULL;
}

static void token_is(const char *text) {
    if (rig.first->token.secret == NULL) {
        fail_msg("no token: %s", rig.first->why.text);
    }
    CHECK_SLICE(text, tmk_secret_bytes(rig.first->token.secret));
}

static void failed(tmk_status status, const char *word) {
    CHECK(rig.first->token.secret == NULL);
    if (strstr(rig.first->why.text, word) == NULL || rig.first->why.status != status) {
        fail_msg("%s: '%s' does not speak of '%s'", tmk_status_name(rig.first->why.status),
                 rig.first->why.text, word);
    }
}

/* ---- client secret ---- */

static void a_client_secret_gets_a_token_that_is_kept(void) {
    SCRIPT({200, GOOD("-1"), NULL, 0}, {200, GOOD("-2"), NULL, 0});
    CHECK(rig_open(&rig, secret_credential()));
    CHECK(rig_get(&rig, false));
    token_is(RIG_CANARY "-1");
    CHECK_EQ(TMK_TOKEN_JWT, rig.first->token.kind);
    CHECK(fake_saw(&fake, "POST /tenant-1/oauth2/v2.0/token HTTP/1.1\r\n"));
    CHECK(fake_saw(&fake, "Content-Type: application/x-www-form-urlencoded\r\n"));
    CHECK(fake_saw(&fake,
                   "grant_type=client_credentials&client_id=client-1&scope="
                   "https%3A%2F%2Feventhubs.azure.net%2F.default&client_secret=" RIG_CANARY "%2B"));
    CHECK(rig_get(&rig, true));
    token_is(RIG_CANARY "-1");
    CHECK_EQ(1, fake_requests(&fake));
    rig_close(&rig);
}

static void another_cloud_has_its_own_scopes(void) {
    tmk_entra_options o = options();
    tmk_token_target storage = {.scope = TMK_SCOPE_STORAGE, .audience = "blobs"};
    tmk_credential *c = NULL;
    tmk_error err;

    SCRIPT({200, GOOD("-1"), NULL, 0}, {200, GOOD("-2"), NULL, 0});
    o.hub_scope = "https://eventhubs.azure.test/.default";
    CHECK_EQ(0, setenv("TIDEMARK_STORAGE_SCOPE", "https://storage.azure.test/.default", 1));
    CHECK_EQ(TMK_OK, tmk_credential_client_secret("tenant-1", "client-1", "s", &o, &c, &err));
    CHECK_EQ(0, setenv("TIDEMARK_STORAGE_SCOPE", "-h/", 1));
    CHECK_EQ(TMK_EINVAL, tmk_credential_client_secret("tenant-1", "client-1", "s", &o, &c, &err));
    CHECK(strstr(err.text, "TIDEMARK_STORAGE_SCOPE") != NULL);
    CHECK_EQ(0, unsetenv("TIDEMARK_STORAGE_SCOPE"));
    CHECK(rig_open(&rig, c));
    CHECK(rig_get(&rig, false));
    token_is(RIG_CANARY "-1");
    CHECK(fake_saw(&fake, "&scope=https%3A%2F%2Feventhubs.azure.test%2F.default&"));
    rig.calls[1].answers = 0;
    tmk_tokens_get(rig.tokens, &storage, &rig.calls[1].call);
    CHECK(rig_wait_for(&rig, &rig.calls[1], 5 * TMK_SEC));
    CHECK(fake_saw(&fake, "&scope=https%3A%2F%2Fstorage.azure.test%2F.default&"));
    rig_close(&rig);
}

static void fifty_callers_make_one_request(void) {
    SCRIPT({200, GOOD("-1"), NULL, 0}, {200, GOOD("-2"), NULL, 0});
    CHECK(rig_open(&rig, secret_credential()));
    for (int i = 0; i < rig_calls; i++) {
        rig_ask(&rig, &rig.calls[i], "sb://ns/hub", false);
    }
    for (int i = 0; i < rig_calls; i++) {
        CHECK(rig_wait_for(&rig, &rig.calls[i], 5 * TMK_SEC));
        CHECK_SLICE(RIG_CANARY "-1", tmk_secret_bytes(rig.calls[i].token.secret));
    }
    CHECK_EQ(1, fake_requests(&fake));
    rig_close(&rig);
}

static void a_refusal_names_the_code_and_is_not_repeated_at_once(void) {
    SCRIPT({401, REFUSAL, NULL, 0}, {200, GOOD("-1"), NULL, 0});
    CHECK(rig_open(&rig, secret_credential()));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "AADSTS7000215: Invalid client secret provided.");
    CHECK_STR("entra:invalid_client", rig.first->why.origin);
    CHECK(!rig.first->why.retryable);
    CHECK(strstr(rig.first->why.text, "Trace") == NULL);
    CHECK(rig_pause(&rig) > 8 * TMK_SEC);
    CHECK(!rig_get(&rig, true));
    CHECK_EQ(1, fake_requests(&fake));
    rig.ahead += 12 * TMK_SEC;
    CHECK(rig_get(&rig, true));
    rig_close(&rig);
}

/* Turns until the authority has been asked n times, then puts the clock forward. */
static void after_requests(int n, tmk_time ahead) {
    tmk_clock clock = tmk_clock_system();
    tmk_time end = tmk_now(&clock) + 5 * TMK_SEC;

    while (fake_requests(&fake) < n && tmk_now(&clock) < end) {
        rig_turn(&rig);
    }
    CHECK_EQ(n, fake_requests(&fake));
    for (int i = 0; i < 20; i++) {
        rig_turn(&rig); /* the answer arrives */
    }
    CHECK_EQ(0, rig.first->answers);
    rig.ahead += ahead;
}

static void throttling_is_waited_out_as_long_as_it_asks(void) {
    SCRIPT({429, "{\"error\":\"x\"}", "Retry-After: 7\r\n", 0}, {503, "", NULL, 0},
           {400, "{\"error\":\"temporarily_unavailable\"}", NULL, 0}, {200, GOOD("-1"), NULL, 0});
    CHECK(rig_open(&rig, secret_credential()));
    rig_ask(&rig, rig.first, "sb://ns/hub", false);
    after_requests(1, 6 * TMK_SEC);
    after_requests(1, 2 * TMK_SEC); /* not after six seconds */
    after_requests(2, 2 * TMK_SEC);
    after_requests(3, 4 * TMK_SEC);
    CHECK(rig_wait_for(&rig, rig.first, 5 * TMK_SEC));
    token_is(RIG_CANARY "-1");
    rig_close(&rig);
}

static void trouble_that_lasts_ends_in_time(void) {
    tmk_entra_options o;
    tmk_credential *c = NULL;
    tmk_error err;

    SCRIPT({503, "{\"error\":\"busy\",\"error_description\":\"Come back later\"}",
            "Retry-After: 30\r\n", 0});
    o = options();
    o.timeout_ms = 3000;
    CHECK_EQ(TMK_OK, tmk_credential_client_secret("t", "c", RIG_CANARY, &o, &c, &err));
    CHECK(rig_open(&rig, c));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EREMOTE, "Come back later");
    CHECK(rig.first->why.retryable);
    CHECK(rig_pause(&rig) > 28 * TMK_SEC);
    rig_close(&rig);
}

static void silence_ends_in_time(void) {
    tmk_entra_options o;
    tmk_credential *c = NULL;
    tmk_error err;

    SCRIPT({0, "", NULL, FAKE_HANGS});
    o = options();
    o.timeout_ms = 200;
    CHECK_EQ(TMK_OK, tmk_credential_client_secret("t", "c", RIG_CANARY, &o, &c, &err));
    CHECK(rig_open(&rig, c));
    CHECK(!rig_get(&rig, false));
    failed(TMK_ETIMEOUT, "no answer");
    rig_close(&rig);
}

static void nonsense_is_a_failure_without_its_text(void) {
    static const char *const bodies[] = {"",
                                         "<html>" RIG_CANARY "</html>",
                                         "{\"access_token\":\"" RIG_CANARY,
                                         "{\"access_token\":\"" RIG_CANARY "\"}",
                                         "[]",
                                         "null"};

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        SCRIPT({200, bodies[i], NULL, 0});
        CHECK(rig_open(&rig, secret_credential()));
        CHECK(!rig_get(&rig, false));
        failed(TMK_EPROTO, "answer");
        rig_close(&rig);
    }
    SCRIPT({404, "<html>" RIG_CANARY "</html>", NULL, 0});
    CHECK(rig_open(&rig, secret_credential()));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "404");
    CHECK_STR("http:404", rig.first->why.origin);
    rig_close(&rig);
}

static void a_cut_answer_is_tried_again(void) {
    SCRIPT({200, "{\"access_token\":\"" RIG_CANARY, NULL, FAKE_CUTS}, {200, GOOD("-1"), NULL, 0});
    CHECK(rig_open(&rig, secret_credential()));
    rig_ask(&rig, rig.first, "sb://ns/hub", false);
    after_requests(1, 2 * TMK_SEC);
    CHECK(rig_wait_for(&rig, rig.first, 5 * TMK_SEC));
    token_is(RIG_CANARY "-1");
    rig_close(&rig);
}

/* A secret must not travel to where an authority points. */
static void redirects_are_not_followed(void) {
    fake_authority other;
    char location[128];
    fake_line lines[1] = {{302, "", location, 0}};

    fake_start(&other);
    (void)snprintf(location, sizeof location, "Location: %s\r\n", url_of(other.server.port, "/"));
    fake_script(&fake, lines, 1);
    CHECK(rig_open(&rig, secret_credential()));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EPROTO, "redirect");
    CHECK_EQ(0, fake_requests(&other));
    rig_close(&rig);
    fake_stop(&other);
}

static void an_authority_that_repeats_the_secret_is_not_quoted(void) {
    SCRIPT({401, "", NULL, FAKE_ECHOES});
    CHECK(rig_open(&rig, secret_credential()));
    CHECK(!rig_get(&rig, false)); /* the rig looks for the canary */
    failed(TMK_EAUTH, "grant_type");
    rig_close(&rig);
}

static void a_token_is_renewed_ahead_and_served_meanwhile(void) {
    SCRIPT({200, GOOD("-1"), NULL, 0}, {503, "", NULL, 0}, {401, REFUSAL, NULL, 0},
           {200, GOOD("-2"), NULL, 0});
    CHECK(rig_open(&rig, secret_credential()));
    CHECK(rig_get(&rig, false));
    rig.ahead += 46 * TMK_MIN;
    CHECK(rig_get(&rig, false));
    token_is(RIG_CANARY "-1");
    rig_ask(&rig, rig.first, "sb://ns/hub", true);
    after_requests(2, 2 * TMK_SEC);
    CHECK(rig_wait_for(&rig, rig.first, 5 * TMK_SEC));
    failed(TMK_EAUTH, "AADSTS7000215");
    CHECK(rig_get(&rig, false));
    token_is(RIG_CANARY "-1");
    rig.ahead += 12 * TMK_SEC;
    CHECK(rig_get(&rig, true));
    token_is(RIG_CANARY "-2");
    rig_close(&rig);
}

/* A token of three seconds, as after a change of policy, must not make a storm. */
static void a_token_that_ends_at_once_is_a_failure(void) {
    SCRIPT({200, "{\"access_token\":\"" RIG_CANARY "\",\"expires_in\":0}", NULL, 0});
    CHECK(rig_open(&rig, secret_credential()));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EPROTO, "clock");
    rig_close(&rig);
}

static void nobody_there_is_a_failure_in_words(void) {
    tmk_entra_options o = options();
    tmk_credential *c = NULL;
    tmk_error err;

    o.authority = url_of(net_closed_port(), "");
    o.timeout_ms = 500;
    CHECK_EQ(TMK_OK, tmk_credential_client_secret("t", "c", RIG_CANARY, &o, &c, &err));
    CHECK(rig_open(&rig, c));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EIO, "no answer from the token service");
    rig_close(&rig);
}

static void tokens_may_go_while_the_authority_is_asked(void) {
    SCRIPT({0, "", NULL, FAKE_HANGS});
    CHECK(rig_open(&rig, secret_credential()));
    rig_ask(&rig, rig.first, "sb://ns/hub", false);
    after_requests(1, 0);
    rig_close(&rig);
    CHECK_EQ(0, rig.first->answers);
}

/* ---- client certificate ---- */

static void a_certificate_is_read_anew_for_each_token(void) {
    temp_folder folder;
    char path[300];
    test_identity id, next;
    tmk_entra_options o = options();
    tmk_credential *c = NULL;
    tmk_error err;

    temp_folder_make(&folder);
    (void)snprintf(path, sizeof path, "%s/client.pem", folder.path);
    test_identity_make(&id);
    test_identity_make(&next);
    SCRIPT({200, GOOD("-1"), NULL, 0}, {200, GOOD("-2"), NULL, 0});
    CHECK_EQ(TMK_OK, tmk_credential_client_certificate("t", "c", path, &o, &c, &err));
    CHECK(rig_open(&rig, c));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, path);
    CHECK_EQ(TMK_OK, tmk_file_replace(path, tmk_slice_str(id.pem), &err));
    rig.ahead += 12 * TMK_SEC;
    CHECK(rig_get(&rig, true));
    CHECK(fake_saw(&fake, "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A"
                          "client-assertion-type%3Ajwt-bearer&client_assertion=eyJ"));
    CHECK_EQ(TMK_OK, tmk_file_replace(path, TMK_LIT("-----BEGIN " RIG_CANARY), &err));
    rig.ahead += 50 * TMK_MIN;
    CHECK(!rig_get(&rig, true));
    failed(TMK_EINVAL, "private key");
    CHECK_EQ(TMK_OK, tmk_file_replace(path, tmk_slice_str(next.pem), &err));
    rig.ahead += 12 * TMK_SEC;
    CHECK(rig_get(&rig, true));
    token_is(RIG_CANARY "-2");
    rig_close(&rig);
    test_identity_clear(&id);
    test_identity_clear(&next);
    temp_folder_remove(&folder);
}

/* ---- workload identity ---- */

static void the_token_of_the_cluster_is_read_anew_for_each_token(void) {
    temp_folder folder;
    char path[300];
    tmk_entra_options o = options();
    tmk_credential *c = NULL;
    tmk_error err;

    temp_folder_make(&folder);
    (void)snprintf(path, sizeof path, "%s/token", folder.path);
    SCRIPT({200, GOOD("-1"), NULL, 0}, {200, GOOD("-2"), NULL, 0});
    CHECK_EQ(TMK_OK, tmk_credential_workload_identity("t", "c", path, &o, &c, &err));
    CHECK(rig_open(&rig, c));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, path);
    CHECK_EQ(TMK_OK, tmk_file_replace(path, TMK_LIT(" \n"), &err));
    rig.ahead += 12 * TMK_SEC;
    CHECK(!rig_get(&rig, true));
    failed(TMK_EAUTH, "empty");
    CHECK_EQ(0, fake_requests(&fake));
    CHECK_EQ(TMK_OK, tmk_file_replace(path, TMK_LIT("first." RIG_CANARY "\n"), &err));
    rig.ahead += 25 * TMK_SEC;
    CHECK(rig_get(&rig, true));
    CHECK(fake_saw(&fake, "&client_assertion=first." RIG_CANARY));
    CHECK(!fake_saw(&fake, "%0A"));
    CHECK_EQ(TMK_OK, tmk_file_replace(path, TMK_LIT("second." RIG_CANARY), &err));
    rig.ahead += 50 * TMK_MIN;
    CHECK(rig_get(&rig, true));
    CHECK(fake_saw(&fake, "&client_assertion=second." RIG_CANARY));
    token_is(RIG_CANARY "-2");
    rig_close(&rig);
    temp_folder_remove(&folder);
}

#define STALE                                                                                      \
    "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS700024: Client assertion is not " \
    "within its valid time range.\",\"error_codes\":[700024]}"

static void a_stale_token_of_the_cluster_is_read_once_more(void) {
    temp_folder folder;
    char path[300];
    tmk_entra_options o = options();
    tmk_credential *c = NULL;
    tmk_error err;

    temp_folder_make(&folder);
    (void)snprintf(path, sizeof path, "%s/token", folder.path);
    CHECK_EQ(TMK_OK, tmk_file_replace(path, TMK_LIT(RIG_CANARY), &err));
    SCRIPT({401, STALE, NULL, 0}, {200, GOOD("-1"), NULL, 0});
    CHECK_EQ(TMK_OK, tmk_credential_workload_identity("t", "c", path, &o, &c, &err));
    tmk_credential_ref(c);
    CHECK(rig_open(&rig, c));
    CHECK(rig_get(&rig, false));
    CHECK_EQ(2, fake_requests(&fake));
    rig_close(&rig);
    SCRIPT({401, STALE, NULL, 0});
    CHECK(rig_open(&rig, c));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "clock");
    CHECK_EQ(2, fake_requests(&fake));
    rig_close(&rig);
    temp_folder_remove(&folder);
}

/* ---- managed identity ---- */

static tmk_credential *imds_credential(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    clean_environment();
    CHECK_EQ(0, setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url_of(fake.server.port, "/"), 1));
    CHECK_EQ(TMK_OK,
             tmk_credential_managed_identity(TMK_IDENTITY_CLIENT_ID, "id-1", NULL, &c, &err));
    clean_environment();
    return c;
}

#define IMDS_GOOD                                                                          \
    "{\"access_token\":\"" RIG_CANARY "-1\",\"expires_in\":\"3599\",\"expires_on\":\"1\"," \
    "\"not_before\":\"1\",\"resource\":\"x\",\"token_type\":\"Bearer\"}"

static void the_identity_service_is_asked_without_a_proxy(void) {
    fake_authority proxy;

    fake_start(&proxy);
    SCRIPT({200, IMDS_GOOD, NULL, 0});
    CHECK(rig_open(&rig, imds_credential()));
    CHECK_EQ(0, setenv("http_proxy", url_of(proxy.server.port, ""), 1));
    CHECK(rig_get(&rig, false));
    token_is(RIG_CANARY "-1");
    CHECK(rig.first->token.expires_at - tmk_loop_now(rig.loop) > 3500 * TMK_SEC);
    CHECK(fake_saw(&fake, "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource="
                          "https%3A%2F%2Feventhubs.azure.net&client_id=id-1 HTTP/1.1\r\n"));
    CHECK(fake_saw(&fake, "\r\nMetadata: true\r\n"));
    CHECK_EQ(1, fake_requests(&fake));
    CHECK_EQ(0, fake_requests(&proxy));
    rig_close(&rig);
    fake_stop(&proxy);
    clean_environment();
}

static void the_identity_service_is_given_time(void) {
    SCRIPT({404, "", NULL, 0}, {410, "", NULL, 0}, {500, "", NULL, 0}, {200, IMDS_GOOD, NULL, 0});
    CHECK(rig_open(&rig, imds_credential()));
    rig_ask(&rig, rig.first, "sb://ns/hub", false);
    after_requests(1, 1200 * TMK_MS);
    after_requests(2, 2400 * TMK_MS);
    after_requests(3, 4800 * TMK_MS);
    CHECK(rig_wait_for(&rig, rig.first, 5 * TMK_SEC));
    token_is(RIG_CANARY "-1");
    rig_close(&rig);
}

static void an_identity_that_is_not_there_is_said_so(void) {
    SCRIPT({400, "{\"error\":\"invalid_request\",\"error_description\":\"Identity not found\"}",
            NULL, 0});
    CHECK(rig_open(&rig, imds_credential()));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "managed identity refused: Identity not found");
    CHECK_EQ(1, fake_requests(&fake));
    rig_close(&rig);
}

static void app_service_is_asked_with_its_header(void) {
    tmk_credential *c = NULL;
    tmk_error err;
    char body[256];

    clean_environment();
    CHECK_EQ(0, setenv("IDENTITY_ENDPOINT", url_of(fake.server.port, "/msi/token"), 1));
    CHECK_EQ(0, setenv("IDENTITY_HEADER", RIG_CANARY, 1));
    CHECK_EQ(TMK_OK, tmk_credential_managed_identity(TMK_IDENTITY_SYSTEM, NULL, NULL, &c, &err));
    clean_environment();
    CHECK(rig_open(&rig, c));
    (void)snprintf(body, sizeof body,
                   "{\"access_token\":\"" RIG_CANARY "-1\",\"expires_on\":\"%lld\",\"resource\":"
                   "\"x\",\"token_type\":\"Bearer\"}",
                   (long long)(rig_wall_(&rig).us / 1000000 + 7000));
    SCRIPT({400, "{\"statusCode\":400,\"message\":\"No " RIG_CANARY " found\"}", NULL, 0},
           {400, "{\"error\":{\"code\":\"Bad\",\"message\":\"Not good\"}}", NULL, 0},
           {200, body, NULL, 0});
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "No *** found");
    rig.ahead += 12 * TMK_SEC;
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "Not good");
    rig.ahead += 25 * TMK_SEC;
    CHECK(rig_get(&rig, false));
    CHECK(fake_saw(&fake, "GET /msi/token?api-version=2019-08-01&resource="
                          "https%3A%2F%2Feventhubs.azure.net HTTP/1.1\r\n"));
    CHECK(fake_saw(&fake, "\r\nX-IDENTITY-HEADER: " RIG_CANARY "\r\n"));
    CHECK(rig.first->token.expires_at - tmk_loop_now(rig.loop) > 6900 * TMK_SEC);
    CHECK(rig.first->token.expires_at - tmk_loop_now(rig.loop) <= 7000 * TMK_SEC);
    rig_close(&rig);
}

/* The end of a token is a moment by the server's clock: ours may be off by a day. */
static void the_servers_clock_decides_where_it_tells_it(void) {
    SCRIPT({200, "{\"access_token\":\"" RIG_CANARY "-1\",\"expires_on\":\"2026-11-20T22:00:00Z\"}",
            "Date: Fri, 20 Nov 2026 21:00:00 GMT\r\n", 0});
    CHECK(rig_open(&rig, imds_credential()));
    CHECK(rig_get(&rig, false));
    CHECK(rig.first->token.expires_at - tmk_loop_now(rig.loop) > 3590 * TMK_SEC);
    CHECK(rig.first->token.expires_at - tmk_loop_now(rig.loop) <= 3600 * TMK_SEC);
    rig_close(&rig);
}

/* An agent of Azure Arc that points to `path`, with the keys in `folder`. */
static void open_arc(const char *folder, const char *path, char *challenge, size_t room) {
    tmk_credential *c = NULL;
    tmk_error err;

    clean_environment();
    CHECK_EQ(0, setenv("IDENTITY_ENDPOINT", url_of(fake.server.port, "/arc"), 1));
    CHECK_EQ(0, setenv("IMDS_ENDPOINT", url_of(fake.server.port, ""), 1));
    CHECK_EQ(TMK_OK, tmk_credential_managed_identity(TMK_IDENTITY_SYSTEM, NULL, NULL, &c, &err));
    clean_environment();
    tmk_free(c->file);
    c->file = tmk_copy_str(folder);
    (void)snprintf(challenge, room, "WWW-Authenticate: Basic realm=%s\r\n", path);
    CHECK(rig_open(&rig, c));
}

static void azure_arc_gives_a_token_for_the_key_in_its_file(void) {
    temp_folder folder;
    char path[300], challenge[400];
    tmk_error err;

    temp_folder_make(&folder);
    (void)snprintf(path, sizeof path, "%s/x.key", folder.path);
    CHECK_EQ(TMK_OK, tmk_file_replace(path, TMK_LIT(RIG_CANARY "\n"), &err));
    open_arc(folder.path, path, challenge, sizeof challenge);
    SCRIPT({401, "", challenge, 0}, {200, IMDS_GOOD, NULL, 0});
    CHECK(rig_get(&rig, false));
    token_is(RIG_CANARY "-1");
    CHECK(fake_saw(&fake, "GET /arc?api-version=2020-06-01&resource="));
    CHECK(fake_saw(&fake, "\r\nAuthorization: Basic " RIG_CANARY "\r\n"));
    rig_close(&rig);
    /* A key that is not taken is a refusal, not an endless exchange. */
    open_arc(folder.path, path, challenge, sizeof challenge);
    SCRIPT({401, "", challenge, 0});
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "401");
    CHECK_EQ(2, fake_requests(&fake));
    rig_close(&rig);
    temp_folder_remove(&folder);
}

static void azure_arc_cannot_make_us_read_other_files(void) {
    temp_folder folder;
    char key[300], link[300], outside[300], challenge[400], big[5000];
    const char *const bad[] = {"/etc/hosts", outside, link, key};
    tmk_error err;

    temp_folder_make(&folder);
    memset(big, 'x', sizeof big);
    (void)snprintf(key, sizeof key, "%s/big.key", folder.path);
    (void)snprintf(link, sizeof link, "%s/link.key", folder.path);
    (void)snprintf(outside, sizeof outside, "%s/../x.key", folder.path);
    CHECK_EQ(TMK_OK, tmk_file_replace(key, tmk_slice_of(big, sizeof big), &err));
    CHECK_EQ(0, symlink("/etc/hosts", link));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        open_arc(folder.path, bad[i], challenge, sizeof challenge);
        SCRIPT({401, "", challenge, 0}, {200, IMDS_GOOD, NULL, 0});
        CHECK(!rig_get(&rig, false));
        CHECK_EQ(1, fake_requests(&fake));
        rig_close(&rig);
    }
    temp_folder_remove(&folder);
}

/* ---- the chain ---- */

static void set(const char *name, const char *value) {
    CHECK_EQ(0, setenv(name, value, 1));
}

static tmk_credential *chain_credential(void) {
    tmk_entra_options o = options();
    tmk_credential *c = NULL;
    tmk_error err;

    if (tmk_credential_default(&o, &c, &err) != TMK_OK) {
        fail_msg("%s", err.text);
    }
    clean_environment();
    return c;
}

/* What is not set up is passed over; what works stays. */
static void the_chain_goes_on_to_what_works_and_stays_there(void) {
    clean_environment();
    set("AZURE_TENANT_ID", "t");
    set("AZURE_CLIENT_ID", "c");
    set("AZURE_FEDERATED_TOKEN_FILE", "/nonexistent/token");
    set("AZURE_POD_IDENTITY_AUTHORITY_HOST", url_of(fake.server.port, ""));
    SCRIPT({400, "{\"error\":\"invalid_request\"}", NULL, 0}, {200, IMDS_GOOD, NULL, 0},
           {400, "{\"error\":\"invalid_request\"}", NULL, 0}, {200, IMDS_GOOD, NULL, 0});
    CHECK(rig_open(&rig, chain_credential()));
    CHECK(rig_get(&rig, false));
    CHECK_EQ(2, fake_requests(&fake)); /* a probe, then the question */
    CHECK(fake_saw(&fake, "Metadata: true"));
    rig.ahead += 50 * TMK_MIN;
    CHECK(!rig_get(&rig, true)); /* the one that worked is asked, nothing else, without a probe */
    failed(TMK_EAUTH, "managed identity");
    CHECK_EQ(3, fake_requests(&fake));
    rig.ahead += 12 * TMK_SEC;
    CHECK(rig_get(&rig, true));
    CHECK_EQ(4, fake_requests(&fake));
    rig_close(&rig);
}

static void a_refusal_ends_the_search(void) {
    clean_environment();
    set("AZURE_TENANT_ID", "t");
    set("AZURE_CLIENT_ID", "c");
    set("AZURE_CLIENT_SECRET", RIG_CANARY);
    set("AZURE_POD_IDENTITY_AUTHORITY_HOST", url_of(fake.server.port, ""));
    SCRIPT({401, REFUSAL, NULL, 0}, {200, IMDS_GOOD, NULL, 0});
    CHECK(rig_open(&rig, chain_credential()));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "client secret refused");
    CHECK_EQ(1, fake_requests(&fake));
    rig_close(&rig);
}

static void a_search_without_result_tells_each_reason(void) {
    clean_environment();
    set("AZURE_TENANT_ID", "t");
    set("AZURE_CLIENT_ID", "c");
    set("AZURE_FEDERATED_TOKEN_FILE", "/gone");
    set("AZURE_POD_IDENTITY_AUTHORITY_HOST", url_of(net_closed_port(), ""));
    CHECK(rig_open(&rig, chain_credential()));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "no credential works here: environment: AZURE_CLIENT_SECRET is not set; "
                      "workload identity: there is no file '/gone'; managed identity: no answer");
    rig_close(&rig);
}

static void an_address_that_docker_pretends_is_none(void) {
    clean_environment();
    set("AZURE_POD_IDENTITY_AUTHORITY_HOST", url_of(fake.server.port, ""));
    SCRIPT({403, "connecting to 169.254.169.254:80: connect: network is unreachable", NULL, 0});
    CHECK(rig_open(&rig, chain_credential()));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "unreachable");
    CHECK_EQ(1, fake_requests(&fake));
    rig_close(&rig);
}

int main(void) {
    int failures;

    clean_environment();
    fake_start(&fake);
    failures = RUN(
        TEST(a_client_secret_gets_a_token_that_is_kept), TEST(another_cloud_has_its_own_scopes),
        TEST(fifty_callers_make_one_request),
        TEST(a_refusal_names_the_code_and_is_not_repeated_at_once),
        TEST(throttling_is_waited_out_as_long_as_it_asks), TEST(trouble_that_lasts_ends_in_time),
        TEST(silence_ends_in_time), TEST(nonsense_is_a_failure_without_its_text),
        TEST(a_cut_answer_is_tried_again), TEST(redirects_are_not_followed),
        TEST(an_authority_that_repeats_the_secret_is_not_quoted),
        TEST(a_token_is_renewed_ahead_and_served_meanwhile),
        TEST(a_token_that_ends_at_once_is_a_failure), TEST(nobody_there_is_a_failure_in_words),
        TEST(tokens_may_go_while_the_authority_is_asked),
        TEST(a_certificate_is_read_anew_for_each_token),
        TEST(the_token_of_the_cluster_is_read_anew_for_each_token),
        TEST(a_stale_token_of_the_cluster_is_read_once_more),
        TEST(the_identity_service_is_asked_without_a_proxy),
        TEST(the_identity_service_is_given_time), TEST(an_identity_that_is_not_there_is_said_so),
        TEST(app_service_is_asked_with_its_header),
        TEST(the_servers_clock_decides_where_it_tells_it),
        TEST(azure_arc_gives_a_token_for_the_key_in_its_file),
        TEST(azure_arc_cannot_make_us_read_other_files),
        TEST(the_chain_goes_on_to_what_works_and_stays_there), TEST(a_refusal_ends_the_search),
        TEST(a_search_without_result_tells_each_reason),
        TEST(an_address_that_docker_pretends_is_none));
    fake_stop(&fake);
    return failures;
}
