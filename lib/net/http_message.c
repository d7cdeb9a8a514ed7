/* A request onto a curl handle, and a response out of it. See http_internal.h. */
#include "net/http_internal.h"

#include <strings.h>

#include "base/alloc.h"
#include "base/secret.h"
#include "base/status.h"
#include "base/uri.h"

/* A method or a header's name: letters, digits and a few signs, nothing that could end a line. */
static bool is_token(const char *text) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "!#$%&'*+-.^_`|~";

    return text != NULL && text[0] != '\0' && text[strspn(text, allowed)] == '\0';
}

static bool is_value(const char *text) {
    for (const char *c = text; c != NULL && *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' && *c != '\t') {
            return false;
        }
    }
    return text != NULL;
}

/* ---- the response ---- */

void tmk_http_response_clear(tmk_http_response *r) {
    tmk_str_clear(&r->headers);
    tmk_str_wipe(&r->body); /* it may be a token */
    *r = (tmk_http_response){0};
}

static bool count(tmk_http_response *r, size_t have, size_t more, size_t limit) {
    if (more > limit - have) {
        r->refused = TMK_ELIMIT;
    }
    return r->refused == TMK_OK;
}

/*
 * The parts of "Name: value\r\n". What could be taken for another line when it is used again (a
 * bare CR, a folded line) spoils the whole answer.
 */
static void keep_header(tmk_http_response *r, tmk_slice line) {
    size_t begin = r->headers.size;
    size_t middle = 0;
    tmk_slice value = line;
    tmk_slice name = tmk_slice_cut(&value, ':', NULL);

    tmk_str_add_slice(&r->headers, name);
    tmk_str_add_char(&r->headers, '\0');
    middle = r->headers.size;
    tmk_str_add_slice(&r->headers, tmk_slice_trim(value));
    tmk_str_add_char(&r->headers, '\0');
    if (!tmk_str_ok(&r->headers)) {
        r->refused = TMK_ENOMEM;
    } else if (memchr(line.bytes, '\0', line.size) != NULL || !is_token(r->headers.text + begin) ||
               !is_value(r->headers.text + middle)) {
        r->refused = TMK_EPROTO;
    }
}

static size_t on_header(char *bytes, size_t unit, size_t units, void *user) {
    tmk_http_response *r = user;
    size_t size = unit * units;
    tmk_slice line = tmk_slice_of(bytes, size);

    if (!count(r, r->header_bytes, size, TMK_HTTP_HEADERS_MAX)) {
        return 0;
    }
    r->header_bytes += size;
    if (tmk_slice_starts(line, TMK_LIT("HTTP/"))) {
        tmk_str_reset(&r->headers); /* what came before was an interim answer */
        r->head_done = false;
    } else if (tmk_slice_trim(line).size == 0) {
        r->head_done = true;
    } else if (!r->head_done) { /* after it: trailers, which nobody may pass off as headers */
        keep_header(r, line);
    }
    return r->refused == TMK_OK ? size : 0;
}

static size_t on_body(char *bytes, size_t unit, size_t units, void *user) {
    tmk_http_response *r = user;
    size_t size = unit * units;

    if (!count(r, r->body.size, size, r->body_max)) {
        return 0;
    }
    tmk_str_add_slice(&r->body, tmk_slice_of(bytes, size));
    if (!tmk_str_ok(&r->body)) {
        r->refused = TMK_ENOMEM;
        return 0;
    }
    return size;
}

#define SET(option, value) (code = code != CURLE_OK ? code : curl_easy_setopt(easy, option, value))

CURLcode tmk_http_response_attach(tmk_http_response *r, CURL *easy) {
    CURLcode code = CURLE_OK;

    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, r);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, r);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    return code;
}

int tmk_http_code(const tmk_http_response *r) {
    return r->code;
}

tmk_slice tmk_http_body(const tmk_http_response *r) {
    return tmk_str_slice(&r->body);
}

bool tmk_http_header_next(const tmk_http_response *r, size_t *place, tmk_http_header *out) {
    if (*place >= r->headers.size) {
        return false;
    }
    out->name = r->headers.text + *place;
    *place += strlen(out->name) + 1;
    out->value = r->headers.text + *place;
    *place += strlen(out->value) + 1;
    return true;
}

