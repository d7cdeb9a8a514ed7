/*
 * The checkers: what must hold at each write to the store, at each attach, at
 * each start of a reader and at each dispatch. They see the truth, which no
 * instance does.
 */
#include "world.h"

#include <inttypes.h>
#include <string.h>

#include "core/member_text.h"

/* After so much time without any trouble a healthy member has renewed. */
#define HEALTHY_AFTER (10 * TMK_SEC)
/* In trouble an instance may ask so often a second, and this much for each partition that it moves.
 */
#define TROUBLE_RATE 30
#define TROUBLE_WINDOW (10 * TMK_SEC)

static size_t partition_of(const char *id) {
    size_t p = 0;

    for (; *id >= '0' && *id <= '9'; id++) {
        p = p * 10 + (size_t)(*id - '0');
    }
    return p;
}

/* Whether that life holds the partition, under the token of one of its generations. */
static bool holder_is(const sim_world *w, size_t p, const char *id, const char *token,
                      int64_t generation) {
    char its[37];

    for (int64_t g = generation - 6; g <= generation + 1; g++) {
        tmk_member_token(id, sim_hub_id(w->hub, p), g, its);
        if (strcmp(its, token) == 0) {
            return true;
        }
    }
    return false;
}

static sim_instance *instance_of(const sim_applied *a) {
    return sim_store_client_user(a->client);
}

/* The instance whose present life has that id; NULL: none that runs. */
static sim_instance *living(sim_world *w, const char *id) {
    for (size_t i = 0; i < w->instance_count; i++) {
        if (w->instances[i]->fleet != NULL &&
            strcmp(tmk_fleet_id(w->instances[i]->fleet), id) == 0) {
            return w->instances[i];
        }
    }
    return NULL;
}

/* --- evictions (I6) --- */

static void check_evictor(sim_world *w, const sim_applied *a) {
    sim_instance *by = instance_of(a);
    tmk_time from = a->sent - 20 * TMK_SEC, last = a->sent;

    if (by->fleet == NULL || sim_store_member(w->store, a->op->id)->gone) {
        return; /* killed since, its question was a good one then; or nothing had to be waited for
                 */
    }
    for (uint64_t n = 0; n < 8 && n < by->renewals && last > from; n++) {
        tmk_time at = by->renewed[(by->renewals - 1 - n) % 8];

        if (at > a->sent) {
            continue; /* the question took so long */
        }

        if (last - at > 14 * TMK_SEC) {
            sim_violation(&w->kernel, "I6", "%s evicts %s, and did not renew for %" PRId64 " ms",
                          by->name, a->op->id, (last - at) / TMK_MS);
        }
        last = at;
    }
    if (last > from + TMK_SEC && by->renewals < 8) {
        sim_violation(&w->kernel, "I6", "%s evicts %s, a member since %" PRId64 " ms only",
                      by->name, a->op->id, (a->sent - last) / TMK_MS);
    }
}

static size_t host_of(const char *host) {
    return partition_of(host + 1);
}

static void note_eviction(sim_world *w, const char *id) {
    size_t number = partition_of(id + 1); /* "i12~..." */

    tmk_member_text text;

    tmk_member_text_read(sim_store_member(w->store, id)->body, &text);
    if (number < w->instance_count && text.state == TMK_FLEET_MEMBER) {
        w->host_evicted[host_of(w->instances[number]->host)] = w->kernel.now;
    }
}

static void check_evicted(sim_world *w, const sim_applied *a) {
    sim_instance *who = living(w, a->op->id);

    check_evictor(w, a);
    note_eviction(w, a->op->id);
    if (who == NULL || who->process.frozen || who->store_cut || w->trouble_until == TMK_NEVER ||
        sim_store_trouble_of(w->store)->busy > 0.3 ||
        tmk_fleet_state_now(who->fleet) == TMK_FLEET_GONE) {
        return;
    }
    if (w->kernel.now - who->bad_until > HEALTHY_AFTER &&
        w->kernel.now - w->trouble_until > HEALTHY_AFTER) {
        w->figures.healthy_evicted++;
        sim_violation(&w->kernel, "I6", "%s, which is well, is evicted by %s", who->name,
                      instance_of(a)->name);
    }
}

static void check_renewed(const sim_applied *a) {
    sim_instance *i = instance_of(a);

    i->renewed[i->renewals++ % 8] = i->world->kernel.now;
    if (i->fleet == NULL) {
        SIM_MARK("late heartbeat of one who was killed");
        sim_fault_until(i->world, i->world->kernel.now + 20 * TMK_SEC);
    }
    if (i->slept && a->sent >= i->slept_at) {
        i->slept = i->lease_ran_out = false;
    }
}

