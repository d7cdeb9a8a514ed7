/* Batches: every byte is counted, and the events inside are whole. */
#include "eventhubs/batch.h"

#include "amqp/scan.h"
#include "eventhubs/burst.h"
#include "support/check.h"
#include "support/events.h"
#include "support/failing_alloc.h"

static tmk_batch *batch(uint64_t size_max, const char *key) {
    tmk_batch *b = NULL;

    CHECK_EQ(TMK_OK, tmk_batch_new(size_max, key, &b, NULL));
    return b;
}

static tmk_message *message_of_size(size_t size) {
    char *body = malloc(size + 1);
    tmk_message *m = NULL;

    CHECK(body != NULL);
    memset(body, 'x', size);
    CHECK_EQ(TMK_OK, tmk_message_new(tmk_slice_of(body, size), &m, NULL));
    free(body);
    return m;
}

static void the_events_inside_are_whole_messages(void) {
    tmk_batch *b = batch(1 << 20, "pk");
    tmk_message *small = message_of_size(1), *large = message_of_size(300);
    tmk_sections envelope, inner;
    tmk_slice rest, value;
    tmk_value part;
    tmk_event_marks marks;
    uint8_t code;
    int seen = 0;

    CHECK_EQ(TMK_OK, tmk_message_set_text(small, "p", "v", NULL));
    CHECK_EQ(TMK_OK, tmk_batch_try_add(b, small, NULL));
    CHECK_EQ(TMK_OK, tmk_batch_try_add(b, large, NULL));
    CHECK_EQ(2, tmk_batch_count(b));
    CHECK_EQ(tmk_batch_encoded(b).size, tmk_batch_size(b));
    CHECK(tmk_scan_message(tmk_batch_encoded(b), &envelope));
    CHECK_EQ(2, envelope.body_count);
    CHECK_SLICE("\xd0", tmk_slice_of(envelope.header.bytes, 1));
    CHECK(tmk_scan_marks(envelope.message_annotations, &marks));
    CHECK_SLICE("pk", marks.key);
    rest = envelope.body;
    while (tmk_scan_section(&rest, &code, &value)) {
        CHECK(tmk_wire_take(&value, &part));
        CHECK(tmk_scan_message(part.bytes, &inner));
        CHECK_EQ(seen == 0 ? 1 : 300, inner.data.size);
        CHECK_EQ(seen == 0, inner.application_properties.size > 0);
        CHECK(inner.header.size > 0);
        CHECK(tmk_scan_marks(inner.message_annotations, &marks));
        CHECK_SLICE("pk", marks.key);
        seen++;
    }
    CHECK_EQ(2, seen);
    (void)tmk_message_free(small);
    (void)tmk_message_free(large);
    CHECK(tmk_batch_free(b) == NULL);
}

/* 5 bytes more than the event up to 255, 8 above; as the service's other SDKs count. */
static void the_size_grows_by_the_event_and_its_head(void) {
    for (size_t size = 240; size < 260; size++) {
        tmk_batch *b = batch(1 << 20, NULL);
        tmk_message *m = message_of_size(size);
        tmk_str alone = TMK_STR_INIT;

        CHECK_EQ(0, tmk_batch_size(b));
        CHECK_EQ(TMK_OK, tmk_message_encode(m, tmk_slice_str(""), &alone, NULL));
        for (uint64_t i = 1; i <= 3; i++) {
            CHECK_EQ(TMK_OK, tmk_batch_try_add(b, m, NULL));
            CHECK_EQ(i * (alone.size + (alone.size <= 255 ? 5 : 8)), tmk_batch_size(b));
        }
        tmk_str_clear(&alone);
        (void)tmk_message_free(m);
        (void)tmk_batch_free(b);
    }
}

/* Captured sizes: one tiny keyed event more is 65 bytes more. */
static void a_tiny_keyed_event_is_as_large_as_in_the_official_sdk(void) {
    tmk_batch *b = batch(1 << 20, "pk");
    tmk_message *m = message_of_size(1);
    uint64_t one;

    CHECK_EQ(TMK_OK, tmk_batch_try_add(b, m, NULL));
    one = tmk_batch_size(b);
    CHECK_EQ(TMK_OK, tmk_batch_try_add(b, m, NULL));
    CHECK_EQ(65, tmk_batch_size(b) - one);
    (void)tmk_message_free(m);
    (void)tmk_batch_free(b);
}

