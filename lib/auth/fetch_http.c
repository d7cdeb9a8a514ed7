/*
 * Tokens over HTTP: from an Entra authority for service principals and
 * workload identity, from an identity endpoint for managed identity.
 *
 *   PROBE (an endpoint that may not exist) --> ASK <--> wait, as token_retry.h says
 *                                               |
 *                                 Azure Arc: KEY, with the file it points to
 */
#include "auth/fetch_parts.h"

#include <stdio.h>

#include "auth/assertion.h"
#include "auth/scrub.h"
#include "auth/secret_file.h"
#include "auth/token_request.h"
#include "auth/token_retry.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str.h"

enum { headers_max = 4, arc_key_max = 4096 };

/* What a request may take: the whole, and until the connection stands. */
static const int64_t authority_ms = 30000, authority_connect_ms = 10000;
static const int64_t identity_ms = 15000, identity_connect_ms = 3000;
static const int64_t probe_ms = 1500, probe_connect_ms = 1000;

typedef enum fetch_step { step_start, step_probe, step_ask, step_key } fetch_step;

typedef struct http_fetch {
    tmk_fetch base;
    tmk_http_call *call;
    tmk_token_retry retry;
    fetch_step step;
    tmk_secret *proof;  /* what this request shows: secret, assertion, token of the cluster, key */
    bool proof_renewed; /* after the authority had found it outside of its time */
} http_fetch;

static http_fetch *of(tmk_fetch *f) {
    return tmk_container_of(f, http_fetch, base);
}

static bool is_imds(const http_fetch *h) {
    return h->base.credential->kind == TMK_CREDENTIAL_MANAGED &&
           h->base.credential->source != TMK_SOURCE_APP_SERVICE;
}

static const char *title_of(const http_fetch *h) {
    return tmk_credential_title(h->base.credential);
}

static void fail(http_fetch *h, tmk_fetch_outcome outcome, tmk_error *why, tmk_time retry_after) {
    tmk_scrub(why->text, h->proof);
    tmk_scrub(why->text, h->base.credential->secret);
    tmk_redact(why->text);
    tmk_fetch_failed(&h->base, outcome, why, retry_after);
}

/* ---- what is shown ---- */

static tmk_status read_file(http_fetch *h, size_t limit, bool follow, const char *path,
                            tmk_secret **out, tmk_error *err) {
    tmk_status st = tmk_secret_file_read(path, limit, follow, out, err);

    if (st == TMK_ABSENT) {
        (void)tmk_fail(err, TMK_EAUTH, "file", "%s: there is no file '%s'", title_of(h), path);
    }
    return st;
}

static tmk_status read_federated(http_fetch *h, tmk_error *err) {
    tmk_secret *file = NULL;
    tmk_slice text;
    tmk_status st = read_file(h, tmk_secret_file_max, true, h->base.credential->file, &file, err);

    if (st != TMK_OK) {
        return st;
    }
    text = tmk_slice_trim(tmk_secret_bytes(file));
    if (text.size == 0) {
        (void)tmk_fail(err, TMK_EAUTH, "file", "%s: the token file '%s' is empty", title_of(h),
                       h->base.credential->file);
        st = TMK_ABSENT;
    } else {
        h->proof = tmk_secret_new(text);
        st =
            h->proof != NULL ? TMK_OK : tmk_fail(err, TMK_ENOMEM, "token", "no memory for a token");
    }
    file = tmk_secret_free(file);
    return st;
}

static tmk_status sign_assertion(http_fetch *h, tmk_error *err) {
    const tmk_credential *c = h->base.credential;
    tmk_assertion_facts facts = {.client_id = c->client_id,
                                 .audience = c->token_url,
                                 .now = tmk_wall_now(tmk_loop_clock(h->base.host->loop)),
                                 .rs256 = c->rs256,
                                 .chain = c->send_chain};
    tmk_secret *pem = NULL;
    tmk_status st = read_file(h, tmk_secret_file_max, true, c->file, &pem, err);

    if (st == TMK_OK) {
        st = tmk_assertion_make(tmk_secret_bytes(pem), &facts, &h->base.host->rng, &h->proof, err);
    }
    pem = tmk_secret_free(pem);
    return st;
}

/* Read anew for every request: files are rotated under us. ABSENT, with words: not set up here. */
static tmk_status take_proof(http_fetch *h, tmk_error *err) {
    tmk_credential *c = h->base.credential;

    if (h->step == step_key) {
        return TMK_OK;
    }
    h->proof = tmk_secret_free(h->proof);
    switch (c->kind) {
    case TMK_CREDENTIAL_CERTIFICATE:
        return sign_assertion(h, err);
    case TMK_CREDENTIAL_WORKLOAD:
        return read_federated(h, err);
    default:
        h->proof = c->secret == NULL ? NULL : tmk_secret_ref(c->secret);
        return TMK_OK;
    }
}

