/*
 * When a key has been used and let go, no copy of it is left in the process:
 * all writable memory is searched for it. The search pattern is kept inverted,
 * so that it does not find itself.
 */
#include <tidemark/store_blob.h>

#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"
#include "support/tls.h"
#include "support/token_rig.h"

#include "auth/connection_string.h"
#include "auth/storage_key.h"
#include "base/rng.h"
#include "base/str.h"

enum { secret_size = 40, text_room = 4096 };

static token_rig rig;
static uint8_t inverted[secret_size];
static char *page; /* where the test itself writes the secret; wiped before the search */

static void make_secret(char out[secret_size]) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    tmk_rng rng;

    tmk_rng_seed_system(&rng);
    for (int i = 0; i < secret_size; i++) {
        out[i] = letters[tmk_rng_below(&rng, sizeof letters - 1)];
        inverted[i] = (uint8_t)~out[i];
    }
}

static bool is_here(const uint8_t *at) {
    for (int i = 0; i < secret_size; i++) {
        if ((at[i] ^ inverted[i]) != 0xff) {
            return false;
        }
    }
    return true;
}

static size_t count_in(const uint8_t *from, const uint8_t *to) {
    size_t found = 0;

    for (const uint8_t *at = from; at + secret_size <= to; at++) {
        found += is_here(at);
    }
    return found;
}

/* Occurrences in all memory of this process that can be written. */
static size_t count_copies(void) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    size_t found = 0;

    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        uintptr_t from, to;
        char rights[8];

        CHECK_EQ(3, sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, rights));
        if (rights[0] == 'r' && rights[1] == 'w') {
            found += count_in((const uint8_t *)from, (const uint8_t *)to);
        }
    }
    (void)fclose(maps);
    return found;
}

/* Writes a new secret between the two into `page`. */
static const char *text_with_secret(const char *before, const char *after) {
    char *secret = page + strlen(before);

    memcpy(page, before, strlen(before));
    make_secret(secret);
    strcpy(secret + secret_size, after);
    return page;
}

static void forget(void) {
    tmk_wipe(page, text_room);
}

static void the_search_finds_what_is_there(void) {
    (void)text_with_secret("", "");
    CHECK_EQ(1, count_copies());
    forget();
    CHECK_EQ(0, count_copies());
}

static void a_key_leaves_nothing_behind(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    CHECK_EQ(TMK_OK,
             tmk_credential_connection_string(
                 text_with_secret("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=", ""),
                 &c, &err));
    forget();
    CHECK_EQ(1, count_copies()); /* the credential's own */
    CHECK(rig_open(&rig, c));
    CHECK(rig_get(&rig, false));
    CHECK_EQ(1, count_copies());
    rig_close(&rig);
    CHECK_EQ(0, count_copies());
}

static void a_refused_string_leaves_nothing_behind(void) {
    tmk_hub_string s;
    tmk_error err;

    CHECK_EQ(TMK_EINVAL, tmk_hub_string_parse(tmk_slice_str(text_with_secret(
                                                  "Endpoint=sb://h/;SharedAccessKey=", "")),
                                              &s, &err));
    forget();
    CHECK_EQ(0, count_copies());
}

/* The signature is a secret of its own while it lives. */
static void a_storage_key_leaves_nothing_behind(void) {
    tmk_storage_request r = {.method = "GET", .path = TMK_LIT("/c")};
    tmk_storage_string s = {NULL};
    tmk_str header = TMK_STR_INIT;
    tmk_error err;

    CHECK_EQ(TMK_OK,
             tmk_storage_string_parse(
                 tmk_slice_str(text_with_secret("AccountName=a;AccountKey=", "")), &s, &err));
    forget();
    CHECK_EQ(TMK_OK, tmk_storage_sign(&r, s.account, s.key, &header, &err));
    CHECK_EQ(0, count_copies()); /* it is kept decoded */
    tmk_str_clear(&header);
    tmk_storage_string_clear(&s);
    CHECK_EQ(0, count_copies());
}

