/* Safe settings of curl, and its failures in our words. See curl_common.h. */
#include "net/curl_common.h"

#include <stdio.h>
#include <string.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "base/secret.h"
#include "base/status.h"
#include "base/uri.h"

/* Sets one option unless one before has failed. */
#define SET(option, value) (code = code != CURLE_OK ? code : curl_easy_setopt(easy, option, value))

CURLcode tmk_curl_secure(CURL *easy, const char *tls_ca_file) {
    CURLcode code = CURLE_OK;

    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a dead DNS server must not hold whoever gives up */
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSL_ENABLE_ALPN, 0L); /* a front end that prefers h2 must not choose it */
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
    if (tls_ca_file != NULL) {
        SET(CURLOPT_CAINFO, tls_ca_file);
        SET(CURLOPT_CAPATH, NULL); /* this file and nothing besides */
        SET(CURLOPT_PROXY_CAINFO, tls_ca_file);
        SET(CURLOPT_PROXY_CAPATH, NULL);
    }
    return code;
}

static CURLcode cleanse_context(CURL *easy, void *context, void *self) {
    (void)easy;
    (void)self;
    (void)SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
    return CURLE_OK;
}

CURLcode tmk_curl_cleanse(CURL *easy) {
    return curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, cleanse_context);
}

CURLcode tmk_curl_proxy(CURL *easy, const char *proxy) {
    CURLcode code = CURLE_OK;

    if (proxy != NULL && strcmp(proxy, "env") == 0) {
        return CURLE_OK;
    }
    SET(CURLOPT_PROXY, proxy == NULL ? "" : proxy);
    SET(CURLOPT_NOPROXY, ""); /* what was asked for, not what the environment excludes */
    SET(CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
    return code;
}

tmk_status tmk_curl_proxy_check(const char *proxy, tmk_error *err) {
    tmk_uri uri;

    if (proxy == NULL || strcmp(proxy, "env") == 0) {
        return TMK_OK;
    }
    if (tmk_uri_parse(tmk_slice_str(proxy), &uri, NULL) < 0 || uri.path.size > 1 ||
        uri.query.size > 0 ||
        !(tmk_slice_eq(uri.scheme, TMK_LIT("http")) ||
          tmk_slice_eq(uri.scheme, TMK_LIT("https")))) {
        return tmk_fail(err, TMK_EINVAL, "net",
                        "the proxy is no valid URL; write it as http://user:password@host:port");
    }
    return TMK_OK;
}

/* ---- failures ---- */

typedef struct trouble {
    CURLcode code;
    tmk_status status;
    bool retryable;
    const char *words; /* before the peer */
    const char *hint;  /* after it */
} trouble;

static const trouble troubles[] = {
    {CURLE_UNSUPPORTED_PROTOCOL, TMK_EPROTO, false, "no HTTP/1.1 was spoken by", ""},
    {CURLE_URL_MALFORMAT, TMK_EINVAL, false, "not a valid address:", ""},
    {CURLE_COULDNT_RESOLVE_PROXY, TMK_EIO, true, "cannot find the proxy's name, on the way to",
     "; check its name and the DNS"},
    {CURLE_COULDNT_RESOLVE_HOST, TMK_EIO, true, "cannot find", " in the DNS; check the name"},
    {CURLE_COULDNT_CONNECT, TMK_EIO, true, "cannot connect to", ""},
    {CURLE_WEIRD_SERVER_REPLY, TMK_EPROTO, false, "a broken answer from", ""},
    {CURLE_PARTIAL_FILE, TMK_EIO, true, "the answer was cut short by", ""},
    {CURLE_OUT_OF_MEMORY, TMK_ENOMEM, false, "out of memory on the way to", ""},
    {CURLE_OPERATION_TIMEDOUT, TMK_ETIMEOUT, true, "no connection in time to",
     "; is it the right port, does a firewall drop it?"},
    {CURLE_SSL_CONNECT_ERROR, TMK_EPROTO, false, "the TLS handshake failed with", ""},
    {CURLE_GOT_NOTHING, TMK_EIO, true, "the connection was closed without an answer by", ""},
    {CURLE_SSL_ENGINE_INITFAILED, TMK_EINTERNAL, false, "TLS cannot start, on the way to", ""},
    {CURLE_SEND_ERROR, TMK_EIO, true, "the connection broke while sending to", ""},
    {CURLE_RECV_ERROR, TMK_EIO, true, "the connection broke while receiving from", ""},
    {CURLE_SSL_CACERT_BADFILE, TMK_EINVAL, false, "cannot read the file of CA certificates, for",
     ""},
    {CURLE_FILESIZE_EXCEEDED, TMK_ELIMIT, false, "too large an answer from", ""},
    {CURLE_PROXY, TMK_EIO, true, "the proxy failed on the way to", ""},
};

static const trouble *find_trouble(CURLcode code) {
    for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++) {
        if (troubles[i].code == code) {
            return &troubles[i];
        }
    }
    return NULL;
}

