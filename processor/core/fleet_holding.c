/*
 * One partition, as this instance holds it or not.
 *
 *        read, claim or accept             final write        pass
 *   NONE -------> TAKING -------> HELD ------------> NAMING -------> PASSING -> NONE
 *                                  | \                                           ^
 *                      lost: STOP  |  +-----> RELEASING -------------------------+
 *                                  v                      release
 *                                 NONE
 *
 * The claim (what the store says) and the link (what is read) are kept apart:
 * a link is opened only under a claim that was granted, and a claim is passed
 * on only when the link is closed and all that ran is finished.
 *
 * A handoff first writes the final checkpoint together with the successor's
 * name and the next generation, which changes the record's version, and only
 * then passes the claim. So whoever looks later finds either us or somebody
 * who lives responsible, whenever we die in between; and a picture taken
 * before can break nobody's claim, as each claim names the version it saw.
 *
 * Each write names the version it replaces. Where the answer is missing, or
 * says that somebody else was first, the record is read before anything is
 * concluded: it may have been our own write.
 */
#include "core/fleet_inside.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

static const tmk_backoff reopen_pause = {TMK_SEC, 30 * TMK_SEC, 2.0, 0.2};

tmk_holding *tmk_holding_new(const char *id) {
    tmk_holding *h = tmk_new(tmk_holding);

    if (h == NULL) {
        return NULL;
    }
    h->id = tmk_copy_str(id);
    if (h->id == NULL) {
        tmk_free(h);
        return NULL;
    }
    h->target = h->owner_place = TMK_PLAN_NOBODY;
    h->touched_at = h->record.seen_at = -1;
    h->record.sequence = h->saved_sequence = h->base_sequence = -1;
    h->stolen_at = -10 * TMK_MIN;
    h->shared.asked_at = h->shared.free_since = -1;
    return h;
}

void tmk_holding_free(tmk_holding *h) {
    if (h == NULL) {
        return;
    }
    tmk_list_remove(&h->node);
    tmk_kept_clear(&h->final);
    tmk_kept_clear(&h->saving_old);
    tmk_free(h->id);
    tmk_free(h);
}

bool tmk_holding_dirty(const tmk_holding *h) {
    return h->final.present && h->final_no != h->saved_no;
}

bool tmk_holding_unheard(const tmk_holding *h, const tmk_checkpoint *stored) {
    tmk_checkpoint newest = tmk_kept_view(&h->final);

    return tmk_holding_dirty(h) && h->saving_no > h->saved_no &&
           tmk_checkpoint_sequence(stored) == h->saving_sequence &&
           (h->saving_no != h->final_no || TMK_MUTANT(UNHEARD_BY_NUMBER) ||
            tmk_slice_eq(stored->done_map, newest.done_map));
}

bool tmk_holding_busy(const tmk_holding *h) {
    return h->state == TMK_HOLDING_TAKING || h->state > TMK_HOLDING_HELD || h->doubt ||
           h->link == TMK_LINK_DRAINING || h->link == TMK_LINK_STOPPING ||
           (h->state == TMK_HOLDING_HELD && h->link != TMK_LINK_OPEN);
}

void tmk_holding_wait(tmk_fleet *f, tmk_holding *h, tmk_time until) {
    h->not_before = until;
    if (tmk_heap_push(&f->timers, &h->timer, until) < 0) {
        tmk_fleet_wake(f, h); /* cannot be: room was made with the partition */
    }
}

/* --- becoming ours, and no longer --- */

void tmk_holding_taken(tmk_fleet *f, tmk_holding *h, tmk_time now, int64_t generation,
                       bool accepted) {
    h->state = TMK_HOLDING_HELD;
    h->generation = h->token_generation = generation;
    h->generation_known = generation > h->generation_known ? generation : h->generation_known;
    h->record.generation = generation;
    h->record.held = true;
    h->record.absent = false;
    h->record.known = true;
    tmk_record_set_owner(&h->record, f->life.id, "");
    h->touched_at = now;
    h->look = h->doubt = h->tried = h->denied = h->anew = false;
    h->refusals = h->failures = h->denials = 0;
    h->drained_for_to = false;
    h->held_back = false;
    h->taken_late = f->life.stopping;
    h->saved_no = h->final_no;
    h->saved_sequence = h->final.present && h->final.sequence_known ? h->final.sequence : -1;
    h->base_sequence = h->saved_sequence;
    if (accepted) {
        f->counts.accepted++;
    } else {
        f->counts.claims++;
        f->counts.takeovers += h->from[0] != '\0';
    }
    tmk_weigh_hands(f, h);
    tmk_fleet_news_note(f, accepted ? TMK_FLEET_ACCEPTED : TMK_FLEET_CLAIMED, h, generation,
                        h->from);
    tmk_fleet_stir(f, now);
    tmk_fleet_wake(f, h);
}

