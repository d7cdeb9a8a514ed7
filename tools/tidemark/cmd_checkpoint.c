/*
 * tidemark checkpoint: looks at a group's checkpoints and changes them.
 *
 * What changes something is a dry run until --execute, says what it changes, and
 * writes the former state to an undo file that `checkpoint import` takes. A
 * partition that somebody holds is left alone unless --fence, which takes it
 * away from its owner: the owner's next write is refused.
 */
#include "commands.h"
#include "format.h"
#include "records.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { ANSWER_MS = 30000 };

typedef struct settings {
    cli_common common;
    const char *to, *partition, *undo;
    bool execute, fence, json;
} settings;

/* clang-format off */
static const cli_option options[] = {
    {CLI_HEADING, NULL, 0, NULL, NULL, "which, and what to do", 0, 0},
    {CLI_TEXT, "partition", offsetof(settings, partition), "N|all", NULL, "the partition, or all of them", 0, 0},
    {CLI_TEXT, "to", offsetof(settings, to), "earliest|latest|sequence:N|time:T", NULL, "set: the next event to be handled", 0, 0},
    {CLI_FLAG, "execute", offsetof(settings, execute), NULL, NULL, "do it; without it only say what would be done", 0, 0},
    {CLI_FLAG, "fence", offsetof(settings, fence), NULL, NULL, "also where an instance owns the partition: it loses it", 0, 0},
    {CLI_TEXT, "undo", offsetof(settings, undo), "FILE", NULL, "where the former state goes (tidemark-undo-TIME.jsonl)", 0, 0},
    {CLI_FLAG, "json", offsetof(settings, json), NULL, NULL, "list: JSON lines", 0, 0},
    CLI_STORE_OPTIONS(settings, common),
    CLI_CONNECTION_OPTIONS(settings, common),
    {CLI_END, NULL, 0, NULL, NULL, NULL, 0, 0},
};
/* clang-format on */

typedef struct job {
    const settings *s;
    cli_records r;
    FILE *undo;
    char undo_path[128];
    char token[37];
    int changed;
} job;

/* A change of one partition: the checkpoint to be. */
typedef struct change {
    const cli_row *row;
    bool sequence_known;
    int64_t sequence;
    char offset[TMK_STORE_OFFSET_MAX + 1];
} change;

static bool make_token(char out[37]) {
    uint8_t r[16];

    if (getrandom(r, sizeof r, 0) != sizeof r) {
        return false;
    }
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    (void)snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                   r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12],
                   r[13], r[14], r[15]);
    return true;
}

/* ---- listing ---- */

static void add_record(cli_buffer *b, const char *partition, const tmk_partition_record *record) {
    const tmk_checkpoint *c = record == NULL ? NULL : &record->checkpoint;
    const char *owner = record == NULL ? "" : record->owner;

    cli_addf(b, "{\"partition\":\"%s\",\"owner\":", partition);
    cli_add_json(b, (tmk_slice){(const uint8_t *)owner, strlen(owner)});
    cli_addf(b, ",\"generation\":%" PRId64, record == NULL ? 0 : record->generation);
    if (c == NULL || !c->present) {
        cli_add_text(b, ",\"sequence\":null,\"offset\":null}\n");
        return;
    }
    if (c->sequence_known) {
        cli_addf(b, ",\"sequence\":%" PRId64, c->sequence);
    } else {
        cli_add_text(b, ",\"sequence\":null");
    }
    cli_add_text(b, ",\"offset\":");
    cli_add_json(b, (tmk_slice){(const uint8_t *)c->offset, strlen(c->offset)});
    cli_add_text(b, "}\n");
}

static int print_records(FILE *to, const cli_records *r) {
    cli_buffer b = {NULL, 0, 0, false};
    bool good;

    for (size_t i = 0; i < r->hub->partition_count; i++) {
        add_record(&b, r->rows[i].partition, r->rows[i].record);
    }
    good = cli_put(&b, to) && fflush(to) == 0;
    cli_free(&b);
    return good ? 0 : cli_failed("cannot write: %s", strerror(errno));
}

