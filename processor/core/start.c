/* Where to start; see start.h. */
#include "core/start.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

/* The place below the oldest event there is. */
static int64_t tail(const tmk_partition_facts *f) {
    return f->empty ? f->last_sequence : f->begin_sequence - 1;
}

static tmk_position position_at(int64_t sequence) {
    return (tmk_position){.sequence = sequence < -1 ? -1 : sequence, .enqueued_ms = -1};
}

static void at_earliest(const tmk_partition_facts *f, tmk_start_answer *a) {
    a->start = (tmk_start){.kind = TMK_START_EARLIEST};
    a->resolved = true;
    a->position = position_at(tail(f));
}

static void after_sequence(int64_t sequence, tmk_start_answer *a) {
    a->start = (tmk_start){.kind = TMK_START_SEQUENCE, .sequence = sequence};
    if (sequence < 0) {
        a->start = (tmk_start){.kind = TMK_START_EARLIEST};
    }
    a->resolved = true;
    a->position = position_at(sequence);
}

/* After the newest of this moment, not "what comes once the link stands": nothing may slip between.
 */
static void at_latest(const tmk_partition_facts *f, tmk_start_answer *a) {
    after_sequence(f->last_sequence, a);
    if (f->last_sequence >= 0) {
        a->position.enqueued_ms = f->last_enqueued_ms < 0 ? -1 : f->last_enqueued_ms;
        if (strlen(f->last_offset) < sizeof a->position.offset) {
            (void)snprintf(a->position.offset, sizeof a->position.offset, "%s", f->last_offset);
        }
    }
}

static void at_time(int64_t unix_ms, tmk_start_answer *a) {
    a->start = (tmk_start){.kind = TMK_START_TIME, .inclusive = true, .unix_ms = unix_ms};
    a->resolved = false;
}

static void at_start(const tmk_start *s, const tmk_partition_facts *f, tmk_start_answer *a) {
    int64_t after = s->inclusive && s->sequence >= 0 ? s->sequence - 1 : s->sequence;

    switch (s->kind) {
    case TMK_START_EARLIEST:
        at_earliest(f, a);
        break;
    case TMK_START_LATEST:
        at_latest(f, a);
        break;
    case TMK_START_SEQUENCE:
        if (after >= 0) {
            after_sequence(after, a);
        } else {
            at_earliest(f, a);
        }
        break;
    case TMK_START_OFFSET:
    case TMK_START_TIME:
        a->start = *s;
        a->resolved = false;
        break;
    }
}

static void at_checkpoint(const tmk_start_wish *w, tmk_start_answer *a) {
    const tmk_checkpoint *c = w->checkpoint;
    const char *offset = c->offset == NULL ? "" : c->offset;

    if (c->sequence_known) {
        after_sequence(c->sequence, a);
        a->position.enqueued_ms = w->enqueued_ms;
    } else {
        a->start = (tmk_start){.kind = TMK_START_OFFSET};
        (void)snprintf(a->start.offset, sizeof a->start.offset, "%s", offset);
        a->resolved = false;
        a->position = position_at(-1);
    }
    if (strlen(offset) < sizeof a->position.offset) {
        (void)snprintf(a->position.offset, sizeof a->position.offset, "%s", offset);
    }
    a->from_checkpoint = true;
}

/* A checkpoint that says something: an offset too long for a link is as good as none. */
static bool usable(const tmk_checkpoint *c) {
    return c != NULL && c->present &&
           (c->sequence_known ? c->sequence >= -1
                              : c->offset != NULL && c->offset[0] != '\0' &&
                                    strlen(c->offset) < sizeof(((tmk_start *)0)->offset));
}

static void judge(const tmk_start_wish *w, const tmk_partition_facts *f, tmk_start_answer *a) {
    int64_t at = a->position.sequence;

    if (!a->resolved) {
        a->trouble = w->refused ? TMK_START_EXPIRED : TMK_START_FINE;
    } else if (at - TMK_STALE_FACTS > f->last_sequence) {
        a->trouble = TMK_START_RECREATED;
    } else if (at < tail(f) && (at >= 0 || a->from_checkpoint)) {
        a->trouble = TMK_START_EXPIRED;
        a->lost = tail(f) - at;
    } else if (at > f->last_sequence) {
        a->trouble = TMK_START_BEYOND;
    } else if (w->refused) {
        a->trouble = TMK_START_EXPIRED;
    }
}

static tmk_status refuse(const tmk_start_answer *a, const tmk_partition_facts *f, const char *why,
                         tmk_error *err) {
    static const char *const words[] = {"is refused by the service", "was removed by retention",
                                        "lies past the end", "belongs to another hub of this name"};

    return tmk_fail(err, TMK_EPOSITION, "position",
                    "the position after sequence %" PRId64 " %s (the partition has %" PRId64
                    " to %" PRId64 ")%s",
                    a->position.sequence, words[a->trouble], tail(f) + 1, f->last_sequence, why);
}

/* The position is gone: what was declared for that. */
static tmk_status replace(const tmk_start_wish *w, const tmk_partition_facts *f,
                          tmk_start_answer *a, tmk_error *err) {
    bool same_hub = a->trouble == TMK_START_EXPIRED;

    switch (w->lost) {
    case TMK_POSITION_EARLIEST:
        at_earliest(f, a);
        a->from_checkpoint = a->from_checkpoint && same_hub;
        return TMK_OK;
    case TMK_POSITION_LATEST:
        at_latest(f, a);
        break;
    case TMK_POSITION_TIME:
        if (w->enqueued_ms < 0) {
            return refuse(a, f, "; the time of the last final event is not known", err);
        }
        at_time(w->enqueued_ms, a);
        break;
    case TMK_POSITION_FAIL:
        return refuse(a, f, "; choose where to go on", err);
    }
    a->from_checkpoint = false;
    return TMK_OK;
}

tmk_status tmk_start_resolve(const tmk_start_wish *wish, const tmk_partition_facts *facts,
                             tmk_start_answer *out, tmk_error *err) {
    *out = (tmk_start_answer){.position = position_at(-1)};
    if (wish->chosen != NULL) {
        at_start(wish->chosen, facts, out);
    } else if (usable(wish->checkpoint)) {
        at_checkpoint(wish, out);
    } else {
        at_start(&wish->fallback, facts, out);
    }
    judge(wish, facts, out);
    if (out->trouble == TMK_START_FINE || (out->trouble == TMK_START_BEYOND && !wish->refused)) {
        return TMK_OK;
    }
    return replace(wish, facts, out, err);
}

bool tmk_start_same(const tmk_start *a, const tmk_start *b) {
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case TMK_START_SEQUENCE:
        return a->sequence - a->inclusive == b->sequence - b->inclusive;
    case TMK_START_OFFSET:
        return a->inclusive == b->inclusive && strcmp(a->offset, b->offset) == 0;
    case TMK_START_TIME:
        return a->inclusive == b->inclusive && a->unix_ms == b->unix_ms;
    default:
        return true;
    }
}
