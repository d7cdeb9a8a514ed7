/*
 * Answers of an HTTP server, through curl on a local socket: whatever the bytes,
 * the request ends exactly once, within the limits of size, and what it tells
 * can be walked. The first byte chooses the method and where the bytes are cut.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/status.h"
#include "net/http_internal.h"

enum { BODY_MAX = 4096 };

typedef struct asked {
    tmk_loop *loop;
    tmk_multi multi;
    tmk_http_response response;
    CURLcode code;
    int ended;
} asked;

static void on_ended(tmk_multi *m, CURL *easy, CURLcode code) {
    asked *a = tmk_container_of(m, asked, multi);

    (void)easy;
    a->ended++;
    a->code = code;
}

static void on_broke(tmk_multi *m) {
    on_ended(m, NULL, CURLE_OUT_OF_MEMORY);
}

/* A listener without a file or a port, whose name only this process uses. */
static int listener(char name[32]) {
    static int fd = -1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(name, 32, "tmk-fuzz-http-%d", (int)getpid());
    if (fd < 0) {
        size_t size = strlen(name);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        memcpy(address.sun_path + 1, name, size); /* after a NUL: abstract */
        tmk_assert(fd >= 0 &&
                   bind(fd, (struct sockaddr *)&address,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + size)) == 0 &&
                   listen(fd, 8) == 0);
    }
    return fd;
}

static void check_response(const tmk_http_response *r) {
    tmk_http_header h;

    tmk_assert(r->body.size <= BODY_MAX && r->headers.size <= TMK_HTTP_HEADERS_MAX * 2);
    for (size_t place = 0; tmk_http_header_next(r, &place, &h);) {
        tmk_assert(h.name[0] != '\0' && strpbrk(h.value, "\r\n") == NULL);
        tmk_assert(tmk_http_header_get(r, h.name) != NULL);
        tmk_assert(place <= r->headers.size);
    }
}

/* The server's end: a piece a turn, then the end of the stream. */
static void feed(int fd, tmk_slice *left, size_t step) {
    size_t part = step < left->size ? step : left->size;

    if (part > 0) {
        ssize_t sent = send(fd, left->bytes, part, MSG_NOSIGNAL | MSG_DONTWAIT);

        *left = sent > 0 ? tmk_slice_from(*left, (size_t)sent) : tmk_slice_of(NULL, 0);
    }
    if (left->size == 0) {
        (void)shutdown(fd, SHUT_WR);
    }
}

static void run(asked *a, tmk_slice bytes, size_t step, bool head) {
    tmk_http_request request = {.method = head ? "HEAD" : "GET", .url = "http://h/"};
    tmk_http_sent sent = {0};
    CURL *easy = curl_easy_init();
    char name[32];
    int listening = listener(name);
    int fd = -1;

    tmk_assert(easy != NULL && tmk_curl_secure(easy, NULL) == CURLE_OK);
    tmk_assert(tmk_curl_proxy(easy, NULL) == CURLE_OK);
    tmk_assert(tmk_http_request_apply(&request, easy, &sent) == CURLE_OK);
    tmk_assert(tmk_http_response_attach(&a->response, easy) == CURLE_OK);
    tmk_assert(curl_easy_setopt(easy, CURLOPT_ABSTRACT_UNIX_SOCKET, name) == CURLE_OK);
    tmk_assert(tmk_multi_add(&a->multi, easy, NULL) == TMK_OK);
    tmk_assert(tmk_loop_turn(a->loop, TMK_SEC, NULL) == TMK_OK); /* curl connects */
    fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    tmk_assert(fd >= 0);
    for (int turns = 0; a->ended == 0; turns++) {
        tmk_assert(turns < 100000);
        feed(fd, &bytes, step);
        tmk_assert(tmk_loop_turn(a->loop, bytes.size == 0 ? TMK_SEC : 0, NULL) == TMK_OK);
    }
    tmk_multi_remove(&a->multi, easy);
    curl_easy_cleanup(easy);
    tmk_http_sent_clear(&sent);
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    asked a = {.multi = {.ended = on_ended, .broke = on_broke}, .response.body_max = BODY_MAX};
    tmk_slice bytes = tmk_slice_from(tmk_slice_of(data, size), 1);
    uint8_t choice = size == 0 ? 0 : data[0];

    tmk_assert(tmk_loop_new(tmk_clock_system(), &a.loop, NULL) == TMK_OK);
    tmk_assert(tmk_multi_init(&a.multi, a.loop, NULL) == TMK_OK);
    run(&a, bytes, (choice & 2) != 0 ? 1U + (choice >> 2) : SIZE_MAX, (choice & 1) != 0);
    tmk_assert(a.ended == 1);
    tmk_assert(a.code != CURLE_OK || a.response.refused == TMK_OK);
    if (a.code == CURLE_OK) {
        check_response(&a.response); /* only then is it handed on */
    }
    tmk_http_response_clear(&a.response);
    tmk_multi_clear(&a.multi);
    a.loop = tmk_loop_free(a.loop);
    return 0;
}
