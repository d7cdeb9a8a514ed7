/* Offsets as readers see them, and where reading starts. See core.h. */
#include "hub/core.h"

#include <inttypes.h>
#include <stdio.h>

#include "hub/bytes.h"

/*
 * On a geo-replicated namespace an offset is no number. Ours look the part: a
 * segment, a colon, the number in base 32 with a check letter; only this file
 * knows it.
 */
static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

static void geo_text(char *out, size_t room, int64_t offset) {
    char reversed[16];
    size_t count = 0;
    uint64_t v = (uint64_t)offset;

    do {
        reversed[count++] = digits[v & 31];
        v >>= 5;
    } while (v > 0);
    (void)snprintf(out, room, "g1:");
    for (size_t i = 3; count > 0 && i + 2 < room; i++) {
        out[i] = reversed[--count];
        out[i + 1] = 'z';
        out[i + 2] = '\0';
    }
}

static bool geo_parse(tmk_slice text, int64_t *out) {
    uint64_t v = 0;

    if (text.size < 5 || text.size > 3 + 13 + 1 || memcmp(text.bytes, "g1:", 3) != 0 ||
        text.bytes[text.size - 1] != 'z') {
        return false;
    }
    for (size_t i = 3; i + 1 < text.size; i++) {
        const char *digit = memchr(digits, text.bytes[i], sizeof digits - 1);
        if (digit == NULL || v > (UINT64_MAX >> 6)) {
            return false;
        }
        v = v << 5 | (uint64_t)(digit - digits);
    }
    *out = (int64_t)(v & INT64_MAX);
    return true;
}

tmk_hub_offset tmk_hub_offset_text(const tmk_hub_entity *e, int64_t offset) {
    tmk_hub_offset o = {""};

    if (e->geo) {
        geo_text(o.text, sizeof o.text, offset);
    } else {
        (void)snprintf(o.text, sizeof o.text, "%" PRId64, offset);
    }
    return o;
}

tmk_hub_offset tmk_hub_part_last_offset(const tmk_hub_part *p) {
    if (p->log.last_offset < 0) {
        return (tmk_hub_offset){"-1"};
    }
    return tmk_hub_offset_text(p->entity, p->log.last_offset);
}

int64_t tmk_hub_part_last_sequence(const tmk_hub_part *p) {
    return p->log.visible - 1;
}

static bool at_offset(const tmk_hub_part *p, const tmk_hub_from *start, int64_t *sequence,
                      tmk_hub_fail *fail) {
    int64_t offset = 0;
    bool number = tmk_slice_int64(start->offset, &offset);
    tmk_hub_offset last = tmk_hub_part_last_offset(p);
    int shown = (int)(start->offset.size < 64 ? start->offset.size : 64);

    if (p->entity->geo && !geo_parse(start->offset, &offset)) {
        tmk_hub_fail_set(fail, TMK_HUB_GEO_OFFSET,
                         "The supplied offset '%.*s' is invalid on a geo-replicated namespace. "
                         "Offsets from before cannot be used; start from a sequence number or a "
                         "time.",
                         shown, (const char *)start->offset.bytes);
        return false;
    }
    if ((!p->entity->geo && !number) || offset > p->log.last_offset || offset < -1) {
        tmk_hub_fail_set(fail, TMK_HUB_ARGUMENT,
                         "The supplied offset '%.*s' is invalid. The last offset in the system is "
                         "'%s'",
                         shown, (const char *)start->offset.bytes, last.text);
        return false;
    }
    *sequence = tmk_hub_log_seek_offset(&p->log, offset, start->inclusive);
    return true;
}

static bool at_sequence(const tmk_hub_part *p, const tmk_hub_from *start, int64_t *sequence,
                        tmk_hub_fail *fail) {
    int64_t last = tmk_hub_part_last_sequence(p);
    int64_t first;

    if (start->number > last || start->number < -1) {
        tmk_hub_fail_set(fail, TMK_HUB_ARGUMENT,
                         "The supplied sequence number '%" PRId64 "' is invalid. The last sequence "
                         "number in the system is '%" PRId64 "'",
                         start->number, last);
        return false;
    }
    first = start->inclusive ? start->number : start->number + 1;
    *sequence = first > p->log.begin ? first : p->log.begin;
    return true;
}

