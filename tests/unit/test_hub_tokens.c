/* Tokens: the signatures that SDKs make are taken, and nothing that was touched. */
#include "hub/tokens.h"

#include "support/check.h"

#define NAME "RootManageSharedAccessKey"
#define SAS "servicebus.windows.net:sastoken"

static const int64_t before_end = 1699999999;

static tmk_hub_keyring ring(void) {
    tmk_hub_keyring k = {0};

    CHECK_EQ(TMK_OK, tmk_hub_keyring_add(&k, NAME, TMK_LIT("c29tZS1zZWNyZXQta2V5"), TMK_HUB_ALL));
    CHECK_EQ(TMK_OK, tmk_hub_keyring_add(&k, "reader", TMK_LIT("other"), TMK_HUB_LISTEN));
    return k;
}

/* Is it good for this audience at this time? With the path and rights it grants. */
static bool good(const char *type, const char *token, const char *audience, int64_t now_s,
                 char path[100]) {
    tmk_hub_keyring k = ring();
    tmk_hub_grant grant;
    tmk_hub_fail fail = {"", ""};
    bool ok;

    k.jwt = TMK_HUB_JWT_ANY;
    ok = tmk_hub_token_check(&k, tmk_slice_str(type), tmk_slice_str(token), tmk_slice_str(audience),
                             now_s, &grant, &fail);
    if (ok) {
        (void)snprintf(path, 100, "%s", tmk_str_text(&grant.path));
        CHECK_EQ(TMK_HUB_ALL, grant.rights);
        tmk_str_clear(&grant.path);
    } else {
        CHECK_STR("amqp:unauthorized-access", fail.condition);
        CHECK(strstr(fail.text, "c29tZS") == NULL);
    }
    tmk_hub_keyring_clear(&k);
    return ok;
}

static bool sas(const char *token, const char *audience, int64_t now_s) {
    char path[100];

    return good(SAS, token, audience, now_s, path);
}

#define TOKEN(sr, sig) "SharedAccessSignature sr=" sr "&sig=" sig "&se=1700000000&skn=" NAME
#define HUB_TOKEN                                       \
    TOKEN("sb%3A%2F%2Fns.servicebus.windows.net%2Fhub", \
          "Me8Sni48DPGLjoLejHUxAADsnR9NOBLSbf6OZk5NPb0%3D")

/* Computed apart from this code; the last is Go's, all lower case. */
static void known_signatures_are_taken(void) {
    CHECK(sas(HUB_TOKEN, "sb://ns.servicebus.windows.net/hub", before_end));
    CHECK(sas(TOKEN("sb%3A%2F%2Fns.servicebus.windows.net%2Fhub%2FConsumerGroups%2F%24Default%"
                    "2FPartitions%2F0",
                    "cZothMpMUfsPNjltgI8WmnjUjk72uMOPeFHJFreAnJ8%3D"),
              "sb://ns.servicebus.windows.net/hub/ConsumerGroups/$Default/Partitions/0",
              before_end));
    CHECK(sas(TOKEN("amqps%3a%2f%2fns.servicebus.windows.net%2fhub",
                    "Thk8CiPU2sUlRhH4%2FxpfovKwGr2Gw4EqOqRejw3wBZI%3D"),
              "amqps://ns.servicebus.windows.net/hub", before_end));
}

static void the_order_of_fields_does_not_matter(void) {
    CHECK(sas("SharedAccessSignature skn=" NAME "&se=1700000000"
              "&sig=Me8Sni48DPGLjoLejHUxAADsnR9NOBLSbf6OZk5NPb0%3D"
              "&sr=sb%3A%2F%2Fns.servicebus.windows.net%2Fhub",
              "sb://ns.servicebus.windows.net/hub", before_end));
}

static void a_token_ends_with_its_time(void) {
    CHECK(!sas(HUB_TOKEN, "sb://ns.servicebus.windows.net/hub", 1700000000));
}

/* Signed for the hub and put for a reader below it: what the Rust SDK does. */
static void a_token_for_the_hub_can_be_put_for_what_is_below(void) {
    char path[100] = "";

    CHECK(good(SAS, HUB_TOKEN, "amqps://ns/hub/ConsumerGroups/g/Partitions/1", before_end, path));
    CHECK_STR("hub/consumergroups/g/partitions/1", path);
    CHECK(!sas(HUB_TOKEN, "sb://ns/hub2", before_end));
}

