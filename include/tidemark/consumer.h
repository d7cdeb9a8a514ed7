/*
 * A consumer: reads one partition from where it is told to, without ownership
 * and without checkpoints. For a group of readers that share partitions, take
 * tidemark/processor.h instead.
 *
 * Events come in sequence order, each once. When the connection or the link is
 * lost, reading goes on after the last event that was handed over; what the
 * service repeats is dropped, and what it skips is counted and reported.
 *
 *   tmk_consumer_options o;
 *   tmk_consumer_options_init(&o);
 *   o.partition = "0";
 *   o.start = tmk_start_earliest();
 *   st = tmk_consumer_new(client, &o, &consumer, &err);
 *   while ((st = tmk_consumer_receive(consumer, 100, 5000, &got, &err)) >= 0) {
 *       for (size_t i = 0; i < tmk_received_count(got); i++)
 *           use(tmk_received_event(got, i));
 *       got = tmk_received_free(got);
 *   }
 *   consumer = tmk_consumer_free(consumer);
 */
#ifndef TIDEMARK_CONSUMER_H
#define TIDEMARK_CONSUMER_H

#include <tidemark/client.h>
#include <tidemark/event.h>
#include <tidemark/start.h>

TMK_BEGIN_C

typedef struct tmk_consumer tmk_consumer;

/** A run of events of one partition, in order. The events and all slices from them live as long as
 * it. */
typedef struct tmk_received tmk_received;

TMK_API size_t tmk_received_count(const tmk_received *r); /* 0 for NULL */
/** index counts from 0; NULL past the end. */
TMK_API const tmk_event *tmk_received_event(const tmk_received *r, size_t index);
/**
 * Gives a run back: its place in the prefetch is then filled anew, so a program
 * that keeps runs is sent no more than it can hold. NULL is fine. Returns NULL.
 */
TMK_API tmk_received *tmk_received_free(tmk_received *r);

/** What the service last told about the partition's end; track_last only. */
typedef struct tmk_last {
    int64_t sequence; /* of the newest event in the partition */
    int64_t enqueued_ms;
    int64_t told_ms; /* when the service looked; 0: it has told nothing yet */
    char offset[128];
} tmk_last;

typedef struct tmk_consumer_options {
    size_t size; /* set by _init, leave alone */

    const char *group;     /* default "$Default" */
    const char *partition; /* its id, "0" say; must be given */
    tmk_start start;       /* default latest */

    /*
     * -1 (default): none, up to five such readers may share a partition of a
     * group. 0 or more: the only reader; whoever comes with the same or a
     * higher level takes the partition over, which ends the reader before
     * with ELOST.
     */
    int64_t owner_level;
    const char *name; /* the service names the reader by it in its errors; NULL: made up */

    /* How much is fetched ahead of the program: events and bytes, whichever is reached first. */
    uint32_t prefetch;       /* default 1000, 1 .. 5000 */
    uint64_t prefetch_bytes; /* default 16 MiB; one event larger than it still comes */

    bool track_last; /* ask the service to tell, with each event, where the partition ends */

    /**
     * Push style: events as they come. NULL: pull style, by tmk_consumer_receive().
     * Owns: *r is the program's now; it calls tmk_received_free() here or later,
     *       from any thread.
     */
    void (*on_events)(void *user, tmk_received *r);
    /**
     * The consumer has ended by itself, after the last event it will hand over:
     * ELOST (another owner), EPOSITION (no such place in the stream), EAUTH,
     * ENOTFOUND ... Comes at most once, never after tmk_consumer_free().
     */
    void (*on_ended)(void *user, const tmk_error *why);
    void *user;
} tmk_consumer_options;

#define tmk_consumer_options_init(opts) tmk_consumer_options_fill((opts), sizeof *(opts))
TMK_API void tmk_consumer_options_fill(tmk_consumer_options *opts, size_t size);

/**
 * Makes a consumer and begins to open its link. Trouble on the way is healed
 * and reported through the client's on_error; what cannot be healed ends the
 * consumer.
 *
 * Owns:    options are copied.
 * Returns: 0 with *out set, EINVAL, ENOMEM.
 */
TMK_API TMK_CHECKED tmk_status tmk_consumer_new(tmk_client *client,
                                                const tmk_consumer_options *opts,
                                                tmk_consumer **out, tmk_error *err);

/**
 * Pull style: takes up to `max` events, waiting up to timeout_ms for the first.
 *
 * Owns:    *out is the caller's: tmk_received_free().
 * Returns: 0 with at least one event. AGAIN: none came in time, *out is NULL.
 *          A failure, every time: the consumer has ended, and why.
 */
TMK_API TMK_CHECKED tmk_status tmk_consumer_receive(tmk_consumer *c, size_t max, int64_t timeout_ms,
                                                    tmk_received **out, tmk_error *err);

/** Waits until the link stands for the first time (0), the consumer has ended (why), or ETIMEOUT.
 */
TMK_API TMK_CHECKED tmk_status tmk_consumer_open_wait(tmk_consumer *c, int64_t timeout_ms,
                                                      tmk_error *err);

/**
 * Stops handing over events, or goes on. What has arrived is kept, what was
 * fetched ahead still arrives; the link stays. A pause of half an hour or more
 * makes the service end the link, which is then opened anew without a gap.
 */
TMK_API void tmk_consumer_pause(tmk_consumer *c);
TMK_API void tmk_consumer_resume(tmk_consumer *c);

/** track_last: false while the service has told nothing. */
TMK_API bool tmk_consumer_last(const tmk_consumer *c, tmk_last *out);

/**
 * Closes the link and waits until the service has agreed, at most timeout_ms:
 * a reader that comes next does not find this one's place taken.
 * Returns: 0, or ETIMEOUT; either way no event comes any more. Then tmk_consumer_free().
 */
TMK_API tmk_status tmk_consumer_close(tmk_consumer *c, int64_t timeout_ms, tmk_error *err);

/**
 * Frees a consumer; its link is closed in the background. NULL is fine. Returns
 * NULL. No callback of it runs any more when this returns, except the one it is
 * called from. Runs of events that the program still holds stay valid.
 */
TMK_API tmk_consumer *tmk_consumer_free(tmk_consumer *c);

TMK_END_C

#endif
