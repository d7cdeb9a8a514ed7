/*
 * A socket and what lies between it and the bytes: nothing, TLS, WebSocket,
 * or WebSocket in TLS. Nothing here blocks, nothing raises SIGPIPE.
 *
 * Threads: the loop's.
 */
#ifndef TMK_HUB_PIPE_H
#define TMK_HUB_PIPE_H

#include "base/str.h"

enum { TMK_HUB_PIPE_ROOM = 64 << 10 }; /* offer at least so much room for reading */

typedef struct tmk_hub_tls tmk_hub_tls; /* a certificate and its key, for any number of pipes */
tmk_status tmk_hub_tls_new(const char *cert_file, const char *key_file, tmk_hub_tls **out,
                           tmk_error *err);
tmk_hub_tls *tmk_hub_tls_free(tmk_hub_tls *t); /* NULL is fine; returns NULL */

typedef struct tmk_hub_ws tmk_hub_ws;

typedef struct tmk_hub_pipe {
    int fd;
    tmk_hub_tls *tls; /* the peer may speak TLS: its first byte tells. NULL: it may not */
    void *ssl;        /* it does */
    bool sniffed;
    tmk_hub_ws *ws; /* NULL: no WebSocket */
} tmk_hub_pipe;

/* Takes fd over, also when it fails. tls is borrowed. */
tmk_status tmk_hub_pipe_open(tmk_hub_pipe *p, int fd, tmk_hub_tls *tls, bool websocket);
void tmk_hub_pipe_close(tmk_hub_pipe *p); /* twice is fine */

/* OK with *got > 0; AGAIN; EOF; or EIO. */
tmk_status tmk_hub_pipe_read(tmk_hub_pipe *p, uint8_t *into, size_t room, size_t *got);
/* OK with *taken > 0; AGAIN; or EIO. What is offered again begins with the same bytes. */
tmk_status tmk_hub_pipe_write(tmk_hub_pipe *p, const uint8_t *from, size_t size, size_t *taken);
/* Sends what the pipe itself still holds. OK: nothing is left; AGAIN; EIO. */
tmk_status tmk_hub_pipe_flush(tmk_hub_pipe *p);
/* Bytes have been read from the socket that tmk_hub_pipe_read() has not given yet: do not wait for
 * the socket. */
bool tmk_hub_pipe_holds(const tmk_hub_pipe *p);

/* ---- the layers, for pipe.c ---- */
void *tmk_hub_tls_accept(tmk_hub_tls *t, int fd); /* an SSL; NULL: out of memory */
void tmk_hub_tls_end(void *ssl);
tmk_status tmk_hub_tls_read(void *ssl, uint8_t *into, size_t room, size_t *got);
tmk_status tmk_hub_tls_write(void *ssl, const uint8_t *from, size_t size, size_t *taken);
bool tmk_hub_tls_holds(const void *ssl);

tmk_hub_ws *tmk_hub_ws_new(void);
tmk_hub_ws *tmk_hub_ws_free(tmk_hub_ws *w);
/* What is below the WebSocket. */
tmk_status tmk_hub_lower_read(tmk_hub_pipe *p, uint8_t *into, size_t room, size_t *got);
tmk_status tmk_hub_lower_write(tmk_hub_pipe *p, const uint8_t *from, size_t size, size_t *taken);
tmk_status tmk_hub_ws_read(tmk_hub_pipe *p, uint8_t *into, size_t room, size_t *got);
tmk_status tmk_hub_ws_write(tmk_hub_pipe *p, const uint8_t *from, size_t size, size_t *taken);
tmk_status tmk_hub_ws_flush(tmk_hub_pipe *p);

#endif