static void a_full_batch_says_so_and_stays_as_it_was(void) {
    tmk_message *m = message_of_size(100);
    tmk_batch *b = batch(1000, "key");
    uint64_t size = 0;
    size_t count = 0;
    tmk_status st;

    while ((st = tmk_batch_try_add(b, m, NULL)) == TMK_OK) {
        count++;
        size = tmk_batch_size(b);
    }
    CHECK_EQ(TMK_AGAIN, st);
    CHECK_EQ(count, tmk_batch_count(b));
    CHECK_EQ(size, tmk_batch_size(b));
    CHECK(size <= 1000 && size > 800);
    tmk_batch_reset(b);
    CHECK_EQ(0, tmk_batch_count(b));
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(TMK_OK, tmk_batch_try_add(b, m, NULL));
    }
    CHECK_EQ(size, tmk_batch_size(b));
    (void)tmk_message_free(m);
    (void)tmk_batch_free(b);
}

static void the_last_byte_counts(void) {
    tmk_message *m = message_of_size(100);
    tmk_batch *b = batch(1000, NULL);
    uint64_t size;

    CHECK_EQ(TMK_OK, tmk_batch_try_add(b, m, NULL));
    size = tmk_batch_size(b);
    (void)tmk_batch_free(b);
    b = batch(size, NULL);
    CHECK_EQ(TMK_OK, tmk_batch_try_add(b, m, NULL));
    CHECK_EQ(TMK_AGAIN, tmk_batch_try_add(b, m, NULL));
    (void)tmk_batch_free(b);
    b = batch(size - 1, NULL);
    CHECK_EQ(TMK_ELIMIT, tmk_batch_try_add(b, m, NULL));
    CHECK_EQ(0, tmk_batch_size(b));
    (void)tmk_message_free(m);
    (void)tmk_batch_free(b);
}

static void an_event_too_large_for_any_batch_is_told_apart(void) {
    tmk_message *small = message_of_size(10), *large = message_of_size(2000);
    tmk_batch *b = batch(1000, "key");
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_batch_try_add(b, small, NULL));
    CHECK_EQ(TMK_ELIMIT, tmk_batch_try_add(b, large, &err));
    CHECK_EQ(TMK_ELIMIT, err.status);
    CHECK_EQ(1, tmk_batch_count(b));
    (void)tmk_message_free(small);
    (void)tmk_message_free(large);
    (void)tmk_batch_free(b);
}

static void an_event_of_another_key_is_refused(void) {
    tmk_message *m = message_of_size(1);
    tmk_batch *keyed = batch(1000, "a"), *plain = batch(1000, "");

    CHECK_EQ(TMK_OK, tmk_message_set_key(m, "b", NULL));
    CHECK_EQ(TMK_EINVAL, tmk_batch_try_add(keyed, m, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_batch_try_add(plain, m, NULL));
    CHECK_EQ(TMK_OK, tmk_message_set_key(m, "a", NULL));
    CHECK_EQ(TMK_OK, tmk_batch_try_add(keyed, m, NULL));
    CHECK_SLICE("a", tmk_batch_key(keyed));
    (void)tmk_message_free(m);
    (void)tmk_batch_free(keyed);
    (void)tmk_batch_free(plain);
}

static void a_batch_without_room_for_anything_is_refused(void) {
    tmk_batch *b = NULL;

    CHECK_EQ(TMK_EINVAL, tmk_batch_new(0, NULL, &b, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_batch_new(50, "key", &b, NULL));
    CHECK_EQ(TMK_EINVAL, tmk_batch_new(1000, "\xff", &b, NULL));
    CHECK(b == NULL);
    CHECK(tmk_batch_free(NULL) == NULL);
}

static void no_memory_leaves_the_batch_as_it_was(void) {
    tmk_message *m = message_of_size(40);

    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_batch *b = NULL;
        tmk_status st = tmk_batch_new(4000, "key", &b, NULL);
        for (size_t i = 0; st == TMK_OK && i < 20; i++) {
            uint64_t before = tmk_batch_size(b);

            st = tmk_batch_try_add(b, m, NULL);
            CHECK_EQ(st == TMK_OK ? i + 1 : i, tmk_batch_count(b));
            CHECK(st == TMK_OK || tmk_batch_size(b) == before);
        }
        (void)tmk_batch_free(b);
        CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
        CHECK_EQ(0, failing_live());
    }
    (void)tmk_message_free(m);
}

/* ---- passing received events on ---- */

#define SENT                                                \
    "\x00\x53\x73\xc0\x05\x02\xa1\x01i\x40"                 \
    "\x00\x53\x74\xc1\x09\x02\xa1\x01x\x00\x53\x09\x54\x05" \
    "\x00\x53\x75\xa0\x01"                                  \
    "a\x00\x53\x75\xa0\x01"                                 \
    "b"

static tmk_burst *received(tmk_burst_pool *pool, tmk_slice sections) {
    event_text text = {.sequence = 3, .offset = "30", .key = "device"};
    tmk_burst *b = tmk_burst_take(pool, "0");
    tmk_str s = TMK_STR_INIT;
    uint8_t *at;

    event_put(&s, &text);
    tmk_str_add_slice(&s, sections);
    CHECK(b != NULL);
    CHECK_EQ(TMK_OK, tmk_burst_reserve(b, s.size, &at));
    memcpy(at, s.text, s.size);
    CHECK_EQ(TMK_OK, tmk_burst_add(b, s.size, NULL));
    tmk_burst_seal(b);
    tmk_str_clear(&s);
    return b;
}

static void a_received_event_is_passed_on_without_what_the_service_added(void) {
    tmk_burst_pool *pool = NULL;
    tmk_message *m = NULL;
    tmk_str s = TMK_STR_INIT;
    tmk_sections parts;
    tmk_burst *b;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(0, &pool, NULL));
    b = received(pool, TMK_LIT(SENT));
    CHECK_EQ(TMK_OK, tmk_message_from_event(&b->events[0], &m, NULL));
    CHECK_SLICE("device", tmk_message_key(m));
    CHECK_EQ(TMK_OK, tmk_message_encode(m, tmk_message_key(m), &s, NULL));
    CHECK(tmk_scan_message(tmk_str_slice(&s), &parts));
    CHECK_EQ(2, parts.body_count);
    CHECK(tmk_slice_ends(parts.body, TMK_LIT("b")));
    CHECK(tmk_slice_ends(parts.application_properties, TMK_LIT("\xa1\x01x\x00\x53\x09\x54\x05")));
    CHECK(tmk_slice_ends(parts.properties, TMK_LIT("\xa1\x01i")));
    CHECK_EQ(9 + 21 + 8, parts.message_annotations.size); /* the key and nothing else */
    tmk_str_clear(&s);
    (void)tmk_message_free(m);
    tmk_burst_drop(b);
    (void)tmk_burst_pool_free(pool);
}

