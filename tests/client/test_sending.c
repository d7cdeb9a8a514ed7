/*
 * Sending through the whole client, against the hub's engine, in virtual time.
 * Every send has exactly one fate; what was reported as stored is in the hub.
 */
#include "support/check.h"
#include "support/pond.h"

static pond p;
static tmk_producer *producer;
static pond_fates fates;

static void begin_with(const pond_options *o, const tmk_producer_options *opts) {
    tmk_error err = {0};

    pond_begin(&p, o);
    memset(&fates, 0, sizeof fates);
    if (tmk_producer_new(p.client, opts, &producer, &err) != TMK_OK) {
        fail_msg("no producer: %s", err.text);
    }
}

static void begin(void) {
    begin_with(NULL, NULL);
}

static void end(void) {
    CHECK_EQ(0, tmk_producer_pending(producer));
    producer = tmk_producer_free(producer);
    pond_end(&p);
}

static void send(const char *text, const char *partition, const char *key) {
    tmk_error err = {0};

    if (pond_send(producer, text, partition, key, &fates, &err) != TMK_OK) {
        fail_msg("not sent: %s", err.text);
    }
}

static uint64_t stored(const char *partition) {
    return (uint64_t)pond_last(&p, partition) + 1;
}

static void warm_up(void) {
    send("first", "0", NULL);
    CHECK(pond_until_count(&p, &fates.count, 1, 5000));
    CHECK_EQ(1, fates.stored);
    pond_run(&p, 6000);
}

/* ---- places ---- */

static void an_event_goes_to_the_partition_it_is_for(void) {
    begin();
    send("a", "1", NULL);
    send("b", "1", NULL);
    CHECK(pond_until_count(&p, &fates.count, 2, 5000));
    CHECK_EQ(2, fates.stored);
    CHECK_EQ(0, stored("0"));
    CHECK_EQ(2, stored("1"));
    CHECK_EQ(0, p.trouble_count);
    end();
}

static void events_of_one_key_go_to_one_partition(void) {
    begin();
    for (int i = 0; i < 20; i++) {
        send("x", NULL, "device-0001");
    }
    CHECK(pond_until_count(&p, &fates.count, 20, 5000));
    CHECK(stored("0") == 20 || stored("1") == 20);
    end();
}

static void events_without_a_place_are_spread(void) {
    begin();
    for (int i = 0; i < 20; i++) {
        send("x", NULL, NULL);
    }
    CHECK(pond_until_count(&p, &fates.count, 20, 5000));
    CHECK_EQ(10, stored("0"));
    CHECK_EQ(10, stored("1"));
    end();
}

static void order_is_kept(void) {
    pond_reader r;
    char text[32];

    begin();
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(text, sizeof text, "%d .", i);
        send(text, "0", NULL);
    }
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    CHECK(pond_until_count(&p, &r.count, 2000, 20000));
    CHECK_EQ(0, r.wrong + r.out_of_order + r.holes);
    pond_read_end(&r);
    CHECK_EQ(2000, fates.stored);
    end();
}

static void a_key_and_a_partition_exclude_each_other(void) {
    tmk_error err;

    begin();
    CHECK_EQ(TMK_EINVAL, pond_send(producer, "x", "0", "key", &fates, &err));
    CHECK_EQ(TMK_EINVAL, pond_send(producer, "x", "", NULL, &fates, &err));
    CHECK_EQ(TMK_EINVAL, pond_send(producer, "x", "0/1", NULL, &fates, &err));
    CHECK_EQ(0, fates.count);
    end();
}

/* ---- batches ---- */

static tmk_batch *batch_of(unsigned count, uint64_t limit, const char *key) {
    tmk_batch *b = NULL;
    tmk_message *m = NULL;

    CHECK_EQ(TMK_OK, tmk_batch_new(limit, key, &b, NULL));
    for (unsigned i = 0; i < count; i++) {
        CHECK_EQ(TMK_OK, tmk_message_new(TMK_LIT("event"), &m, NULL));
        CHECK_EQ(TMK_OK, tmk_batch_try_add(b, m, NULL));
        m = tmk_message_free(m);
    }
    return b;
}

