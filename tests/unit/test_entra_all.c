/*
 * Every credential that asks over HTTP, through the same row of situations:
 * success, refusal, throttling, nonsense, expiry. And the authority's TLS.
 */
#include <tidemark/credential.h>

#include "support/check.h"
#include "support/fake_authority.h"
#include "support/identity.h"
#include "support/temp_folder.h"
#include "support/tls.h"
#include "support/token_rig.h"

#include "base/file.h"

static token_rig rig;
static fake_authority fake;
static temp_folder folder;
static char pem_file[300], token_file[300];

typedef enum way { way_secret, way_certificate, way_workload, way_imds, way_app_service, ways } way;

static tmk_entra_options options(void) {
    static char authority[64];
    tmk_entra_options o;

    (void)snprintf(authority, sizeof authority, "http://127.0.0.1:%u", fake.server.port);
    tmk_entra_options_init(&o);
    o.authority = authority;
    o.danger_plain_loopback = true;
    return o;
}

static tmk_credential *identity(const char *variable, const char *other) {
    tmk_credential *c = NULL;
    tmk_error err;

    CHECK_EQ(0, setenv(variable, options().authority, 1));
    if (other != NULL) {
        CHECK_EQ(0, setenv(other, RIG_CANARY, 1));
    }
    CHECK_EQ(TMK_OK, tmk_credential_managed_identity(TMK_IDENTITY_SYSTEM, NULL, NULL, &c, &err));
    (void)unsetenv(variable);
    if (other != NULL) {
        (void)unsetenv(other);
    }
    return c;
}

static tmk_credential *make(way w) {
    tmk_entra_options o = options();
    tmk_credential *c = NULL;
    tmk_status st = TMK_OK;
    tmk_error err;

    switch (w) {
    case way_secret:
        st = tmk_credential_client_secret("t", "c", RIG_CANARY, &o, &c, &err);
        break;
    case way_certificate:
        st = tmk_credential_client_certificate("t", "c", pem_file, &o, &c, &err);
        break;
    case way_workload:
        st = tmk_credential_workload_identity("t", "c", token_file, &o, &c, &err);
        break;
    case way_imds:
        return identity("AZURE_POD_IDENTITY_AUTHORITY_HOST", NULL);
    case way_app_service:
    case ways:
        return identity("IDENTITY_ENDPOINT", "IDENTITY_HEADER");
    }
    CHECK_EQ(TMK_OK, st);
    return c;
}

static bool token_is(const char *text) {
    return rig.first->token.secret != NULL &&
           tmk_slice_eq(tmk_slice_str(text), tmk_secret_bytes(rig.first->token.secret));
}

#define ANSWER(token) "{\"access_token\":\"" RIG_CANARY token "\",\"expires_in\":\"3599\"}"

static void script(fake_line first, fake_line second) {
    fake_line lines[] = {first, second};

    fake_script(&fake, lines, 2);
}

static void a_token_comes_and_is_renewed_before_it_ends(void) {
    for (way w = way_secret; w < ways; w++) {
        script((fake_line){200, ANSWER("-1"), NULL, 0}, (fake_line){200, ANSWER("-2"), NULL, 0});
        CHECK(rig_open(&rig, make(w)));
        CHECK(rig_get(&rig, false) && token_is(RIG_CANARY "-1"));
        rig.ahead += 40 * TMK_MIN;
        CHECK(rig_get(&rig, true) && token_is(RIG_CANARY "-1"));
        CHECK_EQ(1, fake_requests(&fake));
        rig.ahead += 6 * TMK_MIN;
        CHECK(rig_get(&rig, true) && token_is(RIG_CANARY "-2"));
        CHECK_EQ(2, fake_requests(&fake));
        rig_close(&rig);
    }
}

static void a_refusal_is_passed_on_with_its_words(void) {
    for (way w = way_secret; w < ways; w++) {
        script((fake_line){400,
                           "{\"error\":\"invalid_request\",\"error_description\":\"AADSTS90002: "
                           "No such thing.\\r\\nTrace ID: x\"}",
                           NULL, 0},
               (fake_line){200, ANSWER("-1"), NULL, 0});
        CHECK(rig_open(&rig, make(w)));
        CHECK(!rig_get(&rig, false));
        CHECK_EQ(TMK_EAUTH, rig.first->why.status);
        CHECK_STR("entra:invalid_request", rig.first->why.origin);
        CHECK(strstr(rig.first->why.text, "refused: AADSTS90002: No such thing.") != NULL);
        CHECK_EQ(1, fake_requests(&fake));
        rig.ahead += 12 * TMK_SEC;
        CHECK(rig_get(&rig, false));
        rig_close(&rig);
    }
}

