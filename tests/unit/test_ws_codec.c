/* The WebSocket codec against the RFC's examples, every cut, and a hostile peer. */
#include "net/ws_codec.h"

#include "base/status.h"
#include "support/check.h"

static const char rfc_key[] = "dGhlIHNhbXBsZSBub25jZQ==";

static void the_key_of_the_rfc_gives_its_answer(void) {
    char accept[TMK_WS_ACCEPT_SIZE];

    CHECK(tmk_ws_accept_make(tmk_slice_str(rfc_key), accept));
    CHECK_STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept);
    CHECK(!tmk_ws_accept_make(tmk_slice_of(rfc_key, 100000), accept));
}

static void both_sides_agree_on_an_upgrade(void) {
    tmk_str request = TMK_STR_INIT;
    tmk_str response = TMK_STR_INIT;
    tmk_ws_request parsed;
    char key[TMK_WS_KEY_SIZE];
    tmk_rng rng;

    tmk_rng_seed(&rng, 1);
    tmk_ws_key_make(&rng, key);
    tmk_ws_request_write(&request, "::1", 8080, "/$servicebus/websocket", key);
    CHECK_EQ(request.size, tmk_ws_head_size(tmk_str_slice(&request)));
    CHECK_EQ(TMK_OK, tmk_ws_request_parse(tmk_str_slice(&request), &parsed, NULL));
    CHECK_SLICE("/$servicebus/websocket", parsed.path);
    CHECK_SLICE("[::1]:8080", parsed.host);
    CHECK_SLICE(key, parsed.key);
    CHECK_STR(TMK_WS_AMQP, parsed.protocol);
    tmk_ws_response_write(&response, parsed.key, parsed.protocol);
    CHECK_EQ(TMK_OK, tmk_ws_response_check(tmk_str_slice(&response), key, NULL));
    tmk_str_clear(&request);
    tmk_str_clear(&response);
}

static void a_head_ends_with_an_empty_line(void) {
    CHECK_EQ(0, tmk_ws_head_size(TMK_LIT("")));
    CHECK_EQ(0, tmk_ws_head_size(TMK_LIT("GET / HTTP/1.1\r\nA: b\r\n\r")));
    CHECK_EQ(4, tmk_ws_head_size(TMK_LIT("\r\n\r\n\x82")));
}

#define GOOD_LINES                                              \
    "Upgrade: WebSocket\r\nConnection: keep-alive, UPGRADE\r\n" \
    "sec-websocket-accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"     \
    "Sec-WebSocket-Protocol: AMQPWSB10\r\n"

static void answers_are_judged_line_by_line(void) {
    static const struct {
        const char *head;
        tmk_status expected;
        const char *origin;
    } rows[] = {
        {"HTTP/1.1 101 x\r\n" GOOD_LINES "\r\n", TMK_OK, ""},
        {"HTTP/1.1 101\r\n" GOOD_LINES "\r\n", TMK_OK, ""},
        {"HTTP/1.1 401 Unauthorized\r\n\r\n", TMK_EAUTH, "http:401"},
        {"HTTP/1.1 404 Not Found\r\n\r\n", TMK_ENOTFOUND, "http:404"},
        {"HTTP/1.1 302 Found\r\nLocation: x\r\n\r\n", TMK_EPROTO, "http:302"},
        {"HTTP/1.1 503 Busy\r\n\r\n", TMK_EBUSY, "http:503"},
        {"HTTP/1.1 500 Oops\r\n\r\n", TMK_EREMOTE, "http:500"},
        {"HTTP/1.0 101 x\r\n" GOOD_LINES "\r\n", TMK_EPROTO, "websocket"},
        {"AMQP\0\1\0\0\r\n\r\n", TMK_EPROTO, "websocket"},
        {"HTTP/1.1 -01 x\r\n\r\n", TMK_EPROTO, "websocket"},
        {"HTTP/1.1 1\r\n\r\n", TMK_EPROTO, "websocket"},
        {"", TMK_EPROTO, "websocket"},
        {"\r\n\r\n", TMK_EPROTO, "websocket"},
        {"HTTP/1.1 101 x\r\n\r\n", TMK_EPROTO, "websocket"},
        {"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", TMK_EPROTO, "websocket"},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: AAAA\r\nSec-WebSocket-Protocol: AMQPWSB10\r\n\r\n",
         TMK_EPROTO, "websocket"},
        {"HTTP/1.1 101 x\r\n" GOOD_LINES "Sec-WebSocket-Accept: x\r\n\r\n", TMK_EPROTO,
         "websocket"},
        {"HTTP/1.1 101 x\r\n" GOOD_LINES "Sec-WebSocket-Protocol: amqp\r\n\r\n", TMK_EPROTO,
         "websocket"},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
         TMK_EPROTO, "websocket"},
        {"HTTP/1.1 101 x\r\n" GOOD_LINES "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
         TMK_EPROTO, "websocket"},
    };

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        tmk_error err = {0};

        CHECK_EQ(rows[n].expected,
                 tmk_ws_response_check(tmk_slice_str(rows[n].head), rfc_key, &err));
        CHECK_STR(rows[n].origin, err.origin);
        CHECK_EQ(err.retryable, err.status == TMK_EBUSY || err.status == TMK_EREMOTE);
    }
}