static void on_ask(void *self, tmk_token_ask *ask) {
    tmk_token_reply r = {.size = sizeof r, .token = self, .lives_ms = 60000};
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_token_ask_answer(ask, &r, &err));
    forget();
}

static void a_token_leaves_nothing_behind(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    (void)text_with_secret("", "");
    CHECK_EQ(TMK_OK, tmk_credential_callback(TMK_TOKEN_JWT, on_ask, page, NULL, &c, &err));
    CHECK(rig_open(&rig, c));
    CHECK(rig_get(&rig, false));
    CHECK_EQ(1, count_copies());
    rig_close(&rig);
    CHECK_EQ(0, count_copies());
}

/* ---- over the wire: a server in a process of its own, whose memory does not count ---- */

static SSL_CTX *tls; /* NULL: plain */

static ssize_t read_some(int fd, SSL *ssl, char *to, size_t room) {
    return ssl == NULL ? recv(fd, to, room, 0) : SSL_read(ssl, to, (int)room);
}

static void write_all(int fd, SSL *ssl, const char *text) {
    if (ssl == NULL) {
        (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
    } else {
        (void)SSL_write(ssl, text, (int)strlen(text));
    }
}

static SSL *begin_tls(int fd) {
    SSL *ssl = tls == NULL ? NULL : SSL_new(tls);

    if (ssl != NULL && (SSL_set_fd(ssl, fd) != 1 || SSL_accept(ssl) != 1)) {
        SSL_free(ssl);
        ssl = NULL;
    }
    return ssl;
}

/* Answers every request by the same text, until it is killed. */
static void serve_text(int listener, const char *answer) {
    char asked[8192];

    for (;;) {
        int fd = accept(listener, NULL, NULL);
        SSL *ssl = begin_tls(fd);
        size_t size = 0;
        ssize_t got = 0;

        while (fd >= 0 && (got = read_some(fd, ssl, asked + size, sizeof asked - 1 - size)) > 0) {
            const char *end, *length;
            size += (size_t)got;
            asked[size] = '\0';
            end = strstr(asked, "\r\n\r\n");
            length = strcasestr(asked, "Content-Length:");
            if (end != NULL &&
                asked + size >=
                    end + 4 +
                        (length != NULL && length < end ? strtol(length + 15, NULL, 10) : 0)) {
                write_all(fd, ssl, answer);
                size = 0;
            }
        }
        SSL_free(ssl);
        (void)close(fd);
    }
}

static int server_port;

static pid_t start_server(const char *answer) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&at, sizeof at) == 0 &&
          listen(listener, 16) == 0 && getsockname(listener, (struct sockaddr *)&at, &size) == 0);
    server_port = ntohs(at.sin_port);
    pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve_text(listener, answer);
    }
    (void)close(listener);
    CHECK(pid > 0);
    return pid;
}

