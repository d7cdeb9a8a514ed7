/*
 * The public interface against a hub in the same process, with real sockets,
 * threads and time: what waits, what may be called from where, each fault of
 * the hub's control interface once. Runs under TSan.
 */
#include <tidemark/consumer.h>
#include <tidemark/hub.h>
#include <tidemark/management.h>
#include <tidemark/producer.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/slice.h"
#include "base/time.h"
#include "support/check.h"

#define OK(call)                                                                           \
    do {                                                                                   \
        tmk_status ok_ = (call);                                                           \
        if (ok_ != TMK_OK) {                                                               \
            fail_msg("%s:%d: %s: %s: %s", __FILE__, __LINE__, #call, tmk_status_name(ok_), \
                     err.text);                                                            \
        }                                                                                  \
    } while (0)

static tmk_hub *hub;
static tmk_client *client;
static tmk_error err;
static atomic_uint troubles;
static char last_trouble[64];

static void on_error(void *user, const tmk_trouble *t) {
    (void)user;
    (void)snprintf(last_trouble, sizeof last_trouble, "%s", t->error->origin);
    if (getenv("API_TALK") != NULL) {
        (void)fprintf(stderr, "# %s '%s' -> %s: %s\n", t->operation, t->error->origin, t->reaction,
                      t->error->text);
    }
    troubles++;
}

static void start_hub(const tmk_hub_options *options) {
    tmk_hub_options o;

    tmk_hub_options_init(&o);
    OK(tmk_hub_start(options == NULL ? &o : options, &hub, &err));
}

static void fill(tmk_client_options *o) {
    tmk_client_options_init(o);
    o->connection_string = tmk_hub_connection_string(hub);
    o->hub = "hub";
    o->on_error = on_error;
    o->retry.delay_ms = 20;
}

static void begin_with(const tmk_client_options *o) {
    troubles = 0;
    last_trouble[0] = '\0';
    OK(tmk_client_new(o, &client, &err));
}

static void begin(void) {
    tmk_client_options o;

    start_hub(NULL);
    fill(&o);
    begin_with(&o);
}

static void end(void) {
    client = tmk_client_free(client);
    hub = tmk_hub_stop(hub);
}

static void put(const char *partition, unsigned count) {
    tmk_hub_event e = {.body = "event", .body_size = 5, .partition = partition};

    for (unsigned i = 0; i < count; i++) {
        OK(tmk_hub_put(hub, "hub", &e, NULL, &err));
    }
}

static tmk_consumer *pull_from(const char *partition, tmk_start start) {
    tmk_consumer_options o;
    tmk_consumer *c = NULL;

    tmk_consumer_options_init(&o);
    o.partition = partition;
    o.start = start;
    OK(tmk_consumer_new(client, &o, &c, &err));
    return c;
}

/* Takes `count` events that follow `*next` without a hole; checks that they come in time. */
static void take(tmk_consumer *c, int64_t *next, unsigned count) {
    while (count > 0) {
        tmk_received *got = NULL;
        tmk_status st = tmk_consumer_receive(c, count, 15000, &got, &err);

        if (st != TMK_OK) {
            fail_msg("%u events are missing: %s %s", count, tmk_status_name(st),
                     st < 0 ? err.text : last_trouble);
        }
        for (size_t i = 0; i < tmk_received_count(got); i++) {
            CHECK_EQ(*next, tmk_event_sequence(tmk_received_event(got, i)));
            (*next)++;
        }
        count -= (unsigned)tmk_received_count(got);
        got = tmk_received_free(got);
    }
}

static tmk_message *message(const char *text) {
    tmk_message *m = NULL;

    OK(tmk_message_new(tmk_slice_str(text), &m, &err));
    return m;
}

/* ---- what waits ---- */