static void a_batch_is_stored_as_a_whole(void) {
    tmk_batch *b;

    begin();
    b = batch_of(100, 65536, NULL);
    CHECK_EQ(TMK_OK, tmk_producer_send_batch(producer, b, "0", pond_fate, &fates, NULL));
    CHECK(pond_until_count(&p, &fates.count, 1, 5000));
    CHECK_EQ(100, fates.stored);
    CHECK_EQ(100, stored("0"));
    b = tmk_batch_free(b);
    end();
}

static void a_keyed_batch_goes_where_its_key_goes(void) {
    tmk_batch *b;
    uint64_t in0;

    begin();
    send("x", NULL, "device-0002");
    CHECK(pond_until_count(&p, &fates.count, 1, 5000));
    in0 = stored("0");
    b = batch_of(10, 65536, "device-0002");
    CHECK_EQ(TMK_OK, tmk_producer_send_batch(producer, b, NULL, pond_fate, &fates, NULL));
    CHECK(pond_until_count(&p, &fates.count, 2, 5000));
    CHECK_EQ(11, stored(in0 > 0 ? "0" : "1"));
    b = tmk_batch_free(b);
    end();
}

static void an_empty_batch_is_refused(void) {
    tmk_batch *b;
    tmk_error err;

    begin();
    b = batch_of(0, 65536, NULL);
    CHECK_EQ(TMK_EINVAL, tmk_producer_send_batch(producer, b, "0", pond_fate, &fates, &err));
    b = tmk_batch_free(b);
    end();
}

/* ---- sizes ---- */

static tmk_status send_bytes(size_t size, const char *partition, tmk_error *err) {
    uint8_t *bytes = calloc(1, size);
    tmk_message *m = NULL;
    tmk_status st;

    CHECK(bytes != NULL);
    CHECK_EQ(TMK_OK, tmk_message_new(tmk_slice_of(bytes, size), &m, err));
    st = tmk_producer_send(producer, m, partition, pond_fate, &fates, err);
    m = tmk_message_free(m);
    free(bytes);
    return st;
}

static void an_event_of_almost_a_megabyte_is_stored(void) {
    tmk_error err;

    begin();
    for (int i = 0; i < 12; i++) {
        CHECK_EQ(TMK_OK, send_bytes(1000000, "0", &err));
    }
    CHECK(pond_until_count(&p, &fates.count, 12, 5000));
    CHECK_EQ(12, fates.stored);
    CHECK_EQ(12, stored("0"));
    end();
}

/* The limit is known only when the link stands: before, it is the event's fate; after, a refusal.
 */
static void an_event_that_is_too_large_is_never_sent(void) {
    tmk_error err;

    begin();
    CHECK_EQ(TMK_OK, send_bytes(1100000, "0", &err));
    CHECK(pond_until_count(&p, &fates.count, 1, 5000));
    CHECK_EQ(1, fates.failed);
    CHECK_EQ(TMK_ELIMIT, fates.last.status);
    CHECK_EQ(TMK_ELIMIT, send_bytes(1100000, "0", &err));
    CHECK(!err.retryable);
    CHECK_EQ(0, stored("0"));
    CHECK_EQ(TMK_OK, send_bytes(100, "0", &err));
    CHECK(pond_until_count(&p, &fates.count, 2, 5000));
    CHECK_EQ(1, fates.stored);
    end();
}

static void more_than_may_be_pending_is_refused_for_now(void) {
    tmk_producer_options o;
    tmk_error err;

    tmk_producer_options_init(&o);
    o.pending_max = 10;
    o.pending_bytes_max = 5000;
    begin_with(NULL, &o);
    for (int i = 0; i < 10; i++) {
        send("x", "0", NULL);
    }
    CHECK_EQ(TMK_ELIMIT, pond_send(producer, "x", "0", NULL, &fates, &err));
    CHECK(err.retryable);
    CHECK(pond_until_count(&p, &fates.count, 10, 5000));
    CHECK_EQ(TMK_OK, send_bytes(4000, "0", &err));
    CHECK_EQ(TMK_ELIMIT, send_bytes(4000, "0", &err));
    CHECK(pond_until_count(&p, &fates.count, 11, 5000));
    CHECK_EQ(TMK_OK, send_bytes(9000, "0", &err)); /* alone, any size passes */
    CHECK(pond_until_count(&p, &fates.count, 12, 5000));
    CHECK_EQ(12, fates.stored);
    end();
}

