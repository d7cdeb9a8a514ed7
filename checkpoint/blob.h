/* The blob store on a loop of somebody else's. */
#ifndef TMK_CHECKPOINT_BLOB_H
#define TMK_CHECKPOINT_BLOB_H

#include <tidemark/store_blob.h>

#include "net/loop.h"

/* Answers come on the loop, which is borrowed; the store is freed on it, or after it has stopped.
 */
tmk_status tmk_store_blob_new_on(tmk_loop *loop, const tmk_store_blob_options *opts, tmk_store *out,
                                 tmk_error *err);

#endif
