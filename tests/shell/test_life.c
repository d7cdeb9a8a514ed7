/*
 * Starting, stopping, pausing, checkpoints, several in one process, bounds: the
 * life of a processor through its public interface.
 */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "shell/worker.h"

static tmk_error err;
static tmk_hub *hub;
static tmk_client *client;
static tmk_store store;
static worker w, v;

static void begin(uint32_t partitions) {
    hub = hub_begin(partitions);
    client = client_of(hub, false);
    store = memory_begin();
    worker_init(&w, client);
}

static void end(void) {
    worker_end(&w);
    client = tmk_client_free(client);
    tmk_store_free(store);
    hub = tmk_hub_stop(hub);
}

static int64_t now_ms(void) {
    tmk_clock c = tmk_clock_system();

    return tmk_now(&c) / TMK_MS;
}

/* The stored checkpoint of a partition: -1: at the beginning; -2: none. */
static int64_t stored(const char *partition) {
    tmk_store_op op = {
        .kind = TMK_STORE_PARTITION_READ, .id = partition, .version = "", .timeout_ms = 5000};
    tmk_store_result *result = NULL;
    int64_t sequence = -2;

    if (tmk_store_ask(store, &op, &result, &err) == TMK_OK &&
        result->partitions[0].checkpoint.present) {
        sequence = result->partitions[0].checkpoint.sequence;
    }
    result = tmk_store_result_free(result);
    return sequence;
}

/* ---- options ---- */

static void expect_refusal(const char *word) {
    tmk_processor *p = NULL;

    CHECK_EQ(TMK_EINVAL, tmk_processor_new(client, store, &w.options, &p, &err));
    if (strstr(err.text, word) == NULL) {
        fail_msg("'%s' does not name %s", err.text, word);
    }
    CHECK(p == NULL);
    worker_init(&w, client);
}

static void each_wrong_option_is_named(void) {
    begin(1);
    w.options.on_event = NULL;
    expect_refusal("on_event");
    w.options.on_batch = (tmk_on_batch_fn)(uintptr_t)1;
    expect_refusal("on_batch");
    w.options.threads = 0;
    expect_refusal("threads");
    w.options.threads = 1025;
    expect_refusal("threads");
    w.options.group = "";
    expect_refusal("group");
    w.options.prefetch = 0;
    expect_refusal("prefetch");
    w.options.events_max = 0;
    expect_refusal("events_max");
    w.options.bytes_max = 0;
    expect_refusal("bytes_max");
    w.options.retry_delay_ms = -1;
    expect_refusal("retry_delay");
    w.options.retry_delay_max_ms = 0;
    expect_refusal("retry_delay_max_ms");
    w.options.probe_ms = 0;
    expect_refusal("probe_ms");
    w.options.heartbeat_ms = -1;
    expect_refusal("heartbeat_ms");
    w.options.claims = (tmk_claims)7;
    expect_refusal("claims");
    w.options.heartbeat_ms = 8000;
    expect_refusal("expiry_ms");
    w.options.expiry_ms = 61000;
    expect_refusal("expiry_ms");
    w.options.expiry_ms = 14000;
    expect_refusal("expiry_ms");
    w.options.batch_linger_ms = -1;
    expect_refusal("batch_linger_ms");
    w.options.checkpoint_interval_ms = -1;
    expect_refusal("checkpoint_interval_ms");
    w.options.handler_warn_ms = -1;
    expect_refusal("handler_warn_ms");
    w.options.later_warn_ms = -1;
    expect_refusal("later_warn_ms");
    w.options.order = (tmk_order)9;
    expect_refusal("order");
    w.options.exhausted = (tmk_exhausted)9;
    expect_refusal("exhausted");
    w.options.lost_position = (tmk_lost_position)9;
    expect_refusal("lost_position");
    w.options.start.kind = (tmk_start_kind)9;
    expect_refusal("start");
    w.options.owner_id = "with a\nnewline";
    expect_refusal("owner_id");
    w.options.owner_id = "";
    expect_refusal("owner_id");
    w.options.weighted = true;
    w.options.claims = TMK_CLAIMS_SHARED;
    expect_refusal("weighted");
    end();
}

