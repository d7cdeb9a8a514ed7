/*
 * Whoever gives tokens, for tests: answers each request by the next line of a
 * script (the last one again and again) and keeps what it was asked.
 */
#ifndef TMK_TESTS_FAKE_AUTHORITY_H
#define TMK_TESTS_FAKE_AUTHORITY_H

#include "support/check.h"
#include "support/net_server.h"

typedef enum fake_trick {
    FAKE_ANSWERS = 0,
    FAKE_HANGS, /* never answers */
    FAKE_CUTS,  /* promises more than it sends */
    FAKE_ECHOES /* puts what it was sent into its answer */
} fake_trick;

typedef struct fake_line {
    int code;
    const char *body;
    const char *headers; /* "Name: value\r\n" ..., or NULL */
    fake_trick trick;
} fake_line;

enum { fake_lines_max = 8 };

/* A line as the server's thread takes it with it. */
typedef struct fake_copy {
    int code;
    fake_trick trick;
    char body[1024], headers[512];
} fake_copy;

typedef struct fake_authority {
    net_server server;
    tmk_mutex lock; /* rank 901; guards what follows */
    fake_copy script[fake_lines_max];
    size_t lines, place;
    int requests;
    char head[8192], body[16384]; /* of the last request */
} fake_authority;

static fake_copy fake_note_(fake_authority *f, const tmk_str *head, const tmk_str *body) {
    fake_copy line;

    tmk_mutex_lock(&f->lock);
    line = f->script[f->place];
    f->place += f->place + 1 < f->lines;
    f->requests++;
    (void)snprintf(f->head, sizeof f->head, "%s", tmk_str_text(head));
    (void)snprintf(f->body, sizeof f->body, "%s", tmk_str_text(body));
    tmk_mutex_unlock(&f->lock);
    return line;
}

static bool fake_answer_(net_connection *c, const fake_copy *line, const tmk_str *head,
                         const tmk_str *body) {
    tmk_str out = TMK_STR_INIT;
    tmk_str text = TMK_STR_INIT;
    bool good;

    if (line->trick == FAKE_HANGS) {
        (void)net_wait_end(c);
        return false;
    }
    if (line->trick == FAKE_ECHOES) {
        tmk_str_add(&text, "{\"error\":\"invalid_client\",\"error_description\":");
        tmk_str_add_json(&text, tmk_str_slice(body->size > 0 ? body : head));
        tmk_str_add(&text, "}");
    } else {
        tmk_str_add(&text, line->body);
    }
    tmk_str_addf(&out, "HTTP/1.1 %d Words\r\nContent-Length: %zu\r\n%s\r\n", line->code,
                 text.size + (line->trick == FAKE_CUTS ? 100 : 0), line->headers);
    tmk_str_add_slice(&out, tmk_str_slice(&text));
    good = net_send(c, tmk_str_slice(&out)) && line->trick != FAKE_CUTS;
    tmk_str_clear(&out);
    tmk_str_clear(&text);
    return good;
}

static void fake_serve_(net_connection *c) {
    fake_authority *f = c->server->user;
    tmk_str head = TMK_STR_INIT;
    tmk_str body = TMK_STR_INIT;

    while (net_read_request(c, &head, &body)) {
        fake_copy line = fake_note_(f, &head, &body);

        if (!fake_answer_(c, &line, &head, &body)) {
            break;
        }
    }
    tmk_str_clear(&head);
    tmk_str_clear(&body);
}

static void fake_script(fake_authority *f, const fake_line *script, size_t lines) {
    CHECK(lines <= fake_lines_max);
    tmk_mutex_lock(&f->lock);
    for (size_t i = 0; i < lines; i++) {
        fake_copy *to = &f->script[i];

        to->code = script[i].code;
        to->trick = script[i].trick;
        (void)snprintf(to->body, sizeof to->body, "%s", script[i].body);
        (void)snprintf(to->headers, sizeof to->headers, "%s",
                       script[i].headers == NULL ? "" : script[i].headers);
    }
    f->lines = lines;
    f->place = 0;
    f->requests = 0;
    tmk_mutex_unlock(&f->lock);
}

static void fake_start(fake_authority *f) {
    static const fake_line none = {500, "", NULL, FAKE_ANSWERS};

    memset(f, 0, sizeof *f);
    CHECK_EQ(TMK_OK, tmk_mutex_init(&f->lock, 901, NULL));
    fake_script(f, &none, 1);
    net_server_start(&f->server, fake_serve_, f);
}

__attribute__((unused)) static void fake_stop(fake_authority *f) {
    net_server_stop(&f->server);
    tmk_mutex_clear(&f->lock);
}

__attribute__((unused)) static int fake_requests(fake_authority *f) {
    int requests;

    tmk_mutex_lock(&f->lock);
    requests = f->requests;
    tmk_mutex_unlock(&f->lock);
    return requests;
}

/* Whether the last request has this text, in its head or body. */
__attribute__((unused)) static bool fake_saw(fake_authority *f, const char *text) {
    bool saw;

    tmk_mutex_lock(&f->lock);
    saw = strstr(f->head, text) != NULL || strstr(f->body, text) != NULL;
    tmk_mutex_unlock(&f->lock);
    return saw;
}

#endif