/* Nobody leaves with something still in its hands that it has read. */
static void check_left(sim_world *w, const sim_applied *a) {
    for (size_t p = 0; p < w->options.partitions; p++) {
        const tmk_partition_entry *e = sim_store_partition(w->store, sim_hub_id(w->hub, p));
        const sim_reader *r = &instance_of(a)->readers[p];

        if (e != NULL && holder_is(w, p, a->op->id, e->token, e->record.generation) && r->opened &&
            !r->lost && r->generation + 1 >= e->record.generation) {
            sim_violation(&w->kernel, "left", "%s leaves and holds partition %zu", a->op->id, p);
        }
    }
}

static void check_member(sim_world *w, const sim_applied *a) {
    if (a->status != TMK_OK) {
        return;
    }
    switch ((int)a->op->kind) {
    case TMK_STORE_MEMBER_JOIN:
    case TMK_STORE_MEMBER_RENEW:
        check_renewed(a);
        break;
    case TMK_STORE_MEMBER_EVICT:
        if (a->existed && !a->evicted_before) {
            check_evicted(w, a);
        }
        break;
    case TMK_STORE_MEMBER_LEAVE:
        if (a->existed) {
            check_left(w, a);
        }
        break;
    default:
        break;
    }
}

/* --- partition records (I1, I3, I4, I7) --- */

static void check_checkpoint(sim_world *w, const sim_applied *a, size_t p) {
    const tmk_checkpoint *c = &a->after->record.checkpoint;
    int64_t sequence = c->present && c->sequence_known ? c->sequence : -1;

    if (sequence < a->sequence_before) {
        sim_violation(&w->kernel, "I3",
                      "%s takes the checkpoint of %zu back from %" PRId64 " to %" PRId64,
                      instance_of(a)->name, p, a->sequence_before, sequence);
    }
    if (sequence > w->truth[p].done) {
        sim_violation(&w->kernel, "I1",
                      "%s writes checkpoint %" PRId64 " of %zu, final is %" PRId64,
                      instance_of(a)->name, sequence, p, w->truth[p].done);
    }
}

static void check_generation(sim_world *w, const sim_applied *a, size_t p) {
    const tmk_partition_record *r = &a->after->record;
    bool new_owner = strcmp(r->owner, a->owner_before) != 0 && r->owner[0] != '\0';

    if (a->existed && r->generation < a->generation_before) {
        sim_violation(&w->kernel, "I7",
                      "the generation of %zu goes back from %" PRId64 " to %" PRId64, p,
                      a->generation_before, r->generation);
    }
    if (a->existed && new_owner && a->op->kind == TMK_STORE_PARTITION_CLAIM &&
        r->generation <= a->generation_before) {
        sim_violation(&w->kernel, "I7", "%s claims %zu and keeps generation %" PRId64,
                      instance_of(a)->name, p, r->generation);
    }
}

/* A claim may break only what an evicted or departed member has left. */
static void check_claim(sim_world *w, const sim_applied *a, size_t p) {
    const char *owner = a->owner_before;
    sim_instance *by = instance_of(a);

    if (!a->existed || owner[0] == '\0' || a->token_before[0] == '\0') {
        return;
    }
    if (w->truth[p].removed || holder_is(w, p, owner, a->op->token, a->generation_before + 1)) {
        return; /* its own */
    }
    if (sim_store_member(w->store, owner) != NULL && !sim_store_member(w->store, owner)->evicted) {
        sim_violation(&w->kernel, "I6", "%s takes %zu from %s, which was not evicted", by->name, p,
                      owner);
    }
}

/* Who hands over has finished: nothing is dispatched by it, and all of it is in the store. */
static void check_given(sim_world *w, const sim_applied *a, size_t p) {
    sim_instance *by = instance_of(a);
    const sim_reader *r = &by->readers[p];
    const tmk_checkpoint *c = &a->after->record.checkpoint;
    int64_t sequence = c->present && c->sequence_known ? c->sequence : -1;

    if (by->fleet == NULL || w->truth[p].removed) {
        return;
    }
    if (r->state != SIM_READING_NOT) {
        sim_violation(&w->kernel, "I4", "%s gives %zu away and still reads it", by->name, p);
    } else if (r->drained && sequence < r->dispatched &&
               r->opened_generation + 1 >= a->generation_before &&
               strcmp(r->opened_id, tmk_fleet_id(by->fleet)) == 0) {
        sim_violation(&w->kernel, "I4", "%s gives %zu away at %" PRId64 ", it has handled %" PRId64,
                      by->name, p, sequence, r->dispatched);
    }
}