static int list(job *j) {
    if (j->s->json) {
        return print_records(stdout, &j->r);
    }
    printf("%-9s  %-24s %10s %12s  %s\n", "partition", "owner", "generation", "sequence", "offset");
    for (size_t i = 0; i < j->r.hub->partition_count; i++) {
        const tmk_partition_record *record = j->r.rows[i].record;
        char sequence[24] = "-";
        if (record != NULL && record->checkpoint.present && record->checkpoint.sequence_known) {
            (void)snprintf(sequence, sizeof sequence, "%" PRId64, record->checkpoint.sequence);
        }
        printf("%-9s  %-24s %10" PRId64 " %12s  %s\n", j->r.rows[i].partition,
               record == NULL || record->owner[0] == '\0' ? "-" : record->owner,
               record == NULL ? 0 : record->generation, sequence,
               record == NULL || !record->checkpoint.present ? "-" : record->checkpoint.offset);
    }
    return 0;
}

/* ---- changing ---- */

static int open_undo(job *j) {
    const char *path = j->s->undo;

    if (!j->s->execute || j->undo != NULL) {
        return 0;
    }
    if (path == NULL) {
        (void)snprintf(j->undo_path, sizeof j->undo_path, "tidemark-undo-%" PRId64 ".jsonl",
                       (int64_t)time(NULL));
        path = j->undo_path;
    }
    j->undo = fopen(path, "wxe");
    if (j->undo == NULL) {
        return cli_failed("cannot make the undo file '%s': %s", path, strerror(errno));
    }
    printf("the former state goes to %s; `tidemark checkpoint import` takes it\n", path);
    return print_records(j->undo, &j->r);
}

static int refuse_owned(const job *j, const cli_row *row) {
    const tmk_partition_record *record = row->record;

    if (!cli_records_owned(&j->r, row)) {
        if (record != NULL && record->held) {
            printf("partition %s: '%s' has not renewed its claim for %" PRId64
                   " s and is taken for gone\n",
                   row->partition, record->owner, record->age_ms / 1000);
        }
        return 0;
    }
    if (!j->s->fence) {
        return cli_failed("partition %s is owned by '%s': stop that instance, or take the "
                          "partition from it by --fence",
                          row->partition, record->owner);
    }
    if (cli_records_shared(&j->r)) {
        fprintf(stderr,
                "tidemark: '%s' may be an official processor, which writes checkpoints without a "
                "condition: until it sees that it has lost partition %s, it may write over this\n",
                record->owner, row->partition);
    }
    return 0;
}

static int ask(job *j, const tmk_store_op *op, const char *partition, char version[128]) {
    tmk_store_result *result = NULL;
    tmk_error err = {.text = ""};
    tmk_status st = tmk_store_ask(j->r.store, op, &result, &err);

    if (st == TMK_OK && version != NULL) {
        (void)snprintf(version, 128, "%s", result->version);
    }
    tmk_store_result_free(result);
    if (st == TMK_CONFLICT) {
        return cli_failed("partition %s has changed meanwhile; look again", partition);
    }
    return st < 0 ? cli_error("the store has refused", &err) : 0;
}

/*
 * Claims the partition, writes the checkpoint to be (c NULL: leaves it), and gives the claim up. A
 * claim keeps the checkpoint that is there, so that none is lost when this fails half-way.
 */
static int write_record(job *j, const cli_row *row, const change *c) {
    const tmk_partition_record *before = row->record;
    tmk_partition_record record = {.id = row->partition,
                                   .owner = "tidemark-cli",
                                   .successor = "",
                                   .generation = before == NULL ? 1 : before->generation + 1};
    char version[TMK_STORE_VERSION_MAX + 1] = "";
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_CLAIM,
                       .id = row->partition,
                       .token = j->token,
                       .version = before == NULL ? "" : before->version,
                       .record = &record,
                       .take_over = before != NULL && before->held,
                       .timeout_ms = ANSWER_MS};
    int code, released;

    if (before != NULL) {
        record.checkpoint = before->checkpoint;
    }
    code = ask(j, &op, row->partition, version);
    if (code != 0) {
        return code;
    }
    op.take_over = false;
    if (c != NULL) {
        record.checkpoint = (tmk_checkpoint){.present = true,
                                             .sequence_known = c->sequence_known,
                                             .sequence = c->sequence,
                                             .offset = c->offset};
        op.kind = TMK_STORE_PARTITION_WRITE;
        op.version = version;
        code = ask(j, &op, row->partition, NULL);
    }
    record.owner = "";
    op.kind = TMK_STORE_PARTITION_RELEASE;
    op.version = "";
    released = ask(j, &op, row->partition, NULL);
    return code != 0 ? code : released;
}

