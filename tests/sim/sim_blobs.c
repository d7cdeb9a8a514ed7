/* The container, and the blob store's client on it in place of the one that speaks HTTP. */
#include "sim_blobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/status.h"
#include "checkpoint/blob_flow.h"

#define MEDIAN (8 * TMK_MS)
/* After so long without an answer the request is sent again. */
#define SEND_AGAIN (700 * TMK_MS)

struct sim_blobs {
    sim_kernel *kernel;
    tmk_map by_name;
    uint64_t etags;
    sim_blobs_trouble trouble;
    sim_blobs_watch watch;
    void *watch_user;
};

/* The blob store's type, with what is behind it here. */
struct tmk_blob_client {
    sim_blobs_client *owner;
};

struct sim_blobs_client {
    sim_blobs *blobs;
    sim_process *process;
    void *user;
    tmk_rng rng;
    bool cut, closed;
    uint64_t requests;
    size_t under_way; /* journeys, and operations */
    tmk_blob_group group;
    tmk_blob_client client;
    tmk_list operations;
};

/* One request on its way. It outlives whoever asked. */
typedef struct journey {
    sim_blobs_client *client;
    tmk_blob_exchange *x; /* NULL: nobody waits any more */
    char *method, *name, *query, *if_match, *if_none_match;
    tmk_blob_meta meta;
    tmk_str body;
    bool put;

    int code;
    char etag[24];
    tmk_wall date, modified;
    tmk_blob_meta answer_meta;
    tmk_str answer_body;
    bool applied, answered, lost;
    sim_event apply, answer;
    sim_delivery delivery;
} journey;

static void out_of_memory(void) {
    abort();
}

static char *copy(const char *text) {
    char *c = text == NULL ? NULL : tmk_copy_str(text);

    if (text != NULL && c == NULL) {
        out_of_memory();
    }
    return c;
}

static void copy_meta(tmk_blob_meta *to, const tmk_blob_meta *from) {
    const char *name, *value;

    tmk_blob_meta_reset(to);
    for (size_t i = 0; from != NULL && tmk_blob_meta_next(from, &i, &name, &value);) {
        tmk_blob_meta_add(to, tmk_slice_str(name), tmk_slice_str(value));
    }
}

/* --- the container --- */

sim_blobs *sim_blobs_new(sim_kernel *k) {
    sim_blobs *b = tmk_new(sim_blobs);

    if (b == NULL) {
        out_of_memory();
    }
    b->kernel = k;
    return b;
}

static void free_blob(void *value) {
    sim_blob *blob = value;

    tmk_blob_meta_clear(&blob->meta);
    tmk_str_clear(&blob->body);
    tmk_free(blob);
}

sim_blobs *sim_blobs_free(sim_blobs *b) {
    if (b != NULL) {
        tmk_map_clear(&b->by_name, free_blob);
        tmk_free(b);
    }
    return NULL;
}

void sim_blobs_watch_with(sim_blobs *b, sim_blobs_watch watch, void *watch_user) {
    b->watch = watch;
    b->watch_user = watch_user;
}

sim_blobs_trouble *sim_blobs_trouble_of(sim_blobs *b) {
    return &b->trouble;
}

tmk_wall sim_blobs_date(const sim_blobs *b) {
    int64_t seconds = b->kernel->now / TMK_SEC + INT64_C(1790000000);

    return (tmk_wall){seconds * 1000000};
}

const sim_blob *sim_blobs_find(const sim_blobs *b, const char *name) {
    return tmk_map_get(&b->by_name, tmk_slice_str(name));
}

static sim_blob *make_blob(sim_blobs *b, const char *name) {
    sim_blob *blob = tmk_new(sim_blob);

    if (blob == NULL || tmk_map_put(&b->by_name, tmk_slice_str(name), blob, NULL) < 0) {
        out_of_memory();
    }
    (void)snprintf(blob->name, sizeof blob->name, "%s", name);
    return blob;
}