static void a_touched_token_is_refused(void) {
    char token[sizeof HUB_TOKEN];

    for (size_t i = 0; i < sizeof HUB_TOKEN - 1; i++) {
        memcpy(token, HUB_TOKEN, sizeof token);
        token[i] = token[i] == 'Z' ? 'Y' : 'Z';
        if (sas(token, "sb://ns.servicebus.windows.net/hub", before_end)) {
            fail_msg("byte %zu can be changed", i);
        }
    }
    for (size_t i = 0; i < sizeof HUB_TOKEN - 1; i++) {
        memcpy(token, HUB_TOKEN, sizeof token);
        token[i] = '\0';
        CHECK(!sas(token, "sb://ns.servicebus.windows.net/hub", before_end));
    }
}

static void a_type_that_nobody_knows_is_refused(void) {
    char path[100];

    CHECK(!good("amqp:swt", HUB_TOKEN, "sb://ns.servicebus.windows.net/hub", before_end, path));
}

/* {"alg":"HS256"}.{"exp":1700000000,...}. signed with "k1" by openssl dgst -sha256 -hmac k1 */
#define JWT_HEAD "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJ4IiwiZXhwIjogMTcwMDAwMDAwMH0"
#define JWT_SIGNATURE "lDUqCC5GSe52YyzSq1V9GiIFaaOt1twNskPxR76ltuQ"

static void web_tokens_are_taken_when_that_was_asked_for(void) {
    tmk_hub_keyring k = ring();
    tmk_hub_grant grant;
    tmk_hub_fail fail;
    char path[100];

    CHECK(good("jwt", JWT_HEAD ".x", "sb://ns/hub", before_end, path));
    CHECK(!good("jwt", JWT_HEAD ".x", "sb://ns/hub", 1700000000, path));
    CHECK(!good("jwt", "only.two", "sb://ns/hub", before_end, path));
    CHECK(!tmk_hub_token_check(&k, TMK_LIT("jwt"), TMK_LIT(JWT_HEAD ".x"), TMK_LIT("sb://ns/hub"),
                               before_end, &grant, &fail));
    tmk_hub_keyring_clear(&k);
}

static bool signed_jwt(const char *token) {
    tmk_hub_keyring k = ring();
    tmk_hub_grant grant;
    tmk_hub_fail fail;
    bool ok;

    k.jwt = TMK_HUB_JWT_HS256;
    k.jwt_key = tmk_secret_new(TMK_LIT("k1"));
    ok = tmk_hub_token_check(&k, TMK_LIT("jwt"), tmk_slice_str(token), TMK_LIT("sb://ns/hub"),
                             before_end, &grant, &fail);
    if (ok) {
        tmk_str_clear(&grant.path);
    }
    tmk_hub_keyring_clear(&k);
    return ok;
}

static void a_web_tokens_signature_counts_where_there_is_a_key(void) {
    CHECK(signed_jwt(JWT_HEAD "." JWT_SIGNATURE));
    CHECK(!signed_jwt(JWT_HEAD ".x"));
    CHECK(!signed_jwt(JWT_HEAD "."));
}

static void names_and_keys_in_the_open_have_their_rights(void) {
    tmk_hub_keyring k = ring();

    CHECK_EQ(TMK_HUB_ALL,
             tmk_hub_keyring_plain(&k, TMK_LIT(NAME), TMK_LIT("c29tZS1zZWNyZXQta2V5")));
    CHECK_EQ(TMK_HUB_LISTEN, tmk_hub_keyring_plain(&k, TMK_LIT("reader"), TMK_LIT("other")));
    CHECK_EQ(0, tmk_hub_keyring_plain(&k, TMK_LIT("reader"), TMK_LIT("othe")));
    CHECK_EQ(0, tmk_hub_keyring_plain(&k, TMK_LIT("nobody"), TMK_LIT("other")));
    tmk_hub_keyring_clear(&k);
}

int main(void) {
    return RUN(TEST(known_signatures_are_taken), TEST(the_order_of_fields_does_not_matter),
               TEST(a_token_ends_with_its_time),
               TEST(a_token_for_the_hub_can_be_put_for_what_is_below),
               TEST(a_touched_token_is_refused), TEST(a_type_that_nobody_knows_is_refused),
               TEST(web_tokens_are_taken_when_that_was_asked_for),
               TEST(a_web_tokens_signature_counts_where_there_is_a_key),
               TEST(names_and_keys_in_the_open_have_their_rights));
}