static void describe(const tmk_checkpoint *c, char *out, size_t room) {
    if (c == NULL || !c->present) {
        (void)snprintf(out, room, "no checkpoint");
    } else if (c->sequence_known) {
        (void)snprintf(out, room, "sequence %" PRId64, c->sequence);
    } else {
        (void)snprintf(out, room, "offset %.60s", c->offset);
    }
}

static int apply(job *j, const change *c) {
    const tmk_partition_record *before = c->row->record;
    tmk_checkpoint after = {.present = true,
                            .sequence_known = c->sequence_known,
                            .sequence = c->sequence,
                            .offset = c->offset};
    char was[80], becomes[80];
    int code = refuse_owned(j, c->row);

    if (code != 0) {
        return code;
    }
    describe(before == NULL ? NULL : &before->checkpoint, was, sizeof was);
    describe(&after, becomes, sizeof becomes);
    printf("partition %s: %s -> %s%s\n", c->row->partition, was, becomes,
           cli_records_owned(&j->r, c->row) ? " (taken from its owner)" : "");
    if (!j->s->execute) {
        j->changed++;
        return 0;
    }
    code = open_undo(j);
    if (code == 0) {
        code = write_record(j, c->row, c);
    }
    j->changed += code == 0;
    return code;
}

/* ---- set ---- */

/* The event right before `next`: what a checkpoint names. */
static void before_event(job *j, int64_t next, change *c) {
    tmk_start start = tmk_start_sequence(next - 1, true);
    int64_t sequence = -1, enqueued_ms;

    c->sequence = next - 1;
    (void)snprintf(c->offset, sizeof c->offset, "-1");
    if (next <= c->row->facts.begin_sequence ||
        !cli_records_event(&j->r, c->row->partition, &start, &sequence, c->offset, &enqueued_ms) ||
        sequence != next - 1) {
        (void)snprintf(c->offset, sizeof c->offset, "-1"); /* nothing is there before it */
    }
}

static int resolve(job *j, const tmk_start *to, change *c) {
    const tmk_partition_facts *f = &c->row->facts;
    int64_t sequence = f->last_sequence + 1, enqueued_ms;

    c->sequence_known = true;
    switch (to->kind) {
    case TMK_START_EARLIEST:
        before_event(j, f->begin_sequence, c);
        break;
    case TMK_START_LATEST:
        c->sequence = f->last_sequence;
        (void)snprintf(c->offset, sizeof c->offset, "%s",
                       f->last_offset[0] == '\0' ? "-1" : f->last_offset);
        break;
    case TMK_START_SEQUENCE:
        if (to->sequence < 0 || to->sequence > f->last_sequence + 1) {
            return cli_failed("partition %s has no sequence number %" PRId64
                              ": it goes from %" PRId64 " to %" PRId64,
                              c->row->partition, to->sequence, f->begin_sequence, f->last_sequence);
        }
        before_event(j, to->sequence, c);
        break;
    case TMK_START_TIME:
        if (!cli_records_event(&j->r, c->row->partition, to, &sequence, c->offset, &enqueued_ms)) {
            sequence = f->last_sequence + 1; /* nothing came after that time */
        }
        before_event(j, sequence, c);
        break;
    default:
        return cli_usage("--to takes earliest, latest, sequence:N or time:T");
    }
    return 0;
}

