/* The namespace: events in their delivered form, positions, readers, quotas. Time is a number. */
#include "hub/core.h"

#include "amqp/scan.h"
#include "base/alloc.h"
#include "support/check.h"
#include "support/failing.h"

static const int64_t ms0 = INT64_C(1700000000000);

/* ---- events ---- */

/* A message: an annotation of the sender's own beside one that only we may make, properties, data.
 */
static void add_message(tmk_str *out, const char *key, const char *body) {
    tmk_wire_mark m;

    tmk_wire_put_descriptor(out, TMK_SECTION_HEADER);
    m = tmk_wire_begin_list(out);
    tmk_wire_put_bool(out, true);
    tmk_wire_end_list(out, m, 1);
    tmk_wire_put_descriptor(out, TMK_SECTION_MESSAGE_ANNOTATIONS);
    m = tmk_wire_begin_map(out);
    tmk_wire_put_symbol(out, TMK_LIT("x-opt-sequence-number"));
    tmk_wire_put_long(out, 99);
    tmk_wire_put_symbol(out, TMK_LIT("x-mine"));
    tmk_wire_put_string(out, TMK_LIT("kept"));
    if (key != NULL) {
        tmk_wire_put_symbol(out, TMK_LIT("x-opt-partition-key"));
        tmk_wire_put_string(out, tmk_slice_str(key));
    }
    tmk_wire_end_map(out, m, key == NULL ? 4 : 6);
    tmk_wire_put_descriptor(out, TMK_SECTION_PROPERTIES);
    m = tmk_wire_begin_list(out);
    tmk_wire_put_string(out, TMK_LIT("id-1"));
    tmk_wire_end_list(out, m, 1);
    tmk_wire_put_descriptor(out, TMK_SECTION_DATA);
    tmk_wire_put_binary(out, tmk_slice_str(body));
}

static void an_event_keeps_what_it_had_and_gets_the_services_marks(void) {
    tmk_str sent = TMK_STR_INIT, stored = TMK_STR_INIT;
    tmk_hub_message m;
    tmk_hub_mark mark = {7, ms0, TMK_LIT("4096"), {0}, false};
    tmk_sections s;
    tmk_event_marks marks;
    tmk_value map = {0};
    tmk_slice annotations;
    size_t header_size;

    add_message(&sent, "k", "body");
    CHECK(tmk_hub_message_parse(tmk_str_slice(&sent), &m));
    CHECK(m.keyed);
    CHECK_SLICE("k", m.key);
    header_size = tmk_hub_event_add(&stored, &m, &mark);
    CHECK_SLICE("4096", tmk_hub_event_offset(tmk_slice_from(tmk_str_slice(&stored), header_size)));
    CHECK(tmk_scan_message(tmk_str_slice(&stored), &s));
    CHECK_SLICE("body", s.data);
    CHECK(s.header.size > 0 && s.properties.size > 0);
    CHECK(tmk_scan_marks(s.message_annotations, &marks));
    CHECK_EQ(7, marks.sequence);
    CHECK_EQ(ms0, marks.enqueued_ms);
    CHECK_SLICE("4096", marks.offset);
    CHECK_SLICE("k", marks.key);
    annotations = s.message_annotations;
    CHECK(tmk_wire_take(&annotations, &map));
    CHECK_EQ(12, map.count); /* four of ours, key, x-mine: the sender's number is gone */
    map = tmk_wire_map_get(&map, "x-mine");
    CHECK_SLICE("kept", map.bytes);
    tmk_str_clear(&sent);
    tmk_str_clear(&stored);
}

static void an_event_without_a_key_gets_that_of_its_batch(void) {
    tmk_str sent = TMK_STR_INIT, stored = TMK_STR_INIT;
    tmk_hub_message m;
    tmk_hub_mark mark = {0, ms0, TMK_LIT("0"), TMK_LIT("envelope"), true};
    tmk_sections s;
    tmk_event_marks marks;

    add_message(&sent, NULL, "x");
    CHECK(tmk_hub_message_parse(tmk_str_slice(&sent), &m));
    tmk_hub_event_add(&stored, &m, &mark);
    CHECK(tmk_scan_message(tmk_str_slice(&stored), &s));
    CHECK(tmk_scan_marks(s.message_annotations, &marks));
    CHECK_SLICE("envelope", marks.key);
    tmk_str_clear(&sent);
    tmk_str_clear(&stored);
}