void tmk_holding_given(tmk_fleet *f, tmk_holding *h) {
    h->state = TMK_HOLDING_NONE;
    h->ticket = 0;
    h->look = h->doubt = h->tried = h->fresh = h->denied = h->anew = false;
    h->fenced = h->held_back = false;
    h->failures = h->refusals = h->denials = 0;
    h->not_before = 0;
    tmk_kept_clear(&h->final);
    h->final_no = h->saved_no = 0;
    tmk_weigh_hands(f, h);
    tmk_fleet_stir(f, f->now);
    tmk_fleet_wake(f, h);
}

void tmk_holding_lose(tmk_fleet *f, tmk_holding *h, tmk_fleet_reason reason, const char *owner) {
    bool was_ours = h->state >= TMK_HOLDING_HELD;
    bool reading = h->link != TMK_LINK_CLOSED && h->link != TMK_LINK_STOPPING;

    h->acts &= TMK_ACT_STOP | TMK_ACT_WRITTEN | TMK_ACT_REFUSED;
    if (reading) {
        h->acts |= TMK_ACT_STOP;
        h->reason = reason;
        h->link = TMK_LINK_STOPPING;
    }
    if (was_ours) {
        if (tmk_holding_dirty(h)) {
            h->acts |= TMK_ACT_REFUSED;
            h->reported_sequence = h->final.sequence;
            f->counts.write_refused++;
        }
        f->counts.lost++;
        tmk_fleet_news_note(f, TMK_FLEET_LOST, h, h->generation, owner);
    }
    if (h->state != TMK_HOLDING_NONE || reading) {
        tmk_holding_given(f, h);
    }
}

/* --- duties --- */

/* Our own record without our holding it: a claim that half succeeded, or one broken by a tool. */
static bool must_take_back(const tmk_fleet *f, const tmk_holding *h) {
    const tmk_record *r = &h->record;

    if (TMK_MUTANT(SUCCESSOR_FORGOTTEN) && r->successor[0] != '\0') {
        return false;
    }
    return tmk_life_is_self(f, r->owner) && tmk_view_departed(&f->view, r->successor) &&
           !f->life.stopping;
}

bool tmk_holding_duty(const tmk_fleet *f, const tmk_holding *h, tmk_time now) {
    const tmk_record *r = &h->record;

    if (!r->known || !tmk_life_healthy(f, now)) {
        return false;
    }
    if (tmk_life_is_self(f, r->successor) || must_take_back(f, h)) {
        return true;
    }
    return tmk_plan_for_self(f, h) && (tmk_plan_owner(f, h)[0] == '\0' || TMK_MUTANT(STEAL));
}

/* --- what to ask next --- */

static tmk_holding_ask take(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    const tmk_record *r = &h->record;
    bool named = tmk_life_is_self(f, r->successor);

    if (h->tried && !h->fresh) {
        return TMK_ASK_READ; /* we may have it already, unheard */
    }
    if (!tmk_holding_duty(f, h, now)) {
        h->state = TMK_HOLDING_NONE;
        f->recount = true;
        return TMK_ASK_NOTHING;
    }
    if (!h->fresh && !r->absent) {
        return TMK_ASK_READ;
    }
    if (!named || !r->held) {
        return TMK_ASK_CLAIM;
    }
    /* Accepted until the giver is known to be gone and has not passed it on. */
    return h->refusals == 0 || !tmk_view_departed(&f->view, r->owner) ? TMK_ASK_ACCEPT
                                                                      : TMK_ASK_CLAIM;
}

static void name_successor(tmk_fleet *f, tmk_holding *h) {
    const char *to = tmk_plan_target(f, h);

    memcpy(h->to, to, strlen(to) + 1);
    h->passed = false;
    h->state = TMK_MUTANT(NO_SUCCESSOR_NAMED) ? TMK_HOLDING_PASSING : TMK_HOLDING_NAMING;
    tmk_fleet_stir(f, f->now);
}

