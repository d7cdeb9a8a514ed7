/* Records and metadata. */
#include "checkpoint/blob_record.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/status.h"

enum { META_MAX_BYTES = 7 * 1024 };

/*
 * Our own texts as header values: blanks at the ends would be cut off, so they are escaped, and
 * with them what no header can hold.
 */
static void add_value(tmk_str *out, const char *text) {
    size_t size = strlen(text);

    for (size_t i = 0; i < size; i++) {
        uint8_t c = (uint8_t)text[i];
        bool plain = c > ' ' && c <= '~' && c != '%';
        if (plain || (c == ' ' && i > 0 && i + 1 < size)) {
            tmk_str_add_char(out, (char)c);
        } else {
            tmk_str_addf(out, "%%%02X", c);
        }
    }
}

static void put_escaped(tmk_blob_meta *m, const char *name, const char *text) {
    tmk_str value = TMK_STR_INIT;

    add_value(&value, text == NULL ? "" : text);
    tmk_blob_meta_add(m, tmk_slice_str(name), tmk_str_slice(&value));
    m->text.failed = m->text.failed || value.failed;
    tmk_str_clear(&value);
}

static void put(tmk_blob_meta *m, const char *name, const char *value) {
    tmk_blob_meta_add(m, tmk_slice_str(name), tmk_slice_str(value));
}

static void put_number(tmk_blob_meta *m, const char *name, int64_t number) {
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRId64, number);
    put(m, name, text);
}

static const char *text_of(const tmk_blob_meta *m, const char *name) {
    const char *value = tmk_blob_meta_get(m, name);

    return value == NULL ? "" : value;
}

/* A text of ours; one with bad escapes stands for itself. */
static void get_escaped(const tmk_blob_meta *m, const char *name, tmk_str *out) {
    tmk_slice value = tmk_slice_str(text_of(m, name));

    tmk_str_reset(out);
    if (!tmk_str_add_unpercent(out, value) && !out->failed) {
        tmk_str_add_slice(out, value);
    }
}

static int64_t generation_of(const tmk_blob_meta *m) {
    int64_t generation;

    return tmk_slice_int64(tmk_slice_str(text_of(m, "tidemarkgeneration")), &generation) &&
                   generation >= 0
               ? generation
               : 0;
}

/* ---- checkpoints ---- */

/*
 * .NET writes "no offset", Python "None" and all of them "" for what they do not know. A blob that
 * only holds a claim carries -1 and -1, so that nobody stumbles over missing keys, and
 * "tidemarknone", so that we do not take it for a checkpoint.
 */
static tmk_checkpoint read_checkpoint(const tmk_blob_meta *m) {
    tmk_checkpoint c = {.offset = text_of(m, "offset")};

    c.sequence_known = tmk_slice_int64(tmk_slice_str(text_of(m, "sequencenumber")), &c.sequence) &&
                       c.sequence >= -1;
    if (!c.sequence_known) {
        c.sequence = 0;
    }
    if (tmk_slice_eq_nocase(tmk_slice_str(c.offset), TMK_LIT("no offset")) ||
        strcmp(c.offset, "None") == 0 ||
        (strcmp(c.offset, "-1") == 0 && c.sequence_known && c.sequence == -1)) {
        c.offset = "";
    }
    c.present =
        (c.sequence_known || c.offset[0] != '\0') && tmk_blob_meta_get(m, "tidemarknone") == NULL;
    if (!c.present) {
        c = (tmk_checkpoint){.offset = ""};
    }
    return c;
}

static void write_checkpoint(tmk_blob_meta *m, const tmk_checkpoint *c) {
    const char *offset = c->offset == NULL ? "" : c->offset;

    if (!c->present) {
        put(m, "sequencenumber", "-1");
        put(m, "offset", "-1");
        put(m, "tidemarknone", "1");
        return;
    }
    if (c->sequence_known) {
        put_number(m, "sequencenumber", c->sequence);
    } else {
        put(m, "sequencenumber", "");
    }
    put(m, "offset", offset[0] == '\0' && c->sequence_known && c->sequence == -1 ? "-1" : offset);
}

tmk_status tmk_blob_partition_read(tmk_blob_partition *p, const tmk_blob_meta *m) {
    get_escaped(m, "tidemarkowner", &p->owner);
    get_escaped(m, "tidemarksuccessor", &p->successor);
    p->record = (tmk_partition_record){.id = "",
                                       .owner = tmk_str_text(&p->owner),
                                       .successor = tmk_str_text(&p->successor),
                                       .generation = generation_of(m),
                                       .version = "",
                                       .checkpoint = read_checkpoint(m)};
    p->done_mark = text_of(m, "tidemarkdone");
    p->token = text_of(m, "tidemarktoken");
    return p->owner.failed || p->successor.failed ? TMK_ENOMEM : TMK_OK;
}

