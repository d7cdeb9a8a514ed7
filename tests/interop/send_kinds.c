/*
 * Sends events with a property of every AMQP kind, every standard property and bodies of several
 * kinds to one partition: send_kinds HUB PARTITION. For the official SDK to read; uses the public
 * interface alone.
 */
#include <tidemark/producer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tmk_error err;

#define OK(call)                                                \
    do {                                                        \
        if ((call) < 0) {                                       \
            (void)fprintf(stderr, "%s: %s\n", #call, err.text); \
            exit(1);                                            \
        }                                                       \
    } while (0)
#define BYTES(text) \
    { (const uint8_t *)(text), sizeof(text) - 1 }

typedef struct named {
    const char *name;
    tmk_value value;
} named;

/* The items of a list: the int 1, the string "two"; of a map: "a" to true; of an array: ints 1, 2.
 */
#define LIST_ITEMS "\x54\x01\xa1\x03two"
#define MAP_ITEMS \
    "\xa1\x01"    \
    "a\x41"

static const named properties[] = {
    {"null", {.kind = TMK_VALUE_NONE}},
    {"true", {.kind = TMK_VALUE_BOOL, .b = true}},
    {"false", {.kind = TMK_VALUE_BOOL, .b = false}},
    {"byte", {.kind = TMK_VALUE_INT, .width = 1, .i64 = -128}},
    {"short", {.kind = TMK_VALUE_INT, .width = 2, .i64 = -32768}},
    {"int", {.kind = TMK_VALUE_INT, .width = 4, .i64 = INT32_MIN}},
    {"long", {.kind = TMK_VALUE_INT, .width = 8, .i64 = -9007199254740991}},
    {"ubyte", {.kind = TMK_VALUE_UINT, .width = 1, .u64 = 255}},
    {"ushort", {.kind = TMK_VALUE_UINT, .width = 2, .u64 = 65535}},
    {"uint", {.kind = TMK_VALUE_UINT, .width = 4, .u64 = UINT32_MAX}},
    {"ulong", {.kind = TMK_VALUE_UINT, .width = 8, .u64 = 9007199254740991}},
    {"float", {.kind = TMK_VALUE_FLOAT, .width = 4, .f64 = 0.5}},
    {"double", {.kind = TMK_VALUE_FLOAT, .width = 8, .f64 = 0.1}},
    {"char", {.kind = TMK_VALUE_CHAR, .u64 = 0x1f680}},
    {"time", {.kind = TMK_VALUE_TIME, .i64 = 1763732484123}},
    {"uuid", {.kind = TMK_VALUE_UUID, .bytes = BYTES("0123456789abcdef")}},
    {"binary", {.kind = TMK_VALUE_BINARY, .bytes = BYTES("\x00\xff\x01")}},
    {"string", {.kind = TMK_VALUE_STRING, .bytes = BYTES("\xc3\xbc \xf0\x9f\x9a\x80")}},
    {"symbol", {.kind = TMK_VALUE_SYMBOL, .bytes = BYTES("a-symbol")}},
};

static const named standard[] = {
    {"message-id", {.kind = TMK_VALUE_STRING, .bytes = BYTES("m-1")}},
    {"user-id", {.kind = TMK_VALUE_BINARY, .bytes = BYTES("user")}},
    {"to", {.kind = TMK_VALUE_STRING, .bytes = BYTES("there")}},
    {"subject", {.kind = TMK_VALUE_STRING, .bytes = BYTES("about")}},
    {"reply-to", {.kind = TMK_VALUE_STRING, .bytes = BYTES("here")}},
    {"correlation-id", {.kind = TMK_VALUE_STRING, .bytes = BYTES("c-1")}},
    {"content-type", {.kind = TMK_VALUE_SYMBOL, .bytes = BYTES("application/x-thing")}},
    {"content-encoding", {.kind = TMK_VALUE_SYMBOL, .bytes = BYTES("gzip")}},
    {"absolute-expiry", {.kind = TMK_VALUE_TIME, .i64 = 1763732484123}},
    {"creation-time", {.kind = TMK_VALUE_TIME, .i64 = 1763732484000}},
    {"group-id", {.kind = TMK_VALUE_STRING, .bytes = BYTES("g-1")}},
    {"group-sequence", {.kind = TMK_VALUE_UINT, .width = 4, .u64 = 7}},
    {"reply-to-group-id", {.kind = TMK_VALUE_STRING, .bytes = BYTES("g-2")}},
};

static const tmk_value bodies[] = {
    {.kind = TMK_VALUE_STRING, .bytes = BYTES("value text")},
    {.kind = TMK_VALUE_INT, .width = 8, .i64 = 42},
    {.kind = TMK_VALUE_BOOL, .b = true},
    {.kind = TMK_VALUE_LIST, .bytes = BYTES(LIST_ITEMS), .count = 2},
    {.kind = TMK_VALUE_MAP, .bytes = BYTES(MAP_ITEMS), .count = 2},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void send(tmk_producer *producer, const tmk_message *m, const char *partition) {
    tmk_fate fate;

    OK(tmk_producer_send_wait(producer, m, partition, 10000, &fate, &err));
}

int main(int argc, char **argv) {
    tmk_client_options o;
    tmk_client *client = NULL;
    tmk_producer *producer = NULL;
    tmk_message *m = NULL;

    if (argc != 3) {
        (void)fprintf(stderr, "usage: send_kinds HUB PARTITION\n");
        return 2;
    }
    tmk_client_options_init(&o);
    o.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    o.hub = argv[1];
    OK(tmk_client_new(&o, &client, &err));
    OK(tmk_producer_new(client, NULL, &producer, &err));

    OK(tmk_message_new((tmk_slice)BYTES("properties"), &m, &err));
    for (size_t i = 0; i < COUNT(properties); i++) {
        OK(tmk_message_set_property(m, properties[i].name, &properties[i].value, &err));
    }
    OK(tmk_message_set_annotation(m, "x-mine", &properties[5].value, &err));
    send(producer, m, argv[2]);

    OK(tmk_message_reset(m, (tmk_slice)BYTES("standard"), &err));
    for (size_t i = 0; i < COUNT(standard); i++) {
        OK(tmk_message_set_standard(m, (tmk_standard)i, &standard[i].value, &err));
    }
    send(producer, m, argv[2]);

    for (size_t i = 0; i < COUNT(bodies); i++) {
        OK(tmk_message_reset(m, (tmk_slice)BYTES(""), &err));
        OK(tmk_message_set_value(m, &bodies[i], &err));
        send(producer, m, argv[2]);
    }
    m = tmk_message_free(m);
    producer = tmk_producer_free(producer);
    client = tmk_client_free(client);
    return 0;
}