/* Passed to us by one who does not know that we leave: before our record says so, the next one
 * would pass it back at once. */
static bool would_come_back(const tmk_fleet *f, const tmk_holding *h) {
    return h->taken_late && f->life.leaving_at == TMK_NEVER;
}

/* Ours, and nothing reads it: give it away, or read it. */
static void settle_closed(tmk_fleet *f, tmk_holding *h) {
    bool other = h->target != TMK_PLAN_NOBODY && !tmk_plan_for_self(f, h);
    bool ready = tmk_plan_target_ready(f, h) ||
                 (h->drained_for_to && other && strcmp(h->to, tmk_plan_target(f, h)) == 0);

    if (would_come_back(f, h)) {
        return; /* woken when it says so */
    }
    if (other && ready) {
        name_successor(f, h);
    } else if (f->life.stopping) {
        h->state = TMK_HOLDING_RELEASING;
    } else {
        h->link = TMK_LINK_OPENING;
        h->drained_for_to = false;
        h->fenced = h->held_back = h->link_down = false;
        h->acts = (h->acts & (TMK_ACT_WRITTEN | TMK_ACT_REFUSED)) | TMK_ACT_OPEN;
    }
}

static bool should_drain(const tmk_fleet *f, const tmk_holding *h, tmk_time now) {
    if (h->link != TMK_LINK_OPEN && h->link != TMK_LINK_OPENING) {
        return false;
    }
    return tmk_plan_target_ready(f, h) || (f->life.stopping && now >= f->life.leave_at);
}

static void drain(tmk_fleet *f, tmk_holding *h) {
    const char *to = tmk_plan_target(f, h);

    h->drained_for_to = tmk_plan_target_ready(f, h);
    memcpy(h->to, to, strlen(to) + 1);
    if (TMK_MUTANT(HANDOFF_BEFORE_DRAIN) && h->drained_for_to) {
        name_successor(f, h);
        return;
    }
    h->link = TMK_LINK_DRAINING;
    h->acts = (h->acts & ~(unsigned)TMK_ACT_OPEN) | TMK_ACT_DRAIN;
    h->reason = f->life.stopping ? TMK_FLEET_BECAUSE_LEAVING : TMK_FLEET_BECAUSE_MOVED;
    tmk_fleet_stir(f, f->now);
}

static tmk_holding_ask next_ask(tmk_fleet *f, tmk_holding *h, tmk_time now);

static tmk_holding_ask release(const tmk_holding *h) {
    return h->look                                              ? TMK_ASK_READ
           : tmk_holding_dirty(h) && !TMK_MUTANT(RELEASE_FIRST) ? TMK_ASK_WRITE
                                                                : TMK_ASK_RELEASE;
}

static tmk_holding_ask keep(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    if (h->look) {
        return TMK_ASK_READ;
    }
    if (h->link == TMK_LINK_CLOSED) {
        settle_closed(f, h);
        return h->state == TMK_HOLDING_HELD ? TMK_ASK_NOTHING : next_ask(f, h, now);
    }
    if (should_drain(f, h, now)) {
        drain(f, h);
        return TMK_ASK_NOTHING;
    }
    if (f->life.stopping && now < f->life.leave_at) {
        tmk_holding_wait(f, h, f->life.leave_at);
        h->not_before = 0; /* woken then, not kept from anything until then */
    }
    return tmk_holding_dirty(h) ? TMK_ASK_WRITE : TMK_ASK_NOTHING;
}

static tmk_holding_ask hand_over(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    if (h->look) {
        return TMK_ASK_READ;
    }
    if (!h->passed && strcmp(h->to, tmk_plan_target(f, h)) != 0) {
        h->state = TMK_HOLDING_HELD; /* the plan has changed, and nothing was passed yet */
        h->drained_for_to = false;
        return keep(f, h, now);
    }
    return h->state == TMK_HOLDING_NAMING ? TMK_ASK_NAME : TMK_ASK_PASS;
}

static tmk_holding_ask next_ask(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    if (h->state >= TMK_HOLDING_HELD && !h->look && h->record.absent) {
        return TMK_ASK_CLAIM; /* somebody removed the record: make it anew, and go on */
    }
    switch (h->state) {
    case TMK_HOLDING_NONE:
        if (h->link != TMK_LINK_CLOSED || !tmk_holding_duty(f, h, now)) {
            return TMK_ASK_NOTHING;
        }
        h->state = TMK_HOLDING_TAKING;
        h->fresh = h->tried = false;
        h->refusals = 0;
        f->recount = true;
        return take(f, h, now);
    case TMK_HOLDING_TAKING:
        return take(f, h, now);
    case TMK_HOLDING_HELD:
        return keep(f, h, now);
    case TMK_HOLDING_NAMING:
    case TMK_HOLDING_PASSING:
        return hand_over(f, h, now);
    default:
        return release(h);
    }
}

