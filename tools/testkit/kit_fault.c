/* What goes wrong in a kit, for a time or at once. */
#include "kit.h"

#include <string.h>

#include "base/status.h"

enum { REPEATS = 20 };

/* Which of the arguments a kind has a use for. */
typedef struct kind {
    const char *name;
    bool lasts, instance, partition;
} kind;

static const kind kinds[] = {
    [TMK_KIT_STORE_DOWN] = {"store_down", true, true, false},
    [TMK_KIT_HUB_DOWN] = {"hub_down", true, true, false},
    [TMK_KIT_TOKEN_REFUSED] = {"token_refused", true, true, false},
    [TMK_KIT_FROZEN] = {"frozen", true, true, false},
    [TMK_KIT_STORE_SLOW] = {"store_slow", true, false, false},
    [TMK_KIT_STORE_LOSES_ANSWERS] = {"store_loses_answers", true, false, false},
    [TMK_KIT_STORE_THROTTLES] = {"store_throttles", true, false, false},
    [TMK_KIT_STORE_LISTS_LATE] = {"store_lists_late", true, false, false},
    [TMK_KIT_PARTITION_STUCK] = {"partition_stuck", true, false, true},
    [TMK_KIT_CONNECTION_LOST] = {"connection_lost", false, true, true},
    [TMK_KIT_LINK_ENDED] = {"link_ended", false, true, true},
    [TMK_KIT_LINK_SILENT] = {"link_silent", false, true, true},
    [TMK_KIT_EVENTS_REPEATED] = {"events_repeated", false, true, true},
    [TMK_KIT_LINK_STOLEN] = {"link_stolen", false, false, true},
};

static tmk_status check(const tmk_kit *k, tmk_kit_fault_kind what, const tmk_kit_instance *i,
                        const char *partition, int64_t ms, tmk_error *err) {
    if (what < 1 || (size_t)what >= sizeof kinds / sizeof kinds[0]) {
        return tmk_fail(err, TMK_EINVAL, "testkit", "there is no fault %d", (int)what);
    }
    const kind *d = &kinds[what];
    if (d->lasts ? ms <= 0 : ms != 0) {
        return tmk_fail(err, TMK_EINVAL, "testkit",
                        d->lasts ? "fault %s lasts: ms must be above 0"
                                 : "fault %s comes at once: ms must be 0",
                        d->name);
    }
    if ((i != NULL && !d->instance) || (partition != NULL && !d->partition)) {
        return tmk_fail(err, TMK_EINVAL, "testkit", "fault %s is not one of %s: give NULL", d->name,
                        i != NULL && !d->instance ? "an instance" : "a partition");
    }
    if (i != NULL && i->kit != k) {
        return tmk_fail(err, TMK_EINVAL, "testkit", "instance '%s' is of another kit", i->name);
    }
    return i != NULL && i->dead
               ? tmk_fail(err, TMK_ESTATE, "testkit", "instance '%s' was killed", i->name)
               : TMK_OK;
}

/* ---- the store's ---- */

static size_t store_fault_of(tmk_kit_fault_kind what) {
    return what == TMK_KIT_STORE_DOWN ? 0 : (size_t)(what - TMK_KIT_STORE_SLOW) + 1;
}

static void set_store(tmk_kit *k, size_t fault, bool on) {
    sim_store_trouble *t = sim_store_trouble_of(k->store);

    switch (fault) {
    case 0:
        t->outage = on;
        break;
    case 1:
        t->slow = on ? 1.0 / 3 : 0;
        t->slow_from = 5 * TMK_SEC;
        t->slow_to = 30 * TMK_SEC;
        break;
    case 2:
        t->lose_answer = on ? 0.2 : 0;
        break;
    case 3:
        t->busy = on ? 0.5 : 0;
        break;
    default:
        t->late_list = on ? 0.5 : 0;
        break;
    }
}

static void on_store_end(sim_event *e) {
    const kit_store_fault *f = sim_event_of(e, kit_store_fault, end);

    set_store(f->kit, f->number, false);
}

/* Sets or prolongs the end of something. */
static void until(tmk_kit *k, sim_event *e, tmk_time end) {
    if (e->node.index == 0 || e->node.due < end) {
        sim_at(&k->kernel, e, end);
    }
}

/* ---- of instances ---- */

static int64_t back(void *self, size_t partition, int64_t next) {
    int64_t begin = kit_begin(((tmk_kit_instance *)self)->kit, partition);

    return next - REPEATS < begin ? begin : next - REPEATS;
}

static void freeze(tmk_kit_instance *i, tmk_time end) {
    if (!i->process.frozen) {
        sim_process_freeze(&i->process);
        sim_cancel(&i->kit->kernel, &i->turn);
    }
    until(i->kit, &i->wake, end);
}

