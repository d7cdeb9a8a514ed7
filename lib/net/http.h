/*
 * An asynchronous HTTP/1.1 client on a loop: requests in, one answer each.
 *
 * A pool keeps connections to use them again. Redirects are not followed (a
 * token must not travel to another host), no .netrc is read, only http and
 * https are spoken, TLS is at least 1.2 and always verified, and every request
 * has an end: size and time are limited.
 *
 * Threads: the loop's.
 */
#ifndef TMK_NET_HTTP_H
#define TMK_NET_HTTP_H

#include "base/slice.h"
#include "net/loop.h"

typedef struct tmk_http tmk_http;           /* a pool of connections */
typedef struct tmk_http_call tmk_http_call; /* a request under way */

enum {
    TMK_HTTP_BODY_MAX = 8 << 20,    /* of an answer, unless the request says otherwise */
    TMK_HTTP_HEADERS_MAX = 64 << 10 /* of an answer, all lines together */
};

typedef struct tmk_http_options {
    const char *tls_ca_file; /* NULL: the system's */
    const char *proxy;       /* as in tmk_stream_options: NULL none, "env" the environment's */
    const char *user_agent;  /* NULL: "tidemark/<version>" */
    unsigned connections_per_host_max; /* 0: 8; further requests wait for one to be free */
} tmk_http_options;

/* options are copied; NULL: all defaults. */
tmk_status tmk_http_new(tmk_loop *loop, const tmk_http_options *options, tmk_http **out,
                        tmk_error *err);
/* Requests under way are answered ECANCELED, from inside. Not from inside a `done`. NULL is fine.
 */
tmk_http *tmk_http_free(tmk_http *http);

typedef struct tmk_http_header {
    const char *name, *value;
} tmk_http_header;

typedef struct tmk_http_request {
    const char *method; /* "GET", "PUT" ... */
    const char *url;
    const tmk_http_header *headers;
    size_t header_count;
    tmk_slice body;             /* a PUT or POST with an empty one sends Content-Length: 0 */
    int64_t timeout_ms;         /* from sending to the last byte; 0: 60000 */
    int64_t connect_timeout_ms; /* name, TCP, proxy and TLS; 0: 10000 */
    size_t body_max;            /* of the answer; 0: TMK_HTTP_BODY_MAX */
    bool no_proxy;              /* straight to the host even where the pool has a proxy */
} tmk_http_request;

typedef struct tmk_http_response tmk_http_response;

/*
 * OK: an answer came, whatever its code, complete. Else response is NULL and err says why
 * (ETIMEOUT, EIO, ELIMIT, EPROTO, ENOMEM, ECANCELED ...); the server may have acted all the same,
 * unless err->origin is that of a connection that never stood (curl:5, 6, 7, 35, 60, 77, proxy:N).
 * A request on a kept connection which dies before it has said anything is sent again, once, on
 * another: a conditional write may so meet its own effect. The response ends with the call.
 */
typedef void (*tmk_http_done)(void *user, tmk_status status, const tmk_http_response *response,
                              const tmk_error *err);

/*
 * Starts a request; everything is copied. done comes exactly once, later, never from inside;
 * except when this call fails, or after tmk_http_cancel(). out may be NULL.
 */
tmk_status tmk_http_send(tmk_http *http, const tmk_http_request *request, tmk_http_done done,
                         void *user, tmk_http_call **out, tmk_error *err);
/* Gives up: done does not come. Until then the call is valid up to its done. NULL is fine. */
void tmk_http_cancel(tmk_http_call *call);

int tmk_http_code(const tmk_http_response *r);
tmk_slice tmk_http_body(const tmk_http_response *r);
/* The value of the first header of this name, whatever the case; NULL where there is none. */
const char *tmk_http_header_get(const tmk_http_response *r, const char *name);
/* Walks the headers in the order received; *place starts at 0. */
bool tmk_http_header_next(const tmk_http_response *r, size_t *place, tmk_http_header *out);

typedef struct tmk_http_stats {
    uint64_t requests;    /* sent so far, those under way included */
    uint64_t connections; /* opened so far */
    uint64_t failures;    /* answered with anything but OK */
    unsigned active;      /* under way or waiting */
} tmk_http_stats;
tmk_http_stats tmk_http_stats_get(const tmk_http *http);

#endif
