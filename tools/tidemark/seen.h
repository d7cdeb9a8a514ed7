/*
 * What a running consume shows of itself: the newest statistics and the last
 * things that happened, for the HTTP endpoint and the live view.
 *
 * Threads: any. The lock is held for copying alone; statistics are handed out
 * by reference.
 */
#ifndef TIDEMARK_TOOL_SEEN_H
#define TIDEMARK_TOOL_SEEN_H

#include <tidemark/stats.h>

#include <pthread.h>

enum { CLI_RECENT_MAX = 64, CLI_RECENT_TEXT = 240 };

/* One thing that happened: a log line at info or above. */
typedef struct cli_recent {
    int64_t t_ms; /* since 1970 */
    tmk_log_level level;
    char event[32];
    char fields[CLI_RECENT_TEXT]; /* cut */
} cli_recent;

typedef struct cli_seen {
    pthread_mutex_t lock;
    tmk_stats *last;  /* NULL: none yet */
    int64_t begun_ms; /* monotonic: when this was set up ... */
    int64_t heard_ms; /* ... and when `last` came */
    bool stopping;
    cli_recent recent[CLI_RECENT_MAX]; /* ring */
    uint64_t recent_count;             /* ever */
    tmk_log inner;                     /* the log that lines go on to ... */
    bool problems_elsewhere;           /* ... but processor.problem: that is said in words */
} cli_seen;

void cli_seen_init(cli_seen *s, const tmk_log *inner);
void cli_seen_clear(cli_seen *s);

void cli_seen_put(cli_seen *s, const tmk_stats *stats); /* keeps a reference */
void cli_seen_stopping(cli_seen *s);

/* A log that remembers what comes by at info and above, and hands on what `inner` wants. */
tmk_log cli_seen_log(cli_seen *s);

/* The newest statistics (NULL: none yet; free them), their age, and whether a stop has begun. */
tmk_stats *cli_seen_take(cli_seen *s, int64_t *age_ms, bool *stopping);
/* Copies up to `room` of the last lines, the newest first; returns how many. */
size_t cli_seen_recent(cli_seen *s, cli_recent *out, size_t room);

int64_t cli_monotonic_ms(void);

#endif
