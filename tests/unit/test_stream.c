/* Connections: plain, TLS, proxies; servers that are wrong, broken or silent. */
#include "net/stream.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/status.h"
#include "support/check.h"
#include "support/failing_alloc.h"
#include "support/tls.h"

enum { DAY = 86400, BIG = 1 << 20 };

static tmk_loop *loop;
static net_server server;
static test_ca ca;
static SSL_CTX *context; /* of a TLS server */
static uint8_t big[BIG];

/* A user of a stream: sends what it is given, keeps what it gets. */
typedef struct client {
    tmk_stream *stream;
    int opened, ready;
    tmk_status status;
    tmk_error err;
    tmk_slice to_send;
    tmk_str got;
    size_t step;      /* bytes asked for in one read; 0: many */
    bool one_a_ready; /* stops after one read, bytes or not */
    tmk_status ended; /* of read: EOF or a failure */
    tmk_error end_err;
    tmk_status write_ended;
} client;

static void client_write(client *c) {
    while (c->to_send.size > 0) {
        size_t taken = 0;
        tmk_status st =
            tmk_stream_write(c->stream, c->to_send.bytes, c->to_send.size, &taken, &c->end_err);

        if (st != TMK_OK) {
            c->write_ended = st < 0 ? st : TMK_OK;
            return;
        }
        c->to_send = tmk_slice_from(c->to_send, taken);
    }
}

static void client_read(client *c) {
    for (;;) {
        uint8_t part[32768];
        size_t got = 0;
        tmk_status st = tmk_stream_read(c->stream, part, c->step > 0 ? c->step : sizeof part, &got,
                                        &c->end_err);

        if (st == TMK_AGAIN) {
            return;
        }
        if (st != TMK_OK) {
            c->ended = st;
            return;
        }
        CHECK(got > 0);
        tmk_str_add_slice(&c->got, tmk_slice_of(part, got));
        if (c->one_a_ready) {
            return;
        }
    }
}

static void on_opened(tmk_stream *s, tmk_status st, const tmk_error *err) {
    client *c = s->user;

    CHECK_EQ(0, c->ready);
    c->opened++;
    c->status = st;
    c->err = *err;
    if (st == TMK_OK) {
        client_write(c);
    }
}

static void on_ready(tmk_stream *s) {
    client *c = s->user;

    CHECK_EQ(1, c->opened);
    c->ready++;
    client_write(c);
    client_read(c);
}

static void turn(void) {
    CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 10 * TMK_SEC, NULL));
}

static void client_open(client *c, const tmk_stream_options *options) {
    CHECK_EQ(TMK_OK, tmk_stream_open(loop, options, &c->stream, NULL));
    c->stream->user = c;
    c->stream->opened = on_opened;
    c->stream->ready = on_ready;
    CHECK_EQ(0, c->opened);
}

static void client_wait_open(client *c) {
    while (c->opened == 0) {
        turn();
    }
}

static void client_wait_bytes(client *c, size_t size) {
    while (c->got.size < size && c->ended == TMK_OK && c->write_ended == TMK_OK) {
        turn();
    }
    CHECK_EQ(size, c->got.size);
}

static void client_wait_end(client *c) {
    while (c->ended == TMK_OK) {
        turn();
    }
}

static void client_clear(client *c) {
    c->stream = tmk_stream_free(c->stream);
    tmk_str_clear(&c->got);
    *c = (client){0};
}

static tmk_stream_options to_server(bool tls) {
    return (tmk_stream_options){.host = "127.0.0.1",
                                .port = server.port,
                                .tls = tls,
                                .tls_ca_file = ca.path,
                                .connect_timeout_ms = 5000};
}

static void begin(void (*serve)(net_connection *c)) {
    net_server_start(&server, serve, NULL);
    CHECK_EQ(TMK_OK, tmk_loop_new(tmk_clock_system(), &loop, NULL));
}

static void end(void) {
    loop = tmk_loop_free(loop);
    net_server_stop(&server);
    SSL_CTX_free(context);
    context = NULL;
}

