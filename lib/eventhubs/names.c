/* See names.h. */
#include "eventhubs/names.h"

#include <inttypes.h>

#include "base/assert.h"

void tmk_names_receiver(const char *hub, const char *group, const char *partition, tmk_str *out) {
    tmk_str_addf(out, "%s/ConsumerGroups/%s/Partitions/%s", hub, group, partition);
}

void tmk_names_sender(const char *hub, const char *partition, tmk_str *out) {
    tmk_str_add(out, hub);
    if (partition != NULL) {
        tmk_str_addf(out, "/Partitions/%s", partition);
    }
}

void tmk_names_management(const char *hub, tmk_str *out) {
    tmk_str_addf(out, "%s/$management", hub);
}

void tmk_names_audience(const char *host, uint16_t port, const char *path, tmk_str *out) {
    tmk_str_addf(out, "sb://%s", host);
    if (port != 0) {
        tmk_str_addf(out, ":%u", port);
    }
    tmk_str_addf(out, "/%s", path);
}

/* Past "scheme://authority" when there is one. */
static tmk_slice without_authority(tmk_slice text) {
    for (size_t i = 0; i + 2 < text.size; i++) {
        if (memcmp(text.bytes + i, "://", 3) == 0) {
            tmk_slice rest = tmk_slice_from(text, i + 3);

            (void)tmk_slice_cut(&rest, '/', NULL);
            return rest;
        }
        if (text.bytes[i] == '/') {
            break;
        }
    }
    return text;
}

tmk_slice tmk_names_path(tmk_slice address) {
    tmk_slice path = without_authority(address);

    while (path.size > 0 && path.bytes[0] == '/') {
        path = tmk_slice_from(path, 1);
    }
    while (path.size > 0 && path.bytes[path.size - 1] == '/') {
        path.size--;
    }
    return path;
}

/*
 * For the beginning the offset is used: "sequence > -1" was refused by hubs
 * that never had an event. "Latest" is never inclusive: there is no such event.
 */
void tmk_names_filter(const tmk_start *start, tmk_str *out) {
    const char *op = start->inclusive ? ">=" : ">";

    switch (start->kind) {
    case TMK_START_EARLIEST:
        tmk_str_add(out, "amqp.annotation.x-opt-offset > '-1'");
        break;
    case TMK_START_LATEST:
        tmk_str_add(out, "amqp.annotation.x-opt-offset > '@latest'");
        break;
    case TMK_START_SEQUENCE:
        tmk_str_addf(out, "amqp.annotation.x-opt-sequence-number %s '%" PRId64 "'", op,
                     start->sequence);
        break;
    case TMK_START_OFFSET:
        tmk_assert(strchr(start->offset, '\'') == NULL); /* tmk_start_offset() lets none in */
        tmk_str_addf(out, "amqp.annotation.x-opt-offset %s '%s'", op, start->offset);
        break;
    case TMK_START_TIME:
        tmk_str_addf(out, "amqp.annotation.x-opt-enqueued-time %s '%" PRId64 "'", op,
                     start->unix_ms);
        break;
    }
}

/* ---- the hash: Bob Jenkins' lookup3, hashlittle2 with both seeds 0 ---- */

static uint32_t turn(uint32_t v, unsigned bits) {
    return v << bits | v >> (32 - bits);
}

/* The next four bytes, little-endian, zeros past the end. */
static uint32_t take_word(tmk_slice *rest) {
    uint32_t v = 0;

    for (unsigned i = 0; i < 4 && i < rest->size; i++) {
        v |= (uint32_t)rest->bytes[i] << (8 * i);
    }
    *rest = tmk_slice_from(*rest, 4);
    return v;
}

static void mix(uint32_t *a, uint32_t *b, uint32_t *c) {
    static const uint8_t turns[] = {4, 6, 8, 16, 19, 4};

    for (size_t i = 0; i < sizeof turns; i++) {
        uint32_t old_a;

        *a = (*a - *c) ^ turn(*c, turns[i]);
        *c += *b;
        /* The three change places: what was b is a now. */
        old_a = *a;
        *a = *b;
        *b = *c;
        *c = old_a;
    }
}

static void finish(uint32_t *a, uint32_t *b, uint32_t *c) {
    *c = (*c ^ *b) - turn(*b, 14);
    *a = (*a ^ *c) - turn(*c, 11);
    *b = (*b ^ *a) - turn(*a, 25);
    *c = (*c ^ *b) - turn(*b, 16);
    *a = (*a ^ *c) - turn(*c, 4);
    *b = (*b ^ *a) - turn(*a, 14);
    *c = (*c ^ *b) - turn(*b, 24);
}

int16_t tmk_names_hash(tmk_slice key) {
    uint32_t a = 0xDEADBEEF + (uint32_t)key.size, b = a, c = a;
    bool any = key.size > 0;

    while (key.size > 12) {
        a += take_word(&key);
        b += take_word(&key);
        c += take_word(&key);
        mix(&a, &b, &c);
    }
    if (any) {
        a += take_word(&key);
        b += take_word(&key);
        c += take_word(&key);
        finish(&a, &b, &c);
    }
    return (int16_t)(uint16_t)(c ^ b);
}

uint32_t tmk_names_partition(tmk_slice key, uint32_t count) {
    int64_t rest;

    tmk_assert(count > 0);
    rest = (int64_t)tmk_names_hash(key) % (int64_t)count; /* keeps the sign of the hash */
    return (uint32_t)(rest < 0 ? -rest : rest);
}
