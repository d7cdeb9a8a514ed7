/* Reading through the whole client, against the hub's engine, in virtual time. */
#include "support/check.h"
#include "support/pond.h"

static pond p;
static pond_reader r;

static void begin(size_t cut) {
    pond_options o = {.seed = 5, .cut = cut};

    pond_begin(&p, &o);
}

static void end(void) {
    pond_read_end(&r);
    pond_end(&p);
}

static void expect(int64_t first, uint64_t count) {
    CHECK(pond_until_count(&p, &r.count, count, 5000));
    pond_run(&p, 200);
    CHECK_EQ(count, r.count);
    CHECK_EQ(first, r.first);
    CHECK_EQ(0, r.holes + r.out_of_order + r.wrong);
    CHECK_EQ(0, p.trouble_count);
}

static void earliest_reads_all_there_is_and_all_that_comes(void) {
    begin(0);
    pond_put(&p, "1", 100, 50);
    pond_read_from(&p, &r, "1", tmk_start_earliest());
    expect(0, 100);
    pond_put(&p, "1", 10, 50);
    expect(0, 110);
    end();
}

static void latest_reads_only_what_comes(void) {
    begin(0);
    pond_put(&p, "0", 100, 50);
    pond_read_from(&p, &r, "0", tmk_start_latest());
    pond_run(&p, 500);
    CHECK_EQ(0, r.count);
    pond_put(&p, "0", 10, 50);
    expect(100, 10);
    end();
}

static void latest_of_an_unused_partition_reads_its_first_event(void) {
    begin(0);
    pond_read_from(&p, &r, "0", tmk_start_latest());
    pond_run(&p, 500);
    pond_put(&p, "0", 3, 50);
    expect(0, 3);
    end();
}

static void a_sequence_number_is_met_exactly(void) {
    begin(0);
    pond_put(&p, "0", 100, 50);
    pond_read_from(&p, &r, "0", tmk_start_sequence(42, true));
    expect(42, 58);
    pond_read_end(&r);
    pond_read_from(&p, &r, "0", tmk_start_sequence(42, false));
    expect(43, 57);
    end();
}

static void an_offset_is_met_exactly(void) {
    tmk_start start;
    tmk_hub_offset offset;

    begin(0);
    pond_put(&p, "0", 7, 50);
    offset = tmk_hub_part_last_offset(
        tmk_hub_entity_part(tmk_hub_core_find(&p.hub.core, TMK_LIT(POND_HUB)), TMK_LIT("0")));
    pond_put(&p, "0", 7, 50);
    CHECK_EQ(TMK_OK, tmk_start_offset(tmk_slice_str(offset.text), true, &start, NULL));
    pond_read_from(&p, &r, "0", start);
    expect(6, 8);
    pond_read_end(&r);
    start.inclusive = false;
    pond_read_from(&p, &r, "0", start);
    expect(7, 7);
    end();
}

static void a_time_is_met_exactly(void) {
    int64_t ms;

    begin(0);
    pond_put(&p, "0", 5, 50);
    pond_run(&p, 1000);
    ms = p.wall_us / 1000;
    pond_put(&p, "0", 5, 50);
    pond_run(&p, 1000);
    pond_put(&p, "0", 5, 50);
    pond_read_from(&p, &r, "0", tmk_start_time(ms));
    expect(5, 10);
    end();
}

/* Wherever the network cuts the bytes, the events are the same. */
static void bytes_may_be_cut_anywhere(void) {
    static const size_t cuts[] = {1, 2, 3, 7, 100, 5000};

    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        begin(cuts[i]);
        pond_put(&p, "0", 20, 300);
        pond_read_from(&p, &r, "0", tmk_start_earliest());
        CHECK(pond_until_count(&p, &r.count, 20, 60000));
        expect(0, 20);
        end();
    }
}