#define REQUEST_LINES                                                                       \
    "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void requests_are_judged_line_by_line(void) {
    static const char *const bad[] = {
        "",
        "\r\n\r\n",
        "POST / HTTP/1.1\r\n" REQUEST_LINES "\r\n",
        "GET x HTTP/1.1\r\n" REQUEST_LINES "\r\n",
        "GET / HTTP/1.0\r\n" REQUEST_LINES "\r\n",
        "GET / a HTTP/1.1\r\n" REQUEST_LINES "\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n" REQUEST_LINES "Host: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBs*SBub25jZQ==\r\n\r\n"};
    tmk_ws_request r = {.protocol = "before"};

    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK_EQ(TMK_EPROTO, tmk_ws_request_parse(tmk_slice_str(bad[n]), &r, NULL));
        CHECK_STR("before", r.protocol);
    }
    CHECK_EQ(TMK_OK, tmk_ws_request_parse(TMK_LIT("GET /p?q=1 HTTP/1.1\r\n" REQUEST_LINES
                                                  "sec-websocket-protocol: mqtt\r\n\r\n"),
                                          &r, NULL));
    CHECK(r.protocol == NULL);
    CHECK_SLICE("/p?q=1", r.path);
    CHECK_EQ(TMK_OK,
             tmk_ws_request_parse(TMK_LIT("GET / HTTP/1.1\r\n" REQUEST_LINES
                                          "Sec-WebSocket-Protocol: amqp, AMQPWSB10\r\n\r\n"),
                                  &r, NULL));
    CHECK_STR("AMQPWSB10", r.protocol);
    CHECK_EQ(TMK_OK, tmk_ws_request_parse(TMK_LIT("GET https://h:1/p HTTP/1.1\r\n" REQUEST_LINES
                                                  "Sec-WebSocket-Protocol: AMQPWSB10\r\n\r\n"),
                                          &r, NULL));
    CHECK_SLICE("/p", r.path);
    CHECK_EQ(TMK_EPROTO,
             tmk_ws_request_parse(TMK_LIT("GET https://h:1 HTTP/1.1\r\n" REQUEST_LINES "\r\n"), &r,
                                  NULL));
    CHECK_EQ(TMK_EPROTO, tmk_ws_request_parse(
                             TMK_LIT("GET ftp://h/p HTTP/1.1\r\n" REQUEST_LINES "\r\n"), &r, NULL));
    CHECK_EQ(TMK_OK, tmk_ws_request_parse(TMK_LIT("GET / HTTP/1.1\r\n" REQUEST_LINES
                                                  "Sec-WebSocket-Protocol: mqtt, amqp\r\n\r\n"),
                                          &r, NULL));
    CHECK_STR("amqp", r.protocol);
}

static void a_refusal_is_a_refusal(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_error err;

    tmk_ws_refusal_write(&s, 400, "Bad Request");
    CHECK_EQ(s.size, tmk_ws_head_size(tmk_str_slice(&s)));
    CHECK_EQ(TMK_EPROTO, tmk_ws_response_check(tmk_str_slice(&s), rfc_key, &err));
    CHECK_STR("http:400", err.origin);
    tmk_str_clear(&s);
}

