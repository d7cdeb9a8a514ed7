/*
 * AMQP over WebSocket, on a stream made of memory (so that every cut, stall and
 * trick can be played) and once over TLS to a server of its own.
 */
#include "net/stream_internal.h"

#include <sys/socket.h>

#include "base/alloc.h"
#include "base/status.h"
#include "net/ws_codec.h"
#include "support/check.h"
#include "support/failing_alloc.h"
#include "support/tls.h"

static tmk_time fake_time;
static tmk_time fake_now(void *self) {
    (void)self;
    return fake_time;
}
static tmk_wall fake_wall(void *self) {
    (void)self;
    return (tmk_wall){0};
}
static const tmk_clock fake_clock = {fake_now, fake_wall, NULL};

static tmk_loop *loop;

/* ---- a stream made of memory ---- */

typedef struct memory_stream {
    tmk_stream base;
    tmk_slice in;      /* what can be read now */
    tmk_status in_end; /* what read says after it: AGAIN, EOF, a failure */
    tmk_str out;
    size_t out_step; /* bytes taken by one write; 0: none, AGAIN */
    tmk_status out_end;
    int freed;
} memory_stream;

static memory_stream inner;

static tmk_status memory_read(tmk_stream *s, uint8_t *into, size_t room, size_t *got,
                              tmk_error *err) {
    memory_stream *m = tmk_container_of(s, memory_stream, base);

    if (m->in.size == 0) {
        return m->in_end < 0 ? tmk_fail(err, m->in_end, "memory", "broken") : m->in_end;
    }
    room = room < m->in.size ? room : m->in.size;
    memcpy(into, m->in.bytes, room);
    m->in = tmk_slice_from(m->in, room);
    *got = room;
    return TMK_OK;
}

static tmk_status memory_write(tmk_stream *s, const uint8_t *from, size_t size, size_t *taken,
                               tmk_error *err) {
    memory_stream *m = tmk_container_of(s, memory_stream, base);

    if (m->out_end < 0) {
        return tmk_fail(err, m->out_end, "memory", "broken");
    }
    if (m->out_step == 0) {
        return TMK_AGAIN;
    }
    size = size < m->out_step ? size : m->out_step;
    tmk_str_add_slice(&m->out, tmk_slice_of(from, size));
    *taken = size;
    return TMK_OK;
}

static void memory_free(tmk_stream *s) {
    tmk_container_of(s, memory_stream, base)->freed++;
}

static const tmk_stream_ops memory_ops = {memory_read, memory_write, memory_free};

/* ---- the user ---- */

static tmk_stream *ws;
static int opened;
static tmk_status opened_with;
static tmk_error opened_err;
static tmk_str got;
static tmk_status ended;
static tmk_error end_err;
static size_t step; /* bytes asked for in one read */
static int ready;

static void read_all(void) {
    uint8_t part[4096];
    size_t size = 0;
    tmk_status st = TMK_OK;

    while ((st = tmk_stream_read(ws, part, step, &size, &end_err)) == TMK_OK) {
        CHECK(size > 0 && size <= step);
        tmk_str_add_slice(&got, tmk_slice_of(part, size));
    }
    ended = st == TMK_AGAIN ? TMK_OK : st;
}

static void on_opened(tmk_stream *s, tmk_status st, const tmk_error *err) {
    CHECK(s == ws);
    opened++;
    opened_with = st;
    opened_err = *err;
}

static void on_ready(tmk_stream *s) {
    CHECK(s == ws && opened == 1);
    ready++;
    read_all();
}

static const tmk_stream_options options = {.host = "ns.servicebus.windows.net",
                                           .port = 443,
                                           .tls = true,
                                           .websocket = true,
                                           .connect_timeout_ms = 1000};