/* ---- servers ---- */

static void serve_echo(net_connection *c) {
    uint8_t part[16384];
    ssize_t got = 0;

    while ((got = recv(c->fd, part, sizeof part, 0)) > 0 &&
           net_send(c, tmk_slice_of(part, (size_t)got))) {
    }
}

static char sni[64];
static void serve_tls_echo(net_connection *c) {
    SSL *ssl = test_tls_accept(c, context);
    uint8_t part[16384];
    int got = 0;

    if (ssl == NULL) {
        return;
    }
    (void)snprintf(sni, sizeof sni, "%s",
                   SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) == NULL
                       ? "(none)"
                       : SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    while ((got = SSL_read(ssl, part, sizeof part)) > 0 && SSL_write(ssl, part, got) == got) {
    }
    SSL_free(ssl);
}

static void serve_silence(net_connection *c) {
    (void)net_wait_end(c);
}

/* ---- good connections ---- */

static void check_echo(const tmk_stream_options *options) {
    client c = {.to_send = TMK_LIT("AMQP\0\1\0\0")};

    client_open(&c, options);
    client_wait_open(&c);
    CHECK_STR("", c.err.text);
    CHECK_EQ(TMK_OK, c.status);
    client_wait_bytes(&c, 8);
    CHECK(tmk_slice_eq(TMK_LIT("AMQP\0\1\0\0"), tmk_str_slice(&c.got)));
    CHECK_EQ(1, c.opened);
    client_clear(&c);
}

static void plain_bytes_go_both_ways(void) {
    tmk_stream_options o;

    begin(serve_echo);
    o = to_server(false);
    check_echo(&o);
    end();
}

static void tls_bytes_go_both_ways(void) {
    tmk_stream_options o;

    context = test_tls_context(&ca, "127.0.0.1", -DAY, DAY);
    begin(serve_tls_echo);
    o = to_server(true);
    check_echo(&o);
    end();
}

/* More than any buffer on the way holds, in both directions at once. */
static void check_big_echo(bool tls) {
    client c = {.to_send = tmk_slice_of(big, BIG)};
    tmk_stream_options o;

    context = tls ? test_tls_context(&ca, "127.0.0.1", -DAY, DAY) : NULL;
    begin(tls ? serve_tls_echo : serve_echo);
    o = to_server(tls);
    client_open(&c, &o);
    client_wait_bytes(&c, BIG);
    CHECK(memcmp(big, c.got.text, BIG) == 0);
    client_clear(&c);
    end();
}

static void a_megabyte_survives_unharmed(void) {
    check_big_echo(false);
    check_big_echo(true);
}

static void a_custom_endpoint_is_what_the_certificate_must_name(void) {
    tmk_stream_options o;

    context = test_tls_context(&ca, "localhost", -DAY, DAY);
    begin(serve_tls_echo);
    o = to_server(true);
    o.host = "ns.servicebus.windows.net";
    o.port = 5671;
    o.dial_host = "localhost";
    o.dial_port = server.port;
    check_echo(&o);
    end();
    CHECK_STR("localhost", sni);
}

/* ---- servers that are not to be trusted ---- */

static void check_refused(const tmk_stream_options *options, tmk_status status, const char *origin,
                          const char *words) {
    client c = {.to_send = TMK_LIT("CANARY")};

    client_open(&c, options);
    client_wait_open(&c);
    CHECK_EQ(status, c.status);
    CHECK_EQ(status, c.err.status);
    CHECK_STR(origin, c.err.origin);
    if (strstr(c.err.text, words) == NULL) {
        CHECK_STR(words, c.err.text);
    }
    CHECK_EQ(TMK_ESTATE, tmk_stream_write(c.stream, big, 1, &(size_t){0}, NULL));
    CHECK_EQ(TMK_ESTATE, tmk_stream_read(c.stream, big, 1, &(size_t){0}, NULL));
    client_clear(&c);
}

