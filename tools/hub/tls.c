/*
 * TLS on the server's side. The socket is reached through a BIO of our own,
 * since OpenSSL's would let a broken pipe kill the process. See pipe.h.
 */
#include "hub/pipe.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/alloc.h"
#include "base/status.h"

struct tmk_hub_tls {
    SSL_CTX *context;
    BIO_METHOD *method;
};

/* ---- the BIO ---- */

static int fd_of(BIO *b) {
    return (int)(intptr_t)BIO_get_data(b);
}

static int bio_read(BIO *b, char *into, int room) {
    ssize_t n = recv(fd_of(b), into, (size_t)room, 0);

    BIO_clear_retry_flags(b);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_read(b);
    }
    return (int)n;
}

static int bio_write(BIO *b, const char *from, int size) {
    ssize_t n = send(fd_of(b), from, (size_t)size, MSG_NOSIGNAL);

    BIO_clear_retry_flags(b);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_write(b);
    }
    return (int)n;
}

static long bio_ctrl(BIO *b, int command, long number, void *pointer) {
    (void)b;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *b) {
    BIO_set_init(b, 1);
    return 1;
}

/* ---- certificates ---- */

static tmk_status fail_ssl(tmk_error *err, const char *what, const char *file) {
    unsigned long code = ERR_get_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

    ERR_clear_error();
    return tmk_fail(err, TMK_EINVAL, "openssl", "cannot use the %s '%s': %s", what, file,
                    reason == NULL ? "it cannot be read" : reason);
}

static tmk_status load(tmk_hub_tls *t, const char *cert_file, const char *key_file,
                       tmk_error *err) {
    ERR_clear_error();
    t->context = SSL_CTX_new(TLS_server_method());
    t->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tidemark-hub");
    if (t->context == NULL || t->method == NULL || BIO_meth_set_read(t->method, bio_read) != 1 ||
        BIO_meth_set_write(t->method, bio_write) != 1 ||
        BIO_meth_set_ctrl(t->method, bio_ctrl) != 1 ||
        BIO_meth_set_create(t->method, bio_create) != 1) {
        return tmk_fail(err, TMK_ENOMEM, "openssl", "no memory for TLS");
    }
    (void)SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(t->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                           SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                           SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(t->context, cert_file) != 1) {
        return fail_ssl(err, "certificate", cert_file);
    }
    if (SSL_CTX_use_PrivateKey_file(t->context, key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(t->context) != 1) {
        return fail_ssl(err, "private key", key_file);
    }
    return TMK_OK;
}

tmk_status tmk_hub_tls_new(const char *cert_file, const char *key_file, tmk_hub_tls **out,
                           tmk_error *err) {
    tmk_hub_tls *t = tmk_new(tmk_hub_tls);
    tmk_status st;

    if (t == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "openssl", "no memory for TLS");
    }
    st = load(t, cert_file, key_file, err);
    if (st < 0) {
        tmk_hub_tls_free(t);
        return st;
    }
    *out = t;
    return TMK_OK;
}

tmk_hub_tls *tmk_hub_tls_free(tmk_hub_tls *t) {
    if (t != NULL) {
        SSL_CTX_free(t->context);
        BIO_meth_free(t->method);
        tmk_free(t);
    }
    return NULL;
}

/* ---- a connection ---- */

void *tmk_hub_tls_accept(tmk_hub_tls *t, int fd) {
    SSL *ssl = SSL_new(t->context);
    BIO *bio = BIO_new(t->method);

    if (ssl == NULL || bio == NULL) {
        SSL_free(ssl);
        BIO_free(bio);
        return NULL;
    }
    BIO_set_data(bio, (void *)(intptr_t)fd);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    return ssl;
}

void tmk_hub_tls_end(void *ssl) {
    (void)SSL_shutdown(ssl); /* says goodbye where there is room for it; waits for nothing */
    ERR_clear_error();
    SSL_free(ssl);
}

static tmk_status outcome(SSL *ssl, int result) {
    int problem = SSL_get_error(ssl, result);

    ERR_clear_error();
    switch (problem) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TMK_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return TMK_EOF;
    default:
        return TMK_EIO;
    }
}

tmk_status tmk_hub_tls_read(void *ssl, uint8_t *into, size_t room, size_t *got) {
    int n = SSL_read(ssl, into, room > INT_MAX ? INT_MAX : (int)room);

    if (n <= 0) {
        return outcome(ssl, n);
    }
    *got = (size_t)n;
    return TMK_OK;
}

tmk_status tmk_hub_tls_write(void *ssl, const uint8_t *from, size_t size, size_t *taken) {
    int n = SSL_write(ssl, from, size > INT_MAX ? INT_MAX : (int)size);

    if (n <= 0) {
        tmk_status st = outcome(ssl, n);
        return st == TMK_EOF ? TMK_EIO : st;
    }
    *taken = (size_t)n;
    return TMK_OK;
}

bool tmk_hub_tls_holds(const void *ssl) {
    return SSL_pending(ssl) > 0;
}