static void begin(void) {
    fake_time = 0;
    CHECK_EQ(TMK_OK, tmk_loop_new(fake_clock, &loop, NULL));
    inner = (memory_stream){.base.ops = &memory_ops, .in_end = TMK_AGAIN, .out_step = SIZE_MAX};
    opened = ready = 0;
    ended = TMK_OK;
    step = 4096;
    CHECK_EQ(TMK_OK, tmk_stream_ws_open(loop, &inner.base, &options, &ws, NULL));
    ws->opened = on_opened;
    ws->ready = on_ready;
}

static void end(void) {
    ws = tmk_stream_free(ws);
    CHECK_EQ(1, inner.freed);
    tmk_str_clear(&inner.out);
    tmk_str_clear(&got);
    loop = tmk_loop_free(loop);
}

static void inner_opens(void) {
    const tmk_error none = {0};

    inner.base.opened(&inner.base, TMK_OK, &none);
}

static void inner_gets(tmk_slice bytes) {
    inner.in = bytes;
    inner.base.ready(&inner.base);
}

/* The server's good answer to the request that is in inner.out, which is emptied. */
static void answer_request(tmk_str *answer) {
    tmk_ws_request r;

    CHECK_EQ(TMK_OK, tmk_ws_request_parse(tmk_str_slice(&inner.out), &r, NULL));
    CHECK(r.protocol != NULL);
    tmk_ws_response_write(answer, r.key, r.protocol);
    tmk_str_reset(&inner.out);
}

static void begin_open(void) {
    tmk_str answer = TMK_STR_INIT;

    begin();
    inner_opens();
    answer_request(&answer);
    inner_gets(tmk_str_slice(&answer));
    CHECK_EQ(1, opened);
    CHECK_EQ(TMK_OK, opened_with);
    tmk_str_clear(&answer);
}

/* What a server reads out of inner.out: payload of data; kinds of control frames as letters. */
static char control[64];
static void server_reads(tmk_str *data) {
    uint8_t *bytes = tmk_copy(inner.out.text, inner.out.size);
    size_t at = 0;
    tmk_ws_reader r;

    control[0] = '\0';
    tmk_ws_reader_init(&r, TMK_WS_SERVER);
    for (;;) {
        size_t used = 0;
        size_t size = strlen(control);
        tmk_ws_event e;

        CHECK_EQ(TMK_OK, tmk_ws_read(&r, bytes + at, inner.out.size - at, &used, &e, NULL));
        at += used;
        if (e.kind == TMK_WS_EVENT_NONE) {
            break;
        }
        if (e.kind == TMK_WS_EVENT_DATA) {
            tmk_str_add_slice(data, e.payload);
        } else {
            (void)snprintf(control + size, sizeof control - size, "%s(%.*s)",
                           e.kind == TMK_WS_EVENT_PONG    ? "pong"
                           : e.kind == TMK_WS_EVENT_CLOSE ? "close"
                                                          : "?",
                           (int)e.payload.size, (const char *)e.payload.bytes);
        }
    }
    CHECK(!r.in_payload && r.head_size == 0); /* whole frames only */
    tmk_free(bytes);
}

/* ---- opening ---- */

static void the_request_is_what_the_service_wants(void) {
    begin();
    CHECK_EQ(0, inner.out.size);
    inner_opens();
    CHECK(strncmp(tmk_str_text(&inner.out),
                  "GET /$servicebus/websocket HTTP/1.1\r\nHost: ns.servicebus.windows.net\r\n"
                  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ",
                  130) == 0);
    CHECK_EQ(0, opened);
    end();
}

