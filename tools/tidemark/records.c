/* Records of a group beside the facts of its hub. See records.h. */
#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* An official owner that has not renewed for so long is taken for dead: they all renew within half
 * a minute or so, and each other's claims after two minutes at most. */
enum { ANSWER_MS = 30000, EVENT_MS = 5000, OWNED_FRESH_MS = 120000 };

int cli_records_open(cli_records *r, const cli_common *common) {
    int code = cli_client(common, NULL, NULL, &r->client);

    r->group = common->group == NULL ? "$Default" : common->group;
    if (code == 0) {
        code = cli_store_found(common, tmk_client_host(r->client), tmk_client_hub(r->client),
                               r->group, &r->store);
    }
    return code;
}

static void forget(cli_records *r) {
    tmk_hub_facts_free(r->hub);
    tmk_store_result_free(r->list);
    tmk_store_result_free(r->members);
    free(r->rows);
    r->hub = NULL;
    r->list = r->members = NULL;
    r->rows = NULL;
}

bool cli_records_shared(const cli_records *r) {
    return r->store.ops->claims(r->store.self) == 1u << TMK_CLAIMS_SHARED;
}

bool cli_records_owned(const cli_records *r, const cli_row *row) {
    return row->record != NULL && row->record->held &&
           !(cli_records_shared(r) && row->record->age_ms >= OWNED_FRESH_MS);
}

void cli_records_close(cli_records *r) {
    forget(r);
    if (r->store.ops != NULL) {
        tmk_store_free(r->store);
    }
    tmk_client_free(r->client);
}

bool cli_records_event(const cli_records *r, const char *partition, const tmk_start *start,
                       int64_t *sequence, char offset[128], int64_t *enqueued_ms) {
    tmk_consumer_options o;
    tmk_consumer *consumer = NULL;
    tmk_received *got = NULL;
    bool found = false;

    tmk_consumer_options_init(&o);
    o.partition = partition;
    o.group = r->group;
    o.start = *start;
    o.prefetch = 1;
    o.name = "tidemark-status";
    if (tmk_consumer_new(r->client, &o, &consumer, NULL) >= 0 &&
        tmk_consumer_receive(consumer, 1, EVENT_MS, &got, NULL) == TMK_OK) {
        const tmk_event *e = tmk_received_event(got, 0);
        tmk_slice text = tmk_event_offset(e);
        *sequence = tmk_event_sequence(e);
        *enqueued_ms = tmk_event_enqueued_ms(e);
        (void)snprintf(offset, 128, "%.*s", (int)text.size, (const char *)text.bytes);
        found = true;
    }
    tmk_received_free(got);
    tmk_consumer_free(consumer);
    return found;
}

bool cli_records_alive(const cli_records *r, const char *owner) {
    for (size_t i = 0; r->members != NULL && i < r->members->member_count; i++) {
        const tmk_member_record *m = &r->members->members[i];
        if (strcmp(m->id, owner) == 0) {
            return m->alive && !m->evicted;
        }
    }
    return false;
}

static const tmk_partition_record *record_of(const cli_records *r, const char *partition) {
    for (size_t i = 0; i < r->list->partition_count; i++) {
        if (strcmp(r->list->partitions[i].id, partition) == 0) {
            return &r->list->partitions[i];
        }
    }
    return NULL;
}

static int64_t wall_ms(void) {
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void take_oldest(cli_row *row, int64_t enqueued_ms, int64_t retention_ms) {
    int64_t age = wall_ms() - enqueued_ms;

    row->lag_ms = age > 0 ? age : 0;
    row->oldest_ms = enqueued_ms;
    if (retention_ms > 0) {
        row->to_loss_ms = retention_ms > row->lag_ms ? retention_ms - row->lag_ms : 0;
    }
}

/* How old the oldest waiting event is tells the hub when it is the last one too. Else it must be
 * read, which the hub allows nobody while an owner reads with its level. */
static void measure(const cli_records *r, cli_row *row, int64_t retention_ms) {
    const tmk_partition_facts *f = &row->facts;
    bool known = row->record != NULL && row->record->checkpoint.present &&
                 row->record->checkpoint.sequence_known;
    int64_t done = known ? row->record->checkpoint.sequence : f->begin_sequence - 1;
    int64_t sequence, enqueued_ms;
    char offset[128];

    row->lag_ms = row->to_loss_ms = row->oldest_ms = -1;
    row->lost = known && done + 1 < f->begin_sequence ? f->begin_sequence - done - 1 : 0;
    done += row->lost;
    row->lag_events =
        f->last_sequence < 0 || f->last_sequence <= done ? 0 : f->last_sequence - done;
    if (row->lag_events == 0) {
        row->lag_ms = 0;
        return;
    }
    if (row->lag_events == 1) {
        take_oldest(row, f->last_enqueued_ms, retention_ms);
        return;
    }
    if (r->without_times || cli_records_owned(r, row)) {
        return;
    }
    tmk_start next = tmk_start_sequence(done + 1, true);
    if (cli_records_event(r, row->partition, &next, &sequence, offset, &enqueued_ms)) {
        take_oldest(row, enqueued_ms, retention_ms);
    }
}

int cli_records_read(cli_records *r, int64_t retention_ms) {
    tmk_store_op list = {.kind = TMK_STORE_PARTITION_LIST, .id = "", .timeout_ms = ANSWER_MS};
    tmk_store_op members = {.kind = TMK_STORE_MEMBER_LIST, .id = "", .timeout_ms = ANSWER_MS};
    tmk_error err;

    forget(r);
    if (tmk_client_hub_facts_wait(r->client, ANSWER_MS, &r->hub, &err) < 0) {
        return cli_error("cannot read the hub's properties", &err);
    }
    if (tmk_store_ask(r->store, &list, &r->list, &err) != TMK_OK) {
        return cli_error("cannot read the store", &err);
    }
    if (tmk_store_ask(r->store, &members, &r->members, &err) != TMK_OK) {
        r->members =
            tmk_store_result_free(r->members); /* a group of the official processors has none */
    }
    r->rows = calloc(r->hub->partition_count + 1, sizeof *r->rows);
    if (r->rows == NULL) {
        return cli_failed("out of memory");
    }
    for (size_t i = 0; i < r->hub->partition_count; i++) {
        cli_row *row = &r->rows[i];
        row->partition = r->hub->partitions[i];
        row->record = record_of(r, row->partition);
        if (tmk_client_partition_facts_wait(r->client, row->partition, ANSWER_MS, &row->facts,
                                            &err) < 0) {
            return cli_error("cannot read a partition's properties", &err);
        }
        measure(r, row, retention_ms);
    }
    return 0;
}
