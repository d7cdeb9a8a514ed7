/*
 * Certificates made on the spot, and TLS for a net_connection. Keys are P-256,
 * so a certificate takes well under a millisecond.
 */
#ifndef TMK_TESTS_TLS_H
#define TMK_TESTS_TLS_H

#include "support/net_server.h"

#include <openssl/ssl.h>

typedef struct test_ca {
    EVP_PKEY *key;
    X509 *cert;
    char path[64]; /* its certificate as PEM, in a temporary file */
} test_ca;

void test_ca_make(test_ca *ca);
void test_ca_clear(test_ca *ca); /* removes the file too */

/* A server's context with a certificate for this name or IP address, valid from and to so many
 * seconds from now. Free with SSL_CTX_free(). */
SSL_CTX *test_tls_context(const test_ca *ca, const char *host, long from, long to);

/* The handshake on a connection; NULL when it failed. Free with SSL_free(). */
SSL *test_tls_accept(net_connection *c, SSL_CTX *context);

#endif