/* ---- rejections ---- */

static void a_busy_service_is_given_time_and_gets_everything(void) {
    tmk_hub_rule busy = {.kind = TMK_HUB_RULE_REJECT_SENDS,
                         .left = 3,
                         .condition = "com.microsoft:server-busy",
                         .text = "50002"};
    tmk_client_stats stats = {.size = sizeof stats};
    tmk_time before;

    begin();
    warm_up();
    (void)pond_rule(&p, &busy);
    before = p.now;
    for (int i = 0; i < 20; i++) {
        send("x", "0", NULL);
    }
    CHECK(pond_until_count(&p, &fates.count, 21, 60000));
    CHECK_EQ(21, fates.stored);
    CHECK_EQ(21, stored("0"));
    CHECK(p.now - before >= 4 * TMK_SEC);
    CHECK_EQ(0, fates.maybe_twice);
    tmk_client_stats_get(p.client, &stats);
    CHECK(stats.busy >= 3);
    end();
}

/* No storm: while the service is busy the link is quiet. */
static void a_service_that_stays_busy_hears_from_us_rarely(void) {
    tmk_hub_rule busy = {.kind = TMK_HUB_RULE_REJECT_SENDS,
                         .condition = "com.microsoft:server-busy",
                         .text = "50002"};

    begin();
    warm_up();
    (void)pond_rule(&p, &busy);
    send("x", "0", NULL);
    CHECK(pond_until_count(&p, &fates.count, 2, 120000));
    CHECK_EQ(1, fates.failed);
    CHECK_EQ(TMK_EBUSY, fates.last.status);
    CHECK_EQ(6, fates.attempts); /* one for the first event, five for this one */
    CHECK(p.trouble_count >= 5);
    for (unsigned i = 1; i < p.trouble_count; i++) {
        CHECK(p.troubles[i].at_ms - p.troubles[i - 1].at_ms >= 4000 ||
              p.troubles[i].status != TMK_EBUSY);
    }
    end();
}

static void a_rejection_for_good_is_told_at_once(void) {
    tmk_hub_rule reject = {.kind = TMK_HUB_RULE_REJECT_SENDS,
                           .left = 1,
                           .condition = "amqp:not-allowed",
                           .text = "no"};

    begin();
    warm_up();
    (void)pond_rule(&p, &reject);
    send("x", "0", NULL);
    CHECK(pond_until_count(&p, &fates.count, 2, 1000));
    CHECK_EQ(1, fates.failed);
    CHECK_STR("amqp:not-allowed", fates.last.origin);
    CHECK_EQ(2, fates.attempts);
    end();
}

static void a_passing_rejection_is_tried_again(void) {
    tmk_hub_rule reject = {.kind = TMK_HUB_RULE_REJECT_SENDS,
                           .left = 2,
                           .condition = "amqp:internal-error",
                           .text = "later"};

    begin();
    warm_up();
    (void)pond_rule(&p, &reject);
    send("x", "0", NULL);
    CHECK(pond_until_count(&p, &fates.count, 2, 10000));
    CHECK_EQ(2, fates.stored);
    CHECK_EQ(4, fates.attempts);
    end();
}

/* ---- losses ---- */

/* The answer is lost: sent again, stored twice, and said so. */
static void an_unknown_fate_is_sent_again_and_said_so(void) {
    tmk_hub_rule mute = {
        .kind = TMK_HUB_RULE_MUTE, .match = {.what = TMK_HUB_WHAT_SEND}, .left = 1};

    begin();
    warm_up();
    (void)pond_rule(&p, &mute);
    send("x", "0", NULL);
    pond_run(&p, 1000);
    CHECK_EQ(1, fates.count);
    pond_cut_streams(&p, true);
    CHECK(pond_until_count(&p, &fates.count, 2, 10000));
    CHECK_EQ(2, fates.stored);
    CHECK_EQ(1, fates.maybe_twice);
    CHECK_EQ(3, stored("0"));
    end();
}

