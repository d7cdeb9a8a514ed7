/* Bursts: filled on one thread, read and dropped on any, and back in their pool for the next. */
#include "eventhubs/burst.h"

#include "base/thread.h"
#include "support/check.h"
#include "support/events.h"
#include "support/failing_alloc.h"

static tmk_burst_pool *new_pool(size_t keep_bytes) {
    tmk_burst_pool *pool = NULL;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(keep_bytes, &pool, NULL));
    return pool;
}

static tmk_status add_bytes(tmk_burst *b, tmk_slice message, tmk_error *err) {
    uint8_t *at;
    tmk_status st = tmk_burst_reserve(b, message.size, &at);

    if (st == TMK_OK) {
        memcpy(at, message.bytes, message.size);
        st = tmk_burst_add(b, message.size, err);
    }
    return st;
}

static tmk_status add(tmk_burst *b, const event_text *text) {
    tmk_str s = TMK_STR_INIT;
    tmk_error err;
    tmk_status st;

    event_put(&s, text);
    st = tmk_str_ok(&s) ? add_bytes(b, tmk_str_slice(&s), &err) : TMK_ENOMEM;
    tmk_str_clear(&s);
    return st;
}

static void events_are_what_was_added(void) {
    tmk_burst_pool *pool = new_pool(1 << 20);
    tmk_burst *b = tmk_burst_take(pool, "7");
    char offset[32];

    CHECK(b != NULL);
    for (int i = 0; i < 500; i++) { /* so many that both blocks move while it is filled */
        event_text text = {.sequence = i, .enqueued_ms = 1000 + i, .offset = offset, .body = "x"};

        (void)snprintf(offset, sizeof offset, "%d", i * 10);
        text.key = i % 2 == 0 ? "even" : NULL;
        text.last = i == 400 ? 888 : 0;
        CHECK_EQ(TMK_OK, add(b, &text));
    }
    tmk_burst_seal(b);
    CHECK_EQ(500, b->count);
    for (int i = 0; i < 500; i++) {
        const tmk_event *e = &b->events[i];

        (void)snprintf(offset, sizeof offset, "%d", i * 10);
        CHECK_EQ(i, tmk_event_sequence(e));
        CHECK_EQ(1000 + i, tmk_event_enqueued_ms(e));
        CHECK_SLICE(offset, tmk_event_offset(e));
        CHECK_SLICE(i % 2 == 0 ? "even" : "", tmk_event_key(e));
        CHECK_SLICE("x", tmk_event_body(e));
        CHECK_STR("7", tmk_event_partition(e));
    }
    CHECK(b->last.present);
    CHECK_EQ(888, b->last.sequence);
    CHECK_SLICE("999", b->last.offset);
    tmk_burst_drop(b);
    CHECK(tmk_burst_pool_free(pool) == NULL);
}

static void what_is_no_event_is_refused_and_leaves_no_trace(void) {
    tmk_burst_pool *pool = new_pool(1 << 20);
    tmk_burst *b = tmk_burst_take(pool, "0");
    event_text good = {.sequence = 5, .offset = "50", .body = "x"};
    event_text none = {.sequence = -1, .body = "x"};
    tmk_error err;

    CHECK_EQ(TMK_OK, add(b, &good));
    CHECK_EQ(TMK_EPROTO, add(b, &none));
    CHECK_EQ(TMK_EPROTO, add_bytes(b, TMK_LIT("garbage"), &err));
    CHECK(strlen(err.text) > 0);
    CHECK_EQ(TMK_EPROTO, add_bytes(b, TMK_LIT(""), &err));
    good.sequence = 6;
    CHECK_EQ(TMK_OK, add(b, &good));
    tmk_burst_seal(b);
    CHECK_EQ(2, b->count);
    CHECK_EQ(6, tmk_event_sequence(&b->events[1]));
    CHECK_SLICE("50", tmk_event_offset(&b->events[1]));
    tmk_burst_drop(b);
    (void)tmk_burst_pool_free(pool);
}