/* An old program's struct ends earlier: what it does not know has its default. */
static void a_shorter_options_struct_of_an_older_program_is_taken(void) {
    begin(1);
    w.options.size = offsetof(tmk_processor_options, lag_interval_ms);
    worker_start(&w, store);
    hub_put(hub, "0", NULL, 1);
    UNTIL(&w, worker_distinct(&w) == 1);
    end();
}

/* ---- start and stop ---- */

static void a_processor_starts_once(void) {
    begin(1);
    worker_start(&w, store);
    CHECK_EQ(TMK_ESTATE, tmk_processor_start(w.processor, &err));
    OK(tmk_processor_stop(w.processor, 5000, NULL, &err));
    CHECK_EQ(TMK_ESTATE, tmk_processor_start(w.processor, &err));
    OK(tmk_processor_stop(w.processor, 5000, NULL, &err)); /* a second stop is fine */
    end();
}

static void one_that_was_never_started_can_be_stopped_looked_at_and_freed(void) {
    tmk_processor_stats s = {.size = sizeof s};
    tmk_partition_state *states = NULL;
    size_t count = 9;

    begin(1);
    OK(tmk_processor_new(client, store, &w.options, &w.processor, &err));
    tmk_processor_stats_get(w.processor, &s);
    CHECK_EQ(0, s.events);
    OK(tmk_processor_partitions(w.processor, &states, &count, &err));
    CHECK_EQ(0, count);
    states = tmk_partition_states_free(states);
    CHECK_EQ(TMK_ABSENT, tmk_processor_pause(w.processor, "0"));
    CHECK_EQ(TMK_ABSENT, tmk_processor_complete(w.processor, 1, TMK_DONE, -1));
    tmk_processor_request_stop(w.processor);
    OK(tmk_processor_stop(w.processor, 1000, NULL, &err));
    end();
    CHECK(tmk_processor_free(NULL) == NULL);
}

static void a_stop_drains_checkpoints_and_says_so(void) {
    tmk_stop_report report;

    begin(4);
    w.options.checkpoint_interval_ms = 0;
    w.options.checkpoint_events = 0;
    worker_start(&w, store);
    hub_put(hub, NULL, NULL, 100);
    UNTIL(&w, worker_distinct(&w) == 100);
    OK(tmk_processor_stop(w.processor, 5000, &report, &err));
    CHECK(report.left);
    CHECK_EQ(0, report.events_in_doubt);
    CHECK_EQ(0, report.partitions_open);
    CHECK_EQ(0, report.handlers_running);
    CHECK_EQ(4, report.partitions_moved);
    CHECK_EQ(TMK_CLOSE_STOPPED, w.close_reason);
    CHECK_EQ(100, stored("0") + stored("1") + stored("2") + stored("3") + 4);
    end();
}

static atomic_bool let_go;

static tmk_verdict hang(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self, (void)delivery;
    while (tmk_event_sequence(event) == 2 && !let_go) {
        (void)poll(NULL, 0, 1);
    }
    return TMK_DONE;
}

static void a_stop_with_a_hanging_handler_returns_in_time_and_says_what_is_in_doubt(void) {
    tmk_stop_report report;
    int64_t took;
    unsigned problems;

    begin(1);
    let_go = false;
    w.handle = hang;
    w.options.handler_warn_ms = 50;
    hub_put(hub, "0", NULL, 10);
    worker_start(&w, store);
    UNTIL(&w, worker_times(&w, "0", 2) == 1);
    took = -now_ms();
    CHECK_EQ(TMK_ETIMEOUT, tmk_processor_stop(w.processor, 1000, &report, &err));
    took += now_ms();
    CHECK(took >= 700 && took < 1500);
    CHECK_EQ(1, report.handlers_running);
    CHECK_EQ(1, report.events_in_doubt);
    CHECK_EQ(1, w.closed);
    CHECK_EQ(1, w.close_sequence);
    CHECK_EQ(1, stored("0")); /* what was final is kept, although its thread never came back */
    problems = worker_tellings(&w, NULL, NULL);
    (void)poll(NULL, 0, 200); /* the watch would have reported it again */
    CHECK_EQ(problems, worker_tellings(&w, NULL, NULL));
    let_go = true;
    end();
    CHECK_EQ(3, w.handled); /* the handler ended, and nothing followed */
}

