/*
 * The records of a group, and the hub's partitions beside them: what status and
 * checkpoint look at.
 */
#ifndef TIDEMARK_TOOL_RECORDS_H
#define TIDEMARK_TOOL_RECORDS_H

#include "common.h"

#include <tidemark/consumer.h>
#include <tidemark/management.h>

typedef struct cli_row {
    const char *partition;
    const tmk_partition_record *record; /* NULL: the store has none */
    tmk_partition_facts facts;
    int64_t lag_events; /* -1: not known */
    int64_t lag_ms;     /* age of the first event that is not final; 0: none; -1: not known */
    int64_t oldest_ms;  /* when that event was enqueued, since 1970; -1: none, or not known */
    int64_t to_loss_ms; /* -1: not known */
    int64_t lost;       /* removed by retention before they were read */
} cli_row;

typedef struct cli_records {
    tmk_client *client;
    tmk_store store;
    const char *group;
    bool without_times; /* do not read events to tell how old they are */
    tmk_hub_facts *hub;
    tmk_store_result *list;    /* of all partitions */
    tmk_store_result *members; /* NULL where the store has none */
    cli_row *rows;             /* one for each of the hub's partitions */
} cli_records;

/* Connects and reads; returns an exit code. retention_ms: 0: not known. */
int cli_records_open(cli_records *r, const cli_common *common);
int cli_records_read(cli_records *r, int64_t retention_ms);
void cli_records_close(cli_records *r);

/* The group is run in the official SDKs' way. */
bool cli_records_shared(const cli_records *r);

/* Somebody holds it; an official owner that has not renewed for two minutes does not. */
bool cli_records_owned(const cli_records *r, const cli_row *row);

/* Is this owner among the members that live? */
bool cli_records_alive(const cli_records *r, const char *owner);

/* The event at `sequence` or the first one after it, copied out; false: there is none. */
bool cli_records_event(const cli_records *r, const char *partition, const tmk_start *start,
                       int64_t *sequence, char offset[128], int64_t *enqueued_ms);

#endif
