/* What users see of a received event. */
#include <tidemark/event.h>

#include "eventhubs/burst.h"
#include "support/check.h"
#include "support/events.h"

static tmk_burst_pool *pool;

/* One event: the marks every event has, then `sections`. */
static const tmk_event *event_of(tmk_slice sections) {
    event_text text = {.sequence = 3, .enqueued_ms = 5, .offset = "30", .key = "k"};
    tmk_burst *b;
    tmk_str s = TMK_STR_INIT;
    uint8_t *at;

    if (pool == NULL) {
        CHECK_EQ(TMK_OK, tmk_burst_pool_new(0, &pool, NULL));
    }
    event_put(&s, &text);
    tmk_str_add_slice(&s, sections);
    b = tmk_burst_take(pool, "11");
    CHECK(b != NULL);
    CHECK_EQ(TMK_OK, tmk_burst_reserve(b, s.size, &at));
    memcpy(at, s.text, s.size);
    CHECK_EQ(TMK_OK, tmk_burst_add(b, s.size, NULL));
    tmk_burst_seal(b);
    tmk_str_clear(&s);
    return &b->events[0];
}
#define EVENT(literal) event_of(TMK_LIT(literal))

static void done(const tmk_event *e) {
    tmk_burst_drop(e->burst);
}

static void the_marks_are_told(void) {
    const tmk_event *e = EVENT("");
    tmk_slice name;
    tmk_value value;
    size_t at = 0;
    int count = 0;

    CHECK_EQ(3, tmk_event_sequence(e));
    CHECK_SLICE("30", tmk_event_offset(e));
    CHECK_EQ(5, tmk_event_enqueued_ms(e));
    CHECK_SLICE("k", tmk_event_key(e));
    CHECK_STR("11", tmk_event_partition(e));
    while (tmk_event_annotation_next(e, &at, &name, &value)) {
        CHECK(tmk_slice_starts(name, TMK_LIT("x-opt-")));
        count++;
    }
    CHECK_EQ(4, count);
    CHECK_EQ(e->message_size, tmk_event_encoded(e).size);
    done(e);
}

static void no_body_is_no_body(void) {
    const tmk_event *e = EVENT("");
    tmk_value part;
    size_t at = 0;

    CHECK_EQ(TMK_BODY_NONE, tmk_event_body_kind(e));
    CHECK_EQ(0, tmk_event_body(e).size);
    CHECK(!tmk_event_body_next(e, &at, &part));
    done(e);
}

static void one_data_section_is_the_body(void) {
    const tmk_event *e = EVENT("\x00\x53\x75\xa0\x02hi");
    tmk_value part;
    size_t at = 0;

    CHECK_EQ(TMK_BODY_DATA, tmk_event_body_kind(e));
    CHECK_SLICE("hi", tmk_event_body(e));
    CHECK(tmk_event_body_next(e, &at, &part));
    CHECK_EQ(TMK_VALUE_BINARY, part.kind);
    CHECK_EQ(0, part.descriptor.size);
    CHECK_SLICE("hi", part.bytes);
    CHECK(!tmk_event_body_next(e, &at, &part));
    done(e);
    e = EVENT("\x00\x53\x75\xa0\x00"); /* an empty body is one, too */
    CHECK_EQ(TMK_BODY_DATA, tmk_event_body_kind(e));
    CHECK_EQ(0, tmk_event_body(e).size);
    at = 0;
    CHECK(tmk_event_body_next(e, &at, &part));
    done(e);
}

static void several_data_sections_are_walked(void) {
    const tmk_event *e = EVENT("\x00\x53\x75\xa0\x02hi\x00\x53\x75\xa0\x03you");
    tmk_value part;
    size_t at = 0;

    CHECK_EQ(0, tmk_event_body(e).size);
    CHECK(tmk_event_body_next(e, &at, &part));
    CHECK_SLICE("hi", part.bytes);
    CHECK(tmk_event_body_next(e, &at, &part));
    CHECK_SLICE("you", part.bytes);
    CHECK(!tmk_event_body_next(e, &at, &part));
    done(e);
}

/* Found by fuzzing: the first section was taken for the whole body. */
static void a_section_that_cannot_be_read_is_a_part_of_the_body_all_the_same(void) {
    const tmk_event *e = EVENT("\x00\x53\x75\xa0\x02hi\x00\x53\x77\x4f");
    tmk_value part;
    size_t at = 0;

    CHECK_EQ(0, tmk_event_body(e).size);
    CHECK(tmk_event_body_next(e, &at, &part));
    CHECK(!tmk_event_body_next(e, &at, &part));
    done(e);
}

static void a_value_that_is_text_is_a_body_of_one_run(void) {
    const tmk_event *e = EVENT("\x00\x53\x77\xa1\x04text");

    CHECK_EQ(TMK_BODY_VALUE, tmk_event_body_kind(e));
    CHECK_SLICE("text", tmk_event_body(e));
    done(e);
    e = EVENT("\x00\x53\x77\xa0\x01z");
    CHECK_SLICE("z", tmk_event_body(e));
    done(e);
}