static tmk_status inner;

static tmk_verdict stop_inside(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    tmk_error e;

    (void)event;
    inner = tmk_processor_stop(delivery->processor, 100, NULL, &e);
    CHECK(strstr(e.text, "request_stop") != NULL);
    tmk_processor_request_stop(self->processor);
    return TMK_DONE;
}

static void a_handler_cannot_wait_for_the_stop_but_ask_for_it(void) {
    begin(1);
    inner = TMK_OK;
    w.handle = stop_inside;
    worker_start(&w, store);
    hub_put(hub, "0", NULL, 1);
    UNTIL(&w, w.closed == 1);
    CHECK_EQ(TMK_ESTATE, inner);
    OK(tmk_processor_stop(w.processor, 5000, NULL, &err));
    end();
}

static atomic_int open_stop;

static tmk_status stop_in_open(worker *self, const char *partition, bool checkpointed,
                               tmk_start *start) {
    tmk_error e;
    tmk_processor_stats s = {.size = sizeof s};

    (void)checkpointed, (void)start;
    open_stop = tmk_processor_stop(self->processor, 100, NULL, &e);
    tmk_processor_stats_get(self->processor, &s); /* everything else is fine here */
    (void)tmk_processor_pause(self->processor, partition);
    (void)tmk_processor_checkpoint(self->processor, NULL);
    return TMK_OK;
}

static void a_callback_may_call_everything_but_the_waiting_stop(void) {
    begin(1);
    w.choose = stop_in_open;
    worker_start(&w, store);
    UNTIL(&w, w.opened == 1);
    CHECK_EQ(TMK_ESTATE, open_stop);
    end();
}

/* ---- pause ---- */

static uint64_t delivered(void) {
    tmk_hub_partition p;

    OK(tmk_hub_partition_read(hub, "hub", "0", &p, &err));
    return p.delivered;
}

static void a_paused_partition_keeps_link_and_claim_and_takes_no_more(void) {
    tmk_hub_partition before, after;
    int64_t generation;
    uint64_t were;

    begin(2);
    w.options.prefetch = 50;
    worker_start(&w, store);
    hub_put(hub, "0", NULL, 100);
    UNTIL(&w, worker_state(&w, "0").final_sequence == 99);
    generation = worker_state(&w, "0").generation;
    CHECK_EQ(TMK_ABSENT, tmk_processor_pause(w.processor, "7"));
    OK(tmk_processor_pause(w.processor, "0"));
    OK(tmk_hub_partition_read(hub, "hub", "0", &before, &err));
    were = w.handled;
    hub_put(hub, "0", NULL, 500);
    hub_put(hub, "1", NULL, 100);
    UNTIL(&w, worker_state(&w, "1").final_sequence == 99);
    CHECK_EQ(were + 100, w.handled); /* none of partition 0 */
    CHECK_EQ(TMK_PROGRESS_STOPPED, worker_state(&w, "0").progress);
    OK(tmk_hub_partition_read(hub, "hub", "0", &after, &err));
    CHECK(delivered() - before.delivered <= 50); /* the credit that was out, and no more */
    CHECK_EQ(1, after.readers);
    CHECK(worker_state(&w, "0").own);
    OK(tmk_processor_resume(w.processor, "0"));
    UNTIL(&w, worker_state(&w, "0").final_sequence == 599);
    CHECK_EQ(generation, worker_state(&w, "0").generation);
    CHECK_EQ(1, tmk_hub_partition_read(hub, "hub", "0", &after, &err) == TMK_OK);
    CHECK_EQ(600, after.delivered); /* the same link all the time: nothing came twice */
    CHECK_EQ(0, worker_repeats(&w));
    CHECK(worker_in_order(&w));
    end();
}