/* Frames follow the answer in the same bytes; wherever these are cut, the user gets the same. */
static void every_cut_of_answer_and_frames_gives_the_same(void) {
    static const char frames[] = "\x82\x05"
                                 "Hello"
                                 "\x89\x01p\x02\x03"
                                 ", w"
                                 "\x80\x04"
                                 "orld\x82\x00";
    size_t whole = 0;

    for (size_t cut = 0; cut == 0 || cut <= whole; cut++) {
        tmk_str bytes = TMK_STR_INIT;
        tmk_str data = TMK_STR_INIT;

        begin();
        step = 1 + cut % 3;
        inner_opens();
        answer_request(&bytes);
        tmk_str_add_slice(&bytes, tmk_slice_of(frames, sizeof frames - 1));
        whole = bytes.size;
        inner_gets(tmk_slice_of(bytes.text, cut));
        inner_gets(tmk_slice_from(tmk_str_slice(&bytes), cut));
        CHECK_EQ(TMK_OK, opened_with);
        if (ready == 0) { /* all came with the answer: told without the inner stream */
            CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 0, NULL));
        }
        CHECK_STR("Hello, world", tmk_str_text(&got));
        CHECK_EQ(TMK_OK, ended);
        server_reads(&data);
        CHECK_STR("pong(p)", control);
        CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 0, NULL));
        ready = 0;
        CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 0, NULL)); /* and then not for ever */
        CHECK_EQ(0, ready);
        tmk_str_clear(&bytes);
        tmk_str_clear(&data);
        end();
    }
}

static void a_request_may_leave_byte_by_byte(void) {
    tmk_str answer = TMK_STR_INIT;

    begin();
    inner.out_step = 0;
    inner_opens();
    CHECK_EQ(0, inner.out.size);
    inner.out_step = 1;
    inner.base.ready(&inner.base);
    answer_request(&answer);
    inner_gets(tmk_str_slice(&answer));
    CHECK_EQ(TMK_OK, opened_with);
    tmk_str_clear(&answer);
    end();
}

static void check_refused(tmk_slice answer, tmk_status in_end, tmk_status status,
                          const char *words) {
    begin();
    inner_opens();
    inner.in_end = in_end;
    inner_gets(answer);
    CHECK_EQ(1, opened);
    CHECK_EQ(status, opened_with);
    CHECK(strstr(opened_err.text, words) != NULL);
    CHECK_EQ(status, tmk_stream_read(ws, (uint8_t[1]){0}, 1, &(size_t){0}, NULL));
    CHECK_EQ(status, tmk_stream_write(ws, (uint8_t[1]){0}, 1, &(size_t){0}, NULL));
    fake_time += 100 * TMK_SEC;
    CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 0, NULL)); /* the deadline is off */
    inner_gets(TMK_LIT("more"));
    CHECK_EQ(0, inner.in.size); /* dropped, so that it does not come for ever */
    CHECK_EQ(1, opened);
    end();
}

static void a_bad_answer_is_refused_with_the_reason(void) {
    static char endless[TMK_WS_HEAD_MAX + 2000];

    memset(endless, 'x', sizeof endless);
    check_refused(TMK_LIT("HTTP/1.1 403 Forbidden\r\n\r\n"), TMK_AGAIN, TMK_EAUTH, "HTTP 403");
    check_refused(TMK_LIT("HTTP/1.1 503 Busy\r\n\r\n"), TMK_AGAIN, TMK_EBUSY, "HTTP 503");
    check_refused(TMK_LIT("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                          "Sec-WebSocket-Protocol: AMQPWSB10\r\nSec-WebSocket-Accept: bad\r\n\r\n"),
                  TMK_AGAIN, TMK_EPROTO, "accept key");
    check_refused(TMK_LIT("AMQP\0\1\0\0\r\n\r\n"), TMK_AGAIN, TMK_EPROTO, "not HTTP/1.1");
    check_refused(tmk_slice_of(endless, sizeof endless), TMK_AGAIN, TMK_EPROTO, "too long");
    check_refused(TMK_LIT("HTTP/1.1 101"), TMK_EOF, TMK_EIO, "closed the connection");
    check_refused(TMK_LIT("HTTP"), TMK_EIO, TMK_EIO, "broken");
}

static void a_failure_below_is_passed_up(void) {
    tmk_error err;

    begin();
    (void)tmk_fail_retry(&err, TMK_EIO, "curl:7", "cannot connect");
    inner.base.opened(&inner.base, TMK_EIO, &err);
    CHECK_EQ(1, opened);
    CHECK_STR("curl:7", opened_err.origin);
    CHECK(opened_err.retryable);
    end();
}

static void silence_ends_at_the_deadline(void) {
    for (int answered = 0; answered < 2; answered++) {
        const tmk_error none = {0};

        begin();
        if (answered) {
            inner_opens();
        }
        fake_time = 999 * TMK_MS;
        CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 0, NULL));
        CHECK_EQ(0, opened);
        fake_time = 1300 * TMK_MS;
        CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 0, NULL));
        CHECK_EQ(1, opened);
        CHECK_EQ(TMK_ETIMEOUT, opened_with);
        CHECK(opened_err.retryable);
        if (!answered) {
            inner.base.opened(&inner.base, TMK_OK, &none); /* too late to matter */
            CHECK_EQ(1, opened);
        }
        end();
    }
}

