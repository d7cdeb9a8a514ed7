/*
 * The local hub's log files: any bytes as a segment. Oracle: what is read,
 * written again, gives the bytes that were read; a log made of it finds each
 * event; and telling it with other offsets leaves what is no offset alone.
 */
#include "hub/core.h"
#include "hub/segment.h"

#include "base/assert.h"
#include "fuzz/fuzz.h"

static void append(tmk_hub_part *p, const tmk_hub_record *r) {
    const tmk_hub_entry *e = NULL;

    if (r->offset < p->log.offset_next) {
        return;
    }
    p->log.offset_next = r->offset;
    tmk_assert(tmk_hub_log_append(&p->log, r->event, r->header_size, r->enqueued_ms) == TMK_OK);
    (void)tmk_hub_log_event(&p->log, p->log.end - 1, &e);
    tmk_assert(e->offset == r->offset && e->size == r->event.size);
}

static void check_again(tmk_slice bytes, const tmk_hub_record *r) {
    tmk_str again = TMK_STR_INIT;

    tmk_hub_record_add(&again, r);
    tmk_assert(tmk_slice_eq(tmk_str_slice(&again), tmk_slice_of(bytes.bytes, again.size)));
    tmk_str_clear(&again);
}

static void read_records(tmk_hub_part *p, tmk_slice in) {
    tmk_slice before = in;
    tmk_hub_record r;

    while (tmk_hub_record_take(&in, &r)) {
        check_again(before, &r);
        append(p, &r);
        before = in;
    }
}

/* Without its checksum hardly any input would get further: the event is made a sound record. */
static void as_event(tmk_hub_part *p, tmk_slice event) {
    tmk_hub_record r = {p->log.end, p->log.offset_next, 1, 0, event};

    if (event.size > 1) {
        r.header_size = event.bytes[0] < event.size ? event.bytes[0] : 0;
        append(p, &r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tmk_slice in = tmk_slice_of(data, size);
    tmk_hub_segment head;
    tmk_hub_core core;
    tmk_hub_entity *e;
    int64_t end;

    tmk_hub_core_init(&core, 0, 0);
    tmk_assert(tmk_hub_core_add(&core, "h", 1, NULL, 0, false, 0, 0, NULL) == TMK_OK);
    e = tmk_hub_core_find(&core, TMK_LIT("h"));
    (void)tmk_hub_segment_take(&in, &head);
    read_records(&e->parts[0], in);
    as_event(&e->parts[0], in);
    tmk_hub_log_show(&e->parts[0].log, e->parts[0].log.end);
    end = e->parts[0].log.end;
    tmk_assert(tmk_hub_entity_renew(e) == TMK_OK);
    tmk_assert(tmk_hub_entity_set_geo(e, true) == TMK_OK);
    tmk_assert(tmk_hub_entity_set_geo(e, false) == TMK_OK);
    tmk_assert(e->parts[0].log.end == end);
    tmk_hub_core_clear(&core);
    return 0;
}