/* ---- checkpoints ---- */

static void the_resolved_start_is_written_when_a_partition_is_first_opened(void) {
    begin(2);
    hub_put(hub, "0", NULL, 10);
    w.options.start = tmk_start_latest();
    worker_start(&w, store);
    UNTIL(&w, stored("0") == 9 && stored("1") == -1);
    CHECK_EQ(0, w.handled);
    worker_end(&w); /* whatever comes now is not lost, although nobody has read anything yet */
    hub_put(hub, "0", NULL, 3);
    hub_put(hub, "1", NULL, 3);
    worker_init(&w, client);
    w.options.start = tmk_start_latest();
    worker_start(&w, store);
    UNTIL(&w, worker_distinct(&w) == 6);
    CHECK_EQ(0, worker_times(&w, "0", 9));
    CHECK_EQ(1, worker_times(&w, "0", 10));
    end();
}

static void
a_checkpoint_is_written_after_so_many_events_or_bytes_or_so_much_time_or_when_asked(void) {
    for (int by = 0; by < 4; by++) {
        begin(1);
        w.options.checkpoint_events = by == 0 ? 10 : 0;
        w.options.checkpoint_bytes = by == 1 ? 200 : 0;
        w.options.checkpoint_interval_ms = by == 2 ? 20 : 0;
        worker_start(&w, store);
        UNTIL(&w, stored("0") == -1);
        hub_put(hub, "0", NULL, 20);
        UNTIL(&w, worker_state(&w, "0").final_sequence == 19);
        if (by == 3) {
            CHECK_EQ(-1, stored("0")); /* by nothing: not before it is asked for */
            CHECK_EQ(20, worker_state(&w, "0").replay_events);
            CHECK_EQ(TMK_ABSENT, tmk_processor_checkpoint(w.processor, "5"));
            OK(tmk_processor_checkpoint(w.processor, "0"));
        }
        UNTIL(&w, stored("0") >= (by == 3 ? 19 : 9));
        UNTIL(&w, worker_state(&w, "0").checkpoint_sequence == stored("0"));
        CHECK(worker_stats(&w).checkpoints_written >= 2);
        end();
    }
}

/* What is finished above a gap is kept with the checkpoint and does not count as to be repeated. */
static tmk_handle gap;

static tmk_verdict leave_gap(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self;
    if (tmk_event_sequence(event) != 3) {
        return TMK_DONE;
    }
    gap = delivery->handle;
    return TMK_LATER;
}

static void the_replay_bound_is_exact_at_any_time(void) {
    begin(1);
    w.handle = leave_gap;
    w.options.order = TMK_ORDER_NONE;
    w.options.checkpoint_interval_ms = 0;
    w.options.checkpoint_events = 0;
    hub_put(hub, "0", NULL, 20);
    worker_start(&w, store);
    UNTIL(&w, w.handled == 20 && worker_stats(&w).events == 19);
    CHECK_EQ(20, worker_state(&w, "0").replay_events);
    CHECK_EQ(2, worker_state(&w, "0").final_sequence);
    CHECK(worker_state(&w, "0").oldest_ms >= 0);
    OK(tmk_processor_checkpoint(w.processor, "0"));
    UNTIL(&w, worker_state(&w, "0").replay_events == 1);
    CHECK_EQ(2, stored("0"));
    OK(tmk_processor_complete(w.processor, gap, TMK_DONE, -1));
    UNTIL(&w, worker_state(&w, "0").final_sequence == 19);
    OK(tmk_processor_checkpoint(w.processor, "0"));
    UNTIL(&w, worker_state(&w, "0").replay_events == 0);
    CHECK_EQ(0, worker_state(&w, "0").oldest_ms);
    end();
}

/* ---- where to start ---- */

static tmk_start chosen;
static atomic_bool was_checkpointed;
static atomic_uint refusals;

static tmk_status choose(worker *self, const char *partition, bool checkpointed, tmk_start *start) {
    (void)self, (void)partition;
    was_checkpointed = checkpointed;
    if (refusals > 0) {
        refusals--;
        return TMK_EIO;
    }
    *start = chosen;
    return TMK_OK;
}

