/* The life of an exchange: token, try, answer or pause, next try. */
#include "checkpoint/blob_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/backoff.h"
#include "base/log.h"
#include "base/status.h"
#include "checkpoint/blob_request.h"

enum { TRIES_MAX = 8, TRY_MIN_MS = 2000, ETAG_MAX = 60 };

struct tmk_blob_client {
    tmk_loop *loop;
    tmk_log log;
    tmk_blob_place place;
    tmk_http *work, *beat; /* a heartbeat must not queue behind checkpoints */
    tmk_tokens *tokens;    /* NULL: a key or a signature */
    tmk_rng rng;
};

static const tmk_token_target target = {.scope = TMK_SCOPE_STORAGE,
                                        .audience = "https://storage.azure.com/"};

tmk_status tmk_blob_client_new(tmk_loop *loop, const tmk_blob_client_options *options,
                               tmk_blob_client **out, tmk_error *err) {
    tmk_blob_client *c = tmk_new(tmk_blob_client);
    tmk_http_options http = {.tls_ca_file = options->tls_ca_file,
                             .proxy = options->proxy,
                             .connections_per_host_max = 16};
    bool tokens = false;
    tmk_status st;

    if (c == NULL) {
        return tmk_fail_retry(err, TMK_ENOMEM, "blob", "no memory for a blob store");
    }
    c->loop = loop;
    c->log = options->log;
    tmk_rng_seed_system(&c->rng);
    st = tmk_blob_place_init(&c->place, options, &tokens, err);
    if (st == TMK_OK) {
        st = tmk_http_new(loop, &http, &c->work, err);
    }
    http.connections_per_host_max = 2;
    if (st == TMK_OK) {
        st = tmk_http_new(loop, &http, &c->beat, err);
    }
    if (st == TMK_OK && tokens) {
        tmk_tokens_options o = {.log = options->log};
        st = tmk_tokens_new(loop, options->credential, &o, &c->tokens, err);
    }
    if (st < 0) {
        (void)tmk_blob_client_free(c);
        return st;
    }
    *out = c;
    return TMK_OK;
}

tmk_blob_client *tmk_blob_client_free(tmk_blob_client *c) {
    if (c != NULL) {
        c->work = tmk_http_free(c->work);
        c->beat = tmk_http_free(c->beat);
        c->tokens = tmk_tokens_free(c->tokens);
        tmk_blob_place_clear(&c->place);
        tmk_free(c);
    }
    return NULL;
}

const char *tmk_blob_client_origin(const tmk_blob_client *c) {
    return c->place.origin;
}

/* ---- answers ---- */

static void tell(tmk_blob_exchange *x, tmk_blob_answer *a) {
    tmk_timer_stop(x->client->loop, &x->timer);
    x->answered(x, a);
}

static void tell_failure(tmk_blob_exchange *x) {
    tmk_blob_answer a = {.status = x->failure.status,
                         .error = x->failure,
                         .retry_after_ms = x->retry_after_ms,
                         .date = x->date,
                         .etag = ""};

    tell(x, &a);
}

/* Tells it from the loop, not from inside of whoever asks. */
static void fail_later(tmk_blob_exchange *x) {
    tmk_assert(x->failure.status < 0);
    x->attempt = TRIES_MAX;
    tmk_timer_set(x->client->loop, &x->timer, tmk_loop_now(x->client->loop));
}

/*
 * After a failure that another try may mend: when, or never because the time is up. The failure is
 * told then rather than at the deadline, so that the asker has time left.
 */
static void try_later(tmk_blob_exchange *x) {
    static const tmk_backoff pauses = {100 * TMK_MS, 3 * TMK_SEC, 2, 0.5};
    tmk_time now = tmk_loop_now(x->client->loop);
    tmk_time pause = tmk_backoff_delay(&pauses, x->attempt, &x->client->rng);
    tmk_time asked = x->retry_after_ms * TMK_MS;
    tmk_time due = tmk_time_after(now, pause > asked ? pause : asked);

    if (x->attempt >= TRIES_MAX || !x->failure.retryable || due >= x->deadline) {
        fail_later(x);
    } else {
        tmk_timer_set(x->client->loop, &x->timer, due);
    }
}

