/* The walk over a message finds what is there and survives what should not be. */
#include "amqp/scan.h"

#include "base/rng.h"
#include "support/check.h"
#include "support/events.h"

static void the_parts_of_an_event_are_found(void) {
    const event_text text = {.sequence = 12,
                             .enqueued_ms = 1700000000123,
                             .offset = "4096",
                             .key = "device-42",
                             .body = "hello",
                             .last = 77,
                             .properties = 2};
    tmk_str s = TMK_STR_INIT;
    tmk_sections parts;
    tmk_event_marks marks;
    tmk_last_enqueued last;

    event_put(&s, &text);
    CHECK(tmk_scan_message(tmk_str_slice(&s), &parts));
    CHECK_SLICE("hello", parts.data);
    CHECK_EQ(TMK_BODY_DATA, parts.body_kind);
    CHECK_EQ(1, parts.body_count);
    CHECK_EQ(5 + 5, parts.body.size);
    CHECK(parts.header.bytes == NULL);
    CHECK(parts.application_properties.size > 0);
    CHECK(tmk_scan_marks(parts.message_annotations, &marks));
    CHECK_EQ(12, marks.sequence);
    CHECK_EQ(1700000000123, marks.enqueued_ms);
    CHECK_SLICE("4096", marks.offset);
    CHECK_SLICE("device-42", marks.key);
    CHECK(tmk_scan_last_enqueued(parts.delivery_annotations, &last));
    CHECK(last.present);
    CHECK_EQ(77, last.sequence);
    CHECK_EQ(1700000000124, last.enqueued_ms);
    CHECK_EQ(1700000000125, last.retrieved_ms);
    CHECK_SLICE("999", last.offset);
    tmk_str_clear(&s);
}

#define SCAN(literal, parts) tmk_scan_message(TMK_LIT(literal), parts)

static void bodies_are_told_apart(void) {
    tmk_sections p;

    CHECK(SCAN("\x00\x53\x75\xa0\x01"
               "a\x00\x53\x75\xa0\x01"
               "b",
               &p));
    CHECK_EQ(2, p.body_count);
    CHECK(p.data.bytes == NULL);
    CHECK_EQ(12, p.body.size);
    CHECK(SCAN("\x00\x53\x75\xa0\x00", &p));
    CHECK(p.data.bytes != NULL && p.data.size == 0);
    CHECK(SCAN("\x00\x53\x75\xb0\x00\x00\x00\x01z", &p));
    CHECK_SLICE("z", p.data);
    CHECK(SCAN("\x00\x53\x77\xa1\x01x", &p));
    CHECK_EQ(TMK_BODY_VALUE, p.body_kind);
    CHECK(p.data.bytes == NULL);
    CHECK(SCAN("\x00\x53\x76\x45", &p));
    CHECK_EQ(TMK_BODY_SEQUENCE, p.body_kind);
    CHECK(SCAN("", &p));
    CHECK_EQ(TMK_BODY_NONE, p.body_kind);
    CHECK(!SCAN("\x00\x53\x75\xa1\x01x", &p)); /* data that is text */
    CHECK(!SCAN("\x00\x53\x75\x45", &p));
}

static void descriptors_in_full_and_by_name_are_understood(void) {
    tmk_sections p;

    CHECK(SCAN("\x00\x80\x00\x00\x00\x00\x00\x00\x00\x75\xa0\x01q", &p));
    CHECK_SLICE("q", p.data);
    CHECK(SCAN("\x00\xa3\x10"
               "amqp:data:binary\xa0\x01q",
               &p));
    CHECK_SLICE("q", p.data);
}

static void unknown_sections_are_passed_over(void) {
    tmk_sections p;

    CHECK(SCAN(
        "\x00\x53\x79\xa1\x02no\x00\x80\x01\x00\x00\x00\x00\x00\x00\x75\x41\x00\x53\x75\xa0\x01q",
        &p));
    CHECK_SLICE("q", p.data);
    CHECK_EQ(1, p.body_count);
    CHECK(!SCAN("\xa0\x01q", &p)); /* a section needs a descriptor */
    CHECK(!SCAN("\x00\x53\x75", &p));
    CHECK(!SCAN("\x00\x53", &p));
}

static void the_first_of_two_sections_counts(void) {
    tmk_sections p;

    CHECK(SCAN("\x00\x53\x73\x45\x00\x53\x73\x40", &p));
    CHECK_EQ(0x45, p.properties.bytes[0]);
}

static void a_message_cut_at_any_byte_does_no_harm(void) {
    const event_text text = {.sequence = 12, .offset = "4096", .key = "k", .body = "hi", .last = 7};
    tmk_str s = TMK_STR_INIT;
    size_t whole = 0;

    event_put(&s, &text);
    for (size_t size = 0; size <= s.size; size++) {
        uint8_t *cut = malloc(size + 1);
        tmk_sections p;
        tmk_event_marks m;

        CHECK(cut != NULL);
        memcpy(cut, s.text, size);
        cut = realloc(cut, size == 0 ? 1 : size); /* no byte more, so that the sanitizer sees */
        if (tmk_scan_message(tmk_slice_of(cut, size), &p)) {
            whole++;
            CHECK(tmk_scan_marks(p.message_annotations, &m));
        }
        free(cut);
    }
    CHECK_EQ(4, whole); /* nothing, and after each of the three sections */
    tmk_str_clear(&s);
}

static bool same_slice(tmk_slice a, tmk_slice b) {
    return a.size == b.size && (a.size == 0 || a.bytes == b.bytes);
}

