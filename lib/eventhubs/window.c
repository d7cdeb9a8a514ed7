/* See window.h. */
#include "eventhubs/window.h"

#include <string.h>

enum { SIZE_GUESS = 16 * 1024 }; /* before the first event has come */

void tmk_window_init(tmk_window *w, uint32_t count_max, uint64_t bytes_max) {
    memset(w, 0, sizeof *w);
    w->count_max = count_max;
    w->bytes_max = bytes_max;
}

void tmk_window_on_events(tmk_window *w, uint32_t count, uint64_t bytes) {
    uint64_t size = count == 0 ? 0 : bytes / count;

    w->granted -= count < w->granted ? count : w->granted;
    w->held += count;
    w->held_bytes += bytes;
    if (count > 0) {
        /* Up at once, down slowly: memory first. */
        w->size = size > w->size ? size : w->size - (w->size - size) / 8;
        w->size = w->size == 0 ? 1 : w->size;
    }
}

void tmk_window_on_back(tmk_window *w, uint32_t count, uint64_t bytes) {
    w->held -= count < w->held ? count : w->held;
    w->held_bytes -= bytes < w->held_bytes ? bytes : w->held_bytes;
}

uint32_t tmk_window_grant(tmk_window *w) {
    uint64_t size = w->size == 0 ? SIZE_GUESS : w->size;
    uint64_t room = w->held_bytes < w->bytes_max ? (w->bytes_max - w->held_bytes) / size : 0;
    uint64_t count = w->held < w->count_max ? w->count_max - w->held : 0;
    uint64_t all = room < count ? room : count;

    if (all == 0 && w->held == 0) {
        all = 1;
    }
    if (all <= w->granted) {
        return 0;
    }
    all -= w->granted;
    w->granted += all;
    return (uint32_t)all;
}
