/* Making credentials: what is kept, what the environment decides, what is refused. */
#include "auth/credential.h"

#include "support/check.h"
#include "support/failing.h"

#include "base/slice.h"

#define CANARY "c4n4ryS3cr3t"

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
                                        "IMDS_ENDPOINT"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unsetenv(names[i]);
    }
}

static void set(const char *name, const char *value) {
    CHECK_EQ(0, setenv(name, value, 1));
}

static void refused(tmk_status st, const tmk_error *err, const char *word) {
    CHECK_EQ(TMK_EINVAL, st);
    CHECK(strstr(err->text, CANARY) == NULL);
    if (strstr(err->text, word) == NULL) {
        fail_msg("'%s' does not speak of %s", err->text, word);
    }
}

static void keys_and_signatures_are_kept(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_credential_shared_key("rule", "k==", &c, &err));
    CHECK_EQ(TMK_CREDENTIAL_KEY, c->kind);
    CHECK_STR("rule", c->name);
    CHECK_SLICE("k==", tmk_secret_bytes(c->secret));
    CHECK(tmk_credential_ref(c) == c);
    CHECK(tmk_credential_free(c) == NULL);
    CHECK(tmk_credential_free(c) == NULL);
    CHECK(tmk_credential_free(NULL) == NULL);

    CHECK_EQ(TMK_OK, tmk_credential_sas("SharedAccessSignature sr=a&sig=b&se=1", &c, &err));
    CHECK_SLICE("SharedAccessSignature sr=a&sig=b&se=1", tmk_secret_bytes(c->secret));
    tmk_credential_free(c);
    CHECK_EQ(TMK_OK, tmk_credential_sas("?sv=1&sig=b", &c, &err));
    CHECK_SLICE("sv=1&sig=b", tmk_secret_bytes(c->secret));
    tmk_credential_free(c);
}

static void what_is_no_key_is_refused(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    refused(tmk_credential_shared_key(NULL, CANARY, &c, &err), &err, "name");
    refused(tmk_credential_shared_key("n", "", &c, &err), &err, "key");
    refused(tmk_credential_shared_key("n", CANARY "\n", &c, &err), &err, "key");
    refused(tmk_credential_sas(NULL, &c, &err), &err, "signature");
    refused(tmk_credential_sas(CANARY, &c, &err), &err, "signature");
    refused(tmk_credential_sas("SharedAccessSignature " CANARY, &c, &err), &err, "sr=");
    refused(tmk_credential_sas("sv=1&sig=" CANARY "\r\nx", &c, &err), &err, "line break");
    CHECK(c == NULL);
}

static void connection_strings_of_both_kinds_are_taken(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_credential_connection_string("Endpoint=sb://h/;SharedAccessKeyName=n;"
                                                      "SharedAccessKey=k",
                                                      &c, &err));
    CHECK_EQ(TMK_CREDENTIAL_KEY, c->kind);
    CHECK_STR("n", c->name);
    tmk_credential_free(c);
    CHECK_EQ(TMK_OK,
             tmk_credential_connection_string("AccountName=acc;AccountKey=c2VjcmV0", &c, &err));
    CHECK_STR("acc", c->name);
    CHECK_SLICE("c2VjcmV0", tmk_secret_bytes(c->secret));
    tmk_credential_free(c);
    CHECK_EQ(TMK_OK, tmk_credential_connection_string("AccountName=acc;SharedAccessSignature="
                                                      "?sv=1&sig=a%2B",
                                                      &c, &err));
    CHECK_EQ(TMK_CREDENTIAL_SAS, c->kind);
    CHECK_SLICE("sv=1&sig=a%2B", tmk_secret_bytes(c->secret));
    tmk_credential_free(c);
    CHECK_EQ(TMK_EINVAL, tmk_credential_connection_string(NULL, &c, &err));
}

static void the_authority_must_be_https(void) {
    tmk_entra_options o;
    tmk_credential *c = NULL;
    tmk_error err;
    static const char *const bad[] = {"http://login.example.com",
                                      "login.example.com",
                                      "https://u:p@login.example.com",
                                      "https://h/path",
                                      "https://h?q",
                                      "ftp://h",
                                      "https://",
                                      "",
                                      "http://127.0.0.1:1"};

    clean_environment();
    tmk_entra_options_init(&o);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        o.authority = bad[i];
        refused(tmk_credential_client_secret("t", "c", CANARY, &o, &c, &err), &err, "authority");
    }
    o.danger_plain_loopback = true;
    CHECK_EQ(TMK_OK, tmk_credential_client_secret("t", "c", CANARY, &o, &c, &err));
    CHECK_STR("http://127.0.0.1:1/t/oauth2/v2.0/token", c->token_url);
    tmk_credential_free(c);
    o.authority = "http://login.example.com";
    refused(tmk_credential_client_secret("t", "c", CANARY, &o, &c, &err), &err, "https");
}

