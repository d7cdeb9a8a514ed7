/* What is sent for a token, when it is tried again, and what is taken out of answers. */
#include "auth/token_request.h"

#include "support/check.h"
#include "support/failing.h"

#include "auth/scrub.h"
#include "auth/token_retry.h"
#include "base/alloc.h"

static tmk_credential *secret_credential(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    CHECK_EQ(TMK_OK,
             tmk_credential_client_secret("tenant-1", "client-1", "p&w=d +%", NULL, &c, &err));
    return c;
}

static void a_client_secret_is_sent_in_a_form(void) {
    tmk_credential *c = secret_credential();
    tmk_str body = TMK_STR_INIT;
    tmk_error err;

    CHECK_STR("https://login.microsoftonline.com/tenant-1/oauth2/v2.0/token", c->token_url);
    CHECK_EQ(TMK_OK,
             tmk_token_form(c, "https://eventhubs.azure.net/.default", c->secret, &body, &err));
    CHECK_STR("grant_type=client_credentials&client_id=client-1"
              "&scope=https%3A%2F%2Feventhubs.azure.net%2F.default"
              "&client_secret=p%26w%3Dd%20%2B%25",
              tmk_str_text(&body));
    tmk_str_wipe(&body);
    tmk_credential_free(c);
}

static void an_assertion_is_sent_with_its_type(void) {
    tmk_credential *c = NULL;
    tmk_secret *proof = tmk_secret_new(TMK_LIT("a.b.c"));
    tmk_str body = TMK_STR_INIT;
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_credential_workload_identity("t", "c", "/token", NULL, &c, &err));
    CHECK_EQ(TMK_OK, tmk_token_form(c, "s", proof, &body, &err));
    CHECK_STR("grant_type=client_credentials&client_id=c&scope=s&client_assertion_type="
              "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
              "&client_assertion=a.b.c",
              tmk_str_text(&body));
    tmk_str_wipe(&body);
    tmk_secret_free(proof);
    tmk_credential_free(c);
}

static void a_resource_is_a_scope_without_its_end(void) {
    CHECK_SLICE("https://eventhubs.azure.net",
                tmk_scope_resource("https://eventhubs.azure.net/.default"));
    CHECK_SLICE("https://eventhubs.azure.net/",
                tmk_scope_resource("https://eventhubs.azure.net//.default"));
    CHECK_SLICE("x", tmk_scope_resource("x"));
}

static void asks_at(tmk_identity_source source, tmk_identity_kind kind, const char *id,
                    const char *expected) {
    tmk_credential c = {.kind = TMK_CREDENTIAL_MANAGED, .source = source, .identity = kind};
    char endpoint[] = "http://127.0.0.1/token";
    char name[64];
    char *url;

    (void)snprintf(name, sizeof name, "%s", id == NULL ? "" : id);
    c.token_url = endpoint;
    c.client_id = id == NULL ? NULL : name;
    url = tmk_identity_url(&c, "https://storage.azure.com/.default");
    CHECK_STR(expected, url);
    tmk_free(url);
}

#define RESOURCE "&resource=https%3A%2F%2Fstorage.azure.com"

static void every_identity_endpoint_is_asked_in_its_way(void) {
    asks_at(TMK_SOURCE_IMDS, TMK_IDENTITY_SYSTEM, NULL,
            "http://127.0.0.1/token?api-version=2018-02-01" RESOURCE);
    asks_at(TMK_SOURCE_IMDS, TMK_IDENTITY_CLIENT_ID, "a-b",
            "http://127.0.0.1/token?api-version=2018-02-01" RESOURCE "&client_id=a-b");
    asks_at(TMK_SOURCE_IMDS, TMK_IDENTITY_OBJECT_ID, "a-b",
            "http://127.0.0.1/token?api-version=2018-02-01" RESOURCE "&object_id=a-b");
    asks_at(TMK_SOURCE_IMDS, TMK_IDENTITY_RESOURCE_ID, "/sub/x&y",
            "http://127.0.0.1/token?api-version=2018-02-01" RESOURCE "&msi_res_id=%2Fsub%2Fx%26y");
    asks_at(TMK_SOURCE_APP_SERVICE, TMK_IDENTITY_CLIENT_ID, "a-b",
            "http://127.0.0.1/token?api-version=2019-08-01" RESOURCE "&client_id=a-b");
    asks_at(TMK_SOURCE_APP_SERVICE, TMK_IDENTITY_OBJECT_ID, "a-b",
            "http://127.0.0.1/token?api-version=2019-08-01" RESOURCE "&principal_id=a-b");
    asks_at(TMK_SOURCE_APP_SERVICE, TMK_IDENTITY_RESOURCE_ID, "/x",
            "http://127.0.0.1/token?api-version=2019-08-01" RESOURCE "&mi_res_id=%2Fx");
    asks_at(TMK_SOURCE_ARC, TMK_IDENTITY_SYSTEM, NULL,
            "http://127.0.0.1/token?api-version=2020-06-01" RESOURCE);
}

