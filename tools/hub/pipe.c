/* See pipe.h. */
#include "hub/pipe.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/file.h"

tmk_status tmk_hub_pipe_open(tmk_hub_pipe *p, int fd, tmk_hub_tls *tls, bool websocket) {
    memset(p, 0, sizeof *p);
    p->fd = fd;
    p->tls = tls;
    p->sniffed = tls == NULL;
    p->ws = websocket ? tmk_hub_ws_new() : NULL;
    if (websocket && p->ws == NULL) {
        tmk_hub_pipe_close(p);
        return TMK_ENOMEM;
    }
    return TMK_OK;
}

void tmk_hub_pipe_close(tmk_hub_pipe *p) {
    if (p->ssl != NULL) {
        tmk_hub_tls_end(p->ssl);
        p->ssl = NULL;
    }
    p->ws = tmk_hub_ws_free(p->ws);
    p->fd = tmk_fd_close(p->fd);
}

/* ---- the lower layer ---- */

enum { TLS_HANDSHAKE = 0x16 };

/* The first byte tells TLS from all that is spoken in the open here. */
static tmk_status sniff(tmk_hub_pipe *p) {
    uint8_t first = 0;
    ssize_t got = recv(p->fd, &first, 1, MSG_PEEK);

    if (got == 0) {
        return TMK_EOF;
    }
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? TMK_AGAIN : TMK_EIO;
    }
    if (first == TLS_HANDSHAKE) {
        p->ssl = tmk_hub_tls_accept(p->tls, p->fd);
        if (p->ssl == NULL) {
            return TMK_ENOMEM;
        }
    }
    p->sniffed = true;
    return TMK_OK;
}

tmk_status tmk_hub_lower_read(tmk_hub_pipe *p, uint8_t *into, size_t room, size_t *got) {
    ssize_t n;

    if (!p->sniffed) {
        tmk_status st = sniff(p);
        if (st != TMK_OK) {
            return st;
        }
    }
    if (p->ssl != NULL) {
        return tmk_hub_tls_read(p->ssl, into, room, got);
    }
    n = recv(p->fd, into, room, 0);
    if (n == 0) {
        return TMK_EOF;
    }
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? TMK_AGAIN : TMK_EIO;
    }
    *got = (size_t)n;
    return TMK_OK;
}

tmk_status tmk_hub_lower_write(tmk_hub_pipe *p, const uint8_t *from, size_t size, size_t *taken) {
    ssize_t n;

    if (p->ssl != NULL) {
        return tmk_hub_tls_write(p->ssl, from, size, taken);
    }
    n = send(p->fd, from, size, MSG_NOSIGNAL);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? TMK_AGAIN : TMK_EIO;
    }
    *taken = (size_t)n;
    return TMK_OK;
}

/* ---- the whole ---- */

tmk_status tmk_hub_pipe_read(tmk_hub_pipe *p, uint8_t *into, size_t room, size_t *got) {
    return p->ws != NULL ? tmk_hub_ws_read(p, into, room, got)
                         : tmk_hub_lower_read(p, into, room, got);
}

tmk_status tmk_hub_pipe_write(tmk_hub_pipe *p, const uint8_t *from, size_t size, size_t *taken) {
    return p->ws != NULL ? tmk_hub_ws_write(p, from, size, taken)
                         : tmk_hub_lower_write(p, from, size, taken);
}

tmk_status tmk_hub_pipe_flush(tmk_hub_pipe *p) {
    return p->ws != NULL ? tmk_hub_ws_flush(p) : TMK_OK;
}

bool tmk_hub_pipe_holds(const tmk_hub_pipe *p) {
    return p->ssl != NULL && tmk_hub_tls_holds(p->ssl);
}
