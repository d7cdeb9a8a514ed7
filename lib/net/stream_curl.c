/*
 * Bytes through libcurl's CONNECT_ONLY: it brings names, TCP, proxies and TLS;
 * we bring the loop.
 *
 * The easy handle stays in a multi of its own until the end: taking it out
 * would cut the connection. What is written goes through a buffer of ours,
 * since TLS wants a refused write repeated from the same place. TLS may hold
 * bytes of which the socket knows nothing: after any read that gave some, a
 * timer asks again next turn, until a read has said AGAIN.
 */
#include <stdio.h>

#include <openssl/ssl.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/secret.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uri.h"
#include "net/curl_common.h"
#include "net/stream_internal.h"

enum { TLS_READ_AHEAD = 32 << 10 };

typedef struct curl_stream {
    tmk_stream base;
    tmk_loop *loop;
    tmk_multi multi;
    CURL *easy;
    bool in_multi;
    tmk_timer deadline; /* of opening */
    tmk_timer soon;     /* tells the user something, next turn */
    int64_t timeout_ms;
    tmk_watch watch; /* the connected socket; added while something is wanted */
    curl_socket_t fd;
    bool tls, proxied;

    enum { OPENING, OPENED, REFUSED } state;
    bool told;       /* `opened` has come */
    bool read_ended; /* EOF or a failure: nothing will come */
    tmk_status read_status;
    tmk_error read_error;
    tmk_error refusal;     /* why it did not open */
    tmk_error write_error; /* status OK: it can be written */

    uint8_t stage[TMK_STREAM_STAGE]; /* taken and not yet sent: [stage_at, stage_end) */
    size_t stage_at, stage_end;

    char peer[300]; /* host:port, for errors */
    char detail[CURL_ERROR_SIZE];
} curl_stream;

static curl_stream *of(tmk_stream *s) {
    return tmk_container_of(s, curl_stream, base);
}

static void tell_soon(curl_stream *c) {
    tmk_timer_set(c->loop, &c->soon, tmk_loop_now(c->loop));
}

/* ---- the connected socket ---- */

static void want(curl_stream *c) {
    unsigned wanted =
        (c->read_ended ? 0U : TMK_LOOP_READ) | (c->stage_at < c->stage_end ? TMK_LOOP_WRITE : 0U);
    tmk_status st = TMK_OK;

    if (wanted == 0) {
        tmk_loop_unwatch(c->loop, &c->watch); /* else a hang-up would be told without end */
    } else if (c->watch.added) {
        st = tmk_loop_rewatch(c->loop, &c->watch, wanted, &c->write_error);
    } else {
        st = tmk_loop_watch(c->loop, &c->watch, c->fd, wanted, &c->write_error);
    }
    if (st < 0) {
        c->stage_at = c->stage_end = 0; /* nobody would tell us to go on with it */
        tell_soon(c);
    }
}

/* Sends what is staged, as far as it goes. */
static void flush(curl_stream *c) {
    CURLcode code = CURLE_OK;

    while (code == CURLE_OK && c->stage_at < c->stage_end) {
        size_t sent = 0;

        code = curl_easy_send(c->easy, c->stage + c->stage_at, c->stage_end - c->stage_at, &sent);
        c->stage_at += sent;
    }
    if (code != CURLE_OK && code != CURLE_AGAIN) {
        (void)tmk_curl_fail(&c->write_error, c->easy, code, c->peer, c->detail);
        c->stage_at = c->stage_end;
    }
    if (c->stage_at == c->stage_end) {
        c->stage_at = c->stage_end = 0;
    }
    want(c);
}

static void on_socket(tmk_watch *w, unsigned events) {
    curl_stream *c = tmk_container_of(w, curl_stream, watch);

    if ((events & (TMK_LOOP_WRITE | TMK_LOOP_HANGUP)) != 0) {
        flush(c);
    }
    c->base.ready(&c->base);
}

static tmk_status curl_stream_write(tmk_stream *s, const uint8_t *from, size_t size, size_t *taken,
                                    tmk_error *err) {
    curl_stream *c = of(s);

    if (c->state != OPENED) {
        return tmk_fail(err, TMK_ESTATE, "net", "the connection to '%s' is not open", c->peer);
    }
    if (c->write_error.status < 0) {
        if (err != NULL) {
            *err = c->write_error;
        }
        return c->write_error.status;
    }
    if (c->stage_at < c->stage_end) {
        return TMK_AGAIN; /* the socket will tell */
    }
    tmk_assert(size > 0);
    size = size < sizeof c->stage ? size : sizeof c->stage;
    memcpy(c->stage, from, size);
    c->stage_end = size;
    flush(c);
    *taken = size; /* a failure is told by the next write, or by read */
    return TMK_OK;
}

