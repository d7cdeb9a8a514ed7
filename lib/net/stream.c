/* Checks what is asked for and stacks the layers. See stream.h. */
#include "net/stream.h"

#include "base/status.h"
#include "net/curl_common.h"
#include "net/stream_internal.h"

static bool is_path(const char *path) {
    if (path[0] != '/') {
        return false;
    }
    for (const char *c = path; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f) {
            return false;
        }
    }
    return true;
}

static tmk_status check(const tmk_stream_options *o, tmk_error *err) {
    if (o->host == NULL || o->host[0] == '\0' || tmk_stream_dial_port(o) == 0) {
        return tmk_fail(err, TMK_EINVAL, "net", "a connection needs a host and a port");
    }
    if (o->websocket_path != NULL && !is_path(o->websocket_path)) {
        return tmk_fail(err, TMK_EINVAL, "net",
                        "the WebSocket path is not valid; it begins with '/' and has no blanks");
    }
    return tmk_curl_proxy_check(o->proxy, err);
}

tmk_status tmk_stream_open(tmk_loop *loop, const tmk_stream_options *options, tmk_stream **out,
                           tmk_error *err) {
    tmk_stream *bottom = NULL;
    tmk_stream *top = NULL;
    tmk_status st = check(options, err);

    if (st == TMK_OK) {
        st = tmk_stream_curl_open(loop, options, &bottom, err);
    }
    if (st == TMK_OK && options->websocket) {
        st = tmk_stream_ws_open(loop, bottom, options, &top, err);
    } else {
        top = bottom;
    }
    if (st < 0) {
        bottom = tmk_stream_free(bottom);
        return st;
    }
    *out = top;
    return TMK_OK;
}

tmk_stream *tmk_stream_free(tmk_stream *s) {
    if (s != NULL) {
        s->ops->free(s);
    }
    return NULL;
}
