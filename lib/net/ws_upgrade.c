/* The HTTP part of WebSocket: key, upgrade request, response, refusal. Pure. See ws_codec.h. */
#include "net/ws_codec.h"

#include <stdio.h>

#include <openssl/evp.h>

#include "base/status.h"

static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */

size_t tmk_ws_head_size(tmk_slice bytes) {
    const uint8_t *end = bytes.size == 0 ? NULL : memmem(bytes.bytes, bytes.size, "\r\n\r\n", 4);

    return end == NULL ? 0 : (size_t)(end - bytes.bytes) + 4;
}

void tmk_ws_key_make(tmk_rng *rng, char out[TMK_WS_KEY_SIZE]) {
    uint8_t nonce[16];

    tmk_rng_bytes(rng, nonce, sizeof nonce);
    (void)EVP_EncodeBlock((unsigned char *)out, nonce, sizeof nonce);
}

bool tmk_ws_accept_make(tmk_slice key, char out[TMK_WS_ACCEPT_SIZE]) {
    uint8_t text[128];
    uint8_t hash[EVP_MAX_MD_SIZE];

    if (key.size > sizeof text - (sizeof magic - 1)) {
        return false;
    }
    if (key.size > 0) {
        memcpy(text, key.bytes, key.size);
    }
    memcpy(text + key.size, magic, sizeof magic - 1);
    if (EVP_Digest(text, key.size + sizeof magic - 1, hash, NULL, EVP_sha1(), NULL) != 1) {
        return false;
    }
    (void)EVP_EncodeBlock((unsigned char *)out, hash, 20);
    return true;
}

void tmk_ws_request_write(tmk_str *out, const char *host, uint16_t port, const char *path,
                          const char *key) {
    bool v6 = strchr(host, ':') != NULL;

    tmk_str_addf(out, "GET %s HTTP/1.1\r\nHost: %s%s%s", path, v6 ? "[" : "", host, v6 ? "]" : "");
    if (port != 0) {
        tmk_str_addf(out, ":%u", port);
    }
    tmk_str_addf(out,
                 "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: " TMK_WS_AMQP "\r\n\r\n",
                 key);
}

/* ---- reading heads ---- */

static bool next_line(tmk_slice *rest, tmk_slice *line) {
    bool found = false;

    *line = tmk_slice_cut(rest, '\n', &found);
    if (found && tmk_slice_ends(*line, TMK_LIT("\r"))) {
        line->size--;
        return line->size > 0;
    }
    return false;
}

/* The next header of this name; *rest moves on behind it. */
static bool next_header(tmk_slice *rest, tmk_slice name, tmk_slice *value) {
    tmk_slice line;

    while (next_line(rest, &line)) {
        bool found = false;
        tmk_slice own = tmk_slice_cut(&line, ':', &found);

        if (found && tmk_slice_eq_nocase(own, name)) {
            *value = tmk_slice_trim(line);
            return true;
        }
    }
    return false;
}

/* The one header of this name: twice is as bad as not at all. */
static bool only_header(tmk_slice lines, tmk_slice name, tmk_slice *value) {
    tmk_slice second;

    return next_header(&lines, name, value) && !next_header(&lines, name, &second);
}

/* A list, over one or several lines, holds the token. */
static bool has_token(tmk_slice lines, tmk_slice name, tmk_slice token) {
    tmk_slice list;

    while (next_header(&lines, name, &list)) {
        for (bool more = true; more;) {
            if (tmk_slice_eq_nocase(tmk_slice_trim(tmk_slice_cut(&list, ',', &more)), token)) {
                return true;
            }
        }
    }
    return false;
}

static bool is_upgrade(tmk_slice lines) {
    return has_token(lines, TMK_LIT("Upgrade"), TMK_LIT("websocket")) &&
           has_token(lines, TMK_LIT("Connection"), TMK_LIT("Upgrade"));
}

static tmk_status refused(int64_t code, tmk_error *err) {
    char origin[32];
    tmk_status st = code == 401 || code == 403 || code == 407 ? TMK_EAUTH
                    : code == 404 || code == 410              ? TMK_ENOTFOUND
                    : code == 429 || code == 503              ? TMK_EBUSY
                    : code >= 500                             ? TMK_EREMOTE
                                                              : TMK_EPROTO;

    (void)snprintf(origin, sizeof origin, "http:%d", (int)code);
    if (st == TMK_EBUSY || st == TMK_EREMOTE) {
        return tmk_fail_retry(err, st, origin, "the server refused the WebSocket: HTTP %d",
                              (int)code);
    }
    return tmk_fail(err, st, origin, "the server refused the WebSocket: HTTP %d", (int)code);
}

static tmk_status bad_answer(tmk_error *err, const char *what) {
    return tmk_fail(err, TMK_EPROTO, "websocket", "the answer to the WebSocket request %s", what);
}

