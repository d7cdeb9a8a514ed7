/* See blob_service.h. */
#include "support/blob_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/time.h"

enum { PAGE = 7 };

typedef struct blob {
    char etag[24];
    int64_t modified_ms;
    tmk_str meta; /* lines "name:value\n" */
    tmk_str body;
    char lease[64];    /* the id of the last lease */
    bool leased;       /* it was neither released nor broken */
    bool broken;       /* by force */
    int64_t ends_ms;   /* -1: never */
    int64_t length_ms; /* -1: endless */
} blob;

/* A request taken apart. Texts are "" where the request has no such header. */
typedef struct asked {
    char method[8], name[1200], query[1024];
    char match[128], none_match[128], lease[64], proposed[64], action[16], duration[16];
    bool put;
    tmk_str meta;
    tmk_slice body;
} asked;

typedef struct reply {
    int code;
    const char *error;
    const blob *shown; /* its ETag and age */
    const char *lease; /* the id to be told */
    bool facts;        /* metadata and lease state too */
    tmk_str body;
} reply;

/* ---- blobs ---- */

static void free_blob(void *value) {
    blob *b = value;

    tmk_str_clear(&b->meta);
    tmk_str_clear(&b->body);
    tmk_free(b);
}

static blob *find(blob_service *s, const char *name) {
    return tmk_map_get(&s->blobs, tmk_slice_str(name));
}

static blob *make(blob_service *s, const char *name) {
    blob *b = tmk_new(blob);

    tmk_assert(b != NULL && tmk_map_put(&s->blobs, tmk_slice_str(name), b, NULL) == TMK_OK);
    return b;
}

static bool is_held(const blob_service *s, const blob *b) {
    return b != NULL && b->leased && (b->ends_ms < 0 || s->now_ms < b->ends_ms);
}

static const char *state_of(const blob_service *s, const blob *b) {
    return is_held(s, b) ? "leased" : b->leased ? "expired" : b->broken ? "broken" : "available";
}

static void changed(blob_service *s, blob *b) {
    (void)snprintf(b->etag, sizeof b->etag, "0x%08X", (unsigned)++s->etags);
    b->modified_ms = s->now_ms;
    if (b->leased && !is_held(s, b)) { /* an ended lease cannot be renewed after a write */
        b->leased = false;
    }
}

/* ---- taking requests apart ---- */

static void header(const char *head, const char *name, char *out, size_t room) {
    char line[64];
    const char *at;

    (void)snprintf(line, sizeof line, "\r\n%s:", name);
    at = strcasestr(head, line);
    out[0] = '\0';
    if (at != NULL) {
        at += strlen(line);
        at += strspn(at, " ");
        (void)snprintf(out, room, "%.*s", (int)strcspn(at, "\r"), at);
    }
}

static void take_meta(const char *head, tmk_str *meta) {
    static const char prefix[] = "\r\nx-ms-meta-";

    for (const char *at = head; (at = strcasestr(at, prefix)) != NULL;) {
        tmk_slice line, name;

        at += sizeof prefix - 1;
        line = tmk_slice_of(at, strcspn(at, "\r"));
        name = tmk_slice_cut(&line, ':', NULL);
        line = tmk_slice_trim(line);
        tmk_str_addf(meta, "%.*s:%.*s\n", (int)name.size, (const char *)name.bytes, (int)line.size,
                     (const char *)line.bytes);
    }
}

static void take_apart(const char *head, tmk_slice body, asked *a) {
    tmk_slice rest = tmk_slice_str(head), method, target, path;
    tmk_str name = TMK_STR_INIT;
    char type[32];

    *a = (asked){.body = body};
    method = tmk_slice_cut(&rest, ' ', NULL);
    target = tmk_slice_cut(&rest, ' ', NULL);
    path = tmk_slice_cut(&target, '?', NULL);
    (void)snprintf(a->method, sizeof a->method, "%.*s", (int)method.size,
                   (const char *)method.bytes);
    (void)snprintf(a->query, sizeof a->query, "%.*s", (int)target.size, (const char *)target.bytes);
    tmk_assert(tmk_str_add_unpercent(&name, path));
    tmk_assert(tmk_slice_starts(tmk_str_slice(&name), TMK_LIT("/box")));
    (void)snprintf(a->name, sizeof a->name, "%s", tmk_str_text(&name) + (name.size > 4 ? 5 : 4));
    tmk_str_clear(&name);
    header(head, "If-Match", a->match, sizeof a->match);
    header(head, "If-None-Match", a->none_match, sizeof a->none_match);
    header(head, "x-ms-lease-id", a->lease, sizeof a->lease);
    header(head, "x-ms-proposed-lease-id", a->proposed, sizeof a->proposed);
    header(head, "x-ms-lease-action", a->action, sizeof a->action);
    header(head, "x-ms-lease-duration", a->duration, sizeof a->duration);
    header(head, "x-ms-blob-type", type, sizeof type);
    a->put = type[0] != '\0';
    take_meta(head, &a->meta);
}