/* Which of the many things that can be wrong with a certificate. */
static tmk_status certificate_fail(tmk_error *err, CURL *easy, const char *origin, const char *peer,
                                   const char *detail) {
    long result = X509_V_OK;

    (void)curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &result);
    if (strstr(detail, "does not match") != NULL || strstr(detail, "matches target") != NULL) {
        result = X509_V_ERR_HOSTNAME_MISMATCH; /* curl looks at the name itself */
    }
    switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
        return tmk_fail(err, TMK_EPROTO, origin,
                        "the certificate shown by '%s' is for another host", peer);
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return tmk_fail(err, TMK_EPROTO, origin,
                        "the certificate of '%s' is from an unknown CA (%s); name the CA's file",
                        peer, X509_verify_cert_error_string(result));
    default:
        return tmk_fail(err, TMK_EPROTO, origin, "the certificate of '%s' is not valid: %s", peer,
                        X509_verify_cert_error_string(result));
    }
}

static tmk_status proxy_refused(tmk_error *err, long answer, const char *peer) {
    char origin[32];

    (void)snprintf(origin, sizeof origin, "proxy:%ld", answer);
    if (answer == 407) {
        return tmk_fail(err, TMK_EAUTH, origin,
                        "the proxy wants other credentials (407), on the way to '%s'", peer);
    }
    if (answer == 403) {
        return tmk_fail(err, TMK_EAUTH, origin, "the proxy forbids (403) connections to '%s'",
                        peer);
    }
    return tmk_fail_retry(err, TMK_EIO, origin, "the proxy answered %ld, on the way to '%s'",
                          answer, peer);
}

/* A peer that goes away in the middle may come back; one that speaks another language does not. */
static bool handshake_was_cut(CURL *easy, const char *detail) {
    long number = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
    return number != 0 || strstr(detail, "SYSCALL") != NULL || strstr(detail, "eset") != NULL ||
           strstr(detail, "unexpected eof") != NULL;
}

static tmk_status fail_by_table(tmk_error *err, CURL *easy, CURLcode code, const char *origin,
                                const char *peer, const char *detail) {
    const trouble *t = find_trouble(code);
    bool cut = code == CURLE_SSL_CONNECT_ERROR && handshake_was_cut(easy, detail);
    tmk_status st = TMK_EIO;

    if (t == NULL) {
        return tmk_fail_retry(err, TMK_EIO, origin, "cannot talk to '%s': %s", peer,
                              detail[0] != '\0' ? detail : curl_easy_strerror(code));
    }
    st = tmk_fail(err, cut ? TMK_EIO : t->status, origin, "%s '%s'%s%s%s%s", t->words, peer,
                  t->hint, detail[0] != '\0' ? " (" : "", detail, detail[0] != '\0' ? ")" : "");
    if (err != NULL) {
        err->retryable = t->retryable || cut;
    }
    return st;
}

tmk_status tmk_curl_fail(tmk_error *err, CURL *easy, CURLcode code, const char *peer,
                         const char *detail) {
    char origin[32];
    long proxy_answer = 0;
    tmk_status st = TMK_OK;

    (void)snprintf(origin, sizeof origin, "curl:%d", (int)code);
    (void)curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &proxy_answer);
    if (proxy_answer >= 300) {
        st = proxy_refused(err, proxy_answer, peer);
    } else if (code == CURLE_PEER_FAILED_VERIFICATION) {
        st = certificate_fail(err, easy, origin, peer, detail);
    } else {
        st = fail_by_table(err, easy, code, origin, peer, detail);
    }
    if (err != NULL) {
        tmk_redact(err->text);
    }
    return st;
}
