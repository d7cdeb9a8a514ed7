/* Records as JSON text, and ids as file names. */
#include "checkpoint/file_format.h"

#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "base/status.h"
#include "checkpoint/names.h"

enum { LEASE_MAX_MS = 24 * 3600 * 1000 };
#define AGE_MAX_MS (INT64_C(10) * 365 * 24 * 3600 * 1000)

/* ---- names ---- */

void tmk_file_name_add(tmk_str *out, const char *id) {
    tmk_name_add(out, tmk_slice_str(id));
    tmk_str_add(out, ".json");
}

void tmk_file_folder_add(tmk_str *out, const char *text) {
    tmk_str lower = TMK_STR_INIT;

    tmk_lower_add(&lower, tmk_slice_str(text));
    tmk_name_add(out, tmk_str_slice(&lower));
    out->failed = out->failed || lower.failed;
    tmk_str_clear(&lower);
}

bool tmk_file_name_id(const char *name, tmk_str *id) {
    tmk_slice whole = tmk_slice_str(name);

    if (!tmk_slice_ends(whole, TMK_LIT(".json"))) {
        return false;
    }
    whole.size -= strlen(".json");
    return tmk_name_text(whole, id);
}

/* ---- reading ---- */

/* One object under inspection: the first thing wrong with it is remembered. */
typedef struct reader {
    json_t *object;
    const char *wrong; /* a field's name, or NULL */
} reader;

static const char *text_field(reader *r, const json_t *object, const char *key, size_t size_max) {
    const char *text = json_string_value(json_object_get(object, key));

    if (text == NULL || !tmk_store_text_is_printable(text, size_max)) {
        r->wrong = r->wrong == NULL ? key : r->wrong;
        return "";
    }
    return text;
}

static int64_t int_field(reader *r, const json_t *object, const char *key, int64_t min) {
    const json_t *number = json_object_get(object, key);

    if (!json_is_integer(number) || json_integer_value(number) < min) {
        r->wrong = r->wrong == NULL ? key : r->wrong;
        return min;
    }
    return json_integer_value(number);
}

static bool bool_field(reader *r, const json_t *object, const char *key) {
    const json_t *flag = json_object_get(object, key);

    if (!json_is_boolean(flag)) {
        r->wrong = r->wrong == NULL ? key : r->wrong;
    }
    return json_is_true(flag);
}

static const char *token_field(reader *r) {
    const char *token = text_field(r, r->object, "token", 36);

    if (token[0] != '\0' && !tmk_store_text_is_uuid(token)) {
        r->wrong = r->wrong == NULL ? "token" : r->wrong;
    }
    return token;
}

static bool number_of(tmk_slice text, unsigned base, uint64_t *out) {
    uint64_t value = 0;

    for (size_t i = 0; i < text.size; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit = text.bytes[i] == '\0' ? NULL : strchr(digits, text.bytes[i]);
        if (digit == NULL || (unsigned)(digit - digits) >= base ||
            __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, (uint64_t)(digit - digits), &value)) {
            return false;
        }
    }
    *out = value;
    return text.size > 0;
}

static tmk_entry_version version_field(reader *r) {
    tmk_slice rest = tmk_slice_str(text_field(r, r->object, "version", TMK_ENTRY_VERSION_ROOM));
    tmk_entry_version v = {0, 0};
    bool found;
    tmk_slice birth = tmk_slice_cut(&rest, '.', &found);

    if (!found || !number_of(birth, 16, &v.birth) || !number_of(rest, 10, &v.count)) {
        r->wrong = r->wrong == NULL ? "version" : r->wrong;
    }
    return v;
}

static bool is_this_boot(reader *r, const tmk_file_moment *at) {
    return strcmp(text_field(r, r->object, "boot", 64), at->boot) == 0;
}

/* Files of versions before this field have none: then only the lease tells. */
static bool can_live(reader *r, const tmk_file_moment *at) {
    const json_t *process = json_object_get(r->object, "process");

    return is_this_boot(r, at) &&
           (at->gone == NULL || !json_is_string(process) || !at->gone(json_string_value(process)));
}

