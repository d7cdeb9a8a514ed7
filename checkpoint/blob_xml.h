/*
 * Lists and errors of the Blob service, out of their XML.
 *
 * Pure. Any bytes: what is not whole is refused as a whole; document types and
 * entities of its own, depths, sizes and numbers that no list has are refused.
 * Unknown elements are passed over.
 */
#ifndef TMK_CHECKPOINT_BLOB_XML_H
#define TMK_CHECKPOINT_BLOB_XML_H

#include "base/time.h"
#include "checkpoint/blob_meta.h"

/* Whether somebody holds a lease on a blob. */
typedef struct tmk_blob_lease {
    bool held;    /* leased or breaking */
    bool endless; /* held without end */
    bool fresh;   /* available: never leased, or released */
} tmk_blob_lease;

typedef struct tmk_blob_item {
    const char *name;
    const char *etag;       /* without quotes */
    tmk_wall last_modified; /* 0: not said */
    tmk_blob_lease lease;
    bool folder; /* a directory of a hierarchical namespace, or what a delimiter sums up */
    tmk_blob_meta meta;
} tmk_blob_item;

/* Takes one item, which ends with the call. A failure ends the parsing and is passed on. */
typedef tmk_status (*tmk_blob_item_fn)(void *self, const tmk_blob_item *item);

/* EPROTO: no whole list. *next is the marker of the next page, empty at the end. */
tmk_status tmk_blob_list_parse(tmk_slice xml, tmk_blob_item_fn take, void *self, tmk_str *next,
                               tmk_error *err);

/* The code in an error body ("BlobNotFound"); "" where there is none. */
void tmk_blob_error_parse(tmk_slice xml, char out[64]);

/* "leased", "available" ... and "infinite" or "fixed"; NULLs are fine. */
tmk_blob_lease tmk_blob_lease_of(const char *state, const char *duration);

#endif
