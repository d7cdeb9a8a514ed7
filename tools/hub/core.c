/* The namespace: making it, finding in it, appending to it. See core.h. */
#include "hub/core.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/status.h"

enum {
    UNIT_IN_EVENTS = 1000,
    UNIT_IN_BYTES = 1 << 20,
    UNIT_OUT_EVENTS = 4096,
    UNIT_OUT_BYTES = 2 << 20
};

void tmk_hub_core_init(tmk_hub_core *c, uint32_t throughput_units, tmk_time now) {
    int64_t units = throughput_units;

    memset(c, 0, sizeof *c);
    tmk_list_init(&c->entities);
    c->throughput_units = throughput_units;
    c->retention_ms = INT64_C(24) * 3600 * 1000;
    c->retention_bytes = UINT64_C(256) << 20;
    c->message_max = 1 << 20;
    tmk_hub_quota_init(&c->ingress, units * UNIT_IN_EVENTS, units * UNIT_IN_BYTES, now);
    tmk_hub_quota_init(&c->egress, units * UNIT_OUT_EVENTS, units * UNIT_OUT_BYTES, now);
}

/* ---- making ---- */

static void entity_free(tmk_hub_entity *e) {
    if (e == NULL) {
        return;
    }
    for (uint32_t i = 0; e->parts != NULL && i < e->part_count; i++) {
        tmk_hub_log_clear(&e->parts[i].log);
    }
    for (size_t i = 0; e->groups != NULL && i < e->group_count; i++) {
        tmk_free(e->groups[i]);
    }
    tmk_free(e->groups);
    tmk_free(e->parts);
    tmk_free(e->name);
    tmk_free(e);
}

void tmk_hub_core_clear(tmk_hub_core *c) {
    tmk_list *node;

    while ((node = tmk_list_pop_front(&c->entities)) != NULL) {
        entity_free(tmk_container_of(node, tmk_hub_entity, node));
    }
}

static char *lower_copy(const char *text) {
    char *copy = tmk_copy_str(text);

    for (char *p = copy; p != NULL && *p != '\0'; p++) {
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    }
    return copy;
}

static tmk_status add_groups(tmk_hub_entity *e, const char *const *groups, size_t count) {
    e->groups = tmk_alloc_zero(count + 1, sizeof *e->groups);
    if (e->groups == NULL) {
        return TMK_ENOMEM;
    }
    for (size_t i = 0; i <= count; i++) {
        e->groups[e->group_count] = lower_copy(i == 0 ? "$default" : groups[i - 1]);
        if (e->groups[e->group_count] == NULL) {
            return TMK_ENOMEM;
        }
        e->group_count++;
    }
    return TMK_OK;
}

static tmk_status add_parts(tmk_hub_entity *e, uint32_t count, bool throttled, tmk_time now) {
    e->parts = tmk_alloc_zero(count, sizeof *e->parts);
    if (e->parts == NULL) {
        return TMK_ENOMEM;
    }
    e->part_count = count;
    for (uint32_t i = 0; i < count; i++) {
        tmk_hub_part *p = &e->parts[i];
        p->entity = e;
        p->index = i;
        (void)snprintf(p->id, sizeof p->id, "%" PRIu32, i);
        tmk_hub_log_init(&p->log);
        tmk_list_init(&p->readers);
        tmk_list_init(&p->waiting);
        tmk_list_init(&p->pending);
        /* One partition takes no more than one throughput unit. */
        tmk_hub_quota_init(&p->ingress, throttled ? UNIT_IN_EVENTS : 0,
                           throttled ? UNIT_IN_BYTES : 0, now);
    }
    return TMK_OK;
}

static tmk_status check_new(const tmk_hub_core *c, const char *name, uint32_t partitions,
                            tmk_error *err) {
    if (!tmk_hub_name_ok(tmk_slice_str(name))) {
        return tmk_fail(err, TMK_EINVAL, "hub",
                        "'%s' is no name for a hub: use letters, digits, '-', '_' and '.'", name);
    }
    if (tmk_hub_core_find(c, tmk_slice_str(name)) != NULL) {
        return tmk_fail(err, TMK_EINVAL, "hub", "the hub '%s' is named twice", name);
    }
    if (partitions < 1 || partitions > TMK_HUB_PARTITIONS_MAX) {
        return tmk_fail(err, TMK_EINVAL, "hub",
                        "the hub '%s' cannot have %" PRIu32 " partitions: 1 to %d can be", name,
                        partitions, TMK_HUB_PARTITIONS_MAX);
    }
    return TMK_OK;
}

