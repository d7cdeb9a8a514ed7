/* The hub as a library, over real sockets: several in one process, its calls, its control door. */
#include <tidemark/hub.h>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "base/str.h"
#include "support/check.h"
#include "support/hub_client.h"

static tmk_hub *start(tmk_hub_options *o) {
    tmk_hub *hub = NULL;
    tmk_error err;

    o->seed = 1;
    if (tmk_hub_start(o, &hub, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return hub;
}

static int dial(uint16_t port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0);
    CHECK_EQ(0, setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    CHECK_EQ(0, connect(fd, (struct sockaddr *)&at, sizeof at));
    return fd;
}

static void send_all(int fd, tmk_slice bytes) {
    while (bytes.size > 0) {
        ssize_t n = send(fd, bytes.bytes, bytes.size, MSG_NOSIGNAL);
        CHECK(n > 0);
        bytes = tmk_slice_from(bytes, (size_t)n);
    }
}

/* All until the other side closes. */
static tmk_str read_all(int fd) {
    tmk_str out = TMK_STR_INIT;
    char part[4096];
    ssize_t n;

    while ((n = recv(fd, part, sizeof part, 0)) > 0) {
        tmk_str_add_slice(&out, tmk_slice_of(part, (size_t)n));
    }
    return out;
}

/* The body of an answer; the head must begin with `status`. */
static tmk_str http(tmk_hub *hub, const char *method, const char *path, const char *body,
                    const char *status) {
    tmk_str text = TMK_STR_INIT, body_out = TMK_STR_INIT, answer;
    int fd = dial(tmk_hub_port(hub, TMK_HUB_DOOR_CONTROL));
    const char *end;

    tmk_str_addf(&text, "%s %s HTTP/1.1\r\nHost: x\r\ncontent-length: %zu\r\n\r\n%s", method, path,
                 strlen(body), body);
    send_all(fd, tmk_str_slice(&text));
    answer = read_all(fd);
    (void)close(fd);
    if (strncmp(tmk_str_text(&answer), status, strlen(status)) != 0) {
        fail_msg("%s %s: %s", method, path, tmk_str_text(&answer));
    }
    end = strstr(tmk_str_text(&answer), "\r\n\r\n");
    CHECK(end != NULL);
    tmk_str_add(&body_out, end + 4);
    tmk_str_clear(&answer);
    tmk_str_clear(&text);
    return body_out;
}

/* ---- starting ---- */

static void a_hub_says_where_it_is_and_how_to_reach_it(void) {
    tmk_hub_options o;
    tmk_hub *hub, *other;
    char expected[64];

    tmk_hub_options_init(&o);
    o.key = "some key";
    hub = start(&o);
    other = start(&o);
    CHECK(tmk_hub_port(hub, TMK_HUB_DOOR_AMQP) != tmk_hub_port(other, TMK_HUB_DOOR_AMQP));
    (void)snprintf(expected, sizeof expected, "127.0.0.1:%u", tmk_hub_port(hub, TMK_HUB_DOOR_AMQP));
    CHECK_STR(expected, tmk_hub_address(hub, TMK_HUB_DOOR_AMQP));
    CHECK(tmk_hub_address(hub, TMK_HUB_DOOR_CONTROL) == NULL);
    CHECK_EQ(0, tmk_hub_port(hub, TMK_HUB_DOOR_WEBSOCKET));
    CHECK(strstr(tmk_hub_connection_string(hub), ";SharedAccessKey=some key;") != NULL);
    hub = tmk_hub_stop(hub);
    other = tmk_hub_stop(other);
    CHECK(tmk_hub_stop(NULL) == NULL);
}

static void keys_are_made_at_random(void) {
    tmk_hub_options o;
    tmk_hub *hub, *other;
    char *text;

    tmk_hub_options_init(&o);
    hub = start(&o);
    other = start(&o);
    text = strstr(tmk_hub_connection_string(hub), ";SharedAccessKey=");
    CHECK(text != NULL && strlen(text) > 60);
    CHECK(strstr(tmk_hub_connection_string(other), text) == NULL);
    tmk_hub_stop(hub);
    tmk_hub_stop(other);
}

static void check_wrong(const tmk_hub_options *o, tmk_status status, const char *words) {
    tmk_hub *hub = NULL;
    tmk_error err = {0};

    CHECK_EQ(status, tmk_hub_start(o, &hub, &err));
    CHECK(hub == NULL);
    if (strstr(err.text, words) == NULL) {
        fail_msg("'%s' has no '%s'", err.text, words);
    }
}

static void wrong_options_are_told(void) {
    const tmk_hub_spec bad = {"a/b", 1}, many = {"a", 2000};
    tmk_hub_options o;
    tmk_hub *hub;

    tmk_hub_options_init(&o);
    o.hubs = &bad;
    check_wrong(&o, TMK_EINVAL, "'a/b'");
    o.hubs = &many;
    check_wrong(&o, TMK_EINVAL, "2000 partitions");
    tmk_hub_options_init(&o);
    o.listen = "nonsense";
    check_wrong(&o, TMK_EINVAL, "ADDR:PORT");
    o.listen = "127.0.0.1:70000";
    check_wrong(&o, TMK_EINVAL, "ADDR:PORT");
    tmk_hub_options_init(&o);
    o.tls_cert = "/nowhere/cert.pem";
    check_wrong(&o, TMK_EINVAL, "both");
    o.tls_key = "/nowhere/key.pem";
    check_wrong(&o, TMK_EINVAL, "/nowhere/cert.pem");
    tmk_hub_options_init(&o);
    o.retention_ms = 0;
    check_wrong(&o, TMK_EINVAL, "retention");
    tmk_hub_options_init(&o);
    hub = start(&o);
    o.listen = tmk_hub_address(hub, TMK_HUB_DOOR_AMQP);
    check_wrong(&o, TMK_EIO, o.listen);
    tmk_hub_stop(hub);
}

/* ---- calls ---- */

static void events_are_put_and_seen(void) {
    const tmk_hub_spec spec = {"orders", 8};
    tmk_hub_options o;
    tmk_hub *hub;
    tmk_hub_partition p;
    tmk_error err;
    int64_t sequence = -1;

    tmk_hub_options_init(&o);
    o.hubs = &spec;
    hub = start(&o);
    CHECK_EQ(TMK_OK, tmk_hub_partition_read(hub, "orders", "7", &p, &err));
    CHECK_EQ(-1, p.last_sequence);
    CHECK_EQ(TMK_OK,
             tmk_hub_put(hub, "orders", &(tmk_hub_event){"abc", 3, "7", NULL}, &sequence, &err));
    CHECK_EQ(0, sequence);
    CHECK_EQ(TMK_OK,
             tmk_hub_put(hub, "orders", &(tmk_hub_event){"abc", 3, "7", NULL}, &sequence, &err));
    CHECK_EQ(1, sequence);
    /* device-0001 goes to partition 2 of 8 */
    CHECK_EQ(TMK_OK, tmk_hub_put(hub, "orders", &(tmk_hub_event){"abc", 3, NULL, "device-0001"},
                                 NULL, &err));
    CHECK_EQ(TMK_OK, tmk_hub_partition_read(hub, "orders", "2", &p, &err));
    CHECK_EQ(0, p.last_sequence);
    CHECK_EQ(0, p.readers);
    CHECK_EQ(TMK_ENOTFOUND,
             tmk_hub_put(hub, "other", &(tmk_hub_event){"", 0, NULL, NULL}, NULL, &err));
    CHECK_EQ(TMK_ENOTFOUND,
             tmk_hub_put(hub, "orders", &(tmk_hub_event){"", 0, "8", NULL}, NULL, &err));
    CHECK_EQ(TMK_ENOTFOUND, tmk_hub_partition_read(hub, "orders", "8", &p, &err));
    tmk_hub_stop(hub);
}

static void events_to_begin_with_are_spread(void) {
    tmk_hub_options o;
    tmk_hub *hub;
    tmk_hub_partition p;
    tmk_error err;
    int64_t all = 0;

    tmk_hub_options_init(&o);
    hub = start(&o);
    CHECK_EQ(TMK_OK, tmk_hub_preload(hub, "hub", 1000, 100, 0, &err));
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(TMK_OK, tmk_hub_partition_read(hub, "hub", (const char *[]){"0", "1", "2", "3"}[i],
                                                &p, &err));
        CHECK_EQ(249, p.last_sequence);
    }
    CHECK_EQ(TMK_OK, tmk_hub_preload(hub, "hub", 1000, 10, 16, &err));
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(TMK_OK, tmk_hub_partition_read(hub, "hub", (const char *[]){"0", "1", "2", "3"}[i],
                                                &p, &err));
        all += p.last_sequence + 1;
    }
    CHECK_EQ(2000, all);
    CHECK_EQ(TMK_ENOTFOUND, tmk_hub_preload(hub, "other", 1, 1, 0, &err));
    tmk_hub_stop(hub);
}

