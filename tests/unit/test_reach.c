/* Whether an address can be reached: how far it came is told, whether it worked or not. */
#include <tidemark/reach.h>

#include <time.h>

#include "support/check.h"
#include "support/net_server.h"
#include "support/tls.h"

#define DAY (24 * 3600L)

static net_server server;
static test_ca ca;
static SSL_CTX *context;
static tmk_error err;

static void serve_plain(net_connection *c) {
    (void)net_wait_end(c);
}

static void serve_tls(net_connection *c) {
    SSL *ssl = test_tls_accept(c, context);

    if (ssl != NULL) {
        (void)net_wait_end(c);
    }
    SSL_free(ssl);
}

/* A proxy that opens the way, or asks who we are. */
static void serve_proxy(net_connection *c) {
    tmk_str head = TMK_STR_INIT;

    if (net_read_until(c, "\r\n\r\n", &head)) {
        bool known = strstr(tmk_str_text(&head), "Proxy-Authorization: ") != NULL;

        CHECK(tmk_slice_starts(tmk_str_slice(&head), TMK_LIT("CONNECT ns.example:5671 ")));
        (void)net_send_text(c, known ? "HTTP/1.1 200 OK\r\n\r\n"
                                     : "HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n");
        (void)net_wait_end(c);
    }
    tmk_str_clear(&head);
}

static tmk_reach_options to(const char *host, uint16_t port) {
    return (tmk_reach_options){
        .size = sizeof(tmk_reach_options), .host = host, .port = port, .timeout_ms = 5000};
}

static void an_open_port_is_reached(void) {
    tmk_reach_options o;
    tmk_reach found;

    net_server_start(&server, serve_plain, NULL);
    o = to("127.0.0.1", server.port);
    CHECK_EQ(TMK_OK, tmk_reach_try(&o, &found, &err));
    CHECK_STR("127.0.0.1", found.peer);
    CHECK_STR("127.0.0.1", found.addresses);
    CHECK_STR("", found.subject);
    CHECK(found.connect_ms >= 0 && found.connect_ms < 5000);
    net_server_stop(&server);
}

static void a_closed_port_is_told(void) {
    tmk_reach_options o = to("127.0.0.1", net_closed_port());
    tmk_reach found;

    CHECK(tmk_reach_try(&o, &found, &err) < 0);
    CHECK_STR("curl:7", err.origin);
    CHECK(err.text[0] != '\0');
    CHECK_STR("127.0.0.1", found.addresses); /* so far it came */
}

static void a_trusted_certificate_is_shown(void) {
    time_t now = time(NULL);
    tmk_reach_options o;
    tmk_reach found;

    test_ca_make(&ca);
    context = test_tls_context(&ca, "127.0.0.1", -DAY, 10 * DAY);
    net_server_start(&server, serve_tls, NULL);
    o = to("127.0.0.1", server.port);
    o.tls = true;
    o.tls_ca_file = ca.path;
    CHECK_EQ(TMK_OK, tmk_reach_try(&o, &found, &err));
    CHECK(found.subject[0] != '\0' && found.issuer[0] != '\0');
    CHECK(strstr(found.names, "127.0.0.1") != NULL);
    CHECK(found.ends_unix_s > now + 9 * DAY && found.ends_unix_s < now + 11 * DAY);
    net_server_stop(&server);
    SSL_CTX_free(context);
    test_ca_clear(&ca);
}

/* It is refused, and shown all the same: that is what one asks for. */
static void a_certificate_that_is_not_trusted_is_shown_too(void) {
    tmk_reach_options o;
    tmk_reach found;

    test_ca_make(&ca);
    context = test_tls_context(&ca, "elsewhere.example", -DAY, DAY);
    net_server_start(&server, serve_tls, NULL);
    o = to("127.0.0.1", server.port);
    o.tls = true;
    CHECK(tmk_reach_try(&o, &found, &err) < 0);
    CHECK_STR("curl:60", err.origin);
    CHECK(strstr(found.names, "elsewhere.example") != NULL);
    CHECK_EQ(0, found.connect_ms);
    net_server_stop(&server);
    SSL_CTX_free(context);
    test_ca_clear(&ca);
}

/* The proxy looks the name up; without a password it says so itself. */
static void a_proxy_is_gone_through(void) {
    tmk_reach_options o = to("ns.example", 5671);
    tmk_reach found;
    char proxy[64];

    net_server_start(&server, serve_proxy, NULL);
    (void)snprintf(proxy, sizeof proxy, "http://u:p@127.0.0.1:%d", server.port);
    o.proxy = proxy;
    CHECK_EQ(TMK_OK, tmk_reach_try(&o, &found, &err));
    CHECK_STR("", found.addresses);
    CHECK_STR("127.0.0.1", found.peer);
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", server.port);
    CHECK(tmk_reach_try(&o, &found, &err) < 0);
    CHECK_STR("proxy:407", err.origin);
    net_server_stop(&server);
}

static void what_cannot_be_an_address_is_refused(void) {
    tmk_reach_options o = to("127.0.0.1", 0);
    tmk_reach found;
    char long_name[300];

    CHECK_EQ(TMK_EINVAL, tmk_reach_try(&o, &found, &err));
    o = to("", 1);
    CHECK_EQ(TMK_EINVAL, tmk_reach_try(&o, &found, &err));
    o = to(NULL, 1);
    CHECK_EQ(TMK_EINVAL, tmk_reach_try(&o, &found, &err));
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    o = to(long_name, 1);
    CHECK_EQ(TMK_EINVAL, tmk_reach_try(&o, &found, &err));
    o = to("127.0.0.1", 1);
    o.proxy = "ftp://x";
    CHECK_EQ(TMK_EINVAL, tmk_reach_try(&o, &found, &err));
}

int main(void) {
    return RUN(TEST(an_open_port_is_reached), TEST(a_closed_port_is_told),
               TEST(a_trusted_certificate_is_shown),
               TEST(a_certificate_that_is_not_trusted_is_shown_too), TEST(a_proxy_is_gone_through),
               TEST(what_cannot_be_an_address_is_refused));
}
