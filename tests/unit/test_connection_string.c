/* Connection strings: what is taken, what is refused and in which words. */
#include "auth/connection_string.h"

#include "support/check.h"
#include "support/failing.h"

/* Stands in every place where a secret may be; must never come back in an error. */
#define CANARY "c4n4ryS3cr3t"

static const char good[] = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=listen;"
                           "SharedAccessKey=" CANARY "==;EntityPath=hub";

static void refused(const char *text, const char *word) {
    tmk_hub_string s = {NULL};
    tmk_error err = {0};

    CHECK_EQ(TMK_EINVAL, tmk_hub_string_parse(tmk_slice_str(text), &s, &err));
    CHECK(s.host == NULL);
    CHECK(strstr(err.text, CANARY) == NULL);
    if (strstr(err.text, word) == NULL) {
        fail_msg("'%s' does not name %s", err.text, word);
    }
}

static tmk_hub_string taken(const char *text) {
    tmk_hub_string s = {NULL};
    tmk_error err = {0};

    if (tmk_hub_string_parse(tmk_slice_str(text), &s, &err) != TMK_OK) {
        fail_msg("refused: %s", err.text);
    }
    return s;
}

static void all_parts_are_taken(void) {
    tmk_hub_string s = taken(good);

    CHECK_STR("ns.servicebus.windows.net", s.host);
    CHECK_EQ(0, s.port);
    CHECK_STR("hub", s.hub);
    CHECK_STR("listen", s.key_name);
    CHECK_SLICE(CANARY "==", tmk_secret_bytes(s.key));
    CHECK(s.signature == NULL);
    CHECK(!s.emulator);
    tmk_hub_string_clear(&s);
    CHECK(s.host == NULL && s.key == NULL);
}

static void keys_have_any_case_and_blanks_do_not_count(void) {
    tmk_hub_string s =
        taken("  ENDPOINT = sb://ns.servicebus.windows.net ;; sharedaccesskeyname= a b "
              "; SharedAccessKEY =x=y=; Something=else;OperationTimeout=;\n");

    CHECK_STR("ns.servicebus.windows.net", s.host);
    CHECK_STR("a b", s.key_name);
    CHECK_SLICE("x=y=", tmk_secret_bytes(s.key));
    CHECK(s.hub == NULL);
    tmk_hub_string_clear(&s);
}

static void a_signature_stands_alone(void) {
    tmk_hub_string s = taken("Endpoint=sb://ns.servicebus.windows.net/;SharedAccessSignature="
                             "SharedAccessSignature sr=x&sig=y%3D&se=1&skn=z");

    CHECK_SLICE("SharedAccessSignature sr=x&sig=y%3D&se=1&skn=z", tmk_secret_bytes(s.signature));
    CHECK(s.key == NULL && s.key_name == NULL);
    tmk_hub_string_clear(&s);
}

static void the_emulator_is_taken_with_a_port(void) {
    tmk_hub_string s =
        taken("Endpoint=sb://127.0.0.1:41873;SharedAccessKeyName=n;SharedAccessKey=k;"
              "UseDevelopmentEmulator=true;");

    CHECK(s.emulator);
    CHECK_STR("127.0.0.1", s.host);
    CHECK_EQ(41873, s.port);
    tmk_hub_string_clear(&s);
}

static void the_emulator_must_be_local(void) {
    static const char rest[] = "SharedAccessKeyName=n;SharedAccessKey=" CANARY;
    static const char *const local[] = {"localhost", "127.9.9.9", "[::1]", "eventhubs-emulator",
                                        "host.docker.internal"};
    static const char *const remote[] = {
        "ns.servicebus.windows.net", "10.0.0.1", "2130706433", "0x7f000001",
        "localhost.example.com",     "[fe80::1]"};
    char text[256];

    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
        tmk_hub_string s;

        (void)snprintf(text, sizeof text, "Endpoint=sb://%s/;UseDevelopmentEmulator=True;%s",
                       local[i], rest);
        s = taken(text);
        CHECK(s.emulator);
        tmk_hub_string_clear(&s);
    }
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++) {
        (void)snprintf(text, sizeof text, "Endpoint=sb://%s/;UseDevelopmentEmulator=true;%s",
                       remote[i], rest);
        refused(text, "UseDevelopmentEmulator");
    }
}

#define KEY_PAIR "SharedAccessKeyName=n;SharedAccessKey=" CANARY

