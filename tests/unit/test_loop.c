/* The loop: order of tasks and timers, bells, descriptors, threads. */
#include "net/loop.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"
#include "base/thread.h"
#include "support/check.h"
#include "support/failing_alloc.h"

/* A clock that is a number. */
static tmk_time fake_time;
static tmk_time fake_now(void *self) {
    (void)self;
    return fake_time;
}
static tmk_wall fake_wall(void *self) {
    (void)self;
    return (tmk_wall){0};
}
static const tmk_clock fake_clock = {fake_now, fake_wall, NULL};

static tmk_loop *loop;

static void begin(tmk_clock clock) {
    CHECK_EQ(TMK_OK, tmk_loop_new(clock, &loop, NULL));
}

static void turn(void) {
    CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 0, NULL));
}

static char trace[64];
static void note(char c) {
    size_t size = strlen(trace);

    CHECK(size < sizeof trace - 1);
    trace[size] = c;
    trace[size + 1] = '\0';
}

static void check_trace(const char *expected) {
    CHECK_STR(expected, trace);
    trace[0] = '\0';
}

static bool fd_is_readable(void) {
    struct pollfd p = {.fd = tmk_loop_fd(loop), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

typedef struct named_task {
    tmk_task task;
    char name;
    tmk_task *then; /* posted from inside */
} named_task;

static void run_named(tmk_task *task) {
    named_task *n = tmk_container_of(task, named_task, task);

    note(n->name);
    if (n->then != NULL) {
        tmk_loop_post(loop, n->then);
    }
}

static void tasks_run_once_in_the_order_of_posting(void) {
    named_task a = {{NULL, run_named}, 'a', NULL};
    named_task b = {{NULL, run_named}, 'b', &a.task};
    named_task c = {{NULL, run_named}, 'c', NULL};

    begin(fake_clock);
    CHECK(!fd_is_readable());
    tmk_loop_post(loop, &b.task);
    tmk_loop_post(loop, &c.task);
    CHECK(fd_is_readable());
    turn();
    check_trace("bc"); /* a, posted from inside, waits for the next turn */
    CHECK(fd_is_readable());
    turn();
    check_trace("a");
    CHECK(!fd_is_readable());
    turn();
    check_trace("");
    loop = tmk_loop_free(loop);
}

static named_task victim;
static void unpost_victim(tmk_task *task) {
    (void)task;
    tmk_loop_unpost(loop, &victim.task);
    note('u');
}

static void a_task_that_was_taken_back_does_not_run(void) {
    named_task a = {{NULL, run_named}, 'a', NULL};
    named_task z = {{NULL, run_named}, 'z', NULL};
    tmk_task un = {NULL, unpost_victim};

    begin(fake_clock);
    victim = (named_task){{NULL, run_named}, 'v', NULL};
    tmk_loop_unpost(loop, &victim.task);
    tmk_loop_post(loop, &a.task);
    tmk_loop_post(loop, &victim.task);
    tmk_loop_unpost(loop, &victim.task);
    tmk_loop_post(loop, &z.task);
    turn();
    check_trace("az");
    /* From inside the batch in which it is, and as the last one. */
    tmk_loop_post(loop, &un);
    tmk_loop_post(loop, &victim.task);
    turn();
    check_trace("u");
    tmk_loop_post(loop, &un);
    tmk_loop_post(loop, &victim.task);
    tmk_loop_post(loop, &z.task);
    turn();
    tmk_loop_post(loop, &a.task);
    turn();
    check_trace("uza");
    loop = tmk_loop_free(loop);
}

typedef struct named_timer {
    tmk_timer timer;
    char name;
    tmk_time again; /* set from inside to this moment, when not 0 */
} named_timer;

static void fire_named(tmk_timer *t) {
    named_timer *n = tmk_container_of(t, named_timer, timer);

    note(n->name);
    if (n->again != 0) {
        tmk_timer_set(loop, t, n->again);
    }
}

static void timers_fire_in_order_and_not_early(void) {
    named_timer a = {.name = 'a'};
    named_timer b = {.name = 'b'};
    named_timer c = {.name = 'c'};

    fake_time = 1000;
    begin(fake_clock);
    CHECK_EQ(TMK_OK, tmk_timer_init(loop, &a.timer, fire_named));
    CHECK_EQ(TMK_OK, tmk_timer_init(loop, &b.timer, fire_named));
    CHECK_EQ(TMK_OK, tmk_timer_init(loop, &c.timer, fire_named));
    tmk_timer_set(loop, &c.timer, 3000);
    tmk_timer_set(loop, &a.timer, 2000);
    tmk_timer_set(loop, &b.timer, 2000);
    fake_time = 1999;
    turn();
    check_trace("");
    fake_time = 2000;
    turn();
    check_trace("ab");
    tmk_timer_set(loop, &a.timer, 2500);
    tmk_timer_set(loop, &a.timer, 4000); /* moved */
    tmk_timer_stop(loop, &b.timer);
    fake_time = 3500;
    turn();
    check_trace("c");
    tmk_timer_set(loop, &a.timer, TMK_NEVER);
    fake_time = TMK_NEVER - 1;
    turn();
    check_trace("");
    tmk_timer_clear(loop, &a.timer);
    tmk_timer_clear(loop, &a.timer);
    tmk_timer_clear(loop, &b.timer);
    tmk_timer_clear(loop, &c.timer);
    loop = tmk_loop_free(loop);
}

/* A timer that is always due may neither hold the turn nor starve another. */
static void a_timer_set_from_inside_waits_for_the_next_turn(void) {
    named_timer a = {.name = 'a', .again = 1};
    named_timer b = {.name = 'b'};

    fake_time = 100;
    begin(fake_clock);
    CHECK_EQ(TMK_OK, tmk_timer_init(loop, &a.timer, fire_named));
    CHECK_EQ(TMK_OK, tmk_timer_init(loop, &b.timer, fire_named));
    tmk_timer_set(loop, &a.timer, 1);
    tmk_timer_set(loop, &b.timer, 100);
    turn();
    check_trace("ab");
    CHECK_EQ(TMK_OK, tmk_loop_turn(loop, TMK_NEVER, NULL)); /* does not wait: it is due */
    check_trace("a");
    loop = tmk_loop_free(loop);
}

static void the_descriptor_tells_of_timers(void) {
    named_timer far = {.name = 'f'};
    named_timer near = {.name = 'n'};
    struct pollfd p = {.events = POLLIN};

    begin(tmk_clock_system());
    p.fd = tmk_loop_fd(loop);
    CHECK_EQ(TMK_OK, tmk_timer_init(loop, &far.timer, fire_named));
    CHECK_EQ(TMK_OK, tmk_timer_init(loop, &near.timer, fire_named));
    tmk_timer_set(loop, &far.timer, tmk_loop_now(loop) + 1000 * TMK_SEC);
    CHECK(!fd_is_readable());
    /* Set between turns, earlier than what the descriptor was told before. */
    tmk_timer_set(loop, &near.timer, tmk_loop_now(loop) + 2 * TMK_MS);
    CHECK_EQ(1, poll(&p, 1, 10000));
    turn();
    check_trace("n");
    CHECK(!fd_is_readable());
    CHECK_EQ(TMK_OK, tmk_loop_turn(loop, TMK_MS, NULL)); /* nothing to do: comes back */
    check_trace("");
    tmk_timer_set(loop, &near.timer, 0); /* long ago */
    CHECK_EQ(1, poll(&p, 1, 10000));
    turn();
    check_trace("n");
    loop = tmk_loop_free(loop);
}

static void a_turn_waits_for_a_timer(void) {
    named_timer a = {.name = 'a'};
    tmk_time due = 0;

    begin(tmk_clock_system());
    CHECK_EQ(TMK_OK, tmk_timer_init(loop, &a.timer, fire_named));
    due = tmk_loop_now(loop) + 3 * TMK_MS;
    tmk_timer_set(loop, &a.timer, due);
    while (trace[0] == '\0') {
        CHECK_EQ(TMK_OK, tmk_loop_turn(loop, 10 * TMK_SEC, NULL));
    }
    CHECK(tmk_loop_now(loop) >= due);
    check_trace("a");
    loop = tmk_loop_free(loop);
}

static int rings;
static bool ring_again;
static void on_ring(tmk_bell *b) {
    rings++;
    if (ring_again) {
        ring_again = false;
        tmk_bell_ring(b);
    }
}

static void a_bell_rings_once_a_turn(void) {
    tmk_bell b;

    begin(fake_clock);
    rings = 0;
    tmk_bell_init(&b, loop, on_ring);
    for (int i = 0; i < 1000; i++) {
        tmk_bell_ring(&b);
    }
    turn();
    CHECK_EQ(1, rings);
    ring_again = true;
    tmk_bell_ring(&b);
    turn();
    CHECK_EQ(2, rings);
    turn();
    CHECK_EQ(3, rings);
    tmk_bell_ring(&b);
    tmk_bell_clear(&b);
    turn();
    CHECK_EQ(3, rings);
    loop = tmk_loop_free(loop);
}

/* ---- descriptors ---- */

static tmk_watch watches[2];
static unsigned seen[2];
static bool remove_other;

static void on_ready(tmk_watch *w, unsigned events) {
    size_t i = (size_t)(w - watches);

    seen[i] |= events;
    if (remove_other) {
        tmk_loop_unwatch(loop, &watches[1 - i]);
    }
}

static void watch_pair(int ends[2]) {
    memset(watches, 0, sizeof watches);
    memset(seen, 0, sizeof seen);
    CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
    for (size_t i = 0; i < 2; i++) {
        watches[i].ready = on_ready;
        CHECK_EQ(TMK_OK, tmk_loop_watch(loop, &watches[i], ends[i], TMK_LOOP_READ, NULL));
    }
}

static void descriptors_tell_what_is_wanted(void) {
    int ends[2];

    begin(fake_clock);
    remove_other = false;
    watch_pair(ends);
    turn();
    CHECK_EQ(0, seen[0] | seen[1]);
    CHECK_EQ(1, write(ends[0], "x", 1));
    turn();
    CHECK_EQ(TMK_LOOP_READ, seen[1]);
    CHECK_EQ(TMK_OK, tmk_loop_rewatch(loop, &watches[0], TMK_LOOP_READ | TMK_LOOP_WRITE, NULL));
    CHECK_EQ(TMK_OK, tmk_loop_rewatch(loop, &watches[0], TMK_LOOP_READ | TMK_LOOP_WRITE, NULL));
    turn();
    CHECK_EQ(TMK_LOOP_WRITE, seen[0]);
    CHECK_EQ(0, close(ends[1])); /* leaves the set by itself */
    turn();
    CHECK((seen[0] & TMK_LOOP_HANGUP) != 0);
    tmk_loop_unwatch(loop, &watches[0]);
    tmk_loop_unwatch(loop, &watches[0]);
    tmk_loop_unwatch(loop, &watches[1]);
    CHECK_EQ(0, close(ends[0]));
    loop = tmk_loop_free(loop);
}

/* Two are ready in the same turn; the first removes (and might free) the second. */
static void a_removed_watch_is_not_told_what_was_under_way(void) {
    int ends[2];

    begin(fake_clock);
    watch_pair(ends);
    remove_other = true;
    CHECK_EQ(1, write(ends[0], "x", 1));
    CHECK_EQ(1, write(ends[1], "x", 1));
    turn();
    CHECK((seen[0] == TMK_LOOP_READ) != (seen[1] == TMK_LOOP_READ));
    for (size_t i = 0; i < 2; i++) {
        tmk_loop_unwatch(loop, &watches[i]);
        CHECK_EQ(0, close(ends[i]));
    }
    loop = tmk_loop_free(loop);
}

static void a_bad_descriptor_is_an_error(void) {
    tmk_watch w = {.ready = on_ready};
    tmk_error err;

    begin(fake_clock);
    CHECK_EQ(TMK_EIO, tmk_loop_watch(loop, &w, -1, TMK_LOOP_READ, &err));
    CHECK(!w.added);
    loop = tmk_loop_free(loop);
}

/* ---- threads ---- */

enum { POSTERS = 4, TASKS = 2000 };

typedef struct numbered_task {
    tmk_task task;
    size_t poster, number;
} numbered_task;

static numbered_task tasks[POSTERS][TASKS];
static size_t next_number[POSTERS]; /* loop thread only */
static bool order_kept;
static atomic_size_t tasks_run;
static tmk_bell shared_bell;
static atomic_size_t shared_rings;
static tmk_mutex done_lock;
static tmk_cond done_cond;

static void run_numbered(tmk_task *task) {
    numbered_task *n = tmk_container_of(task, numbered_task, task);

    order_kept = order_kept && tmk_loop_is_mine(loop) && next_number[n->poster]++ == n->number;
    if (atomic_fetch_add(&tasks_run, 1) + 1 == POSTERS * TASKS) {
        tmk_mutex_lock(&done_lock);
        tmk_cond_signal(&done_cond);
        tmk_mutex_unlock(&done_lock);
    }
}

static void count_ring(tmk_bell *b) {
    (void)b;
    (void)atomic_fetch_add(&shared_rings, 1);
}

static void *post_all(void *arg) {
    numbered_task *row = arg;

    for (size_t i = 0; i < TASKS; i++) {
        tmk_bell_ring(&shared_bell);
        tmk_loop_post(loop, &row[i].task);
    }
    return NULL;
}

static void many_threads_post_and_each_ones_order_is_kept(void) {
    tmk_thread posters[POSTERS] = {{0, false}};

    begin(tmk_clock_system());
    CHECK_EQ(TMK_OK, tmk_mutex_init(&done_lock, 1, NULL));
    CHECK_EQ(TMK_OK, tmk_cond_init(&done_cond, NULL));
    tmk_bell_init(&shared_bell, loop, count_ring);
    order_kept = true;
    CHECK(tmk_loop_is_mine(loop));
    CHECK_EQ(TMK_OK, tmk_loop_start(loop, "tmk-loop", NULL));
    CHECK(!tmk_loop_is_mine(loop));
    for (size_t p = 0; p < POSTERS; p++) {
        for (size_t i = 0; i < TASKS; i++) {
            tasks[p][i] = (numbered_task){{NULL, run_numbered}, p, i};
        }
        CHECK_EQ(TMK_OK, tmk_thread_start(&posters[p], "poster", post_all, tasks[p], NULL));
    }
    tmk_mutex_lock(&done_lock);
    while (atomic_load(&tasks_run) < POSTERS * TASKS) {
        tmk_cond_wait(&done_cond, &done_lock);
    }
    tmk_mutex_unlock(&done_lock);
    for (size_t p = 0; p < POSTERS; p++) {
        tmk_thread_join(&posters[p]);
    }
    tmk_loop_stop(loop);
    CHECK(order_kept && tmk_loop_is_mine(loop));
    turn(); /* the last ring may still be waiting */
    CHECK(atomic_load(&shared_rings) >= 1);
    CHECK(atomic_load(&shared_rings) <= POSTERS * TASKS);
    loop = tmk_loop_free(loop);
    tmk_cond_clear(&done_cond);
    tmk_mutex_clear(&done_lock);
}

/* The thread waits for ever; a stop from outside must reach it, again and again. */
static void a_stopped_loop_hands_its_work_to_the_caller(void) {
    named_task a = {{NULL, run_named}, 'a', NULL};

    begin(tmk_clock_system());
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(TMK_OK, tmk_loop_start(loop, "tmk-loop", NULL));
        tmk_loop_stop(loop);
        tmk_loop_stop(loop);
    }
    tmk_loop_post(loop, &a.task);
    turn();
    check_trace("a");
    CHECK_EQ(TMK_OK, tmk_loop_start(loop, "tmk-loop", NULL));
    loop = tmk_loop_free(loop); /* stops it */
}

/* ---- what can run out ---- */

static void memory_may_run_out(void) {
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_loop *l = NULL;
        tmk_timer timers[40];
        tmk_status st = tmk_loop_new(fake_clock, &l, NULL);

        for (size_t i = 0; st == TMK_OK && i < 40; i++) {
            st = tmk_timer_init(l, &timers[i], fire_named);
        }
        CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
        l = tmk_loop_free(l);
        CHECK_EQ(0, failing_live());
    }
}