static void broken_parts_of_a_received_event_are_left_out(void) {
    tmk_burst_pool *pool = NULL;
    tmk_message *m = NULL;
    tmk_str s = TMK_STR_INIT;
    tmk_sections parts;
    tmk_burst *b;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(0, &pool, NULL));
    b = received(pool, TMK_LIT("\x00\x53\x73\xc0\x02\x01\xa1\x00\x53\x74\xc1\x04\x02\xa1\x00\xa1"));
    CHECK_EQ(TMK_OK, tmk_message_from_event(&b->events[0], &m, NULL));
    CHECK_EQ(TMK_OK, tmk_message_encode(m, tmk_message_key(m), &s, NULL));
    CHECK(tmk_scan_message(tmk_str_slice(&s), &parts));
    CHECK_EQ(1, parts.body_count); /* a message has one, be it empty */
    CHECK_EQ(0, parts.application_properties.size);
    tmk_str_clear(&s);
    (void)tmk_message_free(m);
    tmk_burst_drop(b);
    (void)tmk_burst_pool_free(pool);
}

static void passing_on_without_memory_leaks_nothing(void) {
    tmk_burst_pool *pool = NULL;
    tmk_burst *b;

    CHECK_EQ(TMK_OK, tmk_burst_pool_new(0, &pool, NULL));
    b = received(pool, TMK_LIT(SENT));
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_message *m = NULL;
        tmk_status st = tmk_message_from_event(&b->events[0], &m, NULL);
        CHECK_EQ(failing_hit() ? TMK_ENOMEM : TMK_OK, st);
        CHECK_EQ(st == TMK_OK, m != NULL);
        (void)tmk_message_free(m);
        CHECK_EQ(0, failing_live());
    }
    tmk_burst_drop(b);
    (void)tmk_burst_pool_free(pool);
}

int main(void) {
    return RUN(TEST(the_events_inside_are_whole_messages),
               TEST(the_size_grows_by_the_event_and_its_head),
               TEST(a_tiny_keyed_event_is_as_large_as_in_the_official_sdk),
               TEST(a_full_batch_says_so_and_stays_as_it_was), TEST(the_last_byte_counts),
               TEST(an_event_too_large_for_any_batch_is_told_apart),
               TEST(an_event_of_another_key_is_refused),
               TEST(a_batch_without_room_for_anything_is_refused),
               TEST(no_memory_leaves_the_batch_as_it_was),
               TEST(a_received_event_is_passed_on_without_what_the_service_added),
               TEST(broken_parts_of_a_received_event_are_left_out),
               TEST(passing_on_without_memory_leaks_nothing));
}