static void on_open_chooses_the_start_even_against_a_checkpoint(void) {
    begin(1);
    hub_put(hub, "0", NULL, 20);
    w.choose = choose;
    chosen = tmk_start_sequence(12, true);
    worker_start(&w, store);
    UNTIL(&w, worker_distinct(&w) == 8);
    CHECK_EQ(0, worker_times(&w, "0", 11));
    CHECK(!was_checkpointed);
    worker_end(&w);
    CHECK_EQ(19, stored("0"));
    worker_init(&w, client);
    w.choose = choose;
    chosen = tmk_start_sequence(4, false);
    worker_start(&w, store);
    UNTIL(&w, worker_distinct(&w) == 15);
    CHECK(was_checkpointed);
    CHECK_EQ(1, worker_times(&w, "0", 5));
    end();
}

/* A program that keeps its own position names, in the normal case, the one that the checkpoint
 * has: that is no change, and what the done-map knows is not repeated. */
static tmk_status same_place(worker *self, const char *partition, bool checkpointed,
                             tmk_start *start) {
    (void)self, (void)partition;
    if (checkpointed) {
        CHECK_EQ(TMK_START_SEQUENCE, start->kind);
        *start = tmk_start_sequence(2, false);
    }
    return TMK_OK;
}

static void choosing_the_place_of_the_checkpoint_is_no_change(void) {

    begin(1);
    w.handle = leave_gap;
    w.options.order = TMK_ORDER_NONE;
    hub_put(hub, "0", NULL, 20);
    worker_start(&w, store);
    UNTIL(&w, worker_stats(&w).events == 19);
    CHECK_EQ(TMK_ETIMEOUT, tmk_processor_stop(w.processor, 400, NULL, &err));
    worker_end(&w);
    CHECK_EQ(2, stored("0"));
    worker_init(&w, client);
    w.choose = same_place;
    worker_start(&w, store);
    UNTIL(&w, worker_state(&w, "0").final_sequence == 19);
    CHECK_EQ(1, w.handled); /* the gap alone */
    CHECK_EQ(1, worker_times(&w, "0", 3));
    end();
}

static void an_opening_that_is_refused_is_put_off_and_reported(void) {
    begin(1);
    w.choose = choose;
    chosen = tmk_start_earliest();
    refusals = 1;
    worker_start(&w, store);
    UNTIL(&w, worker_told(&w, "open", "refused", NULL));
    CHECK_EQ(0, w.opened);
    UNTIL(&w, w.opened == 1);
    end();
}

/* ---- several ---- */

static void two_groups_in_one_process_each_get_everything(void) {
    tmk_store other = memory_begin();

    begin(4);
    worker_init(&v, client);
    v.options.group = "other";
    worker_start(&w, store);
    worker_start(&v, other);
    hub_put(hub, NULL, NULL, 200);
    UNTIL(&w, worker_distinct(&w) == 200 && worker_distinct(&v) == 200);
    CHECK_EQ(0, worker_repeats(&w) + worker_repeats(&v));
    worker_end(&v);
    tmk_store_free(other);
    end();
}

static void two_of_a_group_in_one_process_share_and_hand_over_without_repeats(void) {
    begin(4);
    worker_init(&v, client);
    worker_start(&w, store);
    UNTIL(&w, worker_stats(&w).owned == 4);
    worker_start(&v, store);
    CHECK(strcmp(tmk_processor_owner_id(w.processor), tmk_processor_owner_id(v.processor)) != 0);
    UNTIL(&w, worker_stats(&w).owned == 2 && worker_stats(&v).owned == 2);
    hub_put(hub, NULL, NULL, 200);
    UNTIL(&w, worker_distinct(&w) + worker_distinct(&v) == 200);
    UNTIL(&w, w.closed == 2);
    CHECK_EQ(TMK_CLOSE_MOVED, w.close_reason);
    OK(tmk_processor_stop(v.processor, 10000, NULL, &err));
    UNTIL(&w, worker_stats(&w).owned == 4);
    hub_put(hub, NULL, NULL, 100);
    UNTIL(&w, worker_distinct(&w) + worker_distinct(&v) == 300);
    CHECK_EQ(0, worker_repeats(&w) + worker_repeats(&v));
    worker_end(&v);
    end();
}