/* ---- carrying out ---- */

static void refuse(reply *r, int code, const char *error) {
    r->code = code;
    r->error = error;
}

static bool is_etag(const blob *b, const char *quoted) {
    char text[32];

    (void)snprintf(text, sizeof text, "\"%s\"", b->etag);
    return strcmp(quoted, text) == 0;
}

static bool passes_match(const blob *b, const asked *a, reply *r) {
    if (a->match[0] == '\0' || (b != NULL && is_etag(b, a->match))) {
        return true;
    }
    refuse(r, b == NULL ? 404 : 412, b == NULL ? "BlobNotFound" : "ConditionNotMet");
    return false;
}

/* May it be written? Names whom the lease keeps out. */
static bool passes_lease(const blob_service *s, const blob *b, const asked *a, bool reading,
                         reply *r) {
    bool same = strcasecmp(b->lease, a->lease) == 0;

    if (is_held(s, b)) {
        if (a->lease[0] == '\0' && !reading) {
            refuse(r, 412, "LeaseIdMissing");
        } else if (a->lease[0] != '\0' && !same) {
            refuse(r, reading ? 412 : 409, "LeaseIdMismatchWithBlobOperation");
        }
    } else if (a->lease[0] != '\0') {
        refuse(r, 412, b->leased && same ? "LeaseLost" : "LeaseNotPresentWithBlobOperation");
    }
    return r->error == NULL;
}

static void keep(tmk_str *to, tmk_slice what) {
    tmk_str_reset(to);
    tmk_str_add_slice(to, what);
}

static void put(blob_service *s, const asked *a, reply *r) {
    blob *b = find(s, a->name);

    if (b != NULL && strcmp(a->none_match, "*") == 0) {
        refuse(r, 409, "BlobAlreadyExists");
        return;
    }
    if (!passes_match(b, a, r) || (b != NULL && !passes_lease(s, b, a, false, r))) {
        return;
    }
    b = b == NULL ? make(s, a->name) : b;
    keep(&b->meta, tmk_str_slice(&a->meta));
    keep(&b->body, a->body);
    changed(s, b);
    r->code = 201;
    r->shown = b;
}

static void set_meta(blob_service *s, const asked *a, reply *r) {
    blob *b = find(s, a->name);

    if (b == NULL) {
        refuse(r, 404, "BlobNotFound");
        return;
    }
    if (passes_match(b, a, r) && passes_lease(s, b, a, false, r)) {
        keep(&b->meta, tmk_str_slice(&a->meta));
        changed(s, b);
        r->code = 200;
        r->shown = b;
    }
}

static void grant(blob_service *s, blob *b, const char *id, int64_t length_ms) {
    (void)snprintf(b->lease, sizeof b->lease, "%s", id);
    b->leased = true;
    b->broken = false;
    b->length_ms = length_ms;
    b->ends_ms = length_ms < 0 ? -1 : s->now_ms + length_ms;
}

static void acquire(blob_service *s, blob *b, const asked *a, reply *r) {
    int64_t seconds = strtoll(a->duration, NULL, 10);

    if (is_held(s, b) && strcasecmp(b->lease, a->proposed) != 0) {
        refuse(r, 409, "LeaseAlreadyPresent");
    } else {
        grant(s, b, a->proposed, seconds < 0 ? -1 : seconds * 1000);
        r->code = 201;
    }
}

/* renew, change, release: what the holder alone may. */
static void act_as_holder(blob_service *s, blob *b, const asked *a, reply *r) {
    bool change = strcmp(a->action, "change") == 0, same = strcasecmp(b->lease, a->lease) == 0;
    bool held = is_held(s, b), again = change && strcasecmp(b->lease, a->proposed) == 0;

    if (!b->leased || (change && !held)) {
        refuse(r, 409, "LeaseNotPresentWithLeaseOperation");
    } else if (!same && !again) {
        refuse(r, 409, "LeaseIdMismatchWithLeaseOperation");
    } else if (change) {
        (void)snprintf(b->lease, sizeof b->lease, "%s", a->proposed);
    } else if (strcmp(a->action, "renew") == 0) {
        grant(s, b, a->lease, b->length_ms);
    } else {
        b->leased = false;
    }
    r->code = r->error == NULL ? 200 : r->code;
}

