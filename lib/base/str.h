/*
 * Growable text. A failed allocation is remembered ("sticky"), so that a row
 * of appends is checked once, by tmk_str_ok() or tmk_str_take().
 */
#ifndef TMK_BASE_STR_H
#define TMK_BASE_STR_H

#include "base/slice.h"

#include <stdarg.h>

typedef struct tmk_str {
    char *text; /* NUL-terminated, or NULL while empty */
    size_t size;
    size_t room;
    bool failed;
} tmk_str;

#define TMK_STR_INIT \
    { NULL, 0, 0, false }

void tmk_str_clear(tmk_str *s); /* frees */
void tmk_str_wipe(tmk_str *s);  /* overwrites, then frees: for text that held a secret */
/* Room for `size` bytes in all, so that a text up to that size never moves. */
bool tmk_str_reserve(tmk_str *s, size_t size);
void tmk_str_reset(tmk_str *s);             /* empties, keeps the memory */
bool tmk_str_ok(const tmk_str *s);          /* no append has failed */
const char *tmk_str_text(const tmk_str *s); /* never NULL */
tmk_slice tmk_str_slice(const tmk_str *s);
/* The text, now the caller's ("" too); NULL when an append failed. s is empty then. */
char *tmk_str_take(tmk_str *s);

void tmk_str_add(tmk_str *s, const char *text);
void tmk_str_add_slice(tmk_str *s, tmk_slice bytes);
void tmk_str_add_char(tmk_str *s, char c);
TMK_PRINTF(2, 3) void tmk_str_addf(tmk_str *s, const char *format, ...);
TMK_PRINTF(2, 0) void tmk_str_addfv(tmk_str *s, const char *format, va_list args);

char *tmk_str_join(const char *a, const char *b); /* a new string; NULL when out of memory */
TMK_PRINTF(1, 2) char *tmk_str_format(const char *format, ...);

/* Encodings; each appends to *s. */
void tmk_str_add_percent(tmk_str *s, tmk_slice bytes); /* as encodeURIComponent, upper-case hex */
void tmk_str_add_json(tmk_str *s, tmk_slice utf8); /* with the quotes; bad UTF-8 becomes U+FFFD */
void tmk_str_add_base64(tmk_str *s, tmk_slice bytes);
void tmk_str_add_base64url(tmk_str *s, tmk_slice bytes); /* without padding */
void tmk_str_add_hex(tmk_str *s, tmk_slice bytes);
bool tmk_str_add_unpercent(tmk_str *s, tmk_slice text); /* false on a bad escape */
bool tmk_str_add_unbase64(tmk_str *s, tmk_slice text);  /* false on bad text; both alphabets */
void tmk_str_add_iso_time(tmk_str *s, int64_t unix_ms); /* 2026-11-20T21:15:39.123Z */

#endif