int sim_blobs_write(sim_blobs *b, void *user, const sim_blob_write *w, char etag[24]) {
    sim_blob *blob = tmk_map_get(&b->by_name, tmk_slice_str(w->name));

    if (w->if_none_match != NULL && blob != NULL && w->put) {
        return 409;
    }
    if (w->if_match != NULL && (blob == NULL || strcmp(blob->etag, w->if_match) != 0)) {
        return 412;
    }
    if (blob == NULL && !w->put) {
        return 404;
    }
    if (b->watch != NULL) {
        b->watch(b->watch_user, user, w->name, blob, w->meta);
    }
    blob = blob == NULL ? make_blob(b, w->name) : blob;
    copy_meta(&blob->meta, w->meta);
    if (w->put) {
        tmk_str_reset(&blob->body);
        tmk_str_add_slice(&blob->body, w->body);
    }
    (void)snprintf(blob->etag, sizeof blob->etag, "0x%08" PRIX64, ++b->etags);
    blob->modified = sim_blobs_date(b);
    memcpy(etag, blob->etag, sizeof blob->etag);
    return w->put ? 201 : 200;
}

/* --- what a request comes to --- */

static void add_item(tmk_str *xml, const sim_blob *blob) {
    const char *name, *value;
    char date[32];

    tmk_http_date_format(blob->modified, date);
    tmk_str_addf(xml,
                 "<Blob><Name>%s</Name><Properties><Last-Modified>%s</Last-Modified><Etag>%s</Etag>"
                 "<LeaseState>available</LeaseState></Properties><Metadata>",
                 blob->name, date, blob->etag);
    for (size_t i = 0; tmk_blob_meta_next(&blob->meta, &i, &name, &value);) {
        tmk_str_addf(xml, "<%s>%s</%s>", name, value, name);
    }
    tmk_str_add(xml, "</Metadata></Blob>");
}

static void list(journey *j) {
    sim_blobs *b = j->client->blobs;
    bool checkpoints = strstr(j->query, "checkpoint") != NULL;
    tmk_map_entry *entry;

    tmk_str_add(&j->answer_body, "<?xml version=\"1.0\"?><EnumerationResults><Blobs>");
    for (size_t i = 0; (entry = tmk_map_next(&b->by_name, &i)) != NULL;) {
        if ((strstr(entry->key, "/checkpoint/") != NULL) == checkpoints) {
            add_item(&j->answer_body, entry->value);
        }
    }
    tmk_str_add(&j->answer_body, "</Blobs><NextMarker/></EnumerationResults>");
    j->code = 200;
}

static void read(journey *j) {
    const sim_blob *blob = sim_blobs_find(j->client->blobs, j->name);

    if (blob == NULL) {
        j->code = 404;
        return;
    }
    j->code = 200;
    (void)snprintf(j->etag, sizeof j->etag, "%s", blob->etag);
    j->modified = blob->modified;
    copy_meta(&j->answer_meta, &blob->meta);
    if (strcmp(j->method, "GET") == 0) {
        tmk_str_add_slice(&j->answer_body, tmk_str_slice(&blob->body));
    }
}

static void carry_out(journey *j) {
    sim_blob_write w = {.name = j->name,
                        .if_match = j->if_match,
                        .if_none_match = j->if_none_match,
                        .meta = &j->meta,
                        .body = tmk_str_slice(&j->body),
                        .put = j->put};

    j->date = sim_blobs_date(j->client->blobs);
    if (j->name == NULL) {
        list(j);
    } else if (strcmp(j->method, "PUT") == 0) {
        j->code = sim_blobs_write(j->client->blobs, j->client->user, &w, j->etag);
    } else {
        read(j);
    }
}

static void reset_answer(journey *j) {
    j->applied = j->answered = j->lost = false;
    tmk_str_reset(&j->answer_body);
    tmk_blob_meta_reset(&j->answer_meta);
}

/* --- journeys --- */

static void leave(sim_blobs_client *c) {
    if (--c->under_way == 0 && c->closed) {
        tmk_free(c->group.prefix);
        tmk_free(c);
    }
}