static void throttling_is_waited_out(void) {
    for (way w = way_secret; w < ways; w++) {
        script((fake_line){429, "{}", "Retry-After: 20\r\n", 0},
               (fake_line){200, ANSWER("-1"), NULL, 0});
        CHECK(rig_open(&rig, make(w)));
        rig_ask(&rig, rig.first, "", false);
        while (rig.pauses == 0 && rig.first->answers == 0) {
            rig_turn(&rig);
        }
        rig.ahead += 18 * TMK_SEC;
        CHECK(!rig_wait_for(&rig, rig.first, 30 * TMK_MS));
        CHECK_EQ(1, fake_requests(&fake));
        rig.ahead += 3 * TMK_SEC;
        CHECK(rig_wait_for(&rig, rig.first, 5 * TMK_SEC));
        CHECK(token_is(RIG_CANARY "-1"));
        rig_close(&rig);
    }
}

static void nonsense_is_no_token(void) {
    for (way w = way_secret; w < ways; w++) {
        script((fake_line){200, "<html>" RIG_CANARY "</html>", NULL, 0},
               (fake_line){200, "{\"access_token\":\"" RIG_CANARY, NULL, 0});
        CHECK(rig_open(&rig, make(w)));
        CHECK(!rig_get(&rig, false));
        CHECK_EQ(TMK_EPROTO, rig.first->why.status);
        rig.ahead += 12 * TMK_SEC;
        CHECK(!rig_get(&rig, false));
        CHECK_EQ(TMK_EPROTO, rig.first->why.status);
        CHECK_EQ(2, fake_requests(&fake));
        rig_close(&rig);
    }
}

static void an_answer_that_repeats_what_was_sent_is_not_quoted(void) {
    for (way w = way_secret; w < ways; w++) {
        script((fake_line){400, "", NULL, FAKE_ECHOES}, (fake_line){400, "", NULL, FAKE_ECHOES});
        CHECK(rig_open(&rig, make(w)));
        CHECK(!rig_get(&rig, false)); /* the rig looks for the canary */
        CHECK_EQ(TMK_EAUTH, rig.first->why.status);
        rig_close(&rig);
    }
}

/* ---- TLS ---- */

static SSL_CTX *tls;

static void serve_tls(net_connection *c) {
    static const char body[] = ANSWER("-1");
    char answer[256];
    SSL *ssl = test_tls_accept(c, tls);
    char request[4096];
    int size = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                        sizeof body - 1, body);

    if (ssl != NULL && SSL_read(ssl, request, sizeof request) > 0) {
        (void)SSL_write(ssl, answer, size);
        (void)net_wait_end(c);
    }
    SSL_free(ssl);
}

static void the_authority_must_show_a_certificate_that_is_trusted(void) {
    net_server server;
    test_ca ca, other;
    const test_ca *const trusted[] = {&ca, &other};
    char authority[64];

    test_ca_make(&ca);
    test_ca_make(&other);
    tls = test_tls_context(&ca, "127.0.0.1", -60, 3600);
    net_server_start(&server, serve_tls, NULL);
    (void)snprintf(authority, sizeof authority, "https://127.0.0.1:%u", server.port);
    for (int i = 0; i < 2; i++) {
        tmk_entra_options o;
        tmk_credential *c = NULL;
        tmk_error err;

        tmk_entra_options_init(&o);
        o.authority = authority;
        o.tls_ca_file = trusted[i]->path;
        CHECK_EQ(TMK_OK, tmk_credential_client_secret("t", "c", RIG_CANARY, &o, &c, &err));
        CHECK(rig_open(&rig, c));
        CHECK_EQ(i == 0, rig_get(&rig, false));
        CHECK(i == 0 || strstr(rig.first->why.text, "the TLS handshake failed") != NULL);
        rig_close(&rig);
    }
    net_server_stop(&server);
    SSL_CTX_free(tls);
    test_ca_clear(&ca);
    test_ca_clear(&other);
}

int main(void) {
    test_identity id;
    tmk_error err;
    int failures;

    temp_folder_make(&folder);
    test_identity_make(&id);
    (void)snprintf(pem_file, sizeof pem_file, "%s/client.pem", folder.path);
    (void)snprintf(token_file, sizeof token_file, "%s/token", folder.path);
    if (tmk_file_replace(pem_file, tmk_slice_str(id.pem), &err) != TMK_OK ||
        tmk_file_replace(token_file, TMK_LIT(RIG_CANARY), &err) != TMK_OK) {
        return 99;
    }
    fake_start(&fake);
    failures =
        RUN(TEST(a_token_comes_and_is_renewed_before_it_ends),
            TEST(a_refusal_is_passed_on_with_its_words), TEST(throttling_is_waited_out),
            TEST(nonsense_is_no_token), TEST(an_answer_that_repeats_what_was_sent_is_not_quoted),
            TEST(the_authority_must_show_a_certificate_that_is_trusted));
    fake_stop(&fake);
    test_identity_clear(&id);
    temp_folder_remove(&folder);
    return failures;
}
