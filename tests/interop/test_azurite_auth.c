/*
 * Who the blob store says it is, judged by Azurite: account keys, shared
 * access signatures, tokens of Entra ID over TLS.
 */
#include <tidemark/store_blob.h>

#include <stdio.h>
#include <time.h>

#include "auth/sas.h"
#include "base/str.h"
#include "support/azurite.h"
#include "support/check.h"
#include "support/temp_folder.h"
#include "support/tls.h"

#include <openssl/pem.h>

static azurite service;
static temp_folder folder;
static test_ca ca;
static char certificate[300], key[300], endpoint[128];

static tmk_store_blob_options options(void) {
    tmk_store_blob_options o;

    tmk_store_blob_options_init(&o);
    o.container = "checkpoints";
    o.host = "ns.servicebus.windows.net";
    o.hub = "hub";
    o.tls_ca_file = ca.path;
    return o;
}

/* Reads a partition that is not there: ABSENT when the service believes us. */
static tmk_status try_it(const tmk_store_blob_options *o, tmk_error *err) {
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_READ, .id = "0", .timeout_ms = 10000};
    tmk_store_result *result = NULL;
    tmk_store store;
    tmk_status st = tmk_store_blob_new(o, &store, err);

    if (st == TMK_OK) {
        st = tmk_store_ask(store, &op, &result, err);
        result = tmk_store_result_free(result);
        tmk_store_free(store);
    }
    return st;
}

static void with_an_account_key(void) {
    tmk_store_blob_options o = options();
    tmk_credential *credential = NULL;
    tmk_error err = {0};

    o.connection_string = service.connection_string;
    o.create_container = true;
    CHECK_EQ(TMK_ABSENT, try_it(&o, &err));
    o = options();
    o.account_url = endpoint;
    CHECK_EQ(TMK_OK, tmk_credential_shared_key(AZURITE_ACCOUNT, AZURITE_KEY, &credential, NULL));
    o.credential = credential;
    CHECK_EQ(TMK_ABSENT, try_it(&o, &err));
    credential = tmk_credential_free(credential);
    CHECK_EQ(TMK_OK, tmk_credential_shared_key(AZURITE_ACCOUNT, "d3Jvbmc=", &credential, NULL));
    o.credential = credential;
    if (try_it(&o, &err) != TMK_EAUTH) {
        fail_msg("%s %s", err.origin, err.text);
    }
    credential = tmk_credential_free(credential);
}

/* A signature for the container: what a service signs in version 2021-12-02. */
static void make_signature(const char *rights, tmk_str *out) {
    tmk_str text = TMK_STR_INIT, raw_key = TMK_STR_INIT;
    char mac[tmk_mac_base64_room];

    tmk_str_addf(&text,
                 "%s\n\n2099-01-01T00:00:00Z\n/blob/" AZURITE_ACCOUNT
                 "/checkpoints\n\n\n\n2021-12-02\nc\n\n\n\n\n\n\n",
                 rights);
    CHECK(tmk_str_add_unbase64(&raw_key, TMK_LIT(AZURITE_KEY)));
    CHECK(tmk_mac_base64(tmk_str_slice(&raw_key), tmk_str_slice(&text), mac));
    tmk_str_addf(out, "sp=%s&se=2099-01-01T00%%3A00%%3A00Z&sv=2021-12-02&sr=c&sig=", rights);
    tmk_str_add_percent(out, tmk_slice_str(mac));
    CHECK(tmk_str_ok(out));
    tmk_str_clear(&text);
    tmk_str_clear(&raw_key);
}

static void with_a_signature(void) {
    static const struct {
        const char *rights;
        tmk_status expected;
    } cases[] = {{"rwdl", TMK_ABSENT}, {"l", TMK_EAUTH}};

    for (size_t i = 0; i < 2; i++) {
        tmk_store_blob_options o = options();
        tmk_credential *credential = NULL;
        tmk_str signature = TMK_STR_INIT;
        tmk_error err = {0};

        tmk_str_add(&signature, "?");
        make_signature(cases[i].rights, &signature);
        CHECK_EQ(TMK_OK, tmk_credential_sas(tmk_str_text(&signature), &credential, NULL));
        o.account_url = endpoint;
        o.credential = credential;
        CHECK_EQ(cases[i].expected, try_it(&o, &err));
        CHECK(strstr(err.text, "sig=") == NULL);
        credential = tmk_credential_free(credential);
        tmk_str_clear(&signature);
    }
}