/* Whatever is cut off or put in: no crash, and never a message out of a part of one. */
static void a_cut_message_is_none(void) {
    tmk_str sent = TMK_STR_INIT;
    tmk_hub_message m;

    add_message(&sent, "key", "body");
    for (size_t size = 0; size < sent.size; size++) {
        uint8_t *exact = tmk_copy(sent.text, size);
        CHECK(!tmk_hub_message_parse(tmk_slice_of(exact, size), &m));
        tmk_free(exact);
    }
    tmk_str_clear(&sent);
}

static void sections_in_the_wrong_order_are_none(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_hub_message m;
    tmk_wire_mark map;

    tmk_wire_put_descriptor(&s, TMK_SECTION_DATA);
    tmk_wire_put_binary(&s, TMK_LIT("x"));
    CHECK(tmk_hub_message_parse(tmk_str_slice(&s), &m));
    tmk_wire_put_descriptor(&s, TMK_SECTION_MESSAGE_ANNOTATIONS);
    map = tmk_wire_begin_map(&s);
    tmk_wire_end_map(&s, map, 0);
    CHECK(!tmk_hub_message_parse(tmk_str_slice(&s), &m));
    tmk_str_clear(&s);
}

static void a_batch_is_taken_apart(void) {
    tmk_str s = TMK_STR_INIT;
    tmk_slice rest, event = {0};
    bool broken = false;

    tmk_wire_put_descriptor(&s, TMK_SECTION_PROPERTIES);
    tmk_str_add_char(&s, 0x45);
    for (int i = 0; i < 3; i++) {
        tmk_wire_put_descriptor(&s, TMK_SECTION_DATA);
        tmk_wire_put_binary(&s, TMK_LIT("inner"));
    }
    rest = tmk_str_slice(&s);
    for (int i = 0; i < 3; i++) {
        CHECK(tmk_hub_batch_next(&rest, &event, &broken));
        CHECK_SLICE("inner", event);
    }
    CHECK(!tmk_hub_batch_next(&rest, &event, &broken) && !broken);
    tmk_wire_put_descriptor(&s, TMK_SECTION_VALUE);
    tmk_wire_null(&s);
    rest = tmk_str_slice(&s);
    while (tmk_hub_batch_next(&rest, &event, &broken)) {
    }
    CHECK(broken);
    tmk_str_clear(&s);
}

/* ---- the log ---- */

/* Appends `count` events of `size` bytes, a millisecond apart, and shows them. */
static void fill(tmk_hub_log *log, int count, size_t size) {
    uint8_t *bytes = tmk_alloc_zero(1, size);

    for (int i = 0; i < count; i++) {
        memcpy(bytes, &(int64_t){log->end}, sizeof(int64_t));
        CHECK_EQ(TMK_OK, tmk_hub_log_append(log, tmk_slice_of(bytes, size), 0, ms0 + log->end));
    }
    tmk_free(bytes);
    tmk_hub_log_show(log, log->end);
}

/* Reads all there is from `sequence` on: every event is there once and is the right one. */
static int64_t read_from(const tmk_hub_log *log, int64_t sequence) {
    const tmk_hub_entry *e = NULL;
    uint32_t count = 0;
    const tmk_hub_chunk *c;

    while ((c = tmk_hub_log_find(log, sequence, &e, &count)) != NULL) {
        for (uint32_t i = 0; i < count; i++) {
            int64_t is = -1;
            memcpy(&is, c->bytes + e[i].at, sizeof is);
            CHECK_EQ(sequence + i, is);
        }
        sequence += count;
    }
    return sequence;
}

static void every_event_is_found_again_over_many_chunks(void) {
    tmk_hub_log log;

    tmk_hub_log_init(&log);
    fill(&log, 5000, 1000);
    CHECK(log.chunk_count > 3);
    CHECK_EQ(5000, read_from(&log, 0));
    CHECK_EQ(5000, read_from(&log, 4321));
    CHECK_EQ(5000 * 1000, log.bytes);
    tmk_hub_log_clear(&log);
}

