/* Addresses, filters and the key hash are what the service and the other SDKs expect. */
#include "eventhubs/names.h"

#include "support/check.h"

#define CHECK_TEXT(expected, call)               \
    do {                                         \
        tmk_str out = TMK_STR_INIT;              \
        call;                                    \
        CHECK_STR(expected, tmk_str_text(&out)); \
        tmk_str_clear(&out);                     \
    } while (0)

static void addresses_are_the_services(void) {
    CHECK_TEXT("hub/ConsumerGroups/$Default/Partitions/3",
               tmk_names_receiver("hub", "$Default", "3", &out));
    CHECK_TEXT("hub", tmk_names_sender("hub", NULL, &out));
    CHECK_TEXT("hub/Partitions/3", tmk_names_sender("hub", "3", &out));
    CHECK_TEXT("hub/$management", tmk_names_management("hub", &out));
    CHECK_TEXT("sb://ns.servicebus.windows.net/hub/$management",
               tmk_names_audience("ns.servicebus.windows.net", 0, "hub/$management", &out));
    CHECK_TEXT("sb://localhost:15672/hub", tmk_names_audience("localhost", 15672, "hub", &out));
}

static void addresses_of_other_sdks_are_understood(void) {
    CHECK_SLICE("hub/Partitions/0", tmk_names_path(TMK_LIT("hub/Partitions/0")));
    CHECK_SLICE("hub/Partitions/0", tmk_names_path(TMK_LIT("/hub/Partitions/0/")));
    CHECK_SLICE("hub/Partitions/0",
                tmk_names_path(TMK_LIT("amqps://ns.example:5671/hub/Partitions/0")));
    CHECK_SLICE("hub", tmk_names_path(TMK_LIT("sb://ns.example//hub")));
    CHECK_SLICE("", tmk_names_path(TMK_LIT("sb://ns.example")));
    CHECK_SLICE("", tmk_names_path(TMK_LIT("sb://")));
    CHECK_SLICE("", tmk_names_path(TMK_LIT("//")));
    CHECK_SLICE("", tmk_names_path(TMK_LIT("")));
    CHECK_SLICE("a/b://c", tmk_names_path(TMK_LIT("a/b://c")));
    CHECK_SLICE("$cbs", tmk_names_path(TMK_LIT("$cbs")));
}

static void filters_say_where_to_start(void) {
    tmk_start s = tmk_start_earliest();

    CHECK_TEXT("amqp.annotation.x-opt-offset > '-1'", tmk_names_filter(&s, &out));
    s = tmk_start_latest();
    CHECK_TEXT("amqp.annotation.x-opt-offset > '@latest'", tmk_names_filter(&s, &out));
    s.inclusive = true;
    CHECK_TEXT("amqp.annotation.x-opt-offset > '@latest'", tmk_names_filter(&s, &out));
    s = tmk_start_sequence(12, false);
    CHECK_TEXT("amqp.annotation.x-opt-sequence-number > '12'", tmk_names_filter(&s, &out));
    s = tmk_start_sequence(INT64_MAX, true);
    CHECK_TEXT("amqp.annotation.x-opt-sequence-number >= '9223372036854775807'",
               tmk_names_filter(&s, &out));
    CHECK_EQ(TMK_OK, tmk_start_offset(TMK_LIT("opaque-4096"), false, &s, NULL));
    CHECK_TEXT("amqp.annotation.x-opt-offset > 'opaque-4096'", tmk_names_filter(&s, &out));
    CHECK_EQ(TMK_OK, tmk_start_offset(TMK_LIT("7"), true, &s, NULL));
    CHECK_TEXT("amqp.annotation.x-opt-offset >= '7'", tmk_names_filter(&s, &out));
    s = tmk_start_time(1700000000123);
    CHECK_TEXT("amqp.annotation.x-opt-enqueued-time >= '1700000000123'",
               tmk_names_filter(&s, &out));
    s.inclusive = false;
    CHECK_TEXT("amqp.annotation.x-opt-enqueued-time > '1700000000123'", tmk_names_filter(&s, &out));
}

#define X24 "xxxxxxxxxxxxxxxxxxxxxxxx"

/* Made by the JavaScript SDK's own mapper. */
static void keys_go_where_the_other_sdks_send_them(void) {
    static const struct {
        const char *key;
        int hash;
        uint32_t of4, of5, of8, of32, of100, of1024;
    } vectors[] = {
        {"", 0, 0, 0, 0, 0, 0, 0},
        {"a", -16220, 0, 0, 4, 28, 20, 860},
        {"ab", 2093, 1, 3, 5, 13, 93, 45},
        {"abc", -14161, 1, 1, 1, 17, 61, 849},
        {"abcd", 23398, 2, 3, 6, 6, 98, 870},
        {"abcdefgh", 22170, 2, 0, 2, 26, 70, 666},
        {"device-0001", -24874, 2, 4, 2, 10, 74, 298},
        {"device-0002", 5763, 3, 3, 3, 3, 63, 643},
        {"0123456789ab", -17054, 2, 4, 6, 30, 54, 670},
        {"0123456789abc", -4167, 3, 2, 7, 7, 67, 71},
        {"partition-key", -15301, 1, 1, 5, 5, 1, 965},
        {X24, -20573, 1, 3, 5, 29, 73, 93},
        {X24 "x", -26933, 1, 3, 5, 21, 33, 309},
        {X24 X24 X24 X24 X24 "xxxxxxxx", 21896, 0, 1, 0, 8, 96, 392},
        {"b7f2e3aa-5b19-4f43-9a70-8f5bd0a7b6d1", -11995, 3, 0, 3, 27, 95, 731},
        {"The quick brown fox jumps over the lazy dog", -31937, 1, 2, 1, 1, 37, 193},
        {"k\xc3\xb6ln", 10358, 2, 3, 6, 22, 58, 118},
        {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", -23353, 1, 3, 1, 25, 53, 825},
        {"\xf0\x9f\x9a\x80", 20133, 1, 3, 5, 5, 33, 677},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        tmk_slice key = tmk_slice_str(vectors[i].key);

        CHECK_EQ(vectors[i].hash, tmk_names_hash(key));
        CHECK_EQ(vectors[i].of4, tmk_names_partition(key, 4));
        CHECK_EQ(vectors[i].of5, tmk_names_partition(key, 5));
        CHECK_EQ(vectors[i].of8, tmk_names_partition(key, 8));
        CHECK_EQ(vectors[i].of32, tmk_names_partition(key, 32));
        CHECK_EQ(vectors[i].of100, tmk_names_partition(key, 100));
        CHECK_EQ(vectors[i].of1024, tmk_names_partition(key, 1024));
        CHECK_EQ(0, tmk_names_partition(key, 1));
    }
}

int main(void) {
    return RUN(TEST(addresses_are_the_services), TEST(addresses_of_other_sdks_are_understood),
               TEST(filters_say_where_to_start), TEST(keys_go_where_the_other_sdks_send_them));
}