static bool meant(const job *j, const cli_row *row) {
    return strcmp(j->s->partition, "all") == 0 || strcmp(j->s->partition, row->partition) == 0;
}

static int each(job *j, int (*one)(job *j, const cli_row *row, const void *arg), const void *arg) {
    int code = 0, found = 0;

    if (j->s->partition == NULL) {
        return cli_usage("say which: --partition N, or --partition all");
    }
    for (size_t i = 0; i < j->r.hub->partition_count && code == 0; i++) {
        if (meant(j, &j->r.rows[i])) {
            found++;
            code = one(j, &j->r.rows[i], arg);
        }
    }
    return code == 0 && found == 0 ? cli_failed("the hub has no partition '%s'", j->s->partition)
                                   : code;
}

static int set_one(job *j, const cli_row *row, const void *arg) {
    change c = {.row = row};
    int code = resolve(j, arg, &c);

    return code == 0 ? apply(j, &c) : code;
}

static int set(job *j) {
    tmk_start to;
    tmk_error err;

    if (j->s->to == NULL) {
        return cli_usage("say where to: --to earliest|latest|sequence:N|time:T");
    }
    if (tmk_start_parse(j->s->to, &to, &err) < 0) {
        return cli_error("--to", &err);
    }
    return each(j, set_one, &to);
}

/* ---- delete ---- */

static int delete_one(job *j, const cli_row *row, const void *arg) {
    tmk_store_op op = {
        .kind = TMK_STORE_PARTITION_DELETE, .id = row->partition, .timeout_ms = ANSWER_MS};
    int code = refuse_owned(j, row);

    (void)arg;
    if (code != 0 || row->record == NULL) {
        return code;
    }
    printf("partition %s: its record is deleted\n", row->partition);
    j->changed++;
    if (!j->s->execute) {
        return 0;
    }
    code = open_undo(j);
    return code == 0 ? ask(j, &op, row->partition, NULL) : code;
}

static int delete (job *j) {
    return each(j, delete_one, NULL);
}

/* ---- export and import ---- */

static int export(job *j) {
    return print_records(stdout, &j->r);
}

static const cli_row *row_of(const job *j, const char *partition) {
    for (size_t i = 0; partition != NULL && i < j->r.hub->partition_count; i++) {
        if (strcmp(j->r.rows[i].partition, partition) == 0) {
            return &j->r.rows[i];
        }
    }
    return NULL;
}

/* What a line says of a partition. */
typedef struct imported {
    const char *partition, *offset;
    json_t *sequence;
} imported;

/*
 * A line of an export, or the body of a checkpoint that the Event Processor Host or Functions kept
 * before 2020 ("PartitionId", "SequenceNumber"; the old Python one: "partition_id"): offset "-1" or
 * none beside sequence number 0 stood for nothing done there.
 */
static imported read_line(json_t *o) {
    imported i = {json_string_value(json_object_get(o, "partition")),
                  json_string_value(json_object_get(o, "offset")), json_object_get(o, "sequence")};
    bool old = i.partition == NULL;

    if (old && json_object_get(o, "PartitionId") != NULL) {
        i.partition = json_string_value(json_object_get(o, "PartitionId"));
        i.offset = json_string_value(json_object_get(o, "Offset"));
        i.sequence = json_object_get(o, "SequenceNumber");
    } else if (old) {
        i.partition = json_string_value(json_object_get(o, "partition_id"));
        i.sequence = json_object_get(o, "sequence_number");
    }
    if (old && i.offset != NULL && i.offset[0] == '\0') {
        i.offset = NULL;
    }
    if (old && json_integer_value(i.sequence) == 0 &&
        (i.offset == NULL || strcmp(i.offset, "-1") == 0)) {
        i.offset = NULL;
        i.sequence = NULL;
    }
    return i;
}

