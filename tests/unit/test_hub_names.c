/* Names on the wire: what each SDK writes must mean the same. */
#include "hub/names.h"

#include "support/check.h"

/* ---- addresses ---- */

static void check_reader(const char *address) {
    tmk_hub_place p = tmk_hub_place_parse(tmk_slice_str(address));

    CHECK_EQ(TMK_HUB_PLACE_READER, p.kind);
    CHECK_SLICE("orders", p.hub);
    CHECK_SLICE("$Default", p.group);
    CHECK_SLICE("3", p.partition);
}

static void a_reader_is_found_in_every_spelling(void) {
    check_reader("orders/ConsumerGroups/$Default/Partitions/3");
    check_reader("/orders/ConsumerGroups/$Default/Partitions/3");
    check_reader("orders/consumergroups/$Default/PARTITIONS/3");
    check_reader("amqps://ns.servicebus.windows.net/orders/ConsumerGroups/$Default/Partitions/3");
    check_reader("sb://localhost:15672//orders/ConsumerGroups/$Default/Partitions/3");
}

static void nodes_are_told_apart(void) {
    static const struct {
        const char *address;
        tmk_hub_place_kind kind;
    } cases[] = {
        {"", TMK_HUB_PLACE_NONE},
        {"/", TMK_HUB_PLACE_NONE},
        {"$cbs", TMK_HUB_PLACE_CBS},
        {"$CBS", TMK_HUB_PLACE_CBS},
        {"$management", TMK_HUB_PLACE_MANAGEMENT},
        {"orders/$management", TMK_HUB_PLACE_MANAGEMENT},
        {"orders", TMK_HUB_PLACE_HUB},
        {"amqps://ns/orders", TMK_HUB_PLACE_HUB},
        {"orders/Partitions/0", TMK_HUB_PLACE_PARTITION},
        {"orders/Publishers/p", TMK_HUB_PLACE_PUBLISHER},
        {"orders/ConsumerGroups/g", TMK_HUB_PLACE_OTHER},
        {"orders/ConsumerGroups/g/Partitions/0/more", TMK_HUB_PLACE_OTHER},
        {"orders/other/g/Partitions/0", TMK_HUB_PLACE_OTHER},
        {"a/b/c/d/e/f/g/h", TMK_HUB_PLACE_OTHER},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_EQ(cases[i].kind, tmk_hub_place_parse(tmk_slice_str(cases[i].address)).kind);
    }
}

/* ---- start positions ---- */

static tmk_hub_from from(const char *selector) {
    tmk_hub_from f = {.number = -77};

    if (!tmk_hub_from_parse(tmk_slice_str(selector), &f)) {
        fail_msg("'%s' is not understood", selector);
    }
    return f;
}

static void each_start_is_understood(void) {
    CHECK_EQ(TMK_HUB_FROM_EARLIEST, from("amqp.annotation.x-opt-offset > '-1'").kind);
    CHECK_EQ(TMK_HUB_FROM_LATEST, from("amqp.annotation.x-opt-offset > '@latest'").kind);
    CHECK_EQ(TMK_HUB_FROM_LATEST, from("amqp.annotation.x-opt-offset >= '@latest'").kind);
    CHECK_SLICE("4096", from("amqp.annotation.x-opt-offset > '4096'").offset);
    CHECK(!from("amqp.annotation.x-opt-offset > '4096'").inclusive);
    CHECK(from("amqp.annotation.x-opt-offset >= '4096'").inclusive);
    CHECK_SLICE("g1:ab", from("amqp.annotation.x-opt-offset > 'g1:ab'").offset);
    CHECK_EQ(12, from("amqp.annotation.x-opt-sequence-number > '12'").number);
    CHECK_EQ(-1, from("amqp.annotation.x-opt-sequence-number > '-1'").number);
    CHECK_EQ(TMK_HUB_FROM_TIME,
             from("amqp.annotation.x-opt-enqueued-time >= '1700000000000'").kind);
    CHECK_EQ(INT64_C(1700000000000),
             from("amqp.annotation.x-opt-enqueued-time >= '1700000000000'").number);
}

static void spellings_of_other_sdks_are_understood(void) {
    CHECK_EQ(TMK_HUB_FROM_EARLIEST, from("amqp.annotation.x-opt-offset > -1").kind);
    CHECK_EQ(TMK_HUB_FROM_LATEST, from("amqp.annotation.x-opt-offset > @latest").kind);
    CHECK_EQ(5, from("amqp.annotation.x-opt-sequence-number >'5'").number);
    CHECK_EQ(5, from("amqp.annotation.x-opt-sequence-number>='5'").number);
    CHECK_EQ(5, from("  amqp.annotation.x-opt-sequence-number  >  5  ").number);
}

