/* A build without libmicrohttpd: --http is refused. See http.h. */
#include "http.h"
#include "options.h"

int cli_http_new(const char *address, cli_seen *seen, int64_t handler_limit_ms, cli_http **out) {
    (void)seen, (void)handler_limit_ms, (void)out;
    return cli_usage("--http %s: this build has no HTTP endpoint, as libmicrohttpd was not there; "
                     "install libmicrohttpd-dev and build again",
                     address);
}

cli_http *cli_http_free(cli_http *h) {
    return h;
}