static void the_waiting_calls_wait_for_what_they_say(void) {
    tmk_hub_facts *facts = NULL;
    tmk_partition_facts partition;
    tmk_producer *producer = NULL;
    tmk_consumer *c;
    tmk_message *m;
    tmk_received *got = NULL;
    tmk_fate fate;
    uint64_t limit = 0;
    int64_t next = 0;

    begin();
    OK(tmk_client_hub_facts_wait(client, 5000, &facts, &err));
    CHECK_EQ(4, facts->partition_count);
    CHECK_STR("3", facts->partitions[3]);
    CHECK_STR("hub", facts->name);
    facts = tmk_hub_facts_free(facts);
    OK(tmk_producer_new(client, NULL, &producer, &err));
    OK(tmk_producer_limit_wait(producer, "1", 5000, &limit, &err));
    CHECK_EQ(1048576, limit);
    OK(tmk_producer_limit_wait(producer, "1", 5000, &limit, &err));
    m = message("hello");
    OK(tmk_producer_send_wait(producer, m, "1", 5000, &fate, &err));
    CHECK_EQ(TMK_OK, fate.status);
    CHECK_EQ(1, fate.attempts);
    OK(tmk_producer_send(producer, m, "1", NULL, NULL, &err));
    OK(tmk_producer_flush_wait(producer, 5000, &err));
    CHECK_EQ(0, tmk_producer_pending(producer));
    OK(tmk_client_partition_facts_wait(client, "1", 5000, &partition, &err));
    CHECK_EQ(1, partition.last_sequence);
    c = pull_from("1", tmk_start_earliest());
    OK(tmk_consumer_open_wait(c, 5000, &err));
    take(c, &next, 2);
    CHECK_EQ(TMK_AGAIN, tmk_consumer_receive(c, 10, 50, &got, &err));
    CHECK(got == NULL);
    OK(tmk_consumer_close(c, 5000, &err));
    CHECK_EQ(TMK_ECANCELED, tmk_consumer_receive(c, 10, 50, &got, &err));
    c = tmk_consumer_free(c);
    OK(tmk_producer_close(producer, 5000, &err));
    CHECK_EQ(TMK_ESTATE, tmk_producer_send(producer, m, NULL, NULL, NULL, &err));
    producer = tmk_producer_free(producer);
    m = tmk_message_free(m);
    CHECK_EQ(0, troubles);
    end();
}

static void nothing_waits_longer_than_it_may(void) {
    tmk_hub_facts *facts = NULL;
    tmk_producer *producer = NULL;
    tmk_consumer *c;
    tmk_message *m;
    tmk_fate fate;
    uint64_t limit;

    begin();
    OK(tmk_hub_fault(hub, "{\"fault\":\"freeze\"}", NULL, &err));
    CHECK_EQ(TMK_ETIMEOUT, tmk_client_hub_facts_wait(client, 60, &facts, &err));
    c = pull_from("0", tmk_start_earliest());
    CHECK_EQ(TMK_ETIMEOUT, tmk_consumer_open_wait(c, 60, &err));
    OK(tmk_producer_new(client, NULL, &producer, &err));
    CHECK_EQ(TMK_ETIMEOUT, tmk_producer_limit_wait(producer, NULL, 60, &limit, &err));
    m = message("x");
    CHECK_EQ(TMK_ETIMEOUT, tmk_producer_send_wait(producer, m, NULL, 60, &fate, &err));
    CHECK_EQ(TMK_ETIMEOUT, tmk_producer_flush_wait(producer, 60, &err));
    CHECK_EQ(TMK_ETIMEOUT, tmk_producer_close(producer, 60, &err));
    CHECK_EQ(0, tmk_producer_pending(producer));
    OK(tmk_consumer_close(c, 6000, &err)); /* never attached: nobody to wait for */
    c = tmk_consumer_free(c);
    producer = tmk_producer_free(producer);
    m = tmk_message_free(m);
    end();
}

/* ---- from where ---- */

typedef struct inside {
    tmk_consumer *consumer;
    tmk_producer *producer;
    atomic_bool done;
} inside;