static void check_partition(sim_world *w, const sim_applied *a) {
    size_t p = partition_of(a->op->id);
    sim_reader *r = &instance_of(a)->readers[p];

    if (a->op->kind == TMK_STORE_PARTITION_READ && a->sent >= r->lost_at) {
        r->asked_since = true;
    }
    if (a->status != TMK_OK || a->op->kind == TMK_STORE_PARTITION_READ || a->after == NULL) {
        return;
    }
    check_checkpoint(w, a, p);
    check_generation(w, a, p);
    if (a->op->kind == TMK_STORE_PARTITION_CLAIM) {
        check_claim(w, a, p);
    }
    if (a->op->kind == TMK_STORE_PARTITION_PASS || a->op->kind == TMK_STORE_PARTITION_RELEASE) {
        check_given(w, a, p);
    }
}

void sim_check_applied(void *user, const sim_applied *a) {
    sim_world *w = user;

    if (sim_tracing(&w->kernel)) {
        sim_trace(&w->kernel, "request",
                  ",\"owner\":\"%s\",\"operation\":\"%s\",\"id\":\"%s\",\"status\":\"%s\"",
                  instance_of(a)->name, tmk_store_op_name(a->op->kind), a->op->id,
                  tmk_status_name(a->status));
    }
    if (a->op->kind < TMK_STORE_CALL_RING) {
        check_member(w, a);
    } else if (a->op->kind > TMK_STORE_PARTITION_LIST) {
        check_partition(w, a);
    }
}

/* --- links (I5, I7) --- */

void sim_check_attach(void *user, size_t partition, int64_t level, void *link_user) {
    sim_world *w = user;
    sim_truth *t = &w->truth[partition];
    const sim_reader *r = link_user;
    const char *id = r->opened_id;
    bool same = strcmp(id, t->level_owner) == 0;

    if (w->options.claims == TMK_CLAIMS_SHARED || t->removed ||
        !sim_store_member_alive(w->store, id)) {
        return; /* one who was evicted and does not know: whoever comes next ends its link */
    }
    if (level < t->level || (level == t->level && !same)) {
        sim_violation(&w->kernel, "I7",
                      "%s attaches to %zu with level %" PRId64 ", %s had %" PRId64, id, partition,
                      level, t->level_owner, t->level);
    }
    t->level = level;
    (void)snprintf(t->level_owner, sizeof t->level_owner, "%s", id);
}

/* Whose host has just cost the others an eviction gets nothing, unless nobody else is there. */
static void check_probation(const sim_reader *r) {
    const sim_instance *i = r->instance;
    const sim_world *w = i->world;
    tmk_time evicted = w->host_evicted[host_of(i->host)];
    size_t others = 0;

    if (evicted == 0 || w->late_writes || w->kernel.now - evicted > 25 * TMK_SEC ||
        i->joined_at < evicted - 25 * TMK_SEC) {
        return;
    }
    for (size_t n = 0; n < w->instance_count; n++) {
        const sim_instance *it = w->instances[n];

        others += it != i && sim_alive(it) && !it->store_cut && it->ready &&
                  w->kernel.now - it->ready_at > 10 * TMK_SEC &&
                  w->kernel.now - it->joined_at > 40 * TMK_SEC &&
                  tmk_fleet_state_now(it->fleet) == TMK_FLEET_MEMBER &&
                  sim_store_member_alive(w->store, tmk_fleet_id(it->fleet)) &&
                  w->kernel.now - it->bad_until > 30 * TMK_SEC;
    }
    if (others > 0) {
        sim_violation(&i->world->kernel, "probation",
                      "%s opens %zu %" PRId64 " ms after its host's eviction", i->name,
                      r->partition, (w->kernel.now - evicted) / TMK_MS);
    }
}

/* A reader starts under a claim, from what the store holds. */
void sim_check_open(sim_reader *r, const tmk_fleet_act *act) {
    sim_world *w = r->instance->world;
    sim_truth *t = &w->truth[r->partition];
    const tmk_partition_entry *e = sim_store_partition(w->store, act->partition);
    const char *id = tmk_fleet_id(r->instance->fleet);
    int64_t start = act->checkpoint->present ? act->checkpoint->sequence : -1;
    bool holds = e != NULL && holder_is(w, r->partition, id, e->token, e->record.generation);

    if (w->options.claims == TMK_CLAIMS_LEASE && !holds && sim_store_member_alive(w->store, id) &&
        e != NULL && e->token[0] != '\0' && !t->removed) {
        sim_violation(&w->kernel, "I5", "%s opens %s, which it does not hold", id, act->partition);
    } else if (holds && !t->removed &&
               !(r->opened_generation == act->generation && start <= r->final &&
                 start >= (e->record.checkpoint.present ? e->record.checkpoint.sequence : -1))) {
        const tmk_checkpoint *c = &e->record.checkpoint;

        if (start != (c->present ? c->sequence : -1) ||
            act->checkpoint->done_map.size != c->done_map.size ||
            (c->done_map.size > 0 &&
             memcmp(act->checkpoint->done_map.bytes, c->done_map.bytes, c->done_map.size) != 0)) {
            sim_violation(&w->kernel, "I4", "%s opens %s at %" PRId64 ", the store has %" PRId64,
                          id, act->partition, start, c->present ? c->sequence : -1);
        }
    }
    if (r->lost_generation == act->generation && strcmp(r->opened_id, id) == 0 && !r->asked_since) {
        sim_violation(&w->kernel, "I5", "%s opens %s again without asking whose it is", id,
                      act->partition);
    }
    check_probation(r);
    if (start > t->done) {
        sim_violation(&w->kernel, "I1", "%s opens %s after %" PRId64 ", final is %" PRId64, id,
                      act->partition, start, t->done);
    }
    if (start < t->dispatched) {
        w->figures.repeats += (uint64_t)(t->dispatched - start);
        if (w->options.planned_only) {
            sim_violation(&w->kernel, "I4",
                          "%s opens %s after %" PRId64 ", %" PRId64 " was handled already", id,
                          act->partition, start, t->dispatched);
        }
    }
}