static int lowest_free_fd(void) {
    int fd = dup(STDIN_FILENO);

    CHECK(fd >= 0);
    CHECK_EQ(0, close(fd));
    return fd;
}

static void descriptors_may_run_out(void) {
    struct rlimit before;
    int first = lowest_free_fd();

    CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
    for (int allowed = 0; allowed < 3; allowed++) {
        const struct rlimit few = {(rlim_t)(first + allowed), before.rlim_max};
        tmk_loop *l = NULL;
        tmk_error err;

        CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
        CHECK_EQ(TMK_EIO, tmk_loop_new(fake_clock, &l, &err));
        CHECK_STR("errno:24", err.origin);
        CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
        CHECK(l == NULL);
        CHECK_EQ(first, lowest_free_fd());
    }
    CHECK(tmk_loop_free(NULL) == NULL);
}

int main(void) {
    return RUN(
        TEST(tasks_run_once_in_the_order_of_posting), TEST(a_task_that_was_taken_back_does_not_run),
        TEST(timers_fire_in_order_and_not_early),
        TEST(a_timer_set_from_inside_waits_for_the_next_turn), TEST(the_descriptor_tells_of_timers),
        TEST(a_turn_waits_for_a_timer), TEST(a_bell_rings_once_a_turn),
        TEST(descriptors_tell_what_is_wanted), TEST(a_removed_watch_is_not_told_what_was_under_way),
        TEST(a_bad_descriptor_is_an_error), TEST(many_threads_post_and_each_ones_order_is_kept),
        TEST(a_stopped_loop_hands_its_work_to_the_caller), TEST(memory_may_run_out),
        TEST(descriptors_may_run_out));
}
