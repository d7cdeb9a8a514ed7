/*
 * An event as a line: JSON, or its bare body. Written into a buffer that is
 * used again, so that a line costs no allocation.
 */
#ifndef TIDEMARK_TOOL_FORMAT_H
#define TIDEMARK_TOOL_FORMAT_H

#include <tidemark/event.h>

#include <stdio.h>

typedef struct cli_buffer {
    char *text;
    size_t size, room;
    bool failed; /* out of memory: the text is not whole */
} cli_buffer;

void cli_add(cli_buffer *b, const void *bytes, size_t size);
void cli_add_text(cli_buffer *b, const char *text);
/* Writes it all; false when it could not be built or not be written. */
bool cli_put(const cli_buffer *b, FILE *to);
__attribute__((format(printf, 2, 3))) void cli_addf(cli_buffer *b, const char *format, ...);
void cli_add_json(cli_buffer *b, tmk_slice utf8); /* with the quotes */
void cli_free(cli_buffer *b);

/*
 * {"partition":"0","sequence":12,"offset":"4096","enqueued":"2026-11-20T21:15:39.123Z","key":"k",
 *  "body":"...","properties":{...}}; "body_base64" where the body is not UTF-8; no "key" and no
 * "properties" where the event has none.
 */
void cli_format_json(cli_buffer *b, const tmk_event *e);
/* The body and a line end. */
void cli_format_raw(cli_buffer *b, const tmk_event *e);

#endif