static void the_authority_of_the_environment_may_end_in_a_slash(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    clean_environment();
    set("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/");
    CHECK_EQ(TMK_OK, tmk_credential_client_certificate("t.example", "c", "/x.pem", NULL, &c, &err));
    CHECK_STR("https://login.microsoftonline.us/t.example/oauth2/v2.0/token", c->token_url);
    tmk_credential_free(c);
    clean_environment();
}

static void a_tenant_cannot_leave_its_place_in_the_path(void) {
    static const char *const bad[] = {NULL, "",    "..",   "a/b", "a..b",    ".",
                                      ".a", "a b", "a%2f", "a?",  "\xc3\xa4"};
    tmk_credential *c = NULL;
    tmk_error err;

    clean_environment();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        refused(tmk_credential_client_secret(bad[i], "c", CANARY, NULL, &c, &err), &err, "tenant");
    }
    refused(tmk_credential_client_secret("t", NULL, CANARY, NULL, &c, &err), &err, "client id");
    refused(tmk_credential_client_secret("t", "a b", CANARY, NULL, &c, &err), &err, "client id");
    refused(tmk_credential_client_secret("t", "c", NULL, NULL, &c, &err), &err, "client secret");
    refused(tmk_credential_client_certificate("t", "c", "", NULL, &c, &err), &err, "file");
    refused(tmk_credential_azure_cli("--help", NULL, &c, &err), &err, "tenant");
}

/* An old program's options are shorter than ours, a newer one's longer. */
static void options_of_other_versions_are_understood(void) {
    struct {
        tmk_entra_options now;
        char later[16];
    } newer;
    tmk_entra_options older;
    tmk_credential *c = NULL;
    tmk_error err;

    clean_environment();
    tmk_entra_options_fill(&newer.now, sizeof newer);
    newer.now.timeout_ms = 5000;
    CHECK_EQ(TMK_OK, tmk_credential_client_secret("t", "c", "secret", &newer.now, &c, &err));
    CHECK_EQ(5 * TMK_SEC, c->timeout);
    tmk_credential_free(c);
    memset(&older, 0xff, sizeof older);
    tmk_entra_options_fill(&older, offsetof(tmk_entra_options, timeout_ms));
    CHECK_EQ(TMK_OK, tmk_credential_client_secret("t", "c", "secret", &older, &c, &err));
    CHECK_EQ(60 * TMK_SEC, c->timeout);
    tmk_credential_free(c);
    older.size = 0;
    refused(tmk_credential_client_secret("t", "c", CANARY, &older, &c, &err), &err, "init");
}

static void workload_identity_comes_from_the_environment(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    clean_environment();
    refused(tmk_credential_workload_identity(NULL, NULL, NULL, NULL, &c, &err), &err,
            "AZURE_FEDERATED_TOKEN_FILE");
    set("AZURE_FEDERATED_TOKEN_FILE", "/tok");
    refused(tmk_credential_workload_identity(NULL, NULL, NULL, NULL, &c, &err), &err,
            "AZURE_TENANT_ID");
    set("AZURE_TENANT_ID", "t");
    refused(tmk_credential_workload_identity(NULL, NULL, NULL, NULL, &c, &err), &err,
            "AZURE_CLIENT_ID");
    set("AZURE_CLIENT_ID", "c");
    CHECK_EQ(TMK_OK, tmk_credential_workload_identity(NULL, NULL, NULL, NULL, &c, &err));
    CHECK_STR("/tok", c->file);
    tmk_credential_free(c);
    CHECK_EQ(TMK_OK, tmk_credential_workload_identity(NULL, "mine", "/other", NULL, &c, &err));
    CHECK_STR("mine", c->client_id);
    CHECK_STR("/other", c->file);
    tmk_credential_free(c);
    clean_environment();
}

static void identity_is(tmk_identity_source source, const char *url) {
    tmk_credential *c = NULL;
    tmk_error err = {0};

    CHECK_EQ(TMK_OK, tmk_credential_managed_identity(TMK_IDENTITY_SYSTEM, NULL, NULL, &c, &err));
    CHECK_EQ(source, c->source);
    CHECK_STR(url, c->token_url);
    tmk_credential_free(c);
}