static void a_certificate_that_is_not_right_is_refused(void) {
    static const struct {
        const char *host;
        long from, to;
        bool known_ca;
        const char *words;
    } rows[] = {
        {"other.example", -DAY, DAY, true, "is for another host"},
        {"127.0.0.1", -2 * DAY, -DAY, true, "certificate has expired"},
        {"127.0.0.1", DAY, 2 * DAY, true, "certificate is not yet valid"},
        {"127.0.0.1", -DAY, DAY, false, "is from an unknown CA"},
    };

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        tmk_stream_options o;

        context = test_tls_context(&ca, rows[n].host, rows[n].from, rows[n].to);
        begin(serve_tls_echo);
        o = to_server(true);
        o.tls_ca_file = rows[n].known_ca ? ca.path : NULL;
        check_refused(&o, TMK_EPROTO, "curl:60", rows[n].words);
        end();
    }
}

static void an_unreadable_ca_file_is_named_as_the_reason(void) {
    tmk_stream_options o;

    context = test_tls_context(&ca, "127.0.0.1", -DAY, DAY);
    begin(serve_tls_echo);
    o = to_server(true);
    o.tls_ca_file = "/nonexistent/ca.pem";
    check_refused(&o, TMK_EINVAL, "curl:77", "cannot read the file of CA certificates");
    end();
}

static void old_tls_is_refused(void) {
    tmk_stream_options o;

    context = test_tls_context(&ca, "127.0.0.1", -DAY, DAY);
    SSL_CTX_set_security_level(context, 0);
    CHECK_EQ(1, SSL_CTX_set_min_proto_version(context, TLS1_VERSION));
    CHECK_EQ(1, SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION));
    begin(serve_tls_echo);
    o = to_server(true);
    check_refused(&o, TMK_EPROTO, "curl:35", "the TLS handshake failed with");
    end();
}

static void serve_amqp_header(net_connection *c) {
    (void)net_send(c, TMK_LIT("AMQP\3\1\0\0"));
    (void)net_wait_end(c);
}

static void a_plain_server_on_the_tls_port_is_refused(void) {
    tmk_stream_options o;

    begin(serve_amqp_header);
    o = to_server(true);
    check_refused(&o, TMK_EPROTO, "curl:35", "wrong version number");
    end();
}

static void serve_cut_handshake(net_connection *c) {
    char first[1];

    (void)recv(c->fd, first, sizeof first, 0);
}

static void a_handshake_that_is_cut_may_be_tried_again(void) {
    client c = {0};
    tmk_stream_options o;

    begin(serve_cut_handshake);
    o = to_server(true);
    client_open(&c, &o);
    client_wait_open(&c);
    CHECK_EQ(TMK_EIO, c.status);
    CHECK_STR("curl:35", c.err.origin);
    CHECK(c.err.retryable);
    client_clear(&c);
    end();
}

static void nobody_there_is_said_clearly(void) {
    tmk_stream_options o;

    begin(serve_echo);
    o = to_server(false);
    o.port = net_closed_port();
    check_refused(&o, TMK_EIO, "curl:7", "cannot connect to '127.0.0.1:");
    o.host = "does-not-exist.invalid";
    check_refused(&o, TMK_EIO, "curl:6", "cannot find 'does-not-exist.invalid:");
    end();
}

static void silence_ends_at_the_deadline(void) {
    tmk_stream_options o;

    begin(serve_silence);
    o = to_server(true);
    o.connect_timeout_ms = 40;
    check_refused(&o, TMK_ETIMEOUT, "net", "it accepts connections and says nothing");
    end();
}

/* ---- proxies ---- */

/* Answers CONNECT as the test says and then is the server behind itself. */
static const char *proxy_answer;
static char proxy_request[1024];
static void serve_proxy(net_connection *c) {
    tmk_str head = TMK_STR_INIT;

    if (net_read_until(c, "\r\n\r\n", &head)) {
        (void)snprintf(proxy_request, sizeof proxy_request, "%s", tmk_str_text(&head));
        (void)net_send_text(c, proxy_answer);
        if (strstr(proxy_answer, " 200 ") == NULL) {
            (void)net_wait_end(c);
        } else if (context != NULL) {
            serve_tls_echo(c);
        } else {
            serve_echo(c);
        }
    }
    tmk_str_clear(&head);
}

