/*
 * A batch: events that are sent as one and stored as a whole or not at all.
 * They go to one partition, in this order.
 *
 *   tmk_producer_limit_wait(producer, NULL, 30000, &limit, &err);
 *   tmk_batch_new(limit, NULL, &batch, &err);
 *   st = tmk_batch_try_add(batch, message, &err);
 *   if (st == TMK_AGAIN) { send the batch, reset it, add the message again }
 *
 * Threads: one at a time.
 */
#ifndef TIDEMARK_BATCH_H
#define TIDEMARK_BATCH_H

#include <tidemark/message.h>

TMK_BEGIN_C

typedef struct tmk_batch tmk_batch;

/**
 * Makes an empty batch. size_max: the largest batch that the service takes, in
 * encoded bytes (tmk_producer_limit_wait()). key: the partition key of all its
 * events; NULL or "": none. EINVAL: the key is too long or no UTF-8, or not
 * even an empty batch would fit.
 */
TMK_API TMK_CHECKED tmk_status tmk_batch_new(uint64_t size_max, const char *key, tmk_batch **out,
                                             tmk_error *err);

/** NULL is fine. Returns NULL. */
TMK_API tmk_batch *tmk_batch_free(tmk_batch *b);

/** Empties it; size, key and memory stay. */
TMK_API void tmk_batch_reset(tmk_batch *b);

/**
 * Adds an event (a copy). AGAIN: the batch is full and unchanged; send it, then
 * add the event to the next. ELIMIT: the event is too large for any batch.
 * EINVAL: the event has a key that is not the batch's.
 */
TMK_API TMK_CHECKED tmk_status tmk_batch_try_add(tmk_batch *b, const tmk_message *event,
                                                 tmk_error *err);

/** How many events it holds, and its encoded size in bytes. */
TMK_API size_t tmk_batch_count(const tmk_batch *b);
TMK_API uint64_t tmk_batch_size(const tmk_batch *b);

TMK_END_C

#endif
