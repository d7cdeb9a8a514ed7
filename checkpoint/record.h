/* Copies of a partition record: all of its texts, one behind the other, in one block. */
#ifndef TMK_CHECKPOINT_RECORD_H
#define TMK_CHECKPOINT_RECORD_H

#include <tidemark/store.h>

/* A NULL text counts and is copied as "". */
size_t tmk_text_size(const char *text);                     /* with its NUL */
const char *tmk_text_put(char **at, const char *text);      /* moves *at behind the copy */
size_t tmk_record_size(const tmk_partition_record *record); /* of the texts and the done-map */
void tmk_record_put(tmk_partition_record *to, char **at, const tmk_partition_record *from);

/* Room for one more item: items, perhaps moved; NULL when there is no memory (items stay valid). */
void *tmk_items_grow(void *items, size_t count, size_t *room, size_t item_size);

#endif