static bool arc_path(const char *challenge) {
    tmk_str path = TMK_STR_INIT;
    tmk_error err;
    tmk_status st = tmk_arc_key_path(challenge, "/var/opt/azcmagent/tokens", &path, &err);

    CHECK(st == TMK_OK || (st == TMK_EPROTO && path.size == 0));
    if (st == TMK_OK) {
        CHECK_STR("/var/opt/azcmagent/tokens/x-1.key", tmk_str_text(&path));
    }
    tmk_str_clear(&path);
    return st == TMK_OK;
}

/* Whatever answers on the agent's port must not be able to make us send it /etc/shadow. */
static void an_arc_key_lies_in_its_folder_only(void) {
    CHECK(arc_path("Basic realm=/var/opt/azcmagent/tokens/x-1.key"));
    CHECK(arc_path("basic REALM=\"/var/opt/azcmagent/tokens/x-1.key\" "));
    CHECK(!arc_path(NULL));
    CHECK(!arc_path(""));
    CHECK(!arc_path("Basic realm="));
    CHECK(!arc_path("Bearer realm=/var/opt/azcmagent/tokens/x-1.key"));
    CHECK(!arc_path("Basic realm=/etc/shadow"));
    CHECK(!arc_path("Basic realm=/etc/x.key"));
    CHECK(!arc_path("Basic realm=/var/opt/azcmagent/tokens"));
    CHECK(!arc_path("Basic realm=/var/opt/azcmagent/tokens/"));
    CHECK(!arc_path("Basic realm=/var/opt/azcmagent/tokens/.key"));
    CHECK(!arc_path("Basic realm=/var/opt/azcmagent/tokens/x-1"));
    CHECK(!arc_path("Basic realm=/var/opt/azcmagent/tokensx/x-1.key"));
    CHECK(!arc_path("Basic realm=/var/opt/azcmagent/tokens/../x-1.key"));
    CHECK(!arc_path("Basic realm=/var/opt/azcmagent/tokens/..key"));
    CHECK(!arc_path("Basic realm=/var/opt/azcmagent/tokens/a/x-1.key"));
    CHECK(!arc_path("Basic realm=/var/opt/azcmagent/tokens/x 1.key"));
}

/* ---- trying again ---- */

static tmk_token_retry retry_of(tmk_token_endpoint endpoint, bool known) {
    return (tmk_token_retry){.endpoint = endpoint, .known = known, .deadline = 90 * TMK_SEC};
}

/* The waits in tenths of a second, 0 at the end. */
static void waits(tmk_token_retry r, tmk_token_trial trial, const int *tenths) {
    tmk_rng rng;
    tmk_time now = 0;

    tmk_rng_seed(&rng, 3);
    for (; *tenths > 0; tenths++) {
        tmk_time wait = tmk_token_retry_on_trial(&r, now, &trial, &rng);

        CHECK(wait >= *tenths * 100 * TMK_MS * 8 / 10 && wait <= *tenths * 100 * TMK_MS * 12 / 10);
        now += *tenths * 100 * TMK_MS;
    }
    CHECK_EQ(TMK_NEVER, tmk_token_retry_on_trial(&r, now, &trial, &rng));
}

static void an_authority_in_trouble_is_tried_again(void) {
    tmk_token_retry r = retry_of(TMK_ENDPOINT_AUTHORITY, false);
    static const int doubling[] = {8, 16, 32, 64, 128, 256, 0};
    static const int never[] = {0};

    waits(r, (tmk_token_trial){.code = 503}, doubling);
    waits(r, (tmk_token_trial){.code = 429}, doubling);
    waits(r, (tmk_token_trial){.code = 408}, doubling);
    waits(r, (tmk_token_trial){.code = 0}, doubling);
    waits(r, (tmk_token_trial){.code = 400, .temporary = true}, doubling);
    waits(r, (tmk_token_trial){.code = 400}, never);
    waits(r, (tmk_token_trial){.code = 401}, never);
    waits(r, (tmk_token_trial){.code = 404}, never);
    waits(r, (tmk_token_trial){.code = 302}, never);
}

static void a_wish_to_wait_is_honoured_or_the_question_ends(void) {
    tmk_token_retry r = retry_of(TMK_ENDPOINT_AUTHORITY, false);
    static const int twenty[] = {200, 200, 200, 200, 0};
    static const int never[] = {0};

    waits(r, (tmk_token_trial){.code = 429, .retry_after = 20 * TMK_SEC}, twenty);
    waits(r, (tmk_token_trial){.code = 429, .retry_after = 100 * TMK_SEC}, never);
}

