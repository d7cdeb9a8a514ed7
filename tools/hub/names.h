/*
 * The texts by which peers name things: addresses, start positions, token
 * audiences, partition keys.
 *
 * Pure. Lenient where the SDKs differ from one another, strict elsewhere.
 * Results are views into the text that was given.
 */
#ifndef TMK_HUB_NAMES_H
#define TMK_HUB_NAMES_H

#include "base/str.h"

typedef enum tmk_hub_place_kind {
    TMK_HUB_PLACE_NONE = 0,   /* no text at all */
    TMK_HUB_PLACE_CBS,        /* "$cbs" */
    TMK_HUB_PLACE_MANAGEMENT, /* "$management", "<hub>/$management" */
    TMK_HUB_PLACE_HUB,        /* "<hub>" */
    TMK_HUB_PLACE_PARTITION,  /* "<hub>/Partitions/<id>" */
    TMK_HUB_PLACE_PUBLISHER,  /* "<hub>/Publishers/<name>" */
    TMK_HUB_PLACE_READER,     /* "<hub>/ConsumerGroups/<group>/Partitions/<id>" */
    TMK_HUB_PLACE_OTHER       /* nothing we know */
} tmk_hub_place_kind;

typedef struct tmk_hub_place {
    tmk_hub_place_kind kind;
    tmk_slice hub, group, partition, publisher;
    tmk_slice path; /* all of it, without scheme, authority and leading slashes */
} tmk_hub_place;

/* "amqps://host/hub/..." , "/hub/..." and "hub/..." are the same. */
tmk_hub_place tmk_hub_place_parse(tmk_slice address);

typedef enum tmk_hub_from_kind {
    TMK_HUB_FROM_EARLIEST = 0,
    TMK_HUB_FROM_LATEST,
    TMK_HUB_FROM_OFFSET,
    TMK_HUB_FROM_SEQUENCE,
    TMK_HUB_FROM_TIME
} tmk_hub_from_kind;

typedef struct tmk_hub_from {
    tmk_hub_from_kind kind;
    bool inclusive;
    int64_t number;   /* SEQUENCE, TIME (milliseconds since 1970) */
    tmk_slice offset; /* OFFSET */
} tmk_hub_from;

/* A selector, "amqp.annotation.x-opt-offset > '@latest'", in any SDK's spelling. */
bool tmk_hub_from_parse(tmk_slice selector, tmk_hub_from *out);

/* The partition a key belongs to, among `count` > 0. */
uint32_t tmk_hub_key_partition(tmk_slice key, uint32_t count);

/* Appends the path of an audience in lower case, without scheme, authority and outer slashes. */
void tmk_hub_audience_add(tmk_str *out, tmk_slice audience);
/* Does a token for the path `holder` speak for `path`? Both as tmk_hub_audience_add() makes them.
 */
bool tmk_hub_audience_covers(tmk_slice holder, tmk_slice path);

/* 1 to 256 of letters, digits, '-', '_', '.', and not starting with a dot. */
bool tmk_hub_name_ok(tmk_slice name);

#endif