static const char *audience;

/* A token as Entra makes them, without its signature, at which Azurite does not look. */
static void give_token(void *self, tmk_token_ask *ask) {
    tmk_str payload = TMK_STR_INIT, token = TMK_STR_INIT;
    tmk_token_reply reply = {.size = sizeof reply, .lives_ms = 3600000};

    (void)self;
    tmk_str_addf(&payload,
                 "{\"aud\":\"%s\",\"iss\":\"https://sts.windows.net/"
                 "00000000-0000-0000-0000-000000000000/\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld}",
                 audience, (long long)time(NULL) - 60, (long long)time(NULL) - 60,
                 (long long)time(NULL) + 3600);
    tmk_str_add_base64url(&token, TMK_LIT("{\"alg\":\"RS256\",\"typ\":\"JWT\"}"));
    tmk_str_add_char(&token, '.');
    tmk_str_add_base64url(&token, tmk_str_slice(&payload));
    tmk_str_add(&token, ".c2lnbmF0dXJl");
    reply.token = tmk_str_text(&token);
    (void)tmk_token_ask_answer(ask, &reply, NULL);
    tmk_str_clear(&payload);
    tmk_str_clear(&token);
}

static void with_a_token_over_tls(void) {
    static const struct {
        const char *audience;
        tmk_status expected;
    } cases[] = {{"https://storage.azure.com", TMK_ABSENT},
                 {"https://eventhubs.azure.net", TMK_EAUTH}};

    for (size_t i = 0; i < 2; i++) {
        tmk_store_blob_options o = options();
        tmk_credential *credential = NULL;
        tmk_error err = {0};

        audience = cases[i].audience;
        CHECK_EQ(TMK_OK,
                 tmk_credential_callback(TMK_TOKEN_JWT, give_token, NULL, NULL, &credential, NULL));
        o.account_url = endpoint;
        o.credential = credential;
        CHECK_EQ(cases[i].expected, try_it(&o, &err));
        credential = tmk_credential_free(credential);
    }
}

static void a_certificate_of_nobody_is_refused(void) {
    tmk_store_blob_options o = options();
    tmk_error err = {0};

    o.connection_string = service.connection_string;
    o.tls_ca_file = NULL;
    CHECK(try_it(&o, &err) < 0);
    CHECK(strstr(err.text, "certificate") != NULL);
}

/* ---- set-up ---- */

static void write_certificate(void) {
    SSL_CTX *context = test_tls_context(&ca, "127.0.0.1", -60, 3600);
    FILE *f;

    (void)snprintf(certificate, sizeof certificate, "%s/cert.pem", folder.path);
    (void)snprintf(key, sizeof key, "%s/key.pem", folder.path);
    f = fopen(certificate, "w");
    if (f == NULL || PEM_write_X509(f, SSL_CTX_get0_certificate(context)) != 1 || fclose(f) != 0) {
        exit(99);
    }
    f = fopen(key, "w");
    if (f == NULL ||
        PEM_write_PrivateKey(f, SSL_CTX_get0_privatekey(context), NULL, NULL, 0, NULL, NULL) != 1 ||
        fclose(f) != 0) {
        exit(99);
    }
    SSL_CTX_free(context);
}

int main(int argc, char **argv) {
    const char *why = "usage: test_azurite_auth SOURCES";
    int failures = 0;

    temp_folder_make(&folder);
    test_ca_make(&ca);
    write_certificate();
    if (argc < 2 || !azurite_start_tls(&service, argv[1], certificate, key, &why)) {
        printf("1..0 # SKIP %s\n", why);
    } else {
        (void)snprintf(endpoint, sizeof endpoint, "https://127.0.0.1:%d/" AZURITE_ACCOUNT,
                       service.port);
        failures = RUN(TEST(with_an_account_key), TEST(with_a_signature),
                       TEST(with_a_token_over_tls), TEST(a_certificate_of_nobody_is_refused));
    }
    azurite_stop(&service);
    test_ca_clear(&ca);
    temp_folder_remove(&folder);
    return failures;
}
