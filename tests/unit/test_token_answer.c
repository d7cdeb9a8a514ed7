/* What authorities and identity endpoints answer, in all the forms that occur. */
#include "auth/answer.h"

#include <time.h>

#include "support/check.h"
#include "support/failing.h"

static const tmk_wall now = {INT64_C(1700000000) * 1000000};

static void lives(const char *body, int64_t life_s, int64_t refresh_s) {
    tmk_token_answer a = {NULL};
    tmk_error err = {0};

    if (tmk_token_answer_parse(tmk_slice_str(body), now, &a, &err) != TMK_OK) {
        fail_msg("refused: %s: %s", body, err.text);
    }
    CHECK_SLICE("tok-1", tmk_secret_bytes(a.token));
    CHECK_EQ(life_s * TMK_SEC, a.life);
    CHECK_EQ(refresh_s * TMK_SEC, a.refresh_in);
    tmk_secret_free(a.token);
}

#define TOKEN "\"access_token\":\"tok-1\""

static void the_end_is_read_in_every_form(void) {
    lives("{" TOKEN ",\"token_type\":\"Bearer\",\"expires_in\":3599,\"ext_expires_in\":3599}", 3599,
          0);
    lives("{" TOKEN ",\"token_type\":\"bearer\",\"expires_in\":\"3599\",\"expires_on\":\"1\"}",
          3599, 0);
    lives("{" TOKEN ",\"expires_in\":86399,\"refresh_in\":43199}", 86399, 43199);
    lives("{" TOKEN ",\"expires_in\":\"100\",\"refresh_in\":\"50\"}", 100, 50);
    lives("{" TOKEN ",\"expires_in\":3599.0}", 3599, 0);
    lives("{" TOKEN ",\"expires_on\":\"1700003600\"}", 3600, 0);
    lives("{" TOKEN ",\"expires_on\":1700003600}", 3600, 0);
    lives("{" TOKEN ",\"expires_on\":\"2023-11-14T23:13:20Z\"}", 3600, 0);
    lives("{" TOKEN ",\"expires_on\":\"2023-11-15T00:13:20+01:00\",\"not_before\":0}", 3600, 0);
}

/* A clock or a server that is wrong makes no token immortal, and none that ends before it came. */
static void the_end_stays_within_reason(void) {
    lives("{" TOKEN ",\"expires_in\":9999999999}", 30 * 24 * 3600, 0);
    lives("{" TOKEN ",\"expires_in\":-5,\"refresh_in\":-5}", 0, 0);
    lives("{" TOKEN ",\"expires_on\":1}", 0, 0);
    lives("{" TOKEN ",\"expires_on\":9223372036854775807}", 30 * 24 * 3600, 0);
    lives("{" TOKEN ",\"expires_in\":1,\"refresh_in\":9223372036854775807}", 1, 30 * 24 * 3600);
}

static void refused(const char *body) {
    tmk_token_answer a = {NULL};
    tmk_error err = {0};

    if (tmk_token_answer_parse(tmk_slice_str(body), now, &a, &err) != TMK_EPROTO) {
        fail_msg("taken: %s", body);
    }
    CHECK(a.token == NULL);
    CHECK(err.retryable);
    CHECK(strstr(err.text, "c4n4ry") == NULL);
}

static void what_is_no_token_is_refused_without_repeating_it(void) {
    refused("");
    refused("c4n4ry");
    refused("<html>c4n4ry</html>");
    refused("[\"c4n4ry\"]");
    refused("\"c4n4ry\"");
    refused("{\"access_token\":\"c4n4ry\"}");
    refused("{\"access_token\":\"c4n4ry\",\"expires_in\":\"soon\"}");
    refused("{\"access_token\":\"c4n4ry\",\"expires_in\":{}}");
    refused("{\"access_token\":\"c4n4ry\",\"expires_in\":3599");
    refused("{\"access_token\":\"c4n4ry\",\"access_token\":\"x\",\"expires_in\":3599}");
    refused("{\"access_token\":\"\",\"expires_in\":3599}");
    refused("{\"access_token\":17,\"expires_in\":3599}");
    refused("{\"access_token\":null,\"expires_in\":3599}");
    refused("{\"access_token\":\"c4n4ry\\r\\nEvil: header\",\"expires_in\":3599}");
    refused("{\"access_token\":\"c4n4ry two\",\"expires_in\":3599}");
    refused("{\"access_token\":\"c4n4ry\",\"expires_in\":3599,\"token_type\":\"mac\"}");
    refused("{\"error\":\"c4n4ry\"}");
}

