/* Trace context from a producer through the hub into a handler, and what is not well-formed. */
#include <tidemark/hub.h>
#include <tidemark/producer.h>
#include <tidemark/processor.h>
#include <tidemark/store_memory.h>

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "support/check.h"

#define OK(call)                                                                           \
    do {                                                                                   \
        tmk_status ok_ = (call);                                                           \
        if (ok_ != TMK_OK) {                                                               \
            fail_msg("%s:%d: %s: %s: %s", __FILE__, __LINE__, #call, tmk_status_name(ok_), \
                     err.text);                                                            \
        }                                                                                  \
    } while (0)

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define OTHER "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

enum { EVENTS = 8 };

static tmk_error err;
static struct {
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    unsigned handled, begun, ended;
    char parents[EVENTS][60], states[EVENTS][60], bodies[EVENTS][16];
    bool direct_differs;
    unsigned asked; /* the producer's callback */
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- what is well-formed ---- */

static void only_well_formed_parents_are_taken(void) {
    static const char *const bad[] = {"",
                                      "00",
                                      PARENT "0",
                                      PARENT "-x",
                                      "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                      "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                      "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
                                      "|4bf92f35.1.",
                                      "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"};

    CHECK(tmk_trace_is_parent(PARENT));
    CHECK(tmk_trace_is_parent(OTHER));
    CHECK(tmk_trace_is_parent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"));
    CHECK(!tmk_trace_is_parent(NULL));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (tmk_trace_is_parent(bad[i])) {
            fail_msg("taken: %s", bad[i]);
        }
    }
}

static void a_broken_trace_is_refused_on_a_message(void) {
    tmk_trace trace = {.parent = "nonsense"};
    tmk_message *m = NULL;

    OK(tmk_message_new((tmk_slice){NULL, 0}, &m, &err));
    CHECK_EQ(TMK_EINVAL, tmk_message_set_trace(m, &trace, &err));
    trace.parent[0] = '\0';
    OK(tmk_message_set_trace(m, &trace, &err));
    tmk_message_free(m);
}

/* ---- all the way ---- */

static void *on_begin(void *user, const tmk_event *e, const tmk_delivery *d,
                      const tmk_trace *parent) {
    unsigned at = (unsigned)tmk_event_sequence(e);
    tmk_slice body = tmk_event_body(e);

    (void)user, (void)d;
    CHECK(at < EVENTS);
    pthread_mutex_lock(&t.lock);
    t.begun++;
    (void)snprintf(t.parents[at], sizeof t.parents[at], "%s", parent == NULL ? "" : parent->parent);
    (void)snprintf(t.states[at], sizeof t.states[at], "%.59s", parent == NULL ? "" : parent->state);
    (void)snprintf(t.bodies[at], sizeof t.bodies[at], "%.*s", (int)body.size,
                   (const char *)body.bytes);
    pthread_mutex_unlock(&t.lock);
    return t.parents[at];
}

static tmk_verdict on_event(void *user, const tmk_event *e, tmk_delivery *d) {
    tmk_trace trace;
    tmk_status st = tmk_event_trace(e, &trace);

    (void)user, (void)d;
    pthread_mutex_lock(&t.lock);
    t.direct_differs = t.direct_differs ||
                       strcmp(trace.parent, t.parents[tmk_event_sequence(e)]) != 0 ||
                       (st == TMK_OK) != (trace.parent[0] != '\0');
    pthread_mutex_unlock(&t.lock);
    return TMK_DONE;
}

static void on_end(void *user, void *span, tmk_verdict verdict) {
    (void)user;
    CHECK_EQ(TMK_DONE, verdict);
    pthread_mutex_lock(&t.lock);
    CHECK((char *)span >= t.parents[0] && (char *)span <= t.parents[EVENTS - 1]);
    t.ended++;
    pthread_cond_broadcast(&t.changed);
    pthread_mutex_unlock(&t.lock);
}

/* Supplies a context, a broken one for the body "broken", none for "none". */
static void supply(void *user, const tmk_message *event, tmk_trace *trace) {
    const char *const *want = user;

    (void)event;
    t.asked++;
    (void)snprintf(trace->parent, sizeof trace->parent, "%s", *want);
    (void)snprintf(trace->state, sizeof trace->state, "vendor=1");
}

static void send_one(tmk_producer *p, const char *body, const char *property, const char *value) {
    tmk_message *m = NULL;

    OK(tmk_message_new((tmk_slice){(const uint8_t *)body, strlen(body)}, &m, &err));
    if (property != NULL) {
        OK(tmk_message_set_text(m, property, value, &err));
    }
    OK(tmk_producer_send_wait(p, m, "0", 10000, NULL, &err));
    tmk_message_free(m);
}

static void send_all(tmk_client *client) {
    const char *want = PARENT;
    tmk_producer_options o;
    tmk_producer *p = NULL;
    tmk_batch *batch = NULL;
    tmk_message *m = NULL;
    tmk_trace own = {.parent = OTHER};

    tmk_producer_options_init(&o);
    o.on_trace = supply;
    o.user = &want;
    OK(tmk_producer_new(client, &o, &p, &err));
    send_one(p, "supplied", NULL, NULL);        /* 0 */
    send_one(p, "own", "traceparent", OTHER);   /* 1 */
    send_one(p, "old", "Diagnostic-Id", OTHER); /* 2 */
    send_one(p, "bad", "traceparent", "zz");    /* 3 */
    want = "broken";
    send_one(p, "broken", NULL, NULL); /* 4 */
    want = "";
    send_one(p, "none", "other", "x"); /* 5 */
    CHECK_EQ(3, t.asked);
    OK(tmk_batch_new(65536, NULL, &batch, &err));
    OK(tmk_message_new((tmk_slice){(const uint8_t *)"batch", 5}, &m, &err));
    OK(tmk_message_set_trace(m, &own, &err));
    OK(tmk_batch_try_add(batch, m, &err));
    OK(tmk_producer_send_batch_wait(p, batch, "0", 10000, NULL, &err)); /* 6 */
    tmk_message_free(m);
    tmk_batch_free(batch);
    tmk_producer_free(p);
}

static void expect(unsigned at, const char *body, const char *parent, const char *state) {
    CHECK_STR(body, t.bodies[at]);
    CHECK_STR(parent, t.parents[at]);
    CHECK_STR(state, t.states[at]);
}

static void wait_for_all(unsigned count) {
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 20;
    pthread_mutex_lock(&t.lock);
    while (t.ended < count && pthread_cond_timedwait(&t.changed, &t.lock, &deadline) == 0) {
    }
    pthread_mutex_unlock(&t.lock);
    CHECK_EQ(count, t.ended);
}

static void context_goes_from_the_producer_to_the_handler(void) {
    tmk_hub *hub = NULL;
    tmk_client *client = NULL;
    tmk_store store;
    tmk_processor *processor = NULL;
    tmk_client_options c;
    tmk_processor_options o;

    OK(tmk_hub_start(NULL, &hub, &err));
    tmk_client_options_init(&c);
    c.connection_string = tmk_hub_connection_string(hub);
    c.hub = "hub";
    OK(tmk_client_new(&c, &client, &err));
    OK(tmk_store_memory_new(&store, &err));
    send_all(client);
    tmk_processor_options_init(&o);
    o.on_event = on_event;
    o.on_span_begin = on_begin;
    CHECK_EQ(TMK_EINVAL, tmk_processor_new(client, store, &o, &processor, &err));
    o.on_span_end = on_end;
    OK(tmk_processor_new(client, store, &o, &processor, &err));
    OK(tmk_processor_start(processor, &err));
    wait_for_all(7);
    expect(0, "supplied", PARENT, "vendor=1");
    expect(1, "own", OTHER, "");
    expect(2, "old", OTHER, "");
    expect(3, "bad", "", "");
    expect(4, "broken", "", "");
    expect(5, "none", "", "");
    expect(6, "batch", OTHER, "");
    CHECK(!t.direct_differs);
    CHECK_EQ(7, t.begun);
    OK(tmk_processor_stop(processor, 10000, NULL, &err));
    tmk_processor_free(processor);
    tmk_store_free(store);
    tmk_client_free(client);
    tmk_hub_stop(hub);
}

int main(void) {
    return RUN(TEST(only_well_formed_parents_are_taken),
               TEST(a_broken_trace_is_refused_on_a_message),
               TEST(context_goes_from_the_producer_to_the_handler));
}