/* ---- writing ---- */

static void what_is_written_arrives_however_slowly_it_leaves(void) {
    static uint8_t bytes[100000];
    tmk_slice left = tmk_slice_of(bytes, sizeof bytes);
    tmk_str data = TMK_STR_INIT;

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 31);
    }
    begin_open();
    for (int i = 0; left.size > 0; i++) {
        size_t taken = 0;
        tmk_status st = TMK_OK;

        inner.out_step = i % 3 == 0 ? 0 : 7000;
        st = tmk_stream_write(ws, left.bytes, left.size, &taken, NULL);
        CHECK(st == TMK_OK || st == TMK_AGAIN);
        left = tmk_slice_from(left, st == TMK_OK ? taken : 0);
        if (i % 5 == 0) {
            inner_gets(TMK_LIT("\x89\x02hi")); /* pings in between */
        }
        CHECK(i < 1000);
    }
    inner.out_step = SIZE_MAX;
    inner.base.ready(&inner.base);
    server_reads(&data);
    CHECK(tmk_slice_eq(tmk_slice_of(bytes, sizeof bytes), tmk_str_slice(&data)));
    CHECK(strncmp("pong(hi)", control, 8) == 0);
    tmk_str_clear(&data);
    end();
}

static void a_broken_connection_is_told_by_the_next_write(void) {
    size_t taken = 0;
    tmk_error err;

    begin_open();
    inner.out_end = TMK_EIO;
    CHECK_EQ(TMK_EIO, tmk_stream_write(ws, (const uint8_t *)"x", 1, &taken, &err));
    CHECK_STR("memory", err.origin);
    end();
}

/* Unanswered pings do not pile up: the latest is enough. */
static void many_pings_cost_nothing(void) {
    tmk_str data = TMK_STR_INIT;

    begin_open();
    inner.out_step = 0;
    for (int i = 0; i < 1000; i++) {
        inner_gets(TMK_LIT("\x89\x01"
                           "a\x89\x01"
                           "b"));
    }
    inner.out_step = SIZE_MAX;
    inner.base.ready(&inner.base);
    server_reads(&data);
    CHECK_STR("pong(b)pong(b)", control); /* one was on its way, one is the latest */
    tmk_str_clear(&data);
    end();
}

/* ---- ending ---- */

static void check_end(tmk_slice bytes, tmk_status in_end, const char *data_expected,
                      tmk_status expected, const char *origin) {
    begin_open();
    inner.in_end = in_end;
    inner_gets(bytes);
    CHECK_STR(data_expected, tmk_str_text(&got));
    CHECK_EQ(expected, ended);
    if (expected < 0) {
        CHECK_STR(origin, end_err.origin);
        CHECK(strstr(end_err.text, "CANARY") == NULL);
    }
    CHECK_EQ(expected,
             tmk_stream_read(ws, (uint8_t[1]){0}, 1, &(size_t){0}, NULL)); /* and stays so */
    end();
}