static void finish(journey *j) {
    sim_blobs_client *c = j->client;

    if (!j->applied || !j->answered) {
        return;
    }
    if (j->x != NULL) {
        j->x->http = NULL;
    }
    tmk_free(j->method);
    tmk_free(j->name);
    tmk_free(j->query);
    tmk_free(j->if_match);
    tmk_free(j->if_none_match);
    tmk_blob_meta_clear(&j->meta);
    tmk_blob_meta_clear(&j->answer_meta);
    tmk_str_clear(&j->body);
    tmk_str_clear(&j->answer_body);
    tmk_free(j);
    leave(c);
}

static void on_apply(sim_event *e) {
    journey *j = sim_event_of(e, journey, apply);

    if (j->client->cut) {
        j->lost = true;
    } else {
        carry_out(j);
    }
    j->applied = true;
    finish(j);
}

static void send(journey *j);

static void arrive(sim_delivery *d) {
    journey *j = sim_event_of(d, journey, delivery);
    tmk_blob_exchange *x = j->x;
    tmk_blob_answer a = {.code = j->code,
                         .etag = j->etag,
                         .date = j->date,
                         .last_modified = j->modified,
                         .lease = {.fresh = true},
                         .meta = &j->answer_meta,
                         .body = tmk_str_slice(&j->answer_body)};

    j->answered = true;
    if (x == NULL || j->client->closed) {
        finish(j);
        return;
    }
    if (j->lost) { /* the client sends it again; the flow's deadline ends that */
        reset_answer(j);
        send(j);
        return;
    }
    x->http = NULL;
    j->x = NULL;
    x->answered(x, &a);
    finish(j);
}

static void on_lost(sim_delivery *d) {
    journey *j = sim_event_of(d, journey, delivery);

    j->answered = true;
    finish(j);
}

static void on_answer(sim_event *e) {
    journey *j = sim_event_of(e, journey, answer);

    j->lost = j->lost || !j->applied || j->client->cut;
    sim_process_deliver(j->client->process, &j->delivery);
}

static void send(journey *j) {
    sim_blobs_client *c = j->client;
    sim_kernel *k = c->blobs->kernel;
    const sim_blobs_trouble *t = &c->blobs->trouble;
    tmk_time took = sim_latency(&c->rng, MEDIAN);

    c->requests++;
    if (c->cut || t->outage || tmk_rng_chance(&c->rng, t->lose_request)) {
        j->applied = true;
        j->lost = true;
        sim_at(k, &j->answer, k->now + SEND_AGAIN);
        return;
    }
    if (tmk_rng_chance(&c->rng, t->slow)) {
        took = tmk_rng_between(&c->rng, 500, 6000) * TMK_MS;
    }
    j->lost = tmk_rng_chance(&c->rng, t->lose_answer);
    sim_at(k, &j->apply, k->now + (tmk_time)((double)took * tmk_rng_unit(&c->rng)));
    sim_at(k, &j->answer, k->now + (j->lost && took < SEND_AGAIN ? SEND_AGAIN : took));
}

/* --- in place of checkpoint/blob_client.c --- */

void tmk_blob_send(tmk_blob_exchange *x, const tmk_blob_ask *ask, tmk_time deadline) {
    sim_blobs_client *c = x->client->owner;
    journey *j = tmk_new(journey);

    if (j == NULL) {
        out_of_memory();
    }
    (void)deadline;
    j->client = c;
    j->x = x;
    j->method = copy(ask->method);
    j->name = copy(ask->name);
    j->query = copy(ask->query);
    j->if_match = copy(ask->if_match);
    j->if_none_match = copy(ask->if_none_match);
    copy_meta(&j->meta, ask->meta);
    tmk_str_add_slice(&j->body, ask->body);
    j->put = ask->put;
    j->apply.fire = on_apply;
    j->answer.fire = on_answer;
    j->delivery.arrive = arrive;
    j->delivery.lost = on_lost;
    x->http = (tmk_http_call *)j;
    c->under_way++;
    send(j);
}