static void wait_inside(void *user, tmk_received *got) {
    inside *in = user;
    tmk_error e;
    tmk_hub_facts *facts = NULL;
    tmk_received *more = NULL;
    uint64_t limit;

    got = tmk_received_free(got);
    CHECK_EQ(TMK_ESTATE, tmk_client_hub_facts_wait(client, 5000, &facts, &e));
    CHECK_EQ(TMK_ESTATE, tmk_consumer_receive(in->consumer, 1, 5000, &more, &e));
    CHECK_EQ(TMK_ESTATE, tmk_consumer_open_wait(in->consumer, 5000, &e));
    CHECK_EQ(TMK_ESTATE, tmk_consumer_close(in->consumer, 5000, &e));
    CHECK_EQ(TMK_ESTATE, tmk_producer_flush_wait(in->producer, 5000, &e));
    CHECK_EQ(TMK_ESTATE, tmk_producer_limit_wait(in->producer, NULL, 5000, &limit, &e));
    CHECK_EQ(TMK_ESTATE, tmk_producer_close(in->producer, 5000, &e));
    atomic_store(&in->done, true);
}

static void await(const atomic_bool *flag) {
    for (int i = 0; i < 10000 && !atomic_load(flag); i++) {
        (void)poll(NULL, 0, 1);
    }
    CHECK(atomic_load(flag));
}

static void waiting_inside_a_callback_is_refused(void) {
    tmk_consumer_options o;
    inside in = {NULL, NULL, false};

    begin();
    OK(tmk_producer_new(client, NULL, &in.producer, &err));
    tmk_consumer_options_init(&o);
    o.partition = "0";
    o.start = tmk_start_earliest();
    o.on_events = wait_inside;
    o.user = &in;
    OK(tmk_consumer_new(client, &o, &in.consumer, &err));
    put("0", 1);
    await(&in.done);
    in.consumer = tmk_consumer_free(in.consumer);
    in.producer = tmk_producer_free(in.producer);
    end();
}

static void free_all_inside(void *user, tmk_received *got) {
    inside *in = user;

    got = tmk_received_free(got);
    if (in->consumer == NULL || atomic_load(&in->done)) {
        return;
    }
    in->producer = tmk_producer_free(in->producer);
    in->consumer = tmk_consumer_free(in->consumer);
    client = tmk_client_free(client);
    atomic_store(&in->done, true);
}

static void everything_may_be_freed_inside_a_callback(void) {
    tmk_consumer_options o;
    inside in = {NULL, NULL, false};

    begin();
    OK(tmk_producer_new(client, NULL, &in.producer, &err));
    tmk_consumer_options_init(&o);
    o.partition = "0";
    o.start = tmk_start_earliest();
    o.on_events = free_all_inside;
    o.user = &in;
    OK(tmk_consumer_new(client, &o, &in.consumer, &err));
    put("0", 1);
    await(&in.done);
    CHECK(client == NULL);
    hub = tmk_hub_stop(hub);
}

static void consumers_and_producers_outlive_their_client(void) {
    tmk_producer *producer = NULL;
    tmk_consumer *c;
    tmk_message *m;
    int64_t next = 0;

    begin();
    c = pull_from("0", tmk_start_earliest());
    OK(tmk_producer_new(client, NULL, &producer, &err));
    client = tmk_client_free(client);
    m = message("x");
    OK(tmk_producer_send_wait(producer, m, "0", 5000, NULL, &err));
    take(c, &next, 1);
    m = tmk_message_free(m);
    c = tmk_consumer_free(c);
    producer = tmk_producer_free(producer);
    hub = tmk_hub_stop(hub);
}

/* ---- many threads ---- */

enum { THREADS = 4, SENDS = 300 };

static atomic_uint stored;

static void count_fate(void *user, const tmk_fate *fate) {
    (void)user;
    stored += fate->status == TMK_OK;
}