static void other_values_and_sequences_come_as_parts(void) {
    const tmk_event *e = EVENT("\x00\x53\x77\x52\x07");
    tmk_value part, item;
    size_t at = 0;

    CHECK_EQ(0, tmk_event_body(e).size);
    CHECK(tmk_event_body_next(e, &at, &part));
    CHECK_EQ(TMK_VALUE_UINT, part.kind);
    CHECK_EQ(7, part.u64);
    done(e);

    e = EVENT("\x00\x53\x76\xc0\x03\x01\x52\x09");
    at = 0;
    CHECK_EQ(TMK_BODY_SEQUENCE, tmk_event_body_kind(e));
    CHECK_EQ(0, tmk_event_body(e).size);
    CHECK(tmk_event_body_next(e, &at, &part));
    CHECK_EQ(TMK_VALUE_LIST, part.kind);
    CHECK(tmk_value_next(&part, &item));
    CHECK_EQ(9, item.u64);
    CHECK(!tmk_value_next(&part, &item));
    done(e);
}

#define PROPERTIES                                                                               \
    "\x00\x53\x74\xc1\x17\x08\xa1\x01x\x54\x05\xa1\x01y\xa1\x03yes\x41\x42\xa1\x01z\x00\x53\x09" \
    "\x41"

static void application_properties_are_found_by_name(void) {
    const tmk_event *e = EVENT(PROPERTIES);

    CHECK_EQ(5, tmk_event_property(e, "x").i64);
    CHECK_SLICE("yes", tmk_event_property(e, "y").bytes);
    CHECK(tmk_event_property(e, "z").b);
    CHECK_SLICE("\x53\x09", tmk_event_property(e, "z").descriptor);
    CHECK_EQ(TMK_VALUE_NONE, tmk_event_property(e, "q").kind);
    CHECK_EQ(TMK_VALUE_NONE, tmk_event_property(e, "").kind);
    done(e);
    e = EVENT("");
    CHECK_EQ(TMK_VALUE_NONE, tmk_event_property(e, "x").kind);
    done(e);
}

static void application_properties_are_walked_in_order(void) {
    static const char *const expected[] = {"x", "y", "z"};
    const tmk_event *e = EVENT(PROPERTIES);
    tmk_slice name;
    tmk_value value;
    size_t at = 0;

    for (size_t i = 0; i < 3; i++) { /* the one whose key is no text is passed over */
        CHECK(tmk_event_property_next(e, &at, &name, &value));
        CHECK_SLICE(expected[i], name);
    }
    CHECK(!tmk_event_property_next(e, &at, &name, &value));
    CHECK(!tmk_event_property_next(e, &at, &name, &value));
    done(e);
}

static void broken_properties_are_none(void) {
    const tmk_event *e = EVENT("\x00\x53\x74\xc1\x05\x02\xa1\x01x\xa1\x00\x53\x73\xc0\x02\x01\xa1");
    tmk_slice name;
    tmk_value value;
    size_t at = 0;

    CHECK_EQ(TMK_VALUE_NONE, tmk_event_property(e, "x").kind);
    CHECK(!tmk_event_property_next(e, &at, &name, &value));
    CHECK_EQ(TMK_VALUE_NONE, tmk_event_standard(e, TMK_MESSAGE_ID).kind);
    done(e);
}

static void standard_properties_are_told_by_their_place(void) {
    const tmk_event *e = EVENT("\x00\x53\x73\xc0\x0d\x04\xa1\x02id\x40\x40\xa1\x04"
                               "subj");

    CHECK_SLICE("id", tmk_event_standard(e, TMK_MESSAGE_ID).bytes);
    CHECK_EQ(TMK_VALUE_NONE, tmk_event_standard(e, TMK_USER_ID).kind);
    CHECK_SLICE("subj", tmk_event_standard(e, TMK_SUBJECT).bytes);
    CHECK_EQ(TMK_VALUE_NONE, tmk_event_standard(e, TMK_REPLY_TO_GROUP_ID).kind);
    CHECK_EQ(TMK_VALUE_NONE, tmk_event_standard(e, (tmk_standard)99).kind);
    CHECK_EQ(TMK_VALUE_NONE, tmk_event_standard(e, (tmk_standard)-1).kind);
    done(e);
    e = EVENT("");
    CHECK_EQ(TMK_VALUE_NONE, tmk_event_standard(e, TMK_MESSAGE_ID).kind);
    done(e);
}

static void the_pool_is_given_back(void) {
    CHECK((pool = tmk_burst_pool_free(pool)) == NULL);
}

int main(void) {
    return RUN(TEST(the_marks_are_told), TEST(no_body_is_no_body),
               TEST(one_data_section_is_the_body), TEST(several_data_sections_are_walked),
               TEST(a_section_that_cannot_be_read_is_a_part_of_the_body_all_the_same),
               TEST(a_value_that_is_text_is_a_body_of_one_run),
               TEST(other_values_and_sequences_come_as_parts),
               TEST(application_properties_are_found_by_name),
               TEST(application_properties_are_walked_in_order), TEST(broken_properties_are_none),
               TEST(standard_properties_are_told_by_their_place), TEST(the_pool_is_given_back));
}