static void what_is_not_shown_is_not_read_and_can_be_dropped(void) {
    tmk_hub_log log;
    const tmk_hub_entry *e;
    uint32_t count;

    tmk_hub_log_init(&log);
    fill(&log, 3, 100);
    for (int i = 0; i < 3000; i++) {
        CHECK_EQ(TMK_OK, tmk_hub_log_append(&log, tmk_slice_of("0123456789", 10), 0, ms0));
    }
    CHECK_EQ(3, read_from(&log, 0));
    CHECK(tmk_hub_log_find(&log, 3, &e, &count) == NULL);
    tmk_hub_log_drop_from(&log, 1000);
    CHECK_EQ(1000, log.end);
    tmk_hub_log_drop_from(&log, 3);
    CHECK_EQ(3, log.end);
    CHECK_EQ(300, log.bytes);
    fill(&log, 4000, 1000);
    CHECK_EQ(4003, read_from(&log, 0));
    tmk_hub_log_clear(&log);
}

static void an_event_larger_than_a_chunk_has_one_of_its_own(void) {
    tmk_hub_log log;

    tmk_hub_log_init(&log);
    fill(&log, 2, 100);
    fill(&log, 2, 3 << 20);
    fill(&log, 2, 100);
    CHECK_EQ(6, read_from(&log, 0));
    tmk_hub_log_clear(&log);
}

static void retention_cuts_by_age_and_by_size(void) {
    tmk_hub_log log;

    tmk_hub_log_init(&log);
    fill(&log, 100, 1000);
    CHECK_EQ(0, tmk_hub_log_retain(&log, ms0, 1000000));
    CHECK_EQ(10, tmk_hub_log_retain(&log, ms0 + 10, 1000000));
    CHECK_EQ(10, log.begin);
    CHECK_EQ(85, tmk_hub_log_retain(&log, ms0, 5999));
    CHECK_EQ(95, log.begin);
    CHECK_EQ(5000, log.bytes);
    CHECK_EQ(100, read_from(&log, 95));
    CHECK_EQ(5, tmk_hub_log_retain(&log, ms0 + 1000, 5999));
    CHECK_EQ(0, log.bytes);
    CHECK_EQ(100, log.begin);
    CHECK_EQ(99 * 1000, log.last_offset); /* what was last is remembered */
    fill(&log, 1, 1000);
    CHECK_EQ(101, read_from(&log, 100));
    tmk_hub_log_clear(&log);
}

static bool log_scenario(void) {
    tmk_hub_log log;
    tmk_status st = TMK_OK;

    tmk_hub_log_init(&log);
    for (int i = 0; st == TMK_OK && i < 200; i++) {
        int64_t end = log.end;
        st = tmk_hub_log_append(&log, tmk_slice_of("0123456789", 10), 0, ms0);
        CHECK_EQ(st == TMK_OK ? end + 1 : end, log.end);
    }
    tmk_hub_log_show(&log, log.end);
    tmk_hub_log_clear(&log);
    return st == TMK_OK;
}

static void running_out_of_memory_leaves_the_log_whole(void) {
    failing_each(log_scenario);
}

/* ---- a hub ---- */

typedef struct hub {
    tmk_hub_core core;
    tmk_hub_entity *entity;
    tmk_str scratch;
    tmk_hub_fail fail;
} hub;

static void hub_init(hub *h, uint32_t units, bool geo) {
    static const char *const groups[] = {"Billing"};
    tmk_error err;

    memset(h, 0, sizeof *h);
    tmk_hub_core_init(&h->core, units, 0);
    CHECK_EQ(TMK_OK, tmk_hub_core_add(&h->core, "orders", 4, groups, 1, geo, ms0, 0, &err));
    h->entity = tmk_hub_core_find(&h->core, TMK_LIT("ORDERS"));
    CHECK(h->entity != NULL);
}

static void hub_clear(hub *h) {
    tmk_hub_core_clear(&h->core);
    tmk_str_clear(&h->scratch);
}

static void put(hub *h, uint32_t partition, int64_t ms) {
    tmk_hub_part *p = &h->entity->parts[partition];
    tmk_str sent = TMK_STR_INIT;
    tmk_hub_message m;

    add_message(&sent, NULL, "0123456789");
    CHECK(tmk_hub_message_parse(tmk_str_slice(&sent), &m));
    CHECK_EQ(TMK_OK, tmk_hub_part_append(p, &m, m.key, m.keyed, ms, &h->scratch));
    tmk_hub_log_show(&p->log, p->log.end);
    tmk_str_clear(&sent);
}

