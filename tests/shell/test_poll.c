/*
 * The processor in the caller's own loop: a pollable descriptor and
 * tmk_processor_poll(), no user code on any other thread, and no call that waits.
 */
#include <sys/epoll.h>
#include <unistd.h>

#include "base/time.h"
#include "shell/worker.h"

static tmk_error err;
static tmk_hub *hub;
static tmk_client *client;
static tmk_store store;
static worker w;

static void begin(uint32_t partitions) {
    hub = hub_begin(partitions);
    client = client_of(hub, true);
    store = memory_begin();
    worker_init(&w, client);
    w.options.caller_driven = true;
}

static void end(void) {
    worker_end(&w);
    client = tmk_client_free(client);
    tmk_store_free(store);
    hub = tmk_hub_stop(hub);
}

static tmk_time now(void) {
    tmk_clock c = tmk_clock_system();

    return tmk_now(&c);
}

/* ---- in a loop of our own ---- */

static pthread_t me;
static atomic_uint strangers;

static tmk_verdict only_here(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self, (void)event, (void)delivery;
    strangers += !pthread_equal(me, pthread_self());
    return TMK_DONE;
}

static tmk_status opened_here(worker *self, const char *partition, bool checkpointed,
                              tmk_start *start) {
    (void)self, (void)partition, (void)checkpointed, (void)start;
    strangers += !pthread_equal(me, pthread_self());
    return TMK_OK;
}

static void line_here(void *user, const char *line, size_t size) {
    worker *self = user;

    CHECK(size > 2 && line[0] == '{');
    self->lines++;
    strangers += !pthread_equal(me, pthread_self());
}

static void log_here(void *self, tmk_log_level level, const char *event, const char *fields) {
    (void)self, (void)level, (void)event, (void)fields;
    strangers += !pthread_equal(me, pthread_self());
}

/* The descriptor alone says when to poll: epoll_wait() without end, poll without waiting. */
static void an_epoll_loop_drives_it_by_the_descriptor_alone(void) {
    struct epoll_event e = {.events = EPOLLIN};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    unsigned turns = 0;

    begin(4);
    me = pthread_self();
    strangers = 0;
    w.handle = only_here;
    w.choose = opened_here;
    w.options.on_journal = line_here;
    w.options.log = (tmk_log){.write = log_here, .level = TMK_LOG_DEBUG};
    for (int i = 0; i < 4; i++) {
        hub_put(hub, i == 0 ? "0" : i == 1 ? "1" : i == 2 ? "2" : "3", NULL, 500);
    }
    worker_start(&w, store);
    CHECK_EQ(0, epoll_ctl(epoll_fd, EPOLL_CTL_ADD, tmk_processor_fd(w.processor), &e));
    while (worker_distinct(&w) < 2000) {
        CHECK_EQ(1, epoll_wait(epoll_fd, &e, 1, 15000)); /* it wakes us for whatever is due */
        OK(tmk_processor_poll(w.processor, 0, 0, &err));
        turns++;
    }
    CHECK(worker_in_order(&w));
    CHECK_EQ(0, worker_repeats(&w));
    CHECK_EQ(0, strangers);
    CHECK_EQ(4, w.opened);
    OK(tmk_processor_stop(w.processor, 5000, NULL, &err));
    CHECK_EQ(0, strangers);
    CHECK_EQ(4, w.closed);
    (void)close(epoll_fd);
    end();
    print_message("# %u turns\n", turns);
}

/* ---- nothing waits ---- */