/* What is told in one walk is what two walks tell, whatever the bytes are. */
static void compare_walks(tmk_slice message) {
    tmk_event_parts parts;
    tmk_event_marks m;
    tmk_sections s;
    bool whole = tmk_scan_message(message, &s) && tmk_scan_marks(s.message_annotations, &m);

    CHECK_EQ(whole, tmk_scan_event(message, &parts));
    if (whole) {
        CHECK_EQ(m.sequence, parts.marks.sequence);
        CHECK_EQ(m.enqueued_ms, parts.marks.enqueued_ms);
        CHECK(same_slice(m.offset, parts.marks.offset) && same_slice(m.key, parts.marks.key));
        CHECK(same_slice(s.delivery_annotations, parts.delivery_annotations));
        CHECK(same_slice(s.data, parts.data));
        CHECK_EQ(s.data.bytes == NULL, parts.data.bytes == NULL);
    }
}

static void one_walk_tells_what_two_tell(void) {
    static const char *const more[] = {"", "\x00\x53\x75\xa0\x01q", "\x00\x53\x77\xa1\x01v",
                                       "\x00\x53\x76\x45\x45", "\x00\x53\x75\xa1\x01q"};
    const event_text text = {
        .sequence = 12, .offset = "4096", .key = "k", .enqueued_ms = 5, .body = "hi", .last = 7};
    tmk_rng rng;

    tmk_rng_seed(&rng, 42);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        tmk_str s = TMK_STR_INIT;

        event_put(&s, &text);
        tmk_str_add_slice(&s, tmk_slice_str(more[i]));
        CHECK(tmk_str_ok(&s));
        compare_walks(tmk_str_slice(&s));
        for (int round = 0; round < 20000; round++) {
            size_t at = (size_t)tmk_rng_below(&rng, s.size);
            char was = s.text[at];

            s.text[at] = (char)tmk_rng_below(&rng, 256);
            compare_walks(tmk_slice_of(s.text, s.size - (size_t)tmk_rng_below(&rng, 4)));
            s.text[at] = was;
        }
        tmk_str_clear(&s);
    }
}

static void marks_of_other_types_are_read_or_left_out(void) {
    tmk_event_marks m;

    /* A sequence number as uint, the time as long, the offset as symbol. */
    CHECK(tmk_scan_marks(TMK_LIT("\xc1\x43\x06\xa3\x15x-opt-sequence-number\x52\x07"
                                 "\xa3\x13x-opt-enqueued-time\x55\x09"
                                 "\xa3\x0cx-opt-offset\xa3\x02xy"),
                         &m));
    CHECK_EQ(7, m.sequence);
    CHECK_EQ(9, m.enqueued_ms);
    CHECK_SLICE("xy", m.offset);
    /* A sequence number that is text counts as absent; unknown and odd keys are passed over. */
    CHECK(tmk_scan_marks(TMK_LIT("\xc1\x22\x06\xa3\x15x-opt-sequence-number\xa1\x01"
                                 "7\x52\x01\x41\xa3\x01z\x45"),
                         &m));
    CHECK_EQ(-1, m.sequence);
    CHECK(tmk_scan_marks(TMK_LIT(""), &m));
    CHECK_EQ(-1, m.sequence);
    CHECK(!tmk_scan_marks(TMK_LIT("\x45"), &m));
    CHECK(!tmk_scan_marks(TMK_LIT("\xc1\x03\x02\xa3\x05"), &m));
    CHECK(!tmk_scan_marks(TMK_LIT("\xc1\x18\x02\xa3\x15x-opt-sequence-number"), &m));
}

static void absent_last_enqueued_is_not_present(void) {
    tmk_last_enqueued l;

    CHECK(tmk_scan_last_enqueued(TMK_LIT(""), &l) && !l.present);
    CHECK(tmk_scan_last_enqueued(TMK_LIT("\xc1\x01\x00"), &l) && !l.present);
    CHECK(!tmk_scan_last_enqueued(TMK_LIT("\xc1\x02\x02\xa3"), &l));
    CHECK(!tmk_scan_last_enqueued(TMK_LIT("\xa1\x00"), &l));
}

/* The body of a message may be one value a million descriptors deep. */
static void deep_nesting_is_passed_in_one_loop(void) {
    enum { SIZE = 2 * 1024 * 1024 };
    uint8_t *bytes = calloc(1, SIZE);
    tmk_sections p;

    CHECK(bytes != NULL);
    memcpy(bytes, "\x00\x53\x77", 3);
    for (size_t i = 3; i + 2 < SIZE; i += 3) {
        memcpy(bytes + i, "\x00\x53\x01", 3);
    }
    bytes[SIZE - 2] = 0x40;
    CHECK(tmk_scan_message(tmk_slice_of(bytes, SIZE - 1), &p));
    CHECK_EQ(TMK_BODY_VALUE, p.body_kind);
    memset(bytes, 0, SIZE);
    CHECK(!tmk_scan_message(tmk_slice_of(bytes, SIZE), &p));
    free(bytes);
}

int main(void) {
    return RUN(TEST(the_parts_of_an_event_are_found), TEST(bodies_are_told_apart),
               TEST(descriptors_in_full_and_by_name_are_understood),
               TEST(unknown_sections_are_passed_over), TEST(the_first_of_two_sections_counts),
               TEST(a_message_cut_at_any_byte_does_no_harm), TEST(one_walk_tells_what_two_tell),
               TEST(marks_of_other_types_are_read_or_left_out),
               TEST(absent_last_enqueued_is_not_present), TEST(deep_nesting_is_passed_in_one_loop));
}