/* ---- sending ---- */

static void on_answer(void *user, tmk_status status, const tmk_http_response *response,
                      const tmk_error *err);

static tmk_status send_request(http_fetch *h, tmk_http_request *r, tmk_error *err) {
    tmk_time left = h->base.deadline - tmk_loop_now(h->base.host->loop);

    if (r->timeout_ms > left / TMK_MS) {
        r->timeout_ms = left < TMK_MS ? 1 : left / TMK_MS;
    }
    r->body_max = tmk_answer_max;
    return tmk_http_send(h->base.host->http, r, on_answer, h, &h->call, err);
}

static tmk_status ask_authority(http_fetch *h, tmk_error *err) {
    static const tmk_http_header headers[] = {{"Content-Type", "application/x-www-form-urlencoded"},
                                              {"Accept", "application/json"}};
    tmk_str form = TMK_STR_INIT;
    tmk_http_request r = {.method = "POST",
                          .url = h->base.credential->token_url,
                          .headers = headers,
                          .header_count = 2,
                          .timeout_ms = authority_ms,
                          .connect_timeout_ms = authority_connect_ms};
    tmk_status st = tmk_token_form(h->base.credential, h->base.scope, h->proof, &form, err);

    if (st == TMK_OK) {
        r.body = tmk_str_slice(&form);
        st = send_request(h, &r, err);
    }
    tmk_str_wipe(&form);
    return st;
}

/* The header by which the endpoint knows that we are a program of this machine. */
static tmk_http_header identity_header(const http_fetch *h) {
    if (h->base.credential->source == TMK_SOURCE_APP_SERVICE) {
        return (tmk_http_header){"X-IDENTITY-HEADER",
                                 (const char *)tmk_secret_bytes(h->proof).bytes};
    }
    return (tmk_http_header){"Metadata", "true"};
}

static tmk_status ask_identity(http_fetch *h, tmk_error *err) {
    tmk_http_header headers[headers_max] = {identity_header(h), {"Accept", "application/json"}};
    tmk_http_request r = {.method = "GET",
                          .headers = headers,
                          .header_count = 2,
                          .timeout_ms = identity_ms,
                          .connect_timeout_ms = identity_connect_ms,
                          .no_proxy = true};
    tmk_str basic = TMK_STR_INIT;
    char *url = tmk_identity_url(h->base.credential, h->base.scope);
    tmk_status st = url != NULL ? TMK_OK : TMK_ENOMEM;

    if (h->step == step_key && tmk_str_reserve(&basic, tmk_secret_bytes(h->proof).size + 8)) {
        tmk_str_add(&basic, "Basic ");
        tmk_str_add_slice(&basic, tmk_slice_trim(tmk_secret_bytes(h->proof)));
        headers[r.header_count++] = (tmk_http_header){"Authorization", tmk_str_text(&basic)};
    }
    if (st != TMK_OK || !tmk_str_ok(&basic)) {
        st = tmk_fail(err, TMK_ENOMEM, "token", "no memory for a token request");
    } else {
        r.url = url;
        st = send_request(h, &r, err);
    }
    tmk_str_wipe(&basic);
    tmk_free(url);
    return st;
}

/* Whatever answers quickly is there; without the header it gives no token yet. */
static tmk_status probe(http_fetch *h, tmk_error *err) {
    tmk_http_request r = {.method = "GET",
                          .url = h->base.credential->token_url,
                          .timeout_ms = probe_ms,
                          .connect_timeout_ms = probe_connect_ms,
                          .no_proxy = true};

    return send_request(h, &r, err);
}

static tmk_status send_step(http_fetch *h, tmk_error *err) {
    tmk_status st = take_proof(h, err);

    if (st != TMK_OK) {
        return st;
    }
    tmk_debug(&h->base.host->log, "auth.ask", "credential='%s' scope='%s' step=%d try=%u",
              title_of(h), h->base.scope, (int)h->step, h->retry.tries + 1);
    if (h->step == step_probe) {
        return probe(h, err);
    }
    return h->base.credential->kind == TMK_CREDENTIAL_MANAGED ? ask_identity(h, err)
                                                              : ask_authority(h, err);
}

