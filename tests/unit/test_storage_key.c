/* Shared Key: the texts and signatures that the Blob service accepts. */
#include "auth/storage_key.h"

#include "support/check.h"
#include "support/failing.h"

#include "auth/connection_string.h"

#define DATE \
    { "x-ms-date", "Fri, 20 Nov 2026 21:00:00 GMT" }
#define VERSION \
    { "x-ms-version", "2021-12-02" }
#define LINES "x-ms-date:Fri, 20 Nov 2026 21:00:00 GMT\n"
#define BLOB "/devstoreaccount1/checkpoints/ns.servicebus.windows.net/hub/%24default/ownership/0"

static tmk_storage_string account;

static void signs(const tmk_storage_request *r, const char *text, const char *signature) {
    tmk_str out = TMK_STR_INIT;
    char header[128];
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_storage_text_to_sign(r, account.account, &out, &err));
    CHECK_STR(text, tmk_str_text(&out));
    tmk_str_reset(&out);
    CHECK_EQ(TMK_OK, tmk_storage_sign(r, account.account, account.key, &out, &err));
    (void)snprintf(header, sizeof header, "SharedKey devstoreaccount1:%s", signature);
    CHECK_STR(header, tmk_str_text(&out));
    tmk_str_clear(&out);
}

static void a_first_claim(void) {
    static const tmk_storage_header headers[] = {{"If-None-Match", "*"},
                                                 {"x-ms-blob-type", "BlockBlob"},
                                                 {"x-ms-meta-ownerid", "tm-owner-1"},
                                                 VERSION,
                                                 DATE};
    tmk_storage_request r = {"PUT", TMK_LIT(BLOB), {NULL, 0}, headers, 5, 0};

    signs(&r,
          "PUT\n\n\n\n\n\n\n\n\n*\n\n\nx-ms-blob-type:BlockBlob\n" LINES
          "x-ms-meta-ownerid:tm-owner-1\nx-ms-version:2021-12-02\n/devstoreaccount1" BLOB,
          "lSZPUjuG00be0dAP8G+jUyCdQANthMx/vLbZcSGUiok=");
}

static void a_listing(void) {
    static const tmk_storage_header headers[] = {DATE, VERSION};
    tmk_storage_request r = {"GET",
                             TMK_LIT("/devstoreaccount1/checkpoints"),
                             TMK_LIT("restype=container&comp=list&include=metadata&prefix="
                                     "ns.servicebus.windows.net%2Fhub%2F%24default%2Fownership%2F"),
                             headers,
                             2,
                             0};

    signs(&r,
          "GET\n\n\n\n\n\n\n\n\n\n\n\n" LINES
          "x-ms-version:2021-12-02\n/devstoreaccount1/devstoreaccount1/checkpoints\n"
          "comp:list\ninclude:metadata\n"
          "prefix:ns.servicebus.windows.net/hub/$default/ownership/\nrestype:container",
          "o+sjbY3TYh0cd4CiI18rgZMaMQHG1WY6aOEFmpzZDcI=");
}

static void an_empty_value_and_a_quoted_etag(void) {
    static const tmk_storage_header headers[] = {
        {"X-Ms-Meta-OwnerID", ""}, {"if-match", "\"0x8DABCDEF0123456\""}, DATE, VERSION};
    tmk_storage_request r = {"PUT", TMK_LIT(BLOB), TMK_LIT("comp=metadata"), headers, 4, 0};

    signs(&r,
          "PUT\n\n\n\n\n\n\n\n\"0x8DABCDEF0123456\"\n\n\n\n" LINES
          "x-ms-meta-ownerid:\nx-ms-version:2021-12-02\n/devstoreaccount1" BLOB "\ncomp:metadata",
          "ogTa6pdRJv5AV5q2etH2VB8LuCFJ+Vsp3fmqgBUqMu8=");
}

