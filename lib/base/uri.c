/*
 * Taking URLs apart. Nothing of the text is repeated in an error beyond the
 * host: the rest may hold a password.
 */
#include "base/uri.h"

#include "base/status.h"

static bool is_alphanumeric(uint8_t c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool only(tmk_slice s, const char *also) {
    for (size_t i = 0; i < s.size; i++) {
        if (!is_alphanumeric(s.bytes[i]) && (s.bytes[i] == '\0' || !strchr(also, s.bytes[i]))) {
            return false;
        }
    }
    return s.size > 0;
}

/* Nothing that could split a header line, and nothing that is not ASCII. */
static bool is_printable(tmk_slice s) {
    for (size_t i = 0; i < s.size; i++) {
        if (s.bytes[i] <= ' ' || s.bytes[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* Up to the first byte out of `ends`; *rest begins with that byte. */
static tmk_slice cut_before(tmk_slice *rest, const char *ends) {
    tmk_slice head = *rest;
    size_t size = 0;

    while (size < head.size && !strchr(ends, head.bytes[size])) {
        size++;
    }
    head.size = size;
    *rest = tmk_slice_from(*rest, size);
    return head;
}

static tmk_status parse_port(tmk_slice text, uint16_t *port, tmk_error *err) {
    uint64_t value = 0;

    if (!only(text, "") || !tmk_slice_uint64(text, &value) || value == 0 || value > UINT16_MAX) {
        return tmk_fail(err, TMK_EINVAL, "base", "the port is no number from 1 to 65535");
    }
    *port = (uint16_t)value;
    return TMK_OK;
}

/* Cuts "[v6]" or "name" from *rest; what follows must be nothing, or ":port". */
static bool take_host(tmk_slice *rest, tmk_slice *host) {
    bool closed = false;

    if (rest->size > 0 && rest->bytes[0] == '[') {
        *rest = tmk_slice_from(*rest, 1);
        *host = tmk_slice_cut(rest, ']', &closed);
        return closed && only(*host, ":.%-_");
    }
    *host = cut_before(rest, ":");
    return only(*host, ".-_");
}

tmk_status tmk_host_port_parse(tmk_slice text, tmk_slice *host, uint16_t *port, tmk_error *err) {
    tmk_slice rest = text;
    tmk_slice name = {NULL, 0};
    tmk_status st = TMK_OK;

    if (!take_host(&rest, &name) || (rest.size > 0 && rest.bytes[0] != ':')) {
        return tmk_fail(err, TMK_EINVAL, "base",
                        "no valid host; write HOST, HOST:PORT or [IPV6]:PORT");
    }
    if (rest.size > 0) {
        st = parse_port(tmk_slice_from(rest, 1), port, err);
    }
    if (st == TMK_OK) {
        *host = name;
    }
    return st;
}

/* The last '@' ends the user part: a password may hold one that nobody encoded. */
static tmk_slice cut_user(tmk_slice *authority) {
    for (size_t i = authority->size; i > 0; i--) {
        if (authority->bytes[i - 1] == '@') {
            tmk_slice user = tmk_slice_of(authority->bytes, i - 1);

            *authority = tmk_slice_from(*authority, i);
            return user;
        }
    }
    return tmk_slice_of(authority->bytes, 0);
}

tmk_status tmk_uri_parse(tmk_slice text, tmk_uri *out, tmk_error *err) {
    tmk_slice rest = text;
    tmk_slice authority = {NULL, 0};
    tmk_slice user = {NULL, 0};
    tmk_uri uri = {0};
    tmk_status st = TMK_OK;

    uri.scheme = cut_before(&rest, ":/?#");
    if (!is_printable(text) || !only(uri.scheme, "+-.") ||
        !tmk_slice_starts(rest, TMK_LIT("://"))) {
        return tmk_fail(err, TMK_EINVAL, "base", "not a URL; write it as scheme://host:port/path");
    }
    rest = tmk_slice_from(rest, 3);
    authority = cut_before(&rest, "/?#");
    user = cut_user(&authority);
    uri.user = tmk_slice_cut(&user, ':', NULL);
    uri.password = user;
    st = tmk_host_port_parse(authority, &uri.host, &uri.port, err);
    if (st < 0) {
        return st;
    }
    uri.path = cut_before(&rest, "?#");
    if (rest.size > 0 && rest.bytes[0] == '?') {
        rest = tmk_slice_from(rest, 1);
        uri.query = cut_before(&rest, "#");
    }
    *out = uri;
    return TMK_OK;
}
