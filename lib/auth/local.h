/*
 * Which hosts may be reached without TLS, and what a host may look like.
 * Pure. Threads: any.
 */
#ifndef TMK_AUTH_LOCAL_H
#define TMK_AUTH_LOCAL_H

#include "base/slice.h"

/* Letters, digits, '-', '_', '.', or an IPv6 address without brackets; 1 to 253 bytes. */
bool tmk_host_is_valid(tmk_slice host);

/* The loopback: localhost, 127.x.x.x, ::1. */
bool tmk_host_is_loopback(tmk_slice host);

/*
 * The loopback, or what cannot be a name of the public internet: a name without a dot, as the
 * services of a container network have, and host.docker.internal.
 */
bool tmk_host_is_local(tmk_slice host);

#endif