/* A large event arrives frame by frame, and the burst grows under it. */
static void a_message_may_be_gathered_in_pieces(void) {
    tmk_burst_pool *pool = new_pool(1 << 20);
    tmk_burst *b = tmk_burst_take(pool, "0");
    event_text first = {.sequence = 1, .body = "first"}, text = {.sequence = 2};
    char *body = malloc(100001);
    tmk_str s = TMK_STR_INIT;
    uint8_t *at = NULL;
    size_t have = 0;

    CHECK(body != NULL);
    memset(body, 'y', 100000);
    body[100000] = '\0';
    text.body = body;
    event_put(&s, &text);
    CHECK_EQ(TMK_OK, add(b, &first));
    while (have < s.size) {
        size_t piece = s.size - have < 777 ? s.size - have : 777;

        CHECK_EQ(TMK_OK, tmk_burst_reserve(b, have + piece, &at));
        memcpy(at + have, s.text + have, piece);
        have += piece;
    }
    CHECK_EQ(TMK_OK, tmk_burst_add(b, have, NULL));
    tmk_burst_seal(b);
    CHECK_SLICE("first", tmk_event_body(&b->events[0]));
    CHECK_SLICE(body, tmk_event_body(&b->events[1]));
    tmk_burst_drop(b);
    (void)tmk_burst_pool_free(pool);
    tmk_str_clear(&s);
    free(body);
}

static void a_warm_pool_needs_no_memory(void) {
    event_text text = {.sequence = 1, .offset = "10", .body = "x"};
    tmk_str s = TMK_STR_INIT;
    tmk_burst_pool *pool;
    size_t before = 0;

    failing_count();
    event_put(&s, &text);
    pool = new_pool(1 << 20);
    for (int round = 0; round < 10; round++) {
        tmk_burst *b = tmk_burst_take(pool, "0");

        for (int i = 0; i < 300; i++) {
            CHECK_EQ(TMK_OK, add_bytes(b, tmk_str_slice(&s), NULL));
        }
        tmk_burst_seal(b);
        tmk_burst_drop(b);
        if (round == 0) {
            before = failing_calls();
        }
    }
    CHECK_EQ(before, failing_calls());
    (void)tmk_burst_pool_free(pool);
    tmk_str_clear(&s);
    CHECK_EQ(0, failing_live());
    failing_end();
}

/* Growing piece by piece moves what is there each time. */
static void a_new_burst_grows_at_once_to_what_they_come_to(void) {
    event_text text = {.sequence = 1, .body = "x"};
    tmk_str s = TMK_STR_INIT;
    tmk_burst_pool *pool;
    size_t before = 0;

    failing_count();
    event_put(&s, &text);
    pool = new_pool(0); /* keeps none */
    for (int round = 0; round < 2; round++) {
        tmk_burst *b = tmk_burst_take(pool, "0");

        before = failing_calls();
        for (int i = 0; i < 1000; i++) {
            CHECK_EQ(TMK_OK, add_bytes(b, tmk_str_slice(&s), NULL));
        }
        CHECK(round == 0 ? failing_calls() - before > 4 : failing_calls() - before == 2);
        tmk_burst_seal(b);
        tmk_burst_drop(b);
    }
    (void)tmk_burst_pool_free(pool);
    tmk_str_clear(&s);
    CHECK_EQ(0, failing_live());
    failing_end();
}

static void a_pool_keeps_no_more_than_it_was_told(void) {
    event_text text = {.sequence = 1, .body = "x"};
    tmk_burst_pool *pool;
    tmk_burst *kept[4];
    size_t idle;

    failing_count();
    pool = new_pool(0);
    idle = failing_live();
    for (int i = 0; i < 4; i++) {
        kept[i] = tmk_burst_take(pool, "0");
        CHECK_EQ(TMK_OK, add(kept[i], &text));
    }
    for (int i = 0; i < 4; i++) {
        tmk_burst_drop(kept[i]);
    }
    CHECK_EQ(idle, failing_live());
    (void)tmk_burst_pool_free(pool);
    CHECK_EQ(0, failing_live());
    failing_end();
}

static void a_burst_lives_until_its_last_reference_and_outlives_its_pool(void) {
    event_text text = {.sequence = 1, .body = "x"};
    tmk_burst_pool *pool;
    tmk_burst *b;

    failing_count();
    pool = new_pool(1 << 20);
    b = tmk_burst_take(pool, "0");
    CHECK_EQ(TMK_OK, add(b, &text));
    tmk_burst_seal(b);
    tmk_burst_ref(b);
    (void)tmk_burst_pool_free(pool);
    tmk_burst_drop(b);
    CHECK_SLICE("x", tmk_event_body(&b->events[0]));
    tmk_burst_drop(b);
    tmk_burst_drop(NULL);
    CHECK(tmk_burst_pool_free(NULL) == NULL);
    CHECK_EQ(0, failing_live());
    failing_end();
}

