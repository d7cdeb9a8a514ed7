/*
 * The blob store with each allocation failing in turn, over real connections:
 * every question is answered, nothing leaks. The server is a process of its
 * own, so that its memory does not fail.
 */
#include <tidemark/store_blob_inspect.h>

#include "base/call.h"

#include "support/check.h"
#include "support/failing.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOKEN "11111111-1111-4111-8111-111111111111"

static char connection_string[128];

/* One more part of the names "ns/hub/g/". */
static const char *names_below(const char *head) {
    static const char *const asked[] = {"prefix=&", "prefix=ns%2F&", "prefix=ns%2Fhub%2F&"};
    static const char *const below[] = {"ns/", "ns/hub/", "ns/hub/g/"};

    for (size_t i = 0; i < 3; i++) {
        if (strstr(head, asked[i]) != NULL) {
            return below[i];
        }
    }
    return "other/";
}

static const char *names_answer(const char *head) {
    static char body[256], text[512];

    (void)snprintf(body, sizeof body,
                   "<EnumerationResults><Blobs><BlobPrefix><Name>%s</Name></BlobPrefix></Blobs>"
                   "</EnumerationResults>",
                   names_below(head));
    (void)snprintf(text, sizeof text, "HTTP/1.1 200 X\r\nContent-Length: %zu\r\n\r\n%s",
                   strlen(body), body);
    return text;
}

/* Grants whatever is asked. */
static const char *answer_to(const char *head) {
    static const char list[] = "<EnumerationResults><Blobs><Blob><Name>ns/hub/g/checkpoint/0</Name>"
                               "<Properties><Etag>0x1</Etag></Properties><Metadata>"
                               "<sequencenumber>1</sequencenumber></Metadata></Blob></Blobs>"
                               "</EnumerationResults>";
    static char text[512];

    if (strstr(head, "delimiter=") != NULL) {
        return names_answer(head);
    }
    if (strstr(head, "comp=list") != NULL) {
        (void)snprintf(text, sizeof text, "HTTP/1.1 200 X\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(list), list);
        return text;
    }
    return strncmp(head, "HEAD", 4) == 0 || strncmp(head, "GET", 3) == 0
               ? "HTTP/1.1 200 X\r\nETag: \"0x1\"\r\nx-ms-meta-sequencenumber: 1\r\n"
                 "x-ms-meta-tidemarkowner: o\r\nContent-Length: 0\r\n\r\n"
               : "HTTP/1.1 201 X\r\nETag: \"0x1\"\r\nContent-Length: 0\r\n\r\n";
}

typedef struct client {
    char text[8192];
    size_t size;
} client;

/* Answers what is whole in a client's text; false: it is gone. */
static bool serve(client *c, int fd) {
    ssize_t got = recv(fd, c->text + c->size, sizeof c->text - 1 - c->size, 0);
    char *end;

    if (got <= 0) {
        return false;
    }
    c->size += (size_t)got;
    c->text[c->size] = '\0';
    while ((end = strstr(c->text, "\r\n\r\n")) != NULL) {
        const char *length = strstr(c->text, "Content-Length:");
        size_t whole = (size_t)(end - c->text) + 4;
        const char *answer = answer_to(c->text);

        whole += length != NULL && length < end ? strtoul(length + 15, NULL, 10) : 0;
        if (whole > c->size) {
            return true;
        }
        if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0) {
            return false;
        }
        c->size -= whole;
        memmove(c->text, c->text + whole, c->size + 1);
    }
    return true;
}

static void serve_all(int listener) {
    enum { CLIENTS = 64 };
    static client clients[CLIENTS];
    struct pollfd polls[CLIENTS];

    for (size_t i = 0; i < CLIENTS; i++) {
        polls[i] = (struct pollfd){.fd = i == 0 ? listener : -1, .events = POLLIN};
    }
    while (poll(polls, CLIENTS, -1) >= 0) {
        for (size_t i = 1; i < CLIENTS; i++) {
            if (polls[i].fd >= 0 && polls[i].revents != 0 && !serve(&clients[i], polls[i].fd)) {
                (void)close(polls[i].fd);
                polls[i].fd = -1;
            } else if (polls[i].fd < 0 && polls[0].revents != 0) {
                polls[i].fd = accept(listener, NULL, NULL);
                polls[i].revents = 0;
                clients[i].size = 0;
                polls[0].revents = 0;
            }
        }
    }
}