static void lease(blob_service *s, const asked *a, reply *r) {
    blob *b = find(s, a->name);

    if (b == NULL) {
        refuse(r, 404, "BlobNotFound");
        return;
    }
    if (!passes_match(b, a, r)) {
        return;
    }
    if (strcmp(a->action, "acquire") == 0) {
        acquire(s, b, a, r);
    } else if (strcmp(a->action, "break") != 0) {
        act_as_holder(s, b, a, r);
    } else if (!b->leased) {
        refuse(r, 409, "LeaseNotPresentWithLeaseOperation");
    } else {
        b->leased = false;
        b->broken = true;
        r->code = 202;
    }
    r->shown = r->error == NULL ? b : NULL;
}

static void look(blob_service *s, const asked *a, reply *r) {
    blob *b = find(s, a->name);

    if (b == NULL) {
        refuse(r, 404, "BlobNotFound");
        return;
    }
    if (!passes_lease(s, b, a, true, r)) {
        return;
    }
    r->shown = b;
    if (a->none_match[0] != '\0' && is_etag(b, a->none_match)) {
        r->code = 304;
        return;
    }
    r->code = 200;
    r->facts = true;
    keep(&r->body, tmk_str_slice(&b->body));
}

static void erase(blob_service *s, const asked *a, reply *r) {
    blob *b = find(s, a->name);

    if (b == NULL) {
        refuse(r, 404, "BlobNotFound");
        return;
    }
    if (passes_match(b, a, r) && passes_lease(s, b, a, false, r)) {
        free_blob(tmk_map_remove(&s->blobs, tmk_slice_str(a->name)));
        r->code = 202;
    }
}

/* ---- lists ---- */

static void add_xml(tmk_str *out, tmk_slice text) {
    for (size_t i = 0; i < text.size; i++) {
        char c = (char)text.bytes[i];

        if (c == '<' || c == '&' || c == '>') {
            tmk_str_addf(out, "&#%d;", c);
        } else {
            tmk_str_add_char(out, c);
        }
    }
}

static void add_date(tmk_str *out, int64_t ms) {
    char date[32];

    tmk_http_date_format((tmk_wall){(INT64_C(1790000000000) + ms) * 1000}, date);
    tmk_str_add(out, date);
}

static void add_item(blob_service *s, tmk_str *xml, const char *name, const blob *b) {
    tmk_slice meta = tmk_str_slice(&b->meta);

    tmk_str_add(xml, "<Blob><Name>");
    add_xml(xml, tmk_slice_str(name));
    tmk_str_add(xml, "</Name><Properties><Last-Modified>");
    add_date(xml, b->modified_ms);
    tmk_str_addf(xml, "</Last-Modified><Etag>%s</Etag><LeaseState>%s</LeaseState>", b->etag,
                 state_of(s, b));
    if (is_held(s, b)) {
        tmk_str_addf(xml, "<LeaseDuration>%s</LeaseDuration>",
                     b->ends_ms < 0 ? "infinite" : "fixed");
    }
    tmk_str_add(xml, "</Properties><Metadata>");
    while (meta.size > 0) {
        tmk_slice value = tmk_slice_cut(&meta, '\n', NULL);
        tmk_slice key = tmk_slice_cut(&value, ':', NULL);

        tmk_str_addf(xml, "<%.*s>", (int)key.size, (const char *)key.bytes);
        add_xml(xml, value);
        tmk_str_addf(xml, "</%.*s>", (int)key.size, (const char *)key.bytes);
    }
    tmk_str_add(xml, "</Metadata></Blob>");
}

static void query_part(const char *query, const char *name, tmk_str *out) {
    const char *at = strstr(query, name);

    if (at != NULL) {
        at += strlen(name);
        tmk_assert(tmk_str_add_unpercent(out, tmk_slice_of(at, strcspn(at, "&"))));
    }
}