static void the_environment_tells_where_identities_are_asked_for(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    clean_environment();
    identity_is(TMK_SOURCE_IMDS, "http://169.254.169.254/metadata/identity/oauth2/token");
    set("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:99/");
    identity_is(TMK_SOURCE_IMDS, "http://127.0.0.1:99/metadata/identity/oauth2/token");
    set("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://imds.example.com/");
    refused(tmk_credential_managed_identity(TMK_IDENTITY_SYSTEM, NULL, NULL, &c, &err), &err,
            "AZURE_POD_IDENTITY_AUTHORITY_HOST");
    clean_environment();
    set("IDENTITY_ENDPOINT", "http://169.254.130.2:8081/msi/token");
    identity_is(TMK_SOURCE_IMDS, "http://169.254.169.254/metadata/identity/oauth2/token");
    set("IMDS_ENDPOINT", "http://localhost:40342");
    identity_is(TMK_SOURCE_ARC, "http://169.254.130.2:8081/msi/token");
    set("IDENTITY_HEADER", CANARY);
    identity_is(TMK_SOURCE_APP_SERVICE, "http://169.254.130.2:8081/msi/token");
    set("IDENTITY_HEADER", CANARY " x");
    refused(tmk_credential_managed_identity(TMK_IDENTITY_SYSTEM, NULL, NULL, &c, &err), &err,
            "IDENTITY_HEADER");
    set("IDENTITY_HEADER", CANARY);
    set("IDENTITY_ENDPOINT", "http://evil.example.com/");
    refused(tmk_credential_managed_identity(TMK_IDENTITY_SYSTEM, NULL, NULL, &c, &err), &err,
            "IDENTITY_ENDPOINT");
    set("IDENTITY_SERVER_THUMBPRINT", "x");
    CHECK_EQ(TMK_EUNSUPPORTED,
             tmk_credential_managed_identity(TMK_IDENTITY_SYSTEM, NULL, NULL, &c, &err));
    clean_environment();
    refused(tmk_credential_managed_identity(TMK_IDENTITY_CLIENT_ID, NULL, NULL, &c, &err), &err,
            "id");
    refused(tmk_credential_managed_identity(TMK_IDENTITY_SYSTEM, "x", NULL, &c, &err), &err,
            "kind");
    refused(tmk_credential_managed_identity((tmk_identity_kind)9, "x", NULL, &c, &err), &err,
            "kind");
}

/* The links of a chain, as "kind kind ..." by their numbers. */
static void chain_is(const tmk_entra_options *o, const char *kinds, const char *skipped) {
    tmk_credential *c = NULL;
    tmk_error err = {0};
    char found[64] = "";

    if (tmk_credential_default(o, &c, &err) != TMK_OK) {
        fail_msg("refused: %s", err.text);
    }
    for (size_t i = 0; i < c->link_count; i++) {
        (void)snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s",
                       i > 0 ? ", " : "", tmk_credential_title(c->links[i]));
    }
    CHECK_STR(kinds, found);
    if (skipped == NULL ? c->skipped != NULL
                        : c->skipped == NULL || strstr(c->skipped, skipped) == NULL) {
        fail_msg("skipped: %s", c->skipped == NULL ? "nothing" : c->skipped);
    }
    tmk_credential_free(c);
}