/* What a reader makes of bytes: "data(...)", "ping(...)" and so on, data joined. */
static char told[512];
static void tell(const char *kind, tmk_slice payload) {
    size_t size = strlen(told);

    (void)snprintf(told + size, sizeof told - size, "%s(%.*s)", kind, (int)payload.size,
                   (const char *)payload.bytes);
}

static tmk_status feed(tmk_ws_reader *r, const uint8_t *bytes, size_t size, tmk_str *data) {
    uint8_t copy[512];
    size_t at = 0;

    CHECK(size <= sizeof copy);
    memcpy(copy, bytes, size);
    for (;;) {
        tmk_ws_event e;
        size_t used = 0;
        tmk_status st = tmk_ws_read(r, copy + at, size - at, &used, &e, NULL);

        if (st < 0) {
            return st;
        }
        at += used;
        switch (e.kind) {
        case TMK_WS_EVENT_NONE:
            CHECK_EQ(size, at);
            return TMK_OK;
        case TMK_WS_EVENT_DATA:
            tmk_str_add_slice(data, e.payload);
            break;
        case TMK_WS_EVENT_PING:
            tell("ping", e.payload);
            break;
        case TMK_WS_EVENT_PONG:
            tell("pong", e.payload);
            break;
        case TMK_WS_EVENT_CLOSE:
            tell(e.code == 1000 ? "close1000" : "close", e.payload);
            break;
        }
    }
}

/* The same told and the same data, wherever the bytes are cut. */
static void check_every_cut(tmk_ws_side side, tmk_slice bytes, const char *told_expected,
                            const char *data_expected) {
    for (size_t cut = 0; cut <= bytes.size; cut++) {
        tmk_str data = TMK_STR_INIT;
        tmk_ws_reader r;

        told[0] = '\0';
        tmk_ws_reader_init(&r, side);
        CHECK_EQ(TMK_OK, feed(&r, bytes.bytes, cut, &data));
        CHECK_EQ(TMK_OK, feed(&r, bytes.bytes + cut, bytes.size - cut, &data));
        CHECK_STR(told_expected, told);
        CHECK_STR(data_expected, tmk_str_text(&data));
        tmk_str_clear(&data);
    }
}

static void frames_of_a_server_at_every_cut(void) {
    check_every_cut(TMK_WS_CLIENT,
                    TMK_LIT("\x02\x03"
                            "Hel"
                            "\x89\x05"
                            "Hello"
                            "\x00\x00" /* an empty fragment */
                            "\x80\x02"
                            "lo"
                            "\x8a\x00"
                            "\x82\x7e\x00\x80"
                            "0123456789012345678901234567890123456789012345678901234567890123"
                            "0123456789012345678901234567890123456789012345678901234567890123"
                            "\x88\x05\x03\xe8"
                            "bye"
                            "ignored"),
                    "ping(Hello)pong()close1000(bye)",
                    "Hello"
                    "0123456789012345678901234567890123456789012345678901234567890123"
                    "0123456789012345678901234567890123456789012345678901234567890123");
}

static void masked_frames_of_a_client_at_every_cut(void) {
    /* The RFC's masked "Hello" (5.7), as binary and as a ping, and a close without a code. */
    check_every_cut(TMK_WS_SERVER,
                    TMK_LIT("\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
                            "\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
                            "\x88\x80\x37\xfa\x21\x3d"),
                    "ping(Hello)close()", "Hello");
}

