/*
 * consume --http: metrics, health, status and a page, read-only.
 *
 *   /metrics   Prometheus text          /status   JSON
 *   /healthz   alive (also /livez)      /readyz   ready
 *   /startupz  started                  /         a page that shows it live
 *
 * Answers come from the newest statistics that the processor handed over, so
 * they take no lock that a handler could hold, and come also while the event
 * loop is stuck: then /healthz says so.
 *
 * Bounded: connections, memory of each, time, and the size of a request. What
 * is no GET or HEAD of a known path is refused. No password is asked for: bind
 * it where only those who may see it can reach it.
 *
 * Threads: one of its own.
 */
#ifndef TIDEMARK_TOOL_HTTP_H
#define TIDEMARK_TOOL_HTTP_H

#include "seen.h"

typedef struct cli_http cli_http;

/*
 * Listens on "HOST:PORT", "[V6]:PORT" or ":PORT" (all addresses); port 0 picks one. Says where on
 * standard error. Returns an exit code. `seen` is borrowed.
 */
int cli_http_new(const char *address, cli_seen *seen, int64_t handler_limit_ms, cli_http **out);
cli_http *cli_http_free(cli_http *h); /* NULL is fine; returns NULL */

#endif