static void hubs_partitions_and_groups_are_found(void) {
    hub h;
    tmk_error err;

    hub_init(&h, 0, false);
    CHECK(tmk_hub_core_find(&h.core, TMK_LIT("order")) == NULL);
    CHECK(tmk_hub_entity_part(h.entity, TMK_LIT("3")) == &h.entity->parts[3]);
    CHECK(tmk_hub_entity_part(h.entity, TMK_LIT("4")) == NULL);
    CHECK(tmk_hub_entity_part(h.entity, TMK_LIT("03")) == NULL);
    CHECK(tmk_hub_entity_part(h.entity, TMK_LIT("-1")) == NULL);
    CHECK(tmk_hub_entity_part(h.entity, TMK_LIT("")) == NULL);
    CHECK(tmk_hub_entity_part(h.entity, TMK_LIT("99999999999999999999")) == NULL);
    CHECK(tmk_hub_entity_has_group(h.entity, TMK_LIT("$Default")));
    CHECK(tmk_hub_entity_has_group(h.entity, TMK_LIT("billing")));
    CHECK(!tmk_hub_entity_has_group(h.entity, TMK_LIT("other")));
    CHECK_EQ(TMK_EINVAL, tmk_hub_core_add(&h.core, "Orders", 1, NULL, 0, false, 0, 0, &err));
    CHECK_EQ(TMK_EINVAL, tmk_hub_core_add(&h.core, "a/b", 1, NULL, 0, false, 0, 0, &err));
    CHECK_EQ(TMK_EINVAL, tmk_hub_core_add(&h.core, "b", 1025, NULL, 0, false, 0, 0, &err));
    hub_clear(&h);
}

static bool core_scenario(void) {
    static const char *const groups[] = {"g1", "g2"};
    tmk_hub_core core;
    tmk_status st;

    tmk_hub_core_init(&core, 1, 0);
    st = tmk_hub_core_add(&core, "a", 3, groups, 2, false, 0, 0, NULL);
    CHECK_EQ(st == TMK_OK, tmk_hub_core_find(&core, TMK_LIT("a")) != NULL);
    tmk_hub_core_clear(&core);
    return st == TMK_OK;
}

static void running_out_of_memory_makes_no_half_of_a_hub(void) {
    failing_each(core_scenario);
}

static void events_without_a_key_take_turns(void) {
    hub h;
    tmk_hub_message m = {.keyed = false};
    unsigned seen = 0;

    hub_init(&h, 0, false);
    for (int i = 0; i < 4; i++) {
        seen |= 1U << tmk_hub_entity_route(h.entity, NULL, &m)->index;
    }
    CHECK_EQ(15, seen);
    m = (tmk_hub_message){.keyed = true, .key = TMK_LIT("device-0001")};
    CHECK_EQ(2, tmk_hub_entity_route(h.entity, NULL, &m)->index);
    CHECK_EQ(0, tmk_hub_entity_route(h.entity, &h.entity->parts[0], &m)->index);
    hub_clear(&h);
}

static void the_clock_may_go_back_and_enqueued_times_do_not(void) {
    hub h;
    const tmk_hub_entry *e = NULL;
    uint32_t count = 0;

    hub_init(&h, 0, false);
    put(&h, 0, ms0 + 5000);
    put(&h, 0, ms0);
    CHECK(tmk_hub_log_find(&h.entity->parts[0].log, 1, &e, &count) != NULL);
    CHECK_EQ(ms0 + 5000, e->enqueued_ms);
    hub_clear(&h);
}

/* ---- where reading starts ---- */

/* Where a reader starts; -1: refused, with h->fail. */
static int64_t position(hub *h, const char *selector) {
    tmk_hub_from from;
    int64_t sequence = -1;

    CHECK(tmk_hub_from_parse(tmk_slice_str(selector), &from));
    return tmk_hub_part_position(&h->entity->parts[0], &from, &sequence, &h->fail) ? sequence : -1;
}