static int import_line(job *j, const char *line, int number) {
    json_error_t where;
    json_t *o = json_loads(line, 0, &where);
    imported i = read_line(o);
    change c = {.row = row_of(j, i.partition)};
    int code = 0;

    if (c.row == NULL) {
        code = cli_failed("line %d: %s", number,
                          o == NULL ? where.text : "the hub has no such partition");
    } else if (json_is_integer(i.sequence) || i.offset != NULL) {
        c.sequence_known = json_is_integer(i.sequence);
        c.sequence = json_integer_value(i.sequence);
        if (i.offset != NULL) {
            (void)snprintf(c.offset, sizeof c.offset, "%s", i.offset);
        } else { /* other SDKs go by the offset: it is that of the event */
            before_event(j, c.sequence + 1, &c);
        }
        code = apply(j, &c);
    } else if (c.row->record != NULL) {
        code = delete_one(j, c.row, NULL);
    }
    json_decref(o);
    return code;
}

static int import(job *j) {
    char *line = NULL;
    size_t room = 0;
    int code = 0;

    for (int number = 1; code == 0 && getline(&line, &room, stdin) > 0; number++) {
        code = import_line(j, line, number);
    }
    free(line);
    return code;
}

/* ---- unlock ---- */

static bool lives(const job *j, const cli_row *row) {
    return cli_records_shared(&j->r) ? cli_records_owned(&j->r, row)
                                     : cli_records_alive(&j->r, row->record->owner);
}

/* Frees partitions whose owner does not live any more: what a fleet that died whole has left. */
static int unlock(job *j) {
    int code = 0;

    for (size_t i = 0; i < j->r.hub->partition_count && code == 0; i++) {
        const cli_row *row = &j->r.rows[i];
        const tmk_partition_record *record = row->record;
        if (record == NULL || !record->held || (j->s->partition != NULL && !meant(j, row))) {
            continue;
        }
        if (lives(j, row) && !j->s->fence) {
            printf("partition %s: its owner '%s' lives; left alone\n", row->partition,
                   record->owner);
            continue;
        }
        printf("partition %s: freed from '%s'\n", row->partition, record->owner);
        j->changed++;
        if (j->s->execute) {
            code = write_record(j, row, NULL);
        }
    }
    return code;
}

static const struct {
    const char *name;
    int (*run)(job *j);
    bool changes;
    const char *what;
} actions[] = {
    {"list", list, false, "all checkpoints and owners"},
    {"set", set, true, "moves checkpoints: --to, --partition"},
    {"delete", delete, true, "removes records: --partition"},
    {"export", export, false, "all records as JSON lines"},
    {"import", import, true,
     "sets what an export, an undo file or an Event Processor Host's checkpoint says, from "
     "standard input"},
    {"unlock", unlock, true, "frees partitions whose owner does not live any more"},
};

static int help(void) {
    puts("usage: tidemark checkpoint ACTION [OPTIONS]\n");
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        printf("  %-8s %s\n", actions[i].name, actions[i].what);
    }
    cli_help(options);
    return 0;
}

int cmd_checkpoint(int argc, char **argv) {
    settings s = {0};
    job j = {.s = &s, .r = {.without_times = true}};
    const char *name = NULL;
    int count = cli_parse(options, &s, argc, argv, &name, 1);
    size_t action = 0;
    int code;

    if (count == -1) {
        return help();
    }
    if (count < 1) {
        return count == 0
                   ? cli_usage(
                         "checkpoint needs an action: list, set, delete, export, import or unlock")
                   : 2;
    }
    while (action < sizeof actions / sizeof actions[0] && strcmp(actions[action].name, name) != 0) {
        action++;
    }
    if (action == sizeof actions / sizeof actions[0]) {
        return cli_usage("there is no action '%s'; list, set, delete, export, import, unlock",
                         name);
    }
    code =
        make_token(j.token) ? cli_records_open(&j.r, &s.common) : cli_failed("no random numbers");
    if (code == 0) {
        code = cli_records_read(&j.r, 0);
    }
    if (code == 0) {
        code = actions[action].run(&j);
    }
    if (code == 0 && actions[action].changes) {
        printf(s.execute ? "%d changed\n" : "%d would be changed; --execute does it\n", j.changed);
    }
    if (j.undo != NULL) {
        fclose(j.undo);
    }
    cli_records_close(&j.r);
    return code;
}