static tmk_status end_reading(curl_stream *c, tmk_status st) {
    c->read_ended = true;
    c->read_status = st;
    tmk_timer_stop(c->loop, &c->soon);
    want(c);
    return st;
}

static tmk_status curl_stream_read(tmk_stream *s, uint8_t *into, size_t room, size_t *got,
                                   tmk_error *err) {
    curl_stream *c = of(s);
    CURLcode code = CURLE_OK;
    size_t size = 0;

    if (c->state != OPENED) {
        return tmk_fail(err, TMK_ESTATE, "net", "the connection to '%s' is not open", c->peer);
    }
    tmk_assert(room > 0); /* curl's answer could not be told from the end */
    if (!c->read_ended) {
        code = curl_easy_recv(c->easy, into, room, &size);
        if (code == CURLE_AGAIN) {
            tmk_timer_stop(c->loop, &c->soon);
            return TMK_AGAIN;
        }
        if (code != CURLE_OK) {
            (void)end_reading(c, tmk_curl_fail(&c->read_error, c->easy, code, c->peer, c->detail));
        } else if (size == 0) {
            (void)end_reading(c, TMK_EOF);
        }
    }
    if (c->read_ended) {
        if (err != NULL && c->read_status < 0) {
            *err = c->read_error;
        }
        return c->read_status;
    }
    if (c->tls) {
        tell_soon(c);
    }
    *got = size;
    return TMK_OK;
}

/* ---- opening ---- */

static void conclude(curl_stream *c, bool open) {
    if (c->state != OPENING) {
        return;
    }
    c->state = open ? OPENED : REFUSED;
    tmk_timer_stop(c->loop, &c->deadline);
    tell_soon(c);
}

static void on_soon(tmk_timer *t) {
    curl_stream *c = tmk_container_of(t, curl_stream, soon);

    if (c->told) {
        c->base.ready(&c->base);
        return;
    }
    /* Not earlier: nothing may come before `opened`. */
    if (c->state == OPENED &&
        tmk_loop_watch(c->loop, &c->watch, c->fd, TMK_LOOP_READ, &c->refusal) < 0) {
        c->state = REFUSED;
    }
    c->told = true;
    c->base.opened(&c->base, c->state == OPENED ? TMK_OK : c->refusal.status, &c->refusal);
}

/* What has not happened yet is what it was waiting for. */
static const char *waiting_for(const curl_stream *c) {
    curl_off_t name = 0;
    long port = 0; /* ours: known when the connection stands */

    (void)curl_easy_getinfo(c->easy, CURLINFO_NAMELOOKUP_TIME_T, &name);
    (void)curl_easy_getinfo(c->easy, CURLINFO_LOCAL_PORT, &port);
    if (name == 0) {
        return "the DNS did not answer";
    }
    if (port <= 0) {
        return "nothing answers there; does a firewall drop it?";
    }
    return c->proxied ? "the proxy, or the server behind it, says nothing"
                      : "it accepts connections and says nothing; is it the right port?";
}

static void refuse_late(curl_stream *c) {
    (void)tmk_fail_retry(&c->refusal, TMK_ETIMEOUT, "net",
                         "no connection to '%s' within %lld ms: %s", c->peer,
                         (long long)c->timeout_ms, waiting_for(c));
    conclude(c, false);
}

static void on_deadline(tmk_timer *t) {
    refuse_late(tmk_container_of(t, curl_stream, deadline));
}

static void on_ended(tmk_multi *m, CURL *easy, CURLcode code) {
    curl_stream *c = tmk_container_of(m, curl_stream, multi);

    if (code == CURLE_OPERATION_TIMEDOUT) {
        refuse_late(c);
        return;
    }
    if (code == CURLE_OK) {
        code = curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &c->fd);
    }
    if (code != CURLE_OK || c->fd == CURL_SOCKET_BAD) {
        (void)tmk_curl_fail(&c->refusal, easy, code != CURLE_OK ? code : CURLE_COULDNT_CONNECT,
                            c->peer, c->detail);
        conclude(c, false);
        return;
    }
    conclude(c, true);
}

static void on_broke(tmk_multi *m) {
    curl_stream *c = tmk_container_of(m, curl_stream, multi);

    (void)tmk_fail_retry(&c->refusal, TMK_ENOMEM, "net", "no memory for a connection");
    conclude(c, false);
}

