/* Alive, ready, started: what makes them fail, and what must not. */
#include "support/check.h"

#include "run/stats.h"
#include "tools/tidemark/health.h"

static tmk_partition_state partitions[2];
static tmk_stats stats;
static cli_health_input in;
static cli_buffer out;

/* A worker that is well. */
static void begin(void) {
    memset(&stats, 0, sizeof stats);
    memset(partitions, 0, sizeof partitions);
    partitions[0] =
        (tmk_partition_state){.partition = "0", .own = true, .progress = TMK_PROGRESS_OK};
    partitions[1] =
        (tmk_partition_state){.partition = "1", .own = true, .progress = TMK_PROGRESS_SLOW};
    stats.partitions = partitions;
    stats.partition_count = 2;
    stats.processor.started = true;
    stats.processor.store_silent_ms = 1000;
    stats.client.connections_opened = 1;
    stats.client.tokens_put = 1;
    in = (cli_health_input){.stats = &stats, .age_ms = 900};
}

static bool ask(cli_health_kind kind) {
    out.size = 0;
    bool good = cli_health(kind, &in, &out);
    CHECK(!out.failed);
    cli_add(&out, "", 1);
    CHECK((strstr(out.text, "{\"status\":\"ok\"") != NULL) == good);
    return good;
}

static void expect(bool alive, bool ready, bool started) {
    CHECK_EQ(alive, ask(CLI_ALIVE));
    CHECK_EQ(started, ask(CLI_STARTED));
    CHECK_EQ(ready, ask(CLI_READY));
}

static void expect_reason(const char *reason) {
    if (strstr(out.text, reason) == NULL) {
        fail_msg("'%s' is not in %s", reason, out.text);
    }
}

static void a_worker_that_gets_on_is_well(void) {
    begin();
    expect(true, true, true);
}

static void a_worker_without_partitions_is_well(void) {
    begin();
    partitions[0].own = partitions[1].own = false;
    expect(true, true, true);
}

static void a_silent_store_makes_it_unready_alone(void) {
    begin();
    stats.processor.store_silent_ms = 119000;
    expect(true, true, true);
    stats.processor.store_silent_ms = 121000;
    expect(true, false, true);
    expect_reason(
        "{\"check\":\"store\",\"ok\":false,\"reason\":\"the store answered 121.0 s ago\"}");
    stats.processor.store_silent_ms = -1;
    expect(true, false, true);
}

static void a_hub_that_never_took_us_makes_it_unready_alone(void) {
    begin();
    stats.client.tokens_put = 0;
    expect(true, false, true);
}

static void a_partition_that_stands_still_makes_it_unready_alone(void) {
    begin();
    partitions[1].progress = TMK_PROGRESS_STALLED;
    expect(true, false, true);
    expect_reason("1 of 2 partitions stand still");
    expect_reason("(partition 1)");
    partitions[1].own = false; /* it is somebody else's by now */
    expect(true, true, true);
}

static void a_loop_that_stands_still_is_not_alive(void) {
    begin();
    in.age_ms = 30000;
    expect(true, true, true);
    in.age_ms = 30001;
    CHECK(!ask(CLI_ALIVE));
    expect_reason("a callback blocks it");
}

static void a_handler_beyond_the_limit_is_not_alive(void) {
    begin();
    stats.processor.handler_longest_ms = 3600000;
    expect(true, true, true); /* no limit is set */
    in.handler_limit_ms = 60000;
    CHECK(!ask(CLI_ALIVE));
    expect_reason("the longest call runs for 3600.0 s; the limit is 60.0 s");
    in.handler_limit_ms = 3600000;
    CHECK(ask(CLI_ALIVE));
}

static void before_the_first_statistics_it_lives_and_is_not_ready(void) {
    begin();
    in.stats = NULL;
    in.age_ms = 100;
    expect(true, false, false);
    in.age_ms = 31000; /* the loop never turned */
    expect(false, false, false);
}

static void a_stop_and_a_fence_make_it_unready(void) {
    begin();
    in.stopping = true;
    expect(true, false, true);
    begin();
    stats.processor.fenced = true;
    expect(true, false, true);
}

int main(void) {
    return RUN(TEST(a_worker_that_gets_on_is_well), TEST(a_worker_without_partitions_is_well),
               TEST(a_silent_store_makes_it_unready_alone),
               TEST(a_hub_that_never_took_us_makes_it_unready_alone),
               TEST(a_partition_that_stands_still_makes_it_unready_alone),
               TEST(a_loop_that_stands_still_is_not_alive),
               TEST(a_handler_beyond_the_limit_is_not_alive),
               TEST(before_the_first_statistics_it_lives_and_is_not_ready),
               TEST(a_stop_and_a_fence_make_it_unready));
}
