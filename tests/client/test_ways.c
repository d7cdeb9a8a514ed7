/*
 * Every way to a hub, with real sockets: TCP, TLS, WebSocket, WebSocket in TLS;
 * direct and through a CONNECT proxy that wants credentials; to the address in
 * the settings and to a custom endpoint. Each carries sends and reads, and what
 * is wrong on each is told.
 */
#include <tidemark/consumer.h>
#include <tidemark/hub.h>
#include <tidemark/producer.h>

#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "base/slice.h"
#include "base/time.h"
#include "support/check.h"
#include "support/tls.h"

#define HUB_KEY "c29tZS1zZWNyZXQta2V5"
#define ELSEWHERE "ns.servicebus.windows.net"
#define OK(call)                                                               \
    do {                                                                       \
        tmk_status ok_ = (call);                                               \
        if (ok_ != TMK_OK) {                                                   \
            fail_msg("%s:%d: %s: %s: %s: %s", __FILE__, __LINE__, told, #call, \
                     tmk_status_name(ok_), err.text);                          \
        }                                                                      \
    } while (0)

enum { DAY = 24 * 3600, CLEAR_MS = 8000 };

static tmk_hub *hub;
static tmk_error err;
static test_ca ca, stranger;
static char cert_path[64], key_path[64];
static char told[256]; /* which way is being tried */

/* ---- the proxy: CONNECT with credentials, then bytes both ways to `behind` ---- */

static net_server proxy;
static uint16_t behind;
static char connect_line[256];