static void faults_have_numbers_and_are_cleared(void) {
    tmk_hub_options o;
    tmk_hub *hub;
    tmk_error err;
    uint64_t first = 0, second = 0;
    char *state;

    tmk_hub_options_init(&o);
    hub = start(&o);
    CHECK_EQ(TMK_OK, tmk_hub_fault(hub, "{\"fault\":\"stall\"}", &first, &err));
    CHECK_EQ(TMK_OK, tmk_hub_fault(hub, "{\"fault\":\"freeze\"}", &second, &err));
    CHECK(first != 0 && second != first);
    CHECK_EQ(TMK_EINVAL, tmk_hub_fault(hub, "{\"fault\":\"?\"}", NULL, &err));
    tmk_hub_fault_clear(hub, first);
    state = tmk_hub_state(hub);
    CHECK(strstr(state, "\"freeze\"") != NULL && strstr(state, "\"stall\"") == NULL);
    tmk_hub_text_free(state);
    tmk_hub_fault_clear(hub, 0);
    state = tmk_hub_state(hub);
    CHECK(strstr(state, "\"freeze\"") == NULL);
    tmk_hub_text_free(state);
    tmk_hub_stop(hub);
}

/* ---- the control door ---- */

static void the_control_door_answers(void) {
    tmk_hub_options o;
    tmk_hub *hub;
    tmk_str body;
    json_t *root;

    tmk_hub_options_init(&o);
    o.control = "127.0.0.1:0";
    hub = start(&o);
    body = http(hub, "GET", "/healthz", "", "HTTP/1.1 200");
    CHECK_STR("ok\n", tmk_str_text(&body));
    tmk_str_clear(&body);
    body = http(hub, "GET", "/state?x=1", "", "HTTP/1.1 200");
    root = json_loads(tmk_str_text(&body), 0, NULL);
    CHECK(json_is_object(root));
    json_decref(root);
    tmk_str_clear(&body);
    body = http(hub, "GET", "/metrics", "", "HTTP/1.1 200");
    CHECK(strstr(tmk_str_text(&body), "tidemark_hub_connections_total 0") != NULL);
    tmk_str_clear(&body);
    body = http(hub, "POST", "/faults", "{\"fault\":\"stall\"}", "HTTP/1.1 200");
    CHECK_STR("{\"id\":1,\"met\":0}\n", tmk_str_text(&body));
    tmk_str_clear(&body);
    body = http(hub, "POST", "/faults", "{\"fault\":\"stal\"}", "HTTP/1.1 400");
    CHECK(strstr(tmk_str_text(&body), "stal") != NULL);
    tmk_str_clear(&body);
    body = http(hub, "DELETE", "/faults/1", "", "HTTP/1.1 200");
    CHECK_STR("{\"removed\":1}\n", tmk_str_text(&body));
    tmk_str_clear(&body);
    body = http(hub, "DELETE", "/faults", "", "HTTP/1.1 200");
    CHECK_STR("{\"removed\":0}\n", tmk_str_text(&body));
    tmk_str_clear(&body);
    body = http(hub, "DELETE", "/faults/x", "", "HTTP/1.1 404");
    tmk_str_clear(&body);
    body = http(hub, "PUT", "/state", "", "HTTP/1.1 404");
    tmk_str_clear(&body);
    tmk_hub_stop(hub);
}