static void copy_etag(tmk_blob_exchange *x, const char *etag) {
    tmk_slice s = tmk_slice_str(etag);

    if (tmk_slice_starts(s, TMK_LIT("W/"))) {
        s = tmk_slice_from(s, 2);
    }
    if (s.size >= 2 && s.bytes[0] == '"' && s.bytes[s.size - 1] == '"') {
        s = tmk_slice_of(s.bytes + 1, s.size - 2);
    }
    tmk_str_reset(&x->etag);
    tmk_str_add_slice(&x->etag, s);
}

static void copy_meta(tmk_blob_exchange *x, const tmk_http_response *r) {
    static const char prefix[] = "x-ms-meta-";
    tmk_http_header h;

    tmk_blob_meta_reset(&x->meta);
    for (size_t i = 0; tmk_http_header_next(r, &i, &h);) {
        if (strncasecmp(h.name, prefix, sizeof prefix - 1) == 0) {
            tmk_blob_meta_add(&x->meta, tmk_slice_str(h.name + sizeof prefix - 1),
                              tmk_slice_str(h.value));
        }
    }
}

static int64_t retry_after_ms(const tmk_http_response *r) {
    static const char *const in_ms[] = {"retry-after-ms", "x-ms-retry-after-ms"};
    const char *text = tmk_http_header_get(r, "Retry-After");
    int64_t value = 0;
    tmk_wall then, date;

    for (size_t i = 0; i < 2; i++) {
        const char *ms = tmk_http_header_get(r, in_ms[i]);
        if (ms != NULL && tmk_slice_int64(tmk_slice_str(ms), &value) && value >= 0) {
            return value < 3600000 ? value : 3600000;
        }
    }
    if (text == NULL) {
        return 0;
    }
    if (tmk_slice_int64(tmk_slice_str(text), &value) && value >= 0) {
        return value < 3600 ? value * 1000 : 3600000;
    }
    text = tmk_http_header_get(r, "Date");
    if (text != NULL && tmk_http_date_parse(tmk_slice_str(text), &date, NULL) == TMK_OK &&
        tmk_http_date_parse(tmk_slice_str(tmk_http_header_get(r, "Retry-After")), &then, NULL) ==
            TMK_OK &&
        then.us > date.us) {
        value = (then.us - date.us) / 1000;
    }
    return value < 3600000 ? value : 3600000;
}

static void error_code_of(const tmk_http_response *r, char out[64]) {
    const char *header = tmk_http_header_get(r, "x-ms-error-code");

    if (header != NULL) {
        (void)snprintf(out, 64, "%s", header);
    } else {
        tmk_blob_error_parse(tmk_http_body(r), out);
    }
}

/* The failures among the answers, in words; OK: the asker judges. */
static tmk_status judge(const tmk_blob_exchange *x, int code, const char *error_code,
                        tmk_error *err) {
    const tmk_blob_place *p = &x->client->place;
    char origin[48];

    (void)snprintf(origin, sizeof origin, "http:%d%s%.32s", code, error_code[0] == '\0' ? "" : ":",
                   error_code);
    if (strcmp(error_code, "ContainerNotFound") == 0) {
        return tmk_fail(err, TMK_ENOTFOUND, origin,
                        "the container '%s' does not exist in '%s': make it, or let the store make "
                        "it by the option create_container",
                        p->container, p->origin);
    }
    if (strcmp(error_code, "ContainerBeingDeleted") == 0) {
        return tmk_fail_retry(err, TMK_EBUSY, origin, "the container '%s' is being deleted",
                              p->container);
    }
    if (strcmp(error_code, "BlobImmutableDueToPolicy") == 0 ||
        strcmp(error_code, "BlobArchived") == 0) {
        return tmk_fail(err, TMK_EREMOTE, origin,
                        "the container '%s' has a policy (immutability, archive) that forbids to "
                        "write '%s': use a container without one",
                        p->container, x->ask.name);
    }
    if ((code >= 200 && code < 300) || code == 304 || code == 404 || code == 409 || code == 412) {
        return TMK_OK;
    }
    if (code == 401 || code == 403 || strcmp(error_code, "InvalidAuthenticationInfo") == 0) {
        return tmk_fail(err, TMK_EAUTH, origin,
                        "'%s' refuses access to the container '%s' (%s): check key or role "
                        "(Storage Blob Data Contributor), clock and network rules",
                        p->origin, p->container, error_code);
    }
    if (code == 429 || code == 503) {
        return tmk_fail_retry(err, TMK_EBUSY, origin, "'%s' is busy", p->origin);
    }
    if (code == 408 || (code >= 500 && code != 501 && code != 505)) {
        return tmk_fail_retry(err, TMK_EREMOTE, origin, "'%s' failed (%d %s)", p->origin, code,
                              error_code);
    }
    return tmk_fail(err, TMK_EPROTO, origin, "'%s' refused a request (%d %s)", p->origin, code,
                    error_code);
}