static void who_does_not_want_that_is_told_that_it_may_be_stored(void) {
    tmk_hub_rule mute = {
        .kind = TMK_HUB_RULE_MUTE, .match = {.what = TMK_HUB_WHAT_SEND}, .left = 1};
    tmk_producer_options o;

    tmk_producer_options_init(&o);
    o.resend_unknown = false;
    begin_with(NULL, &o);
    warm_up();
    (void)pond_rule(&p, &mute);
    send("x", "0", NULL);
    pond_run(&p, 1000);
    pond_cut_streams(&p, true);
    CHECK(pond_until_count(&p, &fates.count, 2, 10000));
    CHECK_EQ(1, fates.failed);
    CHECK_EQ(1, fates.maybe_stored);
    CHECK_EQ(2, stored("0"));
    end();
}

/* A link on which answers stop is left after the time of one try. */
static void an_answer_that_never_comes_is_not_waited_for_without_end(void) {
    tmk_hub_rule mute = {
        .kind = TMK_HUB_RULE_MUTE, .match = {.what = TMK_HUB_WHAT_SEND}, .left = 1};

    begin();
    warm_up();
    (void)pond_rule(&p, &mute);
    send("x", "0", NULL);
    CHECK(pond_until_count(&p, &fates.count, 2, 35000));
    CHECK_EQ(2, fates.stored);
    CHECK_EQ(1, fates.maybe_twice);
    CHECK(pond_find_trouble(&p, "amqp:link", "new link") != NULL);
    end();
}

static void without_a_service_sends_fail_in_bounded_time(void) {
    pond_options o = {.retry = {.attempts = 3,
                                .delay_ms = 100,
                                .delay_max_ms = 1000,
                                .try_timeout_ms = 5000,
                                .jitter = 0.2}};
    tmk_time before;

    begin_with(&o, NULL);
    p.peer = POND_REFUSES;
    before = p.now;
    for (int i = 0; i < 50; i++) {
        send("x", "0", NULL);
    }
    CHECK(pond_until_count(&p, &fates.count, 50, 20000));
    CHECK_EQ(50, fates.failed);
    CHECK_EQ(0, fates.maybe_stored);
    CHECK_EQ(TMK_ETIMEOUT, fates.last.status);
    CHECK(p.now - before >= 15 * TMK_SEC && p.now - before <= 17 * TMK_SEC);
    end();
}

static void an_idle_link_that_was_ended_is_opened_with_the_next_send(void) {
    begin();
    warm_up();
    pond_detach(&p, "0", "amqp:link:detach-forced", "idle");
    pond_run(&p, 20000);
    send("x", "0", NULL);
    CHECK(pond_until_count(&p, &fates.count, 2, 2000));
    CHECK_EQ(2, fates.stored);
    end();
}

static void detaches_while_sending_lose_nothing(void) {
    begin();
    for (int i = 0; i < 200; i++) {
        send("x", "0", NULL);
        if (i % 40 == 39) {
            CHECK(pond_until_count(&p, &fates.count, (uint64_t)i - 10, 60000));
            pond_detach(&p, "0", i % 80 == 39 ? "amqp:link:detach-forced" : "amqp:internal-error",
                        "go");
        }
        pond_run(&p, 20);
    }
    CHECK(pond_until_count(&p, &fates.count, 200, 60000));
    CHECK_EQ(200, fates.stored);
    CHECK(stored("0") >= 200 && stored("0") <= 200 + fates.maybe_twice);
    end();
}