static tmk_stream_options through_proxy(bool tls, const char *credentials) {
    static char proxy[128];

    (void)snprintf(proxy, sizeof proxy, "http://%s127.0.0.1:%d", credentials, server.port);
    return (tmk_stream_options){.host = "ns.servicebus.windows.net",
                                .port = 443,
                                .tls = tls,
                                .tls_ca_file = ca.path,
                                .proxy = proxy,
                                .connect_timeout_ms = 5000};
}

static void a_proxy_connects_and_the_certificate_is_the_servers(void) {
    tmk_stream_options o;

    proxy_answer = "HTTP/1.1 200 OK\r\n\r\n";
    context = test_tls_context(&ca, "ns.servicebus.windows.net", -DAY, DAY);
    begin(serve_proxy);
    o = through_proxy(true, "user:pa%40ss@");
    check_echo(&o);
    CHECK(strncmp(proxy_request, "CONNECT ns.servicebus.windows.net:443 HTTP/1.1\r\n", 48) == 0);
    CHECK(strstr(proxy_request, "Proxy-Authorization: Basic dXNlcjpwYUBzcw==\r\n") != NULL);
    end();
    /* Plain AMQP goes through a tunnel too, and without credentials none are sent. */
    begin(serve_proxy);
    o = through_proxy(false, "");
    check_echo(&o);
    CHECK(strncmp(proxy_request, "CONNECT ", 8) == 0);
    CHECK(strstr(proxy_request, "Authorization") == NULL);
    end();
}

static void a_proxy_that_refuses_is_told_from_a_server(void) {
    static const struct {
        const char *answer;
        tmk_status status;
        const char *origin, *words;
    } rows[] = {
        {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n"
         "Content-Length: 0\r\n\r\n",
         TMK_EAUTH, "proxy:407", "credentials (407)"},
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", TMK_EAUTH, "proxy:403", "forbids"},
        {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", TMK_EIO, "proxy:502",
         "the proxy answered 502"},
    };

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        tmk_stream_options o;

        proxy_answer = rows[n].answer;
        begin(serve_proxy);
        o = through_proxy(true, n == 0 ? "" : "user:CANARY@");
        check_refused(&o, rows[n].status, rows[n].origin, rows[n].words);
        end();
    }
}

static void a_silent_proxy_ends_at_the_deadline(void) {
    tmk_stream_options o;

    begin(serve_silence);
    o = through_proxy(true, "");
    o.connect_timeout_ms = 40;
    check_refused(&o, TMK_ETIMEOUT, "net", "the proxy, or the server behind it");
    end();
}

static void the_environments_proxy_counts_only_when_asked_for(void) {
    tmk_stream_options o;
    char proxy[64];

    begin(serve_echo);
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", net_closed_port());
    CHECK_EQ(0, setenv("http_proxy", proxy, 1));
    CHECK_EQ(0, setenv("https_proxy", proxy, 1));
    CHECK_EQ(0, setenv("all_proxy", proxy, 1));
    o = to_server(false);
    check_echo(&o);
    o.proxy = "env";
    check_refused(&o, TMK_EIO, "curl:7", "cannot connect");
    CHECK_EQ(0, setenv("no_proxy", "127.0.0.1", 1));
    check_echo(&o);
    (void)unsetenv("http_proxy");
    (void)unsetenv("https_proxy");
    (void)unsetenv("all_proxy");
    (void)unsetenv("no_proxy");
    end();
}

/* ---- reading, writing, ending ---- */

/* Sends much at once and then nothing: TLS holds bytes of which the socket knows nothing. */
static void serve_tls_burst(net_connection *c) {
    SSL *ssl = test_tls_accept(c, context);

    if (ssl != NULL) {
        (void)SSL_write(ssl, big, 100000);
        (void)net_wait_end(c);
        SSL_free(ssl);
    }
}

