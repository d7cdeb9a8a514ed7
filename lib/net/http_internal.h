/* Inside the HTTP client: a response while it comes in, and the options of a request. */
#ifndef TMK_NET_HTTP_INTERNAL_H
#define TMK_NET_HTTP_INTERNAL_H

#include "base/str.h"
#include "net/curl_common.h"
#include "net/http.h"

struct tmk_http_response {
    int code;
    tmk_str headers; /* name NUL value NUL, name NUL value NUL ... */
    tmk_str body;
    size_t header_bytes; /* of all lines so far, those of interim answers too */
    size_t body_max;
    bool head_done;
    tmk_status refused; /* why we stopped it: ELIMIT, EPROTO, ENOMEM; OK: we did not */
};

void tmk_http_response_clear(tmk_http_response *r);
CURLcode tmk_http_response_attach(tmk_http_response *r, CURL *easy); /* it will be filled */

tmk_status tmk_http_request_check(const tmk_http_request *request, tmk_error *err);
/* What curl keeps pointers to while a request is under way. It may hold tokens: it is wiped. */
typedef struct tmk_http_sent {
    struct curl_slist *headers;
    uint8_t *body;
    size_t body_size;
} tmk_http_sent;

void tmk_http_sent_clear(tmk_http_sent *sent);
/* Method, URL, headers, body. *sent is to be cleared after the transfer, also when this fails. */
CURLcode tmk_http_request_apply(const tmk_http_request *request, CURL *easy, tmk_http_sent *sent);

#endif