static void what_is_wrong_is_named(void) {
    refused("", "empty");
    refused("  \n", "empty");
    refused("Endpoint=sb://h/;" CANARY ";" KEY_PAIR, "part 2");
    refused("Endpoint=sb://h/;=" CANARY ";" KEY_PAIR, "part 2");
    refused(KEY_PAIR, "Endpoint is missing");
    refused("Endpoint=;" KEY_PAIR, "Endpoint is empty");
    refused("Endpoint=" CANARY ";" KEY_PAIR, "Endpoint");
    refused("Endpoint=ftp://h/;" KEY_PAIR, "Endpoint");
    refused("Endpoint=sb://;" KEY_PAIR, "Endpoint");
    refused("Endpoint=sb://h!/;" KEY_PAIR, "Endpoint");
    refused("Endpoint=sb://u:" CANARY "@h/;" KEY_PAIR, "Endpoint");
    refused("Endpoint=sb://h:99999/;" KEY_PAIR, "Endpoint");
    refused("Endpoint=sb://h/;SharedAccessKeyName=n", "SharedAccessKey is missing");
    refused("Endpoint=sb://h/;SharedAccessKey=" CANARY, "SharedAccessKeyName is missing");
    refused("Endpoint=sb://h/", "SharedAccessKeyName and SharedAccessKey");
    refused("Endpoint=sb://h/;SharedAccessSignature=" CANARY ";" KEY_PAIR, "exclude");
    refused("Endpoint=sb://h/;SharedAccessSignature=" CANARY ";SharedAccessKeyName=n", "exclude");
    refused("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey= ;",
            "SharedAccessKey is empty");
    refused("Endpoint=sb://h/;EntityPath=;" KEY_PAIR, "EntityPath is empty");
    refused("Endpoint=sb://h/;" KEY_PAIR ";SharedAccessKey=" CANARY,
            "SharedAccessKey is given twice");
    refused("Endpoint=sb://h/;UseDevelopmentEmulator=" CANARY ";" KEY_PAIR,
            "UseDevelopmentEmulator");
    refused("Endpoint=sb://h/;" KEY_PAIR "\nx;", "line break");
}

static void a_text_of_any_length_has_an_end(void) {
    char *text = malloc(20000);

    CHECK(text != NULL);
    memset(text, 'a', 19999);
    text[19999] = '\0';
    refused(text, "16384");
    free(text);
}

static void a_zero_byte_is_no_end(void) {
    tmk_hub_string s;
    tmk_error err;

    CHECK_EQ(TMK_EINVAL,
             tmk_hub_string_parse(TMK_LIT("Endpoint=sb://h\0evil/;" KEY_PAIR), &s, &err));
}

static void the_hub_comes_from_one_place(void) {
    tmk_hub_string with = taken(good);
    tmk_hub_string without = taken("Endpoint=sb://h/;" KEY_PAIR);
    const char *hub = NULL;
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_hub_string_choose(&with, NULL, &hub, &err));
    CHECK_STR("hub", hub);
    CHECK_EQ(TMK_OK, tmk_hub_string_choose(&with, "HUB", &hub, &err));
    CHECK_STR("hub", hub);
    CHECK_EQ(TMK_OK, tmk_hub_string_choose(&without, "mine", &hub, &err));
    CHECK_STR("mine", hub);
    CHECK_EQ(TMK_EINVAL, tmk_hub_string_choose(&with, "other", &hub, &err));
    CHECK(strstr(err.text, "EntityPath") != NULL);
    CHECK_EQ(TMK_EINVAL, tmk_hub_string_choose(&without, "", &hub, &err));
    CHECK_STR("mine", hub);
    tmk_hub_string_clear(&with);
    tmk_hub_string_clear(&without);
}

/* ---- Storage ---- */

static void storage_refused(const char *text, const char *word) {
    tmk_storage_string s = {NULL};
    tmk_error err = {0};

    CHECK_EQ(TMK_EINVAL, tmk_storage_string_parse(tmk_slice_str(text), &s, &err));
    CHECK(s.blob_endpoint == NULL);
    CHECK(strstr(err.text, CANARY) == NULL);
    if (strstr(err.text, word) == NULL) {
        fail_msg("'%s' does not name %s", err.text, word);
    }
}

static tmk_storage_string storage_taken(const char *text) {
    tmk_storage_string s = {NULL};
    tmk_error err = {0};

    if (tmk_storage_string_parse(tmk_slice_str(text), &s, &err) != TMK_OK) {
        fail_msg("refused: %s", err.text);
    }
    return s;
}

static void an_account_makes_its_endpoint(void) {
    tmk_storage_string s =
        storage_taken("DefaultEndpointsProtocol=https;AccountName=acc;"
                      "AccountKey=c2VjcmV0;EndpointSuffix=core.chinacloudapi.cn");

    CHECK_STR("acc", s.account);
    CHECK_SLICE("secret", tmk_secret_bytes(s.key));
    CHECK(s.sas == NULL);
    CHECK_STR("https://acc.blob.core.chinacloudapi.cn", s.blob_endpoint);
    tmk_storage_string_clear(&s);
    s = storage_taken("accountname=acc;accountkey=c2VjcmV0");
    CHECK_STR("https://acc.blob.core.windows.net", s.blob_endpoint);
    tmk_storage_string_clear(&s);
}

static void a_blob_endpoint_and_a_signature_are_enough(void) {
    tmk_storage_string s = storage_taken("BlobEndpoint=https://acc.blob.core.windows.net/;"
                                         "SharedAccessSignature=?sv=2021&sig=a%2Bb%3D");

    CHECK(s.account == NULL && s.key == NULL);
    CHECK_SLICE("sv=2021&sig=a%2Bb%3D", tmk_secret_bytes(s.sas));
    CHECK_STR("https://acc.blob.core.windows.net", s.blob_endpoint);
    tmk_storage_string_clear(&s);
}