static void a_broken_peer_is_refused_at_every_cut(void) {
    static const struct {
        tmk_ws_side side;
        const char *bytes;
        size_t size;
    } rows[] = {
#define ROW(side, literal) {side, literal, sizeof(literal) - 1}
        ROW(TMK_WS_CLIENT, "\xc2\x00"),
        ROW(TMK_WS_CLIENT, "\x92\x00"),
        ROW(TMK_WS_CLIENT, "\x81\x00"),
        ROW(TMK_WS_CLIENT, "\x83\x00"),
        ROW(TMK_WS_CLIENT, "\x8b\x00"),
        ROW(TMK_WS_CLIENT, "\x8f\x00"),
        ROW(TMK_WS_CLIENT, "\x80\x00"),         /* continues nothing */
        ROW(TMK_WS_CLIENT, "\x02\x00\x82\x00"), /* a second message inside the first */
        ROW(TMK_WS_CLIENT, "\x09\x00"),         /* a fragmented ping */
        ROW(TMK_WS_CLIENT, "\x89\x7e\x00\x80"),
        ROW(TMK_WS_CLIENT, "\x82\x80"),
        ROW(TMK_WS_SERVER, "\x82\x00"),
        ROW(TMK_WS_CLIENT, "\x82\x7e\x00\x7d"),
        ROW(TMK_WS_CLIENT, "\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff"),
        ROW(TMK_WS_CLIENT, "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"),
        ROW(TMK_WS_CLIENT, "\x88\x01\x03"),
        ROW(TMK_WS_CLIENT, "\x88\x02\x03\xe7"),
        ROW(TMK_WS_CLIENT, "\x88\x02\x03\xed"),
        ROW(TMK_WS_CLIENT, "\x88\x03\x03\xe8\xff"),
        ROW(TMK_WS_CLIENT, "HTTP/1.1 400"),
    };

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        const uint8_t *bytes = (const uint8_t *)rows[n].bytes;

        for (size_t cut = 0; cut < rows[n].size; cut++) {
            tmk_str data = TMK_STR_INIT;
            tmk_ws_reader r;
            tmk_status st = TMK_OK;

            tmk_ws_reader_init(&r, rows[n].side);
            st = feed(&r, bytes, cut, &data);
            if (st == TMK_OK) {
                st = feed(&r, bytes + cut, rows[n].size - cut, &data);
            }
            CHECK_EQ(TMK_EPROTO, st);
            tmk_str_clear(&data);
        }
    }
}

static void what_one_side_writes_the_other_reads(void) {
    static const uint64_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 100000};
    const uint8_t mask[4] = {1, 2, 3, 250};

    for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
        for (int side = 0; side < 2; side++) {
            uint8_t head[TMK_WS_FRAME_HEAD_MAX];
            size_t size = tmk_ws_frame_head(head, TMK_WS_BINARY, sizes[n], side == 0 ? mask : NULL);
            tmk_ws_event e;
            tmk_ws_reader r;
            size_t used = 0;

            tmk_ws_reader_init(&r, side == 0 ? TMK_WS_SERVER : TMK_WS_CLIENT);
            CHECK_EQ(TMK_OK, tmk_ws_read(&r, head, size, &used, &e, NULL));
            CHECK_EQ(size, used);
            CHECK_EQ(sizes[n], r.left);
        }
    }
}

static void masking_twice_gives_the_bytes_back_from_any_place(void) {
    const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    uint8_t plain[40];
    uint8_t whole[40];

    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] = (uint8_t)(i * 7);
    }
    memcpy(whole, plain, sizeof whole);
    tmk_ws_mask(whole, sizeof whole, mask, 0);
    CHECK_EQ(plain[5] ^ 0x34, whole[5]);
    for (size_t cut = 0; cut <= sizeof plain; cut++) {
        uint8_t parts[40];

        memcpy(parts, whole, sizeof parts);
        tmk_ws_mask(parts, cut, mask, 0);
        tmk_ws_mask(parts + cut, sizeof parts - cut, mask, cut);
        CHECK_EQ(0, memcmp(plain, parts, sizeof plain));
    }
}

int main(void) {
    return RUN(TEST(the_key_of_the_rfc_gives_its_answer), TEST(both_sides_agree_on_an_upgrade),
               TEST(a_head_ends_with_an_empty_line), TEST(answers_are_judged_line_by_line),
               TEST(requests_are_judged_line_by_line), TEST(a_refusal_is_a_refusal),
               TEST(frames_of_a_server_at_every_cut), TEST(masked_frames_of_a_client_at_every_cut),
               TEST(a_broken_peer_is_refused_at_every_cut),
               TEST(what_one_side_writes_the_other_reads),
               TEST(masking_twice_gives_the_bytes_back_from_any_place));
}