/* Whole records and several at once, instead of a call for the head and one for the rest of each.
 */
static CURLcode read_ahead(CURL *easy, void *context, void *unused) {
    (void)easy;
    (void)unused;
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, TLS_READ_AHEAD);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS); /* an idle connection keeps none */
    return CURLE_OK;
}

#define SET(option, value) (code = code != CURLE_OK ? code : curl_easy_setopt(easy, option, value))

static CURLcode set_up(curl_stream *c, const tmk_stream_options *options, const char *url) {
    const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);
    CURL *easy = c->easy;
    CURLcode code = tmk_curl_secure(easy, options->tls_ca_file);

    code = code != CURLE_OK ? code : tmk_curl_proxy(easy, options->proxy);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_BUFFERSIZE, 64L << 10); /* no read gives more than this */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)c->timeout_ms);
    SET(CURLOPT_ERRORBUFFER, c->detail);
    if (built->ssl_version != NULL && strncmp(built->ssl_version, "OpenSSL", 7) == 0) {
        SET(CURLOPT_SSL_CTX_FUNCTION, read_ahead);
    }
    return code;
}

static tmk_status begin(curl_stream *c, const tmk_stream_options *options, tmk_error *err) {
    const char *host = tmk_stream_dial_host(options);
    bool v6 = strchr(host, ':') != NULL;
    char url[320];
    tmk_uri uri;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    int size = snprintf(url, sizeof url, "http%s://%s%s%s:%u/", c->tls ? "s" : "", v6 ? "[" : "",
                        host, v6 ? "]" : "", tmk_stream_dial_port(options));

    if (size < 0 || (size_t)size >= sizeof url ||
        tmk_uri_parse(tmk_slice_str(url), &uri, NULL) < 0 || uri.path.size != 1 ||
        uri.user.size > 0) {
        return tmk_fail(err, TMK_EINVAL, "net", "the host's name is not valid");
    }
    (void)snprintf(c->peer, sizeof c->peer, "%s:%u", host, tmk_stream_dial_port(options));
    c->easy = curl_easy_init();
    if (c->easy != NULL) {
        code = set_up(c, options, url);
    }
    if (code != CURLE_OK) {
        return tmk_fail(err, code == CURLE_OUT_OF_MEMORY ? TMK_ENOMEM : TMK_EINVAL, "net",
                        "cannot open a connection: %s", curl_easy_strerror(code));
    }
    return tmk_multi_add(&c->multi, c->easy, err);
}

static void curl_stream_free(tmk_stream *s) {
    curl_stream *c = of(s);

    tmk_loop_unwatch(c->loop, &c->watch);
    if (c->in_multi) {
        tmk_multi_remove(&c->multi, c->easy); /* closes the connection */
    }
    curl_easy_cleanup(c->easy);
    tmk_multi_clear(&c->multi);
    tmk_timer_clear(c->loop, &c->deadline);
    tmk_timer_clear(c->loop, &c->soon);
    tmk_free(c);
}

static const tmk_stream_ops curl_ops = {curl_stream_read, curl_stream_write, curl_stream_free};

tmk_status tmk_stream_curl_open(tmk_loop *loop, const tmk_stream_options *options, tmk_stream **out,
                                tmk_error *err) {
    tmk_status st = TMK_OK;
    curl_stream *c = tmk_new(curl_stream);

    if (c == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "net", "no memory for a connection");
    }
    c->base.ops = &curl_ops;
    c->loop = loop;
    c->fd = CURL_SOCKET_BAD;
    c->tls = options->tls;
    c->proxied = options->proxy != NULL;
    c->timeout_ms = tmk_stream_timeout_ms(options);
    c->watch.ready = on_socket;
    c->multi.ended = on_ended;
    c->multi.broke = on_broke;
    if (tmk_timer_init(loop, &c->deadline, on_deadline) < 0 ||
        tmk_timer_init(loop, &c->soon, on_soon) < 0) {
        st = tmk_fail(err, TMK_ENOMEM, "net", "no memory for a connection");
    }
    if (st == TMK_OK) {
        st = tmk_multi_init(&c->multi, loop, err);
    }
    if (st == TMK_OK) {
        st = begin(c, options, err);
        c->in_multi = st == TMK_OK;
    }
    if (st < 0) {
        curl_stream_free(&c->base);
        return st;
    }
    /* A little after curl's own, which knows more of the reason. */
    tmk_timer_set(loop, &c->deadline,
                  tmk_time_after(tmk_loop_now(loop), (c->timeout_ms + 100) * TMK_MS));
    *out = &c->base;
    return TMK_OK;
}