static void a_local_endpoint_may_have_a_path_and_no_tls(void) {
    tmk_storage_string s =
        storage_taken("DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
                      "AccountKey=c2VjcmV0;"
                      "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;");

    CHECK_STR("http://127.0.0.1:10000/devstoreaccount1", s.blob_endpoint);
    tmk_storage_string_clear(&s);
}

static void development_storage_is_the_well_known_account(void) {
    tmk_storage_string s = storage_taken("UseDevelopmentStorage=true");

    CHECK_STR("devstoreaccount1", s.account);
    CHECK_EQ(64, tmk_secret_bytes(s.key).size);
    CHECK_STR("http://127.0.0.1:10000/devstoreaccount1", s.blob_endpoint);
    tmk_storage_string_clear(&s);
    s = storage_taken("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite/");
    CHECK_STR("http://azurite:10000/devstoreaccount1", s.blob_endpoint);
    tmk_storage_string_clear(&s);
}

static void what_is_wrong_with_an_account_is_named(void) {
    storage_refused("", "empty");
    storage_refused("AccountName=a;" CANARY, "part 2");
    storage_refused("AccountName=a", "AccountKey");
    storage_refused("AccountKey=c2VjcmV0", "AccountName");
    storage_refused("AccountName=a;AccountKey=" CANARY "!", "base64");
    storage_refused("AccountName=a;AccountKey=;", "AccountKey is empty");
    storage_refused("AccountName=a;AccountKey=c2VjcmV0;SharedAccessSignature=" CANARY, "exclude");
    storage_refused("SharedAccessSignature=" CANARY, "AccountName");
    storage_refused("AccountName=a;SharedAccessSignature=?", "SharedAccessSignature is empty");
    storage_refused("AccountName=a;AccountKey=c2VjcmV0;DefaultEndpointsProtocol=http",
                    "DefaultEndpointsProtocol");
    storage_refused("AccountName=a/" CANARY ";AccountKey=c2VjcmV0", "AccountName");
    storage_refused("AccountName=a;AccountKey=c2VjcmV0;EndpointSuffix=x/y", "EndpointSuffix");
    storage_refused(
        "AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=http://acc.blob.core.windows.net",
        "BlobEndpoint");
    storage_refused("AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=" CANARY, "BlobEndpoint");
    storage_refused("AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=https://h/?" CANARY,
                    "BlobEndpoint");
    storage_refused("UseDevelopmentStorage=perhaps", "UseDevelopmentStorage");
}

static void both_kinds_are_told_apart(void) {
    CHECK(!tmk_storage_string_is(tmk_slice_str(good)));
    CHECK(tmk_storage_string_is(TMK_LIT("UseDevelopmentStorage=true")));
    CHECK(tmk_storage_string_is(TMK_LIT(";; accountname =x")));
    CHECK(!tmk_storage_string_is(TMK_LIT("")));
    CHECK(!tmk_storage_string_is(TMK_LIT("AccountName")));
}

/* ---- memory ---- */

static bool hub_scenario(void) {
    tmk_hub_string s = {NULL};
    tmk_error err;
    tmk_status st = tmk_hub_string_parse(tmk_slice_str(good), &s, &err);

    CHECK(st == TMK_OK || st == TMK_ENOMEM);
    tmk_hub_string_clear(&s);
    return st == TMK_OK;
}

static bool storage_scenario(void) {
    tmk_storage_string s = {NULL};
    tmk_error err;
    tmk_status st = tmk_storage_string_parse(
        TMK_LIT("AccountName=acc;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net"), &s, &err);

    CHECK(st == TMK_OK || st == TMK_ENOMEM);
    tmk_storage_string_clear(&s);
    return st == TMK_OK;
}

static void a_failed_allocation_is_a_failure_and_no_leak(void) {
    failing_each(hub_scenario);
    failing_each(storage_scenario);
}

int main(void) {
    return RUN(TEST(all_parts_are_taken), TEST(keys_have_any_case_and_blanks_do_not_count),
               TEST(a_signature_stands_alone), TEST(the_emulator_is_taken_with_a_port),
               TEST(the_emulator_must_be_local), TEST(what_is_wrong_is_named),
               TEST(a_text_of_any_length_has_an_end), TEST(a_zero_byte_is_no_end),
               TEST(the_hub_comes_from_one_place), TEST(an_account_makes_its_endpoint),
               TEST(a_blob_endpoint_and_a_signature_are_enough),
               TEST(a_local_endpoint_may_have_a_path_and_no_tls),
               TEST(development_storage_is_the_well_known_account),
               TEST(what_is_wrong_with_an_account_is_named), TEST(both_kinds_are_told_apart),
               TEST(a_failed_allocation_is_a_failure_and_no_leak));
}