static void size_and_depth_have_limits(void) {
    size_t size = tmk_answer_max + 64;
    char *body = malloc(size);

    CHECK(body != NULL);
    memset(body, '[', size);
    memcpy(body, "{\"a\":", 5);
    body[100000] = '\0';
    refused(body); /* 100,000 levels: must not reach a parser that recurses */
    memset(body, 'x', size);
    memcpy(body, "{\"access_token\":\"", 17);
    strcpy(body + 17 + 70000, "\",\"expires_in\":1}");
    refused(body); /* a token of 70,000 bytes */
    memset(body, ' ', size);
    strcpy(body + size - 40, "{\"access_token\":\"x\",\"expires_in\":1}");
    refused(body); /* more than 256 KiB */
    free(body);
}

/* A brace inside a text is no level, and an escaped quote is no end of a text. */
static void depth_is_counted_outside_of_texts(void) {
    lives("{" TOKEN ",\"x\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[{{{{{\",\"expires_in\":60}", 60, 0);
}

static void errors_come_in_several_shapes(void) {
    tmk_error_answer e;

    tmk_error_answer_parse(
        TMK_LIT("{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid "
                "client secret provided.\\r\\nTrace ID: 1\",\"error_codes\":[7000215],"
                "\"timestamp\":\"x\"}"),
        &e);
    CHECK_STR("invalid_client", e.error);
    CHECK_STR("AADSTS7000215: Invalid client secret provided.", e.text);
    CHECK_EQ(7000215, e.code);

    tmk_error_answer_parse(TMK_LIT("{\"error\":\"invalid_request\",\"error_description\":"
                                   "\"Identity \\u0001not found AADSTS70021: x\"}"),
                           &e);
    CHECK_STR("Identity  not found AADSTS70021: x", e.text);
    CHECK_EQ(70021, e.code);

    tmk_error_answer_parse(TMK_LIT("{\"statusCode\":500,\"message\":\"An unexpected error\"}"), &e);
    CHECK_STR("", e.error);
    CHECK_STR("An unexpected error", e.text);
    CHECK_EQ(0, e.code);

    tmk_error_answer_parse(TMK_LIT("{\"error\":{\"code\":\"Bad\",\"message\":\"no\"}}"), &e);
    CHECK_STR("Bad", e.error);
    CHECK_STR("no", e.text);

    tmk_error_answer_parse(TMK_LIT("<html>"), &e);
    CHECK_STR("", e.error);
    CHECK_STR("", e.text);
}

static void the_cli_says_it_in_its_own_way(void) {
    tmk_token_answer a = {NULL};
    tmk_error err;
    char body[256];
    char local[64];
    time_t end = 1700003600;
    struct tm parts;

    CHECK_EQ(TMK_OK, tmk_cli_answer_parse(TMK_LIT("{\"accessToken\":\"tok-1\",\"expiresOn\":\"x\","
                                                  "\"expires_on\":1700003600}"),
                                          now, &a, &err));
    CHECK_EQ(3600 * TMK_SEC, a.life);
    tmk_secret_free(a.token);

    (void)localtime_r(&end, &parts);
    (void)strftime(local, sizeof local, "%Y-%m-%d %H:%M:%S.000000", &parts);
    (void)snprintf(body, sizeof body, "{\"accessToken\":\"tok-1\",\"expiresOn\":\"%s\"}", local);
    CHECK_EQ(TMK_OK, tmk_cli_answer_parse(tmk_slice_str(body), now, &a, &err));
    CHECK_EQ(3600 * TMK_SEC, a.life);
    CHECK_SLICE("tok-1", tmk_secret_bytes(a.token));
    tmk_secret_free(a.token);

    CHECK_EQ(TMK_EPROTO, tmk_cli_answer_parse(TMK_LIT("ERROR: c4n4ry"), now, &a, &err));
    CHECK_EQ(TMK_EPROTO,
             tmk_cli_answer_parse(TMK_LIT("{\"accessToken\":\"c4n4ry\"}"), now, &a, &err));
    CHECK(strstr(err.text, "c4n4ry") == NULL);
}

static bool scenario(void) {
    tmk_token_answer a = {NULL};
    tmk_error err;
    tmk_status st = tmk_token_answer_parse(
        TMK_LIT("{" TOKEN ",\"expires_in\":3599,\"token_type\":\"Bearer\"}"), now, &a, &err);

    CHECK(st == TMK_OK || st == TMK_ENOMEM);
    tmk_secret_free(a.token);
    return st == TMK_OK;
}

static void a_failed_allocation_is_a_failure_and_no_leak(void) {
    failing_each(scenario);
}

int main(void) {
    return RUN(TEST(the_end_is_read_in_every_form), TEST(the_end_stays_within_reason),
               TEST(what_is_no_token_is_refused_without_repeating_it),
               TEST(size_and_depth_have_limits), TEST(depth_is_counted_outside_of_texts),
               TEST(errors_come_in_several_shapes), TEST(the_cli_says_it_in_its_own_way),
               TEST(a_failed_allocation_is_a_failure_and_no_leak));
}
