/*
 * What the HTTP client and the curl stream share: a curl multi handle driven
 * by a loop, safe settings, and curl's failures in our words.
 *
 * Threads: the loop's.
 */
#ifndef TMK_NET_CURL_COMMON_H
#define TMK_NET_CURL_COMMON_H

#include "net/loop.h"

#include <curl/curl.h>

typedef struct tmk_multi {
    CURLM *handle;
    tmk_loop *loop;
    tmk_timer timer;
    tmk_list sockets; /* watches of what curl wants to be told */
    bool failed;      /* curl has given up on the whole handle */

    /* Set by the owner. A transfer has ended; it still is in the multi, which must stay. */
    void (*ended)(struct tmk_multi *m, CURL *easy, CURLcode code);
    /* Nothing works any more (no memory): end all transfers, and clear the multi if you like. */
    void (*broke)(struct tmk_multi *m);
} tmk_multi;

/* Sets the two functions before; all else here. */
tmk_status tmk_multi_init(tmk_multi *m, tmk_loop *loop, tmk_error *err);
void tmk_multi_clear(tmk_multi *m); /* all transfers have been removed; fine when not initialised */
tmk_status tmk_multi_add(tmk_multi *m, CURL *easy, tmk_error *err);
void tmk_multi_remove(tmk_multi *m, CURL *easy);

/*
 * Makes curl ready, once in a process, with memory that is overwritten when curl gives it back:
 * what is sent holds keys and tokens. Where the program itself has made curl ready before, curl
 * keeps that program's memory functions.
 */
bool tmk_curl_begin(void);

/* TLS 1.2 at least, peer and host verified, only http and https, no .netrc, no redirects, no
 * signals. */
CURLcode tmk_curl_secure(CURL *easy, const char *tls_ca_file);
/* What comes over TLS is overwritten in OpenSSL's buffers once it is read: it may hold tokens. */
CURLcode tmk_curl_cleanse(CURL *easy);
/* NULL: none, whatever the environment says; "env": what the environment says; else a URL. */
CURLcode tmk_curl_proxy(CURL *easy, const char *proxy);
/* Is the text fit for tmk_curl_proxy()? The error does not repeat it: it may hold a password. */
tmk_status tmk_curl_proxy_check(const char *proxy, tmk_error *err);

/* Fills err from what curl says about a transfer to `peer` ("host:port"); detail: its error buffer.
 */
tmk_status tmk_curl_fail(tmk_error *err, CURL *easy, CURLcode code, const char *peer,
                         const char *detail);

#endif
