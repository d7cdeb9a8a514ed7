/*
 * A pond: a client and the local hub's engine in one thread, joined by streams
 * in memory, under a clock that is a number. Minutes pass in milliseconds, and
 * the same seed gives the same run. Bytes may be cut at random; streams may be
 * cut, reset, swallowed or answered with nonsense.
 *
 * With POND_TALK in the environment each trouble is printed as it is told.
 *
 * Waiting calls of the client must not be used here: nobody moves the clock.
 */
#ifndef TMK_TESTS_POND_H
#define TMK_TESTS_POND_H

#include <tidemark/consumer.h>
#include <tidemark/management.h>
#include <tidemark/producer.h>

#include "base/rng.h"
#include "hub/engine.h"
#include "net/stream.h"

#define POND_HUB "hub"
#define POND_KEY_NAME "RootManageSharedAccessKey"
#define POND_KEY "c29tZS1zZWNyZXQta2V5"

typedef enum pond_peer {
    POND_HUB_PEER = 0, /* the hub's engine */
    POND_REFUSES,      /* cannot be connected to */
    POND_NEVER_OPENS,  /* the connecting itself gets no answer */
    POND_SILENT,       /* takes all bytes, never says anything */
    POND_GARBAGE,      /* answers with random bytes */
    POND_CLOSES        /* ends the stream after `peer_bytes` bytes of ours */
} pond_peer;

typedef struct pond_trouble {
    char origin[48], operation[16], partition[16], reaction[48], text[208];
    tmk_status status;
    int64_t delay_ms, at_ms;
} pond_trouble;

enum { POND_TROUBLES = 4096 };

typedef struct pond {
    tmk_time now, began;
    int64_t wall_us;
    tmk_time tick; /* how far the clock goes in one step; default 10 ms */
    tmk_rng rng;
    tmk_hub_server hub;
    tmk_client *client;
    tmk_list streams;
    unsigned connects; /* streams asked for so far */

    pond_peer peer; /* what the next connections meet */
    size_t peer_bytes;
    size_t cut;      /* reads and writes take 1 .. cut bytes; 0: all */
    double flip;     /* chance that a byte of the hub's arrives wrong */
    bool black_hole; /* bytes vanish in both directions, also on open connections */
    bool deaf;       /* what the client sends vanishes */

    void (*shelter)(bool on); /* called around what the hub does; may be NULL */
    pond_trouble troubles[POND_TROUBLES];
    unsigned trouble_count;
} pond;

typedef struct pond_options {
    uint64_t seed;
    uint32_t partitions;     /* default 2 */
    const char *key;         /* what the client believes the key to be */
    const char *hub;         /* and the hub's name */
    tmk_retry_options retry; /* attempts 0: the defaults */
    size_t cut;
    tmk_log log;
} pond_options;

void pond_begin(pond *p, const pond_options *options); /* NULL: defaults */
void pond_end(pond *p);                                /* frees the client, too */

/* Lets time pass. */
void pond_run(pond *p, int64_t ms);
/* Lets time pass until *flag (NULL: done(arg)) is true, at most `ms`; returns whether it is. */
bool pond_until(pond *p, const bool *flag, int64_t ms);
bool pond_until_count(pond *p, const uint64_t *counter, uint64_t at_least, int64_t ms);
bool pond_until_trouble(pond *p, const char *origin, int64_t ms); /* a new one */

/* Puts `count` events of `size` bytes body into a partition; bodies begin with their number. */
void pond_put(pond *p, const char *partition, unsigned count, size_t size);
int64_t pond_last(pond *p, const char *partition); /* sequence number of the newest event */

void pond_cut_streams(pond *p, bool reset); /* all connections end: in good order or not */
unsigned pond_open_streams(const pond *p);

/* A fault at once, or a rule; condition may be NULL. */
tmk_hub_match pond_match(const char *partition, tmk_hub_role role);
void pond_detach(pond *p, const char *partition, const char *condition, const char *text);
uint64_t pond_rule(pond *p, const tmk_hub_rule *rule);
void pond_unrule(pond *p, uint64_t id);

const pond_trouble *pond_find_trouble(const pond *p, const char *origin, const char *reaction);

/* ---- a reader that checks what it gets ---- */

typedef struct pond_reader {
    pond *pond;
    tmk_consumer *consumer;
    const char *partition;
    int64_t first, next; /* sequence numbers; -1: none yet */
    uint64_t count, bytes, out_of_order, holes, wrong;
    bool ended;
    tmk_error why;
    bool keep; /* does not give events back */
    tmk_received *kept[1024];
    unsigned kept_count;
} pond_reader;

/* opts: NULL, or all but partition and callbacks. */
void pond_read(pond *p, pond_reader *r, const char *partition, const tmk_consumer_options *opts);
void pond_read_from(pond *p, pond_reader *r, const char *partition, tmk_start start);
void pond_read_end(pond_reader *r);

/* ---- sends that are counted ---- */

typedef struct pond_fates {
    uint64_t count, stored, failed, maybe_twice, maybe_stored, attempts;
    tmk_error last;
} pond_fates;
void pond_fate(void *user, const tmk_fate *fate); /* user: a pond_fates */
/* Sends one event whose body is `text`. */
tmk_status pond_send(tmk_producer *producer, const char *text, const char *partition,
                     const char *key, pond_fates *fates, tmk_error *err);

#endif