static void rubbish_at_the_control_door_is_refused(void) {
    tmk_hub_options o;
    tmk_hub *hub;
    tmk_str big = TMK_STR_INIT, answer;
    int fd;

    tmk_hub_options_init(&o);
    o.control = "127.0.0.1:0";
    hub = start(&o);
    fd = dial(tmk_hub_port(hub, TMK_HUB_DOOR_CONTROL));
    send_all(fd, TMK_LIT("\r\n\r\n"));
    answer = read_all(fd);
    CHECK(strncmp(tmk_str_text(&answer), "HTTP/1.1 400", 12) == 0);
    tmk_str_clear(&answer);
    (void)close(fd);
    fd = dial(tmk_hub_port(hub, TMK_HUB_DOOR_CONTROL));
    tmk_str_add(&big, "POST /faults HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n");
    send_all(fd, tmk_str_slice(&big));
    answer = read_all(fd);
    CHECK(strncmp(tmk_str_text(&answer), "HTTP/1.1 400", 12) == 0);
    tmk_str_clear(&answer);
    tmk_str_clear(&big);
    (void)close(fd);
    tmk_hub_stop(hub);
}

/* ---- sockets ---- */

/* An AMQP client's first words, until an answer to its open has come. */
static int connect_amqp(const tmk_hub *hub) {
    hub_client writer = {.frame_max = 65536};
    int fd = dial(tmk_hub_port(hub, TMK_HUB_DOOR_AMQP));
    tmk_str got = TMK_STR_INIT;
    char part[512];

    say_hello(&writer);
    send_all(fd, tmk_str_slice(&writer.said));
    /* mechanisms, outcome, and an open that begins with the container's 35 characters */
    while (memmem(tmk_str_text(&got), got.size, "_G0", 3) == NULL) {
        ssize_t n = recv(fd, part, sizeof part, 0);
        CHECK(n > 0);
        tmk_str_add_slice(&got, tmk_slice_of(part, (size_t)n));
    }
    tmk_str_clear(&got);
    tmk_str_clear(&writer.said);
    return fd;
}

