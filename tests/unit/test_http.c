/* The HTTP client against servers that are slow, broken or hostile. */
#include "net/http.h"

#include <sys/socket.h>

#include "base/status.h"
#include "support/check.h"
#include "support/failing_alloc.h"
#include "support/net_server.h"
#include "support/tls.h"

static tmk_loop *loop;
static tmk_http *http;
static net_server server;

/* What became of a request. */
typedef struct answer {
    int times;
    tmk_status status;
    tmk_error err;
    int code;
    tmk_str body;
    char etag[64];
    tmk_http_call *call;
    struct answer *next; /* sent from inside done */
} answer;

static char url[128];

static const char *url_of(const char *path) {
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d%s", server.port, path);
    return url;
}

static void send_get(answer *a, const char *path);

static void on_done(void *user, tmk_status st, const tmk_http_response *r, const tmk_error *err) {
    answer *a = user;

    a->times++;
    a->status = st;
    a->err = *err;
    CHECK_EQ(st == TMK_OK, r != NULL);
    if (r != NULL) {
        const char *etag = tmk_http_header_get(r, "eTaG");

        a->code = tmk_http_code(r);
        tmk_str_add_slice(&a->body, tmk_http_body(r));
        a->status = tmk_str_ok(&a->body) ? TMK_OK : TMK_ENOMEM;
        (void)snprintf(a->etag, sizeof a->etag, "%s", etag == NULL ? "(none)" : etag);
    }
    if (a->next != NULL) {
        send_get(a->next, "/next");
    }
}

static void send_request(answer *a, const tmk_http_request *request) {
    CHECK_EQ(TMK_OK, tmk_http_send(http, request, on_done, a, &a->call, NULL));
    CHECK_EQ(0, a->times); /* never from inside */
}

static void send_get(answer *a, const char *path) {
    const tmk_http_request request = {.method = "GET", .url = url_of(path), .timeout_ms = 5000};

    send_request(a, &request);
}

static void wait_for(const answer *a) {
    while (a->times == 0) {
        CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 10 * TMK_SEC, NULL));
    }
}

static void answer_clear(answer *a) {
    tmk_str_clear(&a->body);
    *a = (answer){0};
}

static void begin(void (*serve)(net_connection *c), const tmk_http_options *options) {
    net_server_start(&server, serve, NULL);
    CHECK_EQ(TMK_OK, tmk_loop_new(tmk_clock_system(), &loop, NULL));
    CHECK_EQ(TMK_OK, tmk_http_new(loop, options, &http, NULL));
}

static void end(void) {
    http = tmk_http_free(http);
    loop = tmk_loop_free(loop);
    net_server_stop(&server);
}

/* ---- servers ---- */

/* Answers each request with its own head and body. */
static void serve_echo(net_connection *c) {
    tmk_str head = TMK_STR_INIT;
    tmk_str body = TMK_STR_INIT;

    while (net_read_request(c, &head, &body)) {
        tmk_str whole = TMK_STR_INIT;

        tmk_str_addf(&whole, "HTTP/1.1 200 OK\r\nETag: \"%d\"\r\nContent-Length: %zu\r\n\r\n",
                     c->number, head.size + body.size);
        tmk_str_add_slice(&whole, tmk_str_slice(&head));
        tmk_str_add_slice(&whole, tmk_str_slice(&body));
        (void)net_send(c, tmk_str_slice(&whole));
        tmk_str_clear(&whole);
    }
    tmk_str_clear(&head);
    tmk_str_clear(&body);
}

/* Reads one request and answers with the text the test has set, then waits for the end. */
static const char *canned;
static void serve_canned(net_connection *c) {
    tmk_str head = TMK_STR_INIT;
    tmk_str body = TMK_STR_INIT;

    while (net_read_request(c, &head, &body) && net_send_text(c, canned)) {
        if (strstr(canned, "Connection: close") != NULL) {
            break;
        }
    }
    tmk_str_clear(&head);
    tmk_str_clear(&body);
}

static void serve_silence(net_connection *c) {
    (void)net_wait_end(c);
}

