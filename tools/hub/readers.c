/* Who may read a partition of a group: owner levels, and five readers without. See core.h. */
#include "hub/core.h"

#include <inttypes.h>

static bool same_group(const tmk_hub_reader *a, const tmk_hub_reader *b) {
    return tmk_slice_eq_nocase(a->group, b->group);
}

static tmk_hub_reader *reader_of(tmk_list *node) {
    return node == NULL ? NULL : tmk_container_of(node, tmk_hub_reader, node);
}

/* The reader of this group that has a level; there is one at most. And how many there are. */
static tmk_hub_reader *leveled_one(tmk_hub_part *p, const tmk_hub_reader *r, unsigned *count) {
    tmk_hub_reader *found = NULL;

    *count = 0;
    for (tmk_list *n = tmk_list_first(&p->readers); n != NULL; n = tmk_list_next(&p->readers, n)) {
        tmk_hub_reader *other = reader_of(n);
        if (same_group(other, r)) {
            (*count)++;
            found = other->leveled ? other : found;
        }
    }
    return found;
}

static void displace(tmk_hub_part *p, const tmk_hub_reader *by, tmk_list *displaced) {
    tmk_list *next = NULL;

    for (tmk_list *n = tmk_list_first(&p->readers); n != NULL; n = next) {
        tmk_hub_reader *old = reader_of(n);
        next = tmk_list_next(&p->readers, n);
        if (!same_group(old, by)) {
            continue;
        }
        old->displaced = true;
        tmk_hub_fail_set(&old->why, TMK_HUB_STOLEN,
                         "New receiver '%s' with higher epoch of '%" PRId64 "' is created hence "
                         "current receiver '%s' with epoch '%" PRId64 "' is getting disconnected. "
                         "If you are recreating the receiver, make sure a higher epoch is used.",
                         by->name, by->level, old->name, old->leveled ? old->level : 0);
        tmk_list_remove(n);
        tmk_list_push_back(displaced, n);
    }
}

static void over_quota(tmk_hub_part *p, const tmk_hub_reader *r, tmk_hub_fail *fail) {
    char names[240] = "";
    size_t used = 0;

    for (tmk_list *n = tmk_list_first(&p->readers); n != NULL; n = tmk_list_next(&p->readers, n)) {
        tmk_hub_reader *other = reader_of(n);
        size_t size = strnlen(other->name, sizeof other->name);
        if (same_group(other, r) && used + size + 3 < sizeof names) {
            memcpy(names + used, used == 0 ? "" : ", ", used == 0 ? 0 : 2);
            used += used == 0 ? 0 : 2;
            memcpy(names + used, other->name, size);
            used += size;
            names[used] = '\0';
        }
    }
    tmk_hub_fail_set(fail, TMK_HUB_RESOURCE_LIMIT,
                     "Exceeded the maximum number of allowed receivers per partition in a consumer "
                     "group which is %d. List of connected receivers - %s.",
                     TMK_HUB_READERS_MAX, names);
}

bool tmk_hub_part_admit_reader(tmk_hub_part *p, tmk_hub_reader *r, tmk_list *displaced,
                               tmk_hub_fail *fail) {
    unsigned count = 0;
    tmk_hub_reader *holder = leveled_one(p, r, &count);

    if (holder != NULL && !r->leveled) {
        tmk_hub_fail_set(fail, TMK_HUB_STOLEN,
                         "At least one receiver for the endpoint is created with epoch of '%" PRId64
                         "', and so non-epoch receiver is not allowed. Either reconnect with a "
                         "higher epoch, or make sure all receivers are non-epoch ones.",
                         holder->level);
        return false;
    }
    if (holder != NULL && r->level < holder->level) {
        tmk_hub_fail_set(fail, TMK_HUB_STOLEN,
                         "Receiver '%s' with a higher epoch '%" PRId64 "' already exists. Receiver "
                         "'%s' with epoch %" PRId64
                         " cannot be created. Make sure you are creating "
                         "receiver with increasing epoch value to ensure connectivity.",
                         holder->name, holder->level, r->name, r->level);
        return false;
    }
    if (!r->leveled && count >= TMK_HUB_READERS_MAX) {
        over_quota(p, r, fail);
        return false;
    }
    if (r->leveled) {
        displace(p, r, displaced);
    }
    tmk_list_push_back(&p->readers, &r->node);
    return true;
}

void tmk_hub_part_remove_reader(tmk_hub_reader *r) {
    tmk_list_remove(&r->node);
}