const char *tmk_http_header_get(const tmk_http_response *r, const char *name) {
    tmk_http_header h;

    for (size_t place = 0; tmk_http_header_next(r, &place, &h);) {
        if (strcasecmp(h.name, name) == 0) {
            return h.value;
        }
    }
    return NULL;
}

/* ---- the request ---- */

tmk_status tmk_http_request_check(const tmk_http_request *request, tmk_error *err) {
    tmk_uri uri;

    if (!is_token(request->method)) {
        return tmk_fail(err, TMK_EINVAL, "http", "the method of a request is not valid");
    }
    if (tmk_uri_parse(tmk_slice_str(request->url), &uri, NULL) < 0 || uri.user.size > 0 ||
        !(tmk_slice_eq(uri.scheme, TMK_LIT("http")) ||
          tmk_slice_eq(uri.scheme, TMK_LIT("https")))) {
        return tmk_fail(err, TMK_EINVAL, "http",
                        "the address of a request is not valid; write it as https://host/path");
    }
    for (size_t i = 0; i < request->header_count; i++) {
        if (!is_token(request->headers[i].name) || !is_value(request->headers[i].value)) {
            return tmk_fail(err, TMK_EINVAL, "http", "header %zu of a request is not valid", i);
        }
    }
    return TMK_OK;
}

static bool add_line(struct curl_slist **list, const char *line) {
    struct curl_slist *longer = line == NULL ? NULL : curl_slist_append(*list, line);

    if (longer != NULL) {
        *list = longer;
    }
    return longer != NULL;
}

static bool add_header(struct curl_slist **list, const tmk_http_header *h) {
    /* curl's way to write a header without a value is a semicolon. */
    char *line = h->value[0] == '\0' ? tmk_str_join(h->name, ";")
                                     : tmk_str_format("%s: %s", h->name, h->value);
    bool added = add_line(list, line);

    if (line != NULL) {
        tmk_wipe(line, strlen(line)); /* it may be a token */
    }
    tmk_free(line);
    return added;
}

static bool has_header(const tmk_http_request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool build_headers(const tmk_http_request *request, struct curl_slist **list) {
    bool ok = add_line(list, "Expect:");

    if (!has_header(request, "Content-Type")) {
        ok = ok && add_line(list, "Content-Type:"); /* curl would call any body a form */
    }
    if (!has_header(request, "Accept")) {
        ok = ok && add_line(list, "Accept:");
    }
    for (size_t i = 0; ok && i < request->header_count; i++) {
        ok = add_header(list, &request->headers[i]);
    }
    return ok;
}

static bool sends_body(const tmk_http_request *request) {
    return request->body.size > 0 || strcmp(request->method, "PUT") == 0 ||
           strcmp(request->method, "POST") == 0 || strcmp(request->method, "PATCH") == 0;
}

void tmk_http_sent_clear(tmk_http_sent *sent) {
    for (struct curl_slist *line = sent->headers; line != NULL; line = line->next) {
        tmk_wipe(line->data, strlen(line->data));
    }
    curl_slist_free_all(sent->headers);
    tmk_wipe(sent->body, sent->body_size);
    tmk_free(sent->body);
    *sent = (tmk_http_sent){0};
}

static CURLcode apply_body(tmk_slice body, CURL *easy, tmk_http_sent *sent) {
    CURLcode code = CURLE_OK;

    sent->body = tmk_copy(body.bytes, body.size);
    if (sent->body == NULL) {
        return CURLE_OUT_OF_MEMORY;
    }
    sent->body_size = body.size;
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    SET(CURLOPT_POSTFIELDS, sent->body);
    return code;
}

CURLcode tmk_http_request_apply(const tmk_http_request *request, CURL *easy, tmk_http_sent *sent) {
    CURLcode code = build_headers(request, &sent->headers) ? CURLE_OK : CURLE_OUT_OF_MEMORY;

    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, sent->headers);
    if (sends_body(request)) {
        code = code != CURLE_OK ? code : apply_body(request->body, easy, sent);
    } else if (strcmp(request->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    SET(CURLOPT_CUSTOMREQUEST, request->method);
    return code;
}
