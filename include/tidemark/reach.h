/*
 * Whether an address can be reached the way the library would: name, proxy, TCP,
 * TLS. For tools that must say which of them is wrong; nothing is sent.
 */
#ifndef TIDEMARK_REACH_H
#define TIDEMARK_REACH_H

#include <tidemark/status.h>

TMK_BEGIN_C

typedef struct tmk_reach_options {
    size_t size;      /* sizeof(tmk_reach_options) */
    const char *host; /* name or address, without brackets */
    uint16_t port;
    bool tls;
    const char *tls_ca_file; /* PEM file of trusted authorities; NULL: the system's */
    const char *proxy;       /* "http://user:password@host:port", "env"; NULL: none */
    int64_t timeout_ms;      /* of all of it; 0: 10000 */
} tmk_reach_options;

/** What was met on the way. Texts are "" and numbers 0 where it was not come to. */
typedef struct tmk_reach {
    char addresses[160]; /* that the DNS gives for the host, with blanks between; "" also where
                            a proxy looks the name up */
    char peer[64];       /* the address connected to: the proxy's, where there is one */
    char subject[96];    /* of the certificate shown, trusted or not */
    char issuer[96];     /* of that one */
    char names[160];     /* for which that one is */
    int64_t ends_unix_s; /* when that one does */
    int64_t connect_ms;  /* until all of it stood */
} tmk_reach;

/**
 * Tries; waits for the end of it.
 *
 * Returns: 0; else a failure whose text says what to do. *out tells how far it came either way.
 *          The origin says where it ended: "curl:6" no such name, "curl:7" nobody there, "curl:60"
 * a certificate, "proxy:407" ... Threads: any.
 */
TMK_API TMK_CHECKED tmk_status tmk_reach_try(const tmk_reach_options *options, tmk_reach *out,
                                             tmk_error *err);

TMK_END_C

#endif