static void *send_many(void *arg) {
    tmk_producer *producer = arg;
    tmk_message *m = NULL;
    tmk_error e;

    if (tmk_message_new(TMK_LIT("x"), &m, &e) != TMK_OK) {
        return NULL;
    }
    for (int i = 0; i < SENDS; i++) {
        (void)!tmk_producer_send(producer, m, i % 2 == 0 ? "0" : NULL, count_fate, NULL, &e);
    }
    m = tmk_message_free(m);
    return NULL;
}

static void *read_many(void *arg) {
    tmk_consumer *c = arg;
    size_t count = 0;
    tmk_received *got = NULL;
    tmk_error e;

    while (tmk_consumer_receive(c, 7, 1000, &got, &e) == TMK_OK) {
        count += tmk_received_count(got);
        got = tmk_received_free(got);
    }
    return (void *)(uintptr_t)count;
}

static void threads_may_share_everything(void) {
    tmk_producer *producer = NULL;
    tmk_consumer *c;
    pthread_t senders[THREADS], readers[2];
    void *count[2];

    begin();
    stored = 0;
    OK(tmk_producer_new(client, NULL, &producer, &err));
    c = pull_from("0", tmk_start_earliest());
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(0, pthread_create(&senders[i], NULL, send_many, producer));
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(0, pthread_create(&readers[i], NULL, read_many, c));
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(0, pthread_join(senders[i], NULL));
    }
    OK(tmk_producer_flush_wait(producer, 20000, &err));
    CHECK_EQ(THREADS * SENDS, stored);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(0, pthread_join(readers[i], &count[i]));
    }
    CHECK((size_t)(uintptr_t)count[0] + (size_t)(uintptr_t)count[1] >= THREADS * SENDS / 2);
    c = tmk_consumer_free(c);
    producer = tmk_producer_free(producer);
    end();
}

/* ---- the caller's own loop ---- */

static void on_hub(void *user, const tmk_error *e, const tmk_hub_facts *facts) {
    *(size_t *)user = e == NULL ? facts->partition_count : 0;
}

static void a_program_may_drive_the_client_itself(void) {
    tmk_client_options o;
    struct pollfd fd;
    size_t count = 0;
    tmk_consumer *c;
    int64_t next = 0;

    start_hub(NULL);
    fill(&o);
    o.caller_driven = true;
    begin_with(&o);
    fd = (struct pollfd){.fd = tmk_client_fd(client), .events = POLLIN};
    OK(tmk_client_hub_facts(client, on_hub, &count, &err));
    while (count == 0) {
        CHECK_EQ(1, poll(&fd, 1, 10000));
        OK(tmk_client_poll(client, 0, &err));
    }
    CHECK_EQ(4, count);
    c = pull_from("2", tmk_start_earliest());
    put("2", 500);
    take(c, &next, 500); /* drives the loop meanwhile */
    OK(tmk_consumer_close(c, 5000, &err));
    c = tmk_consumer_free(c);
    end();
}

static void a_client_with_a_thread_is_not_polled(void) {
    begin();
    CHECK_EQ(TMK_ESTATE, tmk_client_poll(client, 0, &err));
    end();
}

/* ---- settings ---- */

static void refuse(tmk_client_options *o, const char *word) {
    tmk_client *c = NULL;

    CHECK_EQ(TMK_EINVAL, tmk_client_new(o, &c, &err));
    if (strstr(err.text, word) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, word);
    }
}

