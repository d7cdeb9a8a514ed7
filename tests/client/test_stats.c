/*
 * Statistics of a processor at work on a hub in the same process: what they
 * tell, of its own partitions and of those that nobody owns, and their alarms.
 * Writes the Prometheus text to the file that TIDEMARK_TEXT names, for the lint.
 */
#include <tidemark/hub.h>
#include <tidemark/stats.h>
#include <tidemark/store_memory.h>

#include <pthread.h>
#include <string.h>

#include "run/meters.h"
#include "support/check.h"

enum { WAIT_S = 20 };

#define OK(call)                                                                           \
    do {                                                                                   \
        tmk_status ok_ = (call);                                                           \
        if (ok_ != TMK_OK) {                                                               \
            fail_msg("%s:%d: %s: %s: %s", __FILE__, __LINE__, #call, tmk_status_name(ok_), \
                     err.text);                                                            \
        }                                                                                  \
    } while (0)

static struct {
    tmk_hub *hub;
    tmk_client *client;
    tmk_store store;
    tmk_processor *processor;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    tmk_stats *last;
    unsigned alarms, lags_of_nobody;
    char alarm_partition[8];
    bool hold; /* the handler waits */
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static tmk_error err;

/* ---- callbacks ---- */

static tmk_verdict on_event(void *user, const tmk_event *e, tmk_delivery *d) {
    (void)user, (void)e, (void)d;
    pthread_mutex_lock(&t.lock);
    while (t.hold) {
        pthread_cond_wait(&t.changed, &t.lock);
    }
    pthread_mutex_unlock(&t.lock);
    return d->attempt == 1 && tmk_event_sequence(e) == 3 ? TMK_RETRY : TMK_DONE;
}

static void on_stats(void *user, const tmk_stats *stats) {
    (void)user;
    pthread_mutex_lock(&t.lock);
    tmk_stats_free(t.last);
    t.last = tmk_stats_keep(stats);
    pthread_cond_broadcast(&t.changed);
    pthread_mutex_unlock(&t.lock);
}

static void on_alarm(void *user, const tmk_lag *lag, unsigned alarms, unsigned before) {
    (void)user;
    CHECK(alarms != before);
    pthread_mutex_lock(&t.lock);
    t.alarms |= alarms;
    (void)snprintf(t.alarm_partition, sizeof t.alarm_partition, "%s", lag->partition);
    pthread_cond_broadcast(&t.changed);
    pthread_mutex_unlock(&t.lock);
}

/* ---- the rig ---- */

static void put(const char *partition, int count) {
    tmk_hub_event e = {.body = "event", .body_size = 5, .partition = partition};

    for (int i = 0; i < count; i++) {
        OK(tmk_hub_put(t.hub, "hub", &e, NULL, &err));
    }
}

static void begin(tmk_processor_options *o) {
    tmk_client_options c;

    OK(tmk_hub_start(NULL, &t.hub, &err));
    tmk_client_options_init(&c);
    c.connection_string = tmk_hub_connection_string(t.hub);
    c.hub = "hub";
    OK(tmk_client_new(&c, &t.client, &err));
    OK(tmk_store_memory_new(&t.store, &err));
    t.last = NULL;
    t.alarms = 0;
    t.hold = false;
    o->on_event = on_event;
    o->on_stats = on_stats;
    o->on_alarm = on_alarm;
    o->stats_interval_ms = 100;
    o->lag_interval_ms = 100;
    o->retry_delay_ms = 1;
    OK(tmk_processor_new(t.client, t.store, o, &t.processor, &err));
    OK(tmk_processor_start(t.processor, &err));
}

static void end(void) {
    OK(tmk_processor_stop(t.processor, 10000, NULL, &err));
    t.processor = tmk_processor_free(t.processor);
    tmk_store_free(t.store);
    t.client = tmk_client_free(t.client);
    t.hub = tmk_hub_stop(t.hub);
    t.last = tmk_stats_free(t.last);
}

/* Waits for a snapshot of which this holds; the caller's to free. */
static tmk_stats *until(bool (*holds)(const tmk_stats *s)) {
    struct timespec deadline;
    tmk_stats *found = NULL;
    int waited = 0;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_S;
    pthread_mutex_lock(&t.lock);
    while (waited == 0 && (t.last == NULL || !holds(t.last))) {
        waited = pthread_cond_timedwait(&t.changed, &t.lock, &deadline);
    }
    if (waited == 0) {
        found = tmk_stats_keep(t.last);
    }
    pthread_mutex_unlock(&t.lock);
    CHECK(found != NULL);
    return found;
}

static const tmk_partition_state *find(const tmk_stats *s, const char *partition) {
    for (size_t i = 0; i < tmk_stats_partition_count(s); i++) {
        if (strcmp(tmk_stats_partition(s, i)->partition, partition) == 0) {
            return tmk_stats_partition(s, i);
        }
    }
    return NULL;
}

typedef struct text {
    char bytes[1 << 17];
    size_t size;
} text;

static void keep_text(void *self, const char *bytes, size_t size) {
    text *to = self;

    CHECK(to->size + size < sizeof to->bytes);
    memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
    to->bytes[to->size] = '\0';
}

static void expect(const text *in, const char *line) {
    if (strstr(in->bytes, line) == NULL) {
        fail_msg("not in the text: %s", line);
    }
}

/* ---- tests ---- */

static bool all_final(const tmk_stats *s) {
    const tmk_partition_state *p0 = find(s, "0"), *p1 = find(s, "1");

    return p0 != NULL && p1 != NULL && p0->final_sequence == 9 && p1->final_sequence == 19 &&
           p0->lag.events == 0 && p1->lag.events == 0;
}

/* Two snapshots of one group in one text are told apart; what is counted is what was done. */
static void a_snapshot_tells_what_was_done(void) {
    static text out;
    tmk_processor_options o;
    tmk_stats *s;
    const tmk_stats *twice[2];

    tmk_processor_options_init(&o);
    o.retention_ms = 3600000;
    begin(&o);
    put("0", 10);
    put("1", 20);
    s = until(all_final);
    CHECK_EQ(30, tmk_stats_processor(s)->events);
    CHECK_EQ(2, tmk_stats_processor(s)->retries);
    CHECK_EQ(4, tmk_stats_processor(s)->owned);
    CHECK_EQ(4, tmk_stats_partition_count(s));
    CHECK(tmk_stats_partition(s, 4) == NULL);
    CHECK_EQ(10, find(s, "0")->total_events);
    CHECK_EQ(0, find(s, "0")->lag.age_ms);
    CHECK_EQ(3600000, find(s, "0")->lag.to_loss_ms);
    CHECK_EQ(30, tmk_stats_client(s)->events_received);
    CHECK_STR("hub", tmk_stats_about_get(s)->hub);
    CHECK_STR("handler", tmk_stats_histogram(s, 0)->name);
    CHECK_EQ(32, tmk_stats_histogram(s, 0)->count);
    CHECK(tmk_stats_histogram_count(s) > 2);

    twice[0] = twice[1] = s;
    out.size = 0;
    OK(tmk_stats_write_prometheus(twice, 2, keep_text, &out, &err));
    expect(&out, "messaging_client_consumed_messages_total{messaging_system=\"eventhubs\","
                 "messaging_destination_name=\"hub\",messaging_consumer_group_name=\"$Default\","
                 "messaging_destination_partition_id=\"1\"} 20\n");
    expect(&out, "tidemark_retries_total{hub=\"hub\",group=\"$Default\"} 2\n"
                 "tidemark_retries_total{hub=\"hub\",group=\"$Default\",processor=\"1\"} 2\n");
    expect(&out, "tidemark_lag_events{hub=\"hub\",group=\"$Default\",partition=\"0\"} 0\n");
    expect(&out, "tidemark_time_to_loss_seconds{hub=\"hub\",group=\"$Default\",partition=\"0\"} "
                 "3600\n");
    expect(&out, "# TYPE messaging_process_duration_seconds histogram\n");
    tmk_stats_free(s);
    end();
}

static int64_t lag_of_nobody;

static bool nobody_is_behind(const tmk_stats *s) {
    int64_t of_nobody = 0;

    for (size_t i = 0; i < tmk_stats_partition_count(s); i++) {
        const tmk_partition_state *p = tmk_stats_partition(s, i);
        if (!p->own && p->lag.events > 0) {
            of_nobody++;
            lag_of_nobody = p->lag.events;
        }
    }
    return of_nobody == 3;
}

/* An instance that may own one partition looks after the other three. */
static void partitions_that_nobody_owns_have_a_lag_and_alarms(void) {
    tmk_processor_options o;
    tmk_stats *s;

    tmk_processor_options_init(&o);
    o.partitions_max = 1;
    o.alarm_lag_events = 5;
    begin(&o);
    for (const char *p = "0123"; *p != '\0'; p++) {
        char id[2] = {*p, '\0'};
        put(id, 7);
    }
    s = until(nobody_is_behind);
    CHECK_EQ(7, lag_of_nobody);
    CHECK_EQ(1, tmk_stats_processor(s)->owned);
    pthread_mutex_lock(&t.lock);
    CHECK_EQ(TMK_ALARM_LAG_EVENTS, t.alarms);
    CHECK(t.alarm_partition[0] != '\0');
    pthread_mutex_unlock(&t.lock);
    tmk_stats_free(s);
    end();
}

static bool stuck_for_long(const tmk_stats *s) {
    const tmk_partition_state *p = find(s, "2");

    return p != NULL && p->own && p->lag.age_ms > 300 &&
           tmk_stats_processor(s)->handler_longest_ms > 200 && (p->alarms & TMK_ALARM_TO_LOSS) != 0;
}

static bool moves_again(const tmk_stats *s) {
    const tmk_partition_state *p = find(s, "2");

    return p->lag.events == 0 && p->alarms == 0;
}

/* The first event hangs: no final event is known here, yet the age is. */
static void an_event_that_hangs_has_an_age_and_a_time_to_loss(void) {
    tmk_processor_options o;
    tmk_stats *s;

    tmk_processor_options_init(&o);
    o.retention_ms = 10000;
    o.alarm_to_loss_ms = 9800;
    begin(&o);
    pthread_mutex_lock(&t.lock);
    t.hold = true;
    pthread_mutex_unlock(&t.lock);
    put("2", 3);
    s = until(stuck_for_long);
    CHECK_EQ(3, find(s, "2")->lag.events);
    CHECK_EQ(10000, find(s, "2")->lag.age_ms + find(s, "2")->lag.to_loss_ms);
    CHECK_EQ(1, tmk_stats_processor(s)->handlers_busy);
    tmk_stats_free(s);
    pthread_mutex_lock(&t.lock);
    t.hold = false;
    pthread_cond_broadcast(&t.changed);
    pthread_mutex_unlock(&t.lock);
    tmk_stats_free(until(moves_again));
    end();
}

static bool has_problem(const tmk_stats *s) {
    return tmk_stats_problem_count(s) > 0 && find(s, "0")->checkpoint_sequence >= 0;
}

static void what_goes_wrong_is_counted_by_its_condition(void) {
    static text out;
    tmk_processor_options o;
    const tmk_stats *s;
    FILE *file;

    tmk_processor_options_init(&o);
    o.retention_ms = 3600000;
    o.checkpoint_events = 5;
    begin(&o);
    put("0", 10);
    put("1", 20);
    tmk_stats_free(until(all_final));
    OK(tmk_hub_fault(t.hub,
                     "{\"fault\":\"detach\",\"condition\":\"amqp:link:detach-forced\","
                     "\"partition\":\"0\",\"role\":\"receiver\"}",
                     NULL, &err));
    s = until(has_problem);
    CHECK_STR("0", tmk_stats_problem_at(s, 0)->partition);
    CHECK_STR("receive", tmk_stats_problem_at(s, 0)->operation);
    CHECK(strstr(tmk_stats_problem_at(s, 0)->condition, "detach-forced") != NULL);
    CHECK_EQ(1, tmk_stats_processor(s)->problems);
    out.size = 0;
    OK(tmk_stats_write_prometheus(&s, 1, keep_text, &out, &err));
    expect(&out, "tidemark_link_recoveries_total{hub=\"hub\",group=\"$Default\",condition=\"");
    if (getenv("TIDEMARK_TEXT") != NULL) {
        file = fopen(getenv("TIDEMARK_TEXT"), "we");
        CHECK(file != NULL && fwrite(out.bytes, 1, out.size, file) == out.size);
        (void)fclose(file);
    }
    tmk_stats *mine = tmk_stats_keep(s);
    tmk_stats_free(mine);
    tmk_stats_free(mine);
    end();
}

static void problems_beyond_the_bound_are_counted_as_other(void) {
    static tmk_meters m;
    tmk_error e = {.status = TMK_EIO};
    uint64_t sum = 0;

    tmk_meters_init(&m);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(e.origin, sizeof e.origin, "http:%d", i);
        tmk_meters_problem(&m, "0", "store", &e, "tried again");
        tmk_meters_problem(&m, NULL, "store", &e, NULL);
    }
    CHECK_EQ(TMK_METER_PROBLEMS, m.problem_count);
    for (uint32_t i = 0; i < m.problem_count; i++) {
        sum += m.problems[i].count;
    }
    CHECK_EQ(2000, sum);
    CHECK_EQ(2000, m.problems_total);
    CHECK_STR("other", m.problems[TMK_METER_PROBLEMS - 1].condition);
    e.origin[0] = '\0';
    tmk_meters_init(&m);
    tmk_meters_problem(&m, "0", "store", &e, NULL);
    CHECK_STR("EIO", m.problems[0].condition);
}

