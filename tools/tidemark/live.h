/*
 * The live view of a running consume. cli_live_picture() is pure: the picture as text.
 *
 * Threads: the main thread, but for cli_live_event().
 */
#ifndef TIDEMARK_TOOL_LIVE_H
#define TIDEMARK_TOOL_LIVE_H

#include "seen.h"
#include "view.h"

typedef struct cli_live_input {
    const tmk_stats *now, *before; /* NULL: none yet */
    bool stopping;
    const cli_recent *recent; /* the newest first */
    size_t recent_count;
    const char *const *events; /* the last events as text, the newest first */
    size_t event_count;
    cli_window window;
} cli_live_input;

void cli_live_picture(const cli_live_input *in, cli_buffer *out);

enum { CLI_TAIL_MAX = 32, CLI_TAIL_TEXT = 256 };

/* The view of one run. */
typedef struct cli_live {
    cli_seen *seen;
    tmk_stats *now, *before;                /* as last drawn, and the look before that */
    int64_t draw_at_ms;                     /* monotonic */
    pthread_mutex_t lock;                   /* guards what follows */
    char tail[CLI_TAIL_MAX][CLI_TAIL_TEXT]; /* the last events, cut; ring */
    uint64_t tail_count;
} cli_live;

/* Takes the terminal. wake_fd: see cli_view_begin(). NULL: no memory. */
cli_live *cli_live_begin(cli_seen *seen, int wake_fd);
/* Gives it back. NULL is fine; returns NULL. */
cli_live *cli_live_end(cli_live *l);
/* An event as a line. Threads: any. */
void cli_live_event(cli_live *l, const char *line, size_t size);
/* Draws when it is time, or `now`; returns in how many milliseconds it is to be called again. */
int64_t cli_live_draw(cli_live *l, bool now);

#endif