tmk_status tmk_blob_exchange_init(tmk_blob_exchange *x, tmk_blob_client *client) {
    x->client = client;
    return TMK_OK;
}

void tmk_blob_exchange_clear(tmk_blob_exchange *x) {
    journey *j = (journey *)x->http;

    if (j != NULL) {
        j->x = NULL;
        x->http = NULL;
    }
}

/* --- the store --- */

typedef struct operation {
    tmk_list node;
    sim_blobs_client *client;
    tmk_blob_flow flow;
    sim_event timeout;
} operation;

static void free_operation(operation *o) {
    sim_blobs_client *c = o->client;

    tmk_list_remove(&o->node);
    sim_cancel(c->blobs->kernel, &o->timeout);
    tmk_blob_flow_clear(&o->flow);
    tmk_free(o);
    leave(c);
}

static void on_done(tmk_blob_flow *f) {
    operation *o = tmk_container_of(f, operation, flow);
    tmk_store_call *call = f->request->call;
    tmk_reply reply = f->reply;

    tmk_reply_init(&f->reply);
    free_operation(o);
    tmk_reply_send(&reply, call);
    tmk_reply_clear(&reply);
}

static void on_timeout(sim_event *e) {
    operation *o = sim_event_of(e, operation, timeout);

    if (o->client->process->frozen) {
        sim_at(o->client->blobs->kernel, e, o->client->blobs->kernel->now + 100 * TMK_MS);
        return;
    }
    tmk_store_call *call = o->flow.request->call;
    free_operation(o);
    tmk_reply_fail(call, TMK_ETIMEOUT, "blob", "no answer in time", true);
}

static void submit(void *self, const tmk_store_op *op, tmk_store_call *call) {
    sim_blobs_client *c = self;
    operation *o = tmk_new(operation);
    tmk_request *r = tmk_request_new(op, call, c->blobs->kernel->now);

    if (o == NULL || r == NULL || tmk_blob_flow_init(&o->flow, &c->group, r) < 0) {
        out_of_memory();
    }
    o->client = c;
    o->flow.done = on_done;
    o->timeout.fire = on_timeout;
    c->under_way++;
    tmk_list_push_back(&c->operations, &o->node);
    sim_at(c->blobs->kernel, &o->timeout, r->deadline);
    tmk_blob_flow_start(&o->flow);
}

static unsigned claims(void *self) {
    (void)self;
    return 1U << TMK_CLAIMS_SHARED;
}

static const tmk_store_ops ops = {.size = sizeof ops, .submit = submit, .claims = claims};

sim_blobs_client *sim_blobs_connect(sim_blobs *b, sim_process *process, uint64_t number,
                                    void *user) {
    sim_blobs_client *c = tmk_new(sim_blobs_client);

    if (c == NULL) {
        out_of_memory();
    }
    c->blobs = b;
    c->process = process;
    c->user = user;
    c->rng = sim_rng(b->kernel, "blobs client", number);
    c->client.owner = c;
    c->group = (tmk_blob_group){
        .client = &c->client, .prefix = copy("ns/hub/g/"), .claims = TMK_CLAIMS_SHARED};
    tmk_list_init(&c->operations);
    c->under_way = 1;
    return c;
}

void sim_blobs_disconnect(sim_blobs_client *c) {
    tmk_list *node = NULL;

    c->closed = true;
    while ((node = tmk_list_first(&c->operations)) != NULL) {
        operation *o = tmk_container_of(node, operation, node);

        tmk_free(o->flow.request->call); /* who asked is gone; the question was its own */
        free_operation(o);
    }
    leave(c);
}

tmk_store sim_blobs_store(sim_blobs_client *c) {
    return (tmk_store){&ops, c};
}

void sim_blobs_cut(sim_blobs_client *c, bool cut) {
    c->cut = cut;
}

uint64_t sim_blobs_requests(const sim_blobs_client *c) {
    return c->requests;
}