static void an_event_of_a_megabyte_comes_in_many_frames(void) {
    begin(0);
    pond_put(&p, "0", 3, 10);
    pond_put(&p, "0", 4, 1000000);
    pond_put(&p, "0", 3, 10);
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    expect(0, 10);
    CHECK(r.bytes > 4000000);
    end();
}

static void large_and_small_mixed_and_cut_stay_in_order(void) {
    begin(20000);
    for (int i = 0; i < 30; i++) {
        pond_put(&p, "0", 1, (size_t)(i * i * 150));
        pond_put(&p, "0", 2, 20);
    }
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    expect(0, 90);
    end();
}

/* Some servers deliver unsettled; every event is then accepted, so that windows do not fill. */
static void unsettled_deliveries_are_settled(void) {
    begin(0);
    p.hub.unsettled = true;
    pond_put(&p, "0", 9000, 20);
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    expect(0, 9000);
    end();
}

static void the_end_of_the_partition_is_told_when_asked_for(void) {
    tmk_consumer_options o;
    tmk_last last = {0};

    begin(0);
    tmk_consumer_options_init(&o);
    o.start = tmk_start_earliest();
    o.track_last = true;
    pond_put(&p, "0", 20, 50);
    pond_read(&p, &r, "0", &o);
    CHECK(!tmk_consumer_last(r.consumer, &last));
    expect(0, 20);
    CHECK(tmk_consumer_last(r.consumer, &last));
    CHECK_EQ(19, last.sequence);
    CHECK(last.offset[0] != '\0');
    end();
}

static void without_asking_it_is_not_told(void) {
    tmk_last last = {0};

    begin(0);
    pond_put(&p, "0", 20, 50);
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    expect(0, 20);
    CHECK(!tmk_consumer_last(r.consumer, &last));
    end();
}

/* What the program keeps bounds what is fetched: by count ... */
static void no_more_events_come_than_may_be_held(void) {
    tmk_consumer_options o;

    begin(0);
    tmk_consumer_options_init(&o);
    o.start = tmk_start_earliest();
    o.prefetch = 10;
    pond_put(&p, "0", 1000, 50);
    pond_read(&p, &r, "0", &o);
    r.keep = true;
    pond_run(&p, 2000);
    CHECK_EQ(10, r.count);
    while (r.kept_count > 0) {
        r.kept_count--;
        r.kept[r.kept_count] = tmk_received_free(r.kept[r.kept_count]);
    }
    pond_run(&p, 2000);
    CHECK_EQ(20, r.count);
    r.keep = false;
    while (r.kept_count > 0) {
        r.kept_count--;
        r.kept[r.kept_count] = tmk_received_free(r.kept[r.kept_count]);
    }
    CHECK(pond_until_count(&p, &r.count, 1000, 20000));
    CHECK_EQ(0, r.holes + r.out_of_order + r.wrong);
    end();
}

/* ... and by bytes, though one event is always let through. */
static void no_more_bytes_come_than_may_be_held_by_much(void) {
    tmk_consumer_options o;

    begin(0);
    tmk_consumer_options_init(&o);
    o.start = tmk_start_earliest();
    o.prefetch = 1000;
    o.prefetch_bytes = 200000;
    pond_put(&p, "0", 200, 50000);
    pond_read(&p, &r, "0", &o);
    r.keep = true;
    pond_run(&p, 2000);
    CHECK(r.bytes >= 200000 && r.bytes <= 1000000);
    pond_read_end(&r);
    pond_run(&p, 100);

    o.prefetch_bytes = 1;
    pond_read(&p, &r, "0", &o);
    CHECK(pond_until_count(&p, &r.count, 200, 20000));
    end();
}

static void a_pause_keeps_what_has_come(void) {
    begin(0);
    pond_put(&p, "0", 10, 50);
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    tmk_consumer_pause(r.consumer);
    pond_run(&p, 1000);
    CHECK_EQ(0, r.count);
    tmk_consumer_resume(r.consumer);
    expect(0, 10);
    end();
}

