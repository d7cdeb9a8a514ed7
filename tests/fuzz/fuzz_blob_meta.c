/*
 * Metadata as any SDK or hand may have written it: lines of "name: value".
 * Oracle: what is read and written back is read to the same; a done-map is
 * believed only with its mark.
 */
#include "checkpoint/blob_names.h"
#include "checkpoint/blob_record.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

static void read_lines(tmk_slice text, tmk_blob_meta *m) {
    bool more = true, found;

    while (more) {
        tmk_slice line = tmk_slice_cut(&text, '\n', &more);
        tmk_slice name = tmk_slice_cut(&line, ':', &found);
        tmk_blob_meta_add(m, name, tmk_slice_trim(line));
    }
}

static void check_partition(const tmk_blob_meta *m) {
    tmk_blob_partition p = {0}, again = {0};
    tmk_blob_meta written = {TMK_STR_INIT};
    const tmk_checkpoint *a = &p.record.checkpoint, *b = &again.record.checkpoint;

    tmk_assert(tmk_blob_partition_read(&p, m) == TMK_OK);
    tmk_blob_partition_write(&written, &p.record, p.done_mark, p.token);
    tmk_assert(tmk_blob_partition_read(&again, &written) == TMK_OK);
    tmk_assert(strcmp(p.record.owner, again.record.owner) == 0);
    tmk_assert(strcmp(p.record.successor, again.record.successor) == 0);
    tmk_assert(p.record.generation == again.record.generation && p.record.generation >= 0);
    tmk_assert(a->present == b->present && a->sequence_known == b->sequence_known);
    tmk_assert(a->sequence == b->sequence && strcmp(a->offset, b->offset) == 0);
    tmk_assert(strcmp(p.done_mark, again.done_mark) == 0 && strcmp(p.token, again.token) == 0);
    tmk_blob_partition_clear(&p);
    tmk_blob_partition_clear(&again);
    tmk_blob_meta_clear(&written);
}

static void check_name(tmk_slice text) {
    char *name = tmk_slice_dup(text);
    tmk_str id = TMK_STR_INIT, again = TMK_STR_INIT;

    tmk_assert(name != NULL);
    for (int kind = TMK_BLOB_OWNERSHIP; kind <= TMK_BLOB_CALL; kind++) {
        if (tmk_blob_name_id(name, "h/e/g/", (tmk_blob_kind)kind, &id)) {
            tmk_str_reset(&again);
            tmk_blob_name_add(&again, "h/e/g/", (tmk_blob_kind)kind, tmk_str_text(&id));
            tmk_assert(strcmp(tmk_str_text(&again), name) == 0);
        }
    }
    tmk_str_clear(&id);
    tmk_str_clear(&again);
    tmk_free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tmk_blob_meta m = {TMK_STR_INIT};

    read_lines(tmk_slice_of(data, size), &m);
    check_partition(&m);
    check_name(tmk_slice_of(data, size));
    tmk_blob_meta_clear(&m);
    return 0;
}
