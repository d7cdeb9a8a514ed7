/*
 * Calls of the client's public interface in any order, legal or not, on a hub in
 * memory under virtual time: consumers and producers come and go while links are
 * cut, answers get lost or arrive with wrong bytes. Two bytes a step: what is
 * called, and with what. Oracle: what was taken is answered exactly once, what is
 * refused is not, and nothing is left when the client is freed.
 */
#include "support/check.h"
#include "support/pond.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

enum { CONSUMERS = 3, PRODUCERS = 2, STEPS_MAX = 24 };

typedef struct reader {
    struct input *in;
    tmk_consumer *consumer;
    uint8_t habit; /* what its callback does */
    unsigned ended;
} reader;

typedef struct input {
    pond *pond;
    reader readers[CONSUMERS];
    tmk_producer *producers[PRODUCERS];
    pond_fates fates;
    uint64_t sent, asked, answered, flushes, flushed;
} input;

static const char *const places[] = {"0", "1", "7", "", "a partition with blanks", NULL};

static void on_events(void *user, tmk_received *r) {
    reader *to = user;

    for (size_t i = 0; i < tmk_received_count(r); i++) {
        tmk_assert(tmk_received_event(r, i) != NULL);
    }
    tmk_assert(tmk_received_event(r, tmk_received_count(r)) == NULL);
    (void)tmk_received_free(r);
    if (to->habit == 1) {
        tmk_consumer_pause(to->consumer);
    } else if (to->habit == 2) {
        to->consumer = tmk_consumer_free(to->consumer);
    }
}

static void on_ended(void *user, const tmk_error *why) {
    reader *r = user;

    tmk_assert(why->status < 0 && why->text[0] != '\0');
    tmk_assert(r->ended++ == 0);
}

static void on_hub(void *user, const tmk_error *err, const tmk_hub_facts *facts) {
    tmk_assert((err == NULL) == (facts != NULL));
    ((input *)user)->answered++;
}

static void on_partition(void *user, const tmk_error *err, const tmk_partition_facts *facts) {
    tmk_assert((err == NULL) == (facts != NULL));
    ((input *)user)->answered++;
}

static void on_flushed(void *user) {
    ((input *)user)->flushed++;
}

/* ---- steps ---- */

static void open_reader(input *in, uint8_t arg) {
    reader *r = &in->readers[arg % CONSUMERS];
    tmk_consumer_options o;

    if (r->consumer != NULL) {
        return;
    }
    *r = (reader){.in = in, .habit = arg >> 6};
    tmk_consumer_options_init(&o);
    o.partition = places[(arg >> 2) % 6];
    o.on_events = on_events;
    o.on_ended = on_ended;
    o.user = r;
    (void)!tmk_consumer_new(in->pond->client, &o, &r->consumer, NULL);
}

static void use_reader(input *in, uint8_t arg) {
    reader *r = &in->readers[arg % CONSUMERS];
    tmk_last last;

    if (r->consumer == NULL) {
        return;
    }
    switch (arg >> 6) {
    case 0:
        tmk_consumer_pause(r->consumer);
        return;
    case 1:
        tmk_consumer_resume(r->consumer);
        return;
    case 2:
        (void)tmk_consumer_last(r->consumer, &last);
        return;
    default:
        r->consumer = tmk_consumer_free(r->consumer);
    }
}

static void send(input *in, uint8_t arg) {
    static const char *const keys[] = {NULL, "k", "a longer key than most", NULL};
    tmk_producer **p = &in->producers[arg % PRODUCERS];
    tmk_status st = *p == NULL ? tmk_producer_new(in->pond->client, NULL, p, NULL) : TMK_OK;

    if (st == TMK_OK) {
        st = pond_send(*p, "body", places[(arg >> 1) % 6], keys[arg >> 6], &in->fates, NULL);
        in->sent += st == TMK_OK;
    }
}

static void end_producer(input *in, uint8_t arg) {
    tmk_producer **p = &in->producers[arg % PRODUCERS];

    if (*p != NULL && arg < 128) {
        in->flushes += tmk_producer_flush(*p, on_flushed, in, NULL) == TMK_OK;
    } else {
        *p = tmk_producer_free(*p);
    }
}

static void ask(input *in, uint8_t arg) {
    const char *partition = places[arg % 6];
    tmk_status st =
        arg < 128 ? tmk_client_hub_facts(in->pond->client, on_hub, in, NULL)
                  : tmk_client_partition_facts(in->pond->client, partition, on_partition, in, NULL);

    tmk_assert(st == TMK_OK || (arg >= 128 && st == TMK_EINVAL));
    in->asked += st == TMK_OK;
}

/* Ends the links of a partition, if there are any. */
static void detach(pond *p, const char *partition, const char *condition) {
    tmk_hub_match m = pond_match(partition, TMK_HUB_ROLE_ANY);
    tmk_hub_fail why;

    tmk_hub_fail_set(&why, condition, "as the input likes");
    (void)tmk_hub_server_detach(&p->hub, &m, &why, -1);
}

static void trouble(input *in, uint8_t arg) {
    static const char *const conditions[] = {"amqp:link:stolen", "amqp:link:detach-forced",
                                             "com.microsoft:server-busy", "amqp:not-found"};
    pond *p = in->pond;

    switch (arg % 8) {
    case 0:
    case 1:
        pond_cut_streams(p, arg % 8 == 1);
        return;
    case 2:
        p->black_hole = arg > 127;
        return;
    case 3:
        p->deaf = arg > 127;
        return;
    case 4:
        p->peer = (pond_peer)((arg >> 3) % 6);
        p->peer_bytes = arg;
        return;
    case 5:
        p->flip = arg / 25500.0;
        return;
    case 6:
        p->cut = arg >> 3;
        return;
    default:
        detach(p, places[(arg >> 3) % 2], conditions[arg >> 6]);
    }
}

static void step(input *in, uint8_t what, uint8_t arg) {
    switch (what % 8) {
    case 0:
        open_reader(in, arg);
        return;
    case 1:
        use_reader(in, arg);
        return;
    case 2:
        send(in, arg);
        return;
    case 3:
        end_producer(in, arg);
        return;
    case 4:
        ask(in, arg);
        return;
    case 5:
        pond_put(in->pond, places[arg % 2], arg >> 4, 64);
        return;
    case 6:
        trouble(in, arg);
        return;
    default:
        pond_run(in->pond, arg * 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static pond p;
    input in = {.pond = &p};
    pond_options o = {.seed = 1};

    pond_begin(&p, &o);
    p.tick = 50 * TMK_MS;
    for (size_t i = 0; i + 1 < size && i < 2 * STEPS_MAX; i += 2) {
        step(&in, data[i], data[i + 1]);
    }
    for (size_t i = 0; i < CONSUMERS; i++) {
        in.readers[i].consumer = tmk_consumer_free(in.readers[i].consumer);
    }
    for (size_t i = 0; i < PRODUCERS; i++) {
        in.producers[i] = tmk_producer_free(in.producers[i]);
    }
    pond_end(&p);
    tmk_assert(in.answered == in.asked && in.flushed == in.flushes && in.fates.count == in.sent);
    return 0;
}
