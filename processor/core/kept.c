/* Copying checkpoints. */
#include "core/kept.h"

#include "base/alloc.h"
#include "base/slice.h"

void tmk_kept_clear(tmk_kept *k) {
    tmk_free(k->offset);
    tmk_free(k->done_map);
    *k = (tmk_kept){0};
}

static tmk_status copy_parts(tmk_kept *k, const tmk_checkpoint *from) {
    if (from->offset != NULL && from->offset[0] != '\0') {
        k->offset = tmk_copy_str(from->offset);
        if (k->offset == NULL) {
            return TMK_ENOMEM;
        }
    }
    if (from->done_map.size > 0) {
        k->done_map = tmk_copy(from->done_map.bytes, from->done_map.size);
        if (k->done_map == NULL) {
            return TMK_ENOMEM;
        }
        k->done_map_size = from->done_map.size;
    }
    return TMK_OK;
}

tmk_status tmk_kept_set(tmk_kept *k, const tmk_checkpoint *from) {
    tmk_kept copy = {from->present, from->sequence_known, from->sequence, NULL, NULL, 0};

    if (from->present && copy_parts(&copy, from) < 0) {
        tmk_kept_clear(&copy);
        return TMK_ENOMEM;
    }
    tmk_kept_clear(k);
    *k = copy;
    return TMK_OK;
}

tmk_checkpoint tmk_kept_view(const tmk_kept *k) {
    tmk_checkpoint c = {k->present, k->sequence_known, k->sequence,
                        k->offset == NULL ? "" : k->offset,
                        tmk_slice_of(k->done_map, k->done_map_size)};

    return c;
}

int64_t tmk_checkpoint_sequence(const tmk_checkpoint *c) {
    return c->present && c->sequence_known ? c->sequence : -1;
}