/* When it was written, on this boot's clock; before its beginning where an earlier boot did. */
static tmk_time written_field(reader *r, const tmk_file_moment *at) {
    tmk_slice text = tmk_slice_str(text_field(r, r->object, "written", 64));
    int64_t ms = int_field(r, r->object, "written_ms", 0);
    int64_t age_ms;
    tmk_wall wall;

    if (is_this_boot(r, at)) {
        return tmk_time_min(at->now, ms > INT64_MAX / TMK_MS ? at->now : ms * TMK_MS);
    }
    if (tmk_iso_parse(text, &wall, NULL) != TMK_OK) {
        r->wrong = r->wrong == NULL ? "written" : r->wrong;
        return at->now;
    }
    age_ms = wall.us >= at->wall.us ? 0 : (at->wall.us - wall.us) / 1000;
    return at->now - (age_ms > AGE_MAX_MS ? AGE_MAX_MS : age_ms) * TMK_MS;
}

static tmk_status open_object(reader *r, tmk_slice text, const char *kind, const char *id,
                              tmk_error *err) {
    json_error_t why;

    r->wrong = NULL;
    r->object = json_loadb((const char *)text.bytes, text.size, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(r->object)) {
        json_decref(r->object);
        r->object = NULL;
        return tmk_fail(err, TMK_EPROTO, "file:damaged", "the record of %s '%s' is no JSON object",
                        kind, id);
    }
    if (strcmp(text_field(r, r->object, "kind", 16), kind) != 0) {
        r->wrong = "kind";
    } else if (strcmp(text_field(r, r->object, "id", TMK_STORE_ID_MAX), id) != 0) {
        r->wrong = "id";
    }
    return TMK_OK;
}

static tmk_status close_object(reader *r, const char *kind, const char *id, tmk_error *err) {
    json_decref(r->object);
    if (r->wrong == NULL) {
        return TMK_OK;
    }
    return tmk_fail(err, TMK_EPROTO, "file:damaged",
                    "the record of %s '%s' has a missing or wrong \"%s\"", kind, id, r->wrong);
}

static tmk_status no_memory(tmk_error *err) {
    return tmk_fail_retry(err, TMK_ENOMEM, "store", "no memory for a record");
}

tmk_status tmk_file_read_member(tmk_slice text, const char *id, const tmk_file_moment *at,
                                tmk_member_entry *out, tmk_error *err) {
    tmk_member_entry e = {0};
    reader r;
    tmk_status st = open_object(&r, text, "member", id, err);
    const char *token, *body;
    int64_t end_ms, end_max_ms;
    bool enough;

    if (st < 0) {
        return st;
    }
    token = token_field(&r);
    body = text_field(&r, r.object, "body", TMK_STORE_BODY_MAX);
    end_ms = int_field(&r, r.object, "lease_end_ms", 0);
    end_max_ms = at->now / TMK_MS + LEASE_MAX_MS;
    e.present = true;
    e.evicted = bool_field(&r, r.object, "evicted");
    e.written = written_field(&r, at);
    e.gone = !can_live(&r, at);
    e.lease_end = e.gone ? 0 : (end_ms < end_max_ms ? end_ms : end_max_ms) * TMK_MS;
    enough = tmk_member_entry_set(&e, token, body) == TMK_OK;
    st = close_object(&r, "member", id, err);
    if (st < 0 || !enough) {
        tmk_member_entry_clear(&e);
        return st < 0 ? st : no_memory(err);
    }
    *out = e;
    return TMK_OK;
}

tmk_status tmk_file_read_call(tmk_slice text, const char *id, tmk_call_entry *out, tmk_error *err) {
    reader r;
    tmk_status st = open_object(&r, text, "call", id, err);
    tmk_call_entry e = {.present = true};

    if (st < 0) {
        return st;
    }
    e.version = version_field(&r);
    st = close_object(&r, "call", id, err);
    if (st == TMK_OK) {
        *out = e;
    }
    return st;
}

static void read_checkpoint(reader *r, tmk_checkpoint *out, tmk_str *done_map) {
    const json_t *c = json_object_get(r->object, "checkpoint");
    const char *map = json_string_value(json_object_get(c, "done_map"));

    if (json_is_null(c)) {
        return;
    }
    out->present = true;
    out->offset = text_field(r, c, "offset", TMK_STORE_OFFSET_MAX);
    out->sequence_known = !json_is_null(json_object_get(c, "sequence"));
    out->sequence = out->sequence_known ? int_field(r, c, "sequence", -1) : 0;
    if (map == NULL || !tmk_str_add_unbase64(done_map, tmk_slice_str(map)) ||
        done_map->size > TMK_STORE_DONE_MAP_MAX) {
        r->wrong = r->wrong == NULL ? "done_map" : r->wrong;
    }
    out->done_map = tmk_str_slice(done_map);
}