static void the_end_has_a_reason(void) {
    check_end(TMK_LIT("\x82\x02xy\x88\x02\x03\xe8\x82\x01z"), TMK_AGAIN, "xy", TMK_EOF, "");
    check_end(TMK_LIT("\x82\x02xy\x88\x00"), TMK_AGAIN, "xy", TMK_EOF, "");
    check_end(TMK_LIT("\x88\x12\x03\xf3"
                      "oops sig=CANARY!"),
              TMK_AGAIN, "", TMK_EIO, "websocket:1011");
    check_end(TMK_LIT("\x82\x02xy"), TMK_EOF, "xy", TMK_EOF, "");
    check_end(TMK_LIT("\x82\x02xy"), TMK_EIO, "xy", TMK_EIO, "memory");
    check_end(TMK_LIT("\x81\x02xy"), TMK_AGAIN, "", TMK_EPROTO, "websocket");
    check_end(TMK_LIT("\x82\x82mask"), TMK_AGAIN, "", TMK_EPROTO, "websocket");
}

static void a_close_is_answered_and_ends_writing(void) {
    tmk_str data = TMK_STR_INIT;
    size_t taken = 0;

    begin_open();
    inner_gets(TMK_LIT("\x88\x02\x03\xe8"));
    server_reads(&data);
    CHECK_STR("close()", control);
    CHECK_EQ(TMK_EIO, tmk_stream_write(ws, (const uint8_t *)"x", 1, &taken, NULL));
    tmk_str_clear(&data);
    end();
}

static void freeing_says_goodbye(void) {
    tmk_str data = TMK_STR_INIT;

    begin_open();
    ws = tmk_stream_free(ws);
    server_reads(&data);
    CHECK_STR("close()", control);
    tmk_str_clear(&data);
    tmk_str_clear(&inner.out);
    loop = tmk_loop_free(loop);
}

static void free_in_opened(tmk_stream *s, tmk_status st, const tmk_error *err) {
    (void)st;
    (void)err;
    opened++;
    ws = tmk_stream_free(s);
}

static void free_in_ready(tmk_stream *s) {
    ready++;
    ws = tmk_stream_free(s);
}

static void it_may_be_freed_from_inside(void) {
    tmk_str answer = TMK_STR_INIT;

    begin();
    ws->opened = free_in_opened;
    inner_opens();
    answer_request(&answer);
    inner_gets(tmk_str_slice(&answer));
    CHECK_EQ(1, opened);
    end();
    begin_open();
    ws->ready = free_in_ready;
    inner_gets(TMK_LIT("\x82\x01x"));
    CHECK_EQ(1, ready);
    end();
    begin();
    end(); /* before anything came */
    tmk_str_clear(&answer);
}

static void memory_may_run_out(void) {
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_loop *l = NULL;
        tmk_stream *s = NULL;
        tmk_status st = tmk_loop_new(fake_clock, &l, NULL);

        inner = (memory_stream){.base.ops = &memory_ops};
        if (st == TMK_OK) {
            st = tmk_stream_ws_open(l, &inner.base, &options, &s, NULL);
        }
        CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
        s = tmk_stream_free(s);
        CHECK_EQ(st == TMK_OK, inner.freed); /* stays the caller's when it failed */
        l = tmk_loop_free(l);
        CHECK_EQ(0, failing_live());
    }
}

/* ---- over TLS ---- */

static SSL_CTX *context;

static bool ssl_read_head(SSL *ssl, tmk_str *head) {
    char c = 0;

    while (tmk_ws_head_size(tmk_str_slice(head)) == 0) {
        if (SSL_read(ssl, &c, 1) != 1) {
            return false;
        }
        tmk_str_add_char(head, c);
    }
    return true;
}

static void ssl_echo_frame(SSL *ssl, tmk_slice payload) {
    uint8_t head[TMK_WS_FRAME_HEAD_MAX];
    size_t size = tmk_ws_frame_head(head, TMK_WS_BINARY, payload.size, NULL);

    (void)SSL_write(ssl, head, (int)size);
    (void)SSL_write(ssl, payload.bytes, (int)payload.size);
}