/* ---- good answers ---- */

static void a_request_says_what_it_was_told_and_nothing_else(void) {
    static const tmk_http_header headers[] = {
        {"x-ms-version", "2021-12-02"}, {"x-empty", ""}, {"If-Match", "\"0x8D\""}};
    tmk_http_request request = {
        .method = "PUT", .headers = headers, .header_count = 3, .body = TMK_LIT("body\0bytes")};
    const tmk_http_options options = {.user_agent = "a-test/1"};
    answer a = {0};
    char expected[512];

    begin(serve_echo, &options);
    request.url = url_of("/account/container/blob?comp=lease");
    send_request(&a, &request);
    wait_for(&a);
    CHECK_EQ(TMK_OK, a.status);
    CHECK_EQ(200, a.code);
    CHECK_STR("\"0\"", a.etag);
    (void)snprintf(expected, sizeof expected,
                   "PUT /account/container/blob?comp=lease HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                   "User-Agent: a-test/1\r\nx-ms-version: 2021-12-02\r\nx-empty:\r\n"
                   "If-Match: \"0x8D\"\r\nContent-Length: 10\r\n\r\nbody",
                   server.port);
    CHECK_STR(expected, tmk_str_text(&a.body));
    CHECK_EQ(strlen(expected) + 6, a.body.size);
    answer_clear(&a);
    end();
}

static void methods_without_a_body_send_the_right_length(void) {
    static const struct {
        const char *method;
        bool length;
    } rows[] = {{"GET", false}, {"PUT", true}, {"POST", true}, {"DELETE", false}};

    begin(serve_echo, NULL);
    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        const tmk_http_request request = {.method = rows[n].method, .url = url_of("/")};
        answer a = {0};

        send_request(&a, &request);
        wait_for(&a);
        CHECK_EQ(TMK_OK, a.status);
        CHECK_EQ(0, strncmp(rows[n].method, tmk_str_text(&a.body), strlen(rows[n].method)));
        CHECK_EQ(rows[n].length, strstr(tmk_str_text(&a.body), "Content-Length: 0\r\n") != NULL);
        CHECK(strstr(tmk_str_text(&a.body), "Content-Type") == NULL);
        answer_clear(&a);
    }
    end();
}

static void a_connection_is_used_again(void) {
    begin(serve_echo, NULL);
    for (int i = 0; i < 5; i++) {
        answer a = {0};

        send_get(&a, "/");
        wait_for(&a);
        CHECK_STR("\"0\"", a.etag); /* the first connection */
        answer_clear(&a);
    }
    CHECK_EQ(5, tmk_http_stats_get(http).requests);
    CHECK_EQ(1, tmk_http_stats_get(http).connections);
    CHECK_EQ(0, tmk_http_stats_get(http).active);
    end();
}

static void requests_wait_for_a_free_connection(void) {
    const tmk_http_options two = {.connections_per_host_max = 2};
    answer answers[10] = {0};

    begin(serve_echo, &two);
    for (size_t i = 0; i < 10; i++) {
        send_get(&answers[i], "/");
    }
    for (size_t i = 0; i < 10; i++) {
        wait_for(&answers[i]);
        CHECK_EQ(TMK_OK, answers[i].status);
        answer_clear(&answers[i]);
    }
    CHECK(atomic_load(&server.accepted) <= 2);
    end();
}

static void the_next_request_may_be_sent_from_inside_the_answer(void) {
    answer second = {0};
    answer first = {.next = &second};

    begin(serve_echo, NULL);
    send_get(&first, "/");
    wait_for(&second);
    CHECK_STR("\"0\"", second.etag); /* over the connection that has just become free */
    CHECK_EQ(1, first.times);
    answer_clear(&first);
    answer_clear(&second);
    end();
}