static void wrong_settings_are_named(void) {
    tmk_client_options o;
    tmk_consumer_options co;
    tmk_consumer *c = NULL;

    CHECK_EQ(TMK_EINVAL, tmk_client_new(NULL, &client, &err));
    tmk_client_options_init(&o);
    refuse(&o, "connection string");
    o.host = "ns.servicebus.windows.net";
    refuse(&o, "credential");
    start_hub(NULL);
    fill(&o);
    o.hub = NULL;
    refuse(&o, "");
    fill(&o);
    o.hub = "a/b";
    refuse(&o, "name");
    fill(&o);
    o.host = "x";
    refuse(&o, "not both");
    fill(&o);
    o.retry.attempts = 0;
    refuse(&o, "retry.attempts");
    fill(&o);
    o.retry.jitter = 1.5;
    refuse(&o, "jitter");
    fill(&o);
    o.idle_timeout_ms = 10;
    refuse(&o, "idle_timeout_ms");
    fill(&o);
    o.connection_string = "Endpoint=sb://x/;SharedAccessKeyName=n";
    refuse(&o, "SharedAccessKey");
    fill(&o);
    begin_with(&o);
    tmk_consumer_options_init(&co);
    CHECK_EQ(TMK_EINVAL, tmk_consumer_new(client, &co, &c, &err));
    co.partition = "0";
    co.prefetch = 0;
    CHECK_EQ(TMK_EINVAL, tmk_consumer_new(client, &co, &c, &err));
    co.prefetch = 10;
    co.start.kind = TMK_START_OFFSET;
    strcpy(co.start.offset, "'");
    CHECK_EQ(TMK_EINVAL, tmk_consumer_new(client, &co, &c, &err));
    end();
}

/* An old program's struct is shorter: what it does not know stays as it was. */
static void an_older_programs_options_are_understood(void) {
    tmk_client_options o;

    start_hub(NULL);
    fill(&o);
    o.size = offsetof(tmk_client_options, caller_driven);
    o.caller_driven = true;
    begin_with(&o);
    CHECK_EQ(TMK_ESTATE, tmk_client_poll(client, 0, &err)); /* not heard */
    end();
}

/* ---- transports ---- */

static void websocket_carries_the_same(void) {
    tmk_hub_options ho;
    tmk_client_options o;
    tmk_consumer *c;
    int64_t next = 0;

    tmk_hub_options_init(&ho);
    ho.websocket = "127.0.0.1:0";
    start_hub(&ho);
    fill(&o);
    o.transport = TMK_TRANSPORT_WEBSOCKET;
    o.endpoint = tmk_hub_address(hub, TMK_HUB_DOOR_WEBSOCKET);
    begin_with(&o);
    put("0", 300);
    c = pull_from("0", tmk_start_earliest());
    take(c, &next, 300);
    c = tmk_consumer_free(c);
    CHECK_EQ(0, troubles);
    end();
}

typedef struct files {
    char cert[64], key[64];
} files;

static void write_pem(char path[64], EVP_PKEY *key, X509 *cert) {
    int fd;
    FILE *f;

    (void)snprintf(path, 64, "/tmp/tmk-api-XXXXXX");
    fd = mkstemp(path);
    CHECK(fd >= 0);
    f = fdopen(fd, "w");
    CHECK(f != NULL);
    CHECK_EQ(1, cert != NULL ? PEM_write_X509(f, cert)
                             : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    (void)fclose(f);
}

static void make_files(files *out) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    CHECK(key != NULL && x != NULL);
    (void)X509_set_version(x, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), -60);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    (void)X509_set_pubkey(x, key);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                     (const unsigned char *)"localhost", -1, -1, 0);
    (void)X509_set_issuer_name(x, X509_get_subject_name(x));
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    CHECK(ext != NULL && X509_add_ext(x, ext, -1) == 1);
    X509_EXTENSION_free(ext);
    CHECK(X509_sign(x, key, EVP_sha256()) > 0);
    write_pem(out->cert, NULL, x);
    write_pem(out->key, key, NULL);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void tls_is_verified(void) {
    tmk_hub_options ho;
    tmk_client_options o;
    tmk_credential *credential = NULL;
    tmk_consumer *c;
    char host[64];
    int64_t next = 0;
    files f;

    make_files(&f);
    tmk_hub_options_init(&ho);
    ho.tls_cert = f.cert;
    ho.tls_key = f.key;
    ho.key = "c29tZS1zZWNyZXQta2V5";
    start_hub(&ho);
    put("0", 100);
    OK(tmk_credential_shared_key("RootManageSharedAccessKey", ho.key, &credential, &err));
    (void)snprintf(host, sizeof host, "localhost:%u", tmk_hub_port(hub, TMK_HUB_DOOR_AMQP));
    tmk_client_options_init(&o);
    o.host = host;
    o.credential = credential;
    o.hub = "hub";
    o.on_error = on_error;
    o.tls_ca_file = f.cert;
    begin_with(&o);
    c = pull_from("0", tmk_start_earliest());
    take(c, &next, 100);
    c = tmk_consumer_free(c);
    CHECK_EQ(0, troubles);
    client = tmk_client_free(client);

    o.tls_ca_file = NULL; /* nobody has signed it */
    begin_with(&o);
    c = pull_from("0", tmk_start_earliest());
    CHECK(tmk_consumer_open_wait(c, 5000, &err) < 0);
    CHECK(troubles > 0);
    c = tmk_consumer_free(c);
    credential = tmk_credential_free(credential);
    (void)unlink(f.cert);
    (void)unlink(f.key);
    end();
}

