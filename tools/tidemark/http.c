/* The HTTP endpoint on libmicrohttpd. See http.h. */
#include "http.h"

#include "format.h"
#include "health.h"
#include "options.h"
#include "page.h"
#include "status_json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <microhttpd.h>

enum {
    CONNECTIONS_MAX = 128,
    CONNECTIONS_OF_ONE_MAX = 64,
    CONNECTION_BYTES = 16384, /* a request's head is at most this */
    TIMEOUT_S = 10
};

struct cli_http {
    struct MHD_Daemon *daemon;
    cli_seen *seen;
    int64_t handler_limit_ms;
};

typedef struct answer {
    unsigned status;
    const char *type;
    cli_buffer body;
} answer;

/* ---- what there is ---- */

static void write_text(void *self, const char *text, size_t size) {
    cli_add(self, text, size);
}

static void not_yet(answer *a) {
    a->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    cli_add_text(&a->body, "{\"error\":\"no statistics yet; try again in a second\"}\n");
}

static void get_metrics(cli_http *h, const tmk_stats *stats, answer *a) {
    (void)h;
    a->type = "text/plain; version=0.0.4; charset=utf-8";
    if (stats == NULL) {
        a->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    } else if (tmk_stats_write_prometheus(&stats, 1, write_text, &a->body, NULL) < 0) {
        a->body.failed = true;
    }
}

static void get_status(cli_http *h, const tmk_stats *stats, answer *a) {
    cli_recent recent[CLI_RECENT_MAX];
    size_t count = cli_seen_recent(h->seen, recent, CLI_RECENT_MAX);

    if (stats == NULL) {
        not_yet(a);
    } else {
        cli_status_json(stats, recent, count, &a->body);
    }
}

static void get_page(cli_http *h, const tmk_stats *stats, answer *a) {
    (void)h, (void)stats;
    a->type = "text/html; charset=utf-8";
    cli_add(&a->body, cli_page, sizeof cli_page);
}

static const struct {
    const char *path;
    void (*get)(cli_http *h, const tmk_stats *stats, answer *a); /* NULL: a question of health */
    cli_health_kind health;
} routes[] = {
    {"/", get_page, CLI_ALIVE},         {"/metrics", get_metrics, CLI_ALIVE},
    {"/status", get_status, CLI_ALIVE}, {"/healthz", NULL, CLI_ALIVE},
    {"/livez", NULL, CLI_ALIVE},        {"/readyz", NULL, CLI_READY},
    {"/startupz", NULL, CLI_STARTED},
};

static void get(cli_http *h, const char *path, answer *a) {
    cli_health_input in = {.handler_limit_ms = h->handler_limit_ms};
    tmk_stats *stats = cli_seen_take(h->seen, &in.age_ms, &in.stopping);
    size_t i = 0;

    in.stats = stats;
    while (i < sizeof routes / sizeof routes[0] && strcmp(routes[i].path, path) != 0) {
        i++;
    }
    if (i == sizeof routes / sizeof routes[0]) {
        a->status = MHD_HTTP_NOT_FOUND;
        cli_add_text(&a->body, "{\"error\":\"there are /, /metrics, /status, /healthz, /livez, "
                               "/readyz and /startupz\"}\n");
    } else if (routes[i].get != NULL) {
        routes[i].get(h, stats, a);
    } else {
        a->status = cli_health(routes[i].health, &in, &a->body) ? MHD_HTTP_OK
                                                                : MHD_HTTP_SERVICE_UNAVAILABLE;
        cli_add_text(&a->body, "\n");
    }
    tmk_stats_free(stats);
}

/* ---- requests ---- */

