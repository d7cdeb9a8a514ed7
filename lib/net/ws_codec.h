/*
 * WebSocket (RFC 6455), both sides: the upgrade and the frames.
 *
 * Pure: bytes in, bytes out; no I/O, no allocation but the caller's text, all
 * sizes bounded. Messages are treated as a stream of bytes, as AMQP over
 * WebSocket wants it: payload is handed on as it comes, whatever the frames.
 */
#ifndef TMK_NET_WS_CODEC_H
#define TMK_NET_WS_CODEC_H

#include "base/rng.h"
#include "base/str.h"

enum {
    TMK_WS_HEAD_MAX = 16 << 10, /* of the upgrade, request or response: more is refused */
    TMK_WS_FRAME_HEAD_MAX = 14,
    TMK_WS_CONTROL_MAX = 125,
    TMK_WS_KEY_SIZE = 25,   /* base64 of 16 bytes, and NUL */
    TMK_WS_ACCEPT_SIZE = 29 /* base64 of a SHA-1, and NUL */
};

#define TMK_WS_AMQP "AMQPWSB10"  /* the subprotocol */
#define TMK_WS_AMQP_OTHER "amqp" /* what the Go SDK's users call it; for servers */

typedef enum tmk_ws_side { TMK_WS_CLIENT, TMK_WS_SERVER } tmk_ws_side;

typedef enum tmk_ws_opcode {
    TMK_WS_CONTINUATION = 0,
    TMK_WS_TEXT = 1,
    TMK_WS_BINARY = 2,
    TMK_WS_CLOSE = 8,
    TMK_WS_PING = 9,
    TMK_WS_PONG = 10
} tmk_ws_opcode;

/* ---- upgrade ---- */

/* Size of the head up to and with its empty line; 0 while it is not complete. */
size_t tmk_ws_head_size(tmk_slice bytes);

/* Client: a fresh key, the request, and judging the answer's head. */
void tmk_ws_key_make(tmk_rng *rng, char out[TMK_WS_KEY_SIZE]);
void tmk_ws_request_write(tmk_str *out, const char *host, uint16_t port, const char *path,
                          const char *key);
/* OK only for a complete upgrade to TMK_WS_AMQP under this key; origin "http:<code>" for a refusal.
 */
tmk_status tmk_ws_response_check(tmk_slice head, const char *key, tmk_error *err);

/* Server: reading the request's head, and the two answers. */
typedef struct tmk_ws_request {
    tmk_slice path; /* with the query, where there is one */
    tmk_slice host;
    tmk_slice key;
    const char *protocol; /* the one of ours that it offers; NULL: none */
} tmk_ws_request;
tmk_status tmk_ws_request_parse(tmk_slice head, tmk_ws_request *out, tmk_error *err);
void tmk_ws_response_write(tmk_str *out, tmk_slice key, const char *protocol);
void tmk_ws_refusal_write(tmk_str *out, int code, const char *reason);

/* What the server must answer to a key. False when the hash cannot be made. */
bool tmk_ws_accept_make(tmk_slice key, char out[TMK_WS_ACCEPT_SIZE]);

/* ---- frames ---- */

typedef enum tmk_ws_event_kind {
    TMK_WS_EVENT_NONE, /* all bytes are used and nothing is complete */
    TMK_WS_EVENT_DATA, /* payload: some more bytes of the stream; may be a part of a frame */
    TMK_WS_EVENT_PING, /* answer with a pong that has this payload */
    TMK_WS_EVENT_PONG,
    TMK_WS_EVENT_CLOSE /* code, 1005 where none was given; nothing may follow */
} tmk_ws_event_kind;

typedef struct tmk_ws_event {
    tmk_ws_event_kind kind;
    tmk_slice
        payload; /* data: within the bytes given, unmasked there; control: within the reader */
    uint16_t code;
} tmk_ws_event;

typedef struct tmk_ws_reader {
    tmk_ws_side side; /* whose reader this is: a server's wants masked frames, a client's not */
    uint8_t head[TMK_WS_FRAME_HEAD_MAX];
    uint8_t head_size; /* bytes of the head seen so far */
    bool in_payload;
    bool in_message; /* a data message has begun and not ended */
    bool closed;
    uint64_t left; /* payload bytes still to come */
    uint64_t done; /* and seen: place in the mask */
    uint8_t control[TMK_WS_CONTROL_MAX];
} tmk_ws_reader;

void tmk_ws_reader_init(tmk_ws_reader *r, tmk_ws_side side);
/*
 * Takes *used of the bytes and tells one event. Call again with the rest until the kind is NONE.
 * EPROTO: the peer broke the protocol; the connection must end. Any cutting of the bytes gives
 * the same stream.
 */
tmk_status tmk_ws_read(tmk_ws_reader *r, uint8_t *bytes, size_t size, size_t *used,
                       tmk_ws_event *event, tmk_error *err);

/* Writes the head of a whole frame (FIN set); mask: NULL for a server. Returns its size. */
size_t tmk_ws_frame_head(uint8_t out[TMK_WS_FRAME_HEAD_MAX], tmk_ws_opcode opcode, uint64_t size,
                         const uint8_t mask[4]);
/* Masks or unmasks; place is that of the first byte within the payload. */
void tmk_ws_mask(uint8_t *bytes, size_t size, const uint8_t mask[4], uint64_t place);

#endif