static void serve_burst(net_connection *c) {
    (void)net_send(c, tmk_slice_of(big, 100000));
    (void)net_wait_end(c);
}

static void whoever_reads_little_at_a_time_still_gets_all(void) {
    for (int tls = 0; tls < 2; tls++) {
        client c = {.step = 1000, .one_a_ready = true};
        tmk_stream_options o;

        context = tls ? test_tls_context(&ca, "127.0.0.1", -DAY, DAY) : NULL;
        begin(tls ? serve_tls_burst : serve_burst);
        o = to_server(tls != 0);
        client_open(&c, &o);
        client_wait_bytes(&c, 100000);
        CHECK(memcmp(big, c.got.text, 100000) == 0);
        client_clear(&c);
        end();
    }
}

static atomic_bool may_read;
static void serve_reluctantly(net_connection *c) {
    tmk_str all = TMK_STR_INIT;

    (void)net_read_exactly(c, 1, &all);
    while (!atomic_load(&may_read)) {
        (void)sched_yield();
    }
    (void)net_read_exactly(c, 16 * BIG - 1, &all);
    (void)net_send_text(
        c, tmk_slice_eq(tmk_slice_of(all.text + 15 * BIG, BIG), tmk_slice_of(big, BIG)) ? "same"
                                                                                        : "not!");
    (void)net_wait_end(c);
    tmk_str_clear(&all);
}

static void a_server_that_does_not_read_makes_us_wait_and_nothing_is_lost(void) {
    static uint8_t much[16 * BIG];
    client c = {.to_send = tmk_slice_of(much, sizeof much)};
    tmk_stream_options o;
    size_t left = 0;

    for (size_t i = 0; i < 16; i++) {
        memcpy(much + i * BIG, big, BIG);
    }
    atomic_store(&may_read, false);
    begin(serve_reluctantly);
    o = to_server(false);
    client_open(&c, &o);
    client_wait_open(&c);
    do { /* until the buffers on the way are full */
        left = c.to_send.size;
        CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 20 * TMK_MS, NULL));
    } while (c.to_send.size < left);
    CHECK(c.to_send.size > 0);
    atomic_store(&may_read, true);
    client_wait_bytes(&c, 4);
    CHECK_STR("same", tmk_str_text(&c.got));
    client_clear(&c);
    end();
}

static void serve_goodbye(net_connection *c) {
    (void)net_send_text(c, "bye");
}

static void the_end_comes_after_the_last_bytes_and_once_only(void) {
    client c = {0};
    tmk_stream_options o;
    int ready = 0;

    begin(serve_goodbye);
    o = to_server(false);
    client_open(&c, &o);
    client_wait_end(&c);
    CHECK_EQ(TMK_EOF, c.ended);
    CHECK_STR("bye", tmk_str_text(&c.got));
    CHECK_EQ(TMK_EOF, tmk_stream_read(c.stream, big, 1, &(size_t){0}, NULL));
    ready = c.ready;
    CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 5 * TMK_MS, NULL)); /* does not spin */
    CHECK_EQ(ready, c.ready);
    client_clear(&c);
    end();
}

static void serve_tls_once(net_connection *c) {
    SSL *ssl = test_tls_accept(c, context);
    char first[1];

    if (ssl != NULL) {
        (void)SSL_read(ssl, first, sizeof first);
        SSL_free(ssl);
    }
    net_reset(c);
}

static void serve_reset(net_connection *c) {
    char first[1];

    (void)recv(c->fd, first, sizeof first, 0);
    net_reset(c);
}

static void a_reset_is_an_error_that_may_be_tried_again(void) {
    client c = {.to_send = TMK_LIT("xyz")};
    tmk_stream_options o;

    begin(serve_reset);
    o = to_server(false);
    client_open(&c, &o);
    client_wait_end(&c);
    CHECK_EQ(TMK_EIO, c.ended);
    CHECK_EQ(TMK_EIO, c.end_err.status);
    CHECK(c.end_err.retryable);
    CHECK_STR("curl:56", c.end_err.origin);
    client_clear(&c);
    end();
}

