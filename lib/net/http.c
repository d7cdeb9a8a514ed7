/*
 * The pool: calls under way, in one curl multi that keeps the connections.
 *
 * A call lives from tmk_http_send() to its done or its cancel. Its deadline is
 * a timer of ours, so that it holds while the call waits for a connection too.
 */
#include "net/http.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "base/uri.h"
#include "net/http_internal.h"

enum {
    SPARE_HANDLES = 8,
    CONNECTIONS_DEFAULT = 8,
    TIMEOUT_MS = 60000,
    CONNECT_TIMEOUT_MS = 10000,
    TIMEOUT_MAX_MS = 24 * 3600 * 1000
};

struct tmk_http {
    tmk_multi multi;
    tmk_loop *loop;
    tmk_list calls;
    tmk_http_stats stats;
    bool closing;
    int telling; /* depth of done callbacks */
    CURL *spare[SPARE_HANDLES];
    size_t spare_count;
    char *tls_ca_file, *proxy, *user_agent;
    unsigned connections_per_host_max;
};

struct tmk_http_call {
    tmk_http *http;
    tmk_list link;
    tmk_timer timer;
    CURL *easy;
    tmk_http_sent sent;
    tmk_http_response response;
    tmk_http_done done;
    void *user;
    int64_t timeout_ms;
    bool added;
    char peer[160]; /* host:port, for errors */
    char detail[CURL_ERROR_SIZE];
};

/* ---- curl handles ---- */

static CURL *take_handle(tmk_http *http) {
    return http->spare_count > 0 ? http->spare[--http->spare_count] : curl_easy_init();
}

/* A used handle keeps memory that the next call needs not ask for again. */
static void give_handle(tmk_http *http, CURL *easy) {
    if (easy == NULL) {
        return;
    }
    if (http->spare_count < SPARE_HANDLES && !http->closing) {
        curl_easy_reset(easy);
        http->spare[http->spare_count++] = easy;
    } else {
        curl_easy_cleanup(easy);
    }
}

/* ---- calls ---- */

static void call_free(tmk_http_call *call) {
    tmk_http *http = call->http;

    if (call->added) {
        long opened = 0;

        (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &opened);
        http->stats.connections += (uint64_t)opened;
        tmk_multi_remove(&http->multi, call->easy);
        http->stats.active--;
    }
    give_handle(http, call->easy);
    tmk_http_sent_clear(&call->sent);
    tmk_timer_clear(http->loop, &call->timer);
    tmk_list_remove(&call->link);
    tmk_http_response_clear(&call->response);
    tmk_free(call);
}

/* The last thing that happens to a call. */
static void finish(tmk_http_call *call, tmk_status st, const tmk_error *err) {
    tmk_http *http = call->http;
    tmk_http_done done = call->done;
    void *user = call->user;
    tmk_http_response response = call->response;

    call->response = (tmk_http_response){0};
    http->stats.failures += st != TMK_OK;
    call_free(call); /* before done: it may send the next one over the same connection */
    http->telling++;
    done(user, st, st == TMK_OK ? &response : NULL, err);
    http->telling--;
    tmk_http_response_clear(&response);
}

static tmk_status judge(tmk_http_call *call, CURLcode code, tmk_error *err) {
    tmk_http_response *r = &call->response;
    long answer = 0;

    if (r->refused == TMK_ENOMEM) {
        return tmk_fail(err, TMK_ENOMEM, "http", "no memory for the answer of '%s'", call->peer);
    }
    if (r->refused == TMK_EPROTO) {
        return tmk_fail(err, TMK_EPROTO, "http", "a header that is not valid from '%s'",
                        call->peer);
    }
    if (r->refused == TMK_ELIMIT) {
        return tmk_fail(err, TMK_ELIMIT, "http", "too large an answer from '%s'", call->peer);
    }
    if (code != CURLE_OK) {
        return tmk_curl_fail(err, call->easy, code, call->peer, call->detail);
    }
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &answer);
    if (answer < 200 || answer > 999) {
        return tmk_fail(err, TMK_EPROTO, "http", "no valid answer from '%s'", call->peer);
    }
    r->code = (int)answer;
    return TMK_OK;
}

static void on_ended(tmk_multi *m, CURL *easy, CURLcode code) {
    tmk_http_call *call = NULL;
    tmk_error err = {0};

    (void)m;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
    finish(call, judge(call, code, &err), &err);
}