/* What the next condition will name. Only lists, deletions and operations on leases go without. */
static bool lacks_etag(const tmk_blob_exchange *x, int code) {
    return code >= 200 && code < 300 && x->etag.size == 0 && x->ask.name != NULL &&
           x->ask.lease_action == NULL && strcmp(x->ask.method, "DELETE") != 0;
}

static void on_answer(tmk_blob_exchange *x, const tmk_http_response *r) {
    tmk_blob_answer a = {
        .code = tmk_http_code(r), .meta = &x->meta, .body = tmk_http_body(r), .response = r};
    const char *date = tmk_http_header_get(r, "Date");
    const char *modified = tmk_http_header_get(r, "Last-Modified");
    const char *etag = tmk_http_header_get(r, "ETag");

    x->date = (tmk_wall){0};
    if (date != NULL) {
        (void)tmk_http_date_parse(tmk_slice_str(date), &x->date, NULL);
    }
    a.date = x->date;
    if (a.code >= 400) {
        error_code_of(r, a.error_code);
    }
    if (judge(x, a.code, a.error_code, &x->failure) < 0) {
        x->retry_after_ms = retry_after_ms(r);
        if (a.code == 401 && x->client->tokens != NULL && !x->token_refused) {
            x->token_refused = true;
            x->failure.retryable = true;
            tmk_tokens_refused(x->client->tokens, &target, &x->token);
        }
        try_later(x);
        return;
    }
    copy_etag(x, etag == NULL ? "" : etag);
    copy_meta(x, r);
    if (x->etag.failed || x->meta.text.failed) {
        (void)tmk_fail_retry(&x->failure, TMK_ENOMEM, "blob", "no memory for an answer");
        tell_failure(x);
        return;
    }
    if (x->etag.size > ETAG_MAX || lacks_etag(x, a.code)) {
        (void)tmk_fail_retry(&x->failure, TMK_EPROTO, "blob", "an answer with an ETag of %zu bytes",
                             x->etag.size);
        tell_failure(x);
        return;
    }
    a.etag = tmk_str_text(&x->etag);
    a.lease = tmk_blob_lease_of(tmk_http_header_get(r, "x-ms-lease-state"),
                                tmk_http_header_get(r, "x-ms-lease-duration"));
    if (modified != NULL) {
        (void)tmk_http_date_parse(tmk_slice_str(modified), &a.last_modified, NULL);
    }
    tell(x, &a);
}

static void on_done(void *user, tmk_status status, const tmk_http_response *response,
                    const tmk_error *err) {
    tmk_blob_exchange *x = user;

    x->http = NULL;
    x->retry_after_ms = 0;
    if (status == TMK_OK) {
        tmk_debug(&x->client->log, "blob.answer", "method=%s name='%s' code=%d attempt=%u",
                  x->ask.method, x->ask.name == NULL ? "" : x->ask.name, tmk_http_code(response),
                  x->attempt);
        on_answer(x, response);
        return;
    }
    tmk_debug(&x->client->log, "blob.broken", "method=%s name='%s' error='%s' attempt=%u",
              x->ask.method, x->ask.name == NULL ? "" : x->ask.name, err->text, x->attempt);
    x->failure = *err;
    try_later(x);
}