static void a_partition_that_is_not_there_fails_what_goes_there_and_nothing_else(void) {
    begin();
    send("x", "77", NULL);
    send("y", "0", NULL);
    CHECK(pond_until_count(&p, &fates.count, 2, 10000));
    CHECK_EQ(1, fates.stored);
    CHECK_EQ(1, fates.failed);
    CHECK_EQ(TMK_ENOTFOUND, fates.last.status);
    send("x", "77", NULL); /* and is asked for anew */
    CHECK(pond_until_count(&p, &fates.count, 3, 10000));
    CHECK_EQ(2, fates.failed);
    end();
}

static void a_token_that_the_service_forgets_is_put_again(void) {
    tmk_hub_match m = pond_match(NULL, TMK_HUB_ROLE_ANY);

    begin();
    warm_up();
    CHECK(tmk_hub_server_expire(&p.hub, &m) > 0);
    send("x", "0", NULL);
    CHECK(pond_until_count(&p, &fates.count, 2, 10000));
    CHECK_EQ(2, fates.stored);
    end();
}

/* Whatever happens: one fate for each send; as many in the hub as were reported, repeats apart. */
static void any_mixture_of_troubles_leaves_no_send_without_a_fate(void) {
    for (uint64_t seed = 1; seed <= 12; seed++) {
        pond_options o = {.seed = seed, .cut = seed % 3 == 0 ? 2000 : 0};
        tmk_hub_match any = pond_match(NULL, TMK_HUB_ROLE_ANY);
        tmk_hub_fail why;
        tmk_rng rng;
        uint64_t sent = 0;

        tmk_rng_seed(&rng, seed);
        begin_with(&o, NULL);
        for (int i = 0; i < 60; i++) {
            for (uint64_t n = tmk_rng_below(&rng, 20); n > 0; n--) {
                send("x", tmk_rng_chance(&rng, 0.5) ? "0" : NULL, NULL);
                sent++;
            }
            pond_run(&p, tmk_rng_between(&rng, 0, 3000));
            tmk_hub_fail_set(&why, "amqp:internal-error", "trouble %d", i);
            switch (tmk_rng_below(&rng, 5)) {
            case 0:
                pond_cut_streams(&p, true);
                break;
            case 1:
                (void)tmk_hub_server_detach(&p.hub, &any, &why, -1);
                break;
            case 2: {
                tmk_hub_rule reject = {.kind = TMK_HUB_RULE_REJECT_SENDS,
                                       .left = 4,
                                       .probability = 0.5,
                                       .condition = "com.microsoft:server-busy"};
                (void)pond_rule(&p, &reject);
                break;
            }
            default:
                break;
            }
        }
        CHECK(pond_until_count(&p, &fates.count, sent, 300000));
        pond_run(&p, 1000);
        CHECK_EQ(sent, fates.count);
        CHECK_EQ(sent, fates.stored + fates.failed);
        CHECK(stored("0") + stored("1") >= fates.stored);
        CHECK(stored("0") + stored("1") <=
              fates.stored + fates.maybe_stored + fates.attempts - fates.count);
        end();
    }
}

/* ---- the end ---- */

static void flushed(void *user) {
    (*(uint64_t *)user)++;
}

static void a_flush_is_told_when_all_before_it_have_their_fate(void) {
    uint64_t done = 0, empty = 0;

    begin();
    CHECK_EQ(TMK_OK, tmk_producer_flush(producer, flushed, &empty, NULL));
    pond_run(&p, 100);
    CHECK_EQ(1, empty);
    for (int i = 0; i < 10; i++) {
        send("x", "0", NULL);
    }
    CHECK_EQ(TMK_OK, tmk_producer_flush(producer, flushed, &done, NULL));
    CHECK(pond_until_count(&p, &done, 1, 5000));
    CHECK_EQ(10, fates.count);
    end();
}

static void what_is_pending_when_it_is_freed_is_cancelled_once(void) {
    begin();
    p.peer = POND_NEVER_OPENS;
    for (int i = 0; i < 10; i++) {
        send("x", i % 2 == 0 ? "0" : NULL, NULL);
        pond_run(&p, 10);
    }
    producer = tmk_producer_free(producer);
    CHECK_EQ(10, fates.count);
    CHECK_EQ(10, fates.failed);
    CHECK_EQ(TMK_ECANCELED, fates.last.status);
    CHECK_EQ(0, fates.maybe_stored);
    pond_end(&p);
}