static void a_lease(void) {
    static const tmk_storage_header headers[] = {
        {"x-ms-proposed-lease-id", "11111111-1111-1111-1111-111111111111"},
        {"x-ms-lease-duration", " 60 "},
        {"x-ms-lease-action", "acquire"},
        DATE,
        VERSION};
    tmk_storage_request r = {"PUT", TMK_LIT(BLOB), TMK_LIT("comp=lease"), headers, 5, 0};

    signs(&r,
          "PUT\n\n\n\n\n\n\n\n\n\n\n\n" LINES "x-ms-lease-action:acquire\nx-ms-lease-duration:60\n"
          "x-ms-proposed-lease-id:11111111-1111-1111-1111-111111111111\n"
          "x-ms-version:2021-12-02\n/devstoreaccount1" BLOB "\ncomp:lease",
          "pWdJzMnmjNDWVzjhoOOSbS+hNdu+wKlO6Ypnv0s4yX0=");
}

static void a_body_and_repeated_parameters(void) {
    static const tmk_storage_header headers[] = {{"Content-Type", "text/plain"}, {"Date", "today"}};
    tmk_storage_request r = {"PUT", {NULL, 0}, TMK_LIT("b=2&A=x&b=1&&=ignored&c"), headers, 2, 12};
    tmk_str out = TMK_STR_INIT;
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_storage_text_to_sign(&r, "acc", &out, &err));
    CHECK_STR("PUT\n\n\n12\n\ntext/plain\ntoday\n\n\n\n\n\n/acc/\na:x\nb:1,2\nc:",
              tmk_str_text(&out));
    tmk_str_clear(&out);
}

static void too_much_and_broken_queries_are_refused(void) {
    tmk_storage_header headers[40];
    tmk_storage_request r = {"GET", TMK_LIT("/c"), TMK_LIT("a=%4"), NULL, 0, 0};
    tmk_str out = TMK_STR_INIT;
    tmk_str query = TMK_STR_INIT;
    tmk_error err;

    CHECK_EQ(TMK_EINVAL, tmk_storage_text_to_sign(&r, "acc", &out, &err));
    for (int i = 0; i < 40; i++) {
        tmk_str_addf(&query, "p%d=1&", i);
        headers[i] = (tmk_storage_header){"x-ms-meta-a", "b"};
    }
    r.query = tmk_str_slice(&query);
    CHECK_EQ(TMK_ELIMIT, tmk_storage_text_to_sign(&r, "acc", &out, &err));
    r.query.size = 0;
    r.headers = headers;
    r.header_count = 40;
    CHECK_EQ(TMK_ELIMIT, tmk_storage_text_to_sign(&r, "acc", &out, &err));
    tmk_str_clear(&query);
    tmk_str_clear(&out);
}

static bool scenario(void) {
    static const tmk_storage_header headers[] = {DATE, VERSION};
    tmk_storage_request r = {"GET", TMK_LIT("/a/b"), TMK_LIT("x=%41&y=2"), headers, 2, 7};
    tmk_str out = TMK_STR_INIT;
    tmk_error err;
    tmk_status st = tmk_storage_sign(&r, account.account, account.key, &out, &err);

    CHECK(st == TMK_OK || st == TMK_ENOMEM);
    tmk_str_clear(&out);
    return st == TMK_OK;
}

static void a_failed_allocation_is_a_failure_and_no_leak(void) {
    failing_each(scenario);
}

int main(void) {
    tmk_error err;
    int failed;

    if (tmk_storage_string_parse(TMK_LIT("UseDevelopmentStorage=true"), &account, &err) != TMK_OK) {
        return 1;
    }
    failed = RUN(TEST(a_first_claim), TEST(a_listing), TEST(an_empty_value_and_a_quoted_etag),
                 TEST(a_lease), TEST(a_body_and_repeated_parameters),
                 TEST(too_much_and_broken_queries_are_refused),
                 TEST(a_failed_allocation_is_a_failure_and_no_leak));
    tmk_storage_string_clear(&account);
    return failed;
}
