/*
 * A world in which Tidemark's fleets, claiming in the shared way, work in one
 * group with models of the official processors: one container of blobs, on
 * which both write, and one hub. The checkers see all of it.
 *
 *   M1 nothing lost       no reader starts, and no checkpoint stands, behind a gap
 *   M2 never back         no Tidemark write takes a checkpoint back
 *   M3 own                Tidemark opens only what the records call its own
 *   M4 nothing repeated   among Tidemark's own, joins and leaves repeat no event
 *   M5 in order           all owned by who lives, read once, counts fair
 *   M6 quiet              then nothing changes hands
 *   M7 nothing left       who has left in good order owns nothing, nor is anything passed to it
 *   M8 knows of it        what another has claimed Tidemark reads no longer than a renewal or two,
 *                         but while it cannot reach the store; also after a sleep. And no link that
 *                         stands again is read that may have taken it from another
 *   M9 no fight           Tidemark takes a link back a few times; then the other is gone for good
 */
#ifndef TMK_SIM_MIXED_H
#define TMK_SIM_MIXED_H

#include "core/fleet.h"
#include "kernel.h"
#include "sim_blobs.h"
#include "sim_hub.h"

enum { MIXED_ACTORS_MAX = 32, MIXED_PARTITIONS_MAX = 48, MIXED_ID_ROOM = 64 };

typedef struct mixed mixed;
typedef struct mixed_actor mixed_actor;

/* The processors' algorithms, by what the fact sheet says of each. */
typedef enum mixed_kind {
    MIXED_TIDEMARK,
    MIXED_NET_BALANCED,
    MIXED_NET_GREEDY,
    MIXED_JAVA_BALANCED,
    MIXED_JAVA_GREEDY,
    MIXED_GO_BALANCED,
    MIXED_GO_GREEDY,
    MIXED_PYTHON_BALANCED,
    MIXED_PYTHON_GREEDY,
    MIXED_JS_BALANCED,
    MIXED_JS_GREEDY,
    MIXED_KINDS
} mixed_kind;

typedef enum mixed_reading {
    MIXED_NOT,
    MIXED_OPENING,
    MIXED_RUNS,
    MIXED_DRAINS,
    MIXED_STOPS
} mixed_reading;

typedef struct mixed_reader {
    mixed_actor *actor;
    size_t partition;
    mixed_reading state;
    sim_link *link;
    bool fenced, held, lost;
    int64_t dispatched, final, saved;
    tmk_time since;
    tmk_time attached_at, opened_at;
    size_t opens; /* in this ownership */
    sim_event finish, save, start;
    char etag[24]; /* official: of our ownership; "": not ours */
    char listed[24];
    bool mine;
} mixed_reader;

struct mixed_actor {
    mixed *world;
    size_t number;
    mixed_kind kind;
    char id[MIXED_ID_ROOM];
    bool alive, stopping, frozen;
    sim_process process;
    sim_hub_client *hub;
    tmk_rng rng;
    mixed_reader readers[MIXED_PARTITIONS_MAX];
    tmk_time handler, save_every;
    sim_event step, wake;
    /* Tidemark */
    tmk_fleet *fleet;
    sim_blobs_client *store;
    tmk_time trust;
    bool fenced;
    /* official */
    tmk_time interval, expiry;
    size_t queue[MIXED_PARTITIONS_MAX * 2], queue_count, queue_at;
    bool again;
    double busy; /* how often its handler runs when its link is taken */
};

typedef struct mixed_truth {
    int64_t done, dispatched;
    tmk_time changed_at; /* hands, the last time */
} mixed_truth;

struct mixed {
    sim_kernel kernel;
    sim_blobs *blobs;
    sim_hub *hub;
    size_t partitions;
    int64_t rate;
    mixed_actor *actors[MIXED_ACTORS_MAX];
    size_t actor_count;
    mixed_truth truth[MIXED_PARTITIONS_MAX];
    tmk_rng rng;
    bool planned_only; /* Tidemark alone, joins and leaves alone */
    bool at_rest;
    tmk_time clear_since; /* the store has had no trouble; TMK_NEVER: it has some */
    uint64_t moves, repeats;
};

void mixed_init(mixed *m, uint64_t seed, size_t partitions, FILE *trace);
void mixed_clear(mixed *m);
mixed_actor *mixed_start(mixed *m, mixed_kind kind);
void mixed_stop(mixed_actor *a);
void mixed_kill(mixed_actor *a);
void mixed_freeze(mixed_actor *a, tmk_time length);
void mixed_cut_hub(mixed_actor *a, bool cut);
size_t mixed_alive(const mixed *m);
bool mixed_in_order(const mixed *m, char *why, size_t room);
extern const char *const mixed_names[MIXED_KINDS];

/* --- inside: reading, and both sorts of actors --- */

void mixed_name(char out[64], const char *folder, size_t partition);
void mixed_advance(mixed_reader *r);
void mixed_open(mixed_reader *r, int64_t start, int64_t level, const sim_link_events *events);
void mixed_close(mixed_reader *r);
int64_t mixed_in_hand(const mixed_reader *r);
void mixed_final(mixed_reader *r, int64_t final);
int64_t mixed_checkpoint(const mixed *m, size_t partition);             /* -1: none */
const char *mixed_owner(const mixed *m, size_t partition);              /* "": nobody */
int64_t mixed_meta_number(const tmk_blob_meta *meta, const char *name); /* -1: none */

void ours_start(mixed_actor *a);
void ours_stop(mixed_actor *a);
void ours_end(mixed_actor *a);
void ours_run(mixed_actor *a);
void official_start(mixed_actor *a);
void official_stop(mixed_actor *a);
void official_end_zombies(mixed_actor *a);

#endif
