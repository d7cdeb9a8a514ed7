/* Copies of partition records. */
#include "checkpoint/record.h"

#include "base/alloc.h"

#include <string.h>

size_t tmk_text_size(const char *text) {
    return text == NULL ? 1 : strlen(text) + 1;
}

const char *tmk_text_put(char **at, const char *text) {
    size_t size = tmk_text_size(text);
    char *copy = *at;

    memcpy(copy, text == NULL ? "" : text, size);
    *at += size;
    return copy;
}

size_t tmk_record_size(const tmk_partition_record *record) {
    return tmk_text_size(record->id) + tmk_text_size(record->owner) +
           tmk_text_size(record->successor) + tmk_text_size(record->version) +
           tmk_text_size(record->checkpoint.offset) + record->checkpoint.done_map.size;
}

void tmk_record_put(tmk_partition_record *to, char **at, const tmk_partition_record *from) {
    size_t map_size = from->checkpoint.done_map.size;

    *to = *from;
    to->id = tmk_text_put(at, from->id);
    to->owner = tmk_text_put(at, from->owner);
    to->successor = tmk_text_put(at, from->successor);
    to->version = tmk_text_put(at, from->version);
    to->checkpoint.offset = tmk_text_put(at, from->checkpoint.offset);
    if (map_size > 0) {
        memcpy(*at, from->checkpoint.done_map.bytes, map_size);
    }
    to->checkpoint.done_map.bytes = (const uint8_t *)*at;
    *at += map_size;
}

void *tmk_items_grow(void *items, size_t count, size_t *room, size_t item_size) {
    size_t wanted = *room == 0 ? 8 : *room * 2;
    void *more;

    if (count < *room) {
        return items;
    }
    more = tmk_resize(items, wanted, item_size);
    if (more != NULL) {
        *room = wanted;
    }
    return more;
}