static void on_timeout(tmk_timer *t) {
    tmk_http_call *call = tmk_container_of(t, tmk_http_call, timer);
    tmk_error err = {0};

    (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "http", "no answer from '%s' within %lld ms",
                         call->peer, (long long)call->timeout_ms);
    finish(call, TMK_ETIMEOUT, &err);
}

/* All calls that are under way now; those that their done functions start are not among them. */
static void finish_all(tmk_http *http, const tmk_error *err) {
    tmk_list doomed;
    tmk_list *at = NULL;

    tmk_list_init(&doomed);
    while ((at = tmk_list_pop_front(&http->calls)) != NULL) {
        tmk_list_push_back(&doomed, at);
    }
    while ((at = tmk_list_first(&doomed)) != NULL) {
        finish(tmk_container_of(at, tmk_http_call, link), err->status, err);
    }
}

static tmk_status open_multi(tmk_http *http, tmk_error *err);

static void on_broke(tmk_multi *m) {
    tmk_http *http = tmk_container_of(m, tmk_http, multi);
    tmk_list *at = NULL;
    tmk_error err;

    (void)tmk_fail_retry(&err, TMK_ENOMEM, "http", "no memory for a connection");
    for (at = tmk_list_first(&http->calls); at != NULL; at = tmk_list_next(&http->calls, at)) {
        tmk_http_call *call = tmk_container_of(at, tmk_http_call, link);

        tmk_multi_remove(m, call->easy);
    }
    tmk_multi_clear(m); /* a new one comes with the next call */
    finish_all(http, &err);
}

/* ---- sending ---- */

static void name_peer(tmk_http_call *call, const char *url) {
    tmk_uri uri;

    if (tmk_uri_parse(tmk_slice_str(url), &uri, NULL) == TMK_OK) {
        bool tls = tmk_slice_eq(uri.scheme, TMK_LIT("https"));

        (void)snprintf(call->peer, sizeof call->peer, "%.*s:%d", (int)uri.host.size,
                       (const char *)uri.host.bytes,
                       uri.port != 0 ? uri.port
                       : tls         ? 443
                                     : 80);
    }
}

static int64_t limit(int64_t wanted_ms, int64_t default_ms) {
    return wanted_ms <= 0 ? default_ms : wanted_ms < TIMEOUT_MAX_MS ? wanted_ms : TIMEOUT_MAX_MS;
}

#define SET(option, value) (code = code != CURLE_OK ? code : curl_easy_setopt(easy, option, value))

static CURLcode set_up(tmk_http_call *call, const tmk_http_request *request) {
    tmk_http *http = call->http;
    CURL *easy = call->easy;
    CURLcode code = tmk_curl_secure(easy, http->tls_ca_file);

    code = code != CURLE_OK ? code : tmk_curl_cleanse(easy);
    code = code != CURLE_OK ? code : tmk_curl_proxy(easy, request->no_proxy ? NULL : http->proxy);
    code = code != CURLE_OK ? code : tmk_http_request_apply(request, easy, &call->sent);
    code = code != CURLE_OK ? code : tmk_http_response_attach(&call->response, easy);
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_ERRORBUFFER, call->detail);
    SET(CURLOPT_USERAGENT, http->user_agent);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)limit(request->connect_timeout_ms, CONNECT_TIMEOUT_MS));
    return code;
}

static tmk_status call_new(tmk_http *http, const tmk_http_request *request, tmk_http_call **out,
                           tmk_error *err) {
    tmk_http_call *call = tmk_new(tmk_http_call);
    CURLcode code = CURLE_OUT_OF_MEMORY;

    if (call == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "http", "no memory for a request");
    }
    call->http = http;
    call->timeout_ms = limit(request->timeout_ms, TIMEOUT_MS);
    call->response.body_max = request->body_max > 0 ? request->body_max : TMK_HTTP_BODY_MAX;
    name_peer(call, request->url);
    call->easy = take_handle(http);
    if (call->easy != NULL && tmk_timer_init(http->loop, &call->timer, on_timeout) == TMK_OK) {
        code = set_up(call, request);
    }
    if (code != CURLE_OK) {
        call_free(call);
        return tmk_fail(err, code == CURLE_OUT_OF_MEMORY ? TMK_ENOMEM : TMK_EINVAL, "http",
                        "cannot make a request: %s", curl_easy_strerror(code));
    }
    *out = call;
    return TMK_OK;
}