bool tmk_hub_part_position(const tmk_hub_part *p, const tmk_hub_from *start, int64_t *sequence,
                           tmk_hub_fail *fail) {
    switch (start->kind) {
    case TMK_HUB_FROM_EARLIEST:
        *sequence = p->log.begin;
        return true;
    case TMK_HUB_FROM_LATEST:
        *sequence = p->log.visible;
        return true;
    case TMK_HUB_FROM_TIME:
        *sequence = tmk_hub_log_seek_time(&p->log, start->number, start->inclusive);
        return true;
    case TMK_HUB_FROM_OFFSET:
        return at_offset(p, start, sequence, fail);
    case TMK_HUB_FROM_SEQUENCE:
        break;
    }
    return at_sequence(p, start, sequence, fail);
}

/* ---- changing between the two forms ---- */

/* The event with another offset text. Its annotations are the first section after the header. */
static void rewrite(tmk_str *out, tmk_slice event, size_t header_size, const char *offset) {
    tmk_slice annotated = tmk_slice_from(event, header_size);
    tmk_slice old = tmk_hub_event_offset(annotated);
    size_t before = old.bytes == NULL ? event.size : (size_t)(old.bytes - event.bytes) - 1;
    size_t size_at = header_size + 4; /* of the map: descriptor 3, d1, size 4 */

    tmk_str_add_slice(out, tmk_slice_of(event.bytes, before));
    if (old.bytes == NULL) {
        return; /* not of our making: it stays as it is */
    }
    tmk_str_add_char(out, (char)strlen(offset));
    tmk_str_add(out, offset);
    tmk_str_add_slice(out, tmk_slice_from(event, before + 1 + old.size));
    if (!tmk_str_ok(out)) {
        return;
    }
    tmk_hub_store32(out->text + size_at, tmk_hub_load32(event.bytes + size_at) +
                                             (uint32_t)strlen(offset) - (uint32_t)old.size);
}

static tmk_status rewrite_log(tmk_hub_part *p, tmk_str *scratch) {
    const tmk_hub_log *old = &p->log;
    tmk_hub_log log;
    tmk_status st = TMK_OK;

    tmk_hub_log_init(&log);
    tmk_hub_log_restart(&log, old->begin, 0, old->last_offset, old->last_ms);
    for (int64_t s = old->begin; st == TMK_OK && s < old->visible; s++) {
        const tmk_hub_entry *e = NULL;
        uint32_t count = 0;
        const tmk_hub_chunk *c = tmk_hub_log_find(old, s, &e, &count);
        tmk_hub_offset text = tmk_hub_offset_text(p->entity, e->offset);
        tmk_str_reset(scratch);
        rewrite(scratch, tmk_slice_of(c->bytes + e->at, e->size), e->header_size, text.text);
        log.offset_next = e->offset;
        st = tmk_str_ok(scratch)
                 ? tmk_hub_log_append(&log, tmk_str_slice(scratch), e->header_size, e->enqueued_ms)
                 : TMK_ENOMEM;
    }
    if (st < 0) {
        tmk_hub_log_clear(&log);
        return st;
    }
    tmk_hub_log_show(&log, log.end);
    log.offset_next = old->offset_next;
    tmk_hub_log_clear(&p->log);
    p->log = log;
    return TMK_OK;
}

tmk_status tmk_hub_entity_set_geo(tmk_hub_entity *e, bool geo) {
    tmk_str scratch = TMK_STR_INIT;
    tmk_status st = TMK_OK;

    if (e->geo == geo) {
        return TMK_OK;
    }
    e->geo = geo;
    for (uint32_t i = 0; st == TMK_OK && i < e->part_count; i++) {
        st = rewrite_log(&e->parts[i], &scratch);
    }
    tmk_str_clear(&scratch);
    return st;
}

static bool is_old(const tmk_hub_part *p) {
    for (int64_t s = p->log.begin; s < p->log.visible; s++) {
        const tmk_hub_entry *e = NULL;
        const uint8_t *bytes = tmk_hub_log_event(&p->log, s, &e);
        tmk_slice told =
            tmk_hub_event_offset(tmk_slice_of(bytes + e->header_size, e->size - e->header_size));
        tmk_hub_offset wanted = tmk_hub_offset_text(p->entity, e->offset);
        if (told.bytes != NULL && !tmk_slice_eq(told, tmk_slice_str(wanted.text))) {
            return true;
        }
    }
    return false;
}

tmk_status tmk_hub_entity_renew(tmk_hub_entity *e) {
    tmk_str scratch = TMK_STR_INIT;
    tmk_status st = TMK_OK;

    for (uint32_t i = 0; st == TMK_OK && i < e->part_count; i++) {
        if (is_old(&e->parts[i])) {
            st = rewrite_log(&e->parts[i], &scratch);
        }
    }
    tmk_str_clear(&scratch);
    return st;
}
