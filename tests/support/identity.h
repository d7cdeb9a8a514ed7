/* A fresh RSA key with a self-signed certificate, as a PEM text. For tests of certificates. */
#ifndef TMK_TESTS_IDENTITY_H
#define TMK_TESTS_IDENTITY_H

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "support/check.h"

typedef struct test_identity {
    EVP_PKEY *key;
    X509 *certificate;
    char pem[8192]; /* key and certificate */
} test_identity;

static X509 *test_identity_sign_(EVP_PKEY *key) {
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);

    (void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), -60);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    (void)X509_set_pubkey(x, key);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1,
                                     -1, 0);
    (void)X509_set_issuer_name(x, name);
    CHECK(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

static void test_identity_write_(test_identity *id) {
    BIO *out = BIO_new(BIO_s_mem());
    int size;

    CHECK(PEM_write_bio_PrivateKey(out, id->key, NULL, NULL, 0, NULL, NULL) == 1);
    CHECK(PEM_write_bio_X509(out, id->certificate) == 1);
    size = BIO_read(out, id->pem, sizeof id->pem - 1);
    CHECK(size > 0);
    id->pem[size] = '\0';
    BIO_free(out);
}

static void test_identity_make(test_identity *id) {
    id->key = EVP_RSA_gen(2048);
    CHECK(id->key != NULL);
    id->certificate = test_identity_sign_(id->key);
    test_identity_write_(id);
}

static void test_identity_clear(test_identity *id) {
    EVP_PKEY_free(id->key);
    X509_free(id->certificate);
    memset(id, 0, sizeof *id);
}

#endif