/* Takes its time for each event, and waits for it. */
static tmk_verdict takes_two_ms(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self, (void)event, (void)delivery;
    (void)poll(NULL, 0, 2);
    return TMK_DONE;
}

static void ask_for_balance_by_load(worker *it) {
    it->options.weighted = true;
    it->options.heartbeat_ms = 200; /* loads are told every twelve heartbeats */
    it->handle = takes_two_ms;
}

/* Each has two partitions by count. All events come into two of one instance: one of these moves to
 * the other, while it is read, and nothing is repeated. */
static void skewed_load_is_levelled_by_two_that_ask_for_it(void) {
    unsigned put = 0;
    bool level = false;

    begin(4);
    worker_init(&v, client);
    ask_for_balance_by_load(&w);
    ask_for_balance_by_load(&v);
    worker_start(&w, store);
    UNTIL(&w, worker_stats(&w).owned == 4);
    worker_start(&v, store);
    UNTIL(&w, worker_stats(&w).owned == 2 && worker_stats(&v).owned == 2);
    CHECK(worker_state(&w, "0").own && worker_state(&w, "1").own);
    for (int i = 0; i < 20000 && !level; i++) {
        if (i % 8 == 0 && put < 2 * WORKER_EVENTS) {
            hub_put(hub, "0", NULL, 1);
            hub_put(hub, "1", NULL, 1);
            put += 2;
        }
        worker_wait_a_little(&w);
        level = i % 64 == 0 && worker_state(&w, "0").own != worker_state(&w, "1").own &&
                worker_state(&v, "0").own != worker_state(&v, "1").own;
    }
    CHECK(level);
    CHECK_EQ(1, worker_stats(&w).owned);
    CHECK_EQ(3, worker_stats(&v).owned);
    UNTIL(&w, worker_distinct(&w) + worker_distinct(&v) == put);
    CHECK_EQ(0, worker_repeats(&w) + worker_repeats(&v));
    CHECK(worker_in_order(&w) && worker_in_order(&v));
    worker_end(&v);
    end();
}

static void a_cap_is_kept_and_what_nobody_takes_is_shown_as_unowned(void) {
    begin(4);
    w.options.partitions_max = 3;
    worker_start(&w, store);
    UNTIL(&w, worker_stats(&w).owned == 3 && worker_stats(&w).started);
    hub_put(hub, NULL, NULL, 40);
    UNTIL(&w, worker_distinct(&w) == 30);
    CHECK_EQ(3, worker_stats(&w).owned);
    end();
}

/* ---- what the host's process keeps ---- */

static void no_signal_handler_is_set_and_no_mask_is_changed(void) {
    struct sigaction before[32], after;
    sigset_t mask_before, mask_after;

    for (int s = 1; s < 32; s++) {
        (void)sigaction(s, NULL, &before[s]);
    }
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask_before);
    begin(1);
    worker_start(&w, store);
    hub_put(hub, "0", NULL, 10);
    UNTIL(&w, worker_distinct(&w) == 10);
    OK(tmk_hub_fault(hub, "{\"fault\":\"drop_connections\"}", NULL, &err)); /* no SIGPIPE either */
    hub_put(hub, "0", NULL, 10);
    UNTIL(&w, worker_distinct(&w) == 20);
    for (int s = 1; s < 32; s++) {
        (void)sigaction(s, NULL, &after);
        CHECK(before[s].sa_handler == after.sa_handler && before[s].sa_flags == after.sa_flags);
    }
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask_after);
    for (int s = 1; s < 32; s++) {
        CHECK_EQ(sigismember(&mask_before, s), sigismember(&mask_after, s));
    }
    end();
}

static unsigned open_files(void) {
    DIR *d = opendir("/proc/self/fd");
    unsigned count = 0;

    while (d != NULL && readdir(d) != NULL) {
        count++;
    }
    (void)closedir(d);
    return count;
}