static int dial(uint16_t port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

static bool pass(int from, int to) {
    uint8_t bytes[16384];
    ssize_t got = recv(from, bytes, sizeof bytes, 0), sent = 0;

    while (got > 0 && sent < got) {
        ssize_t n = send(to, bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL);

        if (n <= 0) {
            return false;
        }
        sent += n;
    }
    return got > 0;
}

static void serve_proxy(net_connection *c) {
    tmk_str head = TMK_STR_INIT;
    bool known;
    int fd;

    if (!net_read_until(c, "\r\n\r\n", &head)) {
        tmk_str_clear(&head);
        return;
    }
    (void)snprintf(connect_line, sizeof connect_line, "%.*s",
                   (int)strcspn(tmk_str_text(&head), "\r"), tmk_str_text(&head));
    known = strstr(tmk_str_text(&head), "Proxy-Authorization: Basic dXNlcjpwYUBzcw==\r\n") != NULL;
    tmk_str_clear(&head);
    if (!known) {
        (void)net_send_text(c, "HTTP/1.1 407 Proxy Authentication Required\r\n"
                               "Proxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n");
        (void)net_wait_end(c);
        return;
    }
    (void)net_send_text(c, "HTTP/1.1 200 Connected\r\n\r\n");
    fd = dial(behind);
    struct pollfd ends[2] = {{c->fd, POLLIN, 0}, {fd, POLLIN, 0}};

    while (poll(ends, 2, 10000) > 0 && (ends[0].revents == 0 || pass(c->fd, fd)) &&
           (ends[1].revents == 0 || pass(fd, c->fd))) {
    }
    (void)close(fd);
}

/* ---- a way ---- */

typedef enum door { TCP = 0, TLS, WS, WSS } door;

static const char *const door_names[] = {"TCP", "TLS", "WebSocket", "WebSocket in TLS"};

typedef struct way {
    door door;
    bool proxied, custom;
} way;

static tmk_credential *credential;
static char host[96], endpoint[96], proxy_url[128], text[512];

static bool is_tls(const way *w) {
    return w->door == TLS || w->door == WSS;
}

static uint16_t port_of(const way *w) {
    return tmk_hub_port(hub, w->door >= WS ? TMK_HUB_DOOR_WEBSOCKET : TMK_HUB_DOOR_AMQP);
}

/* Plain ways are those of a development emulator, which is local. */
static void set(tmk_client_options *o, const way *w) {
    tmk_client_options_init(o);
    (void)snprintf(told, sizeof told, "%s%s%s", door_names[w->door],
                   w->proxied ? " through a proxy" : "", w->custom ? " to a custom endpoint" : "");
    (void)snprintf(endpoint, sizeof endpoint, "localhost:%u", port_of(w));
    (void)snprintf(proxy_url, sizeof proxy_url, "http://user:pa%%40ss@127.0.0.1:%u", proxy.port);
    (void)snprintf(host, sizeof host, "%s", w->custom ? ELSEWHERE : endpoint);
    (void)snprintf(text, sizeof text,
                   "Endpoint=sb://localhost%s;SharedAccessKeyName=RootManageSharedAccessKey;"
                   "SharedAccessKey=" HUB_KEY ";UseDevelopmentEmulator=true",
                   w->custom ? "" : strchr(endpoint, ':'));
    if (is_tls(w)) {
        o->host = host;
        o->credential = credential;
        o->tls_ca_file = ca.path;
    } else {
        o->connection_string = text;
    }
    o->endpoint = w->custom ? endpoint : NULL;
    o->proxy = w->proxied ? proxy_url : NULL;
    o->transport = w->door >= WS ? TMK_TRANSPORT_WEBSOCKET : TMK_TRANSPORT_AMQP;
    o->hub = "hub";
    behind = port_of(w);
    connect_line[0] = '\0';
}

static void write_pem(char path[64], EVP_PKEY *key, X509 *cert) {
    int fd;
    FILE *f;

    (void)snprintf(path, 64, "/tmp/tmk-ways-XXXXXX");
    fd = mkstemp(path);
    CHECK(fd >= 0);
    f = fdopen(fd, "w");
    CHECK(f != NULL);
    CHECK_EQ(1, cert != NULL ? PEM_write_X509(f, cert)
                             : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    (void)fclose(f);
}

/* A hub with a certificate of our authority for this name. */
static void begin(const char *name, long from, long to) {
    SSL_CTX *context;
    tmk_hub_options o;

    test_ca_make(&ca);
    test_ca_make(&stranger);
    context = test_tls_context(&ca, name, from, to);
    write_pem(cert_path, NULL, SSL_CTX_get0_certificate(context));
    write_pem(key_path, SSL_CTX_get0_privatekey(context), NULL);
    SSL_CTX_free(context);
    tmk_hub_options_init(&o);
    o.websocket = "127.0.0.1:0";
    o.tls_cert = cert_path;
    o.tls_key = key_path;
    o.key = HUB_KEY;
    OK(tmk_hub_start(&o, &hub, &err));
    net_server_start(&proxy, serve_proxy, NULL);
    OK(tmk_credential_shared_key("RootManageSharedAccessKey", HUB_KEY, &credential, &err));
}

static void end(void) {
    net_server_stop(&proxy);
    hub = tmk_hub_stop(hub);
    credential = tmk_credential_free(credential);
    test_ca_clear(&ca);
    test_ca_clear(&stranger);
    (void)unlink(cert_path);
    (void)unlink(key_path);
}

/* ---- what goes along it ---- */

static void carry(const tmk_client_options *o) {
    static char large[200000];
    tmk_client *client = NULL;
    tmk_producer *producer = NULL;
    tmk_consumer *consumer = NULL;
    tmk_consumer_options co;
    tmk_message *m = NULL;
    tmk_received *got = NULL;

    memset(large, 'x', sizeof large);
    OK(tmk_client_new(o, &client, &err));
    tmk_consumer_options_init(&co);
    co.partition = "1";
    OK(tmk_consumer_new(client, &co, &consumer, &err)); /* what comes from now on */
    OK(tmk_consumer_open_wait(consumer, CLEAR_MS, &err));
    OK(tmk_producer_new(client, NULL, &producer, &err));
    OK(tmk_message_new(tmk_slice_of(large, sizeof large), &m, &err));
    OK(tmk_producer_send_wait(producer, m, "1", CLEAR_MS, NULL, &err));
    OK(tmk_consumer_receive(consumer, 1, CLEAR_MS, &got, &err));
    CHECK_EQ(sizeof large, tmk_event_body(tmk_received_event(got, 0)).size);
    got = tmk_received_free(got);
    m = tmk_message_free(m);
    consumer = tmk_consumer_free(consumer);
    producer = tmk_producer_free(producer);
    client = tmk_client_free(client);
}

static void every_way_carries_sends_and_reads(void) {
    begin("localhost", -DAY, DAY);
    for (unsigned i = 0; i < 16; i++) {
        way w = {(door)(i / 4), i % 2 == 1, i / 2 % 2 == 1};
        tmk_client_options o;
        char line[128];

        set(&o, &w);
        carry(&o);
        (void)snprintf(line, sizeof line, "CONNECT %s HTTP/1.1", endpoint);
        CHECK_STR(w.proxied ? line : "", connect_line);
    }
    end();
}

/* ---- what is wrong on a way ---- */

/* Nothing opens, and the reason is told in time; nothing that is secret is in it. */
static void expect_failure(const tmk_client_options *o, const char *word) {
    static struct {
        tmk_status status;
        char words[256];
    } last;
    tmk_client *client = NULL;
    tmk_consumer *consumer = NULL;
    tmk_consumer_options co;
    tmk_clock clock = tmk_clock_system();
    tmk_time began = clock.now(clock.self);

    OK(tmk_client_new(o, &client, &err));
    tmk_consumer_options_init(&co);
    co.partition = "0";
    OK(tmk_consumer_new(client, &co, &consumer, &err));
    last.status = tmk_consumer_open_wait(consumer, CLEAR_MS, &err);
    CHECK(last.status < 0);
    if (strstr(err.text, word) == NULL) {
        fail_msg("%s: '%s' does not say '%s'", told, err.text, word);
    }
    CHECK(strstr(err.text, "pa@ss") == NULL && strstr(err.text, HUB_KEY) == NULL);
    CHECK(clock.now(clock.self) - began < CLEAR_MS * TMK_MS + TMK_SEC);
    consumer = tmk_consumer_free(consumer);
    client = tmk_client_free(client);
}

/* Each of them on TLS and on WebSocket, direct and through the proxy. */
static void expect_certificate_refused(const char *word, const char *ca_file) {
    for (unsigned i = 0; i < 4; i++) {
        way w = {i < 2 ? TLS : WSS, i % 2 == 1, false};
        tmk_client_options o;

        set(&o, &w);
        o.tls_ca_file = ca_file;
        expect_failure(&o, word);
    }
}

static void a_certificate_of_nobody_known_is_refused_on_every_way(void) {
    begin("localhost", -DAY, DAY);
    expect_certificate_refused("unknown CA", NULL); /* the system's */
    /* An authority of the same name with another key. */
    expect_certificate_refused("TLS handshake failed", stranger.path);
    end();
}

static void a_certificate_for_another_host_is_refused_on_every_way(void) {
    begin("other.example", -DAY, DAY);
    expect_certificate_refused("another host", ca.path);
    end();
}

static void an_expired_certificate_is_refused_on_every_way(void) {
    begin("localhost", -2 * DAY, -DAY);
    expect_certificate_refused("expired", ca.path);
    end();
}

/* The certificate is for the name that is dialled, not for the namespace. */
static void a_custom_endpoint_needs_a_certificate_of_its_own(void) {
    way w = {TLS, false, true};
    tmk_client_options o;

    begin(ELSEWHERE, -DAY, DAY);
    set(&o, &w);
    expect_failure(&o, "another host");
    end();
}

static void wrong_credentials_for_the_proxy_are_told(void) {
    begin("localhost", -DAY, DAY);
    for (unsigned i = 0; i < 4; i++) {
        way w = {(door)i, true, false};
        tmk_client_options o;
        char wrong[64];

        set(&o, &w);
        (void)snprintf(wrong, sizeof wrong, "http://user:no@127.0.0.1:%u", proxy.port);
        o.proxy = wrong;
        expect_failure(&o, "407");
    }
    end();
}

int main(void) {
    return RUN(TEST(every_way_carries_sends_and_reads),
               TEST(a_certificate_of_nobody_known_is_refused_on_every_way),
               TEST(a_certificate_for_another_host_is_refused_on_every_way),
               TEST(an_expired_certificate_is_refused_on_every_way),
               TEST(a_custom_endpoint_needs_a_certificate_of_its_own),
               TEST(wrong_credentials_for_the_proxy_are_told));
}
