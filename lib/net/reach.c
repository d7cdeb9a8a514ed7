/*
 * One connection, made and dropped, with the settings of all others. See reach.h.
 *
 * A certificate that is not trusted is looked at on a second connection, which
 * trusts anybody and is dropped after the handshake: nothing is ever said on it.
 */
#include <tidemark/reach.h>

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/asn1.h>

#include "base/slice.h"
#include "base/status.h"
#include "base/time.h"
#include "net/curl_common.h"

enum { TIMEOUT_MS = 10000 };

#define SET(option, value) (code = code != CURLE_OK ? code : curl_easy_setopt(easy, option, value))

static void look_up(const tmk_reach_options *o, tmk_reach *out) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    size_t size = 0;

    if (getaddrinfo(o->host, NULL, &hints, &list) != 0) {
        return; /* curl says what is wrong with it */
    }
    for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        char text[64];
        if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) ==
                0 &&
            size + strlen(text) + 2 < sizeof out->addresses) {
            size += (size_t)snprintf(out->addresses + size, sizeof out->addresses - size, "%s%s",
                                     size == 0 ? "" : " ", text);
        }
    }
    freeaddrinfo(list);
}

static void copy(char *to, size_t room, const char *from) {
    (void)snprintf(to, room, "%.*s", (int)room - 1, from);
}

/* "Nov 21 13:41:23 2026 GMT", as OpenSSL writes it. */
static int64_t certificate_time(const char *text) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char month[4] = "";
    int day, hour, minute, second, year;
    const char *at;
    struct tm t = {0};

    if (sscanf(text, "%3s %d %d:%d:%d %d", month, &day, &hour, &minute, &second, &year) != 6 ||
        strlen(month) != 3 || (at = strstr(months, month)) == NULL) {
        return 0;
    }
    t = (struct tm){.tm_year = year - 1900,
                    .tm_mon = (int)(at - months) / 3,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second};
    return (int64_t)timegm(&t);
}

/* The first certificate of the chain, as lines "Name:value". */
static void read_certificate(CURL *easy, tmk_reach *out) {
    static const char subject[] = "Subject:", issuer[] = "Issuer:", ends[] = "Expire date:",
                      names[] = "X509v3 Subject Alternative Name:";
    struct curl_certinfo *info = NULL;

    if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &info) != CURLE_OK || info == NULL ||
        info->num_of_certs < 1) {
        return;
    }
    for (struct curl_slist *l = info->certinfo[0]; l != NULL; l = l->next) {
        if (strncmp(l->data, subject, sizeof subject - 1) == 0) {
            copy(out->subject, sizeof out->subject, l->data + sizeof subject - 1);
        } else if (strncmp(l->data, issuer, sizeof issuer - 1) == 0) {
            copy(out->issuer, sizeof out->issuer, l->data + sizeof issuer - 1);
        } else if (strncmp(l->data, names, sizeof names - 1) == 0) {
            copy(out->names, sizeof out->names, l->data + sizeof names - 1);
        } else if (strncmp(l->data, ends, sizeof ends - 1) == 0) {
            out->ends_unix_s = certificate_time(l->data + sizeof ends - 1);
        }
    }
}

static CURLcode set_up(CURL *easy, const tmk_reach_options *o, const char *url, bool trusting,
                       char *detail) {
    CURLcode code = tmk_curl_secure(easy, o->tls_ca_file);

    code = code != CURLE_OK ? code : tmk_curl_proxy(easy, o->proxy);
    SET(CURLOPT_ERRORBUFFER, detail);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
    SET(CURLOPT_CERTINFO, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)(o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS));
    if (trusting) {
        SET(CURLOPT_SSL_VERIFYPEER, 0L);
        SET(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return code;
}

static tmk_status try_once(const tmk_reach_options *o, const char *url, bool trusting,
                           tmk_reach *out, tmk_error *err) {
    CURL *easy = curl_easy_init();
    char detail[CURL_ERROR_SIZE] = "", peer[288];
    char *address = NULL;
    curl_off_t taken_us = 0;
    tmk_status st = TMK_OK;
    CURLcode code;

    if (easy == NULL) {
        return tmk_fail_retry(err, TMK_ENOMEM, "net", "no memory for a connection");
    }
    (void)snprintf(peer, sizeof peer, "%.255s:%u", o->host, (unsigned)o->port);
    code = set_up(easy, o, url, trusting, detail);
    code = code != CURLE_OK ? code : curl_easy_perform(easy);
    if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address) == CURLE_OK && address != NULL &&
        !trusting) {
        copy(out->peer, sizeof out->peer, address);
    }
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(easy, o->tls ? CURLINFO_APPCONNECT_TIME_T : CURLINFO_CONNECT_TIME_T,
                                &taken_us);
        out->connect_ms = trusting ? 0 : (int64_t)taken_us / 1000;
        read_certificate(easy, out);
    } else {
        st = tmk_curl_fail(err, easy, code, peer, detail);
    }
    curl_easy_cleanup(easy);
    return st;
}

tmk_status tmk_reach_try(const tmk_reach_options *options, tmk_reach *out, tmk_error *err) {
    tmk_reach_options o = {0};
    tmk_error why = {0};
    char url[320];
    tmk_status st;

    memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    *out = (tmk_reach){0};
    if (o.host == NULL || o.host[0] == '\0' || strlen(o.host) > 255 || o.port == 0) {
        return tmk_fail(err, TMK_EINVAL, "net", "there is no host and port to be reached");
    }
    st = tmk_curl_proxy_check(o.proxy, err);
    if (st < 0) {
        return st;
    }
    (void)snprintf(url, sizeof url, strchr(o.host, ':') != NULL ? "%s://[%s]:%u" : "%s://%s:%u",
                   o.tls ? "https" : "http", o.host, (unsigned)o.port);
    if (o.proxy == NULL) {
        look_up(&o, out);
    }
    st = try_once(&o, url, false, out, &why);
    if (strcmp(why.origin, "curl:60") == 0) {
        (void)try_once(&o, url, true, out, NULL);
    }
    if (st < 0 && err != NULL) {
        *err = why;
    }
    return st;
}