/* All of it, with each allocation failing in turn: told as ENOMEM, and nothing is lost. */
static void no_memory_is_told_and_nothing_leaks(void) {
    event_text text = {.sequence = 1, .offset = "10", .body = "x"};

    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_burst_pool *pool = NULL;
        tmk_burst *b = NULL;
        tmk_status st;

        st = tmk_burst_pool_new(1 << 20, &pool, NULL);
        if (st == TMK_OK && (b = tmk_burst_take(pool, "0")) == NULL) {
            st = TMK_ENOMEM;
        }
        for (uint32_t i = 0; st == TMK_OK && i < 200; i++) {
            st = add(b, &text);
            CHECK_EQ(st == TMK_OK ? i + 1 : i, b->count);
        }
        if (b != NULL) {
            tmk_burst_seal(b);
            tmk_burst_drop(b);
        }
        (void)tmk_burst_pool_free(pool);
        CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
        CHECK_EQ(0, failing_live());
    }
}

/* ---- threads ---- */

enum { BURSTS = 2000, HOLDERS = 3, EVENTS = 20 };

typedef struct holder {
    tmk_thread thread;
    tmk_mutex *lock; /* guards what follows, of all holders */
    tmk_cond *cond;
    tmk_burst *inbox;
    bool full;
    int64_t seen;
} holder;

static void *hold(void *arg) {
    holder *h = arg;

    for (int i = 0; i < BURSTS; i++) {
        tmk_burst *b;

        tmk_mutex_lock(h->lock);
        while (!h->full) {
            tmk_cond_wait(h->cond, h->lock);
        }
        b = h->inbox;
        h->full = false;
        tmk_cond_broadcast(h->cond);
        tmk_mutex_unlock(h->lock);
        for (uint32_t k = 0; k < b->count; k++) {
            h->seen +=
                tmk_event_sequence(&b->events[k]) + (int64_t)tmk_event_body(&b->events[k]).size;
        }
        tmk_burst_drop(b);
    }
    return NULL;
}

static void hand_over(holder *h, tmk_burst *b) {
    tmk_mutex_lock(h->lock);
    while (h->full) {
        tmk_cond_wait(h->cond, h->lock);
    }
    h->inbox = b;
    h->full = true;
    tmk_cond_broadcast(h->cond);
    tmk_mutex_unlock(h->lock);
}

/* Every burst is read and dropped by all holders at once, while the next is filled. */
static void references_are_dropped_on_any_thread(void) {
    tmk_burst_pool *pool = new_pool(1 << 20);
    holder holders[HOLDERS];
    tmk_mutex lock;
    tmk_cond cond;
    event_text text = {.sequence = 1, .body = "x"};
    tmk_str s = TMK_STR_INIT;

    event_put(&s, &text);
    CHECK_EQ(TMK_OK, tmk_mutex_init(&lock, 1, NULL));
    CHECK_EQ(TMK_OK, tmk_cond_init(&cond, NULL));
    memset(holders, 0, sizeof holders);
    for (int i = 0; i < HOLDERS; i++) {
        holders[i].lock = &lock;
        holders[i].cond = &cond;
        CHECK_EQ(TMK_OK, tmk_thread_start(&holders[i].thread, "holder", hold, &holders[i], NULL));
    }
    for (int i = 0; i < BURSTS; i++) {
        tmk_burst *b = tmk_burst_take(pool, "0");

        CHECK(b != NULL);
        for (int k = 0; k < EVENTS; k++) {
            CHECK_EQ(TMK_OK, add_bytes(b, tmk_str_slice(&s), NULL));
        }
        tmk_burst_seal(b);
        for (int k = 1; k < HOLDERS; k++) {
            tmk_burst_ref(b);
        }
        for (int k = 0; k < HOLDERS; k++) {
            hand_over(&holders[k], b);
        }
    }
    (void)tmk_burst_pool_free(pool);
    for (int i = 0; i < HOLDERS; i++) {
        tmk_thread_join(&holders[i].thread);
        CHECK_EQ(2 * EVENTS * BURSTS, holders[i].seen);
    }
    tmk_cond_clear(&cond);
    tmk_mutex_clear(&lock);
    tmk_str_clear(&s);
}

int main(void) {
    return RUN(
        TEST(events_are_what_was_added), TEST(what_is_no_event_is_refused_and_leaves_no_trace),
        TEST(a_message_may_be_gathered_in_pieces), TEST(a_warm_pool_needs_no_memory),
        TEST(a_new_burst_grows_at_once_to_what_they_come_to),
        TEST(a_pool_keeps_no_more_than_it_was_told),
        TEST(a_burst_lives_until_its_last_reference_and_outlives_its_pool),
        TEST(no_memory_is_told_and_nothing_leaks), TEST(references_are_dropped_on_any_thread));
}
