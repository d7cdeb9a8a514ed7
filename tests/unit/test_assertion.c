/* Client assertions: whoever knows the certificate must be able to check them. */
#include "auth/assertion.h"

#include <openssl/evp.h>

#include <jansson.h>

#include "support/check.h"
#include "support/failing.h"
#include "support/identity.h"

#include "base/str.h"

static const tmk_wall now = {INT64_C(1700000000) * 1000000};

static tmk_assertion_facts facts(bool rs256, bool chain) {
    return (tmk_assertion_facts){"client-1", "https://login/t/oauth2/v2.0/token", now, rs256,
                                 chain};
}

static tmk_secret *make(const char *pem, const tmk_assertion_facts *f) {
    tmk_secret *token = NULL;
    tmk_error err = {0};
    tmk_rng rng;

    tmk_rng_seed(&rng, 5);
    if (tmk_assertion_make(tmk_slice_str(pem), f, &rng, &token, &err) != TMK_OK) {
        fail_msg("%s", err.text);
    }
    return token;
}

/* The nth part between points, decoded. */
static tmk_str part(const tmk_secret *token, int n) {
    tmk_slice rest = tmk_secret_bytes(token);
    tmk_slice text = {NULL, 0};
    tmk_str out = TMK_STR_INIT;

    for (int i = 0; i <= n; i++) {
        text = tmk_slice_cut(&rest, '.', NULL);
    }
    CHECK(memchr(text.bytes, '=', text.size) == NULL);
    CHECK(tmk_str_add_unbase64(&out, text));
    return out;
}

static json_t *json_part(const tmk_secret *token, int n) {
    tmk_str text = part(token, n);
    json_t *root = json_loadb(text.text, text.size, 0, NULL);

    CHECK(json_is_object(root));
    tmk_str_clear(&text);
    return root;
}

static const char *text_of(const json_t *root, const char *key) {
    return json_string_value(json_object_get(root, key));
}

static bool is_signed(const tmk_secret *token, EVP_PKEY *key, bool rs256) {
    tmk_slice all = tmk_secret_bytes(token);
    tmk_str signature = part(token, 2);
    const uint8_t *last = memrchr(all.bytes, '.', all.size);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *inner = NULL;
    bool good;

    CHECK_EQ(1, EVP_DigestVerifyInit(context, &inner, EVP_sha256(), NULL, key));
    CHECK(EVP_PKEY_CTX_set_rsa_padding(inner, rs256 ? RSA_PKCS1_PADDING : RSA_PKCS1_PSS_PADDING) >
          0);
    if (!rs256) {
        CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(inner, 32) > 0);
    }
    good = EVP_DigestVerify(context, (const uint8_t *)signature.text, signature.size, all.bytes,
                            (size_t)(last - all.bytes)) == 1;
    EVP_MD_CTX_free(context);
    tmk_str_clear(&signature);
    return good;
}

static void thumbprint(const test_identity *id, const EVP_MD *digest, char *out) {
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    tmk_str text = TMK_STR_INIT;

    CHECK_EQ(1, X509_digest(id->certificate, digest, bytes, &size));
    tmk_str_add_base64url(&text, tmk_slice_of(bytes, size));
    strcpy(out, tmk_str_text(&text));
    tmk_str_clear(&text);
}

static void the_default_is_ps256_with_a_sha256_thumbprint(void) {
    test_identity id;
    tmk_assertion_facts f = facts(false, false);
    tmk_secret *token;
    json_t *header, *claims;
    char print[128];

    test_identity_make(&id);
    token = make(id.pem, &f);
    header = json_part(token, 0);
    claims = json_part(token, 1);
    thumbprint(&id, EVP_sha256(), print);
    CHECK_STR("PS256", text_of(header, "alg"));
    CHECK_STR("JWT", text_of(header, "typ"));
    CHECK_STR(print, text_of(header, "x5t#S256"));
    CHECK(json_object_get(header, "x5c") == NULL);
    CHECK_STR("client-1", text_of(claims, "iss"));
    CHECK_STR("client-1", text_of(claims, "sub"));
    CHECK_STR("https://login/t/oauth2/v2.0/token", text_of(claims, "aud"));
    CHECK_EQ(36, strlen(text_of(claims, "jti")));
    CHECK_EQ(1699999995, json_integer_value(json_object_get(claims, "nbf")));
    CHECK_EQ(1700000595, json_integer_value(json_object_get(claims, "exp")));
    CHECK(is_signed(token, id.key, false));
    json_decref(header);
    json_decref(claims);
    tmk_secret_free(token);
    test_identity_clear(&id);
}