static void the_chain_holds_what_is_set_up(void) {
    tmk_entra_options o;
    tmk_credential *c = NULL;
    tmk_error err;

    clean_environment();
    tmk_entra_options_init(&o);
    chain_is(NULL, "managed identity",
             "environment: AZURE_TENANT_ID is not set; "
             "workload identity: AZURE_FEDERATED_TOKEN_FILE is not set");
    o.use_cli = true;
    chain_is(&o, "managed identity, Azure CLI", "environment");
    set("AZURE_TENANT_ID", "t");
    set("AZURE_CLIENT_ID", "c");
    set("AZURE_FEDERATED_TOKEN_FILE", "/tok");
    chain_is(NULL, "workload identity, managed identity",
             "environment: AZURE_CLIENT_SECRET is not set");
    set("AZURE_CLIENT_CERTIFICATE_PATH", "/x.pem");
    chain_is(NULL, "client certificate, workload identity, managed identity", NULL);
    set("AZURE_CLIENT_SECRET", CANARY);
    chain_is(&o, "client secret, workload identity, managed identity, Azure CLI", NULL);
    set("AZURE_TOKEN_CREDENTIALS", "prod");
    chain_is(&o, "client secret, workload identity, managed identity", NULL);
    set("AZURE_TOKEN_CREDENTIALS", "DEV");
    chain_is(NULL, "Azure CLI", NULL);
    set("AZURE_TOKEN_CREDENTIALS", "workloadidentitycredential");
    chain_is(NULL, "workload identity", NULL);
    set("AZURE_TOKEN_CREDENTIALS", CANARY);
    refused(tmk_credential_default(NULL, &c, &err), &err, "AZURE_TOKEN_CREDENTIALS");
    clean_environment();
    set("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential");
    refused(tmk_credential_default(NULL, &c, &err), &err, "AZURE_TENANT_ID is not set");
    clean_environment();
    set("AZURE_TENANT_ID", "../" CANARY);
    set("AZURE_CLIENT_ID", "c");
    set("AZURE_CLIENT_SECRET", CANARY);
    refused(tmk_credential_default(NULL, &c, &err), &err, "tenant");
    clean_environment();
}

static int freed;
static void count_free(void *self) {
    freed += *(int *)self;
}
static void ask_nothing(void *self, tmk_token_ask *ask) {
    (void)self;
    (void)ask;
}

static void the_programs_own_is_let_go_once(void) {
    tmk_credential *c = NULL;
    tmk_error err;
    int one = 1;

    CHECK_EQ(TMK_OK,
             tmk_credential_callback(TMK_TOKEN_JWT, ask_nothing, &one, count_free, &c, &err));
    tmk_credential_ref(c);
    tmk_credential_free(c);
    CHECK_EQ(0, freed);
    tmk_credential_free(c);
    CHECK_EQ(1, freed);
    refused(tmk_credential_callback(TMK_TOKEN_JWT, NULL, &one, count_free, &c, &err), &err,
            "function");
    refused(tmk_credential_callback((tmk_token_kind)0, ask_nothing, &one, count_free, &c, &err),
            &err, "kind");
}

static bool scenario(void) {
    tmk_credential *c[6] = {NULL};
    tmk_entra_options o;
    tmk_error err;
    bool good;

    tmk_entra_options_init(&o);
    o.tls_ca_file = "/ca.pem";
    o.proxy = "http://proxy";
    good = tmk_credential_default(&o, &c[0], &err) == TMK_OK;
    good &= tmk_credential_shared_key("n", "k", &c[1], &err) == TMK_OK;
    good &= tmk_credential_connection_string("AccountName=a;AccountKey=c2VjcmV0", &c[2], &err) ==
            TMK_OK;
    good &= tmk_credential_azure_cli("t", &o, &c[3], &err) == TMK_OK;
    good &= tmk_credential_client_certificate("t", "c", "/f", &o, &c[4], &err) == TMK_OK;
    good &= tmk_credential_connection_string("Endpoint=sb://h;SharedAccessSignature="
                                             "SharedAccessSignature sr=a&sig=b&se=1",
                                             &c[5], &err) == TMK_OK;
    for (int i = 0; i < 6; i++) {
        tmk_credential_free(c[i]);
    }
    return good;
}

static void a_failed_allocation_is_a_failure_and_no_leak(void) {
    clean_environment();
    set("AZURE_TENANT_ID", "t");
    set("AZURE_CLIENT_ID", "c");
    set("AZURE_CLIENT_SECRET", "secret");
    set("IDENTITY_ENDPOINT", "http://127.0.0.1/");
    set("IDENTITY_HEADER", "header");
    failing_each(scenario);
    clean_environment();
}

int main(void) {
    return RUN(TEST(keys_and_signatures_are_kept), TEST(what_is_no_key_is_refused),
               TEST(connection_strings_of_both_kinds_are_taken), TEST(the_authority_must_be_https),
               TEST(the_authority_of_the_environment_may_end_in_a_slash),
               TEST(a_tenant_cannot_leave_its_place_in_the_path),
               TEST(options_of_other_versions_are_understood),
               TEST(workload_identity_comes_from_the_environment),
               TEST(the_environment_tells_where_identities_are_asked_for),
               TEST(the_chain_holds_what_is_set_up), TEST(the_programs_own_is_let_go_once),
               TEST(a_failed_allocation_is_a_failure_and_no_leak));
}
