/* What is asked of a processor while it runs. See tidemark/processor.h. */
#include "run/stats.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

typedef struct wish {
    const char *partition;
    bool pause;
    tmk_status status;
} wish;

static void run_pause(tmk_processor *p, void *arg) {
    wish *w = arg;

    w->status =
        p->control == NULL ? TMK_ABSENT : tmk_control_pause(p->control, w->partition, w->pause);
}

static void run_checkpoint(tmk_processor *p, void *arg) {
    wish *w = arg;

    w->status = p->control == NULL ? TMK_ABSENT : tmk_control_checkpoint(p->control, w->partition);
}

static tmk_status carry(tmk_processor *p, void (*run)(tmk_processor *, void *),
                        const char *partition, bool pause) {
    wish w = {.partition = partition, .pause = pause, .status = TMK_OK};

    tmk_processor_on_control(p, run, &w);
    return w.status;
}

tmk_status tmk_processor_pause(tmk_processor *p, const char *partition) {
    return partition == NULL ? TMK_EINVAL : carry(p, run_pause, partition, true);
}

tmk_status tmk_processor_resume(tmk_processor *p, const char *partition) {
    return partition == NULL ? TMK_EINVAL : carry(p, run_pause, partition, false);
}

tmk_status tmk_processor_checkpoint(tmk_processor *p, const char *partition) {
    return carry(p, run_checkpoint, partition, false);
}

tmk_status tmk_processor_complete(tmk_processor *p, tmk_handle handle, tmk_verdict verdict,
                                  int64_t retry_ms) {
    return tmk_yard_complete(tmk_dispatcher_yard(p->dispatcher), tmk_now(&p->clock), handle,
                             verdict, retry_ms);
}

/* ---- dead letters: the sink answers on any thread ---- */

typedef struct letter_done {
    tmk_task task;
    tmk_processor *p;
    tmk_handle handle;
    tmk_status status;
    tmk_error error;
} letter_done;

static void run_letter_done(tmk_processor *p, void *arg) {
    letter_done *d = arg;

    d->status = p->control == NULL
                    ? TMK_ABSENT
                    : tmk_control_letter_done(p->control, d->handle, d->status, &d->error);
}

tmk_status tmk_processor_dead_letter_done(tmk_processor *p, tmk_handle handle, tmk_status status,
                                          const tmk_error *err) {
    letter_done d = {.p = p, .handle = handle, .status = status};

    if (err != NULL) {
        d.error = *err;
    } else {
        (void)tmk_fail(&d.error, status, "user", "%s", tmk_status_text(status));
    }
    tmk_processor_on_control(p, run_letter_done, &d);
    return d.status;
}

/* ---- seeing ---- */

static void run_stats(tmk_processor *p, void *arg) {
    tmk_stats_fill(p, arg);
}

void tmk_processor_stats_get(tmk_processor *p, tmk_processor_stats *out) {
    tmk_processor_stats all;
    size_t size = out->size < sizeof all ? out->size : sizeof all;

    tmk_processor_on_control(p, run_stats, &all);
    all.size = size;
    memcpy(out, &all, size);
}

typedef struct snapshot {
    tmk_partition_state *states; /* and their text, in one block */
    size_t count;
    tmk_status status;
} snapshot;

static size_t text_size(const tmk_partition_state *s) {
    return strlen(s->partition) + strlen(s->owner) + 2;
}

static char *put_text(char *at, const char **text) {
    size_t size = strlen(*text) + 1;

    memcpy(at, *text, size);
    *text = at;
    return at + size;
}

static void run_snapshot(tmk_processor *p, void *arg) {
    snapshot *shot = arg;
    tmk_partition_state s;
    size_t size = 0;

    shot->count = p->control == NULL ? 0 : tmk_control_partition_count(p->control);
    for (size_t i = 0; i < shot->count; i++) {
        tmk_control_partition_at(p->control, i, &s);
        size += sizeof s + text_size(&s);
    }
    shot->states = tmk_alloc(size + 1);
    if (shot->states == NULL) {
        shot->status = TMK_ENOMEM;
        return;
    }
    char *at = (char *)(shot->states + shot->count);
    for (size_t i = 0; i < shot->count; i++) {
        tmk_control_partition_at(p->control, i, &s);
        at = put_text(at, &s.partition);
        at = put_text(at, &s.owner);
        s.lag.partition = s.partition;
        shot->states[i] = s;
    }
}

tmk_status tmk_processor_partitions(tmk_processor *p, tmk_partition_state **out, size_t *count,
                                    tmk_error *err) {
    snapshot shot = {NULL, 0, TMK_OK};

    tmk_processor_on_control(p, run_snapshot, &shot);
    if (shot.status < 0) {
        return tmk_fail(err, shot.status, "run", "no memory for a snapshot");
    }
    *out = shot.states;
    *count = shot.count;
    return TMK_OK;
}

tmk_partition_state *tmk_partition_states_free(tmk_partition_state *states) {
    tmk_free(states);
    return NULL;
}

const char *tmk_processor_owner_id(const tmk_processor *p) {
    return p->owner_id;
}
