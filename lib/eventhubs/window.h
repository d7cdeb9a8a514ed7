/*
 * How many events a reader lets come: by count and by bytes, whichever is
 * reached first.
 *
 * Pure. The size of what has not come is guessed from what has; one event is
 * always let come when nothing is held, however large they are.
 */
#ifndef TMK_EVENTHUBS_WINDOW_H
#define TMK_EVENTHUBS_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tmk_window {
    uint32_t count_max;
    uint64_t bytes_max;
    uint64_t granted; /* let come and not come yet */
    uint64_t held;    /* come and not given back */
    uint64_t held_bytes;
    uint64_t size; /* of an event, smoothed; 0: none has come */
} tmk_window;

void tmk_window_init(tmk_window *w, uint32_t count_max, uint64_t bytes_max);
void tmk_window_on_events(tmk_window *w, uint32_t count, uint64_t bytes);
void tmk_window_on_back(tmk_window *w, uint32_t count, uint64_t bytes);
/* How many more to let come now; they count as granted. */
uint32_t tmk_window_grant(tmk_window *w);

#endif