static void check_canned(const char *text, tmk_status expected, int code, const char *body) {
    answer a = {0};

    canned = text;
    begin(serve_canned, NULL);
    send_get(&a, "/?sig=CANARY");
    wait_for(&a);
    CHECK_EQ(expected, a.status);
    CHECK(strstr(a.err.text, "CANARY") == NULL);
    if (expected == TMK_OK) {
        CHECK_EQ(code, a.code);
        CHECK_STR(body, tmk_str_text(&a.body));
    } else {
        CHECK(strstr(a.err.text, "127.0.0.1") != NULL);
    }
    answer_clear(&a);
    end();
}

static void answers_of_many_shapes_are_understood(void) {
    check_canned("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", TMK_OK, 404, "no");
    check_canned("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
                 "4;x=y\r\ndefg\r\n0\r\n\r\n",
                 TMK_OK, 201, "abcdefg");
    check_canned("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", TMK_OK, 204, "");
    check_canned("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", TMK_OK, 200,
                 "until the end");
    check_canned("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                 TMK_OK, 302, "");
}

static void broken_answers_are_refused(void) {
    check_canned("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nshort",
                 TMK_EIO, 0, NULL);
    check_canned(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nab",
        TMK_EIO, 0, NULL);
    check_canned("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", TMK_EIO, 0, NULL);
    check_canned("SSH-2.0-OpenSSH Connection: close\r\n", TMK_EPROTO, 0, NULL);
    check_canned("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", TMK_EPROTO, 0, NULL);
    check_canned("Connection: close", TMK_EPROTO, 0, NULL);
    /* Used again in a request, these would be lines of their own. */
    check_canned("HTTP/1.1 200 OK\r\nETag: a\rHost: evil\r\nContent-Length: 0\r\n\r\n", TMK_EPROTO,
                 0, NULL);
    check_canned("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n", TMK_EPROTO, 0,
                 NULL);
    check_canned("HTTP/1.1 200 OK\r\nA b: c\r\nContent-Length: 0\r\n\r\n", TMK_EPROTO, 0, NULL);
}

/* What follows the body of a chunked answer looks like headers and is none. */
static void trailers_are_no_headers(void) {
    answer a = {0};

    canned = "HTTP/1.1 100 Continue\r\nETag: \"interim\"\r\n\r\n"
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nETag: \"forged\"\r\n\r\n";
    begin(serve_canned, NULL);
    send_get(&a, "/");
    wait_for(&a);
    CHECK_EQ(TMK_OK, a.status);
    CHECK_STR("(none)", a.etag);
    answer_clear(&a);
    end();
}

static int walked;
static void walk_headers(void *user, tmk_status st, const tmk_http_response *r,
                         const tmk_error *err) {
    static const tmk_http_header expected[] = {
        {"x-ms-meta-a", "1"}, {"X-MS-META-B", ""}, {"C", "x y"}};
    tmk_http_header h;
    size_t place = 0;

    (void)err;
    CHECK_EQ(TMK_OK, st);
    while (tmk_http_header_next(r, &place, &h)) {
        CHECK_STR(expected[walked].name, h.name);
        CHECK_STR(expected[walked].value, h.value);
        walked++;
    }
    CHECK(tmk_http_header_get(r, "x-ms-meta-b")[0] == '\0');
    CHECK(tmk_http_header_get(r, "x-ms-meta") == NULL);
    ((answer *)user)->times++;
}

static void headers_are_walked_in_order(void) {
    const tmk_http_request request = {.method = "HEAD", .url = url};
    answer a = {0};

    canned = "HTTP/1.1 200 OK\r\nx-ms-meta-a: 1\r\nX-MS-META-B:\r\nC: \t x y \r\n\r\n";
    begin(serve_canned, NULL);
    (void)url_of("/");
    CHECK_EQ(TMK_OK, tmk_http_send(http, &request, walk_headers, &a, NULL, NULL));
    wait_for(&a);
    CHECK_EQ(3, walked);
    end();
}

/* ---- limits ---- */

static void serve_endless_body(net_connection *c) {
    static char part[65536];
    tmk_str head = TMK_STR_INIT;
    tmk_str body = TMK_STR_INIT;

    (void)net_read_request(c, &head, &body);
    (void)net_send_text(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    while (net_send(c, tmk_slice_of(part, sizeof part))) {
    }
    tmk_str_clear(&head);
    tmk_str_clear(&body);
}

static void serve_endless_headers(net_connection *c) {
    tmk_str head = TMK_STR_INIT;
    tmk_str body = TMK_STR_INIT;

    (void)net_read_request(c, &head, &body);
    (void)net_send_text(c, "HTTP/1.1 200 OK\r\n");
    while (net_send_text(c, "X: 01234567890123456789012345678901234567890123456789\r\n")) {
    }
    tmk_str_clear(&head);
    tmk_str_clear(&body);
}

static void too_much_is_refused(void) {
    const struct {
        void (*serve)(net_connection *c);
        size_t body_max;
    } rows[] = {{serve_endless_body, 0}, {serve_endless_body, 100}, {serve_endless_headers, 0}};

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        tmk_http_request request = {.method = "GET", .url = url, .body_max = rows[n].body_max};
        answer a = {0};

        begin(rows[n].serve, NULL);
        (void)url_of("/");
        send_request(&a, &request);
        wait_for(&a);
        CHECK_EQ(TMK_ELIMIT, a.status);
        CHECK_EQ(1, tmk_http_stats_get(http).failures);
        answer_clear(&a);
        end();
    }
}

static void a_body_of_exactly_the_limit_is_taken(void) {
    tmk_http_request request = {.method = "GET", .url = url, .body_max = 5};
    answer a = {0};

    canned = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345";
    begin(serve_canned, NULL);
    (void)url_of("/");
    send_request(&a, &request);
    wait_for(&a);
    CHECK_EQ(TMK_OK, a.status);
    answer_clear(&a);
    request.body_max = 4;
    send_request(&a, &request);
    wait_for(&a);
    CHECK_EQ(TMK_ELIMIT, a.status);
    answer_clear(&a);
    end();
}

static void silence_ends_at_the_deadline(void) {
    const tmk_http_options one = {.connections_per_host_max = 1};
    const tmk_http_request request = {.method = "GET", .url = url, .timeout_ms = 30};
    answer first = {0};
    answer waiting = {0};

    begin(serve_silence, &one);
    (void)url_of("/");
    send_request(&first, &request);
    send_request(&waiting, &request); /* never gets a connection */
    wait_for(&first);
    wait_for(&waiting);
    CHECK_EQ(TMK_ETIMEOUT, first.status);
    CHECK_EQ(TMK_ETIMEOUT, waiting.status);
    CHECK(first.err.retryable);
    end();
}

/* ---- broken connections ---- */

/* Answers one request and then, while the client keeps the connection, resets it. */
static void serve_once_and_reset(net_connection *c) {
    tmk_str head = TMK_STR_INIT;
    tmk_str body = TMK_STR_INIT;

    if (c->number > 0) {
        serve_echo(c);
    } else {
        (void)net_read_request(c, &head, &body);
        (void)net_send_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        net_reset(c);
        (void)net_read_request(c, &head, &body); /* it dies with the second request in flight */
    }
    tmk_str_clear(&head);
    tmk_str_clear(&body);
}

static void a_kept_connection_that_dies_costs_nothing(void) {
    answer a = {0};

    begin(serve_once_and_reset, NULL);
    send_get(&a, "/");
    wait_for(&a);
    answer_clear(&a);
    send_get(&a, "/again");
    wait_for(&a);
    CHECK_EQ(TMK_OK, a.status);
    CHECK_STR("\"1\"", a.etag); /* a fresh connection */
    answer_clear(&a);
    end();
}

static void serve_reset(net_connection *c) {
    tmk_str head = TMK_STR_INIT;
    tmk_str body = TMK_STR_INIT;

    (void)net_read_request(c, &head, &body);
    net_reset(c);
    tmk_str_clear(&head);
    tmk_str_clear(&body);
}

static void a_fresh_connection_that_dies_is_an_error(void) {
    answer a = {0};

    begin(serve_reset, NULL);
    send_get(&a, "/");
    wait_for(&a);
    CHECK_EQ(TMK_EIO, a.status);
    CHECK(a.err.retryable);
    answer_clear(&a);
    end();
}

static void nobody_there_is_said_clearly(void) {
    tmk_http_request request = {.method = "GET", .url = url};
    answer a = {0};

    begin(serve_echo, NULL);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", net_closed_port());
    send_request(&a, &request);
    wait_for(&a);
    CHECK_EQ(TMK_EIO, a.status);
    CHECK_STR("curl:7", a.err.origin);
    CHECK(strstr(a.err.text, "cannot connect to") != NULL);
    answer_clear(&a);
    (void)snprintf(url, sizeof url, "http://does-not-exist.invalid/");
    send_request(&a, &request);
    wait_for(&a);
    CHECK_STR("curl:6", a.err.origin);
    CHECK(strstr(a.err.text, "does-not-exist.invalid") != NULL);
    answer_clear(&a);
    end();
}

/* ---- TLS and proxies ---- */

static SSL_CTX *context;

/* One request a connection; what follows a proxy's CONNECT, too. */
static void serve_tls(net_connection *c) {
    static const char whole[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure";
    SSL *ssl = test_tls_accept(c, context);
    char part[2048];

    if (ssl != NULL && SSL_read(ssl, part, sizeof part) > 0) {
        (void)SSL_write(ssl, whole, sizeof whole - 1);
        (void)net_wait_end(c);
    }
    SSL_free(ssl);
}

static const char *_Atomic proxy_answer;
static char proxy_request[1024];
static void serve_proxy(net_connection *c) {
    tmk_str head = TMK_STR_INIT;

    if (net_read_until(c, "\r\n\r\n", &head)) {
        (void)snprintf(proxy_request, sizeof proxy_request, "%s", tmk_str_text(&head));
        (void)net_send_text(c, proxy_answer);
        if (strstr(proxy_answer, " 200 ") != NULL) {
            serve_tls(c);
        }
    }
    tmk_str_clear(&head);
}

static void the_server_must_prove_its_name(void) {
    static const struct {
        const char *certificate_for;
        bool known_ca;
        tmk_status expected;
        const char *words;
    } rows[] = {{"127.0.0.1", true, TMK_OK, ""},
                {"other.example", true, TMK_EPROTO, "for another host"},
                {"127.0.0.1", false, TMK_EPROTO, "unknown CA"}};
    test_ca ca;

    test_ca_make(&ca);
    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        const tmk_http_options options = {.tls_ca_file = rows[n].known_ca ? ca.path : NULL};
        const tmk_http_request request = {.method = "GET", .url = url};
        answer a = {0};

        context = test_tls_context(&ca, rows[n].certificate_for, -3600, 3600);
        begin(serve_tls, &options);
        (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/?sig=CANARY", server.port);
        send_request(&a, &request);
        wait_for(&a);
        CHECK_EQ(rows[n].expected, a.status);
        CHECK(strstr(a.err.text, rows[n].words) != NULL && strstr(a.err.text, "CANARY") == NULL);
        CHECK_STR(rows[n].expected == TMK_OK ? "secure" : "", tmk_str_text(&a.body));
        answer_clear(&a);
        end();
        SSL_CTX_free(context);
    }
    test_ca_clear(&ca);
}

static void a_proxy_sees_only_the_name(void) {
    tmk_http_request request = {.method = "GET", .url = "https://account.blob.example/?sig=CANARY"};
    char proxy[64];
    test_ca ca;
    tmk_http_options options = {.tls_ca_file = ca.path, .proxy = proxy};
    answer a = {0};

    test_ca_make(&ca);
    context = test_tls_context(&ca, "account.blob.example", -3600, 3600);
    proxy_answer = "HTTP/1.1 200 OK\r\nETag: \"of-the-proxy\"\r\n\r\n";
    begin(serve_proxy, NULL);
    http = tmk_http_free(http);
    (void)snprintf(proxy, sizeof proxy, "http://user:pass@127.0.0.1:%d", server.port);
    CHECK_EQ(TMK_OK, tmk_http_new(loop, &options, &http, NULL));
    send_request(&a, &request);
    wait_for(&a);
    CHECK_EQ(TMK_OK, a.status);
    CHECK_STR("secure", tmk_str_text(&a.body));
    CHECK_STR("(none)", a.etag);
    CHECK(strstr(proxy_request, "CONNECT account.blob.example:443 ") != NULL);
    CHECK(strstr(proxy_request, "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n") != NULL);
    CHECK(strstr(proxy_request, "CANARY") == NULL);
    answer_clear(&a);
    /* A refusal is the proxy's, and is said to be. */
    proxy_answer = "HTTP/1.1 407 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    request.url = "https://other.example/";
    send_request(&a, &request);
    wait_for(&a);
    CHECK_EQ(TMK_EAUTH, a.status);
    CHECK_STR("proxy:407", a.err.origin);
    CHECK(strstr(a.err.text, "pass") == NULL);
    answer_clear(&a);
    /* And whoever must not go through a proxy does not. */
    request.no_proxy = true;
    request.url = url_of("/metadata");
    proxy_answer = "HTTP/1.1 204 x\r\n\r\n";
    send_request(&a, &request);
    wait_for(&a);
    CHECK_EQ(204, a.code);
    CHECK(strncmp(proxy_request, "GET /metadata HTTP/1.1\r\n", 24) == 0);
    answer_clear(&a);
    end();
    SSL_CTX_free(context);
    test_ca_clear(&ca);
}

/* ---- giving up ---- */

static void a_cancelled_request_is_never_answered(void) {
    answer cancelled = {0};
    answer other = {0};

    begin(serve_echo, NULL);
    send_get(&cancelled, "/");
    send_get(&other, "/");
    tmk_http_cancel(cancelled.call);
    tmk_http_cancel(NULL);
    wait_for(&other);
    CHECK_EQ(0, cancelled.times);
    CHECK_EQ(0, tmk_http_stats_get(http).active);
    answer_clear(&other);
    end();
}

static answer victims[3];
static void cancel_others(void *user, tmk_status st, const tmk_http_response *r,
                          const tmk_error *err) {
    (void)r;
    (void)err;
    CHECK_EQ(TMK_ECANCELED, st);
    for (size_t i = 0; i < 3; i++) {
        if (victims[i].times == 0 && &victims[i] != user) {
            tmk_http_cancel(victims[i].call);
            victims[i].times = -1;
        }
    }
    ((answer *)user)->times = 1;
}

static void closing_answers_all_that_is_under_way(void) {
    const tmk_http_request request = {.method = "GET", .url = url};
    answer a = {0};

    begin(serve_silence, NULL);
    (void)url_of("/");
    send_request(&a, &request);
    CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 0, NULL));
    http = tmk_http_free(http);
    CHECK_EQ(1, a.times);
    CHECK_EQ(TMK_ECANCELED, a.status);
    /* And whoever is answered may cancel those who are not yet. */
    CHECK_EQ(TMK_OK, tmk_http_new(loop, NULL, &http, NULL));
    memset(victims, 0, sizeof victims);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(TMK_OK,
                 tmk_http_send(http, &request, cancel_others, &victims[i], &victims[i].call, NULL));
    }
    end();
    CHECK_EQ(1, victims[0].times);
    CHECK_EQ(-1, victims[1].times);
    CHECK_EQ(-1, victims[2].times);
    CHECK(tmk_http_free(NULL) == NULL);
}

