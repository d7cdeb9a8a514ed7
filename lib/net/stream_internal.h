/* The layers of a stream. Each is one of its own; tmk_stream_open() stacks them. */
#ifndef TMK_NET_STREAM_INTERNAL_H
#define TMK_NET_STREAM_INTERNAL_H

#include "net/stream.h"

enum {
    TMK_STREAM_CONNECT_MS = 10000,
    TMK_STREAM_CONNECT_MAX_MS = 3600000,
    TMK_STREAM_STAGE = 16 << 10
};

/* TCP, with or without TLS and a proxy, by libcurl. */
tmk_status tmk_stream_curl_open(tmk_loop *loop, const tmk_stream_options *options, tmk_stream **out,
                                tmk_error *err);
/* AMQP over WebSocket on top of `inner`, which is opening; owned from an OK on. */
tmk_status tmk_stream_ws_open(tmk_loop *loop, tmk_stream *inner, const tmk_stream_options *options,
                              tmk_stream **out, tmk_error *err);

static inline const char *tmk_stream_dial_host(const tmk_stream_options *o) {
    return o->dial_host != NULL ? o->dial_host : o->host;
}
static inline uint16_t tmk_stream_dial_port(const tmk_stream_options *o) {
    return o->dial_port != 0 ? o->dial_port : o->port;
}
static inline int64_t tmk_stream_timeout_ms(const tmk_stream_options *o) {
    int64_t ms = o->connect_timeout_ms > 0 ? o->connect_timeout_ms : TMK_STREAM_CONNECT_MS;

    return ms < TMK_STREAM_CONNECT_MAX_MS ? ms : TMK_STREAM_CONNECT_MAX_MS;
}

#endif
