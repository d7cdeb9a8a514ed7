/*
 * A calm live view on a terminal: the whole picture is made as text, clipped to
 * the window and written over the one before in one go, so nothing flickers.
 * It stands on the terminal's second screen: what was there is back at the end.
 *
 * What others have written (names, keys, bodies) goes in by cli_view_text(),
 * which lets no control character through.
 *
 * Threads: one; cli_view_restore() from anywhere, also from a signal handler.
 */
#ifndef TIDEMARK_TOOL_VIEW_H
#define TIDEMARK_TOOL_VIEW_H

#include "format.h"

typedef struct cli_window {
    unsigned rows, columns;
} cli_window;

/* Standard output is a terminal that can do this. */
bool cli_view_possible(void);
/* Begins to catch changes of the window's size: they write an 'r' into wake_fd. */
void cli_view_begin(int wake_fd);
/* The window now, from the terminal. */
cli_window cli_view_window(void);
/* Draws lines, each ended by '\n'; what does not fit is cut. Bold, dim and colours may be used. */
void cli_view_draw(const cli_buffer *picture, cli_window window);
/* Gives the terminal back; does nothing where no view stands. Async-signal-safe. */
void cli_view_restore(void);

/* Pure: what cli_view_draw() writes. */
void cli_view_compose(const cli_buffer *picture, cli_window window, cli_buffer *out);

/* Appends foreign text in at most `columns` columns; control characters become '.'. */
void cli_view_text(cli_buffer *b, const char *text, unsigned columns);
/* The same, filled up with blanks. */
void cli_view_cell(cli_buffer *b, const char *text, unsigned columns);
/* "3.2 s", "4 min", "2.0 h"; "-" below 0. */
const char *cli_span(int64_t ms, char *out, size_t room);

#endif
