/* Client assertions: see the header. */
#include "auth/assertion.h"

#include <limits.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/str.h"

enum { certificates_max = 8, lives_s = 600, skew_s = 5 };

typedef struct identity {
    EVP_PKEY *key;
    X509 *certificates[certificates_max]; /* the key's own first */
    size_t count;
} identity;

static tmk_status refuse(tmk_error *err, const char *sentence) {
    return tmk_fail(err, TMK_EINVAL, "certificate", "%s", sentence);
}

static tmk_status no_memory(tmk_error *err) {
    return tmk_fail(err, TMK_ENOMEM, "certificate", "no memory for a client assertion");
}

/* ---- the PEM file ---- */

/* OpenSSL would ask on the terminal. */
static int no_password(char *buffer, int size, int writing, void *user) {
    (void)buffer;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static BIO *open_pem(tmk_slice pem) {
    return pem.size > INT_MAX ? NULL : BIO_new_mem_buf(pem.bytes, (int)pem.size);
}

static EVP_PKEY *read_key(tmk_slice pem) {
    BIO *bio = open_pem(pem);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);

    BIO_free(bio);
    return key;
}

static void read_certificates(tmk_slice pem, identity *id) {
    BIO *bio = open_pem(pem);

    while (bio != NULL && id->count < certificates_max) {
        X509 *certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL);

        if (certificate == NULL) {
            break;
        }
        id->certificates[id->count++] = certificate;
    }
    BIO_free(bio);
}

static bool own_certificate_first(identity *id) {
    for (size_t i = 0; i < id->count; i++) {
        if (X509_check_private_key(id->certificates[i], id->key) == 1) {
            X509 *own = id->certificates[i];

            id->certificates[i] = id->certificates[0];
            id->certificates[0] = own;
            return true;
        }
    }
    return false;
}

static void identity_clear(identity *id) {
    EVP_PKEY_free(id->key);
    for (size_t i = 0; i < id->count; i++) {
        X509_free(id->certificates[i]);
    }
    ERR_clear_error();
}

static tmk_status identity_read(tmk_slice pem, identity *id, tmk_error *err) {
    id->key = read_key(pem);
    if (id->key == NULL) {
        return refuse(err, "the certificate file holds no unencrypted private key in PEM form");
    }
    if (EVP_PKEY_get_base_id(id->key) != EVP_PKEY_RSA) {
        return refuse(err, "the key of the certificate file is not an RSA key");
    }
    read_certificates(pem, id);
    if (!own_certificate_first(id)) {
        return refuse(err, "the certificate file holds no certificate that belongs to its key");
    }
    return TMK_OK;
}

/* ---- the token ---- */

static void add_thumbprint(tmk_str *json, const identity *id, bool rs256) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (X509_digest(id->certificates[0], rs256 ? EVP_sha1() : EVP_sha256(), digest, &size) != 1) {
        json->failed = true;
        return;
    }
    tmk_str_add(json, rs256 ? ",\"x5t\":\"" : ",\"x5t#S256\":\"");
    tmk_str_add_base64url(json, tmk_slice_of(digest, size));
    tmk_str_add_char(json, '"');
    if (rs256) {
        tmk_str_add(json, ",\"kid\":\"");
        for (unsigned i = 0; i < size; i++) {
            tmk_str_addf(json, "%02X", digest[i]);
        }
        tmk_str_add_char(json, '"');
    }
}

static void add_chain(tmk_str *json, const identity *id) {
    tmk_str_add(json, ",\"x5c\":[");
    for (size_t i = 0; i < id->count; i++) {
        unsigned char *der = NULL;
        int size = i2d_X509(id->certificates[i], &der);

        if (size <= 0) {
            json->failed = true;
            return;
        }
        tmk_str_add(json, i == 0 ? "\"" : ",\"");
        tmk_str_add_base64(json, tmk_slice_of(der, (size_t)size));
        tmk_str_add_char(json, '"');
        OPENSSL_free(der);
    }
    tmk_str_add_char(json, ']');
}