static void no_call_but_stop_waits(void) {
    tmk_time took = 0;

    begin(1);
    hub_put(hub, "0", NULL, 100);
    worker_start(&w, store);
    UNTIL(&w, worker_distinct(&w) == 100);
    OK(tmk_hub_fault(hub, "{\"fault\":\"freeze\"}", NULL, &err)); /* nobody answers from now on */
    took = -now();
    for (int i = 0; i < 200; i++) {
        tmk_partition_state s;

        OK(tmk_processor_pause(w.processor, "0"));
        OK(tmk_processor_checkpoint(w.processor, NULL));
        OK(tmk_processor_resume(w.processor, "0"));
        s = worker_state(&w, "0");
        CHECK(s.own);
        (void)worker_stats(&w);
        OK(tmk_processor_poll(w.processor, 0, 0, &err));
    }
    took += now();
    CHECK(took < 5 * TMK_SEC); /* 1200 calls; one that waited for the hub would take 30 s */
    tmk_hub_fault_clear(hub, 0);
    end();
}

static void a_poll_runs_no_more_handlers_than_it_is_told(void) {
    begin(1);
    hub_put(hub, "0", NULL, 300);
    worker_start(&w, store);
    while (worker_distinct(&w) < 300) {
        unsigned before = w.handled;

        OK(tmk_processor_poll(w.processor, 50, 3, &err));
        CHECK(w.handled - before <= 3);
    }
    CHECK(worker_in_order(&w));
    end();
}

/* ---- from inside ---- */

static tmk_status polled, stopped;

static tmk_verdict misbehave(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    tmk_error e;

    (void)event;
    polled = tmk_processor_poll(delivery->processor, 10, 0, &e);
    stopped = tmk_processor_stop(delivery->processor, 200, NULL, &e);
    OK(tmk_processor_checkpoint(self->processor, NULL));
    return TMK_DONE;
}

static void polling_or_stopping_from_inside_a_handler_is_refused(void) {
    begin(1);
    w.handle = misbehave;
    hub_put(hub, "0", NULL, 1);
    polled = stopped = TMK_OK;
    worker_start(&w, store);
    UNTIL(&w, w.handled == 1);
    CHECK_EQ(TMK_ESTATE, polled);
    CHECK_EQ(TMK_ESTATE, stopped);
    end();
}

static tmk_status stop_in_open(worker *self, const char *partition, bool checkpointed,
                               tmk_start *start) {
    tmk_error e;

    (void)partition, (void)checkpointed, (void)start;
    polled = tmk_processor_poll(self->processor, 10, 0, &e);
    stopped = tmk_processor_stop(self->processor, 200, NULL, &e);
    return TMK_OK;
}

static void polling_or_stopping_from_inside_a_callback_is_refused(void) {
    begin(1);
    w.choose = stop_in_open;
    polled = stopped = TMK_OK;
    worker_start(&w, store);
    UNTIL(&w, w.opened == 1);
    CHECK_EQ(TMK_ESTATE, polled);
    CHECK_EQ(TMK_ESTATE, stopped);
    end();
}

static tmk_verdict ask_to_stop(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    (void)self;
    if (tmk_event_sequence(event) == 5) {
        tmk_processor_request_stop(delivery->processor);
    }
    return TMK_DONE;
}

static void a_handler_may_ask_for_the_stop(void) {
    tmk_stop_report report;

    begin(1);
    w.handle = ask_to_stop;
    hub_put(hub, "0", NULL, 6);
    worker_start(&w, store);
    UNTIL(&w, w.closed == 1);
    OK(tmk_processor_stop(w.processor, 5000, &report, &err));
    CHECK(report.left);
    CHECK_EQ(0, report.events_in_doubt);
    CHECK_EQ(5, w.close_sequence);
    end();
}

/* ---- other threads ---- */

typedef struct helper {
    pthread_t thread;
    atomic_bool over;
    tmk_handle handles[64];
    atomic_uint given, taken;
    tmk_handle letter;
    atomic_bool letter_there;
    atomic_int absent, fine;
    pthread_t caller;
} helper;

static helper other;

