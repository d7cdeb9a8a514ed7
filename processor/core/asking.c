/* The table of questions under way. */
#include "core/asking.h"

#include <string.h>

#include "base/assert.h"
#include "base/backoff.h"
#include "core/mutants.h"

/* After the try's own deadline the store has this long to say so. */
#define GRACE TMK_SEC

static const tmk_backoff when_busy = {200 * TMK_MS, 10 * TMK_SEC, 2.0, 0.5};

void tmk_asking_init(tmk_asking *a, unsigned lanes_max) {
    memset(a, 0, sizeof *a);
    a->lanes_max = lanes_max;
    a->lanes = lanes_max;
}

bool tmk_asking_lane_free(const tmk_asking *a, tmk_time now) {
    return a->lanes_used < a->lanes && now >= a->closed_until;
}

tmk_asked *tmk_asking_take(tmk_asking *a, tmk_store_op_kind kind, struct tmk_holding *holding,
                           tmk_time now, tmk_time try_) {
    for (size_t i = 0; i < TMK_ASKED_MAX; i++) {
        tmk_asked *it = &a->slots[i];

        if (it->ticket == 0) {
            *it = (tmk_asked){.ticket = ++a->tickets,
                              .kind = kind,
                              .holding = holding,
                              .sent = now,
                              .overdue = tmk_time_after(now, try_ + GRACE)};
            a->lanes_used += holding != NULL;
            return it;
        }
    }
    return NULL;
}

tmk_asked *tmk_asking_find(tmk_asking *a, uint64_t ticket) {
    for (size_t i = 0; ticket != 0 && i < TMK_ASKED_MAX; i++) {
        if (a->slots[i].ticket == ticket) {
            return &a->slots[i];
        }
    }
    return NULL;
}

static void slow_down(tmk_asking *a, tmk_time now, int64_t retry_after_ms, tmk_rng *rng) {
    tmk_time asked_for = retry_after_ms > 60000 ? TMK_MIN : retry_after_ms * TMK_MS;
    tmk_time wait = tmk_backoff_delay(&when_busy, ++a->busy, rng);

    if (TMK_MUTANT(LANES_KEPT)) {
        return;
    }
    a->quiet = 0;
    a->closed_until = tmk_time_after(now, wait > asked_for ? wait : asked_for);
    if (a->busy == 1 || a->lanes_used < a->lanes) {
        a->lanes = a->lanes > 1 ? a->lanes / 2 : 1;
    }
}

void tmk_asking_answered(tmk_asking *a, tmk_asked *asked, tmk_time now, tmk_status status,
                         int64_t retry_after_ms, tmk_rng *rng) {
    tmk_assert(asked->ticket != 0);
    if (asked->holding != NULL) {
        tmk_assert(a->lanes_used > 0);
        a->lanes_used--;
    }
    asked->ticket = 0;
    if (status == TMK_EBUSY) {
        slow_down(a, now, retry_after_ms, rng);
    } else if (status >= 0) {
        a->busy = 0;
        if (a->lanes < a->lanes_max && ++a->quiet >= a->lanes) {
            a->quiet = 0;
            a->lanes++;
        }
    }
}

tmk_asked *tmk_asking_overdue(tmk_asking *a, tmk_time now) {
    for (size_t i = 0; i < TMK_ASKED_MAX; i++) {
        if (a->slots[i].ticket != 0 && now >= a->slots[i].overdue) {
            return &a->slots[i];
        }
    }
    return NULL;
}

tmk_time tmk_asking_deadline(const tmk_asking *a) {
    tmk_time first = TMK_NEVER;

    for (size_t i = 0; i < TMK_ASKED_MAX; i++) {
        if (a->slots[i].ticket != 0) {
            first = tmk_time_min(first, a->slots[i].overdue);
        }
    }
    return first;
}
