/* The parts of a URL. Views into the text; nothing is decoded. */
#ifndef TMK_BASE_URI_H
#define TMK_BASE_URI_H

#include "base/slice.h"

typedef struct tmk_uri {
    tmk_slice scheme, user, password, host, path, query; /* host without brackets */
    uint16_t port;                                       /* 0: none given */
} tmk_uri;

tmk_status tmk_uri_parse(tmk_slice text, tmk_uri *out, tmk_error *err);
/* "HOST", "HOST:PORT", "[v6]:PORT"; port stays as it was where none is given. */
tmk_status tmk_host_port_parse(tmk_slice text, tmk_slice *host, uint16_t *port, tmk_error *err);

#endif