static void nothing_is_left_behind_in_the_process(void) {
    unsigned before = 0;

    for (int i = 0; i < 3; i++) {
        begin(2);
        worker_start(&w, store);
        hub_put(hub, NULL, NULL, 20);
        UNTIL(&w, worker_distinct(&w) == 20);
        end();
        CHECK(i == 0 || open_files() == before);
        before = open_files();
    }
}

#if !defined(__SANITIZE_THREAD__)
/* In the child: an own processor, in a group of its own, against the hub of the parent. */
static int child_works(void) {
    tmk_store mine = memory_begin();
    tmk_client *c = client_of(hub, false);
    unsigned distinct;

    worker_init(&v, c);
    v.options.group = "other";
    worker_start(&v, mine);
    UNTIL(&v, worker_distinct(&v) == 50);
    distinct = worker_distinct(&v);
    worker_end(&v);
    c = tmk_client_free(c);
    tmk_store_free(mine);
    return distinct == 50 ? 0 : 1;
}

static void a_forked_child_makes_its_own_and_an_executed_one_inherits_nothing(void) {
    char list[4096] = "";
    int ends[2], status = -1;
    pid_t child;

    begin(1);
    worker_start(&w, store);
    hub_put(hub, "0", NULL, 50);
    UNTIL(&w, worker_distinct(&w) == 50);
    child = fork();
    if (child == 0) {
        _exit(child_works());
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK_EQ(0, WEXITSTATUS(status));

    CHECK_EQ(0, pipe(ends));
    child = fork();
    if (child == 0) {
        (void)dup2(ends[1], 1);
        (void)execl("/bin/sh", "sh", "-c",
                    "for fd in 3 4 5 6 7 8 9; do readlink /proc/$$/fd/$fd; done", (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    for (size_t got = 0, n = 1; n > 0 && n < sizeof list; got += n) {
        ssize_t r = read(ends[0], list + got, sizeof list - 1 - got);
        n = r > 0 ? (size_t)r : 0;
    }
    (void)close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(strstr(list, "socket:") == NULL && strstr(list, "anon_inode:") == NULL);
    hub_put(hub, "0", NULL, 5); /* the parent's goes on */
    UNTIL(&w, worker_distinct(&w) == 55);
    end();
}
#endif

/* ---- bounds ---- */

static tmk_verdict stall(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self, (void)event, (void)delivery;
    while (!let_go) {
        (void)poll(NULL, 0, 1);
    }
    return TMK_DONE;
}

static void what_is_held_stays_within_its_bounds_while_handlers_stall(void) {
    uint64_t most = 0;

    begin(2);
    let_go = false;
    w.handle = stall;
    w.options.events_max = 200;
    w.options.prefetch = 100;
    worker_start(&w, store);
    hub_put(hub, NULL, NULL, 4000);
    UNTIL(&w, worker_stats(&w).held_events >= 100);
    for (int i = 0; i < 200; i++) {
        uint64_t held = worker_stats(&w).held_events;

        most = held > most ? held : most;
        worker_wait_a_little(&w);
    }
    CHECK(most <= 200);
    let_go = true;
    UNTIL(&w, worker_distinct(&w) == 4000);
    CHECK_EQ(0, worker_repeats(&w));
    end();
}

/* ---- seeing ---- */

static void lag_and_states_are_told(void) {
    tmk_partition_state s;

    begin(1);
    w.options.lag_interval_ms = 20;
    w.options.retention_ms = 3600 * 1000;
    worker_start(&w, store);
    hub_put(hub, "0", NULL, 10);
    UNTIL(&w, worker_state(&w, "0").lag.last_sequence == 9 &&
                  worker_state(&w, "0").final_sequence == 9);
    s = worker_state(&w, "0");
    CHECK_EQ(TMK_PROGRESS_OK, s.progress);
    CHECK_EQ(0, s.lag.events);
    CHECK_EQ(0, s.lag.age_ms);
    CHECK_EQ(3600 * 1000, s.lag.to_loss_ms);
    CHECK_EQ(10, s.events);
    CHECK(s.bytes > 0);
    CHECK_EQ(9, s.received_sequence);
    OK(tmk_processor_pause(w.processor, "0"));
    hub_put(hub, "0", NULL, 5);
    UNTIL(&w, worker_state(&w, "0").lag.events == 5);
    UNTIL(&w, worker_state(&w, "0").lag.age_ms > 0);
    s = worker_state(&w, "0");
    CHECK(s.lag.to_loss_ms < 3600 * 1000 && s.lag.to_loss_ms > 3500 * 1000);
    CHECK_EQ(TMK_PROGRESS_STOPPED, s.progress);
    UNTIL(&w, w.lags > 0);
    end();
}

static void on_line(void *user, const char *line, size_t size) {
    worker *self = user;

    if (size < 3 || line[0] != '{' || memchr(line, '\n', size) != line + size - 1) {
        self->out_of_order = 999;
    }
    self->lines++;
}

static void the_journal_comes_in_whole_lines(void) {
    begin(2);
    w.options.on_journal = on_line;
    worker_start(&w, store);
    hub_put(hub, NULL, NULL, 100);
    UNTIL(&w, worker_distinct(&w) == 100);
    UNTIL(&w, w.lines > 200);
    CHECK(worker_in_order(&w));
    end();
}

/* ---- a store or a hub that is not there ---- */

static void a_hub_that_is_not_there_is_reported_and_waited_for_and_the_stop_is_quick(void) {
    int64_t took;

    begin(1);
    OK(tmk_hub_fault(hub, "{\"fault\":\"freeze\"}", NULL, &err));
    worker_start(&w, store);
    CHECK(!worker_stats(&w).started || worker_stats(&w).owned == 0);
    took = -now_ms();
    (void)tmk_processor_stop(w.processor, 1000, NULL, &err);
    took += now_ms();
    CHECK(took < 1500);
    tmk_hub_fault_clear(hub, 0);
    end();
}

int main(int argc, char **argv) {
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return RUN(
        TEST(each_wrong_option_is_named),
        TEST(a_shorter_options_struct_of_an_older_program_is_taken), TEST(a_processor_starts_once),
        TEST(one_that_was_never_started_can_be_stopped_looked_at_and_freed),
        TEST(a_stop_drains_checkpoints_and_says_so),
        TEST(a_stop_with_a_hanging_handler_returns_in_time_and_says_what_is_in_doubt),
        TEST(a_handler_cannot_wait_for_the_stop_but_ask_for_it),
        TEST(a_callback_may_call_everything_but_the_waiting_stop),
        TEST(a_paused_partition_keeps_link_and_claim_and_takes_no_more),
        TEST(the_resolved_start_is_written_when_a_partition_is_first_opened),
        TEST(a_checkpoint_is_written_after_so_many_events_or_bytes_or_so_much_time_or_when_asked),
        TEST(the_replay_bound_is_exact_at_any_time),
        TEST(on_open_chooses_the_start_even_against_a_checkpoint),
        TEST(choosing_the_place_of_the_checkpoint_is_no_change),
        TEST(an_opening_that_is_refused_is_put_off_and_reported),
        TEST(two_groups_in_one_process_each_get_everything),
        TEST(two_of_a_group_in_one_process_share_and_hand_over_without_repeats),
        TEST(skewed_load_is_levelled_by_two_that_ask_for_it),
        TEST(a_cap_is_kept_and_what_nobody_takes_is_shown_as_unowned),
        TEST(no_signal_handler_is_set_and_no_mask_is_changed),
        TEST(nothing_is_left_behind_in_the_process),
#if !defined(__SANITIZE_THREAD__)
        TEST(a_forked_child_makes_its_own_and_an_executed_one_inherits_nothing),
#endif
        TEST(what_is_held_stays_within_its_bounds_while_handlers_stall),
        TEST(lag_and_states_are_told), TEST(the_journal_comes_in_whole_lines),
        TEST(a_hub_that_is_not_there_is_reported_and_waited_for_and_the_stop_is_quick));
}