static void strike(tmk_kit_instance *i, tmk_kit_fault_kind what, size_t partition, tmk_time end) {
    tmk_kit *k = i->kit;
    tmk_time length = end - k->kernel.now;

    switch (what) {
    case TMK_KIT_STORE_DOWN:
        sim_store_cut(i->store, true);
        until(k, &i->store_back, end);
        break;
    case TMK_KIT_HUB_DOWN:
        sim_hub_cut(i->hub, true);
        until(k, &i->hub_back, end);
        break;
    case TMK_KIT_FROZEN:
        freeze(i, end);
        break;
    case TMK_KIT_TOKEN_REFUSED:
        if (i->source != NULL) {
            sim_source_break(i->source, SIZE_MAX, length, length, TMK_EAUTH,
                             "amqp:unauthorized-access");
        }
        break;
    default:
        if (i->source == NULL) {
            return; /* it has no links */
        }
        if (what == TMK_KIT_CONNECTION_LOST) {
            sim_source_break(i->source, partition, 100 * TMK_MS, 3 * TMK_SEC, TMK_EIO,
                             "amqp:connection:forced");
        } else if (what == TMK_KIT_LINK_ENDED) {
            sim_source_detach(i->source, partition, 1, TMK_EREMOTE, "amqp:internal-error");
        } else if (what == TMK_KIT_LINK_SILENT) {
            sim_source_silence(i->source, partition, 1);
        } else {
            sim_source_repeat(i->source, partition, back);
        }
        break;
    }
}

/* ---- of partitions ---- */

static void strike_partition(tmk_kit *k, tmk_kit_fault_kind what, size_t partition, tmk_time end) {
    kit_partition *p = &k->partitions[partition];

    if (what == TMK_KIT_LINK_STOLEN) {
        sim_hub_steal(k->hub, partition);
        return;
    }
    p->stuck_at = k->kernel.now < p->stuck_until ? p->stuck_at : k->kernel.now;
    p->stuck_until = end > p->stuck_until ? end : p->stuck_until;
}

tmk_status tmk_kit_fault(tmk_kit *k, tmk_kit_fault_kind what, tmk_kit_instance *i,
                         const char *partition, int64_t ms, tmk_error *err) {
    size_t place = SIZE_MAX;
    tmk_time end = kit_after_ms(k, ms);
    tmk_status st = check(k, what, i, partition, ms, err);

    if (st == TMK_OK && partition != NULL) {
        st = kit_find(k, partition, &place, err);
    }
    if (st < 0) {
        return st;
    }
    sim_trace(&k->kernel, "fault",
              ",\"owner\":\"%s\",\"partition\":\"%s\",\"condition\":\"%s\",\"ms\":%lld",
              i == NULL ? "" : i->name, partition == NULL ? "" : partition, kinds[what].name,
              (long long)ms);
    if (what == TMK_KIT_LINK_STOLEN || what == TMK_KIT_PARTITION_STUCK) {
        for (size_t n = 0; n < k->o.partitions; n++) {
            if (place == SIZE_MAX || place == n) {
                strike_partition(k, what, n, end);
            }
        }
        return TMK_OK;
    }
    if (i == NULL && (what == TMK_KIT_STORE_DOWN || !kinds[what].instance)) {
        size_t fault = store_fault_of(what);
        set_store(k, fault, true);
        until(k, &k->store_faults[fault].end, end);
        return TMK_OK;
    }
    if (i == NULL && what == TMK_KIT_HUB_DOWN && end > k->hub_down_until) {
        k->hub_down_until = end;
    }
    for (size_t n = 0; n < k->instance_count; n++) {
        if ((i == NULL || i == k->instances[n]) && !k->instances[n]->dead) {
            strike(k->instances[n], what, place, end);
        }
    }
    return TMK_OK;
}

static void mend_instance(tmk_kit_instance *i) {
    sim_cancel(&i->kit->kernel, &i->store_back);
    sim_cancel(&i->kit->kernel, &i->hub_back);
    sim_store_cut(i->store, false);
    sim_hub_cut(i->hub, false);
    if (i->source != NULL) {
        sim_source_mend(i->source);
    }
    if (i->process.frozen) {
        sim_at(&i->kit->kernel, &i->wake, i->kit->kernel.now);
    }
}

void tmk_kit_mend(tmk_kit *k) {
    sim_trace(&k->kernel, "state", ",\"what\":\"mended\"");
    for (size_t n = 0; n < KIT_STORE_FAULTS; n++) {
        sim_cancel(&k->kernel, &k->store_faults[n].end);
        set_store(k, n, false);
    }
    for (size_t n = 0; n < k->o.partitions; n++) {
        k->partitions[n].stuck_until = 0;
    }
    k->hub_down_until = 0;
    for (size_t n = 0; n < k->instance_count; n++) {
        if (!k->instances[n]->dead) {
            mend_instance(k->instances[n]);
        }
    }
}

void kit_fault_init(tmk_kit *k) {
    for (size_t n = 0; n < KIT_STORE_FAULTS; n++) {
        k->store_faults[n].kit = k;
        k->store_faults[n].number = n;
        k->store_faults[n].end.fire = on_store_end;
    }
}