static void list(blob_service *s, const asked *a, reply *r) {
    tmk_str prefix = TMK_STR_INIT, marker = TMK_STR_INIT;
    size_t place = 0, begin, items = 0;
    tmk_map_entry *e;

    query_part(a->query, "&prefix=", &prefix);
    query_part(a->query, "&marker=", &marker);
    begin = strtoul(tmk_str_text(&marker), NULL, 10);
    tmk_str_add(&r->body, "<?xml version=\"1.0\"?><EnumerationResults><Blobs>");
    for (place = begin; items < PAGE && (e = tmk_map_next(&s->blobs, &place)) != NULL;) {
        if (strncmp(e->key, tmk_str_text(&prefix), prefix.size) == 0) {
            add_item(s, &r->body, e->key, e->value);
            items++;
        }
    }
    tmk_str_add(&r->body, "</Blobs>");
    if (items == PAGE) {
        tmk_str_addf(&r->body, "<NextMarker>%zu</NextMarker>", place);
    }
    tmk_str_add(&r->body, "</EnumerationResults>");
    r->code = 200;
    tmk_str_clear(&prefix);
    tmk_str_clear(&marker);
}

/* ---- requests and answers ---- */

static void carry_out(blob_service *s, const char *head, tmk_slice body, reply *r, asked *a) {
    take_apart(head, body, a);
    if (strstr(a->query, "restype=container") != NULL) {
        if (strcmp(a->method, "GET") == 0) {
            list(s, a, r);
        } else {
            refuse(r, 409, "ContainerAlreadyExists");
        }
    } else if (strstr(a->query, "comp=lease") != NULL) {
        lease(s, a, r);
    } else if (strstr(a->query, "comp=metadata") != NULL) {
        set_meta(s, a, r);
    } else if (strcmp(a->method, "PUT") == 0) {
        put(s, a, r);
    } else if (strcmp(a->method, "DELETE") == 0) {
        erase(s, a, r);
    } else {
        look(s, a, r);
    }
}

static void add_facts(blob_service *s, tmk_str *out, const blob *b) {
    tmk_slice meta = tmk_str_slice(&b->meta);

    tmk_str_addf(out, "x-ms-lease-state: %s\r\n", state_of(s, b));
    if (is_held(s, b)) {
        tmk_str_addf(out, "x-ms-lease-duration: %s\r\n", b->ends_ms < 0 ? "infinite" : "fixed");
    }
    while (meta.size > 0) {
        tmk_slice line = tmk_slice_cut(&meta, '\n', NULL);

        tmk_str_addf(out, "x-ms-meta-%.*s\r\n", (int)line.size, (const char *)line.bytes);
    }
}

static void write_reply(blob_service *s, const asked *a, const reply *r, tmk_str *out) {
    tmk_str_addf(out, "HTTP/1.1 %d Words\r\nDate: ", r->code);
    add_date(out, s->now_ms);
    if (r->error != NULL) {
        tmk_str_addf(out, "\r\nx-ms-error-code: %s", r->error);
    }
    if (r->shown != NULL) {
        tmk_str_addf(out, "\r\nETag: \"%s\"\r\nLast-Modified: ", r->shown->etag);
        add_date(out, r->shown->modified_ms);
    }
    tmk_str_add(out, "\r\n");
    if (r->facts) {
        add_facts(s, out, r->shown);
    }
    tmk_str_addf(out, "Content-Length: %zu\r\n\r\n", r->body.size);
    if (strcmp(a->method, "HEAD") != 0) {
        tmk_str_add_slice(out, tmk_str_slice(&r->body));
    }
}

/* Locked. Carries the request out; the answer goes to *out. */
static void answer(blob_service *s, const char *head, tmk_slice body, tmk_str *out) {
    asked *a = tmk_new(asked);
    reply r = {0};

    tmk_assert(a != NULL);
    carry_out(s, head, body, &r, a);
    write_reply(s, a, &r, out);
    tmk_str_clear(&a->meta);
    tmk_str_clear(&r.body);
    tmk_free(a);
}

/* What was late comes now. */
static void catch_up(blob_service *s) {
    tmk_str nobody = TMK_STR_INIT;

    if (s->late_head.size > 0) {
        answer(s, tmk_str_text(&s->late_head), tmk_str_slice(&s->late_body), &nobody);
        tmk_str_reset(&s->late_head);
        tmk_str_clear(&nobody);
    }
}

