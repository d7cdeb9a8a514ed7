/*
 * A file of the file store, whatever it holds: the first byte chooses what it
 * is taken for. Oracle: what is accepted is written back and read again to the
 * same, and stays within the bounds that every store keeps.
 */
#include "checkpoint/file_format.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

static const tmk_file_moment at = {
    "5c3b9f1e-0000-4000-8000-000000000001", 5000 * TMK_SEC, {INT64_C(1790000000000000)}};

static void check_partition(tmk_slice text) {
    tmk_partition_entry e = {0}, again = {0};
    tmk_str written = TMK_STR_INIT;
    const tmk_checkpoint *a = &e.record.checkpoint, *b = &again.record.checkpoint;

    if (tmk_file_read_partition(text, "0", &at, &e, NULL) != TMK_OK) {
        tmk_assert(e.texts == NULL && e.token == NULL);
        return;
    }
    tmk_assert(e.record.generation >= 0 && e.written <= at.now);
    tmk_assert(!a->present || !a->sequence_known || a->sequence >= -1);
    tmk_assert(a->done_map.size <= TMK_STORE_DONE_MAP_MAX);
    tmk_assert(tmk_file_write_partition(&e, "0", &at, &written) == TMK_OK);
    tmk_assert(tmk_file_read_partition(tmk_str_slice(&written), "0", &at, &again, NULL) == TMK_OK);
    tmk_assert(a->present == b->present && a->sequence_known == b->sequence_known);
    tmk_assert(a->sequence == b->sequence && strcmp(a->offset, b->offset) == 0);
    tmk_assert(tmk_slice_eq(a->done_map, b->done_map));
    tmk_assert(strcmp(e.token, again.token) == 0 && e.version.birth == again.version.birth);
    tmk_partition_entry_clear(&e);
    tmk_partition_entry_clear(&again);
    tmk_str_clear(&written);
}

static void check_member(tmk_slice text) {
    tmk_member_entry e = {0}, again = {0};
    tmk_str written = TMK_STR_INIT;

    if (tmk_file_read_member(text, "m", &at, &e, NULL) != TMK_OK) {
        tmk_assert(e.token == NULL && e.body == NULL);
        return;
    }
    tmk_assert(e.lease_end <= at.now + 86400 * TMK_SEC);
    tmk_assert(tmk_file_write_member(&e, "m", &at, &written) == TMK_OK);
    tmk_assert(tmk_file_read_member(tmk_str_slice(&written), "m", &at, &again, NULL) == TMK_OK);
    tmk_assert(strcmp(e.body, again.body) == 0 && e.evicted == again.evicted);
    tmk_member_entry_clear(&e);
    tmk_member_entry_clear(&again);
    tmk_str_clear(&written);
}

static void check_name(tmk_slice text) {
    char *name = tmk_slice_dup(text);
    tmk_str id = TMK_STR_INIT, again = TMK_STR_INIT;

    tmk_assert(name != NULL);
    if (tmk_file_name_id(name, &id)) {
        tmk_file_name_add(&again, tmk_str_text(&id));
        tmk_assert(strcmp(tmk_str_text(&again), name) == 0 && strchr(name, '/') == NULL);
    }
    tmk_str_clear(&again);
    tmk_str_clear(&id);
    tmk_free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tmk_call_entry call = {0};
    tmk_slice text = tmk_slice_of(data, size);

    if (size == 0) {
        return 0;
    }
    text = tmk_slice_from(text, 1);
    switch (data[0] % 4) {
    case 0:
        check_partition(text);
        break;
    case 1:
        check_member(text);
        break;
    case 2:
        (void)tmk_file_read_call(text, "m", &call, NULL);
        break;
    default:
        check_name(text);
        break;
    }
    return 0;
}
