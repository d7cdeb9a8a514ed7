/* URLs, taken apart without a trace of the password in an error. */
#include "base/uri.h"

#include "base/status.h"
#include "support/check.h"

static void all_parts_are_found(void) {
    tmk_uri u;

    CHECK_EQ(TMK_OK, tmk_uri_parse(TMK_LIT("http://us%20er:p@ss:w@proxy.example:3128/a/b?c=d?e#f"),
                                   &u, NULL));
    CHECK_SLICE("http", u.scheme);
    CHECK_SLICE("us%20er", u.user);
    CHECK_SLICE("p@ss:w", u.password);
    CHECK_SLICE("proxy.example", u.host);
    CHECK_EQ(3128, u.port);
    CHECK_SLICE("/a/b", u.path);
    CHECK_SLICE("c=d?e", u.query);
}

static void what_is_missing_is_empty(void) {
    tmk_uri u;

    CHECK_EQ(TMK_OK, tmk_uri_parse(TMK_LIT("sb://ns.servicebus.windows.net"), &u, NULL));
    CHECK_SLICE("ns.servicebus.windows.net", u.host);
    CHECK_EQ(0, u.port);
    CHECK_SLICE("", u.user);
    CHECK_SLICE("", u.password);
    CHECK_SLICE("", u.path);
    CHECK_SLICE("", u.query);
    CHECK_EQ(TMK_OK, tmk_uri_parse(TMK_LIT("https://[::1]:8443?x"), &u, NULL));
    CHECK_SLICE("::1", u.host);
    CHECK_EQ(8443, u.port);
    CHECK_SLICE("x", u.query);
}

static void bad_urls_are_refused_without_repeating_them(void) {
    static const char *const bad[] = {"",
                                      "host",
                                      "http:/x",
                                      "://x",
                                      "http://",
                                      "http://:80",
                                      "http://u:canary@",
                                      "http://h:0/",
                                      "http://h:65536/",
                                      "http://h:x/",
                                      "http://h:",
                                      "http://[::1",
                                      "http://[]:5",
                                      "http://h/a b",
                                      "http://h/\r\nX: y",
                                      "http://h\xc3\xa4/",
                                      "ht tp://h/",
                                      "http://a b/",
                                      "http://h:+80/",
                                      "http://u:canary@h h/",
                                      "http://[::1]80/",
                                      "canary://u:canary@x:y:z"};
    tmk_uri u = {.port = 7};
    tmk_error err;

    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK_EQ(TMK_EINVAL, tmk_uri_parse(tmk_slice_str(bad[n]), &u, &err));
        CHECK(strstr(err.text, "canary") == NULL);
    }
    CHECK_EQ(7, u.port);
}

static void a_port_stays_where_none_is_given(void) {
    tmk_slice host = {NULL, 0};
    uint16_t port = 5671;

    CHECK_EQ(TMK_OK, tmk_host_port_parse(TMK_LIT("10.0.0.5"), &host, &port, NULL));
    CHECK_SLICE("10.0.0.5", host);
    CHECK_EQ(5671, port);
    CHECK_EQ(TMK_OK, tmk_host_port_parse(TMK_LIT("[fe80::1%eth0]:443"), &host, &port, NULL));
    CHECK_SLICE("fe80::1%eth0", host);
    CHECK_EQ(443, port);
    CHECK_EQ(TMK_EINVAL, tmk_host_port_parse(TMK_LIT("::1"), &host, &port, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_host_port_parse(tmk_slice_of(NULL, 0), &host, &port, NULL));
    CHECK_EQ(443, port);
    CHECK_SLICE("fe80::1%eth0", host);
}

int main(void) {
    return RUN(TEST(all_parts_are_found), TEST(what_is_missing_is_empty),
               TEST(bad_urls_are_refused_without_repeating_them),
               TEST(a_port_stays_where_none_is_given));
}