/* ---- tries ---- */

/* A try gets what time is left, but not all of a long time: an answer that is lost on the way must
 * not use it up. */
static int64_t try_ms(const tmk_blob_exchange *x) {
    int64_t left_ms = (x->deadline - tmk_loop_now(x->client->loop)) / TMK_MS;
    int64_t share_ms = left_ms / 2 > TRY_MIN_MS ? left_ms / 2 : TRY_MIN_MS;

    return left_ms < 1 ? 1 : left_ms < share_ms ? left_ms : share_ms;
}

static void send_try(tmk_blob_exchange *x, const tmk_secret *token) {
    tmk_blob_client *c = x->client;
    tmk_blob_text text;
    char id[37];
    tmk_status st;

    tmk_rng_uuid(&c->rng, id);
    st = tmk_blob_text_make(&text, &c->place, &x->ask, tmk_wall_now(tmk_loop_clock(c->loop)), id,
                            token, &x->failure);
    if (st == TMK_OK) {
        tmk_http_request request = {.method = x->ask.method,
                                    .url = tmk_str_text(&text.url),
                                    .headers = text.headers,
                                    .header_count = text.header_count,
                                    .body = x->ask.body,
                                    .timeout_ms = try_ms(x),
                                    .connect_timeout_ms = try_ms(x)};
        st = tmk_http_send(x->ask.urgent ? c->beat : c->work, &request, on_done, x, &x->http,
                           &x->failure);
    }
    tmk_blob_text_clear(&text);
    if (st < 0) {
        fail_later(x);
    }
}

static void on_token(tmk_token_call *call, const tmk_token *token, const tmk_error *why,
                     tmk_time retry_at) {
    tmk_blob_exchange *x = call->user;

    (void)retry_at;
    if (token == NULL) {
        x->failure = *why;
        fail_later(x);
        return;
    }
    tmk_token_set(&x->token, token);
    send_try(x, token->secret);
}

static void begin_try(tmk_blob_exchange *x) {
    x->attempt++;
    x->retry_after_ms = 0;
    if (x->client->tokens == NULL) {
        send_try(x, NULL);
        return;
    }
    x->token_call.got = on_token;
    x->token_call.user = x;
    tmk_tokens_get(x->client->tokens, &target, &x->token_call);
}

static void on_timer(tmk_timer *t) {
    tmk_blob_exchange *x = tmk_container_of(t, tmk_blob_exchange, timer);

    if (x->attempt >= TRIES_MAX) {
        tell_failure(x);
    } else {
        begin_try(x);
    }
}

void tmk_blob_send(tmk_blob_exchange *x, const tmk_blob_ask *ask, tmk_time deadline) {
    tmk_assert(x->http == NULL);
    x->ask = *ask;
    x->deadline = deadline;
    x->attempt = 0;
    x->token_refused = false;
    x->date = (tmk_wall){0};
    tmk_error_clear(&x->failure);
    begin_try(x);
}

tmk_status tmk_blob_exchange_init(tmk_blob_exchange *x, tmk_blob_client *client) {
    tmk_status st = tmk_timer_init(client->loop, &x->timer, on_timer);

    x->client = st == TMK_OK ? client : NULL;
    return st;
}

void tmk_blob_exchange_clear(tmk_blob_exchange *x) {
    if (x->client != NULL) {
        tmk_http_cancel(x->http);
        if (x->client->tokens != NULL) {
            tmk_tokens_cancel(x->client->tokens, &x->token_call);
        }
        tmk_token_clear(&x->token);
        tmk_timer_clear(x->client->loop, &x->timer);
        tmk_str_clear(&x->etag);
        tmk_blob_meta_clear(&x->meta);
        x->http = NULL;
        x->client = NULL;
    }
}
