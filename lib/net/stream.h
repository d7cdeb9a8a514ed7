/*
 * A byte stream to a server, whatever lies under it: TCP, TLS, WebSocket, with
 * or without a proxy. Every layer has this shape, so layers can be stacked.
 *
 * Threads: the loop's. Nothing here blocks.
 */
#ifndef TMK_NET_STREAM_H
#define TMK_NET_STREAM_H

#include "net/loop.h"

typedef struct tmk_stream tmk_stream;

typedef struct tmk_stream_ops {
    /*
     * >= 0 through *got: that many bytes. AGAIN: nothing now, `ready` will tell. EOF: the other
     * side has ended it. A failure: it is broken.
     */
    tmk_status (*read)(tmk_stream *s, uint8_t *into, size_t room, size_t *got, tmk_error *err);
    /* Takes what it can; AGAIN when it takes nothing. Bytes not taken may be offered again from
     * another address: layers that cannot have that copy them. */
    tmk_status (*write)(tmk_stream *s, const uint8_t *from, size_t size, size_t *taken,
                        tmk_error *err);
    void (*free)(tmk_stream *s); /* closes at once, also while opening */
} tmk_stream_ops;

struct tmk_stream {
    const tmk_stream_ops *ops;
    /*
     * Set by the user of the stream. opened comes exactly once unless the stream is freed first,
     * and never from inside tmk_stream_open_*(): OK, or why not. ready comes when a read or a
     * write that said AGAIN is worth another try, or when read has bytes.
     */
    void (*opened)(tmk_stream *s, tmk_status status, const tmk_error *err);
    void (*ready)(tmk_stream *s);
    void *user;
};

/*
 * The custom endpoint (dial_host) changes only where bytes go: DNS, TCP, SNI, the name that the
 * certificate must bear, and the Host of a WebSocket request. What is said inside AMQP stays.
 */
typedef struct tmk_stream_options {
    const char *host; /* the service */
    uint16_t port;
    const char *dial_host; /* custom endpoint; NULL: host */
    uint16_t dial_port;    /* 0: port */
    bool tls;
    bool websocket;             /* upgrade to AMQP over WebSocket */
    const char *websocket_path; /* NULL: "/$servicebus/websocket" */
    const char *tls_ca_file;    /* NULL: the system's */
    const char *proxy; /* "http://user:password@host:port"; NULL: none; "env": the environment's */
    int64_t connect_timeout_ms; /* name, TCP, proxy, TLS and upgrade together; 0: 10000 */
} tmk_stream_options;

/*
 * Opens; *out is usable when `opened` says OK; set its functions before the next turn of the loop.
 * It may be freed at any time, also from inside its own callbacks. What write has taken is sent
 * without further calls; ready comes again and again while read may have bytes, so whoever reads
 * less than all at once is told next turn.
 */
tmk_status tmk_stream_open(tmk_loop *loop, const tmk_stream_options *options, tmk_stream **out,
                           tmk_error *err);

static inline tmk_status tmk_stream_read(tmk_stream *s, uint8_t *into, size_t room, size_t *got,
                                         tmk_error *err) {
    return s->ops->read(s, into, room, got, err);
}
static inline tmk_status tmk_stream_write(tmk_stream *s, const uint8_t *from, size_t size,
                                          size_t *taken, tmk_error *err) {
    return s->ops->write(s, from, size, taken, err);
}
tmk_stream *tmk_stream_free(tmk_stream *s); /* NULL is fine; returns NULL */

#endif