static enum MHD_Result reply(struct MHD_Connection *c, answer *a) {
    static const struct {
        const char *name, *value;
    } headers[] = {
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src "
                                    "'unsafe-inline'; connect-src 'self'; img-src data:"},
    };
    struct MHD_Response *r;
    enum MHD_Result result;

    if (a->body.failed) {
        a->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
        a->body.size = 0;
    }
    r = MHD_create_response_from_buffer(a->body.size, a->body.text, MHD_RESPMEM_MUST_COPY);
    cli_free(&a->body);
    if (r == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        (void)MHD_add_response_header(r, headers[i].name, headers[i].value);
    }
    if (a->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    result = MHD_queue_response(c, a->status, r);
    MHD_destroy_response(r);
    return result;
}

/* Called once with the head alone, then with a body if there is one: it is not read. */
static enum MHD_Result on_request(void *self, struct MHD_Connection *c, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state) {
    answer a = {.status = MHD_HTTP_OK, .type = "application/json", .body = {NULL, 0, 0, false}};

    (void)version, (void)upload, (void)upload_size, (void)state;
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
        get(self, path, &a);
    } else {
        a.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        cli_add_text(&a.body, "{\"error\":\"only GET and HEAD\"}\n");
    }
    return reply(c, &a);
}

/* ---- listening ---- */

/* Splits "HOST:PORT"; `host` is "" for all addresses. */
static bool split(const char *address, char host[256], const char **port) {
    const char *colon = strrchr(address, ':');
    size_t size = colon == NULL ? 0 : (size_t)(colon - address);

    if (colon == NULL || colon[1] == '\0' || size >= 256) {
        return false;
    }
    memcpy(host, address, size);
    host[size] = '\0';
    if (host[0] == '[' && size > 2 && host[size - 1] == ']') {
        memmove(host, host + 1, size - 2);
        host[size - 2] = '\0';
    } else if (strchr(host, ':') != NULL) {
        return false; /* an IPv6 address stands in brackets */
    }
    *port = colon + 1;
    return true;
}

static int open_socket(const struct addrinfo *a) {
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;

    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
                    bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, 64) < 0)) {
        int saved = errno;
        close(fd);
        errno = saved;
        fd = -1;
    }
    return fd;
}

static int listen_on(const char *address, int *fd) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[256];
    const char *port = NULL;
    int code;

    if (!split(address, host, &port)) {
        return cli_usage("--http takes ADDR:PORT, 127.0.0.1:9400 or [::1]:9400 say, not '%s'",
                         address);
    }
    code = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &found);
    if (code != 0) {
        return cli_usage("--http %s: %s", address, gai_strerror(code));
    }
    *fd = open_socket(found);
    code = errno;
    freeaddrinfo(found);
    return *fd < 0 ? cli_failed("cannot listen on %s: %s", address, strerror(code)) : 0;
}

static void say_where(int fd) {
    struct sockaddr_storage place;
    socklen_t size = sizeof place;
    char host[INET6_ADDRSTRLEN] = "", port[8] = "";

    if (getsockname(fd, (struct sockaddr *)&place, &size) == 0 &&
        getnameinfo((struct sockaddr *)&place, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        bool v6 = strchr(host, ':') != NULL;
        fprintf(stderr, "tidemark: http://%s%s%s:%s/\n", v6 ? "[" : "", host, v6 ? "]" : "", port);
    }
}

int cli_http_new(const char *address, cli_seen *seen, int64_t handler_limit_ms, cli_http **out) {
    cli_http *h = calloc(1, sizeof *h);
    int fd = -1, code;

    if (h == NULL) {
        return cli_failed("out of memory");
    }
    code = listen_on(address, &fd);
    if (code != 0) {
        free(h);
        return code;
    }
    h->seen = seen;
    h->handler_limit_ms = handler_limit_ms;
    h->daemon = MHD_start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request, h,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_OF_ONE_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)TIMEOUT_S, MHD_OPTION_END);
    if (h->daemon == NULL) {
        close(fd);
        free(h);
        return cli_failed("cannot serve HTTP on %s", address);
    }
    say_where(fd);
    *out = h;
    return 0;
}

cli_http *cli_http_free(cli_http *h) {
    if (h != NULL) {
        MHD_stop_daemon(h->daemon);
        free(h);
    }
    return NULL;
}