static void anything_else_is_refused(void) {
    static const char *const bad[] = {
        "",
        "amqp.annotation.x-opt-offset",
        "amqp.annotation.x-opt-offset >",
        "amqp.annotation.x-opt-offset > ''",
        "amqp.annotation.x-opt-offset > '5",
        "amqp.annotation.x-opt-offset > 5'",
        "amqp.annotation.x-opt-offset < '5'",
        "amqp.annotation.x-opt-offset = '5'",
        "amqp.annotation.x-opt-other > '5'",
        "x-opt-offset > '5'",
        "amqp.annotation.x-opt-sequence-number > 'five'",
        "amqp.annotation.x-opt-sequence-number > '99999999999999999999'",
        "amqp.annotation.x-opt-offset > '5' AND amqp.annotation.x-opt-offset > '6'",
    };
    tmk_hub_from f;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (tmk_hub_from_parse(tmk_slice_str(bad[i]), &f)) {
            fail_msg("'%s' is taken", bad[i]);
        }
    }
}

/* ---- keys ---- */

static void check_key(const char *key, uint32_t of4, uint32_t of5, uint32_t of32, uint32_t of1024) {
    tmk_slice k = tmk_slice_str(key);

    CHECK_EQ(of4, tmk_hub_key_partition(k, 4));
    CHECK_EQ(of5, tmk_hub_key_partition(k, 5));
    CHECK_EQ(of32, tmk_hub_key_partition(k, 32));
    CHECK_EQ(of1024, tmk_hub_key_partition(k, 1024));
}

/* From the JavaScript SDK's own mapping. */
static void keys_go_where_the_sdks_put_them(void) {
    check_key("", 0, 0, 0, 0);
    check_key("a", 0, 0, 28, 860);
    check_key("ab", 1, 3, 13, 45);
    check_key("abc", 1, 1, 17, 849);
    check_key("device-0001", 2, 4, 10, 298);
    check_key("device-0002", 3, 3, 3, 643);
    check_key("0123456789ab", 2, 4, 30, 670);
    check_key("0123456789abc", 3, 2, 7, 71);
    check_key("xxxxxxxxxxxxxxxxxxxxxxxx", 1, 3, 29, 93);
    check_key("xxxxxxxxxxxxxxxxxxxxxxxxx", 1, 3, 21, 309);
    check_key("b7f2e3aa-5b19-4f43-9a70-8f5bd0a7b6d1", 3, 0, 27, 731);
    check_key("The quick brown fox jumps over the lazy dog", 1, 2, 1, 193);
    check_key("k\xc3\xb6ln", 2, 3, 22, 118);
    check_key("\xf0\x9f\x9a\x80", 1, 3, 5, 677);
}

/* ---- audiences ---- */

static void check_audience(const char *expected, const char *audience) {
    tmk_str out = TMK_STR_INIT;

    tmk_hub_audience_add(&out, tmk_slice_str(audience));
    CHECK_STR(expected, tmk_str_text(&out));
    tmk_str_clear(&out);
}

static void audiences_are_compared_by_path_alone(void) {
    check_audience("hub", "sb://ns.servicebus.windows.net/hub");
    check_audience("hub", "amqps://NS.servicebus.windows.net:5671/HUB/");
    check_audience("", "sb://ns.servicebus.windows.net/");
    check_audience("hub/consumergroups/$default/partitions/0",
                   "amqp://ns/hub/ConsumerGroups/$Default/Partitions/0");
}

static bool covers(const char *holder, const char *path) {
    return tmk_hub_audience_covers(tmk_slice_str(holder), tmk_slice_str(path));
}

static void a_parent_speaks_for_its_children_and_for_nobody_else(void) {
    CHECK(covers("", "hub"));
    CHECK(covers("hub", "hub"));
    CHECK(covers("hub", "hub/partitions/0"));
    CHECK(!covers("hub", "hub2"));
    CHECK(!covers("hub/partitions/0", "hub"));
    CHECK(!covers("hub/partitions/1", "hub/partitions/10"));
}

static void names_of_hubs_are_checked(void) {
    char longest[258];

    memset(longest, 'x', sizeof longest);
    CHECK(tmk_hub_name_ok(tmk_slice_str("orders-2026_v1.a")));
    CHECK(tmk_hub_name_ok(tmk_slice_of(longest, 256)));
    CHECK(!tmk_hub_name_ok(tmk_slice_of(longest, 257)));
    CHECK(!tmk_hub_name_ok(tmk_slice_str("")));
    CHECK(!tmk_hub_name_ok(tmk_slice_str("a/b")));
    CHECK(!tmk_hub_name_ok(tmk_slice_str("..")));
    CHECK(!tmk_hub_name_ok(tmk_slice_str("a b")));
}

int main(void) {
    return RUN(TEST(a_reader_is_found_in_every_spelling), TEST(nodes_are_told_apart),
               TEST(each_start_is_understood), TEST(spellings_of_other_sdks_are_understood),
               TEST(anything_else_is_refused), TEST(keys_go_where_the_sdks_put_them),
               TEST(audiences_are_compared_by_path_alone),
               TEST(a_parent_speaks_for_its_children_and_for_nobody_else),
               TEST(names_of_hubs_are_checked));
}
