/* Addresses, headers, signatures. */
#include "checkpoint/blob_request.h"

#include <stdio.h>

#include "auth/connection_string.h"
#include "auth/credential.h"
#include "auth/local.h"
#include "auth/storage_key.h"
#include "base/alloc.h"
#include "base/status.h"
#include "base/uri.h"
#include "checkpoint/blob_names.h"

/* ---- the place ---- */

void tmk_blob_place_clear(tmk_blob_place *p) {
    tmk_free(p->origin);
    tmk_free(p->base_path);
    tmk_free(p->container);
    tmk_free(p->account);
    tmk_free(p->api_version);
    (void)tmk_secret_free(p->key);
    (void)tmk_secret_free(p->sas);
    *p = (tmk_blob_place){0};
}

static tmk_status no_memory(tmk_error *err) {
    return tmk_fail_retry(err, TMK_ENOMEM, "blob", "no memory for a request");
}

static tmk_status set_endpoint(tmk_blob_place *p, const char *url, bool secret_travels,
                               tmk_error *err) {
    tmk_slice whole = tmk_slice_str(url), path;
    tmk_uri uri;

    if (tmk_uri_parse(whole, &uri, NULL) < 0 || uri.host.size == 0 || uri.user.size > 0 ||
        uri.query.size > 0 ||
        !(tmk_slice_eq_nocase(uri.scheme, TMK_LIT("https")) ||
          tmk_slice_eq_nocase(uri.scheme, TMK_LIT("http")))) {
        return tmk_fail(err, TMK_EINVAL, "blob",
                        "the storage address is not valid; write it as "
                        "https://ACCOUNT.blob.core.windows.net");
    }
    if (secret_travels && tmk_slice_eq_nocase(uri.scheme, TMK_LIT("http")) &&
        !tmk_host_is_local(uri.host)) {
        return tmk_fail(err, TMK_EINVAL, "blob",
                        "signatures and tokens travel over https only; write https:// before "
                        "'%.*s'",
                        (int)uri.host.size, (const char *)uri.host.bytes);
    }
    path = uri.path;
    whole.size = path.size > 0 ? (size_t)(path.bytes - whole.bytes) : whole.size;
    while (path.size > 0 && path.bytes[path.size - 1] == '/') {
        path.size--;
    }
    p->origin = tmk_slice_dup(whole);
    p->base_path = tmk_slice_dup(path);
    return p->origin == NULL || p->base_path == NULL ? no_memory(err) : TMK_OK;
}

static tmk_status set_container(tmk_blob_place *p, const char *container, tmk_error *err) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t size = container == NULL ? 0 : strlen(container);

    if (size < 3 || size > 63 || strspn(container, allowed) != size || container[0] == '-') {
        return tmk_fail(err, TMK_EINVAL, "blob",
                        "a blob store needs the option 'container': 3 to 63 lower-case letters, "
                        "digits and '-'");
    }
    p->container = tmk_copy_str(container);
    return p->container == NULL ? no_memory(err) : TMK_OK;
}

static tmk_status from_string(tmk_blob_place *p, const char *text, tmk_error *err) {
    tmk_storage_string s;
    tmk_status st = tmk_storage_string_parse(tmk_slice_str(text), &s, err);

    if (st < 0) {
        return st;
    }
    st = set_endpoint(p, s.blob_endpoint, s.sas != NULL, err);
    if (st == TMK_OK && s.key != NULL) {
        p->key = tmk_secret_ref(s.key);
        p->account = tmk_copy_str(s.account);
        st = p->account == NULL ? no_memory(err) : TMK_OK;
    } else if (st == TMK_OK) {
        p->sas = tmk_secret_ref(s.sas);
    }
    tmk_storage_string_clear(&s);
    return st;
}

static tmk_status set_sas(tmk_blob_place *p, const tmk_secret *given, tmk_error *err) {
    tmk_slice text = tmk_secret_bytes(given);

    if (tmk_slice_starts(text, TMK_LIT("?"))) {
        text = tmk_slice_from(text, 1);
    }
    p->sas = tmk_secret_new(text);
    return p->sas == NULL ? no_memory(err) : TMK_OK;
}