/* A planned move waits until the next owner is known to follow the same plan. */
void sim_check_drain(sim_instance *i, const tmk_fleet_act *act) {
    tmk_fleet_partition_info partition;
    tmk_fleet_member_info member;

    if (act->reason != TMK_FLEET_BECAUSE_MOVED) {
        return;
    }
    for (size_t p = 0; p < tmk_fleet_partition_count(i->fleet); p++) {
        tmk_fleet_partition_at(i->fleet, p, &partition);
        if (strcmp(partition.id, act->partition) == 0) {
            break;
        }
    }
    for (size_t m = 0; m < tmk_fleet_member_count(i->fleet); m++) {
        tmk_fleet_member_at(i->fleet, m, &member);
        if (strcmp(member.id, partition.planned) == 0 && member.same_view && member.alive &&
            (member.same_round || !partition.by_load)) {
            return;
        }
    }
    sim_violation(&i->world->kernel, "view", "%s gives %s to %s, which does not know", i->name,
                  act->partition, partition.planned);
}

void sim_check_dispatch(sim_reader *r, int64_t from, int64_t to) {
    sim_world *w = r->instance->world;
    const sim_instance *i = r->instance;

    if (from > w->truth[r->partition].done + 1 && from > w->truth[r->partition].dispatched + 1) {
        sim_violation(&w->kernel, "I1", "%s goes on with %" PRId64 " of %zu, final is %" PRId64,
                      i->name, from, r->partition, w->truth[r->partition].done);
    }
    if (i->slept && i->lease_ran_out && to >= from) {
        sim_violation(&w->kernel, "I5", "%s woke late and handles %" PRId64 " of %zu unconfirmed",
                      i->name, from, r->partition);
    }
}

/* --- requests (I10) --- */

/* Where the store refuses everything, lanes are few and wait. */
static void check_wall(sim_instance *i, bool own) {
    sim_world *w = i->world;
    tmk_time since = w->kernel.now - w->wall_from;

    if (sim_store_trouble_of(w->store)->outage || i->store_cut) {
        i->wall_requests = 0; /* these fail in another way */
        return;
    }
    if (w->wall_from < 0 || since < 4 * TMK_SEC || !own) {
        i->wall_requests = w->wall_from < 0 ? 0 : i->wall_requests;
        return;
    }
    if (++i->wall_requests > 15 + 3 * (uint64_t)((since - 4 * TMK_SEC) / TMK_SEC)) {
        sim_violation(&w->kernel, "I10", "%s asked %" PRIu64 " times in a store that is closed",
                      i->name, i->wall_requests);
    }
}

void sim_check_submit(sim_instance *i, const tmk_store_op *op) {
    sim_world *w = i->world;
    bool own = op->kind > TMK_STORE_PARTITION_LIST;

    check_wall(i, own);
    if (w->kernel.now - i->window_from > TROUBLE_WINDOW) {
        uint64_t allowed = TROUBLE_RATE * (uint64_t)(TROUBLE_WINDOW / TMK_SEC);

        if (w->options.partitions > 512) {
            allowed += 16 * w->instance_count; /* many get something, and are called */
        }
        if (i->window_requests > allowed || i->window_own > allowed + 8 * w->options.partitions) {
            sim_violation(&w->kernel, "I10",
                          "%s asked %" PRIu64 " times in 10 s, and %" PRIu64
                          " times about partitions",
                          i->name, i->window_requests, i->window_own);
        }
        i->window_from = w->kernel.now;
        i->window_requests = i->window_own = 0;
    }
    i->window_own += own;
    i->window_requests += !own;
}