static pid_t start_server(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(listener, 64) != 0 || getsockname(listener, (struct sockaddr *)&at, &size) != 0) {
        exit(99);
    }
    pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve_all(listener);
        _exit(1);
    }
    (void)close(listener);
    (void)snprintf(connection_string, sizeof connection_string,
                   "AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:%d",
                   ntohs(at.sin_port));
    return pid;
}

static bool ask(tmk_store store, tmk_store_op_kind kind) {
    tmk_partition_record r = {.owner = "w",
                              .generation = 1,
                              .checkpoint = {true, true, 2, "3", {(const uint8_t *)"map", 3}}};
    tmk_store_op op = {.kind = kind,
                       .id = "0",
                       .token = TOKEN,
                       .token_next = TOKEN,
                       .version = kind == TMK_STORE_PARTITION_CLAIM ? "0x1" : "",
                       .body = "body",
                       .record = &r,
                       .lease_ms = 20000,
                       .timeout_ms = 1000};
    tmk_store_result *result = NULL;
    tmk_status st = tmk_store_ask(store, &op, &result, NULL);

    result = tmk_store_result_free(result);
    return st == TMK_OK;
}

static bool run(const tmk_store_op_kind *kinds, size_t count, tmk_claims claims) {
    tmk_store_blob_options o;
    tmk_store store;
    bool good = true;

    tmk_store_blob_options_init(&o);
    o.connection_string = connection_string;
    o.container = "box";
    o.create_container = true;
    o.host = "ns";
    o.hub = "hub";
    o.group = "g";
    o.claims = claims;
    if (tmk_store_blob_new(&o, &store, NULL) != TMK_OK) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        good = ask(store, kinds[i]) && good;
    }
    tmk_store_free(store);
    return good;
}

static bool lists_and_members(void) {
    static const tmk_store_op_kind kinds[] = {TMK_STORE_PARTITION_LIST, TMK_STORE_MEMBER_JOIN,
                                              TMK_STORE_MEMBER_EVICT};

    return run(kinds, 3, TMK_CLAIMS_LEASE);
}

static bool partitions_under_leases(void) {
    static const tmk_store_op_kind kinds[] = {TMK_STORE_PARTITION_CLAIM, TMK_STORE_PARTITION_WRITE,
                                              TMK_STORE_PARTITION_READ,
                                              TMK_STORE_PARTITION_RELEASE};

    return run(kinds, 4, TMK_CLAIMS_LEASE);
}

static bool partitions_shared(void) {
    static const tmk_store_op_kind kinds[] = {TMK_STORE_PARTITION_LIST, TMK_STORE_PARTITION_READ};

    return run(kinds, 2, TMK_CLAIMS_SHARED);
}

static bool an_inspection(void) {
    tmk_store_blob_options o;
    tmk_blob_report *r = NULL;
    bool good;

    tmk_store_blob_options_init(&o);
    o.connection_string = connection_string;
    o.container = "box";
    o.host = "NS";
    o.hub = "hub";
    o.group = "g";
    if (tmk_store_blob_inspect(&o, true, 5000, &r, NULL) != TMK_OK) {
        return false;
    }
    good = r->list.status == TMK_OK && r->write_tried && r->write.status == TMK_OK &&
           r->fleet_count == 1 && r->fleets[0].checkpoints == 1;
    r = tmk_blob_report_free(r);
    return good;
}

static void an_inspection_without_memory(void) {
    failing_each(an_inspection);
}

static void lists_and_members_without_memory(void) {
    failing_each(lists_and_members);
}

static void partitions_under_leases_without_memory(void) {
    failing_each(partitions_under_leases);
}

static void partitions_shared_without_memory(void) {
    failing_each(partitions_shared);
}

int main(void) {
    pid_t server = start_server();
    int failures =
        RUN(TEST(lists_and_members_without_memory), TEST(partitions_under_leases_without_memory),
            TEST(partitions_shared_without_memory), TEST(an_inspection_without_memory));

    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    return failures;
}