static void start(http_fetch *h) {
    h->retry.endpoint = is_imds(h) ? TMK_ENDPOINT_IMDS : TMK_ENDPOINT_AUTHORITY;
    h->retry.known = h->base.known;
    h->retry.started_at = tmk_loop_now(h->base.host->loop);
    h->retry.deadline = h->base.deadline;
    h->step = h->base.chained && !h->base.known && is_imds(h) ? step_probe : step_ask;
}

static void fire(tmk_fetch *f) {
    http_fetch *h = of(f);
    tmk_error err = {0};
    tmk_status st;

    if (h->step == step_start) {
        start(h);
    }
    st = send_step(h, &err);
    if (st == TMK_ABSENT) {
        fail(h, TMK_FETCH_UNAVAILABLE, &err, 0);
    } else if (st != TMK_OK) {
        fail(h, TMK_FETCH_FAILED, &err, 0);
    }
}

static void stop(tmk_fetch *f) {
    http_fetch *h = of(f);

    tmk_http_cancel(h->call);
    h->call = NULL;
    h->proof = tmk_secret_free(h->proof);
}

const tmk_fetch_ops tmk_fetch_over_http = {sizeof(http_fetch), fire, stop};

/* ---- what came ---- */

/* An answer of the other side that is no token. */
typedef struct refusal {
    int code; /* 0: none came */
    tmk_error_answer answer;
    tmk_time retry_after;
} refusal;

static tmk_status status_of(int code) {
    switch (code) {
    case 408:
        return TMK_ETIMEOUT;
    case 429:
        return TMK_EBUSY;
    default:
        return code >= 500 ? TMK_EREMOTE : code >= 400 ? TMK_EAUTH : TMK_EPROTO;
    }
}

static void describe(const http_fetch *h, const refusal *r, bool retryable, tmk_error *err) {
    static const int64_t assertion_expired = 700024;
    const char *text = r->answer.text[0] != '\0' ? r->answer.text : r->answer.error;
    char origin[sizeof err->origin];

    if (r->answer.error[0] != '\0') {
        (void)snprintf(origin, sizeof origin, "entra:%.40s", r->answer.error);
    } else {
        (void)snprintf(origin, sizeof origin, "http:%d", r->code);
    }
    if (r->code >= 300 && r->code < 400) {
        (void)tmk_fail(
            err, TMK_EPROTO, origin,
            "%s: the token service redirects, which is not followed: check the authority",
            title_of(h));
    } else if (r->answer.code == assertion_expired) {
        (void)tmk_fail(err, TMK_EAUTH, origin,
                       "%s: check this machine's clock, and that the token file is renewed: %s",
                       title_of(h), text);
    } else if (text[0] != '\0') {
        (void)tmk_fail(err, status_of(r->code), origin, "%s refused: %s", title_of(h), text);
    } else {
        (void)tmk_fail(err, status_of(r->code), origin, "%s: the token service answers %d",
                       title_of(h), r->code);
    }
    err->retryable = retryable;
}

/* Docker Desktop answers for an address that is none. */
static bool says_unreachable(int code, tmk_slice body) {
    return code == 403 && body.size > 0 && memmem(body.bytes, body.size, "unreachable", 11) != NULL;
}

static bool is_absent(const http_fetch *h, const refusal *r, tmk_slice body) {
    if (!is_imds(h) || h->base.known) {
        return false;
    }
    return r->code == 0 || r->code == 400 || says_unreachable(r->code, body);
}

/* Tries again, or ends. err: the words for the end. */
static void on_refusal(http_fetch *h, const refusal *r, tmk_slice body, tmk_error *err) {
    tmk_token_trial trial = {.code = r->code,
                             .temporary = strcmp(r->answer.error, "temporarily_unavailable") == 0,
                             .retry_after = r->retry_after};
    tmk_time now = tmk_loop_now(h->base.host->loop);
    tmk_time wait = tmk_token_retry_on_trial(&h->retry, now, &trial, &h->base.host->rng);

    if (wait == TMK_NEVER) {
        fail(h, is_absent(h, r, body) ? TMK_FETCH_UNAVAILABLE : TMK_FETCH_FAILED, err,
             r->retry_after);
        return;
    }
    if (h->step == step_key) {
        h->step = step_ask; /* the key of the agent is good for one request */
    }
    tmk_info(&h->base.host->log, "auth.retry", "credential='%s' code=%d try=%u wait_ms=%" PRId64,
             title_of(h), r->code, h->retry.tries, wait / TMK_MS);
    tmk_fetch_wait(&h->base, wait);
}