static void positions_are_found(void) {
    hub h;
    char text[100];

    hub_init(&h, 0, false);
    for (int i = 0; i < 10; i++) {
        put(&h, 0, ms0 + 1000 * (i / 2));
    }
    CHECK_EQ(0, position(&h, "amqp.annotation.x-opt-offset > '-1'"));
    CHECK_EQ(10, position(&h, "amqp.annotation.x-opt-offset > '@latest'"));
    CHECK_EQ(0, position(&h, "amqp.annotation.x-opt-offset >= '0'"));
    CHECK_EQ(1, position(&h, "amqp.annotation.x-opt-offset > '0'"));
    (void)snprintf(text, sizeof text, "amqp.annotation.x-opt-offset > '%" PRId64 "'",
                   h.entity->parts[0].log.last_offset);
    CHECK_EQ(10, position(&h, text));
    CHECK_EQ(4, position(&h, "amqp.annotation.x-opt-sequence-number > '3'"));
    CHECK_EQ(3, position(&h, "amqp.annotation.x-opt-sequence-number >= '3'"));
    CHECK_EQ(10, position(&h, "amqp.annotation.x-opt-sequence-number > '9'"));
    CHECK_EQ(0, position(&h, "amqp.annotation.x-opt-sequence-number > '-1'"));
    CHECK_EQ(4, position(&h, "amqp.annotation.x-opt-enqueued-time > '1700000001000'"));
    CHECK_EQ(2, position(&h, "amqp.annotation.x-opt-enqueued-time >= '1700000001000'"));
    CHECK_EQ(10, position(&h, "amqp.annotation.x-opt-enqueued-time > '1800000000000'"));
    hub_clear(&h);
}

static void a_position_past_the_end_is_refused(void) {
    hub h;

    hub_init(&h, 0, false);
    CHECK_EQ(0, position(&h, "amqp.annotation.x-opt-offset > '@latest'"));
    CHECK_EQ(-1, position(&h, "amqp.annotation.x-opt-offset > '0'"));
    CHECK_STR("com.microsoft:argument-error", h.fail.condition);
    put(&h, 0, ms0);
    CHECK_EQ(-1, position(&h, "amqp.annotation.x-opt-offset > '100000'"));
    CHECK(strstr(h.fail.text, "'100000'") != NULL);
    CHECK_EQ(-1, position(&h, "amqp.annotation.x-opt-sequence-number > '1'"));
    CHECK(strstr(h.fail.text, "'0'") != NULL);
    CHECK_EQ(-1, position(&h, "amqp.annotation.x-opt-offset > 'abc'"));
    hub_clear(&h);
}

static void a_position_older_than_what_is_kept_starts_at_the_oldest(void) {
    hub h;

    hub_init(&h, 0, false);
    for (int i = 0; i < 10; i++) {
        put(&h, 0, ms0);
    }
    tmk_hub_log_cut(&h.entity->parts[0].log, 6);
    CHECK_EQ(6, position(&h, "amqp.annotation.x-opt-offset > '-1'"));
    CHECK_EQ(6, position(&h, "amqp.annotation.x-opt-offset > '0'"));
    CHECK_EQ(6, position(&h, "amqp.annotation.x-opt-sequence-number > '2'"));
    CHECK_EQ(6, position(&h, "amqp.annotation.x-opt-enqueued-time > '5'"));
    hub_clear(&h);
}

static void opaque_offsets_are_understood_and_numbers_refused(void) {
    hub h;
    tmk_hub_offset second;
    char text[120];

    hub_init(&h, 0, false);
    put(&h, 0, ms0);
    put(&h, 0, ms0);
    put(&h, 0, ms0);
    CHECK_EQ(TMK_OK, tmk_hub_entity_set_geo(h.entity, true));
    second = tmk_hub_offset_text(h.entity, h.entity->parts[0].log.last_offset / 2);
    (void)snprintf(text, sizeof text, "amqp.annotation.x-opt-offset > '%s'", second.text);
    CHECK_EQ(2, position(&h, text));
    CHECK_EQ(-1, position(&h, "amqp.annotation.x-opt-offset > '0'"));
    CHECK_STR("com.microsoft:georeplication:invalid-offset", h.fail.condition);
    CHECK_EQ(-1, position(&h, "amqp.annotation.x-opt-offset > 'g1:!z'"));
    CHECK_EQ(-1, position(&h, "amqp.annotation.x-opt-offset > 'g1:z'"));
    CHECK_EQ(0, position(&h, "amqp.annotation.x-opt-offset > '-1'"));
    hub_clear(&h);
}

