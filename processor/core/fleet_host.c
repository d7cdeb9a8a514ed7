/*
 * Crash loops. A host whose last life ended in an eviction waits before it gets
 * partitions: 30 s, then 60 s and so on, as long as the evicted records tell of
 * it. And whoever starts while the life before its own may still be counted in,
 * dead but not evicted, waits until that is settled. So a process that dies
 * again and again costs its share once, not with each life.
 */
#include "core/fleet_inside.h"

#include <string.h>

static unsigned remembered_evictions(const tmk_fleet *f, tmk_time now) {
    unsigned listed = 0;
    bool own = f->life.evicted_at >= 0 && now - f->life.evicted_at <= f->opts.eviction_memory;

    for (size_t i = 0; i < f->view.count && f->host[0] != '\0'; i++) {
        const tmk_view_member *m = &f->view.members[i];

        listed += m->evicted && m->age_ms <= f->opts.eviction_memory / TMK_MS &&
                  strcmp(m->text.host, f->host) == 0;
    }
    return own && f->life.evictions > listed ? f->life.evictions : listed;
}

/* A host whose life ends in good order is in no crash loop: the next one starts without probation.
 */
bool tmk_host_forgiven(const tmk_fleet *f, const tmk_view_member *m) {
    return f->life.stopping && m->evicted && f->host[0] != '\0' &&
           strcmp(m->text.host, f->host) == 0;
}

bool tmk_host_others_serve(const tmk_fleet *f) {
    for (size_t i = 0; i < f->view.count; i++) {
        const tmk_view_member *m = &f->view.members[i];

        if (!m->evicted && m->text.state == TMK_FLEET_MEMBER && !tmk_life_is_self(f, m->id) &&
            (m->alive || (!m->gone && !tmk_life_may_judge(f, f->now, f->view.asked)))) {
            return true;
        }
    }
    return false;
}

/* Looked at before each join, and as long as nothing is owned: the life before ours may be evicted
 * only then. */
void tmk_host_probation(tmk_fleet *f, tmk_time now) {
    unsigned evictions = remembered_evictions(f, now);
    tmk_time length = f->opts.probation;

    if (f->life.active || evictions <= f->life.evictions_seen || TMK_MUTANT(NO_PROBATION)) {
        return;
    }
    f->life.evictions_seen = evictions;
    f->life.write.wanted = true;
    while (--evictions > 0 && length < f->opts.probation_max) {
        length *= 2;
    }
    f->life.probation_until = tmk_time_after(now, tmk_time_min(length, f->opts.probation_max));
}

static bool same_host(const tmk_fleet *f, const tmk_view_member *m) {
    return f->host[0] != '\0' && strcmp(m->text.host, f->host) == 0 && !m->evicted &&
           !tmk_life_is_self(f, m->id);
}

/* Somebody starts on our host and wonders whether we are the life before its own: writing our
 * record anew is a sign that we are not. */
bool tmk_host_is_asked(const tmk_fleet *f, const tmk_view_member *self) {
    for (size_t i = 0; f->life.active && i < f->view.count; i++) {
        const tmk_view_member *m = &f->view.members[i];

        if (same_host(f, m) && m->text.state == TMK_FLEET_STARTING && self->age_ms >= m->age_ms) {
            return true;
        }
    }
    return false;
}

/*
 * Whether one who holds partitions may be the life before ours, dead and not evicted yet: it is of
 * our host, and has not written since we joined. Then we wait, or a crash loop would take
 * partitions with each life. Whoever lives answers to our call; whoever does not is evicted.
 */
bool tmk_host_has_predecessor(const tmk_fleet *f, tmk_time now) {
    const tmk_view_member *self = tmk_view_find(&f->view, f->life.id);

    if (now > tmk_time_after(f->life.joined_at, f->opts.expiry * 3 / 2) ||
        TMK_MUTANT(NO_PROBATION)) {
        return false;
    }
    for (size_t i = 0; i < f->view.count; i++) {
        const tmk_view_member *m = &f->view.members[i];

        if (same_host(f, m) && m->text.state == TMK_FLEET_MEMBER &&
            (self == NULL || m->age_ms >= self->age_ms)) {
            return true;
        }
    }
    return false;
}

void tmk_host_call(tmk_fleet *f) {
    for (size_t i = 0; i < f->view.count; i++) {
        if (same_host(f, &f->view.members[i])) {
            tmk_watch_ring(f, f->view.members[i].id);
        }
    }
}