/* False: the connection is to be reset. */
static bool take(blob_service *s, const tmk_str *head, const tmk_str *body, tmk_str *out) {
    blob_fault fault = ++s->requests == s->fault_at ? s->fault : BLOB_WELL;

    if (fault == BLOB_LATE) {
        keep(&s->late_head, tmk_str_slice(head));
        keep(&s->late_body, tmk_str_slice(body));
        return false;
    }
    if (fault == BLOB_BUSY) {
        tmk_str_add(out, "HTTP/1.1 503 Busy\r\nx-ms-error-code: ServerBusy\r\nContent-Length: 0"
                         "\r\n\r\n");
    } else if (fault != BLOB_LOSES_REQUEST) {
        answer(s, tmk_str_text(head), tmk_str_slice(body), out);
        catch_up(s);
    }
    return fault == BLOB_WELL || fault == BLOB_BUSY;
}

static void serve(net_connection *c) {
    blob_service *s = c->server->user;
    tmk_str head = TMK_STR_INIT, body = TMK_STR_INIT, out = TMK_STR_INIT;

    while (net_read_request(c, &head, &body)) {
        bool good;

        tmk_str_reset(&out);
        tmk_mutex_lock(&s->lock);
        good = take(s, &head, &body, &out);
        tmk_mutex_unlock(&s->lock);
        if (!good) {
            net_reset(c);
            break;
        }
        if (!net_send(c, tmk_str_slice(&out))) {
            break;
        }
    }
    tmk_str_clear(&head);
    tmk_str_clear(&body);
    tmk_str_clear(&out);
}

/* ---- the test's side ---- */

static void listen_anew(blob_service *s) {
    net_server_start(&s->server, serve, s);
    (void)snprintf(s->connection_string, sizeof s->connection_string,
                   "AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:%d",
                   s->server.port);
}

void blob_service_start(blob_service *s) {
    memset(s, 0, sizeof *s);
    tmk_assert(tmk_mutex_init(&s->lock, 950, NULL) == TMK_OK);
    listen_anew(s);
}

static void forget(blob_service *s) {
    net_server_stop(&s->server);
    tmk_map_clear(&s->blobs, free_blob);
    s->blobs = (tmk_map){0};
    tmk_str_clear(&s->late_head);
    tmk_str_clear(&s->late_body);
    s->fault_at = 0;
}

void blob_service_reset(blob_service *s) {
    forget(s);
    listen_anew(s);
}

void blob_service_stop(blob_service *s) {
    forget(s);
    tmk_mutex_clear(&s->lock);
}

void blob_service_advance(blob_service *s, int64_t ms) {
    tmk_mutex_lock(&s->lock);
    s->now_ms += ms;
    tmk_mutex_unlock(&s->lock);
}

void blob_service_arm(blob_service *s, blob_fault fault, unsigned at) {
    tmk_mutex_lock(&s->lock);
    s->requests = 0;
    s->fault = fault;
    s->fault_at = at;
    tmk_mutex_unlock(&s->lock);
}

unsigned blob_service_requests(blob_service *s) {
    unsigned requests;

    tmk_mutex_lock(&s->lock);
    requests = s->requests;
    tmk_mutex_unlock(&s->lock);
    return requests;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const tmk_map_entry *)a)->key, ((const tmk_map_entry *)b)->key);
}

void blob_service_tell(blob_service *s, tmk_str *out) {
    enum { MOST = 64 };
    tmk_map_entry entries[MOST], *e;
    size_t count = 0;

    tmk_mutex_lock(&s->lock);
    catch_up(s);
    for (size_t i = 0; (e = tmk_map_next(&s->blobs, &i)) != NULL;) {
        tmk_assert(count < MOST);
        entries[count++] = *e;
    }
    qsort(entries, count, sizeof *entries, by_name);
    for (size_t i = 0; i < count; i++) {
        const blob *b = entries[i].value;

        tmk_str_addf(out, "%s %s %s [%s] '%s'\n", entries[i].key, state_of(s, b),
                     is_held(s, b) ? b->lease : "", tmk_str_text(&b->meta), tmk_str_text(&b->body));
    }
    tmk_mutex_unlock(&s->lock);
}

void blob_service_put(blob_service *s, const char *name, const char *meta_lines) {
    blob *b;

    tmk_mutex_lock(&s->lock);
    b = find(s, name);
    b = b == NULL ? make(s, name) : b;
    keep(&b->meta, tmk_slice_str(meta_lines));
    changed(s, b);
    tmk_mutex_unlock(&s->lock);
}
