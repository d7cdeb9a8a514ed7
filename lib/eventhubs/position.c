/* See position.h. */
#include "eventhubs/position.h"

#include <string.h>

/* The first number that can come, where the start tells it; the service may still begin later. */
static int64_t first_of(const tmk_start *s) {
    if (s->kind == TMK_START_SEQUENCE && s->sequence < INT64_MAX) {
        return s->inclusive ? s->sequence : s->sequence + 1;
    }
    return -1;
}

void tmk_position_init(tmk_position *p, const tmk_start *start) {
    memset(p, 0, sizeof *p);
    p->start = *start;
    p->sequence = -1;
    p->expected = first_of(start);
}

tmk_seen tmk_position_on_event(tmk_position *p, int64_t sequence, int64_t enqueued_ms,
                               int64_t *missing) {
    tmk_seen verdict = TMK_SEEN_NEXT;

    if (p->expected >= 0 && sequence < p->expected) {
        /* What was sent before is older; an event that is newer but has a lower number belongs
         * to another stream. */
        if (p->any && enqueued_ms > p->enqueued_ms) {
            return TMK_SEEN_BACK;
        }
        p->repeated++;
        return TMK_SEEN_REPEAT;
    }
    if (p->expected >= 0 && sequence > p->expected) {
        *missing = sequence - p->expected;
        p->missing += (uint64_t)*missing;
        verdict = TMK_SEEN_GAP;
    }
    p->any = true;
    p->sequence = sequence;
    p->enqueued_ms = enqueued_ms;
    p->expected = sequence < INT64_MAX ? sequence + 1 : sequence;
    p->offset[0] = '\0';
    return verdict;
}

void tmk_position_on_offset(tmk_position *p, tmk_slice offset) {
    tmk_start fit;

    p->offset[0] = '\0';
    if (tmk_start_offset(offset, false, &fit, NULL) == TMK_OK) {
        memcpy(p->offset, fit.offset, sizeof p->offset);
    }
}

bool tmk_position_needs_facts(const tmk_position *p) {
    return !p->any && p->start.kind == TMK_START_LATEST;
}

void tmk_position_on_facts(tmk_position *p, const tmk_partition_facts *facts) {
    if (!tmk_position_needs_facts(p)) {
        return;
    }
    /* The sequence form, since on a geo-replicated namespace the offset that the management tells
     * is no start. */
    p->start = facts->last_sequence < 0 ? tmk_start_earliest()
                                        : tmk_start_sequence(facts->last_sequence, false);
    p->expected = facts->last_sequence < 0 ? 0 : first_of(&p->start);
}

void tmk_position_resume(const tmk_position *p, tmk_start *out) {
    if (!p->any && p->start.kind == TMK_START_SEQUENCE && p->start.sequence < 0) {
        *out = tmk_start_earliest(); /* a hub that never had an event refuses "after -1" */
    } else if (!p->any) {
        *out = p->start;
    } else if (p->offset[0] != '\0') {
        *out = (tmk_start){.kind = TMK_START_OFFSET};
        memcpy(out->offset, p->offset, sizeof out->offset);
    } else {
        *out = tmk_start_sequence(p->sequence, false);
    }
}

bool tmk_position_is_behind(const tmk_position *p, const tmk_partition_facts *facts,
                            const tmk_partition_facts *before) {
    if (facts->empty || facts->last_sequence < 0) {
        return false;
    }
    if (p->expected >= 0) {
        return facts->last_sequence >= p->expected;
    }
    switch (p->start.kind) {
    case TMK_START_EARLIEST:
        return true;
    case TMK_START_TIME:
        return facts->last_enqueued_ms > p->start.unix_ms;
    case TMK_START_LATEST:
    case TMK_START_SEQUENCE:
    case TMK_START_OFFSET:
        break;
    }
    /* What came since the link opened lies behind any position that it could be opened at. */
    return before != NULL && facts->last_sequence > before->last_sequence;
}