tmk_status tmk_http_send(tmk_http *http, const tmk_http_request *request, tmk_http_done done,
                         void *user, tmk_http_call **out, tmk_error *err) {
    tmk_http_call *call = NULL;
    tmk_status st = TMK_OK;

    tmk_assert(tmk_loop_is_mine(http->loop));
    if (http->closing) {
        return tmk_fail(err, TMK_ESTATE, "http", "the HTTP client is being closed");
    }
    st = tmk_http_request_check(request, err);
    if (st == TMK_OK && http->multi.handle == NULL) {
        st = open_multi(http, err);
    }
    if (st == TMK_OK) {
        st = call_new(http, request, &call, err);
    }
    if (st < 0) {
        return st;
    }
    tmk_assert(call != NULL);
    st = tmk_multi_add(&http->multi, call->easy, err);
    if (st < 0) {
        call_free(call);
        return st;
    }
    call->added = true;
    call->done = done;
    call->user = user;
    http->stats.requests++;
    http->stats.active++;
    tmk_list_push_back(&http->calls, &call->link);
    tmk_timer_set(http->loop, &call->timer,
                  tmk_time_after(tmk_loop_now(http->loop), call->timeout_ms * TMK_MS));
    if (out != NULL) {
        *out = call;
    }
    return TMK_OK;
}

void tmk_http_cancel(tmk_http_call *call) {
    if (call != NULL) {
        tmk_assert(tmk_loop_is_mine(call->http->loop));
        call_free(call);
    }
}

/* ---- the pool ---- */

static tmk_status open_multi(tmk_http *http, tmk_error *err) {
    long per_host = (long)http->connections_per_host_max;
    tmk_status st = TMK_OK;

    http->multi.ended = on_ended;
    http->multi.broke = on_broke;
    st = tmk_multi_init(&http->multi, http->loop, err);
    if (st == TMK_OK) {
        (void)curl_multi_setopt(http->multi.handle, CURLMOPT_MAX_HOST_CONNECTIONS, per_host);
        (void)curl_multi_setopt(http->multi.handle, CURLMOPT_MAXCONNECTS, per_host * 4);
    }
    return st;
}

static bool copy_options(tmk_http *http, const tmk_http_options *options) {
    http->connections_per_host_max = options->connections_per_host_max > 0
                                         ? options->connections_per_host_max
                                         : CONNECTIONS_DEFAULT;
    http->tls_ca_file = tmk_copy_str(options->tls_ca_file);
    http->proxy = tmk_copy_str(options->proxy);
    http->user_agent =
        tmk_copy_str(options->user_agent != NULL ? options->user_agent : "tidemark/" TMK_VERSION);
    return (options->tls_ca_file == NULL || http->tls_ca_file != NULL) &&
           (options->proxy == NULL || http->proxy != NULL) && http->user_agent != NULL;
}

tmk_status tmk_http_new(tmk_loop *loop, const tmk_http_options *options, tmk_http **out,
                        tmk_error *err) {
    static const tmk_http_options defaults = {0};
    tmk_http *http = NULL;
    tmk_status st = TMK_OK;

    options = options != NULL ? options : &defaults;
    st = tmk_curl_proxy_check(options->proxy, err);
    if (st < 0) {
        return st;
    }
    http = tmk_new(tmk_http);
    if (http == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "http", "no memory for an HTTP client");
    }
    http->loop = loop;
    tmk_list_init(&http->calls);
    st = copy_options(http, options)
             ? open_multi(http, err)
             : tmk_fail(err, TMK_ENOMEM, "http", "no memory for an HTTP client");
    if (st < 0) {
        (void)tmk_http_free(http);
        return st;
    }
    *out = http;
    return TMK_OK;
}

tmk_http *tmk_http_free(tmk_http *http) {
    tmk_error err;

    if (http == NULL) {
        return NULL;
    }
    tmk_assert(http->telling == 0);
    http->closing = true;
    (void)tmk_fail(&err, TMK_ECANCELED, "http", "the HTTP client was closed");
    finish_all(http, &err);
    while (http->spare_count > 0) {
        curl_easy_cleanup(http->spare[--http->spare_count]);
    }
    tmk_multi_clear(&http->multi);
    tmk_free(http->tls_ca_file);
    tmk_free(http->proxy);
    tmk_free(http->user_agent);
    tmk_free(http);
    return NULL;
}

tmk_http_stats tmk_http_stats_get(const tmk_http *http) {
    return http->stats;
}
