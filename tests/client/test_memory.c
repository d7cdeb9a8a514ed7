/*
 * Connecting, asking, sending, reading, closing, with each allocation failing
 * once, and with all failing from each one on until memory is back: nothing
 * crashes, nothing leaks, every send has its fate, and when memory is back all
 * events come, once and in order.
 */
#include "support/check.h"
#include "support/failing_alloc.h"
#include "support/pond.h"

static pond p;
static pond_reader r;
static pond_fates fates;
static uint64_t answers;

static void on_hub(void *user, const tmk_error *err, const tmk_hub_facts *facts) {
    (void)user;
    CHECK((err == NULL) != (facts == NULL));
    answers++;
}

static void on_events(void *user, tmk_received *got) {
    pond_reader *to = user;

    for (size_t i = 0; i < tmk_received_count(got); i++) {
        int64_t sequence = tmk_event_sequence(tmk_received_event(got, i));

        CHECK_EQ(to->next, sequence);
        to->next = sequence + 1;
        to->count++;
    }
    got = tmk_received_free(got);
}

static void on_ended(void *user, const tmk_error *why) {
    pond_reader *to = user;

    to->ended = true;
    to->why = *why;
}

static tmk_consumer *make_consumer(void) {
    tmk_consumer_options o;
    tmk_consumer *c = NULL;

    tmk_consumer_options_init(&o);
    o.partition = "0";
    o.start = tmk_start_earliest();
    o.on_events = on_events;
    o.on_ended = on_ended;
    o.user = &r;
    return tmk_consumer_new(p.client, &o, &c, NULL) == TMK_OK ? c : NULL;
}

/* Returns how many sends were taken. */
static uint64_t send_some(tmk_producer *producer) {
    uint64_t taken = 0;

    for (int i = 0; producer != NULL && i < 3; i++) {
        taken += pond_send(producer, "x", i == 0 ? "1" : NULL, i == 1 ? "key" : NULL, &fates,
                           NULL) == TMK_OK;
    }
    return taken;
}

/* One life; the nth allocation and perhaps all after it fail, for two seconds. false: none failed.
 */
static bool live_once(failing_mode mode, size_t n) {
    tmk_producer *producer = NULL;
    uint64_t taken, asked;
    bool hit;

    memset(&r, 0, sizeof r);
    memset(&fates, 0, sizeof fates);
    answers = 0;
    failing_count();
    pond_begin(&p, NULL);
    p.shelter = failing_spare; /* the hub is not what is tried here */
    pond_put(&p, "0", 20, 100);
    pond_put(&p, "0", 1, 150000);

    failing_after(mode, n);
    r.consumer = make_consumer();
    if (tmk_producer_new(p.client, NULL, &producer, NULL) != TMK_OK) {
        producer = NULL;
    }
    asked = tmk_client_hub_facts(p.client, on_hub, NULL, NULL) == TMK_OK;
    taken = send_some(producer);
    pond_run(&p, 2000);
    hit = failing_hit();
    failing_after(FAILING_ONCE, SIZE_MAX - 1); /* memory is back */

    CHECK(pond_until_count(&p, &answers, asked, 200000));
    CHECK(pond_until_count(&p, &fates.count, taken, 200000));
    if (r.consumer != NULL) {
        CHECK(pond_until_count(&p, &r.count, 21, 200000));
        CHECK(!r.ended);
    }
    CHECK_EQ(taken, fates.count);
    producer = tmk_producer_free(producer);
    r.consumer = tmk_consumer_free(r.consumer);
    pond_end(&p);
    CHECK_EQ(0, failing_live());
    failing_end();
    return hit;
}

static void a_single_failure_anywhere_is_outlived(void) {
    size_t n = 0;

    while (live_once(FAILING_ONCE, n)) {
        n++;
    }
    CHECK(n > 100);
}

static void two_seconds_without_memory_are_outlived(void) {
    size_t n = 0;

    while (live_once(FAILING_FROM, n)) {
        n++;
    }
    CHECK(n > 100);
}

int main(void) {
    return RUN(TEST(a_single_failure_anywhere_is_outlived),
               TEST(two_seconds_without_memory_are_outlived));
}