static void ssl_echo(SSL *ssl) {
    uint8_t part[16384];
    int size = 0;
    tmk_ws_reader r;

    tmk_ws_reader_init(&r, TMK_WS_SERVER);
    while ((size = SSL_read(ssl, part, sizeof part)) > 0) {
        tmk_ws_event e = {.kind = TMK_WS_EVENT_PING};
        size_t at = 0;

        while (e.kind != TMK_WS_EVENT_NONE && e.kind != TMK_WS_EVENT_CLOSE) {
            size_t used = 0;

            if (tmk_ws_read(&r, part + at, (size_t)size - at, &used, &e, NULL) < 0) {
                return;
            }
            at += used;
            if (e.kind == TMK_WS_EVENT_DATA) {
                ssl_echo_frame(ssl, e.payload);
            }
        }
    }
}

static void serve_websocket(net_connection *c) {
    SSL *ssl = test_tls_accept(c, context);
    tmk_str text = TMK_STR_INIT;
    tmk_str answer = TMK_STR_INIT;
    tmk_ws_request r;

    if (ssl != NULL && ssl_read_head(ssl, &text) &&
        tmk_ws_request_parse(tmk_str_slice(&text), &r, NULL) == TMK_OK) {
        tmk_ws_response_write(&answer, r.key, r.protocol);
        (void)SSL_write(ssl, answer.text, (int)answer.size);
        ssl_echo(ssl);
    }
    SSL_free(ssl);
    tmk_str_clear(&text);
    tmk_str_clear(&answer);
}

static void a_whole_conversation_over_tls(void) {
    static uint8_t bytes[300000];
    static net_server server;
    tmk_slice left = tmk_slice_of(bytes, sizeof bytes);
    tmk_stream_options o = options;
    test_ca ca;

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 2654435761U >> 24);
    }
    test_ca_make(&ca);
    context = test_tls_context(&ca, "127.0.0.1", -3600, 3600);
    net_server_start(&server, serve_websocket, NULL);
    CHECK_EQ(TMK_OK, tmk_loop_new(tmk_clock_system(), &loop, NULL));
    o.dial_host = "127.0.0.1";
    o.dial_port = server.port;
    o.tls_ca_file = ca.path;
    o.connect_timeout_ms = 5000;
    opened = ready = 0;
    ended = TMK_OK;
    step = 4096;
    CHECK_EQ(TMK_OK, tmk_stream_open(loop, &o, &ws, NULL));
    ws->opened = on_opened;
    ws->ready = on_ready;
    while (opened == 0) {
        CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 5 * TMK_SEC, NULL));
    }
    CHECK_STR("", opened_err.text);
    while (got.size < sizeof bytes && ended == TMK_OK) {
        size_t taken = 0;

        while (left.size > 0 &&
               tmk_stream_write(ws, left.bytes, left.size, &taken, NULL) == TMK_OK) {
            left = tmk_slice_from(left, taken);
        }
        CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 5 * TMK_SEC, NULL));
    }
    CHECK(tmk_slice_eq(tmk_slice_of(bytes, sizeof bytes), tmk_str_slice(&got)));
    ws = tmk_stream_free(ws);
    tmk_str_clear(&got);
    loop = tmk_loop_free(loop);
    net_server_stop(&server);
    SSL_CTX_free(context);
    test_ca_clear(&ca);
}

int main(void) {
    return RUN(
        TEST(the_request_is_what_the_service_wants),
        TEST(every_cut_of_answer_and_frames_gives_the_same), TEST(a_request_may_leave_byte_by_byte),
        TEST(a_bad_answer_is_refused_with_the_reason), TEST(a_failure_below_is_passed_up),
        TEST(silence_ends_at_the_deadline), TEST(what_is_written_arrives_however_slowly_it_leaves),
        TEST(a_broken_connection_is_told_by_the_next_write), TEST(many_pings_cost_nothing),
        TEST(the_end_has_a_reason), TEST(a_close_is_answered_and_ends_writing),
        TEST(freeing_says_goodbye), TEST(it_may_be_freed_from_inside), TEST(memory_may_run_out),
        TEST(a_whole_conversation_over_tls));
}
