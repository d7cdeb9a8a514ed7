/*
 * A producer: sends events and tells the fate of each.
 *
 * Every event, or batch, that was taken is reported exactly once: stored, or
 * not stored and why, or unknown. A send is tried again as the retry options
 * say. When the connection breaks between a send and its answer, nobody knows
 * whether the event was stored: by default it is sent again, so that it is not
 * lost, and its fate says that it may be there twice (maybe_twice); with
 * resend_unknown off it is reported as failed with maybe_stored.
 *
 *   tmk_producer_new(client, NULL, &producer, &err);
 *   tmk_producer_send(producer, message, NULL, sent, user, &err);
 *   ...
 *   tmk_producer_flush_wait(producer, 30000, &err);
 *   producer = tmk_producer_free(producer);
 */
#ifndef TIDEMARK_PRODUCER_H
#define TIDEMARK_PRODUCER_H

#include <tidemark/batch.h>
#include <tidemark/client.h>
#include <tidemark/message.h>
#include <tidemark/trace.h>

TMK_BEGIN_C

typedef struct tmk_producer tmk_producer;

typedef struct tmk_producer_options {
    size_t size;      /* set by _init, leave alone */
    const char *name; /* shown by the service in its logs; NULL: made up */

    tmk_retry_options retry; /* attempts 0 (default): the client's */

    bool resend_unknown; /* default true: rather twice than not at all */

    /* What may wait for an answer at once; more is refused with ELIMIT until something is answered.
     */
    uint32_t pending_max;       /* sends; default 10000 */
    uint64_t pending_bytes_max; /* default 64 MiB */

    /**
     * Supplies the trace context of an event that is sent alone and has none of its own: fills
     * *trace, or leaves it empty. A broken one is left out. Threads: that of tmk_producer_send().
     */
    void (*on_trace)(void *user, const tmk_message *event, tmk_trace *trace);
    void *user; /* first argument of on_trace */
} tmk_producer_options;

#define tmk_producer_options_init(opts) tmk_producer_options_fill((opts), sizeof *(opts))
TMK_API void tmk_producer_options_fill(tmk_producer_options *opts, size_t size);

/** What became of one send. */
typedef struct tmk_fate {
    tmk_status status;      /* OK: stored by the service */
    const tmk_error *error; /* why not; NULL when stored */
    size_t events;          /* 1, or how many the batch held */
    uint32_t attempts;      /* how many times it was sent */
    bool maybe_twice;       /* stored, but an earlier try may have been stored too */
    bool maybe_stored;      /* failed, but some try may have been stored */
} tmk_fate;

/** Comes exactly once for each send that was taken. The struct ends with the call. */
typedef void (*tmk_fate_fn)(void *user, const tmk_fate *fate);

/** Makes a producer (NULL options: defaults). Links are opened with the first send to a place. */
TMK_API TMK_CHECKED tmk_status tmk_producer_new(tmk_client *client,
                                                const tmk_producer_options *opts,
                                                tmk_producer **out, tmk_error *err);

/**
 * Sends one event. `partition` NULL: by the event's key, or where it has none
 * wherever the service likes (round robin). A key and a partition exclude each
 * other.
 *
 * Owns:    the event is copied; the caller may change or free it at once.
 * Order:   sends to the same place arrive in the order of the calls as long as
 *          none has to be tried again.
 * Returns: 0: taken, fate() will come. EINVAL; ENOMEM; ELIMIT: larger than the
 *          service takes (when that is already known, else it is the fate), or
 *          too much is pending (then the error is marked retryable, and is worth
 *          another try after the next fate). ESTATE: closed.
 */
TMK_API TMK_CHECKED tmk_status tmk_producer_send(tmk_producer *p, const tmk_message *event,
                                                 const char *partition, tmk_fate_fn fate,
                                                 void *user, tmk_error *err);

/** Sends a batch: stored as a whole or not at all. The same rules; the batch is copied. */
TMK_API TMK_CHECKED tmk_status tmk_producer_send_batch(tmk_producer *p, const tmk_batch *batch,
                                                       const char *partition, tmk_fate_fn fate,
                                                       void *user, tmk_error *err);

/**
 * The same, waiting for the fate up to timeout_ms. ETIMEOUT: the send goes on in
 * the background and may still be stored. *fate may be NULL; its error points
 * to *err.
 */
TMK_API TMK_CHECKED tmk_status tmk_producer_send_wait(tmk_producer *p, const tmk_message *event,
                                                      const char *partition, int64_t timeout_ms,
                                                      tmk_fate *fate, tmk_error *err);
TMK_API TMK_CHECKED tmk_status tmk_producer_send_batch_wait(tmk_producer *p, const tmk_batch *batch,
                                                            const char *partition,
                                                            int64_t timeout_ms, tmk_fate *fate,
                                                            tmk_error *err);

/**
 * The largest event or batch, encoded, that the service takes there; opens the
 * link when it is not open yet. For tmk_batch_new().
 */
TMK_API TMK_CHECKED tmk_status tmk_producer_limit_wait(tmk_producer *p, const char *partition,
                                                       int64_t timeout_ms, uint64_t *out,
                                                       tmk_error *err);

/** How many sends wait for their fate now. */
TMK_API uint64_t tmk_producer_pending(const tmk_producer *p);

/** done(user) comes once, when every send that was taken before this call has had its fate. */
TMK_API TMK_CHECKED tmk_status tmk_producer_flush(tmk_producer *p, void (*done)(void *user),
                                                  void *user, tmk_error *err);
TMK_API TMK_CHECKED tmk_status tmk_producer_flush_wait(tmk_producer *p, int64_t timeout_ms,
                                                       tmk_error *err);

/**
 * Takes no more sends, waits up to timeout_ms for the fates of those pending,
 * then reports the rest as ECANCELED (maybe_stored where they were under way).
 * Returns: 0: all had their fate by themselves. ETIMEOUT: some were canceled.
 */
TMK_API tmk_status tmk_producer_close(tmk_producer *p, int64_t timeout_ms, tmk_error *err);

/**
 * Frees a producer; what is still pending is reported as ECANCELED before this
 * returns (from a callback: soon after). NULL is fine. Returns NULL.
 */
TMK_API tmk_producer *tmk_producer_free(tmk_producer *p);

TMK_END_C

#endif
