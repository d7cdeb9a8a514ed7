/* See tls.h. */
#include "support/tls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/assert.h"

static void add_extension(X509 *cert, int kind, const char *value) {
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, kind, value);

    tmk_assert(e != NULL && X509_add_ext(cert, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static X509 *certificate_new(const char *name, EVP_PKEY *key, long from, long to) {
    static atomic_long serial;
    X509 *cert = X509_new();
    X509_NAME *subject = X509_NAME_new();

    tmk_assert(cert != NULL && subject != NULL && X509_set_version(cert, 2) == 1);
    tmk_assert(ASN1_INTEGER_set(X509_get_serialNumber(cert), atomic_fetch_add(&serial, 1) + 1) ==
               1);
    tmk_assert(X509_gmtime_adj(X509_getm_notBefore(cert), from) != NULL);
    tmk_assert(X509_gmtime_adj(X509_getm_notAfter(cert), to) != NULL);
    tmk_assert(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name,
                                          -1, -1, 0) == 1);
    tmk_assert(X509_set_subject_name(cert, subject) == 1 && X509_set_pubkey(cert, key) == 1);
    X509_NAME_free(subject);
    return cert;
}

void test_ca_make(test_ca *ca) {
    FILE *file = NULL;
    int fd = -1;

    ca->key = EVP_EC_gen("P-256");
    tmk_assert(ca->key != NULL);
    ca->cert = certificate_new("Test CA", ca->key, -3600, 3600);
    add_extension(ca->cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(ca->cert, NID_key_usage, "critical,keyCertSign");
    tmk_assert(X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert)) == 1);
    tmk_assert(X509_sign(ca->cert, ca->key, EVP_sha256()) > 0);
    (void)snprintf(ca->path, sizeof ca->path, "%s", "/tmp/tmk-ca-XXXXXX");
    fd = mkstemp(ca->path);
    file = fd < 0 ? NULL : fdopen(fd, "w");
    tmk_assert(file != NULL && PEM_write_X509(file, ca->cert) == 1 && fclose(file) == 0);
}

void test_ca_clear(test_ca *ca) {
    (void)unlink(ca->path);
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
}

SSL_CTX *test_tls_context(const test_ca *ca, const char *host, long from, long to) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct in_addr address;
    char name[160];
    X509 *cert = NULL;

    tmk_assert(context != NULL && key != NULL);
    cert = certificate_new(host, key, from, to);
    (void)snprintf(name, sizeof name, "%s:%s",
                   inet_pton(AF_INET, host, &address) == 1 ? "IP" : "DNS", host);
    add_extension(cert, NID_subject_alt_name, name);
    tmk_assert(X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1);
    tmk_assert(X509_sign(cert, ca->key, EVP_sha256()) > 0);
    tmk_assert(SSL_CTX_use_certificate(context, cert) == 1);
    tmk_assert(SSL_CTX_use_PrivateKey(context, key) == 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return context;
}

SSL *test_tls_accept(net_connection *c, SSL_CTX *context) {
    SSL *ssl = SSL_new(context);

    tmk_assert(ssl != NULL && SSL_set_fd(ssl, c->fd) == 1);
    if (SSL_accept(ssl) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}