static void add_header(tmk_str *json, const identity *id, const tmk_assertion_facts *facts) {
    tmk_str_addf(json, "{\"alg\":\"%s\",\"typ\":\"JWT\"", facts->rs256 ? "RS256" : "PS256");
    add_thumbprint(json, id, facts->rs256);
    if (facts->chain) {
        add_chain(json, id);
    }
    tmk_str_add_char(json, '}');
}

static void add_claims(tmk_str *json, const tmk_assertion_facts *facts, tmk_rng *rng) {
    long long from = facts->now.us / 1000000 - skew_s;
    char jti[37];

    tmk_rng_uuid(rng, jti);
    tmk_str_add(json, "{\"aud\":");
    tmk_str_add_json(json, tmk_slice_str(facts->audience));
    tmk_str_add(json, ",\"iss\":");
    tmk_str_add_json(json, tmk_slice_str(facts->client_id));
    tmk_str_add(json, ",\"sub\":");
    tmk_str_add_json(json, tmk_slice_str(facts->client_id));
    tmk_str_addf(json, ",\"jti\":\"%s\",\"nbf\":%lld,\"iat\":%lld,\"exp\":%lld}", jti, from, from,
                 from + lives_s);
}

static bool set_padding(EVP_PKEY_CTX *context, bool rs256) {
    if (rs256) {
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) > 0;
    }
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) > 0;
}

/* Appends the signature of what is in *token so far. */
static bool add_signature(tmk_str *token, EVP_PKEY *key, bool rs256) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *inner = NULL;
    size_t size = (size_t)EVP_PKEY_get_size(key);
    uint8_t *signature = tmk_alloc(size);
    bool good =
        context != NULL && signature != NULL &&
        EVP_DigestSignInit(context, &inner, EVP_sha256(), NULL, key) == 1 &&
        set_padding(inner, rs256) &&
        EVP_DigestSign(context, signature, &size, (const uint8_t *)token->text, token->size) == 1;

    if (good) {
        tmk_str_add_char(token, '.');
        tmk_str_add_base64url(token, tmk_slice_of(signature, size));
    }
    tmk_free(signature);
    EVP_MD_CTX_free(context);
    return good;
}

static tmk_secret *build(const identity *id, const tmk_assertion_facts *facts, tmk_rng *rng) {
    tmk_str header = TMK_STR_INIT;
    tmk_str claims = TMK_STR_INIT;
    tmk_str token = TMK_STR_INIT;
    tmk_secret *made = NULL;
    size_t room;

    add_header(&header, id, facts);
    add_claims(&claims, facts, rng);
    room = (header.size + claims.size + (size_t)EVP_PKEY_get_size(id->key)) * 4 / 3 + 16;
    if (tmk_str_ok(&header) && tmk_str_ok(&claims) && tmk_str_reserve(&token, room)) {
        tmk_str_add_base64url(&token, tmk_str_slice(&header));
        tmk_str_add_char(&token, '.');
        tmk_str_add_base64url(&token, tmk_str_slice(&claims));
        if (add_signature(&token, id->key, facts->rs256) && tmk_str_ok(&token)) {
            made = tmk_secret_new(tmk_str_slice(&token));
        }
    }
    tmk_str_clear(&header);
    tmk_str_clear(&claims);
    tmk_str_wipe(&token);
    return made;
}

tmk_status tmk_assertion_make(tmk_slice pem, const tmk_assertion_facts *facts, tmk_rng *rng,
                              tmk_secret **out, tmk_error *err) {
    identity id = {NULL};
    tmk_status st = identity_read(pem, &id, err);
    tmk_secret *made = NULL;

    if (st == TMK_OK) {
        made = build(&id, facts, rng);
        if (made == NULL) {
            st = no_memory(err);
        } else {
            *out = made;
        }
    }
    identity_clear(&id);
    return st;
}