/* --- asking --- */

static void compose_record(tmk_fleet *f, tmk_holding *h, const char *owner, const char *successor,
                           int64_t generation) {
    f->op_record = (tmk_partition_record){.id = h->id,
                                          .owner = owner,
                                          .successor = successor,
                                          .generation = generation,
                                          .version = h->record.version,
                                          .checkpoint = tmk_kept_view(&h->final)};
    f->op.record = &f->op_record;
}

/* The state that a write carries is the newest at the time it is sent. */
static void compose_saving(tmk_fleet *f, tmk_holding *h) {
    if (TMK_MUTANT(CHECKPOINT_RETRY_OLD) && h->failures > 0 && h->saving_old.present) {
        f->op_record.checkpoint = tmk_kept_view(&h->saving_old);
        return;
    }
    if (TMK_MUTANT(CHECKPOINT_RETRY_OLD) &&
        tmk_kept_set(&h->saving_old, &f->op_record.checkpoint) < 0) {
        return;
    }
    h->saving_no = h->final_no;
    h->saving_sequence = h->final.present && h->final.sequence_known ? h->final.sequence : -1;
}

static void compose_claim(tmk_fleet *f, tmk_holding *h) {
    const char *from = h->record.absent ? "" : h->record.owner;

    bool anew = h->state >= TMK_HOLDING_HELD;

    memmove(h->from, from, strlen(from) + 1);
    h->tried_generation =
        anew ? h->generation : h->generation_known + (TMK_MUTANT(GENERATION_KEPT_AT_CLAIM) ? 0 : 1);
    h->tried = true;
    h->tried_accept = false;
    tmk_member_token(f->life.id, h->id, h->tried_generation, f->token);
    f->op.kind = TMK_STORE_PARTITION_CLAIM;
    f->op.version = h->record.absent ? "" : h->record.version;
    f->op.take_over = !h->record.absent && h->record.held;
    compose_record(f, h, f->life.id, "", h->tried_generation);
    if (anew) {
        h->anew = true;
        compose_saving(f, h);
    }
    if (TMK_MUTANT(OPEN_WITHOUT_CLAIM) && h->link == TMK_LINK_CLOSED) {
        h->link = TMK_LINK_OPENING;
        h->generation = h->tried_generation;
        h->acts |= TMK_ACT_OPEN;
    }
    if (TMK_MUTANT(DONE_MAP_LOST)) {
        h->final.done_map_size = 0;
    }
}

static void compose(tmk_fleet *f, tmk_holding *h, tmk_holding_ask ask) {
    int64_t holds = ask == TMK_ASK_ACCEPT ? h->record.generation : h->token_generation;

    if (tmk_fleet_is_shared(f)) {
        tmk_shared_compose(f, h, ask);
        return;
    }
    tmk_member_token(f->life.id, h->id, holds, f->token);
    f->op = (tmk_store_op){.kind = TMK_STORE_PARTITION_WRITE,
                           .id = h->id,
                           .token = f->token,
                           .version = h->record.version};
    switch (ask) {
    case TMK_ASK_READ:
        f->op.kind = TMK_STORE_PARTITION_READ;
        break;
    case TMK_ASK_CLAIM:
        compose_claim(f, h);
        break;
    case TMK_ASK_ACCEPT:
        memmove(h->from, h->record.owner, strlen(h->record.owner) + 1);
        h->tried_generation = h->record.generation;
        h->tried = h->tried_accept = true;
        compose_record(f, h, f->life.id, "", h->record.generation);
        break;
    case TMK_ASK_WRITE:
        compose_record(f, h, f->life.id, "", h->generation);
        compose_saving(f, h);
        break;
    case TMK_ASK_NAME:
        compose_record(f, h, f->life.id, h->to,
                       h->generation + (TMK_MUTANT(GENERATION_KEPT_AT_HANDOFF) ? 0 : 1));
        compose_saving(f, h);
        break;
    case TMK_ASK_PASS:
        f->op.kind = TMK_STORE_PARTITION_PASS;
        h->passed = true;
        tmk_member_token(h->to, h->id, h->generation, f->token_next);
        f->op.token_next = f->token_next;
        break;
    default:
        tmk_assert(ask == TMK_ASK_RELEASE);
        f->op.kind = TMK_STORE_PARTITION_RELEASE;
        compose_record(f, h, "", "", h->generation);
        break;
    }
}