tmk_status tmk_file_read_partition(tmk_slice text, const char *id, const tmk_file_moment *at,
                                   tmk_partition_entry *out, tmk_error *err) {
    tmk_partition_record record = {.checkpoint = {.offset = ""}};
    tmk_partition_entry e = {.present = true};
    tmk_str done_map = TMK_STR_INIT;
    const char *token;
    reader r;
    tmk_status st = open_object(&r, text, "partition", id, err);
    bool enough;

    if (st < 0) {
        return st;
    }
    record.owner = text_field(&r, r.object, "owner", TMK_STORE_ID_MAX);
    record.successor = text_field(&r, r.object, "successor", TMK_STORE_ID_MAX);
    record.generation = int_field(&r, r.object, "generation", 0);
    read_checkpoint(&r, &record.checkpoint, &done_map);
    token = token_field(&r);
    e.version = version_field(&r);
    e.written = written_field(&r, at);
    enough = tmk_partition_entry_set(&e, token, &record) == TMK_OK && !done_map.failed;
    st = close_object(&r, "partition", id, err);
    tmk_str_clear(&done_map);
    if (st < 0 || !enough) {
        tmk_partition_entry_clear(&e);
        return st < 0 && enough ? st : no_memory(err);
    }
    *out = e;
    return TMK_OK;
}

/* ---- writing ---- */

static void begin(tmk_str *out, const char *kind, const char *id) {
    tmk_str_addf(out, "{\n  \"kind\": \"%s\",\n  \"id\": ", kind);
    tmk_str_add_json(out, tmk_slice_str(id));
}

static void add_text(tmk_str *out, const char *key, const char *text) {
    tmk_str_addf(out, ",\n  \"%s\": ", key);
    tmk_str_add_json(out, tmk_slice_str(text));
}

static void add_version(tmk_str *out, tmk_entry_version v) {
    char version[TMK_ENTRY_VERSION_ROOM];

    tmk_entry_version_text(v, version);
    add_text(out, "version", version);
}

static void add_written(tmk_str *out, tmk_time written, const tmk_file_moment *at) {
    int64_t ago_us = (at->now - written) / TMK_US;

    add_text(out, "boot", at->boot);
    tmk_str_addf(out, ",\n  \"written_ms\": %" PRId64 ",\n  \"written\": \"",
                 written < 0 ? 0 : written / TMK_MS);
    tmk_str_add_iso_time(out, (at->wall.us - ago_us) / 1000);
    tmk_str_add(out, "\"");
}

static tmk_status end(tmk_str *out) {
    tmk_str_add(out, "\n}\n");
    return tmk_str_ok(out) ? TMK_OK : TMK_ENOMEM;
}

tmk_status tmk_file_write_member(const tmk_member_entry *e, const char *id,
                                 const tmk_file_moment *at, tmk_str *out) {
    begin(out, "member", id);
    add_text(out, "token", e->token);
    add_text(out, "body", e->body);
    tmk_str_addf(out, ",\n  \"evicted\": %s,\n  \"lease_end_ms\": %" PRId64,
                 e->evicted ? "true" : "false", e->lease_end / TMK_MS);
    if (at->process != NULL) {
        add_text(out, "process", at->process);
    }
    add_written(out, e->written, at);
    return end(out);
}

tmk_status tmk_file_write_call(const tmk_call_entry *e, const char *id, tmk_str *out) {
    begin(out, "call", id);
    add_version(out, e->version);
    return end(out);
}

tmk_status tmk_file_write_partition(const tmk_partition_entry *e, const char *id,
                                    const tmk_file_moment *at, tmk_str *out) {
    const tmk_checkpoint *c = &e->record.checkpoint;

    begin(out, "partition", id);
    add_text(out, "owner", e->record.owner);
    add_text(out, "successor", e->record.successor);
    tmk_str_addf(out,
                 ",\n  \"generation\": %" PRId64 ",\n  \"checkpoint\": ", e->record.generation);
    if (!c->present) {
        tmk_str_add(out, "null");
    } else {
        tmk_str_add(out, "{\n    \"sequence\": ");
        if (c->sequence_known) {
            tmk_str_addf(out, "%" PRId64, c->sequence);
        } else {
            tmk_str_add(out, "null");
        }
        tmk_str_add(out, ",\n    \"offset\": ");
        tmk_str_add_json(out, tmk_slice_str(c->offset));
        tmk_str_add(out, ",\n    \"done_map\": \"");
        tmk_str_add_base64(out, c->done_map);
        tmk_str_add(out, "\"\n  }");
    }
    add_text(out, "token", e->token);
    add_version(out, e->version);
    add_written(out, e->written, at);
    return end(out);
}