static void an_identity_endpoint_has_its_own_table(void) {
    tmk_token_retry r = retry_of(TMK_ENDPOINT_IMDS, false);
    static const int table[] = {10, 20, 40, 80, 160, 0};
    static const int never[] = {0};

    waits(r, (tmk_token_trial){.code = 404}, table);
    waits(r, (tmk_token_trial){.code = 500}, table);
    waits(r, (tmk_token_trial){.code = 429}, table);
    waits(r, (tmk_token_trial){.code = 400}, never);
    waits(r, (tmk_token_trial){.code = 0}, never);
    r.known = true;
    waits(r, (tmk_token_trial){.code = 0}, table);
}

static void an_identity_endpoint_that_is_gone_gets_seventy_seconds(void) {
    tmk_token_retry r = retry_of(TMK_ENDPOINT_IMDS, false);
    tmk_token_trial gone = {.code = 410};
    tmk_rng rng;
    tmk_time now = 0;

    tmk_rng_seed(&rng, 3);
    for (;;) {
        tmk_time wait = tmk_token_retry_on_trial(&r, now, &gone, &rng);

        if (wait == TMK_NEVER) {
            break;
        }
        now += wait;
    }
    CHECK(now >= 70 * TMK_SEC);
    CHECK(now < 90 * TMK_SEC);
}

static void a_wish_to_wait_is_read(void) {
    tmk_wall now = {0};

    CHECK_EQ(TMK_OK, tmk_http_date_parse(TMK_LIT("Fri, 20 Nov 2026 21:00:00 GMT"), &now, NULL));
    CHECK_EQ(7 * TMK_SEC, tmk_retry_after_parse("7", now));
    CHECK_EQ(7 * TMK_SEC, tmk_retry_after_parse(" 7 ", now));
    CHECK_EQ(30 * TMK_SEC, tmk_retry_after_parse("Fri, 20 Nov 2026 21:00:30 GMT", now));
    CHECK_EQ(0, tmk_retry_after_parse("Fri, 20 Nov 2026 20:00:30 GMT", now));
    CHECK_EQ(0, tmk_retry_after_parse("-1", now));
    CHECK_EQ(0, tmk_retry_after_parse("soon", now));
    CHECK_EQ(0, tmk_retry_after_parse("", now));
    CHECK_EQ(0, tmk_retry_after_parse(NULL, now));
    CHECK_EQ(24 * 3600 * TMK_SEC, tmk_retry_after_parse("99999999999", now));
}

/* ---- secrets in answers ---- */

static void scrubs(const char *secret, const char *text, const char *expected) {
    tmk_secret *s = tmk_secret_new(tmk_slice_str(secret));
    char copy[128];

    (void)snprintf(copy, sizeof copy, "%s", text);
    tmk_scrub(copy, s);
    CHECK_STR(expected, copy);
    tmk_secret_free(s);
}

static void a_secret_that_comes_back_is_taken_out(void) {
    scrubs("s3cret", "you sent s3cret and s3crets3cret.", "you sent *** and ******.");
    scrubs("s3cret", "cut in the middle: s3cre", "cut in the middle: ***");
    scrubs("s3cret", "not quite: s3c", "not quite: s3c");
    scrubs("p&w d", "form p%26w%20d, plain p&w d", "form ***, plain ***");
    scrubs("abc", "abc is too short", "abc is too short");
    scrubs("aaaa", "aaaaaaaaa", "******a");
    tmk_scrub((char[]){"no secret"}, NULL);
}

static bool form_scenario(void) {
    tmk_credential *c = NULL;
    tmk_str body = TMK_STR_INIT;
    tmk_error err;
    char *url = NULL;
    bool good = tmk_credential_client_secret("t", "c", "secret", NULL, &c, &err) == TMK_OK &&
                tmk_token_form(c, "scope", c->secret, &body, &err) == TMK_OK;

    if (good) {
        url = tmk_identity_url(c, "scope");
        good = url != NULL;
    }
    tmk_free(url);
    tmk_str_wipe(&body);
    tmk_credential_free(c);
    return good;
}

static void a_failed_allocation_is_a_failure_and_no_leak(void) {
    failing_each(form_scenario);
}

int main(void) {
    (void)unsetenv("AZURE_AUTHORITY_HOST");
    return RUN(TEST(a_client_secret_is_sent_in_a_form), TEST(an_assertion_is_sent_with_its_type),
               TEST(a_resource_is_a_scope_without_its_end),
               TEST(every_identity_endpoint_is_asked_in_its_way),
               TEST(an_arc_key_lies_in_its_folder_only),
               TEST(an_authority_in_trouble_is_tried_again),
               TEST(a_wish_to_wait_is_honoured_or_the_question_ends),
               TEST(an_identity_endpoint_has_its_own_table),
               TEST(an_identity_endpoint_that_is_gone_gets_seventy_seconds),
               TEST(a_wish_to_wait_is_read), TEST(a_secret_that_comes_back_is_taken_out),
               TEST(a_failed_allocation_is_a_failure_and_no_leak));
}