static void rs256_and_the_chain_are_switches(void) {
    test_identity id;
    tmk_assertion_facts f = facts(true, true);
    tmk_secret *token;
    json_t *header;
    char print[128];
    unsigned char *der = NULL;
    int size;
    tmk_str chain = TMK_STR_INIT;

    test_identity_make(&id);
    token = make(id.pem, &f);
    header = json_part(token, 0);
    thumbprint(&id, EVP_sha1(), print);
    CHECK_STR("RS256", text_of(header, "alg"));
    CHECK_STR(print, text_of(header, "x5t"));
    CHECK_EQ(40, strlen(text_of(header, "kid")));
    size = i2d_X509(id.certificate, &der);
    CHECK(size > 0);
    tmk_str_add_base64(&chain, tmk_slice_of(der, (size_t)size));
    CHECK_EQ(1, json_array_size(json_object_get(header, "x5c")));
    CHECK_STR(tmk_str_text(&chain),
              json_string_value(json_array_get(json_object_get(header, "x5c"), 0)));
    CHECK(is_signed(token, id.key, true));
    OPENSSL_free(der);
    tmk_str_clear(&chain);
    json_decref(header);
    tmk_secret_free(token);
    test_identity_clear(&id);
}

/* Files are put together in any order, and with the authority's certificates. */
static void the_keys_own_certificate_is_found(void) {
    test_identity own, other;
    tmk_assertion_facts f = facts(false, true);
    char *pem;
    char print[128];
    tmk_secret *token;
    json_t *header;

    test_identity_make(&own);
    test_identity_make(&other);
    CHECK(asprintf(&pem, "some words\n%s%s", strstr(other.pem, "-----BEGIN CERT"), own.pem) > 0);
    token = make(pem, &f);
    header = json_part(token, 0);
    thumbprint(&own, EVP_sha256(), print);
    CHECK_STR(print, text_of(header, "x5t#S256"));
    CHECK_EQ(2, json_array_size(json_object_get(header, "x5c")));
    json_decref(header);
    tmk_secret_free(token);
    free(pem);
    test_identity_clear(&own);
    test_identity_clear(&other);
}

static void refused(const char *pem, const char *word) {
    tmk_assertion_facts f = facts(false, false);
    tmk_secret *token = NULL;
    tmk_error err = {0};
    tmk_rng rng;

    tmk_rng_seed(&rng, 5);
    CHECK_EQ(TMK_EINVAL, tmk_assertion_make(tmk_slice_str(pem), &f, &rng, &token, &err));
    CHECK(token == NULL);
    if (strstr(err.text, word) == NULL) {
        fail_msg("'%s' does not speak of '%s'", err.text, word);
    }
}

static void add_encrypted(EVP_PKEY *key, char *out, size_t room) {
    BIO *bio = BIO_new(BIO_s_mem());
    int size;

    CHECK_EQ(1,
             PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), "password", 8, NULL, NULL));
    size = BIO_read(bio, out, (int)room - 1);
    CHECK(size > 0);
    out[size] = '\0';
    BIO_free(bio);
}

static void what_is_no_identity_is_refused(void) {
    test_identity id, other;
    EVP_PKEY *curve = EVP_EC_gen("P-256");
    char pem[16384];
    BIO *bio = BIO_new(BIO_s_mem());

    test_identity_make(&id);
    test_identity_make(&other);
    refused("", "private key");
    refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key");
    refused(strstr(id.pem, "-----BEGIN CERT"), "private key");
    (void)snprintf(pem, sizeof pem, "%.*s", (int)(strstr(id.pem, "-----BEGIN CERT") - id.pem),
                   id.pem);
    refused(pem, "certificate");
    (void)snprintf(pem + strlen(pem), sizeof pem - strlen(pem), "%s",
                   strstr(other.pem, "-----BEGIN CERT"));
    refused(pem, "belongs");
    add_encrypted(id.key, pem, sizeof pem);
    refused(pem, "unencrypted");
    CHECK_EQ(1, PEM_write_bio_PrivateKey(bio, curve, NULL, NULL, 0, NULL, NULL));
    pem[BIO_read(bio, pem, sizeof pem - 1)] = '\0';
    refused(pem, "RSA");
    BIO_free(bio);
    EVP_PKEY_free(curve);
    test_identity_clear(&id);
    test_identity_clear(&other);
}

static test_identity shared;

static bool scenario(void) {
    tmk_assertion_facts f = facts(false, true);
    tmk_secret *token = NULL;
    tmk_error err;
    tmk_rng rng;
    tmk_status st;

    tmk_rng_seed(&rng, 5);
    st = tmk_assertion_make(tmk_slice_str(shared.pem), &f, &rng, &token, &err);
    CHECK(st == TMK_OK || st == TMK_ENOMEM);
    tmk_secret_free(token);
    return st == TMK_OK;
}

static void a_failed_allocation_is_a_failure_and_no_leak(void) {
    test_identity_make(&shared);
    failing_each(scenario);
    test_identity_clear(&shared);
}

int main(void) {
    return RUN(TEST(the_default_is_ps256_with_a_sha256_thumbprint),
               TEST(rs256_and_the_chain_are_switches), TEST(the_keys_own_certificate_is_found),
               TEST(what_is_no_identity_is_refused),
               TEST(a_failed_allocation_is_a_failure_and_no_leak));
}
