/*
 * A listing of the Blob service, whatever it holds. Oracle: an item has a name,
 * its metadata can be walked, records made of it stay within their bounds; and
 * an error's code is short text.
 */
#include "checkpoint/blob_record.h"
#include "checkpoint/blob_xml.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

static tmk_status take(void *self, const tmk_blob_item *item) {
    tmk_blob_partition p = {0};
    tmk_blob_ownership o = {0};
    tmk_blob_member m = {0};

    (void)self;
    tmk_assert(item->name != NULL && item->name[0] != '\0' && item->etag != NULL);
    tmk_assert(tmk_blob_partition_read(&p, &item->meta) == TMK_OK);
    tmk_assert(p.record.generation >= 0);
    tmk_assert(!p.record.checkpoint.sequence_known || p.record.checkpoint.sequence >= -1);
    tmk_assert(tmk_blob_ownership_read(&o, &item->meta) == TMK_OK && o.generation >= 0);
    tmk_assert(tmk_blob_member_read(&m, &item->meta) == TMK_OK);
    tmk_blob_partition_clear(&p);
    tmk_blob_ownership_clear(&o);
    tmk_blob_member_clear(&m);
    return TMK_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tmk_str next = TMK_STR_INIT;
    tmk_status st = tmk_blob_list_parse(tmk_slice_of(data, size), take, NULL, &next, NULL);
    char code[64];

    tmk_assert(st == TMK_OK || st == TMK_EPROTO);
    tmk_str_clear(&next);
    tmk_blob_error_parse(tmk_slice_of(data, size), code);
    tmk_assert(strlen(code) < sizeof code);
    return 0;
}