static void what_was_under_way_when_it_is_freed_may_be_stored(void) {
    tmk_hub_rule mute = {.kind = TMK_HUB_RULE_MUTE, .match = {.what = TMK_HUB_WHAT_SEND}};

    begin();
    warm_up();
    (void)pond_rule(&p, &mute);
    send("x", "0", NULL);
    pond_run(&p, 1000);
    producer = tmk_producer_free(producer);
    CHECK_EQ(2, fates.count);
    CHECK_EQ(1, fates.maybe_stored);
    pond_end(&p);
}

static void free_in_fate(void *user, const tmk_fate *fate) {
    pond_fate(user, fate);
    if (producer != NULL) {
        producer = tmk_producer_free(producer);
    }
}

static void a_producer_may_be_freed_from_a_fate(void) {
    tmk_message *m = NULL;

    begin();
    CHECK_EQ(TMK_OK, tmk_message_new(TMK_LIT("x"), &m, NULL));
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(TMK_OK, tmk_producer_send(producer, m, "0", free_in_fate, &fates, NULL));
    }
    m = tmk_message_free(m);
    CHECK(pond_until_count(&p, &fates.count, 10, 5000));
    CHECK(producer == NULL);
    pond_run(&p, 100);
    CHECK_EQ(10, fates.count);
    pond_end(&p);
}

static uint64_t again;

static void send_in_fate(void *user, const tmk_fate *fate) {
    pond_fate(user, fate);
    if (again > 0) {
        again--;
        send("again", "0", NULL);
    }
}

static void a_fate_may_send_more(void) {
    tmk_message *m = NULL;

    begin();
    again = 5;
    CHECK_EQ(TMK_OK, tmk_message_new(TMK_LIT("x"), &m, NULL));
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(TMK_OK, tmk_producer_send(producer, m, "0", send_in_fate, &fates, NULL));
    }
    m = tmk_message_free(m);
    CHECK(pond_until_count(&p, &fates.count, 10, 5000));
    CHECK_EQ(10, fates.stored);
    end();
}

int main(void) {
    return RUN(TEST(an_event_goes_to_the_partition_it_is_for),
               TEST(events_of_one_key_go_to_one_partition), TEST(events_without_a_place_are_spread),
               TEST(order_is_kept), TEST(a_key_and_a_partition_exclude_each_other),
               TEST(a_batch_is_stored_as_a_whole), TEST(a_keyed_batch_goes_where_its_key_goes),
               TEST(an_empty_batch_is_refused), TEST(an_event_of_almost_a_megabyte_is_stored),
               TEST(an_event_that_is_too_large_is_never_sent),
               TEST(more_than_may_be_pending_is_refused_for_now),
               TEST(a_busy_service_is_given_time_and_gets_everything),
               TEST(a_service_that_stays_busy_hears_from_us_rarely),
               TEST(a_rejection_for_good_is_told_at_once), TEST(a_passing_rejection_is_tried_again),
               TEST(an_unknown_fate_is_sent_again_and_said_so),
               TEST(who_does_not_want_that_is_told_that_it_may_be_stored),
               TEST(an_answer_that_never_comes_is_not_waited_for_without_end),
               TEST(without_a_service_sends_fail_in_bounded_time),
               TEST(an_idle_link_that_was_ended_is_opened_with_the_next_send),
               TEST(detaches_while_sending_lose_nothing),
               TEST(a_partition_that_is_not_there_fails_what_goes_there_and_nothing_else),
               TEST(a_token_that_the_service_forgets_is_put_again),
               TEST(any_mixture_of_troubles_leaves_no_send_without_a_fate),
               TEST(a_flush_is_told_when_all_before_it_have_their_fate),
               TEST(what_is_pending_when_it_is_freed_is_cancelled_once),
               TEST(what_was_under_way_when_it_is_freed_may_be_stored),
               TEST(a_producer_may_be_freed_from_a_fate), TEST(a_fate_may_send_more));
}
