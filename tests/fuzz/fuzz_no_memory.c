/*
 * Parsers of what comes from outside, with the allocation failing that the input
 * names: the first byte chooses the parser, the second which allocation fails, the
 * third whether all later ones fail too; the rest is parsed. Oracle: the answer is
 * that of a run with memory, or ENOMEM where an allocation has failed, and nothing
 * is left behind.
 */
#include "fuzz/fuzz.h"
#include "support/failing_alloc.h"

#include "auth/answer.h"
#include "auth/connection_string.h"
#include "auth/sas.h"
#include "base/assert.h"
#include "checkpoint/blob_record.h"
#include "checkpoint/blob_xml.h"
#include "checkpoint/file_format.h"
#include "core/done_map.h"

static const tmk_wall now = {INT64_C(1700000000) * 1000000};
static const tmk_file_moment moment = {
    "5c3b9f1e-0000-4000-8000-000000000001", 5000 * TMK_SEC, {INT64_C(1790000000000000)}};

static tmk_status hub_string(tmk_slice s) {
    tmk_hub_string h;
    tmk_status st = tmk_hub_string_parse(s, &h, NULL);

    if (st == TMK_OK) {
        tmk_hub_string_clear(&h);
    }
    return st;
}

static tmk_status storage_string(tmk_slice s) {
    tmk_storage_string t;
    tmk_status st = tmk_storage_string_parse(s, &t, NULL);

    if (st == TMK_OK) {
        tmk_storage_string_clear(&t);
    }
    return st;
}

static tmk_status token_answer(tmk_slice s) {
    tmk_token_answer a = {NULL};
    tmk_status st = tmk_token_answer_parse(s, now, &a, NULL);

    a.token = tmk_secret_free(a.token);
    return st;
}

static tmk_status cli_answer(tmk_slice s) {
    tmk_token_answer a = {NULL};
    tmk_status st = tmk_cli_answer_parse(s, now, &a, NULL);

    a.token = tmk_secret_free(a.token);
    return st;
}

static tmk_status take_item(void *self, const tmk_blob_item *item) {
    tmk_blob_partition p = {0};
    tmk_blob_member m = {0};
    tmk_status st = tmk_blob_partition_read(&p, &item->meta);

    (void)self;
    st = st == TMK_OK ? tmk_blob_member_read(&m, &item->meta) : st;
    tmk_blob_partition_clear(&p);
    tmk_blob_member_clear(&m);
    return st;
}

static tmk_status blob_list(tmk_slice s) {
    tmk_str next = TMK_STR_INIT;
    tmk_status st = tmk_blob_list_parse(s, take_item, NULL, &next, NULL);

    tmk_str_clear(&next);
    return st;
}

static tmk_status file_member(tmk_slice s) {
    tmk_member_entry e = {0};
    tmk_status st = tmk_file_read_member(s, "m", &moment, &e, NULL);

    tmk_member_entry_clear(&e);
    return st;
}

static tmk_status file_partition(tmk_slice s) {
    tmk_partition_entry e = {0};
    tmk_status st = tmk_file_read_partition(s, "0", &moment, &e, NULL);

    tmk_partition_entry_clear(&e);
    return st;
}

static tmk_status done_map(tmk_slice s) {
    tmk_done_map m = {0};
    tmk_status st = tmk_done_map_read(s, &m, NULL);

    tmk_done_map_clear(&m);
    return st;
}

static tmk_status encodings(tmk_slice s) {
    tmk_str a = TMK_STR_INIT, b = TMK_STR_INIT;
    bool bad = !tmk_str_add_unpercent(&a, s) && !a.failed;
    tmk_status st;

    tmk_str_add_json(&b, s);
    st = a.failed || b.failed ? TMK_ENOMEM : bad ? TMK_EINVAL : TMK_OK;
    tmk_str_clear(&a);
    tmk_str_clear(&b);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static tmk_status (*const parsers[])(tmk_slice) = {hub_string,     storage_string, token_answer,
                                                       cli_answer,     blob_list,      file_member,
                                                       file_partition, done_map,       encodings};
    tmk_status (*parse)(tmk_slice);
    tmk_status good, st;
    tmk_slice text;

    if (size < 3) {
        return 0;
    }
    parse = parsers[data[0] % (sizeof parsers / sizeof *parsers)];
    text = tmk_slice_of(data + 3, size - 3);
    good = parse(text);
    failing_after(data[2] % 2 == 0 ? FAILING_ONCE : FAILING_FROM, data[1]);
    st = parse(text);
    tmk_assert(st == good || (st == TMK_ENOMEM && failing_hit()));
    tmk_assert(failing_live() == 0);
    failing_end();
    return 0;
}