/* ---- bad arguments, no memory ---- */

static void what_could_forge_a_request_is_refused(void) {
    static const tmk_http_header bad_name[] = {{"a b", "x"}};
    static const tmk_http_header bad_value[] = {{"a", "x\r\nHost: evil"}};
    static const tmk_http_header no_value[] = {{"a", NULL}};
    const tmk_http_request rows[] = {
        {.method = "GET", .url = "ftp://h/"},
        {.method = "GET", .url = "file:///etc/passwd"},
        {.method = "GET", .url = "http://u:CANARY@h/"},
        {.method = "GET", .url = "http://h/ x"},
        {.method = "GET", .url = NULL},
        {.method = "G T", .url = "http://h/"},
        {.method = "", .url = "http://h/"},
        {.method = NULL, .url = "http://h/"},
        {.method = "GET", .url = "http://h/", .headers = bad_name, .header_count = 1},
        {.method = "GET", .url = "http://h/", .headers = bad_value, .header_count = 1},
        {.method = "GET", .url = "http://h/", .headers = no_value, .header_count = 1}};
    static const char *const bad_proxies[] = {"", "proxy", "ftp://proxy/", "http://u:CANARY@h h/",
                                              "http://h/path"};
    answer a = {0};
    tmk_error err;

    begin(serve_echo, NULL);
    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        CHECK_EQ(TMK_EINVAL, tmk_http_send(http, &rows[n], on_done, &a, NULL, &err));
        CHECK(strstr(err.text, "CANARY") == NULL);
    }
    for (size_t n = 0; n < sizeof bad_proxies / sizeof bad_proxies[0]; n++) {
        const tmk_http_options options = {.proxy = bad_proxies[n]};
        tmk_http *other = NULL;

        CHECK_EQ(TMK_EINVAL, tmk_http_new(loop, &options, &other, &err));
        CHECK(strstr(err.text, "CANARY") == NULL);
    }
    end();
}