/* The process would not survive a SIGPIPE. */
static void writing_to_the_dead_is_an_error_and_no_signal(void) {
    for (int tls = 0; tls < 2; tls++) {
        static const uint8_t some[1000];
        client c = {.to_send = TMK_LIT("x")};
        tmk_stream_options o;
        tmk_status st = TMK_OK;

        context = tls ? test_tls_context(&ca, "127.0.0.1", -DAY, DAY) : NULL;
        begin(tls ? serve_tls_once : serve_reset);
        o = to_server(tls != 0);
        client_open(&c, &o);
        client_wait_end(&c);
        for (int i = 0; st >= 0; i++) {
            size_t taken = 0;

            CHECK(i < 1000);
            st = tmk_stream_write(c.stream, some, sizeof some, &taken, &c.end_err);
            CHECK_EQ(TMK_OK, tmk_loop_turn(loop, st == TMK_AGAIN ? TMK_SEC : 0, NULL));
        }
        CHECK_EQ(TMK_EIO, st);
        CHECK_EQ(TMK_EIO, c.end_err.status);
        CHECK_EQ(TMK_EIO, tmk_stream_write(c.stream, some, 1, &(size_t){0}, NULL)); /* and stays */
        client_clear(&c);
        end();
    }
}

/* TLS that ends without its own farewell ends all the same. */
static void serve_tls_cut(net_connection *c) {
    SSL *ssl = test_tls_accept(c, context);

    if (ssl != NULL) {
        (void)SSL_write(ssl, "x", 1);
        SSL_free(ssl); /* no close_notify */
    }
}

static void cut_tls_is_the_end(void) {
    client c = {0};
    tmk_stream_options o;

    context = test_tls_context(&ca, "127.0.0.1", -DAY, DAY);
    begin(serve_tls_cut);
    o = to_server(true);
    client_open(&c, &o);
    client_wait_end(&c);
    CHECK_STR("x", tmk_str_text(&c.got));
    CHECK(c.ended == TMK_EOF || c.ended == TMK_EIO);
    client_clear(&c);
    end();
}

/* ---- freeing ---- */

static void free_in_opened(tmk_stream *s, tmk_status st, const tmk_error *err) {
    client *c = s->user;

    (void)st;
    (void)err;
    c->opened++;
    c->stream = tmk_stream_free(s);
}

static void free_in_ready(tmk_stream *s) {
    client *c = s->user;

    c->ready++;
    c->stream = tmk_stream_free(s);
}

static void a_stream_may_be_freed_at_any_time(void) {
    for (int tls = 0; tls < 2; tls++) {
        tmk_stream_options o;
        client c = {0};

        context = tls ? test_tls_context(&ca, "127.0.0.1", -DAY, DAY) : NULL;
        begin(tls ? serve_tls_burst : serve_burst);
        o = to_server(tls != 0);
        client_open(&c, &o);
        client_clear(&c); /* before the first turn */
        client_open(&c, &o);
        turn(); /* somewhere on the way */
        client_clear(&c);
        client_open(&c, &o);
        c.stream->opened = free_in_opened;
        client_wait_open(&c);
        client_clear(&c);
        client_open(&c, &o);
        c.stream->ready = free_in_ready;
        while (c.ready == 0) {
            turn();
        }
        client_clear(&c);
        end();
    }
    CHECK(tmk_stream_free(NULL) == NULL);
}

/* ---- bad options, no memory ---- */