static tmk_verdict hand_on(worker *self, const tmk_event *event, tmk_delivery *delivery) {
    unsigned given = other.given;

    (void)self;
    if (tmk_event_sequence(event) == 7) {
        return TMK_DEAD_LETTER;
    }
    other.handles[given] = delivery->handle;
    other.given = given + 1;
    return TMK_LATER;
}

static void keep_letter(void *user, const tmk_dead_letter *letter, tmk_handle handle) {
    (void)user;
    CHECK_EQ(7, tmk_event_sequence(letter->event));
    CHECK_STR("handler", letter->reason);
    CHECK_EQ(1, letter->attempts);
    other.letter = handle;
    atomic_store(&other.letter_there, true);
}

static void *help(void *arg) {
    worker *self = arg;

    while (!other.over) {
        if (other.taken < other.given) {
            tmk_handle h = other.handles[other.taken];

            other.taken++;
            other.fine += tmk_processor_complete(self->processor, h, TMK_DONE, -1) == TMK_OK;
            other.absent += tmk_processor_complete(self->processor, h, TMK_DONE, -1) == TMK_ABSENT;
        }
        if (atomic_exchange(&other.letter_there, false)) {
            OK(tmk_processor_dead_letter_done(self->processor, other.letter, TMK_OK, NULL));
        }
        (void)worker_stats(self);
        (void)worker_state(self, "0");
    }
    return NULL;
}

/* The promise is that of the header: any thread may complete, answer for letters, look. */
static void other_threads_complete_and_look_while_one_polls(void) {
    begin(1);
    memset(&other, 0, sizeof other);
    w.handle = hand_on;
    w.options.on_dead_letter = keep_letter;
    worker_start(&w, store);
    CHECK_EQ(0, pthread_create(&other.thread, NULL, help, &w));
    hub_put(hub, "0", NULL, 20);
    UNTIL(&w, worker_stats(&w).events == 20);
    CHECK_EQ(1, worker_stats(&w).dead_lettered);
    UNTIL(&w, other.absent == 19);
    CHECK_EQ(19, other.fine);
    other.over = true;
    while (pthread_tryjoin_np(other.thread, NULL) != 0) {
        OK(tmk_processor_poll(w.processor, 1, 0, &err));
    }
    CHECK(worker_in_order(&w));
    end();
}

/* ---- misuse ---- */

static void a_processor_with_threads_is_not_polled(void) {
    tmk_processor_options o;
    tmk_processor *p = NULL;

    begin(1);
    worker_start(&w, store);
    tmk_processor_options_init(&o);
    o.on_event = w.options.on_event;
    o.caller_driven = false;
    CHECK_EQ(TMK_EINVAL, tmk_processor_new(client, store, &o, &p, &err)); /* the client is driven */
    CHECK(strstr(err.text, "caller_driven") != NULL);
    end();
    client = client_of(hub = hub_begin(1), false);
    o.caller_driven = true;
    store = memory_begin();
    CHECK_EQ(TMK_EINVAL, tmk_processor_new(client, store, &o, &p, &err));
    CHECK(strstr(err.text, "caller_driven") != NULL);
    o.caller_driven = false;
    OK(tmk_processor_new(client, store, &o, &p, &err));
    CHECK_EQ(TMK_ESTATE, tmk_processor_poll(p, 0, 0, &err));
    p = tmk_processor_free(p);
    client = tmk_client_free(client);
    tmk_store_free(store);
    hub = tmk_hub_stop(hub);
}

int main(void) {
    return RUN(TEST(an_epoll_loop_drives_it_by_the_descriptor_alone), TEST(no_call_but_stop_waits),
               TEST(a_poll_runs_no_more_handlers_than_it_is_told),
               TEST(polling_or_stopping_from_inside_a_handler_is_refused),
               TEST(polling_or_stopping_from_inside_a_callback_is_refused),
               TEST(a_handler_may_ask_for_the_stop),
               TEST(other_threads_complete_and_look_while_one_polls),
               TEST(a_processor_with_threads_is_not_polled));
}