/* As the allocator is the process's, this one takes no memory. */
static void serve_without_memory(net_connection *c) {
    char request[1024];
    size_t size = 0;
    ssize_t got = 0;

    while ((got = recv(c->fd, request + size, sizeof request - size, 0)) > 0) {
        size += (size_t)got;
        if (memmem(request, size, "\r\n\r\nx", 5) != NULL) {
            (void)net_send_text(c, "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok");
            size = 0;
        }
    }
}

/* Whichever of our allocations fails, the request is answered or refused, and nothing is left. */
static void each_allocation_may_fail(void) {
    failing_mode modes[] = {FAILING_ONCE, FAILING_FROM};

    net_server_start(&server, serve_without_memory, NULL);
    for (size_t m = 0; m < 2; m++) {
        for (failing_begin(modes[m]); failing_next();) {
            const tmk_http_request request = {
                .method = "PUT", .url = url_of("/"), .body = TMK_LIT("x")};
            answer a = {0};
            tmk_status st = tmk_loop_new(tmk_clock_system(), &loop, NULL);

            http = NULL;
            if (st == TMK_OK) {
                st = tmk_http_new(loop, NULL, &http, NULL);
            }
            if (st == TMK_OK) {
                st = tmk_http_send(http, &request, on_done, &a, NULL, NULL);
            }
            if (st == TMK_OK) {
                wait_for(&a);
                st = a.status;
            }
            CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
            answer_clear(&a);
            http = tmk_http_free(http);
            loop = tmk_loop_free(loop);
            CHECK_EQ(0, failing_live());
        }
    }
    net_server_stop(&server);
}

int main(void) {
    return RUN(TEST(a_request_says_what_it_was_told_and_nothing_else),
               TEST(methods_without_a_body_send_the_right_length), TEST(a_connection_is_used_again),
               TEST(requests_wait_for_a_free_connection),
               TEST(the_next_request_may_be_sent_from_inside_the_answer),
               TEST(answers_of_many_shapes_are_understood), TEST(broken_answers_are_refused),
               TEST(trailers_are_no_headers), TEST(headers_are_walked_in_order),
               TEST(too_much_is_refused), TEST(a_body_of_exactly_the_limit_is_taken),
               TEST(silence_ends_at_the_deadline), TEST(a_kept_connection_that_dies_costs_nothing),
               TEST(a_fresh_connection_that_dies_is_an_error), TEST(nobody_there_is_said_clearly),
               TEST(the_server_must_prove_its_name), TEST(a_proxy_sees_only_the_name),
               TEST(a_cancelled_request_is_never_answered),
               TEST(closing_answers_all_that_is_under_way),
               TEST(what_could_forge_a_request_is_refused), TEST(each_allocation_may_fail));
}