void tmk_blob_partition_clear(tmk_blob_partition *p) {
    tmk_str_clear(&p->owner);
    tmk_str_clear(&p->successor);
    *p = (tmk_blob_partition){0};
}

void tmk_blob_partition_write(tmk_blob_meta *m, const tmk_partition_record *record,
                              const char *done_mark, const char *token) {
    tmk_blob_meta_reset(m);
    write_checkpoint(m, &record->checkpoint);
    put_number(m, "tidemarkgeneration", record->generation);
    if (record->owner != NULL && record->owner[0] != '\0') {
        put_escaped(m, "clientidentifier", record->owner);
        put_escaped(m, "tidemarkowner", record->owner);
    }
    if (record->successor != NULL && record->successor[0] != '\0') {
        put_escaped(m, "tidemarksuccessor", record->successor);
    }
    if (done_mark[0] != '\0') {
        put(m, "tidemarkdone", done_mark);
    }
    if (token != NULL && token[0] != '\0') {
        put(m, "tidemarktoken", token);
    }
}

void tmk_blob_done_mark(tmk_slice done_map, char out[TMK_BLOB_MARK_ROOM]) {
    uint64_t hash = UINT64_C(14695981039346656037);

    out[0] = '\0';
    for (size_t i = 0; i < done_map.size; i++) {
        hash = (hash ^ done_map.bytes[i]) * UINT64_C(1099511628211);
    }
    if (done_map.size > 0) {
        (void)snprintf(out, TMK_BLOB_MARK_ROOM, "%zu-%016" PRIx64, done_map.size, hash);
    }
}

/* ---- ownership ---- */

tmk_status tmk_blob_ownership_read(tmk_blob_ownership *o, const tmk_blob_meta *m) {
    const char *ours = tmk_blob_meta_get(m, "tidemarktoken");

    o->token = ours == NULL ? "" : ours;
    o->generation = generation_of(m);
    get_escaped(m, "tidemarksuccessor", &o->successor);
    if (ours != NULL) {
        get_escaped(m, "ownerid", &o->owner);
    } else {
        tmk_str_reset(&o->owner);
        tmk_str_add(&o->owner, text_of(m, "ownerid"));
    }
    return o->owner.failed || o->successor.failed ? TMK_ENOMEM : TMK_OK;
}

void tmk_blob_ownership_clear(tmk_blob_ownership *o) {
    tmk_str_clear(&o->owner);
    tmk_str_clear(&o->successor);
    *o = (tmk_blob_ownership){0};
}

/* "ownerid" comes always, also empty: a relinquished partition, in the way of the official SDKs. */
void tmk_blob_ownership_write(tmk_blob_meta *m, const tmk_partition_record *record,
                              const char *token) {
    tmk_blob_meta_reset(m);
    put_escaped(m, "ownerid", record->owner);
    put_number(m, "tidemarkgeneration", record->generation);
    put(m, "tidemarktoken", token);
    if (record->successor != NULL && record->successor[0] != '\0') {
        put_escaped(m, "tidemarksuccessor", record->successor);
    }
}

/* ---- members ---- */

tmk_status tmk_blob_member_read(tmk_blob_member *b, const tmk_blob_meta *m) {
    get_escaped(m, "tidemarkbody", &b->body);
    b->token = text_of(m, "tidemarktoken");
    b->evicted = tmk_blob_meta_get(m, "tidemarkevicted") != NULL;
    return b->body.failed ? TMK_ENOMEM : TMK_OK;
}

void tmk_blob_member_clear(tmk_blob_member *b) {
    tmk_str_clear(&b->body);
    *b = (tmk_blob_member){0};
}

tmk_status tmk_blob_member_write(tmk_blob_meta *m, const char *token, const char *body,
                                 bool evicted, tmk_error *err) {
    tmk_blob_meta_reset(m);
    put(m, "tidemarktoken", token);
    put_escaped(m, "tidemarkbody", body);
    if (evicted) {
        put(m, "tidemarkevicted", "1");
    }
    if (m->text.failed) {
        return tmk_fail_retry(err, TMK_ENOMEM, "blob", "no memory for a member's metadata");
    }
    if (m->text.size > META_MAX_BYTES) {
        return tmk_fail(err, TMK_ELIMIT, "blob",
                        "a member's body of %zu bytes needs more than metadata can hold",
                        strlen(body));
    }
    return TMK_OK;
}

int64_t tmk_blob_age_ms(tmk_wall last_modified, tmk_wall date) {
    return last_modified.us == 0 || date.us <= last_modified.us
               ? 0
               : (date.us - last_modified.us) / 1000;
}