static void stop_server(pid_t pid) {
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

#define TOKEN_HEAD                                                                \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n" \
    "\r\n{\"token_type\":\"Bearer\",\"expires_in\":3599,\"access_token\":\""

/* A token as the authority's answer brings it: through curl's buffers and jansson's. */
static void take_token(const char *scheme, const char *ca) {
    tmk_entra_options o;
    tmk_credential *c = NULL;
    tmk_error err;
    char authority[64];
    pid_t server = start_server(text_with_secret(TOKEN_HEAD, "\"}"));

    forget();
    (void)snprintf(authority, sizeof authority, "%s://127.0.0.1:%d", scheme, server_port);
    tmk_entra_options_init(&o);
    o.authority = authority;
    o.tls_ca_file = ca;
    o.danger_plain_loopback = true;
    CHECK_EQ(TMK_OK, tmk_credential_client_secret("t", "c", "s3cr3t", &o, &c, &err));
    CHECK(rig_open(&rig, c));
    CHECK(rig_get(&rig, false));
    CHECK(count_copies() >= 1);
    rig_close(&rig);
    CHECK_EQ(0, count_copies());
    stop_server(server);
}

static void a_token_that_an_authority_gives_leaves_nothing_behind(void) {
    take_token("http", NULL);
}

static void nor_does_one_that_came_over_tls(void) {
    test_ca ca;

    test_ca_make(&ca);
    tls = test_tls_context(&ca, "127.0.0.1", -60, 3600);
    take_token("https", ca.path);
    SSL_CTX_free(tls);
    tls = NULL;
    test_ca_clear(&ca);
}

static void a_client_secret_that_was_posted_leaves_nothing_behind(void) {
    tmk_entra_options o;
    tmk_credential *c = NULL;
    tmk_error err;
    char authority[64];
    pid_t server = start_server("HTTP/1.1 200 OK\r\nContent-Length: 63\r\n\r\n{\"token_type\":"
                                "\"Bearer\",\"expires_in\":3599,\"access_token\":\"abcd\"}");

    (void)snprintf(authority, sizeof authority, "http://127.0.0.1:%d", server_port);
    tmk_entra_options_init(&o);
    o.authority = authority;
    o.danger_plain_loopback = true;
    CHECK_EQ(TMK_OK,
             tmk_credential_client_secret("t", "c", text_with_secret("", ""), &o, &c, &err));
    forget();
    CHECK(rig_open(&rig, c));
    CHECK(rig_get(&rig, false));
    rig_close(&rig);
    CHECK_EQ(0, count_copies());
    stop_server(server);
}

static void ask_a_store(tmk_credential *c) {
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_READ, .id = "0", .timeout_ms = 5000};
    tmk_store_result *result = NULL;
    tmk_store_blob_options o;
    tmk_store store;
    tmk_error err;
    char url[64];

    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", server_port);
    tmk_store_blob_options_init(&o);
    o.account_url = url;
    o.credential = c;
    o.container = "box";
    o.host = "ns";
    o.hub = "hub";
    CHECK_EQ(TMK_OK, tmk_store_blob_new(&o, &store, &err));
    CHECK_EQ(TMK_OK, tmk_store_ask(store, &op, &result, &err));
    result = tmk_store_result_free(result);
    tmk_store_free(store);
    tmk_credential_free(c);
}

#define BLOB_ANSWER "HTTP/1.1 200 OK\r\nETag: \"0x1\"\r\nContent-Length: 0\r\n\r\n"

static void a_token_that_was_sent_to_storage_leaves_nothing_behind(void) {
    tmk_credential *c = NULL;
    tmk_error err;
    pid_t server = start_server(BLOB_ANSWER);

    (void)text_with_secret("", "");
    CHECK_EQ(TMK_OK, tmk_credential_callback(TMK_TOKEN_JWT, on_ask, page, NULL, &c, &err));
    ask_a_store(c);
    CHECK_EQ(0, count_copies());
    stop_server(server);
}

static void a_signature_that_was_sent_to_storage_leaves_nothing_behind(void) {
    tmk_credential *c = NULL;
    tmk_error err;
    pid_t server = start_server(BLOB_ANSWER);

    CHECK_EQ(TMK_OK, tmk_credential_sas(text_with_secret("sv=2021-12-02&sr=c&sig=", ""), &c, &err));
    forget();
    ask_a_store(c);
    CHECK_EQ(0, count_copies());
    stop_server(server);
}

/* A sanitizer maps terabytes, and does not let its own parts be read. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

int main(void) {
    void *mapped =
        mmap(NULL, text_room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

#ifdef SANITIZED
    puts("1..0 # SKIP memory cannot be searched under a sanitizer");
    return 0;
#endif
    if (mapped == MAP_FAILED) {
        return 99;
    }
    page = mapped;
    return RUN(TEST(the_search_finds_what_is_there), TEST(a_key_leaves_nothing_behind),
               TEST(a_refused_string_leaves_nothing_behind),
               TEST(a_storage_key_leaves_nothing_behind), TEST(a_token_leaves_nothing_behind),
               TEST(a_token_that_an_authority_gives_leaves_nothing_behind),
               TEST(nor_does_one_that_came_over_tls),
               TEST(a_client_secret_that_was_posted_leaves_nothing_behind),
               TEST(a_token_that_was_sent_to_storage_leaves_nothing_behind),
               TEST(a_signature_that_was_sent_to_storage_leaves_nothing_behind));
}