tmk_status tmk_ws_response_check(tmk_slice head, const char *key, tmk_error *err) {
    tmk_slice lines = head;
    tmk_slice line = {NULL, 0};
    tmk_slice value = {NULL, 0};
    char accept[TMK_WS_ACCEPT_SIZE];
    int64_t code = 0;

    if (!next_line(&lines, &line) || !tmk_slice_starts(line, TMK_LIT("HTTP/1.1 ")) ||
        !tmk_slice_int64(tmk_slice_of(line.bytes + 9, line.size < 12 ? 0 : 3), &code) ||
        code < 100) {
        return bad_answer(err, "is not HTTP/1.1; is this the WebSocket port?");
    }
    if (code != 101) {
        return refused(code, err);
    }
    if (!is_upgrade(lines)) {
        return bad_answer(err, "is no upgrade");
    }
    if (!tmk_ws_accept_make(tmk_slice_str(key), accept)) {
        return tmk_fail(err, TMK_ENOMEM, "websocket", "SHA-1 is not available");
    }
    if (!only_header(lines, TMK_LIT("Sec-WebSocket-Accept"), &value) ||
        !tmk_slice_eq(value, tmk_slice_str(accept))) {
        return bad_answer(err, "has a wrong accept key");
    }
    if (!only_header(lines, TMK_LIT("Sec-WebSocket-Protocol"), &value) ||
        !tmk_slice_eq(value, TMK_LIT(TMK_WS_AMQP))) {
        return bad_answer(err, "does not agree to " TMK_WS_AMQP);
    }
    if (next_header(&lines, TMK_LIT("Sec-WebSocket-Extensions"), &value)) {
        return bad_answer(err, "demands an extension");
    }
    return TMK_OK;
}

static tmk_status bad_request(tmk_error *err, const char *what) {
    return tmk_fail(err, TMK_EPROTO, "websocket", "the WebSocket request %s", what);
}

static bool is_key(tmk_slice key) {
    for (size_t i = 0; i < key.size; i++) {
        uint8_t c = key.bytes[i];
        bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') ||
                      c == '+' || c == '/';

        if (i < 22 ? !letter : c != '=') {
            return false;
        }
    }
    return key.size == TMK_WS_KEY_SIZE - 1;
}

/* "/path", or with "https://host" in front as the Java SDK sends it; empty: neither. */
static tmk_slice path_of(tmk_slice target) {
    static const char *const schemes[] = {"https://", "http://", "wss://", "ws://"};

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (tmk_slice_starts(target, tmk_slice_str(schemes[i]))) {
            target = tmk_slice_from(target, strlen(schemes[i]));
            while (target.size > 0 && target.bytes[0] != '/') {
                target = tmk_slice_from(target, 1);
            }
            return target;
        }
    }
    return target.size > 0 && target.bytes[0] == '/' ? target : (tmk_slice){NULL, 0};
}

tmk_status tmk_ws_request_parse(tmk_slice head, tmk_ws_request *out, tmk_error *err) {
    tmk_ws_request request = {.protocol = NULL};
    tmk_slice lines = head;
    tmk_slice line = {NULL, 0};
    tmk_slice version = {NULL, 0};
    static const char *const ours[] = {TMK_WS_AMQP, TMK_WS_AMQP_OTHER};

    if (!next_line(&lines, &line) || !tmk_slice_starts(line, TMK_LIT("GET ")) ||
        !tmk_slice_ends(line, TMK_LIT(" HTTP/1.1"))) {
        return bad_request(err, "does not begin with GET ... HTTP/1.1");
    }
    line = tmk_slice_from(line, 4);
    request.path = path_of(tmk_slice_cut(&line, ' ', NULL));
    if (request.path.size == 0) {
        return bad_request(err, "has no path");
    }
    if (!tmk_slice_eq(line, TMK_LIT("HTTP/1.1"))) {
        return bad_request(err, "has a blank in its path");
    }
    if (!only_header(lines, TMK_LIT("Host"), &request.host)) {
        return bad_request(err, "names no host");
    }
    if (!is_upgrade(lines)) {
        return bad_request(err, "asks for no upgrade");
    }
    if (!only_header(lines, TMK_LIT("Sec-WebSocket-Version"), &version) ||
        !tmk_slice_eq(version, TMK_LIT("13"))) {
        return bad_request(err, "is not of version 13");
    }
    if (!only_header(lines, TMK_LIT("Sec-WebSocket-Key"), &request.key) || !is_key(request.key)) {
        return bad_request(err, "has no valid key");
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours && request.protocol == NULL; i++) {
        if (has_token(lines, TMK_LIT("Sec-WebSocket-Protocol"), tmk_slice_str(ours[i]))) {
            request.protocol = ours[i];
        }
    }
    *out = request;
    return TMK_OK;
}

/* ---- the server's answers ---- */

void tmk_ws_response_write(tmk_str *out, tmk_slice key, const char *protocol) {
    char accept[TMK_WS_ACCEPT_SIZE];

    if (!tmk_ws_accept_make(key, accept)) {
        out->failed = true;
        return;
    }
    tmk_str_addf(out,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
                 accept, protocol);
}

void tmk_ws_refusal_write(tmk_str *out, int code, const char *reason) {
    tmk_str_addf(out,
                 "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n"
                 "Sec-WebSocket-Version: 13\r\n\r\n",
                 code, reason);
}