static void connections_are_dropped_and_refused(void) {
    tmk_hub_options o;
    tmk_hub *hub;
    tmk_error err;
    int fd;
    char byte;

    tmk_hub_options_init(&o);
    hub = start(&o);
    fd = connect_amqp(hub);
    CHECK_EQ(TMK_OK, tmk_hub_fault(hub, "{\"fault\":\"drop_connections\"}", NULL, &err));
    CHECK(recv(fd, &byte, 1, 0) <= 0);
    (void)close(fd);
    CHECK_EQ(TMK_OK,
             tmk_hub_fault(hub, "{\"fault\":\"refuse_connections\",\"count\":1}", NULL, &err));
    fd = dial(tmk_hub_port(hub, TMK_HUB_DOOR_AMQP));
    CHECK(recv(fd, &byte, 1, 0) <= 0);
    (void)close(fd);
    fd = connect_amqp(hub);
    (void)close(fd);
    tmk_hub_stop(hub);
}

static void a_frozen_hub_is_silent_and_thaws(void) {
    tmk_hub_options o;
    tmk_hub *hub;
    tmk_error err;
    struct pollfd p = {.events = POLLIN};
    uint64_t id = 0;
    char *state;
    int fd;

    tmk_hub_options_init(&o);
    hub = start(&o);
    CHECK_EQ(TMK_OK, tmk_hub_fault(hub, "{\"fault\":\"freeze\"}", &id, &err));
    fd = dial(tmk_hub_port(hub, TMK_HUB_DOOR_AMQP));
    send_all(fd, TMK_LIT("AMQP\3\1\0\0"));
    state = tmk_hub_state(hub); /* the hub has had its turn */
    tmk_hub_text_free(state);
    p.fd = fd;
    CHECK_EQ(0, poll(&p, 1, 20));
    tmk_hub_fault_clear(hub, id);
    CHECK_EQ(1, poll(&p, 1, 10000));
    (void)close(fd);
    tmk_hub_stop(hub);
}

static void stopping_ends_what_is_open(void) {
    tmk_hub_options o;
    tmk_hub *hub;
    int fds[20];
    char byte;

    tmk_hub_options_init(&o);
    o.control = "127.0.0.1:0";
    hub = start(&o);
    for (int i = 0; i < 20; i++) {
        fds[i] = i % 2 == 0 ? connect_amqp(hub) : dial(tmk_hub_port(hub, TMK_HUB_DOOR_CONTROL));
    }
    tmk_hub_stop(hub);
    for (int i = 0; i < 20; i++) {
        CHECK(recv(fds[i], &byte, 1, 0) <= 0);
        (void)close(fds[i]);
    }
}

int main(void) {
    return RUN(TEST(a_hub_says_where_it_is_and_how_to_reach_it), TEST(keys_are_made_at_random),
               TEST(wrong_options_are_told), TEST(events_are_put_and_seen),
               TEST(events_to_begin_with_are_spread), TEST(faults_have_numbers_and_are_cleared),
               TEST(the_control_door_answers), TEST(rubbish_at_the_control_door_is_refused),
               TEST(connections_are_dropped_and_refused), TEST(a_frozen_hub_is_silent_and_thaws),
               TEST(stopping_ends_what_is_open));
}