tmk_status tmk_hub_core_add(tmk_hub_core *c, const char *name, uint32_t partitions,
                            const char *const *groups, size_t group_count, bool geo, int64_t ms,
                            tmk_time now, tmk_error *err) {
    tmk_status st = check_new(c, name, partitions, err);
    tmk_hub_entity *e = NULL;

    if (st < 0) {
        return st;
    }
    e = tmk_new(tmk_hub_entity);
    if (e == NULL || (e->name = tmk_copy_str(name)) == NULL ||
        add_groups(e, groups, group_count) < 0 ||
        add_parts(e, partitions, c->throughput_units > 0, now) < 0) {
        entity_free(e);
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory for the hub '%s'", name);
    }
    e->created_ms = ms;
    e->geo = geo;
    tmk_list_push_back(&c->entities, &e->node);
    return TMK_OK;
}

/* ---- finding ---- */

tmk_hub_entity *tmk_hub_core_find(const tmk_hub_core *c, tmk_slice name) {
    for (tmk_list *n = tmk_list_first(&c->entities); n != NULL;
         n = tmk_list_next(&c->entities, n)) {
        tmk_hub_entity *e = tmk_container_of(n, tmk_hub_entity, node);
        if (tmk_slice_eq_nocase(tmk_slice_str(e->name), name)) {
            return e;
        }
    }
    return NULL;
}

tmk_hub_part *tmk_hub_entity_part(const tmk_hub_entity *e, tmk_slice id) {
    uint64_t index = 0;

    if (id.size == 0 || id.size > 9 || (id.bytes[0] == '0' && id.size > 1) ||
        !tmk_slice_uint64(id, &index) || index >= e->part_count) {
        return NULL;
    }
    return tmk_slice_eq(id, tmk_slice_str(e->parts[index].id)) ? &e->parts[index] : NULL;
}

bool tmk_hub_entity_has_group(const tmk_hub_entity *e, tmk_slice group) {
    for (size_t i = 0; i < e->group_count; i++) {
        if (tmk_slice_eq_nocase(tmk_slice_str(e->groups[i]), group)) {
            return true;
        }
    }
    return false;
}

/* ---- appending ---- */

tmk_hub_part *tmk_hub_entity_route(tmk_hub_entity *e, tmk_hub_part *named,
                                   const tmk_hub_message *m) {
    if (named != NULL) {
        return named;
    }
    if (m->keyed) {
        return &e->parts[tmk_hub_key_partition(m->key, e->part_count)];
    }
    e->turn = (e->turn + 1) % e->part_count;
    return &e->parts[e->turn];
}

bool tmk_hub_core_admit(tmk_hub_core *c, tmk_hub_part *p, int64_t count, int64_t bytes,
                        tmk_time now, tmk_hub_fail *fail) {
    if (!tmk_hub_quota_open(&c->ingress, now)) {
        tmk_hub_fail_set(fail, TMK_HUB_BUSY,
                         "The request was terminated because the namespace is being throttled. "
                         "Error code : 50009. Please wait 4 seconds and try again.");
        return false;
    }
    if (!tmk_hub_quota_open(&p->ingress, now)) {
        tmk_hub_fail_set(fail, TMK_HUB_BUSY,
                         "The request was terminated because the entity '%s' partition %s is being "
                         "throttled. Error code : 50002. Please wait 4 seconds and try again.",
                         p->entity->name, p->id);
        return false;
    }
    tmk_hub_quota_take(&c->ingress, count, bytes);
    tmk_hub_quota_take(&p->ingress, count, bytes);
    return true;
}

tmk_status tmk_hub_part_append(tmk_hub_part *p, const tmk_hub_message *m, tmk_slice key, bool keyed,
                               int64_t ms, tmk_str *scratch) {
    tmk_hub_offset offset = tmk_hub_offset_text(p->entity, p->log.offset_next);
    tmk_hub_mark mark = {p->log.end, ms > p->log.last_ms ? ms : p->log.last_ms,
                         tmk_slice_str(offset.text), key, keyed};
    size_t header_size;

    tmk_str_reset(scratch);
    header_size = tmk_hub_event_add(scratch, m, &mark);
    if (!tmk_str_ok(scratch)) {
        tmk_str_clear(scratch);
        return TMK_ENOMEM;
    }
    return tmk_hub_log_append(&p->log, tmk_str_slice(scratch), header_size, mark.enqueued_ms);
}

int64_t tmk_hub_core_retain(tmk_hub_core *c, tmk_hub_part *p, int64_t ms) {
    return tmk_hub_log_retain(&p->log, ms - c->retention_ms, c->retention_bytes);
}

void tmk_hub_entity_recreate(tmk_hub_entity *e, int64_t ms) {
    for (uint32_t i = 0; i < e->part_count; i++) {
        tmk_hub_log_clear(&e->parts[i].log);
    }
    e->created_ms = ms;
    e->turn = 0;
}
