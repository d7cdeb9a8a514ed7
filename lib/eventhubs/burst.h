/*
 * Received events on their way from the socket to the handler.
 *
 * A burst is what one socket read brought for one partition: one block of
 * bytes, and an array of events that point into it. It is handed over whole,
 * counted by references (one per holder, not one per event), and goes back to
 * a pool when the last is dropped: no allocation per event once warm.
 *
 * Threads: a burst is filled on the loop's thread and immutable afterwards;
 *          references may be dropped on any thread.
 */
#ifndef TMK_EVENTHUBS_BURST_H
#define TMK_EVENTHUBS_BURST_H

#include "amqp/scan.h"
#include "base/list.h"

typedef struct tmk_burst tmk_burst;
typedef struct tmk_burst_pool tmk_burst_pool;

struct tmk_event {
    tmk_burst *burst;
    int64_t sequence;
    int64_t enqueued_ms;
    const uint8_t *message; /* encoded, in the burst's bytes */
    uint32_t message_size;
    uint32_t offset_at, key_at, data_at; /* places in the message */
    uint32_t data_size;                  /* UINT32_MAX: body is not one data section; scan again */
    uint16_t offset_size, key_size;
};

struct tmk_burst {
    tmk_list node; /* free for whoever holds the burst alone */
    tmk_burst_pool *pool;
    int references;        /* atomic */
    const char *partition; /* outlives the burst */
    tmk_event *events;
    uint32_t count, event_room;
    uint8_t *bytes;
    size_t size, room;
    tmk_last_enqueued last; /* of the newest event that told it; the slice points into bytes */
    size_t last_offset_at;  /* where that slice begins in bytes, until seal() */
};

/* Keeps at most `keep_bytes` of free bursts. Threads: any; its lock has rank 90. */
tmk_status tmk_burst_pool_new(size_t keep_bytes, tmk_burst_pool **out, tmk_error *err);
tmk_burst_pool *
tmk_burst_pool_free(tmk_burst_pool *pool); /* lives on until its last burst is back */
tmk_burst *tmk_burst_take(tmk_burst_pool *pool, const char *partition); /* NULL: out of memory */
void tmk_burst_ref(tmk_burst *b);
void tmk_burst_drop(tmk_burst *b); /* NULL is fine */

/*
 * Filling. reserve() gives room for `size` bytes behind the last event; what
 * was written there before and not added yet stays, so that a message may be
 * gathered in pieces: reserve() with the size so far and the next piece, write
 * the piece behind the former ones. add() scans the message of `size` bytes
 * that stands there and makes it an event. Without add() the place is used
 * again. Pointers into the bytes are only good until the next reserve(), and
 * those of events only after seal().
 * EPROTO: it is no event (no sequence number, broken sections). ENOMEM.
 */
tmk_status tmk_burst_reserve(tmk_burst *b, size_t size, uint8_t **at);
tmk_status tmk_burst_add(tmk_burst *b, size_t size, tmk_error *err);
void tmk_burst_seal(tmk_burst *b); /* fixes the pointers; nothing is added afterwards */

#endif