static void on_silence(http_fetch *h, tmk_status status, const tmk_error *err) {
    refusal r = {.code = 0};
    tmk_error why;

    (void)tmk_fail(&why, status, err->origin, "%s: no answer from the token service: %s",
                   title_of(h), err->text);
    why.retryable = err->retryable;
    if (h->step == step_probe) {
        fail(h, TMK_FETCH_UNAVAILABLE, &why, 0);
    } else if (err->retryable) {
        on_refusal(h, &r, tmk_slice_of(NULL, 0), &why);
    } else { /* no memory, say, or a certificate that is not trusted */
        fail(h, TMK_FETCH_FAILED, &why, 0);
    }
}

/* The server's clock, so that expires_on does not depend on ours. */
static tmk_wall server_time(const http_fetch *h, const tmk_http_response *response) {
    const char *date = tmk_http_header_get(response, "Date");
    tmk_wall now;

    if (date == NULL || tmk_http_date_parse(tmk_slice_str(date), &now, NULL) != TMK_OK) {
        now = tmk_wall_now(tmk_loop_clock(h->base.host->loop));
    }
    return now;
}

static void on_success(http_fetch *h, const tmk_http_response *response) {
    tmk_token_answer answer = {NULL};
    tmk_error why = {0};
    tmk_status st =
        tmk_token_answer_parse(tmk_http_body(response), server_time(h, response), &answer, &why);

    if (st == TMK_OK) {
        tmk_fetch_got(&h->base, &answer);
    } else {
        fail(h, TMK_FETCH_FAILED, &why, 0);
    }
}

/* Azure Arc: whoever can read this file may have a token. */
static void on_challenge(http_fetch *h, const tmk_http_response *response) {
    tmk_str path = TMK_STR_INIT;
    tmk_error why = {0};
    tmk_status st = tmk_arc_key_path(tmk_http_header_get(response, "WWW-Authenticate"),
                                     h->base.credential->file, &path, &why);

    if (st == TMK_OK) {
        h->proof = tmk_secret_free(h->proof);
        st = read_file(h, arc_key_max, false, tmk_str_text(&path), &h->proof, &why);
    }
    if (st == TMK_OK) {
        h->step = step_key;
        tmk_fetch_wait(&h->base, 0);
    } else {
        fail(h, TMK_FETCH_FAILED, &why, 0);
    }
    tmk_str_clear(&path);
}

/* The token file of the cluster was about to be replaced: look once more. */
static bool may_renew_proof(http_fetch *h, const tmk_error_answer *answer) {
    static const int64_t outside_its_time = 700024;
    bool may = answer->code == outside_its_time && !h->proof_renewed;

    h->proof_renewed = true;
    return may;
}

static void on_other(http_fetch *h, const tmk_http_response *response) {
    refusal r = {.code = tmk_http_code(response)};
    tmk_token_trial trial = {.code = r.code};
    tmk_error why;

    tmk_error_answer_parse(tmk_http_body(response), &r.answer);
    tmk_scrub(r.answer.text, h->proof);
    tmk_scrub(r.answer.error, h->proof);
    if (may_renew_proof(h, &r.answer)) {
        tmk_fetch_wait(&h->base, 0);
        return;
    }
    r.retry_after = tmk_retry_after_parse(tmk_http_header_get(response, "Retry-After"),
                                          tmk_wall_now(tmk_loop_clock(h->base.host->loop)));
    describe(h, &r, tmk_token_trial_is_transient(&h->retry, &trial), &why);
    tmk_debug(&h->base.host->log, "auth.refused", "credential='%s' code=%d error='%s' text='%s'",
              title_of(h), r.code, r.answer.error, r.answer.text);
    on_refusal(h, &r, tmk_http_body(response), &why);
}

static void on_probed(http_fetch *h, const tmk_http_response *response) {
    tmk_error why;

    if (says_unreachable(tmk_http_code(response), tmk_http_body(response))) {
        (void)tmk_fail(&why, TMK_EAUTH, "http:403",
                       "%s: the address of the identity service is "
                       "unreachable",
                       title_of(h));
        fail(h, TMK_FETCH_UNAVAILABLE, &why, 0);
        return;
    }
    h->step = step_ask;
    tmk_fetch_wait(&h->base, 0);
}

static void on_answer(void *user, tmk_status status, const tmk_http_response *response,
                      const tmk_error *err) {
    http_fetch *h = user;

    h->call = NULL;
    if (status != TMK_OK) {
        on_silence(h, status, err);
    } else if (h->step == step_probe) {
        on_probed(h, response);
    } else if (tmk_http_code(response) == 200) {
        on_success(h, response);
    } else if (tmk_http_code(response) == 401 && h->step == step_ask &&
               h->base.credential->source == TMK_SOURCE_ARC) {
        on_challenge(h, response);
    } else {
        on_other(h, response);
    }
}