/* ---- each fault of the control interface ---- */

typedef struct fault_case {
    const char *json;
    bool gap;        /* events are missing afterwards */
    tmk_status ends; /* the consumer ends by this; OK: it goes on */
} fault_case;

static const fault_case cases[] = {
    {"{\"fault\":\"drop_connections\"}", false, TMK_OK},
    {"{\"fault\":\"close_connections\"}", false, TMK_OK},
    {"{\"fault\":\"end_sessions\"}", false, TMK_OK},
    {"{\"fault\":\"detach\",\"partition\":\"0\"}", false, TMK_OK},
    {"{\"fault\":\"detach\",\"partition\":\"0\",\"condition\":\"amqp:link:stolen\"}", false,
     TMK_ELOST},
    {"{\"fault\":\"expire_tokens\"}", false, TMK_OK},
    {"{\"fault\":\"recreate\"}", false, TMK_EPOSITION},
    {"{\"fault\":\"geo\"}", false, TMK_OK},
    {"{\"fault\":\"idle\",\"link_ms\":100}", false, TMK_OK},
    {"{\"fault\":\"unsettled\"}", false, TMK_OK},
    {"{\"fault\":\"refuse_attach\",\"count\":2}", false, TMK_OK},
    {"{\"fault\":\"refuse_tokens\",\"count\":1}", false, TMK_OK},
    {"{\"fault\":\"refuse_reads\",\"count\":1}", false, TMK_OK},
    {"{\"fault\":\"refuse_connections\",\"count\":2}", false, TMK_OK},
    {"{\"fault\":\"delay\",\"what\":\"delivery\",\"ms\":50,\"duration_ms\":500}", false, TMK_OK},
    {"{\"fault\":\"delay\",\"what\":\"attach\",\"ms\":50,\"count\":2}", false, TMK_OK},
    {"{\"fault\":\"delay\",\"what\":\"cbs\",\"ms\":50,\"count\":2}", false, TMK_OK},
    {"{\"fault\":\"mute\",\"what\":\"management\",\"count\":1}", false, TMK_OK},
    {"{\"fault\":\"stall\",\"duration_ms\":200}", false, TMK_OK},
    {"{\"fault\":\"repeat\",\"events\":5,\"count\":1}", false, TMK_OK},
    {"{\"fault\":\"skip\",\"events\":2,\"count\":1}", true, TMK_OK},
    {"{\"fault\":\"freeze\",\"duration_ms\":200}", false, TMK_OK},
    {"{\"fault\":\"drip\",\"bytes\":7,\"ms\":1,\"duration_ms\":200}", false, TMK_OK},
};

