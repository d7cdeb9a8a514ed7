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
/* Method, URL, headers, body; *headers is to be freed with curl_slist_free_all after the transfer.
 */
CURLcode tmk_http_request_apply(const tmk_http_request *request, CURL *easy,
                                struct curl_slist **headers);

#endif