/* Events stored before the change are told with the new offsets, and are whole. */
static void changing_to_opaque_offsets_rewrites_what_is_stored(void) {
    hub h;
    const tmk_hub_entry *e = NULL;
    uint32_t count = 0;

    hub_init(&h, 0, false);
    for (int i = 0; i < 50; i++) {
        put(&h, 0, ms0);
    }
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(TMK_OK, tmk_hub_entity_set_geo(h.entity, round == 0));
        for (int64_t s = 0; s < 50; s++) {
            const tmk_hub_chunk *c = tmk_hub_log_find(&h.entity->parts[0].log, s, &e, &count);
            tmk_hub_offset wanted = tmk_hub_offset_text(h.entity, e->offset);
            tmk_sections sections;
            tmk_event_marks marks;
            CHECK(tmk_scan_message(tmk_slice_of(c->bytes + e->at, e->size), &sections));
            CHECK(tmk_scan_marks(sections.message_annotations, &marks));
            CHECK_EQ(s, marks.sequence);
            CHECK_SLICE(wanted.text, marks.offset);
            CHECK_SLICE("0123456789", sections.data);
        }
    }
    hub_clear(&h);
}

static void a_hub_made_anew_counts_from_zero(void) {
    hub h;

    hub_init(&h, 0, false);
    put(&h, 0, ms0);
    tmk_hub_entity_recreate(h.entity, ms0 + 1);
    CHECK_EQ(-1, tmk_hub_part_last_sequence(&h.entity->parts[0]));
    CHECK_STR("-1", tmk_hub_part_last_offset(&h.entity->parts[0]).text);
    put(&h, 0, ms0);
    CHECK_EQ(0, tmk_hub_part_last_sequence(&h.entity->parts[0]));
    hub_clear(&h);
}

/* ---- readers ---- */

static tmk_hub_reader reader(const char *group, int64_t level, const char *name) {
    tmk_hub_reader r = {.group = tmk_slice_str(group), .leveled = level >= 0, .level = level};

    (void)snprintf(r.name, sizeof r.name, "%s", name);
    return r;
}

static bool admit(hub *h, tmk_hub_reader *r, unsigned *displaced) {
    tmk_list gone;
    bool ok;

    tmk_list_init(&gone);
    *displaced = 0;
    ok = tmk_hub_part_admit_reader(&h->entity->parts[0], r, &gone, &h->fail);
    while (tmk_list_pop_front(&gone) != NULL) {
        (*displaced)++;
    }
    return ok;
}

static void an_equal_or_higher_owner_level_takes_over(void) {
    hub h;
    tmk_hub_reader a = reader("$default", 0, "a"), b = reader("$Default", 0, "b");
    tmk_hub_reader c = reader("$default", 7, "c"), low = reader("$default", 6, "low");
    tmk_hub_reader plain = reader("$default", -1, "plain"), other = reader("billing", 1, "other");
    unsigned gone;

    hub_init(&h, 0, false);
    CHECK(admit(&h, &a, &gone) && gone == 0);
    CHECK(admit(&h, &b, &gone) && gone == 1);
    CHECK(a.displaced);
    CHECK_STR("amqp:link:stolen", a.why.condition);
    CHECK(strstr(a.why.text, "'b'") != NULL && strstr(a.why.text, "'a'") != NULL);
    CHECK(admit(&h, &c, &gone) && gone == 1);
    CHECK(!admit(&h, &low, &gone));
    CHECK_STR("amqp:link:stolen", h.fail.condition);
    CHECK(!admit(&h, &plain, &gone));
    CHECK_STR("amqp:link:stolen", h.fail.condition);
    CHECK(admit(&h, &other, &gone) && gone == 0); /* another group */
    tmk_hub_part_remove_reader(&c);
    CHECK(admit(&h, &plain, &gone) && gone == 0);
    hub_clear(&h);
}

static void five_readers_without_a_level_and_no_sixth(void) {
    hub h;
    tmk_hub_reader r[6];
    tmk_hub_reader owner = reader("$default", 3, "owner");
    unsigned gone;

    hub_init(&h, 0, false);
    for (int i = 0; i < 6; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "r%d", i);
        r[i] = reader("$default", -1, name);
        CHECK_EQ(i < 5, admit(&h, &r[i], &gone));
    }
    CHECK_STR("amqp:resource-limit-exceeded", h.fail.condition);
    CHECK(strstr(h.fail.text, "r0, r1, r2, r3, r4") != NULL);
    CHECK(admit(&h, &owner, &gone) && gone == 5);
    hub_clear(&h);
}

/* ---- quotas ---- */

