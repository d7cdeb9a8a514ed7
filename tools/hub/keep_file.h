/*
 * One partition's files. Inside of the keeper.
 *
 * Threads: the log's alone, once it runs; before, whoever opens.
 */
#ifndef TMK_HUB_KEEP_FILE_H
#define TMK_HUB_KEEP_FILE_H

#include <tidemark/log.h>

#include "hub/log.h"
#include "hub/segment.h"

typedef struct tmk_hub_file {
    char *folder;
    int fd;          /* of the newest segment; -1: there is none */
    int64_t size;    /* of it, as far as it is safe */
    int64_t written; /* of it, as far as it may be */
    int64_t *firsts; /* first sequence number of each segment, ascending */
    size_t count, room;
    int64_t last_offset, last_ms; /* of the newest event that is safe; -1, 0: there is none */
    int64_t created_ms;
    uint64_t segment_bytes;
    bool begun; /* the newest segment's name is not safe in its folder yet */
} tmk_hub_file;

void tmk_hub_file_init(tmk_hub_file *f);
void tmk_hub_file_clear(tmk_hub_file *f);
/* Reads all segments into the log; cuts off what is torn. Later segments of a damaged one are set
 * aside as *.damaged, with a warning. */
tmk_status tmk_hub_file_recover(tmk_hub_file *f, tmk_hub_log *log, const tmk_log *to,
                                tmk_error *err);
/* Appends whole records, to a new segment where the newest is full. Not safe before the sync. */
tmk_status tmk_hub_file_write(tmk_hub_file *f, tmk_slice records, tmk_error *err);
/* Makes safe what was written. */
tmk_status tmk_hub_file_sync(tmk_hub_file *f, int64_t last_offset, int64_t last_ms, tmk_error *err);
/* After a failure: cuts off what is not safe. */
tmk_status tmk_hub_file_repair(tmk_hub_file *f, tmk_error *err);
/* Removes segments that hold nothing from `begin` on; remembers it. */
void tmk_hub_file_cut(tmk_hub_file *f, int64_t begin);
/* Removes all segments. */
void tmk_hub_file_restart(tmk_hub_file *f, int64_t created_ms);

#endif
