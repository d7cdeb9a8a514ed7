/*
 * The append log of one partition, in memory: events in their delivered form,
 * numbered, found by sequence number, offset or time.
 *
 * Events are appended at `end`, become visible to readers when what keeps them
 * safe says so (at once, without a data folder), and are cut off at `begin`.
 * Offsets are numbers here, ascending, with jumps; readers see them as text.
 *
 * Pure. Pointers from tmk_hub_log_find() hold until the log is next changed.
 */
#ifndef TMK_HUB_LOG_H
#define TMK_HUB_LOG_H

#include "base/slice.h"

typedef struct tmk_hub_entry {
    int64_t offset;
    int64_t enqueued_ms;
    uint32_t at, size;    /* its bytes in the chunk */
    uint32_t header_size; /* of the header section they begin with */
} tmk_hub_entry;

typedef struct tmk_hub_chunk {
    int64_t first; /* sequence number of entries[0] */
    tmk_hub_entry *entries;
    uint8_t *bytes;
    uint32_t count, room;
    uint32_t size, bytes_room;
} tmk_hub_chunk;

typedef struct tmk_hub_log {
    tmk_hub_chunk **chunks;
    size_t chunk_count, chunk_room;
    int64_t begin;   /* the oldest event kept; == end when there is none */
    int64_t visible; /* readers see what is below */
    int64_t end;     /* the next event's number */
    int64_t offset_next;
    int64_t last_offset, last_ms; /* of the newest visible event ever; -1, 0: there was none */
    uint64_t bytes;               /* of the events kept */
} tmk_hub_log;

void tmk_hub_log_init(tmk_hub_log *log);
void tmk_hub_log_clear(tmk_hub_log *log); /* frees; usable again as after init */
/* An empty log that goes on with these numbers: what a recovery begins with. */
void tmk_hub_log_restart(tmk_hub_log *log, int64_t sequence, int64_t offset, int64_t last_offset,
                         int64_t last_ms);

/* Appends; the event's number is the `end` of before, its offset `offset_next`. ENOMEM: unchanged.
 */
tmk_status tmk_hub_log_append(tmk_hub_log *log, tmk_slice event, size_t header_size,
                              int64_t enqueued_ms);
void tmk_hub_log_show(tmk_hub_log *log, int64_t end); /* events below `end` become visible */
void tmk_hub_log_drop_from(tmk_hub_log *log,
                           int64_t from);              /* forgets the end; none of it is visible */
void tmk_hub_log_cut(tmk_hub_log *log, int64_t begin); /* forgets visible events below */
/* Cuts what is older than `oldest_ms` or beyond `bytes_max`; returns how many events went. */
int64_t tmk_hub_log_retain(tmk_hub_log *log, int64_t oldest_ms, uint64_t bytes_max);

/* The run of events from `sequence` on that lie together: *out is the first of *count. NULL: none.
 */
const tmk_hub_chunk *tmk_hub_log_find(const tmk_hub_log *log, int64_t sequence,
                                      const tmk_hub_entry **out, uint32_t *count);

/* One event below `end`, visible or not. */
const uint8_t *tmk_hub_log_event(const tmk_hub_log *log, int64_t sequence,
                                 const tmk_hub_entry **out);

/* Where reading starts: the first kept event after (or at) an offset, a time. */
int64_t tmk_hub_log_seek_offset(const tmk_hub_log *log, int64_t offset, bool inclusive);
int64_t tmk_hub_log_seek_time(const tmk_hub_log *log, int64_t ms, bool inclusive);

#endif