static void a_throughput_unit_is_a_thousand_events_a_second(void) {
    hub h;
    tmk_hub_part *p;
    int taken = 0;

    hub_init(&h, 2, false);
    p = &h.entity->parts[0];
    while (taken < 5000 && tmk_hub_core_admit(&h.core, p, 1, 100, 0, &h.fail)) {
        taken++;
    }
    CHECK_EQ(1000, taken); /* one partition has one unit, whatever the namespace has */
    CHECK_STR("com.microsoft:server-busy", h.fail.condition);
    CHECK(strstr(h.fail.text, "50002") != NULL);
    p = &h.entity->parts[1];
    while (taken < 5000 && tmk_hub_core_admit(&h.core, p, 1, 100, 0, &h.fail)) {
        taken++;
    }
    CHECK_EQ(2000, taken);
    CHECK(strstr(h.fail.text, "50009") != NULL);
    CHECK(!tmk_hub_core_admit(&h.core, &h.entity->parts[2], 1, 100, 0, &h.fail));
    CHECK(tmk_hub_core_admit(&h.core, p, 1, 100, TMK_SEC / 100, &h.fail));
    hub_clear(&h);
}

static void a_batch_larger_than_what_is_left_passes_and_is_paid_for(void) {
    tmk_hub_quota q;

    tmk_hub_quota_init(&q, 1000, 1 << 20, 0);
    CHECK(tmk_hub_quota_open(&q, 0));
    tmk_hub_quota_take(&q, 3000, 100);
    CHECK(!tmk_hub_quota_open(&q, TMK_SEC));
    CHECK_EQ(2 * TMK_SEC + 1, tmk_hub_quota_opens(&q));
    CHECK(!tmk_hub_quota_open(&q, 2 * TMK_SEC));
    CHECK(tmk_hub_quota_open(&q, tmk_hub_quota_opens(&q)));
}

static void idle_time_fills_one_second_and_no_more(void) {
    tmk_hub_quota q;

    tmk_hub_quota_init(&q, 1000, 1000, 0);
    tmk_hub_quota_take(&q, 0, 1000);
    CHECK(tmk_hub_quota_open(&q, INT64_MAX / 2));
    CHECK_EQ(1000 * TMK_SEC, q.bytes_nano);
    CHECK(tmk_hub_quota_open(&q, 5)); /* a clock that goes back fills nothing */
    CHECK_EQ(1000 * TMK_SEC, q.bytes_nano);
}

static void no_throughput_units_is_no_limit(void) {
    hub h;

    hub_init(&h, 0, false);
    for (int i = 0; i < 100000; i++) {
        CHECK(tmk_hub_core_admit(&h.core, h.entity->parts, 1, 1 << 20, 0, &h.fail));
    }
    hub_clear(&h);
}

int main(void) {
    return RUN(
        TEST(an_event_keeps_what_it_had_and_gets_the_services_marks),
        TEST(an_event_without_a_key_gets_that_of_its_batch), TEST(a_cut_message_is_none),
        TEST(sections_in_the_wrong_order_are_none), TEST(a_batch_is_taken_apart),
        TEST(every_event_is_found_again_over_many_chunks),
        TEST(what_is_not_shown_is_not_read_and_can_be_dropped),
        TEST(an_event_larger_than_a_chunk_has_one_of_its_own),
        TEST(retention_cuts_by_age_and_by_size), TEST(running_out_of_memory_leaves_the_log_whole),
        TEST(hubs_partitions_and_groups_are_found),
        TEST(running_out_of_memory_makes_no_half_of_a_hub), TEST(events_without_a_key_take_turns),
        TEST(the_clock_may_go_back_and_enqueued_times_do_not), TEST(positions_are_found),
        TEST(a_position_past_the_end_is_refused),
        TEST(a_position_older_than_what_is_kept_starts_at_the_oldest),
        TEST(opaque_offsets_are_understood_and_numbers_refused),
        TEST(changing_to_opaque_offsets_rewrites_what_is_stored),
        TEST(a_hub_made_anew_counts_from_zero), TEST(an_equal_or_higher_owner_level_takes_over),
        TEST(five_readers_without_a_level_and_no_sixth),
        TEST(a_throughput_unit_is_a_thousand_events_a_second),
        TEST(a_batch_larger_than_what_is_left_passes_and_is_paid_for),
        TEST(idle_time_fills_one_second_and_no_more), TEST(no_throughput_units_is_no_limit));
}