static void bad_options_are_refused(void) {
    static const tmk_stream_options rows[] = {
        {.host = NULL, .port = 1},
        {.host = "", .port = 1},
        {.host = "h", .port = 0},
        {.host = "h/x", .port = 1},
        {.host = "h h", .port = 1},
        {.host = "u:CANARY@h", .port = 1},
        {.host = "h", .port = 1, .dial_host = "h\r\nx"},
        {.host = "h", .port = 1, .proxy = "http://u:CANARY@"},
        {.host = "h", .port = 1, .proxy = "socks4://h"},
        {.host = "h", .port = 1, .websocket = true, .websocket_path = "x"},
        {.host = "h", .port = 1, .websocket = true, .websocket_path = "/ HTTP/1.1\r\n"},
    };
    char longest[400];
    tmk_stream_options too_long = {.host = longest, .port = 1};
    tmk_stream *s = NULL;
    tmk_error err;

    memset(longest, 'h', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    begin(serve_echo);
    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        CHECK_EQ(TMK_EINVAL, tmk_stream_open(loop, &rows[n], &s, &err));
        CHECK(strstr(err.text, "CANARY") == NULL);
    }
    CHECK_EQ(TMK_EINVAL, tmk_stream_open(loop, &too_long, &s, &err));
    CHECK(s == NULL);
    end();
}

static void serve_without_memory(net_connection *c) {
    char request[1024];

    /* Neither side takes the upgrade further than this. */
    (void)recv(c->fd, request, sizeof request, 0);
    (void)net_send_text(c, "HTTP/1.1 403 Forbidden\r\n\r\n");
}

static void each_allocation_may_fail(void) {
    static const failing_mode modes[] = {FAILING_ONCE, FAILING_FROM};

    net_server_start(&server, serve_without_memory, NULL);
    for (size_t m = 0; m < 2; m++) {
        for (failing_begin(modes[m]); failing_next();) {
            tmk_stream_options o = to_server(false);
            client c = {0};
            tmk_status st = tmk_loop_new(tmk_clock_system(), &loop, NULL);

            o.websocket = true;
            if (st == TMK_OK) {
                st = tmk_stream_open(loop, &o, &c.stream, NULL);
            }
            if (st == TMK_OK) {
                c.stream->user = &c;
                c.stream->opened = on_opened;
                c.stream->ready = on_ready;
                client_wait_open(&c);
                st = c.status;
            }
            CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_EAUTH, st);
            client_clear(&c);
            loop = tmk_loop_free(loop);
            CHECK_EQ(0, failing_live());
        }
    }
    net_server_stop(&server);
}

int main(void) {
    int failed = 0;

    for (size_t i = 0; i < BIG; i++) {
        big[i] = (uint8_t)(i * 2654435761U >> 24);
    }
    test_ca_make(&ca);
    failed = RUN(TEST(plain_bytes_go_both_ways), TEST(tls_bytes_go_both_ways),
                 TEST(a_megabyte_survives_unharmed),
                 TEST(a_custom_endpoint_is_what_the_certificate_must_name),
                 TEST(a_certificate_that_is_not_right_is_refused),
                 TEST(an_unreadable_ca_file_is_named_as_the_reason), TEST(old_tls_is_refused),
                 TEST(a_plain_server_on_the_tls_port_is_refused),
                 TEST(a_handshake_that_is_cut_may_be_tried_again),
                 TEST(nobody_there_is_said_clearly), TEST(silence_ends_at_the_deadline),
                 TEST(a_proxy_connects_and_the_certificate_is_the_servers),
                 TEST(a_proxy_that_refuses_is_told_from_a_server),
                 TEST(a_silent_proxy_ends_at_the_deadline),
                 TEST(the_environments_proxy_counts_only_when_asked_for),
                 TEST(whoever_reads_little_at_a_time_still_gets_all),
                 TEST(a_server_that_does_not_read_makes_us_wait_and_nothing_is_lost),
                 TEST(the_end_comes_after_the_last_bytes_and_once_only),
                 TEST(a_reset_is_an_error_that_may_be_tried_again), TEST(cut_tls_is_the_end),
                 TEST(writing_to_the_dead_is_an_error_and_no_signal),
                 TEST(a_stream_may_be_freed_at_any_time), TEST(bad_options_are_refused),
                 TEST(each_allocation_may_fail));
    test_ca_clear(&ca);
    return failed;
}