static void durations_fall_into_their_buckets(void) {
    static tmk_meters m;

    tmk_meters_init(&m);
    tmk_meters_request(&m, TMK_STORE_PARTITION_WRITE, TMK_MS);
    tmk_meters_request(&m, TMK_STORE_PARTITION_WRITE, TMK_MS + 1);
    tmk_meters_request(&m, TMK_STORE_PARTITION_WRITE, 3600 * TMK_SEC);
    tmk_meters_request(&m, (tmk_store_op_kind)99, TMK_SEC); /* no such operation */
    CHECK_EQ(1, m.requests[TMK_STORE_PARTITION_WRITE].counts[0]);
    CHECK_EQ(1, m.requests[TMK_STORE_PARTITION_WRITE].counts[1]);
    CHECK_EQ(1, m.requests[TMK_STORE_PARTITION_WRITE].counts[TMK_METER_BOUNDS]);
    CHECK_EQ(3, tmk_meter_times_count(&m.requests[TMK_STORE_PARTITION_WRITE]));
}

int main(void) {
    return RUN(TEST(a_snapshot_tells_what_was_done),
               TEST(partitions_that_nobody_owns_have_a_lag_and_alarms),
               TEST(an_event_that_hangs_has_an_age_and_a_time_to_loss),
               TEST(what_goes_wrong_is_counted_by_its_condition),
               TEST(problems_beyond_the_bound_are_counted_as_other),
               TEST(durations_fall_into_their_buckets));
}