static tmk_status from_credential(tmk_blob_place *p, const tmk_blob_client_options *o, bool *tokens,
                                  tmk_error *err) {
    tmk_credential *c = o->credential;
    tmk_status st;

    if (o->account_url == NULL || c == NULL) {
        return tmk_fail(err, TMK_EINVAL, "blob",
                        "a blob store needs a connection string, or the address of the account "
                        "and a credential");
    }
    st = set_endpoint(p, o->account_url, c->kind != TMK_CREDENTIAL_KEY, err);
    if (st < 0) {
        return st;
    }
    *tokens = c->kind != TMK_CREDENTIAL_KEY && c->kind != TMK_CREDENTIAL_SAS;
    if (c->kind == TMK_CREDENTIAL_SAS) {
        return set_sas(p, c->secret, err);
    }
    if (c->kind == TMK_CREDENTIAL_KEY) {
        p->account = tmk_copy_str(c->name);
        return p->account == NULL
                   ? no_memory(err)
                   : tmk_storage_key_decode(tmk_secret_bytes(c->secret), &p->key, err);
    }
    return TMK_OK;
}

tmk_status tmk_blob_place_init(tmk_blob_place *p, const tmk_blob_client_options *options,
                               bool *tokens, tmk_error *err) {
    tmk_status st;

    *p = (tmk_blob_place){0};
    *tokens = false;
    st = options->connection_string != NULL ? from_string(p, options->connection_string, err)
                                            : from_credential(p, options, tokens, err);
    if (st == TMK_OK) {
        st = set_container(p, options->container, err);
    }
    if (st == TMK_OK) {
        p->api_version =
            tmk_copy_str(options->api_version == NULL ? "2021-12-02" : options->api_version);
        st = p->api_version == NULL ? no_memory(err) : TMK_OK;
    }
    if (st < 0) {
        tmk_blob_place_clear(p);
    }
    return st;
}

/* ---- one request ---- */

void tmk_blob_text_clear(tmk_blob_text *t) {
    if (t->url.text != NULL) {
        tmk_wipe(t->url.text, t->url.size);
    }
    if (t->lines.text != NULL) {
        tmk_wipe(t->lines.text, t->lines.size);
    }
    tmk_str_clear(&t->url);
    tmk_str_clear(&t->lines);
    t->header_count = 0;
}

static void add(tmk_blob_text *t, const char *name, const char *value) {
    if (value == NULL) {
        return;
    }
    if (t->header_count == TMK_BLOB_HEADERS_MAX) {
        t->lines.failed = true;
        return;
    }
    t->places[t->header_count].name = t->lines.size;
    tmk_str_add(&t->lines, name);
    tmk_str_add_char(&t->lines, '\0');
    t->places[t->header_count++].value = t->lines.size;
    tmk_str_add(&t->lines, value);
    tmk_str_add_char(&t->lines, '\0');
}

/* The headers as they are now; to be called again after each further add(). */
static tmk_status settle(tmk_blob_text *t, tmk_error *err) {
    if (!tmk_str_ok(&t->lines) || !tmk_str_ok(&t->url)) {
        return no_memory(err);
    }
    for (size_t i = 0; i < t->header_count; i++) {
        t->headers[i].name = t->lines.text + t->places[i].name;
        t->headers[i].value = t->lines.text + t->places[i].value;
    }
    return TMK_OK;
}

static void add_condition(tmk_blob_text *t, const char *name, const char *etag) {
    char quoted[160];

    if (etag != NULL) {
        bool any = strcmp(etag, "*") == 0;
        (void)snprintf(quoted, sizeof quoted, any ? "%s" : "\"%s\"", etag);
        add(t, name, quoted);
    }
}

static void add_meta(tmk_blob_text *t, const tmk_blob_meta *meta) {
    const char *name, *value;
    char header[80];

    for (size_t i = 0; meta != NULL && tmk_blob_meta_next(meta, &i, &name, &value);) {
        (void)snprintf(header, sizeof header, "x-ms-meta-%s", name);
        add(t, header, value);
    }
}