static void two_readers_share_a_connection_and_do_not_mix(void) {
    pond_reader second;

    begin(0);
    pond_put(&p, "0", 300, 50);
    pond_put(&p, "1", 200, 50);
    pond_read_from(&p, &second, "1", tmk_start_earliest());
    pond_read_from(&p, &r, "0", tmk_start_earliest());
    expect(0, 300);
    CHECK_EQ(200, second.count);
    CHECK_EQ(0, second.holes + second.out_of_order + second.wrong);
    CHECK_EQ(1, p.connects);
    pond_read_end(&second);
    end();
}

/* ---- callbacks that turn on their own consumer ---- */

static void free_in_callback(void *user, tmk_received *got) {
    pond_reader *mine = user;

    mine->count += tmk_received_count(got);
    got = tmk_received_free(got);
    mine->consumer = tmk_consumer_free(mine->consumer);
}

static void a_consumer_may_be_freed_from_its_own_callback(void) {
    tmk_consumer_options o;

    begin(0);
    pond_put(&p, "0", 3000, 50);
    tmk_consumer_options_init(&o);
    memset(&r, 0, sizeof r);
    o.partition = "0";
    o.start = tmk_start_earliest();
    o.on_events = free_in_callback;
    o.user = &r;
    CHECK_EQ(TMK_OK, tmk_consumer_new(p.client, &o, &r.consumer, NULL));
    pond_run(&p, 2000);
    CHECK(r.count > 0 && r.count < 3000);
    CHECK(r.consumer == NULL);
    end();
}

static void keep_and_free_consumer(void *user, tmk_received *got) {
    pond_reader *mine = user;

    mine->kept[mine->kept_count++] = got;
    if (mine->consumer != NULL) {
        mine->consumer = tmk_consumer_free(mine->consumer);
    }
}

/* Events that the program holds stay whole after consumer and client have gone. */
static void events_outlive_their_consumer(void) {
    tmk_consumer_options o;
    const tmk_event *e;

    begin(0);
    pond_put(&p, "0", 3, 50);
    tmk_consumer_options_init(&o);
    memset(&r, 0, sizeof r);
    o.partition = "0";
    o.start = tmk_start_earliest();
    o.on_events = keep_and_free_consumer;
    o.user = &r;
    CHECK_EQ(TMK_OK, tmk_consumer_new(p.client, &o, &r.consumer, NULL));
    pond_run(&p, 1000);
    CHECK_EQ(1, r.kept_count);
    pond_end(&p);
    e = tmk_received_event(r.kept[0], 2);
    CHECK_EQ(2, tmk_event_sequence(e));
    CHECK_STR("0", tmk_event_partition(e));
    CHECK_EQ(50, tmk_event_body(e).size);
    r.kept[0] = tmk_received_free(r.kept[0]);
}

int main(void) {
    return RUN(
        TEST(earliest_reads_all_there_is_and_all_that_comes), TEST(latest_reads_only_what_comes),
        TEST(latest_of_an_unused_partition_reads_its_first_event),
        TEST(a_sequence_number_is_met_exactly), TEST(an_offset_is_met_exactly),
        TEST(a_time_is_met_exactly), TEST(bytes_may_be_cut_anywhere),
        TEST(an_event_of_a_megabyte_comes_in_many_frames),
        TEST(large_and_small_mixed_and_cut_stay_in_order), TEST(unsettled_deliveries_are_settled),
        TEST(the_end_of_the_partition_is_told_when_asked_for), TEST(without_asking_it_is_not_told),
        TEST(no_more_events_come_than_may_be_held),
        TEST(no_more_bytes_come_than_may_be_held_by_much), TEST(a_pause_keeps_what_has_come),
        TEST(two_readers_share_a_connection_and_do_not_mix),
        TEST(a_consumer_may_be_freed_from_its_own_callback), TEST(events_outlive_their_consumer));
}
