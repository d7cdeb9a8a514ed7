/* A checkpoint with memory of its own. */
#ifndef TMK_CORE_KEPT_H
#define TMK_CORE_KEPT_H

#include <tidemark/store.h>

typedef struct tmk_kept {
    bool present, sequence_known;
    int64_t sequence;
    char *offset;
    uint8_t *done_map;
    size_t done_map_size;
} tmk_kept;

void tmk_kept_clear(tmk_kept *k);
/* Copies; unchanged when it fails. */
TMK_CHECKED tmk_status tmk_kept_set(tmk_kept *k, const tmk_checkpoint *from);
/* A view of it, good until it changes. */
tmk_checkpoint tmk_kept_view(const tmk_kept *k);
/* -1 where no sequence number is known. */
int64_t tmk_checkpoint_sequence(const tmk_checkpoint *c);

#endif
