/* Signatures: the vectors of the interface, and what a verifier must refuse. */
#include "auth/sas.h"

#include "support/check.h"
#include "support/failing.h"

static const char key_name[] = "RootManageSharedAccessKey";
static const char key_text[] = "c29tZS1zZWNyZXQta2V5";

static tmk_secret *make(const char *audience, int64_t expires) {
    tmk_secret *key = tmk_secret_new(tmk_slice_str(key_text));
    tmk_secret *token = NULL;
    tmk_error err;

    CHECK(key != NULL);
    CHECK_EQ(TMK_OK, tmk_sas_make(key_name, key, tmk_slice_str(audience), expires, &token, &err));
    tmk_secret_free(key);
    return token;
}

static void makes(const char *audience, const char *signature) {
    tmk_secret *token = make(audience, 1700000000);
    tmk_sas sas;
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_sas_parse(tmk_secret_bytes(token), &sas, &err));
    CHECK_SLICE(signature, sas.signature);
    CHECK_SLICE("RootManageSharedAccessKey", sas.key_name);
    CHECK_EQ(1700000000, sas.expires);
    CHECK(tmk_sas_verify(&sas, tmk_slice_str(key_text)));
    tmk_secret_free(token);
}

static void signatures_are_those_of_the_interface(void) {
    makes("sb://ns.servicebus.windows.net/hub", "Me8Sni48DPGLjoLejHUxAADsnR9NOBLSbf6OZk5NPb0%3D");
    makes("sb://ns.servicebus.windows.net/hub/ConsumerGroups/$Default/Partitions/0",
          "cZothMpMUfsPNjltgI8WmnjUjk72uMOPeFHJFreAnJ8%3D");
    makes("amqps://ns.servicebus.windows.net/hub/ConsumerGroups/$Default/Partitions/0",
          "EwsOGvEIpWDlw%2B%2F5ywaPiiGkocP9q3W5af5VMecE%2FKs%3D");
}

static void the_token_is_written_as_the_interface_says(void) {
    tmk_secret *token = make("sb://ns.servicebus.windows.net/hub", 1700000000);

    CHECK_SLICE("SharedAccessSignature sr=sb%3A%2F%2Fns.servicebus.windows.net%2Fhub"
                "&sig=Me8Sni48DPGLjoLejHUxAADsnR9NOBLSbf6OZk5NPb0%3D&se=1700000000"
                "&skn=RootManageSharedAccessKey",
                tmk_secret_bytes(token));
    tmk_secret_free(token);
}

/* Other clients write the resource in lower case: the text counts as it was sent. */
static void a_lower_case_resource_is_verified_as_sent(void) {
    tmk_sas sas;
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_sas_parse(TMK_LIT("SharedAccessSignature "
                                           "se=1700000000&skn=RootManageSharedAccessKey&"
                                           "sig=Thk8CiPU2sUlRhH4%2FxpfovKwGr2Gw4EqOqRejw3wBZI%3D&"
                                           "sr=amqps%3a%2f%2fns.servicebus.windows.net%2fhub"),
                                   &sas, &err));
    CHECK(tmk_sas_verify(&sas, tmk_slice_str(key_text)));
    CHECK(!tmk_sas_verify(&sas, TMK_LIT("c29tZS1zZWNyZXQta2V6")));
    CHECK(!tmk_sas_verify(&sas, TMK_LIT("")));
}

static bool verifies(const char *signature) {
    char token[512];
    tmk_sas sas;
    tmk_error err;

    (void)snprintf(token, sizeof token,
                   "SharedAccessSignature sr=sb%%3A%%2F%%2Fns.servicebus.windows.net%%2Fhub&sig=%s&"
                   "se=1700000000",
                   signature);
    CHECK_EQ(TMK_OK, tmk_sas_parse(tmk_slice_str(token), &sas, &err));
    CHECK_EQ(0, sas.key_name.size);
    return tmk_sas_verify(&sas, tmk_slice_str(key_text));
}

static void a_signature_that_differs_anywhere_is_refused(void) {
    CHECK(verifies("Me8Sni48DPGLjoLejHUxAADsnR9NOBLSbf6OZk5NPb0%3D"));
    CHECK(verifies("Me8Sni48DPGLjoLejHUxAADsnR9NOBLSbf6OZk5NPb0%3d"));
    CHECK(!verifies("Ne8Sni48DPGLjoLejHUxAADsnR9NOBLSbf6OZk5NPb0%3D"));
    CHECK(!verifies("Me8Sni48DPGLjoLejHUxAADsnR9NOBLSbf6OZk5NPb4%3D"));
    CHECK(!verifies("Me8Sni48DPGLjoLejHUxAADsnR9NOBLSbf6OZk5N"));
    CHECK(!verifies("Me8Sni48DPGLjoLejHUxAADsnR9NOBLSbf6OZk5NPb0%3"));
    CHECK(!verifies("%%%"));
    CHECK(!verifies("AAAA"));
}

static void broken_tokens_are_refused_without_repeating_them(void) {
    static const char *const bad[] = {
        "",
        "SharedAccessSignature",
        "Bearer c4n4ry",
        "SharedAccessSignature c4n4ry",
        "SharedAccessSignature sr=c4n4ry&sig=c4n4ry",
        "SharedAccessSignature sr=x&se=1",
        "SharedAccessSignature sr=&sig=c4n4ry&se=1",
        "SharedAccessSignature sr=x&sig=c4n4ry&se=soon",
        "SharedAccessSignature sr=x&sig=c4n4ry&se=-1",
        "SharedAccessSignature sr=x&sig=c4n4ry&se=99999999999999999999",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tmk_sas sas;
        tmk_error err = {0};

        CHECK_EQ(TMK_EINVAL, tmk_sas_parse(tmk_slice_str(bad[i]), &sas, &err));
        CHECK(err.text[0] != '\0');
        CHECK(strstr(err.text, "c4n4ry") == NULL);
    }
}

static bool scenario(void) {
    tmk_secret *key = tmk_secret_new(TMK_LIT("key"));
    tmk_secret *token = NULL;
    tmk_sas sas;
    tmk_error err;
    bool good =
        key != NULL &&
        tmk_sas_make("name with blank", key, TMK_LIT("sb://h/hub"), 1, &token, &err) == TMK_OK &&
        tmk_sas_parse(tmk_secret_bytes(token), &sas, &err) == TMK_OK &&
        tmk_sas_verify(&sas, TMK_LIT("key"));

    tmk_secret_free(token);
    tmk_secret_free(key);
    return good;
}

static void a_failed_allocation_is_a_failure_and_no_leak(void) {
    failing_each(scenario);
}

int main(void) {
    return RUN(TEST(signatures_are_those_of_the_interface),
               TEST(the_token_is_written_as_the_interface_says),
               TEST(a_lower_case_resource_is_verified_as_sent),
               TEST(a_signature_that_differs_anywhere_is_refused),
               TEST(broken_tokens_are_refused_without_repeating_them),
               TEST(a_failed_allocation_is_a_failure_and_no_leak));
}