static bool submit(tmk_fleet *f, tmk_holding *h, tmk_time now, tmk_holding_ask ask,
                   tmk_fleet_act *out) {
    if (!tmk_asking_lane_free(&f->asking, now)) {
        tmk_list_remove(&h->node); /* looking at it may have woken it once more */
        tmk_list_push_back(&f->waiting, &h->node);
        return false;
    }
    compose(f, h, ask);
    if (!tmk_fleet_submit(f, now, h, tmk_fleet_try(f, h->failures), &h->ticket, out)) {
        tmk_holding_wait(f, h, tmk_time_after(now, 100 * TMK_MS));
        return false;
    }
    h->ask = ask;
    return true;
}

/* --- acting --- */

static bool take_act(tmk_holding *h, unsigned act, tmk_fleet_act_kind kind, tmk_fleet_act *out) {
    if ((h->acts & act) == 0) {
        return false;
    }
    h->acts &= ~act;
    out->kind = kind;
    out->partition = h->id;
    out->generation = h->generation;
    return true;
}

static bool take_open(tmk_fleet *f, tmk_holding *h, tmk_fleet_act *out) {
    if (f->life.fenced || !take_act(h, TMK_ACT_OPEN, TMK_FLEET_OPEN, out)) {
        return false;
    }
    f->checkpoint_out = tmk_kept_view(&h->final);
    out->checkpoint = &f->checkpoint_out;
    out->owner_level = tmk_fleet_is_shared(f) ? h->shared.insist : h->generation;
    return true;
}

static bool take_acts(tmk_fleet *f, tmk_holding *h, tmk_fleet_act *out) {
    if (h->acts == 0) {
        return false;
    }
    if (take_act(h, TMK_ACT_STOP, TMK_FLEET_STOP, out)) {
        out->reason = h->reason;
        return true;
    }
    if (take_act(h, TMK_ACT_FENCE, TMK_FLEET_FENCE, out) ||
        take_act(h, TMK_ACT_UNFENCE, TMK_FLEET_UNFENCE, out) || take_open(f, h, out)) {
        return true;
    }
    if (take_act(h, TMK_ACT_DRAIN, TMK_FLEET_DRAIN, out)) {
        out->reason = h->reason;
        return true;
    }
    if (take_act(h, TMK_ACT_HOLD, TMK_FLEET_HOLD, out) ||
        take_act(h, TMK_ACT_RESUME, TMK_FLEET_RESUME, out)) {
        return true;
    }
    if (take_act(h, TMK_ACT_WRITTEN, TMK_FLEET_CHECKPOINTED, out)) {
        out->sequence = h->saved_sequence;
        out->written = true;
        return true;
    }
    if (take_act(h, TMK_ACT_REFUSED, TMK_FLEET_CHECKPOINTED, out)) {
        out->sequence = h->reported_sequence;
        return true;
    }
    return false;
}

bool tmk_holding_step(tmk_fleet *f, tmk_holding *h, tmk_time now, tmk_fleet_act *out) {
    tmk_holding_ask ask = TMK_ASK_NOTHING;

    if (take_acts(f, h, out)) {
        return true;
    }
    if (h->ticket != 0 || (f->life.fenced && !tmk_fleet_is_shared(f)) || !tmk_life_in(f)) {
        return false; /* the answer, the end of the fence, or the next life wakes it */
    }
    if (now < h->not_before) {
        tmk_holding_wait(f, h, h->not_before);
        return false;
    }
    ask = tmk_fleet_is_shared(f) ? tmk_shared_next_ask(f, h, now) : next_ask(f, h, now);
    if (ask != TMK_ASK_NOTHING) {
        return submit(f, h, now, ask, out);
    }
    return take_acts(f, h, out);
}

tmk_time tmk_holding_reopen_at(tmk_fleet *f, const tmk_holding *h, tmk_time now) {
    return tmk_time_after(now, tmk_backoff_delay(&reopen_pause, h->stolen, &f->rng));
}
