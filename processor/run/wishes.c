/* What people wish of a control while it runs. See control.h. */
#include "run/slot.h"

#include <string.h>

tmk_status tmk_control_pause(tmk_control *c, const char *partition, bool pause) {
    tmk_slot *s = tmk_map_get(&c->by_id, tmk_slice_str(partition));

    if (s != NULL && s->pump == NULL && !pause) {
        tmk_slot_quiet(s, tmk_now(&c->ports.clock), TMK_QUIET_USER,
                       false); /* it may be opened again */
    }
    if (s == NULL || s->pump == NULL) {
        return TMK_ABSENT;
    }
    tmk_slot_quiet(s, tmk_now(&c->ports.clock), TMK_QUIET_USER, pause);
    c->ports.wake(c->ports.self);
    return TMK_OK;
}

tmk_status tmk_control_checkpoint(tmk_control *c, const char *partition) {
    tmk_map_entry *entry;
    tmk_status st = partition == NULL ? TMK_OK : TMK_ABSENT;

    for (size_t i = 0; (entry = tmk_map_next(&c->by_id, &i)) != NULL;) {
        tmk_slot *s = entry->value;
        if (s->pump != NULL && (partition == NULL || strcmp(partition, s->id) == 0)) {
            tmk_pump_checkpoint(s->pump);
            st = TMK_OK;
        }
    }
    c->ports.wake(c->ports.self);
    return st;
}

tmk_status tmk_control_letter_done(tmk_control *c, tmk_handle handle, tmk_status status,
                                   const tmk_error *err) {
    c->ports.wake(c->ports.self);
    return tmk_engine_on_letter(c->engine, tmk_now(&c->ports.clock), handle, status, err);
}