static void expect_the_end(tmk_consumer *c, tmk_status status) {
    tmk_received *got = NULL;
    tmk_status st = TMK_AGAIN;

    for (int i = 0; i < 100 && st >= 0; i++) {
        st = tmk_consumer_receive(c, 10, 200, &got, &err);
        if (st == TMK_OK) {
            got = tmk_received_free(got);
        }
    }
    CHECK_EQ(status, st);
}

/* Reads, lets the fault happen, cuts the connection so that a beginning meets it too, reads on. */
static void play(const fault_case *f) {
    tmk_consumer *c;
    int64_t next = 0;

    begin();
    put("0", 20);
    c = pull_from("0", tmk_start_earliest());
    take(c, &next, 20);
    OK(tmk_hub_fault(hub, f->json, NULL, &err));
    if (f->ends != TMK_OK) {
        put("0", 1);
        expect_the_end(c, f->ends);
    } else {
        put("0", 20);
        if (f->gap) {
            next += 2;
            take(c, &next, 18);
        } else {
            take(c, &next, 20);
            OK(tmk_hub_fault(hub, "{\"fault\":\"drop_connections\"}", NULL, &err));
            put("0", 20);
            take(c, &next, 20);
        }
        CHECK(troubles > 0);
    }
    c = tmk_consumer_free(c);
    end();
}

static void every_fault_of_the_hub_is_outlived_or_told(void) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        play(&cases[i]);
    }
}

static void what_retention_took_is_reported(void) {
    tmk_consumer *c;
    int64_t next = 0;
    tmk_client_stats stats = {.size = sizeof stats};

    begin();
    put("0", 50);
    OK(tmk_hub_fault(hub, "{\"fault\":\"truncate\",\"before\":30}", NULL, &err));
    c = pull_from("0", tmk_start_sequence(10, true));
    next = 30;
    take(c, &next, 20);
    tmk_client_stats_get(client, &stats);
    CHECK_EQ(20, stats.events_missing);
    CHECK_STR("tidemark:gap", last_trouble);
    c = tmk_consumer_free(c);
    end();
}

static void rejected_sends_are_outlived_or_told(void) {
    tmk_producer *producer = NULL;
    tmk_message *m;
    tmk_fate fate;

    begin();
    OK(tmk_producer_new(client, NULL, &producer, &err));
    m = message("x");
    OK(tmk_hub_fault(
        hub, "{\"fault\":\"reject_sends\",\"condition\":\"amqp:internal-error\",\"count\":2}", NULL,
        &err));
    OK(tmk_producer_send_wait(producer, m, "0", 10000, &fate, &err));
    CHECK_EQ(3, fate.attempts);
    OK(tmk_hub_fault(hub,
                     "{\"fault\":\"reject_sends\",\"condition\":\"amqp:not-allowed\",\"count\":1}",
                     NULL, &err));
    CHECK_EQ(TMK_EINVAL, tmk_producer_send_wait(producer, m, "0", 10000, &fate, &err));
    CHECK_EQ(TMK_EINVAL, fate.status);
    CHECK_STR("amqp:not-allowed", fate.error->origin);
    m = tmk_message_free(m);
    producer = tmk_producer_free(producer);
    end();
}

int main(void) {
    return RUN(TEST(the_waiting_calls_wait_for_what_they_say),
               TEST(nothing_waits_longer_than_it_may), TEST(waiting_inside_a_callback_is_refused),
               TEST(everything_may_be_freed_inside_a_callback),
               TEST(consumers_and_producers_outlive_their_client),
               TEST(threads_may_share_everything), TEST(a_program_may_drive_the_client_itself),
               TEST(a_client_with_a_thread_is_not_polled), TEST(wrong_settings_are_named),
               TEST(an_older_programs_options_are_understood), TEST(websocket_carries_the_same),
               TEST(tls_is_verified), TEST(every_fault_of_the_hub_is_outlived_or_told),
               TEST(what_retention_took_is_reported), TEST(rejected_sends_are_outlived_or_told));
}
