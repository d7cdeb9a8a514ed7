/* Hosts without TLS: see the header. */
#include "auth/local.h"

#include <arpa/inet.h>

enum { host_max = 253 };

static bool is_name_char(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

static bool parses_as(int family, tmk_slice host, void *address) {
    char text[INET6_ADDRSTRLEN];

    if (host.size >= sizeof text) {
        return false;
    }
    memcpy(text, host.bytes, host.size);
    text[host.size] = '\0';
    return strlen(text) == host.size && inet_pton(family, text, address) == 1;
}

bool tmk_host_is_valid(tmk_slice host) {
    struct in6_addr v6;

    if (host.size == 0 || host.size > host_max) {
        return false;
    }
    if (parses_as(AF_INET6, host, &v6)) {
        return true;
    }
    for (size_t i = 0; i < host.size; i++) {
        if (!is_name_char(host.bytes[i])) {
            return false;
        }
    }
    return host.bytes[0] != '.' && host.bytes[0] != '-';
}

bool tmk_host_is_loopback(tmk_slice host) {
    struct in6_addr v6;
    struct in_addr v4;

    if (host.size == 0) {
        return false;
    }
    if (tmk_slice_eq_nocase(host, TMK_LIT("localhost"))) {
        return true;
    }
    if (parses_as(AF_INET, host, &v4)) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return parses_as(AF_INET6, host, &v6) && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* "2130706433" and "0x7f000001" are addresses to resolvers, so a name begins with a letter. */
static bool is_single_label(tmk_slice host) {
    return tmk_host_is_valid(host) && (host.bytes[0] | 0x20) >= 'a' &&
           (host.bytes[0] | 0x20) <= 'z' && memchr(host.bytes, '.', host.size) == NULL &&
           memchr(host.bytes, ':', host.size) == NULL;
}

bool tmk_host_is_local(tmk_slice host) {
    return tmk_host_is_loopback(host) || is_single_label(host) ||
           tmk_slice_eq_nocase(host, TMK_LIT("host.docker.internal"));
}