static void add_headers(tmk_blob_text *t, const tmk_blob_place *p, const tmk_blob_ask *ask,
                        tmk_wall when, const char *id) {
    char date[32];

    tmk_http_date_format(when, date);
    add(t, "x-ms-date", date);
    add(t, "x-ms-version", p->api_version);
    add(t, "x-ms-client-request-id", id);
    add(t, "x-ms-blob-type", ask->put ? "BlockBlob" : NULL);
    add(t, "x-ms-lease-action", ask->lease_action);
    add(t, "x-ms-lease-id", ask->lease_id);
    add(t, "x-ms-proposed-lease-id", ask->proposed_id);
    add(t, "x-ms-lease-duration", ask->lease_duration);
    add(t, "x-ms-lease-break-period", ask->break_period);
    add_condition(t, "If-Match", ask->if_match);
    add_condition(t, "If-None-Match", ask->if_none_match);
    add_meta(t, ask->meta);
}

static void add_url(tmk_blob_text *t, const tmk_blob_place *p, const tmk_blob_ask *ask,
                    tmk_slice *path) {
    size_t begin;

    tmk_str_add(&t->url, p->origin);
    begin = t->url.size;
    tmk_str_add(&t->url, p->base_path);
    tmk_str_add_char(&t->url, '/');
    tmk_str_add(&t->url, ask->account ? "" : p->container);
    if (ask->name != NULL) {
        tmk_str_add_char(&t->url, '/');
        tmk_blob_path_add(&t->url, tmk_slice_str(ask->name));
    }
    path->size = t->url.size - begin;
    if (ask->query != NULL) {
        tmk_str_addf(&t->url, "?%s", ask->query);
    }
    if (p->sas != NULL) {
        tmk_str_add_char(&t->url, ask->query == NULL ? '?' : '&');
        tmk_str_add_slice(&t->url, tmk_secret_bytes(p->sas));
    }
    path->bytes = tmk_str_ok(&t->url) ? (const uint8_t *)t->url.text + begin : NULL;
}

static tmk_status sign(const tmk_blob_text *t, const tmk_blob_place *p, const tmk_blob_ask *ask,
                       tmk_slice path, tmk_str *out, tmk_error *err) {
    tmk_storage_header headers[TMK_BLOB_HEADERS_MAX];
    tmk_storage_request r = {.method = ask->method,
                             .path = path,
                             .query = tmk_slice_str(ask->query),
                             .headers = headers,
                             .header_count = t->header_count,
                             .content_length = ask->body.size};

    for (size_t i = 0; i < t->header_count; i++) {
        headers[i] = (tmk_storage_header){t->headers[i].name, t->headers[i].value};
    }
    return tmk_storage_sign(&r, p->account, p->key, out, err);
}

static tmk_status authorize(const tmk_blob_text *t, const tmk_blob_place *place,
                            const tmk_blob_ask *ask, tmk_slice path, const tmk_secret *token,
                            tmk_str *out, tmk_error *err) {
    if (place->key != NULL) {
        return sign(t, place, ask, path, out, err);
    }
    if (token != NULL) {
        tmk_str_add(out, "Bearer ");
        tmk_str_add_slice(out, tmk_secret_bytes(token));
    }
    return tmk_str_ok(out) ? TMK_OK : no_memory(err);
}

tmk_status tmk_blob_text_make(tmk_blob_text *t, const tmk_blob_place *place,
                              const tmk_blob_ask *ask, tmk_wall when, const char *id,
                              const tmk_secret *token, tmk_error *err) {
    tmk_str authorization = TMK_STR_INIT;
    tmk_slice path;
    tmk_status st;

    *t = (tmk_blob_text){.url = TMK_STR_INIT, .lines = TMK_STR_INIT};
    add_url(t, place, ask, &path);
    add_headers(t, place, ask, when, id);
    st = settle(t, err); /* the signature covers the headers so far */
    if (st == TMK_OK) {
        st = authorize(t, place, ask, path, token, &authorization, err);
    }
    if (st == TMK_OK && authorization.size > 0) {
        add(t, "Authorization", tmk_str_text(&authorization));
        st = settle(t, err);
    }
    if (authorization.text != NULL) {
        tmk_wipe(authorization.text, authorization.size);
    }
    tmk_str_clear(&authorization);
    return st;
}
